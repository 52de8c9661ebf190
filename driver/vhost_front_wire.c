/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages of the vhost-user front-end.
 */
#include "driver/vhost_front_wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int host_error(void)
{
    return errno == EPIPE || errno == ECONNRESET ? BH_ERR_CLOSED : BH_ERR_IO;
}

/* Exactly `len` bytes before `until`. A file descriptor that comes along is none that we asked for: closed. */
static int receive(int fd, void *to, size_t len, int64_t until)
{
    size_t done = 0;

    while (done < len) {
        union {
            char bytes[CMSG_SPACE(sizeof(int) * 8)];
            struct cmsghdr align;
        } control;
        struct iovec part = {(char *)to + done, len - done};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        struct pollfd wait = {fd, POLLIN, 0};
        int64_t left = until - now_ms();
        ssize_t got;

        if (left < 0 || poll(&wait, 1, (int)left) == 0)
            return BH_ERR_TIMEOUT;
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0)
            return got == 0 ? BH_ERR_CLOSED : host_error();
        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
            for (size_t i = 0; c->cmsg_type == SCM_RIGHTS && i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                 i++) {
                int stray;

                memcpy(&stray, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                close(stray);
            }
        }
        done += (size_t)got;
    }
    return BH_OK;
}

static int transmit(int fd, const struct vhost_user_header *header, const void *payload, int passed)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    struct iovec parts[2] = {{(void *)header, sizeof(*header)}, {(void *)payload, header->size}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = header->size ? 2 : 1};
    ssize_t sent;

    if (passed >= 0) {
        struct cmsghdr *c;

        message.msg_control = &control;
        message.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &passed, sizeof(int));
    }
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return host_error();
    return (size_t)sent == sizeof(*header) + header->size ? BH_OK : BH_ERR_IO;
}

int bh_vhost_front_send(struct bh_vhost_front *front, enum vhost_user_request request, uint32_t flags,
                        const void *payload, uint32_t size, int fd)
{
    struct vhost_user_header header = {(uint32_t)request, VHOST_USER_VERSION | flags, size};

    return transmit(front->fd, &header, payload, fd);
}

int bh_vhost_front_answer(struct bh_vhost_front *front, enum vhost_user_request request, void *payload,
                          uint32_t size)
{
    struct vhost_user_header header;
    int64_t until = now_ms() + front->timeout_ms;
    int err = receive(front->fd, &header, sizeof(header), until);

    if (err)
        return err;
    if (header.request != (uint32_t)request || header.size != size ||
        (header.flags & (VHOST_USER_VERSION_MASK | VHOST_USER_FLAG_REPLY)) !=
            (VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY))
        return BH_ERR_PROTO;
    return receive(front->fd, payload, size, until);
}

int bh_vhost_front_tell(struct bh_vhost_front *front, enum vhost_user_request request, const void *payload,
                        uint32_t size, int fd)
{
    bool ack = vhost_front_has(front, VHOST_USER_PROTOCOL_F_REPLY_ACK);
    uint64_t refused = 0;
    int err = bh_vhost_front_send(front, request, ack ? VHOST_USER_FLAG_NEED_REPLY : 0, payload, size, fd);

    if (err || !ack)
        return err;
    err = bh_vhost_front_answer(front, request, &refused, sizeof(refused));
    if (err)
        return err;
    return refused ? BH_ERR_INVAL : BH_OK;
}

int bh_vhost_front_backend(struct bh_vhost_front *front)
{
    struct vhost_user_header header;
    uint8_t payload[512];
    int64_t until = now_ms() + front->timeout_ms;
    struct vhost_user_vring_state ring = {BH_VHOST_FRONT_QUEUES, 0};
    uint64_t taken = 0;
    int err = receive(front->backend_fd, &header, sizeof(header), until);

    if (err)
        return err;
    if (header.size > sizeof(payload))
        return BH_ERR_PROTO;
    err = receive(front->backend_fd, payload, header.size, until);
    if (err)
        return err;
    if (front->in_band && header.size == sizeof(ring))
        memcpy(&ring, payload, sizeof(ring));
    if (header.request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG)
        front->config_changes++;
    else if (header.request == VHOST_USER_BACKEND_VRING_CALL && ring.index < BH_VHOST_FRONT_QUEUES)
        front->queue[ring.index].notifications++;
    else if (header.request == VHOST_USER_BACKEND_VRING_ERR && ring.index < BH_VHOST_FRONT_QUEUES)
        front->queue[ring.index].errors++;
    else
        taken = 1;
    if (!(header.flags & VHOST_USER_FLAG_NEED_REPLY))
        return BH_OK;
    header.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY;
    header.size = sizeof(taken);
    return transmit(front->backend_fd, &header, &taken, -1);
}
