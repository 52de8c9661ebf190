/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies between a chain and our memory, and slices of its segments. A driver may cut a buffer anywhere
 * [virtio-1.4 2.7.4], so a class sees bytes at offsets and never a descriptor.
 */
#include <bulkhead/virtq.h>

/* Find `offset`: the segment it lies in, and how far in. False: behind the end. */
static bool seek(const struct bh_seg **seg, unsigned *count, size_t *offset)
{
    while (*count > 0 && *offset >= (*seg)->len) {
        *offset -= (*seg)->len;
        (*seg)++;
        (*count)--;
    }
    return *count > 0;
}

/* Copy between one segment and our memory. */
static inline void copy_part(uint8_t *theirs, uint8_t *ours, size_t len, bool to_chain)
{
    if (to_chain)
        memcpy(theirs, ours, len);
    else
        memcpy(ours, theirs, len);
}

/* Copy from the segments to our memory, or the other way (`to_chain`). Returns the bytes copied. */
static size_t copy(const struct bh_seg *seg, unsigned count, size_t offset, uint8_t *ours, size_t len,
                   bool to_chain)
{
    size_t left = len;

    if (!seek(&seg, &count, &offset))
        return 0;
    for (; count > 0 && left > 0; count--, seg++, offset = 0) {
        size_t part = seg->len - offset;

        if (part > left)
            part = left;
        copy_part((uint8_t *)seg->base + offset, ours, part, to_chain);
        ours += part;
        left -= part;
    }
    return len - left;
}

/* The same, quick when it all lies in the first segment, as a header mostly does. */
static inline size_t copy_quick(const struct bh_seg *seg, unsigned count, size_t offset, uint8_t *ours,
                                size_t len, bool to_chain)
{
    if (BH_SPEED && BH_LIKELY(count > 0 && offset <= seg->len && len <= seg->len - offset))
        copy_part((uint8_t *)seg->base + offset, ours, len, to_chain);
    else
        len = copy(seg, count, offset, ours, len, to_chain);
    /* What was copied is what is checked: the compiler may not look at the guest's bytes again. */
    __asm__ volatile("" : : : "memory");
    return len;
}

size_t bh_chain_read(const struct bh_chain *chain, size_t offset, void *to, size_t len)
{
    return copy_quick(chain->segs, chain->out_count, offset, to, len, false);
}

size_t bh_chain_write(const struct bh_chain *chain, size_t offset, const void *from, size_t len)
{
    /* Only read from: the cast is for the one function that goes both ways. */
    return copy_quick(chain->segs + chain->out_count, chain->in_count, offset, (uint8_t *)(uintptr_t)from,
                      len, true);
}

static int slice(const struct bh_seg *seg, unsigned count, size_t offset, size_t len, struct bh_seg *to,
                 unsigned max)
{
    unsigned used = 0;

    if (!seek(&seg, &count, &offset))
        return len == 0 && offset == 0 ? 0 : BH_ERR_RANGE;
    for (; len > 0; count--, seg++, offset = 0) {
        size_t part;

        if (count == 0)
            return BH_ERR_RANGE;
        if (used == max)
            return BH_ERR_NOMEM;
        part = seg->len - offset;
        if (part > len)
            part = len;
        to[used++] = (struct bh_seg){(uint8_t *)seg->base + offset, part};
        len -= part;
    }
    return (int)used;
}

int bh_chain_out_slice(const struct bh_chain *chain, size_t offset, size_t len, struct bh_seg *to,
                       unsigned max)
{
    return slice(chain->segs, chain->out_count, offset, len, to, max);
}

int bh_chain_in_slice(const struct bh_chain *chain, size_t offset, size_t len, struct bh_seg *to,
                      unsigned max)
{
    return slice(chain->segs + chain->out_count, chain->in_count, offset, len, to, max);
}
