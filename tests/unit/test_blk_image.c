/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Images: the steps of a request with results in the test's hand, both ways of moving bytes on real files, what goes
 * wrong there (full disks, cut images), the lock between two processes, and a device made from options.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "devices/blk/blk_host.h"
#include "devices/blk/store_file.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/io_uring.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define CAPACITY (64u * 1024)

static char path[] = "/tmp/bulkhead-image-XXXXXX";

/* What was said last, and how often errors were. */
struct ear {
    struct bh_diag_sink sink;
    char last_error[512];
};

static void hear(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    struct ear *ear = (struct ear *)sink;

    if (diag->level == BH_DIAG_ERROR)
        snprintf(ear->last_error, sizeof(ear->last_error), "%s", diag->what);
}

static struct ear ear = {.sink = {.emit = hear}};

static void make_file(off_t size)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
    ear.last_error[0] = '\0';
}

/* --- Steps ------------------------------------------------------------------------------------------------------ */

static void short_transfers_go_on_where_they_ended(void **state)
{
    static char bytes[3072];
    struct bh_image image = {.direct_fd = -1};
    struct bh_seg whole[3] = {{bytes, 512}, {bytes + 512, 1536}, {bytes + 2048, 1024}}, segs[3];
    static const int returns[] = {100, 412, 700, -EINTR, 836, 1023, 1};
    struct bh_store_req req = {
        .op = BH_STORE_READ, .segs = segs, .seg_count = 3, .offset = 4096, .len = 3072};
    struct bh_image_step step;
    uint64_t done = 0;

    memcpy(segs, whole, sizeof(segs));
    bh_image_start(&req);
    for (unsigned i = 0; i < BH_COUNT(returns); i++) {
        assert_true(bh_image_next(&image, &req, &step));
        assert_int_equal(step.call, BH_CALL_READV);
        assert_int_equal(step.offset, 4096 + done);
        assert_ptr_equal(step.segs[0].base, bytes + done);
        assert_int_equal(bh_image_result(&image, &req, returns[i]), i + 1 == BH_COUNT(returns));
        done += returns[i] > 0 ? (uint64_t)returns[i] : 0;
    }
    assert_int_equal(req.result, BH_OK);
    assert_memory_equal(segs, whole, sizeof(segs));
}

static void failures_in_mid_transfer_restore_the_segments(void **state)
{
    static char bytes[1024];
    static const struct {
        int result, err;
    } cases[] = {{-EIO, BH_ERR_IO},       {-ENOSPC, BH_ERR_NOSPC}, {-EDQUOT, BH_ERR_NOSPC},
                 {-EFBIG, BH_ERR_NOSPC},  {0, BH_ERR_IO},          {-ECANCELED, BH_ERR_CANCELLED},
                 {-EOPNOTSUPP, BH_ERR_IO}};
    struct bh_image image = {.direct_fd = -1};
    struct bh_image_step step;

    for (unsigned i = 0; i < BH_COUNT(cases); i++) {
        struct bh_seg seg = {bytes, 1024};
        struct bh_store_req req = {.op = BH_STORE_WRITE, .segs = &seg, .seg_count = 1, .len = 1024};
        bh_image_start(&req);
        assert_true(bh_image_next(&image, &req, &step));
        assert_false(bh_image_result(&image, &req, 1000));
        assert_true(bh_image_next(&image, &req, &step));
        assert_int_equal(step.segs[0].len, 24);
        assert_true(bh_image_result(&image, &req, cases[i].result));
        assert_int_equal(req.result, cases[i].err);
        assert_ptr_equal(seg.base, bytes);
        assert_int_equal(seg.len, 1024);
    }
}

