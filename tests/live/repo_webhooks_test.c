/* Webhook subscriptions and their circuit. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_webhooks, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define ID "0f000000-0000-4000-8000-000000000001"
#define OTHER "0f000000-0000-4000-8000-000000000002"
#define UNKNOWN "0f000000-0000-4000-8000-000000000099"

static void create(const char *uuid, const char *name, const char *more)
{
    json_object_put(call("create_webhook_subscription",
                         "{'data':{'uuid':'%s','name':'%s','url':'https://siem.example/in','secret':'s3'%s}}", uuid,
                         name, more));
}

static json_object *stored(const char *uuid)
{
    return call("get_webhook_subscription", "{'uuid':'%s'}", uuid);
}

static bool changes(const char *uuid, const char *patch)
{
    cleanup(json_putp) json_object *b = call("update_webhook_subscription", "{'uuid':'%s','patch':%s}", uuid, patch);
    cr_expect(json_object_is_type(b, json_type_boolean));
    return json_object_get_boolean(b);
}

static int64_t fail_once(const char *at, const char *error)
{
    return call_int("record_webhook_failure", "{'uuid':'" ID "','ts':'%s','error':'%s'}", at, error);
}

static void succeed(const char *at)
{
    json_object_put(call("record_webhook_success", "{'uuid':'" ID "','ts':'%s'}", at));
}

static void trip(const char *at)
{
    json_object_put(call("trip_webhook_circuit", "{'uuid':'" ID "','ts':'%s'}", at));
}

Test(repo_webhooks, a_subscription_is_created)
{
    create("0F000000000040008000000000000001", "siem", ",'unknown':1");
    cleanup(json_putp) json_object *row = stored(ID);
    cr_expect_eq(json_object_object_length(row), 13);
    expect_key(row, "uuid", ID);
    expect_key(row, "name", "siem");
    expect_key(row, "url", "https://siem.example/in");
    expect_key(row, "secret", "s3");
    expect_key(row, "topic_patterns", "[ ]");
    expect_key(row, "enabled", "true");
    expect_key(row, "consecutive_failures", "0");
    static const char *const nulls[] = {"last_success_at", "last_failure_at", "last_error", "auto_disabled_at"};
    for (size_t i = 0; i < ARRAY_SIZE(nulls); i++)
        expect_key(row, nulls[i], "null");
    cr_expect_str_eq(text_of(row, "created_at"), text_of(row, "updated_at"));

    json_object_put(call("create_webhook_subscription",
                         "{'data':{'name':'other','url':'u','secret':'','topic_patterns':'[\\'a.*\\',\\'b\\']',"
                         "'enabled':false,'last_error':null,'uuid':null,'created_at':'2026-01-01T00:00:00Z'}}"));
    cleanup(json_putp) json_object *other = call("get_webhook_subscription_by_name", "{'name':'other'}");
    expect_key(other, "topic_patterns", "[ \"a.*\", \"b\" ]");
    expect_key(other, "enabled", "false");
    expect_key(other, "created_at", "2026-01-01T00:00:00.000000Z");
    cr_expect_null(call("get_webhook_subscription_by_name", "{'name':'Other'}"));
    cr_expect_null(call("get_webhook_subscription", "{'uuid':'" UNKNOWN "'}"));
    cr_expect_null(call("get_webhook_subscription", "{'uuid':'nope'}"));
}

Test(repo_webhooks, what_is_no_subscription_is_refused)
{
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"'url':'u','secret':'s'", "key name is missing"},
        {"'name':'n','secret':'s'", "key url is missing"},
        {"'name':'n','url':'u'", "key secret is missing"},
        {"'name':null,'url':'u','secret':'s'", "name must not be null"},
        {"'name':'n','url':7,'secret':'s'", "url must be text"},
        {"'name':'n','url':'u','secret':'s','uuid':'x'", "uuid must be a uuid"},
        {"'name':'n','url':'u','secret':'s','topic_patterns':'x'", "topic_patterns must be a list"},
        {"'name':'n','url':'u','secret':'s','topic_patterns':{}", "topic_patterns must be a list"},
        {"'name':'n','url':'u','secret':'s','topic_patterns':[1]", "topic_patterns must be a list of texts"},
        {"'name':'n','url':'u','secret':'s','enabled':1", "enabled must be a boolean"},
        {"'name':'n','url':'u','secret':'s','consecutive_failures':99999999999",
         "must be an integer from 0 to 2147483647"},
        {"'name':'n','url':'u','secret':'s','last_success_at':'soon'", "last_success_at must be a time"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(REPO_E_INVALID, cases[i].words, "create_webhook_subscription", "{'data':{%s}}", cases[i].data);
    create(ID, "siem", "");
    refuse(REPO_E_CONFLICT, "name", "create_webhook_subscription", "{'data':{'name':'siem','url':'u','secret':'s'}}");
    refuse(REPO_E_CONFLICT, "pkey", "create_webhook_subscription",
           "{'data':{'uuid':'" ID "','name':'n','url':'u','secret':'s'}}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM webhook_subscriptions"), 1);
}

Test(repo_webhooks, subscriptions_are_listed_oldest_first)
{
    create("0f000000-0000-4000-8000-000000000003", "c", ",'created_at':'2026-01-02T00:00:00Z'");
    create("0f000000-0000-4000-8000-000000000002", "b", ",'created_at':'2026-01-01T00:00:00Z','enabled':false");
    create("0f000000-0000-4000-8000-000000000001", "a", ",'created_at':'2026-01-02T00:00:00Z'");
    cleanup(json_putp) json_object *all = call("list_webhook_subscriptions", "{}");
    cleanup(json_putp) json_object *enabled = call("list_webhook_subscriptions", "{'enabled_only':true}");
    static const char *const order[] = {"b", "a", "c"};
    cr_assert_eq(json_object_array_length(all), 3);
    cr_assert_eq(json_object_array_length(enabled), 2);
    for (size_t i = 0; i < 3; i++)
        expect_key(nth(all, i), "name", order[i]);
    for (size_t i = 0; i < 2; i++)
        expect_key(nth(enabled, i), "name", order[i + 1]);
    refuse(REPO_E_INVALID, "enabled_only must be a boolean", "list_webhook_subscriptions", "{'enabled_only':1}");
}

Test(repo_webhooks, a_patch_changes_what_it_names)
{
    create(ID, "siem", ",'topic_patterns':['a'],'last_error':'e','updated_at':'2026-01-01T00:00:00Z'");
    create(OTHER, "other", "");
    cr_expect(changes(ID, "{'url':'new','last_error':null,'topic_patterns':'[\\'b\\']','enabled':false}"));
    cleanup(json_putp) json_object *row = stored(ID);
    expect_key(row, "url", "new");
    expect_key(row, "last_error", "null");
    expect_key(row, "topic_patterns", "[ \"b\" ]");
    expect_key(row, "enabled", "false");
    expect_key(row, "name", "siem");
    expect_key(row, "secret", "s3");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM webhook_subscriptions WHERE updated_at < '2026-01-02'"), 0);

    cr_expect(changes(UNKNOWN, "{}"), "nothing is looked up for nothing");
    cr_expect(changes("nope", "{}"));
    cr_expect_not(changes(UNKNOWN, "{'url':'x'}"));
    cr_expect_not(changes("nope", "{'url':'x'}"));
    refuse(REPO_E_CONFLICT, "name", "update_webhook_subscription", "{'uuid':'" ID "','patch':{'name':'other'}}");
    static const char *const fixed[] = {"uuid", "created_at", "updated_at", "nonsense"};
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        refuse(REPO_E_INVALID, "is no column that can be changed", "update_webhook_subscription",
               "{'uuid':'" ID "','patch':{'url':'y','%s':'z'}}", fixed[i]);
    refuse(REPO_E_INVALID, "secret must not be null", "update_webhook_subscription",
           "{'uuid':'" ID "','patch':{'secret':null}}");
    refuse(REPO_E_INVALID, "enabled must be a boolean", "update_webhook_subscription",
           "{'uuid':'" ID "','patch':{'enabled':'no'}}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM webhook_subscriptions WHERE url IN ('y', 'x')"), 0);
}

Test(repo_webhooks, a_subscription_is_deleted_once)
{
    create(ID, "siem", "");
    static const struct {
        const char *uuid;
        bool want;
    } cases[] = {{OTHER, false}, {"nope", false}, {ID, true}, {ID, false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(json_putp) json_object *b = call("delete_webhook_subscription", "{'uuid':'%s'}", cases[i].uuid);
        cr_expect_eq(json_object_get_boolean(b), cases[i].want, "%zu", i);
    }
}

Test(repo_webhooks, failures_are_counted_and_a_success_ends_them)
{
    create(ID, "siem", "");
    cr_expect_eq(fail_once("2026-03-01T00:00:00Z", "refused"), 1);
    cr_expect_eq(fail_once("2026-03-01T00:00:05+01:00", "timed\\u0000out"), 2);
    cleanup(json_putp) json_object *failed = stored(ID);
    expect_key(failed, "consecutive_failures", "2");
    expect_key(failed, "last_failure_at", "2026-02-28T23:00:05.000000Z");
    expect_key(failed, "updated_at", "2026-02-28T23:00:05.000000Z");
    expect_key(failed, "last_error", "timed\xef\xbf\xbdout");
    expect_key(failed, "enabled", "true");

    cr_expect_eq(fail_once("2026-03-01T00:00:10Z", ""), 3);
    cleanup(json_putp) json_object *silent = stored(ID);
    expect_key(silent, "last_error", "null");

    cr_expect_eq(fail_once("2026-03-01T00:00:15Z", "again"), 4);
    succeed("2026-03-01T00:01:00Z");
    cleanup(json_putp) json_object *good = stored(ID);
    expect_key(good, "consecutive_failures", "0");
    expect_key(good, "last_error", "null");
    expect_key(good, "last_success_at", "2026-03-01T00:01:00.000000Z");
    expect_key(good, "last_failure_at", "2026-03-01T00:00:15.000000Z");
    expect_key(good, "updated_at", "2026-03-01T00:01:00.000000Z");

    cleanup(buf_free) Buf longer = {0};
    for (int i = 0; i < 600; i++)
        buf_add(&longer, "\xc3\xa4");
    cr_expect_eq(fail_once("2026-03-01T00:02:00Z", longer.data), 1);
    cr_expect_eq(harness_sql_int("SELECT char_length(last_error) FROM webhook_subscriptions"), 512);
}

Test(repo_webhooks, a_tripped_circuit_keeps_its_evidence)
{
    create(ID, "siem", "");
    cr_expect_eq(fail_once("2026-03-01T00:00:00Z", "refused"), 1);
    trip("2026-03-01T00:00:01Z");
    trip("2026-03-01T00:00:02Z");
    succeed("2026-03-01T00:00:03Z"); /* it was under way */
    cleanup(json_putp) json_object *tripped = stored(ID);
    expect_key(tripped, "enabled", "false");
    expect_key(tripped, "auto_disabled_at", "2026-03-01T00:00:02.000000Z");
    expect_key(tripped, "updated_at", "2026-03-01T00:00:02.000000Z");
    expect_key(tripped, "last_success_at", "2026-03-01T00:00:03.000000Z");
    expect_key(tripped, "consecutive_failures", "1");
    expect_key(tripped, "last_error", "refused");
    cr_expect_eq(fail_once("2026-03-01T00:00:04Z", "still"), 2, "late failures count on");

    cr_expect(changes(ID, "{'enabled':true}"), "by itself it leaves the stamp");
    cleanup(json_putp) json_object *half = stored(ID);
    expect_key(half, "auto_disabled_at", "2026-03-01T00:00:02.000000Z");
    cr_expect(changes(ID, "{'auto_disabled_at':null,'consecutive_failures':0,'last_error':null}"));
    cleanup(json_putp) json_object *active = stored(ID);
    expect_key(active, "enabled", "true");
    expect_key(active, "auto_disabled_at", "null");
    expect_key(active, "consecutive_failures", "0");

    /* paused by hand: a success counts as one, and does not enable */
    cr_expect(changes(ID, "{'enabled':false,'consecutive_failures':3,'last_error':'e'}"));
    succeed("2026-03-01T00:00:05Z");
    cleanup(json_putp) json_object *paused = stored(ID);
    expect_key(paused, "enabled", "false");
    expect_key(paused, "consecutive_failures", "0");
    expect_key(paused, "last_error", "null");
}

