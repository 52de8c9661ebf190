/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a plan to the supervision's table: the switches, then each domain behind its own devices, in the plan's start
 * order. A domain is bound to its devices: a front-end that loses its backend cannot go on, so they are restarted
 * together. It waits for its switches, and is not bound to them: while one is gone, links are down.
 */
#include "daemon/system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEVICE_READY_MS = 15000, DEVICE_STOP_MS = 3000, DOMAIN_STOP_MS = 6000, BACKOFF_MS = 250 };

const struct bh_plan_domain *unit_domain(const struct unit *unit)
{
    const struct bh_plan *plan = unit->system->plan;
    switch (unit->kind) {
    case UNIT_DEVICE: return &plan->domains[plan->devices[unit->plan_index].domain];
    case UNIT_DOMAIN: return &plan->domains[unit->plan_index];
    case UNIT_SWITCH: break;
    }
    return NULL;
}

const char *unit_kind_text(const struct unit *unit)
{
    static const char *const words[] = {
        [UNIT_DEVICE] = "device", [UNIT_DOMAIN] = "domain", [UNIT_SWITCH] = "switch"};
    return words[unit->kind];
}

const char *unit_class(const struct unit *unit)
{
    switch (unit->kind) {
    case UNIT_DEVICE: return unit->system->plan->devices[unit->plan_index].class_name;
    case UNIT_SWITCH: return "switch";
    case UNIT_DOMAIN: break;
    }
    return "";
}

uint32_t unit_line(const struct unit *unit)
{
    const struct bh_plan *plan = unit->system->plan;
    switch (unit->kind) {
    case UNIT_DEVICE: return plan->devices[unit->plan_index].line;
    case UNIT_DOMAIN: return plan->domains[unit->plan_index].line;
    case UNIT_SWITCH: return plan->switches[unit->plan_index].line;
    }
    return 0;
}

static void set_policy(struct bh_unit *row, enum bh_plan_restart policy, uint32_t limit, uint32_t window_ms)
{
    static const uint8_t restart[] = {
        [BH_PLAN_RESTART_NEVER] = BH_UNIT_NEVER,
        [BH_PLAN_RESTART_ON_FAILURE] = BH_UNIT_ON_FAILURE,
        [BH_PLAN_RESTART_ALWAYS] = BH_UNIT_ALWAYS,
    };
    row->restart = restart[policy];
    row->restart_limit = limit;
    row->restart_window_ms = window_ms;
    row->backoff_ms = BACKOFF_MS;
}

static void add_need(struct system *system, uint32_t *count, uint16_t unit, bool binds)
{
    system->table_needs[(*count)++] = (struct bh_unit_need){unit, binds};
}

static struct unit *add_unit(struct system *system, uint16_t *at, enum unit_kind kind, uint32_t plan_index)
{
    struct unit *unit = &system->units[*at];
    unit->system = system;
    unit->index = (*at)++;
    unit->kind = kind;
    unit->plan_index = plan_index;
    unit->listen_fd = unit->control_fd = unit->notify_fd = unit->process.pidfd = unit->log.read_fd =
        unit->log.write_fd = unit->log.log.fd = -1;
    unit->reported = BH_UNIT_WAITING;
    return unit;
}

static void add_switch(struct system *system, uint32_t index, uint16_t *at)
{
    const struct bh_plan_switch *one = &system->plan->switches[index];
    struct unit *unit = add_unit(system, at, UNIT_SWITCH, index);
    struct bh_unit *row = &system->table_units[unit->index];
    snprintf(unit->name, sizeof(unit->name), "%s", one->name);
    set_policy(row, one->restart, one->restart_limit, one->restart_window_ms);
    row->ready_timeout_ms = DEVICE_READY_MS;
    row->stop_timeout_ms = DEVICE_STOP_MS;
}

/* Switches come first in the table, in the plan's order: the index is the same. */
static void add_switch_need(struct system *system, uint32_t first, uint32_t *needs, uint32_t index)
{
    for (uint32_t n = first; n < *needs; n++)
        if (system->table_needs[n].unit == index)
            return;
    add_need(system, needs, (uint16_t)index, false);
}

