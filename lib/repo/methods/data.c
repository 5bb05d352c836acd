/* Dictionaries: from what a caller gives to an object whose every member PostgreSQL takes. */
#include <string.h>

#include "methods.h"

static const char *const type_words[] = {
    [COLUMN_TEXT] = "text",
    [COLUMN_IP] = "text",
    [COLUMN_UUID] = "a uuid",
    [COLUMN_ID] = "text",
    [COLUMN_INT] = "an integer",
    [COLUMN_DOUBLE] = "a number",
    [COLUMN_BOOL] = "a boolean",
    [COLUMN_TIME] = "a time",
    [COLUMN_JSON] = "JSON",
    [COLUMN_JSON_OR_STRING] = "JSON",
    [COLUMN_LITERAL] = "a value whose numbers are at most 1.8e308",
    [COLUMN_JSON_LIST] = "a list",
    [COLUMN_JSON_OBJECT] = "an object",
    [COLUMN_COUNT] = "an integer from 0 to 2147483647",
    [COLUMN_SHARE] = "a number from 0 to 1",
    [COLUMN_TEXTS] = "a list of texts",
    [COLUMN_INTS] = "a list of integers",
};

static bool is_list_of(json_type type, json_object *value)
{
    if (!json_object_is_type(value, json_type_array))
        return false;
    for (size_t i = 0; i < json_object_array_length(value); i++)
        if (!json_object_is_type(json_object_array_get_idx(value, i), type))
            return false;
    return true;
}

static bool write_text(const Column *c, Str text, JsonWriter *w)
{
    char spelled[MAX(MAX(UUID_TEXT_BYTES, TIME_TEXT_BYTES), IP_TEXT_BYTES)];
    Uuid uuid;
    int64_t us;

    if (!text.data)
        return false;
    switch (c->type) {
    case COLUMN_IP:
        if (ip_canonical(text, spelled))
            text = str_from(spelled);
        break;
    case COLUMN_UUID:
    case COLUMN_ID:
        if (uuid_parse_text(text, &uuid)) {
            uuid_format(spelled, &uuid);
            text = str_from(spelled);
        } else if (c->type == COLUMN_UUID) {
            return false;
        }
        break;
    case COLUMN_TIME:
        if (time_of_any_year_parse(text, &us) != 0)
            return false;
        time_format(spelled, us);
        text = str_from(spelled);
        break;
    default:
        break;
    }
    if ((c->flags & COLUMN_STRICT) && text_clip_chars(text, c->max_chars).len != text.len)
        return false;
    json_value_str(w, c->max_chars ? text_clip_chars(text, c->max_chars) : text);
    return true;
}

static bool has_shape(const Column *c, json_object *value)
{
    if (!value && (c->flags & COLUMN_NULLABLE)) /* text that says null */
        return true;
    switch (c->type) {
    case COLUMN_JSON_LIST:
        return json_object_is_type(value, json_type_array);
    case COLUMN_JSON_OBJECT:
        return json_object_is_type(value, json_type_object);
    case COLUMN_TEXTS:
        return is_list_of(json_type_string, value);
    case COLUMN_INTS:
        return is_list_of(json_type_int, value);
    default:
        return true;
    }
}

/* Callers pass native JSON, or text that holds it; a NUL in that text is repaired as in any other. */
static bool write_json(const Column *c, json_object *value, JsonWriter *w)
{
    cleanup(arena_freep) Arena *scratch = arena_new();
    Str text = text_sanitize(scratch, json_str(value));
    cleanup(json_putp) json_object *parsed = json_parse_exact(text);
    bool is_null_text = text.data && str_eq(text_trim(text), STR("null"));
    json_object *content = text.data ? parsed : value;

    if ((content || is_null_text) && json_is_finite(content)) {
        if (!has_shape(c, content))
            return false;
        json_value_object(w, content);
    } else if (c->type == COLUMN_JSON_OR_STRING && text.data) {
        json_value_str(w, text);
    } else {
        return false;
    }
    return true;
}

