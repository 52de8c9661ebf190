/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A netport onto a user-mode network: libslirp answers the guest's ARP and DHCP and turns its connections into
 * sockets of this process. Needs no privilege.
 *
 * Theory of operation
 *   libslirp wants to be asked, before each wait, which fds to poll, and to be told afterwards what they said. A
 * hook of the loop does both: it hands over what the watches saw since the last time, asks anew, and brings the
 * watches in line. A watch lives in a table indexed by fd, and goes when libslirp closes the fd.
 *
 *   Frames for the guest wait in a bounded fifo. When it is nearly full, libslirp is not polled, so that the
 * host's sockets fill up and TCP slows down its sender; a frame that still finds no room is dropped and counted.
 *
 * #syscalls socket connect bind listen accept accept4 shutdown setsockopt getsockopt getsockname getpeername
 * #syscalls recvfrom recvmsg sendto sendmsg ioctl fcntl open openat read fstat newfstatat lseek getrandom poll
 */
#include "devices/net/frame_fifo.h"
#include "devices/net/ports.h"
#include "devices/net/slirp_forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <slirp/libslirp.h>
#include <stdlib.h>
#include <string.h>

#define FIFO_SLOTS 256u
#define FIFO_HIGH  192u

struct slirp_watch {
    struct bh_loop_fd watch;
    struct port_slirp *owner;
    int events;  /* SLIRP_POLL_*, asked for in this round */
    int revents; /* seen since */
    bool asked;
};

struct slirp_slot {
    struct slirp_watch *watch; /* NULL: not watched */
};

struct port_slirp {
    struct bh_netport port;
    struct bh_loop *loop;
    struct bh_diag_sink *sink;
    Slirp *slirp;
    struct bh_frame_fifo fifo;
    struct bh_net_arrival arrival; /* the fifo's first */
    uint64_t dropped;              /* frames for the guest that found no room */
    struct slirp_slot *by_fd;      /* fd_count of them */
    int fd_count;
    bool due; /* something was seen, or its timer expired */
    struct bh_loop_timer timer;
    struct bh_loop_hook hook;
    struct bh_diag_limit limit;
    uint8_t *gathered; /* a frame of the guest in one piece */
};

struct slirp_timer {
    struct bh_loop_timer timer;
    struct port_slirp *owner;
    SlirpTimerCb call;
    void *opaque;
};

static struct port_slirp *slirp_of(struct bh_netport *port)
{
    return BH_CONTAINER(port, struct port_slirp, port);
}

/* --- what libslirp calls ---------------------------------------------------------------------------------- */

static ssize_t frame_for_guest(const void *frame, size_t len, void *opaque)
{
    struct port_slirp *s = opaque;

    if (len == 0 || len > s->fifo.slot_bytes || bh_frame_fifo_full(&s->fifo)) {
        s->dropped++;
        return (ssize_t)len;
    }
    memcpy(bh_frame_fifo_slot(&s->fifo), frame, len);
    bh_frame_fifo_add(&s->fifo, (uint32_t)len);
    if (s->port.readable)
        s->port.readable(&s->port, 0);
    return (ssize_t)len;
}

static void guest_error(const char *message, void *opaque)
{
    struct port_slirp *s = opaque;
    unsigned held;
    if (bh_diag_allowed(&s->limit, &held))
        bh_warn(s->sink, NULL, NULL, "user network: %s (%u more held back)", message, held);
}

static int64_t clock_ns(void *opaque)
{
    return (int64_t)bh_loop_now();
}

static void timer_expired(struct bh_loop_timer *timer)
{
    struct slirp_timer *t = BH_LOOP_OWNER(timer, struct slirp_timer, timer);
    t->call(t->opaque);
}

static void *timer_new(SlirpTimerCb call, void *call_opaque, void *opaque)
{
    struct slirp_timer *t = calloc(1, sizeof(*t));
    BH_ASSERT(t);
    *t = (struct slirp_timer){.owner = opaque, .call = call, .opaque = call_opaque};
    return t;
}

