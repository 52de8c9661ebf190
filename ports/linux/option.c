/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Option tables: defaults, setting a value from text, and the command line. How a table is shown is option_help.c.
 */
#include <bulkhead/impl/option.h>

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *value_of(const struct bh_option *option, void *target)
{
    return (char *)target + option->offset;
}

/* Decimal or 0x, digits only: strtoull alone would take signs and blanks. */
static int parse_number(const char *text, uint64_t *value, const char **end)
{
    char *stop;
    if (!isdigit((unsigned char)text[0]))
        return BH_ERR_INVAL;
    errno = 0;
    *value = strtoull(text, &stop, text[0] == '0' && (text[1] == 'x' || text[1] == 'X') ? 16 : 10);
    *end = stop;
    return errno == ERANGE ? BH_ERR_RANGE : BH_OK;
}

static int parse_bool(const char *text, bool *value)
{
    static const char *const yes[] = {"on", "true", "yes", "1"}, *const no[] = {"off", "false", "no", "0"};
    for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
        if (!strcmp(text, yes[i]) || !strcmp(text, no[i])) {
            *value = !strcmp(text, yes[i]);
            return BH_OK;
        }
    }
    return BH_ERR_INVAL;
}

static int parse_uint(const struct bh_option *option, const char *text, uint64_t *value)
{
    const char *end;
    int err = parse_number(text, value, &end);
    if (err)
        return err;
    if (option->type == BH_OPT_SIZE && *end) {
        static const char suffixes[] = "KMGT";
        const char *suffix = strchr(suffixes, toupper((unsigned char)*end));
        const unsigned shift = suffix ? 10 * (unsigned)(suffix - suffixes + 1) : 0;
        if (!suffix)
            return BH_ERR_INVAL;
        if (*value >> (64 - shift))
            return BH_ERR_RANGE;
        *value <<= shift;
        end++;
        if (!strcmp(end, "iB") || !strcmp(end, "B"))
            end += strlen(end);
    }
    if (*end)
        return BH_ERR_INVAL;
    return *value < option->min || (option->max && *value > option->max) ? BH_ERR_RANGE : BH_OK;
}

static int parse_mac(const char *text, uint8_t mac[6])
{
    unsigned byte[6];
    int used = 0;
    for (const char *c = text; *c; c++)
        if (!isxdigit((unsigned char)*c) && *c != ':')
            return BH_ERR_INVAL;
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5],
               &used) != 6 ||
        text[used])
        return BH_ERR_INVAL;
    for (int i = 0; i < 6; i++)
        mac[i] = (uint8_t)byte[i];
    return BH_OK;
}

static int append(struct bh_option_list *list, const char *text)
{
    char **grown = realloc(list->items, (list->count + 1) * sizeof(*grown));
    if (!grown)
        return BH_ERR_NOMEM;
    list->items = grown;
    grown[list->count] = strdup(text);
    if (!grown[list->count])
        return BH_ERR_NOMEM;
    list->count++;
    return BH_OK;
}

static int parse_value(const struct bh_option *option, void *target, const char *text)
{
    void *at = value_of(option, target);
    uint64_t number = 0;
    int err;
    switch (option->type) {
    case BH_OPT_BOOL: return parse_bool(text, at);
    case BH_OPT_UINT:
    case BH_OPT_SIZE:
        err = parse_uint(option, text, &number);
        if (!err)
            memcpy(at, &number, sizeof(number));
        return err;
    case BH_OPT_STRING:
    case BH_OPT_PATH: {
        if (option->type == BH_OPT_PATH && !*text)
            return BH_ERR_INVAL; /* no path is empty: a variable of the shell was */
        char *copy = strdup(text);
        if (!copy)
            return BH_ERR_NOMEM;
        free(*(char **)at);
        *(char **)at = copy;
        return BH_OK;
    }
    case BH_OPT_ENUM:
        for (int i = 0; option->values[i]; i++) {
            if (!strcmp(option->values[i], text)) {
                *(int *)at = i;
                return BH_OK;
            }
        }
        return BH_ERR_INVAL;
    case BH_OPT_MAC: return parse_mac(text, at);
    case BH_OPT_LIST: return append(at, text);
    }
    return BH_ERR_INVAL;
}

