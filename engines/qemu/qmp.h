/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QMP: a small asynchronous client for one QEMU's control socket. Commands are sent without waiting; replies are
 * only looked at for errors and for what this engine must know, events are handed up.
 *
 * Threading: the loop's.   Ownership: struct bh_qmp is the caller's; the fd becomes its.   May block: never.
 */
#ifndef ENGINES_QEMU_QMP_H
#define ENGINES_QEMU_QMP_H

#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/loop.h>
#include <stdbool.h>
#include <stddef.h>

enum { BH_QMP_LINE_MAX = 64 * 1024 };

struct bh_qmp {
    struct bh_loop_fd watch;
    int fd; /* -1: closed */
    char *line;
    size_t length;
    struct bh_diag_limit limit; /* of errors */
    bool ready;                 /* capabilities are negotiated: commands may be sent */
    /* `name` is NULL when QMP is ready; `reason` and `guest` are of SHUTDOWN and RESET, else NULL and false. */
    void (*event)(struct bh_qmp *qmp, const char *name, const char *reason, bool guest);
    /* A command was refused, or the peer made no sense; rate-limited. */
    void (*error)(struct bh_qmp *qmp, const char *what);
};

/* Take fd and begin. BH_ERR_NOMEM, BH_ERR_IO; the fd is closed then. */
int bh_qmp_init(struct bh_qmp *qmp, struct bh_loop *loop, int fd,
                void (*event)(struct bh_qmp *qmp, const char *name, const char *reason, bool guest),
                void (*error)(struct bh_qmp *qmp, const char *what)) BH_MUST_USE;
void bh_qmp_fini(struct bh_qmp *qmp); /* also after a failed init; again: nothing happens */

/* Send a command, `arguments` being JSON text or NULL. BH_ERR_CLOSED: QEMU is gone, or does not read. */
int bh_qmp_send(struct bh_qmp *qmp, const char *command, const char *arguments);

#endif
