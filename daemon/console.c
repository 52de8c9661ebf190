/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of a console device that the description leaves to us: the device process has it as its stdin and
 * stdout. Output goes to a log, to the search for the ready text, and to everyone attached; who reads too slowly loses
 * bytes, not the guest its time. The last few KiB are kept, so that whoever attaches sees where they are.
 */
#include "daemon/system.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 4096, CHUNKS_PER_ROUND = 16 };

static void keep(struct console *console, const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        console->kept[console->kept_at] = bytes[i];
        console->kept_at = (console->kept_at + 1) % CONSOLE_KEPT;
    }
    console->kept_count =
        console->kept_count + length > CONSOLE_KEPT ? CONSOLE_KEPT : console->kept_count + length;
}

static void show(struct client *client, const char *bytes, size_t length)
{
    if (send(client->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
        client_drop(client);
}

static void output(struct console *console, const char *bytes, size_t length)
{
    struct system *system = console->system;
    const struct bh_plan_device *device = &system->plan->devices[console->unit->plan_index];
    const struct bh_plan_domain *domain = &system->plan->domains[device->domain];
    bh_log_write(&console->log, bytes, length);
    keep(console, bytes, length);
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (system->clients[i].attached == console)
            show(&system->clients[i], bytes, length);
    if (domain->ready.console == console->unit->plan_index)
        domain_output(unit_of_domain(system, device->domain), bytes, length);
}

static void readable(struct bh_loop_fd *watch, uint32_t events)
{
    struct console *console = BH_LOOP_OWNER(watch, struct console, watch);
    char bytes[CHUNK];
    for (int chunk = 0; chunk < CHUNKS_PER_ROUND; chunk++) {
        const ssize_t got = recv(console->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got <= 0)
            return;
        output(console, bytes, (size_t)got);
    }
}

/* Does the description say itself where the console is? Then it is not ours to show. */
static bool is_elsewhere(const struct bh_plan_device *device)
{
    const char *port = bh_plan_option_value(device, "port");
    if (port)
        return strcmp(port, "stdio") != 0 && strcmp(port, "auto") != 0;
    return bh_plan_option_value(device, "console-socket") || bh_plan_option_value(device, "pty-link");
}

int console_open(struct unit *unit)
{
    struct system *system = unit->system;
    char name[BH_LOG_NAME_MAX];
    int ends[2];
    if (is_elsewhere(&system->plan->devices[unit->plan_index]))
        return BH_OK;
    struct console *console = calloc(1, sizeof(*console));
    if (!console)
        return BH_ERR_NOMEM;
    console->system = system;
    console->unit = unit;
    snprintf(name, sizeof(name), "%s.output", unit->name);
    int err = bh_log_open(&console->log, system->dir.fd, name);
    if (err)
        goto no_log;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
        err = BH_ERR_IO;
        goto no_pair;
    }
    console->fd = ends[0];
    console->device_fd = ends[1];
    err = bh_loop_fd_add(system->loop, &console->watch, console->fd, BH_LOOP_READ, readable);
    if (!err) {
        unit->console = console;
        return BH_OK;
    }
    close(ends[0]);
    close(ends[1]);
no_pair:
    bh_log_close(&console->log);
no_log:
    free(console);
    return err;
}

void console_close(struct console *console)
{
    if (!console)
        return;
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (console->system->clients[i].attached == console)
            client_drop(&console->system->clients[i]);
    bh_loop_fd_remove(&console->watch);
    close(console->fd);
    close(console->device_fd);
    bh_log_close(&console->log);
    free(console);
}

void console_end(struct unit *domain)
{
    struct system *system = domain->system;
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &system->clients[i];
        struct console *console = client->attached;
        if (!console || system->plan->devices[console->unit->plan_index].domain != domain->plan_index)
            continue;
        readable(&console->watch, 0); /* its last words */
        client_drop(client);
    }
}

void console_attach(struct console *console, struct client *client)
{
    client->attached = console;
    const size_t first = (console->kept_at + CONSOLE_KEPT - console->kept_count) % CONSOLE_KEPT;
    const size_t straight =
        first + console->kept_count > CONSOLE_KEPT ? CONSOLE_KEPT - first : console->kept_count;
    if (straight)
        show(client, console->kept + first, straight);
    if (client->attached && console->kept_count > straight)
        show(client, console->kept, console->kept_count - straight);
}

/* The device process reads as fast as the guest takes it; a paste that is longer than the socket's buffer is cut. */
void console_type(struct console *console, const char *bytes, size_t length)
{
    if (send(console->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EAGAIN)
        bh_warn(&console->system->sink, NULL, NULL, "%s: what was typed is lost: %s", console->unit->name,
                strerror(errno));
}

struct console *console_of_domain(struct system *system, uint32_t domain)
{
    const struct bh_plan_domain *plan = &system->plan->domains[domain];
    for (uint32_t d = 0; d < plan->device_count; d++) {
        struct unit *unit = unit_of_device(system, plan->device_first + d);
        if (unit && unit->console)
            return unit->console;
    }
    return NULL;
}
