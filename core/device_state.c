/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Save and load of a device's state: one versioned little-endian form, described in docs/state.md.
 *
 * Theory of operation
 *   A head, a section a queue, the class's section, then a checksum: all but the class's part is of fixed
 * length, and stands here as structs of wire integers that are copied as a whole, as the form may lie at any
 * address. What is loaded comes from a peer or a file and is not trusted: each struct is copied and checked
 * before the device takes anything of it, and what is refused later is undone by forgetting everything. The
 * checksum finds damage, not malice.
 */
#include <bulkhead/device.h>

#include "core/device_impl.h"
#include "core/virtq_ops.h"

#define STATE_MAGIC     0x53444842u /* "BHDS" */
#define STATE_VERSION   1u
#define STATE_BYTES_MAX 0x7fffffffu

enum section_type { SECTION_DEVICE = 1, SECTION_QUEUE = 2, SECTION_CLASS = 3 };
enum device_flag { DEVICE_FEATURES_DONE = 1, DEVICE_CONFIG_PENDING = 2, DEVICE_SUSPENDED = 4 };
/* Beside QUEUE_ENABLED and QUEUE_WAITING. */
enum queue_flag { QUEUE_BROKEN = 4, QUEUE_AVAIL_WRAP = 8, QUEUE_USED_WRAP = 16 };

struct section {
    bh_le32 type;
    bh_le32 bytes; /* after this struct */
};

struct head {
    bh_le32 magic;
    bh_le32 version;
    bh_le32 total;
    bh_le32 zero;
    struct section section; /* SECTION_DEVICE */
    bh_le16 virtio_id;
    bh_le16 queue_count;
    uint8_t status;
    uint8_t flags;
    bh_le16 zero_too;
    bh_le32 generation;
    bh_le32 acked[BH_FEATURE_WORDS];
};

struct address { /* no field of a section is wider than 4 bytes, so that none is padded */
    bh_le32 low;
    bh_le32 high;
};

struct queue {
    struct section section; /* SECTION_QUEUE */
    bh_le16 index;
    bh_le16 flags;
    bh_le16 size;
    bh_le16 avail;
    bh_le16 used;
    bh_le16 zero;
    struct address desc, driver, device;
};

_Static_assert(sizeof(struct section) == 8, "a section begins with its type and length");
_Static_assert(sizeof(struct head) == 16 + 8 + 28, "header and device section");
_Static_assert(sizeof(struct queue) == 8 + 36, "queue section");

#define DEVICE_BYTES (sizeof(struct head) - offsetof(struct head, virtio_id))
#define QUEUE_BYTES  (sizeof(struct queue) - sizeof(struct section))

static struct section section_of(enum section_type type, size_t bytes)
{
    return (struct section){bh_le32_of(type), bh_le32_of((uint32_t)bytes)};
}

static bool is_section(const struct section *found, enum section_type type, size_t bytes)
{
    return bh_le32_get(found->type) == type && bh_le32_get(found->bytes) == bytes;
}

static struct address address_of(bh_daddr_t addr)
{
    return (struct address){bh_le32_of((uint32_t)addr.raw), bh_le32_of((uint32_t)(addr.raw >> 32))};
}

static bh_daddr_t address_get(struct address addr)
{
    return bh_daddr(bh_le32_get(addr.low) | (uint64_t)bh_le32_get(addr.high) << 32);
}

/* Bytes before the class's part, with the checksum. */
static size_t fixed_bytes(const struct bh_device *dev)
{
    return sizeof(struct head) + dev->queue_count * sizeof(struct queue) + sizeof(struct section) +
           sizeof(bh_le32);
}

/* CRC-32 as IEEE 802.3 has it, bit by bit: it runs once a save. */
static bh_le32 checksum(const uint8_t *bytes, size_t len)
{
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < len; i++) {
        crc ^= bytes[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1u ? 0xedb88320u : 0u);
    }
    return bh_le32_of(~crc);
}

static bool quiet(const struct bh_device *dev)
{
    return dev->controls == 0 && bh_device_stopped(dev);
}

/* --- save ------------------------------------------------------------------------------------------------
 */

static uint8_t *put(uint8_t *at, const void *part, size_t len)
{
    memcpy(at, part, len);
    return at + len;
}

