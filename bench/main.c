/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bulkhead-bench: measures Bulkhead's devices, and others' beside them, over vhost-user with a driver of its own.
 */
#include "bench/choice.h"
#include "bench/contest.h"
#include "bench/contestants.h"
#include "bench/report.h"
#include "bench/scratch.h"

#include <bulkhead/impl/diag.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WORDS_MAX = 64 };
enum { EXIT_DONE = 0, EXIT_BAD = 1, EXIT_USAGE = 2, EXIT_INTERRUPTED = 130 };

struct run {
    struct bench_options options;
    struct bench_choice choice;
    struct bench_recipe recipes[BENCH_RECIPES];
    struct bench_machine machine;
    struct bench_place place;
    struct bench_rules rules;
    struct bench_report report;
    struct bench_case *cases;
    size_t case_count, case_room, case_now;
    bool terminal; /* progress is drawn over itself */
};

static void stop(int number)
{
    bench_stopped = number;
}

static void stop_on_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction action = {.sa_handler = stop};

    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < BH_COUNT(signals); i++)
        if (sigaction(signals[i], &action, NULL))
            bh_warn(NULL, NULL, NULL, "a signal cannot be caught: %s", strerror(errno));
}

/* --- what is asked for --------------------------------------------------------------------------------------- */

static int keep_case(void *owner, const struct bench_case *one)
{
    struct run *run = owner;

    if (run->case_count == run->case_room) {
        const size_t room = run->case_room ? 2 * run->case_room : 64;
        struct bench_case *more = realloc(run->cases, room * sizeof(*more));

        if (!more)
            return BH_ERR_NOMEM;
        run->cases = more;
        run->case_room = room;
    }
    run->cases[run->case_count++] = *one;
    return BH_OK;
}

static int choose_workload(struct run *run, const char *name)
{
    const struct bench_workload *workload = bench_workload_find(name);
    const char *names[64], *near;
    char hint[96] = "--list shows them";
    size_t count = 0;

    if (workload)
        return bench_choice_expand(&run->choice, workload, keep_case, run);
    for (workload = bench_workloads; workload->name && count < BH_COUNT(names); workload++)
        names[count++] = workload->name;
    near = bh_did_you_mean(name, names, count);
    if (near)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    bh_error(NULL, NULL, hint, "there is no workload \"%s\"", name);
    return BH_ERR_NOENT;
}

static int choose(struct run *run, size_t count, const char *const *words)
{
    int err = bench_choice_read(&run->choice, &run->options);

    if (!err && run->options.all == (count > 0)) {
        bh_error(NULL, NULL, "--list shows the workloads",
                 count ? "--all takes no words" : "name a workload, or say --all");
        err = BH_ERR_INVAL;
    }
    for (size_t i = 0; i < count && !err; i++)
        err = choose_workload(run, words[i]);
    for (const struct bench_workload *w = bench_workloads; run->options.all && w->name && !err; w++)
        err = bench_choice_expand(&run->choice, w, keep_case, run);
    if (!err && run->case_count == 0) {
        bh_error(NULL, NULL, "--list shows what each knows", "nothing fits all of these options");
        err = BH_ERR_INVAL;
    }
    return err ? err : bench_contestants_choose(&run->options, run->recipes, &run->rules.recipe_count);
}

static void list(FILE *file)
{
    for (const struct bench_workload *workload = bench_workloads; workload->name; workload++)
        fprintf(file, "  %-16s %s\n", workload->name, workload->summary);
}

static void help(const struct bh_option_set *sets)
{
    printf("usage: bulkhead bench [--option=value...] WORKLOAD...\n"
           "       bulkhead bench [--option=value...] --all\n\n"
           "Measures Bulkhead's devices, and the peers that this machine has, in turn.\n\nWorkloads:\n");
    list(stdout);
    printf("\n");
    fflush(stdout);
    bh_options_help(sets, STDOUT_FILENO);
}

/* --- the run ------------------------------------------------------------------------------------------------- */

static void progress(void *owner, const struct bench_case *one, const char *who, unsigned done, unsigned all)
{
    const struct run *run = owner;
    char text[BENCH_TEXT];

    if (!run->terminal)
        return;
    bench_case_text(one, text, sizeof(text));
    fprintf(stderr, "\r\033[K[%zu/%zu] %s, %s: %s, sample %u of %u", run->case_now + 1, run->case_count,
            one->workload->name, text, who, done < all ? done + 1 : all, all);
    fflush(stderr);
}

static int run_cases(struct run *run)
{
    int err = BH_OK;

    for (run->case_now = 0; run->case_now < run->case_count && !err; run->case_now++) {
        struct bench_contest *contest = bench_report_next(&run->report);

        if (!contest)
            return BH_ERR_NOMEM;
        contest->one = run->cases[run->case_now];
        err = bench_contest_run(contest, &run->rules, progress, run);
        if (run->terminal)
            fprintf(stderr, "\r\033[K");
        if (err)
            break;
        run->report.count++;
        if (!run->options.json) {
            bench_print_contest(stdout, contest);
            fflush(stdout);
        }
    }
    return err;
}

