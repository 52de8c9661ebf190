/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue's life on both layouts: batches, sizes, wrap-around, stop, unpop, IN_ORDER, memory that changes.
 */
#include "tests/unit/core_test.h"

static void chain_goes_round_with_its_bytes(void **state)
{
    EACH_LAYOUT(layout)
    {
        const struct buf bufs[] = {
            {GUEST_DATA, 8, 0}, {GUEST_DATA + 0x1000, 4, 0}, {GUEST_DATA + 0x2000, 16, 2}};
        struct bh_chain *chain;
        struct ring r;
        uint16_t id;
        char got[12];

        ring_open(&r, VERSION | layout, 8, 4, 4);
        ring_start(&r);
        expect_none(&r);
        memcpy(guest(&r, GUEST_DATA), "12345678", 8);
        memcpy(guest(&r, GUEST_DATA + 0x1000), "abcd", 4);
        id = ring_add(&r, bufs, 3);
        assert_true(bh_virtq_has_work(&r.q));
        chain = pop_one(&r);
        assert_int_equal(chain->out_count, 2);
        assert_int_equal(chain->in_count, 1);
        assert_int_equal(chain->out_len, 12);
        assert_int_equal(chain->in_len, 16);
        assert_int_equal(chain->id, id);
        assert_int_equal(bh_chain_read(chain, 0, got, 12), 12);
        assert_memory_equal(got, "12345678abcd", 12);
        assert_int_equal(bh_chain_write(chain, 1, "xyz", 3), 3);
        assert_memory_equal((char *)guest(&r, GUEST_DATA + 0x2001), "xyz", 3);
        assert_false(bh_virtq_has_work(&r.q));
        push_one(&r, chain, 4);
        expect_used(&r, id, 4);
        assert_int_equal(r.notified, 1);
        assert_int_equal(r.q.counters.chains, 1);
        assert_int_equal(r.q.counters.bytes_out, 12);
        assert_int_equal(r.q.counters.bytes_in, 4);
        ring_close(&r);
    }
}

/* Chains of 1 to 3 descriptors, used in a shuffled order, over many laps, at every size from 1 to 17. */
static void run_size(uint64_t features, uint16_t size)
{
    struct bh_chain *open[17];
    unsigned open_count = 0, seed = size;
    uint32_t expected[17] = {0};
    struct ring r;

    ring_open(&r, features, size, size, 3);
    ring_start(&r);
    for (unsigned round = 0; round < 400; round++) {
        unsigned room = 0, taken = 0;

        for (unsigned i = 0; i < open_count; i++)
            taken += open[i]->desc_count;
        room = size - taken;
        while (room > 0) {
            unsigned count = 1 + (seed = seed * 1103515245u + 12345u) / 65536u % 3u;
            struct buf bufs[3];
            uint16_t id;

            if (count > room)
                count = room;
            for (unsigned i = 0; i < count; i++)
                bufs[i] = (struct buf){GUEST_DATA + 64 * i, 32 + i, VIRTQ_DESC_F_WRITE};
            id = ring_add(&r, bufs, count);
            expected[id] = 32 * count + (count - 1) * count / 2;
            room -= count;
        }
        open_count += (unsigned)bh_virtq_pop(&r.q, open + open_count, size);
        assert_int_equal(open_count, r.q.in_flight);
        for (unsigned pushes = 1 + seed % open_count; pushes > 0; pushes--) {
            unsigned at = (seed >> 8) % open_count;
            struct bh_chain *chain = open[at];
            uint16_t id = chain->id;

            assert_int_equal(chain->in_len, expected[id]);
            open[at] = open[--open_count];
            push_one(&r, chain, chain->in_len);
            expect_used(&r, id, expected[id]);
        }
    }
    assert_int_equal(r.broke, 0);
    ring_close(&r);
}

static void split_ring_runs_at_every_power_of_two(void **state)
{
    for (uint16_t size = 1; size <= 16; size = (uint16_t)(size * 2))
        run_size(VERSION, size);
}

static void packed_ring_wraps_at_odd_size(void **state)
{
    for (uint16_t size = 1; size <= 17; size++)
        run_size(VERSION | PACKED, size);
}

