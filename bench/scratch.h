/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run needs on the host's file systems: a folder for sockets, and the files behind the stores. All of it is
 * gone afterwards.
 *
 * Threading: one thread.   Ownership: make owns, remove gives back.   May block: while the files are written.
 */
#ifndef BENCH_SCRATCH_H
#define BENCH_SCRATCH_H

#include "bench/options.h"
#include "bench/recipe.h"

/*
 * `stores`: set of enum bench_store that will be measured, by so many `contestants`. BH_ERR_IO, BH_ERR_NOSPC: the error
 * has been said.
 */
int bench_scratch_make(struct bench_place *place, const struct bench_options *options, uint32_t stores,
                       size_t contestants) BH_MUST_USE;
void bench_scratch_remove(struct bench_place *place);

#endif
