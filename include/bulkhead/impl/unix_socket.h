/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix sockets by path: one place that fills a socket address, knows when a socket file is left over, and says what is
 * wrong with a path.
 *
 * `type` is SOCK_STREAM, SOCK_SEQPACKET or SOCK_DGRAM, with SOCK_NONBLOCK or not; every socket is close-on-exec. Where a
 * function returns -1, errno says why: ENAMETOOLONG for a path that no address holds, EINVAL for an empty one, else what
 * the kernel said. A caller that makes these calls inside the sandbox tags them itself.
 *
 * Threading: any thread.   Ownership: an fd that is returned is the caller's.   May block: bh_unix_connect, without
 * SOCK_NONBLOCK, while the backlog is full.
 */
#ifndef BULKHEAD_IMPL_UNIX_SOCKET_H
#define BULKHEAD_IMPL_UNIX_SOCKET_H

#include <bulkhead/err.h>
#include <bulkhead/impl/diag.h>
#include <sys/socket.h>
#include <sys/un.h>

#define BH_UNIX_PATH_MAX 107 /* bytes, without the NUL */

/* How to listen. */
enum {
    BH_UNIX_OURS_ALONE = 1, /* the file has mode 0600; else 0777 less the umask */
    BH_UNIX_REPLACE_STALE =
        2, /* a socket file that nobody is bound to, as killed programs leave it, is removed */
};

/* 0 or -1. */
int bh_unix_address(struct sockaddr_un *address, const char *path) BH_MUST_USE;

/* The connected socket, or -1. A Unix socket is connected at once or not at all. */
int bh_unix_connect(const char *path, int type) BH_MUST_USE;

/* A socket bound to the path, which listens unless it is of datagrams (`backlog` is then not looked at); or -1. */
int bh_unix_listen(const char *path, int type, int backlog, unsigned how) BH_MUST_USE;

/*
 * Why the path could not be listened on or is none, for a person; `why` is errno, `option` (may be NULL) names where the
 * path was given. Returns the code: BH_ERR_RANGE, too long; BH_ERR_INVAL, empty; BH_ERR_BUSY, another process serves it
 * or it is another kind of file; BH_ERR_NOENT; BH_ERR_ACCESS; BH_ERR_IO.
 */
int bh_unix_complain(const char *path, int why, const char *option, struct bh_diag_sink *sink);

#endif
