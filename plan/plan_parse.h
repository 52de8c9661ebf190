/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two halves of reading a plan back: plan_parse.c takes the JSON apart by type, plan_verify.c checks what
 * plan.h promises of the result.
 *
 * Threading: one thread.   Ownership: the box's arena.   May block: no.
 */
#ifndef PLAN_PLAN_PARSE_H
#define PLAN_PLAN_PARSE_H

#include "plan/plan_box.h"
#include <jansson.h>

struct bh_plan_reader {
    struct bh_plan_box *box;
    struct bh_plan *plan;
    const char *file;
    struct bh_diag_sink *sink;
    int err; /* the first error; what follows it is not reported */
};

/* Note that the plan is wrong at `where` ("domains/linux-a/memory"). Always false, to be returned. */
bool bh_plan_wrong(struct bh_plan_reader *reader, const char *where, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* False: reported. */
bool bh_plan_verify(struct bh_plan_reader *reader);

#endif
