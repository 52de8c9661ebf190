/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The system as it runs: events go into the supervision, what it decides is carried out, and what changes is told to
 * whoever watches.
 *
 * Theory of operation. Every event only changes the supervision's state and defers `settle`, which carries out actions
 * from a clean stack, reports the units that changed, sets the timer for the next deadline, and sees whether the
 * system has become ready, has failed to, or is down.
 */
#include "daemon/system.h"
#include "daemon/metrics.h"

#include <bulkhead/impl/text.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>

enum { DEVICE_TAIL_MAX = 1024 };

static void settle(struct bh_loop_work *work);

static uint64_t now_ms(void)
{
    return bh_loop_now() / 1000000 + 1;
}

static void settle_soon(struct system *system)
{
    bh_loop_defer(system->loop, &system->settle, settle);
}

void system_event(struct unit *unit, enum bh_unit_event event)
{
    bh_supervisor_event(&unit->system->supervisor, unit->index, event, now_ms());
    settle_soon(unit->system);
}

void system_down(struct system *system, int result, bool now)
{
    if (!system->going_down)
        system->result = result;
    system->going_down = true;
    if (now)
        bh_supervisor_kill(&system->supervisor, now_ms());
    else
        bh_supervisor_down(&system->supervisor, now_ms());
    settle_soon(system);
}

void system_restart(struct system *system, struct unit *unit)
{
    bh_note(&system->sink, "%s is restarted on request", unit->name);
    if (unit->store.count)
        bh_supervisor_resume(&system->supervisor, unit->index, now_ms());
    else
        bh_supervisor_restart(&system->supervisor, unit->index, now_ms());
    settle_soon(system);
}

/* --- what the supervision decided -------------------------------------------------------------------------- */

static void say_resume(struct unit *unit)
{
    const struct bh_diag_where where = {.node = unit->name};
    bh_warn(&unit->system->sink, &where, NULL, "gone (%s): it goes on from what was kept, and %s runs on",
            unit->why, unit_domain(unit)->name);
}

static int start(struct unit *unit, bool goes_on)
{
    switch (unit->kind) {
    case UNIT_DEVICE: return device_start(unit, goes_on);
    case UNIT_DOMAIN: return domain_start(unit);
    case UNIT_SWITCH: break;
    }
    return switch_start(unit);
}

static void carry_out(struct unit *unit, enum bh_unit_action action)
{
    struct system *system = unit->system;
    int err;
    switch (action) {
    case BH_ACTION_RESUME: say_resume(unit); __attribute__((fallthrough));
    case BH_ACTION_START:
        unit->why[0] = unit->status[0] = 0;
        unit->started_ns = bh_loop_now();
        err = start(unit, action == BH_ACTION_RESUME);
        if (err)
            system_event(unit,
                         err == BH_ERR_NOENT || err == BH_ERR_ACCESS ? BH_EVENT_REFUSED : BH_EVENT_FAILED);
        else if (unit->kind != UNIT_DOMAIN)
            system_event(unit, BH_EVENT_STARTED);
        /* A stranger says nothing of itself; its socket is there, and whoever connects waits in its queue. */
        if (!err && unit->kind != UNIT_DOMAIN && unit_program(unit))
            system_event(unit, BH_EVENT_READY);
        break;
    case BH_ACTION_STOP:
        if (unit->kind == UNIT_DOMAIN)
            system->engine->stop(unit->run);
        else
            bh_process_signal(&unit->process, SIGTERM);
        break;
    case BH_ACTION_KILL:
        if (unit->kind == UNIT_DOMAIN)
            system->engine->kill(unit->run);
        else
            bh_process_signal(&unit->process, SIGKILL);
        break;
    }
}

/* --- what is told ------------------------------------------------------------------------------------------ */

static double seconds_since(uint64_t ns)
{
    return (double)(bh_loop_now() - ns) / 1e9;
}

/* Is the unit a device whose domain runs, and goes down with it? */
static bool takes_domain_along(const struct unit *unit, const struct bh_unit_live *live)
{
    struct system *system = unit->system;
    if (unit->kind != UNIT_DEVICE || live->resuming)
        return false;
    const struct unit *domain = unit_of_domain(system, system->plan->devices[unit->plan_index].domain);
    return bh_unit_lives(&system->live[domain->index]);
}

