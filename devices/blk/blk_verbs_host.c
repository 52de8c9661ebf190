/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk can be told while a guest uses it: another size, another rate limit.
 */
#include "devices/blk/blk_host_impl.h"

/* --- resize
 * ------------------------------------------------------------------------------------------------------ */

struct resize_values {
    uint64_t size;
    bool shrink;
};

static const struct bh_option resize_arguments[] = {
    {.name = "size",
     .type = BH_OPT_SIZE,
     .offset = offsetof(struct resize_values, size),
     .unit = "bytes",
     .help = "how large the image becomes; without it, as large as the host has it now"},
    {.name = "shrink",
     .type = BH_OPT_BOOL,
     .offset = offsetof(struct resize_values, shrink),
     .help = "cut the image's end off, with what is in it"},
    {.name = NULL},
};

static bool in_flight(const struct blk_host *host)
{
    for (unsigned i = 0; i < host->queue_count; i++) {
        if (host->blk_queues[i].in_flight)
            return true;
    }
    return false;
}

/* A disk may become smaller only when that was meant, and when no write is on its way to what goes. */
static int may_become(const struct blk_host *host, const struct resize_values *v, struct bh_diag_sink *sink)
{
    const uint64_t now = host->store->info.capacity, block = host->blk.settings.block_size;

    if (!host->file) {
        bh_error(sink, NULL, NULL, "this disk is no file: it keeps the size that it was made with");
        return BH_ERR_UNSUPPORTED;
    }
    if (v->size % block) {
        bh_error(sink, NULL, NULL, "size: a disk is a whole number of its blocks of %llu bytes",
                 (unsigned long long)block);
        return BH_ERR_INVAL;
    }
    if (!v->size || v->size >= now)
        return BH_OK;
    if (!v->shrink) {
        bh_error(sink, NULL, "say shrink if the guest uses them no more",
                 "size: the last %llu bytes would be lost", (unsigned long long)(now - v->size));
        return BH_ERR_INVAL;
    }
    if (in_flight(host)) {
        bh_error(sink, NULL, "try again when the guest rests", "requests are under way");
        return BH_ERR_BUSY;
    }
    return BH_OK;
}

static int resize(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink)
{
    struct blk_host *host = BH_CONTAINER(hosted, struct blk_host, hosted);
    const struct resize_values *v = values;
    int err = may_become(host, v, sink);

    if (err == BH_OK)
        err = bh_image_resize(&host->image, v->size, sink);
    if (err != BH_OK)
        return err;
    const uint64_t now =
        host->image.info.capacity / host->blk.settings.block_size * host->blk.settings.block_size;
    if (now == host->store->info.capacity)
        return BH_OK;
    host->store->info.capacity = now;
    bh_blk_resized(&host->blk);
    bh_note(host->image.sink, "%s: %llu bytes now", host->image.path, (unsigned long long)now);
    return BH_OK;
}

/* --- limit
 * ------------------------------------------------------------------------------------------------------- */

struct limit_values {
    uint64_t iops, bandwidth;
};

static const struct bh_option limit_arguments[] = {
    {.name = "iops",
     .type = BH_OPT_UINT,
     .offset = offsetof(struct limit_values, iops),
     .unit = "requests/s",
     .max = BH_RATE_IOPS_MAX,
     .help = "requests a second; without it any number"},
    {.name = "bandwidth",
     .type = BH_OPT_SIZE,
     .offset = offsetof(struct limit_values, bandwidth),
     .unit = "bytes/s",
     .max = BH_RATE_BANDWIDTH_MAX,
     .help = "bytes a second; without it any number"},
    {.name = NULL},
};

static int limit(struct bh_hosted *hosted, const void *values, struct bh_diag_sink *sink)
{
    struct blk_host *host = BH_CONTAINER(hosted, struct blk_host, hosted);
    const struct limit_values *v = values;

    bh_rate_limit_set(&host->rate, v->iops, v->bandwidth);
    return BH_OK;
}

const struct bh_class_verb bh_blk_verbs[] = {
    {.name = "resize",
     .summary = "give the disk another size, and tell the guest",
     .arguments = resize_arguments,
     .values_size = sizeof(struct resize_values),
     .run = resize},
    {.name = "limit",
     .summary = "set how fast the guest may go",
     .arguments = limit_arguments,
     .values_size = sizeof(struct limit_values),
     .run = limit},
    {.name = NULL},
};
