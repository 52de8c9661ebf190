/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A netport onto a Unix stream socket as QEMU's `-netdev stream` speaks it: passt, another QEMU, libkrun's gvproxy.
 * Each frame is preceded by its length, 32 bits big endian. Either side may be the one that listens.
 *
 * Theory of operation
 *   Received bytes lie in one buffer, and a frame is shown to the device where it lies. Nothing is read while the
 * guest takes no frames: the socket fills up, and its other end waits or drops, as it likes.
 *   A frame of the guest that the socket takes in part counts as taken; the rest is kept and goes first.
 *   A length that no frame can have ends the connection: there is no way to find the next one. A connection that
 * ended is made again (asked for ten times a second), but for one that was handed over.
 *
 * #syscalls socket connect recvfrom sendto sendmsg unlink unlinkat
 */
#include "devices/net/ports.h"

#include <bulkhead/impl/accept.h>
#include <bulkhead/impl/unix_socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define PREFIX        4u
#define WIRE_MAX      (65536u + 4096u) /* the longest frame that QEMU sends */
#define IN_BYTES      ((size_t)4 * WIRE_MAX)
#define OUT_BYTES     (PREFIX + BH_NET_GSO_BYTES)
#define IOVS          512u
#define RECONNECT_MS  100u
#define PARTS_MAX     (BH_NET_SEGS + 2u) /* of one frame */
#define PREFIX_OF(at) ((struct iovec){(at), PREFIX})

struct stream_counters {
    uint64_t connections;
    uint64_t malformed; /* connections that ended with a length that no frame has */
};

struct port_stream {
    struct bh_netport port;
    struct bh_loop *loop;
    struct bh_diag_sink *sink;
    char *path;       /* NULL: handed over */
    int listener, fd; /* -1: none */
    struct bh_loop_fd watch, listen_watch;
    struct bh_accept accept;
    struct bh_loop_timer retry;
    struct bh_loop_work hang_up;
    bool full;    /* `writable` is owed */
    bool starved; /* `readable` is owed */
    uint8_t *in;  /* IN_BYTES */
    size_t in_head, in_tail;
    struct bh_net_arrival arrival;
    uint8_t *out; /* OUT_BYTES: the rest of a frame */
    size_t out_head, out_tail;
    struct stream_counters counters;
    struct bh_diag_limit limit;
    uint32_t prefixes[BH_NET_BATCH];
    struct iovec iov[IOVS];
};

_Static_assert(offsetof(struct bh_seg, len) == offsetof(struct iovec, iov_len), "segments are iovecs");

static struct port_stream *stream_of(struct bh_netport *port)
{
    return BH_CONTAINER(port, struct port_stream, port);
}

static void want(struct port_stream *s)
{
    if (s->watch.loop)
        bh_loop_fd_want(&s->watch, (s->starved ? BH_LOOP_READ : 0) | (s->full ? BH_LOOP_WRITE : 0));
}

static void set_link(struct port_stream *s, bool up)
{
    s->port.link_up = up;
    if (s->port.link_changed)
        s->port.link_changed(&s->port);
}

/* --- connections ------------------------------------------------------------------------------------------ */

static void attempt(struct bh_loop_timer *timer);
static void ready(struct bh_loop_fd *watch, uint32_t events);

/* False: it cannot be waited for; the fd is closed. */
static bool connected(struct port_stream *s, int fd)
{
    if (bh_loop_fd_add(s->loop, &s->watch, fd, BH_LOOP_READ, ready) != BH_OK) {
        close(fd);
        return false;
    }
    s->fd = fd;
    s->in_head = s->in_tail = s->out_head = s->out_tail = 0;
    s->full = false;
    s->starved = true;
    s->counters.connections++;
    set_link(s, true);
    return true;
}

static void hang_up(struct bh_loop_work *work)
{
    struct port_stream *s = BH_LOOP_OWNER(work, struct port_stream, hang_up);

    if (s->fd < 0)
        return;
    bh_loop_fd_remove(&s->watch);
    close(s->fd);
    s->fd = -1;
    s->in_head = s->in_tail = 0;
    set_link(s, false);
    if (s->listener >= 0)
        bh_loop_fd_want(&s->listen_watch, BH_LOOP_READ);
    else if (s->path)
        bh_loop_timer_set(s->loop, &s->retry, RECONNECT_MS, attempt);
}

/* From a clean stack: the device may be in the midst of a frame. */
static void hang_up_later(struct port_stream *s)
{
    bh_loop_defer(s->loop, &s->hang_up, hang_up);
}

static void came(struct bh_loop_fd *watch, uint32_t events)
{
    struct port_stream *s = BH_LOOP_OWNER(watch, struct port_stream, listen_watch);
    int fd = bh_accept(&s->accept, watch, s->sink, "stream-path");

    if (fd >= 0 && connected(s, fd))
        bh_loop_fd_want(watch, 0); /* one at a time; the next one waits in the backlog */
}

