/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who takes part: Bulkhead first, then its variants, then the peers that the command line names or the machine has.
 *
 * Threading: one thread.   Ownership: strings are the options'.   May block: asks programs for their version.
 */
#ifndef BENCH_CONTESTANTS_H
#define BENCH_CONTESTANTS_H

#include "bench/options.h"
#include "bench/recipe.h"

/* `recipes` has room for BENCH_RECIPES. BH_ERR_INVAL, BH_ERR_RANGE: the error has been said. */
int bench_contestants_choose(const struct bench_options *options, struct bench_recipe *recipes,
                             size_t *count) BH_MUST_USE;

#endif
