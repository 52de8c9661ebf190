/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device of the class blk: what it offers, its config space, and how batches travel between its queues
 * and its stores. blk_request.c knows what is in a request.
 */
#include "devices/blk/blk.h"

/* 2 GiB in one range: Linux cuts its own at less, and no store works longer than seconds on it. */
#define RANGE_SECTORS_MAX 0x400000u

/* A store's limit (0: none) as the config space tells it. */
static bh_le32 range_sectors(uint64_t bytes)
{
    const uint64_t sectors = bytes / VIRTIO_BLK_SECTOR_SIZE;
    return bh_le32_of(sectors && sectors < RANGE_SECTORS_MAX ? (uint32_t)sectors : RANGE_SECTORS_MAX);
}

static bh_le32 alignment_sectors(const struct bh_blk *blk, uint32_t granularity)
{
    return bh_le32_of((granularity ? granularity : blk->settings.block_size) / VIRTIO_BLK_SECTOR_SIZE);
}

static struct bh_blk *blk_of(const struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct bh_blk, dev);
}

/* --- Features and config
 * ---------------------------------------------------------------------------------------- */

static struct bh_features features(const struct bh_device *dev)
{
    const struct bh_blk *blk = blk_of(dev);
    const struct bh_store_info *info = &blk->queues[0].store->info;
    struct bh_features f = bh_class_ring_features();

    bh_features_set(&f, VIRTIO_BLK_F_SEG_MAX);
    bh_features_set(&f, VIRTIO_BLK_F_BLK_SIZE);
    bh_features_set(&f, VIRTIO_BLK_F_TOPOLOGY);
    if (!blk->settings.unsafe)
        bh_features_set(&f, VIRTIO_BLK_F_FLUSH);
    if (info->volatile_cache && !blk->settings.unsafe && !bh_features_has(&dev->withheld, VIRTIO_BLK_F_FLUSH))
        bh_features_set(&f, VIRTIO_BLK_F_CONFIG_WCE);
    if (blk->settings.size_max)
        bh_features_set(&f, VIRTIO_BLK_F_SIZE_MAX);
    if (dev->queue_count > 1)
        bh_features_set(&f, VIRTIO_BLK_F_MQ);
    if (info->has_lifetime)
        bh_features_set(&f, VIRTIO_BLK_F_LIFETIME);
    if (blk->read_only) {
        bh_features_set(&f, VIRTIO_BLK_F_RO);
        return f;
    }
    if (info->can_discard && !blk->settings.no_discard)
        bh_features_set(&f, VIRTIO_BLK_F_DISCARD);
    if (info->can_write_zeroes)
        bh_features_set(&f, VIRTIO_BLK_F_WRITE_ZEROES);
    if (info->can_secure_erase && !blk->settings.no_discard)
        bh_features_set(&f, VIRTIO_BLK_F_SECURE_ERASE);
    return f;
}

static void fill_config(struct bh_blk *blk)
{
    const struct bh_store_info *info = &blk->queues[0].store->info;
    const struct bh_blk_settings *s = &blk->settings;
    bool unmap = info->can_discard && !s->no_discard;

    blk->config = (struct virtio_blk_config){
        .capacity = bh_le64_of(blk->sectors),
        .size_max = bh_le32_of(s->size_max),
        .seg_max = bh_le32_of(s->seg_max),
        .blk_size = bh_le32_of(s->block_size),
        .topology_physical_block_exp = s->physical_block_exp,
        .topology_alignment_offset = s->alignment_offset,
        .topology_min_io_size = bh_le16_of(s->min_io_size),
        .topology_opt_io_size = bh_le32_of(s->opt_io_size),
        .writeback = !s->writethrough && info->volatile_cache,
        .num_queues = bh_le16_of(blk->dev.queue_count),
        .max_discard_sectors = range_sectors(info->max_discard),
        .max_discard_seg = bh_le32_of(1),
        .discard_sector_alignment = alignment_sectors(blk, info->discard_granularity),
        .max_write_zeroes_sectors = range_sectors(info->max_write_zeroes),
        .max_write_zeroes_seg = bh_le32_of(1),
        .write_zeroes_may_unmap = unmap,
        .max_secure_erase_sectors = range_sectors(info->max_secure_erase),
        .max_secure_erase_seg = bh_le32_of(1),
        .secure_erase_sector_alignment = alignment_sectors(blk, info->erase_granularity),
    };
}

