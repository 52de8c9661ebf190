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
#define VIRTIO_NET_F_CSUM                0u
#define VIRTIO_NET_F_GUEST_CSUM          1u
#define VIRTIO_NET_F_CTRL_GUEST_OFFLOADS 2u
#define VIRTIO_NET_F_MTU                 3u
#define VIRTIO_NET_F_MAC                 5u
#define VIRTIO_NET_F_GUEST_TSO4          7u
#define VIRTIO_NET_F_GUEST_TSO6          8u
#define VIRTIO_NET_F_GUEST_ECN           9u
#define VIRTIO_NET_F_HOST_TSO4           11u
#define VIRTIO_NET_F_HOST_TSO6           12u
#define VIRTIO_NET_F_HOST_ECN            13u
#define VIRTIO_NET_F_MRG_RXBUF           15u
#define VIRTIO_NET_F_STATUS              16u
#define VIRTIO_NET_F_CTRL_VQ             17u
#define VIRTIO_NET_F_CTRL_RX             18u
#define VIRTIO_NET_F_CTRL_VLAN           19u
#define VIRTIO_NET_F_CTRL_RX_EXTRA       20u
#define VIRTIO_NET_F_GUEST_ANNOUNCE      21u
#define VIRTIO_NET_F_MQ                  22u
#define VIRTIO_NET_F_CTRL_MAC_ADDR       23u
#define VIRTIO_NET_F_GUEST_USO4          54u
#define VIRTIO_NET_F_GUEST_USO6          55u
#define VIRTIO_NET_F_HOST_USO            56u
#define VIRTIO_NET_F_HASH_REPORT         57u
#define VIRTIO_NET_F_RSS                 60u

#define VIRTIO_NET_S_LINK_UP  1u
#define VIRTIO_NET_S_ANNOUNCE 2u

/* [virtio-1.4 5.1.4], as far as the features above make fields valid. */
struct virtio_net_config {
    uint8_t mac[6];
    bh_le16 status;
    bh_le16 max_virtqueue_pairs;
    bh_le16 mtu;
    bh_le32 speed; /* Mbit/s */
    uint8_t duplex;
    uint8_t rss_max_key_size;
    bh_le16 rss_max_indirection_table_length;
    bh_le32 supported_hash_types;
};
_Static_assert(sizeof(struct virtio_net_config) == 24, "[virtio-1.4 5.1.4]");
#define VIRTIO_NET_SPEED_UNKNOWN  0xffffffffu
#define VIRTIO_NET_DUPLEX_UNKNOWN 0xffu

#define VIRTIO_NET_HDR_F_NEEDS_CSUM 1u
#define VIRTIO_NET_HDR_F_DATA_VALID 2u
#define VIRTIO_NET_HDR_GSO_NONE     0u
#define VIRTIO_NET_HDR_GSO_TCPV4    1u
#define VIRTIO_NET_HDR_GSO_TCPV6    4u
#define VIRTIO_NET_HDR_GSO_UDP_L4   5u
#define VIRTIO_NET_HDR_GSO_ECN      0x80u

/* [virtio-1.4 5.1.9]: num_buffers is always there with VERSION_1. */
struct virtio_net_hdr {
    uint8_t flags;
    uint8_t gso_type;
    bh_le16 hdr_len;
    bh_le16 gso_size;
    bh_le16 csum_start;
    bh_le16 csum_offset;
    bh_le16 num_buffers;
};
_Static_assert(sizeof(struct virtio_net_hdr) == 12, "[virtio-1.4 5.1.9]");

/* Behind it with HASH_REPORT, in both directions. */
struct virtio_net_hdr_hash {
    bh_le32 hash_value;
    bh_le16 hash_report;
    bh_le16 padding;
};
_Static_assert(sizeof(struct virtio_net_hdr_hash) == 8, "[virtio-1.4 5.1.9]");

/* [virtio-1.4 5.1.9.4.2.1] */
#define VIRTIO_NET_HASH_TYPE_IPv4  0x01u
#define VIRTIO_NET_HASH_TYPE_TCPv4 0x02u
#define VIRTIO_NET_HASH_TYPE_UDPv4 0x04u
#define VIRTIO_NET_HASH_TYPE_IPv6  0x08u
#define VIRTIO_NET_HASH_TYPE_TCPv6 0x10u
#define VIRTIO_NET_HASH_TYPE_UDPv6 0x20u
/* [virtio-1.4 5.1.9.4.4] */
#define VIRTIO_NET_HASH_REPORT_NONE  0u
#define VIRTIO_NET_HASH_REPORT_IPv4  1u
#define VIRTIO_NET_HASH_REPORT_TCPv4 2u
#define VIRTIO_NET_HASH_REPORT_UDPv4 3u
#define VIRTIO_NET_HASH_REPORT_IPv6  4u
#define VIRTIO_NET_HASH_REPORT_TCPv6 5u
#define VIRTIO_NET_HASH_REPORT_UDPv6 6u

/* The control queue [virtio-1.4 5.1.9.5]: class and command, their data, then an answer of one byte. */
struct virtio_net_ctrl_hdr {
    uint8_t class;
    uint8_t command;
};
_Static_assert(sizeof(struct virtio_net_ctrl_hdr) == 2, "[virtio-1.4 5.1.9.5]");
#define VIRTIO_NET_OK                      0u
#define VIRTIO_NET_ERR                     1u
#define VIRTIO_NET_CTRL_RX                 0u
#define VIRTIO_NET_CTRL_RX_PROMISC         0u
#define VIRTIO_NET_CTRL_RX_ALLMULTI        1u
#define VIRTIO_NET_CTRL_RX_ALLUNI          2u
#define VIRTIO_NET_CTRL_RX_NOMULTI         3u
#define VIRTIO_NET_CTRL_RX_NOUNI           4u
#define VIRTIO_NET_CTRL_RX_NOBCAST         5u
#define VIRTIO_NET_CTRL_MAC                1u
#define VIRTIO_NET_CTRL_MAC_TABLE_SET      0u
#define VIRTIO_NET_CTRL_MAC_ADDR_SET       1u
#define VIRTIO_NET_CTRL_VLAN               2u
#define VIRTIO_NET_CTRL_VLAN_ADD           0u
#define VIRTIO_NET_CTRL_VLAN_DEL           1u
#define VIRTIO_NET_CTRL_ANNOUNCE           3u
#define VIRTIO_NET_CTRL_ANNOUNCE_ACK       0u
#define VIRTIO_NET_CTRL_MQ                 4u
#define VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET    0u
#define VIRTIO_NET_CTRL_MQ_RSS_CONFIG      1u
#define VIRTIO_NET_CTRL_MQ_HASH_CONFIG     2u
#define VIRTIO_NET_CTRL_GUEST_OFFLOADS     5u
#define VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET 0u

/* [virtio-1.4 5.1.4.1] */
#define VIRTIO_NET_MTU_MIN   68u
#define VIRTIO_NET_MTU_MAX   65535u
#define VIRTIO_NET_PAIRS_MAX 0x8000u

#endif
