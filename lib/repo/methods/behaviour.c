/* Behaviour of attackers as the profiler stores it; SMTP targets; attachments that were seen. */
#include "methods.h"

/* --- behaviour --- */

#define BEHAVIOR_COLUMNS(X)                                                                                            \
    X(os_guess, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                               \
    X(hop_distance, COLUMN_INT, COLUMN_NULLABLE, 0, "NULL")                                                            \
    X(tcp_fingerprint, COLUMN_JSON, 0, 0, "'{}'")                                                                      \
    X(kex_order_raw, COLUMN_JSON, COLUMN_NULLABLE, 0, "NULL")                                                          \
    X(ssh_client_banners, COLUMN_JSON, COLUMN_NULLABLE, 0, "NULL")                                                     \
    X(retransmit_count, COLUMN_INT, 0, 0, "0")                                                                         \
    X(behavior_class, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                         \
    X(beacon_interval_s, COLUMN_DOUBLE, COLUMN_NULLABLE, 0, "NULL")                                                    \
    X(beacon_jitter_pct, COLUMN_DOUBLE, COLUMN_NULLABLE, 0, "NULL")                                                    \
    X(tool_guesses, COLUMN_JSON, COLUMN_NULLABLE, 0, "NULL")                                                           \
    X(timing_stats, COLUMN_JSON, 0, 0, "'{}'")                                                                         \
    X(phase_sequence, COLUMN_JSON, 0, 0, "'{}'")

static const Column columns[] = {BEHAVIOR_COLUMNS(UPSERT_COLUMN){"updated_at", COLUMN_TIME, COLUMN_NULLABLE, 0}};

#define NAMES "attacker_uuid, updated_at" BEHAVIOR_COLUMNS(UPSERT_NAME)
#define VALUES "$2, decnet_now()" BEHAVIOR_COLUMNS(UPSERT_VALUE)
#define KEPT BEHAVIOR_COLUMNS(UPSERT_KEEP)

static int upsert_attacker_behavior(MethodCall *call, JsonWriter *w)
{
    static const Statement upsert = {
        .name = "method_upsert_attacker_behavior",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO attacker_behavior AS a (" NAMES ")"
               " SELECT " VALUES " FROM jsonb_populate_record(NULL::attacker_behavior, $1) r"
               " ON CONFLICT (attacker_uuid) DO UPDATE SET updated_at = EXCLUDED.updated_at" KEPT};
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    JsonWriter inner = {.buf = &clean};

    int r = data_write_patch(call, "data", call->values[1].json, columns, ARRAY_SIZE(columns), &inner);
    if (r != 0)
        return r;
    arg_json(&args, buf_str(&clean));
    arg_uuid(&args, method_uuid(call, 0));
    r = repo_run(call->repo, &upsert, &args, NULL);
    if (r == 0)
        json_value_null(w);
    return r;
}

/* Lists read back as lists: nothing is the empty one, anything else its only member. */
#define AS_LIST(column)                                                                                                \
    "CASE COALESCE(jsonb_typeof(b." column "), 'null') WHEN 'array' THEN b." column                                    \
    " WHEN 'null' THEN '[]' ELSE jsonb_build_array(b." column ") END AS " column
#define KEX_ORDER AS_LIST("kex_order_raw")
#define BANNERS AS_LIST("ssh_client_banners")
#define TOOLS AS_LIST("tool_guesses")
#define BEHAVIOR                                                                                                       \
    "b.attacker_uuid, b.os_guess, b.hop_distance, b.tcp_fingerprint, " KEX_ORDER ", " BANNERS                          \
    ", b.retransmit_count, b.behavior_class, b.beacon_interval_s, b.beacon_jitter_pct, " TOOLS                         \
    ", b.timing_stats, b.phase_sequence, b.updated_at"

METHOD(upsert_attacker_behavior,
       .params = {{"attacker_uuid", PARAM_NEW_ID, .required = true}, {"data", PARAM_OBJECT, .required = true}},
       .returns = "void", .writes = true, .run = upsert_attacker_behavior);

METHOD(get_attacker_behavior, .params = {{"attacker_uuid", PARAM_UUID, .required = true}},
       .returns = "row(attacker_behavior)?", .shape = METHOD_ROW,
       .statement.sql = "SELECT " BEHAVIOR " FROM attacker_behavior b WHERE b.attacker_uuid = $1");

METHOD(get_behaviors_for_ips, .params = {{"ips", PARAM_IPS, .required = true}},
       .returns = "{ip: row(attacker_behavior)}", .shape = METHOD_MAP,
       .statement.sql = "SELECT a.ip, " BEHAVIOR " FROM attackers a"
                        " JOIN attacker_behavior b ON b.attacker_uuid = a.uuid"
                        " WHERE a.ip = ANY ($1) ORDER BY a.ip COLLATE \"C\"");

/* --- attachments: one row for each content, whoever sent it --- */

/* $1 hash, $2 decky, $3 attacker, $4 extension, $5 subject, $6 verdict, $7 who gave it. A verdict climbs from none to
 * false to true, and only a step up stamps it. */
#define CLIMBS                                                                                                         \
    "(a.mal_hash_match IS NULL AND EXCLUDED.mal_hash_match IS NOT NULL OR a.mal_hash_match < EXCLUDED.mal_hash_match)"
#define STAMP(column) column " = CASE WHEN " CLIMBS " THEN EXCLUDED." column " ELSE a." column " END"
#define STAMPED STAMP("mal_hash_match") ", " STAMP("mal_hash_match_provider") ", " STAMP("mal_hash_match_at")

METHOD(
    upsert_observed_attachment,
    .params = {{"sha256", PARAM_TEXT, .required = true},
               {"decky_uuid", PARAM_ID, .required = true, .nullable = true},
               {"attacker_uuid", PARAM_ID, .required = true, .nullable = true},
               {"extension", PARAM_TEXT, .required = true, .nullable = true},
               {"subject", PARAM_TEXT, .required = true, .nullable = true},
               {"mal_hash_match", PARAM_BOOL, .required = true, .nullable = true},
               {"mal_hash_match_provider", PARAM_TEXT, .required = true, .nullable = true}},
    .returns = "uuid", .writes = true, .shape = METHOD_SCALAR,
    .statement.sql =
        "INSERT INTO observed_attachments AS a (sha256, first_seen, last_seen, first_seen_decky_uuid,"
        "  first_seen_attacker_uuid, last_seen_attacker_uuid, extensions, first_subject, mal_hash_match,"
        "  mal_hash_match_provider, mal_hash_match_at)"
        " SELECT lower($1), now, now, $2, $3, $3, CASE WHEN $4 <> '' THEN jsonb_build_array(lower($4)) ELSE '[]' END,"
        "  $5, $6, CASE WHEN $6 IS NOT NULL THEN left($7, 64) END, CASE WHEN $6 IS NOT NULL THEN now END"
        " FROM (SELECT decnet_now() AS now) t"
        " ON CONFLICT (sha256) DO UPDATE SET observation_count = a.observation_count + 1,"
        "  last_seen = GREATEST(a.last_seen, EXCLUDED.last_seen),"
        "  last_seen_attacker_uuid = COALESCE(NULLIF(EXCLUDED.last_seen_attacker_uuid, ''), a.last_seen_attacker_uuid),"
        "  extensions = CASE WHEN a.extensions @> EXCLUDED.extensions THEN a.extensions"
        "   ELSE a.extensions || EXCLUDED.extensions END, " STAMPED " RETURNING uuid");

/* --- domains that an attacker mailed to --- */

METHOD(increment_smtp_target,
       .params = {{"attacker_uuid", PARAM_NEW_ID, .required = true}, {"domain", PARAM_TEXT, .required = true}},
       .returns = "void", .writes = true,
       .statement.sql = "INSERT INTO smtp_targets AS t (attacker_uuid, domain, first_seen, last_seen)"
                        " SELECT $1, $2, now, now FROM (SELECT decnet_now() AS now) n"
                        " ON CONFLICT (attacker_uuid, domain) DO UPDATE SET count = t.count + 1,"
                        "  last_seen = GREATEST(t.last_seen, EXCLUDED.last_seen)");

METHOD(list_smtp_targets, .params = {{"attacker_uuid", PARAM_UUID, .required = true}},
       .returns = "list[row(smtp_targets)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM smtp_targets WHERE attacker_uuid = $1 ORDER BY last_seen DESC, id DESC");

METHOD(smtp_target_seen, .params = {{"domain", PARAM_TEXT, .required = true}},
       .returns = "{seen, count, first_seen, last_seen}", .shape = METHOD_ROW,
       .statement.sql = "SELECT count(*) > 0 AS seen, COALESCE(sum(count), 0)::bigint AS count,"
                        "  min(first_seen) AS first_seen, max(last_seen) AS last_seen"
                        " FROM smtp_targets WHERE domain = $1");
