/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy from the host.
 *
 * Theory of operation
 *   Bytes go from getrandom() or read() straight to where the device points. When there are none, one of
 * three things calls the device again: the watch (a pipe or device that will be readable), the retry timer (a
 * failure, a file that has ended, a watch that the host refuses), or the period timer (the rate's share is
 * used up). A file that has ended gives nothing more: the same bytes twice would be no entropy. It may grow.
 *
 * #syscalls getrandom read
 */
#include "devices/rng/source_host.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define RETRY_MS 1000u

static struct bh_rng_source_host *host_of(struct bh_rng_source *source)
{
    return BH_CONTAINER(source, struct bh_rng_source_host, source);
}

static void tell_ready(struct bh_rng_source_host *host)
{
    if (host->source.ready)
        host->source.ready(&host->source);
}

static void readable(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_rng_source_host *host = BH_LOOP_OWNER(watch, struct bh_rng_source_host, watch);
    bh_loop_fd_remove(watch);
    tell_ready(host);
}

static void retry(struct bh_loop_timer *timer)
{
    tell_ready(BH_LOOP_OWNER(timer, struct bh_rng_source_host, retry));
}

static void period_ended(struct bh_loop_timer *timer)
{
    struct bh_rng_source_host *host = BH_LOOP_OWNER(timer, struct bh_rng_source_host, period);
    host->left = host->max_bytes;
    tell_ready(host);
}

static int wait_readable(struct bh_rng_source_host *host)
{
    if (host->watch.loop == NULL &&
        bh_loop_fd_add(host->loop, &host->watch, host->fd, BH_LOOP_READ, readable) != BH_OK)
        bh_loop_timer_set(host->loop, &host->retry, RETRY_MS, retry);
    return BH_ERR_AGAIN;
}

static int failed(struct bh_rng_source_host *host, const char *why)
{
    if (!host->said)
        bh_warn(host->sink, NULL, "the guest waits for entropy until the source works again", "%s: %s",
                host->path ? host->path : "getrandom", why);
    host->said = true;
    bh_loop_timer_set(host->loop, &host->retry, RETRY_MS, retry);
    return BH_ERR_IO;
}

static int fill(struct bh_rng_source *source, void *to, size_t len)
{
    struct bh_rng_source_host *host = host_of(source);

    if (host->max_bytes > 0) {
        if (host->left == 0)
            return BH_ERR_AGAIN; /* the period's timer runs */
        if (len > host->left)
            len = (size_t)host->left;
    }
    ssize_t got = host->fd < 0 ? getrandom(to, len, GRND_NONBLOCK) : read(host->fd, to, len);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        if (host->fd >= 0)
            return wait_readable(host);
        bh_loop_timer_set(host->loop, &host->retry, RETRY_MS,
                          retry); /* the host's generator is not seeded yet */
        return BH_ERR_AGAIN;
    }
    if (got < 0)
        return failed(host, strerror(errno));
    if (got == 0)
        return failed(host, "it has ended");
    host->said = false;
    if (host->max_bytes > 0) {
        if (host->left == host->max_bytes)
            bh_loop_timer_set(host->loop, &host->period, (uint32_t)host->period_ms, period_ended);
        host->left -= (uint64_t)got;
    }
    return (int)got;
}

static const struct bh_rng_source_ops host_ops = {.fill = fill};

static int open_error(const char *path, struct bh_diag_sink *sink)
{
    int err = errno;
    bh_error(sink, NULL, "give a file, device or pipe that this user may read, or leave rng-file out",
             "rng-file: cannot open %s: %s", path, strerror(err));
    return err == ENOENT                                    ? BH_ERR_NOENT
           : err == EACCES || err == EPERM || err == EISDIR ? BH_ERR_ACCESS
                                                            : BH_ERR_IO;
}

int bh_rng_source_host_init(struct bh_rng_source_host *host, struct bh_loop *loop, const char *path,
                            uint64_t max_bytes, uint64_t period_ms, struct bh_diag_sink *sink)
{
    struct stat file;
    int fd = -1;
    if (path) {
        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd >= 0 && fstat(fd, &file) == 0 && S_ISDIR(file.st_mode)) {
            close(fd);
            fd = -1;
            errno = EISDIR;
        }
        if (fd < 0)
            return open_error(path, sink);
    }
    *host = (struct bh_rng_source_host){
        .source = {.ops = &host_ops},
        .loop = loop,
        .sink = sink,
        .path = path,
        .fd = fd,
        .max_bytes = max_bytes,
        .period_ms = period_ms,
        .left = max_bytes,
    };
    return BH_OK;
}

void bh_rng_source_host_fini(struct bh_rng_source_host *host)
{
    bh_loop_fd_remove(&host->watch);
    bh_loop_timer_cancel(&host->retry);
    bh_loop_timer_cancel(&host->period);
    if (host->fd >= 0)
        close(host->fd);
}
