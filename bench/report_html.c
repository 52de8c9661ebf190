/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report as a page: one file, no script, nothing fetched; light or dark as the reader's machine has it.
 */
#include "bench/plot.h"

#include <bulkhead/impl/text.h>
#include <string.h>

static const char style[] =
    ":root{color-scheme:light dark;--paper:#fbfaf7;--card:#fff;--ink:#22262b;--soft:#6b737c;--edge:#e4e1d9;"
    "--track:#f0eee8;--c0:#0b7a75;--c1:#c2571a;--c2:#5b5fc7;--c3:#a3812a;--c4:#9c3d6e;--c5:#4a7f3f;--c6:#"
    "7a6a5d;"
    "--c7:#3a78b0;--ahead:#0b7a75;--behind:#c2331a;--even:#9aa0a6}\n"
    "@media (prefers-color-scheme:dark){:root{--paper:#15181c;--card:#1d2126;--ink:#e6e4df;--soft:#98a0a8;"
    "--edge:#30363d;--track:#282d33;--c0:#3cc2ba;--c1:#f08b4c;--c2:#989cf2;--c3:#d8b65a;--c4:#d87aa8;--c5:#"
    "86bf78;"
    "--c6:#b3a294;--c7:#74b0e6;--ahead:#3cc2ba;--behind:#ff7a5e;--even:#737b84}}\n"
    "*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
    "main{max-width:1120px;margin:0 auto;padding:40px 20px 80px}h1{font-size:30px;margin:0 0 4px}"
    "h2{font-size:21px;margin:44px 0 2px}h3{font-size:15px;margin:0 0 8px;font-weight:600}p{margin:4px 0 "
    "12px;"
    "max-width:76ch}.soft{color:var(--soft)}code{font:13px ui-monospace,'DejaVu Sans Mono',monospace;"
    "background:var(--track);padding:2px 6px;border-radius:4px;overflow-wrap:anywhere}\n"
    ".card{background:var(--card);border:1px solid var(--edge);border-radius:10px;padding:16px "
    "18px;margin:12px 0}"
    ".panels{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:10px 28px}"
    ".facts{display:grid;grid-template-columns:max-content 1fr;gap:2px 18px;margin:14px 0}"
    ".facts dt{color:var(--soft)}.facts dd{margin:0}"
    ".chip{display:inline-block;font-size:13px;color:var(--soft);margin:2px 0 8px}"
    ".warn{color:var(--behind);font-size:13px;margin:4px 0}"
    "svg{width:100%;height:auto;display:block}svg text{font-size:12px;font-family:inherit}"
    "svg .ink{fill:var(--ink)}svg .soft{fill:var(--soft);font-size:10px}svg "
    ".title{fill:var(--soft);font-size:12px}"
    "svg .number{fill:var(--ink);font-variant-numeric:tabular-nums}svg .track{fill:var(--track)}"
    "svg .line{stroke:var(--soft);stroke-width:1}svg .grid{stroke:var(--edge);stroke-width:1}"
    "svg .whisker{stroke:var(--ink);stroke-width:1.2;opacity:.65}"
    "svg .reach{stroke:var(--even);stroke-width:3;stroke-linecap:round;opacity:.6}"
    "svg .ahead{fill:var(--ahead)}svg .behind{fill:var(--behind)}svg .even{fill:var(--even)}\n"
    "details{margin-top:10px}summary{cursor:pointer;color:var(--soft);font-size:13px}"
    ".wide{overflow-x:auto}.glance{min-width:760px}table{border-collapse:collapse;font-size:13px;font-"
    "variant-numeric:tabular-nums;"
    "margin-top:8px}th,td{padding:4px 12px;text-align:right;border-bottom:1px solid "
    "var(--edge);white-space:nowrap}"
    "th:first-child,td:first-child{text-align:left;padding-left:0}th{font-weight:500;color:var(--soft)}\n";

static void put_style(FILE *file)
{
    fputs("<style>\n", file);
    fputs(style, file);
    for (unsigned i = 0; i < BENCH_RECIPES; i++)
        fprintf(file, "svg .c%u{fill:var(--c%u)}svg .s%u{stroke:var(--c%u);stroke-width:4;opacity:.55}\n", i,
                i % 8, i, i % 8);
    fputs("</style>\n", file);
}

static void fact(FILE *file, const char *name, const char *value)
{
    fprintf(file, "<dt>%s</dt><dd>", name);
    bh_text_put_markup(file, value);
    fputs("</dd>\n", file);
}

static void put_head(FILE *file, const struct bench_report *report)
{
    const struct bench_machine *machine = report->machine;
    const struct bench_rules *rules = report->rules;
    char text[512];

    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
          "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>Bulkhead, "
          "measured</title>\n",
          file);
    put_style(file);
    fputs("</head><body><main>\n<h1>Bulkhead, measured</h1>\n<p class=\"soft\">", file);
    bh_text_put_markup(file, report->when);
    fputs(report->interrupted ? ", interrupted</p>\n" : "</p>\n", file);
    fputs("<dl class=\"facts\">\n", file);
    snprintf(text, sizeof(text), "%s, %u CPUs for this run, %.0f GiB, %s", machine->cpu, machine->cpus,
             machine->memory_gib, machine->hypervisor);
    fact(file, "Machine", text);
    snprintf(text, sizeof(text), "%s, %s", machine->system, machine->kernel);
    fact(file, "System", text);
    snprintf(
        text, sizeof(text),
        "%u rounds, each contestant once a round in turn, %.2g s a sample after %.2g s of warm-up; those not "
        "measured stand still; samples during which others took more than %.2g CPUs were taken again",
        rules->rounds, rules->seconds, rules->warm_up, rules->foreign_limit);
    fact(file, "Method", text);
    if (machine->driver_cpu >= 0)
        snprintf(text, sizeof(text), "driver on CPU %d, back-end on CPU %d", machine->driver_cpu,
                 machine->backend_cpu);
    else
        snprintf(text, sizeof(text), "one CPU for driver and back-end");
    fact(file, "Places", text);
    fputs("<dt>Command</dt><dd><code>", file);
    bh_text_put_markup(file, report->command);
    fputs("</code></dd></dl>\n", file);
}

