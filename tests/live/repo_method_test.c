/* Every row of the method table on a real PostgreSQL, through repo_call(): what it does, what it refuses, and what
 * happens when a row is there already. */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "pg_harness.h"
#include "repo/attackers.h"
#include "repo_support.h"

TestSuite(repo_method, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

Test(repo_method, parameters_are_checked)
{
    refuse(REPO_E_INVALID, "did you mean get_attackers?", "get_atackers", "{}");
    refuse(REPO_E_INVALID, "there is no method", "drop everything", "{}");
    refuse(REPO_E_INVALID, "there is no parameter limmit; did you mean limit?", "get_attackers", "{'limmit':1}");
    refuse(REPO_E_INVALID, "parameter uuid is missing", "get_attacker_by_uuid", "{}");
    refuse(REPO_E_INVALID, "parameter uuid must be text", "get_attacker_by_uuid", "{'uuid':7}");
    refuse(REPO_E_INVALID, "parameter uuid must be text", "get_attacker_by_uuid", "{'uuid':null}");
    refuse(REPO_E_INVALID, "limit must be an integer that is not negative", "get_attackers", "{'limit':-1}");
    refuse(REPO_E_INVALID, "limit must be an integer", "get_attackers", "{'limit':'5'}");
    refuse(REPO_E_INVALID, "limit must be an integer", "get_attackers", "{'limit':null}");
    refuse(REPO_E_INVALID, "data must be an object", "upsert_attacker", "{'data':[]}");
    refuse(REPO_E_INVALID, "rows must be a list", "insert_tags", "{'rows':{}}");
    refuse(REPO_E_INVALID, "must be an object", "get_max_log_id", "[]");
    cleanup(buf_free) Buf result = {0};
    cr_expect_eq(repo_call(repo, "get_max_log_id", NULL, &result), 0);
    cr_expect_str_eq(result.data, "0");
}

Test(repo_method, a_date_alone_is_its_midnight)
{
    json_object_put(call("add_log", "{'log_data':{'decky':'d','service':'s','event_type':'e','attacker_ip':'x',"
                                    "'raw_line':'','fields':{},'timestamp':'2026-01-02'}}"));
    json_object_put(call("upsert_attacker", "{'data':{'ip':'198.51.100.1','first_seen':'2026-01-02',"
                                            "'last_seen':'2026-01-02T00:00:00.000001Z'}}"));
    cleanup(json_putp) json_object *row = call("get_logs", "{'start_time':'2026-01-02','end_time':'2026-01-02'}");
    cr_assert_eq(json_object_array_length(row), 1);
    expect_key(nth(row, 0), "timestamp", "2026-01-02T00:00:00.000000Z");
    expect_key(nth(row, 0), "fields", "{ }");
    cleanup(json_putp) json_object *since = call("count_orchestrator_failures", "{'since_ts':'2026-01-02'}");
    cr_expect_eq(json_object_get_int(since), 0);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE first_seen = '2026-01-02T00:00:00Z'"), 1);
    refuse(REPO_E_INVALID, "since_ts must be a time", "count_orchestrator_failures", "{'since_ts':'2026-02-30'}");
}

/* The smallest time that a program knows is how it says "from the beginning". */
Test(repo_method, times_before_1970_are_times_too)
{
    json_object_put(call("upsert_attacker", "{'data':{'ip':'198.51.100.1','first_seen':'1969-07-20T20:17Z',"
                                            "'last_seen':'2026-01-01T00:00'}}"));
    json_object_put(call("add_log", "{'log_data':{'decky':'d','service':'s','event_type':'e','attacker_ip':'x',"
                                    "'raw_line':'','fields':{},'timestamp':'1901-01-01 12:00'}}"));
    cleanup(json_putp) json_object *attackers = call("get_attackers", "{}");
    expect_key(nth(attackers, 0), "first_seen", "1969-07-20T20:17:00.000000Z");
    cleanup(json_putp) json_object *logs =
        call("get_logs", "{'start_time':'0001-01-01T00:00:00','end_time':'1969-12-31'}");
    cr_assert_eq(json_object_array_length(logs), 1);
    expect_key(nth(logs, 0), "timestamp", "1901-01-01T12:00:00.000000Z");
    cleanup(json_putp) json_object *since =
        call("list_orchestrator_events", "{'since_ts':'0001-01-01T00:00:00+00:00'}");
    cr_expect_eq(json_object_array_length(since), 0);
    cleanup(json_putp) json_object *hours = call("get_log_histogram", "{'interval_minutes':60}");
    expect_key(nth(hours, 0), "time", "1901-01-01 12:00:00");
}

static int count_item(void *arg, Str json)
{
    (void)json;
    ++*(int *)arg;
    return 0;
}

/* An upgrade adds columns while others work: their prepared statements die, but not their connections. */
Test(repo_method, a_schema_that_changes_meanwhile_changes_what_comes_next)
{
    json_object_put(call("create_user", "{'user_data':{'uuid':'11111111-1111-4111-8111-111111111111',"
                                        "'username':'a','password_hash':'h'}}"));
    json_object_put(call("list_users", "{}"));
    for (int i = 0; i < 3; i++) {
        char column[8];
        snprintf(column, sizeof(column), "new%d", i);
        harness_sql("ALTER TABLE users ADD COLUMN %s int", column);
        cleanup(json_putp) json_object *users = call("list_users", "{}");
        expect_key(nth(users, 0), column, "null");
    }
}

Test(repo_method, a_schema_that_changes_meanwhile_does_not_end_what_iterates)
{
    cleanup(json_putp) json_object *since = json_object_new_object();
    int n = 0;

    (void)attacker("198.51.100.1");
    json_object_object_add(since, "since", json_object_new_string("2001-01-01T00:00:00Z"));
    harness_sql("UPDATE attackers SET last_seen = '2026-01-01'");
    for (int i = 0; i < 3; i++) {
        harness_sql("ALTER TABLE canary_triggers ADD COLUMN new%d int", i);
        harness_sql("ALTER TABLE attackers ADD COLUMN new%d int", i);
        cr_expect_eq(repo_call_each(repo, "iter_canary_triggers_since", since, count_item, &n), 0, "%s",
                     repo_error_text(repo));
        cr_expect_eq(repo_call_each(repo, "get_all_attackers_for_export", NULL, count_item, &n), 0, "%s",
                     repo_error_text(repo));
        cr_expect_eq(n, i + 1);
    }
}

/* What a role may do on how many tables. */
#define MAY(what) "has_table_privilege('decnet_operator', c.oid, '" what "')"
#define TABLES "SELECT count(*) FROM pg_class c WHERE relnamespace = 'decnet'::regnamespace AND relkind = 'r' AND "

Test(repo_method, an_operator_reads_and_writes_knowledge_and_no_rows_of_programs)
{
    cleanup(freep) char *as_operator = harness_pg_conninfo_as("decnet_operator");
    cleanup(repo_freep) Repo *own = repo_new(&(RepoOptions){.conninfo = as_operator, .application_name = "console"});
    char a[UUID_TEXT_BYTES], i[UUID_TEXT_BYTES];

    cr_assert_eq(repo_connect(own), 0, "%s", repo_error_text(own));
    cr_expect_eq(
        harness_sql_int(TABLES MAY("SELECT") " AND " MAY("INSERT") " AND " MAY("UPDATE") " AND " MAY("DELETE")), 37,
        "the tables of the interface");
    cr_expect_eq(harness_sql_int(TABLES
                                 "relname IN ('consumer_position', 'event_outbox', 'deferred_event',"
                                 " 'dead_letter', 'group_pause', 'ingest_source') AND (" MAY("SELECT") " OR " MAY(
                                     "INSERT") " OR " MAY("UPDATE") " OR " MAY("DELETE") ")"),
                 0);
    snprintf(a, sizeof(a), "%s", attacker("198.51.100.1"));
    snprintf(i, sizeof(i), "%s", identity(1));
    json_object_put(call_on(own, "set_attacker_identity_id", "{'attacker_uuid':'%s','identity_uuid':'%s'}", a, i));
    json_object_put(
        call_on(own, "ensure_stub_identity_for_attacker", "{'attacker_uuid':'%s'}", attacker("198.51.100.2")));
    json_object_put(call_on(own, "update_identity_merged_into", "{'identity_uuid':'%s','winner_uuid':null}", i));
    json_object_put(call_on(own, "upsert_observation",
                            "{'data':{'primitive':'p','value':1,'confidence':1,'window_start_ts':1,'window_end_ts':1,"
                            "'source':'s','evidence_ref':'e','envelope_v':1,'ts':1,'attacker_uuid':'%s'}}",
                            a));
    json_object_put(call_on(own, "purge_logs_and_bounties", "{}"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), 0);
}

Test(repo_method, table_is_whole)
{
    for (size_t i = 0; i < method_count(); i++) {
        const Method *m = method_at(i);
        cr_expect_eq(method_find(method_name(m)), m, "%s is there twice", method_name(m));
        cr_expect(method_returns(m), "%s says not what it returns", method_name(m));
    }
    cr_expect_null(method_at(method_count()));
    cr_expect(method_writes(method_find("add_log")) && !method_writes(method_find("get_attackers")));
    cr_expect_str_eq(method_params(method_find("get_attackers"))[3].standard, "\"recent\"");
}

Test(repo_method, logs_take_everything)
{
    json_object_put(call("add_log", "{'log_data':{'decky':'d1','service':'ssh','event_type':'login','attacker_ip':"
                                    "'Unknown','raw_line':'a\\u0000b','fields':{'k\\u0001':'x\\u0000'},"
                                    "'timestamp':'2026-02-03 04:05:06.5+02:00','trace_id':'t','other':1}}"));
    json_object_put(call("add_log", "{'log_data':{'decky':'d1','service':'ssh','event_type':'e','attacker_ip':'x',"
                                    "'raw_line':'','fields':'no {json','timestamp':'yesterday'}}"));
    json_object_put(call("add_log", "{'log_data':{'decky':'d1','service':'ssh','event_type':'e','attacker_ip':'x',"
                                    "'raw_line':'','fields':'{\\'a\\':[1]}','msg':'m'}}"));
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM logs WHERE timestamp = '2026-02-03T02:05:06.5Z'"
                        " AND raw_line = E'a\\uFFFDb' AND fields ->> E'k\\u0001' = E'x\\uFFFD' AND trace_id = 't'"),
        1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs WHERE fields = '{\"_raw\":\"no {json\",\"_ts_raw\":"
                                 "\"yesterday\"}' AND timestamp > now() - interval '1 minute'"),
                 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs WHERE fields = '{\"a\":[1]}' AND msg = 'm'"), 1);
    cr_expect_eq(call_int("get_max_log_id", "{}"), 3);
    refuse(REPO_E_INVALID, "key decky is missing", "add_log", "{'log_data':{}}");
    refuse(REPO_E_INVALID, "key fields is missing", "add_log",
           "{'log_data':{'decky':'d1','service':'ssh','event_type':'e','attacker_ip':'x','raw_line':''}}");
}

