/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which descriptor chains are valid (core/chain_walk.c), every reason to refuse one, pending translations at each
 * place, and the copies and slices of core/chain.c.
 */
#include "tests/unit/core_test.h"

#define W  VIRTQ_DESC_F_WRITE
#define IN VIRTQ_DESC_F_INDIRECT

static struct ring r;

static void open_ring(uint64_t features, uint16_t size, uint16_t segs)
{
    ring_open(&r, VERSION | features, size, size, segs);
    ring_start(&r);
}

static struct virtq_desc *descs(void)
{
    return guest(&r, GUEST_DESC);
}

static void refused(uint64_t features, const struct buf *bufs, unsigned count, enum bh_broken reason)
{
    open_ring(features, 8, 4);
    ring_add(&r, bufs, count);
    expect_broken(&r, reason);
    assert_int_equal(r.q.in_flight, 0);
    ring_close(&r);
}

static void table_refused(uint64_t features, const struct buf *bufs, unsigned count, enum bh_broken reason)
{
    open_ring(features, 8, 4);
    ring_add_indirect(&r, bufs, count, GUEST_DATA + 0x8000);
    expect_broken(&r, reason);
    ring_close(&r);
}

static void bad_direct_chains_are_refused(void **state)
{
    EACH_LAYOUT(layout)
    {
        const uint64_t d = GUEST_DATA;

        refused(layout, (struct buf[]){{d, 4, W}, {d, 4, 0}}, 2, BH_BROKEN_ORDER);
        refused(layout, (struct buf[]){{d, 0, W}}, 1, BH_BROKEN_CHAIN_EMPTY);
        refused(layout, (struct buf[]){{d, 1, 0}, {d, 1, 0}, {d, 1, 0}, {d, 1, 0}, {d, 1, 0}}, 5,
                BH_BROKEN_CHAIN_LONG);
        refused(layout, (struct buf[]){{GUEST_BASE - 1, 2, 0}}, 1, BH_BROKEN_FAULT);
        refused(layout, (struct buf[]){{GUEST_BORDER + GUEST_MORE - 1, 2, 0}}, 1, BH_BROKEN_FAULT);
        refused(layout, (struct buf[]){{UINT64_MAX, 2, 0}}, 1, BH_BROKEN_FAULT);
        refused(layout, (struct buf[]){{d, 16, IN}}, 1, BH_BROKEN_INDIRECT); /* not negotiated */
    }
}

static void buffers_not_to_be_written_are_refused(void **state)
{
    EACH_LAYOUT(layout)
    {
        open_ring(layout, 8, 4);
        r.regions[1].access = BH_MEM_READ;
        ring_add(&r, (struct buf[]){{GUEST_BORDER, 4, 0}}, 1);
        pop_one(&r);
        ring_add(&r, (struct buf[]){{GUEST_BORDER, 4, W}}, 1);
        expect_broken(&r, BH_BROKEN_FAULT);
        ring_close(&r);
    }
}

static void bad_tables_are_refused(void **state)
{
    EACH_LAYOUT(layout)
    {
        const uint64_t f = layout | INDIRECT, d = GUEST_DATA;
        const struct buf odd = {d, 24, IN}, none = {d, 0, IN}, gone = {8, 16, IN},
                         round = {UINT64_MAX - 7, 16, IN}, with_next[] = {{d, 16, IN}, {d, 4, 0}};

        refused(f, &odd, 1, BH_BROKEN_INDIRECT);
        refused(f, &none, 1, BH_BROKEN_CHAIN_EMPTY);
        refused(f, &gone, 1, BH_BROKEN_RING_FAULT);
        refused(f, &round, 1, BH_BROKEN_RING_FAULT);
        refused(f, with_next, 2, BH_BROKEN_INDIRECT);
        table_refused(f, (struct buf[]){{d, 4, W}, {d, 4, 0}}, 2, BH_BROKEN_ORDER);
        table_refused(f, (struct buf[]){{d, 0, 0}}, 1, BH_BROKEN_CHAIN_EMPTY);
        table_refused(f, (struct buf[]){{3, 4, 0}}, 1, BH_BROKEN_FAULT);
        table_refused(f, (struct buf[]){{d, 1, 0}, {d, 1, 0}, {d, 1, 0}, {d, 1, 0}, {d, 1, 0}}, 5,
                      BH_BROKEN_CHAIN_LONG);
    }
    table_refused(INDIRECT, (struct buf[]){{GUEST_DATA, 16, IN}}, 1, BH_BROKEN_INDIRECT); /* nested */
}

