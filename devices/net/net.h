/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class [virtio-1.4 5.1]: one pair of queues, no offloads, no control queue.
 *
 * Threading: as device.h; the port lives on the thread of the queues.
 * Ownership: the caller's memory; the port outlives the device.   May block: no.
 */
#ifndef DEVICES_NET_NET_H
#define DEVICES_NET_NET_H

#include "abi/virtio_net.h"
#include "devices/net/port.h"
#include <bulkhead/impl/class.h>

#define BH_NET_QUEUES 2u
/* Chains that a queue's memory must hold: a batch of frames, or one frame in many small buffers. */
#define BH_NET_CHAINS 64u

struct bh_net_counters {
    uint64_t tx_frames, rx_frames;
    uint64_t tx_short;      /* dropped: no whole Ethernet header */
    uint64_t tx_long;       /* dropped: longer than the port's largest */
    uint64_t tx_bad_header; /* dropped: asks for an offload that was not negotiated */
    uint64_t tx_no_link;    /* dropped: the cable is out */
    uint64_t tx_held;       /* times the guest's frames waited for the port */
    uint64_t rx_bad;        /* dropped: shorter or longer than a frame may be */
    uint64_t rx_no_room;    /* dropped: the guest's buffers are too small */
};

struct bh_net_setup {
    uint8_t mac[6];
    uint16_t mtu; /* told to the guest; 0: not told */
};

/* Receive buffers in hand: [0, used) are filled, [used, popped) are free. */
struct bh_net_hand {
    struct bh_chain *chains[BH_NET_CHAINS];
    unsigned popped, used;
};

struct bh_net {
    struct bh_device dev;
    struct bh_virtq queues[BH_NET_QUEUES];
    struct virtio_net_config config;
    struct bh_netport *port;
    bool offer_mtu;
    /* Transmit chains popped and not pushed, oldest first. */
    struct bh_chain *tx[BH_NET_BATCH];
    unsigned tx_count;
    struct bh_net_frame frames[BH_NET_BATCH];
    struct bh_net_hand hand;
    struct bh_seg rx_segs[2 * BH_NET_SEGS]; /* of the frame being received */
    struct bh_net_counters counters;
};

/*
 * `memory`: one for each queue, with room for BH_NET_CHAINS chains of BH_NET_SEGS segments.
 */
void bh_net_init(struct bh_net *net, struct bh_mem *mem, const struct bh_virtq_memory *memory,
                 struct bh_netport *port, const struct bh_net_setup *setup);

/* devices/net/net_rx.c: the receive queue's part. */
enum bh_ready bh_net_receive(struct bh_net *net, struct bh_virtq *q, unsigned budget);
void bh_net_receive_stop(struct bh_net *net, struct bh_virtq *q);

#endif
