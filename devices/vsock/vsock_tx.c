/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets from the guest. Each header is read into our memory once; the payload stays where it is and goes to the port
 * as segments.
 */
#include "devices/vsock/vsock_impl.h"

struct packet {
    uint32_t guest_port, peer_cid, peer_port;
    uint32_t len;
    uint32_t flags;
    uint32_t buf_alloc, fwd_cnt;
    uint16_t type, op;
};

/* False: dropped, and counted. A packet with no peer to answer to, or whose payload is not there, is answered by
 * nothing. */
static bool read_packet(struct bh_vsock *vsock, const struct bh_chain *chain, struct packet *packet)
{
    struct virtio_vsock_hdr hdr;

    if (bh_chain_read(chain, 0, &hdr, VIRTIO_VSOCK_HDR_BYTES) < VIRTIO_VSOCK_HDR_BYTES ||
        bh_le32_get(hdr.len) > chain->out_len - VIRTIO_VSOCK_HDR_BYTES ||
        bh_le64_get(hdr.dst_cid) > UINT32_MAX) {
        vsock->counters.malformed++;
        return false;
    }
    if (bh_le64_get(hdr.src_cid) != vsock->setup.guest_cid) {
        vsock->counters.foreign++;
        return false;
    }
    *packet = (struct packet){
        .guest_port = bh_le32_get(hdr.src_port),
        .peer_cid = (uint32_t)bh_le64_get(hdr.dst_cid),
        .peer_port = bh_le32_get(hdr.dst_port),
        .len = bh_le32_get(hdr.len),
        .flags = bh_le32_get(hdr.flags),
        .buf_alloc = bh_le32_get(hdr.buf_alloc),
        .fwd_cnt = bh_le32_get(hdr.fwd_cnt),
        .type = bh_le16_get(hdr.type),
        .op = bh_le16_get(hdr.op),
    };
    return true;
}

/* RST for a packet of no connection. There is room: bh_vsock_transmit sees to it. */
static void refuse(struct bh_vsock *vsock, const struct packet *packet)
{
    uint32_t at = (vsock->stray_first + vsock->stray_count) % BH_VSOCK_STRAYS;

    if (packet->op == VIRTIO_VSOCK_OP_RST)
        return;
    vsock->strays[at] =
        (struct bh_vsock_stray){packet->guest_port, packet->peer_cid, packet->peer_port, packet->type};
    vsock->stray_count++;
    bh_device_queue_wake(&vsock->dev, &vsock->queues[VIRTIO_VSOCK_RX]);
}

static bool has_type(const struct bh_vsock *vsock, uint16_t type)
{
    const struct bh_device *dev = &vsock->dev;

    switch (type) {
    case VIRTIO_VSOCK_TYPE_STREAM:
        return bh_device_has(dev, VIRTIO_VSOCK_F_STREAM) ||
               !bh_device_has(dev, VIRTIO_VSOCK_F_NO_IMPLIED_STREAM);
    case VIRTIO_VSOCK_TYPE_SEQPACKET: return bh_device_has(dev, VIRTIO_VSOCK_F_SEQPACKET);
    default: return false;
    }
}

static void take_credit(struct bh_vsock_conn *conn, const struct packet *packet)
{
    conn->peer_buf_alloc = packet->buf_alloc;
    conn->peer_fwd_cnt = packet->fwd_cnt;
}

static void request(struct bh_vsock *vsock, const struct packet *packet)
{
    struct bh_vsock_conn *conn =
        bh_vsock_add(vsock, (uint8_t)packet->type, packet->guest_port, packet->peer_cid, packet->peer_port);

    if (!conn) {
        vsock->counters.refused++;
        refuse(vsock, packet);
        return;
    }
    take_credit(conn, packet);
    conn->state = BH_VSOCK_CONNECTING;
    int err = vsock->port->ops->connect(vsock->port, conn);
    if (err == BH_OK)
        bh_vsock_connected(vsock, conn);
    else if (err != BH_ERR_PENDING)
        bh_vsock_reset(vsock, conn);
}

static void data(struct bh_vsock *vsock, struct bh_vsock_conn *conn, const struct packet *packet,
                 const struct bh_chain *chain)
{
    struct bh_seg segs[BH_VSOCK_SEGS];
    int count = 0, err = BH_ERR_CLOSED;

    if (packet->len == 0 &&
        !(conn->type == VIRTIO_VSOCK_TYPE_SEQPACKET && (packet->flags & VIRTIO_VSOCK_SEQ_EOM)))
        return;
    if (conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND) {
        bh_vsock_violated(vsock, conn);
        return;
    }
    if (packet->len > vsock->setup.buf_alloc - (conn->rx_cnt - conn->fwd_cnt)) {
        vsock->counters.credit_overrun++;
        bh_vsock_violated(vsock, conn);
        return;
    }
    if (packet->len > 0)
        count = bh_chain_out_slice(chain, VIRTIO_VSOCK_HDR_BYTES, packet->len, segs, BH_VSOCK_SEGS);
    BH_ASSERT(count >= 0);
    conn->rx_cnt += packet->len;
    vsock->counters.bytes_out += packet->len;
    if (!(conn->peer_shut & VIRTIO_VSOCK_SHUTDOWN_RECEIVE))
        err = vsock->port->ops->write(vsock->port, conn, segs, (unsigned)count, packet->len, packet->flags);
    if (err == BH_ERR_CLOSED) {
        bh_vsock_forwarded(vsock, conn, packet->len);
        bh_vsock_end(vsock, conn, VIRTIO_VSOCK_SHUTDOWN_RECEIVE);
    } else if (err) {
        bh_vsock_detach(vsock, conn, false);
        bh_vsock_resetting(vsock, conn);
    }
}

