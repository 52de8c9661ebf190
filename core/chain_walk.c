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
 * is missing is asked for at once. A walk that met one ends with BH_ERR_PENDING and leaves nothing behind.
 *
 *   Rules: device-readable buffers stand before device-writable ones; together they have less than 2^32
 * bytes; an indirect table is a multiple of 16 bytes, may lie across regions at any alignment, and holds no
 * further indirect descriptor. In a split ring it may end a chain of direct descriptors
 * [virtio-1.4 2.7.5.3.2]; in a packed ring it stands alone [virtio-1.4 2.8.5] and its descriptors follow one
 * another without NEXT.
 *
 *   Where speed matters, chain_quick.h goes first and hands over what is not plain.
 */
#include "core/chain_walk.h"
#include "core/inflight_records.h"
#include "core/ring_access.h"
#include "core/virtq_ops.h"
#include "core/virtq_packed.h"

/* An indirect table, and the descriptors of it that can be loaded as they lie. */
struct table {
    uint64_t addr;
    uint32_t bytes;
    uint32_t first, direct; /* `direct` of them from descriptor `first` on */
    const uint8_t *descs;   /* where `first` is */
    struct bh_seg piece;    /* what was translated last and is to be released; base NULL: nothing */
};

struct walk {
    struct bh_virtq *q;
    struct bh_seg *seg, *seg_end; /* the next to fill, and behind the last one that may be */
    struct bh_seg *out_end;       /* behind the readable ones, once a writable buffer was seen */
    uint64_t len;                 /* a sum of at most 2^16 lengths of 32 bits */
    uint64_t out_len;             /* of the readable ones, once a writable buffer was seen */
    uint32_t mem_slots;
    unsigned writable; /* VIRTQ_DESC_F_WRITE once a device-writable buffer was seen, else 0 */
    int result;        /* BH_OK, BH_ERR_PENDING or an enum bh_broken, the worst met */
    /* Where it is: at `d`, which was read and is not added yet. */
    enum chain_source source;
    bool in_table;
    uint16_t head_flags; /* packed: as they were when they said that the chain is available */
    uint16_t id;         /* packed: the buffer id in the ring descriptor read last [virtio-1.4 2.8.6] */
    unsigned at;         /* place of `d` in its ring or table; in the records, of the one after it */
    unsigned taken;      /* ring slots, `d` included */
    struct ring_desc d;
    struct table t; /* in_table */
};

static bool refuse(struct walk *w, enum bh_broken reason)
{
    w->result = (int)reason;
    return false;
}

static void wait(struct walk *w)
{
    if (w->result == BH_OK)
        w->result = BH_ERR_PENDING;
}

/* Add the buffer of w->d to the chain, whatever it is. False: refused. */
static bool add_buffer(struct walk *w, unsigned flags)
{
    unsigned writable = flags & VIRTQ_DESC_F_WRITE;
    uint64_t addr = w->d.addr;
    uint32_t len = w->d.len;

    if (len == 0)
        return refuse(w, BH_BROKEN_CHAIN_EMPTY);
    if (writable < w->writable)
        return refuse(w, BH_BROKEN_ORDER);
    if (addr + (len - 1) < addr)
        return refuse(w, BH_BROKEN_FAULT);
    if (writable > w->writable) {
        w->writable = writable;
        w->out_end = w->seg;
        w->out_len = w->len;
    }
    w->len += len;
    do {
        struct bh_mem_span span;
        enum bh_mem_result result;

        if (w->seg == w->seg_end)
            return refuse(w, BH_BROKEN_CHAIN_LONG);
        result =
            bh_mem_translate(&w->q->view, bh_daddr(addr), len, writable ? BH_MEM_WRITE : BH_MEM_READ, &span);
        if (result == BH_MEM_FAULT)
            return refuse(w, BH_BROKEN_FAULT);
        if (result == BH_MEM_PENDING) {
            w->seg_end--;
            wait(w);
            return true;
        }
        *w->seg++ = (struct bh_seg){span.host, (size_t)span.len};
        w->mem_slots |= bh_mem_slot_bit(span.slot);
        addr += span.len;
        len -= (uint32_t)span.len;
    } while (len != 0);
    return true;
}

/* --- Indirect tables --- */

/*
 * Translate the table from byte `at` on; the piece before is read no more. They are not held: pop is what adopts a new
 * memory table, not we. False: refused or pending.
 */
