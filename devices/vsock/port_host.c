/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's connections as sockets of the host.
 *
 * Theory of operation
 *   Each connection has one socket and nothing shared with another: what one does cannot stop a second. A connection
 * to CID 2 is a socket connected to PATH_PORT; one to a sibling is a socket connected to that sibling's device
 * process, which opens a connection to its own guest and says OK when that took it. So two guests talk through two
 * processes, neither of which sees the other's memory, and who may talk to whom is asked on both sides: the one does
 * not dial, the other does not listen.
 *
 *   A socket stands at one enum bh_vsock_step. What comes in is port_host_in.c, what an open one does is end.c.
 *
 * #syscalls setsockopt
 */
#include "devices/vsock/port_host.h"
#include "devices/vsock/sockets.h"

#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#define RETRY_MS    20u
#define RETRIES     100u
#define GREETING_MS 15000u
#define TICK_MS     1000u
#define PORT_FIRST  0x40000000u /* of the host's sides: beyond what programs listen on by number */

static struct bh_vsock_host *host_of(struct bh_vsock_port *port)
{
    return BH_CONTAINER(port, struct bh_vsock_host, port);
}

static struct bh_vsock_call *call_of(const struct bh_vsock_conn *conn)
{
    return conn->user;
}

/* --- calls ------------------------------------------------------------------------------------------------ */

static void ready(struct bh_loop_fd *watch, uint32_t events);

/* Make room by forgetting the connection that has had most time to deliver its rest. */
static bool forget_one(struct bh_vsock_host *host)
{
    struct bh_vsock_call *call = host->deliver_count ? host->first : NULL;

    while (call && call->step != BH_VSOCK_DELIVER)
        call = call->next;
    if (!call)
        return false;
    host->setup.counters->forgotten++;
    bh_vsock_call_free(call);
    return true;
}

struct bh_vsock_call *bh_vsock_call_new(struct bh_vsock_host *host, uint32_t peer_cid, int type)
{
    struct bh_vsock_call *call = NULL;

    if (host->call_count < host->setup.conn_max || forget_one(host))
        call = calloc(1, sizeof(*call));
    if (!call) {
        host->setup.counters->no_room++;
        return NULL;
    }
    call->host = host;
    call->peer_cid = peer_cid;
    call->type = type;
    call->end.vsock = host->port.vsock;
    call->end.fd = -1;
    call->prev = host->last;
    *(host->last ? &host->last->next : &host->first) = call;
    host->last = call;
    host->call_count++;
    return call;
}

bool bh_vsock_call_watch(struct bh_vsock_call *call, int fd, uint32_t wanted)
{
    call->end.fd = fd;
    return bh_loop_fd_add(call->host->loop, &call->end.watch, fd, wanted, ready) == BH_OK;
}

void bh_vsock_call_free(struct bh_vsock_call *call)
{
    struct bh_vsock_host *host = call->host;

    bh_loop_timer_cancel(&call->timer);
    bh_vsock_end_fini(&call->end);
    if (call->step == BH_VSOCK_DELIVER)
        host->deliver_count--;
    *(call->prev ? &call->prev->next : &host->first) = call->next;
    *(call->next ? &call->next->prev : &host->last) = call->prev;
    host->call_count--;
    free(call);
}

void bh_vsock_call_fail(struct bh_vsock_call *call)
{
    if (call->end.conn)
        bh_vsock_reset(call->host->port.vsock, call->end.conn);
    bh_vsock_call_free(call);
}

static void call_open(struct bh_vsock_call *call)
{
    const bool seqpacket = call->end.conn->type == VIRTIO_VSOCK_TYPE_SEQPACKET;

    bh_loop_timer_cancel(&call->timer);
    call->step = BH_VSOCK_CONNECTED;
    call->end.form = !seqpacket                     ? BH_VSOCK_FORM_STREAM
                     : call->type == SOCK_SEQPACKET ? BH_VSOCK_FORM_PACKET
                                                    : BH_VSOCK_FORM_FRAMED;
    if (call->end.form == BH_VSOCK_FORM_PACKET) {
        /* The kernel refuses a packet that is longer than this: as long as a message can be, where the host allows it. */
        const int longest = (int)call->host->port.vsock->setup.buf_alloc;
        (void)!setsockopt(call->end.fd, SOL_SOCKET, SO_SNDBUF, &longest, sizeof(longest));
    }
    bh_vsock_end_open(&call->end);
}

/* --- to the guest's peer ----------------------------------------------------------------------------------- */

static void greeting_late(struct bh_loop_timer *timer)
{
    bh_vsock_call_fail(BH_LOOP_OWNER(timer, struct bh_vsock_call, timer));
}

