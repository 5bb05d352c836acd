/* Methods on logs. */
#include "repo/logs.h"

#include <string.h>

#include "log_search.h"
#include "methods.h"

/* Names are cut: a line must not be lost for one that an index cannot hold, and raw_line has the whole. */
static const struct {
    const char *key;
    bool required;
    size_t max_bytes; /* 0: no bound */
    size_t at;        /* in a LogRow */
} text_keys[] = {
    {"decky", true, LIMIT_NAME_BYTES, offsetof(LogRow, decky)},
    {"service", true, LIMIT_NAME_BYTES, offsetof(LogRow, service)},
    {"event_type", true, LIMIT_NAME_BYTES, offsetof(LogRow, event_type)},
    {"attacker_ip", true, LIMIT_NAME_BYTES, offsetof(LogRow, attacker_ip)},
    {"raw_line", true, 0, offsetof(LogRow, raw_line)},
    {"msg", false, 0, offsetof(LogRow, msg)},
    {"trace_id", false, LIMIT_NAME_BYTES, offsetof(LogRow, trace_id)},
    {"span_id", false, LIMIT_NAME_BYTES, offsetof(LogRow, span_id)},
};

/* What @value says as text: itself when it is text, else its JSON. */
static Str as_text(Arena *arena, json_object *value)
{
    cleanup(buf_free) Buf text = {0};
    JsonWriter w = {.buf = &text};
    Str s = json_str(value);

    if (s.data)
        return s;
    json_value_object(&w, value);
    return str_dup(arena, buf_str(&text));
}

/* `fields` as an object, wherever it comes from: what is no JSON is kept under _raw, a time that cannot be read under
 * _ts_raw, so that a log line is never lost for its form. */
static void put_fields(JsonWriter *w, Arena *arena, json_object *fields, json_object *bad_time)
{
    Str text = json_str(fields);
    cleanup(json_putp) json_object *parsed = json_parse_exact(text);
    json_object *value = text.data ? parsed : fields;
    bool raw = text.data && !(parsed && json_is_finite(parsed));

    if (raw) {
        json_begin_object(w);
        json_put_str(w, "_raw", text);
        json_end_object(w);
    } else {
        json_value_object(w, value);
    }
    if (!bad_time || !(raw || json_object_is_type(value, json_type_object)))
        return;
    w->buf->len--; /* open the object again: json_key() takes our own keys only, not those of an attacker */
    w->need_comma = raw || json_object_object_length(value) > 0;
    json_put_str(w, "_ts_raw", as_text(arena, bad_time));
    json_end_object(w);
}

typedef struct Entries {
    json_object *one, *list; /* the one, or NULL and a list */
    int64_t now_us;
    Arena *arena;
    Buf fields; /* of the row that was read last */
} Entries;

static Str read_fields(Entries *e, json_object *fields, json_object *bad_time)
{
    JsonWriter w = {.buf = &e->fields};

    if (!fields)
        return STR("{}");
    buf_clear(&e->fields);
    put_fields(&w, e->arena, fields, bad_time);
    return buf_str(&e->fields);
}

/* One entry; a key that is missing or has another type is repaired. What is no object at all is kept as a line. */
static LogRow read_entry(void *arg, size_t i)
{
    Entries *e = arg;
    json_object *entry = e->one ? e->one : json_object_array_get_idx(e->list, i),
                *time = json_member(entry, "timestamp");
    LogRow row = {0};
    bool good = time && json_str(time).data && time_of_any_year_parse(json_str(time), &row.timestamp_us) == 0;

    if (!good)
        row.timestamp_us = e->now_us;
    for (size_t k = 0; k < ARRAY_SIZE(text_keys); k++) {
        json_object *value = json_member(entry, text_keys[k].key);
        Str text = value ? as_text(e->arena, value) : text_keys[k].required ? STR("") : (Str){0};
        if (text_keys[k].max_bytes)
            text = text_clip(text, text_keys[k].max_bytes);
        memcpy((char *)&row + text_keys[k].at, &text, sizeof(text));
    }
    row.attacker_ip = method_canonical_ip(e->arena, row.attacker_ip); /* as the attacker's row has it */
    if (!json_object_is_type(entry, json_type_object))
        row.raw_line = as_text(e->arena, entry);
    row.fields = read_fields(e, json_member(entry, "fields"), good ? NULL : time);
    return row;
}

