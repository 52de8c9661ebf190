/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In-flight records: what a process that dies at any moment leaves is taken over by the next one, and wrong
 * records do no harm.
 */
#include <bulkhead/impl/inflight.h>

#include "abi/vhost_user_inflight.h"
#include "tests/unit/core_test.h"

#define SIZE 8

struct rig {
    struct ring r;
    struct bh_inflight records;
    void *area;
    size_t bytes;
    uint16_t resubmit[SIZE];
};

static void rig_open(struct rig *g, uint64_t features)
{
    ring_open(&g->r, VERSION | features, SIZE, SIZE, 4);
    g->bytes = bh_inflight_bytes(SIZE, g->r.packed);
    g->area = aligned_alloc(8, g->bytes);
    assert_int_equal(bh_inflight_init(&g->records, g->area, g->bytes - 1, SIZE, g->r.packed), BH_ERR_RANGE);
    assert_int_equal(bh_inflight_init(&g->records, g->area, g->bytes, SIZE, g->r.packed), BH_OK);
    g->r.q.inflight = &g->records;
    ring_start(&g->r);
}

static void rig_close(struct rig *g)
{
    free(g->area);
    ring_close(&g->r);
}

/* The process died; another one finds memory, rings and records. */
static int load(struct rig *g)
{
    struct bh_virtq fresh = g->r.q;

    memset(g->resubmit, 0xff, sizeof(g->resubmit));
    bh_virtq_init(&g->r.q, &g->r.memory, &g->r.mem, fresh.env, &g->r);
    g->r.q.inflight = &g->records;
    return bh_inflight_load(&g->records, g->area, g->bytes, SIZE, g->r.packed,
                            guest(&g->r, g->r.packed ? GUEST_DESC : GUEST_DEVICE), g->resubmit,
                            &g->r.setup.state);
}

static void reborn(struct rig *g)
{
    assert_int_equal(load(g), BH_OK);
    ring_start(&g->r);
}

static uint16_t add_two(struct rig *g, uint32_t len)
{
    return ring_add(&g->r, (struct buf[]){{GUEST_DATA, 8, 0}, {GUEST_DATA + 0x1000, len, 2}}, 2);
}

static void chains_in_flight_come_back_oldest_first(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_chain *chains[SIZE];
        uint16_t ids[4], later;
        struct rig g;

        rig_open(&g, layout);
        for (unsigned lap = 0; lap < 7; lap++) {
            for (unsigned i = 0; i < 3; i++)
                ids[i] = add_two(&g, 100 + i);
            assert_int_equal(bh_virtq_pop(&g.r.q, chains, 3), 3);
            push_one(&g.r, chains[1], 5);
            expect_used(&g.r, ids[1], 5);
            later = ring_add_in(&g.r, 7);
            reborn(&g);
            assert_true(bh_virtq_has_work(&g.r.q));
            assert_true(bh_virtq_arm(&g.r.q));
            assert_int_equal(bh_virtq_pop(&g.r.q, chains, SIZE), 2);
            assert_int_equal(chains[0]->id, ids[0]);
            assert_int_equal(chains[0]->in_len, 100);
            assert_int_equal(chains[0]->out_len, 8);
            assert_int_equal(chains[1]->id, ids[2]);
            assert_int_equal(chains[1]->in_len, 102);
            bh_virtq_unpop(&g.r.q, 1);
            assert_int_equal(pop_one(&g.r)->id, ids[2]);
            chains[2] = pop_one(&g.r);
            assert_int_equal(chains[2]->id, later);
            expect_none(&g.r);
            bh_virtq_push(&g.r.q, chains, 3);
            expect_used(&g.r, ids[0], 0);
            expect_used(&g.r, ids[2], 0);
            expect_used(&g.r, later, 0);
            reborn(&g);
            expect_none(&g.r);
        }
        rig_close(&g);
    }
}

static void unpopped_and_pending_chains_are_not_in_flight(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct bh_chain *chains[4];
        uint16_t ids[3];
        struct rig g;

        rig_open(&g, layout);
        for (unsigned i = 0; i < 3; i++)
            ids[i] = add_two(&g, 10 + i);
        assert_int_equal(bh_virtq_pop(&g.r.q, chains, 4), 3);
        bh_virtq_unpop(&g.r.q, 2);
        reborn(&g);
        for (unsigned i = 0; i < 3; i++)
            assert_int_equal(pop_one(&g.r)->id, ids[i]);
        expect_none(&g.r);
        rig_close(&g);
    }
}

/* The area as a process leaves it that died in the middle of a push, before and after it was published. */
static void split_publication_is_finished_after_a_crash(void **state)
{
    struct vhost_user_queue_region_split *region;
    struct bh_chain *chains[3];
    uint16_t ids[3];
    struct rig g;

    /* Died after the used index, before any inflight byte was cleared. */
    rig_open(&g, 0);
    region = g.area;
    for (unsigned i = 0; i < 3; i++)
        ids[i] = add_two(&g, 4);
    assert_int_equal(bh_virtq_pop(&g.r.q, chains, 3), 3);
    bh_virtq_push(&g.r.q, chains, 2);
    region->desc[ids[0]].inflight = region->desc[ids[1]].inflight = 1;
    region->used_idx = 0;
    reborn(&g);
    assert_int_equal(g.r.setup.state.used, 2);
    assert_int_equal(g.r.setup.state.avail, 3);
    assert_int_equal(pop_one(&g.r)->id, ids[2]);
    expect_none(&g.r);
    rig_close(&g);

    /* Died after the list was linked, before the used index. */
    rig_open(&g, 0);
    region = g.area;
    ids[0] = add_two(&g, 4);
    pop_one(&g.r);
    region->desc[ids[0]].next = region->last_batch_head;
    region->last_batch_head = ids[0];
    reborn(&g);
    assert_int_equal(pop_one(&g.r)->id, ids[0]);
    rig_close(&g);
}

