/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueue: what both ring layouts share. Life (start, stop, quiet, broken), slots, the rings' place in
 * memory, IN_ORDER's window, notification and counters. virtq.h tells how it works.
 *
 * Theory of operation: callbacks
 *   Owners act inside callbacks: stop a queue in `notify`, start it again in `quiet`. So a callback is the
 * last thing that a function does with what it knows; what follows looks at the queue afresh.
 *
 * Theory of operation: IN_ORDER
 *   memory.order is a ring of slots in the order popped: [push_order, pop_order) is the window of chains not
 * yet published. A chain that is pushed is marked HELD; then all HELD ones at the window's start are
 * published, each with an entry of its own: one entry for a whole batch is allowed [virtio-1.4 2.7.9], but
 * tells the driver that the others were written completely, which only their class could say.
 */
#include "core/chain_walk.h"
#include "core/inflight_records.h"
#include "core/probe.h"
#include "core/virtq_ops.h"

#define RUN_MAX 32u /* chains that IN_ORDER publishes at once */

/* --- Memory --- */

/* Take room for `bytes` off the block's end; where it is. */
static uintptr_t carve(uintptr_t *end, uint64_t bytes)
{
    uintptr_t at = *end;

    BH_ASSERT(bytes <= SIZE_MAX / 4);
    *end += ((uintptr_t)bytes + 7u) & ~(uintptr_t)7u;
    return at;
}

/* Lay the arrays out from `block` on; returns where the block ends. */
static uintptr_t place(struct bh_virtq_memory *memory, uintptr_t block, uint16_t size_max,
                       uint16_t chain_count, uint16_t segs_per_chain)
{
    uintptr_t end = block;

    BH_ASSERT(size_max >= 1 && size_max <= BH_VIRTQ_SIZE_MAX && chain_count >= 1 && segs_per_chain >= 1);
    memory->segs =
        (struct bh_seg *)carve(&end, (uint64_t)chain_count * segs_per_chain * sizeof(struct bh_seg));
    memory->chains = (struct bh_chain *)carve(&end, chain_count * sizeof(struct bh_chain));
    memory->heads_in_flight = (uint8_t *)carve(&end, size_max);
    memory->free_slots = (uint16_t *)carve(&end, chain_count * sizeof(uint16_t));
    memory->order = (uint16_t *)carve(&end, size_max * sizeof(uint16_t));
    memory->chain_count = chain_count;
    memory->segs_per_chain = segs_per_chain;
    memory->size_max = size_max;
    return end;
}

size_t bh_virtq_memory_bytes(uint16_t size_max, uint16_t chain_count, uint16_t segs_per_chain)
{
    struct bh_virtq_memory nowhere;

    return place(&nowhere, 0, size_max, chain_count, segs_per_chain);
}

void bh_virtq_memory_place(struct bh_virtq_memory *memory, void *block, uint16_t size_max,
                           uint16_t chain_count, uint16_t segs_per_chain)
{
    BH_ASSERT((uintptr_t)block % 8 == 0);
    (void)place(memory, (uintptr_t)block, size_max, chain_count, segs_per_chain);
}

/* All slots free; slot 0 is taken first. */
static void clear_slots(struct bh_virtq *q)
{
    struct bh_virtq_memory *m = &q->memory;

    for (unsigned i = 0; i < m->chain_count; i++) {
        m->chains[i].segs = m->segs + (size_t)i * m->segs_per_chain;
        m->chains[i].slot = (uint16_t)i;
        m->chains[i].stage = BH_CHAIN_FREE;
        m->free_slots[i] = (uint16_t)(m->chain_count - 1u - i);
    }
    memset(m->heads_in_flight, 0, m->size_max);
    q->free_count = m->chain_count;
    q->in_flight = 0;
    q->desc_in_flight = 0;
    q->pop_order = 0;
    q->push_order = 0;
}

void bh_virtq_init(struct bh_virtq *q, const struct bh_virtq_memory *memory, struct bh_mem *mem,
                   const struct bh_virtq_env *env, void *owner)
{
    *q = (struct bh_virtq){.memory = *memory, .env = env, .owner = owner};
    bh_mem_view_init(&q->view, mem);
    clear_slots(q);
}

/* --- A new memory table --- */

/*
 * The memory's table changed, or the rings could not be found in it yet. BH_OK, BH_ERR_PENDING or BH_ERR_BROKEN. Until
 * the rings are found again, push goes on in the old ones.
 */
