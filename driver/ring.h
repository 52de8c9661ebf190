/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a virtqueue, split [virtio-1.4 2.7] and packed [virtio-1.4 2.8]: what a guest's driver
 * does, for tests, bench, conform and a VMM's own needs. Freestanding.
 *
 * Theory of operation
 *   add describes a buffer and makes it available at once; kick_needed decides, for everything added since it
 * was asked last, whether the device wants a notification. get returns used buffers one by one; with IN_ORDER
 * one used entry may stand for several buffers, and get unfolds it. What the device writes is as little
 * trusted as what a driver writes: a used id that is not in flight makes the ring broken, never a wild
 * access.
 *
 * Threading: a ring belongs to one thread.   Ownership: all memory is the caller's.   May block: no.
 */
#ifndef DRIVER_RING_H
#define DRIVER_RING_H

#include <bulkhead/features.h>
#include <bulkhead/virtq.h>

/* One piece of a buffer, as the device will address it. */
struct bh_drv_buf {
    bh_daddr_t addr;
    uint32_t len;
};

/* One a descriptor; the ring's own, in memory that the device does not see. */
struct bh_drv_slot {
    void *token;
    uint32_t in_len;
    uint16_t desc_count; /* ring descriptors of the buffer whose id this is; 0: not in flight */
    uint16_t next;       /* split: next descriptor of the chain, or free one; packed: next free id */
    uint16_t order;      /* ring of ids in the order in which they were added */
};

struct bh_drv_ring_setup {
    uint16_t size;
    struct bh_features features;  /* negotiated: RING_PACKED, EVENT_IDX, INDIRECT_DESC, IN_ORDER count */
    void *desc, *driver, *device; /* the three areas, zeroed */
    struct bh_drv_slot *slots;    /* `size` of them */
    /* Indirect tables, one a slot, of table_entries descriptors each; 0: buffers are never made indirect. */
    void *tables;
    bh_daddr_t tables_addr;
    uint16_t table_entries;
};

struct bh_drv_ring {
    struct bh_drv_ring_setup setup;
    bool packed, event_idx, indirect, in_order;
    bool broken;                               /* the device wrote what makes no sense */
    uint16_t free_head, free_tail, free_count; /* descriptors (split), ids (packed) */
    uint16_t free_descs;                       /* packed: ring slots */
    uint16_t avail;                            /* split: available index; packed: next slot */
    uint16_t used;                             /* split: next used index; packed: next slot */
    bool avail_wrap, used_wrap;
    uint16_t kicked; /* avail at the last kick decision (split), descriptors added since (packed) */
    uint16_t order_head, order_count;
    uint16_t batch_left; /* IN_ORDER: buffers of the last used entry that get has not returned yet */
    uint32_t batch_len;  /* used length of the last of them */
};

/* Bytes of the three areas, laid one after the other and aligned; offsets of the second and third. */
size_t bh_drv_ring_bytes(uint16_t size, bool packed, size_t *driver_offset, size_t *device_offset);

void bh_drv_ring_init(struct bh_drv_ring *ring, const struct bh_drv_ring_setup *setup);

/*
 * Make a buffer available: `out_count` readable pieces, then `in_count` writable ones. It is described by an
 * indirect table when that was negotiated, the table is long enough and there is more than one piece.
 * BH_ERR_AGAIN: no descriptors free; BH_ERR_RANGE: more pieces than the ring can ever take, or none.
 */
int bh_drv_ring_add(struct bh_drv_ring *ring, const struct bh_drv_buf *bufs, unsigned out_count,
                    unsigned in_count, void *token) BH_MUST_USE;
/* Does the device want a notification for what was added since the last call? */
bool bh_drv_ring_kick_needed(struct bh_drv_ring *ring);

/* A used buffer: 1 and its token and used length; 0: none; BH_ERR_PROTO: the device broke the ring. */
int bh_drv_ring_get(struct bh_drv_ring *ring, void **token, uint32_t *len) BH_MUST_USE;

/* Ask for used buffer notifications. True: there are used buffers already. */
bool bh_drv_ring_arm(struct bh_drv_ring *ring);
void bh_drv_ring_disarm(struct bh_drv_ring *ring);

#endif
