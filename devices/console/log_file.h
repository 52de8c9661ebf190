/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that keeps all that a guest prints, rotated by size: FILE is the newest, FILE.1 the one before.
 *
 * Threading: the loop's thread.   Ownership: `path` and `sink` are the caller's and outlive it.
 * May block: as writing to the host's page cache does.
 */
#ifndef DEVICES_CONSOLE_LOG_FILE_H
#define DEVICES_CONSOLE_LOG_FILE_H

#include <bulkhead/err.h>
#include <bulkhead/impl/diag.h>
#include <stdint.h>

struct bh_console_log {
    const char *path;
    int fd;            /* -1 while the file could not be opened again after a rotation */
    uint64_t size;     /* of the newest file */
    uint64_t size_max; /* 0: no rotation */
    unsigned keep;     /* old files kept */
    uint64_t lost;     /* bytes that could not be written */
    struct bh_diag_sink *sink;
    struct bh_diag_limit limit;
};

/* Opens for appending. BH_ERR_NOENT (no such folder), _ACCESS, _NOSPC, _IO, said on `sink`. */
int bh_console_log_open(struct bh_console_log *log, const char *path, uint64_t size_max, unsigned keep,
                        struct bh_diag_sink *sink) BH_MUST_USE;
/* Append. A failure is said (at a limited rate) and counted; the guest goes on. */
void bh_console_log_write(struct bh_console_log *log, const void *from, size_t len);
void bh_console_log_close(struct bh_console_log *log);

#endif