/* For people: what a failure means for the unit and for what hangs on it. One that fails the whole `up` is told there. */
static void explain(struct unit *unit, const struct bh_unit_live *live)
{
    struct system *system = unit->system;
    const struct bh_diag_where where = {.node = unit->name};
    const char *cause = bh_unit_cause_text(live->cause),
               *why = unit->why[0] ? unit->why : "nothing more is known";
    if (live->state == BH_UNIT_BACKOFF && takes_domain_along(unit, live))
        bh_warn(&system->sink, &where, NULL, "%s (%s): %s is stopped, since %s, and both are started again",
                cause, why, unit_domain(unit)->name,
                unit->goes_on ? "the device cannot go on from what was kept"
                              : "its front-end cannot reconnect");
    else if (live->state == BH_UNIT_BACKOFF)
        bh_warn(&system->sink, &where, NULL, "%s (%s): it is started again", cause, why);
    else if (live->state != BH_UNIT_FAILED || !system->ready_said)
        return;
    else if (live->cause == BH_CAUSE_NEED)
        bh_error(&system->sink, &where, NULL, "%s: it stays stopped", cause);
    else
        bh_error(&system->sink, &where, NULL, "%s (%s): it stays stopped", cause, why);
}

static void report_unit(struct unit *unit)
{
    struct system *system = unit->system;
    const struct bh_unit_live *live = &system->live[unit->index];
    if (live->state == unit->reported)
        return;
    unit->reported = live->state;
    history_unit(unit);
    explain(unit, live);
    if (unit->kind == UNIT_DOMAIN && (live->state == BH_UNIT_STOPPED || live->state == BH_UNIT_FAILED))
        console_end(unit);
    if (unit->kind != UNIT_DOMAIN && !bh_unit_lives(live) && !live->resuming)
        device_forget(unit);
    control_broadcast(
        system, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:f}", "event", "unit", "name", unit->name,
                          "kind", unit_kind_text(unit), "state", bh_unit_state_text(live->state), "cause",
                          bh_unit_cause_text(live->cause), "why", unit->why, "pid", (int)unit_pid(unit),
                          "seconds", seconds_since(unit->started_ns ? unit->started_ns : system->began_ns)));
}

/* What a domain's devices have said: its guest may only have waited for one of them. */
static json_t *devices_tails(struct system *system, const struct unit *domain)
{
    char tail[DEVICE_TAIL_MAX];
    json_t *tails = json_array();
    for (uint16_t i = 0; i < system->table.unit_count; i++) {
        struct unit *unit = &system->units[i];
        if (domain->kind != UNIT_DOMAIN || unit->kind != UNIT_DEVICE ||
            unit_domain(unit) != unit_domain(domain))
            continue;
        bh_log_pipe_drain(&unit->log);
        if (bh_log_tail(&unit->log.log, tail, sizeof(tail)))
            json_array_append_new(tails, json_pack("{s:s, s:s}", "name", unit->name, "log", tail));
    }
    return tails;
}

/* The unit that failed, with the end of what it said: the run directory, and its logs, are about to go. */
static void report_failure(struct system *system, struct unit *unit)
{
    char tail[BH_LOG_TAIL_MAX], output[BH_LOG_TAIL_MAX] = "";
    const struct bh_plan_domain *domain = unit_domain(unit);
    const struct bh_unit_live *live = &system->live[unit->index];
    struct console *console = unit->kind == UNIT_DOMAIN ? console_of_domain(system, unit->plan_index) : NULL;
    bh_log_pipe_drain(&unit->log);
    bh_log_tail(&unit->log.log, tail, sizeof(tail));
    if (console)
        bh_log_tail(&console->log, output, sizeof(output));
    const bool watched = unit->kind == UNIT_DOMAIN && domain->ready.pattern;
    control_broadcast(system,
                      json_pack("{s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:i, s:o}", "event", "failed",
                                "name", unit->name, "line", (int)unit_line(unit), "cause",
                                bh_unit_cause_text(live->cause), "why", unit->why, "log", tail, "console",
                                output, "pattern", watched ? domain->ready.pattern : "", "timeout_ms",
                                unit->kind == UNIT_DOMAIN ? (int)domain->ready.timeout_ms : 0, "devices",
                                devices_tails(system, unit)));
}

