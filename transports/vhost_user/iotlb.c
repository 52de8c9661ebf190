/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IOTLB's cache, without sockets: translations in, addresses out, questions kept.
 */
#include "transports/vhost_user/iotlb.h"

#include <string.h>

/* --- entries --------------------------------------------------------------------------------------------- */

/* The first entry that ends at or behind `iova`. */
static unsigned find(const struct bh_vu_iotlb *iotlb, uint64_t iova)
{
    unsigned low = 0, high = iotlb->count;
    while (low < high) {
        const unsigned middle = low + (high - low) / 2;
        if (iotlb->entries[middle].last < iova)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void remove_entries(struct bh_vu_iotlb *iotlb, unsigned at, unsigned count)
{
    memmove(&iotlb->entries[at], &iotlb->entries[at + count],
            (iotlb->count - at - count) * sizeof(iotlb->entries[0]));
    iotlb->count -= count;
}

/* Whole entries: what is left of one that is cut is asked for again. */
static void forget(struct bh_vu_iotlb *iotlb, uint64_t iova, uint64_t last)
{
    const unsigned at = find(iotlb, iova);
    unsigned end = at;
    while (end < iotlb->count && iotlb->entries[end].iova <= last)
        end++;
    remove_entries(iotlb, at, end - at);
}

static void forget_oldest(struct bh_vu_iotlb *iotlb)
{
    unsigned oldest = 0;
    for (unsigned i = 1; i < iotlb->count; i++)
        if (iotlb->clock - iotlb->entries[i].age > iotlb->clock - iotlb->entries[oldest].age)
            oldest = i;
    remove_entries(iotlb, oldest, 1);
}

static bool inside_regions(const struct bh_mem_table *table, uint64_t user, uint64_t size)
{
    bh_daddr_t ignored;
    return bh_mem_from_user(table, bh_uaddr(user), size, &ignored) == BH_OK;
}

static bool update(struct bh_vu_iotlb *iotlb, const struct bh_mem_table *table,
                   const struct vhost_user_iotlb *message, uint64_t last)
{
    unsigned at;
    if (message->permissions > (BH_MEM_READ | BH_MEM_WRITE) ||
        !inside_regions(table, message->user, message->size))
        return false;
    forget(iotlb, message->iova, last);
    if (iotlb->count == BH_VU_IOTLB_ENTRIES)
        forget_oldest(iotlb);
    at = find(iotlb, message->iova);
    memmove(&iotlb->entries[at + 1], &iotlb->entries[at], (iotlb->count - at) * sizeof(iotlb->entries[0]));
    iotlb->entries[at] = (struct bh_vu_translation){.iova = message->iova,
                                                    .last = last,
                                                    .user = message->user,
                                                    .age = iotlb->clock++,
                                                    .access = message->permissions};
    iotlb->count++;
    return true;
}

/* --- questions ------------------------------------------------------------------------------------------- */

static void remove_question(struct bh_vu_iotlb *iotlb, unsigned at)
{
    iotlb->asked_count--;
    memmove(&iotlb->asked[at], &iotlb->asked[at + 1], (iotlb->asked_count - at) * sizeof(iotlb->asked[0]));
}

/* What is known of these pages has changed. */
static void settle_questions(struct bh_vu_iotlb *iotlb, uint64_t iova, uint64_t last, bool invalid)
{
    for (unsigned i = iotlb->asked_count; i-- > 0;) {
        struct bh_vu_question *question = &iotlb->asked[i];
        if (question->page > last || question->page + (BH_VU_IOTLB_PAGE - 1) < iova)
            continue;
        if (question->state == BH_VU_QUESTION_DENIED || iotlb->unanswered)
            remove_question(iotlb, i);
        else if (question->state == BH_VU_QUESTION_SENT && invalid)
            question->state = BH_VU_QUESTION_VOID;
    }
}

/* Ask for the page; FAULT when that was denied just now. */
static enum bh_mem_result ask(struct bh_vu_iotlb *iotlb, uint64_t iova, unsigned access)
{
    const uint64_t page = iova & ~(uint64_t)(BH_VU_IOTLB_PAGE - 1);
    for (unsigned i = 0; i < iotlb->asked_count; i++) {
        const struct bh_vu_question *question = &iotlb->asked[i];
        if (question->page != page || (question->access & access) != access ||
            question->state == BH_VU_QUESTION_VOID)
            continue;
        if (question->state != BH_VU_QUESTION_DENIED)
            return BH_MEM_PENDING;
        remove_question(iotlb, i);
        return BH_MEM_FAULT;
    }
    if (iotlb->asked_count < BH_VU_IOTLB_ASKED)
        iotlb->asked[iotlb->asked_count++] =
            (struct bh_vu_question){.page = page, .access = (uint8_t)access, .state = BH_VU_QUESTION_DUE};
    return BH_MEM_PENDING;
}

struct bh_vu_question *bh_vu_iotlb_next_question(struct bh_vu_iotlb *iotlb)
{
    for (unsigned i = 0; i < iotlb->asked_count; i++) {
        if (iotlb->asked[i].state == BH_VU_QUESTION_DUE) {
            iotlb->asked[i].state = BH_VU_QUESTION_SENT;
            return &iotlb->asked[i];
        }
    }
    return NULL;
}

static bool covers(const struct bh_vu_iotlb *iotlb, const struct bh_vu_question *question)
{
    const unsigned at = find(iotlb, question->page);
    const struct bh_vu_translation *entry = &iotlb->entries[at];
    return at < iotlb->count && entry->iova <= question->page + (BH_VU_IOTLB_PAGE - 1) &&
           (entry->access & question->access) == question->access;
}

/* Found, but with less access than was asked for, is as good as denied: asking again would bring the same. */
void bh_vu_iotlb_answered(struct bh_vu_iotlb *iotlb, bool found)
{
    for (unsigned i = 0; i < iotlb->asked_count; i++) {
        struct bh_vu_question *question = &iotlb->asked[i];
        if (question->state != BH_VU_QUESTION_SENT && question->state != BH_VU_QUESTION_VOID)
            continue;
        if (question->state == BH_VU_QUESTION_VOID || (found && covers(iotlb, question)))
            remove_question(iotlb, i);
        else
            question->state = BH_VU_QUESTION_DENIED;
        return;
    }
}

void bh_vu_iotlb_give_up(struct bh_vu_iotlb *iotlb)
{
    for (unsigned i = iotlb->asked_count; i-- > 0;) {
        if (iotlb->unanswered || iotlb->asked[i].state == BH_VU_QUESTION_DUE ||
            iotlb->asked[i].state == BH_VU_QUESTION_DENIED)
            remove_question(iotlb, i);
        else
            iotlb->asked[i].state = BH_VU_QUESTION_VOID;
    }
}

/* --- changes ----------------------------------------------------------------------------------------------- */

bool bh_vu_iotlb_change(struct bh_vu_iotlb *iotlb, const struct bh_mem_table *table,
                        const struct vhost_user_iotlb *message)
{
    const uint64_t last = message->iova + (message->size - 1);
    if (!message->size || last < message->iova)
        return false;
    switch (message->type) {
    case VHOST_USER_IOTLB_UPDATE:
        if (!update(iotlb, table, message, last))
            return false;
        break;
    case VHOST_USER_IOTLB_INVALIDATE: forget(iotlb, message->iova, last); break;
    default: return false;
    }
    settle_questions(iotlb, message->iova, last, message->type == VHOST_USER_IOTLB_INVALIDATE);
    return true;
}

/* --- translation ----------------------------------------------------------------------------------------- */

/* The region byte behind a front-end's address, and how many bytes of the region follow from there. */
static const struct bh_mem_region *region_of(const struct bh_mem_table *table, uint64_t user,
                                             uint64_t *offset)
{
    for (uint32_t i = 0; i < table->count; i++) {
        *offset = user - table->regions[i].user.raw;
        if (*offset < table->regions[i].size)
            return &table->regions[i];
    }
    return NULL;
}

/* The entry that covers `iova` for this access; or NULL, *result saying whether it is asked for or denied. */
static const struct bh_vu_translation *look_up(struct bh_vu_iotlb *iotlb, uint64_t iova, unsigned access,
                                               enum bh_mem_result *result)
{
    const unsigned at = find(iotlb, iova);
    const struct bh_vu_translation *entry = &iotlb->entries[at];
    if (at < iotlb->count && entry->iova <= iova && (entry->access & access) == access)
        return entry;
    *result = ask(iotlb, iova, access);
    return NULL;
}

/* All pages from `iova` to `last` that are missing are asked for at once, so that a long buffer waits once. */
static void ask_ahead(struct bh_vu_iotlb *iotlb, uint64_t iova, uint64_t last, unsigned access)
{
    for (unsigned i = 0; i < BH_VU_IOTLB_ASKED && iova <= last; i++) {
        const uint64_t next = (iova & ~(uint64_t)(BH_VU_IOTLB_PAGE - 1)) + BH_VU_IOTLB_PAGE;
        enum bh_mem_result ignored;
        (void)look_up(iotlb, iova, access, &ignored);
        if (next < iova)
            return;
        iova = next;
    }
}

enum bh_mem_result bh_vu_iotlb_translate(struct bh_vu_iotlb *iotlb, const struct bh_mem_table *table,
                                         uint64_t iova, uint64_t len, unsigned access,
                                         struct bh_mem_span *span)
{
    const uint64_t last = iova + (len - 1);
    memset(span, 0, sizeof(*span));
    /* Entry after entry as long as they lead on in one region; a bound for the loop is the cache's size. */
    while (span->len < len) {
        enum bh_mem_result result = BH_MEM_FAULT;
        const uint64_t at = iova + span->len;
        const struct bh_vu_translation *entry = look_up(iotlb, at, access, &result);
        const struct bh_mem_region *region;
        uint64_t offset, here;
        if (!entry) {
            if (result == BH_MEM_PENDING)
                ask_ahead(iotlb, at, last, access);
            return result;
        }
        region = region_of(table, entry->user + (at - entry->iova), &offset);
        if (!region || (region->access & access) != access)
            return BH_MEM_FAULT;
        if (span->len && region->host + (size_t)offset != span->host + (size_t)span->len)
            break;
        here = entry->last - at + 1;
        if (here > region->size - offset)
            here = region->size - offset;
        if (here > len - span->len)
            here = len - span->len;
        if (!span->len) {
            span->host = region->host + (size_t)offset;
            span->slot = region->slot;
        } else if (span->slot != region->slot) {
            break;
        }
        span->len += here;
    }
    return BH_MEM_HERE;
}
