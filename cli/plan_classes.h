/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every verb that reads a description shares: the device classes that a description may name, and the two
 * folders that its paths may begin at.
 *
 * Threading: one thread.   Ownership: tables are static.   May block: as bh_plan_make.
 */
#ifndef CLI_PLAN_CLASSES_H
#define CLI_PLAN_CLASSES_H

#include "plan/make.h"

/* A class more is a line in plan_classes.c. */
extern const struct bh_plan_class bh_plan_classes[];

/* The options of such a verb; its own options struct has this one as its first member. */
struct bh_plan_words {
    char *cache_dir, *state_dir;
};
#define BH_PLAN_WORDS_OPTIONS                                                                                \
    {.name = "cache-dir",                                                                                    \
     .type = BH_OPT_PATH,                                                                                    \
     .offset = offsetof(struct bh_plan_words, cache_dir),                                                    \
     .arg = "DIR",                                                                                           \
     .help = "what cache:NAME in the description means; else $XDG_CACHE_HOME/bulkhead, ~/.cache/bulkhead"},  \
    {                                                                                                        \
        .name = "state-dir", .type = BH_OPT_PATH, .offset = offsetof(struct bh_plan_words, state_dir),       \
        .arg = "DIR",                                                                                        \
        .help =                                                                                              \
            "what state:NAME means; else $XDG_STATE_HOME/bulkhead/SYSTEM, ~/.local/state/bulkhead/SYSTEM"    \
    }

/* bh_plan_make() with the classes above. `plan` NULL: only check. */
int bh_plan_of_words(const struct bh_plan_words *words, const char *file, struct bh_diag_sink *sink,
                     struct bh_plan **plan) BH_MUST_USE;

#endif
