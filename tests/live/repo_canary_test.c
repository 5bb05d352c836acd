/* Canary blobs, tokens and triggers. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_canary, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define TOKEN "70000000-0000-4000-8000-000000000001"
#define UNKNOWN "70000000-0000-4000-8000-000000000099"
#define TOPOLOGY "70000000-0000-4000-8000-0000000000aa"

static bool is_true(json_object *value)
{
    bool is = json_object_get_boolean(value);
    cr_expect(json_object_is_type(value, json_type_boolean));
    json_object_put(value);
    return is;
}

/* Id of the blob with this hash; static text, good for the next three calls. */
static const char *blob(const char *sha256, const char *more)
{
    static _Thread_local char uuid[4][UUID_TEXT_BYTES];
    static _Thread_local unsigned turn;
    char *out = uuid[turn++ % 4];
    cleanup(json_putp) json_object *row =
        call("upsert_canary_blob",
             "{'data':{'sha256':'%s','filename':'f','content_type':'text/plain','size_bytes':1,'uploaded_by':'u1'%s}}",
             sha256, more);

    snprintf(out, UUID_TEXT_BYTES, "%s", text_of(row, "uuid"));
    return out;
}

static void plant(const char *uuid, const char *slug, const char *more)
{
    json_object_put(call("create_canary_token",
                         "{'data':{'uuid':'%s','kind':'http','decky_name':'d1','placement_path':'/p','callback_token':"
                         "'%s','secret_seed':'s','created_by':'system'%s}}",
                         uuid, slug, more));
}

/* Uuid of the token with number @n, static for the next three calls. */
static const char *numbered(unsigned n)
{
    static _Thread_local char uuid[4][UUID_TEXT_BYTES];
    static _Thread_local unsigned turn;
    char *out = uuid[turn++ % 4];

    snprintf(out, UUID_TEXT_BYTES, "70000000-0000-4000-8000-%012u", n);
    return out;
}

/* --- blobs --- */

Test(repo_canary, the_first_upload_of_a_blob_stays)
{
    cleanup(json_putp) json_object *first = call(
        "upsert_canary_blob", "{'data':{'sha256':'aa','filename':'a\\u0000.docx','content_type':'x/y','size_bytes':"
                              "5000000000,'uploaded_by':'unknown','other':1}}");
    cr_expect_eq(json_object_object_length(first), 7);
    expect_key(first, "filename", "a\xef\xbf\xbd.docx");
    expect_key(first, "size_bytes", "5000000000");
    cleanup(json_putp) json_object *second =
        call("upsert_canary_blob", "{'data':{'sha256':'aa','filename':'b','content_type':'z','size_bytes':7,"
                                   "'uploaded_by':'u2','uploaded_at':'2020-01-01T00:00:00Z','uuid':'" UNKNOWN "'}}");
    cleanup(json_putp) json_object *third = call("upsert_canary_blob", "{'data':{'sha256':'aa'}}");
    cr_expect(json_object_equal(first, second) && json_object_equal(first, third));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_blobs WHERE xmax = 0"), 1, "nor is it written");

    cleanup(json_putp) json_object *by_id = call("get_canary_blob", "{'uuid':'%s'}", text_of(first, "uuid"));
    cleanup(json_putp) json_object *by_hash = call("get_canary_blob_by_sha256", "{'sha256':'aa'}");
    cr_expect(json_object_equal(first, by_id) && json_object_equal(first, by_hash));
    cr_expect_null(call("get_canary_blob", "{'uuid':'nope'}"));
    cr_expect_null(call("get_canary_blob", "{'uuid':'" UNKNOWN "'}"));
    cr_expect_null(call("get_canary_blob_by_sha256", "{'sha256':'AA'}"));
}

