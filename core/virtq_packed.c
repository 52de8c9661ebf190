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
#include "core/virtq_packed.h"
#include "core/chain_quick.h"
#include "core/inflight_records.h"

static inline struct pvirtq_desc *desc_ring(const struct bh_virtq *q)
{
    return q->ring[RING_DESC];
}

/* The chain that starts at the available position. BH_OK, or as the walks return. */
static BH_FAST_INLINE int find_chain(struct bh_virtq *q, struct bh_chain *chain, unsigned at,
                                     uint16_t head_flags)
{
    int result;

    if (BH_SPEED && BH_LIKELY(!q->inflight))
        return quick_chain(q, chain, at, head_flags, false);
    result = bh_chain_walk(q, CHAIN_PACKED, at, head_flags, chain);
    if (q->inflight)
        bh_records_packed_end(q->inflight, chain, result == BH_OK);
    return result;
}

static int packed_pop(struct bh_virtq *q, struct bh_chain **chains, unsigned max)
{
    const struct pvirtq_desc *ring = desc_ring(q);
    const uint16_t *slot = q->memory.free_slots + q->free_count;
    struct bh_chain **next = chains, **end = chains + max;
    struct taking taking = taking_begin(q);
    unsigned at = q->state.avail, lap = packed_lap(q->state.avail_wrap), size = q->size;
    int result = BH_OK;

    while (next != end) {
        struct bh_chain *chain = &q->memory.chains[*--slot];
        /* Acquire: pairs with the driver's barrier before it wrote the flags [virtio-1.4 2.8.21.1.1]. */
        uint16_t head_flags = ring_load16_acquire(&ring[at].flags);

        if ((head_flags & LAP_FLAGS) != lap)
            break;
        result = find_chain(q, chain, at, head_flags);
        if (BH_UNLIKELY(result != BH_OK))
            break;
        at += chain->desc_count;
        if (at >= size) {
            at -= size;
            lap ^= LAP_FLAGS;
        }
        if (BH_SPEED)
            taking_add(q, &taking, chain);
        *next++ = chain;
    }
    q->state.avail = (uint16_t)at;
    q->state.avail_wrap = lap == packed_lap(true);
    return virtq_popped(q, chains, (unsigned)(next - chains), result, &taking);
}

static int packed_resubmit(struct bh_virtq *q, uint16_t record, struct bh_chain *chain)
{
    int result = bh_chain_walk(q, CHAIN_RECORD, record, 0, chain);

    if (result != BH_OK)
        return result;
    chain->record = record;
    return BH_OK;
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

/* A used descriptor's flags [virtio-1.4 2.8.1, 2.8.3]. `lap`: LAP_FLAGS or none of them. */
static inline uint16_t used_flags(const struct bh_chain *chain, unsigned lap)
{
    return (uint16_t)(lap | (chain->written ? VIRTQ_DESC_F_WRITE : 0u));
}

/* After a full barrier: does the driver want to hear of the entries published last, `count` ring slots? */
static inline bool wants_notification(const struct bh_virtq *q, unsigned count)
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

static bool packed_publish(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count)
{
    struct pvirtq_desc *ring = desc_ring(q), *first = &ring[q->state.used];
    unsigned at = q->state.used, lap = q->state.used_wrap ? LAP_FLAGS : 0u, size = q->size, slots;
    uint16_t first_flags = used_flags(chains[0], lap);
    bool log = q->view.mem->log != NULL; /* looked at again for each mark, with its reason */
    struct giving giving = giving_begin(q, chains[0]);

    for (unsigned i = 0; i < count; i++) {
        struct pvirtq_desc *desc = &ring[at];
        struct bh_chain *chain = chains[i];

        ring_store32(&desc->len, chain->written);
        ring_store16(&desc->id, chain->id);
        if (i > 0)
            ring_store16(&desc->flags, used_flags(chain, lap));
        if (BH_UNLIKELY(log))
            virtq_dirty(q, desc, sizeof(*desc));
        at += chain->desc_count;
        if (at >= size) {
            at -= size;
            lap ^= LAP_FLAGS;
        }
        if (BH_SPEED)
            giving_add(q, &giving, chain);
    }
    slots = at - q->state.used;
    if ((lap != 0) != q->state.used_wrap) /* once at most: no more than the ring's size were in flight */
        slots += size;
    q->state.used = (uint16_t)at;
    q->state.used_wrap = lap != 0;
    if (BH_UNLIKELY(q->inflight != NULL))
        bh_records_packed_link(q->inflight, chains, count, q->state.used, q->state.used_wrap);
    /* Release: buffers and the batch's other descriptors are there before the driver can see the first. */
    ring_store16_release(&first->flags, first_flags);
    virtq_dirty(q, first, sizeof(*first));
    if (BH_UNLIKELY(q->inflight != NULL))
        bh_records_packed_done(q->inflight, chains, count);
    q->desc_in_flight = (uint16_t)(q->desc_in_flight - slots);
    if (BH_SPEED) {
        giving_end(q, &giving);
        q->counters.bytes_in += giving.bytes;
    }
    return wants_notification(q, slots);
}

static bool packed_has_work(struct bh_virtq *q)
{
    return packed_available(ring_load16_acquire(&desc_ring(q)[q->state.avail].flags), q->state.avail_wrap);
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
    .arm = packed_arm,
    .disarm = packed_disarm,
    .has_work = packed_has_work,
    .resubmit = packed_resubmit,
};
