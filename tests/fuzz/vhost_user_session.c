/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sequences of vhost-user messages, kicks and writes to guest memory against a real disk (blk on a RAM store), in one
 * process over a socket pair. Whatever the front-end does, the server must stay alive, become quiet when it is told to
 * stop, and give back every file descriptor.
 *
 * The input is a list of steps, one byte of kind each:
 *   0x00..0x3f  send that request: a byte of flags and number and kind of fds, a byte of size, the payload
 *   0x40..0x7f  write guest memory: 2 bytes of offset, a byte of length, the bytes
 *   0x80..0x9f  kick ring (kind & 1)
 *   0xa0..0xbf  say something on the back-end channel: a byte of length, the bytes
 *   0xc0..0xdf  bring the device up as a front-end does, ring 0 split or packed (kind & 1), with kicks and calls as
 *               messages (kind & 2)
 *   0xe0..0xff  send raw bytes: a byte of length, the bytes
 */
#include "devices/blk/blk_host.h"
#include "tests/fuzz/target.h"
#include "tests/unit/send_fds.h"
#include "transports/vhost_user/vhost_user.h"
#include <abi/vhost_user.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MEMORY = 65536, BASE = 0x10000, RINGS = 2, STEPS_MAX = 200, ROUNDS_MAX = 200, SIZE = 16 };
/* Where the bring-up lays ring 0. */
enum { DESC_AT = 0, AVAIL_AT = 0x1000, USED_AT = 0x2000 };

struct bed {
    struct bh_loop *loop;
    int peer, memory_fd;
    int channel; /* our end of the back-end channel; -1: none was made */
    uint8_t *memory;
    int kick[RINGS];
    bool stopped;
    const uint8_t *at, *end;
};

static void note_stopped(struct bh_vhost_user *server, void *owner)
{
    ((struct bed *)owner)->stopped = true;
}

static void note_ended(struct bh_vhost_user *server, void *owner)
{
}

static const struct bh_vhost_user_owner owner_ops = {NULL, note_ended, note_stopped};

