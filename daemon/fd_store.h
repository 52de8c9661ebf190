/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device process's file descriptors, kept for its next start: it leaves them here by sd_notify's FDSTORE (its
 * connection, guest memory, ring fds, and the state that says what they are), and gets them back by the protocol of
 * sd_listen_fds(3). Nothing is ever read from them here: they are held, and given to the same unit only.
 *
 * Threading: one thread per store.   Ownership: the store owns the fds in it.
 * May block: no (closing the last handle of a file may take as long as the file likes).
 */
#ifndef DAEMON_FD_STORE_H
#define DAEMON_FD_STORE_H

#include "daemon/notification.h"
#include <bulkhead/err.h>

/*
 * Room for vhost-user's 509 memory slots, three fds for each of 256 rings, and what is there once. A unit that leaves
 * more loses what is too much, and with it its resume, but never takes the daemon's own fds.
 */
enum { BH_FD_STORE_MAX = 1400 };

struct bh_fd_store_entry {
    int fd;
    char *name;
};

struct bh_fd_store {
    struct bh_fd_store_entry *entries;
    size_t count, room;
    unsigned refused; /* since it was emptied: how many fds there was no room for */
};

/*
 * Put an fd in, which becomes the store's. One of the same name is closed, and on an error the fd itself.
 * BH_ERR_NOSPC: it is full; BH_ERR_NOMEM.
 */
int bh_fd_store_put(struct bh_fd_store *store, const char *name, int fd) BH_MUST_USE;
/* Close what has that name. False: nothing has. */
bool bh_fd_store_remove(struct bh_fd_store *store, const char *name);
/* Close what a process left: were it a TCP socket that lingers, close() alone would wait for the socket's peer. */
void bh_fd_store_close(int fd);
/* Close everything. An empty store has nothing to free. */
void bh_fd_store_clear(struct bh_fd_store *store);

#endif
