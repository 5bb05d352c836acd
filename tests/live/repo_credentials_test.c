/* Credentials: lists, attempts of one secret, and their reuse. */
#include "repo_support.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo/captures.h"

TestSuite(repo_credentials, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

/* One attempt; @principal as JSON. Its id. */
static int64_t attempt(const char *ip, const char *decky, const char *service, const char *secret,
                       const char *principal)
{
    return call_int("upsert_credential",
                    "{'data':{'attacker_ip':'%s','decky_name':'%s','service':'%s','secret_sha256':'%s','principal':%s,"
                    "'secret_printable':'pw of %s','secret_b64':'cHc='}}",
                    ip, decky, service, secret, principal, secret);
}

static void expect_ids(json_object *list, size_t n, const int64_t *ids)
{
    cr_expect_eq(json_object_array_length(list), n, "%zu rows", json_object_array_length(list));
    for (size_t i = 0; i < n && i < json_object_array_length(list); i++)
        cr_expect_eq(json_object_get_int64(json_member(nth(list, i), "id")), ids[i], "row %zu is %s", i,
                     text_of(nth(list, i), "id"));
}

/* --- lists --- */

Test(repo_credentials, lists_filter_order_and_page)
{
    int64_t a = attempt("198.51.100.1", "web_1", "ssh", "aa", "'root'"),
            b = attempt("198.51.100.1", "webx1", "ftp", "aa", "null"),
            c = attempt("2001:db8::5", "web_1", "ssh", "bb", "'100%'"),
            d = attempt("2001:db8::5", "web_1", "telnet", "bb", "'\\u00c4rger'");
    const struct {
        const char *filter;
        size_t n;
        int64_t ids[4];
    } cases[] = {
        {"", 4, {d, c, b, a}},
        {"'search':null,'service':null,'attacker_ip':null", 4, {d, c, b, a}},
        {"'search':'','service':'','attacker_ip':''", 4, {d, c, b, a}},
        {"'search':'WEB_1'", 3, {d, c, a}},
        {"'search':'0%'", 1, {c}},
        {"'search':'\\u00e4RGER'", 1, {d}},
        {"'search':'pw of AA'", 2, {b, a}},
        {"'search':'tel'", 1, {d}},
        {"'search':'\\\\'", 0, {0}},
        {"'service':'ssh'", 2, {c, a}},
        {"'service':'SSH'", 0, {0}},
        {"'attacker_ip':'198.51.100.1'", 2, {b, a}},
        {"'attacker_ip':'::ffff:198.51.100.1'", 2, {b, a}},
        {"'attacker_ip':'2001:DB8:0::5','service':'ssh','search':'00'", 1, {c}},
        {"'attacker_ip':'198.51.100'", 0, {0}},
        {"'attacker_ip':'no address'", 0, {0}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(json_putp) json_object *list = call("get_credentials", "{%s}", cases[i].filter);
        expect_ids(list, cases[i].n, cases[i].ids);
        cr_expect_eq((size_t)call_int("get_total_credentials", "{%s}", cases[i].filter), cases[i].n, "%s",
                     cases[i].filter);
    }
    cleanup(json_putp) json_object *page = call("get_credentials", "{'limit':2,'offset':1}");
    expect_ids(page, 2, (int64_t[]){c, b});
    cleanup(json_putp) json_object *beyond = call("get_credentials", "{'limit':2,'offset':4}");
    expect_ids(beyond, 0, NULL);
    cleanup(json_putp) json_object *none = call("get_credentials", "{'limit':0,'attacker_ip':'198.51.100.1'}");
    expect_ids(none, 0, NULL);
    refuse(REPO_E_INVALID, "limit must be", "get_credentials", "{'limit':-1}");
    refuse(REPO_E_INVALID, "offset must be", "get_credentials", "{'offset':-1}");
    refuse(REPO_E_INVALID, "search must be text", "get_credentials", "{'search':5}");
    refuse(REPO_E_INVALID, "attacker_ip must be text", "get_total_credentials", "{'attacker_ip':[]}");
}

Test(repo_credentials, equal_times_are_ordered_by_id)
{
    int64_t ids[5];

    for (int i = 0; i < 5; i++) {
        char decky[8];
        snprintf(decky, sizeof(decky), "d%d", i);
        ids[4 - i] = attempt("198.51.100.1", decky, "ssh", "aa", "null");
    }
    harness_sql("UPDATE credentials SET last_seen = '2026-01-01'");
    cleanup(json_putp) json_object *list = call("get_credentials", "{}");
    expect_ids(list, 5, ids);
    cleanup(json_putp) json_object *of_one = call("get_credentials_for_attacker", "{'attacker_ip':'198.51.100.1'}");
    expect_ids(of_one, 5, ids);
    cleanup(json_putp) json_object *of_secret = call("get_credential_attempts_for_secret", "{'secret_sha256':'aa'}");
    expect_ids(of_secret, 5, ids);
}

Test(repo_credentials, rows_of_an_attacker_and_of_a_secret)
{
    int64_t a = attempt("198.51.100.1", "d1", "ssh", "aa", "'root'"),
            b = attempt("198.51.100.2", "d1", "ssh", "aa", "''");
    int64_t c = call_int("upsert_credential", "{'data':{'attacker_ip':'198.51.100.1','decky_name':'d1','service':'vnc',"
                                              "'secret_sha256':'aa','secret_kind':'vnc_des_response','fields':"
                                              "{'k':[1,null]},'outcome':'failure'}}");
    attempt("198.51.100.3", "d1", "ssh", "aab", "'root'");

    cleanup(json_putp) json_object *mine = call("get_credentials_for_attacker", "{'attacker_ip':'198.51.100.1'}");
    expect_ids(mine, 2, (int64_t[]){c, a});
    json_object *row = nth(mine, 0);
    cr_expect_eq(json_object_object_length(row), 15);
    expect_key(row, "fields", "{ \"k\": [ 1, null ] }");
    expect_key(row, "principal", "null");
    expect_key(row, "attacker_uuid", "null");
    expect_key(row, "outcome", "failure");
    expect_key(row, "attempt_count", "1");
    cr_expect_str_eq(text_of(row, "first_seen"), text_of(row, "last_seen"));
    cr_expect_eq(strlen(text_of(row, "last_seen")), strlen("2026-01-01T00:00:00.000000Z"));

    cleanup(json_putp) json_object *any_kind = call("get_credential_attempts_for_secret", "{'secret_sha256':'aa'}");
    expect_ids(any_kind, 3, (int64_t[]){c, b, a});
    cleanup(json_putp) json_object *unknown = call("get_credential_attempts_for_secret", "{'secret_sha256':''}");
    expect_ids(unknown, 0, NULL);
    cleanup(json_putp) json_object *nobody = call("get_credentials_for_attacker", "{'attacker_ip':'198.51.100.9'}");
    expect_ids(nobody, 0, NULL);
    refuse(REPO_E_INVALID, "secret_sha256 must be text", "get_credential_attempts_for_secret",
           "{'secret_sha256':null}");
}

/* --- the upsert --- */

Test(repo_credentials, hostile_attempts)
{
    cleanup(buf_free) Buf longer = {0};

    call_int("upsert_credential", "{'data':{'attacker_ip':'198.51.100.1','decky_name':'d\\u0000','service':'ssh',"
                                  "'secret_sha256':'aa','principal':'\\ud800','fields':{'a':'\\u0000'},'other':1,"
                                  "'id':77,'attempt_count':99,'first_seen':'2020-01-01T00:00:00Z'}}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE decky_name = E'd\\uFFFD' AND principal ="
                                 " E'\\uFFFD' AND fields = '{\"a\":\"\\uFFFD\"}' AND id <> 77 AND attempt_count = 1"
                                 " AND first_seen > '2025-01-01'"),
                 1);
    for (uint32_t i = 0, x = 1; i < 9000; i++, x = x * 1664525 + 1013904223)
        buf_printf(&longer, "%02x", x >> 24); /* nothing that compresses into an index */
    refuse(REPO_E_INVALID, "index", "upsert_credential",
           "{'data':{'attacker_ip':'198.51.100.1','decky_name':'d','service':'ssh','secret_sha256':'%s'}}",
           longer.data);
    call_int("upsert_credential",
             "{'data':{'attacker_ip':'198.51.100.1','decky_name':'d','service':'ssh','secret_sha256':'aa','principal':"
             "'%s','secret_kind':'%s','secret_b64':'%s','secret_printable':'%s','outcome':'%s'}}",
             longer.data, longer.data, longer.data, longer.data, longer.data);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE length(principal) = 256 AND"
                                 " length(secret_kind) = 32 AND length(secret_b64) = 2048 AND"
                                 " length(secret_printable) = 512 AND length(outcome) = 16"),
                 1);
    refuse(REPO_E_INVALID, "secret_kind must be text", "upsert_credential",
           "{'data':{'attacker_ip':'x','decky_name':'d','service':'ssh','secret_sha256':'aa','secret_kind':1}}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials"), 2);
}

