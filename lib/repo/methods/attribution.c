/* Methods on what is concluded from observations. */
#include "repo/attribution.h"

#include "methods.h"
#include "repo/series.h"

static int ensure_stub_identity_for_attacker(MethodCall *call, JsonWriter *w)
{
    const Uuid *attacker = method_uuid(call, 0);
    StubIdentity stub = {0};
    int r = 0;

    if (attacker) {
        stub.attacker_uuid = *attacker;
        r = attribution_ensure_stubs(call->repo, &stub, 1);
    }
    if (r == 0 && stub.is_new) /* the attacker's observations have an identity now */
        r = series_mark_identities(call->repo, &stub.identity_uuid, 1);
    if (r != 0)
        return r;
    if (stub.exists)
        method_write_uuid(w, &stub.identity_uuid);
    else
        json_value_null(w);
    return 0;
}

static const Column columns[] = {
    {"identity_uuid", COLUMN_UUID, COLUMN_REQUIRED, 0},
    {"primitive", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"current_value", COLUMN_LITERAL, COLUMN_REQUIRED | COLUMN_NULLABLE, 0}, /* JSON null is a value */
    {"state", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"confidence", COLUMN_SHARE, COLUMN_REQUIRED, 0},
    {"observation_count", COLUMN_COUNT, COLUMN_REQUIRED, 0},
    {"last_change_ts", COLUMN_DOUBLE, COLUMN_REQUIRED, 0},
    {"last_observation_ts", COLUMN_DOUBLE, COLUMN_REQUIRED, 0},
    {"schema_version", COLUMN_COUNT, 0, 0},
};

/* @data has passed the columns above: what they require is there and of its type. */
static void read_state(json_object *data, Buf *value, StoredState *s)
{
    JsonWriter w = {.buf = value};
    int64_t version = 0;

    json_value_object(&w, json_member(data, "current_value"));
    *s = (StoredState){.primitive = json_get_str(data, "primitive"),
                       .current_value = buf_str(value),
                       .state = json_get_str(data, "state"),
                       .touches = true};
    uuid_parse_text(json_get_str(data, "identity_uuid"), &s->identity_uuid);
    json_get_double(data, "confidence", &s->confidence);
    json_get_int(data, "observation_count", &s->observation_count);
    json_get_double(data, "last_change_ts", &s->last_change_ts);
    json_get_double(data, "last_observation_ts", &s->last_observation_ts);
    json_get_int(data, "schema_version", &version);
    s->schema_version = (int32_t)version;
}

static int upsert_attribution_state(MethodCall *call, JsonWriter *w)
{
    cleanup(json_putp) json_object *data = NULL;
    cleanup(buf_free) Buf value = {0};
    StoredState state;

    int r = data_object(call, 0, columns, ARRAY_SIZE(columns), &data);
    if (r != 0)
        return r;
    read_state(data, &value, &state);
    if (!attribution_state_is_known(state.state))
        return method_invalid(call, "data: state must be unknown, stable, drifting, conflicted or multi_actor");
    r = attribution_states_upsert(call->repo, &state, 1, call->arena);
    if (r == 0)
        json_value_null(w);
    return r;
}

/* Not all columns: the worker keeps something beside them. */
#define STATE_COLUMNS                                                                                                  \
    "identity_uuid, primitive, current_value, state, confidence, observation_count, last_change_ts,"                   \
    " last_observation_ts, schema_version, updated_at"

METHOD(ensure_stub_identity_for_attacker, .params = {{"attacker_uuid", PARAM_UUID, .required = true}},
       .returns = "identity uuid?", .writes = true, .shape = METHOD_SCALAR, .run = ensure_stub_identity_for_attacker);

METHOD(upsert_attribution_state, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "void",
       .writes = true, .run = upsert_attribution_state);

METHOD(get_attribution_state_for_identity, .params = {{"identity_uuid", PARAM_UUID, .required = true}},
       .returns = "list[row(attribution_state)]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT " STATE_COLUMNS " FROM attribution_state WHERE identity_uuid = $1"
                        " ORDER BY primitive COLLATE \"C\"");

METHOD(get_attribution_state,
       .params = {{"identity_uuid", PARAM_UUID, .required = true}, {"primitive", PARAM_TEXT, .required = true}},
       .returns = "row(attribution_state)?", .shape = METHOD_ROW,
       .statement.sql = "SELECT " STATE_COLUMNS " FROM attribution_state WHERE identity_uuid = $1 AND primitive = $2");

METHOD(list_multi_actor_identities, .returns = "list[{identity_uuid, primitives}]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT identity_uuid, jsonb_agg(primitive ORDER BY primitive COLLATE \"C\") AS primitives"
                        " FROM attribution_state WHERE state = 'multi_actor' GROUP BY identity_uuid"
                        " HAVING count(*) >= 2 ORDER BY identity_uuid");
