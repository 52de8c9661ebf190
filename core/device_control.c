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

static void complete(struct bh_device *dev, enum bh_control control, unsigned index, int result)
{
    if (dev->transport)
        dev->transport->control_done(dev, control, index, result);
}

static bool all_stopped(const struct bh_device *dev)
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

/* Take queue `index` out of the stops under way. Returns which of the two it was. */
static enum bh_control take_stop(struct bh_device *dev, unsigned index)
{
    enum bh_control control =
        queue_bit(dev->queues_resetting, index) ? BH_CONTROL_QUEUE_RESET : BH_CONTROL_QUEUE_STOP;

    queue_bit_clear(dev->queues_stopping, index);
    queue_bit_clear(dev->queues_resetting, index);
    dev->controls &= ~(1u << BH_CONTROL_QUEUE_STOP | 1u << BH_CONTROL_QUEUE_RESET);
    for (unsigned w = 0; w < BH_COUNT(dev->queues_stopping); w++) {
        if (dev->queues_stopping[w] & ~dev->queues_resetting[w])
            dev->controls |= 1u << BH_CONTROL_QUEUE_STOP;
        if (dev->queues_resetting[w])
            dev->controls |= 1u << BH_CONTROL_QUEUE_RESET;
    }
    return control;
}

/* --- settle ----------------------------------------------------------------------------------------------
 */

static void settle_queues(struct bh_device *dev)
{
    for (unsigned i = 0; i < dev->queue_count; i++) {
        struct bh_virtq *q = &dev->queues[i];

        if (q->life != BH_VIRTQ_STOPPED)
            continue;
        if (queue_bit(dev->queues_stopping, i)) {
            enum bh_control control = take_stop(dev, i);

            if (control == BH_CONTROL_QUEUE_RESET)
                memset(&q->setup, 0, sizeof(q->setup)); /* [virtio-1.4 2.6.1.1.1] */
            complete(dev, control, i, BH_OK);
        } else if (!dev->paused && queue_bit(dev->queues_waiting, i)) {
            bh_device_bring_up_or_break(dev, i); /* resumed before it was quiet */
        }
    }
}

static void settle_pause(struct bh_device *dev)
{
    if (control_active(dev, BH_CONTROL_SUSPEND)) {
        dev->controls &= ~(1u << BH_CONTROL_SUSPEND);
        dev->status &= (uint8_t)~BH_STATUS_DRIVER_OK;
        dev->status |= BH_STATUS_SUSPEND;
        complete(dev, BH_CONTROL_SUSPEND, 0, BH_OK);
    }
    if (control_active(dev, BH_CONTROL_QUIESCE) && all_stopped(dev)) {
        dev->controls &= ~(1u << BH_CONTROL_QUIESCE);
        complete(dev, BH_CONTROL_QUIESCE, 0, BH_OK);
    }
}

static bool same_region(const struct bh_mem_region *a, const struct bh_mem_region *b)
{
    return a->base.raw == b->base.raw && a->size == b->size && a->host == b->host && a->slot == b->slot;
}

