/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switch between ports in the test's hand, and what software does in the place of an offload.
 */
#include "devices/net/net_soft.h"
#include "devices/net/switch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PORTS 4u

struct end {
    struct bh_netport port;
    struct bh_switch_port of_switch;
    uint8_t out[128]; /* the last frame that came out */
    uint32_t out_len;
    struct virtio_net_hdr out_header;
    unsigned out_count;
    bool full;
    struct bh_net_arrival in;
    unsigned in_count; /* times that `in` is still to come in */
};

static struct bh_loop *loop;
static struct bh_switch *sw;
static struct end ends[PORTS];

static unsigned end_send(struct bh_netport *port, unsigned pair, const struct bh_net_frame *frames,
                         unsigned count)
{
    struct end *end = BH_CONTAINER(port, struct end, port);
    uint32_t at = 0;

    if (end->full)
        return 0;
    assert_int_equal(count, 1);
    memcpy(end->out, frames->first.base, frames->first.len);
    at = (uint32_t)frames->first.len;
    for (unsigned i = 0; i < frames->rest_count; at += (uint32_t)frames->rest[i++].len)
        memcpy(end->out + at, frames->rest[i].base, frames->rest[i].len);
    assert_int_equal(at, frames->len);
    end->out_len = at;
    end->out_header = frames->header;
    end->out_count++;
    return 1;
}

static const struct bh_net_arrival *end_peek(struct bh_netport *port, unsigned pair)
{
    struct end *end = BH_CONTAINER(port, struct end, port);
    return end->in_count ? &end->in : NULL;
}

static void end_drop(struct bh_netport *port, unsigned pair)
{
    BH_CONTAINER(port, struct end, port)->in_count--;
}

static const struct bh_netport_ops end_ops = {.send = end_send, .peek = end_peek, .drop = end_drop};

static int plug(void **state)
{
    sw = calloc(1, sizeof(*sw));
    assert_non_null(sw);
    memset(ends, 0, sizeof(ends));
    assert_int_equal(bh_loop_create(&loop), BH_OK);
    bh_switch_init(sw, loop, 300, 12345);
    for (unsigned i = 0; i < PORTS; i++) {
        ends[i].port =
            (struct bh_netport){.ops = &end_ops, .frame_max = BH_NET_FRAME_BYTES(1500), .link_up = true};
        ends[i].of_switch.port = &ends[i].port;
        ends[i].of_switch.vlan = 1;
        assert_int_equal(bh_switch_add(sw, &ends[i].of_switch), BH_OK);
    }
    return 0;
}

static int unplug(void **state)
{
    bh_switch_fini(sw);
    free(sw);
    bh_loop_destroy(loop);
    return 0;
}

static void turn(void)
{
    for (unsigned i = 0; i < 10; i++)
        assert_true(bh_loop_step(loop, 0) >= 0);
}

/* A frame from host `from` to host `to` (0xff: everybody), with a tag when vlan is not 0, comes in at a port. */
static void come_in(unsigned at, uint8_t from, uint8_t to, unsigned vlan)
{
    static uint8_t frame[64];

    memset(frame, 0x11, sizeof(frame));
    memset(frame, to == 0xff ? 0xff : 0, 6);
    frame[0] = to == 0xff ? 0xff : 2;
    frame[5] = to;
    memcpy(frame + 6, (const uint8_t[]){2, 0, 0, 0, 0, from}, 6);
    if (vlan)
        memcpy(frame + 12, (const uint8_t[]){0x81, 0, (uint8_t)(0x60 | vlan >> 8), (uint8_t)vlan}, 4);
    ends[at].in = (struct bh_net_arrival){.bytes = frame, .len = sizeof(frame)};
    ends[at].in_count = 1;
    ends[at].port.readable(&ends[at].port, 0);
    turn();
}

/* Which ports got one since the last call: a bit a port. */
static unsigned got(void)
{
    unsigned bits = 0;

    for (unsigned i = 0; i < PORTS; i++) {
        bits |= (ends[i].out_count > 0) << i;
        ends[i].out_count = 0;
    }
    return bits;
}

