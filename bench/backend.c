/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See backend.h.
 */
#include "bench/backend.h"

#include "driver/vhost_front.h"
#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/unix_socket.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_MS 30000u
#define GO_NS     30000000000ull /* valgrind takes its time */

void bench_command_add(struct bench_command *command, const char *format, ...)
{
    va_list arguments;
    int len = -1;

    va_start(arguments, format);
    if (command->count < BENCH_WORDS - 1)
        len = vsnprintf(command->word[command->count], sizeof(command->word[0]), format, arguments);
    va_end(arguments);
    command->count = len < 0 || (size_t)len >= sizeof(command->word[0]) ? BENCH_WORDS : command->count + 1;
}

int bench_backend_init(struct bench_backend *backend)
{
    *backend = (struct bench_backend){.log = -1};
    return bh_loop_create(&backend->loop);
}

static void exited(struct bh_process *process, const siginfo_t *info)
{
    process->pid = 0;
}

int bench_backend_start(struct bench_backend *backend, const struct bench_command *command, int cpu)
{
    const char *argv[BENCH_WORDS + 1] = {0};
    struct bh_process *process = &backend->process[backend->count];
    cpu_set_t before, pinned;
    bool moved = false;
    int err;

    if (command->count >= BENCH_WORDS || backend->count == BENCH_PROCESSES)
        return BH_ERR_RANGE;
    for (unsigned i = 0; i < command->count; i++)
        argv[i] = command->word[i];
    if (backend->log < 0)
        backend->log = memfd_create("bulkhead-bench-log", MFD_CLOEXEC);
    if (backend->log < 0)
        return BH_ERR_IO;
    if (cpu >= 0 && sched_getaffinity(0, sizeof(before), &before) == 0) {
        CPU_ZERO(&pinned);
        CPU_SET((unsigned)cpu, &pinned);
        moved = sched_setaffinity(0, sizeof(pinned), &pinned) == 0;
    }
    err = bh_process_start(process,
                           &(struct bh_process_spec){.argv = argv,
                                                     .in = -1,
                                                     .out = backend->log,
                                                     .err = backend->log,
                                                     .fds = command->fds,
                                                     .fd_count = command->fd_count},
                           backend->loop, exited);
    if (moved)
        (void)sched_setaffinity(0, sizeof(before), &before);
    if (!err)
        backend->count++;
    return err;
}

bool bench_backend_alive(struct bench_backend *backend)
{
    (void)bh_loop_step(backend->loop, 0);
    for (unsigned i = 0; i < backend->count; i++)
        if (backend->process[i].pid == 0)
            return false;
    return true;
}

int bench_backend_connect(struct bench_backend *backend, const char *path)
{
    for (unsigned waited = 0; waited < LISTEN_MS && !bench_stopped; waited++) {
        const int fd = bh_unix_connect(path, SOCK_STREAM);

        if (fd >= 0)
            return fd;
        if ((errno != ENOENT && errno != ECONNREFUSED) || !bench_backend_alive(backend))
            return -1;
        (void)bh_loop_step(backend->loop, 1);
    }
    errno = ETIMEDOUT;
    return -1;
}

int bench_backend_adopt(struct bench_backend *backend, int fd)
{
    struct ucred who;
    socklen_t size = sizeof(who);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) || who.pid <= 0)
        return BH_ERR_IO;
    backend->stranger = who.pid;
    return BH_OK;
}

static void signal_all(struct bench_backend *backend, int number)
{
    for (unsigned i = 0; i < backend->count; i++)
        if (backend->process[i].pid)
            bh_process_signal(&backend->process[i], number);
}

void bench_backend_pause(struct bench_backend *backend, bool paused)
{
    if (backend->paused != paused)
        signal_all(backend, paused ? SIGSTOP : SIGCONT);
    backend->paused = paused;
}

static bool all_gone(const struct bench_backend *backend)
{
    for (unsigned i = 0; i < backend->count; i++)
        if (backend->process[i].pid)
            return false;
    return true;
}

void bench_backend_stop(struct bench_backend *backend)
{
    const uint64_t since = bench_now();

    if (!backend->loop)
        return;
    bench_backend_pause(backend, false);
    signal_all(backend, SIGTERM);
    while (!all_gone(backend) && bench_now() - since < GO_NS)
        (void)bh_loop_step(backend->loop, 10);
    for (unsigned i = 0; i < backend->count; i++)
        if (backend->process[i].pid)
            bh_process_end(&backend->process[i]);
    backend->count = 0;
    bh_loop_destroy(backend->loop);
    backend->loop = NULL;
    if (backend->log >= 0)
        close(backend->log);
    backend->log = -1;
}

void bench_backend_last_words(const struct bench_backend *backend, char *text, size_t size)
{
    const off_t end = backend->log >= 0 ? lseek(backend->log, 0, SEEK_END) : 0;
    const off_t from = end > (off_t)size - 1 ? end - (off_t)size + 1 : 0;
    ssize_t got = end > 0 ? pread(backend->log, text, size - 1, from) : 0;
    char *line;

    if (got < 0)
        got = 0;
    while (got > 0 && text[got - 1] == '\n')
        got--;
    text[got] = '\0';
    line = strrchr(text, '\n');
    if (line)
        memmove(text, line + 1, strlen(line));
}

/* --- what it costs ------------------------------------------------------------------------------------------ */

/* The n-th process, of ours or the stranger's; 0: there is none. */
static pid_t pid_of(const struct bench_backend *backend, unsigned n)
{
    if (n < backend->count)
        return backend->process[n].pid;
    return n == backend->count ? backend->stranger : 0;
}

uint64_t bench_backend_cpu_ns(const struct bench_backend *backend)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i <= backend->count; i++) {
        const pid_t pid = pid_of(backend, i);
        struct timespec spent;
        clockid_t clock;

        if (pid && clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &spent) == 0)
            sum += (uint64_t)spent.tv_sec * 1000000000u + (uint64_t)spent.tv_nsec;
    }
    return sum;
}

static double private_dirty(pid_t pid)
{
    char path[64], line[128];
    double kib = NAN;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return NAN;
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "Private_Dirty: %lf kB", &kib) == 1)
            break;
    fclose(file);
    return kib;
}

double bench_backend_memory(const struct bench_backend *backend)
{
    double sum = 0;

    for (unsigned i = 0; i <= backend->count; i++)
        if (pid_of(backend, i))
            sum += private_dirty(pid_of(backend, i));
    return sum;
}
