/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See options.h.
 */
#include "tests/conformance/options.h"

#define AT(member) offsetof(struct conf_options, member)

static const char *const class_words[] = {"blk", "console", "net", "rng", "vsock", NULL};
static const char *const ring_words[] = {"both", "split", "packed", NULL};
static const char *const part_words[] = {"all", "common", "ring", "class", NULL};

const struct bh_option conf_options[] = {
    {.name = "class",
     .type = BH_OPT_ENUM,
     .offset = AT(class),
     .values = class_words,
     .arg = "CLASS",
     .help = "The device's class"},
    {.name = "socket-path",
     .type = BH_OPT_PATH,
     .offset = AT(socket_path),
     .help = "Judge the back-end that listens on this Unix socket; each case connects anew"},
    {.name = "host-path",
     .type = BH_OPT_PATH,
     .offset = AT(host_path),
     .help =
         "With --socket-path and vsock: the Unix socket of the back-end's host side, so that a connection of "
         "the guest to port N ends at PATH_N. Without it the cases that need a connection are skipped"},
    {.name = "exec",
     .type = BH_OPT_PATH,
     .offset = AT(program),
     .arg = "PROGRAM",
     .help = "Judge a program that is started for each case with --fd=N, and the words behind --"},
    {.name = "pipe",
     .type = BH_OPT_BOOL,
     .offset = AT(pipe),
     .help = "Judge our class within this process, with its options behind --"},
    {.name = "in-band",
     .type = BH_OPT_BOOL,
     .offset = AT(in_band),
     .help = "Notify, and be notified, by messages (INBAND_NOTIFICATIONS) rather than by eventfds"},
    {.name = "sim",
     .type = BH_OPT_UINT,
     .offset = AT(sim_seed),
     .arg = "SEED",
     .help =
         "With --pipe: translations of guest memory are pending, split and forgotten, as the seed has it"},
    {.name = "ring",
     .type = BH_OPT_ENUM,
     .offset = AT(ring),
     .values = ring_words,
     .def = "both",
     .help = "Layouts"},
    {.name = "features",
     .type = BH_OPT_STRING,
     .offset = AT(features),
     .arg = "SET",
     .help = "Only this feature set: plain, event_idx, indirect, in_order, all"},
    {.name = "part",
     .type = BH_OPT_ENUM,
     .offset = AT(part),
     .values = part_words,
     .def = "all",
     .help = "Cases of every device, of malformed rings, of the class"},
    {.name = "case", .type = BH_OPT_STRING, .offset = AT(only_case), .arg = "NAME", .help = "Only this case"},
    {.name = "patience",
     .type = BH_OPT_UINT,
     .offset = AT(patience),
     .unit = "ms",
     .min = 10,
     .max = 60000,
     .def = "5000",
     .help = "How long an answer may take"},
    {.name = "scratch",
     .type = BH_OPT_STRING,
     .offset = AT(scratch),
     .arg = "OPTION:BYTES",
     .help = "With --exec and --pipe: make a file, name it by --OPTION, remove it at the end; OPTION:name: "
             "only a name"},
    {.name = "json", .type = BH_OPT_BOOL, .offset = AT(json), .help = "Print JSON"},
    {.name = "tap", .type = BH_OPT_BOOL, .offset = AT(tap), .help = "Print TAP"},
    {.name = "junit",
     .type = BH_OPT_PATH,
     .offset = AT(junit),
     .arg = "FILE",
     .help = "Write a JUnit report too"},
    {.name = "list", .type = BH_OPT_BOOL, .offset = AT(list), .help = "List the cases and stop"},
    {.name = "help", .type = BH_OPT_BOOL, .offset = AT(help), .help = "Print this and exit"},
    {.name = NULL},
};
