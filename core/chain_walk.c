/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a descriptor chain is valid is decided here, for both ring layouts, and nowhere else
 * [virtio-1.4 2.7.4, 2.7.5, 2.8.5 to 2.8.8].
 *
 * Theory of operation
 *   A walk reads each descriptor once into a local copy, checks the copy, and adds its buffer to the chain as
 * one segment, or several where it crosses from one memory region to the next. It ends, whatever the driver
 * wrote, when the chain's segments are full: each descriptor takes at least one. A descriptor of no bytes is
 * refused: a buffer element is a piece of memory, the spec gives an empty one no meaning, and it would let a
 * chain go on for free.
 *
 *   A piece whose translation is pending takes its place in that count too, but the walk goes on: so all that
 * is missing is asked for at once. A walk that met one returns BH_ERR_PENDING and leaves nothing behind.
 *
 *   Rules: device-readable buffers stand before device-writable ones; together they have less than 2^32
 * bytes; an indirect table is a multiple of 16 bytes, may lie across regions at any alignment, and holds no
 * further indirect descriptor. In a split ring it may end a chain of direct descriptors
 * [virtio-1.4 2.7.5.3.2]; in a packed ring it stands alone [virtio-1.4 2.8.5] and its descriptors follow one
 * another without NEXT.
 */
#include "core/chain_walk.h"
#include "core/inflight_records.h"
#include "core/ring_access.h"

struct walk {
    struct bh_virtq *q;
    struct bh_seg *seg;       /* the next to fill */
    struct bh_seg *out_end;   /* behind the readable ones, once a writable buffer was seen */
    uint64_t out_len, in_len; /* sums of at most 2^16 lengths of 32 bits */
    uint32_t room;            /* segments left */
    uint32_t mem_slots;
    enum bh_broken reason;
    bool writable; /* a device-writable buffer was seen */
    bool pending;
};

static bool refuse(struct walk *w, enum bh_broken reason)
{
    w->reason = reason;
    return false;
}

static inline void begin(struct walk *w, struct bh_virtq *q, struct bh_chain *chain)
{
    *w = (struct walk){.q = q, .seg = chain->segs, .room = q->memory.segs_per_chain};
}

static inline void account(struct walk *w, uint32_t len, bool writable)
{
    if (!writable) {
        w->out_len += len;
        return;
    }
    w->in_len += len;
    if (!w->writable) {
        w->writable = true;
        w->out_end = w->seg;
    }
}

/* Add [addr, addr + len) to the chain, whatever it is. False: refused. */
static __attribute__((noinline)) bool add_any_buffer(struct walk *w, uint64_t addr, uint32_t len,
                                                     bool writable)
{
    unsigned access = writable ? BH_MEM_WRITE : BH_MEM_READ;

    if (len == 0)
        return refuse(w, BH_BROKEN_CHAIN_EMPTY);
    if (!writable && w->writable)
        return refuse(w, BH_BROKEN_ORDER);
    if (addr + (len - 1) < addr)
        return refuse(w, BH_BROKEN_FAULT);
    account(w, len, writable);
    do {
        struct bh_mem_span span;
        enum bh_mem_result result;

        if (w->room == 0)
            return refuse(w, BH_BROKEN_CHAIN_LONG);
        w->room--;
        result = bh_mem_translate(&w->q->view, bh_daddr(addr), len, access, &span);
        if (result == BH_MEM_FAULT)
            return refuse(w, BH_BROKEN_FAULT);
        if (result == BH_MEM_PENDING) {
            w->pending = true;
            return true;
        }
        *w->seg++ = (struct bh_seg){span.host, (size_t)span.len};
        w->mem_slots |= bh_mem_slot_bit(span.slot);
        addr += span.len;
        len -= (uint32_t)span.len;
    } while (len != 0);
    return true;
}

