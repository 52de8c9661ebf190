/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The main of every device process. Conventions are those of vhost-user's back-end programs [vhost-user.rst,
 * "Backend program conventions"]: --socket-path or --fd, --print-capabilities, no daemonising, SIGTERM ends it.
 *
 * #syscalls unlink unlinkat
 */
#include "programs/device.h"

#include "programs/device_connect.h"
#include "programs/device_control.h"
#include "programs/witness.h"
#include "transports/vhost_user/vhost_user.h"
#include <bulkhead/impl/exit_status.h>
#include <bulkhead/impl/notify_keeper.h>
#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* At most so many fds come from a service manager: its sockets, and what it kept of a former process. */
enum { PASSED_MAX = 1500 };

/* How long a device may take to finish what is in flight when it is told to end. */
enum { QUIET_MS = 5000 };

enum { BACKLOG = 4 };

#define NO_FD 0u /* 0, 1 and 2 are stdin, stdout and stderr */

struct process {
    const struct bh_hosted_class *class;
    const char *const *syscalls;
    struct bh_device_process_values values;
    void *class_values;
    char tag[32]; /* "bulkhead-blk": opens each line on stderr */
    struct bh_diag_text text;
    struct bh_witness witness;
    struct bh_loop *loop;
    struct bh_mem mem;
    struct bh_hosted *hosted;
    struct bh_vhost_user *server;
    struct bh_control_subject subject;
    struct bh_control_socket *control;
    struct bh_notify_keeper keeper;
    bool is_kept; /* there is a keeper */
    struct bh_connector connector;
    struct bh_loop_signal term, interrupt;
    struct bh_loop_timer patience;
    bool abandoned; /* the loop ended before the device was quiet */
};

struct sockets {
    int serve, control; /* -1: none, or taken over by who serves on it */
    bool made_serve, made_control;
};

/* --- what is printed and done ---------------------------------------------------------------------------- */

/* The type's name in QEMU's vhost-user.json. */
static const char *type_name(const struct bh_hosted_class *class)
{
    return strcmp(class->name, "blk") == 0 ? "block" : class->name;
}

static int print_capabilities(const struct bh_hosted_class *class)
{
    printf("{\n  \"type\": \"%s\",\n  \"features\": [", type_name(class));
    for (const char *const *word = class->capabilities; word && *word; word++)
        printf("%s\n    \"%s\"", word == class->capabilities ? "" : ",", *word);
    printf("%s]\n}\n", class->capabilities && *class->capabilities ? "\n  " : "");
    return fflush(stdout) ? BH_DEVICE_EXIT_FAILED : BH_DEVICE_EXIT_OK;
}

static int print_help(const struct process *process, const struct bh_option_set *sets)
{
    char text[256];
    snprintf(text, sizeof(text),
             "usage: %s --socket-path=PATH | --fd=FD | --connect=PATH [--option=value...]", process->tag);
    bh_help_text(STDOUT_FILENO, text, 0, 7);
    snprintf(text, sizeof(text), "A virtio-%s device for vhost-user front-ends: %s.", process->class->name,
             process->class->summary);
    dprintf(STDOUT_FILENO, "\n");
    bh_help_text(STDOUT_FILENO, text, 0, 0);
    dprintf(STDOUT_FILENO, "\n");
    bh_options_help(sets, STDOUT_FILENO);
    return BH_DEVICE_EXIT_OK;
}

/* "Other options and arguments should be ignored": such a word wins over whatever stands beside it. */
static bool has_word(int argc, char **argv, const char *word)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

/* --- life ------------------------------------------------------------------------------------------------ */

static void connected(struct bh_vhost_user *server, void *owner, bool is)
{
    struct process *process = owner;
    process->subject.connected = is;
    process->subject.before = *bh_vhost_user_counters(server);
    (void)bh_notify("STATUS=%s", is ? "serving a front-end" : "waiting for a front-end");
}

static void end(struct process *process);

static void ended(struct bh_vhost_user *server, void *owner)
{
    struct process *process = owner;
    if (process->values.connect)
        bh_connector_start(&process->connector);
    else
        end(process);
}

static void got_connection(struct bh_connector *connector, int fd)
{
    struct process *process = BH_CONTAINER(connector, struct process, connector);
    if (bh_vhost_user_connect(process->server, fd)) {
        close(fd);
        bh_connector_start(connector);
    }
}

