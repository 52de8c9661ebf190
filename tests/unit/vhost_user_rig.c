/* SPDX-License-Identifier: Apache-2.0 */
/* The vhost-user tests' rig: a device that can be held still, and a front-end made of raw messages. */
#include "tests/unit/vhost_user_rig.h"
#include "tests/unit/send_fds.h"

#include <bulkhead/impl/class.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* --- the device ------------------------------------------------------------------------------------------ */

static struct rig_device *device_of(const struct bh_device *dev)
{
    return BH_CONTAINER(dev, struct rig_device, dev);
}

static const void *config(const struct bh_device *dev, uint32_t *size)
{
    *size = sizeof(device_of(dev)->config);
    return device_of(dev)->config;
}

/* The first 8 bytes are the driver's to write. */
static int config_write(struct bh_device *dev, uint32_t offset, const void *from, uint32_t len)
{
    if (offset + len > 8)
        return BH_ERR_INVAL;
    memcpy(device_of(dev)->config + offset, from, len);
    return BH_OK;
}

static struct bh_features features(const struct bh_device *dev)
{
    return bh_class_ring_features();
}

static enum bh_ready queue_ready(struct bh_device *dev, struct bh_virtq *q, unsigned budget)
{
    struct rig_device *device = device_of(dev);
    struct bh_chain *chains[RIG_CHAINS];
    int count = bh_virtq_pop(q, chains, budget < RIG_CHAINS ? budget : RIG_CHAINS);
    for (int i = 0; i < count; i++) {
        if (device->hold) {
            device->held_of[device->held_count] = q;
            device->held[device->held_count++] = chains[i];
            continue;
        }
        for (unsigned s = 0; s < chains[i]->in_count; s++)
            memset(chains[i]->segs[chains[i]->out_count + s].base, 0x5a,
                   chains[i]->segs[chains[i]->out_count + s].len);
        chains[i]->written = chains[i]->in_len;
        bh_virtq_push(q, &chains[i], 1);
    }
    if (count == BH_ERR_PENDING)
        return BH_READY_HELD;
    return count == (int)budget ? BH_READY_MORE : BH_READY_DRAINED;
}

static void queue_stopping(struct bh_device *dev, struct bh_virtq *q)
{
    /* What is held comes back when the test says so: this device is slow. */
}

static void reset(struct bh_device *dev)
{
    device_of(dev)->resets++;
}

static int save(struct bh_device *dev, void *to, size_t size)
{
    if (size < 8)
        return BH_ERR_NOMEM;
    memcpy(to, device_of(dev)->config, 8);
    return 8;
}

/* 0xff is nothing that this class could have saved. */
static int load(struct bh_device *dev, const void *from, size_t size)
{
    if (size != 8 || *(const uint8_t *)from == 0xff)
        return BH_ERR_PROTO;
    memcpy(device_of(dev)->config, from, 8);
    return BH_OK;
}

static const struct bh_class class = {
    .name = "rig",
    .virtio_id = 42,
    .config = config,
    .config_write = config_write,
    .features = features,
    .queue_ready = queue_ready,
    .queue_stopping = queue_stopping,
    .reset = reset,
    .save = save,
    .load = load,
};

static void device_init(struct rig_device *device, struct bh_mem *mem)
{
    struct bh_virtq_memory memory[RIG_QUEUES];
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        device->blocks[i] = malloc(bh_virtq_memory_bytes(RIG_SIZE, RIG_CHAINS, 8));
        assert_non_null(device->blocks[i]);
        bh_virtq_memory_place(&memory[i], device->blocks[i], RIG_SIZE, RIG_CHAINS, 8);
    }
    bh_device_init(&device->dev, &class, mem, device->queues, memory, RIG_QUEUES);
}

void rig_release(struct rig *rig)
{
    struct rig_device *device = &rig->device;
    for (unsigned i = 0; i < device->held_count; i++) {
        device->held[i]->written = 0;
        bh_virtq_push(device->held_of[i], &device->held[i], 1);
    }
    device->held_count = 0;
}

/* --- the server ------------------------------------------------------------------------------------------ */

