/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accepting connections where the process or the host may run out of file descriptors. A listening socket stays
 * readable while accept fails for want of one, so a loop that simply tried again would spin; here the socket is left
 * alone for a while instead, and its clients wait in the backlog.
 *
 * Threading: the thread of the watch's loop.   Ownership: the struct is its owner's, zero-initialised, beside the watch.
 * May block: no; the listening socket must be non-blocking.
 */
#ifndef BULKHEAD_IMPL_ACCEPT_H
#define BULKHEAD_IMPL_ACCEPT_H

#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/loop.h>

#define BH_ACCEPT_PAUSE_MS 100u

struct bh_accept {
    struct bh_loop_fd *watch;
    struct bh_loop_timer again;
    struct bh_diag_limit limit;
};

/*
 * From the callback of `watch`, which waits for BH_LOOP_READ on a listening socket: the next connection, non-blocking
 * and close-on-exec, or -1 when there is none. Without a descriptor for it the watch rests for BH_ACCEPT_PAUSE_MS,
 * which is said on `sink` (NULL: the default one) at most once a minute; `what` names the socket for a person.
 */
int bh_accept(struct bh_accept *accept, struct bh_loop_fd *watch, struct bh_diag_sink *sink,
              const char *what);
/* Before the watch is removed. */
void bh_accept_cancel(struct bh_accept *accept);

#endif
