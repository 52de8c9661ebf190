/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-process transport: drives one device from the same thread, for tests and fuzzers. Nothing happens
 * by itself: kicks and wakes are noted, and bh_pipe_pump does what was noted, in queue order, so the same
 * calls give the same run. Control operations are started on the device itself (bh_device_*); their end is
 * noted here.
 *
 * Threading: one thread.   Ownership: the pipe and the device are the caller's.   May block: no.
 */
#ifndef TRANSPORTS_PIPE_PIPE_H
#define TRANSPORTS_PIPE_PIPE_H

#include <bulkhead/device.h>

struct bh_pipe {
    struct bh_device *dev;
    uint32_t woken[BH_DEVICE_QUEUES_MAX / 32];
    uint32_t notifications[BH_DEVICE_QUEUES_MAX]; /* used buffer notifications, by queue */
    uint32_t errors[BH_DEVICE_QUEUES_MAX];        /* times a queue was given up */
    uint32_t device_errors;                       /* times the class gave up the device as a whole */
    uint32_t config_changes;
    enum bh_broken last_reason;
    uint32_t done[BH_CONTROL_COUNT];      /* operations that ended, by kind */
    uint32_t cancelled[BH_CONTROL_COUNT]; /* of those, the ones that a reset overtook */
    unsigned last_done_index;
};

/* Attach to a device that is quiet and has no transport; and its reverse. */
void bh_pipe_attach(struct bh_pipe *pipe, struct bh_device *dev);
void bh_pipe_detach(struct bh_pipe *pipe);

/* An available buffer notification [virtio-1.4 2.3]; the queue runs in the next pump. */
void bh_pipe_kick(struct bh_pipe *pipe, unsigned index);
/* A translation that was pending has arrived: every queue runs in the next pump. */
void bh_pipe_translated(struct bh_pipe *pipe);
/* Run each queue that has something to do once, at most about `budget` chains each. True: there is more. */
bool bh_pipe_pump(struct bh_pipe *pipe, unsigned budget);

#endif
