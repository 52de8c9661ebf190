/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions of the daemon to the device processes, over their control sockets (docs/control.md): one question is one
 * connection, one line each way, and ends in time whatever the process does. A report is one question to each of them.
 *
 * Threading: the loop's thread.   Ownership: as each says.   May block: no.
 */
#ifndef DAEMON_ASK_H
#define DAEMON_ASK_H

#include <jansson.h>

struct unit;
struct system;

struct ask;
/*
 * Send `request` ("v" is added; its reference is taken) and have `answered` called, once and never from within. An answer
 * longer than `most` bytes (at most BH_CONTROL_ANSWER_MAX) is none:
 * `answer` is the process's, with "ok" and all, `answered`'s to keep; NULL: `why` there is none. NULL: out of memory.
 */
struct ask *ask_device(struct unit *unit, json_t *request, size_t most,
                       void (*answered)(void *owner, json_t *answer, const char *why), void *owner);
/* Let go of a question that was not answered yet; NULL is allowed. */
void ask_cancel(struct ask *ask);

struct stats;
/*
 * What every device process counts, or those of the domain or device called `name` (NULL: all). `done` is called once,
 * never from within; `report` is its to keep: {"system", "devices": [...], "units": [...]}. NULL: out of memory.
 */
struct stats *stats_gather(struct system *system, const char *name, void (*done)(void *owner, json_t *report),
                           void *owner);
void stats_cancel(struct stats *stats);

#endif
