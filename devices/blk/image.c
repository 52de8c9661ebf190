/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening an image: what it is, how large, how it can be read and written, in words that a user understands
 * when it cannot.
 *
 * #syscalls ioctl fallocate fstat newfstatat ftruncate
 */
#include "devices/blk/image.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define DIRECT_ALIGN_MAX ((size_t)4096)

static int open_error(struct bh_image *image, bool read_only)
{
    struct bh_diag_where where = {.file = image->path};
    int saved = errno;
    const char *hint = NULL;

    if (saved == ENOENT)
        hint = "make it with: truncate -s SIZE FILE";
    else if ((saved == EACCES || saved == EPERM || saved == EROFS) && !read_only)
        hint = "if it is only to be read, say --read-only";
    else if (saved == EISDIR)
        hint = "an image is a file or a block device";
    bh_error(image->sink, &where, hint, "cannot open the image: %s", strerror(saved));
    switch (saved) {
    case ENOENT:
    case ENOTDIR: return BH_ERR_NOENT;
    case EACCES:
    case EPERM:
    case EISDIR:
    case EROFS: return BH_ERR_ACCESS;
    default: return BH_ERR_IO;
    }
}

static int refuse(struct bh_image *image, int err, const char *what, const char *hint)
{
    struct bh_diag_where where = {.file = image->path};

    bh_error(image->sink, &where, hint, "%s", what);
    return err;
}

/* The size in bytes, or -1. */
static int64_t size_of(const struct bh_image *image)
{
    struct stat st;
    uint64_t bytes;

    if (image->is_block)
        return ioctl(image->fd, BLKGETSIZE64, &bytes) == 0 ? (int64_t)bytes : -1;
    return fstat(image->fd, &st) == 0 ? (int64_t)st.st_size : -1;
}

/* Punching a hole behind the end changes nothing, and tells whether it can be done. */
static bool has_holes(const struct bh_image *image, uint64_t size)
{
    uint64_t behind = (size + 4095) / 4096 * 4096;
    return fallocate(image->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)behind, 4096) == 0;
}

static void open_disk(struct bh_image *image, dev_t number)
{
    char folder[64];

    snprintf(folder, sizeof(folder), "/sys/dev/block/%u:%u", major(number), minor(number));
    int sysfs = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    bh_host_disk_open(&image->disk, sysfs, image->fd, &image->info);
    if (sysfs >= 0)
        close(sysfs);
}

static int measure(struct bh_image *image)
{
    struct stat st;

    if (fstat(image->fd, &st) != 0)
        return refuse(image, BH_ERR_IO, "cannot be examined", NULL);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return refuse(image, BH_ERR_INVAL, "is neither a file nor a block device", NULL);
    image->is_block = S_ISBLK(st.st_mode);
    int64_t size = size_of(image);
    if (size < 512)
        return refuse(image, size < 0 ? BH_ERR_IO : BH_ERR_INVAL, "is too small to be a disk",
                      "give it a size first: truncate -s SIZE FILE");
    if (size % 512)
        bh_warn(image->sink, &(struct bh_diag_where){.file = image->path}, NULL,
                "the last %d bytes are no whole sector and are left out", (int)(size % 512));
    image->info.capacity = (uint64_t)size / 512 * 512;
    image->info.block_size = 512;
    image->info.discard_granularity = (uint32_t)st.st_blksize;
    image->physical_block = 512;
    if (image->is_block) {
        int logical = 512;
        unsigned physical = 512;
        if (ioctl(image->fd, BLKSSZGET, &logical) == 0 && logical > 512)
            image->info.block_size = (uint32_t)logical;
        if (ioctl(image->fd, BLKPBSZGET, &physical) == 0 && physical >= image->info.block_size)
            image->physical_block = physical;
    }
    image->info.read_only = image->read_only;
    image->info.volatile_cache = true;
    if (image->is_block) {
        open_disk(image, st.st_rdev);
        image->info.can_write_zeroes = !image->read_only; /* the kernel writes them where the disk cannot */
    } else {
        image->info.can_discard = !image->read_only && has_holes(image, (uint64_t)size);
        image->info.can_write_zeroes = image->info.can_discard;
    }
    return BH_OK;
}

/* The smallest unit that O_DIRECT takes here, found by reading: 512, or 4096 on disks and systems that want
 * more. */
