/* Webhook subscriptions and their circuit: enabled, paused (not enabled), tripped (paused, auto_disabled_at set). */
#include "methods.h"

/* Columns that can be changed later on, too. @need_: what has no default. */
#define SUBSCRIPTION_COLUMNS(X, need_)                                                                                 \
    X(name, COLUMN_TEXT, need_, 0, "NULL")                                                                             \
    X(url, COLUMN_TEXT, need_, 0, "NULL")                                                                              \
    X(secret, COLUMN_TEXT, need_, 0, "NULL")                                                                           \
    X(topic_patterns, COLUMN_TEXTS, 0, 0, "'[]'")                                                                      \
    X(enabled, COLUMN_BOOL, 0, 0, "true")                                                                              \
    X(consecutive_failures, COLUMN_COUNT, 0, 0, "0")                                                                   \
    X(last_success_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                        \
    X(last_failure_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                        \
    X(last_error, COLUMN_TEXT, COLUMN_NULLABLE, 512, "NULL")                                                           \
    X(auto_disabled_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")

#define SUBSCRIPTION_NAMES SUBSCRIPTION_COLUMNS(UPSERT_NAME, )
#define SUBSCRIPTION_VALUES SUBSCRIPTION_COLUMNS(UPSERT_VALUE, )
#define SUBSCRIPTION_CHANGES SUBSCRIPTION_COLUMNS(PATCH_SET, )

static const Column columns[] = {{"uuid", COLUMN_UUID, COLUMN_NULLABLE, 0},
                                 {"created_at", COLUMN_TIME, 0, 0},
                                 {"updated_at", COLUMN_TIME, 0, 0},
                                 SUBSCRIPTION_COLUMNS(UPSERT_COLUMN, COLUMN_REQUIRED)};

static const Column patch_columns[] = {SUBSCRIPTION_COLUMNS(UPSERT_COLUMN, 0)};

static int create_webhook_subscription(MethodCall *call, JsonWriter *w)
{
    static const Statement insert = {
        .name = "method_create_webhook_subscription",
        .shape = SHAPE_ROWS,
        .sql = "INSERT INTO webhook_subscriptions (uuid, created_at, updated_at" SUBSCRIPTION_NAMES ")"
               " SELECT COALESCE(r.uuid, gen_random_uuid()), COALESCE(r.created_at, n.now),"
               "  COALESCE(r.updated_at, n.now)" SUBSCRIPTION_VALUES
               " FROM jsonb_populate_record(NULL::webhook_subscriptions, $1) r, (SELECT decnet_now() AS now) n"};

    return method_run_dictionary(call, 0, columns, ARRAY_SIZE(columns), &insert, w);
}

static int update_webhook_subscription(MethodCall *call, JsonWriter *w)
{
    static const Statement update = {
        .name = "method_update_webhook_subscription",
        .shape = SHAPE_ROWS,
        .sql = "WITH changed AS"
               "  (UPDATE webhook_subscriptions AS a SET updated_at = decnet_now()" SUBSCRIPTION_CHANGES
               "   FROM jsonb_populate_record(NULL::webhook_subscriptions, $1) r WHERE a.uuid = $2 RETURNING 1)"
               " SELECT EXISTS (SELECT FROM changed)"};

    if (json_object_object_length(call->values[1].json) > 0)
        return method_run_patch(call, patch_columns, ARRAY_SIZE(patch_columns), &update, w);
    json_value_bool(w, true);
    return 0;
}

METHOD(create_webhook_subscription, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "void",
       .writes = true, .run = create_webhook_subscription);

METHOD(get_webhook_subscription, .params = {{"uuid", PARAM_UUID, .required = true}},
       .returns = "row(webhook_subscriptions)?", .shape = METHOD_ROW,
       .statement.sql = "SELECT * FROM webhook_subscriptions WHERE uuid = $1");

METHOD(get_webhook_subscription_by_name, .params = {{"name", PARAM_TEXT, .required = true}},
       .returns = "row(webhook_subscriptions)?", .shape = METHOD_ROW,
       .statement.sql = "SELECT * FROM webhook_subscriptions WHERE name = $1");

METHOD(list_webhook_subscriptions, .params = {{"enabled_only", PARAM_BOOL, .standard = "false"}},
       .returns = "list[row(webhook_subscriptions)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM webhook_subscriptions WHERE enabled OR NOT $1 ORDER BY created_at, uuid");

METHOD(update_webhook_subscription,
       .params = {{"uuid", PARAM_UUID, .required = true}, {"patch", PARAM_OBJECT, .required = true}}, .returns = "bool",
       .writes = true, .shape = METHOD_SCALAR, .run = update_webhook_subscription);

METHOD(delete_webhook_subscription, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "bool",
       .writes = true, .shape = METHOD_SCALAR,
       .statement.sql = "WITH gone AS (DELETE FROM webhook_subscriptions WHERE uuid = $1 RETURNING 1)"
                        " SELECT EXISTS (SELECT FROM gone)");

/* A delivery that was under way when the circuit tripped must not wipe out why it did. */
#define TRIPPED "(NOT enabled AND auto_disabled_at IS NOT NULL)"

METHOD(record_webhook_success, .params = {{"uuid", PARAM_UUID, .required = true}, {"ts", PARAM_TIME, .required = true}},
       .returns = "void", .writes = true,
       .statement.sql = "UPDATE webhook_subscriptions SET last_success_at = $2,"
                        "  consecutive_failures = CASE WHEN " TRIPPED " THEN consecutive_failures ELSE 0 END,"
                        "  last_error = CASE WHEN " TRIPPED " THEN last_error END,"
                        "  updated_at = CASE WHEN " TRIPPED " THEN updated_at ELSE $2 END WHERE uuid = $1");

METHOD(record_webhook_failure,
       .params = {{"uuid", PARAM_UUID, .required = true},
                  {"ts", PARAM_TIME, .required = true},
                  {"error", PARAM_TEXT, .required = true}},
       .returns = "int", .writes = true, .shape = METHOD_SCALAR,
       .statement.sql = "WITH failed AS (UPDATE webhook_subscriptions"
                        "  SET consecutive_failures = consecutive_failures + 1, last_failure_at = $2,"
                        "   last_error = NULLIF(left($3, 512), ''), updated_at = $2"
                        "  WHERE uuid = $1 RETURNING consecutive_failures)"
                        " SELECT COALESCE((SELECT consecutive_failures FROM failed), 0)");

METHOD(trip_webhook_circuit, .params = {{"uuid", PARAM_UUID, .required = true}, {"ts", PARAM_TIME, .required = true}},
       .returns = "void", .writes = true,
       .statement.sql = "UPDATE webhook_subscriptions SET enabled = false, auto_disabled_at = $2, updated_at = $2"
                        " WHERE uuid = $1");