static void chain_of_four_gibibytes_is_refused(void **state)
{
    /* One region of the guest as large as a table can say, though we never touch the bytes. */
    EACH_LAYOUT(layout)
    {
        struct bh_mem_region huge = {bh_daddr(1ull << 40), 1ull << 33, NULL, bh_uaddr(0), 2, 3};
        struct bh_mem_region regions[3];
        struct bh_mem_table table = {regions, 3};

        open_ring(layout | INDIRECT, 8, 4);
        regions[0] = r.regions[0];
        regions[1] = r.regions[1];
        regions[2] = huge;
        regions[2].host = r.low;
        bh_mem_publish(&r.mem, &table);
        ring_add(&r, (struct buf[]){{1ull << 40, UINT32_MAX - 1, 0}, {1ull << 40, 1, W}}, 2);
        assert_int_equal(pop_one(&r)->out_len, UINT32_MAX - 1);
        ring_write_table(&r, (struct buf[]){{1ull << 40, UINT32_MAX, 0}}, 1, GUEST_BASE + 0x8000);
        ring_add(&r, (struct buf[]){{(1ull << 40) + 0x8000, 16, IN}}, 1); /* the same bytes for us */
        assert_int_equal(pop_one(&r)->out_len, UINT32_MAX);
        ring_write_table(&r, (struct buf[]){{1ull << 40, UINT32_MAX - 1, 0}, {1ull << 40, 2, W}}, 2,
                         GUEST_BASE + 0x8000);
        if (layout)
            ring_add(&r, (struct buf[]){{(1ull << 40) + 0x8000, 32, IN}}, 1);
        else
            ring_add(&r, (struct buf[]){{1ull << 40, UINT32_MAX - 1, 0}, {1ull << 40, 2, W}}, 2);
        expect_broken(&r, BH_BROKEN_CHAIN_BYTES);
        ring_close(&r);
    }
}

static void split_heads_and_links_outside_the_table_are_refused(void **state)
{
    uint16_t *avail;

    open_ring(0, 8, 16);
    avail = guest(&r, GUEST_DRIVER);
    avail[2] = 8;
    avail[1] = 1;
    expect_broken(&r, BH_BROKEN_HEAD_RANGE);
    ring_close(&r);

    open_ring(0, 8, 16);
    avail = guest(&r, GUEST_DRIVER);
    avail[1] = 9;
    expect_broken(&r, BH_BROKEN_AVAIL_INDEX);
    ring_close(&r);

    open_ring(0, 8, 16);
    ring_add_in(&r, 4);
    pop_one(&r);
    avail = guest(&r, GUEST_DRIVER);
    avail[3] = avail[2];
    avail[1] = 2;
    expect_broken(&r, BH_BROKEN_HEAD_IN_FLIGHT);
    ring_close(&r);

    open_ring(0, 8, 16);
    ring_add(&r, (struct buf[]){{GUEST_DATA, 4, 0}, {GUEST_DATA, 4, 0}}, 2);
    descs()[((uint16_t *)guest(&r, GUEST_DRIVER))[2]].next.raw = 8;
    expect_broken(&r, BH_BROKEN_NEXT_RANGE);
    ring_close(&r);

    open_ring(0, 8, 16); /* a loop, where more segments than descriptors would fit */
    ring_add(&r, (struct buf[]){{GUEST_DATA, 4, 0}, {GUEST_DATA, 4, 0}}, 2);
    for (unsigned i = 0; i < 8; i++) {
        descs()[i].flags.raw |= VIRTQ_DESC_F_NEXT;
        descs()[i].addr.raw = GUEST_DATA;
        descs()[i].len.raw = 1;
    }
    expect_broken(&r, BH_BROKEN_CHAIN_LONG);
    ring_close(&r);
}

static void split_table_links_outside_or_in_a_circle_are_refused(void **state)
{
    struct virtq_desc *table;

    for (unsigned circle = 0; circle < 2; circle++) {
        open_ring(INDIRECT, 8, 16);
        ring_add_indirect(&r, (struct buf[]){{GUEST_DATA, 4, 0}, {GUEST_DATA, 4, 0}}, 2, GUEST_DATA + 0x8000);
        table = guest(&r, GUEST_DATA + 0x8000);
        table[0].next.raw = circle ? 0 : 2;
        expect_broken(&r, circle ? BH_BROKEN_CHAIN_LONG : BH_BROKEN_NEXT_RANGE);
        ring_close(&r);
    }
}

