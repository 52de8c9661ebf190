/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control operations of a device: reset, queue stop and reset, quiesce and suspend, a change of memory.
 *
 * Theory of operation
 *   An operation sets its bit in dev->controls and stops what it must; bh_device_settle looks for operations
 * whose end has come, and is called whenever that may be: when an operation was started, when a queue became
 * quiet, when chains came back while memory changes. A completion may start the next operation: each is
 * completed in full (its bits cleared) before the transport hears of it, so settle may be entered again.
 *   While an operation is being started, `holding` keeps completions back: a queue that is quiet at once must
 * not end a reset that has not reached the other queues yet.
 *   A queue stopped by pause keeps its setup and is marked waiting; whoever ends the pause starts it again.
 */
#include <bulkhead/device.h>

#include "core/device_impl.h"

static void tell(struct bh_device *dev, enum bh_control control, unsigned index, int result)
{
    if (dev->transport)
        dev->transport->control_done(dev, control, index, result);
}

/* An operation of the whole device ends, if it is under way. */
static void end_control(struct bh_device *dev, enum bh_control control, int result)
{
    if (!control_active(dev, control))
        return;
    dev->controls &= ~(1u << control);
    tell(dev, control, 0, result);
}

/* A stop or reset of a queue ends, if there is one. */
static void end_stop(struct bh_device *dev, struct bh_virtq *q, int result)
{
    bool reset = q->wishes & QUEUE_RESETTING;

    if (!(q->wishes & QUEUE_STOPPING))
        return;
    q->wishes &= (uint8_t) ~(QUEUE_STOPPING | QUEUE_RESETTING);
    if (reset && result == BH_OK)
        memset(&q->setup, 0, sizeof(q->setup)); /* [virtio-1.4 2.6.1.1.1] */
    tell(dev, reset ? BH_CONTROL_QUEUE_RESET : BH_CONTROL_QUEUE_STOP, q->index, result);
}

bool bh_device_stopped(const struct bh_device *dev)
{
    for (unsigned i = 0; i < dev->queue_count; i++) {
        if (dev->queues[i].life != BH_VIRTQ_STOPPED)
            return false;
    }
    return true;
}

static void stop_if_running(struct bh_device *dev, struct bh_virtq *q)
{
    if (q->life != BH_VIRTQ_RUNNING)
        return;
    bh_virtq_stop(q);
    if (dev->class->queue_stopping)
        dev->class->queue_stopping(dev, q);
}

/* --- settle ----------------------------------------------------------------------------------------------
 */

static void settle_queues(struct bh_device *dev)
{
    for (unsigned i = 0; i < dev->queue_count; i++) {
        struct bh_virtq *q = &dev->queues[i];

        if (q->life != BH_VIRTQ_STOPPED)
            continue;
        if (q->wishes & QUEUE_STOPPING)
            end_stop(dev, q, BH_OK);
        else if (!dev->paused && (q->wishes & QUEUE_WAITING))
            bh_device_bring_up_or_break(dev, q); /* resumed before it was quiet */
    }
}

static void settle_pause(struct bh_device *dev)
{
    if (control_active(dev, BH_CONTROL_SUSPEND)) {
        dev->status &= (uint8_t)~BH_STATUS_DRIVER_OK;
        dev->status |= BH_STATUS_SUSPEND;
        end_control(dev, BH_CONTROL_SUSPEND, BH_OK);
    }
    if (bh_device_stopped(dev))
        end_control(dev, BH_CONTROL_QUIESCE, BH_OK);
}

/* A slot is a region's alone until it is released. */
static bool has_slot(const struct bh_mem_table *table, uint16_t slot)
{
    for (uint32_t i = 0; i < table->count; i++) {
        if (table->regions[i].slot == slot)
            return true;
    }
    return false;
}

/* The former table's regions that the new one lacks: does any queue still hold one? */
static bool mem_held(const struct bh_device *dev)
{
    const struct bh_mem_table *former = dev->mem_former;

    for (uint32_t r = 0; r < former->count; r++) {
        if (has_slot(dev->mem->table, former->regions[r].slot))
            continue;
        for (unsigned i = 0; i < dev->queue_count; i++) {
            if (bh_mem_view_holds(&dev->queues[i].view, &former->regions[r]))
                return true;
        }
    }
    return false;
}

static void settle_mem(struct bh_device *dev)
{
    for (unsigned i = 0; i < dev->queue_count; i++) {
        if (dev->queues[i].life == BH_VIRTQ_STOPPED)
            (void)bh_mem_view_adopt(&dev->queues[i].view);
        else if (dev->queues[i].view.table != dev->mem->table)
            return; /* it adopts in its next run, and its last chain may use the former table till then */
    }
    if (mem_held(dev))
        return;
    dev->mem_former = NULL;
    end_control(dev, BH_CONTROL_MEM, BH_OK);
}

