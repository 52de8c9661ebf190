/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a packed virtqueue [virtio-1.4 2.8]. The flags of a chain's first descriptor are
 * written last: they make the whole chain available.
 */
#include "driver/ring_impl.h"

static uint16_t avail_flags(bool wrap)
{
    return wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
}

static void fill(struct pvirtq_desc *desc, const struct bh_drv_buf *buf, uint16_t id)
{
    desc->addr = bh_le64_of(buf->addr.raw);
    desc->len = bh_le32_of(buf->len);
    desc->id = bh_le16_of(id);
}

static void advance(struct bh_drv_ring *ring, uint16_t *position, bool *wrap, unsigned by)
{
    unsigned next = *position + by;

    if (next >= ring->setup.size) {
        next -= ring->setup.size;
        *wrap = !*wrap;
    }
    *position = (uint16_t)next;
}

uint16_t bh_drv_packed_add(struct bh_drv_ring *ring, const struct bh_drv_buf *bufs, unsigned out_count,
                           unsigned in_count, bool indirect)
{
    struct pvirtq_desc *descs = ring->setup.desc;
    unsigned count = out_count + in_count, taken = indirect ? 1 : count;
    uint16_t id = ring_take(ring), head = ring->avail, head_flags = 0;

    if (indirect) {
        struct pvirtq_desc *table =
            (struct pvirtq_desc *)ring->setup.tables + (size_t)id * ring->setup.table_entries;
        struct bh_drv_buf whole = {
            bh_daddr(ring->setup.tables_addr.raw + (uint64_t)id * ring->setup.table_entries * sizeof(*table)),
            (uint32_t)(count * sizeof(*table))};

        for (unsigned i = 0; i < count; i++) {
            fill(&table[i], &bufs[i], 0);
            table[i].flags = bh_le16_of(i >= out_count ? VIRTQ_DESC_F_WRITE : 0);
        }
        fill(&descs[head], &whole, id);
        head_flags = (uint16_t)(VIRTQ_DESC_F_INDIRECT | avail_flags(ring->avail_wrap));
        advance(ring, &ring->avail, &ring->avail_wrap, 1);
    } else {
        for (unsigned i = 0; i < count; i++) {
            struct pvirtq_desc *desc = &descs[ring->avail];
            uint16_t flags =
                (uint16_t)(avail_flags(ring->avail_wrap) | (i >= out_count ? VIRTQ_DESC_F_WRITE : 0) |
                           (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0));

            fill(desc, &bufs[i], id);
            if (i == 0)
                head_flags = flags;
            else
                ring_store16(&desc->flags, flags);
            advance(ring, &ring->avail, &ring->avail_wrap, 1);
        }
    }
    ring->setup.slots[id].desc_count = (uint16_t)taken;
    ring->free_descs = (uint16_t)(ring->free_descs - taken);
    ring->kicked = (uint16_t)(ring->kicked + taken);
    ring_store16_release(&descs[head].flags, head_flags);
    return id;
}

bool bh_drv_packed_kick_needed(struct bh_drv_ring *ring)
{
    const struct pvirtq_event_suppress *event = ring->setup.device;
    uint16_t flags = ring_load16(&event->flags) & PVIRTQ_EVENT_FLAGS;
    uint16_t at = ring_load16(&event->desc), added = ring->kicked;
    uint16_t now = ring->avail, old = (uint16_t)(now - added);
    uint16_t off = at & (uint16_t)~PVIRTQ_EVENT_WRAP;

    ring->kicked = 0;
    if (added == 0 || flags == RING_EVENT_FLAGS_DISABLE)
        return false;
    if (!ring->event_idx || flags != RING_EVENT_FLAGS_DESC)
        return true;
    if (!!(at & PVIRTQ_EVENT_WRAP) != ring->avail_wrap)
        off = (uint16_t)(off - ring->setup.size); /* an offset of the lap before */
    return ring_passed(off, now, old);
}

bool bh_drv_packed_used(struct bh_drv_ring *ring, uint32_t *id, uint32_t *len)
{
    const struct pvirtq_desc *desc = (const struct pvirtq_desc *)ring->setup.desc + ring->used;
    uint16_t flags = ring_load16_acquire(&desc->flags);

    if (!!(flags & VIRTQ_DESC_F_AVAIL) != ring->used_wrap || !!(flags & VIRTQ_DESC_F_USED) != ring->used_wrap)
        return false;
    *id = ring_load16(&desc->id);
    *len = ring_load32(&desc->len);
    return true;
}

void bh_drv_packed_free(struct bh_drv_ring *ring, uint16_t id)
{
    uint16_t count = ring->setup.slots[id].desc_count;

    ring->setup.slots[id].desc_count = 0;
    ring_give(ring, id);
    ring->free_descs = (uint16_t)(ring->free_descs + count);
    advance(ring, &ring->used, &ring->used_wrap, count);
}

void bh_drv_packed_want(struct bh_drv_ring *ring, bool wanted)
{
    struct pvirtq_event_suppress *event = ring->setup.driver;

    if (!wanted) {
        ring_store16(&event->flags, RING_EVENT_FLAGS_DISABLE);
        return;
    }
    if (!ring->event_idx) {
        ring_store16(&event->flags, RING_EVENT_FLAGS_ENABLE);
        return;
    }
    ring_store16(&event->desc, (uint16_t)(ring->used | (ring->used_wrap ? PVIRTQ_EVENT_WRAP : 0)));
    ring_store16_release(&event->flags, RING_EVENT_FLAGS_DESC); /* the offset before the flag that uses it */
}
