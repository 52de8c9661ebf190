/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device process as the client of a front-end that listens (--connect): asks for a connection until there is one.
 *
 * Threading: the loop's thread.   Ownership: path and loop are the caller's.   May block: no.
 */
#ifndef PROGRAMS_DEVICE_CONNECT_H
#define PROGRAMS_DEVICE_CONNECT_H

#include <bulkhead/impl/loop.h>

struct bh_connector {
    struct bh_loop *loop;
    const char *path;
    void (*connected)(struct bh_connector *connector, int fd); /* the fd becomes the callee's */
    struct bh_loop_timer again;
    bool asked; /* once at least: the next time waits a little */
    int said;   /* the errno that was told last, so that it is told once; 0: none */
};

/* BH_ERR_RANGE, BH_ERR_INVAL: a path that no socket can have, which is said. */
int bh_connector_init(struct bh_connector *connector, struct bh_loop *loop, const char *path,
                      void (*connected)(struct bh_connector *connector, int fd)) BH_MUST_USE;
/* Ask, a few times a second, until connector->connected is called, from the loop. */
void bh_connector_start(struct bh_connector *connector);
void bh_connector_stop(struct bh_connector *connector);

#endif
