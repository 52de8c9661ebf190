/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class net's control queue and what it sets: filters, pairs, offloads, announcements; and that all of it survives
 * save and load. Hashes are test_net_hash.c's.
 */
#include "tests/unit/net_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t own[6] = BED_MAC;
static const uint8_t other[6] = {2, 0, 0, 0, 0, 8};
static const uint8_t group[6] = {0x33, 0x33, 0, 0, 0, 1};
static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* Does a frame to this address get in? vlan 0: it has no tag. */
static bool gets_in(struct bed *bed, const uint8_t *to, unsigned vlan)
{
    static uint8_t frame[64];
    const uint64_t before = bed->net.counters.rx_frames;

    memset(frame, 0, sizeof(frame));
    memcpy(frame, to, 6);
    if (vlan)
        memcpy(frame + 12, (const uint8_t[]){0x81, 0, (uint8_t)(0xe0 | vlan >> 8), (uint8_t)vlan}, 4);
    give_buffer(bed, 100);
    arrive(bed, frame, sizeof(frame));
    bed->port.readable(&bed->port, 0);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->waiting_count, 0);
    (void)used_count(bed, RX);
    return bed->net.counters.rx_frames > before;
}

static uint8_t mode(struct bed *bed, uint8_t which, uint8_t on)
{
    return command(bed, VIRTIO_NET_CTRL_RX, which, &on, 1);
}

static void receive_modes_let_in_what_they_say(void **state)
{
    /* After the command with 1: own, other, group, broadcast. */
    static const struct {
        uint8_t which;
        bool in[4];
    } modes[] = {
        {VIRTIO_NET_CTRL_RX_PROMISC, {true, true, true, true}},
        {VIRTIO_NET_CTRL_RX_ALLMULTI, {true, false, true, true}},
        {VIRTIO_NET_CTRL_RX_ALLUNI, {true, true, false, true}},
        {VIRTIO_NET_CTRL_RX_NOMULTI, {true, false, false, true}},
        {VIRTIO_NET_CTRL_RX_NOUNI, {false, false, false, true}},
        {VIRTIO_NET_CTRL_RX_NOBCAST, {true, false, false, false}},
    };
    const uint8_t *const addresses[4] = {own, other, group, everybody};
    static const bool at_first[4] = {true, false, false, true};
    struct bed *bed = bed_with(&(struct bed_setup){.filters = true});

    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(gets_in(bed, addresses[i], 0), at_first[i]);
    for (size_t m = 0; m < BH_COUNT(modes); m++) {
        assert_int_equal(mode(bed, modes[m].which, 1), VIRTIO_NET_OK);
        for (unsigned i = 0; i < 4; i++)
            assert_int_equal(gets_in(bed, addresses[i], 0), modes[m].in[i]);
        assert_int_equal(mode(bed, modes[m].which, 0), VIRTIO_NET_OK);
    }
    bed_free(bed);
}

/* The two tables: `unicast` and `multicast` entries, all of the address given. */
static uint8_t set_tables(struct bed *bed, uint32_t unicast, uint32_t multicast, uint32_t cut)
{
    uint8_t data[2000];
    bh_le32 count = bh_le32_of(unicast);
    uint32_t at = 0;

    memcpy(data, &count, 4);
    at += 4;
    for (uint32_t i = 0; i < unicast; i++, at += 6)
        memcpy(data + at, other, 6);
    count = bh_le32_of(multicast);
    memcpy(data + at, &count, 4);
    at += 4;
    for (uint32_t i = 0; i < multicast; i++, at += 6)
        memcpy(data + at, group, 6);
    return command(bed, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, data, at - cut);
}

static void address_tables_are_replaced_in_whole(void **state)
{
    static const uint8_t third[6] = {2, 0, 0, 0, 0, 7}, huge[8] = {0xff, 0xff, 0xff, 0xff};
    struct bed *bed = bed_with(&(struct bed_setup){.filters = true});

    assert_int_equal(set_tables(bed, 1, 1, 0), VIRTIO_NET_OK);
    assert_true(gets_in(bed, other, 0));
    assert_true(gets_in(bed, group, 0));
    assert_false(gets_in(bed, third, 0));
    for (uint32_t cut = 1; cut < 8; cut++)
        assert_int_equal(set_tables(bed, 0, 0, cut), VIRTIO_NET_ERR);
    assert_int_equal(set_tables(bed, 0, 1, 1), VIRTIO_NET_ERR);
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, huge, sizeof(huge)),
                     VIRTIO_NET_ERR);
    assert_true(gets_in(bed, other, 0)); /* what was refused has changed nothing */
    assert_int_equal(set_tables(bed, BH_NET_MACS_MAX + 1, 0, 0), VIRTIO_NET_OK);
    assert_true(gets_in(bed, third, 0)); /* more than are kept: all are let in */
    assert_false(gets_in(bed, group, 0));
    assert_int_equal(set_tables(bed, 0, BH_NET_MACS_MAX + 3, 0), VIRTIO_NET_OK);
    assert_false(gets_in(bed, third, 0));
    assert_true(gets_in(bed, group, 0));
    bed_free(bed);
}