/* The same, quick for a good buffer that lies whole in the region hit last. */
static inline __attribute__((always_inline)) bool add_buffer(struct walk *w, uint64_t addr, uint32_t len,
                                                             bool writable)
{
    const struct bh_mem_view *view = &w->q->view;
    const struct bh_mem_region *r = view->hit;
    uint64_t offset;

    if (BH_UNLIKELY(r == NULL || w->room == 0 || (!writable && w->writable)))
        return add_any_buffer(w, addr, len, writable);
    offset = addr - r->base.raw;
    /* A length of 0 is the largest one here, less 1. */
    if (BH_UNLIKELY(offset >= r->size || (uint64_t)len - 1 >= r->size - offset ||
                    !(r->access & (writable ? BH_MEM_WRITE : BH_MEM_READ))))
        return add_any_buffer(w, addr, len, writable);
    account(w, len, writable);
    w->room--;
    *w->seg++ = (struct bh_seg){r->host + (size_t)offset, len};
    w->mem_slots |= view->hit_bit;
    return true;
}

/* An indirect table, and the piece of it that was translated last. */
struct table {
    uint64_t addr;
    uint32_t bytes;
    uint32_t direct;              /* descriptors from the first on that can be loaded as they lie, */
    const uint8_t *descs;         /* from here */
    uint64_t piece_at, piece_len; /* bytes from the table's start */
    const uint8_t *piece;
};

static void tell_released(struct bh_virtq *q, const struct bh_seg *segs, unsigned count)
{
    const struct bh_mem_ops *ops = q->view.mem->ops;

    if (ops && ops->release && count > 0)
        ops->release(q->view.mem, segs, count);
}

/* The table is read no more. Its pieces are not held: pop is what adopts a new memory table, not we. */
static void close_piece(struct walk *w, struct table *t)
{
    struct bh_seg seg = {(uint8_t *)t->piece, (size_t)t->piece_len};

    if (t->piece)
        tell_released(w->q, &seg, 1);
    t->piece = NULL;
    t->piece_len = 0;
}

/* Translate the table from byte `at` on. */
static enum bh_mem_result open_piece(struct walk *w, struct table *t, uint64_t at)
{
    uint64_t wanted = 16ull * w->room + 16; /* more than that is never read */
    struct bh_mem_span span;
    enum bh_mem_result result;

    close_piece(w, t);
    if (wanted > t->bytes - at)
        wanted = t->bytes - at;
    result = bh_mem_translate(&w->q->view, bh_daddr(t->addr + at), wanted, BH_MEM_READ, &span);
    if (result == BH_MEM_HERE) {
        t->piece = span.host;
        t->piece_at = at;
        t->piece_len = span.len;
    }
    return result;
}

/*
 * Copy bytes of a table that a region border, or an odd address, keeps from being read as words. BH_MEM_HERE,
 * or why not.
 */
static enum bh_mem_result read_bytes(struct walk *w, struct table *t, uint64_t at, uint8_t *to, unsigned len)
{
    for (unsigned i = 0; i < len; i++) {
        if (at + i < t->piece_at || at + i - t->piece_at >= t->piece_len) {
            enum bh_mem_result result = open_piece(w, t, at + i);

            if (result != BH_MEM_HERE)
                return result;
        }
        to[i] = *(const volatile uint8_t *)(t->piece + (at + i - t->piece_at));
    }
    return BH_MEM_HERE;
}

/* Descriptor `index` of the table, wherever it lies. False: refused or pending. */
static __attribute__((noinline)) bool read_any(struct walk *w, struct table *t, uint32_t index,
                                               struct ring_desc *desc)
{
    uint64_t at = 16ull * index;
    enum bh_mem_result result = BH_MEM_HERE;

    if (at < t->piece_at || at - t->piece_at + 16 > t->piece_len)
        result = open_piece(w, t, at);
    if (BH_LIKELY(result == BH_MEM_HERE)) {
        const uint8_t *p = t->piece + (at - t->piece_at);
        uint64_t copy[2];

        if (BH_LIKELY(at - t->piece_at + 16 <= t->piece_len && (uintptr_t)p % 8 == 0)) {
            *desc = ring_load_desc(p);
            return true;
        }
        result = read_bytes(w, t, at, (uint8_t *)copy, sizeof(copy));
        if (result == BH_MEM_HERE) {
            *desc = ring_load_desc(copy);
            return true;
        }
    }
    if (result == BH_MEM_FAULT)
        return refuse(w, BH_BROKEN_RING_FAULT);
    w->pending = true;
    return false;
}

