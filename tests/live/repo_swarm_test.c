/* Hosts of the swarm and their shards. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_swarm, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define HOST "50000000-0000-4000-8000-000000000001"
#define OTHER "50000000-0000-4000-8000-000000000002"
#define UNKNOWN "50000000-0000-4000-8000-000000000099"

static bool is_true(json_object *value)
{
    bool is = json_object_get_boolean(value);
    cr_expect(json_object_is_type(value, json_type_boolean));
    json_object_put(value);
    return is;
}

static void enrol(const char *uuid, const char *name, const char *more)
{
    json_object_put(call("add_swarm_host",
                         "{'data':{'uuid':'%s','name':'%s','address':'10.0.0.1','client_cert_fingerprint':'f-%s',"
                         "'cert_bundle_path':'/b'%s}}",
                         uuid, name, name, more));
}

static json_object *host(const char *uuid)
{
    return call("get_swarm_host_by_uuid", "{'uuid':'%s'}", uuid);
}

/* --- hosts --- */

Test(repo_swarm, a_host_is_enrolled)
{
    enrol("50000000000040008000000000000001", "w1", ",'nonsense':1");
    cleanup(json_putp) json_object *row = host(HOST);
    cr_expect_eq(json_object_object_length(row), 12);
    static const struct {
        const char *key, *want;
    } cases[] = {
        {"uuid", HOST},
        {"name", "w1"},
        {"address", "10.0.0.1"},
        {"agent_port", "8765"},
        {"status", "enrolled"},
        {"last_heartbeat", "null"},
        {"notes", "null"},
        {"client_cert_fingerprint", "f-w1"},
        {"use_ipvlan", "false"},
        {"updater_cert_fingerprint", "null"},
        {"cert_bundle_path", "/b"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_key(row, cases[i].key, cases[i].want);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM swarm_hosts WHERE enrolled_at > now() - interval '1 minute'"),
                 1);

    enrol(OTHER, "w2",
          ",'agent_port':1,'status':'active','use_ipvlan':true,'notes':'n','updater_cert_fingerprint':'u',"
          "'enrolled_at':'2026-01-01T00:00:00','last_heartbeat':'2026-01-02 03:04:05+01:00'");
    cleanup(json_putp) json_object *by_name = call("get_swarm_host_by_name", "{'name':'w2'}");
    expect_key(by_name, "uuid", OTHER);
    expect_key(by_name, "agent_port", "1");
    expect_key(by_name, "status", "active");
    expect_key(by_name, "use_ipvlan", "true");
    expect_key(by_name, "last_heartbeat", "2026-01-02T02:04:05.000000Z");
    cr_expect_null(call("get_swarm_host_by_name", "{'name':'W2'}"));
    cr_expect_null(host(UNKNOWN));
    cr_expect_null(host("nope"));
}

Test(repo_swarm, what_is_no_host_is_refused)
{
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"'name':'n','address':'a','client_cert_fingerprint':'f','cert_bundle_path':'/b'", "key uuid is missing"},
        {"'uuid':'" HOST "','address':'a','client_cert_fingerprint':'f','cert_bundle_path':'/b'",
         "key name is missing"},
        {"'uuid':'" HOST "','name':'n','client_cert_fingerprint':'f','cert_bundle_path':'/b'",
         "key address is missing"},
        {"'uuid':'" HOST "','name':'n','address':'a','cert_bundle_path':'/b'",
         "key client_cert_fingerprint is missing"},
        {"'uuid':'" HOST "','name':'n','address':'a','client_cert_fingerprint':'f'", "key cert_bundle_path is missing"},
        {"'uuid':'nope','name':'n','address':'a','client_cert_fingerprint':'f','cert_bundle_path':'/b'",
         "uuid must be a uuid"},
        {"'uuid':'" HOST "','name':null,'address':'a','client_cert_fingerprint':'f','cert_bundle_path':'/b'",
         "name must not be null"},
        {"'uuid':'" HOST
         "','name':'n','address':'a','client_cert_fingerprint':'f','cert_bundle_path':'/b','agent_port':"
         "'1'",
         "agent_port must be an integer"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(REPO_E_INVALID, cases[i].words, "add_swarm_host", "{'data':{%s}}", cases[i].data);
    enrol(HOST, "w1", "");
    static const char rest[] = "'address':'a','client_cert_fingerprint':'f','cert_bundle_path':'/b'";
    refuse(REPO_E_CONFLICT, "name", "add_swarm_host", "{'data':{'uuid':'" OTHER "','name':'w1',%s}}", rest);
    refuse(REPO_E_CONFLICT, "pkey", "add_swarm_host", "{'data':{'uuid':'" HOST "','name':'w2',%s}}", rest);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM swarm_hosts"), 1);
}

Test(repo_swarm, a_fingerprint_that_two_hosts_share_is_nobodys)
{
    enrol(HOST, "w1", "");
    enrol(OTHER, "w2", ",'updater_cert_fingerprint':'f-w1'");
    cleanup(json_putp) json_object *row = call("get_swarm_host_by_fingerprint", "{'fingerprint':'f-w1'}");
    expect_key(row, "uuid", HOST);
    cr_expect_null(call("get_swarm_host_by_fingerprint", "{'fingerprint':'F-W1'}"));
    cr_expect_null(call("get_swarm_host_by_fingerprint", "{'fingerprint':''}"));
    json_object_put(call("update_swarm_host", "{'uuid':'" OTHER "','fields':{'client_cert_fingerprint':'f-w1'}}"));
    refuse(REPO_E_CONFLICT, "more than one host has this fingerprint", "get_swarm_host_by_fingerprint",
           "{'fingerprint':'f-w1'}");
}

static void expect_hosts(const char *filter, const char *names)
{
    cleanup(json_putp) json_object *list = call("list_swarm_hosts", "{%s}", filter);
    cleanup(buf_free) Buf got = {0};

    for (size_t i = 0; i < json_object_array_length(list); i++)
        buf_add(&got, text_of(nth(list, i), "name"));
    cr_expect_str_eq(got.len ? got.data : "", names, "%s", filter);
}

Test(repo_swarm, hosts_are_listed_by_name)
{
    expect_hosts("", "");
    enrol(HOST, "b", "");
    enrol(OTHER, "a", ",'status':'active'");
    enrol("50000000-0000-4000-8000-000000000003", "B", ",'status':'active'");
    expect_hosts("", "Bab");
    expect_hosts("'status':null", "Bab");
    expect_hosts("'status':''", "Bab");
    expect_hosts("'status':'active'", "Ba");
    expect_hosts("'status':'Active'", "");
}

Test(repo_swarm, a_host_is_changed_as_far_as_it_may_be)
{
    enrol(HOST, "w1", ",'notes':'n'");
    enrol(OTHER, "w2", "");
    json_object_put(call("update_swarm_host",
                         "{'uuid':'" HOST "','fields':{'status':'unreachable','last_heartbeat':'2026-03-01T00:00:00Z',"
                         "'notes':null,'address':'h.example'}}"));
    cleanup(json_putp) json_object *row = host(HOST);
    expect_key(row, "status", "unreachable");
    expect_key(row, "last_heartbeat", "2026-03-01T00:00:00.000000Z");
    expect_key(row, "notes", "null");
    expect_key(row, "address", "h.example");
    expect_key(row, "name", "w1");
    expect_key(row, "client_cert_fingerprint", "f-w1");
    static const char *const silent[] = {HOST "','fields':{}", UNKNOWN "','fields':{}",
                                         UNKNOWN "','fields':{'notes':'x'}", "nope','fields':{'notes':'x'}"};
    for (size_t i = 0; i < ARRAY_SIZE(silent); i++)
        cr_expect_null(call("update_swarm_host", "{'uuid':'%s}", silent[i]));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM swarm_hosts WHERE notes = 'x'"), 0);
    static const char *const fixed[] = {"uuid", "enrolled_at", "nonsense"};
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        refuse(REPO_E_INVALID, "is no column that can be changed", "update_swarm_host",
               "{'uuid':'" HOST "','fields':{'notes':'y','%s':'" UNKNOWN "'}}", fixed[i]);
    refuse(REPO_E_INVALID, "name must not be null", "update_swarm_host", "{'uuid':'" HOST "','fields':{'name':null}}");
    refuse(REPO_E_CONFLICT, "name", "update_swarm_host", "{'uuid':'" HOST "','fields':{'name':'w2'}}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM swarm_hosts WHERE notes IS NOT NULL"), 0);
}

