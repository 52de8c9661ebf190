/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report for machines. Figures that were not measured are left out.
 */
#include "bench/report.h"

#include <jansson.h>

static json_t *figures_of(const struct bench_result *result)
{
    json_t *all = json_object();

    for (unsigned i = 0; i < BENCH_METRICS; i++) {
        const struct bench_figure *figure = &result->figure[i];

        if (figure->count)
            json_object_set_new(all, bench_metrics[i].key,
                                json_pack("{s:f, s:f, s:f, s:I}", "median", figure->median, "least",
                                          figure->least, "most", figure->most, "samples",
                                          (json_int_t)figure->count));
    }
    return all;
}

static json_t *result_of(const struct bench_result *result)
{
    char features[BENCH_TEXT];
    json_t *one;

    bench_features_text(result, features, sizeof(features));
    one = json_pack("{s:s, s:s, s:o, s:i, s:i, s:f}", "name", result->recipe->name, "features", features,
                    "figures", figures_of(result), "samples_disturbed", (int)result->disturbed,
                    "samples_rejected", (int)result->rejected, "foreign_cpus", result->foreign);
    if (one && result->note[0])
        json_object_set_new(one, "note", json_string(result->note));
    return one;
}

static json_t *contest_of(const struct bench_contest *contest)
{
    const struct bench_case *one = &contest->one;
    char verdict[BENCH_TEXT];
    json_t *results = json_array(), *all;

    for (size_t i = 0; i < contest->count; i++)
        if (!contest->result[i].absent)
            json_array_append_new(results, result_of(&contest->result[i]));
    all = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:o}", "workload", one->workload->name, "store",
                    bench_store_words[one->store], "ring", one->packed ? "packed" : "split", "wait",
                    one->polling ? "poll" : "sleep", "depth", (int)one->depth, "queues", (int)one->queues,
                    "block", (int)one->block, "results", results);
    bench_verdict_text(contest, verdict, sizeof(verdict));
    if (all && verdict[0])
        json_object_set_new(all, "verdict", json_string(verdict));
    return all;
}

int bench_write_json(const struct bench_report *report, FILE *file)
{
    const struct bench_machine *machine = report->machine;
    const struct bench_rules *rules = report->rules;
    json_t *contests = json_array(), *all;
    int err;

    for (size_t i = 0; i < report->count; i++)
        json_array_append_new(contests, contest_of(&report->contests[i]));
    all = json_pack("{s:s, s:s, s:b, s:{s:s, s:i, s:f, s:s, s:s, s:s}, s:{s:i, s:f, s:f, s:f}, s:o}", "begun",
                    report->when, "command", report->command, "interrupted", (int)report->interrupted,
                    "machine", "cpu", machine->cpu, "cpus", (int)machine->cpus, "memory_gib",
                    machine->memory_gib, "hypervisor", machine->hypervisor, "system", machine->system,
                    "kernel", machine->kernel, "rules", "rounds", (int)rules->rounds, "seconds",
                    rules->seconds, "warm_up_seconds", rules->warm_up, "foreign_cpus_limit",
                    rules->foreign_limit, "cases", contests);
    if (!all)
        return BH_ERR_IO;
    err = json_dumpf(all, file, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) || fputc('\n', file) == EOF;
    json_decref(all);
    return err || fflush(file) ? BH_ERR_IO : BH_OK;
}
