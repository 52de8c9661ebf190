/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The good driver between hostile ones: the project's front-end, one request of the class.
 */
#include "driver/vhost_front.h"
#include "tests/fault/walk.h"

#include <string.h>

/* What a class's driver sends first: which queue, the bytes to the device, and how many it writes. */
struct request {
    const char *device_class;
    unsigned queue, out, in;
    uint32_t written; /* at least */
};
static const struct request requests[] = {
    {"rng", 0, 0, 64, 1},     {"blk", 0, 16, 513, 513}, /* IN, sector 0; status 0 */
    {"console", 1, 16, 0, 0}, {"net", 1, 74, 0, 0},     {"vsock", 1, 44, 0, 0},
};

static const struct request *request_of(const struct walk *walk)
{
    for (unsigned i = 0; i < BH_COUNT(requests); i++)
        if (!strcmp(requests[i].device_class, walk->device_class))
            return &requests[i];
    return NULL;
}

static const char *serve(struct bh_vhost_front *front, struct bh_drv_guest *guest, struct bh_drv_queue *queue,
                         const struct request *request)
{
    struct bh_drv_buf bufs[2];
    unsigned out = 0, in = 0;
    uint8_t *written = NULL;
    uint32_t len;
    void *token;
    if (request->out) {
        bufs[0].len = request->out;
        if (!bh_drv_guest_alloc(guest, request->out, 16, &bufs[0].addr))
            return "no memory for the request";
        out = 1;
    }
    if (request->in) {
        bufs[out].len = request->in;
        written = bh_drv_guest_alloc(guest, request->in, 16, &bufs[out].addr);
        if (!written)
            return "no memory for the answer";
        written[request->in - 1] = 0xee;
        in = 1;
    }
    if (bh_drv_ring_add(&queue->ring, bufs, out, in, bufs))
        return "the request does not fit in the ring";
    if (bh_vhost_front_kick(front, request->queue))
        return "a kick is refused";
    for (unsigned i = 0; i < 200; i++) {
        const int got = bh_drv_ring_get(&queue->ring, &token, &len);
        if (got < 0)
            return "the device broke the ring";
        if (got)
            return len < request->written ? "the answer is too short"
                   : request->queue == 0 && written && request->out && written[request->in - 1]
                       ? "the request failed"
                       : NULL;
        if (bh_vhost_front_wait(front, 100))
            return "the device hung up on a request";
    }
    return "a request is not answered";
}

static const char *drive(struct bh_vhost_front *front, struct bh_drv_guest *guest, bool packed,
                         const struct request *request)
{
    struct bh_features features = bh_features_of64(UINT64_C(1) << BH_F_VERSION_1);
    struct bh_drv_queue queue;
    const char *wrong;
    if (packed)
        bh_features_set(&features, BH_F_RING_PACKED);
    if (bh_vhost_front_share(front, guest))
        return "memory is refused";
    if (bh_vhost_front_set_features(front, &features))
        return "features are refused";
    if (bh_drv_queue_create(&queue, guest, 64, &features, 0))
        return "no memory for a ring";
    wrong = bh_vhost_front_queue_start(front, request->queue, &queue.setup, packed) ? "a ring does not start"
                                                                                    : NULL;
    if (!wrong && bh_vhost_front_set_status(front, 15))
        wrong = "the status is refused";
    if (!wrong)
        wrong = serve(front, guest, &queue, request);
    bh_drv_queue_destroy(&queue);
    return wrong;
}

const char *walk_good(struct walk *walk, bool packed)
{
    const struct request *request = request_of(walk);
    struct bh_vhost_front front;
    struct bh_drv_guest guest;
    const char *wrong;
    if (!request)
        return "there is no such class";
    if (bh_drv_guest_create(&guest, bh_daddr(0x40000000), 1 << 20))
        return "no memory for a guest";
    wrong = bh_vhost_front_init(&front, walk_connect(walk), walk_pick(walk, 2), ANSWER_MS) ? "no connection"
                                                                                           : NULL;
    if (!wrong) {
        wrong = drive(&front, &guest, packed, request);
        bh_vhost_front_close(&front);
    }
    bh_drv_guest_destroy(&guest);
    return wrong;
}
