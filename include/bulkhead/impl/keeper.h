/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody outside of the process who keeps file descriptors for it by name, and gives them back to its successor: the
 * service manager's fd store (systemd's, or our daemon's), a parent process in tests. It is what lets a device process
 * be killed at any moment and be gone on with (docs/recovery.md).
 *
 * Theory of operation
 *   put leaves a duplicate with the keeper. When it returned BH_OK the keeper has it, or will have it before it starts
 * a successor, even if this process is killed right then. drop takes a name back. Puts and drops take effect in the
 * order in which they were made. At start the keeper has given back everything that it keeps, in `kept`; it goes on
 * keeping it, under the same names, until it is dropped.
 *   A name is put once and not put again before it was dropped. Two names never stand for the same open file
 * description: systemd would take the second for a duplicate and forget it.
 *   A kept fd is not to be watched by the keeper for hang-ups (FDPOLL=0): who uses it sees them, and drops it.
 *
 *   Names belong to who puts them: "vu-..." to the vhost-user transport. Whoever finds names in `kept` that are its own
 * and of no use takes and drops them. The names of sockets that the manager passes for listening are others.
 *
 * Threading: the loop's thread.
 * Ownership: the keeper and `kept` are the program's and outlive their users; put leaves the fd the caller's; take
 *   makes it the caller's.
 * May block: put and drop may, shortly, for the manager's socket to have room; it never waits for the manager's answer.
 */
#ifndef BULKHEAD_IMPL_KEEPER_H
#define BULKHEAD_IMPL_KEEPER_H

#include <bulkhead/err.h>
#include <stddef.h>

#define BH_KEEPER_NAME_MAX 32u /* with its final 0; letters, digits and dashes */

struct bh_keeper;

struct bh_keeper_ops {
    /* BH_ERR_IO: it was not left there. */
    int (*put)(struct bh_keeper *keeper, const char *name, int fd);
    /* A name that is not kept: nothing happens. */
    void (*drop)(struct bh_keeper *keeper, const char *name);
};

struct bh_kept {
    int fd; /* -1: taken */
    char name[BH_KEEPER_NAME_MAX];
};

/* A keeper's own struct embeds it. */
struct bh_keeper {
    const struct bh_keeper_ops *ops;
    struct bh_kept *kept; /* as given back at start; may be NULL when kept_count is 0 */
    size_t kept_count;
};

/* Take what was given back under `name` (ports/linux/keeper.c); -1: nothing was. */
int bh_keeper_take(struct bh_keeper *keeper, const char *name);

#endif
