/* Identities: rows that the clusterer makes, their lists, links of attackers, and merges, which must never close a circle. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_identities, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define NOBODY "00000000-0000-4000-8000-0000000000ff"

/* Id of identity @n, made or not. */
static const char *id(unsigned n)
{
    static _Thread_local char out[8][UUID_TEXT_BYTES];
    static _Thread_local unsigned turn;
    char *to = out[turn++ % 8];
    snprintf(to, UUID_TEXT_BYTES, "1d000000-0000-4000-8000-%012u", n);
    return to;
}

static void create(unsigned n, const char *more)
{
    cleanup(json_putp) json_object *uuid = call("create_attacker_identity", "{'row':{'uuid':'%s'%s}}", id(n), more);
    cr_expect_str_eq(json_object_get_string(uuid), id(n));
}

static void merge(unsigned loser, unsigned winner)
{
    json_object_put(
        call("update_identity_merged_into", "{'identity_uuid':'%s','winner_uuid':'%s'}", id(loser), id(winner)));
}

static void expect_uuids(json_object *list, const unsigned *want, size_t n)
{
    cr_assert_eq(json_object_array_length(list), n, "%zu", json_object_array_length(list));
    for (size_t i = 0; i < n; i++)
        expect_key(nth(list, i), "uuid", id(want[i]));
}

