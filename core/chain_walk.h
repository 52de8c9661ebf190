/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From descriptors to bh_chains: the check of descriptor chains, as the ring layouts call it: the long way
 * (chain_walk.c), which knows all cases, and what the quick way (chain_quick.h) hands over to it.
 *
 * Of a good chain each fills segs, counts, lengths, mem_slots, desc_count and, in a packed ring, id, and counts its
 * use of regions and of the ring's slots. A chain that is not good leaves nothing to release.
 *
 * Threading: with the queue.   Ownership: none.   May block: no.
 */
#ifndef CORE_CHAIN_WALK_H
#define CORE_CHAIN_WALK_H

#include "core/ring_access.h"

#include <bulkhead/virtq.h>

/* Where a chain's first descriptors are read from. The rest may be in an indirect table. */
enum chain_source { CHAIN_SPLIT, CHAIN_PACKED, CHAIN_RECORD };

/* An indirect table that lies whole in the region hit last. */
struct chain_table {
    const uint8_t *at; /* NULL: none */
    uint32_t bytes;
    uint16_t id; /* packed: of the ring's descriptor that points to it */
};

/* A chain so far: its segments, and the descriptor that was read and is not among them yet. */
struct chain_part {
    struct bh_seg *seg;    /* the next to fill */
    uint64_t len, out_len; /* of those before it; of the readable ones, once a writable one was seen */
    unsigned out_count;    /* likewise */
    unsigned writable;     /* VIRTQ_DESC_F_WRITE once a writable one was seen, else 0 */
    struct ring_words d;
    unsigned at; /* place of `d` in its ring or table */
    struct chain_table table;
};

/*
 * The chain whose first descriptor is at `at` of the ring, or of the records. BH_OK, BH_ERR_PENDING, or a positive enum
 * bh_broken. `head_flags`: packed, as they were when they said that the chain is available.
 */
int bh_chain_walk(struct bh_virtq *q, enum chain_source source, unsigned at, uint16_t head_flags,
                  struct bh_chain *chain);
/* The same from part->d on; the segments before it lie in the region hit last, and so does the table. */
int bh_chain_walk_rest(struct bh_virtq *q, enum chain_source source, struct bh_chain *chain,
                       const struct chain_part *part);

/* A good chain of `slots` ring slots is the class's from here on. */
static inline void chain_popped(struct bh_chain *chain, unsigned slots)
{
    chain->written = 0;
    chain->desc_count = (uint16_t)slots;
    chain->stage = BH_CHAIN_POPPED;
    chain->resubmitted = false;
}

/* Why a chain is refused that took more slots than were free: a loop, or it ran into ones that are still in flight. */
static inline enum bh_broken chain_too_long(const struct bh_virtq *q)
{
    return q->desc_in_flight == 0 ? BH_BROKEN_CHAIN_LONG : BH_BROKEN_AVAIL_INDEX;
}

#endif
