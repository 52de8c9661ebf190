/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class vsock against a port in the test's hand: connections, credit, ends, and who waits for whom.
 */
#include "tests/unit/vsock_rig.h"
#include <bulkhead/impl/class.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOST  VIRTIO_VSOCK_CID_HOST
#define SEND  VIRTIO_VSOCK_SHUTDOWN_SEND
#define RECV  VIRTIO_VSOCK_SHUTDOWN_RECEIVE
#define BOTH  VIRTIO_VSOCK_SHUTDOWN_BOTH
#define PEERS 32u

/* The other end of one connection. */
struct peer {
    struct bh_vsock_conn *conn;
    uint32_t taken, kept; /* bytes that came, and of those the ones not forwarded */
    uint32_t flags;       /* of the last write */
    uint32_t waiting;     /* bytes for the guest */
    uint32_t end_flags;   /* of the last of them */
    bool closed, delivered, accepted;
    uint32_t shut;
};

struct bed {
    struct bh_vsock_port port;
    int connect_answer, write_answer;
    bool keeps; /* what comes does not go on */
    bool wants_ticks;
    struct peer peers[PEERS]; /* in the order they came */
    unsigned peer_count;
    struct vsock_rig rig;
};

static struct bed *bed_of(struct bh_vsock_port *port)
{
    return BH_CONTAINER(port, struct bed, port);
}

static int port_connect(struct bh_vsock_port *port, struct bh_vsock_conn *conn)
{
    struct bed *bed = bed_of(port);

    if (bed->connect_answer != BH_OK && bed->connect_answer != BH_ERR_PENDING)
        return bed->connect_answer;
    assert_true(bed->peer_count < PEERS);
    conn->user = &bed->peers[bed->peer_count++];
    *(struct peer *)conn->user = (struct peer){.conn = conn};
    return bed->connect_answer;
}

static void port_accepted(struct bh_vsock_port *port, struct bh_vsock_conn *conn)
{
    ((struct peer *)conn->user)->accepted = true;
}

static int port_write(struct bh_vsock_port *port, struct bh_vsock_conn *conn, const struct bh_seg *segs,
                      unsigned count, uint32_t len, uint32_t flags)
{
    struct bed *bed = bed_of(port);
    struct peer *peer = conn->user;
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
    struct peer *peer = conn->user;
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
    ((struct peer *)conn->user)->shut = flags;
}

static void port_close(struct bh_vsock_port *port, struct bh_vsock_conn *conn, bool deliver)
{
    struct peer *peer = conn->user;

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

static struct bed *bed_without(uint64_t without)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->port.ops = &ops;
    vsock_rig_open(&bed->rig, &bed->port, RIG_CID, RIG_CONNS, without);
    return bed;
}

static struct bed *bed_new(void)
{
    struct bed *bed = bed_without(0);
    vsock_rig_give(&bed->rig, RIG_BUFFERS);
    return bed;
}

static void bed_free(struct bed *bed)
{
    vsock_rig_close(&bed->rig);
    free(bed);
}

static void send_op(struct bed *bed, enum virtio_vsock_op op, uint32_t port, uint32_t flags)
{
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, op, port, HOST, 80);
    hdr.flags = bh_le32_of(flags);
    vsock_rig_send(&bed->rig, &hdr, NULL, 0);
}

static void send_data(struct bed *bed, uint32_t port, uint32_t len)
{
    static const uint8_t bytes[200];
    const struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_RW, port, HOST, 80);
    vsock_rig_send(&bed->rig, &hdr, bytes, len);
}

/* Told by a CREDIT_UPDATE: the guest has `room` bytes, of which it has read `fwd`. */
static void send_credit(struct bed *bed, uint32_t port, uint32_t room, uint32_t fwd)
{
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_UPDATE, port, HOST, 80);
    hdr.buf_alloc = bh_le32_of(room);
    hdr.fwd_cnt = bh_le32_of(fwd);
    vsock_rig_send(&bed->rig, &hdr, NULL, 0);
}

