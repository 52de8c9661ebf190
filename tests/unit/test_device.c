/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device between a transport and a class, driven through the pipe by the driver's rings, split and packed.
 */
#include "tests/unit/echo_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* wants the headers above */

static struct bench bench;

static int setup(void **state)
{
    bench_init(&bench, 0);
    return 0;
}
static int teardown(void **state)
{
    bench_fini(&bench);
    return 0;
}

static void features_not_offered_are_refused(void **state)
{
    struct bh_device *dev = &bench.echo.dev;
    struct bh_features f = bh_device_offered(dev), withheld = {{0}};

    assert_true(bh_features_has(&f, 120));
    bh_features_set(&f, 99);
    assert_int_equal(bh_device_accept(dev, &f), BH_ERR_INVAL);
    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 3);
    bh_features_clear(&f, 99);
    assert_int_equal(bh_device_accept(dev, &f), BH_OK);
    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 11);
    assert_int_equal(bh_device_accept(dev, &f), BH_ERR_BUSY);
    assert_int_equal(dev->counters.features_refused, 2);
    bh_features_set(&withheld, 120);
    bh_device_withhold(dev, &withheld);
    f = bh_device_offered(dev);
    assert_false(bh_features_has(&f, 120));
}

static void features_ok_is_vetoed_by_the_class_and_without_version_1(void **state)
{
    struct bh_device *dev = &bench.echo.dev;
    struct bh_features f = {{0}};

    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 3);
    bh_features_set(&f, BH_F_VERSION_1);
    assert_int_equal(bh_device_accept(dev, &f), BH_OK);
    bench.echo.refuse = true;
    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 3);
    bh_device_set_status(dev, 7); /* DRIVER_OK without FEATURES_OK */
    assert_int_equal(bh_device_status(dev), 3);
    bench.echo.refuse = false;
    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 11);
    bh_device_set_status(dev, 3); /* drops a bit */
    assert_int_equal(bh_device_status(dev), 11);
    assert_int_equal(dev->counters.status_refused, 2);
}

static void echo_answers(bool packed)
{
    bench_negotiate(&bench, packed);
    bench_enable(&bench, 0);
    bench_send(&bench, 0, 1); /* before DRIVER_OK: nothing is consumed [virtio-1.4 2.1.2] */
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 0), 0);
    assert_int_equal(bench.pipe.notifications[0], 0);
    bh_device_set_status(&bench.echo.dev, 15);
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 0), 1);
    assert_int_equal(bench.pipe.notifications[0], 1);
    bench_enable(&bench, 1);
    for (unsigned round = 0; round < 10; round++) {
        for (uint8_t i = 0; i < 7; i++)
            bench_send(&bench, round % 2, i);
        bench_pump(&bench);
        assert_int_equal(bench_received(&bench, round % 2), 7);
    }
    assert_int_equal(bench.echo.starts, 1);
}
static void echo_answers_split(void **state)
{
    echo_answers(false);
}
static void echo_answers_packed(void **state)
{
    echo_answers(true);
}

static void a_kick_while_every_slot_is_in_flight_is_not_lost(void **state)
{
    bench_up(&bench, false);
    bench.echo.keep = true;
    for (uint8_t i = 0; i < SLOTS + 2; i++)
        bench_send(&bench, 0, i);
    bench_pump(&bench);
    assert_int_equal(bench.echo.kept_count[0], SLOTS);
    bench.echo.keep = false;
    echo_answer(&bench.echo, 0); /* no kick follows */
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 0), SLOTS + 2);
}

static void reset_waits_for_chains_and_overtakes_a_stop(void **state)
{
    struct bh_device *dev = &bench.echo.dev;

    bench_up(&bench, true);
    bench.echo.keep = bench.echo.stubborn = true;
    bench_send(&bench, 0, 1);
    bench_pump(&bench);
    bh_device_queue_stop(dev, 0);
    assert_int_equal(bench.pipe.done[BH_CONTROL_QUEUE_STOP], 0);
    bh_device_set_status(dev, 0);
    bh_device_set_status(dev, 0); /* joins the first */
    assert_int_equal(bench.pipe.cancelled[BH_CONTROL_QUEUE_STOP], 1);
    assert_int_equal(bench.pipe.done[BH_CONTROL_RESET], 0);
    assert_int_equal(bh_device_status(dev), 15);
    echo_answer(&bench.echo, 0);
    assert_int_equal(bench.pipe.done[BH_CONTROL_RESET], 1);
    assert_int_equal(bh_device_status(dev), 0);
    assert_int_equal(bench.echo.resets, 1);
    bench.echo.keep = bench.echo.stubborn = false;
    bench_up(&bench, true);
    bench_send(&bench, 0, 2);
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 0), 1);
}

