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
 *   Theory of operation: speed
 *   Mostly all of a chain lies in one region, the one hit last, and is good. `quick` takes the descriptors of
 * such a chain and stops at the first that is anything else. There, with that descriptor already read, `walk`
 * goes on; it knows all cases. A build for size has only `walk` (BH_SPEED).
 */
#include "core/chain_walk.h"
#include "core/inflight_records.h"
#include "core/ring_access.h"
#include "core/virtq_ops.h"
#include "core/virtq_packed.h"

/* Where a chain's first descriptors are read from. The rest may be in an indirect table. */
enum source { FROM_SPLIT, FROM_PACKED, FROM_RECORD };

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
    const struct bh_mem_region *near; /* BH_SPEED: the region hit last, if it can be used in any way */
    struct bh_seg *seg, *seg_end;     /* the next to fill, and behind the last one that may be */
    struct bh_seg *out_end;           /* behind the readable ones, once a writable buffer was seen */
    uint64_t len;                     /* a sum of at most 2^16 lengths of 32 bits */
    uint64_t out_len;                 /* of the readable ones, once a writable buffer was seen */
    uint32_t mem_slots;
    unsigned writable; /* VIRTQ_DESC_F_WRITE once a device-writable buffer was seen, else 0 */
    bool records;      /* q has in-flight records */
    int result;        /* BH_OK, BH_ERR_PENDING or an enum bh_broken, the worst met */
    /* Where it is: at `d`, which was read and is not added yet. */
    enum source source;
    bool in_table;
    uint16_t head_flags; /* packed: as they were when they said that the chain is available */
    uint16_t id;         /* packed: the buffer id in the ring descriptor read last [virtio-1.4 2.8.6] */
    unsigned at;         /* place of `d` in its ring or table; in the records, of the one after it */
    unsigned taken;      /* ring slots, `d` included; split rings: not counted by `quick` */
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

    if (w->source == FROM_RECORD) {
        w->at = bh_records_packed_read(q->inflight, (uint16_t)w->at, &w->d);
    } else if (w->at >= q->size) {
        return refuse(w, BH_BROKEN_NEXT_RANGE);
    } else {
        w->d = ring_load_desc((const uint8_t *)q->ring[0] + 16ull * w->at);
    }
    w->id = (uint16_t)w->d.third;
    w->taken++;
    if (w->source == FROM_PACKED) {
        if (w->taken == 1)
            w->d.fourth = w->head_flags;
        if (w->records && w->taken + q->desc_in_flight <= q->size)
            bh_records_packed_desc(q->inflight, &w->d, w->taken == 1);
    }
    return true;
}

