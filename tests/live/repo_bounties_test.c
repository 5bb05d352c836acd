/* Bounties: lists, counts, groups by address, relays that were probed, and the purge. */
#include "repo_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"

TestSuite(repo_bounties, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

/* A bounty at second n of a minute; @more overrides. */
static void add(int second, const char *type, const char *more)
{
    json_object_put(call("add_bounty",
                         "{'bounty_data':{'decky':'d1','service':'ssh','attacker_ip':'198.51.100.1','bounty_type':'%s',"
                         "'payload':{'n':%d},'timestamp':'2026-01-01T00:00:%02dZ'%s}}",
                         type, second, second, more));
}

/* The seconds of the rows in a list: "3 2 1". */
static void expect_seconds(json_object *list, const char *want, const char *what)
{
    cleanup(buf_free) Buf out = {0};

    for (size_t i = 0; i < json_object_array_length(list); i++)
        buf_printf(&out, "%s%d", i ? " " : "", atoi(text_of(nth(list, i), "timestamp") + strlen("2026-01-01T00:00:")));
    cr_expect_str_eq(buf_str(&out).data, want, "%s: '%s', not '%s'", what, buf_str(&out).data, want);
}

/* --- lists --- */

Test(repo_bounties, a_row_has_every_column)
{
    add(1, "artifact", ",'payload':'{\\'b\\': 1, \\'a\\': [null, 1.5]}','other':1");
    cleanup(json_putp) json_object *list = call("get_bounties", "{}");
    cr_assert_eq(json_object_array_length(list), 1);
    cr_expect_str_eq(
        json_object_to_json_string_ext(nth(list, 0), JSON_C_TO_STRING_PLAIN),
        "{\"id\":1,\"timestamp\":\"2026-01-01T00:00:01.000000Z\",\"decky\":\"d1\",\"service\":\"ssh\","
        "\"attacker_ip\":\"198.51.100.1\",\"bounty_type\":\"artifact\",\"payload\":{\"a\":[null,1.5],\"b\":1}}");
}

Test(repo_bounties, newest_come_first_and_filters_narrow)
{
    static const struct {
        const char *params, *want;
        int total; /* -1: parameters of pages, which the count does not have */
    } cases[] = {
        {"", "5 4 3 2 1", 5},
        {"'limit':2", "5 4", -1},
        {"'limit':2,'offset':4", "1", -1},
        {"'offset':5", "", -1},
        {"'limit':0", "", -1},
        {"'bounty_type':'fingerprint'", "2 1", 2},
        {"'bounty_type':'Fingerprint'", "", 0},
        {"'bounty_type':'finger'", "", 0},
        {"'bounty_type':''", "5 4 3 2 1", 5},
        {"'bounty_type':null,'search':null", "5 4 3 2 1", 5},
        {"'search':''", "5 4 3 2 1", 5},
        {"'search':'WEB'", "3", 1},
        {"'search':'telN'", "4", 1},
        {"'search':'2001:DB8'", "5", 1},
        {"'search':'HASSH'", "1", 1},
        {"'search':'fingerprint'", "1", 1}, /* of the payload; the type is not searched */
        {"'search':'%'", "2", 1},
        {"'search':'_type'", "1", 1},
        {"'search':'a_b'", "", 0},
        {"'search':'\\\\\\\\'", "", 0},
        {"'search':'198.51','bounty_type':'fingerprint','limit':1", "2", -1},
        {"'search':'198.51','bounty_type':'fingerprint'", "2 1", 2},
    };

    add(1, "fingerprint", ",'payload':{'fingerprint_type':'hassh','x':'aXb'}");
    add(2, "fingerprint", ",'payload':'100% text'");
    add(3, "artifact", ",'decky':'Web-01'");
    add(4, "artifact", ",'service':'TELNET'");
    add(5, "ip_leak", ",'attacker_ip':'2001:DB8:0::7'");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(json_putp) json_object *list = call("get_bounties", "{%s}", cases[i].params);
        expect_seconds(list, cases[i].want, cases[i].params);
        if (cases[i].total >= 0)
            cr_expect_eq(call_int("get_total_bounties", "{%s}", cases[i].params), cases[i].total, "%s",
                         cases[i].params);
    }
    refuse(REPO_E_INVALID, "limit must be", "get_bounties", "{'limit':-1}");
    refuse(REPO_E_INVALID, "limit must be", "get_bounties", "{'limit':10001}");
    refuse(REPO_E_INVALID, "offset must be", "get_bounties", "{'offset':-1}");
    refuse(REPO_E_INVALID, "search must be text", "get_total_bounties", "{'search':[]}");
}

