/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every verb that reads a description shares: the device classes that a description may name, and the two
 * folders that its paths may begin at.
 *
 * Threading: one thread.   Ownership: tables are static.   May block: as bh_plan_make.
 */
#ifndef CLI_PLAN_CLASSES_H
#define CLI_PLAN_CLASSES_H

#include "cli/verb.h"
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

/* The options of a verb that reports on a description, as text or JSON: `values` of check and plan. */
struct bh_report_values {
    struct bh_plan_words words; /* first: BH_PLAN_WORDS_OPTIONS */
    bool json;
};
#define BH_REPORT_OPTIONS(json_help)                                                                         \
    BH_PLAN_WORDS_OPTIONS,                                                                                   \
        {.name = "json",                                                                                     \
         .type = BH_OPT_BOOL,                                                                                \
         .offset = offsetof(struct bh_report_values, json),                                                  \
         .help = (json_help)},                                                                               \
    {                                                                                                        \
        .name = NULL                                                                                         \
    }
/* Such a verb's run(): `report` has the one file that the command line names, and returns an enum bh_err. */
int bh_report_run(const struct bh_verb *verb, int argc, char **argv,
                  int (*report)(const struct bh_report_values *values, const char *file));

/* What a failed bh_plan_of_words means for the shell. */
int bh_exit_of_plan(int err);

/* bh_plan_make() with the classes above. `plan` NULL: only check. */
int bh_plan_of_words(const struct bh_plan_words *words, const char *file, struct bh_diag_sink *sink,
                     struct bh_plan **plan) BH_MUST_USE;

#endif
