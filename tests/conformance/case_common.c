/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every virtio device must do: initialisation, status, features, config space, reset, whatever its class.
 */
#include "tests/conformance/conf.h"

#include <string.h>

static uint8_t status_of(struct conf *conf)
{
    uint8_t status = 0;
    int err = conf->side->ops->get_status(conf->side, &status);

    if (err == BH_ERR_UNSUPPORTED)
        conf_skip(conf, "the transport shows no device status");
    CONF_SAME(conf, err, BH_OK);
    return status;
}

static void status_follows_the_initialization_sequence(struct conf *conf)
{
    CONF_SAME(conf, status_of(conf), 0);
    conf_negotiate(conf, NULL);
    CONF_CHECK(conf, status_of(conf) & BH_STATUS_FEATURES_OK);
    conf_start_queues(conf, 16);
    CONF_SAME(conf, conf->side->ops->driver_ok(conf->side), BH_OK);
    CONF_SAME(conf, status_of(conf),
              BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER | BH_STATUS_FEATURES_OK | BH_STATUS_DRIVER_OK);
    conf->class->ping(conf);
}

static void version_1_is_offered_and_nothing_reserved_is(struct conf *conf)
{
    struct bh_features offered = conf->side->ops->offered(conf->side);

    CONF_CHECK(conf, bh_features_has(&offered, BH_F_VERSION_1));
    CONF_CHECK(conf, !bh_features_has(&offered, BH_F_SR_IOV));
    for (unsigned bit = 44; bit < 50; bit++)
        CONF_CHECK(conf, !bh_features_has(&offered, bit));
}

static void features_never_offered_are_refused(struct conf *conf)
{
    struct bh_features offered = conf->side->ops->offered(conf->side), asked = conf->wanted;

    CONF_CHECK(conf, !bh_features_has(&offered, 47));
    bh_features_set(&asked, 47);
    (void)status_of(conf); /* without a status a device has no way to say no */
    CONF_CHECK(conf, conf->side->ops->negotiate(conf->side, &asked) != BH_OK);
    CONF_SAME(conf, conf->side->ops->reset(conf->side), BH_OK);
    conf_up(conf, 16, NULL);
    conf->class->ping(conf);
}

static void a_driver_without_version_1_is_refused_or_served(struct conf *conf)
{
    struct bh_features none = {{0}};

    /* The device may fail to operate further; what it must not do is hang or vanish [virtio-1.4 6.2]. */
    conf->may_close = true;
    (void)conf->side->ops->negotiate(conf->side, &none);
    CONF_SAME(conf, conf->side->ops->reset(conf->side), BH_OK);
    conf_up(conf, 16, NULL);
    conf->class->ping(conf);
}

static void the_same_features_are_granted_again_after_reset(struct conf *conf)
{
    for (unsigned i = 0; i < 5; i++) {
        conf_up(conf, 16, NULL);
        conf->class->ping(conf);
        conf_reset(conf);
    }
}

static void every_subset_of_ring_features_is_accepted(struct conf *conf)
{
    static const unsigned bits[] = {BH_F_EVENT_IDX, BH_F_INDIRECT_DESC, BH_F_IN_ORDER};
    struct bh_features base = {{0}};

    if (bh_features_has(&conf->wanted, BH_F_RING_PACKED))
        bh_features_set(&base, BH_F_RING_PACKED);
    bh_features_set(&base, BH_F_VERSION_1);
    for (unsigned set = 0; set < 8; set++) {
        conf->wanted = base;
        for (unsigned i = 0; i < 3; i++) {
            if (set >> i & 1u)
                bh_features_set(&conf->wanted, bits[i]);
        }
        conf_up(conf, 16, NULL);
        conf->class->ping(conf);
        conf_reset(conf);
    }
}

static void status_bits_are_not_dropped_by_a_write(struct conf *conf)
{
    (void)status_of(conf);
    conf_up(conf, 16, NULL);
    /* A driver must not clear bits; whatever the device makes of it, it stays usable after a reset. */
    (void)conf->side->ops->set_status(conf->side, BH_STATUS_ACKNOWLEDGE);
    conf_reset(conf);
    conf_up(conf, 16, NULL);
    conf->class->ping(conf);
}

