/* Logs: what is searched and how, time windows, pages, histograms, and the tail that never misses a row. */
#include "repo_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"

TestSuite(repo_logs, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

/* Row n is at minute n of an hour; its line is its name. */
static void add(int minute, const char *line, const char *more)
{
    json_object_put(call("add_log",
                         "{'log_data':{'decky':'d1','service':'ssh','event_type':'login','attacker_ip':'198.51.100.1',"
                         "'fields':{},'raw_line':'%s','timestamp':'2026-01-01T10:%02d:00Z'%s}}",
                         line, minute, more));
}

/* The lines of the rows that come back, in their order: "c b a". */
static void expect_lines(const char *want, const char *method, const char *params)
{
    cleanup(json_putp) json_object *list = call(method, "{%s}", params);
    cleanup(buf_free) Buf lines = {0};

    for (size_t i = 0; i < json_object_array_length(list); i++)
        buf_printf(&lines, "%s%s", i ? " " : "", text_of(nth(list, i), "raw_line"));
    cr_expect_str_eq(buf_str(&lines).data, want, "%s {%s}: '%s', not '%s'", method, params, buf_str(&lines).data, want);
}

/* @search in all four methods: the lists, the count and the sum of the histogram agree. */
static void expect_found(const char *want, const char *search)
{
    cleanup(buf_free) Buf params = {0}, tail = {0};
    cleanup(json_putp) json_object *histogram = NULL;
    int64_t n = *want ? 1 : 0, in_histogram = 0;

    for (const char *c = want; *c; c++)
        n += *c == ' ';
    buf_printf(&params, "'search':'%s'", search);
    expect_lines(want, "get_logs", params.data);
    cr_expect_eq(call_int("get_total_logs", "{%s}", params.data), n, "%s", search);
    histogram = call("get_log_histogram", "{%s}", params.data);
    for (size_t i = 0; i < json_object_array_length(histogram); i++)
        in_histogram += json_object_get_int64(json_object_object_get(nth(histogram, i), "count"));
    cr_expect_eq(in_histogram, n, "%s", search);
    buf_printf(&tail, "'last_id':0,%s", params.data);
    cleanup(json_putp) json_object *rows = call("get_logs_after_id", "{%s}", tail.data);
    cr_expect_eq(json_object_array_length(rows), (size_t)n, "%s", search);
}

/* --- lists --- */

Test(repo_logs, a_row_has_every_column)
{
    add(1, "a", ",'fields':'{\\'k\\':[1,null]}','msg':'m','trace_id':'t','span_id':'s','other':1");
    static const struct {
        const char *key, *want;
    } columns[] = {
        {"id", "1"},
        {"timestamp", "2026-01-01T10:01:00.000000Z"},
        {"decky", "d1"},
        {"service", "ssh"},
        {"event_type", "login"},
        {"attacker_ip", "198.51.100.1"},
        {"raw_line", "a"},
        {"fields", "{ \"k\": [ 1, null ] }"},
        {"msg", "m"},
        {"trace_id", "t"},
        {"span_id", "s"},
        {"source_event_id", "null"},
    };
    static const char *const methods[] = {"get_logs", "get_logs_after_id"};
    for (size_t m = 0; m < ARRAY_SIZE(methods); m++) {
        cleanup(json_putp) json_object *list = call(methods[m], "%s", m ? "{'last_id':0}" : "{}");
        cr_assert_eq(json_object_array_length(list), 1);
        cr_expect_eq(json_object_object_length(nth(list, 0)), (int)ARRAY_SIZE(columns));
        for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
            expect_key(nth(list, 0), columns[i].key, columns[i].want);
    }
}

Test(repo_logs, an_empty_table_gives_empty_answers)
{
    static const char *const methods[] = {"get_logs", "get_log_histogram"};
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        cleanup(json_putp) json_object *list = call(methods[i], "{}");
        cr_expect(json_object_is_type(list, json_type_array) && json_object_array_length(list) == 0, "%s", methods[i]);
    }
    cr_expect_eq(call_int("get_total_logs", "{}"), 0);
    cr_expect_eq(call_int("get_max_log_id", "{}"), 0);
    expect_lines("", "get_logs_after_id", "'last_id':0");
}

