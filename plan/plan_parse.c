/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a plan back from its JSON.
 *
 * Theory of operation: a cursor stands on one object and counts the members that were asked for; what was not
 * asked for is an error, so that a plan is never half understood. The first pass makes domains with their devices,
 * links and switches, plan_resolve.c makes names indexes, then plan_verify.c checks the whole. The first error ends it.
 */
#include "plan/plan_parse.h"
#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cursor {
    struct bh_plan_reader *reader;
    const json_t *object;
    const char *where; /* "domains/linux-a" */
    size_t asked;
};

bool bh_plan_wrong(struct bh_plan_reader *reader, const char *where, const char *format, ...)
{
    const struct bh_diag_where place = {.file = reader->file, .node = where};
    char text[256];
    va_list args;

    if (reader->err != BH_OK)
        return false;
    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    bh_error(reader->sink, &place, "make the plan anew from the description", "this is no plan: %s", text);
    reader->err = BH_ERR_SYNTAX;
    return false;
}

static bool no_memory(struct bh_plan_reader *reader)
{
    if (reader->err == BH_OK)
        reader->err = BH_ERR_NOMEM;
    return false;
}

static struct cursor enter(struct bh_plan_reader *reader, const json_t *object, const char *where)
{
    struct cursor cursor = {.reader = reader, .object = object, .where = where};

    if (!json_is_object(object))
        (void)bh_plan_wrong(reader, where, "it is no object");
    return cursor;
}

static bool leave(const struct cursor *cursor)
{
    if (cursor->reader->err == BH_OK && json_object_size(cursor->object) != cursor->asked)
        return bh_plan_wrong(cursor->reader, cursor->where, "it has a member that plans do not have");
    return cursor->reader->err == BH_OK;
}

static const json_t *member(struct cursor *cursor, const char *key, bool required)
{
    const json_t *value = cursor->reader->err == BH_OK ? json_object_get(cursor->object, key) : NULL;

    cursor->asked += value != NULL;
    if (value == NULL && required)
        (void)bh_plan_wrong(cursor->reader, cursor->where, "it has no \"%s\"", key);
    return value;
}

/* NULL: not there, or wrong. Strings hold no NUL: jansson refuses them. */
static char *get_text(struct cursor *cursor, const char *key, bool required)
{
    const json_t *value = member(cursor, key, required);
    char *copy;

    if (value == NULL)
        return NULL;
    if (!json_is_string(value)) {
        (void)bh_plan_wrong(cursor->reader, cursor->where, "\"%s\" is no string", key);
        return NULL;
    }
    copy = bh_arena_string(&cursor->reader->box->arena, json_string_value(value));
    if (copy == NULL)
        (void)no_memory(cursor->reader);
    return copy;
}

static uint32_t get_number(struct cursor *cursor, const char *key)
{
    const json_t *value = member(cursor, key, true);

    if (value == NULL)
        return 0;
    if (!json_is_integer(value) || json_integer_value(value) < 0 || json_integer_value(value) > UINT32_MAX) {
        (void)bh_plan_wrong(cursor->reader, cursor->where, "\"%s\" is no number of 32 bits", key);
        return 0;
    }
    return (uint32_t)json_integer_value(value);
}

/* Written as "0x%x": nothing else is taken, so that a plan has one form. */
static uint64_t get_address(struct cursor *cursor, const char *key)
{
    const char *text = get_text(cursor, key, true);
    unsigned long long value;
    char again[24];

    if (text == NULL)
        return 0;
    errno = 0;
    value = strtoull(text, NULL, 16);
    (void)snprintf(again, sizeof(again), "0x%llx", value);
    if (errno != 0 || strcmp(again, text) != 0)
        (void)bh_plan_wrong(cursor->reader, cursor->where, "\"%s\" is no number like \"0x1000\"", key);
    return value;
}