/* Descriptor `index` of the table, read once. False: refused or pending. */
static inline bool read_table(struct walk *w, struct table *t, uint32_t index, struct ring_desc *desc)
{
    if (BH_UNLIKELY(index >= t->direct))
        return read_any(w, t, index, desc);
    *desc = ring_load_desc(t->descs + 16ull * index);
    return true;
}

/* The checks that both layouts' indirect tables share; how many descriptors there are, 0: refused. */
static inline uint32_t open_table(struct walk *w, struct table *t, uint64_t addr, uint32_t len)
{
    const struct bh_mem_region *r = w->q->view.hit;

    *t = (struct table){.addr = addr, .bytes = len};
    if (!w->q->indirect || len % 16 != 0)
        return refuse(w, BH_BROKEN_INDIRECT);
    if (len == 0)
        return refuse(w, BH_BROKEN_CHAIN_EMPTY);
    if (addr + (len - 1) < addr)
        return refuse(w, BH_BROKEN_RING_FAULT);
    /* Mostly a table lies whole and aligned in the region hit last, and nothing of it needs a release. */
    if (BH_LIKELY(r != NULL && addr - r->base.raw < r->size && len <= r->size - (addr - r->base.raw))) {
        const uint8_t *descs = r->host + (size_t)(addr - r->base.raw);

        if (BH_LIKELY((uintptr_t)descs % 8 == 0 && (r->access & BH_MEM_READ))) {
            t->descs = descs;
            t->direct = len / 16;
        }
    }
    return len / 16;
}

static void walk_indirect_split(struct walk *w, uint64_t addr, uint32_t len)
{
    struct table t;
    uint32_t count = open_table(w, &t, addr, len);
    uint32_t index = 0;
    struct ring_desc d;

    /* Ends at the latest when add_buffer has no room. */
    while (index < count) {
        if (!read_table(w, &t, index, &d))
            break;
        if (BH_UNLIKELY(d.third & VIRTQ_DESC_F_INDIRECT)) {
            refuse(w, BH_BROKEN_INDIRECT);
            break;
        }
        if (!add_buffer(w, d.addr, d.len, d.third & VIRTQ_DESC_F_WRITE) || !(d.third & VIRTQ_DESC_F_NEXT))
            break;
        index = d.fourth;
        if (BH_UNLIKELY(index >= count))
            refuse(w, BH_BROKEN_NEXT_RANGE);
    }
    if (BH_UNLIKELY(t.piece != NULL))
        close_piece(w, &t);
}

/* Only WRITE means something in a packed ring's table; all else is ignored [virtio-1.4 2.8.7]. */
static void walk_indirect_packed(struct walk *w, uint64_t addr, uint32_t len)
{
    struct table t;
    uint32_t count = open_table(w, &t, addr, len);
    struct ring_desc d;

    for (uint32_t index = 0; index < count; index++)
        if (!read_table(w, &t, index, &d) || !add_buffer(w, d.addr, d.len, d.fourth & VIRTQ_DESC_F_WRITE))
            break;
    if (BH_UNLIKELY(t.piece != NULL))
        close_piece(w, &t);
}

static inline int finish(struct walk *w, struct bh_chain *chain)
{
    struct bh_seg *out_end = w->writable ? w->out_end : w->seg;

    if (BH_UNLIKELY(w->reason == BH_BROKEN_NONE && w->out_len + w->in_len > UINT32_MAX))
        w->reason = BH_BROKEN_CHAIN_BYTES;
    if (BH_UNLIKELY(w->reason != BH_BROKEN_NONE || w->pending)) {
        tell_released(w->q, chain->segs, (unsigned)(w->seg - chain->segs));
        return w->reason != BH_BROKEN_NONE ? (int)w->reason : BH_ERR_PENDING;
    }
    chain->out_count = (uint16_t)(out_end - chain->segs);
    chain->in_count = (uint16_t)(w->seg - out_end);
    chain->out_len = (uint32_t)w->out_len;
    chain->in_len = (uint32_t)w->in_len;
    chain->mem_slots = w->mem_slots;
    bh_mem_view_hold(&w->q->view, w->mem_slots);
    return BH_OK;
}