/* WRITE and WRITE are not INDIRECT: wherever in the table it stands, and whatever stands before. */
static void table_in_a_split_table_is_refused_at_each_place(void **state)
{
    struct buf bufs[4];

    for (unsigned at = 0; at < 4; at++) {
        for (unsigned writable_from = 0; writable_from <= at; writable_from++) {
            for (unsigned i = 0; i < 4; i++)
                bufs[i] = (struct buf){GUEST_DATA + 64ull * i, 16, i < writable_from ? 0 : W};
            bufs[at].flags = VIRTQ_DESC_F_INDIRECT;
            open_ring(INDIRECT, 8, 16);
            ring_add(&r, (struct buf[]){{GUEST_DATA, 4, 0}}, 1); /* the region is the one hit last */
            ring_write_table(&r, bufs, 4, GUEST_DATA + 0x8000);
            ring_add(&r, (struct buf[]){{GUEST_DATA + 0x8000, 64, IN}}, 1);
            pop_one(&r);
            expect_broken(&r, BH_BROKEN_INDIRECT);
            ring_close(&r);
        }
    }
}

static void packed_ring_made_available_behind_our_back_is_refused(void **state)
{
    struct pvirtq_desc *ring;

    /* A chain without end. */
    open_ring(PACKED, 5, 16);
    ring = guest(&r, GUEST_DESC);
    for (unsigned i = 0; i < 5; i++)
        ring[i] = (struct pvirtq_desc){{GUEST_DATA}, {1}, {0}, {VIRTQ_DESC_F_NEXT | VIRTQ_DESC_F_AVAIL}};
    expect_broken(&r, BH_BROKEN_CHAIN_LONG);
    ring_close(&r);

    /* Slots in flight made available once more. */
    open_ring(PACKED, 5, 16);
    ring = guest(&r, GUEST_DESC);
    ring_add(&r, (struct buf[]){{GUEST_DATA, 1, 0}, {GUEST_DATA, 1, 0}, {GUEST_DATA, 1, W}}, 3);
    ring_add(&r, (struct buf[]){{GUEST_DATA, 1, 0}, {GUEST_DATA, 1, 0}}, 2);
    pop_one(&r);
    pop_one(&r);
    ring[0].flags.raw = VIRTQ_DESC_F_USED;
    expect_broken(&r, BH_BROKEN_AVAIL_INDEX);
    ring_close(&r);

    /* The table must be alone in its list [virtio-1.4 2.8.5]. */
    refused(PACKED | INDIRECT, (struct buf[]){{GUEST_DATA, 4, 0}, {GUEST_DATA, 16, IN}}, 2,
            BH_BROKEN_INDIRECT);
}

static void packed_buffer_id_is_handed_back_as_it_came(void **state)
{
    struct pvirtq_desc *ring;
    struct bh_chain *chain;

    open_ring(PACKED, 4, 4);
    ring = guest(&r, GUEST_DESC);
    ring_add_in(&r, 4);
    ring[0].id.raw = 0xfffe;
    chain = pop_one(&r);
    push_one(&r, chain, 3);
    assert_int_equal(ring[0].id.raw, 0xfffe);
    assert_int_equal(ring[0].len.raw, 3);
    assert_int_equal(ring[0].flags.raw, VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED | W);
    ring_add_in(&r, 4);
    push_one(&r, pop_one(&r), 0);
    assert_int_equal(ring[1].flags.raw, VIRTQ_DESC_F_AVAIL | VIRTQ_DESC_F_USED);
    ring_close(&r);
}

static void split_ring_is_never_written_by_the_device(void **state)
{
    uint8_t table[128], avail[22];

    open_ring(EVENT, 8, 4);
    for (unsigned i = 0; i < 8; i++)
        ring_add_in(&r, 4);
    memcpy(table, guest(&r, GUEST_DESC), sizeof(table));
    memcpy(avail, guest(&r, GUEST_DRIVER), sizeof(avail));
    for (unsigned i = 0; i < 8; i++)
        push_one(&r, pop_one(&r), 4);
    bh_virtq_arm(&r.q);
    bh_virtq_stop(&r.q);
    assert_memory_equal(table, guest(&r, GUEST_DESC), sizeof(table));
    assert_memory_equal(avail, guest(&r, GUEST_DRIVER), sizeof(avail));
    ring_close(&r);
}

