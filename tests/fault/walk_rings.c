/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the hostile front-end writes into memory: chains, tables and rings, most of them nearly right.
 */
#include "tests/fault/walk_session.h"

#include "abi/virtio_ring.h"
#include <bulkhead/base.h>
#include <string.h>
#include <unistd.h>

uint64_t spoil(struct session *session, uint64_t right)
{
    switch (pick(session, 5 * session->calm)) {
    case 0: return walk_random(session->walk);
    case 1: return right ^ UINT64_C(1) << pick(session, 64);
    case 2: return right + walk_random(session->walk) % 16 - 8;
    case 3: return 0;
    case 4: return UINT64_MAX - pick(session, 4096);
    default: return right;
    }
}

static uint64_t buffer(struct session *session)
{
    const uint64_t low = WALK_QUEUES * RING_BYTES;
    if (one_in(session, 20)) /* in the slot that comes and goes */
        return spoil(session, BASE + 2 * MEMORY + pick(session, 4096));
    return spoil(session, BASE + low + pick(session, MEMORY - (unsigned)low - 8192));
}

static uint32_t length(struct session *session)
{
    static const uint32_t usual[] = {1, 8, 12, 16, 44, 64, 512, 513, 4096};
    return one_in(session, session->calm) ? (uint32_t)walk_random(session->walk) >> pick(session, 32)
                                          : usual[pick(session, BH_COUNT(usual))];
}

struct desc {
    uint64_t addr;
    uint32_t len;
    uint16_t third, fourth; /* split: flags, next; packed: id, flags */
};

/* What is readable comes first. Now and then a flag is wrong. */
static uint16_t flags_of(struct session *session, unsigned i, unsigned readable, unsigned count)
{
    uint16_t flags =
        (uint16_t)((i >= readable ? VIRTQ_DESC_F_WRITE : 0) | (i + 1 < count ? VIRTQ_DESC_F_NEXT : 0));
    return one_in(session, 3 * session->calm) ? flags ^ (uint16_t)(1u << pick(session, 16)) : flags;
}

/* A table of descriptors of its own, somewhere in memory. */
static struct desc indirect(struct session *session, unsigned count, unsigned readable)
{
    const unsigned at = WALK_QUEUES * RING_BYTES + pick(session, MEMORY / 2) / 16 * 16;
    for (unsigned i = 0; i < count; i++) {
        struct desc desc = {buffer(session), length(session), 0, 0};
        const uint16_t flags = flags_of(session, i, readable, count);
        desc.third = session->packed ? 0 : flags;
        desc.fourth = session->packed ? flags : (uint16_t)spoil(session, i + 1);
        memcpy(session->memory + at + i * sizeof(desc), &desc, sizeof(desc));
    }
    return (struct desc){spoil(session, BASE + at), (uint32_t)spoil(session, count * 16), 0, 0};
}

/* One chain of up to 4 buffers, or one table of them. Returns how many descriptors stand in `chain`. */
static unsigned make_chain(struct session *session, struct desc chain[4], uint16_t flags[4])
{
    const unsigned count = 1 + pick(session, 4), readable = pick(session, count + 1);
    if (one_in(session, 6)) {
        chain[0] = indirect(session, count, readable);
        flags[0] = VIRTQ_DESC_F_INDIRECT;
        return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        chain[i] = (struct desc){buffer(session), length(session), 0, 0};
        flags[i] = flags_of(session, i, readable, count);
    }
    return count;
}

static void add_split(struct session *session, unsigned queue)
{
    uint8_t *ring = session->memory + queue * RING_BYTES;
    struct desc chain[4];
    uint16_t flags[4], entry, index;
    const unsigned count = make_chain(session, chain, flags), head = pick(session, SIZE);
    for (unsigned i = 0; i < count; i++) {
        chain[i].third = flags[i];
        chain[i].fourth = (uint16_t)spoil(session, (head + i + 1) % SIZE);
        memcpy(ring + DESC_AT + (head + i) % SIZE * sizeof(chain[i]), &chain[i], sizeof(chain[i]));
    }
    entry = (uint16_t)spoil(session, head);
    memcpy(ring + AVAIL_AT + 4 + session->avail[queue] % SIZE * 2, &entry, 2);
    index = session->avail[queue] +=
        (uint16_t)(one_in(session, 10 * session->calm) ? walk_random(session->walk) : 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(ring + AVAIL_AT + 2, &index, 2);
}

static void add_packed(struct session *session, unsigned queue)
{
    uint8_t *ring = session->memory + queue * RING_BYTES;
    struct desc chain[4];
    uint16_t flags[4];
    const unsigned count = make_chain(session, chain, flags);
    for (unsigned i = 0; i < count; i++) {
        chain[i].third = (uint16_t)walk_random(session->walk);
        chain[i].fourth = flags[i] | (session->wrap[queue] ? VIRTQ_DESC_F_AVAIL : VIRTQ_DESC_F_USED);
        memcpy(ring + DESC_AT + session->avail[queue] % SIZE * sizeof(chain[i]), &chain[i], sizeof(chain[i]));
        if (++session->avail[queue] >= SIZE) {
            session->avail[queue] = 0;
            session->wrap[queue] = !session->wrap[queue];
        }
    }
}

void add_and_kick(struct session *session)
{
    const unsigned queue = pick(session, session->queues);
    if (session->truncated)
        return;
    for (unsigned i = 1 + pick(session, 6); i > 0; i--) {
        if (session->packed)
            add_packed(session, queue);
        else
            add_split(session, queue);
    }
    (void)!write(session->event, &(uint64_t){1}, 8);
}

void smash(struct session *session)
{
    const unsigned rings = WALK_QUEUES * RING_BYTES;
    const unsigned at =
        one_in(session, session->calm) ? pick(session, rings) : rings + pick(session, MEMORY - rings);
    if (session->truncated)
        return;
    for (unsigned i = pick(session, 64); i > 0; i--)
        session->memory[at + i < MEMORY ? at + i : at] =
            (uint8_t)(walk_random(session->walk) >> 24 & (one_in(session, 2) ? 3 : 255));
}
