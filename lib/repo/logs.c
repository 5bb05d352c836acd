#include "logs.h"

#include "pg.h"

/* A reader that tails `id > last` would never see a row whose smaller id becomes visible later; identity values are
 * taken before commit, so inserts of logs queue up behind one lock. */
static int lock_log_order(Repo *repo)
{
    static const Statement lock = {.name = "logs_lock",
                                   .shape = SHAPE_ROW,
                                   .sql = "SELECT pg_advisory_xact_lock(hashtextextended('decnet.logs', 0))"};
    cleanup(pgresult_freep) PGresult *result = NULL;
    return repo_exec(repo, &lock, NULL, &result);
}

int logs_lock_and_compare(Repo *repo, const Uuid *ids, size_t n, bool *is_new)
{
    static const Statement compare = {.name = "logs_compare",
                                      .shape = SHAPE_ROWS,
                                      .sql = "SELECT DISTINCT u FROM unnest($1::uuid[]) AS i (u)"
                                             " WHERE NOT EXISTS (SELECT FROM logs WHERE source_event_id = u)"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = lock_log_order(repo);
    if (r != 0 || n == 0)
        return r;
    arg_uuids(&args, ids, sizeof(*ids), n);
    r = repo_exec(repo, &compare, &args, &result);
    if (r == 0) {
        cleanup(freep) UuidOrder *order = uuid_order(ids, sizeof(*ids), n);
        res_mark_returned(result, 0, order, n, is_new);
    }
    return r;
}

int logs_append(Repo *repo, const LogRow *rows, size_t n)
{
    static const Statement append = {
        .name = "logs_append",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO logs (source_event_id, timestamp, decky, service, event_type, attacker_ip, raw_line, "
               "fields, msg)"
               " SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[],"
               "  $7::text[], $8::jsonb[], $9::text[])"};
    cleanup(args_free) Args args = {0};

    if (n == 0)
        return 0;
    ArgArray *id = arg_array(&args, PG_UUID), *time = arg_array(&args, PG_TIMESTAMPTZ),
             *decky = arg_array(&args, PG_TEXT), *service = arg_array(&args, PG_TEXT),
             *type = arg_array(&args, PG_TEXT), *ip = arg_array(&args, PG_TEXT), *line = arg_array(&args, PG_TEXT),
             *fields = arg_array(&args, PG_JSONB), *msg = arg_array(&args, PG_TEXT);
    for (size_t i = 0; i < n; i++) {
        array_uuid(id, &rows[i].source_event_id);
        array_time(time, rows[i].timestamp_us);
        array_str(decky, rows[i].decky);
        array_str(service, rows[i].service);
        array_str(type, rows[i].event_type);
        array_str(ip, rows[i].attacker_ip);
        array_str(line, rows[i].raw_line);
        array_json(fields, rows[i].fields);
        array_str(msg, rows[i].msg);
    }
    return repo_run(repo, &append, &args, NULL);
}
