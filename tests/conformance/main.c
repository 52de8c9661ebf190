/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite's runner: one class over one transport and one ring layout, all feature sets; prints TAP.
 */
#include "tests/conformance/conf.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUEST_BASE 0x40000000u
#define GUEST_SIZE (16u << 20)

static const struct conf_class *const classes[] = {
    &conf_rng,
    &conf_blk,
    &conf_console,
    &conf_net,
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
    const struct conf_class *class;
    struct conf_plan plan;
    bool vhost, packed;
    const char *only_set, *only_part, *only_case;
    char *scratch_option; /* "blk-file:8388608" */
    char scratch_path[64], scratch_word[128];
    unsigned tests, failures;
};

static void usage(void)
{
    puts("conform --class=CLASS [--transport=pipe|vhost-user] [--ring=split|packed] [--features=SET]\n"
         "        [--part=common|ring|class] [--case=NAME]\n"
         "        [--exec=PROGRAM | --connect=SOCKET] [--scratch=OPTION:BYTES] [--sim=SEED] "
         "[--list] [-- "
         "CLASS-OPTION...]\n"
         "--scratch makes a file of so many bytes, names it to the class as --OPTION, and removes it.\n"
         "--sim (pipe): translations of guest memory are pending, split and forgotten, as the seed has it.");
}

/* One case on one fresh device. */
static void run_case(struct run *run, const struct feature_set *set, const struct conf_case *one)
{
    struct conf conf = {.plan = &run->plan, .class = run->class, .patience_ms = 5000};
    int err;

    bh_features_set(&conf.wanted, BH_F_VERSION_1);
    if (run->packed)
        bh_features_set(&conf.wanted, BH_F_RING_PACKED);
    for (unsigned i = 0; i < set->count; i++)
        bh_features_set(&conf.wanted, set->bits[i]);
    run->tests++;
    err = bh_drv_guest_create(&conf.guest, bh_daddr(GUEST_BASE), GUEST_SIZE);
    if (!err)
        err = run->vhost ? conf_open_vhost(&run->plan, &conf.guest, &conf.side)
                         : conf_open_pipe(&run->plan, &conf.guest, &conf.side);
    if (err) {
        run->failures++;
        printf("not ok %u - %s: %s (no device: %d)\n", run->tests, set->name, one->name, err);
        bh_drv_guest_destroy(&conf.guest);
        return;
    }
    if (setjmp(conf.leave) == 0) {
        one->run(&conf);
        printf("ok %u - %s: %s [%s]\n", run->tests, set->name, one->name, one->section);
    } else if (conf.skipped) {
        printf("ok %u - %s: %s # SKIP %s\n", run->tests, set->name, one->name, conf.why);
    } else {
        run->failures++;
        printf("not ok %u - %s: %s [%s]\n# %s\n", run->tests, set->name, one->name, one->section, conf.why);
    }
    fflush(stdout);
    conf.side->ops->close(conf.side);
    for (unsigned i = 0; i < CONF_QUEUES; i++)
        bh_drv_queue_destroy(&conf.queue[i]);
    bh_drv_guest_destroy(&conf.guest);
}

static void run_cases(struct run *run, const struct feature_set *set, const char *part,
                      const struct conf_case *cases)
{
    if (run->only_part && strcmp(run->only_part, part) != 0)
        return;
    for (; cases->name; cases++) {
        if (!run->only_case || strcmp(run->only_case, cases->name) == 0)
            run_case(run, set, cases);
    }
}

static void list(const struct conf_case *cases)
{
    for (; cases->name; cases++)
        printf("%s [%s]\n", cases->name, cases->section);
}

