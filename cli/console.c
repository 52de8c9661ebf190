/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead console`: attach this terminal to a domain's console until Ctrl-] (or the end of stdin) leaves it. The
 * guest is told the terminal's size, at first and when it changes, over a second connection: the first is the bytes.
 */
#include "cli/running.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

enum { ESCAPE_KEY = 0x1d, CHUNK = 4096, LINGER_MS = 300 }; /* Ctrl-], as telnet's and virsh's */

static void no_emit(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}
static struct bh_diag_sink silence = {.emit = no_emit};

struct console_values {
    struct bh_running_values running;
};

static const struct bh_option options[] = {
    BH_RUNNING_OPTIONS(struct console_values),
    {NULL},
};

/* The terminal as it was: put back on every way out, signals too. */
static struct termios former;
static volatile sig_atomic_t is_raw, ended, resized;

static void restore(void)
{
    if (is_raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &former);
    is_raw = 0;
}

static void end_signal(int signo)
{
    ended = 1;
}

static void window_signal(int signo)
{
    resized = 1;
}

static void make_raw(void)
{
    struct termios raw;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &former))
        return;
    raw = former;
    cfmakeraw(&raw);
    is_raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static bool write_all(int fd, const char *bytes, size_t length)
{
    while (length) {
        const ssize_t wrote = write(fd, bytes, length);
        if (wrote < 0 && errno == EINTR && !ended)
            continue;
        if (wrote <= 0)
            return false;
        bytes += wrote;
        length -= (size_t)wrote;
    }
    return true;
}

/* From the terminal to the guest. False: leave. On a pipe every byte is the guest's, the escape key too. */
static bool type(int fd)
{
    char bytes[CHUNK];
    const ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
    const char *escape = got > 0 && is_raw ? memchr(bytes, ESCAPE_KEY, (size_t)got) : NULL;
    if (got < 0 && errno == EINTR)
        return true;
    if (got > 0 && !write_all(fd, bytes, escape ? (size_t)(escape - bytes) : (size_t)got))
        return false;
    return got > 0 && !escape;
}

static bool show(int fd)
{
    char bytes[CHUNK];
    const ssize_t got = recv(fd, bytes, sizeof(bytes), 0);
    if (got < 0 && errno == EINTR)
        return true;
    return got > 0 && write_all(STDOUT_FILENO, bytes, (size_t)got);
}

/* --- the terminal's size ----------------------------------------------------------------------------------- */

struct sizes {
    struct bh_client client; /* .fd -1: there is no terminal, or nobody to be told */
    const char *device;
    bool asked; /* an answer is on its way */
};

/* Several changes while an answer is on its way are one. */
static void tell_size(struct sizes *sizes)
{
    struct winsize size;
    if (sizes->client.fd < 0 || sizes->asked || !resized)
        return;
    resized = 0;
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &size) || !size.ws_col || !size.ws_row)
        return;
    json_t *request = json_pack("{s:s, s:{s:s, s:{s:i, s:i}}}", "name", sizes->device, "request", "op",
                                "resize", "args", "cols", (int)size.ws_col, "rows", (int)size.ws_row);
    if (bh_client_send(&sizes->client, "device", request))
        bh_client_close(&sizes->client);
    else
        sizes->asked = true;
}

/* Whatever is answered: a size that nobody takes is no reason to leave. */
static void take_answer(struct sizes *sizes)
{
    json_t *answer;
    const int err = bh_client_read(&sizes->client, 0, &answer);
    if (err == BH_ERR_TIMEOUT)
        return;
    if (err)
        bh_client_close(&sizes->client);
    else
        json_decref(answer);
    sizes->asked = false;
}

/* Returns whether it was left (true) or the console went away. */
static bool talk(int fd, struct sizes *sizes, const sigset_t *waiting_mask)
{
    struct pollfd watched[] = {{STDIN_FILENO, POLLIN, 0}, {fd, POLLIN, 0}, {-1, POLLIN, 0}};
    const struct timespec linger = {.tv_nsec = LINGER_MS * 1000000L};
    bool typing = true;
    while (!ended) {
        tell_size(sizes);
        watched[0].fd = typing ? STDIN_FILENO : -1;
        watched[2].fd = sizes->client.fd;
        /* The end of a piped stdin: what the guest answers within a moment is still shown. */
        const int found = ppoll(watched, 3, typing ? NULL : &linger, waiting_mask);
        if (found < 0 && errno != EINTR)
            return false;
        if (found == 0)
            return true;
        if (found > 0 && watched[2].revents)
            take_answer(sizes);
        if (found > 0 && watched[1].revents && !show(fd))
            return false;
        if (found > 0 && typing && watched[0].revents && !type(fd)) {
            if (is_raw)
                return true;
            typing = false;
        }
    }
    return true;
}

/* A change of the window is heard while we wait, and at no other time; *waiting_mask is for then. */
static void hear_signals(sigset_t *waiting_mask)
{
    const struct sigaction end = {.sa_handler = end_signal}, window = {.sa_handler = window_signal};
    sigset_t blocked;
    sigaction(SIGTERM, &end, NULL);
    sigaction(SIGHUP, &end, NULL);
    sigaction(SIGINT, &end, NULL); /* from outside: typed, it is the guest's */
    sigaction(SIGWINCH, &window, NULL);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGWINCH);
    sigprocmask(SIG_BLOCK, &blocked, waiting_mask);
}

/*
 * The daemon hung up: has the domain ended, or the whole system? A guest that was told to power off has done what was
 * asked of it.
 */
static int say_why(const struct console_values *values, const char *domain)
{
    struct bh_client client;
    json_t *report = NULL, *unit, *found = NULL;
    size_t index;
    if (!bh_client_connect(&client, values->running.run_dir, values->running.system, &silence)) {
        if (bh_client_ask(&client, "ps", NULL, &silence, &report))
            report = NULL;
        bh_client_close(&client);
    }
    json_array_foreach(json_object_get(report, "units"), index, unit)
    {
        if (!strcmp(bh_text_of(unit, "name"), domain))
            found = unit;
    }
    const char *state = bh_text_of(found, "state"), *why = bh_text_of(found, "why");
    const bool well = !strcmp(state, "stopped");
    if (well || !strcmp(state, "failed"))
        bh_note(NULL, "%s has ended%s%s; `bulkhead restart %s` starts it again", domain, why[0] ? ": " : "",
                why, domain);
    else
        bh_note(NULL, found ? "the connection to %s was lost" : "the system of %s has ended", domain);
    json_decref(report);
    return well ? BH_EXIT_OK : BH_EXIT_FAILED;
}

static int attach(struct bh_client *client, const struct console_values *values, const char *name)
{
    struct sizes sizes = {.client.fd = -1};
    sigset_t waiting_mask;
    json_t *answer;
    if (bh_ask(client, "attach", json_pack("{s:s}", "name", name), &answer))
        return BH_EXIT_NOT_RUNNING;
    sizes.device = bh_text_of(answer, "name");
    hear_signals(&waiting_mask);
    if (isatty(STDIN_FILENO)) {
        fprintf(stderr, "attached to %s; Ctrl-] leaves\n", name);
        resized = 1;
        if (bh_client_connect(&sizes.client, values->running.run_dir, values->running.system, NULL))
            sizes.client.fd = -1;
    }
    make_raw();
    /* What came right behind the answer is the console's already. */
    bool left =
        write_all(STDOUT_FILENO, client->line, client->length) && talk(client->fd, &sizes, &waiting_mask);
    restore();
    bh_client_close(&sizes.client);
    if (isatty(STDIN_FILENO))
        fprintf(stderr, left ? "\nleft %s\n" : "\n", name);
    const int code = left ? BH_EXIT_OK : say_why(values, bh_text_of(answer, "domain"));
    json_decref(answer);
    return code;
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    struct console_values values = {0};
    struct bh_client client;
    const char *name;
    size_t word_count;
    if (bh_verb_parse(verb, argc, argv, &values, &name, 1, 1, &word_count))
        return BH_EXIT_USAGE;
    const int err = bh_client_connect(&client, values.running.run_dir, values.running.system, NULL);
    const int code = err ? bh_exit_of(err) : attach(&client, &values, name);
    if (!err)
        bh_client_close(&client);
    bh_options_fini(verb->options, &values);
    return code;
}

const struct bh_verb bh_verb_console = {
    .name = "console",
    .words = "NAME",
    .summary = "Attach to a domain's console; Ctrl-] leaves",
    .text =
        "NAME is a domain, whose first console it is, or one console device (linux-a.console). The last "
        "of what it printed is\n"
        "shown first. Everything typed goes to the guest, Ctrl-C too, except Ctrl-], which leaves the "
        "console as it is.\n"
        "When the domain ends and is not started again, it says so and leaves: with 0 if the guest powered "
        "itself off, else with 1.\n"
        "Several terminals may be attached at once. The guest's console has the size of the one that was "
        "attached or resized last.",
    .options = options,
    .run = run,
};
