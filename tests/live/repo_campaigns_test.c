/* Campaigns: rows, lists, identities that belong to them, merges. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_campaigns, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define NOBODY "00000000-0000-4000-8000-0000000000ff"

/* Id of campaign @n, made or not. */
static const char *id(unsigned n)
{
    static _Thread_local char out[8][UUID_TEXT_BYTES];
    static _Thread_local unsigned turn;
    char *to = out[turn++ % 8];
    snprintf(to, UUID_TEXT_BYTES, "ca000000-0000-4000-8000-%012u", n);
    return to;
}

static void create(unsigned n, const char *more)
{
    cleanup(json_putp) json_object *uuid = call("create_campaign", "{'row':{'uuid':'%s'%s}}", id(n), more);
    cr_expect_str_eq(json_object_get_string(uuid), id(n));
}

static void merge(unsigned loser, unsigned winner)
{
    json_object_put(
        call("update_campaign_merged_into", "{'campaign_uuid':'%s','winner_uuid':'%s'}", id(loser), id(winner)));
}

static void expect_uuids(json_object *list, const char *const *want, size_t n)
{
    cr_assert_eq(json_object_array_length(list), n, "%zu", json_object_array_length(list));
    for (size_t i = 0; i < n; i++)
        expect_key(nth(list, i), "uuid", want[i]);
}

Test(repo_campaigns, a_new_campaign_has_what_is_given_and_defaults)
{
    create(1, "");
    cleanup(json_putp) json_object *bare = call("get_campaign_by_uuid", "{'uuid':'%s'}", id(1));
    cr_expect_eq(json_object_object_length(bare), 15);
    expect_key(bare, "schema_version", "1");
    expect_key(bare, "identity_count", "0");
    expect_key(bare, "confidence", "null");
    expect_key(bare, "c2_endpoints", "null");
    cr_expect_str_eq(text_of(bare, "created_at"), text_of(bare, "updated_at"));
    create(
        2,
        ",'schema_version':2,'first_seen_at':'2026-01-01T00:00:00Z','last_seen_at':'2026-01-02T00:00:00Z','created_at':'2026-01-03T00:00:00Z',"
        "'updated_at':'2026-01-04T00:00:00Z','confidence':0.5,'identity_count':3,'ja3_hashes':['a'],'hassh_hashes':'[]',"
        "'tls_cert_sha256':['b'],'payload_simhashes':['00ff'],'c2_endpoints':['c'],'notes':'n','nonsense':[]");
    cleanup(json_putp) json_object *row = call("get_campaign_by_uuid", "{'uuid':'%s'}", id(2));
    expect_key(row, "schema_version", "2");
    expect_key(row, "last_seen_at", "2026-01-02T00:00:00.000000Z");
    expect_key(row, "confidence", "0.5");
    expect_key(row, "identity_count", "3");
    expect_key(row, "hassh_hashes", "[ ]");
    expect_key(row, "payload_simhashes", "[ \"00ff\" ]");
    expect_key(row, "notes", "n");
    refuse(REPO_E_CONFLICT, "duplicate key", "create_campaign", "{'row':{'uuid':'%s'}}", id(2));
    refuse(REPO_E_INVALID, "key uuid is missing", "create_campaign", "{'row':{}}");
    refuse(REPO_E_INVALID, "uuid must be a uuid", "create_campaign", "{'row':{'uuid':'x'}}");
    refuse(REPO_E_INVALID, "must not be the row's own", "create_campaign",
           "{'row':{'uuid':'" NOBODY "','merged_into_uuid':'" NOBODY "'}}");
    refuse(REPO_E_INVALID, "c2_endpoints must be a list of texts", "create_campaign",
           "{'row':{'uuid':'" NOBODY "','c2_endpoints':'c'}}");
    refuse(REPO_E_FK, "foreign key", "create_campaign", "{'row':{'uuid':'%s','merged_into_uuid':'" NOBODY "'}}", id(3));
    cr_expect_eq(call_int("count_campaigns", "{}"), 2);
}

