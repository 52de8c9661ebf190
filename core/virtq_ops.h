/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a ring layout (virtq_split.c, virtq_packed.c) does for virtq.c, and what virtq.c does for it. The unit
 * is the batch, so that the indirect call is paid once for many chains.
 *
 * Threading: with the queue.   Ownership: none.   May block: no.
 */
#ifndef CORE_VIRTQ_OPS_H
#define CORE_VIRTQ_OPS_H

#include <bulkhead/virtq.h>

enum { RING_DESC, RING_DRIVER, RING_DEVICE, RING_PARTS };

struct bh_virtq_ring_part {
    uint8_t align;      /* a power of 2 */
    uint8_t access;     /* of enum bh_mem_access */
    uint8_t entry_size; /* bytes an entry, and once */
    uint8_t fixed_size;
};

struct bh_virtq_ops {
    struct bh_virtq_ring_part part[RING_PARTS];
    bool (*state_ok)(const struct bh_virtq_setup *setup); /* size and state legal in this layout? */
    /* As bh_virtq_pop; a slot is free for each of `max`. */
    int (*pop)(struct bh_virtq *q, struct bh_chain **chains, unsigned max);
    /* Take back what pop did to the ring's state for this chain. */
    void (*unpop)(struct bh_virtq *q, struct bh_chain *chain);
    /* Write and publish used entries, at least one, in this order. Returns the ring slots that they took. */
    unsigned (*publish)(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count);
    /* After a full barrier: does the driver want to hear of the entries published last, `count` ring slots?
     */
    bool (*wants_notification)(struct bh_virtq *q, unsigned count);
    bool (*arm)(struct bh_virtq *q);
    void (*disarm)(struct bh_virtq *q);
    bool (*has_work)(struct bh_virtq *q);
    /* Take chain `record` (a head or an entry) of the in-flight records. BH_OK, or as the walks return. */
    int (*resubmit)(struct bh_virtq *q, uint16_t record, struct bh_chain *chain);
};

extern const struct bh_virtq_ops bh_virtq_split;
extern const struct bh_virtq_ops bh_virtq_packed;

/* The chain that the next pop fills; its slot is not taken yet. */
static inline struct bh_chain *virtq_next_chain(const struct bh_virtq *q)
{
    return &q->memory.chains[q->memory.free_slots[q->free_count - 1]];
}

/* The chain is good: take its slot. */
static inline void virtq_take(struct bh_virtq *q, struct bh_chain *chain)
{
    chain->written = 0;
    chain->stage = BH_CHAIN_POPPED;
    chain->resubmitted = false;
    q->memory.order[q->pop_order] = chain->slot;
    q->pop_order = q->pop_order + 1u == q->memory.size_max ? 0 : (uint16_t)(q->pop_order + 1u);
    q->free_count--;
    q->in_flight++;
    q->counters.bytes_out += chain->out_len;
}

/*
 * How a batch of `count` good chains ends that met `result` (as the walks return it): the number of chains,
 * or the error when there is none. Breaks the queue when it must.
 */
int bh_virtq_end_batch(struct bh_virtq *q, unsigned count, int result);

/* Bytes of a ring part that the device wrote. */
static inline void virtq_dirty(struct bh_virtq *q, const void *at, size_t len)
{
    bh_mem_dirty_seg(&q->view, at, len);
}

#endif
