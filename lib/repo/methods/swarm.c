/* Hosts of the swarm and the deckies that run on them. */
#include "deckies.h"

/* --- hosts --- */

/* Columns that can be changed later on, too; uuid and enrolled_at are given once. @need_: what has no default. */
#define HOST_COLUMNS(X, need_)                                                                                         \
    X(name, COLUMN_TEXT, need_, 0, "NULL")                                                                             \
    X(address, COLUMN_TEXT, need_, 0, "NULL")                                                                          \
    X(client_cert_fingerprint, COLUMN_TEXT, need_, 0, "NULL")                                                          \
    X(cert_bundle_path, COLUMN_TEXT, need_, 0, "NULL")                                                                 \
    X(agent_port, COLUMN_COUNT, 0, 0, "8765")                                                                          \
    X(status, COLUMN_TEXT, 0, 0, "'enrolled'")                                                                         \
    X(last_heartbeat, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                         \
    X(updater_cert_fingerprint, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                               \
    X(notes, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                                  \
    X(use_ipvlan, COLUMN_BOOL, 0, 0, "false")

#define HOST_NAMES HOST_COLUMNS(UPSERT_NAME, )
#define HOST_VALUES HOST_COLUMNS(UPSERT_VALUE, )
#define HOST_CHANGES HOST_COLUMNS(PATCH_SET, )

static const Column host_columns[] = {{"uuid", COLUMN_UUID, COLUMN_REQUIRED, 0},
                                      {"enrolled_at", COLUMN_TIME, 0, 0},
                                      HOST_COLUMNS(UPSERT_COLUMN, COLUMN_REQUIRED)};

static const Column host_patch_columns[] = {HOST_COLUMNS(UPSERT_COLUMN, 0)};

static int add_swarm_host(MethodCall *call, JsonWriter *w)
{
    static const Statement insert = {.name = "method_add_swarm_host",
                                     .shape = SHAPE_ROWS,
                                     .sql = "INSERT INTO swarm_hosts (uuid, enrolled_at" HOST_NAMES ")"
                                            " SELECT r.uuid, COALESCE(r.enrolled_at, decnet_now())" HOST_VALUES
                                            " FROM jsonb_populate_record(NULL::swarm_hosts, $1) r"};

    return method_run_dictionary(call, 0, host_columns, ARRAY_SIZE(host_columns), &insert, w);
}

static int update_swarm_host(MethodCall *call, JsonWriter *w)
{
    static const Statement update = {.name = "method_update_swarm_host",
                                     .shape = SHAPE_ROWS,
                                     .sql = "UPDATE swarm_hosts AS a SET enrolled_at = a.enrolled_at" HOST_CHANGES
                                            " FROM jsonb_populate_record(NULL::swarm_hosts, $1) r WHERE a.uuid = $2"};

    if (json_object_object_length(call->values[1].json) > 0)
        return method_run_patch(call, host_patch_columns, ARRAY_SIZE(host_patch_columns), &update, w);
    json_value_null(w);
    return 0;
}

/* A certificate that two hosts share authenticates neither. */
static int get_swarm_host_by_fingerprint(MethodCall *call, JsonWriter *w)
{
    static const Statement select = {
        .name = "method_get_swarm_host_by_fingerprint",
        .shape = SHAPE_ROWS,
        .sql = "SELECT * FROM swarm_hosts WHERE client_cert_fingerprint = $1 ORDER BY name COLLATE \"C\" LIMIT 2"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    method_bind(call, 0, &args);
    int r = repo_exec(call->repo, &select, &args, &result);
    if (r != 0)
        return r;
    if (PQntuples(result) > 1)
        return method_fail(call, REPO_E_CONFLICT, NULL,
                           "more than one host has this fingerprint; give each a certificate of its own");
    method_write_rows(call, result, w);
    return 0;
}

METHOD(add_swarm_host, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "void", .writes = true,
       .run = add_swarm_host);

METHOD(get_swarm_host_by_name, .params = {{"name", PARAM_TEXT, .required = true}}, .returns = "row(swarm_hosts)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM swarm_hosts WHERE name = $1");

METHOD(get_swarm_host_by_uuid, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "row(swarm_hosts)?",
       .shape = METHOD_ROW, .statement.sql = "SELECT * FROM swarm_hosts WHERE uuid = $1");

METHOD(get_swarm_host_by_fingerprint, .params = {{"fingerprint", PARAM_TEXT, .required = true}},
       .returns = "row(swarm_hosts)?", .shape = METHOD_ROW, .run = get_swarm_host_by_fingerprint);

METHOD(list_swarm_hosts, .params = {{"status", PARAM_FILTER, .nullable = true}}, .returns = "list[row(swarm_hosts)]",
       .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM swarm_hosts WHERE ($1::text IS NULL OR status = $1)"
                        " ORDER BY name COLLATE \"C\"");

METHOD(update_swarm_host,
       .params = {{"uuid", PARAM_UUID, .required = true}, {"fields", PARAM_OBJECT, .required = true}},
       .returns = "void", .writes = true, .run = update_swarm_host);

/* Its shards go with it. */
METHOD(delete_swarm_host, .params = {{"uuid", PARAM_UUID, .required = true}}, .returns = "bool", .writes = true,
       .shape = METHOD_SCALAR,
       .statement.sql = "WITH gone AS (DELETE FROM swarm_hosts WHERE uuid = $1 RETURNING 1)"
                        " SELECT EXISTS (SELECT FROM gone)");

/* --- shards --- */

static const Column shard_columns[] = {{"decky_name", COLUMN_TEXT, COLUMN_REQUIRED, 0},
                                       {"host_uuid", COLUMN_UUID, COLUMN_REQUIRED, 0},
                                       DECKY_COLUMNS(UPSERT_COLUMN)};

/* The host is locked before its shard: in the order in which the deletion of a host takes them. */
static int upsert_decky_shard(MethodCall *call, JsonWriter *w)
{
    static const Statement upsert = {
        .name = "method_upsert_decky_shard",
        .shape = SHAPE_ROWS,
        .sql = "INSERT INTO decky_shards AS a (decky_name, host_uuid, updated_at" DECKY_NAMES ")"
               " SELECT r.decky_name, COALESCE(h.uuid, r.host_uuid), decnet_now()" DECKY_VALUES
               " FROM jsonb_populate_record(NULL::decky_shards, $1) r LEFT JOIN LATERAL"
               "  (SELECT uuid FROM swarm_hosts WHERE uuid = r.host_uuid FOR KEY SHARE) h ON true"
               " ON CONFLICT (decky_name) DO UPDATE SET host_uuid = EXCLUDED.host_uuid,"
               "  updated_at = EXCLUDED.updated_at" DECKY_KEEP};

    return method_run_dictionary(call, 0, shard_columns, ARRAY_SIZE(shard_columns), &upsert, w);
}

enum { SHARD_LIFTED = 10 }; /* first of the columns that come out of the configuration, if they are there */

static void write_shard(const PGresult *r, int row, JsonWriter *w)
{
    method_write_given(r, row, SHARD_LIFTED, w);
}

static int list_decky_shards(MethodCall *call, JsonWriter *w)
{
    MethodValue *host = &call->values[0];

    if (!host->is_null && host->text.len == 0) /* no filter, other than a malformed one */
        *host = (MethodValue){.is_null = true};
    return method_run_filtered(call, 0, w);
}

METHOD(upsert_decky_shard, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "void", .writes = true,
       .run = upsert_decky_shard);

METHOD(list_decky_shards, .params = {{"host_uuid", PARAM_UUID, .nullable = true}},
       .returns = "list[row(decky_shards) + {hostname, distro, archetype, service_config, mutate_interval,"
                  " last_mutated}]",
       .shape = METHOD_ROWS, .run = list_decky_shards, .write_row = write_shard,
       .statement.sql =
           "SELECT decky_name, host_uuid,"
           "  CASE jsonb_typeof(services) WHEN 'array' THEN services ELSE '[]' END AS services,"
           "  decky_config, COALESCE(NULLIF(decky_ip, ''), decky_config ->> 'ip', decky_ip) AS decky_ip,"
           "  state, last_error, compose_hash, last_seen, updated_at,"
           "  decky_config -> 'hostname' AS hostname, decky_config -> 'distro' AS distro,"
           "  decky_config -> 'archetype' AS archetype, decky_config -> 'service_config' AS service_config,"
           "  decky_config -> 'mutate_interval' AS mutate_interval,"
           "  decky_config -> 'last_mutated' AS last_mutated"
           " FROM decky_shards WHERE ($1::uuid IS NULL OR host_uuid = $1)"
           " ORDER BY decky_name COLLATE \"C\"",
       .statement.plan_anew = true);

METHOD(delete_decky_shards_for_host, .params = {{"host_uuid", PARAM_UUID, .required = true}}, .returns = "int",
       .writes = true, .shape = METHOD_SCALAR,
       .statement.sql = "WITH gone AS (DELETE FROM decky_shards WHERE host_uuid = $1 RETURNING 1)"
                        " SELECT count(*) FROM gone");

METHOD(delete_decky_shard, .params = {{"decky_name", PARAM_TEXT, .required = true}}, .returns = "bool", .writes = true,
       .shape = METHOD_SCALAR,
       .statement.sql = "WITH gone AS (DELETE FROM decky_shards WHERE decky_name = $1 RETURNING 1)"
                        " SELECT EXISTS (SELECT FROM gone)");
