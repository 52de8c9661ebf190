/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtio-blk request: from a chain to a request of the store, and back to a status [virtio-1.4 5.2.6].
 * All that a driver can write wrongly into a request is judged here, and answered.
 */
#include "devices/blk/blk.h"

/*
 * With the bytes the driver may count on, from the start of the writable part without a gap [virtio-1.4 2.7.8.2]: the
 * status is the last of them, and only counts when everything before it, `data` bytes, was written.
 */
static inline void answer(struct bh_virtq *q, struct bh_blk_request *r, uint8_t status, uint32_t data)
{
    struct bh_chain *chain = r->chain;

    *r->status = status;
    if (BH_LIKELY(data + 1 == chain->in_len)) {
        chain->written = data + 1;
        return;
    }
    chain->written = data;
    bh_mem_dirty_seg(&q->view, r->status,
                     1); /* a push marks what was written from the start; the rest is ours */
}

enum parsed {
    SUBMIT, /* r->store is ready */
    ANSWER, /* answered already */
    BROKEN, /* no room for a status */
};

static enum parsed refuse(struct bh_blk *blk, struct bh_virtq *q, struct bh_blk_request *r,
                          enum virtio_blk_status status)
{
    blk->counters.refused++;
    answer(q, r, (uint8_t)status, 0);
    return ANSWER;
}

/*
 * Make the data of a read or write out of the chain's own segments: without the header's bytes at the front,
 * without the status byte at the end.
 */
static void trim(struct bh_blk_request *r, struct bh_seg *segs, uint32_t count, size_t front, size_t back)
{
    while (front && front >= segs->len) {
        front -= segs->len;
        segs++;
        count--;
    }
    while (back && back >= segs[count - 1].len) {
        back -= segs[count - 1].len;
        count--;
    }
    r->trimmed = true;
    r->first = r->last = NULL;
    if (front) {
        r->first = segs;
        r->first_whole = *segs;
        segs->base = (uint8_t *)segs->base + front;
        segs->len -= front;
    }
    if (back) {
        r->last = &segs[count - 1];
        r->last_whole = *r->last;
        r->last->len -= back;
    }
    r->store.segs = segs;
    r->store.seg_count = count;
}

static void untrim(struct bh_blk_request *r)
{
    if (r->last)
        *r->last = r->last_whole;
    if (r->first) /* trimmed first, restored last: both may be one segment */
        *r->first = r->first_whole;
}

static bool in_capacity(const struct bh_blk *blk, uint64_t sector, uint64_t count)
{
    return sector <= blk->sectors && count <= blk->sectors - sector;
}

/* `whole`: header and status have segments of their own; `in` is the first writable one. */
static BH_FAST_INLINE enum parsed parse_io(struct bh_blk *blk, struct bh_virtq *q, struct bh_blk_request *r,
                                           uint64_t sector, struct bh_seg *in, bool write, bool whole)
{
    struct bh_chain *chain = r->chain;
    const uint32_t header = (uint32_t)sizeof(struct virtio_blk_req_header);
    uint32_t len = write ? chain->out_len - header : chain->in_len - 1;

    if (len % VIRTIO_BLK_SECTOR_SIZE || !in_capacity(blk, sector, len / VIRTIO_BLK_SECTOR_SIZE) ||
        (write && blk->read_only))
        return refuse(blk, q, r, VIRTIO_BLK_S_IOERR);
    if (write)
        blk->counters.writes++;
    else
        blk->counters.reads++;
    if (len == 0) {
        answer(q, r, VIRTIO_BLK_S_OK, 0);
        return ANSWER;
    }
    r->store.op = write ? BH_STORE_WRITE : BH_STORE_READ;
    r->store.flags = write && !blk->write_cache ? BH_STORE_DURABLE : 0;
    r->store.offset = sector * VIRTIO_BLK_SECTOR_SIZE;
    r->store.len = len;
    r->data_in = write ? 0 : len;
    if (whole) {
        r->store.segs = write ? chain->segs + 1 : in;
        r->store.seg_count = (write ? chain->out_count : chain->in_count) - 1u;
    } else if (write) {
        trim(r, chain->segs, chain->out_count, header, 0);
    } else {
        trim(r, chain->segs + chain->out_count, chain->in_count, 0, 1);
    }
    return SUBMIT;
}

