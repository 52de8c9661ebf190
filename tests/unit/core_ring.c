/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of both ring layouts, for tests.
 */
#include "tests/unit/core_ring.h"

#include <stdlib.h>
#include <string.h>

static void on_notify(struct bh_virtq *q)
{
    struct ring *r = q->owner;

    r->notified++;
    if (r->on_notify)
        r->on_notify(r);
}

static void on_broken(struct bh_virtq *q, enum bh_broken reason)
{
    struct ring *r = q->owner;

    r->broke++;
    r->reason = reason;
}

static void on_quiet(struct bh_virtq *q)
{
    struct ring *r = q->owner;

    r->quiets++;
    if (r->on_quiet)
        r->on_quiet(r);
}

static void on_pushed(struct bh_virtq *q)
{
    ((struct ring *)q->owner)->pushes++;
}

static const struct bh_virtq_env env = {on_notify, on_broken, on_quiet, on_pushed};

void ring_open(struct ring *r, uint64_t features, uint16_t size, uint16_t chains, uint16_t segs)
{
    memset(r, 0, sizeof(*r));
    r->features = bh_features_of64(features);
    r->packed = bh_features_has(&r->features, BH_F_RING_PACKED);
    r->size = size;
    r->low = calloc(1, GUEST_SIZE); /* lazily zeroed; aligned to 16 */
    r->high = calloc(1, GUEST_MORE);
    r->regions[0] = (struct bh_mem_region){bh_daddr(GUEST_BASE), GUEST_SIZE, r->low, bh_uaddr(0x7000), 0, 3};
    r->regions[1] = (struct bh_mem_region){bh_daddr(GUEST_BORDER), GUEST_MORE, r->high, bh_uaddr(0), 1, 3};
    r->table = (struct bh_mem_table){r->regions, 2};
    bh_mem_init(&r->mem, NULL);
    bh_mem_publish(&r->mem, &r->table);
    r->block = aligned_alloc(8, bh_virtq_memory_bytes(size, chains, segs));
    bh_virtq_memory_place(&r->memory, r->block, size, chains, segs);
    bh_virtq_init(&r->q, &r->memory, &r->mem, &env, r);
    r->setup = (struct bh_virtq_setup){.size = size,
                                       .desc = bh_daddr(GUEST_DESC),
                                       .driver = bh_daddr(GUEST_DRIVER),
                                       .device = bh_daddr(GUEST_DEVICE),
                                       .state = BH_VIRTQ_STATE_INITIAL};
    r->avail_wrap = r->used_wrap = true;
    r->free_ids = calloc(size, sizeof(uint16_t));
    r->taken = calloc(size, sizeof(uint16_t));
    r->links = calloc(size, sizeof(uint16_t));
    for (unsigned i = 0; i < size; i++)
        r->free_ids[i] = (uint16_t)(size - 1 - i);
    r->free_count = size;
}

void ring_start(struct ring *r)
{
    if (bh_virtq_start(&r->q, &r->setup, &r->features) != BH_OK)
        abort();
}

void ring_close(struct ring *r)
{
    free(r->low);
    free(r->high);
    free(r->block);
    free(r->free_ids);
    free(r->taken);
    free(r->links);
}

void *guest(struct ring *r, uint64_t addr)
{
    return addr >= GUEST_BORDER ? r->high + (addr - GUEST_BORDER) : r->low + (addr - GUEST_BASE);
}

static uint16_t *avail_ring(struct ring *r)
{
    return guest(r, GUEST_DRIVER);
}

static uint16_t add_split(struct ring *r, const struct buf *bufs, unsigned count)
{
    struct virtq_desc *descs = guest(r, GUEST_DESC);
    uint16_t head = 0, former = 0;

    for (unsigned i = 0; i < count; i++) {
        uint16_t d;

        if (r->free_count == 0)
            abort();
        d = r->free_ids[--r->free_count];
        descs[d].addr.raw = bufs[i].addr;
        descs[d].len.raw = bufs[i].len;
        descs[d].flags.raw = bufs[i].flags;
        if (i == 0) {
            head = d;
        } else {
            descs[former].flags.raw |= VIRTQ_DESC_F_NEXT;
            descs[former].next.raw = r->links[former] = d;
        }
        former = d;
    }
    r->taken[head] = (uint16_t)count;
    avail_ring(r)[2 + r->avail_at % r->size] = head;
    avail_ring(r)[1] = ++r->avail_at;
    return head;
}

static uint16_t add_packed(struct ring *r, const struct buf *bufs, unsigned count)
{
    struct pvirtq_desc *descs = guest(r, GUEST_DESC);
    uint16_t id = r->free_ids[--r->free_count], first = r->avail_at, first_flags = 0;

    for (unsigned i = 0; i < count; i++) {
        uint16_t flags = (uint16_t)(bufs[i].flags | (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0) |
                                    (r->avail_wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED));
        struct pvirtq_desc *d = &descs[r->avail_at];

        d->addr.raw = bufs[i].addr;
        d->len.raw = bufs[i].len;
        d->id.raw = i + 1 == count ? id : 0xeeee;
        if (i == 0)
            first_flags = flags;
        else
            d->flags.raw = flags;
        if (++r->avail_at == r->size) {
            r->avail_at = 0;
            r->avail_wrap = !r->avail_wrap;
        }
    }
    descs[first].flags.raw = first_flags;
    r->taken[id] = (uint16_t)count;
    return id;
}

