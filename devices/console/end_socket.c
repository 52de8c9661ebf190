/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console on a Unix stream socket. One client at a time; a later one takes over, so that a forgotten or
 * stuck client, which would stop the guest by flow control, never locks its user out.
 *
 * #syscalls fcntl unlink unlinkat lstat newfstatat
 */
#include "devices/console/ends.h"

#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static const char taken_over[] = "\r\n[another client took this console over]\r\n";

static void close_client(struct bh_end_socket *s)
{
    if (s->client >= 0)
        close(s->client);
    s->client = -1;
}

static void hung_up(struct bh_terminal_end *end)
{
    close_client(BH_CONTAINER(end, struct bh_end_socket, end));
}

static void client_came(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_end_socket *s = BH_LOOP_OWNER(watch, struct bh_end_socket, watch);
    const int client = bh_accept(&s->accept, watch, s->sink, "console-socket");

    if (client < 0)
        return; /* it went away again, or there is no fd for it */
    if (s->client >= 0) {
        bh_terminal_detach(s->terminal);
        if (send(s->client, taken_over, sizeof(taken_over) - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
            /* a client that does not read is not told */
        }
        close_client(s);
    }
    s->client = client;
    if (bh_terminal_attach(s->terminal, &s->end, client, client) != BH_OK)
        close_client(s);
}

int bh_end_socket_start(struct bh_end_socket *s, struct bh_terminal *terminal, const char *path, int fd,
                        struct bh_diag_sink *sink)
{
    *s = (struct bh_end_socket){.end = {.hung_up = hung_up},
                                .terminal = terminal,
                                .listener = fd,
                                .client = -1,
                                .path = path,
                                .sink = sink};
    if (path) {
        fd = bh_unix_listen(path, SOCK_STREAM | SOCK_NONBLOCK, 4, BH_UNIX_OURS_ALONE | BH_UNIX_REPLACE_STALE);
        if (fd < 0)
            return bh_unix_complain(path, errno, "console-socket", sink);
        s->listener = fd;
    } else {
        int on = 0;
        socklen_t size = sizeof(on);
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) != 0 || !on) {
            bh_error(sink, NULL, "hand over a Unix socket that listens", "console-fd: %d is not one", fd);
            return BH_ERR_INVAL;
        }
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    int err = bh_loop_fd_add(terminal->loop, &s->watch, s->listener, BH_LOOP_READ, client_came);
    if (err) {
        bh_error(sink, NULL, NULL, "the console's socket cannot be watched: %s", bh_err_text(err));
        bh_end_socket_stop(s);
    }
    return err;
}

void bh_end_socket_stop(struct bh_end_socket *s)
{
    bh_accept_cancel(&s->accept);
    bh_loop_fd_remove(&s->watch);
    if (s->terminal->end == &s->end)
        bh_terminal_detach(s->terminal);
    close_client(s);
    close(s->listener);
    if (s->path)
        unlink(s->path);
}
