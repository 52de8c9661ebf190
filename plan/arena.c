/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arena behind trees, drafts and plans.
 *
 * Theory of operation: memory is cut from chunks of at least CHUNK bytes. A request that does not fit the newest
 * chunk opens another; a large one gets a chunk of its own behind the newest, so that the newest's rest stays in
 * use. Nothing is ever returned singly.
 */
#include "plan/arena.h"
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK 16384

struct bh_arena_chunk {
    struct bh_arena_chunk *next;
    size_t size, used;
    alignas(max_align_t) char data[];
};

void bh_arena_fini(struct bh_arena *arena)
{
    while (arena->chunks != NULL) {
        struct bh_arena_chunk *next = arena->chunks->next;

        free(arena->chunks);
        arena->chunks = next;
    }
}

static struct bh_arena_chunk *open_chunk(struct bh_arena *arena, size_t bytes)
{
    size_t size = bytes > CHUNK ? bytes : CHUNK;
    struct bh_arena_chunk *chunk;

    if (size > SIZE_MAX - sizeof(*chunk))
        return NULL;
    chunk = calloc(1, sizeof(*chunk) + size);
    if (chunk == NULL)
        return NULL;
    chunk->size = size;
    if (bytes > CHUNK && arena->chunks != NULL) {
        chunk->next = arena->chunks->next;
        arena->chunks->next = chunk;
    } else {
        chunk->next = arena->chunks;
        arena->chunks = chunk;
    }
    return chunk;
}

void *bh_arena_alloc(struct bh_arena *arena, size_t count, size_t size)
{
    struct bh_arena_chunk *chunk = arena->chunks;
    size_t bytes;
    void *memory;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - alignof(max_align_t))
        return NULL;
    bytes = (bytes + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    if (chunk == NULL || chunk->size - chunk->used < bytes)
        chunk = open_chunk(arena, bytes);
    if (chunk == NULL)
        return NULL;
    memory = chunk->data + chunk->used;
    chunk->used += bytes;
    return memory;
}

char *bh_arena_copy(struct bh_arena *arena, const char *text, size_t length)
{
    char *copy = length < SIZE_MAX ? bh_arena_alloc(arena, 1, length + 1) : NULL;

    if (copy != NULL)
        memcpy(copy, text, length);
    return copy;
}

char *bh_arena_string(struct bh_arena *arena, const char *text)
{
    return bh_arena_copy(arena, text, strlen(text));
}

char *bh_arena_vformat(struct bh_arena *arena, const char *format, va_list args)
{
    va_list again;
    int length;
    char *text;

    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0)
        return NULL;
    text = bh_arena_alloc(arena, 1, (size_t)length + 1);
    if (text != NULL)
        (void)vsnprintf(text, (size_t)length + 1, format, args);
    return text;
}

char *bh_arena_format(struct bh_arena *arena, const char *format, ...)
{
    va_list args;
    char *text;

    va_start(args, format);
    text = bh_arena_vformat(arena, format, args);
    va_end(args);
    return text;
}
