/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `bulkhead device CLASS ...`: one device process by itself, for a VMM that somebody else runs. It becomes the
 * class's own program, bulkhead-CLASS, whose options it takes.
 */
#include "cli/plan_classes.h"
#include "cli/verb.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CLASSES_MAX = 64 };

static void show_help(const struct bh_verb *verb, int fd)
{
    bh_help_verb(verb, fd);
    dprintf(fd, "\nClasses:");
    for (const struct bh_plan_class *class = bh_plan_classes; class->name; class ++)
        if (!class->stranger)
            dprintf(fd, " %s", class->name);
    dprintf(fd, "\n\n`bulkhead device CLASS --help` shows a class's options.\n");
}

static int no_such_class(const char *word)
{
    const char *names[CLASSES_MAX] = {NULL};
    char hint[80] = "`bulkhead device --help` lists the classes";
    size_t count = 0;
    for (const struct bh_plan_class *class = bh_plan_classes; class->name && count < CLASSES_MAX; class ++)
        if (!class->stranger)
            names[count++] = class->name;
    const char *near = bh_did_you_mean(word, names, count);
    if (near)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    for (const struct bh_plan_class *class = bh_plan_classes; class->name; class ++)
        if (class->stranger && !strcmp(class->name, word))
            snprintf(hint, sizeof(hint),
                     "another's program serves it: name it in a description (docs/binding.md)");
    if (!strcmp(word, "switch"))
        snprintf(hint, sizeof(hint), "a switch is no device: bulkhead-switch --help tells more");
    if (word[0] == '-') {
        bh_error(NULL, NULL, "the class comes first: bulkhead device CLASS --option...",
                 "\"%s\" is no device class", word);
        return BH_EXIT_USAGE;
    }
    bh_error(NULL, NULL, hint, "there is no device class \"%s\"", word);
    return BH_EXIT_USAGE;
}

static bool is_class(const char *word)
{
    for (const struct bh_plan_class *class = bh_plan_classes; class->name; class ++)
        if (!class->stranger && !strcmp(class->name, word))
            return true;
    return false;
}

static int run(const struct bh_verb *verb, int argc, char **argv)
{
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        show_help(verb, argc < 2 ? STDERR_FILENO : STDOUT_FILENO);
        return argc < 2 ? BH_EXIT_USAGE : BH_EXIT_OK;
    }
    if (!is_class(argv[1]))
        return no_such_class(argv[1]);
    return bh_verb_become(argv[1], argv + 1);
}

const struct bh_verb bh_verb_device = {
    .name = "device",
    .words = "CLASS --socket-path=PATH | --fd=N [--option=value...]",
    .summary = "Serve one device over vhost-user",
    .text = "Becomes the program bulkhead-CLASS, which serves one virtio device to any vhost-user front-end, "
            "by itself: no daemon and\n"
            "no description are needed. Its options are those that the class has in a description.",
    .options = NULL,
    .run = run,
};
