/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The host's end of one connection: writing, keeping what the socket does not take, reading, ends.
 *
 * Theory of operation
 *   From the guest: when nothing is kept, the guest's own segments are handed to the kernel; what it does not take is
 * copied and kept, and written when the socket has room. The class lets the guest send no more than buf_alloc bytes
 * that did not go on, which is so the bound of what is kept.
 *
 *   To the guest: the class reads into the guest's buffers, when it has some. Until it has found nothing to read the
 * socket is not watched for reading, so that data nobody can take wakes nobody.
 *
 *   A hang-up is reported by the kernel whether wanted or not; from then on the socket is not watched, as nothing new
 * can come: what is still in it is read out, and its end found by reading.
 *
 * #syscalls sendmsg shutdown
 */
#include "devices/vsock/end.h"
#include "devices/vsock/end_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

_Static_assert(offsetof(struct bh_seg, len) == offsetof(struct iovec, iov_len) &&
                   sizeof(struct bh_seg) == sizeof(struct iovec),
               "segments are iovecs");

void bh_vsock_end_update(struct bh_vsock_end *end)
{
    if (end->watch.loop)
        bh_loop_fd_want(&end->watch,
                        (end->wants_read ? BH_LOOP_READ : 0) | (end->blocked ? BH_LOOP_WRITE : 0));
}

void bh_vsock_end_open(struct bh_vsock_end *end)
{
    end->wants_read = true;
    bh_vsock_end_update(end);
}

/* Bytes of kept records of a message that has an end; of a stream, all. */
static size_t deliverable(const struct bh_vsock_end *end)
{
    size_t open = end->message_open ? end->open_len + sizeof(struct bh_vsock_frame) : 0;

    return bh_vsock_kept_len(&end->kept) - open;
}

static void end_sending(struct bh_vsock_end *end)
{
    if (end->shut_due && deliverable(end) == 0)
        (void)shutdown(end->fd, SHUT_WR);
}

/* Payload among the first `len` bytes kept: frames' heads are none. */
static uint32_t payload_of(struct bh_vsock_end *end, size_t len)
{
    const uint8_t *at = bh_vsock_kept_first(&end->kept);
    uint32_t payload = 0;

    if (end->form == BH_VSOCK_FORM_STREAM)
        return (uint32_t)len;
    while (len > 0) {
        if (end->head_left == 0 && end->body_left == 0) {
            struct bh_vsock_frame frame;
            memcpy(&frame, at, sizeof(frame));
            end->head_left = sizeof(frame);
            end->body_left = bh_le32_get(frame.len);
        }
        uint32_t *part = end->head_left ? &end->head_left : &end->body_left;
        uint32_t step = *part < len ? *part : (uint32_t)len;
        payload += end->head_left ? 0 : step;
        *part -= step;
        at += step;
        len -= step;
    }
    return payload;
}

static void forwarded(struct bh_vsock_end *end, uint32_t len)
{
    if (end->conn && len > 0)
        bh_vsock_forwarded(end->vsock, end->conn, len);
}

/* 0: no room now. */
static ssize_t none_or_error(struct bh_vsock_end *end)
{
    if (errno == EAGAIN || errno == EINTR || errno == ENOBUFS) {
        end->blocked = true;
        return 0;
    }
    return errno == EPIPE || errno == ECONNRESET ? BH_ERR_CLOSED
           : errno == EMSGSIZE                   ? BH_ERR_RANGE
                                                 : BH_ERR_IO;
}

static ssize_t send_iov(struct bh_vsock_end *end, const struct iovec *iov, size_t count)
{
    const struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count};
    ssize_t sent = sendmsg(end->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

    return sent < 0 ? none_or_error(end) : sent;
}

/* Payload that is dropped as nobody takes it still counts as gone on: the guest has its room back. */
static void drop_kept(struct bh_vsock_end *end)
{
    uint32_t payload = 0;
    size_t len = deliverable(end);

    if (end->form == BH_VSOCK_FORM_PACKET) {
        end->head_left = end->body_left = 0;
        payload = (uint32_t)end->open_len;
    }
    payload += len ? payload_of(end, len) : 0;
    bh_vsock_kept_clear(&end->kept);
    end->message_open = end->blocked = false;
    end->open_len = 0;
    end->head_left = end->body_left = 0;
    forwarded(end, payload);
}

static void takes_no_more(struct bh_vsock_end *end)
{
    drop_kept(end);
    bh_vsock_end(end->vsock, end->conn, VIRTIO_VSOCK_SHUTDOWN_RECEIVE);
    bh_vsock_end_update(end);
}

