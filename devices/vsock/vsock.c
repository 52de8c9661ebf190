/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket class [virtio-1.4 5.10]: features, config space, the event queue, and what the port tells.
 * vsock_tx.c reads the guest's packets, vsock_rx.c makes those for it, vsock_conn.c keeps the connections.
 *
 * Theory of operation
 *   A connection begins with a REQUEST, of the guest (the port connects, and its answer is RESPONSE or RST) or of
 * the port's other end (the guest answers). Then each side may end either direction by SHUTDOWN. When both are over
 * by the guest's word, the port is let go at once, which still delivers what it keeps, and the guest gets its RST;
 * when by ours, the guest has CLOSE_SECONDS to answer with RST, and is sent one if it does not
 * [virtio-1.4 5.10.6.5].
 *
 *   Credit [virtio-1.4 5.10.6.3]. Towards us the guest may have buf_alloc bytes under way: that is what the port may
 * have to keep, and more is a breach of the protocol. What went on is told with every packet, and by CREDIT_UPDATE
 * when the guest knows of less than half of its room. Towards the guest, at most what it has room for is read from
 * the port, straight into its buffer, so nothing is ever kept for the guest; when its room ends it is asked once.
 *
 *   Killed and started again: the sockets are gone, and with them every connection. What the guest may know of stands
 * in memory that outlives the process (struct bh_vsock_lasting): the successor sends an RST for each.
 * That is exact, and needs no event queue, which some front-ends keep. TRANSPORT_RESET is for where nobody knows the
 * connections (load): it ends those too that were made before the driver gets to read it. No chain outlives a call of
 * queue_ready; one that was taken and not given back comes again, and finds its connection ended.
 */
#include "devices/vsock/vsock_impl.h"

#define ASK_SECONDS 10u /* for the guest to answer a REQUEST */

static struct bh_vsock *vsock_of(struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct bh_vsock, dev);
}

static struct bh_features features(const struct bh_device *dev)
{
    struct bh_features f = bh_class_ring_features();

    bh_features_set(&f, VIRTIO_VSOCK_F_STREAM);
    bh_features_set(&f, VIRTIO_VSOCK_F_NO_IMPLIED_STREAM);
    if (BH_CONTAINER(dev, struct bh_vsock, dev)->setup.seqpacket)
        bh_features_set(&f, VIRTIO_VSOCK_F_SEQPACKET);
    return f;
}

static const void *config(const struct bh_device *dev, uint32_t *size)
{
    *size = sizeof(struct virtio_vsock_config);
    return &BH_CONTAINER(dev, struct bh_vsock, dev)->config;
}

/* The event queue: there is one event, and one of it is as good as many. */
static enum bh_ready tell_events(struct bh_vsock *vsock, struct bh_virtq *q)
{
    const struct virtio_vsock_event event = {bh_le32_of(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET)};
    struct bh_chain *chain;
    int popped;

    if (!vsock->reset_due)
        return BH_READY_HELD;
    popped = bh_virtq_pop(q, &chain, 1);
    if (popped == BH_ERR_PENDING)
        return BH_READY_HELD;
    if (popped <= 0)
        return BH_READY_DRAINED;
    if (bh_chain_write(chain, 0, &event, sizeof(event)) < sizeof(event)) {
        bh_virtq_break(q, BH_BROKEN_CLASS);
        bh_virtq_push(q, &chain, 1);
        return BH_READY_DRAINED;
    }
    chain->written = sizeof(event);
    vsock->reset_due = false;
    bh_virtq_push(q, &chain, 1);
    return BH_READY_HELD;
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct bh_vsock *vsock = vsock_of(dev);

    switch (q->index) {
    case VIRTIO_VSOCK_RX: return bh_vsock_receive(vsock, q, budget);
    case VIRTIO_VSOCK_TX: return bh_vsock_transmit(vsock, q, budget);
    default: return tell_events(vsock, q);
    }
}

/* A driver that begins anew knows of no connection, and of no interruption. */
static void reset(struct bh_device *dev)
{
    struct bh_vsock *vsock = vsock_of(dev);

    bh_vsock_close_all(vsock);
    vsock->reset_due = vsock->tx_held = false;
}

void bh_vsock_transport_reset(struct bh_vsock *vsock)
{
    bh_vsock_close_all(vsock);
    vsock->reset_due = true;
    bh_device_queue_wake(&vsock->dev, &vsock->queues[VIRTIO_VSOCK_EVENT]);
    bh_device_queue_wake(&vsock->dev, &vsock->queues[VIRTIO_VSOCK_TX]);
}

/* Connections are not part of a device's state: they end where it is saved. */
static int save(struct bh_device *dev, void *to, size_t size)
{
    return 0;
}