static void queue_reset_gives_back_and_starts_anew(void **state)
{
    bench_up(&bench, false);
    bench.echo.keep = true;
    bench_send(&bench, 0, 1);
    bench_pump(&bench);
    assert_int_equal(bench.echo.kept_count[0], 1);
    bh_device_queue_reset(&bench.echo.dev, 0);
    assert_int_equal(bench.pipe.done[BH_CONTROL_QUEUE_RESET], 1);
    assert_false(bh_device_queue_enabled(&bench.echo.dev, 0));
    bench.echo.keep = false;
    bench_send(&bench, 1, 3);
    bench_enable(&bench, 0);
    bench_send(&bench, 0, 2);
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 0), 1);
    assert_int_equal(bench_received(&bench, 1), 1);
}

static void a_stopped_queue_goes_on_where_it_was(bool packed)
{
    struct bh_device *dev = &bench.echo.dev;
    struct bh_virtq_setup resumed;

    bench_up(&bench, packed);
    for (uint8_t i = 0; i < 5; i++)
        bench_send(&bench, 0, i);
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 0), 5);
    bench.echo.keep = true;
    bench_send(&bench, 0, 9);
    bench_pump(&bench);
    bh_device_queue_stop(dev, 0); /* the class gives the chain back unused */
    assert_int_equal(bench.pipe.done[BH_CONTROL_QUEUE_STOP], 1);
    resumed = bench.queue[0].setup;
    resumed.state = bh_virtq_state(&bench.echo.queues[0]);
    bench.echo.keep = false;
    assert_int_equal(bh_device_queue_start(dev, 0, &resumed), BH_OK);
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 0), 1);
}
static void a_stopped_queue_goes_on_where_it_was_split(void **state)
{
    a_stopped_queue_goes_on_where_it_was(false);
}
static void a_stopped_queue_goes_on_where_it_was_packed(void **state)
{
    a_stopped_queue_goes_on_where_it_was(true);
}

static void suspend_shows_when_quiet_and_resumes(void **state)
{
    struct bh_device *dev = &bench.echo.dev;

    bench_up(&bench, true);
    bench.echo.keep = bench.echo.stubborn = true;
    bench_send(&bench, 0, 1);
    bench_pump(&bench);
    bh_device_set_status(dev, 15 | BH_STATUS_SUSPEND);
    assert_int_equal(bh_device_status(dev), 15);
    echo_answer(&bench.echo, 0);
    assert_int_equal(bh_device_status(dev), 11 | BH_STATUS_SUSPEND);
    bench.echo.keep = false;
    assert_int_equal(bench_received(&bench, 0), 1);
    bench_send(&bench, 0, 2);
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 0), 0);
    bh_device_config_changed(dev);
    assert_int_equal(bench.pipe.config_changes, 0);
    assert_int_equal(bh_device_config_write(dev, 0, "x", 1), BH_ERR_INVAL);
    bh_device_set_status(dev, 15 | BH_STATUS_SUSPEND);
    assert_int_equal(bh_device_status(dev), 15);
    assert_int_equal(bench.pipe.config_changes, 1);
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 0), 1);
}

static void suspend_is_ignored_before_driver_ok_and_without_the_feature(void **state)
{
    struct bh_device *dev = &bench.echo.dev;
    struct bh_features f = {{0}};

    bench_negotiate(&bench, false);
    bh_device_set_status(dev, 11 | BH_STATUS_SUSPEND);
    assert_int_equal(bh_device_status(dev), 11);
    bh_device_set_status(dev, 0);
    bh_features_set(&f, BH_F_VERSION_1);
    assert_int_equal(bh_device_accept(dev, &f), BH_OK);
    bh_device_set_status(dev, 15);
    bh_device_set_status(dev, 15 | BH_STATUS_SUSPEND);
    assert_int_equal(bh_device_status(dev), 15);
    assert_int_equal(dev->counters.status_refused, 2);
}