static struct peer *connect_port(struct bed *bed, uint32_t port)
{
    send_op(bed, VIRTIO_VSOCK_OP_REQUEST, port, 0);
    struct vsock_packet answer = vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RESPONSE);
    assert_int_equal(answer.guest_port, port);
    assert_int_equal(answer.peer_port, 80);
    assert_int_equal(answer.peer_cid, HOST);
    assert_int_equal(answer.buf_alloc, RIG_BUF_ALLOC);
    return &bed->peers[bed->peer_count - 1];
}

static void expect_nothing(struct bed *bed)
{
    struct vsock_packet packet;
    assert_false(vsock_rig_next(&bed->rig, &packet));
}

/* --- connecting --- */

static void request_is_answered_by_response_or_rst(void **state)
{
    struct bed *bed = bed_new();

    connect_port(bed, 1000);
    bed->connect_answer = BH_ERR_NOENT;
    send_op(bed, VIRTIO_VSOCK_OP_REQUEST, 1001, 0);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 1001);
    assert_int_equal(bed->rig.vsock.used_count, 1);
    bed_free(bed);
}

static void slow_connect_is_answered_when_it_ends(void **state)
{
    struct bed *bed = bed_new();

    bed->connect_answer = BH_ERR_PENDING;
    send_op(bed, VIRTIO_VSOCK_OP_REQUEST, 1000, 0);
    send_op(bed, VIRTIO_VSOCK_OP_REQUEST, 1001, 0);
    send_op(bed, VIRTIO_VSOCK_OP_REQUEST, 1002, 0);
    expect_nothing(bed);
    bh_vsock_connected(&bed->rig.vsock, bed->peers[1].conn);
    bh_vsock_reset(&bed->rig.vsock, bed->peers[0].conn);
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RESPONSE).guest_port, 1001);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 1000);
    assert_false(bed->peers[0].closed);         /* the port gave it up itself */
    send_op(bed, VIRTIO_VSOCK_OP_RST, 1002, 0); /* the guest thought better of it */
    assert_true(bed->peers[2].closed);
    expect_nothing(bed);
    bed_free(bed);
}

static void packets_of_no_connection_are_answered_by_rst(void **state)
{
    struct bed *bed = bed_new();

    send_op(bed, VIRTIO_VSOCK_OP_RW, 7, 0);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 7);
    send_op(bed, VIRTIO_VSOCK_OP_SHUTDOWN, 8, BOTH);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 8);
    send_op(bed, VIRTIO_VSOCK_OP_RST, 9, 0); /* an RST never is */
    expect_nothing(bed);
    bed_free(bed);
}

static void unknown_type_is_answered_by_rst_with_that_type(void **state)
{
    struct bed *bed = bed_new();
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_REQUEST, 7, HOST, 80);

    hdr.type = bh_le16_of(77);
    vsock_rig_send(&bed->rig, &hdr, NULL, 0);
    struct vsock_packet answer = vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(bh_le16_get(answer.hdr.type), 77);
    bed_free(bed);
}

static void types_are_those_negotiated(void **state)
{
    /* Neither bit: stream all the same. NO_IMPLIED_STREAM without STREAM: only what is negotiated. */
    static const struct {
        uint64_t without;
        bool stream, seqpacket;
    } cases[] = {{0, true, true},
                 {1u << VIRTIO_VSOCK_F_SEQPACKET, true, false},
                 {7, true, false},
                 {1u << VIRTIO_VSOCK_F_STREAM, false, true},
                 {5, true, true}};

    for (unsigned i = 0; i < BH_COUNT(cases); i++) {
        struct bed *bed = bed_without(cases[i].without);
        vsock_rig_give(&bed->rig, RIG_BUFFERS);
        for (uint16_t type = 1; type <= 2; type++) {
            struct virtio_vsock_hdr hdr =
                vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_REQUEST, 100u + type, HOST, 80);
            hdr.type = bh_le16_of(type);
            vsock_rig_send(&bed->rig, &hdr, NULL, 0);
            bool taken = type == 1 ? cases[i].stream : cases[i].seqpacket;
            vsock_rig_expect(&bed->rig, taken ? VIRTIO_VSOCK_OP_RESPONSE : VIRTIO_VSOCK_OP_RST);
        }
        bed_free(bed);
    }
}

