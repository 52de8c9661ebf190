/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `bulkhead` command: finds the verb and runs it. It has no logic of its own.
 */
#include "cli/verb.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { VERBS_MAX = 64 };

static int no_such_verb(const char *word)
{
    const char *names[VERBS_MAX];
    char hint[80] = "`bulkhead help` lists the verbs";
    size_t count = 0;
    while (bh_verbs[count] && count < VERBS_MAX) {
        names[count] = bh_verbs[count]->name;
        count++;
    }
    const char *near = bh_did_you_mean(word, names, count);
    if (near)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    bh_error(NULL, NULL, hint, "there is no verb \"%s\"", word);
    return BH_EXIT_USAGE;
}

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
    if (!strcmp(argv[1], "--version")) {
        printf("bulkhead %s\n", BH_VERSION);
        return BH_EXIT_OK;
    }
    const struct bh_verb *verb = bh_verb_find(argv[1]);
    if (!verb)
        return no_such_verb(argv[1]);
    if (verb->options && help_asked(argc - 1, argv + 1)) {
        bh_help_verb(verb, STDOUT_FILENO);
        return BH_EXIT_OK;
    }
    return verb->run(verb, argc - 1, argv + 1);
}