static void attempt_again(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 40; i++)
        json_object_put(call_on(own, "upsert_credential",
                                "{'data':{'attacker_ip':'198.51.100.1','decky_name':'d%d','service':'ssh',"
                                "'secret_sha256':'aa','outcome':%s}}",
                                (i + index) % 3, index == 0 ? "'success'" : "null"));
}

Test(repo_credentials, concurrent_attempts_all_count)
{
    hammer_all(attempt_again, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials"), 3);
    cr_expect_eq(harness_sql_int("SELECT sum(attempt_count) FROM credentials"), HAMMERS * 40);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE outcome = 'success'"), 3);
}

/* --- in batches --- */

static StoredCredential stored(const char *ip, const char *secret, int64_t time_us, int64_t attempts)
{
    return (StoredCredential){.attacker_ip = str_from(ip),
                              .decky = STR("d1"),
                              .service = STR("ssh"),
                              .secret_kind = STR("plaintext"),
                              .secret_sha256 = str_from(secret),
                              .outcome = STR("failure"),
                              .first_seen_us = time_us,
                              .last_seen_us = time_us,
                              .attempts = attempts};
}

enum { SECOND = 1000000 };

Test(repo_credentials, a_batch_folds_repeats_and_answers_in_the_order_of_its_rows)
{
    Uuid who;
    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.2")), &who));
    StoredCredential rows[] = {stored("198.51.100.2", "bb", 5 * SECOND, 1), stored("198.51.100.1", "aa", SECOND, 2),
                               stored("198.51.100.2", "bb", 9 * SECOND, 3), stored("198.51.100.2", "bb", SECOND, 1),
                               stored("198.51.100.2", "bb", SECOND, 1)};

    rows[2].outcome = STR("success"); /* the latest */
    rows[3].attacker_uuid = &who;
    rows[4].principal = STR("");
    cr_assert_eq(credentials_upsert(repo, rows, ARRAY_SIZE(rows)), 0, "%s", repo_error_text(repo));
    cr_expect_eq(rows[0].id, rows[2].id);
    cr_expect_eq(rows[0].id, rows[3].id);
    cr_expect_neq(rows[0].id, rows[4].id, "no principal is not the empty one");
    cr_expect(rows[0].created && rows[1].created && !rows[2].created && !rows[3].created && rows[4].created);
    cr_expect_eq(rows[0].attempt_count, 5);
    cr_expect_eq(rows[1].attempt_count, 2);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE id = %lld AND attacker_ip = '198.51.100.2'"
                                 " AND outcome = 'success' AND first_seen = 'epoch'::timestamptz + interval '1 s'"
                                 " AND last_seen = 'epoch'::timestamptz + interval '9 s' AND attempt_count = 5"
                                 " AND attacker_uuid IS NOT NULL AND principal IS NULL",
                                 (long long)rows[0].id),
                 1);

    /* Older news add attempts and leave the outcome; none adds none; an unknown attacker takes nothing away. */
    StoredCredential later[] = {stored("198.51.100.2", "bb", 7 * SECOND, 4),
                                stored("198.51.100.1", "aa", 8 * SECOND, 0),
                                stored("198.51.100.3", "aa", 8 * SECOND, 0)};
    later[1].outcome = STR("success");
    cr_assert_eq(credentials_upsert(repo, later, ARRAY_SIZE(later)), 0, "%s", repo_error_text(repo));
    cr_expect_eq(later[0].attempt_count, 9);
    cr_expect_eq(later[1].attempt_count, 2);
    cr_expect_eq(later[2].attempt_count, 1);
    cr_expect(!later[0].created && !later[1].created && later[2].created);
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM credentials WHERE outcome = 'success' AND attempt_count IN (2, 9)"), 2);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE attacker_uuid IS NOT NULL"), 1);
    cr_expect_eq(credentials_upsert(repo, NULL, 0), 0);
}

