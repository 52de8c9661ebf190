/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the core alone costs: a device that answers each chain at once.
 */
#include "bench/lockstep.h"

#include <bulkhead/impl/class.h>

static struct bh_features features(const struct bh_device *dev)
{
    return bh_class_ring_features();
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct bh_chain *chains[LOCKSTEP_BATCH];

    for (;;) {
        int count = bh_virtq_pop(q, chains, LOCKSTEP_BATCH);

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

static struct bh_device *make(struct bh_mem *mem, const struct bh_virtq_memory *memory)
{
    static struct bh_device dev;
    static struct bh_virtq queue;

    bh_device_init(&dev, &answerer_class, mem, &queue, memory, 1);
    return &dev;
}

int main(int argc, char **argv)
{
    return lockstep_main(argc, argv, make, NULL);
}