/* --- shards --- */

static void place(const char *decky, const char *uuid, const char *more)
{
    json_object_put(call("upsert_decky_shard", "{'data':{'decky_name':'%s','host_uuid':'%s'%s}}", decky, uuid, more));
}

Test(repo_swarm, a_host_goes_with_its_shards)
{
    enrol(HOST, "w1", "");
    enrol(OTHER, "w2", "");
    place("d1", HOST, "");
    place("d2", OTHER, "");
    harness_sql("INSERT INTO topologies (name, target_host_uuid) VALUES ('t', '" OTHER "')");
    cr_expect(is_true(call("delete_swarm_host", "{'uuid':'" HOST "'}")));
    cr_expect_not(is_true(call("delete_swarm_host", "{'uuid':'" HOST "'}")));
    cr_expect_not(is_true(call("delete_swarm_host", "{'uuid':'nope'}")));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM decky_shards WHERE decky_name = 'd2'"), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM decky_shards"), 1);
    refuse(REPO_E_FK, "topologies", "delete_swarm_host", "{'uuid':'" OTHER "'}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM decky_shards"), 1, "nothing went");
}

Test(repo_swarm, a_shard_is_merged_and_moved)
{
    enrol(HOST, "w1", "");
    enrol(OTHER, "w2", "");
    place("d1", HOST, "");
    cleanup(json_putp) json_object *fresh = call("list_decky_shards", "{}");
    json_object *row = nth(fresh, 0);
    cr_expect_eq(json_object_object_length(row), 10, "nothing is lifted out of no configuration");
    expect_key(row, "services", "[ ]");
    expect_key(row, "decky_config", "null");
    expect_key(row, "decky_ip", "null");
    expect_key(row, "state", "pending");
    expect_key(row, "last_error", "null");
    expect_key(row, "compose_hash", "null");
    expect_key(row, "last_seen", "null");

    place("d1", HOST,
          ",'services':'[\\'ssh\\',\\'ftp\\']','decky_config':'{\\'hostname\\':\\'h\\'}','decky_ip':'10.0.0.9','state':"
          "'running','last_error':'e','last_seen':'2026-01-01T00:00:00Z','updated_at':'2020-01-01T00:00:00Z'");
    place("d1", OTHER, ",'last_error':null,'compose_hash':'c'");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM decky_shards WHERE updated_at > '2020-01-02'"), 1);
    cleanup(json_putp) json_object *list = call("list_decky_shards", "{'host_uuid':'" OTHER "'}");
    cr_assert_eq(json_object_array_length(list), 1);
    row = nth(list, 0);
    expect_key(row, "host_uuid", OTHER);
    expect_key(row, "services", "[ \"ssh\", \"ftp\" ]");
    expect_key(row, "decky_config", "{ \"hostname\": \"h\" }");
    expect_key(row, "decky_ip", "10.0.0.9");
    expect_key(row, "state", "running");
    expect_key(row, "last_error", "null");
    expect_key(row, "compose_hash", "c");
    expect_key(row, "last_seen", "2026-01-01T00:00:00.000000Z");

    harness_pg_clock(60);
    place("d1", OTHER, "");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM decky_shards WHERE updated_at > clock_timestamp()"), 1);
}

