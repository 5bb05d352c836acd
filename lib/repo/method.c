/* From JSON to a checked call, from its rows to JSON. */
#include "method.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "methods.h"

static const MethodGroup groups[] = {
    {methods_logs, &n_methods_logs},
    {methods_captures, &n_methods_captures},
    {methods_attackers, &n_methods_attackers},
    {methods_intel, &n_methods_intel},
    {methods_ttp, &n_methods_ttp},
};

size_t method_count(void)
{
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(groups); i++)
        n += *groups[i].n;
    return n;
}

const Method *method_at(size_t i)
{
    for (size_t k = 0; k < ARRAY_SIZE(groups); k++) {
        if (i < *groups[k].n)
            return &groups[k].methods[i];
        i -= *groups[k].n;
    }
    return NULL;
}

const Method *method_find(const char *name)
{
    for (size_t i = 0; i < method_count(); i++)
        if (strcmp(method_at(i)->name, name) == 0)
            return method_at(i);
    return NULL;
}

const char *method_name(const Method *m)
{
    return m->name;
}

const MethodParam *method_params(const Method *m)
{
    return m->params;
}

const char *method_returns(const Method *m)
{
    return m->returns;
}

bool method_writes(const Method *m)
{
    return m->writes;
}

bool method_iterates(const Method *m)
{
    return m->iterates;
}

