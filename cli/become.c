/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Verbs that are programs of their own: the command turns into them.
 */
#include "cli/verb.h"
#include "daemon/daemon.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int bh_verb_become(const char *name, char **argv)
{
    char program[4096];
    if (bh_program_find(name, program, sizeof(program))) {
        bh_error(NULL, NULL, "install it beside this command, or name its folder by BULKHEAD_LIBEXEC",
                 "there is no program bulkhead-%s", name);
        return BH_EXIT_MISSING;
    }
    execv(program, argv);
    bh_error(NULL, NULL, NULL, "%s cannot be started: %s", program, strerror(errno));
    return BH_EXIT_MISSING;
}
