/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device classes as the planner needs them: each one's option table, and which of its options plays which role
 * in the checks between devices.
 */
#include "cli/plan_classes.h"

#include "devices/blk/blk_host.h"
#include "devices/console/console_options.h"
#include "devices/net/net_options.h"
#include "devices/rng/rng_options.h"
#include "programs/device.h"

static const char *const blk_stores[] = {"blk-file", "ram-size", "null-size", NULL};

const struct bh_plan_class bh_plan_classes[] = {
    {.name = "net",
     .virtio_id = 1,
     .options = bh_net_options,
     .mac = "mac",
     .forward = "forward",
     .linkable = true},
    {.name = "blk",
     .virtio_id = 2,
     .options = bh_blk_option_table,
     .image = "blk-file",
     .read_only = "read-only",
     .one_of = blk_stores},
    {.name = "console", .virtio_id = 3, .options = bh_console_options},
    {.name = "rng", .virtio_id = 4, .options = bh_rng_options},
    {.name = NULL},
};

int bh_plan_of_words(const struct bh_plan_words *words, const char *file, struct bh_diag_sink *sink,
                     struct bh_plan **plan)
{
    const struct bh_plan_settings settings = {.classes = bh_plan_classes,
                                              .common = bh_device_process_options,
                                              .cache_dir = words->cache_dir,
                                              .state_dir = words->state_dir};

    return bh_plan_make(&settings, file, sink, plan);
}
