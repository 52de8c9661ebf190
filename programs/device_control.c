/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is answered on the control socket: {"v":1,"op":NAME,"args":{...}} is a request, NAME one of ours (info, status,
 * counters) or a verb of the class. docs/control.md lists the members.
 *
 * All is made from tables: options with their values, the class's verbs with their arguments, the counters. Arguments
 * take the road of every option, from text, so that one parser judges what a command line, a description and this
 * socket say.
 */
#include "programs/device_control.h"

#include <bulkhead/impl/text.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ERROR_MAX = 512 };

static void put(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value); /* memory that runs out shows when the whole is written */
}

static json_t *number(uint64_t value)
{
    return json_integer(value > INT64_MAX ? INT64_MAX : (json_int_t)value);
}

/* --- info ------------------------------------------------------------------------------------------------ */

static const char *type_text(enum bh_option_type type)
{
    static const char *const names[] = {
        [BH_OPT_BOOL] = "bool", [BH_OPT_UINT] = "number", [BH_OPT_SIZE] = "size", [BH_OPT_STRING] = "text",
        [BH_OPT_PATH] = "path", [BH_OPT_ENUM] = "word",   [BH_OPT_MAC] = "mac",   [BH_OPT_LIST] = "list",
    };
    return names[type];
}

static json_t *list_value(const struct bh_option_list *list)
{
    json_t *array = json_array();
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i]));
    return array;
}

static json_t *option_value(const struct bh_option *option, const void *target)
{
    const void *at = (const char *)target + option->offset;
    const uint8_t *mac = at;
    switch (option->type) {
    case BH_OPT_BOOL: return json_boolean(*(const bool *)at);
    case BH_OPT_UINT:
    case BH_OPT_SIZE: return number(*(const uint64_t *)at);
    case BH_OPT_ENUM: return json_string(option->values[*(const int *)at]);
    case BH_OPT_MAC:
        return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
    case BH_OPT_LIST: return list_value(at);
    case BH_OPT_STRING:
    case BH_OPT_PATH: break;
    }
    const char *text = *(char *const *)at;
    json_t *string = text ? json_string(text) : NULL;
    return string ? string : json_null(); /* unset, or no UTF-8 */
}

static json_t *all_options(const struct bh_option_set *sets)
{
    json_t *options = json_object();
    for (; sets->table; sets++)
        for (const struct bh_option *option = sets->table; option->name; option++)
            put(options, option->name, option_value(option, sets->target));
    return options;
}

static json_t *arguments(const struct bh_option *table)
{
    json_t *all = json_array();
    for (; table && table->name; table++) {
        json_t *one = json_pack("{s:s, s:s, s:b, s:s}", "name", table->name, "type", type_text(table->type),
                                "required", table->required, "help", table->help ? table->help : "");
        for (int i = 0; table->type == BH_OPT_ENUM && table->values[i]; i++) {
            if (!i)
                put(one, "words", json_array());
            json_array_append_new(json_object_get(one, "words"), json_string(table->values[i]));
        }
        json_array_append_new(all, one);
    }
    return all;
}

static int info(const struct bh_control_subject *subject, json_t *answer)
{
    const struct bh_hosted_class *class = subject->hosted->class;
    json_t *verbs = json_array();
    for (const struct bh_class_verb *verb = class->verbs; verb && verb->name; verb++)
        json_array_append_new(verbs, json_pack("{s:s, s:s, s:o}", "name", verb->name, "summary",
                                               verb->summary, "arguments", arguments(verb->arguments)));
    put(answer, "class", json_string(class->name));
    put(answer, "summary", json_string(class->summary));
    if (class->virtio_id)
        put(answer, "virtio_id", json_integer(class->virtio_id));
    put(answer, "version", json_string(subject->version));
    put(answer, "pid", json_integer(getpid()));
    put(answer, "options", all_options(subject->options));
    put(answer, "verbs", verbs);
    return BH_OK;
}

/* --- status ---------------------------------------------------------------------------------------------- */

static json_t *feature_bits(const struct bh_features *features)
{
    json_t *bits = json_array();
    for (unsigned bit = 0; bit < BH_FEATURE_BITS; bit++)
        if (bh_features_has(features, bit))
            json_array_append_new(bits, json_integer(bit));
    return bits;
}

