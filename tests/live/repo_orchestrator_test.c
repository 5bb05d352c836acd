/* Events and mails of the orchestrator. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_orchestrator, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define EVENT "'kind':'traffic','protocol':'ssh','action':'login','dst_decky_uuid':'host:web-1'"
#define EMAIL                                                                                                           \
    "'mail_decky_uuid':'host:mail','thread_id':'t1','message_id':'<1@x>','sender_email':'a@x','recipient_email':'b@x'," \
    "'subject':'s','eml_path':'/var/mail/1.eml'"

/* Ids of the rows of a list, in its order: the last character of each tells them apart. */
static const char *order_of(json_object *list)
{
    static _Thread_local char text[64];
    size_t n = json_object_array_length(list);

    cr_assert_lt(n, sizeof(text));
    for (size_t i = 0; i < n; i++) {
        const char *id = text_of(nth(list, i), "uuid");
        text[i] = id[strlen(id) - 1];
    }
    text[n] = '\0';
    return text;
}

typedef struct ListCase {
    const char *params, *order;
} ListCase;

static void expect_lists(const char *method, const ListCase *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        cleanup(json_putp) json_object *list = call(method, "{%s}", cases[i].params);
        cr_expect_str_eq(order_of(list), cases[i].order, "%s: %s", cases[i].params, order_of(list));
    }
}

Test(repo_orchestrator, an_event_is_recorded_with_its_defaults)
{
    cleanup(json_putp) json_object *id = call("record_orchestrator_event", "{'data':{" EVENT ",'nonsense':1}}");
    cleanup(json_putp) json_object *list = call("list_orchestrator_events", "{}");
    json_object *row = nth(list, 0);

    cr_expect_eq(json_object_object_length(row), 9);
    expect_key(row, "uuid", json_object_get_string(id));
    expect_key(row, "kind", "traffic");
    expect_key(row, "protocol", "ssh");
    expect_key(row, "action", "login");
    expect_key(row, "src_decky_uuid", "null");
    expect_key(row, "dst_decky_uuid", "host:web-1");
    expect_key(row, "success", "false");
    expect_key(row, "payload", "{ }");
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM orchestrator_events WHERE abs(extract(epoch FROM ts - now())) < 60"), 1);
}

