/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory, and one that keeps nothing. Both run anywhere: in a partition, on a safety island, in a
 * test.
 *
 * Threading: as store.h.   Ownership: the memory of a RAM disk is the caller's.   May block: no.
 */
#ifndef DEVICES_BLK_STORE_RAM_H
#define DEVICES_BLK_STORE_RAM_H

#include "devices/blk/store.h"

struct bh_store_ram {
    struct bh_store store;
    uint8_t *bytes;
    struct bh_store_list queued;
    bool cancelled; /* what is queued comes back as cancelled */
};

/* `bytes`: `capacity` of them, a multiple of 512. The contents are taken as they are. */
void bh_store_ram_init(struct bh_store_ram *ram, void *bytes, uint64_t capacity, bool read_only);

struct bh_store_null {
    struct bh_store store;
    struct bh_store_list queued;
};

/* Reads leave the driver's buffer as it is, writes are dropped: for measuring what is not the store. */
void bh_store_null_init(struct bh_store_null *null, uint64_t capacity, bool read_only);

#endif