uint16_t ring_add(struct ring *r, const struct buf *bufs, unsigned count)
{
    return r->packed ? add_packed(r, bufs, count) : add_split(r, bufs, count);
}

static void poke(struct ring *r, uint64_t addr, const void *from, size_t len)
{
    for (size_t i = 0; i < len; i++)
        *(uint8_t *)guest(r, addr + i) = ((const uint8_t *)from)[i];
}

void ring_write_table(struct ring *r, const struct buf *bufs, unsigned count, uint64_t table)
{
    for (unsigned i = 0; i < count; i++) {
        struct virtq_desc d = {{bufs[i].addr}, {bufs[i].len}, {bufs[i].flags}, {(uint16_t)(i + 1)}};
        struct pvirtq_desc p = {{bufs[i].addr}, {bufs[i].len}, {0x5555}, {bufs[i].flags}};

        if (i + 1 < count)
            d.flags.raw |= VIRTQ_DESC_F_NEXT;
        poke(r, table + 16ull * i, r->packed ? (void *)&p : (void *)&d, 16);
    }
}

uint16_t ring_add_indirect(struct ring *r, const struct buf *bufs, unsigned count, uint64_t table)
{
    struct buf one = {table, 16 * count, VIRTQ_DESC_F_INDIRECT | VIRTQ_DESC_F_WRITE};

    ring_write_table(r, bufs, count, table);
    return ring_add(r, &one, 1);
}

uint16_t ring_add_in(struct ring *r, uint32_t len)
{
    struct buf one = {GUEST_DATA, len, VIRTQ_DESC_F_WRITE};

    return ring_add(r, &one, 1);
}

bool ring_used(struct ring *r, uint16_t *id, uint32_t *len)
{
    if (r->packed) {
        struct pvirtq_desc *d = (struct pvirtq_desc *)guest(r, GUEST_DESC) + r->used_at;
        bool avail = d->flags.raw & VIRTQ_DESC_F_AVAIL, used = d->flags.raw & VIRTQ_DESC_F_USED;

        if (avail != r->used_wrap || used != r->used_wrap)
            return false;
        *id = d->id.raw;
        *len = d->flags.raw & VIRTQ_DESC_F_WRITE ? d->len.raw : 0;
        r->used_at = (uint16_t)(r->used_at + r->taken[*id]);
        if (r->used_at >= r->size) {
            r->used_at = (uint16_t)(r->used_at - r->size);
            r->used_wrap = !r->used_wrap;
        }
        r->free_ids[r->free_count++] = *id;
    } else {
        struct virtq_used *used = guest(r, GUEST_DEVICE);
        uint16_t d;

        if (used->idx.raw == r->used_at)
            return false;
        *id = (uint16_t)used->ring[r->used_at % r->size].id.raw;
        *len = used->ring[r->used_at % r->size].len.raw;
        r->used_at++;
        d = *id;
        for (unsigned i = 0; i < r->taken[*id]; i++, d = r->links[d])
            r->free_ids[r->free_count++] = d;
    }
    return true;
}

void ring_want(struct ring *r, bool on)
{
    uint16_t *driver = guest(r, GUEST_DRIVER);

    if (r->packed)
        driver[1] = on ? RING_EVENT_FLAGS_ENABLE : RING_EVENT_FLAGS_DISABLE;
    else
        driver[0] = on ? 0 : VIRTQ_AVAIL_F_NO_INTERRUPT;
}

void ring_want_at(struct ring *r, uint16_t at, bool wrap)
{
    uint16_t *driver = guest(r, GUEST_DRIVER);

    if (r->packed) {
        driver[0] = (uint16_t)(at | (wrap ? 0x8000 : 0));
        driver[1] = RING_EVENT_FLAGS_DESC;
    } else {
        driver[2 + r->size] = at;
    }
}

bool ring_device_wants(struct ring *r, uint16_t from, bool from_wrap)
{
    uint16_t *device = guest(r, GUEST_DEVICE);

    if (!r->packed) {
        if (!bh_features_has(&r->features, BH_F_EVENT_IDX))
            return !(device[0] & VIRTQ_USED_F_NO_NOTIFY);
        /* Slot by slot: was one of those written the one that avail_event names? */
        for (uint16_t i = from; i != r->avail_at; i++)
            if (i == device[2 + 4 * r->size])
                return true;
        return false;
    }
    if (device[1] == RING_EVENT_FLAGS_ENABLE)
        return true;
    if (device[1] != RING_EVENT_FLAGS_DESC)
        return false;
    while (from != r->avail_at || from_wrap != r->avail_wrap) {
        if (device[0] == (from | (from_wrap ? 0x8000 : 0)))
            return true;
        if (++from == r->size) {
            from = 0;
            from_wrap = !from_wrap;
        }
    }
    return false;
}