Test(repo_orchestrator, an_event_is_recorded_as_given)
{
    cleanup(json_putp) json_object *id =
        call("record_orchestrator_event",
             "{'data':{" EVENT ",'uuid':'00000000000040008000000000000001','ts':'2026-01-01T02:00:00+02:00',"
             "'src_decky_uuid':'AAAAAAAA000040008000000000000001','success':true,'payload':{'a':[1,null]}}}");
    cleanup(json_putp) json_object *list = call("list_orchestrator_events", "{}");
    json_object *row = nth(list, 0);

    cr_expect_str_eq(json_object_get_string(id), "00000000-0000-4000-8000-000000000001");
    expect_key(row, "uuid", "00000000-0000-4000-8000-000000000001");
    expect_key(row, "ts", "2026-01-01T00:00:00.000000Z");
    expect_key(row, "src_decky_uuid", "aaaaaaaa-0000-4000-8000-000000000001");
    expect_key(row, "success", "true");
    expect_key(row, "payload", "{ \"a\": [ 1, null ] }");
    json_object_put(call("record_orchestrator_event", "{'data':{" EVENT ",'payload':' [1] '}}"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM orchestrator_events WHERE payload = '[1]'"), 1);
}

Test(repo_orchestrator, bad_events_are_refused)
{
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"'protocol':'ssh','action':'a','dst_decky_uuid':'d'", "key kind is missing"},
        {"'kind':'traffic','action':'a','dst_decky_uuid':'d'", "key protocol is missing"},
        {"'kind':'traffic','protocol':'ssh','dst_decky_uuid':'d'", "key action is missing"},
        {"'kind':'traffic','protocol':'ssh','action':'a'", "key dst_decky_uuid is missing"},
        {EVENT ",'payload':null", "payload must not be null"},
        {EVENT ",'payload':'null'", "payload"},
        {EVENT ",'payload':'no JSON'", "payload must be JSON"},
        {EVENT ",'success':1", "success must be a boolean"},
        {EVENT ",'success':null", "success must not be null"},
        {EVENT ",'ts':'yesterday'", "ts must be a time"},
        {EVENT ",'ts':null", "ts must not be null"},
        {EVENT ",'uuid':'x'", "uuid must be a uuid"},
        {EVENT ",'kind':7", "kind must be text"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(REPO_E_INVALID, cases[i].words, "record_orchestrator_event", "{'data':{%s}}", cases[i].data);
    refuse(REPO_E_INVALID, "data must be an object", "record_orchestrator_event", "{'data':[]}");
    json_object_put(
        call("record_orchestrator_event", "{'data':{" EVENT ",'uuid':'00000000000040008000000000000001'}}"));
    refuse(REPO_E_CONFLICT, "duplicate key", "record_orchestrator_event",
           "{'data':{" EVENT ",'uuid':'00000000000040008000000000000001'}}");
    cr_expect_eq(call_int("count_orchestrator_events", "{}"), 1);
    json_object_put(
        call("record_orchestrator_event", "{'data':{" EVENT ",'action':'a\\u0000\\ud800','payload':'\\'x\\''}}"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM orchestrator_events WHERE action LIKE E'a\\uFFFD%%'"
                                 " AND payload = '\"x\"'"),
                 1);
}

/* Six rows: ids 1 to 6, time by id except that 3 and 4 are of one instant. */
static void write_events(void)
{
    harness_sql("INSERT INTO orchestrator_events (uuid, ts, kind, protocol, action, dst_decky_uuid, success)"
                " SELECT format('00000000-0000-4000-8000-00000000000%%s', i)::uuid,"
                "  timestamptz '2026-01-01Z' + CASE WHEN i = 4 THEN 3 ELSE i END * interval '1 s',"
                "  CASE WHEN i %% 2 = 0 THEN 'file' ELSE 'traffic' END, 'ssh', 'a', 'd' || (i > 4)::int, i < 3"
                " FROM generate_series(1, 6) i");
}

Test(repo_orchestrator, events_are_listed_newest_first)
{
    static const ListCase cases[] = {
        {"", "654321"},
        {"'limit':2", "65"},
        {"'limit':2,'offset':2", "43"},
        {"'limit':2,'offset':6", ""},
        {"'limit':0", ""},
        {"'kind':'file'", "642"},
        {"'kind':'file','limit':1,'offset':1", "4"},
        {"'kind':'File'", ""},
        {"'kind':''", ""},
        {"'kind':null,'since_ts':null", "654321"},
        {"'since_ts':'2026-01-01T00:00:03Z'", "6543"},
        {"'since_ts':'2026-01-01T00:00:03.000001Z'", "65"},
        {"'since_ts':'2026-01-01T02:00:05+02:00','kind':'traffic'", "5"},
    };

    write_events();
    expect_lists("list_orchestrator_events", cases, ARRAY_SIZE(cases));
    cr_expect_eq(call_int("count_orchestrator_events", "{}"), 6);
    cr_expect_eq(call_int("count_orchestrator_events", "{'kind':'traffic'}"), 3);
    cr_expect_eq(call_int("count_orchestrator_events", "{'kind':''}"), 0);
    refuse(REPO_E_INVALID, "limit must be", "list_orchestrator_events", "{'limit':-1}");
    refuse(REPO_E_INVALID, "limit must be", "list_orchestrator_events", "{'limit':10001}");
    refuse(REPO_E_INVALID, "offset must be", "list_orchestrator_events", "{'offset':-1}");
    refuse(REPO_E_INVALID, "since_ts must be a time", "list_orchestrator_events", "{'since_ts':'x'}");
    refuse(REPO_E_INVALID, "kind must be text", "list_orchestrator_events", "{'kind':1}");
}

Test(repo_orchestrator, a_mail_is_recorded)
{
    cleanup(json_putp) json_object *id = call("record_orchestrator_email", "{'data':{" EMAIL "}}");
    cleanup(json_putp) json_object *list = call("list_orchestrator_emails", "{}");
    json_object *row = nth(list, 0);

    cr_expect_eq(json_object_object_length(row), 13);
    expect_key(row, "uuid", json_object_get_string(id));
    expect_key(row, "mail_decky_uuid", "host:mail");
    expect_key(row, "in_reply_to", "null");
    expect_key(row, "language", "en");
    expect_key(row, "success", "false");
    expect_key(row, "payload", "{ }");
    json_object_put(call("record_orchestrator_email",
                         "{'data':{" EMAIL ",'ts':'2026-01-01T00:00:00.5Z','language':'de-CH','in_reply_to':'<0@x>',"
                         "'success':true,'payload':'{\\'k\\':1}'}}"));
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM orchestrator_emails WHERE ts = '2026-01-01 00:00:00.5Z' AND success"
                        " AND language = 'de-CH' AND in_reply_to = '<0@x>' AND payload = '{\"k\":1}'"),
        1);
}