/* The socket is connected. BH_OK: so is the guest; BH_ERR_PENDING: a sibling has to ask its own first. */
static int dialled(struct bh_vsock_call *call)
{
    const struct bh_vsock_conn *conn = call->end.conn;
    const bool seqpacket = conn->type == VIRTIO_VSOCK_TYPE_SEQPACKET;

    if (call->peer_cid == VIRTIO_VSOCK_CID_HOST) {
        call_open(call);
        return BH_OK;
    }
    if (bh_vsock_call_say(call, "CONNECT %u FROM %u %s\n", conn->peer_port, conn->guest_port,
                          seqpacket ? "seqpacket" : "stream") != BH_OK)
        return BH_ERR_IO;
    call->step = BH_VSOCK_GREETED;
    bh_loop_fd_want(&call->end.watch, BH_LOOP_READ);
    bh_loop_timer_set(call->host->loop, &call->timer, GREETING_MS, greeting_late);
    return BH_ERR_PENDING;
}

static int dial_socket(struct bh_vsock_call *call, int *connecting)
{
    const struct bh_vsock_host_setup *setup = &call->host->setup;
    const uint32_t port = call->end.conn->peer_port;
    char path[BH_UNIX_PATH_MAX + 64], pair[BH_VSOCK_PAIR_MAX];

    *connecting = 0;
    bh_vsock_pair_name(setup->guest_cid, call->peer_cid, pair);
    if (call->peer_cid != VIRTIO_VSOCK_CID_HOST)
        snprintf(path, sizeof(path), "%s/%s/%u-%u", setup->sibling_dir, pair, setup->guest_cid,
                 call->peer_cid);
    else if (setup->forward_cid)
        return bh_vsock_dial_host(setup->forward_cid, port, call->type, connecting);
    else if (setup->path)
        snprintf(path, sizeof(path), "%s_%u", setup->path, port);
    else
        return BH_ERR_NOENT;
    return bh_vsock_dial_path(path, call->type);
}

static void retry(struct bh_loop_timer *timer);

/* BH_OK, BH_ERR_PENDING, or refused. */
static int dial(struct bh_vsock_call *call)
{
    int connecting, fd = dial_socket(call, &connecting);

    if (fd == BH_ERR_AGAIN && call->left-- > 0) {
        call->step = BH_VSOCK_RETRY;
        bh_loop_timer_set(call->host->loop, &call->timer, RETRY_MS, retry);
        return BH_ERR_PENDING;
    }
    if (fd < 0)
        return fd;
    call->host->setup.counters->dials++;
    if (!bh_vsock_call_watch(call, fd, connecting ? BH_LOOP_WRITE : 0))
        return BH_ERR_IO;
    if (!connecting)
        return dialled(call);
    call->step = BH_VSOCK_DIALLING;
    return BH_ERR_PENDING;
}

/* The same where the guest waits for it. */
static void dial_result(struct bh_vsock_call *call, int err)
{
    if (err == BH_OK)
        bh_vsock_connected(call->host->port.vsock, call->end.conn);
    else if (err != BH_ERR_PENDING)
        bh_vsock_call_fail(call);
}

static void retry(struct bh_loop_timer *timer)
{
    struct bh_vsock_call *call = BH_LOOP_OWNER(timer, struct bh_vsock_call, timer);
    dial_result(call, dial(call));
}

static void greeted(struct bh_vsock_call *call)
{
    int got = bh_vsock_call_line(call);

    if (got == 0)
        return;
    if (got < 0 || !bh_vsock_hello_accepted(call->line, call->line_len)) {
        bh_vsock_call_fail(call);
        return;
    }
    call_open(call);
    bh_vsock_connected(call->host->port.vsock, call->end.conn);
}

static void ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_vsock_call *call =
        BH_CONTAINER(BH_LOOP_OWNER(watch, struct bh_vsock_end, watch), struct bh_vsock_call, end);
    int err;

    switch (call->step) {
    case BH_VSOCK_HELLO: bh_vsock_call_hello(call); break;
    case BH_VSOCK_WAIT_GUEST: bh_vsock_call_fail(call); break; /* it hung up */
    case BH_VSOCK_RETRY: break;
    case BH_VSOCK_DIALLING:
        err = bh_vsock_dialled(watch->fd);
        dial_result(call, err ? err : dialled(call));
        break;
    case BH_VSOCK_GREETED: greeted(call); break;
    case BH_VSOCK_CONNECTED: bh_vsock_end_ready(&call->end, events); break;
    case BH_VSOCK_DELIVER:
        if (!bh_vsock_end_deliver(&call->end, events))
            bh_vsock_call_free(call);
        break;
    }
}

/* --- the port --------------------------------------------------------------------------------------------- */

static bool is_peer(const struct bh_vsock_host *host, uint32_t cid)
{
    for (size_t i = 0; i < host->setup.peer_count; i++) {
        if (host->setup.peers[i] == cid)
            return true;
    }
    return false;
}

