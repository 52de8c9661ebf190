/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded queue of frames.
 */
#include "devices/net/frame_fifo.h"

#include <stdlib.h>
#include <string.h>

int bh_frame_fifo_init(struct bh_frame_fifo *fifo, unsigned slot_count, uint32_t slot_bytes)
{
    *fifo = (struct bh_frame_fifo){.slot_bytes = slot_bytes, .slot_count = slot_count};
    fifo->bytes = calloc(slot_count, slot_bytes);
    fifo->lens = calloc(slot_count, sizeof(*fifo->lens));
    if (fifo->bytes && fifo->lens)
        return BH_OK;
    bh_frame_fifo_fini(fifo);
    return BH_ERR_NOMEM;
}

void bh_frame_fifo_fini(struct bh_frame_fifo *fifo)
{
    free(fifo->bytes);
    free(fifo->lens);
}

static unsigned tail(const struct bh_frame_fifo *fifo)
{
    return (fifo->head + fifo->count) % fifo->slot_count;
}

uint8_t *bh_frame_fifo_slot(const struct bh_frame_fifo *fifo)
{
    BH_ASSERT(!bh_frame_fifo_full(fifo));
    return fifo->bytes + (size_t)tail(fifo) * fifo->slot_bytes;
}

void bh_frame_fifo_add(struct bh_frame_fifo *fifo, uint32_t len)
{
    BH_ASSERT(!bh_frame_fifo_full(fifo) && len > 0 && len <= fifo->slot_bytes);
    fifo->lens[tail(fifo)] = len;
    fifo->count++;
}

uint32_t bh_frame_fifo_peek(const struct bh_frame_fifo *fifo)
{
    return fifo->count ? fifo->lens[fifo->head] : 0;
}

const uint8_t *bh_frame_fifo_bytes(const struct bh_frame_fifo *fifo)
{
    BH_ASSERT(fifo->count > 0);
    return fifo->bytes + (size_t)fifo->head * fifo->slot_bytes;
}

void bh_frame_fifo_drop(struct bh_frame_fifo *fifo)
{
    BH_ASSERT(fifo->count > 0);
    fifo->head = (fifo->head + 1) % fifo->slot_count;
    fifo->count--;
}

void bh_frame_fifo_clear(struct bh_frame_fifo *fifo)
{
    fifo->head = fifo->count = 0;
}
