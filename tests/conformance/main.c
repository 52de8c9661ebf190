/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite's runner, bulkhead-conform: one class, over one transport, in both ring layouts and every
 * feature set, each case on a fresh device.
 */
#include "tests/conformance/conf.h"
#include "tests/conformance/options.h"
#include "tests/conformance/report.h"

#include <bulkhead/impl/diag.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUEST_BASE 0x40000000u
#define GUEST_SIZE (16u << 20)

enum { EXIT_CONFORMS, EXIT_FAILURES, EXIT_USAGE };

static const struct conf_class *const classes[] = {
    [CONF_BLK] = &conf_blk, [CONF_CONSOLE] = &conf_console, [CONF_NET] = &conf_net,
    [CONF_RNG] = &conf_rng, [CONF_VSOCK] = &conf_vsock,
};

struct feature_set {
    const char *name;
    unsigned bits[3], count;
};
static const struct feature_set feature_sets[] = {
    {"plain", {0}, 0},
    {"event_idx", {BH_F_EVENT_IDX}, 1},
    {"indirect", {BH_F_INDIRECT_DESC}, 1},
    {"in_order", {BH_F_IN_ORDER}, 1},
    {"all", {BH_F_EVENT_IDX, BH_F_INDIRECT_DESC, BH_F_IN_ORDER}, 3},
};

struct run {
    struct conf_options options;
    const struct conf_class *class;
    struct conf_plan plan;
    struct conf_report report;
    void *values;    /* of the class's options */
    bool unanswered; /* nobody listens where the first case looked: there is nothing to judge */
    char scratch_word[512];
};

/* --- running ------------------------------------------------------------------------------------------------ */

/* A back-end that is not there is said once, not for every case; one that goes away later has failed. */
static bool nobody_there(struct run *run, int err)
{
    if (err == BH_ERR_NOENT && run->plan.connect && run->report.count == 0) {
        bh_error(NULL, &(struct bh_diag_where){.file = run->plan.connect},
                 "start the back-end first, and name the socket that it listens on",
                 "no back-end answers there: %s", strerror(errno));
        run->unanswered = true;
    } else if (err && run->plan.program && run->report.count == 0) {
        bh_error(NULL, &(struct bh_diag_where){.file = run->plan.program},
                 "run it by hand with the words that stand behind --", "it does not answer as a back-end: %s",
                 bh_err_text(err));
        run->unanswered = true;
    }
    return run->unanswered;
}

static int open_device(const struct run *run, struct conf *conf)
{
    int err = bh_drv_guest_create(&conf->guest, bh_daddr(GUEST_BASE), GUEST_SIZE);
    if (err)
        return err;
    err = run->options.pipe ? conf_open_pipe(&run->plan, &conf->guest, &conf->side)
                            : conf_open_vhost(&run->plan, &conf->guest, &conf->side);
    if (err)
        bh_drv_guest_destroy(&conf->guest);
    return err;
}

static void close_device(struct conf *conf)
{
    conf->side->ops->close(conf->side);
    for (unsigned i = 0; i < CONF_QUEUES; i++)
        bh_drv_queue_destroy(&conf->queue[i]);
    bh_drv_guest_destroy(&conf->guest);
}

/* One case on one fresh device. */
static void run_case(struct run *run, bool packed, const struct feature_set *set, const struct conf_case *one)
{
    struct conf conf = {.plan = &run->plan, .class = run->class, .patience_ms = (int)run->options.patience};
    struct conf_result result = {.ring = packed ? "packed" : "split",
                                 .features = set->name,
                                 .name = one->name,
                                 .section = one->section};
    bh_features_set(&conf.wanted, BH_F_VERSION_1);
    if (packed)
        bh_features_set(&conf.wanted, BH_F_RING_PACKED);
    for (unsigned i = 0; i < set->count; i++)
        bh_features_set(&conf.wanted, set->bits[i]);
    const int err = open_device(run, &conf);
    if (nobody_there(run, err))
        return;
    if (err) {
        result.verdict = CONF_FAILED;
        snprintf(result.why, sizeof(result.why), "there is no device to judge: %s", bh_err_text(err));
        conf_report_add(&run->report, &result);
        return;
    }
    run->plan.reconnect_ms = conf.patience_ms;
    if (setjmp(conf.leave) == 0)
        one->run(&conf);
    else if (conf.skipped)
        result.verdict = CONF_SKIPPED;
    else if (conf.may_close && run->plan.connect && conf.side->ops->wait(conf.side, 0) == BH_ERR_CLOSED)
        snprintf(conf.why, sizeof(conf.why), "it closes the connection");
    else
        result.verdict = CONF_FAILED;
    snprintf(result.why, sizeof(result.why), "%s", conf.why);
    conf_report_add(&run->report, &result);
    close_device(&conf);
}

