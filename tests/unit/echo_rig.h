/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A device to be tested for what all devices share: an echo class that can keep chains in flight, on the pipe, with
 * a guest and the driver's rings beside it. Its memory is simply mapped or simulated.
 *
 * Threading: one thread.   Ownership: the test's.   May block: no.
 */
#ifndef TESTS_UNIT_ECHO_RIG_H
#define TESTS_UNIT_ECHO_RIG_H

#include "driver/guest.h"
#include "ports/sim/sim_mem.h"
#include "transports/pipe/pipe.h"

#include <bulkhead/impl/class.h>

#define QUEUES  2u
#define SLOTS   4u
#define ECHO_ID 200u

struct echo {
    struct bh_device dev;
    struct bh_virtq queues[QUEUES];
    struct bh_chain *kept[QUEUES][SLOTS]; /* in flight, oldest first */
    unsigned kept_count[QUEUES];
    bool keep;     /* do not answer for now */
    bool refuse;   /* FEATURES_OK */
    bool stubborn; /* queue_stopping changes nothing: chains come back when the test says so */
    unsigned starts, resets;
    uint8_t config[12];
};

struct bench {
    struct echo echo;
    struct bh_sim_mem sim; /* with a seed */
    struct bh_mem plain, *mem;
    void *blocks[QUEUES];
    struct bh_pipe pipe;
    struct bh_drv_guest guest;
    struct bh_mem_region region[2];
    struct bh_mem_table table, second;
    struct bh_features features;
    struct bh_drv_queue queue[QUEUES];
    uint8_t *out, *in;
};

/* Answer everything that is kept. */
void echo_answer(struct echo *echo, unsigned index);

/* `seed` 0: mapped memory; else simulated. */
void bench_init(struct bench *b, uint64_t seed);
void bench_fini(struct bench *b);
void bench_negotiate(struct bench *b, bool packed);
void bench_enable(struct bench *b, unsigned index);
/* Both queues, DRIVER_OK. */
void bench_up(struct bench *b, bool packed);
/* Until the device rests; what was asked of simulated memory arrives meanwhile. */
void bench_pump(struct bench *b);
/* One byte to be echoed, and how many came back, checked. */
void bench_send(struct bench *b, unsigned index, uint8_t byte);
unsigned bench_received(struct bench *b, unsigned index);

#endif
