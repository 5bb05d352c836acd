/* Topologies: networks of deckies that are planned, edited while pending, and watched when live. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_topologies, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define UNKNOWN "00000000-0000-4000-8000-00000000dead"
static const char *const nobody[] = {"nope", "", UNKNOWN};

/* An id that is good for the whole test. */
static const char *keep(json_object *id)
{
    static char all[64][UUID_TEXT_BYTES];
    static size_t n;

    cr_assert_lt(n, ARRAY_SIZE(all));
    snprintf(all[n], sizeof(all[n]), "%s", json_object_get_string(id));
    json_object_put(id);
    return all[n++];
}

static const char *topology(const char *name)
{
    return keep(call("create_topology", "{'data':{'name':'%s'}}", name));
}

static const char *lan(const char *of, const char *name)
{
    return keep(call("add_lan", "{'data':{'topology_id':'%s','name':'%s','subnet':'10.0.0.0/24'}}", of, name));
}

static const char *decky(const char *of, const char *name)
{
    return keep(call("add_topology_decky", "{'data':{'topology_id':'%s','name':'%s'}}", of, name));
}

static const char *edge(const char *of, const char *of_decky, const char *of_lan)
{
    return keep(call("add_topology_edge", "{'data':{'topology_id':'%s','decky_uuid':'%s','lan_id':'%s'}}", of, of_decky,
                     of_lan));
}

static void set_status(const char *of, const char *status)
{
    json_object_put(call("update_topology_status", "{'topology_id':'%s','new_status':'%s'}", of, status));
}

static int64_t version(const char *of)
{
    return harness_sql_int("SELECT version FROM topologies WHERE id = '%s'", of);
}

/* Of a list, the members @key of its rows, one after the other. */
static void expect_list(json_object *list, const char *key, const char *want)
{
    cleanup(buf_free) Buf got = {0};

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        buf_add(&got, i ? " " : "");
        buf_add(&got, text_of(nth(list, i), key));
    }
    buf_add(&got, "");
    cr_expect_str_eq(got.data ? got.data : "", want);
    json_object_put(list);
}

static void expect_detail(const char *want)
{
    cr_expect_str_eq(repo_error(repo)->detail_json, want);
}

/* --- topologies --- */

Test(repo_topologies, a_new_one_is_pending_at_version_1)
{
    const char *id = topology("alpha");
    cleanup(json_putp) json_object *row = call("get_topology", "{'topology_id':'%s'}", id);

    cr_expect_eq(json_object_object_length(row), 11, "a summary, without config_snapshot");
    expect_key(row, "id", id);
    expect_key(row, "name", "alpha");
    expect_key(row, "mode", "unihost");
    expect_key(row, "target_host_uuid", "null");
    expect_key(row, "status", "pending");
    expect_key(row, "version", "1");
    expect_key(row, "needs_resync", "false");
    expect_key(row, "email_personas", "[]");
    expect_key(row, "language_default", "en");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topologies WHERE config_snapshot::text = '{}'"
                                 " AND created_at > now() - interval '1 minute'"
                                 " AND status_changed_at > now() - interval '1 minute'"),
                 1);
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++)
        cr_expect_null(call("get_topology", "{'topology_id':'%s'}", nobody[i]));
}

Test(repo_topologies, every_key_of_a_new_one)
{
    harness_sql("INSERT INTO swarm_hosts (uuid, name, address, client_cert_fingerprint, cert_bundle_path)"
                " VALUES ('ab000000-0000-4000-8000-000000000001', 'h', 'a', 'f', 'p')");
    cleanup(json_putp) json_object *id =
        call("create_topology",
             "{'data':{'id':'AB0000000000400080000000000000C1','name':'a\\u0000\\ud800b','mode':'agent',"
             "'target_host_uuid':'ab000000-0000-4000-8000-000000000001','config_snapshot':{'zz':1,'a':{'y':1,'x':2}},"
             "'email_personas':'[ {} ]','language_default':'pt-BR','status':'active','version':9,'nonsense':1}}");
    cr_expect_str_eq(json_object_get_string(id), "ab000000-0000-4000-8000-0000000000c1");
    cleanup(json_putp) json_object *row = call("get_topology", "{'topology_id':'%s'}", json_object_get_string(id));
    expect_key(row, "name",
               "a\xEF\xBF\xBD\xEF\xBF\xBD"
               "b");
    expect_key(row, "mode", "agent");
    expect_key(row, "target_host_uuid", "ab000000-0000-4000-8000-000000000001");
    expect_key(row, "status", "pending");
    expect_key(row, "version", "1");
    expect_key(row, "email_personas", "[ {} ]");
    expect_key(row, "language_default", "pt-BR");
    json_object_put(call("create_topology", "{'data':{'name':'text','config_snapshot':'{\\'b\\':1,\\'a\\':2}'}}"));
    cleanup(freep) char *snapshots =
        harness_sql_text("SELECT string_agg(config_snapshot::text, '|' ORDER BY created_at) FROM topologies");
    cr_expect_str_eq(snapshots, "{\"zz\":1,\"a\":{\"y\":1,\"x\":2}}|{\"b\":1,\"a\":2}", "keys keep their order");
}

Test(repo_topologies, a_new_one_is_refused)
{
    static const struct {
        int outcome;
        const char *words, *data;
    } cases[] = {
        {REPO_E_INVALID, "key name is missing", ""},
        {REPO_E_INVALID, "name must not be null", "'name':null"},
        {REPO_E_INVALID, "name must be text", "'name':7"},
        {REPO_E_INVALID, "mode must be unihost or agent", "'name':'n','mode':'swarm'"},
        {REPO_E_INVALID, "mode must not be null", "'name':'n','mode':null"},
        {REPO_E_INVALID, "id must be a uuid", "'name':'n','id':'t1'"},
        {REPO_E_INVALID, "target_host_uuid must be a uuid", "'name':'n','target_host_uuid':'local'"},
        {REPO_E_INVALID, "config_snapshot must be an object", "'name':'n','config_snapshot':[1]"},
        {REPO_E_INVALID, "config_snapshot must be an object", "'name':'n','config_snapshot':'[1]'"},
        {REPO_E_INVALID, "config_snapshot must be an object", "'name':'n','config_snapshot':'null'"},
        {REPO_E_INVALID, "config_snapshot must be an object", "'name':'n','config_snapshot':'{'"},
        {REPO_E_INVALID, "email_personas must be text", "'name':'n','email_personas':[]"},
        {REPO_E_INVALID, "language_default must be text of at most 8 characters",
         "'name':'n','language_default':'123456789'"},
        {REPO_E_FK, "foreign key", "'name':'n','target_host_uuid':'" UNKNOWN "'"},
        {REPO_E_CONFLICT, "uq_topologies_name", "'name':'taken'"},
    };
    char name[300] = {0};

    topology("taken");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(cases[i].outcome, cases[i].words, "create_topology", "{'data':{%s}}", cases[i].data);
    memset(name, 'x', 257);
    refuse(REPO_E_INVALID, "name must be text of at most 256 characters", "create_topology", "{'data':{'name':'%s'}}",
           name);
    cr_expect_eq(call_int("count_topologies", "{}"), 1);
}