static void addresses_are_learned_and_forgotten(void **state)
{
    come_in(0, 10, 11, 0);
    assert_int_equal(got(), 0xe); /* nobody is known */
    come_in(1, 11, 10, 0);
    assert_int_equal(got(), 0x1);
    come_in(0, 10, 11, 0);
    assert_int_equal(got(), 0x2);
    come_in(2, 11, 10, 0); /* 11 has moved */
    assert_int_equal(got(), 0x1);
    assert_int_equal(ends[2].of_switch.counters.moved, 1);
    come_in(0, 10, 11, 0);
    assert_int_equal(got(), 0x4);
    come_in(0, 10, 0xff, 0);
    assert_int_equal(got(), 0xe);
    ends[2].port.link_up = false; /* and was unplugged */
    ends[2].port.link_changed(&ends[2].port);
    come_in(0, 10, 11, 0);
    assert_int_equal(got(), 0xa);
    assert_int_equal(ends[2].of_switch.addresses, 0);
}

static void port_sends_from_its_own_addresses_alone(void **state)
{
    memcpy(ends[0].of_switch.macs[0], (const uint8_t[]){2, 0, 0, 0, 0, 10}, 6);
    ends[0].of_switch.mac_count = 1;
    come_in(0, 10, 0xff, 0);
    assert_int_equal(got(), 0xe);
    come_in(0, 11, 0xff, 0); /* not its own */
    assert_int_equal(got(), 0);
    assert_int_equal(ends[0].of_switch.counters.foreign_mac, 1);
    assert_int_equal(ends[0].of_switch.counters.frames_in, 1);
    come_in(1, 11, 10, 0);
    assert_int_equal(got(), 0x1); /* nobody has taken 11 over */
    come_in(1, 12, 11, 0);
    assert_int_equal(got(), 0);
}

static void nobody_takes_over_the_address_of_a_port_that_owns_it(void **state)
{
    memcpy(ends[0].of_switch.macs[1], (const uint8_t[]){2, 0, 0, 0, 0, 10}, 6);
    ends[0].of_switch.mac_count = 2;
    bh_switch_trunk(&ends[1].of_switch, 20);
    ends[2].of_switch.vlan = 20;
    come_in(1, 10, 0xff, 0); /* before its owner has said a word */
    assert_int_equal(got(), 0);
    come_in(0, 10, 0xff, 0);
    assert_int_equal(got(), 0xa);
    come_in(1, 10, 12, 0); /* and after */
    assert_int_equal(got(), 0);
    assert_int_equal(ends[1].of_switch.counters.foreign_mac, 2);
    assert_int_equal(ends[1].of_switch.counters.moved, 0);
    come_in(3, 13, 10, 0);
    assert_int_equal(got(), 0x1);
    come_in(1, 10, 0xff, 20); /* the owner is not in that VLAN */
    assert_int_equal(got(), 0x4);
}

static void nobody_can_fill_the_table(void **state)
{
    come_in(1, 200, 0xff, 0);
    for (unsigned i = 0; i < 3u * BH_SWITCH_PORT_SHARE; i++) {
        static uint8_t frame[60];
        memcpy(frame, (const uint8_t[]){2, 9, 9, 9, 9, 9, 2, 1, (uint8_t)(i >> 8), (uint8_t)i, 0, 0}, 12);
        ends[0].in = (struct bh_net_arrival){.bytes = frame, .len = sizeof(frame)};
        ends[0].in_count = 1;
        ends[0].port.readable(&ends[0].port, 0);
        turn();
    }
    assert_true(ends[0].of_switch.addresses <= BH_SWITCH_PORT_SHARE);
    (void)got();
    come_in(2, 12, 200, 0);
    assert_int_equal(got(), 0x2);
}

/* What is for a host that finds no place goes to everybody: to the one who took all places, too. */
static void nobody_can_fill_a_set(void **state)
{
    struct bh_switch_entry *entries = &ends[0].of_switch.owner->table[0][0];

    for (unsigned i = 0; i < BH_SWITCH_SETS * BH_SWITCH_WAYS; i++)
        entries[i] = (struct bh_switch_entry){
            .port = 1, .vlan = 1, .mac = {2, 1, 1}, .seen_s = (uint32_t)(bh_loop_now() / 1000000000u)};
    ends[0].of_switch.addresses = BH_SWITCH_SETS * BH_SWITCH_WAYS;
    come_in(1, 11, 0xff, 0);
    (void)got();
    come_in(2, 12, 11, 0);
    assert_int_equal(got(), 0x2);
    assert_int_equal(ends[1].of_switch.addresses, 1);
}