/* --- the system's own state -------------------------------------------------------------------------------- */

static bool all_domains_ended(const struct system *system)
{
    for (uint16_t i = 0; i < system->table.unit_count; i++)
        if (system->units[i].kind == UNIT_DOMAIN && system->live[i].state != BH_UNIT_STOPPED)
            return false;
    return true;
}

static void judge(struct system *system)
{
    const uint16_t failed = bh_supervisor_failed(&system->supervisor);
    if (!system->ready_said && !system->going_down && failed < system->table.unit_count) {
        report_failure(system, &system->units[failed]);
        system_down(system, BH_ERR_CHILD, false);
    } else if (!system->ready_said && !system->going_down && bh_supervisor_all_ready(&system->supervisor)) {
        system->ready_said = true;
        system_log(system, NULL, "ready after %.3f s", seconds_since(system->began_ns));
        control_broadcast(
            system, json_pack("{s:s, s:f}", "event", "ready", "seconds", seconds_since(system->began_ns)));
    } else if (system->ready_said && !system->going_down && all_domains_ended(system)) {
        bh_note(&system->sink, "every domain has powered itself off: the system ends");
        system_down(system, BH_OK, false);
    }
    if (system->going_down && bh_supervisor_all_down(&system->supervisor)) {
        system_log(system, NULL, "everything has ended");
        bh_loop_stop(system->loop, BH_OK);
    }
}

static void tick(struct bh_loop_timer *timer)
{
    struct system *system = BH_LOOP_OWNER(timer, struct system, timer);
    bh_supervisor_tick(&system->supervisor, now_ms());
    settle_soon(system);
}

static void settle(struct bh_loop_work *work)
{
    struct system *system = BH_LOOP_OWNER(work, struct system, settle);
    enum bh_unit_action action;
    uint16_t index;
    while (bh_supervisor_next(&system->supervisor, &index, &action))
        carry_out(&system->units[index], action);
    for (uint16_t i = 0; i < system->table.unit_count; i++)
        report_unit(&system->units[i]);
    judge(system);
    const uint64_t deadline = bh_supervisor_deadline(&system->supervisor);
    if (deadline)
        bh_loop_timer_set_at(system->loop, &system->timer, deadline * 1000000, tick);
    else
        bh_loop_timer_cancel(&system->timer);
}

/* --- signals ----------------------------------------------------------------------------------------------- */

static void asked_to_end(struct system *system, const struct signalfd_siginfo *info)
{
    system_log(system, NULL, "signal %u (%s)", info->ssi_signo, strsignal((int)info->ssi_signo));
    system_down(system, BH_ERR_CANCELLED, system->going_down);
}

static void term_raised(struct bh_loop_signal *source, const struct signalfd_siginfo *info)
{
    asked_to_end(BH_LOOP_OWNER(source, struct system, term), info);
}

static void interrupt_raised(struct bh_loop_signal *source, const struct signalfd_siginfo *info)
{
    asked_to_end(BH_LOOP_OWNER(source, struct system, interrupt), info);
}

/* --- diagnostics ------------------------------------------------------------------------------------------- */

static void emit(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    static const char *const levels[] = {"error", "warning", "note", "debug"};
    struct system *system = BH_CONTAINER(sink, struct system, sink);
    const char *name = diag->where.node ? diag->where.node : diag->where.file;
    system_log(system, name, "%s: %s%s%s", levels[diag->level], diag->what, diag->hint ? "; " : "",
               diag->hint ? diag->hint : "");
    char *what =
        diag->level != BH_DIAG_DEBUG ? strdup(diag->what) : NULL; /* an engine's words may be in it */
    if (!what)
        return;
    bh_text_clean(what, strlen(what));
    control_broadcast(system, json_pack("{s:s, s:s, s:s, s:s}", "event", "says", "level", levels[diag->level],
                                        "name", name ? name : "", "text", what));
    free(what);
}

