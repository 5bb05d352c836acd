#include "series.h"

#include <string.h>

#include "merged.h"
#include "pg.h"

/* --- identities --- */

/* Two uuids side by side, sorted by the first. */
typedef struct Link {
    Uuid from, to;
} Link;

static int by_uuid(const void *a, const void *b)
{
    return uuid_cmp(a, b);
}

static Link *take_links(const PGresult *result, size_t *ret_n)
{
    *ret_n = (size_t)PQntuples(result);
    Link *links = calloc(*ret_n + 1, sizeof(*links));
    if (!links)
        abort();
    for (size_t i = 0; i < *ret_n; i++)
        links[i] = (Link){res_uuid(result, (int)i, 0), res_uuid(result, (int)i, 1)};
    qsort(links, *ret_n, sizeof(*links), by_uuid);
    return links;
}

static int follow(Repo *repo, const Statement *s, const Uuid *uuids, size_t n, Link **ret_links, size_t *ret_n)
{
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_uuids(&args, uuids, sizeof(*uuids), n);
    int r = repo_exec(repo, s, &args, &result);
    if (r == 0)
        *ret_links = take_links(result, ret_n);
    return r;
}

static int lock_ends(Repo *repo, const Link *links, size_t n)
{
    static const Statement lock = {
        .name = "series_lock",
        .shape = SHAPE_ROWS,
        .sql = "SELECT FROM attacker_identities WHERE uuid = ANY ($1::uuid[]) ORDER BY uuid FOR NO KEY UPDATE"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_uuids(&args, n ? &links[0].to : NULL, sizeof(*links), n);
    return repo_exec(repo, &lock, &args, &result);
}

/* Each once: PostgreSQL may look for every one of them in every row. */
static Uuid *distinct(const Uuid *uuids, size_t stride_bytes, size_t *n)
{
    cleanup(freep) UuidOrder *order = uuid_order(uuids, stride_bytes, *n);
    Uuid *all = calloc(*n + 1, sizeof(*all));
    size_t kept = 0;

    if (!all)
        abort();
    for (size_t i = 0; i < *n; i++)
        if (i == 0 || uuid_cmp(order[i - 1].uuid, order[i].uuid) != 0)
            all[kept++] = *order[i].uuid;
    *n = kept;
    return all;
}

/* A merge may have been committed while we waited for its lock: then the end of the chain is another one. */
static int follow_and_lock(Repo *repo, const Statement *s, const Uuid *uuids, size_t n, size_t stride_bytes,
                           Link **ret_links, size_t *ret_n)
{
    cleanup(freep) Uuid *starts = distinct(uuids, stride_bytes, &n);
    cleanup(freep) Link *before = NULL;
    size_t n_before = 0;

    int r = follow(repo, s, starts, n, &before, &n_before);
    r = r ? r : lock_ends(repo, before, n_before);
    r = r ? r : follow(repo, s, starts, n, ret_links, ret_n);
    if (r != 0)
        return r;
    if (*ret_n == n_before && (n_before == 0 || memcmp(before, *ret_links, n_before * sizeof(*before)) == 0))
        return 0;
    free(*ret_links);
    *ret_links = NULL;
    return repo_fail(repo, REPO_E_RETRY, s->name, "identities were merged at this moment");
}

static const Link *find_link(const Link *links, size_t n, const Uuid *from)
{
    return links ? bsearch(from, links, n, sizeof(*links), by_uuid) : NULL;
}

int series_lock(Repo *repo, SeriesOwner *owners, size_t n)
{
    static const Statement resolve = {
        .name = "series_resolve_attackers",
        .shape = SHAPE_ROWS,
        .sql = CHAIN("SELECT DISTINCT a.uuid, i.uuid, i.merged_into_uuid, 0 FROM attackers a"
                     " JOIN attacker_identities i ON i.uuid = a.identity_id WHERE a.uuid = ANY ($1::uuid[])")};
    cleanup(freep) Link *links = NULL;
    size_t n_links = 0;

    if (n == 0)
        return 0;
    int r = follow_and_lock(repo, &resolve, &owners[0].attacker, n, sizeof(owners[0]), &links, &n_links);
    for (size_t i = 0; r == 0 && i < n; i++) {
        const Link *link = find_link(links, n_links, &owners[i].attacker);
        owners[i].found = link != NULL;
        if (link)
            owners[i].identity = link->to;
    }
    return r;
}

int series_lock_identities(Repo *repo, Uuid *identities, bool *found, size_t n)
{
    static const Statement resolve = {
        .name = "series_resolve_identities",
        .shape = SHAPE_ROWS,
        .sql = CHAIN("SELECT uuid, uuid, merged_into_uuid, 0 FROM attacker_identities WHERE uuid = ANY ($1::uuid[])")};
    cleanup(freep) Link *links = NULL;
    size_t n_links = 0;

    if (n == 0)
        return 0;
    int r = follow_and_lock(repo, &resolve, identities, n, sizeof(identities[0]), &links, &n_links);
    for (size_t i = 0; r == 0 && i < n; i++) {
        const Link *link = find_link(links, n_links, &identities[i]);
        found[i] = link != NULL;
        if (link)
            identities[i] = link->to;
    }
    return r;
}

/* --- states --- */

static void bind_keys(Args *args, const SeriesKey *keys, size_t n)
{
    ArgArray *identity = arg_array(args, PG_UUID), *primitive = arg_array(args, PG_TEXT);
    for (size_t i = 0; i < n; i++) {
        array_uuid(identity, &keys[i].identity);
        array_str(primitive, keys[i].primitive);
    }
}

#define STATE_COLUMNS                                                                                                  \
    "s.state, s.current_value, s.confidence, s.observation_count, s.last_change_ts, s.last_observation_ts, s.series"

static SeriesState take_state(Arena *arena, const PGresult *r, int row, int col)
{
    return (SeriesState){.exists = true,
                         .state = str_dup(arena, res_str(r, row, col)),
                         .current_value = str_dup(arena, res_str(r, row, col + 1)),
                         .confidence = res_double(r, row, col + 2),
                         .observation_count = res_int(r, row, col + 3),
                         .last_change_ts = res_double(r, row, col + 4),
                         .last_observation_ts = res_double(r, row, col + 5),
                         .series = str_dup(arena, res_str(r, row, col + 6))};
}

int series_states(Repo *repo, Arena *arena, const SeriesKey *keys, size_t n, SeriesState *ret)
{
    static const Statement read = {.name = "series_states",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT k.n, " STATE_COLUMNS
                                          " FROM unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS k (identity_uuid,"
                                          " primitive, n) JOIN attribution_state s ON s.identity_uuid = k.identity_uuid"
                                          " AND s.primitive = k.primitive"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    memset(ret, 0, n * sizeof(*ret));
    bind_keys(&args, keys, n);
    int r = repo_exec(repo, &read, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++)
        ret[res_int(result, i, 0) - 1] = take_state(arena, result, i, 1);
    return r;
}

typedef struct KeyOrder {
    const SeriesKey *key;
    size_t index;
} KeyOrder;

static int by_key(const void *a, const void *b)
{
    const SeriesKey *x = ((const KeyOrder *)a)->key, *y = ((const KeyOrder *)b)->key;
    int c = uuid_cmp(&x->identity, &y->identity);
    return c ? c : str_cmp(x->primitive, y->primitive);
}

static KeyOrder *key_order(const SeriesKey *keys, size_t n)
{
    KeyOrder *order = calloc(n + 1, sizeof(*order));
    if (!order)
        abort();
    for (size_t i = 0; i < n; i++)
        order[i] = (KeyOrder){&keys[i], i};
    qsort(order, n, sizeof(*order), by_key);
    return order;
}

/* Rows side by side, put down nowhere in between (upsert.h). */
#define WRITTEN_ROWS                                                                                                   \
    "SELECT unnest($1::uuid[]) AS identity_uuid, unnest($2::text[]) AS primitive, unnest($3::text[]) AS state,"        \
    " unnest($4::jsonb[]) AS current_value, unnest($5::float8[]) AS confidence, unnest($6::int[]) AS"                  \
    " observation_count, unnest($7::float8[]) AS last_change_ts, unnest($8::float8[]) AS last_observation_ts,"         \
    " unnest($9::bytea[]) AS series"
#define WRITTEN_FROM(row)                                                                                              \
    "state = " row ".state, current_value = " row ".current_value, confidence = " row ".confidence,"                   \
    " observation_count = " row ".observation_count, last_change_ts = " row ".last_change_ts,"                         \
    " last_observation_ts = " row ".last_observation_ts, series = " row ".series, updated_at = decnet_now()"

static int write_states(Repo *repo, const Statement *s, const KeyOrder *order, size_t n, const SeriesState *states)
{
    cleanup(args_free) Args args = {0};
    ArgArray *identity = arg_array(&args, PG_UUID), *primitive = arg_array(&args, PG_TEXT),
             *state = arg_array(&args, PG_TEXT), *value = arg_array(&args, PG_JSONB),
             *confidence = arg_array(&args, PG_FLOAT8), *count = arg_array(&args, PG_INT4),
             *change = arg_array(&args, PG_FLOAT8), *last = arg_array(&args, PG_FLOAT8),
             *series = arg_array(&args, PG_BYTEA);
    int64_t written = 0;

    for (size_t i = 0; i < n; i++) {
        const SeriesState *w = &states[order[i].index];
        array_uuid(identity, &order[i].key->identity);
        array_str(primitive, order[i].key->primitive);
        array_str(state, w->state);
        array_json(value, w->current_value);
        array_float8(confidence, w->confidence);
        array_int4(count, (int32_t)MIN(w->observation_count, INT32_MAX));
        array_float8(change, w->last_change_ts);
        array_float8(last, w->last_observation_ts);
        array_bytes(series, w->series);
    }
    int r = repo_run(repo, s, &args, &written);
    if (r == 0 && written != (int64_t)n)
        return repo_fail(repo, REPO_E_RETRY, s->name, "a state was removed while it was being written");
    return r;
}

/* Moves the keys whose states are stored already to the front, and keeps the order among each. Returns how many. */
static size_t part(KeyOrder *order, size_t n, const SeriesState *states)
{
    cleanup(freep) KeyOrder *behind = calloc(n + 1, sizeof(*behind));
    size_t n_stored = 0, n_behind = 0;

    if (!behind)
        abort();
    for (size_t i = 0; i < n; i++)
        if (states[order[i].index].exists)
            order[n_stored++] = order[i];
        else
            behind[n_behind++] = order[i];
    memcpy(order + n_stored, behind, n_behind * sizeof(*behind));
    return n_stored;
}

int series_write(Repo *repo, const SeriesKey *keys, const SeriesState *states, size_t n)
{
    static const Statement update = {
        .name = "series_update",
        .shape = SHAPE_NONE,
        .sql = "UPDATE attribution_state s SET " WRITTEN_FROM(
            "w") " FROM (" WRITTEN_ROWS ") w WHERE s.identity_uuid = w.identity_uuid AND s.primitive = w.primitive"};
    static const Statement insert = {
        .name = "series_insert",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO attribution_state (identity_uuid, primitive, state,"
               " current_value, confidence, observation_count, last_change_ts,"
               " last_observation_ts, series) " WRITTEN_ROWS
               " ON CONFLICT (identity_uuid, primitive) DO UPDATE SET " WRITTEN_FROM("EXCLUDED")};
    if (n == 0)
        return 0;
    cleanup(freep) KeyOrder *order = key_order(keys, n);
    size_t n_stored = part(order, n, states);
    int r = n_stored ? write_states(repo, &update, order, n_stored, states) : 0;
    return r || n_stored == n ? r : write_states(repo, &insert, order + n_stored, n - n_stored, states);
}

int series_remove(Repo *repo, const SeriesKey *keys, size_t n)
{
    static const Statement delete = {.name = "series_remove",
                                     .shape = SHAPE_NONE,
                                     .sql = "DELETE FROM attribution_state s USING unnest($1::uuid[], $2::text[])"
                                            " AS k (identity_uuid, primitive)"
                                            " WHERE s.identity_uuid = k.identity_uuid AND s.primitive = k.primitive"};
    cleanup(args_free) Args args = {0};

    if (n == 0)
        return 0;
    bind_keys(&args, keys, n);
    return repo_run(repo, &delete, &args, NULL);
}

/* --- from the observations --- */

/* Attackers whose identity leads to that of key k. */
#define MEMBERS ATTACKERS_OF("k.identity_uuid", "a.uuid")
#define KEYS "unnest($1::uuid[], $2::text[]) WITH ORDINALITY AS k (identity_uuid, primitive, n)"

static int read_lengths(Repo *repo, const SeriesKey *keys, size_t n, SeriesHistory *ret)
{
    static const Statement count = {.name = "series_lengths",
                                    .shape = SHAPE_ROWS,
                                    .sql = "SELECT k.n, (SELECT count(*) FROM " MEMBERS
                                           " m JOIN observations o ON o.attacker_uuid = m.uuid"
                                           " AND o.primitive = k.primitive) FROM " KEYS};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    bind_keys(&args, keys, n);
    int r = repo_exec(repo, &count, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++)
        ret[res_int(result, i, 0) - 1].n = res_int(result, i, 1);
    return r;
}

static int read_rows(Repo *repo, Arena *arena, const SeriesKey *keys, size_t n, int depth, SeriesHistory *ret)
{
    static const Statement read = {.name = "series_rows",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT k.n, o.ts, o.evidence_ref, o.value, o.value_kind FROM " KEYS
                                          " CROSS JOIN LATERAL (SELECT o.* FROM " MEMBERS " m CROSS JOIN LATERAL"
                                          "  (SELECT ts, evidence_ref, value, value_kind FROM observations"
                                          "   WHERE attacker_uuid = m.uuid AND primitive = k.primitive"
                                          "   ORDER BY ts DESC, evidence_ref COLLATE \"C\" DESC LIMIT $3) o"
                                          "  ORDER BY o.ts DESC, o.evidence_ref COLLATE \"C\" DESC LIMIT $3) o"
                                          " ORDER BY k.n, o.ts DESC, o.evidence_ref COLLATE \"C\" DESC"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    bind_keys(&args, keys, n);
    arg_int8(&args, depth);
    int r = repo_exec(repo, &read, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        SeriesHistory *h = &ret[res_int(result, i, 0) - 1];
        if (h->n_rows == 0)
            h->rows = arena_calloc(arena, (size_t)depth, sizeof(*h->rows));
        h->rows[h->n_rows++] = (SeriesRow){.ts = res_double(result, i, 1),
                                           .evidence_ref = str_dup(arena, res_str(result, i, 2)),
                                           .value = str_dup(arena, res_str(result, i, 3)),
                                           .value_kind = str_dup(arena, res_str(result, i, 4))};
    }
    return r;
}

static int read_hashes(Repo *repo, Arena *arena, const SeriesKey *keys, const bool *is_hash, size_t n,
                       const SeriesDepth *depth, SeriesHistory *ret)
{
    static const Statement read = {
        .name = "series_hashes",
        .shape = SHAPE_ROWS,
        .sql = "SELECT k.n, h.value, h.ts FROM unnest($1::uuid[], $2::text[], $3::bool[], $4::float8[]) WITH ORDINALITY"
               "  AS k (identity_uuid, primitive, is_hash, since, n)"
               " CROSS JOIN LATERAL (SELECT o.value, max(o.ts) AS ts FROM " MEMBERS " m JOIN observations o"
               "   ON o.attacker_uuid = m.uuid AND o.primitive = k.primitive AND o.ts >= k.since"
               "  WHERE o.value <> 'null' AND CASE WHEN o.value_kind IS NULL THEN k.is_hash"
               "   ELSE o.value_kind = 'hash' END"
               "  GROUP BY o.value ORDER BY max(o.ts) DESC LIMIT $5) h ORDER BY k.n, h.ts DESC"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    bind_keys(&args, keys, n);
    ArgArray *kind = arg_array(&args, PG_BOOL), *since = arg_array(&args, PG_FLOAT8);
    for (size_t i = 0; i < n; i++) {
        array_bool(kind, is_hash[i]);
        array_float8(since, ret[i].n_rows ? ret[i].rows[0].ts - depth->hash_window_s : 0);
    }
    arg_int8(&args, depth->hashes);
    int r = repo_exec(repo, &read, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        SeriesHistory *h = &ret[res_int(result, i, 0) - 1];
        if (h->n_hashes == 0)
            h->hashes = arena_calloc(arena, (size_t)depth->hashes, sizeof(*h->hashes));
        h->hashes[h->n_hashes++] = (SeriesHash){str_dup(arena, res_str(result, i, 1)), res_double(result, i, 2)};
    }
    return r;
}

int series_read(Repo *repo, Arena *arena, const SeriesKey *keys, const bool *is_hash, size_t n,
                const SeriesDepth *depth, SeriesHistory *ret)
{
    if (n == 0)
        return 0;
    memset(ret, 0, n * sizeof(*ret));
    int r = read_lengths(repo, keys, n, ret);
    r = r ? r : read_rows(repo, arena, keys, n, depth->rows, ret);
    return r ? r : read_hashes(repo, arena, keys, is_hash, n, depth, ret);
}

int series_primitives(Repo *repo, Arena *arena, const Uuid *identities, size_t n, SeriesKey **ret_keys, size_t *ret_n)
{
    static const Statement read = {
        .name = "series_primitives",
        .shape = SHAPE_ROWS,
        /* a skip scan: one index probe for each primitive that an attacker has */
        .sql = "SELECT DISTINCT k.identity_uuid, p.primitive COLLATE \"C\" FROM (SELECT DISTINCT u.identity_uuid"
               "  FROM unnest($1::uuid[]) AS u (identity_uuid)) k CROSS JOIN LATERAL"
               " (SELECT q.primitive FROM " MEMBERS " m CROSS JOIN LATERAL (WITH RECURSIVE q (primitive) AS ("
               "   (SELECT o.primitive FROM observations o WHERE o.attacker_uuid = m.uuid ORDER BY o.primitive LIMIT 1)"
               "   UNION ALL SELECT (SELECT o.primitive FROM observations o WHERE o.attacker_uuid = m.uuid"
               "    AND o.primitive > q.primitive ORDER BY o.primitive LIMIT 1) FROM q WHERE q.primitive IS NOT NULL)"
               "   SELECT primitive FROM q WHERE primitive IS NOT NULL) q"
               "  UNION SELECT s.primitive FROM attribution_state s WHERE s.identity_uuid = k.identity_uuid) p"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_uuids(&args, identities, sizeof(*identities), n);
    int r = repo_exec(repo, &read, &args, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret_keys = arena_calloc(arena, *ret_n + 1, sizeof(**ret_keys));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret_keys)[i] = (SeriesKey){res_uuid(result, i, 0), str_dup(arena, res_str(result, i, 1))};
    return 0;
}

/* --- what changed otherwise --- */

int series_mark_identities(Repo *repo, const Uuid *identities, size_t n)
{
    static const Statement mark = {.name = "series_mark_identities",
                                   .shape = SHAPE_NONE,
                                   .sql = "INSERT INTO attribution_dirty (identity_uuid) SELECT unnest($1::uuid[])"};
    cleanup(args_free) Args args = {0};

    if (n == 0)
        return 0;
    arg_uuids(&args, identities, sizeof(*identities), n);
    return repo_run(repo, &mark, &args, NULL);
}

int series_mark_attackers(Repo *repo, const Uuid *attackers, const Str *primitives, size_t n)
{
    static const Statement mark = {.name = "series_mark_attackers",
                                   .shape = SHAPE_NONE,
                                   .sql = "INSERT INTO attribution_dirty (attacker_uuid, primitive)"
                                          " SELECT * FROM unnest($1::uuid[], $2::text[])"};
    cleanup(args_free) Args args = {0};

    if (n == 0)
        return 0;
    arg_uuids(&args, attackers, sizeof(*attackers), n);
    ArgArray *primitive = arg_array(&args, PG_TEXT);
    for (size_t i = 0; i < n; i++)
        array_str(primitive, primitives[i]);
    return repo_run(repo, &mark, &args, NULL);
}

#define SAID_ENDS                                                                                                      \
    CHAIN("SELECT a.uuid, i.uuid, i.merged_into_uuid, 0 FROM (SELECT DISTINCT attacker FROM said) d"                   \
          " JOIN attackers a ON a.uuid = d.attacker JOIN attacker_identities i ON i.uuid = a.identity_id")

int series_mark_unjudged(Repo *repo, const Uuid *attackers, const Str *primitives, const double *ts, size_t n,
                         size_t *ret_n)
{
    static const Statement mark = {
        .name = "series_mark_unjudged",
        .shape = SHAPE_ROWS,
        .sql = "WITH said AS (SELECT attacker, primitive, max(ts) AS ts"
               "  FROM unnest($1::uuid[], $2::text[], $3::float8[]) AS u (attacker, primitive, ts) GROUP BY 1, 2)"
               " INSERT INTO attribution_dirty (attacker_uuid, primitive) SELECT k.attacker, k.primitive FROM said k"
               "  JOIN (" SAID_ENDS ") e (attacker, identity) ON e.attacker = k.attacker"
               "  LEFT JOIN attribution_state s ON s.identity_uuid = e.identity AND s.primitive = k.primitive"
               "  WHERE s.identity_uuid IS NULL OR s.last_observation_ts < k.ts RETURNING 1"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    *ret_n = 0;
    if (n == 0)
        return 0;
    arg_uuids(&args, attackers, sizeof(*attackers), n);
    ArgArray *primitive = arg_array(&args, PG_TEXT), *time = arg_array(&args, PG_FLOAT8);
    for (size_t i = 0; i < n; i++) {
        array_str(primitive, primitives[i]);
        array_float8(time, ts[i]);
    }
    int r = repo_exec(repo, &mark, &args, &result);
    *ret_n = r ? 0 : (size_t)PQntuples(result);
    return r;
}

int series_take_marks(Repo *repo, Arena *arena, int limit, SeriesDirty **ret_marks, size_t *ret_n)
{
    static const Statement take = {
        .name = "series_take_marks",
        .shape = SHAPE_ROWS,
        .sql = "DELETE FROM attribution_dirty WHERE id IN (SELECT id FROM attribution_dirty ORDER BY id LIMIT $1"
               " FOR UPDATE SKIP LOCKED) RETURNING identity_uuid, attacker_uuid, primitive"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_int8(&args, limit);
    int r = repo_exec(repo, &take, &args, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret_marks = arena_calloc(arena, *ret_n + 1, sizeof(**ret_marks));
    for (int i = 0; i < (int)*ret_n; i++) {
        bool is_attacker = res_null(result, i, 0);
        (*ret_marks)[i] = (SeriesDirty){.is_attacker = is_attacker,
                                        .uuid = res_uuid(result, i, is_attacker ? 1 : 0),
                                        .primitive = str_dup(arena, res_str(result, i, 2))};
    }
    return 0;
}

/* --- the correlator's memory --- */

static Str *take_texts(Arena *arena, const PGresult *r, int row, int col, size_t *ret_n)
{
    json_object *list = json_parse(res_str(r, row, col)); /* written by to_jsonb */
    *ret_n = json_object_array_length(list);
    Str *texts = arena_calloc(arena, *ret_n + 1, sizeof(*texts));
    for (size_t i = 0; i < *ret_n; i++)
        texts[i] = str_dup(arena, json_str(json_object_array_get_idx(list, i)));
    json_object_put(list);
    return texts;
}

static void take_suspect(Arena *arena, const PGresult *r, int row, SeriesSuspect *s)
{
    if (!s->keys) {
        s->keys = arena_calloc(arena, (size_t)res_int(r, row, 3) + 1, sizeof(*s->keys));
        s->states = arena_calloc(arena, (size_t)res_int(r, row, 3) + 1, sizeof(*s->states));
        if (!res_null(r, row, 2))
            s->primitives = take_texts(arena, r, row, 2, &s->n_primitives);
    }
    if (res_null(r, row, 4))
        return;
    s->keys[s->n_keys] = (SeriesKey){s->identity, str_dup(arena, res_str(r, row, 4))};
    s->states[s->n_keys++] = take_state(arena, r, row, 5);
}

int series_suspects(Repo *repo, Arena *arena, SeriesSuspect *suspects, size_t n, int64_t *ret_now_us)
{
    static const Statement read = {
        .name = "series_suspects",
        .shape = SHAPE_ROWS,
        .sql = "SELECT k.n, decnet_now(), to_jsonb(m.primitives), count(s.primitive) OVER (PARTITION BY k.n),"
               "  s.primitive, " STATE_COLUMNS " FROM unnest($1::uuid[]) WITH ORDINALITY AS k (identity_uuid, n)"
               " LEFT JOIN multi_actor_announced m ON m.identity_uuid = k.identity_uuid"
               " LEFT JOIN attribution_state s ON s.identity_uuid = k.identity_uuid AND s.state = 'multi_actor'"
               " ORDER BY k.n, s.primitive COLLATE \"C\""};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    arg_uuids(&args, &suspects[0].identity, sizeof(suspects[0]), n);
    int r = repo_exec(repo, &read, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        *ret_now_us = res_time(result, i, 1);
        take_suspect(arena, result, i, &suspects[res_int(result, i, 0) - 1]);
    }
    return r;
}

static int remember(Repo *repo, const SeriesAnnounced *said, size_t n)
{
    static const Statement s = {
        .name = "series_remember",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO multi_actor_announced (identity_uuid, primitives)"
               " SELECT i.identity_uuid, array_agg(i.primitive ORDER BY i.n) FROM unnest($1::uuid[], $2::text[])"
               "  WITH ORDINALITY AS i (identity_uuid, primitive, n) GROUP BY 1 ORDER BY 1 ON CONFLICT (identity_uuid)"
               " DO UPDATE SET primitives = EXCLUDED.primitives, announced_at = decnet_now()"};
    cleanup(args_free) Args args = {0};
    ArgArray *identity = arg_array(&args, PG_UUID), *primitive = arg_array(&args, PG_TEXT);

    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < said[i].n_primitives; k++) {
            array_uuid(identity, &said[i].identity);
            array_str(primitive, said[i].primitives[k]);
        }
    return identity->n ? repo_run(repo, &s, &args, NULL) : 0;
}

static int forget(Repo *repo, const SeriesAnnounced *said, size_t n)
{
    static const Statement s = {.name = "series_forget",
                                .shape = SHAPE_NONE,
                                .sql = "DELETE FROM multi_actor_announced WHERE identity_uuid = ANY ($1::uuid[])"};
    cleanup(args_free) Args args = {0};
    ArgArray *identity = arg_array(&args, PG_UUID);

    for (size_t i = 0; i < n; i++)
        if (said[i].n_primitives == 0)
            array_uuid(identity, &said[i].identity);
    return identity->n ? repo_run(repo, &s, &args, NULL) : 0;
}

int series_announced(Repo *repo, const SeriesAnnounced *said, size_t n)
{
    int r = remember(repo, said, n);
    return r ? r : forget(repo, said, n);
}

int series_event_numbers(Repo *repo, int64_t n, int64_t *ret_numbers)
{
    static const Statement next = {.name = "series_event_numbers",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT nextval('identity_event_seq') FROM generate_series(1, $1)"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_int8(&args, n);
    int r = repo_exec(repo, &next, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++)
        ret_numbers[i] = res_int(result, i, 0);
    return r;
}
