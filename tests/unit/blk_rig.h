/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A blk device on the pipe, with a driver's side to lay requests in any framing, and a store whose completions are
 * in the test's hand. For the tests and the fuzzer of the class.
 *
 * Threading: one thread.   Ownership: the rig owns all but a store that is not its own.   May block: no.
 */
#ifndef TESTS_UNIT_BLK_RIG_H
#define TESTS_UNIT_BLK_RIG_H

#include "devices/blk/blk.h"
#include "devices/blk/store_ram.h"
#include "driver/ring.h"
#include "transports/pipe/pipe.h"

#define RIG_QUEUES   2u
#define RIG_SIZE     64u
#define RIG_SEG_MAX  16u
#define RIG_MEM      (1u << 20)
#define RIG_CAPACITY (256u * 1024)
#define RIG_BASE     0x40000000u

/* A store that keeps everything until the test lets it go. */
struct sim_store {
    struct bh_store store;
    struct bh_store_req *held[2 * RIG_SIZE]; /* in order of submission */
    unsigned held_count;
    struct bh_store_req *ready[2 * RIG_SIZE];
    unsigned ready_count;
    unsigned submit_count, cancel_count, acquire_count, release_count;
    int acquire_result;
};
void sim_store_init(struct sim_store *sim);
/* Complete the held request `index` with `result`; poll finds it. Reads are filled with `fill`. */
void sim_store_finish(struct sim_store *sim, unsigned index, int result, uint8_t fill);
void sim_store_wake(struct sim_store *sim);

struct rig {
    struct bh_blk blk;
    struct bh_pipe pipe;
    struct bh_mem mem;
    struct bh_mem_region region;
    struct bh_mem_table table;
    uint8_t *bytes; /* guest memory */
    uint32_t next;  /* free from here on */
    struct bh_virtq queues[RIG_QUEUES];
    struct bh_virtq_memory memory[RIG_QUEUES];
    void *blocks[RIG_QUEUES];
    struct bh_blk_queue blk_queues[RIG_QUEUES];
    struct bh_drv_ring rings[RIG_QUEUES];
    struct bh_drv_slot slots[RIG_QUEUES][RIG_SIZE];
};

/* Set up and start, with what the device offers less `without` (bits of the first 64). */
struct rig *rig_new(struct bh_store *store, const struct bh_blk_settings *settings, bool packed,
                    uint64_t without);
void rig_free(struct rig *rig);

/* Guest memory: zeroed, at its guest address; host pointer in *at. */
uint64_t rig_alloc(struct rig *rig, uint32_t len, void **at);

/* A request as a driver keeps it. */
struct rig_request {
    struct virtio_blk_req_header *header;
    uint8_t *data;
    uint8_t *status;
    uint32_t used_len;
    bool used;
};
/*
 * Lay a request of `len` data bytes, header and status in descriptors of their own, and kick. `write`: the data is
 * device-readable.
 */
void rig_add(struct rig *rig, unsigned queue, struct rig_request *r, uint32_t type, uint64_t sector,
             bool write, uint32_t len, const void *data);
/*
 * The same with the readable bytes (header, data to write) and the writable ones (data to read, status) cut into
 * descriptors of `piece` bytes, wherever that falls.
 */
void rig_add_cut(struct rig *rig, unsigned queue, struct rig_request *r, uint32_t type, uint64_t sector,
                 bool write, uint32_t len, const void *data, uint32_t piece);
/* Run the device until nothing is left to do, and collect what was used. Returns how many were. */
unsigned rig_run(struct rig *rig);

#endif
