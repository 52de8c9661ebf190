/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class [virtio-1.4 5.1]: features, config space, and which file serves which queue: net_tx.c, net_rx.c.
 *
 * Theory of operation of offloads
 *   The port says which offloads it can do, and they are what the guest is offered; so a checksum is computed, and a
 * packet cut into segments, once at most, by whoever is last able to: a network card, or nobody, when the packet
 * ends in another guest of the host. The headers in between are checked (net_offload.c) and passed on.
 */
#include "devices/net/net.h"
#include <bulkhead/impl/class.h>

static struct bh_net *net_of(struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct bh_net, dev);
}

static struct bh_features features(const struct bh_device *dev)
{
    const struct bh_net *net = BH_CONTAINER(dev, struct bh_net, dev);
    struct bh_features f = bh_class_ring_features(), offloads = bh_features_of64(net->port->offloads);

    bh_features_set(&f, VIRTIO_NET_F_MAC);
    bh_features_set(&f, VIRTIO_NET_F_STATUS);
    bh_features_set(&f, VIRTIO_NET_F_MRG_RXBUF);
    if (net->offer_mtu)
        bh_features_set(&f, VIRTIO_NET_F_MTU);
    if (net->pair_count > 1)
        bh_features_set(&f, VIRTIO_NET_F_MQ);
    for (unsigned i = 0; i < BH_FEATURE_WORDS; i++)
        f.word[i] |= offloads.word[i];
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

static void accept_offloads(struct bh_net *net, uint64_t offloads)
{
    net->guest_offloads = offloads & BH_NET_GUEST_OFFLOADS;
    if (net->port->ops->accept)
        net->port->ops->accept(net->port, net->guest_offloads);
}

static void start(struct bh_device *dev)
{
    struct bh_net *net = net_of(dev);

    net->host_offloads = bh_features_low64(&dev->acked) & BH_NET_HOST_OFFLOADS;
    accept_offloads(net, bh_features_low64(&dev->acked));
}

static void reset(struct bh_device *dev)
{
    net_of(dev)->host_offloads = 0;
    accept_offloads(net_of(dev), 0);
}

static bool transmits(const struct bh_virtq *q)
{
    return q->index % 2u == VIRTIO_NET_TRANSMITQ;
}

static void attach(struct bh_net *net, const struct bh_virtq *q, bool on)
{
    struct bh_net_pair *pair = bh_net_pair_of(net, q);

    if (pair->attached != on && net->port->ops->attach)
        net->port->ops->attach(net->port, q->index / 2u, on);
    pair->attached = on;
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    if (transmits(q))
        return bh_net_transmit(net_of(dev), q, budget);
    attach(net_of(dev), q, true);
    return bh_net_receive(net_of(dev), q, budget);
}

static void queue_give_back(struct bh_device *dev, struct bh_virtq *q)
{
    if (transmits(q))
        bh_net_transmit_stop(net_of(dev), q);
    else
        bh_net_receive_stop(net_of(dev), q);
}

static void queue_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    queue_give_back(dev, q);
    if (!transmits(q))
        attach(net_of(dev), q, false);
}

static void port_readable(struct bh_netport *port, unsigned pair)
{
    struct bh_net *net = port->user;
    bh_device_queue_wake(&net->dev, &net->dev.queues[2u * pair + VIRTIO_NET_RECEIVEQ]);
}

static void port_writable(struct bh_netport *port, unsigned pair)
{
    struct bh_net *net = port->user;
    bh_device_queue_wake(&net->dev, &net->dev.queues[2u * pair + VIRTIO_NET_TRANSMITQ]);
}

static void port_link_changed(struct bh_netport *port)
{
    struct bh_net *net = port->user;

    net->config.status = bh_le16_of(port->link_up ? VIRTIO_NET_S_LINK_UP : 0);
    bh_device_config_changed(&net->dev);
    for (unsigned i = 0; i < net->pair_count; i++)
        port_writable(port, i); /* what the port held goes out, or is dropped */
}

static const struct bh_class net_class = {
    .name = "net",
    .virtio_id = VIRTIO_ID_NET,
    .config = config,
    .features = features,
    .negotiated = negotiated,
    .start = start,
    .queue_ready = queue_ready,
    .queue_stopping = queue_stopping,
    .queue_give_back = queue_give_back,
    .reset = reset,
};

void bh_net_init(struct bh_net *net, struct bh_mem *mem, const struct bh_net_memory *memory,
                 struct bh_netport *port, const struct bh_net_setup *setup)
{
    BH_ASSERT(memory->pair_count >= 1 && memory->pair_count <= BH_NET_PAIRS_MAX);
    memset(net, 0, sizeof(*net));
    memset(memory->pairs, 0, memory->pair_count * sizeof(*memory->pairs));
    memcpy(net->config.mac, setup->mac, sizeof(net->config.mac));
    net->config.status = bh_le16_of(port->link_up ? VIRTIO_NET_S_LINK_UP : 0);
    net->config.max_virtqueue_pairs = bh_le16_of((uint16_t)memory->pair_count);
    net->config.mtu = bh_le16_of(setup->mtu);
    net->offer_mtu = setup->mtu != 0;
    net->pair_count = memory->pair_count;
    net->pairs = memory->pairs;
    net->port = port;
    bh_device_init(&net->dev, &net_class, mem, memory->queues, memory->memory,
                   (uint16_t)BH_NET_QUEUES(memory->pair_count));
    port->user = net;
    port->readable = port_readable;
    port->writable = port_writable;
    port->link_changed = port_link_changed;
}
