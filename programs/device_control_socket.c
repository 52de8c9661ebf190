/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket's clients: who is there, and their lines.
 *
 * #syscalls recvfrom sendto getsockopt fcntl
 */
#include "programs/device_control.h"
#include <bulkhead/impl/accept.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct client {
    struct bh_control_socket *control;
    struct bh_loop_fd watch; /* .fd -1: free */
    size_t used;
    char line[BH_CONTROL_LINE_MAX];
};

struct bh_control_socket {
    struct bh_loop *loop;
    const struct bh_control_subject *subject;
    struct bh_loop_fd listen;
    struct bh_accept accept; /* beside it */
    struct client clients[BH_CONTROL_CLIENTS_MAX];
};

static const char too_many[] = "{\"v\": 1, \"ok\": false, \"error\": \"too many clients are connected\"}\n";
static const char too_long[] = "{\"v\": 1, \"ok\": false, \"error\": \"the line is too long\"}\n";

/* Whole, or not at all: a peer that does not read must not hold us up. */
static bool say(int fd, const char *bytes, size_t length)
{
    return send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)length;
}

static void drop(struct client *client)
{
    bh_loop_fd_remove(&client->watch);
    close(client->watch.fd);
    client->watch.fd = -1;
}

static bool answer(struct client *client, const char *line, size_t length)
{
    char *text = bh_control_answer(client->control->subject, line, length);
    bool sent = false;
    if (text) {
        const size_t end = strlen(text);
        text[end] = '\n'; /* in the place of the NUL */
        sent = say(client->watch.fd, text, end + 1);
    }
    free(text);
    return sent;
}

static void readable(struct bh_loop_fd *watch, uint32_t events)
{
    struct client *client = BH_LOOP_OWNER(watch, struct client, watch);
    const ssize_t got =
        recv(watch->fd, client->line + client->used, sizeof(client->line) - client->used, MSG_DONTWAIT);
    size_t begin = 0;
    char *end;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        drop(client);
        return;
    }
    client->used += (size_t)got;
    while ((end = memchr(client->line + begin, '\n', client->used - begin))) {
        const size_t length = (size_t)(end - client->line) - begin;
        if (!answer(client, client->line + begin, length)) {
            drop(client);
            return;
        }
        begin += length + 1;
    }
    memmove(client->line, client->line + begin, client->used - begin);
    client->used -= begin;
    if (client->used == sizeof(client->line)) {
        (void)say(watch->fd, too_long, sizeof(too_long) - 1);
        drop(client);
    }
}

static struct client *free_client(struct bh_control_socket *control)
{
    for (unsigned i = 0; i < BH_CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].watch.fd < 0)
            return &control->clients[i];
    return NULL;
}

static void accept_client(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_control_socket *control = BH_LOOP_OWNER(watch, struct bh_control_socket, listen);
    struct client *client = free_client(control);
    const int fd = bh_accept(&control->accept, watch, NULL, "control");
    if (fd < 0)
        return; /* it went away again, or there is no fd for it */
    if (!client) {
        (void)say(fd, too_many, sizeof(too_many) - 1);
        close(fd);
        return;
    }
    client->used = 0;
    if (bh_loop_fd_add(control->loop, &client->watch, fd, BH_LOOP_READ, readable)) {
        client->watch.fd = -1;
        close(fd);
    }
}

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) ? -1 : value;
}

int bh_control_open(struct bh_loop *loop, int fd, const struct bh_control_subject *subject,
                    struct bh_control_socket **out)
{
    struct bh_control_socket *control;
    const int flags = fcntl(fd, F_GETFL);
    int err;
    if (socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_STREAM ||
        socket_option(fd, SO_ACCEPTCONN) != 1)
        return BH_ERR_INVAL;
    control = calloc(1, sizeof(*control));
    if (!control)
        return BH_ERR_NOMEM;
    control->loop = loop;
    control->subject = subject;
    for (unsigned i = 0; i < BH_CONTROL_CLIENTS_MAX; i++) {
        control->clients[i].control = control;
        control->clients[i].watch.fd = -1;
    }
    (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    json_object_seed(0); /* now, since it reads a file: later there may be none to open */
    err = bh_loop_fd_add(loop, &control->listen, fd, BH_LOOP_READ, accept_client);
    if (err) {
        free(control);
        return err;
    }
    *out = control;
    return BH_OK;
}

void bh_control_close(struct bh_control_socket *control)
{
    if (!control)
        return;
    for (unsigned i = 0; i < BH_CONTROL_CLIENTS_MAX; i++)
        if (control->clients[i].watch.fd >= 0)
            drop(&control->clients[i]);
    bh_accept_cancel(&control->accept);
    bh_loop_fd_remove(&control->listen);
    close(control->listen.fd);
    free(control);
}
