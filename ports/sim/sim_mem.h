/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Simulated guest memory: a test's stand-in for memory that is not simply mapped (an IOTLB, grants, areas that are
 * fetched). Everything that can happen to a translation happens, and the same seed makes it happen again.
 *
 * Theory of operation
 *   Each page is here or away. The first touch of a page that is away answers *pending* and asks for it; it
 * arrives when the test calls bh_sim_mem_arrive, which also sends pages away again, as the seed has it. Behind
 * `split_from`, every translation ends at a multiple of BH_SIM_MEM_SPLIT, so that buffers straddle. The n-th
 * translation can be made a fault. Held memory is counted: what the queues were given and have not released.
 *
 * Threading: one thread.   Ownership: the caller's memory; the table and what it maps outlive it.
 * May block: no.
 */
#ifndef PORTS_SIM_SIM_MEM_H
#define PORTS_SIM_SIM_MEM_H

#include <bulkhead/mem.h>

#define BH_SIM_MEM_PAGE  4096u
#define BH_SIM_MEM_PAGES 8192u
#define BH_SIM_MEM_SPLIT 32768u

struct bh_sim_mem {
    struct bh_mem mem;
    uint64_t random;       /* state of the generator: the seed at first */
    uint64_t base;         /* address of page 0 */
    uint64_t split_from;   /* no splits below this address */
    uint32_t evict_one_in; /* arrivals after which a page goes away again, one in so many; 0: never */
    uint32_t fault_after;  /* the translation that is to be a fault, counted from 1; 0: none */
    uint32_t here[BH_SIM_MEM_PAGES / 32];
    uint32_t asked[BH_SIM_MEM_PAGES / 32];
    uint32_t asked_count;
    uint64_t translations, pendings, faults, released;
};

/* Pages from `base` on start away. `seed` is any number. */
void bh_sim_mem_init(struct bh_sim_mem *sim, uint64_t base, uint64_t seed);
/* What was asked for is here now. True: something was; the transport runs its queues again. */
bool bh_sim_mem_arrive(struct bh_sim_mem *sim);

#endif