Test(repo_method, logs_in_a_list_keep_their_order_and_none_fails_the_others)
{
    json_object_put(call("add_logs", "{'log_entries':[]}"));
    json_object_put(call("add_logs", "{'log_entries':[{'decky':'a','raw_line':'1'},{'raw_line':2,'fields':7,'decky':"
                                     "null},'stray',{'raw_line':'4','fields':{},'timestamp':5}]}"));
    cleanup(freep) char *lines = harness_sql_text("SELECT string_agg(raw_line, '|' ORDER BY id) FROM logs");
    cleanup(freep) char *fields = harness_sql_text("SELECT string_agg(fields::text, '|' ORDER BY id) FROM logs");
    cr_expect_str_eq(lines, "1|2|stray|4");
    cr_expect_str_eq(fields, "{}|7|{}|{\"_ts_raw\": \"5\"}");
    cr_expect_eq(call_int("get_max_log_id", "{}"), 4);
}

/* Text that no index can hold and nothing packs. */
static char *noise(size_t n)
{
    char *text = malloc(n + 1);
    uint32_t x = 1;

    cr_assert_not_null(text);
    for (size_t i = 0; i < n; i++) {
        x = x * 1664525 + 1013904223;
        text[i] = (char)('a' + (x >> 24) % 26);
    }
    text[n] = '\0';
    return text;
}

