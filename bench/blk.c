/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a disk's request costs from ring to ring, apart from the disk: the class blk over a store that does nothing.
 */
#include "devices/blk/blk.h"
#include "bench/lockstep.h"
#include "devices/blk/store_ram.h"

static struct bh_device *make(struct bh_mem *mem, const struct bh_virtq_memory *memory)
{
    static struct bh_blk blk;
    static struct bh_virtq queue;
    static struct bh_store_null null;
    static struct bh_blk_request requests[LOCKSTEP_QUEUE];
    static struct bh_blk_queue blk_queue;

    bh_store_null_init(&null, 1u << 30, false);
    blk_queue = (struct bh_blk_queue){.store = &null.store, .requests = requests};
    if (bh_blk_init(&blk, &(struct bh_blk_setup){.mem = mem,
                                                 .queues = &queue,
                                                 .memory = memory,
                                                 .blk_queues = &blk_queue,
                                                 .queue_count = 1,
                                                 .settings = {.seg_max = LOCKSTEP_SEGS - 2}}) != BH_OK)
        lockstep_fail("the disk cannot be made");
    return &blk.dev;
}

static void request(void *header, unsigned index)
{
    struct virtio_blk_req_header *read = header;

    *read = (struct virtio_blk_req_header){.type = bh_le32_of(VIRTIO_BLK_T_IN),
                                           .sector = bh_le64_of(8ull * index)};
}

int main(int argc, char **argv)
{
    return lockstep_main(argc, argv, make, request);
}