static void stopped(struct bh_vhost_user *server, void *owner)
{
    struct process *process = owner;
    bh_loop_stop(process->loop, BH_DEVICE_EXIT_OK);
}

static const struct bh_vhost_user_owner owner_ops = {
    .connected = connected, .ended = ended, .stopped = stopped};

static void not_quiet(struct bh_loop_timer *timer)
{
    struct process *process = BH_LOOP_OWNER(timer, struct process, patience);
    bh_error(NULL, NULL, NULL, "requests are still in flight after %d s; ending without them",
             QUIET_MS / 1000);
    bh_loop_stop(process->loop, BH_DEVICE_EXIT_FAILED);
}

static void end(struct process *process)
{
    (void)bh_notify("STOPPING=1");
    if (process->values.connect)
        bh_connector_stop(&process->connector);
    bh_loop_timer_set(process->loop, &process->patience, QUIET_MS, not_quiet);
    bh_vhost_user_stop(process->server);
}

static void terminated(struct bh_loop_signal *source, const struct signalfd_siginfo *info)
{
    end(source->signo == SIGTERM ? BH_LOOP_OWNER(source, struct process, term)
                                 : BH_LOOP_OWNER(source, struct process, interrupt));
}

static int take_inherited(const char *option, uint64_t value, int *fd)
{
    *fd = (int)value;
    if (fcntl(*fd, F_SETFD, FD_CLOEXEC) == 0)
        return BH_OK;
    bh_error(NULL, NULL, NULL, "--%s=%llu is no open file descriptor", option, (unsigned long long)value);
    return BH_ERR_INVAL;
}

/* One of the manager's sockets, which may be an option's as well: the control socket by its name, or the other one. */
static void take_socket(struct sockets *sockets, const struct bh_listen_fd *passed)
{
    int *fd = strcmp(passed->name, "control") == 0 ? &sockets->control : &sockets->serve;
    if (*fd < 0)
        *fd = passed->fd;
    else if (*fd != passed->fd)
        close(passed->fd);
}

/* What a service manager passes: what it kept of a former process goes to the keeper, the rest are sockets. */
static int take_passed(struct process *process, struct sockets *sockets)
{
    struct bh_listen_fd *passed = calloc(PASSED_MAX, sizeof(*passed));
    size_t count = 0;
    int err = passed ? bh_listen_fds(passed, PASSED_MAX, &count) : BH_ERR_NOMEM;
    if (!err) {
        const int kept = bh_notify_keeper_open(&process->keeper, passed, count);
        process->is_kept = !kept;
        if (kept && kept != BH_ERR_NOENT)
            bh_warn(NULL, NULL, NULL, "nobody keeps what a next process would need to go on: %s",
                    bh_err_text(kept));
        for (size_t i = 0; i < count; i++)
            if (passed[i].fd >= 0)
                take_socket(sockets, &passed[i]);
    } else {
        bh_error(NULL, NULL, NULL, "cannot take what the service manager passes: %s", bh_err_text(err));
    }
    free(passed);
    return err;
}

/* From one of three places: a path to listen on, an inherited fd, a service manager. */
static int open_one(const struct bh_device_process_values *values, bool control, int *fd, bool *made)
{
    const char *path = control ? values->control : values->socket_path;
    const uint64_t inherited = control ? values->control_fd : values->fd;
    const char *path_option = control ? "control" : "socket-path", *fd_option = control ? "control-fd" : "fd";
    int err = BH_OK;
    if (path && inherited != NO_FD) {
        bh_error(NULL, NULL, NULL, "--%s and --%s exclude each other", path_option, fd_option);
        return BH_ERR_INVAL;
    }
    if (path) {
        *fd = bh_unix_listen(path, SOCK_STREAM | SOCK_NONBLOCK, BACKLOG,
                             BH_UNIX_REPLACE_STALE | (control ? BH_UNIX_OURS_ALONE : 0));
        err = *fd < 0 ? bh_unix_complain(path, errno, NULL, NULL) : BH_OK;
        *made = !err;
    } else if (inherited != NO_FD) {
        err = take_inherited(fd_option, inherited, fd);
    }
    return err;
}