static const char *queue_state(const struct bh_virtq *q)
{
    if (q->broken)
        return "broken";
    return q->life == BH_VIRTQ_RUNNING ? "running" : q->life == BH_VIRTQ_STOPPING ? "stopping" : "stopped";
}

static json_t *queue_status(const struct bh_device *dev, unsigned index)
{
    const struct bh_virtq *q = &dev->queues[index];
    const struct bh_virtq_state at = bh_virtq_state(q);
    json_t *queue = json_pack("{s:i, s:s, s:i, s:i, s:i, s:i, s:i}", "index", (int)index, "state",
                              queue_state(q), "size", (int)q->size, "size_max", (int)q->memory.size_max,
                              "in_flight", (int)q->in_flight, "avail", (int)at.avail, "used", (int)at.used);
    if (bh_device_has(dev, BH_F_RING_PACKED)) {
        put(queue, "avail_wrap", json_boolean(at.avail_wrap));
        put(queue, "used_wrap", json_boolean(at.used_wrap));
    }
    put(queue, "broken", q->broken ? json_string(bh_broken_text((enum bh_broken)q->broken)) : json_null());
    return queue;
}

static int status(const struct bh_control_subject *subject, json_t *answer)
{
    if (subject->teller)
        return subject->teller->status(subject->hosted, answer);
    const struct bh_device *dev = subject->hosted->dev;
    const struct bh_features offered = bh_device_offered(dev);
    const uint8_t bits = bh_device_status(dev);
    json_t *queues = json_array();
    for (unsigned i = 0; i < dev->queue_count; i++)
        json_array_append_new(queues, queue_status(dev, i));
    put(answer, "connected", json_boolean(subject->connected));
    put(answer, "device_status", json_integer(bits));
    put(answer, "needs_reset", json_boolean(bits & BH_STATUS_NEEDS_RESET));
    put(answer, "offered", feature_bits(&offered));
    put(answer, "accepted", feature_bits(&dev->acked));
    put(answer, "ring", json_string(bh_device_has(dev, BH_F_RING_PACKED) ? "packed" : "split"));
    put(answer, "config_generation", json_integer(bh_device_generation(dev)));
    put(answer, "queues", queues);
    return BH_OK;
}

/* --- counters -------------------------------------------------------------------------------------------- */

struct counter_row {
    const char *name;
    size_t offset;
};
#define ROW(type, member)                                                                                    \
    {                                                                                                        \
#member, offsetof(type, member)                                                                      \
    }

static const struct counter_row device_rows[] = {
    ROW(struct bh_device_counters, resets),           ROW(struct bh_device_counters, needs_reset),
    ROW(struct bh_device_counters, features_refused), ROW(struct bh_device_counters, status_refused),
    ROW(struct bh_device_counters, config_refused),
};
static const struct counter_row connection_rows[] = {
    ROW(struct bh_vhost_user_counters, messages),
    ROW(struct bh_vhost_user_counters, malformed),
    ROW(struct bh_vhost_user_counters, refused),
    ROW(struct bh_vhost_user_counters, unasked_features),
};
/* Those that end a connection, or count them: meaningless within one. */
static const struct counter_row transport_rows[] = {
    ROW(struct bh_vhost_user_counters, connections),
    ROW(struct bh_vhost_user_counters, resumed),
    ROW(struct bh_vhost_user_counters, lost_memory),
};
static const struct counter_row queue_rows[] = {
    {"requests", offsetof(struct bh_virtq_counters, chains)},
    ROW(struct bh_virtq_counters, bytes_out),
    ROW(struct bh_virtq_counters, bytes_in),
    ROW(struct bh_virtq_counters, kicks),
    ROW(struct bh_virtq_counters, notifications),
    ROW(struct bh_virtq_counters, suppressed),
    ROW(struct bh_virtq_counters, pending),
};

/* Rows of uint32_t, less those of `before` (may be NULL). */
static void put_rows32(json_t *object, const struct counter_row *rows, size_t count, const void *now,
                       const void *before)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t value, earlier = 0;
        memcpy(&value, (const char *)now + rows[i].offset, sizeof(value));
        if (before)
            memcpy(&earlier, (const char *)before + rows[i].offset, sizeof(earlier));
        put(object, rows[i].name, json_integer((json_int_t)(uint32_t)(value - earlier)));
    }
}

static void put_row64(json_t *object, const char *name, const void *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof(value));
    put(object, name, number(value));
}

