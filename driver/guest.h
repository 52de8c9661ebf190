/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory and rings for a driver that is a host's process: a memfd that can be handed to a device process,
 * an allocator over it, and queues made in it. For tests, bench and conform. Hosted.
 *
 * Threading: one thread.   Ownership: create and destroy own; what is allocated lives as long as the guest.
 * May block: no.
 */
#ifndef DRIVER_GUEST_H
#define DRIVER_GUEST_H

#include "driver/ring.h"

struct bh_drv_guest {
    int fd; /* memfd, sealed against shrinking */
    uint8_t *host;
    bh_daddr_t base;
    uint64_t size;
    uint64_t used; /* bytes handed out so far */
};

/* `size` is rounded up to a page. BH_ERR_NOMEM, BH_ERR_IO. */
int bh_drv_guest_create(struct bh_drv_guest *guest, bh_daddr_t base, uint64_t size) BH_MUST_USE;
void bh_drv_guest_destroy(struct bh_drv_guest *guest);
/* Zeroed bytes, aligned to `align`, a power of 2. NULL when the memory is used up. */
void *bh_drv_guest_alloc(struct bh_drv_guest *guest, uint64_t size, uint64_t align, bh_daddr_t *addr);
/* Give everything allocated after `used` was read back. */
void bh_drv_guest_rewind(struct bh_drv_guest *guest, uint64_t used);
/* The device's address of a byte of guest memory. */
bh_daddr_t bh_drv_guest_addr(const struct bh_drv_guest *guest, const void *host);

struct bh_drv_queue {
    struct bh_drv_ring ring;
    struct bh_virtq_setup setup; /* what the device is told */
    void *slots;
};

/*
 * Lay a queue of `size` descriptors; `table_entries` per indirect table, 0 for none. BH_ERR_NOMEM. It may be made
 * again in the same place after a reset: destroy it, rewind the guest, create it.
 */
int bh_drv_queue_create(struct bh_drv_queue *queue, struct bh_drv_guest *guest, uint16_t size,
                        const struct bh_features *features, uint16_t table_entries) BH_MUST_USE;
void bh_drv_queue_destroy(struct bh_drv_queue *queue);

#endif
