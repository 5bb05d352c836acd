/* Methods on campaigns: identities that are taken for one operation. */
#include "merges.h"

/* Columns that the clusterer may give a new campaign. */
#define CAMPAIGN_COLUMNS_OF(X)                                                                                         \
    X(schema_version, COLUMN_COUNT, 0, 0, "1")                                                                         \
    X(first_seen_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                          \
    X(last_seen_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                           \
    X(created_at, COLUMN_TIME, 0, 0, "t.now")                                                                          \
    X(updated_at, COLUMN_TIME, 0, 0, "t.now")                                                                          \
    X(confidence, COLUMN_SHARE, COLUMN_NULLABLE, 0, "NULL")                                                            \
    X(identity_count, COLUMN_COUNT, 0, 0, "0")                                                                         \
    X(ja3_hashes, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                            \
    X(hassh_hashes, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                          \
    X(tls_cert_sha256, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                       \
    X(payload_simhashes, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                     \
    X(c2_endpoints, COLUMN_TEXTS, COLUMN_NULLABLE, 0, "NULL")                                                          \
    X(merged_into_uuid, COLUMN_UUID, COLUMN_NULLABLE, 0, "NULL")                                                       \
    X(notes, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")
#define NAMES CAMPAIGN_COLUMNS_OF(UPSERT_NAME)
#define VALUES CAMPAIGN_COLUMNS_OF(UPSERT_VALUE)
#define CAMPAIGN_ROW "uuid" NAMES

static const Column columns[] = {{"uuid", COLUMN_UUID, COLUMN_REQUIRED, 0}, CAMPAIGN_COLUMNS_OF(UPSERT_COLUMN)};

static int create_campaign(MethodCall *call, JsonWriter *w)
{
    static const Statement insert = {.name = "method_create_campaign",
                                     .shape = SHAPE_NONE,
                                     .sql = "INSERT INTO campaigns (" CAMPAIGN_ROW ") SELECT r.uuid" VALUES
                                            " FROM jsonb_populate_record(NULL::campaigns, $1) r,"
                                            "  (SELECT decnet_now() AS now) t"};

    return method_create(call, columns, ARRAY_SIZE(columns), &insert, w);
}

static int set_identity_campaign_id(MethodCall *call, JsonWriter *w)
{
    static const Statement set = {
        .name = "method_set_identity_campaign_id",
        .shape = SHAPE_NONE,
        .sql = "UPDATE attacker_identities SET campaign_id = $2, updated_at = decnet_now() WHERE uuid = $1"};
    cleanup(args_free) Args args = {0};

    method_bind(call, 0, &args);
    method_bind_parent(call, 1, &args);
    int r = repo_run(call->repo, &set, &args, NULL);
    if (r == 0)
        json_value_null(w);
    return r;
}

static int update_campaign_merged_into(MethodCall *call, JsonWriter *w)
{
    static const Merging merging = {
        MERGING("a campaign", "campaigns"),
        .set = {.name = "method_update_campaign_merged_into",
                .shape = SHAPE_NONE,
                .sql = "UPDATE campaigns SET merged_into_uuid = $2, updated_at = decnet_now() WHERE uuid = $1"}};

    return method_merge(call, &merging, w);
}

METHOD(get_campaign_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "row(campaigns)?",
       .shape = METHOD_ROW, .statement.sql = WINNER("campaigns", CAMPAIGN_ROW));

METHOD(list_campaigns, .params = {{"limit", PARAM_LIMIT, .standard = "50"}, {"offset", PARAM_COUNT, .standard = "0"}},
       .returns = "list[row(campaigns)]", .shape = METHOD_ROWS, .statement.sql = LIVE_PAGE("campaigns", CAMPAIGN_ROW));

METHOD(count_campaigns, .returns = "int", .shape = METHOD_SCALAR, .statement.sql = LIVE_COUNT("campaigns"));

METHOD(list_identities_for_campaign,
       .params = {{"campaign_uuid", PARAM_UUID, .required = true},
                  {"limit", PARAM_LIMIT, .standard = "50"},
                  {"offset", PARAM_COUNT, .standard = "0"}},
       .returns = "list[row(attacker_identities)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT " IDENTITY_ROW " FROM attacker_identities WHERE campaign_id = $1"
                        " ORDER BY updated_at DESC, uuid LIMIT $2 OFFSET $3");

METHOD(count_identities_for_campaign, .params = {{"campaign_uuid", PARAM_UUID, .required = true}}, .returns = "int",
       .shape = METHOD_SCALAR, .statement.sql = "SELECT count(*) FROM attacker_identities WHERE campaign_id = $1");

METHOD(list_identities_for_clustering, .params = {{"limit", PARAM_COUNT, .nullable = true}},
       .returns = "list[{uuid, campaign_id, merged_into_uuid, first_seen_at, last_seen_at, ja3_hashes, hassh_hashes,"
                  " payload_simhashes, c2_endpoints}]",
       .shape = METHOD_ROWS, .streams = true,
       .statement.sql = "SELECT uuid, campaign_id, merged_into_uuid, first_seen_at, last_seen_at, ja3_hashes,"
                        "  hassh_hashes, payload_simhashes, c2_endpoints"
                        " FROM attacker_identities ORDER BY created_at, uuid LIMIT $1");

METHOD(create_campaign, .params = {{"row", PARAM_OBJECT, .required = true}}, .returns = "uuid", .writes = true,
       .run = create_campaign);

METHOD(set_identity_campaign_id,
       .params = {{"identity_uuid", PARAM_UUID, .required = true},
                  {"campaign_uuid", PARAM_UUID, .required = true, .nullable = true}},
       .returns = "void", .writes = true, .run = set_identity_campaign_id);

METHOD(list_all_campaigns, .returns = "list[row(campaigns)]", .shape = METHOD_ROWS, .streams = true,
       .statement.sql = ALL_ROWS("campaigns", CAMPAIGN_ROW));

METHOD(update_campaign_merged_into,
       .params = {{"campaign_uuid", PARAM_UUID, .required = true},
                  {"winner_uuid", PARAM_UUID, .required = true, .nullable = true}},
       .returns = "void", .writes = true, .run = update_campaign_merged_into);
