/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: one JSON object a line, each way. A request is {"v":1,"op":NAME,...}; its answer carries
 * "ok" and, when that is false, "error". After "watch", events come as well ("event" instead of "ok"). After an "attach"
 * that is answered ok, the connection is the console's bytes. docs/supervision.md lists requests and events.
 *
 * Clients are of our own user (the socket lies in a private directory), which makes them no reason for trust in what
 * they say: lines are bounded and parsed by a real parser.
 */
#include "daemon/ask.h"
#include "daemon/client.h"
#include "daemon/system.h"

#include <bulkhead/impl/option.h>
#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PROTOCOL_VERSION = 1, LINE_MAX_BYTES = 16 * 1024, NAMES_MAX = 1024 };
static const char socket_name[] = "control.sock";

/* --- clients ----------------------------------------------------------------------------------------------- */

void client_drop(struct client *client)
{
    if (client->fd < 0)
        return;
    struct system *system = client->system;
    const bool owner = client->owner;
    ask_cancel(client->ask);
    stats_cancel(client->stats);
    bh_loop_fd_remove(&client->watch);
    close(client->fd);
    free(client->line);
    *client = (struct client){.system = system, .fd = -1};
    if (owner && !system->going_down) {
        bh_note(&system->sink, "the `up` that started this system is gone: stopping");
        system_down(system, BH_ERR_CANCELLED, false);
    }
}

bool client_send(struct client *client, const void *bytes, size_t length)
{
    if (client->fd < 0)
        return false;
    if (send(client->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length)
        return true;
    if (!client->owner) /* the owner's end is its own affair: it is read until it is gone */
        client_drop(client);
    return false;
}

static void client_say(struct client *client, json_t *message)
{
    static const char too_long[] = "{\"v\":1,\"ok\":false,\"error\":\"the answer is too long\"}";
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    if (text && strlen(text) >= BH_CONTROL_ANSWER_MAX)
        strcpy(text, too_long);
    if (!text)
        return;
    const size_t length = strlen(text);
    text[length] = '\n'; /* in the place of the NUL: one write is one whole line */
    client_send(client, text, length + 1);
    free(text);
}

void control_broadcast(struct system *system, json_t *event)
{
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (system->clients[i].fd >= 0 && system->clients[i].watches)
            client_say(&system->clients[i], json_incref(event));
    json_decref(event);
}

/* --- requests ---------------------------------------------------------------------------------------------- */

static json_t *unit_report(struct system *system, struct unit *unit)
{
    const struct bh_unit_live *live = &system->live[unit->index];
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:s, s:s}", "name", unit->name, "kind",
                     unit_kind_text(unit), "class", unit_class(unit), "state",
                     bh_unit_state_text(live->state), "pid", (int)unit_pid(unit), "restarts",
                     (int)live->restarts, "cause", bh_unit_cause_text(live->cause), "why", unit->why,
                     "status", unit->status, "log", unit->log.log.name);
}

json_t *system_report(struct system *system)
{
    json_t *units = json_array();
    for (uint16_t i = 0; i < system->table.unit_count; i++)
        json_array_append_new(units, unit_report(system, &system->units[i]));
    return json_pack("{s:s, s:s, s:s, s:s, s:i, s:s, s:b, s:b, s:o}", "system", system->plan->name, "source",
                     system->source, "engine", system->engine->name, "run_dir", system->dir.path, "pid",
                     (int)bh_own_outer_pid(), "state",
                     system->going_down                             ? "stopping"
                     : bh_supervisor_all_ready(&system->supervisor) ? "ready"
                                                                    : "starting",
                     "contained", system->contained, "safe_state", system->supervisor.safe, "units", units);
}

static void answer(struct client *client, const char *error)
{
    client_say(client, error ? json_pack("{s:i, s:b, s:s}", "v", PROTOCOL_VERSION, "ok", 0, "error", error)
                             : json_pack("{s:i, s:b}", "v", PROTOCOL_VERSION, "ok", 1));
}

