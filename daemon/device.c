/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device processes. The daemon makes the listening socket and hands it over, so that a front-end may connect before
 * the backend accepts; notify.c hears when it is ready, and takes what it leaves to be kept.
 *
 * A process is started anew or to go on. Anew, it gets a new listening socket, and what an earlier one left is closed.
 * To go on, it gets the same socket, with whoever waits in its queue, and all that was kept. A process that ends by
 * itself instead has refused: it is started anew, with its domain. So is one that has left nothing, as a foreign
 * program does.
 */
#include "daemon/daemon.h"
#include "daemon/system.h"

#include <bulkhead/impl/exit_status.h>
#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 4 };

/* --- sockets ----------------------------------------------------------------------------------------------- */

int socket_bind(const char *name, int type)
{
    unlink(name);
    const int fd = bh_unix_listen(name, type | SOCK_NONBLOCK, LISTEN_BACKLOG, 0);
    return fd >= 0 ? fd : errno == ENAMETOOLONG ? BH_ERR_RANGE : BH_ERR_IO;
}

static void close_sockets(struct unit *unit)
{
    if (unit->listen_fd >= 0)
        close(unit->listen_fd);
    if (unit->control_fd >= 0)
        close(unit->control_fd);
    unit->listen_fd = unit->control_fd = -1;
}

int device_make_meeting(struct unit *unit, const char *folder)
{
    if (!folder || !mkdirat(unit->system->dir.fd, folder, 0700) || errno == EEXIST)
        return BH_OK;
    snprintf(unit->why, sizeof(unit->why), "the folder %.60s cannot be made: %s", folder, strerror(errno));
    return BH_ERR_IO;
}

/* "CLASS/DOMAIN.DEVICE" (plan.h): what is above it serves all devices of the class. */
static int make_folder(struct unit *unit, const char *folder)
{
    char above[BH_PLAN_NAME_MAX + 1];
    if (!folder)
        return BH_OK;
    snprintf(above, sizeof(above), "%.*s", (int)strcspn(folder, "/"), folder);
    const int err = device_make_meeting(unit, above);
    return err ? err : device_make_meeting(unit, folder);
}

/* New ones: nobody who connected to a backend that is gone for good waits in their queues. */
static int make_sockets(struct unit *unit)
{
    const struct bh_plan_device *device = &unit->system->plan->devices[unit->plan_index];
    const char *listen_name = device->socket;
    char control_name[UNIT_NAME_MAX + 8];
    close_sockets(unit);
    if (make_folder(unit, device->folder))
        return BH_ERR_IO;
    /* Each link has a folder of its own: it is all that its two ends' sandboxes see of the run directory. */
    if (device_make_meeting(unit, bh_plan_meeting(unit->system->plan, unit->plan_index)))
        return BH_ERR_IO;
    unit->listen_fd = socket_bind(listen_name, SOCK_STREAM);
    snprintf(control_name, sizeof(control_name), "%s.ctl", unit->name);
    /* Strangers accept without looking first. */
    if (unit->listen_fd >= 0 && unit_program(unit))
        (void)fcntl(unit->listen_fd, F_SETFL, fcntl(unit->listen_fd, F_GETFL) & ~O_NONBLOCK);
    if (unit->listen_fd >= 0 && !unit_program(unit))
        unit->control_fd = socket_bind(control_name, SOCK_STREAM);
    if (unit->control_fd >= 0 || (unit->listen_fd >= 0 && unit_program(unit)))
        return BH_OK;
    snprintf(unit->why, sizeof(unit->why), "its socket %s cannot be made: %s",
             unit->listen_fd >= 0 ? control_name : listen_name, strerror(errno));
    return BH_ERR_IO;
}

void device_exited(struct bh_process *process, const siginfo_t *info)
{
    struct unit *unit = BH_LOOP_OWNER(process, struct unit, process);
    bh_log_pipe_drain(&unit->log);
    notify_drain(unit); /* what it left with its last breath counts */
    unit->speaker = 0;
    bh_exit_text(info, unit->why, sizeof(unit->why));
    const bool refused = unit->goes_on && info->si_code == CLD_EXITED;
    const bool final =
        !unit_program(unit) && info->si_code == CLD_EXITED && bh_device_exit_is_final(info->si_status);
    if (final && unit->status[0]) { /* its last words */
        snprintf(unit->why, sizeof(unit->why), "%s", unit->status);
        unit->status[0] = 0;
    }
    /* Nobody ends a device process but we. */
    system_event(unit, unit->store.count && !refused ? BH_EVENT_CUT
                       : final                       ? BH_EVENT_REFUSED
                                                     : BH_EVENT_FAILED);
}

void device_forget(struct unit *unit)
{
    bh_fd_store_clear(&unit->store);
    unit->goes_on = false;
}

int device_open(struct unit *unit)
{
    struct system *system = unit->system;
    const struct bh_plan_device *device = &system->plan->devices[unit->plan_index];
    int err = bh_log_pipe_open(&unit->log, system->loop, system->dir.fd, unit->name, NULL);
    if (!err)
        err = notify_open(unit);
    if (!err && device->console)
        err = console_open(unit);
    return err;
}

