/* SPDX-License-Identifier: Apache-2.0 */
/* The blk tests' rig: guest memory, rings, requests, and the simulated store. */
#include "tests/unit/blk_rig.h"
#include <stdlib.h>
#include <string.h>

/* --- The simulated store ---------------------------------------------------------------------------------------- */

static struct sim_store *sim_of(struct bh_store *store)
{
    return BH_CONTAINER(store, struct sim_store, store);
}

static void sim_submit(struct bh_store *store, struct bh_store_req *first)
{
    struct sim_store *sim = sim_of(store);

    sim->submit_count++;
    for (; first; first = first->next)
        sim->held[sim->held_count++] = first;
}

static unsigned sim_poll(struct bh_store *store, struct bh_store_req **done, unsigned max)
{
    struct sim_store *sim = sim_of(store);
    unsigned count = sim->ready_count < max ? sim->ready_count : max;

    memcpy(done, sim->ready, count * sizeof(*done));
    sim->ready_count -= count;
    memmove(sim->ready, sim->ready + count, sim->ready_count * sizeof(*done));
    return count;
}

static void sim_cancel(struct bh_store *store)
{
    struct sim_store *sim = sim_of(store);

    sim->cancel_count++;
    while (sim->held_count)
        sim_store_finish(sim, 0, BH_ERR_CANCELLED, 0);
}

static int sim_acquire(struct bh_store *store)
{
    struct sim_store *sim = sim_of(store);

    if (sim->acquire_result == BH_OK)
        sim->acquire_count++;
    return sim->acquire_result;
}

static void sim_release(struct bh_store *store)
{
    sim_of(store)->release_count++;
}

static const struct bh_store_ops sim_ops = {
    .submit = sim_submit,
    .poll = sim_poll,
    .cancel = sim_cancel,
    .acquire = sim_acquire,
    .release = sim_release,
};

void sim_store_init(struct sim_store *sim)
{
    memset(sim, 0, sizeof(*sim));
    sim->store.ops = &sim_ops;
    sim->store.info = (struct bh_store_info){
        .capacity = RIG_CAPACITY,
        .block_size = 512,
        .volatile_cache = true,
        .can_discard = true,
        .can_write_zeroes = true,
    };
}

void sim_store_finish(struct sim_store *sim, unsigned index, int result, uint8_t fill)
{
    struct bh_store_req *req = sim->held[index];

    if (req->op == BH_STORE_READ && result == BH_OK) {
        for (uint32_t i = 0; i < req->seg_count; i++)
            memset(req->segs[i].base, fill, req->segs[i].len);
    }
    req->result = result;
    sim->ready[sim->ready_count++] = req;
    sim->held_count--;
    memmove(sim->held + index, sim->held + index + 1, (sim->held_count - index) * sizeof(sim->held[0]));
}

void sim_store_wake(struct sim_store *sim)
{
    sim->store.wake(&sim->store);
}

/* --- Guest memory and rings ------------------------------------------------------------------------------------- */

uint64_t rig_alloc(struct rig *rig, uint32_t len, void **at)
{
    uint32_t offset = rig->next;

    BH_ASSERT(len <= RIG_MEM && offset <= RIG_MEM - len);
    rig->next = (offset + len + 15u) & ~15u;
    *at = rig->bytes + offset;
    memset(*at, 0, len);
    return RIG_BASE + offset;
}

static void start_queue(struct rig *rig, unsigned index, const struct bh_features *features)
{
    bool packed = bh_features_has(features, BH_F_RING_PACKED);
    size_t driver = 0, device = 0;
    size_t bytes = bh_drv_ring_bytes(RIG_SIZE, packed, &driver, &device);
    void *areas = NULL;

    rig->next = (rig->next + 4095u) & ~4095u;
    uint64_t addr = rig_alloc(rig, (uint32_t)bytes, &areas);
    struct bh_drv_ring_setup ring = {
        .size = RIG_SIZE,
        .features = *features,
        .desc = areas,
        .driver = (uint8_t *)areas + driver,
        .device = (uint8_t *)areas + device,
        .slots = rig->slots[index],
    };
    bh_drv_ring_init(&rig->rings[index], &ring);
    struct bh_virtq_setup setup = {
        .size = RIG_SIZE,
        .desc = bh_daddr(addr),
        .driver = bh_daddr(addr + driver),
        .device = bh_daddr(addr + device),
        .state = BH_VIRTQ_STATE_INITIAL,
    };
    BH_ASSERT(bh_device_queue_start(&rig->blk.dev, index, &setup) == BH_OK);
}