Test(repo_topologies, they_are_listed_newest_first)
{
    const char *a = topology("a"), *b = topology("b"), *c = topology("c");

    set_status(b, "active");
    harness_sql("UPDATE topologies SET created_at = '2026-01-01T00:00:00Z';"
                " UPDATE topologies SET created_at = '2026-01-02T00:00:00Z' WHERE id = '%s'",
                c);
    bool a_first = strcmp(a, b) < 0; /* equal times: by id */
    static const struct {
        const char *params, *want[2];
    } cases[] = {
        {"{}", {"c b a", "c a b"}},          {"{'status':'','limit':null,'offset':null}", {"c b a", "c a b"}},
        {"{'status':'active'}", {"b", "b"}}, {"{'status':'nonsense'}", {"", ""}},
        {"{'limit':1}", {"c", "c"}},         {"{'limit':1,'offset':1}", {"b", "a"}},
        {"{'offset':2}", {"a", "b"}},        {"{'offset':3}", {"", ""}},
        {"{'limit':0}", {"", ""}},           {"{'status':'pending','limit':5}", {"c a", "c a"}},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_list(call("list_topologies", "%s", cases[i].params), "name", cases[i].want[a_first]);
    refuse(REPO_E_INVALID, "limit must be", "list_topologies", "{'limit':-1}");
    refuse(REPO_E_INVALID, "limit must be", "list_topologies", "{'limit':10001}");
    refuse(REPO_E_INVALID, "offset must be", "list_topologies", "{'offset':-1}");
    cr_expect_eq(call_int("count_topologies", "{}"), 3);
    cr_expect_eq(call_int("count_topologies", "{'status':''}"), 3);
    cr_expect_eq(call_int("count_topologies", "{'status':'pending'}"), 2);
    cr_expect_eq(call_int("count_topologies", "{'status':'x'}"), 0);
}

Test(repo_topologies, a_change_of_status_is_an_event)
{
    const char *id = topology("a");

    json_object_put(
        call("update_topology_status", "{'topology_id':'%s','new_status':'deploying','reason':'go\\u0000'}", id));
    set_status(id, "deploying"); /* the same again is an event too */
    set_status(id, "torn_down");
    set_status(id, "pending"); /* whether a step is legal is not asked here */
    cleanup(json_putp) json_object *row = call("get_topology", "{'topology_id':'%s'}", id);
    expect_key(row, "status", "pending");
    expect_key(row, "version", "1");

    cleanup(json_putp) json_object *events = call("list_topology_status_events", "{'topology_id':'%s'}", id);
    expect_list(json_object_get(events), "to_status", "pending torn_down deploying deploying");
    expect_list(json_object_get(events), "from_status", "torn_down deploying deploying pending");
    cr_expect_eq(json_object_object_length(nth(events, 0)), 6);
    expect_key(nth(events, 0), "topology_id", id);
    expect_key(nth(events, 0), "reason", "null");
    expect_key(nth(events, 3), "reason", "go\xEF\xBF\xBD");
    cr_expect_str_eq(text_of(nth(events, 0), "at"), text_of(row, "status_changed_at"));
    expect_list(call("list_topology_status_events", "{'topology_id':'%s','limit':2}", id), "to_status",
                "pending torn_down");
    expect_list(call("list_topology_status_events", "{'topology_id':'%s','limit':0}", id), "to_status", "");
    refuse(REPO_E_INVALID, "limit must be", "list_topology_status_events", "{'topology_id':'%s','limit':-1}", id);

    refuse(REPO_E_INVALID, "new_status must be one of", "update_topology_status",
           "{'topology_id':'%s','new_status':'Active'}", id);
    refuse(REPO_E_INVALID, "new_status must be one of", "update_topology_status",
           "{'topology_id':'%s','new_status':''}", id);
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
        set_status(nobody[i], "active");
        expect_list(call("list_topology_status_events", "{'topology_id':'%s'}", nobody[i]), "id", "");
    }
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_status_events"), 4);
}

Test(repo_topologies, changes_within_one_transaction_keep_their_order)
{
    const char *id = topology("a");

    cr_assert_eq(repo_begin(repo), 0);
    set_status(id, "deploying");
    set_status(id, "active");
    set_status(id, "degraded");
    cr_assert_eq(repo_commit(repo), 0);
    expect_list(call("list_topology_status_events", "{'topology_id':'%s'}", id), "to_status",
                "degraded active deploying");
}

Test(repo_topologies, a_hundred_events_are_the_default_page)
{
    const char *id = topology("a");

    for (int i = 0; i < 103; i++)
        set_status(id, "active");
    cleanup(json_putp) json_object *page = call("list_topology_status_events", "{'topology_id':'%s'}", id);
    cleanup(json_putp) json_object *all = call("list_topology_status_events", "{'topology_id':'%s','limit':200}", id);
    cr_expect_eq(json_object_array_length(page), 100);
    cr_expect_eq(json_object_array_length(all), 103);
}