Test(repo_credentials, outcomes_of_the_same_moment)
{
    static const char *const orders[][3] = {
        {"success", "failure", "success"},  {"failure", "success", "success"}, {"observed", "failure", "failure"},
        {"failure", "observed", "failure"}, {NULL, "observed", "observed"},    {"observed", NULL, "observed"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        char secret[8], secret2[8];
        snprintf(secret, sizeof(secret), "s%zu", i);
        snprintf(secret2, sizeof(secret2), "t%zu", i);
        StoredCredential rows[] = {stored("198.51.100.1", secret, SECOND, 1),
                                   stored("198.51.100.1", secret, SECOND, 1)};
        for (int k = 0; k < 2; k++)
            rows[k].outcome = str_from(orders[i][k]);
        cr_assert_eq(credentials_upsert(repo, rows, 2), 0); /* folded in C */
        for (int k = 0; k < 2; k++) {                       /* and by the statement */
            rows[k].secret_sha256 = str_from(secret2);
            cr_assert_eq(credentials_upsert(repo, &rows[k], 1), 0);
        }
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE secret_sha256 IN ('%s', '%s')"
                                     " AND outcome = '%s' AND attempt_count = 2",
                                     secret, secret2, orders[i][2]),
                     2, "case %zu", i);
    }
}

