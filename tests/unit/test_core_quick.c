/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quick way through a chain (core/chain_quick.h) against the long one (core/chain_walk.c): whatever a driver writes,
 * both make the same chain of it, or refuse it for the same reason. Two queues see the same descriptors; one has hit the
 * region that they lie in before, the other is made to forget it before each pop. In a build for size both go the long way.
 *
 * Likewise IN_ORDER: chains that come back in turn are published at once, others are held; a model says which must be seen.
 */
#include "tests/unit/core_test.h"

enum { SIZE = 8, SEGS = 6, MOST = 5, CASES = 3000 };

#define TABLE (GUEST_DATA + 0x8000)

static struct ring quick, slow;
static uint64_t dice;

static unsigned pick(unsigned below)
{
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % below;
}

/* A buffer as most are, but for one in `odd`; its flags are the caller's. */
static struct buf some_buffer(unsigned odd)
{
    struct buf buf = {GUEST_DATA + 16ull * pick(64), 1 + pick(4096), 0};

    if (pick(odd) != 0)
        return buf;
    switch (pick(7)) {
    case 0: buf.len = 0; break;
    case 1: buf.len = UINT32_MAX; break;
    case 2: buf.addr = GUEST_BORDER - pick(64); break; /* into the next region, or all of it there */
    case 3: buf.addr = GUEST_BORDER + GUEST_MORE - pick(64); break;
    case 4: buf.addr = GUEST_BASE - pick(64); break;
    case 5: buf.addr = UINT64_MAX - pick(64); break;
    default: buf.addr += pick(16); break;
    }
    return buf;
}

/* Readable ones, then writable ones, mostly. */
static unsigned some_buffers(struct buf *bufs, unsigned odd)
{
    unsigned count = 1 + pick(MOST), writable_from = pick(count + 1);

    for (unsigned i = 0; i < count; i++) {
        bufs[i] = some_buffer(odd);
        if (pick(odd) == 0)
            bufs[i].flags = (uint16_t)(pick(2) ? pick(8) : 1u << pick(16));
        else if (i >= writable_from)
            bufs[i].flags = VIRTQ_DESC_F_WRITE;
    }
    return count;
}

static void write_table(const struct buf *bufs, unsigned count, uint64_t at)
{
    ring_write_table(&quick, bufs, count, at);
    ring_write_table(&slow, bufs, count, at);
}

/* Both rings, and only these, are written the same way. */
static void add(const struct buf *bufs, unsigned count)
{
    (void)ring_add(&quick, bufs, count);
    (void)ring_add(&slow, bufs, count);
}

static void add_some_chain(unsigned odd)
{
    struct buf bufs[MOST], head;
    unsigned count = some_buffers(bufs, odd);

    if (pick(4) == 0) {
        add(bufs, count);
        return;
    }
    head = (struct buf){TABLE, 16 * count, VIRTQ_DESC_F_INDIRECT};
    if (pick(odd) == 0) {
        switch (pick(4)) {
        case 0: head.addr += pick(16); break;
        case 1: head.len = pick(16 * MOST + 16); break;
        case 2: head.flags |= (uint16_t)(1u << pick(7)); break;
        default: head.addr = GUEST_BORDER - pick(64); break;
        }
    }
    write_table(bufs, count, head.addr);
    if (!quick.packed && pick(odd) == 0) { /* a link to somewhere else */
        uint64_t next = head.addr + 16ull * pick(count) + 14;
        uint8_t to = (uint8_t)pick(MOST + 2);

        *(uint8_t *)guest(&quick, next) = *(uint8_t *)guest(&slow, next) = to;
    }
    add(&head, 1);
}

/* Where it is for the guest: the same in both. */
static uint64_t guest_addr(const struct ring *r, const uint8_t *host)
{
    return host >= r->low && host < r->low + GUEST_SIZE ? GUEST_BASE + (uint64_t)(host - r->low)
                                                        : GUEST_BORDER + (uint64_t)(host - r->high);
}

static void expect_same(const struct bh_chain *a, const struct bh_chain *b)
{
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->out_count, b->out_count);
    assert_int_equal(a->in_count, b->in_count);
    assert_int_equal(a->out_len, b->out_len);
    assert_int_equal(a->in_len, b->in_len);
    assert_int_equal(a->desc_count, b->desc_count);
    assert_int_equal(a->mem_slots, b->mem_slots);
    assert_int_equal(a->written, 0);
    assert_int_equal(b->written, 0);
    for (unsigned i = 0; i < (unsigned)a->out_count + a->in_count; i++) {
        assert_int_equal(guest_addr(&quick, a->segs[i].base), guest_addr(&slow, b->segs[i].base));
        assert_int_equal(a->segs[i].len, b->segs[i].len);
    }
}

static void open_both(uint64_t features)
{
    ring_open(&quick, VERSION | features, SIZE, SIZE, SEGS);
    ring_open(&slow, VERSION | features, SIZE, SIZE, SEGS);
    ring_start(&quick);
    ring_start(&slow);
    add(&(struct buf){GUEST_DATA, 1, 0}, 1);
    for (struct ring *r = &quick;; r = &slow) { /* the region is hit */
        struct bh_chain *chain = pop_one(r);
        uint16_t id = chain->id;

        push_one(r, chain, 0);
        expect_used(r, id, 0);
        if (r == &slow)
            break;
    }
}

