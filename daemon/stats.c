/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A report of what all device processes count. One that does not answer has its reason in the place of its counters.
 */
#include "daemon/ask.h"
#include "daemon/client.h"
#include "daemon/system.h"

#include <stdlib.h>
#include <string.h>

enum { COUNTERS_MIN = 4096 }; /* what a device process may say in any case */

struct slot {
    struct stats *stats;
    struct ask *ask;
    json_t *device; /* the report's entry */
};

struct stats {
    struct system *system;
    json_t *report;
    void (*done)(void *owner, json_t *report);
    void *owner;
    struct bh_loop_work work; /* nobody was to be asked */
    unsigned waiting;
    size_t count;
    struct slot slots[];
};

static void release(struct stats *stats)
{
    for (size_t i = 0; i < stats->count; i++)
        ask_cancel(stats->slots[i].ask);
    bh_loop_work_cancel(&stats->work);
    json_decref(stats->report);
    free(stats);
}

void stats_cancel(struct stats *stats)
{
    if (stats)
        release(stats);
}

static void finish(struct stats *stats)
{
    void (*const done)(void *owner, json_t *report) = stats->done;
    void *const owner = stats->owner;
    json_t *report = json_incref(stats->report);
    release(stats);
    done(owner, report);
}

static void finish_later(struct bh_loop_work *work)
{
    finish(BH_LOOP_OWNER(work, struct stats, work));
}

static void answered(void *owner, json_t *answer, const char *why)
{
    struct slot *slot = owner;
    const char *error = answer ? json_string_value(json_object_get(answer, "error")) : why;
    slot->ask = NULL;
    if (json_is_true(json_object_get(answer, "ok"))) {
        json_object_del(answer, "ok");
        json_object_del(answer, "v");
        json_object_set(slot->device, "counters", answer);
    } else {
        json_object_set_new(slot->device, "error", json_string(error ? error : "it refuses"));
    }
    json_decref(answer);
    if (--slot->stats->waiting == 0)
        finish(slot->stats);
}

/* "linux-a" names a domain with all that it has. */
static bool is_meant(const struct unit *unit, const char *name)
{
    return !name || unit_find(unit->system, name) == unit ||
           (unit_domain(unit) && !strcmp(unit_domain(unit)->name, name));
}

/* Half of what a report may be is shared out evenly, so that no process crowds the others out of it. */
static size_t share(const struct system *system)
{
    const struct bh_plan *plan = system->plan;
    const size_t even =
        BH_CONTROL_ANSWER_MAX / 2 / (plan->device_count + plan->switch_count); /* who is asked */
    return even < COUNTERS_MIN ? COUNTERS_MIN : even;
}

static void add_device(struct stats *stats, struct unit *unit)
{
    struct system *system = stats->system;
    struct slot *slot = &stats->slots[stats->count];
    slot->stats = stats;
    slot->device = json_pack("{s:s, s:s, s:s, s:s}", "name", unit->name, "domain",
                             unit_domain(unit) ? unit_domain(unit)->name : "", "class", unit_class(unit),
                             "state", bh_unit_state_text(system->live[unit->index].state));
    json_array_append_new(json_object_get(stats->report, "devices"), slot->device);
    slot->ask = ask_device(unit, json_pack("{s:s}", "op", "counters"), share(system), answered, slot);
    if (!slot->ask) {
        json_object_set_new(slot->device, "error", json_string("out of memory"));
        return;
    }
    stats->count++;
    stats->waiting++;
}

struct stats *stats_gather(struct system *system, const char *name, void (*done)(void *owner, json_t *report),
                           void *owner)
{
    struct stats *stats = calloc(1, sizeof(*stats) + system->table.unit_count * sizeof(stats->slots[0]));
    if (!stats)
        return NULL;
    stats->system = system;
    stats->done = done;
    stats->owner = owner;
    stats->report = json_pack("{s:s, s:[], s:[]}", "system", system->plan->name, "devices", "units");
    for (uint16_t i = 0; i < system->table.unit_count; i++) {
        struct unit *unit = &system->units[i];
        if (!is_meant(unit, name))
            continue;
        json_array_append_new(json_object_get(stats->report, "units"),
                              json_pack("{s:s, s:s, s:b, s:i}", "name", unit->name, "kind",
                                        unit_kind_text(unit), "ready", system->live[i].state == BH_UNIT_READY,
                                        "restarts", (int)system->live[i].restarts));
        if (unit->kind != UNIT_DOMAIN)
            add_device(stats, unit);
    }
    if (!stats->waiting)
        bh_loop_defer(system->loop, &stats->work, finish_later);
    return stats;
}
