/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The channel on which the back-end speaks by itself [vhost-user, "Back-end message types"]: SET_BACKEND_REQ_FD
 * brings it; a changed config is told on it, and translations that are missing are asked for.
 *
 * Theory of operation
 *   What is to be said is kept where it arises (a flag, the IOTLB's questions, rings that notify in-band), not here: it is
 * said when the channel has room. Answers are taken one at a time, each whole where it came whole, so that a successor
 * finds the next one's begin. Those to questions of the IOTLB mean something, by their order; one to an in-band
 * notification lets the next one go.
 *
 * #syscalls recvfrom sendto
 */
#include "transports/vhost_user/iotlb.h"
#include "transports/vhost_user/request.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWERS_PER_ROUND = 16 };

static void drop_backend_channel(struct bh_vhost_user *server)
{
    bh_loop_fd_remove(&server->backend);
    close(server->backend.fd);
    server->backend.fd = -1;
    server->config_change_due = false;
    server->answer_used = 0;
    bh_vu_in_band_cut(server);
}

/* --- speaking -------------------------------------------------------------------------------------------- */

int bh_vu_channel_say(struct bh_vhost_user *server, uint32_t request, uint32_t flags, const void *payload,
                      uint32_t size)
{
    uint8_t bytes[sizeof(struct vhost_user_header) + sizeof(struct vhost_user_iotlb)];
    const struct vhost_user_header head = {request, VHOST_USER_VERSION | flags, size};
    const size_t length = sizeof(head) + size;
    ssize_t put;
    memcpy(bytes, &head, sizeof(head));
    if (size)
        memcpy(bytes + sizeof(head), payload, size);
    do
        put = send(server->backend.fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (put < 0 && errno == EINTR);
    if (put == (ssize_t)length)
        return BH_OK;
    /* A stream that took a part of so few bytes is in an unknown state: give it up. */
    return put < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? BH_ERR_AGAIN : BH_ERR_CLOSED;
}

static int ask_for_translations(struct bh_vhost_user *server)
{
    const uint32_t flags = server->iotlb->unanswered ? 0 : VHOST_USER_FLAG_NEED_REPLY;
    struct bh_vu_question *question;
    int err = BH_OK;
    while (!err && (question = bh_vu_iotlb_next_question(server->iotlb)) != NULL) {
        const struct vhost_user_iotlb miss = {
            .iova = question->page, .permissions = question->access, .type = VHOST_USER_IOTLB_MISS};
        err = bh_vu_channel_say(server, VHOST_USER_BACKEND_IOTLB_MSG, flags, &miss, sizeof(miss));
        if (err)
            question->state = BH_VU_QUESTION_DUE;
    }
    return err;
}

void bh_vu_channel_flush(struct bh_vhost_user *server)
{
    int err = BH_OK;
    if (server->backend.fd < 0)
        return;
    if (server->config_change_due)
        err = bh_vu_channel_say(server, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, NULL, 0);
    server->config_change_due = server->config_change_due && err;
    if (!err && server->iotlb)
        err = ask_for_translations(server);
    if (!err)
        err = bh_vu_in_band_say(server);
    if (err == BH_ERR_CLOSED)
        drop_backend_channel(server);
    else
        bh_loop_fd_want(&server->backend, BH_LOOP_READ | (err ? BH_LOOP_WRITE : 0));
}

void bh_vu_config_changed(struct bh_vhost_user *server)
{
    if (server->backend.fd < 0 || !bh_vu_has(server, VHOST_USER_PROTOCOL_F_CONFIG))
        return;
    server->config_change_due = true; /* several changes are one message */
    bh_vu_channel_flush(server);
}

/* --- listening ------------------------------------------------------------------------------------------- */

/* Take a whole answer out of server->answer. False: there is none yet. */
static bool take_answer(struct bh_vhost_user *server, struct vhost_user_header *head, uint64_t *value)
{
    size_t length;
    if (server->answer_used < sizeof(*head))
        return false;
    memcpy(head, server->answer, sizeof(*head));
    if (head->size > sizeof(server->answer) - sizeof(*head)) {
        bh_vu_say(server, "an answer on the back-end channel that is none: the channel is closed");
        drop_backend_channel(server);
        return false;
    }
    length = sizeof(*head) + head->size;
    if (server->answer_used < length)
        return false;
    *value = 1; /* an answer without a value is no success */
    if (head->size == sizeof(*value))
        memcpy(value, server->answer + sizeof(*head), sizeof(*value));
    server->answer_used -= length;
    memmove(server->answer, server->answer + length, server->answer_used);
    return true;
}

/*
 * Read what completes an answer, and no more. BH_OK: something came; BH_ERR_AGAIN; BH_ERR_CLOSED. An answer in pieces is
 * gathered in server->answer, where a successor does not find it.
 */
static int read_piece(struct bh_vhost_user *server)
{
    uint8_t *to = server->answer + server->answer_used;
    const size_t room = sizeof(server->answer) - server->answer_used;
    struct vhost_user_header head;
    ssize_t got = recv(server->backend.fd, to, room, MSG_DONTWAIT | MSG_PEEK);
    size_t there;
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR) ? BH_ERR_AGAIN : BH_ERR_CLOSED;
    there = server->answer_used + (size_t)got;
    memcpy(&head, server->answer, sizeof(head)); /* means something when so many are there */
    if (there > sizeof(head) && head.size < sizeof(server->answer) - sizeof(head) &&
        there > sizeof(head) + head.size)
        there = sizeof(head) + head.size;
    got = recv(server->backend.fd, to, there - server->answer_used, MSG_DONTWAIT);
    server->answer_used += got > 0 ? (size_t)got : 0;
    return got > 0 ? BH_OK : BH_ERR_AGAIN;
}

static void read_answers(struct bh_vhost_user *server)
{
    struct vhost_user_header head;
    bool heard = false;
    uint64_t value;
    int err = BH_OK;
    for (unsigned i = 0; i < ANSWERS_PER_ROUND && !err && server->backend.fd >= 0; i++) {
        err = read_piece(server);
        if (err || !take_answer(server, &head, &value))
            continue;
        if (head.request == VHOST_USER_BACKEND_VRING_CALL || head.request == VHOST_USER_BACKEND_VRING_ERR)
            bh_vu_in_band_answered(server);
        if (!server->iotlb || server->iotlb->unanswered || head.request != VHOST_USER_BACKEND_IOTLB_MSG)
            continue;
        bh_vu_iotlb_answered(server->iotlb, value == 0);
        heard = true;
    }
    if (err == BH_ERR_CLOSED)
        drop_backend_channel(server);
    if (heard)
        bh_vu_iommu_wake(server);
    bh_vu_channel_flush(server);
}

static void backend_ready(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_vhost_user *server = BH_LOOP_OWNER(watch, struct bh_vhost_user, backend);
    if (events & BH_LOOP_WRITE)
        bh_vu_channel_flush(server);
    else
        read_answers(server);
}

/* --- the channel itself ---------------------------------------------------------------------------------- */

int bh_vu_adopt_backend(struct bh_vhost_user *server, int fd, uint32_t id)
{
    bh_vu_close_backend(server);
    bh_vu_never_block(fd);
    if (bh_loop_fd_add(server->loop, &server->backend, fd, BH_LOOP_READ, backend_ready)) {
        close(fd);
        server->backend.fd = -1;
        return BH_ERR_INVAL;
    }
    server->backend_id = id;
    bh_vu_channel_flush(server);
    return BH_OK;
}

enum bh_vu_result bh_vu_set_backend(struct bh_vhost_user *server, const char **why)
{
    const int fd = bh_vu_wire_take_fd(&server->wire, 0);
    if (bh_vu_adopt_backend(server, fd, server->wire.fd_ids[0]))
        return bh_vu_refuse(why, "a channel that cannot be waited for");
    return BH_VU_DONE;
}

void bh_vu_close_backend(struct bh_vhost_user *server)
{
    if (server->backend.fd >= 0)
        drop_backend_channel(server);
}
