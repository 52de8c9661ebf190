/* SPDX-License-Identifier: Apache-2.0 */
/* The recovery tests' front-end: it knows nothing of what happens to the device process. */
#include "tests/unit/recovery_rig.h"
#include "tests/unit/send_fds.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define PROTOCOL                                                                                             \
    (1u << VHOST_USER_PROTOCOL_F_MQ | 1u << VHOST_USER_PROTOCOL_F_REPLY_ACK |                                \
     1u << VHOST_USER_PROTOCOL_F_CONFIG | 1u << VHOST_USER_PROTOCOL_F_BACKEND_REQ |                          \
     1u << VHOST_USER_PROTOCOL_F_STATUS | 1u << VHOST_USER_PROTOCOL_F_RESET_DEVICE |                         \
     1u << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD | 1u << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS)

#define IN_BAND (1u << VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS)

/* --- messages -------------------------------------------------------------------------------------------- */

void front_send(struct rec_front *front, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
                int with_fd)
{
    uint8_t bytes[sizeof(struct vhost_user_header) + 512];
    const struct vhost_user_header head = {request, VHOST_USER_VERSION | flags, size};
    memcpy(bytes, &head, sizeof(head));
    if (size)
        memcpy(bytes + sizeof(head), payload, size);
    /* In pieces: the fd comes with the first. */
    const size_t total = sizeof(head) + size;
    for (size_t done = 0, some; done < total; done += some) {
        some = front->piece && front->piece < total - done ? front->piece : total - done;
        CHECK(test_send_fds(front->fd, bytes + done, some, &with_fd, !done && with_fd >= 0) == (ssize_t)some);
        if (front->piece)
            usleep(50);
    }
}

void front_reply(struct rec_front *front, uint32_t request, void *payload, uint32_t size, int *with_fd)
{
    struct {
        struct vhost_user_header head;
        uint8_t bytes[512];
    } reply;
    struct pollfd ready = {.fd = front->fd, .events = POLLIN};
    const size_t whole = sizeof(reply.head) + size;
    int fd;
    CHECK(poll(&ready, 1, REC_WAIT_MS) == 1);
    CHECK(test_recv_fd(front->fd, &reply, whole, MSG_WAITALL, &fd) == (ssize_t)whole);
    CHECK(reply.head.request == request);
    CHECK(reply.head.flags == (VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY));
    CHECK(reply.head.size == size);
    memcpy(payload, reply.bytes, size);
    if (with_fd)
        *with_fd = fd;
}

uint64_t front_get(struct rec_front *front, uint32_t request)
{
    uint64_t value = 0;
    front_send(front, request, 0, NULL, 0, -1);
    front_reply(front, request, &value, sizeof(value), NULL);
    return value;
}

void front_tell(struct rec_front *front, uint32_t request, const void *payload, uint32_t size, int with_fd)
{
    uint64_t failed = 1;
    front_send(front, request, VHOST_USER_FLAG_NEED_REPLY, payload, size, with_fd);
    front_reply(front, request, &failed, sizeof(failed), NULL);
    CHECK(failed == 0);
}

void front_tell_u64(struct rec_front *front, uint32_t request, uint64_t value)
{
    front_tell(front, request, &value, sizeof(value), -1);
}

void front_tell_state(struct rec_front *front, uint32_t request, uint32_t index, uint32_t num)
{
    const struct vhost_user_vring_state state = {index, num};
    front_tell(front, request, &state, sizeof(state), -1);
}

void front_say_state(struct rec_front *front, uint32_t request, uint32_t index, uint32_t num)
{
    const struct vhost_user_vring_state state = {index, num};
    front_send(front, request, 0, &state, sizeof(state), -1);
}

/* --- coming back ----------------------------------------------------------------------------------------- */

bool front_lost(const struct rec_front *front)
{
    struct pollfd line = {.fd = front->fd};
    return poll(&line, 1, 0) == 1 && line.revents & POLLHUP;
}

void front_come_back(struct rec_front *front, int fd)
{
    close(front->fd);
    front->fd = fd;
    if (front->channel >= 0)
        close(front->channel);
    front_negotiate(front);
    front_tell(front, VHOST_USER_SET_INFLIGHT_FD, &front->inflight, VHOST_USER_INFLIGHT_BYTES,
               front->inflight_fd);
    front_share(front);
}

/* --- the set-up ------------------------------------------------------------------------------------------ */

void front_init(struct rec_front *front, int fd, uint64_t ring_bits)
{
    memset(front, 0, sizeof(*front));
    front->fd = fd;
    front->channel = front->inflight_fd = -1;
    front->ring_bits = ring_bits;
    CHECK(bh_drv_guest_create(&front->guest, bh_daddr(REC_BASE), 1u << 20) == BH_OK);
    for (unsigned i = 0; i < REC_QUEUES; i++)
        front->kick[i] = front->call[i] = -1;
}

