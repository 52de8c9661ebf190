/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Following a system: its daemon's events as lines for a person.
 */
#include "cli/running.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { TAIL_LINES = 15 };

struct follower {
    struct bh_client *client;
    struct bh_colours colours;
    const char *source; /* the description, as given */
    bool quiet, is_ready, failed;
    const char *when_ready; /* a line, said once; or NULL */
    int pid;                /* the daemon's */
};

/* Set by the handler, read between two waits. */
static volatile sig_atomic_t interrupts;

static void interrupted(int signo)
{
    interrupts++;
}

static void say_unit(struct follower *follower, const json_t *event)
{
    const char *state = bh_text_of(event, "state"), *name = bh_text_of(event, "name");
    const bool is_domain = !strcmp(bh_text_of(event, "kind"), "domain");
    const double seconds = json_real_value(json_object_get(event, "seconds"));
    const struct bh_colours *c = &follower->colours;
    if (!strcmp(state, "ready"))
        printf("  %s%-24s%s ready after %.1f s\n", c->good, name, c->off, seconds);
    else if (is_domain && !strcmp(state, "running"))
        printf("  %-24s booting\n", name);
    else if (is_domain && !strcmp(state, "stopping"))
        printf("  %-24s stopping\n", name);
    else if (!strcmp(state, "stopped"))
        printf("  %s%-24s stopped%s\n", c->dim, name, c->off);
}

/* The last lines are what matters. */
static const char *last_lines(const char *text, unsigned lines)
{
    const char *from = text + strlen(text);
    while (from > text && (from[-1] != '\n' || lines-- > 0))
        from--;
    return from;
}

static void say_tail(const char *title, const char *text)
{
    if (text[0])
        fprintf(stderr, "%s:\n%s%s", title, last_lines(text, TAIL_LINES),
                text[strlen(text) - 1] == '\n' ? "" : "\n");
}

static void say_failure(struct follower *follower, const json_t *event)
{
    const char *name = bh_text_of(event, "name"), *cause = bh_text_of(event, "cause"),
               *why = bh_text_of(event, "why");
    const char *pattern = bh_text_of(event, "pattern");
    const struct bh_diag_where where = {.file = follower->source,
                                        .line = (unsigned)json_integer_value(json_object_get(event, "line")),
                                        .node = name};
    const int timeout_ms = (int)json_integer_value(json_object_get(event, "timeout_ms"));
    const json_t *device;
    char title[128];
    size_t index;
    follower->failed = true;
    fflush(stdout);
    const bool refused = !strcmp(cause, "it cannot be started");
    if (!strcmp(cause, "not ready in time") && pattern[0])
        bh_error(NULL, NULL, "look at what it printed below; bulkhead,ready-timeout sets the time",
                 "%s is not ready: \"%s\" did not come out of its console within %.1f s", name, pattern,
                 timeout_ms / 1e3);
    else if (refused)
        bh_error(NULL, &where, NULL, "%s: %s", cause, why[0] ? why : "nothing more is known");
    else
        bh_error(NULL, &where, NULL, "failed: %s%s%s", cause, why[0] ? ": " : "", why);
    if (!refused || !why[0]) /* what it said last is why */
        say_tail("the end of its log", bh_text_of(event, "log"));
    say_tail("the end of its console", bh_text_of(event, "console"));
    json_array_foreach(json_object_get(event, "devices"), index, device)
    {
        snprintf(title, sizeof(title), "what its %s said last", bh_text_of(device, "name"));
        say_tail(title, bh_text_of(device, "log"));
    }
}

static void say_other(struct follower *follower, const json_t *event)
{
    const char *level = bh_text_of(event, "level"), *name = bh_text_of(event, "name");
    fflush(stdout);
    if (strcmp(level, "note") != 0)
        fprintf(stderr, "  %s%s: %s%s%s%s\n", follower->colours.bad, level, name, name[0] ? ": " : "",
                bh_text_of(event, "text"), follower->colours.off);
    else if (!follower->quiet)
        fprintf(stderr, "  %s\n", bh_text_of(event, "text"));
}

/* True when the event ends the following. */
static bool handle(struct follower *follower, const json_t *event, bool until_ready)
{
    const char *kind = bh_text_of(event, "event");
    if (!strcmp(kind, "begin")) {
        follower->pid = (int)json_integer_value(json_object_get(event, "pid"));
        if (!follower->quiet)
            printf("%s%s%s on engine %s\n", follower->colours.bold, bh_text_of(event, "system"),
                   follower->colours.off, bh_text_of(event, "engine"));
    } else if (!strcmp(kind, "unit")) {
        if (!follower->quiet)
            say_unit(follower, event);
    } else if (!strcmp(kind, "failed")) {
        say_failure(follower, event);
    } else if (!strcmp(kind, "says")) {
        say_other(follower, event);
    } else if (!strcmp(kind, "ready")) {
        follower->is_ready = true;
        if (!follower->quiet) {
            printf("%sready after %.1f s%s\n", follower->colours.good,
                   json_real_value(json_object_get(event, "seconds")), follower->colours.off);
            printf("%s", follower->when_ready ? follower->when_ready : "");
            follower->when_ready = NULL;
        }
    }
    fflush(stdout);
    return until_ready && follower->is_ready;
}

/* Once: in good order. Twice: now. */
static void pass_on_interrupts(struct follower *follower, int *passed)
{
    while (*passed < interrupts && *passed < 2) {
        (*passed)++;
        fprintf(stderr, *passed == 1 ? "\nstopping; once more stops at once\n" : "\nstopping at once\n");
        if (bh_client_send(follower->client, "down", json_pack("{s:b}", "now", *passed > 1)))
            return; /* it is gone: the next read says so */
    }
}

int bh_follow(struct bh_client *client, const char *source, bool until_ready, bool quiet,
              const char *when_ready)
{
    struct follower follower = {.client = client,
                                .colours = bh_colours_for(STDOUT_FILENO),
                                .source = source,
                                .quiet = quiet,
                                .when_ready = when_ready};
    const struct sigaction action = {.sa_handler = interrupted};
    struct sigaction former_int, former_term;
    int passed = 0, err = BH_OK;
    bool done = false;
    interrupts = 0;
    sigaction(SIGINT, &action, &former_int);
    sigaction(SIGTERM, &action, &former_term);
    while (!done && (!err || err == BH_ERR_CANCELLED || err == BH_ERR_TIMEOUT)) {
        json_t *event;
        err = bh_client_read(client, 500,
                             &event); /* a signal just before the wait is seen half a second later */
        pass_on_interrupts(&follower, &passed);
        if (err)
            continue;
        done = handle(&follower, event, until_ready);
        json_decref(event);
    }
    if (!done && follower.pid)
        bh_wait_gone(follower.pid, 5000);
    sigaction(SIGINT, &former_int, NULL);
    sigaction(SIGTERM, &former_term, NULL);
    if (follower.failed)
        return BH_EXIT_FAILED;
    if (passed)
        return BH_EXIT_INTERRUPTED;
    return done ? BH_EXIT_OK : BH_EXIT_FAILED;
}
