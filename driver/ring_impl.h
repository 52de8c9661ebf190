/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two layouts of the driver's ring share.
 *
 * Threading: as driver/ring.h.   Ownership: none.   May block: no.
 */
#ifndef DRIVER_RING_IMPL_H
#define DRIVER_RING_IMPL_H

#include "driver/ring.h"

#include "abi/virtio_ring.h"
#include "core/ring_access.h"

/* A position moved from `old` to `now`: did it pass `event`? [virtio-1.4 2.7.7.2] */
static inline bool ring_passed(uint16_t event, uint16_t now, uint16_t old)
{
    return (uint16_t)(now - event - 1) < (uint16_t)(now - old);
}

/* Free list, first freed first used: with IN_ORDER that is ring order, as it must be [virtio-1.4 2.7.5.4]. */
static inline uint16_t ring_take(struct bh_drv_ring *ring)
{
    uint16_t index = ring->free_head;

    ring->free_head = ring->setup.slots[index].next;
    ring->free_count--;
    return index;
}
static inline void ring_give(struct bh_drv_ring *ring, uint16_t index)
{
    if (ring->free_count == 0)
        ring->free_head = index;
    else
        ring->setup.slots[ring->free_tail].next = index;
    ring->free_tail = index;
    ring->free_count++;
}

/* A used entry of the device, not looked at yet: false when there is none. */
bool bh_drv_split_used(struct bh_drv_ring *ring, uint32_t *id, uint32_t *len);
bool bh_drv_packed_used(struct bh_drv_ring *ring, uint32_t *id, uint32_t *len);
/* The buffer `id` was used: its descriptors are free, the used position moves on. */
void bh_drv_split_free(struct bh_drv_ring *ring, uint16_t id);
void bh_drv_packed_free(struct bh_drv_ring *ring, uint16_t id);
/* `indirect`: the pieces are in the table of the slot. Returns the id. There is room. */
uint16_t bh_drv_split_add(struct bh_drv_ring *ring, const struct bh_drv_buf *bufs, unsigned out_count,
                          unsigned in_count, bool indirect);
uint16_t bh_drv_packed_add(struct bh_drv_ring *ring, const struct bh_drv_buf *bufs, unsigned out_count,
                           unsigned in_count, bool indirect);
bool bh_drv_split_kick_needed(struct bh_drv_ring *ring);
bool bh_drv_packed_kick_needed(struct bh_drv_ring *ring);
void bh_drv_split_want(struct bh_drv_ring *ring, bool wanted);
void bh_drv_packed_want(struct bh_drv_ring *ring, bool wanted);

#endif
