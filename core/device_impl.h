/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of core/device*.c share and nobody else sees: what is wished of a queue, and the two places
 * where all of a device's life meets: bring_up (a queue may run now) and settle (something may have become
 * quiet).
 *
 * Threading: as device.h.   Ownership: none.   May block: no.
 */
#ifndef CORE_DEVICE_IMPL_H
#define CORE_DEVICE_IMPL_H

#include <bulkhead/device.h>
#include <bulkhead/impl/class.h>
#include <bulkhead/impl/transport.h>

/* bh_virtq.wishes; the first two as a saved state has them (docs/state.md). */
enum queue_wish {
    QUEUE_ENABLED = 1,   /* the driver wants it to run */
    QUEUE_WAITING = 2,   /* to be started by resume or a translation */
    QUEUE_STOPPING = 4,  /* a stop or reset of it is to be answered, */
    QUEUE_RESETTING = 8, /* as BH_CONTROL_QUEUE_RESET */
};

static inline bool control_active(const struct bh_device *dev, enum bh_control control)
{
    return dev->controls >> control & 1u;
}

/* The driver can be told of changes: it is past its initialisation, and not suspended. */
static inline bool device_up(const struct bh_device *dev)
{
    return ((dev->status & BH_STATUS_DRIVER_OK) || dev->started) && !(dev->paused >> BH_CONTROL_SUSPEND & 1u);
}

/* Start a queue whose setup stands in q->setup, or note that it waits for resume or for a translation. */
int bh_device_bring_up(struct bh_device *dev, struct bh_virtq *q) BH_MUST_USE;
/* The same where nobody asks for the result: a ring that cannot be reached is the driver's mistake. */
void bh_device_bring_up_or_break(struct bh_device *dev, struct bh_virtq *q);
/* Is every bit of these one that was offered? */
bool bh_device_has_offered(const struct bh_device *dev, const struct bh_features *features);
/* No queue runs or stops. */
bool bh_device_stopped(const struct bh_device *dev);
/* Complete every operation whose end has come. Cheap when none is under way. */
void bh_device_settle(struct bh_device *dev);
/* Stop the queues for `control` (QUIESCE or SUSPEND), and its reverse. */
void bh_device_pause(struct bh_device *dev, enum bh_control control);
void bh_device_unpause(struct bh_device *dev, enum bh_control control);
/* Everything that a driver told the device is forgotten. The queues are stopped. */
void bh_device_forget(struct bh_device *dev);
/* Tell the driver of a config change that it could not be told before. */
void bh_device_config_flush(struct bh_device *dev);
/* A queue (NULL: the device) was given up. */
void bh_device_broken(struct bh_device *dev, struct bh_virtq *q, enum bh_broken reason);

/* The queues' environment (device_queue.c). */
extern const struct bh_virtq_env bh_device_queue_env;

#endif
