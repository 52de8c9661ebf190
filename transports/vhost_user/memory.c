/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mapping a front-end's regions. Everything that it says of them is checked before a byte of it is touched.
 *
 * #syscalls fstat newfstatat fstatfs
 */
#include "transports/vhost_user/memory.h"

#include "transports/vhost_user/guard.h"
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static int wrong(const char **why, int err, const char *text)
{
    *why = text;
    return err;
}

void bh_vu_memory_init(struct bh_vu_memory *memory, int wake_fd)
{
    memset(memory, 0, sizeof(*memory));
    memory->tables[0].regions = memory->rows[0];
    memory->tables[1].regions = memory->rows[1];
    memory->wake_fd = wake_fd;
}

static void unmap(struct bh_vu_region *region)
{
    bh_vu_guard_remove(region->guard);
    munmap(region->map, region->map_length);
    memset(region, 0, sizeof(*region));
}

void bh_vu_memory_fini(struct bh_vu_memory *memory)
{
    for (unsigned i = 0; i < BH_COUNT(memory->regions); i++)
        if (memory->regions[i].map)
            unmap(&memory->regions[i]);
}

/* --- one region ------------------------------------------------------------------------------------------ */

static bool wraps(uint64_t base, uint64_t size)
{
    return base + size < base;
}

/* The page size of the file's mappings: huge pages want offsets and lengths in theirs. */
static uint64_t page_size(int fd)
{
    struct statfs fs;
    if (!fstatfs(fd, &fs) && fs.f_type == HUGETLBFS_MAGIC && fs.f_bsize > 0)
        return (uint64_t)fs.f_bsize;
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool same_region(const struct vhost_user_region *a, const struct vhost_user_region *b)
{
    return a->guest_address == b->guest_address && a->size == b->size && a->user_address == b->user_address;
}

static bool overlaps(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
    return a < b + b_size && b < a + a_size;
}

static int check_region(const struct bh_vu_memory *memory, const struct vhost_user_region *told,
                        const char **why)
{
    if (!told->size)
        return wrong(why, BH_ERR_INVAL, "a region of no bytes");
    if (wraps(told->guest_address, told->size) || wraps(told->user_address, told->size) ||
        wraps(told->mmap_offset, told->size))
        return wrong(why, BH_ERR_INVAL, "a region that wraps around");
    for (unsigned i = 0; i < BH_COUNT(memory->regions); i++) {
        const struct bh_vu_region *other = &memory->regions[i];
        if (!other->map || !other->staged)
            continue;
        if (overlaps(told->guest_address, told->size, other->as_told.guest_address, other->as_told.size) ||
            overlaps(told->user_address, told->size, other->as_told.user_address, other->as_told.size))
            return wrong(why, BH_ERR_INVAL, "regions that overlap");
    }
    return BH_OK;
}

/*
 * Map `told` into `region`. The file must hold it all now; that it may be truncated later (unless it is sealed
 * against shrinking) is what the guard is for. Other kinds of files than regular ones have no size to check.
 */
static int map_region(struct bh_vu_memory *memory, struct bh_vu_region *region,
                      const struct vhost_user_region *told, int fd, const struct stat *file, const char **why)
{
    const uint64_t page = page_size(fd);
    const uint64_t start = told->mmap_offset & ~(page - 1);
    const uint64_t length = (told->mmap_offset - start + told->size + page - 1) & ~(page - 1);
    int err;
    if (!S_ISREG(file->st_mode))
        return wrong(why, BH_ERR_INVAL, "memory that is no file (use memfd or a file in shared memory)");
    if (told->mmap_offset + told->size > (uint64_t)file->st_size)
        return wrong(why, BH_ERR_INVAL, "a file smaller than the region in it");
    if (length < told->size || length > SIZE_MAX / 2)
        return wrong(why, BH_ERR_INVAL, "a region too large to map");
    region->map =
        mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, (off_t)start);
    if (region->map == MAP_FAILED) {
        region->map = NULL;
        return wrong(why, BH_ERR_IO, "a region that cannot be mapped for reading and writing");
    }
    region->map_length = (size_t)length;
    region->host = (uint8_t *)region->map + (told->mmap_offset - start);
    err = bh_vu_guard_add(region->map, region->map_length, &memory->lost, memory->wake_fd, &region->guard);
    if (err) {
        munmap(region->map, region->map_length);
        memset(region, 0, sizeof(*region));
        return wrong(why, err, "more regions than can be guarded");
    }
    /* A core file of ours is not the place for a guest's secrets. */
    (void)madvise(region->map, region->map_length, MADV_DONTDUMP);
    region->as_told = *told;
    region->dev = file->st_dev;
    region->ino = file->st_ino;
    return BH_OK;
}

