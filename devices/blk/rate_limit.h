/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast a guest may use its disk: requests a second, bytes a second, or both. What is over the limit waits in the
 * driver's ring until a timer lets it go on.
 *
 * Threading: the loop's thread.   Ownership: embedded by the device's owner.   May block: no.
 */
#ifndef DEVICES_BLK_RATE_LIMIT_H
#define DEVICES_BLK_RATE_LIMIT_H

#include "devices/blk/blk.h"
#include <bulkhead/impl/loop.h>

/* What a guest that has rested may do at once. */
#define BH_RATE_BURST_MS 100u
/* So that a request's bytes in nanoseconds fit in 64 bits. */
#define BH_RATE_BANDWIDTH_MAX (16ull << 30)
#define BH_RATE_IOPS_MAX      1000000000ull

struct bh_rate_limit {
    struct bh_blk_limit limit;
    struct bh_blk *blk;
    struct bh_loop *loop;
    struct bh_loop_timer timer;
    uint64_t iops, bandwidth; /* 0: no limit */
    /* When all that was let through would be done, had it come evenly (ns). */
    uint64_t requests_until, bytes_until;
    uint64_t (*now)(void); /* bh_loop_now; a test's own clock */
};

/* Nothing is limited yet. `blk` is set up. */
void bh_rate_limit_init(struct bh_rate_limit *rate, struct bh_blk *blk, struct bh_loop *loop);
/* At any time; what waits goes on by the new limit. At most BH_RATE_IOPS_MAX and BH_RATE_BANDWIDTH_MAX. */
void bh_rate_limit_set(struct bh_rate_limit *rate, uint64_t iops, uint64_t bandwidth);
/* Also of one that was never initialised but is zeroed. */
void bh_rate_limit_fini(struct bh_rate_limit *rate);

#endif
