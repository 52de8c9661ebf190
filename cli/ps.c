/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead ps`: what runs: every system, its daemon, domains and device processes.
 */
#include "cli/running.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ps_values {
    struct bh_running_values running;
    bool json;
};

static const struct bh_option options[] = {
    {.name = "json",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct ps_values, json),
     .help = "Print one JSON array of systems",
     .cli_only = true},
    BH_RUNNING_OPTIONS(struct ps_values),
    {NULL},
};

enum { SYSTEMS_MAX = 64 };

static void print_unit(const json_t *unit, const struct bh_colours *c)
{
    const char *state = bh_text_of(unit, "state"), *class_name = bh_text_of(unit, "class");
    const int restarts = (int)json_integer_value(json_object_get(unit, "restarts"));
    const int pid = (int)json_integer_value(json_object_get(unit, "pid"));
    const char *cause = bh_text_of(unit, "cause"),
               *why = strcmp(state, "ready") != 0 ? bh_text_of(unit, "why") : "";
    char number[16] = "-", again[32] = "";
    if (pid)
        snprintf(number, sizeof(number), "%d", pid);
    if (restarts)
        snprintf(again, sizeof(again), " (restarts: %d)", restarts);
    printf("  %-28s %-8s %s%-9s%s %8s  %s%s%s%s%s\n", bh_text_of(unit, "name"),
           class_name[0] ? class_name : "domain", bh_state_colour(c, state), state, c->off, number,
           bh_text_of(unit, "status"), cause, cause[0] && why[0] ? ": " : "", why, again);
}

static void print_system(const json_t *report)
{
    const struct bh_colours c = bh_colours_for(STDOUT_FILENO);
    size_t index;
    const json_t *unit;
    printf("%s%s%s  %s on engine %s, daemon %d, %s\n", c.bold, bh_text_of(report, "system"), c.off,
           bh_text_of(report, "state"), bh_text_of(report, "engine"),
           (int)json_integer_value(json_object_get(report, "pid")), bh_text_of(report, "run_dir"));
    json_array_foreach(json_object_get(report, "units"), index, unit) print_unit(unit, &c);
}

static int report_of(const struct ps_values *values, const char *name, json_t **report)
{
    struct bh_client client;
    int err = bh_client_connect(&client, values->running.run_dir, name, NULL);
    if (err)
        return err;
    err = bh_ask(&client, "ps", NULL, report);
    bh_client_close(&client);
    if (!err) {
        json_object_del(*report, "ok");
        json_object_del(*report, "v");
    }
    return err;
}

static int show(const struct ps_values *values)
{
    char names[SYSTEMS_MAX][BH_SYSTEM_NAME_MAX];
    size_t count = 1;
    json_t *all = json_array(), *report;
    int err = BH_OK;
    if (values->running.system)
        snprintf(names[0], sizeof(names[0]), "%s", values->running.system);
    else
        count = bh_client_systems(values->running.run_dir, names, SYSTEMS_MAX);
    for (size_t i = 0; i < count && !err; i++) {
        err = report_of(values, names[i], &report);
        if (!err)
            json_array_append_new(all, report);
    }
    if (!err && values->json) {
        json_dumpf(all, stdout, JSON_INDENT(2));
        printf("\n");
    } else if (!err && !count) {
        printf("no system is running\n");
    }
    for (size_t i = 0; !err && !values->json && i < json_array_size(all); i++)
        print_system(json_array_get(all, i));
    json_decref(all);
    return bh_exit_of(err);
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    struct ps_values values = {0};
    size_t word_count;
    if (bh_verb_parse(verb, argc, argv, &values, NULL, 0, 0, &word_count))
        return BH_EXIT_USAGE;
    const int code = show(&values);
    bh_options_fini(verb->options, &values);
    return code;
}

const struct bh_verb bh_verb_ps = {
    .name = "ps",
    .words = "",
    .summary = "Show what runs",
    .text =
        "Lists the running systems: the daemon, each domain, device process and switch with its state and "
        "its pid. States are\n"
        "waiting, starting, running (not ready yet), ready, stopping, backoff (failed, starts again "
        "soon), stopped, failed.",
    .options = options,
    .run = run,
};
