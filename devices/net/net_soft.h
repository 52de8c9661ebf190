/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an offload would have done, done in software, for a guest that does not take it: fill in a checksum, cut a packet
 * into segments.
 *
 * Threading: pure.   Ownership: by value; the frame is the caller's.   May block: no.
 */
#ifndef DEVICES_NET_NET_SOFT_H
#define DEVICES_NET_NET_SOFT_H

#include "abi/virtio_net.h"

#define BH_NET_SOFT_SEGMENTS 256u /* of one packet at most: no peer chooses how long we work */

/* Fill in the checksum that `header` asks for; it was checked against `len` (bh_net_header_for_guest). */
void bh_net_soft_checksum(uint8_t *frame, uint32_t len, const struct virtio_net_hdr *header);

/* A packet that is to be cut. */
struct bh_net_soft {
    const uint8_t *frame;
    uint32_t len;
    uint32_t network, transport, payload; /* offsets */
    uint32_t size;                        /* of a segment's payload */
    unsigned count;
    bool v6, tcp;
};

/* False: the frame is not what its header says, or too many segments. */
bool bh_net_soft_plan(struct bh_net_soft *soft, const uint8_t *frame, uint32_t len,
                      const struct virtio_net_hdr *header);
/* Segment `index` (below soft->count) to `out`, with its checksums; its length, at most payload + size. */
uint32_t bh_net_soft_segment(const struct bh_net_soft *soft, unsigned index, uint8_t *out);

#endif