/* One of `words`, by index. */
static unsigned get_word(struct cursor *cursor, const char *key, const char *const *words, unsigned count)
{
    const char *text = get_text(cursor, key, true);

    for (unsigned i = 0; text != NULL && i < count; i++) {
        if (strcmp(text, words[i]) == 0)
            return i;
    }
    if (text != NULL)
        (void)bh_plan_wrong(cursor->reader, cursor->where, "\"%s\" cannot be \"%s\"", key, text);
    return 0;
}

/* Elements of an array, with room for one struct each. NULL: wrong. An empty array gives room too. */
static const json_t *get_array(struct cursor *cursor, const char *key, size_t most, size_t size,
                               size_t *count, void *room)
{
    const json_t *array = member(cursor, key, true);
    void *memory;

    *count = 0;
    if (array == NULL)
        return NULL;
    if (!json_is_array(array) || json_array_size(array) > most) {
        (void)bh_plan_wrong(cursor->reader, cursor->where, "\"%s\" is no array of at most %zu", key, most);
        return NULL;
    }
    memory = bh_arena_alloc(&cursor->reader->box->arena, json_array_size(array), size);
    if (memory == NULL) {
        (void)no_memory(cursor->reader);
        return NULL;
    }
    memcpy(room, &memory, sizeof(memory));
    *count = json_array_size(array);
    return array;
}

static const char *below(struct bh_plan_reader *reader, const char *where, const char *name)
{
    const char *text = bh_arena_format(&reader->box->arena, "%s/%s", where, name == NULL ? "?" : name);

    if (text == NULL)
        (void)no_memory(reader);
    return text;
}

/* The name of an element of an array, for messages before it is entered. */
static const char *name_in(const json_t *object)
{
    const char *name = json_string_value(json_object_get(object, "name"));

    return name == NULL ? "?" : name;
}

/* An array of texts, kept with the plan. */
static void get_texts(struct cursor *cursor, const char *key, size_t most, size_t *count, char ***texts)
{
    struct bh_plan_reader *reader = cursor->reader;
    const json_t *array = get_array(cursor, key, most, sizeof(char *), count, texts);

    for (size_t i = 0; i < *count && reader->err == BH_OK; i++) {
        const char *text = json_string_value(json_array_get(array, i));

        (*texts)[i] = text == NULL ? NULL : bh_arena_string(&reader->box->arena, text);
        if ((*texts)[i] == NULL)
            (void)bh_plan_wrong(reader, cursor->where, "an element of \"%s\" is no string", key);
    }
}

static void parse_options(struct cursor *cursor, struct bh_plan_option **options, size_t *count)
{
    struct bh_plan_reader *reader = cursor->reader;
    const json_t *array = get_array(cursor, "options", 4096, sizeof(**options), count, options);

    for (size_t i = 0; i < *count && reader->err == BH_OK; i++) {
        struct cursor option = enter(reader, json_array_get(array, i), cursor->where);

        (*options)[i].name = get_text(&option, "name", true);
        (*options)[i].value = get_text(&option, "value", true);
        (void)leave(&option);
    }
}

static void parse_device(struct bh_plan_reader *reader, const json_t *object, const char *where,
                         struct bh_plan_device *device)
{
    static const char *const places[] = {"process"}, *const transports[] = {"vhost-user"},
                             *const terminals[] = {"daemon"};
    struct cursor cursor = enter(reader, object, where);

    device->name = get_text(&cursor, "name", true);
    device->node = get_text(&cursor, "node", true);
    device->line = get_number(&cursor, "line");
    device->class_name = get_text(&cursor, "class", true);
    device->virtio_id = get_number(&cursor, "virtio-id");
    device->place = (enum bh_plan_place)get_word(&cursor, "place", places, 1);
    device->transport = (enum bh_plan_transport)get_word(&cursor, "transport", transports, 1);
    device->socket = get_text(&cursor, "socket", true);
    device->folder = get_text(&cursor, "folder", false);
    device->console = json_object_get(object, "terminal") != NULL;
    if (device->console)
        (void)get_word(&cursor, "terminal", terminals, 1);
    device->pci_slot = get_number(&cursor, "pci-slot");
    device->link = device->net_switch = BH_PLAN_NONE;
    (void)member(&cursor, "link", false); /* resolved when all links and switches are known */
    (void)member(&cursor, "switch", false);
    parse_options(&cursor, &device->options, &device->option_count);
    device->program = get_text(&cursor, "program", false);
    if (device->program != NULL) {
        get_texts(&cursor, "arguments", 256, &device->argument_count, &device->arguments);
        get_texts(&cursor, "keeps", 2, &device->keep_count, &device->keeps);
    }
    (void)leave(&cursor);
}

