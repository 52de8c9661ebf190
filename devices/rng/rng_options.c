/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entropy class's options: the one place that names them.
 */
#include "devices/rng/rng_options.h"

#define AT(member) offsetof(struct bh_rng_values, member)

const struct bh_option bh_rng_options[] = {
    {.name = "rng-file",
     .type = BH_OPT_PATH,
     .offset = AT(rng_file),
     .help = "Take the bytes from this file, device or pipe instead of the host's generator"},
    {.name = "max-bytes",
     .type = BH_OPT_SIZE,
     .offset = AT(max_bytes),
     .def = "0",
     .unit = "bytes",
     .help = "Give the guest at most so much in each period; 0 is no limit"},
    {.name = "period",
     .type = BH_OPT_UINT,
     .offset = AT(period_ms),
     .def = "1000",
     .unit = "ms",
     .min = 1,
     .max = 3600000,
     .help = "How long a period of max-bytes is"},
    {.name = "queue-size",
     .type = BH_OPT_UINT,
     .offset = AT(queue_size),
     .def = "256",
     .unit = "descriptors",
     .min = 1,
     .max = 32768,
     .help = "Largest size of the request queue",
     .ref = "virtio-1.4 2.6"},
    {.name = NULL},
};
