/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vhost-user front-end: what each step of a driver's life says to a device process.
 */
#include "driver/vhost_front.h"

#include "driver/vhost_front_wire.h"
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROTOCOL_WANTED                                                                                      \
    (1ull << VHOST_USER_PROTOCOL_F_MQ | 1ull << VHOST_USER_PROTOCOL_F_REPLY_ACK |                            \
     1ull << VHOST_USER_PROTOCOL_F_BACKEND_REQ | 1ull << VHOST_USER_PROTOCOL_F_CONFIG |                      \
     1ull << VHOST_USER_PROTOCOL_F_RESET_DEVICE | 1ull << VHOST_USER_PROTOCOL_F_STATUS)
#define IN_BAND       (1ull << VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS)
#define PROTOCOL_BITS (1ull << VHOST_USER_F_PROTOCOL_FEATURES | 1ull << VHOST_F_LOG_ALL)

static int ask_u64(struct bh_vhost_front *front, enum vhost_user_request request, uint64_t *value)
{
    int err = bh_vhost_front_send(front, request, 0, NULL, 0, -1);

    return err ? err : bh_vhost_front_answer(front, request, value, sizeof(*value));
}

/* A channel on which the device tells of config changes. */
static int open_backend_channel(struct bh_vhost_front *front)
{
    int pair[2], err;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
        return BH_ERR_IO;
    front->backend_fd = pair[0];
    err = bh_vhost_front_tell(front, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, pair[1]);
    close(pair[1]);
    return err;
}

