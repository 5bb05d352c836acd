/* The fleet's mirror, the deployer's file, and what runs anywhere. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "harness.h"
#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_fleet, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define HOST "f0000000-0000-4000-8000-00000000000a"

static void mirror(const char *data)
{
    json_object_put(call("upsert_fleet_decky", "{'data':{%s}}", data));
}

static json_object *named(const char *name)
{
    return call("get_fleet_decky_by_name", "{'name':'%s'}", name);
}

/* Names and hosts of a list, "name@host " each. */
static void expect_list(json_object *list, const char *want)
{
    cleanup(buf_free) Buf got = {0};

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        buf_add(&got, text_of(nth(list, i), "name"));
        buf_add(&got, "@");
        buf_add(&got, text_of(nth(list, i), "host_uuid"));
        buf_add(&got, " ");
    }
    cr_expect_str_eq(got.len ? got.data : "", want);
    json_object_put(list);
}

/* --- the mirror --- */

Test(repo_fleet, a_decky_is_mirrored_and_merged)
{
    mirror("'name':'d1','nonsense':1,'updated_at':'2020-01-01T00:00:00Z'");
    cleanup(json_putp) json_object *fresh = named("d1");
    cr_expect_eq(json_object_object_length(fresh), 10);
    static const char *const nulls[] = {"decky_config", "decky_ip", "last_error", "compose_hash", "last_seen"};
    for (size_t i = 0; i < ARRAY_SIZE(nulls); i++)
        expect_key(fresh, nulls[i], "null");
    expect_key(fresh, "host_uuid", "local");
    expect_key(fresh, "services", "[ ]");
    expect_key(fresh, "state", "pending");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM fleet_deckies WHERE updated_at > '2020-01-02'"), 1);

    mirror("'host_uuid':null,'name':'d1','services':['ssh'],'decky_config':'{\\'hostname\\':\\'h\\'}','decky_ip':"
           "'10.0.0.1','state':'running','last_error':'e','compose_hash':'c','last_seen':'2026-01-01T00:00:00Z'");
    mirror("'host_uuid':'local','name':'d1','services':'[\\'ftp\\']','last_error':null");
    cleanup(json_putp) json_object *row = named("d1");
    expect_key(row, "services", "[ \"ftp\" ]");
    expect_key(row, "decky_config", "{ \"hostname\": \"h\" }");
    expect_key(row, "decky_ip", "10.0.0.1");
    expect_key(row, "state", "running");
    expect_key(row, "last_error", "null");
    expect_key(row, "compose_hash", "c");
    expect_key(row, "last_seen", "2026-01-01T00:00:00.000000Z");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM fleet_deckies"), 1);
}

Test(repo_fleet, what_is_no_decky_is_refused)
{
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"'host_uuid':'local'", "key name is missing"},
        {"'name':null", "name must not be null"},
        {"'name':7", "name must be text"},
        {"'name':'d','host_uuid':7", "host_uuid must be text"},
        {"'name':'d','services':'ssh'", "services must be a list of texts"},
        {"'name':'d','services':[1]", "services must be a list of texts"},
        {"'name':'d','decky_config':'{'", "decky_config must be JSON"},
        {"'name':'d','state':null", "state must not be null"},
        {"'name':'d','last_seen':'today'", "last_seen must be a time"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(REPO_E_INVALID, cases[i].words, "upsert_fleet_decky", "{'data':{%s}}", cases[i].data);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM fleet_deckies"), 0);
}

Test(repo_fleet, one_host_is_listed_without_the_others)
{
    mirror("'name':'b'");
    mirror("'name':'a','state':'running'");
    mirror("'name':'B','host_uuid':'F000000000004000800000000000000A','state':'running'");
    mirror("'name':'b','host_uuid':'" HOST "','state':'running'");
    expect_list(call("list_fleet_deckies", "{}"), "B@" HOST " a@local b@" HOST " b@local ");
    expect_list(call("list_fleet_deckies", "{'host_uuid':null}"), "B@" HOST " a@local b@" HOST " b@local ");
    expect_list(call("list_fleet_deckies", "{'host_uuid':''}"), "B@" HOST " a@local b@" HOST " b@local ");
    expect_list(call("list_fleet_deckies", "{'host_uuid':'local'}"), "a@local b@local ");
    expect_list(call("list_fleet_deckies", "{'host_uuid':'f000000000004000800000000000000a'}"),
                "B@" HOST " b@" HOST " ");
    expect_list(call("list_fleet_deckies", "{'host_uuid':'nope'}"), "");
    expect_list(call("list_running_fleet_deckies", "{}"), "B@" HOST " b@" HOST " a@local ");

    json_object_put(call("delete_fleet_decky", "{'host_uuid':'local','name':'b'}"));
    json_object_put(call("delete_fleet_decky", "{'host_uuid':'F000000000004000800000000000000A','name':'B'}"));
    cr_expect_null(call("delete_fleet_decky", "{'host_uuid':'nope','name':'a'}"));
    cr_expect_null(call("delete_fleet_decky", "{'host_uuid':'local','name':'A'}"));
    expect_list(call("list_fleet_deckies", "{}"), "a@local b@" HOST " ");
}

