/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's queues: starting them, letting the class work on them, and what they report back.
 *
 * Theory of operation
 *   run_queue turns notifications off, lets the class pop, and turns them on only when the class found
 * nothing more. Turning them on looks at the ring once again: what came in between makes run_queue ask to be
 * called again, so no class can lose a kick. A class that found no free slot instead of no chain is called
 * after the next push: `watched` asks the queue to tell.
 */
#include <bulkhead/device.h>

#include "core/device_impl.h"
#include "core/probe.h"
#include "core/virtq_ops.h"

static void wake(struct bh_device *dev, struct bh_virtq *q)
{
    if (dev->transport)
        dev->transport->queue_wake(dev, q);
}

int bh_device_bring_up(struct bh_device *dev, struct bh_virtq *q)
{
    int err;

    q->wishes |= QUEUE_WAITING;
    q->state = q->setup.state; /* where it stands, should it be stopped before it has started */
    if (dev->paused)
        return BH_OK;
    err = bh_virtq_start(q, &q->setup, &dev->acked);
    if (err == BH_ERR_PENDING)
        return err;
    q->wishes &= (uint8_t)~QUEUE_WAITING;
    if (err)
        return err;
    if (!dev->started) {
        dev->started = true;
        if (dev->class->start)
            dev->class->start(dev);
        bh_device_config_flush(dev);
    }
    wake(dev, q);
    return BH_OK;
}

void bh_device_bring_up_or_break(struct bh_device *dev, struct bh_virtq *q)
{
    int err = bh_device_bring_up(dev, q);

    if (err == BH_OK || err == BH_ERR_PENDING)
        return;
    bh_virtq_break(q, BH_BROKEN_RING_FAULT); /* counts only: it does not run */
    bh_device_broken(dev, q, BH_BROKEN_RING_FAULT);
}

/* Common to _start and _enable: may the driver's setup be taken now? */
static int take_setup(struct bh_device *dev, unsigned index, const struct bh_virtq_setup *setup)
{
    struct bh_virtq *q;

    if (index >= dev->queue_count)
        return BH_ERR_NOENT;
    q = &dev->queues[index];
    if (!dev->features_done)
        return BH_ERR_UNSUPPORTED;
    if (control_active(dev, BH_CONTROL_RESET) || q->life != BH_VIRTQ_STOPPED || (q->wishes & QUEUE_STOPPING))
        return BH_ERR_BUSY;
    if (!bh_virtq_setup_ok(q, setup, bh_device_has(dev, BH_F_RING_PACKED)))
        return BH_ERR_INVAL;
    q->setup = *setup;
    return BH_OK;
}

int bh_device_queue_start(struct bh_device *dev, unsigned index, const struct bh_virtq_setup *setup)
{
    int err = take_setup(dev, index, setup);

    if (err)
        return err;
    err = bh_device_bring_up(dev, &dev->queues[index]);
    if (err == BH_OK || err == BH_ERR_PENDING)
        dev->queues[index].wishes |= QUEUE_ENABLED;
    return err;
}

int bh_device_queue_enable(struct bh_device *dev, unsigned index, const struct bh_virtq_setup *setup)
{
    int err = take_setup(dev, index, setup);

    if (err)
        return err;
    dev->queues[index].wishes |= QUEUE_ENABLED;
    if (dev->status & (BH_STATUS_DRIVER_OK | BH_STATUS_SUSPEND))
        bh_device_bring_up_or_break(dev, &dev->queues[index]);
    return BH_OK;
}

bool bh_device_queue_enabled(const struct bh_device *dev, unsigned index)
{
    return index < dev->queue_count && (dev->queues[index].wishes & QUEUE_ENABLED);
}

/* --- Running ---------------------------------------------------------------------------------------------
 */

void bh_device_run_kick(struct bh_device *dev, unsigned index, uint32_t data)
{
    (void)data; /* the ring says the same, and is checked */
    if (index >= dev->queue_count)
        return;
    dev->queues[index].counters.kicks++;
    BH_PROBE_KICK(&dev->queues[index]);
}

/* One call of the class; true: call again. */
static bool run_class(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    enum bh_ready ready;

    bh_virtq_disarm(q);
    ready = dev->class->queue_ready(dev, q, budget);
    if (!bh_virtq_running(q))
        return false;
    switch (ready) {
    case BH_READY_MORE: return true;
    case BH_READY_HELD: return false;
    case BH_READY_DRAINED: break;
    }
    if (q->free_count == 0) {
        q->watched = true;
        return false;
    }
    return bh_virtq_arm(q);
}

bool bh_device_run_queue(struct bh_device *dev, unsigned index, unsigned budget)
{
    struct bh_virtq *q;
    bool again = false;

    if (index >= dev->queue_count)
        return false;
    q = &dev->queues[index];
    if (q->life == BH_VIRTQ_STOPPED && !dev->paused && (q->wishes & QUEUE_WAITING))
        bh_device_bring_up_or_break(dev, q);
    if (control_active(dev, BH_CONTROL_MEM) && q->life != BH_VIRTQ_STOPPED) {
        if (dev->class->queue_give_back)
            dev->class->queue_give_back(dev, q);
        bh_virtq_adopt(q);
    }
    if (bh_virtq_running(q))
        again = run_class(dev, q, budget);
    if (control_active(dev, BH_CONTROL_MEM))
        bh_device_settle(dev);
    return again;
}

void bh_device_queue_wake(struct bh_device *dev, struct bh_virtq *q)
{
    if (bh_virtq_running(q))
        wake(dev, q);
}

/* --- What queues report ----------------------------------------------------------------------------------
 */

static void on_notify(struct bh_virtq *q)
{
    struct bh_device *dev = q->owner;

    if (dev->transport)
        dev->transport->queue_notify(dev, q);
}

static void on_broken(struct bh_virtq *q, enum bh_broken reason)
{
    bh_device_broken(q->owner, q, reason);
}

static void on_quiet(struct bh_virtq *q)
{
    struct bh_device *dev = q->owner;

    if (q->broken)
        q->wishes &= (uint8_t)~QUEUE_WAITING;
    q->setup.state = bh_virtq_state(q); /* where to go on */
    bh_device_settle(dev);
}

static void on_pushed(struct bh_virtq *q)
{
    struct bh_device *dev = q->owner;

    bh_device_queue_wake(dev, q);
    if (control_active(dev, BH_CONTROL_MEM)) {
        q->watched = true;
        bh_device_settle(dev);
    }
}

const struct bh_virtq_env bh_device_queue_env = {
    .notify = on_notify,
    .broken = on_broken,
    .quiet = on_quiet,
    .pushed = on_pushed,
};
