/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests in flight: keeps `depth` of them going on each queue, and times each. What a request is, its class
 * says through two functions.
 *
 * Threading: one thread.   Ownership: create and destroy own the requests; the link is the caller's.
 * May block: run, as long as its limit says.
 */
#ifndef BENCH_FLIGHT_H
#define BENCH_FLIGHT_H

#include "bench/link.h"

enum { BENCH_REQUEST_PIECES = 4 };

struct bench_request {
    struct bh_drv_buf bufs[BENCH_REQUEST_PIECES];
    unsigned out_count, in_count;
    unsigned queue;
    uint32_t bytes; /* what it moves */
    uint64_t since; /* when it was made available */
};

struct bench_flight {
    struct bench_link *link;
    unsigned queue_first, queues, depth; /* queues in use, depth on each */
    struct bench_request *requests;      /* depth of the first queue, then of the next */
    /* Lay out what changes from one request to the next. NULL: nothing does. */
    void (*fill)(void *owner, unsigned request);
    /* It came back with `len` bytes written: was it answered well? NULL: always. */
    bool (*answered)(void *owner, unsigned request, uint32_t len);
    void *owner;
    /* The state of a run. */
    unsigned in_flight;
    uint64_t begun;
};

int bench_flight_create(struct bench_flight *flight, struct bench_link *link, unsigned queue_first,
                        unsigned queues, unsigned depth) BH_MUST_USE;
void bench_flight_destroy(struct bench_flight *flight);

/*
 * Run until the limit, then wait until nothing is in flight. The tally was zeroed by the caller. BH_ERR_CLOSED,
 * BH_ERR_PROTO: the back-end went away or broke the ring; BH_ERR_TIMEOUT: it does not return what it took;
 * BH_ERR_CANCELLED: bench_stopped.
 */
int bench_flight_run(struct bench_flight *flight, const struct bench_limit *limit,
                     struct bench_tally *tally) BH_MUST_USE;

#endif
