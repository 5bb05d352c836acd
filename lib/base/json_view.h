/* Reading JSON without making objects of it: a text becomes one array of small views into it. For what comes by the
 * million, events and log lines; json.h reads what is kept or changed. A parse needs one allocation, and text is only
 * copied where it has escapes: a session of 2 KiB takes a tenth of the time that json-c needs (docs/dependencies.md). */
#pragma once

#include "json.h"

/* One value, followed in memory by what it contains. */
typedef struct JsonView {
    const char *key;  /* of a member: its name, without escapes; else NULL */
    const char *text; /* of a string: its value, without escapes; else the value as it stands in the input */
    uint32_t key_len, text_len;
    uint32_t span;  /* how many views it takes, itself included: the next one is its sibling */
    json_type type; /* a number with a point or an exponent is a double, any other an int, whatever its size */
} JsonView;

/* Parse one whole JSON text (RFC 8259, which also rules out what json_parse() is lenient about, as "1." and "00.5";
 * control characters but NUL inside of strings are taken as they are). NULL when it is not JSON, nests deeper than
 * LIMIT_JSON_DEPTH, has anything but white space behind it, or is larger than INT_MAX. Lone surrogates become U+FFFD.
 * The views are in @views, strings with escapes in @texts, all else borrows from @text; both may be one arena. */
const JsonView *json_view(Arena *views, Arena *texts, Str text) must_check;

bool view_is(const JsonView *v, json_type type); /* false for NULL */
/* The string's value; absent unless it is a string. */
Str view_str(const JsonView *v);
Str view_text(const JsonView *v); /* what its text is: the string's value, or the input of any other; absent for NULL */
size_t view_count(const JsonView *v); /* elements or members; 0 unless it is an array or an object */

/* Members by key, of several the last: NULL, absent Str or false when the key is missing, null or of another type. A
 * boolean is never a number, a number never a string. */
const JsonView *view_member(const JsonView *obj, const char *key); /* any type but null */
/* The same, but null too. */
const JsonView *view_any_member(const JsonView *obj, const char *key);
Str view_get_str(const JsonView *obj, const char *key);
bool view_get_int(const JsonView *obj, const char *key, int64_t *ret);   /* one that 64 bits hold */
bool view_get_double(const JsonView *obj, const char *key, double *ret); /* integers too; finite */
bool view_get_bool(const JsonView *obj, const char *key, bool *ret);
const JsonView *view_get_array(const JsonView *obj, const char *key);
const JsonView *view_get_object(const JsonView *obj, const char *key);
/* The value itself, under the same conditions. */
bool view_int(const JsonView *v, int64_t *ret);
bool view_double(const JsonView *v, double *ret);
bool view_bool(const JsonView *v, bool *ret);

/* What an array or object contains, in order; nothing when it is NULL or neither. */
static inline const JsonView *view_first(const JsonView *v)
{
    return v ? v + 1 : NULL;
}
static inline const JsonView *view_end(const JsonView *v)
{
    return v + v->span;
}
#define view_each(item, container)                                                                                     \
    for (const JsonView *item##_of = (container), *item = view_first(item##_of); item && item < view_end(item##_of);   \
         item += item->span)