static int write_file(const struct run *run, const char *name,
                      int (*write)(const struct bench_report *report, FILE *file))
{
    char path[4096];
    FILE *file;
    int err = BH_ERR_IO;

    snprintf(path, sizeof(path), "%s/%s", run->options.out, name);
    file = fopen(path, "we");
    if (file) {
        err = write(&run->report, file);
        if (fclose(file))
            err = BH_ERR_IO;
    }
    if (err)
        bh_error(NULL, &(struct bh_diag_where){.file = path}, NULL, "it cannot be written: %s",
                 strerror(errno));
    return err;
}

static int write_reports(struct run *run)
{
    int err = BH_OK;

    if (run->options.json)
        err = bench_write_json(&run->report, stdout);
    if (!err && run->options.out)
        err = write_file(run, "bench.json", bench_write_json);
    if (!err && run->options.out)
        err = write_file(run, "bench.html", bench_write_html);
    if (!err && run->options.out && !run->options.json)
        printf("\n%s/bench.html, %s/bench.json\n", run->options.out, run->options.out);
    return err;
}

/* Did our own device fail in any case? Then so did the run. */
static bool ours_failed(const struct bench_report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const struct bench_contest *contest = &report->contests[i];

        if (contest->result[0].figure[contest->one.workload->shown[0]].count == 0)
            return true;
    }
    return false;
}

static int measure(struct run *run)
{
    uint32_t stores = 0;
    int err, written;

    if (run->options.out && mkdir(run->options.out, 0777) && errno != EEXIST) {
        bh_error(NULL, &(struct bh_diag_where){.file = run->options.out}, NULL,
                 "no such folder can be made: %s", strerror(errno));
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < run->case_count; i++)
        stores |= 1u << run->cases[i].store;
    if (!run->options.json)
        bench_print_machine(stdout, &run->report);
    bench_machine_pin(&run->machine);
    err = bench_scratch_make(&run->place, &run->options, stores, run->rules.recipe_count);
    if (!err)
        err = run_cases(run);
    bench_scratch_remove(&run->place);
    run->report.interrupted = bench_stopped;
    written = write_reports(run);
    if (bench_stopped)
        return EXIT_INTERRUPTED;
    return err || written || ours_failed(&run->report) ? EXIT_BAD : EXIT_DONE;
}

static void set_rules(struct run *run)
{
    const time_t now = time(NULL);
    struct tm local;

    bench_machine_read(&run->machine);
    run->place.backend_cpu = run->machine.backend_cpu;
    run->rules.rounds = (unsigned)run->options.rounds;
    run->rules.retries = (unsigned)run->options.retries;
    run->rules.seconds = (double)run->options.duration_ms / 1e3;
    run->rules.warm_up = (double)run->options.warm_up_ms / 1e3;
    run->rules.foreign_limit = (double)run->options.foreign_percent / 100;
    run->rules.instructions = run->options.instructions;
    run->rules.machine = &run->machine;
    run->rules.place = &run->place;
    run->rules.recipes = run->recipes;
    run->report.machine = &run->machine;
    run->report.rules = &run->rules;
    run->terminal = isatty(STDERR_FILENO);
    if (localtime_r(&now, &local))
        strftime(run->report.when, sizeof(run->report.when), "%Y-%m-%d %H:%M %Z", &local);
}

/* The words, as they may be typed again. */
static char *join(int argc, char **argv)
{
    size_t size = sizeof("bulkhead bench");
    char *text;

    for (int i = 1; i < argc; i++)
        size += strlen(argv[i]) + 3;
    text = malloc(size);
    if (!text)
        return NULL;
    strcpy(text, "bulkhead bench");
    for (int i = 1; i < argc; i++) {
        const bool quoted = strpbrk(argv[i], " '{}$") != NULL;

        sprintf(text + strlen(text), quoted ? " '%s'" : " %s", argv[i]);
    }
    return text;
}

/* Options and words in any order. */
static int read_words(const struct bh_option_set *sets, int argc, char **argv, const char **words,
                      size_t *count)
{
    int err = BH_OK;

    for (int at = 0, next; at + 1 < argc && !err; at += next) {
        err = bh_options_parse(sets, argc - at, argv + at, &next, NULL);
        if (err || at + next >= argc)
            break;
        if (*count == WORDS_MAX)
            return BH_ERR_RANGE;
        words[(*count)++] = argv[at + next];
    }
    return err;
}

int main(int argc, char **argv)
{
    static struct bh_diag_text text;
    static struct run run;
    const struct bh_option_set sets[] = {{bench_options, &run.options, NULL}, {NULL, NULL, NULL}};
    const char *words[WORDS_MAX];
    size_t count = 0;
    int status = EXIT_USAGE;

    bh_diag_text_init(&text, STDERR_FILENO, "bulkhead-bench");
    bh_diag_set_default(&text.sink);
    stop_on_signals();
    run.report.command = join(argc, argv);
    if (!run.report.command || bh_options_init(bench_options, &run.options) ||
        read_words(sets, argc, argv, words, &count)) {
        bench_report_free(&run.report);
        return EXIT_USAGE;
    }
    if (run.options.help || run.options.list) {
        if (run.options.help)
            help(sets);
        else
            list(stdout);
        status = EXIT_DONE;
    } else if (!choose(&run, count, words)) {
        set_rules(&run);
        status = measure(&run);
    }
    free(run.cases);
    bench_report_free(&run.report);
    bh_options_fini(bench_options, &run.options);
    return status;
}
