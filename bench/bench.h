/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of `bulkhead bench` share: a case (one workload with all of its parameters), what is measured of
 * it, and a sample.
 *
 * Words: a *workload* is a kind of load by name (blk-randread); a *case* one setting of it (null store, depth 32,
 * split, interrupts); a *contestant* a back-end that serves it (bulkhead, qsd); a *sample* one measurement of a
 * contestant, of which a *round* takes one each, in turn.
 *
 * Threading: one thread.   Ownership: strings are static, or the command line's.   May block: no.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "bench/statistics.h"

#include <bulkhead/base.h>
#include <bulkhead/err.h>
#include <signal.h>
#include <time.h>

#define BENCH_QUEUES    8u
#define BENCH_VSOCK_CID 3u /* of the guest in the loads on sockets */

/* Set by SIGINT, SIGTERM and SIGHUP: end what runs, and stop what was started. */
extern volatile sig_atomic_t bench_stopped;

enum bench_store { BENCH_STORE_NULL, BENCH_STORE_RAM, BENCH_STORE_FILE, BENCH_STORE_DISK, BENCH_STORE_NONE };
extern const char *const bench_store_words[]; /* by enum bench_store; ends with NULL */

struct bench_workload;

struct bench_case {
    const struct bench_workload *workload;
    enum bench_store store;
    bool packed, polling; /* polling: the driver spins instead of sleeping until it is called */
    bool event_idx, indirect, in_order;
    unsigned depth, queues;
    uint32_t block; /* bytes a request or a packet */
};

enum bench_metric {
    BENCH_RATE,      /* requests a second */
    BENCH_BANDWIDTH, /* bytes a second */
    BENCH_PER_CORE,  /* requests a second of the back-end's CPU time */
    BENCH_CPU,       /* the back-end's CPU microseconds a request */
    BENCH_P50,       /* latency, microseconds */
    BENCH_P99,
    BENCH_P999,
    BENCH_KICKS,        /* notifications by the driver, a request */
    BENCH_CALLS,        /* and by the device */
    BENCH_DRIVER,       /* the driver's CPU microseconds a request: is it the bottleneck? */
    BENCH_INSTRUCTIONS, /* of the back-end's user space, a request */
    BENCH_READY,        /* milliseconds from its start until it answers */
    BENCH_MEMORY,       /* private dirty memory of its processes, KiB */
    BENCH_METRICS
};

struct bench_metric_text {
    const char *key;   /* in JSON */
    const char *title; /* at the head of a column */
    const char *unit;
    int better; /* 1: more is better; -1: less; 0: neither */
};
extern const struct bench_metric_text bench_metrics[BENCH_METRICS];

/* One measurement. */
struct bench_sample {
    double value[BENCH_METRICS]; /* NaN: not measured */
    double foreign;              /* CPUs that others kept busy meanwhile */
};

/* What a load counts while it runs. */
struct bench_tally {
    uint64_t requests, bytes, failures;
    uint64_t kicks, calls;
    uint64_t elapsed_ns;
    struct bench_histogram latency; /* ns */
};

struct bench_limit {
    uint64_t duration_ns;
    uint64_t requests; /* at most; 0: any number */
    bool lockstep; /* wait for a whole batch of `depth` before the next: what is counted is then repeatable */
};

static inline uint64_t bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
