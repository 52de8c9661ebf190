/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the daemon: the engine and the run directory are found while there is still somebody to tell, then the
 * daemon is forked off, twice, so that it belongs to nobody's session.
 *
 * Containment: the process in the middle makes a pid namespace (as an ordinary user inside a user namespace that
 * maps only this user), whose first process is the daemon: when that ends, however it ends, the kernel kills what is
 * left in it. Where the host refuses, the daemon runs without, and says so.
 */
#include "daemon/client.h"
#include "daemon/daemon.h"
#include "daemon/system.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MIDDLE_OK = 0, MIDDLE_NOT_CONTAINED = 1, MIDDLE_FAILED = 2 };

static bool write_file(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return done;
}

static bool contain(void)
{
    char map[64];
    const uid_t uid = geteuid();
    const gid_t gid = getegid();
    if (!unshare(CLONE_NEWPID))
        return true;
    if (unshare(CLONE_NEWUSER | CLONE_NEWPID))
        return false;
    snprintf(map, sizeof(map), "%u %u 1", (unsigned)uid, (unsigned)uid);
    if (!write_file("/proc/self/setgroups", "deny") || !write_file("/proc/self/uid_map", map))
        return false;
    snprintf(map, sizeof(map), "%u %u 1", (unsigned)gid, (unsigned)gid);
    return write_file("/proc/self/gid_map", map);
}

static void use_null_for_standard_fds(void)
{
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    if (null > 2)
        close(null);
}

struct launch {
    const struct bh_plan *plan;
    char source[PATH_MAX];
    struct bh_run_dir *dir;
    const struct bh_engine *engine;
    void *engine_state;
    int owner[2]; /* ours, the daemon's */
};

/* Units leave their fds to be kept, and what is passed on to a process must fit there too. */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static _Noreturn void daemon_main(const struct launch *launch, bool contained)
{
    close(launch->owner[0]);
    umask(077);
    use_null_for_standard_fds();
    raise_fd_limit();
    if (chdir(launch->dir->path))
        _exit(1);
    const struct system_setup setup = {.plan = launch->plan,
                                       .source = launch->source,
                                       .dir = launch->dir,
                                       .engine = launch->engine,
                                       .engine_state = launch->engine_state,
                                       .owner_fd = launch->owner[1],
                                       .contained = contained};
    const int err = system_run(&setup);
    _exit(err ? 1 : 0);
}

static _Noreturn void middle(const struct launch *launch, bool wants_containment)
{
    setsid();
    const bool contained = wants_containment && contain();
    if (wants_containment && !contained)
        _exit(MIDDLE_NOT_CONTAINED);
    const pid_t pid = fork();
    if (!pid)
        daemon_main(launch, contained);
    _exit(pid < 0 ? MIDDLE_FAILED : MIDDLE_OK);
}

static int launch_once(const struct launch *launch, bool wants_containment, int *answer)
{
    int status;
    const pid_t pid = fork();
    if (!pid)
        middle(launch, wants_containment);
    if (pid < 0)
        return BH_ERR_IO;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return BH_ERR_IO;
    *answer = WIFEXITED(status) ? WEXITSTATUS(status) : MIDDLE_FAILED;
    return BH_OK;
}

static const char *longest_socket(const struct bh_plan *plan)
{
    const char *longest = "control.sock";
    for (size_t i = 0; i < plan->device_count; i++)
        if (strlen(plan->devices[i].socket) > strlen(longest))
            longest = plan->devices[i].socket;
    for (size_t i = 0; i < plan->link_count; i++)
        if (strlen(plan->links[i].socket) > strlen(longest))
            longest = plan->links[i].socket;
    for (size_t i = 0; i < plan->switch_count; i++)
        for (size_t k = 0; k < plan->switches[i].port_count; k++)
            if (strlen(plan->switches[i].ports[k].socket) > strlen(longest))
                longest = plan->switches[i].ports[k].socket;
    return longest;
}

static int launch_daemon(struct launch *launch, struct bh_diag_sink *sink)
{
    int answer = MIDDLE_FAILED;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, launch->owner))
        return BH_ERR_IO;
    int err = launch_once(launch, true, &answer);
    if (!err && answer == MIDDLE_NOT_CONTAINED)
        err = launch_once(launch, false, &answer);
    close(launch->owner[1]);
    if (!err && answer != MIDDLE_OK)
        err = BH_ERR_IO;
    if (err) {
        bh_error(sink, NULL, NULL, "the daemon cannot be started: %s", strerror(errno));
        close(launch->owner[0]);
    }
    return err;
}

static int no_engine(const char *name, struct bh_diag_sink *sink)
{
    char hint[128] = "engines: ";
    for (const struct bh_engine *const *at = bh_engines; *at; at++)
        snprintf(hint + strlen(hint), sizeof(hint) - strlen(hint), "%s, ", (*at)->name);
    snprintf(hint + strlen(hint), sizeof(hint) - strlen(hint), "auto");
    bh_error(sink, NULL, hint, "there is no engine \"%s\"", name);
    return BH_ERR_NOENT;
}

static void no_emit(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

/* Two copies of one description have one name: whose is it that runs? */
static void say_running(const char *run_dir, const char *name, struct bh_diag_sink *sink)
{
    struct bh_diag_sink silence = {.emit = no_emit};
    struct bh_client client;
    json_t *report = NULL;
    char hint[160];
    if (!bh_client_connect(&client, run_dir, name, &silence)) {
        if (bh_client_ask(&client, "ps", NULL, &silence, &report))
            report = NULL;
        bh_client_close(&client);
    }
    const char *source = json_string_value(json_object_get(report, "source"));
    snprintf(hint, sizeof(hint), "`bulkhead down --system=%.40s` stops it; bulkhead,system names another one",
             name);
    bh_error(sink, NULL, hint, "the system %s runs already%s%s, daemon %d", name, source ? ": from " : "",
             source ? source : "", (int)json_integer_value(json_object_get(report, "pid")));
    json_decref(report);
}

int bh_daemon_start(const struct bh_plan *plan, const struct bh_daemon_settings *settings,
                    struct bh_diag_sink *sink, int *control)
{
    struct bh_run_dir dir;
    struct launch launch = {.plan = plan, .dir = &dir};
    char base[BH_RUN_PATH_MAX];
    int err = bh_run_base(settings->run_dir, base, sizeof(base));
    if (!realpath(plan->source, launch.source))
        snprintf(launch.source, sizeof(launch.source), "%s", plan->source);
    if (err) {
        bh_error(sink, NULL, "name a shorter place by --run-dir=", "no run directory can be made: %s",
                 bh_err_text(err));
        return err;
    }
    if (bh_client_runs(settings->run_dir, plan->name)) {
        say_running(settings->run_dir, plan->name, sink);
        return BH_ERR_BUSY;
    }
    err = bh_engine_choose(settings->engine, plan, sink, &launch.engine, &launch.engine_state);
    if (err == BH_ERR_NOENT)
        err = no_engine(settings->engine, sink);
    if (err)
        return err;
    err = bh_run_dir_open(&dir, base, plan->name, longest_socket(plan), sink);
    if (!err) {
        err = launch_daemon(&launch, sink);
        if (err)
            bh_run_dir_remove(&dir);
        else
            bh_run_dir_close(&dir); /* the daemon has its own */
    }
    launch.engine->release(launch.engine_state);
    if (!err)
        *control = launch.owner[0];
    return err;
}