int method_invalid(const MethodCall *call, const char *fmt, ...)
{
    char text[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return repo_fail(call->repo, REPO_E_INVALID, call->method->name, "%s", text);
}

/* --- parameters --- */

static const char *const type_words[] = {
    [PARAM_TEXT] = "text",      [PARAM_FILTER] = "text",    [PARAM_IP] = "text",
    [PARAM_UUID] = "text",      [PARAM_INT] = "an integer", [PARAM_COUNT] = "an integer that is not negative",
    [PARAM_BOOL] = "a boolean", [PARAM_TIME] = "a time",    [PARAM_OBJECT] = "an object",
    [PARAM_LIST] = "a list",    [PARAM_JSON] = "a value",
};

static Str canonical_ip(Arena *arena, Str text)
{
    char ip[IP_TEXT_BYTES];
    return ip_canonical(text, ip) ? str_dup(arena, str_from(ip)) : text;
}

static bool read_text(MethodCall *call, ParamType type, Str text, MethodValue *ret)
{
    if (!text.data)
        return false;
    ret->text = type == PARAM_IP ? canonical_ip(call->arena, text) : text;
    ret->is_null = type == PARAM_FILTER && text.len == 0;
    if (type == PARAM_UUID)
        ret->malformed = !uuid_parse_text(text, &ret->uuid);
    return type != PARAM_TIME || time_parse(text, &ret->number, NULL) == 0;
}

static bool read_value(MethodCall *call, ParamType type, json_object *json, MethodValue *ret)
{
    json_type is = json_object_get_type(json);

    ret->json = json;
    switch (type) {
    case PARAM_TEXT:
    case PARAM_FILTER:
    case PARAM_IP:
    case PARAM_UUID:
    case PARAM_TIME:
        return read_text(call, type, json_str(json), ret);
    case PARAM_INT:
    case PARAM_COUNT:
        ret->number = json_object_get_int64(json);
        return is == json_type_int && (type == PARAM_INT || ret->number >= 0);
    case PARAM_BOOL:
        ret->number = json_object_get_boolean(json);
        return is == json_type_boolean;
    case PARAM_OBJECT:
        return is == json_type_object;
    case PARAM_LIST:
        return is == json_type_array;
    case PARAM_JSON:
        return true;
    }
    return false;
}

static int take_param(MethodCall *call, const MethodParam *p, json_object *params, MethodValue *ret)
{
    json_object *json = NULL;
    bool given = params && json_object_object_get_ex(params, p->name, &json);

    if (!given && p->required)
        return method_invalid(call, "parameter %s is missing", p->name);
    cleanup(json_putp) json_object *standard = given || !p->standard ? NULL : json_parse(str_from(p->standard));
    if (standard) /* defaults are short and have no parts: their values are copied out */
        json = standard;
    if (!json && (!given || p->nullable || p->type == PARAM_JSON)) {
        ret->is_null = true;
        return 0;
    }
    if (!read_value(call, p->type, json, ret))
        return method_invalid(call, "parameter %s must be %s", p->name, type_words[p->type]);
    if (standard && ret->text.data)
        ret->text = str_dup(call->arena, ret->text);
    if (standard)
        ret->json = NULL;
    return 0;
}

static int refuse_unknown(const MethodCall *call, json_object *params)
{
    const MethodParam *known = call->method->params;
    const char *names[METHOD_PARAMS_MAX];
    size_t n = 0;

    for (; n < METHOD_PARAMS_MAX && known[n].name; n++)
        names[n] = known[n].name;
    json_object_object_foreach (params, key, value) {
        bool found = false;
        (void)value;
        for (size_t i = 0; i < n && !found; i++)
            found = strcmp(names[i], key) == 0;
        if (found)
            continue;
        const char *near = text_nearest(str_from(key), names, n, 3);
        return method_invalid(call, "there is no parameter %.64s%s%s%s", key, near ? "; did you mean " : "",
                              near ? near : "", near ? "?" : "");
    }
    return 0;
}

static int take_params(MethodCall *call, json_object *params)
{
    const MethodParam *known = call->method->params;
    int r = 0;

    if (params && !json_object_is_type(params, json_type_object))
        return method_invalid(call, "parameters must be an object");
    if (params)
        r = refuse_unknown(call, params);
    for (size_t i = 0; r == 0 && i < METHOD_PARAMS_MAX && known[i].name; i++)
        r = take_param(call, &known[i], params, &call->values[i]);
    return r;
}

static void bind_json(Args *args, json_object *json)
{
    cleanup(buf_free) Buf text = {0};
    JsonWriter w = {.buf = &text};
    json_value_object(&w, json);
    arg_json(args, buf_str(&text));
}

static void bind_value(Args *args, ParamType type, const MethodValue *v)
{
    switch (type) {
    case PARAM_TEXT:
    case PARAM_FILTER:
    case PARAM_IP:
        arg_str(args, v->is_null ? (Str){0} : v->text);
        break;
    case PARAM_UUID: /* comparing with NULL matches nothing */
        arg_uuid(args, v->is_null || v->malformed ? NULL : &v->uuid);
        break;
    case PARAM_INT:
    case PARAM_COUNT:
        if (v->is_null)
            arg_null(args, PG_INT8);
        else
            arg_int8(args, v->number);
        break;
    case PARAM_BOOL:
        if (v->is_null)
            arg_null(args, PG_BOOL);
        else
            arg_bool(args, v->number);
        break;
    case PARAM_TIME:
        arg_time(args, v->is_null ? TIME_NONE : v->number);
        break;
    case PARAM_OBJECT:
    case PARAM_LIST:
    case PARAM_JSON:
        if (v->is_null)
            arg_null(args, PG_JSONB);
        else
            bind_json(args, v->json);
        break;
    }
}

/* --- results --- */

void method_write_rows(const MethodCall *call, const PGresult *r, JsonWriter *w)
{
    MethodWriteRow write_row = call->method->write_row ? call->method->write_row : res_write_row;
    int n = PQntuples(r);

    switch (call->method->shape) {
    case METHOD_VOID:
        json_value_null(w);
        break;
    case METHOD_SCALAR:
        if (n > 0)
            res_write_value(r, 0, 0, w);
        else
            json_value_null(w);
        break;
    case METHOD_ROW:
        if (n > 0)
            write_row(r, 0, w);
        else
            json_value_null(w);
        break;
    case METHOD_ROWS:
        json_begin_array(w);
        for (int i = 0; i < n; i++)
            write_row(r, i, w);
        json_end_array(w);
        break;
    }
}

int method_run_statement(MethodCall *call, const Statement *s, JsonWriter *w)
{
    const MethodParam *params = call->method->params;
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    for (size_t i = 0; i < METHOD_PARAMS_MAX && params[i].name; i++)
        bind_value(&args, params[i].type, &call->values[i]);
    int r = repo_exec(call->repo, s, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

/* --- the call --- */

typedef struct Attempt {
    MethodCall *call;
    Buf result;
} Attempt;

static int attempt(Repo *repo, void *arg)
{
    Attempt *a = arg;
    const Method *m = a->call->method;
    JsonWriter w = {.buf = &a->result};

    (void)repo;
    buf_clear(&a->result);
    return m->run ? m->run(a->call, &w) : method_run_statement(a->call, &m->statement, &w);
}

/* A broken bound or a value that a column cannot hold is the caller's mistake; a row that is there already is not. */
static int outcome_for_caller(Repo *repo, int r)
{
    return r == REPO_E_REJECTED && strcmp(repo_error(repo)->sqlstate, "23505") != 0 ? REPO_E_INVALID : r;
}

static int unknown_method(Repo *repo, const char *name)
{
    size_t n = method_count();
    cleanup(freep) const char **names = calloc(n, sizeof(*names));

    if (!names)
        abort();
    for (size_t i = 0; i < n; i++)
        names[i] = method_at(i)->name;
    const char *near = text_nearest(str_from(name), names, n, 4);
    return repo_fail(repo, REPO_E_INVALID, "repo_call", "there is no method %.64s%s%s%s", name,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

int repo_call(Repo *repo, const char *method, json_object *params, Buf *ret_json)
{
    const Method *m = method_find(method);
    cleanup(arena_freep) Arena *arena = NULL;

    if (!m)
        return unknown_method(repo, method);
    arena = arena_new();
    MethodCall call = {.repo = repo, .method = m, .arena = arena};
    Attempt a = {.call = &call};
    int r = take_params(&call, params);
    if (r != 0)
        return r;
    bool within = repo_is_connected(repo) && PQtransactionStatus(repo_connection(repo)) != PQTRANS_IDLE;
    r = within ? attempt(repo, &a) : repo_transaction(repo, attempt, &a);
    if (r == 0)
        buf_add_str(ret_json, buf_str(&a.result));
    buf_free(&a.result);
    return outcome_for_caller(repo, r);
}
