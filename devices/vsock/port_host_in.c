/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections that come to the guest from outside: the listening sockets, and the line that says where to.
 *
 * #syscalls socket bind connect listen fchmod lstat newfstatat accept4 recvfrom sendto unlink unlinkat
 */
#include "devices/vsock/port_host.h"
#include "devices/vsock/sockets.h"

#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELLO_MS     30000u /* a person may be typing it */
#define PAUSE_MS     100u   /* until the next accept, when the process has no fd left */
#define ACCEPT_BATCH 64u
#define PORT_FIRST   0x40000000u

/* --- lines ------------------------------------------------------------------------------------------------ */

int bh_vsock_call_say(const struct bh_vsock_call *call, const char *format, ...)
{
    char line[BH_VSOCK_LINE_MAX];
    va_list args;

    va_start(args, format);
    int len = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    BH_ASSERT(len > 0 && len < (int)sizeof(line));
    return send(call->end.fd, line, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL) == len ? BH_OK : BH_ERR_IO;
}

/* What follows the line is the guest's: it must stay in the socket. */
int bh_vsock_call_line(struct bh_vsock_call *call)
{
    const bool packet = call->type == SOCK_SEQPACKET;
    char *at = call->line + call->line_len;
    size_t room = sizeof(call->line) - call->line_len;
    ssize_t got = recv(call->end.fd, at, room, MSG_DONTWAIT | (packet ? MSG_TRUNC : MSG_PEEK));

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0 || (packet && got > (ssize_t)room))
        return BH_ERR_CLOSED;
    const char *end = memchr(at, '\n', (size_t)got);
    if (packet) {
        call->line_len = end ? (unsigned)(end - call->line) : (unsigned)got;
        return 1;
    }
    size_t take = end ? (size_t)(end - at) + 1 : (size_t)got;
    if (recv(call->end.fd, at, take, MSG_DONTWAIT) != (ssize_t)take)
        return BH_ERR_CLOSED;
    call->line_len += (unsigned)take;
    if (end) {
        call->line_len--;
        return 1;
    }
    return call->line_len < sizeof(call->line) ? 0 : BH_ERR_SYNTAX;
}

/* Ask the guest. */
static void ask_guest(struct bh_vsock_call *call, uint32_t port, uint32_t from, bool seqpacket)
{
    const uint8_t type = seqpacket ? VIRTIO_VSOCK_TYPE_SEQPACKET : VIRTIO_VSOCK_TYPE_STREAM;

    call->step = BH_VSOCK_WAIT_GUEST;
    bh_loop_timer_cancel(&call->timer);
    bh_loop_fd_want(&call->end.watch, 0);
    call->end.conn = bh_vsock_open(call->host->port.vsock, type, port, call->peer_cid, from, call);
    if (!call->end.conn)
        bh_vsock_call_free(call);
}

static uint32_t host_port(struct bh_vsock_host *host)
{
    host->next_port = PORT_FIRST + (host->next_port + 1) % PORT_FIRST;
    return host->next_port;
}

void bh_vsock_call_hello(struct bh_vsock_call *call)
{
    const bool sibling = call->peer_cid != VIRTIO_VSOCK_CID_HOST;
    struct bh_vsock_hello hello;
    int got = bh_vsock_call_line(call);

    if (got == 0)
        return;
    if (got < 0 || bh_vsock_hello_parse(call->line, call->line_len, sibling, &hello) != BH_OK) {
        call->host->setup.counters->bad_hello++;
        bh_vsock_call_free(call);
        return;
    }
    ask_guest(call, hello.port, sibling ? hello.from : host_port(call->host),
              sibling ? hello.seqpacket : call->type == SOCK_SEQPACKET);
}

static void hello_late(struct bh_loop_timer *timer)
{
    struct bh_vsock_call *call = BH_LOOP_OWNER(timer, struct bh_vsock_call, timer);

    call->host->setup.counters->bad_hello++;
    bh_vsock_call_free(call);
}

/* --- listening -------------------------------------------------------------------------------------------- */

static void resume(struct bh_loop_timer *timer)
{
    struct bh_vsock_host *host = BH_LOOP_OWNER(timer, struct bh_vsock_host, pause);

    for (size_t i = 0; i < host->listener_count; i++)
        bh_loop_fd_want(&host->listeners[i].watch, BH_LOOP_READ);
}

static void take(struct bh_vsock_listener *listener, int fd)
{
    struct bh_vsock_host *host = listener->host;
    struct bh_vsock_call *call = bh_vsock_call_new(host, listener->peer_cid, listener->type);

    host->setup.counters->accepted++;
    if (!call) {
        close(fd);
        return;
    }
    call->step = BH_VSOCK_HELLO;
    if (!bh_vsock_call_watch(call, fd, BH_LOOP_READ)) {
        bh_vsock_call_free(call);
        return;
    }
    if (listener->forward_port)
        ask_guest(call, listener->forward_port, host_port(host), listener->type == SOCK_SEQPACKET);
    else
        bh_loop_timer_set(host->loop, &call->timer, HELLO_MS, hello_late);
}

static void came(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_vsock_listener *listener = BH_LOOP_OWNER(watch, struct bh_vsock_listener, watch);

    for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            bh_loop_fd_want(watch, 0);
            bh_loop_timer_set(listener->host->loop, &listener->host->pause, PAUSE_MS, resume);
        }
        if (fd < 0)
            return;
        take(listener, fd);
    }
}

