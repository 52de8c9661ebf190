/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory: tables, views and translation. mem.h tells how it works; the marks for migration are in
 * dirty.c.
 */
#include <bulkhead/mem.h>

static const struct bh_mem_table empty_table = {NULL, 0};

void bh_mem_init(struct bh_mem *mem, const struct bh_mem_ops *ops)
{
    *mem = (struct bh_mem){.table = &empty_table, .ops = ops};
}

void bh_mem_publish(struct bh_mem *mem, const struct bh_mem_table *table)
{
    /* Release: a queue that sees the pointer sees the regions behind it. */
    __atomic_store_n(&mem->table, table ? table : &empty_table, __ATOMIC_RELEASE);
}

int bh_mem_table_check(const struct bh_mem_table *table)
{
    uint64_t end = 0; /* last byte of the region before */

    for (uint32_t i = 0; i < table->count; i++) {
        const struct bh_mem_region *r = &table->regions[i];
        uint64_t last = r->base.raw + r->size - 1;

        if (r->size == 0 || last < r->base.raw || r->size > SIZE_MAX || r->host == NULL)
            return BH_ERR_INVAL;
        if (i > 0 && r->base.raw <= end)
            return BH_ERR_INVAL;
        end = last;
    }
    return BH_OK;
}

int bh_mem_from_user(const struct bh_mem_table *table, bh_uaddr_t user, uint64_t len, bh_daddr_t *addr)
{
    for (uint32_t i = 0; i < table->count; i++) {
        const struct bh_mem_region *r = &table->regions[i];
        uint64_t offset = user.raw - r->user.raw;

        if (offset < r->size && len <= r->size - offset) {
            *addr = bh_daddr(r->base.raw + offset);
            return BH_OK;
        }
    }
    return BH_ERR_FAULT;
}

/* The region that covers `addr`, or NULL. Halves the table: its length is the transport's, not the driver's.
 */
static const struct bh_mem_region *find_region(const struct bh_mem_table *table, uint64_t addr)
{
    uint32_t low = 0, high = table->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct bh_mem_region *r = &table->regions[middle];

        if (addr < r->base.raw)
            high = middle;
        else if (addr - r->base.raw < r->size)
            return r;
        else
            low = middle + 1;
    }
    return NULL;
}

void bh_mem_view_init(struct bh_mem_view *view, struct bh_mem *mem)
{
    *view = (struct bh_mem_view){.mem = mem};
    view->table = __atomic_load_n(&mem->table, __ATOMIC_ACQUIRE); /* pairs with bh_mem_publish */
}

bool bh_mem_view_adopt(struct bh_mem_view *view)
{
    const struct bh_mem_table *newest =
        __atomic_load_n(&view->mem->table, __ATOMIC_ACQUIRE); /* with publish */

    if (BH_LIKELY(newest == view->table))
        return false;
    view->former = view->table;
    view->table = newest;
    bh_mem_view_forget(view);
    return true;
}

enum bh_mem_result bh_mem_translate(struct bh_mem_view *view, bh_daddr_t addr, uint64_t len, unsigned access,
                                    struct bh_mem_span *span)
{
    const struct bh_mem_region *r;
    uint64_t offset, left;

    if (len == 0 || addr.raw + (len - 1) < addr.raw)
        return BH_MEM_FAULT;
    if (view->mem->ops && view->mem->ops->translate) {
        enum bh_mem_result result =
            view->mem->ops->translate(view->mem, view->table, addr, len, access, span);

        /* An environment that gives nothing or too much would send us around in circles or out of bounds. */
        BH_ASSERT(result != BH_MEM_HERE || (span->len != 0 && span->len <= len));
        return result;
    }
    r = find_region(view->table, addr.raw);
    if (r == NULL || (r->access & access) != access)
        return BH_MEM_FAULT;
    if (r->access == (BH_MEM_READ | BH_MEM_WRITE)) {
        uint32_t bit = bh_mem_slot_bit(r->slot);

        view->near =
            (struct bh_mem_near){r->base.raw, r->size, r->host, &view->uses[__builtin_ctz(bit)], bit};
    }
    offset = addr.raw - r->base.raw;
    left = r->size - offset;
    span->host = r->host + (size_t)offset;
    span->len = len < left ? len : left;
    span->slot = r->slot;
    return BH_MEM_HERE;
}

void bh_mem_view_use(struct bh_mem_view *view, uint32_t slots, int by)
{
    for (; slots != 0; slots &= slots - 1)
        view->uses[__builtin_ctz(slots)] += (uint32_t)by;
}

void bh_mem_view_release(struct bh_mem_view *view, const struct bh_seg *segs, unsigned count)
{
    const struct bh_mem_ops *ops = view->mem->ops;

    if (ops && ops->release && count > 0)
        ops->release(view->mem, segs, count);
}

bool bh_mem_view_holds(const struct bh_mem_view *view, const struct bh_mem_region *region)
{
    const struct bh_mem_table *table = view->table;

    if (view->uses[__builtin_ctz(bh_mem_slot_bit(region->slot))] > 0)
        return true;
    /* The view translates by what it adopted, be it the newest or not. */
    for (uint32_t i = 0; i < table->count; i++)
        if (table->regions[i].slot == region->slot)
            return true;
    return false;
}
