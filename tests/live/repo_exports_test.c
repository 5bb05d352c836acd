/* Exports: whole tables in one answer, and the same piece by piece in constant memory. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "pg_harness.h"
#include "repo_support.h"

TestSuite(repo_exports, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

/* Freed memory is not kept back for long, as its size is looked at here. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=1:thread_local_quarantine_size_kb=64";
}

/* What came piece by piece, as one array. */
typedef struct Pieces {
    Buf text;
    JsonWriter w;
    int n, stop_after;
} Pieces;

static int take_piece(void *arg, Str item)
{
    Pieces *p = arg;

    if (p->n++ == 0)
        json_begin_array(&p->w);
    json_value_raw(&p->w, item);
    return p->stop_after && p->n == p->stop_after ? 77 : 0;
}

static json_object *pieces(const char *method, int stop_after, int want)
{
    Pieces p = {.stop_after = stop_after};
    p.w.buf = &p.text;
    cr_assert_eq(repo_call_each(repo, method, NULL, take_piece, &p), want, "%s", repo_error_text(repo));
    if (p.n == 0)
        json_begin_array(&p.w);
    json_end_array(&p.w);
    json_object *list = json_parse(buf_str(&p.text));
    cr_assert_not_null(list, "%s", p.text.data);
    buf_free(&p.text);
    return list;
}

/* A piece has one key: its rows are appended under it. */
static json_object *merged(json_object *list)
{
    json_object *whole = json_object_new_object();

    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object_object_foreach (nth(list, i), key, rows) {
            json_object *to = NULL;
            if (!json_object_object_get_ex(whole, key, &to))
                json_object_object_add(whole, key, to = json_object_new_array());
            for (size_t k = 0; k < json_object_array_length(rows); k++)
                json_object_array_add(to, json_object_get(json_object_array_get_idx(rows, k)));
        }
    }
    return whole;
}

static const char *plain(json_object *json)
{
    return json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN);
}

Test(repo_exports, attackers_with_what_is_known_of_them)
{
    char a[UUID_TEXT_BYTES], b[UUID_TEXT_BYTES];

    snprintf(a, sizeof(a), "%s", attacker("198.51.100.1"));
    snprintf(b, sizeof(b), "%s", attacker("198.51.100.2"));
    harness_sql("UPDATE attackers SET last_seen = '2026-01-02' WHERE ip = '198.51.100.2'");
    json_object_put(call("upsert_attacker_intel",
                         "{'data':{'attacker_uuid':'%s','attacker_ip':'198.51.100.1','expires_at':"
                         "'2026-03-01T00:00:00Z','greynoise_tags':['x'],'feodo_raw':{'a':1}}}",
                         a));
    cleanup(json_putp) json_object *list = call("get_all_attackers_for_export", "{}");
    cr_assert_eq(json_object_array_length(list), 2);
    expect_key(nth(list, 0), "uuid", b);
    expect_key(nth(list, 0), "threat_intel", "null");
    expect_key(nth(list, 1), "uuid", a);
    expect_key(nth(list, 1), "last_seen", "2026-01-01T00:00:00.000000Z");
    cleanup(json_putp) json_object *attacker_row = call("get_attacker_by_uuid", "{'uuid':'%s'}", a);
    cleanup(json_putp) json_object *intel_row = call("get_attacker_intel_by_uuid", "{'uuid':'%s'}", a);
    json_object *intel = json_object_object_get(nth(list, 1), "threat_intel");
    cr_expect(json_object_equal(intel, intel_row), "%s", plain(intel));
    expect_key(intel, "greynoise_tags", "[ \"x\" ]");
    json_object_object_add(attacker_row, "threat_intel", json_object_get(intel_row));
    cr_expect(json_object_equal(nth(list, 1), attacker_row));
    cleanup(json_putp) json_object *each = pieces("get_all_attackers_for_export", 0, 0);
    cr_expect_str_eq(plain(each), plain(list));
}

Test(repo_exports, observations_by_attacker)
{
    char a[UUID_TEXT_BYTES];

    snprintf(a, sizeof(a), "%s", attacker("198.51.100.1"));
    attacker("198.51.100.2"); /* has none and is left out */
    cleanup(json_putp) json_object *none = call("get_all_observations_for_export", "{}");
    cr_expect_str_eq(plain(none), "{}");
    cleanup(json_putp) json_object *nothing = pieces("get_all_observations_for_export", 0, 0);
    cr_expect_eq(json_object_array_length(nothing), 0);
    /* one attacker with more rows than a piece, others with a few */
    harness_sql(
        "INSERT INTO attackers (ip, first_seen, last_seen) SELECT 'x' || i, now(), now() FROM generate_series(1, 40) i;"
        "INSERT INTO observations (primitive, value, confidence, window_start_ts, window_end_ts, source,"
        " evidence_ref, envelope_v, ts, attacker_uuid, identity_ref)"
        " SELECT 'p', to_jsonb(i), 0.5, 1, i %% 7, 's', 'e' || i, 1, 1, '%s', CASE WHEN i = 1 THEN 'r' END"
        " FROM generate_series(1, 2500) i;"
        "INSERT INTO observations (primitive, value, confidence, window_start_ts, window_end_ts, source,"
        " evidence_ref, envelope_v, ts, attacker_uuid)"
        " SELECT 'p' || i, to_jsonb(i), 0.5, 1, i, 's', ip, 1, 1, uuid FROM attackers, generate_series(1, 3) i"
        " WHERE ip LIKE 'x%%'",
        a);
    cleanup(json_putp) json_object *all = call("get_all_observations_for_export", "{}");
    cr_assert_eq(json_object_object_length(all), 41);
    cleanup(json_putp) json_object *of_one = call("list_observations_by_attacker", "{'attacker_uuid':'%s'}", a);
    cr_assert_eq(json_object_array_length(of_one), 2500);
    cr_expect(json_object_equal(json_object_object_get(all, a), of_one), "the same order and the same shape");
    cleanup(json_putp) json_object *each = pieces("get_all_observations_for_export", 0, 0);
    cr_expect_eq(json_object_array_length(each), 43, "2500 rows are three pieces");
    cleanup(json_putp) json_object *whole = merged(each);
    cr_expect_str_eq(plain(whole), plain(all));
}

