/* Behaviour of attackers as the profiler stores it; SMTP targets; attachments that were seen. */
#include "repo_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"

TestSuite(repo_behaviour, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define NOBODY "00000000-0000-0000-0000-000000000001"

/* --- behaviour --- */

Test(repo_behaviour, what_is_given_is_merged)
{
    const char *a = attacker("198.51.100.1");

    cr_expect_null(call("get_attacker_behavior", "{'attacker_uuid':'%s'}", a));
    cr_expect_null(
        call("upsert_attacker_behavior",
             "{'attacker_uuid':'%s','data':{'os_guess':'linux','hop_distance':7,'tcp_fingerprint':"
             "'{\\'mss\\':1460}','kex_order_raw':['a','b'],'beacon_interval_s':60,'beacon_jitter_pct':1.5,"
             "'behavior_class':'beaconing','timing_stats':{'mean':0.1},'updated_at':'2020-01-01T00:00:00Z'}}",
             a));
    cleanup(json_putp) json_object *row = call("get_attacker_behavior", "{'attacker_uuid':'%s'}", a);
    static const char *const keys[] = {
        "attacker_uuid",      "os_guess",         "hop_distance",   "tcp_fingerprint",   "kex_order_raw",
        "ssh_client_banners", "retransmit_count", "behavior_class", "beacon_interval_s", "beacon_jitter_pct",
        "tool_guesses",       "timing_stats",     "phase_sequence", "updated_at",
    };
    size_t i = 0;
    json_object_object_foreach (row, key, value) {
        (void)value;
        cr_assert_lt(i, ARRAY_SIZE(keys));
        cr_expect_str_eq(key, keys[i++]);
    }
    cr_expect_eq(i, ARRAY_SIZE(keys));
    expect_key(row, "attacker_uuid", a);
    expect_key(row, "hop_distance", "7");
    expect_key(row, "tcp_fingerprint", "{ \"mss\": 1460 }");
    expect_key(row, "kex_order_raw", "[ \"a\", \"b\" ]");
    expect_key(row, "ssh_client_banners", "[ ]");
    expect_key(row, "tool_guesses", "[ ]");
    expect_key(row, "retransmit_count", "0");
    expect_key(row, "beacon_interval_s", "60.0");
    expect_key(row, "phase_sequence", "{ }");
    cr_expect_gt(strcmp(text_of(row, "updated_at"), "2026"), 0, "always now");

    json_object_put(call("upsert_attacker_behavior",
                         "{'attacker_uuid':'%s','data':{'os_guess':null,'tool_guesses':'[\\'hydra\\']'}}", a));
    cleanup(json_putp) json_object *after = call("get_attacker_behavior", "{'attacker_uuid':'%s'}", a);
    expect_key(after, "os_guess", "null");
    expect_key(after, "tool_guesses", "[ \"hydra\" ]");
    expect_key(after, "hop_distance", "7");
    expect_key(after, "timing_stats", "{ \"mean\": 0.1 }");
    cr_expect_gt(strcmp(text_of(after, "updated_at"), text_of(row, "updated_at")), 0);
    json_object_put(call("upsert_attacker_behavior", "{'attacker_uuid':'%s','data':{}}", attacker("198.51.100.2")));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_behavior"), 2);
    cr_expect_null(call("get_attacker_behavior", "{'attacker_uuid':'nope'}"));
}

Test(repo_behaviour, lists_read_back_as_lists)
{
    static const struct {
        const char *given, *read;
    } cases[] = {
        {"null", "[ ]"},
        {"'null'", "[ ]"},
        {"[]", "[ ]"},
        {"[1,null]", "[ 1, null ]"},
        {"7", "[ 7 ]"},
        {"'7'", "[ 7 ]"},
        {"true", "[ true ]"},
        {"{'a':1}", "[ { \"a\": 1 } ]"},
        {"'\\'x\\''", "[ \"x\" ]"},
    };
    const char *a = attacker("198.51.100.1");

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_object_put(call("upsert_attacker_behavior", "{'attacker_uuid':'%s','data':{'ssh_client_banners':%s}}", a,
                             cases[i].given));
        cleanup(json_putp) json_object *row = call("get_attacker_behavior", "{'attacker_uuid':'%s'}", a);
        expect_key(row, "ssh_client_banners", cases[i].read);
    }
    harness_sql("UPDATE attacker_behavior SET tool_guesses = 'null'");
    cleanup(json_putp) json_object *row = call("get_attacker_behavior", "{'attacker_uuid':'%s'}", a);
    expect_key(row, "tool_guesses", "[ ]");
}

