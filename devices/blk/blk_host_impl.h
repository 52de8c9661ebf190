/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blk device on a host, as blk_host.c makes it and blk_verbs_host.c changes it while it runs.
 *
 * Threading: the loop's thread.   Ownership: the instance owns everything in it.   May block: no.
 */
#ifndef DEVICES_BLK_BLK_HOST_IMPL_H
#define DEVICES_BLK_BLK_HOST_IMPL_H

#include "devices/blk/blk_host.h"
#include "devices/blk/rate_limit.h"
#include "devices/blk/store_file.h"
#include "devices/blk/store_ram.h"

struct blk_host {
    struct bh_hosted hosted;
    struct bh_blk blk;
    struct bh_rate_limit rate;
    struct bh_store *store;
    struct bh_image image;      /* of a file */
    struct bh_store_file *file; /* NULL: no file */
    struct bh_store_ram ram;    /* of --ram-size */
    struct bh_store_null null;
    uint16_t queue_count;
    struct bh_virtq *queues;
    struct bh_virtq_memory *memory;
    struct bh_blk_queue *blk_queues;
    void **blocks; /* behind `memory`, one a queue */
};

extern const struct bh_class_verb bh_blk_verbs[];

#endif
