/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervision's decisions, one by one. test_supervise_random.c has what holds in all worlds.
 */
#include "supervise/supervise.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { UNITS = 4 };

/* Two devices (0, 1), their domain (2), and a domain after it (3). */
static const struct bh_unit_need pair_needs[] = {{0, true}, {1, true}, {2, false}};
static struct bh_unit pair_units[4];
static const struct bh_unit_table pair = {pair_units, pair_needs, 4, 3};

struct rig {
    struct bh_supervisor sup;
    struct bh_unit_live live[UNITS];
};

static void rig_init(struct rig *rig, enum bh_unit_restart restart)
{
    for (unsigned i = 0; i < 4; i++)
        pair_units[i] = (struct bh_unit){.restart = restart,
                                         .restart_limit = 2,
                                         .restart_window_ms = 1000000,
                                         .backoff_ms = 100,
                                         .ready_timeout_ms = 1000,
                                         .stop_timeout_ms = 500};
    pair_units[2].need_count = 2;
    pair_units[3].need_first = 2;
    pair_units[3].need_count = 1;
    assert_int_equal(bh_supervisor_init(&rig->sup, &pair, rig->live), BH_OK);
}

/* The next action must be this one. */
static void expect(struct rig *rig, unsigned unit, enum bh_unit_action action)
{
    uint16_t got_unit = UNITS;
    enum bh_unit_action got = BH_ACTION_KILL;
    assert_true(bh_supervisor_next(&rig->sup, &got_unit, &got));
    assert_int_equal(got_unit, unit);
    assert_int_equal(got, action);
}

static void expect_nothing(struct rig *rig)
{
    uint16_t unit;
    enum bh_unit_action action;
    assert_false(bh_supervisor_next(&rig->sup, &unit, &action));
}

static void get_ready(struct rig *rig, unsigned unit, uint64_t now)
{
    expect(rig, unit, BH_ACTION_START);
    bh_supervisor_event(&rig->sup, (uint16_t)unit, BH_EVENT_STARTED, now);
    bh_supervisor_event(&rig->sup, (uint16_t)unit, BH_EVENT_READY, now);
}

static void all_up(struct rig *rig, enum bh_unit_restart restart)
{
    rig_init(rig, restart);
    bh_supervisor_up(&rig->sup, 1);
    for (unsigned i = 0; i < 4; i++)
        get_ready(rig, i, 1);
    expect_nothing(rig);
    assert_true(bh_supervisor_all_ready(&rig->sup));
}

static void domain_waits_for_every_device(void **state)
{
    struct rig rig;
    rig_init(&rig, BH_UNIT_NEVER);
    bh_supervisor_up(&rig.sup, 1);
    get_ready(&rig, 0, 2);
    expect(&rig, 1, BH_ACTION_START);
    expect_nothing(&rig);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_READY, 3); /* ready may come before started is said */
    get_ready(&rig, 2, 4);
    get_ready(&rig, 3, 5);
    assert_true(bh_supervisor_all_ready(&rig.sup));
}

static void stops_in_reverse_order(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ALWAYS);
    bh_supervisor_down(&rig.sup, 10);
    expect(&rig, 3, BH_ACTION_STOP);
    expect_nothing(&rig);
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_ENDED, 11);
    expect(&rig, 2, BH_ACTION_STOP);
    expect_nothing(&rig);
    bh_supervisor_tick(&rig.sup, 510);
    expect_nothing(&rig);
    bh_supervisor_tick(&rig.sup, 511);
    expect(&rig, 2, BH_ACTION_KILL);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_FAILED, 512);
    expect(&rig, 0, BH_ACTION_STOP);
    expect(&rig, 1, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_FAILED, 513);
    assert_false(bh_supervisor_all_down(&rig.sup));
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_FAILED, 513);
    assert_true(bh_supervisor_all_down(&rig.sup));
    assert_int_equal(bh_supervisor_failed(&rig.sup), 4); /* what died on its way down has not failed */
}

