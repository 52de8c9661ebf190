/* SPDX-License-Identifier: Apache-2.0 */
/* The class tests' rig: guest memory, two rings, the pipe. */
#include "tests/unit/class_rig.h"

#include <stdlib.h>
#include <string.h>

#define BASE 0x40000000u

void class_rig_open(struct class_rig *rig, unsigned queue_count, uint16_t chains, uint16_t segs)
{
    memset(rig, 0, sizeof(*rig));
    rig->queue_count = queue_count;
    BH_ASSERT(bh_drv_guest_create(&rig->guest, bh_daddr(BASE), CLASS_RIG_BYTES) == BH_OK);
    rig->region = (struct bh_mem_region){.base = bh_daddr(BASE),
                                         .size = CLASS_RIG_BYTES,
                                         .host = rig->guest.host,
                                         .access = BH_MEM_READ | BH_MEM_WRITE};
    rig->table = (struct bh_mem_table){&rig->region, 1};
    bh_mem_init(&rig->mem, NULL);
    bh_mem_publish(&rig->mem, &rig->table);
    for (unsigned i = 0; i < queue_count; i++) {
        rig->blocks[i] = calloc(1, bh_virtq_memory_bytes(CLASS_RIG_SIZE, chains, segs));
        BH_ASSERT(rig->blocks[i]);
        bh_virtq_memory_place(&rig->memory[i], rig->blocks[i], CLASS_RIG_SIZE, chains, segs);
    }
}

void class_rig_start(struct class_rig *rig, struct bh_device *dev, bool packed, uint64_t without)
{
    struct bh_features features, less = bh_features_of64(without);

    rig->dev = dev;
    bh_pipe_attach(&rig->pipe, dev);
    features = bh_device_offered(dev);
    features = bh_features_minus(features, less);
    if (!packed)
        bh_features_clear(&features, BH_F_RING_PACKED);
    BH_ASSERT(bh_device_accept(dev, &features) == BH_OK);
    BH_ASSERT(bh_device_features_done(dev) == BH_OK);
    for (unsigned i = 0; i < rig->queue_count; i++) {
        BH_ASSERT(bh_drv_queue_create(&rig->queues[i], &rig->guest, CLASS_RIG_SIZE, &features, 0) == BH_OK);
        BH_ASSERT(bh_device_queue_start(dev, i, &rig->queues[i].setup) == BH_OK);
    }
}

void class_rig_close(struct class_rig *rig)
{
    bh_device_reset(rig->dev);
    BH_ASSERT(rig->pipe.done[BH_CONTROL_RESET] > 0); /* none of these classes keeps chains through a reset */
    bh_pipe_detach(&rig->pipe);
    for (unsigned i = 0; i < rig->queue_count; i++) {
        bh_drv_queue_destroy(&rig->queues[i]);
        free(rig->blocks[i]);
    }
    bh_drv_guest_destroy(&rig->guest);
}

void *class_rig_alloc(struct class_rig *rig, uint32_t len)
{
    bh_daddr_t addr;
    void *at = bh_drv_guest_alloc(&rig->guest, len, 16, &addr);
    BH_ASSERT(at);
    return at;
}

int class_rig_add(struct class_rig *rig, unsigned queue, const void *out, uint32_t out_len, const void *in,
                  uint32_t in_len, void *token)
{
    struct bh_drv_buf bufs[2];
    unsigned count = 0;

    if (out_len)
        bufs[count++] = (struct bh_drv_buf){bh_drv_guest_addr(&rig->guest, out), out_len};
    if (in_len)
        bufs[count++] = (struct bh_drv_buf){bh_drv_guest_addr(&rig->guest, in), in_len};
    int err = bh_drv_ring_add(&rig->queues[queue].ring, bufs, out_len ? 1 : 0, in_len ? 1 : 0, token);
    bh_pipe_kick(&rig->pipe, queue);
    return err;
}

static void reset_now(struct bh_device *dev, struct bh_virtq *q)
{
    bh_device_reset(dev);
}

void class_rig_reset_at_notification(struct class_rig *rig)
{
    rig->resetting = *rig->dev->transport;
    rig->resetting.queue_notify = reset_now;
    rig->dev->transport = &rig->resetting;
}

void class_rig_run(struct class_rig *rig)
{
    unsigned rounds = 0;
    while (bh_pipe_pump(&rig->pipe, 64))
        BH_ASSERT(++rounds < 1000); /* a device that never comes to rest */
}

void *class_rig_get(struct class_rig *rig, unsigned queue, uint32_t *len)
{
    void *token = NULL;
    int got = bh_drv_ring_get(&rig->queues[queue].ring, &token, len);

    BH_ASSERT(got >= 0);
    return got == 1 ? token : NULL;
}
