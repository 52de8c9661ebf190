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
    .text = bench_text,
    .options = bench_options,
    .run = run,
};
