/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervision of random tables under random events, with a world that plays the processes. The world knows nothing
 * of the machine's inside: it checks what a user may count on (start order, stop order, limits, nothing alive at the
 * end) from the actions alone.
 */
#include "supervise/supervise.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { UNITS = 12, NEEDS = 64 };

struct world {
    struct bh_unit units[UNITS];
    struct bh_unit_need needs[NEEDS];
    struct bh_unit_table table;
    struct bh_supervisor sup;
    struct bh_unit_live live[UNITS];
    bool alive[UNITS], ready[UNITS], told_to_stop[UNITS], was_ready[UNITS];
    bool kept[UNITS]; /* cut off: it may be resumed, and so what is bound to it may live */
    unsigned starts[UNITS], reboots[UNITS];
    bool asked; /* somebody asks for restarts too, which count for no limit */
    uint64_t now;
    bool down;
    unsigned random;
};

static unsigned rnd(struct world *world, unsigned below)
{
    world->random = world->random * 1664525u + 1013904223u;
    return (world->random >> 8) % below;
}

static void make_table(struct world *world)
{
    const unsigned count = 1 + rnd(world, UNITS);
    unsigned needs = 0;
    for (unsigned i = 0; i < count; i++) {
        world->units[i] = (struct bh_unit){
            .need_first = needs,
            .restart = (uint8_t)rnd(world, 3),
            .critical = rnd(world, 20) == 0,
            .restart_limit = rnd(world, 4),
            .restart_window_ms = 1u << 30, /* one window: the limit is the limit */
            .backoff_ms = rnd(world, 50),
            .ready_timeout_ms = rnd(world, 4) ? 100 + rnd(world, 400) : 0,
            .stop_timeout_ms = rnd(world, 4) ? 50 + rnd(world, 100) : 0,
        };
        for (unsigned n = 0; n < i && needs < NEEDS; n++)
            if (rnd(world, 3) == 0)
                world->needs[needs++] = (struct bh_unit_need){(uint16_t)n, rnd(world, 2) != 0};
        world->units[i].need_count = (uint16_t)(needs - world->units[i].need_first);
    }
    world->table = (struct bh_unit_table){world->units, world->needs, (uint16_t)count, needs};
    assert_int_equal(bh_supervisor_init(&world->sup, &world->table, world->live), BH_OK);
}

static void check_start(struct world *world, unsigned unit)
{
    const struct bh_unit *row = &world->units[unit];
    assert_false(world->down);
    assert_false(world->alive[unit]);
    for (unsigned n = 0; n < row->need_count; n++) {
        const struct bh_unit_need *need = &world->needs[row->need_first + n];
        if (need->binds)
            assert_true(world->ready[need->unit]);
        else
            assert_true(world->ready[need->unit] ||
                        (!world->alive[need->unit] && world->was_ready[need->unit]));
    }
    world->starts[unit]++;
}

/* Nobody is stopped while something bound to it lives. */
static void check_stop(const struct world *world, unsigned unit)
{
    assert_true(world->alive[unit]);
    for (unsigned i = 0; i < world->table.unit_count; i++)
        for (unsigned n = 0; n < world->units[i].need_count; n++) {
            const struct bh_unit_need *need = &world->needs[world->units[i].need_first + n];
            if (need->unit != unit || !world->alive[i])
                continue;
            /* Unless the unit itself was lost already: it was not ready, or rebooted once too often. */
            if (world->ready[unit])
                assert_false(need->binds || world->down);
        }
}

/* A unit that was ready, or came back to be, may be cut off; it is as good as failed when it was about to stop. */
static void end_unit(struct world *world, unsigned unit, enum bh_unit_event how)
{
    world->kept[unit] = how == BH_EVENT_CUT && (world->ready[unit] || world->kept[unit]);
    world->alive[unit] = world->ready[unit] = world->told_to_stop[unit] = false;
    bh_supervisor_event(&world->sup, (uint16_t)unit, how, world->now);
}

static enum bh_unit_event any_end(struct world *world)
{
    static const enum bh_unit_event ends[] = {BH_EVENT_ENDED, BH_EVENT_FAILED, BH_EVENT_CUT,
                                              BH_EVENT_REFUSED};
    return ends[rnd(world, 4)];
}

