/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options of `bulkhead bench`.
 *
 * Threading: plain data.   Ownership: bh_options_init and _fini own the strings.   May block: no.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <bulkhead/impl/option.h>

struct bench_options {
    char *depth, *block, *queues, *store, *ring, *wait, *without; /* words with commas between them; NULL: the
                                                                      workload's own */
    struct bh_option_list peers, variants;
    bool known_peers;
    struct bh_option_list qsd;
    char *spdk, *testpmd;
    uint64_t rounds, duration_ms, warm_up_ms, foreign_percent, retries;
    bool instructions;
    char *out, *disk_folder;
    uint64_t store_bytes;
    bool json, all, list, help;
};

extern const struct bh_option bench_options[];

/* Paragraphs for help and man page: what the command does, and the workloads' names. */
extern const char bench_text[];
/* The workloads' names with blanks between them, for completion. */
extern const char bench_names[];

#endif
