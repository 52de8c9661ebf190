/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a store and a host allow: ranges and their limits, secure erase, the wear of the host's disk, how fast the guest
 * may go, and another size while it runs.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/blk/host_disk.h"
#include "devices/blk/rate_limit.h"
#include "tests/unit/blk_rig.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static uint8_t disk[RIG_CAPACITY];

static struct rig *ram_rig(struct bh_store_ram *ram, const struct bh_blk_settings *settings)
{
    memset(disk, 0x77, sizeof(disk));
    bh_store_ram_init(ram, disk, sizeof(disk), false);
    return rig_new(&ram->store, settings, false, 0);
}

/* --- Ranges ----------------------------------------------------------------------------------------------------- */

static uint8_t range_status(struct rig *rig, uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags)
{
    struct virtio_blk_discard_write_zeroes range = {bh_le64_of(sector), bh_le32_of(sectors),
                                                    bh_le32_of(flags)};
    struct rig_request r;

    rig_add(rig, 0, &r, type, 0, true, sizeof(range), &range);
    assert_int_equal(rig_run(rig), 1);
    return *r.status;
}

static void a_secure_erase_leaves_nothing(void **state)
{
    static const uint8_t zeros[4 * 512];
    const struct bh_blk_settings kept = {.no_discard = true};
    struct bh_store_ram ram;
    struct rig *rig = ram_rig(&ram, NULL);

    assert_true(bh_device_has(&rig->blk.dev, VIRTIO_BLK_F_SECURE_ERASE));
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_SECURE_ERASE, 8, 4, 0), VIRTIO_BLK_S_OK);
    assert_memory_equal(disk + 8 * 512, zeros, sizeof(zeros));
    assert_int_equal(disk[8 * 512 - 1], 0x77);
    assert_int_equal(disk[12 * 512], 0x77);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_SECURE_ERASE, 8, 4, 1), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_SECURE_ERASE, RIG_CAPACITY / 512 - 1, 2, 0),
                     VIRTIO_BLK_S_IOERR);
    assert_int_equal(rig->blk.counters.secure_erases, 1);
    rig_free(rig);

    rig = ram_rig(&ram, &kept);
    assert_false(bh_device_has(&rig->blk.dev, VIRTIO_BLK_F_SECURE_ERASE));
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_SECURE_ERASE, 8, 4, 0), VIRTIO_BLK_S_UNSUPP);
    assert_int_equal(disk[8 * 512], 0x77);
    rig_free(rig);
}

/* As Linux lays it: in the part that the device may write. Of a discard that is none. */
static void a_secure_erase_is_understood_as_linux_lays_it(void **state)
{
    static const uint8_t zeros[4 * 512];
    const struct virtio_blk_discard_write_zeroes range = {bh_le64_of(8), bh_le32_of(4), bh_le32_of(0)};
    struct bh_store_ram ram;
    struct rig_request r;
    struct rig *rig = ram_rig(&ram, NULL);

    rig_add(rig, 0, &r, VIRTIO_BLK_T_SECURE_ERASE, 0, false, sizeof(range), NULL);
    memcpy(r.data, &range, sizeof(range)); /* it is not looked at before the pump runs */
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*r.status, VIRTIO_BLK_S_OK);
    assert_memory_equal(disk + 8 * 512, zeros, sizeof(zeros));
    assert_memory_equal(r.data, &range, sizeof(range));
    rig_add_cut(rig, 0, &r, VIRTIO_BLK_T_SECURE_ERASE, 0, false, sizeof(range), NULL, 5);
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*r.status, VIRTIO_BLK_S_OK); /* of no sectors */
    rig_add(rig, 0, &r, VIRTIO_BLK_T_SECURE_ERASE, 0, false, sizeof(range) + 1, NULL);
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*r.status, VIRTIO_BLK_S_IOERR);
    rig_add(rig, 0, &r, VIRTIO_BLK_T_DISCARD, 0, false, sizeof(range), NULL);
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*r.status, VIRTIO_BLK_S_IOERR);
    rig_free(rig);
}

static void the_stores_limits_are_the_drivers(void **state)
{
    struct virtio_blk_config config;
    struct sim_store sim;

    sim_store_init(&sim);
    sim.store.info.can_secure_erase = true;
    sim.store.info.max_discard = 64 * 512;
    sim.store.info.max_write_zeroes = 1ull << 40; /* more than we take */
    sim.store.info.max_secure_erase = 16 * 512;
    sim.store.info.discard_granularity = 4096;
    struct rig *rig = rig_new(&sim.store, NULL, false, 0);
    bh_device_config_read(&rig->blk.dev, 0, &config, sizeof(config));
    assert_int_equal(bh_le32_get(config.max_discard_sectors), 64);
    assert_int_equal(bh_le32_get(config.discard_sector_alignment), 8);
    assert_int_equal(bh_le32_get(config.max_write_zeroes_sectors), 0x400000);
    assert_int_equal(bh_le32_get(config.max_secure_erase_sectors), 16);
    assert_int_equal(bh_le32_get(config.max_secure_erase_seg), 1);
    assert_int_equal(bh_le32_get(config.secure_erase_sector_alignment), 1);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_DISCARD, 0, 65, 0), VIRTIO_BLK_S_IOERR);
    assert_int_equal(range_status(rig, VIRTIO_BLK_T_SECURE_ERASE, 0, 17, 0), VIRTIO_BLK_S_IOERR);
    assert_int_equal(sim.submit_count, 0);
    rig_free(rig);
}

