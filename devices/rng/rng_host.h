/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy class as a host's program serves it.
 *
 * Threading, Ownership, May block: as impl/hosted_class.h.
 */
#ifndef DEVICES_RNG_RNG_HOST_H
#define DEVICES_RNG_RNG_HOST_H

#include <bulkhead/impl/hosted_class.h>

extern const struct bh_hosted_class bh_rng_hosted;

#endif
