/* Methods on what the orchestrator made happen so that deckies look alive: events and mails. */
#include "methods.h"

/* --- writing --- */

/* Rows X(name, type, flags, max, default); uuid is given by callers that want to repeat a call safely. Text that holds
 * null is no payload either, so a given one is never replaced by the default. */
#define EVENT_COLUMNS(X)                                                                                               \
    X(ts, COLUMN_TIME, 0, 0, "decnet_now()")                                                                           \
    X(kind, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                                   \
    X(protocol, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                               \
    X(action, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                                 \
    X(src_decky_uuid, COLUMN_ID, COLUMN_NULLABLE, 0, "NULL")                                                           \
    X(dst_decky_uuid, COLUMN_ID, COLUMN_REQUIRED, 0, "NULL")                                                           \
    X(success, COLUMN_BOOL, 0, 0, "false")                                                                             \
    X(payload, COLUMN_JSON, 0, 0, "'{}'")

#define EMAIL_COLUMNS(X)                                                                                               \
    X(ts, COLUMN_TIME, 0, 0, "decnet_now()")                                                                           \
    X(mail_decky_uuid, COLUMN_ID, COLUMN_REQUIRED, 0, "NULL")                                                          \
    X(thread_id, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                              \
    X(message_id, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                             \
    X(in_reply_to, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                            \
    X(sender_email, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                           \
    X(recipient_email, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                        \
    X(subject, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                                \
    X(language, COLUMN_TEXT, COLUMN_STRICT, 8, "'en'")                                                                 \
    X(eml_path, COLUMN_TEXT, COLUMN_REQUIRED, 0, "NULL")                                                               \
    X(success, COLUMN_BOOL, 0, 0, "false")                                                                             \
    X(payload, COLUMN_JSON, 0, 0, "'{}'")

#define INSERT_OF(table, COLUMNS)                                                                                      \
    "INSERT INTO " table " (uuid" COLUMNS(UPSERT_NAME) ") SELECT COALESCE(r.uuid, gen_random_uuid())" COLUMNS(         \
        UPSERT_VALUE) " FROM jsonb_populate_record(NULL::" table ", $1) r RETURNING uuid"

static int record_event(MethodCall *call, JsonWriter *w)
{
    static const Column columns[] = {{"uuid", COLUMN_UUID}, EVENT_COLUMNS(UPSERT_COLUMN)};
    static const Statement insert = {.name = "method_record_orchestrator_event",
                                     .shape = SHAPE_ROW,
                                     .sql = INSERT_OF("orchestrator_events", EVENT_COLUMNS)};
    return method_run_dictionary(call, 0, columns, ARRAY_SIZE(columns), &insert, w);
}

static int record_email(MethodCall *call, JsonWriter *w)
{
    static const Column columns[] = {{"uuid", COLUMN_UUID}, EMAIL_COLUMNS(UPSERT_COLUMN)};
    static const Statement insert = {.name = "method_record_orchestrator_email",
                                     .shape = SHAPE_ROW,
                                     .sql = INSERT_OF("orchestrator_emails", EMAIL_COLUMNS)};
    return method_run_dictionary(call, 0, columns, ARRAY_SIZE(columns), &insert, w);
}

METHOD(record_orchestrator_event, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "uuid",
       .writes = true, .shape = METHOD_SCALAR, .run = record_event);

METHOD(record_orchestrator_email, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "uuid",
       .writes = true, .shape = METHOD_SCALAR, .run = record_email);

/* --- reading: a statement for each filter that has an index, as one for all would use none once it is planned --- */

#define NEWEST_FIRST " ORDER BY ts DESC, uuid DESC LIMIT $1 OFFSET $2"

static int run_first_given(MethodCall *call, const int *params, const Statement *statements, size_t n, JsonWriter *w)
{
    size_t i = 0;
    while (i < n - 1 && call->values[params[i]].is_null)
        i++;
    return method_run_statement(call, &statements[i], w);
}

#define EVENTS_SINCE "SELECT * FROM orchestrator_events WHERE ts >= COALESCE($4::timestamptz, '-infinity')"

static int list_events(MethodCall *call, JsonWriter *w)
{
    static const Statement statements[] = {
        {"method_list_orchestrator_events_kind", SHAPE_ROWS, EVENTS_SINCE " AND kind = $3" NEWEST_FIRST,
         .plan_anew = true},
        {"method_list_orchestrator_events", SHAPE_ROWS, EVENTS_SINCE NEWEST_FIRST},
    };
    return run_first_given(call, (const int[]){2}, statements, ARRAY_SIZE(statements), w);
}

#define EMAILS_SINCE "SELECT * FROM orchestrator_emails WHERE ts >= COALESCE($5::timestamptz, '-infinity')"

static int list_emails(MethodCall *call, JsonWriter *w)
{
    static const Statement statements[] = {
        {"method_list_orchestrator_emails_thread", SHAPE_ROWS,
         EMAILS_SINCE " AND thread_id = $4 AND ($3::text IS NULL OR mail_decky_uuid = $3)" NEWEST_FIRST},
        {"method_list_orchestrator_emails_decky", SHAPE_ROWS, EMAILS_SINCE " AND mail_decky_uuid = $3" NEWEST_FIRST},
        {"method_list_orchestrator_emails", SHAPE_ROWS, EMAILS_SINCE NEWEST_FIRST},
    };
    return run_first_given(call, (const int[]){3, 2}, statements, ARRAY_SIZE(statements), w);
}

static int count_events(MethodCall *call, JsonWriter *w)
{
    static const Statement statements[] = {
        {"method_count_orchestrator_events_kind", SHAPE_ROWS,
         "SELECT count(*) FROM orchestrator_events WHERE kind = $1"},
        {"method_count_orchestrator_events", SHAPE_ROWS, "SELECT count(*) FROM orchestrator_events"},
    };
    return run_first_given(call, (const int[]){0}, statements, ARRAY_SIZE(statements), w);
}

static int count_emails(MethodCall *call, JsonWriter *w)
{
    static const Statement statements[] = {
        {"method_count_orchestrator_emails_decky", SHAPE_ROWS,
         "SELECT count(*) FROM orchestrator_emails WHERE mail_decky_uuid = $1"},
        {"method_count_orchestrator_emails", SHAPE_ROWS, "SELECT count(*) FROM orchestrator_emails"},
    };
    return run_first_given(call, (const int[]){0}, statements, ARRAY_SIZE(statements), w);
}

METHOD(list_orchestrator_events,
       .params = {{"limit", PARAM_LIMIT, .standard = "100"},
                  {"offset", PARAM_COUNT, .standard = "0"},
                  {"kind", PARAM_TEXT, .nullable = true},
                  {"since_ts", PARAM_TIME, .nullable = true}},
       .returns = "list[row(orchestrator_events)]", .shape = METHOD_ROWS, .run = list_events);

METHOD(count_orchestrator_events, .params = {{"kind", PARAM_TEXT, .nullable = true}}, .returns = "int",
       .shape = METHOD_SCALAR, .run = count_events);

METHOD(list_orchestrator_emails,
       .params = {{"limit", PARAM_LIMIT, .standard = "100"},
                  {"offset", PARAM_COUNT, .standard = "0"},
                  {"mail_decky_uuid", PARAM_ID, .nullable = true},
                  {"thread_id", PARAM_TEXT, .nullable = true},
                  {"since_ts", PARAM_TIME, .nullable = true}},
       .returns = "list[row(orchestrator_emails)]", .shape = METHOD_ROWS, .run = list_emails);

METHOD(count_orchestrator_emails, .params = {{"mail_decky_uuid", PARAM_ID, .nullable = true}}, .returns = "int",
       .shape = METHOD_SCALAR, .run = count_emails);

/* Mails are no kind of event, but the badge that shows failures names them as one. */
METHOD(count_orchestrator_failures,
       .params = {{"since_ts", PARAM_TIME, .required = true}, {"kind", PARAM_TEXT, .nullable = true}}, .returns = "int",
       .shape = METHOD_SCALAR,
       .statement.sql = "SELECT (SELECT count(*) FROM orchestrator_events WHERE NOT success AND ts >= $1"
                        "   AND ($2::text IS NULL OR ($2 IN ('traffic', 'file') AND kind = $2)))"
                        " + (SELECT count(*) FROM orchestrator_emails WHERE NOT success AND ts >= $1"
                        "   AND ($2 IS NULL OR $2 = 'email'))");

METHOD(list_orchestrator_email_threads,
       .params = {{"mail_decky_uuid", PARAM_ID, .required = true},
                  {"sender_email", PARAM_TEXT, .required = true},
                  {"recipient_email", PARAM_TEXT, .required = true},
                  {"limit", PARAM_LIMIT, .standard = "50"}},
       .returns = "list[row(orchestrator_emails)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM orchestrator_emails WHERE success AND mail_decky_uuid = $1"
                        " AND (sender_email, recipient_email) IN (($2, $3), ($3, $2))"
                        " ORDER BY ts DESC, uuid DESC LIMIT $4");

/* --- pruning --- */

/* The rows are locked in one order, so that two prunes at once do not wait for each other. */
#define PRUNE(table, owner)                                                                                            \
    "WITH doomed AS (SELECT uuid FROM " table " WHERE uuid IN"                                                         \
    "  (SELECT uuid FROM (SELECT uuid, row_number() OVER (PARTITION BY " owner " ORDER BY ts DESC, uuid DESC) AS n"    \
    "    FROM " table ") t WHERE n > $1) ORDER BY uuid FOR UPDATE),"                                                   \
    " gone AS (DELETE FROM " table " t USING doomed d WHERE t.uuid = d.uuid RETURNING 1)"                              \
    " SELECT count(*) FROM gone"

METHOD(prune_orchestrator_events, .params = {{"per_dst_cap", PARAM_COUNT, .standard = "10000"}}, .returns = "int",
       .writes = true, .shape = METHOD_SCALAR, .statement.sql = PRUNE("orchestrator_events", "dst_decky_uuid"));

METHOD(prune_orchestrator_emails, .params = {{"per_decky_cap", PARAM_COUNT, .standard = "10000"}}, .returns = "int",
       .writes = true, .shape = METHOD_SCALAR, .statement.sql = PRUNE("orchestrator_emails", "mail_decky_uuid"));
