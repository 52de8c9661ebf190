/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device classes as the planner needs them: each one's option table, and which of its options plays which role
 * in the checks between devices.
 */
#include "cli/plan_classes.h"

#include "devices/blk/blk_host.h"
#include "devices/console/console_options.h"
#include "devices/net/net_options.h"
#include "devices/net/switch_options.h"
#include "devices/rng/rng_options.h"
#include "devices/vsock/vsock_options.h"
#include "programs/device.h"

static const char *const blk_stores[] = {"blk-file", "ram-size", "null-size", NULL};
static const char *const net_front_end[] = {"mac", NULL};

/* Of a file system the engine's front-end has one word; the rest is its program's. */
struct fs_values {
    char *tag;
};
static const char *const fs_front_end[] = {"tag", NULL};
static const struct bh_option fs_options[] = {
    {.name = "tag",
     .type = BH_OPT_STRING,
     .offset = offsetof(struct fs_values, tag),
     .required = true,
     .help = "the name by which the guest mounts it, at most 36 bytes",
     .ref = "virtio-1.4 5.11.4"},
    {.name = NULL},
};

const struct bh_plan_class bh_plan_classes[] = {
    {.name = "net",
     .virtio_id = 1,
     .options = bh_net_options,
     .mac = "mac",
     .forward = "forward",
     .linkable = true,
     .front_end = net_front_end},
    {.name = "blk",
     .virtio_id = 2,
     .options = bh_blk_option_table,
     .image = "blk-file",
     .read_only = "read-only",
     .one_of = blk_stores},
    {.name = "console", .virtio_id = 3, .options = bh_console_options, .console = true},
    {.name = "rng", .virtio_id = 4, .options = bh_rng_options},
    {.name = "vsock",
     .virtio_id = 19,
     .options = bh_vsock_options,
     .cid = "guest-cid",
     .peer = "peer",
     .host_path = "host-path",
     .sibling_dir = "sibling-dir"},
    {.name = "fs", .virtio_id = 26, .options = fs_options, .stranger = true, .front_end = fs_front_end},
    {.name = NULL},
};

_Static_assert(BH_PLAN_SWITCH_PORTS == BH_SWITCH_PORTS_MAX, "a switch takes all that a plan gives it");
static const struct bh_plan_switching switching = {
    .options = bh_switch_options, .words = bh_switch_words, .port = "port", .name = "name", .mac = "mac"};

int bh_plan_of_words(const struct bh_plan_words *words, const char *file, struct bh_diag_sink *sink,
                     struct bh_plan **plan)
{
    const struct bh_plan_settings settings = {.classes = bh_plan_classes,
                                              .switching = &switching,
                                              .common = bh_device_process_options,
                                              .cache_dir = words->cache_dir,
                                              .state_dir = words->state_dir};

    return bh_plan_make(&settings, file, sink, plan);
}

int bh_exit_of_plan(int err)
{
    return err == BH_OK ? BH_EXIT_OK : err == BH_ERR_CHILD ? BH_EXIT_MISSING : BH_EXIT_FAILED;
}

int bh_report_run(const struct bh_verb *verb, int argc, char **argv,
                  int (*report)(const struct bh_report_values *values, const char *file))
{
    struct bh_report_values values = {.json = false};
    const char *file;
    size_t count;
    int err = bh_verb_parse(verb, argc, argv, &values, &file, 1, 1, &count);

    if (err != BH_OK)
        return BH_EXIT_USAGE;
    err = report(&values, file);
    bh_options_fini(verb->options, &values);
    return bh_exit_of_plan(err);
}