static int open_direct(struct bh_image *image)
{
    static const uint32_t units[] = {512, (uint32_t)DIRECT_ALIGN_MAX};
    void *buffer = NULL;

    image->direct_fd = open(image->path, (image->read_only ? O_RDONLY : O_RDWR) | O_DIRECT | O_CLOEXEC);
    if (image->direct_fd < 0 && errno == EINVAL)
        return refuse(image, BH_ERR_UNSUPPORTED, "the file system does no direct I/O",
                      "use --cache=writeback or --cache=writethrough");
    if (image->direct_fd < 0)
        return open_error(image, image->read_only);
    if (posix_memalign(&buffer, 2 * DIRECT_ALIGN_MAX, 2 * DIRECT_ALIGN_MAX) != 0)
        return BH_ERR_NOMEM;
    for (unsigned i = 0; i < BH_COUNT(units) && image->direct_align == 0; i++) {
        /* a buffer that is aligned to this unit and to no larger one */
        if (pread(image->direct_fd, (char *)buffer + units[i], units[i], 0) > 0)
            image->direct_align = units[i];
    }
    free(buffer);
    return image->direct_align ? BH_OK
                               : refuse(image, BH_ERR_UNSUPPORTED, "direct I/O fails",
                                        "use --cache=writeback or --cache=writethrough");
}

int bh_image_open(struct bh_image *image, struct bh_loop *loop, const char *path, enum bh_image_cache cache,
                  bool read_only, struct bh_diag_sink *sink)
{
    int err;

    memset(image, 0, sizeof(*image));
    image->fd = image->direct_fd = -1;
    bh_host_disk_none(&image->disk);
    image->loop = loop;
    image->sink = sink;
    image->cache = cache;
    image->read_only = read_only;
    image->path = strdup(path);
    if (!image->path)
        return BH_ERR_NOMEM;
    image->fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    err = image->fd < 0 ? open_error(image, read_only) : measure(image);
    if (err == BH_OK && (cache == BH_IMAGE_NONE || cache == BH_IMAGE_DIRECTSYNC))
        err = open_direct(image);
    if (err != BH_OK)
        bh_image_close(image);
    return err;
}

void bh_image_close(struct bh_image *image)
{
    bh_loop_timer_cancel(&image->retry);
    if (image->direct_fd >= 0)
        close(image->direct_fd);
    if (image->fd >= 0)
        close(image->fd); /* the lock goes with it */
    bh_host_disk_close(&image->disk);
    free(image->path);
    image->fd = image->direct_fd = -1;
    image->path = NULL;
}

static int change_length(struct bh_image *image, uint64_t size, struct bh_diag_sink *sink)
{
    struct bh_diag_where where = {.file = image->path};
    int err = BH_OK;

    if (!bh_image_hold(image)) {
        bh_error(sink, &where, NULL, "the image is in use by another process");
        return BH_ERR_BUSY;
    }
    if (ftruncate(image->fd, (off_t)size) != 0) {
        err = errno == ENOSPC || errno == EFBIG ? BH_ERR_NOSPC : BH_ERR_IO;
        bh_error(sink, &where, NULL, "cannot be made %llu bytes long: %s", (unsigned long long)size,
                 strerror(errno));
    }
    bh_image_let_go(image);
    return err;
}

int bh_image_resize(struct bh_image *image, uint64_t size, struct bh_diag_sink *sink)
{
    struct bh_diag_where where = {.file = image->path};
    int err = BH_OK;

    if (size && image->is_block) {
        bh_error(sink, &where, "change it with the host's tools, then resize without a size",
                 "a block device's size is not ours to set");
        return BH_ERR_INVAL;
    }
    if (size && image->read_only) {
        bh_error(sink, &where, NULL, "the disk is read-only");
        return BH_ERR_ACCESS;
    }
    if (size)
        err = change_length(image, size, sink);
    if (err != BH_OK)
        return err;
    const int64_t now = size_of(image);
    if (now < 512) {
        bh_error(sink, &where, NULL, now < 0 ? "cannot be examined" : "is too small to be a disk");
        return now < 0 ? BH_ERR_IO : BH_ERR_INVAL;
    }
    image->info.capacity = (uint64_t)now / 512 * 512;
    return BH_OK;
}