static void timer_free(void *timer, void *opaque)
{
    struct slirp_timer *t = timer;
    bh_loop_timer_cancel(&t->timer);
    free(t);
}

static void timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    struct slirp_timer *t = timer;
    bh_loop_timer_set_at(t->owner->loop, &t->timer, (uint64_t)expire_ms * 1000000u, timer_expired);
}

static void fd_opened(int fd, void *opaque)
{
    /* It is watched once libslirp asks for events of it. */
}

static void fd_closing(int fd, void *opaque)
{
    struct port_slirp *s = opaque;

    if (fd < 0 || fd >= s->fd_count || !s->by_fd[fd].watch)
        return;
    bh_loop_fd_remove(&s->by_fd[fd].watch->watch);
    free(s->by_fd[fd].watch);
    s->by_fd[fd].watch = NULL;
}

static void notify(void *opaque)
{
    /* The hook runs before each wait anyway. */
}

static const SlirpCb callbacks = {
    .send_packet = frame_for_guest,
    .guest_error = guest_error,
    .clock_get_ns = clock_ns,
    .timer_new = timer_new,
    .timer_free = timer_free,
    .timer_mod = timer_mod,
    .register_poll_fd = fd_opened,
    .unregister_poll_fd = fd_closing,
    .notify = notify,
};

/* --- its poll set ----------------------------------------------------------------------------------------- */

static void fd_ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct slirp_watch *w = BH_LOOP_OWNER(watch, struct slirp_watch, watch);

    w->revents |= (events & BH_LOOP_READ ? SLIRP_POLL_IN : 0) |
                  (events & BH_LOOP_WRITE ? SLIRP_POLL_OUT : 0) |
                  (events & BH_LOOP_HUP ? SLIRP_POLL_HUP : 0) | (events & BH_LOOP_ERR ? SLIRP_POLL_ERR : 0);
    w->owner->due = true;
}

static void timeout(struct bh_loop_timer *timer)
{
    BH_LOOP_OWNER(timer, struct port_slirp, timer)->due = true;
}

static struct slirp_watch *watch_of(struct port_slirp *s, int fd)
{
    if (fd >= s->fd_count) {
        int count = fd + 64;
        struct slirp_slot *more = realloc(s->by_fd, (size_t)count * sizeof(*more));
        if (!more)
            return NULL;
        memset(more + s->fd_count, 0, (size_t)(count - s->fd_count) * sizeof(*more));
        s->by_fd = more;
        s->fd_count = count;
    }
    if (!s->by_fd[fd].watch) {
        s->by_fd[fd].watch = calloc(1, sizeof(struct slirp_watch));
        if (s->by_fd[fd].watch)
            s->by_fd[fd].watch->owner = s;
    }
    return s->by_fd[fd].watch;
}

/* The index that libslirp keeps for an fd is the fd. */
static int add_poll(int fd, int events, void *opaque)
{
    struct slirp_watch *w = fd < 0 ? NULL : watch_of(opaque, fd);

    if (w) {
        w->events |= events;
        w->asked = true;
    }
    return fd;
}

static int get_revents(int index, void *opaque)
{
    struct port_slirp *s = opaque;
    struct slirp_watch *w = index >= 0 && index < s->fd_count ? s->by_fd[index].watch : NULL;
    return w ? w->revents & (w->events | SLIRP_POLL_HUP | SLIRP_POLL_ERR) : 0;
}

static void align_watches(struct port_slirp *s)
{
    for (int fd = 0; fd < s->fd_count; fd++) {
        struct slirp_watch *w = s->by_fd[fd].watch;
        if (!w)
            continue;
        uint32_t want =
            (w->events & SLIRP_POLL_IN ? BH_LOOP_READ : 0) | (w->events & SLIRP_POLL_OUT ? BH_LOOP_WRITE : 0);
        w->revents = 0;
        if (!w->asked)
            bh_loop_fd_remove(&w->watch);
        else if (w->watch.loop)
            bh_loop_fd_want(&w->watch, want);
        else if (bh_loop_fd_add(s->loop, &w->watch, fd, want, fd_ready) != BH_OK)
            bh_loop_timer_set(s->loop, &s->timer, 100, timeout); /* the host has no watch left: try again */
    }
}

