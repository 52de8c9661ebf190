/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the class blk does with requests, good and bad, in every framing, over both ring layouts; and with a store
 * that is slow, fails, reorders or belongs to somebody else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/unit/blk_rig.h"
#include <string.h>

static uint8_t disk[RIG_CAPACITY];

static struct rig *ram_rig(struct bh_store_ram *ram, const struct bh_blk_settings *settings, bool packed)
{
    for (unsigned i = 0; i < sizeof(disk); i++)
        disk[i] = (uint8_t)(i / 512 + i);
    bh_store_ram_init(ram, disk, sizeof(disk), false);
    return rig_new(&ram->store, settings, packed, 0);
}

static void pattern(uint8_t *bytes, unsigned len, uint8_t seed)
{
    for (unsigned i = 0; i < len; i++)
        bytes[i] = (uint8_t)(seed + i * 7);
}

/* --- Good requests ---------------------------------------------------------------------------------------------- */

static void read_write_layout(bool packed)
{
    struct bh_store_ram ram;
    struct rig *rig = ram_rig(&ram, NULL, packed);
    struct rig_request read, write;
    uint8_t bytes[2048];

    pattern(bytes, sizeof(bytes), 3);
    rig_add(rig, 0, &read, VIRTIO_BLK_T_IN, 5, false, 1024, NULL);
    rig_add(rig, 1, &write, VIRTIO_BLK_T_OUT, 100, true, sizeof(bytes), bytes);
    assert_int_equal(rig_run(rig), 2);
    assert_int_equal(*read.status, VIRTIO_BLK_S_OK);
    assert_int_equal(read.used_len, 1025);
    assert_memory_equal(read.data, disk + 5 * 512, 1024);
    assert_int_equal(*write.status, VIRTIO_BLK_S_OK);
    assert_int_equal(write.used_len, 1);
    assert_memory_equal(disk + 100 * 512, bytes, sizeof(bytes));
    rig_free(rig);
}

static void reads_and_writes_on_both_layouts(void **state)
{
    read_write_layout(false);
    read_write_layout(true);
}

static void framing_may_be_cut_anywhere(void **state)
{
    static const uint32_t pieces[] = {65, 100, 127, 128, 256, 512, 513, 527, 528, 529, 1040, 4096};
    struct bh_store_ram ram;
    struct rig *rig = ram_rig(&ram, NULL, false);
    uint8_t bytes[1024];

    for (unsigned i = 0; i < BH_COUNT(pieces); i++) {
        struct rig_request read, write;
        pattern(bytes, sizeof(bytes), (uint8_t)i);
        rig_add_cut(rig, 0, &write, VIRTIO_BLK_T_OUT, 7 + i, true, sizeof(bytes), bytes, pieces[i]);
        assert_int_equal(rig_run(rig), 1);
        assert_int_equal(*write.status, VIRTIO_BLK_S_OK);
        assert_memory_equal(disk + (7 + i) * 512, bytes, sizeof(bytes));
        rig_add_cut(rig, 0, &read, VIRTIO_BLK_T_IN, 7 + i, false, sizeof(bytes), NULL, pieces[i]);
        assert_int_equal(rig_run(rig), 1);
        assert_int_equal(*read.status, VIRTIO_BLK_S_OK);
        assert_int_equal(read.used_len, sizeof(bytes) + 1);
        assert_memory_equal(read.data, bytes, sizeof(bytes));
    }
    /* the header itself cut, in pieces of 5 bytes: 4 descriptors for a flush */
    struct rig_request flush;
    rig_add_cut(rig, 0, &flush, VIRTIO_BLK_T_FLUSH, 0, false, 0, NULL, 5);
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*flush.status, VIRTIO_BLK_S_OK);
    rig_free(rig);
}

