/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server does with each vhost-user message. Every handler either answers, refuses (well formed, but not
 * possible: an error acknowledgement where one was asked for, else the end of the connection), or starts an operation
 * of the device and waits. The table for readers is docs/transport-vhost-user.md.
 */
#include "transports/vhost_user/server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum result {
    DONE,     /* acknowledge success */
    ANSWERED, /* a reply is laid out */
    WAITING,  /* bh_vu_waited goes on */
    REFUSED,  /* *why says it */
};

/* A refusal's words go up by a static pointer; nothing else is told. */
static enum result refuse(const char **why, const char *text)
{
    *why = text;
    return REFUSED;
}

static enum result answer_u64(struct bh_vhost_user *server, uint64_t value)
{
    bh_vu_wire_reply(&server->wire, server->pending.request, &value, sizeof(value));
    return ANSWERED;
}

static struct bh_vu_ring *ring_of(struct bh_vhost_user *server, uint32_t index)
{
    return index < server->dev->queue_count ? &server->rings[index] : NULL;
}

static bool any_started(const struct bh_vhost_user *server)
{
    for (unsigned i = 0; i < server->dev->queue_count; i++)
        if (server->rings[i].started)
            return true;
    return false;
}

/* --- features -------------------------------------------------------------------------------------------- */

static uint64_t offered_protocol_features(const struct bh_vhost_user *server)
{
    uint64_t bits = 1u << VHOST_USER_PROTOCOL_F_MQ | 1u << VHOST_USER_PROTOCOL_F_REPLY_ACK |
                    1u << VHOST_USER_PROTOCOL_F_BACKEND_REQ | 1u << VHOST_USER_PROTOCOL_F_RESET_DEVICE |
                    1u << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS | 1u << VHOST_USER_PROTOCOL_F_STATUS;
    if (bh_device_config_size(server->dev))
        bits |= 1u << VHOST_USER_PROTOCOL_F_CONFIG;
    return bits;
}

/*
 * A driver must not accept a feature that it was not offered [virtio-1.4 2.2.1], and a back-end says so by an error
 * acknowledgement. Some front-ends decide about ring features by themselves, though, and never ask for one (QEMU
 * 7.2's rng and vsock bring RING_PACKED unasked): their driver has laid its rings by then, and a device that reads
 * them in another form serves nobody. So bits that were only withheld, and that class, rings and transport can carry,
 * are taken, counted and said, unless the front-end asked for an acknowledgement and can act on an error.
 */
static bool accept_withheld(struct bh_vhost_user *server, const struct bh_features *features)
{
    struct bh_device *dev = server->dev;
    const struct bh_features offered = bh_device_offered(dev), before = dev->withheld;
    const struct bh_features extra = bh_features_minus(*features, offered);
    server->counters.unasked_features++;
    bh_vu_say(server, "SET_FEATURES brings bits that were never offered: 0x%llx",
              (unsigned long long)bh_features_low64(&extra));
    if (server->pending.need_reply)
        return false;
    dev->withheld = bh_features_minus(before, extra);
    if (bh_device_accept(dev, features) == BH_OK)
        return true;
    dev->withheld = before;
    return false;
}

static enum result accept_features(struct bh_vhost_user *server, const char **why)
{
    const struct bh_features features =
        bh_features_of64(server->pending.u64 & ~(UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES));
    int err = bh_device_accept(server->dev, &features);
    if (err == BH_ERR_INVAL && accept_withheld(server, &features))
        err = BH_OK;
    if (err)
        return refuse(why, "features that the device does not have");
    server->protocol_negotiated = server->pending.u64 >> VHOST_USER_F_PROTOCOL_FEATURES & 1u;
    /* "If VHOST_USER_F_PROTOCOL_FEATURES has not been negotiated, the ring starts directly in the enabled state." */
    for (unsigned i = 0; !server->protocol_negotiated && i < server->dev->queue_count; i++) {
        server->rings[i].enabled = true;
        bh_vu_ring_try_start(&server->rings[i]);
    }
    return DONE;
}