/* Scripts tell this from other refusals by "kind". */
static void answer_unknown(struct client *client, const char *name)
{
    const struct system *system = client->system;
    const char *names[NAMES_MAX], *near = NULL;
    char error[160], hint[UNIT_NAME_MAX + 32] = "`bulkhead ps` shows them";
    size_t count = 0;
    for (uint16_t i = 0; i < system->table.unit_count && count < NAMES_MAX; i++)
        names[count++] = system->units[i].name;
    near = name ? bh_did_you_mean(name, names, count) : NULL;
    if (near)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    snprintf(error, sizeof(error),
             name ? "no domain or device has the name \"%.100s\"" : "\"name\" is missing", name);
    client_say(client, json_pack("{s:i, s:b, s:s, s:s, s:s}", "v", PROTOCOL_VERSION, "ok", 0, "error", error,
                                 "hint", hint, "kind", "unknown-name"));
}

/* What is called as the request says; NULL: there is none, and that has been answered. */
static struct unit *unit_asked_for(struct client *client, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "name"));
    struct unit *unit = name ? unit_find(client->system, name) : NULL;
    if (!unit)
        answer_unknown(client, name);
    return unit;
}

static void op_ps(struct client *client, const json_t *request)
{
    json_t *report = system_report(client->system);
    json_object_set_new(report, "v", json_integer(PROTOCOL_VERSION));
    json_object_set_new(report, "ok", json_true());
    client_say(client, report);
}

static void op_down(struct client *client, const json_t *request)
{
    const bool now = json_is_true(json_object_get(request, "now"));
    client->watches = true;
    answer(client, NULL);
    system_log(client->system, NULL, "a client asks to stop%s", now ? " at once" : "");
    system_down(client->system, BH_OK, now);
}

static void op_watch(struct client *client, const json_t *request)
{
    client->watches = true;
    answer(client, NULL);
}

static void op_detach(struct client *client, const json_t *request)
{
    client->owner = false;
    answer(client, NULL);
    system_log(client->system, NULL, "the `up` that started this system leaves it running");
}

static void op_restart(struct client *client, const json_t *request)
{
    struct unit *unit = unit_asked_for(client, request);
    if (!unit)
        return;
    if (client->system->going_down) {
        answer(client, "the system is going down");
        return;
    }
    client->watches = true;
    client_say(client, json_pack("{s:i, s:b, s:s}", "v", PROTOCOL_VERSION, "ok", 1, "name", unit->name));
    system_restart(client->system, unit);
}

/* A domain that has ended for good says nothing any more, and hears nothing. */
static void answer_not_running(struct client *client, const struct unit *domain)
{
    char error[WHY_MAX + 160], hint[160];
    snprintf(error, sizeof(error), "%s does not run: %s", domain->name,
             domain->why[0] ? domain->why : bh_unit_state_text(client->system->live[domain->index].state));
    snprintf(hint, sizeof(hint), "`bulkhead restart %.70s` starts it again; `bulkhead logs` has what it said",
             domain->name);
    client_say(client, json_pack("{s:i, s:b, s:s, s:s, s:s}", "v", PROTOCOL_VERSION, "ok", 0, "error", error,
                                 "hint", hint, "kind", "not-running"));
}

static void op_attach(struct client *client, const json_t *request)
{
    struct unit *unit = unit_asked_for(client, request);
    if (!unit)
        return;
    struct console *console =
        unit->kind == UNIT_DOMAIN ? console_of_domain(client->system, unit->plan_index) : unit->console;
    if (!console) {
        char error[UNIT_NAME_MAX + 80];
        snprintf(error, sizeof(error),
                 "%s has no console here: its description puts it elsewhere, or it has none", unit->name);
        answer(client, error);
        return;
    }
    const struct unit *domain =
        unit_of_domain(client->system, client->system->plan->devices[console->unit->plan_index].domain);
    const uint8_t state = client->system->live[domain->index].state;
    if (state == BH_UNIT_STOPPED || state == BH_UNIT_FAILED) {
        answer_not_running(client, domain);
        return;
    }
    client_say(client, json_pack("{s:i, s:b, s:s, s:s}", "v", PROTOCOL_VERSION, "ok", 1, "name",
                                 console->unit->name, "domain", domain->name));
    if (client->fd >= 0)
        console_attach(console, client);
}

