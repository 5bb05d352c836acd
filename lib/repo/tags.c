#include "tags.h"

#include "pg.h"

static void bind_rows(Args *args, const TagRow *rows, const UuidOrder *order, size_t n)
{
    ArgArray *uuid = arg_array(args, PG_UUID), *kind = arg_array(args, PG_TEXT), *source = arg_array(args, PG_TEXT),
             *attacker = arg_array(args, PG_UUID), *identity = arg_array(args, PG_UUID),
             *session = arg_array(args, PG_TEXT), *decky = arg_array(args, PG_TEXT), *tactic = arg_array(args, PG_TEXT),
             *technique = arg_array(args, PG_TEXT), *sub = arg_array(args, PG_TEXT),
             *confidence = arg_array(args, PG_FLOAT8), *rule = arg_array(args, PG_TEXT),
             *version = arg_array(args, PG_INT4), *evidence = arg_array(args, PG_JSONB),
             *release = arg_array(args, PG_TEXT), *url = arg_array(args, PG_TEXT),
             *observed = arg_array(args, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < n; i++) {
        const TagRow *t = &rows[order[i].index];
        array_uuid(uuid, &t->uuid);
        array_str(kind, t->source_kind);
        array_str(source, t->source_id);
        array_uuid(attacker, t->attacker_uuid);
        array_uuid(identity, t->identity_uuid);
        array_str(session, t->session_id);
        array_str(decky, t->decky_id);
        array_str(tactic, t->tactic);
        array_str(technique, t->technique_id);
        array_str(sub, t->sub_technique_id);
        array_float8(confidence, t->confidence);
        array_str(rule, t->rule_id);
        array_int4(version, t->rule_version);
        array_json(evidence, t->evidence);
        array_str(release, t->attack_release);
        array_str(url, t->mitre_url);
        array_time(observed, t->observed_at_us);
    }
}

int tags_insert(Repo *repo, const TagRow *rows, size_t n, bool *is_new)
{
    static const Statement insert = {
        .name = "tags_insert",
        .shape = SHAPE_ROWS,
        .sql =
            "INSERT INTO ttp_tag (uuid, source_kind, source_id, attacker_uuid, identity_uuid, session_id, decky_id,"
            " tactic, technique_id, sub_technique_id, confidence, rule_id, rule_version, evidence, attack_release,"
            " mitre_url, observed_at)"
            " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],"
            "  $8::text[], $9::text[], $10::text[], $11::float8[], $12::text[], $13::int[], $14::jsonb[], $15::text[],"
            "  $16::text[], $17::timestamptz[])"
            " ON CONFLICT (uuid) DO NOTHING RETURNING uuid"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    /* In id order, so that two writers wait for each other instead of deadlocking. */
    cleanup(freep) UuidOrder *order = uuid_order(&rows[0].uuid, sizeof(rows[0]), n);
    bind_rows(&args, rows, order, n);
    int r = repo_exec(repo, &insert, &args, &result);
    if (r == 0)
        res_mark_returned(result, 0, order, n, is_new);
    return r;
}
