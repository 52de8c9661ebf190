/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a vhost-user server: accepting, reading, ending connections, and what the device tells its transport.
 *
 * #syscalls getsockopt setsockopt shutdown read
 */
#include "transports/vhost_user/server.h"
#include "transports/vhost_user/guard.h"

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
    if (server->phase != BH_VU_SERVING || server->hanging_up)
        return;
    if (bh_vu_wire_sending(server))
        err = bh_vu_wire_send(server);
    if (err == BH_ERR_CLOSED) {
        bh_vu_close(server, NULL);
        return;
    }
    bh_loop_fd_want(&server->conn, err ? BH_LOOP_WRITE : server->waiting ? 0 : BH_LOOP_READ);
}

static void serve_messages(struct bh_vhost_user *server)
{
    for (unsigned i = 0; i < MESSAGES_PER_ROUND; i++) {
        const char *why;
        int err;
        if (server->phase != BH_VU_SERVING || server->hanging_up || server->waiting ||
            bh_vu_wire_sending(server))
            return;
        err = bh_vu_wire_receive(server, &server->pending, &why);
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

static void conn_ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_vhost_user *server = BH_LOOP_OWNER(watch, struct bh_vhost_user, conn);
    if (events & BH_LOOP_WRITE)
        bh_vu_flush(server);
    /* While we wait nobody reads, and a peer that left would be told again and again. */
    else if ((server->waiting || bh_vu_wire_sending(server)) && events & (BH_LOOP_HUP | BH_LOOP_ERR))
        bh_vu_close(server, NULL);
    serve_messages(server);
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

static int watch_connection(struct bh_vhost_user *server, int fd, uint32_t id)
{
    /* What would come along with bytes and is no fd; the journal tells by MSG_CTRUNC whether fds came. */
    static const int along[] = {SO_PASSCRED, SO_PASSSEC};
    for (unsigned i = 0; i < BH_COUNT(along); i++)
        (void)setsockopt(fd, SOL_SOCKET, along[i], &(int){0}, sizeof(int));
    bh_vu_never_block(fd);
    bh_vu_wire_init(&server->wire);
    server->protocol_features = 0;
    server->protocol_negotiated = false;
    server->waiting = BH_VU_WAIT_NONE;
    if (bh_loop_fd_add(server->loop, &server->conn, fd, BH_LOOP_READ, conn_ready)) {
        server->conn.fd = -1;
        return BH_ERR_IO;
    }
    server->conn_id = id;
    server->phase = BH_VU_SERVING;
    server->counters.connections++;
    if (server->owner_ops->connected)
        server->owner_ops->connected(server, server->owner, true);
    return BH_OK;
}

static int open_connection(struct bh_vhost_user *server, int fd)
{
    int err;
    server->journal.spoilt = false;
    server->is_resumed = false;
    err = watch_connection(server, fd, bh_vu_journal_keep(server, fd));
    bh_vu_journal_commit(server);
    return err;
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

static void hang_up(struct bh_loop_work *work)
{
    bh_vu_close(BH_LOOP_OWNER(work, struct bh_vhost_user, hang_up), NULL);
}

void bh_vu_close(struct bh_vhost_user *server, const char *why)
{
    if (server->phase != BH_VU_SERVING)
        return;
    if (why)
        bh_vu_say(server, "%s: the connection is closed", why);
    if (server->in_control) { /* a close resets the device, and no class expects that of its push */
        server->hanging_up = true;
        bh_loop_fd_want(&server->conn, 0);
        bh_loop_defer(server->loop, &server->hang_up, hang_up);
        return;
    }
    server->hanging_up = false;
    bh_loop_work_cancel(&server->hang_up);
    bh_loop_work_cancel(&server->resumed);
    bh_loop_fd_remove(&server->conn);
    /* Whoever keeps a duplicate must not keep the peer waiting. */
    (void)shutdown(server->conn.fd, SHUT_RDWR);
    close(server->conn.fd);
    server->conn.fd = -1;
    bh_vu_wire_close_fds(&server->wire);
    bh_vu_wire_drop_reply_fd(&server->wire);
    server->wire.reply_size = 0;
    bh_vu_close_backend(server);
    bh_vu_log_forget(server);
    bh_vu_state_forget(server);
    for (unsigned i = 0; i < server->dev->queue_count; i++)
        bh_vu_ring_clear(&server->rings[i], true);
    server->waiting = BH_VU_WAIT_NONE;
    server->phase = BH_VU_CLOSING_RESET;
    bh_vu_journal_commit(server);
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
        bh_vu_inflight_forget(server);
        bh_vu_iommu_detach(server);
        server->phase = BH_VU_CLOSING_MEM;
        if (!bh_vu_memory_stage_all(&server->memory, NULL, NULL, NULL, 0, &why)) /* emptying cannot fail */
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
    if (server->phase == BH_VU_SERVING) {
        const bool nested = server->in_control;
        server->in_control = true;
        bh_vu_waited(server, control, index);
        server->in_control = nested;
    } else if (control == BH_CONTROL_RESET || control == BH_CONTROL_MEM)
        closing_goes_on(server, control);
}

/*
 * A kick is an eventfd: it carries no NOTIFICATION_DATA, and no place was given for NOTIF_CONFIG_DATA's either.
 * SR_IOV and ADMIN_VQ are a bus's, SUSPEND is status that front-ends do not forward. GET_FEATURES has room for 64 bits.
 * ACCESS_PLATFORM is ours to carry: IOVAs, and an IOTLB on the back-end channel (iommu.c).
 */
static const struct bh_transport transport = {
    .name = "vhost-user",
    .cannot = {{(uint32_t)BH_VU_OWN_FEATURES,
                1u << (BH_F_ORDER_PLATFORM - 32) | 1u << (BH_F_SR_IOV - 32) |
                    1u << (BH_F_NOTIFICATION_DATA - 32) | 1u << (BH_F_NOTIF_CONFIG_DATA - 32) |
                    1u << (BH_F_ADMIN_VQ - 32) | 1u << (BH_F_SUSPEND - 32),
                UINT32_MAX, UINT32_MAX}},
    .offers = {{0, 1u << (BH_F_ACCESS_PLATFORM - 32), 0, 0}},
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

static bool is_stream(int fd)
{
    return socket_option(fd, SO_DOMAIN) == AF_UNIX && socket_option(fd, SO_TYPE) == SOCK_STREAM;
}

static void handle_resumed(struct bh_loop_work *work)
{
    serve_messages(BH_LOOP_OWNER(work, struct bh_vhost_user, resumed));
}

/* Go on with the connection that a former process served. Where that is not possible it ends, as any other. */
static void resume(struct bh_vhost_user *server)
{
    const uint32_t id = bh_vu_journal_now(&server->journal)->conn_id;
    const int fd = bh_vu_journal_fd(&server->journal, id);
    const char *why = NULL;
    if (fd < 0 || !is_stream(fd) || watch_connection(server, fd, id)) {
        if (fd >= 0)
            close(fd);
        bh_vu_say(server, "the connection of a former process was not kept");
        bh_vu_journal_commit(server);
        bh_loop_defer(server->loop, &server->settled, settled);
        return;
    }
    server->is_resumed = true;
    if (bh_vu_image_restore(server, &why)) {
        bh_vu_say(server, "the connection of a former process cannot be gone on with");
        bh_vu_close(server, why);
        return;
    }
    server->counters.resumed++;
    bh_vu_flush(server);
    if (server->phase != BH_VU_SERVING)
        return;
    /* What it was about to tell of its config is not known, nor what it was: ask the front-end to look. */
    if (bh_device_status(server->dev) & BH_STATUS_DRIVER_OK)
        bh_vu_config_changed(server);
    bh_loop_defer(server->loop, &server->resumed, handle_resumed);
}

/* Is `fd` the connection that a former process served? */
static bool is_resumable(const struct bh_vhost_user *server, int fd)
{
    uint64_t ours = 0, former = 0;
    socklen_t size = sizeof(ours);
    int kept;
    bool same;
    if (!server->journal.resumable)
        return false;
    kept = bh_vu_journal_fd(&server->journal, bh_vu_journal_now(&server->journal)->conn_id);
    same = kept >= 0 && !getsockopt(fd, SOL_SOCKET, SO_COOKIE, &ours, &size) &&
           !getsockopt(kept, SOL_SOCKET, SO_COOKIE, &former, &size) && ours == former;
    if (kept >= 0)
        close(kept);
    return same;
}

static int start(struct bh_vhost_user *server, int fd)
{
    const bool listening = fd >= 0 && socket_option(fd, SO_ACCEPTCONN) == 1;
    const bool client = fd == BH_VHOST_USER_CLIENT;
    int err = BH_OK;
    if (fd >= 0 && !listening) {
        if (!is_resumable(server, fd))
            return open_connection(server, fd);
        close(fd); /* the journal has it */
    }
    if (listening) {
        bh_vu_never_block(fd); /* accept must not wait for one that left again */
        err = bh_loop_fd_add(server->loop, &server->listen, fd, BH_LOOP_READ, accept_ready);
        if (err) {
            server->listen.fd = -1;
            return err;
        }
    }
    if (fd < 0 && !client && !server->journal.resumable)
        return BH_ERR_NOENT;
    if (server->journal.resumable)
        resume(server);
    else if (client)
        bh_loop_defer(server->loop, &server->settled, settled);
    if (server->phase != BH_VU_IDLE && listening)
        bh_loop_fd_want(&server->listen, 0);
    return BH_OK;
}

static int allocate_rings(struct bh_vhost_user *server)
{
    struct bh_device *dev = server->dev;
    server->rings = calloc(dev->queue_count, sizeof(*server->rings));
    server->records = calloc(dev->queue_count, sizeof(*server->records));
    if (!server->rings || !server->records)
        return BH_ERR_NOMEM;
    for (uint16_t i = 0; i < dev->queue_count; i++) {
        bh_vu_ring_init(&server->rings[i], server, i);
        server->records[i].resubmit = calloc(dev->queues[i].memory.size_max, sizeof(uint16_t));
        if (!server->records[i].resubmit)
            return BH_ERR_NOMEM;
    }
    return BH_OK;
}

static void free_server(struct bh_vhost_user *server)
{
    for (uint16_t i = 0; server->records && i < server->dev->queue_count; i++)
        free(server->records[i].resubmit);
    free(server->records);
    free(server->rings);
    free(server);
}

int bh_vhost_user_create(struct bh_loop *loop, struct bh_device *dev, int fd, const char *name,
                         struct bh_diag_sink *sink, struct bh_keeper *keeper,
                         const struct bh_vhost_user_owner *owner_ops, void *owner, struct bh_vhost_user **out)
{
    struct bh_vhost_user *server;
    int event, err = BH_ERR_NOMEM;
    if (fd >= 0 ? !is_stream(fd) : !keeper && fd != BH_VHOST_USER_CLIENT)
        return BH_ERR_INVAL;
    server = calloc(1, sizeof(*server));
    if (!server)
        return BH_ERR_NOMEM;
    server->loop = loop;
    server->dev = dev;
    server->name = name;
    server->sink = sink;
    server->owner_ops = owner_ops;
    server->owner = owner;
    server->withheld = dev->withheld;
    server->limit = (struct bh_diag_limit){.burst = SAY_BURST, .period_ms = SAY_PERIOD_MS};
    server->listen.fd = server->conn.fd = server->backend.fd = server->log.fd = server->state.fd = -1;
    server->journal.keeper = keeper;
    if (allocate_rings(server))
        goto free_it;

    err = bh_vu_guard_install();
    if (err)
        goto free_it;
    err = BH_ERR_IO;
    event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        goto free_it;
    bh_vu_memory_init(&server->memory, event);
    err = bh_loop_fd_add(loop, &server->lost, event, BH_LOOP_READ, memory_lost);
    if (err)
        goto close_event;
    err = bh_vu_journal_open(server);
    if (err)
        goto remove_event;
    bh_device_attach(dev, &transport, server);
    bh_vu_journal_lend(server);
    err = start(server, fd);
    if (err)
        goto detach;
    *out = server;
    return BH_OK;

detach:
    bh_device_detach(dev);
    bh_vu_journal_close(server);
remove_event:
    bh_loop_fd_remove(&server->lost);
close_event:
    close(event);
free_it:
    free_server(server);
    return err;
}

int bh_vhost_user_connect(struct bh_vhost_user *server, int fd)
{
    if (server->phase != BH_VU_IDLE || server->stopping || server->listen.fd >= 0)
        return BH_ERR_BUSY;
    return is_stream(fd) ? open_connection(server, fd) : BH_ERR_INVAL;
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
    bh_vu_journal_close(server);
    bh_loop_fd_remove(&server->lost);
    close(server->lost.fd);
    free_server(server);
}

const struct bh_vhost_user_counters *bh_vhost_user_counters(const struct bh_vhost_user *server)
{
    return &server->counters;
}
