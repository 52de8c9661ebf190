/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the hostile front-end: what its messages (walk_steps.c) and its rings (walk_rings.c) share.
 *
 * Threading: one thread.   Ownership: the session's.   May block: no.
 */
#ifndef TESTS_FAULT_WALK_SESSION_H
#define TESTS_FAULT_WALK_SESSION_H

#include "tests/fault/walk.h"

enum { MEMORY = 1 << 18, RING_BYTES = 1 << 14, SIZE = 64, DESC_AT = 0, AVAIL_AT = 2048, USED_AT = 4096 };
#define BASE UINT64_C(0x40000000) /* guest-physical, I/O virtual and the front-end's own */

struct session {
    struct walk *walk;
    int peer;
    int memory_fd, small_fd, event, pipes[2], channel, state;
    uint8_t *memory;
    bool truncated; /* the memory is gone, for us too */
    bool packed;
    uint16_t avail[WALK_QUEUES]; /* as we told them; packed: slots */
    bool wrap[WALK_QUEUES];
    unsigned queues;
    unsigned calm; /* the higher, the rarer mistakes */
};

static inline unsigned pick(struct session *session, unsigned below)
{
    return walk_pick(session->walk, below);
}

static inline bool one_in(struct session *session, unsigned n)
{
    return pick(session, n) == 0;
}

/* Mostly what is right: how often it is not differs from session to session. */
uint64_t spoil(struct session *session, uint64_t right);

/* Chains of buffers, nearly right ones, in some ring; and a kick. */
void add_and_kick(struct session *session);
/* Anything anywhere: headers of requests, indirect tables, and rings in use. */
void smash(struct session *session);

#endif
