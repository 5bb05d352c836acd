/* Topologies: networks of deckies that are planned, edited while pending, and watched when live. */
#include "topologies.h"

#include "base/limits.h"

/* --- guards --- */

int topology_lock(MethodCall *call, const Statement *s, const Uuid *id, Topology *ret)
{
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    *ret = (Topology){0};
    arg_uuid(&args, id);
    int r = repo_exec(call->repo, s, &args, &result);
    if (r == 0 && PQntuples(result) > 0)
        *ret = (Topology){
            .found = true, .status = str_dup(call->arena, res_str(result, 0, 0)), .version = res_int(result, 0, 1)};
    return r;
}

int topology_check_version(const MethodCall *call, const Topology *t, const MethodValue *expected)
{
    cleanup(buf_free) Buf detail = {0};
    JsonWriter w = {.buf = &detail};

    if (expected->is_null || expected->number == t->version)
        return 0;
    json_put_int(&w, "current", t->version);
    json_put_int(&w, "expected", expected->number);
    return method_fail(call, REPO_E_VERSION, detail.data,
                       "the topology is at version %lld, not %lld: read it again, then repeat the change",
                       (long long)t->version, (long long)expected->number);
}

static const Statement lock_topology = {
    .name = "topology_own", .shape = SHAPE_ROWS, .sql = TOPOLOGY_LOCK("$1", "NO KEY UPDATE")};

int topology_before_insert(MethodCall *call, const Uuid *id, const MethodValue *expected)
{
    static const Statement share = {
        .name = "topology_share", .shape = SHAPE_ROWS, .sql = TOPOLOGY_LOCK("$1", "KEY SHARE")};
    Topology t;

    int r = topology_lock(call, expected->is_null ? &share : &lock_topology, id, &t);
    if (r != 0 || expected->is_null)
        return r;
    if (!t.found)
        return method_fail(call, REPO_E_NOT_FOUND, NULL, "there is no such topology");
    return topology_check_version(call, &t, expected);
}

int topology_check_pending(const MethodCall *call, const Topology *t)
{
    static const char reason[] = "only a pending topology can be edited";
    cleanup(buf_free) Buf detail = {0};
    JsonWriter w = {.buf = &detail};

    if (str_eq(t->status, STR("pending")))
        return 0;
    json_put_str(&w, "status", t->status);
    json_put_cstr(&w, "reason", reason);
    return method_fail(call, REPO_E_NOT_EDITABLE, detail.data, "%s; this one is " STR_FMT, reason, STR_ARG(t->status));
}

/* --- topologies --- */

static const char *const statuses[] = {"pending", "deploying",    "active",   "degraded",
                                       "failed",  "tearing_down", "torn_down"};
static const char *const modes[] = {"unihost", "agent"};

static bool is_among(Str word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(word, str_from(words[i])))
            return true;
    return false;
}

static const Column topology_columns[] = {
    {"id", COLUMN_UUID, 0, 0},
    {"name", COLUMN_TEXT, COLUMN_REQUIRED | COLUMN_STRICT, LIMIT_NAME_BYTES},
    {"mode", COLUMN_TEXT, 0, 0},
    {"target_host_uuid", COLUMN_UUID, COLUMN_NULLABLE, 0},
    {"config_snapshot", COLUMN_JSON_OBJECT, 0, 0},
    {"email_personas", COLUMN_TEXT, 0, 0},
    {"language_default", COLUMN_TEXT, COLUMN_STRICT, 8},
};

/* Status and version are those of every new topology, whatever the dictionary says. */
static const Statement insert_topology = {
    .name = "method_create_topology",
    .shape = SHAPE_ROW,
    .sql =
        "INSERT INTO topologies (id, name, mode, target_host_uuid, config_snapshot, email_personas, language_default)"
        " SELECT COALESCE(id, gen_random_uuid()), name, COALESCE(mode, 'unihost'), target_host_uuid,"
        "  COALESCE(config_snapshot, '{}'), COALESCE(email_personas, '[]'), COALESCE(language_default, 'en')"
        " FROM json_populate_record(NULL::topologies, $1) RETURNING id"};