/* All four values of AVAIL and USED, in both laps: one means available. */
static void packed_descriptor_of_the_former_lap_is_not_available(void **state)
{
    for (unsigned wrap = 0; wrap < 2; wrap++) {
        for (unsigned bits = 0; bits < 4; bits++) {
            const uint16_t flags =
                (uint16_t)((bits & 1 ? VIRTQ_DESC_F_AVAIL : 0) | (bits & 2 ? VIRTQ_DESC_F_USED : 0));
            struct pvirtq_desc *ring;
            struct bh_chain *chain;

            ring_open(&r, VERSION | PACKED, 4, 4, 4);
            r.setup.state.avail_wrap = r.setup.state.used_wrap = wrap;
            ring_start(&r);
            ring = guest(&r, GUEST_DESC);
            ring[0] = (struct pvirtq_desc){{GUEST_DATA}, {1}, {0}, {flags}};
            assert_int_equal(bh_virtq_pop(&r.q, &chain, 1), bits == (wrap ? 1u : 2u));
            ring_close(&r);
        }
    }
}

/* Tables at every alignment, and so that each of their bytes lies once on the border between two regions. */
static void indirect_table_may_lie_anywhere(void **state)
{
    EACH_LAYOUT(layout)
    {
        const struct buf bufs[] = {{GUEST_DATA, 5, 0}, {GUEST_DATA + 64, 6, 0}, {GUEST_DATA + 128, 7, W}};

        for (unsigned shift = 0; shift <= 48; shift++) {
            struct bh_chain *chain;

            open_ring(layout | INDIRECT, 8, 4);
            ring_add_indirect(&r, bufs, 3, GUEST_BORDER - shift);
            chain = pop_one(&r);
            assert_int_equal(chain->out_count, 2);
            assert_int_equal(chain->in_count, 1);
            assert_int_equal(chain->out_len, 11);
            assert_int_equal(chain->in_len, 7);
            assert_ptr_equal(chain->segs[2].base, guest(&r, GUEST_DATA + 128));
            ring_close(&r);
        }
    }
}

static void indirect_chain_may_be_longer_than_the_queue(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct buf bufs[130];

        for (unsigned i = 0; i < 130; i++)
            bufs[i] = (struct buf){GUEST_DATA + i, 1, i < 100 ? 0 : W};
        open_ring(layout | INDIRECT, 4, 130);
        ring_add_indirect(&r, bufs, 130, GUEST_DATA + 0x8000);
        assert_int_equal(pop_one(&r)->out_count, 100);
        ring_close(&r);
    }
}

static void split_table_may_end_a_direct_chain(void **state)
{
    struct bh_chain *chain;
    const struct buf table[] = {{GUEST_DATA, 3, 0}, {GUEST_DATA, 4, W}};
    const struct buf bufs[] = {{GUEST_DATA, 1, 0}, {GUEST_DATA, 2, 0}, {GUEST_DATA + 0x8000, 32, IN | W}};

    open_ring(INDIRECT, 8, 4);
    ring_write_table(&r, table, 2, GUEST_DATA + 0x8000);
    ring_add(&r, bufs, 3);
    chain = pop_one(&r);
    assert_int_equal(chain->out_len, 6);
    assert_int_equal(chain->in_len, 4);
    ring_close(&r);
}

static void packed_table_flags_beyond_write_are_ignored(void **state)
{
    const struct buf bufs[] = {{GUEST_DATA, 3, IN | VIRTQ_DESC_F_NEXT}, {GUEST_DATA, 4, 0xfff8 | W}};

    open_ring(PACKED | INDIRECT, 8, 4);
    ring_add_indirect(&r, bufs, 2, GUEST_DATA + 0x8000);
    assert_int_equal(pop_one(&r)->in_len, 4);
    ring_close(&r);
}

static void buffer_across_regions_gives_two_segments(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_chain *chain;
        char got[32];

        open_ring(layout, 8, 4);
        memset(guest(&r, GUEST_BORDER - 10), 'a', 10);
        memset(guest(&r, GUEST_BORDER), 'b', 20);
        ring_add(&r, (struct buf[]){{GUEST_BORDER - 10, 30, 0}, {GUEST_BORDER - 1, 2, W}}, 2);
        chain = pop_one(&r);
        assert_int_equal(chain->out_count, 2);
        assert_int_equal(chain->in_count, 2);
        assert_int_equal(chain->mem_slots, 3);
        assert_int_equal(bh_chain_read(chain, 8, got, 32), 22);
        assert_memory_equal(got, "aabbbb", 6);
        ring_close(&r);
    }
}

