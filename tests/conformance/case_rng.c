/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy device [virtio-1.4 5.4].
 */
#include "devices/rng/rng_host.h"
#include "tests/conformance/conf.h"

#include <string.h>

static void ping(struct conf *conf)
{
    uint32_t len;
    uint8_t *bytes;
    struct bh_drv_buf buf;

    conf_recycle(conf);
    bytes = conf_alloc(conf, 64);
    buf = conf_buf(conf, bytes, 64);
    conf_submit(conf, 0, &buf, 0, 1, bytes);
    CONF_CHECK(conf, conf_wait(conf, 0, &len) == bytes);
    CONF_CHECK(conf, len >= 1 && len <= 64);
}

/* At least one byte, and the used length says how many: what lies behind it was not touched. */
static void the_used_length_is_what_was_written(struct conf *conf)
{
    conf_up(conf, 16, NULL);
    for (uint32_t size = 1; size <= 4096; size = size * 2 + 1) {
        uint8_t *bytes;
        uint32_t len;
        struct bh_drv_buf buf;

        conf_recycle(conf);
        bytes = conf_alloc(conf, size + 16);
        memset(bytes, 0xa5, size + 16);
        buf = conf_buf(conf, bytes, size);
        conf_submit(conf, 0, &buf, 0, 1, bytes);
        CONF_CHECK(conf, conf_wait(conf, 0, &len) == bytes);
        CONF_CHECK(conf, len >= 1 && len <= size);
        for (uint32_t i = len; i < size + 16; i++)
            CONF_SAME(conf, bytes[i], 0xa5);
    }
}

static void a_buffer_of_many_pieces_is_filled_in_order(struct conf *conf)
{
    struct bh_drv_buf bufs[15];
    uint8_t *bytes;
    uint32_t len;
    unsigned zero = 0;

    conf_up(conf, 16, NULL);
    bytes = conf_alloc(conf, 15 * 64);
    for (unsigned i = 0; i < 15; i++)
        bufs[i] = conf_buf(conf, bytes + 64 * i, 32);
    conf_submit(conf, 0, bufs, 0, 15, bytes);
    CONF_CHECK(conf, conf_wait(conf, 0, &len) == bytes);
    CONF_CHECK(conf, len >= 1 && len <= 15 * 32);
    for (unsigned i = 0; i < 15 * 64; i++) {
        bool gap = i % 64 >= 32 || (i / 64) * 32 + i % 64 >= len;

        if (gap)
            CONF_SAME(conf, bytes[i], 0);
        else
            zero += bytes[i] == 0;
    }
    CONF_CHECK(conf, zero < len / 4 + 4); /* about one byte in 256 */
}

static void two_buffers_differ(struct conf *conf)
{
    uint8_t *first, *second;
    uint32_t len[2];
    struct bh_drv_buf buf;

    conf_up(conf, 16, NULL);
    first = conf_alloc(conf, 64);
    second = conf_alloc(conf, 64);
    buf = conf_buf(conf, first, 64);
    conf_submit(conf, 0, &buf, 0, 1, first);
    buf = conf_buf(conf, second, 64);
    conf_submit(conf, 0, &buf, 0, 1, second);
    (void)conf_wait(conf, 0, &len[0]);
    (void)conf_wait(conf, 0, &len[1]);
    CONF_CHECK(conf, len[0] < 16 || len[1] < 16 || memcmp(first, second, 16) != 0);
}

static void a_full_queue_is_answered_whole(struct conf *conf)
{
    uint8_t *seen;

    conf_up(conf, 64, NULL);
    for (unsigned round = 0; round < 5; round++) {
        conf_recycle(conf);
        seen = conf_alloc(conf, 64 * 16);
        for (unsigned i = 0; i < 64; i++) {
            struct bh_drv_buf buf = conf_buf(conf, seen + 16 * i, 16);

            CONF_SAME(conf, bh_drv_ring_add(&conf->queue[0].ring, &buf, 0, 1, seen + 16 * i), BH_OK);
        }
        if (bh_drv_ring_kick_needed(&conf->queue[0].ring))
            conf->side->ops->kick(conf->side, 0);
        for (unsigned i = 0; i < 64; i++) {
            uint32_t len;
            uint8_t *token = conf_wait(conf, 0, &len);

            CONF_CHECK(conf, token >= seen && token < seen + 64 * 16);
            if (bh_features_has(&conf->features, BH_F_IN_ORDER))
                CONF_CHECK(conf, token == seen + 16 * i); /* [virtio-1.4 6.2] */
        }
        conf_quiet(conf, 0, 5);
    }
}

static const struct conf_case cases[] = {
    {"the_used_length_is_what_was_written", "5.4.6.2, 2.7.8.2", the_used_length_is_what_was_written},
    {"a_buffer_of_many_pieces_is_filled_in_order", "5.4.6.2, 2.7.4",
     a_buffer_of_many_pieces_is_filled_in_order},
    {"two_buffers_differ", "5.4.6.2", two_buffers_differ},
    {"a_full_queue_is_answered_whole", "5.4.6.2, 6.2", a_full_queue_is_answered_whole},
    {NULL, NULL, NULL},
};

static const char *const arguments[] = {NULL};

const struct conf_class conf_rng = {
    .name = "rng",
    .hosted = &bh_rng_hosted,
    .arguments = arguments,
    .ping = ping,
    .ping_descs = 1,
    .queues = 1,
    .cases = cases,
};