static void zeroing_falls_back_to_a_hole_that_is_filled(void **state)
{
    struct bh_image image = {.direct_fd = -1};
    struct bh_store_req req = {
        .op = BH_STORE_WRITE_ZEROES, .flags = BH_STORE_DURABLE, .offset = 512, .len = 1024};
    struct bh_image_step step;
    static const struct {
        enum bh_image_call call;
        int flags, result;
    } road[] = {
        {BH_CALL_FALLOCATE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, -EOPNOTSUPP},
        {BH_CALL_FALLOCATE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0},
        {BH_CALL_FALLOCATE, FALLOC_FL_KEEP_SIZE, 0},
        {BH_CALL_FDATASYNC, 0, 0},
    };

    bh_image_start(&req);
    for (unsigned i = 0; i < BH_COUNT(road); i++) {
        assert_true(bh_image_next(&image, &req, &step));
        assert_int_equal(step.call, road[i].call);
        assert_int_equal(step.flags, road[i].flags);
        assert_int_equal(bh_image_result(&image, &req, road[i].result), i + 1 == BH_COUNT(road));
    }
    assert_int_equal(req.result, BH_OK);
    bh_image_start(&req); /* learnt */
    assert_true(bh_image_next(&image, &req, &step));
    assert_int_equal(step.flags, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
}

static void durable_write_and_unsafe_flush(void **state)
{
    char byte[512];
    struct bh_image image = {.direct_fd = -1, .cache = BH_IMAGE_WRITETHROUGH};
    struct bh_seg seg = {byte, 512};
    struct bh_store_req write = {
        .op = BH_STORE_WRITE, .flags = BH_STORE_DURABLE, .segs = &seg, .seg_count = 1, .len = 512};
    struct bh_store_req flush = {.op = BH_STORE_FLUSH};
    struct bh_image_step step;

    bh_image_start(&write);
    assert_true(bh_image_next(&image, &write, &step));
    assert_int_equal(step.flags, RWF_DSYNC);
    bh_image_start(&flush);
    assert_true(bh_image_next(&image, &flush, &step));
    assert_int_equal(step.call, BH_CALL_FDATASYNC);
    image.cache = BH_IMAGE_UNSAFE;
    bh_image_start(&flush);
    assert_false(bh_image_next(&image, &flush, &step));
    assert_int_equal(flush.result, BH_OK);
}

static void unaligned_parts_go_through_the_page_cache(void **state)
{
    static _Alignas(4096) char bytes[8192];
    struct bh_image image = {.direct_fd = 3, .direct_align = 512};
    struct bh_seg seg = {bytes, 4096};
    struct bh_store_req req = {.op = BH_STORE_READ, .segs = &seg, .seg_count = 1, .len = 4096};
    struct bh_image_step step;

    bh_image_start(&req);
    assert_true(bh_image_next(&image, &req, &step) && step.direct);
    assert_false(bh_image_result(&image, &req, 100));
    assert_true(bh_image_next(&image, &req, &step) && !step.direct);
    seg.base = bytes + 1;
    bh_image_start(&req);
    assert_true(bh_image_next(&image, &req, &step) && !step.direct);
}

/* --- Real files ------------------------------------------------------------------------------------------------- */

struct bed {
    struct bh_loop *loop;
    struct bh_image image;
    struct bh_store_file *file;
    unsigned woken;
};

static void on_wake(struct bh_store *store)
{
    struct bed *bed = store->user;

    bed->woken++;
}

static void bed_open(struct bed *bed, enum bh_aio aio, enum bh_image_cache cache, bool read_only)
{
    memset(bed, 0, sizeof(*bed));
    assert_int_equal(bh_loop_create(&bed->loop), BH_OK);
    assert_int_equal(bh_image_open(&bed->image, bed->loop, path, cache, read_only, &ear.sink), BH_OK);
    assert_int_equal(bh_store_file_create(bed->loop, &bed->image, aio, 64, &bed->file), BH_OK);
    bed->file->store.wake = on_wake;
    bed->file->store.user = bed;
}

static void bed_close(struct bed *bed)
{
    bh_store_file_destroy(bed->file);
    bh_image_close(&bed->image);
    bh_loop_destroy(bed->loop);
}

static int run(struct bed *bed, struct bh_store_req *req)
{
    struct bh_store *store = &bed->file->store;
    struct bh_store_req *done = NULL;

    req->next = NULL;
    store->ops->submit(store, req);
    for (unsigned i = 0; i < 200 && store->ops->poll(store, &done, 1) == 0; i++)
        bh_loop_step(bed->loop, 100);
    assert_ptr_equal(done, req);
    return req->result;
}

static int transfer(struct bed *bed, uint8_t op, uint64_t offset, void *bytes, size_t len)
{
    struct bh_seg segs[2] = {{bytes, len / 2}, {(char *)bytes + len / 2, len - len / 2}};
    struct bh_store_req req = {.op = op, .segs = segs, .seg_count = 2, .offset = offset, .len = len};

    return run(bed, &req);
}

static int plain(struct bed *bed, uint8_t op, uint8_t flags, uint64_t offset, uint64_t len)
{
    struct bh_store_req req = {.op = op, .flags = flags, .offset = offset, .len = len};

    return run(bed, &req);
}

static void moves_bytes(enum bh_aio aio, enum bh_image_cache cache)
{
    static _Alignas(4096) uint8_t out[8192], in[8192];
    static const uint8_t zeros[4096];
    struct bed bed;

    make_file(CAPACITY);
    for (unsigned i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 13 + aio);
    bed_open(&bed, aio, cache, false);
    assert_int_equal(bed.file->store.info.capacity, CAPACITY);
    assert_int_equal(transfer(&bed, BH_STORE_WRITE, 4096, out, sizeof(out)), BH_OK);
    assert_int_equal(plain(&bed, BH_STORE_FLUSH, 0, 0, 0), BH_OK);
    assert_int_equal(transfer(&bed, BH_STORE_READ, 4096, in, sizeof(in)), BH_OK);
    assert_memory_equal(in, out, sizeof(in));
    assert_int_equal(plain(&bed, BH_STORE_WRITE_ZEROES, BH_STORE_DURABLE, 4096, 4096), BH_OK);
    assert_int_equal(transfer(&bed, BH_STORE_READ, 4096, in, sizeof(in)), BH_OK);
    assert_memory_equal(in, zeros, 4096);
    assert_memory_equal(in + 4096, out + 4096, 4096);
    assert_int_equal(plain(&bed, BH_STORE_WRITE_ZEROES, BH_STORE_UNMAP, 8192, 4096), BH_OK);
    assert_int_equal(transfer(&bed, BH_STORE_READ, 8192, in, 4096), BH_OK);
    assert_memory_equal(in, zeros, 4096);
    assert_int_equal(plain(&bed, BH_STORE_DISCARD, 0, 0, CAPACITY), BH_OK);
    bed_close(&bed);

    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    assert_int_equal(ftell(file), CAPACITY); /* no step has changed the size */
    fclose(file);
}

static void both_ways_move_bytes(void **state)
{
    moves_bytes(BH_AIO_AUTO, BH_IMAGE_WRITEBACK);
    moves_bytes(BH_AIO_THREADS, BH_IMAGE_WRITEBACK);
    moves_bytes(BH_AIO_AUTO, BH_IMAGE_WRITETHROUGH);
}

static void direct_io_moves_bytes_where_the_file_system_has_it(void **state)
{
    struct bh_image image;

    make_file(CAPACITY);
    int err = bh_image_open(&image, NULL, path, BH_IMAGE_NONE, false, &ear.sink);
    if (err == BH_ERR_UNSUPPORTED)
        skip();
    assert_int_equal(err, BH_OK);
    assert_true(image.direct_align == 512 || image.direct_align == 4096);
    bh_image_close(&image);
    moves_bytes(BH_AIO_AUTO, BH_IMAGE_NONE);
    moves_bytes(BH_AIO_THREADS, BH_IMAGE_DIRECTSYNC);
}

static void completions_wake_the_loop(void **state)
{
    static const enum bh_aio ways[] = {BH_AIO_AUTO, BH_AIO_THREADS};

    make_file(CAPACITY);
    for (unsigned w = 0; w < BH_COUNT(ways); w++) {
        struct bed bed;
        struct bh_store_req *done[4], reqs[4];
        uint8_t bytes[4][512];
        struct bh_seg segs[4];
        unsigned count = 0;
        bed_open(&bed, ways[w], BH_IMAGE_WRITEBACK, true);
        for (unsigned i = 0; i < 4; i++) {
            segs[i] = (struct bh_seg){bytes[i], 512};
            reqs[i] = (struct bh_store_req){
                .op = BH_STORE_READ, .segs = &segs[i], .seg_count = 1, .offset = i * 512, .len = 512};
            reqs[i].next = i < 3 ? &reqs[i + 1] : NULL;
        }
        bed.file->store.ops->submit(&bed.file->store, reqs);
        for (unsigned i = 0; i < 100 && count < 4; i++) {
            bed.woken = 0;
            bh_loop_step(bed.loop, 1000);
            if (bed.woken)
                count += bed.file->store.ops->poll(&bed.file->store, done, 4 - count);
        }
        assert_int_equal(count, 4);
        bed_close(&bed);
    }
}

static void cancelled_requests_come_back_once(void **state)
{
    static const enum bh_aio ways[] = {BH_AIO_AUTO, BH_AIO_THREADS};
    static uint8_t bytes[64][512];

    make_file(CAPACITY);
    for (unsigned w = 0; w < BH_COUNT(ways); w++) {
        struct bed bed;
        struct bh_store_req reqs[64], *done[64];
        struct bh_seg segs[64];
        unsigned count = 0;
        bed_open(&bed, ways[w], BH_IMAGE_WRITEBACK, false);
        for (unsigned i = 0; i < 64; i++) {
            segs[i] = (struct bh_seg){bytes[i], 512};
            reqs[i] = (struct bh_store_req){
                .op = BH_STORE_WRITE, .segs = &segs[i], .seg_count = 1, .offset = i * 512, .len = 512};
            reqs[i].next = i < 63 ? &reqs[i + 1] : NULL;
        }
        bed.file->store.ops->submit(&bed.file->store, reqs);
        bed.file->store.ops->cancel(&bed.file->store);
        for (unsigned i = 0; i < 100 && count < 64; i++) {
            bh_loop_step(bed.loop, 20);
            count += bed.file->store.ops->poll(&bed.file->store, done + count, 64 - count);
        }
        assert_int_equal(count, 64);
        for (unsigned i = 0; i < 64; i++)
            assert_true(done[i]->result == BH_OK || done[i]->result == BH_ERR_CANCELLED);
        assert_int_equal(bed.file->store.ops->poll(&bed.file->store, done, 64), 0);
        bed_close(&bed);
    }
}

static void cut_image_and_full_disk_are_errors_of_the_request(void **state)
{
    static const enum bh_aio ways[] = {BH_AIO_AUTO, BH_AIO_THREADS};
    static uint8_t bytes[8192];
    struct rlimit limit, before;

    signal(SIGXFSZ, SIG_IGN);
    for (unsigned w = 0; w < BH_COUNT(ways); w++) {
        struct bed bed;
        make_file(CAPACITY);
        bed_open(&bed, ways[w], BH_IMAGE_WRITEBACK, false);
        assert_int_equal(truncate(path, 20480), 0);
        assert_int_equal(transfer(&bed, BH_STORE_READ, 16384, bytes, 8192),
                         BH_ERR_IO); /* half of it is there */
        assert_int_equal(transfer(&bed, BH_STORE_READ, 32768, bytes, 512), BH_ERR_IO);
        assert_int_equal(transfer(&bed, BH_STORE_READ, 0, bytes, 8192), BH_OK);
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        limit = (struct rlimit){24576, before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        int result = transfer(&bed, BH_STORE_WRITE, 20480, bytes, 8192);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(result, BH_ERR_NOSPC);
        assert_int_equal(transfer(&bed, BH_STORE_WRITE, 20480, bytes, 8192), BH_OK);
        bed_close(&bed);
    }
}

static void what_cannot_be_a_disk_is_refused_in_words(void **state)
{
    struct bh_image image;

    make_file(100);
    assert_int_equal(bh_image_open(&image, NULL, path, BH_IMAGE_WRITEBACK, false, &ear.sink), BH_ERR_INVAL);
    assert_string_equal(ear.last_error, "is too small to be a disk");
    assert_int_equal(bh_image_open(&image, NULL, "/tmp/bulkhead/none", BH_IMAGE_WRITEBACK, false, &ear.sink),
                     BH_ERR_NOENT);
    assert_non_null(strstr(ear.last_error, "No such file"));
    assert_int_equal(bh_image_open(&image, NULL, "/dev/null", BH_IMAGE_WRITEBACK, false, &ear.sink),
                     BH_ERR_INVAL);
    assert_string_equal(ear.last_error, "is neither a file nor a block device");
}

/* --- The lock --------------------------------------------------------------------------------------------------- */

/* A process that takes the lock, says so, and keeps it until the other end of the pipe is closed. */
static pid_t hold_lock(int *keep, bool read_only)
{
    int say[2], wait_for[2];
    char byte = 0;

    assert_int_equal(pipe(say), 0);
    assert_int_equal(pipe(wait_for), 0);
    pid_t child = fork();
    if (child == 0) {
        struct bh_image image;
        close(wait_for[1]);
        int err = bh_image_open(&image, NULL, path, BH_IMAGE_WRITEBACK, read_only, &ear.sink);
        if (err == BH_OK)
            err = bh_image_acquire(&image);
        byte = err == BH_OK ? 'y' : 'n';
        if (write(say[1], &byte, 1) == 1 && read(wait_for[0], &byte, 1) >= 0)
            _exit(0);
        _exit(1);
    }
    close(say[1]);
    close(wait_for[0]);
    assert_int_equal(read(say[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(say[0]);
    *keep = wait_for[1];
    return child;
}

/* The ring's fd, as a program that was taken over would find it; -1: none is open. */
static int find_ring(void)
{
    for (int fd = 3; fd < 256; fd++) {
        char name[40], what[40] = "";
        snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
        if (readlink(name, what, sizeof(what) - 1) > 0 && strcmp(what, "anon_inode:[io_uring]") == 0)
            return fd;
    }
    return -1;
}

static void ring_cannot_be_asked_for_anything_else(void **state)
{
    struct bed bed;

    make_file(CAPACITY);
    bed_open(&bed, BH_AIO_AUTO, BH_IMAGE_WRITEBACK, false);
    const int ring = find_ring();
    if (strcmp(bed.file->aio, "io_uring") == 0) {
        assert_true(ring >= 0);
        assert_int_equal(syscall(SYS_io_uring_register, ring, IORING_UNREGISTER_FILES, NULL, 0), -1);
        assert_int_equal(errno, EACCES);
    } else {
        assert_int_equal(ring, -1);
    }
    bed_close(&bed);
}

static void woken_by_the_loop(struct bed *bed)
{
    bed->woken = 0;
    for (unsigned i = 0; i < 20 && !bed->woken; i++)
        bh_loop_step(bed->loop, 1000);
    assert_int_equal(bed->woken, 1);
}

static void two_writers_never_meet(void **state)
{
    struct bed bed;
    int keep, status;

    make_file(CAPACITY);
    bed_open(&bed, BH_AIO_THREADS, BH_IMAGE_WRITEBACK, false);
    pid_t child = hold_lock(&keep, false);
    unsigned tries = 0;
    for (*ear.last_error = 0; !*ear.last_error; tries++) {
        assert_in_range(tries, 0, 20);
        assert_int_equal(bh_image_acquire(&bed.image), BH_ERR_BUSY);
        woken_by_the_loop(&bed);
    }
    assert_in_range(tries, 2, 20); /* a process that is just dying is no reason to complain */
    assert_non_null(strstr(ear.last_error, "in use by another process"));
    close(keep);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(bh_image_acquire(&bed.image), BH_OK);
    bh_image_release(&bed.image);
    child = hold_lock(&keep, false); /* released: somebody else gets it */
    close(keep);
    assert_int_equal(waitpid(child, &status, 0), child);
    bed_close(&bed);
}

static void readers_share_and_keep_writers_out(void **state)
{
    struct bed reader, writer;
    int keep, status;

    make_file(CAPACITY);
    pid_t child = hold_lock(&keep, true);
    bed_open(&reader, BH_AIO_THREADS, BH_IMAGE_WRITEBACK, true);
    bed_open(&writer, BH_AIO_THREADS, BH_IMAGE_WRITEBACK, false);
    assert_int_equal(bh_image_acquire(&reader.image), BH_OK);
    assert_int_equal(bh_image_acquire(&writer.image), BH_ERR_BUSY);
    close(keep);
    assert_int_equal(waitpid(child, &status, 0), child);
    bed_close(&writer);
    bed_close(&reader);
}

/* --- From options ----------------------------------------------------------------------------------------------- */

static int create(struct bh_loop *loop, struct bh_mem *mem, int argc, const char **words,
                  struct bh_hosted **hosted)
{
    struct bh_blk_options o = {0};
    char *argv[8] = {(char *)"blk"};
    int next;

    for (int i = 0; i < argc; i++)
        argv[i + 1] = (char *)words[i];
    const struct bh_option_set sets[] = {{bh_blk_hosted.options, &o, NULL}, {0}};
    assert_int_equal(bh_options_init(bh_blk_hosted.options, &o), BH_OK);
    int err = bh_options_parse(sets, argc + 1, argv, &next, &ear.sink);
    if (err == BH_OK)
        err = bh_blk_hosted.create(loop, mem, &o, &ear.sink, hosted);
    bh_options_fini(bh_blk_hosted.options, &o);
    return err;
}

static void options_make_a_device_or_say_why_not(void **state)
{
    struct bh_hosted *hosted = NULL;
    struct bh_loop *loop;
    struct bh_mem mem;
    char file[80];
    uint64_t capacity = 0;

    make_file(CAPACITY);
    snprintf(file, sizeof(file), "--blk-file=%s", path);
    bh_mem_init(&mem, NULL);
    assert_int_equal(bh_loop_create(&loop), BH_OK);
    assert_int_equal(create(loop, &mem, 0, NULL, &hosted), BH_ERR_INVAL);
    assert_non_null(strstr(ear.last_error, "exactly one of"));
    assert_int_equal(create(loop, &mem, 2, (const char *[]){file, "--ram-size=1M"}, &hosted), BH_ERR_INVAL);
    assert_int_equal(create(loop, &mem, 2, (const char *[]){file, "--block-size=1000"}, &hosted),
                     BH_ERR_INVAL);
    assert_non_null(strstr(ear.last_error, "--block-size"));
    assert_int_equal(create(loop, &mem, 2, (const char *[]){file, "--serial=123456789012345678901"}, &hosted),
                     BH_ERR_INVAL);
    assert_int_equal(create(loop, &mem, 1, (const char *[]){"--ram-size=1000"}, &hosted), BH_ERR_INVAL);
    assert_null(hosted);

    static const char *const stores[] = {"--ram-size=64K", "--null-size=64K", NULL};
    for (unsigned i = 0; i < 3; i++) {
        const char *words[] = {stores[i] ? stores[i] : file, "--num-queues=3", "--queue-size=128"};
        assert_int_equal(create(loop, &mem, 3, words, &hosted), BH_OK);
        assert_int_equal(hosted->dev->queue_count, 3);
        bh_device_config_read(hosted->dev, 0, &capacity, sizeof(capacity));
        assert_int_equal(capacity, CAPACITY / 512);
        hosted->class->destroy(hosted);
        hosted = NULL;
    }
    bh_loop_destroy(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_transfers_go_on_where_they_ended),
        cmocka_unit_test(failures_in_mid_transfer_restore_the_segments),
        cmocka_unit_test(zeroing_falls_back_to_a_hole_that_is_filled),
        cmocka_unit_test(durable_write_and_unsafe_flush),
        cmocka_unit_test(unaligned_parts_go_through_the_page_cache),
        cmocka_unit_test(both_ways_move_bytes),
        cmocka_unit_test(direct_io_moves_bytes_where_the_file_system_has_it),
        cmocka_unit_test(completions_wake_the_loop),
        cmocka_unit_test(cancelled_requests_come_back_once),
        cmocka_unit_test(cut_image_and_full_disk_are_errors_of_the_request),
        cmocka_unit_test(what_cannot_be_a_disk_is_refused_in_words),
        cmocka_unit_test(ring_cannot_be_asked_for_anything_else),
        cmocka_unit_test(two_writers_never_meet),
        cmocka_unit_test(readers_share_and_keep_writers_out),
        cmocka_unit_test(options_make_a_device_or_say_why_not),
    };
    int fd = mkstemp(path);

    if (fd < 0)
        return 1;
    close(fd);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