Test(repo_topologies, resync_and_personas)
{
    const char *a = topology("a"), *b = topology("b");

    harness_sql("UPDATE topologies SET created_at = '2026-01-01T00:00:00Z' WHERE id = '%s'", b);
    expect_list(call("list_topologies_needing_resync", "{}"), "name", "");
    json_object_put(call("set_topology_resync", "{'topology_id':'%s','value':true}", a));
    json_object_put(call("set_topology_resync", "{'topology_id':'%s','value':true}", b));
    set_status(a, "torn_down");
    expect_list(call("list_topologies_needing_resync", "{}"), "name", "b a");
    json_object_put(call("set_topology_resync", "{'topology_id':'%s','value':false}", b));
    expect_list(call("list_topologies_needing_resync", "{}"), "name", "a");
    refuse(REPO_E_INVALID, "value must be a boolean", "set_topology_resync", "{'topology_id':'%s','value':1}", a);

    cleanup(json_putp) json_object *yes =
        call("set_topology_email_personas", "{'topology_id':'%s','personas_json':' no JSON {  '}", a);
    cr_expect(json_object_get_boolean(yes));
    cleanup(json_putp) json_object *row = call("get_topology", "{'topology_id':'%s'}", a);
    expect_key(row, "email_personas", " no JSON {  ");
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
        json_object_put(call("set_topology_resync", "{'topology_id':'%s','value':true}", nobody[i]));
        cleanup(json_putp) json_object *no =
            call("set_topology_email_personas", "{'topology_id':'%s','personas_json':'[]'}", nobody[i]);
        cr_expect(json_object_is_type(no, json_type_boolean) && !json_object_get_boolean(no));
    }
    cr_expect_eq(version(a), 1);
}

Test(repo_topologies, live_ones_are_active_or_degraded)
{
    const char *degraded = topology("a"), *active = topology("b");
    static const char *const others[] = {"pending", "deploying", "failed", "tearing_down", "torn_down"};

    for (size_t i = 0; i < ARRAY_SIZE(others); i++)
        set_status(topology(others[i]), others[i]);
    set_status(degraded, "degraded");
    set_status(active, "active");
    cleanup(json_putp) json_object *ids = call("list_live_topology_ids", "{}");
    cr_assert_eq(json_object_array_length(ids), 2);
    cr_expect_str_eq(json_object_get_string(nth(ids, 0)), degraded);
    cr_expect_str_eq(json_object_get_string(nth(ids, 1)), active);
}

static bool gone(const char *id)
{
    cleanup(json_putp) json_object *result = call("delete_topology_cascade", "{'topology_id':'%s'}", id);
    cr_assert(json_object_is_type(result, json_type_boolean));
    return json_object_get_boolean(result);
}

static int64_t parts_of(const char *id)
{
    return harness_sql_int("SELECT (SELECT count(*) FROM lans WHERE topology_id = '%s')"
                           " + (SELECT count(*) FROM topology_deckies WHERE topology_id = '%s')"
                           " + (SELECT count(*) FROM topology_edges WHERE topology_id = '%s')"
                           " + (SELECT count(*) FROM topology_status_events WHERE topology_id = '%s')"
                           " + (SELECT count(*) FROM topology_mutations WHERE topology_id = '%s')",
                           id, id, id, id, id);
}

Test(repo_topologies, deleting_takes_all_its_parts)
{
    const char *ids[] = {topology("a"), topology("b")};

    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        edge(ids[i], decky(ids[i], "d"), lan(ids[i], "l"));
        set_status(ids[i], "active");
        json_object_put(call("enqueue_topology_mutation", "{'topology_id':'%s','op':'add_lan','payload':{}}", ids[i]));
    }
    harness_sql("INSERT INTO canary_tokens (kind, decky_name, topology_id, placement_path, callback_token, secret_seed,"
                " created_by) VALUES ('http', 'd', '%s', '/', 'slug', 's', 'me')",
                ids[0]);
    cr_expect(gone(ids[0]));
    cr_expect_eq(parts_of(ids[0]), 0);
    cr_expect_eq(parts_of(ids[1]), 5);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_tokens WHERE topology_id = '%s'", ids[0]), 1);
    cr_expect_not(gone(ids[0]));
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++)
        cr_expect_not(gone(nobody[i]));
    cr_expect_eq(call_int("count_topologies", "{}"), 1);
}

/* --- LANs --- */

Test(repo_topologies, lans_are_added_changed_and_listed_by_name)
{
    const char *t = topology("t");
    const char *dmz = keep(call("add_lan",
                                "{'data':{'topology_id':'%s','name':'dmz','subnet':'172.20.0.7/24','is_dmz':true,"
                                "'docker_network_id':'n','x':1.5,'y':-2,'id':'ab0000000000400080000000000000c1',"
                                "'nonsense':{}}}",
                                t));

    lan(t, "Zone");
    lan(topology("other"), "dmz");
    cr_expect_str_eq(dmz, "ab000000-0000-4000-8000-0000000000c1");
    cleanup(json_putp) json_object *list = call("list_lans_for_topology", "{'topology_id':'%s'}", t);
    expect_list(json_object_get(list), "name", "Zone dmz"); /* bytes, no language */
    cr_expect_eq(json_object_object_length(nth(list, 0)), 8);
    expect_key(nth(list, 0), "is_dmz", "false");
    expect_key(nth(list, 0), "docker_network_id", "null");
    expect_key(nth(list, 0), "x", "null");
    expect_key(nth(list, 1), "id", dmz);
    expect_key(nth(list, 1), "topology_id", t);
    expect_key(nth(list, 1), "subnet", "172.20.0.7/24");
    expect_key(nth(list, 1), "is_dmz", "true");
    expect_key(nth(list, 1), "docker_network_id", "n");
    expect_key(nth(list, 1), "x", "1.5");

    json_object_put(call("update_lan", "{'lan_id':'%s','fields':{'docker_network_id':null,'name':'DMZ','y':7}}", dmz));
    cleanup(json_putp) json_object *after = call("list_lans_for_topology", "{'topology_id':'%s'}", t);
    expect_list(json_object_get(after), "name", "DMZ Zone");
    expect_key(nth(after, 0), "docker_network_id", "null");
    expect_key(nth(after, 0), "subnet", "172.20.0.7/24");
    expect_key(nth(after, 0), "is_dmz", "true");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM lans WHERE x = 1.5 AND y = 7"), 1);
    cr_expect_eq(version(t), 1);
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++)
        expect_list(call("list_lans_for_topology", "{'topology_id':'%s'}", nobody[i]), "name", "");
}

