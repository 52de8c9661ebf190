/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics: the one channel for what a person must read. A diagnostic says what is wrong, where, and what
 * to do. Hosted code only; freestanding code counts and returns codes, and its hosted owner says what they
 * mean.
 *
 * A sink decides the form: text on stderr (colour only on a terminal), JSON lines, or an array in a test.
 *
 * Threading: one sink may be used from several threads (each call writes one whole line).
 * Ownership: every string is the caller's and is not kept.   May block: as the sink's file does.
 */
#ifndef BULKHEAD_IMPL_DIAG_H
#define BULKHEAD_IMPL_DIAG_H

#include <stdarg.h>
#include <stddef.h>

enum bh_diag_level { BH_DIAG_ERROR, BH_DIAG_WARNING, BH_DIAG_NOTE, BH_DIAG_DEBUG };

struct bh_diag_where {
    const char *file; /* may be NULL: the command line, a socket, a device */
    unsigned line;    /* 0: unknown */
    unsigned column;  /* 0: unknown */
    const char *node; /* device-tree path, device or domain name; may be NULL */
};

struct bh_diag {
    enum bh_diag_level level;
    struct bh_diag_where where;
    struct bh_diag_where
        other;        /* the second culprit of a collision; .file and .node NULL when there is none */
    const char *what; /* one sentence, no full stop, no newline */
    const char *hint; /* what to do; may be NULL */
};

struct bh_diag_sink {
    void (*emit)(struct bh_diag_sink *sink, const struct bh_diag *diag);
    unsigned error_count; /* errors emitted so far */
    unsigned warning_count;
};

/* Text on a file descriptor: "FILE:LINE: error: WHAT" and an indented hint. `tag` (may be NULL) opens each
 * line. */
struct bh_diag_text {
    struct bh_diag_sink sink;
    int fd;
    int colour; /* set by init from isatty() and NO_COLOR */
    const char *tag;
    enum bh_diag_level most; /* the least serious level that is shown; init sets NOTE */
};
void bh_diag_text_init(struct bh_diag_text *text, int fd, const char *tag);

/* The process's default sink; until set, text on stderr. Set it once, before threads start. */
struct bh_diag_sink *bh_diag_default(void);
void bh_diag_set_default(struct bh_diag_sink *sink);

void bh_diag_emit(struct bh_diag_sink *sink, const struct bh_diag *diag);

/* Short forms on a sink (NULL: the default one). `where` may be NULL. */
void bh_error(struct bh_diag_sink *sink, const struct bh_diag_where *where, const char *hint,
              const char *format, ...) __attribute__((format(printf, 4, 5)));
void bh_warn(struct bh_diag_sink *sink, const struct bh_diag_where *where, const char *hint,
             const char *format, ...) __attribute__((format(printf, 4, 5)));
void bh_note(struct bh_diag_sink *sink, const char *format, ...) __attribute__((format(printf, 2, 3)));
void bh_debug(struct bh_diag_sink *sink, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * What a guest or peer can make us say is rate-limited: true when this message may go out (at most `burst` in
 * `period_ms`), else it is counted; the next one let through reports how many were held back.
 */
struct bh_diag_limit {
    unsigned burst, period_ms;
    unsigned used, held;
    unsigned long long since_ms;
};
int bh_diag_allowed(struct bh_diag_limit *limit, unsigned *held_before);

#endif
