/* Counts of the dashboard. */
#include "methods.h"

#include "repo/state_file.h"

/* All counts out of one snapshot. The deckies of the state file all count as active; $1 is their number, null when no
 * file is named. The list of distinct addresses is read off the index, which a count(DISTINCT) would sort. */
static int get_stats_summary(MethodCall *call, JsonWriter *w)
{
    static const Statement counts = {
        .name = "method_get_stats_summary",
        .shape = SHAPE_ROW,
        .sql = "SELECT (SELECT count(*) FROM logs) AS total_logs,"
               "  (SELECT count(*) FROM (SELECT DISTINCT attacker_ip FROM logs) d) AS unique_attackers,"
               "  fleet.n + nested.running AS active_deckies, fleet.n + nested.n AS deployed_deckies"
               " FROM (SELECT COALESCE($1, (SELECT count(*) FROM fleet_deckies)) AS n) fleet,"
               "  (SELECT count(*) AS n, count(*) FILTER (WHERE state = 'running') AS running"
               "   FROM topology_deckies) nested"};
    cleanup(args_free) Args args = {0};
    cleanup(pgresult_freep) PGresult *result = NULL;
    cleanup(json_putp) json_object *deckies = NULL;

    int r = state_file_read_deckies(call->repo, &deckies);
    if (r != 0)
        return r;
    if (deckies)
        arg_int8(&args, (int64_t)json_object_array_length(deckies));
    else
        arg_null(&args, PG_INT8);
    r = repo_exec(call->repo, &counts, &args, &result);
    if (r == 0)
        method_write_rows(call, result, w);
    return r;
}

METHOD(get_stats_summary, .returns = "{total_logs, unique_attackers, active_deckies, deployed_deckies}",
       .shape = METHOD_ROW, .run = get_stats_summary);
