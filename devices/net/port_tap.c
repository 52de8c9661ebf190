/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A netport onto a tap: a network interface of the host whose other end is the guest.
 *
 * Theory of operation
 *   Each pair has a file descriptor of its own (IFF_MULTI_QUEUE where there are several): the kernel spreads what
 * it has for the guest over those that are attached (TUNSETQUEUE), which are the ones whose receive queue runs.
 *   In front of each frame the kernel reads and writes a virtio-net header (IFF_VNET_HDR), the guest's own but for
 * what net_offload.c has cleared in it. What the guest accepts is told by TUNSETOFFLOAD, so the kernel leaves
 * undone only what the guest can do. A tap that was handed over without IFF_VNET_HDR passes no offloads.
 *   One frame a pair is read ahead; those behind it wait in the kernel, whose queue is bounded and drops. A pair's
 * descriptor is watched only when a read found nothing, so that a guest without buffers costs no wake-ups.
 *
 * #syscalls read writev ioctl
 */
#include "devices/net/ports.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef TUN_F_USO4 /* since Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

#define HEADER ((uint32_t)sizeof(struct virtio_net_hdr))

struct tap_counters {
    uint64_t refused; /* frames that the kernel did not take: malformed offload, interface down */
    uint64_t cut;     /* frames for the guest longer than any may be */
};

struct tap_pair {
    struct port_tap *owner;
    unsigned index;
    struct bh_loop_fd watch; /* fd -1: none */
    bool full;               /* `writable` is owed ... */
    uint32_t waiting;        /* ... to these: a bit a pair */
    bool empty;              /* `readable` is owed */
    bool detached;
    uint8_t *packet;               /* HEADER + BH_NET_GSO_BYTES */
    struct bh_net_arrival arrival; /* len 0: none */
    struct iovec iov[BH_NET_SEGS + 2];
};

struct port_tap {
    struct bh_netport port;
    struct bh_loop *loop;
    struct bh_diag_sink *sink;
    bool has_header;
    bool multi_queue;
    struct tap_counters counters;
    unsigned pair_count;
    struct tap_pair pairs[];
};

_Static_assert(offsetof(struct bh_seg, len) == offsetof(struct iovec, iov_len), "segments are iovecs");

static struct port_tap *tap_of(struct bh_netport *port)
{
    return BH_CONTAINER(port, struct port_tap, port);
}

static void want(struct tap_pair *pair)
{
    bh_loop_fd_want(&pair->watch,
                    (pair->empty && !pair->detached ? BH_LOOP_READ : 0) | (pair->full ? BH_LOOP_WRITE : 0));
}

static void ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct tap_pair *pair = BH_LOOP_OWNER(watch, struct tap_pair, watch);
    struct bh_netport *port = &pair->owner->port;
    bool readable = pair->empty && (events & BH_LOOP_READ), writable = pair->full && (events & BH_LOOP_WRITE);

    const uint32_t waiting = pair->waiting;

    pair->empty = pair->empty && !readable;
    pair->full = pair->full && !writable;
    if (writable)
        pair->waiting = 0;
    /* An interface that is gone stays in error for ever: nothing comes from it any more. */
    if ((events & BH_LOOP_ERR) && !readable && !writable) {
        bh_loop_fd_remove(watch);
        bh_warn(pair->owner->sink, NULL, "restart the device when it is back", "tap: the interface is gone");
        port->link_up = false;
        if (port->link_changed)
            port->link_changed(port);
        return;
    }
    want(pair);
    if (readable && port->readable)
        port->readable(port, pair->index);
    for (unsigned i = 0; writable && i < pair->owner->pair_count; i++) {
        if ((waiting >> i & 1u) && port->writable)
            port->writable(port, i);
    }
}

/* --- the port --------------------------------------------------------------------------------------------- */