Test(repo_orchestrator, bad_mails_are_refused)
{
    static const char *const required[] = {"mail_decky_uuid", "thread_id", "message_id", "sender_email",
                                           "recipient_email", "subject",   "eml_path"};
    char words[64];

    for (size_t i = 0; i < ARRAY_SIZE(required); i++) { /* the first i keys are there, so this one is missed */
        cleanup(buf_free) Buf data = {0};
        for (size_t j = 0; j < i; j++)
            buf_printf(&data, "%s'%s':'v'", j ? "," : "", required[j]);
        snprintf(words, sizeof(words), "key %s is missing", required[i]);
        refuse(REPO_E_INVALID, words, "record_orchestrator_email", "{'data':{%s}}", data.data ? data.data : "");
    }
    refuse(REPO_E_INVALID, "language must be text of at most 8", "record_orchestrator_email",
           "{'data':{" EMAIL ",'language':'klingonic'}}");
    refuse(REPO_E_INVALID, "payload must not be null", "record_orchestrator_email",
           "{'data':{" EMAIL ",'payload':null}}");
    cr_expect_eq(call_int("count_orchestrator_emails", "{}"), 0);
}

/* Ids 1 to 8; 8 failed. 4 is of the instant of 3, 5 goes the other way, 6 to somebody else, 7 is of another decky. */
static void write_emails(void)
{
    harness_sql(
        "INSERT INTO orchestrator_emails (uuid, ts, mail_decky_uuid, thread_id, message_id, sender_email,"
        " recipient_email, subject, eml_path, success)"
        " SELECT format('00000000-0000-4000-8000-00000000000%%s', i)::uuid,"
        "  timestamptz '2026-01-01Z' + CASE WHEN i = 4 THEN 3 ELSE i END * interval '1 s',"
        "  CASE WHEN i = 7 THEN '00000000-0000-4000-8000-00000000000a' ELSE 'm1' END, 't' || i %% 2, 'm',"
        "  CASE WHEN i = 5 THEN 'b' ELSE 'a' END, CASE i WHEN 5 THEN 'a' WHEN 6 THEN 'c' ELSE 'b' END, 's', 'p',"
        "  i <> 8 FROM generate_series(1, 8) i");
}

Test(repo_orchestrator, mails_are_listed_newest_first)
{
    static const ListCase cases[] = {
        {"", "87654321"},
        {"'limit':3,'offset':3", "543"},
        {"'mail_decky_uuid':'m1'", "8654321"},
        {"'mail_decky_uuid':'0000000000004000800000000000000A'", "7"},
        {"'mail_decky_uuid':''", ""},
        {"'thread_id':'t1'", "7531"},
        {"'thread_id':'t1','mail_decky_uuid':'m1'", "531"},
        {"'thread_id':'t1','mail_decky_uuid':'m1','since_ts':'2026-01-01T00:00:03Z'", "53"},
        {"'thread_id':''", ""},
        {"'mail_decky_uuid':'m1','since_ts':'2026-01-01T00:00:03Z','limit':4", "8654"},
        {"'since_ts':'2026-01-01T00:00:09Z'", ""},
    };
    static const ListCase threads[] = {
        {"'mail_decky_uuid':'m1','sender_email':'a','recipient_email':'b'", "54321"},
        {"'mail_decky_uuid':'m1','sender_email':'b','recipient_email':'a'", "54321"},
        {"'mail_decky_uuid':'m1','sender_email':'b','recipient_email':'a','limit':2", "54"},
        {"'mail_decky_uuid':'m1','sender_email':'a','recipient_email':'c'", "6"},
        {"'mail_decky_uuid':'m1','sender_email':'a','recipient_email':'a'", ""},
        {"'mail_decky_uuid':'m1','sender_email':'A','recipient_email':'b'", ""},
        {"'mail_decky_uuid':'m2','sender_email':'a','recipient_email':'b'", ""},
    };

    write_emails();
    expect_lists("list_orchestrator_emails", cases, ARRAY_SIZE(cases));
    expect_lists("list_orchestrator_email_threads", threads, ARRAY_SIZE(threads));
    cr_expect_eq(call_int("count_orchestrator_emails", "{}"), 8);
    cr_expect_eq(call_int("count_orchestrator_emails", "{'mail_decky_uuid':'m1'}"), 7);
    cr_expect_eq(call_int("count_orchestrator_emails", "{'mail_decky_uuid':''}"), 0);
    refuse(REPO_E_INVALID, "limit must be", "list_orchestrator_emails", "{'limit':-1}");
    refuse(REPO_E_INVALID, "recipient_email is missing", "list_orchestrator_email_threads",
           "{'mail_decky_uuid':'m1','sender_email':'a'}");
}