static void parse_resources(struct cursor *cursor, struct bh_plan_domain *domain)
{
    struct bh_plan_reader *reader = cursor->reader;
    const json_t *array = get_array(cursor, "cpus", BH_PLAN_CPUS_MAX, sizeof(*domain->cpus),
                                    &domain->cpus_count, &domain->cpus);

    for (size_t i = 0; i < domain->cpus_count && reader->err == BH_OK; i++) {
        struct cursor entry = enter(reader, json_array_get(array, i), cursor->where);

        domain->cpus[i].cluster = get_text(&entry, "cluster", true);
        domain->cpus[i].mask = get_number(&entry, "mask");
        domain->cpus[i].exec_level = get_number(&entry, "exec-level");
        domain->cpu_count += (uint32_t)__builtin_popcount(domain->cpus[i].mask);
        (void)leave(&entry);
    }
    array =
        get_array(cursor, "memory", 4096, sizeof(*domain->memory), &domain->memory_count, &domain->memory);
    for (size_t i = 0; i < domain->memory_count && reader->err == BH_OK; i++) {
        struct cursor entry = enter(reader, json_array_get(array, i), cursor->where);

        domain->memory[i].host = get_address(&entry, "host");
        domain->memory[i].guest = get_address(&entry, "guest");
        domain->memory[i].size = get_address(&entry, "size");
        if (leave(&entry) &&
            __builtin_add_overflow(domain->memory_size, domain->memory[i].size, &domain->memory_size))
            (void)bh_plan_wrong(reader, cursor->where, "its memory's size is beyond 64 bits");
    }
}

static void parse_restart(struct cursor *cursor, enum bh_plan_restart *policy, uint32_t *limit,
                          uint32_t *window_ms)
{
    static const char *const policies[] = {"never", "on-failure", "always"};
    struct cursor entry = enter(cursor->reader, member(cursor, "restart", true), cursor->where);

    *policy = (enum bh_plan_restart)get_word(&entry, "policy", policies, 3);
    *limit = get_number(&entry, "limit");
    *window_ms = get_number(&entry, "window-ms");
    (void)leave(&entry);
}

static void parse_life(struct cursor *cursor, struct bh_plan_domain *domain)
{
    static const char *const kinds[] = {"started", "console"};
    struct bh_plan_reader *reader = cursor->reader;
    struct cursor entry = enter(reader, member(cursor, "ready", true), cursor->where);

    domain->ready.kind = (enum bh_plan_ready_kind)get_word(&entry, "kind", kinds, 2);
    domain->ready.console = BH_PLAN_NONE;
    (void)member(&entry, "console", false); /* resolved when the devices are known */
    domain->ready.pattern = get_text(&entry, "pattern", domain->ready.kind == BH_PLAN_READY_CONSOLE);
    domain->ready.timeout_ms = get_number(&entry, "timeout-ms");
    (void)leave(&entry);
    parse_restart(cursor, &domain->restart, &domain->restart_limit, &domain->restart_window_ms);
    get_texts(cursor, "excluded-engines", 64, &domain->excluded_engine_count, &domain->excluded_engines);
    (void)get_array(cursor, "after", BH_PLAN_DOMAINS_MAX, sizeof(*domain->after), &domain->after_count,
                    &domain->after); /* resolved when the domains are known */
}

static void parse_domain(struct bh_plan_reader *reader, const json_t *object, const char *where,
                         struct bh_plan_domain *domain)
{
    static const char *const kinds[] = {"vm"}, *const archs[] = {"arm64"};
    struct cursor cursor = enter(reader, object, where);
    struct bh_plan *plan = reader->plan;
    const json_t *devices;