Test(repo_bounties, of_equal_times_the_later_id_comes_first)
{
    for (int i = 0; i < 4; i++) {
        char more[80];
        snprintf(more, sizeof(more), ",'payload':%d", i);
        add(7, "artifact", more);
    }
    cleanup(json_putp) json_object *first = call("get_bounties", "{'limit':2}");
    cleanup(json_putp) json_object *second = call("get_bounties", "{'limit':2,'offset':2}");
    expect_key(nth(first, 0), "payload", "3");
    expect_key(nth(first, 1), "payload", "2");
    expect_key(nth(second, 0), "payload", "1");
    expect_key(nth(second, 1), "payload", "0");
}

Test(repo_bounties, the_default_page_has_fifty_rows)
{
    harness_sql("INSERT INTO bounty (decky, service, attacker_ip, bounty_type, payload)"
                " SELECT 'd', 's', 'ip', 't', to_jsonb(n) FROM generate_series(1, 60) n");
    cleanup(json_putp) json_object *page = call("get_bounties", "{}");
    cr_expect_eq(json_object_array_length(page), 50);
    cr_expect_eq(call_int("get_total_bounties", "{}"), 60);
}

/* --- by address --- */

static const char *const odd_ip = "a\"b\\c\n";

static void fill_addresses(void)
{
    add(3, "artifact", ",'attacker_ip':'198.51.100.2'");
    add(2, "fingerprint", "");
    add(1, "artifact", "");
    add(2, "artifact", "");
    add(5, "fingerprint", ",'attacker_ip':'::ffff:198.51.100.3'");
    add(4, "fingerprint", ",'attacker_ip':'a\\u0022b\\\\c\\n'");
}

Test(repo_bounties, all_are_grouped_by_address_oldest_first)
{
    cleanup(json_putp) json_object *none = call("get_all_bounties_by_ip", "{}");
    cr_expect(json_object_is_type(none, json_type_object) && json_object_object_length(none) == 0);
    fill_addresses();
    cleanup(json_putp) json_object *groups = call("get_all_bounties_by_ip", "{}");
    cr_expect_eq(json_object_object_length(groups), 4);
    expect_seconds(json_object_object_get(groups, "198.51.100.1"), "1 2 2", "1");
    expect_key(nth(json_object_object_get(groups, "198.51.100.1"), 1), "bounty_type", "fingerprint");
    expect_seconds(json_object_object_get(groups, "198.51.100.2"), "3", "2");
    expect_seconds(json_object_object_get(groups, "198.51.100.3"), "5", "3");
    expect_seconds(json_object_object_get(groups, odd_ip), "4", "odd");
    cr_expect_eq(json_object_object_length(nth(json_object_object_get(groups, odd_ip), 0)), 7);
}

Test(repo_bounties, groups_hold_only_the_addresses_that_are_asked_for)
{
    fill_addresses();
    cleanup(json_putp) json_object *none = call("get_bounties_for_ips", "{'ips':[]}");
    cr_expect(json_object_is_type(none, json_type_object) && json_object_object_length(none) == 0);
    cleanup(json_putp) json_object *groups = call(
        "get_bounties_for_ips",
        "{'ips':['198.51.100.1','198.51.100.1','203.0.113.1','::ffff:198.51.100.3','a\\u0022b\\\\c\\n','','%%','\\u0000']}");
    cr_expect_eq(json_object_object_length(groups), 3, "%s", json_object_to_json_string(groups));
    expect_seconds(json_object_object_get(groups, "198.51.100.1"), "1 2 2", "1");
    expect_seconds(json_object_object_get(groups, "198.51.100.3"), "5", "3");
    expect_seconds(json_object_object_get(groups, odd_ip), "4", "odd");
    refuse(REPO_E_INVALID, "ips must be a list of texts", "get_bounties_for_ips", "{'ips':['x',7]}");
    refuse(REPO_E_INVALID, "ips must be a list of texts", "get_bounties_for_ips", "{'ips':'x'}");
    refuse(REPO_E_INVALID, "parameter ips is missing", "get_bounties_for_ips", "{}");
}

