/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A contest: one case, served by each contestant in turn, round after round.
 *
 * Theory of operation
 *   All contestants are started, and paused. A round wakes each for one sample, in the same order every time, so that
 * what changes on the machine meanwhile (its clock, its neighbours) meets all of them alike. A sample during which
 * others kept more than `foreign_limit` CPUs busy is thrown away and taken again; after `retries` of them the quietest
 * is kept, and the result says that it is disturbed. Instructions are counted afterwards, on a process of its own
 * (instructions.h).
 *
 * Threading: one thread.   Ownership: results are by value.   May block: as long as a contest takes.
 */
#ifndef BENCH_CONTEST_H
#define BENCH_CONTEST_H

#include "bench/machine.h"
#include "bench/recipe.h"

struct bench_rules {
    unsigned rounds, retries;
    double seconds, warm_up; /* a sample's length, and what runs before it */
    double foreign_limit;    /* CPUs */
    bool instructions;
    const struct bench_machine *machine;
    const struct bench_place *place;
    const struct bench_recipe *recipes;
    size_t recipe_count;
};

/* What one contestant did in one case. */
struct bench_result {
    const struct bench_recipe *recipe;
    struct bench_figure figure[BENCH_METRICS];
    bool absent;                 /* it has nothing to do with this kind of device */
    struct bh_features features; /* negotiated */
    unsigned disturbed;          /* samples that were kept although others were busy */
    unsigned rejected;
    double foreign; /* the most of the samples that were kept, in CPUs */
    char note[200]; /* why it was not measured, or not wholly; empty: all is well */
};

struct bench_contest {
    struct bench_case one;
    struct bench_result result[BENCH_RECIPES];
    size_t count;
};

/* Called as a contest goes on; `done` of `all` samples are taken. */
typedef void (*bench_progress)(void *owner, const struct bench_case *one, const char *who, unsigned done,
                               unsigned all);

/* Results stand in the recipes' order. BH_OK, or BH_ERR_CANCELLED: bench_stopped; the results so far are whole. */
int bench_contest_run(struct bench_contest *contest, const struct bench_rules *rules, bench_progress progress,
                      void *owner) BH_MUST_USE;

/* The peer of ours (result 0) with the best median of a metric; NULL: there is none with any. */
const struct bench_result *bench_best_peer(const struct bench_contest *contest, enum bench_metric metric);

#endif
