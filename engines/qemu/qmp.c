/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The QMP client. QEMU is no friend: a guest that broke it may say anything here, so that a line is bounded, parsed
 * by a real parser, and believed only in the few words that qmp.h names.
 */
#include "engines/qemu/qmp.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int bh_qmp_send(struct bh_qmp *qmp, const char *command, const char *arguments)
{
    char text[512];
    if (qmp->fd < 0)
        return BH_ERR_CLOSED;
    const int length = arguments ? snprintf(text, sizeof(text), "{\"execute\":\"%s\",\"arguments\":%s}\n",
                                            command, arguments)
                                 : snprintf(text, sizeof(text), "{\"execute\":\"%s\"}\n", command);
    if (length < 0 || (size_t)length >= sizeof(text))
        return BH_ERR_RANGE;
    return send(qmp->fd, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT) == length ? BH_OK : BH_ERR_CLOSED;
}

/* So many in a minute: more is a flood, and told as a number. */
enum { ERRORS_BURST = 10, ERRORS_PERIOD_MS = 60000 };

static void complain(struct bh_qmp *qmp, const char *what)
{
    char text[512];
    unsigned held;
    if (!bh_diag_allowed(&qmp->limit, &held))
        return;
    if (held)
        snprintf(text, sizeof(text), "%.400s (and %u more before)", what, held);
    qmp->error(qmp, held ? text : what);
}

static void handle_event(struct bh_qmp *qmp, const char *name, const json_t *message)
{
    const json_t *data = json_object_get(message, "data");
    const char *reason = json_string_value(json_object_get(data, "reason"));
    qmp->event(qmp, name, reason, json_is_true(json_object_get(data, "guest")));
}

static void handle_line(struct bh_qmp *qmp, const char *line, size_t length)
{
    json_t *message = json_loadb(line, length, JSON_REJECT_DUPLICATES, NULL);
    const char *event = json_string_value(json_object_get(message, "event"));
    const json_t *error = json_object_get(message, "error");
    if (!json_is_object(message)) {
        complain(qmp, "QEMU's control socket said something that is no JSON object");
    } else if (json_object_get(message, "QMP")) {
        if (bh_qmp_send(qmp, "qmp_capabilities", NULL))
            complain(qmp, "QEMU's control socket does not take commands");
    } else if (event) {
        handle_event(qmp, event, message);
    } else if (error) {
        const char *what = json_string_value(json_object_get(error, "desc"));
        complain(qmp, what ? what : "QEMU refused a command");
    } else if (!qmp->ready) {
        qmp->ready = true;
        qmp->event(qmp, NULL, NULL, false);
    }
    json_decref(message);
}

/* The callbacks may end the client: fd is looked at again after each. */
static void handle_lines(struct bh_qmp *qmp)
{
    char *end;
    while (qmp->fd >= 0 && (end = memchr(qmp->line, '\n', qmp->length))) {
        const size_t length = (size_t)(end - qmp->line) + 1;
        handle_line(qmp, qmp->line, length);
        if (qmp->fd < 0)
            return;
        memmove(qmp->line, qmp->line + length, qmp->length - length);
        qmp->length -= length;
    }
    if (qmp->fd >= 0 && qmp->length == BH_QMP_LINE_MAX) {
        qmp->length = 0;
        complain(qmp, "QEMU's control socket sent a line without an end");
    }
}

static void readable(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_qmp *qmp = BH_LOOP_OWNER(watch, struct bh_qmp, watch);
    const ssize_t got = recv(qmp->fd, qmp->line + qmp->length, BH_QMP_LINE_MAX - qmp->length, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        bh_loop_fd_remove(watch); /* the end of the process tells the rest */
        return;
    }
    qmp->length += (size_t)got;
    handle_lines(qmp);
}

int bh_qmp_init(struct bh_qmp *qmp, struct bh_loop *loop, int fd,
                void (*event)(struct bh_qmp *qmp, const char *name, const char *reason, bool guest),
                void (*error)(struct bh_qmp *qmp, const char *what))
{
    *qmp = (struct bh_qmp){.fd = fd,
                           .line = malloc(BH_QMP_LINE_MAX),
                           .limit = {.burst = ERRORS_BURST, .period_ms = ERRORS_PERIOD_MS},
                           .event = event,
                           .error = error};
    int err = qmp->line ? bh_loop_fd_add(loop, &qmp->watch, fd, BH_LOOP_READ, readable) : BH_ERR_NOMEM;
    if (err)
        bh_qmp_fini(qmp);
    return err;
}

void bh_qmp_fini(struct bh_qmp *qmp)
{
    bh_loop_fd_remove(&qmp->watch);
    if (qmp->fd >= 0)
        close(qmp->fd);
    qmp->fd = -1;
    free(qmp->line);
    qmp->line = NULL;
}
