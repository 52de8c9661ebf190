/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervision's state machine: events, time, and the two passes that follow each of them. See supervise.h.
 */
#include "supervise/supervise.h"

enum { BACKOFF_DOUBLINGS = 5 };

static const struct bh_unit *unit_of(const struct bh_supervisor *sup, const struct bh_unit_live *live)
{
    return &sup->table->units[live - sup->live];
}

bool bh_unit_lives(const struct bh_unit_live *live)
{
    return live->state == BH_UNIT_STARTING || live->state == BH_UNIT_RUNNING ||
           live->state == BH_UNIT_READY || live->state == BH_UNIT_STOPPING;
}

static void ask(struct bh_unit_live *live, enum bh_unit_action action)
{
    live->pending = (uint8_t)(action + 1);
}

static uint64_t after(const struct bh_supervisor *sup, uint32_t delay_ms)
{
    return delay_ms ? sup->now + delay_ms : 0;
}

/* --- how a unit goes down ---------------------------------------------------------------------------------- */

/* A restart is allowed when the window is over or has room; it is counted. */
static bool charge(struct bh_supervisor *sup, struct bh_unit_live *live)
{
    const struct bh_unit *unit = unit_of(sup, live);
    if (!live->window_used || sup->now - live->window_since >= unit->restart_window_ms) {
        live->window_since = sup->now;
        live->window_used = 0;
    }
    if (live->window_used >= unit->restart_limit)
        return false;
    live->window_used++;
    live->restarts++;
    return true;
}

static void set_unwanted(struct bh_unit_live *live)
{
    live->wanted = false;
    live->again = false;
    live->resuming = false;
    if (live->state == BH_UNIT_WAITING || live->state == BH_UNIT_BACKOFF) {
        live->state = BH_UNIT_STOPPED;
        live->deadline = 0;
    }
}

/* It stays down. A critical unit takes the system to its safe state: only what is to be kept goes on. */
static void lose(struct bh_supervisor *sup, struct bh_unit_live *live, enum bh_unit_cause cause)
{
    live->state = BH_UNIT_FAILED;
    live->cause = (uint8_t)cause;
    live->deadline = 0;
    live->resuming = false;
    if (!unit_of(sup, live)->critical || sup->safe)
        return;
    sup->safe = true;
    for (uint16_t i = 0; i < sup->table->unit_count; i++)
        if (!sup->table->units[i].keep)
            set_unwanted(&sup->live[i]);
}

/*
 * A unit that is wanted is gone, for a reason that its policy knows. One that had its whole time to become ready, and
 * never was, is not tried again: whoever asked for it waits for an answer, and another such time would end the same. Nor
 * is one that refuses to come up the first time. One that was ready may only have met what a former process left behind.
 * Whoever waits for one that resumes is served by none meanwhile: the first time in a window it starts at once.
 */
static void gone_badly(struct bh_supervisor *sup, struct bh_unit_live *live, enum bh_unit_cause cause)
{
    const struct bh_unit *unit = unit_of(sup, live);
    const bool hopeless = (cause == BH_CAUSE_NOT_READY || cause == BH_CAUSE_REFUSED) && !live->was_ready;
    if (unit->restart == BH_UNIT_NEVER || hopeless || !charge(sup, live)) {
        lose(sup, live, cause);
        return;
    }
    const uint32_t doublings = live->window_used - 1;
    live->state = live->resuming && !doublings ? BH_UNIT_WAITING : BH_UNIT_BACKOFF;
    live->cause = (uint8_t)cause;
    if (live->state == BH_UNIT_BACKOFF)
        live->deadline = sup->now + ((uint64_t)unit->backoff_ms
                                     << (doublings < BACKOFF_DOUBLINGS ? doublings : BACKOFF_DOUBLINGS));
}

/* A unit is gone that was on its way down by our will: down for good, up again, or judged. */
static void gone_as_asked(struct bh_supervisor *sup, struct bh_unit_live *live)
{
    const bool failing = live->failing;
    live->failing = false;
    live->again = false;
    if (!live->wanted)
        live->state = BH_UNIT_STOPPED;
    else if (failing)
        gone_badly(sup, live, live->cause);
    else
        live->state = BH_UNIT_WAITING;
}