static void a_broken_ring_sets_needs_reset_once_and_a_reset_mends_it(void **state)
{
    struct bh_device *dev = &bench.echo.dev;
    struct bh_drv_buf wild = {bh_daddr(0x1000), 8};

    bench_up(&bench, false);
    assert_int_equal(bh_drv_ring_add(&bench.queue[0].ring, &wild, 1, 0, NULL), BH_OK);
    bh_pipe_kick(&bench.pipe, 0);
    bench_pump(&bench);
    assert_int_equal(bh_device_status(dev), 15 | BH_STATUS_NEEDS_RESET);
    assert_int_equal(bench.pipe.errors[0], 1);
    assert_int_equal(bench.pipe.last_reason, BH_BROKEN_FAULT);
    assert_int_equal(bench.pipe.config_changes, 1);
    bench_send(&bench, 1, 4); /* the other queue lives */
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 1), 1);
    bh_device_quiesce(dev); /* a pause does not mend it */
    bh_device_resume(dev);
    bh_pipe_kick(&bench.pipe, 0);
    bench_pump(&bench);
    assert_int_equal(dev->counters.needs_reset, 1);
    bh_device_set_status(dev, 0);
    assert_int_equal(bh_device_status(dev), 0);
    bench_up(&bench, false);
    bench_send(&bench, 0, 5);
    bench_pump(&bench);
    assert_int_equal(bench_received(&bench, 0), 1);
}

static void a_ring_outside_memory_is_needs_reset_at_driver_ok(void **state)
{
    bench_negotiate(&bench, false);
    bench_enable(&bench, 0);
    struct bh_virtq_setup bad = bench.queue[0].setup;

    bad.desc = bh_daddr(0x10);
    assert_int_equal(bh_device_queue_enable(&bench.echo.dev, 1, &bad), BH_OK);
    bad.size = 3;
    assert_int_equal(bh_device_queue_enable(&bench.echo.dev, 1, &bad), BH_ERR_INVAL);
    assert_int_equal(bh_device_queue_enable(&bench.echo.dev, 2, &bad), BH_ERR_NOENT);
    bh_device_set_status(&bench.echo.dev, 15);
    assert_int_equal(bh_device_status(&bench.echo.dev), 15 | BH_STATUS_NEEDS_RESET);
}

static void a_region_is_released_when_its_last_chain_came_back(void **state)
{
    struct bench *b = &bench;
    static uint8_t extra[4096];
    struct bh_drv_buf bufs[2] = {{bh_daddr(0x80000000), 1}, {bh_drv_guest_addr(&b->guest, b->in), 1}};

    b->region[1] = (struct bh_mem_region){bh_daddr(0x80000000), sizeof(extra), extra, {0}, 1, 3};
    b->second = (struct bh_mem_table){b->region, 2};
    bh_device_mem_change(&b->echo.dev, &b->second);
    assert_int_equal(b->pipe.done[BH_CONTROL_MEM], 1);
    bench_up(b, false);
    b->echo.keep = true;
    assert_int_equal(bh_drv_ring_add(&b->queue[0].ring, bufs, 1, 1, b->in), BH_OK);
    bh_pipe_kick(&b->pipe, 0);
    bench_pump(b);
    assert_int_equal(b->echo.kept_count[0], 1);
    bh_device_mem_change(&b->echo.dev, &b->table);
    bench_pump(b);
    assert_int_equal(b->pipe.done[BH_CONTROL_MEM], 1);
    echo_answer(&b->echo, 0);
    assert_int_equal(b->pipe.done[BH_CONTROL_MEM], 2);
    assert_int_equal(bh_device_status(&b->echo.dev), 15);
}

