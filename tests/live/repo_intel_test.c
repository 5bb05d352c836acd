/* What others say of attackers, in batches, and who is due to be asked about. */
#include "repo/intel.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_intel, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define SECOND INT64_C(1000000)
#define T0 INT64_C(1767225600000000) /* 2026-01-01 */
#define GREYNOISE (ROW_BIT(6) | ROW_BIT(8) | ROW_BIT(10))
#define ABUSEIPDB (ROW_BIT(11) | ROW_BIT(12))
#define FEODO ROW_BIT(15)
#define VERDICT ROW_BIT(25)
#define EVERYTHING UINT64_MAX

static Uuid id_of(const char *ip)
{
    Uuid uuid;
    cr_assert(uuid_parse_text(str_from(attacker(ip)), &uuid));
    return uuid;
}

static IntelRow answer(const Uuid *attacker_uuid, const char *ip)
{
    return (IntelRow){.attacker_uuid = *attacker_uuid,
                      .attacker_ip = str_from(ip),
                      .expires_at = T0,
                      .schema_version = 2,
                      .greynoise_classification = STR("malicious"),
                      .greynoise_name = STR("scanner"),
                      .greynoise_tags = STR("[\"tor\"]"),
                      .greynoise_raw = STR("{\"a\": 1}"),
                      .greynoise_queried_at = T0 + SECOND,
                      .abuseipdb_score = 97,
                      .abuseipdb_categories = STR("[18, 22]"),
                      .abuseipdb_raw = STR("{\"b\": 2}"),
                      .abuseipdb_queried_at = T0 + 2 * SECOND,
                      .feodo_listed = TRI_YES,
                      .feodo_malware_family = STR("x"),
                      .feodo_raw = STR("{\"c\": 3}"),
                      .feodo_queried_at = T0 + 3 * SECOND,
                      .threatfox_listed = TRI_NO,
                      .threatfox_threat_types = STR("[\"payload\"]"),
                      .threatfox_ioc_types = STR("[\"ip:port\"]"),
                      .threatfox_malware_families = STR("[\"y\"]"),
                      .threatfox_raw = STR("{\"d\": 4}"),
                      .threatfox_queried_at = T0 + 4 * SECOND,
                      .aggregate_verdict = STR("suspicious"),
                      .cached_at = T0 + 5 * SECOND};
}

static void upsert(const IntelRow *rows, size_t n, uint64_t given, Uuid *uuids)
{
    cr_assert_eq(intel_upsert(repo, rows, n, given, uuids), 0, "%s", repo_error_text(repo));
}

Test(repo_intel, every_column_arrives)
{
    Uuid a = id_of("198.51.100.1"), uuid;
    IntelRow row = answer(&a, "198.51.100.1");

    upsert(&row, 1, EVERYTHING, &uuid);
    cleanup(freep) char *stored =
        harness_sql_text("SELECT (to_jsonb(i) - 'uuid' - 'attacker_uuid')::text FROM attacker_intel i");
    cr_expect_str_eq(
        stored, "{\"cached_at\": \"2026-01-01T00:00:05+00:00\", \"feodo_raw\": {\"c\": 3}, \"expires_at\":"
                " \"2026-01-01T00:00:00+00:00\", \"attacker_ip\": \"198.51.100.1\", \"feodo_listed\": true,"
                " \"abuseipdb_raw\": {\"b\": 2}, \"greynoise_raw\": {\"a\": 1}, \"threatfox_raw\": {\"d\": 4},"
                " \"greynoise_name\": \"scanner\", \"greynoise_tags\": [\"tor\"], \"schema_version\": 2,"
                " \"abuseipdb_score\": 97, \"feodo_queried_at\": \"2026-01-01T00:00:03+00:00\", \"threatfox_listed\":"
                " false, \"aggregate_verdict\": \"suspicious\", \"threatfox_ioc_types\": [\"ip:port\"],"
                " \"abuseipdb_categories\": [18, 22], \"abuseipdb_queried_at\": \"2026-01-01T00:00:02+00:00\","
                " \"feodo_malware_family\": \"x\", \"greynoise_queried_at\": \"2026-01-01T00:00:01+00:00\","
                " \"threatfox_queried_at\": \"2026-01-01T00:00:04+00:00\", \"threatfox_threat_types\": [\"payload\"],"
                " \"greynoise_classification\": \"malicious\", \"threatfox_malware_families\": [\"y\"]}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_intel WHERE attacker_uuid IN (SELECT uuid FROM"
                                 " attackers)"),
                 1);
}