static void begin_stop(struct bh_supervisor *sup, struct bh_unit_live *live)
{
    const bool never_started = live->state == BH_UNIT_STARTING && live->pending;
    const uint32_t patience = unit_of(sup, live)->stop_timeout_ms;
    live->deadline = 0;
    live->pending = 0;
    if (never_started) {
        gone_as_asked(sup, live);
        return;
    }
    live->state = BH_UNIT_STOPPING;
    live->deadline = after(sup, patience);
    ask(live, patience ? BH_ACTION_STOP : BH_ACTION_KILL);
}

/* --- the passes -------------------------------------------------------------------------------------------- */

enum need_state { NEED_MET, NEED_OPEN, NEED_LOST };

static enum need_state need_state(const struct bh_supervisor *sup, const struct bh_unit *unit)
{
    enum need_state worst = NEED_MET;
    for (uint16_t n = 0; n < unit->need_count; n++) {
        const struct bh_unit_need *need = &sup->table->needs[unit->need_first + n];
        const struct bh_unit_live *other = &sup->live[need->unit];
        if (other->state == BH_UNIT_READY && !other->leaving)
            continue;
        if (other->state == BH_UNIT_STOPPED && other->was_ready && !need->binds)
            continue;
        if (other->state == BH_UNIT_FAILED || other->state == BH_UNIT_STOPPED)
            return NEED_LOST;
        worst = NEED_OPEN;
    }
    return worst;
}

/* Up the table: who must go down, by its own goal or with what it is bound to? */
static void mark_leaving(struct bh_supervisor *sup)
{
    for (uint16_t i = 0; i < sup->table->unit_count; i++) {
        const struct bh_unit *unit = &sup->table->units[i];
        struct bh_unit_live *live = &sup->live[i];
        live->held = false;
        live->leaving = bh_unit_lives(live) && (!live->wanted || live->again);
        for (uint16_t n = 0; bh_unit_lives(live) && n < unit->need_count; n++) {
            const struct bh_unit_need *need = &sup->table->needs[unit->need_first + n];
            const struct bh_unit_live *other = &sup->live[need->unit];
            if (need->binds && !other->resuming && (other->leaving || other->state != BH_UNIT_READY))
                live->leaving = true;
        }
    }
}

/* Down the table: stop what is leaving, unless something that stands on it still lives and must go first. */
static void stop_leaving(struct bh_supervisor *sup)
{
    for (uint16_t i = sup->table->unit_count; i-- > 0;) {
        const struct bh_unit *unit = &sup->table->units[i];
        struct bh_unit_live *live = &sup->live[i];
        if (live->leaving && live->state != BH_UNIT_STOPPING && !live->held)
            begin_stop(sup, live);
        for (uint16_t n = 0; bh_unit_lives(live) && n < unit->need_count; n++) {
            const struct bh_unit_need *need = &sup->table->needs[unit->need_first + n];
            if (need->binds || !live->wanted)
                sup->live[need->unit].held = true;
        }
    }
}

/* Up the table: start what has all that it needs; give up what has lost a need, and take it up when that is back. */
static void start_waiting(struct bh_supervisor *sup)
{
    for (uint16_t i = 0; i < sup->table->unit_count; i++) {
        const struct bh_unit *unit = &sup->table->units[i];
        struct bh_unit_live *live = &sup->live[i];
        const bool given_up = live->state == BH_UNIT_FAILED && live->cause == BH_CAUSE_NEED;
        if (!live->wanted || (live->state != BH_UNIT_WAITING && !given_up))
            continue;
        const enum need_state needs = need_state(sup, unit);
        if (needs == NEED_LOST) {
            if (!given_up)
                lose(sup, live, BH_CAUSE_NEED);
            continue;
        }
        live->state = BH_UNIT_WAITING;
        if (needs == NEED_OPEN)
            continue;
        live->state = BH_UNIT_STARTING;
        live->deadline = after(sup, unit->ready_timeout_ms);
        ask(live, live->resuming ? BH_ACTION_RESUME : BH_ACTION_START);
    }
}

/* The safe state is entered at most once, so that there are at most two rounds. */
static void settle(struct bh_supervisor *sup)
{
    bool safe_before;
    do {
        safe_before = sup->safe;
        mark_leaving(sup);
        stop_leaving(sup);
        start_waiting(sup);
    } while (sup->safe != safe_before);
}

