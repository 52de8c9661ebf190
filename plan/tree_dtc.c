/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dtc, run as a child: it makes the blob of a source and tells where everything stands in it.
 *
 * Theory of operation: dtc runs twice, once for the blob and once for the annotated text; each run reads the file
 * by its name, so that /include/ works. Output and errors are read side by side, bounded, and the child has limits
 * on time and memory, because a source may be made to be hard. The child dies with us. dtc's errors
 * come in three forms, each turned into a diagnostic:
 *
 *     Error: FILE:LINE.COL-COL TEXT        the grammar
 *     FILE:LINE.COL-COL: ERROR (CHECK): TEXT     its checks (a reference to a label that is none, ...)
 *     FATAL ERROR: TEXT                    no place, said only if nothing else was
 */
#include "plan/tree.h"
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX  (256u << 20) /* of the annotated text: places make it long */
#define ERRORS_MAX  (64u << 10)
#define SECONDS_MAX 60
#define MEMORY_MAX  ((rlim_t)2 << 30)

struct stream {
    int fd; /* -1: at its end */
    char *data;
    size_t size, room, most;
    bool overflow;
};

/* One read into a stream, always leaving room for a NUL. */
static int take(struct stream *stream)
{
    ssize_t got;

    if (stream->room - stream->size < 65536) {
        size_t room = stream->room * 2 + 65536 + 1;
        char *data = realloc(stream->data, room);

        if (data == NULL)
            return BH_ERR_NOMEM;
        stream->data = data;
        stream->room = room;
    }
    got = read(stream->fd, stream->data + stream->size, stream->room - stream->size - 1);
    if (got < 0 && errno == EINTR)
        return BH_OK;
    if (got <= 0) {
        close(stream->fd);
        stream->fd = -1;
        return got < 0 ? BH_ERR_IO : BH_OK;
    }
    stream->size += (size_t)got;
    if (stream->size > stream->most) {
        stream->overflow = true;
        stream->size = stream->most;
    }
    return BH_OK;
}

static int drain(struct stream *out, struct stream *errors)
{
    while (out->fd >= 0 || errors->fd >= 0) {
        struct pollfd polls[2] = {{.fd = out->fd, .events = POLLIN}, {.fd = errors->fd, .events = POLLIN}};
        int err = BH_OK;

        if (poll(polls, 2, -1) < 0 && errno != EINTR)
            return BH_ERR_IO;
        if (polls[0].revents != 0)
            err = take(out);
        if (err == BH_OK && polls[1].revents != 0)
            err = take(errors);
        if (err != BH_OK)
            return err;
        if (out->overflow)
            return BH_ERR_RANGE;
    }
    return BH_OK;
}

/* In the child, between fork and exec: nothing but system calls. */
static void become_dtc(const char *const *argv, int out, int errors, pid_t parent)
{
    const struct rlimit seconds = {SECONDS_MAX, SECONDS_MAX}, memory = {MEMORY_MAX, MEMORY_MAX};
    int null = open("/dev/null", O_RDONLY);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(errors, 2) < 0)
        _exit(126);
    setrlimit(RLIMIT_CPU, &seconds);
    setrlimit(RLIMIT_AS, &memory);
    execvp(argv[0], (char *const *)(uintptr_t)argv); /* it takes no const, and changes nothing */
    _exit(errno == ENOENT ? 127 : 126);
}

static int start(const char *const *argv, struct stream *out, struct stream *errors, pid_t *child)
{
    int pipes[4];
    pid_t parent = getpid();

    if (pipe2(pipes, O_CLOEXEC) < 0)
        return BH_ERR_IO;
    if (pipe2(pipes + 2, O_CLOEXEC) < 0) {
        close(pipes[0]);
        close(pipes[1]);
        return BH_ERR_IO;
    }
    *child = fork();
    if (*child == 0)
        become_dtc(argv, pipes[1], pipes[3], parent);
    close(pipes[1]);
    close(pipes[3]);
    out->fd = pipes[0];
    errors->fd = pipes[2];
    return *child < 0 ? BH_ERR_NOMEM : BH_OK;
}

/* Run to the end. *status is what waitpid gave. Both streams end with a NUL. */
static int run(const char *const *argv, struct stream *out, struct stream *errors, int *status)
{
    pid_t child = -1;
    int err = start(argv, out, errors, &child);

    if (err == BH_OK)
        err = drain(out, errors);
    if (err != BH_OK && child > 0)
        kill(child, SIGKILL);
    if (out->fd >= 0)
        close(out->fd);
    if (errors->fd >= 0)
        close(errors->fd);
    out->fd = errors->fd = -1;
    while (child > 0 && waitpid(child, status, 0) < 0) {
        if (errno != EINTR)
            return BH_ERR_CHILD;
    }
    if (err != BH_OK || out->data == NULL || errors->data == NULL)
        return err == BH_OK ? BH_ERR_IO : err;
    out->data[out->size] = '\0';
    errors->data[errors->size] = '\0';
    return BH_OK;
}

