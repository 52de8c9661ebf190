/* SPDX-License-Identifier: Apache-2.0 */
/* The socket device's guest for unit tests. */
#include "tests/unit/vsock_rig.h"

#include <stdlib.h>
#include <string.h>

#define TX_BYTES  (16u << 10)
#define GUEST_BUF 65536u

void vsock_rig_open(struct vsock_rig *rig, struct bh_vsock_port *port, uint32_t cid, uint32_t conn_count,
                    uint64_t without)
{
    const struct bh_vsock_setup setup = {.guest_cid = cid, .buf_alloc = RIG_BUF_ALLOC, .seqpacket = true};
    struct bh_vsock_memory memory = {.conn_count = conn_count, .bucket_count = 8};

    memset(rig, 0, sizeof(*rig));
    rig->cid = cid;
    memory.conns = rig->conns = calloc(conn_count, sizeof(*memory.conns));
    memory.buckets = rig->buckets = calloc(8, sizeof(struct bh_vsock_conn *));
    BH_ASSERT(rig->conns && rig->buckets);
    class_rig_open(&rig->rig, BH_VSOCK_QUEUES, BH_VSOCK_BATCH, BH_VSOCK_SEGS);
    bh_vsock_init(&rig->vsock, &rig->rig.mem, rig->rig.memory, &memory, port, &setup, 12345);
    class_rig_start(&rig->rig, &rig->vsock.dev, false, without);
    rig->tx = class_rig_alloc(&rig->rig, TX_BYTES);
    rig->event = class_rig_alloc(&rig->rig, sizeof(struct virtio_vsock_event));
}

void vsock_rig_close(struct vsock_rig *rig)
{
    class_rig_close(&rig->rig);
    free(rig->conns);
    free(rig->buckets);
}

static void give(struct vsock_rig *rig, void *buffer)
{
    BH_ASSERT(class_rig_add(&rig->rig, VIRTIO_VSOCK_RX, NULL, 0, buffer, RIG_RX_BYTES, buffer) == BH_OK);
}

void vsock_rig_give(struct vsock_rig *rig, unsigned count)
{
    while (count-- > 0)
        give(rig, class_rig_alloc(&rig->rig, RIG_RX_BYTES));
    vsock_rig_run(rig);
}

void vsock_rig_give_event(struct vsock_rig *rig)
{
    memset(rig->event, 0xff, sizeof(struct virtio_vsock_event));
    BH_ASSERT(class_rig_add(&rig->rig, VIRTIO_VSOCK_EVENT, NULL, 0, rig->event,
                            sizeof(struct virtio_vsock_event), rig->event) == BH_OK);
    vsock_rig_run(rig);
}

void vsock_rig_run(struct vsock_rig *rig)
{
    class_rig_run(&rig->rig);
}

struct virtio_vsock_hdr vsock_rig_hdr(const struct vsock_rig *rig, enum virtio_vsock_op op,
                                      uint32_t guest_port, uint32_t peer_cid, uint32_t peer_port)
{
    return (struct virtio_vsock_hdr){
        .src_cid = bh_le64_of(rig->cid),
        .dst_cid = bh_le64_of(peer_cid),
        .src_port = bh_le32_of(guest_port),
        .dst_port = bh_le32_of(peer_port),
        .type = bh_le16_of(VIRTIO_VSOCK_TYPE_STREAM),
        .op = bh_le16_of((uint16_t)op),
        .buf_alloc = bh_le32_of(GUEST_BUF),
    };
}

bool vsock_rig_lay(struct vsock_rig *rig, const struct virtio_vsock_hdr *hdr, const void *data, uint32_t len)
{
    struct virtio_vsock_hdr filled = *hdr;
    uint32_t used;

    BH_ASSERT(VIRTIO_VSOCK_HDR_BYTES + len <= TX_BYTES / 64);
    filled.len = bh_le32_of(len);
    while (class_rig_get(&rig->rig, VIRTIO_VSOCK_TX, &used))
        ;
    if (rig->rig.queues[VIRTIO_VSOCK_TX].ring.free_count == 0)
        return false;
    uint8_t *at = rig->tx + (size_t)(rig->rig.queues[VIRTIO_VSOCK_TX].ring.avail % 64) * (TX_BYTES / 64);
    memcpy(at, &filled, VIRTIO_VSOCK_HDR_BYTES);
    if (len)
        memcpy(at + VIRTIO_VSOCK_HDR_BYTES, data, len);
    return class_rig_add(&rig->rig, VIRTIO_VSOCK_TX, at, VIRTIO_VSOCK_HDR_BYTES + len, NULL, 0, at) == BH_OK;
}

void vsock_rig_send(struct vsock_rig *rig, const struct virtio_vsock_hdr *hdr, const void *data, uint32_t len)
{
    BH_ASSERT(vsock_rig_lay(rig, hdr, data, len));
    vsock_rig_run(rig);
}

bool vsock_rig_next(struct vsock_rig *rig, struct vsock_packet *packet)
{
    uint32_t used = 0;
    uint8_t *buffer = class_rig_get(&rig->rig, VIRTIO_VSOCK_RX, &used);

    memset(packet, 0, sizeof(*packet));
    if (!buffer)
        return false;
    BH_ASSERT(used >= VIRTIO_VSOCK_HDR_BYTES && used <= RIG_RX_BYTES);
    memcpy(&packet->hdr, buffer, VIRTIO_VSOCK_HDR_BYTES);
    packet->op = bh_le16_get(packet->hdr.op);
    packet->len = bh_le32_get(packet->hdr.len);
    packet->flags = bh_le32_get(packet->hdr.flags);
    packet->guest_port = bh_le32_get(packet->hdr.dst_port);
    packet->peer_port = bh_le32_get(packet->hdr.src_port);
    packet->peer_cid = (uint32_t)bh_le64_get(packet->hdr.src_cid);
    packet->buf_alloc = bh_le32_get(packet->hdr.buf_alloc);
    packet->fwd_cnt = bh_le32_get(packet->hdr.fwd_cnt);
    BH_ASSERT(bh_le64_get(packet->hdr.dst_cid) == rig->cid && packet->len == used - VIRTIO_VSOCK_HDR_BYTES);
    memcpy(packet->data, buffer + VIRTIO_VSOCK_HDR_BYTES, packet->len);
    give(rig, buffer);
    vsock_rig_run(rig);
    return true;
}

struct vsock_packet vsock_rig_expect(struct vsock_rig *rig, enum virtio_vsock_op op)
{
    struct vsock_packet packet;

    BH_ASSERT(vsock_rig_next(rig, &packet));
    BH_ASSERT(packet.op == op);
    return packet;
}

int vsock_rig_event(struct vsock_rig *rig)
{
    struct virtio_vsock_event event;
    uint32_t used;

    if (!class_rig_get(&rig->rig, VIRTIO_VSOCK_EVENT, &used))
        return -1;
    BH_ASSERT(used == sizeof(event));
    memcpy(&event, rig->event, sizeof(event));
    return (int)bh_le32_get(event.id);
}