Test(repo_logs, newest_come_first_and_pages_do_not_overlap)
{
    add(2, "b", "");
    add(1, "a", "");
    add(2, "c", ""); /* as old as b: the later id first */
    add(3, "d", "");
    expect_lines("d c b a", "get_logs", "");
    expect_lines("d c", "get_logs", "'limit':2");
    expect_lines("b a", "get_logs", "'limit':2,'offset':2");
    expect_lines("c", "get_logs", "'limit':1,'offset':1");
    expect_lines("", "get_logs", "'offset':4");
    expect_lines("", "get_logs", "'offset':9000000000000000000");
    expect_lines("", "get_logs", "'limit':0");
    refuse(REPO_E_INVALID, "limit must be", "get_logs", "{'limit':-1}");
    refuse(REPO_E_INVALID, "limit must be", "get_logs", "{'limit':10001}");
    refuse(REPO_E_INVALID, "offset must be", "get_logs", "{'offset':-1}");
    refuse(REPO_E_INVALID, "search must be text", "get_logs", "{'search':7}");
    expect_lines("d c b a", "get_logs", "'limit':10000");
}

Test(repo_logs, the_default_page_has_fifty_rows_and_the_tail_five_hundred)
{
    harness_sql("INSERT INTO logs (decky, service, event_type, attacker_ip, raw_line)"
                " SELECT 'd', 's', 'e', 'ip', n FROM generate_series(1, 600) n");
    cleanup(json_putp) json_object *page = call("get_logs", "{}");
    cr_expect_eq(json_object_array_length(page), 50);
    cleanup(json_putp) json_object *tail = call("get_logs_after_id", "{'last_id':0}");
    cr_expect_eq(json_object_array_length(tail), 500);
    cr_expect_eq(call_int("get_total_logs", "{}"), 600);
}

Test(repo_logs, the_tail_goes_on_behind_an_id)
{
    add(3, "a", "");
    add(1, "b", ",'service':'ftp'");
    add(2, "c", "");
    add(4, "d", "");
    expect_lines("a b c d", "get_logs_after_id", "'last_id':0");
    expect_lines("a b c d", "get_logs_after_id", "'last_id':-5");
    expect_lines("c d", "get_logs_after_id", "'last_id':2");
    expect_lines("c", "get_logs_after_id", "'last_id':2,'limit':1");
    expect_lines("", "get_logs_after_id", "'last_id':4");
    expect_lines("", "get_logs_after_id", "'last_id':9223372036854775807");
    expect_lines("b", "get_logs_after_id", "'last_id':0,'search':'service:ftp'");
    expect_lines("b c", "get_logs_after_id", "'last_id':1,'end_time':'2026-01-01T10:02:00Z'");
    expect_lines("d", "get_logs_after_id", "'last_id':1,'start_time':'2026-01-01T10:03:00Z'");
    refuse(REPO_E_INVALID, "parameter last_id is missing", "get_logs_after_id", "{}");
    refuse(REPO_E_INVALID, "last_id must be an integer", "get_logs_after_id", "{'last_id':null}");
    refuse(REPO_E_INVALID, "limit must be", "get_logs_after_id", "{'last_id':0,'limit':10001}");
}

/* --- the time window --- */

