/* Small macros that the whole project shares: scope-bound cleanup, ownership transfer, compile-time checks. */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define STRINGIFY_(text) #text
#define STRINGIFY(macro) STRINGIFY_(macro) /* what the macro stands for, as a literal */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Run FN on a pointer to the variable when it goes out of scope; FN accepts a pointer to NULL. */
#define cleanup(fn) __attribute__((cleanup(fn)))
/* The result tells of failure: ignoring it is a compile error. */
#define must_check __attribute__((warn_unused_result))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))

/* Hand a pointer on and forget it here, so that its cleanup does nothing. */
#define TAKE_PTR(p)                                                                                                    \
    ({                                                                                                                 \
        __typeof__(p) *take_ptr_ = &(p);                                                                               \
        __typeof__(p) take_value_ = *take_ptr_;                                                                        \
        *take_ptr_ = NULL;                                                                                             \
        take_value_;                                                                                                   \
    })

static inline void freep(void *p)
{
    free(*(void **)p);
}
