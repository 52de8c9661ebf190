/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: tables, translation at every edge, views and what they hold, dirty marks.
 */
#include "tests/unit/core_test.h"

static uint8_t a[0x2000], b[0x1000], c[0x1000];
static const struct bh_mem_region regions[] = {
    {{0x1000}, sizeof(a), a, {0x700000}, 0, BH_MEM_READ | BH_MEM_WRITE},
    {{0x3000}, sizeof(b), b, {0x900000}, 1, BH_MEM_READ},
    {{UINT64_MAX - 0xfff}, sizeof(c), c, {0xa00000}, 40, BH_MEM_READ | BH_MEM_WRITE},
};
static const struct bh_mem_table table = {regions, 3};

static void table_check_finds_every_fault(void **state)
{
    struct bh_mem_region bad[2] = {{{0x1000}, 0x1000, a, {0}, 0, 3}, {{0x2000}, 0x1000, b, {0}, 1, 3}};
    const struct bh_mem_table t = {bad, 2};

    assert_int_equal(bh_mem_table_check(&table), BH_OK);
    assert_int_equal(bh_mem_table_check(&t), BH_OK);
    bad[1].base.raw = 0x1fff;
    assert_int_equal(bh_mem_table_check(&t), BH_ERR_INVAL);
    bad[1].base.raw = 0;
    assert_int_equal(bh_mem_table_check(&t), BH_ERR_INVAL);
    bad[1].base.raw = 0x2000;
    bad[1].size = 0;
    assert_int_equal(bh_mem_table_check(&t), BH_ERR_INVAL);
    bad[1].size = UINT64_MAX - 0x1000;
    assert_int_equal(bh_mem_table_check(&t), BH_ERR_INVAL);
    bad[1].size = 1;
    bad[1].host = NULL;
    assert_int_equal(bh_mem_table_check(&t), BH_ERR_INVAL);
}

static void translation_stops_at_each_edge(void **state)
{
    static const struct {
        uint64_t addr, len;
        unsigned access;
        enum bh_mem_result result;
        uint64_t got;
    } cases[] = {
        {0x1000, 1, BH_MEM_READ, BH_MEM_HERE, 1},
        {0xfff, 2, BH_MEM_READ, BH_MEM_FAULT, 0},
        {0x2fff, 1, BH_MEM_WRITE, BH_MEM_HERE, 1},
        {0x2fff, 2, BH_MEM_READ, BH_MEM_HERE, 1},
        {0x3000, 8, BH_MEM_READ, BH_MEM_HERE, 8},
        {0x3000, 8, BH_MEM_WRITE, BH_MEM_FAULT, 0},
        {0x3fff, 9, BH_MEM_READ, BH_MEM_HERE, 1},
        {0x4000, 1, BH_MEM_READ, BH_MEM_FAULT, 0},
        {UINT64_MAX, 1, BH_MEM_READ, BH_MEM_HERE, 1},
        {UINT64_MAX, 2, BH_MEM_READ, BH_MEM_FAULT, 0},
        {UINT64_MAX - 0xfff, 0x1000, BH_MEM_WRITE, BH_MEM_HERE, 0x1000},
        {UINT64_MAX - 0xfff, 0x1001, BH_MEM_WRITE, BH_MEM_FAULT, 0},
        {0x1000, UINT64_MAX, BH_MEM_READ, BH_MEM_FAULT, 0},
        {0x1000, 0, BH_MEM_READ, BH_MEM_FAULT, 0},
    };
    struct bh_mem_view view;
    struct bh_mem mem;

    bh_mem_init(&mem, NULL);
    bh_mem_view_init(&view, &mem);
    assert_int_equal(bh_mem_translate(&view, bh_daddr(0x1000), 1, 1, &(struct bh_mem_span){0}), BH_MEM_FAULT);
    bh_mem_publish(&mem, &table);
    assert_true(bh_mem_view_adopt(&view));
    assert_false(bh_mem_view_adopt(&view));
    /* Twice: with whatever region was hit last. */
    for (unsigned i = 0; i < 2 * BH_COUNT(cases); i++) {
        unsigned n = i % BH_COUNT(cases);
        struct bh_mem_span span = {0};

        assert_int_equal(
            bh_mem_translate(&view, bh_daddr(cases[n].addr), cases[n].len, cases[n].access, &span),
            cases[n].result);
        assert_int_equal(span.len, cases[n].got);
    }
    bh_mem_publish(&mem, NULL);
    assert_true(bh_mem_view_adopt(&view));
    assert_int_equal(bh_mem_translate(&view, bh_daddr(0x1000), 1, 1, &(struct bh_mem_span){0}), BH_MEM_FAULT);
}

static void user_addresses_become_descriptor_addresses(void **state)
{
    bh_daddr_t addr;

    assert_int_equal(bh_mem_from_user(&table, bh_uaddr(0x900010), 0xff0, &addr), BH_OK);
    assert_int_equal(addr.raw, 0x3010);
    assert_int_equal(bh_mem_from_user(&table, bh_uaddr(0x900010), 0xff1, &addr), BH_ERR_FAULT);
    assert_int_equal(bh_mem_from_user(&table, bh_uaddr(0x6fffff), 1, &addr), BH_ERR_FAULT);
    assert_int_equal(bh_mem_from_user(&table, bh_uaddr(UINT64_MAX), 2, &addr), BH_ERR_FAULT);
}

