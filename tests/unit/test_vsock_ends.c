/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class vsock against a port in the test's hand: how connections end, what outlives a process, messages.
 */
#include "tests/unit/vsock_bed.h"
#include <bulkhead/impl/class.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- ends --- */

static void guest_that_closes_gets_its_rst_and_the_rest_is_delivered(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    bed->keeps = true;
    struct vsock_peer *peer = vsock_bed_connect(bed, 1);
    vsock_bed_send_data(bed, 1, 100);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_SHUTDOWN, 1, SEND);
    assert_int_equal(peer->shut, SEND);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_SHUTDOWN, 1, 0); /* takes nothing back */
    assert_false(peer->closed);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_SHUTDOWN, 1, RECV);
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST);
    assert_true(peer->closed && peer->delivered);
    assert_int_equal(bed->rig.vsock.used_count, 0);
    vsock_bed_free(bed);
}

static void half_closed_connection_goes_on_the_other_way(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    struct vsock_peer *peer = vsock_bed_connect(bed, 1);
    bh_vsock_end(&bed->rig.vsock, peer->conn, SEND);
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_SHUTDOWN).flags, SEND);
    vsock_bed_send_data(bed, 1, 100);
    assert_int_equal(peer->taken, 100);

    peer = vsock_bed_connect(bed, 2);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_SHUTDOWN, 2, SEND);
    peer->waiting = 10;
    bh_vsock_readable(&bed->rig.vsock, peer->conn);
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RW).len, 10);
    vsock_bed_send_data(bed, 2, 1); /* it said that it would not */
    vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST);
    assert_true(peer->closed);
    vsock_bed_free(bed);
}

static void peer_that_is_gone_waits_for_the_guests_rst_but_not_for_ever(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    for (uint32_t port = 1; port <= 2; port++) {
        struct vsock_peer *peer = vsock_bed_connect(bed, port);
        bh_vsock_end(&bed->rig.vsock, peer->conn, BOTH);
        vsock_rig_run(&bed->rig);
        assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_SHUTDOWN).flags, BOTH);
        assert_true(peer->closed);
        vsock_bed_send_data(bed, port, 100); /* it was under way: no harm */
        vsock_bed_expect_nothing(bed);
    }
    assert_int_equal(bed->rig.vsock.used_count, 2);
    vsock_bed_send(bed, VIRTIO_VSOCK_OP_RST, 1, 0);
    assert_int_equal(bed->rig.vsock.used_count, 1);
    while (bh_vsock_tick(&bed->rig.vsock))
        ;
    vsock_rig_run(&bed->rig);
    assert_int_equal(vsock_rig_expect(&bed->rig, VIRTIO_VSOCK_OP_RST).guest_port, 2);
    assert_int_equal(bed->rig.vsock.used_count, 0);
    vsock_bed_free(bed);
}

static void peer_that_takes_no_more_is_told_and_the_data_dropped(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    struct vsock_peer *peer = vsock_bed_connect(bed, 1);
    bed->write_answer = BH_ERR_CLOSED;
    for (unsigned i = 0; i < 100; i++)
        vsock_bed_send_data(bed, 1,
                            200); /* the guest does not see the end at once: it must not run out of credit */
    struct vsock_packet packet, last = {0};
    bool told = false;
    while (vsock_rig_next(&bed->rig, &packet)) {
        told |= packet.op == VIRTIO_VSOCK_OP_SHUTDOWN && packet.flags == RECV;
        last = packet;
    }
    assert_true(told);
    assert_true(last.fwd_cnt >= 20000 - RIG_BUF_ALLOC);
    assert_false(peer->closed);
    vsock_bed_free(bed);
}