/* All of config space that the class has. */
static void read_config(struct conf *conf, uint8_t *bytes)
{
    if (conf->class->config_bytes == 0)
        conf_skip(conf, "the class has no config space");
    CONF_CHECK(conf, conf->class->config_bytes <= CONF_CONFIG_MAX);
    conf_config_read(conf, 0, bytes, conf->class->config_bytes);
}

static void config_is_readable_before_features_ok(struct conf *conf)
{
    uint8_t before[CONF_CONFIG_MAX] = {0}, after[CONF_CONFIG_MAX] = {0};

    read_config(conf, before);
    conf_up(conf, 16, NULL);
    read_config(conf, after);
    CONF_CHECK(conf, memcmp(before, after, sizeof(before)) == 0);
}

static void config_reads_in_pieces_are_the_whole(struct conf *conf)
{
    uint8_t whole[CONF_CONFIG_MAX], piece[8];

    read_config(conf, whole);
    for (uint32_t len = 1; len <= 8; len *= 2) {
        for (uint32_t at = 0; at + len <= conf->class->config_bytes; at += len) {
            conf_config_read(conf, at, piece, len);
            CONF_CHECK(conf, memcmp(piece, whole + at, len) == 0);
        }
    }
}

static void nothing_is_consumed_before_driver_ok(struct conf *conf)
{
    struct bh_drv_buf buf;

    if (strcmp(conf->side->ops->name, "pipe") != 0)
        conf_skip(conf, "vhost-user starts each ring by its own messages");
    conf_negotiate(conf, NULL);
    conf_start_queues(conf, 16);
    buf = conf_buf(conf, conf_alloc(conf, 64), 64);
    for (unsigned i = 0; i < conf->queue_count; i++) {
        CONF_SAME(conf, bh_drv_ring_add(&conf->queue[i].ring, &buf, 0, 1, NULL), BH_OK);
        conf->side->ops->kick(conf->side, i);
    }
    for (unsigned i = 0; i < conf->queue_count; i++) {
        conf_quiet(conf, i, 20);
        CONF_SAME(conf, conf->side->ops->notifications(conf->side, i), 0);
    }
}

static void reset_returns_the_status_to_zero_and_silence(struct conf *conf)
{
    uint32_t before;

    conf_up(conf, 16, NULL);
    conf->class->ping(conf);
    CONF_SAME(conf, conf->side->ops->reset(conf->side), BH_OK);
    CONF_SAME(conf, conf->side->ops->wait(conf->side, 5), BH_OK);
    before = conf->side->ops->notifications(conf->side, conf->class->ping_queue);
    conf->side->ops->kick(conf->side, conf->class->ping_queue);
    CONF_SAME(conf, conf->side->ops->wait(conf->side, 20), BH_OK);
    CONF_SAME(conf, conf->side->ops->notifications(conf->side, conf->class->ping_queue), before);
    CONF_SAME(conf, status_of(conf), 0);
}

const struct conf_case conf_common_cases[] = {
    {"status_follows_the_initialization_sequence", "3.1.1", status_follows_the_initialization_sequence},
    {"version_1_is_offered_and_nothing_reserved_is", "6.2", version_1_is_offered_and_nothing_reserved_is},
    {"features_never_offered_are_refused", "2.2.2", features_never_offered_are_refused},
    {"a_driver_without_version_1_is_refused_or_served", "6.2",
     a_driver_without_version_1_is_refused_or_served},
    {"the_same_features_are_granted_again_after_reset", "2.2.2",
     the_same_features_are_granted_again_after_reset},
    {"every_subset_of_ring_features_is_accepted", "2.2.2", every_subset_of_ring_features_is_accepted},
    {"status_bits_are_not_dropped_by_a_write", "2.1", status_bits_are_not_dropped_by_a_write},
    {"config_is_readable_before_features_ok", "2.5.2", config_is_readable_before_features_ok},
    {"config_reads_in_pieces_are_the_whole", "2.5", config_reads_in_pieces_are_the_whole},
    {"nothing_is_consumed_before_driver_ok", "2.1.2", nothing_is_consumed_before_driver_ok},
    {"reset_returns_the_status_to_zero_and_silence", "2.4.1", reset_returns_the_status_to_zero_and_silence},
    {NULL, NULL, NULL},
};