Test(repo_fleet, a_state_leaves_the_configuration_alone)
{
    mirror("'name':'d','decky_config':{'a':1},'services':['ssh'],'last_error':'old'");
    mirror("'name':'d','host_uuid':'" HOST "'");
    harness_pg_clock(60);
    json_object_put(call("update_fleet_decky_state", "{'host_uuid':'local','name':'d','state':'running'}"));
    cleanup(json_putp) json_object *row = named("d");
    expect_key(row, "state", "running");
    expect_key(row, "last_error", "old");
    expect_key(row, "services", "[ \"ssh\" ]");
    expect_key(row, "decky_config", "{ \"a\": 1 }");
    cr_expect_str_eq(text_of(row, "updated_at"), text_of(row, "last_seen"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM fleet_deckies WHERE last_seen > clock_timestamp()"), 1);
    json_object_put(
        call("update_fleet_decky_state", "{'host_uuid':'local','name':'d','state':'failed','last_error':'exited'}"));
    json_object_put(
        call("update_fleet_decky_state", "{'host_uuid':'local','name':'d','state':'degraded','last_error':null}"));
    cleanup(json_putp) json_object *failed = named("d");
    expect_key(failed, "state", "degraded");
    expect_key(failed, "last_error", "exited");
    cr_expect_null(call("update_fleet_decky_state", "{'host_uuid':'local','name':'D','state':'x'}"));
    cr_expect_null(call("update_fleet_decky_state", "{'host_uuid':'nope','name':'d','state':'x'}"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM fleet_deckies WHERE state = 'x'"), 0);
    refuse(REPO_E_INVALID, "state must be text", "update_fleet_decky_state",
           "{'host_uuid':'local','name':'d','state':null}");
}

Test(repo_fleet, a_name_means_this_host_first)
{
    cr_expect_null(named("d"));
    mirror("'name':'d','host_uuid':'z'");
    mirror("'name':'d','host_uuid':'y'");
    mirror("'name':'d','host_uuid':'x'");
    harness_sql("UPDATE fleet_deckies SET updated_at = '2026-01-01' WHERE host_uuid <> 'z'");
    cleanup(json_putp) json_object *latest = named("d");
    expect_key(latest, "host_uuid", "z");
    harness_sql("UPDATE fleet_deckies SET updated_at = '2026-01-01'");
    cleanup(json_putp) json_object *first = named("d");
    expect_key(first, "host_uuid", "x");
    mirror("'name':'d'");
    harness_sql("UPDATE fleet_deckies SET updated_at = '2020-01-01' WHERE host_uuid = 'local'");
    cleanup(json_putp) json_object *local = named("d");
    expect_key(local, "host_uuid", "local");
}

/* --- the deployer's file --- */

static void write_state_file(const char *path, const char *content)
{
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(content, f) >= 0 && fclose(f) == 0, "%s", path);
    cr_assert_eq(setenv("DECNET_STATE_FILE", path, 1), 0);
}

Test(repo_fleet, deployed_deckies_are_those_of_the_state_file)
{
    cleanup(freep) char *folder = harness_folder(), *path = harness_path(folder, "state.json");

    mirror("'name':'mirrored'");
    write_state_file(path, "{\"compose_path\":\"/c\",\"config\":{\"mode\":\"x\",\"deckies\":[{\"name\":\"z\",\"ip\":"
                           "\"10.0.0.1\",\"services\":[\"ssh\"],\"service_config\":{\"zz\":{},\"a\":{}},"
                           "\"last_mutated\":1700000000.25,\"mutate_interval\":30,\"host_uuid\":null,\"secret\":1},"
                           "{\"name\":\"a\"}]}}");
    cleanup(json_putp) json_object *list = call("get_deckies", "{}");
    cr_assert_eq(json_object_array_length(list), 2);
    json_object *first = nth(list, 0), *second = nth(list, 1);
    cr_expect_eq(json_object_object_length(first), 14);
    expect_key(first, "name", "z");
    expect_key(first, "ip", "10.0.0.1");
    expect_key(first, "services", "[ \"ssh\" ]");
    expect_key(first, "service_config", "{ \"zz\": { }, \"a\": { } }");
    expect_key(first, "last_mutated", "1700000000.25");
    expect_key(first, "mutate_interval", "30");
    expect_key(first, "host_uuid", "null");
    static const struct {
        const char *key, *want;
    } absent[] = {
        {"name", "a"},
        {"ip", "null"},
        {"services", "[ ]"},
        {"distro", "null"},
        {"base_image", "null"},
        {"build_base", "null"},
        {"hostname", "null"},
        {"archetype", "null"},
        {"nmap_os", "null"},
        {"service_config", "{ }"},
        {"mutate_interval", "null"},
        {"last_mutated", "null"},
        {"host_uuid", "null"},
        {"last_login_attempt", "null"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
        expect_key(second, absent[i].key, absent[i].want);

    write_state_file(path, "{\"config\":{\"deckies\":[]}}");
    cleanup(json_putp) json_object *empty = call("get_deckies", "{}");
    cr_expect_eq(json_object_array_length(empty), 0);
    write_state_file(path, "half a f");
    refuse(REPO_E_OPERATOR, path, "get_deckies", "{}");
    unlink(path);
    cleanup(json_putp) json_object *gone = call("get_deckies", "{}");
    cr_expect_eq(json_object_array_length(gone), 0, "nothing is deployed");
}

Test(repo_fleet, without_a_state_file_the_mirror_tells)
{
    unsetenv("DECNET_STATE_FILE");
    mirror("'name':'b','host_uuid':'" HOST "','services':['ftp']");
    mirror("'name':'b','decky_ip':'10.0.0.2','services':['ssh'],'decky_config':[1]");
    mirror("'name':'a','decky_ip':'10.0.0.1','services':['ssh'],'decky_config':{'ip':'10.0.0.9','distro':'debian',"
           "'hostname':'h','service_config':{'ssh':{'port':22}},'host_uuid':null,'other':1}");
    cleanup(json_putp) json_object *list = call("get_deckies", "{}");
    cr_assert_eq(json_object_array_length(list), 3);
    json_object *a = nth(list, 0);
    cr_expect_eq(json_object_object_length(a), 14);
    expect_key(a, "name", "a");
    expect_key(a, "ip", "10.0.0.9");
    expect_key(a, "services", "[ \"ssh\" ]");
    expect_key(a, "distro", "debian");
    expect_key(a, "hostname", "h");
    expect_key(a, "service_config", "{ \"ssh\": { \"port\": 22 } }");
    expect_key(a, "host_uuid", "null");
    expect_key(nth(list, 1), "host_uuid", HOST);
    expect_key(nth(list, 1), "ip", "null");
    expect_key(nth(list, 2), "host_uuid", "local");
    expect_key(nth(list, 2), "ip", "10.0.0.2");
    expect_key(nth(list, 2), "service_config", "{ }");
}

/* --- what runs --- */

static void expect_running(const char *want)
{
    cleanup(json_putp) json_object *list = call("list_running_deckies", "{}");
    cleanup(buf_free) Buf got = {0};

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        buf_add(&got, json_object_to_json_string_ext(nth(list, i), JSON_C_TO_STRING_PLAIN));
        buf_add(&got, "\n");
    }
    cr_expect_str_eq(got.len ? got.data : "", want);
}

Test(repo_fleet, what_runs_comes_from_three_places_and_once)
{
    expect_running("");
    harness_sql(
        "INSERT INTO topologies (id, name, status) VALUES ('70000000-0000-4000-8000-000000000002', 't2', 'active'),"
        " ('70000000-0000-4000-8000-000000000001', 't1', 'torn_down');"
        "INSERT INTO topology_deckies (uuid, topology_id, name, state, ip, services) VALUES"
        " ('d0000000-0000-4000-8000-000000000001', '70000000-0000-4000-8000-000000000002', 'b', 'running',"
        "  '10.1.0.1', '[\"ssh\"]'),"
        " ('d0000000-0000-4000-8000-000000000002', '70000000-0000-4000-8000-000000000002', 'B', 'running', NULL,"
        "  '7'),"
        " ('d0000000-0000-4000-8000-000000000003', '70000000-0000-4000-8000-000000000001', 'z', 'running', NULL,"
        "  '[]'),"
        " ('d0000000-0000-4000-8000-000000000004', '70000000-0000-4000-8000-000000000001', 'y', 'failed', NULL,"
        "  '[]');"
        "INSERT INTO swarm_hosts (uuid, name, address, client_cert_fingerprint, cert_bundle_path) VALUES"
        " ('" HOST "', 'w', '', '', '')");
    mirror("'name':'b','state':'running','decky_ip':'10.2.0.1','services':['ftp']");
    mirror("'name':'a','state':'running'");
    mirror("'name':'c','state':'failed'");
    mirror("'name':'both','host_uuid':'" HOST "','state':'running','decky_ip':'10.2.0.9'");
    mirror("'name':'stopped','host_uuid':'" HOST "','state':'running'");
    static const char *const shards[] = {
        "'both','state':'running','decky_ip':'10.3.0.1'",
        "'also','state':'running','services':['smtp'],'decky_config':{'ip':'10.3.0.2'}", "'stopped','state':'degraded'",
        "'a','state':'running'"};
    for (size_t i = 0; i < ARRAY_SIZE(shards); i++)
        json_object_put(call("upsert_decky_shard", "{'data':{'host_uuid':'" HOST "','decky_name':%s}}", shards[i]));
    expect_running(
        "{\"uuid\":\"d0000000-0000-4000-8000-000000000003\",\"name\":\"z\",\"ip\":null,\"services\":[],\"source\":"
        "\"topology\",\"topology_id\":\"70000000-0000-4000-8000-000000000001\"}\n"
        "{\"uuid\":\"d0000000-0000-4000-8000-000000000002\",\"name\":\"B\",\"ip\":null,\"services\":[],\"source\":"
        "\"topology\",\"topology_id\":\"70000000-0000-4000-8000-000000000002\"}\n"
        "{\"uuid\":\"d0000000-0000-4000-8000-000000000001\",\"name\":\"b\",\"ip\":\"10.1.0.1\",\"services\":[\"ssh\"],"
        "\"source\":\"topology\",\"topology_id\":\"70000000-0000-4000-8000-000000000002\"}\n"
        "{\"uuid\":\"" HOST ":stopped\",\"name\":\"stopped\",\"ip\":null,\"services\":[],\"source\":\"fleet\"}\n"
        "{\"uuid\":\"local:a\",\"name\":\"a\",\"ip\":null,\"services\":[],\"source\":\"fleet\"}\n"
        "{\"uuid\":\"local:b\",\"name\":\"b\",\"ip\":\"10.2.0.1\",\"services\":[\"ftp\"],\"source\":\"fleet\"}\n"
        "{\"uuid\":\"" HOST ":a\",\"name\":\"a\",\"ip\":null,\"services\":[],\"source\":\"shard\"}\n"
        "{\"uuid\":\"" HOST ":also\",\"name\":\"also\",\"ip\":null,\"services\":[\"smtp\"],\"source\":\"shard\"}\n"
        "{\"uuid\":\"" HOST ":both\",\"name\":\"both\",\"ip\":\"10.3.0.1\",\"services\":[],\"source\":\"shard\"}\n");
}

/* --- many at once --- */

/* The deployer, the reconciler and the API write the same rows. */
static void write_rows(Repo *own, int index, void *arg)
{
    static const char *const keys[] = {"decky_ip", "compose_hash"};

    (void)arg;
    for (int i = 0; i < 30; i++) {
        if (index % 4 == 3)
            json_object_put(call_on(own, "update_fleet_decky_state",
                                    "{'host_uuid':'local','name':'d%d','state':'running','last_error':'e'}", i % 5));
        else if (index % 4 == 2)
            json_object_put(call_on(own, "upsert_fleet_decky", "{'data':{'name':'d%d','services':['ssh']}}", i % 5));
        else
            json_object_put(
                call_on(own, "upsert_fleet_decky", "{'data':{'name':'d%d','%s':'mine'}}", i % 5, keys[index % 4]));
    }
}

Test(repo_fleet, no_write_of_many_is_lost)
{
    for (int i = 0; i < 5; i++)
        json_object_put(call("upsert_fleet_decky", "{'data':{'name':'d%d'}}", i));
    hammer_all(write_rows, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM fleet_deckies"), 5);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM fleet_deckies WHERE decky_ip = 'mine' AND compose_hash = 'mine'"
                                 " AND services = '[\"ssh\"]' AND state = 'running' AND last_error = 'e'"),
                 5);
}
