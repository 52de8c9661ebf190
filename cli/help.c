/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead help [VERB]`, and what --help prints. Everything comes from the verbs' tables.
 */
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { VERB_COLUMN = 12 };

static const struct bh_option no_options[] = {{NULL}};

void bh_help_all(int fd)
{
    dprintf(fd, "usage: bulkhead VERB [--option=value...] [WORD...]\n\n");
    bh_help_text(fd, "Runs systems of several operating systems on one machine, from one description.", 0, 0);
    dprintf(fd, "\n");
    for (const struct bh_verb *const *verb = bh_verbs; *verb; verb++) {
        dprintf(fd, "  %-*s", VERB_COLUMN - 2, (*verb)->name);
        bh_help_text(fd, (*verb)->summary, VERB_COLUMN, VERB_COLUMN);
    }
    dprintf(fd, "\n");
    bh_help_text(fd, "`bulkhead VERB --help` shows a verb's options; `bulkhead --version` the version.", 0,
                 0);
}

void bh_help_verb(const struct bh_verb *verb, int fd)
{
    const bool has_options = verb->options && verb->options[0].name;
    char summary[160];
    dprintf(fd, "usage: bulkhead %s%s%s%s\n\n", verb->name, has_options ? " [--option=value...]" : "",
            verb->words[0] ? " " : "", verb->words);
    snprintf(summary, sizeof(summary), "%s.", verb->summary);
    bh_help_text(fd, summary, 0, 0);
    if (verb->text) {
        dprintf(fd, "\n");
        bh_help_text(fd, verb->text, 0, 0);
    }
    for (const struct bh_class_verb *of_class = verb->class ? verb->class->verbs : NULL;
         of_class && of_class->name; of_class++) {
        const struct bh_option_set sets[] = {{of_class->arguments, NULL, NULL}, {NULL, NULL, NULL}};
        const int used = dprintf(fd, "\n%s: ", of_class->name);
        bh_help_text(fd, of_class->summary, used > 0 ? (size_t)used - 1 : 0, 4);
        if (of_class->arguments)
            bh_options_help(sets, fd);
    }
    if (has_options) {
        const struct bh_option_set sets[] = {{verb->options, NULL, "Options"}, {NULL, NULL, NULL}};
        dprintf(fd, "\n");
        bh_options_help(sets, fd);
    }
}

/* A verb that becomes a program: that one knows best. `argv[0]` is the verb, "device" may have a class behind it. */
static int ask_program(const struct bh_verb *verb, int argc, char **argv)
{
    static char option[] = "--help";
    char *words[] = {argv[0], argc > 1 ? argv[1] : option, argc > 1 ? option : NULL, NULL};
    return verb->run(verb, argc > 1 ? 3 : 2, words);
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    if (argc < 2) {
        bh_help_all(STDOUT_FILENO);
        return BH_EXIT_OK;
    }
    const struct bh_verb *subject = bh_verb_find(argv[1]);
    if (!subject)
        return bh_verb_unknown(argv[1]);
    if (!subject->options)
        return ask_program(subject, argc - 1, argv + 1);
    if (argc > 2) {
        bh_error(NULL, NULL, "see `bulkhead help help`", "help: one word too many: \"%s\"", argv[2]);
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
