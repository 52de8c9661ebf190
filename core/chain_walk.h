/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From descriptors to bh_chains: the check of descriptor chains (chain_walk.c), as the ring layouts call it.
 *
 * Of a good chain each fills segs, counts, lengths, id, mem_slots and desc_count; the caller then holds it. A
 * chain that is not good leaves nothing to release, and *result says what it is: BH_ERR_PENDING or a positive
 * enum bh_broken.
 *
 * Threading: with the queue.   Ownership: none.   May block: no.
 */
#ifndef CORE_CHAIN_WALK_H
#define CORE_CHAIN_WALK_H

#include <bulkhead/virtq.h>

/* Chains whose ids are set: heads below the queue's size. Returns how many are good, up to the first bad one. */
unsigned bh_chain_walk_split(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count, int *result);
/*
 * Up to `max` chains that the driver made available at q->state.avail, which moves past the good ones; a slot is free
 * for each. Returns how many are good. Keeps q->desc_in_flight and, where there are any, the in-flight records.
 */
unsigned bh_chain_walk_packed(struct bh_virtq *q, struct bh_chain **chains, unsigned max, int *result);
/* A packed chain from the in-flight records of a former process. BH_OK, or as *result above. */
int bh_chain_walk_record(struct bh_virtq *q, uint16_t record, struct bh_chain *chain);

#endif