static enum result set_features(struct bh_vhost_user *server, const char **why)
{
    struct bh_device *dev = server->dev;
    const uint64_t bits = server->pending.u64 & ~(UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES);
    const bool same = bits == bh_features_low64(&dev->acked);
    const bool spoilt = bh_device_status(dev) & BH_STATUS_NEEDS_RESET;
    if (!dev->features_done)
        return accept_features(server, why);
    /* A front-end tells the features at each start, also when it only stopped for a while: nothing to do. */
    if (any_started(server))
        return same ? DONE : refuse(why, "other features while rings run");
    if (same && !spoilt)
        return DONE;
    /* Without the STATUS protocol feature this is how a driver that begins anew shows. */
    server->waiting = BH_VU_WAIT_FEATURES;
    bh_device_reset(dev);
    return WAITING;
}

static enum result set_protocol_features(struct bh_vhost_user *server, const char **why)
{
    if (server->pending.u64 & ~offered_protocol_features(server))
        return refuse(why, "protocol features that were never offered");
    server->protocol_features = server->pending.u64;
    return DONE;
}

static enum result set_status(struct bh_vhost_user *server, const char **why)
{
    if (server->pending.u64 > UINT8_MAX)
        return refuse(why, "a status of more than 8 bits");
    if (server->pending.u64) {
        bh_device_set_status(server->dev, (uint8_t)server->pending.u64);
        return DONE;
    }
    server->waiting = BH_VU_WAIT_RESET;
    bh_device_set_status(server->dev, 0);
    return WAITING;
}

/* --- memory ---------------------------------------------------------------------------------------------- */

static enum result change_memory(struct bh_vhost_user *server, const char **why)
{
    struct bh_vu_message *message = &server->pending;
    struct bh_vu_memory *memory = &server->memory;
    int err;
    if (message->request == VHOST_USER_SET_MEM_TABLE)
        err = bh_vu_memory_stage_all(memory, message->table.regions, server->wire.fds,
                                     message->table.region_count, why);
    else if (message->request == VHOST_USER_ADD_MEM_REG)
        err = bh_vu_memory_stage_add(memory, &message->region, server->wire.fds[0], why);
    else
        err = bh_vu_memory_stage_remove(memory, &message->region, why);
    if (err)
        return REFUSED;
    server->waiting = BH_VU_WAIT_MEM;
    bh_device_mem_change(server->dev, bh_vu_memory_staged(memory));
    return WAITING;
}

/* --- rings ----------------------------------------------------------------------------------------------- */

static enum result set_vring_state(struct bh_vhost_user *server, struct bh_vu_ring *ring, const char **why)
{
    const uint32_t value = server->pending.state.num;
    if (ring->started)
        return refuse(why, "a ring's size or base while it runs");
    if (server->pending.request == VHOST_USER_SET_VRING_BASE) {
        ring->base = value;
    } else {
        if (!value || value > server->dev->queues[ring->index].memory.size_max)
            return refuse(why, "a ring size that the queue cannot have");
        ring->size = value;
    }
    bh_vu_ring_try_start(ring);
    return DONE;
}

/* On a ring that runs only the log flag and its address may change ["Migration"]. */
static enum result set_vring_addr(struct bh_vhost_user *server, struct bh_vu_ring *ring, const char **why)
{
    const struct vhost_user_vring_addr *addr = &server->pending.addr;
    if (ring->started && (addr->descriptor != ring->addr.descriptor ||
                          addr->available != ring->addr.available || addr->used != ring->addr.used))
        return refuse(why, "a ring's addresses while it runs");
    ring->addr = *addr;
    ring->has_addr = true;
    bh_vu_ring_try_start(ring);
    return DONE;
}

static enum result set_vring_fd(struct bh_vhost_user *server, struct bh_vu_ring *ring, const char **why)
{
    const int fd = bh_vu_wire_take_fd(&server->wire, 0);
    switch (server->pending.request) {
    case VHOST_USER_SET_VRING_KICK:
        if (bh_vu_ring_set_kick(ring, fd))
            return refuse(why, "a kick fd that cannot be waited for");
        break;
    case VHOST_USER_SET_VRING_CALL: bh_vu_ring_set_call(ring, fd); break;
    default: bh_vu_ring_set_err(ring, fd); break;
    }
    return DONE;
}

