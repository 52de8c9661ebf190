/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The packed layout [virtio-1.4 2.8], device side.
 *
 * Theory of operation
 *   One ring of descriptors. The driver makes a chain available by its first descriptor's flags, written
 * last; pop loads those with acquire and everything else after them. AVAIL and USED differ in an available
 * descriptor, and AVAIL equals the wrap counter of the lap that we read in, which changes each time the end
 * is passed [virtio-1.4 2.8.1]. A chain takes as many slots as it has descriptors; its buffer id stands in
 * the last one.
 *
 *   Publish writes one used descriptor a chain where the used position stands, then skips as many slots as
 * the chain took. The first one's flags are stored last, with release: the driver looks at one place only, so
 * the whole batch appears at once.
 *
 *   A driver that flips flags behind our back can make slots available that are still in flight. The sum of
 * slots in flight is kept below the ring's size, so the used position never runs over the available one. A
 * buffer id is the driver's own number: it is handed back as it came and indexes nothing.
 */
#include "core/chain_walk.h"
#include "core/inflight_records.h"
#include "core/ring_access.h"
#include "core/virtq_ops.h"

#define LAP_FLAGS (VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED)

static inline struct pvirtq_desc *desc_ring(const struct bh_virtq *q)
{
    return q->ring[RING_DESC];
}

/* Move a position forward by at most the ring's size. */
static inline void advance(const struct bh_virtq *q, uint16_t *position, bool *wrap, unsigned slots)
{
    unsigned to = *position + slots;

    if (to >= q->size) {
        to -= q->size;
        *wrap = !*wrap;
    }
    *position = (uint16_t)to;
}

static inline bool is_available(uint16_t flags, bool wrap)
{
    return (flags & LAP_FLAGS) == (wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED);
}

static unsigned packed_pop(struct bh_virtq *q, struct bh_chain **chains, unsigned max, int *result)
{
    unsigned count;

    for (count = 0; count < max; count++) {
        struct bh_chain *chain = virtq_next_chain(q, count);
        /* Acquire: pairs with the driver's barrier before it wrote the flags [virtio-1.4 2.8.21.1.1]. */
        uint16_t flags = ring_load16_acquire(&desc_ring(q)[q->state.avail].flags);

        if (!is_available(flags, q->state.avail_wrap))
            break;
        *result = bh_chain_walk_packed(q, q->state.avail, flags, chain);
        if (BH_UNLIKELY(*result != BH_OK))
            break;
        q->desc_in_flight += chain->desc_count;
        advance(q, &q->state.avail, &q->state.avail_wrap, chain->desc_count);
        chains[count] = chain;
    }
    return count;
}

static void packed_unpop(struct bh_virtq *q, struct bh_chain *chain)
{
    q->desc_in_flight -= chain->desc_count;
    if (chain->resubmitted)
        return;
    if (chain->desc_count > q->state.avail) {
        q->state.avail = (uint16_t)(q->state.avail + q->size - chain->desc_count);
        q->state.avail_wrap = !q->state.avail_wrap;
    } else {
        q->state.avail -= chain->desc_count;
    }
    if (q->inflight)
        bh_records_packed_untaken(q->inflight, chain->record);
}

static int packed_resubmit(struct bh_virtq *q, uint16_t record, struct bh_chain *chain)
{
    int result = bh_chain_walk_record(q, record, chain);

    if (result == BH_OK)
        q->desc_in_flight += chain->desc_count;
    return result;
}

/* A used descriptor's flags [virtio-1.4 2.8.1, 2.8.3]. */
static inline uint16_t used_flags(const struct bh_chain *chain, bool wrap)
{
    return (uint16_t)((wrap ? LAP_FLAGS : 0u) | (chain->written ? VIRTQ_DESC_F_WRITE : 0u));
}

