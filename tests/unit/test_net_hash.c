/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class net's hashes, and the choice of a receive queue by them.
 */
#include "tests/unit/net_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The key, packets and results by which RSS is verified everywhere [Microsoft, "Verifying the RSS Hash Calculation"]. */
static const uint8_t known_key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                      0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                      0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                      0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
static const struct known {
    uint8_t source[16], destination[16];
    unsigned source_port, destination_port;
    uint32_t ip, tcp;
    bool v6;
} known[] = {
    {{66, 9, 149, 187}, {161, 142, 100, 80}, 2794, 1766, 0x323e8fc2, 0x51ccc178, false},
    {{199, 92, 111, 2}, {65, 69, 140, 83}, 14230, 4739, 0xd718262a, 0xc626b0ea, false},
    {{24, 19, 198, 95}, {12, 22, 207, 184}, 12898, 38024, 0xd2d0a5de, 0x5c2b394a, false},
    {{0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0x1f, 0xff, 0, 0, 0, 0, 0, 0, 0, 7},
     {0x3f, 0xfe, 0x25, 0x01, 0x02, 0x00, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1},
     2794,
     1766,
     0x2cc18cd5,
     0x40207d3d,
     true},
};
#define TCP 6u
#define UDP 17u

/* The packet as a frame, with a VLAN tag when `tagged`. */
static uint32_t lay_packet(uint8_t *frame, const struct known *k, unsigned protocol, bool tagged)
{
    uint32_t at = 12;

    memset(frame, 0, 120);
    memcpy(frame, (const uint8_t[])BED_MAC, 6);
    if (tagged) {
        memcpy(frame + at, (const uint8_t[]){0x81, 0, 0, 5}, 4);
        at += 4;
    }
    memcpy(frame + at, k->v6 ? (const uint8_t[]){0x86, 0xdd} : (const uint8_t[]){8, 0}, 2);
    at += 2;
    frame[at] = k->v6 ? 0x60 : 0x45;
    frame[at + (k->v6 ? 6 : 9)] = (uint8_t)protocol;
    memcpy(frame + at + (k->v6 ? 8 : 12), k->source, k->v6 ? 16 : 4);
    memcpy(frame + at + (k->v6 ? 24 : 16), k->destination, k->v6 ? 16 : 4);
    at += k->v6 ? 40 : 20;
    frame[at] = (uint8_t)(k->source_port >> 8);
    frame[at + 1] = (uint8_t)k->source_port;
    frame[at + 2] = (uint8_t)(k->destination_port >> 8);
    frame[at + 3] = (uint8_t)k->destination_port;
    return at + 20;
}

static void hashes_are_those_that_everybody_computes(void **state)
{
    struct bh_net_hash hash = {.types = BH_NET_HASH_TYPES};
    uint8_t frame[120];
    uint16_t report;

    memcpy(hash.key, known_key, sizeof(known_key));
    for (size_t i = 0; i < BH_COUNT(known); i++) {
        const unsigned shift = known[i].v6 ? 3 : 0;
        uint32_t len = lay_packet(frame, &known[i], TCP, i % 2);
        hash.types = BH_NET_HASH_TYPES;
        assert_int_equal(bh_net_hash_frame(&hash, frame, len, &report), known[i].tcp);
        assert_int_equal(report, VIRTIO_NET_HASH_REPORT_TCPv4 + shift);
        hash.types &= ~(VIRTIO_NET_HASH_TYPE_TCPv4 | VIRTIO_NET_HASH_TYPE_TCPv6);
        assert_int_equal(bh_net_hash_frame(&hash, frame, len, &report), known[i].ip);
        assert_int_equal(report, VIRTIO_NET_HASH_REPORT_IPv4 + shift);
        len = lay_packet(frame, &known[i], UDP, i % 2);
        assert_int_equal(bh_net_hash_frame(&hash, frame, len, &report), known[i].tcp);
        assert_int_equal(report, VIRTIO_NET_HASH_REPORT_UDPv4 + shift);
        for (uint32_t cut = 0; cut < len; cut++) { /* never beyond the end, which a sanitizer sees */
            uint8_t *part = malloc(cut + 1);
            assert_non_null(part);
            (void)bh_net_hash_frame(&hash, memcpy(part + 1, frame, cut), cut, &report);
            free(part);
        }
    }
    hash.types = BH_NET_HASH_TYPES;
    uint32_t len = lay_packet(frame, &known[0], TCP, false);
    frame[20] = 0x20; /* a fragment has no ports */
    assert_int_equal(bh_net_hash_frame(&hash, frame, len, &report), known[0].ip);
    frame[12] = 0x88; /* no IP at all */
    assert_int_equal(bh_net_hash_frame(&hash, frame, len, &report), 0);
    assert_int_equal(report, VIRTIO_NET_HASH_REPORT_NONE);
}