/* --- from the guest ---------------------------------------------------------------------------------------- */

static bool keep_bytes(struct bh_vsock_end *end, const void *bytes, size_t len)
{
    uint8_t *to = len ? bh_vsock_kept_add(&end->kept, len) : NULL;

    if (to)
        memcpy(to, bytes, len);
    return to || len == 0;
}

/* Keep the segments from byte `skip` on. */
static int keep(struct bh_vsock_end *end, const struct iovec *iov, size_t count, size_t skip)
{
    for (size_t i = 0; i < count; i++) {
        size_t part = skip < iov[i].iov_len ? skip : iov[i].iov_len;
        skip -= part;
        if (!keep_bytes(end, (const uint8_t *)iov[i].iov_base + part, iov[i].iov_len - part))
            return BH_ERR_NOMEM;
    }
    return BH_OK;
}

static int write_stream(struct bh_vsock_end *end, const struct iovec *iov, size_t count, uint32_t len)
{
    ssize_t sent = 0;

    if (bh_vsock_kept_len(&end->kept) == 0) {
        sent = send_iov(end, iov, count);
        if (sent < 0)
            return (int)sent;
        forwarded(end, (uint32_t)sent);
    }
    if ((size_t)sent == len)
        return BH_OK;
    end->blocked = true;
    return keep(end, iov, count, (size_t)sent);
}

static int write_framed(struct bh_vsock_end *end, const struct bh_seg *segs, unsigned count, uint32_t len,
                        uint32_t flags)
{
    struct bh_vsock_frame frame = {bh_le32_of(len),
                                   bh_le32_of(flags & (VIRTIO_VSOCK_SEQ_EOM | VIRTIO_VSOCK_SEQ_EOR))};
    struct iovec iov[BH_VSOCK_SEGS + 1];
    ssize_t sent = 0;

    iov[0] = (struct iovec){&frame, sizeof(frame)};
    if (count > 0)
        memcpy(&iov[1], segs, count * sizeof(*iov));
    if (bh_vsock_kept_len(&end->kept) == 0) {
        sent = send_iov(end, iov, count + 1u);
        if (sent < 0)
            return (int)sent;
        if ((size_t)sent < sizeof(frame)) {
            end->head_left = (uint32_t)(sizeof(frame) - (size_t)sent);
            end->body_left = len;
        } else {
            end->body_left = len - (uint32_t)((size_t)sent - sizeof(frame));
            forwarded(end, len - end->body_left);
        }
    }
    if ((size_t)sent == sizeof(frame) + len)
        return BH_OK;
    end->blocked = true;
    return keep(end, iov, count + 1u, (size_t)sent);
}

/* A message is sent in one piece: kept as a record with a head of its own until its end is here. */
static int write_packet(struct bh_vsock_end *end, const struct iovec *iov, size_t count, uint32_t len,
                        uint32_t flags)
{
    struct bh_vsock_frame head = {0};

    if (!end->message_open && (flags & VIRTIO_VSOCK_SEQ_EOM)) {
        if (len == 0)
            return BH_OK; /* on a socket it would read as the end: the reader is better off without */
        ssize_t sent = bh_vsock_kept_len(&end->kept) == 0 ? send_iov(end, iov, count) : 0;
        if (sent < 0)
            return (int)sent;
        if (sent > 0) {
            forwarded(end, len);
            return BH_OK;
        }
    }
    if (!end->message_open && !keep_bytes(end, &head, sizeof(head)))
        return BH_ERR_NOMEM;
    end->message_open = true;
    if (keep(end, iov, count, 0) != BH_OK)
        return BH_ERR_NOMEM;
    end->open_len += len;
    head.len = bh_le32_of((uint32_t)end->open_len);
    memcpy(bh_vsock_kept_first(&end->kept) + bh_vsock_kept_len(&end->kept) - end->open_len - sizeof(head),
           &head, sizeof(head));
    if (!(flags & VIRTIO_VSOCK_SEQ_EOM))
        return BH_OK;
    end->message_open = false;
    end->open_len = 0;
    int err = end->blocked ? BH_OK : bh_vsock_end_flush(end);
    if (err != BH_ERR_CLOSED)
        return err;
    takes_no_more(end); /* all that is kept, this too */
    return BH_OK;
}

