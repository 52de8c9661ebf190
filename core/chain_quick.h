/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quick way through a descriptor chain, for both ring layouts: the same checks as chain_walk.c makes, for chains that
 * make them easy. What is not easy goes on there, with the descriptor that was read last: none is read twice.
 *
 * Theory of operation
 *   Mostly all of a chain lies in one region, the one hit last, and bh_mem_near is what is needed of it. A
 * descriptor is *plain* when it lies whole in there, has bytes, and is not an indirect one.
 *
 *   Mostly, too, a chain is an indirect table, written by a driver that fills it from its first descriptor to its last.
 * quick_table takes those: their length bounds the chain, so that each descriptor costs two loads, one look at where it
 * lies and one compare of all its flags with those expected. quick_ring takes the ring's own descriptors while they are
 * plain. Everything else, from the first descriptor that was not as expected, is the long way's.
 *
 *   A build for size has none of this (BH_SPEED).
 *
 * Threading: with the queue.   Ownership: none.   May block: no.
 */
#ifndef CORE_CHAIN_QUICK_H
#define CORE_CHAIN_QUICK_H

#include "core/chain_walk.h"
#include "core/virtq_ops.h"
#include "core/virtq_packed.h"

#define CHAIN_INLINE inline __attribute__((always_inline)) /* one copy for each caller's constants */

enum { TABLE_ALIGN = 16 };

/* Do `len` bytes from `addr` on lie in it, and are there any? Then where from its start on. */
static CHAIN_INLINE bool near_holds(const struct bh_mem_near *near, uint64_t addr, uint32_t len,
                                    uint64_t *offset)
{
    uint64_t end;

    *offset = addr - near->base;
    end = *offset + len; /* not behind offset: no bytes, or around the end */
    if (BH_UNLIKELY(end > near->size))
        return false;
    if (BH_UNLIKELY(end <= *offset))
        return false;
    return true;
}

/* A chain so far, and the descriptor that was read last. In registers, hence not the chain itself. */
struct quick {
    struct bh_seg *first, *seg; /* the first, and the next to fill */
    uint64_t len, out_len;      /* of all before `seg`; of the readable ones, once a writable one was seen */
    unsigned out_count;         /* likewise */
    unsigned writable;          /* VIRTQ_DESC_F_WRITE once a writable one was seen, else 0 */
    struct ring_words d;
};

static CHAIN_INLINE uint32_t quick_len(const struct quick *k)
{
    return (uint32_t)k->d.rest;
}

static CHAIN_INLINE void quick_writable_from_here(struct quick *k)
{
    k->writable = VIRTQ_DESC_F_WRITE;
    k->out_count = (unsigned)(k->seg - k->first);
    k->out_len = k->len;
}

static CHAIN_INLINE void quick_add(const struct bh_mem_near *near, struct quick *k, uint64_t offset)
{
    *k->seg++ = (struct bh_seg){near->host + (size_t)offset, quick_len(k)};
    k->len += quick_len(k);
}

/* The long way goes on at k->d, descriptor `at` of the ring, or of the table. */
static CHAIN_INLINE int quick_leave(struct bh_virtq *q, struct bh_chain *chain, const struct quick *k,
                                    unsigned at, struct chain_table table, bool split)
{
    const struct chain_part part = {
        .seg = k->seg,
        .len = k->len,
        .out_count = k->out_count,
        .out_len = k->out_len,
        .writable = k->writable,
        .d = k->d,
        .at = at,
        .table = table,
    };

    return bh_chain_walk_rest(q, split ? CHAIN_SPLIT : CHAIN_PACKED, chain, &part);
}