Test(repo_identities, a_new_identity_has_what_is_given_and_defaults)
{
    harness_sql("INSERT INTO campaigns (uuid) VALUES ('ca000000-0000-4000-8000-000000000001')");
    create(1, "");
    cleanup(json_putp) json_object *bare = call("get_identity_by_uuid", "{'uuid':'%s'}", id(1));
    cr_expect_eq(json_object_object_length(bare), 20);
    expect_key(bare, "schema_version", "1");
    expect_key(bare, "observation_count", "0");
    static const char *const null[] = {"campaign_id",        "first_seen_at",    "confidence", "ja3_hashes",
                                       "kd_digraph_simhash", "merged_into_uuid", "notes",      "c2_endpoints"};
    for (size_t i = 0; i < ARRAY_SIZE(null); i++)
        expect_key(bare, null[i], "null");
    cr_expect_str_eq(text_of(bare, "created_at"), text_of(bare, "updated_at"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities WHERE ja3_hashes IS NULL AND notes IS NULL"),
                 1);

    create(
        2,
        ",'schema_version':3,'campaign_id':'CA000000000040008000000000000001','first_seen_at':'2026-01-01T00:00:00Z',"
        "'last_seen_at':'2026-01-02T00:00:00+02:00','created_at':'2026-01-03T00:00:00Z','updated_at':"
        "'2026-01-04T00:00:00Z','confidence':1,'observation_count':7,'ja3_hashes':['a','b'],'hassh_hashes':"
        "'[\\'c\\']','ja4h_hashes':[],'ja4_quic_hashes':null,'http_versions_seen':'null','tls_cert_sha256':['d'],"
        "'payload_simhashes':['e'],'c2_endpoints':['f\\u0000'],'kd_digraph_simhash':'0123456789ABCDEF',"
        "'merged_into_uuid':'1d000000-0000-4000-8000-000000000001','notes':'n','nonsense':1");
    cleanup(json_putp) json_object *all = call("list_all_identities", "{}");
    json_object *row = nth(all, 0);
    static const struct {
        const char *key, *want;
    } keys[] = {{"uuid", "1d000000-0000-4000-8000-000000000002"},
                {"schema_version", "3"},
                {"campaign_id", "ca000000-0000-4000-8000-000000000001"},
                {"first_seen_at", "2026-01-01T00:00:00.000000Z"},
                {"last_seen_at", "2026-01-01T22:00:00.000000Z"},
                {"created_at", "2026-01-03T00:00:00.000000Z"},
                {"updated_at", "2026-01-04T00:00:00.000000Z"},
                {"confidence", "1.0"},
                {"observation_count", "7"},
                {"ja3_hashes", "[ \"a\", \"b\" ]"},
                {"hassh_hashes", "[ \"c\" ]"},
                {"ja4h_hashes", "[ ]"},
                {"ja4_quic_hashes", "null"},
                {"http_versions_seen", "null"},
                {"tls_cert_sha256", "[ \"d\" ]"},
                {"payload_simhashes", "[ \"e\" ]"},
                {"c2_endpoints", "[ \"f\xef\xbf\xbd\" ]"},
                {"kd_digraph_simhash", "0123456789abcdef"},
                {"merged_into_uuid", "1d000000-0000-4000-8000-000000000001"},
                {"notes", "n"}};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        expect_key(row, keys[i].key, keys[i].want);
}

Test(repo_identities, a_new_identity_is_checked)
{
    static const struct {
        int outcome;
        const char *more, *words;
    } cases[] = {
        {REPO_E_CONFLICT, "", "duplicate key"},
        {REPO_E_INVALID, ",'uuid':'nope'", "uuid must be a uuid"},
        {REPO_E_INVALID, ",'uuid':null", "uuid must not be null"},
        {REPO_E_FK, ",'uuid':'" NOBODY "','campaign_id':'" NOBODY "'", "foreign key"},
        {REPO_E_FK, ",'uuid':'" NOBODY "','merged_into_uuid':'00000000-0000-4000-8000-0000000000fe'", "foreign key"},
        {REPO_E_INVALID, ",'merged_into_uuid':'1D000000000040008000000000000001'", "must not be the row's own"},
        {REPO_E_INVALID, ",'uuid':'" NOBODY "','confidence':1.1", "confidence must be a number from 0 to 1"},
        {REPO_E_INVALID, ",'uuid':'" NOBODY "','ja3_hashes':['a',1]", "ja3_hashes must be a list of texts"},
        {REPO_E_INVALID, ",'uuid':'" NOBODY "','ja3_hashes':'a'", "ja3_hashes must be a list of texts"},
        {REPO_E_INVALID, ",'uuid':'" NOBODY "','ja3_hashes':{}", "ja3_hashes must be a list of texts"},
        {REPO_E_INVALID, ",'uuid':'" NOBODY "','kd_digraph_simhash':'0123'", "ck_identity_kd"},
        {REPO_E_INVALID, ",'uuid':'" NOBODY "','kd_digraph_simhash':'0123456789abcdeX'", "hexadecimal"},
        {REPO_E_INVALID, ",'uuid':'" NOBODY "','observation_count':-1", "observation_count must be"},
        {REPO_E_INVALID, ",'uuid':'" NOBODY "','created_at':null", "created_at must not be null"}};

    create(1, "");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(cases[i].outcome, cases[i].words, "create_attacker_identity", "{'row':{'uuid':'%s'%s}}", id(1),
               cases[i].more);
    refuse(REPO_E_INVALID, "key uuid is missing", "create_attacker_identity", "{'row':{}}");
    cr_expect_eq(call_int("count_identities", "{}"), 1);
}

Test(repo_identities, lists_and_counts)
{
    for (unsigned n = 1; n <= 5; n++) {
        char more[128];
        snprintf(more, sizeof(more), ",'updated_at':'2026-01-0%uT00:00:00Z','created_at':'2026-02-0%uT00:00:00Z'",
                 n == 3 ? 2 : n, 6 - n);
        create(n, more);
    }
    harness_sql("UPDATE attacker_identities SET merged_into_uuid = '%s' WHERE uuid = '%s'", id(1), id(4));
    cr_expect_eq(call_int("count_identities", "{}"), 4);
    cleanup(json_putp) json_object *list = call("list_identities", "{}");
    expect_uuids(list, (unsigned[]){5, 2, 3, 1}, 4);
    cleanup(json_putp) json_object *page = call("list_identities", "{'limit':2,'offset':1}");
    expect_uuids(page, (unsigned[]){2, 3}, 2);
    cleanup(json_putp) json_object *beyond = call("list_identities", "{'offset':99}");
    expect_uuids(beyond, NULL, 0);
    cleanup(json_putp) json_object *none = call("list_identities", "{'limit':0}");
    expect_uuids(none, NULL, 0);
    cleanup(json_putp) json_object *all = call("list_all_identities", "{}");
    expect_uuids(all, (unsigned[]){5, 4, 3, 2, 1}, 5);
    refuse(REPO_E_INVALID, "limit must be", "list_identities", "{'limit':-1}");
    refuse(REPO_E_INVALID, "limit must be", "list_identities", "{'limit':10001}");
    refuse(REPO_E_INVALID, "offset must be", "list_identities", "{'offset':-1}");
}

Test(repo_identities, attackers_of_an_identity)
{
    create(1, "");
    create(2, "");
    for (int i = 1; i <= 4; i++) {
        char ip[16];
        snprintf(ip, sizeof(ip), "10.0.0.%d", i);
        json_object_put(call("set_attacker_identity_id", "{'attacker_uuid':'%s','identity_uuid':'%s'}", attacker(ip),
                             id(i == 4 ? 2 : 1)));
    }
    harness_sql("UPDATE attackers SET last_seen = '2026-01-05' WHERE ip = '10.0.0.2'");
    merge(2, 1);
    cr_expect_eq(call_int("count_observations_for_identity", "{'identity_uuid':'%s'}", id(1)), 3,
                 "merges are not followed");
    cr_expect_eq(call_int("count_observations_for_identity", "{'identity_uuid':'nope'}"), 0);
    cleanup(json_putp) json_object *list = call("list_observations_for_identity", "{'identity_uuid':'%s'}", id(1));
    cr_assert_eq(json_object_array_length(list), 3);
    expect_key(nth(list, 0), "ip", "10.0.0.2");
    cr_expect_lt(strcmp(text_of(nth(list, 1), "uuid"), text_of(nth(list, 2), "uuid")), 0);
    cleanup(json_putp) json_object *page =
        call("list_observations_for_identity", "{'identity_uuid':'%s','limit':1,'offset':2}", id(1));
    cr_assert_eq(json_object_array_length(page), 1);
    cr_expect_str_eq(text_of(nth(page, 0), "uuid"), text_of(nth(list, 2), "uuid"));
    cleanup(json_putp) json_object *nobody = call("list_observations_for_identity", "{'identity_uuid':'nope'}");
    cr_expect_eq(json_object_array_length(nobody), 0);
}

Test(repo_identities, a_link_is_set_again_and_stolen)
{
    const char *a = attacker("10.0.0.1");

    create(1, "");
    create(2, "");
    cleanup(freep) char *before =
        harness_sql_text("SELECT updated_at::text || observation_count FROM attacker_identities"
                         " WHERE uuid = '%s'",
                         id(1));
    for (unsigned n = 1; n <= 2; n++)
        for (int again = 0; again < 2; again++) {
            json_object_put(call("set_attacker_identity_id", "{'attacker_uuid':'%s','identity_uuid':'%s'}", a, id(n)));
            cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE identity_id = '%s'", id(n)), 1);
        }
    cleanup(freep) char *after =
        harness_sql_text("SELECT updated_at::text || observation_count FROM attacker_identities"
                         " WHERE uuid = '%s'",
                         id(1));
    cr_expect_str_eq(before, after);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_dirty"), 3,
                 "the new one; then the old and the new one");
    json_object_put(call("set_attacker_identity_id", "{'attacker_uuid':'" NOBODY "','identity_uuid':'%s'}", id(1)));
    json_object_put(call("set_attacker_identity_id", "{'attacker_uuid':'nope','identity_uuid':'nope'}"));
    refuse(REPO_E_FK, "foreign key", "set_attacker_identity_id", "{'attacker_uuid':'%s','identity_uuid':'" NOBODY "'}",
           a);
    refuse(REPO_E_FK, "foreign key", "set_attacker_identity_id", "{'attacker_uuid':'%s','identity_uuid':'nope'}", a);
    refuse(REPO_E_INVALID, "identity_uuid must be text", "set_attacker_identity_id",
           "{'attacker_uuid':'%s','identity_uuid':null}", a);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE identity_id = '%s'", id(2)), 1);
}

