/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A verb's command line: options and words in any order, as people type them. The option tables' own parser stops
 * at the first word; this one goes on behind it.
 */
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

enum { OPTIONS_MAX = 64 };

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

/* "-j": no word that anybody means, unless it stands behind "--". */
static int dash_error(const struct bh_verb *verb, const char *word)
{
    const char *names[OPTIONS_MAX] = {NULL};
    char hint[96];
    size_t count = 0;
    for (const struct bh_option *option = verb->options; option->name && count < OPTIONS_MAX; option++)
        names[count++] = option->name;
    const char *near = bh_did_you_mean(word + 1, names, count);
    for (size_t i = 0; !near && i < count; i++)
        near = names[i][0] == word[1] && !word[2] ? names[i] : NULL;
    if (near)
        snprintf(hint, sizeof(hint), "did you mean --%s?", near);
    else
        snprintf(hint, sizeof(hint), "options begin with --; see `bulkhead help %s`", verb->name);
    bh_error(NULL, NULL, hint, "no option '%s'", word);
    return BH_ERR_NOENT;
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
        const char *word = argv[at + next];
        if (word[0] == '-' && word[1] && (next < 2 || strcmp(argv[at + next - 1], "--") != 0))
            err = dash_error(verb, word);
        else if (count == most)
            err = count_error(verb, least, true, word);
        else
            words[count++] = word;
    }
    if (!err && count < least)
        err = count_error(verb, least, false, NULL);
    if (err)
        bh_options_fini(verb->options, target);
    *word_count = count;
    return err;
}
