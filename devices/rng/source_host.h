/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entropy from the host: its generator (getrandom) or a file, at a limited rate where one is asked for.
 *
 * Threading: the loop's thread.   Ownership: the caller's memory, the source keeps its own fd.
 * May block: init opens the file, which may wait for the host's file system.
 */
#ifndef DEVICES_RNG_SOURCE_HOST_H
#define DEVICES_RNG_SOURCE_HOST_H

#include "devices/rng/source.h"
#include <bulkhead/impl/diag.h>
#include <bulkhead/impl/loop.h>

struct bh_rng_source_host {
    struct bh_rng_source source;
    struct bh_loop *loop;
    struct bh_diag_sink *sink;
    const char *path; /* NULL: getrandom */
    int fd;           /* -1: getrandom */
    bool said;        /* the failure that lasts was reported */
    struct bh_loop_fd watch;
    struct bh_loop_timer retry; /* after a failure */
    /* The rate: `left` bytes until the period ends. max_bytes 0: no limit. */
    uint64_t max_bytes;
    uint64_t period_ms;
    uint64_t left;
    struct bh_loop_timer period;
};

/* `path` (NULL: getrandom) outlives the source. BH_ERR_NOENT, _ACCESS or _IO, said on `sink`. */
int bh_rng_source_host_init(struct bh_rng_source_host *host, struct bh_loop *loop, const char *path,
                            uint64_t max_bytes, uint64_t period_ms, struct bh_diag_sink *sink) BH_MUST_USE;
void bh_rng_source_host_fini(struct bh_rng_source_host *host);

#endif