Test(repo_bounties, many_addresses_are_one_call)
{
    cleanup(buf_free) Buf ips = {0};

    harness_sql("INSERT INTO bounty (decky, service, attacker_ip, bounty_type, payload)"
                " SELECT 'd', 's', 'host' || n, 't', '1' FROM generate_series(0, 69999) n");
    for (int i = 0; i < 70000; i++) /* more than a statement has parameters */
        buf_printf(&ips, "%s'host%d'", i ? "," : "", i);
    cleanup(json_putp) json_object *groups = call("get_bounties_for_ips", "{'ips':[%s]}", ips.data);
    cr_expect_eq(json_object_object_length(groups), 70000);
    cleanup(json_putp) json_object *all = call("get_all_bounties_by_ip", "{}");
    cr_expect_eq(json_object_object_length(all), 70000);
}

Test(repo_bounties, fingerprints_of_an_address_are_oldest_first)
{
    fill_addresses();
    add(1, "fingerprint", "");
    cleanup(json_putp) json_object *list = call("get_fingerprint_bounties_by_ip", "{'ip':'::FFFF:198.51.100.1'}");
    expect_seconds(list, "1 2", "fingerprints");
    cleanup(json_putp) json_object *none = call("get_fingerprint_bounties_by_ip", "{'ip':'198.51.100.2'}");
    cr_expect(json_object_is_type(none, json_type_array) && json_object_array_length(none) == 0);
    refuse(REPO_E_INVALID, "ip must be text", "get_fingerprint_bounties_by_ip", "{'ip':null}");
}

/* --- adding --- */

Test(repo_bounties, a_payload_counts_once_for_type_and_address)
{
    add(5, "artifact", ",'payload':{'b':1,'a':[1,2]}");
    add(1, "artifact", ",'payload':'{ \\'a\\' : [1, 2], \\'b\\' : 1 }','decky':'other','service':'other'");
    add(2, "artifact", ",'payload':{'b':1,'a':[2,1]}");
    add(3, "ip_leak", ",'payload':{'b':1,'a':[1,2]}");
    add(4, "artifact", ",'payload':{'b':1,'a':[1,2]},'attacker_ip':'198.51.100.2'");
    add(6, "artifact", ",'payload':{'b':1,'a':[1,2]},'attacker_ip':'::ffff:198.51.100.1'");
    cleanup(json_putp) json_object *list = call("get_bounties", "{}");
    expect_seconds(list, "5 4 3 2", "the first stays as it was");
    expect_key(nth(list, 0), "decky", "d1");
}

Test(repo_bounties, payloads_of_every_form_are_kept)
{
    static const struct {
        const char *payload, *want;
    } cases[] = {
        {"'plain text'", "plain text"},
        {"'{broken'", "{broken"},
        {"''", ""},
        {"'{\\'n\\':1e999}'", "{\"n\":1e999}"},
        {"7", "7"},
        {"[]", "[ ]"},
        {"'[1]'", "[ 1 ]"},
        {"{'a':'\\u0000\\ud800'}", "{ \"a\": \"\xef\xbf\xbd\xef\xbf\xbd\" }"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char type[20], more[100];
        snprintf(type, sizeof(type), "t%zu", i);
        snprintf(more, sizeof(more), ",'payload':%s,'timestamp':null", cases[i].payload);
        add(1, type, more);
        cleanup(json_putp) json_object *list = call("get_bounties", "{'bounty_type':'%s'}", type);
        cr_assert_eq(json_object_array_length(list), 1, "%s", cases[i].payload);
        expect_key(nth(list, 0), "payload", cases[i].want);
    }
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM bounty WHERE \"timestamp\" > now() - interval '1 minute'"),
                 (int64_t)ARRAY_SIZE(cases), "without a time it is now");
    static const char *const bad[] = {",'payload':null", ",'payload':'null'", ",'decky':null", ",'service':7",
                                      ",'timestamp':'soon'"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        refuse(REPO_E_INVALID, "", "add_bounty",
               "{'bounty_data':{'decky':'d1','service':'s','attacker_ip':'x','bounty_type':'t','payload':1%s}}",
               bad[i]);
    cr_expect_eq(call_int("get_total_bounties", "{}"), (int64_t)ARRAY_SIZE(cases));
}

