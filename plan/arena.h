/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An arena: memory that is freed all at once. A tree, a draft and a plan are thousands of small strings and arrays
 * that live and die together; each of them has one arena instead of one free() per string.
 *
 * Threading: one thread at a time per arena.   Ownership: what is allocated lives until bh_arena_fini().
 * May block: no.
 */
#ifndef PLAN_ARENA_H
#define PLAN_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct bh_arena_chunk;

struct bh_arena {
    struct bh_arena_chunk *chunks; /* newest first; zero-initialised: an empty arena */
};

void bh_arena_fini(struct bh_arena *arena);

/* Zeroed and aligned for any type; NULL when memory ran out or count * size overflows. Zero bytes give a pointer. */
void *bh_arena_alloc(struct bh_arena *arena, size_t count, size_t size);

/* Copies and formatted text; NULL when memory ran out. */
char *bh_arena_copy(struct bh_arena *arena, const char *text, size_t length);
char *bh_arena_string(struct bh_arena *arena, const char *text);
char *bh_arena_format(struct bh_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *bh_arena_vformat(struct bh_arena *arena, const char *format, va_list args);

#endif