static const void *config(const struct bh_device *dev, uint32_t *size)
{
    *size = VIRTIO_BLK_CONFIG_SIZE;
    return &blk_of(dev)->config;
}

/* The write cache is the only thing a driver sets [virtio-1.4 5.2.5]. */
static int config_write(struct bh_device *dev, uint32_t offset, const void *from, uint32_t len)
{
    struct bh_blk *blk = blk_of(dev);
    uint8_t value;

    if (offset != offsetof(struct virtio_blk_config, writeback) || len != 1 ||
        !bh_device_has(dev, VIRTIO_BLK_F_CONFIG_WCE))
        return BH_ERR_INVAL;
    memcpy(&value, from, 1);
    if (value > 1)
        return BH_ERR_INVAL;
    blk->config.writeback = value;
    blk->write_cache = value;
    return BH_OK;
}

/*
 * A driver that can neither flush nor set the cache must be able to count on a write that is done; with FLUSH alone
 * it is told of a write-back cache [virtio-1.4 5.2.6.2]; one that sets the cache but cannot flush starts without
 * [virtio-1.4 5.2.5.2].
 */
static int negotiated(struct bh_device *dev)
{
    struct bh_blk *blk = blk_of(dev);

    if (bh_device_has(dev, VIRTIO_BLK_F_CONFIG_WCE) && !bh_device_has(dev, VIRTIO_BLK_F_FLUSH))
        blk->config.writeback = 0;
    if (bh_device_has(dev, VIRTIO_BLK_F_CONFIG_WCE))
        blk->write_cache = blk->config.writeback;
    else
        blk->write_cache = bh_device_has(dev, VIRTIO_BLK_F_FLUSH) && !blk->settings.writethrough;
    return BH_OK;
}

/* --- The store's use
 * -------------------------------------------------------------------------------------------- */

/* Is `index` the first queue with its store? Then it speaks for it. */
static bool leads_store(const struct bh_blk *blk, unsigned index)
{
    for (unsigned i = 0; i < index; i++) {
        if (blk->queues[i].store == blk->queues[index].store)
            return false;
    }
    return true;
}

static void release(struct bh_blk *blk, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct bh_store *store = blk->queues[i].store;
        if (leads_store(blk, i) && store->ops->release)
            store->ops->release(store);
    }
}

static int acquire(struct bh_blk *blk)
{
    for (unsigned i = 0; i < blk->dev.queue_count; i++) {
        struct bh_store *store = blk->queues[i].store;
        int err = leads_store(blk, i) && store->ops->acquire ? store->ops->acquire(store) : BH_OK;
        if (err != BH_OK) {
            release(blk, i);
            return err;
        }
    }
    blk->in_use = true;
    return BH_OK;
}

/* The last queue to become quiet gives the disk back, so that a migration's other side may take it. */
static void release_if_idle(struct bh_blk *blk)
{
    if (!blk->in_use)
        return;
    for (unsigned i = 0; i < blk->dev.queue_count; i++) {
        if (blk->queues[i].in_flight || blk->dev.queues[i].life == BH_VIRTQ_RUNNING)
            return;
    }
    blk->in_use = false;
    release(blk, blk->dev.queue_count);
}

/* --- Data
 * ------------------------------------------------------------------------------------------------------- */

/* Push, for each queue among them, all of its completions at once. */
static void push_done(struct bh_blk *blk, struct bh_store_req **done, unsigned count)
{
    struct bh_chain *chains[BH_BLK_BATCH];

    while (count > 0) {
        uint16_t index = BH_CONTAINER(done[0], struct bh_blk_request, store)->queue;
        struct bh_virtq *q = &blk->dev.queues[index];
        unsigned chain_count = bh_blk_batch_finish(blk, q, done, count, chains);

        blk->queues[index].in_flight = (uint16_t)(blk->queues[index].in_flight - chain_count);
        if (BH_UNLIKELY(q->life != BH_VIRTQ_RUNNING))
            release_if_idle(blk);
        bh_virtq_push(q, chains, chain_count);
        count -= chain_count;
    }
}

/* What one call may complete is bounded: by its budget, and by what the store held when it began. */
static BH_FAST_INLINE void complete(struct bh_blk *blk, struct bh_store *store, unsigned budget)
{
    struct bh_store_req *done[BH_BLK_BATCH];
    unsigned room, count;

    do {
        room = budget < BH_BLK_BATCH ? budget : BH_BLK_BATCH;
        count = store->ops->poll(store, done, room);
        push_done(blk, done, count);
        budget -= count;
    } while (count == room && budget > 0);
}

