/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Run directories: where a running system keeps its sockets, logs and plan: BASE/SYSTEM. The directory is private,
 * locked while anything of the system lives, and emptied before it is used, so that what a killed run left never
 * stands in the way of the next one.
 *
 * Theory of operation. The lock is a flock on the file `lock`, and flock belongs to the open file: the daemon's
 * children inherit that file, so that the lock is free exactly when the last process of a run is gone, whatever
 * happened to the daemon.
 *
 * Threading: one thread per struct.   Ownership: the struct is the caller's.   May block: open waits for a dying run.
 */
#ifndef DAEMON_RUN_DIR_H
#define DAEMON_RUN_DIR_H

#include <bulkhead/err.h>
#include <bulkhead/impl/diag.h>
#include <stddef.h>

enum { BH_RUN_PATH_MAX = 512 };

struct bh_run_dir {
    char path[BH_RUN_PATH_MAX]; /* absolute */
    int fd;                     /* of the directory */
    int lock_fd;
};

/*
 * Where run directories are: `given` if not NULL, else $XDG_RUNTIME_DIR/bulkhead, else /run/bulkhead for root and
 * /tmp/bulkhead-UID for others. BH_ERR_RANGE: longer than `size`; BH_ERR_INVAL: not absolute.
 */
int bh_run_base(const char *given, char *path, size_t size) BH_MUST_USE;

/*
 * Make, lock and empty BASE/SYSTEM. What is wrong is said on `sink`. BH_ERR_BUSY: the system runs (or its remains
 * do not end). BH_ERR_RANGE: `longest`, the longest socket name to be made in it, would not fit a socket address.
 * BH_ERR_ACCESS: the place belongs to somebody else, or is open to others. BH_ERR_IO.
 */
int bh_run_dir_open(struct bh_run_dir *dir, const char *base, const char *system, const char *longest,
                    struct bh_diag_sink *sink) BH_MUST_USE;

/* Close our handles; the directory stays (the lock too, if a child has it). */
void bh_run_dir_close(struct bh_run_dir *dir);
/* Remove the directory with all that is in it, then close. */
void bh_run_dir_remove(struct bh_run_dir *dir);

#endif
