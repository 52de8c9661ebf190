/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load on two network cards that are joined behind their devices: frames go in at one and come out at the other.
 *
 * Theory of operation
 *   At most `depth` frames are between the two sides: each that arrives makes room for the next, so that nothing in
 * between overflows, and what is measured is what passes. A frame carries the time at which it was sent. One that does
 * not arrive for LOST_NS is given up, counts as a failure, and makes room too. Each run begins with a frame the other way:
 * what is between the two learns from it where the receiver is, as it does of guests that talk.
 */
#include "bench/load.h"

#include "abi/virtio_net.h"
#include <stdlib.h>
#include <string.h>

#define QUEUE_SIZE 256u
#define HELLO      64u
#define HEAD       ((uint32_t)sizeof(struct virtio_net_hdr))
#define ROOM       64u /* a received frame may be larger than ours: others speak on a network too */
#define LOST_NS    500000000ull
#define STAMP_AT   (HEAD + 16u) /* behind the Ethernet header, aligned */

struct bench_load {
    struct bench_link *from, *to;
    uint32_t block;
    unsigned depth;
    uint8_t *sent[QUEUE_SIZE]; /* the buffers to send from that are free */
    unsigned free_count;
    uint8_t *hello, *heard; /* a frame of the receiver's, and where the sender takes it */
    bool announced;
};

static int receive_into(struct bench_load *load, void *buffer)
{
    const struct bh_drv_buf piece = {bh_drv_guest_addr(&load->to->guest, buffer), HEAD + load->block + ROOM};

    return bh_drv_ring_add(&load->to->queue[VIRTIO_NET_RECEIVEQ].ring, &piece, 0, 1, buffer);
}

static int lay(struct bench_load *load)
{
    int err = BH_OK;

    for (unsigned i = 0; i < QUEUE_SIZE && !err; i++) {
        void *buffer = bh_drv_guest_alloc(&load->to->guest, HEAD + load->block + ROOM, 64, NULL);

        err = buffer ? receive_into(load, buffer) : BH_ERR_NOMEM;
    }
    for (unsigned i = 0; i < load->depth && !err; i++) {
        uint8_t *buffer = bh_drv_guest_alloc(&load->from->guest, HEAD + load->block, 64, NULL);

        if (!buffer)
            return BH_ERR_NOMEM;
        bench_frame_lay(buffer + HEAD, load->block);
        load->sent[load->free_count++] = buffer;
    }
    if (!err)
        bench_link_kick(load->to, VIRTIO_NET_RECEIVEQ);
    load->hello = bh_drv_guest_alloc(&load->to->guest, HEAD + HELLO, 64, NULL);
    load->heard = bh_drv_guest_alloc(&load->from->guest, HEAD + HELLO + ROOM, 64, NULL);
    if (!load->hello || !load->heard)
        return BH_ERR_NOMEM;
    bench_frame_answer(load->hello + HEAD, HELLO);
    return err;
}

/* The receiver says where it is; the frame of the run before is back, or still on its way out, and then it is enough. */
static int announce(struct bench_load *load)
{
    struct bh_drv_ring *out = &load->to->queue[VIRTIO_NET_TRANSMITQ].ring;
    struct bh_drv_ring *in = &load->from->queue[VIRTIO_NET_RECEIVEQ].ring;
    const struct bh_drv_buf said = {bh_drv_guest_addr(&load->to->guest, load->hello), HEAD + HELLO};
    const struct bh_drv_buf taken = {bh_drv_guest_addr(&load->from->guest, load->heard), HEAD + HELLO + ROOM};
    uint32_t len;
    void *token;
    int err = BH_OK, heard = bh_drv_ring_get(in, &token, &len), sent = bh_drv_ring_get(out, &token, &len);

    if (heard < 0 || sent < 0)
        return BH_ERR_PROTO;
    if (heard == 1 || !load->announced)
        err = bh_drv_ring_add(in, &taken, 0, 1, load->heard);
    if (!err && (sent == 1 || !load->announced))
        err = bh_drv_ring_add(out, &said, 1, 0, load->hello);
    load->announced = true;
    bench_link_kick(load->from, VIRTIO_NET_RECEIVEQ);
    bench_link_kick(load->to, VIRTIO_NET_TRANSMITQ);
    return err;
}

static uint64_t memory(const struct bench_case *one)
{
    return QUEUE_SIZE * (one->block + 256ull) + (1ull << 20);
}

static void stop(struct bench_load *load)
{
    free(load);
}

static int start(struct bench_load **made, struct bench_link *links, const struct bench_case *one)
{
    const struct bh_features extra = {{0}};
    struct bench_load *load;
    int err = BH_OK;

    if (one->depth > QUEUE_SIZE / 2 || one->block < STAMP_AT + sizeof(uint64_t) - HEAD)
        return BH_ERR_RANGE;
    load = calloc(1, sizeof(*load));
    if (!load)
        return BH_ERR_NOMEM;
    *load = (struct bench_load){.from = &links[0], .to = &links[1], .block = one->block, .depth = one->depth};
    for (unsigned i = 0; i < 2 && !err; i++)
        err = bench_link_start(&links[i], one, extra, 2, QUEUE_SIZE);
    if (!err)
        err = lay(load);
    if (err) {
        stop(load);
        return err;
    }
    *made = load;
    return BH_OK;
}

