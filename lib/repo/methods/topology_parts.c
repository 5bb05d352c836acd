/* What a topology consists of: LANs, deckies, and the edges that put a decky on a LAN. */
#include "base/limits.h"
#include "topologies.h"

/* Fields of a LAN, and of a decky, that can be changed later too: X(name, type, flags, flags when new, default). */
#define LAN_FIELDS(X)                                                                                                  \
    X(docker_network_id, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                      \
    X(subnet, COLUMN_TEXT, 0, COLUMN_REQUIRED, "NULL")                                                                 \
    X(is_dmz, COLUMN_BOOL, 0, 0, "false")                                                                              \
    X(x, COLUMN_DOUBLE, COLUMN_NULLABLE, 0, "NULL")                                                                    \
    X(y, COLUMN_DOUBLE, COLUMN_NULLABLE, 0, "NULL")

#define DECKY_FIELDS(X)                                                                                                \
    X(services, COLUMN_JSON_LIST, 0, 0, "'[]'")                                                                        \
    X(decky_config, COLUMN_JSON_OBJECT, COLUMN_NULLABLE, 0, "NULL")                                                    \
    X(ip, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                                     \
    X(state, COLUMN_TEXT, 0, 0, "'pending'")                                                                           \
    X(last_error, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                             \
    X(compose_hash, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                           \
    X(last_seen, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                              \
    X(x, COLUMN_DOUBLE, COLUMN_NULLABLE, 0, "NULL")                                                                    \
    X(y, COLUMN_DOUBLE, COLUMN_NULLABLE, 0, "NULL")

#define EDGE_FIELDS(X)                                                                                                 \
    X(decky_uuid, COLUMN_UUID, 0, COLUMN_REQUIRED, "NULL")                                                             \
    X(lan_id, COLUMN_UUID, 0, COLUMN_REQUIRED, "NULL")                                                                 \
    X(is_bridge, COLUMN_BOOL, 0, 0, "false")                                                                           \
    X(forwards_l3, COLUMN_BOOL, 0, 0, "false")

#define NEW_COLUMN(name_, type_, flags_, new_, standard_) {#name_, type_, (flags_) | (new_), 0},
#define PATCH_COLUMN(name_, type_, flags_, new_, standard_) {#name_, type_, flags_, 0},
#define INSERT_NAME(name_, ...) ", " #name_
#define INSERT_VALUE(name_, type_, flags_, new_, standard_) ", COALESCE(" #name_ ", " standard_ ")"
#define PATCH_FIELD(name_, ...)                                                                                        \
    ", " #name_ " = CASE WHEN $1 -> '" #name_ "' IS NULL THEN c." #name_ " ELSE r." #name_ " END"

/* $1 is the clean dictionary, $2 whether the version steps, $3 the row's id. The dictionary is of type json, whose keys
 * keep their order: the first one of decky_config.ips_by_lan is the decky's home. */
#define INSERT_PART(table, id, names, values)                                                                          \
    "WITH child AS (INSERT INTO " table " (" id ", topology_id" names ") SELECT COALESCE(" id ", gen_random_uuid()),"  \
    " topology_id" values " FROM json_populate_record(NULL::" table ", $1) RETURNING " id                              \
    ", topology_id)" TOPOLOGY_STEP("$2") " SELECT " id " FROM child"
#define PATCH_PART(table, id, set)                                                                                     \
    "WITH child AS (UPDATE " table " c SET name = COALESCE(r.name, c.name)" set                                        \
    " FROM json_populate_record(NULL::" table ", $1) r WHERE c." id                                                    \
    " = $3 RETURNING c.topology_id)" TOPOLOGY_STEP("$2") " SELECT topology_id FROM child"
/* $1 is the row's id, $2 whether the version steps. What hangs on the row goes by its foreign key. */
#define DELETE_PART(table, id)                                                                                         \
    "WITH child AS (DELETE FROM " table " WHERE " id                                                                   \
    " = $1 RETURNING topology_id)" TOPOLOGY_STEP("$2") " SELECT topology_id FROM child"
#define LOCK_BY_PART(table, id, strength)                                                                              \
    TOPOLOGY_LOCK("(SELECT topology_id FROM " table " WHERE " id " = $1)", strength)

#define PART_STATEMENT(name_, sql_)                                                                                    \
    {                                                                                                                  \
        .name = "topology_" name_, .shape = SHAPE_ROWS, .sql = sql_                                                    \
    }

static const Column new_lan[] = {{"id", COLUMN_UUID, 0, 0},
                                 {"topology_id", COLUMN_UUID, COLUMN_REQUIRED, 0},
                                 {"name", COLUMN_TEXT, COLUMN_REQUIRED | COLUMN_STRICT, LIMIT_NAME_BYTES},
                                 LAN_FIELDS(NEW_COLUMN)};
static const Column lan_patch[] = {{"name", COLUMN_TEXT, COLUMN_STRICT, LIMIT_NAME_BYTES}, LAN_FIELDS(PATCH_COLUMN)};

static const Column new_decky[] = {{"uuid", COLUMN_UUID, 0, 0},
                                   {"topology_id", COLUMN_UUID, COLUMN_REQUIRED, 0},
                                   {"name", COLUMN_TEXT, COLUMN_REQUIRED | COLUMN_STRICT, LIMIT_NAME_BYTES},
                                   {"updated_at", COLUMN_TIME, 0, 0},
                                   DECKY_FIELDS(NEW_COLUMN)};
static const Column decky_patch[] = {{"name", COLUMN_TEXT, COLUMN_STRICT, LIMIT_NAME_BYTES},
                                     {"updated_at", COLUMN_TIME, 0, 0},
                                     DECKY_FIELDS(PATCH_COLUMN)};

static const Column new_edge[] = {
    {"id", COLUMN_UUID, 0, 0}, {"topology_id", COLUMN_UUID, COLUMN_REQUIRED, 0}, EDGE_FIELDS(NEW_COLUMN)};

typedef struct Part {
    const char *word;
    const Column *new_columns, *patch_columns;
    size_t n_new, n_patch;
    Statement lock, insert, patch, drop;
} Part;

/* A LAN is deleted under the strongest lock, which keeps new edges out: they take the weakest. */
static const Part lan = {
    .word = "LAN",
    .new_columns = new_lan,
    .n_new = ARRAY_SIZE(new_lan),
    .patch_columns = lan_patch,
    .n_patch = ARRAY_SIZE(lan_patch),
    .lock = PART_STATEMENT("of_lan", LOCK_BY_PART("lans", "id", "UPDATE")),
    .insert = PART_STATEMENT(
        "add_lan", INSERT_PART("lans", "id", ", name" LAN_FIELDS(INSERT_NAME), ", name" LAN_FIELDS(INSERT_VALUE))),
    .patch = PART_STATEMENT("update_lan", PATCH_PART("lans", "id", LAN_FIELDS(PATCH_FIELD))),
    .drop = PART_STATEMENT("delete_lan", DELETE_PART("lans", "id")),
};

static const Part decky = {
    .word = "decky",
    .new_columns = new_decky,
    .n_new = ARRAY_SIZE(new_decky),
    .patch_columns = decky_patch,
    .n_patch = ARRAY_SIZE(decky_patch),
    .lock = PART_STATEMENT("of_decky", LOCK_BY_PART("topology_deckies", "uuid", "NO KEY UPDATE")),
    .insert = PART_STATEMENT("add_decky",
                             INSERT_PART("topology_deckies", "uuid", ", name, updated_at" DECKY_FIELDS(INSERT_NAME),
                                         ", name, COALESCE(updated_at, decnet_now())" DECKY_FIELDS(INSERT_VALUE))),
    .patch = PART_STATEMENT(
        "update_decky", PATCH_PART("topology_deckies", "uuid",
                                   ", updated_at = COALESCE(r.updated_at, decnet_now())" DECKY_FIELDS(PATCH_FIELD))),
    .drop = PART_STATEMENT("delete_decky", DELETE_PART("topology_deckies", "uuid")),
};

static const Part edge = {
    .word = "edge",
    .new_columns = new_edge,
    .n_new = ARRAY_SIZE(new_edge),
    .lock = PART_STATEMENT("of_edge", LOCK_BY_PART("topology_edges", "id", "NO KEY UPDATE")),
    .insert = PART_STATEMENT("add_edge",
                             INSERT_PART("topology_edges", "id", EDGE_FIELDS(INSERT_NAME), EDGE_FIELDS(INSERT_VALUE))),
    .drop = PART_STATEMENT("delete_edge", DELETE_PART("topology_edges", "id")),
};

/* --- adding: dictionary, expected version --- */

typedef int (*PartCheck)(const MethodCall *call, const Buf *clean);

static int add_part(MethodCall *call, const Part *part, PartCheck check, JsonWriter *w)
{
    json_object *data = call->values[0].json;
    const MethodValue *expected = &call->values[1];
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &clean};
    Uuid topology = {{0}};

    int r = data_write(call, "data", data, part->new_columns, part->n_new, &inner);
    if (r != 0)
        return r;
    (void)uuid_parse_text(json_get_str(data, "topology_id"), &topology); /* checked just now */
    r = topology_before_insert(call, &topology, expected);
    if (r == 0 && check)
        r = check(call, &clean);
    if (r != 0)
        return r;
    arg_json_text(&args, buf_str(&clean));
    arg_bool(&args, !expected->is_null);
    r = repo_exec(call->repo, &part->insert, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

/* The foreign keys only say that decky and LAN exist; one that does not is left to them. */
static int check_edge(const MethodCall *call, const Buf *clean)
{
    static const Statement strangers = {
        .name = "topology_edge_strangers",
        .shape = SHAPE_ROWS,
        .sql = "SELECT COALESCE(d.topology_id <> t.id, false) FROM json_populate_record(NULL::topology_edges, $1) r"
               " JOIN topologies t ON t.id = r.topology_id"
               " LEFT JOIN topology_deckies d ON d.uuid = r.decky_uuid LEFT JOIN lans l ON l.id = r.lan_id"
               " WHERE d.topology_id <> t.id OR l.topology_id <> t.id"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_json_text(&args, buf_str(clean));
    int r = repo_exec(call->repo, &strangers, &args, &result);
    if (r != 0 || PQntuples(result) == 0)
        return r;
    return method_invalid(call, "data: %s belongs to another topology",
                          res_bool(result, 0, 0) ? "decky_uuid" : "lan_id");
}

static int add_lan(MethodCall *call, JsonWriter *w)
{
    return add_part(call, &lan, NULL, w);
}

static int add_topology_decky(MethodCall *call, JsonWriter *w)
{
    return add_part(call, &decky, NULL, w);
}

static int add_topology_edge(MethodCall *call, JsonWriter *w)
{
    return add_part(call, &edge, check_edge, w);
}

/* --- changing: id, dictionary, expected version, whether only while pending --- */

static int no_such_part(const MethodCall *call, const Part *part)
{
    return method_fail(call, REPO_E_NOT_FOUND, NULL, "there is no such %s", part->word);
}

/* A change of nothing but the row itself needs no lock on the topology. Another name does: it waits for whoever gives
 * the same one up, which may be a topology that goes and waits for this row. */
static int check_update(MethodCall *call, const Part *part)
{
    const MethodValue *expected = &call->values[2];
    bool only_pending = call->values[3].number;
    bool renames = json_member(call->values[1].json, "name");
    Topology t;

    if (expected->is_null && !only_pending && !renames)
        return 0;
    int r = topology_lock(call, &part->lock, method_uuid(call, 0), &t);
    if (r == 0 && !t.found)
        r = no_such_part(call, part);
    if (r == 0 && only_pending)
        r = topology_check_pending(call, &t);
    return r ? r : topology_check_version(call, &t, expected);
}

static int update_part(MethodCall *call, const Part *part, JsonWriter *w)
{
    json_object *fields = call->values[1].json;
    cleanup(buf_free) Buf clean = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &clean};

    json_value_null(w);
    if (json_object_object_length(fields) == 0)
        return 0;
    int r = data_write_patch(call, "fields", fields, part->patch_columns, part->n_patch, &inner);
    r = r ? r : check_update(call, part);
    if (r != 0)
        return r;
    arg_json_text(&args, buf_str(&clean));
    arg_bool(&args, !call->values[2].is_null);
    arg_uuid(&args, method_uuid(call, 0));
    r = repo_exec(call->repo, &part->patch, &args, &result);
    return r == 0 && PQntuples(result) == 0 ? no_such_part(call, part) : r;
}

static int update_lan(MethodCall *call, JsonWriter *w)
{
    return update_part(call, &lan, w);
}

static int update_topology_decky(MethodCall *call, JsonWriter *w)
{
    return update_part(call, &decky, w);
}

/* --- deleting: id, expected version, whether only while pending --- */

/* REPO_E_ORPHAN when a decky has no edge but to this LAN. */
static int check_orphans(const MethodCall *call)
{
    static const Statement orphan = {
        .name = "topology_orphan",
        .shape = SHAPE_ROWS,
        .sql = "SELECT l.name, d.name, d.uuid FROM lans l JOIN topology_edges e ON e.lan_id = l.id"
               " JOIN topology_deckies d ON d.uuid = e.decky_uuid WHERE l.id = $1 AND NOT EXISTS"
               "  (SELECT FROM topology_edges other WHERE other.decky_uuid = d.uuid AND other.lan_id <> l.id)"
               " ORDER BY d.name COLLATE \"C\", d.uuid LIMIT 1"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    cleanup(buf_free) Buf detail = {0};
    JsonWriter w = {.buf = &detail};
    char id[UUID_TEXT_BYTES];

    arg_uuid(&args, method_uuid(call, 0));
    int r = repo_exec(call->repo, &orphan, &args, &result);
    if (r != 0 || PQntuples(result) == 0)
        return r;
    uuid_format(id, method_uuid(call, 0));
    json_put_cstr(&w, "lan", id);
    Uuid lonely = res_uuid(result, 0, 2);
    uuid_format(id, &lonely);
    json_put_cstr(&w, "decky", id);
    Str lan_name = text_clip_chars(res_str(result, 0, 0), 64), decky_name = text_clip_chars(res_str(result, 0, 1), 64);
    return method_fail(call, REPO_E_ORPHAN, detail.data,
                       "without LAN " STR_FMT " decky " STR_FMT " would be orphaned: move or delete it first",
                       STR_ARG(lan_name), STR_ARG(decky_name));
}

static int delete_part(MethodCall *call, const Part *part, JsonWriter *w)
{
    const MethodValue *expected = &call->values[1];
    bool only_pending = call->values[2].number;
    cleanup(args_free) Args args = {0};
    Topology t;

    json_value_null(w);
    int r = topology_lock(call, &part->lock, method_uuid(call, 0), &t);
    if (r != 0 || !t.found)
        return r;
    if (only_pending)
        r = topology_check_pending(call, &t);
    if (r == 0 && part == &lan)
        r = check_orphans(call);
    r = r ? r : topology_check_version(call, &t, expected);
    if (r != 0)
        return r;
    arg_uuid(&args, method_uuid(call, 0));
    arg_bool(&args, !expected->is_null);
    return repo_run(call->repo, &part->drop, &args, NULL);
}

static int delete_lan(MethodCall *call, JsonWriter *w)
{
    return delete_part(call, &lan, w);
}

static int delete_topology_decky(MethodCall *call, JsonWriter *w)
{
    return delete_part(call, &decky, w);
}

static int delete_topology_edge(MethodCall *call, JsonWriter *w)
{
    return delete_part(call, &edge, w);
}

/* --- the parts' methods --- */

#define EXPECTED_VERSION                                                                                               \
    {                                                                                                                  \
        "expected_version", PARAM_INT, .nullable = true                                                                \
    }
#define ENFORCE_PENDING(standard_)                                                                                     \
    {                                                                                                                  \
        "enforce_pending", PARAM_BOOL, .standard = standard_                                                           \
    }
#define ADD_PARAMS                                                                                                     \
    {                                                                                                                  \
        {"data", PARAM_OBJECT, .required = true}, EXPECTED_VERSION                                                     \
    }
#define UPDATE_PARAMS(id)                                                                                              \
    {                                                                                                                  \
        {id, PARAM_UUID, .required = true}, {"fields", PARAM_OBJECT, .required = true}, EXPECTED_VERSION,              \
            ENFORCE_PENDING("false")                                                                                   \
    }
#define DELETE_PARAMS(id)                                                                                              \
    {                                                                                                                  \
        {id, PARAM_UUID, .required = true}, EXPECTED_VERSION, ENFORCE_PENDING("true")                                  \
    }

METHOD(add_lan, .params = ADD_PARAMS, .returns = "id", .writes = true, .shape = METHOD_SCALAR, .run = add_lan);

METHOD(update_lan, .params = UPDATE_PARAMS("lan_id"), .returns = "void", .writes = true, .run = update_lan);

METHOD(delete_lan, .params = DELETE_PARAMS("lan_id"), .returns = "void", .writes = true, .run = delete_lan);

METHOD(list_lans_for_topology, .params = {{"topology_id", PARAM_UUID, .required = true}}, .returns = "list[LANRow]",
       .shape = METHOD_ROWS,
       .statement.sql = "SELECT id, topology_id, name, subnet, is_dmz, docker_network_id, x, y FROM lans"
                        " WHERE topology_id = $1 ORDER BY name COLLATE \"C\"");

METHOD(add_topology_decky, .params = ADD_PARAMS, .returns = "uuid", .writes = true, .shape = METHOD_SCALAR,
       .run = add_topology_decky);

METHOD(update_topology_decky, .params = UPDATE_PARAMS("decky_uuid"), .returns = "void", .writes = true,
       .run = update_topology_decky);

METHOD(delete_topology_decky, .params = DELETE_PARAMS("decky_uuid"), .returns = "void", .writes = true,
       .run = delete_topology_decky);

METHOD(list_topology_deckies, .params = {{"topology_id", PARAM_UUID, .required = true}}, .returns = "list[DeckyRow]",
       .shape = METHOD_ROWS,
       .statement.sql = "SELECT uuid, topology_id, name, services, decky_config, ip, state, last_error, x, y"
                        " FROM topology_deckies WHERE topology_id = $1 ORDER BY name COLLATE \"C\"");

METHOD(list_running_topology_deckies, .returns = "list[row(topology_deckies)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM topology_deckies WHERE state = 'running'"
                        " ORDER BY topology_id, name COLLATE \"C\"");

METHOD(add_topology_edge, .params = ADD_PARAMS, .returns = "id", .writes = true, .shape = METHOD_SCALAR,
       .run = add_topology_edge);

METHOD(delete_topology_edge, .params = DELETE_PARAMS("edge_id"), .returns = "void", .writes = true,
       .run = delete_topology_edge);

METHOD(list_topology_edges, .params = {{"topology_id", PARAM_UUID, .required = true}}, .returns = "list[EdgeRow]",
       .shape = METHOD_ROWS,
       .statement.sql = "SELECT id, topology_id, decky_uuid, lan_id, is_bridge, forwards_l3 FROM topology_edges"
                        " WHERE topology_id = $1 ORDER BY id");
