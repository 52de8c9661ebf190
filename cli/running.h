/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verbs that speak to a running system share: the options that say which one, colours, and following the
 * events of its daemon.
 *
 * Threading: one thread.   Ownership: as said.   May block: yes.
 */
#ifndef CLI_RUNNING_H
#define CLI_RUNNING_H

#include "cli/verb.h"
#include "daemon/client.h"
#include <bulkhead/impl/loop.h>

/* First in the values of every such verb. */
struct bh_running_values {
    char *run_dir;
    char *system;
};

#define BH_RUNNING_OPTIONS(values)                                                                           \
    {.name = "system",                                                                                       \
     .type = BH_OPT_STRING,                                                                                  \
     .offset = offsetof(values, running.system),                                                             \
     .arg = "NAME",                                                                                          \
     .help = "The running system; needed only when there are several",                                       \
     .cli_only = true},                                                                                      \
        BH_RUN_DIR_OPTION(offsetof(values, running.run_dir))

#define BH_RUN_DIR_OPTION(where)                                                                             \
    {                                                                                                        \
        .name = "run-dir", .type = BH_OPT_PATH, .offset = (where), .arg = "DIR",                             \
        .help = "Where run directories are, instead of $XDG_RUNTIME_DIR/bulkhead, /run/bulkhead or "         \
                "/tmp/bulkhead-UID",                                                                         \
        .cli_only = true                                                                                     \
    }

/* Escape sequences, or empty strings where stdout is no terminal or NO_COLOR is set. */
struct bh_colours {
    const char *good, *bad, *dim, *bold, *off;
};
struct bh_colours bh_colours_for(int fd);
const char *bh_state_colour(const struct bh_colours *colours, const char *state);

/* bh_client_ask for verbs that want a daemon that stays: all that is wrong has been said. */
int bh_ask(struct bh_client *client, const char *op, json_t *request, json_t **answer) BH_MUST_USE;
/* A member that is a text; "" when there is none. */
const char *bh_text_of(const json_t *object, const char *key);

/* What a failed connection or request means for the shell. */
int bh_exit_of(int err);

/*
 * Follow a system's way up or down, a line for each thing that happened, until it is ready (until_ready) or its
 * daemon is gone; when_ready (or NULL) is printed once it is. SIGINT and SIGTERM ask the system to stop, the second time
 * at once. `source`: the description that a failure may name; NULL where none is at hand. Returns an exit code:
 * BH_EXIT_OK only when it was followed until it was ready, and is.
 */
int bh_follow(struct bh_client *client, const char *source, bool until_ready, bool quiet,
              const char *when_ready);

/* Wait until the process that `pid` names is gone, at most timeout_ms. */
bool bh_wait_gone(int pid, int timeout_ms);

#endif