static json_t *queue_counters(const struct bh_virtq *q)
{
    json_t *queue = json_object(), *broken = json_object();
    put(queue, "index", json_integer(q->index));
    for (size_t i = 0; i < BH_COUNT(queue_rows); i++)
        put_row64(queue, queue_rows[i].name, (const char *)&q->counters + queue_rows[i].offset);
    for (unsigned reason = 1; reason < BH_BROKEN_COUNT; reason++)
        if (q->counters.broken[reason])
            put(broken, bh_broken_text((enum bh_broken)reason), json_integer(q->counters.broken[reason]));
    put(queue, "broken", broken);
    return queue;
}

static void put_transport(const struct bh_control_subject *subject, json_t *answer)
{
    const struct bh_vhost_user_counters *now = bh_vhost_user_counters(subject->server);
    json_t *transport = json_object(), *connection = json_object();
    put_rows32(transport, transport_rows, BH_COUNT(transport_rows), now, NULL);
    put_rows32(transport, connection_rows, BH_COUNT(connection_rows), now, NULL);
    put(answer, "transport", transport);
    if (subject->connected)
        put_rows32(connection, connection_rows, BH_COUNT(connection_rows), now, &subject->before);
    put(answer, "connection", connection);
}

static int counters(const struct bh_control_subject *subject, json_t *answer)
{
    if (subject->teller)
        return subject->teller->counters(subject->hosted, answer);
    const struct bh_device *dev = subject->hosted->dev;
    json_t *device = json_object(), *class = json_object(), *queues = json_array();
    put_rows32(device, device_rows, BH_COUNT(device_rows), &dev->counters, NULL);
    put(answer, "device", device);
    for (const struct bh_class_counter *row = subject->hosted->class->counters; row && row->name; row++)
        put_row64(class, row->name, (const char *)dev + row->offset);
    put(answer, "class", class);
    if (subject->server)
        put_transport(subject, answer);
    for (unsigned i = 0; i < dev->queue_count; i++)
        json_array_append_new(queues, queue_counters(&dev->queues[i]));
    put(answer, "queues", queues);
    return BH_OK;
}

/* --- the class's verbs ----------------------------------------------------------------------------------- */

/* Keeps the first error, which is the answer's; what else a class says goes where all that it says goes. */
struct first_error {
    struct bh_diag_sink sink;
    char text[ERROR_MAX];
    bool arguments; /* it is about what the verb was given */
};

static void keep_first(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    struct first_error *error = BH_CONTAINER(sink, struct first_error, sink);
    if (diag->level != BH_DIAG_ERROR) {
        bh_diag_emit(bh_diag_default(), diag);
        return;
    }
    if (error->text[0])
        return;
    snprintf(error->text, sizeof(error->text), "%s%s%s", diag->what, diag->hint ? "; " : "",
             diag->hint ? diag->hint : "");
    bh_text_clean_ascii(error->text, strlen(error->text)); /* it may quote a client, cut anywhere */
}

