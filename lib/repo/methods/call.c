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

const char *param_type_name(const MethodParam *p)
{
    static const char *const names[] = {
        [PARAM_TEXT] = "str",  [PARAM_FILTER] = "str",   [PARAM_IP] = "str",        [PARAM_ID] = "str",
        [PARAM_UUID] = "uuid", [PARAM_NEW_ID] = "uuid",  [PARAM_INT] = "int",       [PARAM_COUNT] = "int",
        [PARAM_LIMIT] = "int", [PARAM_BOOL] = "bool",    [PARAM_TIME] = "datetime", [PARAM_OBJECT] = "dict",
        [PARAM_LIST] = "list", [PARAM_SET] = "set[str]", [PARAM_IPS] = "set[str]",  [PARAM_JSON] = "any",
    };

    return names[p->type];
}

bool param_may_be_null(const MethodParam *p)
{
    return p->nullable || (!p->required && !p->standard);
}

bool method_writes(const Method *m)
{
    return m->writes;
}

bool method_iterates(const Method *m)
{
    return m->iterates;
}

bool method_streams(const Method *m)
{
    return m->iterates || m->streams;
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
    [PARAM_LIMIT] = ("an integer that is not negative and at most " STRINGIFY(LIMIT_PAGE_ROWS) "; use offset for more"),
    [PARAM_BOOL] = "a boolean",
    [PARAM_TIME] = "a time",
    [PARAM_OBJECT] = "an object",
    [PARAM_LIST] = "a list",
    [PARAM_SET] = "a list of texts",
    [PARAM_IPS] = "a list of texts",
    [PARAM_JSON] = "a value whose numbers are at most 1.8e308",
};

