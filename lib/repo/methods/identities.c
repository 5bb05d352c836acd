/* Methods on identities: attackers that are taken for one actor. */
#include "merges.h"

/* Columns that the clusterer may give a new identity, in the order of the table; the simhash has a form of its own. */
#define IDENTITY_COLUMNS_OF(X)                                                                                         \
    X(schema_version, COLUMN_COUNT, 0, 0, "1")                                                                         \
    X(campaign_id, COLUMN_UUID, COLUMN_NULLABLE, 0, "NULL")                                                            \
    X(first_seen_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                          \
    X(last_seen_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                           \
    X(created_at, COLUMN_TIME, 0, 0, "t.now")                                                                          \
    X(updated_at, COLUMN_TIME, 0, 0, "t.now")                                                                          \
    X(confidence, COLUMN_SHARE, COLUMN_NULLABLE, 0, "NULL")                                                            \
    X(observation_count, COLUMN_COUNT, 0, 0, "0")                                                                      \
    X(ja3_hashes, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                            \
    X(hassh_hashes, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                          \
    X(ja4h_hashes, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                           \
    X(ja4_quic_hashes, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                       \
    X(http_versions_seen, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                    \
    X(tls_cert_sha256, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                       \
    X(payload_simhashes, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                     \
    X(c2_endpoints, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                          \
    X(merged_into_uuid, COLUMN_UUID, COLUMN_NULLABLE, 0, "NULL")                                                       \
    X(notes, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")
#define NAMES IDENTITY_COLUMNS_OF(UPSERT_NAME)
#define VALUES IDENTITY_COLUMNS_OF(UPSERT_VALUE)

static const Column columns[] = {{"uuid", COLUMN_UUID, COLUMN_REQUIRED, 0},
                                 {"kd_digraph_simhash", COLUMN_TEXT, COLUMN_NULLABLE, 0}, /* 16 hex digits */
                                 IDENTITY_COLUMNS_OF(UPSERT_COLUMN)};

static int create_attacker_identity(MethodCall *call, JsonWriter *w)
{
    static const Statement insert = {
        .name = "method_create_attacker_identity",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO attacker_identities (uuid, kd_digraph_simhash" NAMES ")"
               " SELECT r.uuid, decode($1 ->> 'kd_digraph_simhash', 'hex')" VALUES
               " FROM jsonb_populate_record(NULL::attacker_identities, $1 - 'kd_digraph_simhash') r,"
               "  (SELECT decnet_now() AS now) t"};

    return method_create(call, columns, ARRAY_SIZE(columns), &insert, w);
}

/* Nothing is written when it is so already. The behaviour of both identities, old and new, is to be looked at again.
 * The lock is a statement of its own; see merges.h. */
static int set_attacker_identity_id(MethodCall *call, JsonWriter *w)
{
    static const Statement lock = {.name = "method_lock_attacker_of_identity",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT identity_id FROM attackers WHERE uuid = $1"
                                          " AND identity_id IS DISTINCT FROM $2 FOR NO KEY UPDATE"};
    static const Statement set = {
        .name = "method_set_attacker_identity_id",
        .shape = SHAPE_NONE,
        .sql = "WITH new AS (UPDATE attackers SET identity_id = $2 WHERE uuid = $1 RETURNING identity_id)"
               " INSERT INTO attribution_dirty (identity_uuid) SELECT i FROM new, unnest(ARRAY[$3, identity_id]) i"
               " WHERE i IS NOT NULL"};

    return method_set_pointer(call, &lock, &set, w);
}

static int update_identity_merged_into(MethodCall *call, JsonWriter *w)
{
    static const Merging merging = {
        MERGING("an identity", "attacker_identities"),
        .set = {.name = "method_update_identity_merged_into",
                .shape = SHAPE_NONE,
                .sql = "WITH new AS (UPDATE attacker_identities SET merged_into_uuid = $2, updated_at = decnet_now()"
                       "  WHERE uuid = $1 RETURNING uuid, merged_into_uuid AS winner)"
                       " INSERT INTO attribution_dirty (identity_uuid)"
                       " SELECT i FROM new, unnest(ARRAY[uuid, $3, winner]) i"
                       " WHERE winner IS DISTINCT FROM $3 AND i IS NOT NULL"}};

    return method_merge(call, &merging, w);
}

static const Column fingerprints[] = {{"ja3_hashes", COLUMN_TEXTS, COLUMN_NULLABLE, 0},
                                      {"hassh_hashes", COLUMN_TEXTS, COLUMN_NULLABLE, 0},
                                      {"tls_cert_sha256", COLUMN_TEXTS, COLUMN_NULLABLE, 0}};

static int update_identity_fingerprints(MethodCall *call, JsonWriter *w)
{
    static const Statement set = {
        .name = "method_update_identity_fingerprints",
        .shape = SHAPE_NONE,
        .sql = "UPDATE attacker_identities i SET ja3_hashes = r.ja3_hashes, hassh_hashes = r.hassh_hashes,"
               "  tls_cert_sha256 = r.tls_cert_sha256, updated_at = decnet_now()"
               " FROM jsonb_populate_record(NULL::attacker_identities, $2) r WHERE i.uuid = $1"};
    cleanup(json_putp) json_object *given = json_object_new_object();
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    JsonWriter inner = {.buf = &clean};

    for (int i = 0; i < (int)ARRAY_SIZE(fingerprints); i++) /* the parameters behind the identity's own */
        json_object_object_add(given, fingerprints[i].name, json_object_get(call->values[i + 1].json));
    int r = data_write(call, "fingerprints", given, fingerprints, ARRAY_SIZE(fingerprints), &inner);
    if (r != 0)
        return r;
    method_bind(call, 0, &args);
    arg_json(&args, buf_str(&clean));
    r = repo_run(call->repo, &set, &args, NULL);
    if (r == 0)
        json_value_null(w);
    return r;
}

METHOD(get_identity_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "row(attacker_identities)?",
       .shape = METHOD_ROW, .statement.sql = WINNER("attacker_identities", IDENTITY_ROW));

METHOD(list_identities, .params = {{"limit", PARAM_LIMIT, .standard = "50"}, {"offset", PARAM_COUNT, .standard = "0"}},
       .returns = "list[row(attacker_identities)]", .shape = METHOD_ROWS,
       .statement.sql = LIVE_PAGE("attacker_identities", IDENTITY_ROW));

METHOD(count_identities, .returns = "int", .shape = METHOD_SCALAR, .statement.sql = LIVE_COUNT("attacker_identities"));

METHOD(list_observations_for_identity,
       .params = {{"identity_uuid", PARAM_UUID, .required = true},
                  {"limit", PARAM_LIMIT, .standard = "50"},
                  {"offset", PARAM_COUNT, .standard = "0"}},
       .returns = "list[row(attackers)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM attackers WHERE identity_id = $1 ORDER BY last_seen DESC, uuid"
                        " LIMIT $2 OFFSET $3");

METHOD(count_observations_for_identity, .params = {{"identity_uuid", PARAM_UUID, .required = true}}, .returns = "int",
       .shape = METHOD_SCALAR, .statement.sql = "SELECT count(*) FROM attackers WHERE identity_id = $1");

METHOD(
    list_attackers_for_clustering, .params = {{"limit", PARAM_COUNT, .nullable = true}},
    .returns = "list[{uuid, asn, identity_id, fingerprints}]", .shape = METHOD_ROWS, .streams = true,
    .statement.sql = "SELECT uuid, asn, identity_id, fingerprints FROM attackers ORDER BY first_seen, uuid LIMIT $1");

METHOD(create_attacker_identity, .params = {{"row", PARAM_OBJECT, .required = true}}, .returns = "uuid", .writes = true,
       .run = create_attacker_identity);

METHOD(set_attacker_identity_id,
       .params = {{"attacker_uuid", PARAM_UUID, .required = true}, {"identity_uuid", PARAM_UUID, .required = true}},
       .returns = "void", .writes = true, .run = set_attacker_identity_id);

METHOD(list_all_identities, .returns = "list[row(attacker_identities)]", .shape = METHOD_ROWS, .streams = true,
       .statement.sql = ALL_ROWS("attacker_identities", IDENTITY_ROW));

METHOD(update_identity_merged_into,
       .params = {{"identity_uuid", PARAM_UUID, .required = true},
                  {"winner_uuid", PARAM_UUID, .required = true, .nullable = true}},
       .returns = "void", .writes = true, .run = update_identity_merged_into);

METHOD(update_identity_fingerprints,
       .params = {{"identity_uuid", PARAM_UUID, .required = true},
                  {"ja3_hashes", PARAM_JSON, .nullable = true},
                  {"hassh_hashes", PARAM_JSON, .nullable = true},
                  {"tls_cert_sha256", PARAM_JSON, .nullable = true}},
       .returns = "void", .writes = true, .run = update_identity_fingerprints);