Test(repo_orchestrator, failures_are_counted_over_events_and_mails)
{
    static const struct {
        const char *params;
        int64_t n;
    } cases[] = {
        {"'since_ts':'2025-01-01T00:00:00Z'", 5},
        {"'since_ts':'2026-01-01T00:00:03Z'", 5},
        {"'since_ts':'2026-01-01T00:00:03.000001Z'", 3},
        {"'since_ts':'2025-01-01T00:00:00Z','kind':null", 5},
        {"'since_ts':'2025-01-01T00:00:00Z','kind':'traffic'", 2},
        {"'since_ts':'2025-01-01T00:00:00Z','kind':'file'", 2},
        {"'since_ts':'2025-01-01T00:00:00Z','kind':'email'", 1},
        {"'since_ts':'2026-01-01T00:00:08.1Z','kind':'email'", 0},
        {"'since_ts':'2025-01-01T00:00:00Z','kind':'dns'", 0},
        {"'since_ts':'2025-01-01T00:00:00Z','kind':''", 0},
    };

    write_events();
    write_emails();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        cr_expect_eq(call_int("count_orchestrator_failures", "{%s}", cases[i].params), cases[i].n, "%s",
                     cases[i].params);
    harness_sql("UPDATE orchestrator_events SET kind = 'email' WHERE NOT success");
    cr_expect_eq(call_int("count_orchestrator_failures", "{'since_ts':'2025-01-01T00:00:00Z','kind':'email'}"), 1,
                 "that kind means mails alone");
    refuse(REPO_E_INVALID, "since_ts is missing", "count_orchestrator_failures", "{}");
    refuse(REPO_E_INVALID, "since_ts must be a time", "count_orchestrator_failures", "{'since_ts':null}");
}

Test(repo_orchestrator, pruning_keeps_the_newest_of_each_decky)
{
    static const ListCase all = {"", "6543"}, none = {"", ""};

    write_events();
    cr_expect_eq(call_int("prune_orchestrator_events", "{}"), 0);
    cr_expect_eq(call_int("prune_orchestrator_events", "{'per_dst_cap':2}"), 2);
    expect_lists("list_orchestrator_events", &all, 1);
    cr_expect_eq(call_int("prune_orchestrator_events", "{'per_dst_cap':2}"), 0);
    cr_expect_eq(call_int("prune_orchestrator_events", "{'per_dst_cap':0}"), 4);
    expect_lists("list_orchestrator_events", &none, 1);
    refuse(REPO_E_INVALID, "per_dst_cap must be", "prune_orchestrator_events", "{'per_dst_cap':-1}");

    static const ListCase mails = {"", "87"};
    write_emails();
    cr_expect_eq(call_int("prune_orchestrator_emails", "{}"), 0);
    cr_expect_eq(call_int("prune_orchestrator_emails", "{'per_decky_cap':1}"), 6);
    expect_lists("list_orchestrator_emails", &mails, 1);
    cr_expect_eq(call_int("prune_orchestrator_emails", "{'per_decky_cap':0}"), 2);
    refuse(REPO_E_INVALID, "per_decky_cap must be", "prune_orchestrator_emails", "{'per_decky_cap':-1}");
}

static int64_t pruned[HAMMERS];

static void record_and_prune(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        json_object_put(
            call_on(own, "record_orchestrator_event", "{'data':{" EVENT ",'dst_decky_uuid':'d%d'}}", i % 3));
        cleanup(json_putp) json_object *n = call_on(own, "prune_orchestrator_events", "{'per_dst_cap':5}");
        pruned[index] += json_object_get_int64(n);
    }
}

Test(repo_orchestrator, prunes_at_once_delete_every_row_once)
{
    int64_t sum = 0;

    hammer_all(record_and_prune, NULL);
    sum += call_int("prune_orchestrator_events", "{'per_dst_cap':5}");
    for (int i = 0; i < HAMMERS; i++)
        sum += pruned[i];
    cr_expect_eq(call_int("count_orchestrator_events", "{}"), 15);
    cr_expect_eq(sum, HAMMERS * 20 - 15);
}
