/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A domain's life in QEMU: the process, its control socket, and the ways in which a guest is asked to end.
 *
 * Theory of operation. QEMU starts halted; when it has connected to all backends and QMP answers, `cont` lets the
 * CPUs run. To stop, the power button is pressed. A guest booted from a device tree may have no driver for that
 * button (Debian's cloud kernel has none), so that a Linux domain is then helped over its serial console's SysRq
 * keys: sync the disks, remount them read-only, power off. What is left after the supervision's patience is killed.
 */
#include "engines/qemu/qemu.h"
#include "engines/qemu/qmp.h"
#include <bulkhead/impl/process.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* In the child: bh_process_start's fds[0] and [1]. */
enum { CHILD_QMP_FD = BH_PROCESS_FIRST_FD };

/* The steps of a stop and how long after the last one each comes. */
static const struct {
    unsigned delay_ms;
    char key; /* SysRq key; 0: the power button */
} stop_steps[] = {{0, 0}, {700, 's'}, {300, 'u'}, {400, 'o'}};
enum { STOP_STEPS = sizeof(stop_steps) / sizeof(stop_steps[0]) };

struct bh_engine_domain {
    const struct bh_engine_site *site;
    const struct bh_qemu *qemu;
    const struct bh_engine_events *events;
    void *owner;
    uint32_t index;
    struct bh_process process;
    struct bh_qmp qmp;
    int serial_fd; /* writes into the guest's PL011 */
    bool runs;     /* its CPUs have run */
    bool asked;    /* we wanted it to end */
    unsigned stop_step;
    struct bh_loop_timer stop_timer;
    char shutdown_reason[32];
};

static const struct bh_plan_domain *plan_of(const struct bh_engine_domain *run)
{
    return &run->site->plan->domains[run->index];
}

static void release_handles(struct bh_engine_domain *run)
{
    bh_loop_timer_cancel(&run->stop_timer);
    bh_qmp_fini(&run->qmp);
    if (run->serial_fd >= 0)
        close(run->serial_fd);
    run->serial_fd = -1;
}

static void process_exited(struct bh_process *process, const siginfo_t *info)
{
    struct bh_engine_domain *run = BH_LOOP_OWNER(process, struct bh_engine_domain, process);
    const bool guest_ended = !strcmp(run->shutdown_reason, "guest-shutdown");
    char how[80], why[160];
    bh_exit_text(info, how, sizeof(how));
    release_handles(run);
    if (guest_ended)
        snprintf(why, sizeof(why), "the guest powered itself off");
    else if (run->asked)
        snprintf(why, sizeof(why), "QEMU was stopped: %s", how);
    else
        snprintf(why, sizeof(why), "QEMU ended: %s%s%s", how, run->shutdown_reason[0] ? ", " : "",
                 run->shutdown_reason);
    run->events->gone(run->owner, guest_ended, why);
}

static void qmp_event(struct bh_qmp *qmp, const char *name, const char *reason, bool guest)
{
    struct bh_engine_domain *run = BH_LOOP_OWNER(qmp, struct bh_engine_domain, qmp);
    if (!name) {
        if (bh_qmp_send(qmp, "cont", NULL))
            bh_process_signal(&run->process, SIGKILL);
    } else if (!strcmp(name, "RESUME") && !run->runs) {
        run->runs = true;
        run->events->started(run->owner);
    } else if (!strcmp(name, "RESET") && guest) {
        run->events->rebooted(run->owner);
    } else if (!strcmp(name, "SHUTDOWN")) {
        snprintf(run->shutdown_reason, sizeof(run->shutdown_reason), "%s", reason ? reason : "");
    }
}

static void qmp_error(struct bh_qmp *qmp, const char *what)
{
    struct bh_engine_domain *run = BH_LOOP_OWNER(qmp, struct bh_engine_domain, qmp);
    const struct bh_diag_where where = {.node = plan_of(run)->name};
    bh_warn(run->site->sink, &where, NULL, "QEMU: %s", what);
}

static int start_process(struct bh_engine_domain *run, int log_fd, int qmp_fd, int serial_fd)
{
    const int fds[] = {qmp_fd, run->site->keep_fd};
    char **argv;
    int err = bh_qemu_argv(run->qemu, run->site->plan, run->index, CHILD_QMP_FD, &argv);
    if (err)
        return err;
    const struct bh_process_spec spec = {
        .argv = (const char *const *)argv,
        .in = serial_fd,
        .out = log_fd,
        .err = log_fd,
        .fds = fds,
        .fd_count = run->site->keep_fd >= 0 ? 2 : 1,
    };
    err = bh_process_start(&run->process, &spec, run->site->loop, process_exited);
    bh_qemu_argv_free(argv);
    return err;
}

static int qemu_start(struct bh_engine_domain *run, int log_fd)
{
    int qmp[2], serial[2], err = BH_ERR_IO;
    run->runs = run->asked = false;
    run->shutdown_reason[0] = 0;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, qmp))
        return BH_ERR_IO;
    if (pipe2(serial, O_CLOEXEC)) {
        close(qmp[0]);
        goto no_serial;
    }
    fcntl(serial[1], F_SETFL, O_NONBLOCK);
    run->serial_fd = serial[1];
    err = bh_qmp_init(&run->qmp, run->site->loop, qmp[0], qmp_event, qmp_error);
    if (!err)
        err = start_process(run, log_fd, qmp[1], serial[0]);
    close(serial[0]);
    if (err)
        release_handles(run);
