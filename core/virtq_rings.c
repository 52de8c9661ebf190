/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue's rings: where the three parts are in memory, looked up when the queue starts and again when the memory's
 * table changes. Each part lies whole in one region, whose use the queue holds.
 */
#include "core/virtq_ops.h"

static size_t part_bytes(const struct bh_virtq_ops *ops, unsigned part, uint16_t size)
{
    return (size_t)ops->part[part].entry_size * size + ops->part[part].fixed_size;
}

static void release_rings(struct bh_virtq *q, const struct bh_virtq_ops *ops, void *const ring[RING_PARTS],
                          uint16_t size)
{
    for (unsigned i = 0; i < RING_PARTS; i++) {
        struct bh_seg part = {ring[i], part_bytes(ops, i, size)};

        bh_mem_view_release(&q->view, &part, part.base != NULL);
    }
}

int bh_virtq_find_rings(struct bh_virtq *q, const struct bh_virtq_ops *ops,
                        const struct bh_virtq_setup *setup, void *ring[RING_PARTS], uint32_t *slots)
{
    const bh_daddr_t addr[RING_PARTS] = {setup->desc, setup->driver, setup->device};
    int result = BH_OK;

    *slots = 0;
    for (unsigned i = 0; i < RING_PARTS; i++) {
        const struct bh_virtq_ring_part *part = &ops->part[i];
        size_t bytes = part_bytes(ops, i, setup->size);
        struct bh_mem_span span = {0};
        enum bh_mem_result found = bh_mem_translate(&q->view, addr[i], bytes, part->access, &span);

        ring[i] = found == BH_MEM_HERE && span.len == bytes ? span.host : NULL;
        if (found == BH_MEM_HERE && ring[i] == NULL)
            bh_mem_view_release(&q->view, &(struct bh_seg){span.host, (size_t)span.len}, 1);
        if (found == BH_MEM_PENDING)
            result = result > 0 ? result : BH_ERR_PENDING;
        else if (ring[i] == NULL)
            result = BH_BROKEN_RING_FAULT;
        else if (((addr[i].raw | (uintptr_t)span.host) & (part->align - 1u)) != 0)
            result = BH_BROKEN_RING_ALIGN;
        *slots |= bh_mem_slot_bit(span.slot);
    }
    if (result != BH_OK)
        release_rings(q, ops, ring, setup->size);
    return result;
}

void bh_virtq_drop_rings(struct bh_virtq *q)
{
    bh_mem_view_use(&q->view, q->ring_slots, -1);
    q->ring_slots = 0;
    if (q->ops)
        release_rings(q, q->ops, q->ring, q->size);
    q->ring[RING_DESC] = q->ring[RING_DRIVER] = q->ring[RING_DEVICE] = NULL;
}

void bh_virtq_set_rings(struct bh_virtq *q, void *const ring[RING_PARTS], uint32_t slots)
{
    bh_mem_view_use(&q->view, slots, 1);
    bh_virtq_drop_rings(q);
    for (unsigned i = 0; i < RING_PARTS; i++)
        q->ring[i] = ring[i];
    q->ring_slots = slots;
    q->rings_stale = false;
}