static void run_cases(struct run *run, bool packed, const struct feature_set *set, int part,
                      const struct conf_case *cases)
{
    if (run->options.part != CONF_PART_ALL && run->options.part != part)
        return;
    for (; cases->name && !run->unanswered; cases++)
        if (!run->options.only_case || strcmp(run->options.only_case, cases->name) == 0)
            run_case(run, packed, set, cases);
}

static void run_layout(struct run *run, bool packed)
{
    if (run->options.ring != CONF_RING_BOTH && (run->options.ring == CONF_RING_PACKED) != packed)
        return;
    for (unsigned s = 0; s < BH_COUNT(feature_sets); s++) {
        const struct feature_set *set = &feature_sets[s];
        if (run->options.features && strcmp(run->options.features, set->name) != 0)
            continue;
        run_cases(run, packed, set, CONF_PART_COMMON, conf_common_cases);
        run_cases(run, packed, set, CONF_PART_RING, conf_ring_cases);
        run_cases(run, packed, set, CONF_PART_CLASS, run->class->cases);
    }
}

/* --- what is to be run -------------------------------------------------------------------------------------- */

static void list(const struct conf_case *cases)
{
    for (; cases->name; cases++)
        printf("%s [%s]\n", cases->name, cases->section);
}

/* What is removed at the end; also when a signal is the end. */
static char scratch_path[256];

static void end_by_signal(int number)
{
    unlink(scratch_path);
    signal(number, SIG_DFL);
    raise(number); /* delivered when this returns */
}

static void remove_scratch_on_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < BH_COUNT(signals); i++)
        if (signal(signals[i], end_by_signal) == SIG_IGN)
            signal(signals[i], SIG_IGN); /* as under nohup */
}

static int make_scratch(struct run *run)
{
    char *bytes = strchr(run->options.scratch, ':');
    if (!bytes) {
        bh_error(NULL, NULL, "such as --scratch=blk-file:8388608", "--scratch has no size");
        return BH_ERR_INVAL;
    }
    *bytes++ = '\0';
    const char *folder = getenv("TMPDIR");
    if (!folder || !folder[0])
        folder = "/tmp";
    if ((size_t)snprintf(scratch_path, sizeof(scratch_path), "%s/bulkhead-conform-XXXXXX", folder) >=
        sizeof(scratch_path)) {
        bh_error(NULL, NULL, "set TMPDIR to a shorter one", "the scratch folder's path is too long");
        return BH_ERR_RANGE;
    }
    remove_scratch_on_signals();
    const int fd = mkstemp(scratch_path);
    const bool made = fd >= 0 && ftruncate(fd, strtoll(bytes, NULL, 0)) == 0;
    if (fd >= 0 && strcmp(bytes, "name") == 0)
        unlink(scratch_path); /* a socket that the device itself makes */
    if (fd >= 0) {
        run->plan.scratch = run->plan.host_path = scratch_path;
        close(fd);
    }
    if (!made)
        bh_error(NULL, NULL, NULL, "no scratch file can be made in %s: %s", folder, strerror(errno));
    snprintf(run->scratch_word, sizeof(run->scratch_word), "--%s=%s", run->options.scratch, scratch_path);
    return made ? BH_OK : BH_ERR_IO;
}