/* A value as one would type it; NULL for what no option can be. `text` has room for any number. */
static const char *value_text(const json_t *value, char text[32])
{
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "on" : "off";
    if (!json_is_integer(value))
        return NULL;
    snprintf(text, 32, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return text;
}

static int set_argument(const struct bh_option *table, void *values, const char *name, const json_t *value,
                        struct bh_diag_sink *sink)
{
    char number_text[32];
    const char *text = value_text(value, number_text);
    if (text)
        return bh_option_set(table, values, name, text, sink, NULL);
    bh_error(sink, NULL, NULL, "%.40s: it is a string, an integer, true or false", name);
    return BH_ERR_INVAL;
}

/* "state is missing: up, down; Pull the cable ..." */
static void say_missing(const struct bh_option *option, struct bh_diag_sink *sink)
{
    char words[80] = "";
    for (size_t i = 0, at = 0; option->type == BH_OPT_ENUM && option->values[i] && at < sizeof(words); i++)
        at += (size_t)snprintf(words + at, sizeof(words) - at, "%s%s", i ? ", " : ": ", option->values[i]);
    bh_error(sink, NULL, option->help, "%s is missing%s", option->name, words);
}

static int set_arguments(const struct bh_option *table, void *values, json_t *args, struct bh_diag_sink *sink)
{
    const char *name;
    json_t *value, *item;
    size_t index;
    int err = bh_options_init(table, values);
    json_object_foreach(args, name, value)
    {
        if (!err && !json_is_array(value))
            err = set_argument(table, values, name, value, sink);
        json_array_foreach(value, index, item)
        {
            if (!err)
                err = set_argument(table, values, name, item, sink);
        }
    }
    for (const struct bh_option *option = table; !err && option->name; option++) {
        if (option->required && !json_object_get(args, option->name)) {
            say_missing(option, sink);
            err = BH_ERR_INVAL;
        }
    }
    return err;
}

static int run_verb(const struct bh_control_subject *subject, const struct bh_class_verb *verb, json_t *args,
                    struct first_error *error)
{
    static const struct bh_option none[] = {{.name = NULL}};
    const struct bh_option *table = verb->arguments ? verb->arguments : none;
    void *values = calloc(1, verb->values_size + 1);
    int err = values ? set_arguments(table, values, args, &error->sink) : BH_ERR_NOMEM;
    if (!err)
        err = verb->run(subject->hosted, values, &error->sink);
    else
        error->arguments = err != BH_ERR_NOMEM;
    if (values)
        bh_options_fini(table, values);
    free(values);
    return err;
}

/* --- a request ------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    int (*run)(const struct bh_control_subject *subject, json_t *answer);
} ops[] = {{"info", info}, {"status", status}, {"counters", counters}};

static void unknown(const struct bh_control_subject *subject, const char *op, struct bh_diag_sink *sink)
{
    const char *names[BH_COUNT(ops) + 32], *near;
    size_t count = 0;
    for (; count < BH_COUNT(ops); count++)
        names[count] = ops[count].name;
    for (const struct bh_class_verb *verb = subject->hosted->class->verbs;
         verb && verb->name && count < BH_COUNT(names); verb++)
        names[count++] = verb->name;
    near = bh_did_you_mean(op, names, count);
    bh_error(sink, NULL, NULL, "a %s has no \"op\" \"%.40s\"%s%s%s", subject->hosted->class->name, op,
             near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "; \"info\" lists them");
}

static int dispatch(const struct bh_control_subject *subject, const char *op, json_t *args, json_t *answer,
                    struct first_error *error)
{
    for (size_t i = 0; i < BH_COUNT(ops); i++) {
        if (strcmp(op, ops[i].name) != 0)
            continue;
        if (json_object_size(args) == 0)
            return ops[i].run(subject, answer);
        bh_error(&error->sink, NULL, NULL, "%s takes no \"args\"", op);
        return BH_ERR_INVAL;
    }
    for (const struct bh_class_verb *verb = subject->hosted->class->verbs; verb && verb->name; verb++)
        if (!strcmp(op, verb->name))
            return run_verb(subject, verb, args, error);
    unknown(subject, op, &error->sink);
    return BH_ERR_NOENT;
}

static int handle(const struct bh_control_subject *subject, json_t *request, json_t *answer,
                  struct first_error *error)
{
    json_t *args = json_object_get(request, "args");
    const char *op = json_string_value(json_object_get(request, "op"));
    const char *wrong = NULL;
    if (!json_is_object(request) || !op)
        wrong = "a request is one JSON object a line, with \"v\" and \"op\"";
    else if (json_integer_value(json_object_get(request, "v")) != BH_CONTROL_VERSION)
        wrong = "this device speaks version 1 of the protocol: \"v\": 1";
    else if (args && !json_is_object(args))
        wrong = "\"args\" is an object";
    if (!wrong)
        return dispatch(subject, op, args, answer, error);
    bh_error(&error->sink, NULL, NULL, "%s", wrong);
    return BH_ERR_PROTO;
}

char *bh_control_answer(const struct bh_control_subject *subject, const char *line, size_t length)
{
    struct first_error error = {.sink.emit = keep_first};
    json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL), *answer = json_object();
    int err = handle(subject, request, answer, &error);
    char *text;
    if (err)
        json_object_clear(answer);
    put(answer, "v", json_integer(BH_CONTROL_VERSION));
    put(answer, "ok", json_boolean(err == BH_OK));
    if (err)
        put(answer, "error", json_string(error.text[0] ? error.text : bh_err_text(err)));
    if (err && error.arguments)
        put(answer, "kind", json_string("arguments"));
    text = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    json_decref(request);
    return text;
}
