/* event_outbox: packed rows of events that a transaction produced. */
#include "pg.h"
#include "runtime.h"

int outbox_rows_insert(Repo *repo, const char *producer, OutboxRow *rows, size_t n)
{
    static const Statement insert = {.name = "outbox_rows_insert",
                                     .shape = SHAPE_ROWS,
                                     .sql = "INSERT INTO event_outbox (producer, n, events)"
                                            " SELECT $1, unnest($2::int[]), unnest($3::bytea[]) RETURNING id"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_cstr(&args, producer);
    ArgArray *n_events = arg_array(&args, PG_INT4), *events = arg_array(&args, PG_BYTEA);
    for (size_t i = 0; i < n; i++) {
        array_int4(n_events, rows[i].n_events);
        array_bytes(events, rows[i].events);
    }
    int r = repo_exec(repo, &insert, &args, &result);
    for (size_t i = 0; r == 0 && i < n; i++)
        rows[i].id = res_int(result, (int)i, 0);
    return r;
}

int outbox_row_delete(Repo *repo, const int64_t *ids, size_t n)
{
    static const Statement delete = {
        .name = "outbox_row_delete", .shape = SHAPE_NONE, .sql = "DELETE FROM event_outbox WHERE id = ANY ($1)"};
    cleanup(args_free) Args args = {0};
    arg_ids(&args, ids, n);
    return repo_run(repo, &delete, &args, NULL);
}

int outbox_row_claim(Repo *repo, Arena *arena, const char *producer, int64_t min_age_ms, const int64_t *skip_ids,
                     size_t n_skip, int limit, OutboxRow **ret_rows, size_t *ret_n)
{
    static const Statement claim = {
        .name = "outbox_row_claim",
        .shape = SHAPE_ROWS,
        .sql = "SELECT id, n, events FROM event_outbox WHERE producer = $1"
               " AND created_at <= decnet_now() - make_interval(secs => $2 / 1000.0) AND NOT (id = ANY ($3))"
               " ORDER BY id LIMIT $4 FOR UPDATE SKIP LOCKED"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_cstr(&args, producer);
    arg_int8(&args, min_age_ms);
    arg_ids(&args, skip_ids, n_skip);
    arg_int8(&args, limit);
    int r = repo_exec(repo, &claim, &args, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret_rows = arena_calloc(arena, *ret_n + 1, sizeof(**ret_rows));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret_rows)[i] = (OutboxRow){.id = res_int(result, i, 0),
                                     .n_events = (int)res_int(result, i, 1),
                                     .events = str_dup(arena, res_str(result, i, 2))};
    return 0;
}

int outbox_row_count(Repo *repo, const char *producer, int64_t *ret_rows, double *ret_oldest_s)
{
    static const Statement count = {
        .name = "outbox_row_count",
        .shape = SHAPE_ROW,
        .sql = "SELECT count(*), COALESCE(extract(epoch FROM decnet_now() - min(created_at)), 0)::float8"
               " FROM event_outbox WHERE producer = $1"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_cstr(&args, producer);
    int r = repo_exec(repo, &count, &args, &result);
    if (r == 0) {
        *ret_rows = res_int(result, 0, 0);
        if (ret_oldest_s)
            *ret_oldest_s = res_double(result, 0, 1);
    }
    return r;
}