static void attempt(struct bh_loop_timer *timer)
{
    struct port_stream *s = BH_LOOP_OWNER(timer, struct port_stream, retry);
    int fd = bh_unix_connect(s->path, SOCK_STREAM | SOCK_NONBLOCK);

    if (fd < 0 || !connected(s, fd))
        bh_loop_timer_set(s->loop, timer, RECONNECT_MS, attempt);
}

/* --- from the other end ----------------------------------------------------------------------------------- */

static size_t held(const struct port_stream *s)
{
    return s->in_tail - s->in_head;
}

/* The length of the frame that the buffer begins with; 0: not even that is there. */
static size_t frame_len(const struct port_stream *s)
{
    uint32_t prefix;

    if (held(s) < PREFIX)
        return 0;
    memcpy(&prefix, s->in + s->in_head, PREFIX);
    return ntohl(prefix);
}

/* Read what is there. False: nothing, or the connection is over. */
static bool fill(struct port_stream *s)
{
    if (IN_BYTES - s->in_tail < WIRE_MAX + PREFIX && s->in_head > 0) {
        memmove(s->in, s->in + s->in_head, held(s));
        s->in_tail -= s->in_head;
        s->in_head = 0;
    }
    const ssize_t got = recv(s->fd, s->in + s->in_tail, IN_BYTES - s->in_tail, MSG_DONTWAIT);
    if (got > 0) {
        s->in_tail += (size_t)got;
        return true;
    }
    if (got == 0 || (errno != EAGAIN && errno != EINTR))
        hang_up_later(s);
    s->starved = true;
    want(s);
    return false;
}

static const struct bh_net_arrival *peek(struct bh_netport *port, unsigned pair)
{
    struct port_stream *s = stream_of(port);

    while (s->fd >= 0 && !s->hang_up.loop) {
        const size_t len = frame_len(s);
        unsigned said;
        if (held(s) >= PREFIX && (len == 0 || len > WIRE_MAX)) {
            s->counters.malformed++;
            if (bh_diag_allowed(&s->limit, &said))
                bh_warn(s->sink, NULL, "the other end must speak QEMU's -netdev stream",
                        "stream: a frame of %zu bytes (said %u times less)", len, said);
            hang_up_later(s);
            return NULL;
        }
        if (len > 0 && held(s) >= PREFIX + len) {
            s->arrival.bytes = s->in + s->in_head + PREFIX;
            s->arrival.len = (uint32_t)len;
            return &s->arrival;
        }
        if (!fill(s))
            return NULL;
    }
    return NULL;
}

static void drop(struct bh_netport *port, unsigned pair)
{
    struct port_stream *s = stream_of(port);

    if (s->fd < 0)
        return; /* it went with its connection */
    s->in_head += PREFIX + s->arrival.len;
    if (s->in_head == s->in_tail)
        s->in_head = s->in_tail = 0;
}

/* --- to the other end ------------------------------------------------------------------------------------- */

/* Send what is kept. False: not all of it. */
static bool flush(struct port_stream *s)
{
    while (s->out_head < s->out_tail) {
        const ssize_t put =
            send(s->fd, s->out + s->out_head, s->out_tail - s->out_head, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        s->out_head += (size_t)put;
    }
    s->out_head = s->out_tail = 0;
    return true;
}

/* The frame's parts at iov; how many. */
static unsigned describe(struct port_stream *s, const struct bh_net_frame *frame, unsigned n,
                         struct iovec *iov)
{
    s->prefixes[n] = htonl(frame->len);
    iov[0] = PREFIX_OF(&s->prefixes[n]);
    iov[1] = (struct iovec){frame->first.base, frame->first.len};
    if (frame->rest_count > 0)
        memcpy(&iov[2], frame->rest, frame->rest_count * sizeof(*iov));
    return frame->rest_count + 2;
}

/* Keep what is left of a frame behind its first `sent` bytes. */
static void keep_rest(struct port_stream *s, const struct iovec *iov, size_t sent)
{
    size_t left;

    for (; sent >= iov->iov_len; iov++)
        sent -= iov->iov_len;
    /* Its parts end where those of the next frame begin; the length says where. */
    for (left = s->out_tail; left > 0; iov++, sent = 0) {
        const size_t part = iov->iov_len - sent;
        memcpy(s->out + s->out_tail - left, (const uint8_t *)iov->iov_base + sent, part);
        left -= part;
    }
}

/* Send frames that fit into one call. Returns how many are taken; fewer than asked: the socket is full. */
static unsigned send_some(struct port_stream *s, const struct bh_net_frame *frames, unsigned count)
{
    unsigned parts[BH_NET_BATCH + 1] = {0}; /* where each frame's begin */
    unsigned described = 0;

    while (described < count && parts[described] + PARTS_MAX <= IOVS) {
        BH_ASSERT(frames[described].rest_count <= BH_NET_SEGS);
        parts[described + 1] =
            parts[described] + describe(s, &frames[described], described, &s->iov[parts[described]]);
        described++;
    }
    const struct msghdr message = {.msg_iov = s->iov, .msg_iovlen = parts[described]};
    const ssize_t put = sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    size_t sent = put > 0 ? (size_t)put : 0;
    if (put < 0 && errno != EAGAIN && errno != EINTR)
        return count; /* the connection is gone: the watch says so; these frames went into a loose cable */
    for (unsigned i = 0; i < described; i++) {
        if (sent >= PREFIX + frames[i].len) {
            sent -= PREFIX + frames[i].len;
            continue;
        }
        if (sent == 0)
            return i;
        s->out_tail = PREFIX + frames[i].len - sent;
        keep_rest(s, &s->iov[parts[i]], sent);
        return i + 1;
    }
    return described;
}

static unsigned send_frames(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                            unsigned count)
{
    struct port_stream *s = stream_of(port);
    unsigned taken = 0;

    if (s->fd < 0)
        return count; /* a loose cable */
    while (taken < count && flush(s)) {
        const unsigned more = send_some(s, frames + taken, count - taken);
        taken += more;
        if (more == 0)
            break;
    }
    if (taken < count || s->out_tail > 0) {
        s->full = true;
        want(s);
    }
    return taken;
}

static const struct bh_netport_ops stream_ops = {.send = send_frames, .peek = peek, .drop = drop};

static void ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct port_stream *s = BH_LOOP_OWNER(watch, struct port_stream, watch);

    /* The other end is gone, and what it sent before is no longer wanted: a cable is out. */
    if ((events & (BH_LOOP_HUP | BH_LOOP_ERR)) && !(events & BH_LOOP_READ)) {
        hang_up(&s->hang_up);
        return;
    }
    if (s->full && (events & BH_LOOP_WRITE) && flush(s)) {
        s->full = false;
        if (s->port.writable)
            s->port.writable(&s->port, 0);
    }
    if (s->starved && (events & BH_LOOP_READ)) {
        s->starved = false;
        if (s->port.readable)
            s->port.readable(&s->port, 0);
    }
    want(s);
}

