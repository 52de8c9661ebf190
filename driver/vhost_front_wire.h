/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the vhost-user front-end: one out, one back, with file descriptors and a time limit.
 *
 * Threading: one thread.   Ownership: fds sent stay the caller's.   May block: up to the front-end's timeout.
 */
#ifndef DRIVER_VHOST_FRONT_WIRE_H
#define DRIVER_VHOST_FRONT_WIRE_H

#include "driver/vhost_front.h"

/* Send a request. `fd` -1 for none. */
int bh_vhost_front_send(struct bh_vhost_front *front, enum vhost_user_request request, uint32_t flags,
                        const void *payload, uint32_t size, int fd) BH_MUST_USE;
/* Its answer, of exactly `size` bytes. */
int bh_vhost_front_answer(struct bh_vhost_front *front, enum vhost_user_request request, void *payload,
                          uint32_t size) BH_MUST_USE;
/* Send what has no answer of its own; with REPLY_ACK the device says whether it took it. */
int bh_vhost_front_tell(struct bh_vhost_front *front, enum vhost_user_request request, const void *payload,
                        uint32_t size, int fd) BH_MUST_USE;
/* Read the back-end's channel: one message, if there is one; config changes, calls and errors are counted. */
int bh_vhost_front_backend(struct bh_vhost_front *front) BH_MUST_USE;

static inline bool vhost_front_has(const struct bh_vhost_front *front, enum vhost_user_protocol_feature bit)
{
    return front->protocol >> bit & 1u;
}

#endif
