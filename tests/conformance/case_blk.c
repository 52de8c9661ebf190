/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The block device [virtio-1.4 5.2]: each request type, what must fail and how, and framing as a driver may cut it.
 */
#include "abi/virtio_blk.h"
#include "devices/blk/blk_host.h"
#include "tests/conformance/conf.h"

#include <string.h>

#define NO_STATUS 0xee
/* Up to the fields of WRITE_ZEROES: what follows is there with its feature only. */
#define CONFIG_ALWAYS 60u

/* Every feature of the class that is offered. */
static const struct bh_features class_features = {{0x00ffffffu, 0, 0, 0}};

struct request {
    struct virtio_blk_req_header *header;
    uint8_t *data;
    uint8_t *status;
    uint32_t len;
};

static void up(struct conf *conf)
{
    conf_up(conf, 16, &class_features);
}

static bool read_only(struct conf *conf)
{
    return bh_features_has(&conf->features, VIRTIO_BLK_F_RO);
}

static struct virtio_blk_config config_of(struct conf *conf)
{
    struct virtio_blk_config config = {{0}};

    conf_config_read(conf, 0, &config, CONFIG_ALWAYS);
    if (bh_features_has(&conf->features, VIRTIO_BLK_F_SECURE_ERASE))
        conf_config_read(conf, 0, &config, VIRTIO_BLK_CONFIG_SIZE);
    return config;
}

static uint64_t capacity_of(struct conf *conf)
{
    struct virtio_blk_config config = config_of(conf);

    return bh_le64_get(config.capacity);
}

static struct request prepare(struct conf *conf, uint32_t type, uint64_t sector, uint32_t len)
{
    struct request r = {conf_alloc(conf, sizeof(*r.header)), conf_alloc(conf, len ? len : 1),
                        conf_alloc(conf, 1), len};

    *r.header = (struct virtio_blk_req_header){bh_le32_of(type), bh_le32_of(0), bh_le64_of(sector)};
    *r.status = NO_STATUS;
    return r;
}

static void submit(struct conf *conf, unsigned queue, const struct request *r, bool to_device, void *token)
{
    struct bh_drv_buf bufs[3] = {conf_buf(conf, r->header, sizeof(*r->header))};
    unsigned out = 1, in = 0;

    if (r->len)
        bufs[1] = conf_buf(conf, r->data, r->len);
    out += to_device && r->len;
    in += !to_device && r->len;
    bufs[out + in] = conf_buf(conf, r->status, 1);
    conf_submit(conf, queue, bufs, out, in + 1, token);
}

/*
 * Run it and say how it ended. The used length counts what was written from the start on, without gaps: of a
 * failed read, where only the status was written, it may be 0 [virtio-1.4 2.7.8.2].
 */
static uint8_t run(struct conf *conf, const struct request *r, bool to_device)
{
    uint32_t used;

    submit(conf, 0, r, to_device, r->status);
    CONF_CHECK(conf, conf_wait(conf, 0, &used) == r->status);
    CONF_CHECK(conf, used <= (to_device ? 0 : r->len) + 1u);
    CONF_CHECK(conf, *r->status != NO_STATUS);
    if (*r->status == VIRTIO_BLK_S_OK)
        CONF_CHECK(conf, used >= (!to_device && r->len ? 2u : 1u));
    return *r->status;
}

static void fill(uint8_t *bytes, uint32_t len, unsigned seed)
{
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seed * 31u + i * 7u + i / 256u);
}

static void ping(struct conf *conf)
{
    struct request r;

    conf_recycle(conf);
    r = prepare(conf, VIRTIO_BLK_T_IN, 0, 512);
    CONF_SAME(conf, run(conf, &r, false), VIRTIO_BLK_S_OK);
}

static void what_was_written_is_read_back(struct conf *conf)
{
    up(conf);
    if (read_only(conf))
        conf_skip(conf, "read-only");
    for (uint32_t sectors = 1; sectors <= 128; sectors = sectors * 2 + 1) {
        struct request w, r;

        conf_recycle(conf);
        w = prepare(conf, VIRTIO_BLK_T_OUT, sectors * 3, sectors * 512);
        r = prepare(conf, VIRTIO_BLK_T_IN, sectors * 3, sectors * 512);
        fill(w.data, w.len, sectors);
        CONF_SAME(conf, run(conf, &w, true), VIRTIO_BLK_S_OK);
        CONF_SAME(conf, run(conf, &r, false), VIRTIO_BLK_S_OK);
        CONF_CHECK(conf, memcmp(w.data, r.data, r.len) == 0);
    }
}