static void on_connected(struct bh_vhost_user *server, void *owner, bool is)
{
    ((struct rig *)owner)->connected = is;
}

static void on_ended(struct bh_vhost_user *server, void *owner)
{
    ((struct rig *)owner)->ended = true;
}

static void on_stopped(struct bh_vhost_user *server, void *owner)
{
    ((struct rig *)owner)->stopped = true;
}

static const struct bh_vhost_user_owner owner_ops = {on_connected, on_ended, on_stopped};

static void say_nothing(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
}

static int listen_at(struct rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof(address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* An abstract name that the kernel picks: nothing to clean up. */
    assert_true(fd >= 0 && !bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) && !listen(fd, 4));
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    memcpy(rig->path, address.sun_path, length - sizeof(sa_family_t));
    rig->path[sizeof(rig->path) - 1] = (char)(length - sizeof(sa_family_t));
    return fd;
}

static const struct bh_features without_iommu = {{0, 1u << (BH_F_ACCESS_PLATFORM - 32), 0, 0}};

void rig_open(struct rig *rig, bool listening, const struct bh_features *withheld)
{
    int ends[2] = {-1, -1};

    memset(rig, 0, sizeof(*rig));
    rig->quiet.emit = say_nothing;
    rig->peer = -1;
    for (unsigned i = 0; i < RIG_QUEUES; i++)
        rig->kick[i] = rig->call[i] = rig->err[i] = -1;
    assert_int_equal(bh_loop_create(&rig->loop), BH_OK);
    bh_mem_init(&rig->mem, NULL);
    device_init(&rig->device, &rig->mem);
    bh_device_withhold(&rig->device.dev, withheld ? withheld : &without_iommu);
    if (listening) {
        ends[0] = listen_at(rig);
    } else {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        rig->peer = ends[1];
    }
    assert_int_equal(bh_drv_guest_create(&rig->guest, bh_daddr(RIG_BASE), 1u << 20), BH_OK);
    assert_int_equal(bh_vhost_user_create(rig->loop, &rig->device.dev, ends[0], "rig", &rig->quiet, NULL,
                                          &owner_ops, rig, &rig->server),
                     BH_OK);
    if (listening)
        rig_connect(rig);
    rig_pump(rig);
}

static void forget_rings(struct rig *rig)
{
    for (unsigned i = 0; i < RIG_QUEUES; i++) {
        int *fds[] = {&rig->kick[i], &rig->call[i], &rig->err[i]};
        for (unsigned k = 0; k < BH_COUNT(fds); k++) {
            if (*fds[k] >= 0)
                close(*fds[k]);
            *fds[k] = -1;
        }
        if (rig->queue[i].slots)
            bh_drv_queue_destroy(&rig->queue[i]);
        memset(&rig->queue[i], 0, sizeof(rig->queue[i]));
    }
    bh_drv_guest_rewind(&rig->guest, 0);
}

void rig_connect(struct rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const socklen_t length = (socklen_t)rig->path[sizeof(rig->path) - 1];
    memcpy(address.sun_path, rig->path, length);
    forget_rings(rig);
    rig->peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(rig->peer, (struct sockaddr *)&address, (socklen_t)sizeof(sa_family_t) + length),
                     0);
    rig_pump(rig);
}

void rig_hang_up(struct rig *rig)
{
    if (rig->peer >= 0)
        close(rig->peer);
    rig->peer = -1;
}

void rig_pump(struct rig *rig)
{
    for (unsigned idle = 0, rounds = 0; idle < 3; rounds++) {
        int called = bh_loop_step(rig->loop, 0);
        assert_true(called >= 0 && rounds < 10000);
        idle = called ? 0 : idle + 1;
    }
}

void rig_close(struct rig *rig)
{
    bh_vhost_user_stop(rig->server);
    rig_pump(rig);
    rig_release(rig);
    rig_pump(rig);
    assert_true(rig->stopped);
    bh_vhost_user_destroy(rig->server);
    rig_hang_up(rig);
    forget_rings(rig);
    bh_drv_guest_destroy(&rig->guest);
    for (unsigned i = 0; i < RIG_QUEUES; i++)
        free(rig->device.blocks[i]);
    bh_loop_destroy(rig->loop);
}