static void split_indices_wrap_at_65536(void **state)
{
    struct ring r;

    ring_open(&r, VERSION | EVENT, 4, 4, 1);
    r.setup.state.avail = r.setup.state.used = r.avail_at = r.used_at = 65533;
    ((uint16_t *)guest(&r, GUEST_DRIVER))[1] = 65533;
    ((uint16_t *)guest(&r, GUEST_DEVICE))[1] = 65533;
    ring_start(&r);
    for (unsigned i = 0; i < 8; i++) {
        uint16_t id = ring_add_in(&r, 10);

        push_one(&r, pop_one(&r), i);
        expect_used(&r, id, i);
    }
    assert_int_equal(bh_virtq_state(&r.q).used, 5);
    assert_int_equal(bh_virtq_state(&r.q).avail, 5);
    ring_close(&r);
}

static void largest_queue_holds_32768_chains(void **state)
{
    EACH_LAYOUT(layout)
    {
        static struct bh_chain *chains[BH_VIRTQ_SIZE_MAX];
        struct ring r;

        ring_open(&r, VERSION | layout, BH_VIRTQ_SIZE_MAX, BH_VIRTQ_SIZE_MAX, 1);
        ring_start(&r);
        for (unsigned i = 0; i < BH_VIRTQ_SIZE_MAX; i++)
            ring_add_in(&r, 4);
        assert_int_equal(bh_virtq_pop(&r.q, chains, BH_VIRTQ_SIZE_MAX), BH_VIRTQ_SIZE_MAX);
        expect_none(&r);
        bh_virtq_push(&r.q, chains, BH_VIRTQ_SIZE_MAX);
        assert_int_equal(r.notified, 1);
        assert_int_equal(r.q.in_flight, 0);
        assert_int_equal(bh_virtq_state(&r.q).used, layout ? 0 : 32768);
        assert_int_equal(bh_virtq_state(&r.q).used_wrap, layout ? 0 : 1);
        ring_close(&r);
    }
}

static void illegal_sizes_and_places_are_refused_at_start(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_virtq_setup good;
        struct ring r;

        ring_open(&r, VERSION | layout, 8, 4, 4);
        good = r.setup;
#define REFUSED(change, code)                                                                                \
    do {                                                                                                     \
        r.setup = good;                                                                                      \
        change;                                                                                              \
        assert_int_equal(bh_virtq_start(&r.q, &r.setup, &r.features), code);                                 \
    } while (0)
        REFUSED(r.setup.size = 0, BH_ERR_INVAL);
        REFUSED(r.setup.size = 16, BH_ERR_INVAL);
        if (!layout)
            REFUSED(r.setup.size = 6, BH_ERR_INVAL);
        else
            REFUSED(r.setup.state.avail = 8, BH_ERR_INVAL);
        REFUSED(r.setup.desc.raw += 8, BH_ERR_FAULT);
        REFUSED(r.setup.driver.raw += 1, BH_ERR_FAULT);
        REFUSED(r.setup.device.raw += 2, BH_ERR_FAULT);
        REFUSED(r.setup.desc.raw = GUEST_BORDER - 16, BH_ERR_FAULT); /* crosses from region to region */
        REFUSED(r.setup.driver.raw = 0, BH_ERR_FAULT);
        REFUSED(r.setup.device.raw = GUEST_BORDER + GUEST_MORE - 2, BH_ERR_FAULT);
        REFUSED(r.setup.device.raw = UINT64_MAX - 3, BH_ERR_FAULT);
        r.regions[0].access = BH_MEM_READ;
        REFUSED(r.setup = good, BH_ERR_FAULT);
        r.regions[0].access = 3;
        REFUSED(r.setup = good, BH_OK);
        REFUSED(r.setup = good, BH_ERR_BUSY);
        ring_close(&r);
    }
}

static void slots_limit_what_is_in_flight_and_warm_ones_come_first(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_chain *chains[4], *again;
        struct ring r;

        ring_open(&r, VERSION | layout, 8, 2, 2);
        ring_start(&r);
        for (unsigned i = 0; i < 4; i++)
            ring_add_in(&r, 4);
        assert_int_equal(bh_virtq_pop(&r.q, chains, 4), 2);
        assert_int_not_equal(chains[0]->slot, chains[1]->slot);
        expect_none(&r);
        assert_true(bh_virtq_has_work(&r.q));
        push_one(&r, chains[0], 0);
        again = pop_one(&r);
        assert_ptr_equal(again, chains[0]);
        ring_close(&r);
    }
}