/* Header, data and status cut at odd places: no framing may be assumed [virtio-1.4 2.7.4]. */
static void any_framing_is_understood(struct conf *conf)
{
    struct bh_drv_buf bufs[16];
    struct request w, r;
    unsigned n = 0;
    uint32_t used;

    up(conf);
    if (read_only(conf))
        conf_skip(conf, "read-only");
    w = prepare(conf, VIRTIO_BLK_T_OUT, 8, 1024);
    r = prepare(conf, VIRTIO_BLK_T_IN, 8, 1024);
    fill(w.data, w.len, 5);
    bufs[n++] = conf_buf(conf, w.header, 3);
    bufs[n++] = conf_buf(conf, (uint8_t *)w.header + 3, 6);
    bufs[n++] = conf_buf(conf, (uint8_t *)w.header + 9, 7);
    bufs[n++] = conf_buf(conf, w.data, 1);
    bufs[n++] = conf_buf(conf, w.data + 1, 600);
    bufs[n++] = conf_buf(conf, w.data + 601, 423);
    bufs[n] = conf_buf(conf, w.status, 1);
    conf_submit(conf, 0, bufs, n, 1, w.status);
    CONF_CHECK(conf, conf_wait(conf, 0, &used) == w.status);
    CONF_SAME(conf, *w.status, VIRTIO_BLK_S_OK);

    bufs[0] = conf_buf(conf, r.header, 16);
    bufs[1] = conf_buf(conf, r.data, 511);
    bufs[2] = conf_buf(conf, r.data + 511, 513);
    bufs[3] = conf_buf(conf, r.status, 1);
    conf_submit(conf, 0, bufs, 1, 3, r.status);
    CONF_CHECK(conf, conf_wait(conf, 0, &used) == r.status);
    CONF_SAME(conf, *r.status, VIRTIO_BLK_S_OK);
    CONF_SAME(conf, used, 1025);
    CONF_CHECK(conf, memcmp(w.data, r.data, 1024) == 0);
}

static void the_status_may_share_a_buffer_with_the_data(struct conf *conf)
{
    struct virtio_blk_req_header *header;
    struct bh_drv_buf bufs[2];
    uint8_t *bytes;

    up(conf);
    header = conf_alloc(conf, sizeof(*header));
    *header = (struct virtio_blk_req_header){bh_le32_of(VIRTIO_BLK_T_IN), bh_le32_of(0), bh_le64_of(0)};
    bytes = conf_alloc(conf, 513);
    bytes[512] = NO_STATUS;
    bufs[0] = conf_buf(conf, header, sizeof(*header));
    bufs[1] = conf_buf(conf, bytes, 513);
    conf_submit(conf, 0, bufs, 1, 1, bytes);
    CONF_CHECK(conf, conf_wait(conf, 0, NULL) == bytes);
    CONF_SAME(conf, bytes[512], VIRTIO_BLK_S_OK);
}

static void requests_beyond_the_end_fail(struct conf *conf)
{
    uint64_t capacity;

    up(conf);
    capacity = capacity_of(conf);
    CONF_CHECK(conf, capacity > 0);
    const uint64_t sectors[] = {capacity,   capacity - 1,     capacity + 100,
                                UINT64_MAX, UINT64_MAX / 512, 1ull << 55};

    for (unsigned i = 0; i < BH_COUNT(sectors); i++) {
        struct request r = prepare(conf, VIRTIO_BLK_T_IN, sectors[i], 1024);

        CONF_SAME(conf, run(conf, &r, false), VIRTIO_BLK_S_IOERR);
        r = prepare(conf, VIRTIO_BLK_T_OUT, sectors[i], 1024);
        CONF_SAME(conf, run(conf, &r, true), VIRTIO_BLK_S_IOERR);
    }
    struct request last = prepare(conf, VIRTIO_BLK_T_IN, capacity - 1, 512);

    CONF_SAME(conf, run(conf, &last, false), VIRTIO_BLK_S_OK);
}

static void an_unknown_type_is_unsupported(struct conf *conf)
{
    static const uint32_t types[] = {2, 3, 77, 0x1234567u};

    up(conf);
    for (unsigned i = 0; i < BH_COUNT(types); i++) {
        struct request r = prepare(conf, types[i], 0, 512);

        CONF_SAME(conf, run(conf, &r, false), VIRTIO_BLK_S_UNSUPP);
    }
}

