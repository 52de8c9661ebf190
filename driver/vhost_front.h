/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user, the front-end's side: what a VMM does with a device process, for tests, bench and conform
 * [vhost-user.rst]. One request at a time; an answer that does not come in time is an error, so that a device
 * process that hangs is found and not waited for.
 *
 * The device process is not trusted: a reply of another kind, size or version than asked is BH_ERR_PROTO.
 *
 * Threading: one thread.   Ownership: init takes the socket; close gives back everything that was made.
 * May block: each request, up to timeout_ms.
 */
#ifndef DRIVER_VHOST_FRONT_H
#define DRIVER_VHOST_FRONT_H

#include "abi/vhost_user.h"
#include "driver/guest.h"

#define BH_VHOST_FRONT_QUEUES 256u /* as many as 8 bits name */

struct bh_vhost_front_queue {
    int kick, call, err; /* eventfds; -1 while not set up, and in-band */
    bool packed;
    uint32_t notifications;
    uint32_t errors;
};

struct bh_vhost_front {
    int fd;
    int backend_fd; /* our end of the back-end's own channel; -1 without */
    int timeout_ms;
    bool in_band;
    const struct bh_drv_guest *guest;
    uint64_t features; /* as the device told, protocol bit included */
    uint64_t protocol; /* negotiated protocol features */
    uint32_t queue_count;
    uint32_t queue_end; /* no queue from here on was started yet */
    uint32_t config_changes;
    struct bh_vhost_front_queue queue[BH_VHOST_FRONT_QUEUES];
};

/*
 * All functions: BH_ERR_TIMEOUT; BH_ERR_CLOSED: the device process went away; BH_ERR_PROTO: a strange answer;
 * BH_ERR_INVAL: it answered that it refuses; BH_ERR_UNSUPPORTED: the protocol feature was not negotiated.
 */

/*
 * Take over a connected socket, become the owner, agree on the protocol. The socket is closed on failure. `in_band`: kicks
 * and calls are messages, which the device process must be able to (BH_ERR_UNSUPPORTED).
 */
int bh_vhost_front_init(struct bh_vhost_front *front, int fd, bool in_band, int timeout_ms) BH_MUST_USE;
void bh_vhost_front_close(struct bh_vhost_front *front);
/* Share all of `guest` as one region. It outlives the front-end. */
int bh_vhost_front_share(struct bh_vhost_front *front, const struct bh_drv_guest *guest) BH_MUST_USE;

/* Without the protocol's own bits. */
struct bh_features bh_vhost_front_features(const struct bh_vhost_front *front);
int bh_vhost_front_set_features(struct bh_vhost_front *front, const struct bh_features *features) BH_MUST_USE;
/*
 * Accept features and end negotiation, by the device's status where it has one: BH_ERR_INVAL: it does not grant
 * FEATURES_OK.
 */
int bh_vhost_front_negotiate(struct bh_vhost_front *front, const struct bh_features *features) BH_MUST_USE;
/* All queues were started: say so to a device that has a status. */
int bh_vhost_front_driver_ok(struct bh_vhost_front *front) BH_MUST_USE;
int bh_vhost_front_get_status(struct bh_vhost_front *front, uint8_t *status) BH_MUST_USE;
int bh_vhost_front_set_status(struct bh_vhost_front *front, uint8_t status) BH_MUST_USE;
/* RESET_DEVICE. */
int bh_vhost_front_reset(struct bh_vhost_front *front) BH_MUST_USE;
/* `len` at most VHOST_USER_CONFIG_MAX. */
int bh_vhost_front_config_read(struct bh_vhost_front *front, uint32_t offset, void *to,
                               uint32_t len) BH_MUST_USE;
int bh_vhost_front_config_write(struct bh_vhost_front *front, uint32_t offset, const void *from,
                                uint32_t len) BH_MUST_USE;

/* Set a ring up and enable it. `setup` in the guest's addresses, all inside the shared region. */
int bh_vhost_front_queue_start(struct bh_vhost_front *front, unsigned index,
                               const struct bh_virtq_setup *setup, bool packed) BH_MUST_USE;
/* Stop it: done when the device has nothing of it in flight. `state` may be NULL. */
int bh_vhost_front_queue_stop(struct bh_vhost_front *front, unsigned index,
                              struct bh_virtq_state *state) BH_MUST_USE;
/* In-band, the device process has looked at the ring when this returns. By eventfd it cannot fail. */
int bh_vhost_front_kick(struct bh_vhost_front *front, unsigned index) BH_MUST_USE;
/* Wait up to `timeout_ms` for anything of the device's and count it in the queues and config_changes. */
int bh_vhost_front_wait(struct bh_vhost_front *front, int timeout_ms) BH_MUST_USE;

#endif
