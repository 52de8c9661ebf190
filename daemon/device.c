/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device processes. The daemon makes the listening socket and hands it over, so that a front-end may connect before
 * the backend accepts; the backend says by sd_notify's protocol when it is ready, and is believed only about itself
 * (the kernel tells the sender's pid).
 */
#include "daemon/daemon.h"
#include "daemon/system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4, NOTIFY_MAX = 4096, NOTIFIES_PER_ROUND = 64 };
static const char notify_name[] = "notify.sock";

/* --- sockets ----------------------------------------------------------------------------------------------- */

/* In the run directory, which is our working directory: the name alone is the address. */
static int bind_socket(const char *name, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(name) >= sizeof(address.sun_path))
        return BH_ERR_RANGE;
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return BH_ERR_IO;
    memcpy(address.sun_path, name, strlen(name) + 1);
    unlink(name);
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
        (type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG))) {
        close(fd);
        return BH_ERR_IO;
    }
    return fd;
}

static void close_sockets(struct unit *unit)
{
    if (unit->listen_fd >= 0)
        close(unit->listen_fd);
    if (unit->control_fd >= 0)
        close(unit->control_fd);
    unit->listen_fd = unit->control_fd = -1;
}

/* New ones each time: nobody who connected to a dead backend waits in their queues. */
static int make_sockets(struct unit *unit)
{
    const char *listen_name = unit->system->plan->devices[unit->plan_index].socket;
    char control_name[UNIT_NAME_MAX + 8];
    close_sockets(unit);
    unit->listen_fd = bind_socket(listen_name, SOCK_STREAM);
    snprintf(control_name, sizeof(control_name), "%s.ctl", unit->name);
    if (unit->listen_fd >= 0)
        unit->control_fd = bind_socket(control_name, SOCK_STREAM);
    if (unit->control_fd >= 0)
        return BH_OK;
    snprintf(unit->why, sizeof(unit->why), "its socket %s cannot be made: %s",
             unit->listen_fd >= 0 ? control_name : listen_name, strerror(errno));
    return BH_ERR_IO;
}

static void device_exited(struct bh_process *process, const siginfo_t *info)
{
    struct unit *unit = BH_LOOP_OWNER(process, struct unit, process);
    bh_log_pipe_drain(&unit->log);
    bh_exit_text(info, unit->why, sizeof(unit->why));
    system_event(unit, BH_EVENT_FAILED); /* nobody ends a device process but we */
}

int device_open(struct unit *unit)
{
    struct system *system = unit->system;
    const struct bh_plan_device *device = &system->plan->devices[unit->plan_index];
    int err = bh_log_pipe_open(&unit->log, system->loop, system->dir.fd, unit->name, NULL);
    if (!err && !strcmp(device->class_name, "console"))
        err = console_open(unit);
    return err;
}

void device_close(struct unit *unit)
{
    bh_process_end(&unit->process);
    console_close(unit->console);
    unit->console = NULL;
    bh_log_pipe_close(&unit->log);
    close_sockets(unit);
}

/* --- starting ---------------------------------------------------------------------------------------------- */

/* The fds of start_process, then one word an option; freed by free_words. */
static char **device_words(const struct bh_plan *plan, const struct bh_plan_device *device,
                           const char *program)
{
    char **words = calloc(device->option_count + 5, sizeof(*words));
    size_t count = 0;
    if (!words)
        return NULL;
    words[count++] = strdup(program);
    if (asprintf(&words[count], "--fd=%d", BH_PROCESS_FIRST_FD) >= 0)
        count++;
    if (asprintf(&words[count], "--control-fd=%d", BH_PROCESS_FIRST_FD + 1) >= 0)
        count++;
    for (size_t i = 0; i < device->option_count; i++)
        if (asprintf(&words[count], "--%s=%s", device->options[i].name, device->options[i].value) >= 0)
            count++;
    if (device->link != BH_PLAN_NONE &&
        asprintf(&words[count], "--link-path=%s", plan->links[device->link].socket) >= 0)
        count++;
    words[count] = NULL;
    return words;
}

static void free_words(char **words)
{
    for (char **word = words; word && *word; word++)
        free(*word);
    free(words);
}

