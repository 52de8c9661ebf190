/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guards against memory that is taken away: a peer may truncate the file behind a mapping, and the next touch is a
 * SIGBUS. A guarded mapping gets zeros laid over it instead, and its owner is told, so that one connection ends and
 * the process lives. A SIGBUS anywhere else takes its usual course.
 *
 * A signal handler can reach its data only through static storage: the table of guards is the one global of this
 * transport.
 *
 * Threading: add and remove from any thread; a guarded mapping is removed by the thread that touches it.
 * Ownership: the mapping and `lost` are the caller's and outlive the guard.   May block: no.
 */
#ifndef TRANSPORTS_VHOST_USER_GUARD_H
#define TRANSPORTS_VHOST_USER_GUARD_H

#include <bulkhead/err.h>
#include <signal.h>
#include <stddef.h>

#define BH_VU_GUARDS_MAX 2048u

/* Put the handler in its place: bh_vu_guard_add does, but a sandboxed process must have done so before. */
int bh_vu_guard_install(void) BH_MUST_USE;
/*
 * Guard `length` bytes (whole pages) at `base`. When they are lost, *lost becomes 1 and 8 bytes are written to
 * `wake_fd`, an eventfd. *guard is for bh_vu_guard_remove. BH_ERR_NOMEM: the table is full.
 */
int bh_vu_guard_add(void *base, size_t length, volatile sig_atomic_t *lost, int wake_fd,
                    unsigned *guard) BH_MUST_USE;
/* Before the mapping is unmapped. */
void bh_vu_guard_remove(unsigned guard);

#endif
