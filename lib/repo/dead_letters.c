#include "dead_letters.h"

#include "pg.h"

#define LETTER_COLUMNS                                                                                                 \
    "id, group_name, topic, partition, \"offset\", event_id::text, reason, sqlstate, message, attempts, first_seen,"   \
    " replayed_at, COALESCE(length(value), 0)"
#define LETTER_WHOLE LETTER_COLUMNS ", key, value, headers"
enum { N_COLUMNS = 13 };

static DeadLetter letter_of(Arena *arena, const PGresult *r, int row)
{
    DeadLetter d = {.id = res_int(r, row, 0),
                    .group = str_dup(arena, res_str(r, row, 1)),
                    .topic = str_dup(arena, res_str(r, row, 2)),
                    .partition = (int32_t)res_int(r, row, 3),
                    .offset = res_int(r, row, 4),
                    .event_id = str_dup(arena, res_str(r, row, 5)),
                    .reason = str_dup(arena, res_str(r, row, 6)),
                    .sqlstate = str_dup(arena, res_str(r, row, 7)),
                    .message = str_dup(arena, res_str(r, row, 8)),
                    .attempts = res_int(r, row, 9),
                    .first_seen_us = res_time(r, row, 10),
                    .replayed_at_us = res_time(r, row, 11),
                    .value_bytes = res_int(r, row, 12)};
    if (PQnfields(r) > N_COLUMNS + 1) {
        d.key = str_dup(arena, res_str(r, row, N_COLUMNS));
        d.value = str_dup(arena, res_str(r, row, N_COLUMNS + 1));
        d.headers_json = str_dup(arena, res_str(r, row, N_COLUMNS + 2));
    }
    return d;
}

static void letters_of(Arena *arena, const PGresult *r, DeadLetter **ret, size_t *ret_n)
{
    *ret_n = (size_t)PQntuples(r);
    *ret = arena_calloc(arena, *ret_n + 1, sizeof(**ret));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret)[i] = letter_of(arena, r, i);
}

int dead_letter_list(Repo *repo, Arena *arena, const DeadLetterFilter *filter, int64_t limit, DeadLetter **ret,
                     size_t *ret_n, int64_t *ret_total)
{
    static const Statement list = {
        .name = "dead_letter_list",
        .shape = SHAPE_ROWS,
        .sql =
            "SELECT " LETTER_COLUMNS ", count(*) OVER () FROM dead_letter WHERE ($1::text IS NULL OR group_name = $1)"
            " AND ($2::text IS NULL OR reason = $2) AND ($3 OR replayed_at IS NULL) ORDER BY id DESC LIMIT $4"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_cstr(&args, filter->group);
    arg_cstr(&args, filter->reason);
    arg_bool(&args, filter->with_replayed);
    arg_int8(&args, limit);
    int r = repo_exec(repo, &list, &args, &result);
    if (r != 0)
        return r;
    letters_of(arena, result, ret, ret_n);
    *ret_total = *ret_n ? res_int(result, 0, N_COLUMNS) : 0;
    return 0;
}

int dead_letter_read(Repo *repo, Arena *arena, int64_t id, DeadLetter *ret)
{
    static const Statement read = {.name = "dead_letter_read",
                                   .shape = SHAPE_ROW,
                                   .sql = "SELECT " LETTER_WHOLE " FROM dead_letter WHERE id = $1"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_int8(&args, id);
    int r = repo_exec(repo, &read, &args, &result);
    if (r == 0)
        *ret = letter_of(arena, result, 0);
    return r;
}

int dead_letter_claim(Repo *repo, Arena *arena, const int64_t *ids, size_t n_ids, const char *group, int64_t after,
                      int64_t limit, DeadLetter **ret, size_t *ret_n)
{
    static const Statement by_id = {.name = "dead_letter_claim_ids",
                                    .shape = SHAPE_ROWS,
                                    .sql = "SELECT " LETTER_WHOLE
                                           " FROM dead_letter WHERE id = ANY ($1) ORDER BY id FOR UPDATE"};
    static const Statement by_group = {
        .name = "dead_letter_claim_group",
        .shape = SHAPE_ROWS,
        .sql = "SELECT " LETTER_WHOLE " FROM dead_letter WHERE group_name = $1 AND id > $2 AND replayed_at IS NULL"
               " ORDER BY id LIMIT $3 FOR UPDATE"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n_ids) {
        arg_ids(&args, ids, n_ids);
    } else {
        arg_cstr(&args, group);
        arg_int8(&args, after);
        arg_int8(&args, limit);
    }
    int r = repo_exec(repo, n_ids ? &by_id : &by_group, &args, &result);
    if (r == 0)
        letters_of(arena, result, ret, ret_n);
    return r;
}

int dead_letter_mark_replayed(Repo *repo, const DeadLetter *letters, size_t n)
{
    static const Statement mark = {.name = "dead_letter_mark_replayed",
                                   .shape = SHAPE_NONE,
                                   .sql = "UPDATE dead_letter SET replayed_at = decnet_now() WHERE id = ANY ($1)"};
    cleanup(args_free) Args args = {0};

    ArgArray *a = arg_array(&args, PG_INT8);
    for (size_t i = 0; i < n; i++)
        array_int8(a, letters[i].id);
    return repo_run(repo, &mark, &args, NULL);
}
