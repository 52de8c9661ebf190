/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The echo device and its bench.
 */
#include "tests/unit/echo_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h> /* wants the headers above */

static struct echo *echo_of(const struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct echo, dev);
}

static const void *echo_config(const struct bh_device *dev, uint32_t *size)
{
    *size = sizeof(echo_of(dev)->config);
    return echo_of(dev)->config;
}

static int echo_config_write(struct bh_device *dev, uint32_t offset, const void *from, uint32_t len)
{
    memcpy(echo_of(dev)->config + offset, from, len);
    return BH_OK;
}

static struct bh_features echo_features(const struct bh_device *dev)
{
    struct bh_features f = bh_class_ring_features();

    bh_features_set(&f, 3);
    bh_features_set(&f, 120);
    return f;
}

static int echo_negotiated(struct bh_device *dev)
{
    return echo_of(dev)->refuse ? BH_ERR_UNSUPPORTED : BH_OK;
}

static void echo_start(struct bh_device *dev)
{
    echo_of(dev)->starts++;
}

void echo_answer(struct echo *echo, unsigned index)
{
    for (unsigned i = 0; i < echo->kept_count[index]; i++) {
        struct bh_chain *chain = echo->kept[index][i];
        uint8_t bytes[256];
        size_t len = bh_chain_read(chain, 0, bytes, sizeof(bytes));

        chain->written = (uint32_t)bh_chain_write(chain, 0, bytes, len);
        bh_virtq_push(&echo->queues[index], &chain, 1);
    }
    echo->kept_count[index] = 0;
}

static enum bh_ready echo_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct echo *echo = echo_of(dev);
    struct bh_chain *chain;

    for (unsigned i = 0; i < budget; i++) {
        int count = echo->kept_count[q->index] < SLOTS ? bh_virtq_pop(q, &chain, 1) : 0;

        if (count <= 0)
            return count == BH_ERR_PENDING ? BH_READY_HELD : BH_READY_DRAINED;
        echo->kept[q->index][echo->kept_count[q->index]++] = chain;
        if (!echo->keep)
            echo_answer(echo, q->index);
    }
    return BH_READY_MORE;
}

static void echo_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    struct echo *echo = echo_of(dev);

    if (echo->stubborn)
        return;
    bh_virtq_unpop(q, echo->kept_count[q->index]);
    echo->kept_count[q->index] = 0;
}

static void echo_reset(struct bh_device *dev)
{
    echo_of(dev)->resets++;
}

static int echo_save(struct bh_device *dev, void *to, size_t size)
{
    if (size < 1)
        return BH_ERR_NOMEM;
    *(uint8_t *)to = echo_of(dev)->config[0];
    return 1;
}

static int echo_load(struct bh_device *dev, const void *from, size_t size)
{
    if (size != 1)
        return BH_ERR_PROTO;
    echo_of(dev)->config[0] = *(const uint8_t *)from;
    return BH_OK;
}

static const struct bh_class echo_class = {
    .name = "echo",
    .virtio_id = ECHO_ID,
    .config = echo_config,
    .config_write = echo_config_write,
    .features = echo_features,
    .negotiated = echo_negotiated,
    .start = echo_start,
    .queue_ready = echo_ready,
    .queue_stopping = echo_stopping,
    .reset = echo_reset,
    .save = echo_save,
    .load = echo_load,
};

/* --- A bench: an echo device on the pipe, and a guest ---------------------------------------------------- */