Test(repo_exports, fingerprints_by_address)
{
    static const struct {
        const char *type, *ip, *time;
    } rows[] = {{"fingerprint", "198.51.100.1", "2026-01-02"},
                {"fingerprint", "198.51.100.1", "2026-01-01"},
                {"artifact", "198.51.100.1", "2026-01-01"},
                {"fingerprint", "a\"b\\\n", "2026-01-03"},
                {"fingerprint", "", "2026-01-03"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        harness_sql("INSERT INTO bounty (timestamp, decky, service, attacker_ip, bounty_type, payload)"
                    " VALUES ('%s', 'd', 'ssh', $t$%s$t$, '%s', '{\"n\":%zu}')",
                    rows[i].time, rows[i].ip, rows[i].type, i);
    cleanup(json_putp) json_object *all = call("get_all_fingerprint_bounties_for_export", "{}");
    cr_expect_eq(json_object_object_length(all), 3);
    json_object *of_one = json_object_object_get(all, "198.51.100.1");
    cr_assert_eq(json_object_array_length(of_one), 2);
    expect_key(nth(of_one, 0), "payload", "{ \"n\": 1 }");
    expect_key(nth(of_one, 1), "payload", "{ \"n\": 0 }");
    expect_key(nth(of_one, 0), "timestamp", "2026-01-01T00:00:00.000000Z");
    expect_key(nth(of_one, 0), "attacker_ip", "198.51.100.1");
    cr_expect_eq(json_object_object_length(nth(of_one, 0)), 7);
    cr_expect_eq(json_object_array_length(json_object_object_get(all, "a\"b\\\n")), 1);
    cr_expect_eq(json_object_array_length(json_object_object_get(all, "")), 1);
    cleanup(json_putp) json_object *each = pieces("get_all_fingerprint_bounties_for_export", 0, 0);
    cleanup(json_putp) json_object *whole = merged(each);
    cr_expect_str_eq(plain(whole), plain(all));
}

Test(repo_exports, a_walk_can_be_left_and_the_connection_stays_usable)
{
    static const char *const methods[] = {"get_all_attackers_for_export", "get_all_observations_for_export",
                                          "list_attackers_for_clustering", "list_all_identities"};

    harness_sql(
        "INSERT INTO attackers (ip, first_seen, last_seen) SELECT 'x' || i, now(), now() FROM generate_series(1, 20) i;"
        "INSERT INTO attacker_identities (uuid) SELECT gen_random_uuid() FROM generate_series(1, 20);"
        "INSERT INTO observations (primitive, value, confidence, window_start_ts, window_end_ts, source,"
        " evidence_ref, envelope_v, ts, attacker_uuid) SELECT 'p', '1', 1, 1, 1, 's', ip, 1, 1, uuid FROM attackers");
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        cleanup(json_putp) json_object *some = pieces(methods[i], 3, 77);
        cr_expect_eq(json_object_array_length(some), 3, "%s", methods[i]);
        cleanup(json_putp) json_object *all = pieces(methods[i], 0, 0);
        cr_expect_eq(json_object_array_length(all), 20, "%s", methods[i]);
        cr_expect(method_streams(method_find(methods[i])) && !method_iterates(method_find(methods[i])));
    }
    Pieces p = {0};
    cr_expect_eq(repo_call_each(repo, "get_attackers", NULL, take_piece, &p), REPO_E_INVALID);
    cr_expect_eq(p.n, 0);
}

static int count_piece(void *arg, Str item)
{
    size_t *bytes = arg;
    *bytes += item.len;
    return 0;
}

static long peak_kib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

Test(repo_exports, a_walk_over_much_needs_little_memory)
{
    size_t bytes = 0;

    harness_sql(
        "INSERT INTO attackers (ip, first_seen, last_seen, commands) SELECT 'x' || i, now(), now(),"
        " jsonb_build_array(jsonb_build_object('command', repeat(md5(i::text), 100))) FROM generate_series(1, 20000) i");
    cr_assert_eq(repo_call_each(repo, "get_all_attackers_for_export", NULL, count_piece, &bytes), 0);
    cr_assert_gt(bytes, 64u << 20);
    bytes = 0;
    long before = peak_kib();
    cr_assert_eq(repo_call_each(repo, "get_all_attackers_for_export", NULL, count_piece, &bytes), 0);
    cr_expect_lt(peak_kib() - before, 8 << 10, "%ld KiB more for %zu bytes", peak_kib() - before, bytes);
    cr_expect_lt(peak_kib(), 512 << 10);
}
