/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a message's handler ends, for the files that have handlers: request.c (what concerns the device, and the table of
 * all), request_ring.c (one ring), channel.c (the back-end channel).
 *
 * Threading: the loop's thread.   Ownership: as server.h says.   May block: no.
 */
#ifndef TRANSPORTS_VHOST_USER_REQUEST_H
#define TRANSPORTS_VHOST_USER_REQUEST_H

#include "transports/vhost_user/server.h"

enum bh_vu_result {
    BH_VU_DONE,     /* acknowledge success */
    BH_VU_ANSWERED, /* a reply is laid out */
    BH_VU_WAITING,  /* bh_vu_waited goes on */
    BH_VU_REFUSED,  /* *why says it */
};

/* A refusal's words go up by a static pointer; nothing else is told. */
static inline enum bh_vu_result bh_vu_refuse(const char **why, const char *text)
{
    *why = text;
    return BH_VU_REFUSED;
}

static inline enum bh_vu_result bh_vu_answer_u64(struct bh_vhost_user *server, uint64_t value)
{
    bh_vu_wire_reply(&server->wire, server->pending.request, &value, sizeof(value));
    return BH_VU_ANSWERED;
}

uint64_t bh_vu_offered_protocol_features(const struct bh_vhost_user *server);
/* SET_VRING_*, GET_VRING_BASE, VRING_KICK. */
enum bh_vu_result bh_vu_ring_request(struct bh_vhost_user *server, const char **why);
/* GET_VRING_BASE's end: the queue is quiet. */
enum bh_vu_result bh_vu_answer_base(struct bh_vhost_user *server, struct bh_vu_ring *ring);
/* RESET_OWNER, from ring `index` on. */
enum bh_vu_result bh_vu_disable_from(struct bh_vhost_user *server, unsigned index);
/* SET_LOG_BASE, SET_LOG_FD (log.c). */
enum bh_vu_result bh_vu_set_log_base(struct bh_vhost_user *server, const char **why);
enum bh_vu_result bh_vu_set_log_fd(struct bh_vhost_user *server);
/* GET_INFLIGHT_FD; SET_INFLIGHT_FD, while no queue runs (inflight.c). */
enum bh_vu_result bh_vu_get_inflight(struct bh_vhost_user *server, const char **why);
enum bh_vu_result bh_vu_set_inflight(struct bh_vhost_user *server, const char **why);
/* SET_DEVICE_STATE_FD, CHECK_DEVICE_STATE (device_state.c). */
enum bh_vu_result bh_vu_set_state_fd(struct bh_vhost_user *server);
enum bh_vu_result bh_vu_check_state(struct bh_vhost_user *server);
/* IOTLB_MSG (iommu.c). */
enum bh_vu_result bh_vu_iotlb_message(struct bh_vhost_user *server);
/* SET_BACKEND_REQ_FD. */
enum bh_vu_result bh_vu_set_backend(struct bh_vhost_user *server, const char **why);

#endif