static __attribute__((noinline)) int adopt_newer(struct bh_virtq *q)
{
    void *ring[RING_PARTS];
    uint32_t slots;
    int result;

    if (bh_mem_view_adopt(&q->view))
        q->rings_stale = true;
    if (q->life == BH_VIRTQ_STOPPED || q->broken != BH_BROKEN_NONE)
        q->rings_stale = false; /* there are none */
    if (!q->rings_stale)
        return BH_OK;
    result = bh_virtq_find_rings(q, q->ops, &q->setup, ring, &slots);
    if (result == BH_ERR_PENDING)
        return result;
    if (result != BH_OK) {
        bh_virtq_break(q, (enum bh_broken)result);
        return BH_ERR_BROKEN;
    }
    bh_virtq_set_rings(q, ring, slots);
    return BH_OK;
}

static inline bool adopted(const struct bh_virtq *q)
{
    /* Relaxed: what is found to be newer is loaded again with acquire. */
    return BH_LIKELY(__atomic_load_n(&q->view.mem->table, __ATOMIC_RELAXED) == q->view.table &&
                     !q->rings_stale);
}

static int adopt(struct bh_virtq *q)
{
    return adopted(q) ? BH_OK : adopt_newer(q);
}

void bh_virtq_adopt(struct bh_virtq *q)
{
    /* What is pending now is asked for again by the next pop. */
    (void)adopt(q);
}

/* --- Life --- */

bool bh_virtq_setup_ok(const struct bh_virtq *q, const struct bh_virtq_setup *setup, bool packed)
{
    if (setup->size == 0 || setup->size > q->memory.size_max)
        return false;
    if (packed)
        return setup->state.avail < setup->size && setup->state.used < setup->size;
    return (setup->size & (setup->size - 1u)) == 0;
}

int bh_virtq_start(struct bh_virtq *q, const struct bh_virtq_setup *setup, const struct bh_features *features)
{
    bool packed = bh_features_has(features, BH_F_RING_PACKED);
    const struct bh_virtq_ops *ops = packed ? &bh_virtq_packed : &bh_virtq_split;
    void *ring[RING_PARTS];
    uint32_t slots;
    int result;

    if (q->life != BH_VIRTQ_STOPPED)
        return BH_ERR_BUSY;
    if (!bh_virtq_setup_ok(q, setup, packed))
        return BH_ERR_INVAL;
    if (q->inflight && (q->inflight->size != setup->size || q->inflight->packed != packed))
        return BH_ERR_INVAL;
    bh_mem_view_adopt(&q->view);
    result = bh_virtq_find_rings(q, ops, setup, ring, &slots);
    if (result != BH_OK)
        return result < 0 ? result : BH_ERR_FAULT;

    q->ops = ops;
    q->size = setup->size;
    bh_virtq_set_rings(q, ring, slots);
    clear_slots(q);
    q->setup = *setup;
    q->state = setup->state;
    q->event_idx = bh_features_has(features, BH_F_EVENT_IDX);
    q->indirect = bh_features_has(features, BH_F_INDIRECT_DESC);
    q->table_max = q->indirect ? 16u * q->memory.segs_per_chain : 0;
    q->in_order = bh_features_has(features, BH_F_IN_ORDER);
    q->first_push = true;
    if (q->inflight)
        bh_records_start(q->inflight, &q->state);
    q->broken = BH_BROKEN_NONE;
    q->life = BH_VIRTQ_RUNNING;
    return BH_OK;
}

/* A queue that stops is quiet with its last chain. */
static void settle(struct bh_virtq *q)
{
    if (q->life != BH_VIRTQ_STOPPING || q->in_flight != 0)
        return;
    q->life = BH_VIRTQ_STOPPED;
    bh_virtq_drop_rings(q);
    q->env->quiet(q);
}

void bh_virtq_stop(struct bh_virtq *q)
{
    if (q->life == BH_VIRTQ_STOPPED) {
        q->env->quiet(q);
    } else if (q->life == BH_VIRTQ_RUNNING) {
        q->life = BH_VIRTQ_STOPPING;
        settle(q);
    }
}

struct bh_virtq_state bh_virtq_state(const struct bh_virtq *q)
{
    return q->state;
}

/* The chains are used no more, and their slots free again. Returns the bytes that were written to them. */
static uint64_t free_chains(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count)
{
    struct giving giving = giving_begin(q, chains[0]);

    for (unsigned i = 0; i < count; i++) {
        bh_mem_view_release(&q->view, chains[i]->segs, (unsigned)chains[i]->out_count + chains[i]->in_count);
        giving_add(q, &giving, chains[i]);
    }
    giving_end(q, &giving);
    return giving.bytes;
}

