/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report's words, and the tables of the terminal.
 */
#include "bench/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct bench_contest *bench_report_next(struct bench_report *report)
{
    if (report->count == report->room) {
        const size_t room = report->room ? 2 * report->room : 16;
        struct bench_contest *more = realloc(report->contests, room * sizeof(*more));

        if (!more)
            return NULL;
        report->contests = more;
        report->room = room;
    }
    memset(&report->contests[report->count], 0, sizeof(report->contests[0]));
    return &report->contests[report->count];
}

void bench_report_free(struct bench_report *report)
{
    free(report->contests);
    free(report->command);
    report->contests = NULL;
    report->command = NULL;
}

/* --- words --------------------------------------------------------------------------------------------------- */

static void size_text(uint32_t bytes, char *text, size_t size)
{
    if (bytes >= 1024 && bytes % 1024 == 0)
        snprintf(text, size, "%u KiB", (unsigned)(bytes / 1024));
    else
        snprintf(text, size, "%u B", (unsigned)bytes);
}

void bench_case_text(const struct bench_case *one, char *text, size_t size)
{
    char block[24] = "", queues[24] = "";

    if (one->workload->anew) {
        snprintf(text, size, "one queue, once it has served 64 requests");
        return;
    }
    if (one->block > 1) /* connections move nothing */
        size_text(one->block, block, sizeof(block));
    if (one->queues > 1)
        snprintf(queues, sizeof(queues), ", %u queues", one->queues);
    snprintf(text, size, "%s%s%s%sdepth %u%s, %s, %s",
             one->store == BENCH_STORE_NONE ? "" : bench_store_words[one->store],
             one->store == BENCH_STORE_NONE ? "" : " store, ", block, block[0] ? ", " : "", one->depth,
             queues, one->packed ? "packed" : "split", one->polling ? "polls" : "sleeps");
}

void bench_number_text(enum bench_metric metric, double value, char *text, size_t size)
{
    static const struct {
        double factor;
        const char *word;
    } scales[] = {{1e9, " G"}, {1e6, " M"}, {1e3, " k"}, {1, ""}};
    size_t i = 0;

    if (isnan(value)) {
        snprintf(text, size, "-");
        return;
    }
    if (bench_metrics[metric].unit[0] && bench_metrics[metric].better < 0)
        i = BH_COUNT(scales) - 1;
    while (i < BH_COUNT(scales) - 1 && fabs(value) < scales[i].factor * 0.9995)
        i++;
    value /= scales[i].factor;
    snprintf(text, size, "%.*f%s",
             fabs(value) >= 99.95   ? 0
             : fabs(value) >= 9.995 ? 1
                                    : 2,
             value, scales[i].word);
}

void bench_features_text(const struct bench_result *result, char *text, size_t size)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        {BH_F_EVENT_IDX, "event_idx"}, {BH_F_INDIRECT_DESC, "indirect"}, {BH_F_IN_ORDER, "in_order"}};

    text[0] = '\0';
    for (size_t i = 0; i < BH_COUNT(words); i++)
        if (bh_features_has(&result->features, words[i].bit))
            snprintf(text + strlen(text), size - strlen(text), "%s%s", text[0] ? " " : "", words[i].word);
}

void bench_verdict_text(const struct bench_contest *contest, char *text, size_t size)
{
    const enum bench_metric metric = contest->one.workload->shown[0];
    const struct bench_figure *ours = &contest->result[0].figure[metric];
    const struct bench_result *peer = bench_best_peer(contest, metric);
    char spread[32];
    double ratio;

    text[0] = '\0';
    if (!peer || !ours->count)
        return;
    ratio = ours->median / peer->figure[metric].median;
    snprintf(spread, sizeof(spread), "%.0f %%",
             100 * fmax(bench_figure_spread(ours), bench_figure_spread(&peer->figure[metric])));
    if (ours->count < 2 || peer->figure[metric].count < 2)
        snprintf(text, size, "%s: %.2f times %s, of one sample each: no difference shown",
                 bench_metrics[metric].title, ratio, peer->recipe->name);
    else if (bench_figure_compare(ours, &peer->figure[metric]) == 0)
        snprintf(text, size, "%s: %.2f times %s, which is within the spread of %s: no difference shown",
                 bench_metrics[metric].title, ratio, peer->recipe->name, spread);
    else
        snprintf(text, size, "%s: %.2f times %s (spread %s)", bench_metrics[metric].title, ratio,
                 peer->recipe->name, spread);
}

/* --- tables -------------------------------------------------------------------------------------------------- */

void bench_print_machine(FILE *file, const struct bench_report *report)
{
    const struct bench_machine *machine = report->machine;

    fprintf(file, "%s, %u CPUs, %.0f GiB, %s\n%s, %s\n", machine->cpu, machine->cpus, machine->memory_gib,
            machine->hypervisor, machine->system, machine->kernel);
    if (machine->cpus < 2)
        fprintf(file, "There is only one CPU: driver and back-end take turns on it.\n");
}

/* Has anybody a figure for it? */
static bool measured(const struct bench_contest *contest, unsigned metric)
{
    for (size_t i = 0; i < contest->count; i++)
        if (contest->result[i].figure[metric].count)
            return true;
    return false;
}

static void print_result(FILE *file, const struct bench_contest *contest, const struct bench_result *result)
{
    const struct bench_figure *first = &result->figure[contest->one.workload->shown[0]];

    fprintf(file, "  %-18s", result->recipe->name);
    for (unsigned i = 0; i < BENCH_METRICS && first->count; i++) {
        char number[32] = "-";

        if (!measured(contest, i))
            continue;
        if (result->figure[i].count)
            bench_number_text(i, result->figure[i].median, number, sizeof(number));
        fprintf(file, " %14s", number);
    }
    if (first->count)
        fprintf(file, "   %3.0f %%", 100 * bench_figure_spread(first));
    if (result->disturbed)
        fprintf(file, "  disturbed: %u of %zu samples, others took up to %.2f CPUs", result->disturbed,
                first->count, result->foreign);
    fprintf(file, "%s%s\n", result->note[0] ? "  " : "", result->note);
}

void bench_print_contest(FILE *file, const struct bench_contest *contest)
{
    char text[BENCH_TEXT];

    bench_case_text(&contest->one, text, sizeof(text));
    fprintf(file, "\n%s: %s\n  %-18s", contest->one.workload->name, text, "");
    for (unsigned i = 0; i < BENCH_METRICS; i++) {
        char head[48];

        if (!measured(contest, i))
            continue;
        snprintf(head, sizeof(head), "%s%s%s", bench_metrics[i].title,
                 bench_metrics[i].better < 0 && bench_metrics[i].unit[0] ? ", " : "",
                 bench_metrics[i].better < 0 ? bench_metrics[i].unit : "");
        fprintf(file, " %14s", head);
    }
    fprintf(file, "   spread\n");
    for (size_t i = 0; i < contest->count; i++)
        if (!contest->result[i].absent)
            print_result(file, contest, &contest->result[i]);
    bench_verdict_text(contest, text, sizeof(text));
    if (text[0])
        fprintf(file, "  %s\n", text);
}