Test(repo_bounties, a_long_integer_in_a_payload_is_the_number_that_came)
{
    add(1, "t", ",'payload':'{\\'n\\':99999999999999999999}'");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM bounty WHERE payload = '{\"n\": 99999999999999999999}'"), 1);
}

static void add_the_same(Repo *own, int index, void *arg)
{
    (void)index;
    (void)arg;
    for (int i = 0; i < 25; i++)
        json_object_put(call_on(own, "add_bounty",
                                "{'bounty_data':{'decky':'d1','service':'ssh','attacker_ip':'198.51.100.1',"
                                "'bounty_type':'artifact','payload':{'i':%d}}}",
                                i));
}

Test(repo_bounties, the_same_from_many_at_once_is_kept_once)
{
    hammer_all(add_the_same, NULL);
    cr_expect_eq(call_int("get_total_bounties", "{}"), 25);
}

Test(repo_bounties, probed_relays_are_counted_per_decky)
{
    for (int i = 0; i < 3; i++)
        add(i, "probe_relay", "");
    add(9, "probe_relay", ",'payload':{'n':1},'decky':'d2'");
    add(9, "probe_relay", ",'payload':{'n':1},'decky':'d1'"); /* there already */
    add(9, "artifact", "");
    add(9, "probe_relay", ",'attacker_ip':'198.51.100.2'");
    cr_expect_eq(call_int("count_probe_relays", "{'attacker_ip':'198.51.100.1','decky':'d1'}"), 3);
    cr_expect_eq(call_int("count_probe_relays", "{'attacker_ip':'::ffff:198.51.100.1','decky':'d2'}"), 1);
    cr_expect_eq(call_int("count_probe_relays", "{'attacker_ip':'198.51.100.1','decky':'D1'}"), 0);
    cr_expect_eq(call_int("count_probe_relays", "{'attacker_ip':'203.0.113.1','decky':'d1'}"), 0);
    refuse(REPO_E_INVALID, "parameter decky is missing", "count_probe_relays", "{'attacker_ip':'x'}");
    refuse(REPO_E_INVALID, "attacker_ip must be text", "count_probe_relays", "{'attacker_ip':1,'decky':'d1'}");
}

/* --- purge --- */

static void expect_purged(const char *want)
{
    cleanup(json_putp) json_object *counts = call("purge_logs_and_bounties", "{}");
    cr_expect_str_eq(json_object_to_json_string_ext(counts, JSON_C_TO_STRING_PLAIN), want);
}

/* Two attackers with all that can hang on one, three logs, a bounty, two credentials. */
static void fill_everything(void)
{
    const char *a = attacker("198.51.100.1");

    attacker("198.51.100.2");
    add(1, "artifact", "");
    for (int i = 0; i < 3; i++)
        json_object_put(call("add_log", "{'log_data':{'decky':'d','service':'s','event_type':'e','attacker_ip':'x',"
                                        "'raw_line':'','fields':{}}}"));
    for (int i = 0; i < 2; i++)
        call_int("upsert_credential",
                 "{'data':{'attacker_ip':'198.51.100.1','decky_name':'d','service':'s','secret_sha256':'%d'}}", i);
    harness_sql("UPDATE attackers SET identity_id = '%s'", identity(1));
    harness_sql("UPDATE credentials SET attacker_uuid = '%s'", a);
    harness_sql("INSERT INTO attacker_behavior (attacker_uuid) VALUES ('%s');"
                " INSERT INTO smtp_targets (attacker_uuid, domain) VALUES ('%s', 'x');"
                " INSERT INTO attacker_intel (attacker_uuid, attacker_ip, expires_at) VALUES ('%s', 'x', now());"
                " INSERT INTO attacker_fingerprint_state (attacker_uuid, port, probe_type, last_hash, last_seen)"
                "  VALUES ('%s', 22, 'hassh', 'x', now())",
                a, a, a, a);
    harness_sql("INSERT INTO ttp_tag (uuid, source_kind, source_id, attacker_uuid, identity_uuid, tactic, technique_id,"
                "  confidence, rule_id, rule_version, evidence, attack_release)"
                " SELECT gen_random_uuid(), 'command', n::text, CASE WHEN n < 3 THEN '%s'::uuid END,"
                "  CASE WHEN n > 1 THEN '%s'::uuid END, 'TA0002', 'T1059', 0.5, 'R1', 1, '{}', 'v'"
                " FROM generate_series(1, 3) n",
                a, identity(1));
    harness_sql(
        "INSERT INTO credential_reuse (secret_sha256, secret_kind) VALUES ('0', 'plaintext') ON CONFLICT DO NOTHING;"
        " INSERT INTO observed_attachments (sha256) VALUES ('x') ON CONFLICT DO NOTHING;"
        " INSERT INTO users (uuid, username, password_hash) VALUES (gen_random_uuid(), 'u', 'h') ON CONFLICT DO NOTHING");
    json_object_put(call("set_state", "{'key':'attacker_worker_cursor','value':{'last_log_id':3}}"));
}

