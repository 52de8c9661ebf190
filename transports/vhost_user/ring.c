/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rings of a vhost-user device: from what the front-end tells of them to a queue that runs, and the fds by which
 * both sides notify each other.
 *
 * #syscalls fcntl preadv2 poll ppoll fstat newfstatat recvfrom sendto
 */
#include "transports/vhost_user/server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Chains per turn, so that a busy queue lets the others and the socket have theirs. */
enum { BUDGET = 64, POLL_MS = 1 };

void bh_vu_ring_init(struct bh_vu_ring *ring, struct bh_vhost_user *server, uint16_t index)
{
    *ring = (struct bh_vu_ring){.server = server, .index = index, .kick.fd = -1, .call_fd = -1, .err_fd = -1};
}

/* --- where a ring stands --------------------------------------------------------------------------------- */

static uint32_t encode_base(bool packed, struct bh_virtq_state state)
{
    if (!packed)
        return state.avail;
    return ((state.avail & VHOST_USER_PACKED_INDEX_MASK) | (state.avail_wrap ? VHOST_USER_PACKED_WRAP : 0))
               << VHOST_USER_PACKED_AVAIL_SHIFT |
           ((state.used & VHOST_USER_PACKED_INDEX_MASK) | (state.used_wrap ? VHOST_USER_PACKED_WRAP : 0))
               << VHOST_USER_PACKED_USED_SHIFT;
}

/* A quiet split ring has used all that it took: both positions are the one that is told. */
static struct bh_virtq_state decode_base(const struct bh_device *dev, uint32_t base)
{
    const uint32_t avail = base >> VHOST_USER_PACKED_AVAIL_SHIFT, used = base >> VHOST_USER_PACKED_USED_SHIFT;
    if (!bh_device_has(dev, BH_F_RING_PACKED))
        return (struct bh_virtq_state){(uint16_t)base, (uint16_t)base, true, true};
    return (struct bh_virtq_state){
        .avail = (uint16_t)(avail & VHOST_USER_PACKED_INDEX_MASK),
        .used = (uint16_t)(used & VHOST_USER_PACKED_INDEX_MASK),
        .avail_wrap = (avail & VHOST_USER_PACKED_WRAP) != 0,
        .used_wrap = (used & VHOST_USER_PACKED_WRAP) != 0,
    };
}

/* --- running --------------------------------------------------------------------------------------------- */

static void run_again(struct bh_loop_work *work);
static bool is_socket(int fd);
static void signal_fd(int fd, bool socket);

/* SET_LOG_FD: "to inform the front-end that the log has been modified". Where we may have, we say so. */
static void tell_of_marks(const struct bh_vhost_user *server)
{
    if (server->log.fd >= 0 && server->dev->mem->log)
        signal_fd(server->log.fd, is_socket(server->log.fd));
}

static void run_ring(struct bh_vu_ring *ring)
{
    if (ring->started && bh_device_run_queue(ring->server->dev, ring->index, BUDGET))
        bh_loop_defer(ring->server->loop, &ring->run, run_again);
    tell_of_marks(ring->server);
}

static void run_again(struct bh_loop_work *work)
{
    run_ring(BH_LOOP_OWNER(work, struct bh_vu_ring, run));
}

void bh_vu_ring_wake(struct bh_vu_ring *ring)
{
    bh_loop_defer(ring->server->loop, &ring->run, run_again);
}

void bh_vu_ring_drop_kick(struct bh_vu_ring *ring)
{
    ring->has_kick = ring->kick_in_band = false;
    if (ring->kick.fd >= 0) {
        bh_loop_fd_remove(&ring->kick);
        close(ring->kick.fd);
        ring->kick.fd = -1;
    }
    bh_loop_timer_cancel(&ring->poll);
}

/*
 * The peer shares the description of every fd that it gave us, so O_NONBLOCK is its to clear again, and what epoll
 * saw its to take away. So each read and write says by itself that it must not wait, where the kernel has a way:
 *
 *   sockets                   MSG_DONTWAIT
 *   reads of eventfds, pipes  RWF_NOWAIT (eventfds since Linux 5.12; before, O_NONBLOCK alone)
 *   writes of eventfds, pipes none: room is asked for first
 *
 * In the last case a peer that fills the counter to the brim, in the moment between the question and the write, stops
 * its own back-end: the process serves no one else, and SIGKILL ends it, which its supervisor sends after SIGTERM.
 */
static bool is_socket(int fd)
{
    struct stat what;
    return fstat(fd, &what) == 0 && S_ISSOCK(what.st_mode);
}

