/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How an option table is shown to a person: the aligned text of --help.
 */
#include <bulkhead/impl/option.h>

#include <stdio.h>
#include <string.h>

enum { COLUMN = 30 };

static const char *arg_word(const struct bh_option *option)
{
    if (option->arg)
        return option->arg;
    switch (option->type) {
    case BH_OPT_BOOL: return NULL;
    case BH_OPT_UINT: return "N";
    case BH_OPT_SIZE: return "SIZE";
    case BH_OPT_PATH: return "PATH";
    case BH_OPT_ENUM: return "WORD";
    case BH_OPT_MAC: return "MAC";
    case BH_OPT_STRING:
    case BH_OPT_LIST: break;
    }
    return "TEXT";
}

static void show_option(const struct bh_option *option, int fd)
{
    const char *arg = arg_word(option);
    int used = dprintf(fd, "  --%s%s%s", option->name, arg ? "=" : "", arg ? arg : "");
    if (used < 0)
        return;
    if (used >= COLUMN - 1)
        dprintf(fd, "\n%*s", COLUMN, "");
    else
        dprintf(fd, "%*s", COLUMN - used, "");
    dprintf(fd, "%s", option->help ? option->help : "");
    if (option->type == BH_OPT_ENUM) {
        for (int i = 0; option->values[i]; i++)
            dprintf(fd, "%s%s", i ? ", " : ": ", option->values[i]);
    }
    if (option->unit && option->type != BH_OPT_SIZE)
        dprintf(fd, ", in %s", option->unit);
    if (option->def && !(option->type == BH_OPT_BOOL && !strcmp(option->def, "off")))
        dprintf(fd, " [%s]", option->def);
    if (option->required)
        dprintf(fd, " (required)");
    if (option->type == BH_OPT_LIST)
        dprintf(fd, " (may be repeated)");
    dprintf(fd, "\n");
}

void bh_options_help(const struct bh_option_set *sets, int fd)
{
    for (const struct bh_option_set *set = sets; set->table; set++) {
        if (!set->table->name)
            continue;
        if (set->title)
            dprintf(fd, "%s%s:\n", set == sets ? "" : "\n", set->title);
        for (const struct bh_option *option = set->table; option->name; option++)
            show_option(option, fd);
    }
}
