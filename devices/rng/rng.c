/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy class [virtio-1.4 5.4]. The smallest class there is, and the pattern for the others.
 *
 * Theory of operation
 *   A batch of buffers is popped; each is filled by the source straight in guest memory, at most BH_RNG_STEP
 * bytes a call, so that a buffer of gigabytes delays nobody. When the source runs dry, a buffer that has some
 * bytes is returned short, which the specification allows ("one or more random bytes" [virtio-1.4 5.4.6.2]),
 * and one that has none waits until the source calls. Nothing that the driver wrote is ever read: readable
 * parts of a chain are ignored.
 */
#include "devices/rng/rng.h"
#include "abi/virtio_rng.h"
#include <bulkhead/impl/class.h>

static struct bh_rng *rng_of(struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct bh_rng, dev);
}

static struct bh_features features(const struct bh_device *dev)
{
    return bh_class_ring_features();
}

/* Return the chains before `next`. */
static void push_done(struct bh_rng *rng, struct bh_virtq *q)
{
    struct bh_chain *done[BH_RNG_BATCH];
    const unsigned count = rng->next;

    if (count == 0)
        return;
    /* Ours no more before they are pushed: what a push sets free may end in a reset, and that gives back what is ours. */
    memcpy(done, rng->chains, count * sizeof(done[0]));
    rng->count = (uint16_t)(rng->count - count);
    for (uint16_t i = 0; i < rng->count; i++)
        rng->chains[i] = rng->chains[count + i];
    rng->next = 0;
    bh_virtq_push(q, done, count);
}

static void finish_chain(struct bh_rng *rng)
{
    rng->chains[rng->next]->written = rng->filled;
    rng->counters.bytes += rng->filled;
    rng->next++;
    rng->filled = 0;
}

/* The longest contiguous piece at `rng->filled` of the chain being filled, at most `max` bytes. */
static struct bh_seg piece_to_fill(const struct bh_rng *rng, size_t max)
{
    const struct bh_chain *chain = rng->chains[rng->next];
    size_t skip = rng->filled;

    for (uint16_t i = 0; i < chain->in_count; i++) {
        const struct bh_seg *seg = &chain->segs[chain->out_count + i];
        if (skip < seg->len) {
            size_t len = seg->len - skip;
            return (struct bh_seg){(uint8_t *)seg->base + skip, len < max ? len : max};
        }
        skip -= seg->len;
    }
    return (struct bh_seg){NULL, 0};
}

/* Fill what was popped, at most *step bytes. False when the source has nothing more. */
static bool fill_chains(struct bh_rng *rng, size_t *step)
{
    while (rng->next<rng->count && * step> 0) {
        struct bh_chain *chain = rng->chains[rng->next];
        struct bh_seg piece = piece_to_fill(rng, *step);
        int got = rng->source->ops->fill(rng->source, piece.base, piece.len);

        if (got <= 0) {
            if (got == BH_ERR_AGAIN)
                rng->counters.source_dry++;
            else
                rng->counters.source_errors++;
            if (rng->filled > 0) {
                rng->counters.short_buffers++;
                finish_chain(rng);
            }
            return false;
        }
        BH_ASSERT((size_t)got <= piece.len);
        *step -= (size_t)got;
        rng->filled += (uint32_t)got;
        if (rng->filled == chain->in_len)
            finish_chain(rng);
    }
    return true;
}

/* BH_OK with rng->count chains, or what the pop said. A buffer without room cannot be answered. */
static int pop_batch(struct bh_rng *rng, struct bh_virtq *q, unsigned max)
{
    int popped = bh_virtq_pop(q, rng->chains, max < BH_RNG_BATCH ? max : BH_RNG_BATCH);
    if (popped < 0)
        return popped;
    for (int i = 0; i < popped; i++) {
        if (rng->chains[i]->in_len == 0) {
            bh_virtq_break(q, BH_BROKEN_CLASS);
            bh_virtq_push(q, rng->chains, (unsigned)popped);
            return BH_ERR_BROKEN;
        }
    }
    rng->count = (uint16_t)popped;
    return BH_OK;
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct bh_rng *rng = rng_of(dev);
    size_t step = BH_RNG_STEP;

    while (budget > 0 && step > 0) {
        if (rng->count == 0) {
            int err = pop_batch(rng, q, budget);
            if (err == BH_ERR_PENDING)
                return BH_READY_HELD;
            if (err != BH_OK || rng->count == 0)
                return BH_READY_DRAINED;
        }
        bool more = fill_chains(rng, &step);
        budget -= budget < rng->next ? budget : rng->next;
        push_done(rng, q);
        if (!more)
            return BH_READY_HELD;
    }
    return BH_READY_MORE;
}

static void queue_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    struct bh_rng *rng = rng_of(dev);
    unsigned count = rng->count;

    rng->next = 0;
    rng->count = 0;
    rng->filled = 0;
    if (count > 0)
        bh_virtq_unpop(q, count);
}

static void source_ready(struct bh_rng_source *source)
{
    struct bh_rng *rng = source->user;
    bh_device_queue_wake(&rng->dev, &rng->queue);
}

static const struct bh_class rng_class = {
    .name = "rng",
    .virtio_id = VIRTIO_ID_RNG,
    .features = features,
    .queue_ready = queue_ready,
    .queue_stopping = queue_stopping,
    .queue_give_back = queue_stopping,
};

void bh_rng_init(struct bh_rng *rng, struct bh_mem *mem, const struct bh_virtq_memory *memory,
                 struct bh_rng_source *source)
{
    memset(rng, 0, sizeof(*rng));
    bh_device_init(&rng->dev, &rng_class, mem, &rng->queue, memory, BH_RNG_QUEUES);
    rng->source = source;
    source->user = rng;
    source->ready = source_ready;
}