static int add(struct bh_vsock_host *host, int fd, int type, uint32_t peer_cid, uint32_t forward_port,
               char *path)
{
    struct bh_vsock_listener *listener = &host->listeners[host->listener_count];

    *listener = (struct bh_vsock_listener){.host = host,
                                           .fd = fd,
                                           .type = type,
                                           .peer_cid = peer_cid,
                                           .forward_port = forward_port,
                                           .path = path};
    int err = bh_loop_fd_add(host->loop, &listener->watch, fd, BH_LOOP_READ, came);
    if (err) {
        close(fd);
        unlink(path ? path : "");
        free(path);
        return err;
    }
    host->listener_count++;
    return BH_OK;
}

/* `path` is malloced, NULL when there was no memory for it; freed here or with the listener. */
static int listen_path(struct bh_vsock_host *host, char *path, int type, uint32_t peer_cid)
{
    if (!path)
        return BH_ERR_NOMEM;
    const int fd = bh_unix_listen(path, type | SOCK_NONBLOCK, BH_VSOCK_BACKLOG,
                                  BH_UNIX_OURS_ALONE | BH_UNIX_REPLACE_STALE);
    if (fd >= 0)
        return add(host, fd, type, peer_cid, 0, path);
    const int err = bh_unix_complain(path, errno, NULL, host->sink);
    free(path);
    return err;
}

static int listen_forward(struct bh_vsock_host *host, uint32_t port)
{
    int fd = bh_vsock_listen_host(port, SOCK_STREAM);

    if (fd >= 0)
        return add(host, fd, SOCK_STREAM, VIRTIO_VSOCK_CID_HOST, port, NULL);
    bh_error(host->sink, NULL, fd == BH_ERR_UNSUPPORTED ? "the host's kernel needs its vsock module" : NULL,
             "forward-listen: cannot listen on the host's vsock port %u: %s", port, bh_err_text(fd));
    return fd;
}

static char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
static char *text(const char *format, ...)
{
    char *line = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&line, format, args) < 0)
        line = NULL;
    va_end(args);
    return line;
}

void bh_vsock_pair_name(uint32_t a, uint32_t b, char name[BH_VSOCK_PAIR_MAX])
{
    snprintf(name, BH_VSOCK_PAIR_MAX, "%u-%u", a < b ? a : b, a < b ? b : a);
}

/*
 * The sibling's process may write in the pair's folder too, and if its guest took it over it can take our place there: then
 * it reaches us no more, and the others do. So it must not keep us from coming up.
 */
static int listen_to(struct bh_vsock_host *host, char *path, uint32_t peer)
{
    const int fd = path ? bh_unix_listen(path, SOCK_STREAM | SOCK_NONBLOCK, BH_VSOCK_BACKLOG,
                                         BH_UNIX_OURS_ALONE | BH_UNIX_REPLACE_STALE)
                        : -1;
    int err = BH_OK;

    if (fd >= 0)
        return add(host, fd, SOCK_STREAM, peer, 0, path);
    if (!path)
        return BH_ERR_NOMEM;
    if (errno == EADDRINUSE || errno == EACCES)
        bh_warn(host->sink, &(struct bh_diag_where){.file = path}, NULL,
                "the guest of CID %u cannot connect to this one: %s", peer, strerror(errno));
    else
        err = bh_unix_complain(path, errno, NULL, host->sink);
    free(path);
    return err;
}

/* The pair's folder stays when we end: the sibling may be about to listen in it. */
static int listen_sibling(struct bh_vsock_host *host, uint32_t peer)
{
    const struct bh_vsock_host_setup *setup = &host->setup;
    char pair[BH_VSOCK_PAIR_MAX];

    bh_vsock_pair_name(peer, setup->guest_cid, pair);
    char *folder = text("%s/%s", setup->sibling_dir, pair);
    if (!folder)
        return BH_ERR_NOMEM;
    (void)mkdir(folder, 0700); /* when it cannot be, listening says so */
    char *path = text("%s/%u-%u", folder, peer, setup->guest_cid);
    free(folder);
    return listen_to(host, path, peer);
}

int bh_vsock_listen(struct bh_vsock_host *host)
{
    const struct bh_vsock_host_setup *setup = &host->setup;
    int err = BH_OK;

    host->listeners = calloc(2 + setup->peer_count + setup->forward_port_count, sizeof(*host->listeners));
    if (!host->listeners)
        return BH_ERR_NOMEM;
    if (setup->path)
        err = listen_path(host, strdup(setup->path), SOCK_STREAM, VIRTIO_VSOCK_CID_HOST);
    if (!err && setup->path && setup->seqpacket)
        err = listen_path(host, text("%s.seqpacket", setup->path), SOCK_SEQPACKET, VIRTIO_VSOCK_CID_HOST);
    for (size_t i = 0; !err && i < setup->peer_count; i++)
        err = listen_sibling(host, setup->peers[i]);
    for (size_t i = 0; !err && i < setup->forward_port_count; i++)
        err = listen_forward(host, setup->forward_ports[i]);
    if (err)
        bh_vsock_unlisten(host);
    return err;
}

void bh_vsock_unlisten(struct bh_vsock_host *host)
{
    bh_loop_timer_cancel(&host->pause);
    for (size_t i = 0; i < host->listener_count; i++) {
        struct bh_vsock_listener *listener = &host->listeners[i];
        bh_loop_fd_remove(&listener->watch);
        close(listener->fd);
        if (listener->path)
            unlink(listener->path);
        free(listener->path);
    }
    free(host->listeners);
    host->listeners = NULL;
    host->listener_count = 0;
}
