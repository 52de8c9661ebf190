/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user sets of an entropy device.
 *
 * Threading: a table is const.   Ownership: as impl/option.h.   May block: no.
 */
#ifndef DEVICES_RNG_RNG_OPTIONS_H
#define DEVICES_RNG_RNG_OPTIONS_H

#include <bulkhead/impl/option.h>

struct bh_rng_values {
    char *rng_file; /* NULL: the host's generator */
    uint64_t max_bytes;
    uint64_t period_ms;
    uint64_t queue_size;
};

extern const struct bh_option bh_rng_options[];

#endif