void front_negotiate(struct rec_front *front)
{
    const uint64_t bits = UINT64_C(1) << BH_F_VERSION_1 | front->ring_bits;
    uint64_t protocol;
    int ends[2];
    CHECK((front_get(front, VHOST_USER_GET_FEATURES) & bits) == bits);
    protocol = front_get(front, VHOST_USER_GET_PROTOCOL_FEATURES);
    CHECK((protocol & (PROTOCOL | IN_BAND)) == (PROTOCOL | IN_BAND));
    protocol = PROTOCOL | (front->in_band ? IN_BAND : 0);
    front_send(front, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, sizeof(protocol), -1);
    CHECK(front_get(front, VHOST_USER_GET_QUEUE_NUM) == REC_QUEUES);
    front_send(front, VHOST_USER_SET_OWNER, 0, NULL, 0, -1);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    front_tell(front, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, ends[1]);
    close(ends[1]);
    front->channel = ends[0];
    front->features = bh_features_of64(bits);
    front_tell_u64(front, VHOST_USER_SET_FEATURES, bits | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES);
}

static struct vhost_user_region region(const struct rec_front *front)
{
    return (struct vhost_user_region){REC_BASE, front->guest.size, REC_USER, 0};
}

void front_share(struct rec_front *front)
{
    struct vhost_user_mem_table table = {.region_count = 1};
    table.regions[0] = region(front);
    front_tell(front, VHOST_USER_SET_MEM_TABLE, &table, 8 + sizeof(table.regions[0]), front->guest.fd);
}

void front_ask_inflight(struct rec_front *front)
{
    struct vhost_user_inflight area = {.num_queues = REC_QUEUES, .queue_size = REC_SIZE};
    front_send(front, VHOST_USER_GET_INFLIGHT_FD, 0, &area, sizeof(area), -1);
    front_reply(front, VHOST_USER_GET_INFLIGHT_FD, &front->inflight, sizeof(front->inflight),
                &front->inflight_fd);
    CHECK(front->inflight_fd >= 0 && front->inflight.mmap_size > 0);
    front_tell(front, VHOST_USER_SET_INFLIGHT_FD, &front->inflight, sizeof(front->inflight),
               front->inflight_fd);
}

/* What the back-end says: a VRING_CALL, which is acknowledged, or that config changed, as each successor does. */
static void take_in_band(struct rec_front *front)
{
    struct vhost_user_header head;
    struct vhost_user_vring_state state;
    uint8_t answer[sizeof(head) + sizeof(uint64_t)] = {0};
    CHECK(recv(front->channel, &head, sizeof(head), MSG_WAITALL) == sizeof(head));
    if (head.request == VHOST_USER_BACKEND_CONFIG_CHANGE_MSG && !head.size)
        return;
    CHECK(head.request == VHOST_USER_BACKEND_VRING_CALL && head.size == sizeof(state));
    CHECK(head.flags == (VHOST_USER_VERSION | VHOST_USER_FLAG_NEED_REPLY));
    CHECK(recv(front->channel, &state, sizeof(state), MSG_WAITALL) == sizeof(state));
    CHECK(state.index < REC_QUEUES && state.num == 0);
    front->called[state.index] = true;
    head.flags = VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY;
    memcpy(answer, &head, sizeof(head));
    CHECK(send(front->channel, answer, sizeof(answer), 0) == sizeof(answer));
}

static int new_event(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    CHECK(*fd >= 0);
    return *fd;
}

static void lay_ring(struct rec_front *front, unsigned index)
{
    struct bh_drv_queue *queue = &front->queue[index];
    if (queue->slots)
        return;
    CHECK(bh_drv_queue_create(queue, &front->guest, REC_SIZE, &front->features, 0) == BH_OK);
    for (unsigned i = 0; i < BH_COUNT(front->requests[index]); i++) {
        struct rec_request *request = &front->requests[index][i];
        request->number = bh_drv_guest_alloc(&front->guest, 8, 8, &request->out);
        request->answer = bh_drv_guest_alloc(&front->guest, 8, 8, &request->in);
        CHECK(request->number && request->answer);
    }
}