static void serial_is_cut_to_the_drivers_room(void **state)
{
    struct bh_store_ram ram;
    struct bh_blk_settings settings = {.serial = "0123456789abcdefghij"};
    struct rig *rig = ram_rig(&ram, &settings, false);
    struct rig_request full, small;

    rig_add(rig, 0, &full, VIRTIO_BLK_T_GET_ID, 0, false, 20, NULL);
    rig_add(rig, 0, &small, VIRTIO_BLK_T_GET_ID, 0, false, 8, NULL);
    assert_int_equal(rig_run(rig), 2);
    assert_int_equal(*full.status, VIRTIO_BLK_S_OK);
    assert_int_equal(full.used_len, 21);
    assert_memory_equal(full.data, "0123456789abcdefghij", 20);
    assert_int_equal(*small.status, VIRTIO_BLK_S_OK);
    assert_memory_equal(small.data, "01234567", 8);
    rig_free(rig);
}

static void range(struct virtio_blk_discard_write_zeroes *r, uint64_t sector, uint32_t sectors,
                  uint32_t flags)
{
    *r = (struct virtio_blk_discard_write_zeroes){bh_le64_of(sector), bh_le32_of(sectors), bh_le32_of(flags)};
}

static uint8_t range_status(struct rig *rig, uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    struct virtio_blk_discard_write_zeroes r;
    struct rig_request request;

    range(&r, sector, sectors, flags);
    rig_add(rig, 0, &request, type, 0, true, sizeof(r), &r);
    assert_int_equal(rig_run(rig), 1);
    return *request.status;
}

static void ranges_are_zeroed_and_checked(void **state)
{
    static const uint8_t zeros[3 * 512];
    struct bh_store_ram ram;
    struct rig *rig = ram_rig(&ram, NULL, false);
    uint8_t before = disk[12 * 512], after = disk[16 * 512];

    assert_int_equal(range_status(rig, VIRTIO_BLK_T_WRITE_ZEROES, 13, 3, 0), VIRTIO_BLK_S_OK);
    assert_memory_equal(disk + 13 * 512, zeros, sizeof(zeros));
    assert_int_equal(disk[12 * 512], before);
    assert_int_equal(disk[16 * 512], after);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_WRITE_ZEROES, 20, 1, 1), VIRTIO_BLK_S_OK);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_DISCARD, 30, 2, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_DISCARD, 30, 2, 1), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_WRITE_ZEROES, 30, 2, 2), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_DISCARD, RIG_CAPACITY / 512 - 1, 2, 0),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 0x400001, 0), VIRTIO_BLK_S_IOERR);
    rig_free(rig);
}

/* --- Bad requests ----------------------------------------------------------------------------------------------- */

static uint8_t io_status(struct rig *rig, uint32_t type, uint64_t sector, bool write, uint32_t len)
{
    static const uint8_t bytes[4096];
    struct rig_request r;

    rig_add(rig, 0, &r, type, sector, write, len, bytes);
    assert_int_equal(rig_run(rig), 1);
    return *r.status;
}

static void bad_requests_are_answered(void **state)
{
    uint64_t end = RIG_CAPACITY / 512;
    struct bh_store_ram ram;
    struct rig *rig = ram_rig(&ram, NULL, false);

    assert_int_equal(io_status(rig, VIRTIO_BLK_T_IN, end - 1, false, 512), VIRTIO_BLK_S_OK);
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_IN, end - 1, false, 1024), VIRTIO_BLK_S_IOERR);
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_IN, end, false, 512), VIRTIO_BLK_S_IOERR);
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_OUT, UINT64_MAX, true, 512), VIRTIO_BLK_S_IOERR);
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_OUT, UINT64_MAX / 512 + 1, true, 512), VIRTIO_BLK_S_IOERR);
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_IN, 0, false, 511), VIRTIO_BLK_S_IOERR);
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_OUT, 0, true, 513), VIRTIO_BLK_S_IOERR);
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_IN, 0, false, 0), VIRTIO_BLK_S_OK);
    assert_int_equal(io_status(rig, 77, 0, false, 512), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_GET_LIFETIME, 0, false, 24), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_DISCARD, 0, true, 32), VIRTIO_BLK_S_IOERR);
    assert_int_equal(io_status(rig, 15, 0, true, 512), VIRTIO_BLK_S_UNSUPP); /* ZONE_APPEND */
    assert_int_equal(io_status(rig, 24, 0, false, 0), VIRTIO_BLK_S_UNSUPP);  /* ZONE_RESET */
    assert_int_equal(rig->blk.counters.refused, 11);
    assert_int_equal(rig->pipe.errors[0], 0);
    rig_free(rig);
}

