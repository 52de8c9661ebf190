/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which cases a command line asks for: its lists of words, crossed with the workloads that it names.
 *
 * Threading: plain data.   Ownership: by value.   May block: no.
 */
#ifndef BENCH_CHOICE_H
#define BENCH_CHOICE_H

#include "bench/load.h"
#include "bench/options.h"

enum { BENCH_LIST = 8 };

struct bench_numbers {
    uint64_t number[BENCH_LIST];
    size_t count; /* 0: as the workload has it */
};

struct bench_choice {
    struct bench_numbers depths, blocks, queues;
    uint32_t stores; /* sets of words, by their numbers; 0: as the workload has it */
    uint32_t rings, waits, without;
    bool all;
};

/* Read the options' lists. BH_ERR_INVAL, BH_ERR_RANGE: the error has been said. */
int bench_choice_read(struct bench_choice *choice, const struct bench_options *options) BH_MUST_USE;

/* Call `each` with every case of the workload that was asked for, until it fails. BH_OK: there may be none. */
int bench_choice_expand(const struct bench_choice *choice, const struct bench_workload *workload,
                        int (*each)(void *owner, const struct bench_case *one), void *owner) BH_MUST_USE;

#endif
