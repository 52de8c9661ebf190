/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Being a service: telling the manager (systemd, or our daemon) of readiness and state by sd_notify's datagram
 * protocol, and taking the file descriptors that it passed at start (sd_listen_fds(3)).
 * Without a manager (NOTIFY_SOCKET unset) every notification succeeds and does nothing.
 *
 * Threading: bh_listen_fds changes the environment: call it before threads start; the rest is free.
 * Ownership: fds given to bh_notify_send stay the caller's; those taken by bh_listen_fds become the caller's.
 * May block: bh_notify and bh_listen_fds, no (a manager that does not read loses the message: BH_ERR_IO);
 *   bh_notify_send, up to a second.
 */
#ifndef BULKHEAD_IMPL_NOTIFY_H
#define BULKHEAD_IMPL_NOTIFY_H

#include <bulkhead/err.h>
#include <stddef.h>

enum { BH_LISTEN_FDS_START = 3, BH_LISTEN_FD_NAME_MAX = 256 };

/*
 * Send assignments, one a line: "READY=1", "STOPPING=1", "STATUS=waiting for a front-end", "WATCHDOG=1".
 * BH_ERR_INVAL: NOTIFY_SOCKET is no address; BH_ERR_RANGE: too long; BH_ERR_IO: nobody took it.
 */
int bh_notify(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * A connection to the manager, for messages that must arrive. BH_ERR_NOENT: there is no manager (NOTIFY_SOCKET is not
 * set); BH_ERR_INVAL: it is no address; BH_ERR_IO: nobody is there.
 */
int bh_notify_open(int *fd) BH_MUST_USE;
/* Send assignments on it, with a duplicate of *passed (may be NULL), waiting for room. BH_ERR_RANGE, BH_ERR_IO. */
int bh_notify_send(int fd, const int *passed, const char *format, ...)
    __attribute__((format(printf, 3, 4))) BH_MUST_USE;

struct bh_listen_fd {
    int fd;
    char name[BH_LISTEN_FD_NAME_MAX]; /* of LISTEN_FDNAMES; empty when not named */
};

/*
 * The fds that the manager passed to this process, made close-on-exec; the environment is cleared, so that a
 * child does not take them for its own. *count is 0 when none were passed. BH_ERR_RANGE: more than `room`;
 * BH_ERR_INVAL: one that was announced is not open.
 */
int bh_listen_fds(struct bh_listen_fd *fds, size_t room, size_t *count) BH_MUST_USE;

#endif
