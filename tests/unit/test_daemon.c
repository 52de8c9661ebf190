/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon's parts that stand alone: the search for a text in a stream, logs and their rotation, run directories
 * and their lock, child processes, what a client says of its daemon.
 */
#include "daemon/client.h"
#include "daemon/fd_store.h"
#include "daemon/log.h"
#include "daemon/run_dir.h"
#include <bulkhead/impl/process.h>
#include <bulkhead/impl/unix_socket.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

/* --- a text in a stream ------------------------------------------------------------------------------------ */

static bool found_in_pieces(const char *text, const char *stream, size_t piece)
{
    struct bh_match match;
    bool found = false;
    assert_int_equal(bh_match_init(&match, text), BH_OK);
    for (size_t at = 0, length = strlen(stream); at < length && !found; at += piece)
        found = bh_match_feed(&match, stream + at, length - at < piece ? length - at : piece);
    bh_match_fini(&match);
    return found;
}

static void text_is_found_however_the_stream_is_cut(void **state)
{
    static const char stream[] = "[    1.0] readready: rea\nguest: ready\n",
                      absent[] = "guest: readx guest:ready gues";
    for (size_t piece = 1; piece < sizeof(stream); piece++) {
        assert_true(found_in_pieces("guest: ready", stream, piece));
        assert_true(found_in_pieces("ready: rea", stream, piece));
        assert_true(found_in_pieces("\n", stream, piece));
        assert_false(found_in_pieces("guest: ready", absent, piece));
    }
}

static void text_is_found_in_a_flood(void **state)
{
    const size_t size = 100000;
    char *flood = malloc(size + 1);
    assert_non_null(flood);
    memset(flood, 'r', size);
    flood[size] = 0;
    memcpy(flood + 8190, "ready", 5); /* across the border of two windows */
    assert_true(found_in_pieces("rready", flood, size));
    memcpy(flood + 8190, "rebdy", 5);
    assert_false(found_in_pieces("rready", flood, size));
    free(flood);
}

static void match_forgets_what_was_before_a_reset(void **state)
{
    struct bh_match match;
    assert_int_equal(bh_match_init(&match, "ready"), BH_OK);
    assert_false(bh_match_feed(&match, "rea", 3));
    bh_match_reset(&match);
    assert_false(bh_match_feed(&match, "dy", 2));
    assert_true(bh_match_feed(&match, " ready", 6));
    bh_match_fini(&match);
}

/* --- a folder of the test's own ---------------------------------------------------------------------------- */

struct place {
    char base[64];
};

static int make_place(void **state)
{
    static struct place place;
    snprintf(place.base, sizeof(place.base), "/tmp/bh-daemon.XXXXXX");
    *state = &place;
    return mkdtemp(place.base) ? 0 : -1;
}

static int remove_place(void **state)
{
    const struct place *place = *state;
    return rmdir(place->base); /* fails when a test has left something */
}

