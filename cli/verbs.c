/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every verb of `bulkhead`, in the order of the help: adding one is a file and two lines here. The generators of
 * man page and completion read the same table.
 */
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

enum { VERBS_MAX = 64 };

extern const struct bh_verb bh_verb_check, bh_verb_plan;
extern const struct bh_verb bh_verb_up, bh_verb_ps, bh_verb_console, bh_verb_logs, bh_verb_stat,
    bh_verb_restart, bh_verb_down;
extern const struct bh_verb bh_verb_blk, bh_verb_net, bh_verb_device, bh_verb_conform, bh_verb_bench,
    bh_verb_help;

const struct bh_verb *const bh_verbs[] = {
    &bh_verb_check,   &bh_verb_plan,    &bh_verb_up,   &bh_verb_ps,  &bh_verb_console, &bh_verb_logs,
    &bh_verb_stat,    &bh_verb_restart, &bh_verb_down, &bh_verb_blk, &bh_verb_net,     &bh_verb_device,
    &bh_verb_conform, &bh_verb_bench,   &bh_verb_help, NULL,
};

const struct bh_verb *bh_verb_find(const char *name)
{
    for (const struct bh_verb *const *verb = bh_verbs; *verb; verb++)
        if (!strcmp((*verb)->name, name))
            return *verb;
    return NULL;
}

int bh_verb_unknown(const char *word)
{
    const char *names[VERBS_MAX + 2] = {"--help", "--version"};
    const bool is_option = word[0] == '-';
    char hint[96];
    size_t count = 2;
    for (size_t i = 0; bh_verbs[i] && i < VERBS_MAX; i++)
        names[count++] = bh_verbs[i]->name;
    const char *near = bh_did_you_mean(word, names, count);
    if (near)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    else
        snprintf(hint, sizeof(hint),
                 is_option ? "options stand behind the verb; `bulkhead help` lists the verbs"
                           : "`bulkhead help` lists the verbs");
    if (is_option)
        bh_error(NULL, NULL, hint, "there is no option \"%s\" without a verb", word);
    else
        bh_error(NULL, NULL, hint, "there is no verb \"%s\"", word);
    return BH_EXIT_USAGE;
}