static void vlans_are_kept_apart_and_tags_follow_the_port(void **state)
{
    ends[0].of_switch.vlan = 10;
    ends[1].of_switch.vlan = 10;
    bh_switch_trunk(&ends[2].of_switch, 10);
    come_in(0, 10, 0xff, 0);
    assert_int_equal(got(), 0x6); /* port 3 is in VLAN 1 alone */
    assert_int_equal(ends[1].out_len, 64);
    assert_int_equal(ends[2].out_len, 68);
    assert_memory_equal(ends[2].out + 12, ((const uint8_t[]){0x81, 0, 0, 10, 0x11}), 5);
    come_in(2, 12, 0xff, 10);
    assert_int_equal(got(), 0x3);
    assert_int_equal(ends[0].out_len, 60);
    assert_int_equal(ends[0].out[12], 0x11);
    come_in(3, 13, 0xff, 10); /* not in its trunk */
    assert_int_equal(got(), 0);
    assert_int_equal(ends[3].of_switch.counters.wrong_vlan, 1);
    come_in(3, 13, 10, 0); /* known elsewhere, but not in VLAN 1 */
    assert_int_equal(got(), 0x4);
    come_in(2, 12, 10, 0); /* its own VLAN is 1 */
    assert_int_equal(got(), 0x8);
}

/* A tag of VLAN 0, or of the sender's own, around one of VLAN 20: what comes out must not be of VLAN 20. */
static void tag_in_a_tag_leads_into_no_other_vlan(void **state)
{
    static uint8_t frame[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,    0, 0, 0,
                                0,    10,   0x81, 0,    0,    0,    0x81, 0, 0, 20};

    ends[0].of_switch.vlan = ends[1].of_switch.vlan = 10;
    bh_switch_trunk(&ends[1].of_switch, 20);
    ends[2].of_switch.vlan = 2;
    bh_switch_trunk(&ends[2].of_switch, 10);
    ends[3].of_switch.vlan = 20;
    for (unsigned own = 0; own < 2; own++) {
        if (own)
            bh_switch_trunk(&ends[0].of_switch, 10);
        frame[15] = own ? 10 : 0;
        ends[0].in = (struct bh_net_arrival){.bytes = frame, .len = sizeof(frame)};
        ends[0].in_count = 1;
        ends[0].port.readable(&ends[0].port, 0);
        turn();
        assert_int_equal(got(), 0x4); /* behind a tag of VLAN 10 it is payload */
        assert_int_equal(ends[2].out_len, 64);
        assert_memory_equal(ends[2].out + 12, ((const uint8_t[]){0x81, 0, 0, 10, 0x81, 0, 0, 20}), 8);
        assert_int_equal(ends[1].of_switch.counters.wrong_vlan, own + 1);
    }
}

static void header_moves_with_the_tag(void **state)
{
    bh_switch_trunk(&ends[1].of_switch, 1);
    ends[1].of_switch.vlan = 2;
    ends[0].in.header = (struct virtio_net_hdr){0};
    come_in(1, 11, 0xff, 1);
    (void)got();
    static uint8_t frame[100];
    memcpy(frame, (const uint8_t[]){2, 0, 0, 0, 0, 11, 2, 0, 0, 0, 0, 10, 8, 0}, 14);
    ends[0].in = (struct bh_net_arrival){.bytes = frame,
                                         .len = sizeof(frame),
                                         .header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                                    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                                    .hdr_len = bh_le16_of(54),
                                                    .gso_size = bh_le16_of(20),
                                                    .csum_start = bh_le16_of(34),
                                                    .csum_offset = bh_le16_of(16)}};
    ends[0].in_count = 1;
    ends[0].port.readable(&ends[0].port, 0);
    turn();
    assert_int_equal(got(), 0x2);
    assert_int_equal(bh_le16_get(ends[1].out_header.csum_start), 38);
    assert_int_equal(bh_le16_get(ends[1].out_header.hdr_len), 58);
    assert_int_equal(ends[1].out_len, 104);
}

