#include "profile_listings.h"

#include "merged.h"
#include "pg.h"

#define CHAIN_OF_ASKED                                                                                                 \
    CHAIN("SELECT i.uuid, i.uuid, i.merged_into_uuid, 0 FROM asked"                                                    \
          " JOIN attacker_identities i ON i.uuid = asked.identity")

int profile_find(Repo *repo, Arena *arena, Str word, FoundProfile *ret)
{
    static const Statement find = {
        .name = "profile_find",
        .shape = SHAPE_ROWS,
        .sql = "WITH asked AS MATERIALIZED (SELECT * FROM ("
               "  SELECT uuid AS identity, NULL AS ip, 1 AS rank FROM attacker_identities WHERE uuid = $1"
               "  UNION ALL SELECT identity_id, ip, 2 FROM attackers WHERE uuid = $1"
               "  UNION ALL SELECT identity_id, ip, 3 FROM attackers WHERE ip = $2) a ORDER BY rank LIMIT 1)"
               " SELECT identity, ip, (SELECT uuid FROM (" CHAIN_OF_ASKED ") c) FROM asked"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    char ip[IP_TEXT_BYTES];
    Uuid uuid;

    arg_uuid(&args, uuid_parse_text(word, &uuid) ? &uuid : NULL);
    arg_str(&args, ip_canonical(word, ip) ? str_from(ip) : (Str){0});
    *ret = (FoundProfile){.kind = PROFILE_NOBODY};
    int r = repo_exec(repo, &find, &args, &result);
    if (r != 0 || PQntuples(result) == 0)
        return r;
    ret->kind = res_null(result, 0, 2) ? PROFILE_WITHOUT_IDENTITY : PROFILE_FOUND;
    ret->address = str_dup(arena, res_str(result, 0, 1));
    if (ret->kind == PROFILE_FOUND) {
        ret->asked = res_uuid(result, 0, 0);
        ret->identity = res_uuid(result, 0, 2);
    }
    return 0;
}

/* --- what belongs to a profile --- */

#define MEMBERS ATTACKERS_OF("k.identity_uuid", "a.ip, a.last_seen, a.uuid")

static int read_attackers(Repo *repo, Arena *arena, ListedProfile *profiles, size_t n)
{
    static const Statement read = {
        .name = "profile_attackers",
        .shape = SHAPE_ROWS,
        .sql = "SELECT k.n, m.ip, m.total FROM unnest($1::uuid[]) WITH ORDINALITY AS k (identity_uuid, n)"
               " CROSS JOIN LATERAL (SELECT a.*, count(*) OVER () AS total FROM " MEMBERS " a"
               "  ORDER BY a.last_seen DESC, a.uuid LIMIT $2) m ORDER BY k.n, m.last_seen DESC, m.uuid"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_uuids(&args, &profiles[0].identity, sizeof(profiles[0]), n);
    arg_int8(&args, PROFILE_ADDRESSES);
    int r = repo_exec(repo, &read, &args, &result);
    if (r != 0)
        return r;
    Str *texts = arena_calloc(arena, (size_t)PQntuples(result) + 1, sizeof(*texts));
    for (int i = 0; i < PQntuples(result); i++) {
        ListedProfile *p = &profiles[res_int(result, i, 0) - 1];
        if (p->n_addresses++ == 0)
            p->addresses = &texts[i];
        texts[i] = str_dup(arena, res_str(result, i, 1));
        p->n_attackers = res_int(result, i, 2);
    }
    return 0;
}

static int read_states(Repo *repo, Arena *arena, ListedProfile *profiles, size_t n, double since_ts)
{
    static const Statement read = {
        .name = "profile_states",
        .shape = SHAPE_ROWS,
        .sql = "SELECT k.n, s.primitive, s.state, s.current_value, s.confidence, s.observation_count, s.last_change_ts,"
               " s.last_observation_ts FROM unnest($1::uuid[]) WITH ORDINALITY AS k (identity_uuid, n)"
               " JOIN attribution_state s ON s.identity_uuid = k.identity_uuid"
               " WHERE s.last_change_ts >= $2 ORDER BY k.n, s.primitive COLLATE \"C\""};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_uuids(&args, &profiles[0].identity, sizeof(profiles[0]), n);
    arg_float8(&args, since_ts);
    int r = repo_exec(repo, &read, &args, &result);
    if (r != 0)
        return r;
    ListedState *states = arena_calloc(arena, (size_t)PQntuples(result) + 1, sizeof(*states));
    for (int i = 0; i < PQntuples(result); i++) {
        ListedProfile *p = &profiles[res_int(result, i, 0) - 1];
        if (p->n_states++ == 0)
            p->states = &states[i];
        states[i] = (ListedState){.primitive = str_dup(arena, res_str(result, i, 1)),
                                  .state = {.exists = true,
                                            .state = str_dup(arena, res_str(result, i, 2)),
                                            .current_value = str_dup(arena, res_str(result, i, 3)),
                                            .confidence = res_double(result, i, 4),
                                            .observation_count = res_int(result, i, 5),
                                            .last_change_ts = res_double(result, i, 6),
                                            .last_observation_ts = res_double(result, i, 7)}};
    }
    return 0;
}

int profiles_read(Repo *repo, Arena *arena, ListedProfile *profiles, size_t n, double since_ts)
{
    if (n == 0)
        return 0;
    int r = read_attackers(repo, arena, profiles, n);
    return r ? r : read_states(repo, arena, profiles, n, since_ts);
}

/* --- lists --- */

/* Rows: identity, total, and what @take reads from the third column on. */
static int list(Repo *repo, Arena *arena, const Statement *s, Args *args,
                void (*take)(Arena *arena, const PGresult *r, int row, ListedProfile *ret), ListedProfile **ret,
                size_t *ret_n, int64_t *ret_total)
{
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = repo_exec(repo, s, args, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret_total = *ret_n ? res_int(result, 0, 1) : 0;
    *ret = arena_calloc(arena, *ret_n + 1, sizeof(**ret));
    for (int i = 0; i < (int)*ret_n; i++) {
        (*ret)[i] = (ListedProfile){.identity = res_uuid(result, i, 0), .announced_us = TIME_NONE};
        if (take)
            take(arena, result, i, &(*ret)[i]);
    }
    return 0;
}

#define LIVE(of) " JOIN attacker_identities i ON i.uuid = " of ".identity_uuid AND i.merged_into_uuid IS NULL"

static void take_change(Arena *arena, const PGresult *r, int row, ListedProfile *ret)
{
    (void)arena;
    ret->changed_ts = res_double(r, row, 2);
}

int profiles_changed(Repo *repo, Arena *arena, double since_ts, int64_t limit, ListedProfile **ret, size_t *ret_n,
                     int64_t *ret_total)
{
    static const Statement read = {
        .name = "profiles_changed",
        .shape = SHAPE_ROWS,
        .plan_anew = true, /* how far back it goes decides on the index */
        .sql = "SELECT s.identity_uuid, count(*) OVER (), max(s.last_change_ts) FROM attribution_state s" LIVE(
            "s") " WHERE s.last_change_ts >= $1 GROUP BY s.identity_uuid"
                 " ORDER BY max(s.last_change_ts) DESC, s.identity_uuid LIMIT $2"};
    cleanup(args_free) Args args = {0};

    arg_float8(&args, since_ts);
    arg_int8(&args, limit);
    return list(repo, arena, &read, &args, take_change, ret, ret_n, ret_total);
}

static void take_suspicion(Arena *arena, const PGresult *r, int row, ListedProfile *ret)
{
    ret->announced_us = res_time(r, row, 2);
    ret->announced = str_dup(arena, res_str(r, row, 3));
}

int profiles_suspected(Repo *repo, Arena *arena, int64_t limit, ListedProfile **ret, size_t *ret_n, int64_t *ret_total)
{
    static const Statement read = {.name = "profiles_suspected",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT m.identity_uuid, count(*) OVER (), m.announced_at,"
                                          " to_json(m.primitives)::text FROM multi_actor_announced m" LIVE(
                                              "m") " ORDER BY m.announced_at DESC, m.identity_uuid LIMIT $1"};
    cleanup(args_free) Args args = {0};

    arg_int8(&args, limit);
    return list(repo, arena, &read, &args, take_suspicion, ret, ret_n, ret_total);
}

int profiles_telling(Repo *repo, Arena *arena, int64_t limit, ListedProfile **ret, size_t *ret_n, int64_t *ret_total)
{
#define IN_STATE(name) " count(*) FILTER (WHERE s.state = '" name "') DESC,"
    static const Statement read = {
        .name = "profiles_telling",
        .shape = SHAPE_ROWS,
        .sql = "SELECT s.identity_uuid, count(*) OVER () FROM attribution_state s" LIVE(
            "s") " GROUP BY s.identity_uuid"
                 " ORDER BY" IN_STATE("multi_actor") IN_STATE("drifting") IN_STATE("conflicted")
                     IN_STATE("stable") " max(s.observation_count) DESC, s.identity_uuid LIMIT $1"};
    cleanup(args_free) Args args = {0};

    arg_int8(&args, limit);
    return list(repo, arena, &read, &args, NULL, ret, ret_n, ret_total);
}

int profile_state_counts(Repo *repo, Arena *arena, StateCount **ret, size_t *ret_n)
{
    static const Statement read = {.name = "profile_state_counts",
                                   .shape = SHAPE_ROWS,
                                   .sql = "SELECT s.state, count(*) FROM attribution_state s" LIVE(
                                       "s") " GROUP BY s.state ORDER BY s.state COLLATE \"C\""};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = repo_exec(repo, &read, NULL, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret = arena_calloc(arena, *ret_n + 1, sizeof(**ret));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret)[i] = (StateCount){str_dup(arena, res_str(result, i, 0)), res_int(result, i, 1)};
    return 0;
}

/* --- marks --- */

int profiles_mark_all(Repo *repo, int64_t *ret_n)
{
    static const Statement mark = {
        .name = "profiles_mark_all",
        .shape = SHAPE_NONE,
        .sql = "INSERT INTO attribution_dirty (identity_uuid) SELECT i.uuid FROM attacker_identities i"
               " WHERE i.merged_into_uuid IS NULL AND NOT EXISTS (SELECT FROM attribution_dirty d"
               "  WHERE d.identity_uuid = i.uuid AND d.primitive IS NULL) ORDER BY i.uuid"};
    return repo_run(repo, &mark, NULL, ret_n);
}