Test(repo_method, logs_with_names_without_end_are_kept)
{
    cleanup(freep) char *name = noise(100000);

    json_object_put(call("add_logs",
                         "{'log_entries':[{'raw_line':'1'},{'decky':'%s','service':'%s','event_type':'%s',"
                         "'attacker_ip':'%s','raw_line':'%s','msg':'%s','trace_id':'%s','span_id':'%s','fields':{"
                         "'sid':'%s'}},{'event_type':'session_recorded','fields':{'sid':'%s'}}]}",
                         name, name, name, name, name, name, name, name, name, name));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs"), 3);
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM logs WHERE raw_line = '%s' AND attacker_ip = left('%s', 256)"
                        " AND decky = attacker_ip AND service = decky AND event_type = decky AND msg = raw_line",
                        name, name),
        1);
}

Test(repo_method, attacker_upsert_merges_what_is_given)
{
    static const char first[] = "{'data':{'ip':'::ffff:198.51.100.7','first_seen':'2026-01-02T00:00:00Z','last_seen':"
                                "'2026-01-03T00:00:00Z','event_count':3,'services':['ssh'],'ptr_record':'h.example',"
                                "'country_code':'DEU','asn':4294967295,'uuid':'00000000-0000-0000-0000-000000000001',"
                                "'nonsense':1}}";
    Uuid want = attacker_uuid("198.51.100.7");
    char want_text[UUID_TEXT_BYTES];

    uuid_format(want_text, &want);
    cleanup(json_putp) json_object *id = call("upsert_attacker", "%s", first);
    cr_expect_str_eq(json_object_get_string(id), want_text);
    cleanup(json_putp) json_object *row = call("get_attacker_by_uuid", "{'uuid':'%s'}", want_text);
    expect_key(row, "ip", "198.51.100.7");
    expect_key(row, "first_seen", "2026-01-02T00:00:00.000000Z");
    expect_key(row, "services", "[ \"ssh\" ]");
    expect_key(row, "country_code", "DE");
    expect_key(row, "asn", "4294967295");
    expect_key(row, "deckies", "[ ]");
    expect_key(row, "identity_id", "null");

    /* earlier and later, null stores null, absent keeps, a call without times finds the row's own */
    json_object_put(call("upsert_attacker", "{'data':{'ip':'198.51.100.7','first_seen':'2026-01-05T00:00:00Z',"
                                            "'last_seen':'2026-01-01T00:00:00Z','ptr_record':null,'services':"
                                            "'[\\'ftp\\']'}}"));
    json_object_put(call("upsert_attacker", "{'data':{'ip':'198.51.100.7','event_count':9}}"));
    cleanup(json_putp) json_object *after = call("get_attacker_by_uuid", "{'uuid':'%s'}", want_text);
    expect_key(after, "first_seen", "2026-01-02T00:00:00.000000Z");
    expect_key(after, "last_seen", "2026-01-03T00:00:00.000000Z");
    expect_key(after, "ptr_record", "null");
    expect_key(after, "services", "[ \"ftp\" ]");
    expect_key(after, "event_count", "9");
    expect_key(after, "country_code", "DE");
    cr_expect_str_eq(text_of(after, "updated_at"), text_of(row, "updated_at"), "only when it is passed");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), 1);
}

