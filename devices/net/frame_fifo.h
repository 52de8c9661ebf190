/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames that came in and wait for the guest: a bounded queue of slots of one size.
 *
 * Threading: one thread.   Ownership: the slots are the fifo's.   May block: no.
 */
#ifndef DEVICES_NET_FRAME_FIFO_H
#define DEVICES_NET_FRAME_FIFO_H

#include <bulkhead/mem.h>

struct bh_frame_fifo {
    uint8_t *bytes;
    uint32_t *lens;
    uint32_t slot_bytes;
    unsigned slot_count, head, count;
};

int bh_frame_fifo_init(struct bh_frame_fifo *fifo, unsigned slot_count, uint32_t slot_bytes) BH_MUST_USE;
void bh_frame_fifo_fini(struct bh_frame_fifo *fifo);
static inline bool bh_frame_fifo_full(const struct bh_frame_fifo *fifo)
{
    return fifo->count == fifo->slot_count;
}
/* The next slot to write, slot_bytes large; the fifo is not full. bh_frame_fifo_add makes it a frame. */
uint8_t *bh_frame_fifo_slot(const struct bh_frame_fifo *fifo);
void bh_frame_fifo_add(struct bh_frame_fifo *fifo, uint32_t len);
/* The oldest frame's length; 0: there is none. */
uint32_t bh_frame_fifo_peek(const struct bh_frame_fifo *fifo);
/* The oldest frame's bytes, there until it is dropped; the fifo is not empty. */
const uint8_t *bh_frame_fifo_bytes(const struct bh_frame_fifo *fifo);
void bh_frame_fifo_drop(struct bh_frame_fifo *fifo);
void bh_frame_fifo_clear(struct bh_frame_fifo *fifo);

#endif
