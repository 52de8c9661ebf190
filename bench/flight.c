/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests in flight.
 *
 * Theory of operation
 *   A turn takes back what the device has used, at most a queue's depth, and makes as many requests available
 * again; one kick, if the device wants one, ends it. The clock is read once a turn and not for every request: what
 * comes back together has the same end, and its successors the same beginning. With nothing to take, the driver
 * rests, which is a spin or a sleep. In lockstep the next batch waits for the last of the one before.
 */
#include "bench/flight.h"

#include <stdlib.h>
#include <string.h>

#define PATIENCE_NS 10000000000ull

int bench_flight_create(struct bench_flight *flight, struct bench_link *link, unsigned queue_first,
                        unsigned queues, unsigned depth)
{
    *flight =
        (struct bench_flight){.link = link, .queue_first = queue_first, .queues = queues, .depth = depth};
    flight->requests = calloc((size_t)queues * depth, sizeof(*flight->requests));
    if (!flight->requests)
        return BH_ERR_NOMEM;
    for (unsigned i = 0; i < queues * depth; i++)
        flight->requests[i].queue = queue_first + i / depth;
    return BH_OK;
}

void bench_flight_destroy(struct bench_flight *flight)
{
    free(flight->requests);
    flight->requests = NULL;
}

/* Make a request available, as far as the limit allows. */
static int begin(struct bench_flight *flight, const struct bench_limit *limit, struct bench_request *request,
                 uint64_t now)
{
    int err;

    if (limit->requests && flight->begun >= limit->requests)
        return BH_OK;
    if (flight->fill)
        flight->fill(flight->owner, (unsigned)(request - flight->requests));
    err = bh_drv_ring_add(&flight->link->queue[request->queue].ring, request->bufs, request->out_count,
                          request->in_count, request);
    if (err)
        return err;
    request->since = now;
    flight->begun++;
    flight->in_flight++;
    return BH_OK;
}

static int begin_all(struct bench_flight *flight, const struct bench_limit *limit)
{
    int err = BH_OK;

    for (unsigned queue = 0; queue < flight->queues && !err; queue++) {
        const uint64_t now = bench_now();

        for (unsigned i = 0; i < flight->depth && !err; i++)
            err = begin(flight, limit, &flight->requests[queue * flight->depth + i], now);
        bench_link_kick(flight->link, flight->queue_first + queue);
    }
    return err;
}

/* One turn of one queue: how many came back, or an error. */
static int turn(struct bench_flight *flight, unsigned queue, const struct bench_limit *limit, bool ending,
                struct bench_tally *tally)
{
    struct bh_drv_ring *ring = &flight->link->queue[queue].ring;
    uint64_t now = 0;
    unsigned count = 0;
    uint32_t len;
    void *token;
    int got = 0, err = BH_OK;

    while (count < flight->depth && !err && (got = bh_drv_ring_get(ring, &token, &len)) == 1) {
        struct bench_request *request = token;

        if (count++ == 0)
            now = bench_now();
        flight->in_flight--;
        bench_histogram_add(&tally->latency, now - request->since);
        tally->requests++;
        tally->bytes += request->bytes;
        if (flight->answered && !flight->answered(flight->owner, (unsigned)(request - flight->requests), len))
            tally->failures++;
        if (!ending && !limit->lockstep)
            err = begin(flight, limit, request, now);
    }
    if (got < 0 || err)
        return err ? err : got;
    if (count && !ending && !limit->lockstep)
        bench_link_kick(flight->link, queue);
    return (int)count;
}

static bool over(const struct bench_flight *flight, const struct bench_limit *limit, uint64_t since,
                 uint64_t now)
{
    return bench_stopped || now - since >= limit->duration_ns ||
           (limit->requests && flight->begun >= limit->requests);
}

/* Turns until nothing is in flight after the limit. */
static int keep_going(struct bench_flight *flight, const struct bench_limit *limit, struct bench_tally *tally,
                      uint64_t since)
{
    const uint32_t queues = ((1u << flight->queues) - 1u) << flight->queue_first;
    bool ending = false;
    uint64_t moved = since;
    int err = begin_all(flight, limit);

    while (!err) {
        const uint64_t now = bench_now();
        int count = 0;

        ending |= over(flight, limit, since, now);
        for (unsigned i = 0; i < flight->queues && count >= 0; i++) {
            const int got = turn(flight, flight->queue_first + i, limit, ending, tally);

            count = got < 0 ? got : count + got;
        }
        if (count < 0)
            return count;
        if (count)
            moved = now;
        if (flight->in_flight == 0) {
            if (ending)
                break;
            err = begin_all(flight, limit);
        } else if (count == 0) {
            err = now - moved > PATIENCE_NS ? BH_ERR_TIMEOUT : bench_link_rest(flight->link, queues);
        }
    }
    return err;
}

int bench_flight_run(struct bench_flight *flight, const struct bench_limit *limit, struct bench_tally *tally)
{
    struct bench_link *link = flight->link;
    const uint64_t since = bench_now();
    int err;

    link->kicks = 0;
    bench_link_count_calls(link);
    link->calls = 0;
    flight->begun = 0;
    flight->in_flight = 0;
    err = keep_going(flight, limit, tally, since);
    tally->elapsed_ns = bench_now() - since;
    bench_link_count_calls(link);
    tally->kicks = link->kicks;
    tally->calls = link->calls;
    return !err && bench_stopped ? BH_ERR_CANCELLED : err;
}
