/* Methods on what attackers left behind: bounties and credentials. */
#include "methods.h"

static const Column bounty_columns[] = {
    {"decky", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"service", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"attacker_ip", COLUMN_IP, COLUMN_REQUIRED, 0},
    {"bounty_type", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"payload", COLUMN_JSON_OR_STRING, COLUMN_REQUIRED, 0},
    {"timestamp", COLUMN_TIME, COLUMN_NULLABLE, 0},
};

static const Column credential_columns[] = {
    {"attacker_ip", COLUMN_IP, COLUMN_REQUIRED, 0},
    {"decky_name", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"service", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"secret_sha256", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"principal", COLUMN_TEXT, COLUMN_NULLABLE, LIMIT_PRINCIPAL_CHARS},
    {"secret_kind", COLUMN_TEXT, COLUMN_NULLABLE, 32},
    {"secret_b64", COLUMN_TEXT, COLUMN_NULLABLE, LIMIT_SECRET_B64_BYTES},
    {"secret_printable", COLUMN_TEXT, COLUMN_NULLABLE, LIMIT_SECRET_PRINTABLE_BYTES},
    {"outcome", COLUMN_TEXT, COLUMN_NULLABLE, 16},
    {"fields", COLUMN_JSON, COLUMN_NULLABLE, 0},
};

static int add_bounty(MethodCall *call, JsonWriter *w)
{
    static const Statement insert = {
        .name = "method_add_bounty",
        .shape = SHAPE_ROWS,
        .sql = "INSERT INTO bounty (\"timestamp\", decky, service, attacker_ip, bounty_type, payload)"
               " SELECT COALESCE(\"timestamp\", decnet_now()), decky, service, attacker_ip, bounty_type, payload"
               " FROM jsonb_populate_record(NULL::bounty, $1) ON CONFLICT DO NOTHING"};
    return method_run_dictionary(call, 0, bounty_columns, ARRAY_SIZE(bounty_columns), &insert, w);
}

static int upsert_credential(MethodCall *call, JsonWriter *w)
{
    /* Text that says how often does not change what was seen first; an outcome follows the latest attempt. */
    static const Statement upsert = {
        .name = "method_upsert_credential",
        .shape = SHAPE_ROW,
        .sql = "INSERT INTO credentials AS c (attacker_ip, decky_name, service, secret_sha256, principal, secret_kind,"
               "  secret_b64, secret_printable, outcome, fields, first_seen, last_seen)"
               " SELECT attacker_ip, decky_name, service, secret_sha256, principal,"
               "  COALESCE(NULLIF(secret_kind, ''), 'plaintext'), secret_b64, secret_printable, outcome,"
               "  COALESCE(fields, '{}'), at, at"
               " FROM jsonb_populate_record(NULL::credentials, $1), (SELECT decnet_now() AS at) t"
               " ON CONFLICT ON CONSTRAINT uq_credentials_dedup DO UPDATE SET attempt_count = c.attempt_count + 1,"
               "  last_seen = GREATEST(c.last_seen, EXCLUDED.last_seen),"
               "  outcome = CASE WHEN EXCLUDED.outcome IS NULL THEN c.outcome"
               "   WHEN c.outcome IS NULL OR EXCLUDED.last_seen >= c.last_seen THEN EXCLUDED.outcome"
               "   ELSE c.outcome END"
               " RETURNING id"};
    return method_run_dictionary(call, 0, credential_columns, ARRAY_SIZE(credential_columns), &upsert, w);
}

METHOD(add_bounty, .params = {{"bounty_data", PARAM_OBJECT, .required = true}}, .returns = "void", .writes = true,
       .run = add_bounty);

METHOD(upsert_credential, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "int (row id)",
       .writes = true, .shape = METHOD_SCALAR, .run = upsert_credential);
