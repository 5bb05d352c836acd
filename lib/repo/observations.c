#include "observations.h"

#include "upsert.h"

#define COLUMNS                                                                                                        \
    "id, evidence_ref, primitive, value, confidence, window_start_ts, window_end_ts, ts, source, envelope_v,"          \
    " attacker_uuid, identity_ref, value_kind"
enum { N_COLUMNS = 13 };
#define ROWS                                                                                                           \
    "unnest($1::uuid[], $2::text[], $3::text[], $4::jsonb[], $5::float8[], $6::float8[], $7::float8[], $8::float8[],"  \
    " $9::text[], $10::int[], $11::uuid[], $12::text[], $13::text[], $14::bool[], $15::bool[])"                        \
    " WITH ORDINALITY AS i (" COLUMNS ", sets_identity_ref, ranks_whole, n)"
#define STORED " JOIN observations o ON o.evidence_ref = i.evidence_ref AND o.primitive = i.primitive"
/* Who stays is decided on these: o is stored, i came. */
#define RANK_COLUMNS(row) row ".ts, " row ".window_end_ts, " row ".value::text COLLATE \"C\""
#define RANK(row) "(" RANK_COLUMNS(row) ")"
#define WHOLE_RANK(row)                                                                                                \
    "(" RANK_COLUMNS(row) ", " row ".confidence, " row ".window_start_ts, " row ".source COLLATE \"C\", " row          \
                          ".envelope_v, " row ".attacker_uuid, COALESCE(" row ".value_kind, '') COLLATE \"C\")"
#define COMPARED(a, op, b, came)                                                                                       \
    "CASE WHEN " came ".ranks_whole THEN " WHOLE_RANK(a) op WHOLE_RANK(b) " ELSE " RANK(a) op RANK(b) " END"
#define STORED_IS_GREATER COMPARED("o", " > ", "i", "i")
#define IS_SAME                                                                                                        \
    RANK("o")                                                                                                          \
    " = " RANK("i") " AND (NOT i.sets_identity_ref OR o.identity_ref IS NOT DISTINCT FROM i.identity_ref)"             \
                    " AND (i.value_kind IS NULL OR o.value_kind IS NOT DISTINCT FROM i.value_kind)"                    \
                    " AND (o.confidence, o.window_start_ts, o.source, o.envelope_v, o.attacker_uuid)"                  \
                    " = (i.confidence, i.window_start_ts, i.source, i.envelope_v, i.attacker_uuid)"
#define IS_STILL_NOT_LESS COMPARED("c", " >= ", "o", "c")

static int compare(const void *a, const void *b)
{
    const StoredObservation *x = a, *y = b;
    int c = str_cmp(x->evidence_ref, y->evidence_ref);
    return c ? c : str_cmp(x->primitive, y->primitive);
}

static void bind(Args *args, void *const *rows, size_t n)
{
    ArgArray *id = arg_array(args, PG_UUID), *evidence = arg_array(args, PG_TEXT),
             *primitive = arg_array(args, PG_TEXT), *value = arg_array(args, PG_JSONB),
             *confidence = arg_array(args, PG_FLOAT8), *start = arg_array(args, PG_FLOAT8),
             *end = arg_array(args, PG_FLOAT8), *ts = arg_array(args, PG_FLOAT8), *source = arg_array(args, PG_TEXT),
             *version = arg_array(args, PG_INT4), *attacker = arg_array(args, PG_UUID),
             *identity_ref = arg_array(args, PG_TEXT), *kind = arg_array(args, PG_TEXT);
    for (size_t i = 0; i < n; i++) {
        const StoredObservation *o = rows[i];
        array_uuid(id, &o->id);
        array_str(evidence, o->evidence_ref);
        array_str(primitive, o->primitive);
        array_json(value, o->value);
        array_float8(confidence, o->confidence);
        array_float8(start, o->window_start_ts);
        array_float8(end, o->window_end_ts);
        array_float8(ts, o->ts);
        array_str(source, o->source);
        array_int4(version, o->envelope_v);
        array_uuid(attacker, &o->attacker_uuid);
        array_str(identity_ref, o->identity_ref);
        array_str(kind, o->value_kind);
    }
}

static void copy_one(Buf *out, const void *row)
{
    const StoredObservation *o = row;

    copy_row(out, N_COLUMNS);
    copy_uuid(out, &o->id);
    copy_str(out, o->evidence_ref);
    copy_str(out, o->primitive);
    copy_json(out, o->value);
    copy_float8(out, o->confidence);
    copy_float8(out, o->window_start_ts);
    copy_float8(out, o->window_end_ts);
    copy_float8(out, o->ts);
    copy_str(out, o->source);
    copy_int4(out, o->envelope_v);
    copy_uuid(out, &o->attacker_uuid);
    copy_str(out, o->identity_ref);
    copy_str(out, o->value_kind);
}