Test(repo_canary, what_is_no_blob_is_refused)
{
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"'filename':'f'", "key sha256 is missing or empty"},
        {"'sha256':''", "key sha256 is missing or empty"},
        {"'sha256':null", "key sha256 is missing or empty"},
        {"'sha256':7", "key sha256 is missing or empty"},
        {"'sha256':'a','content_type':'c','size_bytes':1,'uploaded_by':'u'", "filename"},
        {"'sha256':'a','filename':'f','size_bytes':1,'uploaded_by':'u'", "content_type"},
        {"'sha256':'a','filename':'f','content_type':'c','uploaded_by':'u'", "size_bytes"},
        {"'sha256':'a','filename':'f','content_type':'c','size_bytes':1", "uploaded_by"},
        {"'sha256':'a','filename':'f','content_type':'c','size_bytes':'1','uploaded_by':'u'", "size_bytes must be"},
        {"'sha256':'a','filename':'f','content_type':'c','size_bytes':1,'uploaded_by':'u','uuid':'x'",
         "uuid must be a uuid"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(REPO_E_INVALID, cases[i].words, "upsert_canary_blob", "{'data':{%s}}", cases[i].data);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_blobs"), 0);
    const char *taken = blob("aa", "");
    refuse(REPO_E_CONFLICT, "another blob has this uuid", "upsert_canary_blob",
           "{'data':{'sha256':'bb','filename':'f','content_type':'c','size_bytes':1,'uploaded_by':'u','uuid':'%s'}}",
           taken);
}

Test(repo_canary, blobs_are_listed_newest_first_with_all_their_tokens)
{
    blob("aa", ",'uploaded_at':'2026-01-01T00:00:00Z'");
    const char *used =
        blob("bb", ",'uploaded_at':'2026-01-02T00:00:00Z','uuid':'b0000000-0000-4000-8000-000000000002'");
    blob("cc", ",'uploaded_at':'2026-01-02T00:00:00Z','uuid':'b0000000-0000-4000-8000-000000000001'");
    static const char *const states[] = {"planted", "revoked", "failed"};
    for (unsigned i = 0; i < 3; i++) {
        char more[128], slug[8];
        snprintf(more, sizeof(more), ",'blob_uuid':'%s','state':'%s'", used, states[i]);
        snprintf(slug, sizeof(slug), "s%u", i);
        plant(numbered(i), slug, more);
    }
    plant(numbered(7), "without", "");
    cleanup(json_putp) json_object *list = call("list_canary_blobs", "{}");
    cr_assert_eq(json_object_array_length(list), 3);
    static const char *const want[][2] = {{"cc", "0"}, {"bb", "3"}, {"aa", "0"}};
    for (size_t i = 0; i < 3; i++) {
        expect_key(nth(list, i), "sha256", want[i][0]);
        expect_key(nth(list, i), "token_count", want[i][1]);
        cr_expect_eq(json_object_object_length(nth(list, i)), 8);
    }
}

Test(repo_canary, a_blob_that_is_in_use_is_not_deleted)
{
    char more[128];
    const char *used = blob("aa", ""), *unused = blob("bb", "");

    snprintf(more, sizeof(more), ",'blob_uuid':'%s','state':'revoked'", used);
    plant(TOKEN, "slug", more);
    cr_expect_not(is_true(call("delete_canary_blob", "{'uuid':'%s'}", used)));
    cr_expect(is_true(call("delete_canary_blob", "{'uuid':'%s'}", unused)));
    cr_expect_not(is_true(call("delete_canary_blob", "{'uuid':'%s'}", unused)));
    cr_expect_not(is_true(call("delete_canary_blob", "{'uuid':'nope'}")));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_blobs"), 1);
}

static void *delete_blob(void *arg)
{
    cleanup(repo_freep) Repo *own = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = "deleter"});

    cr_assert_eq(repo_connect(own), 0);
    return call_on(own, "delete_canary_blob", "{'uuid':'%s'}", (const char *)arg);
}