Test(repo_topologies, a_lan_is_refused)
{
    const char *t = topology("t"), *a = lan(t, "a");
    static const struct {
        int outcome;
        const char *words, *more;
    } adds[] = {
        {REPO_E_INVALID, "key name is missing", "'subnet':'s'"},
        {REPO_E_INVALID, "key subnet is missing", "'name':'b'"},
        {REPO_E_INVALID, "is_dmz must be a boolean", "'name':'b','subnet':'s','is_dmz':1"},
        {REPO_E_INVALID, "is_dmz must not be null", "'name':'b','subnet':'s','is_dmz':null"},
        {REPO_E_INVALID, "x must be a number", "'name':'b','subnet':'s','x':'1'"},
        {REPO_E_INVALID, "id must be a uuid", "'name':'b','subnet':'s','id':'nope'"},
        {REPO_E_CONFLICT, "uq_lan_topology_name", "'name':'a','subnet':'s'"},
    };
    static const struct {
        int outcome;
        const char *words, *fields;
    } updates[] = {
        {REPO_E_INVALID, "nonsense is no column that can be changed", "'nonsense':1"},
        {REPO_E_INVALID, "id is no column", "'id':'" UNKNOWN "'"},
        {REPO_E_INVALID, "topology_id is no column", "'topology_id':'" UNKNOWN "'"},
        {REPO_E_INVALID, "name must not be null", "'name':null"},
        {REPO_E_INVALID, "subnet must be text", "'subnet':10"},
        {REPO_E_CONFLICT, "uq_lan_topology_name", "'name':'b'"},
    };

    lan(t, "b");
    for (size_t i = 0; i < ARRAY_SIZE(adds); i++)
        refuse(adds[i].outcome, adds[i].words, "add_lan", "{'data':{'topology_id':'%s',%s}}", t, adds[i].more);
    refuse(REPO_E_INVALID, "key topology_id is missing", "add_lan", "{'data':{'name':'c','subnet':'s'}}");
    refuse(REPO_E_INVALID, "topology_id must be a uuid", "add_lan",
           "{'data':{'topology_id':'nope','name':'c','subnet':'s'}}");
    refuse(REPO_E_FK, "foreign key", "add_lan", "{'data':{'topology_id':'" UNKNOWN "','name':'c','subnet':'s'}}");
    refuse(REPO_E_CONFLICT, "lans_pkey", "add_lan", "{'data':{'topology_id':'%s','name':'c','subnet':'s','id':'%s'}}",
           t, a);
    for (size_t i = 0; i < ARRAY_SIZE(updates); i++)
        refuse(updates[i].outcome, updates[i].words, "update_lan", "{'lan_id':'%s','fields':{%s}}", a,
               updates[i].fields);
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
        refuse(REPO_E_NOT_FOUND, "there is no such LAN", "update_lan", "{'lan_id':'%s','fields':{'name':'x'}}",
               nobody[i]);
        refuse(REPO_E_NOT_FOUND, "there is no such LAN", "update_lan",
               "{'lan_id':'%s','fields':{'name':'x'},'expected_version':1,'enforce_pending':true}", nobody[i]);
        json_object_put(call("update_lan", "{'lan_id':'%s','fields':{},'expected_version':9}", nobody[i]));
        json_object_put(call("delete_lan", "{'lan_id':'%s','expected_version':9}", nobody[i]));
    }
    expect_list(call("list_lans_for_topology", "{'topology_id':'%s'}", t), "name", "a b");
    cr_expect_eq(version(t), 1);
}

Test(repo_topologies, a_lan_that_a_decky_needs_stays)
{
    const char *t = topology("t"), *a = lan(t, "a"), *b = lan(t, "b"), *home = decky(t, "home"),
               *bridge = decky(t, "br");
    char want[160];

    edge(t, bridge, a);
    edge(t, bridge, b);
    edge(t, home, a);
    edge(t, home, a); /* twice on the same LAN is no other LAN */
    refuse(REPO_E_ORPHAN, "without LAN a decky home would be orphaned", "delete_lan", "{'lan_id':'%s'}", a);
    snprintf(want, sizeof(want), "\"lan\":\"%s\",\"decky\":\"%s\"", a, home);
    expect_detail(want);
    refuse(REPO_E_ORPHAN, "home", "delete_lan", "{'lan_id':'%s','expected_version':7,'enforce_pending':false}", a);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_edges"), 4);

    json_object_put(call("delete_lan", "{'lan_id':'%s'}", b));
    expect_list(call("list_lans_for_topology", "{'topology_id':'%s'}", t), "name", "a");
    expect_list(call("list_topology_edges", "{'topology_id':'%s'}", t), "lan_id",
                (snprintf(want, sizeof(want), "%s %s %s", a, a, a), want));
    json_object_put(call("delete_topology_decky", "{'decky_uuid':'%s'}", home));
    refuse(REPO_E_ORPHAN, "decky br", "delete_lan", "{'lan_id':'%s'}", a);
    json_object_put(call("delete_topology_decky", "{'decky_uuid':'%s'}", bridge));
    json_object_put(call("delete_lan", "{'lan_id':'%s'}", a));
    cr_expect_eq(parts_of(t), 0);
    cr_expect_eq(version(t), 1);
}

Test(repo_topologies, extreme_values)
{
    const char *t = topology("t"), *l = lan(t, "l");
    cleanup(buf_free) Buf huge = {0};

    for (int i = 0; i < 1 << 20; i++)
        buf_add_char(&huge, 'x');
    buf_add_char(&huge, '\0');
    json_object_put(call("update_lan", "{'lan_id':'%s','fields':{'x':1e308,'y':-0.0,'subnet':'%s'}}", l, huge.data));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM lans WHERE x = 1e308 AND y = 0 AND length(subnet) = 1048576"),
                 1);
    json_object_put(call("set_topology_email_personas", "{'topology_id':'%s','personas_json':'%s'}", t, huge.data));
    refuse(REPO_E_INVALID, "at most 256 characters", "update_lan", "{'lan_id':'%s','fields':{'name':'%s'}}", l,
           huge.data);
    refuse(REPO_E_INVALID, "x must be a number", "update_lan", "{'lan_id':'%s','fields':{'x':1e400}}", l);
    harness_sql("UPDATE topologies SET version = 2147483647");
    refuse(REPO_E_INVALID, "out of range", "update_lan",
           "{'lan_id':'%s','fields':{'x':1},'expected_version':2147483647}", l);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM lans WHERE x = 1e308"), 1);
}

/* --- deckies --- */

