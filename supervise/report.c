/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the supervision says of itself: the actions that wait, the whole system's state, and words for people.
 */
#include "supervise/supervise.h"

bool bh_supervisor_next(struct bh_supervisor *sup, uint16_t *unit, enum bh_unit_action *action)
{
    const uint16_t count = sup->table->unit_count;
    for (uint16_t step = 0; step < count; step++) {
        const uint16_t i = (uint16_t)(((uint32_t)sup->cursor + step) % count);
        struct bh_unit_live *live = &sup->live[i];
        if (!live->pending)
            continue;
        *unit = i;
        *action = (enum bh_unit_action)(live->pending - 1);
        live->pending = 0;
        sup->cursor = i;
        return true;
    }
    sup->cursor = 0;
    return false;
}

bool bh_supervisor_all_ready(const struct bh_supervisor *sup)
{
    for (uint16_t i = 0; i < sup->table->unit_count; i++) {
        const struct bh_unit_live *live = &sup->live[i];
        const bool ended = live->state == BH_UNIT_STOPPED && live->was_ready;
        if (live->wanted && live->state != BH_UNIT_READY && !ended)
            return false;
    }
    return true;
}

bool bh_supervisor_all_down(const struct bh_supervisor *sup)
{
    for (uint16_t i = 0; i < sup->table->unit_count; i++) {
        const struct bh_unit_live *live = &sup->live[i];
        const bool rises = live->wanted && (live->state == BH_UNIT_WAITING || live->state == BH_UNIT_BACKOFF);
        if (bh_unit_lives(live) || rises)
            return false;
    }
    return true;
}

uint16_t bh_supervisor_failed(const struct bh_supervisor *sup)
{
    uint16_t drawn = sup->table->unit_count;
    for (uint16_t i = 0; i < sup->table->unit_count; i++) {
        if (sup->live[i].state != BH_UNIT_FAILED)
            continue;
        if (sup->live[i].cause != BH_CAUSE_NEED)
            return i;
        if (drawn == sup->table->unit_count)
            drawn = i;
    }
    return drawn;
}

const char *bh_unit_state_text(enum bh_unit_state state)
{
    switch (state) {
    case BH_UNIT_WAITING: return "waiting";
    case BH_UNIT_STARTING: return "starting";
    case BH_UNIT_RUNNING: return "running";
    case BH_UNIT_READY: return "ready";
    case BH_UNIT_STOPPING: return "stopping";
    case BH_UNIT_BACKOFF: return "backoff";
    case BH_UNIT_STOPPED: return "stopped";
    case BH_UNIT_FAILED: return "failed";
    }
    return "?";
}

const char *bh_unit_cause_text(enum bh_unit_cause cause)
{
    switch (cause) {
    case BH_CAUSE_NONE: return "";
    case BH_CAUSE_EXITED: return "it ended by itself";
    case BH_CAUSE_REFUSED: return "it cannot be started";
    case BH_CAUSE_NOT_READY: return "not ready in time";
    case BH_CAUSE_REBOOTS: return "it rebooted too often";
    case BH_CAUSE_NEED: return "something that it needs has failed";
    }
    return "?";
}
