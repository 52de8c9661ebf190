/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notifications as messages, for front-ends that must know when each one was processed: simulators, whose time stands
 * still until then [vhost-user.rst, "In-band notifications"]. A ring's fd is preferred where the front-end gave one.
 *
 * Theory of operation
 *   The front-end's VRING_KICK is a message like any other: the ring has been looked at when it is acknowledged
 * (request_ring.c, ring.c). Ours, VRING_CALL and VRING_ERR, ask for an acknowledgement each, and one at a time is
 * without it. What a ring has to tell meanwhile is one flag, however often it does, so a front-end that answers slowly
 * or never makes us neither wait nor queue up.
 *
 *   The flag is not in the journal. A successor notifies for each ring that it takes over, which covers a notification
 * that was due, or sent and not processed, when its predecessor died. An answer to its predecessor's lets its own next
 * one go early, and no more.
 */
#include "transports/vhost_user/server.h"

static bool has(const struct bh_vhost_user *server)
{
    return bh_vu_has(server, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS);
}

bool bh_vu_in_band_call(struct bh_vu_ring *ring)
{
    if (!has(ring->server) || ring->call_polled)
        return false;
    ring->call_due = true;
    bh_vu_channel_flush(ring->server);
    return true;
}

bool bh_vu_in_band_error(struct bh_vu_ring *ring)
{
    if (!has(ring->server))
        return false;
    ring->err_due = true;
    bh_vu_channel_flush(ring->server);
    return true;
}

static int tell(struct bh_vu_ring *ring, uint32_t request, bool *due)
{
    const struct vhost_user_vring_state state = {.index = ring->index};
    const int err =
        bh_vu_channel_say(ring->server, request, VHOST_USER_FLAG_NEED_REPLY, &state, sizeof(state));
    if (err)
        return err;
    *due = false;
    ring->server->in_band_unanswered = true;
    return BH_OK;
}

/* In turns, so that one ring's notifications do not keep another's back. */
int bh_vu_in_band_say(struct bh_vhost_user *server)
{
    const unsigned count = server->dev->queue_count;
    int err = BH_OK;
    for (unsigned i = 0; i < count && !err && !server->in_band_unanswered; i++) {
        struct bh_vu_ring *ring = &server->rings[(server->in_band_next + i) % count];
        if (ring->err_due)
            err = tell(ring, VHOST_USER_BACKEND_VRING_ERR, &ring->err_due);
        else if (ring->call_due)
            err = tell(ring, VHOST_USER_BACKEND_VRING_CALL, &ring->call_due);
        if (server->in_band_unanswered)
            server->in_band_next = ring->index + 1u;
    }
    return err;
}

void bh_vu_in_band_answered(struct bh_vhost_user *server)
{
    server->in_band_unanswered = false;
}

void bh_vu_in_band_cut(struct bh_vhost_user *server)
{
    /* Which ring's it was is forgotten; a notification too many is harmless, one too few is not. */
    for (unsigned i = 0; server->in_band_unanswered && i < server->dev->queue_count; i++)
        server->rings[i].call_due = server->rings[i].started && server->rings[i].call_fd < 0;
    server->in_band_unanswered = false;
    server->in_band_next = 0;
}