Test(repo_campaigns, lists_and_counts)
{
    for (unsigned n = 1; n <= 4; n++) {
        char more[128];
        snprintf(more, sizeof(more), ",'updated_at':'2026-01-0%uT00:00:00Z','created_at':'2026-02-0%uT00:00:00Z'",
                 n == 3 ? 2 : n, n == 2 ? 1 : 5 - n);
        create(n, more);
    }
    harness_sql("UPDATE campaigns SET merged_into_uuid = '%s' WHERE uuid = '%s'", id(2), id(1));
    cr_expect_eq(call_int("count_campaigns", "{}"), 3);
    cleanup(json_putp) json_object *list = call("list_campaigns", "{}");
    expect_uuids(list, (const char *[]){id(4), id(2), id(3)}, 3);
    cleanup(json_putp) json_object *page = call("list_campaigns", "{'limit':1,'offset':2}");
    expect_uuids(page, (const char *[]){id(3)}, 1);
    cleanup(json_putp) json_object *beyond = call("list_campaigns", "{'offset':9}");
    expect_uuids(beyond, NULL, 0);
    cleanup(json_putp) json_object *all = call("list_all_campaigns", "{}");
    expect_uuids(all, (const char *[]){id(2), id(4), id(3), id(1)}, 4);
    refuse(REPO_E_INVALID, "limit must be", "list_campaigns", "{'limit':-1}");
}

Test(repo_campaigns, identities_of_a_campaign)
{
    const char *x = identity(1), *y = identity(2), *z = identity(3);

    create(1, "");
    create(2, "");
    harness_sql("UPDATE attacker_identities SET updated_at = '2026-01-01', merged_into_uuid = '%s' WHERE uuid = '%s'",
                y, x);
    for (int again = 0; again < 2; again++)
        json_object_put(call("set_identity_campaign_id", "{'identity_uuid':'%s','campaign_uuid':'%s'}", x, id(1)));
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM attacker_identities WHERE uuid = '%s' AND updated_at > '2026-01-02'", x),
        1);
    json_object_put(call("set_identity_campaign_id", "{'identity_uuid':'%s','campaign_uuid':'%s'}", y, id(1)));
    json_object_put(call("set_identity_campaign_id", "{'identity_uuid':'%s','campaign_uuid':'%s'}", z, id(2)));
    harness_sql("UPDATE attacker_identities SET updated_at = '2026-01-05'");
    cleanup(json_putp) json_object *list = call("list_identities_for_campaign", "{'campaign_uuid':'%s'}", id(1));
    expect_uuids(list, (const char *[]){x, y}, 2); /* merged out or not */
    cr_expect_eq(json_object_object_length(nth(list, 0)), 20);
    cleanup(json_putp) json_object *page =
        call("list_identities_for_campaign", "{'campaign_uuid':'%s','limit':1,'offset':1}", id(1));
    expect_uuids(page, (const char *[]){y}, 1);
    cr_expect_eq(call_int("count_identities_for_campaign", "{'campaign_uuid':'%s'}", id(1)), 2);
    cr_expect_eq(call_int("count_identities_for_campaign", "{'campaign_uuid':'nope'}"), 0);
    cr_expect_eq(harness_sql_int("SELECT max(identity_count) FROM campaigns"), 0, "not maintained here");
    json_object_put(call("set_identity_campaign_id", "{'identity_uuid':'%s','campaign_uuid':null}", y));
    cr_expect_eq(call_int("count_identities_for_campaign", "{'campaign_uuid':'%s'}", id(1)), 1);
    json_object_put(call("set_identity_campaign_id", "{'identity_uuid':'nope','campaign_uuid':'%s'}", id(1)));
    json_object_put(call("set_identity_campaign_id", "{'identity_uuid':'" NOBODY "','campaign_uuid':'%s'}", id(1)));
    refuse(REPO_E_FK, "foreign key", "set_identity_campaign_id", "{'identity_uuid':'%s','campaign_uuid':'" NOBODY "'}",
           x);
    refuse(REPO_E_FK, "foreign key", "set_identity_campaign_id", "{'identity_uuid':'%s','campaign_uuid':'nope'}", x);
    refuse(REPO_E_INVALID, "campaign_uuid is missing", "set_identity_campaign_id", "{'identity_uuid':'%s'}", x);
    cr_expect_eq(call_int("count_identities_for_campaign", "{'campaign_uuid':'%s'}", id(1)), 1);
}

