/* Methods on observations. */
#include "repo/observations.h"

#include "methods.h"
#include "repo/series.h"

static const Column columns[] = {
    {"id", COLUMN_UUID, COLUMN_NULLABLE, 0},
    {"identity_ref", COLUMN_TEXT, COLUMN_NULLABLE, 0},
    {"primitive", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"value", COLUMN_LITERAL, COLUMN_REQUIRED | COLUMN_NULLABLE, 0}, /* JSON null is a value */
    {"confidence", COLUMN_SHARE, COLUMN_REQUIRED, 0},
    {"window_start_ts", COLUMN_DOUBLE, COLUMN_REQUIRED, 0},
    {"window_end_ts", COLUMN_DOUBLE, COLUMN_REQUIRED, 0},
    {"source", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"evidence_ref", COLUMN_TEXT, COLUMN_REQUIRED, 0},
    {"envelope_v", COLUMN_COUNT, COLUMN_REQUIRED, 0},
    {"ts", COLUMN_DOUBLE, COLUMN_REQUIRED, 0},
    {"attacker_uuid", COLUMN_UUID, COLUMN_REQUIRED, 0},
};

/* @data has passed the columns above: what they require is there and of its type. */
static void read_observation(json_object *data, Buf *value, StoredObservation *o)
{
    JsonWriter w = {.buf = value};
    int64_t version = 0;

    json_value_object(&w, json_member(data, "value"));
    *o = (StoredObservation){.evidence_ref = json_get_str(data, "evidence_ref"),
                             .primitive = json_get_str(data, "primitive"),
                             .value = buf_str(value),
                             .source = json_get_str(data, "source"),
                             .identity_ref = json_get_str(data, "identity_ref"),
                             .sets_identity_ref = json_object_object_get_ex(data, "identity_ref", NULL)};
    json_get_double(data, "confidence", &o->confidence);
    json_get_double(data, "window_start_ts", &o->window_start_ts);
    json_get_double(data, "window_end_ts", &o->window_end_ts);
    json_get_double(data, "ts", &o->ts);
    json_get_int(data, "envelope_v", &version);
    o->envelope_v = (int32_t)version;
    uuid_parse_text(json_get_str(data, "attacker_uuid"), &o->attacker_uuid);
    if (!uuid_parse_text(json_get_str(data, "id"), &o->id))
        o->id = observation_minted_id(o->evidence_ref, o->primitive);
}

/* The attribution worker looks at what it did not store itself; a row may have left the series of another attacker. */
static int mark_series(Repo *repo, const StoredObservation *o)
{
    const Uuid attackers[] = {o->attacker_uuid, o->old_attacker_uuid};
    const Str primitives[] = {o->primitive, o->primitive};
    size_t n = o->outcome == ROW_NEW ? 1 : o->outcome == ROW_CHANGED ? 2 : 0;

    return series_mark_attackers(repo, attackers, primitives,
                                 n == 2 && uuid_cmp(&attackers[0], &attackers[1]) == 0 ? 1 : n);
}

static int upsert_observation(MethodCall *call, JsonWriter *w)
{
    cleanup(json_putp) json_object *data = NULL;
    cleanup(buf_free) Buf value = {0};
    StoredObservation o;

    int r = data_object(call, 0, columns, ARRAY_SIZE(columns), &data);
    if (r != 0)
        return r;
    read_observation(data, &value, &o);
    r = observations_upsert(call->repo, &o, 1, true, call->arena);
    r = r ? r : mark_series(call->repo, &o);
    if (r != 0)
        return r;
    method_write_uuid(w, &o.id);
    return 0;
}

METHOD(upsert_observation, .params = {{"data", PARAM_OBJECT, .required = true}}, .returns = "id", .writes = true,
       .run = upsert_observation);