Test(repo_identities, attackers_for_the_clusterer_oldest_first)
{
    for (int i = 1; i <= 3; i++)
        json_object_put(call("upsert_attacker",
                             "{'data':{'ip':'10.0.0.%d','first_seen':'2026-01-0%dT00:00:00Z','last_seen':"
                             "'2026-01-09T00:00:00Z','asn':%d,'fingerprints':[{'kind':'ja3'}]}}",
                             i, i == 1 ? 3 : 1, i));
    cleanup(json_putp) json_object *list = call("list_attackers_for_clustering", "{}");
    cr_assert_eq(json_object_array_length(list), 3);
    cr_expect_lt(strcmp(text_of(nth(list, 0), "uuid"), text_of(nth(list, 1), "uuid")), 0);
    expect_key(nth(list, 2), "asn", "1");
    expect_key(nth(list, 2), "identity_id", "null");
    expect_key(nth(list, 2), "fingerprints", "[ { \"kind\": \"ja3\" } ]");
    cr_expect_eq(json_object_object_length(nth(list, 2)), 4);
    cleanup(json_putp) json_object *two = call("list_attackers_for_clustering", "{'limit':2}");
    cr_expect_eq(json_object_array_length(two), 2);
    cleanup(json_putp) json_object *many = call("list_attackers_for_clustering", "{'limit':1000000}");
    cr_expect_eq(json_object_array_length(many), 3, "nothing bounds it when there is no limit either");
    refuse(REPO_E_INVALID, "limit must be", "list_attackers_for_clustering", "{'limit':-1}");
}

/* --- merges --- */