static enum result stop_ring(struct bh_vhost_user *server, struct bh_vu_ring *ring, enum bh_vu_wait wait)
{
    server->waiting = wait;
    server->pending_ring = ring->index;
    bh_device_queue_stop(server->dev, ring->index);
    return WAITING;
}

static enum result answer_base(struct bh_vhost_user *server, struct bh_vu_ring *ring)
{
    const struct vhost_user_vring_state state = {.index = ring->index, .num = ring->base};
    /* Its answer ends the front-end's use of the ring: it starts again with SET_VRING_KICK. */
    bh_vu_ring_drop_kick(ring);
    bh_vu_wire_reply(&server->wire, server->pending.request, &state, sizeof(state));
    return ANSWERED;
}

static enum result set_enable(struct bh_vhost_user *server, struct bh_vu_ring *ring, const char **why)
{
    if (server->pending.state.num > 1)
        return refuse(why, "neither enable nor disable");
    ring->enabled = server->pending.state.num == 1;
    if (!ring->enabled && ring->started)
        return stop_ring(server, ring, BH_VU_WAIT_DISABLE);
    bh_vu_ring_try_start(ring);
    return DONE;
}

/* RESET_OWNER: "back-ends either ignore this message, or use it to disable all rings". One stop after the other. */
static enum result disable_from(struct bh_vhost_user *server, unsigned index)
{
    for (; index < server->dev->queue_count; index++) {
        struct bh_vu_ring *ring = &server->rings[index];
        ring->enabled = false;
        if (ring->started)
            return stop_ring(server, ring, BH_VU_WAIT_DISABLE_ALL);
    }
    return DONE;
}

static enum result ring_request(struct bh_vhost_user *server, const char **why)
{
    struct bh_vu_message *message = &server->pending;
    struct bh_vu_ring *ring;
    uint32_t index = message->state.index; /* addr.index is the same word */
    if (message->request >= VHOST_USER_SET_VRING_KICK && message->request <= VHOST_USER_SET_VRING_ERR)
        index = message->vring_fd.index;
    ring = ring_of(server, index);
    if (!ring)
        return refuse(why, "a queue that the device does not have");
    switch (message->request) {
    case VHOST_USER_SET_VRING_NUM:
    case VHOST_USER_SET_VRING_BASE: return set_vring_state(server, ring, why);
    case VHOST_USER_SET_VRING_ADDR: return set_vring_addr(server, ring, why);
    case VHOST_USER_GET_VRING_BASE:
        return ring->started ? stop_ring(server, ring, BH_VU_WAIT_BASE) : answer_base(server, ring);
    case VHOST_USER_SET_VRING_ENABLE: return set_enable(server, ring, why);
    default: return set_vring_fd(server, ring, why);
    }
}

/* --- config ---------------------------------------------------------------------------------------------- */

static enum result get_config(struct bh_vhost_user *server)
{
    struct {
        struct vhost_user_config_header head;
        uint8_t bytes[VHOST_USER_CONFIG_MAX];
    } reply = {.head = server->pending.config.head};
    bh_device_config_read(server->dev, reply.head.offset, reply.bytes, reply.head.size);
    bh_vu_wire_reply(&server->wire, server->pending.request, &reply,
                     (uint32_t)sizeof(reply.head) + reply.head.size);
    return ANSWERED;
}

static enum result set_config(struct bh_vhost_user *server, const char **why)
{
    const struct bh_vu_message *message = &server->pending;
    if (message->config.head.flags > VHOST_USER_CONFIG_MIGRATION)
        return refuse(why, "flags that have no meaning");
    if (bh_device_config_write(server->dev, message->config.head.offset, message->config.bytes,
                               message->config.head.size))
        return refuse(why, "config space that is not writable");
    return DONE;
}

