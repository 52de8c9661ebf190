/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the recipes of our own devices and those of others share.
 *
 * Threading: one thread.   Ownership: nothing is kept.   May block: as bench/recipe.h.
 */
#ifndef BENCH_RECIPE_IMPL_H
#define BENCH_RECIPE_IMPL_H

#include "bench/recipe.h"

#define BENCH_NULL_BYTES (64ull << 30) /* what a store that keeps nothing pretends to be */

/* The contestant's own file of the case's store. */
const char *bench_recipe_file(const struct bench_recipe *recipe, const struct bench_case *one,
                              const struct bench_place *place);
/* Begin a command by valgrind's words, where its instructions are to be counted. */
void bench_recipe_count(struct bench_command *command, const struct bench_place *place);
/* Start our device, or devices, for the case. */
int bench_recipe_open_ours(const struct bench_recipe *recipe, const struct bench_case *one,
                           const struct bench_place *place, struct bench_backend *backend,
                           int *fds) BH_MUST_USE;

#endif
