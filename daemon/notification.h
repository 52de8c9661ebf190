/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a device process says of itself by sd_notify's protocol (sd_notify(3)), taken apart. The sender parses guest
 * data, so that its words are outside data: they are bounded, and nothing in them is believed beyond its form.
 *
 * Threading: any.   Ownership: the result points to nothing.   May block: no.
 */
#ifndef DAEMON_NOTIFICATION_H
#define DAEMON_NOTIFICATION_H

#include <stdbool.h>
#include <stddef.h>

enum { BH_FD_NAME_MAX = 255, BH_STATUS_MAX = 511 };

struct bh_notification {
    bool ready, stopping;
    bool has_status, has_name;
    bool store, remove;             /* FDSTORE=1, FDSTOREREMOVE=1 */
    bool bad_name;                  /* FDNAME is no name: what it was to be done with is not done */
    char status[BH_STATUS_MAX + 1]; /* printable ASCII: it is shown on terminals */
    char name[BH_FD_NAME_MAX + 1];  /* FDNAME */
};

/* Assignments, one a line; of two of the same name the last counts. Unknown ones are left out. */
void bh_notification_parse(struct bh_notification *notification, const char *text, size_t length);

/* An FDNAME: 1 to 255 printable ASCII characters without ':' (sd_pid_notify_with_fds(3)). */
bool bh_fd_name_is_valid(const char *name, size_t length);

#endif
