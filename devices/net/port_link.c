/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One end of a link: a cable between the nets of two domains, as a SOCK_SEQPACKET connection between their two
 * device processes. Neither sees the other guest's memory.
 *
 * Theory of operation
 *   A packet is a frame behind its virtio-net header of 12 bytes: offloads are passed through, and done by the
 * receiving end where its guest does not take them (net_soft.c). The first packet each way is a hello (magic, version, largest frame); the link is up when the
 * other's came. When the connection ends, the link is down and what waits is dropped, as with any cable; over a
 * path the ends look for each other again.
 *
 *   Back-pressure: what comes in waits in a fifo; when it is full, the socket is not read, fills up, and the
 * other end holds its guest's frames. But a guest that takes nothing must not stop the other for ever: after
 * STALL_MS its fifo is emptied again and again until it takes a frame.
 *
 * #syscalls recvfrom sendto sendmmsg recvmmsg fcntl getsockopt
 */
#include "abi/virtio_net.h"
#include "devices/net/frame_fifo.h"
#include "devices/net/link_meet.h"
#include "devices/net/net.h"
#include "devices/net/net_soft.h"
#include "devices/net/ports.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define FIFO_SLOTS 128u
#define STALL_MS   100u
#define REFUSED_MS 100u /* until the next try when the other end hung up without a hello: it has a peer */
#define READ_BATCH 64u

struct link_hello {
    char magic[8];
    bh_le32 version;
    bh_le32 frame_max;
};
_Static_assert(sizeof(struct link_hello) == 16, "the link's own wire format");
#define HELLO_MAGIC   "bh-link"
#define HELLO_VERSION 2u
#define HEADER        ((uint32_t)sizeof(struct virtio_net_hdr))

struct bh_link_counters {
    uint64_t long_for_peer; /* dropped: longer than the other end takes */
    uint64_t malformed;     /* packets of the other end that are no frames */
    uint64_t stalled;       /* dropped: our guest takes nothing */
    uint64_t in_software;   /* frames whose offload our guest does not take */
    uint64_t connections;
};

struct port_link {
    struct bh_netport port;
    struct bh_loop *loop;
    struct bh_diag_sink *sink;
    struct bh_link_meet meet;
    bool meets; /* over a path */
    int fd;     /* -1: not connected */
    bool full;  /* the socket took no more; `writable` is owed */
    bool stalled;
    uint32_t peer_frame_max; /* 0: no hello yet */
    struct bh_loop_fd watch;
    struct bh_loop_timer stall;
    uint64_t accepted; /* what our guest takes, of BH_NET_GUEST_OFFLOADS */
    struct bh_frame_fifo fifo;
    struct bh_net_arrival arrival; /* the fifo's first */
    uint8_t *packet;               /* HEADER + BH_NET_GSO_BYTES: one that is cut into segments */
    struct bh_link_counters counters;
    struct bh_diag_limit limit;
    struct iovec iov[BH_NET_BATCH][BH_NET_SEGS + 2];
};

_Static_assert(offsetof(struct bh_seg, len) == offsetof(struct iovec, iov_len), "segments are iovecs");

static struct port_link *link_of(struct bh_netport *port)
{
    return BH_CONTAINER(port, struct port_link, port);
}

/* --- up and down ------------------------------------------------------------------------------------------ */

static void want(struct port_link *l)
{
    if (l->watch.loop)
        bh_loop_fd_want(&l->watch, (!bh_frame_fifo_full(&l->fifo) || l->stalled ? BH_LOOP_READ : 0) |
                                       (l->full ? BH_LOOP_WRITE : 0));
}

static void set_link(struct port_link *l, bool up)
{
    if (l->port.link_up == up)
        return;
    l->port.link_up = up;
    if (l->port.link_changed)
        l->port.link_changed(&l->port);
}

static void hang_up(struct port_link *l)
{
    unsigned again_ms = l->peer_frame_max ? 0 : REFUSED_MS;

    bh_loop_fd_remove(&l->watch);
    bh_loop_timer_cancel(&l->stall);
    close(l->fd);
    l->fd = -1;
    l->full = l->stalled = false;
    l->peer_frame_max = 0;
    set_link(l, false);
    if (l->meets)
        bh_link_meet_again(&l->meet, again_ms);
}

/* --- from the other end ----------------------------------------------------------------------------------- */

static void stall(struct bh_loop_timer *timer)
{
    struct port_link *l = BH_LOOP_OWNER(timer, struct port_link, stall);
    l->stalled = true;
    want(l);
}

/* False: it is not one, or not ours. */
static bool take_hello(struct port_link *l, const uint8_t *packet, size_t len)
{
    struct link_hello hello;

    if (len != sizeof(hello))
        return false;
    memcpy(&hello, packet, sizeof(hello));
    if (memcmp(hello.magic, HELLO_MAGIC, sizeof(hello.magic)) != 0 ||
        bh_le32_get(hello.version) != HELLO_VERSION || bh_le32_get(hello.frame_max) < BH_NET_FRAME_MIN)
        return false;
    l->peer_frame_max = bh_le32_get(hello.frame_max);
    l->counters.connections++;
    set_link(l, true);
    return true;
}

