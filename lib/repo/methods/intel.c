/* Methods on attacker_intel. */
#include "methods.h"

/* Columns that a caller may set; attacker_uuid is the key. */
#define INTEL_COLUMNS(X)                                                                                               \
    X(schema_version, COLUMN_INT, 0, 0, "1")                                                                           \
    X(greynoise_classification, COLUMN_TEXT, COLUMN_NULLABLE, 32, "NULL")                                              \
    X(greynoise_name, COLUMN_TEXT, COLUMN_NULLABLE, 128, "NULL")                                                       \
    X(greynoise_tags, COLUMN_JSON, 0, 0, "'[]'")                                                                       \
    X(greynoise_raw, COLUMN_JSON, 0, 0, "'{}'")                                                                        \
    X(greynoise_queried_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                   \
    X(abuseipdb_score, COLUMN_INT, COLUMN_NULLABLE, 0, "NULL")                                                         \
    X(abuseipdb_categories, COLUMN_JSON, 0, 0, "'[]'")                                                                 \
    X(abuseipdb_raw, COLUMN_JSON, 0, 0, "'{}'")                                                                        \
    X(abuseipdb_queried_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                   \
    X(feodo_listed, COLUMN_BOOL, COLUMN_NULLABLE, 0, "NULL")                                                           \
    X(feodo_malware_family, COLUMN_TEXT, COLUMN_NULLABLE, 64, "NULL")                                                  \
    X(feodo_raw, COLUMN_JSON, 0, 0, "'{}'")                                                                            \
    X(feodo_queried_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                       \
    X(threatfox_listed, COLUMN_BOOL, COLUMN_NULLABLE, 0, "NULL")                                                       \
    X(threatfox_threat_types, COLUMN_JSON, 0, 0, "'[]'")                                                               \
    X(threatfox_ioc_types, COLUMN_JSON, 0, 0, "'[]'")                                                                  \
    X(threatfox_malware_families, COLUMN_JSON, 0, 0, "'[]'")                                                           \
    X(threatfox_raw, COLUMN_JSON, 0, 0, "'{}'")                                                                        \
    X(threatfox_queried_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                   \
    X(aggregate_verdict, COLUMN_TEXT, COLUMN_NULLABLE, 32, "NULL")                                                     \
    X(cached_at, COLUMN_TIME, 0, 0, "decnet_now()")

static const Column columns[] = {{"attacker_uuid", COLUMN_UUID, COLUMN_REQUIRED, 0},
                                 {"attacker_ip", COLUMN_IP, COLUMN_REQUIRED, 0},
                                 {"expires_at", COLUMN_TIME, COLUMN_REQUIRED, 0},
                                 INTEL_COLUMNS(UPSERT_COLUMN)};

static const Statement upsert = {
    .name = "method_upsert_attacker_intel",
    .shape = SHAPE_ROW,
    .sql = "INSERT INTO attacker_intel AS a (attacker_uuid, attacker_ip, expires_at" INTEL_COLUMNS(
        UPSERT_NAME) ")"
                     " SELECT r.attacker_uuid, r.attacker_ip, r.expires_at" INTEL_COLUMNS(
                         UPSERT_VALUE) " FROM jsonb_populate_record(NULL::attacker_intel, $1) r"
                                       " ON CONFLICT (attacker_uuid) DO UPDATE SET attacker_ip = EXCLUDED.attacker_ip,"
                                       "  expires_at = EXCLUDED.expires_at" INTEL_COLUMNS(
                                           UPSERT_KEEP) " RETURNING uuid"};

static int upsert_attacker_intel(MethodCall *call, JsonWriter *w)
{
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &clean};

    int r = data_write(call, "data", call->values[0].json, columns, ARRAY_SIZE(columns), &inner);
    if (r != 0)
        return r;
    arg_json(&args, buf_str(&clean));
    r = repo_exec(call->repo, &upsert, &args, &result);
    if (r == 0)
        res_write_value(result, 0, 0, w);
    return r;
}

#define LIST_OF(column) "CASE jsonb_typeof(" column ") WHEN 'array' THEN " column " ELSE '[]' END AS " column

METHOD(upsert_attacker_intel, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "uuid", .writes = true,
       .run = upsert_attacker_intel);

METHOD(get_attacker_intel_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}},
       .returns = "row(attacker_intel)?", .shape = METHOD_ROW,
       .statement.sql = "SELECT * FROM attacker_intel WHERE attacker_uuid = $1");

METHOD(
    get_attacker_intel_row_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}},
    .returns = "typed row(attacker_intel)?", .shape = METHOD_ROW,
    .statement.sql =
        ("SELECT attacker_uuid, attacker_ip, aggregate_verdict, abuseipdb_score, " LIST_OF("abuseipdb_categories") ", greynoise_classification, greynoise_name, " LIST_OF("greynoise_tags") ", feodo_listed, feodo_malware_family, threatfox_listed, " LIST_OF(
            "threatfox_threat_types") ", " LIST_OF("threatfox_ioc_types") ", " LIST_OF("threatfox_malware_families") " FROM attacker_intel WHERE attacker_uuid = $1"));