Test(repo_webhooks, nobody_is_told_about_unknown_subscriptions)
{
    static const char *const ids[] = {UNKNOWN, "nope", ""};

    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        cr_expect_eq(
            call_int("record_webhook_failure", "{'uuid':'%s','ts':'2026-03-01T00:00:00Z','error':'e'}", ids[i]), 0);
        cr_expect_null(call("record_webhook_success", "{'uuid':'%s','ts':'2026-03-01T00:00:00Z'}", ids[i]));
        cr_expect_null(call("trip_webhook_circuit", "{'uuid':'%s','ts':'2026-03-01T00:00:00Z'}", ids[i]));
    }
    refuse(REPO_E_INVALID, "ts must be a time", "trip_webhook_circuit", "{'uuid':'" ID "','ts':'now'}");
    refuse(REPO_E_INVALID, "ts must be a time", "record_webhook_success", "{'uuid':'" ID "','ts':null}");
    refuse(REPO_E_INVALID, "error must be text", "record_webhook_failure",
           "{'uuid':'" ID "','ts':'2026-03-01T00:00:00Z','error':null}");
}

/* --- many at once --- */

enum { FAILURES_EACH = 25 };

typedef struct Counts {
    int seen[HAMMERS * FAILURES_EACH + 1]; /* how often each number came back */
} Counts;

