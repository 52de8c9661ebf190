/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class vsock against a port in the test's hand: connections, credit, and who waits for whom.
 */
#include "tests/unit/vsock_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- connecting --- */

static void request_is_answered_by_response_or_rst(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    vsock_bed_connect(bed, 1000);
    bed->connect_answer = BH_ERR_NOENT;
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_REQUEST, 1001, 0);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 1001);
    assert_int_equal(bed->rig.vsock.used_count, 1);
    vsock_bed_free(bed);
}

static void slow_connect_is_answered_when_it_ends(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    bed->connect_answer = BH_ERR_PENDING;
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_REQUEST, 1000, 0);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_REQUEST, 1001, 0);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_REQUEST, 1002, 0);
    vsock_bed_expect_nothing(bed);
    bh_vsock_connected(&bed->rig.vsock, bed->peers[1].conn);
    bh_vsock_reset(&bed->rig.vsock, bed->peers[0].conn);
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RESPONSE).guest_port, 1001);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 1000);
    assert_false(bed->peers[0].closed);                /* the port gave it up itself */
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_RST, 1002, 0); /* the guest thought better of it */
    assert_true(bed->peers[2].closed);
    vsock_bed_expect_nothing(bed);
    vsock_bed_free(bed);
}

static void packets_of_no_connection_are_answered_by_rst(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    vsock_bed_send(bed, VIRTIO_VSOCK_OP_RW, 7, 0);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 7);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_SHUTDOWN, 8, BOTH);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 8);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_RST, 9, 0); /* an RST never is */
    vsock_bed_expect_nothing(bed);
    vsock_bed_free(bed);
}

static void unknown_type_is_answered_by_rst_with_that_type(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_REQUEST, 7, HOST, 80);

    hdr.type = bh_le16_of(77);
    vsock_rig_send(&bed->rig, &hdr, NULL, 0);
    struct vsock_packet answer = vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST);
    assert_int_equal(bh_le16_get(answer.hdr.type), 77);
    vsock_bed_free(bed);
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
        struct vsock_bed *bed = vsock_bed_without(cases[i].without);
        vsock_rig_give(&bed->rig, RIG_BUFFERS);
        for (uint16_t type = 1; type <= 2; type++) {
            struct virtio_vsock_hdr hdr =
                vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_REQUEST, 100u + type, HOST, 80);
            hdr.type = bh_le16_of(type);
            vsock_rig_send(&bed->rig, &hdr, NULL, 0);
            bool taken = type == 1 ? cases[i].stream : cases[i].seqpacket;
            vsock_rig_expect(&bed->rig, taken ? VIRTIO_VSOCK_OP_RESPONSE : VIRTIO_VSOCK_OP_RST);
        }
        vsock_bed_free(bed);
    }
}

static void foreign_and_malformed_packets_are_dropped(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();
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
    vsock_bed_expect_nothing(bed);
    assert_int_equal(bed->rig.vsock.counters.foreign, 1);
    assert_int_equal(bed->rig.vsock.counters.malformed, 3);
    assert_int_equal(bed->peer_count, 0);
    vsock_bed_free(bed);
}

static void peer_opens_and_the_guest_answers(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();
    struct vsock_peer peer = {0}, refused = {0}, late = {0};
    struct bh_vsock *vsock = &bed->rig.vsock;

    assert_non_null(bh_vsock_open(vsock, VIRTIO_VSOCK_TYPE_STREAM, 52, HOST, 80, &peer));
    assert_null(bh_vsock_open(vsock, VIRTIO_VSOCK_TYPE_STREAM, 52, HOST, 80, &peer)); /* in use */
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_REQUEST).guest_port, 52);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_RESPONSE, 52, 0);
    assert_true(peer.accepted);

    assert_non_null(bh_vsock_open(vsock, VIRTIO_VSOCK_TYPE_STREAM, 53, HOST, 80, &refused));
    vsock_rig_run(&bed->rig);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_REQUEST);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_RST, 53, 0);
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
    vsock_bed_free(bed);
}

static void guest_that_is_not_up_is_not_asked(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();
    struct vsock_peer peer = {0};

    bh_device_reset(&bed->rig.vsock.dev);
    assert_null(bh_vsock_open(&bed->rig.vsock, VIRTIO_VSOCK_TYPE_STREAM, 52, HOST, 80, &peer));
    vsock_bed_free(bed);
}

static void full_table_refuses_and_has_room_again(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    for (uint32_t i = 0; i < RIG_CONNS; i++)
        vsock_bed_connect(bed, 100 + i);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_REQUEST, 99, 0);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 99);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_RST, 105, 0);
    vsock_bed_connect(bed, 99);
    vsock_bed_free(bed);
}

/* --- credit --- */