static int load(struct bh_device *dev, const void *from, size_t size)
{
    if (size != 0)
        return BH_ERR_PROTO;
    bh_vsock_transport_reset(vsock_of(dev));
    return BH_OK;
}

static const struct bh_class vsock_class = {
    .name = "vsock",
    .virtio_id = VIRTIO_ID_VSOCK,
    .config = config,
    .features = features,
    .queue_ready = queue_ready,
    .reset = reset,
    .save = save,
    .load = load,
    .lasting_size = bh_vsock_lasting_size,
    .lasting = bh_vsock_lasting,
};

void bh_vsock_init(struct bh_vsock *vsock, struct bh_mem *mem, const struct bh_virtq_memory *queues,
                   const struct bh_vsock_memory *memory, struct bh_vsock_port *port,
                   const struct bh_vsock_setup *setup, uint32_t hash_seed)
{
    BH_ASSERT(setup->guest_cid >= VIRTIO_VSOCK_CID_MIN && setup->guest_cid <= VIRTIO_VSOCK_CID_MAX);
    memset(vsock, 0, sizeof(*vsock));
    vsock->config.guest_cid = bh_le64_of(setup->guest_cid);
    vsock->setup = *setup;
    vsock->memory = *memory;
    vsock->hash_seed = hash_seed;
    vsock->port = port;
    bh_vsock_table_init(vsock);
    bh_device_init(&vsock->dev, &vsock_class, mem, vsock->queues, queues, BH_VSOCK_QUEUES);
    port->vsock = vsock;
}

/* --- what the port tells ---------------------------------------------------------------------------------- */

struct bh_vsock_conn *bh_vsock_open(struct bh_vsock *vsock, uint8_t type, uint32_t guest_port,
                                    uint32_t peer_cid, uint32_t peer_port, void *user)
{
    struct bh_vsock_conn *conn;

    if (!bh_virtq_running(&vsock->queues[VIRTIO_VSOCK_RX]) ||
        bh_vsock_find(vsock, guest_port, peer_cid, peer_port))
        return NULL;
    if (type == VIRTIO_VSOCK_TYPE_SEQPACKET && !bh_device_has(&vsock->dev, VIRTIO_VSOCK_F_SEQPACKET))
        return NULL;
    conn = bh_vsock_add(vsock, type, guest_port, peer_cid, peer_port);
    if (!conn)
        return NULL;
    conn->state = BH_VSOCK_ASKED;
    conn->user = user;
    vsock->counters.opened_by_peer++;
    bh_vsock_await(vsock, conn, ASK_SECONDS);
    bh_vsock_due(vsock, conn, BH_VSOCK_DUE_REQUEST);
    return conn;
}

void bh_vsock_connected(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    BH_ASSERT(conn->state == BH_VSOCK_CONNECTING);
    conn->state = BH_VSOCK_OPEN;
    vsock->counters.opened_by_guest++;
    bh_vsock_due(vsock, conn, BH_VSOCK_DUE_RESPONSE);
}

void bh_vsock_reset(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    bool unheard = conn->due & BH_VSOCK_DUE_REQUEST;

    if (conn->state == BH_VSOCK_CONNECTING)
        vsock->counters.refused++;
    conn->state = BH_VSOCK_RESETTING; /* the port is out */
    bh_vsock_detach(vsock, conn, false);
    if (unheard)
        bh_vsock_drop(vsock, conn);
    else
        bh_vsock_resetting(vsock, conn);
}

void bh_vsock_readable(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    conn->readable = true;
    bh_vsock_list(vsock, conn);
}

void bh_vsock_forwarded(struct bh_vsock *vsock, struct bh_vsock_conn *conn, uint32_t len)
{
    conn->fwd_cnt += len;
    BH_ASSERT(conn->rx_cnt - conn->fwd_cnt <= vsock->setup.buf_alloc);
    uint32_t known_used = conn->rx_cnt - conn->fwd_told;
    if (conn->state == BH_VSOCK_OPEN && known_used > vsock->setup.buf_alloc / 2 &&
        conn->fwd_cnt != conn->fwd_told)
        bh_vsock_due(vsock, conn, BH_VSOCK_DUE_CREDIT_UPDATE);
}

void bh_vsock_end(struct bh_vsock *vsock, struct bh_vsock_conn *conn, uint32_t flags)
{
    uint8_t before = conn->peer_shut;

    conn->peer_shut |= (uint8_t)flags;
    if (flags & VIRTIO_VSOCK_SHUTDOWN_SEND)
        conn->readable = false;
    if (conn->peer_shut != before && (conn->state == BH_VSOCK_OPEN))
        bh_vsock_due(vsock, conn, BH_VSOCK_DUE_SHUTDOWN);
}
