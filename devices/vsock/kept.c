/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growing queue of bytes.
 */
#include "devices/vsock/kept.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_ROOM 4096u

uint8_t *bh_vsock_kept_add(struct bh_vsock_kept *kept, size_t len)
{
    size_t used = bh_vsock_kept_len(kept), room = kept->room ? kept->room : FIRST_ROOM;

    if (kept->room - kept->tail < len && kept->head > 0) {
        memmove(kept->bytes, kept->bytes + kept->head, used);
        kept->head = 0;
        kept->tail = used;
    }
    if (kept->room - kept->tail < len) {
        while (room - used < len)
            room *= 2;
        uint8_t *bytes = realloc(kept->bytes, room);
        if (!bytes)
            return NULL;
        kept->bytes = bytes;
        kept->room = room;
    }
    kept->tail += len;
    return kept->bytes + kept->tail - len;
}

void bh_vsock_kept_drop(struct bh_vsock_kept *kept, size_t len)
{
    kept->head += len;
    if (kept->head == kept->tail)
        bh_vsock_kept_clear(kept);
}

void bh_vsock_kept_clear(struct bh_vsock_kept *kept)
{
    free(kept->bytes);
    *kept = (struct bh_vsock_kept){0};
}
