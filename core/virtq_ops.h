/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a ring layout (virtq_split.c, virtq_packed.c) does for virtq.c, and what virtq.c does for it. The unit
 * is the batch, so that the indirect call is paid once for many chains.
 *
 * Threading: with the queue.   Ownership: none.   May block: no.
 */
#ifndef CORE_VIRTQ_OPS_H
#define CORE_VIRTQ_OPS_H

#include "core/probe.h"

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
    /*
     * As bh_virtq_pop, of a queue that runs, looked at the newest memory table and has `max` free slots. Chains go to the
     * slots freed last (memory.free_slots, from its end).
     */
    int (*pop)(struct bh_virtq *q, struct bh_chain **chains, unsigned max);
    /* Take back what pop did to the ring's state for this chain. */
    void (*unpop)(struct bh_virtq *q, struct bh_chain *chain);
    /*
     * Write and publish used entries, at least one, in this order. BH_SPEED: gives each slot back (struct giving).
     * After a full barrier: does the driver want to hear of them?
     */
    bool (*publish)(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count);
    bool (*arm)(struct bh_virtq *q);
    void (*disarm)(struct bh_virtq *q);
    bool (*has_work)(struct bh_virtq *q);
    /* Take chain `record` (a head or an entry) of the in-flight records. BH_OK, or as the walks return. */
    int (*resubmit)(struct bh_virtq *q, uint16_t record, struct bh_chain *chain);
};

extern const struct bh_virtq_ops bh_virtq_split;
extern const struct bh_virtq_ops bh_virtq_packed;

/*
 * Find the three parts of the rings. BH_OK; BH_ERR_PENDING, all that is missing having been asked for; or a positive
 * enum bh_broken. Nothing is held yet.
 */
int bh_virtq_find_rings(struct bh_virtq *q, const struct bh_virtq_ops *ops,
                        const struct bh_virtq_setup *setup, void *ring[RING_PARTS], uint32_t *slots);
/* Put the rings where they were found, and hold them; let go of the former ones. */
void bh_virtq_set_rings(struct bh_virtq *q, void *const ring[RING_PARTS], uint32_t slots);
void bh_virtq_drop_rings(struct bh_virtq *q);

/* [virtio-1.4 2.7, 2.8.1]: are size and state legal in this layout, and the size not over the queue's? */
bool bh_virtq_setup_ok(const struct bh_virtq *q, const struct bh_virtq_setup *setup, bool packed);

/* Users of regions, counted for a run of chains that lie in the same ones: mostly a whole batch. */
struct users {
    uint32_t mem_slots;
    unsigned count;
};

static inline void users_add(struct bh_virtq *q, struct users *users, const struct bh_chain *chain, int by)
{
    if (BH_UNLIKELY(chain->mem_slots != users->mem_slots)) {
        bh_mem_view_use(&q->view, users->mem_slots, by * (int)users->count);
        *users = (struct users){chain->mem_slots, 0};
    }
    users->count++;
}

/*
 * What a pop counts up while it finds good chains. Built for speed the layouts do it in the loop that finds
 * the chains; built for size it is one loop behind, for both.
 */
struct taking {
    uint16_t *order, *order_end;
    uint64_t bytes; /* for the device */
};

static inline struct taking taking_begin(const struct bh_virtq *q)
{
    return (struct taking){
        .order = q->memory.order + q->pop_order,
        .order_end = q->memory.order + q->memory.size_max,
    };
}

static inline void taking_add(const struct bh_virtq *q, struct taking *t, const struct bh_chain *chain)
{
    *t->order++ = chain->slot;
    if (BH_UNLIKELY(t->order == t->order_end))
        t->order = q->memory.order;
    t->bytes += chain->out_len;
}

static inline void taking_end(struct bh_virtq *q, const struct taking *t, unsigned count)
{
    q->pop_order = (uint16_t)(t->order - q->memory.order);
    q->free_count = (uint16_t)(q->free_count - count);
    q->in_flight = (uint16_t)(q->in_flight + count);
    q->counters.chains += count;
    q->counters.bytes_out += t->bytes;
    BH_PROBE_POP(q, count);
}

/* All at once. */
void bh_virtq_take(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count, bool resubmitted);
/* No chain was found, and the one met is as the walks returned, if any. Returns what pop does. */
int bh_virtq_found_none(struct bh_virtq *q, int result);

/* The end of a layout's pop. */
static inline int virtq_popped(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count, int result,
                               const struct taking *t)
{
    if (BH_UNLIKELY(count == 0))
        return result == BH_OK ? 0 : bh_virtq_found_none(q, result);
    if (BH_SPEED)
        taking_end(q, t, count);
    else
        bh_virtq_take(q, chains, count, false);
    return (int)count;
}

/* And back: their slots become free. */
struct giving {
    uint16_t *slots;
    uint64_t bytes; /* written */
    struct users users;
};

static inline struct giving giving_begin(const struct bh_virtq *q, const struct bh_chain *first)
{
    return (struct giving){q->memory.free_slots + q->free_count, 0, {first->mem_slots, 0}};
}

static inline void giving_add(struct bh_virtq *q, struct giving *g, struct bh_chain *chain)
{
    /* A chain that is not the class's, or twice in a push. */
    BH_ASSERT(chain->stage != BH_CHAIN_FREE && chain->written <= chain->in_len);
    users_add(q, &g->users, chain, -1);
    g->bytes += chain->written;
    chain->stage = BH_CHAIN_FREE;
    *g->slots++ = chain->slot;
}

static inline void giving_end(struct bh_virtq *q, const struct giving *g)
{
    unsigned count = (unsigned)(g->slots - q->memory.free_slots) - q->free_count;

    if (BH_SPEED && BH_LIKELY(g->users.mem_slots == q->view.near.bit))
        *q->view.near.uses -= g->users.count;
    else
        bh_mem_view_use(&q->view, g->users.mem_slots, -(int)g->users.count);
    q->free_count = (uint16_t)(q->free_count + count);
    q->in_flight = (uint16_t)(q->in_flight - count);
}

/* Bytes of a ring part that the device wrote. */
static inline void virtq_dirty(struct bh_virtq *q, const void *at, size_t len)
{
    if (!BH_SPEED || BH_UNLIKELY(q->view.mem->log != NULL)) /* looked at again there, with its reason */
        bh_mem_dirty_seg(&q->view, at, len);
}

#endif
