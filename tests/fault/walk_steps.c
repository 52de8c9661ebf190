/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hostile front-end's messages. Most of what it sends is nearly right, so that it comes far: a device that is set up well, then
 * a value, an fd, a byte or a moment that is wrong.
 */
#include "tests/fault/walk_session.h"
#include "tests/unit/send_fds.h"
#include <abi/vhost_user.h>
#include <bulkhead/base.h>
#include <bulkhead/features.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- talking --------------------------------------------------------------------------------------------- */

/* Whatever was answered is thrown away. An fd that comes along is kept for later, in place of the one before. */
static void drain(struct session *session)
{
    uint8_t bytes[4096];
    int fd;
    while (test_recv_fd(session->peer, bytes, sizeof(bytes), MSG_DONTWAIT, &fd) > 0) {
        if (fd < 0)
            continue;
        if (session->state >= 0)
            close(session->state);
        session->state = fd;
    }
    while (session->channel >= 0 && recv(session->channel, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

static void send_some(struct session *session, const void *bytes, size_t size, const int *fds,
                      unsigned fd_count)
{
    /* A device that waits for something reads nothing; what does not fit is lost, as a message cut short is. */
    if (test_send_fds(session->peer, bytes, size, fds, fd_count) < 0 && errno == EAGAIN)
        (void)poll(NULL, 0, 1);
    if (!one_in(session, 8))
        drain(session);
}

static void tell(struct session *session, uint32_t request, const void *payload, uint32_t size,
                 const int *fds, unsigned fd_count)
{
    uint8_t bytes[sizeof(struct vhost_user_header) + 512];
    struct vhost_user_header head = {request, VHOST_USER_VERSION, size};
    size_t length = sizeof(head) + size, cut;
    if (!one_in(session, 16)) /* else a refusal ends the connection */
        head.flags |= VHOST_USER_FLAG_NEED_REPLY;
    if (one_in(session, 20 * session->calm))
        head.flags ^= 1u << pick(session, 5);
    if (one_in(session, 20 * session->calm))
        head.size = (uint32_t)walk_random(session->walk) >> pick(session, 32);
    memcpy(bytes, &head, sizeof(head));
    if (size)
        memcpy(bytes + sizeof(head), payload, size);
    if (one_in(session, 10 * session->calm)) /* cut off: what follows is not at a message's begin any more */
        length = 1 + pick(session, (unsigned)length);
    cut = one_in(session, 10) ? 1 + pick(session, (unsigned)length) : length;
    send_some(session, bytes, cut, fds, fd_count);
    if (cut < length)
        send_some(session, bytes + cut, length - cut, NULL, 0);
}

/*
 * Not our end of the connection: who gives that away keeps the connection for good, and the device to itself
 * (docs/transport-vhost-user.md says why that is allowed), so nobody else could be served.
 */
static int any_fd(struct session *session)
{
    const int fds[] = {session->memory_fd, session->small_fd, session->event, session->pipes[0],
                       session->pipes[1],  session->channel,  session->state, STDERR_FILENO};
    const int fd = fds[pick(session, BH_COUNT(fds))];
    return fd >= 0 ? fd : session->event;
}

static void tell_u64(struct session *session, uint32_t request, uint64_t value, int fd)
{
    value = spoil(session, value);
    if (fd >= 0 && one_in(session, 5 * session->calm))
        fd = any_fd(session);
    tell(session, request, &value, sizeof(value), &fd, fd >= 0);
}

static void tell_state(struct session *session, uint32_t request, unsigned queue, uint32_t num)
{
    const struct vhost_user_vring_state state = {(uint32_t)spoil(session, queue),
                                                 (uint32_t)spoil(session, num)};
    tell(session, request, &state, sizeof(state), NULL, 0);
}

/* --- the good parts -------------------------------------------------------------------------------------- */

static void share_memory(struct session *session)
{
    struct vhost_user_mem_table table = {.region_count = 1};
    table.regions[0] = (struct vhost_user_region){spoil(session, BASE), spoil(session, MEMORY),
                                                  spoil(session, BASE), spoil(session, 0)};
    table.regions[1] = (struct vhost_user_region){BASE + 2 * MEMORY, 4096, BASE + 2 * MEMORY, 0};
    if (one_in(session, 4)) {
        const int fds[2] = {session->memory_fd, session->small_fd};
        table.region_count = 2;
        tell(session, VHOST_USER_SET_MEM_TABLE, &table, 8 + 64, fds, 2);
    } else {
        tell(session, VHOST_USER_SET_MEM_TABLE, &table, 8 + 32, &session->memory_fd, 1);
    }
}

static void change_slot(struct session *session, bool add)
{
    const struct vhost_user_mem_region slot = {
        0, {spoil(session, BASE + 2 * MEMORY), spoil(session, 4096), spoil(session, BASE + 2 * MEMORY), 0}};
    if (add)
        tell(session, VHOST_USER_ADD_MEM_REG, &slot, sizeof(slot), &session->small_fd, 1);
    else
        tell(session, VHOST_USER_REM_MEM_REG, &slot, sizeof(slot), NULL, 0);
}

/* What the device answers; 0 when it does not, or something else came first. */
static uint64_t ask(struct session *session, uint32_t request)
{
    const struct vhost_user_header head = {request, VHOST_USER_VERSION, 0};
    struct pollfd readable = {.fd = session->peer, .events = POLLIN};
    uint8_t bytes[20];
    uint64_t value = 0;
    drain(session);
    if (test_send_fds(session->peer, &head, sizeof(head), NULL, 0) < 0)
        return 0;
    (void)poll(&readable, 1, 100);
    if (recv(session->peer, bytes, sizeof(bytes), MSG_DONTWAIT) == (ssize_t)sizeof(bytes))
        memcpy(&value, bytes + 12, sizeof(value));
    return value;
}

static void negotiate(struct session *session)
{
    const uint64_t offered = ask(session, VHOST_USER_GET_FEATURES);
    uint64_t features = UINT64_C(1) << BH_F_VERSION_1 | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES;
    const uint64_t maybe[] = {UINT64_C(1) << BH_F_EVENT_IDX,       UINT64_C(1) << BH_F_INDIRECT_DESC,
                              UINT64_C(1) << BH_F_IN_ORDER,        UINT64_C(1) << VHOST_F_LOG_ALL,
                              UINT64_C(1) << BH_F_ACCESS_PLATFORM, walk_random(session->walk) & 0xffffff};
    uint64_t protocol = ask(session, VHOST_USER_GET_PROTOCOL_FEATURES);
    session->packed = one_in(session, 2);
    if (session->packed)
        features |= UINT64_C(1) << BH_F_RING_PACKED;
    for (unsigned i = 0; i < BH_COUNT(maybe); i++)
        if (one_in(session, 4))
            features |= maybe[i] & offered;
    if (one_in(session, 6))
        protocol &= walk_random(session->walk) | 1u << VHOST_USER_PROTOCOL_F_REPLY_ACK;
    tell(session, VHOST_USER_SET_OWNER, NULL, 0, NULL, 0);
    tell_u64(session, VHOST_USER_SET_PROTOCOL_FEATURES, protocol, -1);
    tell_u64(session, VHOST_USER_SET_FEATURES, features, -1);
}

static void start_ring(struct session *session, unsigned queue)
{
    const uint64_t at = BASE + (uint64_t)queue * RING_BYTES;
    const struct vhost_user_vring_addr addr = {(uint32_t)queue,
                                               pick(session, 2),
                                               spoil(session, at + DESC_AT),
                                               spoil(session, at + USED_AT),
                                               spoil(session, at + AVAIL_AT),
                                               at + USED_AT};
    session->avail[queue] = 0;
    session->wrap[queue] = true;
    if (!session->truncated)
        memset(session->memory + queue * RING_BYTES, 0, RING_BYTES);
    tell_state(session, VHOST_USER_SET_VRING_NUM, queue, SIZE);
    tell_state(session, VHOST_USER_SET_VRING_BASE, queue, session->packed ? 0x80008000u : 0);
    tell(session, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
    if (!one_in(session, 3))
        tell_u64(session, VHOST_USER_SET_VRING_CALL, queue, session->event);
    if (one_in(session, 2))
        tell_u64(session, VHOST_USER_SET_VRING_ERR, queue, session->event);
    if (one_in(session, 3)) /* in-band, where that was negotiated */
        tell_state(session, VHOST_USER_VRING_KICK, queue, one_in(session, 20));
    else
        tell_u64(session, VHOST_USER_SET_VRING_KICK, queue, session->event);
    tell_state(session, VHOST_USER_SET_VRING_ENABLE, queue, 1);
}

static void open_channel(struct session *session)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return;
    if (session->channel >= 0)
        close(session->channel);
    session->channel = ends[0];
    tell(session, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &ends[1], 1);
    close(ends[1]);
}

/* --- everything else ------------------------------------------------------------------------------------- */

static void some_request(struct session *session)
{
    static const uint16_t sizes[] = {0, 4, 8, 16, 20, 24, 32, 40, 12 + 8, 8 + 32, 8 + 64};
    uint8_t payload[256];
    int fds[8];
    uint32_t size =
        one_in(session, 10) ? pick(session, sizeof(payload)) : sizes[pick(session, BH_COUNT(sizes))];
    const unsigned fd_count = one_in(session, 3) ? pick(session, 9) % 9 : one_in(session, 2);
    for (unsigned i = 0; i < sizeof(payload); i++)
        payload[i] = (uint8_t)(one_in(session, 3) ? walk_random(session->walk) >> 24 : 0);
    for (unsigned i = 0; i < fd_count && i < 8; i++)
        fds[i] = any_fd(session);
    tell(session, one_in(session, 50) ? (uint32_t)walk_random(session->walk) : 1 + pick(session, 46), payload,
         size, fds, fd_count < 8 ? fd_count : 8);
}

static void migrate(struct session *session)
{
    const struct vhost_user_log log = {spoil(session, 4096), spoil(session, 0)};
    const struct vhost_user_device_state transfer = {pick(session, 2), pick(session, 20) == 0};
    uint8_t bytes[256];
    switch (pick(session, 4)) {
    case 0: tell(session, VHOST_USER_SET_LOG_BASE, &log, sizeof(log), &session->small_fd, 1); break;
    case 1:
        tell(session, VHOST_USER_SET_DEVICE_STATE_FD, &transfer, sizeof(transfer), &session->pipes[1], 1);
        break;
    case 2:
        for (unsigned i = 0; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)(walk_random(session->walk) >> 24);
        if (session->state >= 0)
            (void)!pwrite(session->state, bytes, sizeof(bytes), pick(session, 2) ? 0 : pick(session, 300));
        break;
    default: tell(session, VHOST_USER_CHECK_DEVICE_STATE, NULL, 0, NULL, 0); break;
    }
}

static void iommu(struct session *session)
{
    const struct vhost_user_iotlb message = {
        spoil(session, one_in(session, 3) ? BASE : BASE + pick(session, MEMORY / 4096) * 4096u),
        spoil(session, one_in(session, 3) ? MEMORY : 4096),
        spoil(session, BASE),
        (uint8_t)pick(session, 5),
        (uint8_t)(2 + pick(session, 2)),
        {0}};
    struct {
        struct vhost_user_header head;
        uint8_t value[8];
    } answer = {{1 + pick(session, 5), VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY, 8},
                {(uint8_t)pick(session, 2)}};
    if (one_in(session, 2))
        tell(session, VHOST_USER_IOTLB_MSG, &message, sizeof(message), NULL, 0);
    else if (session->channel >= 0)
        (void)!send(session->channel, &answer, one_in(session, 20) ? pick(session, 20) : 20,
                    MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void config(struct session *session)
{
    struct {
        struct vhost_user_config_header head;
        uint8_t bytes[VHOST_USER_CONFIG_MAX];
    } config = {.head = {pick(session, 80), pick(session, 64), pick(session, 3)}};
    for (unsigned i = 0; i < 64; i++)
        config.bytes[i] = (uint8_t)(walk_random(session->walk) >> 24);
    tell(session, one_in(session, 2) ? VHOST_USER_SET_CONFIG : VHOST_USER_GET_CONFIG, &config,
         (uint32_t)sizeof(config.head) + config.head.size, NULL, 0);
}

static void truncate_something(struct session *session)
{
    if (one_in(session, 3)) {
        session->truncated = true;
        (void)!ftruncate(session->memory_fd, pick(session, MEMORY));
    } else {
        (void)!ftruncate(session->small_fd, one_in(session, 2) ? 0 : 4096);
    }
    (void)!write(session->event, &(uint64_t){1}, 8);
}

static void control(struct session *session)
{
    static const uint8_t statuses[] = {0, 1, 3, 11, 15, 79, 128, 255};
    const unsigned queue = pick(session, session->queues);
    switch (pick(session, 9)) {
    case 0: tell_state(session, VHOST_USER_GET_VRING_BASE, queue, 0); break;
    case 1: tell_state(session, VHOST_USER_SET_VRING_ENABLE, queue, pick(session, 2)); break;
    case 2: tell_u64(session, VHOST_USER_SET_STATUS, statuses[pick(session, BH_COUNT(statuses))], -1); break;
    case 3: tell(session, VHOST_USER_RESET_DEVICE, NULL, 0, NULL, 0); break;
    case 4: negotiate(session); break;
    case 5: share_memory(session); break;
    case 6: change_slot(session, one_in(session, 2)); break;
    case 7: open_channel(session); break;
    default: start_ring(session, queue); break;
    }
}

static void step(struct session *session)
{
    const unsigned what = pick(session, 100);
    session->walk->steps++;
    if (what < 45)
        add_and_kick(session);
    else if (what < 60)
        smash(session);
    else if (what < 75)
        control(session);
    else if (what < 82)
        some_request(session);
    else if (what < 88)
        iommu(session);
    else if (what < 93)
        migrate(session);
    else if (what < 97)
        config(session);
    else if (what < 98)
        truncate_something(session);
    else if (what < 99)
        tell_state(session, VHOST_USER_VRING_KICK, pick(session, session->queues), 0);
    else
        (void)!write(session->event, &(uint64_t){1}, 8);
}

/*
 * Does it still answer? A connection that it has closed is an answer as well. Asked so often that the rest of a message
 * that was cut short is among it.
 */
static bool answers(struct session *session)
{
    struct pollfd readable = {.fd = session->peer, .events = POLLIN};
    struct vhost_user_header heads[64];
    for (unsigned i = 0; i < BH_COUNT(heads); i++)
        heads[i] = (struct vhost_user_header){VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0};
    drain(session);
    (void)test_send_fds(session->peer, heads, sizeof(heads), NULL, 0);
    return poll(&readable, 1, ANSWER_MS) == 1;
}

static bool session_open(struct session *session, struct walk *walk)
{
    *session = (struct session){.walk = walk,
                                .channel = -1,
                                .state = -1,
                                .queues = 1 + walk_pick(walk, WALK_QUEUES),
                                .calm = 8u << walk_pick(walk, 7)};
    session->peer = walk_connect(walk);
    session->memory_fd = memfd_create("walk", MFD_CLOEXEC);
    session->small_fd = memfd_create("walk-small", MFD_CLOEXEC);
    session->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (session->peer < 0 || session->memory_fd < 0 || session->small_fd < 0 || session->event < 0 ||
        ftruncate(session->memory_fd, MEMORY) || ftruncate(session->small_fd, 65536) ||
        pipe2(session->pipes, O_NONBLOCK | O_CLOEXEC))
        return false;
    session->memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, session->memory_fd, 0);
    return session->memory != MAP_FAILED;
}

static void session_close(struct session *session)
{
    const int fds[] = {session->peer,     session->memory_fd, session->small_fd, session->event,
                       session->pipes[0], session->pipes[1],  session->channel,  session->state};
    munmap(session->memory, MEMORY);
    for (unsigned i = 0; i < BH_COUNT(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
}

bool walk_session(struct walk *walk)
{
    struct session session;
    bool alive = true;
    if (!session_open(&session, walk))
        return false;
    if (!one_in(&session, 10)) {
        negotiate(&session);
        if (one_in(&session, 2))
            open_channel(&session);
        share_memory(&session);
        for (unsigned i = 0; i < session.queues; i++)
            start_ring(&session, i);
        tell_u64(&session, VHOST_USER_SET_STATUS, 15, -1);
    }
    for (unsigned i = 1 + pick(&session, 120); i > 0; i--)
        step(&session);
    /* Some leave in the middle of it; the others see whether it is still there. */
    if (!one_in(&session, 3))
        alive = answers(&session);
    session_close(&session);
    return alive;
}
