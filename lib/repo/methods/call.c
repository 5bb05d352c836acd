/* From JSON to a checked call, from its rows to JSON. */
#include "repo/method.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "methods.h"

static const struct {
    const char *group;
    const Method *method;
} table[] = {
#define LISTED(group_, name_) {#group_, &method_##name_},
#include "list.h"
#undef LISTED
};

size_t method_count(void)
{
    return ARRAY_SIZE(table);
}

const Method *method_at(size_t i)
{
    return i < ARRAY_SIZE(table) ? table[i].method : NULL;
}

const char *method_group(size_t i)
{
    return table[i].group;
}

const Method *method_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strcmp(table[i].method->name, name) == 0)
            return table[i].method;
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

int method_fail(const MethodCall *call, int outcome, const char *detail_json, const char *fmt, ...)
{
    char text[400];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    repo_fail(call->repo, outcome, call->method->name, "%s", text);
    if (detail_json)
        repo_detail(call->repo, "%s", detail_json);
    return outcome;
}

/* --- parameters --- */

static const char *const type_words[] = {
    [PARAM_TEXT] = "text",
    [PARAM_FILTER] = "text",
    [PARAM_IP] = "text",
    [PARAM_ID] = "text",
    [PARAM_UUID] = "text",
    [PARAM_NEW_ID] = "a uuid",
    [PARAM_INT] = "an integer",
    [PARAM_COUNT] = "an integer that is not negative",
    [PARAM_LIMIT] = "an integer that is not negative and at most " STRINGIFY(LIMIT_PAGE_ROWS) "; use offset for more",
    [PARAM_BOOL] = "a boolean",
    [PARAM_TIME] = "a time",
    [PARAM_OBJECT] = "an object",
    [PARAM_LIST] = "a list",
    [PARAM_SET] = "a list of texts",
    [PARAM_IPS] = "a list of texts",
    [PARAM_JSON] = "a value",
};

static Str canonical_ip(Arena *arena, Str text)
{
    char ip[IP_TEXT_BYTES];
    return ip_canonical(text, ip) ? str_dup(arena, str_from(ip)) : text;
}

static Str canonical_id(Arena *arena, Str text)
{
    char spelled[UUID_TEXT_BYTES];
    Uuid uuid;

    if (!uuid_parse_text(text, &uuid))
        return text;
    uuid_format(spelled, &uuid);
    return str_dup(arena, str_from(spelled));
}

static bool read_text(MethodCall *call, ParamType type, Str text, MethodValue *ret)
{
    if (!text.data)
        return false;
    ret->text = type == PARAM_IP   ? canonical_ip(call->arena, text)
                : type == PARAM_ID ? canonical_id(call->arena, text)
                                   : text;
    ret->is_null = type == PARAM_FILTER && text.len == 0;
    if (type == PARAM_UUID || type == PARAM_NEW_ID)
        ret->malformed = !uuid_parse_text(text, &ret->uuid);
    if (type == PARAM_NEW_ID && ret->malformed)
        return false;
    return type != PARAM_TIME || time_parse(text, &ret->number, NULL) == 0;
}

static bool all_text(json_object *list)
{
    if (!json_object_is_type(list, json_type_array))
        return false;
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (!json_object_is_type(json_object_array_get_idx(list, i), json_type_string))
            return false;
    return true;
}

static bool read_int(ParamType type, json_object *json, MethodValue *ret)
{
    ret->number = json_object_get_int64(json);
    return json_object_is_type(json, json_type_int) && (type == PARAM_INT || ret->number >= 0) &&
           (type != PARAM_LIMIT || ret->number <= LIMIT_PAGE_ROWS);
}