static void backend_ready(struct bh_loop_fd *watch, uint32_t events);

static void drop_backend_channel(struct bh_vhost_user *server)
{
    bh_loop_fd_remove(&server->backend);
    close(server->backend.fd);
    server->backend.fd = -1;
    server->config_change_due = false;
}

/* Tell of a changed config, now or when the channel has room; several changes are one message. */
static void send_config_change(struct bh_vhost_user *server)
{
    int err = bh_vu_wire_config_change(server->backend.fd);
    if (err == BH_ERR_CLOSED) {
        drop_backend_channel(server);
        return;
    }
    server->config_change_due = err != BH_OK;
    bh_loop_fd_want(&server->backend, BH_LOOP_READ | (err ? BH_LOOP_WRITE : 0));
}

/* We ask for no replies; whatever is said on the channel is read and dropped, so that it cannot fill up. */
static void backend_ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_vhost_user *server = BH_LOOP_OWNER(watch, struct bh_vhost_user, backend);
    uint8_t ignored[256];
    const ssize_t got = events & BH_LOOP_WRITE ? 1 : recv(watch->fd, ignored, sizeof(ignored), MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        drop_backend_channel(server);
        return;
    }
    if (server->config_change_due)
        send_config_change(server);
}

void bh_vu_config_changed(struct bh_vhost_user *server)
{
    if (server->backend.fd >= 0 && bh_vu_has(server, VHOST_USER_PROTOCOL_F_CONFIG))
        send_config_change(server);
}

static enum result set_backend_channel(struct bh_vhost_user *server, const char **why)
{
    const int fd = bh_vu_wire_take_fd(&server->wire, 0);
    bh_vu_close_backend(server);
    bh_vu_never_block(fd);
    if (bh_loop_fd_add(server->loop, &server->backend, fd, BH_LOOP_READ, backend_ready)) {
        close(fd);
        server->backend.fd = -1;
        return refuse(why, "a channel that cannot be waited for");
    }
    return DONE;
}

void bh_vu_close_backend(struct bh_vhost_user *server)
{
    if (server->backend.fd >= 0)
        drop_backend_channel(server);
}

/* --- all of them ----------------------------------------------------------------------------------------- */

static enum result dispatch(struct bh_vhost_user *server, const char **why)
{
    const struct bh_features offered = bh_device_offered(server->dev);
    switch (server->pending.request) {
    case VHOST_USER_GET_FEATURES:
        return answer_u64(server, bh_features_low64(&offered) | UINT64_C(1)
                                                                    << VHOST_USER_F_PROTOCOL_FEATURES);
    case VHOST_USER_SET_FEATURES: return set_features(server, why);
    case VHOST_USER_GET_PROTOCOL_FEATURES: return answer_u64(server, offered_protocol_features(server));
    case VHOST_USER_SET_PROTOCOL_FEATURES: return set_protocol_features(server, why);
    case VHOST_USER_SET_OWNER: return DONE; /* a session starts with its connection */
    case VHOST_USER_RESET_OWNER: return disable_from(server, 0);
    case VHOST_USER_SET_MEM_TABLE:
    case VHOST_USER_ADD_MEM_REG:
    case VHOST_USER_REM_MEM_REG: return change_memory(server, why);
    case VHOST_USER_GET_MAX_MEM_SLOTS: return answer_u64(server, BH_VU_REGIONS_MAX);
    case VHOST_USER_GET_QUEUE_NUM: return answer_u64(server, server->dev->queue_count);
    case VHOST_USER_SET_VRING_NUM:
    case VHOST_USER_SET_VRING_ADDR:
    case VHOST_USER_SET_VRING_BASE:
    case VHOST_USER_GET_VRING_BASE:
    case VHOST_USER_SET_VRING_KICK:
    case VHOST_USER_SET_VRING_CALL:
    case VHOST_USER_SET_VRING_ERR:
    case VHOST_USER_SET_VRING_ENABLE: return ring_request(server, why);
    case VHOST_USER_GET_CONFIG: return get_config(server);
    case VHOST_USER_SET_CONFIG: return set_config(server, why);
    case VHOST_USER_SET_BACKEND_REQ_FD: return set_backend_channel(server, why);
    case VHOST_USER_RESET_DEVICE:
        server->waiting = BH_VU_WAIT_RESET;
        bh_device_reset(server->dev);
        return WAITING;
    case VHOST_USER_SET_STATUS: return set_status(server, why);
    case VHOST_USER_GET_STATUS: return answer_u64(server, bh_device_status(server->dev));
    default: return refuse(why, "a request that is not served");
    }
}

