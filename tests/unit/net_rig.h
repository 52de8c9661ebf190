/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A net on the pipe, with a port in the test's hand behind it.
 *
 * Threading: one thread.   Ownership: bed_new's until bed_free.   May block: no.
 */
#ifndef TESTS_UNIT_NET_RIG_H
#define TESTS_UNIT_NET_RIG_H

#include "devices/net/net.h"
#include "tests/unit/class_rig.h"

#define RX        VIRTIO_NET_RECEIVEQ
#define TX        VIRTIO_NET_TRANSMITQ
#define HEADER    ((uint32_t)sizeof(struct virtio_net_hdr))
#define BED_PAIRS 4u
#define BED_MAC                                                                                              \
    {                                                                                                        \
        2, 0, 0, 0, 0, 9                                                                                     \
    }
#define BED_FRAMES_MAX 12u

struct bed {
    struct bh_netport port;
    unsigned room; /* frames that the port takes */
    unsigned sent;
    uint32_t sent_len; /* of the last one */
    unsigned sent_pair;
    struct virtio_net_hdr sent_header;
    struct bh_net_arrival
        waiting[BED_FRAMES_MAX]; /* frames for the guest, on the port's pair `waiting_pair` */
    unsigned waiting_pair, waiting_count, dropped;
    uint64_t accepted;
    unsigned attached; /* a bit a pair */
    struct class_rig rig;
    struct bh_net net;
    struct bh_virtq queues[BH_NET_QUEUES(BED_PAIRS)];
    struct bh_net_pair pairs[BED_PAIRS];
};

struct bed_setup {
    uint64_t offloads; /* of the port */
    uint64_t without;  /* not negotiated */
    unsigned pairs;    /* of the device; 0 is 1 */
    unsigned port_pairs;
    bool rss, hash_report;
    void *lasting; /* memory that outlives the device; NULL: none */
    bool left;     /* a former device has left something there */
    bool filters;  /* else the device is promiscuous from the start */
};

struct bed *bed_with(const struct bed_setup *setup);
/* One pair, no offloads. */
struct bed *bed_new(bool mergeable);
void bed_free(struct bed *bed);

/* A frame for the guest: `bytes` (NULL: byte i is i), which stay the caller's. */
struct bh_net_arrival *arrive(struct bed *bed, const uint8_t *bytes, uint32_t len);
/* A frame of `len` bytes behind a zero header, on transmit queue `queue`; the packet. */
uint8_t *transmit_on(struct bed *bed, unsigned queue, uint32_t len);
uint8_t *transmit(struct bed *bed, uint32_t len);
uint8_t *give_buffer_on(struct bed *bed, unsigned queue, uint32_t len);
uint8_t *give_buffer(struct bed *bed, uint32_t len);
unsigned used_count(struct bed *bed, unsigned queue);
/* A command on the control queue; its answer. */
uint8_t command(struct bed *bed, uint8_t class, uint8_t which, const void *data, uint32_t len);
/* VQ_PAIRS_SET. */
uint8_t set_pairs(struct bed *bed, unsigned pairs);

#endif
