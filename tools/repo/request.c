#include "request.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

static bool printf_like(2, 3) refuse(Request *request, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(request->problem, sizeof(request->problem), fmt, args);
    va_end(args);
    return false;
}

static bool is_id(json_object *json)
{
    return !json || json_object_is_type(json, json_type_string) || json_object_is_type(json, json_type_int);
}

static bool take_id(Request *request, json_object *json)
{
    JsonWriter w = {.buf = &request->id};

    if (!is_id(json))
        return refuse(request, "id must be text, an integer of 64 bits, or null");
    buf_clear(&request->id);
    json_value_object(&w, json);
    return true;
}

static bool take_method(Request *request, json_object *json)
{
    Str name = json_str(json);

    if (!name.data)
        return refuse(request, "method must be text");
    if (name.len == 0)
        return refuse(request, "method must be a name; decnetctl repo --list shows them");
    request->method = name.data;
    return true;
}

static bool take_params(Request *request, json_object *json)
{
    if (json && !json_object_is_type(json, json_type_object))
        return refuse(request, "params must be an object with the parameters by name");
    request->params = json;
    return true;
}

/* The id comes first, so that whatever else is wrong can be told under it. */
static const struct {
    const char *name;
    bool (*take)(Request *request, json_object *json);
} members[] = {{"id", take_id}, {"method", take_method}, {"params", take_params}};

static bool refuse_unknown(Request *request)
{
    const char *names[ARRAY_SIZE(members)];

    for (size_t i = 0; i < ARRAY_SIZE(members); i++)
        names[i] = members[i].name;
    json_object_object_foreach (request->json, key, value) {
        bool known = false;
        (void)value;
        for (size_t i = 0; i < ARRAY_SIZE(members) && !known; i++)
            known = strcmp(names[i], key) == 0;
        if (known)
            continue;
        const char *near = text_nearest(str_from(key), names, ARRAY_SIZE(names), 2);
        return refuse(request, "a request has no member %.64s%s%s%s", key, near ? "; did you mean " : "",
                      near ? near : "", near ? "?" : "");
    }
    return true;
}

bool request_parse(Str line, Request *ret)
{
    *ret = (Request){0};
    buf_add(&ret->id, "null");
    if (memchr(line.data, '\0', line.len))
        return refuse(ret, "the line holds a NUL byte");
    ret->json = json_parse_exact(line);
    if (!ret->json)
        return refuse(ret, "the line is not JSON, or nests deeper than %d", LIMIT_JSON_DEPTH);
    if (!json_object_is_type(ret->json, json_type_object))
        return refuse(ret, "a request must be an object with id, method and params");
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        json_object *value = NULL;
        if (json_object_object_get_ex(ret->json, members[i].name, &value) && !members[i].take(ret, value))
            return false;
    }
    if (!refuse_unknown(ret))
        return false;
    return ret->method || refuse(ret, "the request names no method");
}

void request_free(Request *request)
{
    json_object_put(request->json);
    buf_free(&request->id);
}

void answer_begin(Buf *out, Str id_json, const char *member)
{
    buf_printf(out, "{\"id\":" STR_FMT ",\"%s\":", STR_ARG(id_json), member);
}

void answer_end(Buf *out)
{
    /* Columns of type json come as they were written; a line break outside of strings is mere white space. */
    for (char *c = out->data; (c = memchr(c, '\n', (size_t)(out->data + out->len - c))); c++)
        *c = ' ';
    buf_add(out, "}\n");
}

static void put_optional(JsonWriter *w, const char *key, const char *text)
{
    json_put_str(w, key, text && *text ? str_from(text) : (Str){0});
}

/* A detail that was cut is no JSON any more. */
static void put_detail(JsonWriter *w, const char *detail_json)
{
    cleanup(buf_free) Buf text = {0};

    buf_printf(&text, "{%s}", detail_json);
    cleanup(json_putp) json_object *detail = json_parse(buf_str(&text));
    if (!detail)
        return;
    json_object_object_foreach (detail, key, value)
        json_put_object(w, key, value);
}

void answer_error(Buf *out, Str id_json, const AnswerError *error)
{
    JsonWriter w = {.buf = out};

    answer_begin(out, id_json, "error");
    json_begin_object(&w);
    json_put_cstr(&w, "class", error->class);
    put_optional(&w, "method", error->method);
    json_put_cstr(&w, "message", error->message);
    put_optional(&w, "sqlstate", error->sqlstate);
    put_optional(&w, "hint", error->hint);
    put_detail(&w, error->detail_json ? error->detail_json : "");
    json_end_object(&w);
    answer_end(out);
}
