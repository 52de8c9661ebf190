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

extern const struct bench_load_ops bench_load_blk, bench_load_rng, bench_load_console, bench_load_net,
    bench_load_pair, bench_load_vsock;

/* The addresses of the network loads: of the sender's card 1, of the receiver's 2. */
#define BENCH_MAC(n) 0x02, 0x62, 0x68, 0x00, 0x00, (n)
/* A frame of `size` bytes from 1 to 2, and one from 2 to 1; is it one of the first kind? `frame` has 14 bytes or more. */
void bench_frame_lay(uint8_t *frame, uint32_t size);
void bench_frame_answer(uint8_t *frame, uint32_t size);
bool bench_frame_ours(const uint8_t *frame);

/* What a workload of a network has between its two cards. */
enum bench_between { BENCH_LINK, BENCH_SWITCH };

enum bench_vsock_pattern { BENCH_VSOCK_SEND, BENCH_VSOCK_RECEIVE, BENCH_VSOCK_ASK, BENCH_VSOCK_CONNECT };

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
    bool anew;                  /* each sample starts the back-end, measures that, and ends it */
};

extern const struct bench_workload bench_workloads[]; /* ends with a NULL name */
const struct bench_workload *bench_workload_find(const char *name);

#endif