void bh_device_settle(struct bh_device *dev)
{
    if (dev->holding)
        return;
    if (control_active(dev, BH_CONTROL_MEM))
        settle_mem(dev);
    settle_queues(dev);
    if (dev->paused && bh_device_stopped(dev))
        settle_pause(dev);
    if (control_active(dev, BH_CONTROL_RESET) && bh_device_stopped(dev)) {
        bh_device_forget(dev);
        end_control(dev, BH_CONTROL_RESET, BH_OK);
    }
}

/* --- operations ------------------------------------------------------------------------------------------
 */

/* Nothing is wished of any queue but the stops under way. */
static void forget_wishes(struct bh_device *dev)
{
    dev->paused = 0;
    for (unsigned i = 0; i < dev->queue_count; i++)
        dev->queues[i].wishes &= (uint8_t) ~(QUEUE_ENABLED | QUEUE_WAITING);
}

void bh_device_forget(struct bh_device *dev)
{
    dev->status = 0;
    dev->features_done = false;
    dev->accept_refused = false;
    dev->started = false;
    memset(&dev->acked, 0, sizeof(dev->acked));
    forget_wishes(dev);
    for (unsigned i = 0; i < dev->queue_count; i++)
        memset(&dev->queues[i].setup, 0, sizeof(dev->queues[i].setup));
    if (dev->class->reset)
        dev->class->reset(dev);
    dev->config_pending = false;
}

void bh_device_reset(struct bh_device *dev)
{
    if (control_active(dev, BH_CONTROL_RESET))
        return;
    dev->counters.resets++;
    dev->controls |= 1u << BH_CONTROL_RESET;
    dev->holding++;
    forget_wishes(dev);
    for (unsigned i = 0; i < dev->queue_count; i++) {
        struct bh_virtq *q = &dev->queues[i];

        end_stop(dev, q, BH_ERR_CANCELLED);
        if (q->life == BH_VIRTQ_STOPPING && dev->class->queue_stopping)
            dev->class->queue_stopping(dev, q); /* what a stop waits for, a reset may cancel */
        stop_if_running(dev, q);
    }
    end_control(dev, BH_CONTROL_QUIESCE, BH_ERR_CANCELLED);
    end_control(dev, BH_CONTROL_SUSPEND, BH_ERR_CANCELLED);
    dev->holding--;
    bh_device_settle(dev);
}

static void end_queue(struct bh_device *dev, unsigned index, unsigned wishes)
{
    struct bh_virtq *q;

    BH_ASSERT(index < dev->queue_count);
    q = &dev->queues[index];
    dev->holding++;
    if ((q->wishes ^ wishes) & QUEUE_RESETTING)
        end_stop(dev, q, BH_ERR_CANCELLED);
    q->wishes = (uint8_t)wishes;
    if (control_active(dev, BH_CONTROL_RESET))
        end_stop(dev, q, BH_ERR_CANCELLED);
    stop_if_running(dev, q);
    dev->holding--;
    bh_device_settle(dev);
}

void bh_device_queue_stop(struct bh_device *dev, unsigned index)
{
    end_queue(dev, index, QUEUE_STOPPING);
}

void bh_device_queue_reset(struct bh_device *dev, unsigned index)
{
    end_queue(dev, index, QUEUE_STOPPING | QUEUE_RESETTING);
}

void bh_device_pause(struct bh_device *dev, enum bh_control control)
{
    if (control_active(dev, control))
        return;
    dev->controls |= 1u << control;
    dev->paused |= (uint8_t)(1u << control);
    dev->holding++;
    for (unsigned i = 0; i < dev->queue_count; i++) {
        struct bh_virtq *q = &dev->queues[i];

        if (bh_virtq_running(q)) /* a broken one is not mended by a pause */
            q->wishes |= QUEUE_WAITING;
        stop_if_running(dev, q);
    }
    dev->holding--;
    bh_device_settle(dev);
}

void bh_device_unpause(struct bh_device *dev, enum bh_control control)
{
    dev->paused &= (uint8_t) ~(1u << control);
    end_control(dev, control, BH_ERR_CANCELLED);
    bh_device_settle(dev);
}

void bh_device_quiesce(struct bh_device *dev)
{
    if (control_active(dev, BH_CONTROL_RESET))
        tell(dev, BH_CONTROL_QUIESCE, 0, BH_ERR_CANCELLED);
    else
        bh_device_pause(dev, BH_CONTROL_QUIESCE);
}

void bh_device_resume(struct bh_device *dev)
{
    bh_device_unpause(dev, BH_CONTROL_QUIESCE);
}

void bh_device_mem_change(struct bh_device *dev, const struct bh_mem_table *table)
{
    BH_ASSERT(!control_active(dev, BH_CONTROL_MEM));
    dev->mem_former = dev->mem->table;
    dev->controls |= 1u << BH_CONTROL_MEM;
    bh_mem_publish(dev->mem, table);
    dev->holding++;
    for (unsigned i = 0; i < dev->queue_count; i++) {
        struct bh_virtq *q = &dev->queues[i];

        if (q->life == BH_VIRTQ_STOPPED)
            continue;
        q->watched = true;
        if (dev->transport)
            dev->transport->queue_wake(dev, q);
    }
    dev->holding--;
    bh_device_settle(dev);
}
