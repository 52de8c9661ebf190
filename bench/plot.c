/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See plot.h.
 */
#include "bench/plot.h"

#include <bulkhead/impl/text.h>
#include <math.h>
#include <string.h>

#define WIDTH    360
#define ROW      26
#define HEAD     26
#define AXIS     44 /* HEAD, with a scale below the title */
#define NAMES    96 /* of the contestants, on the left */
#define NUMBERS  64 /* on the right */
#define TRACK    (WIDTH - NAMES - NUMBERS)
#define LONG     (WIDTH - NAMES - 104) /* the track beside two numbers */
#define OVERVIEW 960
#define CASES    430 /* the overview's words */

static void words(FILE *file, double x, double y, const char *class, const char *anchor, const char *text)
{
    fprintf(file, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, class, anchor);
    bh_text_put_markup(file, text);
    fputs("</text>", file);
}

static void line(FILE *file, const char *class, double x1, double y1, double x2, double y2)
{
    fprintf(file, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", class, x1, y1, x2,
            y2);
}

static void open_panel(FILE *file, size_t rows, int head, const char *title, const char *unit)
{
    char text[96];

    snprintf(text, sizeof(text), "%s%s%s", title, unit[0] ? ", " : "", unit);
    fprintf(file, "<svg viewBox=\"0 0 %d %zu\" role=\"img\" aria-label=\"", WIDTH,
            (size_t)head + rows * ROW + 4);
    bh_text_put_markup(file, text);
    fputs("\">", file);
    words(file, 0, 14, "title", "start", text);
}

static size_t rows_of(const struct bench_contest *contest, enum bench_metric metric)
{
    size_t rows = 0;

    for (size_t i = 0; i < contest->count; i++)
        rows += contest->result[i].figure[metric].count > 0;
    return rows;
}

static const char *capitalized_title(enum bench_metric metric)
{
    switch (metric) {
    case BENCH_RATE: return "Requests a second";
    case BENCH_PER_CORE: return "Requests a second, per busy core";
    case BENCH_BANDWIDTH: return "Bytes a second";
    case BENCH_CPU: return "Back-end CPU a request";
    case BENCH_READY: return "Start until it answers";
    case BENCH_MEMORY: return "Private dirty memory";
    default: return bench_metrics[metric].title;
    }
}

void bench_plot_bars(FILE *file, const struct bench_contest *contest, enum bench_metric metric)
{
    const size_t rows = rows_of(contest, metric);
    double most = 0, y = HEAD;

    for (size_t i = 0; i < contest->count; i++)
        most = fmax(most, contest->result[i].figure[metric].most);
    if (!rows || most <= 0)
        return;
    open_panel(file, rows, HEAD, capitalized_title(metric),
               bench_metrics[metric].better < 0 ? bench_metrics[metric].unit : "");
    for (size_t i = 0; i < contest->count; i++) {
        const struct bench_figure *figure = &contest->result[i].figure[metric];
        const double middle = y + ROW / 2.0, scale = TRACK / most;
        char number[32];

        if (!figure->count)
            continue;
        words(file, NAMES - 8, middle + 4, "ink", "end", contest->result[i].recipe->name);
        fprintf(file, "<rect class=\"track\" x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"14\" rx=\"3\"/>",
                NAMES, middle - 7, TRACK);
        fprintf(file, "<rect class=\"c%zu\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"14\" rx=\"3\"/>", i,
                NAMES, middle - 7, fmax(1.5, figure->median * scale));
        if (figure->count > 1) {
            const double from = NAMES + figure->least * scale, to = NAMES + figure->most * scale;

            line(file, "whisker", from, middle, to, middle);
            line(file, "whisker", from, middle - 4, from, middle + 4);
            line(file, "whisker", to, middle - 4, to, middle + 4);
        }
        bench_number_text(metric, figure->median, number, sizeof(number));
        words(file, WIDTH, middle + 4, "number", "end", number);
        y += ROW;
    }
    fputs("</svg>", file);
}

/* --- latency ------------------------------------------------------------------------------------------------- */

static double at_log(double value, double least, double most)
{
    return NAMES + LONG * (log10(fmax(value, least)) - log10(least)) / (log10(most) - log10(least));
}

