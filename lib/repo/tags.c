#include "tags.h"

#include <string.h>

#include "pg.h"

#define COLUMNS                                                                                                        \
    "uuid, source_kind, source_id, attacker_uuid, identity_uuid, session_id, decky_id, tactic, technique_id,"          \
    " sub_technique_id, confidence, rule_id, rule_version, evidence, attack_release, mitre_url, observed_at"
enum { N_COLUMNS = 17 };

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

/* Skips what is stored: asks the index for each row, and stores it in two steps that can be undone. */
static int insert_missing(Repo *repo, const TagRow *rows, const UuidOrder *order, size_t n, bool *is_new)
{
    static const Statement insert = {
        .name = "tags_insert",
        .shape = SHAPE_ROWS,
        .sql =
            "INSERT INTO ttp_tag (" COLUMNS ")"
            " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],"
            "  $8::text[], $9::text[], $10::text[], $11::float8[], $12::text[], $13::int[], $14::jsonb[], $15::text[],"
            "  $16::text[], $17::timestamptz[])"
            " ON CONFLICT (uuid) DO NOTHING RETURNING uuid"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    bind_rows(&args, rows, order, n);
    int r = repo_exec(repo, &insert, &args, &result);
    if (r == 0)
        res_mark_returned(result, 0, order, n, is_new);
    return r;
}

typedef struct Copying {
    const TagRow *rows;
    const UuidOrder *order;
} Copying;

static void copy_row_of(Buf *out, const void *arg, size_t i)
{
    const Copying *c = arg;
    const TagRow *t = &c->rows[c->order[i].index];

    copy_row(out, N_COLUMNS);
    copy_uuid(out, &t->uuid);
    copy_str(out, t->source_kind);
    copy_str(out, t->source_id);
    copy_uuid(out, t->attacker_uuid);
    copy_uuid(out, t->identity_uuid);
    copy_str(out, t->session_id);
    copy_str(out, t->decky_id);
    copy_str(out, t->tactic);
    copy_str(out, t->technique_id);
    copy_str(out, t->sub_technique_id);
    copy_float8(out, t->confidence);
    copy_str(out, t->rule_id);
    copy_int4(out, t->rule_version);
    copy_json(out, t->evidence);
    copy_str(out, t->attack_release);
    copy_str(out, t->mitre_url);
    copy_time(out, t->observed_at_us);
}

/* COPY stores many rows at once, and none when one of them exists: then they go the other way. */
static int insert_new(Repo *repo, const TagRow *rows, const UuidOrder *order, size_t n, bool *is_new)
{
    static const Statement copy = {.name = "tags_copy", .sql = "COPY ttp_tag (" COLUMNS ") FROM STDIN (FORMAT binary)"};
    const Copying copying = {rows, order};
    bool stored = false;

    int r = repo_copy(repo, &copy, &(CopyRows){copy_row_of, &copying, n}, &stored);
    for (size_t i = 0; stored && i < n; i++)
        is_new[order[i].index] = true;
    return r != 0 || stored ? r : insert_missing(repo, rows, order, n, is_new);
}

/* Moves the rows that may be stored already behind the others, and keeps the order among each. Returns how many others
 * there are. */
static size_t part(const TagRow *rows, UuidOrder *order, size_t n)
{
    cleanup(freep) UuidOrder *behind = malloc((n + 1) * sizeof(*behind));
    size_t n_new = 0, n_behind = 0;

    if (!behind)
        abort();
    for (size_t i = 0; i < n; i++)
        if (rows[order[i].index].maybe_stored)
            behind[n_behind++] = order[i];
        else
            order[n_new++] = order[i];
    memcpy(order + n_new, behind, n_behind * sizeof(*behind));
    return n_new;
}

int tags_insert(Repo *repo, const TagRow *rows, size_t n, bool *is_new)
{
    if (n == 0)
        return 0;
    cleanup(freep) UuidOrder *order = uuid_order(&rows[0].uuid, sizeof(rows[0]), n);
    size_t n_new = part(rows, order, n);
    int r = insert_new(repo, rows, order, n_new, is_new);
    return r ? r : insert_missing(repo, rows, order + n_new, n - n_new, is_new);
}