int bh_options_init(const struct bh_option *table, void *target)
{
    for (const struct bh_option *option = table; option->name; option++) {
        int err = option->def ? parse_value(option, target, option->def) : BH_OK;
        if (err)
            return err;
    }
    return BH_OK;
}

void bh_options_fini(const struct bh_option *table, void *target)
{
    for (const struct bh_option *option = table; option->name; option++) {
        if (option->type == BH_OPT_STRING || option->type == BH_OPT_PATH) {
            char **text = value_of(option, target);
            free(*text);
            *text = NULL;
        } else if (option->type == BH_OPT_LIST) {
            struct bh_option_list *list = value_of(option, target);
            for (size_t i = 0; i < list->count; i++)
                free(list->items[i]);
            free(list->items);
            *list = (struct bh_option_list){NULL, 0};
        }
    }
}

const struct bh_option *bh_option_find(const struct bh_option *table, const char *name)
{
    for (const struct bh_option *option = table; option->name; option++)
        if (!strcmp(option->name, name))
            return option;
    return NULL;
}

/* --- messages -------------------------------------------------------------------------------------------- */

enum { HINT_MAX = 512, NAMES_MAX = 256 };

static void unknown(const struct bh_option_set *sets, const char *name, bool dashes,
                    struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    const char *names[NAMES_MAX];
    const char *near;
    char hint[HINT_MAX];
    size_t count = 0;
    for (const struct bh_option_set *set = sets; set->table; set++)
        for (const struct bh_option *option = set->table; option->name && count < NAMES_MAX; option++)
            names[count++] = option->name;
    near = bh_did_you_mean(name, names, count);
    snprintf(hint, sizeof(hint), "did you mean %s%s?", dashes ? "--" : "", near ? near : "");
    bh_error(sink, where,
             near     ? hint
             : dashes ? "see --help"
                      : NULL,
             "no option '%s%s'", dashes ? "--" : "", name);
}

/* What the option takes, in words, for the hint under a refused value. */
static void describe_values(const struct bh_option *option, char *text, size_t size)
{
    size_t used = 0;
    switch (option->type) {
    case BH_OPT_BOOL: snprintf(text, size, "it takes on or off"); return;
    case BH_OPT_UINT:
    case BH_OPT_SIZE:
        if (option->max)
            snprintf(text, size, "it takes a number from %llu to %llu%s%s", (unsigned long long)option->min,
                     (unsigned long long)option->max, option->unit ? " " : "",
                     option->unit ? option->unit : "");
        else
            snprintf(text, size, "it takes a number%s%s%s, %llu or more", option->unit ? " of " : "",
                     option->unit ? option->unit : "",
                     option->type == BH_OPT_SIZE ? " (suffixes K, M, G, T)" : "",
                     (unsigned long long)option->min);
        return;
    case BH_OPT_ENUM:
        used = (size_t)snprintf(text, size, "it takes one of:");
        for (int i = 0; option->values[i] && used < size; i++)
            used += (size_t)snprintf(text + used, size - used, " %s", option->values[i]);
        return;
    case BH_OPT_MAC: snprintf(text, size, "it takes six bytes in hexadecimal, as 52:54:00:12:34:56"); return;
    case BH_OPT_PATH: snprintf(text, size, "it takes a path"); return;
    case BH_OPT_STRING:
    case BH_OPT_LIST: break;
    }
    snprintf(text, size, "it takes a text");
}

static int set_option(const struct bh_option *option, void *target, const char *value, bool dashes,
                      struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    char hint[HINT_MAX];
    int err = option->check ? option->check(value, sink, where) : BH_OK;
    if (err)
        return err;
    err = parse_value(option, target, value);
    if (!err)
        return BH_OK;
    describe_values(option, hint, sizeof(hint));
    bh_error(sink, where, hint, "%s%s: '%s' is %s", dashes ? "--" : "", option->name, value,
             err == BH_ERR_RANGE   ? "out of range"
             : err == BH_ERR_NOMEM ? "too much for memory"
                                   : "not allowed");
    return err;
}