static unsigned packed_publish(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count)
{
    struct pvirtq_desc *first = &desc_ring(q)[q->state.used];
    uint16_t first_flags = used_flags(chains[0], q->state.used_wrap);
    unsigned slots = 0;

    for (unsigned i = 0; i < count; i++) {
        struct pvirtq_desc *desc = &desc_ring(q)[q->state.used];

        ring_store32(&desc->len, chains[i]->written);
        ring_store16(&desc->id, chains[i]->id);
        if (i > 0)
            ring_store16(&desc->flags, used_flags(chains[i], q->state.used_wrap));
        virtq_dirty(q, desc, sizeof(*desc));
        slots += chains[i]->desc_count;
        advance(q, &q->state.used, &q->state.used_wrap, chains[i]->desc_count);
    }
    if (BH_UNLIKELY(q->inflight != NULL))
        bh_records_packed_link(q->inflight, chains, count, q->state.used, q->state.used_wrap);
    /* Release: buffers and the batch's other descriptors are there before the driver can see the first. */
    ring_store16_release(&first->flags, first_flags);
    virtq_dirty(q, first, sizeof(*first));
    if (BH_UNLIKELY(q->inflight != NULL))
        bh_records_packed_done(q->inflight, chains, count);
    q->desc_in_flight = (uint16_t)(q->desc_in_flight - slots);
    return slots;
}

static bool packed_wants_notification(struct bh_virtq *q, unsigned count)
{
    const struct pvirtq_event_suppress *event = q->ring[RING_DRIVER];
    uint32_t both;
    uint16_t desc;
    int at;

    ring_full_barrier(); /* used flags stored, before the driver's event suppression is loaded */
    both = ring_load32((const bh_le32 *)(const void *)event);
    desc = (uint16_t)both;
    switch ((both >> 16) & PVIRTQ_EVENT_FLAGS) {
    case RING_EVENT_FLAGS_DISABLE: return false;
    case RING_EVENT_FLAGS_DESC:
        if (q->event_idx)
            break;
        return true;
    default: /* ENABLE, or a value that means nothing: rather one too many */ return true;
    }
    /* The named slot in terms of the lap that the used position is in now; before it: of the lap before. */
    at = (int)(desc & ~PVIRTQ_EVENT_WRAP);
    if (((desc & PVIRTQ_EVENT_WRAP) != 0) != q->state.used_wrap)
        at -= q->size;
    return at < q->state.used && at >= (int)q->state.used - (int)count;
}

static bool packed_has_work(struct bh_virtq *q)
{
    return is_available(ring_load16_acquire(&desc_ring(q)[q->state.avail].flags), q->state.avail_wrap);
}

/* One store for both fields: the driver never sees a new flag with an old position. */
static void set_event(struct bh_virtq *q, uint16_t desc, uint16_t flags)
{
    bh_le32 *event = q->ring[RING_DEVICE];

    ring_store32(event, desc | (uint32_t)flags << 16);
    virtq_dirty(q, event, sizeof(*event));
}

static bool packed_arm(struct bh_virtq *q)
{
    if (q->event_idx)
        set_event(q, (uint16_t)(q->state.avail | (q->state.avail_wrap ? PVIRTQ_EVENT_WRAP : 0u)),
                  RING_EVENT_FLAGS_DESC);
    else
        set_event(q, 0, RING_EVENT_FLAGS_ENABLE);
    ring_full_barrier(); /* asked for, before the next descriptor's flags are loaded again */
    return packed_has_work(q);
}

static void packed_disarm(struct bh_virtq *q)
{
    set_event(q, 0, RING_EVENT_FLAGS_DISABLE);
}

const struct bh_virtq_ops bh_virtq_packed = {
    .part =
        {
            [RING_DESC] = {PVIRTQ_DESC_ALIGN, BH_MEM_READ | BH_MEM_WRITE, 16, 0},
            [RING_DRIVER] = {PVIRTQ_EVENT_ALIGN, BH_MEM_READ, 0, 4},
            [RING_DEVICE] = {PVIRTQ_EVENT_ALIGN, BH_MEM_WRITE, 0, 4},
        },
    .pop = packed_pop,
    .unpop = packed_unpop,
    .publish = packed_publish,
    .wants_notification = packed_wants_notification,
    .arm = packed_arm,
    .disarm = packed_disarm,
    .has_work = packed_has_work,
    .resubmit = packed_resubmit,
};