static void full_port_makes_its_sender_wait_but_not_for_ever(void **state)
{
    come_in(1, 11, 0xff, 0);
    (void)got();
    ends[1].full = true;
    come_in(0, 10, 11, 0);
    assert_int_equal(ends[0].in_count, 1);
    come_in(2, 12, 0xff, 0); /* others go on; what goes to many does not wait */
    assert_int_equal(ends[2].in_count, 0);
    assert_int_equal(ends[1].of_switch.counters.full, 1);
    ends[1].full = false;
    ends[1].port.writable(&ends[1].port, 0);
    turn();
    assert_int_equal(ends[0].in_count, 0);
    assert_int_equal(ends[1].out_count, 1);
    ends[1].full = true;
    come_in(0, 10, 11, 0);
    const uint64_t begin = bh_loop_now();
    while (ends[0].in_count) {
        assert_true(bh_loop_now() - begin < 2000000000u);
        assert_true(bh_loop_step(loop, 10) >= 0);
    }
    assert_int_equal(ends[1].of_switch.counters.full, 2);
}

static void rate_slows_and_loses_nothing(void **state)
{
    uint64_t begin;

    come_in(1, 11, 0xff, 0);
    (void)got();
    ends[0].of_switch.rate = 640000; /* 10,000 frames a second, behind a burst of 32,000 bytes and a packet */
    come_in(0, 10, 11, 0);
    while (ends[0].in_count)
        assert_true(bh_loop_step(loop, 10) >= 0);
    begin = bh_loop_now();
    ends[0].in_count = 4000;
    ends[0].port.readable(&ends[0].port, 0);
    while (ends[0].in_count && bh_loop_now() - begin < 5000000000u)
        assert_true(bh_loop_step(loop, 10) >= 0);
    assert_int_equal(ends[0].in_count, 0);
    assert_int_equal(ends[1].out_count, 4001);
    assert_true(bh_loop_now() - begin > 150000000u);
    assert_true(ends[0].of_switch.counters.slowed > 0);
}

static void malformed_frames_are_dropped(void **state)
{
    static uint8_t frame[60] = {2, 0, 0, 0, 0, 1, 3};

    ends[0].in = (struct bh_net_arrival){.bytes = frame, .len = 13};
    ends[0].in_count = 1;
    ends[0].port.readable(&ends[0].port, 0);
    turn();
    ends[0].in.len = 60; /* from a group's address */
    ends[0].in_count = 1;
    ends[0].port.readable(&ends[0].port, 0);
    turn();
    assert_int_equal(got(), 0);
    assert_int_equal(ends[0].of_switch.counters.malformed, 2);
}

/* --- offloads in software ---------------------------------------------------------------------------------- */

static uint32_t word(const uint8_t *at, unsigned bytes)
{
    uint32_t value = 0;
    while (bytes--)
        value = value << 8 | *at++;
    return value;
}

