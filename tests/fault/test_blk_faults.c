/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk whose host fails: a file system without room, a file that refuses writes. The guest's request is answered
 * with IOERR and counted, the device goes on, and works again when the host does. Over both ways of moving bytes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/blk/store_file.h"
#include "tests/unit/blk_rig.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TMPFS_BYTES (128 * 1024) /* half of the disk */
#define WRITE_BYTES 4096u

static const enum bh_aio ways[] = {BH_AIO_AUTO, BH_AIO_THREADS};
static char folder[] = "/tmp/bulkhead-full-XXXXXX";
static bool mounted;

static void say_nothing(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static struct bh_diag_sink quiet = {.emit = say_nothing};

struct bed {
    struct bh_loop *loop;
    struct bh_image image;
    struct bh_store_file *file;
    struct rig *rig;
};

static void bed_open(struct bed *bed, enum bh_aio aio, const char *path)
{
    assert_int_equal(bh_loop_create(&bed->loop), BH_OK);
    assert_int_equal(bh_image_open(&bed->image, bed->loop, path, BH_IMAGE_WRITEBACK, false, &quiet), BH_OK);
    assert_int_equal(bh_store_file_create(bed->loop, &bed->image, aio, 64, &bed->file), BH_OK);
    bed->rig = rig_new(&bed->file->store, NULL, false, 0);
}

static void bed_close(struct bed *bed)
{
    rig_free(bed->rig);
    bh_store_file_destroy(bed->file);
    bh_image_close(&bed->image);
    bh_loop_destroy(bed->loop);
}

/* The status of one request; 0xee: it was not answered. */
static uint8_t ask(struct bed *bed, uint32_t type, uint64_t sector, uint32_t len)
{
    static const uint8_t data[WRITE_BYTES] = {1};
    struct rig_request r;

    rig_add(bed->rig, 0, &r, type, sector, type == VIRTIO_BLK_T_OUT, len, data);
    for (unsigned i = 0; i < 100 && !r.used; i++) {
        rig_run(bed->rig);
        bh_loop_step(bed->loop, r.used ? 0 : 50);
        rig_run(bed->rig);
    }
    return *r.status;
}

/* --- A full file system ----------------------------------------------------------------------------------------- */

static void write_text(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t put = write(fd, text, strlen(text));
        (void)put;
        close(fd);
    }
}

/* A file system of our own, in a mount namespace that ends with the test. Before any thread starts: the kernel wants it. */
static int mount_small(void **state)
{
    const uid_t user = getuid();
    const gid_t group = getgid();
    char map[32], options[32];

    (void)state;
    if (unshare(CLONE_NEWNS | (user ? CLONE_NEWUSER : 0)) != 0)
        return 0;
    if (user) {
        snprintf(map, sizeof(map), "0 %u 1", (unsigned)user);
        write_text("/proc/self/uid_map", map);
        snprintf(map, sizeof(map), "0 %u 1", (unsigned)group);
        write_text("/proc/self/setgroups", "deny");
        write_text("/proc/self/gid_map", map);
    }
    snprintf(options, sizeof(options), "size=%d", TMPFS_BYTES);
    mounted = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
              mount("small", folder, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
    return 0;
}

/* Take all the room there is. */
static void fill_up(const char *path)
{
    static const char bytes[4096] = {1};
    const int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    assert_int_equal(errno, ENOSPC);
    close(fd);
}

static void a_full_host_is_an_error_until_it_has_room_again(void **state)
{
    char image[64], filler[64];

    (void)state;
    if (!mounted) {
        print_message("no tmpfs can be mounted here\n");
        skip();
    }
    snprintf(image, sizeof(image), "%s/disk", folder);
    snprintf(filler, sizeof(filler), "%s/filler", folder);
    for (unsigned w = 0; w < BH_COUNT(ways); w++) {
        struct bed bed;
        const int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, RIG_CAPACITY), 0);
        close(fd);
        bed_open(&bed, ways[w], image);
        assert_int_equal(ask(&bed, VIRTIO_BLK_T_OUT, 0, WRITE_BYTES), VIRTIO_BLK_S_OK);
        fill_up(filler);
        for (uint64_t i = 1; i < 4; i++)
            assert_int_equal(ask(&bed, VIRTIO_BLK_T_OUT, i * 8, WRITE_BYTES), VIRTIO_BLK_S_IOERR);
        assert_int_equal(bed.rig->blk.counters.no_space, 3);
        assert_int_equal(ask(&bed, VIRTIO_BLK_T_OUT, 0, WRITE_BYTES), VIRTIO_BLK_S_OK); /* has its block */
        assert_int_equal(ask(&bed, VIRTIO_BLK_T_IN, 8, WRITE_BYTES), VIRTIO_BLK_S_OK);
        assert_int_equal(unlink(filler), 0);
        for (uint64_t i = 1; i < 4; i++)
            assert_int_equal(ask(&bed, VIRTIO_BLK_T_OUT, i * 8, WRITE_BYTES), VIRTIO_BLK_S_OK);
        assert_int_equal(ask(&bed, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
        assert_int_equal(bed.rig->blk.counters.io_errors, 3);
        bed_close(&bed);
        assert_int_equal(unlink(image), 0);
    }
}

/* --- A file that fails ------------------------------------------------------------------------------------------ */

static void a_host_that_refuses_writes_is_an_error_of_the_write(void **state)
{
    (void)state;
    for (unsigned w = 0; w < BH_COUNT(ways); w++) {
        const int fd = memfd_create("refuses", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        char path[64];
        struct bed bed;
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, RIG_CAPACITY), 0);
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        bed_open(&bed, ways[w], path);
        assert_int_equal(ask(&bed, VIRTIO_BLK_T_OUT, 0, WRITE_BYTES), VIRTIO_BLK_S_OK);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
        assert_int_equal(ask(&bed, VIRTIO_BLK_T_OUT, 0, WRITE_BYTES), VIRTIO_BLK_S_IOERR);
        assert_int_equal(ask(&bed, VIRTIO_BLK_T_IN, 0, WRITE_BYTES), VIRTIO_BLK_S_OK);
        assert_int_equal(ask(&bed, VIRTIO_BLK_T_FLUSH, 0, 0), VIRTIO_BLK_S_OK);
        assert_int_equal(bed.rig->blk.counters.io_errors, 1);
        assert_int_equal(bed.rig->blk.counters.no_space, 0);
        bed_close(&bed);
        close(fd);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_that_refuses_writes_is_an_error_of_the_write),
        cmocka_unit_test(a_full_host_is_an_error_until_it_has_room_again),
    };
    if (!mkdtemp(folder))
        return 1;
    int failed = cmocka_run_group_tests(tests, mount_small, NULL);
    if (mounted)
        umount2(folder, MNT_DETACH); /* the end of an io_uring lets its files go later */
    rmdir(folder);
    return failed;
}