enum { BATCH = 200, BATCHES = 12 };

static void write_batches(Repo *own, int index, void *arg)
{
    char ip[BATCH][IP_TEXT_BYTES];
    StoredCredential rows[BATCH];

    (void)arg;
    for (int i = 0; i < BATCH; i++)
        snprintf(ip[i], sizeof(ip[i]), "198.51.100.%d", i);
    for (int round = 0; round < BATCHES; round++) {
        for (int i = 0; i < BATCH; i++) /* every writer in an order of its own */
            rows[i] = stored(ip[(i * 7 + index * 31 + round) % BATCH], "aa", (round + 1) * SECOND, 1);
        cr_assert_eq(repo_begin(own), 0);
        cr_assert_eq(credentials_upsert(own, rows, BATCH), 0, "%s", repo_error_text(own));
        cr_assert_eq(repo_commit(own), 0);
    }
}

Test(repo_credentials, concurrent_batches_never_deadlock)
{
    hammer_all(write_batches, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials"), BATCH);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE attempt_count = %d", HAMMERS * BATCHES),
                 BATCH);
}

/* --- the attacker of an address, once it is known --- */

Test(repo_credentials, rows_get_their_attacker_once)
{
    attempt("198.51.100.1", "d1", "ssh", "aa", "null");
    attempt("198.51.100.1", "d2", "ssh", "aa", "null");
    attempt("198.51.100.2", "d1", "ssh", "aa", "null");
    const char *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2");

    cr_expect_eq(
        call_int("update_credential_attacker_uuid", "{'attacker_ip':'::ffff:198.51.100.1','attacker_uuid':'%s'}", a),
        2);
    cr_expect_eq(call_int("update_credential_attacker_uuid", "{'attacker_ip':'198.51.100.1','attacker_uuid':'%s'}", b),
                 0, "what is set stays");
    cr_expect_eq(call_int("update_credential_attacker_uuid", "{'attacker_ip':'198.51.100.9','attacker_uuid':'%s'}", b),
                 0);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE attacker_uuid = '%s'", a), 2);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE attacker_uuid IS NULL"), 1);
    refuse(REPO_E_FK, "there is no attacker 00000000-0000-0000-0000-000000000001", "update_credential_attacker_uuid",
           "{'attacker_ip':'198.51.100.2','attacker_uuid':'00000000-0000-0000-0000-000000000001'}");
    refuse(REPO_E_FK, "there is no attacker nope", "update_credential_attacker_uuid",
           "{'attacker_ip':'198.51.100.2','attacker_uuid':'nope'}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credentials WHERE attacker_uuid IS NULL"), 1);
}

