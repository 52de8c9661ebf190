/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device of any class on the pipe, with guest memory and the driver's side of its queues. For the tests and
 * fuzzers of the classes rng, console and net.
 *
 * Threading: one thread.   Ownership: the rig owns all but the device.   May block: no.
 */
#ifndef TESTS_UNIT_CLASS_RIG_H
#define TESTS_UNIT_CLASS_RIG_H

#include "driver/guest.h"
#include "transports/pipe/pipe.h"
#include <bulkhead/impl/transport.h>

#define CLASS_RIG_QUEUES 9u
#define CLASS_RIG_SIZE   64u
#define CLASS_RIG_BYTES  (1u << 20)

struct class_rig {
    struct bh_device *dev;
    struct bh_pipe pipe;
    struct bh_transport resetting; /* the pipe's, once class_rig_reset_at_notification was called */
    struct bh_mem mem;
    struct bh_mem_region region;
    struct bh_mem_table table;
    struct bh_drv_guest guest;
    struct bh_drv_queue queues[CLASS_RIG_QUEUES];
    struct bh_virtq_memory memory[CLASS_RIG_QUEUES];
    void *blocks[CLASS_RIG_QUEUES];
    unsigned queue_count;
};

/* Guest memory, and queue memory for `chains` chains of `segs` segments: what a class's init is given. */
void class_rig_open(struct class_rig *rig, unsigned queue_count, uint16_t chains, uint16_t segs);
/* Negotiate what is offered less `without`, and start the queues. */
void class_rig_start(struct class_rig *rig, struct bh_device *dev, bool packed, uint64_t without);
/* Reset, detach, free. */
void class_rig_close(struct class_rig *rig);

void *class_rig_alloc(struct class_rig *rig, uint32_t len);
/* One readable and one writable piece of guest memory (len 0: none); kicks. Token: what comes back. */
int class_rig_add(struct class_rig *rig, unsigned queue, const void *out, uint32_t out_len, const void *in,
                  uint32_t in_len, void *token);
/* The next used buffer notification comes to a driver that resets the device at once, in the middle of the push. */
void class_rig_reset_at_notification(struct class_rig *rig);
/* Run until nothing is left to do. */
void class_rig_run(struct class_rig *rig);
/* The next used buffer's token, NULL: none. */
void *class_rig_get(struct class_rig *rig, unsigned queue, uint32_t *len);

#endif
