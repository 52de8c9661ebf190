/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The class blk: the device side of virtio-blk [virtio-1.4 5.2] over any store.
 *
 * Theory of operation
 *   A queue's batch of chains becomes requests (one a chain, indexed by the chain's slot) and one submission
 * to the store; what cannot go there (bad requests, GET_ID) is answered in the same pass. The data segments
 * handed to the store are the chain's own: header and status may share a segment with data in any way
 * [virtio-1.4 2.7.4], so the first and the last data segment are trimmed in place and restored before the
 * push. Completions are polled in batches and pushed with one publication a queue. A chain without a byte for
 * the status cannot be answered: its queue is given up. Every other fault of the driver is answered with a
 * status.
 *
 *   A queue that stops waits for what is in flight, so that a migrated or paused guest sees no error; only a
 * reset cancels. The store is acquired before the first chain is popped and released when the last queue is
 * quiet.
 *
 * Threading: as device.h; a store and the queues that use it belong to one thread.
 * Ownership: everything in struct bh_blk_setup is the caller's and outlives the device.   May block: no.
 */
#ifndef DEVICES_BLK_BLK_H
#define DEVICES_BLK_BLK_H

#include "abi/virtio_blk.h"
#include "devices/blk/store.h"
#include <bulkhead/impl/class.h>

/* Segments that a chain of seg_max data segments takes: header and status beside them. */
#define BH_BLK_CHAIN_SEGS(seg_max) ((seg_max) + 2u)
/* Chains popped, and completions pushed, at a time. A build for size has a small stack. */
#define BH_BLK_BATCH (BH_SPEED ? 64u : 32u)

struct bh_blk_settings {
    char serial[VIRTIO_BLK_ID_BYTES]; /* padded with zeros; not terminated when full */
    uint32_t seg_max;                 /* data segments of a request; at least 1 */
    uint32_t size_max;                /* bytes of a segment; 0: any */
    uint32_t block_size;              /* logical; 0: the store's */
    uint8_t physical_block_exp;       /* physical block: logical << this */
    uint8_t alignment_offset;         /* [virtio-1.4 5.2.4], logical blocks */
    uint16_t min_io_size;             /* logical blocks; 0: not told */
    uint32_t opt_io_size;             /* logical blocks; 0: not told */
    bool read_only;                   /* even if the store is not */
    bool writethrough;                /* a write is durable when done, until the driver asks otherwise */
    bool unsafe;     /* the store promises nothing: then FLUSH must not be offered [virtio-1.4 5.2.6.2] */
    bool no_discard; /* offer neither DISCARD nor unmapping WRITE_ZEROES */
};

struct bh_blk_request {
    struct bh_store_req store;
    struct bh_chain *chain; /* the one of this slot, for good */
    uint8_t *status;        /* last device-writable byte of the chain; guest memory */
    uint32_t data_in;       /* bytes that the driver gets beside the status, if all goes well */
    uint16_t queue;         /* for good */
    bool trimmed;
    struct bh_seg *first, *last; /* trimmed: data segments that were; NULL: none */
    struct bh_seg first_whole, last_whole;
};

struct bh_blk_queue {
    struct bh_store *store;
    struct bh_blk_request *requests; /* as many as the queue has chains */
    uint16_t in_flight;              /* with the store */
    bool held;                       /* waits for the store to be acquired */
    bool limited;                    /* waits for the limit to give it room */
};

struct bh_blk_counters {
    uint64_t reads, writes, flushes, discards, write_zeroes, secure_erases, ids, lifetimes;
    uint64_t io_errors;    /* answered with IOERR because the store failed */
    uint64_t refused;      /* answered with IOERR or UNSUPP because the request was wrong */
    uint64_t no_space;     /* of io_errors: the host is full */
    uint64_t unanswerable; /* chains without room for a status */
    uint64_t limited;      /* times a queue waited for the limit */
};

/*
 * How fast the driver may go: asked before a batch is popped, told what was. It lets the driver wait in its ring, where
 * nothing of it is in flight; no request is held by us for it. Both on the queue's thread.
 */
struct bh_blk_limit {
    /* How many requests may be popped now, at most `max`. 0: none; bh_blk_go_on comes when there may be some again. */
    unsigned (*room)(struct bh_blk_limit *limit, unsigned max);
    void (*spent)(struct bh_blk_limit *limit, unsigned requests, uint64_t bytes);
};

struct bh_blk {
    struct bh_device dev;
    struct bh_blk_settings settings;
    struct bh_blk_queue *queues;
    struct virtio_blk_config config;
    struct bh_blk_limit *limit; /* NULL: none */
    uint16_t turn;              /* the queue that was given the limit's room last */
    bool some_limited;          /* a queue may be waiting for it */
    uint64_t sectors;           /* capacity */
    bool write_cache;           /* as negotiated and set by the driver */
    bool in_use;                /* the stores were acquired */
    bool read_only;
    struct bh_blk_counters counters;
};

struct bh_blk_setup {
    struct bh_mem *mem;
    struct bh_virtq *queues;
    const struct bh_virtq_memory
        *memory;                     /* one a queue; segs_per_chain at least BH_BLK_CHAIN_SEGS(seg_max) */
    struct bh_blk_queue *blk_queues; /* store and requests set; one store for several queues is fine */
    uint16_t queue_count;
    struct bh_blk_settings settings;
};

/*
 * Returns BH_OK or BH_ERR_INVAL: a block size that is no power of 2, below 512 or below the store's, a
 * capacity that is no multiple of it, stores of different sizes, chains too short for seg_max.
 */
int bh_blk_init(struct bh_blk *blk, const struct bh_blk_setup *setup) BH_MUST_USE;

/* The limit has room again, or is gone. */
void bh_blk_go_on(struct bh_blk *blk);
/* The store's capacity changed (its info says so already): tell the driver. On the queue's thread. */
void bh_blk_resized(struct bh_blk *blk);

/* --- blk_request.c, for blk.c alone
 * ---------------------------------------------------------------------------- */

/* What became of a batch of chains. */
struct bh_blk_batch {
    struct bh_store_req *submit; /* `submit_count` requests for the store, as it takes them */
    unsigned submit_count;
    /* Answered already: to be pushed. So are, when `broken`, those that cannot be answered: their queue frees them. */
    struct bh_chain *answered[BH_BLK_BATCH];
    unsigned answered_count;
    bool broken; /* there was one without room for a status */
};
void bh_blk_batch_parse(struct bh_blk *blk, struct bh_virtq *q, struct bh_chain *const *chains,
                        unsigned count, struct bh_blk_batch *batch);
/*
 * The store is done with those: status, written length, dirty marks. Those of queue `q` are taken out of `done`, and their
 * chains, which can be pushed, put into `chains`. Returns how many; the rest of `done` has moved to its start.
 */
unsigned bh_blk_batch_finish(struct bh_blk *blk, struct bh_virtq *q, struct bh_store_req **done,
                             unsigned count, struct bh_chain **chains);

#endif