Test(repo_behaviour, behaviour_that_is_none_is_refused)
{
    const char *a = attacker("198.51.100.1");
    static const struct {
        const char *data, *words;
    } cases[] = {
        {"{'os_gess':'x'}", "os_gess is no column"},
        {"{'attacker_uuid':'" NOBODY "'}", "attacker_uuid is no column"},
        {"{'hop_distance':1.5}", "hop_distance must be an integer"},
        {"{'hop_distance':99999999999}", "out of range"},
        {"{'hop_distance':18446744073709551615}", "hop_distance must be an integer"},
        {"{'retransmit_count':null}", "retransmit_count must not be null"},
        {"{'tcp_fingerprint':null}", "tcp_fingerprint must not be null"},
        {"{'tcp_fingerprint':'null'}", "null value"},
        {"{'tool_guesses':'hydra'}", "tool_guesses must be JSON"},
        {"{'os_guess':[]}", "os_guess must be text"},
        {"{'updated_at':'soon'}", "updated_at must be a time"},
    };

    for (int stored = 0; stored < 2; stored++) {
        for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
            refuse(REPO_E_INVALID, cases[i].words, "upsert_attacker_behavior", "{'attacker_uuid':'%s','data':%s}", a,
                   cases[i].data);
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_behavior"), stored);
        json_object_put(call("upsert_attacker_behavior", "{'attacker_uuid':'%s','data':{}}", a));
    }
    refuse(REPO_E_INVALID, "attacker_uuid must be a uuid", "upsert_attacker_behavior",
           "{'attacker_uuid':'nope','data':{}}");
    refuse(REPO_E_FK, "foreign key", "upsert_attacker_behavior", "{'attacker_uuid':'" NOBODY "','data':{}}");
    refuse(REPO_E_INVALID, "data must be an object", "upsert_attacker_behavior", "{'attacker_uuid':'%s','data':[]}", a);
}

Test(repo_behaviour, behaviour_by_address)
{
    const char *a = attacker("198.51.100.1"), *b = attacker("2001:db8::5"), *c = attacker("a\\\"b");

    attacker("198.51.100.2");
    json_object_put(call("upsert_attacker_behavior", "{'attacker_uuid':'%s','data':{'os_guess':'x'}}", a));
    json_object_put(call("upsert_attacker_behavior", "{'attacker_uuid':'%s','data':{'tool_guesses':3}}", b));
    json_object_put(call("upsert_attacker_behavior", "{'attacker_uuid':'%s','data':{}}", c));
    cleanup(json_putp) json_object *found =
        call("get_behaviors_for_ips",
             "{'ips':['::ffff:198.51.100.1','2001:DB8:0::5','198.51.100.2','198.51.100.3','','2001:db8::5','a\\\"b']}");
    cr_expect_eq(json_object_object_length(found), 3);
    json_object *first = json_member(found, "198.51.100.1"), *second = json_member(found, "2001:db8::5");
    cr_expect_eq(json_object_object_length(first), 14);
    expect_key(first, "os_guess", "x");
    expect_key(first, "tool_guesses", "[ ]");
    expect_key(second, "tool_guesses", "[ 3 ]");
    cr_expect_not_null(json_member(found, "a\"b"));
    cleanup(json_putp) json_object *none = call("get_behaviors_for_ips", "{'ips':[]}");
    cr_expect(json_object_is_type(none, json_type_object));
    cr_expect_eq(json_object_object_length(none), 0);
    refuse(REPO_E_INVALID, "ips must be a list of texts", "get_behaviors_for_ips", "{'ips':[7]}");
    refuse(REPO_E_INVALID, "ips must be a list of texts", "get_behaviors_for_ips", "{'ips':'198.51.100.1'}");
}

