/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notification suppression, both ways and both layouts, each against the spec's sentence played out slot by slot.
 */
#include "tests/unit/core_test.h"

static void flags_switch_used_notifications(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct ring r;

        ring_open(&r, VERSION | layout, 4, 4, 1);
        ring_start(&r);
        ring_want(&r, false);
        for (unsigned i = 0; i < 3; i++) {
            uint16_t id;
            uint32_t len;

            ring_add_in(&r, 4);
            if (!layout)
                ring_want_at(&r, r.q.state.used, true); /* used_event is ignored without EVENT_IDX */
            push_one(&r, pop_one(&r), 0);
            assert_true(ring_used(&r, &id, &len));
            /* The first after a start is told in any case: a former process may not have come to it. */
            assert_int_equal(r.notified, 1);
        }
        assert_int_equal(r.q.counters.suppressed, 2);
        ring_want(&r, true);
        ring_add_in(&r, 4);
        push_one(&r, pop_one(&r), 0);
        assert_int_equal(r.notified, 2);
        assert_int_equal(r.q.counters.notifications, 2);
        ring_close(&r);
    }
}

static void packed_event_flags_that_mean_nothing_notify(void **state)
{
    for (uint16_t flags = 2; flags < 4; flags++) { /* DESC without EVENT_IDX; the reserved one */
        struct ring r;

        ring_open(&r, VERSION | PACKED, 4, 4, 1);
        ring_start(&r);
        ((uint16_t *)guest(&r, GUEST_DRIVER))[0] = 3;
        ((uint16_t *)guest(&r, GUEST_DRIVER))[1] = flags;
        for (unsigned i = 0; i < 2; i++) {
            ring_add_in(&r, 4);
            push_one(&r, pop_one(&r), 0);
        }
        assert_int_equal(r.notified, 2);
        ring_close(&r);
    }
}

static void split_event_idx_ignores_flags(void **state)
{
    struct ring r;

    ring_open(&r, VERSION | EVENT, 4, 4, 1);
    ring_start(&r);
    ring_want(&r, false);
    for (unsigned i = 0; i < 2; i++) {
        ring_want_at(&r, (uint16_t)i, true);
        ring_add_in(&r, 4);
        push_one(&r, pop_one(&r), 0);
    }
    assert_int_equal(r.notified, 2);
    ring_close(&r);
}

/* Every batch size, at every position around the wrap, with every used_event near it and some far away. */
static void split_used_event_is_told_exactly(void **state)
{
    static const uint16_t starts[] = {0, 3, 65527, 65533, 65535};

    for (unsigned s = 0; s < BH_COUNT(starts); s++) {
        for (unsigned batch = 1; batch <= 8; batch++) {
            for (int event = -12; event <= 12; event++) {
                struct bh_chain *chains[8];
                uint16_t from = starts[s], at = (uint16_t)(from + event);
                bool named = false;
                struct ring r;

                ring_open(&r, VERSION | EVENT, 8, 8, 1);
                r.setup.state.avail = r.setup.state.used = r.avail_at = r.used_at = from;
                ((uint16_t *)guest(&r, GUEST_DRIVER))[1] = from;
                ring_start(&r);
                r.q.first_push = false;
                for (unsigned i = 0; i < batch; i++) {
                    ring_add_in(&r, 4);
                    named |= (uint16_t)(from + i) == at;
                }
                ring_want_at(&r, at, true);
                assert_int_equal(bh_virtq_pop(&r.q, chains, 8), batch);
                bh_virtq_push(&r.q, chains, batch);
                assert_int_equal(r.notified, named);
                ring_close(&r);
            }
        }
    }
}

/* Every start, batch, event offset and wrap counter of small rings: never missed, and told at most for what was
 * named in the lap behind us. */
static void packed_event_is_never_missed(void **state)
{
    for (uint16_t size = 1; size <= 5; size++) {
        for (unsigned start = 0; start < 2u * size; start++) {
            for (unsigned batch = 1; batch <= size; batch++) {
                for (unsigned event = 0; event < 2u * size; event++) {
                    struct bh_chain *chains[8];
                    uint16_t slot = (uint16_t)(start % size), at = (uint16_t)(event % size);
                    bool wrap = start < size, at_wrap = event < size, named = false;
                    struct ring r;

                    ring_open(&r, VERSION | EVENT | PACKED, size, size, 1);
                    r.setup.state = (struct bh_virtq_state){slot, slot, wrap, wrap};
                    r.avail_at = r.used_at = slot;
                    r.avail_wrap = r.used_wrap = wrap;
                    ring_start(&r);
                    r.q.first_push = false;
                    for (unsigned i = 0; i < batch; i++) {
                        named |= r.avail_at == at && r.avail_wrap == at_wrap;
                        ring_add_in(&r, 4);
                    }
                    ring_want_at(&r, at, at_wrap);
                    assert_int_equal(bh_virtq_pop(&r.q, chains, size), batch);
                    bh_virtq_push(&r.q, chains, batch);
                    assert_int_equal(r.notified, named);
                    ring_close(&r);
                }
            }
        }
    }
}

static void packed_event_inside_a_long_chain_notifies(void **state)
{
    const struct buf bufs[] = {{GUEST_DATA, 1, 2}, {GUEST_DATA, 1, 2}, {GUEST_DATA, 1, 2}};
    struct ring r;

    ring_open(&r, VERSION | EVENT | PACKED, 7, 7, 3);
    ring_start(&r);
    r.q.first_push = false;
    ring_want_at(&r, 2, true); /* not the chain's first slot */
    ring_add(&r, bufs, 3);
    push_one(&r, pop_one(&r), 0);
    assert_int_equal(r.notified, 1);
    ring_close(&r);
}

static void armed_queue_hears_of_the_next_chain(void **state)
{
    EACH_LAYOUT(layout)
    {
        for (unsigned event_idx = 0; event_idx < 2; event_idx++) {
            struct ring r;

            ring_open(&r, VERSION | layout | (event_idx ? EVENT : 0), 4 + (layout != 0), 5, 1);
            ring_start(&r);
            for (unsigned i = 0; i < 23; i++) {
                uint16_t from = r.avail_at, id;
                bool from_wrap = r.avail_wrap;
                uint32_t len;

                bh_virtq_disarm(&r.q);
                if (layout || !event_idx)
                    assert_false(ring_device_wants(&r, from, from_wrap));
                assert_false(bh_virtq_arm(&r.q));
                ring_add_in(&r, 4);
                assert_true(ring_device_wants(&r, from, from_wrap));
                /* Too late to wait: a chain is there, and notifications are off again. */
                assert_true(bh_virtq_arm(&r.q));
                if (layout || !event_idx)
                    assert_false(ring_device_wants(&r, from, from_wrap));
                push_one(&r, pop_one(&r), 0);
                assert_true(ring_used(&r, &id, &len));
            }
            if (!layout && event_idx) /* must stay 0 [virtio-1.4 2.7.10.2] */
                assert_int_equal(*(uint16_t *)guest(&r, GUEST_DEVICE), 0);
            ring_close(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_switch_used_notifications),
        cmocka_unit_test(packed_event_flags_that_mean_nothing_notify),
        cmocka_unit_test(split_event_idx_ignores_flags),
        cmocka_unit_test(split_used_event_is_told_exactly),
        cmocka_unit_test(packed_event_is_never_missed),
        cmocka_unit_test(packed_event_inside_a_long_chain_notifies),
        cmocka_unit_test(armed_queue_hears_of_the_next_chain),
    };

    return cmocka_run_group_tests_name("notify", tests, NULL, NULL);
}