static void fail_often(Repo *own, int index, void *arg)
{
    Counts *counts = arg;

    for (int i = 0; i < FAILURES_EACH; i++) {
        cleanup(json_putp) json_object *n =
            call_on(own, "record_webhook_failure", "{'uuid':'" ID "','ts':'2026-03-01T00:00:00Z','error':'%d'}", index);
        int64_t count = json_object_get_int64(n);
        cr_assert(count >= 1 && count <= HAMMERS * FAILURES_EACH, "%ld", (long)count);
        __atomic_add_fetch(&counts->seen[count], 1, __ATOMIC_RELAXED);
    }
}

Test(repo_webhooks, every_failure_has_a_number_of_its_own)
{
    static Counts counts;

    create(ID, "siem", "");
    hammer_all(fail_often, &counts);
    for (int i = 1; i <= HAMMERS * FAILURES_EACH; i++)
        cr_expect_eq(counts.seen[i], 1, "%d came back %d times", i, counts.seen[i]);
    cleanup(json_putp) json_object *row = stored(ID);
    expect_key(row, "consecutive_failures", "200");
}

enum { THRESHOLD = 5 };

/* What the worker does: whoever sees the threshold trips. Late successes come in between. */
static void deliver_badly(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        cleanup(json_putp) json_object *n =
            call_on(own, "record_webhook_failure", "{'uuid':'" ID "','ts':'2026-03-01T00:00:00Z','error':'e'}");
        if (json_object_get_int64(n) >= THRESHOLD)
            json_object_put(
                call_on(own, "trip_webhook_circuit", "{'uuid':'" ID "','ts':'2026-03-01T00:00:%02dZ'}", index));
        if (i == 19)
            json_object_put(call_on(own, "record_webhook_success", "{'uuid':'" ID "','ts':'2026-03-01T00:01:00Z'}"));
    }
}