static void view_holds_by_table_and_by_chain(void **state)
{
    const struct bh_mem_table first = {regions, 1};
    struct bh_mem_view view;
    struct bh_mem mem;

    bh_mem_init(&mem, NULL);
    bh_mem_publish(&mem, &table);
    bh_mem_view_init(&view, &mem);
    bh_mem_view_use(&view, bh_mem_slot_bit(1) | bh_mem_slot_bit(40), 1);
    bh_mem_view_use(&view, bh_mem_slot_bit(31), 1);
    bh_mem_publish(&mem, &first);
    assert_true(bh_mem_view_holds(&view, &regions[2]));
    assert_true(bh_mem_view_adopt(&view));
    assert_true(bh_mem_view_holds(&view, &regions[0]));
    assert_true(bh_mem_view_holds(&view, &regions[1]));
    bh_mem_view_use(&view, bh_mem_slot_bit(1) | bh_mem_slot_bit(40), -1);
    assert_false(bh_mem_view_holds(&view, &regions[1]));
    assert_true(bh_mem_view_holds(&view, &regions[2])); /* slot 31 shares its count: late, never early */
    bh_mem_view_use(&view, bh_mem_slot_bit(31), -1);
    assert_false(bh_mem_view_holds(&view, &regions[2]));
}

static void dirty_marks_are_exact_to_the_page(void **state)
{
    uint8_t bits[6], expected[6];
    const struct bh_mem_log log = {bits, 4}; /* pages 0 to 31; two bytes more to see an overrun */
    struct bh_mem_view view;
    struct bh_mem mem;

    bh_mem_init(&mem, NULL);
    bh_mem_publish(&mem, &table);
    bh_mem_view_init(&view, &mem);
    bh_mem_dirty(&view, bh_daddr(0), 1); /* no log: nothing */
    bh_mem_set_log(&mem, &log);
    for (unsigned first = 0; first < 40; first++) {
        for (unsigned last = first; last < 42; last++) {
            memset(bits, 0, sizeof(bits));
            memset(expected, 0, sizeof(expected));
            for (unsigned page = first; page <= last && page < 32; page++)
                expected[page / 8] |= (uint8_t)(1u << page % 8);
            bh_mem_dirty(&view, bh_daddr(first * 4096ull + 4095), (last - first) * 4096ull + 1);
            assert_memory_equal(bits, expected, sizeof(bits));
        }
    }
    memset(bits, 0, sizeof(bits));
    bh_mem_dirty(&view, bh_daddr(0x1000), 0);
    bh_mem_dirty(&view, bh_daddr(UINT64_MAX), 2);
    bh_mem_dirty(&view, bh_daddr(UINT64_MAX - 1), 1);
    bh_mem_dirty_seg(&view, bits, 1); /* not guest memory */
    memset(expected, 0, sizeof(expected));
    assert_memory_equal(bits, expected, sizeof(bits));
    bh_mem_dirty_seg(&view, b + 1, 2);
    assert_int_equal(bits[0], 1 << 3);
}

/* What a queue writes: buffers, used entries, index, event fields. */
static void queue_marks_buffers_and_rings(void **state)
{
    EACH_LAYOUT(layout)
    {
        static uint8_t bits[(GUEST_BASE + GUEST_SIZE + GUEST_MORE) / 4096 / 8];
        const struct bh_mem_log log = {bits, sizeof(bits)};
        const struct buf high = {GUEST_BORDER, 4, VIRTQ_DESC_F_WRITE};
        struct bh_mem_table one;
        struct bh_chain *chain, *retired;
        struct ring r;
#define MARKED(addr) (bits[(addr) / 4096 / 8] >> (addr) / 4096 % 8 & 1)

        memset(bits, 0, sizeof(bits));
        ring_open(&r, VERSION | layout, 4, 4, 2);
        ring_start(&r);
        bh_mem_set_log(&r.mem, &log);
        ring_add(&r, &high, 1);
        ring_add(&r, (struct buf[]){{GUEST_DATA + 0x5000, 8, 0}, {GUEST_DATA, 8, 2}}, 2);
        retired = pop_one(&r);
        chain = pop_one(&r);
        assert_false(MARKED(GUEST_DATA));
        push_one(&r, chain, 1);
        assert_true(MARKED(GUEST_DATA));
        assert_false(MARKED(GUEST_DATA + 0x5000));
        assert_true(MARKED(layout ? GUEST_DESC : GUEST_DEVICE));
        assert_false(MARKED(GUEST_DRIVER));
        memset(bits, 0, sizeof(bits));
        bh_virtq_arm(&r.q);
        assert_true(MARKED(GUEST_DEVICE));
        one = (struct bh_mem_table){r.regions, 1};
        bh_mem_publish(&r.mem, &one);
        bh_virtq_adopt(&r.q);
        push_one(&r, retired, 4); /* its region has left; its pages are marked all the same */
        assert_true(MARKED(GUEST_BORDER));
        ring_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_check_finds_every_fault),
        cmocka_unit_test(translation_stops_at_each_edge),
        cmocka_unit_test(user_addresses_become_descriptor_addresses),
        cmocka_unit_test(view_holds_by_table_and_by_chain),
        cmocka_unit_test(dirty_marks_are_exact_to_the_page),
        cmocka_unit_test(queue_marks_buffers_and_rings),
    };

    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
