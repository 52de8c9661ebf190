/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The short cut of bh_mem_translate that the data path takes: the whole range lies in the region hit last.
 *
 * Threading: with the view's queue.   Ownership: none.   May block: no.
 */
#ifndef CORE_MEM_TRANSLATE_H
#define CORE_MEM_TRANSLATE_H

#include <bulkhead/mem.h>

static inline enum bh_mem_result bh_mem_translate_fast(struct bh_mem_view *view, bh_daddr_t addr,
                                                       uint64_t len, unsigned access,
                                                       struct bh_mem_span *span)
{
    const struct bh_mem_region *r = view->hit;

    if (BH_LIKELY(r != NULL)) {
        uint64_t offset = addr.raw - r->base.raw;

        /* A region never wraps, so a range inside it does not either. */
        if (BH_LIKELY(offset < r->size && len <= r->size - offset && (r->access & access) == access)) {
            span->host = r->host + (size_t)offset;
            span->len = len;
            span->slot = r->slot;
            return BH_MEM_HERE;
        }
    }
    return bh_mem_translate(view, addr, len, access, span);
}

#endif
