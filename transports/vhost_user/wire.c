/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes and fds between a vhost-user socket and messages. Never blocks: a message may come in any number of pieces,
 * and an answer leave in as many. Each step leaves in the journal what a successor needs to go on with it.
 *
 * #syscalls recvmsg recvmmsg sendmmsg sendto
 */
#include "transports/vhost_user/server.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    HEAD = sizeof(struct vhost_user_header),
    /* One more fd than any message has room for, so that too many are noticed rather than cut off. */
    FDS_ROOM = BH_VU_FDS_MAX + 1,
};

union control {
    char bytes[CMSG_SPACE(sizeof(int) * FDS_ROOM)];
    struct cmsghdr align;
};

static int wrong(const char **why, int err, const char *text)
{
    *why = text;
    return err;
}

/* --- in -------------------------------------------------------------------------------------------------- */

/*
 * Look at up to `len` bytes and leave them in the socket. Returns how many there are; with `control`, the fds that come
 * with them are there as well, duplicates. BH_ERR_AGAIN, BH_ERR_CLOSED.
 */
static int peek(int fd, uint8_t *bytes, size_t len, struct msghdr *header, union control *control)
{
    struct iovec part = {.iov_base = bytes, .iov_len = len};
    ssize_t got;
    *header = (struct msghdr){.msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control,
                              .msg_controllen = control ? sizeof(*control) : 0};
    do
        got = recvmsg(fd, header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    header->msg_iov = NULL; /* it was ours */
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? BH_ERR_AGAIN : BH_ERR_CLOSED;
    return got == 0 ? BH_ERR_CLOSED : (int)got;
}

/* Keep the fds that came with a piece; those beyond the message's most are closed, and it is refused. */
static int keep_fds(struct bh_vhost_user *server, struct msghdr *header, const char **why)
{
    struct bh_vu_wire *wire = &server->wire;
    struct bh_vu_inbox *inbox = &bh_vu_journal_now(&server->journal)->in;
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
                const unsigned at = wire->fd_count++;
                wire->fds[at] = fd;
                wire->fd_ids[at] = inbox->fd_ids[at] = bh_vu_journal_keep(server, fd);
            } else {
                close(fd);
                too_many = true;
            }
        }
    }
    return too_many ? wrong(why, BH_ERR_PROTO, "more file descriptors than any message has") : BH_OK;
}

static void close_fds_from(struct bh_vu_wire *wire, unsigned first)
{
    for (unsigned i = first; i < wire->fd_count; i++)
        if (wire->fds[i] >= 0)
            close(wire->fds[i]);
    wire->fd_count = first;
}

/*
 * Move up to `len` bytes of the message into the inbox: first their fds to the keeper, then the bytes out of the socket.
 * A read of a stream ends with the first fds that it meets, so those seen are either with these bytes or behind them.
 */
static int take(struct bh_vhost_user *server, size_t len, const char **why)
{
    struct bh_vu_wire *wire = &server->wire;
    struct bh_vu_inbox *inbox = &bh_vu_journal_now(&server->journal)->in;
    const uint32_t used = bh_vu_moved(&inbox->moves, sizeof(inbox->bytes));
    const unsigned fds_before = wire->fd_count;
    uint8_t seen[BH_VU_MESSAGE_MAX];
    union control control;
    struct msghdr header;
    struct mmsghdr *call;
    int err, got = peek(server->conn.fd, seen, len, &header, &control);
    if (got < 0)
        return got;
    err = keep_fds(server, &header, why);
    if (err)
        return err;
    call = bh_vu_next_move(&inbox->moves, inbox->bytes + used, (uint32_t)got, sizeof(inbox->bytes),
                           wire->fd_count - fds_before);
    if (recvmmsg(server->conn.fd, call, 1, MSG_DONTWAIT, NULL) != 1)
        err = errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK ? BH_ERR_AGAIN : BH_ERR_CLOSED;
    if (wire->fd_count > bh_vu_moved_fds(&inbox->moves))
        close_fds_from(wire, fds_before); /* they belong to a later message */
    return err;
}

/* How many bytes to take next, of a message of which `used` are there; 0: it is complete. Or as peek. */
static int wanted(struct bh_vhost_user *server, uint32_t used, const char **why)
{
    struct bh_vu_wire *wire = &server->wire;
    const struct bh_vu_inbox *inbox = &bh_vu_journal_now(&server->journal)->in;
    uint8_t head[HEAD];
    struct msghdr header;
    int err, got = 0;
    memcpy(head, inbox->bytes, used < HEAD ? used : HEAD);
    if (used < HEAD) {
        got = peek(server->conn.fd, head + used, HEAD - used, &header, NULL);
        if (got < 0 || (uint32_t)got < HEAD - used)
            return got;
    }
    err = bh_vu_decode_header(head, &wire->head, why);
    if (err)
        return err;
    if (used > HEAD + wire->head.size)
        return wrong(why, BH_ERR_PROTO, "more bytes than the message has");
    return (int)(HEAD + wire->head.size - used);
}

