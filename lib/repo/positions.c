/* consumer_position and group_pause. */
#include "pg.h"
#include "runtime.h"

static void bind_partitions(Args *args, const char *const *topics, const int32_t *partitions, size_t n)
{
    ArgArray *t = arg_array(args, PG_TEXT), *p = arg_array(args, PG_INT4);
    for (size_t i = 0; i < n; i++) {
        array_str(t, str_from(topics[i]));
        array_int4(p, partitions[i]);
    }
}

static void bind_positions(Args *args, const Position *positions, size_t n)
{
    cleanup(freep) const char **topics = malloc((n + 1) * sizeof(*topics));
    cleanup(freep) int32_t *partitions = malloc((n + 1) * sizeof(*partitions));
    if (!topics || !partitions)
        abort();
    for (size_t i = 0; i < n; i++) {
        topics[i] = positions[i].topic;
        partitions[i] = positions[i].partition;
    }
    bind_partitions(args, topics, partitions, n);
}

int position_take(Repo *repo, const char *group, const char *cluster_id, Position *positions, size_t n)
{
    /* In key order, so that two members who take over at once queue up instead of deadlocking. */
    static const Statement take = {
        .name = "position_take",
        .shape = SHAPE_ROWS,
        .sql = "WITH input AS (SELECT * FROM unnest($3::text[], $4::int[], $5::bigint[]) WITH ORDINALITY"
               "  AS i (topic, part, start, n)),"
               " taken AS (INSERT INTO consumer_position AS c (group_name, topic, partition, next_offset, cluster_id)"
               "  SELECT $1, topic, part, start, $2 FROM input ORDER BY topic, part"
               "  ON CONFLICT (group_name, topic, partition) DO UPDATE SET epoch = c.epoch + 1, updated_at = now()"
               "   WHERE c.cluster_id = $2"
               "  RETURNING topic, partition, next_offset, epoch, (xmax = 0) AS created)"
               " SELECT n, t.next_offset, t.epoch, t.created FROM input"
               " LEFT JOIN taken t ON t.topic = input.topic AND t.partition = input.part ORDER BY n"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_cstr(&args, group);
    arg_cstr(&args, cluster_id);
    bind_positions(&args, positions, n);
    ArgArray *starts = arg_array(&args, PG_INT8);
    for (size_t i = 0; i < n; i++)
        array_int8(starts, positions[i].next_offset);
    int r = repo_exec(repo, &take, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        Position *p = &positions[res_int(result, i, 0) - 1];
        p->other_cluster = res_null(result, i, 1);
        if (p->other_cluster)
            continue;
        p->next_offset = res_int(result, i, 1);
        p->epoch = res_int(result, i, 2);
        p->is_new = res_bool(result, i, 3);
        p->owned = true;
    }
    return r;
}

int position_advance(Repo *repo, const char *group, const PositionAdvance *advances, size_t n)
{
    static const Statement advance = {
        .name = "position_advance",
        .shape = SHAPE_NONE,
        .sql =
            "UPDATE consumer_position c SET next_offset = i.target, event_time = GREATEST(c.event_time, i.event_time),"
            " updated_at = now()"
            " FROM unnest($2::text[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::timestamptz[])"
            "  AS i (topic, part, epoch, source, target, event_time)"
            " WHERE c.group_name = $1 AND c.topic = i.topic AND c.partition = i.part AND c.epoch = i.epoch"
            "  AND c.next_offset = i.source"};
    cleanup(args_free) Args args = {0};
    int64_t changed;

    arg_cstr(&args, group);
    ArgArray *topics = arg_array(&args, PG_TEXT), *partitions = arg_array(&args, PG_INT4),
             *epochs = arg_array(&args, PG_INT8), *from = arg_array(&args, PG_INT8), *to = arg_array(&args, PG_INT8),
             *times = arg_array(&args, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < n; i++) {
        array_str(topics, str_from(advances[i].topic));
        array_int4(partitions, advances[i].partition);
        array_int8(epochs, advances[i].epoch);
        array_int8(from, advances[i].from_offset);
        array_int8(to, advances[i].to_offset);
        array_time(times, advances[i].event_time_us);
    }
    int r = repo_run(repo, &advance, &args, &changed);
    if (r == 0 && changed != (int64_t)n)
        return repo_fail(repo, REPO_E_FENCED, advance.name, "%lld of %zu positions of group %s were still ours",
                         (long long)changed, n, group);
    return r;
}

int position_read(Repo *repo, const char *group, Position *positions, size_t n)
{
    static const Statement read = {
        .name = "position_read",
        .shape = SHAPE_ROWS,
        .sql = "SELECT i.n, c.next_offset, c.epoch FROM unnest($2::text[], $3::int[]) WITH ORDINALITY AS i (topic, "
               "part, n)"
               " LEFT JOIN consumer_position c ON c.group_name = $1 AND c.topic = i.topic AND c.partition = i.part"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_cstr(&args, group);
    bind_positions(&args, positions, n);
    int r = repo_exec(repo, &read, &args, &result);
    for (int i = 0; r == 0 && i < PQntuples(result); i++) {
        Position *p = &positions[res_int(result, i, 0) - 1];
        p->owned = !res_null(result, i, 2) && res_int(result, i, 2) == p->epoch;
        p->next_offset = res_int(result, i, 1);
    }
    return r;
}

static int list(Repo *repo, Arena *arena, const Statement *s, Args *args, PositionRow **ret_rows, size_t *ret_n)
{
    cleanup(pgresult_freep) PGresult *result = NULL;
    int r = repo_exec(repo, s, args, &result);
    if (r != 0)
        return r;
    size_t n = (size_t)PQntuples(result);
    PositionRow *rows = arena_calloc(arena, n + 1, sizeof(*rows));
    for (int i = 0; i < (int)n; i++)
        rows[i] = (PositionRow){
            .group = str_dup(arena, res_str(result, i, 0)),
            .topic = str_dup(arena, res_str(result, i, 1)),
            .partition = (int32_t)res_int(result, i, 2),
            .next_offset = res_int(result, i, 3),
            .epoch = res_int(result, i, 4),
            .cluster_id = str_dup(arena, res_str(result, i, 5)),
            .event_time_us = res_time(result, i, 6),
            .updated_at_us = res_time(result, i, 7),
        };
    *ret_rows = rows;
    *ret_n = n;
    return 0;
}

#define POSITION_COLUMNS "group_name, topic, partition, next_offset, epoch, cluster_id, event_time, updated_at"

int position_list(Repo *repo, Arena *arena, PositionRow **ret_rows, size_t *ret_n)
{
    static const Statement all = {.name = "position_list",
                                  .shape = SHAPE_ROWS,
                                  .sql = "SELECT " POSITION_COLUMNS
                                         " FROM consumer_position ORDER BY group_name, topic, partition"};
    return list(repo, arena, &all, NULL, ret_rows, ret_n);
}

int position_list_topic(Repo *repo, Arena *arena, const char *topic, PositionRow **ret_rows, size_t *ret_n)
{
    static const Statement of_topic = {
        .name = "position_list_topic",
        .shape = SHAPE_ROWS,
        .sql = "SELECT " POSITION_COLUMNS " FROM consumer_position WHERE topic = $1 ORDER BY group_name, partition"};
    cleanup(args_free) Args args = {0};
    arg_cstr(&args, topic);
    return list(repo, arena, &of_topic, &args, ret_rows, ret_n);
}

int position_forget(Repo *repo, const char *group, const char *topic, int64_t *ret_n)
{
    static const Statement forget = {
        .name = "position_forget",
        .shape = SHAPE_NONE,
        .sql = "DELETE FROM consumer_position WHERE group_name = $1 AND ($2::text IS NULL OR topic = $2)"};
    cleanup(args_free) Args args = {0};
    arg_cstr(&args, group);
    arg_cstr(&args, topic);
    return repo_run(repo, &forget, &args, ret_n);
}

int position_set(Repo *repo, const char *group, const char *topic, int32_t partition, int64_t offset)
{
    static const Statement set = {
        .name = "position_set",
        .shape = SHAPE_NONE,
        .sql = "UPDATE consumer_position SET next_offset = $4, epoch = epoch + 1, updated_at = now()"
               " WHERE group_name = $1 AND topic = $2 AND partition = $3"};
    cleanup(args_free) Args args = {0};
    int64_t n;

    arg_cstr(&args, group);
    arg_cstr(&args, topic);
    arg_int4(&args, partition);
    arg_int8(&args, offset);
    int r = repo_run(repo, &set, &args, &n);
    if (r == 0 && n == 0)
        return repo_fail(repo, REPO_E_NO_ROW, set.name, "group %s has no position on %s/%d", group, topic,
                         (int)partition);
    return r;
}

int pause_set(Repo *repo, const char *group, const char *reason)
{
    static const Statement set = {
        .name = "pause_set",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO group_pause (group_name, reason) VALUES ($1, $2) ON CONFLICT (group_name) DO NOTHING"};
    cleanup(args_free) Args args = {0};
    arg_cstr(&args, group);
    arg_cstr(&args, reason);
    return repo_run(repo, &set, &args, NULL);
}

int pause_get(Repo *repo, Arena *arena, const char *group, bool *ret_paused, Str *ret_reason)
{
    static const Statement get = {
        .name = "pause_get", .shape = SHAPE_ROWS, .sql = "SELECT reason FROM group_pause WHERE group_name = $1"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_cstr(&args, group);
    int r = repo_exec(repo, &get, &args, &result);
    if (r == 0) {
        *ret_paused = PQntuples(result) > 0;
        *ret_reason = *ret_paused ? str_dup(arena, res_str(result, 0, 0)) : (Str){0};
    }
    return r;
}

int pause_clear(Repo *repo, const char *group, bool *ret_was_paused)
{
    static const Statement clear = {
        .name = "pause_clear", .shape = SHAPE_NONE, .sql = "DELETE FROM group_pause WHERE group_name = $1"};
    cleanup(args_free) Args args = {0};
    int64_t n;
    arg_cstr(&args, group);
    int r = repo_run(repo, &clear, &args, &n);
    if (r == 0)
        *ret_was_paused = n > 0;
    return r;
}