static ssize_t write_frame(struct port_tap *tap, struct tap_pair *pair, const struct bh_net_frame *frame)
{
    struct iovec *iov = pair->iov;
    int count = 0;

    if (tap->has_header)
        iov[count++] = (struct iovec){(void *)(uintptr_t)&frame->header, HEADER};
    iov[count++] = (struct iovec){frame->first.base, frame->first.len};
    if (frame->rest_count > 0)
        memcpy(&iov[count], frame->rest, frame->rest_count * sizeof(*iov));
    return writev(pair->watch.fd, iov, count + (int)frame->rest_count);
}

/* The kernel takes frames from attached descriptors only; the guest may send on any pair. */
static struct tap_pair *sender(struct port_tap *tap, unsigned index)
{
    for (unsigned i = 0; tap->multi_queue && i < tap->pair_count; i++) {
        if (!tap->pairs[(index + i) % tap->pair_count].detached)
            return &tap->pairs[(index + i) % tap->pair_count];
    }
    return &tap->pairs[index];
}

static unsigned send_frames(struct bh_netport *port, unsigned index, const struct bh_net_frame *frames,
                            unsigned count)
{
    struct port_tap *tap = tap_of(port);
    struct tap_pair *pair = sender(tap, index);

    for (unsigned i = 0; i < count; i++) {
        BH_ASSERT(frames[i].rest_count <= BH_NET_SEGS);
        if (write_frame(tap, pair, &frames[i]) >= 0)
            continue;
        if (errno == EAGAIN && pair->watch.loop) {
            pair->full = true;
            pair->waiting |= 1u << index;
            want(pair);
            return i;
        }
        tap->counters.refused++;
    }
    return count;
}

static const struct bh_net_arrival *peek(struct bh_netport *port, unsigned index)
{
    struct port_tap *tap = tap_of(port);
    struct tap_pair *pair = &tap->pairs[index];
    const uint32_t skip = tap->has_header ? HEADER : 0;

    while (pair->arrival.len == 0) {
        const ssize_t got = read(pair->watch.fd, pair->packet, HEADER + BH_NET_GSO_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            pair->empty = true;
            if (pair->watch.loop)
                want(pair);
            return NULL;
        }
        if ((size_t)got <= skip || (size_t)got > skip + BH_NET_GSO_BYTES) {
            tap->counters.cut++;
            continue;
        }
        if (skip)
            memcpy(&pair->arrival.header, pair->packet, HEADER);
        pair->arrival.bytes = pair->packet + skip;
        pair->arrival.len = (uint32_t)got - skip;
    }
    return &pair->arrival;
}

static void drop(struct bh_netport *port, unsigned index)
{
    tap_of(port)->pairs[index].arrival.len = 0;
}

/* TUN_F_* for the guest's feature bits. USO4 and USO6 come in pairs there. */
static unsigned tun_offloads(uint64_t offloads)
{
    unsigned bits = 0;

    if (!(offloads & BH_NET_BIT(VIRTIO_NET_F_GUEST_CSUM)))
        return 0; /* the others stand on it [virtio-1.4 5.1.3.1] */
    bits |= TUN_F_CSUM;
    if (offloads & BH_NET_BIT(VIRTIO_NET_F_GUEST_TSO4))
        bits |= TUN_F_TSO4;
    if (offloads & BH_NET_BIT(VIRTIO_NET_F_GUEST_TSO6))
        bits |= TUN_F_TSO6;
    if ((bits & (TUN_F_TSO4 | TUN_F_TSO6)) && (offloads & BH_NET_BIT(VIRTIO_NET_F_GUEST_ECN)))
        bits |= TUN_F_TSO_ECN;
    if ((offloads & BH_NET_BIT(VIRTIO_NET_F_GUEST_USO4)) && (offloads & BH_NET_BIT(VIRTIO_NET_F_GUEST_USO6)))
        bits |= TUN_F_USO4 | TUN_F_USO6;
    return bits;
}

static int set_offloads(const struct port_tap *tap, unsigned bits)
{
    return ioctl(tap->pairs[0].watch.fd, TUNSETOFFLOAD, (unsigned long)bits);
}

