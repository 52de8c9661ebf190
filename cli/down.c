/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead down`: stop a running system and see that nothing of it is left.
 */
#include "cli/running.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct down_values {
    struct bh_running_values running;
    bool now, quiet;
};

static const struct bh_option options[] = {
    {.name = "now",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct down_values, now),
     .help = "Kill instead of asking the domains to end",
     .cli_only = true},
    {.name = "quiet",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct down_values, quiet),
     .help = "Print nothing but what goes wrong",
     .cli_only = true},
    BH_RUNNING_OPTIONS(struct down_values),
    {NULL},
};

/* Everything that the daemon had names of before it went; its lock tells the rest. */
static int see_that_all_is_gone(const json_t *report, bool quiet)
{
    const char *name = json_string_value(json_object_get(report, "system"));
    const char *run_dir = json_string_value(json_object_get(report, "run_dir"));
    const json_t *unit;
    size_t index, left = 0, count = json_array_size(json_object_get(report, "units"));
    if (!bh_wait_gone((int)json_integer_value(json_object_get(report, "pid")), 5000))
        left++;
    json_array_foreach(json_object_get(report, "units"), index, unit)
    {
        const int pid = (int)json_integer_value(json_object_get(unit, "pid"));
        if (pid && !bh_wait_gone(pid, 2000))
            left++;
    }
    if (left || (run_dir && !access(run_dir, F_OK))) {
        bh_error(NULL, NULL, NULL, "%zu processes are still there%s%s", left,
                 run_dir && !access(run_dir, F_OK) ? ", and " : "",
                 run_dir && !access(run_dir, F_OK) ? run_dir : "");
        return BH_EXIT_FAILED;
    }
    if (!quiet)
        printf("%s is down; its daemon and %zu parts are gone, nothing is left\n", name ? name : "the system",
               count);
    return BH_EXIT_OK;
}

/* BH_ERR_CLOSED: the daemon went away meanwhile. Else *code is the exit code. */
static int try_down(const struct down_values *values, struct bh_client *client, int *code)
{
    json_t *report, *answer;
    int err = bh_client_ask(client, "ps", NULL, NULL, &report);
    *code = BH_EXIT_FAILED;
    if (err)
        return err;
    err = bh_client_ask(client, "down", json_pack("{s:b}", "now", values->now), NULL, &answer);
    if (!err) {
        json_decref(answer);
        bh_follow(client, NULL, false, values->quiet, NULL);
        *code = see_that_all_is_gone(report, values->quiet);
    }
    json_decref(report);
    return err;
}

/*
 * A daemon that was killed, or is ending, closes the connection before it answers. The kernel takes its parts along;
 * the next look finds that none runs.
 */
static int down(const struct down_values *values)
{
    struct bh_client client;
    int code = BH_EXIT_FAILED;
    for (unsigned i = 0; i < 50; i++) {
        int err = bh_client_connect(&client, values->running.run_dir, values->running.system, NULL);
        if (err)
            return bh_exit_of(err);
        err = try_down(values, &client, &code);
        bh_client_close(&client);
        if (err != BH_ERR_CLOSED)
            return code;
        usleep(100000);
    }
    bh_error(NULL, NULL, NULL, "the system's daemon takes connections and does not answer");
    return code;
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    struct down_values values = {0};
    size_t word_count;
    if (bh_verb_parse(verb, argc, argv, &values, NULL, 0, 0, &word_count))
        return BH_EXIT_USAGE;
    const int code = down(&values);
    bh_options_fini(verb->options, &values);
    return code;
}

const struct bh_verb bh_verb_down = {
    .name = "down",
    .words = "",
    .summary = "Stop a running system",
    .text = "Stops the domains in the reverse of their start order, then the device processes, then the "
            "daemon, and says so when\n"
            "nothing is left. A domain that does not end in time is killed.",
    .options = options,
    .run = run,
};