/* `told` is this region again: the same part of the same file, which still holds it, at the same addresses. */
static bool is_again(const struct bh_vu_region *region, const struct vhost_user_region *told,
                     const struct stat *file)
{
    return region->map && same_region(&region->as_told, told) &&
           region->as_told.mmap_offset == told->mmap_offset && region->dev == file->st_dev &&
           region->ino == file->st_ino && told->mmap_offset + told->size <= (uint64_t)file->st_size;
}

static int stage_region(struct bh_vu_memory *memory, const struct vhost_user_region *told, int fd,
                        uint32_t fd_id, const char **why)
{
    struct bh_vu_region *free_slot = NULL;
    struct stat file;
    int err = check_region(memory, told, why);
    if (err)
        return err;
    if (fstat(fd, &file))
        return wrong(why, BH_ERR_IO, "a file that cannot be looked at");
    for (unsigned i = 0; i < BH_COUNT(memory->regions); i++) {
        struct bh_vu_region *region = &memory->regions[i];
        if (!region->map) {
            if (!free_slot)
                free_slot = region;
        } else if (is_again(region, told, &file)) {
            region->staged = 1;
            return BH_OK;
        }
    }
    if (!free_slot)
        return wrong(why, BH_ERR_NOMEM, "more regions than there are slots");
    err = map_region(memory, free_slot, told, fd, &file, why);
    if (err)
        return err;
    free_slot->fd_id = fd_id;
    free_slot->staged = 1;
    free_slot->fresh = true;
    return BH_OK;
}

/* --- the table ------------------------------------------------------------------------------------------- */

static struct bh_mem_region row_of(const struct bh_vu_memory *memory, const struct bh_vu_region *region)
{
    return (struct bh_mem_region){
        .base = bh_daddr(region->as_told.guest_address),
        .size = region->as_told.size,
        .host = region->host,
        .user = bh_uaddr(region->as_told.user_address),
        .slot = (uint16_t)(region - memory->regions),
        .access = BH_MEM_READ | BH_MEM_WRITE,
    };
}

/* Lay the staged regions out in the table that is not in use, ascending by guest address. */
static int build_table(struct bh_vu_memory *memory, const char **why)
{
    struct bh_mem_table *table = &memory->tables[!memory->current];
    struct bh_mem_region *rows = memory->rows[!memory->current];
    unsigned count = 0;
    for (unsigned i = 0; i < BH_COUNT(memory->regions); i++) {
        const struct bh_vu_region *region = &memory->regions[i];
        struct bh_mem_region row;
        unsigned at = count;
        if (!region->map || !region->staged)
            continue;
        if (count == BH_VU_REGIONS_MAX)
            return wrong(why, BH_ERR_NOMEM, "more regions than there are slots");
        row = row_of(memory, region);
        for (; at && rows[at - 1].base.raw > row.base.raw; at--)
            rows[at] = rows[at - 1];
        rows[at] = row;
        count++;
    }
    table->count = count;
    return BH_OK;
}