Test(repo_method, attacker_upsert_refuses)
{
    refuse(REPO_E_INVALID, "key ip is missing", "upsert_attacker", "{'data':{}}");
    refuse(REPO_E_INVALID, "ip must not be null", "upsert_attacker", "{'data':{'ip':null}}");
    refuse(REPO_E_INVALID, "first_seen", "upsert_attacker", "{'data':{'ip':'198.51.100.1'}}");
    refuse(REPO_E_INVALID, "first_seen must be a time", "upsert_attacker",
           "{'data':{'ip':'198.51.100.1','first_seen':'soon'}}");
    refuse(REPO_E_INVALID, "event_count must be an integer", "upsert_attacker",
           "{'data':{'ip':'198.51.100.1','event_count':'3'}}");
    refuse(REPO_E_INVALID, "event_count must not be null", "upsert_attacker",
           "{'data':{'ip':'198.51.100.1','event_count':null}}");
    refuse(REPO_E_INVALID, "services must be JSON", "upsert_attacker",
           "{'data':{'ip':'198.51.100.1','services':'ssh, ftp'}}");
    refuse(REPO_E_INVALID, "identity_id must be a uuid", "upsert_attacker",
           "{'data':{'ip':'198.51.100.1','identity_id':'nope'}}");
    refuse(REPO_E_INVALID, "out of range", "upsert_attacker",
           "{'data':{'ip':'198.51.100.1','first_seen':'2026-01-01T00:00:00','last_seen':'2026-01-01T00:00:00',"
           "'rotation_count':99999999999}}");
    refuse(REPO_E_FK, "foreign key", "upsert_attacker",
           "{'data':{'ip':'198.51.100.1','first_seen':'2026-01-01T00:00:00','last_seen':'2026-01-01T00:00:00',"
           "'identity_id':'00000000-0000-0000-0000-000000000001'}}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), 0);
}

enum { SIGHTED = 50 };

static void sight(Repo *own, int index, void *arg)
{
    char *ids = arg; /* of hammer @index: SIGHTED of them */

    for (int i = 0; i < SIGHTED; i++) {
        cleanup(json_putp) json_object *id = call_on(own, "upsert_attacker",
                                                     "{'data':{'ip':'203.0.113.%d','first_seen':'2026-01-01T00:00:00Z',"
                                                     "'last_seen':'2026-01-01T00:00:00Z'}}",
                                                     i);
        snprintf(ids + ((size_t)index * SIGHTED + (size_t)i) * UUID_TEXT_BYTES, UUID_TEXT_BYTES, "%s",
                 json_object_get_string(id));
    }
}

Test(repo_method, concurrent_first_sightings_are_one_attacker)
{
    static char ids[HAMMERS][SIGHTED][UUID_TEXT_BYTES];

    hammer_all(sight, ids);
    for (int i = 1; i < HAMMERS; i++)
        cr_expect_eq(memcmp(ids[i], ids[0], sizeof(ids[0])), 0, "connection %d was told other ids", i);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), SIGHTED);
}

Test(repo_method, attackers_are_found_and_listed)
{
    static const char *const nobody[] = {"nope", "", "00000000-0000-0000-0000-000000000001"};
    const char *a = attacker("198.51.100.1");

    attacker("198.51.100.2");
    attacker("2001:db8::5");
    harness_sql("UPDATE attackers SET event_count = 9, services = '[\"ssh\",\"a_b\"]', last_seen = '2026-02-01'"
                " WHERE ip = '198.51.100.2'");
    harness_sql("UPDATE attackers SET is_traversal = true WHERE ip = '2001:db8::5'");
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++)
        cr_expect_null(call("get_attacker_by_uuid", "{'uuid':'%s'}", nobody[i]), "%s", nobody[i]);
    cleanup(buf_free) Buf upper = {0};
    for (const char *c = a; *c; c++)
        if (*c != '-')
            buf_add_char(&upper, *c >= 'a' ? (char)(*c - 32) : *c);
    cleanup(json_putp) json_object *found = call("get_attacker_by_uuid", "{'uuid':'%s'}", upper.data);
    expect_key(found, "uuid", a);
    cleanup(json_putp) json_object *by_ip = call("get_attacker_uuid_by_ip", "{'ip':'2001:DB8:0::5'}");
    cr_expect_not_null(by_ip);
    cr_expect_null(call("get_attacker_uuid_by_ip", "{'ip':'198.51.100'}"));

    static const struct {
        const char *params, *first;
        size_t n;
    } lists[] = {
        {"{}", "198.51.100.2", 3},
        {"{'sort_by':'active'}", "198.51.100.2", 3},
        {"{'sort_by':'traversals'}", "2001:db8::5", 3},
        {"{'sort_by':'nonsense'}", "198.51.100.2", 3},
        {"{'limit':1}", "198.51.100.2", 1},
        {"{'search':'2001:DB8'}", "2001:db8::5", 1},
        {"{'search':''}", "198.51.100.2", 3},
        {"{'search':'198.51.100.','sort_by':'active','limit':1}", "198.51.100.2", 1},
        {"{'search':'198','sort_by':'traversals'}", "198.51.100.2", 2},
        {"{'search':':','sort_by':'traversals','service':''}", "2001:db8::5", 1},
        {"{'search':'198','service':'a_b'}", "198.51.100.2", 1},
        {"{'search':':','service':'a_b'}", NULL, 0},
        {"{'search':'_'}", NULL, 0},
        {"{'service':'ssh','sort_by':'active'}", "198.51.100.2", 1},
        {"{'search':'1%%.1'}", NULL, 0},
        {"{'service':'ssh'}", "198.51.100.2", 1},
        {"{'service':'ss'}", NULL, 0},
        {"{'service':null,'search':null}", "198.51.100.2", 3},
        {"{'offset':3}", NULL, 0},
        {"{'limit':0}", NULL, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        cleanup(json_putp) json_object *list = call("get_attackers", "%s", lists[i].params);
        cr_expect_eq(json_object_array_length(list), lists[i].n, "%s", lists[i].params);
        if (lists[i].n)
            expect_key(nth(list, 0), "ip", lists[i].first);
    }
    cr_expect_eq(call_int("get_total_attackers", "{}"), 3);
    cr_expect_eq(call_int("get_total_attackers", "{'search':'198.51.100.','service':'a_b'}"), 1);
}

