/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class [virtio-1.4 5.1]: pairs of queues, offloads passed through to the port, a control queue.
 *
 * Threading: as device.h; the port lives on the thread of the queues.
 * Ownership: the caller's memory; the port outlives the device.   May block: no.
 */
#ifndef DEVICES_NET_NET_H
#define DEVICES_NET_NET_H

#include "abi/virtio_net.h"
#include "devices/net/net_filter.h"
#include "devices/net/net_hash.h"
#include "devices/net/port.h"
#include <bulkhead/impl/class.h>

#define BH_NET_PAIRS_MAX          16u
#define BH_NET_QUEUES(pair_count) (2u * (pair_count) + 1u)
/* Chains that a queue's memory must hold: a batch of frames, or one frame in many small buffers. */
#define BH_NET_CHAINS 64u

struct bh_net_lasting; /* net_state.c */

struct bh_net_counters {
    uint64_t tx_frames, rx_frames;
    uint64_t tx_short;      /* dropped: no whole Ethernet header */
    uint64_t tx_long;       /* dropped: longer than the port's largest */
    uint64_t tx_bad_header; /* dropped: asks for an offload that was not negotiated, or that makes no sense */
    uint64_t tx_no_link;    /* dropped: the cable is out */
    uint64_t tx_held;       /* times the guest's frames waited for the port */
    uint64_t rx_bad;      /* dropped: shorter or longer than a frame may be, or asks what the guest cannot */
    uint64_t rx_no_room;  /* dropped: the guest's buffers are too small */
    uint64_t rx_filtered; /* dropped: of an address or VLAN that the guest does not want */
    uint64_t rx_no_queue; /* dropped: for a receive queue that does not run */
    uint64_t rx_no_link;  /* dropped: the cable is out */
    uint64_t commands;    /* on the control queue */
    uint64_t commands_refused;
};

struct bh_net_setup {
    uint8_t mac[6];
    uint16_t mtu;     /* told to the guest; 0: not told */
    bool hash_report; /* offer the features that cost a hash a frame */
    bool rss;
};

/* Receive buffers in hand: [0, used) are filled, [used, popped) are free. */
struct bh_net_hand {
    struct bh_chain *chains[BH_NET_CHAINS];
    unsigned popped, used;
};

/* A receive and a transmit queue. */
struct bh_net_pair {
    bool runs;     /* the receive queue does */
    bool attached; /* the port was told that this pair of its is used */
    /* Transmit chains popped and not pushed, oldest first. */
    struct bh_chain *tx[BH_NET_BATCH];
    unsigned tx_count;
    struct bh_net_frame frames[BH_NET_BATCH];
    struct bh_net_hand hand;
    struct bh_seg rx_segs[2 * BH_NET_SEGS]; /* of the frame being received */
};

struct bh_net {
    struct bh_device dev;
    struct virtio_net_config config;
    struct bh_netport *port;
    uint8_t mac[6]; /* after a reset */
    bool offer_mtu, offer_hash_report, offer_rss;
    bool unplugged; /* bh_net_plug */
    unsigned pair_count;
    struct bh_net_pair *pairs;
    /* What was negotiated, and what the control queue has made of it. */
    uint32_t header_bytes;   /* in front of each frame */
    unsigned control_queue;  /* its index; 0: there is none */
    uint64_t host_offloads;  /* what the guest's frames may ask for */
    uint64_t guest_offloads; /* what frames for the guest may ask for */
    unsigned active_pairs;   /* frames for the guest go to the first so many pairs */
    struct bh_net_filter filter;
    struct bh_net_hash hash;      /* as the driver configured it */
    struct bh_net_hash automatic; /* for choosing a queue by ourselves */
    struct bh_net_lasting *last;  /* NULL: nothing outlives the process */
    bool left;                    /* a former process has left something there */
    struct bh_net_counters counters;
};

/*
 * What the device works in, all of it the caller's. `pair_count`, 1 to BH_NET_PAIRS_MAX, is the port's, or more where
 * the port has one pair: then frames for the guest are spread by their flows.
 */
struct bh_net_memory {
    unsigned pair_count;
    struct bh_net_pair *pairs;            /* pair_count */
    struct bh_virtq *queues;              /* BH_NET_QUEUES(pair_count) */
    const struct bh_virtq_memory *memory; /* as many; each BH_NET_CHAINS chains of BH_NET_SEGS segments */
};

void bh_net_init(struct bh_net *net, struct bh_mem *mem, const struct bh_net_memory *memory,
                 struct bh_netport *port, const struct bh_net_setup *setup);

/* The cable is put in or pulled out, whatever the port's own link is. */
void bh_net_plug(struct bh_net *net, bool in);
/* Ask the guest to announce itself. False: its driver did not negotiate that. */
bool bh_net_announce(struct bh_net *net);

/* --- Between the class's own files. --- */

static inline struct bh_net_pair *bh_net_pair_of(struct bh_net *net, const struct bh_virtq *q)
{
    return &net->pairs[q->index / 2u];
}

static inline bool bh_net_link_up(const struct bh_net *net)
{
    return net->port->link_up && !net->unplugged;
}

/* Frames for the guest come from the port's first pair, and their flow chooses the queue. */
static inline bool bh_net_steered(const struct bh_net *net)
{
    return net->hash.steers || (net->pair_count > 1 && net->port->pair_count <= 1);
}

/* The port's pair for frames from this queue. */
static inline unsigned bh_net_port_pair(const struct bh_net *net, const struct bh_virtq *q)
{
    return net->port->pair_count > 1 ? q->index / 2u : 0;
}

/* net.c: what the control queue changes. */
void bh_net_accept_offloads(struct bh_net *net, uint64_t offloads);
void bh_net_set_status(struct bh_net *net, unsigned bit, bool on);
/* active_pairs, hash.steers or a pair's `runs` changed: tell the port, and look for frames anew. */
void bh_net_steering_changed(struct bh_net *net);

/* net_control.c */
enum bh_ready bh_net_control(struct bh_net *net, struct bh_virtq *q, unsigned budget);

/* net_state.c: the class's part of save and load ... */
int bh_net_save(struct bh_device *dev, void *to, size_t size);
int bh_net_load(struct bh_device *dev, const void *from, size_t size);
/* ... and of what outlives the process: kept after each change, taken over once features are chosen again. */
size_t bh_net_lasting_size(const struct bh_device *dev);
void bh_net_lasting(struct bh_device *dev, void *area, bool left);
void bh_net_keep(struct bh_net *net);
void bh_net_forget(struct bh_net *net);
void bh_net_take_over(struct bh_net *net);

/* net_tx.c */
enum bh_ready bh_net_transmit(struct bh_net *net, struct bh_virtq *q, unsigned budget);
void bh_net_transmit_stop(struct bh_net *net, struct bh_virtq *q);

/* net_rx.c */
enum bh_ready bh_net_receive(struct bh_net *net, struct bh_virtq *q, unsigned budget);
void bh_net_receive_stop(struct bh_net *net, struct bh_virtq *q);

/*
 * net_offload.c: may a frame of `len` bytes ask for this, when `allowed` (feature bits) was negotiated? What has no
 * meaning in the header is cleared [virtio-1.4 5.1.9.2.2].
 */
bool bh_net_header_from_guest(struct virtio_net_hdr *header, uint32_t len, uint64_t allowed);
/* The same for a frame for the guest [virtio-1.4 5.1.9.4.1]. */
bool bh_net_header_for_guest(struct virtio_net_hdr *header, uint32_t len, uint64_t accepted);
static inline bool bh_net_is_gso(const struct virtio_net_hdr *header)
{
    return header->gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

#endif