static void carry_out(struct world *world)
{
    uint16_t unit;
    enum bh_unit_action action;
    for (unsigned i = 0; bh_supervisor_next(&world->sup, &unit, &action); i++) {
        assert_true(i < 1000); /* it comes to rest */
        if (action == BH_ACTION_START || action == BH_ACTION_RESUME) {
            check_start(world, unit);
            assert_true(action == BH_ACTION_START || world->kept[unit]);
            world->kept[unit] = action == BH_ACTION_RESUME;
            world->alive[unit] = true;
            if (rnd(world, 12) == 0)
                end_unit(world, unit, BH_EVENT_FAILED); /* it could not be started */
            else
                bh_supervisor_event(&world->sup, unit, BH_EVENT_STARTED, world->now);
        } else if (action == BH_ACTION_STOP) {
            check_stop(world, unit);
            world->told_to_stop[unit] = true;
        } else {
            assert_true(world->alive[unit]);
            end_unit(world, unit, rnd(world, 2) ? BH_EVENT_FAILED : BH_EVENT_CUT);
        }
    }
}

static void one_event(struct world *world)
{
    struct bh_supervisor *sup = &world->sup;
    const unsigned unit = rnd(world, world->table.unit_count);
    const uint64_t deadline = bh_supervisor_deadline(sup);
    world->now += rnd(world, 30);
    switch (rnd(world, 12)) {
    case 0:
    case 1:
        if (deadline > world->now)
            world->now = deadline;
        bh_supervisor_tick(sup, world->now);
        break;
    case 2:
        if (world->alive[unit])
            end_unit(world, unit, any_end(world));
        break;
    case 3:
        if (world->alive[unit] && world->ready[unit]) {
            world->ready[unit] = false;
            world->reboots[unit]++;
            bh_supervisor_event(sup, (uint16_t)unit, BH_EVENT_REBOOTED, world->now);
        }
        break;
    case 4:
        if (!world->down && world->asked && rnd(world, 3) == 0) {
            if (rnd(world, 2))
                bh_supervisor_restart(sup, (uint16_t)unit, world->now);
            else
                bh_supervisor_resume(sup, (uint16_t)unit, world->now);
        }
        break;
    case 5:
    case 6:
        if (world->told_to_stop[unit])
            end_unit(world, unit, any_end(world));
        break;
    default:
        if (world->alive[unit] && !world->told_to_stop[unit]) {
            world->ready[unit] = world->was_ready[unit] = true;
            bh_supervisor_event(sup, (uint16_t)unit, BH_EVENT_READY, world->now);
        }
        break;
    }
}

static void check_states(const struct world *world)
{
    for (unsigned i = 0; i < world->table.unit_count; i++) {
        const struct bh_unit_live *live = &world->live[i];
        assert_int_equal(bh_unit_lives(live), world->alive[i]);
        if (live->state == BH_UNIT_READY)
            assert_true(world->ready[i]);
        if (live->state == BH_UNIT_STOPPING)
            assert_true(world->told_to_stop[i]);
        if (live->state == BH_UNIT_BACKOFF ||
            (live->state == BH_UNIT_STOPPING && world->units[i].stop_timeout_ms))
            assert_true(live->deadline > 0);
    }
}

/* Time passes and everyone obeys: everything that lives must have an end. */
static void bring_down(struct world *world)
{
    world->down = true;
    bh_supervisor_down(&world->sup, world->now);
    for (unsigned i = 0; !bh_supervisor_all_down(&world->sup); i++) {
        assert_true(i < 1000);
        carry_out(world);
        check_states(world);
        const uint64_t deadline = bh_supervisor_deadline(&world->sup);
        if (deadline > world->now)
            world->now = deadline;
        bh_supervisor_tick(&world->sup, world->now);
    }
    for (unsigned i = 0; i < world->table.unit_count; i++)
        assert_false(world->alive[i]);
}

/* Started again by its policy, within its limit, or since what it is bound to was lost. */
static void check_limit(const struct world *world, unsigned unit)
{
    const struct bh_unit *row = &world->units[unit];
    unsigned most = 1 + (row->restart == BH_UNIT_NEVER ? 0 : row->restart_limit);
    for (unsigned n = 0; n < row->need_count; n++) {
        const struct bh_unit_need *need = &world->needs[row->need_first + n];
        if (need->binds)
            most += world->starts[need->unit] + world->reboots[need->unit];
    }
    assert_in_range(world->starts[unit], 0, most);
}

static void random_events_keep_the_promises(void **state)
{
    for (unsigned seed = 1; seed <= 3000; seed++) {
        struct world world = {.random = seed, .now = 1, .asked = seed % 2 == 0};
        make_table(&world);
        bh_supervisor_up(&world.sup, world.now);
        for (unsigned step = 0; step < 150; step++) {
            carry_out(&world);
            check_states(&world);
            one_event(&world);
        }
        carry_out(&world);
        bring_down(&world);
        for (unsigned i = 0; i < world.table.unit_count; i++) {
            assert_true(world.units[i].restart != BH_UNIT_NEVER || world.live[i].restarts == 0);
            if (!world.asked)
                check_limit(&world, i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_events_keep_the_promises)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
