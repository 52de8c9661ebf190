/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest of a socket device: packets out, packets in, on the pipe. For the unit tests, over any port.
 *
 * Threading: one thread.   Ownership: the rig owns all but the port.   May block: no.
 */
#ifndef TESTS_UNIT_VSOCK_RIG_H
#define TESTS_UNIT_VSOCK_RIG_H

#include "devices/vsock/vsock.h"
#include "tests/unit/class_rig.h"

#define RIG_CID       3u
#define RIG_CONNS     16u
#define RIG_BUFFERS   32u
#define RIG_RX_BYTES  1024u
#define RIG_BUF_ALLOC 4096u /* ours, of each connection */

struct vsock_rig {
    struct class_rig rig;
    struct bh_vsock vsock;
    struct bh_vsock_conn *conns, **buckets;
    uint8_t *tx;
    uint32_t cid;
    uint8_t *event;
};

struct vsock_packet {
    struct virtio_vsock_hdr hdr;
    uint16_t op;
    uint32_t len, flags, guest_port, peer_cid, peer_port, buf_alloc, fwd_cnt;
    uint8_t data[RIG_RX_BYTES];
};

/* `without`: features that the guest leaves out; `conn_count`: of the table. No receive buffers are given yet. */
void vsock_rig_open(struct vsock_rig *rig, struct bh_vsock_port *port, uint32_t cid, uint32_t conn_count,
                    uint64_t without);
void vsock_rig_close(struct vsock_rig *rig);
/* Give `count` receive buffers of RIG_RX_BYTES. */
void vsock_rig_give(struct vsock_rig *rig, unsigned count);
void vsock_rig_give_event(struct vsock_rig *rig);
/* A header as the guest fills it: it has `buf_alloc` bytes of room. */
struct virtio_vsock_hdr vsock_rig_hdr(const struct vsock_rig *rig, enum virtio_vsock_op op,
                                      uint32_t guest_port, uint32_t peer_cid, uint32_t peer_port);
/* Send it with `len` bytes behind it, and let the device work. */
void vsock_rig_send(struct vsock_rig *rig, const struct virtio_vsock_hdr *hdr, const void *data,
                    uint32_t len);
/* Lay it on the ring only; vsock_rig_run lets the device work. */
bool vsock_rig_lay(struct vsock_rig *rig, const struct virtio_vsock_hdr *hdr, const void *data, uint32_t len);
void vsock_rig_run(struct vsock_rig *rig);
/* The next packet for the guest; its buffer is given again. False: there is none. */
bool vsock_rig_next(struct vsock_rig *rig, struct vsock_packet *packet);
/* The next packet must be this one. */
struct vsock_packet vsock_rig_expect(struct vsock_rig *rig, enum virtio_vsock_op op);
/* The event that came, or -1. */
int vsock_rig_event(struct vsock_rig *rig);

#endif