static void foreign_and_malformed_packets_are_dropped(void **state)
{
    struct bed *bed = bed_new();
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_REQUEST, 7, HOST, 80);

    hdr.src_cid = bh_le64_of(RIG_CID + 1);
    vsock_rig_send(&bed->rig, &hdr, NULL, 0);
    hdr.src_cid = bh_le64_of(RIG_CID);
    hdr.dst_cid = bh_le64_of(1ull << 32 | HOST);
    vsock_rig_send(&bed->rig, &hdr, NULL, 0);
    uint8_t *part = class_rig_alloc(&bed->rig.rig, 64);
    memset(part, 0, 64);
    assert_int_equal(class_rig_add(&bed->rig.rig, VIRTIO_VSOCK_TX, part, 43, NULL, 0, part), BH_OK);
    hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_REQUEST, 7, HOST, 80);
    hdr.len = bh_le32_of(21); /* and 20 are there */
    memcpy(part, &hdr, VIRTIO_VSOCK_HDR_BYTES);
    assert_int_equal(class_rig_add(&bed->rig.rig, VIRTIO_VSOCK_TX, part, 64, NULL, 0, part), BH_OK);
    vsock_rig_run(&bed->rig);
    expect_nothing(bed);
    assert_int_equal(bed->rig.vsock.counters.foreign, 1);
    assert_int_equal(bed->rig.vsock.counters.malformed, 3);
    assert_int_equal(bed->peer_count, 0);
    bed_free(bed);
}

static void peer_opens_and_the_guest_answers(void **state)
{
    struct bed *bed = bed_new();
    struct peer peer = {0}, refused = {0}, late = {0};
    struct bh_vsock *vsock = &bed->rig.vsock;

    assert_non_null(bh_vsock_open(vsock, VIRTIO_VSOCK_TYPE_STREAM, 52, HOST, 80, &peer));
    assert_null(bh_vsock_open(vsock, VIRTIO_VSOCK_TYPE_STREAM, 52, HOST, 80, &peer)); /* in use */
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_REQUEST).guest_port, 52);
    send_op(bed, VIRTIO_VSOCK_OP_RESPONSE, 52, 0);
    assert_true(peer.accepted);

    assert_non_null(bh_vsock_open(vsock, VIRTIO_VSOCK_TYPE_STREAM, 53, HOST, 80, &refused));
    vsock_rig_run(&bed->rig);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_REQUEST);
    send_op(bed, VIRTIO_VSOCK_OP_RST, 53, 0);
    assert_true(refused.closed && !refused.accepted);

    assert_non_null(bh_vsock_open(vsock, VIRTIO_VSOCK_TYPE_STREAM, 54, HOST, 80, &late));
    vsock_rig_run(&bed->rig);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_REQUEST);
    assert_true(bed->wants_ticks);
    unsigned ticks = 0;
    while (bh_vsock_tick(vsock))
        assert_true(++ticks < 60);
    assert_true(ticks >= 5 && late.closed);
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 54);
    assert_int_equal(vsock->used_count, 1);
    bed_free(bed);
}

static void guest_that_is_not_up_is_not_asked(void **state)
{
    struct bed *bed = bed_new();
    struct peer peer = {0};

    bh_device_reset(&bed->rig.vsock.dev);
    assert_null(bh_vsock_open(&bed->rig.vsock, VIRTIO_VSOCK_TYPE_STREAM, 52, HOST, 80, &peer));
    bed_free(bed);
}