static void address_is_set_and_shown(void **state)
{
    struct bed *bed = bed_with(&(struct bed_setup){.filters = true});
    struct virtio_net_config config;
    const uint32_t generation = bh_device_generation(&bed->net.dev);

    assert_int_equal(command(bed, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, group, 6),
                     VIRTIO_NET_ERR);
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 5),
                     VIRTIO_NET_ERR);
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6),
                     VIRTIO_NET_OK);
    bh_device_config_read(&bed->net.dev, 0, &config, sizeof(config));
    assert_memory_equal(config.mac, other, 6);
    assert_int_not_equal(bh_device_generation(&bed->net.dev), generation);
    assert_true(gets_in(bed, other, 0));
    assert_false(gets_in(bed, own, 0));
    bh_device_reset(&bed->net.dev);
    bh_device_config_read(&bed->net.dev, 0, &config, sizeof(config));
    assert_memory_equal(config.mac, own, 6);
    bed_free(bed);
}

static void vlans_are_let_in_when_added(void **state)
{
    const bh_le16 id = bh_le16_of(4095), wrong = bh_le16_of(4096);
    struct bed *bed = bed_with(&(struct bed_setup){.filters = true});

    assert_true(gets_in(bed, own, 0));
    assert_false(gets_in(bed, own, 4095));
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, &id, 2), VIRTIO_NET_OK);
    assert_true(gets_in(bed, own, 4095));
    assert_false(gets_in(bed, own, 4094));
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, &wrong, 2), VIRTIO_NET_ERR);
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, &id, 2), VIRTIO_NET_OK);
    assert_false(gets_in(bed, own, 4095));
    bed_free(bed);
    bed = bed_with(&(struct bed_setup){.filters = true, .without = BH_NET_BIT(VIRTIO_NET_F_CTRL_VLAN)});
    assert_true(gets_in(bed, own, 4095));
    bed_free(bed);
}

static void driver_without_a_control_queue_gets_everything(void **state)
{
    struct bed *bed =
        bed_with(&(struct bed_setup){.filters = true, .without = BH_NET_BIT(VIRTIO_NET_F_CTRL_VQ)});

    assert_true(gets_in(bed, other, 0));
    assert_true(gets_in(bed, group, 7));
    bed_free(bed);
}

static void commands_that_nobody_negotiated_are_refused(void **state)
{
    static const uint8_t zeros[600];
    const uint64_t without = BH_NET_BIT(VIRTIO_NET_F_CTRL_RX) | BH_NET_BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
                             BH_NET_BIT(VIRTIO_NET_F_CTRL_VLAN) | BH_NET_BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
                             BH_NET_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE);
    struct bed *bed = bed_with(&(struct bed_setup){.without = without});
    unsigned refused = 0;

    for (unsigned class = 0; class < 12; class ++) {
        for (unsigned which = 0; which < 8; which++) {
            for (uint32_t len = 0; len < 12; len++, refused++)
                assert_int_equal(command(bed, (uint8_t) class, (uint8_t)which, zeros, len), VIRTIO_NET_ERR);
            bh_drv_guest_rewind(&bed->rig.guest, CLASS_RIG_BYTES / 2);
        }
    }
    assert_int_equal(bed->net.counters.commands_refused, refused);
    bed_free(bed);
}

static void command_without_room_for_an_answer_breaks_the_queue(void **state)
{
    struct bed *bed = bed_with(&(struct bed_setup){.filters = true});
    uint8_t *out = class_rig_alloc(&bed->rig, 3);

    assert_int_equal(class_rig_add(&bed->rig, 2, out, 3, NULL, 0, out), BH_OK);
    class_rig_run(&bed->rig);
    assert_true(bh_device_status(&bed->net.dev) & BH_STATUS_NEEDS_RESET);
    assert_int_equal(bed->queues[2].counters.broken[BH_BROKEN_CLASS], 1);
    bed_free(bed);
}