Test(repo_identities, readers_follow_a_merge_eight_rows_far)
{
    for (unsigned n = 1; n <= 10; n++)
        create(n, "");
    for (unsigned n = 1; n < 10; n++)
        merge(n, n + 1);
    for (unsigned n = 1; n <= 10; n++) {
        cleanup(json_putp) json_object *row = call("get_identity_by_uuid", "{'uuid':'%s'}", id(n));
        expect_key(row, "uuid", id(n + 7 < 10 ? n + 7 : 10));
    }
    cr_expect_null(call("get_identity_by_uuid", "{'uuid':'" NOBODY "'}"));
    cr_expect_null(call("get_identity_by_uuid", "{'uuid':'nope'}"));
    /* a ring that somebody else has made */
    harness_sql("UPDATE attacker_identities SET merged_into_uuid = '%s' WHERE uuid = '%s'", id(8), id(10));
    cleanup(json_putp) json_object *row = call("get_identity_by_uuid", "{'uuid':'%s'}", id(8));
    expect_key(row, "uuid", id(9)); /* 8 9 10 8 9 10 8 9 */
    refuse(REPO_E_INVALID, "merged into itself", "update_identity_merged_into",
           "{'identity_uuid':'%s','winner_uuid':'%s'}", id(9), id(8));
}

Test(repo_identities, a_merge_is_made_and_taken_back)
{
    create(1, ",'updated_at':'2026-01-01T00:00:00Z'");
    create(2, "");
    merge(1, 2);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities WHERE merged_into_uuid = '%s'"
                                 " AND updated_at > '2026-01-02'",
                                 id(2)),
                 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_dirty"), 2);
    merge(1, 2);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_dirty"), 2, "nothing has changed");
    json_object_put(call("update_identity_merged_into", "{'identity_uuid':'%s','winner_uuid':null}", id(1)));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities WHERE merged_into_uuid IS NULL"), 2);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_dirty"), 4);
    json_object_put(call("update_identity_merged_into", "{'identity_uuid':'" NOBODY "','winner_uuid':'%s'}", id(1)));
    json_object_put(call("update_identity_merged_into", "{'identity_uuid':'nope','winner_uuid':'nope'}"));
    refuse(REPO_E_FK, "foreign key", "update_identity_merged_into", "{'identity_uuid':'%s','winner_uuid':'" NOBODY "'}",
           id(1));
    refuse(REPO_E_FK, "foreign key", "update_identity_merged_into", "{'identity_uuid':'%s','winner_uuid':'nope'}",
           id(1));
    refuse(REPO_E_INVALID, "winner_uuid is missing", "update_identity_merged_into", "{'identity_uuid':'%s'}", id(1));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities WHERE merged_into_uuid IS NULL"), 2);
}

Test(repo_identities, circles_are_refused)
{
    for (unsigned n = 1; n <= 12; n++)
        create(n, "");
    for (unsigned n = 1; n < 12; n++)
        merge(n, n + 1);
    refuse(REPO_E_INVALID, "cannot be merged into itself", "update_identity_merged_into",
           "{'identity_uuid':'%s','winner_uuid':'1D000000000040008000000000000001'}", id(1));
    for (unsigned n = 1; n < 12; n++) /* also beyond what readers follow */
        refuse(REPO_E_INVALID, "the winner is merged into it already", "update_identity_merged_into",
               "{'identity_uuid':'%s','winner_uuid':'%s'}", id(12), id(n));
    merge(3, 12); /* another way to the same end is none */
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities WHERE merged_into_uuid IS NULL"), 1);
}

/* Everybody merges everything into everything. */
static void merge_all(Repo *own, int index, void *arg)
{
    enum { IDENTITIES = 12 };

    (void)arg;
    for (unsigned i = 0; i < 80; i++) {
        cleanup(buf_free) Buf text = {0}, result = {0};
        unsigned loser = (i * 7 + (unsigned)index * 5) % IDENTITIES + 1,
                 winner = (i * 5 + (unsigned)index * 3 + 1) % IDENTITIES + 1;
        if (i % 9 == 8)
            buf_printf(&text, "{\"identity_uuid\":\"%s\",\"winner_uuid\":null}",
                       "1d000000-0000-4000-8000-000000000001");
        else
            buf_printf(&text,
                       "{\"identity_uuid\":\"1d000000-0000-4000-8000-%012u\",\"winner_uuid\":"
                       "\"1d000000-0000-4000-8000-%012u\"}",
                       loser, winner);
        cleanup(json_putp) json_object *params = json_parse(buf_str(&text));
        int r = repo_call(own, "update_identity_merged_into", params, &result);
        cr_expect(r == 0 || r == REPO_E_INVALID, "%s", repo_error_text(own));
    }
}

