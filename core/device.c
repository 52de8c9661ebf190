/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device's birth, its transport, and its config space [virtio-1.4 2.5]. Status and features stand in
 * device_status.c, control operations in device_control.c, queues in device_queue.c, save and load in
 * device_state.c.
 */
#include <bulkhead/device.h>

#include "core/device_impl.h"

void bh_device_init(struct bh_device *dev, const struct bh_class *class, struct bh_mem *mem,
                    struct bh_virtq *queues, const struct bh_virtq_memory *memory, uint16_t queue_count)
{
    BH_ASSERT(queue_count <= BH_DEVICE_QUEUES_MAX && class->features && class->queue_ready);
    memset(dev, 0, sizeof(*dev));
    dev->class = class;
    dev->mem = mem;
    dev->queues = queues;
    dev->queue_count = queue_count;
    for (unsigned i = 0; i < queue_count; i++) {
        bh_virtq_init(&queues[i], &memory[i], mem, &bh_device_queue_env, dev);
        queues[i].index = (uint16_t)i;
    }
}

void bh_device_withhold(struct bh_device *dev, const struct bh_features *features)
{
    for (unsigned i = 0; i < BH_FEATURE_WORDS; i++)
        dev->withheld.word[i] |= features->word[i];
}

void bh_device_attach(struct bh_device *dev, const struct bh_transport *transport, void *transport_data)
{
    BH_ASSERT(!dev->transport);
    dev->transport = transport;
    dev->transport_data = transport_data;
}

void bh_device_detach(struct bh_device *dev)
{
    BH_ASSERT(dev->controls == 0 && bh_device_stopped(dev));
    dev->transport = NULL;
    dev->transport_data = NULL;
}

uint32_t bh_device_config_size(const struct bh_device *dev)
{
    uint32_t size = 0;

    if (dev->class->config)
        dev->class->config(dev, &size);
    return size;
}

void bh_device_config_read(const struct bh_device *dev, uint32_t offset, void *to, uint32_t len)
{
    uint32_t size = 0;
    const uint8_t *config = dev->class->config ? dev->class->config(dev, &size) : NULL;

    memset(to, 0, len);
    if (offset < size)
        memcpy(to, config + offset, size - offset < len ? size - offset : len);
}

int bh_device_config_write(struct bh_device *dev, uint32_t offset, const void *from, uint32_t len)
{
    uint32_t size = bh_device_config_size(dev);
    int err;

    if (offset > size || len > size - offset)
        err = BH_ERR_RANGE;
    else if (!dev->class->config_write || (dev->status & BH_STATUS_SUSPEND)) /* [virtio-1.4 3.4.2] */
        err = BH_ERR_INVAL;
    else
        err = dev->class->config_write(dev, offset, from, len);
    if (err)
        dev->counters.config_refused++;
    return err;
}

/*
 * A change between the driver's first look at config and DRIVER_OK would be lost to it, as no notification
 * may be sent before: it is told as soon as it is up. So is one during suspend [virtio-1.4 3.4.2].
 */
void bh_device_config_changed(struct bh_device *dev)
{
    dev->generation++;
    if (dev->status || dev->features_done)
        dev->config_pending = true;
    bh_device_config_flush(dev);
}

void bh_device_config_flush(struct bh_device *dev)
{
    if (!dev->config_pending || !device_up(dev))
        return;
    dev->config_pending = false;
    if (dev->transport)
        dev->transport->config_changed(dev);
}
