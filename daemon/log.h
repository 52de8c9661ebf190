/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs: what a process prints, or a console says, kept in a file of the run directory that is rotated at a fixed
 * size (NAME.log, then NAME.log.1), so that a guest which prints for ever fills nothing. The bytes are passed on to
 * one listener (who looks for a text, or shows them); nothing else is made of them.
 *
 * Threading: the loop's.   Ownership: the structs are the caller's.   May block: writes to the run directory.
 */
#ifndef DAEMON_LOG_H
#define DAEMON_LOG_H

#include <bulkhead/err.h>
#include <bulkhead/impl/loop.h>
#include <stdbool.h>
#include <stddef.h>

enum { BH_LOG_NAME_MAX = 96, BH_LOG_ROTATE_BYTES = 4 * 1024 * 1024, BH_LOG_TAIL_MAX = 4096 };

struct bh_log {
    int dir_fd, fd;
    size_t written;
    char name[BH_LOG_NAME_MAX]; /* in the run directory */
};

/* BH_ERR_IO: the file cannot be made; BH_ERR_RANGE: the name is too long. */
int bh_log_open(struct bh_log *log, int dir_fd, const char *name) BH_MUST_USE;
/* What does not fit on the disk is lost. */
void bh_log_write(struct bh_log *log, const void *bytes, size_t length);
/* The last bytes, as text for a person: what is not printable becomes '?'. Returns the length. */
size_t bh_log_tail(const struct bh_log *log, char *text, size_t size);
void bh_log_close(struct bh_log *log);

/* A log that is fed by a pipe: give write_fd to a child as its output. It outlives the child, and serves the next. */
struct bh_log_pipe {
    struct bh_log log;
    struct bh_loop_fd watch;
    int read_fd, write_fd;
    void (*bytes)(struct bh_log_pipe *pipe, const char *bytes, size_t length); /* may be NULL */
};
int bh_log_pipe_open(struct bh_log_pipe *pipe, struct bh_loop *loop, int dir_fd, const char *name,
                     void (*bytes)(struct bh_log_pipe *pipe, const char *bytes, size_t length)) BH_MUST_USE;
/* Take what is in the pipe now: before its end is judged, a child's last words are read. */
void bh_log_pipe_drain(struct bh_log_pipe *pipe);
void bh_log_pipe_close(struct bh_log_pipe *pipe);

/* Finds a text in a stream, however it is cut into pieces. */
struct bh_match {
    char *window; /* the last bytes and the new ones */
    const char *text;
    size_t text_length, kept;
};
int bh_match_init(struct bh_match *match,
                  const char *text) BH_MUST_USE; /* BH_ERR_NOMEM; text stays the caller's */
void bh_match_reset(struct bh_match *match);
bool bh_match_feed(struct bh_match *match, const char *bytes, size_t length);
void bh_match_fini(struct bh_match *match);

#endif
