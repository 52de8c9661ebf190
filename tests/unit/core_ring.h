/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue under test and, beside it, the driver's side of its rings, written by hand straight from the spec so
 * that tests judge the device side by nothing of ours. Split and packed answer to the same verbs.
 *
 * Guest memory: two regions, next to each other for the guest and apart for us, so that a buffer can straddle.
 *
 * Threading: one.   Ownership: ring_open allocates, ring_close frees.   May block: no.
 */
#ifndef TESTS_UNIT_CORE_RING_H
#define TESTS_UNIT_CORE_RING_H

#include <bulkhead/virtq.h>

#include "abi/virtio_ring.h"

#define GUEST_BASE   0x40000000ull
#define GUEST_SIZE   0x200000u                 /* first region */
#define GUEST_BORDER (GUEST_BASE + GUEST_SIZE) /* second region starts */
#define GUEST_MORE   0x10000u                  /* its size */
#define GUEST_DESC   GUEST_BASE
#define GUEST_DRIVER (GUEST_BASE + 0x80000u)
#define GUEST_DEVICE (GUEST_BASE + 0xa0000u)
#define GUEST_DATA   (GUEST_BASE + 0x100000u)

struct buf {
    uint64_t addr;
    uint32_t len;
    uint16_t flags; /* VIRTQ_DESC_F_WRITE, and what a wicked driver adds */
};

struct ring {
    bool packed;
    uint16_t size;
    uint8_t *low, *high; /* the two regions */
    struct bh_mem_region regions[2];
    struct bh_mem_table table;
    struct bh_mem mem;
    struct bh_virtq_memory memory;
    void *block;
    struct bh_virtq q;
    struct bh_features features;
    struct bh_virtq_setup setup;
    /* What the queue told its owner. */
    unsigned notified, broke, quiets, pushes;
    enum bh_broken reason;
    void (*on_notify)(struct ring *r);
    void (*on_quiet)(struct ring *r);
    /* The driver's side. */
    uint16_t avail_at, used_at; /* split: indices; packed: slots */
    bool avail_wrap, used_wrap;
    uint16_t *free_ids; /* split: descriptors; packed: buffer ids */
    uint16_t free_count;
    uint16_t *taken; /* by id: descriptors of the chain */
    uint16_t *links; /* split: next descriptor, as the driver remembers it */
};

/* `features`: bits of 64, RING_PACKED chooses the layout. Everything is set up; ring_start runs it. */
void ring_open(struct ring *r, uint64_t features, uint16_t size, uint16_t chains, uint16_t segs);
void ring_start(struct ring *r);
void ring_close(struct ring *r);
void *guest(struct ring *r, uint64_t addr);

/* Make a chain available; returns its id. */
uint16_t ring_add(struct ring *r, const struct buf *bufs, unsigned count);
/* The same by an indirect table at guest address `table`. */
uint16_t ring_add_indirect(struct ring *r, const struct buf *bufs, unsigned count, uint64_t table);
void ring_write_table(struct ring *r, const struct buf *bufs, unsigned count, uint64_t table);
/* One writable buffer of `len` bytes at GUEST_DATA. */
uint16_t ring_add_in(struct ring *r, uint32_t len);
/* The next used entry. False: there is none. */
bool ring_used(struct ring *r, uint16_t *id, uint32_t *len);

/* The driver asks for notifications: always, never, or when the used position passes `at`. */
void ring_want(struct ring *r, bool on);
void ring_want_at(struct ring *r, uint16_t at, bool wrap);
/* Does the device ask for a notification of the chains added since position `from`? As a driver decides. */
bool ring_device_wants(struct ring *r, uint16_t from, bool from_wrap);

#endif
