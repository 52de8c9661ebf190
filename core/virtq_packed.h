/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a place in a packed ring is told to be available: for pop (chain_walk.c), publish
 * (virtq_packed.c) and what a crash left (inflight.c).
 *
 * Threading: pure.   Ownership: none.   May block: no.
 */
#ifndef CORE_VIRTQ_PACKED_H
#define CORE_VIRTQ_PACKED_H

#include "abi/virtio_ring.h"

#include <bulkhead/virtq.h>

#define LAP_FLAGS (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

/* Of LAP_FLAGS, what an available descriptor has. `wrap`: the wrap counter of the lap that we read in [virtio-1.4 2.8.1]. */
static inline unsigned packed_lap(bool wrap)
{
    return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

static inline bool packed_available(uint16_t flags, bool wrap)
{
    return (flags & LAP_FLAGS) == packed_lap(wrap);
}

#endif
