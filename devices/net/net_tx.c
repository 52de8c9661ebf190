/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class's transmit queues.
 *
 * Theory of operation
 *   Chains are popped in batches; each header is read into our memory and checked, and the batch goes to the
 * port as frames whose segments lie in guest memory. What the port does not take stays popped, and the queue is
 * held until the port calls `writable`. Frames that nobody could send (too short, too long, an offload that was
 * never negotiated, no link) are dropped and counted, as a cable would.
 */
#include "devices/net/net.h"
#include <bulkhead/impl/class.h>

/* The chain's frame, behind the header. False: dropped and counted. */
static bool frame_of(struct bh_net *net, const struct bh_chain *chain, struct bh_net_frame *frame)
{
    size_t skip = net->header_bytes;
    uint16_t i = 0;

    if (chain->out_len < skip + BH_NET_FRAME_MIN) {
        net->counters.tx_short++;
        return false;
    }
    (void)bh_chain_read(chain, 0, &frame->header, sizeof(frame->header));
    frame->len = chain->out_len - net->header_bytes;
    if (!bh_net_header_from_guest(&frame->header, frame->len, net->host_offloads)) {
        net->counters.tx_bad_header++;
        return false;
    }
    if (frame->len > (bh_net_is_gso(&frame->header) ? BH_NET_GSO_BYTES : net->port->frame_max)) {
        net->counters.tx_long++;
        return false;
    }
    if (!bh_net_link_up(net)) {
        net->counters.tx_no_link++;
        return false;
    }
    while (skip >= chain->segs[i].len)
        skip -= chain->segs[i++].len;
    frame->first = (struct bh_seg){(uint8_t *)chain->segs[i].base + skip, chain->segs[i].len - skip};
    frame->rest = &chain->segs[i + 1];
    frame->rest_count = (unsigned)chain->out_count - i - 1u;
    return true;
}

/*
 * Offer what was popped. Chains are done up to the first frame that the port did not take; those behind it are
 * looked at anew when there is room. Returns false when the port is full. What is done is ours no more before it is
 * pushed: a push may end in a reset, and that gives back what is ours.
 */
static bool offer(struct bh_net *net, struct bh_virtq *q, struct bh_net_pair *pair)
{
    unsigned owner[BH_NET_BATCH]; /* frame -> its chain */
    struct bh_chain *pushed[BH_NET_BATCH];
    unsigned count = 0, done = pair->tx_count;

    for (unsigned i = 0; i < pair->tx_count; i++) {
        pair->tx[i]->written = 0;
        if (frame_of(net, pair->tx[i], &pair->frames[count]))
            owner[count++] = i;
    }
    unsigned taken =
        count ? net->port->ops->send(net->port, bh_net_port_pair(net, q), pair->frames, count) : 0;
    BH_ASSERT(taken <= count);
    net->counters.tx_frames += taken;
    if (taken < count)
        done = owner[taken];
    memcpy(pushed, pair->tx, done * sizeof(pushed[0]));
    pair->tx_count -= done;
    for (unsigned i = 0; i < pair->tx_count; i++)
        pair->tx[i] = pair->tx[done + i];
    bh_virtq_push(q, pushed, done);
    return taken == count;
}

enum bh_ready bh_net_transmit(struct bh_net *net, struct bh_virtq *q, unsigned budget)
{
    struct bh_net_pair *pair = bh_net_pair_of(net, q);

    do {
        if (pair->tx_count == 0) {
            int popped = bh_virtq_pop(q, pair->tx, budget < BH_NET_BATCH ? budget : BH_NET_BATCH);
            if (popped == BH_ERR_PENDING)
                return BH_READY_HELD;
            if (popped <= 0)
                return BH_READY_DRAINED;
            pair->tx_count = (unsigned)popped;
        }
        unsigned before = pair->tx_count;
        if (!offer(net, q, pair)) {
            net->counters.tx_held++;
            return BH_READY_HELD;
        }
        budget -= budget < before ? budget : before;
    } while (budget > 0);
    return BH_READY_MORE;
}

void bh_net_transmit_stop(struct bh_net *net, struct bh_virtq *q)
{
    struct bh_net_pair *pair = bh_net_pair_of(net, q);
    unsigned count = pair->tx_count;

    pair->tx_count = 0;
    if (count > 0)
        bh_virtq_unpop(q, count);
}
