/* Files that make deckies look lived in, and the knobs of that. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_realism, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define FILE_DATA                                                                                                      \
    "'decky_uuid':'host:web','path':'/home/a/note.txt','persona':'admin','content_class':'note','content_hash':'h'"

static const char *record(const char *more)
{
    static _Thread_local char uuid[64];
    cleanup(json_putp) json_object *id = call("record_synthetic_file", "{'data':{" FILE_DATA "%s}}", more);

    snprintf(uuid, sizeof(uuid), "%s", json_object_get_string(id));
    return uuid;
}

Test(repo_realism, a_file_is_recorded_with_its_defaults)
{
    const char *uuid = record(",'nonsense':1");
    cleanup(json_putp) json_object *row = call("get_synthetic_file", "{'uuid':'%s'}", uuid);

    cr_expect_eq(json_object_object_length(row), 10);
    expect_key(row, "uuid", uuid);
    expect_key(row, "decky_uuid", "host:web");
    expect_key(row, "path", "/home/a/note.txt");
    expect_key(row, "persona", "admin");
    expect_key(row, "content_class", "note");
    expect_key(row, "edit_count", "0");
    expect_key(row, "content_hash", "h");
    expect_key(row, "last_body", "");
    cr_expect_str_eq(text_of(row, "created_at"), text_of(row, "last_modified"), "one instant");
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM synthetic_files WHERE abs(extract(epoch FROM created_at - now())) < 60"),
        1);
    cr_expect_null(call("get_synthetic_file", "{'uuid':'nope'}"));
    cr_expect_null(call("get_synthetic_file", "{'uuid':'00000000-0000-4000-8000-00000000dead'}"));
}

Test(repo_realism, a_planted_file_is_a_conflict)
{
    const char *uuid = record(",'uuid':'00000000000040008000000000000001','created_at':'2026-01-01T00:00:00Z',"
                              "'last_modified':'2026-01-02T00:00:00Z','edit_count':3,'last_body':'b'");

    cr_expect_str_eq(uuid, "00000000-0000-4000-8000-000000000001");
    refuse(REPO_E_CONFLICT, "duplicate key", "record_synthetic_file", "{'data':{" FILE_DATA ",'last_body':'other'}}");
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM synthetic_files WHERE created_at = '2026-01-01Z' AND last_body = 'b'"
                        " AND last_modified = '2026-01-02Z' AND edit_count = 3"),
        1);
    json_object_put(call("record_synthetic_file", "{'data':{" FILE_DATA ",'path':'/other'}}"));
    json_object_put(
        call("record_synthetic_file", "{'data':{" FILE_DATA ",'decky_uuid':'AAAAAAAA000040008000000000000001'}}"));
    refuse(REPO_E_CONFLICT, "duplicate key", "record_synthetic_file",
           "{'data':{" FILE_DATA ",'decky_uuid':'aaaaaaaa-0000-4000-8000-000000000001'}}");
    cr_expect_eq(call_int("count_synthetic_files", "{}"), 3);
}

Test(repo_realism, bad_files_are_refused)
{
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"'path':'p','persona':'p','content_class':'c','content_hash':'h'", "key decky_uuid is missing"},
        {"'decky_uuid':'d','persona':'p','content_class':'c','content_hash':'h'", "key path is missing"},
        {"'decky_uuid':'d','path':'p','content_class':'c','content_hash':'h'", "key persona is missing"},
        {"'decky_uuid':'d','path':'p','persona':'p','content_hash':'h'", "key content_class is missing"},
        {"'decky_uuid':'d','path':'p','persona':'p','content_class':'c'", "key content_hash is missing"},
        {FILE_DATA ",'last_body':null", "last_body must not be null"},
        {FILE_DATA ",'last_body':{}", "last_body must be text"},
        {FILE_DATA ",'edit_count':'1'", "edit_count must be an integer"},
        {FILE_DATA ",'edit_count':3000000000", "out of range"},
        {FILE_DATA ",'created_at':'x'", "created_at must be a time"},
        {FILE_DATA ",'uuid':'x'", "uuid must be a uuid"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(REPO_E_INVALID, cases[i].words, "record_synthetic_file", "{'data':{%s}}", cases[i].data);
    cr_expect_eq(call_int("count_synthetic_files", "{}"), 0);
}

/* @n characters of two bytes; the caller frees. */
static char *wide_body(size_t n)
{
    Buf body = {0};

    for (size_t i = 0; i < n; i++)
        buf_add(&body, "\u00e9");
    return body.data;
}

