/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Diagnostics on Linux: the text sink, the process's default sink, and the limit on what a peer can make us say.
 *
 * #syscalls ioctl
 */
#include <bulkhead/impl/diag.h>

#include <bulkhead/impl/loop.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_MAX_BYTES = 4096, WHAT_MAX_BYTES = 2048 };

/* A line is built in memory and written with one call, so that lines of several threads do not mix. */
struct line {
    char text[LINE_MAX_BYTES];
    size_t used;
};

__attribute__((format(printf, 2, 3))) static void add(struct line *line, const char *format, ...)
{
    const size_t room = sizeof(line->text) - line->used;
    va_list args;
    int put;
    va_start(args, format);
    put = vsnprintf(line->text + line->used, room, format, args);
    va_end(args);
    if (put > 0)
        line->used += (size_t)put < room ? (size_t)put : room - 1;
}

static void add_where(struct line *line, const struct bh_diag_where *where)
{
    if (where->file) {
        add(line, "%s", where->file);
        if (where->line)
            add(line, ":%u", where->line);
        if (where->line && where->column)
            add(line, ":%u", where->column);
        add(line, ": ");
    }
    if (where->node)
        add(line, "%s: ", where->node);
}

static void write_line(int fd, const struct line *line)
{
    size_t done = 0;
    while (done < line->used) {
        ssize_t put = write(fd, line->text + done, line->used - done);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return; /* there is nobody left to tell */
        done += (size_t)put;
    }
}

static void text_emit(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    static const char *const words[] = {"error", "warning", "note", "debug"};
    static const char *const colours[] = {"\033[1;31m", "\033[1;35m", "\033[1;36m", "\033[2m"};
    struct bh_diag_text *text = (struct bh_diag_text *)(void *)sink;
    const int saved = errno;
    struct line line;
    line.used = 0;
    if (diag->level > text->most)
        return;
    if (text->tag)
        add(&line, "%s: ", text->tag);
    add_where(&line, &diag->where);
    /* A plain note on no place needs no word before it: it is what the program has to say. */
    if (diag->level != BH_DIAG_NOTE || diag->where.file || diag->where.node)
        add(&line, "%s%s:%s ", text->colour ? colours[diag->level] : "", words[diag->level],
            text->colour ? "\033[0m" : "");
    add(&line, "%s\n", diag->what);
    if (diag->other.file || diag->other.node) {
        add(&line, "    ");
        add_where(&line, &diag->other);
        add(&line, "the other one is here\n");
    }
    if (diag->hint)
        add(&line, "    hint: %s\n", diag->hint);
    if (line.used == sizeof(line.text) - 1)
        line.text[line.used - 1] = '\n';
    write_line(text->fd, &line);
    errno = saved;
}

void bh_diag_text_init(struct bh_diag_text *text, int fd, const char *tag)
{
    const char *no_colour = getenv("NO_COLOR");
    *text = (struct bh_diag_text){
        .sink.emit = text_emit,
        .fd = fd,
        .colour = isatty(fd) && !(no_colour && *no_colour),
        .tag = tag,
        .most = BH_DIAG_NOTE,
    };
}

static struct bh_diag_text stderr_text = {.sink.emit = text_emit, .fd = 2, .most = BH_DIAG_NOTE};
static struct bh_diag_sink *default_sink = &stderr_text.sink;

struct bh_diag_sink *bh_diag_default(void)
{
    return default_sink;
}

void bh_diag_set_default(struct bh_diag_sink *sink)
{
    default_sink = sink ? sink : &stderr_text.sink;
}

void bh_diag_emit(struct bh_diag_sink *sink, const struct bh_diag *diag)
{
    if (!sink)
        sink = default_sink;
    /* Counted with an atomic: a sink may be shared by threads; the count orders nothing, so relaxed. */
    if (diag->level == BH_DIAG_ERROR)
        __atomic_fetch_add(&sink->error_count, 1, __ATOMIC_RELAXED);
    else if (diag->level == BH_DIAG_WARNING)
        __atomic_fetch_add(&sink->warning_count, 1, __ATOMIC_RELAXED);
    sink->emit(sink, diag);
}

static void emit_format(struct bh_diag_sink *sink, enum bh_diag_level level,
                        const struct bh_diag_where *where, const char *hint, const char *format, va_list args)
{
    char what[WHAT_MAX_BYTES];
    struct bh_diag diag = {.level = level, .what = what, .hint = hint};
    vsnprintf(what, sizeof(what), format, args);
    if (where)
        diag.where = *where;
    bh_diag_emit(sink, &diag);
}

void bh_error(struct bh_diag_sink *sink, const struct bh_diag_where *where, const char *hint,
              const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit_format(sink, BH_DIAG_ERROR, where, hint, format, args);
    va_end(args);
}

void bh_warn(struct bh_diag_sink *sink, const struct bh_diag_where *where, const char *hint,
             const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit_format(sink, BH_DIAG_WARNING, where, hint, format, args);
    va_end(args);
}

void bh_note(struct bh_diag_sink *sink, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit_format(sink, BH_DIAG_NOTE, NULL, NULL, format, args);
    va_end(args);
}

void bh_debug(struct bh_diag_sink *sink, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    emit_format(sink, BH_DIAG_DEBUG, NULL, NULL, format, args);
    va_end(args);
}

int bh_diag_allowed(struct bh_diag_limit *limit, unsigned *held_before)
{
    const unsigned long long now_ms = bh_loop_now() / 1000000u;
    if (!limit->used || now_ms - limit->since_ms >= limit->period_ms) {
        limit->since_ms = now_ms;
        limit->used = 0;
    }
    if (limit->used >= limit->burst) {
        limit->held++;
        return 0;
    }
    limit->used++;
    if (held_before)
        *held_before = limit->held;
    limit->held = 0;
    return 1;
}