static void full_table_refuses_and_has_room_again(void **state)
{
    struct bed *bed = bed_new();

    for (uint32_t i = 0; i < RIG_CONNS; i++)
        connect_port(bed, 100 + i);
    send_op(bed, VIRTIO_VSOCK_OP_REQUEST, 99, 0);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 99);
    send_op(bed, VIRTIO_VSOCK_OP_RST, 105, 0);
    connect_port(bed, 99);
    bed_free(bed);
}

/* --- credit --- */

static void guest_is_told_before_its_credit_ends(void **state)
{
    struct bed *bed = bed_new();
    uint32_t sent = 0, told = 0;

    connect_port(bed, 1);
    for (unsigned i = 0; i < 1000; i++) {
        struct vsock_packet packet;
        assert_true(RIG_BUF_ALLOC - (sent - told) >= 200); /* never short of credit */
        send_data(bed, 1, 200);
        sent += 200;
        while (vsock_rig_next(&bed->rig, &packet)) {
            assert_int_equal(packet.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
            told = packet.fwd_cnt;
        }
    }
    assert_int_equal(bed->peers[0].taken, 200000);
    assert_true(bed->rig.vsock.counters.packets_in < 200); /* and not by every packet */
    bed_free(bed);
}

static void kept_data_holds_the_credit_back(void **state)
{
    struct bed *bed = bed_new();

    bed->keeps = true;
    struct peer *peer = connect_port(bed, 1);
    for (unsigned i = 0; i < 20; i++)
        send_data(bed, 1, 200);
    expect_nothing(bed);
    send_op(bed, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1, 0);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_UPDATE).fwd_cnt, 0);
    bh_vsock_forwarded(&bed->rig.vsock, peer->conn, 1000);
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_UPDATE).fwd_cnt, 1000);
    bed_free(bed);
}

static void guest_that_overruns_its_credit_is_reset(void **state)
{
    struct bed *bed = bed_new();

    bed->keeps = true;
    struct peer *peer = connect_port(bed, 1);
    for (unsigned i = 0; i < 21; i++)
        send_data(bed, 1, 200);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST);
    assert_true(peer->closed);
    assert_int_equal(peer->kept, 4000);
    assert_int_equal(bed->rig.vsock.counters.credit_overrun, 1);
    bed_free(bed);
}

static void guest_gets_no_more_than_it_has_room_for(void **state)
{
    struct bed *bed = bed_new();
    uint32_t got = 0;

    struct peer *peer = connect_port(bed, 1);
    send_credit(bed, 1, 1500, 0);
    peer->waiting = 5000;
    bh_vsock_readable(&bed->rig.vsock, peer->conn);
    vsock_rig_run(&bed->rig);
    got += vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).len;
    got += vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).len;
    assert_int_equal(got, 1500);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_REQUEST); /* asked once */
    expect_nothing(bed);
    send_credit(bed, 1, 1500, 0);
    expect_nothing(bed);
    send_credit(bed, 1, 1500, 10);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).len, 10);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
    send_credit(bed, 1, 1500, 2000); /* more than was ever sent: a lie that gives nothing */
    expect_nothing(bed);
    assert_int_equal(peer->waiting, 5000 - 1510);
    bed_free(bed);
}

/* --- who waits for whom --- */

static void stopped_reader_stops_only_itself(void **state)
{
    struct bed *bed = bed_new();
    unsigned from[3] = {0};

    struct peer *stopped = connect_port(bed, 0), *one = connect_port(bed, 1), *two = connect_port(bed, 2);
    send_credit(bed, 0, 100, 0);
    stopped->waiting = one->waiting = two->waiting = 20000;
    bh_vsock_readable(&bed->rig.vsock, stopped->conn);
    bh_vsock_readable(&bed->rig.vsock, one->conn);
    bh_vsock_readable(&bed->rig.vsock, two->conn);
    vsock_rig_run(&bed->rig);
    for (unsigned i = 0; i < 30; i++) {
        struct vsock_packet packet;
        assert_true(vsock_rig_next(&bed->rig, &packet));
        from[packet.guest_port] += packet.op == VIRTIO_VSOCK_OP_RW;
    }
    assert_int_equal(from[0], 1);
    assert_true(from[1] >= 13 && from[2] >= 13); /* in turns */
    bed_free(bed);
}

