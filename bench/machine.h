/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine: what it is, for those who read the figures later; which CPUs the two sides get; and how busy others
 * keep it.
 *
 * Threading: one thread.   Ownership: by value.   May block: reads /proc.
 */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

#include "bench/backend.h"

struct bench_machine {
    char cpu[128], system[128], kernel[256], hypervisor[64];
    unsigned cpus; /* that this process may use */
    double memory_gib;
    int driver_cpu, backend_cpu; /* -1: not pinned, since there is only one */
};

void bench_machine_read(struct bench_machine *machine);
/* Run this process on the driver's CPU from now on. */
void bench_machine_pin(const struct bench_machine *machine);

/* CPU time at a moment, of everyone, of the back-end and of us. */
struct bench_moment {
    uint64_t at_ns, backend_ns, driver_ns;
    uint64_t busy_ns; /* of all CPUs, what a hypervisor stole included */
};

struct bench_moment bench_moment_now(const struct bench_backend *backend);
/* How many CPUs were kept busy by others than the back-end and us. */
double bench_foreign(const struct bench_moment *from, const struct bench_moment *to);

#endif
