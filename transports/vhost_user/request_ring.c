/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages that concern one ring: its size, place and position, its fds, and what starts and stops it.
 */
#include "transports/vhost_user/request.h"

static struct bh_vu_ring *ring_of(struct bh_vhost_user *server, uint32_t index)
{
    return index < server->dev->queue_count ? &server->rings[index] : NULL;
}

static enum bh_vu_result set_vring_state(struct bh_vhost_user *server, struct bh_vu_ring *ring,
                                         const char **why)
{
    const uint32_t value = server->pending.state.num;
    if (ring->started)
        return bh_vu_refuse(why, "a ring's size or base while it runs");
    if (server->pending.request == VHOST_USER_SET_VRING_BASE) {
        ring->base = value;
    } else {
        if (!value || value > server->dev->queues[ring->index].memory.size_max)
            return bh_vu_refuse(why, "a ring size that the queue cannot have");
        ring->size = value;
    }
    bh_vu_ring_try_start(ring);
    return BH_VU_DONE;
}

/* On a ring that runs only the log flag and its address may change ["Migration"]. */
static enum bh_vu_result set_vring_addr(struct bh_vhost_user *server, struct bh_vu_ring *ring,
                                        const char **why)
{
    const struct vhost_user_vring_addr *addr = &server->pending.addr;
    if (ring->started && (addr->descriptor != ring->addr.descriptor ||
                          addr->available != ring->addr.available || addr->used != ring->addr.used))
        return bh_vu_refuse(why, "a ring's addresses while it runs");
    ring->addr = *addr;
    ring->has_addr = true;
    bh_vu_ring_try_start(ring);
    return BH_VU_DONE;
}

static enum bh_vu_result set_vring_fd(struct bh_vhost_user *server, struct bh_vu_ring *ring, const char **why)
{
    const int fd = bh_vu_wire_take_fd(&server->wire, 0);
    const uint32_t id = server->wire.fd_ids[0];
    switch (server->pending.request) {
    case VHOST_USER_SET_VRING_KICK:
        if (bh_vu_ring_set_kick(ring, fd, id))
            return bh_vu_refuse(why, "a kick fd that cannot be waited for");
        break;
    case VHOST_USER_SET_VRING_CALL: bh_vu_ring_set_call(ring, fd, id); break;
    default: bh_vu_ring_set_err(ring, fd, id); break;
    }
    return BH_VU_DONE;
}

static enum bh_vu_result stop_ring(struct bh_vhost_user *server, struct bh_vu_ring *ring,
                                   enum bh_vu_wait wait)
{
    server->waiting = wait;
    server->pending_ring = ring->index;
    bh_device_queue_stop(server->dev, ring->index);
    return BH_VU_WAITING;
}

enum bh_vu_result bh_vu_answer_base(struct bh_vhost_user *server, struct bh_vu_ring *ring)
{
    const struct vhost_user_vring_state state = {.index = ring->index, .num = ring->base};
    /* Its answer ends the front-end's use of the ring: it starts again with SET_VRING_KICK. */
    bh_vu_ring_drop_kick(ring);
    bh_vu_wire_reply(&server->wire, server->pending.request, &state, sizeof(state));
    return BH_VU_ANSWERED;
}

static enum bh_vu_result set_enable(struct bh_vhost_user *server, struct bh_vu_ring *ring, const char **why)
{
    if (server->pending.state.num > 1)
        return bh_vu_refuse(why, "neither enable nor disable");
    ring->enabled = server->pending.state.num == 1;
    if (!ring->enabled && ring->started)
        return stop_ring(server, ring, BH_VU_WAIT_DISABLE);
    bh_vu_ring_try_start(ring);
    return BH_VU_DONE;
}

static enum bh_vu_result kick_in_band(struct bh_vhost_user *server, struct bh_vu_ring *ring, const char **why)
{
    if (!bh_vu_has(server, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS))
        return bh_vu_refuse(why, "its protocol feature was not negotiated");
    if (server->pending.state.num)
        return bh_vu_refuse(why, "bits that have no meaning");
    bh_vu_ring_kick_in_band(ring);
    return BH_VU_DONE;
}

/* RESET_OWNER: "back-ends either ignore this message, or use it to disable all rings". One stop after the other. */
enum bh_vu_result bh_vu_disable_from(struct bh_vhost_user *server, unsigned index)
{
    for (; index < server->dev->queue_count; index++) {
        struct bh_vu_ring *ring = &server->rings[index];
        ring->enabled = false;
        if (ring->started)
            return stop_ring(server, ring, BH_VU_WAIT_DISABLE_ALL);
    }
    return BH_VU_DONE;
}

enum bh_vu_result bh_vu_ring_request(struct bh_vhost_user *server, const char **why)
{
    struct bh_vu_message *message = &server->pending;
    struct bh_vu_ring *ring;
    uint32_t index = message->state.index; /* addr.index is the same word */
    if (message->request >= VHOST_USER_SET_VRING_KICK && message->request <= VHOST_USER_SET_VRING_ERR)
        index = message->vring_fd.index;
    ring = ring_of(server, index);
    if (!ring)
        return bh_vu_refuse(why, "a queue that the device does not have");
    switch (message->request) {
    case VHOST_USER_SET_VRING_NUM:
    case VHOST_USER_SET_VRING_BASE: return set_vring_state(server, ring, why);
    case VHOST_USER_SET_VRING_ADDR: return set_vring_addr(server, ring, why);
    case VHOST_USER_GET_VRING_BASE:
        return ring->started ? stop_ring(server, ring, BH_VU_WAIT_BASE) : bh_vu_answer_base(server, ring);
    case VHOST_USER_SET_VRING_ENABLE: return set_enable(server, ring, why);
    case VHOST_USER_VRING_KICK: return kick_in_band(server, ring, why);
    default: return set_vring_fd(server, ring, why);
    }
}
