/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The conformance suite's pipe: a class in this process, its event loop and the pump run in turn.
 */
#include "tests/conformance/conf.h"

#include "ports/sim/sim_mem.h"
#include "transports/pipe/pipe.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pipe_side {
    struct conf_side side;
    struct bh_loop *loop;
    struct bh_hosted *hosted;
    struct bh_sim_mem sim; /* where memory is simulated */
    struct bh_mem plain, *mem;
    struct bh_mem_region region;
    struct bh_mem_table table;
    struct bh_pipe pipe;
};

static struct pipe_side *mine(struct conf_side *side)
{
    return BH_CONTAINER(side, struct pipe_side, side);
}

static struct bh_device *dev_of(struct conf_side *side)
{
    return mine(side)->hosted->dev;
}

static int turn(struct pipe_side *p, int timeout_ms)
{
    bool busy = p->mem == &p->sim.mem && bh_sim_mem_arrive(&p->sim);

    if (busy)
        bh_pipe_translated(&p->pipe);
    for (unsigned w = 0; w < BH_COUNT(p->pipe.woken); w++)
        busy |= p->pipe.woken[w] != 0;
    busy |= bh_pipe_pump(&p->pipe, 16);
    return bh_loop_step(p->loop, busy ? 0 : timeout_ms) < 0 ? BH_ERR_IO : BH_OK;
}

static struct bh_features offered(struct conf_side *side)
{
    return bh_device_offered(dev_of(side));
}

static int negotiate(struct conf_side *side, const struct bh_features *features)
{
    struct bh_device *dev = dev_of(side);
    const uint8_t before = BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER;

    side->packed = bh_features_has(features, BH_F_RING_PACKED);
    bh_device_set_status(dev, BH_STATUS_ACKNOWLEDGE);
    bh_device_set_status(dev, before);
    (void)!bh_device_accept(dev, features); /* a driver hears of it by FEATURES_OK only */
    bh_device_set_status(dev, before | BH_STATUS_FEATURES_OK);
    return bh_device_status(dev) & BH_STATUS_FEATURES_OK ? BH_OK : BH_ERR_INVAL;
}

static int get_status(struct conf_side *side, uint8_t *status)
{
    *status = bh_device_status(dev_of(side));
    return BH_OK;
}

static int set_status(struct conf_side *side, uint8_t status)
{
    bh_device_set_status(dev_of(side), status);
    return BH_OK;
}

static int config_read(struct conf_side *side, uint32_t offset, void *to, uint32_t len)
{
    bh_device_config_read(dev_of(side), offset, to, len);
    return BH_OK;
}

static int config_write(struct conf_side *side, uint32_t offset, const void *from, uint32_t len)
{
    return bh_device_config_write(dev_of(side), offset, from, len);
}

static int queue_start(struct conf_side *side, unsigned index, const struct bh_virtq_setup *setup)
{
    return bh_device_queue_enable(dev_of(side), index, setup);
}

/* Wait for the end of an operation that was started. */
static int until_done(struct pipe_side *p, enum bh_control control, uint32_t before)
{
    for (unsigned i = 0; i < 1000; i++) {
        int err;

        if (p->pipe.done[control] != before)
            return BH_OK;
        err = turn(p, 5);
        if (err)
            return err;
    }
    return BH_ERR_TIMEOUT;
}

static int queue_stop(struct conf_side *side, unsigned index, struct bh_virtq_state *state)
{
    struct pipe_side *p = mine(side);
    uint32_t before = p->pipe.done[BH_CONTROL_QUEUE_STOP];
    int err;

    bh_device_queue_stop(dev_of(side), index);
    err = until_done(p, BH_CONTROL_QUEUE_STOP, before);
    if (!err && state)
        *state = bh_virtq_state(&dev_of(side)->queues[index]);
    return err;
}

static int driver_ok(struct conf_side *side)
{
    struct bh_device *dev = dev_of(side);

    bh_device_set_status(dev, bh_device_status(dev) | BH_STATUS_DRIVER_OK);
    return bh_device_status(dev) & BH_STATUS_DRIVER_OK ? BH_OK : BH_ERR_INVAL;
}

static int reset(struct conf_side *side)
{
    struct pipe_side *p = mine(side);
    uint32_t before = p->pipe.done[BH_CONTROL_RESET];

    bh_device_set_status(dev_of(side), 0);
    return until_done(p, BH_CONTROL_RESET, before);
}

static void kick(struct conf_side *side, unsigned index)
{
    bh_pipe_kick(&mine(side)->pipe, index);
}

static int wait(struct conf_side *side, int timeout_ms)
{
    return turn(mine(side), timeout_ms);
}

static uint32_t notifications(struct conf_side *side, unsigned index)
{
    return mine(side)->pipe.notifications[index];
}

static uint32_t errors(struct conf_side *side, unsigned index)
{
    return mine(side)->pipe.errors[index];
}

static void close_side(struct conf_side *side)
{
    struct pipe_side *p = mine(side);

    if (reset(side) != BH_OK)
        return; /* a device that cannot be reset cannot be freed either; the case said so */
    /* A run whose memory was never awake would show nothing. */
    if (p->sim.translations && !p->sim.pendings)
        printf("Bail out! simulated memory was never pending\n");
    bh_pipe_detach(&p->pipe);
    p->hosted->class->destroy(p->hosted);
    bh_loop_destroy(p->loop);
    free(p);
}

static const struct conf_side_ops pipe_side_ops = {
    .name = "pipe",
    .offered = offered,
    .negotiate = negotiate,
    .get_status = get_status,
    .set_status = set_status,
    .config_read = config_read,
    .config_write = config_write,
    .queue_start = queue_start,
    .queue_stop = queue_stop,
    .driver_ok = driver_ok,
    .reset = reset,
    .kick = kick,
    .wait = wait,
    .notifications = notifications,
    .errors = errors,
    .close = close_side,
};

int conf_open_pipe(const struct conf_plan *plan, struct bh_drv_guest *guest, struct conf_side **side)
{
    struct pipe_side *p = calloc(1, sizeof(*p));
    int err;

    if (!p)
        return BH_ERR_NOMEM;
    err = bh_loop_create(&p->loop);
    if (err)
        goto free_it;
    p->region =
        (struct bh_mem_region){guest->base, guest->size, guest->host, {0}, 0, BH_MEM_READ | BH_MEM_WRITE};
    p->table = (struct bh_mem_table){&p->region, 1};
    bh_sim_mem_init(&p->sim, guest->base.raw, plan->sim_seed);
    p->sim.split_from = guest->base.raw + (2u << 20);
    p->sim.evict_one_in = 7;
    bh_mem_init(&p->plain, NULL);
    p->mem = plan->sim_seed ? &p->sim.mem : &p->plain;
    bh_mem_publish(p->mem, &p->table);
    err = plan->hosted->create(p->loop, p->mem, plan->values, bh_diag_default(), &p->hosted);
    if (err)
        goto destroy_loop;
    bh_pipe_attach(&p->pipe, p->hosted->dev);
    p->side =
        (struct conf_side){.ops = &pipe_side_ops, .guest = guest, .queue_count = p->hosted->dev->queue_count};
    *side = &p->side;
    return BH_OK;
destroy_loop:
    bh_loop_destroy(p->loop);
free_it:
    free(p);
    return err;
}
