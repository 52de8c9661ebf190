/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device on memory that comes and goes: rings and buffers that are away, and every translation failing once.
 */
#include "tests/unit/echo_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* wants the headers above */

static struct bench bench;

static void rings_that_are_away_start_when_they_arrive(void **state)
{
    bench_init(&bench, 7);
    bench_up(&bench, false);
    assert_int_equal(bench.echo.starts, 0);
    assert_int_equal(bench.echo.queues[0].life, BH_VIRTQ_STOPPED);
    bench_send(&bench, 0, 1);
    bench_pump(&bench);
    assert_int_equal(bench.echo.starts, 1);
    assert_int_equal(bench_received(&bench, 0), 1);
    assert_int_equal(bh_device_status(&bench.echo.dev), 15);
    bench_fini(&bench);
}

static void a_reset_overtakes_rings_that_are_away(void **state)
{
    bench_init(&bench, 7);
    bench_up(&bench, true);
    bh_device_set_status(&bench.echo.dev, 0);
    assert_int_equal(bh_device_status(&bench.echo.dev), 0);
    assert_true(bh_sim_mem_arrive(&bench.sim));
    bh_pipe_translated(&bench.pipe);
    bench_pump(&bench);
    assert_int_equal(bench.echo.starts, 0);
    assert_int_equal(bench.echo.queues[0].life, BH_VIRTQ_STOPPED);
    bench_fini(&bench);
}

static void buffers_that_go_away_all_the_time_are_answered(void **state)
{
    for (uint64_t seed = 1; seed <= 20; seed++) {
        bench_init(&bench, seed);
        bench.sim.evict_one_in = 1;
        bench_up(&bench, seed % 2);
        for (unsigned round = 0; round < 20; round++) {
            for (uint8_t i = 0; i < 6; i++)
                bench_send(&bench, round % 2, i);
            bench_pump(&bench);
            assert_int_equal(bench_received(&bench, round % 2), 6);
        }
        assert_true(bench.sim.pendings > 2);
        bench_fini(&bench);
    }
}

/* The first, the second, ... translation fails, until none does: each time the device says so and recovers. */
static void every_translation_may_fail_once(void **state)
{
    for (unsigned packed = 0; packed < 2; packed++) {
        bool failed = true;
        uint32_t n;

        for (n = 1; failed && n < 1000; n++) {
            bench_init(&bench, 3);
            bench.sim.fault_after = n;
            bench_negotiate(&bench, packed);
            bench_enable(&bench, 0);
            bench_enable(&bench, 1);
            bh_device_set_status(&bench.echo.dev, 15);
            for (uint8_t i = 0; i < 4; i++)
                bench_send(&bench, i % 2, i);
            bench_pump(&bench);
            failed = bench.sim.faults != 0;
            assert_int_equal(bh_device_status(&bench.echo.dev), failed ? 15 | BH_STATUS_NEEDS_RESET : 15);
            assert_int_equal(bench.pipe.errors[0] + bench.pipe.errors[1], failed);
            bench.sim.fault_after = 0;
            bh_device_set_status(&bench.echo.dev, 0);
            bench_up(&bench, packed);
            bench_send(&bench, 0, 9);
            bench_pump(&bench);
            assert_int_equal(bench_received(&bench, 0), 1);
            bench_fini(&bench);
        }
        assert_true(n > 8 && n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_that_are_away_start_when_they_arrive),
        cmocka_unit_test(a_reset_overtakes_rings_that_are_away),
        cmocka_unit_test(buffers_that_go_away_all_the_time_are_answered),
        cmocka_unit_test(every_translation_may_fail_once),
    };

    return cmocka_run_group_tests_name("device_sim", tests, NULL, NULL);
}