struct rig *rig_new(struct bh_store *store, const struct bh_blk_settings *settings, bool packed,
                    uint64_t without)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    BH_ASSERT(rig);
    rig->bytes = aligned_alloc(4096, RIG_MEM);
    BH_ASSERT(rig->bytes);
    memset(rig->bytes, 0, RIG_MEM);
    rig->region = (struct bh_mem_region){.base = bh_daddr(RIG_BASE),
                                         .size = RIG_MEM,
                                         .host = rig->bytes,
                                         .access = BH_MEM_READ | BH_MEM_WRITE};
    rig->table = (struct bh_mem_table){&rig->region, 1};
    bh_mem_init(&rig->mem, NULL);
    bh_mem_publish(&rig->mem, &rig->table);
    uint16_t segs = BH_BLK_CHAIN_SEGS(RIG_SEG_MAX) + 1;
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        rig->blocks[i] = calloc(1, bh_virtq_memory_bytes(RIG_SIZE, RIG_SIZE, segs));
        rig->blk_queues[i].requests = calloc(RIG_SIZE, sizeof(struct bh_blk_request));
        BH_ASSERT(rig->blocks[i] && rig->blk_queues[i].requests);
        bh_virtq_memory_place(&rig->memory[i], rig->blocks[i], RIG_SIZE, RIG_SIZE, segs);
        rig->blk_queues[i].store = store;
    }
    struct bh_blk_setup setup = {
        .mem = &rig->mem,
        .queues = rig->queues,
        .memory = rig->memory,
        .blk_queues = rig->blk_queues,
        .queue_count = RIG_QUEUES,
        .settings = settings ? *settings : (struct bh_blk_settings){.serial = "rig"},
    };
    setup.settings.seg_max = RIG_SEG_MAX;
    BH_ASSERT(bh_blk_init(&rig->blk, &setup) == BH_OK);
    bh_pipe_attach(&rig->pipe, &rig->blk.dev);

    struct bh_features features = bh_device_offered(&rig->blk.dev);
    struct bh_features less = bh_features_of64(without);
    features = bh_features_minus(features, less);
    if (!packed)
        bh_features_clear(&features, BH_F_RING_PACKED);
    BH_ASSERT(bh_device_accept(&rig->blk.dev, &features) == BH_OK);
    BH_ASSERT(bh_device_features_done(&rig->blk.dev) == BH_OK);
    for (unsigned i = 0; i < RIG_QUEUES; i++)
        start_queue(rig, i, &features);
    return rig;
}

void rig_free(struct rig *rig)
{
    struct bh_store *store = rig->blk_queues[0].store;

    bh_device_reset(&rig->blk.dev);
    store->wake(store); /* what a reset cancelled comes back */
    bh_pipe_detach(&rig->pipe);
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        free(rig->blocks[i]);
        free(rig->blk_queues[i].requests);
    }
    free(rig->bytes);
    free(rig);
}

/* --- Requests --------------------------------------------------------------------------------------------------- */

void rig_add_cut(struct rig *rig, unsigned queue, struct rig_request *r, uint32_t type, uint64_t sector,
                 bool write, uint32_t len, const void *data, uint32_t piece)
{
    uint32_t out = 16 + (write ? len : 0), in = 1 + (write ? 0 : len);
    struct bh_drv_buf bufs[RIG_SIZE];
    unsigned out_count = 0, in_count = 0;
    void *out_at = NULL, *in_at = NULL;
    uint64_t out_addr = rig_alloc(rig, out, &out_at), in_addr = rig_alloc(rig, in, &in_at);

    memset(r, 0, sizeof(*r));
    r->header = out_at;
    *r->header = (struct virtio_blk_req_header){bh_le32_of(type), bh_le32_of(0), bh_le64_of(sector)};
    r->data = write ? (uint8_t *)out_at + 16 : in_at;
    r->status = (uint8_t *)in_at + in - 1;
    *r->status = 0xee;
    if (write && len)
        memcpy(r->data, data, len);
    for (uint32_t at = 0; at < out; at += piece)
        bufs[out_count++] = (struct bh_drv_buf){bh_daddr(out_addr + at), out - at < piece ? out - at : piece};
    for (uint32_t at = 0; at < in; at += piece)
        bufs[out_count + in_count++] =
            (struct bh_drv_buf){bh_daddr(in_addr + at), in - at < piece ? in - at : piece};
    BH_ASSERT(bh_drv_ring_add(&rig->rings[queue], bufs, out_count, in_count, r) == BH_OK);
    bh_pipe_kick(&rig->pipe, queue);
}

void rig_add(struct rig *rig, unsigned queue, struct rig_request *r, uint32_t type, uint64_t sector,
             bool write, uint32_t len, const void *data)
{
    void *header_at = NULL, *data_at = NULL, *status_at = NULL;
    struct bh_drv_buf bufs[3];
    unsigned count = 0, out_count = 1;

    memset(r, 0, sizeof(*r));
    bufs[count++] = (struct bh_drv_buf){bh_daddr(rig_alloc(rig, 16, &header_at)), 16};
    r->header = header_at;
    *r->header = (struct virtio_blk_req_header){bh_le32_of(type), bh_le32_of(0), bh_le64_of(sector)};
    if (len) {
        bufs[count++] = (struct bh_drv_buf){bh_daddr(rig_alloc(rig, len, &data_at)), len};
        if (write)
            memcpy(data_at, data, len);
        out_count += write;
    }
    r->data = data_at;
    bufs[count++] = (struct bh_drv_buf){bh_daddr(rig_alloc(rig, 1, &status_at)), 1};
    r->status = status_at;
    *r->status = 0xee;
    BH_ASSERT(bh_drv_ring_add(&rig->rings[queue], bufs, out_count, count - out_count, r) == BH_OK);
    bh_pipe_kick(&rig->pipe, queue);
}

unsigned rig_run(struct rig *rig)
{
    unsigned used = 0;

    for (unsigned rounds = 0; rounds < 1000 && bh_pipe_pump(&rig->pipe, 64); rounds++)
        ;
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        void *token = NULL;
        uint32_t len = 0;
        while (bh_drv_ring_get(&rig->rings[i], &token, &len) == 1) {
            struct rig_request *r = token;
            BH_ASSERT(!r->used);
            r->used = true;
            r->used_len = len;
            used++;
        }
    }
    return used;
}