/* Cut the packet in the fifo's next slot into segments, as many as there is room for; TCP sends the others again. */
static void segment(struct port_link *l, const struct virtio_net_hdr *header, uint32_t len)
{
    struct bh_net_soft soft;

    memcpy(l->packet, bh_frame_fifo_slot(&l->fifo) + HEADER, len);
    if (!bh_net_soft_plan(&soft, l->packet, len, header) || soft.payload + soft.size > BH_NET_GSO_BYTES) {
        l->counters.malformed++;
        return;
    }
    for (unsigned i = 0; i < soft.count && !bh_frame_fifo_full(&l->fifo); i++) {
        uint8_t *slot = bh_frame_fifo_slot(&l->fifo);
        memset(slot, 0, HEADER);
        bh_frame_fifo_add(&l->fifo, HEADER + bh_net_soft_segment(&soft, i, slot + HEADER));
    }
}

/* The packet in the fifo's next slot becomes a frame, or several; what our guest does not do, we do. */
static void take_packet(struct port_link *l, uint8_t *packet, size_t bytes)
{
    struct virtio_net_hdr header, wanted;
    const uint32_t len = (uint32_t)bytes - HEADER;

    if (bytes < HEADER + BH_NET_FRAME_MIN || bytes > l->fifo.slot_bytes) {
        l->counters.malformed++;
        return;
    }
    memcpy(&header, packet, HEADER);
    wanted = header;
    if (!bh_net_header_for_guest(&header, len, BH_NET_GUEST_OFFLOADS) ||
        (!bh_net_is_gso(&header) && len > l->port.frame_max)) {
        l->counters.malformed++;
        return;
    }
    if (!bh_net_header_for_guest(&wanted, len, l->accepted)) {
        l->counters.in_software++;
        if (bh_net_is_gso(&header)) {
            segment(l, &header, len);
            return;
        }
        bh_net_soft_checksum(packet + HEADER, len, &header);
        memset(&wanted, 0, sizeof(wanted));
    }
    memcpy(packet, &wanted, HEADER);
    bh_frame_fifo_add(&l->fifo, (uint32_t)bytes);
}

/* Read one packet. False: there is none, or the connection is gone. */
static bool read_packet(struct port_link *l)
{
    if (bh_frame_fifo_full(&l->fifo)) {
        if (!l->stalled) {
            if (!l->stall.loop)
                bh_loop_timer_set(l->loop, &l->stall, STALL_MS, stall);
            return false;
        }
        l->counters.stalled += l->fifo.count;
        bh_frame_fifo_clear(&l->fifo);
    }
    uint8_t *slot = bh_frame_fifo_slot(&l->fifo);
    ssize_t got = recv(l->fd, slot, l->fifo.slot_bytes, MSG_DONTWAIT | MSG_TRUNC);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got <= 0) {
        hang_up(l);
        return false;
    }
    if (l->peer_frame_max == 0) {
        if (take_hello(l, slot, (size_t)got))
            return true;
        unsigned held;
        if (bh_diag_allowed(&l->limit, &held))
            bh_warn(l->sink, NULL, "is the other program of the same version?",
                    "link: the other end does not speak the link's protocol (said %u times less)", held);
        hang_up(l);
        return false;
    }
    take_packet(l, slot, (size_t)got);
    return true;
}

static void ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct port_link *l = BH_LOOP_OWNER(watch, struct port_link, watch);
    unsigned before = l->fifo.count;
    bool more = true;

    for (unsigned i = 0; i < READ_BATCH && more; i++)
        more = read_packet(l);
    if (l->fifo.count > before && l->port.readable)
        l->port.readable(&l->port, 0);
    if (l->fd < 0)
        return;
    if (l->full && (events & BH_LOOP_WRITE)) {
        l->full = false;
        if (l->port.writable)
            l->port.writable(&l->port, 0);
    }
    /* The other end is gone, and what it sent before is no longer wanted: a cable is out. */
    if ((events & (BH_LOOP_HUP | BH_LOOP_ERR)) && !(events & BH_LOOP_READ))
        hang_up(l);
    want(l);
}

/* --- the port --------------------------------------------------------------------------------------------- */

static void describe(struct port_link *l, const struct bh_net_frame *frame, unsigned n,
                     struct mmsghdr *message)
{
    struct iovec *iov = l->iov[n];

    iov[0] = (struct iovec){(void *)(uintptr_t)&frame->header, HEADER};
    iov[1] = (struct iovec){frame->first.base, frame->first.len};
    if (frame->rest_count > 0)
        memcpy(&iov[2], frame->rest, frame->rest_count * sizeof(*iov));
    *message = (struct mmsghdr){.msg_hdr = {.msg_iov = iov, .msg_iovlen = frame->rest_count + 2u}};
}