/* Whole rows: the later pages of attackers come by other statements than the first. */
Test(repo_method, pages_of_attackers_are_pieces_of_the_whole_list)
{
    static const char *const lists[] = {
        "'sort_by':'recent'",
        "'sort_by':'active'",
        "'sort_by':'traversals'",
        "'service':'ssh'",
        "'service':'a\\\"b','sort_by':'active'",
        "'service':'ssh','sort_by':'traversals'",
        "'search':'198.51.100.1'",
        "'search':'.1','service':'ssh','sort_by':'active'",
    };
    enum { N = 40, PAGE = 7 };

    harness_sql("INSERT INTO attackers (ip, first_seen, last_seen, event_count, is_traversal, services)"
                " SELECT '198.51.100.' || n, 'epoch', to_timestamp(n / 5), n / 3 %% 4, n %% 6 = 0,"
                "  CASE WHEN n %% 2 = 0 THEN '[\"ssh\",\"a\\\"b\"]' ELSE '[\"ftp\"]' END::jsonb"
                " FROM generate_series(1, %d) n",
                N);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        cleanup(json_putp) json_object *whole = call("get_attackers", "{%s}", lists[i]);
        size_t n = json_object_array_length(whole), at = 0;

        cr_expect_gt(n, PAGE, "%s", lists[i]);
        while (at < n) {
            cleanup(json_putp) json_object *page =
                call("get_attackers", "{%s,'limit':%d,'offset':%zu}", lists[i], PAGE, at);
            cr_assert_eq(json_object_array_length(page), MIN(n - at, (size_t)PAGE), "%s at %zu", lists[i], at);
            for (size_t k = 0; k < json_object_array_length(page); k++, at++)
                cr_expect_str_eq(json_object_to_json_string(nth(page, k)), json_object_to_json_string(nth(whole, at)));
        }
    }
}

Test(repo_method, intelligence_merges_what_is_given)
{
    const char *a = attacker("198.51.100.1");
    cleanup(json_putp) json_object *first =
        call("upsert_attacker_intel",
             "{'data':{'attacker_uuid':'%s','attacker_ip':'198.51.100.1','expires_at':'2026-03-01T00:00:00Z',"
             "'abuseipdb_score':97,'abuseipdb_categories':[18,22],'greynoise_tags':'[\\'x\\']','feodo_listed':true,"
             "'aggregate_verdict':'malicious','greynoise_raw':7}}",
             a);
    cleanup(json_putp) json_object *second =
        call("upsert_attacker_intel",
             "{'data':{'attacker_uuid':'%s','attacker_ip':'198.51.100.1','expires_at':'2026-04-01T00:00:00Z',"
             "'aggregate_verdict':null,'threatfox_threat_types':{'no':'list'}}}",
             a);
    cr_expect_str_eq(json_object_get_string(first), json_object_get_string(second));
    cleanup(json_putp) json_object *row = call("get_attacker_intel_by_uuid", "{'uuid':'%s'}", a);
    expect_key(row, "abuseipdb_score", "97");
    expect_key(row, "aggregate_verdict", "null");
    expect_key(row, "expires_at", "2026-04-01T00:00:00.000000Z");
    expect_key(row, "greynoise_raw", "7");
    cleanup(json_putp) json_object *typed = call("get_attacker_intel_row_by_uuid", "{'uuid':'%s'}", a);
    cr_expect_eq(json_object_object_length(typed), 14);
    expect_key(typed, "abuseipdb_categories", "[ 18, 22 ]");
    expect_key(typed, "greynoise_tags", "[ \"x\" ]");
    expect_key(typed, "threatfox_threat_types", "[ ]");
    expect_key(typed, "feodo_listed", "true");

    cr_expect_null(call("get_attacker_intel_by_uuid", "{'uuid':'missing'}"));
    cr_expect_null(call("get_attacker_intel_row_by_uuid", "{'uuid':'%s'}", attacker("198.51.100.2")));
    refuse(REPO_E_INVALID, "key expires_at is missing", "upsert_attacker_intel",
           "{'data':{'attacker_uuid':'%s','attacker_ip':'x'}}", a);
    refuse(REPO_E_INVALID, "attacker_uuid must be a uuid", "upsert_attacker_intel",
           "{'data':{'attacker_uuid':'x','attacker_ip':'x','expires_at':'2026-03-01T00:00:00Z'}}");
    refuse(REPO_E_FK, "foreign key", "upsert_attacker_intel",
           "{'data':{'attacker_uuid':'00000000-0000-0000-0000-000000000001','attacker_ip':'x','expires_at':"
           "'2026-03-01T00:00:00Z'}}");
}

