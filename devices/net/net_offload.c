/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a frame's header may ask for: checksums to be filled in, a packet to be cut into segments. The rules are the
 * same in both directions; only the feature bits differ.
 */
#include "devices/net/net.h"

/* The feature bits that allow each thing, in one direction. */
struct terms {
    unsigned csum, tso4, tso6, ecn, uso4, uso6;
};

static bool has(uint64_t features, unsigned bit)
{
    return features >> bit & 1u;
}

static bool gso_allowed(const struct terms *terms, uint64_t features, uint8_t gso_type)
{
    switch (gso_type) {
    case VIRTIO_NET_HDR_GSO_TCPV4: return has(features, terms->tso4);
    case VIRTIO_NET_HDR_GSO_TCPV6: return has(features, terms->tso6);
    case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
        return has(features, terms->tso4) && has(features, terms->ecn);
    case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
        return has(features, terms->tso6) && has(features, terms->ecn);
    case VIRTIO_NET_HDR_GSO_UDP_L4: return has(features, terms->uso4) || has(features, terms->uso6);
    default: return false;
    }
}

/* Fields whose flag is not set mean nothing and are cleared. */
static bool check(const struct terms *terms, uint64_t features, struct virtio_net_hdr *header, uint32_t len)
{
    bool needs_csum = header->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;

    header->num_buffers = bh_le16_of(0);
    if (!needs_csum) {
        header->csum_start = header->csum_offset = bh_le16_of(0);
    } else if (!has(features, terms->csum) ||
               (uint32_t)bh_le16_get(header->csum_start) + bh_le16_get(header->csum_offset) + 2u > len) {
        return false;
    }
    if (!bh_net_is_gso(header)) {
        header->gso_size = header->hdr_len = bh_le16_of(0);
        return true;
    }
    if (bh_le16_get(header->hdr_len) > len) /* "The device MUST NOT rely on hdr_len to be correct" */
        header->hdr_len = bh_le16_of(0);
    return needs_csum && bh_le16_get(header->gso_size) > 0 && gso_allowed(terms, features, header->gso_type);
}

bool bh_net_header_from_guest(struct virtio_net_hdr *header, uint32_t len, uint64_t allowed)
{
    static const struct terms terms = {.csum = VIRTIO_NET_F_CSUM,
                                       .tso4 = VIRTIO_NET_F_HOST_TSO4,
                                       .tso6 = VIRTIO_NET_F_HOST_TSO6,
                                       .ecn = VIRTIO_NET_F_HOST_ECN,
                                       .uso4 = VIRTIO_NET_F_HOST_USO,
                                       .uso6 = VIRTIO_NET_F_HOST_USO};

    header->flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    return check(&terms, allowed, header, len);
}

bool bh_net_header_for_guest(struct virtio_net_hdr *header, uint32_t len, uint64_t accepted)
{
    static const struct terms terms = {.csum = VIRTIO_NET_F_GUEST_CSUM,
                                       .tso4 = VIRTIO_NET_F_GUEST_TSO4,
                                       .tso6 = VIRTIO_NET_F_GUEST_TSO6,
                                       .ecn = VIRTIO_NET_F_GUEST_ECN,
                                       .uso4 = VIRTIO_NET_F_GUEST_USO4,
                                       .uso6 = VIRTIO_NET_F_GUEST_USO6};
    uint8_t known = VIRTIO_NET_HDR_F_NEEDS_CSUM;

    if (has(accepted, VIRTIO_NET_F_GUEST_CSUM))
        known |= VIRTIO_NET_HDR_F_DATA_VALID;
    header->flags &= known;
    return check(&terms, accepted, header, len);
}
