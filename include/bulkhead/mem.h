/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as a device sees it: from an address in a descriptor to bytes that can be touched.
 *
 * Theory of operation
 *   A transport owns the regions and publishes them as an immutable, sorted `bh_mem_table`. Each queue looks
 * at memory through a view of its own: a pointer to the table it has adopted, the region it hit last, and a
 * use count a region. So the data path shares nothing with other queues and takes no lock.
 *
 *   A new table is published at once and adopted by each queue at its next batch. A region missing from the
 * new table is *retired*: no queue that has adopted the table translates to it again. It is *released*, and
 * its owner may unmap it, when every queue has adopted a table without it and holds no chain with a segment
 * in it: bh_mem_view_holds() says so for one queue; bh_device_mem_change() (device.h) waits for all of them.
 *
 *   Use counts are kept per slot, a small number that a region keeps for its life. Slots from
 * BH_MEM_SLOT_SHARED on share one count: their release waits for all of them, which is late but never early.
 *
 *   Memory that is not simply mapped (an IOTLB, grants, areas to be fetched) stands behind `ops`: a
 * translation is *here*, a *fault* (nobody's address: the driver's mistake), or *pending* (asked for; call
 * again later).
 *
 * Threading: bh_mem_publish by the control thread; a view by its queue's thread only.
 * Ownership: tables, regions and what they map are the transport's; they outlive every view that adopted
 * them. May block: no.
 */
#ifndef BULKHEAD_MEM_H
#define BULKHEAD_MEM_H

#include <bulkhead/base.h>
#include <bulkhead/err.h>

/* A piece of guest memory that the device can touch. Laid out as POSIX's struct iovec (ports/linux asserts
 * it). */
struct bh_seg {
    void *base; /* guest-controlled bytes: read each once, into memory of ours, and check it there */
    size_t len;
};

enum bh_mem_access { BH_MEM_READ = 1, BH_MEM_WRITE = 2 }; /* what the device may do */

struct bh_mem_region {
    bh_daddr_t base;
    uint64_t size;   /* bytes, not 0; base + size does not wrap */
    uint8_t *host;   /* where byte 0 is */
    bh_uaddr_t user; /* the front-end's address of byte 0; transports without one leave it 0 */
    uint16_t slot;   /* unique among the regions of a device that are not yet released */
    uint16_t access; /* of enum bh_mem_access */
};

struct bh_mem_table {
    const struct bh_mem_region *regions; /* ascending by base, no overlaps */
    uint32_t count;
};

#define BH_MEM_SLOTS       32u /* use counts a view keeps */
#define BH_MEM_SLOT_SHARED (BH_MEM_SLOTS - 1u)

enum bh_mem_result { BH_MEM_HERE, BH_MEM_FAULT, BH_MEM_PENDING };

/* What one translation gave: `len` bytes from the address on (perhaps fewer than asked), or why not. */
struct bh_mem_span {
    uint8_t *host;
    uint64_t len;
    uint16_t slot;
};

struct bh_mem;

/* Memory that is not simply mapped. Called on a queue's thread. A part of a ring must come as one span. */
struct bh_mem_ops {
    enum bh_mem_result (*translate)(struct bh_mem *mem, const struct bh_mem_table *table, bh_daddr_t addr,
                                    uint64_t len, unsigned access, struct bh_mem_span *span);
    /*
     * May be NULL. Chains that used these segments were pushed or given back, or a pop was given up as
     * another piece of its chain is pending: what was mapped for them may be unmapped. Keep it for a while:
     * unmapped at once, a chain of several pieces would never be here as a whole.
     */
    void (*release)(struct bh_mem *mem, const struct bh_seg *segs, unsigned count);
};

/* One bit a page of guest memory; the layout of vhost-user's log [vhost-user, "Migration"]. */
struct bh_mem_log {
    uint8_t *bits;
    uint64_t byte_count;
};
#define BH_MEM_LOG_PAGE 4096u

