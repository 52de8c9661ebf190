/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user protocol's wire format: QEMU's docs/interop/vhost-user.rst. Only numbers and layouts; all of them
 * in the machine's own byte order, since both ends are processes of one machine ["Message Specification"].
 *
 * Threading: none.   Ownership: none.   May block: no.
 */
#ifndef ABI_VHOST_USER_H
#define ABI_VHOST_USER_H

#include <stddef.h>
#include <stdint.h>

/* ["Header"] */
struct vhost_user_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* of the payload */
};
_Static_assert(sizeof(struct vhost_user_header) == 12, "3 header fields of 32 bits");

#define VHOST_USER_VERSION_MASK    0x3u
#define VHOST_USER_VERSION         0x1u
#define VHOST_USER_FLAG_REPLY      (1u << 2)
#define VHOST_USER_FLAG_NEED_REPLY (1u << 3)

/* Feature bits of the protocol's own among the virtio ones, which leave these to it. */
enum vhost_user_feature {
    VHOST_F_LOG_ALL = 26,
    VHOST_USER_F_PROTOCOL_FEATURES = 30,
};

/* ["Protocol features"] */
enum vhost_user_protocol_feature {
    VHOST_USER_PROTOCOL_F_MQ = 0,
    VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
    VHOST_USER_PROTOCOL_F_RARP = 2,
    VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
    VHOST_USER_PROTOCOL_F_MTU = 4,
    VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
    VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
    VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
    VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
    VHOST_USER_PROTOCOL_F_CONFIG = 9,
    VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
    VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
    VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
    VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
    VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
    VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
    VHOST_USER_PROTOCOL_F_STATUS = 16,
    VHOST_USER_PROTOCOL_F_XEN_MMAP = 17,
    VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 18,
    VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19,
    VHOST_USER_PROTOCOL_F_GET_VRING_BASE_INFLIGHT = 20,
    VHOST_USER_PROTOCOL_F_GPA_ADDRESSES = 21,
};

/* ["Front-end message types"] */
enum vhost_user_request {
    VHOST_USER_GET_FEATURES = 1,
    VHOST_USER_SET_FEATURES = 2,
    VHOST_USER_SET_OWNER = 3,
    VHOST_USER_RESET_OWNER = 4,
    VHOST_USER_SET_MEM_TABLE = 5,
    VHOST_USER_SET_LOG_BASE = 6,
    VHOST_USER_SET_LOG_FD = 7,
    VHOST_USER_SET_VRING_NUM = 8,
    VHOST_USER_SET_VRING_ADDR = 9,
    VHOST_USER_SET_VRING_BASE = 10,
    VHOST_USER_GET_VRING_BASE = 11,
    VHOST_USER_SET_VRING_KICK = 12,
    VHOST_USER_SET_VRING_CALL = 13,
    VHOST_USER_SET_VRING_ERR = 14,
    VHOST_USER_GET_PROTOCOL_FEATURES = 15,
    VHOST_USER_SET_PROTOCOL_FEATURES = 16,
    VHOST_USER_GET_QUEUE_NUM = 17,
    VHOST_USER_SET_VRING_ENABLE = 18,
    VHOST_USER_SEND_RARP = 19,
    VHOST_USER_NET_SET_MTU = 20,
    VHOST_USER_SET_BACKEND_REQ_FD = 21,
    VHOST_USER_IOTLB_MSG = 22,
    VHOST_USER_SET_VRING_ENDIAN = 23,
    VHOST_USER_GET_CONFIG = 24,
    VHOST_USER_SET_CONFIG = 25,
    VHOST_USER_CREATE_CRYPTO_SESSION = 26,
    VHOST_USER_CLOSE_CRYPTO_SESSION = 27,
    VHOST_USER_POSTCOPY_ADVISE = 28,
    VHOST_USER_POSTCOPY_LISTEN = 29,
    VHOST_USER_POSTCOPY_END = 30,
    VHOST_USER_GET_INFLIGHT_FD = 31,
    VHOST_USER_SET_INFLIGHT_FD = 32,
    VHOST_USER_GPU_SET_SOCKET = 33,
    VHOST_USER_RESET_DEVICE = 34,
    VHOST_USER_VRING_KICK = 35,
    VHOST_USER_GET_MAX_MEM_SLOTS = 36,
    VHOST_USER_ADD_MEM_REG = 37,
    VHOST_USER_REM_MEM_REG = 38,
    VHOST_USER_SET_STATUS = 39,
    VHOST_USER_GET_STATUS = 40,
    VHOST_USER_GET_SHARED_OBJECT = 41,
    VHOST_USER_SET_DEVICE_STATE_FD = 42,
    VHOST_USER_CHECK_DEVICE_STATE = 43,
    VHOST_USER_GET_SHMEM_CONFIG = 44,
};

/* ["Back-end message types"] */
enum vhost_user_backend_request {
    VHOST_USER_BACKEND_IOTLB_MSG = 1,
    VHOST_USER_BACKEND_CONFIG_CHANGE_MSG = 2,
    VHOST_USER_BACKEND_VRING_CALL = 4,
    VHOST_USER_BACKEND_VRING_ERR = 5,
};

