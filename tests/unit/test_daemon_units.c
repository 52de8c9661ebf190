/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervision's table as it is made from a plan: what comes first, who needs whom, and what a switch's end means for
 * the domains at it.
 */
#include "daemon/system.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* Domain a has two nets at the switch and a disk, domain b a net at it. */
enum { LAN, A_ONE, A_TWO, A_DISK, A, B_NET, B, UNITS };

static struct bh_plan_device devices[] = {
    {.name = (char[]){"one"}, .class_name = (char[]){"net"}, .link = BH_PLAN_NONE},
    {.name = (char[]){"two"}, .class_name = (char[]){"net"}, .link = BH_PLAN_NONE},
    {.name = (char[]){"disk"},
     .class_name = (char[]){"blk"},
     .link = BH_PLAN_NONE,
     .net_switch = BH_PLAN_NONE},
    {.name = (char[]){"net"}, .class_name = (char[]){"net"}, .link = BH_PLAN_NONE, .domain = 1, .line = 7},
};
static struct bh_plan_domain domains[] = {
    {.name = (char[]){"a"}, .device_count = 3, .restart_limit = 1, .restart_window_ms = 1000},
    {.name = (char[]){"b"},
     .device_first = 3,
     .device_count = 1,
     .restart_limit = 1,
     .restart_window_ms = 1000},
};
static struct bh_plan_switch lan = {.name = (char[]){"lan"},
                                    .line = 3,
                                    .restart = BH_PLAN_RESTART_ON_FAILURE,
                                    .restart_limit = 1,
                                    .restart_window_ms = 1000};
static uint32_t order[] = {0, 1};
static const struct bh_plan plan = {.name = (char[]){"system"},
                                    .domains = domains,
                                    .domain_count = 2,
                                    .devices = devices,
                                    .device_count = 4,
                                    .switches = &lan,
                                    .switch_count = 1,
                                    .start_order = order};

static int setup(void **state)
{
    struct system *system = calloc(1, sizeof(*system));
    assert_non_null(system);
    system->plan = &plan;
    assert_int_equal(units_create(system), BH_OK);
    *state = system;
    return 0;
}

static int teardown(void **state)
{
    units_destroy(*state);
    free(*state);
    return 0;
}

static void switch_comes_first_and_is_called_by_its_name(void **state)
{
    struct system *system = *state;
    const struct unit *unit = unit_find(system, "lan");

    assert_int_equal(system->table.unit_count, UNITS);
    assert_ptr_equal(unit, &system->units[LAN]);
    assert_string_equal(unit_kind_text(unit), "switch");
    assert_string_equal(unit_class(unit), "switch");
    assert_int_equal(unit_line(unit), 3);
    assert_null(unit_domain(unit));
    assert_null(unit_program(unit));
    assert_int_equal(unit_line(unit_find(system, "b.net")), 7);
    assert_string_equal(unit_domain(unit_find(system, "b/net"))->name, "b");
}

static void domain_needs_each_switch_once_and_is_not_bound_to_it(void **state)
{
    const struct system *system = *state;
    const struct bh_unit *a = &system->table.units[A];
    const struct bh_unit_need *needs = &system->table.needs[a->need_first];

    assert_int_equal(a->need_count, 4);
    for (uint16_t i = 0; i < 3; i++) {
        assert_int_equal(needs[i].unit, A_ONE + i);
        assert_true(needs[i].binds);
    }
    assert_int_equal(needs[3].unit, LAN);
    assert_false(needs[3].binds);
    assert_int_equal(system->table.units[A_ONE].need_count, 0); /* a net's process runs without */
}

/* Carry out every start: what lives is ready at once. */
static void start_all(struct system *system, uint64_t now)
{
    enum bh_unit_action action;
    uint16_t unit;

    while (bh_supervisor_next(&system->supervisor, &unit, &action)) {
        assert_int_equal(action, BH_ACTION_START);
        bh_supervisor_event(&system->supervisor, unit, BH_EVENT_STARTED, now);
        bh_supervisor_event(&system->supervisor, unit, BH_EVENT_READY, now);
    }
}

static void domains_wait_for_their_switch_and_outlive_it(void **state)
{
    struct system *system = *state;
    enum bh_unit_action action;
    uint16_t unit;

    bh_supervisor_up(&system->supervisor, 1);
    assert_true(bh_supervisor_next(&system->supervisor, &unit, &action));
    assert_int_equal(unit, LAN);
    assert_int_equal(system->live[A].state, BH_UNIT_WAITING);
    bh_supervisor_event(&system->supervisor, LAN, BH_EVENT_STARTED, 2);
    bh_supervisor_event(&system->supervisor, LAN, BH_EVENT_READY, 2);
    start_all(system, 3);
    assert_true(bh_supervisor_all_ready(&system->supervisor));

    bh_supervisor_event(&system->supervisor, LAN, BH_EVENT_FAILED, 10);
    assert_int_equal(system->live[LAN].state, BH_UNIT_BACKOFF);
    assert_int_equal(system->live[A].state, BH_UNIT_READY);
    assert_int_equal(system->live[B_NET].state, BH_UNIT_READY);
    assert_false(bh_supervisor_next(&system->supervisor, &unit, &action)); /* nobody is stopped */
    bh_supervisor_tick(&system->supervisor, bh_supervisor_deadline(&system->supervisor));
    start_all(system, 500);
    assert_true(bh_supervisor_all_ready(&system->supervisor));

    bh_supervisor_event(&system->supervisor, LAN, BH_EVENT_FAILED, 600); /* more than its policy allows */
    assert_int_equal(system->live[LAN].state, BH_UNIT_FAILED);
    assert_int_equal(system->live[A].state, BH_UNIT_READY);
    assert_int_equal(system->live[B].state, BH_UNIT_READY);
}

/* What QEMU says, in which a guest may be at home, begins no line of its own in the history. */
static void event_in_the_history_is_one_line(void **state)
{
    struct system *system = *state;
    char folder[] = "/tmp/bh-u.XXXXXX", text[256];

    assert_non_null(mkdtemp(folder));
    const int dir = open(folder, O_RDONLY | O_DIRECTORY);
    assert_int_equal(bh_log_open(&system->log, dir, "daemon"), BH_OK);
    system_log(system, "a", "QEMU: %s", "no\n     9.000 b: ready\033[2J\r");
    assert_in_range(bh_log_tail(&system->log, text, sizeof(text)), 1, sizeof(text) - 1);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
    assert_non_null(strstr(text, "a: QEMU: no?     9.000 b: ready?[2J?\n"));
    bh_log_close(&system->log);
    assert_int_equal(unlinkat(dir, "daemon.log", 0), 0);
    close(dir);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(switch_comes_first_and_is_called_by_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(domain_needs_each_switch_once_and_is_not_bound_to_it, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(domains_wait_for_their_switch_and_outlive_it, setup, teardown),
        cmocka_unit_test_setup_teardown(event_in_the_history_is_one_line, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
