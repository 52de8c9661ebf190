/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Save and load of a device's state: one versioned little-endian form, described in docs/state.md.
 *
 * Theory of operation
 *   A header, then sections of type and length, then a checksum. What is loaded comes from a peer or a file
 * and is not trusted: everything is read and checked into a `struct loaded` before the device is touched, and
 * what the class refuses is undone by forgetting everything. The checksum finds damage, not malice.
 */
#include <bulkhead/device.h>

#include "core/device_impl.h"

#define STATE_MAGIC     0x53444842u /* "BHDS" */
#define STATE_VERSION   1u
#define HEADER_BYTES    16u
#define SECTION_BYTES   8u
#define DEVICE_BYTES    28u
#define QUEUE_BYTES     36u
#define CHECKSUM_BYTES  4u
#define STATE_BYTES_MAX 0x7fffffffu

enum section { SECTION_DEVICE = 1, SECTION_QUEUE = 2, SECTION_CLASS = 3 };
enum device_flag { DEVICE_FEATURES_DONE = 1, DEVICE_CONFIG_PENDING = 2, DEVICE_SUSPENDED = 4 };
enum queue_flag {
    QUEUE_ENABLED = 1,
    QUEUE_WAITING = 2,
    QUEUE_BROKEN = 4,
    QUEUE_AVAIL_WRAP = 8,
    QUEUE_USED_WRAP = 16
};

/* --- little-endian cursors -------------------------------------------------------------------------------
 */

struct writer {
    uint8_t *at;
    size_t left;
    bool full;
};

static void put(struct writer *w, uint64_t value, unsigned bytes)
{
    if (w->left < bytes) {
        w->full = true;
        return;
    }
    for (unsigned i = 0; i < bytes; i++)
        *w->at++ = (uint8_t)(value >> 8 * i);
    w->left -= bytes;
}

struct reader {
    const uint8_t *at;
    size_t left;
    bool short_of; /* something was asked for that is not there */
};

static uint64_t get(struct reader *r, unsigned bytes)
{
    uint64_t value = 0;

    if (r->left < bytes) {
        r->short_of = true;
        return 0;
    }
    for (unsigned i = 0; i < bytes; i++)
        value |= (uint64_t)*r->at++ << 8 * i;
    r->left -= bytes;
    return value;
}

/* CRC-32 as IEEE 802.3 has it, bit by bit: it runs once a save. */
static uint32_t checksum(const uint8_t *bytes, size_t len)
{
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1u ? 0xedb88320u : 0u);
    }
    return ~crc;
}

/* --- save ------------------------------------------------------------------------------------------------
 */

static void put_device(struct writer *w, const struct bh_device *dev)
{
    unsigned flags = (dev->features_done ? DEVICE_FEATURES_DONE : 0u) |
                     (dev->config_pending ? DEVICE_CONFIG_PENDING : 0u) |
                     (dev->paused >> BH_CONTROL_SUSPEND & 1u ? DEVICE_SUSPENDED : 0u);

    put(w, SECTION_DEVICE, 4);
    put(w, DEVICE_BYTES, 4);
    put(w, dev->class->virtio_id, 2);
    put(w, dev->queue_count, 2);
    put(w, dev->status, 1);
    put(w, flags, 1);
    put(w, 0, 2);
    put(w, dev->generation, 4);
    for (unsigned i = 0; i < BH_FEATURE_WORDS; i++)
        put(w, dev->acked.word[i], 4);
}

static void put_queue(struct writer *w, const struct bh_device *dev, unsigned index)
{
    const struct bh_virtq *q = &dev->queues[index];
    const struct bh_virtq_setup *setup = &q->setup;
    unsigned flags = (queue_bit(dev->queues_enabled, index) ? QUEUE_ENABLED : 0u) |
                     (queue_bit(dev->queues_waiting, index) ? QUEUE_WAITING : 0u) |
                     (q->broken ? QUEUE_BROKEN : 0u) | (setup->state.avail_wrap ? QUEUE_AVAIL_WRAP : 0u) |
                     (setup->state.used_wrap ? QUEUE_USED_WRAP : 0u);

    put(w, SECTION_QUEUE, 4);
    put(w, QUEUE_BYTES, 4);
    put(w, index, 2);
    put(w, flags, 2);
    put(w, setup->size, 2);
    put(w, setup->state.avail, 2);
    put(w, setup->state.used, 2);
    put(w, 0, 2);
    put(w, setup->desc.raw, 8);
    put(w, setup->driver.raw, 8);
    put(w, setup->device.raw, 8);
}