static void short_header_is_answered_and_no_status_breaks_the_queue(void **state)
{
    struct bh_store_ram ram;
    struct rig *rig = ram_rig(&ram, NULL, false);
    void *header = NULL, *status = NULL;
    struct rig_request r = {0}, lost = {0};
    struct bh_drv_buf bufs[2] = {{bh_daddr(rig_alloc(rig, 15, &header)), 15},
                                 {bh_daddr(rig_alloc(rig, 1, &status)), 1}};

    assert_int_equal(bh_drv_ring_add(&rig->rings[0], bufs, 1, 1, &r), BH_OK);
    bh_pipe_kick(&rig->pipe, 0);
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*(uint8_t *)status, VIRTIO_BLK_S_IOERR);
    bufs[0].len = 16;
    assert_int_equal(bh_drv_ring_add(&rig->rings[0], bufs, 1, 0, &lost), BH_OK);
    bh_pipe_kick(&rig->pipe, 0);
    assert_int_equal(rig_run(rig), 0);
    assert_int_equal(rig->pipe.errors[0], 1);
    assert_int_equal(rig->pipe.last_reason, BH_BROKEN_CLASS);
    assert_true(bh_device_status(&rig->blk.dev) & BH_STATUS_NEEDS_RESET);
    /* the other queue is none the worse */
    rig_add(rig, 1, &r, VIRTIO_BLK_T_IN, 0, false, 512, NULL);
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*r.status, VIRTIO_BLK_S_OK);
    rig_free(rig);
}

static void read_only_disk_is_not_written(void **state)
{
    struct bh_store_ram ram;
    struct bh_blk_settings settings = {.read_only = true};
    struct rig *rig = ram_rig(&ram, &settings, false);
    uint8_t first = disk[0];

    assert_true(bh_device_has(&rig->blk.dev, VIRTIO_BLK_F_RO));
    assert_false(bh_device_has(&rig->blk.dev, VIRTIO_BLK_F_DISCARD));
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_OUT, 0, true, 512), VIRTIO_BLK_S_IOERR);
    assert_int_equal(disk[0], first);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_WRITE_ZEROES, 0, 1, 0), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(io_status(rig, VIRTIO_BLK_T_IN, 0, false, 512), VIRTIO_BLK_S_OK);
    rig_free(rig);
}

/* --- The store's side ------------------------------------------------------------------------------------------- */

static void batch_is_submitted_once_and_completes_in_any_order(void **state)
{
    struct sim_store sim;
    struct rig_request r[8];

    sim_store_init(&sim);
    struct rig *rig = rig_new(&sim.store, NULL, false, 1ull << BH_F_IN_ORDER);
    for (unsigned i = 0; i < 8; i++)
        rig_add(rig, 0, &r[i], VIRTIO_BLK_T_IN, i, false, 512, NULL);
    assert_int_equal(rig_run(rig), 0);
    assert_int_equal(sim.submit_count, 1);
    assert_int_equal(sim.held_count, 8);
    uint32_t notified = rig->pipe.notifications[0];
    sim_store_finish(&sim, 5, BH_OK, 0xa5);
    sim_store_finish(&sim, 0, BH_OK, 0xa0);
    sim_store_finish(&sim, 2, BH_ERR_IO, 0);
    sim_store_wake(&sim);
    assert_int_equal(rig->pipe.notifications[0] - notified, 1);
    assert_int_equal(rig_run(rig), 3);
    assert_true(r[5].used && r[0].used && r[3].used);
    assert_int_equal(*r[5].status, VIRTIO_BLK_S_OK);
    assert_int_equal(r[5].data[511], 0xa5);
    assert_int_equal(*r[3].status, VIRTIO_BLK_S_IOERR);
    assert_int_equal(r[3].used_len, 0); /* nothing before the status counts */
    assert_int_equal(rig->blk.counters.io_errors, 1);
    rig_free(rig);
}

