/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a verb of the `bulkhead` command is, and what every verb needs: its words from the command line, and the
 * exit codes that scripts may count on. One file a verb (cli/up.c, ...), one line a verb in cli/verbs.c; main.c
 * knows none of them. Help, man page and completion are made from these tables.
 *
 * Threading: one thread.   Ownership: tables are const; words point into argv.   May block: as the verb does.
 */
#ifndef CLI_VERB_H
#define CLI_VERB_H

#include <bulkhead/err.h>
#include <bulkhead/impl/hosted_class.h>
#include <bulkhead/impl/option.h>

/* Exit codes of `bulkhead`; the man page has them too. */
enum bh_exit {
    BH_EXIT_OK = 0,
    BH_EXIT_FAILED = 1, /* what was asked for did not come about: a check failed, a domain did not start */
    BH_EXIT_USAGE = 2,  /* the command line is wrong */
    BH_EXIT_NOT_RUNNING = 3, /* no such system is running, or it has no such domain or device */
    BH_EXIT_MISSING = 4,     /* this machine lacks a program that is needed (a QEMU, a class's program) */
    BH_EXIT_INTERRUPTED = 130
};

struct bh_verb {
    const char *name;
    const char *words;   /* what follows the options in the usage line: "SYSTEM.dts"; "" for nothing */
    const char *summary; /* one line, no full stop */
    const char *text;    /* paragraphs of the man page, separated by an empty line */
    const struct bh_option *options; /* NULL: the verb takes its words as they are (device) */
    const struct bh_hosted_class
        *class; /* NULL: it is no class's; else what follows is one of the class's verbs */
    int (*run)(const struct bh_verb *verb, int argc,
               char **argv); /* argv[0] is the verb; returns enum bh_exit */
};

/* Every verb, in the order of the help; ends with NULL. */
extern const struct bh_verb *const bh_verbs[];

/* NULL when there is none of that name. */
const struct bh_verb *bh_verb_find(const char *name);
/* Says that there is none, and which one may have been meant. Returns BH_EXIT_USAGE. */
int bh_verb_unknown(const char *word);

/*
 * Read a verb's options into `target` (a zeroed struct) and its other words, which may stand between the options,
 * into `words`. BH_OK; else the error has been said and `target` is released; BH_ERR_RANGE: too few or too many
 * words.
 */
int bh_verb_parse(const struct bh_verb *verb, int argc, char **argv, void *target, const char **words,
                  size_t least, size_t most, size_t *word_count) BH_MUST_USE;

/*
 * Become the program bulkhead-NAME with `argv`, whose first word it ignores. Returns only when it cannot: BH_EXIT_MISSING,
 * and why has been said.
 */
int bh_verb_become(const char *name, char **argv);

/* The general help, or a verb's, on fd. */
void bh_help_all(int fd);
void bh_help_verb(const struct bh_verb *verb, int fd);

#endif