Test(repo_realism, a_body_is_cut_at_characters)
{
    cleanup(freep) char *fits = wide_body(65536), *longer = wide_body(65537);

    json_object_put(call("record_synthetic_file", "{'data':{" FILE_DATA ",'last_body':'%s'}}", fits));
    cr_expect_eq(harness_sql_int("SELECT length(last_body) FROM synthetic_files"), 65536);
    cleanup(json_putp) json_object *id =
        call("record_synthetic_file", "{'data':{" FILE_DATA ",'path':'/p2','last_body':'%s'}}", longer);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM synthetic_files WHERE last_body = repeat(U&'\\00e9', 65536)"),
                 2);
    json_object_put(
        call("update_synthetic_file", "{'uuid':'%s','data':{'last_body':'x%s'}}", json_object_get_string(id), longer));
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM synthetic_files WHERE last_body = 'x' || repeat(U&'\\00e9', 65535)"), 1);
    json_object_put(
        call("record_synthetic_file", "{'data':{" FILE_DATA ",'path':'/p3','last_body':'a\\u0000b\\udc00'}}"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM synthetic_files WHERE last_body LIKE U&'a\\FFFDb\\FFFD%%'"), 1);
}

Test(repo_realism, an_edit_changes_what_it_names)
{
    char uuid[64];

    snprintf(uuid, sizeof(uuid), "%s", record(",'last_modified':'2026-01-01T00:00:00Z','last_body':'old'"));
    json_object_put(call("update_synthetic_file", "{'uuid':'%s','data':{'edit_count':1,'content_hash':'h2'}}", uuid));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM synthetic_files WHERE edit_count = 1 AND content_hash = 'h2'"
                                 " AND last_body = 'old' AND last_modified = '2026-01-01Z' AND persona = 'admin'"),
                 1);
    json_object_put(call("update_synthetic_file",
                         "{'uuid':'%s','data':{'persona':'p','content_class':'draft','last_body':'new','last_modified':"
                         "'2026-01-02T00:00:00Z'}}",
                         uuid));
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM synthetic_files WHERE edit_count = 1 AND persona = 'p'"
                        " AND content_class = 'draft' AND last_body = 'new' AND last_modified = '2026-01-02Z'"),
        1);
    json_object_put(call("update_synthetic_file", "{'uuid':'%s','data':{}}", uuid));
    json_object_put(call("update_synthetic_file", "{'uuid':'nope','data':{'persona':'x'}}"));
    json_object_put(
        call("update_synthetic_file", "{'uuid':'00000000-0000-4000-8000-00000000dead','data':{'persona':'x'}}"));
    static const char *const fixed[] = {"uuid", "decky_uuid", "path", "created_at", "nonsense"};
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        refuse(REPO_E_INVALID, fixed[i], "update_synthetic_file", "{'uuid':'%s','data':{'persona':'x','%s':'y'}}", uuid,
               fixed[i]);
    refuse(REPO_E_INVALID, "persona must not be null", "update_synthetic_file", "{'uuid':'%s','data':{'persona':null}}",
           uuid);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM synthetic_files WHERE persona = 'p'"), 1);
}

/* Ids 1 to 6, changed in that order but 3 and 4 at one instant. */
static void write_files(void)
{
    harness_sql(
        "INSERT INTO synthetic_files (uuid, decky_uuid, path, persona, content_class, content_hash, last_modified)"
        " SELECT format('00000000-0000-4000-8000-00000000000%%s', i)::uuid, 'd' || (i > 4)::int, '/' || i,"
        "  CASE WHEN i %% 2 = 0 THEN 'admin' ELSE 'dev' END, CASE WHEN i < 4 THEN 'note' ELSE 'script' END, 'h',"
        "  timestamptz '2026-01-01Z' + CASE WHEN i = 4 THEN 3 ELSE i END * interval '1 s'"
        " FROM generate_series(1, 6) i");
}