static void data_of_broken_sectors_fails(struct conf *conf)
{
    static const uint32_t lens[] = {1, 511, 513, 1000};

    up(conf);
    for (unsigned i = 0; i < BH_COUNT(lens); i++) {
        struct request r = prepare(conf, VIRTIO_BLK_T_IN, 0, lens[i]);

        CONF_CHECK(conf, run(conf, &r, false) != VIRTIO_BLK_S_OK);
        r = prepare(conf, VIRTIO_BLK_T_OUT, 0, lens[i]);
        CONF_CHECK(conf, run(conf, &r, true) != VIRTIO_BLK_S_OK);
    }
}

static void a_read_only_disk_refuses_writes(struct conf *conf)
{
    struct request w;

    up(conf);
    if (!read_only(conf))
        conf_skip(conf, "writable");
    w = prepare(conf, VIRTIO_BLK_T_OUT, 0, 512);
    CONF_SAME(conf, run(conf, &w, true), VIRTIO_BLK_S_IOERR);
    w = prepare(conf, VIRTIO_BLK_T_IN, 0, 512);
    CONF_SAME(conf, run(conf, &w, false), VIRTIO_BLK_S_OK);
}

static void flush_is_answered(struct conf *conf)
{
    struct request r;

    up(conf);
    if (!bh_features_has(&conf->features, VIRTIO_BLK_F_FLUSH))
        conf_skip(conf, "FLUSH is not offered");
    r = prepare(conf, VIRTIO_BLK_T_FLUSH, 0, 0);
    CONF_SAME(conf, run(conf, &r, true), VIRTIO_BLK_S_OK);
}

static void the_serial_number_is_given(struct conf *conf)
{
    struct request r;

    up(conf);
    r = prepare(conf, VIRTIO_BLK_T_GET_ID, 0, VIRTIO_BLK_ID_BYTES);
    CONF_SAME(conf, run(conf, &r, false), VIRTIO_BLK_S_OK);
}

static uint8_t run_range(struct conf *conf, uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    struct request r = prepare(conf, type, 0, sizeof(struct virtio_blk_discard_write_zeroes));
    struct virtio_blk_discard_write_zeroes range = {bh_le64_of(sector), bh_le32_of(sectors),
                                                    bh_le32_of(flags)};

    memcpy(r.data, &range, sizeof(range));
    return run(conf, &r, true);
}

static void write_zeroes_leaves_zeroes(struct conf *conf)
{
    struct request w, r;

    up(conf);
    if (!bh_features_has(&conf->features, VIRTIO_BLK_F_WRITE_ZEROES))
        conf_skip(conf, "WRITE_ZEROES is not offered");
    w = prepare(conf, VIRTIO_BLK_T_OUT, 16, 8 * 512);
    r = prepare(conf, VIRTIO_BLK_T_IN, 16, 8 * 512);
    fill(w.data, w.len, 3);
    CONF_SAME(conf, run(conf, &w, true), VIRTIO_BLK_S_OK);
    CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_WRITE_ZEROES, 17, 4, 0), VIRTIO_BLK_S_OK);
    CONF_SAME(conf, run(conf, &r, false), VIRTIO_BLK_S_OK);
    memset(w.data + 512, 0, 4 * 512);
    CONF_CHECK(conf, memcmp(w.data, r.data, w.len) == 0);
    CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_WRITE_ZEROES, 0, 8, 0x80), VIRTIO_BLK_S_UNSUPP);
    CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_WRITE_ZEROES, capacity_of(conf), 8, 0), VIRTIO_BLK_S_IOERR);
}

static void discard_checks_its_flags_and_range(struct conf *conf)
{
    up(conf);
    if (!bh_features_has(&conf->features, VIRTIO_BLK_F_DISCARD))
        conf_skip(conf, "DISCARD is not offered");
    CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_DISCARD, 0, 8, 0), VIRTIO_BLK_S_OK);
    CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_DISCARD, 0, 8, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP),
              VIRTIO_BLK_S_UNSUPP);
    CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_DISCARD, 0, 8, 0x100), VIRTIO_BLK_S_UNSUPP);
    CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_DISCARD, UINT64_MAX - 3, 8, 0), VIRTIO_BLK_S_IOERR);
}

