/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small things of the verbs that speak to a running system. See running.h.
 */
#include "cli/running.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct bh_colours bh_colours_for(int fd)
{
    const char *no_colour = getenv("NO_COLOR");
    if (!isatty(fd) || (no_colour && no_colour[0]))
        return (struct bh_colours){"", "", "", "", ""};
    return (struct bh_colours){"\033[32m", "\033[31m", "\033[2m", "\033[1m", "\033[0m"};
}

const char *bh_state_colour(const struct bh_colours *colours, const char *state)
{
    if (!strcmp(state, "ready"))
        return colours->good;
    if (!strcmp(state, "failed") || !strcmp(state, "backoff"))
        return colours->bad;
    return colours->dim;
}

int bh_ask(struct bh_client *client, const char *op, json_t *request, json_t **answer)
{
    const int err = bh_client_ask(client, op, request, NULL, answer);
    if (err == BH_ERR_CLOSED)
        bh_error(NULL, NULL, "`bulkhead ps` shows what runs", "the system's daemon has gone away");
    return err;
}

const char *bh_text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

int bh_exit_of(int err)
{
    switch (err) {
    case BH_OK: return BH_EXIT_OK;
    case BH_ERR_NOENT: return BH_EXIT_NOT_RUNNING;
    case BH_ERR_UNSUPPORTED: return BH_EXIT_MISSING;
    case BH_ERR_CANCELLED: return BH_EXIT_INTERRUPTED;
    default: return BH_EXIT_FAILED;
    }
}

bool bh_wait_gone(int pid, int timeout_ms)
{
    struct pollfd waiting = {.events = POLLIN};
    waiting.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (waiting.fd < 0)
        return true;
    const bool gone = poll(&waiting, 1, timeout_ms) == 1;
    close(waiting.fd);
    return gone;
}
