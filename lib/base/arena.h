/* A bump allocator: many small things with one end of life. Freed or reset as a whole; never returns NULL (an
 * allocation that the system refuses ends the process, as no caller could do better). */
#pragma once

#include "macro.h"

typedef struct Arena Arena;

Arena *arena_new(void);
void arena_free(Arena *arena); /* accepts NULL */
static inline void arena_freep(Arena **p)
{
    arena_free(*p);
}

/* Forget everything allocated, keep at most 4 MiB for reuse. */
void arena_reset(Arena *arena);

/* @size bytes, aligned for any type, not cleared. */
void *arena_alloc(Arena *arena, size_t size);
/* @n * @size cleared bytes; a product that overflows ends the process. */
void *arena_calloc(Arena *arena, size_t n, size_t size);
/* A copy of @size bytes with a NUL behind them. */
char *arena_memdup(Arena *arena, const void *data, size_t size);
char *arena_printf(Arena *arena, const char *fmt, ...) printf_like(2, 3);

/* Bytes handed out since the last reset. */
size_t arena_used_bytes(const Arena *arena);