Test(repo_method, credentials_count_attempts)
{
    static const char base[] = "'attacker_ip':'198.51.100.1','decky_name':'d1','service':'ssh','secret_sha256':'aa'";
    int64_t id = call_int("upsert_credential",
                          "{'data':{%s,'principal':'root','outcome':'failure','secret_printable':"
                          "'pw','fields':'{\\'a\\':1}'}}",
                          base);

    cr_expect_eq(call_int("upsert_credential",
                          "{'data':{%s,'principal':'root','secret_kind':'','outcome':null,"
                          "'secret_printable':'other'}}",
                          base),
                 id);
    cr_expect_eq(call_int("upsert_credential", "{'data':{%s,'principal':'root','outcome':'success'}}", base), id);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE attempt_count = 3 AND outcome = 'success'"
                                 " AND secret_printable = 'pw' AND fields = '{\"a\":1}' AND secret_kind = 'plaintext'"
                                 " AND last_seen > first_seen AND attacker_uuid IS NULL"),
                 1);
    /* no principal is not the empty one, and equals itself; a kind is part of the key */
    int64_t none = call_int("upsert_credential", "{'data':{%s}}", base);
    cr_expect_eq(call_int("upsert_credential", "{'data':{%s,'principal':null}}", base), none);
    cr_expect_neq(call_int("upsert_credential", "{'data':{%s,'principal':''}}", base), none);
    cr_expect_neq(call_int("upsert_credential", "{'data':{%s,'secret_kind':'vnc_des_response'}}", base), none);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials"), 4);

    cleanup(buf_free) Buf longer = {0};
    for (int i = 0; i < 300; i++)
        buf_add(&longer, "\xc3\xa4");
    call_int("upsert_credential", "{'data':{%s,'principal':'%s'}}", base, longer.data);
    cr_expect_eq(harness_sql_int("SELECT max(char_length(principal)) FROM credentials"), 256);
    refuse(REPO_E_INVALID, "fields must be JSON", "upsert_credential", "{'data':{%s,'fields':'x'}}", base);
    refuse(REPO_E_INVALID, "key secret_sha256 is missing", "upsert_credential",
           "{'data':{'attacker_ip':'x','decky_name':'d','service':'s'}}");
    refuse(REPO_E_INVALID, "principal must be text", "upsert_credential", "{'data':{%s,'principal':5}}", base);
}

Test(repo_method, bounties_are_kept_once)
{
    static const char base[] = "'service':'ssh','attacker_ip':'198.51.100.1'";

    json_object_put(call("add_bounty",
                         "{'bounty_data':{%s,'decky':'d1','bounty_type':'artifact','payload':{'a':1,'b':2},"
                         "'timestamp':'2026-01-01T00:00:00Z'}}",
                         base));
    json_object_put(
        call("add_bounty",
             "{'bounty_data':{%s,'decky':'d2','bounty_type':'artifact','payload':'{\\'b\\': 2, \\'a\\':1}'}}", base));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM bounty WHERE decky = 'd1' AND timestamp = '2026-01-01T00:00Z'"),
                 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM bounty"), 1);
    for (int i = 0; i < 4; i++)
        json_object_put(call("add_bounty",
                             "{'bounty_data':{%s,'decky':'d%d','bounty_type':'probe_relay','payload':'text "
                             "alone'}}",
                             base, i % 2));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM bounty WHERE payload = '\"text alone\"'"), 2);
    refuse(REPO_E_INVALID, "payload must not be null", "add_bounty",
           "{'bounty_data':{%s,'decky':'d','bounty_type':'x','payload':null}}", base);
    refuse(REPO_E_INVALID, "key payload is missing", "add_bounty", "{'bounty_data':{%s,'decky':'d','bounty_type':'x'}}",
           base);
}

/* --- tags --- */