Test(repo_swarm, what_is_no_shard_is_refused)
{
    static const struct {
        int outcome;
        const char *data, *words;
    } cases[] = {
        {REPO_E_INVALID, "'host_uuid':'" HOST "'", "key decky_name is missing"},
        {REPO_E_INVALID, "'decky_name':'d'", "key host_uuid is missing"},
        {REPO_E_INVALID, "'decky_name':'d','host_uuid':'local'", "host_uuid must be a uuid"},
        {REPO_E_INVALID, "'decky_name':'d','host_uuid':null", "host_uuid must not be null"},
        {REPO_E_INVALID, "'decky_name':'d','host_uuid':'" HOST "','services':{}", "services must be a list of texts"},
        {REPO_E_INVALID, "'decky_name':'d','host_uuid':'" HOST "','services':null", "services must not be null"},
        {REPO_E_INVALID, "'decky_name':'d','host_uuid':'" HOST "','decky_config':'no'", "decky_config must be JSON"},
        {REPO_E_INVALID, "'decky_name':'d','host_uuid':'" HOST "','last_seen':7", "last_seen must be a time"},
        {REPO_E_FK, "'decky_name':'d','host_uuid':'" UNKNOWN "'", "host_uuid"},
    };

    enrol(HOST, "w1", "");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(cases[i].outcome, cases[i].words, "upsert_decky_shard", "{'data':{%s}}", cases[i].data);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM decky_shards"), 0);
    place("d", HOST, "");
    refuse(REPO_E_FK, "host_uuid", "upsert_decky_shard", "{'data':{'decky_name':'d','host_uuid':'" UNKNOWN "'}}");
}

