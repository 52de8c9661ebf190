/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For writers of classes: what a class tells the device and is asked by it. A class never learns its
 * transport.
 *
 * A class's struct embeds struct bh_device; ops find it with BH_CONTAINER. Tables are const and static.
 *
 * Threading: as device.h says: queue_* on the queue's thread, the rest on the control thread.
 * Ownership: everything is the class's owner's.   May block: no op may.
 */
#ifndef BULKHEAD_IMPL_CLASS_H
#define BULKHEAD_IMPL_CLASS_H

#include <bulkhead/device.h>

/*
 * What queue_ready says of its queue. When pop gave nothing because every slot is in flight, BH_READY_DRAINED
 * is right too: the device calls again after the next push.
 */
enum bh_ready {
    BH_READY_DRAINED, /* popped until nothing was left: kicks are wanted */
    BH_READY_MORE,    /* the budget ended: call again */
    BH_READY_HELD,    /* the class waits for its own side, kicks change nothing: it calls bh_device_queue_wake
                         later. Also the answer when pop said BH_ERR_PENDING: the translation wakes it. */
};

struct bh_class {
    const char *name; /* "blk" */
    uint16_t virtio_id;
    /* Config space as the driver reads it, little endian, kept up to date by the class; NULL for none. */
    const void *(*config)(const struct bh_device *dev, uint32_t *size);
    /* The driver writes config; offset and len lie inside. NULL: nothing is writable. */
    int (*config_write)(struct bh_device *dev, uint32_t offset, const void *from, uint32_t len);
    /*
     * Every bit the class offers with the store or port it has now, reserved ring bits too: a class adds
     * bh_class_ring_features() (below).
     */
    struct bh_features (*features)(const struct bh_device *dev);
    /* FEATURES_OK: BH_OK, or BH_ERR_UNSUPPORTED for a combination it cannot serve. May be NULL. */
    int (*negotiated)(struct bh_device *dev);
    /* The first queue is about to run after a reset. May be NULL. */
    void (*start)(struct bh_device *dev);
    /* Pop at most about `budget` chains and submit them, or push what is done. */
    enum bh_ready (*queue_ready)(struct bh_device *dev, struct bh_virtq *q, unsigned budget);
    /*
     * The queue stops: push, give back (bh_virtq_unpop) or cancel what is in flight; each chain must come
     * back by push sooner or later. Called again when a reset overtakes the stop. NULL: chains never outlive
     * queue_ready.
     */
    void (*queue_stopping)(struct bh_device *dev, struct bh_virtq *q);
    /*
     * Memory changes: give back (bh_virtq_unpop) or push the chains that are held only since the class's own side is
     * not ready, so that no outside party keeps a region from being released. They are popped again. NULL: none are held.
     */
    void (*queue_give_back)(struct bh_device *dev, struct bh_virtq *q);
    /* All queues are quiet: forget what the driver told us. May be NULL. */
    void (*reset)(struct bh_device *dev);
    /* The class's part of save and load: returns bytes, or an error as bh_device_save/load. NULL: none. */
    int (*save)(struct bh_device *dev, void *to, size_t size);
    int (*load)(struct bh_device *dev, const void *from, size_t size);
    /*
     * Some transports have memory that outlives the process: there a class has what it must not lose or do twice when it
     * is killed (what the guest printed and nobody has seen yet). lasting_size: how much it wants, 0 for none. lasting:
     * `area` (8-aligned, as large) is it from now on, with what a former process left there when `left`: outside data;
     * before anything runs. NULL: it goes away, the class copies out what it needs. Both NULL: nothing is worth it.
     */
    size_t (*lasting_size)(const struct bh_device *dev);
    void (*lasting)(struct bh_device *dev, void *area, bool left);
};

/*
 * What is stored before this is in lasting memory before what is stored after it. Its only reader comes after our death,
 * when the kernel has every store that was made: the compiler alone could change their order.
 */
static inline void bh_lasting_order(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* VERSION_1, both rings and all that core does for every class. */
struct bh_features bh_class_ring_features(void);

/* A store or port has something for this queue, or room again: have queue_ready called soon, not now. */
void bh_device_queue_wake(struct bh_device *dev, struct bh_virtq *q);

#endif