Test(repo_topologies, deckies_are_added_changed_and_listed_by_name)
{
    const char *t = topology("t"), *plain = decky(t, "b");
    const char *full = keep(
        call("add_topology_decky",
             "{'data':{'topology_id':'%s','name':'B','services':['ssh','http'],'decky_config':{'ips_by_lan':"
             "{'LAN-00':'10.0.0.2','DMZ':'10.1.0.2'},'a':1.50},'ip':'10.0.0.2','state':'running','last_error':'e',"
             "'compose_hash':'h','last_seen':'2026-01-02 03:04:05','updated_at':'2026-01-02T03:04:06Z','x':1,'y':2,"
             "'uuid':'ab000000-0000-4000-8000-0000000000c1','other':1}}",
             t));

    cr_expect_str_eq(full, "ab000000-0000-4000-8000-0000000000c1");
    decky(topology("u"), "b");
    cleanup(json_putp) json_object *list = call("list_topology_deckies", "{'topology_id':'%s'}", t);
    expect_list(json_object_get(list), "name", "B b");
    cr_expect_eq(json_object_object_length(nth(list, 0)), 10);
    expect_key(nth(list, 0), "uuid", full);
    expect_key(nth(list, 0), "topology_id", t);
    expect_key(nth(list, 0), "services", "[ \"ssh\", \"http\" ]");
    cr_expect_str_eq(json_object_to_json_string_ext(json_object_object_get(nth(list, 0), "decky_config"), 0),
                     "{\"ips_by_lan\":{\"LAN-00\":\"10.0.0.2\",\"DMZ\":\"10.1.0.2\"},\"a\":1.5}", "in their order");
    expect_key(nth(list, 0), "ip", "10.0.0.2");
    expect_key(nth(list, 0), "state", "running");
    expect_key(nth(list, 0), "last_error", "e");
    expect_key(nth(list, 1), "uuid", plain);
    expect_key(nth(list, 1), "services", "[ ]");
    expect_key(nth(list, 1), "decky_config", "null");
    expect_key(nth(list, 1), "state", "pending");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_deckies WHERE compose_hash = 'h' AND x = 1 AND y = 2"
                                 " AND last_seen = '2026-01-02T03:04:05Z' AND updated_at = '2026-01-02T03:04:06Z'"),
                 1);

    json_object_put(call("update_topology_decky",
                         "{'decky_uuid':'%s','fields':{'services':'[\\'smb\\']','decky_config':'{\\'ips_by_lan\\':"
                         "{\\'zz\\':1,\\'a\\':2}}','last_error':null,'ip':null,'name':'A'}}",
                         full));
    cleanup(json_putp) json_object *after = call("list_topology_deckies", "{'topology_id':'%s'}", t);
    expect_key(nth(after, 0), "name", "A");
    expect_key(nth(after, 0), "services", "[ \"smb\" ]");
    cr_expect_str_eq(json_object_to_json_string_ext(json_object_object_get(nth(after, 0), "decky_config"), 0),
                     "{\"ips_by_lan\":{\"zz\":1,\"a\":2}}", "replaced as a whole, in its order");
    expect_key(nth(after, 0), "last_error", "null");
    expect_key(nth(after, 0), "ip", "null");
    expect_key(nth(after, 0), "state", "running");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_deckies WHERE uuid = '%s' AND compose_hash = 'h'"
                                 " AND updated_at > now() - interval '1 minute'",
                                 full),
                 1);
    json_object_put(call("update_topology_decky",
                         "{'decky_uuid':'%s','fields':{'updated_at':'2026-03-01T00:00:00Z','last_seen':null,"
                         "'decky_config':'null'}}",
                         full));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_deckies WHERE uuid = '%s' AND last_seen IS NULL"
                                 " AND updated_at = '2026-03-01' AND decky_config IS NULL AND x = 1",
                                 full),
                 1);
    cr_expect_eq(version(t), 1);
}

Test(repo_topologies, a_decky_is_refused)
{
    const char *t = topology("t"), *d = decky(t, "d");
    static const struct {
        int outcome;
        const char *words, *fields;
    } updates[] = {
        {REPO_E_INVALID, "uuid is no column", "'uuid':'" UNKNOWN "'"},
        {REPO_E_INVALID, "topology_id is no column", "'topology_id':'" UNKNOWN "'"},
        {REPO_E_INVALID, "services must be a list", "'services':{}"},
        {REPO_E_INVALID, "services must be a list", "'services':'ssh,http'"},
        {REPO_E_INVALID, "services must not be null", "'services':null"},
        {REPO_E_INVALID, "decky_config must be an object", "'decky_config':[]"},
        {REPO_E_INVALID, "last_seen must be a time", "'last_seen':'now'"},
        {REPO_E_INVALID, "state must not be null", "'state':null"},
        {REPO_E_CONFLICT, "uq_topology_decky_name", "'name':'e'"},
    };

    decky(t, "e");
    for (size_t i = 0; i < ARRAY_SIZE(updates); i++)
        refuse(updates[i].outcome, updates[i].words, "update_topology_decky",
               "{'decky_uuid':'%s','fields':{%s},'expected_version':1}", d, updates[i].fields);
    cr_expect_eq(version(t), 1, "a change that failed leaves no step behind");
    refuse(REPO_E_CONFLICT, "uq_topology_decky_name", "add_topology_decky",
           "{'data':{'topology_id':'%s','name':'d'},'expected_version':1}", t);
    cr_expect_eq(version(t), 1);
    refuse(REPO_E_FK, "foreign key", "add_topology_decky", "{'data':{'topology_id':'" UNKNOWN "','name':'d'}}");
    refuse(REPO_E_INVALID, "key name is missing", "add_topology_decky", "{'data':{'topology_id':'%s'}}", t);
    refuse(REPO_E_INVALID, "data must be an object", "add_topology_decky", "{'data':'{}'}");
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
        refuse(REPO_E_NOT_FOUND, "there is no such decky", "update_topology_decky",
               "{'decky_uuid':'%s','fields':{'state':'failed'}}", nobody[i]);
        json_object_put(call("update_topology_decky", "{'decky_uuid':'%s','fields':{}}", nobody[i]));
        json_object_put(call("delete_topology_decky", "{'decky_uuid':'%s','expected_version':4}", nobody[i]));
        expect_list(call("list_topology_deckies", "{'topology_id':'%s'}", nobody[i]), "name", "");
    }
    expect_list(call("list_topology_deckies", "{'topology_id':'%s'}", t), "name", "d e");
}

