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
 *
 *   The layouts differ in where a descriptor's flags stand and which one comes next. They share one text,
 * which a build for speed compiles once for each of them and a build for size once for all.
 */
#include "core/chain_walk.h"
#include "core/inflight_records.h"
#include "core/ring_access.h"

/* Where the descriptors of a chain are read from. */
enum source { FROM_SPLIT, FROM_PACKED, FROM_RECORD };

struct walk {
    struct bh_virtq *q;
    struct bh_seg *seg;     /* the next to fill */
    struct bh_seg *out_end; /* behind the readable ones, once a writable buffer was seen */
    uint64_t len;           /* a sum of at most 2^16 lengths of 32 bits */
    uint64_t out_len;       /* of the readable ones, once a writable buffer was seen */
    uint32_t room;          /* segments left */
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

static inline unsigned access_for(bool writable)
{
    return writable ? BH_MEM_WRITE : BH_MEM_READ;
}

/* The first writable buffer: what came before is the readable part. */
static inline void account(struct walk *w, uint32_t len, bool writable)
{
    if (writable && !w->writable) {
        w->writable = true;
        w->out_end = w->seg;
        w->out_len = w->len;
    }
    w->len += len;
}

/* Add [addr, addr + len) to the chain, whatever it is. False: refused. */
static __attribute__((noinline)) bool add_any_buffer(struct walk *w, uint64_t addr, uint32_t len,
                                                     bool writable)
{
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
        result = bh_mem_translate(&w->q->view, bh_daddr(addr), len, access_for(writable), &span);
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
static inline bool add_buffer(struct walk *w, uint64_t addr, uint32_t len, bool writable)
{
    const struct bh_mem_view *view = &w->q->view;
    const struct bh_mem_region *r = view->hit;
    uint64_t offset;

    if (!BH_SPEED || BH_UNLIKELY(r == NULL || w->room == 0 || (!writable && w->writable)))
        return add_any_buffer(w, addr, len, writable);
    offset = addr - r->base.raw;
    /* A length of 0 is the largest one here, less 1. */
    if (BH_UNLIKELY(offset >= r->size || (uint64_t)len - 1 >= r->size - offset ||
                    !(r->access & access_for(writable))))
        return add_any_buffer(w, addr, len, writable);
    account(w, len, writable);
    w->room--;
    *w->seg++ = (struct bh_seg){r->host + (size_t)offset, len};
    w->mem_slots |= view->hit_bit;
    return true;
}

/* --- Indirect tables --- */

/* A table, and the descriptors of it that can be loaded as they lie. */
struct table {
    uint64_t addr;
    uint32_t bytes;
    uint32_t first, direct; /* `direct` of them from descriptor `first` on */
    const uint8_t *descs;   /* where `first` is */
    struct bh_seg piece;    /* what was translated last and is to be released; base NULL: nothing */
};

/* The piece is read no more. It is not held: pop is what adopts a new memory table, not we. */
static inline void close_piece(struct walk *w, struct table *t)
{
    if (t->piece.base)
        bh_mem_view_release(&w->q->view, &t->piece, 1);
    t->piece.base = NULL;
}

/* Translate the table from byte `at` on. False: refused or pending. */
static bool open_piece(struct walk *w, struct table *t, uint64_t at)
{
    uint64_t wanted = 16ull * w->room + 16; /* more than that is never read */
    struct bh_mem_span span;
    enum bh_mem_result result;

    close_piece(w, t);
    if (wanted > t->bytes - at)
        wanted = t->bytes - at;
    result = bh_mem_translate(&w->q->view, bh_daddr(t->addr + at), wanted, BH_MEM_READ, &span);
    if (result == BH_MEM_FAULT)
        return refuse(w, BH_BROKEN_RING_FAULT);
    w->pending |= result == BH_MEM_PENDING;
    if (result == BH_MEM_HERE)
        t->piece = (struct bh_seg){span.host, (size_t)span.len};
    return result == BH_MEM_HERE;
}

/*
 * Descriptor `index` of the table, wherever it lies. One that a region border, or an odd address, keeps from
 * being read as words is copied, byte by byte. False: refused or pending.
 */
static __attribute__((noinline)) bool read_any(struct walk *w, struct table *t, uint32_t index,
                                               struct ring_desc *desc)
{
    uint64_t copy[2];

    for (unsigned done = 0; done < sizeof(copy);) {
        const volatile uint8_t *from;

        if (!open_piece(w, t, 16ull * index + done))
            return false;
        if (done == 0 && t->piece.len >= 16 && (uintptr_t)t->piece.base % 8 == 0) {
            t->first = index;
            t->direct = (uint32_t)(t->piece.len / 16);
            t->descs = t->piece.base;
            *desc = ring_load_desc(t->descs);
            return true;
        }
        from = t->piece.base;
        for (size_t i = 0; i < t->piece.len && done < sizeof(copy); i++, done++)
            ((uint8_t *)copy)[done] = from[i];
    }
    *desc = ring_load_desc(copy);
    return true;
}

/* Descriptor `index` of the table, read once. False: refused or pending. */
static inline bool read_table(struct walk *w, struct table *t, uint32_t index, struct ring_desc *desc)
{
    uint32_t from_first = index - t->first;

    if (BH_UNLIKELY(from_first >= t->direct)) {
        t->direct = 0; /* another piece is opened */
        return read_any(w, t, index, desc);
    }
    *desc = ring_load_desc(t->descs + 16ull * from_first);
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
    if (BH_SPEED &&
        BH_LIKELY(r != NULL && addr - r->base.raw < r->size && len <= r->size - (addr - r->base.raw))) {
        const uint8_t *descs = r->host + (size_t)(addr - r->base.raw);

        if (BH_LIKELY((uintptr_t)descs % 8 == 0 && (r->access & BH_MEM_READ))) {
            t->descs = descs;
            t->direct = len / 16;
        }
    }
    return len / 16;
}

static BH_FAST_INLINE void walk_table(struct walk *w, uint64_t addr, uint32_t len, bool split)
{
    struct table t;
    uint32_t count = open_table(w, &t, addr, len);
    uint32_t index = 0;
    struct ring_desc d;

    /* Ends at the latest when add_buffer has no room. */
    while (index < count && read_table(w, &t, index, &d)) {
        /* In a packed ring's table only WRITE means something, all else is ignored [virtio-1.4 2.8.7]. */
        unsigned flags = split ? d.third : d.fourth;

        if (split && BH_UNLIKELY(flags & VIRTQ_DESC_F_INDIRECT)) {
            refuse(w, BH_BROKEN_INDIRECT);
            break;
        }
        if (!add_buffer(w, d.addr, d.len, flags & VIRTQ_DESC_F_WRITE))
            break;
        index++;
        if (!split)
            continue;
        if (!(flags & VIRTQ_DESC_F_NEXT))
            break;
        index = d.fourth;
        if (BH_UNLIKELY(index >= count))
            refuse(w, BH_BROKEN_NEXT_RANGE);
    }
    close_piece(w, &t);
}

/* --- Chains --- */

static inline int finish(struct walk *w, struct bh_chain *chain)
{
    struct bh_seg *out_end = w->writable ? w->out_end : w->seg;
    uint64_t out_len = w->writable ? w->out_len : w->len;

    if (BH_UNLIKELY(w->reason == BH_BROKEN_NONE && w->len > UINT32_MAX))
        w->reason = BH_BROKEN_CHAIN_BYTES;
    if (BH_UNLIKELY(w->reason != BH_BROKEN_NONE || w->pending)) {
        bh_mem_view_release(&w->q->view, chain->segs, (unsigned)(w->seg - chain->segs));
        return w->reason != BH_BROKEN_NONE ? (int)w->reason : BH_ERR_PENDING;
    }
    chain->out_count = (uint16_t)(out_end - chain->segs);
    chain->in_count = (uint16_t)(w->seg - out_end);
    chain->out_len = (uint32_t)out_len;
    chain->in_len = (uint32_t)(w->len - out_len);
    chain->mem_slots = w->mem_slots;
    return BH_OK;
}

/* `at`: the head, the head's slot, or the record; `head_flags` of a chain in a packed ring. */
static BH_FAST_INLINE int walk_chain(struct bh_virtq *q, enum source source, uint16_t at, uint16_t head_flags,
                                     struct bh_chain *chain)
{
    const uint8_t *ring = q->ring[0];
    unsigned limit = q->size - q->desc_in_flight; /* a split ring's heads have bits of their own */
    unsigned count = 0;
    struct ring_desc d = {0};
    struct walk w = {.q = q, .seg = chain->segs, .room = q->memory.segs_per_chain};

    for (;;) {
        unsigned flags;

        /* More than was free: a loop, or the chain runs into descriptors that are still in flight. */
        if (BH_UNLIKELY(count == limit)) {
            refuse(&w, q->desc_in_flight == 0 ? BH_BROKEN_CHAIN_LONG : BH_BROKEN_AVAIL_INDEX);
            break;
        }
        if (source == FROM_RECORD) {
            at = bh_records_packed_read(q->inflight, at, &d);
        } else {
            d = ring_load_desc(ring + 16ull * at);
            at = at + 1u == q->size ? 0 : (uint16_t)(at + 1u);
        }
        if (source == FROM_PACKED) {
            if (count == 0)
                d.fourth = head_flags; /* as they were when they said that the chain is available */
            if (BH_UNLIKELY(q->inflight != NULL))
                bh_records_packed_desc(q->inflight, &d, count == 0);
        }
        count++;
        flags = source == FROM_SPLIT ? d.third : d.fourth;
        if (flags & VIRTQ_DESC_F_INDIRECT) {
            if ((flags & VIRTQ_DESC_F_NEXT) || (source != FROM_SPLIT && count > 1))
                refuse(&w, BH_BROKEN_INDIRECT);
            else
                walk_table(&w, d.addr, d.len, source == FROM_SPLIT);
            break;
        }
        if (!add_buffer(&w, d.addr, d.len, flags & VIRTQ_DESC_F_WRITE) || !(flags & VIRTQ_DESC_F_NEXT))
            break;
        if (source == FROM_SPLIT) {
            at = d.fourth;
            if (BH_UNLIKELY(at >= q->size)) {
                refuse(&w, BH_BROKEN_NEXT_RANGE);
                break;
            }
        }
    }
    chain->id = d.third; /* a packed ring's buffer id: the last one's [virtio-1.4 2.8.6] */
    chain->desc_count = (uint16_t)count;
    return finish(&w, chain);
}

int bh_chain_walk_split(struct bh_virtq *q, uint16_t head, struct bh_chain *chain)
{
    int result = walk_chain(q, FROM_SPLIT, head, 0, chain);

    chain->id = head;
    return result;
}

int bh_chain_walk_packed(struct bh_virtq *q, uint16_t slot, uint16_t flags, struct bh_chain *chain)
{
    int result = walk_chain(q, FROM_PACKED, slot, flags, chain);

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
    int result = walk_chain(q, FROM_RECORD, record, 0, chain);

    chain->record = record;
    return result;
}