static int create_topology(MethodCall *call, JsonWriter *w)
{
    json_object *data = call->values[0].json;
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &clean};

    int r = data_write(call, "data", data, topology_columns, ARRAY_SIZE(topology_columns), &inner);
    if (r != 0)
        return r;
    if (json_member(data, "mode") && !is_among(json_get_str(data, "mode"), modes, ARRAY_SIZE(modes)))
        return method_invalid(call, "data: mode must be unihost or agent");
    arg_json_text(&args, buf_str(&clean)); /* jsonb would reorder the keys of the snapshot */
    r = repo_exec(call->repo, &insert_topology, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

/* Whether a step is legal is for the caller to know. The lock is what makes from_status that of the event before. It is
 * taken in a statement of its own: one statement that locks the newest version of the row and then changes the one that
 * it saw first can deadlock with others that wait for the row. */
static int update_topology_status(MethodCall *call, JsonWriter *w)
{
    static const Statement change = {
        .name = "method_update_topology_status",
        .shape = SHAPE_NONE,
        .sql = "WITH changed AS (UPDATE topologies SET status = $2, status_changed_at = decnet_now() WHERE id = $1"
               "  RETURNING id, status_changed_at)"
               " INSERT INTO topology_status_events (topology_id, from_status, to_status, at, reason)"
               " SELECT id, $4, $2, status_changed_at, $3 FROM changed"};
    cleanup(args_free) Args args = {0};
    Topology t;

    if (!is_among(call->values[1].text, statuses, ARRAY_SIZE(statuses)))
        return method_invalid(call, "new_status must be one of pending, deploying, active, degraded, failed,"
                                    " tearing_down and torn_down");
    json_value_null(w);
    int r = topology_lock(call, &lock_topology, method_uuid(call, 0), &t);
    if (r != 0 || !t.found)
        return r;
    for (int i = 0; i < 3; i++)
        method_bind(call, i, &args);
    arg_str(&args, t.status);
    return repo_run(call->repo, &change, &args, NULL);
}

static void write_id(const PGresult *r, int row, JsonWriter *w)
{
    res_write_value(r, row, 0, w);
}

#define SUMMARY                                                                                                        \
    "SELECT id, name, mode, target_host_uuid, status, version, needs_resync, created_at, status_changed_at,"           \
    " email_personas, language_default FROM topologies"

METHOD(create_topology, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "id", .writes = true,
       .shape = METHOD_SCALAR, .run = create_topology);

METHOD(get_topology, .params = {{"topology_id", PARAM_UUID, .required = true}}, .returns = "TopologySummary?",
       .shape = METHOD_ROW, .statement.sql = SUMMARY " WHERE id = $1");

METHOD(list_topologies,
       .params = {{"status", PARAM_FILTER, .nullable = true},
                  {"limit", PARAM_LIMIT, .nullable = true},
                  {"offset", PARAM_COUNT, .nullable = true}},
       .returns = "list[TopologySummary]", .shape = METHOD_ROWS,
       .statement.sql = SUMMARY " WHERE $1::text IS NULL OR status = $1 ORDER BY created_at DESC, id"
                                " LIMIT $2 OFFSET $3");

METHOD(count_topologies, .params = {{"status", PARAM_FILTER, .nullable = true}}, .returns = "int",
       .shape = METHOD_SCALAR,
       .statement.sql = "SELECT count(*) FROM topologies WHERE $1::text IS NULL OR status = $1");

METHOD(update_topology_status,
       .params = {{"topology_id", PARAM_UUID, .required = true},
                  {"new_status", PARAM_TEXT, .required = true},
                  {"reason", PARAM_TEXT, .nullable = true}},
       .returns = "void", .writes = true, .run = update_topology_status);

/* Its lock comes first, then every child goes by its foreign key. */
METHOD(delete_topology_cascade, .params = {{"topology_id", PARAM_UUID, .required = true}}, .returns = "bool",
       .writes = true, .shape = METHOD_SCALAR,
       .statement.sql = "WITH gone AS (DELETE FROM topologies WHERE id = $1 RETURNING id)"
                        " SELECT EXISTS (SELECT FROM gone)");

METHOD(set_topology_resync,
       .params = {{"topology_id", PARAM_UUID, .required = true}, {"value", PARAM_BOOL, .required = true}},
       .returns = "void", .writes = true, .statement.sql = "UPDATE topologies SET needs_resync = $2 WHERE id = $1");

METHOD(set_topology_email_personas,
       .params = {{"topology_id", PARAM_UUID, .required = true}, {"personas_json", PARAM_TEXT, .required = true}},
       .returns = "bool", .writes = true, .shape = METHOD_SCALAR,
       .statement.sql = "WITH changed AS (UPDATE topologies SET email_personas = $2 WHERE id = $1 RETURNING id)"
                        " SELECT EXISTS (SELECT FROM changed)");

METHOD(list_topologies_needing_resync, .returns = "list[TopologySummary]", .shape = METHOD_ROWS,
       .statement.sql = SUMMARY " WHERE needs_resync ORDER BY created_at, id");

METHOD(list_live_topology_ids, .returns = "list[id]", .shape = METHOD_ROWS, .write_row = write_id,
       .statement.sql = "SELECT id FROM topologies WHERE status IN ('active', 'degraded') ORDER BY created_at, id");

METHOD(
    list_topology_status_events,
    .params = {{"topology_id", PARAM_UUID, .required = true}, {"limit", PARAM_LIMIT, .standard = "100"}},
    .returns = "list[row(topology_status_events)]", .shape = METHOD_ROWS,
    .statement.sql = "SELECT * FROM topology_status_events WHERE topology_id = $1 ORDER BY at DESC, id DESC LIMIT $2");
