/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class's receive queue.
 *
 * Theory of operation
 *   The port shows its next frame; buffers are popped until it fits: several with MRG_RXBUF, one without
 * [virtio-1.4 5.1.6.3.2]. The header goes in front, the frame behind it, and the buffers of many frames are
 * pushed at once; those popped too many are given back. When the buffers run out in
 * the middle of a frame, it stays in the port, and its buffers in hand: given back, they would look like new
 * ones. A frame for which the guest's buffers can never do is dropped and counted.
 */
#include "devices/net/net.h"
#include <bulkhead/impl/class.h>

enum fit {
    FIT_YES,
    FIT_NEVER, /* drop the frame */
    FIT_LATER, /* the guest has no more buffers */
    FIT_FULL,  /* the hand is full: push it first */
    FIT_STOP,  /* the queue is broken */
    FIT_WAIT,  /* a translation is under way */
};

/* Have free buffers of `need` bytes in hand; *count of them take the frame. */
static enum fit gather(const struct bh_net *net, struct bh_virtq *q, struct bh_net_hand *hand, uint32_t need,
                       unsigned *count)
{
    bool mergeable = bh_device_has(&net->dev, VIRTIO_NET_F_MRG_RXBUF);
    uint64_t room = 0;
    unsigned next = hand->used;

    while (room < need) {
        if (next > hand->used && !mergeable)
            return FIT_NEVER;
        if (next == BH_NET_CHAINS)
            return hand->used > 0 ? FIT_FULL : FIT_NEVER;
        if (next == hand->popped) {
            unsigned want = BH_NET_CHAINS - next < 8 ? BH_NET_CHAINS - next : 8;
            int got = bh_virtq_pop(q, &hand->chains[next], want);
            if (got <= 0)
                return got == 0 ? FIT_LATER : got == BH_ERR_PENDING ? FIT_WAIT : FIT_STOP;
            hand->popped += (unsigned)got;
        }
        if (hand->chains[next]->in_len < sizeof(struct virtio_net_hdr)) {
            bh_virtq_break(q, BH_BROKEN_CLASS);
            return FIT_STOP;
        }
        room += hand->chains[next++]->in_len;
    }
    *count = next - hand->used;
    return FIT_YES;
}

/* The frame into segments that have room for exactly its length. */
static void scatter(const struct bh_net_arrival *arrival, const struct bh_seg *segs, unsigned count)
{
    const uint8_t *from = arrival->bytes;

    for (unsigned i = 0; i < count; i++) {
        memcpy(segs[i].base, from, segs[i].len);
        from += segs[i].len;
    }
}

/* The header into the first buffer, the frame behind it. False: too many segments. */
static bool fill(struct bh_net *net, struct bh_net_pair *pair, unsigned count,
                 const struct bh_net_arrival *arrival, struct virtio_net_hdr *header)
{
    struct bh_net_hand *hand = &pair->hand;
    struct bh_chain **chains = &hand->chains[hand->used];
    uint32_t left = arrival->len;
    unsigned segs = 0;

    for (unsigned i = 0; i < count; i++) {
        uint32_t skip = i == 0 ? (uint32_t)sizeof(*header) : 0;
        uint32_t part = chains[i]->in_len - skip < left ? chains[i]->in_len - skip : left;
        if (part > 0) {
            int made = bh_chain_in_slice(chains[i], skip, part, &pair->rx_segs[segs],
                                         (unsigned)BH_COUNT(pair->rx_segs) - segs);
            if (made < 0)
                return false;
            segs += (unsigned)made;
        }
        chains[i]->written = skip + part;
        left -= part;
    }
    header->num_buffers = bh_le16_of((uint16_t)count);
    bh_chain_write(chains[0], 0, header, sizeof(*header));
    scatter(arrival, pair->rx_segs, segs);
    hand->used += count;
    net->counters.rx_frames++;
    return true;
}

static void put_down(struct bh_virtq *q, struct bh_net_hand *hand, bool keep)
{
    if (!keep && hand->popped > hand->used) {
        bh_virtq_unpop(q, hand->popped - hand->used);
        hand->popped = hand->used;
    }
    if (hand->used > 0)
        bh_virtq_push(q, hand->chains, hand->used);
    hand->popped -= hand->used;
    for (unsigned i = 0; i < hand->popped; i++)
        hand->chains[i] = hand->chains[hand->used + i];
    hand->used = 0;
}

void bh_net_receive_stop(struct bh_net *net, struct bh_virtq *q)
{
    put_down(q, &bh_net_pair_of(net, q)->hand, false);
}

/* A frame that the guest may be given, and its header as it may see it. */
static bool acceptable(const struct bh_net *net, const struct bh_net_arrival *arrival,
                       struct virtio_net_hdr *header)
{
    *header = arrival->header;
    return arrival->len >= BH_NET_FRAME_MIN &&
           bh_net_header_for_guest(header, arrival->len, net->guest_offloads) &&
           arrival->len <= (bh_net_is_gso(header) ? BH_NET_GSO_BYTES : net->port->frame_max);
}

enum bh_ready bh_net_receive(struct bh_net *net, struct bh_virtq *q, unsigned budget)
{
    struct bh_net_pair *pair = bh_net_pair_of(net, q);
    const unsigned index = q->index / 2u;
    enum bh_ready ready = BH_READY_MORE;
    bool keep = false;

    for (; budget > 0; budget--) {
        const struct bh_net_arrival *arrival = net->port->ops->peek(net->port, index);
        struct virtio_net_hdr header;
        unsigned count = 0;

        if (!arrival) {
            ready = BH_READY_HELD;
            break;
        }
        if (!acceptable(net, arrival, &header)) {
            net->counters.rx_bad++;
            net->port->ops->drop(net->port, index);
            continue;
        }
        enum fit fit = gather(net, q, &pair->hand, arrival->len + (uint32_t)sizeof(header), &count);
        if (fit == FIT_YES || fit == FIT_NEVER) {
            if (fit == FIT_NEVER || !fill(net, pair, count, arrival, &header))
                net->counters.rx_no_room++;
            net->port->ops->drop(net->port, index);
            continue;
        }
        if (fit != FIT_FULL)
            ready = fit == FIT_WAIT ? BH_READY_HELD : BH_READY_DRAINED;
        keep = fit == FIT_LATER;
        break;
    }
    put_down(q, &pair->hand, keep);
    return ready;
}
