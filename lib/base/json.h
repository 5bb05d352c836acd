/* JSON: reading through json-c with limits and without its leniency about types; writing with a small streaming
 * writer into a Buf, which repairs text so that PostgreSQL and every consumer accept it. */
#pragma once

#include <json-c/json.h>

#include "text.h"

/* Parse one whole JSON text. NULL when it is not JSON, nests deeper than LIMIT_JSON_DEPTH, has anything but white
 * space behind it, or is larger than INT_MAX. The caller releases with json_object_put() (cleanup(json_putp)). */
json_object *json_parse(Str text) must_check;
/* The same, but for what json-c bends or PostgreSQL does not take. An integer beyond 64 bits is a double here, so that it
 * is no integer to whom it would be too large, and json_value_object() writes its digits as they came. Escaped U+0000 is
 * left out, of names too, where json_parse() ends them. Text is repaired, so that two names do not become one later. */
json_object *json_parse_exact(Str text) must_check;
/* False when a number in @value is beyond all doubles. Depth is bounded by json_parse(), so is this recursion. */
bool json_is_finite(json_object *value);
bool json_is_int64(json_object *value); /* json-c also holds integers that only fit 64 bits without sign */
static inline void json_putp(json_object **p)
{
    json_object_put(*p);
}

/* Members by key: NULL, absent Str or false when the key is missing, null or of another type. A boolean is never a
 * number, a number never a string. Results borrow from @obj. */
json_object *json_member(json_object *obj, const char *key); /* any type but null */
Str json_get_str(json_object *obj, const char *key);
bool json_get_int(json_object *obj, const char *key, int64_t *ret);
bool json_get_double(json_object *obj, const char *key, double *ret); /* integers too; finite */
bool json_get_bool(json_object *obj, const char *key, bool *ret);
json_object *json_get_array(json_object *obj, const char *key);
json_object *json_get_object(json_object *obj, const char *key);
Str json_str(json_object *value); /* absent unless @value is a string */

/* How many bytes at the beginning stand for themselves in a JSON string: printable, neither quote nor backslash. */
size_t json_plain_bytes(Str s);

/* --- writing --- */
typedef struct JsonWriter {
    Buf *buf;
    bool need_comma;
} JsonWriter;

/* Keys are written only inside objects; each value call writes its own comma. Text is repaired as text_sanitize()
 * does. Times are RFC 3339 with six digits, doubles round-trip and NaN or infinity become null. */
void json_begin_object(JsonWriter *w);
void json_end_object(JsonWriter *w);
void json_begin_array(JsonWriter *w);
void json_end_array(JsonWriter *w);
void json_key_str(JsonWriter *w, Str key);
/* Inline, as are the functions that use it, because the compiler knows how long a literal is. */
static inline void json_key(JsonWriter *w, const char *key)
{
    json_key_str(w, (Str){key, strlen(key)});
}
void json_value_str(JsonWriter *w, Str s); /* absent: null */
void json_value_int(JsonWriter *w, int64_t v);
void json_value_double(JsonWriter *w, double v);
void json_value_bool(JsonWriter *w, bool v);
void json_value_null(JsonWriter *w);
void json_value_time(JsonWriter *w, int64_t us); /* TIME_NONE: null */
void json_value_raw(JsonWriter *w, Str json);    /* already JSON */
void json_value_object(JsonWriter *w, json_object *value);

/* Key and value in one call. */
static inline void json_put_str(JsonWriter *w, const char *key, Str s)
{
    json_key(w, key);
    json_value_str(w, s);
}
static inline void json_put_cstr(JsonWriter *w, const char *key, const char *s)
{
    json_key(w, key);
    json_value_str(w, str_from(s));
}
static inline void json_put_int(JsonWriter *w, const char *key, int64_t v)
{
    json_key(w, key);
    json_value_int(w, v);
}
static inline void json_put_double(JsonWriter *w, const char *key, double v)
{
    json_key(w, key);
    json_value_double(w, v);
}
static inline void json_put_bool(JsonWriter *w, const char *key, bool v)
{
    json_key(w, key);
    json_value_bool(w, v);
}
static inline void json_put_time(JsonWriter *w, const char *key, int64_t us)
{
    json_key(w, key);
    json_value_time(w, us);
}
static inline void json_put_object(JsonWriter *w, const char *key, json_object *value)
{
    json_key(w, key);
    json_value_object(w, value);
}

/* @s as a JSON string literal with its quotes, repaired. */
void json_append_string(Buf *buf, Str s);
