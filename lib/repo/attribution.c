#include "attribution.h"

#include "upsert.h"

/* --- states --- */

bool attribution_state_is_known(Str state)
{
    static const char *const known[] = {"unknown", "stable", "drifting", "conflicted", "multi_actor"};

    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (str_eq_cstr(state, known[i]))
            return true;
    return false;
}

#define COLUMNS                                                                                                        \
    "identity_uuid, primitive, current_value, state, confidence, observation_count, last_change_ts,"                   \
    " last_observation_ts"
#define ROWS                                                                                                           \
    "unnest($1::uuid[], $2::text[], $3::jsonb[], $4::text[], $5::float8[], $6::int[], $7::float8[], $8::float8[],"     \
    " $9::int[], $10::bool[], $11::bool[]) WITH ORDINALITY AS i (" COLUMNS                                             \
    ", schema_version, may_go_back, touches, n)"
#define STORED " JOIN attribution_state s ON s.identity_uuid = i.identity_uuid AND s.primitive = i.primitive"
#define IS_LATE "i.last_observation_ts < s.last_observation_ts AND NOT i.may_go_back"
#define IS_SAME                                                                                                         \
    "i.schema_version IN (0, s.schema_version) AND NOT i.touches"                                                       \
    " AND (s.last_observation_ts, s.state, s.observation_count, s.confidence, s.last_change_ts, s.current_value::text)" \
    " = (i.last_observation_ts, i.state, i.observation_count, i.confidence, i.last_change_ts, i.current_value::text)"
#define IS_STILL_NOT_LATE "(c.last_observation_ts >= s.last_observation_ts OR c.may_go_back)"

static int compare(const void *a, const void *b)
{
    const StoredState *x = a, *y = b;
    int c = uuid_cmp(&x->identity_uuid, &y->identity_uuid);
    return c ? c : str_cmp(x->primitive, y->primitive);
}

static void bind(Args *args, void *const *rows, size_t n)
{
    ArgArray *identity = arg_array(args, PG_UUID), *primitive = arg_array(args, PG_TEXT),
             *value = arg_array(args, PG_JSONB), *state = arg_array(args, PG_TEXT),
             *confidence = arg_array(args, PG_FLOAT8), *count = arg_array(args, PG_INT4),
             *change = arg_array(args, PG_FLOAT8), *last = arg_array(args, PG_FLOAT8);
    for (size_t i = 0; i < n; i++) {
        const StoredState *s = rows[i];
        array_uuid(identity, &s->identity_uuid);
        array_str(primitive, s->primitive);
        array_json(value, s->current_value);
        array_str(state, s->state);
        array_float8(confidence, s->confidence);
        array_int4(count, (int32_t)MIN(s->observation_count, INT32_MAX));
        array_float8(change, s->last_change_ts);
        array_float8(last, s->last_observation_ts);
    }
}

static void bind_rules(Args *args, void *const *rows, size_t n)
{
    ArgArray *version = arg_array(args, PG_INT4), *may_go_back = arg_array(args, PG_BOOL),
             *touches = arg_array(args, PG_BOOL);

    for (size_t i = 0; i < n; i++) {
        const StoredState *s = rows[i];
        array_int4(version, s->schema_version);
        array_bool(may_go_back, s->may_go_back);
        array_bool(touches, s->touches);
    }
}

static bool is_key(const PGresult *r, int i, const void *row)
{
    const StoredState *s = row;
    Uuid identity = res_uuid(r, i, 0);
    return uuid_cmp(&identity, &s->identity_uuid) == 0 && str_eq(res_str(r, i, 1), s->primitive);
}

static void changed(void *row, const PGresult *r, int i, Arena *arena)
{
    StoredState *s = row;

    s->old_state = str_dup(arena, res_str(r, i, 1));
    s->old_value = str_dup(arena, res_str(r, i, 2));
}

