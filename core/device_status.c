/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feature negotiation [virtio-1.4 2.2] and the device status state machine [virtio-1.4 2.1, 3.1, 3.4].
 *
 * Theory of operation
 *   The driver's writes only add bits; what each new bit starts happens in the order in which the spec sets
 * them. A bit that the device does not grant stays clear, and the driver reads it back.
 *
 *   (0) -> ACKNOWLEDGE, DRIVER -> FEATURES_OK, if the set is one that was offered and the class serves it
 *       -> DRIVER_OK: enabled queues start -> SUSPEND: queues stop, DRIVER_OK goes when all are quiet
 *       -> DRIVER_OK: they go on. Any -> 0 is a reset. NEEDS_RESET is the device's own bit.
 *
 *   ACKNOWLEDGE and DRIVER gate nothing: QEMU's vhost-user front-end sets FEATURES_OK before them.
 */
#include <bulkhead/device.h>

#include "core/device_impl.h"

#define STATUS_DRIVER_BITS                                                                                   \
    (BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER | BH_STATUS_DRIVER_OK | BH_STATUS_FEATURES_OK |                \
     BH_STATUS_SUSPEND | BH_STATUS_FAILED)

struct bh_features bh_class_ring_features(void)
{
    struct bh_features f = {{0}};

    bh_features_set(&f, BH_F_INDIRECT_DESC);
    bh_features_set(&f, BH_F_EVENT_IDX);
    bh_features_set(&f, BH_F_VERSION_1);
    bh_features_set(&f, BH_F_RING_PACKED);
    bh_features_set(&f, BH_F_IN_ORDER);
    bh_features_set(&f, BH_F_NOTIFICATION_DATA);
    bh_features_set(&f, BH_F_RING_RESET);
    bh_features_set(&f, BH_F_SUSPEND);
    return f;
}

struct bh_features bh_device_offered(const struct bh_device *dev)
{
    struct bh_features f = dev->class->features(dev);

    if (dev->transport) {
        for (unsigned i = 0; i < BH_FEATURE_WORDS; i++)
            f.word[i] |= dev->transport->offers.word[i];
        f = bh_features_minus(f, dev->transport->cannot);
    }
    return bh_features_minus(f, dev->withheld);
}

bool bh_device_has_offered(const struct bh_device *dev, const struct bh_features *features)
{
    struct bh_features strange = bh_features_minus(*features, bh_device_offered(dev));

    return bh_features_none(&strange);
}

int bh_device_accept(struct bh_device *dev, const struct bh_features *features)
{
    if (dev->features_done)
        return BH_ERR_BUSY;
    dev->accept_refused = !bh_device_has_offered(dev, features);
    if (dev->accept_refused) {
        dev->counters.features_refused++;
        return BH_ERR_INVAL;
    }
    dev->acked = *features;
    return BH_OK;
}

/* A driver without VERSION_1 is a legacy one: not served [virtio-1.4 6.2]. */
int bh_device_features_done(struct bh_device *dev)
{
    int err = BH_OK;

    if (dev->features_done)
        return BH_OK;
    if (dev->accept_refused || !bh_device_has(dev, BH_F_VERSION_1))
        err = BH_ERR_UNSUPPORTED;
    else if (dev->class->negotiated)
        err = dev->class->negotiated(dev);
    if (err) {
        dev->counters.features_refused++;
        return err;
    }
    dev->features_done = true;
    return BH_OK;
}

uint8_t bh_device_status(const struct bh_device *dev)
{
    return dev->status;
}

static void go_live(struct bh_device *dev)
{
    dev->status |= BH_STATUS_DRIVER_OK;
    for (unsigned i = 0; i < dev->queue_count; i++) {
        struct bh_virtq *q = &dev->queues[i];

        if ((q->wishes & QUEUE_ENABLED) && q->life == BH_VIRTQ_STOPPED)
            bh_device_bring_up_or_break(dev, q);
    }
    bh_device_config_flush(dev);
}

static void set_suspend(struct bh_device *dev)
{
    /* Before the end of initialisation it is ignored, and without the feature it has no meaning. */
    if (!(dev->status & BH_STATUS_DRIVER_OK) || !bh_device_has(dev, BH_F_SUSPEND))
        dev->counters.status_refused++;
    else
        bh_device_pause(dev, BH_CONTROL_SUSPEND);
}

/* Suspended, the driver sets DRIVER_OK: SUSPEND goes when the device runs again [virtio-1.4 3.4]. */
static void end_suspend(struct bh_device *dev)
{
    dev->status &= (uint8_t)~BH_STATUS_SUSPEND;
    dev->status |= BH_STATUS_DRIVER_OK;
    bh_device_unpause(dev, BH_CONTROL_SUSPEND);
    bh_device_config_flush(dev);
}

void bh_device_set_status(struct bh_device *dev, uint8_t status)
{
    uint8_t kept = dev->status & (uint8_t)(STATUS_DRIVER_BITS & ~BH_STATUS_SUSPEND);
    uint8_t added;

    if (status == 0) {
        bh_device_reset(dev);
        return;
    }
    status &= STATUS_DRIVER_BITS;
    if (control_active(dev, BH_CONTROL_RESET) || (kept & ~status)) {
        dev->counters.status_refused++;
        return;
    }
    added = status & (uint8_t)~dev->status;
    dev->status |= added & (BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER | BH_STATUS_FAILED);
    if ((added & BH_STATUS_FEATURES_OK) && bh_device_features_done(dev) == BH_OK)
        dev->status |= BH_STATUS_FEATURES_OK;
    if (added & BH_STATUS_DRIVER_OK) {
        if (dev->status & BH_STATUS_SUSPEND)
            end_suspend(dev);
        else if (dev->features_done)
            go_live(dev);
        else
            dev->counters.status_refused++;
    }
    if ((added & BH_STATUS_SUSPEND))
        set_suspend(dev);
}

/*
 * Counted once until the next reset; the transport hears of each queue, as vhost-user has an error fd a
 * queue. With DRIVER_OK the driver gets a configuration change notification [virtio-1.4 2.1.2].
 */
void bh_device_broken(struct bh_device *dev, struct bh_virtq *q, enum bh_broken reason)
{
    bool first = !(dev->status & BH_STATUS_NEEDS_RESET);

    dev->status |= BH_STATUS_NEEDS_RESET;
    if (first)
        dev->counters.needs_reset++;
    if (!dev->transport)
        return;
    dev->transport->needs_reset(dev, q, reason);
    if (first && (dev->status & BH_STATUS_DRIVER_OK))
        dev->transport->config_changed(dev);
}

void bh_device_needs_reset(struct bh_device *dev, enum bh_broken reason)
{
    if (!(dev->status & BH_STATUS_NEEDS_RESET))
        bh_device_broken(dev, NULL, reason);
}
