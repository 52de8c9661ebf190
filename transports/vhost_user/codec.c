/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of vhost-user requests and the parser that it drives. What a message is allowed to look like is decided
 * here and nowhere else.
 */
#include "transports/vhost_user/codec.h"

#include <string.h>

enum payload {
    PAYLOAD_NONE,
    PAYLOAD_U64,
    PAYLOAD_STATE,
    PAYLOAD_ADDR,
    PAYLOAD_VRING_FD, /* u64: ring index and NO_FD; one fd, or none and that flag */
    PAYLOAD_TABLE,    /* as many fds as regions */
    PAYLOAD_REGION,
    PAYLOAD_CONFIG,
    PAYLOAD_LOG,
    PAYLOAD_IOTLB,
    PAYLOAD_DEVICE_STATE,
    PAYLOAD_INFLIGHT,
    PAYLOAD_ANY, /* a request that we do not serve: its payload is skipped, its fds closed */
};

struct request {
    const char *name;
    uint8_t payload;
    uint8_t fds_min, fds_max;
    bool has_answer;
    uint8_t protocol_feature;
};

#define ROW(request, payload, fds_min, fds_max, has_answer, feature)                                         \
    [VHOST_USER_##request] = {#request, payload, fds_min, fds_max, has_answer, feature}
#define F(name) VHOST_USER_PROTOCOL_F_##name

static const struct request requests[] = {
    ROW(GET_FEATURES, PAYLOAD_NONE, 0, 0, true, BH_VU_UNGATED),
    ROW(SET_FEATURES, PAYLOAD_U64, 0, 0, false, BH_VU_UNGATED),
    ROW(SET_OWNER, PAYLOAD_NONE, 0, 0, false, BH_VU_UNGATED),
    ROW(RESET_OWNER, PAYLOAD_NONE, 0, 0, false, BH_VU_UNGATED),
    ROW(SET_MEM_TABLE, PAYLOAD_TABLE, 0, VHOST_USER_TABLE_REGIONS_MAX, false, BH_VU_UNGATED),
    ROW(SET_LOG_BASE, PAYLOAD_LOG, 1, 1, true, F(LOG_SHMFD)),
    ROW(SET_LOG_FD, PAYLOAD_NONE, 1, 1, false, F(LOG_SHMFD)),
    ROW(SET_VRING_NUM, PAYLOAD_STATE, 0, 0, false, BH_VU_UNGATED),
    ROW(SET_VRING_ADDR, PAYLOAD_ADDR, 0, 0, false, BH_VU_UNGATED),
    ROW(SET_VRING_BASE, PAYLOAD_STATE, 0, 0, false, BH_VU_UNGATED),
    ROW(GET_VRING_BASE, PAYLOAD_STATE, 0, 0, true, BH_VU_UNGATED),
    ROW(SET_VRING_KICK, PAYLOAD_VRING_FD, 0, 1, false, BH_VU_UNGATED),
    ROW(SET_VRING_CALL, PAYLOAD_VRING_FD, 0, 1, false, BH_VU_UNGATED),
    ROW(SET_VRING_ERR, PAYLOAD_VRING_FD, 0, 1, false, BH_VU_UNGATED),
    ROW(GET_PROTOCOL_FEATURES, PAYLOAD_NONE, 0, 0, true, BH_VU_UNGATED),
    ROW(SET_PROTOCOL_FEATURES, PAYLOAD_U64, 0, 0, false, BH_VU_UNGATED),
    ROW(GET_QUEUE_NUM, PAYLOAD_NONE, 0, 0, true, F(MQ)),
    ROW(SET_VRING_ENABLE, PAYLOAD_STATE, 0, 0, false, BH_VU_UNGATED),
    ROW(SEND_RARP, PAYLOAD_ANY, 0, 0, false, F(RARP)),
    ROW(NET_SET_MTU, PAYLOAD_ANY, 0, 0, false, F(MTU)),
    ROW(SET_BACKEND_REQ_FD, PAYLOAD_NONE, 1, 1, false, F(BACKEND_REQ)),
    ROW(IOTLB_MSG, PAYLOAD_IOTLB, 0, 0, true, BH_VU_UNGATED),
    ROW(SET_VRING_ENDIAN, PAYLOAD_ANY, 0, 0, false, F(CROSS_ENDIAN)),
    ROW(GET_CONFIG, PAYLOAD_CONFIG, 0, 0, true, F(CONFIG)),
    ROW(SET_CONFIG, PAYLOAD_CONFIG, 0, 0, false, F(CONFIG)),
    ROW(CREATE_CRYPTO_SESSION, PAYLOAD_ANY, 0, 0, true, F(CRYPTO_SESSION)),
    ROW(CLOSE_CRYPTO_SESSION, PAYLOAD_ANY, 0, 0, false, F(CRYPTO_SESSION)),
    ROW(POSTCOPY_ADVISE, PAYLOAD_ANY, 0, 0, true, F(PAGEFAULT)),
    ROW(POSTCOPY_LISTEN, PAYLOAD_ANY, 0, 0, false, F(PAGEFAULT)),
    ROW(POSTCOPY_END, PAYLOAD_ANY, 0, 0, true, F(PAGEFAULT)),
    ROW(GET_INFLIGHT_FD, PAYLOAD_INFLIGHT, 0, 0, true, F(INFLIGHT_SHMFD)),
    ROW(SET_INFLIGHT_FD, PAYLOAD_INFLIGHT, 1, 1, false, F(INFLIGHT_SHMFD)),
    ROW(GPU_SET_SOCKET, PAYLOAD_ANY, 0, 1, false, BH_VU_UNGATED),
    ROW(RESET_DEVICE, PAYLOAD_NONE, 0, 0, false, F(RESET_DEVICE)),
    ROW(VRING_KICK, PAYLOAD_STATE, 0, 0, false, F(INBAND_NOTIFICATIONS)),
    ROW(GET_MAX_MEM_SLOTS, PAYLOAD_NONE, 0, 0, true, F(CONFIGURE_MEM_SLOTS)),
    ROW(ADD_MEM_REG, PAYLOAD_REGION, 1, 1, false, F(CONFIGURE_MEM_SLOTS)),
    /* "No file descriptors SHOULD be passed ... the back-end MAY accept messages with one". */
    ROW(REM_MEM_REG, PAYLOAD_REGION, 0, 1, false, F(CONFIGURE_MEM_SLOTS)),
    ROW(SET_STATUS, PAYLOAD_U64, 0, 0, false, F(STATUS)),
    ROW(GET_STATUS, PAYLOAD_NONE, 0, 0, true, F(STATUS)),
    ROW(GET_SHARED_OBJECT, PAYLOAD_ANY, 0, 0, true, F(SHARED_OBJECT)),
    ROW(SET_DEVICE_STATE_FD, PAYLOAD_DEVICE_STATE, 1, 1, true, F(DEVICE_STATE)),
    ROW(CHECK_DEVICE_STATE, PAYLOAD_NONE, 0, 0, true, F(DEVICE_STATE)),
    ROW(GET_SHMEM_CONFIG, PAYLOAD_ANY, 0, 0, true, BH_VU_UNGATED),
};

static const struct request *find(uint32_t number)
{
    return number < BH_COUNT(requests) && requests[number].name ? &requests[number] : NULL;
}

const char *bh_vu_request_name(uint32_t number)
{
    const struct request *request = find(number);
    return request ? request->name : "request";
}

static int wrong(const char **why, const char *text)
{
    *why = text;
    return BH_ERR_PROTO;
}

int bh_vu_decode_header(const uint8_t bytes[sizeof(struct vhost_user_header)],
                        struct vhost_user_header *header, const char **why)
{
    memcpy(header, bytes, sizeof(*header));
    if ((header->flags & VHOST_USER_VERSION_MASK) != VHOST_USER_VERSION)
        return wrong(why, "a protocol version other than 1");
    if (header->flags & VHOST_USER_FLAG_REPLY)
        return wrong(why, "a reply where a request is due");
    if (header->size > BH_VU_PAYLOAD_MAX)
        return wrong(why, "a payload larger than any message has");
    return BH_OK;
}

/* A payload of exactly the size of what it is copied to. */
static int copy_exact(void *to, size_t size, const uint8_t *payload, const struct bh_vu_message *message,
                      const char **why)
{
    if (message->payload_size != size)
        return wrong(why, "a payload of the wrong size");
    memcpy(to, payload, size);
    return BH_OK;
}

static int decode_vring_fd(const uint8_t *payload, struct bh_vu_message *message, const char **why)
{
    uint64_t word;
    int err = copy_exact(&word, sizeof(word), payload, message, why);
    if (err)
        return err;
    if (word & ~(uint64_t)(VHOST_USER_VRING_INDEX_MASK | VHOST_USER_VRING_NO_FD))
        return wrong(why, "bits that have no meaning");
    message->vring_fd.index = (uint8_t)(word & VHOST_USER_VRING_INDEX_MASK);
    message->vring_fd.has_fd = !(word & VHOST_USER_VRING_NO_FD);
    if (message->vring_fd.has_fd != (message->fd_count == 1))
        return wrong(why, "a file descriptor and a flag that contradict each other");
    return BH_OK;
}

static int decode_table(const uint8_t *payload, struct bh_vu_message *message, const char **why)
{
    struct vhost_user_mem_table *table = &message->table;
    const size_t head = offsetof(struct vhost_user_mem_table, regions);
    memset(table, 0, sizeof(*table));
    if (message->payload_size < head || message->payload_size > sizeof(*table))
        return wrong(why, "a payload of the wrong size");
    memcpy(table, payload, message->payload_size);
    if (table->region_count > VHOST_USER_TABLE_REGIONS_MAX)
        return wrong(why, "more than 8 regions");
    /* Some front-ends send room for all 8 regions: more than the count needs is allowed, less is not. */
    if (message->payload_size < head + table->region_count * sizeof(table->regions[0]))
        return wrong(why, "fewer regions than it counts");
    if (message->fd_count != table->region_count)
        return wrong(why, "another number of file descriptors than of regions");
    return BH_OK;
}

static int decode_config(const uint8_t *payload, struct bh_vu_message *message, const char **why)
{
    const size_t head = sizeof(message->config.head);
    if (message->payload_size < head)
        return wrong(why, "a payload of the wrong size");
    memcpy(&message->config.head, payload, head);
    memset(message->config.bytes, 0, sizeof(message->config.bytes));
    if (message->config.head.size > VHOST_USER_CONFIG_MAX)
        return wrong(why, "more config space than 256 bytes");
    if (message->payload_size != head + message->config.head.size)
        return wrong(why, "config bytes other than it counts");
    memcpy(message->config.bytes, payload + head, message->config.head.size);
    return BH_OK;
}

static int decode_inflight(const uint8_t *payload, struct bh_vu_message *message, const char **why)
{
    memset(&message->inflight, 0, sizeof(message->inflight));
    if (message->payload_size != VHOST_USER_INFLIGHT_BYTES &&
        message->payload_size != sizeof(message->inflight))
        return wrong(why, "a payload of the wrong size");
    memcpy(&message->inflight, payload, VHOST_USER_INFLIGHT_BYTES);
    return BH_OK;
}

static int decode_iotlb(const uint8_t *payload, struct bh_vu_message *message, const char **why)
{
    if (message->payload_size < VHOST_USER_IOTLB_MIN || message->payload_size > sizeof(message->iotlb))
        return wrong(why, "a payload of the wrong size");
    memset(&message->iotlb, 0, sizeof(message->iotlb));
    memcpy(&message->iotlb, payload, message->payload_size);
    return BH_OK;
}

static int decode_payload(enum payload kind, const uint8_t *payload, struct bh_vu_message *message,
                          const char **why)
{
    struct vhost_user_mem_region single;
    int err;
    switch (kind) {
    case PAYLOAD_NONE: return message->payload_size ? wrong(why, "a payload where none is due") : BH_OK;
    case PAYLOAD_U64: return copy_exact(&message->u64, sizeof(message->u64), payload, message, why);
    case PAYLOAD_STATE: return copy_exact(&message->state, sizeof(message->state), payload, message, why);
    case PAYLOAD_ADDR: return copy_exact(&message->addr, sizeof(message->addr), payload, message, why);
    case PAYLOAD_DEVICE_STATE:
        return copy_exact(&message->device_state, sizeof(message->device_state), payload, message, why);
    case PAYLOAD_IOTLB: return decode_iotlb(payload, message, why);
    case PAYLOAD_LOG: return copy_exact(&message->log, sizeof(message->log), payload, message, why);
    case PAYLOAD_INFLIGHT: return decode_inflight(payload, message, why);
    case PAYLOAD_VRING_FD: return decode_vring_fd(payload, message, why);
    case PAYLOAD_TABLE: return decode_table(payload, message, why);
    case PAYLOAD_REGION:
        err = copy_exact(&single, sizeof(single), payload, message, why);
        if (!err)
            message->region = single.region;
        return err;
    case PAYLOAD_CONFIG: return decode_config(payload, message, why);
    case PAYLOAD_ANY: break;
    }
    return BH_OK;
}

int bh_vu_decode(const struct vhost_user_header *header, const uint8_t *payload, unsigned fd_count,
                 struct bh_vu_message *message, const char **why)
{
    const struct request *request = find(header->request);
    memset(message, 0, sizeof(*message));
    message->request = header->request;
    message->need_reply = (header->flags & VHOST_USER_FLAG_NEED_REPLY) != 0;
    message->payload_size = header->size;
    message->fd_count = fd_count;
    message->protocol_feature = BH_VU_UNGATED;
    if (!request)
        return BH_OK; /* whoever dispatches refuses it */
    message->known = true;
    message->has_answer = request->has_answer;
    message->protocol_feature = request->protocol_feature;
    if (fd_count < request->fds_min)
        return wrong(why, "no file descriptor where one is due");
    if (fd_count > request->fds_max)
        return wrong(why, "file descriptors where none are due");
    return decode_payload((enum payload)request->payload, payload, message, why);
}
