/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk made from its options, and what it is told while it runs: another size of its file, under the lock that keeps
 * two users apart; and a real block device of the host (a loop device, where we may make one).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/blk/blk_host_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIB      1024u
#define CAPACITY ((uint64_t)256 * KIB)

static char path[] = "/tmp/bulkhead-disk-XXXXXX";

struct ear {
    struct bh_diag_sink sink;
    char last_error[512];
};

static void hear(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    struct ear *ear = BH_CONTAINER(sink, struct ear, sink);

    if (diag->level == BH_DIAG_ERROR)
        snprintf(ear->last_error, sizeof(ear->last_error), "%s", diag->what);
}

static struct ear ear = {.sink = {.emit = hear}};

struct bed {
    struct bh_loop *loop;
    struct bh_mem mem;
    struct bh_hosted *hosted;
};

static void bed_open(struct bed *bed, const char *file, const char *more)
{
    char blk_file[96];
    char *argv[] = {(char *)"blk", blk_file, (char *)more};
    struct bh_blk_options o = {0};
    const struct bh_option_set sets[] = {{bh_blk_hosted.options, &o, NULL}, {0}};
    int next;

    snprintf(blk_file, sizeof(blk_file), "--blk-file=%s", file);
    bh_mem_init(&bed->mem, NULL);
    assert_int_equal(bh_loop_create(&bed->loop), BH_OK);
    assert_int_equal(bh_options_init(bh_blk_hosted.options, &o), BH_OK);
    assert_int_equal(bh_options_parse(sets, more ? 3 : 2, argv, &next, &ear.sink), BH_OK);
    assert_int_equal(bh_blk_hosted.create(bed->loop, &bed->mem, &o, &ear.sink, &bed->hosted), BH_OK);
    bh_options_fini(bh_blk_hosted.options, &o);
}

static void bed_close(struct bed *bed)
{
    bh_blk_hosted.destroy(bed->hosted);
    bh_loop_destroy(bed->loop);
}

static struct blk_host *host_of(struct bed *bed)
{
    return BH_CONTAINER(bed->hosted, struct blk_host, hosted);
}

/* The verb with one argument or two, as the control socket runs it. */
static int tell(struct bed *bed, const char *verb, const char *name, const char *value, const char *flag)
{
    const struct bh_class_verb *row = bh_blk_hosted.verbs;
    void *values;
    int err;

    while (strcmp(row->name, verb) != 0)
        row++;
    values = calloc(1, row->values_size);
    ear.last_error[0] = '\0';
    assert_int_equal(bh_options_init(row->arguments, values), BH_OK);
    if (name)
        assert_int_equal(bh_option_set(row->arguments, values, name, value, &ear.sink, NULL), BH_OK);
    if (flag)
        assert_int_equal(bh_option_set(row->arguments, values, flag, "on", &ear.sink, NULL), BH_OK);
    err = row->run(bed->hosted, values, &ear.sink);
    bh_options_fini(row->arguments, values);
    free(values);
    return err;
}

static uint64_t capacity(struct bed *bed)
{
    struct virtio_blk_config config;

    bh_device_config_read(bed->hosted->dev, 0, &config, sizeof(config));
    return bh_le64_get(config.capacity) * 512;
}

static void make_file(uint64_t size)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static uint64_t file_size(void)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

/* --- Files ------------------------------------------------------------------------------------------------------ */

static void a_file_grows_and_the_driver_sees_it(void **state)
{
    struct bed bed;

    make_file(CAPACITY);
    bed_open(&bed, path, NULL);
    const uint32_t generation = bh_device_generation(bed.hosted->dev);
    assert_int_equal(tell(&bed, "resize", "size", "1M", NULL), BH_OK);
    assert_int_equal(capacity(&bed), 1024 * KIB);
    assert_int_equal(file_size(), 1024 * KIB);
    assert_int_equal(host_of(&bed)->store->info.capacity, 1024 * KIB);
    assert_int_equal(bh_device_generation(bed.hosted->dev), generation + 1);
    assert_int_equal(tell(&bed, "resize", "size", "1M", NULL), BH_OK); /* it is so large already */
    assert_int_equal(bh_device_generation(bed.hosted->dev), generation + 1);
    bed_close(&bed);
}

