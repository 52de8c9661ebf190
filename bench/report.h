/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run found, for people at a terminal, for machines, and as a page with plots.
 *
 * Threading: one thread.   Ownership: a report owns its contests; the rest is the caller's.   May block: it writes.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "bench/contest.h"

#include <stdio.h>

struct bench_report {
    const struct bench_machine *machine;
    const struct bench_rules *rules;
    char when[40]; /* of the beginning */
    char *command; /* as it was typed; owned */
    struct bench_contest *contests;
    size_t count, room;
    bool interrupted;
};

/* Room for one contest more: NULL: there is no memory. It counts once report->count is raised. */
struct bench_contest *bench_report_next(struct bench_report *report);
void bench_report_free(struct bench_report *report);

/* The table of one contest. */
void bench_print_contest(FILE *file, const struct bench_contest *contest);
void bench_print_machine(FILE *file, const struct bench_report *report);
/* Each BH_OK or BH_ERR_IO. */
int bench_write_json(const struct bench_report *report, FILE *file) BH_MUST_USE;
int bench_write_html(const struct bench_report *report, FILE *file) BH_MUST_USE;

/* --- words that all three use ------------------------------------------------------------------------------- */

enum { BENCH_TEXT = 160 };

/* "null store, 4 KiB, depth 32, split, sleeps". */
void bench_case_text(const struct bench_case *one, char *text, size_t size);
/* Three digits: "1.93 M", "19.7 k", "0.47"; times and memory in their unit: "4160". */
void bench_number_text(enum bench_metric metric, double value, char *text, size_t size);
/* What the case says of ours and the best peer, in a sentence; empty: there is nothing to compare. */
void bench_verdict_text(const struct bench_contest *contest, char *text, size_t size);
/* "event_idx in_order", of what was negotiated. */
void bench_features_text(const struct bench_result *result, char *text, size_t size);

#endif