/* --- what comes in ----------------------------------------------------------------------------------------- */

static void set_now(struct bh_supervisor *sup, uint64_t now)
{
    if (now > sup->now)
        sup->now = now;
}

static void begin_anew(struct bh_unit_live *live)
{
    live->wanted = true;
    live->window_used = 0;
    if (bh_unit_lives(live))
        return;
    live->state = BH_UNIT_WAITING;
    live->cause = BH_CAUSE_NONE;
    live->was_ready = false;
    live->deadline = 0;
}

int bh_supervisor_init(struct bh_supervisor *sup, const struct bh_unit_table *table,
                       struct bh_unit_live *live)
{
    for (uint16_t i = 0; i < table->unit_count; i++) {
        const struct bh_unit *unit = &table->units[i];
        if (unit->need_first > table->need_count || unit->need_count > table->need_count - unit->need_first)
            return BH_ERR_INVAL;
        for (uint16_t n = 0; n < unit->need_count; n++) {
            const uint16_t other = table->needs[unit->need_first + n].unit;
            if (other >= i || (unit->keep && !table->units[other].keep))
                return BH_ERR_INVAL;
        }
    }
    memset(sup, 0, sizeof(*sup));
    memset(live, 0, table->unit_count * sizeof(*live));
    sup->table = table;
    sup->live = live;
    return BH_OK;
}

void bh_supervisor_up(struct bh_supervisor *sup, uint64_t now)
{
    set_now(sup, now);
    for (uint16_t i = 0; i < sup->table->unit_count; i++)
        if (!sup->safe || sup->table->units[i].keep)
            begin_anew(&sup->live[i]);
    settle(sup);
}

void bh_supervisor_down(struct bh_supervisor *sup, uint64_t now)
{
    set_now(sup, now);
    for (uint16_t i = 0; i < sup->table->unit_count; i++)
        set_unwanted(&sup->live[i]);
    settle(sup);
}

void bh_supervisor_kill(struct bh_supervisor *sup, uint64_t now)
{
    set_now(sup, now);
    for (uint16_t i = 0; i < sup->table->unit_count; i++) {
        struct bh_unit_live *live = &sup->live[i];
        set_unwanted(live);
        if (!bh_unit_lives(live))
            continue;
        begin_stop(sup, live);
        if (live->state == BH_UNIT_STOPPING)
            ask(live, BH_ACTION_KILL);
    }
}

void bh_supervisor_restart(struct bh_supervisor *sup, uint16_t unit, uint64_t now)
{
    set_now(sup, now);
    if (unit >= sup->table->unit_count || (sup->safe && !sup->table->units[unit].keep))
        return;
    for (uint16_t i = 0; i <= unit; i++)
        sup->live[i].held = i == unit; /* scratch: this one begins anew, if it is down */
    for (uint16_t i = unit + 1u; i-- > 0;) {
        const struct bh_unit *at = &sup->table->units[i];
        struct bh_unit_live *live = &sup->live[i];
        if (!live->held)
            continue;
        if (i == unit) {
            live->again = bh_unit_lives(live);
            live->resuming = false;
        }
        if (i == unit || !bh_unit_lives(live))
            begin_anew(live);
        for (uint16_t n = 0; n < at->need_count; n++)
            if (sup->table->needs[at->need_first + n].binds)
                sup->live[sup->table->needs[at->need_first + n].unit].held = true;
    }
    settle(sup);
}

void bh_supervisor_resume(struct bh_supervisor *sup, uint16_t unit, uint64_t now)
{
    if (unit >= sup->table->unit_count)
        return;
    struct bh_unit_live *live = &sup->live[unit];
    set_now(sup, now);
    if (live->state != BH_UNIT_READY || live->leaving) {
        bh_supervisor_restart(sup, unit, now);
        return;
    }
    live->window_used = 0;
    live->resuming = true;
    live->state = BH_UNIT_STOPPING;
    live->deadline = after(sup, unit_of(sup, live)->stop_timeout_ms);
    ask(live, BH_ACTION_KILL);
    settle(sup);
}