/* The token is not committed before the deletion waits for it. */
Test(repo_canary, a_token_that_is_being_made_wins_over_the_deletion)
{
    const char *id = blob("aa", "");
    char more[64];
    pthread_t deleter;
    void *deleted;

    snprintf(more, sizeof(more), ",'blob_uuid':'%s'", id);
    cr_assert_eq(repo_begin(repo), 0);
    plant(TOKEN, "slug", more);
    cr_assert_eq(pthread_create(&deleter, NULL, delete_blob, (void *)id), 0);
    cr_expect(harness_sql_wait(1, 10000,
                               "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'deleter'"
                               " AND datname = current_database() AND wait_event_type = 'Lock'"));
    cr_assert_eq(repo_commit(repo), 0);
    pthread_join(deleter, &deleted);
    cr_expect_not(is_true(deleted));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_blobs"), 1);
}

/* --- tokens --- */

Test(repo_canary, a_token_is_created)
{
    char more[160];

    plant("70000000000040008000000000000001", "AbC-_1", ",'nonsense':1");
    cleanup(json_putp) json_object *row = call("get_canary_token", "{'uuid':'" TOKEN "'}");
    cr_expect_eq(json_object_object_length(row), 17);
    static const struct {
        const char *key, *want;
    } cases[] = {
        {"kind", "http"},         {"decky_name", "d1"},     {"placement_path", "/p"},      {"callback_token", "AbC-_1"},
        {"secret_seed", "s"},     {"created_by", "system"}, {"state", "planted"},          {"trigger_count", "0"},
        {"topology_id", "null"},  {"blob_uuid", "null"},    {"last_triggered_at", "null"}, {"last_error", "null"},
        {"instrumenter", "null"}, {"generator", "null"},    {"fingerprint_nonce", "null"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        expect_key(row, cases[i].key, cases[i].want);

    snprintf(more, sizeof(more), ",'topology_id':'" TOPOLOGY "','blob_uuid':'%s','state':'failed','last_error':'e'",
             blob("aa", ""));
    plant(numbered(2), "other", more);
    cleanup(json_putp) json_object *full = call("get_canary_token", "{'uuid':'%s'}", numbered(2));
    expect_key(full, "topology_id", TOPOLOGY);
    expect_key(full, "last_error", "e");
    cr_expect_null(call("get_canary_token", "{'uuid':'" UNKNOWN "'}"));
    cr_expect_null(call("get_canary_token", "{'uuid':'nope'}"));
}

Test(repo_canary, what_is_no_token_is_refused)
{
    static const char *const need[] = {"kind",           "decky_name",  "placement_path",
                                       "callback_token", "secret_seed", "created_by"};
    for (size_t i = 0; i < ARRAY_SIZE(need); i++) {
        cleanup(buf_free) Buf data = {0};
        char words[64];
        for (size_t j = 0; j < ARRAY_SIZE(need); j++) {
            if (j == i)
                continue;
            buf_add(&data, data.len ? ",'" : "'");
            buf_add(&data, need[j]);
            buf_add(&data, "':'x'");
        }
        snprintf(words, sizeof(words), "key %s is missing", need[i]);
        refuse(REPO_E_INVALID, words, "create_canary_token", "{'data':{%s}}", data.data);
    }
    plant(TOKEN, "slug", "");
    static const char base[] = "'kind':'dns','decky_name':'d','placement_path':'/p','secret_seed':'s','created_by':'u'";
    refuse(REPO_E_CONFLICT, "callback_token", "create_canary_token", "{'data':{%s,'callback_token':'slug'}}", base);
    refuse(REPO_E_CONFLICT, "pkey", "create_canary_token", "{'data':{%s,'callback_token':'x','uuid':'" TOKEN "'}}",
           base);
    refuse(REPO_E_FK, "blob_uuid", "create_canary_token",
           "{'data':{%s,'callback_token':'x','blob_uuid':'" UNKNOWN "'}}", base);
    refuse(REPO_E_INVALID, "blob_uuid must be a uuid", "create_canary_token",
           "{'data':{%s,'callback_token':'x','blob_uuid':'x'}}", base);
    refuse(REPO_E_INVALID, "trigger_count must be an integer", "create_canary_token",
           "{'data':{%s,'callback_token':'x','trigger_count':'1'}}", base);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_tokens"), 1);
}

static void expect_slug(const char *slug, const char *want_uuid)
{
    cleanup(json_putp) json_object *row = call("get_canary_token_by_slug", "{'callback_token':'%s'}", slug);
    cr_expect_eq(row != NULL, want_uuid != NULL, "%s", slug);
    if (row && want_uuid)
        cr_expect_str_eq(text_of(row, "uuid"), want_uuid, "%s", slug);
}

Test(repo_canary, slugs_are_found_as_they_are_or_in_another_case)
{
    plant(numbered(1), "AbCdEf", "");
    plant(numbered(2), "twice", "");
    plant(numbered(3), "TWICE", "");
    plant(numbered(4), "Revoked", ",'state':'revoked'");
    plant(numbered(5), "Failed", ",'state':'failed'");
    plant(numbered(6), "Half", ",'state':'revoked'");
    plant(numbered(7), "hALF", "");
    expect_slug("AbCdEf", numbered(1));
    expect_slug("abcdef", numbered(1));
    expect_slug("ABCDEF", numbered(1));
    expect_slug("twice", numbered(2));
    expect_slug("TWICE", numbered(3));
    expect_slug("Twice", NULL);
    expect_slug("Revoked", NULL);
    expect_slug("revoked", NULL);
    expect_slug("failed", NULL);
    expect_slug("half", numbered(7));
    expect_slug("abcde", NULL);
    expect_slug("abcde_", NULL);
    expect_slug("%", NULL);
    expect_slug("", NULL);
}

Test(repo_canary, tokens_are_listed_newest_first)
{
    plant(numbered(1), "a", ",'placed_at':'2026-01-01T00:00:00Z','kind':'dns','topology_id':'" TOPOLOGY "'");
    plant(numbered(3), "b", ",'placed_at':'2026-01-02T00:00:00Z','decky_name':'d2','state':'revoked'");
    plant(numbered(2), "c", ",'placed_at':'2026-01-02T00:00:00Z','topology_id':'" TOPOLOGY "'");
    plant(numbered(4), "d", ",'placed_at':'2026-01-03T00:00:00Z','kind':'','state':''");
    static const struct {
        const char *filter, *slugs;
    } cases[] = {
        {"", "dcba"},
        {"'decky_name':'d1'", "dca"},
        {"'decky_name':'D1'", ""},
        {"'decky_name':''", ""},
        {"'state':'planted'", "ca"},
        {"'state':''", "d"},
        {"'kind':''", "d"},
        {"'kind':'dns'", "a"},
        {"'topology_id':'" TOPOLOGY "'", "ca"},
        {"'topology_id':'700000000000400080000000000000AA'", "ca"},
        {"'topology_id':'" UNKNOWN "'", ""},
        {"'topology_id':'nope'", ""},
        {"'topology_id':''", ""},
        {"'topology_id':null,'kind':null,'state':null,'decky_name':null", "dcba"},
        {"'kind':'http','state':'planted','decky_name':'d1','topology_id':'" TOPOLOGY "'", "c"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(json_putp) json_object *list = call("list_canary_tokens", "{%s}", cases[i].filter);
        cr_assert_eq(json_object_array_length(list), strlen(cases[i].slugs), "%s", cases[i].filter);
        for (size_t j = 0; j < strlen(cases[i].slugs); j++)
            cr_expect_eq(text_of(nth(list, j), "callback_token")[0], cases[i].slugs[j], "%s", cases[i].filter);
    }
}

Test(repo_canary, a_state_is_set_with_its_error)
{
    plant(TOKEN, "slug", "");
    cr_expect(is_true(
        call("update_canary_token_state", "{'uuid':'" TOKEN "','state':'failed','last_error':'no such container'}")));
    cleanup(json_putp) json_object *failed = call("get_canary_token", "{'uuid':'" TOKEN "'}");
    expect_key(failed, "state", "failed");
    expect_key(failed, "last_error", "no such container");
    cr_expect(is_true(call("update_canary_token_state", "{'uuid':'" TOKEN "','state':'planted'}")));
    cleanup(json_putp) json_object *planted = call("get_canary_token", "{'uuid':'" TOKEN "'}");
    expect_key(planted, "state", "planted");
    expect_key(planted, "last_error", "null");
    cr_expect_not(is_true(call("update_canary_token_state", "{'uuid':'" UNKNOWN "','state':'x','last_error':null}")));
    cr_expect_not(is_true(call("update_canary_token_state", "{'uuid':'nope','state':'x'}")));
    refuse(REPO_E_INVALID, "state must be text", "update_canary_token_state", "{'uuid':'" TOKEN "','state':null}");
}

/* --- triggers --- */

static void expect_token(const char *count, const char *last)
{
    cleanup(json_putp) json_object *token = call("get_canary_token", "{'uuid':'" TOKEN "'}");
    expect_key(token, "trigger_count", count);
    expect_key(token, "last_triggered_at", last);
}

Test(repo_canary, a_trigger_is_recorded_with_what_came)
{
    plant(TOKEN, "slug", ",'state':'revoked'");
    cleanup(json_putp) json_object *id = call(
        "record_canary_trigger",
        "{'data':{'token_uuid':'" TOKEN "','src_ip':'::ffff:198.51.100.7','user_agent':'curl\\u0000/8','request_path'"
        ":'/c/slug','raw_headers':{'zz':'1','Host':'h','a':'\\u0000\\ud800','9':[true,null]},'occurred_at':"
        "'2026-03-01T00:00:05Z'}}");
    cleanup(json_putp) json_object *list = call("list_canary_triggers", "{'token_uuid':'" TOKEN "'}");
    json_object *row = nth(list, 0);
    cr_expect_eq(json_object_object_length(row), 9);
    cr_expect_str_eq(text_of(row, "uuid"), json_object_get_string(id));
    expect_key(row, "token_uuid", TOKEN);
    expect_key(row, "src_ip", "198.51.100.7");
    expect_key(row, "user_agent", "curl\xef\xbf\xbd/8");
    expect_key(row, "request_path", "/c/slug");
    expect_key(row, "dns_qname", "null");
    expect_key(row, "attacker_id", "null");
    expect_key(row, "occurred_at", "2026-03-01T00:00:05.000000Z");
    json_object *headers = NULL;
    cr_assert(json_object_object_get_ex(row, "raw_headers", &headers));
    cr_expect_str_eq(json_object_to_json_string_ext(headers, JSON_C_TO_STRING_PLAIN),
                     "{\"zz\":\"1\",\"Host\":\"h\",\"a\":\"\xef\xbf\xbd\xef\xbf\xbd\",\"9\":[true,null]}",
                     "in the order in which they came");
    expect_token("1", "2026-03-01T00:00:05.000000Z");

    /* an older one that comes late does not turn the clock back */
    json_object_put(call("record_canary_trigger", "{'data':{'token_uuid':'" TOKEN "','src_ip':'x','occurred_at':"
                                                  "'2026-02-01T00:00:00Z','raw_headers':'{\\'b\\':1,\\'a\\':2}'}}"));
    expect_token("2", "2026-03-01T00:00:05.000000Z");
    cleanup(freep) char *text = harness_sql_text("SELECT raw_headers FROM canary_triggers WHERE src_ip = 'x'");
    cr_expect_str_eq(text, "{\"b\":1,\"a\":2}");
    json_object_put(call("record_canary_trigger",
                         "{'data':{'token_uuid':'" TOKEN "','src_ip':'y','dns_qname':'slug.example','occurred_at':null,"
                         "'raw_headers':null,'attacker_id':'" UNKNOWN "'}}"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_triggers WHERE raw_headers::text = '{}' AND src_ip = 'y'"
                                 " AND occurred_at > '2026-03-02' AND attacker_id = '" UNKNOWN "'"),
                 1);
}

/* Nothing that a visitor sends may keep the alert from being stored. */
Test(repo_canary, headers_of_any_size_are_recorded)
{
    enum { LONG = 1 << 20 };
    cleanup(json_putp) json_object *params = json_object_new_object();
    json_object *data = json_object_new_object(), *headers = json_object_new_object();
    cleanup(buf_free) Buf result = {0};
    cleanup(freep) char *text = malloc(LONG + 1);

    cr_assert(text);
    for (int i = 0; i < LONG; i++)
        text[i] = (char)(1 + i % 251);
    text[LONG] = '\0';
    plant(TOKEN, "slug", "");
    json_object_object_add(params, "data", data);
    json_object_object_add(data, "token_uuid", json_object_new_string(TOKEN));
    static const char *const keys[] = {"src_ip", "user_agent", "request_path", "dns_qname"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        json_object_object_add(data, keys[i], json_object_new_string_len(text, LONG));
    json_object_object_add(data, "raw_headers", headers);
    json_object_object_add(headers, "\xff", json_object_new_string_len("\0\0\xc3", 3));
    json_object_object_add(headers, text, json_object_new_string_len(text, LONG));
    cr_assert_eq(repo_call(repo, "record_canary_trigger", params, &result), 0, "%s", repo_error_text(repo));

    /* text that holds them, with a NUL that nothing escaped */
    json_object_object_add(data, "raw_headers", json_object_new_string_len("{\"a\":\"x\0y\"}", 11));
    cr_assert_eq(repo_call(repo, "record_canary_trigger", params, &result), 0, "%s", repo_error_text(repo));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_triggers WHERE char_length(user_agent) > 1000000"), 2);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_triggers WHERE raw_headers ->> 'a' = E'x\\uFFFDy'"), 1);
    cr_expect_eq(harness_sql_int("SELECT trigger_count FROM canary_tokens"), 2);
}

Test(repo_canary, what_is_no_trigger_is_refused)
{
    static const struct {
        int outcome;
        const char *data, *words;
    } cases[] = {
        {REPO_E_INVALID, "'src_ip':'x'", "key token_uuid is missing"},
        {REPO_E_INVALID, "'token_uuid':'" TOKEN "'", "key src_ip is missing"},
        {REPO_E_INVALID, "'token_uuid':'nope','src_ip':'x'", "token_uuid must be a uuid"},
        {REPO_E_INVALID, "'token_uuid':'" TOKEN "','src_ip':null", "src_ip must not be null"},
        {REPO_E_INVALID, "'token_uuid':'" TOKEN "','src_ip':'x','raw_headers':'no json'",
         "raw_headers must be an object"},
        {REPO_E_INVALID, "'token_uuid':'" TOKEN "','src_ip':'x','raw_headers':[1]", "raw_headers must be an object"},
        {REPO_E_INVALID, "'token_uuid':'" TOKEN "','src_ip':'x','occurred_at':'now'", "occurred_at must be a time"},
        {REPO_E_INVALID, "'token_uuid':'" TOKEN "','src_ip':'x','attacker_id':'me'", "attacker_id must be a uuid"},
        {REPO_E_FK, "'token_uuid':'" UNKNOWN "','src_ip':'x'", "token_uuid"},
    };

    plant(TOKEN, "slug", "");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(cases[i].outcome, cases[i].words, "record_canary_trigger", "{'data':{%s}}", cases[i].data);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_triggers"), 0);
    expect_token("0", "null");
    static const char again[] = "{'data':{'token_uuid':'" TOKEN "','src_ip':'x','uuid':'" UNKNOWN "'}}";
    json_object_put(call("record_canary_trigger", "%s", again));
    refuse(REPO_E_CONFLICT, "pkey", "record_canary_trigger", "%s", again);
    cr_expect_eq(harness_sql_int("SELECT trigger_count FROM canary_tokens"), 1, "all of it or nothing");
}

Test(repo_canary, triggers_are_listed_newest_first_in_pages)
{
    plant(TOKEN, "slug", "");
    plant(numbered(2), "other", "");
    for (unsigned i = 0; i < 5; i++)
        json_object_put(call("record_canary_trigger",
                             "{'data':{'uuid':'70000000-0000-4000-8000-00000000010%u','token_uuid':'" TOKEN "',"
                             "'src_ip':'%u','occurred_at':'2026-03-01T00:00:0%uZ'}}",
                             i, i, i / 2));
    json_object_put(call("record_canary_trigger", "{'data':{'token_uuid':'%s','src_ip':'9'}}", numbered(2)));
    static const struct {
        const char *page, *ips;
    } cases[] = {
        {"", "43210"},       {",'limit':2", "43"}, {",'limit':2,'offset':2", "21"}, {",'offset':4", "0"},
        {",'offset':5", ""}, {",'limit':0", ""},   {",'limit':10000", "43210"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(json_putp) json_object *list =
            call("list_canary_triggers", "{'token_uuid':'" TOKEN "'%s}", cases[i].page);
        cr_assert_eq(json_object_array_length(list), strlen(cases[i].ips), "%s", cases[i].page);
        for (size_t j = 0; j < strlen(cases[i].ips); j++)
            cr_expect_eq(text_of(nth(list, j), "src_ip")[0], cases[i].ips[j], "%s", cases[i].page);
    }
    cleanup(json_putp) json_object *none = call("list_canary_triggers", "{'token_uuid':'nope'}");
    cr_expect_eq(json_object_array_length(none), 0);
    refuse(REPO_E_INVALID, "limit must be", "list_canary_triggers", "{'token_uuid':'" TOKEN "','limit':-1}");
    refuse(REPO_E_INVALID, "limit must be", "list_canary_triggers", "{'token_uuid':'" TOKEN "','limit':10001}");
    refuse(REPO_E_INVALID, "offset must be", "list_canary_triggers", "{'token_uuid':'" TOKEN "','offset':-1}");
}

Test(repo_canary, a_trigger_is_attributed_and_attributed_again)
{
    plant(TOKEN, "slug", "");
    cleanup(json_putp) json_object *id =
        call("record_canary_trigger", "{'data':{'token_uuid':'" TOKEN "','src_ip':'x'}}");
    const char *trigger = json_object_get_string(id);
    static const char *const attackers[] = {UNKNOWN, UNKNOWN, TOPOLOGY};

    for (size_t i = 0; i < ARRAY_SIZE(attackers); i++) {
        cr_expect(is_true(
            call("attribute_canary_trigger", "{'trigger_uuid':'%s','attacker_id':'%s'}", trigger, attackers[i])));
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_triggers WHERE attacker_id = '%s'", attackers[i]), 1);
    }
    cr_expect_not(
        is_true(call("attribute_canary_trigger", "{'trigger_uuid':'" UNKNOWN "','attacker_id':'" UNKNOWN "'}")));
    cr_expect_not(is_true(call("attribute_canary_trigger", "{'trigger_uuid':'nope','attacker_id':'" UNKNOWN "'}")));
    refuse(REPO_E_INVALID, "attacker_id must be a uuid", "attribute_canary_trigger",
           "{'trigger_uuid':'%s','attacker_id':'nope'}", trigger);
}

/* --- many at once --- */

static void upload_the_same(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        cleanup(json_putp) json_object *row =
            call_on(own, "upsert_canary_blob",
                    "{'data':{'sha256':'%d','filename':'f%d','content_type':'c','size_bytes':%d,'uploaded_by':'u%d',"
                    "'uuid':'b0000000-0000-4000-8000-0000000000%02d'}}",
                    i, index, index, index, i);
        char uuid[UUID_TEXT_BYTES];
        snprintf(uuid, sizeof(uuid), "%s", text_of(row, "uuid"));
        cleanup(json_putp) json_object *stored = call_on(own, "get_canary_blob", "{'uuid':'%s'}", uuid);
        cr_expect(json_object_equal(row, stored), "what came back is what stays");
    }
}

Test(repo_canary, one_of_many_uploads_stays)
{
    hammer_all(upload_the_same, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_blobs"), 20);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_blobs WHERE filename = 'f' || size_bytes"
                                 " AND uploaded_by = 'u' || size_bytes"),
                 20);
}

static void visit(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 25; i++)
        json_object_put(call_on(own, "record_canary_trigger",
                                "{'data':{'token_uuid':'%s','src_ip':'%d','occurred_at':'2026-03-01T00:%02d:%02dZ'}}",
                                numbered(1 + (unsigned)i % 2), index, i, index));
}