typedef struct Claim {
    const char *attacker;
    int64_t changed[HAMMERS];
} Claim;

static void claim_rows(Repo *own, int index, void *arg)
{
    Claim *claim = arg;
    cleanup(json_putp) json_object *n = call_on(own, "update_credential_attacker_uuid",
                                                "{'attacker_ip':'198.51.100.1','attacker_uuid':'%s'}", claim->attacker);
    claim->changed[index] = json_object_get_int64(n);
}

Test(repo_credentials, concurrent_claims_change_each_row_once)
{
    Claim claim = {.attacker = attacker("198.51.100.1")};
    int64_t total = 0;

    harness_sql("INSERT INTO credentials (attacker_ip, decky_name, service, secret_sha256)"
                " SELECT '198.51.100.1', 'd' || n, 'ssh', 'aa' FROM generate_series(1, 300) n");
    hammer_all(claim_rows, &claim);
    for (int i = 0; i < HAMMERS; i++)
        total += claim.changed[i];
    cr_expect_eq(total, 300);
}

/* --- reuse --- */

static const char *reuse(const char *principal, const char *attacker_uuid, const char *ip, const char *decky,
                         const char *service, int attempts, const char *ts)
{
    static _Thread_local char out[512];
    snprintf(out, sizeof(out),
             "{'secret_sha256':'aa','secret_kind':'plaintext','principal':%s,'attacker_uuid':%s,'attacker_ip':'%s',"
             "'decky':'%s','service':'%s','attempt_count':%d%s}",
             principal, attacker_uuid, ip, decky, service, attempts, ts);
    return out;
}

static void expect_reuse(json_object *row, const char *const (*want)[2], size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect_key(row, want[i][0], want[i][1]);
}

Test(repo_credentials, a_finding_grows)
{
    static const char at[] = ",'ts':'2026-01-02T00:00:00Z'", before[] = ",'ts':'2026-01-01T12:00:00Z'";
    const char *a = attacker("198.51.100.1");
    char quoted[64];

    snprintf(quoted, sizeof(quoted), "'%s'", a);
    attempt("198.51.100.1", "d1", "ssh", "aa", "'root'");
    attempt("198.51.100.1", "d2", "ftp", "aa", "'root'");
    attempt("198.51.100.1", "d3", "ftp", "aa", "'other'");
    cleanup(json_putp) json_object *first =
        call("upsert_credential_reuse", "%s", reuse("'root'", "null", "198.51.100.1", "d1", "ssh", 3, at));
    cr_expect_eq(json_object_object_length(first), 17);
    expect_reuse(first,
                 (const char *const[][2]){{"principal", "root"},
                                          {"principal_key", "root"},
                                          {"attacker_uuids", "[ ]"},
                                          {"attacker_ips", "[ \"198.51.100.1\" ]"},
                                          {"deckies", "[ \"d1\" ]"},
                                          {"services", "[ \"ssh\" ]"},
                                          {"target_count", "1"}, /* whatever is stored */
                                          {"attempt_count", "3"},
                                          {"confidence", "1.0"},
                                          {"first_seen", "2026-01-02T00:00:00.000000Z"},
                                          {"last_seen", "2026-01-02T00:00:00.000000Z"},
                                          {"updated_at", "2026-01-02T00:00:00.000000Z"},
                                          {"inserted", "true"},
                                          {"changed", "true"}},
                 14);

    cleanup(json_putp) json_object *same =
        call("upsert_credential_reuse", "%s", reuse("'root'", "''", "198.51.100.1", "d1", "ssh", 2, before));
    expect_reuse(same,
                 (const char *const[][2]){{"id", text_of(first, "id")},
                                          {"target_count", "2"}, /* counted anew, though no list grew */
                                          {"attempt_count", "5"},
                                          {"first_seen", "2026-01-02T00:00:00.000000Z"},
                                          {"last_seen", "2026-01-02T00:00:00.000000Z"}, /* never back */
                                          {"updated_at", "2026-01-01T12:00:00.000000Z"},
                                          {"inserted", "false"},
                                          {"changed", "false"}},
                 8);

    attempt("198.51.100.2", "d1", "ftp", "aa", "'root'");
    cleanup(json_putp) json_object *grown =
        call("upsert_credential_reuse", "%s", reuse("'root'", quoted, "::ffff:198.51.100.2", "d2", "ssh", 0, ""));
    char uuids[64];
    snprintf(uuids, sizeof(uuids), "[ \"%s\" ]", a);
    expect_reuse(grown,
                 (const char *const[][2]){{"target_count", "3"}, /* d1 ssh, d2 ftp, d1 ftp */
                                          {"attacker_uuids", uuids},
                                          {"attacker_ips", "[ \"198.51.100.1\", \"198.51.100.2\" ]"},
                                          {"deckies", "[ \"d1\", \"d2\" ]"},
                                          {"services", "[ \"ssh\" ]"},
                                          {"attempt_count", "5"},
                                          {"inserted", "false"},
                                          {"changed", "true"}},
                 8);
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM credential_reuse WHERE updated_at > now() - interval '1 minute'"), 1);
}

