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
    /*
     * Find up to `max` chains, for each of which a slot is free, and move the available side past them. They go to
     * the slots freed last (memory.free_slots, from its end), which the caller takes then.
     * Returns how many are good; *result says how the one behind them was met: BH_OK, or as the walks return.
     */
    unsigned (*pop)(struct bh_virtq *q, struct bh_chain **chains, unsigned max, int *result);
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

/* Bytes of a ring part that the device wrote. */
static inline void virtq_dirty(struct bh_virtq *q, const void *at, size_t len)
{
    if (!BH_SPEED || BH_UNLIKELY(q->view.mem->log != NULL)) /* looked at again there, with its reason */
        bh_mem_dirty_seg(&q->view, at, len);
}

#endif
