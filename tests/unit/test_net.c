/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class net's data queues against a port in the test's hand.
 */
#include "tests/unit/net_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

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

/* What was pushed is given back by nobody, what was not comes back. */
static void reset_in_the_middle_of_a_push_finds_what_is_left(void **state)
{
    for (unsigned receiving = 0; receiving < 2; receiving++) {
        struct bed *bed = bed_new(true);
        const unsigned queue = receiving ? RX : TX;

        bed->room = 2;
        for (unsigned i = 0; i < 4; i++) {
            if (receiving)
                give_buffer(bed, 128);
            else
                transmit(bed, 100);
        }
        if (receiving) { /* the second has begun to be gathered when the buffers end */
            arrive(bed, NULL, 200);
            arrive(bed, NULL, 400);
        }
        class_rig_reset_at_notification(&bed->rig);
        class_rig_run(&bed->rig);
        assert_int_equal(bed->rig.pipe.done[BH_CONTROL_RESET], 1);
        assert_int_equal(used_count(bed, queue), 2);
        assert_int_equal(bed->queues[queue].in_flight, 0);
        assert_int_equal(bed->pairs[0].tx_count + bed->pairs[0].hand.popped + bed->pairs[0].hand.used, 0);
        bed_free(bed);
    }
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
    arrive(bed, NULL, 100); /* and 12 of header: three buffers of 40 */
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
    arrive(bed, NULL, 100);
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

    arrive(bed, NULL, 100);
    arrive(bed, NULL, 60);
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
    struct bed *bed = bed_with(&(struct bed_setup){.offloads = OFFLOADS});
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
    arrive(bed, NULL, 9000)->header = (struct virtio_net_hdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
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
        {.flags = 1, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | 0x20, .gso_size = {10}}, /* in a UDP tunnel */
        {.flags = 1, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 | 0x60, .gso_size = {10}}, /* in two */
        {.flags = 1, .gso_type = 0x40},                                              /* nothing in one */
    };
    struct bed *bed = bed_with(&(struct bed_setup){.offloads = OFFLOADS});

    for (size_t i = 0; i < BH_COUNT(wrong); i++) {
        memcpy(transmit(bed, 100), &wrong[i], sizeof(wrong[i]));
        arrive(bed, NULL, 100)->header = wrong[i];
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
    struct bed *bed = bed_with(&(struct bed_setup){.offloads = OFFLOADS, .without = OFFLOADS});
    uint8_t *buffer = give_buffer(bed, 2000);
    uint32_t used;

    assert_int_equal(bed->accepted, 0);
    transmit(bed, 100)[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    arrive(bed, NULL, 100)->header.flags =
        VIRTIO_NET_HDR_F_NEEDS_CSUM; /* from before the guest's driver changed */
    arrive(bed, NULL, 100)->header.flags = VIRTIO_NET_HDR_F_DATA_VALID;
    bed->port.readable(&bed->port, 0);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->net.counters.tx_bad_header, 1);
    assert_int_equal(bed->net.counters.rx_bad, 1);
    assert_ptr_equal(class_rig_get(&bed->rig, RX, &used), buffer);
    assert_int_equal(buffer[0], 0); /* "the device MUST set flags to zero" */
    bed_free(bed);
}

/* [virtio-1.4 5.1.4.1] */
static void negotiated_mtu_bounds_what_is_received_and_what_is_sent(void **state)
{
    enum { MTU = 1500, PLAIN = BH_NET_FRAME_MIN + MTU };
    static const uint8_t tags[][2] = {{0x81, 0x00}, {0x88, 0xa8}, {0x08, 0x00}};
    uint8_t frame[PLAIN + 8] = {0};

    for (unsigned negotiated = 0; negotiated < 2; negotiated++) {
        struct bed *bed = bed_with(&(struct bed_setup){
            .offloads = OFFLOADS, .without = negotiated ? 0 : BH_NET_BIT(VIRTIO_NET_F_MTU)});
        for (unsigned i = 0; i < BH_COUNT(tags); i++) {
            const unsigned room = i < 2 || !negotiated ? 4 : 0; /* a tag's */

            memcpy(frame + 12, tags[i], 2);
            for (unsigned more = 0; more <= 5; more++) {
                const uint64_t bad = bed->net.counters.rx_bad;

                give_buffer(bed, 2000);
                arrive(bed, frame, PLAIN + more);
                bed->port.readable(&bed->port, 0);
                class_rig_run(&bed->rig);
                assert_int_equal(used_count(bed, RX), more <= room);
                assert_int_equal(bed->net.counters.rx_bad - bad, more > room);
            }
        }
        transmit(bed, PLAIN); /* the guest's own are passed on whole */
        class_rig_run(&bed->rig);
        assert_int_equal(bed->sent, 1);
        assert_int_equal(bed->sent_len, PLAIN);
        bed_free(bed);
    }
}

/* [virtio-1.4 5.1.9.4.1] */
static void flags_that_nobody_negotiated_are_not_shown_to_the_guest(void **state)
{
    struct bed *bed = bed_with(&(struct bed_setup){.offloads = OFFLOADS});
    uint8_t *buffer = give_buffer(bed, 2000);
    uint32_t used;

    arrive(bed, NULL, 100)->header.flags = 0xff;
    bed->port.readable(&bed->port, 0);
    class_rig_run(&bed->rig);
    assert_ptr_equal(class_rig_get(&bed->rig, RX, &used), buffer);
    assert_int_equal(buffer[0], VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID);
    bed_free(bed);
}

/* What a device must do once it has offered something is no matter of one that cannot. */
static void nothing_is_offered_that_is_not_there(void **state)
{
    static const uint8_t built[] = {
        VIRTIO_NET_F_CSUM,       VIRTIO_NET_F_GUEST_CSUM,    VIRTIO_NET_F_CTRL_GUEST_OFFLOADS,
        VIRTIO_NET_F_MTU,        VIRTIO_NET_F_MAC,           VIRTIO_NET_F_GUEST_TSO4,
        VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN,     VIRTIO_NET_F_HOST_TSO4,
        VIRTIO_NET_F_HOST_TSO6,  VIRTIO_NET_F_HOST_ECN,      VIRTIO_NET_F_MRG_RXBUF,
        VIRTIO_NET_F_STATUS,     VIRTIO_NET_F_CTRL_VQ,       VIRTIO_NET_F_CTRL_RX,
        VIRTIO_NET_F_CTRL_VLAN,  VIRTIO_NET_F_CTRL_RX_EXTRA, VIRTIO_NET_F_GUEST_ANNOUNCE,
        VIRTIO_NET_F_MQ,         VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_GUEST_USO4,
        VIRTIO_NET_F_GUEST_USO6, VIRTIO_NET_F_HOST_USO,      VIRTIO_NET_F_HASH_REPORT,
        VIRTIO_NET_F_RSS};
    struct bed *bed = bed_with(&(struct bed_setup){.offloads = BH_NET_HOST_OFFLOADS | BH_NET_GUEST_OFFLOADS,
                                                   .pairs = 2,
                                                   .port_pairs = 2,
                                                   .rss = true,
                                                   .hash_report = true});
    struct bh_features offered = bh_device_offered(&bed->net.dev), ring = bh_class_ring_features();

    assert_false(bh_features_has(&ring, BH_F_ADMIN_VQ) || bh_features_has(&ring, BH_F_SR_IOV));
    offered = bh_features_minus(offered, ring);
    for (unsigned i = 0; i < BH_COUNT(built); i++) {
        assert_true(bh_features_has(&offered, built[i]));
        bh_features_clear(&offered, built[i]);
    }
    assert_true(bh_features_none(&offered));
    bed_free(bed);
}

static void check_offer(struct bed *bed, const uint8_t *bits, unsigned count, bool there)
{
    const struct bh_features offered = bh_device_offered(&bed->net.dev);

    for (unsigned i = 0; i < count; i++)
        assert_int_equal(bh_features_has(&offered, bits[i]), there);
}

/* [virtio-1.4 2.2.2, 5.1.3.1] */
static void what_is_withheld_takes_along_what_needs_it(void **state)
{
    static const struct {
        uint8_t withheld[2], gone[10];
        unsigned count;
    } rules[] = {
        {{VIRTIO_NET_F_CSUM, VIRTIO_NET_F_CSUM},
         {VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6, VIRTIO_NET_F_HOST_ECN, VIRTIO_NET_F_HOST_USO},
         4},
        {{VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_CSUM},
         {VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6, VIRTIO_NET_F_GUEST_ECN, VIRTIO_NET_F_GUEST_USO4,
          VIRTIO_NET_F_GUEST_USO6},
         5},
        {{VIRTIO_NET_F_HOST_TSO4, VIRTIO_NET_F_HOST_TSO6}, {VIRTIO_NET_F_HOST_ECN}, 1},
        {{VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_GUEST_TSO6}, {VIRTIO_NET_F_GUEST_ECN}, 1},
        {{VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_VQ},
         {VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_CTRL_RX_EXTRA, VIRTIO_NET_F_CTRL_VLAN,
          VIRTIO_NET_F_CTRL_MAC_ADDR, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, VIRTIO_NET_F_GUEST_ANNOUNCE,
          VIRTIO_NET_F_MQ, VIRTIO_NET_F_RSS, VIRTIO_NET_F_HASH_REPORT},
         9},
    };

    for (unsigned i = 0; i < BH_COUNT(rules); i++) {
        struct bed *bed =
            bed_with(&(struct bed_setup){.offloads = BH_NET_HOST_OFFLOADS | BH_NET_GUEST_OFFLOADS,
                                         .pairs = 2,
                                         .port_pairs = 2,
                                         .rss = true,
                                         .hash_report = true});
        struct bh_features withheld = {{0}};

        check_offer(bed, rules[i].gone, rules[i].count, true);
        bh_features_set(&withheld, rules[i].withheld[0]);
        bh_features_set(&withheld, rules[i].withheld[1]);
        bh_device_withhold(&bed->net.dev, &withheld);
        check_offer(bed, rules[i].gone, rules[i].count, false);
        bed_free(bed);
    }
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
        cmocka_unit_test(reset_in_the_middle_of_a_push_finds_what_is_left),
        cmocka_unit_test(what_is_no_frame_is_dropped_counted_and_returned),
        cmocka_unit_test(loose_cable_drops_and_is_told),
        cmocka_unit_test(frame_is_spread_over_merged_buffers),
        cmocka_unit_test(frame_waits_for_enough_buffers_at_rest),
        cmocka_unit_test(frame_too_large_for_its_buffer_is_dropped_the_buffer_kept),
        cmocka_unit_test(offloads_of_the_port_are_offered_and_passed_on),
        cmocka_unit_test(header_that_makes_no_sense_is_dropped),
        cmocka_unit_test(guest_without_offloads_is_asked_for_none),
        cmocka_unit_test(negotiated_mtu_bounds_what_is_received_and_what_is_sent),
        cmocka_unit_test(flags_that_nobody_negotiated_are_not_shown_to_the_guest),
        cmocka_unit_test(nothing_is_offered_that_is_not_there),
        cmocka_unit_test(what_is_withheld_takes_along_what_needs_it),
        cmocka_unit_test(port_knows_when_the_receive_queue_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
