/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead help [VERB]`, and what --help prints. Everything comes from the verbs' tables.
 */
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct bh_option no_options[] = {{NULL}};

void bh_help_all(int fd)
{
    dprintf(fd, "usage: bulkhead VERB [--option=value...] [WORD...]\n\n"
                "Runs systems of several operating systems on one machine, from one description.\n\n");
    for (const struct bh_verb *const *verb = bh_verbs; *verb; verb++)
        dprintf(fd, "  %-9s %s\n", (*verb)->name, (*verb)->summary);
    dprintf(fd, "\n`bulkhead VERB --help` shows a verb's options; `bulkhead --version` the version.\n");
}

void bh_help_verb(const struct bh_verb *verb, int fd)
{
    const bool has_options = verb->options && verb->options[0].name;
    dprintf(fd, "usage: bulkhead %s%s%s%s\n\n%s.\n", verb->name, has_options ? " [--option=value...]" : "",
            verb->words[0] ? " " : "", verb->words, verb->summary);
    if (verb->text)
        dprintf(fd, "\n%s\n", verb->text);
    for (const struct bh_class_verb *of_class = verb->class ? verb->class->verbs : NULL;
         of_class && of_class->name; of_class++) {
        const struct bh_option_set sets[] = {{of_class->arguments, NULL, NULL}, {NULL, NULL, NULL}};
        dprintf(fd, "\n%s: %s\n", of_class->name, of_class->summary);
        if (of_class->arguments)
            bh_options_help(sets, fd);
    }
    if (has_options) {
        const struct bh_option_set sets[] = {{verb->options, NULL, "Options"}, {NULL, NULL, NULL}};
        dprintf(fd, "\n");
        bh_options_help(sets, fd);
    }
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    if (argc < 2) {
        bh_help_all(STDOUT_FILENO);
        return BH_EXIT_OK;
    }
    const struct bh_verb *subject = bh_verb_find(argv[1]);
    if (!subject) {
        bh_error(NULL, NULL, "`bulkhead help` lists the verbs", "there is no verb \"%s\"", argv[1]);
        return BH_EXIT_USAGE;
    }
    bh_help_verb(subject, STDOUT_FILENO);
    return BH_EXIT_OK;
}

const struct bh_verb bh_verb_help = {
    .name = "help",
    .words = "[VERB]",
    .summary = "Explain a verb, or list them",
    .options = no_options,
    .run = run,
};
