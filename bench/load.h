/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A load: the driver of one class, which keeps a back-end busy in the way that a workload says. And the table of
 * workloads, which names them all.
 *
 * Threading: one thread.   Ownership: start makes a load, stop gives it back; the links are the caller's.
 * May block: run, as long as its limit says.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include "bench/link.h"

enum { BENCH_LINKS = 2 };

struct bench_load;

struct bench_load_ops {
    const char *class_name; /* of the device that it drives */
    unsigned links;         /* connections to the back-end */
    /* Guest memory of each link in bytes. */
    uint64_t (*memory)(const struct bench_case *one);
    /* Bring the opened links' devices up. Codes as bench/link.h. */
    int (*start)(struct bench_load **load, struct bench_link *links, const struct bench_case *one);
    /* One measurement; codes as bench/flight.h. */
    int (*run)(struct bench_load *load, const struct bench_limit *limit, struct bench_tally *tally);
    void (*stop)(struct bench_load *load);
};

extern const struct bench_load_ops bench_load_blk;

enum bench_pattern {
    BENCH_READ_RANDOM,
    BENCH_WRITE_RANDOM,
    BENCH_READ_NEXT,
    BENCH_WRITE_NEXT,
    BENCH_MIXED,  /* random, 70 % reads */
    BENCH_VERIFY, /* write, read back, compare */
};

struct bench_workload {
    const char *name;
    const char *summary; /* one line, no full stop */
    const struct bench_load_ops *load;
    int pattern;                /* the load's own */
    unsigned depths[3];         /* without --depth; ends with 0 */
    uint32_t blocks[4];         /* without --block; ends with 0 */
    unsigned stores;            /* set of enum bench_store that it knows; without --store all but the disk */
    enum bench_metric shown[4]; /* what is plotted, the most telling first; ends with BENCH_METRICS */
};

extern const struct bench_workload bench_workloads[]; /* ends with a NULL name */
const struct bench_workload *bench_workload_find(const char *name);

#endif