static void a_file_that_others_have_grown_is_taken_as_it_is(void **state)
{
    struct bed bed;

    make_file(CAPACITY);
    bed_open(&bed, path, "--block-size=4096");
    assert_int_equal(truncate(path, (off_t)(2 * CAPACITY + 1000)), 0);
    assert_int_equal(tell(&bed, "resize", NULL, NULL, NULL), BH_OK);
    assert_int_equal(capacity(&bed), 2 * CAPACITY); /* whole blocks of it */
    assert_int_equal(file_size(), 2 * CAPACITY + 1000);
    bed_close(&bed);
}

static void a_file_is_cut_only_when_that_is_meant(void **state)
{
    struct bed bed;

    make_file(CAPACITY);
    bed_open(&bed, path, NULL);
    assert_int_equal(tell(&bed, "resize", "size", "128K", NULL), BH_ERR_INVAL);
    assert_non_null(strstr(ear.last_error, "the last 131072 bytes would be lost"));
    assert_int_equal(file_size(), CAPACITY);
    host_of(&bed)->blk_queues[0].in_flight = 1;
    assert_int_equal(tell(&bed, "resize", "size", "128K", "shrink"), BH_ERR_BUSY);
    assert_int_equal(file_size(), CAPACITY);
    host_of(&bed)->blk_queues[0].in_flight = 0;
    assert_int_equal(tell(&bed, "resize", "size", "128K", "shrink"), BH_OK);
    assert_int_equal(file_size(), 128 * KIB);
    assert_int_equal(capacity(&bed), 128 * KIB);
    assert_int_equal(tell(&bed, "resize", "size", "1000", "shrink"), BH_ERR_INVAL); /* no whole sectors */
    bed_close(&bed);
}

static void what_cannot_be_resized_says_why(void **state)
{
    struct bed bed;

    make_file(CAPACITY);
    bed_open(&bed, path, "--read-only");
    assert_int_equal(tell(&bed, "resize", "size", "1M", NULL), BH_ERR_ACCESS);
    assert_string_equal(ear.last_error, "the disk is read-only");
    assert_int_equal(file_size(), CAPACITY);
    bed_close(&bed);
}

static void an_image_in_somebody_elses_use_keeps_its_size(void **state)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    struct bed bed;

    make_file(CAPACITY);
    bed_open(&bed, path, NULL);
    const int other =
        open(path, O_RDWR | O_CLOEXEC); /* a description of its own: another process to the kernel */
    assert_int_equal(fcntl(other, F_OFD_SETLK, &lock), 0);
    assert_int_equal(tell(&bed, "resize", "size", "1M", NULL), BH_ERR_BUSY);
    assert_int_equal(file_size(), CAPACITY);
    assert_int_equal(capacity(&bed), CAPACITY);
    close(other);
    assert_int_equal(tell(&bed, "resize", "size", "1M", NULL), BH_OK);
    /* It was taken for that moment only; and one that a ring holds is not let go. */
    const int next = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(next, F_OFD_SETLK, &lock), 0);
    close(next);
    assert_int_equal(bh_image_acquire(&host_of(&bed)->image), BH_OK);
    assert_int_equal(tell(&bed, "resize", "size", "2M", NULL), BH_OK);
    const int last = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(fcntl(last, F_OFD_SETLK, &lock), -1);
    close(last);
    bh_image_release(&host_of(&bed)->image);
    bed_close(&bed);
}

static void a_limit_can_be_set_while_it_runs(void **state)
{
    struct bed bed;

    make_file(CAPACITY);
    bed_open(&bed, path, "--iops=5");
    assert_non_null(host_of(&bed)->blk.limit);
    assert_int_equal(tell(&bed, "limit", NULL, NULL, NULL), BH_OK);
    assert_null(host_of(&bed)->blk.limit);
    assert_int_equal(tell(&bed, "limit", "bandwidth", "1M", NULL), BH_OK);
    assert_int_equal(host_of(&bed)->rate.bandwidth, 1024 * KIB);
    assert_non_null(host_of(&bed)->blk.limit);
    bed_close(&bed);
}

/* --- A block device --------------------------------------------------------------------------------------------- */

/* A loop device over the file: its path and an fd that keeps it; -1: none to be had here. */
static int make_loop(char name[32])
{
    const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    const int number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
    struct loop_config config = {.info = {.lo_flags = LO_FLAGS_AUTOCLEAR}};
    int fd = -1;

    if (control >= 0)
        close(control);
    if (number < 0)
        return -1;
    snprintf(name, 32, "/dev/loop%d", number);
    fd = open(name, O_RDWR | O_CLOEXEC);
    config.fd = (unsigned)open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && ioctl(fd, LOOP_CONFIGURE, &config) != 0) {
        close(fd);
        fd = -1;
    }
    close((int)config.fd);
    return fd;
}

