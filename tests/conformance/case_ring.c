/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every device must do with its rings: all sizes, wrap-around, stops, resets under load, and rings that a
 * hostile or broken driver laid.
 */
#include "abi/virtio_ring.h"
#include "tests/conformance/conf.h"

static bool packed(const struct conf *conf)
{
    return bh_features_has(&conf->wanted, BH_F_RING_PACKED);
}

static void every_legal_queue_size_works(struct conf *conf)
{
    static const uint16_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 13, 16, 32, 64, 100, 128, 256};

    for (unsigned s = 0; s < BH_COUNT(sizes); s++) {
        uint16_t size = sizes[s];
        bool power = (size & (size - 1)) == 0;

        if (size < conf->class->ping_descs || (!packed(conf) && !power))
            continue;
        conf_up(conf, size, NULL);
        for (unsigned i = 0; i < 2u * size + 3; i++)
            conf->class->ping(conf);
        conf_reset(conf);
    }
}

static void a_stopped_queue_goes_on_where_it_was(struct conf *conf)
{
    unsigned index = conf->class->ping_queue;

    conf_up(conf, 8, NULL);
    for (unsigned round = 0; round < 4; round++) {
        struct bh_virtq_setup setup = conf->queue[index].setup;

        for (unsigned i = 0; i < 5; i++)
            conf->class->ping(conf);
        CONF_SAME(conf, conf->side->ops->queue_stop(conf->side, index, &setup.state), BH_OK);
        CONF_SAME(conf, conf->side->ops->queue_start(conf->side, index, &setup), BH_OK);
        conf->class->ping(conf);
    }
}

/*
 * Lay whatever the queue takes and reset at once: no answer is due, but the device must come back. What is laid is a
 * disk's requests; a stranger of another class may take offence at it.
 */
static void reset_under_load(struct conf *conf)
{
    conf->may_close = conf->class != &conf_blk;
    for (unsigned round = 0; round < 5; round++) {
        conf_up(conf, 64, NULL);
        for (unsigned i = 0; i < conf->queue_count; i++) {
            for (unsigned n = 0; n < 16; n++) {
                struct bh_drv_buf bufs[3] = {conf_buf(conf, conf_alloc(conf, 16), 16),
                                             conf_buf(conf, conf_alloc(conf, 512), 512),
                                             conf_buf(conf, conf_alloc(conf, 1), 1)};

                conf_submit(conf, i, bufs, 1, 2, NULL);
            }
            conf->side->ops->kick(conf->side, i);
        }
        conf_reset(conf);
        conf_up(conf, 16, NULL);
        conf->class->ping(conf);
        conf_reset(conf);
    }
}

static void a_kick_without_a_buffer_is_harmless(struct conf *conf)
{
    conf_up(conf, 16, NULL);
    for (unsigned i = 0; i < conf->queue_count; i++) {
        for (unsigned n = 0; n < 10; n++)
            conf->side->ops->kick(conf->side, i);
        conf_quiet(conf, i, 10);
    }
    conf->class->ping(conf);
}

/* --- Malformed rings: the device gives the queue up, lives on, and a reset mends it [virtio-1.4 2.1.2] ----- */

static void spoil_and_recover(struct conf *conf, void (*spoil)(struct conf *conf, struct bh_drv_queue *queue))
{
    unsigned index = conf->class->ping_queue;

    conf_up(conf, 16, NULL);
    conf->class->ping(conf);
    spoil(conf, &conf->queue[index]);
    conf->side->ops->kick(conf->side, index);
    conf_wait_broken(conf, index);
    conf_reset(conf);
    conf_up(conf, 16, NULL);
    conf->class->ping(conf);
}

/* One descriptor with any fields, made available by hand. Packed: `next` is the id. */
static void lay(struct bh_drv_queue *queue, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next)
{
    struct bh_drv_ring *ring = &queue->ring;

    if (ring->packed) {
        struct pvirtq_desc *desc = (struct pvirtq_desc *)ring->setup.desc + ring->avail;

        desc->addr = bh_le64_of(addr);
        desc->len = bh_le32_of(len);
        desc->id = bh_le16_of(next);
        flags |= ring->avail_wrap ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED;
        __atomic_store_n(&desc->flags.raw, bh_le16_of(flags).raw, __ATOMIC_RELEASE);
        ring->avail++;
    } else {
        struct virtq_desc *desc = ring->setup.desc;
        struct virtq_avail *avail = ring->setup.driver;

        desc[0] = (struct virtq_desc){bh_le64_of(addr), bh_le32_of(len), bh_le16_of(flags), bh_le16_of(next)};
        avail->ring[ring->avail % ring->setup.size] = bh_le16_of(0);
        ring->avail++;
        __atomic_store_n(&avail->idx.raw, bh_le16_of(ring->avail).raw, __ATOMIC_RELEASE);
    }
}

static void spoil_address(struct conf *conf, struct bh_drv_queue *queue)
{
    lay(queue, 0xdead0000, 64, VIRTQ_DESC_F_WRITE, 0);
}
static void a_buffer_outside_memory_is_given_up(struct conf *conf)
{
    spoil_and_recover(conf, spoil_address);
}

static void spoil_wrap(struct conf *conf, struct bh_drv_queue *queue)
{
    lay(queue, UINT64_MAX - 15, 64, VIRTQ_DESC_F_WRITE, 0);
}
static void a_buffer_that_wraps_the_address_space_is_given_up(struct conf *conf)
{
    spoil_and_recover(conf, spoil_wrap);
}

