/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lock on an image. It is taken when the guest's first ring starts and dropped when its last one stops,
 * not at opening: so a migration's receiving side can open the image while the sending side still uses it.
 *
 * Who holds an open-file-description lock is told by no system call: the processes that have the file open
 * are searched for one whose /proc/PID/fdinfo shows a lock on it. That is for the message alone.
 */
#include "devices/blk/image.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MS 500u

static int try_lock(int fd, short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return BH_OK;
    return errno == EAGAIN || errno == EACCES ? BH_ERR_BUSY : BH_ERR_IO;
}

static bool fdinfo_has_lock(const char *pid, const char *fd)
{
    char name[300], line[256];
    bool found = false;

    snprintf(name, sizeof(name), "/proc/%.20s/fdinfo/%.20s", pid, fd);
    FILE *file = fopen(name, "re");
    if (!file)
        return false;
    while (!found && fgets(line, sizeof(line), file))
        found = strncmp(line, "lock:", 5) == 0;
    fclose(file);
    return found;
}

static bool process_holds(const char *pid, const struct stat *image)
{
    char name[600];
    struct stat st;
    bool found = false;

    snprintf(name, sizeof(name), "/proc/%.20s/fd", pid);
    DIR *dir = opendir(name);
    if (!dir)
        return false;
    for (struct dirent *entry = readdir(dir); entry && !found; entry = readdir(dir)) {
        snprintf(name, sizeof(name), "/proc/%.20s/fd/%.20s", pid, entry->d_name);
        found = stat(name, &st) == 0 && st.st_dev == image->st_dev && st.st_ino == image->st_ino &&
                fdinfo_has_lock(pid, entry->d_name);
    }
    closedir(dir);
    return found;
}

/* "process 123 (bulkhead-blk)" */
static void find_holder(const struct bh_image *image, char *text, size_t size)
{
    struct stat st;
    DIR *dir = fstat(image->fd, &st) == 0 ? opendir("/proc") : NULL;

    snprintf(text, size, "another process");
    if (!dir)
        return;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid <= 0 || pid == getpid() || !process_holds(entry->d_name, &st))
            continue;
        char name[64], comm[32] = "";
        snprintf(name, sizeof(name), "/proc/%ld/comm", pid);
        FILE *file = fopen(name, "re");
        if (file) {
            if (fgets(comm, sizeof(comm), file))
                comm[strcspn(comm, "\n")] = '\0';
            fclose(file);
        }
        snprintf(text, size, "process %ld (%s)", pid, comm[0] ? comm : "?");
        break;
    }
    closedir(dir);
}

static void retry(struct bh_loop_timer *timer)
{
    struct bh_image *image = BH_LOOP_OWNER(timer, struct bh_image, retry);

    image->store->wake(image->store);
}

static void complain(struct bh_image *image)
{
    struct bh_diag_where where = {.file = image->path};
    char holder[96];

    if (image->complained)
        return;
    image->complained = true;
    find_holder(image, holder, sizeof(holder));
    bh_error(image->sink, &where,
             "end it, or give this device an image of its own; the guest's I/O waits until then",
             "the image is in use by %s", holder);
}

int bh_image_acquire(struct bh_image *image)
{
    int err = try_lock(image->fd, image->read_only ? F_RDLCK : F_WRLCK);

    if (err == BH_ERR_BUSY) {
        complain(image);
        bh_loop_timer_set(image->loop, &image->retry, RETRY_MS, retry);
        return err;
    }
    if (err != BH_OK) {
        bh_error(image->sink, &(struct bh_diag_where){.file = image->path}, NULL, "cannot be locked: %s",
                 strerror(errno));
        return err;
    }
    bh_loop_timer_cancel(&image->retry);
    if (image->complained)
        bh_note(image->sink, "%s: free now; the guest's I/O goes on", image->path);
    image->complained = false;
    return BH_OK;
}

void bh_image_release(struct bh_image *image)
{
    struct flock lock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

    bh_loop_timer_cancel(&image->retry);
    if (fcntl(image->fd, F_OFD_SETLK, &lock) != 0)
        bh_warn(image->sink, &(struct bh_diag_where){.file = image->path}, NULL, "cannot be unlocked: %s",
                strerror(errno));
}
