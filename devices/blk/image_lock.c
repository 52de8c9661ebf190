/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock on an image. It is taken when the guest's first ring starts and dropped when its last one stops,
 * not at opening: so a migration's receiving side can open the image while the sending side still uses it.
 *
 * #syscalls fcntl
 */
#include "devices/blk/image.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Each wait is twice the one before. A dead process's last requests hold its lock for some milliseconds: no complaint. */
enum { RETRY_FIRST_MS = 2, RETRY_MOST_MS = 512 };

static int try_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return BH_OK;
    return errno == EAGAIN || errno == EACCES ? BH_ERR_BUSY : BH_ERR_IO;
}

static void retry(struct bh_loop_timer *timer)
{
    struct bh_image *image = BH_LOOP_OWNER(timer, struct bh_image, retry);

    image->store->wake(image->store);
}

static void complain(struct bh_image *image)
{
    struct bh_diag_where where = {.file = image->path};

    if (image->complained)
        return;
    image->complained = true;
    /* No system call tells who holds it, and from within the sandbox /proc cannot be searched. */
    bh_error(image->sink, &where,
             "fuser(1) tells which: end it, or give this device an image of its own; the guest's I/O waits "
             "until then",
             "the image is in use by another process");
}

int bh_image_acquire(struct bh_image *image)
{
    int err = try_lock(image->fd, image->read_only ? F_RDLCK : F_WRLCK);

    if (err == BH_ERR_BUSY) {
        image->retry_ms = image->retry_ms ? image->retry_ms * 2 : RETRY_FIRST_MS;
        if (image->retry_ms >= RETRY_MOST_MS) {
            image->retry_ms = RETRY_MOST_MS;
            complain(image);
        }
        bh_loop_timer_set(image->loop, &image->retry, image->retry_ms, retry);
        return err;
    }
    if (err != BH_OK) {
        bh_error(image->sink, &(struct bh_diag_where){.file = image->path}, NULL, "cannot be locked: %s",
                 strerror(errno));
        return err;
    }
    bh_loop_timer_cancel(&image->retry);
    image->retry_ms = 0;
    if (image->complained)
        bh_note(image->sink, "%s: free now; the guest's I/O goes on", image->path);
    image->complained = false;
    image->locked = true;
    return BH_OK;
}

static void unlock(struct bh_image *image)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    if (fcntl(image->fd, F_OFD_SETLK, &lock) != 0)
        bh_warn(image->sink, &(struct bh_diag_where){.file = image->path}, NULL, "cannot be unlocked: %s",
                strerror(errno));
}

void bh_image_release(struct bh_image *image)
{
    bh_loop_timer_cancel(&image->retry);
    image->retry_ms = 0;
    image->locked = false;
    unlock(image);
}

bool bh_image_hold(struct bh_image *image)
{
    return image->locked || try_lock(image->fd, F_WRLCK) == BH_OK;
}

void bh_image_let_go(struct bh_image *image)
{
    if (!image->locked)
        unlock(image);
}