Test(repo_canary, every_visit_is_counted)
{
    plant(numbered(1), "a", "");
    plant(numbered(2), "b", "");
    hammer_all(visit, NULL);
    cr_expect_eq(harness_sql_int("SELECT trigger_count FROM canary_tokens WHERE callback_token = 'a'"), 13 * HAMMERS);
    cr_expect_eq(harness_sql_int("SELECT trigger_count FROM canary_tokens WHERE callback_token = 'b'"), 12 * HAMMERS);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_triggers"), 25 * HAMMERS);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_tokens t WHERE last_triggered_at ="
                                 " (SELECT max(occurred_at) FROM canary_triggers WHERE token_uuid = t.uuid)"),
                 2);
}

/* Four plant tokens on blobs that the other four delete: a blob without a token may go, one with a token never. */
static void plant_or_delete(Repo *own, int index, void *arg)
{
    int *planted = arg;

    for (int i = 0; i < 25; i++) {
        cleanup(buf_free) Buf result = {0};
        cleanup(json_putp) json_object *blob_row = call_on(
            own, "upsert_canary_blob",
            "{'data':{'sha256':'%d','filename':'f','content_type':'c','size_bytes':1,'uploaded_by':'u'}}", i % 3);
        char text[400];
        if (index % 2) {
            snprintf(text, sizeof(text), "{\"uuid\":\"%s\"}", text_of(blob_row, "uuid"));
        } else {
            snprintf(text, sizeof(text),
                     "{\"data\":{\"kind\":\"http\",\"decky_name\":\"d\",\"placement_path\":\"/p\",\"callback_token\":"
                     "\"%d-%d\",\"secret_seed\":\"s\",\"created_by\":\"u\",\"blob_uuid\":\"%s\"}}",
                     index, i, text_of(blob_row, "uuid"));
        }
        cleanup(json_putp) json_object *params = json_parse(str_from(text));
        int r = repo_call(own, index % 2 ? "delete_canary_blob" : "create_canary_token", params, &result);
        cr_expect(r == 0 || (r == REPO_E_FK && index % 2 == 0), "%d: %s", r, repo_error_text(own));
        if (r == 0 && index % 2 == 0)
            __atomic_add_fetch(planted, 1, __ATOMIC_RELAXED);
    }
}

Test(repo_canary, blobs_go_only_while_nothing_needs_them)
{
    int planted = 0;

    hammer_all(plant_or_delete, &planted);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_tokens"), planted);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM canary_tokens t JOIN canary_blobs b ON b.uuid = t.blob_uuid"),
                 planted);
}