static void packed_publication_is_finished_or_rolled_back_after_a_crash(void **state)
{
    for (unsigned published = 0; published < 2; published++) {
        struct vhost_user_queue_region_packed *region, before;
        struct bh_chain *chains[3];
        uint16_t ids[3], flags;
        struct rig g;

        rig_open(&g, PACKED);
        region = g.area;
        for (unsigned i = 0; i < 3; i++)
            ids[i] = add_two(&g, 4);
        assert_int_equal(bh_virtq_pop(&g.r.q, chains, 3), 3);
        before = *region;
        flags = ((struct pvirtq_desc *)guest(&g.r, GUEST_DESC))[0].flags.raw;
        bh_virtq_push(&g.r.q, chains, 2);
        /* As it was just before the last steps: linked, the old_ twins and inflight bytes not yet moved. */
        region->old_free_head = before.old_free_head;
        region->old_used_idx = before.old_used_idx;
        region->old_used_wrap_counter = before.old_used_wrap_counter;
        region->desc[chains[0]->record].inflight = region->desc[chains[1]->record].inflight = 1;
        if (!published)
            ((struct pvirtq_desc *)guest(&g.r, GUEST_DESC))[0].flags.raw = flags;
        reborn(&g);
        assert_int_equal(g.r.setup.state.avail, 6);
        assert_int_equal(g.r.setup.state.used, published ? 4 : 0);
        for (unsigned i = published ? 2 : 0; i < 3; i++) {
            struct bh_chain *chain = pop_one(&g.r);

            assert_int_equal(chain->id, ids[i]);
            assert_int_equal(chain->desc_count, 2);
        }
        expect_none(&g.r);
        rig_close(&g);
    }
}

static void wrong_records_are_refused_or_harmless(void **state)
{
    EACH_LAYOUT(layout)
    {
        struct vhost_user_queue_region_split *split;
        struct vhost_user_queue_region_packed *packed;
        unsigned seed = 1;
        struct rig g;

        rig_open(&g, layout);
        split = g.area;
        packed = g.area;
        memset(g.area, 0, g.bytes);
        assert_int_equal(load(&g), BH_ERR_NOENT);
        split->version = 2;
        assert_int_equal(load(&g), BH_ERR_PROTO);
        split->version = 1;
        split->desc_num = SIZE + 1;
        assert_int_equal(load(&g), BH_ERR_PROTO);
        assert_int_equal(bh_inflight_init(&g.records, g.area, g.bytes, SIZE, g.r.packed), BH_OK);
        if (layout) {
            packed->old_used_idx = SIZE;
            assert_int_equal(load(&g), BH_ERR_PROTO);
            packed->old_used_idx = 0;
            packed->free_head = packed->old_free_head = 0xffff;
            packed->desc[0].inflight = 1;
            assert_int_equal(load(&g), BH_ERR_PROTO); /* in flight, of no descriptors */
        } else {
            split->used_idx = (uint16_t)-SIZE - 1;
            assert_int_equal(load(&g), BH_ERR_PROTO);
            split->used_idx = (uint16_t)-2;
            split->last_batch_head = SIZE;
            assert_int_equal(load(&g), BH_ERR_PROTO);
        }
        /* Noise behind a good header: loaded or refused, popped or broken, never wild. */
        for (unsigned round = 0; round < 300; round++) {
            struct bh_chain *chains[SIZE];

            assert_int_equal(bh_inflight_init(&g.records, g.area, g.bytes, SIZE, g.r.packed), BH_OK);
            for (size_t i = 12; i < g.bytes; i++)
                if ((seed = seed * 1103515245u + 12345u) >> 16 & 1)
                    ((uint8_t *)g.area)[i] = (uint8_t)((seed >> 20) % 12);
            if (load(&g) != BH_OK)
                continue;
            ring_start(&g.r);
            for (unsigned i = 0; i < SIZE; i++) {
                int count = bh_virtq_pop(&g.r.q, chains, SIZE);

                assert_true(count >= 0 || count == BH_ERR_BROKEN);
                if (count > 0)
                    bh_virtq_push(&g.r.q, chains, (unsigned)count);
            }
            assert_int_equal(g.r.q.in_flight, 0);
        }
        rig_close(&g);
    }
}

static void records_of_another_size_or_layout_are_refused_at_start(void **state)
{
    struct rig g;

    rig_open(&g, 0);
    bh_virtq_stop(&g.r.q);
    g.r.setup.size = 4;
    assert_int_equal(bh_virtq_start(&g.r.q, &g.r.setup, &g.r.features), BH_ERR_INVAL);
    g.r.setup.size = SIZE;
    bh_features_set(&g.r.features, BH_F_RING_PACKED);
    assert_int_equal(bh_virtq_start(&g.r.q, &g.r.setup, &g.r.features), BH_ERR_INVAL);
    rig_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_in_flight_come_back_oldest_first),
        cmocka_unit_test(unpopped_and_pending_chains_are_not_in_flight),
        cmocka_unit_test(split_publication_is_finished_after_a_crash),
        cmocka_unit_test(packed_publication_is_finished_or_rolled_back_after_a_crash),
        cmocka_unit_test(wrong_records_are_refused_or_harmless),
        cmocka_unit_test(records_of_another_size_or_layout_are_refused_at_start),
    };

    return cmocka_run_group_tests_name("inflight", tests, NULL, NULL);
}