/* RSS_CONFIG: types, mask, unclassified, table of `entries`, max_tx, key. */
static uint8_t rss(struct bed *bed, uint32_t types, unsigned entries, const uint16_t *table, unsigned last,
                   uint32_t cut)
{
    uint8_t data[400];
    const bh_le32 le_types = bh_le32_of(types);
    bh_le16 word = bh_le16_of((uint16_t)(entries - 1));
    uint32_t at = 4;

    memcpy(data, &le_types, 4);
    memcpy(data + at, &word, 2);
    word = bh_le16_of((uint16_t)last); /* unclassified */
    memcpy(data + at + 2, &word, 2);
    at += 4;
    for (unsigned i = 0; i < entries; i++, at += 2) {
        word = bh_le16_of(table[i % 4]);
        memcpy(data + at, &word, 2);
    }
    word = bh_le16_of(4); /* max_tx_vq */
    memcpy(data + at, &word, 2);
    data[at + 2] = sizeof(known_key);
    memcpy(data + at + 3, known_key, sizeof(known_key));
    at += 3 + (uint32_t)sizeof(known_key);
    return command(bed, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, data, at - cut);
}

static void table_steers_and_the_hash_is_told(void **state)
{
    static const uint16_t table[4] = {3, 2, 1, 0};
    struct bed *bed =
        bed_with(&(struct bed_setup){.pairs = 4, .port_pairs = 4, .rss = true, .hash_report = true});
    uint8_t frames[BH_COUNT(known) + 1][120];
    uint32_t lens[BH_COUNT(known) + 1], used;

    assert_int_equal(rss(bed, BH_NET_HASH_TYPES, 4, table, 1, 0), VIRTIO_NET_OK);
    assert_int_equal(bed->attached, 1); /* all frames come by the port's first pair */
    for (size_t i = 0; i < BH_COUNT(known); i++)
        lens[i] = lay_packet(frames[i], &known[i], TCP, false);
    memset(frames[BH_COUNT(known)], 0xff, 60); /* no flow */
    lens[BH_COUNT(known)] = 60;
    for (size_t i = 0; i <= BH_COUNT(known); i++) {
        const bool flow = i < BH_COUNT(known);
        const unsigned queue = flow ? 2u * table[known[i].tcp & 3u] : 2u;
        uint8_t *buffer = give_buffer_on(bed, queue, 2000);
        struct virtio_net_hdr_hash told;

        arrive(bed, frames[i], lens[i]);
        bed->port.readable(&bed->port, 0);
        class_rig_run(&bed->rig);
        assert_ptr_equal(class_rig_get(&bed->rig, queue, &used), buffer);
        assert_int_equal(used, HEADER + sizeof(told) + lens[i]);
        memcpy(&told, buffer + HEADER, sizeof(told));
        assert_int_equal(bh_le32_get(told.hash_value), flow ? known[i].tcp : 0);
        assert_int_equal(bh_le16_get(told.hash_report), !flow         ? VIRTIO_NET_HASH_REPORT_NONE
                                                        : known[i].v6 ? VIRTIO_NET_HASH_REPORT_TCPv6
                                                                      : VIRTIO_NET_HASH_REPORT_TCPv4);
        assert_memory_equal(buffer + HEADER + sizeof(told), frames[i], lens[i]);
    }
    assert_int_equal(set_pairs(bed, 4), VIRTIO_NET_OK); /* the last command counts */
    assert_int_equal(bed->attached, 15);
    bed_free(bed);
}