    domain->name = get_text(&cursor, "name", true);
    domain->node = get_text(&cursor, "node", true);
    domain->line = get_number(&cursor, "line");
    domain->id = get_number(&cursor, "id");
    domain->kind = (enum bh_plan_kind)get_word(&cursor, "kind", kinds, 1);
    domain->arch = (enum bh_plan_arch)get_word(&cursor, "arch", archs, 1);
    domain->os_type = get_text(&cursor, "os-type", false);
    domain->kernel = get_text(&cursor, "kernel", true);
    domain->ramdisk = get_text(&cursor, "ramdisk", false);
    domain->bootargs = get_text(&cursor, "bootargs", true);
    parse_resources(&cursor, domain);
    parse_life(&cursor, domain);
    devices = member(&cursor, "devices", true);
    domain->device_first = (uint32_t)plan->device_count;
    if (!json_is_array(devices) || json_array_size(devices) > BH_PLAN_PCI_SLOTS) {
        (void)bh_plan_wrong(reader, where, "\"devices\" is no array of at most %d", BH_PLAN_PCI_SLOTS);
        return;
    }
    for (size_t i = 0; i < json_array_size(devices) && reader->err == BH_OK; i++) {
        const json_t *device = json_array_get(devices, i);

        plan->devices[plan->device_count].domain = (uint32_t)(domain - plan->domains);
        parse_device(reader, device, below(reader, where, name_in(device)),
                     &plan->devices[plan->device_count++]);
        domain->device_count++;
    }
    (void)leave(&cursor);
}

static void parse_link(struct bh_plan_reader *reader, const json_t *object, struct bh_plan_link *link)
{
    struct cursor cursor = enter(reader, object, below(reader, "links", name_in(object)));

    link->name = get_text(&cursor, "name", true);
    link->node = get_text(&cursor, "node", true);
    link->line = get_number(&cursor, "line");
    link->socket = get_text(&cursor, "socket", true);
    link->device[0] = link->device[1] = BH_PLAN_NONE;
    (void)member(&cursor, "ends", true); /* resolved when the devices are known */
    (void)leave(&cursor);
}

static void parse_switch(struct bh_plan_reader *reader, const json_t *object, struct bh_plan_switch *to)
{
    struct cursor cursor = enter(reader, object, below(reader, "switches", name_in(object)));
    const json_t *ports;

    to->name = get_text(&cursor, "name", true);
    to->node = get_text(&cursor, "node", true);
    to->line = get_number(&cursor, "line");
    parse_options(&cursor, &to->options, &to->option_count);
    parse_restart(&cursor, &to->restart, &to->restart_limit, &to->restart_window_ms);
    ports =
        get_array(&cursor, "ports", BH_PLAN_SWITCH_PORTS, sizeof(*to->ports), &to->port_count, &to->ports);
    for (size_t i = 0; i < to->port_count && reader->err == BH_OK; i++) {
        struct cursor port = enter(reader, json_array_get(ports, i), cursor.where);

        (void)member(&port, "device", true); /* resolved when the devices are known */
        to->ports[i].words = get_text(&port, "words", true);
        to->ports[i].socket = get_text(&port, "socket", true);
        (void)leave(&port);
    }
    (void)leave(&cursor);
}

/* How many devices there are, before any is read, so that they can have one array. */
static size_t count_devices(const json_t *domains)
{
    size_t count = 0;

    for (size_t i = 0; i < json_array_size(domains); i++)
        count += json_array_size(json_object_get(json_array_get(domains, i), "devices"));
    return count;
}

static void parse_creates(struct cursor *cursor)
{
    struct bh_plan *plan = cursor->reader->plan;
    const json_t *array = get_array(cursor, "creates", BH_PLAN_DEVICES_MAX, sizeof(*plan->creates),
                                    &plan->create_count, &plan->creates);

    for (size_t i = 0; i < plan->create_count && cursor->reader->err == BH_OK; i++) {
        struct cursor entry = enter(cursor->reader, json_array_get(array, i), "creates");

        plan->creates[i].path = get_text(&entry, "path", true);
        plan->creates[i].size = get_address(&entry, "size");
        (void)leave(&entry);
    }
}

