/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class's receive queue.
 *
 * Theory of operation
 *   The port shows its next frame; buffers are popped until it fits: several with MRG_RXBUF, one without
 * [virtio-1.4 5.1.9.3.2]. The header goes in front, the frame behind it, and the buffers of many frames are
 * pushed at once; those popped too many are given back. When the buffers run out in
 * the middle of a frame, it stays in the port, and its buffers in hand: given back, they would look like new
 * ones. A frame for which the guest's buffers can never do is dropped and counted.
 *   Where the frames of one pair of the port are spread over the queues (bh_net_steered), each queue takes its own,
 * and wakes the one that the next frame belongs to. So a queue is touched by none but itself; a queue without
 * buffers lets the others wait: they are the same guest's.
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
        if (hand->chains[next]->in_len < net->header_bytes) {
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

/* What stands in front of a frame: the hash only with HASH_REPORT. */
struct front {
    struct virtio_net_hdr header;
    struct virtio_net_hdr_hash hash;
};
_Static_assert(sizeof(struct front) == 20, "[virtio-1.4 5.1.9]");

/* The front into the first buffer, the frame behind it. False: too many segments. */
static bool fill(struct bh_net *net, struct bh_net_pair *pair, unsigned count,
                 const struct bh_net_arrival *arrival, struct front *front)
{
    struct bh_net_hand *hand = &pair->hand;
    struct bh_chain **chains = &hand->chains[hand->used];
    uint32_t left = arrival->len;
    unsigned segs = 0;

    for (unsigned i = 0; i < count; i++) {
        uint32_t skip = i == 0 ? net->header_bytes : 0;
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
    front->header.num_buffers = bh_le16_of((uint16_t)count);
    bh_chain_write(chains[0], 0, front, net->header_bytes);
    scatter(arrival, pair->rx_segs, segs);
    hand->used += count;
    net->counters.rx_frames++;
    return true;
}

/* Chains are ours no more before they are pushed: a push may end in a reset, and that gives back what is ours. */
static void put_down(struct bh_virtq *q, struct bh_net_hand *hand, bool keep)
{
    struct bh_chain *done[BH_NET_CHAINS];
    const unsigned count = hand->used;

    if (!keep && hand->popped > hand->used) {
        bh_virtq_unpop(q, hand->popped - hand->used);
        hand->popped = hand->used;
    }
    if (count == 0)
        return;
    memcpy(done, hand->chains, count * sizeof(done[0]));
    hand->popped -= count;
    for (unsigned i = 0; i < hand->popped; i++)
        hand->chains[i] = hand->chains[count + i];
    hand->used = 0;
    bh_virtq_push(q, done, count);
}

void bh_net_receive_stop(struct bh_net *net, struct bh_virtq *q)
{
    put_down(q, &bh_net_pair_of(net, q)->hand, false);
}

/* By the type behind the addresses: 802.1Q's or 802.1ad's. */
static bool tagged(const uint8_t *frame)
{
    return (frame[12] == 0x81 && frame[13] == 0x00) || (frame[12] == 0x88 && frame[13] == 0xa8);
}

/* A port's longest frame has room for a tag; where the mtu was negotiated, only for one [virtio-1.4 5.1.4.1]. */
static bool too_long(const struct bh_net *net, const struct bh_net_arrival *arrival, bool gso)
{
    const uint32_t plain = BH_NET_FRAME_MIN + bh_le16_get(net->config.mtu);

    if (gso)
        return arrival->len > BH_NET_GSO_BYTES;
    return arrival->len > net->port->frame_max ||
           (arrival->len > plain && bh_device_has(&net->dev, VIRTIO_NET_F_MTU) && !tagged(arrival->bytes));
}

/* A frame that the guest may be given, and its header as it may see it. */
static bool acceptable(struct bh_net *net, const struct bh_net_arrival *arrival, struct front *front)
{
    front->header = arrival->header;
    if (arrival->len < BH_NET_FRAME_MIN ||
        !bh_net_header_for_guest(&front->header, arrival->len, net->guest_offloads) ||
        too_long(net, arrival, bh_net_is_gso(&front->header))) {
        net->counters.rx_bad++;
        return false;
    }
    if (net->unplugged) {
        net->counters.rx_no_link++;
        return false;
    }
    if (!bh_net_filter_wants(&net->filter, arrival->bytes, arrival->len)) {
        net->counters.rx_filtered++;
        return false;
    }
    return true;
}

/* The flow's hash, as the driver wants to be told it, and the pair that the frame belongs to. */
static unsigned choose(const struct bh_net *net, const struct bh_net_arrival *arrival, struct front *front)
{
    uint16_t report = VIRTIO_NET_HASH_REPORT_NONE;
    uint32_t value = bh_net_hash_frame(&net->hash, arrival->bytes, arrival->len, &report);

    front->hash =
        (struct virtio_net_hdr_hash){.hash_value = bh_le32_of(value), .hash_report = bh_le16_of(report)};
    if (net->hash.steers)
        return bh_net_hash_steer(&net->hash, value, report);
    value = bh_net_hash_frame(&net->automatic, arrival->bytes, arrival->len, &report);
    return value % net->active_pairs;
}

enum verdict {
    TAKE, /* it is this queue's */
    DROP,
    ELSEWHERE, /* it is another queue's, which was woken */
};

static enum verdict judge(struct bh_net *net, unsigned index, const struct bh_net_arrival *arrival,
                          struct front *front)
{
    if (!acceptable(net, arrival, front))
        return DROP;
    front->hash = (struct virtio_net_hdr_hash){.hash_report = bh_le16_of(VIRTIO_NET_HASH_REPORT_NONE)};
    if (!bh_net_steered(net) && net->header_bytes == sizeof(front->header))
        return TAKE;
    const unsigned owner = choose(net, arrival, front);
    if (!bh_net_steered(net) || owner == index)
        return TAKE;
    struct bh_virtq *q = &net->dev.queues[2u * owner + VIRTIO_NET_RECEIVEQ];
    if (!net->pairs[owner].runs || !bh_virtq_running(q)) {
        net->counters.rx_no_queue++;
        return DROP;
    }
    bh_device_queue_wake(&net->dev, q);
    return ELSEWHERE;
}

enum bh_ready bh_net_receive(struct bh_net *net, struct bh_virtq *q, unsigned budget)
{
    struct bh_net_pair *pair = bh_net_pair_of(net, q);
    const unsigned index = q->index / 2u, source = bh_net_steered(net) ? 0 : index;
    enum bh_ready ready = BH_READY_MORE;
    bool keep = false;

    if (index >= net->active_pairs)
        return BH_READY_HELD; /* until the driver makes it active */
    for (; budget > 0; budget--) {
        const struct bh_net_arrival *arrival = net->port->ops->peek(net->port, source);
        struct front front;
        unsigned count = 0;

        if (!arrival) {
            ready = BH_READY_HELD;
            break;
        }
        const enum verdict verdict = judge(net, index, arrival, &front);
        if (verdict == ELSEWHERE) {
            ready = BH_READY_HELD;
            break;
        }
        if (verdict == DROP) {
            net->port->ops->drop(net->port, source);
            continue;
        }
        enum fit fit = gather(net, q, &pair->hand, arrival->len + net->header_bytes, &count);
        if (fit == FIT_YES || fit == FIT_NEVER) {
            if (fit == FIT_NEVER || !fill(net, pair, count, arrival, &front))
                net->counters.rx_no_room++;
            net->port->ops->drop(net->port, source);
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