/* --- the front-end's side -------------------------------------------------------------------------------- */

void rig_send_raw(struct rig *rig, const void *bytes, size_t size, const int *fds, unsigned fd_count)
{
    assert_int_equal(test_send_fds(rig->peer, bytes, size, fds, fd_count), size);
}

void rig_send(struct rig *rig, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
              const int *fds, unsigned fd_count)
{
    uint8_t bytes[sizeof(struct vhost_user_header) + 1024];
    const struct vhost_user_header head = {request, VHOST_USER_VERSION | flags, size};
    assert_true(size <= 1024);
    memcpy(bytes, &head, sizeof(head));
    if (size)
        memcpy(bytes + sizeof(head), payload, size);
    rig_send_raw(rig, bytes, sizeof(head) + size, fds, fd_count);
}

int rig_reply(struct rig *rig, uint32_t request, void *payload, size_t room)
{
    struct vhost_user_header head;
    ssize_t got = recv(rig->peer, &head, sizeof(head), MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN)
        return -1;
    if (got <= 0)
        return -2;
    assert_int_equal(got, sizeof(head));
    assert_int_equal(head.request, request);
    assert_int_equal(head.flags, VHOST_USER_VERSION | VHOST_USER_FLAG_REPLY);
    assert_true(head.size <= room);
    if (head.size)
        assert_int_equal(recv(rig->peer, payload, head.size, MSG_DONTWAIT), head.size);
    return (int)head.size;
}

static int take_ack(struct rig *rig, uint32_t request)
{
    uint64_t value;
    int size = rig_reply(rig, request, &value, sizeof(value));
    if (size < 0)
        return size;
    assert_int_equal(size, sizeof(value));
    return value != 0;
}

int rig_ask(struct rig *rig, uint32_t request, const void *payload, uint32_t size, const int *fds,
            unsigned fd_count)
{
    rig_send(rig, request, VHOST_USER_FLAG_NEED_REPLY, payload, size, fds, fd_count);
    rig_pump(rig);
    return take_ack(rig, request);
}

int rig_ask_u64(struct rig *rig, uint32_t request, uint64_t value)
{
    return rig_ask(rig, request, &value, sizeof(value), NULL, 0);
}

int rig_ask_state(struct rig *rig, uint32_t request, uint32_t index, uint32_t num)
{
    const struct vhost_user_vring_state state = {index, num};
    return rig_ask(rig, request, &state, sizeof(state), NULL, 0);
}

uint64_t rig_get(struct rig *rig, uint32_t request)
{
    uint64_t value = 0;
    rig_send(rig, request, 0, NULL, 0, NULL, 0);
    rig_pump(rig);
    assert_int_equal(rig_reply(rig, request, &value, sizeof(value)), sizeof(value));
    return value;
}