int bh_vu_wire_receive(struct bh_vhost_user *server, struct bh_vu_message *message, const char **why)
{
    struct bh_vu_wire *wire = &server->wire;
    const struct bh_vu_inbox *inbox = &bh_vu_journal_now(&server->journal)->in;
    *why = NULL;
    for (;;) {
        const uint32_t used = bh_vu_moved(&inbox->moves, sizeof(inbox->bytes));
        int result = wanted(server, used, why);
        if (result == 0)
            break;
        if (result > 0)
            result = take(server, (size_t)result, why);
        if (result == BH_ERR_CLOSED && used)
            *why = "the front-end went away in mid-message";
        if (result)
            return result;
    }
    return bh_vu_decode(&wire->head, inbox->bytes + HEAD, wire->fd_count, message, why);
}

int bh_vu_wire_restore(struct bh_vhost_user *server)
{
    struct bh_vu_wire *wire = &server->wire;
    const struct bh_vu_image *image = bh_vu_journal_now(&server->journal);
    const unsigned count = bh_vu_moved_fds(&image->in.moves);
    for (unsigned i = 0; i < count; i++) {
        wire->fd_ids[i] = image->in.fd_ids[i];
        wire->fds[i] = bh_vu_journal_fd(&server->journal, wire->fd_ids[i]);
        wire->fd_count++;
        if (wire->fds[i] < 0)
            return BH_ERR_NOENT;
    }
    if (image->out.fd_id) {
        wire->reply_fd = bh_vu_journal_fd(&server->journal, image->out.fd_id);
        if (wire->reply_fd < 0)
            return BH_ERR_NOENT;
    }
    return BH_OK;
}

void bh_vu_wire_init(struct bh_vu_wire *wire)
{
    memset(wire, 0, sizeof(*wire));
    wire->reply_fd = -1;
}

void bh_vu_wire_close_fds(struct bh_vu_wire *wire)
{
    close_fds_from(wire, 0);
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

/* --- out ------------------------------------------------------------------------------------------------- */

void bh_vu_wire_reply(struct bh_vu_wire *wire, uint32_t request, const void *payload, uint32_t size)
{
    const struct vhost_user_header head = {
        .request = request, .flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY, .size = size};
    BH_ASSERT(!wire->reply_size && sizeof(head) + size <= sizeof(wire->reply));
    memcpy(wire->reply, &head, sizeof(head));
    memcpy(wire->reply + sizeof(head), payload, size);
    wire->reply_size = (uint32_t)sizeof(head) + size;
}

void bh_vu_wire_reply_fd(struct bh_vhost_user *server, int fd)
{
    BH_ASSERT(server->wire.reply_size && server->wire.reply_fd < 0);
    server->wire.reply_fd = fd;
    server->wire.reply_fd_id = bh_vu_journal_keep(server, fd);
}

void bh_vu_wire_drop_reply_fd(struct bh_vu_wire *wire)
{
    if (wire->reply_fd >= 0)
        close(wire->reply_fd);
    wire->reply_fd = -1;
    wire->reply_fd_id = 0;
}

static uint32_t out_size(const struct bh_vu_outbox *outbox)
{
    const uint32_t size = outbox->size;
    return size < sizeof(outbox->bytes) ? size : (uint32_t)sizeof(outbox->bytes);
}

bool bh_vu_wire_sending(const struct bh_vhost_user *server)
{
    const struct bh_vu_outbox *outbox = &bh_vu_journal_now(&server->journal)->out;
    const uint32_t size = out_size(outbox);
    return bh_vu_moved(&outbox->moves, size) < size;
}

static void attach_fd(struct msghdr *header, union control *control, int fd)
{
    struct cmsghdr *head;
    memset(control, 0, sizeof(*control));
    header->msg_control = control;
    header->msg_controllen = CMSG_SPACE(sizeof(int));
    head = CMSG_FIRSTHDR(header);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof(fd));
}

int bh_vu_wire_send(struct bh_vhost_user *server)
{
    struct bh_vu_wire *wire = &server->wire;
    struct bh_vu_outbox *outbox = &bh_vu_journal_now(&server->journal)->out;
    const uint32_t size = out_size(outbox);
    for (;;) {
        const uint32_t done = bh_vu_moved(&outbox->moves, size);
        union control control;
        struct mmsghdr *call;
        if (done == size)
            break;
        call = bh_vu_next_move(&outbox->moves, outbox->bytes + done, size - done, size, 0);
        if (!done && wire->reply_fd >= 0)
            attach_fd(&call->msg_hdr, &control, wire->reply_fd);
        if (sendmmsg(server->conn.fd, call, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 || errno == EINTR)
            continue;
        return errno == EAGAIN || errno == EWOULDBLOCK ? BH_ERR_AGAIN : BH_ERR_CLOSED;
    }
    bh_vu_wire_drop_reply_fd(wire);
    return BH_OK;
}