/* The end was reached, with `count` segments; the chain takes `slots` of the ring. */
static CHAIN_INLINE int quick_end(struct bh_virtq *q, struct bh_chain *chain, const struct quick *k,
                                  unsigned count, unsigned slots, bool split)
{
    if (BH_UNLIKELY(k->len > UINT32_MAX))
        return BH_BROKEN_CHAIN_BYTES;
    if (!split) {
        unsigned taken = q->desc_in_flight + slots;

        if (BH_UNLIKELY(taken > q->size))
            return chain_too_long(q);
        q->desc_in_flight = (uint16_t)taken;
    }
    chain->out_count = (uint16_t)(k->writable ? k->out_count : count);
    chain->in_count = (uint16_t)(k->writable ? count - k->out_count : 0);
    chain->out_len = (uint32_t)(k->writable ? k->out_len : k->len);
    chain->in_len = (uint32_t)(k->writable ? k->len - k->out_len : 0);
    chain->mem_slots = q->view.near.bit;
    ++*q->view.near.uses;
    chain_popped(chain, slots);
    return BH_OK;
}

/* --- Tables --- */

/* The table that `d`, with those flags, points to, if it stands alone, and lies whole and aligned in the region. */
static CHAIN_INLINE bool quick_find_table(const struct bh_virtq *q, const struct ring_words *d,
                                          unsigned flags, struct chain_table *table)
{
    const uint8_t *at;
    uint64_t offset;

    *table = (struct chain_table){0};
    if (BH_UNLIKELY(flags != VIRTQ_DESC_F_INDIRECT))
        return false;
    *table = (struct chain_table){.bytes = (uint32_t)d->rest, .id = (uint16_t)(d->rest >> 32)};
    if (!near_holds(&q->view.near, d->addr, table->bytes, &offset) ||
        BH_UNLIKELY(table->bytes > q->table_max))
        return false;
    at = q->view.near.host + (size_t)offset;
    if (BH_UNLIKELY((((uintptr_t)at | table->bytes) & (TABLE_ALIGN - 1)) != 0))
        return false;
    table->at = at;
    return true;
}

/*
 * Of a table's descriptor, split: its flags, and its `next` in the upper half; packed: WRITE, all else is ignored
 * [virtio-1.4 2.8.7].
 */
static CHAIN_INLINE unsigned quick_table_flags(const struct ring_words *d, bool split)
{
    return split ? (unsigned)(d->rest >> 32) : (unsigned)(d->rest >> 48) & VIRTQ_DESC_F_WRITE;
}

/* Take k->d, `found` of which is as expected, or the first writable one. */
static CHAIN_INLINE bool quick_take(const struct bh_mem_near *near, struct quick *k, unsigned found,
                                    unsigned expected)
{
    uint64_t offset;

    if (!near_holds(near, k->d.addr, quick_len(k), &offset))
        return false;
    if (found != expected) {
        if (BH_UNLIKELY(found != (expected | VIRTQ_DESC_F_WRITE))) /* a sum would carry into INDIRECT */
            return false;
        quick_writable_from_here(k);
    }
    quick_add(near, k, offset);
    return true;
}

/* Of any length. `table.bytes` is at most q->table_max. */
static __attribute__((noinline)) int quick_table(struct bh_virtq *q, struct bh_chain *chain,
                                                 struct chain_table table, bool split)
{
    const uint8_t *at = table.at, *last = at + table.bytes - 16;
    struct quick k = {.first = chain->segs, .seg = chain->segs};
    unsigned expected = split ? VIRTQ_DESC_F_NEXT | 1u << 16 : 0;

    for (; at != last; at += 16) {
        k.d = ring_load_words(at);
        if (!quick_take(&q->view.near, &k, quick_table_flags(&k.d, split), expected + k.writable))
            goto leave;
        if (split)
            expected += 1u << 16;
    }
    k.d = ring_load_words(at);
    if (BH_LIKELY(quick_take(&q->view.near, &k, (uint16_t)quick_table_flags(&k.d, split), k.writable)))
        return quick_end(q, chain, &k, table.bytes / 16, 1, split);
leave:
    return quick_leave(q, chain, &k, (unsigned)(at - table.at) / 16, table, split);
}

/*
 * The commonest: three descriptors, the first readable and the last writable. It is what a request looks like that has one
 * buffer, a header before and a status behind it.
 */