static int append(MethodCall *call, Entries *entries, JsonWriter *w)
{
    size_t n = entries->one ? 1 : json_object_array_length(entries->list);
    int r = n ? logs_lock(call->repo, &entries->now_us) : 0; /* ids grow in commit order */

    r = r ? r : logs_append_each(call->repo, read_entry, entries, n);
    buf_free(&entries->fields);
    if (r == 0)
        json_value_null(w);
    return r;
}

static int add_log(MethodCall *call, JsonWriter *w)
{
    json_object *data = call->values[0].json;

    for (size_t i = 0; i < ARRAY_SIZE(text_keys); i++)
        if (text_keys[i].required && !json_member(data, text_keys[i].key))
            return method_invalid(call, "log_data: key %s is missing", text_keys[i].key);
    if (!json_object_object_get_ex(data, "fields", NULL))
        return method_invalid(call, "log_data: key fields is missing");
    return append(call, &(Entries){.one = data, .arena = call->arena}, w);
}

static int add_logs(MethodCall *call, JsonWriter *w)
{
    return append(call, &(Entries){.list = call->values[0].json, .arena = call->arena}, w);
}

/* --- lists --- */

/* Most queries have at most one word of a kind. That one is compared by itself, so that an index can find it and parallel
 * workers can share a scan; neither goes with the elements of an array. */
#define IS(column, n)                                                                                                  \
    " AND (cardinality(" n "::text[]) = 0 OR " column " = " n "[1])"                                                   \
    " AND (cardinality(" n ") < 2 OR " column " = ALL (" n "))"
#define IN_WINDOW                                                                                                      \
    " WHERE \"timestamp\" >= COALESCE($1::timestamptz, '-infinity')"                                                   \
    " AND \"timestamp\" <= COALESCE($2::timestamptz, 'infinity')"
#define COLUMNS_ARE IS("decky", "$3") IS("service", "$4") IS("event_type", "$5") IS("attacker_ip", "$6")
#define FIELDS_ARE                                                                                                     \
    " AND (cardinality($7::text[]) = 0 OR fields ->> $7[1] = $8[1])"                                                   \
    " AND (cardinality($7) < 2 OR (SELECT bool_and(fields ->> k IS NOT DISTINCT FROM v)"                               \
    "  FROM unnest($7, $8::text[]) AS t (k, v)))"

#define HAS(column, word) "strpos(lower(" column "), lower(" word ")) > 0"
#define IS_IN_ROW(word)                                                                                                \
    HAS("raw_line", word) " OR " HAS("decky", word) " OR " HAS("service", word) " OR " HAS("attacker_ip", word)
#define FIRST_WORD " AND (cardinality($9::text[]) = 0 OR " IS_IN_ROW("$9[1]") ")"
#define ALL_WORDS " AND (cardinality($9) < 2 OR (SELECT bool_and(" IS_IN_ROW("word") ") FROM unnest($9) AS t (word)))"

/* $1 to $9 as bind_filter() binds them. The statements are planned for their values (plan_anew): what is not asked for
 * is not there, and a time window or an address is found by its index. */
#define LOG_FILTER IN_WINDOW COLUMNS_ARE FIELDS_ARE FIRST_WORD ALL_WORDS

static int read_time(const MethodCall *call, int i, int64_t *ret_us)
{
    Str text = method_text(call, i);

    *ret_us = TIME_NONE;
    if (text.data && time_of_any_year_parse(text, ret_us) != 0)
        return method_invalid(call, "parameter %s must be a time", call->method->params[i].name);
    return 0;
}

static Str column_value(Arena *arena, const LogTerm *term)
{
    return term->column == LOG_COLUMN_ATTACKER_IP ? method_canonical_ip(arena, term->value) : term->value;
}

static void bind_terms(Arena *arena, Args *args, const LogTerm *terms, size_t n)
{
    ArgArray *columns[LOG_COLUMNS];

    for (int i = 0; i < LOG_COLUMNS; i++)
        columns[i] = arg_array(args, PG_TEXT);
    ArgArray *keys = arg_array(args, PG_TEXT), *values = arg_array(args, PG_TEXT), *words = arg_array(args, PG_TEXT);
    for (size_t i = 0; i < n; i++) {
        switch (terms[i].kind) {
        case LOG_TERM_COLUMN:
            array_str(columns[terms[i].column], column_value(arena, &terms[i]));
            break;
        case LOG_TERM_FIELD:
            array_str(keys, terms[i].key);
            array_str(values, terms[i].value);
            break;
        case LOG_TERM_TEXT:
            array_str(words, terms[i].value);
            break;
        }
    }
}

