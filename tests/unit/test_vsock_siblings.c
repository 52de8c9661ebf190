/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests that talk to one another through the socket devices of both.
 */
#include "tests/unit/vsock_host_bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static void sibling_guests_talk(void **state)
{
    for (uint16_t type = VIRTIO_VSOCK_TYPE_STREAM; type <= VIRTIO_VSOCK_TYPE_SEQPACKET; type++) {
        struct bed *bed = bed_new(2, true);
        struct virtio_vsock_hdr a = header(bed, 0, VIRTIO_VSOCK_OP_REQUEST, 700, 4, 800, type);
        struct virtio_vsock_hdr b = header(bed, 1, VIRTIO_VSOCK_OP_RESPONSE, 800, 3, 700, type);

        guest_says(bed, 0, a, VIRTIO_VSOCK_OP_REQUEST, "");
        struct vsock_packet packet = vsock_rig_expect(&bed->rigs[1], VIRTIO_VSOCK_OP_REQUEST);
        assert_true(packet.peer_cid == 3 && packet.peer_port == 700 && packet.guest_port == 800);
        assert_int_equal(bh_le16_get(packet.hdr.type), type);
        assert_false(vsock_rig_next(&bed->rigs[0], &packet)); /* the other guest has not said yes */
        guest_says(bed, 1, b, VIRTIO_VSOCK_OP_RESPONSE, "");
        vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RESPONSE);
        a.flags = bh_le32_of(VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR);
        guest_says(bed, 0, a, VIRTIO_VSOCK_OP_RW, "there");
        packet = vsock_rig_expect(&bed->rigs[1], VIRTIO_VSOCK_OP_RW);
        assert_memory_equal(packet.data, "there", 5);
        assert_int_equal(packet.flags, type == VIRTIO_VSOCK_TYPE_SEQPACKET ? 3 : 0);
        for (unsigned i = 0; i < 200;
             i++) /* messages of no bytes cost no credit: the other guest gets none */
            guest_says(bed, 0, a, VIRTIO_VSOCK_OP_RW, "");
        assert_false(vsock_rig_next(&bed->rigs[1], &packet));
        guest_says(bed, 0, a, VIRTIO_VSOCK_OP_RW, "after");
        packet = vsock_rig_expect(&bed->rigs[1], VIRTIO_VSOCK_OP_RW);
        assert_memory_equal(packet.data, "after", 5);
        guest_says(bed, 1, b, VIRTIO_VSOCK_OP_RW, "back"); /* a part of a message */
        packet = vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RW);
        assert_memory_equal(packet.data, "back", 4);
        assert_int_equal(packet.flags, 0);
        b.flags = bh_le32_of(BOTH);
        guest_says(bed, 1, b, VIRTIO_VSOCK_OP_SHUTDOWN, "");
        vsock_rig_expect(&bed->rigs[1], VIRTIO_VSOCK_OP_RST);
        assert_int_equal(vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_SHUTDOWN).flags, BOTH);
        bed_free(bed);
    }
}

static void sibling_that_refuses_or_is_not_there_is_an_rst(void **state)
{
    struct bed *bed = bed_new(2, true);
    const struct virtio_vsock_hdr a =
        header(bed, 0, VIRTIO_VSOCK_OP_REQUEST, 700, 4, 800, VIRTIO_VSOCK_TYPE_STREAM);
    struct virtio_vsock_hdr other = a;

    guest_says(bed, 0, a, VIRTIO_VSOCK_OP_REQUEST, "");
    vsock_rig_expect(&bed->rigs[1], VIRTIO_VSOCK_OP_REQUEST);
    guest_says(bed, 1, header(bed, 1, VIRTIO_VSOCK_OP_RST, 800, 3, 700, VIRTIO_VSOCK_TYPE_STREAM),
               VIRTIO_VSOCK_OP_RST, "");
    vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RST);
    other.dst_cid = bh_le64_of(5);
    guest_says(bed, 0, other, VIRTIO_VSOCK_OP_REQUEST, "");
    assert_int_equal(vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RST).peer_cid, 5);
    assert_int_equal(bed->counters[0].not_allowed, 1);
    bed_free(bed);
}

static void guests_that_are_no_peers_do_not_meet(void **state)
{
    struct bed *bed = bed_new(2, false);
    struct vsock_packet packet;

    guest_says(bed, 0, header(bed, 0, VIRTIO_VSOCK_OP_REQUEST, 700, 4, 800, VIRTIO_VSOCK_TYPE_STREAM),
               VIRTIO_VSOCK_OP_REQUEST, "");
    vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RST);
    assert_false(vsock_rig_next(&bed->rigs[1], &packet));
    bed_free(bed);
}