static void prepare(struct bh_loop_hook *hook)
{
    struct port_slirp *s = BH_LOOP_OWNER(hook, struct port_slirp, hook);
    uint32_t wait_ms = UINT32_MAX;

    if (s->due) {
        s->due = false;
        slirp_pollfds_poll(s->slirp, 0, get_revents, s);
    }
    for (int fd = 0; fd < s->fd_count; fd++) {
        if (s->by_fd[fd].watch) {
            s->by_fd[fd].watch->events = 0;
            s->by_fd[fd].watch->asked = false;
        }
    }
    if (s->fifo.count < FIFO_HIGH) {
        slirp_pollfds_fill(s->slirp, &wait_ms, add_poll, s);
        if (wait_ms != UINT32_MAX)
            bh_loop_timer_set(s->loop, &s->timer, wait_ms, timeout);
        else
            bh_loop_timer_cancel(&s->timer);
    }
    align_watches(s);
}

/* --- the port --------------------------------------------------------------------------------------------- */

static unsigned send_frames(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                            unsigned count)
{
    struct port_slirp *s = slirp_of(port);

    for (unsigned i = 0; i < count; i++) {
        size_t len = frames[i].first.len;
        memcpy(s->gathered, frames[i].first.base, len);
        for (unsigned k = 0; k < frames[i].rest_count; k++) {
            memcpy(s->gathered + len, frames[i].rest[k].base, frames[i].rest[k].len);
            len += frames[i].rest[k].len;
        }
        slirp_input(s->slirp, s->gathered, (int)len);
    }
    return count;
}

static const struct bh_net_arrival *peek(struct bh_netport *port, unsigned pair)
{
    struct port_slirp *s = slirp_of(port);

    s->arrival.len = bh_frame_fifo_peek(&s->fifo);
    if (s->arrival.len == 0)
        return NULL;
    s->arrival.bytes = bh_frame_fifo_bytes(&s->fifo);
    return &s->arrival;
}

static void drop(struct bh_netport *port, unsigned pair)
{
    bh_frame_fifo_drop(&slirp_of(port)->fifo);
}

static const struct bh_netport_ops slirp_ops = {.send = send_frames, .peek = peek, .drop = drop};

/* libslirp leaves the errno of what failed. */
static int refuse_forward(struct port_slirp *s, const struct bh_forward *f, const char *text)
{
    const int err = errno;
    char address[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &f->host, address, sizeof(address));
    bh_error(s->sink, NULL,
             err == EADDRINUSE ? "end the program that has it, or name another port in forward"
             : err == EACCES   ? "ports below 1024 need privilege: name another one in forward"
                               : NULL,
             "forward \"%s\": %s port %u of %s %s", text, f->udp ? "udp" : "tcp", f->host_port, address,
             err == EADDRINUSE ? "is taken by another program" : strerror(err));
    return err == EADDRINUSE                       ? BH_ERR_BUSY
           : err == EACCES || err == EADDRNOTAVAIL ? BH_ERR_ACCESS
                                                   : BH_ERR_IO;
}

static int add_forwards(struct port_slirp *s, const struct bh_port_slirp_setup *setup)
{
    for (size_t i = 0; i < setup->forward.count; i++) {
        const char *text = setup->forward.items[i];
        struct bh_forward f;

        if (bh_forward_parse(text, &f) != BH_OK) {
            bh_error(s->sink, NULL, "write tcp|udp:[ADDRESS:]PORT:[GUEST-ADDRESS:]GUEST-PORT",
                     "forward: cannot read \"%s\"", text);
            return BH_ERR_INVAL;
        }
        if (slirp_add_hostfwd(s->slirp, f.udp, f.host, (int)f.host_port, f.guest, (int)f.guest_port) != 0)
            return refuse_forward(s, &f, text);
    }
    return BH_OK;
}