Test(repo_topologies, running_deckies_of_all_topologies)
{
    const char *t = topology("t"), *u = topology("u");
    bool t_first = strcmp(t, u) < 0;

    decky(t, "idle");
    decky(t, "b");
    decky(t, "B");
    decky(u, "c");
    harness_sql("UPDATE topology_deckies SET state = 'running', services = '[\"ssh\"]' WHERE name <> 'idle'");
    set_status(u, "torn_down");
    cleanup(json_putp) json_object *list = call("list_running_topology_deckies", "{}");
    expect_list(json_object_get(list), "name", t_first ? "B b c" : "c B b");
    cr_expect_eq(json_object_object_length(nth(list, 0)), 13, "whole rows");
    expect_key(nth(list, 0), "services", "[ \"ssh\" ]");
    expect_key(nth(list, 0), "compose_hash", "null");
}

/* --- edges --- */

Test(repo_topologies, edges_join_a_decky_and_a_lan_of_one_topology)
{
    const char *t = topology("t"), *l = lan(t, "l"), *d = decky(t, "d");
    const char *u = topology("u"), *far_lan = lan(u, "l"), *far_decky = decky(u, "d");
    static const char add[] = "{'data':{'topology_id':'%s','decky_uuid':'%s','lan_id':'%s'}}";
    const char *e = keep(call("add_topology_edge",
                              "{'data':{'topology_id':'%s','decky_uuid':'%s','lan_id':'%s','is_bridge':true,"
                              "'forwards_l3':true,'id':'ffffffff-ffff-4fff-bfff-ffffffffffff'}}",
                              t, d, l));
    const char *again = edge(t, d, l);
    char want[80];

    cleanup(json_putp) json_object *list = call("list_topology_edges", "{'topology_id':'%s'}", t);
    snprintf(want, sizeof(want), "%s %s", again, e);
    expect_list(json_object_get(list), "id", want);
    expect_list(json_object_get(list), "is_bridge", "false true");
    expect_list(json_object_get(list), "forwards_l3", "false true");
    cr_expect_eq(json_object_object_length(nth(list, 0)), 6);
    expect_key(nth(list, 1), "topology_id", t);
    expect_key(nth(list, 1), "decky_uuid", d);
    expect_key(nth(list, 1), "lan_id", l);

    refuse(REPO_E_INVALID, "lan_id belongs to another topology", "add_topology_edge", add, t, d, far_lan);
    refuse(REPO_E_INVALID, "decky_uuid belongs to another topology", "add_topology_edge", add, t, far_decky, l);
    refuse(REPO_E_INVALID, "belongs to another topology", "add_topology_edge", add, t, far_decky, far_lan);
    refuse(REPO_E_FK, "foreign key", "add_topology_edge", add, t, d, UNKNOWN);
    refuse(REPO_E_FK, "foreign key", "add_topology_edge", add, t, UNKNOWN, l);
    refuse(REPO_E_FK, "foreign key", "add_topology_edge", add, UNKNOWN, d, l);
    refuse(REPO_E_INVALID, "lan_id must be a uuid", "add_topology_edge", add, t, d, "LAN-00");
    refuse(REPO_E_INVALID, "key decky_uuid is missing", "add_topology_edge", "{'data':{'topology_id':'%s'}}", t);

    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++)
        json_object_put(call("delete_topology_edge", "{'edge_id':'%s','expected_version':5}", nobody[i]));
    json_object_put(call("delete_topology_edge", "{'edge_id':'%s'}", e));
    json_object_put(call("delete_topology_edge", "{'edge_id':'%s'}", again));
    expect_list(call("list_topology_edges", "{'topology_id':'%s'}", t), "id", "");
    expect_list(call("list_topology_deckies", "{'topology_id':'%s'}", t), "name", "d"); /* without a LAN, and there */
    cr_expect_eq(version(t), 1);
}

Test(repo_topologies, a_decky_takes_its_edges_along)
{
    const char *t = topology("t"), *l = lan(t, "l"), *d = decky(t, "d"), *e = decky(t, "e");

    edge(t, d, l);
    edge(t, e, l);
    json_object_put(call("delete_topology_decky", "{'decky_uuid':'%s'}", d));
    expect_list(call("list_topology_edges", "{'topology_id':'%s'}", t), "decky_uuid", e);
    expect_list(call("list_topology_deckies", "{'topology_id':'%s'}", t), "name", "e");
}

/* --- versions and pending --- */

Test(repo_topologies, the_version_steps_only_when_one_is_expected)
{
    const char *t = topology("t");
    const char *l =
        keep(call("add_lan", "{'data':{'topology_id':'%s','name':'l','subnet':'s'},'expected_version':1}", t));
    const char *d =
        keep(call("add_topology_decky", "{'data':{'topology_id':'%s','name':'d'},'expected_version':2}", t));
    const char *e =
        keep(call("add_topology_edge",
                  "{'data':{'topology_id':'%s','decky_uuid':'%s','lan_id':'%s'},'expected_version':3}", t, d, l));
    const struct {
        const char *method, *key, *id, *fields;
    } steps[] = {
        {"update_lan", "lan_id", l, ",'fields':{'x':1}"},
        {"update_topology_decky", "decky_uuid", d, ",'fields':{'state':'running'}"},
        {"delete_topology_edge", "edge_id", e, ""},
        {"delete_topology_decky", "decky_uuid", d, ""},
        {"delete_lan", "lan_id", l, ""},
    };

    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        char want[80];
        cr_expect_eq(version(t), 4 + (int64_t)i);
        for (int off = -1; off <= 1; off += 2) {
            refuse(REPO_E_VERSION, "read it again", steps[i].method, "{'%s':'%s'%s,'expected_version':%d}",
                   steps[i].key, steps[i].id, steps[i].fields, 4 + (int)i + off);
            snprintf(want, sizeof(want), "\"current\":%d,\"expected\":%d", 4 + (int)i, 4 + (int)i + off);
            expect_detail(want);
        }
        json_object_put(call(steps[i].method, "{'%s':'%s'%s,'expected_version':%d}", steps[i].key, steps[i].id,
                             steps[i].fields, 4 + (int)i));
    }
    cr_expect_eq(version(t), 9);
    cr_expect_eq(parts_of(t), 0);
    static const char *const wrong[] = {"8", "-1", "9223372036854775807"};
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        refuse(REPO_E_VERSION, "version 9", "add_lan",
               "{'data':{'topology_id':'%s','name':'l','subnet':'s'},'expected_version':%s}", t, wrong[i]);
    refuse(REPO_E_INVALID, "expected_version must be an integer", "add_lan",
           "{'data':{'topology_id':'%s','name':'l','subnet':'s'},'expected_version':'9'}", t);
    refuse(REPO_E_NOT_FOUND, "there is no such topology", "add_lan",
           "{'data':{'topology_id':'" UNKNOWN "','name':'l','subnet':'s'},'expected_version':1}");
    cr_expect_eq(parts_of(t), 0);
    cr_expect_str_eq(repo_error_class(repo, REPO_E_VERSION), "E_VERSION");
}

