#include "captures.h"

#include "pg.h"

int credentials_upsert(Repo *repo, StoredCredential *rows, size_t n)
{
    static const Statement upsert = {
        .name = "credentials_upsert",
        .shape = SHAPE_ROWS,
        .sql = "WITH i AS (SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],"
               "  $7::text[], $8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::int[], "
               "$14::jsonb[])"
               "  WITH ORDINALITY AS i (ip, attacker, decky, service, principal, kind, sha256, b64, printable, outcome,"
               "   first_seen, last_seen, attempts, fields, n)),"
               " up AS (INSERT INTO credentials AS c (attacker_ip, attacker_uuid, decky_name, service, principal, "
               "secret_kind,"
               "  secret_sha256, secret_b64, secret_printable, outcome, first_seen, last_seen, attempt_count, fields)"
               "  SELECT ip, attacker, decky, service, principal, kind, sha256, b64, printable, outcome, first_seen, "
               "last_seen,"
               "   GREATEST(attempts, 1), fields FROM i ORDER BY ip, decky, service, kind, sha256, principal"
               "  ON CONFLICT ON CONSTRAINT uq_credentials_dedup DO UPDATE SET"
               "   attempt_count = c.attempt_count + (SELECT i.attempts FROM i WHERE i.ip = c.attacker_ip"
               "    AND i.decky = c.decky_name AND i.service = c.service AND i.kind = c.secret_kind"
               "    AND i.sha256 = c.secret_sha256 AND i.principal IS NOT DISTINCT FROM c.principal),"
               "   attacker_uuid = EXCLUDED.attacker_uuid,"
               "   first_seen = LEAST(c.first_seen, EXCLUDED.first_seen), last_seen = GREATEST(c.last_seen, "
               "EXCLUDED.last_seen),"
               "   outcome = CASE WHEN EXCLUDED.last_seen > c.last_seen OR c.outcome IS NULL THEN EXCLUDED.outcome"
               "    WHEN EXCLUDED.last_seen < c.last_seen THEN c.outcome"
               "    WHEN 'success' IN (c.outcome, EXCLUDED.outcome) THEN 'success'"
               "    WHEN 'failure' IN (c.outcome, EXCLUDED.outcome) THEN 'failure' ELSE c.outcome END"
               "  RETURNING attacker_ip, decky_name, service, secret_kind, secret_sha256, principal, attempt_count,"
               "   xmax = 0 AS created)"
               " SELECT i.n, up.attempt_count, up.created FROM i JOIN up ON up.attacker_ip = i.ip AND up.decky_name = "
               "i.decky"
               "  AND up.service = i.service AND up.secret_kind = i.kind AND up.secret_sha256 = i.sha256"
               "  AND up.principal IS NOT DISTINCT FROM i.principal"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    ArgArray *ip = arg_array(&args, PG_TEXT), *attacker = arg_array(&args, PG_UUID), *decky = arg_array(&args, PG_TEXT),
             *service = arg_array(&args, PG_TEXT), *principal = arg_array(&args, PG_TEXT),
             *kind = arg_array(&args, PG_TEXT), *sha256 = arg_array(&args, PG_TEXT), *b64 = arg_array(&args, PG_TEXT),
             *printable = arg_array(&args, PG_TEXT), *outcome = arg_array(&args, PG_TEXT),
             *first = arg_array(&args, PG_TIMESTAMPTZ), *last = arg_array(&args, PG_TIMESTAMPTZ),
             *attempts = arg_array(&args, PG_INT4), *fields = arg_array(&args, PG_JSONB);
    for (size_t i = 0; i < n; i++) {
        const StoredCredential *c = &rows[i];
        array_str(ip, c->attacker_ip);
        array_uuid(attacker, &c->attacker_uuid);
        array_str(decky, c->decky);
        array_str(service, c->service);
        array_str(principal, c->principal);
        array_str(kind, c->secret_kind);
        array_str(sha256, c->secret_sha256);
        array_str(b64, c->secret_b64);
        array_str(printable, c->secret_printable);
        array_str(outcome, c->outcome);
        array_time(first, c->first_seen_us);
        array_time(last, c->last_seen_us);
        array_int4(attempts, (int32_t)MIN(c->attempts, INT32_MAX));
        array_json(fields, c->fields.data ? c->fields : STR("{}"));
    }
    int r = repo_exec(repo, &upsert, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        StoredCredential *c = &rows[res_int(result, i, 0) - 1];
        c->attempt_count = res_int(result, i, 1);
        c->created = res_bool(result, i, 2);
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