struct bh_mem {
    const struct bh_mem_table *table; /* never NULL after init; read with acquire */
    const struct bh_mem_ops *ops;     /* NULL: the table alone translates. Changes while no queue runs */
    void *ops_owner;                  /* ops' own */
    const struct bh_mem_log *log;     /* NULL: nobody asks for dirty marks; read with acquire */
};

/* An empty memory: everything faults until a table is published. */
void bh_mem_init(struct bh_mem *mem, const struct bh_mem_ops *ops);
void bh_mem_publish(struct bh_mem *mem, const struct bh_mem_table *table);
void bh_mem_set_log(struct bh_mem *mem, const struct bh_mem_log *log);

/* BH_OK, or BH_ERR_INVAL when regions are empty, wrap, overlap or are not ascending. */
int bh_mem_table_check(const struct bh_mem_table *table) BH_MUST_USE;

/* From a front-end's own address to a descriptor's, BH_ERR_FAULT when no region holds all `len` bytes. */
int bh_mem_from_user(const struct bh_mem_table *table, bh_uaddr_t user, uint64_t len,
                     bh_daddr_t *addr) BH_MUST_USE;

/* The region hit last of those that may be read and written: as flat as the data path wants it. */
struct bh_mem_near {
    uint64_t base, size; /* size 0: none yet, or memory behind ops */
    uint8_t *host;
    uint32_t *uses; /* the view's, of its slot */
    uint32_t bit;   /* its bh_mem_slot_bit() */
};

struct bh_mem_view {
    struct bh_mem *mem;
    const struct bh_mem_table *table;  /* as adopted */
    const struct bh_mem_table *former; /* the one before: chains in flight may still be in its regions */
    struct bh_mem_near near;
    uint32_t uses[BH_MEM_SLOTS]; /* chains in flight, by slot */
};

void bh_mem_view_init(struct bh_mem_view *view, struct bh_mem *mem);
/* Adopt the newest table. True when it is another one than before: rings must be looked up again. */
bool bh_mem_view_adopt(struct bh_mem_view *view);
/* What was hit last counts no more: memory is another one. */
static inline void bh_mem_view_forget(struct bh_mem_view *view)
{
    view->near.size = 0;
}

/*
 * The longest piece that starts at `addr`, at most `len` bytes. `len` is not 0. A range whose end wraps is a
 * fault. `access` of enum bh_mem_access: a region that does not allow it is a fault.
 */
enum bh_mem_result bh_mem_translate(struct bh_mem_view *view, bh_daddr_t addr, uint64_t len, unsigned access,
                                    struct bh_mem_span *span);

/* Segments that translations gave are used no more: ops->release, where there is one. */
void bh_mem_view_release(struct bh_mem_view *view, const struct bh_seg *segs, unsigned count);

/* Use counts, by a mask of slots (bit BH_MEM_SLOT_SHARED for the shared ones). */
static inline uint32_t bh_mem_slot_bit(uint16_t slot)
{
    return 1u << (slot < BH_MEM_SLOT_SHARED ? slot : BH_MEM_SLOT_SHARED);
}
/* `by` more users (fewer, when negative) of each slot in the mask. */
void bh_mem_view_use(struct bh_mem_view *view, uint32_t slots, int by);
/* Does this queue still hold the region, by an old table or by a chain in flight? */
bool bh_mem_view_holds(const struct bh_mem_view *view, const struct bh_mem_region *region);

/*
 * Mark pages as written, after the write and before it is published. No-ops without a log; pages that the log
 * does not reach are left out. `addr` is guest-physical: the log knows no IOVA [vhost-user, "Migration"].
 */
void bh_mem_dirty(struct bh_mem_view *view, bh_daddr_t addr, uint64_t len);
/* The same, found back from where the bytes are (a ring, or a segment of a chain in flight, perhaps of a
 * retired region). */
void bh_mem_dirty_seg(struct bh_mem_view *view, const void *host, size_t len);

#endif