Test(repo_realism, files_are_listed_newest_first)
{
    static const struct {
        const char *filter, *page, *order;
    } cases[] = {
        {"", "", "654321"},
        {"", "'limit':2,'offset':2", "43"},
        {"", "'offset':6", ""},
        {"", "'limit':0", ""},
        {"'decky_uuid':'d0'", "", "4321"},
        {"'decky_uuid':'d0'", "'limit':2,'offset':1", "32"},
        {"'decky_uuid':'d0','persona':'admin'", "", "42"},
        {"'decky_uuid':'d0','persona':'admin','content_class':'note'", "", "2"},
        {"'persona':'dev'", "", "531"},
        {"'content_class':'script'", "", "654"},
        {"'content_class':'script','persona':'dev'", "", "5"},
        {"'decky_uuid':''", "", ""},
        {"'persona':''", "", ""},
        {"'content_class':''", "", ""},
        {"'decky_uuid':null,'persona':null,'content_class':null", "", "654321"},
    };

    write_files();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *comma = *cases[i].filter && *cases[i].page ? "," : "";
        cleanup(json_putp) json_object *list =
            call("list_synthetic_files", "{%s%s%s}", cases[i].filter, comma, cases[i].page);
        char order[16] = "";
        cr_assert_lt(json_object_array_length(list), sizeof(order));
        for (size_t j = 0; j < json_object_array_length(list); j++)
            order[j] = text_of(nth(list, j), "path")[1];
        cr_expect_str_eq(order, cases[i].order, "%s %s: %s", cases[i].filter, cases[i].page, order);
        if (!*cases[i].page)
            cr_expect_eq(call_int("count_synthetic_files", "{%s}", cases[i].filter), (int64_t)strlen(order), "%s",
                         cases[i].filter);
    }
    refuse(REPO_E_INVALID, "limit must be", "list_synthetic_files", "{'limit':-1}");
    refuse(REPO_E_INVALID, "limit must be", "list_synthetic_files", "{'limit':10001}");
    refuse(REPO_E_INVALID, "offset must be", "list_synthetic_files", "{'offset':-1}");
}

/* How often each path is drawn out of @n. */
static void draw(int n, const char *params, int counts[10])
{
    memset(counts, 0, 10 * sizeof(*counts));
    for (int i = 0; i < n; i++) {
        cleanup(json_putp) json_object *row = call("pick_random_synthetic_file_for_edit", "{%s}", params);
        cr_assert_not_null(row);
        counts[text_of(row, "path")[1] - '0']++;
    }
}

Test(repo_realism, a_file_for_an_edit_is_drawn_among_the_fitting_ones)
{
    static const char *const classes[] = {"note",       "todo",      "draft", "script",          "log_cron",
                                          "log_daemon", "cache_tmp", "email", "canary_aws_creds"};
    int counts[10];

    cr_expect_null(call("pick_random_synthetic_file_for_edit", "{'decky_uuid':'d'}"));
    for (size_t i = 0; i < ARRAY_SIZE(classes); i++)
        harness_sql(
            "INSERT INTO synthetic_files (decky_uuid, path, persona, content_class, content_hash, last_modified)"
            " VALUES ('d', '/%zu', 'p', '%s', 'h', now() - interval '29 days 23 hours')",
            i, classes[i]);
    harness_sql(
        "INSERT INTO synthetic_files (decky_uuid, path, persona, content_class, content_hash, last_modified)"
        " VALUES ('d', '/9', 'p', 'note', 'h', now() - interval '30 days 1 hour'), ('e', '/9', 'p', 'note', 'h', now())");
    draw(300, "'decky_uuid':'d'", counts);
    for (int i = 0; i < 6; i++)
        cr_expect(counts[i] > 20 && counts[i] < 90, "class %d was drawn %d times of some 50", i, counts[i]);
    cr_expect_eq(counts[6] + counts[7] + counts[8] + counts[9], 0);
    draw(100, "'decky_uuid':'d','max_age_days':31", counts);
    cr_expect_gt(counts[9], 0);
    draw(1, "'decky_uuid':'d','max_age_days':9223372036854775807", counts);
    cr_expect_null(call("pick_random_synthetic_file_for_edit", "{'decky_uuid':'d','max_age_days':29}"));
    cr_expect_null(
        call("pick_random_synthetic_file_for_edit", "{'decky_uuid':'d','max_age_days':-9223372036854775807}"));
    refuse(REPO_E_INVALID, "decky_uuid is missing", "pick_random_synthetic_file_for_edit", "{}");
    refuse(REPO_E_INVALID, "max_age_days must be an integer", "pick_random_synthetic_file_for_edit",
           "{'decky_uuid':'d','max_age_days':1.5}");
}

