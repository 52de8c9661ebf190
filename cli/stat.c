/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead stat`: what the device processes of a running system count, a line a queue; with --watch, how fast.
 */
#include "cli/running.h"

#include <bulkhead/impl/text.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct stat_values {
    struct bh_running_values running;
    bool watch, json;
    uint64_t interval_s;
};

static const struct bh_option options[] = {
    {.name = "watch",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct stat_values, watch),
     .help = "Go on, with rates in the place of sums, until Ctrl-C or the system's end",
     .cli_only = true},
    {.name = "interval",
     .type = BH_OPT_UINT,
     .offset = offsetof(struct stat_values, interval_s),
     .def = "1",
     .unit = "s",
     .min = 1,
     .max = 3600,
     .help = "With --watch: the time between two looks",
     .cli_only = true},
    {.name = "json",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct stat_values, json),
     .help = "Print one JSON object; with --watch one a line, each with the sums",
     .cli_only = true},
    BH_RUNNING_OPTIONS(struct stat_values),
    {NULL},
};

/* --- numbers ----------------------------------------------------------------------------------------------- */

enum { CELL = 16 };

static const struct column {
    const char *title, *key;
    unsigned thousand; /* of its prefixes */
} columns[] = {
    {"REQUESTS", "requests", 1000}, {"BYTES OUT", "bytes_out", 1024},    {"BYTES IN", "bytes_in", 1024},
    {"KICKS", "kicks", 1000},       {"NOTIFIED", "notifications", 1000}, {"SUPPRESSED", "suppressed", 1000},
};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

/* Whole as far as it fits into the table, then with a prefix. */
static void spell(double value, unsigned thousand, char text[CELL])
{
    static const char prefixes[] = "kMGTPE";
    int prefix = -1;
    while (value >= 100000 && prefix + 1 < (int)sizeof(prefixes) - 1) {
        value /= thousand;
        prefix++;
    }
    if (prefix < 0)
        snprintf(text, CELL, "%.0f", value);
    else
        snprintf(text, CELL, "%.1f%c", value, prefixes[prefix]);
}

static double number_of(const json_t *object, const char *key)
{
    return (double)json_integer_value(json_object_get(object, key));
}

/* What a device process says of itself may come from a guest that broke it: no control characters on a terminal. */
static const char *plain(const char *text, char kept[128])
{
    snprintf(kept, 128, "%s", text);
    bh_text_clean_ascii(kept, strlen(kept));
    return kept;
}

/* --- one report -------------------------------------------------------------------------------------------- */

/* The same device's counters in the report before; NULL: there was none, or it began to count anew since. */
static const json_t *counters_before(const json_t *before, const char *name)
{
    const json_t *device;
    size_t index;
    json_array_foreach(json_object_get(before, "devices"), index, device)
    {
        if (!strcmp(bh_text_of(device, "name"), name))
            return json_object_get(device, "counters");
    }
    return NULL;
}

/* Since `before` (NULL: the beginning). A process that was started again counts anew: what is there was counted since. */
static double growth(const json_t *now, const json_t *before, const char *key)
{
    const double value = number_of(now, key), earlier = before ? number_of(before, key) : 0;
    return value < earlier ? value : value - earlier;
}

static void print_queue(const json_t *queue, const json_t *before, double seconds, const char *name)
{
    char cell[CELL];
    printf("%-28s %5d", name, (int)number_of(queue, "index"));
    for (size_t i = 0; i < COLUMNS; i++) {
        const double value = growth(queue, before, columns[i].key);
        spell(seconds > 0 ? value / seconds : value, columns[i].thousand, cell);
        printf(" %10s", cell);
    }
    printf("\n");
}

/* What should be nought and is not, as "member: count", on one line. */
static void print_trouble(const json_t *counters, const struct bh_colours *c)
{
    static const char *const members[][2] = {
        {"device", "needs_reset"},    {"device", "features_refused"},    {"device", "status_refused"},
        {"device", "config_refused"}, {"transport", "malformed"},        {"transport", "refused"},
        {"transport", "lost_memory"}, {"transport", "unasked_features"},
    };
    const json_t *queue;
    json_t *count;
    const char *reason;
    char kept[128];
    size_t index;
    bool any = false;
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        const double value = number_of(json_object_get(counters, members[i][0]), members[i][1]);
        if (value > 0)
            printf("%s%s %.0f", any ? ", " : c->bad, members[i][1], value);
        any |= value > 0;
    }
    json_array_foreach(json_object_get(counters, "queues"), index, queue)
    {
        json_object_foreach(json_object_get(queue, "broken"), reason, count)
        {
            printf("%squeue %zu: %s %.0f", any ? ", " : c->bad, index, plain(reason, kept),
                   (double)json_integer_value(count));
            any = true;
        }
    }
    if (any)
        printf("%s\n", c->off);
}

/* --- a switch's ports -------------------------------------------------------------------------------------- */

static const struct column port_columns[] = {
    {"FRAMES IN", "frames_in", 1000}, {"BYTES IN", "bytes_in", 1024}, {"FRAMES OUT", "frames_out", 1000},
    {"BYTES OUT", "bytes_out", 1024}, {"FLOODED", "flooded", 1000},   {"SLOWED", "slowed", 1000},
};
static const char *const port_drops[] = {"wrong_vlan", "foreign_mac", "malformed", "full"};

static void print_port_drops(const json_t *port, const struct bh_colours *c)
{
    bool any = false;
    for (size_t i = 0; i < sizeof(port_drops) / sizeof(port_drops[0]); i++) {
        const double value = number_of(port, port_drops[i]);
        if (value > 0)
            printf("%s%s %.0f", any ? ", " : c->bad, port_drops[i], value);
        any |= value > 0;
    }
    if (any)
        printf("%s\n", c->off);
}

/* Before the first of them: what the columns are here. */
static void print_ports(const json_t *device, const json_t *ports, const json_t *former, double seconds,
                        const struct bh_colours *c)
{
    char cell[CELL], title[160], kept[128];
    const json_t *port;
    size_t index;
    snprintf(title, sizeof(title), "%s, PORT", bh_text_of(device, "name"));
    printf("%s%-34s", c->bold, title);
    for (size_t i = 0; i < COLUMNS; i++)
        printf(" %10s", port_columns[i].title);
    printf("%s\n", c->off);
    json_array_foreach(ports, index, port)
    {
        const json_t *before = json_array_get(former, index);
        printf("%-34s", plain(bh_text_of(port, "name"), kept));
        for (size_t i = 0; i < COLUMNS; i++) {
            spell(growth(port, before, port_columns[i].key) / (seconds > 0 && before ? seconds : 1),
                  port_columns[i].thousand, cell);
            printf(" %10s", cell);
        }
        printf("\n");
        print_port_drops(port, c);
    }
}

static void print_device(const json_t *device, const json_t *before, double seconds,
                         const struct bh_colours *c)
{
    const json_t *counters = json_object_get(device, "counters"), *queue;
    const json_t *former = seconds > 0 ? counters_before(before, bh_text_of(device, "name")) : NULL;
    char kept[128];
    size_t index;
    if (!counters) {
        printf("%-28s %s%s: %s%s\n", bh_text_of(device, "name"), c->bad, bh_text_of(device, "state"),
               plain(bh_text_of(device, "error"), kept), c->off);
        return;
    }
    if (json_object_get(counters, "ports"))
        print_ports(device, json_object_get(counters, "ports"), json_object_get(former, "ports"), seconds, c);
    json_array_foreach(json_object_get(counters, "queues"), index, queue)
    {
        print_queue(queue, json_array_get(json_object_get(former, "queues"), index), former ? seconds : 0,
                    index ? "" : bh_text_of(device, "name"));
    }
    print_trouble(counters, c);
}

static void print_titles(double seconds, const struct bh_colours *c)
{
    printf("%s%-28s QUEUE", c->bold, seconds > 0 ? "EACH SECOND" : "DEVICE");
    for (size_t i = 0; i < COLUMNS; i++)
        printf(" %10s", columns[i].title);
    printf("%s\n", c->off);
}

/* Rates since `before`, which is `seconds` old; sums where that is 0. Switches have columns of their own, and come last. */
static void print_report(const json_t *report, const json_t *before, double seconds, bool clear)
{
    const struct bh_colours c = bh_colours_for(STDOUT_FILENO);
    const json_t *device;
    size_t index;
    bool titled = false;
    if (clear)
        printf("\033[H\033[2J");
    for (int switches = 0; switches < 2; switches++) {
        json_array_foreach(json_object_get(report, "devices"), index, device)
        {
            if (!strcmp(bh_text_of(device, "class"), "switch") != (switches == 1))
                continue;
            if (!switches && !titled)
                print_titles(seconds, &c);
            titled = true;
            print_device(device, before, seconds, &c);
        }
    }
}

/* --- the verb ---------------------------------------------------------------------------------------------- */

static int look(struct bh_client *client, const char *name, json_t **report)
{
    const int err = bh_ask(client, "stat", name ? json_pack("{s:s}", "name", name) : NULL, report);
    if (err)
        return err;
    json_object_del(*report, "ok");
    json_object_del(*report, "v");
    return BH_OK;
}

static int once(struct bh_client *client, const struct stat_values *values, const char *name)
{
    json_t *report;
    if (look(client, name, &report))
        return BH_EXIT_NOT_RUNNING;
    if (values->json) {
        json_dumpf(report, stdout, JSON_INDENT(2));
        printf("\n");
    } else {
        print_report(report, NULL, 0, false);
    }
    json_decref(report);
    return fflush(stdout) ? BH_EXIT_FAILED : BH_EXIT_OK;
}

/* The first look has nothing to compare with: it shows sums. */
static int watch(struct bh_client *client, const struct stat_values *values, const char *name)
{
    const bool terminal = isatty(STDOUT_FILENO);
    json_t *before = NULL, *report;
    uint64_t then = 0;
    bool shown = true;
    while (shown && !look(client, name, &report)) {
        const uint64_t now = bh_loop_now();
        if (values->json) {
            json_dumpf(report, stdout, JSON_COMPACT);
            printf("\n");
        } else {
            if (before && !terminal)
                printf("\n");
            print_report(report, before, before ? (double)(now - then) / 1e9 : 0, terminal);
        }
        json_decref(before);
        before = report;
        then = now;
        shown = !fflush(stdout);
        if (shown)
            sleep((unsigned)values->interval_s);
    }
    json_decref(before);
    return shown ? BH_EXIT_NOT_RUNNING : BH_EXIT_FAILED; /* the system's end, or nobody reads */
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    struct stat_values values = {0};
    struct bh_client client;
    const char *name = NULL;
    size_t word_count;
    if (bh_verb_parse(verb, argc, argv, &values, &name, 0, 1, &word_count))
        return BH_EXIT_USAGE;
    const int err = bh_client_connect(&client, values.running.run_dir, values.running.system, NULL);
    int code = bh_exit_of(err);
    if (!err) {
        code = values.watch ? watch(&client, &values, name) : once(&client, &values, name);
        bh_client_close(&client);
    }
    bh_options_fini(verb->options, &values);
    return code;
}

const struct bh_verb bh_verb_stat = {
    .name = "stat",
    .words = "[NAME]",
    .summary = "Show what the devices count",
    .text =
        "For each queue of each device, or of the domain or device NAME: requests, bytes from the driver "
        "(out) and for it\n"
        "(in), kicks received, notifications sent and suppressed; below a device, in red, what should not "
        "happen: broken\n"
        "queues with their reasons, refused and malformed messages. Of a switch: frames and bytes from each "
        "of "
        "its ports (in)\n"
        "and to it (out), and what was dropped. --json has all that is counted. The "
        "same is served as\n"
        "Prometheus text at /metrics of metrics.sock in the run directory.",
    .options = options,
    .run = run,
};