/* The former table's regions that the new one lacks: does any queue still hold one? */
static bool mem_held(const struct bh_device *dev)
{
    const struct bh_mem_table *former = dev->mem_former, *now = dev->mem->table;

    for (uint32_t r = 0; r < former->count; r++) {
        const struct bh_mem_region *region = &former->regions[r];
        bool kept = false;

        for (uint32_t n = 0; n < now->count && !kept; n++)
            kept = same_region(region, &now->regions[n]);
        for (unsigned i = 0; i < dev->queue_count && !kept; i++) {
            if (bh_mem_view_holds(&dev->queues[i].view, region))
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
    dev->controls &= ~(1u << BH_CONTROL_MEM);
    dev->mem_former = NULL;
    complete(dev, BH_CONTROL_MEM, 0, BH_OK);
}

void bh_device_settle(struct bh_device *dev)
{
    if (dev->holding)
        return;
    if (control_active(dev, BH_CONTROL_MEM))
        settle_mem(dev);
    settle_queues(dev);
    if (dev->paused && all_stopped(dev))
        settle_pause(dev);
    if (control_active(dev, BH_CONTROL_RESET) && all_stopped(dev)) {
        bh_device_forget(dev);
        dev->controls &= ~(1u << BH_CONTROL_RESET);
        complete(dev, BH_CONTROL_RESET, 0, BH_OK);
    }
}

/* --- operations ------------------------------------------------------------------------------------------
 */

void bh_device_forget(struct bh_device *dev)
{
    dev->status = 0;
    dev->features_done = false;
    dev->accept_refused = false;
    dev->started = false;
    dev->paused = 0;
    memset(&dev->acked, 0, sizeof(dev->acked));
    memset(dev->queues_enabled, 0, sizeof(dev->queues_enabled));
    memset(dev->queues_waiting, 0, sizeof(dev->queues_waiting));
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
    dev->paused = 0;
    memset(dev->queues_enabled, 0, sizeof(dev->queues_enabled));
    memset(dev->queues_waiting, 0, sizeof(dev->queues_waiting));
    for (unsigned i = 0; i < dev->queue_count; i++) {
        if (queue_bit(dev->queues_stopping, i))
            complete(dev, take_stop(dev, i), i, BH_ERR_CANCELLED);
        if (dev->queues[i].life == BH_VIRTQ_STOPPING && dev->class->queue_stopping)
            dev->class->queue_stopping(dev, &dev->queues[i]); /* what a stop waits for, a reset may cancel */
        stop_if_running(dev, &dev->queues[i]);
    }
    for (unsigned c = BH_CONTROL_QUIESCE; c <= BH_CONTROL_SUSPEND; c++) {
        if (control_active(dev, (enum bh_control)c)) {
            dev->controls &= ~(1u << c);
            complete(dev, (enum bh_control)c, 0, BH_ERR_CANCELLED);
        }
    }
    dev->holding--;
    bh_device_settle(dev);
}

static void end_queue(struct bh_device *dev, unsigned index, enum bh_control control)
{
    bool reset = control == BH_CONTROL_QUEUE_RESET;

    BH_ASSERT(index < dev->queue_count);
    if (control_active(dev, BH_CONTROL_RESET)) {
        complete(dev, control, index, BH_ERR_CANCELLED);
        return;
    }
    dev->holding++;
    if (queue_bit(dev->queues_stopping, index) && reset != queue_bit(dev->queues_resetting, index))
        complete(dev, take_stop(dev, index), index, BH_ERR_CANCELLED);
    queue_bit_clear(dev->queues_enabled, index);
    queue_bit_clear(dev->queues_waiting, index);
    queue_bit_set(dev->queues_stopping, index);
    if (reset)
        queue_bit_set(dev->queues_resetting, index);
    dev->controls |= 1u << control;
    stop_if_running(dev, &dev->queues[index]);
    dev->holding--;
    bh_device_settle(dev);
}

void bh_device_queue_stop(struct bh_device *dev, unsigned index)
{
    end_queue(dev, index, BH_CONTROL_QUEUE_STOP);
}

void bh_device_queue_reset(struct bh_device *dev, unsigned index)
{
    end_queue(dev, index, BH_CONTROL_QUEUE_RESET);
}

void bh_device_pause(struct bh_device *dev, enum bh_control control)
{
    if (control_active(dev, control))
        return;
    dev->controls |= 1u << control;
    dev->paused |= (uint8_t)(1u << control);
    dev->holding++;
    for (unsigned i = 0; i < dev->queue_count; i++) {
        if (bh_virtq_running(&dev->queues[i])) /* a broken one is not mended by a pause */
            queue_bit_set(dev->queues_waiting, i);
        stop_if_running(dev, &dev->queues[i]);
    }
    dev->holding--;
    bh_device_settle(dev);
}

void bh_device_unpause(struct bh_device *dev, enum bh_control control)
{
    dev->paused &= (uint8_t) ~(1u << control);
    if (control_active(dev, control)) {
        dev->controls &= ~(1u << control);
        complete(dev, control, 0, BH_ERR_CANCELLED);
    }
    bh_device_settle(dev);
}

void bh_device_quiesce(struct bh_device *dev)
{
    if (control_active(dev, BH_CONTROL_RESET))
        complete(dev, BH_CONTROL_QUIESCE, 0, BH_ERR_CANCELLED);
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
