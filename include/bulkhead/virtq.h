/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtqueue, device side: split [virtio-1.4 2.7] and packed [virtio-1.4 2.8] behind one set of verbs.
 *
 * Theory of operation
 *   pop   reads the available side once and turns up to N descriptor chains into `bh_chain`s: validated, each
 *         descriptor read once, addresses resolved to segments. What the guest writes there later changes
 * nothing. push  returns N chains with one publication of the used side and at most one notification, sent
 * only when the driver asked for it. Chains may be pushed in any order; with IN_ORDER negotiated the queue
 * holds back what came too early. arm   asks the driver for notifications and tells whether chains came in
 * meanwhile; disarm stops them.
 *
 *   The unit is the batch; a single request is a batch of one. A queue is driven by its size and by nothing
 * that the driver chooses: a loop over a chain ends at `segs_per_chain` segments, a batch at the queue's
 * size.
 *
 *   A malformed ring makes the queue *broken*: pop returns BH_ERR_BROKEN from then on, push drops, the reason
 * is counted, `env->broken` is called once. Only a reset of the queue or the device mends it
 * [virtio-1.4 2.1.2].
 *
 *   stop is a start: from then on nothing is popped; the queue is quiet, and `env->quiet` called, when the
 * last chain in flight was pushed. It may be called from within bh_virtq_stop.
 *
 *   Chains live in slots that the caller owns, sized at init; `chain->slot` (below the slot count) is the
 * index of whatever a class keeps beside a chain. A slot freed last is used first: it is still warm.
 *
 * Threading: a queue belongs to one thread; every function here is called on it.
 * Ownership: all memory is the caller's (struct bh_virtq_memory) and outlives the queue. A chain belongs to
 * the class from pop to push.   May block: no.
 */
#ifndef BULKHEAD_VIRTQ_H
#define BULKHEAD_VIRTQ_H

#include <bulkhead/features.h>
#include <bulkhead/mem.h>

#define BH_VIRTQ_SIZE_MAX 32768u /* [virtio-1.4 2.7] [virtio-1.4 2.8.10.1] */

struct bh_chain {
    struct bh_seg *segs; /* out_count device-readable ones, then in_count device-writable ones */
    uint16_t out_count;
    uint16_t in_count;
    uint16_t slot;      /* index of this chain among the queue's */
    uint16_t id;        /* head index (split) or buffer id (packed) */
    uint32_t out_len;   /* bytes in the readable segments */
    uint32_t in_len;    /* bytes in the writable segments */
    uint32_t mem_slots; /* the queue's own: regions held, bh_mem_slot_bit() */
    uint32_t written;   /* set before push: bytes written from the start of the writable segments, no gaps */
    /* The queue's own. These three and `written` are set at once by a pop, so they stand side by side. */
    uint16_t desc_count; /* ring slots taken */
    uint8_t stage;       /* enum bh_chain_stage */
    bool resubmitted;    /* came from the in-flight records, not from the ring */
    uint16_t record;     /* packed: its entry in the in-flight records */
};

/* Where a chain's slot is in its life. A push of a chain that is not the class's is a bug that is asserted.
 */
enum bh_chain_stage {
    BH_CHAIN_FREE,
    BH_CHAIN_POPPED, /* the class's */
    BH_CHAIN_HELD,   /* pushed; IN_ORDER holds it back until the ones before it are */
};

/* Why a queue or a device was given up. Counted for each queue; told to the transport and in `stat`. */
enum bh_broken {
    BH_BROKEN_NONE,
    BH_BROKEN_AVAIL_INDEX,    /* more made available than the queue's size holds */
    BH_BROKEN_HEAD_RANGE,     /* split: a head outside the table */
    BH_BROKEN_HEAD_IN_FLIGHT, /* split: a head made available again before it was used */
    BH_BROKEN_NEXT_RANGE,     /* a next index outside the table */
    BH_BROKEN_CHAIN_LONG,     /* a loop, or more segments than the class's largest chain */
    BH_BROKEN_CHAIN_EMPTY,    /* an indirect table of no descriptors, or a descriptor of no bytes */
    BH_BROKEN_CHAIN_BYTES,    /* more than 2^32 - 1 bytes */
    BH_BROKEN_ORDER,          /* a readable descriptor after a writable one */
    BH_BROKEN_INDIRECT,       /* not negotiated, nested, where it must not be, or a table of a wrong length */
    BH_BROKEN_FAULT,          /* a buffer outside guest memory, or not allowed to be written */
    BH_BROKEN_RING_FAULT,     /* a ring or an indirect table outside guest memory */
    BH_BROKEN_RING_ALIGN,     /* a ring that is not aligned as its part must be */
    BH_BROKEN_CLASS,          /* a chain that the class cannot answer (no room for a status, say) */
    BH_BROKEN_COUNT
};
/* "descriptor chain too long"; for logs and `stat`. Never NULL. */
const char *bh_broken_text(enum bh_broken reason);

