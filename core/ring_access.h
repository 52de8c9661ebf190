/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each touch of memory that the driver shares: exactly one load or store, of the width of the field, in the
 * order that the name says. Plain C accesses could be repeated or torn by the compiler, and what was checked
 * would not be what is used.
 *
 * No access is wider than it is aligned, and nothing wider than 32 bits is atomic: a Cortex-R5 can do
 * neither.
 *
 * Threading: none.   Ownership: none.   May block: no.
 */
#ifndef CORE_RING_ACCESS_H
#define CORE_RING_ACCESS_H

#include "abi/virtio_ring.h"

static inline uint16_t ring_load16(const bh_le16 *p)
{
    return bh_le16_get((bh_le16){__atomic_load_n(&p->raw, __ATOMIC_RELAXED)});
}

/* Acquire: what the other side wrote before it published this field is seen by the loads that follow. */
static inline uint16_t ring_load16_acquire(const bh_le16 *p)
{
    return bh_le16_get((bh_le16){__atomic_load_n(&p->raw, __ATOMIC_ACQUIRE)});
}

static inline uint32_t ring_load32(const bh_le32 *p)
{
    return bh_le32_get((bh_le32){__atomic_load_n(&p->raw, __ATOMIC_RELAXED)});
}

static inline void ring_store16(bh_le16 *p, uint16_t value)
{
    __atomic_store_n(&p->raw, bh_le16_of(value).raw, __ATOMIC_RELAXED);
}

/* Release: what we wrote before is seen by whoever sees this field. */
static inline void ring_store16_release(bh_le16 *p, uint16_t value)
{
    __atomic_store_n(&p->raw, bh_le16_of(value).raw, __ATOMIC_RELEASE);
}

static inline void ring_store32(bh_le32 *p, uint32_t value)
{
    __atomic_store_n(&p->raw, bh_le32_of(value).raw, __ATOMIC_RELAXED);
}

/*
 * Between our store and our load of the other side's answer, which no acquire or release orders: each side
 * writes its own field, then reads the other's (used index and used_event; avail_event and available index).
 * Without a full barrier on both sides each could read the old value and a notification would be lost.
 */
static inline void ring_full_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* A descriptor as it was read: its address, and the rest. */
struct ring_words {
    uint64_t addr;
    uint64_t rest; /* length, then the two 16-bit fields */
};

/* `p` is 8-aligned. Two loads: on 32-bit machines the compiler makes more of them, each byte still read once.
 */
static inline struct ring_words ring_load_words(const void *p)
{
    const volatile uint64_t *half = p;
    uint64_t first = bh_le64_get((bh_le64){half[0]});
    uint64_t second = bh_le64_get((bh_le64){half[1]});

    return (struct ring_words){first, second};
}

/* The same taken apart; a split one's third and fourth field are flags and next, a packed one's id and flags. */
struct ring_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t third;
    uint16_t fourth;
};

static inline struct ring_desc ring_desc_of(struct ring_words words)
{
    return (struct ring_desc){words.addr, (uint32_t)words.rest, (uint16_t)(words.rest >> 32),
                              (uint16_t)(words.rest >> 48)};
}

static inline struct ring_desc ring_load_desc(const void *p)
{
    return ring_desc_of(ring_load_words(p));
}

#endif