METHOD(latest_observation_per_primitive, .params = {{"attacker_uuid", PARAM_UUID, .required = true}},
       .returns = "{primitive: {value, confidence, ts, source}}", .shape = METHOD_MAP,
       .statement.sql = "SELECT DISTINCT ON (primitive COLLATE \"C\") primitive, value, confidence, ts, source"
                        " FROM observations WHERE attacker_uuid = $1"
                        " ORDER BY primitive COLLATE \"C\", ts DESC, window_end_ts DESC, id DESC");

METHOD(observations_time_series,
       .params = {{"attacker_uuid", PARAM_UUID, .required = true}, {"primitive", PARAM_TEXT, .required = true}},
       .returns = "list[{ts, value, confidence}]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT ts, value, confidence FROM observations WHERE attacker_uuid = $1 AND primitive = $2"
                        " ORDER BY ts, id");

METHOD(observations_for_identity_primitive,
       .params = {{"identity_uuid", PARAM_UUID, .required = true}, {"primitive", PARAM_TEXT, .required = true}},
       .returns = "list[{ts, value, confidence}]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT o.ts, o.value, o.confidence FROM attackers a"
                        " JOIN observations o ON o.attacker_uuid = a.uuid AND o.primitive = $2"
                        " WHERE a.identity_id = $1 ORDER BY o.ts, o.id");

METHOD(has_observations_for_evidence, .params = {{"evidence_ref", PARAM_TEXT, .required = true}}, .returns = "bool",
       .shape = METHOD_SCALAR, .statement.sql = "SELECT EXISTS (SELECT FROM observations WHERE evidence_ref = $1)");

/* --- envelopes --- */

/* Columns behind @at, in this order. */
#define ENVELOPE_COLUMNS                                                                                               \
    "primitive, value, confidence, window_start_ts, window_end_ts, source, evidence_ref, identity_ref"
enum { PRIMITIVE, VALUE, CONFIDENCE, WINDOW_START, WINDOW_END, SOURCE, EVIDENCE, IDENTITY_REF };

static void write_envelope_at(const PGresult *r, int row, int at, JsonWriter *w)
{
    json_begin_object(w);
    json_put_str(w, "primitive", res_str(r, row, at + PRIMITIVE));
    json_key(w, "value");
    res_write_value(r, row, at + VALUE, w);
    json_put_double(w, "confidence", res_double(r, row, at + CONFIDENCE));
    json_key(w, "window");
    json_begin_object(w);
    json_put_double(w, "start_ts", res_double(r, row, at + WINDOW_START));
    json_put_double(w, "end_ts", res_double(r, row, at + WINDOW_END));
    json_end_object(w);
    json_put_str(w, "source", res_str(r, row, at + SOURCE));
    json_put_str(w, "evidence_ref", res_str(r, row, at + EVIDENCE));
    if (!res_null(r, row, at + IDENTITY_REF))
        json_put_str(w, "identity_ref", res_str(r, row, at + IDENTITY_REF));
    json_end_object(w);
}

static void write_envelope(const PGresult *r, int row, JsonWriter *w)
{
    write_envelope_at(r, row, 0, w);
}

static void write_keyed_envelope(const PGresult *r, int row, JsonWriter *w)
{
    write_envelope_at(r, row, 1, w);
}

METHOD(list_observations_by_attacker, .params = {{"attacker_uuid", PARAM_UUID, .required = true}},
       .returns = "list[Envelope]", .shape = METHOD_ROWS,
       .statement.sql = "SELECT " ENVELOPE_COLUMNS " FROM observations WHERE attacker_uuid = $1"
                        " ORDER BY window_end_ts, id",
       .write_row = write_envelope);

METHOD(get_all_observations_for_export, .returns = "{attacker_uuid: list[Envelope]}", .shape = METHOD_GROUPS,
       .streams = true,
       .statement.sql = "SELECT attacker_uuid, " ENVELOPE_COLUMNS " FROM observations"
                        " ORDER BY attacker_uuid, window_end_ts, id",
       .write_row = write_keyed_envelope);