static void guest_is_told_before_its_credit_ends(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();
    uint32_t sent = 0, told = 0;

    vsock_bed_connect(bed, 1);
    for (unsigned i = 0; i < 1000; i++) {
        struct vsock_packet packet;
        assert_true(RIG_BUF_ALLOC - (sent - told) >= 200); /* never short of credit */
        vsock_bed_send_data(bed, 1, 200);
        sent += 200;
        while (vsock_rig_next(&bed->rig, &packet)) {
            assert_int_equal(packet.op, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
            told = packet.fwd_cnt;
        }
    }
    assert_int_equal(bed->peers[0].taken, 200000);
    assert_true(bed->rig.vsock.counters.packets_in < 200); /* and not by every packet */
    vsock_bed_free(bed);
}

static void kept_data_holds_the_credit_back(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    bed->keeps = true;
    struct vsock_peer *peer = vsock_bed_connect(bed, 1);
    for (unsigned i = 0; i < 20; i++)
        vsock_bed_send_data(bed, 1, 200);
    vsock_bed_expect_nothing(bed);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1, 0);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_UPDATE).fwd_cnt, 0);
    bh_vsock_forwarded(&bed->rig.vsock, peer->conn, 1000);
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_UPDATE).fwd_cnt, 1000);
    vsock_bed_free(bed);
}

static void guest_that_overruns_its_credit_is_reset(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    bed->keeps = true;
    struct vsock_peer *peer = vsock_bed_connect(bed, 1);
    for (unsigned i = 0; i < 21; i++)
        vsock_bed_send_data(bed, 1, 200);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST);
    assert_true(peer->closed);
    assert_int_equal(peer->kept, 4000);
    assert_int_equal(bed->rig.vsock.counters.credit_overrun, 1);
    vsock_bed_free(bed);
}

static void guest_gets_no_more_than_it_has_room_for(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();
    uint32_t got = 0;

    struct vsock_peer *peer = vsock_bed_connect(bed, 1);
    vsock_bed_send_credit(bed, 1, 1500, 0);
    peer->waiting = 5000;
    bh_vsock_readable(&bed->rig.vsock, peer->conn);
    vsock_rig_run(&bed->rig);
    got += vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).len;
    got += vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).len;
    assert_int_equal(got, 1500);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_REQUEST); /* asked once */
    vsock_bed_expect_nothing(bed);
    vsock_bed_send_credit(bed, 1, 1500, 0);
    vsock_bed_expect_nothing(bed);
    vsock_bed_send_credit(bed, 1, 1500, 10);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).len, 10);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_REQUEST);
    vsock_bed_send_credit(bed, 1, 1500, 2000); /* more than was ever sent: a lie that gives nothing */
    vsock_bed_expect_nothing(bed);
    assert_int_equal(peer->waiting, 5000 - 1510);
    vsock_bed_free(bed);
}

/* --- who waits for whom --- */

static void stopped_reader_stops_only_itself(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();
    unsigned from[3] = {0};

    struct vsock_peer *stopped = vsock_bed_connect(bed, 0), *one = vsock_bed_connect(bed, 1),
                      *two = vsock_bed_connect(bed, 2);
    vsock_bed_send_credit(bed, 0, 100, 0);
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
    vsock_bed_free(bed);
}

static void control_goes_before_data(void **state)
{
    struct vsock_bed *bed = vsock_bed_without(0);
    static uint8_t tiny[1];

    vsock_rig_give(&bed->rig, 1);
    struct vsock_peer *peer = vsock_bed_connect(bed, 1);
    peer->waiting = 1000000;
    bh_vsock_readable(&bed->rig.vsock, peer->conn);
    vsock_rig_run(&bed->rig); /* the only buffer has data, and the next one would have too */
    const struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1, HOST, 80);
    vsock_rig_send(&bed->rig, &hdr, tiny, 0);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_UPDATE);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW);
    vsock_bed_free(bed);
}

static void transmit_goes_on_without_receive_buffers(void **state)
{
    struct vsock_bed *bed = vsock_bed_without(0);

    vsock_bed_send(bed, VIRTIO_VSOCK_OP_REQUEST, 1, 0);
    for (unsigned i = 0; i < 500; i++) {
        vsock_bed_send(bed, VIRTIO_VSOCK_OP_CREDIT_REQUEST, 1, 0);
        if (i < 20)
            vsock_bed_send_data(bed, 1, 200);
    }
    assert_int_equal(bed->peers[0].taken, 4000);
    vsock_rig_give(&bed->rig, 8);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RESPONSE);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_CREDIT_UPDATE).fwd_cnt, 4000);
    vsock_bed_expect_nothing(bed);
    vsock_bed_free(bed);
}

static void strays_are_bounded_and_hold_the_transmit_queue(void **state)
{
    struct vsock_bed *bed = vsock_bed_without(0);
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
    vsock_bed_free(bed);
}

static void buffer_without_room_breaks_the_queue(void **state)
{
    struct vsock_bed *bed = vsock_bed_without(0);
    uint8_t *buffer = class_rig_alloc(&bed->rig.rig, VIRTIO_VSOCK_HDR_BYTES);

    assert_int_equal(
        class_rig_add(&bed->rig.rig, VIRTIO_VSOCK_RX, NULL, 0, buffer, VIRTIO_VSOCK_HDR_BYTES, buffer),
        BH_OK);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_RW, 1, 0);
    assert_int_equal(bed->rig.rig.pipe.errors[VIRTIO_VSOCK_RX], 1);
    vsock_bed_free(bed);
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
        cmocka_unit_test(buffer_without_room_breaks_the_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
