/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From descriptors to a bh_chain: the check of a descriptor chain (chain_walk.c), as the ring layouts call
 * it.
 *
 * Each returns BH_OK and fills segs, counts, lengths, id, mem_slots and desc_count of the chain, which the
 * caller then holds; or BH_ERR_PENDING, or a positive enum bh_broken, and then nothing is left to release.
 *
 * Threading: with the queue.   Ownership: none.   May block: no.
 */
#ifndef CORE_CHAIN_WALK_H
#define CORE_CHAIN_WALK_H

#include <bulkhead/virtq.h>

/* `head` is below the queue's size, and the chain's id. */
int bh_chain_walk_split(struct bh_virtq *q, uint16_t head, struct bh_chain *chain);
/*
 * `slot` is the head's; its flags were read already, with acquire. Sets chain->id and, where there are
 * in-flight records, chain->record.
 */
int bh_chain_walk_packed(struct bh_virtq *q, uint16_t slot, uint16_t flags, struct bh_chain *chain);
/* The same from the in-flight records of a former process. */
int bh_chain_walk_record(struct bh_virtq *q, uint16_t record, struct bh_chain *chain);

#endif
