/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead conform ...`: judges a vhost-user back-end, anybody's, by what the virtio specification says. It becomes
 * the suite's own program, bulkhead-conform, whose options it takes.
 */
#include "cli/verb.h"

#include <unistd.h>

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    if (argc < 2) {
        bh_help_verb(verb, STDERR_FILENO);
        return BH_EXIT_USAGE;
    }
    return bh_verb_become("conform", argv);
}

const struct bh_verb bh_verb_conform = {
    .name = "conform",
    .words = "--class=CLASS --socket-path=PATH [--option=value...]",
    .summary = "Judge a vhost-user back-end by the virtio specification",
    .text =
        "Becomes the program bulkhead-conform, which drives the back-end that listens on PATH, anybody's, as "
        "a "
        "driver does: in both ring\n"
        "layouts and every feature set, with malformed rings, and with what its class promises. It prints "
        "what "
        "fails and counts the rest.\n"
        "\n"
        "The back-end's image must be one that may be written to. --help shows all options: JSON and JUnit "
        "reports, single cases.\n"
        "\n"
        "Exit status: 0, all cases pass or do not apply; 1, one fails; 2, nothing could be judged.",
    .options = NULL,
    .run = run,
};
