/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A netport onto a Unix datagram socket as QEMU's `-netdev dgram` speaks it: each datagram is a frame. There is no
 * connection: the cable is always in, and what nobody receives is lost.
 *
 * Theory of operation
 *   One frame is read ahead; those behind it wait in the socket. The socket stays unconnected, so that the other end
 * may be restarted. The kernel cannot tell when an unconnected peer has room again: a full one is tried again
 * every millisecond.
 *
 * #syscalls recvfrom sendmsg unlink unlinkat
 */
#include "devices/net/ports.h"

#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define RETRY_MS 1u

struct dgram_counters {
    uint64_t no_peer; /* dropped: nobody there, or it takes no such frame */
};

struct port_dgram {
    struct bh_netport port;
    struct bh_loop *loop;
    struct bh_diag_sink *sink;
    char *local; /* NULL: not bound */
    struct sockaddr_un peer;
    int fd; /* -1: none */
    struct bh_loop_fd watch;
    struct bh_loop_timer retry;
    uint8_t *packet; /* BH_NET_GSO_BYTES */
    struct bh_net_arrival arrival;
    struct dgram_counters counters;
    struct iovec iov[BH_NET_SEGS + 1];
};

_Static_assert(offsetof(struct bh_seg, len) == offsetof(struct iovec, iov_len), "segments are iovecs");

static struct port_dgram *dgram_of(struct bh_netport *port)
{
    return BH_CONTAINER(port, struct port_dgram, port);
}

static void ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct port_dgram *d = BH_LOOP_OWNER(watch, struct port_dgram, watch);

    bh_loop_fd_want(watch, 0);
    if (d->port.readable)
        d->port.readable(&d->port, 0);
}

static const struct bh_net_arrival *peek(struct bh_netport *port, unsigned pair)
{
    struct port_dgram *d = dgram_of(port);

    if (d->arrival.len == 0) {
        const ssize_t got = recv(d->fd, d->packet, BH_NET_GSO_BYTES, MSG_DONTWAIT | MSG_TRUNC);
        if (got < 0) {
            bh_loop_fd_want(&d->watch, BH_LOOP_READ);
            return NULL;
        }
        /* A datagram of no bytes or too many is for the device to drop: one byte is no frame. */
        d->arrival.len = got == 0 || (size_t)got > BH_NET_GSO_BYTES ? 1 : (uint32_t)got;
    }
    return &d->arrival;
}

static void drop(struct bh_netport *port, unsigned pair)
{
    dgram_of(port)->arrival.len = 0;
}

static void try_again(struct bh_loop_timer *timer)
{
    struct port_dgram *d = BH_LOOP_OWNER(timer, struct port_dgram, retry);
    if (d->port.writable)
        d->port.writable(&d->port, 0);
}

static unsigned send_frames(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                            unsigned count)
{
    struct port_dgram *d = dgram_of(port);

    for (unsigned i = 0; i < count; i++) {
        const struct msghdr message = {.msg_name = &d->peer,
                                       .msg_namelen = sizeof(d->peer),
                                       .msg_iov = d->iov,
                                       .msg_iovlen = frames[i].rest_count + 1};
        BH_ASSERT(frames[i].rest_count <= BH_NET_SEGS);
        d->iov[0] = (struct iovec){frames[i].first.base, frames[i].first.len};
        if (frames[i].rest_count > 0)
            memcpy(&d->iov[1], frames[i].rest, frames[i].rest_count * sizeof(*d->iov));
        if (sendmsg(d->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
            continue;
        if (errno == EAGAIN || errno == ENOBUFS) {
            bh_loop_timer_set(d->loop, &d->retry, RETRY_MS, try_again);
            return i;
        }
        d->counters.no_peer++;
    }
    return count;
}

static const struct bh_netport_ops dgram_ops = {.send = send_frames, .peek = peek, .drop = drop};

/* A socket file that nobody has open is replaced. */
static int bind_local(struct port_dgram *d, const char *path)
{
    d->fd = bh_unix_listen(path, SOCK_DGRAM | SOCK_NONBLOCK, 0, BH_UNIX_OURS_ALONE | BH_UNIX_REPLACE_STALE);
    if (d->fd < 0)
        return bh_unix_complain(path, errno, "dgram-local", d->sink);
    d->local = strdup(path);
    if (!d->local) {
        unlink(path);
        return BH_ERR_NOMEM;
    }
    return bh_loop_fd_add(d->loop, &d->watch, d->fd, BH_LOOP_READ, ready);
}

int bh_port_dgram_create(struct bh_loop *loop, const char *local, const char *peer, uint32_t mtu,
                         struct bh_diag_sink *sink, struct bh_netport **port)
{
    struct port_dgram *d = calloc(1, sizeof(*d));
    int err = BH_ERR_NOMEM;

    if (!d)
        return err;
    d->port = (struct bh_netport){.ops = &dgram_ops, .frame_max = BH_NET_FRAME_BYTES(mtu), .link_up = true};
    d->loop = loop;
    d->sink = sink;
    d->fd = -1;
    d->packet = malloc(BH_NET_GSO_BYTES);
    d->arrival.bytes = d->packet;
    if (d->packet)
        err = bh_unix_address(&d->peer, peer) ? bh_unix_complain(peer, errno, "dgram-path", sink) : BH_OK;
    if (!err)
        err = bind_local(d, local);
    if (err) {
        bh_port_dgram_destroy(&d->port);
        return err;
    }
    *port = &d->port;
    return BH_OK;
}

void bh_port_dgram_destroy(struct bh_netport *port)
{
    struct port_dgram *d = dgram_of(port);

    bh_loop_timer_cancel(&d->retry);
    bh_loop_fd_remove(&d->watch);
    if (d->fd >= 0)
        close(d->fd);
    if (d->local)
        unlink(d->local);
    free(d->local);
    free(d->packet);
    free(d);
}
