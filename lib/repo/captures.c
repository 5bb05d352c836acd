#include "captures.h"

#include "pg.h"

static int key_cmp(const StoredCredential *a, const StoredCredential *b)
{
    const Str x[] = {a->attacker_ip, a->decky, a->service, a->secret_kind, a->secret_sha256, a->principal};
    const Str y[] = {b->attacker_ip, b->decky, b->service, b->secret_kind, b->secret_sha256, b->principal};
    int c = 0;

    for (size_t i = 0; c == 0 && i < ARRAY_SIZE(x); i++)
        c = str_cmp(x[i], y[i]);
    return c ? c : (a->principal.data != NULL) - (b->principal.data != NULL);
}

static int by_key(const void *a, const void *b)
{
    const StoredCredential *x = *(StoredCredential *const *)a, *y = *(StoredCredential *const *)b;
    int c = key_cmp(x, y);
    return c ? c : (x > y) - (x < y);
}

static int rank(Str outcome)
{
    return str_eq_cstr(outcome, "success") ? 2 : str_eq_cstr(outcome, "failure");
}

static int64_t time_or_now(int64_t us)
{
    return us == TIME_NONE ? INT64_MAX : us;
}

/* The same rules as those of the statement below. */
static void fold(StoredCredential *into, const StoredCredential *row)
{
    int64_t before = time_or_now(into->last_seen_us), after = time_or_now(row->last_seen_us);
    bool wins = after > before || (after == before && rank(row->outcome) >= rank(into->outcome));

    if (row->outcome.data && (!into->outcome.data || wins))
        into->outcome = row->outcome;
    if (after > before)
        into->last_seen_us = row->last_seen_us;
    if (time_or_now(row->first_seen_us) < time_or_now(into->first_seen_us))
        into->first_seen_us = row->first_seen_us;
    if (!into->attacker_uuid)
        into->attacker_uuid = row->attacker_uuid;
    into->attempts += row->attempts;
}

/* Sorts by key and makes one row of equal ones; @place[i] tells where row i went. */
static size_t fold_credentials(Arena *scratch, StoredCredential *rows, size_t n, StoredCredential *folded,
                               size_t *place)
{
    StoredCredential **order = arena_calloc(scratch, n, sizeof(StoredCredential *));
    size_t n_folded = 0;

    for (size_t i = 0; i < n; i++)
        order[i] = &rows[i];
    qsort(order, n, sizeof(StoredCredential *), by_key);
    for (size_t i = 0; i < n; i++) {
        bool repeats = n_folded && key_cmp(&folded[n_folded - 1], order[i]) == 0;
        if (repeats)
            fold(&folded[n_folded - 1], order[i]);
        else
            folded[n_folded++] = *order[i];
        order[i]->created = !repeats;
        place[order[i] - rows] = n_folded - 1;
    }
    return n_folded;
}

static void bind_keys(Args *args, const StoredCredential *rows, size_t n, bool only_unchanged)
{
    ArgArray *ip = arg_array(args, PG_TEXT), *decky = arg_array(args, PG_TEXT), *service = arg_array(args, PG_TEXT),
             *kind = arg_array(args, PG_TEXT), *sha256 = arg_array(args, PG_TEXT),
             *principal = arg_array(args, PG_TEXT);

    for (size_t i = 0; i < n; i++) {
        if (only_unchanged && rows[i].attempts > 0)
            continue;
        array_str(ip, rows[i].attacker_ip);
        array_str(decky, rows[i].decky);
        array_str(service, rows[i].service);
        array_str(kind, rows[i].secret_kind);
        array_str(sha256, rows[i].secret_sha256);
        array_str(principal, rows[i].principal);
    }
}

