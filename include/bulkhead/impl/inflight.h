/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In-flight records: which chains were popped and not yet pushed, in memory that outlives this process (a
 * memfd that the front-end or the daemon keeps), laid out as vhost-user has it [vhost-user, "Inflight I/O
 * tracking"], split and packed. After a crash the next process finds there what it must do again, in the
 * order it was taken.
 *
 * The memory is shared with a peer, hence outside data: what is read back is checked (ranges, loops) at load
 * and copied; a wrong record is BH_ERR_PROTO, never a wild access.
 *
 * Threading: with its queue.   Ownership: the memory is the caller's.   May block: no.
 */
#ifndef BULKHEAD_IMPL_INFLIGHT_H
#define BULKHEAD_IMPL_INFLIGHT_H

#include <bulkhead/virtq.h>

struct bh_inflight {
    void *area;    /* one queue's part of the shared memory, 8-aligned */
    uint16_t size; /* descriptors, the queue's size */
    bool packed;
    uint64_t counter; /* order of the next chain taken */
    /* What a former process left, oldest first: heads (split) or entries (packed). */
    uint16_t *resubmit; /* the caller's, `size` of them; NULL after bh_inflight_init */
    uint16_t resubmit_count;
    uint16_t resubmit_next;
};

/* Bytes that one queue's records take. */
size_t bh_inflight_bytes(uint16_t size, bool packed);
/* Lay fresh records. BH_ERR_RANGE: the area is too small. */
int bh_inflight_init(struct bh_inflight *inflight, void *area, size_t area_size, uint16_t size,
                     bool packed) BH_MUST_USE;
/*
 * Take over what a former process left: finishes or rolls back a half-done publication, gives the ring state
 * to start from in *state, and arranges that the queue's first pops return the chains still in flight, oldest
 * first. `ring` is where the used ring (split) or the descriptor ring (packed) of `size` entries is, whole
 * and aligned. `resubmit` has room for `size` numbers and lives as long as `inflight`. BH_ERR_RANGE: the area
 * is too small; BH_ERR_NOENT: nobody has laid records there; BH_ERR_PROTO: the records make no sense.
 */
int bh_inflight_load(struct bh_inflight *inflight, void *area, size_t area_size, uint16_t size, bool packed,
                     const void *ring, uint16_t *resubmit, struct bh_virtq_state *state) BH_MUST_USE;

#endif
