/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-flight records that a vhost-user front-end keeps for its back-end [vhost-user, "Inflight I/O
 * tracking"]. Fields are in the machine's byte order: both ends run on it. Only what both sides agree on.
 *
 * Threading: none.   Ownership: none.   May block: no.
 */
#ifndef ABI_VHOST_USER_INFLIGHT_H
#define ABI_VHOST_USER_INFLIGHT_H

#include <bulkhead/base.h>

#define VHOST_USER_INFLIGHT_VERSION 1u /* 0: not initialised */

struct vhost_user_desc_state_split {
    uint8_t inflight; /* heads only */
    uint8_t padding[5];
    uint16_t next;    /* the batch used last, linked */
    uint64_t counter; /* order of fetching; heads only */
};
_Static_assert(sizeof(struct vhost_user_desc_state_split) == 16, "DescStateSplit");

struct vhost_user_queue_region_split {
    uint64_t features; /* 0 */
    uint16_t version;
    uint16_t desc_num;
    uint16_t last_batch_head;
    uint16_t used_idx;
    struct vhost_user_desc_state_split desc[];
};
_Static_assert(offsetof(struct vhost_user_queue_region_split, desc) == 16, "QueueRegionSplit");

struct vhost_user_desc_state_packed {
    uint8_t inflight; /* heads only */
    uint8_t padding;
    uint16_t next;    /* next free entry, or next of the same chain */
    uint16_t last;    /* last entry of the chain; heads only */
    uint16_t num;     /* entries of the chain; heads only */
    uint64_t counter; /* order of fetching; heads only */
    uint16_t id;
    uint16_t flags;
    uint32_t len;
    uint64_t addr;
};
_Static_assert(sizeof(struct vhost_user_desc_state_packed) == 32, "DescStatePacked");

struct vhost_user_queue_region_packed {
    uint64_t features; /* 0 */
    uint16_t version;
    uint16_t desc_num;
    uint16_t free_head;
    uint16_t old_free_head;
    uint16_t used_idx;
    uint16_t old_used_idx;
    uint8_t used_wrap_counter;
    uint8_t old_used_wrap_counter;
    uint8_t padding[7];
    struct vhost_user_desc_state_packed desc[];
};
/* 29 bytes of fields, then the entries at the next multiple of 8. */
_Static_assert(offsetof(struct vhost_user_queue_region_packed, desc) == 32, "QueueRegionPacked");

#endif
