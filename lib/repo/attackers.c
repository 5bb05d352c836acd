#include "attackers.h"

#include <string.h>

#include "overwrite.h"

Uuid attacker_uuid(const char *ip)
{
    return uuid_v5(&UUID_NS_ATTACKER, str_from(ip));
}

/* An id follows from its address, so what two writers make at once breaks one of two unique keys, and ON CONFLICT minds
 * the address only. On another try the loser finds the winner's row. */
static int inserted(Repo *repo, int outcome)
{
    bool lost = outcome == REPO_E_REJECTED && strcmp(repo_error(repo)->sqlstate, "23505") == 0;
    return lost ? REPO_E_RETRY : outcome;
}

int attackers_resolve(Repo *repo, AttackerRef *refs, size_t n)
{
    static const Statement resolve = {.name = "attackers_resolve",
                                      .shape = SHAPE_ROWS,
                                      .sql = "SELECT i.n, COALESCE(a.uuid, b.uuid), COALESCE(a.ip, b.ip)"
                                             " FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS i (ip, uuid, n)"
                                             " LEFT JOIN attackers a ON a.ip = i.ip"
                                             " LEFT JOIN attackers b ON a.uuid IS NULL AND b.uuid = i.uuid"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    ArgArray *ips = arg_array(&args, PG_TEXT), *uuids = arg_array(&args, PG_UUID);
    for (size_t i = 0; i < n; i++) {
        array_str(ips, refs[i].ip && *refs[i].ip ? str_from(refs[i].ip) : (Str){0});
        array_uuid(uuids, refs[i].uuid);
    }
    int r = repo_exec(repo, &resolve, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        AttackerRef *ref = &refs[res_int(result, i, 0) - 1];
        ref->exists = !res_null(result, i, 1);
        ref->found = res_uuid(result, i, 1);
        Str ip = text_clip(res_str(result, i, 2), sizeof(ref->found_ip) - 1);
        memcpy(ref->found_ip, ip.data ? ip.data : "", ip.len);
        ref->found_ip[ip.len] = '\0';
    }
    return r;
}

/* Counts and the path follow from the lists; a row is written again only when they differ, which is rare. */
static int set_counts(Repo *repo, const AttackerChange *deltas, size_t n)
{
    static const Statement set = {.name = "attackers_set_counts",
                                  .shape = SHAPE_NONE,
                                  .sql = "UPDATE attackers SET service_count = jsonb_array_length(services), "
                                         "decky_count = jsonb_array_length(deckies),"
                                         " is_traversal = jsonb_array_length(deckies) > 1,"
                                         " traversal_path = CASE WHEN jsonb_array_length(deckies) > 1 THEN (SELECT "
                                         "string_agg(x, ' \xe2\x86\x92 ' ORDER BY k)"
                                         "  FROM jsonb_array_elements_text(deckies) WITH ORDINALITY AS u (x, k)) END"
                                         " WHERE ip = ANY ($1) AND (service_count <> jsonb_array_length(services)"
                                         "  OR decky_count <> jsonb_array_length(deckies)"
                                         "  OR (jsonb_array_length(deckies) > 1 AND traversal_path IS NULL))"};
    cleanup(args_free) Args args = {0};
    ArgArray *ip = arg_array(&args, PG_TEXT);

    for (size_t i = 0; i < n; i++)
        array_str(ip, deltas[i].ip);
    return repo_run(repo, &set, &args, NULL);
}

int attackers_add(Repo *repo, AttackerChange *deltas, size_t n)
{
    /* Services are a sorted set, deckies keep the order of first contact. */
    static const Statement add = {
        .name = "attackers_add",
        .shape = SHAPE_ROWS,
        .sql = "WITH i AS (SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], "
               "$5::bigint[],"
               "  $6::jsonb[], $7::jsonb[]) WITH ORDINALITY AS i (ip, uuid, first_seen, last_seen, events, services, "
               "deckies, n)),"
               " up AS (INSERT INTO attackers AS a (ip, uuid, first_seen, last_seen, event_count, services, deckies,"
               "   service_count, decky_count, is_traversal, traversal_path)"
               "  SELECT ip, uuid, first_seen, last_seen, events, services, deckies, jsonb_array_length(services),"
               "   jsonb_array_length(deckies), jsonb_array_length(deckies) > 1, NULL FROM i ORDER BY ip COLLATE \"C\""
               "  ON CONFLICT (ip) DO UPDATE SET"
               "   first_seen = LEAST(a.first_seen, EXCLUDED.first_seen),"
               "   last_seen = GREATEST(a.last_seen, EXCLUDED.last_seen),"
               "   event_count = a.event_count + EXCLUDED.event_count,"
               "   services = CASE WHEN a.services @> EXCLUDED.services THEN a.services ELSE (SELECT jsonb_agg(x ORDER "
               "BY x)"
               "    FROM (SELECT DISTINCT jsonb_array_elements(a.services || EXCLUDED.services) AS x) u) END,"
               "   deckies = CASE WHEN a.deckies @> EXCLUDED.deckies THEN a.deckies ELSE a.deckies ||"
               "    (SELECT jsonb_agg(x ORDER BY k) FROM jsonb_array_elements(EXCLUDED.deckies) WITH ORDINALITY AS u "
               "(x, k)"
               "     WHERE NOT a.deckies @> x) END,"
               "   updated_at = now()"
               "  RETURNING ip, uuid, xmax = 0 AS created)"
               " SELECT i.n, up.uuid, up.created FROM i JOIN up USING (ip)"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    ArgArray *ip = arg_array(&args, PG_TEXT), *uuid = arg_array(&args, PG_UUID),
             *first = arg_array(&args, PG_TIMESTAMPTZ), *last = arg_array(&args, PG_TIMESTAMPTZ),
             *events = arg_array(&args, PG_INT8), *services = arg_array(&args, PG_JSONB),
             *deckies = arg_array(&args, PG_JSONB);
    for (size_t i = 0; i < n; i++) {
        array_str(ip, deltas[i].ip);
        array_uuid(uuid, &deltas[i].uuid);
        array_time(first, deltas[i].first_seen_us);
        array_time(last, deltas[i].last_seen_us);
        array_int8(events, deltas[i].events);
        array_json(services, deltas[i].services);
        array_json(deckies, deltas[i].deckies);
    }
    int r = inserted(repo, repo_exec(repo, &add, &args, &result));
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        AttackerChange *d = &deltas[res_int(result, i, 0) - 1];
        Uuid stored = res_uuid(result, i, 1);
        d->created = res_bool(result, i, 2);
        if (uuid_cmp(&stored, &d->uuid) != 0)
            r = repo_fail(repo, REPO_E_RETRY, add.name, "an attacker row appeared meanwhile under another id");
    }
    return r ? r : set_counts(repo, deltas, n);
}

int attackers_extend(Repo *repo, const AttackerExtras *extras, size_t n)
{
    static const Statement extend = {
        .name = "attackers_extend",
        .shape = SHAPE_NONE,
        .sql =
            "UPDATE attackers a SET bounty_count = a.bounty_count + i.bounties,"
            " credential_count = a.credential_count + i.credentials,"
            " commands = CASE WHEN i.commands = '[]' THEN a.commands ELSE (SELECT jsonb_agg(e ORDER BY t, id COLLATE \"C\")"
            "  FROM (SELECT e, e->>'timestamp' AS t, (e->>'id') COLLATE \"C\" AS id FROM jsonb_array_elements(a.commands || "
            "i.commands) e"
            "   ORDER BY t DESC, id DESC LIMIT $6) newest) END,"
            " fingerprints = CASE WHEN NOT i.fingerprints THEN a.fingerprints ELSE COALESCE((SELECT jsonb_agg(f ORDER "
            "BY t, id)"
            "  FROM (SELECT b.timestamp AS t, b.id, jsonb_build_object('id', b.id,"
            "    'kind', b.payload->>'fingerprint_type', 'hash', b.payload->>'hash',"
            "    'role', CASE WHEN b.payload->>'fingerprint_type' LIKE '%\\_forwarded' THEN 'forwarded'"
            "     WHEN b.payload->>'fingerprint_type' IN ('hassh_server', 'jarm') THEN 'server' ELSE 'client' END,"
            "    'bounty_type', b.bounty_type, 'timestamp', to_char(b.timestamp, 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),"
            "    'decky', b.decky, 'service', b.service, 'attacker_ip', b.attacker_ip, 'payload', b.payload) AS f"
            "   FROM bounty b WHERE b.bounty_type = 'fingerprint' AND b.attacker_ip = a.ip"
            "   ORDER BY b.timestamp DESC, b.id DESC LIMIT $7) newest), '[]') END,"
            " updated_at = now()"
            " FROM unnest($1::text[], $2::int[], $3::int[], $4::jsonb[], $5::bool[])"
            "  AS i (ip, bounties, credentials, commands, fingerprints) WHERE a.ip = i.ip"};
    cleanup(args_free) Args args = {0};

    if (n == 0)
        return 0;
    ArgArray *ip = arg_array(&args, PG_TEXT), *bounties = arg_array(&args, PG_INT4),
             *credentials = arg_array(&args, PG_INT4), *commands = arg_array(&args, PG_JSONB),
             *fingerprints = arg_array(&args, PG_BOOL);
    for (size_t i = 0; i < n; i++) {
        array_str(ip, extras[i].ip);
        array_int4(bounties, (int32_t)extras[i].bounties);
        array_int4(credentials, (int32_t)extras[i].credentials);
        array_json(commands, extras[i].commands.data ? extras[i].commands : STR("[]"));
        array_bool(fingerprints, extras[i].fingerprints_changed);
    }
    arg_int8(&args, LIMIT_ATTACKER_COMMANDS);
    arg_int8(&args, LIMIT_ATTACKER_FINGERPRINTS);
    return repo_run(repo, &extend, &args, NULL);
}

static int by_ip(const void *a, const void *b)
{
    return str_cmp(((const AttackerRow *)a)->ip, ((const AttackerRow *)b)->ip);
}

static void merge_times(void *row, const void *before)
{
    AttackerRow *a = row;
    const AttackerRow *b = before;

    a->first_seen = MIN(a->first_seen, b->first_seen);
    a->last_seen = MAX(a->last_seen, b->last_seen);
}

static void bind(Args *args, const void *attackers, size_t n, uint64_t given)
{
    const AttackerRow *rows = attackers;

    arg_int8(args, (int64_t)given);
    ArgArray *uuid = arg_array(args, PG_UUID), *ip = arg_array(args, PG_TEXT), *first = arg_array(args, PG_TIMESTAMPTZ),
             *last = arg_array(args, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < n; i++) {
        Uuid id = uuid_v5(&UUID_NS_ATTACKER, rows[i].ip);
        array_uuid(uuid, &id);
        array_str(ip, rows[i].ip);
        if (given & ATTACKER_FIRST_SEEN)
            array_time(first, rows[i].first_seen);
        if (given & ATTACKER_LAST_SEEN)
            array_time(last, rows[i].last_seen);
    }
    ATTACKER_COLUMNS(ROW_BIND)
}

static void bind_ip(ArgArray *keys, const void *row)
{
    array_str(keys, ((const AttackerRow *)row)->ip);
}

static bool is_ip(const PGresult *r, int i, const void *row)
{
    return str_eq(res_str(r, i, 0), ((const AttackerRow *)row)->ip);
}

/* A stored row lends first_seen and last_seen to a call that does not give them, as NOT NULL is checked before the
 * conflict is found. */
#define LENT(n_, name_)                                                                                                \
    "CASE WHEN " ROW_GIVEN(n_) " THEN i." name_ " ELSE (SELECT e." name_ " FROM attackers e WHERE e.ip = i.ip) END"
#define NAMES "ip, first_seen, last_seen" ATTACKER_COLUMNS(ROW_NAME)
#define VALUES "i.ip, " LENT(4, "first_seen") ", " LENT(5, "last_seen") ATTACKER_COLUMNS(ROW_VALUE)
#define ARRAYS                                                                                                         \
    "unnest($2) AS uuid, unnest($3) AS ip, unnest($4) AS first_seen, unnest($5) AS last_seen" ATTACKER_COLUMNS(        \
        ROW_UNNEST)
#define KEPT ATTACKER_COLUMNS(ROW_KEEP)
#define DIFFERS "EXCLUDED.last_seen > a.last_seen OR EXCLUDED.first_seen < a.first_seen" ATTACKER_COLUMNS(ROW_DIFFERS)

int attackers_upsert(Repo *repo, const AttackerRow *rows, size_t n, uint64_t given, Uuid *uuids)
{
    static const Overwrite overwrite = {
        .row_bytes = sizeof(AttackerRow),
        .compare = by_ip,
        .merge = merge_times,
        .bind = bind,
        .key_type = PG_TEXT,
        .bind_key = bind_ip,
        .is_key = is_ip,
        .write = {.name = "attackers_upsert",
                  .shape = SHAPE_ROWS,
                  .sql = "INSERT INTO attackers AS a (uuid, " NAMES ") SELECT i.uuid, " VALUES " FROM (SELECT " ARRAYS
                         ") i ON CONFLICT (ip) DO UPDATE SET first_seen = LEAST(a.first_seen, EXCLUDED.first_seen),"
                         "  last_seen = GREATEST(a.last_seen, EXCLUDED.last_seen)" KEPT " WHERE " DIFFERS
                         " RETURNING ip, uuid"},
        .find = {.name = "attackers_unchanged",
                 .shape = SHAPE_ROWS,
                 .sql = "SELECT i.n, a.uuid FROM unnest($1) WITH ORDINALITY AS i (ip, n)"
                        " JOIN attackers a ON a.ip = i.ip"},
        .vanished = "an attacker",
    };

    return inserted(repo, overwrite_rows(repo, &overwrite, rows, n, given, uuids));
}
