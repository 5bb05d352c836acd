/* Users of the console, the key-value state, and setting up. */
#include "repo_support.h"

#include <crypt.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"

TestSuite(repo_users, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define U1 "00000000-0000-4000-8000-000000000001"
#define U2 "00000000-0000-4000-8000-000000000002"
#define NOBODY "00000000-0000-4000-8000-0000000000ff"

static void create(const char *uuid, const char *username, const char *more)
{
    json_object_put(call("create_user", "{'user_data':{'uuid':'%s','username':'%s','password_hash':'h-%s'%s}}", uuid,
                         username, username, more));
}

static void expect_user(json_object *row, const char *want)
{
    cr_expect_str_eq(json_object_to_json_string_ext(row, JSON_C_TO_STRING_PLAIN), want);
}

static void expect_user_at(const char *uuid, const char *want)
{
    cleanup(json_putp) json_object *row = call("get_user_by_uuid", "{'uuid':'%s'}", uuid);
    expect_user(row, want);
}

/* --- users --- */

Test(repo_users, a_user_is_created_with_defaults)
{
    create(U1, "anna", "");
    expect_user_at(U1, "{\"uuid\":\"" U1 "\",\"username\":\"anna\",\"password_hash\":\"h-anna\",\"role\":\"viewer\","
                       "\"must_change_password\":false}");
    create("000000000000400080000000000000"
           "02",
           "Berta", ",'role':'admin','must_change_password':true,'other':7");
    expect_user_at(U2, "{\"uuid\":\"" U2 "\",\"username\":\"Berta\",\"password_hash\":\"h-Berta\",\"role\":\"admin\","
                       "\"must_change_password\":true}");
}

Test(repo_users, a_user_is_found_by_exact_name_and_id)
{
    static const char *const no_names[] = {"Anna", "ann", "anna ", "", "%", "a\\u0000nna"};
    static const char *const no_ids[] = {"nope", "", NOBODY, "00000000-0000-4000-8000-00000000000"};

    create(U1, "anna", "");
    cleanup(json_putp) json_object *found = call("get_user_by_username", "{'username':'anna'}");
    expect_key(found, "uuid", U1);
    expect_key(found, "password_hash", "h-anna");
    for (size_t i = 0; i < ARRAY_SIZE(no_names); i++)
        cr_expect_null(call("get_user_by_username", "{'username':'%s'}", no_names[i]), "%s", no_names[i]);
    for (size_t i = 0; i < ARRAY_SIZE(no_ids); i++)
        cr_expect_null(call("get_user_by_uuid", "{'uuid':'%s'}", no_ids[i]), "%s", no_ids[i]);
    refuse(REPO_E_INVALID, "parameter username must be text", "get_user_by_username", "{'username':null}");
    refuse(REPO_E_INVALID, "parameter uuid is missing", "get_user_by_uuid", "{}");
}

Test(repo_users, a_user_that_cannot_be_is_refused)
{
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"'username':'x','password_hash':'h'", "key uuid is missing"},
        {"'uuid':'" U1 "','password_hash':'h'", "key username is missing"},
        {"'uuid':'" U1 "','username':'x'", "key password_hash is missing"},
        {"'uuid':'nope','username':'x','password_hash':'h'", "uuid must be a uuid"},
        {"'uuid':'" U1 "','username':null,'password_hash':'h'", "username must not be null"},
        {"'uuid':'" U1 "','username':7,'password_hash':'h'", "username must be text"},
        {"'uuid':'" U1 "','username':'x','password_hash':'h','role':null", "role must not be null"},
        {"'uuid':'" U1 "','username':'x','password_hash':'h','must_change_password':1",
         "must_change_password must be a boolean"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(REPO_E_INVALID, cases[i].words, "create_user", "{'user_data':{%s}}", cases[i].data);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users"), 0);
}

Test(repo_users, name_and_id_are_unique)
{
    create(U1, "anna", "");
    refuse(REPO_E_CONFLICT, "", "create_user", "{'user_data':{'uuid':'" U2 "','username':'anna','password_hash':'x'}}");
    refuse(REPO_E_CONFLICT, "", "create_user",
           "{'user_data':{'uuid':'" U1 "','username':'berta','password_hash':'x'}}");
    create(U2, "ANNA", "");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users WHERE password_hash LIKE 'h-%%'"), 2);
}

Test(repo_users, users_are_listed_by_name)
{
    cleanup(json_putp) json_object *none = call("list_users", "{}");
    cr_expect_eq(json_object_array_length(none), 0);
    static const char *const sorted[] = {"Zoe", "_x", "anna", "\xc3\xa4gir"}; /* by bytes, not by a language */
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
        char uuid[UUID_TEXT_BYTES];
        snprintf(uuid, sizeof(uuid), "00000000-0000-4000-8000-%012zu", ARRAY_SIZE(sorted) - i);
        create(uuid, sorted[i], "");
    }
    cleanup(json_putp) json_object *list = call("list_users", "{}");
    cr_assert_eq(json_object_array_length(list), ARRAY_SIZE(sorted));
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++)
        expect_key(nth(list, i), "username", sorted[i]);
    expect_user(nth(list, 2), "{\"uuid\":\"" U2 "\",\"username\":\"anna\",\"password_hash\":\"h-anna\",\"role\":"
                              "\"viewer\",\"must_change_password\":false}");
}

