/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blk device on a host, made from its options: the store that they name, the memory for its queues, the
 * device.
 */
#include "devices/blk/blk_host_impl.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* A segment of data may cross from one memory region into the next; few do, more are the driver's to split.
 */
#define REGION_BORDERS 8u

static int make_ram(struct blk_host *host, const struct bh_blk_options *o, struct bh_diag_sink *sink)
{
    /* the disk's pages come into being as they are written */
    void *bytes =
        mmap(NULL, o->ram_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (bytes == MAP_FAILED) {
        bh_error(sink, NULL, NULL, "--ram-size: %s", strerror(errno));
        return BH_ERR_NOMEM;
    }
    bh_store_ram_init(&host->ram, bytes, o->ram_size, o->read_only);
    host->store = &host->ram.store;
    return BH_OK;
}

static int make_file(struct blk_host *host, struct bh_loop *loop, const struct bh_blk_options *o,
                     struct bh_diag_sink *sink)
{
    int err =
        bh_image_open(&host->image, loop, o->blk_file, (enum bh_image_cache)o->cache, o->read_only, sink);

    if (err != BH_OK)
        return err;
    err = bh_store_file_create(loop, &host->image, (enum bh_aio)o->aio,
                               (unsigned)(o->num_queues * o->queue_size), &host->file);
    if (err != BH_OK) {
        bh_image_close(&host->image);
        return err;
    }
    host->store = &host->file->store;
    return BH_OK;
}

static int make_store(struct blk_host *host, struct bh_loop *loop, const struct bh_blk_options *o,
                      struct bh_diag_sink *sink)
{
    uint64_t size = o->ram_size ? o->ram_size : o->null_size;

    if (!!o->blk_file + !!o->ram_size + !!o->null_size != 1) {
        bh_error(sink, NULL, "for instance --blk-file=disk.img",
                 "exactly one of --blk-file, --ram-size and --null-size must be given");
        return BH_ERR_INVAL;
    }
    if (o->blk_file)
        return make_file(host, loop, o, sink);
    if (size % 512) {
        bh_error(sink, NULL, NULL, "%s is no multiple of 512", o->ram_size ? "--ram-size" : "--null-size");
        return BH_ERR_INVAL;
    }
    if (o->ram_size)
        return make_ram(host, o, sink);
    bh_store_null_init(&host->null, size, o->read_only);
    host->store = &host->null.store;
    return BH_OK;
}

static void drop_store(struct blk_host *host)
{
    if (host->file) {
        bh_store_file_destroy(host->file);
        bh_image_close(&host->image);
    }
    if (host->ram.bytes)
        munmap(host->ram.bytes, host->ram.store.info.capacity);
}

static void drop_queues(struct blk_host *host)
{
    for (unsigned i = 0; i < host->queue_count; i++) {
        if (host->blocks)
            free(host->blocks[i]);
        if (host->blk_queues)
            free(host->blk_queues[i].requests);
    }
    free(host->blocks);
    free(host->blk_queues);
    free(host->memory);
    free(host->queues);
}

static int make_queues(struct blk_host *host, const struct bh_blk_options *o)
{
    uint16_t size = (uint16_t)o->queue_size;
    uint16_t segs = (uint16_t)(BH_BLK_CHAIN_SEGS(o->seg_max) + REGION_BORDERS);

    host->queue_count = (uint16_t)o->num_queues;
    host->queues = calloc(host->queue_count, sizeof(*host->queues));
    host->memory = calloc(host->queue_count, sizeof(*host->memory));
    host->blk_queues = calloc(host->queue_count, sizeof(*host->blk_queues));
    host->blocks = calloc(host->queue_count, sizeof(*host->blocks));
    if (!host->queues || !host->memory || !host->blk_queues || !host->blocks)
        return BH_ERR_NOMEM;
    for (unsigned i = 0; i < host->queue_count; i++) {
        host->blocks[i] = calloc(1, bh_virtq_memory_bytes(size, size, segs));
        host->blk_queues[i].requests = calloc(size, sizeof(struct bh_blk_request));
        if (!host->blocks[i] || !host->blk_queues[i].requests)
            return BH_ERR_NOMEM;
        bh_virtq_memory_place(&host->memory[i], host->blocks[i], size, size, segs);
        host->blk_queues[i].store = host->store;
    }
    return BH_OK;
}

static int log2_of(uint64_t x)
{
    return x && !(x & (x - 1)) ? __builtin_ctzll(x) : -1;
}

/* Options in bytes become the blocks that config space wants. */
static int fill_settings(const struct blk_host *host, const struct bh_blk_options *o,
                         struct bh_blk_settings *s, struct bh_diag_sink *sink)
{
    uint32_t block = o->block_size ? (uint32_t)o->block_size : host->store->info.block_size;
    uint64_t physical = o->physical_block_size;
    size_t serial_len = o->serial ? strlen(o->serial) : 0;
    const char *wrong = NULL;

    if (!physical && host->image.path)
        physical = host->image.physical_block;
    if (physical < block)
        physical = o->physical_block_size ? physical : block;
    if (log2_of(block) < 9 || host->store->info.capacity % block)
        wrong = "--block-size must be a power of 2 from 512 on, and divide the disk's size";
    else if (block < host->store->info.block_size)
        wrong = "--block-size must not be smaller than the block device's";
    else if (log2_of(physical) < log2_of(block))
        wrong = "--physical-block-size must be a power of 2, not smaller than the logical one";
    else if (o->min_io_size % block || o->min_io_size / block > UINT16_MAX || o->opt_io_size % block)
        wrong = "--min-io-size and --opt-io-size must be multiples of the block size";
    else if (serial_len > VIRTIO_BLK_ID_BYTES)
        wrong = "--serial has more than 20 bytes";
    if (wrong) {
        bh_error(sink, NULL, NULL, "%s", wrong);
        return BH_ERR_INVAL;
    }
    *s = (struct bh_blk_settings){
        .seg_max = (uint32_t)o->seg_max,
        .size_max = (uint32_t)o->size_max,
        .block_size = block,
        .physical_block_exp = (uint8_t)(log2_of(physical) - log2_of(block)),
        .min_io_size = (uint16_t)(o->min_io_size / block),
        .opt_io_size = (uint32_t)(o->opt_io_size / block),
        .read_only = o->read_only,
        .writethrough = o->cache == BH_IMAGE_WRITETHROUGH || o->cache == BH_IMAGE_DIRECTSYNC,
        .unsafe = o->blk_file && o->cache == BH_IMAGE_UNSAFE,
        .no_discard = !o->discard,
    };
    if (serial_len)
        memcpy(s->serial, o->serial, serial_len);
    return BH_OK;
}

static int create(struct bh_loop *loop, struct bh_mem *mem, const void *values, struct bh_diag_sink *sink,
                  struct bh_hosted **hosted)
{
    const struct bh_blk_options *o = values;
    struct blk_host *host = calloc(1, sizeof(*host));
    struct bh_blk_setup setup = {.mem = mem};

    int err = host ? make_store(host, loop, o, sink) : BH_ERR_NOMEM;
    if (err != BH_OK)
        goto fail;
    err = make_queues(host, o);
    if (err == BH_OK)
        err = fill_settings(host, o, &setup.settings, sink);
    if (err != BH_OK)
        goto fail_store;
    setup.queues = host->queues;
    setup.memory = host->memory;
    setup.blk_queues = host->blk_queues;
    setup.queue_count = host->queue_count;
    err = bh_blk_init(&host->blk, &setup);
    if (err != BH_OK)
        goto fail_store;
    bh_rate_limit_init(&host->rate, &host->blk, loop);
    bh_rate_limit_set(&host->rate, o->iops, o->bandwidth);
    host->hosted = (struct bh_hosted){.class = &bh_blk_hosted, .dev = &host->blk.dev};
    *hosted = &host->hosted;
    return BH_OK;

fail_store:
    drop_queues(host);
    drop_store(host);
fail:
    free(host);
    return err;
}

static void destroy(struct bh_hosted *hosted)
{
    struct blk_host *host = BH_CONTAINER(hosted, struct blk_host, hosted);

    bh_rate_limit_fini(&host->rate);
    drop_store(host);
    drop_queues(host);
    free(host);
}

/* [vhost-user, "vhost-user-blk"] */
static const char *const capabilities[] = {"read-only", "blk-file", NULL};

#define COUNTER(member) BH_CLASS_COUNTER(struct bh_blk, counters.member)
static const struct bh_class_counter counters[] = {
    {"reads", COUNTER(reads), "reads"},
    {"writes", COUNTER(writes), "writes"},
    {"flushes", COUNTER(flushes), "flushes"},
    {"discards", COUNTER(discards), "discards"},
    {"write_zeroes", COUNTER(write_zeroes), "writes of zeroes"},
    {"secure_erases", COUNTER(secure_erases), "secure erases"},
    {"ids", COUNTER(ids), "reads of the serial number"},
    {"lifetimes", COUNTER(lifetimes), "reads of the host disk's wear"},
    {"io_errors", COUNTER(io_errors), "answered with an error since the store failed"},
    {"refused", COUNTER(refused), "answered with an error since the request was wrong"},
    {"no_space", COUNTER(no_space), "of io_errors: the host is full"},
    {"unanswerable", COUNTER(unanswerable), "chains without room for a status"},
    {"limited", COUNTER(limited), "times a queue waited for the rate limit"},
    {NULL},
};

const struct bh_hosted_class bh_blk_hosted = {
    .name = "blk",
    .summary = "a disk: a raw image, a block device, or memory",
    .virtio_id = VIRTIO_ID_BLK,
    .options = bh_blk_option_table,
    .values_size = sizeof(struct bh_blk_options),
    .capabilities = capabilities,
    .verbs = bh_blk_verbs,
    .counters = counters,
    .create = create,
    .destroy = destroy,
};