/* Memory behind ops: the n-th translation is pending, n = 1.. until the pop passes without one. */
static unsigned translations, pending_at, mapped;

static enum bh_mem_result slow_translate(struct bh_mem *mem, const struct bh_mem_table *table,
                                         bh_daddr_t addr, uint64_t len, unsigned access,
                                         struct bh_mem_span *span)
{
    if (++translations == pending_at)
        return BH_MEM_PENDING;
    for (unsigned i = 0; i < 2; i++) {
        const struct bh_mem_region *m = &table->regions[i];
        uint64_t offset = addr.raw - m->base.raw;

        if (offset < m->size) {
            *span = (struct bh_mem_span){m->host + offset, len < m->size - offset ? len : m->size - offset,
                                         m->slot};
            mapped++;
            return BH_MEM_HERE;
        }
    }
    return BH_MEM_FAULT;
}

static void slow_release(struct bh_mem *mem, const struct bh_seg *segs, unsigned count)
{
    assert_true(mapped >= count);
    mapped -= count;
}

static const struct bh_mem_ops slow_ops = {slow_translate, slow_release};

static void pending_pop_consumes_nothing_wherever_it_waits(void **state)
{
    EACH_LAYOUT(layout)
    {
        const struct buf bufs[] = {{GUEST_DATA, 5, 0}, {GUEST_BORDER - 3, 6, W}};
        unsigned n = 0, waits = 0;
        struct bh_chain *chain;

        do {
            unsigned before, rings;
            int result;

            ring_open(&r, VERSION | INDIRECT | layout, 8, 4, 4);
            r.mem.ops = &slow_ops;
            mapped = 0;
            pending_at = 0;
            ring_start(&r);
            rings = mapped;
            assert_int_equal(rings, 3);
            ring_add_indirect(&r, bufs, 2, GUEST_BORDER + 0x1000);
            translations = 0;
            pending_at = ++n;
            result = bh_virtq_pop(&r.q, &chain, 1);
            before = translations;
            if (result == BH_ERR_PENDING) {
                waits++;
                assert_int_equal(r.q.in_flight, 0);
                assert_int_equal(r.q.counters.pending, 1);
                assert_int_equal(mapped, rings);
                assert_int_equal(bh_virtq_pop(&r.q, &chain, 1), 1);
            } else {
                assert_int_equal(result, 1);
                assert_true(before < n);
                n = 0;
            }
            assert_int_equal(chain->in_len, 6);
            push_one(&r, chain, 6);
            assert_int_equal(mapped, rings);
            bh_virtq_stop(&r.q);
            assert_int_equal(mapped, 0);
            ring_close(&r);
        } while (n != 0);
        assert_int_equal(waits, 4); /* the table, the first buffer, two pieces of the second */
    }
}

static void pending_rings_change_nothing_at_start(void **state)
{
    EACH_LAYOUT(layout)
    {
        for (unsigned n = 1; n <= 3; n++) {
            ring_open(&r, VERSION | layout, 8, 4, 4);
            r.mem.ops = &slow_ops;
            translations = mapped = 0;
            pending_at = n;
            assert_int_equal(bh_virtq_start(&r.q, &r.setup, &r.features), BH_ERR_PENDING);
            assert_int_equal(translations, 3); /* what is missing is asked for at once */
            assert_int_equal(mapped, 0);
            assert_int_equal(r.q.life, BH_VIRTQ_STOPPED);
            ring_start(&r);
            ring_close(&r);
        }
    }
}

static void ring_in_two_pieces_is_refused_and_let_go(void **state)
{
    EACH_LAYOUT(layout)
    {
        ring_open(&r, VERSION | layout, 8, 4, 4);
        r.mem.ops = &slow_ops;
        mapped = pending_at = 0;
        r.setup.desc = bh_daddr(GUEST_BORDER - 64);
        assert_int_equal(bh_virtq_start(&r.q, &r.setup, &r.features), BH_ERR_FAULT);
        assert_int_equal(mapped, 0);
        ring_close(&r);
    }
}

static void pending_rings_after_a_new_table_leave_push_working(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_mem_table same;
        struct bh_chain *chain, *second;
        uint16_t id;

        ring_open(&r, VERSION | layout, 8, 4, 4);
        same = r.table;
        r.mem.ops = &slow_ops;
        mapped = pending_at = 0;
        ring_start(&r);
        id = ring_add_in(&r, 4);
        ring_add_in(&r, 5);
        chain = pop_one(&r);
        bh_mem_publish(&r.mem, &same);
        translations = 0;
        pending_at = 2;
        assert_int_equal(bh_virtq_pop(&r.q, &second, 1), BH_ERR_PENDING);
        push_one(&r, chain, 4);
        expect_used(&r, id, 4);
        assert_int_equal(pop_one(&r)->in_len, 5);
        ring_close(&r);
    }
}

