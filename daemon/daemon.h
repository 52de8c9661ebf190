/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon: one process a system. It makes the run directory, creates the backends' listening sockets, starts
 * each device process and waits for its word that it is ready, then starts the domains, and goes on by what
 * supervise/ says. It parses no guest data: it looks for the ready text in a console's output, and copies the rest.
 *
 * When the daemon dies, everything stops: its children have PR_SET_PDEATHSIG, and where the host lets it, it is
 * the first process of a pid namespace of its own, which the kernel empties with it.
 *
 * Threading: bh_daemon_start forks; call it from a program with one thread.   Ownership: as said.
 * May block: bh_daemon_start looks for an engine and waits for what is left of an earlier run.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include "plan/plan.h"
#include <bulkhead/impl/diag.h>
#include <stdbool.h>

struct bh_daemon_settings {
    const char *run_dir; /* --run-dir; NULL: the default place */
    const char *engine;  /* --engine: a name or "auto" */
};

/*
 * Start the plan's system in a daemon of its own. *control is a connection to it, of the same protocol as its control
 * socket, that owns the system: until "detach" is said on it, its end takes everything down. The events that it
 * brings begin with the first device process. What is wrong is said on `sink`.
 * BH_ERR_BUSY: the system runs already; BH_ERR_UNSUPPORTED: no engine can run it; BH_ERR_NOENT: no engine is
 * called so; else as bh_run_dir_open.
 */
int bh_daemon_start(const struct bh_plan *plan, const struct bh_daemon_settings *settings,
                    struct bh_diag_sink *sink, int *control) BH_MUST_USE;

/*
 * The program that serves a class: bulkhead-CLASS in $BULKHEAD_LIBEXEC, beside our own executable, in the places where
 * an installation or a build folder has it, in PATH. BH_ERR_NOENT.
 */
int bh_program_find(const char *class_name, char *path, size_t size) BH_MUST_USE;

#endif
