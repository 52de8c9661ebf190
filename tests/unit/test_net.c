/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class net against a port in the test's hand; the link's two ends in one loop; what the options' texts mean.
 */
#include "devices/net/net.h"
#include "devices/net/ports.h"
#include "devices/net/slirp_forward.h"
#include "tests/unit/class_rig.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define RX     VIRTIO_NET_RECEIVEQ
#define TX     VIRTIO_NET_TRANSMITQ
#define HEADER ((uint32_t)sizeof(struct virtio_net_hdr))

/* --- The class --- */

struct bed {
    struct bh_netport port;
    unsigned room; /* frames that the port takes */
    unsigned sent;
    uint32_t sent_len;   /* of the last one */
    uint32_t waiting[8]; /* lengths of frames for the guest */
    unsigned waiting_count, skipped;
    struct class_rig rig;
    struct bh_net net;
};

static unsigned port_send(struct bh_netport *port, const struct bh_net_frame *frames, unsigned count)
{
    struct bed *bed = BH_CONTAINER(port, struct bed, port);
    unsigned taken = count < bed->room ? count : bed->room;

    bed->room -= taken;
    bed->sent += taken;
    if (taken)
        bed->sent_len = frames[taken - 1].len;
    return taken;
}

static uint32_t port_peek(struct bh_netport *port)
{
    struct bed *bed = BH_CONTAINER(port, struct bed, port);
    return bed->waiting_count ? bed->waiting[0] : 0;
}

static void next_frame(struct bed *bed)
{
    bed->waiting_count--;
    memmove(bed->waiting, bed->waiting + 1, sizeof(bed->waiting) - sizeof(bed->waiting[0]));
}

/* Byte i of a frame is i. */
static void port_receive(struct bh_netport *port, const struct bh_seg *segs, unsigned count)
{
    struct bed *bed = BH_CONTAINER(port, struct bed, port);
    uint32_t at = 0;

    for (unsigned i = 0; i < count; i++) {
        for (size_t k = 0; k < segs[i].len; k++)
            ((uint8_t *)segs[i].base)[k] = (uint8_t)at++;
    }
    assert_int_equal(at, bed->waiting[0]);
    next_frame(bed);
}

static void port_skip(struct bh_netport *port)
{
    struct bed *bed = BH_CONTAINER(port, struct bed, port);
    bed->skipped++;
    next_frame(bed);
}

static const struct bh_netport_ops ops = {
    .send = port_send, .peek = port_peek, .receive = port_receive, .skip = port_skip};

static struct bed *bed_new(bool mergeable)
{
    static const struct bh_net_setup setup = {.mac = {2, 0, 0, 0, 0, 9}, .mtu = 1500};
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->port = (struct bh_netport){.ops = &ops, .frame_max = BH_NET_FRAME_BYTES(1500), .link_up = true};
    bed->room = 1000;
    class_rig_open(&bed->rig, 2, BH_NET_CHAINS, BH_NET_SEGS);
    bh_net_init(&bed->net, &bed->rig.mem, bed->rig.memory, &bed->port, &setup);
    class_rig_start(&bed->rig, &bed->net.dev, false, mergeable ? 0 : 1ull << VIRTIO_NET_F_MRG_RXBUF);
    return bed;
}

static void bed_free(struct bed *bed)
{
    class_rig_close(&bed->rig);
    free(bed);
}

/* A frame of `len` bytes behind a zero header. */
static uint8_t *transmit(struct bed *bed, uint32_t len)
{
    uint8_t *packet = class_rig_alloc(&bed->rig, HEADER + len);
    memset(packet, 0, HEADER + len);
    assert_int_equal(class_rig_add(&bed->rig, TX, packet, HEADER + len, NULL, 0, packet), BH_OK);
    return packet;
}

static uint8_t *give_buffer(struct bed *bed, uint32_t len)
{
    uint8_t *buffer = class_rig_alloc(&bed->rig, len);
    assert_int_equal(class_rig_add(&bed->rig, RX, NULL, 0, buffer, len, buffer), BH_OK);
    return buffer;
}

static unsigned used_count(struct bed *bed, unsigned queue)
{
    unsigned count = 0;
    uint32_t len;
    while (class_rig_get(&bed->rig, queue, &len))
        count++;
    return count;
}

