/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a vhost-user server: accepting, reading, ending connections, and what the device tells its transport.
 */
#include "transports/vhost_user/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SAY_BURST = 10, SAY_PERIOD_MS = 10000, MESSAGES_PER_ROUND = 16 };

void bh_vu_say(struct bh_vhost_user *server, const char *format, ...)
{
    const struct bh_diag_where where = {.node = server->name};
    char text[256];
    va_list args;
    unsigned held = 0;
    if (!bh_diag_allowed(&server->limit, &held))
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (held)
        bh_warn(server->sink, &where, NULL, "%s (%u messages before it were held back)", text, held);
    else
        bh_warn(server->sink, &where, NULL, "%s", text);
}

/* --- reading --------------------------------------------------------------------------------------------- */

void bh_vu_flush(struct bh_vhost_user *server)
{
    int err = BH_OK;
    if (server->phase != BH_VU_SERVING)
        return;
    if (bh_vu_wire_sending(&server->wire))
        err = bh_vu_wire_send(&server->wire, server->conn.fd);
    if (err == BH_ERR_CLOSED) {
        bh_vu_close(server, NULL);
        return;
    }
    bh_loop_fd_want(&server->conn, err ? BH_LOOP_WRITE : server->waiting ? 0 : BH_LOOP_READ);
}

static void conn_ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_vhost_user *server = BH_LOOP_OWNER(watch, struct bh_vhost_user, conn);
    if (events & BH_LOOP_WRITE)
        bh_vu_flush(server);
    /* While we wait nobody reads, and a peer that left would be told again and again. */
    else if ((server->waiting || bh_vu_wire_sending(&server->wire)) && events & (BH_LOOP_HUP | BH_LOOP_ERR))
        bh_vu_close(server, NULL);
    for (unsigned i = 0; i < MESSAGES_PER_ROUND; i++) {
        const char *why;
        int err;
        if (server->phase != BH_VU_SERVING || server->waiting || bh_vu_wire_sending(&server->wire))
            return;
        err = bh_vu_wire_receive(&server->wire, watch->fd, &server->pending, &why);
        if (err == BH_ERR_AGAIN)
            return;
        if (err == BH_ERR_PROTO) {
            server->counters.malformed++;
            bh_vu_say(server, "malformed %s (%u): %s", bh_vu_request_name(server->wire.head.request),
                      server->wire.head.request, why);
            bh_vu_close(server, NULL);
            return;
        }
        if (err) {
            bh_vu_close(server, why);
            return;
        }
        bh_vu_handle(server);
    }
}

static void memory_lost(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_vhost_user *server = BH_LOOP_OWNER(watch, struct bh_vhost_user, lost);
    uint64_t count;
    if (read(watch->fd, &count, sizeof(count)) < 0 || !server->memory.lost || server->phase != BH_VU_SERVING)
        return;
    server->counters.lost_memory++;
    bh_vu_close(server, "shared memory was taken away (its file was truncated)");
}

/* --- a connection's begin and end ------------------------------------------------------------------------ */

static int open_connection(struct bh_vhost_user *server, int fd)
{
    bh_vu_never_block(fd);
    memset(&server->wire, 0, sizeof(server->wire));
    server->protocol_features = 0;
    server->protocol_negotiated = false;
    server->waiting = BH_VU_WAIT_NONE;
    if (bh_loop_fd_add(server->loop, &server->conn, fd, BH_LOOP_READ, conn_ready)) {
        server->conn.fd = -1;
        return BH_ERR_IO;
    }
    server->phase = BH_VU_SERVING;
    server->counters.connections++;
    if (server->owner_ops->connected)
        server->owner_ops->connected(server, server->owner, true);
    return BH_OK;
}

static void accept_ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_vhost_user *server = BH_LOOP_OWNER(watch, struct bh_vhost_user, listen);
    const int fd = bh_accept(&server->accept, watch, server->sink, server->name);
    if (fd < 0)
        return; /* it went away again, somebody else took it, or there is no fd for it */
    if (open_connection(server, fd)) {
        close(fd);
        return;
    }
    bh_loop_fd_want(watch, 0); /* one at a time; the others wait in the backlog */
}