/* "FILE:LINE.COL" at the start of the text; gives what follows its range, or NULL when there is no place. */
static char *parse_place(char *text, struct bh_diag_where *where)
{
    for (char *colon = strchr(text, ':'); colon != NULL; colon = strchr(colon + 1, ':')) {
        char *end;

        if (!isdigit((unsigned char)colon[1]))
            continue;
        where->line = (unsigned)strtoul(colon + 1, &end, 10);
        if (*end != '.' || !isdigit((unsigned char)end[1]))
            continue;
        where->column = (unsigned)strtoul(end + 1, &end, 10);
        *colon = '\0';
        where->file = text;
        return end + strspn(end, "0123456789.-");
    }
    return NULL;
}

static bool report_line(struct bh_report *report, const char *file, char *line, bool fatal)
{
    struct bh_diag_where where = {.file = file};
    char *text = NULL, *check;

    if (strncmp(line, "Error: ", 7) == 0) {
        text = parse_place(line + 7, &where);
    } else if (strstr(line, ": ERROR (") != NULL) {
        text = parse_place(line, &where);
        check = text == NULL ? NULL : strstr(text, "): ");
        text = check == NULL ? text : check + 2;
    } else if (fatal && strncmp(line, "FATAL ERROR: ", 13) == 0) {
        text = line + 13;
    }
    if (text == NULL)
        return false;
    text += strspn(text, " :");
    bh_report_error(report, &where, NULL,
                    strcmp(text, "syntax error") == 0
                        ? "a semicolon, bracket or quote may be missing here or on the line before; "
                          "`#include` wants a run of cpp first"
                        : NULL,
                    "dtc: %s", text);
    return true;
}

static void report_errors(struct bh_report *report, const char *file, char *errors, int status)
{
    const struct bh_diag_where where = {.file = file};
    bool said = false;
    char *copy = strdup(errors), *save = NULL;

    for (char *line = strtok_r(errors, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
        said |= report_line(report, file, line, false);
    save = NULL;
    for (char *line = copy == NULL || said ? NULL : strtok_r(copy, "\n", &save); line != NULL;
         line = strtok_r(NULL, "\n", &save))
        said |= report_line(report, file, line, true);
    free(copy);
    if (!said)
        bh_report_error(report, &where, NULL, "run `dtc -I dts -O dtb` on it to see more",
                        "dtc failed on the description (wait status %d)", status);
}

/* The annotated text decorates errors with lines: where it cannot be had, the tree goes without. */
static char *annotate(const char *path)
{
    const char *const argv[] = {"dtc", "-q", "-I", "dts", "-O", "dts", "-T", "-T", path, NULL};
    struct stream text = {.fd = -1, .most = OUTPUT_MAX}, errors = {.fd = -1, .most = ERRORS_MAX};
    int status = 0, err = run(argv, &text, &errors, &status);

    free(errors.data);
    if (err == BH_OK && status == 0)
        return text.data;
    free(text.data);
    return NULL;
}

int bh_dtc_run(const char *file, struct bh_report *report, void **blob, size_t *blob_size, char **annotated)
{
    const struct bh_diag_where where = {.file = file};
    const char *argv[] = {"dtc", "-q", "-I", "dts", "-O", "dtb", NULL, NULL};
    struct stream out = {.fd = -1, .most = BH_TREE_BYTES_MAX}, errors = {.fd = -1, .most = ERRORS_MAX};
    char *path = NULL;
    int status = 0, err;

    /* A name that begins with '-' would be an option, or, alone, standard input. */
    if (asprintf(&path, "%s%s", file[0] == '-' ? "./" : "", file) < 0)
        return BH_ERR_NOMEM;
    argv[6] = path;
    err = run(argv, &out, &errors, &status);
    if (err == BH_ERR_RANGE) {
        bh_report_error(report, &where, NULL, NULL, "the tree is larger than %u MiB",
                        BH_TREE_BYTES_MAX >> 20);
        err = BH_ERR_SYNTAX;
    } else if (err != BH_OK || (WIFEXITED(status) && WEXITSTATUS(status) >= 126)) {
        bh_report_error(report, &where, NULL, "install dtc (Debian: device-tree-compiler), or give a .dtb",
                        "cannot run dtc, which reads .dts files");
        err = BH_ERR_CHILD;
    } else if (status != 0) {
        report_errors(report, file, errors.data, status);
        err = BH_ERR_SYNTAX;
    }
    if (err == BH_OK) {
        *blob = out.data;
        *blob_size = out.size;
        out.data = NULL;
        *annotated = annotate(path);
    }
    free(out.data);
    free(errors.data);
    free(path);
    return err;
}