static CHAIN_INLINE int quick_table_of_3(struct bh_virtq *q, struct bh_chain *chain, struct chain_table table,
                                         bool split)
{
    const unsigned next = split ? VIRTQ_DESC_F_NEXT : 0, index = split ? 1u << 16 : 0;
    struct quick k = {.first = chain->segs, .seg = chain->segs};
    unsigned at = 0, found;

    k.d = ring_load_words(table.at);
    found = quick_table_flags(&k.d, split);
    if (BH_UNLIKELY(found != next + index) || !quick_take(&q->view.near, &k, found, next + index))
        goto leave;
    at = 1;
    k.d = ring_load_words(table.at + 16);
    if (!quick_take(&q->view.near, &k, quick_table_flags(&k.d, split), next + 2 * index))
        goto leave;
    at = 2;
    k.d = ring_load_words(table.at + 32);
    found = (uint16_t)quick_table_flags(&k.d, split);
    if (BH_UNLIKELY(found != VIRTQ_DESC_F_WRITE))
        goto leave;
    if (k.writable ? quick_take(&q->view.near, &k, found, VIRTQ_DESC_F_WRITE)
                   : quick_take(&q->view.near, &k, found, 0))
        return quick_end(q, chain, &k, 3, 1, split);
leave:
    return quick_leave(q, chain, &k, at, table, split);
}

/* --- The ring's own descriptors --- */

/* From d, descriptor `at`, on. */
static __attribute__((noinline)) int quick_ring(struct bh_virtq *q, struct bh_chain *chain, unsigned at,
                                                struct ring_words d, uint16_t head_flags, bool split)
{
    const struct bh_seg *seg_end = chain->segs + q->memory.segs_per_chain;
    const uint8_t *ring = q->ring[RING_DESC];
    struct quick k = {.first = chain->segs, .seg = chain->segs, .d = d};

    if (!split) /* as they were when they said that it is available */
        k.d.rest = (d.rest & UINT64_MAX >> 16) | (uint64_t)head_flags << 48;
    for (;;) {
        unsigned flags = (unsigned)(k.d.rest >> (split ? 32 : 48)), count;
        uint64_t offset;

        if (!near_holds(&q->view.near, k.d.addr, quick_len(&k), &offset) || BH_UNLIKELY(k.seg == seg_end) ||
            BH_UNLIKELY(flags & VIRTQ_DESC_F_INDIRECT))
            break;
        if ((flags & VIRTQ_DESC_F_WRITE) != k.writable) {
            if (BH_UNLIKELY(k.writable != 0))
                break;
            quick_writable_from_here(&k);
        }
        quick_add(&q->view.near, &k, offset);
        if (!(flags & VIRTQ_DESC_F_NEXT)) {
            if (!split)
                chain->id = (uint16_t)(k.d.rest >> 32); /* the last one's [virtio-1.4 2.8.6] */
            count = (unsigned)(k.seg - k.first);
            return quick_end(q, chain, &k, count, count, split);
        }
        at = split ? (unsigned)(k.d.rest >> 48) : at + 1;
        if (BH_UNLIKELY(at >= q->size)) {
            if (split)
                return BH_BROKEN_NEXT_RANGE;
            at = 0; /* around a packed ring's end */
        }
        k.d = ring_load_words(ring + 16ull * at);
    }
    return quick_leave(q, chain, &k, at, (struct chain_table){0}, split);
}

/*
 * The chain whose first descriptor is at `at` of the ring. Packed: with its flags as they were when they said that it is
 * available. Results as bh_chain_walk.
 */
static CHAIN_INLINE int quick_chain(struct bh_virtq *q, struct bh_chain *chain, unsigned at,
                                    uint16_t head_flags, bool split)
{
    struct ring_words d = ring_load_words((const uint8_t *)q->ring[RING_DESC] + 16ull * at);
    unsigned flags = split ? (uint16_t)(d.rest >> 32) : head_flags & ~LAP_FLAGS;
    struct chain_table table;

    if (!split)
        chain->id = (uint16_t)(d.rest >> 32);
    if (BH_UNLIKELY(!quick_find_table(q, &d, flags, &table)))
        return quick_ring(q, chain, at, d, head_flags, split);
    return BH_LIKELY(table.bytes == 3 * 16) ? quick_table_of_3(q, chain, table, split)
                                            : quick_table(q, chain, table, split);
}

#endif
