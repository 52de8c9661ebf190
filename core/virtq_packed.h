/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a place in a packed ring is told to be available, and how one goes on from it: for pop (chain_walk.c), publish
 * (virtq_packed.c) and what a crash left (inflight.c).
 *
 * Threading: pure.   Ownership: none.   May block: no.
 */
#ifndef CORE_VIRTQ_PACKED_H
#define CORE_VIRTQ_PACKED_H

#include "abi/virtio_ring.h"

#include <bulkhead/virtq.h>

#define LAP_FLAGS (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

/* `wrap`: the wrap counter of the lap that we read in [virtio-1.4 2.8.1]. */
static inline bool packed_available(uint16_t flags, bool wrap)
{
    return (flags & LAP_FLAGS) == (wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED);
}

/* Move a position forward by at most the ring's size. */
static inline void packed_advance(const struct bh_virtq *q, uint16_t *position, bool *wrap, unsigned slots)
{
    unsigned to = *position + slots;

    if (to >= q->size) {
        to -= q->size;
        *wrap = !*wrap;
    }
    *position = (uint16_t)to;
}

#endif
