/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other end of the control socket, for the command's verbs: find the running systems, ask, read answers and
 * events line by line.
 *
 * Threading: one thread per client.   Ownership: JSON values returned are the caller's.   May block: yes.
 */
#ifndef DAEMON_CLIENT_H
#define DAEMON_CLIENT_H

#include <bulkhead/err.h>
#include <bulkhead/impl/diag.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The longest line that a daemon says, and the longest that it takes from a device process. It leaves in one piece or not
 * at all, so it has to fit in a socket's buffer; Linux gives nobody more than some 400 KiB (net.core.wmem_max) unasked.
 */
enum { BH_CONTROL_ANSWER_MAX = 256 * 1024 };
enum { BH_SYSTEM_NAME_MAX = 64 };

struct bh_client {
    int fd;
    char *line;
    size_t length, room;
};

/* Take a connection (bh_daemon_start's). BH_ERR_NOMEM. */
int bh_client_take(struct bh_client *client, int fd) BH_MUST_USE;

/*
 * Connect to the running system called `system`; NULL: the only one that runs. What is wrong is said on `sink`.
 * BH_ERR_NOENT: none runs, or not that one. BH_ERR_INVAL: several run, and none was named. BH_ERR_ACCESS: `run_dir` is
 * NULL, and the usual place is not this user's alone.
 */
int bh_client_connect(struct bh_client *client, const char *run_dir, const char *system,
                      struct bh_diag_sink *sink) BH_MUST_USE;
void bh_client_close(struct bh_client *client);

/* Does the system's daemon answer? */
bool bh_client_runs(const char *run_dir, const char *system);
/* Names of the systems that answer now, at most `room`; returns how many. */
size_t bh_client_systems(const char *run_dir, char (*names)[BH_SYSTEM_NAME_MAX], size_t room);

/* Send {"v":1,"op":op,...}; takes the reference to `request` (NULL: nothing else). BH_ERR_CLOSED. */
int bh_client_send(struct bh_client *client, const char *op, json_t *request) BH_MUST_USE;
/*
 * The next line, waiting at most timeout_ms (-1: for ever). BH_ERR_TIMEOUT; BH_ERR_CLOSED: the daemon is gone;
 * BH_ERR_CANCELLED: a signal came; BH_ERR_PROTO: no JSON.
 */
int bh_client_read(struct bh_client *client, int timeout_ms, json_t **message) BH_MUST_USE;
/*
 * Send and read until the answer, events in between being dropped. An answer that is not ok is said on `sink`, and
 * BH_ERR_NOENT: nothing has that name; BH_ERR_RANGE: arguments are wrong or missing; BH_ERR_INVAL: any other refusal.
 * BH_ERR_CLOSED, the daemon went away, is not said: it may be what the caller waits for.
 */
int bh_client_ask(struct bh_client *client, const char *op, json_t *request, struct bh_diag_sink *sink,
                  json_t **answer) BH_MUST_USE;

#endif