Test(repo_campaigns, identities_for_the_clusterer_oldest_first)
{
    char x[3][UUID_TEXT_BYTES];

    for (unsigned i = 0; i < 3; i++)
        snprintf(x[i], sizeof(x[i]), "%s", identity(i + 1));
    harness_sql(
        "UPDATE attacker_identities SET created_at = CASE WHEN uuid = '%s' THEN '2026-01-02'::timestamptz ELSE"
        " '2026-01-03' END, ja3_hashes = '[\"a\"]', first_seen_at = '2026-01-01'; UPDATE attacker_identities SET"
        " merged_into_uuid = '%s' WHERE uuid = '%s'",
        x[2], x[0], x[1]);
    cleanup(json_putp) json_object *list = call("list_identities_for_clustering", "{}");
    expect_uuids(list, (const char *[]){x[2], x[0], x[1]}, 3);
    cr_expect_eq(json_object_object_length(nth(list, 0)), 9);
    expect_key(nth(list, 2), "merged_into_uuid", x[0]);
    expect_key(nth(list, 0), "ja3_hashes", "[ \"a\" ]");
    expect_key(nth(list, 0), "first_seen_at", "2026-01-01T00:00:00.000000Z");
    expect_key(nth(list, 0), "last_seen_at", "null");
    expect_key(nth(list, 0), "c2_endpoints", "null");
    cleanup(json_putp) json_object *one = call("list_identities_for_clustering", "{'limit':1}");
    expect_uuids(one, (const char *[]){x[2]}, 1);
}

Test(repo_campaigns, merges_are_followed_taken_back_and_never_closed_to_a_circle)
{
    for (unsigned n = 1; n <= 9; n++)
        create(n, "");
    for (unsigned n = 1; n < 9; n++)
        merge(n, n + 1);
    cleanup(json_putp) json_object *first = call("get_campaign_by_uuid", "{'uuid':'%s'}", id(1));
    expect_key(first, "uuid", id(8));
    cleanup(json_putp) json_object *second = call("get_campaign_by_uuid", "{'uuid':'%s'}", id(2));
    expect_key(second, "uuid", id(9));
    cr_expect_null(call("get_campaign_by_uuid", "{'uuid':'nope'}"));
    refuse(REPO_E_INVALID, "the winner is merged into it already", "update_campaign_merged_into",
           "{'campaign_uuid':'%s','winner_uuid':'%s'}", id(9), id(1));
    refuse(REPO_E_INVALID, "a campaign cannot be merged into itself", "update_campaign_merged_into",
           "{'campaign_uuid':'%s','winner_uuid':'%s'}", id(9), id(9));
    refuse(REPO_E_FK, "foreign key", "update_campaign_merged_into", "{'campaign_uuid':'%s','winner_uuid':'nope'}",
           id(9));
    json_object_put(call("update_campaign_merged_into", "{'campaign_uuid':'nope','winner_uuid':'%s'}", id(9)));
    json_object_put(call("update_campaign_merged_into", "{'campaign_uuid':'%s','winner_uuid':null}", id(2)));
    cleanup(json_putp) json_object *back = call("get_campaign_by_uuid", "{'uuid':'%s'}", id(1));
    expect_key(back, "uuid", id(2));
    merge(9, 1);
    cr_expect_eq(call_int("count_campaigns", "{}"), 1);
}
