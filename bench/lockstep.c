/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lockstep.
 */
#include "bench/lockstep.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct lockstep {
    struct bh_device *dev;
    struct bh_mem mem;
    struct bh_mem_region region;
    struct bh_mem_table table;
    struct bh_pipe pipe;
    struct bh_drv_guest guest;
    struct bh_drv_queue queue;
    struct bh_features features;
    struct bh_drv_buf bufs[LOCKSTEP_BATCH][LOCKSTEP_PIECES];
    unsigned batch;
};

void lockstep_fail(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void make_guest(struct lockstep *l)
{
    if (bh_drv_guest_create(&l->guest, bh_daddr(0x40000000), 1u << 20) != BH_OK)
        lockstep_fail("no memory");
    l->region = (struct bh_mem_region){
        .base = l->guest.base,
        .size = l->guest.size,
        .host = l->guest.host,
        .access = BH_MEM_READ | BH_MEM_WRITE,
    };
    l->table = (struct bh_mem_table){&l->region, 1};
    bh_mem_init(&l->mem, NULL);
    bh_mem_publish(&l->mem, &l->table);
}

static void make_requests(struct lockstep *l, void (*request)(void *header, unsigned index))
{
    const uint32_t lens[LOCKSTEP_PIECES] = {16, 4096, 1};

    for (unsigned i = 0; i < LOCKSTEP_BATCH; i++) {
        for (unsigned p = 0; p < LOCKSTEP_PIECES; p++) {
            void *at = bh_drv_guest_alloc(&l->guest, lens[p], 16, &l->bufs[i][p].addr);

            if (!at)
                lockstep_fail("no guest memory");
            l->bufs[i][p].len = lens[p];
            if (p == 0 && request)
                request(at, i);
        }
    }
}

static void go_live(struct lockstep *l)
{
    uint8_t status = BH_STATUS_ACKNOWLEDGE | BH_STATUS_DRIVER;

    bh_pipe_attach(&l->pipe, l->dev);
    bh_device_set_status(l->dev, status);
    if (bh_device_accept(l->dev, &l->features) != BH_OK)
        lockstep_fail("the features were refused");
    bh_device_set_status(l->dev, status | BH_STATUS_FEATURES_OK);
    if (bh_device_queue_enable(l->dev, 0, &l->queue.setup) != BH_OK)
        lockstep_fail("the queue was refused");
    bh_device_set_status(l->dev, bh_device_status(l->dev) | BH_STATUS_DRIVER_OK);
    bh_pipe_pump(&l->pipe, LOCKSTEP_BATCH);
    bh_drv_ring_disarm(&l->queue.ring); /* as a driver that polls */
}

/* One name for callgrind to start and stop at. */
__attribute__((noinline)) void rounds(struct lockstep *l, unsigned count);

void rounds(struct lockstep *l, unsigned count)
{
    struct bh_drv_ring *ring = &l->queue.ring;
    void *token;
    uint32_t len;

    while (count-- > 0) {
        for (unsigned i = 0; i < l->batch; i++)
            if (bh_drv_ring_add(ring, l->bufs[i], 1, LOCKSTEP_PIECES - 1, l->bufs[i]) != BH_OK)
                lockstep_fail("the ring is full");
        if (bh_drv_ring_kick_needed(ring))
            bh_pipe_kick(&l->pipe, 0);
        while (bh_pipe_pump(&l->pipe, LOCKSTEP_BATCH)) {
        }
        for (unsigned i = 0; i < l->batch; i++)
            if (bh_drv_ring_get(ring, &token, &len) != 1 || len != LOCKSTEP_LEN)
                lockstep_fail("a request was not answered");
    }
}

static bool is(const char *word, const char *yes, const char *no)
{
    if (strcmp(word, yes) != 0 && strcmp(word, no) != 0)
        lockstep_fail("usage: split|packed direct|indirect any|in_order BATCH REQUESTS\n"
                      "  BATCH: 1 to 32 requests a turn");
    return strcmp(word, yes) == 0;
}

int lockstep_main(int argc, char **argv,
                  struct bh_device *(*make)(struct bh_mem *mem, const struct bh_virtq_memory *memory),
                  void (*request)(void *header, unsigned index))
{
    static struct lockstep l;
    struct bh_virtq_memory memory;
    const size_t bytes = bh_virtq_memory_bytes(LOCKSTEP_QUEUE, LOCKSTEP_QUEUE, LOCKSTEP_SEGS);
    void *block = calloc(1, bytes);
    struct timespec from, to;
    unsigned turns;
    bool indirect;
    double ns;

    if (!block)
        lockstep_fail("no memory");
    l.batch = argc == 6 ? (unsigned)strtoul(argv[4], NULL, 10) : 0;
    turns = l.batch ? (unsigned)strtoul(argv[5], NULL, 10) / l.batch : 0;
    if (l.batch < 1 || l.batch > LOCKSTEP_BATCH || turns < 1)
        (void)is("", "split", "packed");
    bh_features_set(&l.features, BH_F_VERSION_1);
    bh_features_set(&l.features, BH_F_EVENT_IDX);
    bh_features_set(&l.features, BH_F_INDIRECT_DESC);
    if (is(argv[1], "packed", "split"))
        bh_features_set(&l.features, BH_F_RING_PACKED);
    indirect = is(argv[2], "indirect", "direct");
    if (is(argv[3], "in_order", "any"))
        bh_features_set(&l.features, BH_F_IN_ORDER);
    make_guest(&l);
    bh_virtq_memory_place(&memory, block, LOCKSTEP_QUEUE, LOCKSTEP_QUEUE, LOCKSTEP_SEGS);
    l.dev = make(&l.mem, &memory);
    if (bh_drv_queue_create(&l.queue, &l.guest, LOCKSTEP_QUEUE, &l.features,
                            indirect ? LOCKSTEP_PIECES : 0) != BH_OK)
        lockstep_fail("no memory for the queue");
    make_requests(&l, request);
    go_live(&l);
    clock_gettime(CLOCK_MONOTONIC, &from);
    rounds(&l, turns);
    clock_gettime(CLOCK_MONOTONIC, &to);
    ns = (double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec);
    printf("%s %s %s batch %u: %.0f ns a request\n", argv[1], argv[2], argv[3], l.batch,
           ns / (turns * l.batch));
    return 0;
}