static void profile(Repo *own, int index, void *arg)
{
    static const char *const columns[] = {"os_guess", "behavior_class"};

    for (int i = 0; i < 30; i++)
        json_object_put(call_on(own, "upsert_attacker_behavior", "{'attacker_uuid':'%s','data':{'%s':'%d'}}",
                                (const char *)arg, columns[index % 2], i));
}

Test(repo_behaviour, concurrent_profiles_keep_each_others_columns)
{
    char a[UUID_TEXT_BYTES];

    strcpy(a, attacker("198.51.100.1"));
    hammer_all(profile, a);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_behavior WHERE os_guess = '29' AND behavior_class ="
                                 " '29'"),
                 1);
}

/* --- attachments --- */

/* What one sighting stores: verdict and provider as JSON. */
static json_object *see(const char *sha256, const char *more, const char *verdict, const char *provider)
{
    return call("upsert_observed_attachment", "{'sha256':'%s',%s,'mal_hash_match':%s,'mal_hash_match_provider':%s}",
                sha256, more, verdict, provider);
}

#define FIRST "'decky_uuid':'web-1','attacker_uuid':'A0000000000000000000000000000001','extension':'EXE','subject':'hi'"
#define NOTHING "'decky_uuid':null,'attacker_uuid':null,'extension':null,'subject':null"

Test(repo_behaviour, attachments_are_counted_by_content)
{
    cleanup(json_putp) json_object *first = see("AbC1", FIRST, "null", "'vt'");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observed_attachments WHERE sha256 = 'abc1' AND uuid = '%s'"
                                 " AND observation_count = 1 AND first_seen = last_seen"
                                 " AND first_seen_decky_uuid = 'web-1' AND extensions = '[\"exe\"]'"
                                 " AND first_seen_attacker_uuid = 'a0000000-0000-0000-0000-000000000001'"
                                 " AND last_seen_attacker_uuid = first_seen_attacker_uuid AND first_subject = 'hi'"
                                 " AND mal_hash_match IS NULL AND mal_hash_match_provider IS NULL"
                                 " AND mal_hash_match_at IS NULL",
                                 json_object_get_string(first)),
                 1);
    cleanup(json_putp) json_object *second =
        see("abc1", "'decky_uuid':'d2','attacker_uuid':'atk-9','extension':'Scr','subject':'other'", "null", "null");
    cr_expect_str_eq(json_object_get_string(second), json_object_get_string(first));
    json_object_put(see("ABC1", "'decky_uuid':'d2','attacker_uuid':'','extension':'','subject':null", "null", "null"));
    json_object_put(
        see("abc1", "'decky_uuid':null,'attacker_uuid':null,'extension':'exe','subject':''", "null", "null"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observed_attachments WHERE observation_count = 4"
                                 " AND last_seen > first_seen AND first_seen_decky_uuid = 'web-1'"
                                 " AND first_seen_attacker_uuid = 'a0000000-0000-0000-0000-000000000001'"
                                 " AND last_seen_attacker_uuid = 'atk-9' AND first_subject = 'hi'"
                                 " AND extensions = '[\"exe\",\"scr\"]'"),
                 1);

    /* What was not known first stays unknown. */
    json_object_put(see("ff", NOTHING, "false", "null"));
    json_object_put(see("ff", FIRST, "null", "null"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observed_attachments WHERE sha256 = 'ff' AND extensions = "
                                 "'[\"exe\"]' AND first_seen_decky_uuid IS NULL AND first_subject IS NULL AND"
                                 " first_seen_attacker_uuid IS NULL AND last_seen_attacker_uuid IS NOT NULL"
                                 " AND mal_hash_match = false AND mal_hash_match_at IS NOT NULL"),
                 1);
    refuse(REPO_E_INVALID, "parameter subject is missing", "upsert_observed_attachment",
           "{'sha256':'aa','decky_uuid':null,'attacker_uuid':null,'extension':null,'mal_hash_match':null,"
           "'mal_hash_match_provider':null}");
    refuse(REPO_E_INVALID, "sha256 must be text", "upsert_observed_attachment",
           "{'sha256':null," NOTHING ",'mal_hash_match':null,'mal_hash_match_provider':null}");
    refuse(REPO_E_INVALID, "mal_hash_match must be a boolean", "upsert_observed_attachment",
           "{'sha256':'aa'," NOTHING ",'mal_hash_match':'true','mal_hash_match_provider':null}");
}