void bh_vu_close(struct bh_vhost_user *server, const char *why)
{
    if (server->phase != BH_VU_SERVING)
        return;
    if (why)
        bh_vu_say(server, "%s: the connection is closed", why);
    bh_loop_fd_remove(&server->conn);
    close(server->conn.fd);
    server->conn.fd = -1;
    bh_vu_wire_close_fds(&server->wire);
    bh_vu_close_backend(server);
    bh_vu_log_forget(server);
    for (unsigned i = 0; i < server->dev->queue_count; i++)
        bh_vu_ring_clear(&server->rings[i], true);
    server->waiting = BH_VU_WAIT_NONE;
    server->phase = BH_VU_CLOSING_RESET;
    if (server->owner_ops->connected)
        server->owner_ops->connected(server, server->owner, false);
    bh_device_reset(server->dev);
}

/* Between two connections, from a clean stack. */
static void settled(struct bh_loop_work *work)
{
    struct bh_vhost_user *server = BH_LOOP_OWNER(work, struct bh_vhost_user, settled);
    if (server->phase != BH_VU_IDLE)
        return;
    if (server->stopping) {
        bh_device_detach(server->dev);
        server->stopped = true;
        server->owner_ops->stopped(server, server->owner);
    } else if (server->listen.fd >= 0) {
        bh_loop_fd_want(&server->listen, BH_LOOP_READ);
    } else {
        server->owner_ops->ended(server, server->owner);
    }
}

/* What the device sees between connections: static, since it outlives the server that published it. */
static const struct bh_mem_table no_memory = {NULL, 0};

/* The device is reset: let its memory go, as soon as no other change of it is under way. */
static void closing_goes_on(struct bh_vhost_user *server, enum bh_control control)
{
    const char *why;
    if (server->memory.changing || server->dev->controls >> BH_CONTROL_RESET & 1u)
        return;
    if (server->phase == BH_VU_IDLE || (server->phase == BH_VU_CLOSING_MEM && control != BH_CONTROL_MEM))
        return;
    if (server->phase == BH_VU_CLOSING_RESET) {
        server->dev->withheld = server->withheld;
        server->phase = BH_VU_CLOSING_MEM;
        if (!bh_vu_memory_stage_all(&server->memory, NULL, NULL, 0, &why)) /* emptying cannot fail */
            bh_device_mem_change(server->dev, &no_memory);
        return;
    }
    server->memory.lost = 0;
    server->phase = BH_VU_IDLE;
    bh_loop_defer(server->loop, &server->settled, settled);
}

/* --- what the device tells ------------------------------------------------------------------------------- */

static struct bh_vhost_user *server_of(struct bh_device *dev)
{
    return dev->transport_data;
}

static void queue_notify(struct bh_device *dev, struct bh_virtq *q)
{
    bh_vu_ring_notify(&server_of(dev)->rings[q->index]);
}

static void queue_wake(struct bh_device *dev, struct bh_virtq *q)
{
    bh_vu_ring_wake(&server_of(dev)->rings[q->index]);
}

static void needs_reset(struct bh_device *dev, struct bh_virtq *q, enum bh_broken reason)
{
    struct bh_vhost_user *server = server_of(dev);
    for (unsigned i = 0; i < dev->queue_count; i++)
        if (!q || q->index == i)
            bh_vu_ring_error(&server->rings[i]);
    if (q)
        bh_vu_say(server, "queue %u is broken: %s: the device needs a reset", q->index,
                  bh_broken_text(reason));
    else
        bh_vu_say(server, "%s: the device needs a reset", bh_broken_text(reason));
}

static void config_changed(struct bh_device *dev)
{
    bh_vu_config_changed(server_of(dev));
}

static void control_done(struct bh_device *dev, enum bh_control control, unsigned index, int result)
{
    struct bh_vhost_user *server = server_of(dev);
    if (control == BH_CONTROL_MEM)
        bh_vu_memory_commit(&server->memory);
    if (server->phase == BH_VU_SERVING)
        bh_vu_waited(server, control, index);
    else if (control == BH_CONTROL_RESET || control == BH_CONTROL_MEM)
        closing_goes_on(server, control);
}

/*
 * A kick is an eventfd: it carries no NOTIFICATION_DATA, and no place was given for NOTIF_CONFIG_DATA's either.
 * ACCESS_PLATFORM means IOVAs and an IOTLB on the back-end channel, SR_IOV and ADMIN_VQ are a bus's, SUSPEND is
 * status that front-ends do not forward. GET_FEATURES has room for 64 bits.
 */