static void mark_current(struct bh_vu_memory *memory)
{
    const struct bh_mem_table *table = &memory->tables[memory->current];
    for (unsigned i = 0; i < BH_COUNT(memory->regions); i++) {
        memory->regions[i].staged = 0;
        memory->regions[i].fresh = false;
    }
    for (unsigned i = 0; i < table->count; i++) {
        struct bh_vu_region *region = &memory->regions[table->regions[i].slot];
        region->staged = region->copies;
    }
}

/* Back to the table in use. */
static void unstage(struct bh_vu_memory *memory)
{
    for (unsigned i = 0; i < BH_COUNT(memory->regions); i++)
        if (memory->regions[i].map && memory->regions[i].fresh)
            unmap(&memory->regions[i]);
    mark_current(memory);
}

static int finish_staging(struct bh_vu_memory *memory, int err, const char **why)
{
    if (!err)
        err = build_table(memory, why);
    if (err)
        unstage(memory);
    else
        memory->changing = true;
    return err;
}

int bh_vu_memory_stage_all(struct bh_vu_memory *memory, const struct vhost_user_region *regions,
                           const int *fds, const uint32_t *fd_ids, unsigned count, const char **why)
{
    int err = BH_OK;
    BH_ASSERT(!memory->changing);
    for (unsigned i = 0; i < BH_COUNT(memory->regions); i++)
        memory->regions[i].staged = 0;
    for (unsigned i = 0; i < count && !err; i++)
        err = stage_region(memory, &regions[i], fds[i], fd_ids[i], why);
    return finish_staging(memory, err, why);
}

void bh_vu_memory_stage_copies(struct bh_vu_memory *memory, const struct vhost_user_region *region,
                               uint32_t copies)
{
    for (unsigned i = 0; i < BH_COUNT(memory->regions) && copies; i++) {
        struct bh_vu_region *one = &memory->regions[i];
        if (one->map && one->staged && same_region(&one->as_told, region))
            one->staged = copies < BH_VU_COPIES_MAX ? copies : BH_VU_COPIES_MAX;
    }
}

/* A region more, or a copy of one that is there. */
static int add_region(struct bh_vu_memory *memory, const struct vhost_user_region *told, int fd,
                      uint32_t fd_id, const char **why)
{
    struct stat file;
    if (fstat(fd, &file))
        return wrong(why, BH_ERR_IO, "a file that cannot be looked at");
    for (unsigned i = 0; i < BH_COUNT(memory->regions); i++) {
        struct bh_vu_region *region = &memory->regions[i];
        if (!region->staged || !is_again(region, told, &file))
            continue;
        if (region->staged == BH_VU_COPIES_MAX)
            return wrong(why, BH_ERR_NOMEM, "more copies of a region than a front-end has parts");
        region->staged++;
        return BH_OK;
    }
    return stage_region(memory, told, fd, fd_id, why);
}

int bh_vu_memory_stage_add(struct bh_vu_memory *memory, const struct vhost_user_region *region, int fd,
                           uint32_t fd_id, const char **why)
{
    BH_ASSERT(!memory->changing);
    return finish_staging(memory, add_region(memory, region, fd, fd_id, why), why);
}

int bh_vu_memory_stage_remove(struct bh_vu_memory *memory, const struct vhost_user_region *region,
                              const char **why)
{
    BH_ASSERT(!memory->changing);
    for (unsigned i = 0; i < BH_COUNT(memory->regions); i++) {
        struct bh_vu_region *candidate = &memory->regions[i];
        if (candidate->map && candidate->staged && same_region(&candidate->as_told, region)) {
            candidate->staged--;
            return finish_staging(memory, BH_OK, why);
        }
    }
    return wrong(why, BH_ERR_NOENT, "a region that is not there");
}

void bh_vu_memory_commit(struct bh_vu_memory *memory)
{
    BH_ASSERT(memory->changing);
    memory->changing = false;
    memory->current = !memory->current;
    for (unsigned i = 0; i < BH_COUNT(memory->regions); i++) {
        struct bh_vu_region *region = &memory->regions[i];
        if (region->map && !region->staged)
            unmap(region);
        region->copies = region->staged;
    }
    mark_current(memory);
}