void bh_chain_release(struct bh_virtq *q, struct bh_chain *chain)
{
    bh_mem_view_drop(&q->view, chain->mem_slots);
    tell_released(q, chain->segs, (unsigned)chain->out_count + chain->in_count);
}

int bh_chain_walk_split(struct bh_virtq *q, uint16_t head, struct bh_chain *chain)
{
    const struct virtq_desc *table = q->ring[0];
    unsigned index = head, count = 0;
    struct walk w;

    begin(&w, q, chain);
    for (;;) {
        const struct ring_desc d = ring_load_desc(&table[index]);

        count++;
        if (d.third & VIRTQ_DESC_F_INDIRECT) {
            if (d.third & VIRTQ_DESC_F_NEXT)
                refuse(&w, BH_BROKEN_INDIRECT);
            else
                walk_indirect_split(&w, d.addr, d.len);
            break;
        }
        if (!add_buffer(&w, d.addr, d.len, d.third & VIRTQ_DESC_F_WRITE) || !(d.third & VIRTQ_DESC_F_NEXT))
            break;
        if (BH_UNLIKELY(d.fourth >= q->size)) {
            refuse(&w, BH_BROKEN_NEXT_RANGE);
            break;
        }
        if (BH_UNLIKELY(count == q->size)) {
            refuse(&w, BH_BROKEN_CHAIN_LONG);
            break;
        }
        index = d.fourth;
    }
    chain->desc_count = (uint16_t)count;
    return finish(&w, chain);
}

/* One descriptor of a packed ring, from the ring or from a record. False: the chain ends here, well or not.
 */
static inline bool add_packed(struct walk *w, const struct ring_desc *d, bool first)
{
    uint16_t flags = d->fourth;

    if (flags & VIRTQ_DESC_F_INDIRECT) {
        if (!first || (flags & VIRTQ_DESC_F_NEXT))
            return refuse(w, BH_BROKEN_INDIRECT);
        walk_indirect_packed(w, d->addr, d->len);
        return false;
    }
    return add_buffer(w, d->addr, d->len, flags & VIRTQ_DESC_F_WRITE) && (flags & VIRTQ_DESC_F_NEXT);
}

int bh_chain_walk_packed(struct bh_virtq *q, uint16_t slot, uint16_t flags, struct bh_chain *chain)
{
    const struct pvirtq_desc *ring = q->ring[0];
    unsigned index = slot, count = 0;
    struct ring_desc d = {0};
    struct walk w;
    int result;

    begin(&w, q, chain);
    do {
        /* More than was free: the chain runs into descriptors that are still in flight. */
        if (BH_UNLIKELY(q->desc_in_flight + count >= q->size)) {
            refuse(&w, q->desc_in_flight == 0 ? BH_BROKEN_CHAIN_LONG : BH_BROKEN_AVAIL_INDEX);
            break;
        }
        d = ring_load_desc(&ring[index]);
        if (count == 0)
            d.fourth = flags; /* as they were when they said that the chain is available */
        if (q->inflight)
            bh_records_packed_desc(q->inflight, &d, count == 0);
        count++;
        index = index + 1 == q->size ? 0 : index + 1;
    } while (add_packed(&w, &d, count == 1));
    chain->id = d.third; /* the last one's [virtio-1.4 2.8.6] */
    chain->desc_count = (uint16_t)count;
    result = finish(&w, chain);
    if (q->inflight) {
        if (result == BH_OK)
            chain->record = bh_records_packed_taken(q->inflight);
        else
            bh_records_packed_abandon(q->inflight);
    }
    return result;
}

int bh_chain_walk_record(struct bh_virtq *q, uint16_t record, struct bh_chain *chain)
{
    unsigned entry = record, count = 0;
    struct ring_desc d = {0};
    struct walk w;

    begin(&w, q, chain);
    do {
        if (BH_UNLIKELY(q->desc_in_flight + count >= q->size)) {
            refuse(&w, BH_BROKEN_AVAIL_INDEX);
            break;
        }
        entry = bh_records_packed_read(q->inflight, (uint16_t)entry, &d);
        count++;
    } while (add_packed(&w, &d, count == 1));
    chain->id = d.third;
    chain->desc_count = (uint16_t)count;
    chain->record = record;
    return finish(&w, chain);
}