/* More than the siblings' sockets and our room take: nothing is lost, and frames end where they began. */
static void sibling_that_reads_slowly_gets_every_message(void **state)
{
    struct bed *bed = bed_new(2, true);
    struct virtio_vsock_hdr a =
        header(bed, 0, VIRTIO_VSOCK_OP_REQUEST, 700, 4, 800, VIRTIO_VSOCK_TYPE_SEQPACKET);
    struct virtio_vsock_hdr b =
        header(bed, 1, VIRTIO_VSOCK_OP_RESPONSE, 800, 3, 700, VIRTIO_VSOCK_TYPE_SEQPACKET);
    struct vsock_packet packet;
    uint32_t sent = 0, told = 0, got = 0, next = 0, count = 0;

    guest_says(bed, 0, a, VIRTIO_VSOCK_OP_REQUEST, "");
    vsock_rig_expect(&bed->rigs[1], VIRTIO_VSOCK_OP_REQUEST);
    b.buf_alloc = bh_le32_of(150);
    guest_says(bed, 1, b, VIRTIO_VSOCK_OP_RESPONSE, "");
    vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_RESPONSE);
    a.flags = bh_le32_of(VIRTIO_VSOCK_SEQ_EOM);
    a.op = bh_le16_of(VIRTIO_VSOCK_OP_RW);
    for (; count < 20000 && RIG_BUF_ALLOC - (sent - told) >= 140; count++) {
        char text[150];
        snprintf(text, sizeof(text), "%-*u", (int)(10 + count % 131), count);
        vsock_rig_send(&bed->rigs[0], &a, text, (uint32_t)strlen(text));
        sent += (uint32_t)strlen(text);
        while (vsock_rig_next(&bed->rigs[0], &packet))
            told = packet.fwd_cnt;
    }
    assert_true(sent - told > RIG_BUF_ALLOC - 140);
    char whole[160];
    uint32_t whole_len = 0;
    for (unsigned idle = 0; got < sent && idle < 100; idle++) {
        turn(bed);
        while (vsock_rig_next(&bed->rigs[1], &packet)) {
            if (packet.op != VIRTIO_VSOCK_OP_RW)
                continue;
            idle = 0;
            assert_true(whole_len + packet.len < sizeof(whole));
            memcpy(whole + whole_len, packet.data, packet.len);
            whole_len += packet.len;
            got += packet.len;
            if (packet.flags & VIRTIO_VSOCK_SEQ_EOM) {
                whole[whole_len] = 0;
                assert_int_equal(strtoul(whole, NULL, 10), next);
                assert_int_equal(whole_len, 10 + next++ % 131);
                whole_len = 0;
            }
        }
        b.fwd_cnt = bh_le32_of(got);
        guest_says(bed, 1, b, VIRTIO_VSOCK_OP_CREDIT_UPDATE, "");
    }
    assert_int_equal(got, sent);
    assert_int_equal(next, count);
    bed_free(bed);
}

/* It harms what the two say to each other, and nothing else. */
static void sibling_that_takes_a_place_over_keeps_nobody_down(void **state)
{
    int squatter;
    struct bed *bed = bed_new_squatted(2, &squatter);
    struct vsock_packet packet;

    guest_says(bed, 1, header(bed, 1, VIRTIO_VSOCK_OP_REQUEST, 800, 3, 700, VIRTIO_VSOCK_TYPE_STREAM),
               VIRTIO_VSOCK_OP_REQUEST, "");
    assert_false(vsock_rig_next(&bed->rigs[0], &packet));
    const int host = client(bed, "0", SOCK_STREAM); /* the host's programs reach it */
    say(host, "CONNECT 1024\n");
    turn(bed);
    vsock_rig_expect(&bed->rigs[0], VIRTIO_VSOCK_OP_REQUEST);
    close(host);
    close(squatter);
    assert_int_equal(unlink(path_in(bed, "3-4/4-3")), 0);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sibling_guests_talk),
        cmocka_unit_test(sibling_that_refuses_or_is_not_there_is_an_rst),
        cmocka_unit_test(guests_that_are_no_peers_do_not_meet),
        cmocka_unit_test(sibling_that_reads_slowly_gets_every_message),
        cmocka_unit_test(sibling_that_takes_a_place_over_keeps_nobody_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
