/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that the other end of a connection did not take yet: a queue that grows as needed and gives its memory back
 * when it is empty.
 *
 * Threading: one thread.   Ownership: the memory is the queue's.   May block: no.
 */
#ifndef DEVICES_VSOCK_KEPT_H
#define DEVICES_VSOCK_KEPT_H

#include <bulkhead/err.h>
#include <stddef.h>
#include <stdint.h>

struct bh_vsock_kept {
    uint8_t *bytes;
    size_t head, tail, room; /* bytes[head..tail) are kept */
};

static inline size_t bh_vsock_kept_len(const struct bh_vsock_kept *kept)
{
    return kept->tail - kept->head;
}
/* The oldest byte. */
static inline uint8_t *bh_vsock_kept_first(const struct bh_vsock_kept *kept)
{
    return kept->bytes + kept->head;
}
/* Room for `len` bytes more at the end, which count as kept; NULL: no memory. Valid until the next call. */
uint8_t *bh_vsock_kept_add(struct bh_vsock_kept *kept, size_t len);
/* The oldest `len` bytes are gone. */
void bh_vsock_kept_drop(struct bh_vsock_kept *kept, size_t len);
void bh_vsock_kept_clear(struct bh_vsock_kept *kept);

#endif
