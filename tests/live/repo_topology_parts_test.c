/* The parts of topologies: LANs, deckies, and the edges between them. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "topology_support.h"

TestSuite(repo_topology_parts, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

/* --- LANs --- */

Test(repo_topology_parts, lans_are_added_changed_and_listed_by_name)
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

Test(repo_topology_parts, a_lan_is_refused)
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

Test(repo_topology_parts, a_lan_that_a_decky_needs_stays)
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

Test(repo_topology_parts, extreme_values)
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

Test(repo_topology_parts, deckies_are_added_changed_and_listed_by_name)
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

Test(repo_topology_parts, a_decky_is_refused)
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

Test(repo_topology_parts, running_deckies_of_all_topologies)
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

Test(repo_topology_parts, edges_join_a_decky_and_a_lan_of_one_topology)
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

Test(repo_topology_parts, a_decky_takes_its_edges_along)
{
    const char *t = topology("t"), *l = lan(t, "l"), *d = decky(t, "d"), *e = decky(t, "e");

    edge(t, d, l);
    edge(t, e, l);
    json_object_put(call("delete_topology_decky", "{'decky_uuid':'%s'}", d));
    expect_list(call("list_topology_edges", "{'topology_id':'%s'}", t), "decky_uuid", e);
    expect_list(call("list_topology_deckies", "{'topology_id':'%s'}", t), "name", "e");
}

/* --- several at once --- */

enum { ROUNDS = 25 };

typedef struct Race {
    const char *topology, *lan, *decky, *other_decky;
    _Atomic int done, refused, stayed;
} Race;

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

Test(repo_topology_parts, deleting_while_others_add_leaves_no_part_and_no_deadlock)
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

Test(repo_topology_parts, names_change_without_deadlock)
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
        race->stayed += r == 0 && i % 3 == 0;
        json_object_put(id);
    }
}

Test(repo_topology_parts, a_lan_does_not_go_from_under_a_new_decky)
{
    Race race = {.topology = topology("t")};

    race.lan = lan(race.topology, "l");
    hammer_all(fight_for_lan, &race);
    cr_expect_gt(race.done, 0);
    cr_expect_gt(race.refused, 0);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_edges"), race.stayed,
                 "whoever was put on the LAN is still there");
    expect_no_deadlock();
}