static bool open_piece(struct walk *w, uint64_t at)
{
    struct table *t = &w->t;
    /* More than that is never read. */
    uint64_t wanted = 16ull * (size_t)(w->seg_end - w->seg) + 16;
    struct bh_mem_span span;
    enum bh_mem_result result;

    bh_mem_view_release(&w->q->view, &t->piece, t->piece.base != NULL);
    t->piece.base = NULL;
    if (wanted > t->bytes - at)
        wanted = t->bytes - at;
    result = bh_mem_translate(&w->q->view, bh_daddr(t->addr + at), wanted, BH_MEM_READ, &span);
    if (result == BH_MEM_FAULT)
        return refuse(w, BH_BROKEN_RING_FAULT);
    if (result == BH_MEM_PENDING) {
        wait(w);
        return false;
    }
    t->piece = (struct bh_seg){span.host, (size_t)span.len};
    return true;
}

/*
 * Descriptor w->at of the table, read once, wherever it lies. One that a region border, or an odd address, keeps from
 * being read as words is copied, byte by byte. False: refused or pending.
 */
static bool read_table(struct walk *w)
{
    struct table *t = &w->t;
    uint64_t copy[2];

    if (w->at - t->first < t->direct) {
        w->d = ring_load_desc(t->descs + 16ull * (w->at - t->first));
        return true;
    }
    if (w->at >= t->bytes / 16)
        return refuse(w, BH_BROKEN_NEXT_RANGE);
    t->direct = 0;
    for (unsigned done = 0; done < sizeof(copy);) {
        const volatile uint8_t *from;

        if (!open_piece(w, 16ull * w->at + done))
            return false;
        from = t->piece.base;
        if (done == 0 && t->piece.len >= 16 && (uintptr_t)from % 8 == 0) {
            t->first = w->at;
            t->direct = (uint32_t)(t->piece.len / 16);
            t->descs = t->piece.base;
            w->d = ring_load_desc(t->descs);
            return true;
        }
        for (size_t i = 0; i < t->piece.len && done < sizeof(copy); i++, done++)
            ((uint8_t *)copy)[done] = from[i];
    }
    w->d = ring_load_desc(copy);
    return true;
}

/* --- The long way --- */

/* Descriptor w->at of the ring, or of the records, read once. False: refused. */
static bool read_ring(struct walk *w)
{
    struct bh_virtq *q = w->q;

    if (w->source == CHAIN_RECORD) {
        w->at = bh_records_packed_read(q->inflight, (uint16_t)w->at, &w->d);
    } else if (w->at >= q->size) {
        return refuse(w, BH_BROKEN_NEXT_RANGE);
    } else {
        w->d = ring_load_desc((const uint8_t *)q->ring[0] + 16ull * w->at);
    }
    w->id = (uint16_t)w->d.third;
    w->taken++;
    if (w->source == CHAIN_PACKED) {
        if (w->taken == 1)
            w->d.fourth = w->head_flags;
        if (q->inflight && w->taken + q->desc_in_flight <= q->size)
            bh_records_packed_desc(q->inflight, &w->d, w->taken == 1);
    }
    return true;
}

/* w->d points to a table: go on with its first descriptor. False: refused or pending. */
static bool enter_table(struct walk *w, unsigned flags)
{
    if (w->in_table || (flags & VIRTQ_DESC_F_NEXT) || (w->source != CHAIN_SPLIT && w->taken > 1) ||
        !w->q->indirect || w->d.len % 16 != 0)
        return refuse(w, BH_BROKEN_INDIRECT);
    if (w->d.len == 0)
        return refuse(w, BH_BROKEN_CHAIN_EMPTY);
    if (w->d.addr + (w->d.len - 1) < w->d.addr)
        return refuse(w, BH_BROKEN_RING_FAULT);
    w->t = (struct table){.addr = w->d.addr, .bytes = w->d.len};
    w->in_table = true;
    w->at = 0;
    return read_table(w);
}

/* Go on to the descriptor after w->d. False: there is none, or it was refused or is pending. */
static bool step(struct walk *w, unsigned flags)
{
    if (w->source != CHAIN_SPLIT && w->in_table) {
        if (++w->at == w->t.bytes / 16)
            return false;
    } else if (!(flags & VIRTQ_DESC_F_NEXT)) {
        return false;
    } else if (w->source == CHAIN_SPLIT) {
        w->at = w->d.fourth;
    } else if (w->source == CHAIN_PACKED) {
        w->at = w->at + 1u == w->q->size ? 0 : w->at + 1u;
    }
    return w->in_table ? read_table(w) : read_ring(w);
}