void rig_negotiate(struct rig *rig, uint64_t ring_bits)
{
    const uint64_t bits = UINT64_C(1) << BH_F_VERSION_1 | ring_bits;
    const uint64_t protocol = RIG_PROTOCOL;
    rig->features = bh_features_of64(bits);
    rig_send(rig, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
    rig_send(rig, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &protocol, sizeof(protocol), NULL, 0);
    assert_int_equal(
        rig_ask_u64(rig, VHOST_USER_SET_FEATURES, bits | UINT64_C(1) << VHOST_USER_F_PROTOCOL_FEATURES), 0);
}

struct vhost_user_region rig_region(const struct rig *rig)
{
    return (struct vhost_user_region){RIG_BASE, rig->guest.size, RIG_USER, 0};
}

void rig_share_memory(struct rig *rig)
{
    struct vhost_user_mem_table table = {.region_count = 1};
    table.regions[0] = rig_region(rig);
    assert_int_equal(
        rig_ask(rig, VHOST_USER_SET_MEM_TABLE, &table, 8 + sizeof(table.regions[0]), &rig->guest.fd, 1), 0);
}

static uint64_t user_address(bh_daddr_t address)
{
    return address.raw - RIG_BASE + RIG_USER;
}

static int tell_fd(struct rig *rig, uint32_t request, unsigned index, int *fd)
{
    const uint64_t word = index;
    *fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(*fd >= 0);
    return rig_ask(rig, request, &word, sizeof(word), fd, 1);
}

void rig_start_ring(struct rig *rig, unsigned index, uint32_t base)
{
    struct bh_drv_queue *queue = &rig->queue[index];
    struct vhost_user_vring_addr addr = {.index = index};
    if (!queue->slots)
        assert_int_equal(bh_drv_queue_create(queue, &rig->guest, RIG_SIZE, &rig->features, 0), BH_OK);
    addr.descriptor = user_address(queue->setup.desc);
    addr.available = user_address(queue->setup.driver);
    addr.used = user_address(queue->setup.device);
    assert_int_equal(rig_ask_state(rig, VHOST_USER_SET_VRING_NUM, index, RIG_SIZE), 0);
    assert_int_equal(rig_ask_state(rig, VHOST_USER_SET_VRING_BASE, index, base), 0);
    assert_int_equal(rig_ask(rig, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
    if (rig->call[index] < 0) {
        assert_int_equal(tell_fd(rig, VHOST_USER_SET_VRING_CALL, index, &rig->call[index]), 0);
        assert_int_equal(tell_fd(rig, VHOST_USER_SET_VRING_ERR, index, &rig->err[index]), 0);
    }
    if (rig->kick[index] >= 0)
        close(rig->kick[index]);
    assert_int_equal(tell_fd(rig, VHOST_USER_SET_VRING_KICK, index, &rig->kick[index]), 0);
    if (!rig->stay_silent_on_enable)
        assert_int_equal(rig_ask_state(rig, VHOST_USER_SET_VRING_ENABLE, index, 1), 0);
}

void rig_up(struct rig *rig, uint64_t ring_bits)
{
    const bool packed = ring_bits >> BH_F_RING_PACKED & 1;
    rig_negotiate(rig, ring_bits);
    rig_share_memory(rig);
    for (unsigned i = 0; i < RIG_QUEUES; i++)
        rig_start_ring(rig, i, packed ? 0x80008000u : 0);
}

uint8_t *rig_add(struct rig *rig, unsigned index, uint32_t len)
{
    const uint64_t one = 1;
    bh_daddr_t address;
    uint8_t *bytes = bh_drv_guest_alloc(&rig->guest, len, 16, &address);
    const struct bh_drv_buf buf = {address, len};
    assert_non_null(bytes);
    assert_int_equal(bh_drv_ring_add(&rig->queue[index].ring, &buf, 0, 1, bytes), BH_OK);
    (void)bh_drv_ring_kick_needed(&rig->queue[index].ring);
    if (rig->kick[index] >= 0)
        assert_int_equal(write(rig->kick[index], &one, sizeof(one)), sizeof(one));
    return bytes;
}

unsigned rig_take(struct rig *rig, unsigned index)
{
    unsigned count = 0;
    void *token;
    uint32_t len;
    int got;
    while ((got = bh_drv_ring_get(&rig->queue[index].ring, &token, &len)) == 1)
        count++;
    assert_int_equal(got, 0);
    return count;
}

void rig_open_up(struct rig *rig, bool listening)
{
    rig_open(rig, listening, NULL);
    rig_up(rig, 0);
}

void rig_connect_again(struct rig *rig)
{
    rig_hang_up(rig);
    rig_pump(rig);
    rig_connect(rig);
}

void rig_serves(struct rig *rig, unsigned index)
{
    rig_add(rig, index, 16);
    rig_pump(rig);
    assert_int_equal(rig_take(rig, index), 1);
}

void rig_holds_one(struct rig *rig)
{
    rig->device.hold = true;
    rig_add(rig, 0, 64);
    rig_pump(rig);
}

unsigned rig_fd_count(void)
{
    DIR *folder = opendir("/proc/self/fd");
    unsigned count = 0;
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}
