#include "summary.h"

#include "pg.h"

int summary_counts(Repo *repo, SummaryCounts *ret)
{
    static const Statement counts = {
        .name = "summary_counts",
        .shape = SHAPE_ROW,
        .sql = "SELECT (SELECT count(*) FROM logs WHERE event_type <> 'session_recorded'),"
               " (SELECT count(*) FROM attackers), s.sessions, s.announced, (SELECT count(*) FROM session_command),"
               " (SELECT count(*) FROM ttp_tag)"
               " FROM (SELECT count(*) AS sessions, count(*) FILTER (WHERE parts_sent > 0) AS announced"
               "  FROM attacker_session) s"};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = repo_exec(repo, &counts, NULL, &result);
    if (r == 0)
        *ret = (SummaryCounts){.lines = res_int(result, 0, 0),
                               .attackers = res_int(result, 0, 1),
                               .sessions = res_int(result, 0, 2),
                               .announced = res_int(result, 0, 3),
                               .commands = res_int(result, 0, 4),
                               .tags = res_int(result, 0, 5)};
    return r;
}

int summary_techniques(Repo *repo, Arena *arena, SummaryTechnique **ret, size_t *ret_n)
{
    /* The example is the tag with the smallest id: any would do, but the same one must come each time. The shorter of
     * two would read better, yet wants every text to be sorted. */
    static const Statement techniques = {
        .name = "summary_techniques",
        .shape = SHAPE_ROWS,
        .sql = "WITH g AS (SELECT technique_id, sub_technique_id, tactic, count(*) AS tags,"
               "  count(DISTINCT attacker_uuid) AS attackers,"
               "  min(uuid::text) FILTER (WHERE evidence ? 'command_text') AS example"
               "  FROM ttp_tag GROUP BY technique_id, sub_technique_id, tactic)"
               " SELECT g.technique_id, g.sub_technique_id, g.tactic, g.tags, g.attackers,"
               "  t.evidence->>'command_text', g.example FROM g LEFT JOIN ttp_tag t ON t.uuid = g.example::uuid"
               " ORDER BY g.tactic COLLATE \"C\", g.tags DESC, g.technique_id COLLATE \"C\","
               "  g.sub_technique_id COLLATE \"C\" NULLS FIRST"};
    cleanup(pgresult_freep) PGresult *result = NULL;

    int r = repo_exec(repo, &techniques, NULL, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret = arena_calloc(arena, *ret_n + 1, sizeof(**ret));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret)[i] = (SummaryTechnique){.technique_id = str_dup(arena, res_str(result, i, 0)),
                                       .sub_technique_id = str_dup(arena, res_str(result, i, 1)),
                                       .tactic = str_dup(arena, res_str(result, i, 2)),
                                       .tags = res_int(result, i, 3),
                                       .attackers = res_int(result, i, 4),
                                       .example = str_dup(arena, res_str(result, i, 5)),
                                       .example_id = str_dup(arena, res_str(result, i, 6))};
    return 0;
}

int summary_busiest(Repo *repo, Arena *arena, int64_t limit, SummaryAttacker **ret, size_t *ret_n)
{
    static const Statement busiest = {
        .name = "summary_busiest",
        .shape = SHAPE_ROWS,
        .sql =
            "SELECT a.ip, COALESCE(s.n, 0), COALESCE(s.commands, 0), COALESCE(t.n, 0), COALESCE(t.techniques, 0),"
            "  a.first_seen, a.last_seen FROM attackers a"
            " LEFT JOIN (SELECT attacker_uuid, count(*) AS n, sum(commands)::bigint AS commands FROM attacker_session"
            "  GROUP BY attacker_uuid) s ON s.attacker_uuid = a.uuid"
            " LEFT JOIN (SELECT attacker_uuid, count(*) AS n,"
            "   count(DISTINCT COALESCE(sub_technique_id, technique_id)) AS techniques FROM ttp_tag"
            "  GROUP BY attacker_uuid) t ON t.attacker_uuid = a.uuid"
            " ORDER BY COALESCE(t.n, 0) DESC, COALESCE(s.n, 0) DESC, a.ip COLLATE \"C\" LIMIT $1"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;

    arg_int8(&args, limit);
    int r = repo_exec(repo, &busiest, &args, &result);
    if (r != 0)
        return r;
    *ret_n = (size_t)PQntuples(result);
    *ret = arena_calloc(arena, *ret_n + 1, sizeof(**ret));
    for (int i = 0; i < (int)*ret_n; i++)
        (*ret)[i] = (SummaryAttacker){.ip = str_dup(arena, res_str(result, i, 0)),
                                      .sessions = res_int(result, i, 1),
                                      .commands = res_int(result, i, 2),
                                      .tags = res_int(result, i, 3),
                                      .techniques = res_int(result, i, 4),
                                      .first_seen_us = res_time(result, i, 5),
                                      .last_seen_us = res_time(result, i, 6)};
    return 0;
}
