/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class vsock between a guest (vsock_rig.h) and a port that does as the test says. Failures are cmocka's.
 *
 * Threading: one thread.   Ownership: the bed owns all.   May block: no.
 */
#ifndef TESTS_UNIT_VSOCK_BED_H
#define TESTS_UNIT_VSOCK_BED_H

#include "tests/unit/vsock_rig.h"

#define HOST  VIRTIO_VSOCK_CID_HOST
#define SEND  VIRTIO_VSOCK_SHUTDOWN_SEND
#define RECV  VIRTIO_VSOCK_SHUTDOWN_RECEIVE
#define BOTH  VIRTIO_VSOCK_SHUTDOWN_BOTH
#define PEERS 32u

/* The other end of one connection. */
struct vsock_peer {
    struct bh_vsock_conn *conn;
    uint32_t taken, kept; /* bytes that came, and of those the ones not forwarded */
    uint32_t flags;       /* of the last write */
    uint32_t waiting;     /* bytes for the guest */
    uint32_t end_flags;   /* of the last of them */
    bool closed, delivered, accepted;
    uint32_t shut;
};

struct vsock_bed {
    struct bh_vsock_port port;
    int connect_answer, write_answer;
    bool keeps; /* what comes does not go on */
    bool wants_ticks;
    struct vsock_peer peers[PEERS]; /* in the order they came */
    unsigned peer_count;
    struct vsock_rig rig;
};

/* `without`: features that the guest leaves out. The first has no receive buffers yet. */
struct vsock_bed *vsock_bed_without(uint64_t without);
struct vsock_bed *vsock_bed_new(void);
void vsock_bed_free(struct vsock_bed *bed);

/* What the guest sends on its connection from `port` to the host's port 80. */
void vsock_bed_send(struct vsock_bed *bed, enum virtio_vsock_op op, uint32_t port, uint32_t flags);
void vsock_bed_send_data(struct vsock_bed *bed, uint32_t port, uint32_t len);
/* By a CREDIT_UPDATE: it has `room` bytes, and has read `fwd`. */
void vsock_bed_send_credit(struct vsock_bed *bed, uint32_t port, uint32_t room, uint32_t fwd);
/* REQUEST and RESPONSE. */
struct vsock_peer *vsock_bed_connect(struct vsock_bed *bed, uint32_t port);
void vsock_bed_expect_nothing(struct vsock_bed *bed);

#endif