static void shut(struct bh_vsock *vsock, struct bh_vsock_conn *conn, uint32_t flags)
{
    uint8_t before = conn->guest_shut;

    conn->guest_shut |= (uint8_t)(flags & VIRTIO_VSOCK_SHUTDOWN_BOTH);
    if (conn->guest_shut == VIRTIO_VSOCK_SHUTDOWN_BOTH) {
        bh_vsock_detach(vsock, conn, true);
        bh_vsock_resetting(vsock, conn);
    } else if (conn->guest_shut != before) {
        vsock->port->ops->shutdown(vsock->port, conn, conn->guest_shut);
        bh_vsock_list(vsock, conn);
    }
}

static void open_packet(struct bh_vsock *vsock, struct bh_vsock_conn *conn, const struct packet *packet,
                        const struct bh_chain *chain)
{
    switch (packet->op) {
    case VIRTIO_VSOCK_OP_RW: data(vsock, conn, packet, chain); break;
    case VIRTIO_VSOCK_OP_SHUTDOWN: shut(vsock, conn, packet->flags); break;
    case VIRTIO_VSOCK_OP_CREDIT_UPDATE: break;
    case VIRTIO_VSOCK_OP_CREDIT_REQUEST: bh_vsock_due(vsock, conn, BH_VSOCK_DUE_CREDIT_UPDATE); break;
    default: bh_vsock_violated(vsock, conn); break;
    }
}

/* The guest's answer to a REQUEST of ours. */
static void asked_packet(struct bh_vsock *vsock, struct bh_vsock_conn *conn, const struct packet *packet)
{
    if (packet->op != VIRTIO_VSOCK_OP_RESPONSE || (conn->due & BH_VSOCK_DUE_REQUEST)) {
        bh_vsock_violated(vsock, conn);
        return;
    }
    bh_vsock_answered(vsock, conn);
    conn->state = BH_VSOCK_OPEN;
    vsock->port->ops->accepted(vsock->port, conn);
}

static void handle(struct bh_vsock *vsock, const struct bh_chain *chain)
{
    struct packet packet;

    if (!read_packet(vsock, chain, &packet))
        return;
    vsock->counters.packets_out++;
    struct bh_vsock_conn *conn = bh_vsock_find(vsock, packet.guest_port, packet.peer_cid, packet.peer_port);
    if (!has_type(vsock, packet.type)) {
        refuse(vsock, &packet);
        return;
    }
    if (!conn) {
        if (packet.op == VIRTIO_VSOCK_OP_REQUEST)
            request(vsock, &packet);
        else
            refuse(vsock, &packet);
        return;
    }
    if (packet.op == VIRTIO_VSOCK_OP_RST) {
        /* What it shut in one direction was sent in good order: that still arrives. */
        vsock->counters.resets_received++;
        bh_vsock_detach(vsock, conn, conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_SEND);
        bh_vsock_drop(vsock, conn);
        return;
    }
    if (conn->state == BH_VSOCK_RESETTING || conn->state == BH_VSOCK_CLOSING) {
        if (conn->state == BH_VSOCK_CLOSING && packet.op == VIRTIO_VSOCK_OP_SHUTDOWN &&
            (packet.flags & VIRTIO_VSOCK_SHUTDOWN_BOTH) == VIRTIO_VSOCK_SHUTDOWN_BOTH)
            bh_vsock_resetting(vsock, conn);
        return; /* sent before the end of the connection reached the guest */
    }
    if (packet.type != conn->type) {
        bh_vsock_violated(vsock, conn);
        return;
    }
    take_credit(conn, &packet);
    if (bh_vsock_stuck(conn)) {
        bh_vsock_violated(vsock, conn);
        return;
    }
    bh_vsock_list(vsock, conn);
    if (conn->state == BH_VSOCK_ASKED)
        asked_packet(vsock, conn, &packet);
    else if (conn->state == BH_VSOCK_OPEN)
        open_packet(vsock, conn, &packet, chain);
    else if (packet.op != VIRTIO_VSOCK_OP_CREDIT_UPDATE)
        bh_vsock_violated(vsock, conn); /* it has not been told that it is connected */
}

enum bh_ready bh_vsock_transmit(struct bh_vsock *vsock, struct bh_virtq *q, unsigned budget)
{
    struct bh_chain *chains[BH_VSOCK_BATCH];

    while (budget > 0) {
        /* A packet makes at most one reply of no connection; all others are bits of a connection. */
        uint32_t room = BH_VSOCK_STRAYS - vsock->stray_count;
        unsigned most = budget < BH_VSOCK_BATCH ? budget : BH_VSOCK_BATCH;
        if (room == 0) {
            vsock->tx_held = true;
            vsock->counters.held++;
            return BH_READY_HELD;
        }
        int popped = bh_virtq_pop(q, chains, most < room ? most : room);
        if (popped == BH_ERR_PENDING)
            return BH_READY_HELD;
        if (popped <= 0)
            return BH_READY_DRAINED;
        for (int i = 0; i < popped; i++) {
            handle(vsock, chains[i]);
            chains[i]->written = 0;
        }
        bh_virtq_push(q, chains, (unsigned)popped);
        budget -= (unsigned)popped;
    }
    return BH_READY_MORE;
}