static void pairs_become_active_by_command(void **state)
{
    struct bed *bed = bed_with(&(struct bed_setup){.pairs = 4, .port_pairs = 4});

    assert_int_equal(bed->net.control_queue, 8);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->attached, 1);
    assert_int_equal(set_pairs(bed, 0), VIRTIO_NET_ERR);
    assert_int_equal(set_pairs(bed, 5), VIRTIO_NET_ERR);
    assert_int_equal(set_pairs(bed, 3), VIRTIO_NET_OK);
    assert_int_equal(bed->attached, 7);
    bed->waiting_pair = 2;
    give_buffer_on(bed, 4, 2000);
    arrive(bed, NULL, 100);
    bed->port.readable(&bed->port, 2);
    class_rig_run(&bed->rig);
    assert_int_equal(used_count(bed, 4), 1);
    transmit_on(bed, 5, 60);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->sent_pair, 2);
    assert_int_equal(set_pairs(bed, 1), VIRTIO_NET_OK);
    assert_int_equal(bed->attached, 1);
    bed_free(bed);
}

static void control_queue_follows_the_first_pair_without_multiqueue(void **state)
{
    struct bed *bed =
        bed_with(&(struct bed_setup){.pairs = 4, .port_pairs = 4, .without = BH_NET_BIT(VIRTIO_NET_F_MQ)});

    assert_int_equal(bed->net.control_queue, 2);
    assert_int_equal(mode(bed, VIRTIO_NET_CTRL_RX_PROMISC, 1), VIRTIO_NET_OK);
    assert_int_equal(set_pairs(bed, 2), VIRTIO_NET_ERR);
    bed_free(bed);
}

/* --- the rest ---------------------------------------------------------------------------------------------- */

#define GUEST (BH_NET_BIT(VIRTIO_NET_F_GUEST_CSUM) | BH_NET_BIT(VIRTIO_NET_F_GUEST_TSO4))

static void offloads_are_switched_by_command(void **state)
{
    struct bed *bed = bed_with(&(struct bed_setup){.offloads = GUEST});
    bh_le64 offloads = bh_le64_of(BH_NET_BIT(VIRTIO_NET_F_GUEST_CSUM));

    assert_int_equal(bed->accepted, GUEST);
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 8), VIRTIO_NET_OK);
    assert_int_equal(bed->accepted, BH_NET_BIT(VIRTIO_NET_F_GUEST_CSUM));
    offloads = bh_le64_of(BH_NET_BIT(VIRTIO_NET_F_GUEST_TSO6));
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 8), VIRTIO_NET_ERR);
    assert_int_equal(bed->accepted, BH_NET_BIT(VIRTIO_NET_F_GUEST_CSUM));
    bed_free(bed);
}

static unsigned status(struct bed *bed)
{
    struct virtio_net_config config;
    bh_device_config_read(&bed->net.dev, 0, &config, sizeof(config));
    return bh_le16_get(config.status);
}

static void announcement_is_asked_for_and_acknowledged(void **state)
{
    struct bed *bed = bed_with(&(struct bed_setup){.filters = true});

    assert_true(bh_net_announce(&bed->net));
    assert_int_equal(status(bed), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0),
                     VIRTIO_NET_OK);
    assert_int_equal(status(bed), VIRTIO_NET_S_LINK_UP);
    bed_free(bed);
    bed = bed_with(&(struct bed_setup){.without = BH_NET_BIT(VIRTIO_NET_F_GUEST_ANNOUNCE)});
    assert_false(bh_net_announce(&bed->net));
    bed_free(bed);
}

static void cable_is_pulled_and_put_in_again(void **state)
{
    struct bed *bed = bed_with(&(struct bed_setup){.filters = true});

    bh_net_plug(&bed->net, false);
    assert_int_equal(status(bed), 0);
    assert_false(gets_in(bed, own, 0));
    transmit(bed, 100);
    class_rig_run(&bed->rig);
    assert_int_equal(bed->sent, 0);
    assert_int_equal(bed->net.counters.tx_no_link, 1);
    bed->port.link_changed(&bed->port); /* the port's own link does not matter */
    assert_int_equal(status(bed), 0);
    bh_net_plug(&bed->net, true);
    assert_int_equal(status(bed), VIRTIO_NET_S_LINK_UP);
    assert_true(gets_in(bed, own, 0));
    bed_free(bed);
}