Test(repo_logs, a_window_includes_both_ends_and_compares_instants)
{
    static const struct {
        const char *params, *want;
    } cases[] = {
        {"'start_time':'2026-01-01T10:02:00Z'", "c b"},
        {"'start_time':'2026-01-01T10:02:00.000001Z'", "c"},
        {"'end_time':'2026-01-01T10:02:00Z'", "b a"},
        {"'end_time':'2026-01-01T10:01:59.999999Z'", "a"},
        {"'start_time':'2026-01-01T10:02:00Z','end_time':'2026-01-01T10:02:00Z'", "b"},
        {"'start_time':'2026-01-01 10:02:00','end_time':'2026-01-01 10:02:00'", "b"},
        {"'start_time':'2026-01-01T12:02:00+02:00','end_time':'2026-01-01T05:02:00-05:00'", "b"},
        {"'start_time':'2026-01-01T10:03:00Z','end_time':'2026-01-01T10:01:00Z'", ""},
        {"'start_time':'','end_time':''", "c b a"},
        {"'start_time':null,'end_time':null", "c b a"},
        {"'start_time':'2026-01-01T00:00:00Z','end_time':'2026-01-01T23:59:59Z','search':'b'", "b"},
    };
    static const char *const bad[] = {"yesterday", "2026-13-01T00:00:00Z", " ", "1", "2026-01-01T10:02:00Z\\u0027; --",
                                      "\\u0000"};

    add(1, "a", "");
    add(2, "b", "");
    add(3, "c", "");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_lines(cases[i].want, "get_logs", cases[i].params);
    cr_expect_eq(call_int("get_total_logs", "{'start_time':'2026-01-01T10:02:00Z'}"), 2);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        refuse(REPO_E_INVALID, "start_time must be a time", "get_logs", "{'start_time':'%s'}", bad[i]);
        refuse(REPO_E_INVALID, "end_time must be a time", "get_total_logs", "{'end_time':'%s'}", bad[i]);
        refuse(REPO_E_INVALID, "end_time must be a time", "get_log_histogram", "{'end_time':'%s'}", bad[i]);
        refuse(REPO_E_INVALID, "start_time must be a time", "get_logs_after_id", "{'last_id':0,'start_time':'%s'}",
               bad[i]);
    }
}

/* --- the search language on rows; its grammar has a test of its own --- */