void bh_virtq_break(struct bh_virtq *q, enum bh_broken reason)
{
    BH_ASSERT(reason > BH_BROKEN_NONE && reason < BH_BROKEN_COUNT);
    q->counters.broken[reason]++;
    if (q->broken != BH_BROKEN_NONE || q->life == BH_VIRTQ_STOPPED)
        return;
    q->broken = (uint8_t)reason;
    for (unsigned i = 0; q->in_order && i < q->memory.chain_count; i++) {
        struct bh_chain *chain = &q->memory.chains[i];

        if (chain->stage == BH_CHAIN_HELD)
            (void)free_chains(q, &chain, 1);
    }
    bh_virtq_drop_rings(q);
    q->env->broken(q, reason);
    settle(q);
}

/* --- Pop --- */

static bool has_records(const struct bh_virtq *q)
{
    return q->inflight && q->inflight->resubmit_next < q->inflight->resubmit_count;
}

bool bh_virtq_comes_again(const struct bh_virtq *q, uint16_t id)
{
    const struct bh_inflight *records = q->inflight;

    for (unsigned i = records ? records->resubmit_next : 0; records && i < records->resubmit_count; i++)
        if (bh_records_id(records, records->resubmit[i]) == id)
            return true;
    return false;
}

/* First the chains that a former process had in flight. As ops->pop. */
static unsigned pop_records(struct bh_virtq *q, struct bh_chain **chains, unsigned max, int *result)
{
    struct bh_inflight *records = q->inflight;
    unsigned count;

    for (count = 0; count < max && has_records(q); count++) {
        chains[count] = &q->memory.chains[q->memory.free_slots[q->free_count - 1u - count]];
        *result = q->ops->resubmit(q, records->resubmit[records->resubmit_next], chains[count]);
        if (*result != BH_OK)
            break;
        records->resubmit_next++;
    }
    return count;
}

void bh_virtq_take(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count, bool resubmitted)
{
    struct taking taking = taking_begin(q);

    for (unsigned i = 0; i < count; i++) {
        chains[i]->resubmitted = resubmitted;
        taking_add(q, &taking, chains[i]);
    }
    taking_end(q, &taking, count);
}

int bh_virtq_found_none(struct bh_virtq *q, int result)
{
    if (result == BH_ERR_PENDING) {
        q->counters.pending++;
    } else if (result > 0) {
        bh_virtq_break(q, (enum bh_broken)result);
        result = BH_ERR_BROKEN;
    }
    return result;
}

/* With a new memory table, records of a former process, or no free slot. */
static __attribute__((noinline)) int pop_slowly(struct bh_virtq *q, struct bh_chain **chains, unsigned max)
{
    int result = adopt(q);
    unsigned count = 0;

    if (result == BH_OK && max > 0) {
        if (!has_records(q))
            return q->ops->pop(q, chains, max);
        count = pop_records(q, chains, max, &result);
    }
    if (count == 0)
        return bh_virtq_found_none(q, result);
    bh_virtq_take(q, chains, count, true);
    return (int)count;
}

int bh_virtq_pop(struct bh_virtq *q, struct bh_chain **chains, unsigned max)
{
    if (BH_UNLIKELY(!bh_virtq_running(q)))
        return q->broken != BH_BROKEN_NONE ? BH_ERR_BROKEN : 0;
    if (max > q->free_count)
        max = q->free_count;
    if (!BH_SPEED || BH_UNLIKELY(max == 0) || BH_UNLIKELY(!adopted(q)) || BH_UNLIKELY(has_records(q)))
        return pop_slowly(q, chains, max);
    return q->ops->pop(q, chains, max);
}

static void tell_pushed(struct bh_virtq *q)
{
    if (q->watched) {
        q->watched = false;
        if (q->env->pushed)
            q->env->pushed(q);
    }
}

void bh_virtq_unpop(struct bh_virtq *q, unsigned count)
{
    BH_ASSERT(count <= q->in_flight);
    for (; count > 0; count--) {
        struct bh_chain *chain;

        q->pop_order = q->pop_order ? (uint16_t)(q->pop_order - 1u) : (uint16_t)(q->memory.size_max - 1u);
        chain = &q->memory.chains[q->memory.order[q->pop_order]];
        BH_ASSERT(chain->stage == BH_CHAIN_POPPED);
        q->ops->unpop(q, chain);
        if (chain->resubmitted)
            q->inflight->resubmit_next--;
        q->counters.chains--;
        q->counters.bytes_out -= chain->out_len;
        (void)free_chains(q, &chain, 1);
    }
    tell_pushed(q);
    settle(q);
}

/* --- Push --- */

/*
 * Which pages a chain's device wrote is known by `written` only as far as it wrote without gaps: a status
 * byte after data that could not be read is not in it. So all writable segments are marked.
 */
static void mark_written(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct bh_seg *seg = chains[i]->segs + chains[i]->out_count;

        for (unsigned s = 0; s < chains[i]->in_count; s++)
            bh_mem_dirty_seg(&q->view, seg[s].base, seg[s].len);
    }
}