static int parse(struct run *run, int argc, char **argv, bool *only_list)
{
    static const struct option options[] = {
        {"class", 1, NULL, 'c'},    {"transport", 1, NULL, 't'}, {"ring", 1, NULL, 'r'},
        {"features", 1, NULL, 'f'}, {"case", 1, NULL, 'n'},      {"exec", 1, NULL, 'x'},
        {"sim", 1, NULL, 'm'},      {"part", 1, NULL, 'p'},      {"connect", 1, NULL, 'o'},
        {"scratch", 1, NULL, 's'},  {"list", 0, NULL, 'l'},      {"help", 0, NULL, 'h'},
        {NULL, 0, NULL, 0}};
    int option;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            for (unsigned i = 0; i < BH_COUNT(classes); i++)
                run->class = strcmp(classes[i]->name, optarg) == 0 ? classes[i] : run->class;
            break;
        case 't': run->vhost = strcmp(optarg, "vhost-user") == 0; break;
        case 'r': run->packed = strcmp(optarg, "packed") == 0; break;
        case 'f': run->only_set = optarg; break;
        case 'n': run->only_case = optarg; break;
        case 'x': run->plan.program = optarg; break;
        case 's': run->scratch_option = optarg; break;
        case 'o': run->plan.connect = optarg; break;
        case 'p': run->only_part = optarg; break;
        case 'm': run->plan.sim_seed = strtoull(optarg, NULL, 0); break;
        case 'l': *only_list = true; break;
        default: return -1;
        }
    }
    return run->class ? optind : -1;
}

static int make_scratch(struct run *run)
{
    char *bytes = strchr(run->scratch_option, ':');
    int fd;

    if (!bytes)
        return BH_ERR_INVAL;
    *bytes++ = '\0';
    snprintf(run->scratch_path, sizeof(run->scratch_path), "/tmp/bulkhead-conform-XXXXXX");
    fd = mkstemp(run->scratch_path);
    if (fd < 0)
        return BH_ERR_IO;
    run->plan.scratch = run->scratch_path;
    snprintf(run->scratch_word, sizeof(run->scratch_word), "--%s=%s", run->scratch_option, run->scratch_path);
    bytes = ftruncate(fd, strtoll(bytes, NULL, 0)) ? NULL : bytes;
    close(fd);
    return bytes ? BH_OK : BH_ERR_IO;
}

/* The class's options, from the command line or the class's own. argv[0] is not looked at by the parser. */
static int take_options(struct run *run, int count, char **words, void **values)
{
    const struct bh_option *table = run->class->hosted->options;
    char **argv = calloc((size_t)count + 64, sizeof(*argv));
    int argc = 1, next;

    *values = calloc(1, run->class->hosted->values_size);
    if (!argv || !*values)
        return BH_ERR_NOMEM;
    argv[0] = (char *)"conform";
    for (int i = 0; i < count; i++)
        argv[argc++] = words[i];
    for (unsigned i = 0; count == 0 && !run->plan.scratch && run->class->arguments[i]; i++)
        argv[argc++] = (char *)run->class->arguments[i];
    if (run->plan.scratch)
        argv[argc++] = run->scratch_word;
    run->plan.arguments = argv + 1;
    run->plan.values = *values;
    struct bh_option_set sets[] = {{table, *values, NULL}, {NULL, NULL, NULL}};
    int err = bh_options_init(table, *values);

    return err ? err : bh_options_parse(sets, argc, argv, &next, bh_diag_default());
}

int main(int argc, char **argv)
{
    struct run run = {0};
    bool only_list = false;
    void *values = NULL;
    int rest = parse(&run, argc, argv, &only_list);

    if (rest < 0) {
        usage();
        return 2;
    }
    if (only_list) {
        list(conf_common_cases);
        list(conf_ring_cases);
        list(run.class->cases);
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    run.plan.hosted = run.class->hosted;
    if (run.scratch_option && make_scratch(&run))
        return 2;
    if (take_options(&run, argc - rest, argv + rest, &values))
        return 2;
    for (unsigned s = 0; s < BH_COUNT(feature_sets); s++) {
        if (run.only_set && strcmp(run.only_set, feature_sets[s].name) != 0)
            continue;
        run_cases(&run, &feature_sets[s], "common", conf_common_cases);
        run_cases(&run, &feature_sets[s], "ring", conf_ring_cases);
        run_cases(&run, &feature_sets[s], "class", run.class->cases);
    }
    printf("1..%u\n", run.tests);
    if (run.plan.scratch)
        unlink(run.plan.scratch);
    bh_options_fini(run.class->hosted->options, values);
    free(values);
    free((void *)(run.plan.arguments - 1));
    return run.failures || !run.tests ? 1 : 0;
}