Test(repo_users, a_password_is_changed_with_its_flag)
{
    create(U1, "anna", ",'must_change_password':true");
    create(U2, "berta", "");
    cr_expect_null(call("update_user_password", "{'uuid':'" U1 "','password_hash':'new'}"));
    expect_user_at(U1, "{\"uuid\":\"" U1 "\",\"username\":\"anna\",\"password_hash\":\"new\",\"role\":\"viewer\","
                       "\"must_change_password\":false}");
    json_object_put(
        call("update_user_password", "{'uuid':'" U1 "','password_hash':'reset','must_change_password':true}"));
    expect_user_at(U1, "{\"uuid\":\"" U1 "\",\"username\":\"anna\",\"password_hash\":\"reset\",\"role\":\"viewer\","
                       "\"must_change_password\":true}");
    json_object_put(call("update_user_password", "{'uuid':'" NOBODY "','password_hash':'x'}"));
    json_object_put(call("update_user_password", "{'uuid':'nope','password_hash':'x'}"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users WHERE password_hash = 'x'"), 0);
    refuse(REPO_E_INVALID, "password_hash must be text", "update_user_password",
           "{'uuid':'" U1 "','password_hash':null}");
    refuse(REPO_E_INVALID, "must_change_password must be a boolean", "update_user_password",
           "{'uuid':'" U1 "','password_hash':'x','must_change_password':null}");
}

Test(repo_users, a_role_is_set_as_it_is_given)
{
    create(U1, "anna", "");
    create(U2, "berta", "");
    cr_expect_null(call("update_user_role", "{'uuid':'" U1 "','role':'admin'}"));
    json_object_put(call("update_user_role", "{'uuid':'" U2 "','role':'Any Text'}"));
    json_object_put(call("update_user_role", "{'uuid':'" NOBODY "','role':'x'}"));
    json_object_put(call("update_user_role", "{'uuid':'nope','role':'x'}"));
    cleanup(freep) char *roles = harness_sql_text("SELECT string_agg(role, '|' ORDER BY username) FROM users");
    cr_expect_str_eq(roles, "admin|Any Text");
    refuse(REPO_E_INVALID, "role must be text", "update_user_role", "{'uuid':'" U1 "','role':null}");
}

static bool deletes(const char *uuid)
{
    cleanup(json_putp) json_object *answer = call("delete_user", "{'uuid':'%s'}", uuid);
    cr_expect(json_object_is_type(answer, json_type_boolean));
    return json_object_get_boolean(answer);
}

Test(repo_users, a_user_is_deleted_once)
{
    create(U1, "anna", ",'role':'admin'");
    create(U2, "berta", "");
    cr_expect_not(deletes("nope"));
    cr_expect_not(deletes(NOBODY));
    cr_expect(deletes(U1), "the last administrator too");
    cr_expect_not(deletes(U1));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users WHERE uuid = '" U2 "'"), 1);
}

static void create_the_same(Repo *own, int index, void *arg)
{
    int *created = arg;
    cleanup(buf_free) Buf result = {0};
    cleanup(json_putp) json_object *params = NULL;
    char text[200];

    snprintf(text, sizeof(text),
             "{\"user_data\":{\"uuid\":\"00000000-0000-4000-8000-%012d\",\"username\":\"anna\","
             "\"password_hash\":\"%d\"}}",
             index, index);
    params = json_parse(str_from(text));
    int r = repo_call(own, "create_user", params, &result);
    cr_expect(r == 0 || r == REPO_E_CONFLICT, "%s", repo_error_text(own));
    __atomic_fetch_add(created, r == 0, __ATOMIC_SEQ_CST);
}

Test(repo_users, of_many_at_once_one_gets_the_name)
{
    int created = 0;
    hammer_all(create_the_same, &created);
    cr_expect_eq(created, 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users"), 1);
}

/* --- state --- */

Test(repo_users, state_keeps_any_value)
{
    static const char *const values[] = {"{'position':17,'a':[1,2.5,null]}",
                                         "[]",
                                         "'text'",
                                         "'{\\'not\\':\\'parsed\\'}'",
                                         "-9223372036854775808",
                                         "true",
                                         "0.1",
                                         "''"};

    cr_expect_null(call("get_state", "{'key':'deployment'}"));
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        cr_expect_null(call("set_state", "{'key':'deployment','value':%s}", values[i]));
        cleanup(json_putp) json_object *sent = call("get_state", "{'key':'deployment'}");
        cleanup(freep) char *want = strdup(values[i]);
        for (char *c = want; *c; c++)
            *c = *c == '\'' ? '"' : *c;
        cleanup(json_putp) json_object *wanted = json_parse(str_from(want));
        cr_expect(json_object_equal(sent, wanted), "%s became %s", values[i], json_object_to_json_string(sent));
    }
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM state"), 1, "the last write wins");
}

Test(repo_users, state_of_null_reads_like_none)
{
    json_object_put(call("set_state", "{'key':'k','value':1}"));
    json_object_put(call("set_state", "{'key':'k','value':null}"));
    cr_expect_null(call("get_state", "{'key':'k'}"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM state WHERE value = 'null'"), 1);
}

Test(repo_users, state_keys_are_exact_and_clean)
{
    json_object_put(call("set_state", "{'key':'a','value':1}"));
    json_object_put(call("set_state", "{'key':'A','value':2}"));
    json_object_put(call("set_state", "{'key':'','value':3}"));
    json_object_put(call("set_state", "{'key':'n\\u0000','value':'x\\u0000\\ud800'}"));
    cr_expect_eq(call_int("get_state", "{'key':'a'}"), 1);
    cr_expect_eq(call_int("get_state", "{'key':'A'}"), 2);
    cr_expect_eq(call_int("get_state", "{'key':''}"), 3);
    cleanup(json_putp) json_object *repaired = call("get_state", "{'key':'n\\u0000'}");
    cr_expect_str_eq(json_object_get_string(repaired), "x\xef\xbf\xbd\xef\xbf\xbd");
    refuse(REPO_E_INVALID, "parameter value is missing", "set_state", "{'key':'k'}");
    refuse(REPO_E_INVALID, "parameter key must be text", "set_state", "{'key':null,'value':1}");
    cr_expect_null(call("get_state", "{'key':'k'}"));
}

static void set_the_same(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 20; i++)
        json_object_put(call_on(own, "set_state", "{'key':'cursor','value':{'by':%d,'i':%d}}", index, i));
}

Test(repo_users, state_set_by_many_at_once_is_one_row)
{
    hammer_all(set_the_same, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM state WHERE key = 'cursor' AND (value ->> 'i')::int = 19"), 1);
}

/* --- setting up, on a database without a schema --- */

static void empty_setup(void)
{
    unsetenv("DECNET_ADMIN_USER");
    unsetenv("DECNET_ADMIN_PASSWORD");
    harness_pg_start_empty();
    conninfo = harness_pg_conninfo();
    repo = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = "repo_test"});
    cr_assert_eq(repo_connect(repo), 0, "%s", repo_error_text(repo));
}

TestSuite(repo_initialize, .init = empty_setup, .fini = repo_test_teardown, .timeout = 120);

static void initialize(void)
{
    cr_expect_null(call("initialize", "{}"));
}

static void expect_password(const char *username, const char *password, bool right)
{
    cleanup(json_putp) json_object *row = call("get_user_by_username", "{'username':'%s'}", username);
    const char *hash = text_of(row, "password_hash");
    const char *made = crypt(password, hash);

    cr_expect(strncmp(hash, "$2b$12$", 7) == 0 && strlen(hash) == 60, "%s", hash);
    cr_expect_eq(made && strcmp(made, hash) == 0, right, "%s %s", username, password);
}

Test(repo_initialize, an_empty_database_gets_schema_and_administrator)
{
    initialize();
    cr_expect_geq(harness_sql_int("SELECT count(*) FROM pg_tables WHERE schemaname = 'decnet'"), 37);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM schema_version"),
                 harness_sql_int("SELECT max(version) FROM schema_version"));
    cleanup(json_putp) json_object *row = call("get_user_by_username", "{'username':'admin'}");
    expect_key(row, "role", "admin");
    expect_key(row, "must_change_password", "true");
    expect_password("admin", "admin", true);
    expect_password("admin", "other", false);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users"), 1);
}

Test(repo_initialize, the_password_follows_the_environment_until_it_is_changed)
{
    setenv("DECNET_ADMIN_USER", "root", 1);
    setenv("DECNET_ADMIN_PASSWORD", "first", 1);
    initialize();
    cleanup(freep) char *uuid = harness_sql_text("SELECT uuid FROM users");
    expect_password("root", "first", true);

    setenv("DECNET_ADMIN_PASSWORD", "second", 1);
    initialize();
    expect_password("root", "second", true);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users WHERE uuid = '%s' AND must_change_password", uuid), 1);

    json_object_put(call("update_user_password", "{'uuid':'%s','password_hash':'mine'}", uuid));
    initialize();
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users WHERE password_hash = 'mine'"), 1, "a changed one stays");

    json_object_put(
        call("update_user_password", "{'uuid':'%s','password_hash':'x','must_change_password':true}", uuid));
    json_object_put(call("update_user_role", "{'uuid':'%s','role':'viewer'}", uuid));
    initialize();
    expect_password("root", "second", true);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users WHERE role = 'viewer'"), 1, "only the hash is touched");
}

Test(repo_initialize, only_72_bytes_of_a_password_count)
{
    char longer[900];

    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    setenv("DECNET_ADMIN_PASSWORD", longer, 1);
    initialize();
    longer[71] = '\0';
    expect_password("admin", longer, false);
    longer[71] = 'x';
    longer[72] = '\0';
    expect_password("admin", longer, true);
}

Test(repo_initialize, data_is_never_lost)
{
    setenv("DECNET_ADMIN_USER", "", 1); /* as if it were not set */
    initialize();
    json_object_put(call("set_state", "{'key':'k','value':1}"));
    create(U1, "anna", "");
    for (int i = 0; i < 3; i++)
        initialize();
    cr_expect_eq(call_int("get_state", "{'key':'k'}"), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users WHERE username IN ('admin', 'anna')"), 2);
}

Test(repo_initialize, it_is_all_or_nothing)
{
    cr_assert_eq(repo_begin(repo), 0);
    initialize();
    repo_rollback(repo);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM pg_namespace WHERE nspname = 'decnet'"), 0);
    initialize();
    expect_password("admin", "admin", true);
}

static void initialize_too(Repo *own, int index, void *arg)
{
    (void)index;
    (void)arg;
    json_object_put(call_on(own, "initialize", "{}"));
}

Test(repo_initialize, many_at_once_make_one_schema_and_one_administrator)
{
    hammer_all(initialize_too, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users"), 1);
    expect_password("admin", "admin", true);
}

Test(repo_initialize, another_schema_is_refused_and_left_alone)
{
    initialize();
    harness_sql("UPDATE schema_version SET checksum = 'x' WHERE version = 1");
    refuse(REPO_E_OPERATOR, "checksum differs", "initialize", "{}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM users"), 1);
}