Test(repo_swarm, a_listed_shard_shows_what_its_configuration_has)
{
    enrol(HOST, "w1", "");
    place(
        "full", HOST,
        ",'decky_ip':'','decky_config':{'hostname':'h','distro':'debian','archetype':null,'service_config':{'ssh':{}},"
        "'mutate_interval':30,'last_mutated':1700000000.25,'ip':'10.0.0.3','other':1}");
    place("given", HOST, ",'decky_ip':'10.0.0.4','decky_config':{'ip':'10.0.0.5'}");
    place("list", HOST, ",'decky_config':[1]");
    place("none", HOST, ",'decky_ip':''");
    cleanup(json_putp) json_object *list = call("list_decky_shards", "{}");
    cr_assert_eq(json_object_array_length(list), 4);
    json_object *full = nth(list, 0);
    cr_expect_eq(json_object_object_length(full), 16);
    expect_key(full, "decky_ip", "10.0.0.3");
    expect_key(full, "hostname", "h");
    expect_key(full, "distro", "debian");
    expect_key(full, "archetype", "null");
    expect_key(full, "service_config", "{ \"ssh\": { } }");
    expect_key(full, "mutate_interval", "30");
    expect_key(full, "last_mutated", "1700000000.25");
    cr_expect_eq(json_object_object_length(nth(list, 1)), 10);
    expect_key(nth(list, 1), "decky_ip", "10.0.0.4");
    expect_key(nth(list, 2), "decky_config", "[ 1 ]");
    cr_expect_eq(json_object_object_length(nth(list, 2)), 10);
    expect_key(nth(list, 3), "decky_ip", "");
    harness_sql("UPDATE decky_shards SET services = '7'");
    cleanup(json_putp) json_object *spoilt = call("list_decky_shards", "{}");
    expect_key(nth(spoilt, 0), "services", "[ ]");
}

static void expect_shards(const char *filter, const char *names)
{
    cleanup(json_putp) json_object *list = call("list_decky_shards", "{%s}", filter);
    cleanup(buf_free) Buf got = {0};

    for (size_t i = 0; i < json_object_array_length(list); i++)
        buf_add(&got, text_of(nth(list, i), "decky_name"));
    cr_expect_str_eq(got.len ? got.data : "", names, "%s", filter);
}

