/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the two ends of a link find each other on one path, whoever starts first, again and again.
 *
 * Threading: the loop's thread.   Ownership: the caller's memory; a connection given to `met` is its own.
 * May block: no longer than a file system's lock.
 */
#ifndef DEVICES_NET_LINK_MEET_H
#define DEVICES_NET_LINK_MEET_H

#include <bulkhead/impl/accept.h>

struct bh_link_meet {
    struct bh_loop *loop;
    const char *path;
    int listener; /* -1: not the one who listens */
    bool busy;    /* a connection is up: others are turned away */
    void (*met)(struct bh_link_meet *meet, int fd);
    struct bh_loop_fd watch;
    struct bh_accept accept; /* beside it */
    struct bh_loop_timer retry;
};

/*
 * Begin; `met` is called with a connected SOCK_SEQPACKET once the other end is there, never from within.
 * BH_ERR_RANGE, BH_ERR_INVAL: a path that no socket can have, said on `sink`.
 */
int bh_link_meet_start(struct bh_link_meet *meet, struct bh_loop *loop, const char *path,
                       void (*met)(struct bh_link_meet *meet, int fd), struct bh_diag_sink *sink) BH_MUST_USE;
/* The connection given to `met` has ended: look for the other end again, in `delay_ms`. */
void bh_link_meet_again(struct bh_link_meet *meet, unsigned delay_ms);
void bh_link_meet_stop(struct bh_link_meet *meet);

#endif
