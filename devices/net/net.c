/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network class [virtio-1.4 5.1]: features, config space, and which queue is served by which file: net_tx.c,
 * net_rx.c, net_control.c.
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

/* What needs one of two others [virtio-1.4 5.1.3.1]; those that others need come first. */
static const struct {
    uint8_t feature, needs[2];
} needs[] = {
    {VIRTIO_NET_F_GUEST_TSO4, {VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM}},
    {VIRTIO_NET_F_GUEST_TSO6, {VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM}},
    {VIRTIO_NET_F_GUEST_USO4, {VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM}},
    {VIRTIO_NET_F_GUEST_USO6, {VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM}},
    {VIRTIO_NET_F_GUEST_ECN, {VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6}},
    {VIRTIO_NET_F_HOST_TSO4, {VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CSUM}},
    {VIRTIO_NET_F_HOST_TSO6, {VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CSUM}},
    {VIRTIO_NET_F_HOST_USO, {VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CSUM}},
    {VIRTIO_NET_F_HOST_ECN, {VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6}},
    {VIRTIO_NET_F_CTRL_RX, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
    {VIRTIO_NET_F_CTRL_RX_EXTRA, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
    {VIRTIO_NET_F_CTRL_VLAN, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
    {VIRTIO_NET_F_CTRL_MAC_ADDR, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
    {VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
    {VIRTIO_NET_F_GUEST_ANNOUNCE, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
    {VIRTIO_NET_F_MQ, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
    {VIRTIO_NET_F_RSS, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
    {VIRTIO_NET_F_HASH_REPORT, {VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ}},
};

/* What is withheld takes along what cannot be without it. */
static struct bh_features without_orphans(struct bh_features f, const struct bh_features *withheld)
{
    f = bh_features_minus(f, *withheld);
    for (unsigned i = 0; i < BH_COUNT(needs); i++)
        if (!bh_features_has(&f, needs[i].needs[0]) && !bh_features_has(&f, needs[i].needs[1]))
            bh_features_clear(&f, needs[i].feature);
    return f;
}

static struct bh_features features(const struct bh_device *dev)
{
    static const uint8_t always[] = {
        VIRTIO_NET_F_MAC,       VIRTIO_NET_F_STATUS,        VIRTIO_NET_F_MRG_RXBUF,
        VIRTIO_NET_F_CTRL_VQ,   VIRTIO_NET_F_CTRL_RX,       VIRTIO_NET_F_CTRL_RX_EXTRA,
        VIRTIO_NET_F_CTRL_VLAN, VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_GUEST_ANNOUNCE};
    const struct bh_net *net = BH_CONTAINER(dev, struct bh_net, dev);
    struct bh_features f = bh_class_ring_features(), offloads = bh_features_of64(net->port->offloads);

    for (unsigned i = 0; i < BH_COUNT(always); i++)
        bh_features_set(&f, always[i]);
    if (net->offer_mtu)
        bh_features_set(&f, VIRTIO_NET_F_MTU);
    if (net->pair_count > 1)
        bh_features_set(&f, VIRTIO_NET_F_MQ);
    if (net->offer_rss && net->pair_count > 1)
        bh_features_set(&f, VIRTIO_NET_F_RSS);
    if (net->offer_hash_report)
        bh_features_set(&f, VIRTIO_NET_F_HASH_REPORT);
    if (net->port->offloads & BH_NET_GUEST_OFFLOADS)
        bh_features_set(&f, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);
    for (unsigned i = 0; i < BH_FEATURE_WORDS; i++)
        f.word[i] |= offloads.word[i];
    return without_orphans(f, &dev->withheld);
}

static const void *config(const struct bh_device *dev, uint32_t *size)
{
    *size = sizeof(struct virtio_net_config);
    return &BH_CONTAINER(dev, struct bh_net, dev)->config;
}

/* --- what was negotiated, and its end ---------------------------------------------------------------------- */

void bh_net_accept_offloads(struct bh_net *net, uint64_t offloads)
{
    net->guest_offloads = offloads & BH_NET_GUEST_OFFLOADS;
    if (net->port->ops->accept)
        net->port->ops->accept(net->port, net->guest_offloads);
}

/* Which queue the commands come on; 0: none, since a front-end keeps them to itself [virtio-1.4 5.1.2]. */
static unsigned control_queue_of(const struct bh_net *net)
{
    if (!bh_device_has(&net->dev, VIRTIO_NET_F_CTRL_VQ))
        return 0;
    const bool many = bh_device_has(&net->dev, VIRTIO_NET_F_MQ) || bh_device_has(&net->dev, VIRTIO_NET_F_RSS);
    return many ? 2u * net->pair_count : 2u;
}

/*
 * A front-end that keeps the control queue says what it made of it by the queues that it enables, and receives
 * whatever comes. Without VERSION_1 the header is another one [virtio-1.4 5.1.9.1].
 */
static int negotiated(struct bh_device *dev)
{
    struct bh_net *net = net_of(dev);
    const bool controlled = bh_device_has(dev, VIRTIO_NET_F_CTRL_VQ);

    if (!bh_device_has(dev, BH_F_VERSION_1))
        return BH_ERR_UNSUPPORTED;
    net->header_bytes = sizeof(struct virtio_net_hdr);
    if (bh_device_has(dev, VIRTIO_NET_F_HASH_REPORT))
        net->header_bytes += (uint32_t)sizeof(struct virtio_net_hdr_hash);
    net->control_queue = control_queue_of(net);
    net->host_offloads = bh_features_low64(&dev->acked) & BH_NET_HOST_OFFLOADS;
    net->active_pairs = controlled ? 1 : net->pair_count;
    net->hash = (struct bh_net_hash){.types = 0};
    bh_net_filter_reset(&net->filter, net->mac);
    net->filter.by_address = controlled && bh_device_has(dev, VIRTIO_NET_F_CTRL_RX);
    net->filter.by_vlan = controlled && bh_device_has(dev, VIRTIO_NET_F_CTRL_VLAN);
    bh_net_accept_offloads(net, bh_features_low64(&dev->acked));
    bh_net_take_over(net);
    bh_net_keep(net);
    return BH_OK;
}

static void reset(struct bh_device *dev)
{
    struct bh_net *net = net_of(dev);

    bh_net_forget(net);
    net->host_offloads = 0;
    net->control_queue = 0;
    memcpy(net->config.mac, net->mac, sizeof(net->config.mac));
    net->config.status = bh_le16_of(bh_net_link_up(net) ? VIRTIO_NET_S_LINK_UP : 0);
    bh_net_accept_offloads(net, 0);
}

/* --- queues ------------------------------------------------------------------------------------------------ */

enum role { RECEIVES, TRANSMITS, CONTROLS, UNUSED };

static enum role role_of(const struct bh_net *net, const struct bh_virtq *q)
{
    if (net->control_queue && q->index >= net->control_queue)
        return q->index == net->control_queue ? CONTROLS : UNUSED;
    if (q->index >= 2u * net->pair_count)
        return UNUSED;
    return q->index % 2u == VIRTIO_NET_TRANSMITQ ? TRANSMITS : RECEIVES;
}

/* Is this pair of the port in use? */
static bool attached(const struct bh_net *net, unsigned index)
{
    if (!bh_net_steered(net))
        return index < net->active_pairs && net->pairs[index].runs;
    for (unsigned i = 0; index == 0 && i < net->active_pairs; i++) {
        if (net->pairs[i].runs)
            return true;
    }
    return false;
}

static void wake_receivers(struct bh_net *net)
{
    for (unsigned i = 0; i < net->active_pairs; i++) {
        if (net->pairs[i].runs)
            bh_device_queue_wake(&net->dev, &net->dev.queues[2u * i + VIRTIO_NET_RECEIVEQ]);
    }
}

void bh_net_steering_changed(struct bh_net *net)
{
    for (unsigned i = 0; i < net->pair_count && (i == 0 || i < net->port->pair_count); i++) {
        const bool on = attached(net, i);
        if (net->pairs[i].attached != on && net->port->ops->attach)
            net->port->ops->attach(net->port, i, on);
        net->pairs[i].attached = on;
    }
    wake_receivers(net);
}

static void set_runs(struct bh_net *net, const struct bh_virtq *q, bool runs)
{
    struct bh_net_pair *pair = bh_net_pair_of(net, q);

    if (pair->runs == runs)
        return;
    pair->runs = runs;
    bh_net_steering_changed(net);
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct bh_net *net = net_of(dev);

    switch (role_of(net, q)) {
    case TRANSMITS: return bh_net_transmit(net, q, budget);
    case CONTROLS: return bh_net_control(net, q, budget);
    case UNUSED: return BH_READY_HELD;
    default: break;
    }
    set_runs(net, q, true);
    return bh_net_receive(net, q, budget);
}

static void queue_give_back(struct bh_device *dev, struct bh_virtq *q)
{
    struct bh_net *net = net_of(dev);
    const enum role role = role_of(net, q);

    if (role == TRANSMITS)
        bh_net_transmit_stop(net, q);
    else if (role == RECEIVES)
        bh_net_receive_stop(net, q);
}

static void queue_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    queue_give_back(dev, q);
    if (role_of(net_of(dev), q) == RECEIVES)
        set_runs(net_of(dev), q, false);
}

/* --- what the port tells, and who holds the cable ---------------------------------------------------------- */

static void port_readable(struct bh_netport *port, unsigned pair)
{
    struct bh_net *net = port->user;

    if (bh_net_steered(net))
        wake_receivers(net);
    else
        bh_device_queue_wake(&net->dev, &net->dev.queues[2u * pair + VIRTIO_NET_RECEIVEQ]);
}

static void port_writable(struct bh_netport *port, unsigned pair)
{
    struct bh_net *net = port->user;
    const bool shared = port->pair_count <= 1;

    for (unsigned i = shared ? 0 : pair; i < (shared ? net->pair_count : pair + 1); i++)
        bh_device_queue_wake(&net->dev, &net->dev.queues[2u * i + VIRTIO_NET_TRANSMITQ]);
}

void bh_net_set_status(struct bh_net *net, unsigned bit, bool on)
{
    const unsigned old = bh_le16_get(net->config.status), now = on ? old | bit : old & ~bit;

    if (now == old)
        return;
    net->config.status = bh_le16_of((uint16_t)now);
    bh_device_config_changed(&net->dev);
}

static void link_changed(struct bh_net *net)
{
    bh_net_set_status(net, VIRTIO_NET_S_LINK_UP, bh_net_link_up(net));
    for (unsigned i = 0; i < net->pair_count; i++) /* what the port held goes out, or is dropped */
        bh_device_queue_wake(&net->dev, &net->dev.queues[2u * i + VIRTIO_NET_TRANSMITQ]);
}

static void port_link_changed(struct bh_netport *port)
{
    link_changed(port->user);
}

void bh_net_plug(struct bh_net *net, bool in)
{
    net->unplugged = !in;
    link_changed(net);
}

bool bh_net_announce(struct bh_net *net)
{
    if (!net->control_queue || !bh_device_has(&net->dev, VIRTIO_NET_F_GUEST_ANNOUNCE))
        return false;
    bh_net_set_status(net, VIRTIO_NET_S_ANNOUNCE, true);
    return true;
}

static const struct bh_class net_class = {
    .name = "net",
    .virtio_id = VIRTIO_ID_NET,
    .config = config,
    .features = features,
    .negotiated = negotiated,
    .queue_ready = queue_ready,
    .queue_stopping = queue_stopping,
    .queue_give_back = queue_give_back,
    .reset = reset,
    .save = bh_net_save,
    .load = bh_net_load,
    .lasting_size = bh_net_lasting_size,
    .lasting = bh_net_lasting,
};

void bh_net_init(struct bh_net *net, struct bh_mem *mem, const struct bh_net_memory *memory,
                 struct bh_netport *port, const struct bh_net_setup *setup)
{
    BH_ASSERT(memory->pair_count >= 1 && memory->pair_count <= BH_NET_PAIRS_MAX);
    memset(net, 0, sizeof(*net));
    memset(memory->pairs, 0, memory->pair_count * sizeof(*memory->pairs));
    memcpy(net->mac, setup->mac, sizeof(net->mac));
    memcpy(net->config.mac, setup->mac, sizeof(net->config.mac));
    net->config.status = bh_le16_of(port->link_up ? VIRTIO_NET_S_LINK_UP : 0);
    net->config.max_virtqueue_pairs = bh_le16_of((uint16_t)memory->pair_count);
    net->config.mtu = bh_le16_of(setup->mtu);
    net->config.speed = bh_le32_of(VIRTIO_NET_SPEED_UNKNOWN);
    net->config.duplex = VIRTIO_NET_DUPLEX_UNKNOWN;
    net->config.rss_max_key_size = BH_NET_HASH_KEY;
    net->config.rss_max_indirection_table_length = bh_le16_of(BH_NET_HASH_TABLE);
    net->config.supported_hash_types = bh_le32_of(BH_NET_HASH_TYPES);
    net->offer_mtu = setup->mtu != 0;
    net->offer_hash_report = setup->hash_report;
    net->offer_rss = setup->rss;
    net->pair_count = memory->pair_count;
    net->pairs = memory->pairs;
    net->header_bytes = sizeof(struct virtio_net_hdr);
    net->active_pairs = 1;
    bh_net_hash_automatic(&net->automatic);
    net->port = port;
    bh_device_init(&net->dev, &net_class, mem, memory->queues, memory->memory,
                   (uint16_t)BH_NET_QUEUES(memory->pair_count));
    port->user = net;
    port->readable = port_readable;
    port->writable = port_writable;
    port->link_changed = port_link_changed;
}