static const struct bh_transport transport = {
    .name = "vhost-user",
    .cannot = {{(uint32_t)BH_VU_OWN_FEATURES,
                1u << (BH_F_ACCESS_PLATFORM - 32) | 1u << (BH_F_ORDER_PLATFORM - 32) |
                    1u << (BH_F_SR_IOV - 32) | 1u << (BH_F_NOTIFICATION_DATA - 32) |
                    1u << (BH_F_NOTIF_CONFIG_DATA - 32) | 1u << (BH_F_ADMIN_VQ - 32) |
                    1u << (BH_F_SUSPEND - 32),
                UINT32_MAX, UINT32_MAX}},
    .queue_notify = queue_notify,
    .queue_wake = queue_wake,
    .needs_reset = needs_reset,
    .config_changed = config_changed,
    .control_done = control_done,
};

/* --- the server's begin and end -------------------------------------------------------------------------- */

static int socket_option(int fd, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);
    return getsockopt(fd, SOL_SOCKET, option, &value, &size) ? -1 : value;
}

static int start(struct bh_vhost_user *server, int fd, bool listening)
{
    int err;
    if (!listening)
        return open_connection(server, fd);
    bh_vu_never_block(fd); /* accept must not wait for one that left again */
    err = bh_loop_fd_add(server->loop, &server->listen, fd, BH_LOOP_READ, accept_ready);
    if (err)
        server->listen.fd = -1;
    return err;
}

int bh_vhost_user_create(struct bh_loop *loop, struct bh_device *dev, int fd, const char *name,
                         struct bh_diag_sink *sink, struct bh_keeper *keeper,
                         const struct bh_vhost_user_owner *owner_ops, void *owner, struct bh_vhost_user **out)
{
    struct bh_vhost_user *server;
    int event, err = BH_ERR_NOMEM;
    if (socket_option(fd, SO_DOMAIN) != AF_UNIX || socket_option(fd, SO_TYPE) != SOCK_STREAM)
        return BH_ERR_INVAL;
    server = calloc(1, sizeof(*server));
    if (!server)
        return BH_ERR_NOMEM;
    server->rings = calloc(dev->queue_count, sizeof(*server->rings));
    if (!server->rings)
        goto free_server;
    server->loop = loop;
    server->dev = dev;
    server->name = name;
    server->sink = sink;
    server->owner_ops = owner_ops;
    server->owner = owner;
    server->withheld = dev->withheld;
    server->limit = (struct bh_diag_limit){.burst = SAY_BURST, .period_ms = SAY_PERIOD_MS};
    server->listen.fd = server->conn.fd = server->backend.fd = server->log.fd = -1;
    for (uint16_t i = 0; i < dev->queue_count; i++)
        bh_vu_ring_init(&server->rings[i], server, i);

    err = BH_ERR_IO;
    event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        goto free_rings;
    bh_vu_memory_init(&server->memory, event);
    err = bh_loop_fd_add(loop, &server->lost, event, BH_LOOP_READ, memory_lost);
    if (err)
        goto close_event;
    bh_device_attach(dev, &transport, server);
    err = start(server, fd, socket_option(fd, SO_ACCEPTCONN) == 1);
    if (err)
        goto detach;
    *out = server;
    return BH_OK;

detach:
    bh_device_detach(dev);
    bh_loop_fd_remove(&server->lost);
close_event:
    close(event);
free_rings:
    free(server->rings);
free_server:
    free(server);
    return err;
}

void bh_vhost_user_stop(struct bh_vhost_user *server)
{
    if (server->stopping)
        return;
    server->stopping = true;
    if (server->listen.fd >= 0) {
        bh_accept_cancel(&server->accept);
        bh_loop_fd_remove(&server->listen);
        close(server->listen.fd);
        server->listen.fd = -1;
    }
    if (server->phase == BH_VU_SERVING)
        bh_vu_close(server, NULL);
    else if (server->phase == BH_VU_IDLE)
        bh_loop_defer(server->loop, &server->settled, settled);
}

void bh_vhost_user_destroy(struct bh_vhost_user *server)
{
    if (!server)
        return;
    BH_ASSERT(server->stopped);
    bh_vu_memory_fini(&server->memory);
    bh_loop_fd_remove(&server->lost);
    close(server->lost.fd);
    free(server->rings);
    free(server);
}

const struct bh_vhost_user_counters *bh_vhost_user_counters(const struct bh_vhost_user *server)
{
    return &server->counters;
}