Test(repo_swarm, shards_are_listed_by_name_and_deleted)
{
    enrol(HOST, "w1", "");
    enrol(OTHER, "w2", "");
    place("b", HOST, "");
    place("a", OTHER, "");
    place("B", HOST, "");
    expect_shards("", "Bab");
    expect_shards("'host_uuid':null", "Bab");
    expect_shards("'host_uuid':''", "Bab");
    expect_shards("'host_uuid':'" HOST "'", "Bb");
    expect_shards("'host_uuid':'50000000000040008000000000000002'", "a");
    expect_shards("'host_uuid':'" UNKNOWN "'", "");
    expect_shards("'host_uuid':'nope'", "");
    cr_expect(is_true(call("delete_decky_shard", "{'decky_name':'B'}")));
    cr_expect_not(is_true(call("delete_decky_shard", "{'decky_name':'B'}")));
    place("c", HOST, "");
    cr_expect_eq(call_int("delete_decky_shards_for_host", "{'host_uuid':'nope'}"), 0);
    cr_expect_eq(call_int("delete_decky_shards_for_host", "{'host_uuid':'" HOST "'}"), 2);
    cr_expect_eq(call_int("delete_decky_shards_for_host", "{'host_uuid':'" HOST "'}"), 0);
    expect_shards("", "a");
}

/* --- many at once --- */

/* Each connection merges a key of its own into the same shards and moves them about. */
static void merge_shards(Repo *own, int index, void *arg)
{
    static const char *const keys[] = {"decky_ip", "state", "last_error", "compose_hash"};

    (void)arg;
    for (int i = 0; i < 30; i++)
        json_object_put(call_on(own, "upsert_decky_shard",
                                "{'data':{'decky_name':'d%d','host_uuid':'%s','%s':'from %s'}}", i % 5,
                                (index + i) % 2 ? HOST : OTHER, keys[index % 4], keys[index % 4]));
}

Test(repo_swarm, no_merge_of_many_is_lost)
{
    enrol(HOST, "w1", "");
    enrol(OTHER, "w2", "");
    hammer_all(merge_shards, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM decky_shards"), 5);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM decky_shards WHERE decky_ip = 'from decky_ip'"
                                 " AND state = 'from state' AND last_error = 'from last_error'"
                                 " AND compose_hash = 'from compose_hash'"),
                 5);
}

/* One takes the hosts away and brings them back while the others place shards on them. */
static void place_or_remove(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 30; i++) {
        const char *uuid = i % 2 ? HOST : OTHER;
        cleanup(buf_free) Buf result = {0};
        char params[256];
        if (index < 2)
            snprintf(params, sizeof(params), "{\"uuid\":\"%s\"}", uuid);
        else
            snprintf(params, sizeof(params), "{\"data\":{\"decky_name\":\"d%d\",\"host_uuid\":\"%s\"}}", i % 3, uuid);
        cleanup(json_putp) json_object *json = json_parse(str_from(params));
        int r = repo_call(own, index < 2 ? "delete_swarm_host" : "upsert_decky_shard", json, &result);
        cr_expect(r == 0 || (r == REPO_E_FK && index >= 2), "%d: %s", r, repo_error_text(own));
        if (index < 2) {
            snprintf(params, sizeof(params),
                     "{\"data\":{\"uuid\":\"%s\",\"name\":\"%s\",\"address\":\"\",\"client_cert_fingerprint\":\"f\","
                     "\"cert_bundle_path\":\"/b\"}}",
                     uuid, uuid);
            cleanup(json_putp) json_object *back = json_parse(str_from(params));
            r = repo_call(own, "add_swarm_host", back, &result);
            cr_expect(r == 0 || r == REPO_E_CONFLICT, "%d: %s", r, repo_error_text(own));
        }
    }
}

Test(repo_swarm, hosts_that_come_and_go_deadlock_nobody)
{
    enrol(HOST, HOST, "");
    enrol(OTHER, OTHER, "");
    int64_t before = harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()");
    hammer_all(place_or_remove, NULL);
    harness_sql("SELECT pg_stat_force_next_flush()");
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), before);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM swarm_hosts"), 2);
}
