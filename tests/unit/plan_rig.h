/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of the planner share: a table of classes in the form of the real ones, and the checker's output as the text that a user reads.
 */
#ifndef TESTS_UNIT_PLAN_RIG_H
#define TESTS_UNIT_PLAN_RIG_H

#include "plan/make.h"

/* The classes of the rig: blk, console, net, rng, fs. */
extern const struct bh_plan_class plan_rig_classes[];

/* Those classes; "cache:" is /cache, "state:" is /state, which are not there. */
extern const struct bh_plan_settings plan_rig_settings;

/*
 * Plan `file`; what was reported comes back as text, the current folder written as "HERE". The caller frees it.
 * *err and *plan as from bh_plan_make.
 */
char *plan_rig_run(const char *file, int *err, struct bh_plan **plan);

/* A whole file, NUL-terminated, to be freed; NULL when it cannot be read. */
char *plan_rig_read(const char *file, size_t *size);

#endif
