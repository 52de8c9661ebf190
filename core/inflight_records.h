/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In-flight records as the rings keep them, step by step in the order that vhost-user prescribes
 * [vhost-user, "Inflight I/O tracking"]; inflight.c tells why that order survives a crash anywhere.
 *
 * Threading: with the queue.   Ownership: none.   May block: no.
 */
#ifndef CORE_INFLIGHT_RECORDS_H
#define CORE_INFLIGHT_RECORDS_H

#include <bulkhead/impl/inflight.h>

#include "core/ring_access.h"

/* The queue starts at `state`; nothing is half published. */
void bh_records_start(struct bh_inflight *records, const struct bh_virtq_state *state);

/* Split: heads were popped; one was given back unused. */
void bh_records_split_taken(struct bh_inflight *records, struct bh_chain *const *chains, unsigned count);
void bh_records_split_untaken(struct bh_inflight *records, uint16_t head);
/* Split: before the used index is published, and after. */
void bh_records_split_link(struct bh_inflight *records, struct bh_chain *const *chains, unsigned count);
void bh_records_split_done(struct bh_inflight *records, struct bh_chain *const *chains, unsigned count,
                           uint16_t used);

/* Packed: note one descriptor of the chain being walked; then keep the chain (which is told its record) or forget it.
 */
void bh_records_packed_desc(struct bh_inflight *records, const struct ring_desc *desc, bool first);
void bh_records_packed_end(struct bh_inflight *records, struct bh_chain *chain, bool keep);
void bh_records_packed_untaken(struct bh_inflight *records, uint16_t record);
/* Packed: before the first used descriptor's flags are published, with the used position after it; and after.
 */
void bh_records_packed_link(struct bh_inflight *records, struct bh_chain *const *chains, unsigned count,
                            uint16_t used, bool wrap);
void bh_records_packed_done(struct bh_inflight *records, struct bh_chain *const *chains, unsigned count);
/* The id of a chain in flight: the head itself (split), or what its last descriptor holds (packed). */
uint16_t bh_records_id(const struct bh_inflight *records, uint16_t record);
/* Packed: the descriptor that an entry holds; returns the entry after it, always inside the area. */
uint16_t bh_records_packed_read(struct bh_inflight *records, uint16_t entry, struct ring_desc *desc);

#endif
