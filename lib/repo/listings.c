#include "listings.h"

#include "pg.h"

static Str text_of(Arena *arena, const PGresult *r, int row, int col)
{
    return str_dup(arena, res_str(r, row, col));
}

/* At most one row (uuid, name) answers; @args are of @s. */
static int find_one(Repo *repo, Arena *arena, const Statement *s, Args *args, int kind, TagScope *ret)
{
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = repo_exec(repo, s, args, &result);
    if (r == 0 && PQntuples(result) > 0)
        *ret = (TagScope){.kind = kind, .uuid = res_uuid(result, 0, 0), .name = text_of(arena, result, 0, 1)};
    return r;
}

static int find_attacker(Repo *repo, Arena *arena, Str ip, const Uuid *uuid, TagScope *ret)
{
    static const Statement find = {.name = "tag_scope_attacker",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT uuid, ip FROM attackers WHERE ip = $1 OR uuid = $2"};
    cleanup(args_free) Args args = {0};

    arg_str(&args, ip);
    arg_uuid(&args, uuid);
    return find_one(repo, arena, &find, &args, SCOPE_ATTACKER, ret);
}

/* A session that was assembled here, by our id or the honeypot's; else one that only tags speak of. */
static int find_session(Repo *repo, Arena *arena, Str word, const Uuid *uuid, TagScope *ret)
{
    static const Statement ours = {.name = "tag_scope_session",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT attacker_uuid, sid::text FROM attacker_session"
                                          " WHERE sid = $2 OR ($2 IS NULL AND origin_session = $1)"
                                          " ORDER BY started_at DESC, sid LIMIT 1"};
    static const Statement tagged = {.name = "tag_scope_tagged",
                                     .shape = SHAPE_ROWS,
                                     .sql = "SELECT attacker_uuid, session_id FROM ttp_tag WHERE session_id = $1"
                                            " LIMIT 1"};
    cleanup(args_free) Args by_id = {0}, by_tag = {0};

    arg_str(&by_id, word);
    arg_uuid(&by_id, uuid);
    int r = find_one(repo, arena, &ours, &by_id, SCOPE_SESSION, ret);
    if (r != 0 || ret->kind != SCOPE_NOBODY)
        return r;
    arg_str(&by_tag, word);
    return find_one(repo, arena, &tagged, &by_tag, SCOPE_SESSION, ret);
}

int tag_scope_find(Repo *repo, Arena *arena, Str word, TagScope *ret)
{
    char ip[IP_TEXT_BYTES];
    Uuid uuid;
    bool is_ip = ip_canonical(word, ip), is_uuid = uuid_parse_text(word, &uuid);
    int r = 0;

    *ret = (TagScope){.kind = SCOPE_NOBODY};
    if (is_ip || is_uuid)
        r = find_attacker(repo, arena, is_ip ? str_from(ip) : (Str){0}, is_uuid ? &uuid : NULL, ret);
    if (r == 0 && ret->kind == SCOPE_NOBODY && !is_ip)
        r = find_session(repo, arena, word, is_uuid ? &uuid : NULL, ret);
    return r;
}

int tag_list(Repo *repo, Arena *arena, const TagScope *scope, int64_t limit, ListedTag **ret, size_t *ret_n,
             int64_t *ret_total)
{
#define TAG_LIST(name_, where)                                                                                         \
    {                                                                                                                  \
        .name = name_, .shape = SHAPE_ROWS,                                                                            \
        .sql = "SELECT * FROM (SELECT observed_at, technique_id, sub_technique_id, tactic, rule_id, rule_version,"     \
               " source_kind, session_id, confidence, evidence->>'command_text', uuid::text, count(*) OVER ()"         \
               " FROM ttp_tag WHERE " where " ORDER BY observed_at DESC NULLS LAST, uuid DESC LIMIT $2) t"             \
               " ORDER BY observed_at NULLS FIRST, uuid"                                                               \
    }
    static const Statement by_attacker = TAG_LIST("tag_list_attacker", "attacker_uuid = $1"),
                           by_session = TAG_LIST("tag_list_session", "session_id = $1");
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    if (scope->kind == SCOPE_ATTACKER)
        arg_uuid(&args, &scope->uuid);
    else
        arg_str(&args, scope->name);
    arg_int8(&args, limit);
    int r = repo_exec(repo, scope->kind == SCOPE_ATTACKER ? &by_attacker : &by_session, &args, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret_total = *ret_n ? res_int(result, 0, 11) : 0;
    *ret = arena_calloc(arena, *ret_n + 1, sizeof(**ret));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret)[i] = (ListedTag){.observed_at_us = res_time(result, i, 0),
                                .technique_id = text_of(arena, result, i, 1),
                                .sub_technique_id = text_of(arena, result, i, 2),
                                .tactic = text_of(arena, result, i, 3),
                                .rule_id = text_of(arena, result, i, 4),
                                .rule_version = res_int(result, i, 5),
                                .source_kind = text_of(arena, result, i, 6),
                                .session_id = text_of(arena, result, i, 7),
                                .confidence = res_double(result, i, 8),
                                .example = text_of(arena, result, i, 9),
                                .uuid = text_of(arena, result, i, 10)};
    return 0;
}

int outbox_list(Repo *repo, Arena *arena, OutboxProducer **ret, size_t *ret_n)
{
    static const Statement list = {.name = "outbox_list",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT producer, count(*), sum(n), sum(length(events)),"
                                          " GREATEST(extract(epoch FROM decnet_now() - min(created_at)), 0)::float8"
                                          " FROM event_outbox GROUP BY producer ORDER BY producer COLLATE \"C\""};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = repo_exec(repo, &list, NULL, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret = arena_calloc(arena, *ret_n + 1, sizeof(**ret));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret)[i] = (OutboxProducer){.producer = text_of(arena, result, i, 0),
                                     .rows = res_int(result, i, 1),
                                     .events = res_int(result, i, 2),
                                     .bytes = res_int(result, i, 3),
                                     .oldest_s = res_double(result, i, 4)};
    return 0;
}

int pause_list(Repo *repo, Arena *arena, PausedGroup **ret, size_t *ret_n)
{
    static const Statement list = {.name = "pause_list",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT group_name, reason, since FROM group_pause"
                                          " ORDER BY group_name COLLATE \"C\""};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = repo_exec(repo, &list, NULL, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret = arena_calloc(arena, *ret_n + 1, sizeof(**ret));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret)[i] = (PausedGroup){text_of(arena, result, i, 0), text_of(arena, result, i, 1), res_time(result, i, 2)};
    return 0;
}
