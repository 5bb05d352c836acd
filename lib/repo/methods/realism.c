/* Methods on the files that make deckies look lived in, and on the knobs of that. */
#include "methods.h"

enum { BODY_CHARS = 65536, CONFIG_KEY_CHARS = 64 };

/* --- files --- */

/* What an edit may change; X(name, type, flags, max, default). The hash is that of the whole body, which is cut. */
#define EDIT_COLUMNS(X)                                                                                                \
    X(persona, COLUMN_TEXT, 0, 0, "NULL")                                                                              \
    X(content_class, COLUMN_TEXT, 0, 0, "NULL")                                                                        \
    X(last_modified, COLUMN_TIME, 0, 0, "t.now")                                                                       \
    X(edit_count, COLUMN_INT, 0, 0, "0")                                                                               \
    X(content_hash, COLUMN_TEXT, 0, 0, "NULL")                                                                         \
    X(last_body, COLUMN_TEXT, 0, BODY_CHARS, "''")

static int record_file(MethodCall *call, JsonWriter *w)
{
    static const Column columns[] = {
        {"uuid", COLUMN_UUID},
        {"decky_uuid", COLUMN_ID, COLUMN_REQUIRED},
        {"path", COLUMN_TEXT, COLUMN_REQUIRED},
        {"persona", COLUMN_TEXT, COLUMN_REQUIRED},
        {"content_class", COLUMN_TEXT, COLUMN_REQUIRED},
        {"content_hash", COLUMN_TEXT, COLUMN_REQUIRED},
        {"created_at", COLUMN_TIME},
        {"last_modified", COLUMN_TIME},
        {"edit_count", COLUMN_INT},
        {"last_body", COLUMN_TEXT, 0, BODY_CHARS},
    };
    static const Statement insert = {
        .name = "method_record_synthetic_file",
        .shape = SHAPE_ROW,
        .sql = "INSERT INTO synthetic_files (uuid, decky_uuid, path, created_at" EDIT_COLUMNS(
            UPSERT_NAME) ") SELECT COALESCE(r.uuid, gen_random_uuid()), r.decky_uuid, r.path,"
                         "  COALESCE(r.created_at, t.now)" EDIT_COLUMNS(
                             UPSERT_VALUE) " FROM jsonb_populate_record(NULL::synthetic_files, $1) r,"
                                           "  (SELECT decnet_now() AS now) t RETURNING uuid"};
    return method_run_dictionary(call, 0, columns, ARRAY_SIZE(columns), &insert, w);
}

static int update_file(MethodCall *call, JsonWriter *w)
{
    static const Column columns[] = {EDIT_COLUMNS(UPSERT_COLUMN)};
    static const Statement update = {
        .name = "method_update_synthetic_file",
        .shape = SHAPE_NONE,
        .sql = "UPDATE synthetic_files a SET uuid = a.uuid" EDIT_COLUMNS(
            PATCH_SET) " FROM jsonb_populate_record(NULL::synthetic_files, $1) r WHERE a.uuid = $2"};
    return method_run_patch(call, columns, ARRAY_SIZE(columns), &update, w);
}

METHOD(record_synthetic_file, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "uuid", .writes = true,
       .shape = METHOD_SCALAR, .run = record_file);

METHOD(update_synthetic_file,
       .params = {{"uuid", PARAM_UUID, .required = true}, {"data", PARAM_OBJECT, .required = true}}, .returns = "void",
       .writes = true, .run = update_file);

METHOD(get_synthetic_file, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "row(synthetic_files)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM synthetic_files WHERE uuid = $1");

/* --- lists: a statement for one decky and one for all, as one for both would not use the index of deckies --- */

#define OF_DECKY " WHERE decky_uuid = $1 AND"
#define OF_ALL " WHERE"
#define FILTERED " ($2::text IS NULL OR persona = $2) AND ($3::text IS NULL OR content_class = $3)"
#define PAGE " ORDER BY last_modified DESC, uuid DESC LIMIT $4 OFFSET $5"

