/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class blk on a host: its options, and the entry of its table through which programs make one.
 *
 * Threading: see impl/hosted_class.h.   Ownership: the tables are static.   May block: create may.
 */
#ifndef DEVICES_BLK_BLK_HOST_H
#define DEVICES_BLK_BLK_HOST_H

#include <bulkhead/impl/hosted_class.h>

/* What blk_options_table fills. Sizes are bytes; 0 and NULL: not given. */
struct bh_blk_options {
    char *blk_file;
    uint64_t ram_size, null_size;
    bool read_only;
    int cache; /* enum bh_image_cache */
    int aio;   /* enum bh_aio */
    char *serial;
    uint64_t num_queues, queue_size;
    uint64_t seg_max, size_max;
    uint64_t block_size, physical_block_size, min_io_size, opt_io_size;
    bool discard;
    uint64_t iops, bandwidth;
};

extern const struct bh_option bh_blk_option_table[];
extern const struct bh_hosted_class bh_blk_hosted;

#endif
