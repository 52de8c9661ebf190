/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs, and the search for a text in what flows into them. See log.h.
 */
#include "daemon/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 4096, CHUNKS_PER_ROUND = 16 };

static int open_file(struct bh_log *log)
{
    log->fd =
        openat(log->dir_fd, log->name, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    log->written = 0;
    return log->fd >= 0 ? BH_OK : BH_ERR_IO;
}

int bh_log_open(struct bh_log *log, int dir_fd, const char *name)
{
    log->dir_fd = dir_fd;
    log->fd = -1;
    const int length = snprintf(log->name, sizeof(log->name), "%s.log", name);
    return length < 0 || (size_t)length >= sizeof(log->name) ? BH_ERR_RANGE : open_file(log);
}

static void rotate(struct bh_log *log)
{
    char old[BH_LOG_NAME_MAX + 4];
    snprintf(old, sizeof(old), "%s.1", log->name);
    if (renameat(log->dir_fd, log->name, log->dir_fd, old))
        unlinkat(log->dir_fd, log->name, 0);
    close(log->fd);
    if (open_file(log))
        log->fd = -1;
}

void bh_log_write(struct bh_log *log, const void *bytes, size_t length)
{
    if (log->fd >= 0 && log->written + length > BH_LOG_ROTATE_BYTES)
        rotate(log);
    if (log->fd < 0)
        return;
    const ssize_t wrote = write(log->fd, bytes, length);
    log->written += wrote > 0 ? (size_t)wrote : 0;
}

size_t bh_log_tail(const struct bh_log *log, char *text, size_t size)
{
    const size_t want = size - 1 < log->written ? size - 1 : log->written;
    const ssize_t got = log->fd >= 0 ? pread(log->fd, text, want, (off_t)(log->written - want)) : 0;
    const size_t length = got > 0 ? (size_t)got : 0;
    for (size_t i = 0; i < length; i++)
        if (text[i] != '\n' && text[i] != '\t' && (text[i] < 0x20 || text[i] > 0x7e))
            text[i] = text[i] == '\r' ? ' ' : '?';
    text[length] = 0;
    return length;
}

void bh_log_close(struct bh_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}

/* --- fed by a pipe ----------------------------------------------------------------------------------------- */

void bh_log_pipe_drain(struct bh_log_pipe *pipe)
{
    char bytes[CHUNK];
    for (int chunk = 0; chunk < CHUNKS_PER_ROUND && pipe->read_fd >= 0; chunk++) {
        const ssize_t got = read(pipe->read_fd, bytes, sizeof(bytes));
        if (got <= 0)
            return;
        bh_log_write(&pipe->log, bytes, (size_t)got);
        if (pipe->bytes)
            pipe->bytes(pipe, bytes, (size_t)got);
    }
}

static void readable(struct bh_loop_fd *watch, uint32_t events)
{
    bh_log_pipe_drain(BH_LOOP_OWNER(watch, struct bh_log_pipe, watch));
}

int bh_log_pipe_open(struct bh_log_pipe *pipe, struct bh_loop *loop, int dir_fd, const char *name,
                     void (*bytes)(struct bh_log_pipe *pipe, const char *bytes, size_t length))
{
    int ends[2];
    pipe->bytes = bytes;
    pipe->watch = (struct bh_loop_fd){0};
    pipe->read_fd = pipe->write_fd = -1;
    int err = bh_log_open(&pipe->log, dir_fd, name);
    if (err)
        return err;
    if (pipe2(ends, O_CLOEXEC)) {
        bh_log_close(&pipe->log);
        return BH_ERR_IO;
    }
    pipe->read_fd = ends[0];
    pipe->write_fd = ends[1];
    fcntl(pipe->read_fd, F_SETFL, O_NONBLOCK);
    err = bh_loop_fd_add(loop, &pipe->watch, pipe->read_fd, BH_LOOP_READ, readable);
    if (err)
        bh_log_pipe_close(pipe);
    return err;
}

void bh_log_pipe_close(struct bh_log_pipe *pipe)
{
    bh_loop_fd_remove(&pipe->watch);
    if (pipe->read_fd >= 0)
        close(pipe->read_fd);
    if (pipe->write_fd >= 0)
        close(pipe->write_fd);
    pipe->read_fd = pipe->write_fd = -1;
    bh_log_close(&pipe->log);
}

/* --- a text in a stream ------------------------------------------------------------------------------------ */

int bh_match_init(struct bh_match *match, const char *text)
{
    match->text = text;
    match->text_length = strlen(text);
    match->kept = 0;
    match->window = malloc(match->text_length + CHUNK);
    return match->window ? BH_OK : BH_ERR_NOMEM;
}

void bh_match_reset(struct bh_match *match)
{
    match->kept = 0;
}

bool bh_match_feed(struct bh_match *match, const char *bytes, size_t length)
{
    while (match->window && length) {
        const size_t take = length < CHUNK ? length : CHUNK;
        memcpy(match->window + match->kept, bytes, take);
        const size_t filled = match->kept + take;
        if (memmem(match->window, filled, match->text, match->text_length))
            return true;
        match->kept = filled < match->text_length ? filled : match->text_length - (match->text_length > 0);
        memmove(match->window, match->window + filled - match->kept, match->kept);
        bytes += take;
        length -= take;
    }
    return false;
}

void bh_match_fini(struct bh_match *match)
{
    free(match->window);
    match->window = NULL;
}
