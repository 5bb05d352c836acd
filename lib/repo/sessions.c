#include "sessions.h"

#include "pg.h"

#define SESSION_COLUMNS                                                                                                \
    "sid, attacker_uuid, src_ip, src_port, decky, service, origin, origin_session, started_at, last_event_at, "        \
    "ended_at,"                                                                                                        \
    " ended_reason, duration_s, username, login_ok, login_attempts, client_version, hassh, commands, artifacts,"       \
    " forwards, parts_sent, commands_sent, shard_path, state, pending, source_id"

static StoredSession read_session(Arena *arena, const PGresult *r, int row)
{
    int c = 0;
    StoredSession s = {0};
    s.sid = res_uuid(r, row, c++);
    s.attacker_uuid = res_uuid(r, row, c++);
    s.src_ip = str_dup(arena, res_str(r, row, c++));
    s.src_port = res_null(r, row, c) ? -1 : res_int(r, row, c);
    c++;
    s.decky = str_dup(arena, res_str(r, row, c++));
    s.service = str_dup(arena, res_str(r, row, c++));
    s.origin = str_dup(arena, res_str(r, row, c++));
    s.origin_session = str_dup(arena, res_str(r, row, c++));
    s.started_at_us = res_time(r, row, c++);
    s.last_event_at_us = res_time(r, row, c++);
    s.ended_at_us = res_time(r, row, c++);
    s.ended_reason = str_dup(arena, res_str(r, row, c++));
    s.duration_s = res_double(r, row, c++);
    s.username = str_dup(arena, res_str(r, row, c++));
    s.login_ok = res_bool(r, row, c++);
    s.login_attempts = res_int(r, row, c++);
    s.client_version = str_dup(arena, res_str(r, row, c++));
    s.hassh = str_dup(arena, res_str(r, row, c++));
    s.commands = res_int(r, row, c++);
    s.artifacts = res_int(r, row, c++);
    s.forwards = res_int(r, row, c++);
    s.parts_sent = res_int(r, row, c++);
    s.commands_sent = res_int(r, row, c++);
    s.shard_path = str_dup(arena, res_str(r, row, c++));
    s.state = str_dup(arena, res_str(r, row, c++));
    s.pending = res_bool(r, row, c++);
    s.source_id = str_dup(arena, res_str(r, row, c++));
    return s;
}

static int read_sessions(Repo *repo, Arena *arena, const Statement *statement, Args *args, StoredSession **ret_rows,
                         size_t *ret_n)
{
    cleanup(pgresult_freep) PGresult *result = NULL;
    int r = repo_exec(repo, statement, args, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret_rows = arena_calloc(arena, *ret_n + 1, sizeof(**ret_rows));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret_rows)[i] = read_session(arena, result, i);
    return 0;
}