static void control_goes_before_data(void **state)
{
    struct bed *bed = bed_without(0);
    static uint8_t tiny[1];

    vsock_rig_give(&bed->rig, 1);
    struct peer *peer = connect_port(bed, 1);
    peer->waiting = 1000000;
    bh_vsock_readable(&bed->rig.vsock, peer->conn);
    vsock_rig_run(&bed->rig); /* the only buffer has data, and the next one would have too */
    const struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1, HOST, 80);
    vsock_rig_send(&bed->rig, &hdr, tiny, 0);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW);
    bed_free(bed);
}

static void transmit_goes_on_without_receive_buffers(void **state)
{
    struct bed *bed = bed_without(0);

    send_op(bed, VIRTIO_VSOCK_OP_REQUEST, 1, 0);
    for (unsigned i = 0; i < 500; i++) {
        send_op(bed, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1, 0);
        if (i < 20)
            send_data(bed, 1, 200);
    }
    assert_int_equal(bed->peers[0].taken, 4000);
    vsock_rig_give(&bed->rig, 8);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RESPONSE);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_UPDATE).fwd_cnt, 4000);
    expect_nothing(bed);
    bed_free(bed);
}

static void strays_are_bounded_and_hold_the_transmit_queue(void **state)
{
    struct bed *bed = bed_without(0);
    unsigned laid = 0, answered = 0;
    struct vsock_packet packet;

    for (; laid < 200; laid++) {
        const struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_RW, laid, HOST, 80);
        if (!vsock_rig_lay(&bed->rig, &hdr, NULL, 0))
            break;
        vsock_rig_run(&bed->rig);
    }
    assert_int_equal(laid, BH_VSOCK_STRAYS + CLASS_RIG_SIZE); /* remembered, and left in the ring */
    vsock_rig_give(&bed->rig, 4);
    for (; vsock_rig_next(&bed->rig, &packet); answered++)
        assert_int_equal(packet.guest_port, answered);
    assert_int_equal(answered, laid);
    bed_free(bed);
}

/* --- ends --- */

static void guest_that_closes_gets_its_rst_and_the_rest_is_delivered(void **state)
{
    struct bed *bed = bed_new();

    bed->keeps = true;
    struct peer *peer = connect_port(bed, 1);
    send_data(bed, 1, 100);
    send_op(bed, VIRTIO_VSOCK_OP_SHUTDOWN, 1, SEND);
    assert_int_equal(peer->shut, SEND);
    send_op(bed, VIRTIO_VSOCK_OP_SHUTDOWN, 1, 0); /* takes nothing back */
    assert_false(peer->closed);
    send_op(bed, VIRTIO_VSOCK_OP_SHUTDOWN, 1, RECV);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST);
    assert_true(peer->closed && peer->delivered);
    assert_int_equal(bed->rig.vsock.used_count, 0);
    bed_free(bed);
}

static void half_closed_connection_goes_on_the_other_way(void **state)
{
    struct bed *bed = bed_new();

    struct peer *peer = connect_port(bed, 1);
    bh_vsock_end(&bed->rig.vsock, peer->conn, SEND);
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_SHUTDOWN).flags, SEND);
    send_data(bed, 1, 100);
    assert_int_equal(peer->taken, 100);

    peer = connect_port(bed, 2);
    send_op(bed, VIRTIO_VSOCK_OP_SHUTDOWN, 2, SEND);
    peer->waiting = 10;
    bh_vsock_readable(&bed->rig.vsock, peer->conn);
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).len, 10);
    send_data(bed, 2, 1); /* it said that it would not */
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST);
    assert_true(peer->closed);
    bed_free(bed);
}