static void config_is_read_in_pieces_and_told_once_up(void **state)
{
    struct bh_device *dev = &bench.echo.dev;
    uint8_t bytes[6] = {9, 9, 9, 9, 9, 9};
    uint32_t generation = bh_device_generation(dev);

    memcpy(bench.echo.config, "abcdefghijkl", 12);
    bh_device_config_read(dev, 1, bytes, 2);
    assert_memory_equal(bytes, "bc\t", 3);
    bh_device_config_read(dev, 10, bytes, 6);
    assert_memory_equal(bytes, "kl\0\0\0\0", 6);
    bh_device_config_read(dev, 0xfffffff0u, bytes, 6);
    assert_memory_equal(bytes, "\0\0\0\0\0\0", 6);
    assert_int_equal(bh_device_config_write(dev, 8, "wxyz", 4), BH_OK);
    assert_int_equal(bh_device_config_write(dev, 9, "wxyz", 4), BH_ERR_RANGE);
    assert_int_equal(bh_device_config_write(dev, 0xffffffffu, "wxyz", 4), BH_ERR_RANGE);
    assert_int_equal(dev->counters.config_refused, 2);
    bench_negotiate(&bench, false);
    bh_device_config_changed(dev);
    assert_int_equal(bench.pipe.config_changes, 0);
    assert_int_not_equal(bh_device_generation(dev), generation);
    bh_device_set_status(dev, 15);
    assert_int_equal(bench.pipe.config_changes, 1);
}

static void state_moves_to_another_device(bool packed)
{
    static struct bench other;
    uint8_t state[512];
    int len;

    bench_up(&bench, packed);
    for (uint8_t i = 0; i < 9; i++) {
        bench_send(&bench, 0, i);
        bench_pump(&bench);
        assert_int_equal(bench_received(&bench, 0), 1);
    }
    assert_int_equal(bh_device_save(&bench.echo.dev, state, sizeof(state)), BH_ERR_BUSY);
    bench.echo.config[0] = 77;
    bh_device_quiesce(&bench.echo.dev);
    assert_int_equal(bench.pipe.done[BH_CONTROL_QUIESCE], 1);
    bench_send(&bench, 0, 20); /* it waits for whoever resumes */
    len = bh_device_save(&bench.echo.dev, state, sizeof(state));
    assert_true(len > 0);
    assert_int_equal(bh_device_save(&bench.echo.dev, state, (size_t)len - 1), BH_ERR_NOMEM);
    len = bh_device_save(&bench.echo.dev, state, sizeof(state));

    bench_init(&other, 0);
    bh_mem_publish(other.mem, &bench.table);
    for (int cut = 0; cut < len; cut++)
        assert_int_equal(bh_device_load(&other.echo.dev, state, (size_t)cut), BH_ERR_PROTO);
    for (int at = 0; at < len; at++) {
        state[at] ^= 0x20;
        assert_int_not_equal(bh_device_load(&other.echo.dev, state, (size_t)len), BH_OK);
        state[at] ^= 0x20;
    }
    assert_int_equal(bh_device_load(&other.echo.dev, state, (size_t)len), BH_OK);
    assert_int_equal(bh_device_status(&other.echo.dev), 15);
    assert_int_equal(other.echo.config[0], 77);
    bh_device_resume(&other.echo.dev);
    for (unsigned i = 0; i < 10; i++)
        (void)bh_pipe_pump(&other.pipe, 8);
    assert_int_equal(bench_received(&bench, 0), 1);
    assert_int_equal(other.pipe.notifications[0], 1);
    bench_fini(&other);
}
static void state_moves_to_another_device_split(void **state)
{
    state_moves_to_another_device(false);
}
static void state_moves_to_another_device_packed(void **state)
{
    state_moves_to_another_device(true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(features_not_offered_are_refused),
        TEST(features_ok_is_vetoed_by_the_class_and_without_version_1),
        TEST(echo_answers_split),
        TEST(echo_answers_packed),
        TEST(a_kick_while_every_slot_is_in_flight_is_not_lost),
        TEST(reset_waits_for_chains_and_overtakes_a_stop),
        TEST(queue_reset_gives_back_and_starts_anew),
        TEST(a_stopped_queue_goes_on_where_it_was_split),
        TEST(a_stopped_queue_goes_on_where_it_was_packed),
        TEST(suspend_shows_when_quiet_and_resumes),
        TEST(suspend_is_ignored_before_driver_ok_and_without_the_feature),
        TEST(a_broken_ring_sets_needs_reset_once_and_a_reset_mends_it),
        TEST(a_ring_outside_memory_is_needs_reset_at_driver_ok),
        TEST(a_region_is_released_when_its_last_chain_came_back),
        TEST(config_is_read_in_pieces_and_told_once_up),
        TEST(state_moves_to_another_device_split),
        TEST(state_moves_to_another_device_packed),
    };

    return cmocka_run_group_tests_name("device", tests, NULL, NULL);
}
