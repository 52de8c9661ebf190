/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of a request on an image: which system call comes next, and what its result means. Both stores of
 * files (io_uring, threads) take these, so that short transfers, zeroing and errors are handled once.
 *
 * Theory of operation
 *   A transfer goes on where the last call ended: the segment in the middle of which that was is trimmed in
 * place, and is whole again when its rest was moved or the request is over. Zeroing without unmapping uses
 * ZERO_RANGE; where the file system has only holes (tmpfs) a hole is punched and then filled with allocated
 * blocks. What must be durable when done ends with an fdatasync, or takes RWF_DSYNC along.
 *
 * #syscalls preadv2 pwritev2 fdatasync fallocate ioctl pread64
 */
#include "devices/blk/image.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

enum step_state {
    TRANSFER,
    SYNC,
    DISCARD,
    PUNCH,
    ZERO_RANGE,
    PUNCH_TO_FILL,
    FILL,
    ERASE,
    LIFETIME,
    OVER,
};

#define SEGS_PER_CALL 1024u /* IOV_MAX */

/* A bh_seg is handed to the kernel as an iovec. */
_Static_assert(sizeof(struct bh_seg) == sizeof(struct iovec) &&
                   offsetof(struct bh_seg, base) == offsetof(struct iovec, iov_base) &&
                   offsetof(struct bh_seg, len) == offsetof(struct iovec, iov_len),
               "bh_seg is laid out as iovec");

void bh_image_start(struct bh_store_req *req)
{
    static const uint8_t first_state[] = {
        [BH_STORE_READ] = TRANSFER,     [BH_STORE_WRITE] = TRANSFER,          [BH_STORE_FLUSH] = SYNC,
        [BH_STORE_DISCARD] = DISCARD,   [BH_STORE_WRITE_ZEROES] = ZERO_RANGE, [BH_STORE_SECURE_ERASE] = ERASE,
        [BH_STORE_LIFETIME] = LIFETIME,
    };

    BH_ASSERT(req->op < BH_COUNT(first_state));
    req->state = first_state[req->op];
    if (req->op == BH_STORE_WRITE_ZEROES && req->flags & BH_STORE_UNMAP)
        req->state = PUNCH;
    req->done = 0;
    req->first = 0;
    req->saved.base = NULL;
    req->result = BH_OK;
}

static bool aligned(const struct bh_image *image, const struct bh_store_req *req)
{
    uint64_t bits = (req->offset + req->done) | (req->len - req->done);

    for (uint32_t i = req->first; i < req->seg_count; i++)
        bits |= (uintptr_t)req->segs[i].base | req->segs[i].len;
    return (bits & (image->direct_align - 1)) == 0;
}

static void transfer_step(struct bh_image *image, struct bh_store_req *req, struct bh_image_step *step)
{
    uint32_t count = req->seg_count - req->first;

    step->call = req->op == BH_STORE_READ ? BH_CALL_READV : BH_CALL_WRITEV;
    step->segs = req->segs + req->first;
    step->seg_count = count < SEGS_PER_CALL ? count : SEGS_PER_CALL;
    step->offset = req->offset + req->done;
    step->len = req->len - req->done;
    /* What is not aligned goes through the page cache: the kernel keeps both views coherent. */
    step->direct = image->direct_fd >= 0 && aligned(image, req);
    if (req->op == BH_STORE_WRITE && req->flags & BH_STORE_DURABLE && image->cache != BH_IMAGE_UNSAFE)
        step->flags = RWF_DSYNC;
}

bool bh_image_next(struct bh_image *image, struct bh_store_req *req, struct bh_image_step *step)
{
    *step = (struct bh_image_step){.offset = req->offset, .len = req->len};
    if (req->state == ZERO_RANGE && atomic_load_explicit(&image->no_zero_range, memory_order_relaxed))
        req->state = PUNCH_TO_FILL; /* relaxed: a stale answer costs one failing call */
    switch (req->state) {
    case TRANSFER: transfer_step(image, req, step); return true;
    case SYNC: step->call = BH_CALL_FDATASYNC; return image->cache != BH_IMAGE_UNSAFE;
    case ERASE: step->call = BH_CALL_ERASE; return true;
    case LIFETIME:
        step->call = BH_CALL_LIFETIME;
        step->segs = req->segs;
        step->seg_count = req->seg_count;
        return true;
    case DISCARD:
        if (image
                ->is_block) { /* a hole of a block device is one that reads as zeros: more than is asked for */
            step->call = BH_CALL_DISCARD;
            return true;
        }
        /* fall through */
    case PUNCH:
    case PUNCH_TO_FILL:
        step->call = BH_CALL_FALLOCATE;
        step->flags = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        return true;
    case ZERO_RANGE:
        step->call = BH_CALL_FALLOCATE;
        step->flags = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
        return true;
    case FILL:
        step->call = BH_CALL_FALLOCATE;
        step->flags = FALLOC_FL_KEEP_SIZE;
        return true;
    default: return false;
    }
}