/* ["A vring state description"] */
struct vhost_user_vring_state {
    uint32_t index;
    uint32_t num;
};
_Static_assert(sizeof(struct vhost_user_vring_state) == 8, "index, num");

/*
 * ["A vring descriptor index for packed virtqueues"]: what SET_VRING_BASE and GET_VRING_BASE carry in `num` of a
 * packed ring. A split ring's is its next available index, 16 bits.
 */
#define VHOST_USER_PACKED_AVAIL_SHIFT 0u
#define VHOST_USER_PACKED_USED_SHIFT  16u
#define VHOST_USER_PACKED_INDEX_MASK  0x7fffu
#define VHOST_USER_PACKED_WRAP        0x8000u

/* ["A vring address description"] */
struct vhost_user_vring_addr {
    uint32_t index;
    uint32_t flags; /* VHOST_USER_VRING_F_LOG */
    uint64_t descriptor;
    uint64_t used;
    uint64_t available;
    uint64_t log;
};
_Static_assert(sizeof(struct vhost_user_vring_addr) == 40, "index, flags and four addresses");
_Static_assert(offsetof(struct vhost_user_vring_addr, available) == 24, "used stands before available");
#define VHOST_USER_VRING_F_LOG (1u << 0)

/* The u64 of SET_VRING_KICK, _CALL and _ERR. */
#define VHOST_USER_VRING_INDEX_MASK 0xffu
#define VHOST_USER_VRING_NO_FD      (1u << 8)

/* ["Memory regions description"] */
struct vhost_user_region {
    uint64_t guest_address;
    uint64_t size;
    uint64_t user_address;
    uint64_t mmap_offset;
};
_Static_assert(sizeof(struct vhost_user_region) == 32, "four words of 64 bits");

#define VHOST_USER_TABLE_REGIONS_MAX 8u /* of SET_MEM_TABLE, and most fds of one message */
struct vhost_user_mem_table {
    uint32_t region_count;
    uint32_t padding;
    struct vhost_user_region regions[VHOST_USER_TABLE_REGIONS_MAX];
};
_Static_assert(offsetof(struct vhost_user_mem_table, regions) == 8, "count and padding come first");

/* ["Single memory region description"] */
struct vhost_user_mem_region {
    uint64_t padding;
    struct vhost_user_region region;
};
_Static_assert(sizeof(struct vhost_user_mem_region) == 40, "padding and a region");

/* ["Log description"] */
struct vhost_user_log {
    uint64_t mmap_size;
    uint64_t mmap_offset;
};
_Static_assert(sizeof(struct vhost_user_log) == 16, "size and offset");

/* ["Inflight description"]; some front-ends send the struct with its trailing padding, 24 bytes instead of 20. */
struct vhost_user_inflight {
    uint64_t mmap_size;
    uint64_t mmap_offset;
    uint16_t num_queues;
    uint16_t queue_size;
};
_Static_assert(offsetof(struct vhost_user_inflight, queue_size) == 18, "two words of 64 bits, two of 16");
#define VHOST_USER_INFLIGHT_BYTES 20u

/* ["An IOTLB message"] */
struct vhost_user_iotlb {
    uint64_t iova;
    uint64_t size;
    uint64_t user; /* the front-end's own address */
    uint8_t permissions;
    uint8_t type; /* enum vhost_user_iotlb_type */
    uint8_t padding[6];
};
_Static_assert(sizeof(struct vhost_user_iotlb) == 32, "struct vhost_iotlb_msg of Linux");
#define VHOST_USER_IOTLB_MIN 26u /* without the padding */
enum vhost_user_iotlb_permission { VHOST_USER_IOTLB_READ = 1, VHOST_USER_IOTLB_WRITE = 2 };
enum vhost_user_iotlb_type {
    VHOST_USER_IOTLB_MISS = 1,
    VHOST_USER_IOTLB_UPDATE = 2,
    VHOST_USER_IOTLB_INVALIDATE = 3,
    VHOST_USER_IOTLB_ACCESS_FAIL = 4,
};

/* ["Device state transfer parameters"] */
struct vhost_user_device_state {
    uint32_t direction; /* 0: save, 1: load */
    uint32_t phase;     /* 0: the device is stopped */
};
_Static_assert(sizeof(struct vhost_user_device_state) == 8, "direction and phase");

/* ["Virtio device config space"] */
struct vhost_user_config_header {
    uint32_t offset;
    uint32_t size;
    uint32_t flags; /* enum vhost_user_config_flags */
};
_Static_assert(sizeof(struct vhost_user_config_header) == 12, "offset, size, flags");
#define VHOST_USER_CONFIG_MAX 256u
enum vhost_user_config_flags { VHOST_USER_CONFIG_WRITABLE = 0, VHOST_USER_CONFIG_MIGRATION = 1 };

#endif
