/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A hostile front-end on a random walk: everything that one can write, in an order that a seed decides. walk.c starts
 * the device process and judges it; walk_steps.c and walk_rings.c are the front-end; walk_good.c is a good one, to see
 * whether the process still serves.
 *
 * Threading: one thread.   Ownership: none is handed over.   May block: up to ANSWER_MS.
 */
#ifndef TESTS_FAULT_WALK_H
#define TESTS_FAULT_WALK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { WALK_QUEUES = 4, ANSWER_MS = 20000 };

struct walk {
    const char *device_class; /* "blk" */
    const char *socket_path;
    uint64_t dice;
    uint64_t steps; /* made so far */
};

uint64_t walk_random(struct walk *walk);
static inline unsigned walk_pick(struct walk *walk, unsigned below)
{
    return (unsigned)(walk_random(walk) >> 20) % below;
}

/* A connection to the device; -1: it did not come to be. */
int walk_connect(const struct walk *walk);
/* One connection of a hostile front-end, from begin to end. False: the device did not answer in time. */
bool walk_session(struct walk *walk);
/* A good driver: negotiates, and has one request served. NULL, or what went wrong. */
const char *walk_good(struct walk *walk, bool packed);

#endif
