/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hostile requests for the class blk: chains of any framing and content, completions in any order and with any
 * result, stops and resets in between. The sanitizers judge memory; the driver's side of the ring judges that each
 * chain comes back once, and that what was promised as written lies within the buffer.
 *
 * Input: one byte of set-up, then steps, each an opcode byte and what it takes; it ends with the input.
 */
#include "tests/fuzz/target.h"
#include "tests/unit/blk_rig.h"
#include <stdlib.h>

struct input {
    const uint8_t *bytes;
    size_t left;
};

static uint8_t take(struct input *in)
{
    if (!in->left)
        return 0;
    in->left--;
    return *in->bytes++;
}

static void fill(struct input *in, uint8_t *to, uint32_t len)
{
    uint32_t count = len < 64 ? len : 64; /* beyond, zeros do */

    for (uint32_t i = 0; i < count; i++)
        to[i] = take(in);
}

static uint8_t disk[RIG_CAPACITY];
static uint32_t in_bytes[2 * RIG_SIZE]; /* writable bytes of each request, by token */

/* Buffers: one byte each says how long (low 6 bits, times 1 or 64) and whether the device may write it. */
static void add_chain(struct rig *rig, struct input *in, unsigned token)
{
    unsigned queue = take(in) % RIG_QUEUES, count = take(in) % (RIG_SEG_MAX + 3);
    struct bh_drv_buf bufs[RIG_SEG_MAX + 3];
    unsigned out_count = 0;
    bool writable = false;

    in_bytes[token] = 0;
    for (unsigned i = 0; i < count; i++) {
        uint8_t form = take(in);
        uint32_t len = (form & 0x3fu) * (form & 0x40u ? 64 : 1);
        void *at = NULL;
        writable |= form >> 7;
        len = len ? len : 1;
        if (rig->next > RIG_MEM - 8192) /* a hostile driver may give memory twice */
            rig->next = RIG_MEM / 4;
        bufs[i] = (struct bh_drv_buf){bh_daddr(rig_alloc(rig, len, &at)), len};
        out_count += !writable;
        if (writable)
            in_bytes[token] += len;
        fill(in, at, len);
    }
    if (count &&
        bh_drv_ring_add(&rig->rings[queue], bufs, out_count, count - out_count, &in_bytes[token]) == BH_OK)
        bh_pipe_kick(&rig->pipe, queue);
}

static void collect(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        void *token = NULL;
        uint32_t len = 0;
        int got = bh_drv_ring_get(&rig->rings[i], &token, &len);
        while (got == 1) {
            BH_ASSERT(len <= *(uint32_t *)token);
            got = bh_drv_ring_get(&rig->rings[i], &token, &len);
        }
        BH_ASSERT(got == 0);
    }
}

/* A rate limit that the input gives room to. */
struct gate {
    struct bh_blk_limit limit;
    unsigned left;
};

static unsigned gate_room(struct bh_blk_limit *limit, unsigned max)
{
    const struct gate *gate = BH_CONTAINER(limit, struct gate, limit);

    return gate->left < max ? gate->left : max;
}

static void gate_spent(struct bh_blk_limit *limit, unsigned requests, uint64_t bytes)
{
    struct gate *gate = BH_CONTAINER(limit, struct gate, limit);

    BH_ASSERT(requests <= gate->left);
    gate->left -= requests;
}

static void finish_one(struct sim_store *sim, struct input *in)
{
    static const int results[] = {BH_OK, BH_OK, BH_OK, BH_ERR_IO, BH_ERR_NOSPC, BH_ERR_UNSUPPORTED};
    uint8_t which = take(in), result = take(in);

    if (sim->held_count) {
        const struct bh_store_req *req = sim->held[which % sim->held_count];
        BH_ASSERT(req->offset <= RIG_CAPACITY && req->len <= RIG_CAPACITY - req->offset);
        sim_store_finish(sim, which % sim->held_count, results[result % BH_COUNT(results)], result);
    }
    if (result & 0x80 && sim->store.wake) /* it is not in use when the RAM disk is */
        sim_store_wake(sim);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input in = {data, size};
    uint8_t set_up = take(&in);
    struct bh_blk_settings settings = {.serial = "fuzz", .read_only = set_up & 4, .writethrough = set_up & 8};
    struct sim_store sim;
    struct bh_store_ram ram;
    struct gate gate = {.limit = {gate_room, gate_spent}, .left = 2};
    bool use_ram = set_up & 2, stopped = false;
    unsigned token = 0;

    sim_store_init(&sim);
    sim.store.info.can_secure_erase = sim.store.info.has_lifetime = true;
    bh_store_ram_init(&ram, disk, sizeof(disk), false);
    struct rig *rig = rig_new(use_ram ? &ram.store : &sim.store, &settings, set_up & 1,
                              set_up & 16 ? 1ull << BH_F_IN_ORDER : 0);
    if (set_up & 32)
        rig->blk.limit = &gate.limit;
    while (in.left && token < 2 * RIG_SIZE && !stopped) {
        switch (take(&in) % 8) {
        case 0:
        case 1:
        case 2: add_chain(rig, &in, token++); break;
        case 3:
        case 4: bh_pipe_pump(&rig->pipe, 1 + take(&in) % 64u); break;
        case 5: finish_one(&sim, &in); break;
        case 6:
            gate.left += take(&in) % 4;
            bh_blk_go_on(&rig->blk);
            if (in.left && *in.bytes & 0x80)
                bh_device_queue_stop(&rig->blk.dev, take(&in) % RIG_QUEUES);
            break;
        default:
            collect(rig);
            stopped = take(&in) % 4 == 0; /* a reset with whatever is in flight */
            break;
        }
    }
    collect(rig);
    rig_free(rig);
    return 0;
}