/*
 * The range of such a request. Linux takes a request's direction from bit 0 of its type and so lays the range of a
 * SECURE_ERASE, 14, in the writable part. A device should not read there [virtio-1.4 2.7.5.1]; refusing it would keep
 * every Linux from erasing, so it is read from there if that is all that there is.
 */
static bool read_range(const struct bh_chain *chain, bool erase,
                       struct virtio_blk_discard_write_zeroes *range)
{
    const size_t header = sizeof(struct virtio_blk_req_header);
    uint8_t *to = (uint8_t *)range;
    size_t left = sizeof(*range);

    if (chain->out_len == header + left)
        return bh_chain_read(chain, header, range, left) == left;
    if (!erase || chain->out_len != header || chain->in_len != left + 1)
        return false;
    for (const struct bh_seg *seg = chain->segs + chain->out_count; left;
         seg++) { /* in_len says it is there */
        const size_t some = seg->len < left ? seg->len : left;
        memcpy(to, seg->base, some);
        to += some;
        left -= some;
    }
    return true;
}

/* DISCARD, WRITE_ZEROES and SECURE_ERASE of one range: max_discard_seg and its kin are 1. */
static enum parsed parse_range(struct bh_blk *blk, struct bh_virtq *q, struct bh_blk_request *r,
                               enum bh_store_op op)
{
    struct virtio_blk_discard_write_zeroes range;
    const bool zeroes = op == BH_STORE_WRITE_ZEROES;
    unsigned feature = VIRTIO_BLK_F_DISCARD;
    bh_le32 limit = blk->config.max_discard_sectors;
    uint64_t *counter = &blk->counters.discards;

    if (zeroes) {
        feature = VIRTIO_BLK_F_WRITE_ZEROES;
        limit = blk->config.max_write_zeroes_sectors;
        counter = &blk->counters.write_zeroes;
    } else if (op == BH_STORE_SECURE_ERASE) {
        feature = VIRTIO_BLK_F_SECURE_ERASE;
        limit = blk->config.max_secure_erase_sectors;
        counter = &blk->counters.secure_erases;
    }
    if (!bh_device_has(&blk->dev, feature))
        return refuse(blk, q, r, VIRTIO_BLK_S_UNSUPP);
    if (!read_range(r->chain, op == BH_STORE_SECURE_ERASE, &range))
        return refuse(blk, q, r, VIRTIO_BLK_S_IOERR);

    uint64_t sector = bh_le64_get(range.sector);
    uint32_t sectors = bh_le32_get(range.num_sectors);
    uint32_t flags = bh_le32_get(range.flags);
    if (flags & ~(zeroes ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0))
        return refuse(blk, q, r, VIRTIO_BLK_S_UNSUPP);
    if (sectors > bh_le32_get(limit) || !in_capacity(blk, sector, sectors) || blk->read_only)
        return refuse(blk, q, r, VIRTIO_BLK_S_IOERR);
    ++*counter;
    if (sectors == 0) {
        answer(q, r, VIRTIO_BLK_S_OK, 0);
        return ANSWER;
    }
    r->store.op = (uint8_t)op;
    r->store.flags = zeroes && !blk->write_cache ? BH_STORE_DURABLE : 0;
    if (flags & VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP && blk->config.write_zeroes_may_unmap)
        r->store.flags |= BH_STORE_UNMAP;
    r->store.offset = sector * VIRTIO_BLK_SECTOR_SIZE;
    r->store.len = (uint64_t)sectors * VIRTIO_BLK_SECTOR_SIZE;
    return SUBMIT;
}