/* --- begin and end ---------------------------------------------------------------------------------------- */

/* Listen; a socket file that nobody listens on is replaced. */
static int open_listener(struct port_stream *s)
{
    const int fd =
        bh_unix_listen(s->path, SOCK_STREAM | SOCK_NONBLOCK, 1, BH_UNIX_OURS_ALONE | BH_UNIX_REPLACE_STALE);

    if (fd < 0)
        return bh_unix_complain(s->path, errno, "stream-path", s->sink);
    s->listener = fd;
    return bh_loop_fd_add(s->loop, &s->listen_watch, fd, BH_LOOP_READ, came);
}

static int take_fd(struct port_stream *s, int fd)
{
    int type = 0;
    socklen_t size = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM) {
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        return connected(s, fd) ? BH_OK : BH_ERR_IO;
    }
    bh_error(s->sink, NULL, "hand over a connected stream socket", "stream-fd: %d is none", fd);
    return BH_ERR_INVAL;
}

static int open_path(struct port_stream *s, const char *path, bool listens)
{
    struct sockaddr_un address;

    if (bh_unix_address(&address, path))
        return bh_unix_complain(path, errno, "stream-path", s->sink);
    s->path = strdup(path);
    if (!s->path)
        return BH_ERR_NOMEM;
    if (listens)
        return open_listener(s);
    bh_loop_timer_set(s->loop, &s->retry, 0, attempt);
    return BH_OK;
}

int bh_port_stream_create(struct bh_loop *loop, const struct bh_port_stream_setup *setup,
                          struct bh_diag_sink *sink, struct bh_netport **port)
{
    struct port_stream *s = calloc(1, sizeof(*s));
    int err = BH_ERR_NOMEM;

    if (!s)
        return err;
    s->port = (struct bh_netport){.ops = &stream_ops, .frame_max = BH_NET_FRAME_BYTES(setup->mtu)};
    s->loop = loop;
    s->sink = sink;
    s->listener = s->fd = -1;
    s->limit = (struct bh_diag_limit){.burst = 1, .period_ms = 60000};
    s->in = malloc(IN_BYTES);
    s->out = malloc(OUT_BYTES);
    if (s->in && s->out)
        err = setup->path ? open_path(s, setup->path, setup->listens) : take_fd(s, setup->fd);
    if (err) {
        bh_port_stream_destroy(&s->port);
        return err;
    }
    *port = &s->port;
    return BH_OK;
}

void bh_port_stream_destroy(struct bh_netport *port)
{
    struct port_stream *s = stream_of(port);

    bh_loop_timer_cancel(&s->retry);
    bh_accept_cancel(&s->accept);
    bh_loop_work_cancel(&s->hang_up);
    bh_loop_fd_remove(&s->watch);
    bh_loop_fd_remove(&s->listen_watch);
    if (s->fd >= 0)
        close(s->fd);
    if (s->listener >= 0) {
        unlink(s->path);
        close(s->listener);
    }
    free(s->path);
    free(s->in);
    free(s->out);
    free(s);
}
