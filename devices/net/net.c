/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class [virtio-1.4 5.1]: features, config space, the transmit queue. Receiving is net_rx.c.
 *
 * Theory of operation of the transmit side
 *   Chains are popped in batches; each header is read into our memory and checked, and the batch goes to the
 * port as frames whose segments lie in guest memory. What the port does not take stays popped, and the queue is
 * held until the port calls `writable`. Frames that nobody could send (too short, too long, an offload that was
 * never negotiated, no link) are dropped and counted, as a cable would.
 */
#include "devices/net/net.h"
#include <bulkhead/impl/class.h>

static struct bh_net *net_of(struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct bh_net, dev);
}

static struct bh_features features(const struct bh_device *dev)
{
    struct bh_features f = bh_class_ring_features();
    bh_features_set(&f, VIRTIO_NET_F_MAC);
    bh_features_set(&f, VIRTIO_NET_F_STATUS);
    bh_features_set(&f, VIRTIO_NET_F_MRG_RXBUF);
    if (BH_CONTAINER(dev, struct bh_net, dev)->offer_mtu)
        bh_features_set(&f, VIRTIO_NET_F_MTU);
    return f;
}

/* Without VERSION_1 the header is another one [virtio-1.4 5.1.6.1]. */
static int negotiated(struct bh_device *dev)
{
    return bh_device_has(dev, BH_F_VERSION_1) ? BH_OK : BH_ERR_UNSUPPORTED;
}

static const void *config(const struct bh_device *dev, uint32_t *size)
{
    *size = sizeof(struct virtio_net_config);
    return &BH_CONTAINER(dev, struct bh_net, dev)->config;
}

/* The chain's frame, behind the header. False: dropped and counted. */
static bool frame_of(struct bh_net *net, const struct bh_chain *chain, struct bh_net_frame *frame)
{
    struct virtio_net_hdr header;
    size_t skip = sizeof(header);
    uint16_t i = 0;

    if (bh_chain_read(chain, 0, &header, sizeof(header)) < sizeof(header) ||
        chain->out_len - sizeof(header) < BH_NET_FRAME_MIN) {
        net->counters.tx_short++;
        return false;
    }
    if (header.gso_type != VIRTIO_NET_HDR_GSO_NONE || (header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
        net->counters.tx_bad_header++;
        return false;
    }
    frame->len = chain->out_len - (uint32_t)sizeof(header);
    if (frame->len > net->port->frame_max) {
        net->counters.tx_long++;
        return false;
    }
    if (!net->port->link_up) {
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
 * looked at anew when there is room. Returns false when the port is full.
 */
static bool transmit(struct bh_net *net, struct bh_virtq *q)
{
    unsigned owner[BH_NET_BATCH]; /* frame -> its chain */
    unsigned count = 0, done = net->tx_count;

    for (unsigned i = 0; i < net->tx_count; i++) {
        net->tx[i]->written = 0;
        if (frame_of(net, net->tx[i], &net->frames[count]))
            owner[count++] = i;
    }
    unsigned taken = count ? net->port->ops->send(net->port, net->frames, count) : 0;
    BH_ASSERT(taken <= count);
    net->counters.tx_frames += taken;
    if (taken < count)
        done = owner[taken];
    if (done > 0)
        bh_virtq_push(q, net->tx, done);
    net->tx_count -= done;
    for (unsigned i = 0; i < net->tx_count; i++)
        net->tx[i] = net->tx[done + i];
    return net->tx_count == 0;
}

static enum bh_ready transmit_ready(struct bh_net *net, struct bh_virtq *q, unsigned budget)
{
    do {
        if (net->tx_count == 0) {
            int popped = bh_virtq_pop(q, net->tx, budget < BH_NET_BATCH ? budget : BH_NET_BATCH);
            if (popped == BH_ERR_PENDING)
                return BH_READY_HELD;
            if (popped <= 0)
                return BH_READY_DRAINED;
            net->tx_count = (unsigned)popped;
        }
        unsigned before = net->tx_count;
        if (!transmit(net, q)) {
            net->counters.tx_held++;
            return BH_READY_HELD;
        }
        budget -= budget < before ? budget : before;
    } while (budget > 0);
    return BH_READY_MORE;
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    if (q->index == VIRTIO_NET_TRANSMITQ)
        return transmit_ready(net_of(dev), q, budget);
    return bh_net_receive(net_of(dev), q, budget);
}

static void queue_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    struct bh_net *net = net_of(dev);
    unsigned count = net->tx_count;

    if (q->index == VIRTIO_NET_RECEIVEQ) {
        bh_net_receive_stop(net, q);
        return;
    }
    net->tx_count = 0;
    if (count > 0)
        bh_virtq_unpop(q, count);
}

static void port_readable(struct bh_netport *port)
{
    struct bh_net *net = port->user;
    bh_device_queue_wake(&net->dev, &net->queues[VIRTIO_NET_RECEIVEQ]);
}

static void port_writable(struct bh_netport *port)
{
    struct bh_net *net = port->user;
    bh_device_queue_wake(&net->dev, &net->queues[VIRTIO_NET_TRANSMITQ]);
}

static void port_link_changed(struct bh_netport *port)
{
    struct bh_net *net = port->user;

    net->config.status = bh_le16_of(port->link_up ? VIRTIO_NET_S_LINK_UP : 0);
    bh_device_config_changed(&net->dev);
    port_writable(port); /* what the port held goes out, or is dropped */
}

static const struct bh_class net_class = {
    .name = "net",
    .virtio_id = VIRTIO_ID_NET,
    .config = config,
    .features = features,
    .negotiated = negotiated,
    .queue_ready = queue_ready,
    .queue_stopping = queue_stopping,
    .queue_give_back = queue_stopping,
};

void bh_net_init(struct bh_net *net, struct bh_mem *mem, const struct bh_virtq_memory *memory,
                 struct bh_netport *port, const struct bh_net_setup *setup)
{
    memset(net, 0, sizeof(*net));
    memcpy(net->config.mac, setup->mac, sizeof(net->config.mac));
    net->config.status = bh_le16_of(port->link_up ? VIRTIO_NET_S_LINK_UP : 0);
    net->config.max_virtqueue_pairs = bh_le16_of(1);
    net->config.mtu = bh_le16_of(setup->mtu);
    net->offer_mtu = setup->mtu != 0;
    bh_device_init(&net->dev, &net_class, mem, net->queues, memory, BH_NET_QUEUES);
    net->port = port;
    port->user = net;
    port->readable = port_readable;
    port->writable = port_writable;
    port->link_changed = port_link_changed;
}