static void quiet_emit(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static long long size_of(int dir_fd, const char *name)
{
    struct stat info;
    return fstatat(dir_fd, name, &info, 0) ? -1 : (long long)info.st_size;
}

/* --- logs -------------------------------------------------------------------------------------------------- */

static void log_is_rotated_and_never_grows_beyond_twice_its_size(void **state)
{
    const struct place *place = *state;
    struct bh_diag_sink sink = {.emit = quiet_emit};
    struct bh_run_dir dir;
    struct bh_log log;
    char line[4096], tail[64];
    assert_int_equal(bh_run_dir_open(&dir, place->base, "logs", "control.sock", &sink), BH_OK);
    assert_int_equal(bh_log_open(&log, dir.fd, "x"), BH_OK);
    memset(line, 'a', sizeof(line));
    for (int i = 0; i < 3 * BH_LOG_ROTATE_BYTES / (int)sizeof(line); i++)
        bh_log_write(&log, line, sizeof(line));
    bh_log_write(&log, "end\x1b[2J\n", 8);
    assert_true(size_of(dir.fd, "x.log") > 0);
    assert_true(size_of(dir.fd, "x.log") <= BH_LOG_ROTATE_BYTES);
    assert_int_equal(size_of(dir.fd, "x.log.1"), BH_LOG_ROTATE_BYTES);
    assert_int_equal(size_of(dir.fd, "x.log.2"), -1);
    assert_int_equal(bh_log_tail(&log, tail, 9), 8);
    assert_string_equal(tail, "end?[2J\n"); /* no guest speaks to our terminal */
    bh_log_close(&log);
    bh_run_dir_remove(&dir);
}

/* --- run directories --------------------------------------------------------------------------------------- */

static void run_directory_is_private_emptied_and_removed(void **state)
{
    const struct place *place = *state;
    struct bh_diag_sink sink = {.emit = quiet_emit};
    struct bh_run_dir dir;
    struct stat info;
    assert_int_equal(bh_run_dir_open(&dir, place->base, "s", "control.sock", &sink), BH_OK);
    assert_int_equal(fstat(dir.fd, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    close(openat(dir.fd, "stale.sock", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    bh_run_dir_close(&dir); /* as a killed daemon leaves it */
    assert_int_equal(bh_run_dir_open(&dir, place->base, "s", "control.sock", &sink), BH_OK);
    assert_int_equal(size_of(dir.fd, "stale.sock"), -1);
    bh_run_dir_remove(&dir);
    assert_int_equal(access(place->base, F_OK), 0);
}

/* As somebody to whom modes mean something. */
static int close_a_folder_and_remove(const char *base)
{
    struct bh_diag_sink sink = {.emit = quiet_emit};
    struct bh_run_dir dir;
    if ((geteuid() == 0 && setuid(65534)) || bh_run_dir_open(&dir, base, "s", "control.sock", &sink) ||
        mkdirat(dir.fd, "a.link", 0700))
        return 1;
    close(openat(dir.fd, "a.link/meet", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    if (fchmodat(dir.fd, "a.link", 0, 0))
        return 2;
    bh_run_dir_remove(&dir);
    return rmdir(base) ? 3 : 0;
}

static void run_directory_is_emptied_of_folders_that_are_closed(void **state)
{
    char base[] = "/tmp/bh-u.XXXXXX";
    int status;
    assert_non_null(mkdtemp(base));
    assert_true(geteuid() != 0 || chown(base, 65534, (gid_t)-1) == 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (!child)
        _exit(close_a_folder_and_remove(base));
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void run_directory_waits_for_the_last_process_of_a_killed_run(void **state)
{
    const struct place *place = *state;
    struct bh_diag_sink sink = {.emit = quiet_emit};
    struct bh_run_dir dir, again;
    assert_int_equal(bh_run_dir_open(&dir, place->base, "s", "control.sock", &sink), BH_OK);
    const pid_t child = fork(); /* has the lock's file, as a device process has */
    assert_true(child >= 0);
    if (!child) {
        usleep(300 * 1000);
        _exit(0);
    }
    bh_run_dir_close(&dir);
    const uint64_t before = bh_loop_now();
    assert_int_equal(bh_run_dir_open(&again, place->base, "s", "control.sock", &sink), BH_OK);
    assert_true(bh_loop_now() - before >= 200 * 1000000ull);
    assert_int_equal(waitpid(child, NULL, 0), child);
    bh_run_dir_remove(&again);
}

static void run_directory_of_others_or_too_long_is_refused(void **state)
{
    const struct place *place = *state;
    struct bh_diag_sink sink = {.emit = quiet_emit};
    struct bh_run_dir dir;
    char path[128], name[128];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = 0;
    assert_int_equal(bh_run_dir_open(&dir, place->base, "s", name, &sink), BH_ERR_RANGE);
    snprintf(path, sizeof(path), "%s/s", place->base);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, 0777), 0);
    assert_int_equal(bh_run_dir_open(&dir, place->base, "s", "control.sock", &sink), BH_ERR_ACCESS);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("/tmp", path), 0);
    assert_int_equal(bh_run_dir_open(&dir, place->base, "s", "control.sock", &sink), BH_ERR_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(sink.error_count, 3);
}

/* --- what device processes say, and leave ------------------------------------------------------------------- */

static void notification_is_taken_apart_and_its_words_are_bounded(void **state)
{
    struct bh_notification said;
    char flood[2000];
    static const char text[] = "READY=1\nSTATUS=a\x1b[2J\xff\0b\nMAINPID=1\nFDSTORE=1\nFDNAME=kept-vu 1";
    bh_notification_parse(&said, text, sizeof(text) - 1);
    assert_true(said.ready && said.has_status && said.store && said.has_name);
    assert_false(said.stopping || said.remove || said.bad_name);
    assert_string_equal(said.status, "a?[2J??b");
    assert_string_equal(said.name, "kept-vu 1");
    memset(flood, 'x', sizeof(flood));
    memcpy(flood, "STATUS=", 7);
    bh_notification_parse(&said, flood, sizeof(flood));
    assert_int_equal(strlen(said.status), BH_STATUS_MAX);
    memcpy(flood, "FDNAME=", 7);
    bh_notification_parse(&said, flood, sizeof(flood));
    assert_true(said.bad_name && !said.has_name);
    static const char *const bad[] = {"FDNAME=", "FDNAME=a:b", "FDNAME=\t", "FDNAME=ok\nFDNAME=\x80"};
    for (size_t i = 0; i < 4; i++) {
        bh_notification_parse(&said, bad[i], strlen(bad[i]));
        assert_true(said.bad_name && !said.has_name && !said.name[0]);
    }
    static const char *const nothing[] = {"",         "\n\n",      "READY=10", "READY",
                                          " READY=1", "FDSTORE=0", "ready=1"};
    static const struct bh_notification none;
    for (size_t i = 0; i < 7; i++) {
        bh_notification_parse(&said, nothing[i], strlen(nothing[i]));
        assert_memory_equal(&said, &none, sizeof(none));
    }
}

static void store_keeps_one_fd_a_name_and_has_a_bound(void **state)
{
    struct bh_fd_store store = {0};
    char name[16];
    const int first = open("/dev/null", O_RDONLY | O_CLOEXEC), second = fcntl(first, F_DUPFD_CLOEXEC, 0);
    assert_int_equal(bh_fd_store_put(&store, "a", first), BH_OK);
    assert_int_equal(bh_fd_store_put(&store, "a", second), BH_OK);
    assert_int_equal(fcntl(first, F_GETFD), -1);
    assert_int_equal(store.count, 1);
    assert_string_equal(store.entries[0].name, "a");
    assert_int_equal(store.entries[0].fd, second);
    assert_false(bh_fd_store_remove(&store, "b"));
    for (int i = 1; i < BH_FD_STORE_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(bh_fd_store_put(&store, name, fcntl(second, F_DUPFD_CLOEXEC, 0)), BH_OK);
    }
    const int too_much = fcntl(second, F_DUPFD_CLOEXEC, 0);
    assert_int_equal(bh_fd_store_put(&store, "z", too_much), BH_ERR_NOSPC);
    assert_int_equal(fcntl(too_much, F_GETFD), -1);
    assert_int_equal(store.refused, 1);
    assert_true(bh_fd_store_remove(&store, "n7"));
    assert_string_equal(store.entries[7].name, "n8"); /* order is kept */
    assert_false(bh_fd_store_remove(&store, "n7"));
    bh_fd_store_clear(&store);
    assert_int_equal(fcntl(second, F_GETFD), -1);
    assert_int_equal(store.count + store.refused, 0);
}

/* A TCP socket whose other end reads nothing, full, and told to linger: a plain close() of it waits. -1: no loopback. */
static int lingering_socket(int *other)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 20};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    static char bytes[65536];
    const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
              fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool made = !bind(listening, (struct sockaddr *)&address, sizeof(address)) &&
                      !listen(listening, 1) &&
                      !getsockname(listening, (struct sockaddr *)&address, &length) &&
                      !connect(fd, (struct sockaddr *)&address, sizeof(address));
    *other = made ? accept(listening, NULL, NULL) : -1;
    close(listening);
    if (!made) {
        close(fd);
        return -1;
    }
    while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    return fd;
}

static long ms_of(const struct timespec *from)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - from->tv_sec) * 1000 + (now.tv_nsec - from->tv_nsec) / 1000000;
}

/* Replaced, removed, one too many for the store, cleared: whatever a process leaves, the daemon does not wait for it. */
static void store_closes_what_lingers_at_once(void **state)
{
    struct bh_fd_store store = {0};
    struct timespec begun;
    int others[4], fds[4];
    for (int i = 0; i < 4; i++) {
        fds[i] = lingering_socket(&others[i]);
        if (fds[i] < 0)
            skip();
    }
    clock_gettime(CLOCK_MONOTONIC, &begun);
    assert_int_equal(bh_fd_store_put(&store, "a", fds[0]), BH_OK);
    assert_int_equal(bh_fd_store_put(&store, "a", fds[1]), BH_OK);
    assert_true(bh_fd_store_remove(&store, "a"));
    assert_int_equal(bh_fd_store_put(&store, "b", fds[2]), BH_OK);
    bh_fd_store_clear(&store);
    bh_fd_store_close(fds[3]);
    assert_true(ms_of(&begun) < 5000);
    for (int i = 0; i < 4; i++)
        close(others[i]);
}

/* --- processes --------------------------------------------------------------------------------------------- */

struct child {
    struct bh_process process;
    struct bh_loop *loop;
    siginfo_t info;
};

static void child_exited(struct bh_process *process, const siginfo_t *info)
{
    struct child *child = BH_LOOP_OWNER(process, struct child, process);
    child->info = *info;
    bh_loop_stop(child->loop, BH_OK);
}

static void child_has_exactly_its_fds_and_its_end_is_told(void **state)
{
    struct child child = {0};
    int out[2], extra = open("/dev/null", O_RDONLY); /* not close-on-exec: it must be closed all the same */
    char text[256] = "";
    assert_int_equal(bh_loop_create(&child.loop), BH_OK);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    const char *const argv[] = {
        "sh", "-c", "for fd in /proc/self/fd/*; do echo -n \" ${fd##*/}\"; done; echo \" $WORD\"; exit 3",
        NULL};
    const char *const environment[] = {"WORD=given", NULL};
    const struct bh_process_spec spec = {.argv = argv,
                                         .environment = environment,
                                         .in = -1,
                                         .out = out[1],
                                         .err = -1,
                                         .fds = &out[1],
                                         .fd_count = 1};
    assert_int_equal(bh_process_start(&child.process, &spec, child.loop, child_exited), BH_OK);
    assert_int_equal(bh_process_outer_pid(&child.process) > 0, 1);
    assert_int_equal(bh_loop_run(child.loop), BH_OK);
    assert_int_equal(child.info.si_code, CLD_EXITED);
    assert_int_equal(child.info.si_status, 3);
    assert_int_equal(bh_process_outer_pid(&child.process), 0);
    close(out[1]);
    assert_true(read(out[0], text, sizeof(text) - 1) > 0);
    /* 0 to 2, the one given, and the one with which the shell reads the folder. */
    assert_string_equal(text, " 0 1 2 3 4 given\n");
    close(out[0]);
    close(extra);
    bh_loop_destroy(child.loop);
}

/* Pipes numbered by what is in them, given in another order than their own numbers. */
static void child_gets_many_fds_in_order_and_its_own_pid(void **state)
{
    enum { MANY = 300 };
    struct child child = {0};
    int fds[MANY], out[2];
    char text[64] = "";
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = MANY; i-- > 0;) {
        int ends[2];
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        assert_true(dprintf(ends[1], "%d\n", i) > 0);
        close(ends[1]);
        fds[i] = ends[0];
    }
    assert_int_equal(bh_loop_create(&child.loop), BH_OK);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    const char *const argv[] = {
        "bash", "-c",
        "for ((i = 0; i < 300; i++)); do read -r n <&$((i + 3)); [ $n = $i ] || exit 1; done; "
        "[ $LISTEN_PID = $$ ] && echo all",
        NULL};
    const char *const environment[] = {"LISTEN_FDS=300", NULL};
    const struct bh_process_spec spec = {.argv = argv,
                                         .environment = environment,
                                         .in = -1,
                                         .out = out[1],
                                         .err = -1,
                                         .fds = fds,
                                         .fd_count = MANY,
                                         .listens = true};
    assert_int_equal(bh_process_start(&child.process, &spec, child.loop, child_exited), BH_OK);
    assert_int_equal(bh_loop_run(child.loop), BH_OK);
    close(out[1]);
    assert_true(read(out[0], text, sizeof(text) - 1) > 0);
    assert_string_equal(text, "all\n");
    close(out[0]);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    bh_loop_destroy(child.loop);
}

/* What "NoNewPrivs:, core limit, IPC namespace, network namespace" of a child are; and what it said in front of them. */
static void look_at_a_child(struct bh_process_spec spec, char *text, size_t size)
{
    struct child child = {0};
    const char *const argv[] = {"sh", "-c",
                                "echo $(grep NoNewPrivs /proc/self/status) $(ulimit -c) $(readlink "
                                "/proc/self/ns/ipc /proc/self/ns/net)",
                                NULL};
    int out[2];
    assert_int_equal(bh_loop_create(&child.loop), BH_OK);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    spec.argv = argv;
    spec.in = -1;
    spec.out = spec.err = out[1];
    assert_int_equal(bh_process_start(&child.process, &spec, child.loop, child_exited), BH_OK);
    assert_int_equal(bh_loop_run(child.loop), BH_OK);
    close(out[1]);
    const ssize_t got = read(out[0], text, size - 1);
    assert_true(got > 0);
    text[got] = 0;
    close(out[0]);
    bh_loop_destroy(child.loop);
}

static bool may_unshare(void)
{
    int status = 0;
    const pid_t child = fork();
    if (child == 0)
        _exit(unshare(CLONE_NEWIPC) != 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status == 0;
}

static void stranger_is_denied_what_it_does_not_keep(void **state)
{
    char ipc[64] = "", net[64] = "", text[512];
    assert_true(readlink("/proc/self/ns/ipc", ipc, sizeof(ipc) - 1) > 0);
    assert_true(readlink("/proc/self/ns/net", net, sizeof(net) - 1) > 0);

    look_at_a_child((struct bh_process_spec){0}, text, sizeof(text));
    assert_true(strstr(text, "NoNewPrivs: 0") && strstr(text, ipc) && strstr(text, net));

    const bool allowed = may_unshare();
    look_at_a_child((struct bh_process_spec){.confined = true}, text, sizeof(text));
    assert_non_null(strstr(text, "NoNewPrivs: 1 0 ipc:"));
    assert_int_equal(!strstr(text, ipc), allowed);
    assert_int_equal(!strstr(text, net), allowed);
    assert_int_equal(!strstr(text, "the host refuses"), allowed);

    look_at_a_child(
        (struct bh_process_spec){.confined = true, .keeps_network = true, .keeps_privileges = true}, text,
        sizeof(text));
    assert_non_null(strstr(text, "NoNewPrivs: 0 0 ipc:"));
    assert_int_equal(!strstr(text, ipc), allowed);
    assert_non_null(strstr(text, net));
}

static void child_that_cannot_be_executed_is_an_error_of_start(void **state)
{
    struct child child = {0};
    assert_int_equal(bh_loop_create(&child.loop), BH_OK);
    const char *const absent[] = {"/nonesuch/program", NULL}, *const folder[] = {"/tmp", NULL};
    struct bh_process_spec spec = {.argv = absent, .in = -1, .out = -1, .err = -1};
    assert_int_equal(bh_process_start(&child.process, &spec, child.loop, child_exited), BH_ERR_NOENT);
    spec.argv = folder;
    assert_int_equal(bh_process_start(&child.process, &spec, child.loop, child_exited), BH_ERR_ACCESS);
    bh_loop_destroy(child.loop);
}

static void child_is_killed_and_waited_for(void **state)
{
    struct child child = {0};
    assert_int_equal(bh_loop_create(&child.loop), BH_OK);
    const char *const argv[] = {"sleep", "1000", NULL};
    const struct bh_process_spec spec = {.argv = argv, .in = -1, .out = -1, .err = -1};
    assert_int_equal(bh_process_start(&child.process, &spec, child.loop, child_exited), BH_OK);
    const pid_t pid = child.process.pid;
    bh_process_end(&child.process);
    assert_int_equal(kill(pid, 0), -1);         /* ours until reaped, gone now */
    bh_process_signal(&child.process, SIGTERM); /* nothing happens */
    bh_loop_destroy(child.loop);
}

/* --- asking the daemon ------------------------------------------------------------------------------------- */

struct heard {
    struct bh_diag_sink sink;
    char text[128];
};

static void hear(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    struct heard *heard = BH_LOOP_OWNER(sink, struct heard, sink);
    snprintf(heard->text, sizeof(heard->text), "%s", diag->what);
}

/* Ask a daemon that answers with `lines` and goes away. */
static int ask(const char *lines, struct heard *heard)
{
    struct bh_client client;
    json_t *answer = NULL;
    int ends[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(bh_client_take(&client, ends[0]), BH_OK);
    assert_int_equal(write(ends[1], lines, strlen(lines)), strlen(lines));
    assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
    *heard = (struct heard){.sink.emit = hear};
    const int err = bh_client_ask(&client, "down", NULL, &heard->sink, &answer);
    json_decref(answer);
    bh_client_close(&client);
    close(ends[1]);
    return err;
}

static void refusal_is_said_and_a_daemon_that_went_away_is_not(void **state)
{
    struct heard heard;
    assert_int_equal(ask("{\"event\":\"says\"}\n{\"v\":1,\"ok\":true}\n", &heard), BH_OK);
    assert_string_equal(heard.text, "");
    assert_int_equal(ask("{\"v\":1,\"ok\":false,\"error\":\"it is busy\"}\n", &heard), BH_ERR_INVAL);
    assert_string_equal(heard.text, "it is busy");
    assert_int_equal(ask("{\"ok\":false,\"error\":\"\\u001b[2J\\r\\ngone\u00e9\"}\n", &heard), BH_ERR_INVAL);
    assert_string_equal(heard.text, "?[2J??gone\u00e9");
    assert_int_equal(ask("{\"event\":\"down\"}\n", &heard), BH_ERR_CLOSED);
    assert_string_equal(heard.text, "");
    assert_int_equal(ask("no JSON\n", &heard), BH_ERR_PROTO);
    assert_non_null(strstr(heard.text, "does not answer"));
}

/* In the usual place, when others may write there, a daemon may be anybody's: it is not asked. In a named one it is. */
static void daemon_of_others_is_not_taken_for_ours(void **state)
{
    char folder[] = "/tmp/bh-u.XXXXXX", base[64], system[80], path[100], names[4][BH_SYSTEM_NAME_MAX];
    struct bh_diag_sink silence = {.emit = quiet_emit};
    struct bh_client client;
    const char *before = getenv("XDG_RUNTIME_DIR");
    char *kept = before ? strdup(before) : NULL;

    assert_non_null(mkdtemp(folder));
    snprintf(base, sizeof(base), "%s/bulkhead", folder);
    snprintf(system, sizeof(system), "%s/trap", base);
    snprintf(path, sizeof(path), "%s/control.sock", system);
    assert_true(!mkdir(base, 0700) && !mkdir(system, 0700));
    const int fd = bh_unix_listen(path, SOCK_STREAM, 8, 0);
    assert_true(fd >= 0);
    assert_int_equal(setenv("XDG_RUNTIME_DIR", folder, 1), 0);
    for (unsigned shared = 0; shared < 2; shared++) {
        assert_int_equal(chmod(base, shared ? 0777 : 0700), 0);
        assert_int_equal(bh_client_systems(NULL, names, 4), !shared);
        assert_int_equal(bh_client_runs(NULL, "trap"), !shared);
        assert_int_equal(bh_client_connect(&client, NULL, "trap", &silence), shared ? BH_ERR_ACCESS : BH_OK);
        bh_client_close(&client);
        assert_int_equal(bh_client_systems(base, names, 4), 1);
        assert_true(bh_client_runs(base, "trap"));
    }
    if (kept)
        setenv("XDG_RUNTIME_DIR", kept, 1);
    else
        unsetenv("XDG_RUNTIME_DIR");
    free(kept);
    close(fd);
    assert_true(!unlink(path) && !rmdir(system) && !rmdir(base) && !rmdir(folder));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_found_however_the_stream_is_cut),
        cmocka_unit_test(text_is_found_in_a_flood),
        cmocka_unit_test(match_forgets_what_was_before_a_reset),
        cmocka_unit_test_setup_teardown(log_is_rotated_and_never_grows_beyond_twice_its_size, make_place,
                                        remove_place),
        cmocka_unit_test(run_directory_is_emptied_of_folders_that_are_closed),
        cmocka_unit_test_setup_teardown(run_directory_is_private_emptied_and_removed, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(run_directory_waits_for_the_last_process_of_a_killed_run, make_place,
                                        remove_place),
        cmocka_unit_test_setup_teardown(run_directory_of_others_or_too_long_is_refused, make_place,
                                        remove_place),
        cmocka_unit_test(notification_is_taken_apart_and_its_words_are_bounded),
        cmocka_unit_test(store_keeps_one_fd_a_name_and_has_a_bound),
        cmocka_unit_test(store_closes_what_lingers_at_once),
        cmocka_unit_test(child_has_exactly_its_fds_and_its_end_is_told),
        cmocka_unit_test(child_gets_many_fds_in_order_and_its_own_pid),
        cmocka_unit_test(stranger_is_denied_what_it_does_not_keep),
        cmocka_unit_test(child_that_cannot_be_executed_is_an_error_of_start),
        cmocka_unit_test(child_is_killed_and_waited_for),
        cmocka_unit_test(refusal_is_said_and_a_daemon_that_went_away_is_not),
        cmocka_unit_test(daemon_of_others_is_not_taken_for_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
