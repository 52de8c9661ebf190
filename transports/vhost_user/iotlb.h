/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device's IOTLB [vhost-user, "IOMMU support"]: with ACCESS_PLATFORM the addresses of rings and descriptors are
 * I/O virtual ones, and only the front-end's IOMMU knows where they lead.
 *
 * Theory of operation
 *   A cache of translations, sorted by address, that never overlap. The front-end fills and empties it by IOTLB_MSG;
 * core translates through it (bh_mem_ops). What is not there is asked for on the back-end channel, a page at a time, and
 * the pop that wanted it is pending; an update wakes the queues. A question stands in `asked` until the front-end answers
 * it. One that was answered and is not to be found in the cache was denied: the next use is a fault, once. An
 * invalidation makes what was asked before it void, for the address may mean something else since; the answer to a void
 * question is awaited all the same, since answers say nothing but their order.
 *
 *   Translations lead to the front-end's own addresses, and these to regions, at each use: a region that is gone is not
 * reached by an old translation. What a chain in flight holds keeps its region, as without an IOMMU; an invalidation is
 * answered at once, since a driver unmaps a buffer only after it was used, and who does otherwise harms itself. Rings
 * are looked up again by the next batch.
 *
 * Threading: the loop's thread.   Ownership: the cache is the server's.   May block: no.
 */
#ifndef TRANSPORTS_VHOST_USER_IOTLB_H
#define TRANSPORTS_VHOST_USER_IOTLB_H

#include <abi/vhost_user.h>
#include <bulkhead/mem.h>

enum {
    BH_VU_IOTLB_ENTRIES = 2048, /* the oldest makes room for a new one */
    BH_VU_IOTLB_ASKED = 256,    /* questions at once; what is beyond is asked when there is room */
    BH_VU_IOTLB_PAGE = 4096,
};

struct bh_vu_translation {
    uint64_t iova, last; /* inclusive */
    uint64_t user;
    uint32_t age;   /* of bh_vu_iotlb.clock when it came */
    uint8_t access; /* of enum bh_mem_access, whose bits the protocol's are too */
};

enum bh_vu_question_state {
    BH_VU_QUESTION_DUE,    /* to be sent */
    BH_VU_QUESTION_SENT,   /* the front-end will answer */
    BH_VU_QUESTION_VOID,   /* it will, and nobody wants to know any more */
    BH_VU_QUESTION_DENIED, /* there is nothing */
};
struct bh_vu_question {
    uint64_t page;
    uint8_t access;
    uint8_t state; /* enum bh_vu_question_state */
};

struct bh_vu_iotlb {
    struct bh_vu_translation entries[BH_VU_IOTLB_ENTRIES];
    unsigned count;
    uint32_t clock;
    struct bh_vu_question asked[BH_VU_IOTLB_ASKED]; /* in the order asked */
    unsigned asked_count;
    bool unanswered; /* without REPLY_ACK the front-end answers by updates alone */
};

/*
 * An update or an invalidation. True: it is done; false: it makes no sense (another type, no bytes, wrapping, or outside
 * of every region).
 */
bool bh_vu_iotlb_change(struct bh_vu_iotlb *iotlb, const struct bh_mem_table *table,
                        const struct vhost_user_iotlb *message);

/*
 * As bh_mem_ops.translate. PENDING: what is missing stands in iotlb->asked, or there was no room to ask; FAULT: the
 * front-end has denied it, or a translation leads outside of every region.
 */
enum bh_mem_result bh_vu_iotlb_translate(struct bh_vu_iotlb *iotlb, const struct bh_mem_table *table,
                                         uint64_t iova, uint64_t len, unsigned access,
                                         struct bh_mem_span *span);

/* The first question that is due, marked as sent; NULL: none. */
struct bh_vu_question *bh_vu_iotlb_next_question(struct bh_vu_iotlb *iotlb);
/* The front-end's answer to the question sent first that has none yet. */
void bh_vu_iotlb_answered(struct bh_vu_iotlb *iotlb, bool found);
/* Nobody waits for anything any more (the device was reset). */
void bh_vu_iotlb_give_up(struct bh_vu_iotlb *iotlb);

#endif
