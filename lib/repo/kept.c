/* deferred_event and dead_letter: records kept aside, with their coordinates and bytes. */
#include "pg.h"
#include "runtime.h"

/* Parameters $2 to $8 of both inserts, in this order. */
static void bind_records(Args *args, const KeptRecord *records, size_t n)
{
    ArgArray *topic = arg_array(args, PG_TEXT), *partition = arg_array(args, PG_INT4),
             *offset = arg_array(args, PG_INT8), *time = arg_array(args, PG_TIMESTAMPTZ),
             *key = arg_array(args, PG_BYTEA), *value = arg_array(args, PG_BYTEA), *headers = arg_array(args, PG_JSONB);
    for (size_t i = 0; i < n; i++) {
        const KeptRecord *k = &records[i];
        array_str(topic, str_from(k->topic));
        array_int4(partition, k->partition);
        array_int8(offset, k->offset);
        array_time(time, k->record_time_us);
        array_bytes(key, k->key);
        array_bytes(value, k->value);
        array_json(headers, k->headers_json.data ? k->headers_json : STR("[]"));
    }
}

int deferred_insert(Repo *repo, const char *group, const KeptRecord *records, size_t n)
{
    static const Statement insert = {
        .name = "deferred_insert",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO deferred_event (group_name, topic, partition, \"offset\", record_time, key, value, headers,"
               " wait_ip, wait_uuid, attempts, next_attempt_at)"
               " SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[], $5::timestamptz[], $6::bytea[], "
               "$7::bytea[],"
               "  $8::jsonb[], $9::text[], $10::uuid[], $11::int[], $12::timestamptz[])"
               " ON CONFLICT ON CONSTRAINT uq_deferred_event DO NOTHING"};
    cleanup(args_free) Args args = {0};

    arg_cstr(&args, group);
    bind_records(&args, records, n);
    ArgArray *ip = arg_array(&args, PG_TEXT), *uuid = arg_array(&args, PG_UUID), *attempts = arg_array(&args, PG_INT4),
             *next = arg_array(&args, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < n; i++) {
        array_str(ip, records[i].wait_ip && *records[i].wait_ip ? str_from(records[i].wait_ip) : (Str){0});
        array_uuid(uuid, records[i].wait_uuid);
        array_int4(attempts, records[i].attempts);
        array_time(next, records[i].next_attempt_us);
    }
    return repo_run(repo, &insert, &args, NULL);
}

int deferred_due(Repo *repo, const char *group, bool look_for_rows, int limit, int64_t *ret_ids, size_t *ret_n)
{
    static const Statement due = {
        .name = "deferred_due",
        .shape = SHAPE_ROWS,
        .sql = "SELECT id FROM deferred_event d WHERE group_name = $1 AND (next_attempt_at <= decnet_now()"
               " OR ($2 AND (EXISTS (SELECT FROM attackers a WHERE a.ip = d.wait_ip)"
               "  OR EXISTS (SELECT FROM attackers a WHERE a.uuid = d.wait_uuid)))) ORDER BY id LIMIT $3"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_cstr(&args, group);
    arg_bool(&args, look_for_rows);
    arg_int8(&args, limit);
    int r = repo_exec(repo, &due, &args, &result);
    *ret_n = r == 0 ? (size_t)PQntuples(result) : 0;
    for (size_t i = 0; i < *ret_n; i++)
        ret_ids[i] = res_int(result, (int)i, 0);
    return r;
}

int deferred_claim(Repo *repo, Arena *arena, const int64_t *ids, size_t n, KeptRecord **ret_records, size_t *ret_n)
{
    static const Statement claim = {
        .name = "deferred_claim",
        .shape = SHAPE_ROWS,
        .sql = "SELECT id, topic, partition, \"offset\", record_time, key, value, headers, attempts, first_seen"
               " FROM deferred_event WHERE id = ANY ($1) ORDER BY id FOR UPDATE SKIP LOCKED"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_ids(&args, ids, n);
    int r = repo_exec(repo, &claim, &args, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret_records = arena_calloc(arena, *ret_n + 1, sizeof(**ret_records));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret_records)[i] = (KeptRecord){
            .id = res_int(result, i, 0),
            .topic = str_cstr(arena, res_str(result, i, 1)),
            .partition = (int32_t)res_int(result, i, 2),
            .offset = res_int(result, i, 3),
            .record_time_us = res_time(result, i, 4),
            .key = str_dup(arena, res_str(result, i, 5)),
            .value = str_dup(arena, res_str(result, i, 6)),
            .headers_json = str_dup(arena, res_str(result, i, 7)),
            .attempts = (int)res_int(result, i, 8),
            .first_seen_us = res_time(result, i, 9),
        };
    return 0;
}

int deferred_delete(Repo *repo, const int64_t *ids, size_t n)
{
    static const Statement delete = {
        .name = "deferred_delete", .shape = SHAPE_NONE, .sql = "DELETE FROM deferred_event WHERE id = ANY ($1)"};
    cleanup(args_free) Args args = {0};
    arg_ids(&args, ids, n);
    return repo_run(repo, &delete, &args, NULL);
}

int deferred_postpone(Repo *repo, const KeptRecord *records, size_t n)
{
    static const Statement postpone = {
        .name = "deferred_postpone",
        .shape = SHAPE_NONE,
        .sql =
            "UPDATE deferred_event d SET attempts = i.attempts, next_attempt_at = i.next_at"
            " FROM unnest($1::bigint[], $2::int[], $3::timestamptz[]) AS i (id, attempts, next_at) WHERE d.id = i.id"};
    cleanup(args_free) Args args = {0};
    ArgArray *id = arg_array(&args, PG_INT8), *attempts = arg_array(&args, PG_INT4),
             *next = arg_array(&args, PG_TIMESTAMPTZ);
    for (size_t i = 0; i < n; i++) {
        array_int8(id, records[i].id);
        array_int4(attempts, records[i].attempts);
        array_time(next, records[i].next_attempt_us);
    }
    return repo_run(repo, &postpone, &args, NULL);
}

int deferred_count(Repo *repo, const char *group, int64_t *ret_n, int64_t *ret_next_us)
{
    static const Statement count = {
        .name = "deferred_count",
        .shape = SHAPE_ROW,
        .sql = "SELECT count(*), min(next_attempt_at) FROM deferred_event WHERE group_name = $1"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_cstr(&args, group);
    int r = repo_exec(repo, &count, &args, &result);
    if (r == 0) {
        *ret_n = res_int(result, 0, 0);
        *ret_next_us = res_time(result, 0, 1);
    }
    return r;
}

int dead_letter_insert(Repo *repo, const char *group, const KeptRecord *records, size_t n)
{
    static const Statement insert = {
        .name = "dead_letter_insert",
        .shape = SHAPE_NONE,
        .sql =
            "INSERT INTO dead_letter AS d (group_name, topic, partition, \"offset\", first_seen, key, value, headers,"
            " reason, sqlstate, message, event_id, attempts)"
            " SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[], $5::timestamptz[], $6::bytea[], "
            "$7::bytea[],"
            "  $8::jsonb[], $9::text[], $10::text[], $11::text[], $12::uuid[], $13::int[])"
            " ON CONFLICT ON CONSTRAINT uq_dead_letter DO UPDATE SET attempts = d.attempts + 1, reason = "
            "EXCLUDED.reason,"
            "  sqlstate = EXCLUDED.sqlstate, message = EXCLUDED.message"};
    cleanup(args_free) Args args = {0};

    arg_cstr(&args, group);
    bind_records(&args, records, n);
    ArgArray *reason = arg_array(&args, PG_TEXT), *sqlstate = arg_array(&args, PG_TEXT),
             *message = arg_array(&args, PG_TEXT), *event_id = arg_array(&args, PG_UUID),
             *attempts = arg_array(&args, PG_INT4);
    for (size_t i = 0; i < n; i++) {
        array_str(reason, str_from(records[i].reason));
        array_str(sqlstate, records[i].sqlstate && *records[i].sqlstate ? str_from(records[i].sqlstate) : (Str){0});
        array_str(message, str_from(records[i].message));
        array_uuid(event_id, records[i].event_id);
        array_int4(attempts, MAX(records[i].attempts, 1));
    }
    return repo_run(repo, &insert, &args, NULL);
}
