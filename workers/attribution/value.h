/* Values of observations and what makes two of them equal.
 *
 * Equality is that of PostgreSQL's jsonb: numbers by their exact value (1, 1.0 and 10e-1 are equal, and a 20-digit
 * integer is not its rounded double), booleans distinct from numbers, strings byte by byte after their escapes are
 * resolved, objects without order and with the last of doubled keys, arrays in order. It is decided on a canonical
 * spelling, so equal values have equal `key` bytes, which can also be hashed or digested.
 *
 * Pure; everything returned lives in the arena given. */
#pragma once

#include "base/text.h"

typedef struct AttributionValue {
    Str json; /* as stored: one JSON text */
    Str key;  /* canonical spelling: equal values have equal bytes */
} AttributionValue;

/* Read one JSON text, as an event or a jsonb column brings it. What no jsonb column can hold is read as it would be
 * stored: a NUL, a lone surrogate and invalid UTF-8 as U+FFFD. ret->json borrows @json.
 *
 * Returns 0, or -EINVAL: not JSON, nested deeper than LIMIT_JSON_DEPTH, or a number beyond the range of PostgreSQL's
 * numeric (131,072 digits before the point, 16,383 behind it). */
int attribution_value_read(Arena *arena, Str json, AttributionValue *ret) must_check;

extern const AttributionValue ATTRIBUTION_NULL; /* JSON null */

bool attribution_value_equal(const AttributionValue *a, const AttributionValue *b);
bool attribution_value_is_null(const AttributionValue *value);

/* The number that a numeric series sees: a number itself, null 0, true 1, false 0, a string that spells a decimal
 * number (white space around it allowed) that number. False for every other string, for arrays and objects, and for
 * what no double can hold: never NaN, never infinite. */
bool attribution_value_number(const AttributionValue *value, double *ret);

/* A double as a value: the shortest spelling that reads back equal. @number must be finite. */
AttributionValue attribution_value_from_double(Arena *arena, double number);