Str method_canonical_ip(Arena *arena, Str text)
{
    char ip[IP_TEXT_BYTES];
    bool differs = ip_canonical(text, ip) && !str_eq_cstr(text, ip);
    return differs ? str_dup(arena, str_from(ip)) : text;
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
    ret->text = type == PARAM_IP   ? method_canonical_ip(call->arena, text)
                : type == PARAM_ID ? canonical_id(call->arena, text)
                                   : text;
    ret->is_null = type == PARAM_FILTER && text.len == 0;
    if (type == PARAM_UUID || type == PARAM_NEW_ID)
        ret->malformed = !uuid_parse_text(text, &ret->uuid);
    if (type == PARAM_NEW_ID && ret->malformed)
        return false;
    return type != PARAM_TIME || time_of_any_year_parse(text, &ret->number) == 0;
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
    return json_is_int64(json) && (type == PARAM_INT || ret->number >= 0) &&
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
        return json_is_finite(json);
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

/* What the parts of the parameters come to: the bytes of texts and keys, and about those of everything else. */
typedef struct Weight {
    size_t bytes;
    bool too_deep; /* callers in C may nest without end */
} Weight;

enum { PLAIN_VALUE_BYTES = 8 };

static bool is_too_much(const Weight *w)
{
    return w->too_deep || w->bytes > LIMIT_CALL_BYTES;
}

/* Goes no further than it has to. */
static void weigh(json_object *value, int depth, Weight *w)
{
    w->bytes += PLAIN_VALUE_BYTES;
    w->too_deep = w->too_deep || depth > LIMIT_JSON_DEPTH;
    if (is_too_much(w))
        return;
    switch (json_object_get_type(value)) {
    case json_type_string:
        w->bytes += json_str(value).len;
        break;
    case json_type_array:
        for (size_t i = 0; i < json_object_array_length(value) && !is_too_much(w); i++)
            weigh(json_object_array_get_idx(value, i), depth + 1, w);
        break;
    case json_type_object: {
        json_object_object_foreach (value, key, member) {
            w->bytes += strlen(key);
            weigh(member, depth + 1, w);
        }
        break;
    }
    default:
        break;
    }
}

static int refuse_too_much(const MethodCall *call, json_object *params)
{
    Weight w = {0};

    json_object_object_foreach (params, name, value) {
        weigh(value, 2, &w);
        if (w.too_deep)
            return method_invalid(call, "parameter %s must not nest deeper than %d", name, LIMIT_JSON_DEPTH);
        if (is_too_much(&w))
            return method_invalid(call, "parameter %s makes the call larger than %d bytes; make several of it", name,
                                  LIMIT_CALL_BYTES);
    }
    return 0;
}

static int take_params(MethodCall *call, json_object *params)
{
    const MethodParam *known = call->method->params;
    int r = 0;

    if (params && !json_object_is_type(params, json_type_object))
        return method_invalid(call, "parameters must be an object");
    if (params) {
        r = refuse_unknown(call, params);
        r = r ? r : refuse_too_much(call, params);
    }
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

void method_bind_parent(const MethodCall *call, int i, Args *args)
{
    Uuid nobody = uuid_random();

    if (call->values[i].malformed)
        arg_uuid(args, &nobody);
    else
        method_bind(call, i, args);
}

Str method_text(const MethodCall *call, int i)
{
    return call->values[i].is_null ? (Str){0} : call->values[i].text;
}

const Uuid *method_uuid(const MethodCall *call, int i)
{
    return call->values[i].is_null || call->values[i].malformed ? NULL : &call->values[i].uuid;
}

void method_write_uuid(JsonWriter *w, const Uuid *uuid)
{
    char text[UUID_TEXT_BYTES];
    uuid_format(text, uuid);
    json_value_str(w, str_from(text));
}

static void bind_all(const MethodCall *call, Args *args)
{
    for (int i = 0; i < METHOD_PARAMS_MAX && call->method->params[i].name; i++)
        method_bind(call, i, args);
}

/* --- results --- */

static void write_row(const Method *m, const PGresult *r, int row, JsonWriter *w)
{
    bool keyed = m->shape == METHOD_MAP || m->shape == METHOD_GROUPS;

    if (m->write_row)
        m->write_row(r, row, w);
    else
        res_write_columns(r, row, keyed, PQnfields(r), w);
}

/* Rows on their way into the shape of the method, be they all there or come one by one. */
typedef struct Shaper {
    const Method *method;
    JsonWriter *w;
    Buf key;   /* of the open group, as JSON */
    bool open; /* a group is */
} Shaper;

/* The member of the key in the first column, which may be any text. */
static void write_key(Shaper *s, Str key)
{
    json_value_raw(s->w, key);
    buf_add_char(s->w->buf, ':');
    s->w->need_comma = false;
}

static void shape_group(Shaper *s, const PGresult *r, int row)
{
    cleanup(buf_free) Buf key = {0};
    JsonWriter w = {.buf = &key};

    res_write_value(r, row, 0, &w);
    bool same = s->open && str_eq(buf_str(&key), buf_str(&s->key));
    if (!same && s->open)
        json_end_array(s->w);
    if (!same) {
        write_key(s, buf_str(&key));
        json_begin_array(s->w);
        buf_clear(&s->key);
        buf_add_str(&s->key, buf_str(&key));
        s->open = true;
    }
    write_row(s->method, r, row, s->w);
}

static void shape_begin(Shaper *s)
{
    if (s->method->shape == METHOD_ROWS)
        json_begin_array(s->w);
    else
        json_begin_object(s->w);
}

static void shape_row(Shaper *s, const PGresult *r, int row)
{
    cleanup(buf_free) Buf key = {0};
    JsonWriter w = {.buf = &key};

    if (s->method->shape == METHOD_GROUPS) {
        shape_group(s, r, row);
        return;
    }
    if (s->method->shape == METHOD_MAP) {
        res_write_value(r, row, 0, &w);
        write_key(s, buf_str(&key));
    }
    write_row(s->method, r, row, s->w);
}

static void shape_end(Shaper *s)
{
    if (s->open)
        json_end_array(s->w);
    if (s->method->shape == METHOD_ROWS)
        json_end_array(s->w);
    else
        json_end_object(s->w);
    buf_free(&s->key);
    s->open = false;
}

void method_write_rows(const MethodCall *call, const PGresult *r, JsonWriter *w)
{
    Shaper shaper = {.method = call->method, .w = w};
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
            write_row(call->method, r, 0, w);
        else
            json_value_null(w);
        break;
    case METHOD_ROWS:
    case METHOD_MAP:
    case METHOD_GROUPS:
        shape_begin(&shaper);
        for (int i = 0; i < n; i++)
            shape_row(&shaper, r, i);
        shape_end(&shaper);
        break;
    }
}

static int stream_row(void *arg, const PGresult *row)
{
    shape_row(arg, row, 0);
    return 0;
}

/* The whole list, of which only the text is ever in memory. */
static int run_stream(MethodCall *call, JsonWriter *w)
{
    Shaper shaper = {.method = call->method, .w = w};
    cleanup(args_free) Args args = {0};

    bind_all(call, &args);
    shape_begin(&shaper);
    int r = repo_each(call->repo, &call->method->statement, &args, stream_row, &shaper);
    shape_end(&shaper);
    return r;
}

void method_write_given(const PGresult *r, int row, int first_optional, JsonWriter *w)
{
    json_begin_object(w);
    for (int col = 0; col < PQnfields(r); col++) {
        if (col >= first_optional && res_null(r, row, col))
            continue;
        json_key(w, PQfname(r, col));
        res_write_value(r, row, col, w);
    }
    json_end_object(w);
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

typedef int DataWriter(const MethodCall *call, const char *where, json_object *data, const Column *columns, size_t n,
                       JsonWriter *w);

/* The dictionary of parameter @i as @write cleans it is $1; @key, a parameter too or -1, is $2. */
static int run_with_data(MethodCall *call, int i, DataWriter *write, int key, const Column *columns, size_t n,
                         const Statement *s, JsonWriter *w)
{
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &clean};

    int r = write(call, call->method->params[i].name, call->values[i].json, columns, n, &inner);
    if (r != 0)
        return r;
    arg_json(&args, buf_str(&clean));
    if (key >= 0)
        method_bind(call, key, &args);
    r = repo_exec(call->repo, s, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

int method_run_dictionary(MethodCall *call, int i, const Column *columns, size_t n, const Statement *s, JsonWriter *w)
{
    return run_with_data(call, i, data_write, -1, columns, n, s, w);
}

int method_run_patch(MethodCall *call, const Column *columns, size_t n, const Statement *s, JsonWriter *w)
{
    return run_with_data(call, 1, data_write_patch, 0, columns, n, s, w);
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
    if (m->streams)
        return run_stream(a->call, &w);
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

enum { GROUP_PIECE_ROWS = 1000 };

typedef struct Walk {
    MethodCall *call;
    RepoItem fn;
    void *arg;
    Buf item;
    JsonWriter w; /* of item */
    Shaper shaper;
    size_t n;    /* rows in it */
    int stopped; /* what the callback returned */
} Walk;

static int hand_over(Walk *walk)
{
    walk->stopped = walk->fn(walk->arg, buf_str(&walk->item));
    walk->n = 0;
    buf_clear(&walk->item);
    walk->w.need_comma = false;
    return walk->stopped;
}

static bool is_same_group(const Walk *walk, const PGresult *row)
{
    cleanup(buf_free) Buf key = {0};
    JsonWriter w = {.buf = &key};

    res_write_value(row, 0, 0, &w);
    return str_eq(buf_str(&key), buf_str(&walk->shaper.key));
}

static int each_row(void *arg, const PGresult *row)
{
    Walk *walk = arg;
    int r = 0;

    if (walk->call->method->shape != METHOD_GROUPS) {
        write_row(walk->call->method, row, 0, &walk->w);
        return hand_over(walk);
    }
    if (walk->n == GROUP_PIECE_ROWS || (walk->n && !is_same_group(walk, row))) {
        shape_end(&walk->shaper);
        r = hand_over(walk);
    }
    if (r == 0) {
        if (walk->n++ == 0)
            shape_begin(&walk->shaper);
        shape_row(&walk->shaper, row, 0);
    }
    return r;
}

/* The last piece of a group, which no row ended. */
static int end_walk(Walk *walk, int r)
{
    if (walk->n)
        shape_end(&walk->shaper);
    if (walk->n && r == 0)
        r = hand_over(walk);
    buf_free(&walk->item);
    return r;
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
    walk.w.buf = &walk.item;
    walk.shaper = (Shaper){.method = m, .w = &walk.w};
    if (!method_streams(m))
        return method_invalid(&call, "gives one result and no items");
    int r = take_params(&call, params);
    r = r ? r : repo_connect(repo);
    if (r != 0)
        return r;
    bind_all(&call, &args);
    r = repo_each(repo, &m->statement, &args, each_row, &walk);             /* one statement: one snapshot */
    if (r == REPO_E_RETRY && repo_plan_died(repo) && !in_transaction(repo)) /* before its first row */
        r = repo_each(repo, &m->statement, &args, each_row, &walk);
    r = end_walk(&walk, r);
    return walk.stopped ? walk.stopped : outcome_for_caller(repo, r);
}
