/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the core costs: one queue of a device that answers each chain at once, driven in lockstep over the pipe.
 *
 * Theory of operation
 *   Both sides run in one thread and take turns: the driver makes a batch available, the device is pumped until
 * it rests, the driver takes the batch back. So batch sizes are what was asked for, whatever the machine does
 * meanwhile, and the instructions of a round are the same in every run. tools/instructions runs this under callgrind,
 * which counts inside `rounds` only, and adds up what belongs to core/. Run by itself it tells the time a request
 * takes, both sides together.
 *
 *   A request has the shape of a disk's read: 16 readable bytes, 4096 writable ones, 1 writable one.
 */
#include "driver/guest.h"
#include "transports/pipe/pipe.h"

#include <bulkhead/impl/class.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define QUEUE_SIZE 128u
#define BATCH_MAX  32u
#define PIECES     3u

struct answerer {
    struct bh_device dev;
    struct bh_virtq queue;
};

struct bench {
    struct answerer answerer;
    struct bh_mem mem;
    struct bh_mem_region region;
    struct bh_mem_table table;
    struct bh_pipe pipe;
    struct bh_drv_guest guest;
    struct bh_drv_queue queue;
    struct bh_features features;
    struct bh_drv_buf bufs[BATCH_MAX][PIECES];
    unsigned batch;
};

static struct bh_features features(const struct bh_device *dev)
{
    return bh_class_ring_features();
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct bh_chain *chains[BATCH_MAX];

    for (;;) {
        int count = bh_virtq_pop(q, chains, BATCH_MAX);

        if (count <= 0)
            return BH_READY_DRAINED;
        for (int i = 0; i < count; i++)
            chains[i]->written = chains[i]->in_len;
        bh_virtq_push(q, chains, (unsigned)count);
    }
}

static const struct bh_class answerer_class = {
    .name = "answerer",
    .virtio_id = 0x3f, /* nobody's */
    .features = features,
    .queue_ready = queue_ready,
};

static void fail(const char *what)
{
    fprintf(stderr, "bench-ring: %s\n", what);
    exit(1);
}

static void set_up(struct bench *b, bool indirect)
{
    struct bh_device *dev = &b->answerer.dev;
    struct bh_virtq_memory memory;
    size_t bytes = bh_virtq_memory_bytes(QUEUE_SIZE, QUEUE_SIZE, PIECES + 1);
    void *block = malloc(bytes);

    if (!block || bh_drv_guest_create(&b->guest, bh_daddr(0x40000000), 1u << 20) != BH_OK)
        fail("no memory");
    memset(block, 0, bytes);
    bh_virtq_memory_place(&memory, block, QUEUE_SIZE, QUEUE_SIZE, PIECES + 1);
    b->region = (struct bh_mem_region){
        .base = b->guest.base,
        .size = b->guest.size,
        .host = b->guest.host,
        .access = BH_MEM_READ | BH_MEM_WRITE,
    };
    b->table = (struct bh_mem_table){&b->region, 1};
    bh_mem_init(&b->mem, NULL);
    bh_mem_publish(&b->mem, &b->table);
    bh_device_init(dev, &answerer_class, &b->mem, &b->answerer.queue, &memory, 1);
    bh_pipe_attach(&b->pipe, dev);

    if (bh_drv_queue_create(&b->queue, &b->guest, QUEUE_SIZE, &b->features, indirect ? PIECES : 0) != BH_OK)
        fail("no memory for the queue");
    for (unsigned i = 0; i < BATCH_MAX; i++) {
        const uint32_t lens[PIECES] = {16, 4096, 1};

        for (unsigned p = 0; p < PIECES; p++) {
            b->bufs[i][p].len = lens[p];
            if (!bh_drv_guest_alloc(&b->guest, lens[p], 16, &b->bufs[i][p].addr))
                fail("no guest memory");
        }
    }
    bh_device_set_status(dev, BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER);
    if (bh_device_accept(dev, &b->features) != BH_OK)
        fail("the features were refused");
    bh_device_set_status(dev, BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER | BH_STATUS_FEATURES_OK);
    if (bh_device_queue_enable(dev, 0, &b->queue.setup) != BH_OK)
        fail("the queue was refused");
    bh_device_set_status(dev, bh_device_status(dev) | BH_STATUS_DRIVER_OK);
    bh_pipe_pump(&b->pipe, BATCH_MAX);
    bh_drv_ring_disarm(&b->queue.ring); /* as a driver that polls */
}

/* One name for callgrind to start and stop at. */
__attribute__((noinline)) void rounds(struct bench *b, unsigned count);

void rounds(struct bench *b, unsigned count)
{
    struct bh_drv_ring *ring = &b->queue.ring;
    void *token;
    uint32_t len;

    while (count-- > 0) {
        for (unsigned i = 0; i < b->batch; i++)
            if (bh_drv_ring_add(ring, b->bufs[i], 1, PIECES - 1, b->bufs[i]) != BH_OK)
                fail("the ring is full");
        if (bh_drv_ring_kick_needed(ring))
            bh_pipe_kick(&b->pipe, 0);
        while (bh_pipe_pump(&b->pipe, BATCH_MAX)) {
        }
        for (unsigned i = 0; i < b->batch; i++)
            if (bh_drv_ring_get(ring, &token, &len) != 1 || len != 4097)
                fail("a request was not answered");
    }
}

static void usage(void)
{
    fail("usage: bench-ring split|packed direct|indirect any|in_order BATCH REQUESTS\n"
         "  BATCH: 1 to 32 requests a turn");
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct timespec from, to;
    unsigned requests;
    double ns;

    if (argc != 6)
        usage();
    bench.batch = (unsigned)strtoul(argv[4], NULL, 10);
    requests = (unsigned)strtoul(argv[5], NULL, 10);
    if (bench.batch < 1 || bench.batch > BATCH_MAX || requests < bench.batch)
        usage();
    bh_features_set(&bench.features, BH_F_VERSION_1);
    bh_features_set(&bench.features, BH_F_EVENT_IDX);
    bh_features_set(&bench.features, BH_F_INDIRECT_DESC);
    if (strcmp(argv[1], "packed") == 0)
        bh_features_set(&bench.features, BH_F_RING_PACKED);
    else if (strcmp(argv[1], "split") != 0)
        usage();
    if (strcmp(argv[3], "in_order") == 0)
        bh_features_set(&bench.features, BH_F_IN_ORDER);
    else if (strcmp(argv[3], "any") != 0)
        usage();
    set_up(&bench, strcmp(argv[2], "indirect") == 0);
    clock_gettime(CLOCK_MONOTONIC, &from);
    rounds(&bench, requests / bench.batch);
    clock_gettime(CLOCK_MONOTONIC, &to);
    ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
    printf("%s %s %s batch %u: %.0f ns a request\n", argv[1], argv[2], argv[3], bench.batch,
           ns / (requests / bench.batch * bench.batch));
    return 0;
}
