/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line on the control socket of a device process that anybody wrote. Whatever it was, the answer is one line of JSON
 * that says whether it was done, and why not.
 */
#include "programs/device_control.h"
#include "tests/fuzz/target.h"
#include <bulkhead/impl/class.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static struct bh_features features(const struct bh_device *dev)
{
    return bh_class_ring_features();
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    return BH_READY_DRAINED;
}

static const struct bh_class class = {.name = "fuzzed", .features = features, .queue_ready = queue_ready};

/* A verb with an argument of every type. */
struct values {
    bool yes;
    uint64_t count, size;
    char *text, *path;
    int word;
    uint8_t mac[6];
    struct bh_option_list list;
};
#define AT(member) offsetof(struct values, member)

static const char *const words[] = {"up", "down", NULL};
static const struct bh_option table[] = {
    {.name = "yes", .type = BH_OPT_BOOL, .offset = AT(yes)},
    {.name = "count", .type = BH_OPT_UINT, .offset = AT(count), .max = 100, .required = true},
    {.name = "size", .type = BH_OPT_SIZE, .offset = AT(size), .def = "4K"},
    {.name = "text", .type = BH_OPT_STRING, .offset = AT(text), .def = "some"},
    {.name = "path", .type = BH_OPT_PATH, .offset = AT(path)},
    {.name = "word", .type = BH_OPT_ENUM, .offset = AT(word), .values = words},
    {.name = "mac", .type = BH_OPT_MAC, .offset = AT(mac)},
    {.name = "list", .type = BH_OPT_LIST, .offset = AT(list)},
    {.name = NULL},
};

/* What reaches a class was judged by the table. */
static int change(struct bh_hosted *hosted, const void *from, struct bh_diag_sink *sink)
{
    const struct values *values = from;
    if (values->count > 100 || values->word < 0 || values->word > 1 || !values->text)
        abort();
    return values->yes ? BH_OK : BH_ERR_BUSY;
}

static int touch(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink)
{
    bh_error(sink, NULL, "a hint \xc3", "it cannot be %s", "touched");
    return BH_ERR_IO;
}

static const struct bh_class_verb verbs[] = {
    {.name = "change",
     .summary = "change it",
     .arguments = table,
     .values_size = sizeof(struct values),
     .run = change},
    {.name = "touch", .summary = "touch it", .run = touch},
    {.name = NULL},
};

static const struct bh_hosted_class hosted_class = {.name = "fuzzed",
                                                    .summary = "nothing",
                                                    .options = table,
                                                    .values_size = sizeof(struct values),
                                                    .verbs = verbs};

static void check(const char *text)
{
    json_t *answer = json_loads(text, 0, NULL);
    const json_t *ok = json_object_get(answer, "ok");
    const char *error = json_string_value(json_object_get(answer, "error"));
    if (strchr(text, '\n') || json_integer_value(json_object_get(answer, "v")) != BH_CONTROL_VERSION ||
        !json_is_boolean(ok) || json_is_true(ok) == (error != NULL) || (error && !error[0]))
        abort();
    json_decref(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct values values = {0};
    const struct bh_option_set sets[] = {{table, &values, NULL}, {NULL, NULL, NULL}};
    struct bh_device dev;
    struct bh_mem mem;
    struct bh_hosted hosted = {.class = &hosted_class, .dev = &dev};
    const struct bh_control_subject subject = {.hosted = &hosted, .options = sets, .version = "0"};
    char *text;
    if (size > BH_CONTROL_LINE_MAX || bh_options_init(table, &values))
        return 0;
    bh_mem_init(&mem, NULL);
    bh_device_init(&dev, &class, &mem, NULL, NULL, 0);
    text = bh_control_answer(&subject, (const char *)data, size);
    if (!text)
        abort();
    check(text);
    free(text);
    bh_options_fini(table, &values);
    return 0;
}