/* --- requests that device processes answer ------------------------------------------------------------------ */

static void handle_bytes(struct client *client);

/* Requests are answered in order: nothing more is read from a client whose answer is still on its way. */
static bool waits(const struct client *client)
{
    return client->ask || client->stats;
}

static void begin_waiting(struct client *client)
{
    if (waits(client))
        bh_loop_fd_want(&client->watch, 0);
    else
        answer(client, "out of memory");
}

static void end_waiting(struct client *client, json_t *message)
{
    client->ask = NULL;
    client->stats = NULL;
    bh_loop_fd_want(&client->watch, BH_LOOP_READ);
    client_say(client, message);
    handle_bytes(client);
}

static void stats_done(void *owner, json_t *report)
{
    json_object_set_new(report, "v", json_integer(PROTOCOL_VERSION));
    json_object_set_new(report, "ok", json_true());
    end_waiting(owner, report);
}

static void op_stat(struct client *client, const json_t *request)
{
    const char *name = json_string_value(json_object_get(request, "name"));
    if (name && !unit_find(client->system, name)) {
        answer_unknown(client, name);
        return;
    }
    client->stats = stats_gather(client->system, name, stats_done, client);
    begin_waiting(client);
}

/* What the process says is the answer, its refusal too. */
static void device_answered(void *owner, json_t *said, const char *why)
{
    end_waiting(owner,
                said ? said : json_pack("{s:i, s:b, s:s}", "v", PROTOCOL_VERSION, "ok", 0, "error", why));
}

/* Whether a class's verb can be said to it: a switch is told to capture as a net is. */
static bool takes_verbs_of(const struct unit *unit, const char *class, const json_t *inner)
{
    const char *op = json_string_value(json_object_get(inner, "op"));
    return !strcmp(class, unit_class(unit)) ||
           (unit->kind == UNIT_SWITCH && op && !strcmp(class, "net") && !strcmp(op, "capture"));
}

static void op_device(struct client *client, const json_t *request)
{
    struct unit *unit = unit_asked_for(client, request);
    json_t *inner = json_object_get(request, "request");
    if (!unit)
        return;
    if (unit->kind == UNIT_DOMAIN || !json_is_object(inner)) {
        char error[UNIT_NAME_MAX + 80];
        snprintf(error, sizeof(error),
                 unit->kind == UNIT_DOMAIN ? "%s is a domain: name one of its devices"
                                           : "\"request\" is what %s is to be asked",
                 unit->name);
        answer(client, error);
        return;
    }
    const char *class = json_string_value(json_object_get(request, "class"));
    if (class && !takes_verbs_of(unit, class, inner)) {
        char error[UNIT_NAME_MAX + 80];
        snprintf(error, sizeof(error), "%s is a %.30s, and no %.30s", unit->name, unit_class(unit), class);
        answer(client, error);
        return;
    }
    client->ask = ask_device(unit, json_copy(inner), BH_CONTROL_ANSWER_MAX, device_answered, client);
    begin_waiting(client);
}

static const struct {
    const char *name;
    void (*run)(struct client *client, const json_t *request);
} ops[] = {
    {"ps", op_ps},           {"watch", op_watch},   {"down", op_down}, {"detach", op_detach},
    {"restart", op_restart}, {"attach", op_attach}, {"stat", op_stat}, {"device", op_device},
};

