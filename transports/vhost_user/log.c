/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dirty log of a live migration: a bitmap in the front-end's memory in which we mark the pages that the device
 * writes [vhost-user, "Migration"].
 *
 * Theory of operation
 *   Core marks: each buffer after it was written and before it is used, each part of a ring that we write (core/dirty.c).
 * Here the bitmap is mapped, checked and given to core while both halves are there: SET_LOG_BASE brought it, and
 * SET_FEATURES holds VHOST_F_LOG_ALL. Rings are marked with or without VHOST_VRING_F_LOG of SET_VRING_ADDR: one page
 * too many is copied once more, one too few is lost.
 *
 *   All queues run on the loop's thread, so a new bitmap takes the old one's place between two of their turns, and the
 * old one can be unmapped at once. It is somebody else's memory, and guarded like all of that.
 *
 * #syscalls fstat newfstatat
 */
#include "transports/vhost_user/guard.h"
#include "transports/vhost_user/request.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void unmap(struct bh_vhost_user *server)
{
    struct bh_vu_log *log = &server->log;
    bh_mem_set_log(server->dev->mem, NULL);
    if (!log->map)
        return;
    bh_vu_guard_remove(log->guard);
    munmap(log->map, log->map_length);
    log->map = NULL;
}

static const char *map(struct bh_vhost_user *server, const struct vhost_user_log *told, int fd)
{
    struct bh_vu_log *log = &server->log;
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), start = told->mmap_offset & ~(page - 1);
    struct stat file;
    if (!told->mmap_size || told->mmap_offset + told->mmap_size < told->mmap_offset)
        return "a log of no bytes, or one that wraps around";
    if (fstat(fd, &file) || !S_ISREG(file.st_mode))
        return "a log that is no file (use memfd or a file in shared memory)";
    if (told->mmap_offset + told->mmap_size > (uint64_t)file.st_size)
        return "a file smaller than the log in it";
    log->map_length = (size_t)(told->mmap_offset - start + told->mmap_size);
    log->map = mmap(NULL, log->map_length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)start);
    if (log->map == MAP_FAILED) {
        log->map = NULL;
        return "a log that cannot be mapped for reading and writing";
    }
    log->map_length = (log->map_length + page - 1) & ~(page - 1);
    if (bh_vu_guard_add(log->map, log->map_length, &server->memory.lost, server->memory.wake_fd,
                        &log->guard)) {
        munmap(log->map, log->map_length);
        log->map = NULL;
        return "more memory than can be guarded";
    }
    log->told = *told;
    log->bits = (struct bh_mem_log){(uint8_t *)log->map + (told->mmap_offset - start), told->mmap_size};
    return NULL;
}

/* "should be large enough to cover all known guest addresses": pages beyond it would be lost without a word. */
static void check_reach(struct bh_vhost_user *server)
{
    const struct bh_mem_table *table = server->dev->mem->table;
    const struct bh_mem_region *last = table->count ? &table->regions[table->count - 1] : NULL;
    if (last && (last->base.raw + (last->size - 1)) / BH_MEM_LOG_PAGE / 8 >= server->log.bits.byte_count)
        bh_vu_say(server,
                  "the dirty log ends before guest memory does: what is written there will not migrate");
}

void bh_vu_log_apply(struct bh_vhost_user *server)
{
    const bool on = server->log.map && server->log.wanted;
    bh_mem_set_log(server->dev->mem, on ? &server->log.bits : NULL);
    if (on)
        check_reach(server);
}

enum bh_vu_result bh_vu_set_log_base(struct bh_vhost_user *server, const char **why)
{
    unmap(server);
    *why = map(server, &server->pending.log, server->wire.fds[0]);
    if (*why)
        return BH_VU_REFUSED;
    server->log.map_id = server->wire.fd_ids[0];
    bh_vu_log_apply(server);
    return bh_vu_answer_u64(server, 0);
}

enum bh_vu_result bh_vu_set_log_fd(struct bh_vhost_user *server)
{
    if (server->log.fd >= 0)
        close(server->log.fd);
    server->log.fd = bh_vu_wire_take_fd(&server->wire, 0);
    server->log.fd_id = server->wire.fd_ids[0];
    bh_vu_never_block(server->log.fd);
    return BH_VU_DONE;
}

int bh_vu_log_restore(struct bh_vhost_user *server, const struct vhost_user_log *told, uint32_t id,
                      const char **why)
{
    const int fd = bh_vu_journal_look(&server->journal, id);
    *why = fd < 0 ? "the dirty log's file was not kept" : map(server, told, fd);
    server->log.map_id = id;
    return *why ? BH_ERR_PROTO : BH_OK;
}

void bh_vu_log_forget(struct bh_vhost_user *server)
{
    unmap(server);
    if (server->log.fd >= 0)
        close(server->log.fd);
    server->log = (struct bh_vu_log){.fd = -1};
}