static void slices_cut_at_any_offset(void **state)
{
    char bytes[30];
    struct bh_seg segs[5] = {{bytes, 3}, {bytes + 3, 7}, {bytes + 10, 10}, {bytes + 20, 5}, {bytes + 25, 5}};
    struct bh_chain chain = {.segs = segs, .out_count = 3, .in_count = 2, .out_len = 20, .in_len = 10};
    struct bh_seg to[3];

    for (unsigned i = 0; i < 30; i++)
        bytes[i] = (char)i;
    for (size_t at = 0; at <= 20; at++) {
        for (size_t len = 0; len <= 21 - at; len++) {
            char copy[32] = {0};
            int count = bh_chain_out_slice(&chain, at, len, to, 3);
            size_t sum = 0;

            if (at + len > 20) {
                assert_int_equal(count, BH_ERR_RANGE);
                continue;
            }
            for (int i = 0; i < count; i++) {
                assert_int_equal(*(char *)to[i].base, at + sum);
                sum += to[i].len;
            }
            assert_int_equal(sum, len);
            assert_int_equal(bh_chain_read(&chain, at, copy, len), len);
            assert_memory_equal(copy, bytes + at, len);
        }
    }
    assert_int_equal(bh_chain_out_slice(&chain, 1, 15, to, 2), BH_ERR_NOMEM);
    assert_int_equal(bh_chain_in_slice(&chain, 4, 3, to, 3), 2);
    assert_ptr_equal(to[0].base, bytes + 24);
    assert_int_equal(bh_chain_in_slice(&chain, 11, 0, to, 3), BH_ERR_RANGE);
    assert_int_equal(bh_chain_write(&chain, 4, "xyzxyzxyz", 9), 6);
    assert_int_equal(bytes[24], 'x');
    assert_int_equal(bytes[29], 'z');
    assert_int_equal(bh_chain_write(&chain, 10, "x", 1), 0);
    assert_int_equal(bh_chain_read(&chain, 20, bytes, 1), 0);
}

static void every_reason_has_a_text(void **state)
{
    for (unsigned i = 0; i < BH_BROKEN_COUNT; i++) {
        assert_true(strlen(bh_broken_text((enum bh_broken)i)) > 0);
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(bh_broken_text((enum bh_broken)i), bh_broken_text((enum bh_broken)k));
    }
    assert_string_equal(bh_broken_text(BH_BROKEN_COUNT), "unknown reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_direct_chains_are_refused),
        cmocka_unit_test(buffers_not_to_be_written_are_refused),
        cmocka_unit_test(bad_tables_are_refused),
        cmocka_unit_test(chain_of_four_gibibytes_is_refused),
        cmocka_unit_test(split_heads_and_links_outside_the_table_are_refused),
        cmocka_unit_test(split_table_links_outside_or_in_a_circle_are_refused),
        cmocka_unit_test(table_in_a_split_table_is_refused_at_each_place),
        cmocka_unit_test(packed_ring_made_available_behind_our_back_is_refused),
        cmocka_unit_test(packed_buffer_id_is_handed_back_as_it_came),
        cmocka_unit_test(split_ring_is_never_written_by_the_device),
        cmocka_unit_test(packed_descriptor_of_the_former_lap_is_not_available),
        cmocka_unit_test(indirect_table_may_lie_anywhere),
        cmocka_unit_test(indirect_chain_may_be_longer_than_the_queue),
        cmocka_unit_test(split_table_may_end_a_direct_chain),
        cmocka_unit_test(packed_table_flags_beyond_write_are_ignored),
        cmocka_unit_test(buffer_across_regions_gives_two_segments),
        cmocka_unit_test(pending_pop_consumes_nothing_wherever_it_waits),
        cmocka_unit_test(pending_rings_change_nothing_at_start),
        cmocka_unit_test(ring_in_two_pieces_is_refused_and_let_go),
        cmocka_unit_test(pending_rings_after_a_new_table_leave_push_working),
        cmocka_unit_test(slices_cut_at_any_offset),
        cmocka_unit_test(every_reason_has_a_text),
    };

    return cmocka_run_group_tests_name("chain", tests, NULL, NULL);
}
