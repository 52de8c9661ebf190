/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state that a former process left, written by somebody hostile: a server goes on with it, or does not; it stays
 * alive, becomes quiet when it is told to stop, and gives back every file descriptor. A real disk (blk on a RAM store)
 * is behind it, and guest memory, rings and in-flight records are there.
 *
 * The input: a byte that chooses what the state holds before it is spoilt (1 packed, 2 a dirty log, 4 the front-end's
 * in-flight area, 8 a message half taken in, 16 an answer half sent, 32 the rings ran, 64 behind an IOMMU), then patches:
 * 2 bytes that choose a place in the page, image, guest memory or in-flight area, a byte of length, the bytes.
 */
#include "devices/blk/blk_host.h"
#include "tests/fuzz/target.h"
#include "transports/vhost_user/journal.h"
#include "transports/vhost_user/vhost_user.h"
#include <abi/vhost_user_inflight.h>
#include <bulkhead/impl/class.h>
#include <bulkhead/impl/inflight.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MEMORY = 65536, BASE = 0x10000, RINGS = 2, SIZE = 16, ROUNDS_MAX = 200, PATCHES_MAX = 64 };
enum { RING_BYTES = 0x4000, DESC_AT = 0, AVAIL_AT = 0x1000, USED_AT = 0x2000 };
enum { PACKED = 1, LOG = 2, AREA = 4, HALF_IN = 8, HALF_OUT = 16, RAN = 32, IOMMU = 64 };
/* The names under which fds are kept. */
enum {
    ID_CONN = 1,
    ID_MEMORY,
    ID_KICK,
    ID_CALL = ID_KICK + RINGS,
    ID_CHANNEL = ID_CALL + RINGS,
    ID_AREA,
    ID_END
};

struct bed {
    const uint8_t *at, *end;
    uint8_t how;
    struct bh_keeper keeper;
    struct bh_kept kept[ID_END]; /* [0] is the state */
    struct bh_vu_page *page;
    size_t page_size;
    int peer, channel, kick[RINGS];
    uint8_t *memory, *area;
    bool stopped;
};

static int put(struct bh_keeper *keeper, const char *name, int fd)
{
    return BH_OK;
}

static void drop(struct bh_keeper *keeper, const char *name)
{
}

static const struct bh_keeper_ops keeper_ops = {put, drop};

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

static uint8_t next(struct bed *bed)
{
    return bed->at < bed->end ? *bed->at++ : 0;
}

static void keep(struct bed *bed, unsigned id, int fd)
{
    BH_ASSERT(fd >= 0);
    bed->kept[id].fd = fd;
    if (id)
        snprintf(bed->kept[id].name, sizeof(bed->kept[id].name), "vu-%u", id);
    else
        strcpy(bed->kept[id].name, "vu-state");
    bed->keeper.kept_count++;
}

