/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a device's saved state as a hostile peer would send it. The length and the checksum are put right
 * first, since they keep nobody out who can compute them. What loads must save and load again, run on whatever
 * rings it names in a small guest memory, and come back from a reset.
 */
#include "tests/fuzz/target.h"
#include "transports/pipe/pipe.h"

#include <bulkhead/impl/class.h>
#include <stdlib.h>
#include <string.h>

#define QUEUES      2u
#define SLOTS       8u
#define SEGS        8u
#define SIZE_MAX_   64u
#define GUEST_BASE  0x1000u
#define GUEST_BYTES 16384u

struct sink {
    struct bh_device dev;
    struct bh_virtq queues[QUEUES];
    uint8_t remembered[4];
};

static struct bh_features sink_features(const struct bh_device *dev)
{
    (void)dev;
    return bh_class_ring_features();
}

static enum bh_ready sink_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct bh_chain *chain;

    (void)dev;
    for (unsigned i = 0; i < budget; i++) {
        if (bh_virtq_pop(q, &chain, 1) != 1)
            return BH_READY_DRAINED;
        chain->written = (uint32_t)bh_chain_write(chain, 0, "sink", 4);
        bh_virtq_push(q, &chain, 1);
    }
    return BH_READY_MORE;
}

static int sink_save(struct bh_device *dev, void *to, size_t size)
{
    if (size < 4)
        return BH_ERR_NOMEM;
    memcpy(to, BH_CONTAINER(dev, struct sink, dev)->remembered, 4);
    return 4;
}

static int sink_load(struct bh_device *dev, const void *from, size_t size)
{
    if (size != 4)
        return BH_ERR_PROTO;
    memcpy(BH_CONTAINER(dev, struct sink, dev)->remembered, from, 4);
    return BH_OK;
}

static const struct bh_class sink_class = {
    .name = "sink",
    .virtio_id = 4,
    .features = sink_features,
    .queue_ready = sink_ready,
    .save = sink_save,
    .load = sink_load,
};

static uint32_t checksum(const uint8_t *bytes, size_t len)
{
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1u ? 0xedb88320u : 0u);
    }
    return ~crc;
}

static void put32(uint8_t *to, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        to[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t guest[GUEST_BYTES / 8];
static uint64_t blocks[QUEUES][8192];
static const struct bh_mem_region region = {{GUEST_BASE}, GUEST_BYTES, (uint8_t *)guest, {0}, 0, 3};
static const struct bh_mem_table table = {&region, 1};

static void init(struct sink *sink, struct bh_mem *mem, struct bh_pipe *pipe)
{
    struct bh_virtq_memory memory[QUEUES];

    for (unsigned i = 0; i < QUEUES; i++) {
        if (bh_virtq_memory_bytes(SIZE_MAX_, SLOTS, SEGS) > sizeof(blocks[i]))
            abort();
        bh_virtq_memory_place(&memory[i], blocks[i], SIZE_MAX_, SLOTS, SEGS);
    }
    bh_mem_init(mem, NULL);
    bh_mem_publish(mem, &table);
    bh_device_init(&sink->dev, &sink_class, mem, sink->queues, memory, QUEUES);
    bh_pipe_attach(pipe, &sink->dev);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sink sink;
    static struct bh_pipe pipe;
    struct bh_mem mem;
    uint8_t state[512], again[512];
    int len;

    if (size < 24 || size > sizeof(state))
        return 0;
    memset(guest, 0, sizeof(guest));
    memset(&sink, 0, sizeof(sink));
    init(&sink, &mem, &pipe);
    if (bh_device_load(&sink.dev, data, size) == BH_OK)
        bh_device_reset(&sink.dev);
    memcpy(state, data, size);
    put32(state + 8, (uint32_t)size);
    put32(state + size - 4, checksum(state, size - 4));
    if (bh_device_load(&sink.dev, state, size) == BH_OK) {
        len = bh_device_save(&sink.dev, again, sizeof(again));
        if (len <= 0)
            abort();
        bh_device_resume(&sink.dev);
        for (unsigned i = 0; i < 16; i++)
            (void)bh_pipe_pump(&pipe, 8);
        bh_device_quiesce(&sink.dev);
        bh_device_reset(&sink.dev);
        if (bh_device_load(&sink.dev, again, (size_t)len) != BH_OK)
            abort();
    }
    bh_device_reset(&sink.dev);
    if (bh_device_status(&sink.dev) != 0 || pipe.done[BH_CONTROL_RESET] == 0)
        abort();
    bh_pipe_detach(&pipe);
    return 0;
}
