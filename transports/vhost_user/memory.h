/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as a vhost-user front-end shares it: regions with a file each, mapped here, laid out as the table that
 * core translates with.
 *
 * Theory of operation
 *   A change is staged, then published, then committed. Staging maps what is new and builds the next table beside
 * the one in use; it changes nothing else and can fail. The caller hands the staged table to bh_device_mem_change;
 * when that is done no queue can reach what the new table lacks, and commit unmaps it. A region that is told again
 * as it was (the same addresses, the same part of the same file) keeps its mapping and its slot, so that a front-end
 * that sends its whole table for each change does not disturb what is in flight.
 *   One that is added again is counted, and goes when it was removed as often: a front-end that keeps a state for each
 * pair of a net's queues (QEMU up to 7.2) tells each region for each of them. The specification says nothing of it.
 *
 * Threading: the loop's thread.   Ownership: mappings are ours, fds stay the caller's.   May block: no.
 */
#ifndef TRANSPORTS_VHOST_USER_MEMORY_H
#define TRANSPORTS_VHOST_USER_MEMORY_H

#include <abi/vhost_user.h>
#include <bulkhead/mem.h>
#include <signal.h>
#include <sys/types.h>

#define BH_VU_REGIONS_MAX 509u /* what GET_MAX_MEM_SLOTS answers */
#define BH_VU_COPIES_MAX                                                                                     \
    128u /* of one region, a part of the front-end each: a part serves a pair of queues */

struct bh_vu_region {
    struct vhost_user_region as_told;
    uint32_t fd_id; /* the caller's name for its file */
    dev_t dev;      /* with ino: which file */
    ino_t ino;
    void *map; /* NULL: this slot is free */
    size_t map_length;
    uint8_t *host; /* the region's first byte, inside of map */
    unsigned guard;
    uint32_t copies; /* how often it was told, in the table in use; 0: it is not in it */
    uint32_t staged; /* likewise in the table that is being made; after commit as copies */
    bool fresh;      /* mapped by the staging that is under way */
};

struct bh_vu_memory {
    struct bh_vu_region regions[2 * BH_VU_REGIONS_MAX]; /* by slot; those retired stay until released */
    struct bh_mem_region rows[2][BH_VU_REGIONS_MAX];
    struct bh_mem_table tables[2];
    unsigned current;
    bool changing; /* between staging and commit */
    volatile sig_atomic_t lost;
    int wake_fd; /* told with `lost` */
};

void bh_vu_memory_init(struct bh_vu_memory *memory, int wake_fd);
/* Unmap everything: nothing may use it any more. */
void bh_vu_memory_fini(struct bh_vu_memory *memory);

/*
 * Stage: the whole table anew (`count` 0 empties it), one region more, or one less. On failure nothing has changed,
 * and *why says it. One more that is there already, the same part of the same file at the same addresses, is a copy,
 * and one less takes a copy first. BH_ERR_INVAL: empty, wrapping or overlapping regions, a file that is too small or no
 * file; BH_ERR_NOMEM: too many regions or copies; BH_ERR_NOENT: no such region; BH_ERR_IO: mmap failed.
 */
int bh_vu_memory_stage_all(struct bh_vu_memory *memory, const struct vhost_user_region *regions,
                           const int *fds, const uint32_t *fd_ids, unsigned count,
                           const char **why) BH_MUST_USE;
int bh_vu_memory_stage_add(struct bh_vu_memory *memory, const struct vhost_user_region *region, int fd,
                           uint32_t fd_id, const char **why) BH_MUST_USE;
int bh_vu_memory_stage_remove(struct bh_vu_memory *memory, const struct vhost_user_region *region,
                              const char **why) BH_MUST_USE;

/* Behind stage_all: the region that is laid out at `region`'s addresses was told `copies` times (0: once). */
void bh_vu_memory_stage_copies(struct bh_vu_memory *memory, const struct vhost_user_region *region,
                               uint32_t copies);

static inline const struct bh_mem_table *bh_vu_memory_staged(const struct bh_vu_memory *memory)
{
    return &memory->tables[!memory->current];
}
/* The staged table is in use everywhere: unmap what is not in it. */
void bh_vu_memory_commit(struct bh_vu_memory *memory);

#endif