static void bind_rules(Args *args, void *const *rows, size_t n)
{
    ArgArray *sets_identity_ref = arg_array(args, PG_BOOL), *ranks_whole = arg_array(args, PG_BOOL);

    for (size_t i = 0; i < n; i++) {
        const StoredObservation *o = rows[i];
        array_bool(sets_identity_ref, o->sets_identity_ref);
        array_bool(ranks_whole, o->ranks_whole);
    }
}

static bool is_key(const PGresult *r, int i, const void *row)
{
    Uuid id = res_uuid(r, i, 0);
    return uuid_cmp(&id, &((const StoredObservation *)row)->id) == 0;
}

static void judged(void *row, const PGresult *r, int i, Arena *arena)
{
    (void)arena;
    ((StoredObservation *)row)->id = res_uuid(r, i, 2);
}

static void changed(void *row, const PGresult *r, int i, Arena *arena)
{
    StoredObservation *o = row;

    o->old_attacker_uuid = res_uuid(r, i, 1);
    o->old_ts = res_double(r, i, 2);
    o->old_value = str_dup(arena, res_str(r, i, 3));
}

static const Upsert upsert = {
    .row_bytes = sizeof(StoredObservation),
    .outcome_at = offsetof(StoredObservation, outcome),
    .compare = compare,
    .bind = bind,
    .bind_rules = bind_rules,
    .copy = {.name = "observations_copy", .sql = "COPY observations (" COLUMNS ") FROM STDIN (FORMAT binary)"},
    .copy_one = copy_one,
    .insert = {.name = "observations_insert",
               .shape = SHAPE_ROWS,
               .sql = "INSERT INTO observations (" COLUMNS ") SELECT unnest($1::uuid[]), unnest($2::text[]),"
                      "  unnest($3::text[]), unnest($4::jsonb[]), unnest($5::float8[]), unnest($6::float8[]),"
                      "  unnest($7::float8[]), unnest($8::float8[]), unnest($9::text[]), unnest($10::int[]),"
                      "  unnest($11::uuid[]), unnest($12::text[]), unnest($13::text[])"
                      " ON CONFLICT DO NOTHING RETURNING id"},
    .is_key = is_key,
    .judge = {.name = "observations_judge",
              .shape = SHAPE_ROWS,
              .sql = "SELECT i.n, CASE WHEN o.id IS NULL THEN " UPSERT_TAKEN " WHEN " STORED_IS_GREATER
                     " THEN " UPSERT_STALE " WHEN " IS_SAME " THEN " UPSERT_SAME " ELSE " UPSERT_DIFFERS
                     " END, o.id FROM " ROWS " LEFT" STORED
                     " WHERE o.id IS NOT NULL OR EXISTS (SELECT FROM observations t WHERE t.id = i.id)"},
    .judged = judged,
    .lock = {.name = "observations_lock",
             .shape = SHAPE_ROWS,
             .sql =
                 "SELECT FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS i (evidence_ref, primitive, n)" STORED
                 " ORDER BY i.n FOR NO KEY UPDATE OF o"},
    .change = {.name = "observations_change",
               .shape = SHAPE_ROWS,
               .sql = "WITH c AS (SELECT i.*, o.id AS stored, o.attacker_uuid AS old_attacker, o.ts AS old_ts,"
                      "  o.value AS old_value FROM " ROWS STORED " ORDER BY i.n FOR NO KEY UPDATE OF o)"
                      " UPDATE observations o SET value = c.value, confidence = c.confidence,"
                      "  window_start_ts = c.window_start_ts, window_end_ts = c.window_end_ts, ts = c.ts,"
                      "  source = c.source, envelope_v = c.envelope_v, attacker_uuid = c.attacker_uuid,"
                      "  identity_ref = CASE WHEN c.sets_identity_ref THEN c.identity_ref ELSE o.identity_ref END,"
                      "  value_kind = COALESCE(c.value_kind, o.value_kind)"
                      " FROM c WHERE o.id = c.stored AND " IS_STILL_NOT_LESS
                      " RETURNING c.n, c.old_attacker, c.old_ts, c.old_value"},
    .changed = changed,
};

int observations_upsert(Repo *repo, StoredObservation *rows, size_t n, bool maybe_stored, Arena *arena)
{
    return upsert_rows(repo, &upsert, rows, n, maybe_stored, arena);
}

int observations_compare(Repo *repo, StoredObservation *rows, size_t n, Arena *arena)
{
    return upsert_compare(repo, &upsert, rows, n, arena);
}

Uuid observation_minted_id(Str evidence_ref, Str primitive)
{
    return uuid_v5_joined(&UUID_NS_OBSERVATION, (Str[]){evidence_ref, primitive}, 2);
}
