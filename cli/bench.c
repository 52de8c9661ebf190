/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead bench ...`: measures Bulkhead's devices and their peers. It becomes the program bulkhead-bench, whose
 * options it takes and shows.
 */
#include "bench/options.h"
#include "cli/verb.h"

#include <unistd.h>

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    if (argc < 2) {
        bh_help_verb(verb, STDERR_FILENO);
        return BH_EXIT_USAGE;
    }
    return bh_verb_become("bench", argv);
}

const struct bh_verb bh_verb_bench = {
    .name = "bench",
    .words = "WORKLOAD...|--all",
    .summary = "Measure the devices, and others' beside them",
    .text =
        "Becomes the program bulkhead-bench. It starts Bulkhead's device and the peers that this machine "
        "has, "
        "drives them over vhost-user\n"
        "as a guest's driver does, in turn, and shows for each what it carries, how long a request takes and "
        "what it costs. Nothing is\n"
        "left running. `bulkhead bench --list` shows the workloads.\n"
        "\n"
        "A back-end is pinned to one CPU and the driver to another where there are two. Samples that others "
        "disturb are taken again; a\n"
        "difference that is smaller than the samples' spread is called none.\n"
        "\n"
        "Exit status: 0, all was measured; 1, Bulkhead's own device could not be, in some case; 2, the "
        "command "
        "line is wrong; 130,\n"
        "interrupted: what was measured so far is shown.",
    .options = bench_options,
    .run = run,
};
