/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Domains: the engine runs them, the supervision is told what becomes of them. A domain is ready when the text of its
 * description has come out of the console that it is watched on, or as soon as its CPUs run.
 */
#include "daemon/system.h"

#include <bulkhead/impl/text.h>
#include <stdio.h>
#include <string.h>

static void started(void *owner)
{
    struct unit *unit = owner;
    system_event(unit, BH_EVENT_STARTED);
    if (!unit->match.window)
        system_event(unit, BH_EVENT_READY);
}

static void rebooted(void *owner)
{
    struct unit *unit = owner;
    bh_match_reset(&unit->match);
    bh_note(&unit->system->sink, "%s has reset itself and starts again", unit->name);
    system_event(unit, BH_EVENT_REBOOTED);
    if (!unit->match.window)
        system_event(unit, BH_EVENT_READY);
}

static void gone(void *owner, bool well, const char *why)
{
    struct unit *unit = owner;
    bh_log_pipe_drain(&unit->log);
    snprintf(unit->why, sizeof(unit->why), "%s", why);
    bh_text_clean(unit->why, strlen(unit->why));
    system_event(unit, well ? BH_EVENT_ENDED : BH_EVENT_FAILED);
}

static const struct bh_engine_events events = {started, rebooted, gone};

void domain_output(struct unit *domain, const char *bytes, size_t length)
{
    if (domain->match.window && bh_match_feed(&domain->match, bytes, length)) {
        bh_match_reset(&domain->match);
        system_event(domain, BH_EVENT_READY);
    }
}

static void early_output(struct bh_log_pipe *pipe, const char *bytes, size_t length)
{
    domain_output(BH_LOOP_OWNER(pipe, struct unit, log), bytes, length);
}

int domain_open(struct unit *unit)
{
    struct system *system = unit->system;
    const struct bh_plan_domain *domain = unit_domain(unit);
    const bool watched = domain->ready.kind == BH_PLAN_READY_CONSOLE;
    const bool early = watched && domain->ready.console == BH_PLAN_NONE;
    int err =
        bh_log_pipe_open(&unit->log, system->loop, system->dir.fd, unit->name, early ? early_output : NULL);
    if (!err && watched)
        err = bh_match_init(&unit->match, domain->ready.pattern);
    if (!err)
        err = system->engine->create(&system->site, system->engine_state, unit->plan_index, &events, unit,
                                     &unit->run);
    return err;
}

int domain_start(struct unit *unit)
{
    if (unit->match.window)
        bh_match_reset(&unit->match);
    const int err = unit->system->engine->start(unit->run, unit->log.write_fd);
    if (err)
        snprintf(unit->why, sizeof(unit->why), "the engine cannot start it: %s", bh_err_text(err));
    return err;
}

void domain_close(struct unit *unit)
{
    unit->system->engine->destroy(unit->run);
    unit->run = NULL;
    bh_match_fini(&unit->match);
    bh_log_pipe_close(&unit->log);
}
