/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vhost-user messages from bytes: which requests exist, what payload and how many fds each brings, and whether it is
 * answered with more than an acknowledgement. A pure parser; nothing here touches a socket or a device.
 *
 * Threading: pure.   Ownership: bytes are the caller's, results are copies.   May block: no.
 */
#ifndef TRANSPORTS_VHOST_USER_CODEC_H
#define TRANSPORTS_VHOST_USER_CODEC_H

#include <abi/vhost_user.h>
#include <bulkhead/base.h>
#include <bulkhead/err.h>

#define BH_VU_PAYLOAD_MAX 512u /* the largest well-formed one is GET_CONFIG's, 268 bytes */
#define BH_VU_FDS_MAX     VHOST_USER_TABLE_REGIONS_MAX

struct bh_vu_message {
    uint32_t request; /* enum vhost_user_request, or a number that we do not know */
    bool need_reply;
    bool known;               /* the request stands in our table: its payload was checked */
    bool has_answer;          /* its reply is more than an acknowledgement */
    uint8_t protocol_feature; /* the one that gates it, or BH_VU_UNGATED */
    uint32_t payload_size;
    unsigned fd_count;
    union {
        uint64_t u64;
        struct vhost_user_vring_state state;
        struct vhost_user_vring_addr addr;
        struct {
            uint8_t index;
            bool has_fd;
        } vring_fd;
        struct vhost_user_mem_table table;
        struct vhost_user_region region;
        struct vhost_user_log log;
        struct vhost_user_iotlb iotlb;
        struct vhost_user_device_state device_state;
        struct vhost_user_inflight inflight;
        struct {
            struct vhost_user_config_header head;
            uint8_t bytes[VHOST_USER_CONFIG_MAX];
        } config;
    };
};
#define BH_VU_UNGATED 0xffu

/*
 * The header alone, to learn how many bytes follow. BH_ERR_PROTO with *why: another version, a reply where a request
 * is due, a payload larger than any message has.
 */
int bh_vu_decode_header(const uint8_t bytes[sizeof(struct vhost_user_header)],
                        struct vhost_user_header *header, const char **why) BH_MUST_USE;
/*
 * A whole message: the header as decoded, its payload (header->size bytes), the number of fds that came along.
 * BH_ERR_PROTO with *why: a payload of the wrong size, fds too many or too few, fields that contradict one another.
 */
int bh_vu_decode(const struct vhost_user_header *header, const uint8_t *payload, unsigned fd_count,
                 struct bh_vu_message *message, const char **why) BH_MUST_USE;

/* "SET_VRING_NUM"; "request" for one that we do not know. Never NULL. */
const char *bh_vu_request_name(uint32_t request);

#endif
