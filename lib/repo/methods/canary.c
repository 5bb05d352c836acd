/* Canary blobs, tokens and triggers. Locks are taken in this order. */
#include "methods.h"

/* --- blobs --- */

static const Column blob_columns[] = {
    {"uuid", COLUMN_UUID, COLUMN_NULLABLE, 0}, {"sha256", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"filename", COLUMN_TEXT, 0, 0},           {"content_type", COLUMN_TEXT, 0, 0},
    {"size_bytes", COLUMN_INT, 0, 0},          {"uploaded_by", COLUMN_TEXT, 0, 0},
    {"uploaded_at", COLUMN_TIME, 0, 0},
};

/* The first upload stays as it is, and lends what a later call does not give, as NOT NULL is checked before the conflict
 * is found. */
static int store_blob(MethodCall *call, Args *blob)
{
    static const Statement insert = {
        .name = "method_insert_canary_blob",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO canary_blobs (uuid, sha256, filename, content_type, size_bytes, uploaded_by, uploaded_at)"
               " SELECT COALESCE(r.uuid, gen_random_uuid()), r.sha256, COALESCE(r.filename, e.filename),"
               "  COALESCE(r.content_type, e.content_type), COALESCE(r.size_bytes, e.size_bytes),"
               "  COALESCE(r.uploaded_by, e.uploaded_by), COALESCE(r.uploaded_at, decnet_now())"
               " FROM jsonb_populate_record(NULL::canary_blobs, $1) r LEFT JOIN canary_blobs e ON e.sha256 = r.sha256"
               " ON CONFLICT DO NOTHING"};

    return repo_run(call->repo, &insert, blob, NULL);
}

/* Nothing was stored, and nothing is there: the id is another's, or the blob has been deleted since. */
static int no_blob(MethodCall *call, Args *blob)
{
    static const Statement select = {.name = "method_get_blob_of_id",
                                     .shape = SHAPE_ROWS,
                                     .sql = "SELECT 1 FROM canary_blobs WHERE uuid = ($1 ->> 'uuid')::uuid"};
    cleanup(pgresult_freep) PGresult *other = NULL;

    int r = repo_exec(call->repo, &select, blob, &other);
    if (r == 0 && PQntuples(other) > 0)
        return method_fail(call, REPO_E_CONFLICT, NULL, "data: another blob has this uuid; leave it out");
    return r ? r : method_fail(call, REPO_E_RETRY, NULL, "the blob was deleted meanwhile; call again");
}

static int upsert_canary_blob(MethodCall *call, JsonWriter *w)
{
    static const Statement select = {.name = "method_get_stored_canary_blob",
                                     .shape = SHAPE_ROWS,
                                     .sql = "SELECT * FROM canary_blobs WHERE sha256 = $1 ->> 'sha256'"};
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args blob = {0};
    cleanup(pgresult_freep) PGresult *stored = NULL;
    JsonWriter inner = {.buf = &clean};

    if (json_get_str(call->values[0].json, "sha256").len == 0)
        return method_invalid(call, "data: key sha256 is missing or empty");
    int r = data_write(call, "data", call->values[0].json, blob_columns, ARRAY_SIZE(blob_columns), &inner);
    if (r != 0)
        return r;
    arg_json(&blob, buf_str(&clean));
    r = store_blob(call, &blob);
    r = r ? r : repo_exec(call->repo, &select, &blob, &stored);
    if (r == 0 && PQntuples(stored) == 0)
        return no_blob(call, &blob);
    if (r == 0)
        method_write_rows(call, stored, w);
    return r;
}

/* The lock waits for a token that is being made of the blob, which the second statement then sees; one that comes later
 * waits in turn and finds no blob. */