/* The class's options, from the command line or the class's own. argv[0] is not looked at by the parser. */
static int take_class_options(struct run *run, int count, char **words)
{
    const struct bh_option *table = run->class->hosted->options;
    char **argv = calloc((size_t)count + 64, sizeof(*argv));
    int argc = 1, next;

    run->values = calloc(1, run->class->hosted->values_size);
    if (!argv || !run->values)
        return BH_ERR_NOMEM;
    argv[0] = (char *)"bulkhead-conform";
    for (int i = 0; i < count; i++)
        argv[argc++] = words[i];
    for (unsigned i = 0; count == 0 && !run->plan.scratch && run->class->arguments[i]; i++)
        argv[argc++] = (char *)run->class->arguments[i];
    if (run->plan.scratch)
        argv[argc++] = run->scratch_word;
    run->plan.arguments = argv + 1;
    run->plan.values = run->values;
    const struct bh_option_set sets[] = {{table, run->values, NULL}, {NULL, NULL, NULL}};
    const int err = bh_options_init(table, run->values);

    return err ? err : bh_options_parse(sets, argc, argv, &next, NULL);
}

static int choose(struct run *run)
{
    const struct conf_options *options = &run->options;
    if (options->class == CONF_CLASS_NONE) {
        bh_error(NULL, NULL, "say --class=blk, console, net, rng or vsock", "which class is to be judged?");
        return BH_ERR_INVAL;
    }
    run->class = classes[options->class];
    if (!options->list && (options->socket_path != NULL) + (options->program != NULL) + options->pipe != 1) {
        bh_error(NULL, NULL, "say --socket-path=PATH",
                 "one device is to be judged: a socket's, a program's, or ours");
        return BH_ERR_INVAL;
    }
    run->plan.hosted = run->class->hosted;
    run->plan.queue_min = run->class->queues;
    run->plan.connect = options->socket_path;
    run->plan.host_path = options->host_path;
    run->plan.program = options->program;
    run->plan.in_band = options->in_band;
    run->plan.sim_seed = options->sim_seed;
    run->report = (struct conf_report){.form = options->tap    ? CONF_TAP
                                               : options->json ? CONF_JSON
                                                               : CONF_TEXT,
                                       .class_name = run->class->name,
                                       .device = options->pipe      ? "pipe"
                                                 : options->program ? options->program
                                                                    : options->socket_path};
    return BH_OK;
}

static int judge(struct run *run)
{
    if (run->options.list) {
        list(conf_common_cases);
        list(conf_ring_cases);
        list(run->class->cases);
        return EXIT_CONFORMS;
    }
    run_layout(run, false);
    run_layout(run, true);
    if (run->unanswered)
        return EXIT_USAGE;
    if (!conf_report_end(&run->report, run->options.junit)) {
        bh_error(NULL, NULL, NULL, "%s cannot be written", run->options.junit);
        return EXIT_USAGE;
    }
    if (run->report.count == 0) {
        bh_error(NULL, NULL, "--list shows them; the feature sets are in --help",
                 "no case of that name or set");
        return EXIT_USAGE;
    }
    return run->report.verdicts[CONF_FAILED] ? EXIT_FAILURES : EXIT_CONFORMS;
}

int main(int argc, char **argv)
{
    struct run run = {.options = {.class = CONF_CLASS_NONE}};
    const struct bh_option_set sets[] = {{conf_options, &run.options, NULL}, {NULL, NULL, NULL}};
    int rest, status = EXIT_USAGE;

    signal(SIGPIPE, SIG_IGN);
    if (bh_options_init(conf_options, &run.options) || bh_options_parse(sets, argc, argv, &rest, NULL))
        return EXIT_USAGE;
    if (run.options.help) {
        printf("usage: bulkhead conform --class=CLASS --socket-path=PATH [--option=value...]\n\n");
        fflush(stdout);
        bh_options_help(sets, STDOUT_FILENO);
        status = EXIT_CONFORMS;
    } else if (!choose(&run) && (!run.options.scratch || !make_scratch(&run)) &&
               !take_class_options(&run, argc - rest, argv + rest)) {
        status = judge(&run);
    }
    if (run.plan.scratch)
        unlink(run.plan.scratch);
    if (run.values)
        bh_options_fini(run.class->hosted->options, run.values);
    free(run.values);
    if (run.plan.arguments)
        free((void *)(run.plan.arguments - 1));
    conf_report_free(&run.report);
    bh_options_fini(conf_options, &run.options);
    return status;
}