static ssize_t take_kick(const struct bh_vu_ring *ring)
{
    uint64_t count;
    struct iovec part = {.iov_base = &count, .iov_len = sizeof(count)};
    ssize_t got;
    if (ring->kick_is_socket)
        return recv(ring->kick.fd, &count, sizeof(count), MSG_DONTWAIT);
    got = preadv2(ring->kick.fd, &part, 1, -1, RWF_NOWAIT);
    if (got < 0 && errno == EOPNOTSUPP)
        got = read(ring->kick.fd, &count, sizeof(count));
    return got;
}

static void kicked(struct bh_loop_fd *watch, uint32_t events)
{
    struct bh_vu_ring *ring = BH_LOOP_OWNER(watch, struct bh_vu_ring, kick);
    const ssize_t got = events & BH_LOOP_READ ? take_kick(ring) : 0;
    /* A pipe whose other end is gone, or what can never be read: nobody will kick any more. */
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        bh_vu_ring_drop_kick(ring);
        return;
    }
    bh_device_run_kick(ring->server->dev, ring->index, 0);
    run_ring(ring);
}

/* "This signals that polling should be used instead of waiting for the kick" [SET_VRING_KICK]. */
static void poll_again(struct bh_loop_timer *timer)
{
    struct bh_vu_ring *ring = BH_LOOP_OWNER(timer, struct bh_vu_ring, poll);
    bh_loop_timer_set(ring->server->loop, timer, POLL_MS, poll_again);
    run_ring(ring);
}

/* Wait for kicks while the ring runs; one that came before stays in its fd until then. */
static void listen_for_kicks(struct bh_vu_ring *ring)
{
    if (ring->kick.fd >= 0)
        bh_loop_fd_want(&ring->kick, ring->started ? BH_LOOP_READ : 0);
    else if (ring->started && ring->has_kick && !ring->kick_in_band)
        bh_loop_timer_set(ring->server->loop, &ring->poll, POLL_MS, poll_again);
}

static int find_rings(struct bh_vu_ring *ring, struct bh_virtq_setup *setup)
{
    struct bh_device *dev = ring->server->dev;
    const struct bh_mem_table *table = dev->mem->table;
    const bool packed = bh_device_has(dev, BH_F_RING_PACKED);
    const uint64_t n = ring->size;
    /* The sizes of the three parts [virtio-1.4 2.7, 2.8]; what core touches it looks up again by itself. */
    const uint64_t driver_size = packed ? 4 : 6 + 2 * n, device_size = packed ? 4 : 6 + 8 * n;
    int err;
    if (bh_device_has(dev, BH_F_ACCESS_PLATFORM)) { /* "a ring address is an IOVA" */
        setup->desc = bh_daddr(ring->addr.descriptor);
        setup->driver = bh_daddr(ring->addr.available);
        setup->device = bh_daddr(ring->addr.used);
        return BH_OK;
    }
    err = bh_mem_from_user(table, bh_uaddr(ring->addr.descriptor), 16 * n, &setup->desc);
    if (!err)
        err = bh_mem_from_user(table, bh_uaddr(ring->addr.available), driver_size, &setup->driver);
    if (!err)
        err = bh_mem_from_user(table, bh_uaddr(ring->addr.used), device_size, &setup->device);
    return err;
}

void bh_vu_ring_try_start(struct bh_vu_ring *ring)
{
    struct bh_vhost_user *server = ring->server;
    struct bh_device *dev = server->dev;
    struct bh_virtq_setup setup = {.size = (uint16_t)ring->size};
    bool taken_over = false;
    int err;
    if (ring->started || !ring->size || !ring->has_addr || !ring->has_kick || !ring->enabled ||
        !dev->mem->table->count)
        return;
    /* Without the STATUS protocol feature nobody writes FEATURES_OK: the first ring says that they are chosen. */
    if (!dev->features_done && bh_device_features_done(dev)) {
        bh_vu_say(server, "queue %u cannot start: %s", ring->index,
                  bh_device_has(dev, BH_F_VERSION_1)
                      ? "features that do not go together"
                      : "a legacy driver, without VERSION_1 (disable-legacy=on?)");
        bh_device_needs_reset(dev, BH_BROKEN_CLASS);
        return;
    }
    setup.state = decode_base(dev, ring->base);
    err = bh_vu_iommu_apply(server);
    if (!err)
        err = find_rings(ring, &setup);
    if (!err)
        err = bh_vu_ring_lay_records(ring, &setup, &taken_over);
    if (err == BH_ERR_PENDING)
        return; /* a translation brings us here again */
    if (!err)
        err = bh_device_queue_start(dev, ring->index, &setup);
    if (err && err != BH_ERR_PENDING) { /* pending: core starts it with the translation */
        bh_vu_say(server, "queue %u cannot start: %s", ring->index, bh_err_text(err));
        bh_device_needs_reset(dev, BH_BROKEN_RING_FAULT);
        return;
    }
    ring->started = true;
    ring->packed = bh_device_has(dev, BH_F_RING_PACKED);
    ring->left = false;
    listen_for_kicks(ring);
    bh_vu_ring_wake(ring);
    /* Whoever ran it before may have died after it published and before it notified. */
    if (taken_over)
        bh_vu_ring_notify(ring);
}