static const Upsert upsert = {
    .row_bytes = sizeof(StoredState),
    .outcome_at = offsetof(StoredState, outcome),
    .compare = compare,
    .bind = bind,
    .bind_rules = bind_rules,
    .insert = {.name = "attribution_states_insert",
               .shape = SHAPE_ROWS,
               .sql = "INSERT INTO attribution_state (" COLUMNS ") SELECT unnest($1::uuid[]), unnest($2::text[]),"
                      "  unnest($3::jsonb[]), unnest($4::text[]), unnest($5::float8[]), unnest($6::int[]),"
                      "  unnest($7::float8[]), unnest($8::float8[])"
                      " ON CONFLICT (identity_uuid, primitive) DO NOTHING RETURNING identity_uuid, primitive"},
    .is_key = is_key,
    .judge = {.name = "attribution_states_judge",
              .shape = SHAPE_ROWS,
              .sql = "SELECT i.n, CASE WHEN " IS_LATE " THEN " UPSERT_STALE " WHEN " IS_SAME " THEN " UPSERT_SAME
                     " ELSE " UPSERT_DIFFERS " END FROM " ROWS STORED},
    .lock = {.name = "attribution_states_lock",
             .shape = SHAPE_ROWS,
             .sql =
                 "SELECT FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS i (identity_uuid, primitive, n)" STORED
                 " ORDER BY i.n FOR NO KEY UPDATE OF s"},
    .change = {.name = "attribution_states_change",
               .shape = SHAPE_ROWS,
               .sql = "WITH c AS (SELECT i.*, s.state AS old_state, s.current_value AS old_value FROM " ROWS STORED
                      "  ORDER BY i.n FOR NO KEY UPDATE OF s)"
                      " UPDATE attribution_state s SET current_value = c.current_value, state = c.state,"
                      "  confidence = c.confidence, observation_count = c.observation_count,"
                      "  last_change_ts = c.last_change_ts, last_observation_ts = c.last_observation_ts,"
                      "  schema_version = COALESCE(NULLIF(c.schema_version, 0), s.schema_version),"
                      "  updated_at = decnet_now()"
                      " FROM c WHERE s.identity_uuid = c.identity_uuid AND s.primitive = c.primitive"
                      "  AND " IS_STILL_NOT_LATE " RETURNING c.n, c.old_state, c.old_value"},
    .changed = changed,
};

int attribution_states_upsert(Repo *repo, StoredState *rows, size_t n, Arena *arena)
{
    return upsert_rows(repo, &upsert, rows, n, false, arena);
}

/* --- stub identities --- */

/* An attacker of the call that has no identity yet, and the one that it is to found. */
typedef struct Founder {
    StubIdentity *stub;
    Uuid identity_uuid;
    bool is_free; /* locked, and still without an identity */
} Founder;

static int by_identity(const void *a, const void *b)
{
    const Founder *x = a, *y = b;
    int c = uuid_cmp(&x->identity_uuid, &y->identity_uuid);
    return c ? c : (x->stub > y->stub) - (x->stub < y->stub);
}

#define FOUNDERS "unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS i (attacker, identity, n)"

static int run(Repo *repo, const Statement *s, const Founder *founders, size_t n, PGresult **ret_result)
{
    cleanup(args_free) Args args = {0};
    ArgArray *attacker = arg_array(&args, PG_UUID), *identity = arg_array(&args, PG_UUID);

    for (size_t i = 0; i < n; i++) {
        array_uuid(attacker, &founders[i].stub->attacker_uuid);
        array_uuid(identity, &founders[i].identity_uuid);
    }
    return repo_exec(repo, s, &args, ret_result);
}