/* Stored and incoming verdict, what is stored then, and whose name. */
static const struct {
    const char *stored, *incoming, *verdict, *provider;
} verdicts[] = {
    {"null", "null", "null", "null"},  {"null", "false", "false", "new"},  {"null", "true", "true", "new"},
    {"false", "null", "false", "old"}, {"false", "false", "false", "old"}, {"false", "true", "true", "new"},
    {"true", "null", "true", "old"},   {"true", "false", "true", "old"},   {"true", "true", "true", "old"},
};

Test(repo_behaviour, verdicts_only_rise)
{
    for (size_t i = 0; i < ARRAY_SIZE(verdicts); i++) {
        harness_sql("DELETE FROM observed_attachments");
        json_object_put(see("aa", NOTHING, verdicts[i].stored, "'old'"));
        harness_sql(
            "UPDATE observed_attachments SET mal_hash_match_at = '2026-01-01' WHERE mal_hash_match_at IS NOT NULL");
        json_object_put(see("aa", NOTHING, verdicts[i].incoming, "'new'"));
        cleanup(freep) char *got = harness_sql_text(
            "SELECT coalesce(mal_hash_match::text, 'null') || ' ' || coalesce(mal_hash_match_provider, 'null') || ' ' ||"
            " CASE WHEN mal_hash_match_at IS NULL THEN 'null' WHEN mal_hash_match_at = '2026-01-01' THEN 'old'"
            " ELSE 'new' END FROM observed_attachments");
        char want[64];
        snprintf(want, sizeof(want), "%s %s %s", verdicts[i].verdict, verdicts[i].provider, verdicts[i].provider);
        cr_expect_str_eq(got, want, "%s, then %s: %s", verdicts[i].stored, verdicts[i].incoming, got);
    }
    cr_expect_eq(harness_sql_int("SELECT observation_count FROM observed_attachments"), 2);
    harness_sql("DELETE FROM observed_attachments");
    json_object_put(see("aa", NOTHING, "false", "'old'"));
    json_object_put(see("aa", NOTHING, "true", "null"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observed_attachments WHERE mal_hash_match_provider IS NULL"), 1,
                 "a stamp without a name takes the old name away");
}

static void see_again(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 30; i++)
        json_object_put(call_on(own, "upsert_observed_attachment",
                                "{'sha256':'%s','decky_uuid':null,'attacker_uuid':'atk-%d','extension':'x%d','subject':"
                                "null,'mal_hash_match':%s,'mal_hash_match_provider':'p%d'}",
                                i % 2 ? "aa" : "AA", index, (i + index) % 12, index == 3 && i == 20 ? "true" : "null",
                                index));
}

Test(repo_behaviour, concurrent_sightings_all_count)
{
    hammer_all(see_again, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observed_attachments"), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observed_attachments WHERE observation_count = %d"
                                 " AND jsonb_array_length(extensions) = 12 AND mal_hash_match"
                                 " AND mal_hash_match_provider = 'p3'",
                                 HAMMERS * 30),
                 1);
}

/* --- SMTP targets --- */