static int delete_canary_blob(MethodCall *call, JsonWriter *w)
{
    static const Statement lock = {.name = "method_lock_canary_blob",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT 1 FROM canary_blobs WHERE uuid = $1 FOR UPDATE"};
    static const Statement delete = {.name = "method_delete_canary_blob",
                                     .shape = SHAPE_NONE,
                                     .sql = "DELETE FROM canary_blobs WHERE uuid = $1 AND NOT EXISTS"
                                            " (SELECT FROM canary_tokens WHERE blob_uuid = $1)"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *locked = NULL;
    int64_t n = 0;

    method_bind(call, 0, &args);
    int r = repo_exec(call->repo, &lock, &args, &locked);
    if (r == 0 && PQntuples(locked) > 0)
        r = repo_run(call->repo, &delete, &args, &n);
    if (r == 0)
        json_value_bool(w, n > 0);
    return r;
}

METHOD(upsert_canary_blob, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "row(canary_blobs)",
       .writes = true, .shape = METHOD_ROW, .run = upsert_canary_blob);

METHOD(get_canary_blob, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "row(canary_blobs)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM canary_blobs WHERE uuid = $1");

METHOD(get_canary_blob_by_sha256, .params = {{"sha256", PARAM_TEXT, .required = true}}, .returns = "row(canary_blobs)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM canary_blobs WHERE sha256 = $1");

METHOD(list_canary_blobs, .returns = "list[row(canary_blobs) + {token_count}]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT b.*, COALESCE(t.n, 0) AS token_count FROM canary_blobs b LEFT JOIN"
                        "  (SELECT blob_uuid, count(*) AS n FROM canary_tokens WHERE blob_uuid IS NOT NULL"
                        "   GROUP BY blob_uuid) t ON t.blob_uuid = b.uuid"
                        " ORDER BY b.uploaded_at DESC, b.uuid");

METHOD(delete_canary_blob, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "bool", .writes = true,
       .shape = METHOD_SCALAR, .run = delete_canary_blob);

/* --- tokens --- */

#define TOKEN_COLUMNS(X)                                                                                               \
    X(kind, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                                   \
    X(decky_name, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                             \
    X(topology_id, COLUMN_UUID, COLUMN_NULLABLE, 0, "NULL")                                                            \
    X(blob_uuid, COLUMN_UUID, COLUMN_NULLABLE, 0, "NULL")                                                              \
    X(instrumenter, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                           \
    X(generator, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                              \
    X(placement_path, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                         \
    X(callback_token, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                         \
    X(secret_seed, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                            \
    X(placed_at, COLUMN_TIME, 0, 0, "decnet_now()")                                                                    \
    X(last_triggered_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                      \
    X(trigger_count, COLUMN_INT, 0, 0, "0")                                                                            \
    X(created_by, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                             \
    X(state, COLUMN_TEXT, 0, 0, "'planted'")                                                                           \
    X(last_error, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                             \
    X(fingerprint_nonce, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")

#define TOKEN_NAMES TOKEN_COLUMNS(UPSERT_NAME)
#define TOKEN_VALUES TOKEN_COLUMNS(UPSERT_VALUE)

static const Column token_columns[] = {{"uuid", COLUMN_UUID, COLUMN_NULLABLE, 0}, TOKEN_COLUMNS(UPSERT_COLUMN)};

static int create_canary_token(MethodCall *call, JsonWriter *w)
{
    static const Statement insert = {.name = "method_create_canary_token",
                                     .shape = SHAPE_ROWS,
                                     .sql = "INSERT INTO canary_tokens (uuid" TOKEN_NAMES ")"
                                            " SELECT COALESCE(r.uuid, gen_random_uuid())" TOKEN_VALUES
                                            " FROM jsonb_populate_record(NULL::canary_tokens, $1) r"};

    return method_run_dictionary(call, 0, token_columns, ARRAY_SIZE(token_columns), &insert, w);
}

static int list_canary_tokens(MethodCall *call, JsonWriter *w)
{
    return method_run_filtered(call, 3, w);
}

METHOD(create_canary_token, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "void", .writes = true,
       .run = create_canary_token);

METHOD(get_canary_token, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "row(canary_tokens)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM canary_tokens WHERE uuid = $1");

/* Resolvers change the case of names, so a slug that came by DNS is found without it, unless two tokens could be meant.
 * To a visitor only planted tokens exist. */
METHOD(get_canary_token_by_slug, .params = {{"callback_token", PARAM_TEXT, .required = true}},
       .returns = "row(canary_tokens)?", .shape = METHOD_ROW,
       .statement.sql = "WITH near AS (SELECT * FROM canary_tokens"
                        "  WHERE lower(callback_token) = lower($1) AND state = 'planted')"
                        " SELECT * FROM near WHERE callback_token = $1 OR (SELECT count(*) FROM near) = 1");

METHOD(list_canary_tokens,
       .params = {{"decky_name", PARAM_TEXT, .nullable = true},
                  {"state", PARAM_TEXT, .nullable = true},
                  {"kind", PARAM_TEXT, .nullable = true},
                  {"topology_id", PARAM_UUID, .nullable = true}},
       .returns = "list[row(canary_tokens)]", .shape = METHOD_ROWS, .run = list_canary_tokens,
       .statement.sql = "SELECT * FROM canary_tokens"
                        " WHERE ($1::text IS NULL OR decky_name = $1) AND ($2::text IS NULL OR state = $2)"
                        "  AND ($3::text IS NULL OR kind = $3) AND ($4::uuid IS NULL OR topology_id = $4)"
                        " ORDER BY placed_at DESC, uuid",
       .statement.plan_anew = true);

METHOD(update_canary_token_state,
       .params = {{"uuid", PARAM_UUID, .required = true},
                  {"state", PARAM_TEXT, .required = true},
                  {"last_error", PARAM_TEXT, .nullable = true}},
       .returns = "bool", .writes = true, .shape = METHOD_SCALAR,
       .statement.sql = "WITH changed AS"
                        "  (UPDATE canary_tokens SET state = $2, last_error = $3 WHERE uuid = $1 RETURNING 1)"
                        " SELECT EXISTS (SELECT FROM changed)");

/* --- triggers --- */

static const Column trigger_columns[] = {
    {"uuid", COLUMN_UUID, COLUMN_NULLABLE, 0},        {"token_uuid", COLUMN_UUID, COLUMN_REQUIRED, 0},
    {"occurred_at", COLUMN_TIME, COLUMN_NULLABLE, 0}, {"src_ip", COLUMN_IP, COLUMN_REQUIRED, 0},
    {"user_agent", COLUMN_TEXT, COLUMN_NULLABLE, 0},  {"request_path", COLUMN_TEXT, COLUMN_NULLABLE, 0},
    {"dns_qname", COLUMN_TEXT, COLUMN_NULLABLE, 0},   {"raw_headers", COLUMN_JSON_OBJECT, COLUMN_NULLABLE, 0},
    {"attacker_id", COLUMN_UUID, COLUMN_NULLABLE, 0},
};

/* json, not jsonb, all the way: the order of the headers tells clients apart. */
static int record_canary_trigger(MethodCall *call, JsonWriter *w)
{
    static const Statement insert = {
        .name = "method_record_canary_trigger",
        .shape = SHAPE_ROW,
        .sql =
            "WITH hit AS (SELECT COALESCE(r.uuid, gen_random_uuid()) AS uuid, token_uuid,"
            "  COALESCE(occurred_at, decnet_now()) AS occurred_at, src_ip, user_agent, request_path, dns_qname,"
            "  CASE json_typeof(raw_headers) WHEN 'object' THEN raw_headers ELSE '{}' END AS raw_headers, attacker_id"
            "  FROM json_populate_record(NULL::canary_triggers, $1) r),"
            " token AS (UPDATE canary_tokens t SET trigger_count = trigger_count + 1,"
            "  last_triggered_at = GREATEST(last_triggered_at, hit.occurred_at) FROM hit WHERE t.uuid = hit.token_uuid)"
            " INSERT INTO canary_triggers (uuid, token_uuid, occurred_at, src_ip, user_agent, request_path, dns_qname,"
            "  raw_headers, attacker_id) SELECT * FROM hit RETURNING uuid"};
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &clean};

    int r = data_write(call, "data", call->values[0].json, trigger_columns, ARRAY_SIZE(trigger_columns), &inner);
    if (r != 0)
        return r;
    arg_json_text(&args, buf_str(&clean));
    r = repo_exec(call->repo, &insert, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

METHOD(record_canary_trigger, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "trigger uuid",
       .writes = true, .shape = METHOD_SCALAR, .run = record_canary_trigger);

METHOD(list_canary_triggers,
       .params = {{"token_uuid", PARAM_UUID, .required = true},
                  {"limit", PARAM_LIMIT, .standard = "100"},
                  {"offset", PARAM_COUNT, .standard = "0"}},
       .returns = "list[row(canary_triggers)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM canary_triggers WHERE token_uuid = $1"
                        " ORDER BY occurred_at DESC, uuid DESC LIMIT $2 OFFSET $3");

METHOD(attribute_canary_trigger,
       .params = {{"trigger_uuid", PARAM_UUID, .required = true}, {"attacker_id", PARAM_NEW_ID, .required = true}},
       .returns = "bool", .writes = true, .shape = METHOD_SCALAR,
       .statement.sql = "WITH changed AS (UPDATE canary_triggers SET attacker_id = $2 WHERE uuid = $1 RETURNING 1)"
                        " SELECT EXISTS (SELECT FROM changed)");