static void full_port_holds_frames_in_order(void **state)
{
    struct bed *bed = bed_new(true);

    bed->room = 2;
    for (uint32_t len = 60; len < 65; len++)
        transmit(bed, len);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->sent, 2);
    assert_int_equal(bed->sent_len, 61);
    assert_int_equal(used_count(bed, TX), 2);
    bed->room = 10;
    bed->port.writable(&bed->port);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->sent, 5);
    assert_int_equal(bed->sent_len, 64);
    assert_int_equal(used_count(bed, TX), 3);
    bed_free(bed);
}

static void what_is_no_frame_is_dropped_counted_and_returned(void **state)
{
    struct bed *bed = bed_new(true);
    uint8_t *offload;

    transmit(bed, BH_NET_FRAME_MIN - 1);
    transmit(bed, BH_NET_FRAME_BYTES(1500) + 1);
    offload = transmit(bed, 100);
    offload[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    offload = transmit(bed, 100);
    offload[1] = VIRTIO_NET_HDR_GSO_TCPV4;
    class_rig_add(&bed->rig, TX, offload, 5, NULL, 0, offload); /* not even a header */
    class_rig_run(&bed->rig);
    assert_int_equal(bed->sent, 0);
    assert_int_equal(used_count(bed, TX), 5);
    assert_int_equal(bed->net.counters.tx_short, 2);
    assert_int_equal(bed->net.counters.tx_long, 1);
    assert_int_equal(bed->net.counters.tx_bad_header, 2);
    bed_free(bed);
}

static void loose_cable_drops_and_is_told(void **state)
{
    struct bed *bed = bed_new(true);
    struct virtio_net_config config;

    bed->port.link_up = false;
    bed->port.link_changed(&bed->port);
    transmit(bed, 100);
    class_rig_run(&bed->rig);
    assert_int_equal(used_count(bed, TX), 1);
    assert_int_equal(bed->net.counters.tx_no_link, 1);
    bh_device_config_read(&bed->net.dev, 0, &config, sizeof(config));
    assert_int_equal(bh_le16_get(config.status), 0);
    bed->port.link_up = true;
    bed->port.link_changed(&bed->port);
    bh_device_config_read(&bed->net.dev, 0, &config, sizeof(config));
    assert_int_equal(bh_le16_get(config.status), VIRTIO_NET_S_LINK_UP);
    bed_free(bed);
}

static void frame_is_spread_over_merged_buffers(void **state)
{
    struct bed *bed = bed_new(true);
    uint8_t *buffers[4];
    uint32_t used, at = 0;

    for (unsigned i = 0; i < 4; i++)
        buffers[i] = give_buffer(bed, 40);
    bed->waiting[0] = 100; /* and 12 of header: three buffers of 40 */
    bed->waiting_count = 1;
    bed->port.readable(&bed->port);
    class_rig_run(&bed->rig);
    for (unsigned i = 0; i < 3; i++) {
        assert_ptr_equal(class_rig_get(&bed->rig, RX, &used), buffers[i]);
        for (uint32_t k = i == 0 ? HEADER : 0; k < used; k++)
            assert_int_equal(buffers[i][k], (uint8_t)at++);
    }
    assert_int_equal(at, 100);
    assert_int_equal(buffers[0][10], 3); /* num_buffers */
    assert_null(class_rig_get(&bed->rig, RX, &used));
    bed_free(bed);
}

static void frame_waits_for_enough_buffers_at_rest(void **state)
{
    struct bed *bed = bed_new(true);
    uint32_t used;

    give_buffer(bed, 40);
    bed->waiting[0] = 100;
    bed->waiting_count = 1;
    class_rig_run(&bed->rig); /* which asserts that it comes to rest */
    assert_null(class_rig_get(&bed->rig, RX, &used));
    assert_int_equal(bed->waiting_count, 1);
    give_buffer(bed, 40);
    give_buffer(bed, 40);
    class_rig_run(&bed->rig);
    assert_int_equal(used_count(bed, RX), 3);
    bed_free(bed);
}

static void frame_too_large_for_its_buffer_is_dropped_the_buffer_kept(void **state)
{
    struct bed *bed = bed_new(false);
    uint8_t *buffer = give_buffer(bed, 80);
    uint32_t used;

    bed->waiting[0] = 100;
    bed->waiting[1] = 60;
    bed->waiting_count = 2;
    bed->port.readable(&bed->port);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->skipped, 1);
    assert_int_equal(bed->net.counters.rx_no_room, 1);
    assert_ptr_equal(class_rig_get(&bed->rig, RX, &used), buffer);
    assert_int_equal(used, HEADER + 60);
    bed_free(bed);
}