/* From w->d to the chain's end. */
static __attribute__((noinline)) void walk(struct walk *w)
{
    bool more;

    /* Ends at the latest when add_buffer has no room: so does a loop of descriptors. */
    do {
        unsigned flags = w->source == CHAIN_SPLIT ? w->d.third : w->d.fourth;

        /* In a packed ring's table only WRITE means something, all else is ignored [virtio-1.4 2.8.7]. */
        if ((flags & VIRTQ_DESC_F_INDIRECT) && (w->source == CHAIN_SPLIT || !w->in_table))
            more = enter_table(w, flags);
        else
            more = add_buffer(w, flags) && step(w, flags);
    } while (more);
    if (w->in_table)
        bh_mem_view_release(&w->q->view, &w->t.piece, w->t.piece.base != NULL);
}

/* --- Chains --- */

/* Go on to the end from w->d, unless that was refused. BH_OK: the chain is good. */
static int finish(struct walk *w, struct bh_chain *chain)
{
    struct bh_seg *out_end;
    uint64_t out_len;

    if (w->result == BH_OK)
        walk(w);
    if (w->len > UINT32_MAX && w->result <= 0)
        refuse(w, BH_BROKEN_CHAIN_BYTES);
    if (w->taken + w->q->desc_in_flight > w->q->size)
        refuse(w, chain_too_long(w->q)); /* whatever it met there */
    if (w->result != BH_OK) {
        bh_mem_view_release(&w->q->view, chain->segs, (unsigned)(w->seg - chain->segs));
        return w->result;
    }
    out_end = w->writable ? w->out_end : w->seg;
    out_len = w->writable ? w->out_len : w->len;
    chain->out_count = (uint16_t)(out_end - chain->segs);
    chain->in_count = (uint16_t)(w->seg - out_end);
    chain->out_len = (uint32_t)out_len;
    chain->in_len = (uint32_t)(w->len - out_len);
    chain->mem_slots = w->mem_slots;
    chain_popped(chain, w->taken);
    bh_mem_view_use(&w->q->view, w->mem_slots, 1);
    if (w->source != CHAIN_SPLIT) {
        chain->id = w->id;
        w->q->desc_in_flight = (uint16_t)(w->q->desc_in_flight + w->taken);
    }
    return BH_OK;
}

int bh_chain_walk(struct bh_virtq *q, enum chain_source source, unsigned at, uint16_t head_flags,
                  struct bh_chain *chain)
{
    struct walk w;

    w.q = q;
    w.source = source;
    w.result = BH_OK;
    w.seg = chain->segs;
    w.seg_end = w.seg + q->memory.segs_per_chain;
    w.len = 0;
    w.mem_slots = 0;
    w.writable = 0;
    w.at = at;
    w.taken = 0;
    w.in_table = false;
    w.head_flags = head_flags;
    (void)read_ring(&w); /* what it refuses stands in w.result */
    return finish(&w, chain);
}

int bh_chain_walk_rest(struct bh_virtq *q, enum chain_source source, struct bh_chain *chain,
                       const struct chain_part *part)
{
    const struct bh_mem_near *near = &q->view.near;
    struct walk w = {
        .q = q,
        .source = source,
        .result = BH_OK,
        .seg = part->seg,
        .seg_end = chain->segs + q->memory.segs_per_chain,
        .out_end = chain->segs + part->out_count,
        .len = part->len,
        .out_len = part->out_len,
        .mem_slots = part->len != 0 ? near->bit : 0,
        .writable = part->writable,
        .at = part->at,
        .taken = part->table.at ? 1 : (unsigned)(part->seg - chain->segs) + 1,
        .d = ring_desc_of(part->d),
        .in_table = part->table.at != NULL,
    };

    w.id = w.d.third;
    if (part->table.at) {
        w.id = part->table.id;
        w.t = (struct table){.addr = near->base + (size_t)(part->table.at - near->host),
                             .bytes = part->table.bytes,
                             .direct = part->table.bytes / 16,
                             .descs = part->table.at};
    }
    return finish(&w, chain);
}
