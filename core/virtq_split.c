/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The split layout [virtio-1.4 2.7], device side.
 *
 * Theory of operation
 *   Pop loads the available index once a batch, with acquire: everything that the driver wrote before it
 * (ring entries, descriptors, buffers) is then there. Each entry and descriptor is loaded once. A note for
 * each head in flight catches a driver that makes one available twice, and so bounds what is in flight by the
 * queue's size.
 *
 *   Publish writes the used entries and then the used index, once a batch, with release.
 *
 *   With EVENT_IDX, notifications from the driver are asked for by writing the next available index to
 * avail_event, and never switched off: one that was asked for long ago costs at most one notification in 2^16
 * chains [virtio-1.4 2.7.10]. Without it, the used ring's flags switch them on and off.
 */
#include "core/chain_quick.h"
#include "core/inflight_records.h"
#include "core/virtq_ops.h"

static inline const struct virtq_avail *avail_ring(const struct bh_virtq *q)
{
    return q->ring[RING_DRIVER];
}

static inline struct virtq_used *used_ring(const struct bh_virtq *q)
{
    return q->ring[RING_DEVICE];
}

/* Note that the chain of `head` is in flight. BH_OK or an enum bh_broken. */
static inline int head_taken(struct bh_virtq *q, uint16_t head)
{
    if (BH_UNLIKELY(head >= q->size))
        return BH_BROKEN_HEAD_RANGE;
    if (BH_UNLIKELY(q->memory.heads_in_flight[head]))
        return BH_BROKEN_HEAD_IN_FLIGHT;
    q->memory.heads_in_flight[head] = 1;
    return BH_OK;
}

static inline void head_done(struct bh_virtq *q, uint16_t head)
{
    q->memory.heads_in_flight[head] = 0;
}

/* The chain of `head`, which is taken. BH_OK, or as the walks return, and it is not. */
static BH_FAST_INLINE int find_chain(struct bh_virtq *q, struct bh_chain *chain, uint16_t head, bool quick)
{
    int result = head_taken(q, head);

    chain->id = head;
    if (BH_UNLIKELY(result != BH_OK))
        return result;
    result = quick ? quick_chain(q, chain, head, 0, true) : bh_chain_walk(q, CHAIN_SPLIT, head, 0, chain);
    if (BH_UNLIKELY(result != BH_OK))
        head_done(q, head);
    return result;
}

static int split_pop(struct bh_virtq *q, struct bh_chain **chains, unsigned max)
{
    const struct virtq_avail *avail = avail_ring(q);
    unsigned at = q->state.avail, mask = q->size - 1u;
    struct bh_chain **next = chains, **end;
    const uint16_t *slot = q->memory.free_slots + q->free_count;
    struct taking taking = taking_begin(q);
    /* Acquire: pairs with the driver's barrier before it moved the index [virtio-1.4 2.7.13.3]. */
    uint16_t available = (uint16_t)(ring_load16_acquire(&avail->idx) - at);
    int result = BH_OK;

    if (available == 0)
        return 0;
    if (BH_UNLIKELY(available > q->size))
        return bh_virtq_found_none(q, BH_BROKEN_AVAIL_INDEX);
    for (end = chains + (max < available ? max : available); next != end; at++) {
        struct bh_chain *chain = &q->memory.chains[*--slot];

        result = find_chain(q, chain, ring_load16(&avail->ring[at & mask]), BH_SPEED);
        if (BH_UNLIKELY(result != BH_OK))
            break;
        if (BH_SPEED)
            taking_add(q, &taking, chain);
        *next++ = chain;
    }
    if (BH_UNLIKELY(q->inflight != NULL))
        bh_records_split_taken(q->inflight, chains, (unsigned)(next - chains));
    q->state.avail = (uint16_t)at;
    return virtq_popped(q, chains, (unsigned)(next - chains), result, &taking);
}

static void split_unpop(struct bh_virtq *q, struct bh_chain *chain)
{
    head_done(q, chain->id);
    if (chain->resubmitted)
        return;
    q->state.avail--;
    if (q->inflight)
        bh_records_split_untaken(q->inflight, chain->id);
}