static void put_overview(FILE *file, const struct bench_report *report)
{
    bool any = false;

    for (size_t i = 0; i < report->count && !any; i++)
        any = bench_best_peer(&report->contests[i], report->contests[i].one.workload->shown[0]) != NULL;
    if (!any)
        return;
    fputs("<h2>At a glance</h2>\n<p>Each case's first figure: Bulkhead's median over that of the best peer; "
          "further "
          "right is better for Bulkhead, whether the figure is one of which more or less is wanted. The bar "
          "spans what "
          "the samples allow. Grey: they lie further apart than the two medians, so that nothing is "
          "shown.</p>\n"
          "<div class=\"card wide\"><div class=\"glance\">",
          file);
    bench_plot_overview(file, report->contests, report->count);
    fputs("</div></div>\n", file);
}

static void put_table(FILE *file, const struct bench_contest *contest)
{
    fputs("<details><summary>All figures</summary><div class=\"wide\"><table><tr><th></th>", file);
    for (unsigned i = 0; i < BENCH_METRICS; i++)
        fprintf(file, "<th>%s%s%s</th>", bench_metrics[i].title, bench_metrics[i].better < 0 ? " " : "",
                bench_metrics[i].better < 0 ? bench_metrics[i].unit : "");
    fputs("<th>spread</th><th>negotiated</th></tr>\n", file);
    for (size_t i = 0; i < contest->count; i++) {
        const struct bench_result *result = &contest->result[i];
        const struct bench_figure *first = &result->figure[contest->one.workload->shown[0]];
        char text[BENCH_TEXT];

        if (!first->count)
            continue;
        fputs("<tr><td>", file);
        bh_text_put_markup(file, result->recipe->name);
        fputs("</td>", file);
        for (unsigned m = 0; m < BENCH_METRICS; m++) {
            snprintf(text, sizeof(text), "-");
            if (result->figure[m].count)
                bench_number_text(m, result->figure[m].median, text, sizeof(text));
            fprintf(file, "<td>%s</td>", text);
        }
        bench_features_text(result, text, sizeof(text));
        fprintf(file, "<td>%.0f %%</td><td>%s</td></tr>\n", 100 * bench_figure_spread(first), text);
    }
    fputs("</table></div></details>", file);
}

static void put_notes(FILE *file, const struct bench_contest *contest)
{
    for (size_t i = 0; i < contest->count; i++) {
        const struct bench_result *result = &contest->result[i];

        if (result->note[0]) {
            fputs("<p class=\"soft\">", file);
            bh_text_put_markup(file, result->recipe->name);
            fputs(": ", file);
            bh_text_put_markup(file, result->note);
            fputs("</p>\n", file);
        }
        if (result->disturbed) {
            fputs("<p class=\"warn\">", file);
            bh_text_put_markup(file, result->recipe->name);
            fprintf(file, ": others took up to %.2f CPUs during %u of its %zu samples</p>\n", result->foreign,
                    result->disturbed, result->figure[contest->one.workload->shown[0]].count);
        }
    }
}

static void put_contest(FILE *file, const struct bench_contest *contest)
{
    char text[BENCH_TEXT];

    bench_case_text(&contest->one, text, sizeof(text));
    fputs("<div class=\"card\"><h3>", file);
    bh_text_put_markup(file, text);
    fputs("</h3>\n", file);
    bench_verdict_text(contest, text, sizeof(text));
    if (text[0]) {
        fputs("<span class=\"chip\">", file);
        bh_text_put_markup(file, text);
        fputs("</span>\n", file);
    }
    fputs("<div class=\"panels\">", file);
    for (unsigned i = 0; i < BH_COUNT(contest->one.workload->shown); i++) {
        const enum bench_metric metric = contest->one.workload->shown[i];

        if (metric == BENCH_METRICS)
            break;
        fputs("<div>", file);
        if (metric == BENCH_P50)
            bench_plot_latency(file, contest);
        else
            bench_plot_bars(file, contest, metric);
        fputs("</div>", file);
    }
    fputs("</div>\n", file);
    put_notes(file, contest);
    put_table(file, contest);
    fputs("</div>\n", file);
}

int bench_write_html(const struct bench_report *report, FILE *file)
{
    const struct bench_workload *section = NULL;

    put_head(file, report);
    put_overview(file, report);
    for (size_t i = 0; i < report->count; i++) {
        const struct bench_contest *contest = &report->contests[i];

        if (!section || contest->one.workload != section) {
            section = contest->one.workload;
            fprintf(file, "<h2>%s</h2>\n<p>%s.</p>\n", section->name, section->summary);
        }
        put_contest(file, contest);
    }
    fputs("</main></body></html>\n", file);
    return fflush(file) || ferror(file) ? BH_ERR_IO : BH_OK;
}