/* Parameters @search and the two behind it, the time window. */
static int bind_filter(const MethodCall *call, int search, Args *args)
{
    int64_t start_us, end_us;
    size_t n = 0;

    int r = read_time(call, search + 1, &start_us);
    r = r ? r : read_time(call, search + 2, &end_us);
    if (r != 0)
        return r;
    const LogTerm *terms = log_search_parse(call->arena, method_text(call, search), &n);
    arg_time(args, start_us);
    arg_time(args, end_us);
    bind_terms(call->arena, args, terms, n);
    return 0;
}

/* Runs @s with the filter, whose first parameter is @search, and behind it the other parameters in their order. */
static int read_logs(MethodCall *call, int search, const Statement *s, JsonWriter *w)
{
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = bind_filter(call, search, &args);
    if (r != 0)
        return r;
    for (int i = 0; i < METHOD_PARAMS_MAX && call->method->params[i].name; i++)
        if (i < search || i > search + 2)
            method_bind(call, i, &args);
    r = repo_exec(call->repo, s, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

static int get_logs(MethodCall *call, JsonWriter *w)
{
    static const Statement list = {.name = "method_get_logs",
                                   .shape = SHAPE_ROWS,
                                   .plan_anew = true,
                                   .sql = "SELECT * FROM logs" LOG_FILTER
                                          " ORDER BY \"timestamp\" DESC, id DESC LIMIT $10 OFFSET $11"};
    return read_logs(call, 2, &list, w);
}

static int get_total_logs(MethodCall *call, JsonWriter *w)
{
    static const Statement count = {.name = "method_get_total_logs",
                                    .shape = SHAPE_ROW,
                                    .plan_anew = true,
                                    .sql = "SELECT count(*) FROM logs" LOG_FILTER};
    return read_logs(call, 0, &count, w);
}

/* Intervals start at the epoch, whatever the window. Longer ones than all time there is are no different from it. */
static int get_log_histogram(MethodCall *call, JsonWriter *w)
{
    static const Statement histogram = {
        .name = "method_get_log_histogram",
        .shape = SHAPE_ROWS,
        .plan_anew = true,
        .sql = "SELECT to_char(start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS time, count(*) AS count"
               " FROM (SELECT date_bin(make_interval(secs => 60 * LEAST(GREATEST($10, 1), 10000000000)),"
               "  \"timestamp\", 'epoch') AS start FROM logs" LOG_FILTER ") b GROUP BY start ORDER BY start"};
    return read_logs(call, 0, &histogram, w);
}

static int get_logs_after_id(MethodCall *call, JsonWriter *w)
{
    static const Statement tail = {.name = "method_get_logs_after_id",
                                   .shape = SHAPE_ROWS,
                                   .plan_anew = true,
                                   .sql = "SELECT * FROM logs" LOG_FILTER " AND id > $10 ORDER BY id LIMIT $11"};
    return read_logs(call, 2, &tail, w);
}

#define LOG_FILTER_PARAMS                                                                                              \
    {"search", PARAM_FILTER, .nullable = true}, {"start_time", PARAM_FILTER, .nullable = true},                        \
    {                                                                                                                  \
        "end_time", PARAM_FILTER, .nullable = true                                                                     \
    }

METHOD(add_log, .params = {{"log_data", PARAM_OBJECT, .required = true}}, .returns = "void", .writes = true,
       .run = add_log);

METHOD(add_logs, .params = {{"log_entries", PARAM_LIST, .required = true}}, .returns = "void", .writes = true,
       .run = add_logs);

METHOD(get_max_log_id, .returns = "int", .shape = METHOD_SCALAR,
       .statement.sql = "SELECT COALESCE(max(id), 0) FROM logs");

METHOD(get_logs,
       .params = {{"limit", PARAM_LIMIT, .standard = "50"},
                  {"offset", PARAM_COUNT, .standard = "0"},
                  LOG_FILTER_PARAMS},
       .returns = "list[row(logs)]", .shape = METHOD_ROWS, .run = get_logs);

METHOD(get_total_logs, .params = {LOG_FILTER_PARAMS}, .returns = "int", .shape = METHOD_SCALAR, .run = get_total_logs);

METHOD(get_log_histogram, .params = {LOG_FILTER_PARAMS, {"interval_minutes", PARAM_INT, .standard = "15"}},
       .returns = "list[{time, count}]", .shape = METHOD_ROWS, .run = get_log_histogram);

METHOD(get_logs_after_id,
       .params = {{"last_id", PARAM_INT, .required = true},
                  {"limit", PARAM_LIMIT, .standard = "500"},
                  LOG_FILTER_PARAMS},
       .returns = "list[row(logs)]", .shape = METHOD_ROWS, .run = get_logs_after_id);
