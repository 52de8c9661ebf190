/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every workload, in the order of the help and the report: adding one is a line here, and a load that knows it.
 */
#include "bench/load.h"

#include <string.h>

#define STORES                                                                                               \
    (1u << BENCH_STORE_NULL | 1u << BENCH_STORE_RAM | 1u << BENCH_STORE_FILE | 1u << BENCH_STORE_DISK)
#define KEEPING_STORES (STORES & ~(1u << BENCH_STORE_NULL))
#define REQUESTS                                                                                             \
    {                                                                                                        \
        BENCH_PER_CORE, BENCH_RATE, BENCH_P50, BENCH_METRICS                                                 \
    }

const struct bench_workload bench_workloads[] = {
    {"blk-randread",
     "Disk: reads at random places",
     &bench_load_blk,
     BENCH_READ_RANDOM,
     {1, 32},
     {4096},
     STORES,
     REQUESTS},
    {"blk-randwrite",
     "Disk: writes at random places",
     &bench_load_blk,
     BENCH_WRITE_RANDOM,
     {1, 32},
     {4096},
     STORES,
     REQUESTS},
    {"blk-mixed",
     "Disk: random, 70 % reads and 30 % writes",
     &bench_load_blk,
     BENCH_MIXED,
     {1, 32},
     {4096},
     STORES,
     REQUESTS},
    {"blk-seqread",
     "Disk: reads, one behind the other",
     &bench_load_blk,
     BENCH_READ_NEXT,
     {16},
     {131072},
     STORES,
     REQUESTS},
    {"blk-seqwrite",
     "Disk: writes, one behind the other",
     &bench_load_blk,
     BENCH_WRITE_NEXT,
     {16},
     {131072},
     STORES,
     REQUESTS},
    {"blk-verify",
     "Disk: each block written, read back and compared",
     &bench_load_blk,
     BENCH_VERIFY,
     {32},
     {4096},
     KEEPING_STORES,
     REQUESTS},
    {.name = NULL},
};

const struct bench_workload *bench_workload_find(const char *name)
{
    for (const struct bench_workload *workload = bench_workloads; workload->name; workload++)
        if (strcmp(workload->name, name) == 0)
            return workload;
    return NULL;
}
