/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-process transport.
 */
#include "transports/pipe/pipe.h"

#include <bulkhead/impl/transport.h>

static struct bh_pipe *pipe_of(struct bh_device *dev)
{
    return dev->transport_data;
}

static void set_woken(struct bh_pipe *pipe, unsigned index)
{
    pipe->woken[index / 32] |= 1u << (index % 32);
}

static void queue_notify(struct bh_device *dev, struct bh_virtq *q)
{
    pipe_of(dev)->notifications[q->index]++;
}

static void queue_wake(struct bh_device *dev, struct bh_virtq *q)
{
    set_woken(pipe_of(dev), q->index);
}

static void needs_reset(struct bh_device *dev, struct bh_virtq *q, enum bh_broken reason)
{
    struct bh_pipe *pipe = pipe_of(dev);

    pipe->last_reason = reason;
    if (q)
        pipe->errors[q->index]++;
    else
        pipe->device_errors++;
}

static void config_changed(struct bh_device *dev)
{
    pipe_of(dev)->config_changes++;
}

static void control_done(struct bh_device *dev, enum bh_control control, unsigned index, int result)
{
    struct bh_pipe *pipe = pipe_of(dev);

    pipe->done[control]++;
    if (result == BH_ERR_CANCELLED)
        pipe->cancelled[control]++;
    pipe->last_done_index = index;
}

static const struct bh_transport pipe_transport = {
    .name = "pipe",
    .queue_notify = queue_notify,
    .queue_wake = queue_wake,
    .needs_reset = needs_reset,
    .config_changed = config_changed,
    .control_done = control_done,
};

void bh_pipe_attach(struct bh_pipe *pipe, struct bh_device *dev)
{
    memset(pipe, 0, sizeof(*pipe));
    pipe->dev = dev;
    bh_device_attach(dev, &pipe_transport, pipe);
}

void bh_pipe_detach(struct bh_pipe *pipe)
{
    bh_device_detach(pipe->dev);
    pipe->dev = NULL;
}

void bh_pipe_kick(struct bh_pipe *pipe, unsigned index)
{
    if (index >= pipe->dev->queue_count)
        return;
    bh_device_run_kick(pipe->dev, index, 0);
    set_woken(pipe, index);
}

void bh_pipe_translated(struct bh_pipe *pipe)
{
    for (unsigned i = 0; i < pipe->dev->queue_count; i++)
        set_woken(pipe, i);
}

bool bh_pipe_pump(struct bh_pipe *pipe, unsigned budget)
{
    bool more = false;

    for (unsigned i = 0; i < pipe->dev->queue_count; i++) {
        if (!(pipe->woken[i / 32] >> (i % 32) & 1u))
            continue;
        pipe->woken[i / 32] &= ~(1u << (i % 32));
        if (bh_device_run_queue(pipe->dev, i, budget))
            set_woken(pipe, i);
    }
    for (unsigned w = 0; w < BH_COUNT(pipe->woken); w++)
        more |= pipe->woken[w] != 0;
    return more;
}