static void parse_system(struct bh_plan_reader *reader, const json_t *root)
{
    struct cursor cursor = enter(reader, root, "the plan");
    struct bh_plan *plan = reader->plan;
    const json_t *domains, *links, *switches;
    size_t orders = 0, devices;

    (void)get_number(&cursor, "bulkhead-plan");
    plan->name = get_text(&cursor, "name", true);
    plan->source = get_text(&cursor, "source", true);
    domains = get_array(&cursor, "domains", BH_PLAN_DOMAINS_MAX, sizeof(*plan->domains), &plan->domain_count,
                        &plan->domains);
    links = get_array(&cursor, "links", BH_PLAN_DEVICES_MAX, sizeof(*plan->links), &plan->link_count,
                      &plan->links);
    switches = get_array(&cursor, "switches", BH_PLAN_DOMAINS_MAX, sizeof(*plan->switches),
                         &plan->switch_count, &plan->switches);
    (void)get_array(&cursor, "start-order", BH_PLAN_DOMAINS_MAX, sizeof(*plan->start_order), &orders,
                    &plan->start_order);
    if (reader->err == BH_OK && orders != plan->domain_count)
        (void)bh_plan_wrong(reader, "start-order", "it does not have each domain once");
    devices = count_devices(domains);
    if (devices > BH_PLAN_DEVICES_MAX)
        (void)bh_plan_wrong(reader, "domains", "there are more than %d devices", BH_PLAN_DEVICES_MAX);
    plan->devices = bh_arena_alloc(&reader->box->arena, devices, sizeof(*plan->devices));
    if (plan->devices == NULL)
        (void)no_memory(reader);
    for (size_t i = 0; i < plan->domain_count && reader->err == BH_OK; i++) {
        const json_t *domain = json_array_get(domains, i);

        parse_domain(reader, domain, below(reader, "domains", name_in(domain)), &plan->domains[i]);
    }
    for (size_t i = 0; i < plan->link_count && reader->err == BH_OK; i++)
        parse_link(reader, json_array_get(links, i), &plan->links[i]);
    for (size_t i = 0; i < plan->switch_count && reader->err == BH_OK; i++)
        parse_switch(reader, json_array_get(switches, i), &plan->switches[i]);
    parse_creates(&cursor);
    if (leave(&cursor))
        bh_plan_resolve(reader, root);
}

int bh_plan_from_json(const char *text, size_t length, const char *file, struct bh_diag_sink *sink,
                      struct bh_plan **plan)
{
    struct bh_plan_reader reader = {.file = file, .sink = sink, .box = bh_plan_box_create()};
    struct bh_diag_where where = {.file = file};
    json_error_t error;
    json_t *root, *version;

    if (reader.box == NULL)
        return BH_ERR_NOMEM;
    reader.plan = &reader.box->plan;
    root = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    version = json_object_get(root, "bulkhead-plan");
    if (root == NULL) {
        where.line = error.line > 0 ? (unsigned)error.line : 0;
        bh_error(sink, &where, "make the plan anew from the description", "this is no JSON: %s", error.text);
        reader.err = BH_ERR_SYNTAX;
    } else if (json_is_integer(version) && json_integer_value(version) != BH_PLAN_VERSION) {
        bh_error(sink, &where, "make the plan anew from the description",
                 "this is a plan of version %lld, not %d", (long long)json_integer_value(version),
                 BH_PLAN_VERSION);
        reader.err = BH_ERR_UNSUPPORTED;
    } else {
        parse_system(&reader, root);
        if (reader.err == BH_OK)
            (void)bh_plan_verify(&reader);
    }
    json_decref(root);
    if (reader.err == BH_OK)
        *plan = reader.plan;
    else
        bh_plan_free(reader.plan);
    return reader.err;
}