static void stopped_queue_is_quiet_once_with_its_last_chain(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_chain *chains[2];
        struct ring r;

        ring_open(&r, VERSION | layout, 8, 4, 2);
        bh_virtq_stop(&r.q); /* never started: quiet at once */
        assert_int_equal(r.quiets, 1);
        ring_start(&r);
        for (unsigned i = 0; i < 3; i++)
            ring_add_in(&r, 4);
        assert_int_equal(bh_virtq_pop(&r.q, chains, 2), 2);
        bh_virtq_stop(&r.q);
        bh_virtq_stop(&r.q);
        expect_none(&r);
        assert_false(bh_virtq_has_work(&r.q));
        assert_false(bh_virtq_arm(&r.q));
        push_one(&r, chains[1], 0);
        assert_int_equal(r.quiets, 1);
        push_one(&r, chains[0], 0);
        assert_int_equal(r.quiets, 2);
        assert_int_equal(r.q.life, BH_VIRTQ_STOPPED);
        for (unsigned i = 0; i < BH_MEM_SLOTS; i++)
            assert_int_equal(r.q.view.uses[i], 0);
        /* And goes on where it stood. */
        r.setup.state = bh_virtq_state(&r.q);
        ring_start(&r);
        pop_one(&r);
        ring_close(&r);
    }
}

static void stop_in_notify(struct ring *r)
{
    bh_virtq_stop(&r->q);
}

static void start_in_quiet(struct ring *r)
{
    r->on_notify = NULL;
    r->on_quiet = NULL;
    r->setup.state = bh_virtq_state(&r->q);
    ring_start(r);
}

static void owner_may_stop_in_notify_and_start_in_quiet(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct ring r;

        ring_open(&r, VERSION | layout, 4, 4, 2);
        ring_start(&r);
        r.on_notify = stop_in_notify;
        r.on_quiet = start_in_quiet;
        ring_add_in(&r, 4);
        r.q.watched = true;
        push_one(&r, pop_one(&r), 0);
        assert_int_equal(r.quiets, 1);
        assert_true(bh_virtq_running(&r.q));
        assert_int_equal(r.pushes, 1);
        assert_false(r.q.watched);
        ring_add_in(&r, 4);
        push_one(&r, pop_one(&r), 0);
        assert_int_equal(r.quiets, 1);
        assert_int_equal(r.pushes, 1);
        ring_close(&r);
    }
}

static void unpopped_chains_come_again_in_order(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_chain *chains[5];
        uint16_t ids[5];
        struct ring r;

        ring_open(&r, VERSION | layout, 5 - !layout, 5, 2);
        ring_start(&r);
        for (unsigned lap = 0; lap < 9; lap++) {
            for (unsigned i = 0; i < 4; i++)
                ids[i] = ring_add_in(&r, 4 + i);
            assert_int_equal(bh_virtq_pop(&r.q, chains, 5), 4);
            push_one(&r, chains[0], 1); /* an older one is pushed in between */
            bh_virtq_unpop(&r.q, 2);
            assert_int_equal(r.q.in_flight, 1);
            assert_int_equal(bh_virtq_pop(&r.q, chains + 2, 5), 2);
            assert_int_equal(chains[2]->id, ids[2]);
            assert_int_equal(chains[3]->id, ids[3]);
            assert_int_equal(r.q.counters.chains, 4 * lap + 4);
            bh_virtq_push(&r.q, chains + 1, 3);
            expect_used(&r, ids[0], 1);
            for (unsigned i = 1; i < 4; i++)
                expect_used(&r, ids[i], 0);
        }
        ring_add_in(&r, 4);
        pop_one(&r);
        bh_virtq_stop(&r.q);
        assert_int_equal(r.quiets, 0);
        bh_virtq_unpop(&r.q, 1);
        assert_int_equal(r.quiets, 1);
        ring_close(&r);
    }
}