int sessions_read(Repo *repo, Arena *arena, const Uuid *sids, size_t n, StoredSession **ret_rows, size_t *ret_n)
{
    static const Statement read = {.name = "sessions_read",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT " SESSION_COLUMNS " FROM attacker_session WHERE sid = ANY ($1)"};
    cleanup(args_free) Args args = {0};

    arg_uuids(&args, sids, sizeof(*sids), n);
    return read_sessions(repo, arena, &read, &args, ret_rows, ret_n);
}

int sessions_pending(Repo *repo, Arena *arena, Str source_id, StoredSession **ret_rows, size_t *ret_n)
{
    static const Statement read = {.name = "sessions_pending",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT " SESSION_COLUMNS
                                          " FROM attacker_session WHERE pending AND source_id = $1 ORDER BY sid"};
    cleanup(args_free) Args args = {0};
    arg_str(&args, source_id);
    return read_sessions(repo, arena, &read, &args, ret_rows, ret_n);
}

int sessions_announced(Repo *repo, Arena *arena, const SessionPlace *after, int64_t until_us, int64_t limit,
                       StoredSession **ret_rows, size_t *ret_n)
{
    static const Statement read = {.name = "sessions_announced",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT " SESSION_COLUMNS " FROM attacker_session"
                                          " WHERE parts_sent > 0 AND NOT pending AND (ended_at, sid) > ($1, $2)"
                                          " AND ended_at < COALESCE($3, 'infinity') ORDER BY ended_at, sid LIMIT $4"};
    cleanup(args_free) Args args = {0};

    arg_time(&args, after->ended_at_us);
    arg_uuid(&args, &after->sid);
    arg_time(&args, until_us);
    arg_int8(&args, limit);
    return read_sessions(repo, arena, &read, &args, ret_rows, ret_n);
}

static void bind_sessions(Args *args, const StoredSession *rows, const UuidOrder *order, size_t n)
{
    ArgArray *sid = arg_array(args, PG_UUID), *attacker = arg_array(args, PG_UUID), *ip = arg_array(args, PG_TEXT),
             *port = arg_array(args, PG_INT4), *decky = arg_array(args, PG_TEXT), *service = arg_array(args, PG_TEXT),
             *origin = arg_array(args, PG_TEXT), *origin_session = arg_array(args, PG_TEXT),
             *started = arg_array(args, PG_TIMESTAMPTZ), *last = arg_array(args, PG_TIMESTAMPTZ),
             *ended = arg_array(args, PG_TIMESTAMPTZ), *reason = arg_array(args, PG_TEXT),
             *duration = arg_array(args, PG_FLOAT8), *username = arg_array(args, PG_TEXT),
             *ok = arg_array(args, PG_BOOL), *attempts = arg_array(args, PG_INT4), *version = arg_array(args, PG_TEXT),
             *hassh = arg_array(args, PG_TEXT), *commands = arg_array(args, PG_INT4),
             *artifacts = arg_array(args, PG_INT4), *forwards = arg_array(args, PG_INT4),
             *parts = arg_array(args, PG_INT4), *sent = arg_array(args, PG_INT4), *shard = arg_array(args, PG_TEXT),
             *state = arg_array(args, PG_JSONB), *pending = arg_array(args, PG_BOOL),
             *source = arg_array(args, PG_TEXT);
    for (size_t i = 0; i < n; i++) {
        const StoredSession *s = &rows[order[i].index];
        array_uuid(sid, &s->sid);
        array_uuid(attacker, &s->attacker_uuid);
        array_str(ip, s->src_ip);
        s->src_port < 0 ? array_null(port) : array_int4(port, (int32_t)s->src_port);
        array_str(decky, s->decky);
        array_str(service, s->service);
        array_str(origin, s->origin);
        array_str(origin_session, s->origin_session);
        array_time(started, s->started_at_us);
        array_time(last, s->last_event_at_us);
        array_time(ended, s->ended_at_us);
        array_str(reason, s->ended_reason);
        s->ended_at_us == TIME_NONE ? array_null(duration) : array_float8(duration, s->duration_s);
        array_str(username, s->username);
        array_bool(ok, s->login_ok);
        array_int4(attempts, (int32_t)s->login_attempts);
        array_str(version, s->client_version);
        array_str(hassh, s->hassh);
        array_int4(commands, (int32_t)s->commands);
        array_int4(artifacts, (int32_t)s->artifacts);
        array_int4(forwards, (int32_t)s->forwards);
        array_int4(parts, (int32_t)s->parts_sent);
        array_int4(sent, (int32_t)s->commands_sent);
        array_str(shard, s->shard_path);
        array_json(state, s->state.data ? s->state : STR("{}"));
        array_bool(pending, s->pending);
        array_str(source, s->source_id);
    }
}

SessionMark session_mark(const StoredSession *row)
{
    return (SessionMark){.sid = row->sid,
                         .last_event_us = row->last_event_at_us,
                         .ended_us = row->ended_at_us,
                         .steps =
                             row->commands + row->artifacts + row->forwards + row->login_attempts + row->parts_sent};
}

int sessions_check(Repo *repo, const SessionMark *marks, size_t n)
{
    static const Statement check = {
        .name = "sessions_check",
        .shape = SHAPE_ROW,
        .sql = "SELECT count(*) FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::int8[])"
               "  AS m (sid, last_event, ended, steps) JOIN attacker_session s ON s.sid = m.sid"
               " WHERE s.last_event_at IS DISTINCT FROM m.last_event OR s.ended_at IS DISTINCT FROM m.ended"
               "  OR s.commands::int8 + s.artifacts + s.forwards + s.login_attempts + s.parts_sent <> m.steps"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (n == 0)
        return 0;
    ArgArray *sid = arg_array(&args, PG_UUID), *last = arg_array(&args, PG_TIMESTAMPTZ),
             *ended = arg_array(&args, PG_TIMESTAMPTZ), *steps = arg_array(&args, PG_INT8);
    for (size_t i = 0; i < n; i++) {
        array_uuid(sid, &marks[i].sid);
        array_time(last, marks[i].last_event_us);
        array_time(ended, marks[i].ended_us);
        array_int8(steps, marks[i].steps);
    }
    int r = repo_exec(repo, &check, &args, &result);
    if (r == 0 && res_int(result, 0, 0) > 0) {
        r = repo_fail(repo, REPO_E_FENCED, check.name, "%lld sessions are not as this ingester left them",
                      (long long)res_int(result, 0, 0));
        repo_hint(repo, "another ingester reads lines of the same sessions: stop one of the two");
    }
    return r;
}

int sessions_upsert(Repo *repo, const StoredSession *rows, size_t n)
{
    static const Statement upsert = {
        .name = "sessions_upsert",
        .shape = SHAPE_NONE,
        .sql =
            "INSERT INTO attacker_session (" SESSION_COLUMNS
            ") SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[],"
            "  $4::int[], $5::text[], $6::text[], $7::text[], $8::text[], $9::timestamptz[], $10::timestamptz[],"
            "  $11::timestamptz[], $12::text[], $13::float8[], $14::text[], $15::bool[], $16::int[], $17::text[],"
            "  $18::text[], $19::int[], $20::int[], $21::int[], $22::int[], $23::int[], $24::text[], $25::jsonb[],"
            "  $26::bool[], $27::text[])"
            " ON CONFLICT (sid) DO UPDATE SET service = EXCLUDED.service, src_port = EXCLUDED.src_port,"
            "  started_at = EXCLUDED.started_at, last_event_at = EXCLUDED.last_event_at, ended_at = EXCLUDED.ended_at,"
            "  ended_reason = EXCLUDED.ended_reason, duration_s = EXCLUDED.duration_s, username = EXCLUDED.username,"
            "  login_ok = EXCLUDED.login_ok, login_attempts = EXCLUDED.login_attempts,"
            "  client_version = EXCLUDED.client_version, hassh = EXCLUDED.hassh, commands = EXCLUDED.commands,"
            "  artifacts = EXCLUDED.artifacts, forwards = EXCLUDED.forwards,"
            "  parts_sent = EXCLUDED.parts_sent, commands_sent = EXCLUDED.commands_sent, shard_path = "
            "EXCLUDED.shard_path,"
            "  state = EXCLUDED.state, pending = EXCLUDED.pending, source_id = EXCLUDED.source_id"};
    cleanup(args_free) Args args = {0};

    if (n == 0)
        return 0;
    cleanup(freep) UuidOrder *order = uuid_order(&rows[0].sid, sizeof(rows[0]), n);
    bind_sessions(&args, rows, order, n);
    return repo_run(repo, &upsert, &args, NULL);
}

int session_commands_insert(Repo *repo, const StoredCommand *rows, size_t n)
{
    static const Statement insert = {
        .name = "session_commands_insert",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO session_command (sid, ordinal, ts, command, truncated, source_event_id)"
               " SELECT * FROM unnest($1::uuid[], $2::int[], $3::timestamptz[], $4::text[], $5::bool[], $6::uuid[])"
               " ON CONFLICT (sid, ordinal) DO NOTHING"};
    cleanup(args_free) Args args = {0};

    if (n == 0)
        return 0;
    ArgArray *sid = arg_array(&args, PG_UUID), *ordinal = arg_array(&args, PG_INT4),
             *ts = arg_array(&args, PG_TIMESTAMPTZ), *command = arg_array(&args, PG_TEXT),
             *truncated = arg_array(&args, PG_BOOL), *id = arg_array(&args, PG_UUID);
    for (size_t i = 0; i < n; i++) {
        array_uuid(sid, &rows[i].sid);
        array_int4(ordinal, (int32_t)rows[i].ordinal);
        array_time(ts, rows[i].ts_us);
        array_str(command, rows[i].command);
        array_bool(truncated, rows[i].truncated);
        array_uuid(id, &rows[i].source_event_id);
    }
    return repo_run(repo, &insert, &args, NULL);
}

int session_commands_failed(Repo *repo, const CommandFailed *rows, size_t n)
{
    static const Statement mark = {
        .name = "session_commands_failed",
        .shape = SHAPE_NONE,
        .sql = "UPDATE session_command c SET errored = true"
               " FROM (SELECT DISTINCT i.sid, (SELECT max(x.ordinal) FROM session_command x WHERE x.sid = i.sid"
               "   AND x.ordinal >= i.lower AND x.ordinal < i.upper AND strpos(x.command, i.command) > 0) AS ordinal"
               "  FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[]) AS i (sid, command, lower, upper)) f"
               " WHERE c.sid = f.sid AND c.ordinal = f.ordinal AND NOT c.errored"};
    cleanup(args_free) Args args = {0};

    if (n == 0)
        return 0;
    ArgArray *sid = arg_array(&args, PG_UUID), *command = arg_array(&args, PG_TEXT), *from = arg_array(&args, PG_INT4),
             *to = arg_array(&args, PG_INT4);
    for (size_t i = 0; i < n; i++) {
        array_uuid(sid, &rows[i].sid);
        array_str(command, rows[i].command);
        array_int4(from, (int32_t)rows[i].from);
        array_int4(to, (int32_t)rows[i].to);
    }
    return repo_run(repo, &mark, &args, NULL);
}

int session_commands_read(Repo *repo, Arena *arena, const Uuid *sid, int64_t from, int64_t to, int64_t limit,
                          StoredCommand **ret_rows, size_t *ret_n)
{
    static const Statement read = {
        .name = "session_commands_read",
        .shape = SHAPE_ROWS,
        .sql = "SELECT ordinal, ts, command, truncated, errored, source_event_id FROM session_command"
               " WHERE sid = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal LIMIT $4"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_uuid(&args, sid);
    arg_int4(&args, (int32_t)from);
    arg_int4(&args, (int32_t)to);
    arg_int8(&args, limit);
    int r = repo_exec(repo, &read, &args, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret_rows = arena_calloc(arena, *ret_n + 1, sizeof(**ret_rows));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret_rows)[i] = (StoredCommand){.sid = *sid,
                                         .ordinal = res_int(result, i, 0),
                                         .ts_us = res_time(result, i, 1),
                                         .command = str_dup(arena, res_str(result, i, 2)),
                                         .truncated = res_bool(result, i, 3),
                                         .errored = res_bool(result, i, 4),
                                         .source_event_id = res_uuid(result, i, 5)};
    return 0;
}
