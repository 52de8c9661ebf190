/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket of a device process: line-delimited JSON by which a person, a script or the daemon asks a device
 * what it is and how it does, and tells it what its class's verbs can. docs/control.md is its reference.
 *
 * Clients are bounded in number and in the length of their lines. One that does not read its answers is dropped:
 * nobody can make the device wait.
 *
 * Threading: the loop's thread.   Ownership: the subject and all that it points to outlive the socket.   May block: no.
 */
#ifndef PROGRAMS_DEVICE_CONTROL_H
#define PROGRAMS_DEVICE_CONTROL_H

#include "transports/vhost_user/vhost_user.h"
#include <bulkhead/impl/hosted_class.h>

struct json_t; /* jansson's */

enum { BH_CONTROL_VERSION = 1, BH_CONTROL_LINE_MAX = 4096, BH_CONTROL_CLIENTS_MAX = 8 };

/* What stands in the place of a virtio device's status and counters where there is none: members of `answer`. */
struct bh_control_teller {
    int (*status)(struct bh_hosted *hosted, struct json_t *answer);
    int (*counters)(struct bh_hosted *hosted, struct json_t *answer);
};

/* What a control socket tells of, kept up to date by its owner. */
struct bh_control_subject {
    struct bh_hosted *hosted;
    const struct bh_control_teller *teller; /* NULL: hosted->dev tells */
    const struct bh_option_set *options;    /* with their values; ends with a NULL table */
    const char *version;
    const struct bh_vhost_user *server; /* NULL: it does not serve yet */
    bool connected;
    struct bh_vhost_user_counters before; /* the server's, when the connection that is open now was opened */
};

/*
 * The answer to one line, a JSON object without a newline at its end; the caller frees it. NULL: out of memory.
 * Anything may stand in the line.
 */
char *bh_control_answer(const struct bh_control_subject *subject, const char *line,
                        size_t length) BH_MUST_USE;

struct bh_control_socket;

/* Serve on `fd`, a listening Unix stream socket that becomes the control's. BH_ERR_INVAL: it is none; _NOMEM, _IO. */
int bh_control_open(struct bh_loop *loop, int fd, const struct bh_control_subject *subject,
                    struct bh_control_socket **control) BH_MUST_USE;
/* NULL is allowed. */
void bh_control_close(struct bh_control_socket *control);

#endif
