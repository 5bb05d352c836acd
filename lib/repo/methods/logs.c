/* Methods on logs. */
#include "repo/logs.h"

#include <string.h>

#include "methods.h"

static const struct {
    const char *key;
    bool required;
} text_keys[] = {
    {"decky", true},    {"service", true}, {"event_type", true}, {"attacker_ip", true},
    {"raw_line", true}, {"msg", false},    {"trace_id", false},  {"span_id", false},
};

/* What @value says as text: itself when it is text, else its JSON. */
static void put_as_text(JsonWriter *w, const char *key, json_object *value)
{
    cleanup(buf_free) Buf text = {0};
    JsonWriter inner = {.buf = &text};
    Str s = json_str(value);

    if (!s.data) {
        json_value_object(&inner, value);
        s = buf_str(&text);
    }
    json_put_str(w, key, s);
}

/* `fields` as an object, wherever it comes from: what is no JSON is kept under _raw, a time that cannot be read under
 * _ts_raw, so that a log line is never lost for its form. */
static void put_fields(JsonWriter *w, json_object *fields, json_object *bad_time)
{
    Str text = json_str(fields);
    cleanup(json_putp) json_object *parsed = text.data ? json_parse(text) : NULL;
    json_object *value = text.data ? parsed : fields;
    bool raw = text.data && !parsed;

    json_key(w, "fields");
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
    put_as_text(w, "_ts_raw", bad_time);
    json_end_object(w);
}

/* One entry; a key that is missing or has another type is repaired. */
static void write_entry(json_object *entry, JsonWriter *w)
{
    json_object *time = json_member(entry, "timestamp");
    int64_t us = TIME_NONE;
    bool good = time && json_str(time).data && time_parse(json_str(time), &us, NULL) == 0;

    json_begin_object(w);
    for (size_t i = 0; i < ARRAY_SIZE(text_keys); i++) {
        json_object *value = json_member(entry, text_keys[i].key);
        if (value)
            put_as_text(w, text_keys[i].key, value);
        else if (text_keys[i].required)
            json_put_cstr(w, text_keys[i].key, "");
    }
    json_put_time(w, "timestamp", good ? us : TIME_NONE);
    put_fields(w, json_member(entry, "fields"), good ? NULL : time);
    json_end_object(w);
}

/* What is no entry at all is kept as a line. */
static void write_stray(json_object *entry, JsonWriter *w)
{
    json_begin_object(w);
    for (size_t i = 0; i < ARRAY_SIZE(text_keys); i++) {
        if (strcmp(text_keys[i].key, "raw_line") == 0)
            put_as_text(w, "raw_line", entry);
        else if (text_keys[i].required)
            json_put_cstr(w, text_keys[i].key, "");
    }
    json_end_object(w);
}

static int insert_logs(MethodCall *call, Str entries, JsonWriter *w)
{
    static const Statement insert = {
        .name = "method_add_logs",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line, msg, trace_id, span_id, fields,"
               "  \"timestamp\")"
               " SELECT decky, service, event_type, attacker_ip, raw_line, msg, trace_id, span_id,"
               "  COALESCE(fields, '{}'), COALESCE(ts, decnet_now())"
               " FROM ROWS FROM (jsonb_to_recordset($1) AS (decky text, service text, event_type text,"
               "  attacker_ip text, raw_line text, msg text, trace_id text, span_id text, fields jsonb,"
               "  \"timestamp\" timestamptz)) WITH ORDINALITY AS e (decky, service, event_type, attacker_ip, raw_line,"
               "  msg, trace_id, span_id, fields, ts, n) ORDER BY n"};
    cleanup(args_free) Args args = {0};

    int r = logs_lock_and_compare(call->repo, NULL, 0, NULL); /* ids grow in commit order */
    if (r != 0)
        return r;
    arg_json(&args, entries);
    r = repo_run(call->repo, &insert, &args, NULL);
    if (r == 0)
        json_value_null(w);
    return r;
}

static int add_log(MethodCall *call, JsonWriter *w)
{
    json_object *data = call->values[0].json;
    cleanup(buf_free) Buf entries = {0};
    JsonWriter inner = {.buf = &entries};

    for (size_t i = 0; i < ARRAY_SIZE(text_keys); i++)
        if (text_keys[i].required && !json_member(data, text_keys[i].key))
            return method_invalid(call, "log_data: key %s is missing", text_keys[i].key);
    if (!json_object_object_get_ex(data, "fields", NULL))
        return method_invalid(call, "log_data: key fields is missing");
    json_begin_array(&inner);
    write_entry(data, &inner);
    json_end_array(&inner);
    return insert_logs(call, buf_str(&entries), w);
}

static int add_logs(MethodCall *call, JsonWriter *w)
{
    json_object *list = call->values[0].json;
    size_t n = json_object_array_length(list);
    cleanup(buf_free) Buf entries = {0};
    JsonWriter inner = {.buf = &entries};

    if (n == 0) {
        json_value_null(w);
        return 0;
    }
    json_begin_array(&inner);
    for (size_t i = 0; i < n; i++) {
        json_object *entry = json_object_array_get_idx(list, i);
        if (json_object_is_type(entry, json_type_object))
            write_entry(entry, &inner);
        else
            write_stray(entry, &inner);
    }
    json_end_array(&inner);
    return insert_logs(call, buf_str(&entries), w);
}

METHOD(add_log, .params = {{"log_data", PARAM_OBJECT, .required = true}}, .returns = "void", .writes = true,
       .run = add_log);

METHOD(add_logs, .params = {{"log_entries", PARAM_LIST, .required = true}}, .returns = "void", .writes = true,
       .run = add_logs);

METHOD(get_max_log_id, .returns = "int", .shape = METHOD_SCALAR,
       .statement.sql = "SELECT COALESCE(max(id), 0) FROM logs");