static void dead_device_takes_its_domain_along_and_both_return(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ON_FAILURE);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_FAILED, 20);
    expect(&rig, 2, BH_ACTION_STOP); /* 3 stays: it only started after 2 */
    expect_nothing(&rig);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_FAILED, 21);
    expect_nothing(&rig);
    assert_int_equal(bh_supervisor_deadline(&rig.sup), 120);
    bh_supervisor_tick(&rig.sup, 120);
    get_ready(&rig, 1, 121);
    get_ready(&rig, 2, 122);
    expect_nothing(&rig);
    assert_int_equal(rig.live[1].restarts, 1);
    assert_int_equal(rig.live[2].restarts, 0); /* it did not fail: it is not charged */
}

static void unit_that_refuses_to_come_up_is_not_tried_again(void **state)
{
    struct rig rig;
    rig_init(&rig, BH_UNIT_ALWAYS);
    bh_supervisor_up(&rig.sup, 1);
    expect(&rig, 0, BH_ACTION_START);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_REFUSED, 2);
    expect(&rig, 1, BH_ACTION_START); /* nobody has told it yet */
    expect_nothing(&rig);
    assert_int_equal(rig.live[0].state, BH_UNIT_FAILED);
    assert_int_equal(rig.live[0].cause, BH_CAUSE_REFUSED);
    assert_int_equal(rig.live[0].restarts, 0);
    assert_int_equal(rig.live[2].cause, BH_CAUSE_NEED);
    assert_int_equal(bh_supervisor_failed(&rig.sup), 0);
}

/* A former process may not have let go yet of what the next one needs. */
static void unit_that_was_ready_and_refuses_is_tried_again_by_its_policy(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ON_FAILURE);
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_FAILED, 10);
    bh_supervisor_tick(&rig.sup, 110);
    expect(&rig, 3, BH_ACTION_START);
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_REFUSED, 111);
    assert_int_equal(rig.live[3].state, BH_UNIT_BACKOFF);
    assert_int_equal(rig.live[3].cause, BH_CAUSE_REFUSED);
    bh_supervisor_tick(&rig.sup, 311);
    get_ready(&rig, 3, 312);
    assert_int_equal(rig.live[3].cause, BH_CAUSE_NONE);
}

static void restarts_end_at_the_limit(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ON_FAILURE);
    uint64_t now = 10;
    for (unsigned i = 0; i < 2; i++) {
        bh_supervisor_event(&rig.sup, 3, BH_EVENT_FAILED, now);
        assert_int_equal(bh_supervisor_deadline(&rig.sup), now + (100u << i)); /* the backoff doubles */
        now = bh_supervisor_deadline(&rig.sup);
        bh_supervisor_tick(&rig.sup, now);
        get_ready(&rig, 3, now);
    }
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_FAILED, now);
    expect_nothing(&rig);
    assert_int_equal(rig.live[3].state, BH_UNIT_FAILED);
    assert_int_equal(bh_supervisor_failed(&rig.sup), 3);
    assert_int_equal(rig.live[2].state, BH_UNIT_READY);
    bh_supervisor_restart(&rig.sup, 3, now + 1); /* by hand, the count begins anew */
    get_ready(&rig, 3, now + 2);
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_FAILED, now + 3);
    assert_int_equal(rig.live[3].state, BH_UNIT_BACKOFF);
}

static void power_off_is_no_failure(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ON_FAILURE);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_ENDED, 10);
    expect_nothing(&rig);
    assert_int_equal(rig.live[2].state, BH_UNIT_STOPPED);
    assert_true(bh_supervisor_all_ready(&rig.sup));
    all_up(&rig, BH_UNIT_ALWAYS);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_ENDED, 10);
    assert_int_equal(rig.live[2].state, BH_UNIT_BACKOFF);
}

static void never_ready_is_stopped_and_judged(void **state)
{
    struct rig rig;
    rig_init(&rig, BH_UNIT_NEVER);
    bh_supervisor_up(&rig.sup, 1);
    expect(&rig, 0, BH_ACTION_START);
    expect(&rig, 1, BH_ACTION_START);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_READY, 2);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_STARTED, 500); /* the time counts from here */
    bh_supervisor_tick(&rig.sup, 1499);
    expect_nothing(&rig);
    bh_supervisor_tick(&rig.sup, 1500);
    expect(&rig, 1, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_ENDED, 1501);
    assert_int_equal(rig.live[1].state, BH_UNIT_FAILED);
    assert_int_equal(rig.live[1].cause, BH_CAUSE_NOT_READY);
    assert_int_equal(rig.live[2].cause, BH_CAUSE_NEED); /* and what needs it is given up */
    assert_int_equal(rig.live[3].cause, BH_CAUSE_NEED);
    assert_int_equal(bh_supervisor_failed(&rig.sup), 1); /* the first cause, not what it drew along */
    bh_supervisor_restart(&rig.sup, 2, 1600);            /* takes its failed device along */
    get_ready(&rig, 1, 1601);
    get_ready(&rig, 2, 1602);
    get_ready(&rig, 3, 1603);
}

