/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A link: one connection to a back-end with the memory and the queues behind it, and the two ways to wait for it.
 *
 * Threading: one thread.   Ownership: open takes the socket; close gives everything back.
 * May block: open and start, until the back-end answers; rest, where the link does not poll.
 */
#ifndef BENCH_LINK_H
#define BENCH_LINK_H

#include "bench/bench.h"
#include "driver/vhost_front.h"
#include <poll.h>

struct bench_link {
    struct bh_vhost_front front;
    struct bh_drv_guest guest;
    struct bh_drv_queue queue[BENCH_QUEUES];
    unsigned queue_count;
    struct bh_features features; /* negotiated */
    bool polling;
    uint32_t
        idle; /* rests while polling: now and then somebody must look whether the back-end is still there */
    uint64_t kicks, calls;
    const char *host_path;  /* sockets: where the back-end leads to; NULL or the contestant's */
    struct pollfd extra[1]; /* what a sleep ends for too */
    unsigned extra_count;
};

/* Codes as driver/vhost_front.h. */
int bench_link_open(struct bench_link *link, int fd, uint64_t memory) BH_MUST_USE;
/*
 * Negotiate what the case asks for and the back-end has, with the class's bits in `extra`, and start the first
 * `queue_count` queues. BH_ERR_UNSUPPORTED: it has no packed ring, or too few queues, and the case needs them.
 */
int bench_link_start(struct bench_link *link, const struct bench_case *one, struct bh_features extra,
                     unsigned queue_count, uint16_t queue_size) BH_MUST_USE;
void bench_link_close(struct bench_link *link);

/* Tell the device of what was added to the queue, if it wants to know. */
static inline void bench_link_kick(struct bench_link *link, unsigned queue)
{
    if (bh_drv_ring_kick_needed(&link->queue[queue].ring) &&
        bh_vhost_front_kick(&link->front, queue) == BH_OK) /* by eventfd it cannot fail */
        link->kicks++;
}

/*
 * Nothing is to be done: return soon when polling, else sleep until the device calls on one of the queues in the
 * set `queues` (a bit each), at most 100 ms. BH_ERR_CLOSED: the back-end is gone.
 */
int bench_link_rest(struct bench_link *link, uint32_t queues) BH_MUST_USE;
/* Calls that nobody waited for are counted too. */
void bench_link_count_calls(struct bench_link *link);

#endif