static void in_order_holds_back_what_came_too_early(void **state)
{
    struct sim_store sim;
    struct rig_request r[3];

    sim_store_init(&sim);
    struct rig *rig = rig_new(&sim.store, NULL, false, 0);
    assert_true(bh_device_has(&rig->blk.dev, BH_F_IN_ORDER));
    for (unsigned i = 0; i < 3; i++)
        rig_add(rig, 0, &r[i], VIRTIO_BLK_T_IN, i, false, 512, NULL);
    rig_run(rig);
    sim_store_finish(&sim, 2, BH_OK, 2);
    sim_store_finish(&sim, 1, BH_OK, 1);
    sim_store_wake(&sim);
    assert_int_equal(rig_run(rig), 0);
    sim_store_finish(&sim, 0, BH_OK, 0);
    sim_store_wake(&sim);
    assert_int_equal(rig_run(rig), 3);
    assert_int_equal(r[2].data[0], 2);
    rig_free(rig);
}

static void store_errors_become_statuses(void **state)
{
    static const uint8_t bytes[512];
    struct sim_store sim;
    struct rig_request r[3];

    sim_store_init(&sim);
    struct rig *rig = rig_new(&sim.store, NULL, false, 0);
    for (unsigned i = 0; i < 3; i++)
        rig_add(rig, 0, &r[i], VIRTIO_BLK_T_OUT, i, true, 512, bytes);
    rig_run(rig);
    sim_store_finish(&sim, 0, BH_ERR_NOSPC, 0);
    sim_store_finish(&sim, 0, BH_ERR_UNSUPPORTED, 0);
    sim_store_finish(&sim, 0, BH_ERR_IO, 0);
    sim_store_wake(&sim);
    assert_int_equal(rig_run(rig), 3);
    assert_int_equal(*r[0].status, VIRTIO_BLK_S_IOERR);
    assert_int_equal(r[0].used_len, 1);
    assert_int_equal(*r[1].status, VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(*r[2].status, VIRTIO_BLK_S_IOERR);
    assert_int_equal(rig->blk.counters.no_space, 1);
    rig_free(rig);
}

static struct rig *rig_with_one_in_flight(struct sim_store *sim, struct rig_request *r)
{
    sim_store_init(sim);
    struct rig *rig = rig_new(&sim->store, NULL, false, 0);
    rig_add(rig, 0, r, VIRTIO_BLK_T_IN, 0, false, 512, NULL);
    rig_run(rig);
    return rig;
}

static void stop_waits_and_reset_cancels(void **state)
{
    struct sim_store sim;
    struct rig_request r;

    struct rig *rig = rig_with_one_in_flight(&sim, &r);
    bh_device_queue_stop(&rig->blk.dev, 1);
    assert_int_equal(rig->pipe.done[BH_CONTROL_QUEUE_STOP], 1);
    bh_device_queue_stop(&rig->blk.dev, 0);
    assert_int_equal(rig->pipe.done[BH_CONTROL_QUEUE_STOP], 1);
    assert_int_equal(sim.cancel_count, 0);
    assert_int_equal(sim.release_count, 0);
    sim_store_finish(&sim, 0, BH_OK, 1);
    sim_store_wake(&sim);
    assert_int_equal(rig->pipe.done[BH_CONTROL_QUEUE_STOP], 2);
    assert_int_equal(sim.release_count, 1); /* the last queue is quiet: somebody else may have the disk */
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*r.status, VIRTIO_BLK_S_OK);
    rig_free(rig);

    rig = rig_with_one_in_flight(&sim, &r);
    bh_device_reset(&rig->blk.dev);
    assert_int_equal(rig->pipe.done[BH_CONTROL_RESET], 0);
    assert_true(sim.cancel_count >= 1);
    sim_store_wake(&sim);
    assert_int_equal(rig->pipe.done[BH_CONTROL_RESET], 1);
    assert_int_equal(sim.release_count, 1);
    rig_free(rig);
}

static void reset_overtakes_a_stop_that_waits(void **state)
{
    struct sim_store sim;
    struct rig_request r;

    struct rig *rig = rig_with_one_in_flight(&sim, &r);
    bh_device_queue_stop(&rig->blk.dev, 0);
    bh_device_reset(&rig->blk.dev);
    assert_int_equal(rig->pipe.cancelled[BH_CONTROL_QUEUE_STOP], 1);
    assert_true(sim.cancel_count >= 1);
    sim_store_wake(&sim);
    assert_int_equal(rig->pipe.done[BH_CONTROL_RESET], 1);
    rig_free(rig);
}

