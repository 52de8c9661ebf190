/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every workload, in the order of the help and the report: adding one is a row here, its words in words.h, and a load
 * that knows it.
 */
#include "bench/load.h"
#include "bench/words.h"

#include <string.h>

#define NULL_STORE  (1u << BENCH_STORE_NULL)
#define FILE_STORES (1u << BENCH_STORE_RAM | 1u << BENCH_STORE_FILE | 1u << BENCH_STORE_DISK)
#define REQUESTS    BENCH_PER_CORE, BENCH_RATE, BENCH_P50, BENCH_METRICS
#define BULK        BENCH_BANDWIDTH, BENCH_PER_CORE, BENCH_METRICS
#define STARTS      BENCH_READY, BENCH_MEMORY, BENCH_METRICS
#define ALL_STORES  (NULL_STORE | FILE_STORES)
#define PACKET_SIZES                                                                                         \
    {                                                                                                        \
        64, 1514                                                                                             \
    }

/* clang-format off */
const struct bench_workload bench_workloads[] = {
    /* words, load, its pattern, depths, blocks, stores, what is plotted, started anew */
    {BENCH_BLK_RANDREAD,  &bench_load_blk, BENCH_READ_RANDOM,  {1, 32}, {4096},   ALL_STORES,  {REQUESTS}, false},
    {BENCH_BLK_RANDWRITE, &bench_load_blk, BENCH_WRITE_RANDOM, {1, 32}, {4096},   ALL_STORES,  {REQUESTS}, false},
    {BENCH_BLK_MIXED,     &bench_load_blk, BENCH_MIXED,        {1, 32}, {4096},   ALL_STORES,  {REQUESTS}, false},
    {BENCH_BLK_SEQREAD,   &bench_load_blk, BENCH_READ_NEXT,    {16},    {131072}, ALL_STORES,  {REQUESTS}, false},
    {BENCH_BLK_SEQWRITE,  &bench_load_blk, BENCH_WRITE_NEXT,   {16},    {131072}, ALL_STORES,  {REQUESTS}, false},
    {BENCH_BLK_VERIFY,    &bench_load_blk, BENCH_VERIFY,       {32},    {4096},   FILE_STORES, {REQUESTS}, false},
    {BENCH_NET_SEND,      &bench_load_net,  0,                 {1, 32, 128}, PACKET_SIZES, 0,  {REQUESTS}, false},
    {BENCH_NET_LINK,      &bench_load_pair, BENCH_LINK,        {1, 32}, PACKET_SIZES, 0,       {REQUESTS}, false},
    {BENCH_NET_SWITCH,    &bench_load_pair, BENCH_SWITCH,      {1, 32}, PACKET_SIZES, 0,       {REQUESTS}, false},
    {BENCH_VSOCK_SENDS,   &bench_load_vsock, BENCH_VSOCK_SEND,    {16}, {4096, 65536}, 0,      {BULK},     false},
    {BENCH_VSOCK_TAKES,   &bench_load_vsock, BENCH_VSOCK_RECEIVE, {16}, {4096, 65536}, 0,      {BULK},     false},
    {BENCH_VSOCK_ASKS,    &bench_load_vsock, BENCH_VSOCK_ASK,     {1},  {64},     0,           {REQUESTS}, false},
    {BENCH_VSOCK_OPENS,   &bench_load_vsock, BENCH_VSOCK_CONNECT, {1},  {1},      0,           {REQUESTS}, false},
    {BENCH_RNG,           &bench_load_rng,     0,              {1, 32}, {64, 4096}, 0,         {REQUESTS}, false},
    {BENCH_CONSOLE,       &bench_load_console, 0,              {1, 32}, {64, 4096}, 0,         {REQUESTS}, false},
    {BENCH_START_BLK,     &bench_load_blk, BENCH_READ_RANDOM,     {1},  {4096},   NULL_STORE,  {STARTS},   true},
    {BENCH_START_NET,     &bench_load_net,     0,                 {1},  {64},     0,           {STARTS},   true},
    {BENCH_START_VSOCK,   &bench_load_vsock, BENCH_VSOCK_CONNECT, {1},  {1},      0,           {STARTS},   true},
    {BENCH_START_RNG,     &bench_load_rng,     0,                 {1},  {64},     0,           {STARTS},   true},
    {BENCH_START_CONSOLE, &bench_load_console, 0,                 {1},  {64},     0,           {STARTS},   true},
    {.name = NULL},
};
/* clang-format on */

const struct bench_workload *bench_workload_find(const char *name)
{
    for (const struct bench_workload *workload = bench_workloads; workload->name; workload++)
        if (strcmp(workload->name, name) == 0)
            return workload;
    return NULL;
}