static void one_that_was_never_ready_is_not_tried_again(void **state)
{
    struct rig rig;
    rig_init(&rig, BH_UNIT_ALWAYS);
    bh_supervisor_up(&rig.sup, 1);
    get_ready(&rig, 0, 1);
    expect(&rig, 1, BH_ACTION_START);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_STARTED, 1);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_FAILED, 10); /* it ends at once: that is tried again */
    assert_int_equal(rig.live[1].state, BH_UNIT_BACKOFF);
    bh_supervisor_tick(&rig.sup, 110);
    expect(&rig, 1, BH_ACTION_START);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_STARTED, 110);
    bh_supervisor_tick(&rig.sup, 1110); /* its whole time went by: that is not */
    expect(&rig, 1, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_ENDED, 1111);
    assert_int_equal(rig.live[1].state, BH_UNIT_FAILED);
    assert_int_equal(rig.live[1].cause, BH_CAUSE_NOT_READY);
    assert_int_equal(bh_supervisor_failed(&rig.sup), 1);
}

static void one_that_was_ready_once_is_tried_again(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ALWAYS);
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_FAILED, 10);
    bh_supervisor_tick(&rig.sup, 110);
    expect(&rig, 3, BH_ACTION_START);
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_STARTED, 110);
    bh_supervisor_tick(&rig.sup, 1110);
    expect(&rig, 3, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_ENDED, 1111);
    assert_int_equal(rig.live[3].state, BH_UNIT_BACKOFF);
}

static void reboots_are_counted(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ON_FAILURE);
    for (uint64_t i = 0; i < 2; i++) {
        bh_supervisor_event(&rig.sup, 2, BH_EVENT_REBOOTED, 10 + i);
        assert_int_equal(rig.live[2].state, BH_UNIT_RUNNING);
        expect_nothing(&rig);
        bh_supervisor_event(&rig.sup, 2, BH_EVENT_READY, 10 + i);
    }
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_REBOOTED, 20);
    expect(&rig, 2, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_ENDED, 21);
    assert_int_equal(rig.live[2].state, BH_UNIT_FAILED);
    assert_int_equal(rig.live[2].cause, BH_CAUSE_REBOOTS);
}

static void restart_of_a_device_stops_its_domain_first(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_NEVER);
    bh_supervisor_restart(&rig.sup, 0, 10);
    expect(&rig, 2, BH_ACTION_STOP);
    expect_nothing(&rig);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_FAILED, 11);
    expect(&rig, 0, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_FAILED, 12);
    get_ready(&rig, 0, 13);
    get_ready(&rig, 2, 14);
    expect_nothing(&rig);
}

static void cut_off_device_resumes_and_its_domain_lives_on(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ON_FAILURE);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_CUT, 20);
    expect(&rig, 1, BH_ACTION_RESUME); /* the first time at once */
    expect_nothing(&rig);
    assert_true(rig.live[1].resuming);
    assert_false(bh_supervisor_all_ready(&rig.sup));
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_STARTED, 21);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_CUT, 22); /* on its way back; and now with its back-off */
    expect_nothing(&rig);
    assert_int_equal(bh_supervisor_deadline(&rig.sup), 222);
    bh_supervisor_tick(&rig.sup, 222);
    expect(&rig, 1, BH_ACTION_RESUME);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_STARTED, 223);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_READY, 224);
    expect_nothing(&rig);
    assert_true(bh_supervisor_all_ready(&rig.sup));
    assert_false(rig.live[1].resuming);
    assert_int_equal(rig.live[1].restarts, 2);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_CUT, 300); /* the limit is two */
    assert_int_equal(rig.live[1].state, BH_UNIT_FAILED);
    expect(&rig, 2, BH_ACTION_STOP);
    expect_nothing(&rig);
}

