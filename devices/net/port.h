/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands behind a net device: a tap, a user-mode network, a cable to another net, a test.
 *
 * A port has as many queue pairs as its device; each is used for itself. Offloads are named by the feature bits of
 * virtio-net: a frame may ask for what the port offers, a frame for the guest asks for what the port was told that
 * the guest accepts.
 *
 * Threading: with the device's queues.   Ownership: the port is its owner's and outlives the device.
 * May block: no op may.
 */
#ifndef DEVICES_NET_PORT_H
#define DEVICES_NET_PORT_H

#include "abi/virtio_net.h"
#include <bulkhead/mem.h>

struct bh_netport;

/* An Ethernet frame in guest memory: read each byte once. */
struct bh_net_frame {
    struct bh_seg first;       /* not empty */
    const struct bh_seg *rest; /* rest_count more */
    unsigned rest_count;
    uint32_t len;                 /* of all; see below */
    struct virtio_net_hdr header; /* checked: asks only for what the port offers; num_buffers is 0 */
};
#define BH_NET_FRAME_MIN 14u  /* an Ethernet header */
#define BH_NET_BATCH     32u  /* frames in one call of send at most */
#define BH_NET_SEGS      132u /* segments of the largest chain, and so of a frame */

/* Ethernet header and one VLAN tag around `mtu` bytes: the longest frame, unless it is to be segmented. */
#define BH_NET_FRAME_BYTES(mtu) ((mtu) + 18u)
/* The longest frame that is to be segmented: the longest IP packet in it. */
#define BH_NET_GSO_BYTES BH_NET_FRAME_BYTES(65535u)

/* A frame for the guest, in the port's memory until it is dropped. */
struct bh_net_arrival {
    const uint8_t *bytes;
    uint32_t len;
    struct virtio_net_hdr header; /* num_buffers has no meaning */
};

/* Feature bits for `offloads`: what a port may be asked to do, and what it may ask of the guest. */
#define BH_NET_BIT(feature) (UINT64_C(1) << (feature))
#define BH_NET_HOST_OFFLOADS                                                                                 \
    (BH_NET_BIT(VIRTIO_NET_F_CSUM) | BH_NET_BIT(VIRTIO_NET_F_HOST_TSO4) |                                    \
     BH_NET_BIT(VIRTIO_NET_F_HOST_TSO6) | BH_NET_BIT(VIRTIO_NET_F_HOST_ECN) |                                \
     BH_NET_BIT(VIRTIO_NET_F_HOST_USO))
#define BH_NET_GUEST_OFFLOADS                                                                                \
    (BH_NET_BIT(VIRTIO_NET_F_GUEST_CSUM) | BH_NET_BIT(VIRTIO_NET_F_GUEST_TSO4) |                             \
     BH_NET_BIT(VIRTIO_NET_F_GUEST_TSO6) | BH_NET_BIT(VIRTIO_NET_F_GUEST_ECN) |                              \
     BH_NET_BIT(VIRTIO_NET_F_GUEST_USO4) | BH_NET_BIT(VIRTIO_NET_F_GUEST_USO6))

struct bh_netport_ops {
    /*
     * Send `count` frames, at most BH_NET_BATCH. Returns how many were taken, from the first on; a frame that
     * cannot be sent is dropped by the port, counted, and taken. Fewer than `count`: the port is full and
     * calls `writable` later.
     */
    unsigned (*send)(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                     unsigned count);
    /* The next frame for the guest; NULL: there is none, the port calls `readable` later. */
    const struct bh_net_arrival *(*peek)(struct bh_netport *port, unsigned pair);
    /* The frame that was peeked is done with. */
    void (*drop)(struct bh_netport *port, unsigned pair);
    /* The guest takes these of BH_NET_GUEST_OFFLOADS from now on; none at first. NULL: the port asks for none. */
    void (*accept)(struct bh_netport *port, uint64_t offloads);
    /* The guest's receive queue of this pair runs (or no more); none does at first. NULL: of no interest. */
    void (*attach)(struct bh_netport *port, unsigned pair, bool on);
};

/* A port's owner embeds it and sets the first group; the device sets the rest (NULL before). */
struct bh_netport {
    const struct bh_netport_ops *ops;
    uint32_t frame_max;  /* bytes of the largest frame that is not to be segmented */
    unsigned pair_count; /* 0 is as 1 */
    uint64_t offloads;   /* BH_NET_HOST_OFFLOADS and BH_NET_GUEST_OFFLOADS that it can */
    bool link_up;        /* changed by the port, then told by link_changed */
    void (*readable)(struct bh_netport *port, unsigned pair);
    void (*writable)(struct bh_netport *port, unsigned pair);
    void (*link_changed)(struct bh_netport *port);
    void *user; /* the device's */
};

#endif
