/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a virtqueue: what both layouts share. Free lists, the order of what is in flight, and
 * the unfolding of IN_ORDER's batches stand here; the bytes in guest memory in ring_split.c and
 * ring_packed.c.
 */
#include "driver/ring.h"

#include "driver/ring_impl.h"

size_t bh_drv_ring_bytes(uint16_t size, bool packed, size_t *driver_offset, size_t *device_offset)
{
    size_t descs = (size_t)size * sizeof(struct virtq_desc);

    *driver_offset = descs;
    if (packed) {
        *device_offset = descs + sizeof(struct pvirtq_event_suppress);
        return *device_offset + sizeof(struct pvirtq_event_suppress);
    }
    *device_offset = (descs + VIRTQ_AVAIL_BYTES((size_t)size) + 3u) & ~(size_t)3u;
    return *device_offset + VIRTQ_USED_BYTES((size_t)size);
}

void bh_drv_ring_init(struct bh_drv_ring *ring, const struct bh_drv_ring_setup *setup)
{
    BH_ASSERT(setup->size);
    memset(ring, 0, sizeof(*ring));
    ring->setup = *setup;
    ring->packed = bh_features_has(&setup->features, BH_F_RING_PACKED);
    ring->event_idx = bh_features_has(&setup->features, BH_F_EVENT_IDX);
    ring->indirect = setup->table_entries && bh_features_has(&setup->features, BH_F_INDIRECT_DESC);
    ring->in_order = bh_features_has(&setup->features, BH_F_IN_ORDER);
    ring->avail_wrap = ring->used_wrap = true;
    ring->free_descs = setup->size;
    memset(setup->slots, 0, sizeof(*setup->slots) * setup->size);
    for (unsigned i = 0; i < setup->size; i++)
        ring_give(ring, (uint16_t)i);
}

int bh_drv_ring_add(struct bh_drv_ring *ring, const struct bh_drv_buf *bufs, unsigned out_count,
                    unsigned in_count, void *token)
{
    unsigned count = out_count + in_count;
    bool indirect = ring->indirect && count > 1 && count <= ring->setup.table_entries;
    unsigned needed = indirect ? 1 : count;
    uint32_t in_len = 0;
    uint16_t id, tail;

    if (count == 0 || needed > ring->setup.size)
        return BH_ERR_RANGE;
    if (ring->packed ? needed > ring->free_descs || ring->free_count == 0 : needed > ring->free_count)
        return BH_ERR_AGAIN;
    for (unsigned i = out_count; i < count; i++)
        in_len += bufs[i].len;
    id = ring->packed ? bh_drv_packed_add(ring, bufs, out_count, in_count, indirect)
                      : bh_drv_split_add(ring, bufs, out_count, in_count, indirect);
    ring->setup.slots[id].token = token;
    ring->setup.slots[id].in_len = in_len;
    tail = (uint16_t)((ring->order_head + ring->order_count) % ring->setup.size);
    ring->setup.slots[tail].order = id;
    ring->order_count++;
    return BH_OK;
}

bool bh_drv_ring_kick_needed(struct bh_drv_ring *ring)
{
    /* What was made available is seen before the device's wish is read: the other half stands in the device.
     */
    ring_full_barrier();
    return ring->packed ? bh_drv_packed_kick_needed(ring) : bh_drv_split_kick_needed(ring);
}

/* IN_ORDER: how many of the oldest buffers the entry for `id` stands for; 0: it is not in flight. */
static uint16_t batch_of(const struct bh_drv_ring *ring, uint32_t id)
{
    for (uint16_t i = 0; i < ring->order_count; i++) {
        if (ring->setup.slots[(ring->order_head + i) % ring->setup.size].order == id)
            return (uint16_t)(i + 1);
    }
    return 0;
}

/* The id returned leaves the order; without IN_ORDER it may stand anywhere in it. */
static void order_remove(struct bh_drv_ring *ring, uint16_t position)
{
    struct bh_drv_slot *slots = ring->setup.slots;
    unsigned size = ring->setup.size;

    for (uint16_t i = position; i > 0; i--)
        slots[(ring->order_head + i) % size].order = slots[(ring->order_head + i - 1) % size].order;
    ring->order_head = (uint16_t)((ring->order_head + 1) % size);
    ring->order_count--;
}

int bh_drv_ring_get(struct bh_drv_ring *ring, void **token, uint32_t *len)
{
    uint32_t id, used_len;
    uint16_t batch, position;
    struct bh_drv_slot *slot;

    if (ring->broken)
        return BH_ERR_PROTO;
    if (ring->batch_left == 0) {
        if (!(ring->packed ? bh_drv_packed_used(ring, &id, &used_len)
                           : bh_drv_split_used(ring, &id, &used_len)))
            return 0;
        batch = batch_of(ring, id);
        if (batch == 0) {
            ring->broken = true;
            return BH_ERR_PROTO;
        }
        ring->batch_left = ring->in_order ? batch : 1;
        ring->batch_len = used_len;
        position = ring->in_order ? 0 : (uint16_t)(batch - 1);
    } else {
        position = 0;
    }
    id = ring->setup.slots[(ring->order_head + position) % ring->setup.size].order;
    slot = &ring->setup.slots[id];
    ring->batch_left--;
    *token = slot->token;
    /* A buffer that IN_ORDER skipped was written in full [virtio-1.4 2.7.9]. */
    *len = ring->batch_left ? slot->in_len : ring->batch_len;
    order_remove(ring, position);
    if (ring->packed)
        bh_drv_packed_free(ring, (uint16_t)id);
    else
        bh_drv_split_free(ring, (uint16_t)id);
    return 1;
}

bool bh_drv_ring_arm(struct bh_drv_ring *ring)
{
    uint32_t id, len;

    if (ring->packed)
        bh_drv_packed_want(ring, true);
    else
        bh_drv_split_want(ring, true);
    ring_full_barrier(); /* the wish is seen before the used side is looked at once more */
    return ring->batch_left ||
           (ring->packed ? bh_drv_packed_used(ring, &id, &len) : bh_drv_split_used(ring, &id, &len));
}

void bh_drv_ring_disarm(struct bh_drv_ring *ring)
{
    if (ring->packed)
        bh_drv_packed_want(ring, false);
    else
        bh_drv_split_want(ring, false);
}
