/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the two ends of a link find each other.
 *
 * Theory of operation
 *   Both ends do the same: connect; when nobody listens, listen. The two steps are made under a lock on the
 * path's folder, so that two ends that start at once do not both listen. When the connection ends, the one who
 * listens goes on listening, the other begins anew, and becomes the listener if its peer is gone for good.
 *
 * #syscalls open openat flock socket connect bind listen fchmod unlink unlinkat lstat newfstatat
 */
#include "devices/net/link_meet.h"

#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define RETRY_MS 50u

static void attempt(struct bh_loop_timer *timer);

static void came(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_link_meet *meet = BH_LOOP_OWNER(watch, struct bh_link_meet, watch);
    const int fd = bh_accept(&meet->accept, watch, NULL, "link-path");

    if (fd < 0)
        return;
    if (meet->busy) { /* a cable has two ends */
        close(fd);
        return;
    }
    meet->busy = true;
    meet->met(meet, fd);
}

/* The lock that both ends take: on the folder, so that nothing is left behind. -1: not now. */
static int lock_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    int len = slash ? (int)(slash - path) + 1 : 1;

    snprintf(folder, sizeof(folder), "%.*s", len, slash ? path : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Connect or listen, under the lock. Returns a connection, or -1: listening, or to be tried again. */
static int connect_or_listen(struct bh_link_meet *meet)
{
    const int type = SOCK_SEQPACKET | SOCK_NONBLOCK;
    int fd = bh_unix_connect(meet->path, type);

    if (fd >= 0 || (errno != ENOENT && errno != ECONNREFUSED))
        return fd;
    meet->listener = bh_unix_listen(meet->path, type, 2, BH_UNIX_OURS_ALONE | BH_UNIX_REPLACE_STALE);
    if (meet->listener >= 0 &&
        bh_loop_fd_add(meet->loop, &meet->watch, meet->listener, BH_LOOP_READ, came) != BH_OK) {
        close(meet->listener);
        meet->listener = -1;
    }
    return -1;
}

static void attempt(struct bh_loop_timer *timer)
{
    struct bh_link_meet *meet = BH_LOOP_OWNER(timer, struct bh_link_meet, retry);
    int lock = lock_folder(meet->path);
    int fd = lock < 0 ? -1 : connect_or_listen(meet);

    if (lock >= 0)
        close(lock);
    if (fd >= 0) {
        meet->busy = true;
        meet->met(meet, fd);
    } else if (meet->listener < 0) {
        bh_loop_timer_set(meet->loop, &meet->retry, RETRY_MS, attempt);
    }
}

int bh_link_meet_start(struct bh_link_meet *meet, struct bh_loop *loop, const char *path,
                       void (*met)(struct bh_link_meet *meet, int fd), struct bh_diag_sink *sink)
{
    struct sockaddr_un address;
    *meet = (struct bh_link_meet){.loop = loop, .path = path, .listener = -1, .met = met};
    if (bh_unix_address(&address, path))
        return bh_unix_complain(path, errno, "link-path", sink);
    bh_loop_timer_set(loop, &meet->retry, 0, attempt);
    return BH_OK;
}

void bh_link_meet_again(struct bh_link_meet *meet, unsigned delay_ms)
{
    meet->busy = false;
    if (meet->listener < 0)
        bh_loop_timer_set(meet->loop, &meet->retry, delay_ms, attempt);
}

void bh_link_meet_stop(struct bh_link_meet *meet)
{
    bh_loop_timer_cancel(&meet->retry);
    bh_accept_cancel(&meet->accept);
    bh_loop_fd_remove(&meet->watch);
    if (meet->listener >= 0) {
        unlink(meet->path);
        close(meet->listener);
    }
}
