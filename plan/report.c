/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps a checker's diagnostics, sorts them, hands them on. */
#include "plan/report.h"
#include <stdlib.h>
#include <string.h>

struct bh_report_entry {
    struct bh_report_entry *older;
    struct bh_diag diag;
    unsigned order;
};

static const char *keep(struct bh_report *report, const char *text)
{
    return text == NULL ? NULL : bh_arena_string(&report->arena, text);
}

static struct bh_diag_where keep_where(struct bh_report *report, struct bh_diag_where where)
{
    where.file = keep(report, where.file);
    where.node = keep(report, where.node);
    return where;
}

/* Whatever does not fit into memory is still counted, so that an error is never lost silently. */
static void collect(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    struct bh_report *report = (struct bh_report *)sink;
    struct bh_report_entry *entry = bh_arena_alloc(&report->arena, 1, sizeof(*entry));

    if (entry == NULL)
        return;
    entry->diag.level = diag->level;
    entry->diag.where = keep_where(report, diag->where);
    entry->diag.other = keep_where(report, diag->other);
    entry->diag.what = keep(report, diag->what);
    entry->diag.hint = keep(report, diag->hint);
    if (entry->diag.what == NULL)
        return;
    entry->order = report->count++;
    entry->older = report->newest;
    report->newest = entry;
}

void bh_report_init(struct bh_report *report)
{
    memset(report, 0, sizeof(*report));
    report->sink.emit = collect;
}

void bh_report_fini(struct bh_report *report)
{
    bh_arena_fini(&report->arena);
    report->newest = NULL;
    report->count = 0;
}

static int by_place(const void *left, const void *right)
{
    const struct bh_report_entry *a = *(struct bh_report_entry *const *)left;
    const struct bh_report_entry *b = *(struct bh_report_entry *const *)right;
    int files;

    if (a->diag.where.file == NULL || b->diag.where.file == NULL)
        files = (a->diag.where.file != NULL) - (b->diag.where.file != NULL);
    else
        files = strcmp(a->diag.where.file, b->diag.where.file);
    if (files != 0)
        return files;
    if (a->diag.where.line != b->diag.where.line)
        return a->diag.where.line < b->diag.where.line ? -1 : 1;
    if (a->diag.where.column != b->diag.where.column)
        return a->diag.where.column < b->diag.where.column ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

void bh_report_flush(struct bh_report *report, struct bh_diag_sink *sink)
{
    struct bh_report_entry **sorted =
        bh_arena_alloc(&report->arena, report->count, sizeof(struct bh_report_entry *));
    struct bh_report_entry *entry;
    unsigned i = 0;

    if (sorted == NULL) {
        for (entry = report->newest; entry != NULL; entry = entry->older)
            bh_diag_emit(sink, &entry->diag);
        return;
    }
    for (entry = report->newest; entry != NULL; entry = entry->older)
        sorted[i++] = entry;
    qsort(sorted, report->count, sizeof(struct bh_report_entry *), by_place);
    for (i = 0; i < report->count; i++)
        bh_diag_emit(sink, &sorted[i]->diag);
    report->newest = NULL;
    report->count = 0;
}

static void report_one(struct bh_report *report, struct bh_diag *diag, const char *format, va_list args)
{
    diag->what = bh_arena_vformat(&report->arena, format, args);
    if (diag->what == NULL)
        diag->what = "memory ran out";
    bh_diag_emit(&report->sink, diag);
}

void bh_report_error(struct bh_report *report, const struct bh_diag_where *where,
                     const struct bh_diag_where *other, const char *hint, const char *format, ...)
{
    struct bh_diag diag = {.level = BH_DIAG_ERROR, .hint = hint};
    va_list args;

    if (where != NULL)
        diag.where = *where;
    if (other != NULL)
        diag.other = *other;
    va_start(args, format);
    report_one(report, &diag, format, args);
    va_end(args);
}

void bh_report_warning(struct bh_report *report, const struct bh_diag_where *where, const char *hint,
                       const char *format, ...)
{
    struct bh_diag diag = {.level = BH_DIAG_WARNING, .hint = hint};
    va_list args;

    if (where != NULL)
        diag.where = *where;
    va_start(args, format);
    report_one(report, &diag, format, args);
    va_end(args);
}
