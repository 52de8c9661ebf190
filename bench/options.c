/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See options.h.
 */
#include "bench/options.h"

#include "bench/words.h"

#define AT(member) offsetof(struct bench_options, member)

const struct bh_option bench_options[] = {
    {.name = "all", .type = BH_OPT_BOOL, .offset = AT(all), .help = "Every workload, packed rings too"},
    {.name = "out",
     .type = BH_OPT_PATH,
     .offset = AT(out),
     .arg = "DIR",
     .help = "Write bench.json and bench.html there"},
    {.name = "store",
     .type = BH_OPT_STRING,
     .offset = AT(store),
     .arg = "WORDS",
     .help =
         "Disks: null, ram, file (in /dev/shm), disk (direct I/O, in --disk-folder), with commas; without "
         "it all but disk"},
    {.name = "depth",
     .type = BH_OPT_STRING,
     .offset = AT(depth),
     .arg = "NUMBERS",
     .help = "Requests in flight on each queue, such as 1,32"},
    {.name = "block",
     .type = BH_OPT_STRING,
     .offset = AT(block),
     .arg = "SIZES",
     .help = "Bytes a request or a packet, such as 4K,128K"},
    {.name = "queues",
     .type = BH_OPT_STRING,
     .offset = AT(queues),
     .def = "1",
     .arg = "NUMBERS",
     .help = "Request queues, at most 8"},
    {.name = "ring",
     .type = BH_OPT_STRING,
     .offset = AT(ring),
     .arg = "WORDS",
     .help = "split, packed; without it split, and with --all packed too where data costs nothing"},
    {.name = "wait",
     .type = BH_OPT_STRING,
     .offset = AT(wait),
     .def = "sleep,poll",
     .arg = "WORDS",
     .help = "How the driver waits: sleep until it is called, poll"},
    {.name = "without",
     .type = BH_OPT_STRING,
     .offset = AT(without),
     .arg = "WORDS",
     .help = "Do not negotiate these, which are taken where they are offered: event_idx, indirect, in_order"},
    {.name = "peer",
     .type = BH_OPT_LIST,
     .offset = AT(peers),
     .arg = "NAME=SOCKET|COMMAND",
     .help = "One more contestant: a socket on which it listens, or a command that makes it listen on "
             "{socket}; {file}, {size}, {queues}, for sockets {host} and {cid}, are replaced too"},
    {.name = "variant",
     .type = BH_OPT_LIST,
     .offset = AT(variants),
     .arg = "NAME=OPTION",
     .help = "Bulkhead's device once more, with one more option of its own, such as threads=--aio=threads"},
    {.name = "known-peers",
     .type = BH_OPT_BOOL,
     .offset = AT(known_peers),
     .def = "on",
     .help = "Take the peers that this machine has: qemu-storage-daemon, dpdk-testpmd, for root the kernel's "
             "bridge"},
    {.name = "qsd",
     .type = BH_OPT_LIST,
     .offset = AT(qsd),
     .arg = "PROGRAM",
     .help = "A qemu-storage-daemon at another place"},
    {.name = "spdk",
     .type = BH_OPT_PATH,
     .offset = AT(spdk),
     .arg = "PROGRAM",
     .help = "SPDK's vhost program"},
    {.name = "testpmd",
     .type = BH_OPT_PATH,
     .offset = AT(testpmd),
     .arg = "PROGRAM",
     .help = "A dpdk-testpmd at another place"},
    {.name = "rounds",
     .type = BH_OPT_UINT,
     .offset = AT(rounds),
     .def = "5",
     .min = 1,
     .max = 99,
     .help = "Samples of each contestant, taken in turn"},
    {.name = "duration",
     .type = BH_OPT_UINT,
     .offset = AT(duration_ms),
     .def = "1000",
     .unit = "ms",
     .min = 1,
     .max = 600000,
     .help = "How long a sample takes"},
    {.name = "warm-up",
     .type = BH_OPT_UINT,
     .offset = AT(warm_up_ms),
     .def = "200",
     .unit = "ms",
     .min = 1,
     .max = 600000,
     .help = "How long the load runs before a sample"},
    {.name = "foreign-load",
     .type = BH_OPT_UINT,
     .offset = AT(foreign_percent),
     .def = "20",
     .unit = "% of a CPU",
     .max = 100000,
     .help = "Others may keep so much busy during a sample, else it is taken again"},
    {.name = "retries",
     .type = BH_OPT_UINT,
     .offset = AT(retries),
     .def = "4",
     .max = 100,
     .help = "How often it is taken again before the quietest is kept"},
    {.name = "instructions",
     .type = BH_OPT_BOOL,
     .offset = AT(instructions),
     .def = "off",
     .help = "Count instructions a request too, by the processor's counters, or by valgrind where there are "
             "none"},
    {.name = "store-size",
     .type = BH_OPT_SIZE,
     .offset = AT(store_bytes),
     .def = "256M",
     .min = 16u << 20,
     .help = "Size of the disks in memory and in files"},
    {.name = "disk-folder",
     .type = BH_OPT_PATH,
     .offset = AT(disk_folder),
     .arg = "DIR",
     .help = "Where the store disk keeps its file; it is removed at the end"},
    {.name = "json", .type = BH_OPT_BOOL, .offset = AT(json), .help = "Print JSON instead of tables"},
    {.name = "list", .type = BH_OPT_BOOL, .offset = AT(list), .help = "List the workloads and stop"},
    {.name = "help", .type = BH_OPT_BOOL, .offset = AT(help), .help = "Print this and exit"},
    {.name = NULL},
};

#define NAME_(name, says) name " "
#define NAME(...)         NAME_(__VA_ARGS__)

const char bench_text[] = "Starts Bulkhead's device and the peers that this machine has, drives them over "
                          "vhost-user as a guest's driver does, "
                          "in turn, and shows for each what it carries, how long a request takes and what it "
                          "costs. Nothing is left running.\n\n"
                          "A back-end is pinned to one CPU and the driver to another where there are two. "
                          "Samples that others disturb are taken "
                          "again; a difference that is smaller than the samples' spread is called none.\n\n"
                          "Workloads, which `bulkhead bench --list` explains: " BENCH_WORKLOADS(
                              NAME) "\n\n"
                                    "Exit status: 0, all was measured; 1, Bulkhead's own device could not "
                                    "be, in some case; 2, the command line is wrong; "
                                    "130, interrupted: what was measured so far is shown.";

const char bench_names[] = BENCH_WORKLOADS(NAME);