/* The internet checksum over everything, as a receiver verifies it: 0 when it is right. */
static unsigned verify(const uint8_t *bytes, uint32_t len, uint32_t sum)
{
    for (uint32_t i = 0; i < len; i++)
        sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

static void verify_transport(const uint8_t *frame, uint32_t len, bool v6, unsigned protocol)
{
    const uint32_t l4 = v6 ? 54 : 34;
    uint32_t sum = protocol + len - l4;

    for (uint32_t i = v6 ? 22 : 26; i < l4; i += 2)
        sum += word(frame + i, 2);
    assert_int_equal(verify(frame + l4, len - l4, sum), 0);
}

static void segments_are_whole_packets(void **state)
{
    static uint8_t packet[9000], out[2048], joined[9000];
    const struct {
        uint8_t type;
        bool v6;
        unsigned protocol, header;
    } kinds[] = {{VIRTIO_NET_HDR_GSO_TCPV4, false, 6, 32},
                 {VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN, true, 6, 20},
                 {VIRTIO_NET_HDR_GSO_UDP_L4, false, 17, 8},
                 {VIRTIO_NET_HDR_GSO_UDP_L4, true, 17, 8}};

    for (size_t k = 0; k < BH_COUNT(kinds); k++) {
        const uint32_t l4 = kinds[k].v6 ? 54 : 34, payload = l4 + kinds[k].header;
        struct virtio_net_hdr header = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                        .gso_type = kinds[k].type,
                                        .gso_size = bh_le16_of(1000),
                                        .csum_start = bh_le16_of((uint16_t)l4),
                                        .csum_offset = bh_le16_of(kinds[k].protocol == 6 ? 16 : 6)};
        struct bh_net_soft soft;
        uint32_t at = 0;

        for (uint32_t i = 0; i < sizeof(packet); i++)
            packet[i] = (uint8_t)(i * 7 + (i >> 8));
        memcpy(packet + 12, kinds[k].v6 ? (const uint8_t[]){0x86, 0xdd, 0x60} : (const uint8_t[]){8, 0, 0x45},
               3);
        if (kinds[k].protocol == 6) {
            packet[l4 + 12] = (uint8_t)(kinds[k].header / 4 << 4);
            packet[l4 + 13] = 0x80 | 0x08 | 0x01 | 0x10; /* CWR PSH FIN ACK */
        }
        assert_true(bh_net_soft_plan(&soft, packet, sizeof(packet), &header));
        assert_int_equal(soft.count, 9);
        for (unsigned i = 0; i < soft.count; i++) {
            const uint32_t len = bh_net_soft_segment(&soft, i, out);
            assert_true(len <= payload + 1000);
            verify_transport(out, len, kinds[k].v6, kinds[k].protocol);
            if (kinds[k].v6) {
                assert_int_equal(word(out + 18, 2), len - 54);
            } else {
                assert_int_equal(word(out + 16, 2), len - 14);
                assert_int_equal(word(out + 18, 2), (word(packet + 18, 2) + i) & 0xffff);
                assert_int_equal(verify(out + 14, 20, 0), 0);
            }
            if (kinds[k].protocol == 6) {
                assert_int_equal(word(out + l4 + 4, 4), word(packet + l4 + 4, 4) + i * 1000);
                assert_int_equal(out[l4 + 13], 0x10 | (i == 0 ? 0x80 : 0) | (i == 8 ? 0x09 : 0));
            } else {
                assert_int_equal(word(out + l4 + 4, 2), len - l4);
            }
            memcpy(joined + at, out + payload, len - payload);
            at += len - payload;
        }
        assert_int_equal(at, sizeof(packet) - payload);
        assert_memory_equal(joined, packet + payload, at);
        header.csum_start = bh_le16_of((uint16_t)(l4 + 1));
        assert_false(!kinds[k].v6 && bh_net_soft_plan(&soft, packet, sizeof(packet), &header));
        header.csum_start = bh_le16_of((uint16_t)l4);
        header.gso_size = bh_le16_of(1); /* thousands of segments */
        assert_false(bh_net_soft_plan(&soft, packet, sizeof(packet), &header));
        assert_false(bh_net_soft_plan(&soft, packet, payload, &header)); /* nothing to send */
    }
}

static void checksum_is_filled_in(void **state)
{
    uint8_t frame[75] = {0};
    const struct virtio_net_hdr header = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = bh_le16_of(34), .csum_offset = bh_le16_of(6)};
    uint32_t pseudo = 17 + 41;

    for (unsigned i = 26; i < sizeof(frame); i++)
        frame[i] = (uint8_t)(i * 37);
    for (unsigned i = 26; i < 34; i += 2)
        pseudo += word(frame + i, 2);
    while (pseudo >> 16)
        pseudo = (pseudo & 0xffff) + (pseudo >> 16);
    frame[40] = (uint8_t)(pseudo >> 8);
    frame[41] = (uint8_t)pseudo;
    bh_net_soft_checksum(frame, sizeof(frame), &header);
    verify_transport(frame, sizeof(frame), false, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(addresses_are_learned_and_forgotten, plug, unplug),
        cmocka_unit_test_setup_teardown(port_sends_from_its_own_addresses_alone, plug, unplug),
        cmocka_unit_test_setup_teardown(nobody_takes_over_the_address_of_a_port_that_owns_it, plug, unplug),
        cmocka_unit_test_setup_teardown(nobody_can_fill_the_table, plug, unplug),
        cmocka_unit_test_setup_teardown(nobody_can_fill_a_set, plug, unplug),
        cmocka_unit_test_setup_teardown(vlans_are_kept_apart_and_tags_follow_the_port, plug, unplug),
        cmocka_unit_test_setup_teardown(tag_in_a_tag_leads_into_no_other_vlan, plug, unplug),
        cmocka_unit_test_setup_teardown(header_moves_with_the_tag, plug, unplug),
        cmocka_unit_test_setup_teardown(full_port_makes_its_sender_wait_but_not_for_ever, plug, unplug),
        cmocka_unit_test_setup_teardown(rate_slows_and_loses_nothing, plug, unplug),
        cmocka_unit_test_setup_teardown(malformed_frames_are_dropped, plug, unplug),
        cmocka_unit_test(segments_are_whole_packets),
        cmocka_unit_test(checksum_is_filled_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
