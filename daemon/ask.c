/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One question to one device process. See ask.h.
 */
#include "daemon/ask.h"
#include "daemon/system.h"

#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The longest answer is that of a device with all the queues that there can be. */
enum { ANSWER_MS = 3000, FIRST_ROOM = 8 * 1024, WHY_ROOM = 96 };

struct ask {
    struct unit *unit;
    void (*answered)(void *owner, json_t *answer, const char *why);
    void *owner;
    int fd; /* -1: there is no connection */
    struct bh_loop_fd watch;
    struct bh_loop_timer timer;
    struct bh_loop_work work; /* tells what is known already */
    char why[WHY_ROOM];
    char *text;
    size_t length, room, most;
};

void ask_cancel(struct ask *ask)
{
    if (!ask)
        return;
    bh_loop_fd_remove(&ask->watch);
    bh_loop_timer_cancel(&ask->timer);
    bh_loop_work_cancel(&ask->work);
    if (ask->fd >= 0)
        close(ask->fd);
    free(ask->text);
    free(ask);
}

static void finish(struct ask *ask, json_t *answer, const char *why)
{
    void (*const answered)(void *owner, json_t *answer, const char *why) = ask->answered;
    void *const owner = ask->owner;
    char kept[WHY_ROOM];
    snprintf(kept, sizeof(kept), "%s", why ? why : "");
    ask_cancel(ask);
    answered(owner, answer, answer ? NULL : kept);
}

static void give_up(struct bh_loop_work *work)
{
    struct ask *ask = BH_LOOP_OWNER(work, struct ask, work);
    finish(ask, NULL, ask->why);
}

static void too_late(struct bh_loop_timer *timer)
{
    finish(BH_LOOP_OWNER(timer, struct ask, timer), NULL, "it does not answer in time");
}

static bool make_room(struct ask *ask)
{
    if (ask->length < ask->room)
        return true;
    const size_t wanted = ask->room ? 2 * ask->room : FIRST_ROOM;
    const size_t room = wanted < ask->most ? wanted : ask->most;
    char *text = room > ask->room ? realloc(ask->text, room) : NULL;
    if (!text)
        return false;
    ask->text = text;
    ask->room = room;
    return true;
}

static void readable(struct bh_loop_fd *watch, uint32_t events)
{
    struct ask *ask = BH_LOOP_OWNER(watch, struct ask, watch);
    if (!make_room(ask)) {
        finish(ask, NULL, "its answer is too long");
        return;
    }
    const ssize_t got = recv(ask->fd, ask->text + ask->length, ask->room - ask->length, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        finish(ask, NULL, "it went away");
        return;
    }
    const char *end = memchr(ask->text + ask->length, '\n', (size_t)got);
    ask->length += (size_t)got;
    if (!end)
        return;
    json_t *answer = json_loadb(ask->text, (size_t)(end - ask->text), JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_boolean(json_object_get(answer, "ok"))) {
        json_decref(answer);
        answer = NULL;
    }
    finish(ask, answer, "what it answers is no answer");
}

static bool send_line(int fd, json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    if (!text)
        return false;
    const size_t length = strlen(text);
    text[length] = '\n'; /* in the place of the NUL */
    const bool sent = send(fd, text, length + 1, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length + 1;
    free(text);
    return sent;
}

/* Connect and send. False: ask->why says why not. */
static bool begin(struct ask *ask, json_t *request)
{
    struct system *system = ask->unit->system;
    char path[sizeof(ask->unit->name) + sizeof(".ctl")];
    if (!ask->unit->process.pid || ask->unit->control_fd < 0) {
        snprintf(ask->why, sizeof(ask->why), "%s",
                 ask->unit->process.pid ? "it has no control socket" : "it does not run");
        return false;
    }
    snprintf(path, sizeof(path), "%s.ctl", ask->unit->name);
    ask->fd = bh_unix_connect(path, SOCK_STREAM | SOCK_NONBLOCK);
    if (ask->fd >= 0 && send_line(ask->fd, request) &&
        !bh_loop_fd_add(system->loop, &ask->watch, ask->fd, BH_LOOP_READ, readable))
        return true;
    snprintf(ask->why, sizeof(ask->why), "it cannot be asked: %s", strerror(errno));
    return false;
}

struct ask *ask_device(struct unit *unit, json_t *request, size_t most,
                       void (*answered)(void *owner, json_t *answer, const char *why), void *owner)
{
    struct ask *ask = request ? calloc(1, sizeof(*ask)) : NULL;
    if (ask) {
        *ask = (struct ask){.unit = unit, .answered = answered, .owner = owner, .fd = -1, .most = most};
        json_object_set_new(request, "v", json_integer(1));
        if (begin(ask, request))
            bh_loop_timer_set(unit->system->loop, &ask->timer, ANSWER_MS, too_late);
        else
            bh_loop_defer(unit->system->loop, &ask->work, give_up);
    }
    json_decref(request);
    return ask;
}