static void in_order_holds_back_what_comes_too_early(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_chain *chains[64];
        uint16_t ids[64], id;
        uint32_t len;
        struct ring r;

        ring_open(&r, VERSION | IN_ORDER | layout, 64, 64, 2);
        ring_start(&r);
        for (unsigned lap = 0; lap < 3; lap++) {
            for (unsigned i = 0; i < 64; i++)
                ids[i] = ring_add_in(&r, 100);
            assert_int_equal(bh_virtq_pop(&r.q, chains, 64), 64);
            for (unsigned i = 63; i > 0; i--) {
                push_one(&r, chains[i], i);
                assert_false(ring_used(&r, &id, &len));
            }
            push_one(&r, chains[0], 0);
            for (unsigned i = 0; i < 64; i++)
                expect_used(&r, ids[i], i);
            assert_int_equal(r.q.in_flight, 0);
        }
        ring_close(&r);
    }
}

static void broken_queue_frees_what_was_held_back_and_becomes_quiet(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_chain *chains[3];
        struct ring r;

        ring_open(&r, VERSION | IN_ORDER | layout, 4, 4, 2);
        ring_start(&r);
        for (unsigned i = 0; i < 3; i++)
            ring_add_in(&r, 4);
        assert_int_equal(bh_virtq_pop(&r.q, chains, 3), 3);
        push_one(&r, chains[1], 0);
        assert_int_equal(r.q.in_flight, 3);
        bh_virtq_break(&r.q, BH_BROKEN_CLASS);
        bh_virtq_break(&r.q, BH_BROKEN_CLASS);
        assert_int_equal(r.broke, 1);
        assert_int_equal(r.q.counters.broken[BH_BROKEN_CLASS], 2);
        assert_int_equal(r.q.in_flight, 2);
        assert_false(bh_virtq_running(&r.q));
        bh_virtq_stop(&r.q);
        push_one(&r, chains[2], 0);
        push_one(&r, chains[0], 0);
        assert_int_equal(r.quiets, 1);
        assert_int_equal(r.notified, 0);
        r.setup.state = BH_VIRTQ_STATE_INITIAL;
        ring_start(&r); /* a reset mends it */
        assert_true(bh_virtq_running(&r.q));
        ring_close(&r);
    }
}

static void good_chains_before_a_bad_one_are_served(void **state)
{
    EACH_LAYOUT(layout)
    {
        const struct buf bad = {0, 4, 0};
        struct bh_chain *chains[4];
        struct ring r;

        ring_open(&r, VERSION | layout, 4, 4, 2);
        ring_start(&r);
        ring_add_in(&r, 4);
        ring_add(&r, &bad, 1);
        assert_int_equal(bh_virtq_pop(&r.q, chains, 4), 1);
        assert_int_equal(r.broke, 0);
        push_one(&r, chains[0], 0);
        assert_int_equal(r.notified, 1);
        expect_broken(&r, BH_BROKEN_FAULT);
        ring_close(&r);
    }
}

static void descriptors_rewritten_after_pop_change_nothing(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_chain *chain;
        struct ring r;
        void *base;

        ring_open(&r, VERSION | layout, 4, 4, 2);
        ring_start(&r);
        ring_add_in(&r, 77);
        chain = pop_one(&r);
        base = chain->segs[0].base;
        memset(guest(&r, GUEST_DESC), 0xff, 64);
        assert_int_equal(chain->in_len, 77);
        assert_ptr_equal(chain->segs[0].base, base);
        push_one(&r, chain, 77);
        assert_int_equal(r.q.in_flight, 0);
        ring_close(&r);
    }
}

static void retired_region_is_held_until_its_last_chain(void **state)
{
    EACH_LAYOUT(layout)
    {
        const struct buf high = {GUEST_BORDER + 8, 16, VIRTQ_DESC_F_WRITE};
        struct bh_chain *chain, *second;
        struct bh_mem_table less;
        struct ring r;

        ring_open(&r, VERSION | layout, 4, 4, 2);
        less = (struct bh_mem_table){r.regions, 1};
        ring_start(&r);
        ring_add(&r, &high, 1);
        ring_add(&r, &high, 1);
        chain = pop_one(&r);
        assert_true(bh_mem_view_holds(&r.q.view, &r.regions[1]));
        bh_mem_publish(&r.mem, &less);
        assert_true(bh_mem_view_holds(&r.q.view, &r.regions[1]));
        bh_virtq_adopt(&r.q);
        assert_true(bh_mem_view_holds(&r.q.view, &r.regions[1]));
        assert_int_equal(bh_chain_write(chain, 0, "still here", 10), 10);
        push_one(&r, chain, 10);
        assert_false(bh_mem_view_holds(&r.q.view, &r.regions[1]));
        assert_true(bh_mem_view_holds(&r.q.view, &r.regions[0]));
        assert_int_equal(bh_virtq_pop(&r.q, &second, 1), BH_ERR_BROKEN);
        assert_int_equal(r.reason, BH_BROKEN_FAULT);
        ring_close(&r);
    }
}