Test(repo_credentials, no_principal_and_the_empty_one_are_one_finding)
{
    attempt("198.51.100.1", "d1", "ssh", "aa", "null");
    attempt("198.51.100.1", "d2", "ssh", "aa", "''");
    json_object_put(call("upsert_credential_reuse", "%s", reuse("null", "null", "198.51.100.1", "d1", "ssh", 1, "")));
    cleanup(json_putp) json_object *row =
        call("upsert_credential_reuse", "%s", reuse("''", "'ABC'", "198.51.100.1", "d2", "ssh", 1, ""));
    expect_reuse(row,
                 (const char *const[][2]){{"principal", "null"},
                                          {"principal_key", ""},
                                          {"target_count", "2"},
                                          {"attacker_uuids", "[ \"ABC\" ]"},
                                          {"inserted", "false"}},
                 5);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credential_reuse"), 1);
    cleanup(json_putp) json_object *list = call("find_credential_reuse_candidates", "{}");
    cr_expect_eq(json_object_array_length(list), 1);
    expect_key(nth(list, 0), "principal", "null");
    expect_key(nth(list, 0), "target_count", "2");
}

Test(repo_credentials, findings_that_are_none_are_refused)
{
    cleanup(buf_free) Buf longer = {0};

    refuse(REPO_E_INVALID, "parameter principal is missing", "upsert_credential_reuse",
           "{'secret_sha256':'aa','secret_kind':'k'}");
    refuse(REPO_E_INVALID, "attempt_count must be an integer", "upsert_credential_reuse", "%s",
           reuse("null", "null", "198.51.100.1", "d1", "ssh", -1, ""));
    refuse(REPO_E_INVALID, "ts must be a time", "upsert_credential_reuse", "%s",
           reuse("null", "null", "198.51.100.1", "d1", "ssh", 1, ",'ts':'soon'"));
    refuse(REPO_E_INVALID, "attacker_uuid must be text", "upsert_credential_reuse", "%s",
           reuse("null", "7", "198.51.100.1", "d1", "ssh", 1, ""));
    refuse(REPO_E_INVALID, "out of range", "upsert_credential_reuse",
           "{'secret_sha256':'aa','secret_kind':'k','principal':null,'attacker_uuid':null,'attacker_ip':'x',"
           "'decky':'d','service':'s','attempt_count':4294967296}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credential_reuse"), 0);

    /* Clipped as the credentials are, so that both have one key. */
    for (int i = 0; i < 300; i++)
        buf_add(&longer, "x");
    call_int("upsert_credential",
             "{'data':{'attacker_ip':'x','decky_name':'d','service':'s','secret_sha256':'aa','principal':'%s',"
             "'secret_kind':'%s'}}",
             longer.data, longer.data);
    cleanup(json_putp) json_object *row = NULL;
    for (int i = 0; i < 2; i++) {
        json_object_put(row);
        row = call("upsert_credential_reuse",
                   "{'secret_sha256':'aa','secret_kind':'%s','principal':'%s','attacker_uuid':null,'attacker_ip':"
                   "'a\\u0000b','decky':'d','service':'s','attempt_count':2147483647}",
                   longer.data, longer.data);
    }
    expect_key(row, "attacker_ips", "[ \"a\xef\xbf\xbd\x62\" ]");
    expect_key(row, "attempt_count", "2147483647");
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM credential_reuse r JOIN credentials c USING (secret_kind, principal)"
                        " WHERE length(principal) = 256 AND length(secret_kind) = 32"),
        1);
}