static uint8_t *put_head(uint8_t *at, const struct bh_device *dev, size_t total)
{
    struct head head = {
        .magic = bh_le32_of(STATE_MAGIC),
        .version = bh_le32_of(STATE_VERSION),
        .total = bh_le32_of((uint32_t)total),
        .section = section_of(SECTION_DEVICE, DEVICE_BYTES),
        .virtio_id = bh_le16_of(dev->class->virtio_id),
        .queue_count = bh_le16_of(dev->queue_count),
        .status = dev->status,
        .flags = (uint8_t)((dev->features_done ? DEVICE_FEATURES_DONE : 0u) |
                           (dev->config_pending ? DEVICE_CONFIG_PENDING : 0u) |
                           (dev->paused >> BH_CONTROL_SUSPEND & 1u ? DEVICE_SUSPENDED : 0u)),
        .generation = bh_le32_of(dev->generation),
    };

    for (unsigned i = 0; i < BH_FEATURE_WORDS; i++)
        head.acked[i] = bh_le32_of(dev->acked.word[i]);
    return put(at, &head, sizeof(head));
}

static uint8_t *put_queue(uint8_t *at, const struct bh_virtq *q)
{
    const struct bh_virtq_setup *setup = &q->setup;
    unsigned flags = (q->wishes & (QUEUE_ENABLED | QUEUE_WAITING)) | (q->broken ? QUEUE_BROKEN : 0u) |
                     (setup->state.avail_wrap ? QUEUE_AVAIL_WRAP : 0u) |
                     (setup->state.used_wrap ? QUEUE_USED_WRAP : 0u);
    struct queue queue = {
        .section = section_of(SECTION_QUEUE, QUEUE_BYTES),
        .index = bh_le16_of(q->index),
        .flags = bh_le16_of((uint16_t)flags),
        .size = bh_le16_of(setup->size),
        .avail = bh_le16_of(setup->state.avail),
        .used = bh_le16_of(setup->state.used),
        .desc = address_of(setup->desc),
        .driver = address_of(setup->driver),
        .device = address_of(setup->device),
    };

    return put(at, &queue, sizeof(queue));
}

int bh_device_save(struct bh_device *dev, void *to, size_t size)
{
    size_t fixed = fixed_bytes(dev);
    uint8_t *at = to;
    struct section class_section;
    bh_le32 sum;
    int class_bytes = 0;

    if (!quiet(dev))
        return BH_ERR_BUSY;
    if (size < fixed)
        return BH_ERR_NOMEM;
    if (size > STATE_BYTES_MAX)
        size = STATE_BYTES_MAX;
    if (dev->class->save)
        class_bytes = dev->class->save(dev, at + fixed - sizeof(sum), size - fixed);
    if (class_bytes < 0)
        return class_bytes;
    BH_ASSERT((size_t)class_bytes <= size - fixed);
    size = fixed + (size_t)class_bytes;
    at = put_head(at, dev, size);
    for (unsigned i = 0; i < dev->queue_count; i++)
        at = put_queue(at, &dev->queues[i]);
    class_section = section_of(SECTION_CLASS, (size_t)class_bytes);
    at = put(at, &class_section, sizeof(class_section)) + class_bytes;
    sum = checksum(to, size - sizeof(sum));
    (void)put(at, &sum, sizeof(sum));
    return (int)size;
}

/* --- load ------------------------------------------------------------------------------------------------
 */

/* Everything that a head says, before anything of it is taken. */
static int check_head(const struct head *head, const struct bh_device *dev, const struct bh_features *acked,
                      const uint8_t *from, size_t size)
{
    bh_le32 sum;

    if (bh_le32_get(head->magic) != STATE_MAGIC)
        return BH_ERR_PROTO;
    if (bh_le32_get(head->version) != STATE_VERSION)
        return BH_ERR_UNSUPPORTED;
    if (bh_le32_get(head->total) != size || !is_section(&head->section, SECTION_DEVICE, DEVICE_BYTES))
        return BH_ERR_PROTO;
    size -= sizeof(sum);
    memcpy(&sum, from + size, sizeof(sum));
    if (checksum(from, size).raw != sum.raw)
        return BH_ERR_PROTO;
    if ((head->status & (BH_STATUS_DRIVER_OK | BH_STATUS_SUSPEND)) && !(head->flags & DEVICE_FEATURES_DONE))
        return BH_ERR_PROTO;
    if (bh_le16_get(head->virtio_id) != dev->class->virtio_id ||
        bh_le16_get(head->queue_count) != dev->queue_count || !bh_device_has_offered(dev, acked))
        return BH_ERR_UNSUPPORTED;
    return BH_OK;
}