static void ram_disk_resets_with_requests_in_its_list(void **state)
{
    struct bh_store_ram ram;
    struct rig *rig = ram_rig(&ram, NULL, false);
    struct rig_request r[RIG_SIZE / 4];

    for (unsigned i = 0; i < BH_COUNT(r); i++)
        rig_add(rig, 0, &r[i], VIRTIO_BLK_T_IN, i, false, 512, NULL);
    bh_pipe_pump(&rig->pipe, 2); /* popped two, did two */
    bh_device_reset(&rig->blk.dev);
    assert_int_equal(rig->pipe.done[BH_CONTROL_RESET], 1);
    assert_null(ram.queued.head);
    rig_free(rig);
}

static void busy_disk_holds_the_queue_until_it_is_free(void **state)
{
    struct sim_store sim;
    struct rig_request r;

    sim_store_init(&sim);
    sim.acquire_result = BH_ERR_BUSY;
    struct rig *rig = rig_new(&sim.store, NULL, false, 0);
    rig_add(rig, 0, &r, VIRTIO_BLK_T_IN, 0, false, 512, NULL);
    rig_run(rig);
    assert_int_equal(sim.submit_count, 0);
    sim.acquire_result = BH_OK;
    sim_store_wake(&sim);
    rig_run(rig);
    assert_int_equal(sim.acquire_count, 1);
    assert_int_equal(sim.held_count, 1);
    sim_store_finish(&sim, 0, BH_OK, 0);
    sim_store_wake(&sim);
    assert_int_equal(rig_run(rig), 1);
    rig_free(rig);
    assert_int_equal(sim.release_count, 1);
}

/* Returns the flags of a write with this negotiation. */
static uint8_t flags_of_write(const struct bh_blk_settings *settings, uint64_t without, int writeback)
{
    static const uint8_t bytes[512];
    struct sim_store sim;
    struct rig_request r;

    sim_store_init(&sim);
    struct rig *rig = rig_new(&sim.store, settings, false, without);
    if (writeback >= 0) {
        uint8_t value = (uint8_t)writeback;
        assert_int_equal(bh_device_config_write(&rig->blk.dev, 32, &value, 1), BH_OK);
    }
    rig_add(rig, 0, &r, VIRTIO_BLK_T_OUT, 0, true, 512, bytes);
    rig_run(rig);
    uint8_t flags = sim.held[0]->flags;
    sim_store_finish(&sim, 0, BH_OK, 0);
    sim_store_wake(&sim);
    rig_free(rig);
    return flags;
}

static void write_cache_follows_negotiation(void **state)
{
    const uint64_t flush = 1ull << VIRTIO_BLK_F_FLUSH, wce = 1ull << VIRTIO_BLK_F_CONFIG_WCE;
    const struct bh_blk_settings through = {.writethrough = true};

    assert_int_equal(flags_of_write(NULL, 0, -1), 0);
    assert_int_equal(flags_of_write(NULL, wce, -1), 0);
    assert_int_equal(flags_of_write(NULL, flush | wce, -1), BH_STORE_DURABLE);
    assert_int_equal(flags_of_write(NULL, flush, -1), BH_STORE_DURABLE); /* CONFIG_WCE alone starts at 0 */
    assert_int_equal(flags_of_write(NULL, 0, 0), BH_STORE_DURABLE);
    assert_int_equal(flags_of_write(&through, 0, -1), BH_STORE_DURABLE);
    assert_int_equal(flags_of_write(&through, wce, -1), BH_STORE_DURABLE);
    assert_int_equal(flags_of_write(&through, 0, 1), 0);
}

static void store_that_promises_nothing_offers_no_flush(void **state)
{
    const struct bh_blk_settings unsafe = {.unsafe = true};
    struct sim_store sim;

    sim_store_init(&sim);
    struct rig *rig = rig_new(&sim.store, &unsafe, false, 0);
    assert_false(bh_device_has(&rig->blk.dev, VIRTIO_BLK_F_FLUSH));
    assert_false(bh_device_has(&rig->blk.dev, VIRTIO_BLK_F_CONFIG_WCE));
    rig_free(rig);
}

