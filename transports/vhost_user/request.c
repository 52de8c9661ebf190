/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the server does with each vhost-user message. Every handler either answers, refuses (well formed, but not
 * possible: an error acknowledgement where one was asked for, else the end of the connection), or starts an operation
 * of the device and waits. The table for readers is docs/transport-vhost-user.md.
 */
#include "transports/vhost_user/request.h"

static bool any_started(const struct bh_vhost_user *server)
{
    for (unsigned i = 0; i < server->dev->queue_count; i++)
        if (server->rings[i].started)
            return true;
    return false;
}

/* --- features -------------------------------------------------------------------------------------------- */

uint64_t bh_vu_offered_protocol_features(const struct bh_vhost_user *server)
{
    uint64_t bits = 1u << VHOST_USER_PROTOCOL_F_GPA_ADDRESSES | 1u << VHOST_USER_PROTOCOL_F_DEVICE_STATE |
                    1u << VHOST_USER_PROTOCOL_F_MQ | 1u << VHOST_USER_PROTOCOL_F_LOG_SHMFD |
                    1u << VHOST_USER_PROTOCOL_F_REPLY_ACK | 1u << VHOST_USER_PROTOCOL_F_BACKEND_REQ |
                    1u << VHOST_USER_PROTOCOL_F_RESET_DEVICE | 1u << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |
                    1u << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS | 1u << VHOST_USER_PROTOCOL_F_STATUS |
                    1u << VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS;
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

/* VHOST_F_LOG_ALL comes and goes with SET_FEATURES while rings run ["Migration"]; it is no feature of the device's. */
static enum bh_vu_result set_logging(struct bh_vhost_user *server)
{
    server->log.wanted = server->pending.u64 >> VHOST_F_LOG_ALL & 1u;
    bh_vu_log_apply(server);
    return BH_VU_DONE;
}

static enum bh_vu_result accept_features(struct bh_vhost_user *server, const char **why)
{
    const struct bh_features features = bh_features_of64(server->pending.u64 & ~BH_VU_OWN_FEATURES);
    int err = bh_device_accept(server->dev, &features);
    if (err == BH_ERR_INVAL && accept_withheld(server, &features))
        err = BH_OK;
    if (err)
        return bh_vu_refuse(why, "features that the device does not have");
    set_logging(server);
    server->protocol_negotiated = server->pending.u64 >> VHOST_USER_F_PROTOCOL_FEATURES & 1u;
    /* "If VHOST_USER_F_PROTOCOL_FEATURES has not been negotiated, the ring starts directly in the enabled state." */
    for (unsigned i = 0; !server->protocol_negotiated && i < server->dev->queue_count; i++) {
        server->rings[i].enabled = true;
        bh_vu_ring_try_start(&server->rings[i]);
    }
    return BH_VU_DONE;
}

static enum bh_vu_result set_features(struct bh_vhost_user *server, const char **why)
{
    struct bh_device *dev = server->dev;
    const uint64_t bits = server->pending.u64 & ~BH_VU_OWN_FEATURES;
    const bool same = bits == bh_features_low64(&dev->acked);
    const bool spoilt = bh_device_status(dev) & BH_STATUS_NEEDS_RESET;
    if (!any_started(server))
        bh_vu_iommu_flush(server);
    if (!dev->features_done)
        return accept_features(server, why);
    /* A front-end tells the features at each start, also when it only stopped for a while: nothing to do. */
    if (any_started(server))
        return same ? set_logging(server) : bh_vu_refuse(why, "other features while rings run");
    if (same && !spoilt)
        return set_logging(server);
    /* Without the STATUS protocol feature this is how a driver that begins anew shows. */
    server->waiting = BH_VU_WAIT_FEATURES;
    bh_device_reset(dev);
    return BH_VU_WAITING;
}

static enum bh_vu_result set_protocol_features(struct bh_vhost_user *server, const char **why)
{
    const uint64_t bits = server->pending.u64;
    const uint64_t with_in_band =
        1u << VHOST_USER_PROTOCOL_F_BACKEND_REQ | 1u << VHOST_USER_PROTOCOL_F_REPLY_ACK;
    if (bits & ~bh_vu_offered_protocol_features(server))
        return bh_vu_refuse(why, "protocol features that were never offered");
    if (bits >> VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS & 1u && (bits & with_in_band) != with_in_band) {
        /* "It has no other way of signaling this error": the connection is closed ["In-band notifications"]. */
        server->pending.need_reply = false;
        return bh_vu_refuse(why, "in-band notifications without BACKEND_REQ and REPLY_ACK");
    }
    server->protocol_features = bits;
    return BH_VU_DONE;
}

static enum bh_vu_result set_status(struct bh_vhost_user *server, const char **why)
{
    if (server->pending.u64 > UINT8_MAX)
        return bh_vu_refuse(why, "a status of more than 8 bits");
    if (server->pending.u64) {
        bh_device_set_status(server->dev, (uint8_t)server->pending.u64);
        return BH_VU_DONE;
    }
    server->waiting = BH_VU_WAIT_RESET;
    bh_device_set_status(server->dev, 0);
    return BH_VU_WAITING;
}

/* --- memory ---------------------------------------------------------------------------------------------- */

/*
 * GPA_ADDRESSES: rings and translations are told by guest-physical addresses, and a region has no other one. So that is
 * the "front-end's own" one of each region, and the rest goes its usual way.
 */
static void take_guest_addresses(struct bh_vhost_user *server)
{
    struct bh_vu_message *message = &server->pending;
    if (!bh_vu_has(server, VHOST_USER_PROTOCOL_F_GPA_ADDRESSES))
        return;
    if (message->request != VHOST_USER_SET_MEM_TABLE)
        message->region.user_address = message->region.guest_address;
    for (unsigned i = 0; message->request == VHOST_USER_SET_MEM_TABLE && i < message->table.region_count; i++)
        message->table.regions[i].user_address = message->table.regions[i].guest_address;
}

static enum bh_vu_result change_memory(struct bh_vhost_user *server, const char **why)
{
    struct bh_vu_message *message = &server->pending;
    struct bh_vu_memory *memory = &server->memory;
    int err;
    take_guest_addresses(server);
    if (message->request == VHOST_USER_SET_MEM_TABLE)
        err = bh_vu_memory_stage_all(memory, message->table.regions, server->wire.fds, server->wire.fd_ids,
                                     message->table.region_count, why);
    else if (message->request == VHOST_USER_ADD_MEM_REG)
        err = bh_vu_memory_stage_add(memory, &message->region, server->wire.fds[0], server->wire.fd_ids[0],
                                     why);
    else
        err = bh_vu_memory_stage_remove(memory, &message->region, why);
    if (err)
        return BH_VU_REFUSED;
    server->waiting = BH_VU_WAIT_MEM;
    bh_device_mem_change(server->dev, bh_vu_memory_staged(memory));
    return BH_VU_WAITING;
}

/* --- config ---------------------------------------------------------------------------------------------- */

static enum bh_vu_result get_config(struct bh_vhost_user *server)
{
    struct {
        struct vhost_user_config_header head;
        uint8_t bytes[VHOST_USER_CONFIG_MAX];
    } reply = {.head = server->pending.config.head};
    bh_device_config_read(server->dev, reply.head.offset, reply.bytes, reply.head.size);
    bh_vu_wire_reply(&server->wire, server->pending.request, &reply,
                     (uint32_t)sizeof(reply.head) + reply.head.size);
    return BH_VU_ANSWERED;
}

static enum bh_vu_result set_config(struct bh_vhost_user *server, const char **why)
{
    const struct bh_vu_message *message = &server->pending;
    if (message->config.head.flags > VHOST_USER_CONFIG_MIGRATION)
        return bh_vu_refuse(why, "flags that have no meaning");
    if (bh_device_config_write(server->dev, message->config.head.offset, message->config.bytes,
                               message->config.head.size))
        return bh_vu_refuse(why, "config space that is not writable");
    return BH_VU_DONE;
}

/* --- all of them ----------------------------------------------------------------------------------------- */

static enum bh_vu_result dispatch(struct bh_vhost_user *server, const char **why)
{
    const struct bh_features offered = bh_device_offered(server->dev);
    switch (server->pending.request) {
    case VHOST_USER_GET_FEATURES:
        return bh_vu_answer_u64(server, bh_features_low64(&offered) | BH_VU_OWN_FEATURES);
    case VHOST_USER_SET_FEATURES: return set_features(server, why);
    case VHOST_USER_GET_PROTOCOL_FEATURES:
        return bh_vu_answer_u64(server, bh_vu_offered_protocol_features(server));
    case VHOST_USER_SET_PROTOCOL_FEATURES: return set_protocol_features(server, why);
    case VHOST_USER_SET_OWNER: return BH_VU_DONE; /* a session starts with its connection */
    case VHOST_USER_RESET_OWNER: return bh_vu_disable_from(server, 0);
    case VHOST_USER_SET_MEM_TABLE:
    case VHOST_USER_ADD_MEM_REG:
    case VHOST_USER_REM_MEM_REG: return change_memory(server, why);
    case VHOST_USER_SET_DEVICE_STATE_FD: return bh_vu_set_state_fd(server);
    case VHOST_USER_CHECK_DEVICE_STATE: return bh_vu_check_state(server);
    case VHOST_USER_IOTLB_MSG: return bh_vu_iotlb_message(server);
    case VHOST_USER_SET_LOG_BASE: return bh_vu_set_log_base(server, why);
    case VHOST_USER_SET_LOG_FD: return bh_vu_set_log_fd(server);
    case VHOST_USER_GET_INFLIGHT_FD: return bh_vu_get_inflight(server, why);
    case VHOST_USER_SET_INFLIGHT_FD:
        return any_started(server) ? bh_vu_refuse(why, "in-flight records while rings run")
                                   : bh_vu_set_inflight(server, why);
    case VHOST_USER_GET_MAX_MEM_SLOTS: return bh_vu_answer_u64(server, BH_VU_REGIONS_MAX);
    case VHOST_USER_GET_QUEUE_NUM: return bh_vu_answer_u64(server, server->dev->queue_count);
    case VHOST_USER_SET_VRING_NUM:
    case VHOST_USER_SET_VRING_ADDR:
    case VHOST_USER_SET_VRING_BASE:
    case VHOST_USER_GET_VRING_BASE:
    case VHOST_USER_SET_VRING_KICK:
    case VHOST_USER_SET_VRING_CALL:
    case VHOST_USER_SET_VRING_ERR:
    case VHOST_USER_SET_VRING_ENABLE:
    case VHOST_USER_VRING_KICK: return bh_vu_ring_request(server, why);
    case VHOST_USER_GET_CONFIG: return get_config(server);
    case VHOST_USER_SET_CONFIG: return set_config(server, why);
    case VHOST_USER_SET_BACKEND_REQ_FD: return bh_vu_set_backend(server, why);
    case VHOST_USER_RESET_DEVICE:
        server->waiting = BH_VU_WAIT_RESET;
        bh_device_reset(server->dev);
        return BH_VU_WAITING;
    case VHOST_USER_SET_STATUS: return set_status(server, why);
    case VHOST_USER_GET_STATUS: return bh_vu_answer_u64(server, bh_device_status(server->dev));
    default: return bh_vu_refuse(why, "a request that is not served");
    }
}

static void settle(struct bh_vhost_user *server, enum bh_vu_result result, const char *why)
{
    const struct bh_vu_message *message = &server->pending;
    const bool may_answer = message->need_reply && bh_vu_has(server, VHOST_USER_PROTOCOL_F_REPLY_ACK);
    if (result == BH_VU_WAITING) {
        bh_vu_flush(server); /* read no more until then (or go on, if it has happened already) */
        return;
    }
    server->waiting = BH_VU_WAIT_NONE;
    if (result == BH_VU_REFUSED) {
        server->counters.refused++;
        bh_vu_say(server, "%s (%u) refused: %s", bh_vu_request_name(message->request), message->request, why);
    }
    if (result != BH_VU_ANSWERED && may_answer && !message->has_answer) {
        bh_vu_answer_u64(server, result == BH_VU_REFUSED);
    } else if (result == BH_VU_REFUSED) {
        bh_vu_close(server, "the front-end cannot be told of the refusal");
        return;
    }
    bh_vu_journal_commit(server);
    bh_vu_wire_close_fds(&server->wire);
    bh_vu_flush(server);
}

void bh_vu_handle(struct bh_vhost_user *server)
{
    const char *why = NULL;
    const unsigned gate = server->pending.protocol_feature;
    enum bh_vu_result result;
    server->counters.messages++;
    if (!server->pending.known)
        result = bh_vu_refuse(&why, "a request that is not known");
    else if (gate != BH_VU_UNGATED && !(bh_vu_offered_protocol_features(server) >> gate & 1u))
        result = bh_vu_refuse(&why, "its protocol feature is not offered");
    else
        result = dispatch(server, &why);
    settle(server, result, why);
}

/*
 * The driver's side of a reset: rings begin anew, by a kick or its fd. The call fds stay, QEMU tells them only once. So
 * does a ring's place, but for RESET_DEVICE: QEMU 7.2 sends SET_STATUS 0 when it stops a guest, and asks for the place
 * only then.
 */
static void reset_rings(struct bh_vhost_user *server)
{
    const bool all = server->pending.request == VHOST_USER_RESET_DEVICE;
    bh_vu_iommu_flush(server);
    for (unsigned i = 0; i < server->dev->queue_count; i++) {
        struct bh_vu_ring *ring = &server->rings[i];
        if (ring->started)
            bh_vu_ring_stopped(ring);
        bh_vu_ring_clear(ring, false);
        bh_vu_ring_drop_kick(ring);
        ring->left = false;
        /* A kick in-band may be the driver's, too late: it starts no ring that was not told anew. */
        ring->has_addr = ring->has_addr && !bh_vu_has(server, VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS);
        if (all) {
            ring->base = 0;
            ring->enabled = false;
        }
    }
}

void bh_vu_waited(struct bh_vhost_user *server, enum bh_control control, unsigned index)
{
    struct bh_vu_ring *ring = &server->rings[server->pending_ring];
    const char *why = NULL;
    enum bh_vu_result result = BH_VU_DONE;
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
            result = bh_vu_answer_base(server, ring);
        else if (server->waiting == BH_VU_WAIT_DISABLE_ALL)
            result = bh_vu_disable_from(server, server->pending_ring + 1);
        break;
    case BH_VU_WAIT_RESET:
    case BH_VU_WAIT_FEATURES:
        if (control != BH_CONTROL_RESET)
            return;
        reset_rings(server);
        if (server->waiting == BH_VU_WAIT_FEATURES)
            result = accept_features(server, &why);
        break;
    case BH_VU_WAIT_NONE: return;
    }
    settle(server, result, why);
}