static int split_resubmit(struct bh_virtq *q, uint16_t record, struct bh_chain *chain)
{
    return find_chain(q, chain, record, false);
}

/* After a full barrier: does the driver want to hear of the entries published last? */
static inline bool wants_notification(const struct bh_virtq *q, unsigned count)
{
    const struct virtq_avail *avail = avail_ring(q);

    ring_full_barrier(); /* used index stored, before used_event or flags are loaded */
    if (q->event_idx) {
        uint16_t used_event = ring_load16(&avail->ring[q->size]);

        /* Was the entry with that index among the last `count`? [virtio-1.4 2.7.7.2] */
        return (uint16_t)(q->state.used - used_event - 1u) < count;
    }
    return !(ring_load16(&avail->flags) & VIRTQ_AVAIL_F_NO_INTERRUPT);
}

static bool split_publish(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count)
{
    struct virtq_used *used = used_ring(q);
    bool log = q->view.mem->log != NULL; /* looked at again for each mark, with its reason */
    unsigned mask = q->size - 1u, index = q->state.used;
    uint8_t *heads = q->memory.heads_in_flight;
    struct giving giving = giving_begin(q, chains[0]);

    for (unsigned i = 0; i < count; i++, index++) {
        struct virtq_used_elem *entry = &used->ring[index & mask];
        struct bh_chain *chain = chains[i];

        ring_store32(&entry->id, chain->id);
        ring_store32(&entry->len, chain->written);
        heads[chain->id] = 0;
        if (BH_SPEED)
            giving_add(q, &giving, chain);
    }
    for (unsigned i = q->state.used; BH_UNLIKELY(log) && i != index; i++)
        virtq_dirty(q, &used->ring[i & mask], sizeof(used->ring[0]));
    if (BH_UNLIKELY(q->inflight != NULL))
        bh_records_split_link(q->inflight, chains, count);
    /* Release: buffers and entries are there before the index says so [virtio-1.4 2.7.8.2]. */
    ring_store16_release(&used->idx, (uint16_t)index);
    virtq_dirty(q, &used->idx, sizeof(used->idx));
    q->state.used = (uint16_t)index;
    if (BH_UNLIKELY(q->inflight != NULL))
        bh_records_split_done(q->inflight, chains, count, (uint16_t)index);
    if (BH_SPEED) {
        giving_end(q, &giving);
        q->counters.bytes_in += giving.bytes;
    }
    return wants_notification(q, count);
}

static bool split_has_work(struct bh_virtq *q)
{
    return ring_load16_acquire(&avail_ring(q)->idx) != q->state.avail;
}

/* Flags of the used ring; 0 always where EVENT_IDX was negotiated [virtio-1.4 2.7.10.2]. */
static void set_flags(struct bh_virtq *q, uint16_t flags)
{
    struct virtq_used *used = used_ring(q);

    ring_store16(&used->flags, flags);
    virtq_dirty(q, &used->flags, sizeof(used->flags));
}

static bool split_arm(struct bh_virtq *q)
{
    if (q->event_idx) {
        bh_le16 *avail_event = (bh_le16 *)&used_ring(q)->ring[q->size];

        ring_store16(avail_event, q->state.avail);
        virtq_dirty(q, avail_event, sizeof(*avail_event));
    } else {
        set_flags(q, 0);
    }
    ring_full_barrier(); /* asked for, before the available index is loaded again */
    return split_has_work(q);
}

static void split_disarm(struct bh_virtq *q)
{
    if (!q->event_idx)
        set_flags(q, VIRTQ_USED_F_NO_NOTIFY);
}

const struct bh_virtq_ops bh_virtq_split = {
    .part =
        {
            [RING_DESC] = {VIRTQ_DESC_ALIGN, BH_MEM_READ, 16, 0},
            [RING_DRIVER] = {VIRTQ_AVAIL_ALIGN, BH_MEM_READ, 2, 6},
            [RING_DEVICE] = {VIRTQ_USED_ALIGN, BH_MEM_WRITE, 8, 6},
        },
    .pop = split_pop,
    .unpop = split_unpop,
    .publish = split_publish,
    .arm = split_arm,
    .disarm = split_disarm,
    .has_work = split_has_work,
    .resubmit = split_resubmit,
};