void front_start_ring(struct rec_front *front, unsigned index, uint32_t base)
{
    struct vhost_user_vring_addr addr = {.index = index};
    const uint64_t word = index;
    lay_ring(front, index);
    addr.descriptor = front->queue[index].setup.desc.raw - REC_BASE + REC_USER;
    addr.available = front->queue[index].setup.driver.raw - REC_BASE + REC_USER;
    addr.used = front->queue[index].setup.device.raw - REC_BASE + REC_USER;
    front_say_state(front, VHOST_USER_SET_VRING_NUM, index, REC_SIZE);
    front_say_state(front, VHOST_USER_SET_VRING_BASE, index, base);
    front_tell(front, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), -1);
    if (!front->in_band) {
        front_send(front, VHOST_USER_SET_VRING_KICK, 0, &word, sizeof(word), new_event(&front->kick[index]));
        front_send(front, VHOST_USER_SET_VRING_CALL, 0, &word, sizeof(word), new_event(&front->call[index]));
        /* The same fd twice, as front-ends do. */
        front_tell(front, VHOST_USER_SET_VRING_CALL, &word, sizeof(word), front->call[index]);
    }
    front_tell_state(front, VHOST_USER_SET_VRING_ENABLE, index, 1);
    if (front->in_band)
        front_tell_state(front, VHOST_USER_VRING_KICK, index,
                         0); /* the driver's buffers may be there already */
}

uint32_t front_stop_ring(struct rec_front *front, unsigned index)
{
    struct vhost_user_vring_state state = {index, 0};
    front_send(front, VHOST_USER_GET_VRING_BASE, 0, &state, sizeof(state), -1);
    front_reply(front, VHOST_USER_GET_VRING_BASE, &state, sizeof(state), NULL);
    CHECK(state.index == index);
    return state.num;
}

/* --- the rings ------------------------------------------------------------------------------------------- */

unsigned front_in_flight(const struct rec_front *front, unsigned index)
{
    return (unsigned)(front->sent[index] - front->done[index]);
}

unsigned front_add(struct rec_front *front, unsigned index, unsigned most)
{
    const uint64_t one = 1;
    unsigned added = 0;
    for (unsigned i = 0; i < BH_COUNT(front->requests[index]) && added < most; i++) {
        struct rec_request *request = &front->requests[index][i];
        const struct bh_drv_buf bufs[2] = {{request->out, 8}, {request->in, 8}};
        if (request->in_flight)
            continue;
        *request->number = front->sent[index] << 8 | index;
        *request->answer = 0;
        if (bh_drv_ring_add(&front->queue[index].ring, bufs, 1, 1, request) != BH_OK)
            break;
        request->in_flight = true;
        front->sent[index]++;
        added++;
    }
    if (!added || !bh_drv_ring_kick_needed(&front->queue[index].ring))
        return added;
    if (front->in_band)
        front_tell_state(front, VHOST_USER_VRING_KICK, index, 0);
    else
        CHECK(write(front->kick[index], &one, sizeof(one)) == sizeof(one));
    return added;
}

unsigned front_take(struct rec_front *front, unsigned index)
{
    unsigned count = 0;
    void *token;
    uint32_t len;
    int got;
    while ((got = bh_drv_ring_get(&front->queue[index].ring, &token, &len)) == 1) {
        struct rec_request *request = token;
        CHECK(request->in_flight); /* once, and never twice */
        CHECK(len == 8);
        CHECK(*request->answer == rec_answer(*request->number));
        request->in_flight = false;
        front->done[index]++;
        count++;
    }
    CHECK(got == 0 && !front->queue[index].ring.broken);
    return count;
}

void front_wait(struct rec_front *front, int ms)
{
    struct pollfd calls[REC_QUEUES + 1];
    uint64_t count;
    for (unsigned i = 0; i < REC_QUEUES; i++)
        calls[i] = (struct pollfd){.fd = front->call[i], .events = POLLIN};
    calls[REC_QUEUES] = (struct pollfd){.fd = front->in_band ? front->channel : -1, .events = POLLIN};
    CHECK(poll(calls, REC_QUEUES + 1, ms) >= 0);
    for (unsigned i = 0; i < REC_QUEUES; i++)
        if (calls[i].revents)
            (void)!read(calls[i].fd, &count, sizeof(count));
    if (calls[REC_QUEUES].revents)
        take_in_band(front);
}

/* A notification of that ring's; one that is lost ends here. */
static void await_call(struct rec_front *front, unsigned index)
{
    struct pollfd line = {.fd = front->in_band ? front->channel : front->call[index], .events = POLLIN};
    uint64_t count;
    while (front->in_band && !front->called[index]) {
        CHECK(poll(&line, 1, REC_WAIT_MS) == 1);
        take_in_band(front);
    }
    front->called[index] = false;
    if (front->in_band)
        return;
    CHECK(poll(&line, 1, REC_WAIT_MS) == 1);
    (void)!read(line.fd, &count, sizeof(count));
}

void front_drain(struct rec_front *front, unsigned index)
{
    front_take(front, index);
    while (front_in_flight(front, index)) {
        if (!bh_drv_ring_arm(&front->queue[index].ring))
            await_call(front, index);
        bh_drv_ring_disarm(&front->queue[index].ring);
        front_take(front, index);
    }
}
