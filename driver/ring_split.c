/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a split virtqueue [virtio-1.4 2.7]. The chain's links are kept in slots of ours; the
 * device's copy of them is only ever written.
 */
#include "driver/ring_impl.h"

static struct virtq_desc *table_of(const struct bh_drv_ring *ring, uint16_t id)
{
    return (struct virtq_desc *)ring->setup.tables + (size_t)id * ring->setup.table_entries;
}

static void fill(struct virtq_desc *desc, const struct bh_drv_buf *buf, unsigned flags, uint16_t next)
{
    desc->addr = bh_le64_of(buf->addr.raw);
    desc->len = bh_le32_of(buf->len);
    desc->flags = bh_le16_of((uint16_t)flags);
    desc->next = bh_le16_of(next);
}

uint16_t bh_drv_split_add(struct bh_drv_ring *ring, const struct bh_drv_buf *bufs, unsigned out_count,
                          unsigned in_count, bool indirect)
{
    struct virtq_desc *descs = ring->setup.desc;
    struct virtq_avail *avail = ring->setup.driver;
    unsigned count = out_count + in_count;
    uint16_t head = ring->free_head;

    if (indirect) {
        struct virtq_desc *table = table_of(ring, head);
        struct bh_drv_buf whole = {bh_daddr(ring->setup.tables_addr.raw +
                                            (uint64_t)head * ring->setup.table_entries * sizeof(*table)),
                                   (uint32_t)(count * sizeof(*table))};

        for (unsigned i = 0; i < count; i++)
            fill(&table[i], &bufs[i],
                 (i >= out_count ? VIRTQ_DESC_F_WRITE : 0) | (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0),
                 (uint16_t)(i + 1 < count ? i + 1 : 0));
        (void)ring_take(ring);
        fill(&descs[head], &whole, VIRTQ_DESC_F_INDIRECT, 0);
        ring->setup.slots[head].desc_count = 1;
    } else {
        for (unsigned i = 0; i < count; i++) {
            uint16_t index =
                ring_take(ring); /* its slot's `next` is the free list's next: the one taken next */

            fill(&descs[index], &bufs[i],
                 (i >= out_count ? VIRTQ_DESC_F_WRITE : 0) | (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0),
                 i + 1 < count ? ring->setup.slots[index].next : 0);
        }
        ring->setup.slots[head].desc_count = (uint16_t)count;
    }
    avail->ring[ring->avail & (ring->setup.size - 1u)] = bh_le16_of(head);
    ring->avail++;
    ring_store16_release(&avail->idx, ring->avail); /* descriptors and ring entry before the index */
    return head;
}

bool bh_drv_split_kick_needed(struct bh_drv_ring *ring)
{
    const struct virtq_used *used = ring->setup.device;
    const bh_le16 *avail_event = (const bh_le16 *)(const void *)&used->ring[ring->setup.size];
    uint16_t old = ring->kicked;

    ring->kicked = ring->avail;
    if (old == ring->avail)
        return false;
    if (ring->event_idx)
        return ring_passed(ring_load16(avail_event), ring->avail, old);
    return !(ring_load16(&used->flags) & VIRTQ_USED_F_NO_NOTIFY);
}

bool bh_drv_split_used(struct bh_drv_ring *ring, uint32_t *id, uint32_t *len)
{
    const struct virtq_used *used = ring->setup.device;
    const struct virtq_used_elem *elem;

    if (ring_load16_acquire(&used->idx) == ring->used)
        return false;
    elem = &used->ring[ring->used & (ring->setup.size - 1u)];
    *id = ring_load32(&elem->id);
    *len = ring_load32(&elem->len);
    return true;
}

void bh_drv_split_free(struct bh_drv_ring *ring, uint16_t id)
{
    uint16_t index = id;
    unsigned count = ring->setup.slots[id].desc_count;

    ring->setup.slots[id].desc_count = 0;
    for (unsigned i = 0; i < count; i++) {
        uint16_t next = ring->setup.slots[index].next;

        ring_give(ring, index);
        index = next;
    }
    ring->used++;
}

void bh_drv_split_want(struct bh_drv_ring *ring, bool wanted)
{
    struct virtq_avail *avail = ring->setup.driver;

    if (ring->event_idx)
        ring_store16(&avail->ring[ring->setup.size], (uint16_t)(wanted ? ring->used : ring->used - 1));
    else
        ring_store16(&avail->flags, wanted ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT);
}
