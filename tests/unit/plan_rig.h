/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of the planner share: a table of classes in the form of the real ones, a folder with small images,
 * and the checker's output as the text that a user reads.
 */
#ifndef TESTS_UNIT_PLAN_RIG_H
#define TESTS_UNIT_PLAN_RIG_H

#include "plan/make.h"

struct plan_rig {
    char folder[64]; /* temporary, holds Image, Image.half, ramdisk, a.img, odd.img */
    struct bh_plan_settings settings;
};

/* The classes of the rig: blk, console, net, rng, fs. */
extern const struct bh_plan_class plan_rig_classes[];

/* 0, or -1: the folder cannot be made. */
int plan_rig_setup(struct plan_rig *rig);
void plan_rig_teardown(struct plan_rig *rig);

/*
 * Plan `file`; what was reported comes back as text, the rig's folder written as "CACHE",
 * the current one as "HERE". The caller frees it.
 * *err and *plan as from bh_plan_make.
 */
char *plan_rig_run(struct plan_rig *rig, const char *file, int *err, struct bh_plan **plan);

/* A whole file, NUL-terminated, to be freed; NULL when it cannot be read. */
char *plan_rig_read(const char *file, size_t *size);

#endif