static enum parsed parse_id(struct bh_blk *blk, struct bh_virtq *q, struct bh_blk_request *r)
{
    uint32_t room = r->chain->in_len - 1;
    uint32_t len = room < VIRTIO_BLK_ID_BYTES ? room : VIRTIO_BLK_ID_BYTES;

    blk->counters.ids++;
    bh_chain_write(r->chain, 0, blk->settings.serial, len);
    answer(q, r, VIRTIO_BLK_S_OK, len);
    return ANSWER;
}

static enum parsed parse_lifetime(struct bh_blk *blk, struct bh_virtq *q, struct bh_blk_request *r)
{
    struct bh_chain *chain = r->chain;

    if (!bh_device_has(&blk->dev, VIRTIO_BLK_F_LIFETIME))
        return refuse(blk, q, r, VIRTIO_BLK_S_UNSUPP);
    if (chain->in_len - 1 < sizeof(struct virtio_blk_lifetime))
        return refuse(blk, q, r, VIRTIO_BLK_S_IOERR);
    blk->counters.lifetimes++;
    r->store.op = BH_STORE_LIFETIME;
    trim(r, chain->segs + chain->out_count, chain->in_count, 0, 1);
    r->data_in = sizeof(struct virtio_blk_lifetime);
    return SUBMIT;
}

/* Any request, from its header on. `r` has its status already. */
static __attribute__((noinline)) enum parsed
parse_any(struct bh_blk *blk, struct bh_virtq *q, struct bh_blk_request *r, uint32_t type, uint64_t sector)
{
    r->store.segs = NULL;
    r->store.seg_count = 0;
    r->store.flags = 0;
    r->store.offset = r->store.len = 0;
    r->data_in = 0;
    switch (type) {
    case VIRTIO_BLK_T_IN: return parse_io(blk, q, r, sector, NULL, false, false);
    case VIRTIO_BLK_T_OUT: return parse_io(blk, q, r, sector, NULL, true, false);
    case VIRTIO_BLK_T_FLUSH:
        blk->counters.flushes++;
        r->store.op = BH_STORE_FLUSH;
        return SUBMIT;
    case VIRTIO_BLK_T_GET_ID: return parse_id(blk, q, r);
    case VIRTIO_BLK_T_GET_LIFETIME: return parse_lifetime(blk, q, r);
    case VIRTIO_BLK_T_DISCARD: return parse_range(blk, q, r, BH_STORE_DISCARD);
    case VIRTIO_BLK_T_WRITE_ZEROES: return parse_range(blk, q, r, BH_STORE_WRITE_ZEROES);
    case VIRTIO_BLK_T_SECURE_ERASE: return parse_range(blk, q, r, BH_STORE_SECURE_ERASE);
    default: return refuse(blk, q, r, VIRTIO_BLK_S_UNSUPP);
    }
}

/* A header in pieces, or together with something else. */
static __attribute__((noinline)) enum parsed parse_odd(struct bh_blk *blk, struct bh_virtq *q,
                                                       struct bh_blk_request *r)
{
    struct virtio_blk_req_header header;

    if (bh_chain_read(r->chain, 0, &header, sizeof(header)) < sizeof(header))
        return refuse(blk, q, r, VIRTIO_BLK_S_IOERR);
    return parse_any(blk, q, r, bh_le32_get(header.type), bh_le64_get(header.sector));
}

/* Reads and writes whose header and status have segments of their own, as drivers lay them, are dealt with here. */
static inline enum parsed parse(struct bh_blk *blk, struct bh_virtq *q, struct bh_blk_request *r,
                                struct bh_chain *chain)
{
    struct bh_seg *in = chain->segs + chain->out_count;
    const struct bh_seg *last;
    const unsigned in_count = chain->in_count;
    uint64_t words[2]; /* type and a reserved word; sector */
    uint32_t type;