static void ring_that_left_memory_breaks_the_queue(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_mem_table less;
        struct bh_chain *chain;
        struct ring r;

        ring_open(&r, VERSION | layout, 4, 4, 2);
        less = (struct bh_mem_table){r.regions + 1, 1};
        ring_start(&r);
        ring_add_in(&r, 4);
        chain = pop_one(&r);
        bh_mem_publish(&r.mem, &less);
        expect_broken(&r, BH_BROKEN_RING_FAULT);
        push_one(&r, chain, 0);
        assert_false(bh_mem_view_holds(&r.q.view, &r.regions[0]));
        bh_virtq_stop(&r.q);
        assert_int_equal(r.quiets, 1);
        ring_close(&r);
    }
}

static void ring_that_moved_is_followed(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_mem_region moved[2];
        struct bh_mem_table table = {moved, 2};
        struct bh_chain *chain;
        struct ring r;
        uint8_t *former;
        uint16_t id;

        ring_open(&r, VERSION | layout, 4, 4, 2);
        ring_start(&r);
        id = ring_add_in(&r, 4);
        former = r.low;
        r.low = aligned_alloc(4096, GUEST_SIZE);
        memcpy(r.low, former, GUEST_SIZE);
        memcpy(moved, r.regions, sizeof(moved));
        moved[0].host = r.low;
        moved[0].slot = 7;
        bh_mem_publish(&r.mem, &table);
        chain = pop_one(&r);
        assert_true((uint8_t *)chain->segs[0].base >= r.low &&
                    (uint8_t *)chain->segs[0].base < r.low + GUEST_SIZE);
        assert_false(bh_mem_view_holds(&r.q.view, &r.regions[0]));
        memset(former, 0xff, GUEST_SIZE);
        free(former);
        push_one(&r, chain, 1);
        expect_used(&r, id, 1);
        ring_close(&r);
    }
}

static void ring_misplaced_by_a_new_table_is_found_out(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_mem_region moved;
        struct bh_mem_table table = {&moved, 1};
        struct ring r;

        ring_open(&r, VERSION | layout, 4, 4, 2);
        ring_start(&r);
        moved = r.regions[0];
        moved.host += 1;
        moved.size -= 1;
        bh_mem_publish(&r.mem, &table);
        expect_broken(&r, BH_BROKEN_RING_ALIGN);
        ring_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_goes_round_with_its_bytes),
        cmocka_unit_test(split_ring_runs_at_every_power_of_two),
        cmocka_unit_test(packed_ring_wraps_at_odd_size),
        cmocka_unit_test(split_indices_wrap_at_65536),
        cmocka_unit_test(largest_queue_holds_32768_chains),
        cmocka_unit_test(illegal_sizes_and_places_are_refused_at_start),
        cmocka_unit_test(slots_limit_what_is_in_flight_and_warm_ones_come_first),
        cmocka_unit_test(stopped_queue_is_quiet_once_with_its_last_chain),
        cmocka_unit_test(owner_may_stop_in_notify_and_start_in_quiet),
        cmocka_unit_test(unpopped_chains_come_again_in_order),
        cmocka_unit_test(in_order_holds_back_what_comes_too_early),
        cmocka_unit_test(broken_queue_frees_what_was_held_back_and_becomes_quiet),
        cmocka_unit_test(good_chains_before_a_bad_one_are_served),
        cmocka_unit_test(descriptors_rewritten_after_pop_change_nothing),
        cmocka_unit_test(retired_region_is_held_until_its_last_chain),
        cmocka_unit_test(ring_that_left_memory_breaks_the_queue),
        cmocka_unit_test(ring_that_moved_is_followed),
        cmocka_unit_test(ring_misplaced_by_a_new_table_is_found_out),
    };

    return cmocka_run_group_tests_name("virtq", tests, NULL, NULL);
}