/* The network's own addresses: .2 is the host, .3 the name server, .15 the first guest. */
static int make_config(const struct bh_port_slirp_setup *setup, struct bh_diag_sink *sink,
                       SlirpConfig *config)
{
    *config = (SlirpConfig){
        .version = 4,
        .restricted = setup->restricted,
        .in_enabled = true,
        .in6_enabled = setup->ipv6,
        .vprefix_len = 64,
        .vhostname = setup->hostname,
        .if_mtu = setup->mtu,
        .if_mru = setup->mtu,
        .disable_dns = !setup->dns,
        .disable_dhcp = !setup->dhcp,
    };
    if (bh_subnet_parse(setup->subnet, &config->vnetwork, &config->vnetmask) != BH_OK) {
        bh_error(sink, NULL, "write ADDRESS/BITS with 8 to 28 bits, such as 10.0.2.0/24",
                 "subnet: cannot read \"%s\"", setup->subnet);
        return BH_ERR_INVAL;
    }
    config->vhost.s_addr = config->vnetwork.s_addr | htonl(2);
    config->vnameserver.s_addr = config->vnetwork.s_addr | htonl(3);
    config->vdhcp_start.s_addr =
        config->vnetwork.s_addr | htonl(ntohl(config->vnetmask.s_addr) == 0xfffffff0u ? 4 : 15);
    inet_pton(AF_INET6, "fec0::", &config->vprefix_addr6);
    inet_pton(AF_INET6, "fec0::2", &config->vhost6);
    inet_pton(AF_INET6, "fec0::3", &config->vnameserver6);
    return BH_OK;
}

int bh_port_slirp_create(struct bh_loop *loop, const struct bh_port_slirp_setup *setup,
                         struct bh_diag_sink *sink, struct bh_netport **port)
{
    struct port_slirp *s = calloc(1, sizeof(*s));
    SlirpConfig config;
    int err = BH_ERR_NOMEM;

    if (!s)
        return err;
    s->port =
        (struct bh_netport){.ops = &slirp_ops, .frame_max = BH_NET_FRAME_BYTES(setup->mtu), .link_up = true};
    s->loop = loop;
    s->sink = sink;
    s->limit = (struct bh_diag_limit){.burst = 5, .period_ms = 10000};
    s->gathered = malloc(s->port.frame_max);
    if (!s->gathered || bh_frame_fifo_init(&s->fifo, FIFO_SLOTS, s->port.frame_max) != BH_OK)
        goto free_it;
    err = make_config(setup, sink, &config);
    if (err)
        goto free_fifo;
    s->slirp = slirp_new(&config, &callbacks, s);
    err = s->slirp ? add_forwards(s, setup) : BH_ERR_UNSUPPORTED;
    if (err)
        goto cleanup;
    bh_loop_hook_add(loop, &s->hook, prepare);
    *port = &s->port;
    return BH_OK;

cleanup:
    if (s->slirp)
        slirp_cleanup(s->slirp);
    free(s->by_fd);
free_fifo:
    bh_frame_fifo_fini(&s->fifo);
free_it:
    free(s->gathered);
    free(s);
    return err;
}

void bh_port_slirp_destroy(struct bh_netport *port)
{
    struct port_slirp *s = slirp_of(port);

    bh_loop_hook_remove(&s->hook);
    bh_loop_timer_cancel(&s->timer);
    slirp_cleanup(s->slirp);
    for (int fd = 0; fd < s->fd_count; fd++)
        fd_closing(fd, s);
    free(s->by_fd);
    bh_frame_fifo_fini(&s->fifo);
    free(s->gathered);
    free(s);
}