    r->trimmed = false;
    if (BH_UNLIKELY(in_count == 0)) {
        blk->counters.unanswerable++;
        return BROKEN;
    }
    last = in + in_count - 1;
    if (!BH_SPEED || BH_UNLIKELY(in == chain->segs) || BH_UNLIKELY(chain->segs->len != sizeof(words)) ||
        BH_UNLIKELY(last->len != 1)) {
        r->status = (uint8_t *)last->base + last->len - 1;
        return parse_odd(blk, q, r);
    }
    r->status = last->base;
    __builtin_memcpy(words, chain->segs->base, sizeof(words));
    /* The guest's bytes were loaded once: the compiler may not look at them again. */
    __asm__ volatile("" : "+r"(words[0]), "+r"(words[1]));
    type = (uint32_t)bh_le64_get((bh_le64){words[0]});
    words[1] = bh_le64_get((bh_le64){words[1]});
    if (BH_LIKELY(type == VIRTIO_BLK_T_IN))
        return parse_io(blk, q, r, words[1], in, false, true);
    if (BH_LIKELY(type == VIRTIO_BLK_T_OUT))
        return parse_io(blk, q, r, words[1], in, true, true);
    return parse_any(blk, q, r, type, words[1]);
}

void bh_blk_batch_parse(struct bh_blk *blk, struct bh_virtq *q, struct bh_chain *const *chains,
                        unsigned count, struct bh_blk_batch *batch)
{
    struct bh_blk_request *requests = blk->queues[q->index].requests;
    struct bh_store_req **link = &batch->submit;

    batch->answered_count = 0;
    batch->broken = false;
    for (unsigned i = 0; i < count; i++) {
        struct bh_blk_request *r = &requests[chains[i]->slot];
        enum parsed parsed = parse(blk, q, r, chains[i]);

        if (BH_UNLIKELY(parsed != SUBMIT)) {
            batch->broken |= parsed == BROKEN;
            batch->answered[batch->answered_count++] = chains[i];
            continue;
        }
        *link = &r->store;
        link = &r->store.next;
    }
    *link = NULL;
    batch->submit_count = count - batch->answered_count;
}

/* One that did not go well. */
static void fail(struct bh_blk *blk, struct bh_virtq *q, struct bh_blk_request *r, int result)
{
    /* A read that failed half-way may have written anywhere: none of it counts, all of it may be dirty. */
    for (unsigned i = 0; i < r->chain->in_count && r->data_in; i++) {
        const struct bh_seg *seg = &r->chain->segs[r->chain->out_count + i];
        bh_mem_dirty_seg(&q->view, seg->base, seg->len);
    }
    if (result == BH_ERR_UNSUPPORTED) {
        answer(q, r, VIRTIO_BLK_S_UNSUPP, 0);
        return;
    }
    blk->counters.io_errors++;
    if (result == BH_ERR_NOSPC)
        blk->counters.no_space++;
    answer(q, r, VIRTIO_BLK_S_IOERR, 0);
}

unsigned bh_blk_batch_finish(struct bh_blk *blk, struct bh_virtq *q, struct bh_store_req **done,
                             unsigned count, struct bh_chain **chains)
{
    unsigned finished = 0, rest = 0;
    const uint16_t index = q->index;

    for (unsigned i = 0; i < count; i++) {
        struct bh_blk_request *r = BH_CONTAINER(done[i], struct bh_blk_request, store);

        if (BH_UNLIKELY(r->queue != index)) {
            done[rest++] = done[i];
            continue;
        }
        if (BH_UNLIKELY(r->trimmed))
            untrim(r);
        chains[finished++] = r->chain;
        if (BH_LIKELY(r->store.result == BH_OK))
            answer(q, r, VIRTIO_BLK_S_OK, r->data_in);
        else
            fail(blk, q, r, r->store.result);
    }
    return finished;
}