static void accept_offloads(struct bh_netport *port, uint64_t offloads)
{
    struct port_tap *tap = tap_of(port);

    if (tap->has_header && set_offloads(tap, tun_offloads(offloads & port->offloads)) != 0)
        bh_warn(tap->sink, NULL, NULL, "tap: its offloads cannot be set: %s", strerror(errno));
}

static void attach(struct bh_netport *port, unsigned index, bool on)
{
    struct port_tap *tap = tap_of(port);
    struct tap_pair *pair = &tap->pairs[index];
    struct ifreq request = {.ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE};

    if (tap->multi_queue && pair->detached == on)
        (void)ioctl(pair->watch.fd, TUNSETQUEUE, &request);
    pair->detached = !on;
    pair->empty = on;
    pair->arrival.len = 0; /* what it held is from before */
    if (pair->watch.loop)
        want(pair);
}

static const struct bh_netport_ops tap_ops = {
    .send = send_frames, .peek = peek, .drop = drop, .accept = accept_offloads, .attach = attach};

/* --- opening ---------------------------------------------------------------------------------------------- */

static int refuse(struct bh_diag_sink *sink, const char *name)
{
    switch (errno) {
    case EPERM:
    case EACCES:
        bh_error(sink, NULL, "as root: ip tuntap add dev NAME mode tap user USER vnet_hdr [multi_queue]",
                 "tap: no right to open %s", name);
        return BH_ERR_ACCESS;
    case EBUSY: bh_error(sink, NULL, NULL, "tap: %s is used by another program", name); return BH_ERR_BUSY;
    case EINVAL:
        bh_error(sink, NULL, "for several queues it must have been made with multi_queue",
                 "tap: %s is no tap that can be opened like this", name);
        return BH_ERR_INVAL;
    case ENOENT:
    case ENODEV:
        bh_error(sink, NULL, "as root: modprobe tun", "tap: this kernel has no taps: %s", strerror(errno));
        return BH_ERR_NOENT;
    default: bh_error(sink, NULL, NULL, "tap: %s: %s", name, strerror(errno)); return BH_ERR_IO;
    }
}

/* One descriptor onto the interface. -1, errno. */
static int open_queue(const char *name, short flags)
{
    struct ifreq request = {.ifr_flags = flags};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return -1;
    memcpy(request.ifr_name, name, strlen(name));
    if (ioctl(fd, TUNSETIFF, &request) == 0)
        return fd;
    int err = errno;
    close(fd);
    errno = err;
    return -1;
}

static int open_by_name(struct port_tap *tap, const char *name)
{
    const short flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;

    if (!name[0] || strlen(name) >= IFNAMSIZ || strchr(name, '/')) {
        bh_error(tap->sink, NULL, "an interface's name has 1 to 15 characters",
                 "tap: \"%s\" cannot be a name", name);
        return BH_ERR_INVAL;
    }
    for (unsigned i = 0; i < tap->pair_count; i++) {
        const short multi = tap->pair_count > 1 ? IFF_MULTI_QUEUE : 0;
        int fd = open_queue(name, (short)(flags | multi));
        if (fd < 0 && errno == EINVAL && !multi) /* an interface of several queues, of which one is wanted */
            fd = open_queue(name, (short)(flags | IFF_MULTI_QUEUE));
        if (fd < 0)
            return refuse(tap->sink, name);
        tap->pairs[i].watch.fd = fd;
    }
    return BH_OK;
}

