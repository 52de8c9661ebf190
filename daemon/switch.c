/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switches: each a process of the host, to which the nets of domains are joined by links. It is started, heard, watched
 * and ended as a device process is (device.c), but has no front-end and leaves nothing to go on from: one that dies is
 * started anew, and the nets, which live on, find it again in the folders where they meet.
 */
#include "daemon/daemon.h"
#include "daemon/system.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int switch_open(struct unit *unit)
{
    const int err = bh_log_pipe_open(&unit->log, unit->system->loop, unit->system->dir.fd, unit->name, NULL);
    return err ? err : notify_open(unit);
}

static int make_sockets(struct unit *unit, const struct bh_plan_switch *one)
{
    char name[UNIT_NAME_MAX + 8];
    if (unit->control_fd >= 0)
        close(unit->control_fd);
    snprintf(name, sizeof(name), "%s.ctl", unit->name);
    unit->control_fd = socket_bind(name, SOCK_STREAM);
    if (unit->control_fd < 0) {
        snprintf(unit->why, sizeof(unit->why), "its socket %s cannot be made: %s", name, strerror(errno));
        return BH_ERR_IO;
    }
    int err = BH_OK;
    for (size_t i = 0; i < one->port_count && !err; i++)
        err = device_make_meeting(unit, one->ports[i].socket);
    return err;
}

/* Options first: ports that are no net's are among them. NULL: out of memory. */
static char **switch_words(const struct bh_plan_switch *one, const char *program)
{
    char **words = calloc(one->option_count + one->port_count + 3, sizeof(*words));
    size_t count = 0;
    if (!words)
        return NULL;
    bool whole = (words[count++] = strdup(program)) != NULL;
    whole = whole && asprintf(&words[count], "--control-fd=%d", BH_PROCESS_FIRST_FD) >= 0;
    count += whole;
    for (size_t i = 0; i < one->option_count && whole; i++) {
        whole = asprintf(&words[count], "--%s=%s", one->options[i].name, one->options[i].value) >= 0;
        count += whole;
    }
    for (size_t i = 0; i < one->port_count && whole; i++) {
        whole =
            asprintf(&words[count], "--port=link:%s/meet,%s", one->ports[i].socket, one->ports[i].words) >= 0;
        count += whole;
    }
    if (whole)
        return words;
    words[count] = NULL; /* what asprintf leaves there when it fails is nobody's */
    words_free(words);
    return NULL;
}

/* Behind its control socket it gets, unannounced, the run directory's lock, as every process of the system. */
static int start_process(struct unit *unit, char **words)
{
    struct system *system = unit->system;
    char name[NOTIFY_NAME_MAX], notify[BH_RUN_PATH_MAX + NOTIFY_NAME_MAX + 16];
    const int fds[] = {unit->control_fd, system->dir.lock_fd};
    notify_name(unit, name);
    snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s/%s", system->dir.path, name);
    const char *const environment[] = {notify, NULL};
    const struct bh_process_spec spec = {
        .argv = (const char *const *)words,
        .environment = environment,
        .in = -1,
        .out = unit->log.write_fd,
        .err = unit->log.write_fd,
        .fds = fds,
        .fd_count = sizeof(fds) / sizeof(fds[0]),
    };
    const int err = bh_process_start(&unit->process, &spec, system->loop, device_exited);
    if (!err) {
        unit->speaker = unit->process.pid;
        history_words(unit, spec.argv);
    }
    return err;
}

int switch_start(struct unit *unit)
{
    const struct bh_plan_switch *one = &unit->system->plan->switches[unit->plan_index];
    char program[4096];
    int err = bh_program_find("switch", program, sizeof(program));
    if (err) {
        snprintf(unit->why, sizeof(unit->why), "there is no program bulkhead-switch");
        return err;
    }
    err = make_sockets(unit, one);
    if (err)
        return err;
    char **words = switch_words(one, program);
    err = words ? start_process(unit, words) : BH_ERR_NOMEM;
    if (err)
        snprintf(unit->why, sizeof(unit->why), "%.120s cannot be started: %s", program, bh_err_text(err));
    words_free(words);
    return err;
}
