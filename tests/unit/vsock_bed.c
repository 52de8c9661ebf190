/* SPDX-License-Identifier: Apache-2.0 */
/* A port that does as the test says, behind the class vsock. */
#include "tests/unit/vsock_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct vsock_bed *bed_of(struct bh_vsock_port *port)
{
    return BH_CONTAINER(port, struct vsock_bed, port);
}

static int port_connect(struct bh_vsock_port *port, struct bh_vsock_conn *conn)
{
    struct vsock_bed *bed = bed_of(port);

    if (bed->connect_answer != BH_OK && bed->connect_answer != BH_ERR_PENDING)
        return bed->connect_answer;
    assert_true(bed->peer_count < PEERS);
    conn->user = &bed->peers[bed->peer_count++];
    *(struct vsock_peer *)conn->user = (struct vsock_peer){.conn = conn};
    return bed->connect_answer;
}

static void port_accepted(struct bh_vsock_port *port, struct bh_vsock_conn *conn)
{
    ((struct vsock_peer *)conn->user)->accepted = true;
}

static int port_write(struct bh_vsock_port *port, struct bh_vsock_conn *conn, const struct bh_seg *segs,
                      unsigned count, uint32_t len, uint32_t flags)
{
    struct vsock_bed *bed = bed_of(port);
    struct vsock_peer *peer = conn->user;
    uint32_t sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += (uint32_t)segs[i].len;
    assert_int_equal(sum, len);
    if (bed->write_answer)
        return bed->write_answer;
    peer->taken += len;
    peer->flags = flags;
    if (bed->keeps)
        peer->kept += len;
    else
        bh_vsock_forwarded(&bed->rig.vsock, conn, len);
    return BH_OK;
}

static int port_read(struct bh_vsock_port *port, struct bh_vsock_conn *conn, const struct bh_seg *segs,
                     unsigned count, uint32_t room, uint32_t *flags)
{
    struct vsock_peer *peer = conn->user;
    uint32_t done = 0;

    if (peer->waiting == 0)
        return BH_ERR_AGAIN;
    for (unsigned i = 0; i < count && done < peer->waiting; i++) {
        uint32_t part = segs[i].len < peer->waiting - done ? (uint32_t)segs[i].len : peer->waiting - done;
        memset(segs[i].base, (int)('a' + conn->guest_port % 26), part);
        done += part;
    }
    assert_true(done <= room);
    peer->waiting -= done;
    *flags = peer->waiting ? 0 : peer->end_flags;
    return (int)done;
}

static void port_shutdown(struct bh_vsock_port *port, struct bh_vsock_conn *conn, uint32_t flags)
{
    ((struct vsock_peer *)conn->user)->shut = flags;
}

static void port_close(struct bh_vsock_port *port, struct bh_vsock_conn *conn, bool deliver)
{
    struct vsock_peer *peer = conn->user;

    assert_false(peer->closed);
    peer->closed = true;
    peer->delivered = deliver;
}

static void port_want_ticks(struct bh_vsock_port *port)
{
    bed_of(port)->wants_ticks = true;
}

static const struct bh_vsock_port_ops ops = {
    .connect = port_connect,
    .accepted = port_accepted,
    .write = port_write,
    .read = port_read,
    .shutdown = port_shutdown,
    .close = port_close,
    .want_ticks = port_want_ticks,
};

struct vsock_bed *vsock_bed_without(uint64_t without)
{
    struct vsock_bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->port.ops = &ops;
    vsock_rig_open(&bed->rig, &bed->port, RIG_CID, RIG_CONNS, without);
    return bed;
}

struct vsock_bed *vsock_bed_new(void)
{
    struct vsock_bed *bed = vsock_bed_without(0);
    vsock_rig_give(&bed->rig, RIG_BUFFERS);
    return bed;
}

void vsock_bed_free(struct vsock_bed *bed)
{
    vsock_rig_close(&bed->rig);
    free(bed);
}

void vsock_bed_send(struct vsock_bed *bed, enum virtio_vsock_op op, uint32_t port, uint32_t flags)
{
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, op, port, HOST, 80);
    hdr.flags = bh_le32_of(flags);
    vsock_rig_send(&bed->rig, &hdr, NULL, 0);
}

void vsock_bed_send_data(struct vsock_bed *bed, uint32_t port, uint32_t len)
{
    static const uint8_t bytes[200];
    const struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_RW, port, HOST, 80);
    vsock_rig_send(&bed->rig, &hdr, bytes, len);
}

/* Told by a CREDIT_UPDATE: the guest has `room` bytes, of which it has read `fwd`. */
void vsock_bed_send_credit(struct vsock_bed *bed, uint32_t port, uint32_t room, uint32_t fwd)
{
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_UPDATE, port, HOST, 80);
    hdr.buf_alloc = bh_le32_of(room);
    hdr.fwd_cnt = bh_le32_of(fwd);
    vsock_rig_send(&bed->rig, &hdr, NULL, 0);
}

struct vsock_peer *vsock_bed_connect(struct vsock_bed *bed, uint32_t port)
{
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_REQUEST, port, 0);
    struct vsock_packet answer = vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RESPONSE);
    assert_int_equal(answer.guest_port, port);
    assert_int_equal(answer.peer_port, 80);
    assert_int_equal(answer.peer_cid, HOST);
    assert_int_equal(answer.buf_alloc, RIG_BUF_ALLOC);
    return &bed->peers[bed->peer_count - 1];
}

void vsock_bed_expect_nothing(struct vsock_bed *bed)
{
    struct vsock_packet packet;
    assert_false(vsock_rig_next(&bed->rig, &packet));
}