void device_close(struct unit *unit)
{
    bh_process_end(&unit->process);
    console_close(unit->console);
    unit->console = NULL;
    bh_log_pipe_close(&unit->log);
    device_forget(unit);
    notify_close(unit);
    close_sockets(unit);
}

/* --- starting ---------------------------------------------------------------------------------------------- */

/* A stranger's: the socket by the conventions' word, then what the description has for it. */
static char **foreign_words(const struct bh_plan_device *device)
{
    char **words = calloc(device->argument_count + 3, sizeof(*words));
    size_t count = 0;
    if (!words)
        return NULL;
    words[count++] = strdup(device->program);
    if (asprintf(&words[count], "--fd=%d", BH_PROCESS_FIRST_FD) >= 0)
        count++;
    for (size_t i = 0; i < device->argument_count; i++)
        words[count++] = strdup(device->arguments[i]);
    words[count] = NULL;
    return words;
}

/* The fds of start_process, then one word an option; freed by words_free. */
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
    const char *meeting = bh_plan_meeting(plan, (uint32_t)(device - plan->devices));
    if (meeting && asprintf(&words[count], "--link-path=%s/meet", meeting) >= 0)
        count++;
    words[count] = NULL;
    return words;
}

void words_free(char **words)
{
    for (char **word = words; word && *word; word++)
        free(*word);
    free(words);
}

/* "LISTEN_FDNAMES=listen:control:NAME:..." in the order of the fds; the caller's to free. */
static char *names_of(const struct bh_fd_store *store)
{
    static const char first[] = "LISTEN_FDNAMES=listen:control";
    size_t length = sizeof(first);
    for (size_t i = 0; i < store->count; i++)
        length += 1 + strlen(store->entries[i].name);
    char *text = malloc(length), *end = text;
    if (!text)
        return NULL;
    end = stpcpy(end, first);
    for (size_t i = 0; i < store->count; i++)
        end = stpcpy(stpcpy(end, ":"), store->entries[i].name);
    return text;
}

/*
 * The two listening sockets come first, told by options and by sd_listen_fds' protocol; behind them what was kept; and
 * behind all that, unannounced, the run directory's lock, which only has to be there.
 */
static int start_process(struct unit *unit, const char *program)
{
    struct system *system = unit->system;
    const struct bh_plan_device *device = &system->plan->devices[unit->plan_index];
    const struct bh_fd_store *store = &unit->store;
    char name[NOTIFY_NAME_MAX], notify[BH_RUN_PATH_MAX + NOTIFY_NAME_MAX + 16], count[40];
    int fds[BH_FD_STORE_MAX + 3], err = BH_ERR_NOMEM;
    size_t fd_count = 0;
    fds[fd_count++] = unit->listen_fd;
    if (unit->control_fd >= 0)
        fds[fd_count++] = unit->control_fd;
    for (size_t i = 0; i < store->count; i++)
        fds[fd_count++] = store->entries[i].fd;
    fds[fd_count++] = system->dir.lock_fd;
    notify_name(unit, name);
    snprintf(notify, sizeof(notify), "NOTIFY_SOCKET=%s/%s", system->dir.path, name);
    snprintf(count, sizeof(count), "LISTEN_FDS=%zu", fd_count - 1);
    char *names = names_of(store);
    char **words = device->program ? foreign_words(device) : device_words(system->plan, device, program);
    const int stream = unit->console ? unit->console->device_fd : -1;
    /* A stranger is told nothing but its socket. */
    const char *const environment[] = {device->program ? NULL : notify, count, names, NULL};
    const struct bh_process_spec spec = {
        .argv = (const char *const *)words,
        .environment = environment,
        .in = stream,
        .out = stream >= 0 ? stream : unit->log.write_fd,
        .err = unit->log.write_fd,
        .fds = fds,
        .fd_count = fd_count,
        .listens = !device->program,
        .confined = device->program != NULL,
        .keeps_network = bh_plan_keeps(device, "network"),
        .keeps_privileges = bh_plan_keeps(device, "privileges"),
    };
    if (words && names)
        err = bh_process_start(&unit->process, &spec, system->loop, device_exited);
    if (!err) {
        unit->speaker = unit->process.pid;
        history_words(unit, spec.argv);
    }
    words_free(words);
    free(names);
    return err;
}

int device_start(struct unit *unit, bool goes_on)
{
    const struct bh_plan_device *device = &unit->system->plan->devices[unit->plan_index];
    char program[4096];
    int err = device->program ? BH_OK : bh_program_find(device->class_name, program, sizeof(program));
    if (device->program)
        snprintf(program, sizeof(program), "%s", device->program);
    if (err) {
        snprintf(unit->why, sizeof(unit->why), "there is no program bulkhead-%s", device->class_name);
        return err;
    }
    if (!goes_on) {
        device_forget(unit);
        err = make_sockets(unit);
        if (err)
            return err;
    }
    unit->goes_on = goes_on;
    err = start_process(unit, program);
    if (err)
        snprintf(unit->why, sizeof(unit->why), "%.120s cannot be started: %s", program, bh_err_text(err));
    return err;
}