Test(repo_topologies, only_a_pending_one_is_edited_when_that_is_asked)
{
    static const char *const others[] = {"deploying", "active", "degraded", "failed", "tearing_down", "torn_down"};
    const char *t = topology("t"), *l = lan(t, "l"), *d = decky(t, "d"), *e = edge(t, d, l), *free_lan = lan(t, "f");
    const struct {
        const char *method, *key, *id, *fields, *asked;
    } edits[] = {
        {"update_lan", "lan_id", l, ",'fields':{'name':'n'}", ",'enforce_pending':true"},
        {"update_topology_decky", "decky_uuid", d, ",'fields':{'name':'n'}", ",'enforce_pending':true"},
        {"delete_lan", "lan_id", free_lan, "", ""},
        {"delete_topology_edge", "edge_id", e, "", ""},
        {"delete_topology_decky", "decky_uuid", d, "", ""},
    };
    char want[120];

    for (size_t s = 0; s < ARRAY_SIZE(others); s++) {
        set_status(t, others[s]);
        for (size_t i = 0; i < ARRAY_SIZE(edits); i++) {
            refuse(REPO_E_NOT_EDITABLE, "only a pending topology can be edited", edits[i].method,
                   "{'%s':'%s'%s%s,'expected_version':77}", edits[i].key, edits[i].id, edits[i].fields, edits[i].asked);
            snprintf(want, sizeof(want), "\"status\":\"%s\",\"reason\":\"only a pending topology can be edited\"",
                     others[s]);
            expect_detail(want);
        }
    }
    refuse(REPO_E_NOT_EDITABLE, "torn_down", "delete_lan", "{'lan_id':'%s'}", l); /* before the orphan is looked for */
    lan(t, "added");                                                              /* adding does not ask */
    json_object_put(call("update_lan", "{'lan_id':'%s','fields':{}, 'enforce_pending':true}", l));
    for (size_t i = 0; i < ARRAY_SIZE(edits); i++)
        json_object_put(
            call(edits[i].method, "{'%s':'%s'%s,'enforce_pending':false}", edits[i].key, edits[i].id, edits[i].fields));
    expect_list(call("list_lans_for_topology", "{'topology_id':'%s'}", t), "name", "added n");
    expect_list(call("list_topology_deckies", "{'topology_id':'%s'}", t), "name", "");
    set_status(t, "pending");
    json_object_put(
        call("update_lan", "{'lan_id':'%s','fields':{'name':'m'},'enforce_pending':true,'expected_version':1}", l));
    json_object_put(call("delete_lan", "{'lan_id':'%s','expected_version':2}", l));
    cr_expect_eq(version(t), 3);
}

Test(repo_topologies, a_refused_edit_within_a_transaction_has_changed_nothing)
{
    const char *t = topology("t"), *l = lan(t, "l");

    cr_assert_eq(repo_begin(repo), 0);
    refuse(REPO_E_VERSION, "version 1", "delete_lan", "{'lan_id':'%s','expected_version':2}", l);
    refuse(REPO_E_NOT_FOUND, "no such LAN", "update_lan",
           "{'lan_id':'" UNKNOWN "','fields':{'x':1},'expected_version':1}");
    cr_assert_eq(repo_commit(repo), 0);
    cr_expect_eq(version(t), 1);
    cr_expect_eq(parts_of(t), 1);
}

/* --- several at once --- */

enum { ROUNDS = 25 };

typedef struct Race {
    const char *topology, *lan, *decky, *other_decky;
    _Atomic int wins[HAMMERS * ROUNDS + 2]; /* by version */
    _Atomic int done, refused;
} Race;

/* A deadlock is mended by another try, so only the server knows; a session reports it when it ends at the latest. */
static void expect_no_deadlock(void)
{
    cr_expect(harness_sql_wait(0, 10000,
                               "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'hammer'"
                               " AND datname = current_database()"));
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}

/* Reads the version and edits with it, like every editor does, until it has won ROUNDS times. */
static void edit_versioned(Repo *own, int index, void *arg)
{
    Race *race = arg;
    int won = 0;

    for (int i = 0; won < ROUNDS; i++) {
        cleanup(json_putp) json_object *row = call_on(own, "get_topology", "{'topology_id':'%s'}", race->topology);
        int at = (int)json_object_get_int64(json_object_object_get(row, "version"));
        int r;
        if (index % 2)
            r = outcome_on(own, "update_topology_decky",
                           "{'decky_uuid':'%s','fields':{'ip':'%d-%d'},'expected_version':%d,'enforce_pending':true}",
                           race->decky, index, i, at);
        else
            r = outcome_on(own, "add_lan",
                           "{'data':{'topology_id':'%s','name':'%d-%d','subnet':'s'},'expected_version':%d}",
                           race->topology, index, won, at);
        cr_assert(r == 0 || r == REPO_E_VERSION, "%s", repo_error_text(own));
        won += r == 0;
        if (r == 0)
            race->wins[at]++;
    }
}

Test(repo_topologies, one_editor_wins_each_version)
{
    Race race = {.topology = topology("t")};

    race.decky = decky(race.topology, "d");
    hammer_all(edit_versioned, &race);
    cr_expect_eq(version(race.topology), 1 + HAMMERS * ROUNDS);
    for (int i = 1; i <= HAMMERS * ROUNDS; i++)
        cr_expect_eq(race.wins[i], 1, "version %d: %d", i, race.wins[i]);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM lans"), HAMMERS / 2 * ROUNDS);
    expect_no_deadlock();
}

static void change_status(Repo *own, int index, void *arg)
{
    static const char *const words[] = {"pending", "deploying", "active", "degraded", "failed"};
    Race *race = arg;

    for (int i = 0; i < ROUNDS; i++)
        json_object_put(call_on(own, "update_topology_status", "{'topology_id':'%s','new_status':'%s','reason':'%d'}",
                                race->topology, words[(index + i) % 5], index));
}

