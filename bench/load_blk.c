/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load on a disk [virtio-1.4 5.2]: reads and writes of one size, at random places or one after the other. Each
 * request has its own buffers, so that no two ever share a cache line.
 */
#include "bench/flight.h"
#include "bench/load.h"

#include "abi/virtio_blk.h"
#include <stdlib.h>
#include <string.h>

#define SECTOR      512u
#define TAIL        64u /* a request's header and status stand in a cache line of their own */
#define STATUS_AT   32u
#define MIXED_READS 70u

struct blk_slot {
    uint8_t *head; /* header, then the status byte */
    uint8_t *data;
    uint64_t stamp; /* verify: what was written last; 0: nothing yet */
};

struct bench_load {
    struct bench_flight flight;
    const struct bench_case *one;
    struct blk_slot *slots;
    uint64_t blocks; /* that the disk has */
    uint64_t next;   /* of a sequential load */
    uint64_t random;
};

/* xorshift64: the place of a request shall cost nothing and repeat in every run. */
static uint64_t draw(struct bench_load *load)
{
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return load->random;
}

static void stamp_block(const struct bench_load *load, struct blk_slot *slot, uint64_t stamp)
{
    for (uint32_t at = 0; at < load->one->block; at += sizeof(stamp)) {
        const uint64_t word = stamp + at;

        memcpy(slot->data + at, &word, sizeof(word));
    }
}

static bool stamped(const struct bench_load *load, const struct blk_slot *slot)
{
    for (uint32_t at = 0; at < load->one->block; at += sizeof(slot->stamp)) {
        const uint64_t word = slot->stamp + at;

        if (memcmp(slot->data + at, &word, sizeof(word)) != 0)
            return false;
    }
    return true;
}

/* Verify: a slot has blocks of its own, writes one, reads it back, and takes the next. */
static uint64_t verify_step(struct bench_load *load, unsigned request, bool *reads)
{
    struct blk_slot *slot = &load->slots[request];
    const unsigned slots = load->flight.queues * load->flight.depth;

    *reads = slot->stamp != 0;
    if (!*reads) {
        slot->stamp = ++load->next << 20 | request;
        stamp_block(load, slot, slot->stamp);
    } else {
        memset(slot->data, 0, load->one->block);
    }
    return (slot->stamp >> 20) % (load->blocks / slots) * slots + request;
}

static void fill(void *owner, unsigned number)
{
    struct bench_load *load = owner;
    struct bench_request *request = &load->flight.requests[number];
    struct virtio_blk_req_header *header = (void *)load->slots[number].head;
    bool reads = true;
    uint64_t block;

    switch (load->one->workload->pattern) {
    case BENCH_WRITE_RANDOM:
        reads = false;
        block = draw(load) % load->blocks;
        break;
    case BENCH_READ_NEXT:
    case BENCH_WRITE_NEXT:
        reads = load->one->workload->pattern == BENCH_READ_NEXT;
        block = load->next++ % load->blocks;
        break;
    case BENCH_VERIFY: block = verify_step(load, number, &reads); break;
    case BENCH_MIXED:
        reads = draw(load) % 100 < MIXED_READS;
        block = draw(load) % load->blocks;
        break;
    default: block = draw(load) % load->blocks;
    }
    header->type = bh_le32_of(reads ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT);
    header->sector = bh_le64_of(block * (load->one->block / SECTOR));
    load->slots[number].head[STATUS_AT] = 0xff;
    request->out_count = reads ? 1 : 2;
    request->in_count = reads ? 2 : 1;
}

static bool answered(void *owner, unsigned number, uint32_t len)
{
    struct bench_load *load = owner;
    struct blk_slot *slot = &load->slots[number];
    const bool read = load->flight.requests[number].in_count == 2;
    bool good = slot->head[STATUS_AT] == VIRTIO_BLK_S_OK;

    if (load->one->workload->pattern == BENCH_VERIFY && read) {
        good = good && stamped(load, slot);
        slot->stamp = 0;
    }
    return good;
}

/* Buffers do not move from request to request, only what they say does. */
static int lay(struct bench_load *load, struct bench_link *link)
{
    for (unsigned i = 0; i < load->flight.queues * load->flight.depth; i++) {
        struct bench_request *request = &load->flight.requests[i];
        struct blk_slot *slot = &load->slots[i];

        slot->head = bh_drv_guest_alloc(&link->guest, TAIL, TAIL, NULL);
        slot->data = bh_drv_guest_alloc(&link->guest, load->one->block, 4096, NULL);
        if (!slot->head || !slot->data)
            return BH_ERR_NOMEM;
        memset(slot->data, 1 + (int)(i % 250), load->one->block); /* in memory from now on */
        request->bufs[0] = (struct bh_drv_buf){bh_drv_guest_addr(&link->guest, slot->head),
                                               sizeof(struct virtio_blk_req_header)};
        request->bufs[1] = (struct bh_drv_buf){bh_drv_guest_addr(&link->guest, slot->data), load->one->block};
        request->bufs[2] = (struct bh_drv_buf){bh_drv_guest_addr(&link->guest, slot->head + STATUS_AT), 1};
        request->bytes = load->one->block;
    }
    return BH_OK;
}

static uint64_t memory(const struct bench_case *one)
{
    const uint64_t slots = (uint64_t)one->queues * one->depth;

    return slots * (one->block + 2 * 4096ull) + one->queues * (1ull << 20);
}

static void stop(struct bench_load *load)
{
    bench_flight_destroy(&load->flight);
    free(load->slots);
    free(load);
}

/* The next power of 2 that holds the depth even where buffers are chained and not behind a table. */
static uint16_t queue_size(const struct bench_case *one)
{
    uint16_t size = 128;

    while (size < 4 * one->depth && size < 1024)
        size *= 2;
    return size;
}

static int start(struct bench_load **made, struct bench_link *links, const struct bench_case *one)
{
    struct bench_load *load = calloc(1, sizeof(*load));
    struct bh_features extra = {{0}};
    bh_le64 capacity;
    int err;

    if (!load)
        return BH_ERR_NOMEM;
    load->one = one;
    load->random = 0x9e3779b97f4a7c15ull;
    load->slots = calloc((size_t)one->queues * one->depth, sizeof(*load->slots));
    err = load->slots ? bench_flight_create(&load->flight, links, 0, one->queues, one->depth) : BH_ERR_NOMEM;
    load->flight.fill = fill;
    load->flight.answered = answered;
    load->flight.owner = load;
    if (one->queues > 1)
        bh_features_set(&extra, VIRTIO_BLK_F_MQ);
    if (!err)
        err = bench_link_start(links, one, extra, one->queues, queue_size(one));
    if (!err)
        err = bh_vhost_front_config_read(&links->front, 0, &capacity, sizeof(capacity));
    if (!err)
        err = lay(load, links);
    if (!err) {
        load->blocks = bh_le64_get(capacity) * SECTOR / one->block;
        if (load->blocks < (uint64_t)one->queues * one->depth)
            err = BH_ERR_RANGE;
    }
    if (err) {
        stop(load);
        return err;
    }
    *made = load;
    return BH_OK;
}

static int run(struct bench_load *load, const struct bench_limit *limit, struct bench_tally *tally)
{
    return bench_flight_run(&load->flight, limit, tally);
}

const struct bench_load_ops bench_load_blk = {
    .class_name = "blk", .links = 1, .memory = memory, .start = start, .run = run, .stop = stop};
