/* Topologies: networks of deckies that are planned, edited while pending, and watched when live. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "topology_support.h"

TestSuite(repo_topologies, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

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
    const char *topology, *decky;
    _Atomic int wins[HAMMERS * ROUNDS + 2]; /* by version */
} Race;

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