static void close_both(void)
{
    ring_close(&quick);
    ring_close(&slow);
}

/* Returns how many chains were good. */
static unsigned compare(uint64_t features, unsigned odd)
{
    unsigned good = 0;

    open_both(features);
    for (unsigned i = 0; i < CASES; i++) {
        struct bh_chain *a, *b;
        int count;
        uint16_t id, slots;
        uint32_t len;

        add_some_chain(odd);
        bh_mem_view_forget(&slow.q.view);
        count = bh_virtq_pop(&quick.q, &a, 1);
        assert_int_equal(bh_virtq_pop(&slow.q, &b, 1), count);
        if (count == 1) {
            expect_same(a, b);
            assert_memory_equal(quick.q.view.uses, slow.q.view.uses, sizeof(quick.q.view.uses));
            good++;
            slots = a->desc_count;
            push_one(&quick, a, 0);
            push_one(&slow, b, 0);
            assert_memory_equal(quick.q.view.uses, slow.q.view.uses, sizeof(quick.q.view.uses));
            assert_int_equal(quick.q.desc_in_flight, 0);
            if (slots == quick.taken[a->id] && ring_used(&quick, &id, &len) && ring_used(&slow, &id, &len))
                continue;
        }
        assert_int_equal(quick.broke, slow.broke);
        assert_int_equal(quick.reason, slow.reason);
        /* Broken, or longer than the driver's side of the rig knows, or not to be seen at all. */
        close_both();
        open_both(features);
    }
    close_both();
    return good;
}

static void both_ways_agree_on_what_drivers_write(void **state)
{
    EACH_LAYOUT(layout)
    {
        assert_true(compare(layout | INDIRECT, 1000) > CASES * 9 / 10);
    }
}

static void both_ways_agree_on_anything(void **state)
{
    EACH_LAYOUT(layout)
    {
        unsigned good = compare(layout | INDIRECT, 6);

        assert_true(good > CASES / 4 && good < CASES * 3 / 4);
        (void)compare(layout, 6);
    }
}

/* Chains that were popped, oldest first. */
struct window {
    struct bh_chain *chain[SIZE];
    uint16_t id[SIZE];
    uint32_t len[SIZE];
    bool pushed[SIZE];
    unsigned count;
};

static void push_some(struct ring *r, struct window *w)
{
    struct bh_chain *chains[SIZE];
    unsigned count = 0, first = pick(2) ? 0 : pick(w->count + 1), most = 1 + pick(SIZE);

    for (unsigned i = first; i < w->count && count < most; i++) {
        if (w->pushed[i] || pick(8) == 0)
            continue;
        w->pushed[i] = true;
        w->chain[i]->written = w->len[i] = pick(65);
        chains[count++] = w->chain[i];
    }
    for (unsigned i = 0; count > 1 && i < 2 && pick(3) == 0; i++) { /* not even one behind the other */
        unsigned a = pick(count), b = pick(count);
        struct bh_chain *chain = chains[a];

        chains[a] = chains[b];
        chains[b] = chain;
    }
    bh_virtq_push(&r->q, chains, count);
}

static void expect_prefix(struct ring *r, struct window *w)
{
    unsigned seen = 0;
    uint16_t id;
    uint32_t len;

    for (; seen < w->count && w->pushed[seen]; seen++)
        expect_used(r, w->id[seen], w->len[seen]);
    assert_false(ring_used(r, &id, &len));
    for (unsigned i = seen; i < w->count; i++) {
        w->chain[i - seen] = w->chain[i];
        w->id[i - seen] = w->id[i];
        w->len[i - seen] = w->len[i];
        w->pushed[i - seen] = w->pushed[i];
    }
    w->count -= seen;
    assert_int_equal(r->q.in_flight, w->count);
}

static void in_order_is_kept_whatever_the_order_of_pushes(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct window w = {.count = 0};
        struct ring r;

        ring_open(&r, VERSION | IN_ORDER | layout, SIZE, SIZE, 2);
        ring_start(&r);
        for (unsigned turn = 0; turn < 5000; turn++) {
            int count;

            for (unsigned i = pick(SIZE + 1); i > 0 && r.free_count > 0; i--)
                (void)ring_add_in(&r, 64);
            count = bh_virtq_pop(&r.q, w.chain + w.count, 1 + pick(SIZE));
            assert_true(count >= 0);
            for (int i = 0; i < count; i++, w.count++) {
                w.id[w.count] = w.chain[w.count]->id;
                w.pushed[w.count] = false;
            }
            push_some(&r, &w);
            expect_prefix(&r, &w);
        }
        assert_true(r.q.counters.chains > 5000);
        ring_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ways_agree_on_what_drivers_write),
        cmocka_unit_test(both_ways_agree_on_anything),
        cmocka_unit_test(in_order_is_kept_whatever_the_order_of_pushes),
    };

    return cmocka_run_group_tests_name("quick", tests, NULL, NULL);
}
