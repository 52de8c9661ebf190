/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts of reading a plan back: plan_parse.c takes the JSON apart by type, plan_resolve.c looks names up,
 * plan_verify.c checks what plan.h promises of the result.
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

/* `root` has been taken apart: every array is one, of the length that the plan has. What is wrong is reported. */
void bh_plan_resolve(struct bh_plan_reader *reader, const json_t *root);

/* False: reported. */
bool bh_plan_verify(struct bh_plan_reader *reader);

#endif