static int start_process(struct unit *unit, const char *program)
{
    struct system *system = unit->system;
    const struct bh_plan_device *device = &system->plan->devices[unit->plan_index];
    const int fds[] = {unit->listen_fd, unit->control_fd, system->dir.lock_fd};
    char notify[BH_RUN_PATH_MAX + 40];
    snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s/%s", system->dir.path, notify_name);
    const char *const environment[] = {notify, NULL};
    char **words = device_words(system->plan, device, program);
    if (!words)
        return BH_ERR_NOMEM;
    const int stream = unit->console ? unit->console->device_fd : -1;
    const struct bh_process_spec spec = {
        .argv = (const char *const *)words,
        .environment = environment,
        .in = stream,
        .out = stream >= 0 ? stream : unit->log.write_fd,
        .err = unit->log.write_fd,
        .fds = fds,
        .fd_count = 3,
    };
    const int err = bh_process_start(&unit->process, &spec, system->loop, device_exited);
    free_words(words);
    return err;
}

int device_start(struct unit *unit)
{
    const struct bh_plan_device *device = &unit->system->plan->devices[unit->plan_index];
    char program[4096];
    int err = bh_program_find(device->class_name, program, sizeof(program));
    if (err) {
        snprintf(unit->why, sizeof(unit->why), "there is no program bulkhead-%s", device->class_name);
        return err;
    }
    err = make_sockets(unit);
    if (err)
        return err;
    err = start_process(unit, program);
    if (err)
        snprintf(unit->why, sizeof(unit->why), "%.120s cannot be started: %s", program, bh_err_text(err));
    return err;
}

/* --- readiness --------------------------------------------------------------------------------------------- */

/* It is shown on terminals and in JSON: what is not printable ASCII could be more than text there. */
static void keep_status(struct unit *unit, const char *text)
{
    snprintf(unit->status, sizeof(unit->status), "%s", text);
    for (char *c = unit->status; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

static void one_notification(struct unit *unit, char *text)
{
    char *rest = NULL;
    for (char *word = strtok_r(text, "\n", &rest); word; word = strtok_r(NULL, "\n", &rest)) {
        if (!strcmp(word, "READY=1"))
            system_event(unit, BH_EVENT_READY);
        else if (!strncmp(word, "STATUS=", 7))
            keep_status(unit, word + 7);
    }
}

static struct unit *sender(struct system *system, struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        struct ucred who;
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_CREDENTIALS)
            continue;
        memcpy(&who, CMSG_DATA(part), sizeof(who));
        for (uint16_t i = 0; i < system->table.unit_count; i++)
            if (!system->units[i].is_domain && who.pid > 0 && system->units[i].process.pid == who.pid)
                return &system->units[i];
    }
    return NULL;
}

static void close_passed_fds(struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
            close(fd);
        }
    }
}

static void notified(struct bh_loop_fd *watch, uint32_t events)
{
    struct system *system = BH_LOOP_OWNER(watch, struct system, notify_watch);
    for (int i = 0; i < NOTIFIES_PER_ROUND; i++) {
        char text[NOTIFY_MAX + 1];
        _Alignas(
            struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(64 * sizeof(int))];
        struct iovec part = {text, NOTIFY_MAX};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
        const ssize_t got = recvmsg(system->notify_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        if (got < 0)
            return;
        text[got] = 0;
        struct unit *unit = sender(system, &message);
        close_passed_fds(&message);
        if (unit)
            one_notification(unit, text);
    }
}

int notify_open(struct system *system)
{
    const int on = 1;
    system->notify_fd = bind_socket(notify_name, SOCK_DGRAM);
    if (system->notify_fd < 0)
        return BH_ERR_IO;
    if (setsockopt(system->notify_fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
        return BH_ERR_IO;
    return bh_loop_fd_add(system->loop, &system->notify_watch, system->notify_fd, BH_LOOP_READ, notified);
}

void notify_close(struct system *system)
{
    bh_loop_fd_remove(&system->notify_watch);
    if (system->notify_fd >= 0)
        close(system->notify_fd);
    system->notify_fd = -1;
}
