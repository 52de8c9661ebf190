/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions that a back-end's user space spends on a request, counted by the processor where it can,
 * by callgrind elsewhere: that counts a whole process, so there are two runs of different lengths, and the difference is
 * free of what starting and stopping costs.
 *
 * Threading: one thread.   Ownership: nothing is kept.   May block: some seconds where valgrind counts.
 */
#ifndef BENCH_INSTRUCTIONS_H
#define BENCH_INSTRUCTIONS_H

#include "bench/recipe.h"

/* NaN: it cannot be counted, and `why` says why. */
double bench_instructions(const struct bench_recipe *recipe, const struct bench_case *one,
                          const struct bench_place *place, char *why, size_t why_size);

#endif