static void what_was_set_survives_save_and_load(void **state)
{
    /* types, mask 1, unclassified 2, table 3 1, max_tx_vq 4, a key of one byte */
    static const uint8_t rss[] = {0x3f, 0, 0, 0, 1, 0, 2, 0, 3, 0, 1, 0, 4, 0, 1, 0x5a};
    const struct bed_setup setup = {
        .offloads = GUEST, .pairs = 4, .port_pairs = 4, .rss = true, .filters = true};
    struct bed *bed = bed_with(&setup), *next = bed_with(&setup);
    const bh_le64 offloads = bh_le64_of(0);
    const bh_le16 id = bh_le16_of(7);
    static uint8_t form[8192];

    assert_int_equal(set_tables(bed, 1, 1, 0), VIRTIO_NET_OK);
    assert_int_equal(mode(bed, VIRTIO_NET_CTRL_RX_NOBCAST, 1), VIRTIO_NET_OK);
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, other, 6),
                     VIRTIO_NET_OK);
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, &id, 2), VIRTIO_NET_OK);
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, &offloads, 8), VIRTIO_NET_OK);
    assert_int_equal(command(bed, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, rss, sizeof(rss)),
                     VIRTIO_NET_OK);
    const int bytes = bh_net_save(&bed->net.dev, form, sizeof(form));
    assert_true(bytes > 0);
    assert_int_equal(bh_net_save(&bed->net.dev, form, (size_t)bytes - 1), BH_ERR_NOMEM);
    assert_int_equal(bh_net_load(&next->net.dev, form, (size_t)bytes - 1), BH_ERR_PROTO);
    assert_int_equal(bh_net_load(&next->net.dev, form, (size_t)bytes), BH_OK);
    assert_memory_equal(&next->net.filter, &bed->net.filter, sizeof(bed->net.filter));
    assert_memory_equal(&next->net.hash, &bed->net.hash, sizeof(bed->net.hash));
    assert_int_equal(next->net.active_pairs, 4);
    assert_int_equal(next->net.guest_offloads, 0);
    assert_int_equal(next->accepted, 0);
    assert_memory_equal(next->net.config.mac, other, 6);
    assert_int_equal(status(next), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
    bed_free(bed);
    bed_free(next);
}

/* The successor of a killed process: the same features are chosen again, the driver says nothing anew. */
static void what_was_set_survives_the_process(void **state)
{
    static uint64_t area[1024];
    struct bed_setup setup = {.pairs = 4, .port_pairs = 4, .filters = true, .lasting = area};
    struct bed *bed = bed_with(&setup), *next;

    assert_true(bh_net_lasting_size(&bed->net.dev) <= sizeof(area));
    assert_int_equal(set_tables(bed, 1, 0, 0), VIRTIO_NET_OK);
    assert_int_equal(set_pairs(bed, 3), VIRTIO_NET_OK);
    assert_int_equal(mode(bed, VIRTIO_NET_CTRL_RX_ALLMULTI, 1), VIRTIO_NET_OK);
    bed->net.last = NULL; /* killed: it writes no more */
    setup.left = true;
    next = bed_with(&setup);
    assert_true(gets_in(next, other, 0));
    assert_true(gets_in(next, group, 0));
    assert_int_equal(next->net.active_pairs, 3);
    bh_device_reset(&next->net.dev);
    bed_free(next);
    next = bed_with(&setup); /* after a reset nothing is taken over */
    assert_false(gets_in(next, other, 0));
    assert_int_equal(next->net.active_pairs, 1);
    next->net.last = NULL;
    bed_free(next);
    memset(area, 0xa5, sizeof(area)); /* nonsense is as good as nothing */
    ((uint32_t *)area)[0] = 1;
    next = bed_with(&setup);
    assert_false(gets_in(next, other, 0));
    assert_int_equal(next->net.active_pairs, 1);
    bed_free(next);
    bed_free(bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(receive_modes_let_in_what_they_say),
        cmocka_unit_test(address_tables_are_replaced_in_whole),
        cmocka_unit_test(address_is_set_and_shown),
        cmocka_unit_test(vlans_are_let_in_when_added),
        cmocka_unit_test(driver_without_a_control_queue_gets_everything),
        cmocka_unit_test(commands_that_nobody_negotiated_are_refused),
        cmocka_unit_test(command_without_room_for_an_answer_breaks_the_queue),
        cmocka_unit_test(pairs_become_active_by_command),
        cmocka_unit_test(control_queue_follows_the_first_pair_without_multiqueue),
        cmocka_unit_test(offloads_are_switched_by_command),
        cmocka_unit_test(announcement_is_asked_for_and_acknowledged),
        cmocka_unit_test(cable_is_pulled_and_put_in_again),
        cmocka_unit_test(what_was_set_survives_save_and_load),
        cmocka_unit_test(what_was_set_survives_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
