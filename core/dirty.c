/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dirty marks: which pages of guest memory the device wrote, one bit a page, for a migration that is under
 * way [vhost-user, "Migration"].
 *
 * Theory of operation
 *   A mark is made after the write and before the write is published: the front-end clears a bit and then
 * copies the page, so a mark that came first could be cleared before the bytes were there. The front-end
 * reads and clears the bits while we set them, hence atomic OR of single bytes. Its log may end anywhere:
 * pages beyond the end are left out.
 */
#include <bulkhead/mem.h>

void bh_mem_set_log(struct bh_mem *mem, const struct bh_mem_log *log)
{
    /* Release: a queue that sees the log sees its size. */
    __atomic_store_n(&mem->log, log, __ATOMIC_RELEASE);
}

static void mark(const struct bh_mem_log *log, uint64_t addr, uint64_t len)
{
    uint64_t page = addr / BH_MEM_LOG_PAGE;
    uint64_t last = (addr + (len - 1)) / BH_MEM_LOG_PAGE;

    if (page / 8 >= log->byte_count)
        return;
    if (last / 8 >= log->byte_count)
        last = log->byte_count * 8 - 1;
    while (page <= last) {
        unsigned first_bit = (unsigned)(page % 8);
        unsigned count = 8 - first_bit;

        if (last - page < count - 1)
            count = (unsigned)(last - page) + 1;
        /* Release: who sees the mark sees the bytes that it speaks of. */
        __atomic_fetch_or(&log->bits[page / 8], (uint8_t)(((1u << count) - 1u) << first_bit),
                          __ATOMIC_RELEASE);
        page += count;
    }
}

void bh_mem_dirty(struct bh_mem_view *view, bh_daddr_t addr, uint64_t len)
{
    const struct bh_mem_log *log =
        __atomic_load_n(&view->mem->log, __ATOMIC_ACQUIRE); /* pairs with set_log */

    if (log != NULL && len != 0 && addr.raw + (len - 1) >= addr.raw)
        mark(log, addr.raw, len);
}

/* The guest-physical address of a byte of ours. Regions are few, and only a migration asks. */
static bool find_host(const struct bh_mem_table *table, const uint8_t *host, bh_daddr_t *addr)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct bh_mem_region *r = &table->regions[i];
        uintptr_t offset = (uintptr_t)host - (uintptr_t)r->host;

        if (offset < r->size) {
            *addr = bh_daddr(r->base.raw + offset);
            return true;
        }
    }
    return false;
}

void bh_mem_dirty_seg(struct bh_mem_view *view, const void *host, size_t len)
{
    bh_daddr_t addr;

    if (BH_LIKELY(__atomic_load_n(&view->mem->log, __ATOMIC_RELAXED) == NULL)) /* bh_mem_dirty looks again */
        return;
    /*
     * Not in the newest table: then in the former one, which lives on, as this view holds a region of it by
     * the very chain or ring that was written. Behind ops bytes may be in no table at all, and the former one
     * gone.
     */
    if (find_host(view->table, host, &addr) ||
        (view->mem->ops == NULL && view->former != NULL && find_host(view->former, host, &addr)))
        bh_mem_dirty(view, addr, len);
}