static unsigned store_in_flight(const struct bh_blk *blk, const struct bh_store *store)
{
    unsigned count = 0;

    for (unsigned i = 0; i < blk->dev.queue_count; i++)
        count += blk->queues[i].store == store ? blk->queues[i].in_flight : 0u;
    return count;
}

static void wake(struct bh_store *store)
{
    struct bh_blk *blk = store->user;

    complete(blk, store,
             store_in_flight(blk, store) + 1); /* at least one poll: it may be the store's own affair */
    for (unsigned i = 0; i < blk->dev.queue_count; i++) {
        if (blk->queues[i].store == store && blk->queues[i].held) {
            blk->queues[i].held = false;
            bh_device_queue_wake(&blk->dev, &blk->dev.queues[i]);
        }
    }
}

/* The bytes that requests move; a range is a request without any. */
static uint64_t bytes_of(const struct bh_store_req *first)
{
    uint64_t bytes = 0;

    for (const struct bh_store_req *req = first; req; req = req->next)
        bytes += req->seg_count ? req->len : 0;
    return bytes;
}

/* Pop, parse, submit and answer one batch. Returns what pop said, or BH_ERR_BROKEN. */
static BH_FAST_INLINE int take_batch(struct bh_blk *blk, struct bh_virtq *q, unsigned max)
{
    struct bh_blk_queue *bq = &blk->queues[q->index];
    struct bh_chain *chains[BH_BLK_BATCH];
    struct bh_blk_batch batch;
    int count = bh_virtq_pop(q, chains, max);

    if (count <= 0)
        return count;
    bh_blk_batch_parse(blk, q, chains, (unsigned)count, &batch);
    if (blk->limit)
        blk->limit->spent(blk->limit, (unsigned)count, bytes_of(batch.submit));
    if (BH_UNLIKELY(batch.broken))
        bh_virtq_break(q, BH_BROKEN_CLASS);
    if (batch.submit_count) {
        bq->in_flight = (uint16_t)(bq->in_flight + batch.submit_count);
        bq->store->ops->submit(bq->store, batch.submit);
    }
    if (batch.answered_count)
        bh_virtq_push(q, batch.answered, batch.answered_count);
    return batch.broken ? BH_ERR_BROKEN : count;
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct bh_blk *blk = blk_of(dev);
    struct bh_blk_queue *bq = &blk->queues[q->index];
    enum bh_ready ready = BH_READY_MORE;
    unsigned taken = 0;
    int count;

    if (!blk->in_use) {
        int err = acquire(blk);
        if (err == BH_ERR_BUSY) {
            bq->held = true;
            return BH_READY_HELD;
        }
        if (err != BH_OK) {
            bh_virtq_break(q, BH_BROKEN_CLASS);
            return BH_READY_DRAINED;
        }
    }
    while (taken < budget) {
        unsigned max = budget - taken < BH_BLK_BATCH ? budget - taken : BH_BLK_BATCH;
        if (blk->limit && (max = blk->limit->room(blk->limit, max)) == 0) {
            blk->counters.limited += !bq->limited;
            bq->limited = blk->some_limited = true;
            ready = BH_READY_HELD;
            break;
        }
        count = take_batch(blk, q, max);
        if (count == BH_ERR_PENDING) {
            ready = BH_READY_HELD;
            break;
        }
        /* Fewer than asked for: what is left, perhaps behind them in the ring, is met when kicks are asked for. */
        if (count < (int)max) {
            ready = BH_READY_DRAINED;
            break;
        }
        taken += max;
    }
    if (BH_UNLIKELY(blk->some_limited) && !bq->limited)
        bh_blk_go_on(blk);
    if (bq->store->polled) {
        complete(blk, bq->store, budget);
        if (bq->in_flight)
            return BH_READY_MORE;
    }
    return ready;
}

static void queue_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    struct bh_blk *blk = blk_of(dev);
    struct bh_store *store = blk->queues[q->index].store;

    blk->queues[q->index].held = blk->queues[q->index].limited = false;
    if (dev->controls & 1u << BH_CONTROL_RESET)
        store->ops->cancel(store);
    if (store->polled)
        complete(blk, store, store_in_flight(blk, store));
    release_if_idle(blk);
}

static void reset(struct bh_device *dev)
{
    struct bh_blk *blk = blk_of(dev);

    release_if_idle(blk);
    blk->config.writeback = !blk->settings.writethrough && blk->queues[0].store->info.volatile_cache;
}