static void device_that_refuses_to_resume_restarts_with_its_domain(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ON_FAILURE);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_CUT, 20);
    expect(&rig, 0, BH_ACTION_RESUME);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_STARTED, 21);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_FAILED, 22);
    expect(&rig, 2, BH_ACTION_STOP);
    expect_nothing(&rig);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_FAILED, 23);
    bh_supervisor_tick(&rig.sup, 222);
    get_ready(&rig, 0, 223); /* by START: anew */
    get_ready(&rig, 2, 224);
    assert_int_equal(rig.live[0].restarts, 2);
}

static void device_that_is_not_ready_in_time_again_takes_its_domain_along(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ON_FAILURE);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_CUT, 20);
    expect(&rig, 0, BH_ACTION_RESUME);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_STARTED, 20);
    bh_supervisor_tick(&rig.sup, 1020);
    expect(&rig, 0, BH_ACTION_STOP);
    expect(&rig, 2, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_FAILED, 1021);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_CUT, 1022); /* what was kept is of no use any more */
    expect_nothing(&rig);
    bh_supervisor_tick(&rig.sup, bh_supervisor_deadline(&rig.sup));
    get_ready(&rig, 0, 2000);
    get_ready(&rig, 2, 2001);
}

static void device_cut_off_before_it_was_ready_starts_anew(void **state)
{
    struct rig rig;
    rig_init(&rig, BH_UNIT_ON_FAILURE);
    bh_supervisor_up(&rig.sup, 1);
    expect(&rig, 0, BH_ACTION_START);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_STARTED, 2);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_CUT, 3);
    expect(&rig, 1, BH_ACTION_START);
    bh_supervisor_tick(&rig.sup, 103);
    expect(&rig, 0, BH_ACTION_START);
}

static void resume_on_request_asks_for_the_kill_and_counts_nothing(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_NEVER);
    bh_supervisor_resume(&rig.sup, 0, 10);
    expect(&rig, 0, BH_ACTION_KILL);
    expect_nothing(&rig);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_CUT, 11);
    expect(&rig, 0, BH_ACTION_RESUME);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_STARTED, 12);
    bh_supervisor_resume(&rig.sup, 0, 13); /* not ready: a restart like any other */
    expect(&rig, 2, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_ENDED, 14);
    expect(&rig, 0, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_CUT, 15);
    get_ready(&rig, 0, 16);
    get_ready(&rig, 2, 17);
    assert_int_equal(rig.live[0].restarts, 0);
}

static void domain_that_ends_while_its_device_resumes_waits_for_it(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ALWAYS);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_CUT, 20);
    expect(&rig, 0, BH_ACTION_RESUME);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_FAILED, 21);
    bh_supervisor_tick(&rig.sup, 121);
    expect_nothing(&rig);
    assert_int_equal(rig.live[2].state, BH_UNIT_WAITING);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_READY, 122);
    get_ready(&rig, 2, 123);

    bh_supervisor_event(&rig.sup, 0, BH_EVENT_CUT, 2000000); /* and on the way down nothing comes back */
    expect(&rig, 0, BH_ACTION_RESUME);
    bh_supervisor_down(&rig.sup, 2000001);
    expect(&rig, 3, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_ENDED, 2000002);
    expect(&rig, 2, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_CUT, 2000003);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_ENDED, 2000004);
    expect(&rig, 1, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_CUT, 2000005);
    expect_nothing(&rig);
    assert_true(bh_supervisor_all_down(&rig.sup));
}