static void reset_of_the_driver_forgets_everything(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    struct vsock_peer *one = vsock_bed_connect(bed, 1), *two = vsock_bed_connect(bed, 2);
    bh_vsock_end(&bed->rig.vsock, two->conn, BOTH);
    bh_vsock_transport_reset(&bed->rig.vsock);
    assert_true(one->closed && two->closed);
    bh_device_reset(&bed->rig.vsock.dev);
    assert_int_equal(bed->rig.vsock.used_count, 0);
    assert_int_equal(bed->rig.vsock.awaited, 0);
    assert_false(bed->rig.vsock.reset_due);
    vsock_bed_free(bed);
}

static void transport_reset_is_told_once_there_is_a_buffer(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    struct vsock_peer *peer = vsock_bed_connect(bed, 1);
    bh_vsock_transport_reset(&bed->rig.vsock);
    bh_vsock_transport_reset(&bed->rig.vsock);
    assert_true(peer->closed && !peer->delivered);
    vsock_rig_run(&bed->rig);
    vsock_bed_connect(bed, 2); /* new ones at once */
    assert_int_equal(vsock_rig_event(&bed->rig), -1);
    vsock_rig_give_event(&bed->rig);
    assert_int_equal(vsock_rig_event(&bed->rig), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
    vsock_rig_give_event(&bed->rig);
    assert_int_equal(vsock_rig_event(&bed->rig), -1);
    vsock_bed_free(bed);
}

/* The process is killed, and another one goes on with the memory that outlived it. */
static void successor_ends_what_the_guest_knows_of(void **state)
{
    struct vsock_bed *killed = vsock_bed_new(), *bed = vsock_bed_without(0);
    struct bh_device *dev = &killed->rig.vsock.dev;
    void *area = calloc(1, dev->class->lasting_size(dev));
    struct vsock_packet packet;
    unsigned seen = 0;

    dev->class->lasting(dev, area, false);
    for (uint32_t port = 1; port <= 4; port++)
        vsock_bed_connect(killed, port);
    vsock_bed_send(killed, VIRTIO_VSOCK_OP_RST, 2, 0);
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
    vsock_bed_connect(bed, 1);
    killed->rig.vsock.last = NULL; /* it is dead */
    vsock_bed_free(killed);
    vsock_bed_free(bed);
    free(area);
}

static void nonsense_of_a_former_process_does_no_harm(void **state)
{
    struct vsock_bed *bed = vsock_bed_without(0);
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
    vsock_bed_connect(bed, 1);
    vsock_bed_free(bed);
}

static void state_that_is_loaded_is_a_transport_reset(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();
    static uint8_t saved[4096];

    vsock_bed_connect(bed, 1);
    bh_device_quiesce(&bed->rig.vsock.dev);
    int size = bh_device_save(&bed->rig.vsock.dev, saved, sizeof(saved));
    assert_true(size > 0);
    bh_device_reset(&bed->rig.vsock.dev);
    assert_int_equal(bh_device_load(&bed->rig.vsock.dev, saved, (size_t)size), BH_OK);
    bh_device_resume(&bed->rig.vsock.dev);
    vsock_rig_run(&bed->rig);
    vsock_rig_give_event(&bed->rig);
    assert_int_equal(vsock_rig_event(&bed->rig), VIRTIO_VSOCK_EVENT_TRANSPORT_RESET);
    vsock_bed_connect(bed, 2);
    vsock_bed_free(bed);
}

/* --- messages --- */

static struct vsock_peer *connect_seqpacket(struct vsock_bed *bed, uint32_t port, uint32_t room)
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
    struct vsock_bed *bed = vsock_bed_new();
    struct virtio_vsock_hdr hdr = vsock_rig_hdr(&bed->rig, VIRTIO_VSOCK_OP_RW, 1, HOST, 80);
    const uint32_t end = VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR;

    struct vsock_peer *peer = connect_seqpacket(bed, 1, 65536);
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
    vsock_bed_free(bed);
}

static void message_that_can_never_fit_ends_its_connection(void **state)
{
    struct vsock_bed *bed = vsock_bed_new();

    struct vsock_peer *peer = connect_seqpacket(bed, 1, 1000);
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
    vsock_bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