/* --- the whole --------------------------------------------------------------------------------------------- */

static int open_units(struct system *system)
{
    for (uint16_t i = 0; i < system->table.unit_count; i++) {
        struct unit *unit = &system->units[i];
        const int err = unit->kind == UNIT_DOMAIN   ? domain_open(unit)
                        : unit->kind == UNIT_SWITCH ? switch_open(unit)
                                                    : device_open(unit);
        if (err) {
            const struct bh_diag_where where = {.node = unit->name};
            bh_error(&system->sink, &where, NULL, "it cannot be prepared: %s", bh_err_text(err));
            return err;
        }
    }
    return BH_OK;
}

static void close_units(struct system *system)
{
    for (uint16_t i = system->table.unit_count; i-- > 0;) {
        struct unit *unit = &system->units[i];
        if (unit->kind == UNIT_DOMAIN)
            domain_close(unit);
        else
            device_close(unit);
    }
}

static int add_signals(struct system *system)
{
    int err = bh_loop_signal_add(system->loop, &system->term, SIGTERM, term_raised);
    if (!err)
        err = bh_loop_signal_add(system->loop, &system->interrupt, SIGINT, interrupt_raised);
    return err;
}

static void remove_signals(struct system *system)
{
    bh_loop_signal_remove(&system->interrupt);
    bh_loop_signal_remove(&system->term);
}

/* A system runs without its page of counters as well. */
static void open_metrics(struct system *system)
{
    const int err = metrics_open(system, &system->metrics);
    if (err && err != BH_ERR_UNSUPPORTED)
        bh_warn(&system->sink, NULL, NULL, "metrics.sock cannot be served: %s", bh_err_text(err));
}

static int run_loop(struct system *system)
{
    control_broadcast(system, json_pack("{s:s, s:s, s:s, s:i, s:b}", "event", "begin", "system",
                                        system->plan->name, "engine", system->engine->name, "pid",
                                        (int)bh_own_outer_pid(), "contained", system->contained));
    if (!system->contained)
        bh_note(&system->sink,
                "no pid namespace can be made here: a killed daemon's children end by PDEATHSIG alone");
    open_metrics(system);
    bh_supervisor_up(&system->supervisor, now_ms());
    settle_soon(system);
    return bh_loop_run(system->loop);
}

int system_run(const struct system_setup *setup)
{
    struct system *system = calloc(1, sizeof(*system));
    if (!system)
        return BH_ERR_NOMEM;
    *system = (struct system){.plan = setup->plan,
                              .source = setup->source,
                              .dir = *setup->dir,
                              .engine = setup->engine,
                              .engine_state = setup->engine_state,
                              .control_fd = -1,
                              .began_ns = bh_loop_now(),
                              .contained = setup->contained};
    system->log.fd = -1;
    system->sink.emit = emit;
    for (int i = 0; i < CLIENTS_MAX; i++)
        system->clients[i].fd = -1;
    int err = bh_loop_create(&system->loop);
    if (err)
        goto no_loop;
    system->site = (struct bh_engine_site){system->loop, &system->sink, system->plan, system->dir.path,
                                           system->dir.lock_fd};
    err = bh_log_open(&system->log, system->dir.fd, "daemon");
    history_begin(system);
    if (!err)
        err = control_open(system, setup->owner_fd);
    if (!err)
        err = control_listen(system);
    if (!err)
        err = files_make(system);
    if (!err)
        err = units_create(system);
    if (!err)
        err = add_signals(system);
    if (!err)
        err = open_units(system);
    if (!err)
        err = run_loop(system);
    if (!err)
        err = system->result;
    metrics_close(system->metrics);
    close_units(system);
    remove_signals(system);
    bh_log_close(&system->log);
    bh_loop_timer_cancel(&system->timer);
    bh_loop_work_cancel(&system->settle);
    bh_run_dir_remove(&system->dir);
    control_broadcast(system, json_pack("{s:s, s:s}", "event", "down", "result", bh_err_text(err)));
    control_close(system);
    units_destroy(system);
    bh_loop_destroy(system->loop);
no_loop:
    free(system);
    return err;
}