static void latency_row(FILE *file, const struct bench_result *result, size_t who, double y, double least,
                        double most)
{
    const double p50 = result->figure[BENCH_P50].median, p99 = result->figure[BENCH_P99].median;
    const double x50 = at_log(p50, least, most), x99 = at_log(p99, least, most);
    const double x999 = at_log(result->figure[BENCH_P999].median, least, most);
    char fast[32], slow[32], both[80];

    words(file, NAMES - 8, y + 4, "ink", "end", result->recipe->name);
    line(file, "line", x99, y, x999, y);
    line(file, "line", x999, y - 4, x999, y + 4);
    fprintf(file, "<line class=\"s%zu\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>", who, x50, y, x99,
            y);
    fprintf(file, "<circle class=\"c%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"/>", who, x50, y);
    fprintf(file, "<circle class=\"c%zu\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", who, x99, y);
    bench_number_text(BENCH_P50, p50, fast, sizeof(fast));
    bench_number_text(BENCH_P99, p99, slow, sizeof(slow));
    snprintf(both, sizeof(both), "%s / %s", fast, slow);
    words(file, WIDTH, y + 4, "number", "end", both);
}

void bench_plot_latency(FILE *file, const struct bench_contest *contest)
{
    const size_t rows = rows_of(contest, BENCH_P50);
    double least = INFINITY, most = 0, y = AXIS + ROW / 2.0;

    for (size_t i = 0; i < contest->count; i++) {
        const struct bench_result *result = &contest->result[i];

        if (!result->figure[BENCH_P50].count)
            continue;
        least = fmin(least, result->figure[BENCH_P50].median);
        most = fmax(most, result->figure[BENCH_P999].median);
    }
    if (!rows || most <= 0)
        return;
    least = pow(10, floor(log10(fmax(least, 0.01))));
    most = pow(10, ceil(log10(most) + 1e-9));
    open_panel(file, rows, AXIS, "Latency: p50, p99, up to p99.9", "us");
    for (long decade = lround(log10(least)); decade <= lround(log10(most)); decade++) {
        const double tick = pow(10, (double)decade), x = at_log(tick, least, most);
        char number[32];

        line(file, "grid", x, AXIS, x, AXIS + (double)rows * ROW);
        snprintf(number, sizeof(number), "%g", tick);
        words(file, x, AXIS - 4, "soft", "middle", number);
    }
    for (size_t i = 0; i < contest->count; i++) {
        if (!contest->result[i].figure[BENCH_P50].count)
            continue;
        latency_row(file, &contest->result[i], i, y, least, most);
        y += ROW;
    }
    fputs("</svg>", file);
}

/* --- overview ------------------------------------------------------------------------------------------------ */

/* The scale goes from a quarter to 16 times; what lies beyond stands at its end. */
static double at_ratio(double ratio)
{
    const double place = (log2(fmin(fmax(ratio, 0.25), 16)) + 2) / 6;

    return CASES + place * (OVERVIEW - CASES - 130);
}

static void overview_row(FILE *file, const struct bench_contest *contest, double y)
{
    const enum bench_metric metric = contest->one.workload->shown[0];
    const struct bench_figure *ours = &contest->result[0].figure[metric];
    const struct bench_result *peer = bench_best_peer(contest, metric);
    const struct bench_figure *theirs = &peer->figure[metric];
    const int verdict = bench_figure_compare(ours, theirs) * bench_metrics[metric].better;
    const double sense = bench_metrics[metric].better;
    char text[BENCH_TEXT], label[200];

    bench_case_text(&contest->one, text, sizeof(text));
    snprintf(label, sizeof(label), "%s: %s", contest->one.workload->name, text);
    words(file, CASES - 14, y + 4, "ink", "end", label);
    line(file, "reach", at_ratio(pow(ours->least / theirs->most, sense)), y,
         at_ratio(pow(ours->most / theirs->least, sense)), y);
    fprintf(file, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"/>",
            verdict > 0   ? "ahead"
            : verdict < 0 ? "behind"
                          : "even",
            at_ratio(pow(ours->median / theirs->median, sense)), y);
    snprintf(label, sizeof(label), "%.2f x %s", pow(ours->median / theirs->median, sense),
             peer->recipe->name);
    words(file, OVERVIEW, y + 4, "number", "end", label);
}

static bool comparable(const struct bench_contest *contest)
{
    const enum bench_metric metric = contest->one.workload->shown[0];

    return contest->result[0].figure[metric].count && bench_best_peer(contest, metric);
}

void bench_plot_overview(FILE *file, const struct bench_contest *contests, size_t count)
{
    static const double ticks[] = {0.25, 0.5, 1, 2, 4, 8, 16};
    size_t rows = 0;
    double y = HEAD + 18;

    for (size_t i = 0; i < count; i++)
        rows += comparable(&contests[i]);
    if (!rows)
        return;
    fprintf(file, "<svg viewBox=\"0 0 %d %zu\" role=\"img\" aria-label=\"Bulkhead over the best peer\">",
            OVERVIEW, HEAD + rows * 24 + 10);
    for (size_t i = 0; i < BH_COUNT(ticks); i++) {
        char number[32];

        line(file, ticks[i] == 1 ? "line" : "grid", at_ratio(ticks[i]), HEAD, at_ratio(ticks[i]),
             HEAD + (double)rows * 24 + 6);
        snprintf(number, sizeof(number), "%g x", ticks[i]);
        words(file, at_ratio(ticks[i]), HEAD - 8, "soft", "middle", number);
    }
    for (size_t i = 0; i < count; i++) {
        if (!comparable(&contests[i]))
            continue;
        overview_row(file, &contests[i], y);
        y += 24;
    }
    fputs("</svg>", file);
}
