/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options that every device program takes beside its class's: the command line's, and those that a description
 * may set as properties of any device's node.
 */
#include "programs/device.h"

#define AT(member) offsetof(struct bh_device_process_values, member)

static const char *const sandbox_words[] = {"on", "off", "required", NULL};

#define CONTROL_OPTIONS                                                                                      \
    {.name = "control",                                                                                      \
     .type = BH_OPT_PATH,                                                                                    \
     .offset = AT(control),                                                                                  \
     .cli_only = true,                                                                                       \
     .help = "Listen for control clients on this Unix socket: JSON, a line each way"},                       \
        {.name = "control-fd",                                                                               \
         .type = BH_OPT_UINT,                                                                                \
         .offset = AT(control_fd),                                                                           \
         .min = 3,                                                                                           \
         .max = INT32_MAX,                                                                                   \
         .arg = "FD",                                                                                        \
         .cli_only = true,                                                                                   \
         .help = "The same on an inherited socket that listens"},                                            \
    {                                                                                                        \
        .name = "sandbox", .type = BH_OPT_ENUM, .offset = AT(sandbox), .values = sandbox_words, .def = "on", \
        .cli_only = true,                                                                                    \
        .help = "Give up files, namespaces, capabilities and system calls that serving does not need; "      \
                "required: serve nobody where the host refuses a piece of that"                              \
    }
#define HELP_OPTIONS                                                                                         \
    {.name = "help",                                                                                         \
     .type = BH_OPT_BOOL,                                                                                    \
     .offset = AT(help),                                                                                     \
     .cli_only = true,                                                                                       \
     .help = "Print this and exit"},                                                                         \
    {                                                                                                        \
        .name = "version", .type = BH_OPT_BOOL, .offset = AT(version), .cli_only = true,                     \
        .help = "Print the version and exit"                                                                 \
    }

const struct bh_option bh_device_process_options[] = {
    {.name = "socket-path",
     .type = BH_OPT_PATH,
     .offset = AT(socket_path),
     .cli_only = true,
     .help = "Listen for a front-end on this Unix socket"},
    {.name = "connect",
     .type = BH_OPT_PATH,
     .offset = AT(connect),
     .cli_only = true,
     .help = "Connect to a front-end that listens on this Unix socket, again and again"},
    {.name = "fd",
     .type = BH_OPT_UINT,
     .offset = AT(fd),
     .min = 3,
     .max = INT32_MAX,
     .arg = "FD",
     .cli_only = true,
     .help = "The vhost-user socket, inherited: listening or connected"},
    {.name = "features",
     .type = BH_OPT_STRING,
     .offset = AT(features),
     .check = bh_features_check,
     .arg = "-WORD,...",
     .help = "Do not offer these: packed, event_idx, indirect_desc, in_order, ring_reset, or a bit's number; "
             "+access_platform: serve a driver behind the front-end's IOMMU",
     .ref = "virtio-1.4 6"},
    CONTROL_OPTIONS,
    {.name = "print-capabilities",
     .type = BH_OPT_BOOL,
     .offset = AT(print_capabilities),
     .cli_only = true,
     .help = "Print what this program can, as JSON, and exit"},
    HELP_OPTIONS,
    {.name = NULL},
};

const struct bh_option bh_switch_process_options[] = {CONTROL_OPTIONS, HELP_OPTIONS, {.name = NULL}};
