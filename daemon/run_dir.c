/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run directories. See run_dir.h.
 */
#include "daemon/run_dir.h"
#include <bulkhead/impl/unix_socket.h>

#include <bulkhead/impl/unix_socket.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 10000, LOCK_STEP_MS = 50, CREATE_TRIES = 100 };

int bh_run_base(const char *given, char *path, size_t size)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    int length;
    if (given) {
        char *absolute = given[0] == '/' ? strdup(given) : NULL;
        if (!absolute) {
            char here[BH_RUN_PATH_MAX];
            if (!getcwd(here, sizeof(here)) || asprintf(&absolute, "%s/%s", here, given) < 0)
                return BH_ERR_INVAL;
        }
        length = snprintf(path, size, "%s", absolute);
        free(absolute);
    } else if (xdg && xdg[0] == '/') {
        length = snprintf(path, size, "%s/bulkhead", xdg);
    } else if (geteuid() == 0) {
        length = snprintf(path, size, "/run/bulkhead");
    } else {
        length = snprintf(path, size, "/tmp/bulkhead-%u", (unsigned)geteuid());
    }
    return length < 0 || (size_t)length >= size ? BH_ERR_RANGE : BH_OK;
}

/* A directory that only we can have made or changed: in /tmp, others may have been there first. */
static int open_private(const char *path, struct bh_diag_sink *sink, int *fd)
{
    struct stat info;
    const struct bh_diag_where where = {.file = path};
    if (mkdir(path, 0700) && errno != EEXIST) {
        bh_error(sink, &where, "name another place by --run-dir=", "cannot make the directory: %s",
                 strerror(errno));
        return BH_ERR_IO;
    }
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*fd < 0 || fstat(*fd, &info)) {
        bh_error(sink, &where, "name another place by --run-dir=", "cannot open the directory: %s",
                 strerror(errno));
        if (*fd >= 0)
            close(*fd);
        return BH_ERR_IO;
    }
    if (info.st_uid != geteuid() || (info.st_mode & 022)) {
        bh_error(sink, &where, "remove it, or name another place by --run-dir=",
                 "the directory belongs to somebody else, or others may write to it");
        close(*fd);
        return BH_ERR_ACCESS;
    }
    return BH_OK;
}

enum { FOLDER_LEVELS = 2 };
/* Files, sockets, and `levels` of folders; the lock is last, so that nobody else takes a half-removed directory. */
static void empty(int dir_fd, const char *keep, unsigned levels)
{
    const int again = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again >= 0 ? fdopendir(again) : NULL;
    struct dirent *entry;
    while (list && (entry = readdir(list))) {
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
            (keep && !strcmp(entry->d_name, keep)))
            continue;
        if (!unlinkat(dir_fd, entry->d_name, 0))
            continue;
        if (errno == EISDIR) /* a device process may have closed a folder of its own to everybody */
            (void)fchmodat(dir_fd, entry->d_name, 0700, 0);
        const int below = openat(dir_fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0 && levels > 0) {
            empty(below, NULL, levels - 1);
            unlinkat(dir_fd, entry->d_name, AT_REMOVEDIR);
        }
        if (below >= 0)
            close(below);
    }
    if (list)
        closedir(list);
    else if (again >= 0)
        close(again);
}

static bool still_in_place(const struct bh_run_dir *dir)
{
    struct stat held, named;
    return !fstat(dir->lock_fd, &held) && !fstatat(dir->fd, "lock", &named, AT_SYMLINK_NOFOLLOW) &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev && !fstat(dir->fd, &held) &&
           !stat(dir->path, &named) && held.st_ino == named.st_ino;
}

static int wait_for_lock(int lock_fd, struct bh_diag_sink *sink)
{
    const struct timespec step = {0, LOCK_STEP_MS * 1000000l};
    for (int waited = 0; flock(lock_fd, LOCK_EX | LOCK_NB); waited += LOCK_STEP_MS) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return BH_ERR_IO;
        if (waited == LOCK_STEP_MS * 10)
            bh_note(sink, "waiting for what is left of an earlier run to end");
        if (waited >= LOCK_WAIT_MS)
            return BH_ERR_BUSY;
        nanosleep(&step, NULL);
    }
    return BH_OK;
}

int bh_run_dir_open(struct bh_run_dir *dir, const char *base, const char *system, const char *longest,
                    struct bh_diag_sink *sink)
{
    const struct bh_diag_where where = {.file = dir->path};
    int base_fd, err;
    const int length = snprintf(dir->path, sizeof(dir->path), "%s/%s", base, system);
    if (length < 0 || (size_t)length + 1 + strlen(longest) > BH_UNIX_PATH_MAX) {
        bh_error(
            sink, &where, "name a shorter place by --run-dir=",
            "the path of the socket %s in it would be longer than the %d bytes that a socket address holds",
            longest, BH_UNIX_PATH_MAX);
        return BH_ERR_RANGE;
    }
    err = open_private(base, sink, &base_fd);
    if (err)
        return err;
    close(base_fd);
    for (int attempt = 0; attempt < CREATE_TRIES; attempt++) {
        err = open_private(dir->path, sink, &dir->fd);
        if (err)
            return err;
        dir->lock_fd = openat(dir->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
        err = dir->lock_fd >= 0 ? wait_for_lock(dir->lock_fd, sink)
              : errno == ENOENT ? BH_ERR_AGAIN
                                : BH_ERR_IO;
        if (!err && still_in_place(dir)) {
            empty(dir->fd, "lock", FOLDER_LEVELS);
            return BH_OK;
        }
        bh_run_dir_close(dir);
        if (err && err != BH_ERR_AGAIN)
            break;
    }
    bh_error(sink, &where, NULL, "cannot lock the run directory: %s", bh_err_text(err));
    return err ? err : BH_ERR_BUSY;
}

void bh_run_dir_close(struct bh_run_dir *dir)
{
    if (dir->lock_fd >= 0)
        close(dir->lock_fd);
    if (dir->fd >= 0)
        close(dir->fd);
    dir->lock_fd = dir->fd = -1;
}

void bh_run_dir_remove(struct bh_run_dir *dir)
{
    empty(dir->fd, "lock", FOLDER_LEVELS);
    unlinkat(dir->fd, "lock", 0);
    rmdir(dir->path);
    bh_run_dir_close(dir);
}