static void find_again(Repo *own, int index, void *arg)
{
    (void)arg;
    for (int i = 0; i < 25; i++) {
        json_object_put(call_on(own, "upsert_credential",
                                "{'data':{'attacker_ip':'198.51.100.1','decky_name':'d%d-%d','service':'ssh',"
                                "'secret_sha256':'aa'}}",
                                index, i));
        json_object_put(call_on(own, "upsert_credential_reuse",
                                "{'secret_sha256':'aa','secret_kind':'plaintext','principal':null,'attacker_uuid':null,"
                                "'attacker_ip':'198.51.100.%d','decky':'d%d-%d','service':'ssh','attempt_count':1}",
                                index, index, i));
    }
}

Test(repo_credentials, concurrent_findings_lose_nothing)
{
    hammer_all(find_again, NULL);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM credential_reuse"), 1);
    cr_expect_eq(harness_sql_int("SELECT target_count FROM credential_reuse"), HAMMERS * 25, "the last one counts all");
    cr_expect_eq(harness_sql_int("SELECT attempt_count FROM credential_reuse"), HAMMERS * 25);
    cr_expect_eq(harness_sql_int("SELECT jsonb_array_length(deckies) FROM credential_reuse"), HAMMERS * 25);
    cr_expect_eq(harness_sql_int("SELECT jsonb_array_length(attacker_ips) FROM credential_reuse"), HAMMERS);
}

Test(repo_credentials, candidates_are_secrets_with_several_targets)
{
    int64_t a1 = attempt("198.51.100.1", "d1", "ssh", "aa", "'root'"),
            a2 = attempt("198.51.100.2", "d2", "ssh", "aa", "'root'"),
            a3 = attempt("198.51.100.3", "d2", "ssh", "aa", "'root'"), /* the same target */
        b1 = attempt("198.51.100.1", "d1", "ssh", "bb", "null"), b2 = attempt("198.51.100.1", "d1", "ftp", "bb", "''");
    attempt("198.51.100.1", "d1", "ssh", "cc", "'root'");
    attempt("198.51.100.2", "d1", "ssh", "cc", "'root'"); /* two attackers, one target */
    attempt("198.51.100.1", "d1:ssh", "x", "dd", "null"); /* no separator makes these one */
    attempt("198.51.100.1", "d1", "ssh:x", "dd", "null");
    attempt("198.51.100.1", "d1", "ssh", "ee", "'a'"); /* another principal, another group */
    attempt("198.51.100.1", "d2", "ssh", "ee", "'b'");
    int64_t b3 = attempt("198.51.100.1", "d3", "ssh", "bb", "null");

    cleanup(json_putp) json_object *list = call("find_credential_reuse_candidates", "{}");
    cr_expect_eq(json_object_array_length(list), 3);
    static const char *const want[][3] = {{"bb", "null", "3"}, {"aa", "root", "2"}, {"dd", "null", "2"}};
    for (size_t i = 0; i < 3; i++) {
        json_object *group = nth(list, i);
        cr_expect_eq(json_object_object_length(group), 5);
        expect_key(group, "secret_sha256", want[i][0]);
        expect_key(group, "secret_kind", "plaintext");
        expect_key(group, "principal", want[i][1]);
        expect_key(group, "target_count", want[i][2]);
    }
    json_object *rows = json_member(nth(list, 1), "credentials");
    expect_ids(rows, 3, (int64_t[]){a1, a2, a3});
    cr_expect_eq(json_object_object_length(nth(rows, 0)), 15);
    expect_key(nth(rows, 0), "fields", "{ }");
    expect_ids(json_member(nth(list, 0), "credentials"), 3, (int64_t[]){b1, b2, b3});

    cleanup(json_putp) json_object *three = call("find_credential_reuse_candidates", "{'min_targets':3}");
    cr_expect_eq(json_object_array_length(three), 1);
    cleanup(json_putp) json_object *any = call("find_credential_reuse_candidates", "{'min_targets':0}");
    cr_expect_eq(json_object_array_length(any), 6);
    cleanup(json_putp) json_object *four = call("find_credential_reuse_candidates", "{'min_targets':4}");
    cr_expect_eq(json_object_array_length(four), 0);
    refuse(REPO_E_INVALID, "min_targets must be an integer", "find_credential_reuse_candidates", "{'min_targets':'2'}");
}

