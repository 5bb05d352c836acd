#include "values.h"

#include <string.h>

#include "base/json.h"

/* Ids of load.sql: the letter of a kind and the number in hexadecimal. */
#define ID(kind, number) "'" kind "0000000-0000-4000-8000-00000000" number "'"
#define ATTACKER ID("a", "0001") /* a busy one, as its number is 1 more than a multiple of 100 */
#define LONER ID("a", "0004")    /* has no identity */
#define IDENTITY ID("d", "0001")
#define CAMPAIGN ID("c", "0002")
#define SESSION ID("e", "0001")
#define TOPOLOGY ID("6", "0001") /* pending, with LANs 1 to 4 and deckies 1 to 10 */
#define HOST ID("5", "0002")
#define NEW ID("0", "ffff")
#define BUSY_IP "'10.0.0.1'"
#define NOW_ISH "'2026-03-28T00:00:00Z'"

enum { VALUES_MAX = 6 };

/* The first row that fits counts: by method and parameter, by parameter, or by the parameter's type. JSON with single
 * quotes. */
static const struct {
    const char *method, *param; /* NULL: any */
    int type;                   /* of rows without a parameter */
    const char *values[VALUES_MAX];
} table[] = {
    /* --- dictionaries --- */
    {"add_log",
     "log_data",
     0,
     {"{'decky':'d','service':'ssh','event_type':'login','attacker_ip':" BUSY_IP ",'raw_line':'x','fields':{}}"}},
    {"add_logs", "log_entries", 0, {"[{'decky':'d','raw_line':'x'},{'decky':'e','raw_line':'y'}]"}},
    {"create_user", "user_data", 0, {"{'uuid':" NEW ",'username':'new','password_hash':'x'}"}},
    {"add_bounty",
     "bounty_data",
     0,
     {"{'decky':'decky-1','service':'ssh','attacker_ip':" BUSY_IP ",'bounty_type':'artifact','payload':{'a':1}}"}},
    {"upsert_credential",
     "data",
     0,
     {"{'attacker_ip':" BUSY_IP ",'decky_name':'decky-1','service':'ssh','secret_sha256':'new'}",
      "{'attacker_ip':'10.0.0.3','decky_name':'decky-2','service':'http','principal':'root',"
      "'secret_sha256':'3c59dc048e8850243be8079a5c74d079'}"}},
    {"upsert_attacker",
     "data",
     0,
     {"{'ip':" BUSY_IP ",'first_seen':" NOW_ISH ",'last_seen':" NOW_ISH "}",
      "{'ip':'192.0.2.1','first_seen':" NOW_ISH ",'last_seen':" NOW_ISH "}"}},
    {"upsert_attacker_behavior", "data", 0, {"{'os_guess':'linux'}"}},
    {"upsert_observation",
     "data",
     0,
     {"{'primitive':'primitive.1','value':'new','confidence':0.5,'window_start_ts':1,'window_end_ts':2,'source':'s',"
      "'evidence_ref':'evidence-0','envelope_v':1,'ts':1e9,'attacker_uuid':" ATTACKER "}",
      "{'primitive':'new','value':'new','confidence':0.5,'window_start_ts':1,'window_end_ts':2,'source':'s',"
      "'evidence_ref':'new','envelope_v':1,'ts':1,'attacker_uuid':" ATTACKER "}"}},
    {"upsert_attacker_intel",
     "data",
     0,
     {"{'attacker_uuid':" ATTACKER ",'attacker_ip':" BUSY_IP ",'expires_at':" NOW_ISH "}",
      "{'attacker_uuid':" LONER ",'attacker_ip':'10.0.0.4','expires_at':" NOW_ISH ",'abuseipdb_score':1}"}},
    {"create_attacker_identity", "row", 0, {"{'uuid':" NEW "}"}},
    {"create_campaign", "row", 0, {"{'uuid':" NEW "}"}},
    {"add_swarm_host",
     "data",
     0,
     {"{'uuid':" NEW ",'name':'new','address':'x','client_cert_fingerprint':'x','cert_bundle_path':'x'}"}},
    {"update_swarm_host", "fields", 0, {"{'status':'active'}"}},
    {"upsert_decky_shard", "data", 0, {"{'decky_name':'decky-1','host_uuid':" HOST "}"}},
    {"create_topology", "data", 0, {"{'name':'new'}", "{'name':'newer','target_host_uuid':" HOST "}"}},
    {"add_lan", "data", 0, {"{'topology_id':" TOPOLOGY ",'name':'new','subnet':'10.0.0.0/24'}"}},
    {"update_lan", "fields", 0, {"{'is_dmz':true}"}},
    {"add_topology_decky", "data", 0, {"{'topology_id':" TOPOLOGY ",'name':'new'}"}},
    {"update_topology_decky", "fields", 0, {"{'state':'running'}"}},
    {"add_topology_edge",
     "data",
     0,
     {"{'topology_id':" TOPOLOGY ",'decky_uuid':" ID("8", "0001") ",'lan_id':" ID("7", "0003") "}"}},
    {"enqueue_topology_mutation", "payload", 0, {"{}"}},
    {"create_webhook_subscription", "data", 0, {"{'name':'new','url':'https://x','secret':'x'}"}},
    {"update_webhook_subscription", "patch", 0, {"{'url':'https://y'}"}},
    {"upsert_canary_blob",
     "data",
     0,
     {"{'sha256':'new','filename':'x','content_type':'x','size_bytes':1,'uploaded_by':'x'}"}},
    {"create_canary_token",
     "data",
     0,
     {"{'kind':'http','decky_name':'decky-1','placement_path':'/x','callback_token':'new','secret_seed':'x',"
      "'created_by':'x'}"}},
    {"record_canary_trigger", "data", 0, {"{'token_uuid':" ID("b", "0001") ",'src_ip':" BUSY_IP "}"}},
    {"upsert_fleet_decky", "data", 0, {"{'name':'decky-1','host_uuid':" HOST "}"}},
    {"record_orchestrator_event",
     "data",
     0,
     {"{'kind':'traffic','protocol':'ssh','action':'x','dst_decky_uuid':'decky-1'}"}},
    {"record_orchestrator_email",
     "data",
     0,
     {"{'mail_decky_uuid':'decky-1','thread_id':'t','message_id':'m','sender_email':'a@b','recipient_email':'c@d',"
      "'subject':'x','eml_path':'/x'}"}},
    {"record_synthetic_file",
     "data",
     0,
     {"{'decky_uuid':'decky-1','path':'/home/new','persona':'p','content_class':'c','content_hash':'x'}"}},
    {"update_synthetic_file", "data", 0, {"{'content_hash':'x','last_body':'y'}"}},
    {"set_tarpit_rule", "data", 0, {"{'decky_name':'decky-1','ports':[22],'delay_ms':5,'created_by':'x'}"}},
    {"insert_tags",
     "rows",
     0,
     {"[{'uuid':" NEW ",'source_kind':'command','source_id':'x','attacker_uuid':" ATTACKER
      ",'tactic':'TA0002','technique_id':'T1059','confidence':0.5,'rule_id':'R0010','rule_version':1,'evidence':{},"
      "'attack_release':'v19.1'}]"}},
    {"upsert_attribution_state",
     "data",
     0,
     {"{'identity_uuid':" IDENTITY ",'primitive':'primitive.1','current_value':'x','state':'stable','confidence':0.5,"
      "'observation_count':9,'last_change_ts':1e9,'last_observation_ts':1e9}"}},

    /* --- uuids, which are of many kinds --- */
    {"get_user_by_uuid", "uuid", 0, {ID("4", "0001")}},
    {"update_user_password", "uuid", 0, {ID("4", "0001")}},
    {"update_user_role", "uuid", 0, {ID("4", "0001")}},
    {"delete_user", "uuid", 0, {ID("4", "0001")}},
    {"get_identity_by_uuid", "uuid", 0, {IDENTITY}},
    {"list_techniques_by_identity", "uuid", 0, {IDENTITY}},
    {"get_campaign_by_uuid", "uuid", 0, {CAMPAIGN}},
    {"list_techniques_by_campaign", "uuid", 0, {CAMPAIGN}},
    {"get_swarm_host_by_uuid", "uuid", 0, {HOST}},
    {"update_swarm_host", "uuid", 0, {HOST}},
    {"delete_swarm_host", "uuid", 0, {HOST}},
    {"get_webhook_subscription", "uuid", 0, {ID("4", "0001")}},
    {"update_webhook_subscription", "uuid", 0, {ID("4", "0001")}},
    {"delete_webhook_subscription", "uuid", 0, {ID("4", "0001")}},
    {"record_webhook_success", "uuid", 0, {ID("4", "0001")}},
    {"record_webhook_failure", "uuid", 0, {ID("4", "0001")}},
    {"trip_webhook_circuit", "uuid", 0, {ID("4", "0001")}},
    {"get_canary_blob", "uuid", 0, {ID("a", "0001")}},
    {"delete_canary_blob", "uuid", 0, {ID("a", "01f4")}}, /* one that no token uses */
    {"get_canary_token", "uuid", 0, {ID("b", "0001")}},
    {"update_canary_token_state", "uuid", 0, {ID("b", "0001")}},
    {"get_synthetic_file", "uuid", 0, {ID("d", "0001")}},
    {"update_synthetic_file", "uuid", 0, {ID("d", "0001")}},
    {"list_tags_by_scope_and_technique", "uuid", 0, {ATTACKER, IDENTITY, SESSION}},
    {"ensure_stub_identity_for_attacker", "attacker_uuid", 0, {ATTACKER, LONER}},
    {"set_attacker_identity_id", "attacker_uuid", 0, {LONER}},
    {"update_credential_attacker_uuid", "attacker_ip", 0, {"'10.0.24.93'"}},
    {"update_identity_merged_into", "identity_uuid", 0, {ID("d", "0003")}},
    {"update_identity_merged_into", "winner_uuid", 0, {IDENTITY, "null"}},
    {"update_campaign_merged_into", "campaign_uuid", 0, {ID("c", "0003")}},
    {"update_campaign_merged_into", "winner_uuid", 0, {CAMPAIGN, "null"}},
    {"set_identity_campaign_id", "campaign_uuid", 0, {CAMPAIGN, "null"}},
    {"delete_lan", "lan_id", 0, {ID("7", "0003")}}, /* the other two of its topology are some decky's only ones */
    {"claim_next_mutation", "topology_id", 0, {ID("6", "0065"), TOPOLOGY}},
    {"list_fleet_deckies", "host_uuid", 0, {HOST}},
    {"enqueue_topology_mutation", "topology_id", 0, {ID("6", "0032"), TOPOLOGY}},

    /* --- filters and the like --- */
    {"get_attackers", "sort_by", 0, {"'recent'", "'active'", "'traversals'"}},
    {"get_attackers", "search", 0, {"'10.0.0.'"}},
    {"get_total_attackers", "search", 0, {"'10.0.0.'"}},
    {"get_attackers", "service", 0, {"'mysql'", "'ssh'"}},
    {"get_bounties", "bounty_type", 0, {"'artifact'"}},
    {"get_total_bounties", "bounty_type", 0, {"'artifact'"}},
    {"get_bounties", "search", 0, {"'e4da3b7fbbce2345d7772b0674a318d5'"}},
    {"get_total_bounties", "search", 0, {"'e4da3b7fbbce2345d7772b0674a318d5'"}},
    {"get_credentials", "search", 0, {"'pw4711'"}},
    {"get_total_credentials", "search", 0, {"'pw4711'"}},
    {NULL, "search", 0, {"'line 4711 '", "'attacker:10.0.0.1'"}},
    {NULL, "start_time", 0, {"'2026-03-27T22:30:00Z'"}},
    {NULL, "end_time", 0, {"'2026-03-28T10:00:00Z'"}},
    {"iter_attacker_commands_since", "since", 0, {"'2026-03-26T00:00:00Z'"}},
    {"iter_canary_triggers_since", "since", 0, {"'2026-03-25T00:00:00Z'"}},
    {"update_identity_fingerprints", "ja3_hashes", 0, {"['a','b']"}},
    {"update_identity_fingerprints", "hassh_hashes", 0, {"['c']"}},
    {"update_identity_fingerprints", "tls_cert_sha256", 0, {"['d']"}},
    {NULL, "since_ts", 0, {"'2026-03-18T00:00:00Z'"}},
    {NULL, "last_id", 0, {"999000", "5000"}},
    {NULL, "interval_minutes", 0, {"60"}},
    {NULL, "service", 0, {"'mysql'"}},
    {NULL, "bounty_type", 0, {"'artifact'"}},
    {NULL, "min_target_count", 0, {"15"}},
    {NULL, "min_targets", 0, {"3"}},
    {NULL, "max_age_days", 0, {"7"}},
    {NULL, "per_dst_cap", 0, {"590"}},
    {NULL, "per_decky_cap", 0, {"3990"}},
    {NULL, "scope", 0, {"'identity'", "'attacker'", "'session'"}},
    {NULL, "technique_id", 0, {"'T1000'"}},
    {NULL, "sub_technique_id", 0, {"'T1000.001'"}},
    {NULL, "primitive", 0, {"'primitive.1'"}},
    {NULL, "evidence_ref", 0, {"'evidence-1'"}},
    {"list_orchestrator_events", "kind", 0, {"'file'"}},
    {"count_orchestrator_events", "kind", 0, {"'file'"}},
    {"count_orchestrator_failures", "kind", 0, {"'traffic'", "'email'"}},
    {"list_canary_tokens", "kind", 0, {"'http'"}},
    {"list_canary_tokens", "state", 0, {"'revoked'"}},
    {"update_canary_token_state", "state", 0, {"'revoked'"}},
    {"update_fleet_decky_state", "state", 0, {"'running'"}},
    {"list_topology_mutations", "state", 0, {"'pending'"}},
    {"list_swarm_hosts", "status", 0, {"'enrolled'"}},
    {NULL, "status", 0, {"'active'", "'pending'"}},
    {NULL, "new_status", 0, {"'deploying'"}},
    {NULL, "thread_id", 0, {"'thread-19000'"}},
    {NULL, "mail_decky_uuid", 0, {"'decky-1'"}},
    {NULL, "sender_email", 0, {"'p1@example'"}},
    {NULL, "recipient_email", 0, {"'p2@example'"}},
    {NULL, "persona", 0, {"'persona-1'"}},
    {NULL, "content_class", 0, {"'class-1'"}},

    /* --- keys --- */
    {NULL, "secret_kind", 0, {"'plaintext'"}},
    {"get_canary_blob_by_sha256", "sha256", 0, {"'c4ca4238a0b923820dcc509a6f75849b'"}},
    {"upsert_observed_attachment", "sha256", 0, {"'c4ca4238a0b923820dcc509a6f75849b'", "'new'"}},
    {NULL, "secret_sha256", 0, {"'c4ca4238a0b923820dcc509a6f75849b'"}},
    {NULL, "reuse_id", 0, {ID("2", "0001")}},
    {NULL, "callback_token", 0, {"'slug-1'"}},
    {NULL, "fingerprint", 0, {"'fingerprint-1'"}},
    {NULL, "username", 0, {"'user-1'"}},
    {NULL, "domain", 0, {"'d1.example'"}},
    {NULL, "sid", 0, {SESSION}},
    {"get_state", "key", 0, {"'key-1'"}},
    {"set_state", "key", 0, {"'key-1'"}},
    {NULL, "key", 0, {"'key-1'"}},
    {NULL, "name", 0, {"'decky-1'"}},
    {NULL, "decky_name", 0, {"'decky-1'"}},
    {NULL, "decky", 0, {"'decky-1'"}},
    {NULL, "op", 0, {"'add_lan'"}},
    {NULL, "personas_json", 0, {"'[]'"}},
    {NULL, "ips", 0, {"['10.0.0.1','10.0.0.2']"}},
    {NULL, "role", 0, {"'viewer'"}},
    {NULL, "ts", 0, {NOW_ISH}},
    {NULL, "since", 0, {NOW_ISH}},
    {NULL, "limit", 0, {"50"}},
    {NULL, "offset", 0, {"10000"}},
    {NULL, "expected_version", 0, {"1"}},
    {NULL, "attempt_count", 0, {"5"}},
    {"upsert_credential_reuse", "principal", 0, {"'root'", "null"}},
    {NULL, "attacker_uuid", 0, {ATTACKER}},
    {NULL, "attacker_id", 0, {ATTACKER}},
    {NULL, "identity_uuid", 0, {IDENTITY}},
    {NULL, "campaign_uuid", 0, {CAMPAIGN}},
    {NULL, "topology_id", 0, {TOPOLOGY}},
    {NULL, "host_uuid", 0, {HOST}},
    {NULL, "lan_id", 0, {ID("7", "0001")}},
    {"list_synthetic_files", "decky_uuid", 0, {"'decky-1'"}},
    {"count_synthetic_files", "decky_uuid", 0, {"'decky-1'"}},
    {"pick_random_synthetic_file_for_edit", "decky_uuid", 0, {"'decky-1'"}},
    {NULL, "decky_uuid", 0, {ID("8", "0001")}},
    {NULL, "edge_id", 0, {ID("9", "c352")}}, /* the second one of decky 2 */
    {NULL, "mutation_id", 0, {ID("0", "0064")}},
    {NULL, "token_uuid", 0, {ID("b", "0002")}},
    {NULL, "trigger_uuid", 0, {ID("c", "0001")}},
    {NULL, "uuid", 0, {ATTACKER}},

    /* --- by type: what says nothing about rows --- */
    {NULL, NULL, PARAM_BOOL, {"true", "false"}},
    {NULL, NULL, PARAM_IP, {BUSY_IP}},
    {NULL, NULL, PARAM_TEXT, {"'word'"}},
    {NULL, NULL, PARAM_FILTER, {"'[\"word\"]'"}},
    {NULL, NULL, PARAM_JSON, {"{'a':1}"}},
};

