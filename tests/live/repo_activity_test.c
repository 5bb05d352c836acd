/* What one attacker did: commands, artifacts, transcripts, mail, leaks. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_activity, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

static const char nobody[] = "00000000-0000-0000-0000-000000000001";

static void log_line(const char *ip, const char *event_type, int second, const char *fields)
{
    harness_sql(
        "INSERT INTO logs (\"timestamp\", decky, service, event_type, attacker_ip, raw_line, fields)"
        " VALUES ('2026-01-01T00:00:00Z'::timestamptz + interval '%d s', 'd1', 'ssh', '%s', '%s', 'line', '%s')",
        second, event_type, ip, fields);
}

/* --- log lines --- */

static const struct {
    const char *method, *event_type;
} line_lists[] = {
    {"get_attacker_stored_mail", "message_stored"},
    {"get_attacker_artifacts", "file_captured"},
    {"get_attacker_transcripts", "session_recorded"},
};

/* Attackers have one spelling of their address, and what they did is found by it. */
Test(repo_activity, lines_are_found_however_their_address_was_spelled)
{
    cleanup(json_putp) json_object *a =
        call("upsert_attacker", "{'data':{'ip':'2001:DB8:0:0::1','first_seen':'2026-01-01','last_seen':'2026-01-01'}}");

    for (size_t i = 0; i < ARRAY_SIZE(line_lists); i++) {
        json_object_put(call("add_logs",
                             "{'log_entries':[{'decky':'d','service':'s','event_type':'%s','attacker_ip':"
                             "'2001:DB8:0:0::1','raw_line':'','fields':{}}]}",
                             line_lists[i].event_type));
        cleanup(json_putp) json_object *list = call(line_lists[i].method, "{'uuid':'%s'}", json_object_get_string(a));
        cr_assert_eq(json_object_array_length(list), 1, "%s", line_lists[i].method);
        expect_key(nth(list, 0), "attacker_ip", "2001:db8::1");
    }
    json_object_put(call("add_log", "{'log_data':{'decky':'d','service':'s','event_type':'e','attacker_ip':'Unknown',"
                                    "'raw_line':'','fields':{}}}"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs WHERE attacker_ip = 'Unknown'"), 1);
}

Test(repo_activity, lines_of_one_kind_newest_first)
{
    const char *a = attacker("198.51.100.1");

    attacker("198.51.100.2");
    for (size_t i = 0; i < ARRAY_SIZE(line_lists); i++) {
        log_line("198.51.100.1", line_lists[i].event_type, 1, "{\"n\":1}");
        log_line("198.51.100.1", line_lists[i].event_type, 3, "{\"n\":3}");
        log_line("198.51.100.1", line_lists[i].event_type, 2, "{\"n\":2}");
        log_line("198.51.100.1", line_lists[i].event_type, 2, "{\"n\":\"2b\"}"); /* same time, later id */
        log_line("198.51.100.2", line_lists[i].event_type, 9, "{\"n\":9}");
    }
    log_line("198.51.100.1", "login", 9, "{}");
    for (size_t i = 0; i < ARRAY_SIZE(line_lists); i++) {
        static const char *const order[] = {"3", "2b", "2", "1"};
        cleanup(json_putp) json_object *list = call(line_lists[i].method, "{'uuid':'%s'}", a);
        cr_assert_eq(json_object_array_length(list), ARRAY_SIZE(order), "%s", line_lists[i].method);
        for (size_t k = 0; k < ARRAY_SIZE(order); k++)
            expect_key(json_member(nth(list, k), "fields"), "n", order[k]);
        json_object *row = nth(list, 0);
        expect_key(row, "event_type", line_lists[i].event_type);
        expect_key(row, "timestamp", "2026-01-01T00:00:03.000000Z");
        expect_key(row, "attacker_ip", "198.51.100.1");
        expect_key(row, "raw_line", "line");
        expect_key(row, "decky", "d1");
        expect_key(row, "service", "ssh");
        expect_key(row, "msg", "null");
        expect_key(row, "trace_id", "null");
        expect_key(row, "span_id", "null");
        cr_expect(json_object_is_type(json_member(row, "id"), json_type_int));
    }
}

Test(repo_activity, lines_end_at_two_hundred)
{
    const char *a = attacker("198.51.100.1");

    harness_sql("INSERT INTO logs (\"timestamp\", decky, service, event_type, attacker_ip, raw_line, fields)"
                " SELECT '2026-01-01T00:00:00Z'::timestamptz + make_interval(secs => n), 'd', 's', e, '198.51.100.1',"
                "  'r', jsonb_build_object('n', n)"
                " FROM generate_series(1, 205) n, unnest(ARRAY['message_stored', 'file_captured',"
                "  'session_recorded']) e");
    for (size_t i = 0; i < ARRAY_SIZE(line_lists); i++) {
        cleanup(json_putp) json_object *list = call(line_lists[i].method, "{'uuid':'%s'}", a);
        cr_assert_eq(json_object_array_length(list), 200, "%s", line_lists[i].method);
        expect_key(json_member(nth(list, 0), "fields"), "n", "205");
        expect_key(json_member(nth(list, 199), "fields"), "n", "6");
    }
}

Test(repo_activity, unknown_attackers_did_nothing)
{
    static const struct {
        const char *method, *param, *result;
    } cases[] = {
        {"get_attacker_stored_mail", "uuid", "[]"},
        {"get_attacker_artifacts", "uuid", "[]"},
        {"get_attacker_transcripts", "uuid", "[]"},
        {"get_attacker_commands", "uuid", "{\"total\":0,\"data\":[]}"},
        {"list_attacker_commands_deduped", "uuid", "[]"},
        {"get_attacker_service_activity", "attacker_uuid", "[]"},
        {"get_attacker_ip_leaks", "attacker_uuid", "[]"},
        {"count_attacker_ip_leaks", "attacker_uuid", "0"},
    };
    static const char *const ids[] = {nobody, "nope", ""};

    log_line("", "message_stored", 1, "{}");
    log_line("nope", "file_captured", 1, "{}");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        for (size_t k = 0; k < ARRAY_SIZE(ids); k++) {
            cleanup(json_putp) json_object *got = call(cases[i].method, "{'%s':'%s'}", cases[i].param, ids[k]);
            cr_expect_str_eq(json_object_to_json_string_ext(got, JSON_C_TO_STRING_PLAIN), cases[i].result, "%s %s",
                             cases[i].method, ids[k]);
        }
}

Test(repo_activity, services_and_events_are_distinct_pairs)
{
    const char *a = attacker("198.51.100.1");

    attacker("198.51.100.2");
    harness_sql("INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line) VALUES"
                " ('d1', 'ssh', 'login', '198.51.100.1', ''), ('d2', 'ssh', 'login', '198.51.100.1', ''),"
                " ('d1', 'ssh', 'command', '198.51.100.1', ''), ('d1', 'Http', 'scan', '198.51.100.1', ''),"
                " ('d1', 'ftp', 'login', '198.51.100.1', ''), ('d1', 'smtp', 'x', '198.51.100.2', '')");
    cleanup(json_putp) json_object *pairs = call("get_attacker_service_activity", "{'attacker_uuid':'%s'}", a);
    cr_expect_str_eq(json_object_to_json_string_ext(pairs, JSON_C_TO_STRING_PLAIN),
                     "[[\"Http\",\"scan\"],[\"ftp\",\"login\"],[\"ssh\",\"command\"],[\"ssh\",\"login\"]]");
}

Test(repo_activity, a_session_is_found_by_its_id)
{
    cleanup(buf_free) Buf long_sid = {0};

    log_line("x", "session_recorded", 1, "{\"sid\":\"s1\",\"n\":1}");
    log_line("x", "session_recorded", 2, "{\"sid\":\"s1\",\"n\":2}");
    log_line("x", "session_recorded", 2, "{\"sid\":\"s1\",\"n\":3}");
    log_line("x", "login", 5, "{\"sid\":\"s1\",\"n\":4}");
    log_line("x", "session_recorded", 9, "{\"sid\":\"s10\",\"n\":5}");
    log_line("x", "session_recorded", 9, "{\"other\":{\"sid\":\"s1\"}}");
    log_line("x", "session_recorded", 9, "[1]");
    cleanup(json_putp) json_object *row = call("get_session_log", "{'sid':'s1'}");
    expect_key(json_member(row, "fields"), "n", "3");
    cr_expect_null(call("get_session_log", "{'sid':'s_'}"), "no wildcards");
    cr_expect_null(call("get_session_log", "{'sid':'%%'}"));
    cr_expect_null(call("get_session_log", "{'sid':''}"));
    cr_expect_null(call("get_session_log", "{'sid':'S1'}"));

    /* Longer than an index takes, and so random that it cannot be packed: the line is kept, and found by the whole id. */
    for (unsigned i = 0, x = 1; i < 20000; i++, x = x * 1103515245 + 12345)
        buf_add_char(&long_sid, (char)('a' + (x >> 16) % 26));
    log_line("x", "session_recorded", 1, "{\"sid\":\"s1\"}");
    harness_sql("INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line, fields) SELECT '', '',"
                " 'session_recorded', '', '', jsonb_build_object('sid', s, 'n', n) FROM (VALUES ('%s1', 6), ('%s2', 7))"
                " v (s, n)",
                long_sid.data, long_sid.data);
    cleanup(json_putp) json_object *found = call("get_session_log", "{'sid':'%s1'}", long_sid.data);
    expect_key(json_member(found, "fields"), "n", "6");
    cr_expect_null(call("get_session_log", "{'sid':'%s'}", long_sid.data));
    refuse(REPO_E_INVALID, "sid must be text", "get_session_log", "{'sid':null}");
}

/* --- commands --- */

Test(repo_activity, commands_come_in_pages)
{
    const char *a = attacker("198.51.100.1");
    static const struct {
        const char *more, *total, *data;
    } cases[] = {
        {"", "4", "[\"c\",\"a\",\"b\",\"d\"]"},
        {",'limit':2", "4", "[\"c\",\"a\"]"},
        {",'limit':2,'offset':2", "4", "[\"b\",\"d\"]"},
        {",'limit':2,'offset':3", "4", "[\"d\"]"},
        {",'offset':4", "4", "[]"},
        {",'limit':10000,'offset':9223372036854775807", "4", "[]"},
        {",'limit':0", "4", "[]"},
        {",'service':'ssh'", "2", "[\"c\",\"b\"]"},
        {",'service':'ssh','limit':1,'offset':1", "2", "[\"b\"]"},
        {",'service':'SSH'", "0", "[]"},
        {",'service':'7'", "0", "[]"},
        {",'service':''", "4", "[\"c\",\"a\",\"b\",\"d\"]"},
        {",'service':null", "4", "[\"c\",\"a\",\"b\",\"d\"]"},
    };

    attacker("198.51.100.2");
    harness_sql("UPDATE attackers SET commands = '[{\"command\":\"c\",\"service\":\"ssh\"}, \"stray\", 5, null,"
                " {\"command\":\"a\",\"service\":\"ftp\"}, [], {\"command\":\"b\",\"service\":\"ssh\"},"
                " {\"command\":\"d\",\"service\":7}]' WHERE ip = '198.51.100.1'");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(json_putp) json_object *page = call("get_attacker_commands", "{'uuid':'%s'%s}", a, cases[i].more);
        json_object *data = json_member(page, "data");
        cleanup(buf_free) Buf names = {0};
        JsonWriter w = {.buf = &names};
        json_begin_array(&w);
        for (size_t k = 0; k < json_object_array_length(data); k++)
            json_value_object(&w, json_member(nth(data, k), "command"));
        json_end_array(&w);
        expect_key(page, "total", cases[i].total);
        cr_expect_str_eq(names.data, cases[i].data, "%s: %s", cases[i].more, names.data);
    }
    refuse(REPO_E_INVALID, "limit must be", "get_attacker_commands", "{'uuid':'%s','limit':-1}", a);
    refuse(REPO_E_INVALID, "limit must be", "get_attacker_commands", "{'uuid':'%s','limit':10001}", a);
    refuse(REPO_E_INVALID, "offset must be", "get_attacker_commands", "{'uuid':'%s','offset':-1}", a);
    refuse(REPO_E_INVALID, "limit must be", "get_attacker_commands", "{'uuid':'%s','limit':null}", a);
}

Test(repo_activity, commands_that_are_no_list_are_none)
{
    static const char *const odd[] = {"{}", "\"x\"", "5", "null", "[]"};
    const char *a = attacker("198.51.100.1");

    for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
        harness_sql("UPDATE attackers SET commands = '%s'", odd[i]);
        cleanup(json_putp) json_object *page = call("get_attacker_commands", "{'uuid':'%s'}", a);
        cleanup(json_putp) json_object *texts = call("list_attacker_commands_deduped", "{'uuid':'%s'}", a);
        expect_key(page, "total", "0");
        expect_key(page, "data", "[ ]");
        cr_expect_eq(json_object_array_length(texts), 0, "%s", odd[i]);
    }
}