int bh_vsock_end_write(struct bh_vsock_end *end, const struct bh_seg *segs, unsigned count, uint32_t len,
                       uint32_t flags)
{
    const struct iovec *iov = (const struct iovec *)(const void *)segs;
    /* A byte may cost a head too. Messages of no bytes cost no credit, so they need a bound of their own. */
    const size_t most = (size_t)end->vsock->setup.buf_alloc * (1 + sizeof(struct bh_vsock_frame));
    int err;

    if (end->hup)
        return BH_ERR_CLOSED;
    if (bh_vsock_kept_len(&end->kept) >= most)
        return BH_ERR_NOSPC;
    switch (end->form) {
    case BH_VSOCK_FORM_STREAM: err = write_stream(end, iov, count, len); break;
    case BH_VSOCK_FORM_FRAMED: err = write_framed(end, segs, count, len, flags); break;
    default: err = write_packet(end, iov, count, len, flags); break;
    }
    bh_vsock_end_update(end);
    return err;
}

/* Records, one packet each. */
static int flush_packets(struct bh_vsock_end *end)
{
    while (deliverable(end) > 0) {
        struct bh_vsock_frame head;
        memcpy(&head, bh_vsock_kept_first(&end->kept), sizeof(head));
        uint32_t len = bh_le32_get(head.len);
        const struct iovec iov = {bh_vsock_kept_first(&end->kept) + sizeof(head), len};
        ssize_t sent = send_iov(end, &iov, 1);
        if (sent <= 0)
            return (int)sent;
        bh_vsock_kept_drop(&end->kept, sizeof(head) + len);
        forwarded(end, len);
    }
    return BH_OK;
}

int bh_vsock_end_flush(struct bh_vsock_end *end)
{
    int err = BH_OK;

    end->blocked = false;
    if (end->form == BH_VSOCK_FORM_PACKET) {
        err = flush_packets(end);
    } else if (bh_vsock_kept_len(&end->kept) > 0) {
        const struct iovec iov = {bh_vsock_kept_first(&end->kept), bh_vsock_kept_len(&end->kept)};
        ssize_t sent = send_iov(end, &iov, 1);
        if (sent < 0) {
            err = (int)sent;
        } else {
            uint32_t payload = payload_of(end, (size_t)sent);
            end->blocked = (size_t)sent < iov.iov_len;
            bh_vsock_kept_drop(&end->kept, (size_t)sent);
            forwarded(end, payload);
        }
    }
    end_sending(end);
    bh_vsock_end_update(end);
    return err;
}

/* --- ends ------------------------------------------------------------------------------------------------- */

void bh_vsock_end_shutdown(struct bh_vsock_end *end, uint32_t flags)
{
    if ((flags & VIRTIO_VSOCK_SHUTDOWN_SEND) && !end->shut_due) {
        end->shut_due = true;
        end_sending(end);
    }
    if (flags & VIRTIO_VSOCK_SHUTDOWN_RECEIVE) {
        (void)shutdown(end->fd, SHUT_RD);
        end->wants_read = false;
        bh_vsock_end_update(end);
    }
}

/* The other end is gone altogether. */
static void hung_up(struct bh_vsock_end *end)
{
    end->hup = true;
    bh_loop_fd_remove(&end->watch);
    drop_kept(end);
    if (end->eof || (end->conn->guest_shut & VIRTIO_VSOCK_SHUTDOWN_RECEIVE))
        bh_vsock_end(end->vsock, end->conn, VIRTIO_VSOCK_SHUTDOWN_BOTH);
    else
        bh_vsock_readable(end->vsock, end->conn);
}

void bh_vsock_end_ready(struct bh_vsock_end *end, uint32_t events)
{
    if (events & (BH_LOOP_HUP | BH_LOOP_ERR)) {
        hung_up(end);
        return;
    }
    if ((events & BH_LOOP_WRITE) && bh_vsock_end_flush(end) != BH_OK)
        takes_no_more(end);
    if ((events & BH_LOOP_READ) && end->wants_read) {
        end->wants_read = false;
        bh_vsock_end_update(end);
        bh_vsock_readable(end->vsock, end->conn);
    }
}

bool bh_vsock_end_lingers(struct bh_vsock_end *end)
{
    end->conn = NULL;
    end->wants_read = false;
    if (end->hup || deliverable(end) == 0)
        return false;
    end->shut_due = end->blocked = true;
    bh_vsock_end_update(end);
    return true;
}

bool bh_vsock_end_deliver(struct bh_vsock_end *end, uint32_t events)
{
    if (events & (BH_LOOP_HUP | BH_LOOP_ERR))
        return false;
    return bh_vsock_end_flush(end) == BH_OK && deliverable(end) > 0;
}

void bh_vsock_end_fini(struct bh_vsock_end *end)
{
    bh_loop_fd_remove(&end->watch);
    bh_vsock_kept_clear(&end->kept);
    free(end->message);
    if (end->fd >= 0)
        close(end->fd);
    end->fd = -1;
}