static void unit_gone(struct bh_supervisor *sup, struct bh_unit_live *live, enum bh_unit_event how)
{
    const bool stopping = live->state == BH_UNIT_STOPPING || live->leaving, well = how == BH_EVENT_ENDED;
    if (!bh_unit_lives(live))
        return;
    live->pending = 0;
    live->deadline = 0;
    /* Cut off once, it may be cut off again on its way back; one that never was ready serves nobody. */
    live->resuming = how == BH_EVENT_CUT && live->wanted && !live->leaving &&
                     (live->resuming || live->state == BH_UNIT_READY);
    if (stopping || !live->wanted || live->again)
        gone_as_asked(sup, live);
    else if (!well || unit_of(sup, live)->restart == BH_UNIT_ALWAYS)
        gone_badly(sup, live, how == BH_EVENT_REFUSED ? BH_CAUSE_REFUSED : BH_CAUSE_EXITED);
    else
        live->state = BH_UNIT_STOPPED;
}

static void rebooted(struct bh_supervisor *sup, struct bh_unit_live *live)
{
    if (live->state != BH_UNIT_RUNNING && live->state != BH_UNIT_READY)
        return;
    if (unit_of(sup, live)->restart == BH_UNIT_NEVER || charge(sup, live)) {
        live->state = BH_UNIT_RUNNING;
        live->deadline = after(sup, unit_of(sup, live)->ready_timeout_ms);
        return;
    }
    live->failing = true;
    live->cause = BH_CAUSE_REBOOTS;
    begin_stop(sup, live);
}

void bh_supervisor_event(struct bh_supervisor *sup, uint16_t index, enum bh_unit_event event, uint64_t now)
{
    if (index >= sup->table->unit_count)
        return;
    struct bh_unit_live *live = &sup->live[index];
    set_now(sup, now);
    switch (event) {
    case BH_EVENT_STARTED:
        if (live->state == BH_UNIT_STARTING && !live->pending) {
            live->state = BH_UNIT_RUNNING;
            live->deadline = after(sup, unit_of(sup, live)->ready_timeout_ms);
        }
        break;
    case BH_EVENT_READY:
        if ((live->state == BH_UNIT_STARTING && !live->pending) || live->state == BH_UNIT_RUNNING) {
            live->state = BH_UNIT_READY;
            live->cause = BH_CAUSE_NONE;
            live->was_ready = true;
            live->resuming = false;
            live->deadline = 0;
        }
        break;
    case BH_EVENT_REBOOTED: rebooted(sup, live); break;
    case BH_EVENT_ENDED:
    case BH_EVENT_FAILED:
    case BH_EVENT_REFUSED:
    case BH_EVENT_CUT: unit_gone(sup, live, event); break;
    }
    settle(sup);
}

/* --- time -------------------------------------------------------------------------------------------------- */

uint64_t bh_supervisor_deadline(const struct bh_supervisor *sup)
{
    uint64_t first = 0;
    for (uint16_t i = 0; i < sup->table->unit_count; i++) {
        const uint64_t deadline = sup->live[i].deadline;
        if (deadline && (!first || deadline < first))
            first = deadline;
    }
    return first;
}

static void too_late(struct bh_supervisor *sup, struct bh_unit_live *live)
{
    live->deadline = 0;
    switch ((enum bh_unit_state)live->state) {
    case BH_UNIT_STARTING:
    case BH_UNIT_RUNNING:
        live->failing = true;
        live->resuming = false;
        live->cause = BH_CAUSE_NOT_READY;
        begin_stop(sup, live);
        break;
    case BH_UNIT_STOPPING:
        ask(live, BH_ACTION_KILL);
        live->deadline = after(sup, unit_of(sup, live)->stop_timeout_ms);
        break;
    case BH_UNIT_BACKOFF: live->state = BH_UNIT_WAITING; break;
    case BH_UNIT_WAITING:
    case BH_UNIT_READY:
    case BH_UNIT_STOPPED:
    case BH_UNIT_FAILED: break;
    }
}

void bh_supervisor_tick(struct bh_supervisor *sup, uint64_t now)
{
    set_now(sup, now);
    for (uint16_t i = 0; i < sup->table->unit_count; i++)
        if (sup->live[i].deadline && sup->live[i].deadline <= sup->now)
            too_late(sup, &sup->live[i]);
    settle(sup);
}