Test(repo_intel, a_provider_that_did_not_answer_keeps_its_columns)
{
    Uuid a = id_of("198.51.100.1"), b = id_of("198.51.100.2"), first[2], second[3];
    IntelRow rows[] = {answer(&b, "198.51.100.2"), answer(&a, "198.51.100.1"), answer(&b, "198.51.100.22")};

    upsert(rows, 2, EVERYTHING, first);
    for (size_t i = 0; i < 3; i++) {
        rows[i].expires_at = T0 + 9 * SECOND;
        rows[i].greynoise_classification = (Str){0};
        rows[i].abuseipdb_score = NUMBER_NONE;
        rows[i].feodo_listed = TRI_UNKNOWN;
        rows[i].aggregate_verdict = (Str){0};
    }
    upsert(rows, 3, ABUSEIPDB | VERDICT | FEODO, second);
    cr_expect(uuid_cmp(&first[0], &second[0]) == 0 && uuid_cmp(&first[1], &second[1]) == 0);
    cr_expect_eq(uuid_cmp(&second[0], &second[2]), 0, "one attacker, one row");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_intel WHERE greynoise_classification = 'malicious'"
                                 " AND abuseipdb_score IS NULL AND abuseipdb_categories = '[18,22]' AND feodo_listed"
                                 " IS NULL AND aggregate_verdict IS NULL AND expires_at = '2026-01-01T00:00:09Z'"),
                 2);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_intel WHERE attacker_ip = '198.51.100.22'"), 1,
                 "of equal ones the last");

    Uuid c = id_of("198.51.100.3");
    IntelRow fresh = answer(&c, "198.51.100.3");
    upsert(&fresh, 1, 0, first);
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM attacker_intel WHERE attacker_ip = '198.51.100.3' AND"
                        " schema_version = 1 AND greynoise_tags = '[]' AND feodo_raw = '{}' AND abuseipdb_score"
                        " IS NULL AND cached_at > now() - interval '1 minute'"),
        1);
    cr_expect_eq(intel_upsert(repo, NULL, 0, EVERYTHING, NULL), 0);
}

Test(repo_intel, an_answer_that_says_what_is_stored_is_not_written)
{
    Uuid a = id_of("198.51.100.1"), b = id_of("198.51.100.2"), first[2], again[2];
    IntelRow rows[] = {answer(&a, "198.51.100.1"), answer(&b, "198.51.100.2")};

    upsert(rows, 2, EVERYTHING, first);
    cleanup(freep) char *before = harness_sql_text("SELECT string_agg(ctid::text, ' ' ORDER BY attacker_ip) FROM"
                                                   " attacker_intel");
    upsert(rows, 2, EVERYTHING, again);
    cleanup(freep) char *after = harness_sql_text("SELECT string_agg(ctid::text, ' ' ORDER BY attacker_ip) FROM"
                                                  " attacker_intel");
    cr_expect_str_eq(after, before);
    cr_expect(uuid_cmp(&first[0], &again[0]) == 0 && uuid_cmp(&first[1], &again[1]) == 0);
    rows[1].greynoise_tags = STR("[]");
    upsert(rows, 2, GREYNOISE, again);
    cleanup(freep) char *changed = harness_sql_text("SELECT string_agg(ctid::text, ' ' ORDER BY attacker_ip) FROM"
                                                    " attacker_intel");
    cr_expect_str_neq(changed, before);
    cr_expect(uuid_cmp(&first[0], &again[0]) == 0 && uuid_cmp(&first[1], &again[1]) == 0);
}

Test(repo_intel, one_bad_answer_fails_its_batch)
{
    Uuid a = id_of("198.51.100.1"), b = id_of("198.51.100.2"), nobody = {{1}}, uuids[2];
    IntelRow rows[] = {answer(&a, "198.51.100.1"), answer(&nobody, "198.51.100.9")};

    cr_expect_eq(intel_upsert(repo, rows, 2, EVERYTHING, uuids), REPO_E_FK);
    rows[1] = answer(&b, "198.51.100.2");
    rows[1].expires_at = TIME_NONE;
    cr_expect_eq(intel_upsert(repo, rows, 2, EVERYTHING, uuids), REPO_E_REJECTED);
    rows[1] = answer(&b, "198.51.100.2");
    rows[1].feodo_raw = STR("no json");
    cr_expect_eq(intel_upsert(repo, rows, 2, EVERYTHING, uuids), REPO_E_REJECTED);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_intel"), 0);
}

/* --- several writers --- */

enum { BATCH = 100, BATCHES = 10 };