/* --- a run --------------------------------------------------------------------------------------------------- */

struct pass {
    struct bench_load *load;
    struct bench_tally *tally;
    uint64_t sent, moved; /* frames made available; when the last one arrived */
    unsigned between;     /* sent, and not received yet */
};

/* Take back what the device has sent. */
static int reclaim(struct bench_load *load)
{
    void *token;
    uint32_t len;
    int got;

    while ((got = bh_drv_ring_get(&load->from->queue[VIRTIO_NET_TRANSMITQ].ring, &token, &len)) == 1)
        load->sent[load->free_count++] = token;
    return got;
}

/* Fill the window. */
static int send_frames(struct pass *pass, uint64_t most)
{
    struct bench_load *load = pass->load;
    const uint64_t now = bench_now();
    const uint64_t before = pass->sent;
    int err = reclaim(load);

    while (!err && pass->between < load->depth && load->free_count && pass->sent < most) {
        uint8_t *buffer = load->sent[--load->free_count];
        const struct bh_drv_buf piece = {bh_drv_guest_addr(&load->from->guest, buffer), HEAD + load->block};

        memcpy(buffer + STAMP_AT, &now, sizeof(now));
        err = bh_drv_ring_add(&load->from->queue[VIRTIO_NET_TRANSMITQ].ring, &piece, 1, 0, buffer);
        pass->sent++;
        pass->between++;
    }
    if (pass->sent != before)
        bench_link_kick(load->from, VIRTIO_NET_TRANSMITQ);
    return err;
}

/* Frames of ours that came; what else passes on the network is let by. */
static int receive_frames(struct pass *pass)
{
    struct bench_load *load = pass->load;
    struct bh_drv_ring *ring = &load->to->queue[VIRTIO_NET_RECEIVEQ].ring;
    unsigned count = 0, ours = 0;
    uint64_t now = 0;
    uint32_t len;
    void *token;
    int got = 0, err = BH_OK;

    while (count < load->depth && !err && (got = bh_drv_ring_get(ring, &token, &len)) == 1) {
        if (count++ == 0)
            now = bench_now();
        if (len >= HEAD + load->block && bench_frame_ours((uint8_t *)token + HEAD)) {
            uint64_t since;

            memcpy(&since, (uint8_t *)token + STAMP_AT, sizeof(since));
            bench_histogram_add(&pass->tally->latency, now - since);
            pass->tally->requests++;
            pass->tally->bytes += load->block;
            pass->between -= pass->between > 0;
            pass->moved = now;
            ours++;
        }
        err = receive_into(load, token);
    }
    if (count)
        bench_link_kick(load->to, VIRTIO_NET_RECEIVEQ);
    return got < 0 ? got : err ? err : (int)ours;
}

/* What is still between the two after a long time is lost. */
static void give_up(struct pass *pass, uint64_t now)
{
    if (pass->between == 0 || now < pass->moved + LOST_NS)
        return;
    pass->tally->failures += pass->between;
    pass->between = 0;
    pass->moved = now;
}

static int pass_frames(struct pass *pass, const struct bench_limit *limit, uint64_t since)
{
    const uint64_t most = limit->requests ? limit->requests : UINT64_MAX;
    int err = BH_OK;

    while (!err) {
        const uint64_t now = bench_now();
        const bool ending = bench_stopped || now - since >= limit->duration_ns || pass->sent >= most;
        int got = receive_frames(pass);

        if (got < 0)
            return got;
        give_up(pass, now);
        if (ending && pass->between == 0)
            break;
        if (!ending && !(limit->lockstep && pass->between))
            err = send_frames(pass, most);
        if (!err && got == 0)
            err = bench_link_rest(pass->load->to, 1u << VIRTIO_NET_RECEIVEQ);
    }
    return err ? err : reclaim(pass->load);
}

static int run(struct bench_load *load, const struct bench_limit *limit, struct bench_tally *tally)
{
    const uint64_t since = bench_now();
    struct pass pass = {.load = load, .tally = tally, .moved = since};
    int err;

    for (unsigned i = 0; i < 2; i++) {
        struct bench_link *link = i ? load->to : load->from;

        bench_link_count_calls(link);
        link->kicks = link->calls = 0;
    }
    err = announce(load);
    if (!err)
        err = pass_frames(&pass, limit, since);
    tally->elapsed_ns = bench_now() - since;
    bench_link_count_calls(load->from);
    bench_link_count_calls(load->to);
    tally->kicks = load->from->kicks + load->to->kicks;
    tally->calls = load->from->calls + load->to->calls;
    return !err && bench_stopped ? BH_ERR_CANCELLED : err;
}

const struct bench_load_ops bench_load_pair = {
    .class_name = "net", .links = 2, .memory = memory, .start = start, .run = run, .stop = stop};
