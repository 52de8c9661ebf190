/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading from a connection's socket into the guest's buffers, in each form.
 *
 * #syscalls recvfrom recvmsg
 */
#include "devices/vsock/end_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define MESSAGE_MAX                                                                                          \
    (4u << 20) /* bytes of the longest message of a SOCK_SEQPACKET; a sender's buffer bounds it too */

#define EMPTY_MAX 64u /* frames that carry nothing, in one turn */

/* Nothing now. */
static int wait_for_more(struct bh_vsock_end *end)
{
    end->wants_read = true;
    bh_vsock_end_update(end);
    return BH_ERR_AGAIN;
}

/* Where a read gave none: nothing now, the end, or a failure, which is the end of both directions. */
static int no_bytes(struct bh_vsock_end *end, ssize_t got)
{
    if (got < 0 && (errno == EAGAIN || errno == EINTR) && !end->hup)
        return wait_for_more(end);
    end->eof = true;
    bh_vsock_end(end->vsock, end->conn,
                 got == 0 && !end->hup ? VIRTIO_VSOCK_SHUTDOWN_SEND : VIRTIO_VSOCK_SHUTDOWN_BOTH);
    return BH_ERR_AGAIN;
}

static ssize_t receive(struct bh_vsock_end *end, const struct bh_seg *segs, unsigned count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)segs, .msg_iovlen = count};

    return recvmsg(end->fd, &message, MSG_DONTWAIT);
}

static int read_stream(struct bh_vsock_end *end, const struct bh_seg *segs, unsigned count)
{
    ssize_t got = receive(end, segs, count);

    return got > 0 ? (int)got : no_bytes(end, got);
}

/* The first `room` bytes of the segments; how many segments they are. The last is cut. */
static unsigned cut(struct bh_seg *to, const struct bh_seg *segs, unsigned count, uint32_t room)
{
    unsigned n = 0;

    for (; n < count && room > 0; n++) {
        to[n] = segs[n];
        if (to[n].len > room)
            to[n].len = room;
        room -= (uint32_t)to[n].len;
    }
    return n;
}

/*
 * A frame of no bytes that ends nothing costs no credit: a guest would have to keep any number of them. No Linux sends
 * a message of no bytes, and a socket of the host would read it as the end.
 */
static bool carries_nothing(const struct bh_vsock_end *end)
{
    return bh_le32_get(end->frame.len) == 0 &&
           (end->conn->unfinished == 0 || !(bh_le32_get(end->frame.flags) & VIRTIO_VSOCK_SEQ_EOM));
}

static int read_framed(struct bh_vsock_end *end, const struct bh_seg *segs, unsigned count, uint32_t room,
                       uint32_t *flags)
{
    struct bh_seg part[BH_VSOCK_SEGS];
    ssize_t got;

    for (unsigned i = 0; end->frame_have < sizeof(end->frame) && i < EMPTY_MAX; i++) {
        got = recv(end->fd, (uint8_t *)&end->frame + end->frame_have, sizeof(end->frame) - end->frame_have,
                   MSG_DONTWAIT);
        if (got <= 0)
            return no_bytes(end, got);
        end->frame_have += (uint32_t)got;
        if (end->frame_have < sizeof(end->frame))
            return end->hup ? no_bytes(end, 0) : wait_for_more(end);
        end->frame_left = bh_le32_get(end->frame.len);
        if (carries_nothing(end))
            end->frame_have = 0;
    }
    if (end->frame_have == 0)
        return end->hup ? no_bytes(end, 0) : wait_for_more(end);
    if (end->frame_left > 0) {
        got = receive(end, part, cut(part, segs, count, end->frame_left < room ? end->frame_left : room));
        if (got <= 0)
            return no_bytes(end, got);
        end->frame_left -= (uint32_t)got;
    } else {
        got = 0;
    }
    if (end->frame_left == 0) {
        *flags = bh_le32_get(end->frame.flags) & (VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR);
        end->frame_have = 0;
    }
    return (int)got;
}

static int read_message(struct bh_vsock_end *end, const struct bh_seg *segs, unsigned count, uint32_t room,
                        uint32_t *flags)
{
    uint32_t left = end->message_len - end->message_at, done = 0;

    room = room < left ? room : left;
    for (unsigned i = 0; i < count && done < room; i++) {
        uint32_t part = segs[i].len < room - done ? (uint32_t)segs[i].len : room - done;
        memcpy(segs[i].base, end->message + end->message_at + done, part);
        done += part;
    }
    end->message_at += done;
    if (end->message_at == end->message_len) {
        free(end->message);
        end->message = NULL;
        *flags = VIRTIO_VSOCK_SEQ_EOM;
    }
    return (int)done;
}

/*
 * How long the next message is; at most that, where AF_VSOCK lets nobody look (before Linux 6.6). It answers a look at no
 * byte at all by 0, as if it were the end.
 */
static ssize_t next_size(int fd)
{
    uint8_t first;
    const ssize_t size = recv(fd, &first, sizeof(first), MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC);

    return size < 0 && errno == EOPNOTSUPP ? (ssize_t)MESSAGE_MAX : size;
}

static int read_packet(struct bh_vsock_end *end, const struct bh_seg *segs, unsigned count, uint32_t room,
                       uint32_t *flags)
{
    if (end->message)
        return read_message(end, segs, count, room, flags);
    ssize_t size = next_size(end->fd);
    if (size <= 0)
        return no_bytes(end, size);
    if (size <= (ssize_t)room) {
        ssize_t got = receive(end, segs, count);
        *flags = VIRTIO_VSOCK_SEQ_EOM;
        return got > 0 ? (int)got : no_bytes(end, got);
    }
    if (size > (ssize_t)MESSAGE_MAX)
        return BH_ERR_RANGE;
    end->message = malloc((size_t)size);
    if (!end->message)
        return BH_ERR_NOMEM;
    ssize_t got = recv(end->fd, end->message, (size_t)size, MSG_DONTWAIT);
    if (got <= 0) {
        free(end->message);
        end->message = NULL;
        return no_bytes(end, got);
    }
    end->message_len = (uint32_t)got;
    end->message_at = 0;
    return read_message(end, segs, count, room, flags);
}

int bh_vsock_end_read(struct bh_vsock_end *end, const struct bh_seg *segs, unsigned count, uint32_t room,
                      uint32_t *flags)
{
    *flags = 0;
    if (end->eof)
        return BH_ERR_AGAIN;
    switch (end->form) {
    case BH_VSOCK_FORM_STREAM: return read_stream(end, segs, count);
    case BH_VSOCK_FORM_FRAMED: return read_framed(end, segs, count, room, flags);
    default: return read_packet(end, segs, count, room, flags);
    }
}