static void malformed_rss_is_refused(void **state)
{
    static const uint16_t good[4] = {0, 1, 2, 3}, bad[4] = {0, 1, 2, 4};
    struct bed *bed = bed_with(&(struct bed_setup){.pairs = 4, .port_pairs = 4, .rss = true});

    assert_int_equal(rss(bed, BH_NET_HASH_TYPES + 1, 4, good, 0, 0), VIRTIO_NET_ERR); /* types */
    assert_int_equal(rss(bed, BH_NET_HASH_TYPES, 3, good, 0, 0), VIRTIO_NET_ERR);     /* no power of 2 */
    assert_int_equal(rss(bed, BH_NET_HASH_TYPES, 129, good, 0, 0), VIRTIO_NET_ERR);   /* too many */
    assert_int_equal(rss(bed, BH_NET_HASH_TYPES, 4, bad, 0, 0), VIRTIO_NET_ERR);      /* no such pair */
    assert_int_equal(rss(bed, BH_NET_HASH_TYPES, 4, good, 4, 0), VIRTIO_NET_ERR);
    for (uint32_t cut = 1; cut < 59; cut++)
        assert_int_equal(rss(bed, BH_NET_HASH_TYPES, 4, good, 0, cut), VIRTIO_NET_ERR);
    assert_false(bed->net.hash.steers);
    assert_int_equal(rss(bed, BH_NET_HASH_TYPES, 128, good, 0, 0), VIRTIO_NET_OK);
    bed_free(bed);
}

static void flows_of_a_port_with_one_pair_are_spread(void **state)
{
    struct bed *bed = bed_with(&(struct bed_setup){.pairs = 4, .port_pairs = 1});
    unsigned seen = 0;
    uint8_t frame[120];

    assert_int_equal(set_pairs(bed, 4), VIRTIO_NET_OK);
    for (unsigned port = 0; port < 32; port++) {
        struct known flow = known[0];
        flow.source_port = 1000 + port;
        for (unsigned i = 0; i < 8; i += 2)
            give_buffer_on(bed, i, 200);
        arrive(bed, frame, lay_packet(frame, &flow, UDP, false));
        bed->port.readable(&bed->port, 0);
        class_rig_run(&bed->rig);
        assert_int_equal(bed->waiting_count, 0);
        unsigned count = 0;
        for (unsigned i = 0; i < 8; i += 2) {
            unsigned got = used_count(bed, i);
            count += got;
            seen |= got << i;
        }
        assert_int_equal(count, 1);
    }
    assert_int_equal(seen, 0x55);
    transmit_on(bed, 7, 60); /* all of them send through the port's only pair */
    class_rig_run(&bed->rig);
    assert_int_equal(bed->sent_pair, 0);
    assert_int_equal(bed->sent, 1);
    bed_free(bed);
}

static void frame_for_a_stopped_queue_is_dropped(void **state)
{
    static const uint16_t table[4] = {1, 1, 1, 1};
    struct bed *bed = bed_with(&(struct bed_setup){.pairs = 4, .port_pairs = 4, .rss = true});
    uint8_t frame[120];

    assert_int_equal(rss(bed, BH_NET_HASH_TYPES, 4, table, 1, 0), VIRTIO_NET_OK);
    bh_device_queue_stop(&bed->net.dev, 2);
    arrive(bed, frame, lay_packet(frame, &known[0], TCP, false));
    bed->port.readable(&bed->port, 0);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->waiting_count, 0);
    assert_int_equal(bed->net.counters.rx_no_queue, 1);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hashes_are_those_that_everybody_computes),
        cmocka_unit_test(table_steers_and_the_hash_is_told),
        cmocka_unit_test(malformed_rss_is_refused),
        cmocka_unit_test(flows_of_a_port_with_one_pair_are_spread),
        cmocka_unit_test(frame_for_a_stopped_queue_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