/* --- Wear ------------------------------------------------------------------------------------------------------- */

static void the_wear_is_asked_of_the_store(void **state)
{
    const struct virtio_blk_lifetime wear = {bh_le16_of(2), bh_le16_of(5), bh_le16_of(11)};
    struct rig_request r, small;
    struct sim_store sim;

    sim_store_init(&sim);
    struct rig *rig = rig_new(&sim.store, NULL, false, 0);
    assert_false(bh_device_has(&rig->blk.dev, VIRTIO_BLK_F_LIFETIME));
    rig_add(rig, 0, &r, VIRTIO_BLK_T_GET_LIFETIME, 0, false, sizeof(wear), NULL);
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*r.status, VIRTIO_BLK_S_UNSUPP);
    rig_free(rig);

    sim_store_init(&sim);
    sim.store.info.has_lifetime = true;
    rig = rig_new(&sim.store, NULL, false, 0);
    rig_add(rig, 0, &small, VIRTIO_BLK_T_GET_LIFETIME, 0, false, sizeof(wear) - 1, NULL);
    rig_add(rig, 0, &r, VIRTIO_BLK_T_GET_LIFETIME, 0, false, sizeof(wear), NULL);
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*small.status, VIRTIO_BLK_S_IOERR);
    assert_int_equal(sim.held[0]->op, BH_STORE_LIFETIME);
    assert_int_equal(sim.held[0]->segs[0].len, sizeof(wear));
    memcpy(sim.held[0]->segs[0].base, &wear, sizeof(wear));
    sim_store_finish(&sim, 0, BH_OK, 0);
    sim_store_wake(&sim);
    assert_int_equal(rig_run(rig), 1);
    assert_int_equal(*r.status, VIRTIO_BLK_S_OK);
    assert_int_equal(r.used_len, sizeof(wear) + 1);
    assert_memory_equal(r.data, &wear, sizeof(wear));
    rig_free(rig);
}

/* A folder as the host's sysfs shows a disk. */
struct fake_sysfs {
    char path[64];
    int fd;
};

