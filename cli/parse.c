/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A verb's command line: options and words in any order, as people type them. The option tables' own parser stops
 * at the first word; this one goes on behind it.
 */
#include "cli/verb.h"

#include <stdio.h>

static int count_error(const struct bh_verb *verb, size_t least, bool too_many, const char *culprit)
{
    char hint[64];
    snprintf(hint, sizeof(hint), "see `bulkhead help %s`", verb->name);
    if (too_many)
        bh_error(NULL, NULL, hint, "%s: one word too many: \"%s\"", verb->name, culprit);
    else
        bh_error(NULL, NULL, hint, "%s needs %s", verb->name, least ? verb->words : "no words");
    return BH_ERR_RANGE;
}

int bh_verb_parse(const struct bh_verb *verb, int argc, char **argv, void *target, const char **words,
                  size_t least, size_t most, size_t *word_count)
{
    const struct bh_option_set sets[] = {{verb->options, target, NULL}, {NULL, NULL, NULL}};
    size_t count = 0;
    int err = bh_options_init(verb->options, target);
    if (err)
        return err;
    for (int at = 0, next; at + 1 < argc && !err; at += next) {
        err = bh_options_parse(sets, argc - at, argv + at, &next, NULL);
        if (err || at + next >= argc)
            break;
        if (count == most)
            err = count_error(verb, least, true, argv[at + next]);
        else
            words[count++] = argv[at + next];
    }
    if (!err && count < least)
        err = count_error(verb, least, false, NULL);
    if (err)
        bh_options_fini(verb->options, target);
    *word_count = count;
    return err;
}