static void say_nothing(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static void pump(struct bed *bed)
{
    uint8_t answers[4096];
    for (unsigned i = 0; i < ROUNDS_MAX && bh_loop_step(bed->loop, 0) > 0; i++)
        while (bed->peer >= 0 && recv(bed->peer, answers, sizeof(answers), MSG_DONTWAIT) > 0)
            ;
    while (bed->channel >= 0 && recv(bed->channel, answers, sizeof(answers), MSG_DONTWAIT) > 0)
        ;
}

static uint8_t next(struct bed *bed)
{
    return bed->at < bed->end ? *bed->at++ : 0;
}

/* Up to `size` bytes of the input, the rest zero. */
static void take(struct bed *bed, void *to, size_t size)
{
    const size_t left = (size_t)(bed->end - bed->at), some = size < left ? size : left;
    memset(to, 0, size);
    memcpy(to, bed->at, some);
    bed->at += some;
}

static void send_bytes(struct bed *bed, const void *bytes, size_t size, const int *fds, unsigned fd_count)
{
    (void)!test_send_fds(bed->peer, bytes, size, fds, fd_count); /* the server may have hung up */
}

static void tell(struct bed *bed, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
                 const int *fds, unsigned fd_count)
{
    uint8_t bytes[sizeof(struct vhost_user_header) + 512];
    const struct vhost_user_header head = {request, VHOST_USER_VERSION ^ flags, size};
    memcpy(bytes, &head, sizeof(head));
    if (size)
        memcpy(bytes + sizeof(head), payload, size);
    send_bytes(bed, bytes, sizeof(head) + size, fds, fd_count);
    pump(bed);
}

static void tell_u64(struct bed *bed, uint32_t request, uint64_t value, const int *fd)
{
    tell(bed, request, 0, &value, sizeof(value), fd, fd ? 1 : 0);
}

static void tell_state(struct bed *bed, uint32_t request, uint32_t num)
{
    tell(bed, request, 0, &(struct vhost_user_vring_state){0, num}, 8, NULL, 0);
}

static void open_channel(struct bed *bed)
{
    int ends[2];
    BH_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    if (bed->channel >= 0)
        close(bed->channel);
    bed->channel = ends[0];
    tell(bed, VHOST_USER_SET_BACKEND_REQ_FD, 0, NULL, 0, &ends[1], 1);
    close(ends[1]);
}

static void bring_up(struct bed *bed, bool packed, bool in_band)
{
    const struct vhost_user_vring_addr addr = {0, 0, BASE + DESC_AT, BASE + USED_AT, BASE + AVAIL_AT, 0};
    struct vhost_user_mem_table table = {.region_count = 1, .regions = {{BASE, MEMORY, BASE, 0}}};
    tell_u64(bed, VHOST_USER_SET_PROTOCOL_FEATURES,
             1u << VHOST_USER_PROTOCOL_F_REPLY_ACK | 1u << VHOST_USER_PROTOCOL_F_CONFIG |
                 1u << VHOST_USER_PROTOCOL_F_STATUS | 1u << VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS |
                 1u << VHOST_USER_PROTOCOL_F_BACKEND_REQ |
                 (in_band ? 1u << VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS : 0),
             NULL);
    tell_u64(bed, VHOST_USER_SET_FEATURES,
             UINT64_C(1) << BH_F_VERSION_1 | UINT64_C(1) << BH_F_INDIRECT_DESC |
                 UINT64_C(1) << BH_F_EVENT_IDX | (packed ? UINT64_C(1) << BH_F_RING_PACKED : 0),
             NULL);
    tell(bed, VHOST_USER_SET_MEM_TABLE, 0, &table, 40, &bed->memory_fd, 1);
    tell_state(bed, VHOST_USER_SET_VRING_NUM, SIZE);
    tell_state(bed, VHOST_USER_SET_VRING_BASE, packed ? 0x80008000u : 0);
    tell(bed, VHOST_USER_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0);
    if (in_band) {
        open_channel(bed);
        tell_state(bed, VHOST_USER_SET_VRING_ENABLE, 1);
        tell_state(bed, VHOST_USER_VRING_KICK, 0);
    } else {
        tell_u64(bed, VHOST_USER_SET_VRING_KICK, 0, &bed->kick[0]);
    }
}

static void send_request(struct bed *bed, uint8_t request)
{
    const uint8_t how = next(bed), size = next(bed);
    const unsigned fd_count = how & 7;
    uint8_t payload[256];
    int fds[8];
    for (unsigned i = 0; i < fd_count; i++)
        fds[i] = how & 8 ? bed->memory_fd : bed->kick[i % RINGS];
    take(bed, payload, size);
    /* Flags: most messages are of the right version; NEED_REPLY now and then. */
    tell(bed, request, (how >> 4 & 1 ? VHOST_USER_FLAG_NEED_REPLY : 0) | (how >> 7 & how >> 6 & how >> 5 & 3),
         payload, size, fds, fd_count);
}

static void step(struct bed *bed)
{
    const uint8_t kind = next(bed);
    uint8_t bytes[256];
    if (kind < 0x40) {
        send_request(bed, kind);
    } else if (kind < 0x80) {
        const unsigned high = next(bed), offset = high << 8 | next(bed), length = next(bed);
        take(bed, bytes, length);
        memcpy(bed->memory + offset, bytes, length < MEMORY - offset ? length : MEMORY - offset);
    } else if (kind < 0xa0) {
        (void)!write(bed->kick[kind & 1], &(uint64_t){1}, 8);
        pump(bed);
    } else if (kind < 0xc0) {
        const unsigned length = next(bed);
        take(bed, bytes, length);
        if (bed->channel >= 0)
            (void)!send(bed->channel, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL);
        pump(bed);
    } else if (kind < 0xe0) {
        bring_up(bed, kind & 1, kind & 2);
    } else {
        const unsigned length = next(bed);
        take(bed, bytes, length);
        if (length)
            send_bytes(bed, bytes, length, NULL, 0);
        pump(bed);
    }
}

/* The lowest free fd: it is the same again when every fd was given back. */
static int lowest_fd(void)
{
    int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bh_diag_sink quiet = {.emit = say_nothing};
    struct bed bed = {.at = data, .end = data + size};
    struct bh_blk_options options = {0};
    struct bh_vhost_user *server;
    struct bh_hosted *hosted;
    struct bh_mem mem;
    const int before = lowest_fd();
    int ends[2];
    BH_ASSERT(bh_options_init(bh_blk_option_table, &options) == BH_OK);
    options.ram_size = 1 << 20;
    options.num_queues = RINGS;
    options.queue_size = 64;
    bh_mem_init(&mem, NULL);
    BH_ASSERT(bh_loop_create(&bed.loop) == BH_OK);
    BH_ASSERT(bh_blk_hosted.create(bed.loop, &mem, &options, &quiet, &hosted) == BH_OK);
    BH_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    bed.peer = ends[1];
    bed.channel = -1;
    bed.memory_fd = memfd_create("fuzz", MFD_CLOEXEC);
    BH_ASSERT(bed.memory_fd >= 0 && ftruncate(bed.memory_fd, MEMORY) == 0);
    bed.memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED, bed.memory_fd, 0);
    BH_ASSERT(bed.memory != MAP_FAILED);
    for (unsigned i = 0; i < RINGS; i++)
        bed.kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    BH_ASSERT(bh_vhost_user_create(bed.loop, hosted->dev, ends[0], "fuzz", &quiet, NULL, &owner_ops, &bed,
                                   &server) == BH_OK);

    for (unsigned i = 0; i < STEPS_MAX && bed.at < bed.end; i++)
        step(&bed);

    close(bed.peer);
    bed.peer = -1;
    if (bed.channel >= 0)
        close(bed.channel);
    bed.channel = -1;
    pump(&bed);
    bh_vhost_user_stop(server);
    for (unsigned i = 0; i < ROUNDS_MAX && !bed.stopped; i++)
        (void)bh_loop_step(bed.loop, 10);
    BH_ASSERT(bed.stopped);
    bh_vhost_user_destroy(server);
    bh_blk_hosted.destroy(hosted);
    bh_loop_destroy(bed.loop);
    bh_options_fini(bh_blk_option_table, &options);
    munmap(bed.memory, MEMORY);
    close(bed.memory_fd);
    for (unsigned i = 0; i < RINGS; i++)
        close(bed.kick[i]);
    BH_ASSERT(lowest_fd() == before);
    return 0;
}