/* --- Save, load, init
 * ------------------------------------------------------------------------------------------- */

static int save(struct bh_device *dev, void *to, size_t size)
{
    const struct bh_blk *blk = blk_of(dev);
    uint8_t state[2] = {blk->config.writeback, blk->write_cache};

    if (size < sizeof(state))
        return BH_ERR_NOMEM;
    memcpy(to, state, sizeof(state));
    return (int)sizeof(state);
}

static int load(struct bh_device *dev, const void *from, size_t size)
{
    struct bh_blk *blk = blk_of(dev);
    uint8_t state[2];

    if (size != sizeof(state))
        return BH_ERR_PROTO;
    memcpy(state, from, sizeof(state));
    if (state[0] > 1 || state[1] > 1)
        return BH_ERR_PROTO;
    blk->config.writeback = state[0];
    blk->write_cache = state[1];
    return BH_OK;
}

static const struct bh_class blk_class = {
    .name = "blk",
    .virtio_id = VIRTIO_ID_BLK,
    .config = config,
    .config_write = config_write,
    .features = features,
    .negotiated = negotiated,
    .queue_ready = queue_ready,
    .queue_stopping = queue_stopping,
    .reset = reset,
    .save = save,
    .load = load,
};

static bool is_power_of_2(uint32_t x)
{
    return x && !(x & (x - 1));
}

static int check(const struct bh_blk *blk, const struct bh_blk_setup *setup)
{
    const struct bh_blk_settings *s = &blk->settings;
    const struct bh_store_info *info = &setup->blk_queues[0].store->info;

    if (!is_power_of_2(s->block_size) || s->block_size < VIRTIO_BLK_SECTOR_SIZE ||
        s->block_size < info->block_size || info->capacity % s->block_size || s->seg_max == 0 ||
        s->physical_block_exp > 31)
        return BH_ERR_INVAL;
    for (unsigned i = 0; i < setup->queue_count; i++) {
        if (setup->blk_queues[i].store->info.capacity != info->capacity ||
            setup->memory[i].segs_per_chain < BH_BLK_CHAIN_SEGS(s->seg_max))
            return BH_ERR_INVAL;
    }
    return BH_OK;
}

int bh_blk_init(struct bh_blk *blk, const struct bh_blk_setup *setup)
{
    const struct bh_store_info *info = &setup->blk_queues[0].store->info;

    memset(blk, 0, sizeof(*blk));
    blk->settings = setup->settings;
    if (blk->settings.block_size == 0)
        blk->settings.block_size = info->block_size;
    int err = check(blk, setup);
    if (err != BH_OK)
        return err;
    blk->queues = setup->blk_queues;
    blk->sectors = info->capacity / VIRTIO_BLK_SECTOR_SIZE;
    blk->read_only = setup->settings.read_only || info->read_only;
    bh_device_init(&blk->dev, &blk_class, setup->mem, setup->queues, setup->memory, setup->queue_count);
    for (unsigned i = 0; i < setup->queue_count; i++) {
        blk->queues[i].in_flight = 0;
        blk->queues[i].held = blk->queues[i].limited = false;
        for (unsigned slot = 0; slot < setup->memory[i].chain_count; slot++) {
            blk->queues[i].requests[slot].chain = &setup->memory[i].chains[slot];
            blk->queues[i].requests[slot].queue = (uint16_t)i;
        }
        blk->queues[i].store->user = blk;
        blk->queues[i].store->wake = wake;
    }
    fill_config(blk);
    return BH_OK;
}

/* One queue at a time, each in its turn: it takes what it can, and passes on what it leaves (queue_ready). */
void bh_blk_go_on(struct bh_blk *blk)
{
    for (unsigned i = 0; i < blk->dev.queue_count; i++) {
        blk->turn = blk->turn + 1 < blk->dev.queue_count ? (uint16_t)(blk->turn + 1) : 0;
        if (!blk->queues[blk->turn].limited)
            continue;
        blk->queues[blk->turn].limited = false;
        bh_device_queue_wake(&blk->dev, &blk->dev.queues[blk->turn]);
        return;
    }
    blk->some_limited = false;
}

void bh_blk_resized(struct bh_blk *blk)
{
    blk->sectors = blk->queues[0].store->info.capacity / VIRTIO_BLK_SECTOR_SIZE;
    blk->config.capacity = bh_le64_of(blk->sectors);
    bh_device_config_changed(&blk->dev);
}
