/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of core/ share beside the ring: cmocka, feature bits, both layouts in turn. */
#ifndef TESTS_UNIT_CORE_TEST_H
#define TESTS_UNIT_CORE_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/core_ring.h"

#define BIT(n)   (1ull << (n))
#define VERSION  BIT(BH_F_VERSION_1)
#define PACKED   BIT(BH_F_RING_PACKED)
#define EVENT    BIT(BH_F_EVENT_IDX)
#define INDIRECT BIT(BH_F_INDIRECT_DESC)
#define IN_ORDER BIT(BH_F_IN_ORDER)

/* Runs the block once a layout, with `layout` 0 (split) or PACKED. */
#define EACH_LAYOUT(layout)                                                                                  \
    for (uint64_t layout = 0, layout##_count = 0; layout##_count < 2; layout = PACKED, layout##_count++)

static inline struct bh_chain *pop_one(struct ring *r)
{
    struct bh_chain *chain = NULL;

    assert_int_equal(bh_virtq_pop(&r->q, &chain, 1), 1);
    return chain;
}

static inline void push_one(struct ring *r, struct bh_chain *chain, uint32_t written)
{
    chain->written = written;
    bh_virtq_push(&r->q, &chain, 1);
}

static inline void expect_used(struct ring *r, uint16_t id, uint32_t len)
{
    uint16_t got_id = 0;
    uint32_t got_len = 0;

    assert_true(ring_used(r, &got_id, &got_len));
    assert_int_equal(got_id, id);
    assert_int_equal(got_len, len);
}

static inline void expect_none(struct ring *r)
{
    struct bh_chain *chain;

    assert_int_equal(bh_virtq_pop(&r->q, &chain, 1), 0);
}

static inline void expect_broken(struct ring *r, enum bh_broken reason)
{
    struct bh_chain *chain;

    assert_int_equal(bh_virtq_pop(&r->q, &chain, 1), BH_ERR_BROKEN);
    assert_int_equal(r->broke, 1);
    assert_int_equal(r->reason, reason);
    assert_int_equal(r->q.counters.broken[reason], 1);
    assert_int_equal(bh_virtq_pop(&r->q, &chain, 1), BH_ERR_BROKEN);
    assert_int_equal(r->broke, 1);
}

#endif
