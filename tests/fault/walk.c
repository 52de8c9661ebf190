/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile peers: a device process under a front-end that walks at random through everything that it can write, one
 * connection after the other, for a time. The process must neither crash nor hang, neither grow nor leak fds, and serve a
 * good driver in between and afterwards. (Under ASan and UBSan it is the sanitizers that see what a crash would not.)
 *
 * usage: walk SECONDS CLASS PROGRAM [OPTION...]; the seed is BULKHEAD_SEED (1).
 */
#include "tests/fault/walk.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A good driver's turn after so many hostile ones; the first ones may fill caches. */
enum { TURN = 20, WARM_TURNS = 3, GROWTH_KIB = 48 << 10, OPTIONS_MAX = 16 };

uint64_t walk_random(struct walk *walk)
{
    walk->dice ^= walk->dice << 13;
    walk->dice ^= walk->dice >> 7;
    walk->dice ^= walk->dice << 17;
    return walk->dice;
}

int walk_connect(const struct walk *walk)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const struct timeval patience = {.tv_sec = ANSWER_MS / 1000};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", walk->socket_path);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)); /* of connect too */
    if (fd < 0)
        return fd;
    for (unsigned i = 0; i < 200; i++) { /* at first it may be there and nobody listen yet */
        if (!connect(fd, (struct sockaddr *)&address, sizeof(address)))
            return fd;
        if (errno != ECONNREFUSED)
            break;
        usleep(10000);
    }
    close(fd);
    return -1;
}

/* --- the process ----------------------------------------------------------------------------------------- */

struct process {
    pid_t pid;
    char folder[64], socket[96], log[96];
};

static bool start(struct process *process, char **words)
{
    char *arguments[OPTIONS_MAX + 3] = {words[0]};
    char path[128];
    unsigned count = 1;
    strcpy(process->folder, "/tmp/bh-walk.XXXXXX");
    if (!mkdtemp(process->folder))
        return false;
    snprintf(process->socket, sizeof(process->socket), "%s/socket", process->folder);
    snprintf(process->log, sizeof(process->log), "%s/log", process->folder);
    snprintf(path, sizeof(path), "--socket-path=%s", process->socket);
    arguments[count++] = path;
    for (unsigned i = 1; words[i] && i < OPTIONS_MAX; i++)
        arguments[count++] = words[i];
    process->pid = fork();
    if (process->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (freopen(process->log, "w", stderr))
            execv(arguments[0], arguments);
        _exit(127);
    }
    for (unsigned i = 0; i < 1000 && access(process->socket, F_OK); i++)
        usleep(10000);
    return process->pid > 0 && !access(process->socket, F_OK);
}

static bool is_alive(const struct process *process)
{
    return waitpid(process->pid, NULL, WNOHANG) == 0;
}

/* SIGTERM ends it, with status 0. */
static const char *stop(struct process *process)
{
    int status = 0;
    kill(process->pid, SIGTERM);
    for (unsigned i = 0; i < 1500; i++) {
        if (waitpid(process->pid, &status, WNOHANG) == process->pid)
            return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? NULL : "it did not end as it should";
        usleep(10000);
    }
    kill(process->pid, SIGKILL);
    waitpid(process->pid, &status, 0);
    return "it did not end when it was told to";
}

static long resident_kib(const struct process *process)
{
    char path[64], line[128];
    long kib = -1;
    FILE *file;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)process->pid);
    file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib;
}

static int fd_count(const struct process *process)
{
    char path[64];
    int count = 0;
    DIR *folder;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)process->pid);
    folder = opendir(path);
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count;
}

/* The number of fds when no connection is open any more: it rests for a while, and is `wanted` or less (0: any). */
static int quiet_fd_count(const struct process *process, int wanted)
{
    int count = fd_count(process), before = -1;
    for (unsigned i = 0; i < 100 && (count != before || (wanted && count > wanted)); i++) {
        before = count;
        usleep(50000);
        count = fd_count(process);
    }
    return count;
}

static void show_log(const struct process *process)
{
    char line[512];
    FILE *file = fopen(process->log, "re");
    while (file && fgets(line, sizeof(line), file))
        fputs(line, stderr);
    if (file)
        fclose(file);
}

/* --- the walk -------------------------------------------------------------------------------------------- */

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static const char *one_turn(struct walk *walk, struct process *process)
{
    const char *wrong = NULL;
    for (unsigned i = 0; i < TURN && !wrong; i++)
        if (!walk_session(walk))
            wrong = is_alive(process) ? "it does not answer any more" : "it is gone";
    for (unsigned packed = 0; packed < 2 && !wrong; packed++)
        wrong = walk_good(walk, packed);
    return wrong && !is_alive(process) ? "it is gone" : wrong;
}

static const char *go(struct walk *walk, struct process *process, double seconds)
{
    const double end = now() + seconds;
    const char *wrong = walk_good(walk, false);
    const int fds = quiet_fd_count(process, 0);
    long warm = 0;
    for (unsigned turn = 0; !wrong && (turn <= WARM_TURNS || now() < end); turn++) {
        wrong = one_turn(walk, process);
        if (turn == WARM_TURNS)
            warm = resident_kib(process);
        if (!wrong && turn > WARM_TURNS && resident_kib(process) > warm + GROWTH_KIB)
            wrong = "its memory grows";
        if (!wrong && quiet_fd_count(process, fds) > fds)
            wrong = "it does not give back file descriptors";
    }
    fprintf(stderr, "walk: %s: %llu steps, memory %ld to %ld KiB\n", walk->device_class,
            (unsigned long long)walk->steps, warm, resident_kib(process));
    return wrong;
}

int main(int argc, char **argv)
{
    const char *seed = getenv("BULKHEAD_SEED");
    struct process process;
    struct walk walk;
    const char *wrong;
    if (argc < 4 || argc > OPTIONS_MAX)
        return 2;
    (void)signal(SIGPIPE, SIG_IGN);
    walk = (struct walk){.device_class = argv[2],
                         .socket_path = process.socket,
                         .dice = UINT64_C(0x9e3779b97f4a7c15) * (strtoull(seed ? seed : "1", NULL, 10) + 1)};
    if (!start(&process, argv + 3)) {
        fprintf(stderr, "walk: %s does not start\n", argv[3]);
        wrong = "it does not start";
    } else {
        wrong = go(&walk, &process, strtod(argv[1], NULL));
    }
    if (!wrong)
        wrong = stop(&process);
    else if (process.pid > 0)
        (void)stop(&process);
    if (wrong) {
        fprintf(stderr, "walk: %s after %llu steps with seed %s: %s\n", walk.device_class,
                (unsigned long long)walk.steps, seed ? seed : "1", wrong);
        show_log(&process);
    }
    (void)unlink(process.log);
    (void)unlink(process.socket);
    (void)rmdir(process.folder);
    return wrong != NULL;
}