static void secure_erase_checks_its_flags_and_range(struct conf *conf)
{
    struct virtio_blk_config config;
    uint32_t most;

    up(conf);
    if (!bh_features_has(&conf->features, VIRTIO_BLK_F_SECURE_ERASE)) {
        CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_SECURE_ERASE, 0, 8, 0), VIRTIO_BLK_S_UNSUPP);
        conf_skip(conf, "SECURE_ERASE is not offered");
    }
    config = config_of(conf);
    most = bh_le32_get(config.max_secure_erase_sectors);
    CONF_CHECK(conf, most >= 1 && bh_le32_get(config.max_secure_erase_seg) >= 1);
    CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_SECURE_ERASE, 0, 8, 0), VIRTIO_BLK_S_OK);
    CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_SECURE_ERASE, 0, 8, 0x100), VIRTIO_BLK_S_UNSUPP);
    CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_SECURE_ERASE, UINT64_MAX - 3, 8, 0), VIRTIO_BLK_S_IOERR);
    if (most < UINT32_MAX)
        CONF_SAME(conf, run_range(conf, VIRTIO_BLK_T_SECURE_ERASE, 0, most + 1, 0), VIRTIO_BLK_S_IOERR);
}

static void lifetime_has_no_reserved_values(struct conf *conf)
{
    struct virtio_blk_lifetime *life;
    struct request r;

    up(conf);
    r = prepare(conf, VIRTIO_BLK_T_GET_LIFETIME, 0, sizeof(*life));
    if (!bh_features_has(&conf->features, VIRTIO_BLK_F_LIFETIME)) {
        CONF_SAME(conf, run(conf, &r, false), VIRTIO_BLK_S_UNSUPP);
        conf_skip(conf, "LIFETIME is not offered");
    }
    life = (struct virtio_blk_lifetime *)(void *)r.data;
    CONF_SAME(conf, run(conf, &r, false), VIRTIO_BLK_S_OK);
    CONF_CHECK(conf, bh_le16_get(life->pre_eol_info) <= VIRTIO_BLK_PRE_EOL_INFO_MAX);
    CONF_CHECK(conf, bh_le16_get(life->device_lifetime_est_typ_a) <= VIRTIO_BLK_LIFETIME_EST_MAX);
    CONF_CHECK(conf, bh_le16_get(life->device_lifetime_est_typ_b) <= VIRTIO_BLK_LIFETIME_EST_MAX);
}

/* What one queue writes the next one reads, and all of them hold requests at once. */
static void every_queue_serves(struct conf *conf)
{
    struct virtio_blk_config config;
    struct request r[CONF_QUEUES];

    up(conf);
    if (!bh_features_has(&conf->features, VIRTIO_BLK_F_MQ) || read_only(conf))
        conf_skip(conf, "MQ is not offered, or nothing can be written");
    config = config_of(conf);
    CONF_SAME(conf, bh_le16_get(config.num_queues), conf->side->queue_count);
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned q = 0; q < conf->queue_count; q++) {
            const unsigned owner = (q + round) % conf->queue_count; /* whose place it is */
            r[q] = prepare(conf, round ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT, owner * 8, 4096);
            if (!round)
                fill(r[q].data, 4096, owner);
            submit(conf, q, &r[q], !round, &r[q]);
        }
        for (unsigned q = 0; q < conf->queue_count; q++) {
            uint8_t wanted[4096];
            CONF_CHECK(conf, conf_wait(conf, q, NULL) == &r[q]);
            CONF_SAME(conf, *r[q].status, VIRTIO_BLK_S_OK);
            fill(wanted, 4096, (q + round) % conf->queue_count);
            CONF_CHECK(conf, memcmp(wanted, r[q].data, 4096) == 0);
        }
    }
}