static int run_of_decky(MethodCall *call, const Statement *of_decky, const Statement *of_all, JsonWriter *w)
{
    return method_run_statement(call, call->values[0].is_null ? of_all : of_decky, w);
}

static int list_files(MethodCall *call, JsonWriter *w)
{
    static const Statement of_decky = {"method_list_synthetic_files_decky", SHAPE_ROWS,
                                       "SELECT * FROM synthetic_files" OF_DECKY FILTERED PAGE, .plan_anew = true};
    static const Statement of_all = {"method_list_synthetic_files", SHAPE_ROWS,
                                     "SELECT * FROM synthetic_files" OF_ALL FILTERED PAGE, .plan_anew = true};
    return run_of_decky(call, &of_decky, &of_all, w);
}

static int count_files(MethodCall *call, JsonWriter *w)
{
    static const Statement of_decky = {"method_count_synthetic_files_decky", SHAPE_ROWS,
                                       "SELECT count(*) FROM synthetic_files" OF_DECKY FILTERED};
    static const Statement of_all = {"method_count_synthetic_files", SHAPE_ROWS,
                                     "SELECT count(*) FROM synthetic_files" OF_ALL FILTERED};
    return run_of_decky(call, &of_decky, &of_all, w);
}

METHOD(list_synthetic_files,
       .params = {{"decky_uuid", PARAM_ID, .nullable = true},
                  {"persona", PARAM_TEXT, .nullable = true},
                  {"content_class", PARAM_TEXT, .nullable = true},
                  {"limit", PARAM_LIMIT, .standard = "100"},
                  {"offset", PARAM_COUNT, .standard = "0"}},
       .returns = "list[row(synthetic_files)]", .shape = METHOD_ROWS, .run = list_files);

METHOD(count_synthetic_files,
       .params = {{"decky_uuid", PARAM_ID, .nullable = true},
                  {"persona", PARAM_TEXT, .nullable = true},
                  {"content_class", PARAM_TEXT, .nullable = true}},
       .returns = "int", .shape = METHOD_SCALAR, .run = count_files);

/* Mails, caches and canaries are left as they are: an edit would not look real or would break what was planted. */
METHOD(pick_random_synthetic_file_for_edit,
       .params = {{"decky_uuid", PARAM_ID, .required = true}, {"max_age_days", PARAM_INT, .standard = "30"}},
       .returns = "row(synthetic_files)?", .shape = METHOD_ROW,
       .statement.sql = "SELECT * FROM synthetic_files WHERE decky_uuid = $1"
                        " AND content_class IN ('note', 'todo', 'draft', 'script', 'log_cron', 'log_daemon')"
                        " AND last_modified >= (SELECT decnet_now() - make_interval(days =>"
                        "  GREATEST(LEAST($2, 1000000), -1000000)::int))" /* beyond lies what timestamptz can say */
                        " ORDER BY random() LIMIT 1");

/* --- knobs --- */

METHOD(get_realism_config, .params = {{"key", PARAM_TEXT, .required = true}}, .returns = "row(realism_config)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM realism_config WHERE key = $1");

static int set_config(MethodCall *call, JsonWriter *w)
{
    static const Statement upsert = {
        .name = "method_set_realism_config",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO realism_config (key, value, updated_at) VALUES ($1, $2, decnet_now())"
               " ON CONFLICT (key) DO UPDATE SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at"};
    Str key = method_text(call, 0);

    if (text_clip_chars(key, CONFIG_KEY_CHARS).len != key.len)
        return method_invalid(call, "parameter key must be text of at most %d characters", CONFIG_KEY_CHARS);
    return method_run_statement(call, &upsert, w);
}

METHOD(set_realism_config, .params = {{"key", PARAM_TEXT, .required = true}, {"value", PARAM_TEXT, .required = true}},
       .returns = "void", .writes = true, .run = set_config);
