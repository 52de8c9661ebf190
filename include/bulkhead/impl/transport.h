/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For writers of transports: what a device tells the transport that drives it. A transport never learns a
 * class.
 *
 * Threading: queue_* on the queue's thread, the rest on the control thread.
 * Ownership: the table is const and static; `dev->transport_data` is the transport's.   May block: no op may.
 */
#ifndef BULKHEAD_IMPL_TRANSPORT_H
#define BULKHEAD_IMPL_TRANSPORT_H

#include <bulkhead/device.h>

struct bh_transport {
    const char *name;
    /* Bits this transport cannot carry, taken away from every offer (a kick carries no NOTIFICATION_DATA). */
    struct bh_features cannot;
    /* Bits that are its own to carry, for every class (ACCESS_PLATFORM). */
    struct bh_features offers;
    /* Send a used buffer notification [virtio-1.4 2.3]. */
    void (*queue_notify)(struct bh_device *dev, struct bh_virtq *q);
    /* Call bh_device_run_queue for it soon, from the queue's thread; not from within this call. */
    void (*queue_wake)(struct bh_device *dev, struct bh_virtq *q);
    /* A queue (NULL: the device as a whole) was given up; NEEDS_RESET is set in the status already. */
    void (*needs_reset)(struct bh_device *dev, struct bh_virtq *q, enum bh_broken reason);
    void (*config_changed)(struct bh_device *dev);
    /* A control operation ended. `index` is the queue's, where it concerns one. BH_OK or BH_ERR_CANCELLED. */
    void (*control_done)(struct bh_device *dev, enum bh_control control, unsigned index, int result);
};

#endif
