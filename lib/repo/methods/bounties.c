/* Bounties: lists, counts, fingerprints, and the purge of logs and bounties. */
#include "repo/logs.h"

#include "methods.h"

/* --- lists --- */

#define HOLDS(column, search) "strpos(lower(" column "), lower(" search ")) > 0"
#define IS_OF_TYPE(type) " WHERE (" type "::text IS NULL OR bounty_type = " type ")"
#define HOLDS_TEXT(search)                                                                                             \
    " AND (" search "::text IS NULL OR " HOLDS("decky", search) " OR " HOLDS("service", search) " OR " HOLDS(          \
        "attacker_ip", search) " OR " HOLDS("payload::text", search) ")"

METHOD(get_bounties,
       .params = {{"limit", PARAM_LIMIT, .standard = "50"},
                  {"offset", PARAM_COUNT, .standard = "0"},
                  {"bounty_type", PARAM_FILTER, .nullable = true},
                  {"search", PARAM_FILTER, .nullable = true}},
       .returns = "list[row(bounty)]", .shape = METHOD_ROWS, .statement.plan_anew = true,
       .statement.sql = "SELECT * FROM bounty" IS_OF_TYPE("$3")
           HOLDS_TEXT("$4") " ORDER BY \"timestamp\" DESC, id DESC LIMIT $1 OFFSET $2");

METHOD(get_total_bounties,
       .params = {{"bounty_type", PARAM_FILTER, .nullable = true}, {"search", PARAM_FILTER, .nullable = true}},
       .returns = "int", .shape = METHOD_SCALAR, .statement.plan_anew = true,
       .statement.sql = "SELECT count(*) FROM bounty" IS_OF_TYPE("$1") HOLDS_TEXT("$2"));

METHOD(get_fingerprint_bounties_by_ip, .params = {{"ip", PARAM_IP, .required = true}}, .returns = "list[row(bounty)]",
       .shape = METHOD_ROWS,
       .statement.sql = "SELECT * FROM bounty WHERE attacker_ip = $1 AND bounty_type = 'fingerprint'"
                        " ORDER BY \"timestamp\", id");

METHOD(count_probe_relays,
       .params = {{"attacker_ip", PARAM_IP, .required = true}, {"decky", PARAM_TEXT, .required = true}},
       .returns = "int", .shape = METHOD_SCALAR,
       .statement.sql = "SELECT count(*) FROM bounty WHERE attacker_ip = $1 AND bounty_type = 'probe_relay'"
                        " AND decky = $2");

/* --- grouped by address --- */

#define BY_IP " ORDER BY attacker_ip COLLATE \"C\", \"timestamp\", id"

METHOD(get_all_bounties_by_ip, .returns = "{ip: list[row(bounty)]}", .shape = METHOD_GROUPS, .streams = true,
       .statement.sql = "SELECT attacker_ip AS key, b.* FROM bounty b" BY_IP);

METHOD(get_bounties_for_ips, .params = {{"ips", PARAM_IPS, .required = true}}, .returns = "{ip: list[row(bounty)]}",
       .shape = METHOD_GROUPS, .streams = true,
       .statement.sql = "SELECT attacker_ip AS key, b.* FROM bounty b WHERE attacker_ip = ANY ($1)" BY_IP);

/* --- purge --- */

/* What hangs on an attacker goes with it (ON DELETE CASCADE); credentials go first, as they would only be cut loose.
 * Identities, campaigns, findings about reuse, attachments, canaries and everything set up stay, and so do the numbers
 * of ids, as cursors that follow them must not meet one twice. Ingest waits meanwhile. */
static int purge_logs_and_bounties(MethodCall *call, JsonWriter *w)
{
    static const struct {
        const char *table;
        Statement statement;
    } purges[] = {
        {"logs", {"method_purge_logs", SHAPE_NONE, "DELETE FROM logs"}},
        {"bounties", {"method_purge_bounties", SHAPE_NONE, "DELETE FROM bounty"}},
        {"credentials", {"method_purge_credentials", SHAPE_NONE, "DELETE FROM credentials"}},
        {"attackers", {"method_purge_attackers", SHAPE_NONE, "DELETE FROM attackers"}},
    };

    int r = logs_lock(call->repo, NULL);
    json_begin_object(w);
    for (size_t i = 0; r == 0 && i < ARRAY_SIZE(purges); i++) {
        int64_t n = 0;
        r = repo_run(call->repo, &purges[i].statement, NULL, &n);
        json_put_int(w, purges[i].table, n);
    }
    json_end_object(w);
    return r;
}

METHOD(purge_logs_and_bounties, .returns = "{logs, bounties, credentials, attackers}", .writes = true,
       .shape = METHOD_ROW, .run = purge_logs_and_bounties);
