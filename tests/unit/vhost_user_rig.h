/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vhost-user server with a device that a test can hold still, and the raw other end of its socket: the test plays the
 * front-end, a wrong one too.
 */
#ifndef TESTS_UNIT_VHOST_USER_RIG_H
#define TESTS_UNIT_VHOST_USER_RIG_H

#include "driver/guest.h"
#include "transports/vhost_user/codec.h"
#include "transports/vhost_user/vhost_user.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { RIG_QUEUES = 2, RIG_SIZE = 64, RIG_CHAINS = 32, RIG_BASE = 0x40000000, RIG_USER = 0x7f0000000000 };

/* A class that fills what the driver gives it with 0x5a: at once, or when the test says so. */
struct rig_device {
    struct bh_device dev;
    struct bh_virtq queues[RIG_QUEUES];
    void *blocks[RIG_QUEUES];
    bool hold;
    struct bh_chain *held[RIG_CHAINS * RIG_QUEUES];
    struct bh_virtq *held_of[RIG_CHAINS * RIG_QUEUES];
    unsigned held_count;
    unsigned resets;
    uint8_t config[16];
};

struct rig {
    struct bh_loop *loop;
    struct bh_mem mem;
    struct bh_diag_sink quiet; /* counts what was said */
    struct rig_device device;
    struct bh_vhost_user *server;
    char path[64]; /* abstract; its length in the last byte */
    int peer;      /* the front-end's end; -1: closed */
    bool connected, ended, stopped;
    bool stay_silent_on_enable; /* rig_start_ring sends no SET_VRING_ENABLE */
    struct bh_drv_guest guest;
    struct bh_drv_queue queue[RIG_QUEUES];
    struct bh_features features;
    int kick[RIG_QUEUES], call[RIG_QUEUES], err[RIG_QUEUES]; /* -1: none */
};

/*
 * `listening`: the server accepts one connection after the other; else it has one end of a socket pair. `withheld`: of
 * the features offered; NULL: ACCESS_PLATFORM, as of the programs.
 */
void rig_open(struct rig *rig, bool listening, const struct bh_features *withheld);
/* Stops the server and checks that it becomes quiet. */
void rig_close(struct rig *rig);
void rig_connect(struct rig *rig);
void rig_hang_up(struct rig *rig);
/* Run the loop until nothing is left to do. */
void rig_pump(struct rig *rig);
/* Push what the device holds. */
void rig_release(struct rig *rig);

/* --- the front-end's side -------------------------------------------------------------------------------- */

void rig_send_raw(struct rig *rig, const void *bytes, size_t size, const int *fds, unsigned fd_count);
void rig_send(struct rig *rig, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
              const int *fds, unsigned fd_count);
/* The reply that is there: its payload's size, -1 when there is none, -2 when the connection is closed. */
int rig_reply(struct rig *rig, uint32_t request, void *payload, size_t room);
/* Send with NEED_REPLY, pump; the acknowledgement (0 success), -1 none yet, -2 closed. */
int rig_ask(struct rig *rig, uint32_t request, const void *payload, uint32_t size, const int *fds,
            unsigned fd_count);
int rig_ask_u64(struct rig *rig, uint32_t request, uint64_t value);
int rig_ask_state(struct rig *rig, uint32_t request, uint32_t index, uint32_t num);
uint64_t rig_get(struct rig *rig, uint32_t request);

#define RIG_PROTOCOL                                                                                         \
    (1u << VHOST_USER_PROTOCOL_F_DEVICE_STATE | 1u << VHOST_USER_PROTOCOL_F_MQ |                             \
     1u << VHOST_USER_PROTOCOL_F_LOG_SHMFD | 1u << VHOST_USER_PROTOCOL_F_REPLY_ACK |                         \
     1u << VHOST_USER_PROTOCOL_F_CONFIG | 1u << VHOST_USER_PROTOCOL_F_BACKEND_REQ |                          \
     1u << VHOST_USER_PROTOCOL_F_STATUS | 1u << VHOST_USER_PROTOCOL_F_RESET_DEVICE |                         \
     1u << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS | 1u << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD)

/* Owner, protocol features, features (VERSION_1 and `ring_bits`, bit 30 too). */
void rig_negotiate(struct rig *rig, uint64_t ring_bits);
struct vhost_user_region rig_region(const struct rig *rig);
void rig_share_memory(struct rig *rig);
/* Lay the ring in guest memory, tell it and start it, enabled. */
void rig_start_ring(struct rig *rig, unsigned index, uint32_t base);
/* Everything, up to running rings. */
void rig_up(struct rig *rig, uint64_t ring_bits);
/* Make one buffer of `len` bytes available and kick. Returns where it is. */
uint8_t *rig_add(struct rig *rig, unsigned index, uint32_t len);
/* Used buffers taken back. */
unsigned rig_take(struct rig *rig, unsigned index);
/* rig_open without anything withheld, and rig_up with split rings. */
void rig_open_up(struct rig *rig, bool listening);
/* The front-end goes, and another one comes. */
void rig_connect_again(struct rig *rig);
/* The ring works: one buffer is made available and comes back. */
void rig_serves(struct rig *rig, unsigned index);
/* From now on the device holds what it pops, and has a buffer of ring 0. */
void rig_holds_one(struct rig *rig);
/* Open file descriptors of this process. */
unsigned rig_fd_count(void);

#endif
