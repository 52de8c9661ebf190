/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy class with the host's source behind it.
 */
#include "devices/rng/rng_host.h"
#include "abi/virtio_rng.h"
#include "devices/rng/rng.h"
#include "devices/rng/rng_options.h"
#include "devices/rng/source_host.h"

#include <stdlib.h>

struct rng_host {
    struct bh_hosted hosted;
    struct bh_rng rng;
    struct bh_rng_source_host source;
    void *queue_block;
};

static int create(struct bh_loop *loop, struct bh_mem *mem, const void *values, struct bh_diag_sink *sink,
                  struct bh_hosted **hosted)
{
    const struct bh_rng_values *v = values;
    uint16_t size = (uint16_t)v->queue_size;
    struct bh_virtq_memory memory;
    struct rng_host *host = calloc(1, sizeof(*host));
    int err = BH_ERR_NOMEM;

    if (!host)
        return err;
    host->queue_block = malloc(bh_virtq_memory_bytes(size, BH_RNG_BATCH, BH_RNG_SEGS));
    if (!host->queue_block)
        goto free_host;
    bh_virtq_memory_place(&memory, host->queue_block, size, BH_RNG_BATCH, BH_RNG_SEGS);
    err = bh_rng_source_host_init(&host->source, loop, v->rng_file, v->max_bytes, v->period_ms, sink);
    if (err)
        goto free_block;
    bh_rng_init(&host->rng, mem, &memory, &host->source.source);
    host->hosted = (struct bh_hosted){.class = &bh_rng_hosted, .dev = &host->rng.dev};
    *hosted = &host->hosted;
    return BH_OK;

free_block:
    free(host->queue_block);
free_host:
    free(host);
    return err;
}

static void destroy(struct bh_hosted *hosted)
{
    struct rng_host *host = BH_CONTAINER(hosted, struct rng_host, hosted);
    bh_rng_source_host_fini(&host->source);
    free(host->queue_block);
    free(host);
}

static const char *const capabilities[] = {NULL};

#define COUNTER(member) BH_CLASS_COUNTER(struct bh_rng, counters.member)
static const struct bh_class_counter counters[] = {
    {"bytes", COUNTER(bytes), "bytes given"},
    {"short_buffers", COUNTER(short_buffers), "buffers answered with fewer bytes than asked"},
    {"source_dry", COUNTER(source_dry), "times the source had nothing"},
    {"source_errors", COUNTER(source_errors), "times the source failed"},
    {NULL},
};

const struct bh_hosted_class bh_rng_hosted = {
    .name = "rng",
    .summary = "entropy from the host's generator or a file",
    .virtio_id = VIRTIO_ID_RNG,
    .options = bh_rng_options,
    .values_size = sizeof(struct bh_rng_values),
    .capabilities = capabilities,
    .counters = counters,
    .create = create,
    .destroy = destroy,
};