static bool read_value(MethodCall *call, ParamType type, json_object *json, MethodValue *ret)
{
    json_type is = json_object_get_type(json);

    ret->json = json;
    switch (type) {
    case PARAM_TEXT:
    case PARAM_FILTER:
    case PARAM_IP:
    case PARAM_ID:
    case PARAM_UUID:
    case PARAM_NEW_ID:
    case PARAM_TIME:
        return read_text(call, type, json_str(json), ret);
    case PARAM_INT:
    case PARAM_COUNT:
    case PARAM_LIMIT:
        return read_int(type, json, ret);
    case PARAM_BOOL:
        ret->number = json_object_get_boolean(json);
        return is == json_type_boolean;
    case PARAM_OBJECT:
        return is == json_type_object;
    case PARAM_LIST:
        return is == json_type_array;
    case PARAM_SET:
    case PARAM_IPS:
        return all_text(json);
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

static void bind_set(Args *args, ParamType type, const MethodValue *v)
{
    ArgArray *texts = arg_array(args, PG_TEXT);
    char ip[IP_TEXT_BYTES];

    for (size_t i = 0; !v->is_null && i < json_object_array_length(v->json); i++) {
        Str text = json_str(json_object_array_get_idx(v->json, i));
        array_str(texts, type == PARAM_IPS && ip_canonical(text, ip) ? str_from(ip) : text);
    }
}

static void bind_value(Args *args, ParamType type, const MethodValue *v)
{
    switch (type) {
    case PARAM_TEXT:
    case PARAM_FILTER:
    case PARAM_IP:
    case PARAM_ID:
        arg_str(args, v->is_null ? (Str){0} : v->text);
        break;
    case PARAM_NEW_ID:
    case PARAM_UUID: /* comparing with NULL matches nothing */
        arg_uuid(args, v->is_null || v->malformed ? NULL : &v->uuid);
        break;
    case PARAM_INT:
    case PARAM_COUNT:
    case PARAM_LIMIT:
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
    case PARAM_SET:
    case PARAM_IPS:
        bind_set(args, type, v);
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

void method_bind(const MethodCall *call, int i, Args *args)
{
    bind_value(args, call->method->params[i].type, &call->values[i]);
}

Str method_text(const MethodCall *call, int i)
{
    return call->values[i].is_null ? (Str){0} : call->values[i].text;
}

const Uuid *method_uuid(const MethodCall *call, int i)
{
    return call->values[i].is_null || call->values[i].malformed ? NULL : &call->values[i].uuid;
}

static void bind_all(const MethodCall *call, Args *args)
{
    for (int i = 0; i < METHOD_PARAMS_MAX && call->method->params[i].name; i++)
        method_bind(call, i, args);
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
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    bind_all(call, &args);
    int r = repo_exec(call->repo, s, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

int method_run_filtered(MethodCall *call, int i, JsonWriter *w)
{
    if (!call->values[i].malformed)
        return method_run_statement(call, &call->method->statement, w);
    json_begin_array(w);
    json_end_array(w);
    return 0;
}

int method_run_dictionary(MethodCall *call, int i, const Column *columns, size_t n, const Statement *s, JsonWriter *w)
{
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &clean};

    int r = data_write(call, call->method->params[i].name, call->values[i].json, columns, n, &inner);
    if (r != 0)
        return r;
    arg_json(&args, buf_str(&clean));
    r = repo_exec(call->repo, s, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

int method_run_patch(MethodCall *call, const Column *columns, size_t n, const Statement *s, JsonWriter *w)
{
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &clean};

    int r = data_write_patch(call, call->method->params[1].name, call->values[1].json, columns, n, &inner);
    if (r != 0)
        return r;
    arg_json(&args, buf_str(&clean));
    method_bind(call, 0, &args);
    r = repo_exec(call->repo, s, &args, &result);
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

/* A broken bound or a value that a column cannot hold is the caller's mistake; so is a row that is there already, but
 * another one. */
static int outcome_for_caller(Repo *repo, int r)
{
    if (r != REPO_E_REJECTED)
        return r;
    return strcmp(repo_error(repo)->sqlstate, "23505") == 0 ? REPO_E_CONFLICT : REPO_E_INVALID;
}

const char *repo_error_class(const Repo *repo, int outcome)
{
    static const struct {
        int outcome;
        const char *name;
    } classes[] = {
        {REPO_E_INVALID, "E_INVALID"}, {REPO_E_NOT_FOUND, "E_NOT_FOUND"}, {REPO_E_CONFLICT, "E_CONFLICT"},
        {REPO_E_FK, "E_FK"},           {REPO_E_VERSION, "E_VERSION"},     {REPO_E_NOT_EDITABLE, "E_NOT_EDITABLE"},
        {REPO_E_ORPHAN, "E_ORPHAN"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
        if (classes[i].outcome == outcome)
            return classes[i].name;
    bool contended = outcome == REPO_E_RETRY && strncmp(repo_error(repo)->sqlstate, "40", 2) == 0;
    return contended ? "E_RETRY" : "E_DB";
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

static bool in_transaction(Repo *repo)
{
    return repo_is_connected(repo) && PQtransactionStatus(repo_connection(repo)) != PQTRANS_IDLE;
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
    r = in_transaction(repo) ? attempt(repo, &a) : repo_transaction(repo, attempt, &a);
    if (r == 0)
        buf_add_str(ret_json, buf_str(&a.result));
    buf_free(&a.result);
    return outcome_for_caller(repo, r);
}

/* --- iterators --- */

typedef struct Walk {
    MethodCall *call;
    RepoItem fn;
    void *arg;
    Buf item;
    int stopped; /* what the callback returned */
} Walk;

static int each_row(void *arg, const PGresult *row)
{
    Walk *walk = arg;
    MethodWriteRow write_row = walk->call->method->write_row ? walk->call->method->write_row : res_write_row;
    JsonWriter w = {.buf = &walk->item};

    buf_clear(&walk->item);
    write_row(row, 0, &w);
    walk->stopped = walk->fn(walk->arg, buf_str(&walk->item));
    return walk->stopped;
}

int repo_call_each(Repo *repo, const char *method, json_object *params, RepoItem fn, void *arg)
{
    const Method *m = method_find(method);
    cleanup(arena_freep) Arena *arena = NULL;
    cleanup(args_free) Args args = {0};

    if (!m)
        return unknown_method(repo, method);
    arena = arena_new();
    MethodCall call = {.repo = repo, .method = m, .arena = arena};
    Walk walk = {.call = &call, .fn = fn, .arg = arg};
    if (!m->iterates)
        return method_invalid(&call, "gives one result and no items");
    int r = take_params(&call, params);
    r = r ? r : repo_connect(repo);
    if (r != 0)
        return r;
    bind_all(&call, &args);
    r = repo_each(repo, &m->statement, &args, each_row, &walk); /* one statement: one snapshot */
    buf_free(&walk.item);
    return walk.stopped ? walk.stopped : outcome_for_caller(repo, r);
}
