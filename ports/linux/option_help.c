/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How help is shown to a person: text wrapped at the terminal's width, and an option table aligned in two columns.
 */
#include <bulkhead/impl/option.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { COLUMN = 28, WIDTH = 80, WIDTH_LEAST = 50, WIDTH_MOST = 110, TEXT_MAX = 2048 };

/* Of the terminal, within what can be read; a file or a pipe gets 80. */
static size_t width_of(int fd)
{
    struct winsize size;
    if (ioctl(fd, TIOCGWINSZ, &size) || !size.ws_col)
        return WIDTH;
    return size.ws_col < WIDTH_LEAST ? WIDTH_LEAST : size.ws_col > WIDTH_MOST ? WIDTH_MOST : size.ws_col;
}

void bh_help_text(int fd, const char *text, size_t at, size_t indent)
{
    const size_t width = width_of(fd);
    bool begins = true; /* a line: no blank before the word */
    for (;;) {
        const size_t blanks = strspn(text, " \n");
        if (memchr(text, '\n', blanks) != memrchr(text, '\n', blanks)) {
            dprintf(fd, "\n\n%*s", (int)indent, "");
            at = indent;
            begins = true;
        }
        text += blanks;
        const size_t length = strcspn(text, " \n");
        if (!length)
            break;
        if (!begins && at + 1 + length > width) {
            dprintf(fd, "\n%*s", (int)indent, "");
            at = indent;
            begins = true;
        }
        dprintf(fd, "%s%.*s", begins ? "" : " ", (int)length, text);
        at += length + !begins;
        begins = false;
        text += length;
    }
    dprintf(fd, "\n");
}

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

__attribute__((format(printf, 2, 3))) static void add(char text[TEXT_MAX], const char *format, ...)
{
    const size_t used = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + used, TEXT_MAX - used, format, args);
    va_end(args);
}

static void describe(const struct bh_option *option, char text[TEXT_MAX])
{
    text[0] = '\0';
    add(text, "%s", option->help ? option->help : "");
    if (option->type == BH_OPT_ENUM) {
        for (int i = 0; option->values[i]; i++)
            add(text, "%s%s", i ? ", " : ": ", option->values[i]);
    }
    if (option->unit && option->type != BH_OPT_SIZE)
        add(text, ", in %s", option->unit);
    if (option->def && !(option->type == BH_OPT_BOOL && !strcmp(option->def, "off")))
        add(text, " [%s]", option->def);
    if (option->required)
        add(text, " (required)");
    if (option->type == BH_OPT_LIST)
        add(text, " (may be repeated)");
}

/* `dashes`: as it is typed behind a program's name; else it is a word, "vlan=10". */
static void show_option(const struct bh_option *option, bool dashes, int fd)
{
    const char *arg = arg_word(option);
    char text[TEXT_MAX];
    int used = dprintf(fd, "  %s%s%s%s", dashes ? "--" : "", option->name, arg ? "=" : "", arg ? arg : "");
    if (used < 0)
        return;
    if (used >= COLUMN - 1)
        dprintf(fd, "\n%*s", COLUMN, "");
    else
        dprintf(fd, "%*s", COLUMN - used, "");
    describe(option, text);
    bh_help_text(fd, text, COLUMN, COLUMN);
}

void bh_options_help(const struct bh_option_set *sets, int fd)
{
    for (const struct bh_option_set *set = sets; set->table; set++) {
        if (!set->table->name)
            continue;
        if (set->title)
            dprintf(fd, "%s%s:\n", set == sets ? "" : "\n", set->title);
        for (const struct bh_option *option = set->table; option->name; option++)
            show_option(option, true, fd);
    }
}

void bh_option_words_help(const struct bh_option *table, int fd)
{
    for (const struct bh_option *word = table; word->name; word++)
        show_option(word, false, fd);
}