static bool fits(size_t row, const Method *m, const MethodParam *p)
{
    if (table[row].method && strcmp(table[row].method, method_name(m)) != 0)
        return false;
    return table[row].param ? strcmp(table[row].param, p->name) == 0 : table[row].type == (int)p->type;
}

static const char *const *values_of(const Method *m, const MethodParam *p)
{
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (fits(i, m, p))
            return table[i].values;
    return NULL;
}

static json_object *value(const char *text)
{
    cleanup(freep) char *json = strdup(text);

    for (char *c = json; *c; c++)
        *c = *c == '\'' ? '"' : *c;
    return json_parse(str_from(json));
}

typedef struct Walk {
    const Method *m;
    MethodTryFn fn;
    void *arg;
    MethodTry current;
    const char *const *values[METHOD_PARAMS_MAX];
} Walk;

static void emit(Walk *w)
{
    const MethodParam *p = method_params(w->m);

    w->current.params = json_object_new_object();
    for (int i = 0; i < METHOD_PARAMS_MAX && p[i].name; i++)
        if (w->current.values[i])
            json_object_object_add(w->current.params, p[i].name, value(w->current.values[i]));
    w->fn(w->arg, w->m, &w->current);
    json_object_put(w->current.params);
}

static void walk(Walk *w, int i)
{
    const MethodParam *p = &method_params(w->m)[i];

    if (i == METHOD_PARAMS_MAX || !p->name) {
        emit(w);
        return;
    }
    w->current.values[i] = NULL;
    if (!p->required)
        walk(w, i + 1);
    for (int k = 0; w->values[i] && k < VALUES_MAX && w->values[i][k]; k++) {
        w->current.values[i] = w->values[i][k];
        walk(w, i + 1);
    }
    w->current.values[i] = NULL;
}

const char *method_tries(const Method *m, MethodTryFn fn, void *arg)
{
    const MethodParam *p = method_params(m);
    Walk w = {.m = m, .fn = fn, .arg = arg};

    for (int i = 0; i < METHOD_PARAMS_MAX && p[i].name; i++) {
        w.values[i] = values_of(m, &p[i]);
        if (!w.values[i])
            return p[i].name;
    }
    walk(&w, 0);
    return NULL;
}