static bool quiet(const struct bh_device *dev)
{
    for (unsigned i = 0; i < dev->queue_count; i++) {
        if (dev->queues[i].life != BH_VIRTQ_STOPPED)
            return false;
    }
    return dev->controls == 0;
}

int bh_device_save(struct bh_device *dev, void *to, size_t size)
{
    struct writer w = {to, size > STATE_BYTES_MAX ? STATE_BYTES_MAX : size, false};
    struct writer patch;
    size_t total;
    int class_bytes = 0;

    if (!quiet(dev))
        return BH_ERR_BUSY;
    put(&w, STATE_MAGIC, 4);
    put(&w, STATE_VERSION, 4);
    put(&w, 0, 4); /* total bytes, below */
    put(&w, 0, 4);
    put_device(&w, dev);
    for (unsigned i = 0; i < dev->queue_count; i++)
        put_queue(&w, dev, i);
    put(&w, SECTION_CLASS, 4);
    patch = w; /* the class's length, below */
    put(&w, 0, 4);
    if (w.full || w.left < CHECKSUM_BYTES)
        return BH_ERR_NOMEM;
    if (dev->class->save)
        class_bytes = dev->class->save(dev, w.at, w.left - CHECKSUM_BYTES);
    if (class_bytes < 0)
        return class_bytes;
    BH_ASSERT((size_t)class_bytes <= w.left - CHECKSUM_BYTES);
    put(&patch, (uint32_t)class_bytes, 4);
    w.at += class_bytes;
    w.left -= (size_t)class_bytes;
    total = (size_t)(w.at - (uint8_t *)to) + CHECKSUM_BYTES;
    patch = (struct writer){(uint8_t *)to + 8, 4, false};
    put(&patch, total, 4);
    put(&w, checksum(to, total - CHECKSUM_BYTES), 4);
    return (int)total;
}

/* --- load ------------------------------------------------------------------------------------------------
 */

/* What was read and is not yet the device's. */
struct loaded {
    struct bh_features acked;
    uint32_t generation;
    uint16_t virtio_id, queue_count;
    uint8_t status, flags;
};

static int get_header(struct reader *r, const void *from, size_t size)
{
    size_t total;

    if (get(r, 4) != STATE_MAGIC)
        return BH_ERR_PROTO;
    if (get(r, 4) != STATE_VERSION)
        return r->short_of ? BH_ERR_PROTO : BH_ERR_UNSUPPORTED;
    total = get(r, 4);
    (void)get(r, 4);
    if (r->short_of || total < HEADER_BYTES + CHECKSUM_BYTES || total != size)
        return BH_ERR_PROTO;
    r->left -= CHECKSUM_BYTES;
    struct reader sum = {r->at + r->left, CHECKSUM_BYTES, false};
    return checksum(from, size - CHECKSUM_BYTES) == get(&sum, 4) ? BH_OK : BH_ERR_PROTO;
}

/* The next section, which must be of this type; `part` reads its payload. */
static int get_section(struct reader *r, enum section type, struct reader *part)
{
    uint64_t found = get(r, 4), len = get(r, 4);

    if (r->short_of || found != type || len > r->left)
        return BH_ERR_PROTO;
    *part = (struct reader){r->at, (size_t)len, false};
    r->at += len;
    r->left -= (size_t)len;
    return BH_OK;
}