Test(repo_topologies, events_of_changes_at_the_same_time_are_a_chain)
{
    Race race = {.topology = topology("t")};

    hammer_all(change_status, &race);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_status_events"), HAMMERS * ROUNDS);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM (SELECT from_status, lag(to_status, 1, 'pending')"
                                 " OVER (ORDER BY at, id) AS before FROM topology_status_events) e"
                                 " WHERE from_status <> before"),
                 0, "each begins where the one before ended");
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM topologies t WHERE (status, status_changed_at) ="
                        " (SELECT to_status, at FROM topology_status_events ORDER BY at DESC, id DESC LIMIT 1)"),
        1);
}

/* Adds, changes and deletes parts of one topology, which others delete meanwhile. */
static void edit_all(Repo *own, int index, void *arg)
{
    Race *race = arg;

    for (int i = 0; i < ROUNDS; i++) {
        int r[] = {
            outcome_on(own, "add_lan", "{'data':{'topology_id':'%s','name':'l%d','subnet':'s'}}", race->topology, i),
            outcome_on(own, "add_topology_decky", "{'data':{'topology_id':'%s','name':'d%d-%d'}}", race->topology,
                       index, i),
            outcome_on(own, "add_topology_edge", "{'data':{'topology_id':'%s','decky_uuid':'%s','lan_id':'%s'}}",
                       race->topology, race->decky, race->lan),
            outcome_on(own, "update_lan", "{'lan_id':'%s','fields':{'name':'l%d'}}", race->lan, i),
            outcome_on(own, "enqueue_topology_mutation", "{'topology_id':'%s','op':'noop','payload':{}}",
                       race->topology),
            outcome_on(own, "update_topology_decky", "{'decky_uuid':'%s','fields':{'state':'running'}}", race->decky),
            outcome_on(own, "update_topology_status", "{'topology_id':'%s','new_status':'active'}", race->topology),
            outcome_on(own, "claim_next_mutation", "{'topology_id':'%s'}", race->topology),
            index == 0 && i == ROUNDS / 2
                ? outcome_on(own, "delete_topology_cascade", "{'topology_id':'%s'}", race->topology)
                : 0,
        };
        for (size_t k = 0; k < ARRAY_SIZE(r); k++)
            cr_expect(r[k] == 0 || r[k] == REPO_E_FK || r[k] == REPO_E_CONFLICT || r[k] == REPO_E_NOT_FOUND,
                      "%zu: %d, %s", k, r[k], repo_error_text(own));
        race->done += r[0] == 0 || r[1] == 0;
        race->refused += r[1] == REPO_E_FK;
    }
}

Test(repo_topologies, deleting_while_others_add_leaves_no_part_and_no_deadlock)
{
    Race race = {.topology = topology("t")};

    race.lan = lan(race.topology, "home");
    race.decky = decky(race.topology, "d");
    hammer_all(edit_all, &race);
    cr_expect_gt(race.done, 0, "some came before");
    cr_expect_gt(race.refused, 0, "and some after");
    cr_expect_eq(call_int("count_topologies", "{}"), 0);
    cr_expect_eq(parts_of(race.topology), 0);
    cr_expect_eq(harness_sql_int("SELECT (SELECT count(*) FROM lans) + (SELECT count(*) FROM topology_edges)"), 0);
    expect_no_deadlock();
}

/* Deckies that take each other's names. */
static void rename_all(Repo *own, int index, void *arg)
{
    Race *race = arg;

    for (int i = 0; i < ROUNDS; i++) {
        int r = outcome_on(own, "update_topology_decky", "{'decky_uuid':'%s','fields':{'name':'%d'}}",
                           (index + i) % 2 ? race->decky : race->other_decky, (index + i / 2) % 3);
        cr_assert(r == 0 || r == REPO_E_CONFLICT, "%s", repo_error_text(own));
        race->done += r == 0;
        race->refused += r != 0;
    }
}

Test(repo_topologies, names_change_without_deadlock)
{
    Race race = {.topology = topology("t")};

    race.decky = decky(race.topology, "0");
    race.other_decky = decky(race.topology, "1");
    hammer_all(rename_all, &race);
    cr_expect_gt(race.done, 0);
    cr_expect_gt(race.refused, 0);
    expect_no_deadlock();
}

/* Half of them put new deckies on a LAN, as their only one, the others delete that LAN; it comes back. */
static void fight_for_lan(Repo *own, int index, void *arg)
{
    Race *race = arg;

    for (int i = 0; i < ROUNDS; i++) {
        if (index % 2) {
            int r = outcome_on(own, "delete_lan", "{'lan_id':'%s','enforce_pending':%s}", race->lan,
                               i % 2 ? "true" : "false");
            cr_assert(r == 0 || r == REPO_E_ORPHAN, "%s", repo_error_text(own));
            race->refused += r == REPO_E_ORPHAN;
            r = outcome_on(own, "add_lan", "{'data':{'topology_id':'%s','id':'%s','name':'l','subnet':'s'}}",
                           race->topology, race->lan);
            cr_assert(r == 0 || r == REPO_E_CONFLICT, "%s", repo_error_text(own));
            continue;
        }
        json_object *id = call_on(own, "add_topology_decky", "{'data':{'topology_id':'%s','name':'%d-%d'}}",
                                  race->topology, index, i);
        int r = outcome_on(own, "add_topology_edge", "{'data':{'topology_id':'%s','decky_uuid':'%s','lan_id':'%s'}}",
                           race->topology, json_object_get_string(id), race->lan);
        cr_assert(r == 0 || r == REPO_E_FK, "%s", repo_error_text(own));
        race->done += r == 0;
        if (r == 0 && i % 3) /* take it away again, so that the LAN can go */
            json_object_put(call_on(own, "delete_topology_decky", "{'decky_uuid':'%s'}", json_object_get_string(id)));
        race->wins[0] += r == 0 && i % 3 == 0;
        json_object_put(id);
    }
}

Test(repo_topologies, a_lan_does_not_go_from_under_a_new_decky)
{
    Race race = {.topology = topology("t")};

    race.lan = lan(race.topology, "l");
    hammer_all(fight_for_lan, &race);
    cr_expect_gt(race.done, 0);
    cr_expect_gt(race.refused, 0);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_edges"), race.wins[0],
                 "whoever was put on the LAN is still there");
    expect_no_deadlock();
}