/* Takes what is known of the attackers; those without an identity become @founders, in the order of the identities. */
static int read_attackers(Repo *repo, StubIdentity *stubs, size_t n, Founder *founders, size_t *ret_n)
{
    static const Statement read = {
        .name = "stubs_read",
        .shape = SHAPE_ROWS,
        .sql = "SELECT i.n, a.identity_id, a.first_seen, a.last_seen"
               " FROM unnest($1::uuid[]) WITH ORDINALITY AS i (attacker, n) JOIN attackers a ON a.uuid = i.attacker"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    for (size_t i = 0; i < n; i++)
        stubs[i].exists = stubs[i].is_new = false;
    arg_uuids(&args, n ? &stubs[0].attacker_uuid : NULL, sizeof(*stubs), n);
    int r = repo_exec(repo, &read, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        StubIdentity *s = &stubs[res_int(result, i, 0) - 1];
        s->exists = true;
        s->identity_uuid = res_uuid(result, i, 1);
        s->first_seen_us = res_time(result, i, 2);
        s->last_seen_us = res_time(result, i, 3);
        if (res_null(result, i, 1))
            founders[(*ret_n)++] = (Founder){s, uuid_v5_of(&UUID_NS_IDENTITY, &s->attacker_uuid), false};
    }
    qsort(founders, *ret_n, sizeof(*founders), by_identity);
    return r;
}

static int insert_identities(Repo *repo, Founder *founders, size_t n)
{
    static const Statement insert = {
        .name = "stubs_insert",
        .shape = SHAPE_ROWS,
        .sql = "INSERT INTO attacker_identities (uuid, first_seen_at, last_seen_at, observation_count, created_at,"
               "  updated_at)"
               " SELECT i.identity, a.first_seen, a.last_seen, 1, t.now, t.now"
               " FROM " FOUNDERS " JOIN attackers a ON a.uuid = i.attacker, (SELECT decnet_now() AS now) t"
               " ORDER BY i.n ON CONFLICT (uuid) DO NOTHING RETURNING uuid"};
    cleanup(pgresult_freep) PGresult *result = NULL;
    int at = 0;

    int r = run(repo, &insert, founders, n, &result);
    for (size_t i = 0; r == 0 && i < n && at < PQntuples(result); i++) { /* in the order in which they went in */
        Uuid uuid = res_uuid(result, at, 0);
        founders[i].stub->is_new = uuid_cmp(&uuid, &founders[i].identity_uuid) == 0;
        at += founders[i].stub->is_new;
    }
    return r;
}

/* Between reading an attacker and locking it somebody may have given it an identity, or removed it. */
static int lock_attackers(Repo *repo, Founder *founders, size_t n)
{
    static const Statement lock = {.name = "stubs_lock",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT i.n, a.identity_id FROM " FOUNDERS
                                          " JOIN attackers a ON a.uuid = i.attacker ORDER BY a.ip"
                                          " FOR NO KEY UPDATE OF a"};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = run(repo, &lock, founders, n, &result);
    for (size_t i = 0; i < n; i++)
        founders[i].stub->exists = false;
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        Founder *f = &founders[res_int(result, i, 0) - 1];
        f->is_free = res_null(result, i, 1);
        f->stub->exists = true;
        f->stub->identity_uuid = f->is_free ? f->identity_uuid : res_uuid(result, i, 1);
    }
    return r;
}

static int link_attackers(Repo *repo, const Founder *founders, size_t n)
{
    static const Statement link = {.name = "stubs_link",
                                   .shape = SHAPE_NONE,
                                   .sql = "UPDATE attackers a SET identity_id = i.identity FROM " FOUNDERS
                                          " WHERE a.uuid = i.attacker"};
    return n ? run(repo, &link, founders, n, NULL) : 0;
}

/* Identities that were made for an attacker that did not need them: nobody else has seen them yet. */
static int remove_identities(Repo *repo, const Founder *founders, size_t n)
{
    static const Statement delete = {.name = "stubs_remove",
                                     .shape = SHAPE_NONE,
                                     .sql = "DELETE FROM attacker_identities WHERE uuid IN"
                                            " (SELECT identity FROM " FOUNDERS ")"};
    return n ? run(repo, &delete, founders, n, NULL) : 0;
}

/* Moves the founders that are still free to the front, those whose identity was made in vain to @vain. */
static void sort_out(Founder *founders, size_t n, size_t *ret_free, size_t *ret_vain, Founder *vain)
{
    *ret_free = *ret_vain = 0;
    for (size_t i = 0; i < n; i++) {
        if (founders[i].is_free) {
            founders[(*ret_free)++] = founders[i];
        } else if (founders[i].stub->is_new) {
            founders[i].stub->is_new = false;
            vain[(*ret_vain)++] = founders[i];
        }
    }
}

int attribution_ensure_stubs(Repo *repo, StubIdentity *stubs, size_t n)
{
    cleanup(freep) Founder *founders = calloc(2 * n + 1, sizeof(*founders));
    size_t n_founders = 0, n_free, n_vain;

    if (!founders)
        abort();
    Founder *vain = founders + n;
    int r = n ? read_attackers(repo, stubs, n, founders, &n_founders) : 0;
    if (r != 0 || n_founders == 0)
        return r;
    r = insert_identities(repo, founders, n_founders);
    r = r ? r : lock_attackers(repo, founders, n_founders);
    if (r != 0)
        return r;
    sort_out(founders, n_founders, &n_free, &n_vain, vain);
    r = link_attackers(repo, founders, n_free);
    return r ? r : remove_identities(repo, vain, n_vain);
}