Test(repo_logs, words_are_searched_in_line_decky_service_and_address)
{
    add(1, "a", "");
    add(2, "b", ",'decky':'Web-01','event_type':'hidden','msg':'hidden','fields':{'hidden':'hidden'}");
    add(3, "c", ",'service':'telnet','attacker_ip':'2001:db8::77'");
    add(4, "50%_\\\\\\\\d", "");
    static const struct {
        const char *search, *want;
    } cases[] = {
        {"", "50%_\\\\d c b a"},
        {"  ", "50%_\\\\d c b a"},
        {"web-0", "b"},
        {"WEB-01", "b"},
        {"ELN", "c"},
        {"db8", "c"},
        {"hidden", ""},
        {"login", ""},
        {"ssh", "50%_\\\\d b a"},
        {"ssh web", "b"},
        {"ssh telnet", ""},
        {"\\u0027\\u0027 ssh", "50%_\\\\d b a"},
        {"%", "50%_\\\\d"},
        {"_", "50%_\\\\d"},
        {"\\u0027\\\\\\\\\\u0027", "50%_\\\\d"}, /* two backslashes in quotes */
        {"a_", ""},
        {"ssh\\u0000", ""},
        {"\xc3\xa4", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_found(cases[i].want, cases[i].search);
}

Test(repo_logs, letters_of_any_language_match_in_either_case)
{
    add(1, "\xc3\x84rger", "");
    cr_expect_eq(call_int("get_total_logs", "{'search':'\xc3\xa4RGER'}"),
                 harness_sql_int("SELECT count(*) FROM logs WHERE raw_line ILIKE '%%\xc3\xa4RGER%%'"));
}

Test(repo_logs, columns_and_fields_are_equal_or_not)
{
    add(1, "a",
        ",'fields':{'user':'root','port':22,'ok':true,'none':null,'list':[1],'event_type':'x','deep':{'user':'u'}}");
    add(2, "b", ",'decky':'d2','fields':{'user':'Root','port':'22'}");
    add(3, "c", ",'service':'ftp','event_type':'logout','attacker_ip':'2001:db8::1','fields':[1]");
    add(4, "d", ",'fields':'no json','attacker_ip':'Unknown'");
    static const struct {
        const char *search, *want;
    } cases[] = {
        {"decky:d1", "d c a"},
        {"decky:D1", ""},
        {"decky:d", ""},
        {"service:ftp", "c"},
        {"event:login", "d b a"},
        {"event_type:login", ""},
        {"event_type:x", "a"},
        {"attacker:2001:db8::1", "c"},
        {"attacker:2001:DB8:0::1", "c"}, /* however an address is spelled */
        {"attacker-ip:Unknown", "d"},
        {"attacker-ip:unknown", ""},
        {"attacker_ip:198.51.100.1", "b a"},
        {"attacker_ip:198.51.100.1 attacker:198.51.100.1", "b a"},
        {"attacker_ip:198.51.100.1 attacker:Unknown", ""},
        {"decky:d1 decky:d2", ""},
        {"decky:d1 decky:d1", "d c a"},
        {"user:root user:root ok:true", "a"},
        {"a ssh 198.51", "a"},
        {"decky:d1 service:ssh event:login attacker:198.51.100.1 user:root a", "a"},
        {"user:root", "a"},
        {"user:root port:22", "a"}, /* each word has its own value */
        {"port:22", "b a"},
        {"port:22.0", ""},
        {"user:Root port:22", "b"},
        {"user:root user:Root", ""},
        {"ok:true", "a"},
        {"none:null", ""},
        {"none:", ""},
        {"list:[1]", "a"},
        {"_raw:\\u0027no json\\u0027", "d"},
        {"_raw:no\\\\ json", "d"},
        {"missing:x", ""},
        {":x", "d c b a"},
        {"http://x", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_found(cases[i].want, cases[i].search);
}

/* --- histogram --- */

static void expect_histogram(const char *params, const char *want)
{
    cleanup(json_putp) json_object *list = call("get_log_histogram", "{%s}", params);
    cleanup(buf_free) Buf out = {0};

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        cr_expect_eq(json_object_object_length(nth(list, i)), 2);
        buf_printf(&out, "%s%s=%s", i ? "|" : "", text_of(nth(list, i), "time"), text_of(nth(list, i), "count"));
    }
    cr_expect_str_eq(buf_str(&out).data, want, "%s gives %s", params, buf_str(&out).data);
}

Test(repo_logs, a_histogram_counts_from_the_epoch)
{
    add(1, "a", "");
    add(14, "b", "");
    add(15, "c", ",'service':'ftp'");
    add(44, "d", "");
    add(59, "e", ",'timestamp':'2026-01-01T10:59:59.999999Z'");
    expect_histogram("", "2026-01-01 10:00:00=2|2026-01-01 10:15:00=1|2026-01-01 10:30:00=1|2026-01-01 10:45:00=1");
    expect_histogram("'interval_minutes':60", "2026-01-01 10:00:00=5");
    expect_histogram("'interval_minutes':7", /* 2026-01-01 09:58 is a multiple of 7 minutes */
                     "2026-01-01 09:55:00=1|2026-01-01 10:09:00=2|2026-01-01 10:44:00=1|2026-01-01 10:58:00=1");
    expect_histogram("'start_time':'2026-01-01T10:14:30Z','interval_minutes':30",
                     "2026-01-01 10:00:00=1|2026-01-01 10:30:00=2");
    expect_histogram("'search':'service:ftp'", "2026-01-01 10:15:00=1");
    expect_histogram("'search':'nothing'", "");
    expect_histogram("'interval_minutes':1440", "2026-01-01 00:00:00=5");
}

Test(repo_logs, any_interval_is_an_interval)
{
    static const char *const ones[] = {"1", "0", "-7", "-9223372036854775808"};
    static const char *const huge[] = {"10000000000", "10000000001", "9223372036854775807"};

    add(1, "a", "");
    add(1, "b", ",'timestamp':'2026-01-01T10:01:59Z'");
    add(1, "c", ",'timestamp':'9999-12-31T23:59:59.999999Z'");
    for (size_t i = 0; i < ARRAY_SIZE(ones); i++) {
        char params[80];
        snprintf(params, sizeof(params), "'interval_minutes':%s", ones[i]);
        expect_histogram(params, "2026-01-01 10:01:00=2|9999-12-31 23:59:00=1");
    }
    for (size_t i = 0; i < ARRAY_SIZE(huge); i++) {
        char params[80];
        snprintf(params, sizeof(params), "'interval_minutes':%s", huge[i]);
        expect_histogram(params, "1970-01-01 00:00:00=3");
    }
    refuse(REPO_E_INVALID, "interval_minutes must be an integer", "get_log_histogram", "{'interval_minutes':1.5}");
    refuse(REPO_E_INVALID, "interval_minutes must be an integer", "get_log_histogram", "{'interval_minutes':null}");
}

/* --- adding --- */

Test(repo_logs, whatever_an_attacker_sends_is_stored)
{
    static const char *const fields[] = {
        "'[]'",
        "'7'",
        "'null'",
        "null",
        "'{\\'a\\':1e999}'",
        "'{\\'a\\':1'",
        "''",
        "'\\u0000'",
        "{'a':{'b':'\\ud800'}}",
        "{'\\u0000':1,'':2}",
        "7.25",
        "'{\\'a\\':1,\\'a\\':2}'",
        "'1e400'",
        "'{\\'a\\':\\'\\\\u0000\\'}'",
    };
    cleanup(buf_free) Buf deep = {0};

    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        cleanup(buf_free) Buf more = {0};
        buf_printf(&more, ",'fields':%s,'attacker_ip':'\\u0000;\\ud800','timestamp':'\\u0000'", fields[i]);
        add(1, "\\u0000\\udfff\\u001b[31m\xff", more.data);
    }
    buf_add(&deep, ",'fields':'");
    for (int i = 0; i < 2000; i++)
        buf_add(&deep, "[");
    buf_add(&deep, "'");
    add(1, "deep", deep.data);
    cr_expect_eq(call_int("get_total_logs", "{}"), (int64_t)ARRAY_SIZE(fields) + 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs WHERE raw_line = E'\\uFFFD\\uFFFD\\u001b[31m\\uFFFD'"
                                 " AND attacker_ip = E'\\uFFFD;\\uFFFD'"),
                 (int64_t)ARRAY_SIZE(fields));
    cleanup(json_putp) json_object *list = call("get_logs", "{'limit':100}");
    cr_expect_eq(json_object_array_length(list), ARRAY_SIZE(fields) + 1);
}

Test(repo_logs, numbers_do_not_change)
{
    add(1, "a", ",'fields':'{\\'n\\':123456789012345678901234567890}'");
    add(1, "b", ",'fields':'[1e999]'");
    add(1, "c", ",'fields':'{\\'n\\':18446744073709551615,\\'x\\':0.10000000000000000000000000000001}'");
    cleanup(freep) char *fields = harness_sql_text("SELECT string_agg(fields::text, '|' ORDER BY id) FROM logs");
    cr_expect_str_eq(fields, "{\"n\": 123456789012345678901234567890}|{\"_raw\": \"[1e999]\"}"
                             "|{\"n\": 18446744073709551615, \"x\": 0.1}");
}

/* A few rows are inserted and many are copied: the same comes of both. */
Test(repo_logs, many_at_once_are_stored_as_one_by_one)
{
    static const char *const entries[] = {
        "{'decky':'d','service':'s','event_type':'e','attacker_ip':'198.51.100.7','raw_line':'x','fields':{'a':1.5}}",
        "{'msg':'m','trace_id':'t','span_id':'p','timestamp':'2026-01-01T10:02:00.000001+01:00'}",
        "{'decky':7,'service':null,'event_type':{'a':'\\u0000'},'raw_line':['\\udfff'],'fields':'[1]','msg':true}",
        "{'raw_line':'\\u0000\xff','fields':'{','timestamp':'then','trace_id':1.25}",
        "{'fields':{'a':1},'timestamp':[]}",
        "{'fields':'no','timestamp':{}}",
        "{'fields':null,'timestamp':'2026-01-02'}",
        "{}",
        "'a line'",
        "7",
        "null",
        "[{'decky':'d'}]",
    };
    enum { TIMES = 20, N = ARRAY_SIZE(entries) };
    cleanup(buf_free) Buf all = {0};

    for (size_t i = 0; i < N; i++)
        json_object_put(call("add_logs", "{'log_entries':[%s]}", entries[i]));
    for (size_t i = 0; i < N * TIMES; i++)
        buf_printf(&all, "%s%s", i ? "," : "", entries[i % N]);
    json_object_put(call("add_logs", "{'log_entries':[%s]}", all.data));
    cr_expect_eq(call_int("get_total_logs", "{}"), N * (TIMES + 1));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs l JOIN logs f ON f.id = (l.id - 1) %% %d + 1 WHERE"
                                 " to_jsonb(l) - 'id' - 'timestamp' = to_jsonb(f) - 'id' - 'timestamp'"
                                 " AND CASE WHEN f.id IN (2, 7) THEN l.\"timestamp\" = f.\"timestamp\""
                                 "  ELSE l.\"timestamp\" > now() - interval '1 minute' END",
                                 N),
                 N * (TIMES + 1));
    cleanup(freep) char *fields = harness_sql_text("SELECT string_agg(fields::text, '|' ORDER BY id) FROM logs"
                                                   " WHERE id <= 8");
    cr_expect_str_eq(fields,
                     "{\"a\": 1.5}|{}|[1]|{\"_raw\": \"{\", \"_ts_raw\": \"then\"}|{\"a\": 1, \"_ts_raw\": \"[]\"}"
                     "|{\"_raw\": \"no\", \"_ts_raw\": \"{}\"}|{}|{}");
    cleanup(freep) char *lines = harness_sql_text("SELECT string_agg(raw_line, '|' ORDER BY id) FROM logs"
                                                  " WHERE id BETWEEN 8 AND %d",
                                                  N);
    cr_expect_str_eq(lines, "|a line|7|null|[{\"decky\":\"d\"}]");
}

