/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an entropy device asks for its bytes: the host's generator, a file, a hardware register, a test's
 * pattern.
 *
 * Threading: with the device's queue.   Ownership: the source is its owner's and outlives the device.
 * May block: no op may.
 */
#ifndef DEVICES_RNG_SOURCE_H
#define DEVICES_RNG_SOURCE_H

#include <bulkhead/base.h>
#include <bulkhead/err.h>

struct bh_rng_source;

struct bh_rng_source_ops {
    /*
     * Write up to `len` (not 0) random bytes to `to`, which is guest memory: write only. Returns how many, at
     * least 1; BH_ERR_AGAIN when there are none now; another error when the source failed. After any error
     * the source calls `ready` once it is worth asking again.
     */
    int (*fill)(struct bh_rng_source *source, void *to, size_t len);
};

/* A source's owner embeds it, sets `ops`, and leaves the rest to the device. */
struct bh_rng_source {
    const struct bh_rng_source_ops *ops;
    void (*ready)(struct bh_rng_source *source); /* set by the device; NULL before */
    void *user;                                  /* the device's */
};

#endif