static void peer_that_is_gone_waits_for_the_guests_rst_but_not_for_ever(void **state)
{
    struct bed *bed = bed_new();

    for (uint32_t port = 1; port <= 2; port++) {
        struct peer *peer = connect_port(bed, port);
        bh_vsock_end(&bed->rig.vsock, peer->conn, BOTH);
        vsock_rig_run(&bed->rig);
        assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_SHUTDOWN).flags, BOTH);
        assert_true(peer->closed);
        send_data(bed, port, 100); /* it was under way: no harm */
        expect_nothing(bed);
    }
    assert_int_equal(bed->rig.vsock.used_count, 2);
    send_op(bed, VIRTIO_VSOCK_OP_RST, 1, 0);
    assert_int_equal(bed->rig.vsock.used_count, 1);
    while (bh_vsock_tick(&bed->rig.vsock))
        ;
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 2);
    assert_int_equal(bed->rig.vsock.used_count, 0);
    bed_free(bed);
}

static void peer_that_takes_no_more_is_told_and_the_data_dropped(void **state)
{
    struct bed *bed = bed_new();

    struct peer *peer = connect_port(bed, 1);
    bed->write_answer = BH_ERR_CLOSED;
    for (unsigned i = 0; i < 100; i++)
        send_data(bed, 1, 200); /* the guest does not see the end at once: it must not run out of credit */
    struct vsock_packet packet, last = {0};
    bool told = false;
    while (vsock_rig_next(&bed->rig, &packet)) {
        told |= packet.op == VIRTIO_VSOCK_OP_SHUTDOWN && packet.flags == RECV;
        last = packet;
    }
    assert_true(told);
    assert_true(last.fwd_cnt >= 20000 - RIG_BUF_ALLOC);
    assert_false(peer->closed);
    bed_free(bed);
}

static void reset_of_the_driver_forgets_everything(void **state)
{
    struct bed *bed = bed_new();

    struct peer *one = connect_port(bed, 1), *two = connect_port(bed, 2);
    bh_vsock_end(&bed->rig.vsock, two->conn, BOTH);
    bh_vsock_transport_reset(&bed->rig.vsock);
    assert_true(one->closed && two->closed);
    bh_device_reset(&bed->rig.vsock.dev);
    assert_int_equal(bed->rig.vsock.used_count, 0);
    assert_int_equal(bed->rig.vsock.awaited, 0);
    assert_false(bed->rig.vsock.reset_due);
    bed_free(bed);
}

