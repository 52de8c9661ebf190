/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The history in the daemon's log: what was planned, and everything that happens to each part, also while all is well.
 * It goes to the log alone; what people must hear at once goes through the system's sink, which writes here too.
 */
#include "daemon/system.h"

#include <bulkhead/impl/text.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { LINE_MAX_BYTES = 2048, TIME_MAX_BYTES = 40, LIST_MAX_BYTES = 512 };

/* An event stays one line, and moves no terminal's cursor. */
void system_log(struct system *system, const char *name, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    int used = snprintf(line, sizeof(line), "%10.3f %s%s", (double)(bh_loop_now() - system->began_ns) / 1e9,
                        name ? name : "", name ? ": " : "");
    va_start(args, format);
    used += vsnprintf(line + used, sizeof(line) - (size_t)used, format, args);
    va_end(args);
    if (used > (int)sizeof(line) - 2)
        used = (int)sizeof(line) - 2;
    bh_text_clean(line, (size_t)used);
    line[used] = '\n';
    bh_log_write(&system->log, line, (size_t)used + 1);
}

static void append(char *list, const char *word)
{
    const size_t used = strlen(list);
    snprintf(list + used, LIST_MAX_BYTES - used, "%s%s", used ? ", " : "", word);
}

static void log_domain(struct system *system, const struct bh_plan_domain *domain)
{
    const struct bh_plan *plan = system->plan;
    char devices[LIST_MAX_BYTES] = "", after[LIST_MAX_BYTES] = "";
    for (uint32_t d = 0; d < domain->device_count; d++)
        append(devices, plan->devices[domain->device_first + d].name);
    for (size_t i = 0; i < domain->after_count; i++)
        append(after, plan->domains[domain->after[i]].name);
    system_log(system, domain->name, "planned: %u CPU%s, %llu MiB, devices %s%s%s", domain->cpu_count,
               domain->cpu_count == 1 ? "" : "s", (unsigned long long)(domain->memory_size >> 20),
               devices[0] ? devices : "none", after[0] ? "; starts after " : "", after);
}

static void log_switch(struct system *system, const struct bh_plan_switch *one)
{
    const struct bh_plan *plan = system->plan;
    char ports[LIST_MAX_BYTES] = "";
    for (size_t i = 0; i < one->port_count; i++) {
        const struct bh_plan_device *device = &plan->devices[one->ports[i].device];
        char name[2 * BH_PLAN_NAME_MAX + 2];
        snprintf(name, sizeof(name), "%s.%s", plan->domains[device->domain].name, device->name);
        append(ports, name);
    }
    system_log(system, one->name, "planned: a switch, nets %s", ports[0] ? ports : "none");
}

void history_begin(struct system *system)
{
    char text[TIME_MAX_BYTES];
    const time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z", &local);
    system_log(system, NULL, "%s: system %s of %s on engine %s, daemon %d", text, system->plan->name,
               system->source, system->engine->name, (int)bh_own_outer_pid());
    for (size_t i = 0; i < system->plan->switch_count; i++)
        log_switch(system, &system->plan->switches[i]);
    for (size_t d = 0; d < system->plan->domain_count; d++)
        log_domain(system, &system->plan->domains[system->plan->start_order[d]]);
}

void history_unit(struct unit *unit)
{
    struct system *system = unit->system;
    const struct bh_unit_live *live = &system->live[unit->index];
    const char *state = bh_unit_state_text(live->state), *cause = bh_unit_cause_text(live->cause);
    const double seconds = (double)(bh_loop_now() - unit->started_ns) / 1e9;
    switch ((enum bh_unit_state)live->state) {
    case BH_UNIT_STARTING:
    case BH_UNIT_RUNNING: system_log(system, unit->name, "%s, process %d", state, (int)unit_pid(unit)); break;
    case BH_UNIT_READY:
        system_log(system, unit->name, "ready after %.3f s, process %d", seconds, (int)unit_pid(unit));
        break;
    case BH_UNIT_WAITING:
    case BH_UNIT_STOPPING: system_log(system, unit->name, "%s", state); break;
    case BH_UNIT_BACKOFF:
        system_log(system, unit->name, "restart %u in %llu ms", live->restarts,
                   (unsigned long long)(live->deadline - system->supervisor.now));
        break;
    case BH_UNIT_STOPPED:
    case BH_UNIT_FAILED:
        system_log(system, unit->name, "%s%s%s%s%s%s", state, cause[0] ? ": " : "", cause,
                   unit->why[0] ? " (" : "", unit->why, unit->why[0] ? ")" : "");
        break;
    }
}

void history_words(struct unit *unit, const char *const *words)
{
    char line[LINE_MAX_BYTES] = "";
    size_t used = 0;
    for (size_t i = 0; words[i] && used < sizeof(line); i++)
        used += (size_t)snprintf(line + used, sizeof(line) - used, " %s", words[i]);
    system_log(unit->system, unit->name, "started:%s", line);
}