void bh_vu_ring_stopped(struct bh_vu_ring *ring)
{
    ring->base = encode_base(ring->packed, bh_virtq_state(&ring->server->dev->queues[ring->index]));
    bh_vu_ring_clear(ring, false);
}

void bh_vu_ring_clear(struct bh_vu_ring *ring, bool forget)
{
    ring->started = false;
    bh_loop_work_cancel(&ring->run);
    bh_loop_timer_cancel(&ring->poll);
    if (!forget) {
        listen_for_kicks(ring);
        return;
    }
    bh_vu_ring_drop_kick(ring);
    if (ring->call_fd >= 0)
        close(ring->call_fd);
    if (ring->err_fd >= 0)
        close(ring->err_fd);
    bh_vu_ring_init(ring, ring->server, ring->index);
}

/* --- notifications --------------------------------------------------------------------------------------- */

void bh_vu_never_block(int fd)
{
    const int flags = fcntl(fd, F_GETFL);
    if (flags >= 0)
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int bh_vu_ring_set_kick(struct bh_vu_ring *ring, int fd, uint32_t id)
{
    bh_vu_ring_drop_kick(ring);
    if (fd >= 0) {
        bh_vu_never_block(fd);
        ring->kick_is_socket = is_socket(fd);
        if (bh_loop_fd_add(ring->server->loop, &ring->kick, fd, 0, kicked)) {
            ring->kick.fd = -1;
            close(fd);
            return BH_ERR_INVAL;
        }
    }
    ring->kick_id = id;
    ring->has_kick = true;
    listen_for_kicks(ring);
    bh_vu_ring_try_start(ring);
    return BH_OK;
}

void bh_vu_ring_kick_in_band(struct bh_vu_ring *ring)
{
    if (!ring->has_kick)
        ring->has_kick = ring->kick_in_band = true;
    bh_vu_ring_try_start(ring);
    if (!ring->started)
        return;
    bh_device_run_kick(ring->server->dev, ring->index, 0);
    run_ring(ring);
}

static void replace(int *old, bool *socket, int fd)
{
    if (*old >= 0)
        close(*old);
    if (fd >= 0) {
        bh_vu_never_block(fd);
        *socket = is_socket(fd);
    }
    *old = fd;
}

/* "8-byte value ... has no meaning"; a full one has been signalled already. */
static void signal_fd(int fd, bool socket)
{
    const uint64_t one = 1;
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    if (socket) {
        ssize_t put = send(fd, &one, sizeof(one), MSG_DONTWAIT | MSG_NOSIGNAL);
        (void)put;
    } else if (poll(&room, 1, 0) == 1 && room.revents & POLLOUT) {
        ssize_t put = write(fd, &one, sizeof(one));
        (void)put;
    }
}

void bh_vu_ring_set_call(struct bh_vu_ring *ring, int fd, uint32_t id)
{
    ring->call_id = id;
    ring->call_polled = fd < 0;
    replace(&ring->call_fd, &ring->call_is_socket, fd);
    if (fd >= 0 && (ring->call_missed || ring->call_due)) {
        ring->call_missed = ring->call_due = false;
        signal_fd(fd, ring->call_is_socket);
    }
}

void bh_vu_ring_set_err(struct bh_vu_ring *ring, int fd, uint32_t id)
{
    ring->err_id = id;
    replace(&ring->err_fd, &ring->err_is_socket, fd);
}

void bh_vu_ring_notify(struct bh_vu_ring *ring)
{
    if (ring->call_fd >= 0)
        signal_fd(ring->call_fd, ring->call_is_socket);
    else if (!bh_vu_in_band_call(ring))
        ring->call_missed = true;
    tell_of_marks(ring->server);
}

void bh_vu_ring_error(struct bh_vu_ring *ring)
{
    if (ring->err_fd >= 0)
        signal_fd(ring->err_fd, ring->err_is_socket);
    else
        (void)bh_vu_in_band_error(ring);
}
