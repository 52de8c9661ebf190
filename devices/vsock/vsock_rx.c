/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets to the guest: replies of no connection, then control packets, then data, one packet a buffer, and one
 * packet a connection before the next one's turn.
 */
#include "devices/vsock/vsock_impl.h"

#define CLOSE_SECONDS 8u /* for the guest to answer the end of both directions */

struct packet {
    struct bh_vsock *vsock;
    struct bh_chain *chain;
    struct virtio_vsock_hdr hdr;
};

static void write_header(struct packet *packet, uint32_t len)
{
    packet->hdr.len = bh_le32_of(len);
    bh_chain_write(packet->chain, 0, &packet->hdr, VIRTIO_VSOCK_HDR_BYTES);
    packet->chain->written = VIRTIO_VSOCK_HDR_BYTES + len;
    packet->vsock->counters.packets_in++;
}

static void address(struct packet *packet, enum virtio_vsock_op op, uint32_t guest_port, uint32_t peer_cid,
                    uint32_t peer_port, uint16_t type)
{
    packet->hdr = (struct virtio_vsock_hdr){
        .src_cid = bh_le64_of(peer_cid),
        .dst_cid = packet->vsock->config.guest_cid,
        .src_port = bh_le32_of(peer_port),
        .dst_port = bh_le32_of(guest_port),
        .type = bh_le16_of(type),
        .op = bh_le16_of((uint16_t)op),
    };
}

/* Every packet of a connection tells the credit that the guest has [virtio-1.4 5.10.6.3.2]. */
static void address_conn(struct packet *packet, enum virtio_vsock_op op, struct bh_vsock_conn *conn)
{
    address(packet, op, conn->guest_port, conn->peer_cid, conn->peer_port, conn->type);
    packet->hdr.buf_alloc = bh_le32_of(packet->vsock->setup.buf_alloc);
    packet->hdr.fwd_cnt = bh_le32_of(conn->fwd_cnt);
    conn->fwd_told = conn->fwd_cnt;
}

static void send_stray(struct packet *packet)
{
    struct bh_vsock *vsock = packet->vsock;
    const struct bh_vsock_stray *stray = &vsock->strays[vsock->stray_first];

    address(packet, VIRTIO_VSOCK_OP_RST, stray->guest_port, stray->peer_cid, stray->peer_port, stray->type);
    write_header(packet, 0);
    vsock->counters.resets_sent++;
    vsock->stray_first = (vsock->stray_first + 1) % BH_VSOCK_STRAYS;
    vsock->stray_count--;
    if (vsock->tx_held) {
        vsock->tx_held = false;
        bh_device_queue_wake(&vsock->dev, &vsock->queues[VIRTIO_VSOCK_TX]);
    }
}

/* SHUTDOWN went out: when nothing is left to be said either way, the guest has its time to agree. */
static void told_shutdown(struct bh_vsock *vsock, struct bh_vsock_conn *conn)
{
    if (conn->peer_shut != VIRTIO_VSOCK_SHUTDOWN_BOTH)
        return;
    bh_vsock_detach(vsock, conn, false);
    conn->state = BH_VSOCK_CLOSING;
    bh_vsock_await(vsock, conn, CLOSE_SECONDS);
}

static void send_control(struct packet *packet, struct bh_vsock_conn *conn)
{
    static const enum virtio_vsock_op ops[] = {
        VIRTIO_VSOCK_OP_RST,           VIRTIO_VSOCK_OP_REQUEST,        VIRTIO_VSOCK_OP_RESPONSE,
        VIRTIO_VSOCK_OP_CREDIT_UPDATE, VIRTIO_VSOCK_OP_CREDIT_REQUEST, VIRTIO_VSOCK_OP_SHUTDOWN};
    struct bh_vsock *vsock = packet->vsock;
    unsigned bit = (unsigned)__builtin_ctz(conn->due);

    address_conn(packet, ops[bit], conn);
    if (ops[bit] == VIRTIO_VSOCK_OP_SHUTDOWN)
        packet->hdr.flags = bh_le32_of(conn->peer_shut);
    write_header(packet, 0);
    conn->due &= (uint8_t) ~(1u << bit);
    bh_vsock_unlist(vsock, conn);
    if (ops[bit] == VIRTIO_VSOCK_OP_RST) {
        vsock->counters.resets_sent++;
        bh_vsock_drop_told(vsock, conn);
        return;
    }
    if (ops[bit] == VIRTIO_VSOCK_OP_SHUTDOWN)
        told_shutdown(vsock, conn);
    bh_vsock_list(vsock, conn);
}

bool bh_vsock_stuck(const struct bh_vsock_conn *conn)
{
    return conn->type == VIRTIO_VSOCK_TYPE_SEQPACKET && conn->readable && bh_vsock_credit(conn) == 0 &&
           conn->unfinished > 0 && conn->unfinished >= conn->peer_buf_alloc;
}

