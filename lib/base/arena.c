/* Blocks double from 16 KiB up to 1 MiB; a larger request gets a block of its own. */
#include "arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { BLOCK_FIRST_BYTES = 16 * 1024, BLOCK_MAX_BYTES = 1024 * 1024, KEEP_BYTES = 4 * BLOCK_MAX_BYTES };

typedef struct Block {
    struct Block *next;
    size_t size, used;
    _Alignas(max_align_t) char data[];
} Block;

struct Arena {
    Block *head;
    Block *spare; /* of earlier lives: giving memory back and asking for it again costs more than using it */
    size_t next_bytes, used_bytes;
};

static void *must_alloc(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return p;
}

static Block *block_new(size_t size, Block *next)
{
    Block *b = must_alloc(malloc(sizeof(Block) + size));
    *b = (Block){.next = next, .size = size};
    return b;
}

Arena *arena_new(void)
{
    Arena *a = must_alloc(calloc(1, sizeof(*a)));
    a->next_bytes = BLOCK_FIRST_BYTES;
    return a;
}

static void blocks_free(Block *b)
{
    while (b) {
        Block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_free(Arena *arena)
{
    if (!arena)
        return;
    blocks_free(arena->head);
    blocks_free(arena->spare);
    free(arena);
}

void arena_reset(Arena *arena)
{
    size_t kept = 0;

    for (Block *b = arena->spare; b; b = b->next)
        kept += b->size;
    while (arena->head) {
        Block *b = arena->head;
        arena->head = b->next;
        if (b->size > BLOCK_MAX_BYTES || kept + b->size > KEEP_BYTES) { /* a huge session must not pin its memory */
            free(b);
            continue;
        }
        kept += b->size;
        b->used = 0;
        b->next = arena->spare;
        arena->spare = b;
    }
    arena->used_bytes = 0;
}

/* A spare one, or as large as its turn says. */
static Block *block_for(Arena *arena, size_t need)
{
    Block *b = arena->spare;

    if (b && b->size >= need) {
        arena->spare = b->next;
        b->next = arena->head;
        return b;
    }
    size_t bytes = MAX(need, arena->next_bytes);
    arena->next_bytes = MIN(arena->next_bytes * 2, (size_t)BLOCK_MAX_BYTES);
    return block_new(bytes, arena->head);
}

void *arena_alloc(Arena *arena, size_t size)
{
    size_t need = (size + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
    Block *b = arena->head;

    if (need < size) {
        fputs("out of memory\n", stderr);
        abort();
    }
    if (!b || b->size - b->used < need)
        b = arena->head = block_for(arena, need);
    void *p = b->data + b->used;
    b->used += need;
    arena->used_bytes += need;
    return p;
}

void *arena_calloc(Arena *arena, size_t n, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(n, size, &bytes)) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return memset(arena_alloc(arena, bytes), 0, bytes);
}

char *arena_memdup(Arena *arena, const void *data, size_t size)
{
    char *p = arena_alloc(arena, size + 1);
    if (size)
        memcpy(p, data, size);
    p[size] = '\0';
    return p;
}

char *arena_printf(Arena *arena, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    char *p = arena_alloc(arena, (size_t)MAX(n, 0) + 1);
    vsnprintf(p, (size_t)MAX(n, 0) + 1, fmt, again);
    va_end(again);
    va_end(args);
    return p;
}

size_t arena_used_bytes(const Arena *arena)
{
    return arena->used_bytes;
}
