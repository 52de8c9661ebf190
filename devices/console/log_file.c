/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The console's log file with rotation.
 *
 * Theory of operation
 *   The file grows to exactly `size_max` bytes; the byte after that goes to a new one. Rotating renames
 * FILE.1 to FILE.2 and so on, the oldest falls off, then FILE becomes FILE.1. A reader that follows FILE sees
 * its inode change. Each step may fail (a full disk, a folder taken away); the log then goes on with what it
 * has.
 *
 * #syscalls open openat rename renameat renameat2 unlink unlinkat fstat newfstatat
 */
#include "devices/console/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_newest(struct bh_console_log *log)
{
    struct stat st;

    log->fd = open(log->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (log->fd < 0)
        return errno == ENOENT                      ? BH_ERR_NOENT
               : errno == EACCES || errno == EROFS  ? BH_ERR_ACCESS
               : errno == ENOSPC || errno == EDQUOT ? BH_ERR_NOSPC
                                                    : BH_ERR_IO;
    log->size = fstat(log->fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    return BH_OK;
}

int bh_console_log_open(struct bh_console_log *log, const char *path, uint64_t size_max, unsigned keep,
                        struct bh_diag_sink *sink)
{
    *log = (struct bh_console_log){.path = path,
                                   .size_max = size_max,
                                   .keep = keep,
                                   .sink = sink,
                                   .limit = {.burst = 1, .period_ms = 60000}};
    int err = open_newest(log);
    if (err)
        bh_error(sink, NULL, "give a file in a folder that exists and that this user may write",
                 "log-file: cannot open %s: %s", path, strerror(errno));
    return err;
}

static void numbered(char *to, size_t size, const struct bh_console_log *log, unsigned number)
{
    snprintf(to, size, "%s.%u", log->path, number);
}

static void rotate(struct bh_console_log *log)
{
    char from[PATH_MAX], to[PATH_MAX];

    if (log->fd >= 0)
        close(log->fd);
    for (unsigned i = log->keep; i > 1; i--) {
        numbered(from, sizeof(from), log, i - 1);
        numbered(to, sizeof(to), log, i);
        rename(from, to);
    }
    numbered(to, sizeof(to), log, 1);
    if (log->keep == 0 || rename(log->path, to) != 0)
        unlink(log->path);
    if (open_newest(log) != BH_OK)
        log->fd = -1;
}

static void lose(struct bh_console_log *log, size_t len)
{
    unsigned held;

    log->lost += len;
    if (bh_diag_allowed(&log->limit, &held))
        bh_warn(log->sink, NULL, "make room, or check that the folder is still there",
                "log-file: cannot write %s: %s; %llu bytes lost so far", log->path, strerror(errno),
                (unsigned long long)log->lost);
}

void bh_console_log_write(struct bh_console_log *log, const void *from, size_t len)
{
    const char *p = from;

    while (len > 0) {
        size_t part = len;
        if (log->size_max > 0) {
            if (log->fd < 0 && open_newest(log) != BH_OK)
                log->fd = -1;
            else if (log->size >= log->size_max)
                rotate(log);
            uint64_t room = log->size < log->size_max ? log->size_max - log->size : log->size_max;
            if (part > room)
                part = (size_t)room;
        }
        ssize_t put = log->fd < 0 ? -1 : write(log->fd, p, part);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            lose(log, len);
            return;
        }
        log->size += (uint64_t)put;
        p += put;
        len -= (size_t)put;
    }
}

void bh_console_log_close(struct bh_console_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}