/* What of a message was sent; saturates, since a message may be endless. */
static void count_message(struct bh_vsock_conn *conn, uint32_t len, uint32_t flags)
{
    if (flags & VIRTIO_VSOCK_SEQ_EOM)
        conn->unfinished = 0;
    else if (conn->unfinished < 0x80000000u)
        conn->unfinished += len;
}

/* False: the connection had nothing after all, and the buffer is still free. */
static bool send_data(struct packet *packet, struct bh_vsock_conn *conn)
{
    struct bh_vsock *vsock = packet->vsock;
    struct bh_seg segs[BH_VSOCK_SEGS];
    uint32_t room = packet->chain->in_len - VIRTIO_VSOCK_HDR_BYTES, credit = bh_vsock_credit(conn), flags = 0;

    room = room < credit ? room : credit;
    room = room < BH_VSOCK_PACKET_MAX ? room : BH_VSOCK_PACKET_MAX;
    int count = bh_chain_in_slice(packet->chain, VIRTIO_VSOCK_HDR_BYTES, room, segs, BH_VSOCK_SEGS);
    BH_ASSERT(count > 0);
    int got = vsock->port->ops->read(vsock->port, conn, segs, (unsigned)count, room, &flags);
    bh_vsock_unlist(vsock, conn);
    if (got < 0) {
        conn->readable = false;
        if (got != BH_ERR_AGAIN) {
            bh_vsock_detach(vsock, conn, false);
            bh_vsock_resetting(vsock, conn);
        }
        bh_vsock_list(vsock, conn);
        return false;
    }
    BH_ASSERT((uint32_t)got <= room);
    address_conn(packet, VIRTIO_VSOCK_OP_RW, conn);
    packet->hdr.flags = bh_le32_of(flags);
    write_header(packet, (uint32_t)got);
    conn->tx_cnt += (uint32_t)got;
    vsock->counters.bytes_in += (uint32_t)got;
    count_message(conn, (uint32_t)got, flags);
    if (bh_vsock_stuck(conn)) {
        bh_vsock_detach(vsock, conn, false);
        bh_vsock_resetting(vsock, conn);
    }
    bh_vsock_list(vsock, conn);
    return true;
}

/* Fill the buffer. False: nobody has anything. */
static bool fill(struct packet *packet)
{
    struct bh_vsock *vsock = packet->vsock;
    uint32_t tries = vsock->lists[BH_VSOCK_DATA].count;

    for (;;) {
        if (vsock->stray_count) {
            send_stray(packet);
            return true;
        }
        if (vsock->lists[BH_VSOCK_CONTROL].first) {
            send_control(packet, vsock->lists[BH_VSOCK_CONTROL].first);
            return true;
        }
        if (tries-- == 0 || !vsock->lists[BH_VSOCK_DATA].first)
            return false;
        if (send_data(packet, vsock->lists[BH_VSOCK_DATA].first))
            return true;
    }
}

/* A buffer that takes no header and one byte of data can carry nothing on. */
static bool too_small(const struct bh_chain *chain)
{
    return chain->in_len <= VIRTIO_VSOCK_HDR_BYTES;
}

enum bh_ready bh_vsock_receive(struct bh_vsock *vsock, struct bh_virtq *q, unsigned budget)
{
    struct bh_chain *chains[BH_VSOCK_BATCH];

    while (budget > 0) {
        if (!bh_vsock_rx_wanted(vsock))
            return BH_READY_HELD;
        int popped = bh_virtq_pop(q, chains, budget < BH_VSOCK_BATCH ? budget : BH_VSOCK_BATCH);
        if (popped == BH_ERR_PENDING)
            return BH_READY_HELD;
        if (popped <= 0)
            return BH_READY_DRAINED;
        unsigned count = (unsigned)popped, filled = 0;
        for (; filled < count && !too_small(chains[filled]); filled++) {
            struct packet packet = {.vsock = vsock, .chain = chains[filled]};
            if (!fill(&packet))
                break;
        }
        bool broken = filled < count && too_small(chains[filled]);
        if (broken) {
            chains[filled]->written = 0;
            bh_virtq_break(q, BH_BROKEN_CLASS);
            filled = count;
        }
        if (filled < count)
            bh_virtq_unpop(q, count - filled);
        if (filled > 0)
            bh_virtq_push(q, chains, filled);
        bh_vsock_forget_told(vsock);
        if (broken)
            return BH_READY_DRAINED;
        if (filled < count)
            return bh_vsock_rx_wanted(vsock) ? BH_READY_MORE : BH_READY_HELD;
        budget -= filled;
    }
    return BH_READY_MORE;
}