static bool write_value(const Column *c, json_object *value, JsonWriter *w)
{
    json_type is = json_object_get_type(value);

    switch (c->type) {
    case COLUMN_TEXT:
    case COLUMN_IP:
    case COLUMN_UUID:
    case COLUMN_ID:
    case COLUMN_TIME:
        return write_text(c, json_str(value), w);
    case COLUMN_INT:
        if (!json_is_int64(value) || json_object_get_int64(value) == NUMBER_NONE)
            return false;
        break;
    case COLUMN_COUNT:
        if (is != json_type_int || json_object_get_int64(value) < 0 || json_object_get_int64(value) > INT32_MAX)
            return false;
        break;
    case COLUMN_DOUBLE:
    case COLUMN_SHARE:
        if ((is != json_type_int && is != json_type_double) || !json_is_finite(value))
            return false;
        if (c->type == COLUMN_SHARE && !(json_object_get_double(value) >= 0 && json_object_get_double(value) <= 1))
            return false;
        break;
    case COLUMN_BOOL:
        if (is != json_type_boolean)
            return false;
        break;
    case COLUMN_LITERAL:
        if (!json_is_finite(value))
            return false;
        break;
    case COLUMN_JSON:
    case COLUMN_JSON_OR_STRING:
    case COLUMN_JSON_LIST:
    case COLUMN_JSON_OBJECT:
    case COLUMN_TEXTS:
    case COLUMN_INTS:
        return write_json(c, value, w);
    }
    json_value_object(w, value);
    return true;
}

static int refuse_value(const MethodCall *call, const char *where, const Column *c)
{
    if (c->flags & COLUMN_STRICT)
        return method_invalid(call, "%s: %s must be %s of at most %zu characters", where, c->name, type_words[c->type],
                              c->max_chars);
    return method_invalid(call, "%s: %s must be %s", where, c->name, type_words[c->type]);
}

int data_write(const MethodCall *call, const char *where, json_object *data, const Column *columns, size_t n,
               JsonWriter *w)
{
    json_begin_object(w);
    for (size_t i = 0; i < n; i++) {
        const Column *c = &columns[i];
        json_object *value = NULL;
        bool given = json_object_object_get_ex(data, c->name, &value);
        if (!given && (c->flags & COLUMN_REQUIRED))
            return method_invalid(call, "%s: key %s is missing", where, c->name);
        if (!given)
            continue;
        json_key(w, c->name);
        if (!value && !(c->flags & COLUMN_NULLABLE))
            return method_invalid(call, "%s: %s must not be null", where, c->name);
        if (!value)
            json_value_null(w);
        else if (!write_value(c, value, w))
            return refuse_value(call, where, c);
    }
    json_end_object(w);
    return 0;
}

int data_write_patch(const MethodCall *call, const char *where, json_object *data, const Column *columns, size_t n,
                     JsonWriter *w)
{
    json_object_object_foreach (data, key, value) {
        bool known = false;
        (void)value;
        for (size_t i = 0; i < n && !known; i++)
            known = strcmp(columns[i].name, key) == 0;
        if (!known)
            return method_invalid(call, "%s: %.64s is no column that can be changed", where, key);
    }
    return data_write(call, where, data, columns, n, w);
}

int data_object(const MethodCall *call, int i, const Column *columns, size_t n, json_object **ret)
{
    cleanup(buf_free) Buf clean = {0};
    JsonWriter w = {.buf = &clean};

    int r = data_write(call, call->method->params[i].name, call->values[i].json, columns, n, &w);
    if (r != 0)
        return r;
    *ret = json_parse_exact(buf_str(&clean));
    return *ret ? 0 : method_invalid(call, "%s nests too deeply", call->method->params[i].name);
}

/* --- values of a clean object --- */

Str data_json(const MethodCall *call, json_object *value)
{
    cleanup(buf_free) Buf text = {0};
    JsonWriter w = {.buf = &text};

    if (!value)
        return (Str){0};
    json_value_object(&w, value);
    return str_dup(call->arena, buf_str(&text));
}

const Uuid *data_uuid(const MethodCall *call, json_object *value)
{
    Uuid *uuid = arena_calloc(call->arena, 1, sizeof(*uuid));
    return uuid_parse_text(json_str(value), uuid) ? uuid : NULL;
}

int64_t data_time(json_object *value)
{
    int64_t us = TIME_NONE;
    return time_of_any_year_parse(json_str(value), &us) == 0 ? us : TIME_NONE;
}