enum published { PUBLISHED_NONE, PUBLISHED, PUBLISHED_WANTED }; /* the driver wants to hear of it */

static enum published publish(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count)
{
    bool wanted;

    if (BH_SPEED && BH_UNLIKELY(q->view.mem->ops != NULL))
        for (unsigned i = 0; i < count; i++)
            bh_mem_view_release(&q->view, chains[i]->segs,
                                (unsigned)chains[i]->out_count + chains[i]->in_count);
    wanted = q->ops->publish(q, chains, count);
    if (!BH_SPEED)
        q->counters.bytes_in += free_chains(q, chains, count);
    return wanted ? PUBLISHED_WANTED : PUBLISHED;
}

/* Hold the chains; publish the ones whose turn it is. */
static enum published publish_in_order(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count)
{
    struct bh_chain *run[RUN_MAX];
    enum published most = PUBLISHED_NONE;
    unsigned run_count;

    for (unsigned i = 0; i < count; i++) {
        BH_ASSERT(chains[i]->stage == BH_CHAIN_POPPED && chains[i]->written <= chains[i]->in_len);
        chains[i]->stage = BH_CHAIN_HELD;
    }
    do {
        for (run_count = 0; run_count < RUN_MAX && run_count < q->in_flight; run_count++) {
            struct bh_chain *chain = &q->memory.chains[q->memory.order[q->push_order]];

            if (chain->stage != BH_CHAIN_HELD)
                break;
            run[run_count] = chain;
            q->push_order = q->push_order + 1u == q->memory.size_max ? 0 : (uint16_t)(q->push_order + 1u);
        }
        if (run_count > 0) {
            enum published now = publish(q, run, run_count);

            most = now > most ? now : most;
        }
    } while (run_count == RUN_MAX);
    return most;
}

/*
 * IN_ORDER: are these the chains whose turn it is, and is none held back behind them? Then they leave the window, to be
 * published as they are.
 */
static inline bool in_turn(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count)
{
    const uint16_t *order = q->memory.order, *end = order + q->memory.size_max, *at = order + q->push_order;
    struct bh_chain *const *behind = chains + count;

    while (chains != behind) {
        if (BH_UNLIKELY(*at != (*chains++)->slot))
            return false;
        if (BH_UNLIKELY(++at == end))
            at = order;
    }
    if (BH_UNLIKELY(count < q->in_flight && q->memory.chains[*at].stage == BH_CHAIN_HELD))
        return false;
    q->push_order = (uint16_t)(at - order);
    return true;
}

/* Whatever the queue and its memory are. */
static __attribute__((noinline)) enum published push_slowly(struct bh_virtq *q,
                                                            struct bh_chain *const *chains, unsigned count)
{
    if (q->broken != BH_BROKEN_NONE) {
        (void)free_chains(q, chains, count);
        return PUBLISHED_NONE;
    }
    if (q->view.mem->log != NULL) /* looked at again for each mark, with its reason */
        mark_written(q, chains, count);
    return q->in_order ? publish_in_order(q, chains, count) : publish(q, chains, count);
}

void bh_virtq_push(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count)
{
    enum published published;

    if (count == 0)
        return;
    BH_PROBE_PUSH(q, count);
    if (BH_SPEED && BH_LIKELY(q->broken == BH_BROKEN_NONE) && BH_LIKELY(q->view.mem->log == NULL) &&
        BH_LIKELY(q->view.mem->ops == NULL) && (!q->in_order || in_turn(q, chains, count)))
        published = q->ops->publish(q, chains, count) ? PUBLISHED_WANTED : PUBLISHED;
    else
        published = push_slowly(q, chains, count);
    if (published == PUBLISHED_WANTED || (BH_UNLIKELY(q->first_push) && published == PUBLISHED)) {
        q->first_push = false;
        q->counters.notifications++;
        BH_PROBE_CALL(q);
        q->env->notify(q);
    } else if (published == PUBLISHED) {
        q->counters.suppressed++;
    }
    if (BH_UNLIKELY(q->watched))
        tell_pushed(q);
    if (BH_UNLIKELY(q->life == BH_VIRTQ_STOPPING))
        settle(q);
}

/* --- Notifications from the driver --- */

bool bh_virtq_arm(struct bh_virtq *q)
{
    if (!bh_virtq_running(q))
        return false;
    if (has_records(q))
        return true;
    if (!q->ops->arm(q))
        return false;
    q->ops->disarm(q);
    return true;
}

void bh_virtq_disarm(struct bh_virtq *q)
{
    if (bh_virtq_running(q))
        q->ops->disarm(q);
}

bool bh_virtq_has_work(struct bh_virtq *q)
{
    return bh_virtq_running(q) && (has_records(q) || q->ops->has_work(q));
}