static void write_batches(Repo *own, int index, void *arg)
{
    const Uuid *attackers = arg;
    IntelRow rows[BATCH];
    Uuid uuids[BATCH];

    for (int round = 0; round < BATCHES; round++) {
        for (int i = 0; i < BATCH; i++) { /* every writer in an order of its own, and only its provider's columns */
            rows[i] = answer(&attackers[(i * 7 + index * 31 + round) % BATCH], "198.51.100.1");
            rows[i].expires_at = T0 + (index * BATCHES + round) * SECOND;
            rows[i].abuseipdb_score = round;
        }
        cr_assert_eq(repo_begin(own), 0);
        cr_assert_eq(intel_upsert(own, rows, BATCH, index % 2 ? ABUSEIPDB : GREYNOISE, uuids), 0, "%s",
                     repo_error_text(own));
        cr_assert_eq(repo_commit(own), 0);
    }
}

Test(repo_intel, concurrent_batches_keep_each_others_columns)
{
    Uuid attackers[BATCH];

    for (int i = 0; i < BATCH; i++) {
        char ip[IP_TEXT_BYTES];
        snprintf(ip, sizeof(ip), "198.51.100.%d", i);
        attackers[i] = id_of(ip);
    }
    hammer_all(write_batches, attackers);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_intel WHERE greynoise_classification = 'malicious' AND"
                                 " abuseipdb_score IS NOT NULL AND feodo_listed IS NULL"),
                 BATCH);
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}

static void upsert_by_name(Repo *own, int index, void *arg)
{
    for (int i = 0; i < 25; i++)
        json_object_put(call_on(own, "upsert_attacker_intel",
                                "{'data':{'attacker_uuid':'%s','attacker_ip':'x','expires_at':'2026-01-01T00:00:00Z',"
                                "'%s':%d}}",
                                (const char *)arg, index % 2 ? "abuseipdb_score" : "schema_version", i));
}

Test(repo_intel, concurrent_calls_are_one_row)
{
    char a[UUID_TEXT_BYTES];

    snprintf(a, sizeof(a), "%s", attacker("198.51.100.1"));
    hammer_all(upsert_by_name, a);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_intel"), 1);
    cr_expect_eq(harness_sql_int("SELECT abuseipdb_score + schema_version FROM attacker_intel"), 48);
}

/* --- who is due --- */

static void expect_due(const char *params, size_t n, const char *const *ips)
{
    cleanup(json_putp) json_object *list = call("get_unenriched_attackers", "%s", params);
    cr_expect_eq(json_object_array_length(list), n, "%s: %zu", params, json_object_array_length(list));
    for (size_t i = 0; i < n && i < json_object_array_length(list); i++) {
        expect_key(nth(list, i), "ip", ips[i]);
        cr_expect_eq(json_object_object_length(nth(list, i)), 2);
        cr_expect_eq(strlen(text_of(nth(list, i), "uuid")), 36);
    }
}

Test(repo_intel, who_was_never_asked_about_or_long_ago_is_due)
{
    static const char *const ips[] = {"198.51.100.1", "198.51.100.2", "198.51.100.3", "198.51.100.4"};

    for (size_t i = 0; i < ARRAY_SIZE(ips); i++)
        attacker(ips[i]);
    harness_sql("UPDATE attackers SET last_seen = last_seen + right(ip, 1)::int %% 2 * interval '1 hour'");
    harness_sql("INSERT INTO attacker_intel (attacker_uuid, attacker_ip, expires_at)"
                " SELECT uuid, ip, decnet_now() + CASE ip WHEN '198.51.100.2' THEN interval '1 hour'"
                "  ELSE interval '-1 second' END FROM attackers WHERE ip IN ('198.51.100.2', '198.51.100.3')");
    cleanup(freep) char *ids =
        harness_sql_text("SELECT string_agg(ip, ' ' ORDER BY last_seen DESC, uuid) FROM attackers"
                         " WHERE ip <> '198.51.100.2'");
    static _Thread_local char split[3][32];
    cr_assert_eq(sscanf(ids, "%31s %31s %31s", split[0], split[1], split[2]), 3);
    const char *const want[] = {split[0], split[1], split[2]};
    expect_due("{}", 3, want);
    expect_due("{'limit':2}", 2, want);
    expect_due("{'limit':0}", 0, want);
    harness_pg_clock(2 * 3600);
    cleanup(json_putp) json_object *all = call("get_unenriched_attackers", "{}");
    cr_expect_eq(json_object_array_length(all), 4, "all have expired now");
    refuse(REPO_E_INVALID, "limit must be", "get_unenriched_attackers", "{'limit':-1}");
    refuse(REPO_E_INVALID, "limit must be", "get_unenriched_attackers", "{'limit':null}");
}