struct bh_virtq;

/* What a queue tells its owner, on its own thread. The device (device.h) is the owner of all but test queues.
 */
struct bh_virtq_env {
    void (*notify)(struct bh_virtq *q); /* send a used buffer notification */
    void (*broken)(struct bh_virtq *q, enum bh_broken reason);
    void (*quiet)(struct bh_virtq *q); /* stopped, and nothing is in flight any more */
    /* Chains were pushed or unpopped, and `watched` was set: it is cleared before. May be NULL. */
    void (*pushed)(struct bh_virtq *q);
};

/* Where a ring stands and where to go on in it. */
struct bh_virtq_state {
    uint16_t avail; /* split: next available index; packed: next slot, below the queue's size */
    uint16_t used;
    bool avail_wrap; /* packed: wrap counters, both 1 at first [virtio-1.4 2.8.1] */
    bool used_wrap;
};
#define BH_VIRTQ_STATE_INITIAL ((struct bh_virtq_state){0, 0, true, true})

struct bh_virtq_setup {
    uint16_t size;     /* split: a power of 2; packed: any; 1 to the queue's size_max */
    bh_daddr_t desc;   /* descriptor table, or descriptor ring */
    bh_daddr_t driver; /* available ring, or driver event suppression */
    bh_daddr_t device; /* used ring, or device event suppression */
    struct bh_virtq_state state;
};

/* Memory for a queue, carved by bh_virtq_memory_place from one block that the caller owns. */
struct bh_virtq_memory {
    struct bh_chain *chains;
    uint16_t *free_slots;     /* chain_count */
    uint16_t *order;          /* size_max: slots in the order popped; IN_ORDER's window */
    uint8_t *heads_in_flight; /* split: for each head whether it is, size_max */
    struct bh_seg *segs;      /* chain_count * segs_per_chain */
    uint16_t chain_count;     /* most chains in flight */
    uint16_t segs_per_chain; /* most segments in a chain: the class's largest, and one more a region border */
    uint16_t size_max;       /* largest queue size */
};
/* Bytes for the block, aligned to 8. Every count is at least 1; size_max at most BH_VIRTQ_SIZE_MAX. */
size_t bh_virtq_memory_bytes(uint16_t size_max, uint16_t chain_count, uint16_t segs_per_chain);
void bh_virtq_memory_place(struct bh_virtq_memory *memory, void *block, uint16_t size_max,
                           uint16_t chain_count, uint16_t segs_per_chain);

struct bh_virtq_counters {
    uint64_t chains;        /* popped */
    uint64_t bytes_out;     /* driver to device */
    uint64_t bytes_in;      /* written for the driver, as pushed */
    uint64_t kicks;         /* available buffer notifications received */
    uint64_t notifications; /* used buffer notifications sent */
    uint64_t suppressed;    /* not sent, as the driver asked */
    uint64_t pending;       /* pops that waited for a translation */
    uint32_t broken[BH_BROKEN_COUNT];
};

enum bh_virtq_life { BH_VIRTQ_STOPPED, BH_VIRTQ_RUNNING, BH_VIRTQ_STOPPING };

struct bh_virtq {
    /* First line: what pop and push touch. */
    const struct bh_virtq_ops *ops; /* split or packed */
    void *ring[3];                  /* desc, driver, device: where they are now */
    uint16_t size;
    uint16_t index; /* among the device's queues */
    uint8_t life;   /* enum bh_virtq_life */
    uint8_t broken; /* enum bh_broken */
    uint8_t wishes; /* the owner's: what the driver or the transport wants of the queue */
    bool event_idx;
    bool indirect;
    bool in_order;
    bool watched;     /* the owner wants env->pushed after the next push or unpop */
    bool first_push;  /* nothing was pushed since the start: notify whatever the driver asked, a former
                         process may have died between publishing and notifying */
    bool rings_stale; /* the table changed: look the rings up before the next chain */
    struct bh_virtq_state state;
    uint32_t
        table_max; /* bytes of the longest indirect table that is sure to fit a chain; 0: not negotiated */
    uint16_t free_count;
    uint16_t desc_in_flight; /* packed: ring slots that chains in flight took */
    uint16_t in_flight;
    uint16_t pop_order;  /* position in memory.order of the next chain popped */
    uint16_t push_order; /* IN_ORDER: of the next chain to publish */
    uint32_t ring_slots; /* regions that the rings hold, bh_mem_slot_bit() */
    struct bh_virtq_memory memory;
    struct bh_mem_view view;
    struct bh_virtq_setup setup;
    const struct bh_virtq_env *env;
    void *owner;                  /* env's own */
    struct bh_inflight *inflight; /* records that outlive us (inflight.h); NULL: none. Set while stopped */
    struct bh_virtq_counters counters;
};