static int op_connect(struct bh_vsock_port *port, struct bh_vsock_conn *conn)
{
    struct bh_vsock_host *host = host_of(port);
    const bool to_host = conn->peer_cid == VIRTIO_VSOCK_CID_HOST;
    const bool seqpacket = conn->type == VIRTIO_VSOCK_TYPE_SEQPACKET;

    if (!to_host && !is_peer(host, conn->peer_cid)) {
        host->setup.counters->not_allowed++;
        return BH_ERR_ACCESS;
    }
    struct bh_vsock_call *call =
        bh_vsock_call_new(host, conn->peer_cid, to_host && seqpacket ? SOCK_SEQPACKET : SOCK_STREAM);
    if (!call)
        return BH_ERR_NOMEM;
    conn->user = call;
    call->end.conn = conn;
    call->left = RETRIES;
    int err = dial(call);
    if (err != BH_OK && err != BH_ERR_PENDING)
        bh_vsock_call_free(call);
    return err;
}

static void op_accepted(struct bh_vsock_port *port, struct bh_vsock_conn *conn)
{
    struct bh_vsock_call *call = call_of(conn);

    call_open(call);
    /* The answer is the first thing on a new socket: there is room for it, or the other end is gone. */
    if (call->line_len > 0 && bh_vsock_call_say(call, "OK %u\n", conn->peer_port) != BH_OK)
        bh_vsock_call_fail(call);
}

static int op_write(struct bh_vsock_port *port, struct bh_vsock_conn *conn, const struct bh_seg *segs,
                    unsigned count, uint32_t len, uint32_t flags)
{
    return bh_vsock_end_write(&call_of(conn)->end, segs, count, len, flags);
}

static int op_read(struct bh_vsock_port *port, struct bh_vsock_conn *conn, const struct bh_seg *segs,
                   unsigned count, uint32_t room, uint32_t *flags)
{
    return bh_vsock_end_read(&call_of(conn)->end, segs, count, room, flags);
}

static void op_shutdown(struct bh_vsock_port *port, struct bh_vsock_conn *conn, uint32_t flags)
{
    bh_vsock_end_shutdown(&call_of(conn)->end, flags);
}

static void op_close(struct bh_vsock_port *port, struct bh_vsock_conn *conn, bool deliver)
{
    struct bh_vsock_call *call = call_of(conn);

    if (!deliver || call->step != BH_VSOCK_CONNECTED || !bh_vsock_end_lingers(&call->end)) {
        bh_vsock_call_free(call);
        return;
    }
    call->step = BH_VSOCK_DELIVER;
    call->host->deliver_count++;
}

static void tick(struct bh_loop_timer *timer)
{
    struct bh_vsock_host *host = BH_LOOP_OWNER(timer, struct bh_vsock_host, tick);

    if (bh_vsock_tick(host->port.vsock))
        bh_loop_timer_set(host->loop, &host->tick, TICK_MS, tick);
}

static void op_want_ticks(struct bh_vsock_port *port)
{
    struct bh_vsock_host *host = host_of(port);

    if (!host->tick.loop)
        bh_loop_timer_set(host->loop, &host->tick, TICK_MS, tick);
}

static const struct bh_vsock_port_ops host_ops = {
    .connect = op_connect,
    .accepted = op_accepted,
    .write = op_write,
    .read = op_read,
    .shutdown = op_shutdown,
    .close = op_close,
    .want_ticks = op_want_ticks,
};

int bh_vsock_port_host_create(struct bh_loop *loop, const struct bh_vsock_host_setup *setup,
                              struct bh_diag_sink *sink, struct bh_vsock_port **port)
{
    struct bh_vsock_host *host = calloc(1, sizeof(*host));
    uint32_t start = 0;

    if (!host)
        return BH_ERR_NOMEM;
    host->port.ops = &host_ops;
    host->loop = loop;
    host->sink = sink;
    host->setup = *setup;
    /* Not where a former process began: the guest may still have its connections. */
    if (getrandom(&start, sizeof(start), GRND_NONBLOCK) != sizeof(start))
        start = (uint32_t)bh_loop_now();
    host->next_port = PORT_FIRST + start % PORT_FIRST;
    int err = bh_vsock_listen(host);
    if (err) {
        free(host);
        return err;
    }
    *port = &host->port;
    return BH_OK;
}

void bh_vsock_port_host_destroy(struct bh_vsock_port *port)
{
    struct bh_vsock_host *host = host_of(port);

    bh_vsock_unlisten(host);
    bh_loop_timer_cancel(&host->tick);
    for (struct bh_vsock_call *call = host->first, *next; call; call = next) {
        next = call->next;
        bh_vsock_call_free(call);
    }
    free(host);
}
