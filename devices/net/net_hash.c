/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Toeplitz over a frame's addresses and ports.
 *
 * Theory of operation
 *   The frame's headers are walked up to the ports: at most two VLAN tags, and eight IPv6 extension headers, which are
 * skipped (the types of hashes over them are not offered). A fragment has no ports. What is needed lies in `struct
 * flow`, in the order in which it is hashed.
 */
#include "devices/net/net_hash.h"

#define IP_TCP      6u
#define IP_UDP      17u
#define IP_FRAGMENT 44u
#define EXTENSIONS  8u

struct flow {
    uint8_t bytes[36]; /* source, destination, ports */
    unsigned address_bytes;
    bool v6, tcp, udp;
};

static unsigned be16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* Take the ports that begin at `at`, where the transport has some. */
static void take_ports(struct flow *flow, unsigned protocol, const uint8_t *frame, uint32_t at, uint32_t len)
{
    if ((protocol != IP_TCP && protocol != IP_UDP) || len - at < 4)
        return;
    memcpy(flow->bytes + flow->address_bytes, frame + at, 4);
    flow->tcp = protocol == IP_TCP;
    flow->udp = protocol == IP_UDP;
}

static bool find_v4(struct flow *flow, const uint8_t *frame, uint32_t at, uint32_t len)
{
    if (len - at < 20 || frame[at] >> 4 != 4)
        return false;
    const uint32_t header = (frame[at] & 0x0fu) * 4u;
    memcpy(flow->bytes, frame + at + 12, 8);
    flow->address_bytes = 8;
    if (header >= 20 && header <= len - at && !(be16(frame + at + 6) & 0x3fffu))
        take_ports(flow, frame[at + 9], frame, at + header, len);
    return true;
}

static bool is_extension(unsigned next)
{
    return next == 0 || next == 43 || next == 60 || next == 135; /* options, routing, mobility */
}

static bool find_v6(struct flow *flow, const uint8_t *frame, uint32_t at, uint32_t len)
{
    if (len - at < 40 || frame[at] >> 4 != 6)
        return false;
    unsigned next = frame[at + 6];
    memcpy(flow->bytes, frame + at + 8, 32);
    flow->address_bytes = 32;
    flow->v6 = true;
    at += 40;
    for (unsigned i = 0; i < EXTENSIONS && is_extension(next); i++) {
        if (len - at < 8)
            return true;
        const uint32_t bytes = (frame[at + 1] + 1u) * 8u;
        if (bytes > len - at)
            return true;
        next = frame[at];
        at += bytes;
    }
    if (next != IP_FRAGMENT)
        take_ports(flow, next, frame, at, len);
    return true;
}

static bool find_flow(struct flow *flow, const uint8_t *frame, uint32_t len)
{
    uint32_t at = 12;

    *flow = (struct flow){.address_bytes = 0};
    for (unsigned tags = 0;
         tags < 2 && len - at >= 6 && (be16(frame + at) == 0x8100 || be16(frame + at) == 0x88a8); tags++)
        at += 4;
    switch (be16(frame + at)) {
    case 0x0800: return find_v4(flow, frame, at + 2, len);
    case 0x86dd: return find_v6(flow, frame, at + 2, len);
    default: return false;
    }
}

static uint32_t toeplitz(const uint8_t *key, const uint8_t *bytes, unsigned count)
{
    uint32_t window = (uint32_t)key[0] << 24 | (uint32_t)key[1] << 16 | (uint32_t)key[2] << 8 | key[3];
    uint32_t result = 0;

    for (unsigned i = 0; i < count; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            if (bytes[i] >> (7u - bit) & 1u)
                result ^= window;
            window = window << 1 | (key[i + 4] >> (7u - bit) & 1u);
        }
    }
    return result;
}
_Static_assert(BH_NET_HASH_KEY >= sizeof(((struct flow *)0)->bytes) + 4, "the window stays in the key");

uint32_t bh_net_hash_frame(const struct bh_net_hash *hash, const uint8_t *frame, uint32_t len,
                           uint16_t *report)
{
    struct flow flow;

    *report = VIRTIO_NET_HASH_REPORT_NONE;
    if (!hash->types || len < 14 || !find_flow(&flow, frame, len))
        return 0;
    /* The types of IPv6 are those of IPv4, three bits on; so are the reports. */
    const unsigned shift = flow.v6 ? 3 : 0;
    const uint32_t types = hash->types >> shift;
    unsigned count = flow.address_bytes + 4;
    if (flow.tcp && (types & VIRTIO_NET_HASH_TYPE_TCPv4)) {
        *report = VIRTIO_NET_HASH_REPORT_TCPv4;
    } else if (flow.udp && (types & VIRTIO_NET_HASH_TYPE_UDPv4)) {
        *report = VIRTIO_NET_HASH_REPORT_UDPv4;
    } else if (types & VIRTIO_NET_HASH_TYPE_IPv4) {
        *report = VIRTIO_NET_HASH_REPORT_IPv4;
        count = flow.address_bytes;
    } else {
        return 0;
    }
    *report = (uint16_t)(*report + shift);
    return toeplitz(hash->key, flow.bytes, count);
}

void bh_net_hash_automatic(struct bh_net_hash *hash)
{
    memset(hash, 0, sizeof(*hash));
    hash->types = BH_NET_HASH_TYPES;
    for (unsigned i = 0; i < BH_NET_HASH_KEY; i++)
        hash->key[i] = (uint8_t)(0x6d + 0x5a * i); /* any bits that are not regular */
}