Test(repo_activity, commands_once_each_in_first_order)
{
    const char *a = attacker("198.51.100.1");

    harness_sql(
        "UPDATE attackers SET commands = '[{\"command\":\" uname -a \\n\"}, {\"command_text\":\"id\",\"command\":"
        "\"hidden\"}, {\"command\":\"uname -a\"}, \"id\", {\"command_text\":\"\",\"command\":\"w\"},"
        " {\"command_text\":null,\"command\":7}, {\"command_text\":0,\"command\":false}, {\"command\":\"\\t \"},"
        " {\"command_text\":\" \",\"command\":\"hidden too\"}, {}, {\"command\":\"ID\"}, {\"command\":[\"a\",1]},"
        " {\"command\":true}]'");
    cleanup(json_putp) json_object *list = call("list_attacker_commands_deduped", "{'uuid':'%s'}", a);
    cr_expect_str_eq(json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN),
                     "[\"uname -a\",\"id\",\"w\",\"7\",\"ID\",\"[\\\"a\\\", 1]\",\"true\"]");
}

/* --- leaks --- */

static void leak(const char *ip, const char *type, int second, const char *payload)
{
    harness_sql("INSERT INTO bounty (\"timestamp\", decky, service, attacker_ip, bounty_type, payload)"
                " VALUES ('2026-01-01T00:00:00Z'::timestamptz + interval '%d s', 'd1', 'http', '%s', '%s', '%s')",
                second, ip, type, payload);
}