static void handle_line(struct client *client, const char *line, size_t length)
{
    json_t *request = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    const char *op = json_string_value(json_object_get(request, "op"));
    const bool version_fits = json_integer_value(json_object_get(request, "v")) == PROTOCOL_VERSION;
    size_t i = 0;
    while (op && i < sizeof(ops) / sizeof(ops[0]) && strcmp(ops[i].name, op) != 0)
        i++;
    if (!op)
        answer(client, "a request is one JSON object a line, with \"v\" and \"op\"");
    else if (!version_fits)
        answer(client, "this daemon speaks version 1 of the protocol");
    else if (i == sizeof(ops) / sizeof(ops[0]))
        answer(client, "there is no such \"op\"");
    else
        ops[i].run(client, request);
    json_decref(request);
}

/* A request may end the client, or make the rest of its bytes the console's: both are looked at after each line. */
static void handle_bytes(struct client *client)
{
    char *end;
    while (client->fd >= 0 && !client->attached && !waits(client) &&
           (end = memchr(client->line, '\n', client->length))) {
        const size_t length = (size_t)(end - client->line) + 1;
        handle_line(client, client->line, length);
        if (client->fd < 0)
            return;
        memmove(client->line, client->line + length, client->length - length);
        client->length -= length;
    }
    if (client->attached && client->length) {
        console_type(client->attached, client->line, client->length);
        client->length = 0;
    } else if (client->length == LINE_MAX_BYTES) {
        client_drop(client);
    }
}

static void client_readable(struct bh_loop_fd *watch, uint32_t events)
{
    struct client *client = BH_LOOP_OWNER(watch, struct client, watch);
    const ssize_t got =
        recv(client->fd, client->line + client->length, LINE_MAX_BYTES - client->length, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        client_drop(client);
        return;
    }
    client->length += (size_t)got;
    handle_bytes(client);
}

static struct client *client_add(struct system *system, int fd)
{
    const int buffer = 2 * BH_CONTROL_ANSWER_MAX; /* an answer, beside events that wait */
    for (int i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &system->clients[i];
        if (client->fd >= 0)
            continue;
        *client = (struct client){.system = system, .fd = fd, .line = malloc(LINE_MAX_BYTES)};
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
        if (client->line && !bh_loop_fd_add(system->loop, &client->watch, fd, BH_LOOP_READ, client_readable))
            return client;
        client_drop(client);
        return NULL;
    }
    close(fd);
    return NULL;
}

static void accept_client(struct bh_loop_fd *watch, uint32_t events)
{
    struct system *system = BH_LOOP_OWNER(watch, struct system, control_watch);
    const int fd = bh_accept(&system->control_accept, watch, &system->sink, "control socket");
    if (fd >= 0)
        client_add(system, fd);
}

int control_open(struct system *system, int owner_fd)
{
    system->control_fd = -1;
    for (int i = 0; i < CLIENTS_MAX; i++)
        system->clients[i] = (struct client){.system = system, .fd = -1};
    struct client *owner = client_add(system, owner_fd);
    if (!owner)
        return BH_ERR_NOMEM;
    owner->owner = owner->watches = true;
    return BH_OK;
}

int control_listen(struct system *system)
{
    system->control_fd = bh_unix_listen(socket_name, SOCK_STREAM | SOCK_NONBLOCK, CLIENTS_MAX, 0);
    if (system->control_fd < 0)
        return BH_ERR_IO;
    return bh_loop_fd_add(system->loop, &system->control_watch, system->control_fd, BH_LOOP_READ,
                          accept_client);
}

void control_close(struct system *system)
{
    bh_accept_cancel(&system->control_accept);
    bh_loop_fd_remove(&system->control_watch);
    if (system->control_fd >= 0)
        close(system->control_fd);
    system->control_fd = -1;
    for (int i = 0; i < CLIENTS_MAX; i++)
        client_drop(&system->clients[i]);
}
