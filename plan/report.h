/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report: the diagnostics of one run of the checker, kept until all are there, then sorted by file and line and
 * handed to the caller's sink. It is itself a sink, so that option tables can report into it.
 *
 * Threading: one thread.   Ownership: texts are copied.   May block: bh_report_flush as the caller's sink does.
 */
#ifndef PLAN_REPORT_H
#define PLAN_REPORT_H

#include "plan/arena.h"
#include <bulkhead/impl/diag.h>

struct bh_report_entry;

struct bh_report {
    struct bh_diag_sink sink; /* first: emit() finds the report from it */
    struct bh_arena arena;
    struct bh_report_entry *newest;
    unsigned count;
};

void bh_report_init(struct bh_report *report);
void bh_report_fini(struct bh_report *report);

/* Emit everything on `sink`, sorted by file, line and column, else in the order of arrival. Empties the report. */
void bh_report_flush(struct bh_report *report, struct bh_diag_sink *sink);

/* An error with one place or, in a collision, two. `other` and `hint` may be NULL. */
void bh_report_error(struct bh_report *report, const struct bh_diag_where *where,
                     const struct bh_diag_where *other, const char *hint, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
void bh_report_warning(struct bh_report *report, const struct bh_diag_where *where, const char *hint,
                       const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
