/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection behind an IOMMU: when it is (ACCESS_PLATFORM was negotiated), core's memory translates through the IOTLB,
 * IOTLB_MSG changes that, and what waits for it is woken. iotlb.h tells how the cache works.
 */
#include "transports/vhost_user/iotlb.h"
#include "transports/vhost_user/request.h"

#include <stdlib.h>

static enum bh_mem_result translate(struct bh_mem *mem, const struct bh_mem_table *table, bh_daddr_t addr,
                                    uint64_t len, unsigned access, struct bh_mem_span *span)
{
    struct bh_vhost_user *server = mem->ops_owner;
    const enum bh_mem_result result =
        bh_vu_iotlb_translate(server->iotlb, table, addr.raw, len, access, span);
    if (result != BH_MEM_PENDING)
        return result;
    if (server->backend.fd < 0)
        return BH_MEM_FAULT; /* nobody can be asked */
    bh_vu_channel_flush(server);
    return BH_MEM_PENDING;
}

static const struct bh_mem_ops iommu_ops = {.translate = translate};

/* No queue runs: each forgets what it knew of memory without an IOMMU, or with another one. */
static void set_ops(struct bh_vhost_user *server, const struct bh_mem_ops *ops)
{
    server->dev->mem->ops = ops;
    server->dev->mem->ops_owner = server;
    for (unsigned i = 0; i < server->dev->queue_count; i++)
        bh_mem_view_forget(&server->dev->queues[i].view);
}

static int make_iotlb(struct bh_vhost_user *server)
{
    if (server->iotlb)
        return BH_OK;
    server->iotlb = calloc(1, sizeof(*server->iotlb));
    if (!server->iotlb)
        return BH_ERR_NOMEM;
    /* A former process's questions may be answered yet, and an answer does not say to which. */
    server->iotlb->unanswered = server->is_resumed || !bh_vu_has(server, VHOST_USER_PROTOCOL_F_REPLY_ACK);
    return BH_OK;
}

int bh_vu_iommu_apply(struct bh_vhost_user *server)
{
    const bool on = bh_device_has(server->dev, BH_F_ACCESS_PLATFORM);
    if (on == (server->dev->mem->ops != NULL))
        return BH_OK;
    if (on && make_iotlb(server))
        return BH_ERR_NOMEM;
    set_ops(server, on ? &iommu_ops : NULL);
    return BH_OK;
}

void bh_vu_iommu_flush(struct bh_vhost_user *server)
{
    if (!server->iotlb)
        return;
    server->iotlb->count = 0;
    bh_vu_iotlb_give_up(server->iotlb);
}

void bh_vu_iommu_detach(struct bh_vhost_user *server)
{
    if (server->dev->mem->ops)
        set_ops(server, NULL);
    free(server->iotlb);
    server->iotlb = NULL;
}

void bh_vu_iommu_wake(struct bh_vhost_user *server)
{
    for (unsigned i = 0; i < server->dev->queue_count; i++) {
        if (server->rings[i].started)
            bh_vu_ring_wake(&server->rings[i]);
        else
            bh_vu_ring_try_start(&server->rings[i]);
    }
}

static bool overlaps(bh_daddr_t part, uint64_t size, const struct vhost_user_iotlb *message)
{
    return part.raw <= message->iova + (message->size - 1) && part.raw + (size - 1) >= message->iova;
}

/* Rings that lie in what became invalid are looked up again, before anything more is read from them. */
static void look_again(struct bh_vhost_user *server, const struct vhost_user_iotlb *message)
{
    for (unsigned i = 0; i < server->dev->queue_count; i++) {
        struct bh_virtq *q = &server->dev->queues[i];
        const uint64_t n = q->setup.size; /* the bounds of both layouts' parts */
        if (q->life == BH_VIRTQ_STOPPED || !n)
            continue;
        if (overlaps(q->setup.desc, 16 * n, message) || overlaps(q->setup.driver, 6 + 2 * n, message) ||
            overlaps(q->setup.device, 6 + 8 * n, message)) {
            q->rings_stale = true;
            bh_virtq_adopt(q);
        }
    }
}

enum bh_vu_result bh_vu_iotlb_message(struct bh_vhost_user *server)
{
    const struct vhost_user_iotlb *message = &server->pending.iotlb;
    if (!bh_device_has(server->dev, BH_F_ACCESS_PLATFORM) || make_iotlb(server) ||
        !bh_vu_iotlb_change(server->iotlb, server->dev->mem->table, message)) {
        server->counters.refused++;
        bh_vu_say(server, "IOTLB_MSG fails: %s",
                  bh_device_has(server->dev, BH_F_ACCESS_PLATFORM)
                      ? "a translation that makes no sense, or leads outside of memory"
                      : "ACCESS_PLATFORM was not negotiated");
        return bh_vu_answer_u64(server, 1);
    }
    if (message->type == VHOST_USER_IOTLB_INVALIDATE)
        look_again(server, message);
    bh_vu_iommu_wake(server);
    return bh_vu_answer_u64(server, 0);
}