static void critical_loss_leaves_only_what_is_kept(void **state)
{
    struct rig rig;
    rig_init(&rig, BH_UNIT_NEVER);
    pair_units[0].keep = pair_units[1].keep = pair_units[2].keep = true;
    pair_units[3].critical = true;
    assert_int_equal(bh_supervisor_init(&rig.sup, &pair, rig.live), BH_OK);
    bh_supervisor_up(&rig.sup, 1);
    for (unsigned i = 0; i < 4; i++)
        get_ready(&rig, i, 1);
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_FAILED, 2);
    expect_nothing(&rig);
    assert_true(rig.sup.safe);
    assert_int_equal(rig.live[2].state, BH_UNIT_READY);
    bh_supervisor_restart(&rig.sup, 3, 3); /* no way back but a new start */
    expect_nothing(&rig);

    rig_init(&rig, BH_UNIT_ALWAYS);
    pair_units[0].critical = true;
    pair_units[0].restart_limit = 0;
    bh_supervisor_up(&rig.sup, 1);
    for (unsigned i = 0; i < 4; i++)
        get_ready(&rig, i, 1);
    bh_supervisor_event(&rig.sup, 0, BH_EVENT_FAILED, 2);
    expect(&rig, 3, BH_ACTION_STOP); /* everything goes, in order */
    bh_supervisor_event(&rig.sup, 3, BH_EVENT_ENDED, 3);
    expect(&rig, 2, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 2, BH_EVENT_ENDED, 4);
    expect(&rig, 1, BH_ACTION_STOP);
    bh_supervisor_event(&rig.sup, 1, BH_EVENT_ENDED, 5);
    expect_nothing(&rig);
    assert_true(bh_supervisor_all_down(&rig.sup));
}

static void kill_asks_nobody(void **state)
{
    struct rig rig;
    all_up(&rig, BH_UNIT_ALWAYS);
    bh_supervisor_kill(&rig.sup, 10);
    for (unsigned i = 0; i < 4; i++)
        expect(&rig, i, BH_ACTION_KILL);
    for (uint16_t i = 0; i < 4; i++)
        bh_supervisor_event(&rig.sup, i, BH_EVENT_FAILED, 11);
    assert_true(bh_supervisor_all_down(&rig.sup));
}

static void wrong_tables_are_refused(void **state)
{
    struct bh_unit units[2] = {{.need_count = 1}, {0}};
    const struct bh_unit_need self[] = {{0, false}}, forward[] = {{1, true}};
    const struct bh_unit_table tables[] = {{units, self, 2, 1}, {units, forward, 2, 1}, {units, self, 2, 0}};
    struct bh_supervisor sup;
    struct bh_unit_live live[2];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(bh_supervisor_init(&sup, &tables[i], live), BH_ERR_INVAL);
    units[0].need_count = 0;
    units[1] = (struct bh_unit){.need_count = 1, .keep = true};
    const struct bh_unit_table keeps = {units, self, 2, 1};
    assert_int_equal(bh_supervisor_init(&sup, &keeps, live), BH_ERR_INVAL);
    units[0].keep = true;
    assert_int_equal(bh_supervisor_init(&sup, &keeps, live), BH_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domain_waits_for_every_device),
        cmocka_unit_test(stops_in_reverse_order),
        cmocka_unit_test(dead_device_takes_its_domain_along_and_both_return),
        cmocka_unit_test(unit_that_refuses_to_come_up_is_not_tried_again),
        cmocka_unit_test(unit_that_was_ready_and_refuses_is_tried_again_by_its_policy),
        cmocka_unit_test(restarts_end_at_the_limit),
        cmocka_unit_test(power_off_is_no_failure),
        cmocka_unit_test(never_ready_is_stopped_and_judged),
        cmocka_unit_test(one_that_was_never_ready_is_not_tried_again),
        cmocka_unit_test(one_that_was_ready_once_is_tried_again),
        cmocka_unit_test(reboots_are_counted),
        cmocka_unit_test(restart_of_a_device_stops_its_domain_first),
        cmocka_unit_test(cut_off_device_resumes_and_its_domain_lives_on),
        cmocka_unit_test(device_that_refuses_to_resume_restarts_with_its_domain),
        cmocka_unit_test(device_that_is_not_ready_in_time_again_takes_its_domain_along),
        cmocka_unit_test(device_cut_off_before_it_was_ready_starts_anew),
        cmocka_unit_test(resume_on_request_asks_for_the_kill_and_counts_nothing),
        cmocka_unit_test(domain_that_ends_while_its_device_resumes_waits_for_it),
        cmocka_unit_test(critical_loss_leaves_only_what_is_kept),
        cmocka_unit_test(kill_asks_nobody),
        cmocka_unit_test(wrong_tables_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
