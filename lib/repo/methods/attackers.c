/* Methods on attackers. */
#include "repo/attackers.h"

#include "methods.h"

/* Columns of attackers that a caller may set, with their bounds and defaults; the key and first_seen, last_seen have
 * rules of their own. */
#define ATTACKER_COLUMNS(X)                                                                                            \
    X(identity_id, COLUMN_UUID, COLUMN_NULLABLE, 0, "NULL")                                                            \
    X(event_count, COLUMN_INT, 0, 0, "0")                                                                              \
    X(service_count, COLUMN_INT, 0, 0, "0")                                                                            \
    X(decky_count, COLUMN_INT, 0, 0, "0")                                                                              \
    X(services, COLUMN_JSON, 0, 0, "'[]'")                                                                             \
    X(deckies, COLUMN_JSON, 0, 0, "'[]'")                                                                              \
    X(traversal_path, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                         \
    X(is_traversal, COLUMN_BOOL, 0, 0, "false")                                                                        \
    X(bounty_count, COLUMN_INT, 0, 0, "0")                                                                             \
    X(credential_count, COLUMN_INT, 0, 0, "0")                                                                         \
    X(fingerprints, COLUMN_JSON, 0, 0, "'[]'")                                                                         \
    X(commands, COLUMN_JSON, 0, 0, "'[]'")                                                                             \
    X(country_code, COLUMN_TEXT, COLUMN_NULLABLE, 2, "NULL")                                                           \
    X(country_source, COLUMN_TEXT, COLUMN_NULLABLE, 16, "NULL")                                                        \
    X(asn, COLUMN_INT, COLUMN_NULLABLE, 0, "NULL")                                                                     \
    X(as_name, COLUMN_TEXT, COLUMN_NULLABLE, 128, "NULL")                                                              \
    X(asn_source, COLUMN_TEXT, COLUMN_NULLABLE, 16, "NULL")                                                            \
    X(ptr_record, COLUMN_TEXT, COLUMN_NULLABLE, 256, "NULL")                                                           \
    X(rotation_count, COLUMN_INT, 0, 0, "0")                                                                           \
    X(last_rotation_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                       \
    X(updated_at, COLUMN_TIME, 0, 0, "decnet_now()")

static const Column columns[] = {{"ip", COLUMN_IP, COLUMN_REQUIRED, 0},
                                 {"first_seen", COLUMN_TIME, 0, 0},
                                 {"last_seen", COLUMN_TIME, 0, 0},
                                 ATTACKER_COLUMNS(UPSERT_COLUMN)};

/* A stored row lends first_seen and last_seen to a call that does not give them, as NOT NULL is checked before the
 * conflict is found; without a row they have to be given. */
static const Statement upsert = {
    .name = "method_upsert_attacker",
    .shape = SHAPE_ROW,
    .sql = "INSERT INTO attackers AS a (uuid, ip, first_seen, last_seen" ATTACKER_COLUMNS(
        UPSERT_NAME) ")"
                     " SELECT $2, r.ip, COALESCE(r.first_seen, e.first_seen), COALESCE(r.last_seen, e.last_seen)" ATTACKER_COLUMNS(
                         UPSERT_VALUE) " FROM jsonb_populate_record(NULL::attackers, $1) r LEFT JOIN attackers e ON e.ip = r.ip"
                                       " ON CONFLICT (ip) DO UPDATE SET first_seen = LEAST(a.first_seen, EXCLUDED.first_seen),"
                                       "  last_seen = GREATEST(a.last_seen, EXCLUDED.last_seen)" ATTACKER_COLUMNS(
                                           UPSERT_KEEP) " RETURNING uuid"};

static int upsert_attacker(MethodCall *call, JsonWriter *w)
{
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &clean};

    int r = data_write(call, "data", call->values[0].json, columns, ARRAY_SIZE(columns), &inner);
    if (r != 0)
        return r;
    cleanup(json_putp) json_object *object = json_parse(buf_str(&clean)); /* the address in its stored spelling */
    Uuid uuid = attacker_uuid(str_cstr(call->arena, json_get_str(object, "ip")));
    arg_json(&args, buf_str(&clean));
    arg_uuid(&args, &uuid);
    r = attackers_inserted(call->repo, repo_exec(call->repo, &upsert, &args, &result));
    if (r == 0)
        res_write_value(result, 0, 0, w);
    return r;
}

/* $3 search, $5 service */
#define ATTACKER_FILTER(search, service)                                                                               \
    " WHERE (" search "::text IS NULL OR strpos(lower(ip), lower(" search ")) > 0)"                                    \
    " AND (" service "::text IS NULL OR services @> to_jsonb(" service "::text))"

METHOD(upsert_attacker, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "uuid", .writes = true,
       .run = upsert_attacker);

METHOD(get_attacker_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "row(attackers)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM attackers WHERE uuid = $1");

METHOD(get_attacker_uuid_by_ip, .params = {{"ip", PARAM_IP, .required = true}}, .returns = "uuid?",
       .shape = METHOD_SCALAR, .statement.sql = "SELECT uuid FROM attackers WHERE ip = $1");

METHOD(get_attackers,
       .params = {{"limit", PARAM_LIMIT, .standard = "50"},
                  {"offset", PARAM_COUNT, .standard = "0"},
                  {"search", PARAM_FILTER, .nullable = true},
                  {"sort_by", PARAM_TEXT, .standard = "\"recent\""},
                  {"service", PARAM_FILTER, .nullable = true}},
       .returns = "list[row(attackers)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM attackers" ATTACKER_FILTER(
           "$3", "$5") " ORDER BY CASE WHEN $4 = 'active' THEN event_count END DESC,"
                       "  CASE WHEN $4 = 'traversals' THEN is_traversal END DESC,"
                       "  last_seen DESC, uuid LIMIT $1 OFFSET $2");

METHOD(get_total_attackers,
       .params = {{"search", PARAM_FILTER, .nullable = true}, {"service", PARAM_FILTER, .nullable = true}},
       .returns = "int", .shape = METHOD_SCALAR,
       .statement.sql = "SELECT count(*) FROM attackers" ATTACKER_FILTER("$1", "$2"));
