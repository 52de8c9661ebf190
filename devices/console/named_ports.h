/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named ports of a console: each a channel between a program of the guest and a Unix socket of ours, as guest agents
 * use them. Some are there from the start, others come and go.
 *
 * Threading: the loop's thread.   Ownership: what was added is the list's until it is removed or _fini.
 * May block: no.
 */
#ifndef DEVICES_CONSOLE_NAMED_PORTS_H
#define DEVICES_CONSOLE_NAMED_PORTS_H

#include "devices/console/console.h"
#include "devices/console/ends.h"

/* Sockets at the start that stand where the user says: the sandbox keeps each one's folder in sight. */
#define BH_NAMED_PORT_PATHS_MAX 8u

struct bh_named_port;
struct bh_named_ports {
    struct bh_console *console;
    struct bh_loop *loop;
    struct bh_diag_sink *sink; /* outlives the list */
    const char *folder;        /* where sockets without a path of their own are; NULL: there is none */
    struct bh_named_port *ports[BH_CONSOLE_PORTS_MAX];
    unsigned count;
};

/*
 * One more, from "NAME" or "NAME,path=SOCKET". What is wrong is said on `sink`: BH_ERR_INVAL: the text; BH_ERR_EXIST: the
 * name is taken, or the path; BH_ERR_NOMEM: no number is free; _NOENT, _RANGE, _IO: the socket.
 */
int bh_named_ports_add(struct bh_named_ports *list, const char *text, struct bh_diag_sink *sink) BH_MUST_USE;
/* BH_ERR_NOENT: there is none of that name. */
int bh_named_ports_remove(struct bh_named_ports *list, const char *name,
                          struct bh_diag_sink *sink) BH_MUST_USE;
void bh_named_ports_fini(struct bh_named_ports *list);

/* An option's `check` of the same text. */
int bh_named_port_check(const char *text, struct bh_diag_sink *sink, const struct bh_diag_where *where);
/* The path in the text, or NULL: the folder's. */
const char *bh_named_port_path(const char *text);

#endif
