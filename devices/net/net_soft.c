/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums and segments in software.
 */
#include "devices/net/net_soft.h"

#define IP_TCP   6u
#define IP_UDP   17u
#define TCP_FIN  0x01u
#define TCP_PUSH 0x08u
#define TCP_CWR  0x80u

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* The sum of 16-bit words, big endian, not yet folded [RFC 1071]. */
static uint64_t sum_of(const uint8_t *bytes, uint32_t len)
{
    uint64_t sum = 0;

    for (; len >= 2; bytes += 2, len -= 2)
        sum += get16(bytes);
    return len ? sum + ((uint32_t)bytes[0] << 8) : sum;
}

static unsigned fold(uint64_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffffu) + (sum >> 16);
    return ~(unsigned)sum & 0xffffu;
}

void bh_net_soft_checksum(uint8_t *frame, uint32_t len, const struct virtio_net_hdr *header)
{
    const uint32_t start = bh_le16_get(header->csum_start), at = start + bh_le16_get(header->csum_offset);
    /* What stands there is the sum of the pseudo header. */
    const unsigned sum = fold(sum_of(frame + start, len - start));

    put16(frame + at, sum ? sum : 0xffffu); /* in UDP, 0 would say that there is none */
}

static bool find_network(struct bh_net_soft *soft)
{
    uint32_t at = 12;

    for (unsigned tags = 0; tags < 2 && soft->len - at >= 6 &&
                            (get16(soft->frame + at) == 0x8100 || get16(soft->frame + at) == 0x88a8);
         tags++)
        at += 4;
    soft->network = at + 2;
    soft->v6 = get16(soft->frame + at) == 0x86dd;
    return soft->v6 || get16(soft->frame + at) == 0x0800;
}

bool bh_net_soft_plan(struct bh_net_soft *soft, const uint8_t *frame, uint32_t len,
                      const struct virtio_net_hdr *header)
{
    const unsigned type = header->gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

    *soft = (struct bh_net_soft){.frame = frame,
                                 .len = len,
                                 .transport = bh_le16_get(header->csum_start),
                                 .size = bh_le16_get(header->gso_size),
                                 .tcp = type != VIRTIO_NET_HDR_GSO_UDP_L4};
    if (len < 14 || !find_network(soft) || (soft->tcp && soft->v6 != (type == VIRTIO_NET_HDR_GSO_TCPV6)))
        return false;
    if (soft->transport < soft->network + (soft->v6 ? 40u : 20u) ||
        soft->transport + (soft->tcp ? 20u : 8u) > len)
        return false;
    if (!soft->v6 && soft->network + (frame[soft->network] & 0x0fu) * 4u != soft->transport)
        return false;
    const uint32_t header_bytes = soft->tcp ? (frame[soft->transport + 12] >> 4) * 4u : 8u;
    soft->payload = soft->transport + header_bytes;
    if ((soft->tcp && header_bytes < 20) || soft->payload >= len || soft->size == 0)
        return false;
    const uint32_t count = (len - soft->payload + soft->size - 1) / soft->size;
    soft->count = count;
    return count <= BH_NET_SOFT_SEGMENTS;
}

/* The lengths and numbers of an IP header, and in IPv4 its checksum. */
static void fix_network(const struct bh_net_soft *soft, unsigned index, uint8_t *out, uint32_t len)
{
    uint8_t *ip = out + soft->network;

    if (soft->v6) {
        put16(ip + 4, len - soft->network - 40);
        return;
    }
    put16(ip + 2, len - soft->network);
    put16(ip + 4, get16(ip + 4) + index);
    put16(ip + 10, 0);
    put16(ip + 10, fold(sum_of(ip, soft->transport - soft->network)));
}

static void fix_transport(const struct bh_net_soft *soft, unsigned index, uint8_t *out, uint32_t len)
{
    const uint8_t *ip = out + soft->network;
    uint8_t *l4 = out + soft->transport, *checksum = l4 + (soft->tcp ? 16 : 6);
    uint64_t sum = soft->v6 ? sum_of(ip + 8, 32) : sum_of(ip + 12, 8);

    if (soft->tcp) {
        const uint32_t sequence =
            ((uint32_t)get16(l4 + 4) << 16 | get16(l4 + 6)) + (uint32_t)index * soft->size;
        put16(l4 + 4, sequence >> 16);
        put16(l4 + 6, sequence);
        if (index + 1 < soft->count)
            l4[13] &= (uint8_t) ~(TCP_FIN | TCP_PUSH);
        if (index > 0)
            l4[13] &= (uint8_t)~TCP_CWR;
    } else {
        put16(l4 + 4, len - soft->transport);
    }
    put16(checksum, 0);
    sum += (soft->tcp ? IP_TCP : IP_UDP) + (len - soft->transport);
    const unsigned folded = fold(sum + sum_of(l4, len - soft->transport));
    put16(checksum, folded ? folded : 0xffffu);
}

uint32_t bh_net_soft_segment(const struct bh_net_soft *soft, unsigned index, uint8_t *out)
{
    const uint32_t from = soft->payload + (uint32_t)index * soft->size;
    const uint32_t part = soft->len - from < soft->size ? soft->len - from : soft->size;

    memcpy(out, soft->frame, soft->payload);
    memcpy(out + soft->payload, soft->frame + from, part);
    fix_network(soft, index, out, soft->payload + part);
    fix_transport(soft, index, out, soft->payload + part);
    return soft->payload + part;
}