/* One tag as JSON; @more overrides, as of two equal keys the later counts. */
static const char *tag(int n, const char *attacker_uuid, const char *more)
{
    static _Thread_local char out[4][1024];
    static _Thread_local unsigned turn;
    char *to = out[turn++ % 4];
    snprintf(to, sizeof(out[0]),
             "{'uuid':'00000000-0000-5000-8000-%012d','source_kind':'command','source_id':'s%d','attacker_uuid':'%s',"
             "'session_id':'sid-1','tactic':'TA0002','technique_id':'T1059','sub_technique_id':'T1059.004',"
             "'confidence':0.5,'rule_id':'R0010','rule_version':1,'evidence':{'command_text':'id'},"
             "'attack_release':'v19.1','created_at':'2026-01-01T00:00:%02dZ'%s}",
             n, n, attacker_uuid, n % 60, more);
    return to;
}

Test(repo_method, tags_are_inserted_once)
{
    const char *a = attacker("198.51.100.1");

    cr_expect_eq(call_int("insert_tags", "{'rows':[]}"), 0);
    cr_expect_eq(call_int("insert_tags", "{'rows':[%s,%s]}", tag(1, a, ""), tag(2, a, "")), 2);
    cr_expect_eq(call_int("insert_tags", "{'rows':[%s,%s]}", tag(2, a, ",'confidence':0.9"), tag(3, a, "")), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM ttp_tag WHERE confidence = 0.9"), 0, "the first write wins");
    cr_expect_eq(call_int("insert_tags", "{'rows':[%s,%s]}", tag(4, a, ""), tag(4, a, ",'rule_id':'R9'")), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM ttp_tag WHERE rule_id = 'R9'"), 0);
    cr_expect_eq(call_int("insert_tags", "{'rows':[%s,%s,%s]}", tag(5, a, ",'confidence':0.3"),
                          tag(6, a, ",'confidence':0.29"), tag(7, a, ",'confidence':-1")),
                 1, "0.3 itself is kept");
    cr_expect_eq(call_int("insert_tags", "{'rows':[%s,%s]}", tag(8, "00000000-0000-0000-0000-000000000001", ""),
                          tag(9, a, ",'identity_uuid':'00000000-0000-0000-0000-000000000001'")),
                 0, "rows without their anchor are left out");
    cr_expect_eq(
        call_int("insert_tags", "{'rows':[%s,%s]}", tag(8, "00000000-0000-0000-0000-000000000001", ""), tag(10, a, "")),
        1, "and the others are not");
    cr_expect_eq(call_int("insert_tags", "{'rows':[%s]}",
                          tag(11, a, ",'evidence':'{\\'a\\':\\'{}\\',\\'n\\':99999999999999999999}'")),
                 1, "evidence may be text that holds an object; texts in it stay texts");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM ttp_tag"
                                 " WHERE evidence = '{\"a\":\"{}\",\"n\":99999999999999999999}'"),
                 1);
}

