/* What the fuzz targets share. A target is one LLVMFuzzerTestOneInput(); replay_main.c runs it over files instead. A
 * broken promise aborts: libFuzzer reports it with the input that broke it. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert(), also in a release build. */
#define PROMISE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #condition);                            \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

/* The input as a Str that no read may leave: the bytes are copied to a block of exactly their size. */
static inline Str fuzz_input(uint8_t **ret_block, const uint8_t *data, size_t size)
{
    *ret_block = malloc(size ? size : 1);
    if (!*ret_block)
        abort();
    if (size)
        memcpy(*ret_block, data, size);
    return (Str){(const char *)*ret_block, size};
}

/* Text that PostgreSQL takes: valid UTF-8 without NUL, or absent. */
static inline void promise_storable(Arena *arena, Str s)
{
    PROMISE(text_sanitize(arena, s).data == s.data);
}
