/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options: what a class, a transport, an engine or a verb lets its user set, declared once. The command line
 * (`--name=value`, `--name` for a bool), `--help`, the man page, bash completion, the description's schema
 * (property names are option names), the control socket's JSON and docs/ are all made from the same table.
 *
 * A table is a const array that ends with an entry whose name is NULL; it stands in a hosted file
 * (devices/blk/blk_options.c). Values land in a struct of the owner at the declared offset.
 *
 * Threading: tables are const; a parse touches only its target.
 * Ownership: string values are duplicated into the target and freed by bh_options_fini.   May block: no.
 */
#ifndef BULKHEAD_IMPL_OPTION_H
#define BULKHEAD_IMPL_OPTION_H

#include <bulkhead/err.h>
#include <bulkhead/impl/diag.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bh_option_type {
    BH_OPT_BOOL,   /* bool: "--x", "--x=on|off|true|false|yes|no|1|0"; "--no-x" too */
    BH_OPT_UINT,   /* uint64_t, decimal or 0x hex, between min and max */
    BH_OPT_SIZE,   /* uint64_t bytes; K M G T suffixes are powers of 1024 ("64M") */
    BH_OPT_STRING, /* char * */
    BH_OPT_PATH,   /* char *, a host path; completion offers files */
    BH_OPT_ENUM,   /* int: index into `values` */
    BH_OPT_MAC,    /* uint8_t[6] */
    BH_OPT_LIST,   /* struct bh_option_list: the option may be given again and again */
};

struct bh_option_list {
    char **items;
    size_t count;
};

struct bh_option {
    const char
        *name; /* lower-case words joined by '-', as typed after "--" and as a property of the description */
    size_t offset;             /* of the value in the owner's struct: offsetof() */
    const char *def;           /* the default as a user would type it; NULL: unset (zero, NULL, empty) */
    const char *unit;          /* "bytes", "ms", "requests"; NULL: none */
    const char *const *values; /* BH_OPT_ENUM: its words, NULL-terminated */
    uint64_t min, max;         /* BH_OPT_UINT, BH_OPT_SIZE; max 0: no limit */
    const char *arg;           /* the word for the value in help: "FILE", "N"; NULL: made from the type */
    const char *help;          /* one line, no full stop */
    const char *ref;           /* the spec's or the binding's term, with its section; NULL: ours */
    /*
     * A text's own rules, beyond its type; NULL: none. BH_OK, or what is wrong has been said on `sink`, with `where`
     * (NULL: it stands on a command line).
     */
    int (*check)(const char *value, struct bh_diag_sink *sink, const struct bh_diag_where *where);
    enum bh_option_type type;
    bool required;
    bool cli_only; /* not a property of the description (socket-path, help) */
};

/* Set every default. The struct must be zeroed. Fails only on a table that is wrong, which is a bug:
 * BH_ERR_INVAL. */
int bh_options_init(const struct bh_option *table, void *target) BH_MUST_USE;
void bh_options_fini(const struct bh_option *table, void *target);

/*
 * Set one option from text. An unknown name gets a "did you mean". Errors go to `sink` with `where`.
 * Returns BH_OK, BH_ERR_NOENT (no such option), BH_ERR_INVAL, BH_ERR_RANGE.
 */
int bh_option_set(const struct bh_option *table, void *target, const char *name, const char *value,
                  struct bh_diag_sink *sink, const struct bh_diag_where *where) BH_MUST_USE;

/*
 * Parse `--name=value`, `--name value`, `--name` (bool) from argv[1..]. Stops at the first word that is no
 * option, or after "--"; *next is its index (argc when none is left). Required options are checked.
 * Several tables may be given (a class's, its transport's), each with its target; `sets` ends with a NULL
 * table.
 */
struct bh_option_set {
    const struct bh_option *table;
    void *target;
    const char *title; /* heading in help; NULL: none */
};
int bh_options_parse(const struct bh_option_set *sets, int argc, char **argv, int *next,
                     struct bh_diag_sink *sink) BH_MUST_USE;

/*
 * Text on fd for a person, its words wrapped at the width of the terminal (80 where there is none) and ended by a newline.
 * `at` is the column where it begins, further lines begin at `indent`. An empty line of it stays one, every other newline
 * is a blank.
 */
void bh_help_text(int fd, const char *text, size_t at, size_t indent);
/* The help text of the tables, aligned and wrapped, on fd; as `--help` prints it. */
void bh_options_help(const struct bh_option_set *sets, int fd);
/* The same of a table whose options are words within another one's value: "vlan=10". */
void bh_option_words_help(const struct bh_option *table, int fd);

/* The nearest name to a misspelt one by edit distance, or NULL when none is near. Also for verbs and
 * properties. */
const char *bh_did_you_mean(const char *word, const char *const *names, size_t count);
const struct bh_option *bh_option_find(const struct bh_option *table, const char *name);

#endif