static void spoil_end(struct conf *conf, struct bh_drv_queue *queue)
{
    lay(queue, conf->guest.base.raw + conf->guest.size - 16, 64, VIRTQ_DESC_F_WRITE, 0);
}
static void a_buffer_that_runs_out_of_memory_is_given_up(struct conf *conf)
{
    spoil_and_recover(conf, spoil_end);
}

static void spoil_loop(struct conf *conf, struct bh_drv_queue *queue)
{
    lay(queue, conf->guest.base.raw, 16, VIRTQ_DESC_F_NEXT, 0);
}
static void a_chain_that_loops_is_given_up(struct conf *conf)
{
    if (packed(conf))
        conf_skip(conf, "a packed chain cannot loop");
    spoil_and_recover(conf, spoil_loop);
}

static void spoil_next(struct conf *conf, struct bh_drv_queue *queue)
{
    lay(queue, conf->guest.base.raw, 16, VIRTQ_DESC_F_NEXT, 999);
}
static void a_next_outside_the_table_is_given_up(struct conf *conf)
{
    if (packed(conf))
        conf_skip(conf, "a packed descriptor has no next");
    spoil_and_recover(conf, spoil_next);
}

static void spoil_head(struct conf *conf, struct bh_drv_queue *queue)
{
    struct virtq_avail *avail = queue->ring.setup.driver;

    avail->ring[queue->ring.avail % 16] = bh_le16_of(0x4000);
    queue->ring.avail++;
    __atomic_store_n(&avail->idx.raw, bh_le16_of(queue->ring.avail).raw, __ATOMIC_RELEASE);
}
static void a_head_outside_the_table_is_given_up(struct conf *conf)
{
    if (packed(conf))
        conf_skip(conf, "split only");
    spoil_and_recover(conf, spoil_head);
}

static void spoil_index(struct conf *conf, struct bh_drv_queue *queue)
{
    struct virtq_avail *avail = queue->ring.setup.driver;

    __atomic_store_n(&avail->idx.raw, bh_le16_of((uint16_t)(queue->ring.avail + 17)).raw, __ATOMIC_RELEASE);
}
static void an_index_that_runs_ahead_is_given_up(struct conf *conf)
{
    if (packed(conf))
        conf_skip(conf, "split only");
    spoil_and_recover(conf, spoil_index);
}

static void spoil_nested(struct conf *conf, struct bh_drv_queue *queue)
{
    struct virtq_desc *table = conf_alloc(conf, 32);
    uint64_t addr = bh_drv_guest_addr(&conf->guest, table).raw;

    table[0].addr = bh_le64_of(addr);
    table[0].len = bh_le32_of(16);
    table[0].flags = bh_le16_of(VIRTQ_DESC_F_INDIRECT);
    lay(queue, addr, 16, VIRTQ_DESC_F_INDIRECT, 0);
}
static void a_nested_or_unasked_indirect_table_is_given_up(struct conf *conf)
{
    if (packed(conf) && bh_features_has(&conf->wanted, BH_F_INDIRECT_DESC))
        conf_skip(conf, "a packed table's flags but WRITE are ignored");
    spoil_and_recover(conf, spoil_nested);
}

static void spoil_table_length(struct conf *conf, struct bh_drv_queue *queue)
{
    lay(queue, bh_drv_guest_addr(&conf->guest, conf_alloc(conf, 32)).raw, 23, VIRTQ_DESC_F_INDIRECT, 0);
}
static void an_indirect_table_of_a_broken_length_is_given_up(struct conf *conf)
{
    spoil_and_recover(conf, spoil_table_length);
}

const struct conf_case conf_ring_cases[] = {
    {"every_legal_queue_size_works", "2.7, 2.8.10.1", every_legal_queue_size_works},
    {"a_stopped_queue_goes_on_where_it_was", "vhost-user, GET_VRING_BASE",
     a_stopped_queue_goes_on_where_it_was},
    {"reset_under_load", "2.4.1", reset_under_load},
    {"a_kick_without_a_buffer_is_harmless", "2.3", a_kick_without_a_buffer_is_harmless},
    {"a_buffer_outside_memory_is_given_up", "2.1.2", a_buffer_outside_memory_is_given_up},
    {"a_buffer_that_wraps_the_address_space_is_given_up", "2.1.2",
     a_buffer_that_wraps_the_address_space_is_given_up},
    {"a_buffer_that_runs_out_of_memory_is_given_up", "2.1.2", a_buffer_that_runs_out_of_memory_is_given_up},
    {"a_chain_that_loops_is_given_up", "2.7.5.2", a_chain_that_loops_is_given_up},
    {"a_next_outside_the_table_is_given_up", "2.7.5.2", a_next_outside_the_table_is_given_up},
    {"a_head_outside_the_table_is_given_up", "2.7.6", a_head_outside_the_table_is_given_up},
    {"an_index_that_runs_ahead_is_given_up", "2.7.6", an_index_that_runs_ahead_is_given_up},
    {"a_nested_or_unasked_indirect_table_is_given_up", "2.7.5.3.2, 2.8.19",
     a_nested_or_unasked_indirect_table_is_given_up},
    {"an_indirect_table_of_a_broken_length_is_given_up", "2.7.5.3.2, 2.8.19",
     an_indirect_table_of_a_broken_length_is_given_up},
    {NULL, NULL, NULL},
};