/* [virtio-1.4 5.2.5.2] */
static void no_cache_to_be_switched_without_a_flush(void **state)
{
    struct sim_store sim;

    sim_store_init(&sim);
    struct rig *rig = rig_new(&sim.store, NULL, false, 0);
    struct bh_features offered = bh_device_offered(&rig->blk.dev), flush = {{1u << VIRTIO_BLK_F_FLUSH}};
    assert_true(bh_features_has(&offered, VIRTIO_BLK_F_CONFIG_WCE));
    bh_device_withhold(&rig->blk.dev, &flush);
    offered = bh_device_offered(&rig->blk.dev);
    assert_false(bh_features_has(&offered, VIRTIO_BLK_F_FLUSH));
    assert_false(bh_features_has(&offered, VIRTIO_BLK_F_CONFIG_WCE));
    rig_free(rig);
}

static void config_is_what_the_settings_say(void **state)
{
    struct bh_store_ram ram;
    struct bh_blk_settings settings = {.block_size = 4096, .physical_block_exp = 1, .opt_io_size = 8};
    struct rig *rig = ram_rig(&ram, &settings, false);
    struct virtio_blk_config config;
    uint8_t writeback = 1;

    assert_int_equal(bh_device_config_size(&rig->blk.dev), VIRTIO_BLK_CONFIG_SIZE);
    memset(&config, 0, sizeof(config));
    bh_device_config_read(&rig->blk.dev, 0, &config, sizeof(config));
    assert_int_equal(bh_le64_get(config.capacity), RIG_CAPACITY / 512);
    assert_int_equal(bh_le32_get(config.seg_max), RIG_SEG_MAX);
    assert_int_equal(bh_le32_get(config.blk_size), 4096);
    assert_int_equal(config.topology_physical_block_exp, 1);
    assert_int_equal(bh_le32_get(config.topology_opt_io_size), 8);
    assert_int_equal(bh_le16_get(config.num_queues), RIG_QUEUES);
    const struct bh_features offered = bh_device_offered(&rig->blk.dev);
    assert_false(bh_features_has(&offered, VIRTIO_BLK_F_ZONED));
    /* memory has no write cache to be switched */
    assert_false(bh_device_has(&rig->blk.dev, VIRTIO_BLK_F_CONFIG_WCE));
    assert_int_not_equal(bh_device_config_write(&rig->blk.dev, 32, &writeback, 1), BH_OK);
    assert_int_not_equal(bh_device_config_write(&rig->blk.dev, 0, &writeback, 1), BH_OK);
    ram.store.info.capacity /= 2;
    uint32_t generation = bh_device_generation(&rig->blk.dev);
    bh_blk_resized(&rig->blk);
    bh_device_config_read(&rig->blk.dev, 0, &config, sizeof(config));
    assert_int_equal(bh_le64_get(config.capacity), RIG_CAPACITY / 1024);
    assert_int_not_equal(bh_device_generation(&rig->blk.dev), generation);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes_on_both_layouts),
        cmocka_unit_test(framing_may_be_cut_anywhere),
        cmocka_unit_test(serial_is_cut_to_the_drivers_room),
        cmocka_unit_test(ranges_are_zeroed_and_checked),
        cmocka_unit_test(bad_requests_are_answered),
        cmocka_unit_test(short_header_is_answered_and_no_status_breaks_the_queue),
        cmocka_unit_test(read_only_disk_is_not_written),
        cmocka_unit_test(batch_is_submitted_once_and_completes_in_any_order),
        cmocka_unit_test(in_order_holds_back_what_came_too_early),
        cmocka_unit_test(store_errors_become_statuses),
        cmocka_unit_test(stop_waits_and_reset_cancels),
        cmocka_unit_test(reset_overtakes_a_stop_that_waits),
        cmocka_unit_test(ram_disk_resets_with_requests_in_its_list),
        cmocka_unit_test(busy_disk_holds_the_queue_until_it_is_free),
        cmocka_unit_test(write_cache_follows_negotiation),
        cmocka_unit_test(store_that_promises_nothing_offers_no_flush),
        cmocka_unit_test(no_cache_to_be_switched_without_a_flush),
        cmocka_unit_test(config_is_what_the_settings_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
