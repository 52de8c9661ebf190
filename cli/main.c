/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `bulkhead` command: finds the verb and runs it. It has no logic of its own.
 */
#include "cli/verb.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* "--help" anywhere before "--": nobody who types it wants the verb to run. */
static bool help_asked(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static struct bh_diag_text text; /* the process's, as long as it lives */
    bh_diag_text_init(&text, STDERR_FILENO, "bulkhead");
    bh_diag_set_default(&text.sink);
    signal(SIGPIPE, SIG_IGN); /* a reader that goes away is a failed write */

    if (argc < 2) {
        bh_help_all(STDERR_FILENO);
        return BH_EXIT_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        bh_help_all(STDOUT_FILENO);
        return BH_EXIT_OK;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        printf("bulkhead %s\n", BH_VERSION);
        return BH_EXIT_OK;
    }
    const struct bh_verb *verb = bh_verb_find(argv[1]);
    if (!verb)
        return bh_verb_unknown(argv[1]);
    if (verb->options && help_asked(argc - 1, argv + 1)) {
        bh_help_verb(verb, STDOUT_FILENO);
        return BH_EXIT_OK;
    }
    return verb->run(verb, argc - 1, argv + 1);
}
