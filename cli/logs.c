/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead logs`: what the daemon, the domains and the device processes of a running system have said.
 */
#include "cli/running.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct logs_values {
    struct bh_running_values running;
    bool follow, output;
};

static const struct bh_option options[] = {
    {.name = "follow",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct logs_values, follow),
     .help = "Go on with what comes, until Ctrl-C or the system's end",
     .cli_only = true},
    {.name = "output",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct logs_values, output),
     .help = "Of a console device: what the guest printed, instead of what its process said",
     .cli_only = true},
    BH_RUNNING_OPTIONS(struct logs_values),
    {NULL},
};

enum { POLL_MS = 200, CHUNK = 16384, NAMES_MAX = 1024 };

/* Copy what is new. False: stdout is gone. */
static bool copy_new(int fd)
{
    char bytes[CHUNK];
    ssize_t got;
    while ((got = read(fd, bytes, sizeof(bytes))) > 0)
        if (write(STDOUT_FILENO, bytes, (size_t)got) != got)
            return false;
    return true;
}

/* A rotated log is a new file under the old name; when the file is gone without a new one, the system is. */
static int follow(const char *path, int fd, const struct bh_client *client)
{
    struct pollfd daemon = {client->fd, POLLIN, 0};
    while (copy_new(fd)) {
        struct stat open_one, named;
        if (poll(&daemon, 1, POLL_MS) > 0)
            break; /* nothing was asked: what comes is the end */
        if (fstat(fd, &open_one) || stat(path, &named) || open_one.st_ino == named.st_ino)
            continue;
        const int next = open(path, O_RDONLY | O_CLOEXEC);
        if (next < 0)
            break;
        copy_new(fd);
        close(fd);
        fd = next;
    }
    copy_new(fd);
    return fd;
}

static int show(const struct bh_client *client, const char *run_dir, const char *log, bool goes_on)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", run_dir, log);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        bh_error(NULL, NULL, NULL, "there is no log %s", path);
        return BH_EXIT_FAILED;
    }
    struct stat info;
    if (!goes_on && !fstat(fd, &info) && !info.st_size)
        bh_note(NULL, "%s is empty: nothing was said so far", log);
    if (goes_on)
        fd = follow(path, fd, client);
    else
        copy_new(fd);
    close(fd);
    return BH_EXIT_OK;
}

/* "linux-a/disk" is "linux-a.disk". */
static bool is_called(const char *own, const char *name)
{
    const size_t dot = strcspn(own, ".");
    return !strcmp(own, name) || (own[dot] && !strncmp(own, name, dot) && name[dot] == '/' &&
                                  !strcmp(own + dot + 1, name + dot + 1));
}

/* The console whose output is meant: itself, or a domain's first one. NULL: it has none. */
static const json_t *console_of(const json_t *units, const json_t *named)
{
    const char *name = bh_text_of(named, "name");
    const json_t *unit;
    size_t index;
    if (strcmp(bh_text_of(named, "kind"), "domain") != 0)
        return strcmp(bh_text_of(named, "class"), "console") ? NULL : named;
    json_array_foreach(units, index, unit)
    {
        const char *own = bh_text_of(unit, "name");
        if (!strncmp(own, name, strlen(name)) && own[strlen(name)] == '.' &&
            !strcmp(bh_text_of(unit, "class"), "console"))
            return unit;
    }
    return NULL;
}

static int no_such_name(const json_t *units, const char *name)
{
    const char *names[NAMES_MAX], *near;
    char hint[128] = "`bulkhead ps` shows them";
    const json_t *unit;
    size_t index, count = 0;
    json_array_foreach(units, index, unit)
    {
        if (count < NAMES_MAX)
            names[count++] = bh_text_of(unit, "name");
    }
    near = bh_did_you_mean(name, names, count);
    if (near)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    bh_error(NULL, NULL, hint, "no domain or device has the name \"%s\"", name);
    return BH_EXIT_NOT_RUNNING;
}

/* The file of the log that is asked for. An exit code other than OK: what is wrong was said. */
static int choose(const json_t *report, const char *name, bool output, char *file, size_t size)
{
    const json_t *units = json_object_get(report, "units"), *unit, *found = NULL;
    size_t index;
    snprintf(file, size, "daemon.log");
    if (!name)
        return BH_EXIT_OK;
    json_array_foreach(units, index, unit)
    {
        if (is_called(bh_text_of(unit, "name"), name))
            found = unit;
    }
    if (!found)
        return no_such_name(units, name);
    snprintf(file, size, "%s", bh_text_of(found, "log"));
    if (!output)
        return BH_EXIT_OK;
    const json_t *console = console_of(units, found);
    if (!console) {
        bh_error(NULL, NULL, "--output is for consoles, or for domains that have one",
                 "%s has no console whose output is kept", name);
        return BH_EXIT_NOT_RUNNING;
    }
    snprintf(file, size, "%s.output.log", bh_text_of(console, "name"));
    return BH_EXIT_OK;
}

static int logs(struct bh_client *client, const struct logs_values *values, const char *name)
{
    char file[128];
    json_t *report;
    if (bh_ask(client, "ps", NULL, &report))
        return BH_EXIT_FAILED;
    int code = choose(report, name, values->output, file, sizeof(file));
    if (code == BH_EXIT_OK)
        code = show(client, bh_text_of(report, "run_dir"), file, values->follow);
    json_decref(report);
    return code;
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    struct logs_values values = {0};
    struct bh_client client;
    const char *name = NULL;
    size_t word_count;
    static char long_form[] = "--follow";
    for (int i = 1; i < argc; i++)
        if (!strcmp(argv[i], "-f"))
            argv[i] = long_form;
    if (bh_verb_parse(verb, argc, argv, &values, &name, 0, 1, &word_count))
        return BH_EXIT_USAGE;
    if (values.output && !name) {
        bh_error(NULL, NULL, "name a console, or a domain that has one", "logs --output needs NAME");
        bh_options_fini(verb->options, &values);
        return BH_EXIT_USAGE;
    }
    const int err = bh_client_connect(&client, values.running.run_dir, values.running.system, NULL);
    const int code = err ? bh_exit_of(err) : logs(&client, &values, name);
    if (!err)
        bh_client_close(&client);
    bh_options_fini(verb->options, &values);
    return code;
}

const struct bh_verb bh_verb_logs = {
    .name = "logs",
    .words = "[NAME]",
    .summary = "Show what the parts of a system said",
    .text = "Without NAME: the daemon's log. With a domain: its early console and what its engine said. With "
            "a device: what its\n"
            "process said; with --output, what came out of a console (of a domain: its first one). -f is "
            "--follow. Logs are rotated at 4 "
            "MiB, the one before\n"
            "the last is kept as NAME.log.1 in the run directory.",
    .options = options,
    .run = run,
};
