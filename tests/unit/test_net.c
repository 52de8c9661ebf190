/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class net against a port in the test's hand.
 */
#include "devices/net/net.h"
#include "tests/unit/class_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RX     VIRTIO_NET_RECEIVEQ
#define TX     VIRTIO_NET_TRANSMITQ
#define HEADER ((uint32_t)sizeof(struct virtio_net_hdr))

struct bed {
    struct bh_netport port;
    unsigned room; /* frames that the port takes */
    unsigned sent;
    uint32_t sent_len; /* of the last one */
    struct virtio_net_hdr sent_header;
    struct bh_net_arrival waiting[8]; /* frames for the guest: byte i is i */
    unsigned waiting_count, dropped;
    uint64_t accepted;
    unsigned attached; /* a bit a pair */
    struct class_rig rig;
    struct bh_net net;
    struct bh_virtq queues[BH_NET_QUEUES(1)];
    struct bh_net_pair pair;
};

static struct bed *bed_of(struct bh_netport *port)
{
    return BH_CONTAINER(port, struct bed, port);
}

static unsigned port_send(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                          unsigned count)
{
    struct bed *bed = bed_of(port);
    unsigned taken = count < bed->room ? count : bed->room;

    bed->room -= taken;
    bed->sent += taken;
    if (taken) {
        bed->sent_len = frames[taken - 1].len;
        bed->sent_header = frames[taken - 1].header;
    }
    return taken;
}

static const struct bh_net_arrival *port_peek(struct bh_netport *port, unsigned pair)
{
    struct bed *bed = bed_of(port);
    return bed->waiting_count ? &bed->waiting[0] : NULL;
}

static void port_drop(struct bh_netport *port, unsigned pair)
{
    struct bed *bed = bed_of(port);

    bed->dropped++;
    bed->waiting_count--;
    memmove(bed->waiting, bed->waiting + 1, sizeof(bed->waiting) - sizeof(bed->waiting[0]));
}

static void port_accept(struct bh_netport *port, uint64_t offloads)
{
    bed_of(port)->accepted = offloads;
}

static void port_attach(struct bh_netport *port, unsigned pair, bool on)
{
    bed_of(port)->attached ^= 1u << pair;
    assert_int_equal(bed_of(port)->attached >> pair & 1u, on);
}

static const struct bh_netport_ops ops = {
    .send = port_send, .peek = port_peek, .drop = port_drop, .accept = port_accept, .attach = port_attach};

static struct bh_net_arrival *arrive(struct bed *bed, uint32_t len)
{
    static uint8_t bytes[BH_NET_GSO_BYTES + 1];
    struct bh_net_arrival *arrival = &bed->waiting[bed->waiting_count++];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    *arrival = (struct bh_net_arrival){.bytes = bytes, .len = len};
    return arrival;
}

static struct bed *bed_with(uint64_t offloads, uint64_t without)
{
    static const struct bh_net_setup setup = {.mac = {2, 0, 0, 0, 0, 9}, .mtu = 1500};
    struct bed *bed = calloc(1, sizeof(*bed));

    assert_non_null(bed);
    bed->port = (struct bh_netport){
        .ops = &ops, .frame_max = BH_NET_FRAME_BYTES(1500), .offloads = offloads, .link_up = true};
    bed->room = 1000;
    class_rig_open(&bed->rig, BH_NET_QUEUES(1), BH_NET_CHAINS, BH_NET_SEGS);
    const struct bh_net_memory memory = {
        .pair_count = 1, .pairs = &bed->pair, .queues = bed->queues, .memory = bed->rig.memory};
    bh_net_init(&bed->net, &bed->rig.mem, &memory, &bed->port, &setup);
    class_rig_start(&bed->rig, &bed->net.dev, false, without);
    return bed;
}

static struct bed *bed_new(bool mergeable)
{
    return bed_with(0, mergeable ? 0 : 1ull << VIRTIO_NET_F_MRG_RXBUF);
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
    bed->port.writable(&bed->port, 0);
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
    arrive(bed, 100); /* and 12 of header: three buffers of 40 */
    bed->port.readable(&bed->port, 0);
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
    arrive(bed, 100);
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

    arrive(bed, 100);
    arrive(bed, 60);
    bed->port.readable(&bed->port, 0);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->dropped, 2);
    assert_int_equal(bed->net.counters.rx_no_room, 1);
    assert_ptr_equal(class_rig_get(&bed->rig, RX, &used), buffer);
    assert_int_equal(used, HEADER + 60);
    bed_free(bed);
}

#define OFFLOADS                                                                                             \
    (BH_NET_BIT(VIRTIO_NET_F_CSUM) | BH_NET_BIT(VIRTIO_NET_F_HOST_TSO4) |                                    \
     BH_NET_BIT(VIRTIO_NET_F_GUEST_CSUM) | BH_NET_BIT(VIRTIO_NET_F_GUEST_TSO4))