static void add_domain(struct system *system, uint32_t index, uint16_t *at, uint32_t *needs)
{
    const struct bh_plan_domain *domain = &system->plan->domains[index];
    const uint16_t first = *at;
    for (uint32_t d = domain->device_first; d < domain->device_first + domain->device_count; d++) {
        struct unit *unit = add_unit(system, at, UNIT_DEVICE, d);
        struct bh_unit *row = &system->table_units[unit->index];
        snprintf(unit->name, sizeof(unit->name), "%s.%s", domain->name, system->plan->devices[d].name);
        row->need_first = *needs;
        set_policy(row, domain->restart, domain->restart_limit, domain->restart_window_ms);
        row->ready_timeout_ms = DEVICE_READY_MS;
        row->stop_timeout_ms = DEVICE_STOP_MS;
    }
    struct unit *unit = add_unit(system, at, UNIT_DOMAIN, index);
    struct bh_unit *row = &system->table_units[unit->index];
    snprintf(unit->name, sizeof(unit->name), "%s", domain->name);
    row->need_first = *needs;
    set_policy(row, domain->restart, domain->restart_limit, domain->restart_window_ms);
    row->ready_timeout_ms = domain->ready.timeout_ms;
    row->stop_timeout_ms = DOMAIN_STOP_MS;
    for (uint16_t i = first; i < unit->index; i++)
        add_need(system, needs, i, true);
    for (size_t i = 0; i < domain->after_count; i++)
        add_need(system, needs, unit_of_domain(system, domain->after[i])->index, false);
    for (uint32_t d = domain->device_first; d < domain->device_first + domain->device_count; d++)
        if (system->plan->devices[d].net_switch != BH_PLAN_NONE)
            add_switch_need(system, row->need_first, needs, system->plan->devices[d].net_switch);
    row->need_count = (uint16_t)(*needs - row->need_first);
}

int units_create(struct system *system)
{
    const struct bh_plan *plan = system->plan;
    const size_t count = plan->domain_count + plan->device_count + plan->switch_count;
    size_t need_count = 2 * plan->device_count; /* of a domain: the device, and perhaps its switch */
    uint16_t at = 0;
    uint32_t needs = 0;
    for (size_t d = 0; d < plan->domain_count; d++)
        need_count += plan->domains[d].after_count;
    system->units = calloc(count + 1, sizeof(*system->units));
    system->table_units = calloc(count + 1, sizeof(*system->table_units));
    system->table_needs = calloc(need_count + 1, sizeof(*system->table_needs));
    system->live = calloc(count + 1, sizeof(*system->live));
    if (!system->units || !system->table_units || !system->table_needs || !system->live)
        return BH_ERR_NOMEM;
    for (uint32_t i = 0; i < plan->switch_count; i++)
        add_switch(system, i, &at);
    for (size_t d = 0; d < plan->domain_count; d++)
        add_domain(system, plan->start_order[d], &at, &needs);
    system->table = (struct bh_unit_table){system->table_units, system->table_needs, at, needs};
    return bh_supervisor_init(&system->supervisor, &system->table, system->live);
}

void units_destroy(struct system *system)
{
    free(system->units);
    free(system->table_units);
    free(system->table_needs);
    free(system->live);
}

static struct unit *find(struct system *system, enum unit_kind kind, uint32_t plan_index)
{
    const struct bh_plan *plan = system->plan;
    for (size_t i = 0; i < plan->domain_count + plan->device_count + plan->switch_count; i++) {
        struct unit *unit = &system->units[i];
        if (unit->system && unit->kind == kind && unit->plan_index == plan_index)
            return unit;
    }
    return NULL;
}

struct unit *unit_of_device(struct system *system, uint32_t device)
{
    return find(system, UNIT_DEVICE, device);
}

struct unit *unit_of_domain(struct system *system, uint32_t domain)
{
    return find(system, UNIT_DOMAIN, domain);
}

struct unit *unit_find(struct system *system, const char *name)
{
    for (uint16_t i = 0; i < system->table.unit_count; i++) {
        const char *own = system->units[i].name;
        const size_t domain = strcspn(own, ".");
        if (!strcmp(own, name) || (own[domain] && !strncmp(own, name, domain) && name[domain] == '/' &&
                                   !strcmp(own + domain + 1, name + domain + 1)))
            return &system->units[i];
    }
    return NULL;
}

const char *unit_program(const struct unit *unit)
{
    return unit->kind == UNIT_DEVICE ? unit->system->plan->devices[unit->plan_index].program : NULL;
}

pid_t unit_pid(const struct unit *unit)
{
    if (unit->kind == UNIT_DOMAIN)
        return unit->run ? unit->system->engine->pid(unit->run) : 0;
    return bh_process_outer_pid(&unit->process);
}