Test(repo_method, tags_that_are_none_are_refused)
{
    const char *a = attacker("198.51.100.1");
    static const struct {
        const char *more, *words;
    } cases[] = {
        {",'attacker_uuid':null", "rows[1]: one of attacker_uuid and identity_uuid"},
        {",'confidence':1.01", "confidence must be from 0 to 1"},
        {",'confidence':null", "rows[1]: confidence must not be null"},
        {",'confidence':'high'", "confidence must be a number"},
        {",'evidence':'x'", "evidence must be an object"},
        {",'evidence':'[1]'", "evidence must be an object"},
        {",'evidence':'null'", "evidence must be an object"},
        {",'evidence':[1]", "evidence must be an object"},
        {",'evidence':{'a':1e999}", "evidence must be an object"},
        {",'uuid':'x'", "uuid must be a uuid"},
        {",'rule_version':1.5", "rule_version must be an integer"},
        {",'technique_id':null", "technique_id must not be null"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(REPO_E_INVALID, cases[i].words, "insert_tags", "{'rows':[%s,%s]}", tag(1, a, ""),
               tag(2, a, cases[i].more));
    refuse(REPO_E_INVALID, "rows[0] must be an object", "insert_tags", "{'rows':[7]}");
    refuse(REPO_E_INVALID, "rows[0]: one of", "insert_tags", "{'rows':[{}]}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM ttp_tag"), 0, "none of a call with a bad row");
}

static bool name_technique(void *arg, const char *id, TechniqueName *ret)
{
    (void)arg;
    *ret = (TechniqueName){.name = strchr(id, '.') ? "Unix Shell" : "Interpreter", .url = "https://example/T"};
    return strcmp(id, "T9999") != 0;
}

Test(repo_method, techniques_roll_up)
{
    const char *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2");

    cr_assert_eq(call_int("insert_tags", "{'rows':[%s,%s,%s]}", tag(1, a, ""), tag(2, a, ",'confidence':0.8"),
                          tag(3, a, ",'sub_technique_id':null")),
                 3);
    cr_assert_eq(call_int("insert_tags", "{'rows':[%s]}", tag(4, b, ",'technique_id':'T9999','sub_technique_id':null")),
                 1);
    cleanup(json_putp) json_object *plain = call("list_techniques_by_attacker", "{'uuid':'%s'}", a);
    cr_expect_eq(json_object_array_length(plain), 2);
    expect_key(nth(plain, 0), "technique_name", "null");
    repo_set_technique_namer(name_technique, NULL);
    cleanup(json_putp) json_object *list = call("list_techniques_by_attacker", "{'uuid':'%s'}", a);
    json_object *top = nth(list, 0);
    cr_expect_eq(json_object_object_length(top), 10);
    expect_key(top, "technique_id", "T1059");
    expect_key(top, "technique_name", "Interpreter");
    expect_key(top, "sub_technique_id", "T1059.004");
    expect_key(top, "sub_technique_name", "Unix Shell");
    expect_key(top, "tactic", "TA0002");
    expect_key(top, "count", "2");
    expect_key(top, "first_seen", "2026-01-01T00:00:01.000000Z");
    expect_key(top, "last_seen", "2026-01-01T00:00:02.000000Z");
    expect_key(top, "confidence_max", "0.8");
    expect_key(top, "mitre_url", "https://example/T");
    expect_key(nth(list, 1), "sub_technique_id", "null");
    expect_key(nth(list, 1), "sub_technique_name", "null");

    cleanup(json_putp) json_object *session = call("list_techniques_by_session", "{'sid':'sid-1'}");
    cr_expect_eq(json_object_array_length(session), 3);
    cleanup(json_putp) json_object *all = call("list_distinct_techniques", "{}");
    cr_expect_eq(json_object_array_length(all), 3);
    cr_expect_eq(json_object_object_length(nth(all, 0)), 8);
    expect_key(nth(all, 1), "technique_id", "T9999"); /* equal counts: the later seen first */
    expect_key(nth(all, 1), "technique_name", "null");
    cleanup(json_putp) json_object *nobody = call("list_techniques_by_attacker", "{'uuid':'nope'}");
    cr_expect_eq(json_object_array_length(nobody), 0);
    repo_set_technique_namer(NULL, NULL);
}

Test(repo_method, tags_are_listed_newest_first)
{
    const char *a = attacker("198.51.100.1");
    static const struct {
        const char *scope, *more;
        size_t n;
    } cases[] = {
        {"'scope':'session','uuid':'sid-1','technique_id':'T1059'", "", 3},
        {"'scope':'session','uuid':'sid-2','technique_id':'T1059'", "", 0},
        {"'scope':'session','uuid':'sid-1','technique_id':'T1059'", ",'sub_technique_id':'T1059.004'", 2},
        {"'scope':'session','uuid':'sid-1','technique_id':'T1059'", ",'sub_technique_id':null,'limit':1", 1},
        {"'scope':'attacker','uuid':'missing','technique_id':'T1059'", "", 0},
        {"'scope':'identity','uuid':'00000000-0000-4000-8000-000000000001','technique_id':'T1059'", "", 3},
    };

    harness_sql("INSERT INTO attacker_identities (uuid) VALUES ('00000000-0000-4000-8000-000000000001');"
                " UPDATE attackers SET identity_id = '00000000-0000-4000-8000-000000000001'");
    cr_assert_eq(call_int("insert_tags", "{'rows':[%s,%s,%s]}", tag(1, a, ""), tag(2, a, ""),
                          tag(3, a,
                              ",'sub_technique_id':null,"
                              "'identity_uuid':'00000000-0000-4000-8000-000000000001'")),
                 3);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(json_putp) json_object *list =
            call("list_tags_by_scope_and_technique", "{%s%s}", cases[i].scope, cases[i].more);
        cr_expect_eq(json_object_array_length(list), cases[i].n, "%s%s", cases[i].scope, cases[i].more);
    }
    cleanup(json_putp) json_object *list =
        call("list_tags_by_scope_and_technique", "{'scope':'attacker','uuid':'%s','technique_id':'T1059'}", a);
    cr_expect_eq(json_object_array_length(list), 3, "a tag that is reached both ways counts once");
    expect_key(nth(list, 0), "source_id", "s3");
    expect_key(nth(list, 0), "evidence", "{ \"command_text\": \"id\" }");
    expect_key(nth(list, 0), "created_at", "2026-01-01T00:00:03.000000Z");
    cleanup(json_putp) json_object *raw = call("list_ttp_tags_by_attacker", "{'uuid':'%s','limit':2}", a);
    cr_expect_eq(json_object_array_length(raw), 2);
    expect_key(nth(raw, 1), "source_id", "s2");
    refuse(REPO_E_INVALID, "scope must be", "list_tags_by_scope_and_technique",
           "{'scope':'campaign','uuid':'x','technique_id':'T1'}");
}

/* --- transactions --- */

Test(repo_method, a_call_within_a_transaction_is_part_of_it)
{
    cr_assert_eq(repo_begin(repo), 0);
    attacker("198.51.100.1");
    repo_rollback(repo);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), 0);
    attacker("198.51.100.1");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers"), 1);
}

Test(repo_method, a_lost_connection_is_made_again)
{
    cr_expect_eq(call_int("get_total_attackers", "{}"), 0);
    harness_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'repo_method_test'"
                " AND datname = current_database()");
    cr_expect_eq(call_int("get_total_attackers", "{}"), 0, "the next try finds a new connection");
}