static void bind_credentials(Args *args, const StoredCredential *rows, size_t n)
{
    bind_keys(args, rows, n, false);
    ArgArray *attacker = arg_array(args, PG_UUID), *b64 = arg_array(args, PG_TEXT),
             *printable = arg_array(args, PG_TEXT), *outcome = arg_array(args, PG_TEXT),
             *first = arg_array(args, PG_TIMESTAMPTZ), *last = arg_array(args, PG_TIMESTAMPTZ),
             *attempts = arg_array(args, PG_INT4), *fields = arg_array(args, PG_JSONB);
    for (size_t i = 0; i < n; i++) {
        const StoredCredential *c = &rows[i];
        array_uuid(attacker, c->attacker_uuid);
        array_str(b64, c->secret_b64);
        array_str(printable, c->secret_printable);
        array_str(outcome, c->outcome);
        array_time(first, c->first_seen_us);
        array_time(last, c->last_seen_us);
        array_int4(attempts, (int32_t)MAX(MIN(c->attempts, INT32_MAX), 1));
        array_json(fields, c->fields.data ? c->fields : STR("{}"));
    }
    bind_keys(args, rows, n, true);
}

int credentials_upsert(Repo *repo, StoredCredential *rows, size_t n)
{
    /* $15 to $20 are the keys whose attempts do not count. Rows come back in the order of the arrays. */
    static const Statement upsert = {
        .name = "credentials_upsert",
        .shape = SHAPE_ROWS,
        .sql =
            "INSERT INTO credentials AS c (attacker_ip, decky_name, service, secret_kind, secret_sha256, principal,"
            "  attacker_uuid, secret_b64, secret_printable, outcome, first_seen, last_seen, attempt_count, fields)"
            " SELECT ip, decky, service, kind, sha256, principal, attacker, b64, printable, outcome,"
            "  COALESCE(first_seen, now), COALESCE(last_seen, now), attempts, fields"
            " FROM (SELECT unnest($1) AS ip, unnest($2) AS decky, unnest($3) AS service, unnest($4) AS kind,"
            "   unnest($5) AS sha256, unnest($6) AS principal, unnest($7) AS attacker, unnest($8) AS b64,"
            "   unnest($9) AS printable, unnest($10) AS outcome, unnest($11) AS first_seen, unnest($12) AS last_seen,"
            "   unnest($13) AS attempts, unnest($14) AS fields) i,"
            "  (SELECT decnet_now() AS now) t"
            " ON CONFLICT ON CONSTRAINT uq_credentials_dedup DO UPDATE SET"
            "  attempt_count = CASE WHEN $15 <> '{}' AND EXISTS (SELECT FROM unnest($15, $16, $17, $18, $19, $20)"
            "    AS z (ip, decky, service, kind, sha256, principal) WHERE z.ip = c.attacker_ip"
            "    AND z.decky = c.decky_name AND z.service = c.service AND z.kind = c.secret_kind"
            "    AND z.sha256 = c.secret_sha256 AND z.principal IS NOT DISTINCT FROM c.principal) THEN c.attempt_count"
            "   ELSE LEAST(c.attempt_count::bigint + EXCLUDED.attempt_count, 2147483647) END,"
            "  attacker_uuid = COALESCE(EXCLUDED.attacker_uuid, c.attacker_uuid),"
            "  first_seen = LEAST(c.first_seen, EXCLUDED.first_seen),"
            "  last_seen = GREATEST(c.last_seen, EXCLUDED.last_seen),"
            "  outcome = CASE WHEN EXCLUDED.outcome IS NULL THEN c.outcome"
            "   WHEN c.outcome IS NULL OR EXCLUDED.last_seen > c.last_seen THEN EXCLUDED.outcome"
            "   WHEN EXCLUDED.last_seen < c.last_seen THEN c.outcome"
            "   WHEN 'success' IN (c.outcome, EXCLUDED.outcome) THEN 'success'"
            "   WHEN 'failure' IN (c.outcome, EXCLUDED.outcome) THEN 'failure' ELSE EXCLUDED.outcome END"
            " RETURNING id, attempt_count, xmax = 0"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    cleanup(arena_freep) Arena *scratch = NULL;

    if (n == 0)
        return 0;
    scratch = arena_new();
    StoredCredential *folded = arena_calloc(scratch, n, sizeof(*folded));
    size_t *place = arena_calloc(scratch, n, sizeof(*place));
    bind_credentials(&args, folded, fold_credentials(scratch, rows, n, folded, place));
    int r = repo_exec(repo, &upsert, &args, &result);
    for (size_t i = 0; r == 0 && i < n; i++) {
        rows[i].id = res_int(result, (int)place[i], 0);
        rows[i].attempt_count = res_int(result, (int)place[i], 1);
        rows[i].created &= res_bool(result, (int)place[i], 2);
    }
    return r;
}

int bounties_upsert(Repo *repo, StoredBounty *rows, size_t n)
{
    /* The earliest sighting wins, whatever the order of arrival; a row that changes nothing is not written. */
    static const Statement upsert = {
        .name = "bounties_upsert",
        .shape = SHAPE_ROWS,
        .sql = "WITH i AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::jsonb[],"
               "  $6::timestamptz[]) WITH ORDINALITY AS i (ip, decky, service, type, payload, time, n)),"
               " up AS (INSERT INTO bounty AS b (attacker_ip, decky, service, bounty_type, payload, timestamp)"
               "  SELECT ip, decky, service, type, payload, time FROM i ORDER BY type, ip, md5(payload::text)"
               "  ON CONFLICT (bounty_type, attacker_ip, md5(payload::text),"
               "   (CASE WHEN bounty_type = 'probe_relay' THEN decky ELSE '' END))"
               "  DO UPDATE SET timestamp = EXCLUDED.timestamp, decky = EXCLUDED.decky, service = EXCLUDED.service"
               "   WHERE (EXCLUDED.timestamp, EXCLUDED.decky, EXCLUDED.service) < (b.timestamp, b.decky, b.service)"
               "  RETURNING attacker_ip, bounty_type, payload, xmax = 0 AS created)"
               " SELECT i.n, up.created FROM i JOIN up ON up.attacker_ip = i.ip AND up.bounty_type = i.type AND "
               "up.payload = i.payload"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    ArgArray *ip = arg_array(&args, PG_TEXT), *decky = arg_array(&args, PG_TEXT), *service = arg_array(&args, PG_TEXT),
             *type = arg_array(&args, PG_TEXT), *payload = arg_array(&args, PG_JSONB),
             *time = arg_array(&args, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < n; i++) {
        rows[i].created = rows[i].written = false;
        array_str(ip, rows[i].attacker_ip);
        array_str(decky, rows[i].decky);
        array_str(service, rows[i].service);
        array_str(type, rows[i].bounty_type);
        array_json(payload, rows[i].payload);
        array_time(time, rows[i].timestamp_us);
    }
    int r = repo_exec(repo, &upsert, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        StoredBounty *b = &rows[res_int(result, i, 0) - 1];
        b->written = true;
        b->created = res_bool(result, i, 1);
    }
    return r;
}

int evidence_upsert(Repo *repo, const StoredEvidence *rows, size_t n)
{
    static const Statement upsert = {
        .name = "evidence_upsert",
        .shape = SHAPE_NONE,
        .sql =
            "INSERT INTO attacker_evidence AS e (attacker_uuid, kind, value, first_seen, last_seen, seen)"
            " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::int[])"
            "  AS i (attacker, kind, value, first_seen, last_seen, seen) ORDER BY attacker, kind, value"
            " ON CONFLICT (attacker_uuid, kind, value) DO UPDATE SET first_seen = LEAST(e.first_seen, "
            "EXCLUDED.first_seen),"
            "  last_seen = GREATEST(e.last_seen, EXCLUDED.last_seen), seen = e.seen + EXCLUDED.seen"};
    cleanup(args_free) Args args = {0};

    if (n == 0)
        return 0;
    ArgArray *attacker = arg_array(&args, PG_UUID), *kind = arg_array(&args, PG_TEXT),
             *value = arg_array(&args, PG_TEXT), *first = arg_array(&args, PG_TIMESTAMPTZ),
             *last = arg_array(&args, PG_TIMESTAMPTZ), *seen = arg_array(&args, PG_INT4);
    for (size_t i = 0; i < n; i++) {
        array_uuid(attacker, &rows[i].attacker_uuid);
        array_str(kind, rows[i].kind);
        array_str(value, rows[i].value);
        array_time(first, rows[i].first_seen_us);
        array_time(last, rows[i].last_seen_us);
        array_int4(seen, (int32_t)MIN(rows[i].seen, INT32_MAX));
    }
    return repo_run(repo, &upsert, &args, NULL);
}
