/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service manager as the keeper of a device process's fds: sd_notify's FDSTORE to leave them, sd_listen_fds'
 * protocol to get them back. systemd is one (FileDescriptorStoreMax= in the unit), our daemon another.
 *
 * In the manager's store each name has the prefix "kept-", so that what was kept and the sockets that the manager
 * listens on, which come back by the same road, are told apart.
 *
 * Threading: one thread.   Ownership: struct bh_notify_keeper is the caller's; fds as keeper.h says.
 * May block: open, no; put and drop, up to a second for room in the manager's socket.
 */
#ifndef BULKHEAD_IMPL_NOTIFY_KEEPER_H
#define BULKHEAD_IMPL_NOTIFY_KEEPER_H

#include <bulkhead/impl/keeper.h>
#include <bulkhead/impl/notify.h>

struct bh_notify_keeper {
    struct bh_keeper keeper;
    int fd; /* connected to the manager */
};

/*
 * Take from `passed` what was kept (those entries get fd -1; the rest, sockets to listen on, stay). The keeper may be
 * used, and is to be closed, only when BH_OK is returned; else what came back is closed. BH_ERR_NOENT: there is no
 * manager, so nobody keeps anything. BH_ERR_INVAL: NOTIFY_SOCKET is no address; BH_ERR_IO: nobody is there;
 * BH_ERR_NOMEM.
 */
int bh_notify_keeper_open(struct bh_notify_keeper *keeper, struct bh_listen_fd *passed,
                          size_t passed_count) BH_MUST_USE;
/* Close our side: what is kept stays kept, and what was not taken is closed here. */
void bh_notify_keeper_close(struct bh_notify_keeper *keeper);

#endif