static void settle(struct bh_vhost_user *server, enum result result, const char *why)
{
    const struct bh_vu_message *message = &server->pending;
    const bool may_answer = message->need_reply && bh_vu_has(server, VHOST_USER_PROTOCOL_F_REPLY_ACK);
    if (result == WAITING) {
        bh_vu_flush(server); /* read no more until then (or go on, if it has happened already) */
        return;
    }
    server->waiting = BH_VU_WAIT_NONE;
    if (result == REFUSED) {
        server->counters.refused++;
        bh_vu_say(server, "%s (%u) refused: %s", bh_vu_request_name(message->request), message->request, why);
    }
    if (result != ANSWERED && may_answer && !message->has_answer) {
        answer_u64(server, result == REFUSED);
    } else if (result == REFUSED) {
        bh_vu_close(server, "the front-end cannot be told of the refusal");
        return;
    }
    bh_vu_wire_close_fds(&server->wire);
    bh_vu_flush(server);
}

void bh_vu_handle(struct bh_vhost_user *server)
{
    const char *why = NULL;
    const unsigned gate = server->pending.protocol_feature;
    enum result result;
    server->counters.messages++;
    if (!server->pending.known)
        result = refuse(&why, "a request that is not known");
    else if (gate != BH_VU_UNGATED && !(offered_protocol_features(server) >> gate & 1u))
        result = refuse(&why, "its protocol feature is not offered");
    else
        result = dispatch(server, &why);
    settle(server, result, why);
}

/* The driver's side of a reset: rings begin anew, by SET_VRING_KICK. The call fds stay, QEMU tells them only once. */
static void reset_rings(struct bh_vhost_user *server, bool disable)
{
    for (unsigned i = 0; i < server->dev->queue_count; i++) {
        struct bh_vu_ring *ring = &server->rings[i];
        bh_vu_ring_clear(ring, false);
        bh_vu_ring_drop_kick(ring);
        ring->base = 0;
        if (disable)
            ring->enabled = false;
    }
}

void bh_vu_waited(struct bh_vhost_user *server, enum bh_control control, unsigned index)
{
    struct bh_vu_ring *ring = &server->rings[server->pending_ring];
    const char *why = NULL;
    enum result result = DONE;
    switch (server->waiting) {
    case BH_VU_WAIT_MEM:
        if (control != BH_CONTROL_MEM)
            return;
        for (unsigned i = 0; i < server->dev->queue_count; i++)
            bh_vu_ring_try_start(&server->rings[i]);
        break;
    case BH_VU_WAIT_BASE:
    case BH_VU_WAIT_DISABLE:
    case BH_VU_WAIT_DISABLE_ALL:
        if (control != BH_CONTROL_QUEUE_STOP || index != server->pending_ring)
            return;
        bh_vu_ring_stopped(ring);
        if (server->waiting == BH_VU_WAIT_BASE)
            result = answer_base(server, ring);
        else if (server->waiting == BH_VU_WAIT_DISABLE_ALL)
            result = disable_from(server, server->pending_ring + 1);
        break;
    case BH_VU_WAIT_RESET:
    case BH_VU_WAIT_FEATURES:
        if (control != BH_CONTROL_RESET)
            return;
        reset_rings(server, server->pending.request == VHOST_USER_RESET_DEVICE);
        if (server->waiting == BH_VU_WAIT_FEATURES)
            result = accept_features(server, &why);
        break;
    case BH_VU_WAIT_NONE: return;
    }
    settle(server, result, why);
}
