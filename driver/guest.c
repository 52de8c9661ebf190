/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory and rings for a driver that is a host's process.
 */
#include "driver/guest.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int bh_drv_guest_create(struct bh_drv_guest *guest, bh_daddr_t base, uint64_t size)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);

    memset(guest, 0, sizeof(*guest));
    guest->size = (size + page - 1) / page * page;
    guest->base = base;
    guest->fd = memfd_create("bulkhead-guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (guest->fd < 0)
        return BH_ERR_IO;
    if (ftruncate(guest->fd, (off_t)guest->size) || fcntl(guest->fd, F_ADD_SEALS, F_SEAL_SHRINK))
        goto fail;
    guest->host = mmap(NULL, guest->size, PROT_READ | PROT_WRITE, MAP_SHARED, guest->fd, 0);
    if (guest->host == MAP_FAILED)
        goto fail;
    return BH_OK;
fail:
    close(guest->fd);
    memset(guest, 0, sizeof(*guest));
    guest->fd = -1;
    return BH_ERR_NOMEM;
}

void bh_drv_guest_destroy(struct bh_drv_guest *guest)
{
    if (!guest->host)
        return;
    munmap(guest->host, guest->size);
    close(guest->fd);
    guest->host = NULL;
}

void *bh_drv_guest_alloc(struct bh_drv_guest *guest, uint64_t size, uint64_t align, bh_daddr_t *addr)
{
    uint64_t at = (guest->used + align - 1) & ~(align - 1);

    if (at > guest->size || size > guest->size - at)
        return NULL;
    guest->used = at + size;
    if (addr)
        *addr = bh_daddr(guest->base.raw + at);
    return memset(guest->host + at, 0, size);
}

void bh_drv_guest_rewind(struct bh_drv_guest *guest, uint64_t used)
{
    if (used < guest->used)
        guest->used = used;
}

bh_daddr_t bh_drv_guest_addr(const struct bh_drv_guest *guest, const void *host)
{
    return bh_daddr(guest->base.raw + (uint64_t)((const uint8_t *)host - guest->host));
}

int bh_drv_queue_create(struct bh_drv_queue *queue, struct bh_drv_guest *guest, uint16_t size,
                        const struct bh_features *features, uint16_t table_entries)
{
    struct bh_drv_ring_setup setup = {.size = size, .features = *features, .table_entries = table_entries};
    size_t driver_offset, device_offset;
    size_t bytes =
        bh_drv_ring_bytes(size, bh_features_has(features, BH_F_RING_PACKED), &driver_offset, &device_offset);
    bh_daddr_t addr;

    memset(queue, 0, sizeof(*queue));
    setup.desc = bh_drv_guest_alloc(guest, bytes, 4096, &addr);
    setup.slots = calloc(size, sizeof(*setup.slots));
    if (table_entries)
        setup.tables = bh_drv_guest_alloc(guest, 16ull * size * table_entries, 16, &setup.tables_addr);
    if (!setup.desc || !setup.slots || (table_entries && !setup.tables)) {
        free(setup.slots);
        return BH_ERR_NOMEM;
    }
    setup.driver = (uint8_t *)setup.desc + driver_offset;
    setup.device = (uint8_t *)setup.desc + device_offset;
    queue->slots = setup.slots;
    queue->setup = (struct bh_virtq_setup){size, addr, bh_daddr(addr.raw + driver_offset),
                                           bh_daddr(addr.raw + device_offset), BH_VIRTQ_STATE_INITIAL};
    bh_drv_ring_init(&queue->ring, &setup);
    return BH_OK;
}

void bh_drv_queue_destroy(struct bh_drv_queue *queue)
{
    free(queue->slots);
    queue->slots = NULL;
}