/* What the kernel is to put in front of each frame, and what it can be asked for. */
static int set_up(struct port_tap *tap)
{
    struct ifreq request = {0};
    int size = (int)HEADER;

    for (unsigned i = 0; i < tap->pair_count; i++) {
        const int fd = tap->pairs[i].watch.fd;
        (void)fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK);
        (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
        if (ioctl(fd, TUNGETIFF, &request) != 0 || !(request.ifr_flags & IFF_TAP) ||
            !(request.ifr_flags & IFF_NO_PI)) {
            bh_error(tap->sink, NULL, "it must be a tap, opened with IFF_TAP and IFF_NO_PI",
                     "tap-fd: %d is none", fd);
            return BH_ERR_INVAL;
        }
        tap->has_header = request.ifr_flags & IFF_VNET_HDR;
        if (tap->has_header && ioctl(fd, TUNSETVNETHDRSZ, &size) != 0) {
            bh_error(tap->sink, NULL, NULL, "tap: %s", strerror(errno));
            return BH_ERR_UNSUPPORTED;
        }
    }
    tap->multi_queue = request.ifr_flags & IFF_MULTI_QUEUE;
    if (!tap->has_header || set_offloads(tap, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN) != 0)
        return BH_OK;
    tap->port.offloads = BH_NET_HOST_OFFLOADS | BH_NET_GUEST_OFFLOADS;
    if (set_offloads(tap, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN | TUN_F_USO4 | TUN_F_USO6) !=
        0)
        tap->port.offloads &= ~(BH_NET_BIT(VIRTIO_NET_F_HOST_USO) | BH_NET_BIT(VIRTIO_NET_F_GUEST_USO4) |
                                BH_NET_BIT(VIRTIO_NET_F_GUEST_USO6));
    return set_offloads(tap, 0) == 0 ? BH_OK : BH_ERR_IO;
}

/* Frames longer than the guest is told would be dropped one by one, unseen. */
static void compare_mtu(const struct port_tap *tap, uint32_t mtu)
{
    struct ifreq request = {0};
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (s >= 0 && ioctl(tap->pairs[0].watch.fd, TUNGETIFF, &request) == 0 &&
        ioctl(s, SIOCGIFMTU, &request) == 0 && request.ifr_mtu > (int)mtu)
        bh_warn(tap->sink, NULL, "give both the same mtu", "tap: %s sends up to %d bytes, the guest takes %u",
                request.ifr_name, request.ifr_mtu, (unsigned)mtu);
    if (s >= 0)
        close(s);
}

static int watch_pairs(struct port_tap *tap)
{
    for (unsigned i = 0; i < tap->pair_count; i++) {
        struct tap_pair *pair = &tap->pairs[i];

        pair->packet = malloc(HEADER + BH_NET_GSO_BYTES + 1);
        if (!pair->packet)
            return BH_ERR_NOMEM;
        int err = bh_loop_fd_add(tap->loop, &pair->watch, pair->watch.fd, 0, ready);
        if (err)
            return err;
        attach(&tap->port, i, false);
    }
    return BH_OK;
}

int bh_port_tap_create(struct bh_loop *loop, const struct bh_port_tap_setup *setup, struct bh_diag_sink *sink,
                       struct bh_netport **port)
{
    struct port_tap *tap = calloc(1, sizeof(*tap) + setup->pair_count * sizeof(tap->pairs[0]));
    int err = BH_OK;

    if (!tap)
        return BH_ERR_NOMEM;
    tap->port = (struct bh_netport){.ops = &tap_ops,
                                    .frame_max = BH_NET_FRAME_BYTES(setup->mtu),
                                    .pair_count = setup->pair_count,
                                    .link_up = true};
    tap->loop = loop;
    tap->sink = sink;
    tap->pair_count = setup->pair_count;
    for (unsigned i = 0; i < tap->pair_count; i++) {
        tap->pairs[i].owner = tap;
        tap->pairs[i].index = i;
        tap->pairs[i].watch.fd = setup->name ? -1 : setup->fds[i];
    }
    if (setup->name)
        err = open_by_name(tap, setup->name);
    if (!err)
        err = set_up(tap);
    if (!err)
        err = watch_pairs(tap);
    if (err) {
        bh_port_tap_destroy(&tap->port);
        return err;
    }
    compare_mtu(tap, setup->mtu);
    *port = &tap->port;
    return BH_OK;
}

void bh_port_tap_destroy(struct bh_netport *port)
{
    struct port_tap *tap = tap_of(port);

    for (unsigned i = 0; i < tap->pair_count; i++) {
        bh_loop_fd_remove(&tap->pairs[i].watch);
        if (tap->pairs[i].watch.fd >= 0)
            close(tap->pairs[i].watch.fd);
        free(tap->pairs[i].packet);
    }
    free(tap);
}
