/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Network device [virtio-1.4 5.1]: feature bits, queue numbers, config space, the header before each frame.
 */
#ifndef ABI_VIRTIO_NET_H
#define ABI_VIRTIO_NET_H

#include <bulkhead/base.h>

#define VIRTIO_ID_NET 1u /* [virtio-1.4 5.1.1] */

/* [virtio-1.4 5.1.2]: of pair 0; pair n adds 2n */
#define VIRTIO_NET_RECEIVEQ  0u
#define VIRTIO_NET_TRANSMITQ 1u

/* [virtio-1.4 5.1.3] */
#define VIRTIO_NET_F_CSUM       0u
#define VIRTIO_NET_F_GUEST_CSUM 1u
#define VIRTIO_NET_F_MTU        3u
#define VIRTIO_NET_F_MAC        5u
#define VIRTIO_NET_F_GUEST_TSO4 7u
#define VIRTIO_NET_F_GUEST_TSO6 8u
#define VIRTIO_NET_F_GUEST_ECN  9u
#define VIRTIO_NET_F_HOST_TSO4  11u
#define VIRTIO_NET_F_HOST_TSO6  12u
#define VIRTIO_NET_F_HOST_ECN   13u
#define VIRTIO_NET_F_MRG_RXBUF  15u
#define VIRTIO_NET_F_STATUS     16u
#define VIRTIO_NET_F_CTRL_VQ    17u
#define VIRTIO_NET_F_MQ         22u
#define VIRTIO_NET_F_GUEST_USO4 54u
#define VIRTIO_NET_F_GUEST_USO6 55u
#define VIRTIO_NET_F_HOST_USO   56u

#define VIRTIO_NET_S_LINK_UP 1u

/* [virtio-1.4 5.1.4], as far as the features above make fields valid. */
struct virtio_net_config {
    uint8_t mac[6];
    bh_le16 status;
    bh_le16 max_virtqueue_pairs;
    bh_le16 mtu;
};
_Static_assert(sizeof(struct virtio_net_config) == 12, "[virtio-1.4 5.1.4]");

#define VIRTIO_NET_HDR_F_NEEDS_CSUM 1u
#define VIRTIO_NET_HDR_F_DATA_VALID 2u
#define VIRTIO_NET_HDR_GSO_NONE     0u
#define VIRTIO_NET_HDR_GSO_TCPV4    1u
#define VIRTIO_NET_HDR_GSO_TCPV6    4u
#define VIRTIO_NET_HDR_GSO_UDP_L4   5u
#define VIRTIO_NET_HDR_GSO_ECN      0x80u

/* [virtio-1.4 5.1.6]: num_buffers is always there with VERSION_1. */
struct virtio_net_hdr {
    uint8_t flags;
    uint8_t gso_type;
    bh_le16 hdr_len;
    bh_le16 gso_size;
    bh_le16 csum_start;
    bh_le16 csum_offset;
    bh_le16 num_buffers;
};
_Static_assert(sizeof(struct virtio_net_hdr) == 12, "[virtio-1.4 5.1.6]");

/* [virtio-1.4 5.1.4.1] */
#define VIRTIO_NET_MTU_MIN   68u
#define VIRTIO_NET_MTU_MAX   65535u
#define VIRTIO_NET_PAIRS_MAX 0x8000u

#endif