Test(repo_identities, eight_mergers_never_close_a_circle)
{
    for (unsigned n = 1; n <= 12; n++)
        create(n, "");
    hammer_all(merge_all, NULL);
    cr_expect_gt(harness_sql_int("SELECT count(*) FROM attacker_identities WHERE merged_into_uuid IS NOT NULL"), 0);
    cr_expect_eq(
        harness_sql_int("WITH RECURSIVE c AS (SELECT uuid, merged_into_uuid AS next, 0 AS n FROM attacker_identities"
                        " UNION ALL SELECT c.uuid, t.merged_into_uuid, c.n + 1 FROM c JOIN attacker_identities t"
                        " ON t.uuid = c.next WHERE c.n < 13) SELECT count(*) FROM c WHERE n = 13"),
        0);
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}

/* One row under all hands: half of them change it, half make rows that point to it, which holds it. */
enum { ROUNDS = 200 };

static void change_or_hold_attacker(Repo *own, int index, void *arg)
{
    for (int i = 0; i < ROUNDS; i++)
        json_object_put(index % 2 ? call_on(own, "increment_smtp_target",
                                            "{'attacker_uuid':'%s','domain':'d%d-%d.test'}", (char *)arg, i, index)
                                  : call_on(own, "set_attacker_identity_id",
                                            "{'attacker_uuid':'%s','identity_uuid':'1d000000-0000-4000-8000-%012d'}",
                                            (char *)arg, (i + index / 2) % 3 + 1));
}

static void change_or_hold_identity(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++)
        json_object_put(index % 2 ? call_on(own, "create_attacker_identity",
                                            "{'row':{'uuid':'1d000000-0000-4000-8000-%06d%06d','merged_into_uuid':"
                                            "'1d000000-0000-4000-8000-000000000001'}}",
                                            index, i)
                                  : call_on(own, "update_identity_merged_into",
                                            "{'identity_uuid':'1d000000-0000-4000-8000-000000000001',"
                                            "'winner_uuid':null}"));
}

Test(repo_identities, changing_a_row_that_others_point_to_never_deadlocks)
{
    char a[UUID_TEXT_BYTES];

    for (unsigned n = 1; n <= 3; n++)
        create(n, "");
    snprintf(a, sizeof(a), "%s", attacker("198.51.100.1"));
    hammer_all(change_or_hold_attacker, a);
    hammer_all(change_or_hold_identity, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM smtp_targets"), HAMMERS / 2 * ROUNDS);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities"), HAMMERS / 2 * ROUNDS + 3);
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}

/* --- fingerprints --- */

Test(repo_identities, fingerprints_are_overwritten_as_a_whole)
{
    create(1, ",'ja3_hashes':['old'],'hassh_hashes':['old'],'tls_cert_sha256':['old'],'ja4h_hashes':['kept'],"
              "'updated_at':'2026-01-01T00:00:00Z'");
    json_object_put(call("update_identity_fingerprints",
                         "{'identity_uuid':'%s','ja3_hashes':'[\\'a\\',\\'b\\']','hassh_hashes':['c\\u0000']}", id(1)));
    cleanup(json_putp) json_object *row = call("get_identity_by_uuid", "{'uuid':'%s'}", id(1));
    expect_key(row, "ja3_hashes", "[ \"a\", \"b\" ]");
    expect_key(row, "hassh_hashes", "[ \"c\xef\xbf\xbd\" ]");
    expect_key(row, "tls_cert_sha256", "null");
    expect_key(row, "ja4h_hashes", "[ \"kept\" ]");
    cr_expect_str_gt(text_of(row, "updated_at"), "2026-01-02");
    json_object_put(call("update_identity_fingerprints", "{'identity_uuid':'%s','ja3_hashes':'null'}", id(1)));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities WHERE ja3_hashes IS NULL"
                                 " AND hassh_hashes IS NULL AND tls_cert_sha256 IS NULL"),
                 1);
    static const char *const bad[] = {"'x'", "['a',1]", "{}", "5", "'{}'", "'[1]'", "true"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        refuse(REPO_E_INVALID, "hassh_hashes must be a list of texts", "update_identity_fingerprints",
               "{'identity_uuid':'%s','hassh_hashes':%s}", id(1), bad[i]);
    json_object_put(call("update_identity_fingerprints", "{'identity_uuid':'nope'}"));
    json_object_put(call("update_identity_fingerprints", "{'identity_uuid':'" NOBODY "','ja3_hashes':[]}"));
}
