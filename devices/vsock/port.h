/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands behind a socket device: the other ends of its guest's connections.
 *
 * A connection is the class's; a port keeps its own side of it in conn->user. What the port tells the class goes
 * by the functions bh_vsock_* of vsock.h.
 *
 * Threading: with the device's queues.   Ownership: the port is its owner's and outlives the device.
 * May block: no op may.
 */
#ifndef DEVICES_VSOCK_PORT_H
#define DEVICES_VSOCK_PORT_H

#include <bulkhead/mem.h>

struct bh_vsock;
struct bh_vsock_conn;
struct bh_vsock_port;

struct bh_vsock_port_ops {
    /*
     * The guest asks for conn->peer_cid, conn->peer_port. BH_OK: connected; BH_ERR_PENDING: the port calls
     * bh_vsock_connected or bh_vsock_reset later, not from within; anything else: refused, and the port has
     * nothing to do with it any more.
     */
    int (*connect)(struct bh_vsock_port *port, struct bh_vsock_conn *conn);
    /* The guest took a connection that bh_vsock_open asked for. */
    void (*accepted)(struct bh_vsock_port *port, struct bh_vsock_conn *conn);
    /*
     * Data from the guest: all of it is taken. What cannot go on now is kept (the class sees to it that it is never
     * more than buf_alloc bytes a connection). bh_vsock_forwarded tells of each byte that went on, from within or
     * later. `flags` of VIRTIO_VSOCK_SEQ_* for a seqpacket connection. BH_ERR_CLOSED: the other end takes no more,
     * this is dropped; any other error: the connection cannot go on.
     */
    int (*write)(struct bh_vsock_port *port, struct bh_vsock_conn *conn, const struct bh_seg *segs,
                 unsigned count, uint32_t len, uint32_t flags);
    /*
     * Data for the guest into `segs`, which have room for `room` bytes, not 0. Returns the bytes and sets *flags as
     * above; BH_ERR_AGAIN: nothing now, the port calls bh_vsock_readable later (or has called bh_vsock_end);
     * another error: the connection cannot go on. 0 is an empty end of a message.
     */
    int (*read)(struct bh_vsock_port *port, struct bh_vsock_conn *conn, const struct bh_seg *segs,
                unsigned count, uint32_t room, uint32_t *flags);
    /* The guest will not send or receive any more: `flags` of VIRTIO_VSOCK_SHUTDOWN_*, all said so far. */
    void (*shutdown)(struct bh_vsock_port *port, struct bh_vsock_conn *conn, uint32_t flags);
    /*
     * The connection is over; `conn` must not be used after. `deliver`: what is kept goes on as long as the other
     * end takes it, else it is dropped.
     */
    void (*close)(struct bh_vsock_port *port, struct bh_vsock_conn *conn, bool deliver);
    /* Call bh_vsock_tick once a second until it says that it need not be called. */
    void (*want_ticks)(struct bh_vsock_port *port);
};

/* A port's owner embeds it and sets ops; the device sets the rest. */
struct bh_vsock_port {
    const struct bh_vsock_port_ops *ops;
    struct bh_vsock *vsock;
};

#endif