Test(repo_activity, leaks_newest_first)
{
    const char *a = attacker("198.51.100.1");

    attacker("198.51.100.2");
    leak("198.51.100.1", "ip_leak", 1, "{\"real\":\"a\"}");
    leak("198.51.100.1", "ip_leak", 3, "{\"real\":\"b\"}");
    leak("198.51.100.1", "ip_leak", 3, "{\"real\":\"c\"}");
    leak("198.51.100.1", "ip_leak", 2, "\"no json\"");
    leak("198.51.100.1", "artifact", 9, "{}");
    leak("198.51.100.2", "ip_leak", 9, "{}");
    cleanup(json_putp) json_object *list = call("get_attacker_ip_leaks", "{'attacker_uuid':'%s'}", a);
    cr_assert_eq(json_object_array_length(list), 4);
    static const char *const order[] = {"{ \"real\": \"c\" }", "{ \"real\": \"b\" }", "{ }", "{ \"real\": \"a\" }"};
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        expect_key(nth(list, i), "payload", order[i]);
    cr_expect_eq(json_object_object_length(nth(list, 0)), 7);
    expect_key(nth(list, 0), "bounty_type", "ip_leak");
    expect_key(nth(list, 0), "timestamp", "2026-01-01T00:00:03.000000Z");
    cr_expect_eq(call_int("count_attacker_ip_leaks", "{'attacker_uuid':'%s'}", a), 4);

    harness_sql(
        "INSERT INTO bounty (decky, service, attacker_ip, bounty_type, payload) SELECT 'd', 's', '198.51.100.1',"
        " 'ip_leak', to_jsonb(n) FROM generate_series(1, 20) n");
    cleanup(json_putp) json_object *ten = call("get_attacker_ip_leaks", "{'attacker_uuid':'%s'}", a);
    cr_expect_eq(json_object_array_length(ten), 10, "unless told otherwise");
    cleanup(json_putp) json_object *two = call("get_attacker_ip_leaks", "{'attacker_uuid':'%s','limit':2}", a);
    cr_expect_eq(json_object_array_length(two), 2);
    cr_expect_eq(call_int("count_attacker_ip_leaks", "{'attacker_uuid':'%s'}", a), 24, "all of them");
    refuse(REPO_E_INVALID, "limit must be", "get_attacker_ip_leaks", "{'attacker_uuid':'%s','limit':-1}", a);
}
