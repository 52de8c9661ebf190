/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Instructions by the processor's own counters, where the kernel and the machine below it give them: of the user space
 * of every thread of a back-end.
 *
 * Threading: one thread.   Ownership: open makes, close gives back.   May block: no.
 */
#ifndef BENCH_PERF_H
#define BENCH_PERF_H

#include "bench/backend.h"

enum { BENCH_PERF_THREADS = 64 };

struct bench_perf {
    int fd[BENCH_PERF_THREADS];
    unsigned count;
};

/* Are there such counters? */
bool bench_perf_works(void);
/* Count from now on, threads that are started later included. False: not all threads can be counted. */
bool bench_perf_open(struct bench_perf *perf, const struct bench_backend *backend);
/* So far, of all of them; NaN: a counter did not run all the time. */
double bench_perf_read(const struct bench_perf *perf);
void bench_perf_close(struct bench_perf *perf);

#endif