static void transport_reset_is_told_once_there_is_a_buffer(void **state)
{
    struct bed *bed = bed_new();

    struct peer *peer = connect_port(bed, 1);
    bh_vsock_transport_reset(&bed->rig.vsock);
    bh_vsock_transport_reset(&bed->rig.vsock);
    assert_true(peer->closed && !peer->delivered);
    vsock_rig_run(&bed->rig);
    connect_port(bed, 2); /* new ones at once */
    assert_int_equal(vsock_rig_event(&bed->rig), -1);
    vsock_rig_give_event(&bed->rig);
    assert_int_equal(vsock_rig_event(&bed->rig), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
    vsock_rig_give_event(&bed->rig);
    assert_int_equal(vsock_rig_event(&bed->rig), -1);
    bed_free(bed);
}

/* The process is killed, and another one goes on with the memory that outlived it. */
static void successor_ends_what_the_guest_knows_of(void **state)
{
    struct bed *killed = bed_new(), *bed = bed_without(0);
    struct bh_device *dev = &killed->rig.vsock.dev;
    void *area = calloc(1, dev->class->lasting_size(dev));
    struct vsock_packet packet;
    unsigned seen = 0;

    dev->class->lasting(dev, area, false);
    for (uint32_t port = 1; port <= 4; port++)
        connect_port(killed, port);
    send_op(killed, VIRTIO_VSOCK_OP_RST, 2, 0);
    dev = &bed->rig.vsock.dev;
    dev->class->lasting(dev, area, true);
    vsock_rig_give(&bed->rig, RIG_BUFFERS);
    while (vsock_rig_next(&bed->rig, &packet)) {
        assert_int_equal(packet.op, VIRTIO_VSOCK_OP_RST);
        seen |= 1u << packet.guest_port;
    }
    assert_int_equal(seen, 1u << 1 | 1u << 3 | 1u << 4);
    vsock_rig_give_event(&bed->rig);
    assert_int_equal(vsock_rig_event(&bed->rig), -1); /* it would end new ones too */
    connect_port(bed, 1);
    killed->rig.vsock.last = NULL; /* it is dead */
    bed_free(killed);
    bed_free(bed);
    free(area);
}

static void nonsense_of_a_former_process_does_no_harm(void **state)
{
    struct bed *bed = bed_without(0);
    struct bh_device *dev = &bed->rig.vsock.dev;
    struct bh_vsock_lasting *area = calloc(1, dev->class->lasting_size(dev));
    struct vsock_packet packet;
    unsigned count = 0;

    for (unsigned i = 0; i < RIG_CONNS; i++)
        area[i] = (struct bh_vsock_lasting){.guest_port = i / 4, .peer_cid = HOST, .type = i % 5};
    dev->class->lasting(dev, area, true);
    vsock_rig_give(&bed->rig, RIG_BUFFERS);
    for (; vsock_rig_next(&bed->rig, &packet); count++)
        assert_int_equal(packet.op, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(count, 4); /* of each pair of addresses one, of types that exist */
    assert_int_equal(bed->rig.vsock.used_count, 0);
    dev->class->lasting(dev, NULL, false);
    free(area);
    connect_port(bed, 1);
    bed_free(bed);
}

static void state_that_is_loaded_is_a_transport_reset(void **state)
{
    struct bed *bed = bed_new();
    static uint8_t saved[4096];

    connect_port(bed, 1);
    bh_device_quiesce(&bed->rig.vsock.dev);
    int size = bh_device_save(&bed->rig.vsock.dev, saved, sizeof(saved));
    assert_true(size > 0);
    bh_device_reset(&bed->rig.vsock.dev);
    assert_int_equal(bh_device_load(&bed->rig.vsock.dev, saved, (size_t)size), BH_OK);
    bh_device_resume(&bed->rig.vsock.dev);
    vsock_rig_run(&bed->rig);
    vsock_rig_give_event(&bed->rig);
    assert_int_equal(vsock_rig_event(&bed->rig), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
    connect_port(bed, 2);
    bed_free(bed);
}

/* --- messages --- */

static struct peer *connect_seqpacket(struct bed *bed, uint32_t port, uint32_t room)
{
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_REQUEST, port, HOST, 80);

    hdr.type = bh_le16_of(VIRTIO_VSOCK_TYPE_SEQPACKET);
    hdr.buf_alloc = bh_le32_of(room);
    vsock_rig_send(&bed->rig, &hdr, NULL, 0);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RESPONSE);
    return &bed->peers[bed->peer_count - 1];
}

static void messages_keep_their_ends(void **state)
{
    struct bed *bed = bed_new();
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_RW, 1, HOST, 80);
    const uint32_t end = VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR;

    struct peer *peer = connect_seqpacket(bed, 1, 65536);
    peer->waiting = 2000;
    peer->end_flags = end;
    bh_vsock_readable(&bed->rig.vsock, peer->conn);
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).flags, 0);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).flags, 0);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).flags, end);
    hdr.type = bh_le16_of(VIRTIO_VSOCK_TYPE_SEQPACKET);
    vsock_rig_send(&bed->rig, &hdr, "abc", 3);
    assert_int_equal(peer->flags, 0);
    hdr.flags = bh_le32_of(end);
    vsock_rig_send(&bed->rig, &hdr, NULL, 0); /* an end by itself */
    assert_int_equal(peer->flags, end);
    bed_free(bed);
}

