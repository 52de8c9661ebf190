/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A back-end under measurement: the processes that serve a case, started and stopped by handle, paused while
 * another is measured, and what they cost.
 *
 * Theory of operation
 *   Processes inherit the CPU that they are pinned to. What was started here is paused by SIGSTOP between its
 * samples, so that a back-end that polls takes no CPU from the others. One that was there already (a socket named by
 * the user) is measured, but neither paused nor stopped: it is somebody else's.
 *
 * Threading: one thread.   Ownership: start owns what it makes, stop gives it back.
 * May block: start, up to the time that a back-end may take to listen; stop.
 */
#ifndef BENCH_BACKEND_H
#define BENCH_BACKEND_H

#include "bench/bench.h"

#include <bulkhead/impl/process.h>
#include <sys/types.h>

enum { BENCH_PROCESSES = 4, BENCH_WORDS = 48 };

/* How one process is started. */
struct bench_command {
    char word[BENCH_WORDS][512];
    unsigned count;
    int fds[2]; /* passed as descriptors 3 and 4 */
    size_t fd_count;
};

struct bench_backend {
    struct bh_loop *loop;
    struct bh_process process[BENCH_PROCESSES];
    unsigned count;
    pid_t stranger; /* a process that was there already; 0: none */
    bool paused, died;
    char host_path[96]; /* sockets: where it leads the guest's connections; empty: it has none */
    int log;            /* what the processes say; -1: nothing was started */
};

/* Append a word; what does not fit makes the command unusable, and is found when it is started. */
void bench_command_add(struct bench_command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

int bench_backend_init(struct bench_backend *backend) BH_MUST_USE;
/* Start one process more, on the CPU given (-1: any). BH_ERR_NOENT, BH_ERR_ACCESS, BH_ERR_RANGE, BH_ERR_IO. */
int bench_backend_start(struct bench_backend *backend, const struct bench_command *command,
                        int cpu) BH_MUST_USE;
/* Connect to `path` as soon as somebody listens there. -1: it did not come, or the back-end ended before. */
int bench_backend_connect(struct bench_backend *backend, const char *path);
/* Whoever listens at the other end of `fd` is the back-end. */
int bench_backend_adopt(struct bench_backend *backend, int fd) BH_MUST_USE;
/* Stop all processes: SIGTERM, then what does not go is killed. */
void bench_backend_stop(struct bench_backend *backend);
/* The end of what the processes said, for a message. */
void bench_backend_last_words(const struct bench_backend *backend, char *text, size_t size);

void bench_backend_pause(struct bench_backend *backend, bool paused);
bool bench_backend_alive(struct bench_backend *backend);
/* CPU time of all processes so far, threads that have ended included. */
uint64_t bench_backend_cpu_ns(const struct bench_backend *backend);
/* Private dirty memory of all processes, in KiB; NaN when the kernel does not tell. */
double bench_backend_memory(const struct bench_backend *backend);

#endif
