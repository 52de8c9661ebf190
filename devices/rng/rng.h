/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy class [virtio-1.4 5.4]: hands each buffer of the driver to an entropy source.
 *
 * Threading: as device.h.   Ownership: the caller's memory; the source outlives the device.   May block: no.
 */
#ifndef DEVICES_RNG_RNG_H
#define DEVICES_RNG_RNG_H

#include "devices/rng/source.h"
#include <bulkhead/device.h>

#define BH_RNG_QUEUES 1u
#define BH_RNG_BATCH  16u /* chains taken at once: what the queue's memory needs to hold */
/* Segments of the largest chain: a driver may make it as long as an ordinary queue. */
#define BH_RNG_SEGS 130u
/* Bytes filled in one call of queue_ready; a larger buffer takes several. */
#define BH_RNG_STEP 16384u

struct bh_rng_counters {
    uint64_t bytes;
    uint64_t short_buffers; /* answered with fewer bytes than asked, as the source had no more at once */
    uint64_t source_dry;    /* times the source had nothing */
    uint64_t source_errors; /* times the source failed */
};

struct bh_rng {
    struct bh_device dev;
    struct bh_virtq queue;
    struct bh_rng_source *source;
    /* Chains popped and not pushed, oldest first: [next, count) are to be filled. */
    struct bh_chain *chains[BH_RNG_BATCH];
    uint16_t next;
    uint16_t count;
    uint32_t filled; /* bytes in chains[next] */
    struct bh_rng_counters counters;
};

/* `memory` has room for BH_RNG_BATCH chains of BH_RNG_SEGS segments at least. */
void bh_rng_init(struct bh_rng *rng, struct bh_mem *mem, const struct bh_virtq_memory *memory,
                 struct bh_rng_source *source);

#endif