bool bh_image_wants_thread(const struct bh_image *image, const struct bh_store_req *req)
{
    return image->is_block &&
           (req->op == BH_STORE_DISCARD || req->op == BH_STORE_SECURE_ERASE || req->op == BH_STORE_LIFETIME);
}

/* The wear, into as many segments as the guest likes. */
static int64_t tell_lifetime(const struct bh_image *image, const struct bh_image_step *step)
{
    struct virtio_blk_lifetime lifetime;
    const uint8_t *from = (const uint8_t *)&lifetime;
    size_t left = sizeof(lifetime);
    int err = bh_host_disk_lifetime(&image->disk, &lifetime);

    for (uint32_t i = 0; i < step->seg_count && left && !err; i++) {
        size_t some = step->segs[i].len < left ? step->segs[i].len : left;
        memcpy(step->segs[i].base, from, some);
        from += some;
        left -= some;
    }
    return err;
}

int64_t bh_image_call(const struct bh_image *image, const struct bh_image_step *step)
{
    const struct iovec *iov = (const struct iovec *)(const void *)step->segs;
    const int fd = step->direct ? image->direct_fd : image->fd;
    uint64_t range[2] = {step->offset, step->len};
    ssize_t result = -1;

    switch (step->call) {
    case BH_CALL_READV:
        result = preadv2(fd, iov, (int)step->seg_count, (off_t)step->offset, step->flags);
        break;
    case BH_CALL_WRITEV:
        result = pwritev2(fd, iov, (int)step->seg_count, (off_t)step->offset, step->flags);
        break;
    case BH_CALL_FDATASYNC: result = fdatasync(fd); break;
    case BH_CALL_FALLOCATE: result = fallocate(fd, step->flags, (off_t)step->offset, (off_t)step->len); break;
    case BH_CALL_DISCARD: result = ioctl(fd, BLKDISCARD, range); break;
    case BH_CALL_ERASE: result = ioctl(fd, BLKSECDISCARD, range); break;
    case BH_CALL_LIFETIME: return tell_lifetime(image, step);
    }
    return result < 0 ? -errno : result;
}

static void make_whole(struct bh_store_req *req)
{
    if (req->saved.base)
        req->segs[req->first] = req->saved;
    req->saved.base = NULL;
}

static bool over(struct bh_store_req *req, int result)
{
    make_whole(req);
    req->state = OVER;
    req->result = result;
    return true;
}

static int from_errno(int64_t result)
{
    switch (-result) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG: return BH_ERR_NOSPC; /* EFBIG: RLIMIT_FSIZE, or the file system's largest file */
    case ECANCELED: return BH_ERR_CANCELLED;
    case EOPNOTSUPP:
    case ENOSYS: return BH_ERR_UNSUPPORTED;
    default: return BH_ERR_IO;
    }
}

static bool transferred(struct bh_store_req *req, uint64_t bytes)
{
    if (bytes == 0) /* the file ends here although it was longer when opened */
        return over(req, BH_ERR_IO);
    req->done += bytes;
    if (req->done >= req->len)
        return over(req, BH_OK);
    while (bytes >= req->segs[req->first].len) {
        bytes -= req->segs[req->first].len;
        make_whole(req);
        req->first++;
    }
    if (bytes) {
        struct bh_seg *seg = &req->segs[req->first];
        if (!req->saved.base)
            req->saved = *seg;
        seg->base = (uint8_t *)seg->base + bytes;
        seg->len -= bytes;
    }
    return false;
}

bool bh_image_result(struct bh_image *image, struct bh_store_req *req, int64_t result)
{
    bool durable = req->flags & BH_STORE_DURABLE;

    if (result == -EINTR || result == -EAGAIN)
        return false;
    if (result == -EOPNOTSUPP && req->state == ZERO_RANGE) {
        atomic_store_explicit(&image->no_zero_range, true, memory_order_relaxed);
        return false;
    }
    if (result == -EOPNOTSUPP && req->state == PUNCH) { /* to unmap is an offer, zeros are a must */
        req->state = ZERO_RANGE;
        return false;
    }
    if (result < 0) {
        int err = from_errno(result);
        if (req->state == TRANSFER && err == BH_ERR_UNSUPPORTED)
            err = BH_ERR_IO;
        return over(req, err);
    }
    switch (req->state) {
    case TRANSFER: return transferred(req, (uint64_t)result);
    case PUNCH_TO_FILL: req->state = FILL; return false;
    case PUNCH:
    case ZERO_RANGE:
    case FILL:
        req->state = SYNC;
        return durable && image->cache != BH_IMAGE_UNSAFE ? false : over(req, BH_OK);
    default: return over(req, BH_OK);
    }
}
