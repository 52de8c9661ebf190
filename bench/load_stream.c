/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads whose every request is one buffer that goes to the device, or comes back filled: entropy [virtio-1.4 5.4], what
 * a console prints [virtio-1.4 5.3], frames that a network card sends [virtio-1.4 5.1].
 */
#include "bench/flight.h"
#include "bench/load.h"

#include "abi/virtio_console.h"
#include "abi/virtio_net.h"
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE 256u

struct stream_kind {
    const struct bench_load_ops *ops;
    unsigned queue, queue_count;
    bool fills;    /* the device writes into the buffer */
    uint32_t head; /* bytes before what counts */
};

static const struct stream_kind kinds[] = {
    {&bench_load_rng, 0, 1, true, 0},
    {&bench_load_console, 1, 2, false, 0},
    {&bench_load_net, VIRTIO_NET_TRANSMITQ, 2, false, sizeof(struct virtio_net_hdr)},
};

struct bench_load {
    struct bench_flight flight;
    const struct stream_kind *kind;
    uint32_t block;
};

static const struct stream_kind *kind_of(const struct bench_case *one)
{
    const struct stream_kind *kind = kinds;

    while (kind->ops != one->workload->load)
        kind++;
    return kind;
}

/*
 * Entropy may come in parts, but never nothing. The length of what was sent says nothing in a packed ring
 * [virtio-1.4 2.8, "Element Address and Length"].
 */
static bool answered(void *owner, unsigned number, uint32_t len)
{
    const struct bench_load *load = owner;

    if (!load->kind->fills)
        return true;
    load->flight.requests[number].bytes = len;
    return len > 0 && len <= load->block;
}

static int lay(struct bench_load *load, struct bench_link *link)
{
    for (unsigned i = 0; i < load->flight.depth; i++) {
        struct bench_request *request = &load->flight.requests[i];
        const uint32_t bytes = load->kind->head + load->block;
        uint8_t *buffer = bh_drv_guest_alloc(&link->guest, bytes, 64, NULL);

        if (!buffer)
            return BH_ERR_NOMEM;
        memset(buffer + load->kind->head, 'a' + (int)(i % 26), load->block);
        if (load->kind->ops == &bench_load_net)
            bench_frame_lay(buffer + load->kind->head, load->block);
        request->bufs[0] = (struct bh_drv_buf){bh_drv_guest_addr(&link->guest, buffer), bytes};
        request->out_count = !load->kind->fills;
        request->in_count = load->kind->fills;
        request->bytes = load->block;
    }
    return BH_OK;
}

static uint64_t memory(const struct bench_case *one)
{
    return one->depth * (one->block + 128ull) + (1ull << 20);
}

static void stop(struct bench_load *load)
{
    bench_flight_destroy(&load->flight);
    free(load);
}

static int start(struct bench_load **made, struct bench_link *links, const struct bench_case *one)
{
    struct bench_load *load = calloc(1, sizeof(*load));
    const struct bh_features extra = {{0}};
    int err;

    if (!load)
        return BH_ERR_NOMEM;
    load->kind = kind_of(one);
    load->block = one->block;
    err = bench_flight_create(&load->flight, links, load->kind->queue, 1, one->depth);
    load->flight.answered = answered;
    load->flight.owner = load;
    if (!err)
        err = bench_link_start(links, one, extra, load->kind->queue_count, QUEUE_SIZE);
    if (!err)
        err = lay(load, links);
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

const struct bench_load_ops bench_load_rng = {
    .class_name = "rng", .links = 1, .memory = memory, .start = start, .run = run, .stop = stop};
const struct bench_load_ops bench_load_console = {
    .class_name = "console", .links = 1, .memory = memory, .start = start, .run = run, .stop = stop};
const struct bench_load_ops bench_load_net = {
    .class_name = "net", .links = 1, .memory = memory, .start = start, .run = run, .stop = stop};