void bench_init(struct bench *b, uint64_t seed)
{
    struct bh_virtq_memory memory[QUEUES];

    memset(b, 0, sizeof(*b));
    for (unsigned i = 0; i < QUEUES; i++) {
        b->blocks[i] = malloc(bh_virtq_memory_bytes(16, SLOTS, 8));
        assert_non_null(b->blocks[i]);
        bh_virtq_memory_place(&memory[i], b->blocks[i], 16, SLOTS, 8);
    }
    assert_int_equal(bh_drv_guest_create(&b->guest, bh_daddr(0x40000000), 1u << 20), BH_OK);
    b->region[0] = (struct bh_mem_region){b->guest.base, b->guest.size, b->guest.host, {0}, 0, 3};
    b->table = (struct bh_mem_table){b->region, 1};
    bh_mem_init(&b->plain, NULL);
    bh_sim_mem_init(&b->sim, b->guest.base.raw, seed);
    b->mem = seed ? &b->sim.mem : &b->plain;
    bh_mem_publish(b->mem, &b->table);
    bh_device_init(&b->echo.dev, &echo_class, b->mem, b->echo.queues, memory, QUEUES);
    bh_pipe_attach(&b->pipe, &b->echo.dev);
    b->out = bh_drv_guest_alloc(&b->guest, 4096, 16, NULL);
    b->in = bh_drv_guest_alloc(&b->guest, 4096, 16, NULL);
}

void bench_fini(struct bench *b)
{
    bh_device_reset(&b->echo.dev);
    bh_pipe_detach(&b->pipe);
    for (unsigned i = 0; i < QUEUES; i++) {
        bh_drv_queue_destroy(&b->queue[i]);
        free(b->blocks[i]);
    }
    bh_drv_guest_destroy(&b->guest);
}

void bench_negotiate(struct bench *b, bool packed)
{
    struct bh_device *dev = &b->echo.dev;

    memset(&b->features, 0, sizeof(b->features));
    bh_features_set(&b->features, BH_F_VERSION_1);
    bh_features_set(&b->features, BH_F_SUSPEND);
    bh_features_set(&b->features, BH_F_RING_RESET);
    if (packed)
        bh_features_set(&b->features, BH_F_RING_PACKED);
    bh_device_set_status(dev, BH_STATUS_ACKNOWLEDGE);
    bh_device_set_status(dev, BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER);
    assert_int_equal(bh_device_accept(dev, &b->features), BH_OK);
    bh_device_set_status(dev, 11);
    assert_int_equal(bh_device_status(dev), 11);
}

void bench_enable(struct bench *b, unsigned index)
{
    bh_drv_queue_destroy(&b->queue[index]);
    assert_int_equal(bh_drv_queue_create(&b->queue[index], &b->guest, 16, &b->features, 0), BH_OK);
    assert_int_equal(bh_device_queue_enable(&b->echo.dev, index, &b->queue[index].setup), BH_OK);
}

void bench_up(struct bench *b, bool packed)
{
    bench_negotiate(b, packed);
    bench_enable(b, 0);
    bench_enable(b, 1);
    bh_device_set_status(&b->echo.dev, 15);
    assert_int_equal(bh_device_status(&b->echo.dev), 15);
}

void bench_pump(struct bench *b)
{
    for (unsigned i = 0; i < 100; i++) {
        bool more = bh_pipe_pump(&b->pipe, 8);

        if (bh_sim_mem_arrive(&b->sim))
            bh_pipe_translated(&b->pipe);
        else if (!more)
            return;
    }
    fail_msg("the device never rests");
}

void bench_send(struct bench *b, unsigned index, uint8_t byte)
{
    struct bh_drv_buf bufs[2] = {{bh_drv_guest_addr(&b->guest, b->out + byte), 1},
                                 {bh_drv_guest_addr(&b->guest, b->in + byte), 1}};

    b->out[byte] = byte;
    assert_int_equal(bh_drv_ring_add(&b->queue[index].ring, bufs, 1, 1, b->in + byte), BH_OK);
    if (bh_drv_ring_kick_needed(&b->queue[index].ring))
        bh_pipe_kick(&b->pipe, index);
}

unsigned bench_received(struct bench *b, unsigned index)
{
    unsigned count = 0;
    void *token;
    uint32_t len;

    while (bh_drv_ring_get(&b->queue[index].ring, &token, &len) == 1) {
        uint8_t *in = token;

        assert_int_equal(len, 1);
        assert_int_equal(*in, in - b->in);
        count++;
    }
    assert_false(b->queue[index].ring.broken);
    return count;
}
