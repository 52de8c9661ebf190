/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hash of a frame's flow [virtio-1.4 5.1.9.4.2] and the choice of a receive queue by it [virtio-1.4 5.1.9.5.7].
 *
 * Threading: the device's.   Ownership: by value.   May block: no.
 */
#ifndef DEVICES_NET_NET_HASH_H
#define DEVICES_NET_NET_HASH_H

#include "abi/virtio_net.h"

#define BH_NET_HASH_KEY   40u  /* bytes: enough for two IPv6 addresses and ports */
#define BH_NET_HASH_TABLE 128u /* entries */
#define BH_NET_HASH_TYPES                                                                                    \
    (VIRTIO_NET_HASH_TYPE_IPv4 | VIRTIO_NET_HASH_TYPE_TCPv4 | VIRTIO_NET_HASH_TYPE_UDPv4 |                   \
     VIRTIO_NET_HASH_TYPE_IPv6 | VIRTIO_NET_HASH_TYPE_TCPv6 | VIRTIO_NET_HASH_TYPE_UDPv6)

struct bh_net_hash {
    uint32_t types; /* enabled, of BH_NET_HASH_TYPES */
    uint8_t key[BH_NET_HASH_KEY];
    bool steers; /* RSS_CONFIG came: the table chooses the queue */
    uint16_t mask;
    uint16_t unclassified;             /* a pair's index, as all entries are */
    uint16_t table[BH_NET_HASH_TABLE]; /* mask + 1 entries are valid */
};

/* The flow's hash; *report says over what it was computed (VIRTIO_NET_HASH_REPORT_*). */
uint32_t bh_net_hash_frame(const struct bh_net_hash *hash, const uint8_t *frame, uint32_t len,
                           uint16_t *report);
/* The pair whose receive queue the frame goes to, when the table steers. */
static inline unsigned bh_net_hash_steer(const struct bh_net_hash *hash, uint32_t value, uint16_t report)
{
    return report == VIRTIO_NET_HASH_REPORT_NONE ? hash->unclassified : hash->table[value & hash->mask];
}
/* For steering by our own choice: every type, a key of ours. */
void bh_net_hash_automatic(struct bh_net_hash *hash);

#endif
