/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A console on a Unix stream socket. One client at a time; a later one takes over, so that a forgotten or
 * stuck client, which would stop the guest by flow control, never locks its user out.
 *
 * #syscalls fcntl unlink unlinkat lstat newfstatat
 */
#include "devices/console/ends.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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

/*
 * A socket file that nobody listens on is a killed program's: it may go. Asked with a datagram socket, of which who
 * listens there does not hear: a stream would take the console over.
 */
static bool is_stale(const struct sockaddr_un *address)
{
    struct stat file;
    if (lstat(address->sun_path, &file) || !S_ISSOCK(file.st_mode))
        return false; /* ECONNREFUSED is what connect says of any other file too */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool stale = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
                 errno == ECONNREFUSED;
    if (fd >= 0)
        close(fd);
    return stale;
}

static int listen_on(const char *path, struct bh_diag_sink *sink)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof(address.sun_path)) {
        bh_error(sink, NULL, "use a shorter folder", "console-socket: %s is longer than %zu bytes", path,
                 sizeof(address.sun_path) - 1);
        return BH_ERR_RANGE;
    }
    memcpy(address.sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return BH_ERR_IO;
    fchmod(fd, 0600); /* of the file that bind makes */
    int err = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
    if (err == EADDRINUSE && is_stale(&address)) {
        unlink(path);
        err = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 ? 0 : errno;
    }
    if (err == 0 && listen(fd, 4) != 0)
        err = errno;
    if (err == 0)
        return fd;
    close(fd);
    bh_error(sink, NULL, "give a path in a folder that exists and that no other program serves",
             "console-socket: cannot listen on %s: %s", path, strerror(err));
    return err == EADDRINUSE ? BH_ERR_EXIST : err == ENOENT ? BH_ERR_NOENT : BH_ERR_IO;
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
        fd = listen_on(path, sink);
        if (fd < 0)
            return fd;
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