/* --- The link --- */

struct side {
    struct bh_netport *port;
    unsigned changes, readable;
};

static struct side sides[2];
static struct bh_loop *loop;

static struct side *side_of(struct bh_netport *port)
{
    return port->user;
}

static void note_link(struct bh_netport *port)
{
    side_of(port)->changes++;
}

static void note_readable(struct bh_netport *port)
{
    side_of(port)->readable++;
}

static void note_writable(struct bh_netport *port)
{
}

static void plug(unsigned i, const char *path, int fd)
{
    struct side *side = &sides[i];

    assert_int_equal(bh_port_link_create(loop, path, fd, 1500, bh_diag_default(), &side->port), BH_OK);
    side->port->user = side;
    side->port->link_changed = note_link;
    side->port->readable = note_readable;
    side->port->writable = note_writable;
}

/* Turn the loop until both ends' links are `up`. */
static void wait_links(bool up)
{
    for (unsigned i = 0; i < 400 && (sides[0].port->link_up != up || sides[1].port->link_up != up); i++)
        assert_true(bh_loop_step(loop, 10) >= 0);
    assert_int_equal(sides[0].port->link_up, up);
    assert_int_equal(sides[1].port->link_up, up);
}

static unsigned send_one(unsigned from, uint8_t *bytes, uint32_t len)
{
    struct bh_net_frame frame = {.first = {bytes, len}, .len = len};
    return sides[from].port->ops->send(sides[from].port, &frame, 1);
}

static void expect_frame(unsigned at, const uint8_t *bytes, uint32_t len)
{
    uint8_t got[2000];
    struct bh_seg seg = {got, len};

    for (unsigned i = 0; i < 100 && !sides[at].port->ops->peek(sides[at].port); i++)
        assert_true(bh_loop_step(loop, 10) >= 0);
    assert_int_equal(sides[at].port->ops->peek(sides[at].port), len);
    sides[at].port->ops->receive(sides[at].port, &seg, 1);
    assert_memory_equal(got, bytes, len);
}

static void ends_meet_whoever_starts_and_restarts(void **state)
{
    char folder[] = "/tmp/test-net.XXXXXX", path[64];
    uint8_t bytes[100] = {1, 2, 3};

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/link", folder);
    assert_int_equal(bh_loop_create(&loop), BH_OK);
    plug(0, path, -1);
    plug(1, path, -1);
    wait_links(true);
    for (unsigned gone = 0; gone < 2; gone++) { /* the one who listens, then the other */
        assert_int_equal(send_one(0, bytes, sizeof(bytes)), 1);
        expect_frame(1, bytes, sizeof(bytes));
        assert_int_equal(send_one(1, bytes, 60), 1);
        expect_frame(0, bytes, 60);
        bh_port_link_destroy(sides[gone].port);
        for (unsigned i = 0; i < 400 && sides[!gone].port->link_up; i++)
            assert_true(bh_loop_step(loop, 10) >= 0);
        assert_false(sides[!gone].port->link_up);
        plug(gone, path, -1);
        wait_links(true);
    }
    bh_port_link_destroy(sides[0].port);
    bh_port_link_destroy(sides[1].port);
    bh_loop_destroy(loop);
    assert_int_equal(rmdir(folder), 0); /* nothing is left behind */
}

