/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead up`: check, plan and run a system; in the foreground until Ctrl-C, or detached once it is ready.
 */
#include "cli/plan_classes.h"
#include "cli/running.h"
#include "daemon/daemon.h"

#include <stdio.h>

struct up_values {
    struct bh_plan_words words; /* first: BH_PLAN_WORDS_OPTIONS */
    char *run_dir;
    char *engine;
    bool detach, quiet;
};

static const struct bh_option options[] = {
    {.name = "detach",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct up_values, detach),
     .help = "Return when the system is ready, and leave it running",
     .cli_only = true},
    {.name = "engine",
     .type = BH_OPT_STRING,
     .offset = offsetof(struct up_values, engine),
     .def = "auto",
     .arg = "NAME",
     .help = "What runs the domains: qemu, or auto for the first that can",
     .cli_only = true},
    {.name = "quiet",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct up_values, quiet),
     .help = "Print nothing but what goes wrong",
     .cli_only = true},
    BH_RUN_DIR_OPTION(offsetof(struct up_values, run_dir)),
    BH_PLAN_WORDS_OPTIONS,
    {NULL},
};

static int detach(struct bh_client *client, const struct bh_plan *plan, const struct up_values *values)
{
    json_t *answer;
    const int err = bh_ask(client, "detach", NULL, &answer);
    if (err)
        return BH_EXIT_FAILED;
    json_decref(answer);
    if (!values->quiet)
        printf("%s runs; `bulkhead ps`, `bulkhead console DOMAIN`, `bulkhead logs`, `bulkhead down`%s%s\n",
               plan->name, values->run_dir ? ", each with --run-dir=" : "",
               values->run_dir ? values->run_dir : "");
    return BH_EXIT_OK;
}

static int run_plan(const struct bh_plan *plan, const struct up_values *values)
{
    const struct bh_daemon_settings settings = {.run_dir = values->run_dir, .engine = values->engine};
    struct bh_client client;
    int control;
    int err = bh_daemon_start(plan, &settings, NULL, &control);
    if (err)
        return err == BH_ERR_NOENT ? BH_EXIT_USAGE : bh_exit_of(err);
    err = bh_client_take(&client, control);
    if (err) {
        bh_client_close(&client); /* which takes the system down */
        return BH_EXIT_FAILED;
    }
    int code = bh_follow(&client, plan->source, values->detach, values->quiet,
                         values->detach
                             ? NULL
                             : "Ctrl-C stops it; `bulkhead console DOMAIN` in another terminal attaches to "
                               "a console\n");
    if (values->detach && code == BH_EXIT_OK)
        code = detach(&client, plan, values);
    bh_client_close(&client);
    return code;
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    struct up_values values = {0};
    struct bh_plan *plan;
    const char *file;
    size_t word_count;
    int code = BH_EXIT_USAGE;
    if (bh_verb_parse(verb, argc, argv, &values, &file, 1, 1, &word_count))
        return code;
    const int err = bh_plan_of_words(&values.words, file, NULL, &plan);
    code = err ? bh_exit_of_plan(err) : run_plan(plan, &values);
    if (!err)
        bh_plan_free(plan);
    bh_options_fini(verb->options, &values);
    return code;
}

const struct bh_verb bh_verb_up = {
    .name = "up",
    .words = "SYSTEM.dts",
    .summary = "Run a system",
    .text = "Checks and plans the description, starts the device processes and the domains in their order, "
            "and tells of\n"
            "each that is ready. In the foreground it stays until Ctrl-C, which stops everything in good "
            "order (a second\n"
            "Ctrl-C at once); everything stops, too, when the command is killed. With --detach it returns "
            "when every domain\n"
            "is ready, or stops everything and fails when one does not come up.",
    .options = options,
    .run = run,
};
