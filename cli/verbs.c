/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every verb of `bulkhead`, in the order of the help: adding one is a file and two lines here. The generators of
 * man page and completion read the same table.
 */
#include "cli/verb.h"

#include <string.h>

extern const struct bh_verb bh_verb_check, bh_verb_plan;
extern const struct bh_verb bh_verb_up, bh_verb_ps, bh_verb_console, bh_verb_logs, bh_verb_stat,
    bh_verb_restart, bh_verb_down;
extern const struct bh_verb bh_verb_blk, bh_verb_net, bh_verb_device, bh_verb_conform, bh_verb_help;

const struct bh_verb *const bh_verbs[] = {
    &bh_verb_check, &bh_verb_plan,   &bh_verb_up,      &bh_verb_ps,   &bh_verb_console,
    &bh_verb_logs,  &bh_verb_stat,   &bh_verb_restart, &bh_verb_down, &bh_verb_blk,
    &bh_verb_net,   &bh_verb_device, &bh_verb_conform, &bh_verb_help, NULL,
};

const struct bh_verb *bh_verb_find(const char *name)
{
    for (const struct bh_verb *const *verb = bh_verbs; *verb; verb++)
        if (!strcmp((*verb)->name, name))
            return *verb;
    return NULL;
}