static void offloads_of_the_port_are_offered_and_passed_on(void **state)
{
    struct bed *bed = bed_with(OFFLOADS, 0);
    struct virtio_net_hdr *header;
    uint32_t used;

    assert_int_equal(bed->accepted, OFFLOADS & BH_NET_GUEST_OFFLOADS);
    header = (void *)transmit(bed, 9000); /* longer than a frame that is not to be segmented */
    *header = (struct virtio_net_hdr){.flags = 0xff,
                                      .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                      .hdr_len = bh_le16_of(9001),
                                      .gso_size = bh_le16_of(1448),
                                      .csum_start = bh_le16_of(34),
                                      .csum_offset = bh_le16_of(16),
                                      .num_buffers = bh_le16_of(7)};
    class_rig_run(&bed->rig);
    assert_int_equal(bed->sent_len, 9000);
    assert_int_equal(bed->sent_header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(bed->sent_header.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    assert_int_equal(bh_le16_get(bed->sent_header.gso_size), 1448);
    assert_int_equal(bh_le16_get(bed->sent_header.csum_start), 34);
    assert_int_equal(bh_le16_get(bed->sent_header.hdr_len), 0); /* it cannot be right */
    assert_int_equal(bh_le16_get(bed->sent_header.num_buffers), 0);

    uint8_t *buffer = give_buffer(bed, 12000);
    arrive(bed, 9000)->header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                                        .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                                        .gso_size = bh_le16_of(1448),
                                                        .csum_start = bh_le16_of(34),
                                                        .csum_offset = bh_le16_of(16)};
    bed->port.readable(&bed->port, 0);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, RX, &used), buffer);
    assert_int_equal(used, HEADER + 9000);
    header = (void *)buffer;
    assert_int_equal(header->gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    assert_int_equal(header->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    bed_free(bed);
}

static void header_that_makes_no_sense_is_dropped(void **state)
{
    static const struct virtio_net_hdr wrong[] = {
        {.flags = 1, .csum_start = {98}, .csum_offset = {1}},                        /* behind the end */
        {.flags = 1, .csum_start = {65535}, .csum_offset = {65535}},                 /* far behind it */
        {.flags = 0, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = {100}},       /* without a checksum */
        {.flags = 1, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .csum_start = {34}},      /* into pieces of 0 */
        {.flags = 1, .gso_type = VIRTIO_NET_HDR_GSO_TCPV6, .gso_size = {100}},       /* not negotiated */
        {.flags = 1, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | 0x80, .gso_size = {10}}, /* nor is ECN */
        {.flags = 1, .gso_type = 2, .gso_size = {100}},                              /* of no known type */
    };
    struct bed *bed = bed_with(OFFLOADS, 0);

    for (size_t i = 0; i < BH_COUNT(wrong); i++) {
        memcpy(transmit(bed, 100), &wrong[i], sizeof(wrong[i]));
        arrive(bed, 100)->header = wrong[i];
    }
    give_buffer(bed, 2000);
    bed->port.readable(&bed->port, 0);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->net.counters.tx_bad_header, BH_COUNT(wrong));
    assert_int_equal(bed->net.counters.rx_bad, BH_COUNT(wrong));
    assert_int_equal(bed->sent, 0);
    assert_int_equal(used_count(bed, RX), 0);
    assert_int_equal(used_count(bed, TX), BH_COUNT(wrong));
    bed_free(bed);
}

static void guest_without_offloads_is_asked_for_none(void **state)
{
    struct bed *bed = bed_with(OFFLOADS, OFFLOADS);
    uint8_t *buffer = give_buffer(bed, 2000);
    uint32_t used;

    assert_int_equal(bed->accepted, 0);
    transmit(bed, 100)[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    arrive(bed, 100)->header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM; /* from before the guest's driver changed */
    arrive(bed, 100)->header.flags = VIRTIO_NET_HDR_F_DATA_VALID;
    bed->port.readable(&bed->port, 0);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->net.counters.tx_bad_header, 1);
    assert_int_equal(bed->net.counters.rx_bad, 1);
    assert_ptr_equal(class_rig_get(&bed->rig, RX, &used), buffer);
    assert_int_equal(buffer[0], 0); /* "the device MUST set flags to zero" */
    bed_free(bed);
}

static void port_knows_when_the_receive_queue_runs(void **state)
{
    struct bed *bed = bed_new(true);

    class_rig_run(&bed->rig);
    assert_int_equal(bed->attached, 1);
    bh_device_queue_stop(&bed->net.dev, TX);
    assert_int_equal(bed->attached, 1);
    bh_device_queue_stop(&bed->net.dev, RX);
    assert_int_equal(bed->attached, 0);
    bed_free(bed);
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
        cmocka_unit_test(offloads_of_the_port_are_offered_and_passed_on),
        cmocka_unit_test(header_that_makes_no_sense_is_dropped),
        cmocka_unit_test(guest_without_offloads_is_asked_for_none),
        cmocka_unit_test(port_knows_when_the_receive_queue_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