Test(repo_bounties, a_purge_takes_what_belongs_to_attackers_and_keeps_the_rest)
{
    static const struct {
        const char *table;
        int left;
    } tables[] = {
        {"logs", 0},
        {"bounty", 0},
        {"credentials", 0},
        {"attackers", 0},
        {"attacker_behavior", 0},
        {"smtp_targets", 0},
        {"attacker_intel", 0},
        {"attacker_fingerprint_state", 0},
        {"ttp_tag", 1},
        {"attacker_identities", 1},
        {"credential_reuse", 1},
        {"observed_attachments", 1},
        {"users", 1},
        {"state", 1},
    };

    fill_everything();
    expect_purged("{\"logs\":3,\"bounties\":1,\"credentials\":2,\"attackers\":2}");
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++)
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM %s", tables[i].table), tables[i].left, "%s",
                     tables[i].table);
    expect_purged("{\"logs\":0,\"bounties\":0,\"credentials\":0,\"attackers\":0}");
}

Test(repo_bounties, after_a_purge_ids_go_on)
{
    fill_everything();
    json_object_put(call("purge_logs_and_bounties", "{}"));
    fill_everything();
    cr_expect_eq(harness_sql_int("SELECT min(id) FROM logs"), 4);
    cr_expect_eq(harness_sql_int("SELECT min(id) FROM bounty"), 2);
    cleanup(json_putp) json_object *cursor = call("get_state", "{'key':'attacker_worker_cursor'}");
    cr_expect_eq(json_object_get_int(json_object_object_get(cursor, "last_log_id")), 3);
    cleanup(json_putp) json_object *rows = call("get_logs_after_id", "{'last_id':3}");
    cr_expect_eq(json_object_array_length(rows), 3, "a reader with its old cursor sees all that is new");
}

Test(repo_bounties, a_purge_is_all_or_nothing)
{
    fill_everything();
    cr_assert_eq(repo_begin(repo), 0);
    json_object_put(call("purge_logs_and_bounties", "{}"));
    repo_rollback(repo);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs"), 3);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), 2);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE attacker_uuid IS NOT NULL"), 2);
}

static void purge_among_writers(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 15; i++) {
        if (index == 0) {
            json_object_put(call_on(own, "purge_logs_and_bounties", "{}"));
            continue;
        }
        json_object_put(call_on(own, "add_log",
                                "{'log_data':{'decky':'d','service':'s','event_type':'e','attacker_ip':"
                                "'x','raw_line':'','fields':{}}}"));
        json_object_put(call_on(own, "upsert_attacker",
                                "{'data':{'ip':'198.51.100.%d','first_seen':'2026-01-01T00:00:00Z',"
                                "'last_seen':'2026-01-01T00:00:00Z'}}",
                                i));
        json_object_put(call_on(own, "upsert_credential",
                                "{'data':{'attacker_ip':'198.51.100.%d','decky_name':'d','service':'s',"
                                "'secret_sha256':'x'}}",
                                i));
        json_object_put(call_on(own, "add_bounty",
                                "{'bounty_data':{'decky':'d1','service':'ssh','attacker_ip':'198.51.100.1',"
                                "'bounty_type':'artifact','payload':{'i':%d}}}",
                                i));
    }
}

Test(repo_bounties, a_purge_and_writers_do_not_stop_each_other)
{
    hammer_all(purge_among_writers, NULL);
    json_object_put(call("purge_logs_and_bounties", "{}"));
    cr_expect_eq(harness_sql_int("SELECT (SELECT count(*) FROM logs) + (SELECT count(*) FROM attackers)"
                                 " + (SELECT count(*) FROM credentials) + (SELECT count(*) FROM bounty)"),
                 0);
}