static void message_that_can_never_fit_ends_its_connection(void **state)
{
    struct bed *bed = bed_new();

    struct peer *peer = connect_seqpacket(bed, 1, 1000);
    peer->waiting = 1001;
    peer->end_flags = VIRTIO_VSOCK_SEQ_EOM;
    bh_vsock_readable(&bed->rig.vsock, peer->conn);
    vsock_rig_run(&bed->rig);
    uint32_t got = 0;
    struct vsock_packet packet;
    while (vsock_rig_next(&bed->rig, &packet) && packet.op == VIRTIO_VSOCK_OP_RW)
        got += packet.len;
    assert_int_equal(got, 1000);
    assert_int_equal(packet.op, VIRTIO_VSOCK_OP_RST);
    assert_true(peer->closed);
    bed_free(bed);
}

static void buffer_without_room_breaks_the_queue(void **state)
{
    struct bed *bed = bed_without(0);
    uint8_t *buffer = class_rig_alloc(&bed->rig.rig, VIRTIO_VSOCK_HDR_BYTES);

    assert_int_equal(
        class_rig_add(&bed->rig.rig, VIRTIO_VSOCK_RX, NULL, 0, buffer, VIRTIO_VSOCK_HDR_BYTES, buffer),
        BH_OK);
    send_op(bed, VIRTIO_VSOCK_OP_RW, 1, 0);
    assert_int_equal(bed->rig.rig.pipe.errors[VIRTIO_VSOCK_RX], 1);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_answered_by_response_or_rst),
        cmocka_unit_test(slow_connect_is_answered_when_it_ends),
        cmocka_unit_test(packets_of_no_connection_are_answered_by_rst),
        cmocka_unit_test(unknown_type_is_answered_by_rst_with_that_type),
        cmocka_unit_test(types_are_those_negotiated),
        cmocka_unit_test(foreign_and_malformed_packets_are_dropped),
        cmocka_unit_test(peer_opens_and_the_guest_answers),
        cmocka_unit_test(guest_that_is_not_up_is_not_asked),
        cmocka_unit_test(full_table_refuses_and_has_room_again),
        cmocka_unit_test(guest_is_told_before_its_credit_ends),
        cmocka_unit_test(kept_data_holds_the_credit_back),
        cmocka_unit_test(guest_that_overruns_its_credit_is_reset),
        cmocka_unit_test(guest_gets_no_more_than_it_has_room_for),
        cmocka_unit_test(stopped_reader_stops_only_itself),
        cmocka_unit_test(control_goes_before_data),
        cmocka_unit_test(transmit_goes_on_without_receive_buffers),
        cmocka_unit_test(strays_are_bounded_and_hold_the_transmit_queue),
        cmocka_unit_test(guest_that_closes_gets_its_rst_and_the_rest_is_delivered),
        cmocka_unit_test(half_closed_connection_goes_on_the_other_way),
        cmocka_unit_test(peer_that_is_gone_waits_for_the_guests_rst_but_not_for_ever),
        cmocka_unit_test(peer_that_takes_no_more_is_told_and_the_data_dropped),
        cmocka_unit_test(reset_of_the_driver_forgets_everything),
        cmocka_unit_test(transport_reset_is_told_once_there_is_a_buffer),
        cmocka_unit_test(successor_ends_what_the_guest_knows_of),
        cmocka_unit_test(nonsense_of_a_former_process_does_no_harm),
        cmocka_unit_test(state_that_is_loaded_is_a_transport_reset),
        cmocka_unit_test(messages_keep_their_ends),
        cmocka_unit_test(message_that_can_never_fit_ends_its_connection),
        cmocka_unit_test(buffer_without_room_breaks_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