/* w->d points to a table: go on with its first descriptor. False: refused or pending. */
static bool enter_table(struct walk *w, unsigned flags)
{
    if (w->in_table || (flags & VIRTQ_DESC_F_NEXT) || (w->source != FROM_SPLIT && w->taken > 1) ||
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
    if (w->source != FROM_SPLIT && w->in_table) {
        if (++w->at == w->t.bytes / 16)
            return false;
    } else if (!(flags & VIRTQ_DESC_F_NEXT)) {
        return false;
    } else if (w->source == FROM_SPLIT) {
        w->at = w->d.fourth;
    } else if (w->source == FROM_PACKED) {
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
        unsigned flags = w->source == FROM_SPLIT ? w->d.third : w->d.fourth;

        /* In a packed ring's table only WRITE means something, all else is ignored [virtio-1.4 2.8.7]. */
        if ((flags & VIRTQ_DESC_F_INDIRECT) && (w->source == FROM_SPLIT || !w->in_table))
            more = enter_table(w, flags);
        else
            more = add_buffer(w, flags) && step(w, flags);
    } while (more);
    if (w->in_table)
        bh_mem_view_release(&w->q->view, &w->t.piece, w->t.piece.base != NULL);
}

/* --- The quick way --- */

/* Nothing lies in it. */
static const struct bh_mem_region nowhere;

static inline void look_near(struct walk *w)
{
    if (BH_SPEED) {
        const struct bh_mem_region *hit = w->q->view.hit;

        w->near = hit && hit->access == (BH_MEM_READ | BH_MEM_WRITE) ? hit : &nowhere;
    }
}

/* A chain so far. Nothing takes its address for good, so that it can live in registers. */
struct quick {
    struct bh_seg *seg, *seg_end, *out_end;
    uint64_t len, out_len;
    unsigned writable;
    const uint8_t *descs; /* the ring's, or the table's */
    unsigned at, count;   /* in descs */
    const uint8_t *table; /* NULL: in the ring */
    unsigned id;          /* packed: of the ring descriptor that points to the table */
    struct ring_words d;
};

static inline uint32_t len_of(const struct quick *k)
{
    return (uint32_t)k->d.rest;
}

/* In the lowest 16 bits. */
static inline unsigned quick_flags(const struct quick *k, bool split)
{
    return (unsigned)(split ? k->d.rest >> 32 : k->d.rest >> 48);
}

/* k->d points to a table: go there, if it lies whole and aligned in the region. */
static inline void near_table(const struct walk *w, struct quick *k, bool split)
{
    uint64_t offset = k->d.addr - w->near->base.raw;
    uint64_t end = offset + len_of(k); /* not behind offset: no bytes, or around the end */
    const uint8_t *table;

    if (BH_UNLIKELY(end > w->near->size) || BH_UNLIKELY(end <= offset))
        return;
    table = w->near->host + (size_t)offset;
    if (BH_UNLIKELY(len_of(k) % 16 != 0) || BH_UNLIKELY((uintptr_t)table % 8 != 0) ||
        BH_UNLIKELY(quick_flags(k, split) & VIRTQ_DESC_F_NEXT) || BH_UNLIKELY(!w->q->indirect))
        return;
    k->id = (uint16_t)(k->d.rest >> 32);
    k->descs = k->table = table;
    k->count = len_of(k) / 16;
    k->at = 0;
    k->d = ring_load_words(table);
}

/* Refuse a chain before `walk` has seen it: the segments before `seg` are to be released. */
static bool give_up(struct walk *w, struct bh_seg *seg, enum bh_broken reason)
{
    w->seg = seg;
    w->len = 0;
    w->taken = 0;
    return refuse(w, reason);
}

/* A chain took more slots than were free: a loop, or it ran into descriptors that are still in flight. */
static enum bh_broken too_long(const struct walk *w)
{
    return w->q->desc_in_flight == 0 ? BH_BROKEN_CHAIN_LONG : BH_BROKEN_AVAIL_INDEX;
}

/* The end was reached. True: the chain is good. */
static inline bool complete(struct walk *w, struct bh_chain *chain, struct quick *k, bool split)
{
    if (!k->writable) {
        k->out_end = k->seg;
        k->out_len = k->len;
    }
    if (BH_UNLIKELY(k->len > UINT32_MAX))
        return give_up(w, k->seg, BH_BROKEN_CHAIN_BYTES);
    chain->out_count = (uint16_t)(k->out_end - chain->segs);
    chain->in_count = (uint16_t)(k->seg - k->out_end);
    chain->out_len = (uint32_t)k->out_len;
    chain->in_len = (uint32_t)(k->len - k->out_len);
    chain->desc_count = k->table ? 1 : (uint16_t)(k->seg - chain->segs);
    chain->mem_slots = w->q->view.hit_bit;
    if (split)
        return true;
    chain->id = (uint16_t)(k->table ? k->id : k->d.rest >> 32);
    if (BH_UNLIKELY(chain->desc_count + w->q->desc_in_flight > w->q->size))
        return give_up(w, k->seg, too_long(w));
    return true;
}

/* `walk` goes on at k->d. */
static inline bool hand_over(struct walk *w, const struct bh_chain *chain, const struct quick *k, bool split)
{
    w->seg = k->seg;
    w->seg_end = k->seg_end;
    w->out_end = k->out_end;
    w->len = k->len;
    w->out_len = k->out_len;
    w->mem_slots = k->len != 0 ? w->q->view.hit_bit : 0;
    w->writable = k->writable;
    w->at = k->at;
    w->taken = k->table ? 1 : (unsigned)(k->seg - chain->segs) + 1;
    w->d = ring_desc_of(k->d);
    if (!split)
        w->id = (uint16_t)(k->table ? k->id : w->d.third);
    w->in_table = k->table != NULL;
    if (k->table)
        w->t = (struct table){.addr = w->near->base.raw + (size_t)(k->table - w->near->host),
                              .bytes = 16u * k->count,
                              .direct = k->count,
                              .descs = k->table};
    return false;
}

/*
 * From k->d on. `all`: of k->descs, whether they have NEXT or not, as in a packed ring's table. Both are constants of the
 * caller's.
 */
static inline __attribute__((always_inline)) bool quick_on(struct walk *w, struct bh_chain *chain,
                                                           struct quick *k, bool split, bool all)
{
    const struct bh_mem_region *near = w->near;

    for (;;) {
        unsigned flags = quick_flags(k, split);
        uint64_t offset = k->d.addr - near->base.raw;
        uint64_t end = offset + len_of(k); /* not behind offset: no bytes, or around the end */

        if (BH_UNLIKELY(end > near->size) || BH_UNLIKELY(end <= offset) || BH_UNLIKELY(k->seg == k->seg_end))
            return hand_over(w, chain, k, split);
        if (!all && BH_UNLIKELY(flags & VIRTQ_DESC_F_INDIRECT))
            return hand_over(w, chain, k, split);
        if ((flags & VIRTQ_DESC_F_WRITE) != k->writable) {
            if (BH_UNLIKELY(k->writable != 0))
                return hand_over(w, chain, k, split);
            k->writable = VIRTQ_DESC_F_WRITE;
            k->out_end = k->seg;
            k->out_len = k->len;
        }
        *k->seg++ = (struct bh_seg){near->host + (size_t)offset, len_of(k)};
        k->len += len_of(k);
        k->at = split ? (unsigned)(k->d.rest >> 48) : k->at + 1;
        if (all ? k->at == k->count : !(flags & VIRTQ_DESC_F_NEXT))
            return complete(w, chain, k, split);
        if (!all && BH_UNLIKELY(k->at >= k->count)) {
            if (split)
                return give_up(w, k->seg, BH_BROKEN_NEXT_RANGE);
            k->at = 0; /* around a packed ring's end */
        }
        k->d = ring_load_words(k->descs + 16ull * k->at);
    }
}

/*
 * The chain whose first descriptor is at `at` of the ring, while each descriptor is plain, whole and near; such a one takes
 * one segment. True: the chain is complete and good. False: w->result says why it is not, or it is BH_OK and `walk`
 * goes on at w->d.
 */
static inline __attribute__((always_inline)) bool quick(struct walk *w, struct bh_chain *chain, unsigned at,
                                                        bool split)
{
    struct quick k = {.seg = chain->segs, .out_end = chain->segs, .at = at};

    k.seg_end = k.seg + w->q->memory.segs_per_chain;
    k.descs = w->q->ring[0];
    k.count = w->q->size;
    k.d = ring_load_words(k.descs + 16ull * at);
    if (!split)
        k.d.rest = (k.d.rest & UINT64_MAX >> 16) | (uint64_t)w->head_flags << 48;
    if (quick_flags(&k, split) & VIRTQ_DESC_F_INDIRECT)
        near_table(w, &k, split);
    if (k.table)
        return quick_on(w, chain, &k, split, !split);
    return quick_on(w, chain, &k, split, false);
}

/* --- Chains --- */

/* Where `quick` left off, or at the first descriptor: go on to the end. True: the chain is good. */
static __attribute__((noinline)) bool walk_on(struct walk *w, struct bh_chain *chain)
{
    struct bh_seg *out_end;
    uint64_t out_len;

    if (w->result == BH_OK)
        walk(w);
    look_near(w);
    if (w->len > UINT32_MAX && w->result <= 0)
        refuse(w, BH_BROKEN_CHAIN_BYTES);
    if (w->taken + w->q->desc_in_flight > w->q->size)
        refuse(w, too_long(w)); /* whatever it met there */
    if (w->result != BH_OK) {
        bh_mem_view_release(&w->q->view, chain->segs, (unsigned)(w->seg - chain->segs));
        return false;
    }
    out_end = w->writable ? w->out_end : w->seg;
    out_len = w->writable ? w->out_len : w->len;
    chain->out_count = (uint16_t)(out_end - chain->segs);
    chain->in_count = (uint16_t)(w->seg - out_end);
    chain->out_len = (uint32_t)out_len;
    chain->in_len = (uint32_t)(w->len - out_len);
    chain->mem_slots = w->mem_slots;
    chain->desc_count = (uint16_t)w->taken;
    if (w->source != FROM_SPLIT)
        chain->id = w->id;
    return true;
}

/* One chain whose first descriptor is at `at`. True: it is good. */
static BH_FAST_INLINE bool walk_chain(struct walk *w, enum source source, unsigned at, struct bh_chain *chain)
{
    if (BH_SPEED && source != FROM_RECORD && BH_LIKELY(source == FROM_SPLIT || !w->records)) {
        if (BH_LIKELY(quick(w, chain, at, source == FROM_SPLIT)))
            return true;
    } else {
        w->seg = chain->segs;
        w->seg_end = w->seg + w->q->memory.segs_per_chain;
        w->len = 0;
        w->mem_slots = 0;
        w->writable = 0;
        w->at = at;
        w->taken = 0;
        w->in_table = false;
        (void)read_ring(w); /* what it refuses stands in w->result */
    }
    return walk_on(w, chain);
}

static inline void begin(struct walk *w, struct bh_virtq *q, enum source source)
{
    w->q = q;
    w->source = source;
    w->result = BH_OK;
    w->records = q->inflight != NULL;
    look_near(w);
}

unsigned bh_chain_walk_split(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count, int *result)
{
    struct walk w;
    unsigned i = 0;

    begin(&w, q, FROM_SPLIT);
    while (i < count && BH_LIKELY(walk_chain(&w, FROM_SPLIT, chains[i]->id, chains[i])))
        i++;
    *result = w.result;
    return i;
}

unsigned bh_chain_walk_packed(struct bh_virtq *q, struct bh_chain **chains, unsigned max, int *result)
{
    const struct pvirtq_desc *ring = q->ring[0];
    const uint16_t *slot = q->memory.free_slots + q->free_count;
    struct bh_virtq_state state = q->state;
    struct walk w;
    unsigned count;

    begin(&w, q, FROM_PACKED);
    for (count = 0; count < max; count++) {
        struct bh_chain *chain = &q->memory.chains[*--slot];
        bool good;

        /* Acquire: pairs with the driver's barrier before it wrote the flags [virtio-1.4 2.8.21.1.1]. */
        w.head_flags = ring_load16_acquire(&ring[state.avail].flags);
        if (!packed_available(w.head_flags, state.avail_wrap))
            break;
        good = walk_chain(&w, FROM_PACKED, state.avail, chain);
        if (BH_UNLIKELY(w.records))
            bh_records_packed_end(q->inflight, chain, good);
        if (BH_UNLIKELY(!good))
            break;
        q->desc_in_flight = (uint16_t)(q->desc_in_flight + chain->desc_count);
        packed_advance(q, &state.avail, &state.avail_wrap, chain->desc_count);
        chains[count] = chain;
    }
    q->state = state;
    *result = w.result;
    return count;
}

int bh_chain_walk_record(struct bh_virtq *q, uint16_t record, struct bh_chain *chain)
{
    struct walk w;

    begin(&w, q, FROM_RECORD);
    if (!walk_chain(&w, FROM_RECORD, record, chain))
        return w.result;
    chain->record = record;
    q->desc_in_flight = (uint16_t)(q->desc_in_flight + chain->desc_count);
    return BH_OK;
}
