#include "logs.h"

#include "pg.h"

/* A reader that tails `id > last` would never see a row whose smaller id becomes visible later; identity values are
 * taken before commit, so inserts of logs queue up behind one lock. */
int logs_lock(Repo *repo, int64_t *ret_now_us)
{
    static const Statement lock = {
        .name = "logs_lock",
        .shape = SHAPE_ROW,
        .sql = "SELECT pg_advisory_xact_lock(hashtextextended('decnet.logs', 0)), decnet_now()"};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = repo_exec(repo, &lock, NULL, &result);
    if (r == 0 && ret_now_us)
        *ret_now_us = res_time(result, 0, 1);
    return r;
}

int logs_lock_and_compare(Repo *repo, const Uuid *ids, size_t n, bool *is_new)
{
    static const Statement compare = {.name = "logs_compare",
                                      .shape = SHAPE_ROWS,
                                      .sql = "SELECT DISTINCT u FROM unnest($1::uuid[]) AS i (u)"
                                             " WHERE NOT EXISTS (SELECT FROM logs WHERE source_event_id = u)"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = logs_lock(repo, NULL);
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

#define COLUMNS                                                                                                        \
    "source_event_id, timestamp, decky, service, event_type, attacker_ip, raw_line, fields, msg, trace_id, span_id"
enum { N_COLUMNS = 11 };

typedef struct Rows {
    LogRow (*at)(void *arg, size_t i);
    void *arg;
    size_t n;
} Rows;

static int insert_rows(Repo *repo, const Rows *rows)
{
    static const Statement insert = {
        .name = "logs_insert",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO logs (" COLUMNS ") SELECT unnest($1::uuid[]), unnest($2::timestamptz[]),"
               " unnest($3::text[]), unnest($4::text[]), unnest($5::text[]), unnest($6::text[]), unnest($7::text[]),"
               " unnest($8::jsonb[]), unnest($9::text[]), unnest($10::text[]), unnest($11::text[])"};
    cleanup(args_free) Args args = {0};
    ArgArray *id = arg_array(&args, PG_UUID), *time = arg_array(&args, PG_TIMESTAMPTZ),
             *decky = arg_array(&args, PG_TEXT), *service = arg_array(&args, PG_TEXT),
             *type = arg_array(&args, PG_TEXT), *ip = arg_array(&args, PG_TEXT), *line = arg_array(&args, PG_TEXT),
             *fields = arg_array(&args, PG_JSONB), *msg = arg_array(&args, PG_TEXT), *trace = arg_array(&args, PG_TEXT),
             *span = arg_array(&args, PG_TEXT);

    for (size_t i = 0; i < rows->n; i++) {
        LogRow row = rows->at(rows->arg, i);
        array_uuid(id, row.source_event_id);
        array_time(time, row.timestamp_us);
        array_str(decky, row.decky);
        array_str(service, row.service);
        array_str(type, row.event_type);
        array_str(ip, row.attacker_ip);
        array_str(line, row.raw_line);
        array_json(fields, row.fields);
        array_str(msg, row.msg);
        array_str(trace, row.trace_id);
        array_str(span, row.span_id);
    }
    return repo_run(repo, &insert, &args, NULL);
}

static void copy_row_of(Buf *out, const void *arg, size_t i)
{
    const Rows *rows = arg;
    LogRow row = rows->at(rows->arg, i);

    copy_row(out, N_COLUMNS);
    copy_uuid(out, row.source_event_id);
    copy_time(out, row.timestamp_us);
    copy_str(out, row.decky);
    copy_str(out, row.service);
    copy_str(out, row.event_type);
    copy_str(out, row.attacker_ip);
    copy_str(out, row.raw_line);
    copy_json(out, row.fields);
    copy_str(out, row.msg);
    copy_str(out, row.trace_id);
    copy_str(out, row.span_id);
}

/* Nothing that is stored collides with new rows, as the lock is ours; if something does all the same, the second way
 * says what. */
int logs_append_each(Repo *repo, LogRow (*row_at)(void *arg, size_t i), void *arg, size_t n)
{
    static const Statement copy = {.name = "logs_copy", .sql = "COPY logs (" COLUMNS ") FROM STDIN (FORMAT binary)"};
    const Rows rows = {.at = row_at, .arg = arg, .n = n};
    bool stored = false;

    int r = repo_copy(repo, &copy, &(CopyRows){copy_row_of, &rows, n}, &stored);
    return r != 0 || stored ? r : insert_rows(repo, &rows);
}

static LogRow array_at(void *rows, size_t i)
{
    return ((const LogRow *)rows)[i];
}

int logs_append(Repo *repo, const LogRow *rows, size_t n)
{
    return logs_append_each(repo, array_at, (void *)rows, n);
}