Test(repo_realism, a_knob_keeps_its_text_and_its_id)
{
    cr_expect_null(call("get_realism_config", "{'key':'weights'}"));
    json_object_put(call("set_realism_config", "{'key':'weights','value':'{ \\'b\\' : 1e3, \\'a\\':1 }\\n'}"));
    cleanup(json_putp) json_object *first = call("get_realism_config", "{'key':'weights'}");
    cr_expect_eq(json_object_object_length(first), 4);
    expect_key(first, "key", "weights");
    expect_key(first, "value", "{ \"b\" : 1e3, \"a\":1 }\n");
    json_object_put(call("set_realism_config", "{'key':'weights','value':'not JSON'}"));
    cleanup(json_putp) json_object *second = call("get_realism_config", "{'key':'weights'}");
    expect_key(second, "value", "not JSON");
    cr_expect_str_eq(text_of(second, "uuid"), text_of(first, "uuid"));
    cr_expect_gt(strcmp(text_of(second, "updated_at"), text_of(first, "updated_at")), 0);
    cr_expect_null(call("get_realism_config", "{'key':'Weights'}"));

    cleanup(freep) char *key = wide_body(64);
    json_object_put(call("set_realism_config", "{'key':'%s','value':''}", key));
    refuse(REPO_E_INVALID, "key must be text of at most 64 characters", "set_realism_config",
           "{'key':'x%s','value':''}", key);
    refuse(REPO_E_INVALID, "value must be text", "set_realism_config", "{'key':'k','value':{}}");
    refuse(REPO_E_INVALID, "value must be text", "set_realism_config", "{'key':'k','value':null}");
    refuse(REPO_E_INVALID, "key is missing", "set_realism_config", "{'value':''}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM realism_config"), 2);
}

static int conflicts[HAMMERS];

static void plant_and_tune(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++) {
        cleanup(buf_free) Buf text = {0}, result = {0};
        buf_printf(&text,
                   "{\"data\":{\"decky_uuid\":\"d\",\"path\":\"/%d\",\"persona\":\"p\",\"content_class\":\"note\","
                   "\"content_hash\":\"h\"}}",
                   i);
        cleanup(json_putp) json_object *params = json_parse(buf_str(&text));
        int r = repo_call(own, "record_synthetic_file", params, &result);
        cr_assert(r == 0 || r == REPO_E_CONFLICT, "%s", repo_error_text(own));
        conflicts[index] += r == REPO_E_CONFLICT;
        json_object_put(call_on(own, "set_realism_config", "{'key':'k%d','value':'%d'}", i % 2, index));
    }
}

Test(repo_realism, of_those_that_plant_at_once_one_wins)
{
    int sum = 0;

    hammer_all(plant_and_tune, NULL);
    for (int i = 0; i < HAMMERS; i++)
        sum += conflicts[i];
    cr_expect_eq(sum, (HAMMERS - 1) * 20);
    cr_expect_eq(call_int("count_synthetic_files", "{}"), 20);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM realism_config"), 2);
}
