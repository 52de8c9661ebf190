/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where rings keep their in-flight records [vhost-user, "Inflight I/O tracking"]: in the front-end's memory where it
 * gave some (GET_INFLIGHT_FD, SET_INFLIGHT_FD), else in the journal where somebody keeps that, else nowhere.
 *
 * Theory of operation
 *   A ring that starts for the first time since SET_INFLIGHT_FD, or in a successor of a process that died, takes over
 * what it finds: position and chains in flight come from the records, not from SET_VRING_BASE, which some front-ends
 * replay as it was at first. Later starts lay fresh records from the position that is told: the ring was stopped in good
 * order then, or its device was reset.
 *
 *   The area of GET_INFLIGHT_FD is divided evenly among the queues, large enough for either layout.
 *
 * #syscalls memfd_create ftruncate fcntl fstat newfstatat
 */
#include "transports/vhost_user/guard.h"
#include "transports/vhost_user/request.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the front-end's memory ------------------------------------------------------------------------------ */

static uint64_t stride_of(uint16_t queue_size)
{
    return (bh_inflight_bytes(queue_size, true) + 63u) & ~(uint64_t)63u; /* packed: the larger one */
}

enum bh_vu_result bh_vu_get_inflight(struct bh_vhost_user *server, const char **why)
{
    struct vhost_user_inflight area = server->pending.inflight;
    int fd;
    if (!area.num_queues || area.num_queues > server->dev->queue_count || !area.queue_size ||
        area.queue_size > BH_VIRTQ_SIZE_MAX)
        return bh_vu_refuse(why, "in-flight records for queues that the device does not have");
    area.mmap_size = stride_of(area.queue_size) * area.num_queues;
    area.mmap_offset = 0;
    fd = memfd_create("bulkhead-inflight", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)area.mmap_size) ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)) {
        if (fd >= 0)
            close(fd);
        return bh_vu_refuse(why, "there is no memory for in-flight records");
    }
    bh_vu_wire_reply(&server->wire, server->pending.request, &area, server->pending.payload_size);
    bh_vu_wire_reply_fd(server, fd);
    return BH_VU_ANSWERED;
}

static const char *map(struct bh_vhost_user *server, const struct vhost_user_inflight *told, int fd)
{
    struct bh_vu_inflight *inflight = &server->inflight;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = told->mmap_offset & ~(page - 1);
    const uint64_t stride = told->num_queues ? told->mmap_size / told->num_queues : 0;
    struct stat file;
    if (!stride || stride % 8 || told->mmap_offset % 8 ||
        told->mmap_offset + told->mmap_size < told->mmap_offset)
        return "in-flight records that do not divide among their queues";
    if (fstat(fd, &file) || !S_ISREG(file.st_mode) ||
        told->mmap_offset + told->mmap_size > (uint64_t)file.st_size)
        return "a file smaller than the in-flight records in it";
    inflight->map_length = (size_t)((told->mmap_offset - start + told->mmap_size + page - 1) & ~(page - 1));
    inflight->map = mmap(NULL, inflight->map_length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
    if (inflight->map == MAP_FAILED) {
        inflight->map = NULL;
        return "in-flight records that cannot be mapped for reading and writing";
    }
    if (bh_vu_guard_add(inflight->map, inflight->map_length, &server->memory.lost, server->memory.wake_fd,
                        &inflight->guard)) {
        munmap(inflight->map, inflight->map_length);
        inflight->map = NULL;
        return "more memory than can be guarded";
    }
    inflight->told = *told;
    inflight->areas = (uint8_t *)inflight->map + (told->mmap_offset - start);
    inflight->stride = stride;
    return NULL;
}

void bh_vu_inflight_forget(struct bh_vhost_user *server)
{
    struct bh_vu_inflight *inflight = &server->inflight;
    for (unsigned i = 0; i < server->dev->queue_count; i++)
        server->dev->queues[i].inflight = NULL;
    if (inflight->map) {
        bh_vu_guard_remove(inflight->guard);
        munmap(inflight->map, inflight->map_length);
    }
    memset(inflight, 0, sizeof(*inflight));
}

enum bh_vu_result bh_vu_set_inflight(struct bh_vhost_user *server, const char **why)
{
    bh_vu_inflight_forget(server); /* no queue runs: request.c has seen to that */
    *why = map(server, &server->pending.inflight, server->wire.fds[0]);
    if (*why)
        return BH_VU_REFUSED;
    server->inflight.id = server->wire.fd_ids[0];
    for (unsigned i = 0; i < server->dev->queue_count; i++)
        server->rings[i].left = i < server->inflight.told.num_queues;
    return BH_VU_DONE;
}

int bh_vu_inflight_restore(struct bh_vhost_user *server, const struct vhost_user_inflight *told, uint32_t id,
                           const char **why)
{
    const int fd = bh_vu_journal_look(&server->journal, id);
    *why = fd < 0 ? "the file of the in-flight records was not kept" : map(server, told, fd);
    server->inflight.id = id;
    return *why ? BH_ERR_PROTO : BH_OK;
}

/* --- a ring starts --------------------------------------------------------------------------------------- */

static void *area_of(struct bh_vhost_user *server, unsigned index, size_t *size)
{
    const struct bh_vu_inflight *inflight = &server->inflight;
    if (!inflight->map || index >= inflight->told.num_queues)
        return bh_vu_journal_records(&server->journal, index, size);
    *size = (size_t)inflight->stride;
    return inflight->areas + index * inflight->stride;
}

/* The part of the ring that tells how far its former user came, whole and aligned; or why not. */
static int find_ring(struct bh_device *dev, const struct bh_virtq_setup *setup, bool packed, void **ring)
{
    const bh_daddr_t at = packed ? setup->desc : setup->device;
    const uint64_t bytes = packed ? (uint64_t)16 * setup->size : 6u + 8u * (uint64_t)setup->size;
    struct bh_mem_span span = {0};
    struct bh_mem_view view;
    enum bh_mem_result found;
    bh_mem_view_init(&view, dev->mem);
    (void)bh_mem_view_adopt(&view);
    found = bh_mem_translate(&view, at, bytes, BH_MEM_READ | BH_MEM_WRITE, &span);
    if (found == BH_MEM_PENDING)
        return BH_ERR_PENDING;
    if (found == BH_MEM_FAULT || span.len != bytes || (uintptr_t)span.host % (packed ? 16 : 4))
        return BH_ERR_FAULT;
    *ring = span.host;
    return BH_OK;
}

int bh_vu_ring_lay_records(struct bh_vu_ring *ring, struct bh_virtq_setup *setup, bool *taken_over)
{
    struct bh_vhost_user *server = ring->server;
    struct bh_device *dev = server->dev;
    struct bh_vu_records *records = &server->records[ring->index];
    const bool packed = bh_device_has(dev, BH_F_RING_PACKED);
    size_t size = 0;
    void *area = area_of(server, ring->index, &size), *where = NULL;
    int err;
    *taken_over = false;
    dev->queues[ring->index].inflight = NULL;
    if (!area)
        return BH_OK;
    if (ring->left) {
        err = find_ring(dev, setup, packed, &where);
        if (!err)
            err = bh_inflight_load(&records->inflight, area, size, setup->size, packed, where,
                                   records->resubmit, &setup->state);
        *taken_over = !err;
        if (err && err != BH_ERR_NOENT)
            return err;
    }
    if (!*taken_over) {
        err = bh_inflight_init(&records->inflight, area, size, setup->size, packed);
        if (err)
            return err;
    }
    dev->queues[ring->index].inflight = &records->inflight;
    return BH_OK;
}
