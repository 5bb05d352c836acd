/* The queue of changes to live topologies. */
#include "topologies.h"

#include "base/limits.h"

/* Rows that a caller may take: those that wait, and those whose taker has not come back. */
#define CLAIMABLE                                                                                                      \
    "(m.state = 'pending' OR (m.state = 'applying'"                                                                    \
    "  AND m.claimed_at < decnet_now() - make_interval(secs => " STRINGIFY(LIMIT_MUTATION_CLAIM_SECONDS) ")))"

/* The payload is of type json, as the order of its keys can matter. */
static int enqueue_topology_mutation(MethodCall *call, JsonWriter *w)
{
    static const Statement insert = {
        .name = "method_enqueue_topology_mutation",
        .shape = SHAPE_ROW,
        .sql = "WITH child AS (INSERT INTO topology_mutations (topology_id, op, payload) VALUES ($1, $2, $3)"
               "  RETURNING id, topology_id)" TOPOLOGY_STEP("$4") " SELECT id FROM child"};
    const MethodValue *expected = &call->values[3];
    cleanup(buf_free) Buf payload = {0};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    JsonWriter inner = {.buf = &payload};

    if (!json_is_finite(call->values[2].json))
        return method_invalid(call, "payload: a number is larger than any that can be stored");
    int r = topology_before_insert(call, method_uuid(call, 0), expected);
    if (r != 0)
        return r;
    json_value_object(&inner, call->values[2].json);
    method_bind(call, 0, &args);
    method_bind(call, 1, &args);
    arg_json_text(&args, buf_str(&payload));
    arg_bool(&args, !expected->is_null);
    r = repo_exec(call->repo, &insert, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

METHOD(enqueue_topology_mutation,
       .params = {{"topology_id", PARAM_NEW_ID, .required = true},
                  {"op", PARAM_TEXT, .required = true},
                  {"payload", PARAM_OBJECT, .required = true},
                  {"expected_version", PARAM_INT, .nullable = true}},
       .returns = "id", .writes = true, .shape = METHOD_SCALAR, .run = enqueue_topology_mutation);

/* A row that another caller is taking right now is passed over. claimed_by leads to the session in pg_stat_activity. */
METHOD(claim_next_mutation, .params = {{"topology_id", PARAM_UUID, .required = true}},
       .returns = "row(topology_mutations)?", .writes = true, .shape = METHOD_ROW,
       .statement.sql = "UPDATE topology_mutations SET state = 'applying', claimed_at = decnet_now(),"
                        "  claimed_by = current_setting('application_name') || '/' || pg_backend_pid()"
                        " WHERE id = (SELECT m.id FROM topology_mutations m WHERE m.topology_id = $1 AND " CLAIMABLE
                        "  ORDER BY m.requested_at, m.id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING *");

METHOD(mark_mutation_applied, .params = {{"mutation_id", PARAM_UUID, .required = true}}, .returns = "void",
       .writes = true,
       .statement.sql = "UPDATE topology_mutations SET state = 'applied', applied_at = decnet_now()"
                        " WHERE id = $1 AND state = 'applying'");

METHOD(mark_mutation_failed,
       .params = {{"mutation_id", PARAM_UUID, .required = true}, {"reason", PARAM_TEXT, .required = true}},
       .returns = "void", .writes = true,
       .statement.sql = "UPDATE topology_mutations SET state = 'failed', applied_at = decnet_now(), reason = $2"
                        " WHERE id = $1 AND state = 'applying'");

METHOD(list_topology_mutations,
       .params = {{"topology_id", PARAM_UUID, .required = true}, {"state", PARAM_TEXT, .nullable = true}},
       .returns = "list[row(topology_mutations)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM topology_mutations WHERE topology_id = $1 AND ($2::text IS NULL OR state = $2)"
                        " ORDER BY requested_at DESC, id DESC");

METHOD(has_pending_topology_mutation, .returns = "bool", .shape = METHOD_SCALAR,
       .statement.sql = "SELECT EXISTS (SELECT FROM topology_mutations m JOIN topologies t ON t.id = m.topology_id"
                        " WHERE t.status IN ('active', 'degraded') AND " CLAIMABLE ")");
