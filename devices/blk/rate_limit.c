/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rate limit of a disk.
 *
 * Theory of operation
 *   A token bucket, kept as a time: each request moves `requests_until` on by the time that the limit gives one, each
 * byte likewise `bytes_until`. While such a time lies no more than the burst ahead of now, the next request may go; it
 * may be as large as it likes and is paid for afterwards. When it lies farther ahead, one timer for all queues fires at
 * the moment when it does not any more.
 */
#include "devices/blk/rate_limit.h"

#define NS_PER_S UINT64_C(1000000000)
#define BURST_NS (BH_RATE_BURST_MS * UINT64_C(1000000))

static struct bh_rate_limit *rate_of(struct bh_blk_limit *limit)
{
    return BH_CONTAINER(limit, struct bh_rate_limit, limit);
}

static void time_is_up(struct bh_loop_timer *timer)
{
    bh_blk_go_on(BH_LOOP_OWNER(timer, struct bh_rate_limit, timer)->blk);
}

static unsigned room(struct bh_blk_limit *limit, unsigned max)
{
    struct bh_rate_limit *rate = rate_of(limit);
    const uint64_t now = rate->now(), horizon = now + BURST_NS;
    const uint64_t until =
        rate->requests_until > rate->bytes_until ? rate->requests_until : rate->bytes_until;

    if (until > horizon) {
        bh_loop_timer_set_at(rate->loop, &rate->timer, bh_loop_now() + (until - horizon), time_is_up);
        return 0;
    }
    if (rate->bandwidth) /* one at a time: what it costs is known when it was read */
        return 1;
    const uint64_t from = rate->requests_until > now ? rate->requests_until : now;
    const uint64_t count = (horizon - from) * rate->iops / NS_PER_S + 1;
    return count < max ? (unsigned)count : max;
}

static void advance(uint64_t *until, uint64_t now, uint64_t amount, uint64_t per_second)
{
    if (!per_second)
        return;
    if (*until < now)
        *until = now;
    *until += amount / per_second * NS_PER_S + amount % per_second * NS_PER_S / per_second;
}

static void spent(struct bh_blk_limit *limit, unsigned requests, uint64_t bytes)
{
    struct bh_rate_limit *rate = rate_of(limit);
    const uint64_t now = rate->now();

    advance(&rate->requests_until, now, requests, rate->iops);
    advance(&rate->bytes_until, now, bytes, rate->bandwidth);
}

void bh_rate_limit_init(struct bh_rate_limit *rate, struct bh_blk *blk, struct bh_loop *loop)
{
    *rate = (struct bh_rate_limit){
        .limit = {.room = room, .spent = spent}, .blk = blk, .loop = loop, .now = bh_loop_now};
}

void bh_rate_limit_set(struct bh_rate_limit *rate, uint64_t iops, uint64_t bandwidth)
{
    BH_ASSERT(iops <= BH_RATE_IOPS_MAX && bandwidth <= BH_RATE_BANDWIDTH_MAX);
    bh_loop_timer_cancel(&rate->timer);
    rate->iops = iops;
    rate->bandwidth = bandwidth;
    rate->requests_until = rate->bytes_until = 0;
    rate->blk->limit = iops || bandwidth ? &rate->limit : NULL;
    bh_blk_go_on(rate->blk);
}

void bh_rate_limit_fini(struct bh_rate_limit *rate)
{
    bh_loop_timer_cancel(&rate->timer);
}
