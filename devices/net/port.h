/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands behind a net device: a user-mode network, a cable to another net, a test.
 *
 * Threading: with the device's queues.   Ownership: the port is its owner's and outlives the device.
 * May block: no op may.
 */
#ifndef DEVICES_NET_PORT_H
#define DEVICES_NET_PORT_H

#include <bulkhead/mem.h>

struct bh_netport;

/* An Ethernet frame in guest memory: read each byte once. */
struct bh_net_frame {
    struct bh_seg first;       /* not empty */
    const struct bh_seg *rest; /* rest_count more */
    unsigned rest_count;
    uint32_t len; /* of all; between BH_NET_FRAME_MIN and the port's frame_max */
};
#define BH_NET_FRAME_MIN 14u  /* an Ethernet header */
#define BH_NET_BATCH     32u  /* frames in one call of send at most */
#define BH_NET_SEGS      132u /* segments of the largest chain, and so of a frame */

/* Ethernet header and one VLAN tag around `mtu` bytes. */
#define BH_NET_FRAME_BYTES(mtu) ((mtu) + 18u)

struct bh_netport_ops {
    /*
     * Send `count` frames, at most BH_NET_BATCH. Returns how many were taken, from the first on; a frame that
     * cannot be sent is dropped by the port, counted, and taken. Fewer than `count`: the port is full and
     * calls `writable` later.
     */
    unsigned (*send)(struct bh_netport *port, const struct bh_net_frame *frames, unsigned count);
    /* Bytes of the next frame for the guest; 0: there is none, the port calls `readable` later. */
    uint32_t (*peek)(struct bh_netport *port);
    /* Copy the frame that was peeked to `segs`, which have room for exactly its length, and drop it. */
    void (*receive)(struct bh_netport *port, const struct bh_seg *segs, unsigned count);
    /* Drop the frame that was peeked. */
    void (*skip)(struct bh_netport *port);
};

/* A port's owner embeds it, sets ops, frame_max and link_up; the device sets the rest (NULL before). */
struct bh_netport {
    const struct bh_netport_ops *ops;
    uint32_t frame_max; /* bytes of the largest frame */
    bool link_up;       /* changed by the port, then told by link_changed */
    void (*readable)(struct bh_netport *port);
    void (*writable)(struct bh_netport *port);
    void (*link_changed)(struct bh_netport *port);
    void *user; /* the device's */
};

#endif