static unsigned send_frames(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                            unsigned count)
{
    struct port_link *l = link_of(port);
    struct mmsghdr messages[BH_NET_BATCH];
    unsigned owner[BH_NET_BATCH]; /* message -> its frame */
    unsigned described = 0;

    if (l->full)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        if ((!bh_net_is_gso(&frames[i].header) && frames[i].len > l->peer_frame_max) ||
            frames[i].rest_count > BH_NET_SEGS) {
            l->counters.long_for_peer++;
            continue;
        }
        describe(l, &frames[i], described, &messages[described]);
        owner[described++] = i;
    }
    int sent = described ? sendmmsg(l->fd, messages, described, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (sent < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
        return count; /* the connection is gone: the watch will say so; these frames went into a loose cable */
    if (sent < 0)
        sent = 0;
    if ((unsigned)sent == described)
        return count;
    l->full = true;
    want(l);
    return owner[sent];
}

static const struct bh_net_arrival *peek(struct bh_netport *port, unsigned pair)
{
    struct port_link *l = link_of(port);
    uint32_t len = bh_frame_fifo_peek(&l->fifo);

    if (len == 0)
        return NULL;
    memcpy(&l->arrival.header, bh_frame_fifo_bytes(&l->fifo), HEADER);
    l->arrival.bytes = bh_frame_fifo_bytes(&l->fifo) + HEADER;
    l->arrival.len = len - HEADER;
    return &l->arrival;
}

static void drop(struct bh_netport *port, unsigned pair)
{
    struct port_link *l = link_of(port);

    bh_frame_fifo_drop(&l->fifo);
    l->stalled = false;
    bh_loop_timer_cancel(&l->stall);
    want(l);
}

/* What waits already was for the driver before. */
static void accept_offloads(struct bh_netport *port, uint64_t offloads)
{
    struct port_link *l = link_of(port);

    if (l->accepted & ~offloads)
        bh_frame_fifo_clear(&l->fifo);
    l->accepted = offloads;
}

static const struct bh_netport_ops link_ops = {
    .send = send_frames, .peek = peek, .drop = drop, .accept = accept_offloads};

/* --- connections ------------------------------------------------------------------------------------------ */

/* A connection was made: say hello. False: it is gone again; the fd is closed. */
static bool connected(struct port_link *l, int fd)
{
    struct link_hello hello = {.magic = HELLO_MAGIC,
                               .version = bh_le32_of(HELLO_VERSION),
                               .frame_max = bh_le32_of(l->port.frame_max)};

    if (send(fd, &hello, sizeof(hello), MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)sizeof(hello) ||
        bh_loop_fd_add(l->loop, &l->watch, fd, BH_LOOP_READ, ready) != BH_OK) {
        close(fd);
        return false;
    }
    bh_frame_fifo_clear(&l->fifo);
    l->fd = fd;
    return true;
}

static void met(struct bh_link_meet *meet, int fd)
{
    struct port_link *l = BH_CONTAINER(meet, struct port_link, meet);
    if (!connected(l, fd))
        bh_link_meet_again(meet, 100);
}

static int take_fd(struct port_link *l, int fd)
{
    int type = 0;
    socklen_t size = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
        bh_error(l->sink, NULL, "hand over one end of socketpair(AF_UNIX, SOCK_SEQPACKET)",
                 "link-fd: %d is not such a socket", fd);
        return BH_ERR_INVAL;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (connected(l, fd))
        return BH_OK;
    bh_error(l->sink, NULL, NULL, "link-fd: the other end is gone");
    return BH_ERR_INVAL;
}

int bh_port_link_create(struct bh_loop *loop, const char *path, int fd, uint32_t mtu,
                        struct bh_diag_sink *sink, struct bh_netport **port)
{
    struct port_link *l = calloc(1, sizeof(*l));
    int err = BH_ERR_NOMEM;

    if (!l)
        return err;
    l->port = (struct bh_netport){.ops = &link_ops,
                                  .frame_max = BH_NET_FRAME_BYTES(mtu),
                                  .offloads = BH_NET_HOST_OFFLOADS | BH_NET_GUEST_OFFLOADS};
    l->loop = loop;
    l->sink = sink;
    l->fd = -1;
    l->limit = (struct bh_diag_limit){.burst = 1, .period_ms = 60000};
    l->meets = path != NULL;
    l->packet = malloc(HEADER + BH_NET_GSO_BYTES);
    if (!l->packet || bh_frame_fifo_init(&l->fifo, FIFO_SLOTS, HEADER + BH_NET_GSO_BYTES) != BH_OK)
        goto free_it;
    if (path) {
        err = bh_link_meet_start(&l->meet, loop, path, met, sink);
    } else {
        err = take_fd(l, fd);
    }
    if (err)
        goto free_fifo;
    *port = &l->port;
    return BH_OK;

free_fifo:
    bh_frame_fifo_fini(&l->fifo);
free_it:
    free(l->packet);
    free(l);
    return err;
}

void bh_port_link_destroy(struct bh_netport *port)
{
    struct port_link *l = link_of(port);

    l->port.link_changed = NULL; /* the device is being taken down */
    if (l->fd >= 0)
        hang_up(l);
    if (l->meets)
        bh_link_meet_stop(&l->meet);
    bh_frame_fifo_fini(&l->fifo);
    free(l->packet);
    free(l);
}