static void the_write_cache_can_be_switched(struct conf *conf)
{
    struct virtio_blk_config config;
    const uint8_t modes[] = {0, 1, 0};
    struct request r;

    up(conf);
    if (!bh_features_has(&conf->features, VIRTIO_BLK_F_CONFIG_WCE))
        conf_skip(conf, "CONFIG_WCE is not offered");
    CONF_CHECK(conf, bh_features_has(&conf->features, VIRTIO_BLK_F_FLUSH)); /* must be offered with it */
    for (unsigned i = 0; i < BH_COUNT(modes); i++) {
        CONF_SAME(conf,
                  conf->side->ops->config_write(conf->side, offsetof(struct virtio_blk_config, writeback),
                                                &modes[i], 1),
                  BH_OK);
        config = config_of(conf);
        CONF_SAME(conf, config.writeback, modes[i]);
        r = prepare(conf, VIRTIO_BLK_T_OUT, 0, 512);
        CONF_SAME(conf, run(conf, &r, true), read_only(conf) ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
    }
}

/* Many at once, each with its own place and pattern: an answer that belongs to another request shows. */
static void requests_in_flight_are_kept_apart(struct conf *conf)
{
    struct request r[16];

    conf_up(conf, 64, &class_features);
    if (read_only(conf))
        conf_skip(conf, "read-only");
    for (unsigned round = 0; round < 8; round++) {
        bool writes = round % 2 == 0;

        conf_recycle(conf);
        for (unsigned i = 0; i < 16; i++) {
            r[i] = prepare(conf, writes ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, i * 16, 4096);
            if (writes)
                fill(r[i].data, 4096, i + round);
            submit(conf, 0, &r[i], writes, &r[i]);
        }
        for (unsigned i = 0; i < 16; i++) {
            struct request *done = conf_wait(conf, 0, NULL);
            uint8_t wanted[4096];

            CONF_CHECK(conf, done >= r && done < r + 16);
            CONF_SAME(conf, *done->status, VIRTIO_BLK_S_OK);
            if (bh_features_has(&conf->features, BH_F_IN_ORDER))
                CONF_CHECK(conf, done == &r[i]); /* [virtio-1.4 6.2] */
            fill(wanted, 4096, (unsigned)(done - r) + round - 1);
            CONF_CHECK(conf, writes || memcmp(wanted, done->data, 4096) == 0);
        }
    }
}

static void config_is_consistent(struct conf *conf)
{
    struct virtio_blk_config config;

    up(conf);
    config = config_of(conf);
    if (bh_features_has(&conf->features, VIRTIO_BLK_F_BLK_SIZE)) {
        uint32_t size = bh_le32_get(config.blk_size);

        CONF_CHECK(conf, size >= 512 && (size & (size - 1)) == 0);
    }
    if (bh_features_has(&conf->features, VIRTIO_BLK_F_SEG_MAX))
        CONF_CHECK(conf, bh_le32_get(config.seg_max) >= 1);
    if (bh_features_has(&conf->features, VIRTIO_BLK_F_MQ))
        CONF_CHECK(conf, bh_le16_get(config.num_queues) >= 1);
    if (bh_features_has(&conf->features, VIRTIO_BLK_F_DISCARD))
        CONF_CHECK(conf, bh_le32_get(config.max_discard_seg) >= 1);
}

static const struct conf_case cases[] = {
    {"config_is_consistent", "5.2.4", config_is_consistent},
    {"what_was_written_is_read_back", "5.2.6", what_was_written_is_read_back},
    {"any_framing_is_understood", "2.7.4.1, 5.2.6", any_framing_is_understood},
    {"the_status_may_share_a_buffer_with_the_data", "2.7.4.1", the_status_may_share_a_buffer_with_the_data},
    {"requests_beyond_the_end_fail", "5.2.6.2", requests_beyond_the_end_fail},
    {"an_unknown_type_is_unsupported", "5.2.6", an_unknown_type_is_unsupported},
    {"data_of_broken_sectors_fails", "5.2.6.1", data_of_broken_sectors_fails},
    {"a_read_only_disk_refuses_writes", "5.2.6.2", a_read_only_disk_refuses_writes},
    {"flush_is_answered", "5.2.6.2", flush_is_answered},
    {"the_serial_number_is_given", "5.2.6", the_serial_number_is_given},
    {"write_zeroes_leaves_zeroes", "5.2.6.2", write_zeroes_leaves_zeroes},
    {"discard_checks_its_flags_and_range", "5.2.6.2", discard_checks_its_flags_and_range},
    {"secure_erase_checks_its_flags_and_range", "5.2.6.2", secure_erase_checks_its_flags_and_range},
    {"lifetime_has_no_reserved_values", "5.2.6.2", lifetime_has_no_reserved_values},
    {"every_queue_serves", "5.2.2, 5.2.4", every_queue_serves},
    {"the_write_cache_can_be_switched", "5.2.5, 5.2.5.2", the_write_cache_can_be_switched},
    {"requests_in_flight_are_kept_apart", "5.2.6, 6.2", requests_in_flight_are_kept_apart},
    {NULL, NULL, NULL},
};

static const char *const arguments[] = {"--ram-size=8M", NULL};

const struct conf_class conf_blk = {
    .name = "blk",
    .hosted = &bh_blk_hosted,
    .arguments = arguments,
    .ping = ping,
    .ping_descs = 3,
    .queues = 1,
    .config_bytes = CONFIG_ALWAYS,
    .cases = cases,
};
