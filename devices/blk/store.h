/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Store: what a disk's bytes are kept in: a file, a block device, memory, nothing. The class blk speaks to
 * every store through this interface alone.
 *
 * Theory of operation
 *   submit  hands over a batch, a list of requests. It never completes one inline, so a completion never runs
 * on top of a submission: small stacks stay small. poll    gives back up to `max` requests that are done, in
 * any order. A store with `polled` set does its work there and has no other time to do it: it is to be polled
 * while it holds requests. Any other store calls `wake` when there is something to poll. cancel  asks that
 * what it holds come back soon, done or with BH_ERR_CANCELLED; each still comes by poll, once.
 *
 *   A flush is a request like any other: when it is done, each write that had been given back before the
 * flush was submitted is durable. Requests of one batch, and of batches in flight together, are not ordered.
 * A request is done only when all of its bytes are; short transfers are the store's affair.
 *
 *   acquire and release frame the time in which the disk is used (from the first ring's start until the last
 * one's stop), for stores that several processes can reach.
 *
 * Threading: a store belongs to one queue thread, `wake` comes on it and never from within an op. A device
 * with several threads has a store for each, on the same image. Ownership: a request, its segments and what
 * they point to are the submitter's and stay until poll gives the request back; the store may change the
 * array of segments meanwhile and has restored it by then. May block: no op may; create and destroy of hosted
 * stores may.
 */
#ifndef DEVICES_BLK_STORE_H
#define DEVICES_BLK_STORE_H

#include <bulkhead/err.h>
#include <bulkhead/mem.h>

enum bh_store_op {
    BH_STORE_READ,
    BH_STORE_WRITE,
    BH_STORE_FLUSH,
    BH_STORE_DISCARD,      /* the bytes are not needed: what they read as afterwards is undefined */
    BH_STORE_WRITE_ZEROES, /* they read as zeros afterwards */
    BH_STORE_SECURE_ERASE, /* a discard that leaves no copy of them anywhere */
    BH_STORE_LIFETIME,     /* a struct virtio_blk_lifetime is written to the segments */
};

#define BH_STORE_DURABLE 0x1u /* of a write or zeroes: durable when done, as if a flush followed */
#define BH_STORE_UNMAP   0x2u /* of zeroes: space may be given back */

struct bh_store_req {
    uint64_t offset; /* bytes; a multiple of 512 */
    uint64_t len;    /* bytes; of reads and writes the sum of the segments'; offset + len is in capacity */
    struct bh_seg *segs; /* of reads, writes and lifetime; guest memory */
    uint32_t seg_count;  /* at least 1 for these */
    int result;          /* BH_OK, BH_ERR_IO, _NOSPC, _UNSUPPORTED, _CANCELLED: set by the store */
    uint8_t op;          /* enum bh_store_op */
    uint8_t flags;       /* BH_STORE_DURABLE, BH_STORE_UNMAP */
    uint8_t state;       /* the store's own, from here on */
    uint32_t first;      /* segment that a continued transfer starts in */
    struct bh_seg saved; /* that segment as it was */
    uint64_t done;       /* bytes transferred */
    struct bh_store_req *next;
};

/* What the store is, fixed while in use but for capacity. */
struct bh_store_info {
    uint64_t capacity;            /* bytes, a multiple of 512 */
    uint32_t block_size;          /* smallest unit written as one: a power of 2, at least 512 */
    uint32_t discard_granularity; /* bytes; 0: block_size */
    uint32_t erase_granularity;   /* likewise */
    uint64_t max_discard, max_write_zeroes, max_secure_erase; /* bytes of one request; 0: any */
    bool read_only;
    bool volatile_cache; /* a write that is done may still be lost: flush means something */
    bool can_discard;
    bool can_write_zeroes;
    bool can_secure_erase;
    bool has_lifetime;
};

struct bh_store;

struct bh_store_ops {
    /* `first` and what hangs at its `next`, in order. */
    void (*submit)(struct bh_store *store, struct bh_store_req *first);
    unsigned (*poll)(struct bh_store *store, struct bh_store_req **done, unsigned max);
    void (*cancel)(struct bh_store *store);
    /*
     * May be NULL: nothing to do. BH_OK; BH_ERR_BUSY: somebody else uses the disk, `wake` comes when it is
     * worth trying again; another code: it cannot be used.
     */
    int (*acquire)(struct bh_store *store);
    void (*release)(struct bh_store *store); /* NULL exactly when acquire is */
};

struct bh_store {
    const struct bh_store_ops *ops;
    struct bh_store_info info;
    bool polled;
    /* Set by the user of the store before the first submit. */
    void (*wake)(struct bh_store *store);
    void *user;
};

/* A list of requests in order; zero-initialised it is empty. What every store keeps its requests in. */
struct bh_store_list {
    struct bh_store_req *head, *tail;
};

static inline void bh_store_list_add(struct bh_store_list *list, struct bh_store_req *req)
{
    req->next = NULL;
    if (list->head)
        list->tail->next = req;
    else
        list->head = req;
    list->tail = req;
}

/* `first` and what hangs at its `next`. */
static inline void bh_store_list_append(struct bh_store_list *list, struct bh_store_req *first)
{
    if (list->head)
        list->tail->next = first;
    else
        list->head = first;
    while (first->next)
        first = first->next;
    list->tail = first;
}

static inline struct bh_store_req *bh_store_list_take(struct bh_store_list *list)
{
    struct bh_store_req *req = list->head;
    if (req)
        list->head = req->next;
    return req;
}

#endif