static void on_wake(struct bh_store *store)
{
}

static int run(struct bed *bed, uint8_t op, uint8_t flags, uint64_t offset, struct bh_seg *seg, uint64_t len)
{
    struct bh_store *store = host_of(bed)->store;
    struct bh_store_req req = {.op = op,
                               .flags = flags,
                               .offset = offset,
                               .len = len,
                               .segs = seg,
                               .seg_count = seg ? 1 : 0},
                        *done = NULL;

    store->ops->submit(store, &req);
    for (unsigned i = 0; i < 200 && store->ops->poll(store, &done, 1) == 0; i++)
        bh_loop_step(bed->loop, 100);
    assert_ptr_equal(done, &req);
    return req.result;
}

static uint64_t file_blocks(void)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_blocks;
}

static void block_device_by(const char *aio)
{
    static uint8_t bytes[64 * KIB], zeros[64 * KIB];
    struct bh_seg seg = {bytes, sizeof(bytes)};
    const uint64_t big = 8 * 1024 * KIB;
    char name[32];
    struct bed bed;

    make_file(big);
    const int loop = make_loop(name);
    if (loop < 0) {
        print_message("no loop device can be made here\n");
        skip();
    }
    bed_open(&bed, name, aio);
    struct bh_store *store = host_of(&bed)->store;
    store->wake = on_wake;
    assert_int_equal(capacity(&bed), big);
    assert_true(store->info.can_discard && store->info.can_write_zeroes);
    assert_true(store->info.max_discard > 0);
    assert_false(store->info.can_secure_erase || store->info.has_lifetime);
    memset(bytes, 0x5a, sizeof(bytes));
    for (uint64_t at = 0; at < 1024 * KIB; at += sizeof(bytes))
        assert_int_equal(run(&bed, BH_STORE_WRITE, 0, at, &seg, sizeof(bytes)), BH_OK);
    assert_int_equal(run(&bed, BH_STORE_FLUSH, 0, 0, NULL, 0), BH_OK);
    const uint64_t before = file_blocks();
    assert_int_equal(run(&bed, BH_STORE_DISCARD, 0, 0, NULL, 512 * KIB), BH_OK);
    assert_in_range(file_blocks(), 0, before - 512 * KIB / 512); /* the host has the space again */
    assert_int_equal(run(&bed, BH_STORE_WRITE_ZEROES, BH_STORE_UNMAP, 512 * KIB, NULL, 64 * KIB), BH_OK);
    assert_int_equal(run(&bed, BH_STORE_WRITE_ZEROES, BH_STORE_DURABLE, 576 * KIB, NULL, 64 * KIB), BH_OK);
    for (uint64_t at = 512 * KIB; at < 640 * KIB; at += sizeof(bytes)) {
        assert_int_equal(run(&bed, BH_STORE_READ, 0, at, &seg, sizeof(bytes)), BH_OK);
        assert_memory_equal(bytes, zeros, sizeof(bytes));
    }
    /* Another size is the host's to set, and ours to see. */
    assert_int_equal(tell(&bed, "resize", "size", "16M", NULL), BH_ERR_INVAL);
    assert_int_equal(truncate(path, (off_t)(2 * big)), 0);
    assert_int_equal(ioctl(loop, LOOP_SET_CAPACITY), 0);
    assert_int_equal(tell(&bed, "resize", NULL, NULL, NULL), BH_OK);
    assert_int_equal(capacity(&bed), 2 * big);
    bed_close(&bed);
    close(loop);
}

static void a_block_device_is_discarded_zeroed_and_resized(void **state)
{
    block_device_by("--aio=auto");
    block_device_by("--aio=threads");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_grows_and_the_driver_sees_it),
        cmocka_unit_test(a_file_that_others_have_grown_is_taken_as_it_is),
        cmocka_unit_test(a_file_is_cut_only_when_that_is_meant),
        cmocka_unit_test(what_cannot_be_resized_says_why),
        cmocka_unit_test(an_image_in_somebody_elses_use_keeps_its_size),
        cmocka_unit_test(a_limit_can_be_set_while_it_runs),
        cmocka_unit_test(a_block_device_is_discarded_zeroed_and_resized),
    };
    int fd = mkstemp(path);

    if (fd < 0)
        return 1;
    close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