Test(repo_webhooks, a_circuit_that_many_trip_stays_tripped)
{
    create(ID, "siem", "");
    hammer_all(deliver_badly, NULL);
    cleanup(json_putp) json_object *row = stored(ID);
    expect_key(row, "enabled", "false");
    expect_key(row, "consecutive_failures", "160");
    expect_key(row, "last_error", "e");
    expect_key(row, "last_success_at", "2026-03-01T00:01:00.000000Z");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM webhook_subscriptions WHERE auto_disabled_at"
                                 " BETWEEN '2026-03-01T00:00:00Z' AND '2026-03-01T00:00:07Z'"),
                 1);
}

static void create_one_name(Repo *own, int index, void *arg)
{
    int *created = arg;
    cleanup(buf_free) Buf result = {0};
    cleanup(json_putp) json_object *params =
        json_parse(STR("{\"data\":{\"name\":\"siem\",\"url\":\"u\",\"secret\":\"s\"}}"));

    (void)index;
    int r = repo_call(own, "create_webhook_subscription", params, &result);
    cr_expect(r == 0 || r == REPO_E_CONFLICT, "%s", repo_error_text(own));
    if (r == 0)
        __atomic_add_fetch(created, 1, __ATOMIC_RELAXED);
}

Test(repo_webhooks, one_of_many_takes_a_name)
{
    int created = 0;

    hammer_all(create_one_name, &created);
    cr_expect_eq(created, 1);
}