Test(repo_behaviour, mail_domains_are_counted)
{
    const char *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2");
    static const char *const domains[] = {"old.example", "new.example", "old.example"};

    for (size_t i = 0; i < ARRAY_SIZE(domains); i++)
        cr_expect_null(call("increment_smtp_target", "{'attacker_uuid':'%s','domain':'%s'}", a, domains[i]));
    json_object_put(call("increment_smtp_target", "{'attacker_uuid':'%s','domain':'old.example'}", b));
    cleanup(json_putp) json_object *list = call("list_smtp_targets", "{'attacker_uuid':'%s'}", a);
    cr_expect_eq(json_object_array_length(list), 2);
    json_object *row = nth(list, 0);
    cr_expect_eq(json_object_object_length(row), 6);
    expect_key(row, "domain", "old.example");
    expect_key(row, "count", "2");
    expect_key(row, "attacker_uuid", a);
    cr_expect_gt(strcmp(text_of(row, "last_seen"), text_of(row, "first_seen")), 0);
    expect_key(nth(list, 1), "domain", "new.example");
    expect_key(nth(list, 1), "count", "1");
    cr_expect_str_eq(text_of(nth(list, 1), "last_seen"), text_of(nth(list, 1), "first_seen"));
    harness_sql("UPDATE smtp_targets SET last_seen = '2026-02-01'");
    cleanup(json_putp) json_object *ties = call("list_smtp_targets", "{'attacker_uuid':'%s'}", a);
    expect_key(nth(ties, 0), "domain", "new.example"); /* the greater id */

    harness_sql("UPDATE smtp_targets SET first_seen = CASE WHEN count = 2 THEN '2026-01-02' ELSE '2026-01-01' END"
                "::timestamptz, last_seen = CASE WHEN count = 2 THEN '2026-02-02' ELSE '2026-02-01' END::timestamptz");
    cleanup(json_putp) json_object *seen = call("smtp_target_seen", "{'domain':'old.example'}");
    cr_expect_eq(json_object_object_length(seen), 4, "sums and times only");
    expect_key(seen, "seen", "true");
    expect_key(seen, "count", "3");
    expect_key(seen, "first_seen", "2026-01-01T00:00:00.000000Z");
    expect_key(seen, "last_seen", "2026-02-02T00:00:00.000000Z");
    cleanup(json_putp) json_object *unseen = call("smtp_target_seen", "{'domain':'example'}");
    expect_key(unseen, "seen", "false");
    expect_key(unseen, "count", "0");
    expect_key(unseen, "first_seen", "null");
    expect_key(unseen, "last_seen", "null");

    cleanup(json_putp) json_object *nobody = call("list_smtp_targets", "{'attacker_uuid':'nope'}");
    cr_expect_eq(json_object_array_length(nobody), 0);
    refuse(REPO_E_FK, "foreign key", "increment_smtp_target", "{'attacker_uuid':'" NOBODY "','domain':'x'}");
    refuse(REPO_E_INVALID, "attacker_uuid must be a uuid", "increment_smtp_target",
           "{'attacker_uuid':'nope','domain':'x'}");
    refuse(REPO_E_INVALID, "domain must be text", "increment_smtp_target", "{'attacker_uuid':'%s','domain':null}", a);
    cleanup(buf_free) Buf longer = {0};
    for (uint32_t i = 0, x = 1; i < 9000; i++, x = x * 1664525 + 1013904223)
        buf_printf(&longer, "%02x", x >> 24); /* nothing that compresses into an index */
    refuse(REPO_E_INVALID, "index", "increment_smtp_target", "{'attacker_uuid':'%s','domain':'%s'}", a, longer.data);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM smtp_targets"), 3);
}

static void mail_again(Repo *own, int index, void *arg)
{
    for (int i = 0; i < 40; i++)
        json_object_put(call_on(own, "increment_smtp_target", "{'attacker_uuid':'%s','domain':'d%d.example'}",
                                (const char *)arg, (i + index) % 4));
}

Test(repo_behaviour, concurrent_mails_all_count)
{
    char a[UUID_TEXT_BYTES];

    strcpy(a, attacker("198.51.100.1"));
    hammer_all(mail_again, a);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM smtp_targets WHERE count = %d", HAMMERS * 10), 4);
}