void bh_virtq_init(struct bh_virtq *q, const struct bh_virtq_memory *memory, struct bh_mem *mem,
                   const struct bh_virtq_env *env, void *owner);

/*
 * Start on rings that the driver laid. Looks the rings up at once.
 * BH_ERR_INVAL: a size that is not legal; BH_ERR_FAULT: a ring outside guest memory or misaligned;
 * BH_ERR_PENDING: a ring's translation is under way: nothing has changed, call again; BH_ERR_BUSY: not
 * stopped.
 */
int bh_virtq_start(struct bh_virtq *q, const struct bh_virtq_setup *setup,
                   const struct bh_features *features) BH_MUST_USE;

/* Pop no more; env->quiet when nothing is in flight. On a stopped queue it is called at once. */
void bh_virtq_stop(struct bh_virtq *q);
static inline bool bh_virtq_running(const struct bh_virtq *q)
{
    return q->life == BH_VIRTQ_RUNNING && q->broken == BH_BROKEN_NONE;
}
/*
 * Where the ring stands: of a quiet queue, exact; of a running one, as of the last pop and push. A queue that
 * starts with a state other than the initial one goes on where a ring stood.
 */
struct bh_virtq_state bh_virtq_state(const struct bh_virtq *q);

/*
 * Take up to `max` chains. Returns their number, 0 when there is none (or no slot is free, or the queue is
 * stopped), BH_ERR_PENDING when the first one waits for a translation, BH_ERR_BROKEN. A batch that meets a
 * pending or broken chain after good ones returns the good ones; the next call meets it again.
 */
int bh_virtq_pop(struct bh_virtq *q, struct bh_chain **chains, unsigned max) BH_MUST_USE;

/* Give back the `count` chains popped last, unused, newest first; they will be popped again. Before any push
 * of them. */
void bh_virtq_unpop(struct bh_virtq *q, unsigned count);

/*
 * Return chains to the driver. Their slots are free afterwards (with IN_ORDER: when the ones before them are
 * pushed too). On a broken queue they are only freed.
 */
void bh_virtq_push(struct bh_virtq *q, struct bh_chain *const *chains, unsigned count);

/*
 * Ask for notifications. True: chains are there already (perhaps ones that wait for a slot or a translation);
 * notifications stay off, pop instead of waiting.
 */
bool bh_virtq_arm(struct bh_virtq *q);
void bh_virtq_disarm(struct bh_virtq *q);
/*
 * Look at the newest memory table, as each pop does first: for a queue on which nobody pops just now, so that
 * it lets go of retired regions. A ring that is no longer in memory breaks the queue.
 */
void bh_virtq_adopt(struct bh_virtq *q);
/* Is a chain of this id among those that a former process had in flight, and pop has not returned again yet? */
bool bh_virtq_comes_again(const struct bh_virtq *q, uint16_t id);
/* Is there something to pop? A hint that reads the ring once. */
bool bh_virtq_has_work(struct bh_virtq *q);

/* Give the queue up: the class met a chain it cannot answer, or the ring is malformed. Once; later reasons
 * only count. */
void bh_virtq_break(struct bh_virtq *q, enum bh_broken reason);

/*
 * Copies between a chain and our memory. Offsets count bytes of the readable (read) or writable (write) part.
 * They return the number of bytes copied: fewer than `len` only when the chain ends.
 */
size_t bh_chain_read(const struct bh_chain *chain, size_t offset, void *to, size_t len);
size_t bh_chain_write(const struct bh_chain *chain, size_t offset, const void *from, size_t len);
/*
 * The part [offset, offset + len) of the readable or writable segments as an array of segments in `to`
 * (room for `max`). Returns how many, or BH_ERR_RANGE when the chain is shorter, BH_ERR_NOMEM when max is too
 * small.
 */
int bh_chain_out_slice(const struct bh_chain *chain, size_t offset, size_t len, struct bh_seg *to,
                       unsigned max);
int bh_chain_in_slice(const struct bh_chain *chain, size_t offset, size_t len, struct bh_seg *to,
                      unsigned max);

#endif