/* Instead of a socket: the front-end has one, and we come to it. */
static int prepare_connect(struct process *process, struct sockets *sockets)
{
    if (sockets->serve >= 0) {
        bh_error(NULL, NULL, NULL, "--connect excludes --socket-path, --fd and a service manager's socket");
        return BH_ERR_INVAL;
    }
    sockets->serve = BH_VHOST_USER_CLIENT;
    return bh_connector_init(&process->connector, process->loop, process->values.connect, got_connection);
}

static int open_sockets(struct process *process, struct sockets *sockets)
{
    int err = open_one(&process->values, false, &sockets->serve, &sockets->made_serve);
    if (!err)
        err = open_one(&process->values, true, &sockets->control, &sockets->made_control);
    if (!err)
        err = take_passed(process, sockets);
    if (!err && process->values.connect)
        err = prepare_connect(process, sockets);
    if (err || sockets->serve != -1)
        return err;
    bh_error(NULL, NULL, "give --socket-path=PATH, --connect=PATH or --fd=FD; --help tells more",
             "there is no socket to serve on");
    return BH_ERR_INVAL;
}

/*
 * Everything is open that can be known: what is left to be opened is the class's word, our own sockets' removal, and
 * the manager's socket.
 */
static int enter_sandbox(const struct process *process, const struct sockets *sockets)
{
    struct bh_sandbox sandbox = {.syscalls = process->syscalls,
                                 .required = process->values.sandbox == BH_DEVICE_SANDBOX_REQUIRED};
    if (process->values.sandbox == BH_DEVICE_SANDBOX_OFF) {
        bh_warn(NULL, NULL, "for debugging only: what a guest breaks has the host before it",
                "the sandbox is off");
        return BH_OK;
    }
    if (process->class->sandbox)
        process->class->sandbox(process->class_values, &sandbox);
    if (sockets->made_serve)
        bh_sandbox_folder(&sandbox, process->values.socket_path);
    if (sockets->made_control)
        bh_sandbox_folder(&sandbox, process->values.control);
    bh_sandbox_folder(&sandbox, process->values.connect);
    bh_sandbox_path(&sandbox, getenv("NOTIFY_SOCKET"), false);
    return bh_sandbox_enter(&sandbox, NULL);
}

/* Those that we made are removed, those that nobody took are closed. */
static void close_sockets(struct process *process, const struct sockets *sockets)
{
    if (sockets->serve >= 0)
        close(sockets->serve);
    if (sockets->control >= 0)
        close(sockets->control);
    if (sockets->made_serve)
        (void)unlink(process->values.socket_path);
    if (sockets->made_control)
        (void)unlink(process->values.control);
}

static int start_control(struct process *process, struct sockets *sockets)
{
    int err = sockets->control < 0
                  ? BH_OK
                  : bh_control_open(process->loop, sockets->control, &process->subject, &process->control);
    if (!err)
        sockets->control = -1;
    else
        bh_error(NULL, NULL, "it must be a Unix stream socket that listens",
                 "nobody can be served on the control socket: %s", bh_err_text(err));
    return err;
}

static int serve(struct process *process, struct sockets *sockets)
{
    struct bh_device *dev = process->hosted->dev;
    int status = BH_DEVICE_EXIT_FAILED;
    (void)bh_notify("STATUS=waiting for a front-end"); /* when one is there already, `connected` says so */
    int err = bh_vhost_user_create(process->loop, dev, sockets->serve, NULL, NULL,
                                   process->is_kept ? &process->keeper.keeper : NULL, &owner_ops, process,
                                   &process->server);
    if (err) {
        bh_error(NULL, NULL, err == BH_ERR_INVAL ? "it must be a Unix stream socket" : NULL,
                 "cannot serve on the socket: %s", bh_err_text(err));
        return bh_device_exit_of(err);
    }
    sockets->serve = -1;
    process->subject.server = process->server;
    if (bh_loop_signal_add(process->loop, &process->term, SIGTERM, terminated) ||
        bh_loop_signal_add(process->loop, &process->interrupt, SIGINT, terminated)) {
        bh_error(NULL, NULL, NULL, "cannot wait for signals");
        return BH_DEVICE_EXIT_FAILED;
    }
    err = enter_sandbox(process, sockets);
    if (err) {
        end(process); /* what was made is given back; nothing of a front-end's is read */
    } else {
        bh_witness_serves(&process->witness);
        (void)bh_notify("READY=1");
    }
    status = bh_loop_run(process->loop);
    bh_loop_timer_cancel(&process->patience);
    bh_loop_signal_remove(&process->term);
    bh_loop_signal_remove(&process->interrupt);
    process->abandoned = status != BH_DEVICE_EXIT_OK;
    process->subject.server = NULL;
    if (status == BH_DEVICE_EXIT_OK)
        bh_vhost_user_destroy(process->server);
    return err && status == BH_DEVICE_EXIT_OK ? bh_device_exit_of(err) : status;
}