static void guest_that_takes_nothing_does_not_stop_the_other(void **state)
{
    static uint8_t bytes[1500];
    unsigned sent = 0;
    uint64_t begin;
    int fds[2];

    assert_int_equal(bh_loop_create(&loop), BH_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    plug(0, NULL, fds[0]);
    plug(1, NULL, fds[1]);
    wait_links(true);
    while (sent < 5000 && send_one(0, bytes, sizeof(bytes)) == 1) { /* it is held in the end */
        sent++;
        assert_true(bh_loop_step(loop, 0) >= 0);
    }
    assert_true(sent < 5000);
    begin = bh_loop_now();
    while (send_one(0, bytes, sizeof(bytes)) == 0) {
        assert_true(bh_loop_now() - begin < 3000000000u);
        assert_true(bh_loop_step(loop, 10) >= 0);
    }
    bh_port_link_destroy(sides[0].port);
    bh_port_link_destroy(sides[1].port);
    bh_loop_destroy(loop);
}

static void stranger_on_the_link_is_hung_up_on(void **state)
{
    uint8_t text[64] = "GET / HTTP/1.0";
    int fds[2];

    assert_int_equal(bh_loop_create(&loop), BH_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
    plug(0, NULL, fds[0]);
    assert_int_equal(write(fds[1], text, sizeof(text)), sizeof(text));
    for (unsigned i = 0; i < 5; i++)
        assert_true(bh_loop_step(loop, 0) >= 0);
    assert_false(sides[0].port->link_up);
    assert_true(read(fds[1], text, sizeof(text)) > 0); /* our hello */
    assert_int_equal(read(fds[1], text, sizeof(text)), 0);
    close(fds[1]);
    bh_port_link_destroy(sides[0].port);
    bh_loop_destroy(loop);
}

/* --- The options' texts --- */

static void forwards_are_read(void **state)
{
    static const char *const wrong[] = {"",
                                        "tcp",
                                        "tcp:80",
                                        "sctp:80:80",
                                        "tcp:0:80",
                                        "tcp:80:",
                                        "tcp:65536:1",
                                        "tcp:1.2.3:80:80",
                                        "tcp:80:1.2.3.4",
                                        "tcp:1.2.3.4:80",
                                        "tcp:80:80:80",
                                        "tcp:1.2.3.4:1:5.6.7.8:2:3",
                                        "tcp:-1:80",
                                        "tcp:80:8x"};
    struct bh_forward f;
    struct in_addr net, mask;

    assert_int_equal(bh_forward_parse("tcp:127.0.0.1:2201:22", &f), BH_OK);
    assert_false(f.udp);
    assert_int_equal(ntohl(f.host.s_addr), INADDR_LOOPBACK);
    assert_int_equal(f.host_port, 2201);
    assert_int_equal(f.guest.s_addr, 0);
    assert_int_equal(f.guest_port, 22);
    assert_int_equal(bh_forward_parse("udp:53:10.0.2.9:54", &f), BH_OK);
    assert_true(f.udp);
    assert_int_equal(ntohl(f.host.s_addr), INADDR_LOOPBACK); /* never open to the network unasked */
    assert_int_equal(f.host_port, 53);
    assert_int_equal(ntohl(f.guest.s_addr), 0x0a000209);
    assert_int_equal(f.guest_port, 54);
    for (size_t i = 0; i < BH_COUNT(wrong); i++)
        assert_int_equal(bh_forward_parse(wrong[i], &f), BH_ERR_SYNTAX);
    assert_int_equal(bh_subnet_parse("192.168.7.0/24", &net, &mask), BH_OK);
    assert_int_equal(ntohl(mask.s_addr), 0xffffff00u);
    assert_int_equal(bh_subnet_parse("192.168.7.1/24", &net, &mask), BH_ERR_SYNTAX);
    assert_int_equal(bh_subnet_parse("192.168.7.0/31", &net, &mask), BH_ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(full_port_holds_frames_in_order),
        cmocka_unit_test(what_is_no_frame_is_dropped_counted_and_returned),
        cmocka_unit_test(loose_cable_drops_and_is_told),
        cmocka_unit_test(frame_is_spread_over_merged_buffers),
        cmocka_unit_test(frame_waits_for_enough_buffers_at_rest),
        cmocka_unit_test(frame_too_large_for_its_buffer_is_dropped_the_buffer_kept),
        cmocka_unit_test(ends_meet_whoever_starts_and_restarts),
        cmocka_unit_test(guest_that_takes_nothing_does_not_stop_the_other),
        cmocka_unit_test(stranger_on_the_link_is_hung_up_on),
        cmocka_unit_test(forwards_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
