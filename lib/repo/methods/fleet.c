/* Deckies of the local fleet, and what runs anywhere. */
#include "deckies.h"

#include "repo/state_file.h"

/* --- the mirror of the fleet --- */

static const Column columns[] = {{"host_uuid", COLUMN_ID, COLUMN_NULLABLE, 0},
                                 {"name", COLUMN_TEXT, COLUMN_REQUIRED, 0},
                                 DECKY_COLUMNS(UPSERT_COLUMN)};

static int upsert_fleet_decky(MethodCall *call, JsonWriter *w)
{
    static const Statement upsert = {
        .name = "method_upsert_fleet_decky",
        .shape = SHAPE_ROWS,
        .sql = "INSERT INTO fleet_deckies AS a (host_uuid, name, updated_at" DECKY_NAMES ")"
               " SELECT COALESCE(r.host_uuid, 'local'), r.name, decnet_now()" DECKY_VALUES
               " FROM jsonb_populate_record(NULL::fleet_deckies, $1) r"
               " ON CONFLICT (host_uuid, name) DO UPDATE SET updated_at = EXCLUDED.updated_at" DECKY_KEEP};

    return method_run_dictionary(call, 0, columns, ARRAY_SIZE(columns), &upsert, w);
}

METHOD(upsert_fleet_decky, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "void", .writes = true,
       .run = upsert_fleet_decky);

METHOD(delete_fleet_decky,
       .params = {{"host_uuid", PARAM_ID, .required = true}, {"name", PARAM_TEXT, .required = true}}, .returns = "void",
       .writes = true, .statement.sql = "DELETE FROM fleet_deckies WHERE host_uuid = $1 AND name = $2");

METHOD(list_fleet_deckies, .params = {{"host_uuid", PARAM_ID, .nullable = true}}, .returns = "list[row(fleet_deckies)]",
       .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM fleet_deckies WHERE (COALESCE($1, '') = '' OR host_uuid = $1)"
                        " ORDER BY name COLLATE \"C\", host_uuid COLLATE \"C\"",
       .statement.plan_anew = true);

METHOD(list_running_fleet_deckies, .returns = "list[row(fleet_deckies)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM fleet_deckies WHERE state = 'running'"
                        " ORDER BY host_uuid COLLATE \"C\", name COLLATE \"C\"");

METHOD(update_fleet_decky_state,
       .params = {{"host_uuid", PARAM_ID, .required = true},
                  {"name", PARAM_TEXT, .required = true},
                  {"state", PARAM_TEXT, .required = true},
                  {"last_error", PARAM_TEXT, .nullable = true}},
       .returns = "void", .writes = true,
       .statement.sql = "UPDATE fleet_deckies SET state = $3, last_error = COALESCE($4, last_error),"
                        "  updated_at = n.now, last_seen = n.now FROM (SELECT decnet_now() AS now) n"
                        " WHERE host_uuid = $1 AND name = $2");

/* This host's own first, as the name is meant here. */
METHOD(get_fleet_decky_by_name, .params = {{"name", PARAM_TEXT, .required = true}}, .returns = "row(fleet_deckies)?",
       .shape = METHOD_ROW,
       .statement.sql = "SELECT * FROM fleet_deckies WHERE name = $1"
                        " ORDER BY host_uuid = 'local' DESC, updated_at DESC, host_uuid COLLATE \"C\" LIMIT 1");

/* --- what is deployed --- */

/* The deckies of the state file ($1; as json, in which keys keep their order), or of the mirror when no file is named:
 * what a configuration leaves out, its row says. */
static int get_deckies(MethodCall *call, JsonWriter *w)
{
    static const Statement list = {
        .name = "method_get_deckies",
        .shape = SHAPE_ROWS,
        .sql = "SELECT c -> 'name' AS name, c -> 'ip' AS ip, COALESCE(c -> 'services', '[]') AS services,"
               "  c -> 'distro' AS distro, c -> 'base_image' AS base_image, c -> 'build_base' AS build_base,"
               "  c -> 'hostname' AS hostname, c -> 'archetype' AS archetype,"
               "  COALESCE(c -> 'service_config', '{}') AS service_config, c -> 'nmap_os' AS nmap_os,"
               "  c -> 'mutate_interval' AS mutate_interval, c -> 'last_mutated' AS last_mutated,"
               "  c -> 'last_login_attempt' AS last_login_attempt, c -> 'host_uuid' AS host_uuid"
               " FROM (SELECT c, n, NULL AS name, NULL AS host_uuid"
               "   FROM json_array_elements($1) WITH ORDINALITY AS file (c, n)"
               "  UNION ALL SELECT (jsonb_build_object('name', name, 'ip', decky_ip, 'services', services,"
               "    'host_uuid', host_uuid)"
               "    || CASE jsonb_typeof(decky_config) WHEN 'object' THEN decky_config ELSE '{}' END)::json,"
               "   NULL, name, host_uuid FROM fleet_deckies WHERE $1 IS NULL) d"
               " ORDER BY n, name COLLATE \"C\", host_uuid COLLATE \"C\""};
    cleanup(json_putp) json_object *deckies = NULL;
    cleanup(buf_free) Buf file = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &file};

    int r = state_file_read_deckies(call->repo, &deckies);
    if (r != 0)
        return r;
    if (deckies)
        json_value_object(&inner, deckies);
    arg_json_text(&args, deckies ? buf_str(&file) : (Str){0});
    r = repo_exec(call->repo, &list, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

METHOD(get_deckies, .returns = "list[DeckyConfig]", .shape = METHOD_ROWS, .run = get_deckies);

/* --- what runs --- */

enum { RUNNING_TOPOLOGY_ID = 5 };

static void write_running(const PGresult *r, int row, JsonWriter *w)
{
    method_write_given(r, row, RUNNING_TOPOLOGY_ID, w);
}

#define SERVICES "CASE jsonb_typeof(services) WHEN 'array' THEN services ELSE '[]' END"

/* What the fleet and the swarm both know is the swarm's. */
METHOD(list_running_deckies, .returns = "list[{uuid, name, ip, services, source, topology_id?}]", .shape = METHOD_ROWS,
       .write_row = write_running,
       .statement.sql = "SELECT uuid, name, ip, services, source, topology_id"
                        " FROM (SELECT 1 AS part, topology_id::text AS place, uuid::text, name, ip,"
                        "    " SERVICES " AS services, 'topology' AS source, topology_id"
                        "   FROM topology_deckies WHERE state = 'running'"
                        "  UNION ALL SELECT 2, host_uuid, host_uuid || ':' || name, name, decky_ip,"
                        "    " SERVICES ", 'fleet', NULL"
                        "   FROM fleet_deckies f WHERE state = 'running' AND NOT EXISTS (SELECT FROM decky_shards s"
                        "    WHERE s.decky_name = f.name AND s.host_uuid::text = f.host_uuid AND s.state = 'running')"
                        "  UNION ALL SELECT 3, NULL, host_uuid || ':' || decky_name, decky_name, decky_ip,"
                        "    " SERVICES ", 'shard', NULL"
                        "   FROM decky_shards WHERE state = 'running') d"
                        " ORDER BY part, place COLLATE \"C\", name COLLATE \"C\"");
