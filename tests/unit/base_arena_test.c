/* The bump allocator: alignment, growth, reuse, and the end on impossible sizes. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"

Test(arena, memory_is_aligned_distinct_and_writable)
{
    cleanup(arena_freep) Arena *a = arena_new();
    char *previous = NULL;

    for (size_t size = 1; size < 5000; size += 7) {
        char *p = arena_alloc(a, size);
        cr_assert_eq((uintptr_t)p % _Alignof(max_align_t), 0);
        cr_assert_neq(p, previous);
        memset(p, 0x5a, size);
        previous = p;
    }
    char *large = arena_alloc(a, 3 * 1024 * 1024); /* larger than any block */
    memset(large, 1, 3 * 1024 * 1024);
    cr_assert_gt(arena_used_bytes(a), (size_t)3 * 1024 * 1024);
}

Test(arena, reset_forgets_and_reuses)
{
    cleanup(arena_freep) Arena *a = arena_new();
    char *first = arena_alloc(a, 100);

    arena_reset(a);
    cr_assert_eq(arena_used_bytes(a), 0);
    cr_assert_eq(arena_alloc(a, 100), first);
    arena_alloc(a, 8 * 1024 * 1024);
    arena_reset(a); /* a huge block is given back, and the arena works on */
    memset(arena_alloc(a, 1000), 1, 1000);
    arena_free(NULL);
}

Test(arena, copies)
{
    cleanup(arena_freep) Arena *a = arena_new();
    int *numbers = arena_calloc(a, 100, sizeof(int));

    for (int i = 0; i < 100; i++)
        cr_assert_eq(numbers[i], 0);
    cr_assert_eq(memcmp(arena_memdup(a, "a\0b", 3), "a\0b\0", 4), 0);
    cr_assert_str_eq(arena_memdup(a, NULL, 0), "");
    cr_assert_str_eq(arena_printf(a, "%s-%d", "x", 42), "x-42");
    char *text = arena_printf(a, "%5000d", 7);
    cr_assert_eq(strlen(text), 5000);
}

Test(arena, product_that_overflows_ends_the_process, .signal = SIGABRT)
{
    arena_calloc(arena_new(), SIZE_MAX / 2, 3);
}

Test(arena, size_that_overflows_ends_the_process, .signal = SIGABRT)
{
    arena_alloc(arena_new(), SIZE_MAX);
}
