/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes and fds between a vhost-user socket and messages. Never blocks: a message may come in any number of pieces,
 * and an answer leave in as many.
 */
#include "transports/vhost_user/server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* One more fd than any message has room for, so that too many are noticed rather than cut off. */
enum { FDS_ROOM = BH_VU_FDS_MAX + 1 };

static int wrong(const char **why, int err, const char *text)
{
    *why = text;
    return err;
}

/* Keep the fds that came with a piece; those beyond the message's most are closed, and it is refused. */
static int keep_fds(struct bh_vu_wire *wire, struct msghdr *header, const char **why)
{
    bool too_many = (header->msg_flags & MSG_CTRUNC) != 0;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        size_t count;
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(fd));
            if (wire->fd_count < BH_VU_FDS_MAX) {
                wire->fds[wire->fd_count++] = fd;
            } else {
                close(fd);
                too_many = true;
            }
        }
    }
    return too_many ? wrong(why, BH_ERR_PROTO, "more file descriptors than any message has") : BH_OK;
}

/* Read up to `want` bytes in all into wire->in. BH_OK when they are there. */
static int fill(struct bh_vu_wire *wire, int fd, size_t want, const char **why)
{
    while (wire->in_used < want) {
        union {
            char bytes[CMSG_SPACE(sizeof(int) * FDS_ROOM)];
            struct cmsghdr align;
        } control;
        struct iovec part = {.iov_base = wire->in + wire->in_used, .iov_len = want - wire->in_used};
        struct msghdr header = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        ssize_t got = recvmsg(fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        int err;
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return BH_ERR_AGAIN;
        if (got <= 0)
            return wire->in_used ? wrong(why, BH_ERR_CLOSED, "the front-end went away in mid-message")
                                 : BH_ERR_CLOSED;
        err = keep_fds(wire, &header, why);
        if (err)
            return err;
        wire->in_used += (size_t)got;
    }
    return BH_OK;
}

int bh_vu_wire_receive(struct bh_vu_wire *wire, int fd, struct bh_vu_message *message, const char **why)
{
    const size_t head_size = sizeof(wire->head);
    int err;
    *why = NULL;
    if (wire->in_used < head_size) {
        err = fill(wire, fd, head_size, why);
        if (err)
            return err;
        err = bh_vu_decode_header(wire->in, &wire->head, why);
        if (err)
            return err;
    }
    err = fill(wire, fd, head_size + wire->head.size, why);
    if (err)
        return err;
    wire->in_used = 0;
    return bh_vu_decode(&wire->head, wire->in + head_size, wire->fd_count, message, why);
}

void bh_vu_wire_close_fds(struct bh_vu_wire *wire)
{
    for (unsigned i = 0; i < wire->fd_count; i++)
        if (wire->fds[i] >= 0)
            close(wire->fds[i]);
    wire->fd_count = 0;
}

int bh_vu_wire_take_fd(struct bh_vu_wire *wire, unsigned at)
{
    int fd = -1;
    if (at < wire->fd_count) {
        fd = wire->fds[at];
        wire->fds[at] = -1;
    }
    return fd;
}

void bh_vu_wire_reply(struct bh_vu_wire *wire, uint32_t request, const void *payload, uint32_t size)
{
    const struct vhost_user_header head = {
        .request = request, .flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY, .size = size};
    BH_ASSERT(!wire->out_used && sizeof(head) + size <= sizeof(wire->out));
    memcpy(wire->out, &head, sizeof(head));
    memcpy(wire->out + sizeof(head), payload, size);
    wire->out_used = sizeof(head) + size;
    wire->out_done = 0;
}

int bh_vu_wire_send(struct bh_vu_wire *wire, int fd)
{
    while (wire->out_done < wire->out_used) {
        ssize_t put = send(fd, wire->out + wire->out_done, wire->out_used - wire->out_done,
                           MSG_DONTWAIT | MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return BH_ERR_AGAIN;
        if (put <= 0)
            return BH_ERR_CLOSED;
        wire->out_done += (size_t)put;
    }
    wire->out_used = wire->out_done = 0;
    return BH_OK;
}

int bh_vu_wire_config_change(int fd)
{
    const struct vhost_user_header head = {.request = VHOST_USER_BACKEND_CONFIG_CHANGE_MSG,
                                           .flags = VHOST_USER_VERSION};
    ssize_t put;
    do
        put = send(fd, &head, sizeof(head), MSG_DONTWAIT | MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put == (ssize_t)sizeof(head))
        return BH_OK;
    /* A stream that took a part of 12 bytes is in an unknown state: give it up. */
    return put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? BH_ERR_AGAIN : BH_ERR_CLOSED;
}