no_serial:
    close(qmp[1]);
    return err;
}

/* A break on the line, then the key within five seconds: SysRq on a serial console. */
static void press_sysrq(struct bh_engine_domain *run, char key)
{
    bh_qmp_send(&run->qmp, "chardev-send-break", "{\"id\":\"early\"}");
    if (write(run->serial_fd, &key, 1) != 1)
        qmp_error(&run->qmp, "the serial console does not take a key");
}

static void stop_step(struct bh_loop_timer *timer)
{
    struct bh_engine_domain *run = BH_LOOP_OWNER(timer, struct bh_engine_domain, stop_timer);
    const char *os = plan_of(run)->os_type;
    const char key = stop_steps[run->stop_step].key;
    if (key)
        press_sysrq(run, key);
    else
        bh_qmp_send(&run->qmp, "system_powerdown", NULL);
    if (++run->stop_step < STOP_STEPS && os && !strcmp(os, "linux"))
        bh_loop_timer_set(run->site->loop, timer, stop_steps[run->stop_step].delay_ms, stop_step);
}

static void qemu_stop(struct bh_engine_domain *run)
{
    if (run->asked || !run->process.pid)
        return;
    run->asked = true;
    run->stop_step = 0;
    if (run->runs)
        stop_step(&run->stop_timer);
    else
        bh_process_signal(&run->process, SIGTERM); /* nothing to save yet */
}

static void qemu_kill(struct bh_engine_domain *run)
{
    run->asked = true;
    bh_process_signal(&run->process, SIGKILL);
}

static pid_t qemu_pid(const struct bh_engine_domain *run)
{
    return bh_process_outer_pid(&run->process);
}

static int qemu_create(const struct bh_engine_site *site, void *state, uint32_t domain,
                       const struct bh_engine_events *events, void *owner, struct bh_engine_domain **run)
{
    struct bh_engine_domain *made = calloc(1, sizeof(*made));
    if (!made)
        return BH_ERR_NOMEM;
    made->site = site;
    made->qemu = state;
    made->events = events;
    made->owner = owner;
    made->index = domain;
    made->process.pidfd = made->serial_fd = made->qmp.fd = -1;
    *run = made;
    return BH_OK;
}

static void qemu_destroy(struct bh_engine_domain *run)
{
    if (!run)
        return;
    bh_process_end(&run->process);
    release_handles(run);
    free(run);
}

static int qemu_probe(const struct bh_plan *plan, struct bh_diag_sink *sink, void **state)
{
    struct bh_qemu *qemu = calloc(1, sizeof(*qemu));
    const int err = qemu ? bh_qemu_find(plan, sink, qemu) : BH_ERR_NOMEM;
    if (err)
        free(qemu);
    else
        *state = qemu;
    return err;
}

static void qemu_release(void *state)
{
    if (state)
        bh_qemu_fini(state);
    free(state);
}

const struct bh_engine bh_engine_qemu = {
    .name = "qemu",
    .summary = "QEMU with emulated CPUs",
    .probe = qemu_probe,
    .release = qemu_release,
    .create = qemu_create,
    .start = qemu_start,
    .stop = qemu_stop,
    .kill = qemu_kill,
    .pid = qemu_pid,
    .destroy = qemu_destroy,
};
