/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recipes: how each contestant is started for a case, from the command line's words to connected sockets.
 *
 * Threading: one thread.   Ownership: strings are the command line's.   May block: open, until the back-end listens.
 */
#ifndef BENCH_RECIPE_H
#define BENCH_RECIPE_H

#include "bench/backend.h"
#include "bench/load.h"

enum bench_kind {
    BENCH_OURS,    /* a program of Bulkhead's; `what` is an option more for it, or NULL */
    BENCH_BRIDGE,  /* our cards on taps, with the kernel's bridge between them */
    BENCH_QSD,     /* qemu-storage-daemon; `what` is the program */
    BENCH_SPDK,    /* SPDK's vhost; `what` is the program */
    BENCH_TESTPMD, /* DPDK's; `what` is the program */
    BENCH_COMMAND, /* `what` goes to a shell, with {socket} and more replaced */
    BENCH_SOCKET,  /* `what` is a socket on which somebody listens */
};

struct bench_recipe {
    char name[48];
    enum bench_kind kind;
    const char *what;
    unsigned number; /* of the contestant: its stores' files are its own, since back-ends lock theirs */
};

enum { BENCH_RECIPES = 16 };

/* Where a run keeps what it needs for a while. */
struct bench_place {
    char folder[64];               /* sockets, configuration */
    char file[BENCH_RECIPES][96];  /* the stores on tmpfs, by the contestant's number; empty: there is none */
    char disk[BENCH_RECIPES][512]; /* and on disk */
    uint64_t store_bytes;          /* size of the files */
    int backend_cpu;
    bool lockstep; /* the load waits for whole batches to be counted: our devices do not poll meanwhile */
    const char *callgrind; /* the back-end is counted by valgrind, into this file; NULL: it runs as it is */
};

/*
 * Can it serve the case at all? If not, `why` (static) says so; NULL: its devices are of another class, and it has no
 * business there.
 */
bool bench_recipe_serves(const struct bench_recipe *recipe, const struct bench_case *one, const char **why);

/*
 * Start it and connect: one socket for each of the load's links. BH_OK, else `why` says what went wrong; the back-end
 * was initialised, and is to be stopped, in both cases.
 */
int bench_recipe_open(const struct bench_recipe *recipe, const struct bench_case *one,
                      const struct bench_place *place, struct bench_backend *backend, int *fds, char *why,
                      size_t why_size) BH_MUST_USE;

#endif