static int get_device(struct reader *r, const struct bh_device *dev, struct loaded *to)
{
    struct reader part;
    struct bh_features strange;
    int err = get_section(r, SECTION_DEVICE, &part);

    if (err)
        return err;
    to->virtio_id = (uint16_t)get(&part, 2);
    to->queue_count = (uint16_t)get(&part, 2);
    to->status = (uint8_t)get(&part, 1);
    to->flags = (uint8_t)get(&part, 1);
    (void)get(&part, 2);
    to->generation = (uint32_t)get(&part, 4);
    for (unsigned i = 0; i < BH_FEATURE_WORDS; i++)
        to->acked.word[i] = (uint32_t)get(&part, 4);
    if (part.short_of || part.left != 0)
        return BH_ERR_PROTO;
    if ((to->status & (BH_STATUS_DRIVER_OK | BH_STATUS_SUSPEND)) && !(to->flags & DEVICE_FEATURES_DONE))
        return BH_ERR_PROTO;
    strange = bh_features_minus(to->acked, bh_device_offered(dev));
    if (to->virtio_id != dev->class->virtio_id || to->queue_count != dev->queue_count ||
        !bh_features_none(&strange))
        return BH_ERR_UNSUPPORTED;
    return BH_OK;
}

static int get_queue(struct reader *r, struct bh_device *dev, unsigned index)
{
    struct bh_virtq_setup setup = {0};
    struct reader part;
    unsigned flags;
    bool packed = bh_device_has(dev, BH_F_RING_PACKED);
    int err = get_section(r, SECTION_QUEUE, &part);

    if (err)
        return err;
    if (get(&part, 2) != index)
        return BH_ERR_PROTO;
    flags = (unsigned)get(&part, 2);
    setup.size = (uint16_t)get(&part, 2);
    setup.state.avail = (uint16_t)get(&part, 2);
    setup.state.used = (uint16_t)get(&part, 2);
    (void)get(&part, 2);
    setup.desc = bh_daddr(get(&part, 8));
    setup.driver = bh_daddr(get(&part, 8));
    setup.device = bh_daddr(get(&part, 8));
    setup.state.avail_wrap = flags & QUEUE_AVAIL_WRAP;
    setup.state.used_wrap = flags & QUEUE_USED_WRAP;
    if (part.short_of || part.left != 0)
        return BH_ERR_PROTO;
    if ((flags & (QUEUE_ENABLED | QUEUE_WAITING)) && (setup.size == 0 || !dev->features_done))
        return BH_ERR_PROTO;
    if (setup.size > dev->queues[index].memory.size_max)
        return BH_ERR_UNSUPPORTED;
    if (packed && setup.size && (setup.state.avail >= setup.size || setup.state.used >= setup.size))
        return BH_ERR_PROTO;
    dev->queues[index].setup = setup;
    if (flags & QUEUE_ENABLED)
        queue_bit_set(dev->queues_enabled, index);
    if ((flags & QUEUE_WAITING) && !(flags & QUEUE_BROKEN))
        queue_bit_set(dev->queues_waiting, index);
    return BH_OK;
}

static int get_rest(struct reader *r, struct bh_device *dev)
{
    struct reader part;
    int err = BH_OK;

    if (dev->features_done && dev->class->negotiated)
        err = dev->class->negotiated(dev);
    for (unsigned i = 0; i < dev->queue_count && !err; i++)
        err = get_queue(r, dev, i);
    if (!err)
        err = get_section(r, SECTION_CLASS, &part);
    if (!err && r->left != 0)
        err = BH_ERR_PROTO;
    if (!err && dev->class->load)
        err = dev->class->load(dev, part.at, part.left);
    else if (!err && part.left != 0)
        err = BH_ERR_PROTO;
    return err;
}

int bh_device_load(struct bh_device *dev, const void *from, size_t size)
{
    struct reader r = {from, size, false};
    struct loaded loaded = {0};
    int err;

    if (!quiet(dev) || dev->features_done || dev->status)
        return BH_ERR_BUSY;
    err = get_header(&r, from, size);
    if (!err)
        err = get_device(&r, dev, &loaded);
    if (err)
        return err;
    dev->acked = loaded.acked;
    dev->features_done = loaded.flags & DEVICE_FEATURES_DONE;
    dev->status = loaded.status;
    dev->paused = 1u << BH_CONTROL_QUIESCE;
    if (loaded.flags & DEVICE_SUSPENDED)
        dev->paused |= 1u << BH_CONTROL_SUSPEND;
    err = get_rest(&r, dev);
    if (err) {
        bh_device_forget(dev);
        return err;
    }
    dev->config_pending = loaded.flags & DEVICE_CONFIG_PENDING;
    dev->generation = loaded.generation;
    return BH_OK;
}