static int agree(struct bh_vhost_front *front)
{
    uint64_t value;
    int err = ask_u64(front, VHOST_USER_GET_FEATURES, &front->features);

    if (!err)
        err = bh_vhost_front_send(front, VHOST_USER_SET_OWNER, 0, NULL, 0, -1);
    front->queue_count = 1;
    if (err || !(front->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1u))
        return err ? err : front->in_band ? BH_ERR_UNSUPPORTED : BH_OK;
    err = ask_u64(front, VHOST_USER_GET_PROTOCOL_FEATURES, &value);
    if (err)
        return err;
    if (front->in_band && !(value & IN_BAND))
        return BH_ERR_UNSUPPORTED;
    value &= PROTOCOL_WANTED | (front->in_band ? IN_BAND : 0);
    err = bh_vhost_front_send(front, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &value, sizeof(value), -1);
    front->protocol = value;
    if (!err && vhost_front_has(front, VHOST_USER_PROTOCOL_F_MQ)) {
        err = ask_u64(front, VHOST_USER_GET_QUEUE_NUM, &value);
        if (err)
            return err;
        front->queue_count = value > BH_VHOST_FRONT_QUEUES ? BH_VHOST_FRONT_QUEUES : (uint32_t)value;
    }
    if (!err && vhost_front_has(front, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
        err = open_backend_channel(front);
    return err;
}

int bh_vhost_front_init(struct bh_vhost_front *front, int fd, bool in_band, int timeout_ms)
{
    int err;

    memset(front, 0, sizeof(*front));
    front->fd = fd;
    front->backend_fd = -1;
    front->timeout_ms = timeout_ms;
    front->in_band = in_band;
    for (unsigned i = 0; i < BH_VHOST_FRONT_QUEUES; i++)
        front->queue[i].kick = front->queue[i].call = front->queue[i].err = -1;
    err = agree(front);
    if (err)
        bh_vhost_front_close(front);
    return err;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void bh_vhost_front_close(struct bh_vhost_front *front)
{
    for (unsigned i = 0; i < BH_VHOST_FRONT_QUEUES; i++) {
        close_fd(&front->queue[i].kick);
        close_fd(&front->queue[i].call);
        close_fd(&front->queue[i].err);
    }
    close_fd(&front->backend_fd);
    close_fd(&front->fd);
}

int bh_vhost_front_share(struct bh_vhost_front *front, const struct bh_drv_guest *guest)
{
    struct vhost_user_mem_table table = {.region_count = 1};

    table.regions[0] =
        (struct vhost_user_region){guest->base.raw, guest->size, (uint64_t)(uintptr_t)guest->host, 0};
    front->guest = guest;
    return bh_vhost_front_tell(
        front, VHOST_USER_SET_MEM_TABLE, &table,
        (uint32_t)(offsetof(struct vhost_user_mem_table, regions) + sizeof(struct vhost_user_region)),
        guest->fd);
}

struct bh_features bh_vhost_front_features(const struct bh_vhost_front *front)
{
    return bh_features_of64(front->features & ~PROTOCOL_BITS);
}

int bh_vhost_front_set_features(struct bh_vhost_front *front, const struct bh_features *features)
{
    uint64_t value = bh_features_low64(features) | (front->features & 1ull << VHOST_USER_F_PROTOCOL_FEATURES);

    return bh_vhost_front_tell(front, VHOST_USER_SET_FEATURES, &value, sizeof(value), -1);
}

int bh_vhost_front_get_status(struct bh_vhost_front *front, uint8_t *status)
{
    uint64_t value;
    int err;

    if (!vhost_front_has(front, VHOST_USER_PROTOCOL_F_STATUS))
        return BH_ERR_UNSUPPORTED;
    err = ask_u64(front, VHOST_USER_GET_STATUS, &value);
    if (!err)
        *status = (uint8_t)value;
    return err;
}

int bh_vhost_front_set_status(struct bh_vhost_front *front, uint8_t status)
{
    uint64_t value = status;

    if (!vhost_front_has(front, VHOST_USER_PROTOCOL_F_STATUS))
        return BH_ERR_UNSUPPORTED;
    return bh_vhost_front_tell(front, VHOST_USER_SET_STATUS, &value, sizeof(value), -1);
}

int bh_vhost_front_reset(struct bh_vhost_front *front)
{
    if (!vhost_front_has(front, VHOST_USER_PROTOCOL_F_RESET_DEVICE))
        return BH_ERR_UNSUPPORTED;
    return bh_vhost_front_tell(front, VHOST_USER_RESET_DEVICE, NULL, 0, -1);
}

/* --- Config ---------------------------------------------------------------------------------------------- */

struct config_message {
    struct vhost_user_config_header header;
    uint8_t bytes[VHOST_USER_CONFIG_MAX];
};

int bh_vhost_front_config_read(struct bh_vhost_front *front, uint32_t offset, void *to, uint32_t len)
{
    struct config_message message = {.header = {offset, len, VHOST_USER_CONFIG_WRITABLE}};
    uint32_t size = (uint32_t)sizeof(message.header) + len;
    int err;

    if (!vhost_front_has(front, VHOST_USER_PROTOCOL_F_CONFIG))
        return BH_ERR_UNSUPPORTED;
    if (len > VHOST_USER_CONFIG_MAX)
        return BH_ERR_RANGE;
    err = bh_vhost_front_send(front, VHOST_USER_GET_CONFIG, 0, &message, size, -1);
    if (!err)
        err = bh_vhost_front_answer(front, VHOST_USER_GET_CONFIG, &message, size);
    if (!err)
        memcpy(to, message.bytes, len);
    return err;
}

int bh_vhost_front_config_write(struct bh_vhost_front *front, uint32_t offset, const void *from, uint32_t len)
{
    struct config_message message = {.header = {offset, len, VHOST_USER_CONFIG_WRITABLE}};

    if (!vhost_front_has(front, VHOST_USER_PROTOCOL_F_CONFIG))
        return BH_ERR_UNSUPPORTED;
    if (len > VHOST_USER_CONFIG_MAX)
        return BH_ERR_RANGE;
    memcpy(message.bytes, from, len);
    return bh_vhost_front_tell(front, VHOST_USER_SET_CONFIG, &message, (uint32_t)sizeof(message.header) + len,
                               -1);
}

/* --- Queues ---------------------------------------------------------------------------------------------- */

static uint64_t user_address(const struct bh_vhost_front *front, bh_daddr_t addr)
{
    return (uint64_t)(uintptr_t)front->guest->host + (addr.raw - front->guest->base.raw);
}

static int set_fd(struct bh_vhost_front *front, enum vhost_user_request request, unsigned index, int *fd)
{
    uint64_t value = index;

    if (front->in_band)
        return BH_OK;
    if (*fd < 0)
        *fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (*fd < 0)
        return BH_ERR_IO;
    return bh_vhost_front_tell(front, request, &value, sizeof(value), *fd);
}

static uint32_t base_of(const struct bh_virtq_state *state, bool packed)
{
    if (!packed)
        return state->avail;
    return state->avail | (state->avail_wrap ? VHOST_USER_PACKED_WRAP : 0u) |
           (state->used | (state->used_wrap ? VHOST_USER_PACKED_WRAP : 0u)) << VHOST_USER_PACKED_USED_SHIFT;
}

int bh_vhost_front_queue_start(struct bh_vhost_front *front, unsigned index,
                               const struct bh_virtq_setup *setup, bool packed)
{
    struct bh_vhost_front_queue *queue = &front->queue[index];
    struct vhost_user_vring_state size = {index, setup->size};
    struct vhost_user_vring_state base = {index, base_of(&setup->state, packed)};
    struct vhost_user_vring_state enable = {index, 1};
    struct vhost_user_vring_addr addr = {.index = index,
                                         .descriptor = user_address(front, setup->desc),
                                         .available = user_address(front, setup->driver),
                                         .used = user_address(front, setup->device)};
    int err = bh_vhost_front_tell(front, VHOST_USER_SET_VRING_NUM, &size, sizeof(size), -1);

    queue->packed = packed;
    if (front->queue_end <= index)
        front->queue_end = index + 1;
    if (!err)
        err = bh_vhost_front_tell(front, VHOST_USER_SET_VRING_BASE, &base, sizeof(base), -1);
    if (!err)
        err = bh_vhost_front_tell(front, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1);
    if (!err)
        err = set_fd(front, VHOST_USER_SET_VRING_ERR, index, &queue->err);
    if (!err)
        err = set_fd(front, VHOST_USER_SET_VRING_CALL, index, &queue->call);
    if (!err)
        err = set_fd(front, VHOST_USER_SET_VRING_KICK, index, &queue->kick);
    if (!err && (front->features >> VHOST_USER_F_PROTOCOL_FEATURES & 1u))
        err = bh_vhost_front_tell(front, VHOST_USER_SET_VRING_ENABLE, &enable, sizeof(enable), -1);
    return err;
}

int bh_vhost_front_queue_stop(struct bh_vhost_front *front, unsigned index, struct bh_virtq_state *state)
{
    struct vhost_user_vring_state base = {index, 0};
    uint32_t avail, used;
    int err = bh_vhost_front_send(front, VHOST_USER_GET_VRING_BASE, 0, &base, sizeof(base), -1);

    if (!err)
        err = bh_vhost_front_answer(front, VHOST_USER_GET_VRING_BASE, &base, sizeof(base));
    if (err)
        return err;
    if (base.index != index)
        return BH_ERR_PROTO;
    avail = base.num & 0xffffu;
    used = base.num >> VHOST_USER_PACKED_USED_SHIFT;
    if (state && front->queue[index].packed)
        *state = (struct bh_virtq_state){
            (uint16_t)(avail & VHOST_USER_PACKED_INDEX_MASK), (uint16_t)(used & VHOST_USER_PACKED_INDEX_MASK),
            (avail & VHOST_USER_PACKED_WRAP) != 0, (used & VHOST_USER_PACKED_WRAP) != 0};
    else if (state)
        *state = (struct bh_virtq_state){(uint16_t)avail, (uint16_t)avail, true, true};
    return BH_OK;
}

int bh_vhost_front_kick(struct bh_vhost_front *front, unsigned index)
{
    struct vhost_user_vring_state ring = {index, 0};

    if (front->in_band)
        return bh_vhost_front_tell(front, VHOST_USER_VRING_KICK, &ring, sizeof(ring), -1);
    (void)eventfd_write(front->queue[index].kick, 1);
    return BH_OK;
}

static void count(int fd, uint32_t *counter)
{
    eventfd_t value;

    if (fd >= 0 && eventfd_read(fd, &value) == 0)
        *counter += (uint32_t)value;
}

int bh_vhost_front_wait(struct bh_vhost_front *front, int timeout_ms)
{
    struct pollfd wait[2 * BH_VHOST_FRONT_QUEUES + 2];
    nfds_t n = 0;
    int err = BH_OK;

    wait[n++] = (struct pollfd){front->fd, 0, 0};
    wait[n++] = (struct pollfd){front->backend_fd, POLLIN, 0};
    for (unsigned i = 0; i < front->queue_end; i++) {
        wait[n++] = (struct pollfd){front->queue[i].call, POLLIN, 0};
        wait[n++] = (struct pollfd){front->queue[i].err, POLLIN, 0};
    }
    if (poll(wait, n, timeout_ms) < 0)
        return BH_ERR_IO;
    for (unsigned i = 0; i < front->queue_end; i++) {
        count(front->queue[i].call, &front->queue[i].notifications);
        count(front->queue[i].err, &front->queue[i].errors);
    }
    if (wait[1].revents & POLLIN)
        err = bh_vhost_front_backend(front);
    if (!err && (wait[0].revents & (POLLHUP | POLLERR)))
        err = BH_ERR_CLOSED;
    return err;
}