static int load_queue(const uint8_t *at, struct bh_device *dev, struct bh_virtq *q)
{
    struct bh_virtq_setup setup;
    struct queue queue;
    unsigned flags;

    memcpy(&queue, at, sizeof(queue));
    flags = bh_le16_get(queue.flags);
    setup = (struct bh_virtq_setup){
        .size = bh_le16_get(queue.size),
        .desc = address_get(queue.desc),
        .driver = address_get(queue.driver),
        .device = address_get(queue.device),
        .state = {.avail = bh_le16_get(queue.avail),
                  .used = bh_le16_get(queue.used),
                  .avail_wrap = flags & QUEUE_AVAIL_WRAP,
                  .used_wrap = flags & QUEUE_USED_WRAP},
    };
    if (!is_section(&queue.section, SECTION_QUEUE, QUEUE_BYTES) || bh_le16_get(queue.index) != q->index)
        return BH_ERR_PROTO;
    if ((flags & (QUEUE_ENABLED | QUEUE_WAITING)) && (setup.size == 0 || !dev->features_done))
        return BH_ERR_PROTO;
    if (setup.size > q->memory.size_max)
        return BH_ERR_UNSUPPORTED;
    if (setup.size && !bh_virtq_setup_ok(q, &setup, bh_device_has(dev, BH_F_RING_PACKED)))
        return BH_ERR_PROTO;
    q->setup = setup;
    q->wishes = flags & QUEUE_ENABLED;
    if (!(flags & QUEUE_BROKEN))
        q->wishes |= flags & QUEUE_WAITING;
    return BH_OK;
}

static int load_rest(const uint8_t *at, size_t class_bytes, struct bh_device *dev)
{
    struct section class_section;
    int err = BH_OK;

    if (dev->features_done && dev->class->negotiated)
        err = dev->class->negotiated(dev);
    for (unsigned i = 0; i < dev->queue_count && !err; i++, at += sizeof(struct queue))
        err = load_queue(at, dev, &dev->queues[i]);
    if (err)
        return err;
    memcpy(&class_section, at, sizeof(class_section));
    if (!is_section(&class_section, SECTION_CLASS, class_bytes))
        return BH_ERR_PROTO;
    if (dev->class->load)
        return dev->class->load(dev, at + sizeof(class_section), class_bytes);
    return class_bytes == 0 ? BH_OK : BH_ERR_PROTO;
}

int bh_device_load(struct bh_device *dev, const void *from, size_t size)
{
    size_t fixed = fixed_bytes(dev);
    struct bh_features acked;
    struct head head;
    int err;

    if (!quiet(dev) || dev->features_done || dev->status)
        return BH_ERR_BUSY;
    if (size < sizeof(head) + sizeof(bh_le32))
        return BH_ERR_PROTO;
    memcpy(&head, from, sizeof(head));
    for (unsigned i = 0; i < BH_FEATURE_WORDS; i++)
        acked.word[i] = bh_le32_get(head.acked[i]);
    err = check_head(&head, dev, &acked, from, size);
    if (!err && size < fixed)
        err = BH_ERR_PROTO;
    if (err)
        return err;
    dev->acked = acked;
    dev->features_done = head.flags & DEVICE_FEATURES_DONE;
    dev->status = head.status;
    dev->paused = 1u << BH_CONTROL_QUIESCE;
    if (head.flags & DEVICE_SUSPENDED)
        dev->paused |= 1u << BH_CONTROL_SUSPEND;
    err = load_rest((const uint8_t *)from + sizeof(head), size - fixed, dev);
    if (err) {
        bh_device_forget(dev);
        return err;
    }
    dev->config_pending = head.flags & DEVICE_CONFIG_PENDING;
    dev->generation = bh_le32_get(head.generation);
    return BH_OK;
}
