/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See link.h.
 */
#include "bench/link.h"

#include "abi/virtio_ring.h"
#include <string.h>
#include <sys/eventfd.h>

#define ANSWER_MS  20000
#define GUEST_BASE 0x40000000u
#define HUGE_PAGE  (2ull << 20) /* back-ends that register memory with a device do so by these */
#define TABLE      4u
#define LOOK_EVERY (1u << 20)
#define REST_MS    100

int bench_link_open(struct bench_link *link, int fd, uint64_t memory)
{
    int err = bh_drv_guest_create(&link->guest, bh_daddr(GUEST_BASE), (memory / HUGE_PAGE + 2) * HUGE_PAGE);

    if (err)
        return err;
    err = bh_vhost_front_init(&link->front, fd, false, ANSWER_MS);
    if (err) {
        bh_drv_guest_destroy(&link->guest);
        return err;
    }
    err = bh_vhost_front_share(&link->front, &link->guest);
    if (err)
        bench_link_close(link);
    return err;
}

void bench_link_close(struct bench_link *link)
{
    bh_vhost_front_close(&link->front);
    for (unsigned i = 0; i < link->queue_count; i++)
        bh_drv_queue_destroy(&link->queue[i]);
    link->queue_count = 0;
    bh_drv_guest_destroy(&link->guest);
}

static int negotiate(struct bench_link *link, const struct bench_case *one, struct bh_features extra)
{
    const struct bh_features offered = bh_vhost_front_features(&link->front);
    struct bh_features wanted = extra;

    bh_features_set(&wanted, BH_F_VERSION_1);
    if (one->packed)
        bh_features_set(&wanted, BH_F_RING_PACKED);
    if (one->event_idx)
        bh_features_set(&wanted, BH_F_EVENT_IDX);
    if (one->indirect)
        bh_features_set(&wanted, BH_F_INDIRECT_DESC);
    if (one->in_order)
        bh_features_set(&wanted, BH_F_IN_ORDER);
    for (unsigned i = 0; i < BH_FEATURE_WORDS; i++)
        link->features.word[i] = wanted.word[i] & offered.word[i];
    if (one->packed && !bh_features_has(&link->features, BH_F_RING_PACKED))
        return BH_ERR_UNSUPPORTED;
    return bh_vhost_front_negotiate(&link->front, &link->features);
}

int bench_link_start(struct bench_link *link, const struct bench_case *one, struct bh_features extra,
                     unsigned queue_count, uint16_t queue_size)
{
    int err;

    if (queue_count > link->front.queue_count || queue_count > BENCH_QUEUES)
        return BH_ERR_UNSUPPORTED;
    err = negotiate(link, one, extra);
    link->polling = one->polling;
    for (unsigned i = 0; i < queue_count && !err; i++) {
        err = bh_drv_queue_create(&link->queue[i], &link->guest, queue_size, &link->features, TABLE);
        if (!err) {
            link->queue_count++;
            bh_drv_ring_disarm(&link->queue[i].ring);
            err = bh_vhost_front_queue_start(&link->front, i, &link->queue[i].setup,
                                             bh_features_has(&link->features, BH_F_RING_PACKED));
        }
        if (!err) /* a ring starts with its first kick [vhost-user, "Ring states"] */
            err = bh_vhost_front_kick(&link->front, i);
    }
    return err ? err : bh_vhost_front_driver_ok(&link->front);
}

void bench_link_count_calls(struct bench_link *link)
{
    for (unsigned i = 0; i < link->queue_count; i++) {
        eventfd_t calls;

        if (eventfd_read(link->front.queue[i].call, &calls) == 0)
            link->calls += calls;
    }
}

/* Sleep until a queue of the set was called for, or the connection ends. */
static int wait_for(struct bench_link *link, uint32_t queues, int timeout_ms)
{
    struct pollfd wait[BENCH_QUEUES + 1 + BH_COUNT(link->extra)];
    nfds_t count = 0, calls_end;

    wait[count++] = (struct pollfd){link->front.fd, 0, 0};
    for (unsigned i = 0; i < link->queue_count; i++)
        if (queues >> i & 1u)
            wait[count++] = (struct pollfd){link->front.queue[i].call, POLLIN, 0};
    calls_end = count;
    for (unsigned i = 0; i < link->extra_count; i++)
        wait[count++] = link->extra[i];
    (void)poll(wait, count, timeout_ms);
    if (wait[0].revents & (POLLHUP | POLLERR))
        return BH_ERR_CLOSED;
    for (nfds_t i = 1; i < calls_end; i++) {
        eventfd_t calls;

        if ((wait[i].revents & POLLIN) && eventfd_read(wait[i].fd, &calls) == 0)
            link->calls += calls;
    }
    return BH_OK;
}

int bench_link_rest(struct bench_link *link, uint32_t queues)
{
    bool ready = false;
    int err = BH_OK;

    if (link->polling)
        return ++link->idle % LOOK_EVERY ? BH_OK : wait_for(link, 0, 0);
    for (unsigned i = 0; i < link->queue_count; i++)
        if (queues >> i & 1u)
            ready |= bh_drv_ring_arm(&link->queue[i].ring);
    if (!ready)
        err = wait_for(link, queues, REST_MS);
    for (unsigned i = 0; i < link->queue_count; i++)
        if (queues >> i & 1u)
            bh_drv_ring_disarm(&link->queue[i].ring);
    return err;
}