static uint8_t *new_memory(int *fd, size_t size, bool seal)
{
    uint8_t *bytes;
    *fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    BH_ASSERT(*fd >= 0 && ftruncate(*fd, (off_t)size) == 0);
    BH_ASSERT(!seal || fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    BH_ASSERT(bytes != MAP_FAILED);
    return bytes;
}

/* --- a state that makes sense ---------------------------------------------------------------------------- */

static void lay_rings(struct bed *bed, struct bh_vu_image *image)
{
    for (unsigned i = 0; i < RINGS; i++) {
        const uint64_t base = BASE + i * RING_BYTES;
        image->rings[i] = (struct bh_vu_image_ring){
            .addr = {i, 0, base + DESC_AT, base + USED_AT, base + AVAIL_AT, 0},
            .size = SIZE,
            .base = bed->how & PACKED ? 0x80008000u : 0,
            .flags = BH_VU_RING_HAS_ADDR | BH_VU_RING_HAS_KICK | BH_VU_RING_ENABLED |
                     (bed->how & RAN ? BH_VU_RING_STARTED : 0u),
            .kick_id = ID_KICK + i,
            .call_id = ID_CALL + i,
        };
    }
}

static void lay_messages(struct bed *bed, struct bh_vu_image *image)
{
    const struct vhost_user_header head = {VHOST_USER_SET_VRING_NUM,
                                           VHOST_USER_VERSION | VHOST_USER_FLAG_NEED_REPLY,
                                           sizeof(struct vhost_user_vring_state)};
    if (bed->how & HALF_IN) {
        memcpy(image->in.bytes, &head, sizeof(head));
        image->in.moves.move[0].made.call.msg_len = bed->how & RAN ? sizeof(head) + head.size : 15;
    }
    if (bed->how & HALF_OUT) {
        memcpy(image->out.bytes, &head, sizeof(head));
        image->out.size = sizeof(head) + 8;
        image->out.moves.move[0].made.call.msg_len = 7;
    }
}

static void lay_state(struct bed *bed, struct bh_device *dev)
{
    struct bh_vu_image *image = &bed->page->image[0];
    const uint32_t stride = (uint32_t)((bh_inflight_bytes(64, true) + 63u) & ~(size_t)63u);
    *bed->page = (struct bh_vu_page){
        .magic = BH_VU_JOURNAL_MAGIC,
        .version = BH_VU_JOURNAL_VERSION,
        .size = bed->page_size,
        .queue_count = RINGS,
        .next_id = ID_END,
        .records_at = (sizeof(*bed->page) + 63u) & ~(size_t)63u,
        .records_stride = stride,
        .class_at = ((sizeof(*bed->page) + 63u) & ~(size_t)63u) + (size_t)stride * RINGS,
    };
    image->flags = BH_VU_IMAGE_SERVING | BH_VU_IMAGE_PROTOCOL_NEGOTIATED | BH_VU_IMAGE_FEATURES_DONE |
                   (bed->how & LOG ? BH_VU_IMAGE_HAS_LOG | BH_VU_IMAGE_LOG_WANTED : 0u) |
                   (bed->how & AREA ? BH_VU_IMAGE_HAS_INFLIGHT : 0u);
    image->status = 15;
    image->acked[0] = 1u << BH_F_EVENT_IDX | 1u << BH_F_INDIRECT_DESC;
    image->acked[1] = 1u << (BH_F_VERSION_1 - 32) | (bed->how & PACKED ? 1u << (BH_F_RING_PACKED - 32) : 0u) |
                      (bed->how & IOMMU ? 1u << (BH_F_ACCESS_PLATFORM - 32) : 0u);
    image->protocol_features = 1u << VHOST_USER_PROTOCOL_F_MQ | 1u << VHOST_USER_PROTOCOL_F_LOG_SHMFD |
                               1u << VHOST_USER_PROTOCOL_F_REPLY_ACK |
                               1u << VHOST_USER_PROTOCOL_F_BACKEND_REQ | 1u << VHOST_USER_PROTOCOL_F_CONFIG |
                               1u << VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD |
                               1u << VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS;
    image->conn_id = ID_CONN;
    image->backend_id = ID_CHANNEL;
    image->log_id = image->inflight_id = ID_AREA;
    image->region_count = 1;
    image->regions[0] = (struct bh_vu_image_region){.told = {BASE, MEMORY, BASE, 0}, .fd_id = ID_MEMORY};
    image->log = (struct vhost_user_log){.mmap_size = 64, .mmap_offset = 0};
    image->inflight = (struct vhost_user_inflight){(uint64_t)stride * RINGS, 0, RINGS, 64};
    image->class_size = (uint32_t)dev->class->save(dev, image->class_state, sizeof(image->class_state));
    lay_rings(bed, image);
    lay_messages(bed, image);
}

/* Records of two chains in flight, for both rings. */
static void lay_records(struct bed *bed)
{
    for (unsigned i = 0; i < RINGS; i++) {
        const size_t stride = bed->page->records_stride;
        uint8_t *area =
            (bed->how & AREA ? bed->area : (uint8_t *)bed->page + bed->page->records_at) + i * stride;
        struct bh_inflight records;
        BH_ASSERT(bh_inflight_init(&records, area, stride, SIZE, bed->how & PACKED) == BH_OK);
        if (bed->how & PACKED) {
            struct vhost_user_queue_region_packed *region = (void *)area;
            region->desc[0].inflight = region->desc[1].inflight = 1;
            region->desc[0].num = region->desc[1].num = 1;
            region->desc[1].last = 1;
            region->desc[0].addr = region->desc[1].addr = BASE + 0xc000;
            region->desc[0].len = region->desc[1].len = 64;
            region->free_head = region->old_free_head = 2;
        } else {
            struct vhost_user_queue_region_split *region = (void *)area;
            region->desc[0].inflight = region->desc[3].inflight = 1;
            region->desc[0].counter = 1;
        }
    }
}

/* --- and spoilt ------------------------------------------------------------------------------------------ */

static void patch(struct bed *bed)
{
    const unsigned high = next(bed), place = high << 8 | next(bed), length = next(bed);
    uint8_t *bytes;
    size_t room;
    switch (place >> 14) {
    case 0: /* the page's head and the image's, up to its regions */
        bytes = (uint8_t *)bed->page;
        room = sizeof(*bed->page);
        break;
    case 1: /* behind the regions in the image: rings, the class, the messages */
        bytes = (uint8_t *)&bed->page->image[0].rings;
        room = sizeof(struct bh_vu_image) - offsetof(struct bh_vu_image, rings);
        break;
    case 2:
        bytes = bed->memory;
        room = MEMORY / 2;
        break;
    default:
        bytes = place & 1 ? bed->area : (uint8_t *)bed->page + (sizeof(*bed->page) & ~(size_t)7u);
        room = 4096;
        break;
    }
    for (unsigned i = 0; i < length; i++) {
        const uint8_t byte = next(bed);
        if ((place & 0x3fffu) + i < room)
            bytes[(place & 0x3fffu) + i] = byte;
    }
}

static void pump(struct bed *bed, struct bh_loop *loop)
{
    uint8_t answers[4096];
    for (unsigned i = 0; i < ROUNDS_MAX && bh_loop_step(loop, 0) > 0; i++)
        while (bed->peer >= 0 && recv(bed->peer, answers, sizeof(answers), MSG_DONTWAIT) > 0)
            ;
}

static void make_fds(struct bed *bed)
{
    int ends[2], fd;
    bed->page_size = (sizeof(*bed->page) + (size_t)3 * 4096) & ~(size_t)4095u;
    bed->page = (void *)new_memory(&fd, bed->page_size, true);
    keep(bed, 0, fd);
    BH_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    keep(bed, ID_CONN, ends[0]);
    bed->peer = ends[1];
    bed->memory = new_memory(&fd, MEMORY, false);
    keep(bed, ID_MEMORY, fd);
    for (unsigned i = 0; i < RINGS; i++) {
        bed->kick[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        keep(bed, ID_KICK + i, fcntl(bed->kick[i], F_DUPFD_CLOEXEC, 0));
    }
    for (unsigned i = 0; i < RINGS; i++)
        keep(bed, ID_CALL + i, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
    BH_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    keep(bed, ID_CHANNEL, ends[0]);
    bed->channel = ends[1];
    bed->area = new_memory(&fd, 16384, false);
    keep(bed, ID_AREA, fd);
    bed->keeper.ops = &keeper_ops;
    bed->keeper.kept = bed->kept;
}

static void close_fds(struct bed *bed)
{
    for (unsigned i = 0; i < ID_END; i++)
        if (bed->kept[i].fd >= 0)
            close(bed->kept[i].fd);
    for (unsigned i = 0; i < RINGS; i++)
        close(bed->kick[i]);
    close(bed->channel);
    munmap(bed->page, bed->page_size);
    munmap(bed->memory, MEMORY);
    munmap(bed->area, 16384);
}

/* The lowest free fd: it is the same again when every fd was given back. */
static int lowest_fd(void)
{
    int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
}

/* `whole`: nothing was spoilt, so it must be gone on with. */
static void go_on(struct bed *bed, struct bh_loop *loop, struct bh_vhost_user *server, bool whole)
{
    const struct vhost_user_header ask = {VHOST_USER_GET_FEATURES, VHOST_USER_VERSION, 0};
    BH_ASSERT(!whole || bh_vhost_user_counters(server)->resumed == 1);
    pump(bed, loop);
    for (unsigned i = 0; i < RINGS; i++)
        (void)!write(bed->kick[i], &(uint64_t){1}, 8);
    (void)!send(bed->peer, &ask, sizeof(ask), MSG_NOSIGNAL | MSG_DONTWAIT);
    pump(bed, loop);
    close(bed->peer);
    bed->peer = -1;
    pump(bed, loop);
    bh_vhost_user_stop(server);
    for (unsigned i = 0; i < ROUNDS_MAX && !bed->stopped; i++)
        (void)bh_loop_step(loop, 10);
    BH_ASSERT(bed->stopped);
    bh_vhost_user_destroy(server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bh_diag_sink quiet = {.emit = say_nothing};
    struct bed bed = {.at = data, .end = data + size};
    struct bh_blk_options options = {0};
    struct bh_vhost_user *server;
    struct bh_hosted *hosted;
    struct bh_loop *loop;
    struct bh_mem mem;
    const int before = lowest_fd();
    BH_ASSERT(bh_options_init(bh_blk_option_table, &options) == BH_OK);
    options.ram_size = 1 << 20;
    options.num_queues = RINGS;
    options.queue_size = 64;
    bh_mem_init(&mem, NULL);
    BH_ASSERT(bh_loop_create(&loop) == BH_OK);
    BH_ASSERT(bh_blk_hosted.create(loop, &mem, &options, &quiet, &hosted) == BH_OK);
    bed.how = next(&bed);
    make_fds(&bed);
    lay_state(&bed, hosted->dev);
    if (bed.how & RAN)
        lay_records(&bed);
    for (unsigned i = 0; i < PATCHES_MAX && bed.at < bed.end; i++)
        patch(&bed);

    if (bh_vhost_user_create(loop, hosted->dev, -1, "fuzz", &quiet, &bed.keeper, &owner_ops, &bed, &server) ==
        BH_OK)
        go_on(&bed, loop, server, size <= 1);
    else
        close(bed.peer);

    bh_blk_hosted.destroy(hosted);
    bh_loop_destroy(loop);
    bh_options_fini(bh_blk_option_table, &options);
    close_fds(&bed);
    BH_ASSERT(lowest_fd() == before);
    return 0;
}
