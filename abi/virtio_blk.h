/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk on the wire [virtio-1.4 5.2]: feature bits, config space, request header, status values.
 *
 * Threading: pure.   Ownership: none.   May block: no.
 */
#ifndef ABI_VIRTIO_BLK_H
#define ABI_VIRTIO_BLK_H

#include <bulkhead/base.h>

#define VIRTIO_ID_BLK 2u

/* [virtio-1.4 5.2.3] */
enum virtio_blk_feature {
    VIRTIO_BLK_F_SIZE_MAX = 1,
    VIRTIO_BLK_F_SEG_MAX = 2,
    VIRTIO_BLK_F_GEOMETRY = 4,
    VIRTIO_BLK_F_RO = 5,
    VIRTIO_BLK_F_BLK_SIZE = 6,
    VIRTIO_BLK_F_FLUSH = 9,
    VIRTIO_BLK_F_TOPOLOGY = 10,
    VIRTIO_BLK_F_CONFIG_WCE = 11,
    VIRTIO_BLK_F_MQ = 12,
    VIRTIO_BLK_F_DISCARD = 13,
    VIRTIO_BLK_F_WRITE_ZEROES = 14,
    VIRTIO_BLK_F_LIFETIME = 15,
    VIRTIO_BLK_F_SECURE_ERASE = 16,
    VIRTIO_BLK_F_ZONED = 17,
};

/* [virtio-1.4 5.2.4], up to the fields of SECURE_ERASE; what follows belongs to ZONED, which is not offered. */
struct virtio_blk_config {
    bh_le64 capacity; /* in sectors of 512 bytes, whatever blk_size says */
    bh_le32 size_max;
    bh_le32 seg_max;
    bh_le16 geometry_cylinders;
    uint8_t geometry_heads;
    uint8_t geometry_sectors;
    bh_le32 blk_size;
    uint8_t topology_physical_block_exp;
    uint8_t topology_alignment_offset;
    bh_le16 topology_min_io_size;
    bh_le32 topology_opt_io_size;
    uint8_t writeback;
    uint8_t unused0;
    bh_le16 num_queues;
    bh_le32 max_discard_sectors;
    bh_le32 max_discard_seg;
    bh_le32 discard_sector_alignment;
    bh_le32 max_write_zeroes_sectors;
    bh_le32 max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap;
    uint8_t unused1[3];
    bh_le32 max_secure_erase_sectors;
    bh_le32 max_secure_erase_seg;
    bh_le32 secure_erase_sector_alignment;
};
_Static_assert(offsetof(struct virtio_blk_config, blk_size) == 20, "[virtio-1.4 5.2.4]");
_Static_assert(offsetof(struct virtio_blk_config, writeback) == 32, "[virtio-1.4 5.2.4]");
_Static_assert(offsetof(struct virtio_blk_config, num_queues) == 34, "[virtio-1.4 5.2.4]");
_Static_assert(offsetof(struct virtio_blk_config, max_discard_sectors) == 36, "[virtio-1.4 5.2.4]");
_Static_assert(offsetof(struct virtio_blk_config, write_zeroes_may_unmap) == 56, "[virtio-1.4 5.2.4]");
_Static_assert(offsetof(struct virtio_blk_config, max_secure_erase_sectors) == 60, "[virtio-1.4 5.2.4]");
#define VIRTIO_BLK_CONFIG_SIZE 72u
_Static_assert(sizeof(struct virtio_blk_config) == VIRTIO_BLK_CONFIG_SIZE, "[virtio-1.4 5.2.4]");

/* [virtio-1.4 5.2.6] */
enum virtio_blk_type {
    VIRTIO_BLK_T_IN = 0,
    VIRTIO_BLK_T_OUT = 1,
    VIRTIO_BLK_T_FLUSH = 4,
    VIRTIO_BLK_T_GET_ID = 8,
    VIRTIO_BLK_T_GET_LIFETIME = 10,
    VIRTIO_BLK_T_DISCARD = 11,
    VIRTIO_BLK_T_WRITE_ZEROES = 13,
    VIRTIO_BLK_T_SECURE_ERASE = 14,
};

enum virtio_blk_status {
    VIRTIO_BLK_S_OK = 0,
    VIRTIO_BLK_S_IOERR = 1,
    VIRTIO_BLK_S_UNSUPP = 2,
};

struct virtio_blk_req_header {
    bh_le32 type;
    bh_le32 reserved;
    bh_le64 sector;
};
_Static_assert(sizeof(struct virtio_blk_req_header) == 16, "[virtio-1.4 5.2.6]");

/* The data of DISCARD, WRITE_ZEROES and SECURE_ERASE. */
struct virtio_blk_discard_write_zeroes {
    bh_le64 sector;
    bh_le32 num_sectors;
    bh_le32 flags;
};
_Static_assert(sizeof(struct virtio_blk_discard_write_zeroes) == 16, "[virtio-1.4 5.2.6]");
#define VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP 1u

/* The data of GET_LIFETIME. 0 is undefined; pre_eol_info goes to 3, the others to 11, what is above is reserved. */
struct virtio_blk_lifetime {
    bh_le16 pre_eol_info;
    bh_le16 device_lifetime_est_typ_a;
    bh_le16 device_lifetime_est_typ_b;
};
_Static_assert(sizeof(struct virtio_blk_lifetime) == 6, "[virtio-1.4 5.2.6]");
#define VIRTIO_BLK_PRE_EOL_INFO_MAX 3u
#define VIRTIO_BLK_LIFETIME_EST_MAX 11u

#define VIRTIO_BLK_SECTOR_SIZE 512u
#define VIRTIO_BLK_ID_BYTES    20u

#endif