static void fake_file(const struct fake_sysfs *fake, const char *name, const char *text)
{
    char path[256];

    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(path, sizeof(path), "%.*s", (int)(slash - name), name);
        assert_true(mkdirat(fake->fd, path, 0700) == 0 || errno == EEXIST);
    }
    int fd = openat(fake->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static struct fake_sysfs fake_open(void)
{
    struct fake_sysfs fake = {.path = "/tmp/bulkhead-sysfs-XXXXXX"};

    assert_non_null(mkdtemp(fake.path));
    fake.fd = open(fake.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(fake.fd >= 0);
    return fake;
}

static void fake_close(struct fake_sysfs *fake, const char *const *names)
{
    for (; *names; names++)
        assert_true(unlinkat(fake->fd, *names, 0) == 0 || unlinkat(fake->fd, *names, AT_REMOVEDIR) == 0);
    close(fake->fd);
    assert_int_equal(rmdir(fake->path), 0);
}

static void an_emmc_and_its_partition_tell_limits_and_wear(void **state)
{
    struct bh_store_info info = {.block_size = 512};
    struct virtio_blk_lifetime life;
    struct bh_host_disk host;
    struct fake_sysfs fake = fake_open();

    fake_file(&fake, "queue/discard_granularity", "524288\n");
    fake_file(&fake, "queue/discard_max_bytes", "1048576\n");
    fake_file(&fake, "queue/write_zeroes_max_bytes", "0\n");
    fake_file(&fake, "device/pre_eol_info", "0x01\n");
    fake_file(&fake, "device/life_time", "0x02 0x0c\n"); /* the second is reserved */
    fake_file(&fake, "part/partition", "1\n");
    int part = openat(fake.fd, "part", O_PATH | O_DIRECTORY | O_CLOEXEC);
    const int folders[] = {fake.fd, part};
    for (unsigned i = 0; i < BH_COUNT(folders); i++) {
        bh_host_disk_open(&host, folders[i], -1, &info);
        assert_true(info.can_discard && info.has_lifetime && !info.can_secure_erase);
        assert_int_equal(info.discard_granularity, 524288);
        assert_int_equal(info.max_discard, 1048576);
        assert_in_range(info.max_write_zeroes, 512, 1u << 30); /* the kernel writes them */
        assert_int_equal(bh_host_disk_lifetime(&host, &life), 0);
        assert_int_equal(bh_le16_get(life.pre_eol_info), 1);
        assert_int_equal(bh_le16_get(life.device_lifetime_est_typ_a), 2);
        assert_int_equal(bh_le16_get(life.device_lifetime_est_typ_b), 0);
        fake_file(&fake, "device/life_time", "0x03 0x04\n"); /* it is read anew */
        assert_int_equal(bh_host_disk_lifetime(&host, &life), 0);
        assert_int_equal(bh_le16_get(life.device_lifetime_est_typ_b), 4);
        fake_file(&fake, "device/life_time", "nothing\n");
        assert_int_equal(bh_host_disk_lifetime(&host, &life), -EINVAL);
        bh_host_disk_close(&host);
        fake_file(&fake, "device/life_time", "0x02 0x0c\n");
    }
    info = (struct bh_store_info){.block_size = 512, .read_only = true};
    bh_host_disk_open(&host, fake.fd, -1, &info);
    assert_false(info.can_discard);
    bh_host_disk_close(&host);
    close(part);
    fake_close(&fake, (const char *const[]){"queue/discard_granularity", "queue/discard_max_bytes",
                                            "queue/write_zeroes_max_bytes", "queue", "device/pre_eol_info",
                                            "device/life_time", "device", "part/partition", "part", NULL});
}

static void a_disk_that_tells_nothing_offers_nothing(void **state)
{
    struct bh_store_info info = {.block_size = 512};
    struct bh_host_disk host;
    struct fake_sysfs fake = fake_open();

    bh_host_disk_open(&host, fake.fd, -1, &info);
    assert_false(info.can_discard || info.has_lifetime || info.can_secure_erase);
    bh_host_disk_open(&host, -1, -1, &info);
    assert_false(info.can_discard || info.has_lifetime || info.can_secure_erase);
    bh_host_disk_close(&host);
    fake_close(&fake, (const char *const[]){NULL});
}

/* --- How fast --------------------------------------------------------------------------------------------------- */

struct gate {
    struct bh_blk_limit limit;
    unsigned left, spent;
    uint64_t bytes;
};

static unsigned gate_room(struct bh_blk_limit *limit, unsigned max)
{
    const struct gate *gate = BH_CONTAINER(limit, struct gate, limit);

    return gate->left < max ? gate->left : max;
}

static void gate_spent(struct bh_blk_limit *limit, unsigned requests, uint64_t bytes)
{
    struct gate *gate = BH_CONTAINER(limit, struct gate, limit);

    assert_true(requests <= gate->left);
    gate->left -= requests;
    gate->spent += requests;
    gate->bytes += bytes;
}

static void a_limited_queue_leaves_requests_in_the_ring(void **state)
{
    struct gate gate = {.limit = {gate_room, gate_spent}, .left = 3};
    struct rig_request r[8];
    struct bh_store_ram ram;
    struct rig *rig = ram_rig(&ram, NULL);

    rig->blk.limit = &gate.limit;
    for (unsigned i = 0; i < 8; i++)
        rig_add(rig, 0, &r[i], VIRTIO_BLK_T_IN, i, false, 1024, NULL);
    assert_int_equal(rig_run(rig), 3);
    assert_int_equal(gate.bytes, 3 * 1024);
    assert_int_equal(rig->blk.queues[0].in_flight, 0);
    assert_true(rig->blk.counters.limited >= 1); /* an idle queue may ask too */
    bh_device_queue_stop(&rig->blk.dev, 0);      /* at once: nothing of what waits is in flight */
    assert_int_equal(rig->pipe.done[BH_CONTROL_QUEUE_STOP], 1);
    rig_free(rig);
}

static void limited_queues_take_turns(void **state)
{
    struct gate gate = {.limit = {gate_room, gate_spent}, .left = 0};
    struct rig_request r[2][4];
    struct bh_store_ram ram;
    struct rig *rig = ram_rig(&ram, NULL);
    unsigned done[2] = {0};

    rig->blk.limit = &gate.limit;
    for (unsigned q = 0; q < 2; q++) {
        for (unsigned i = 0; i < 4; i++)
            rig_add(rig, q, &r[q][i], VIRTIO_BLK_T_IN, i, false, 512, NULL);
    }
    assert_int_equal(rig_run(rig), 0);
    for (unsigned round = 0; round < 4; round++) {
        gate.left = 1;
        bh_blk_go_on(&rig->blk);
        assert_int_equal(rig_run(rig), 1);
    }
    for (unsigned q = 0; q < 2; q++) {
        for (unsigned i = 0; i < 4; i++)
            done[q] += r[q][i].used;
    }
    assert_int_equal(done[0], 2);
    assert_int_equal(done[1], 2);
    rig->blk.limit = NULL;
    bh_blk_go_on(&rig->blk);
    assert_int_equal(rig_run(rig), 4);
    rig_free(rig);
}

static uint64_t clock_ns;

static uint64_t test_clock(void)
{
    return clock_ns;
}

struct rated {
    struct bh_loop *loop;
    struct bh_store_ram ram;
    struct rig *rig;
    struct bh_rate_limit rate;
};

static void rated_open(struct rated *rated, uint64_t iops, uint64_t bandwidth)
{
    assert_int_equal(bh_loop_create(&rated->loop), BH_OK);
    rated->rig = ram_rig(&rated->ram, NULL);
    bh_rate_limit_init(&rated->rate, &rated->rig->blk, rated->loop);
    rated->rate.now = test_clock;
    clock_ns = 1000000000;
    bh_rate_limit_set(&rated->rate, iops, bandwidth);
}

static void rated_close(struct rated *rated)
{
    bh_rate_limit_fini(&rated->rate);
    rig_free(rated->rig);
    bh_loop_destroy(rated->loop);
}

/* What may go in the next `ms`, a millisecond at a time. */
static unsigned pass(struct rated *rated, unsigned ms)
{
    unsigned used = rig_run(rated->rig);

    for (unsigned i = 0; i < ms; i++) {
        clock_ns += 1000000;
        bh_blk_go_on(&rated->rig->blk);
        used += rig_run(rated->rig);
    }
    return used;
}

static void requests_a_second_are_kept(void **state)
{
    struct rig_request r[40];
    struct rated rated;

    rated_open(&rated, 50, 0);
    for (unsigned i = 0; i < 40; i++)
        rig_add(rated.rig, i % 2, &r[i], VIRTIO_BLK_T_IN, i, false, 512, NULL);
    assert_int_equal(pass(&rated, 0), 6); /* a tenth of a second's at once, and one */
    assert_int_equal(pass(&rated, 500), 25);
    assert_int_equal(pass(&rated, 2000), 9);
    rated_close(&rated);
}

static void bytes_a_second_are_kept_and_paid_afterwards(void **state)
{
    struct rig_request r[12];
    struct rated rated;

    rated_open(&rated, 0, 100 * 1024);
    for (unsigned i = 0; i < 12; i++)
        rig_add(rated.rig, 0, &r[i], VIRTIO_BLK_T_OUT, i * 40, true, 20 * 1024, disk);
    assert_int_equal(pass(&rated, 0), 1);  /* 200 ms' worth: over the burst, and let through */
    assert_int_equal(pass(&rated, 99), 0); /* it is paid for */
    assert_int_equal(pass(&rated, 1), 1);
    assert_int_equal(pass(&rated, 1000), 5);
    bh_rate_limit_set(&rated.rate, 0, 0);
    assert_int_equal(rig_run(rated.rig), 5); /* without a limit they all go */
    rated_close(&rated);
}

static void the_limit_waits_by_a_timer(void **state)
{
    struct rig_request r[40];
    struct rated rated;
    unsigned used = 0, rounds = 0;

    rated_open(&rated, 100, 0);
    rated.rate.now = bh_loop_now;
    const uint64_t began = bh_loop_now();
    for (unsigned i = 0; i < 40; i++)
        rig_add(rated.rig, i % 2, &r[i], VIRTIO_BLK_T_IN, i, false, 512, NULL);
    for (used = rig_run(rated.rig); used < 40 && rounds < 1000; rounds++) {
        assert_true(bh_loop_step(rated.loop, 1000) >= 0);
        used += rig_run(rated.rig);
    }
    assert_int_equal(used, 40);
    assert_in_range((bh_loop_now() - began) / 1000000, 280, 5000); /* 29 of them at 10 ms each */
    assert_in_range(rounds, 1, 60);                                /* waited, not asked again and again */
    rated_close(&rated);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_secure_erase_leaves_nothing),
        cmocka_unit_test(a_secure_erase_is_understood_as_linux_lays_it),
        cmocka_unit_test(the_stores_limits_are_the_drivers),
        cmocka_unit_test(the_wear_is_asked_of_the_store),
        cmocka_unit_test(an_emmc_and_its_partition_tell_limits_and_wear),
        cmocka_unit_test(a_disk_that_tells_nothing_offers_nothing),
        cmocka_unit_test(a_limited_queue_leaves_requests_in_the_ring),
        cmocka_unit_test(limited_queues_take_turns),
        cmocka_unit_test(requests_a_second_are_kept),
        cmocka_unit_test(bytes_a_second_are_kept_and_paid_afterwards),
        cmocka_unit_test(the_limit_waits_by_a_timer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
