/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user, the back-end's side: serves one device to one front-end after the other over a Unix socket
 * [vhost-user.rst, "Communication"]. What it does with each message stands in docs/transport-vhost-user.md.
 *
 * A malformed message, a peer that goes away or memory that is taken away under us ends that connection alone: the
 * device is reset, everything of the connection is given back, and a listening server waits for the next one.
 *
 * Threading: everything on the loop's thread, the device's queues included.
 * Ownership: device, memory, loop and sink are the caller's and outlive the server; the fd becomes the server's.
 * May block: no; stopping is a start, and `stopped` is called when it is done.
 */
#ifndef TRANSPORTS_VHOST_USER_VHOST_USER_H
#define TRANSPORTS_VHOST_USER_VHOST_USER_H

#include <bulkhead/device.h>
#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/keeper.h>
#include <bulkhead/impl/loop.h>

struct bh_vhost_user;

struct bh_vhost_user_owner {
    /* A front-end came or went. May be NULL. */
    void (*connected)(struct bh_vhost_user *server, void *owner, bool is);
    /*
     * A server that does not listen has no peer: bh_vhost_user_connect gives it one (a next one), or it is to be
     * stopped.
     */
    void (*ended)(struct bh_vhost_user *server, void *owner);
    /* bh_vhost_user_stop is done: the device is quiet and detached, the server may be destroyed. */
    void (*stopped)(struct bh_vhost_user *server, void *owner);
};

struct bh_vhost_user_counters {
    uint32_t connections;
    uint32_t resumed; /* of them, those that a former process had begun */
    uint32_t messages;
    uint32_t malformed;        /* connections closed for what the peer sent */
    uint32_t refused;          /* messages that were well formed and answered with an error */
    uint32_t unasked_features; /* SET_FEATURES that brought bits never offered */
    uint32_t lost_memory;      /* connections closed since their memory was truncated */
};

#define BH_VHOST_USER_CLIENT (-2) /* in place of a socket: peers come by bh_vhost_user_connect */

/*
 * Serve `dev` (not attached to a transport, its memory is `mem`) on the stream socket `fd`, which is listening or
 * connected, as SO_ACCEPTCONN says. `name` opens what is logged; it outlives the server. On failure the fd stays the
 * caller's. BH_ERR_INVAL: no Unix stream socket; BH_ERR_NOMEM; BH_ERR_IO.
 *
 * `keeper` may be NULL; it outlives the server. With one, this process may be killed at any moment: its successor, given
 * the same device, the same `fd` and what the keeper kept, goes on with the connection where it stood
 * (docs/recovery.md). The successor of a process that served a connected socket may also have `fd` -1: BH_ERR_NOENT when
 * nothing was kept for it.
 */
int bh_vhost_user_create(struct bh_loop *loop, struct bh_device *dev, int fd, const char *name,
                         struct bh_diag_sink *sink, struct bh_keeper *keeper,
                         const struct bh_vhost_user_owner *owner_ops, void *owner,
                         struct bh_vhost_user **server) BH_MUST_USE;
/*
 * A server whose owner was told `ended` gets the connected stream socket `fd`. On failure it stays the caller's.
 * BH_ERR_BUSY: not now; BH_ERR_INVAL: no Unix stream socket; BH_ERR_IO.
 */
int bh_vhost_user_connect(struct bh_vhost_user *server, int fd) BH_MUST_USE;
/* Close the connection and listen no more; owner_ops->stopped is called, from the loop, when the device is quiet. */
void bh_vhost_user_stop(struct bh_vhost_user *server);
/* Of a stopped server. NULL is allowed. */
void bh_vhost_user_destroy(struct bh_vhost_user *server);

const struct bh_vhost_user_counters *bh_vhost_user_counters(const struct bh_vhost_user *server);

#endif