Test(repo_credentials, findings_are_listed_with_their_secret)
{
    attempt("198.51.100.1", "d1", "ssh", "s1", "null");
    harness_sql("UPDATE credentials SET secret_printable = 'oldest'");
    attempt("198.51.100.2", "d1", "ssh", "s1", "''");
    attempt("198.51.100.2", "d1", "ssh", "s2", "'root'");
    harness_sql("INSERT INTO credential_reuse (id, secret_sha256, secret_kind, principal, principal_key, target_count,"
                "  last_seen) SELECT ('00000000-0000-4000-8000-00000000000' || n)::uuid, 's' || n,"
                "  CASE WHEN n = 3 THEN 'other' ELSE 'plaintext' END, CASE n WHEN 2 THEN 'root' END,"
                "  CASE n WHEN 2 THEN 'root' ELSE '' END, CASE n WHEN 5 THEN 1 WHEN 3 THEN 4 ELSE 2 END,"
                "  CASE WHEN n IN (1, 4) THEN '2026-01-02' ELSE '2026-01-01' END::timestamptz"
                " FROM generate_series(1, 5) n");
    const struct {
        const char *params;
        int64_t total;
        size_t n;
        const char *secrets[4];
    } cases[] = {
        {"", 4, 4, {"s3", "s1", "s4", "s2"}},
        {"'limit':2,'offset':1", 4, 2, {"s1", "s4"}},
        {"'offset':9", 4, 0, {0}},
        {"'limit':0", 4, 0, {0}},
        {"'secret_kind':'plaintext'", 3, 3, {"s1", "s4", "s2"}},
        {"'secret_kind':'','limit':1", 4, 1, {"s3"}},
        {"'secret_kind':'nothing'", 0, 0, {0}},
        {"'min_target_count':3", 1, 1, {"s3"}},
        {"'min_target_count':1,'offset':4", 5, 1, {"s5"}},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(json_putp) json_object *both = call("list_credential_reuses", "{%s}", cases[i].params);
        cr_expect_eq(json_object_array_length(both), 2);
        cr_expect_eq(json_object_get_int64(nth(both, 0)), cases[i].total, "%s", cases[i].params);
        json_object *list = nth(both, 1);
        cr_assert_eq(json_object_array_length(list), cases[i].n, "%s", cases[i].params);
        for (size_t k = 0; k < cases[i].n; k++)
            expect_key(nth(list, k), "secret_sha256", cases[i].secrets[k]);
    }
    cleanup(json_putp) json_object *all = call("list_credential_reuses", "{}");
    cr_expect_eq(json_object_object_length(nth(nth(all, 1), 0)), 17);
    expect_key(nth(nth(all, 1), 0), "secret_printable", "null");
    expect_key(nth(nth(all, 1), 1), "secret_printable", "oldest");
    expect_key(nth(nth(all, 1), 3), "secret_printable", "pw of s2");
    expect_key(nth(nth(all, 1), 3), "secret_b64", "cHc=");
    refuse(REPO_E_INVALID, "limit must be", "list_credential_reuses", "{'limit':10001}");

    cleanup(json_putp) json_object *one =
        call("get_credential_reuse_by_id", "{'reuse_id':'00000000-0000-4000-8000-000000000001'}");
    cr_expect_eq(json_object_object_length(one), 17);
    expect_key(one, "secret_printable", "oldest");
    expect_key(one, "attacker_ips", "[ ]");
    cr_expect_null(call("get_credential_reuse_by_id", "{'reuse_id':'00000000-0000-4000-8000-000000000009'}"));
    cr_expect_null(call("get_credential_reuse_by_id", "{'reuse_id':'nope'}"));
}
