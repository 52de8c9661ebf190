/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept4 for watched sockets, with a rest instead of a spin where file descriptors have run out.
 *
 * #syscalls accept4
 */
#include <bulkhead/impl/accept.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { SAY_PERIOD_MS = 60000 };

static void look_again(struct bh_loop_timer *timer)
{
    struct bh_accept *accept = BH_LOOP_OWNER(timer, struct bh_accept, again);
    bh_loop_fd_want(accept->watch, BH_LOOP_READ);
}

static void rest(struct bh_accept *accept, struct bh_diag_sink *sink, const char *what, int why)
{
    unsigned held = 0;
    accept->limit.burst = 1;
    accept->limit.period_ms = SAY_PERIOD_MS;
    if (bh_diag_allowed(&accept->limit, &held))
        bh_warn(sink, NULL, "raise the limit (ulimit -n)", "%s: no connection can be accepted for now: %s",
                what, strerror(why));
    bh_loop_fd_want(accept->watch, 0);
    bh_loop_timer_set(accept->watch->loop, &accept->again, BH_ACCEPT_PAUSE_MS, look_again);
}

int bh_accept(struct bh_accept *accept, struct bh_loop_fd *watch, struct bh_diag_sink *sink, const char *what)
{
    const int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    accept->watch = watch;
    /* Any other error is the client's: it went away again. */
    if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
        rest(accept, sink, what, errno);
    return fd;
}

void bh_accept_cancel(struct bh_accept *accept)
{
    bh_loop_timer_cancel(&accept->again);
}