static void add_batches(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++) {
        cleanup(buf_free) Buf entries = {0};
        for (int k = 0; k < 5; k++)
            buf_printf(&entries,
                       "%s{'decky':'d%d','service':'s','event_type':'e','attacker_ip':'x','raw_line':'%d',"
                       "'fields':{}}",
                       k ? "," : "", index, i * 5 + k);
        json_object_put(call_on(own, "add_logs", "{'log_entries':[%s]}", entries.data));
    }
}

/* Half of the hammers add, the others follow: whoever follows by id sees every row once and in order. */
static void add_or_follow(Repo *own, int index, void *arg)
{
    enum { ROWS = HAMMERS / 2 * 50 };
    int64_t last = 0;
    int seen = 0;

    if (index % 2) {
        add_batches(own, index, arg);
        return;
    }
    while (seen < ROWS) {
        cleanup(json_putp) json_object *list =
            call_on(own, "get_logs_after_id", "{'last_id':%lld,'limit':7}", (long long)last);
        for (size_t i = 0; i < json_object_array_length(list); i++) {
            int64_t id = json_object_get_int64(json_object_object_get(nth(list, i), "id"));
            cr_assert_gt(id, last);
            last = id;
            seen++;
        }
    }
    cr_expect_eq(seen, ROWS);
}

Test(repo_logs, a_follower_misses_nothing)
{
    hammer_all(add_or_follow, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM logs"), HAMMERS / 2 * 50);
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM (SELECT raw_line::int - lag(raw_line::int) OVER (PARTITION BY decky"
                        " ORDER BY id) AS step FROM logs) s WHERE step <> 1"),
        0, "the order of a list is the order of ids");
}