int bh_option_set(const struct bh_option *table, void *target, const char *name, const char *value,
                  struct bh_diag_sink *sink, const struct bh_diag_where *where)
{
    const struct bh_option_set sets[] = {{.table = table}, {.table = NULL}};
    const struct bh_option *option = bh_option_find(table, name);
    if (!option) {
        unknown(sets, name, false, sink, where);
        return BH_ERR_NOENT;
    }
    return set_option(option, target, value, false, sink, where);
}

/* --- the command line ------------------------------------------------------------------------------------ */

struct found {
    const struct bh_option *option;
    void *target;
    size_t index; /* among all options of all sets */
};

static bool find(const struct bh_option_set *sets, const char *name, struct found *found)
{
    size_t index = 0;
    for (const struct bh_option_set *set = sets; set->table; set++) {
        for (const struct bh_option *option = set->table; option->name; option++, index++) {
            if (!strcmp(option->name, name)) {
                *found = (struct found){option, set->target, index};
                return true;
            }
        }
    }
    return false;
}

/* One "--word"; `argv[*at]` is it, and *at moves past its value when that is the next word. */
static int parse_word(const struct bh_option_set *sets, int argc, char **argv, int *at, bool *given,
                      struct bh_diag_sink *sink)
{
    const char *word = argv[*at] + 2;
    const char *equals = strchr(word, '=');
    const char *value = equals ? equals + 1 : NULL;
    const size_t length = equals ? (size_t)(equals - word) : strlen(word);
    char name[64];
    struct found found;
    if (length >= sizeof(name)) {
        bh_error(sink, NULL, "see --help", "no option '%.60s...'", argv[*at]);
        return BH_ERR_NOENT;
    }
    memcpy(name, word, length);
    name[length] = '\0';
    if (!find(sets, name, &found)) {
        if (!value && !strncmp(name, "no-", 3) && find(sets, name + 3, &found) &&
            found.option->type == BH_OPT_BOOL) {
            given[found.index] = true;
            return set_option(found.option, found.target, "off", true, sink, NULL);
        }
        unknown(sets, name, true, sink, NULL);
        return BH_ERR_NOENT;
    }
    given[found.index] = true;
    if (!value && found.option->type == BH_OPT_BOOL)
        value = "on";
    if (!value) {
        if (*at + 1 >= argc) {
            char hint[HINT_MAX];
            describe_values(found.option, hint, sizeof(hint));
            bh_error(sink, NULL, hint, "--%s needs a value", name);
            return BH_ERR_INVAL;
        }
        value = argv[++*at];
    }
    return set_option(found.option, found.target, value, true, sink, NULL);
}

static int check_required(const struct bh_option_set *sets, const bool *given, struct bh_diag_sink *sink)
{
    size_t index = 0;
    for (const struct bh_option_set *set = sets; set->table; set++) {
        for (const struct bh_option *option = set->table; option->name; option++, index++) {
            if (option->required && !given[index]) {
                bh_error(sink, NULL, option->help, "--%s is missing", option->name);
                return BH_ERR_INVAL;
            }
        }
    }
    return BH_OK;
}

int bh_options_parse(const struct bh_option_set *sets, int argc, char **argv, int *next,
                     struct bh_diag_sink *sink)
{
    size_t count = 0;
    bool *given;
    int at, err = BH_OK;
    for (const struct bh_option_set *set = sets; set->table; set++)
        for (const struct bh_option *option = set->table; option->name; option++)
            count++;
    given = calloc(count + 1, sizeof(*given));
    if (!given)
        return BH_ERR_NOMEM;
    for (at = 1; at < argc && !err && !strncmp(argv[at], "--", 2); at++) {
        if (!argv[at][2]) {
            at++;
            break;
        }
        err = parse_word(sets, argc, argv, &at, given, sink);
    }
    *next = at;
    if (!err)
        err = check_required(sets, given, sink);
    free(given);
    return err;
}