static int run(struct process *process)
{
    struct bh_features withheld = bh_features_default_withheld();
    struct sockets sockets = {.serve = -1, .control = -1};
    int status = BH_DEVICE_EXIT_FAILED;
    if (process->values.features && bh_features_parse(process->values.features, &withheld))
        return BH_DEVICE_EXIT_USAGE;
    if (bh_loop_create(&process->loop)) {
        bh_error(NULL, NULL, NULL, "no event loop: too many open files?");
        return BH_DEVICE_EXIT_FAILED;
    }
    bh_mem_init(&process->mem, NULL);
    /* The class first: a front-end must not find a socket behind which nobody can serve. */
    int err =
        process->class->create(process->loop, &process->mem, process->class_values, NULL, &process->hosted);
    if (err) {
        status = bh_device_exit_of(err);
        goto destroy_loop;
    }
    bh_device_withhold(process->hosted->dev, &withheld);
    process->subject.hosted = process->hosted;
    err = open_sockets(process, &sockets);
    if (!err)
        err = start_control(process, &sockets);
    status = err ? bh_device_exit_of(err) : serve(process, &sockets);
    bh_control_close(process->control);
    close_sockets(process, &sockets);
    if (process->is_kept)
        bh_notify_keeper_close(&process->keeper);
    if (process->abandoned)
        _exit(
            BH_DEVICE_EXIT_FAILED); /* what is in flight still points into our memory: nothing may be freed */
    process->class->destroy(process->hosted);
destroy_loop:
    bh_loop_destroy(process->loop);
    return status;
}

int bh_device_main(const struct bh_hosted_class *class, const char *const *syscalls, int argc, char **argv)
{
    struct process process = {
        .class = class, .syscalls = syscalls, .class_values = calloc(1, class->values_size)};
    const struct bh_option_set sets[] = {
        {bh_device_process_options, &process.values, "Process"},
        {class->options, process.class_values, "Device"},
        {NULL, NULL, NULL},
    };
    int next, status = BH_DEVICE_EXIT_USAGE;
    process.subject = (struct bh_control_subject){.options = sets, .version = BULKHEAD_VERSION};
    snprintf(process.tag, sizeof(process.tag), "bulkhead-%s", class->name);
    bh_diag_text_init(&process.text, STDERR_FILENO, process.tag);
    bh_witness_begin(&process.witness, &process.text.sink);
    (void)signal(SIGXFSZ, SIG_IGN); /* a write beyond RLIMIT_FSIZE fails alone */
    (void)signal(SIGPIPE, SIG_IGN); /* a peer that leaves is an error of the call, not the process's end */

    if (has_word(argc, argv, "--print-capabilities")) {
        status = print_capabilities(class);
    } else if (has_word(argc, argv, "--help")) {
        status = print_help(&process, sets);
    } else if (has_word(argc, argv, "--version")) {
        dprintf(STDOUT_FILENO, "%s %s\n", process.tag, BULKHEAD_VERSION);
        status = BH_DEVICE_EXIT_OK;
    } else if (!process.class_values || bh_options_init(bh_device_process_options, &process.values) ||
               bh_options_init(class->options, process.class_values)) {
        bh_error(NULL, NULL, NULL, "out of memory");
        status = BH_DEVICE_EXIT_FAILED;
    } else if (bh_options_parse(sets, argc, argv, &next, NULL) == BH_OK) {
        if (next < argc)
            bh_error(NULL, NULL, "options begin with --", "there is no use for '%s'", argv[next]);
        else
            status = run(&process);
    }
    bh_options_fini(bh_device_process_options, &process.values);
    if (process.class_values)
        bh_options_fini(class->options, process.class_values);
    free(process.class_values);
    bh_witness_end(&process.witness);
    return status;
}
