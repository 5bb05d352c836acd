/* Observations: single rows through repo_call(), batches through observations_upsert(), and who stays when two of them
 * have one key. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "pg_harness.h"
#include "repo/observations.h"
#include "repo_support.h"

TestSuite(repo_observations, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define NOBODY "00000000-0000-4000-8000-0000000000ff"

/* One observation as JSON; @more overrides, as of two equal keys the later counts. */
static const char *observation(const char *attacker_uuid, const char *evidence, const char *primitive, const char *more)
{
    static _Thread_local char out[4][1024];
    static _Thread_local unsigned turn;
    char *to = out[turn++ % 4];

    snprintf(to, sizeof(out[0]),
             "{'data':{'primitive':'%s','value':'typed','confidence':0.5,'window_start_ts':10.25,'window_end_ts':20.5,"
             "'source':'test','evidence_ref':'%s','envelope_v':1,'ts':20.5,'attacker_uuid':'%s'%s}}",
             primitive, evidence, attacker_uuid, more);
    return to;
}

static void store(const char *attacker_uuid, const char *evidence, const char *primitive, const char *more)
{
    json_object_put(call("upsert_observation", "%s", observation(attacker_uuid, evidence, primitive, more)));
}

static void expect_stored(const char *want)
{
    cleanup(freep) char *value = harness_sql_text("SELECT value::text FROM observations");
    cr_expect_str_eq(value, want);
}

/* --- single rows --- */

Test(repo_observations, every_kind_of_value_comes_back_as_it_went_in)
{
    static const char *const values[] = {"'typed'",      "'{\\'no\\':1}'", "7",    "0.25", "true",
                                         "[1,'a',null]", "{'a':[1,{}]}",   "null", "''",   "'a\\u0001b'"};
    const char *a = attacker("198.51.100.1");

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        char evidence[16], more[64], want[64];
        snprintf(evidence, sizeof(evidence), "e%zu", i);
        snprintf(more, sizeof(more), ",'value':%s,'ts':%zu", values[i], i);
        store(a, evidence, "p.q", more);
        snprintf(want, sizeof(want), "%s", values[i]);
    }
    cleanup(json_putp) json_object *list =
        call("observations_time_series", "{'attacker_uuid':'%s','primitive':'p.q'}", a);
    cr_assert_eq(json_object_array_length(list), ARRAY_SIZE(values));
    expect_key(nth(list, 0), "value", "typed");
    expect_key(nth(list, 1), "value", "{\"no\":1}"); /* text is a value and never parsed */
    cr_expect(json_object_is_type(json_object_object_get(nth(list, 1), "value"), json_type_string));
    cr_expect(json_object_is_type(json_object_object_get(nth(list, 2), "value"), json_type_int));
    expect_key(nth(list, 3), "value", "0.25");
    cr_expect(json_object_is_type(json_object_object_get(nth(list, 4), "value"), json_type_boolean));
    expect_key(nth(list, 5), "value", "[ 1, \"a\", null ]");
    expect_key(nth(list, 6), "value", "{ \"a\": [ 1, { } ] }");
    expect_key(nth(list, 7), "value", "null");
    expect_key(nth(list, 8), "value", "");
    expect_key(nth(list, 9), "value", "a\001b");
    expect_key(nth(list, 9), "ts", "9.0");
    expect_key(nth(list, 9), "confidence", "0.5");
    cr_expect_eq(json_object_object_length(nth(list, 9)), 3);
}

Test(repo_observations, id_is_given_or_follows_from_the_key_and_stays)
{
    const char *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2");
    Uuid minted = observation_minted_id(STR("e1"), STR("p"));
    char want[UUID_TEXT_BYTES];

    uuid_format(want, &minted);
    cleanup(json_putp) json_object *one = call("upsert_observation", "%s", observation(a, "e1", "p", ""));
    cr_expect_str_eq(json_object_get_string(one), want);
    cleanup(json_putp) json_object *two =
        call("upsert_observation", "%s", observation(a, "e2", "p", ",'id':'0000000000004000800000000000ABCD'"));
    cr_expect_str_eq(json_object_get_string(two), "00000000-0000-4000-8000-00000000abcd");
    /* later, with another id and another attacker: the row keeps its id and takes the rest */
    cleanup(json_putp) json_object *again =
        call("upsert_observation", "%s",
             observation(b, "e2", "p",
                         ",'id':'" NOBODY "','ts':21,'value':'pasted','confidence':1,'envelope_v':2,"
                         "'source':'other','identity_ref':'ref','window_start_ts':1,'window_end_ts':2"));
    cr_expect_str_eq(json_object_get_string(again), "00000000-0000-4000-8000-00000000abcd");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE evidence_ref = 'e2' AND attacker_uuid = '%s'"
                                 " AND value = '\"pasted\"' AND confidence = 1 AND envelope_v = 2 AND source = 'other'"
                                 " AND identity_ref = 'ref' AND window_start_ts = 1 AND window_end_ts = 2 AND ts = 21",
                                 b),
                 1);
    /* what is not given stays, null is stored */
    store(b, "e2", "p", ",'ts':22");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE ts = 22 AND identity_ref = 'ref'"), 1);
    store(b, "e2", "p", ",'ts':23,'identity_ref':null,'id':null");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE ts = 23 AND identity_ref IS NULL"), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), 2);
}

Test(repo_observations, the_greater_one_stays_whatever_the_order)
{
    /* each beats the one before */
    static const char *const ranked[] = {
        ",'ts':1,'window_end_ts':9,'value':'z'",  ",'ts':2,'window_end_ts':1,'value':'z'",
        ",'ts':2,'window_end_ts':2,'value':'a'",  ",'ts':2,'window_end_ts':2,'value':'b'",
        ",'ts':2,'window_end_ts':2,'value':'b0'", ",'ts':2.5,'window_end_ts':0,'value':5"};
    const char *a = attacker("198.51.100.1");

    for (size_t i = 0; i < ARRAY_SIZE(ranked); i++)
        store(a, "up", "p", ranked[i]);
    for (size_t i = ARRAY_SIZE(ranked); i-- > 0;)
        store(a, "down", "p", ranked[i]);
    for (size_t i = 0; i < ARRAY_SIZE(ranked); i++)
        store(a, "mixed", "p", ranked[(i * 5 + 3) % ARRAY_SIZE(ranked)]);
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM observations WHERE ts = 2.5 AND window_end_ts = 0 AND value = '5'"), 3);
}

Test(repo_observations, the_same_observation_again_is_overwritten_and_not_written_when_nothing_differs)
{
    const char *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2");

    store(a, "e", "p", "");
    cleanup(freep) char *before = harness_sql_text("SELECT ctid::text || xmin::text FROM observations");
    store(a, "e", "p", "");
    cleanup(freep) char *same = harness_sql_text("SELECT ctid::text || xmin::text FROM observations");
    cr_expect_str_eq(before, same, "a replay writes nothing");
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM attribution_dirty WHERE attacker_uuid = '%s' AND primitive = 'p'", a), 1,
        "and asks for no work");
    store(b, "e", "p", ",'confidence':0.25");
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM observations WHERE confidence = 0.25 AND attacker_uuid = '%s'", b), 1,
        "same time and value: the last write wins");
    expect_stored("\"typed\"");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_dirty"), 3, "it left one series and joined another");
}

Test(repo_observations, what_is_none_is_refused)
{
    static const struct {
        int outcome;
        const char *more, *words;
    } cases[] = {
        {REPO_E_INVALID, ",'confidence':1.01", "confidence must be a number from 0 to 1"},
        {REPO_E_INVALID, ",'confidence':-0.01", "confidence must be a number from 0 to 1"},
        {REPO_E_INVALID, ",'confidence':'high'", "confidence must be a number from 0 to 1"},
        {REPO_E_INVALID, ",'confidence':null", "confidence must not be null"},
        {REPO_E_INVALID, ",'value':1e999", "value must be a value"},
        {REPO_E_INVALID, ",'value':[{'a':-1e999}]", "value must be a value"},
        {REPO_E_INVALID, ",'ts':1e999", "ts must be a number"},
        {REPO_E_INVALID, ",'ts':'now'", "ts must be a number"},
        {REPO_E_INVALID, ",'envelope_v':1.5", "envelope_v must be an integer"},
        {REPO_E_INVALID, ",'envelope_v':2147483648", "envelope_v must be an integer from 0 to 2147483647"},
        {REPO_E_INVALID, ",'primitive':7", "primitive must be text"},
        {REPO_E_INVALID, ",'primitive':null", "primitive must not be null"},
        {REPO_E_INVALID, ",'id':'nope'", "id must be a uuid"},
        {REPO_E_INVALID, ",'attacker_uuid':'nope'", "attacker_uuid must be a uuid"},
        {REPO_E_FK, ",'attacker_uuid':'" NOBODY "'", "foreign key"},
    };
    static const char *const required[] = {"primitive", "value", "confidence",   "window_start_ts", "window_end_ts",
                                           "source",    "ts",    "evidence_ref", "envelope_v",      "attacker_uuid"};
    const char *a = attacker("198.51.100.1");

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(cases[i].outcome, cases[i].words, "upsert_observation", "%s", observation(a, "e", "p", cases[i].more));
    for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
        char text[1024], key[64], words[64];
        snprintf(text, sizeof(text), "%s", observation(a, "e", "p", ""));
        snprintf(key, sizeof(key), "'%s'", required[i]);
        char *at = strstr(text, key);
        cr_assert_not_null(at, "%s", key);
        at[1] = '_';
        snprintf(words, sizeof(words), "key %s is missing", required[i]);
        refuse(REPO_E_INVALID, words, "upsert_observation", "%s", text);
    }
    refuse(REPO_E_INVALID, "data must be an object", "upsert_observation", "{'data':'x'}");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), 0);
    /* an id that another row has */
    store(a, "e1", "p", ",'id':'" NOBODY "'");
    refuse(REPO_E_CONFLICT, "duplicate", "upsert_observation", "%s", observation(a, "e2", "p", ",'id':'" NOBODY "'"));
    /* a key longer than an index takes; a short one that repeats is no measure, as the index compresses it */
    cleanup(buf_free) Buf longer = {0};
    for (uint32_t i = 0, x = 1; i < 20000; i++)
        buf_printf(&longer, "%08x", x = x * 1664525 + 1013904223);
    refuse(REPO_E_INVALID, "", "upsert_observation",
           "{'data':{'primitive':'p','value':1,'confidence':0.5,'window_start_ts':1,'window_end_ts':1,'source':'s',"
           "'evidence_ref':'%s','envelope_v':1,'ts':1,'attacker_uuid':'%s'}}",
           longer.data, a);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), 1);
}

Test(repo_observations, text_is_repaired)
{
    const char *a = attacker("198.51.100.1");

    store(a, "e\\u0000\\ud800", "p", ",'value':{'k\\u0000':'v\\ud800'},'source':'s\\u0000'");
    store(a, "e\\u0000\\ud800", "p", ",'value':{'k\\u0000':'v\\ud800'},'source':'s\\u0000'");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE source = E's\\uFFFD'"), 1);
    cleanup(json_putp) json_object *has = call("has_observations_for_evidence", "{'evidence_ref':'e\\u0000\\ud800'}");
    cr_expect(json_object_get_boolean(has));
}

/* --- reading --- */

Test(repo_observations, the_latest_of_each_primitive)
{
    const char *a = attacker("198.51.100.1");

    store(a, "e1", "b.x", ",'ts':5,'value':1");
    store(a, "e2", "b.x", ",'ts':7,'window_end_ts':1,'value':2,'source':'s2','confidence':0.75");
    store(a, "e3", "b.x", ",'ts':7,'window_end_ts':2,'value':3,'id':'00000000-0000-4000-8000-000000000001'");
    store(a, "e4", "b.x", ",'ts':7,'window_end_ts':2,'value':4,'id':'00000000-0000-4000-8000-000000000002'");
    store(a, "e1", "B.x", ",'ts':1,'value':'upper'");
    store(a, "e1", "a\\u00e4", ",'ts':1,'value':null");
    store(attacker("198.51.100.2"), "e9", "c.x", "");
    cleanup(json_putp) json_object *latest = call("latest_observation_per_primitive", "{'attacker_uuid':'%s'}", a);
    cr_expect_str_eq(json_object_to_json_string_ext(latest, JSON_C_TO_STRING_PLAIN),
                     "{\"B.x\":{\"value\":\"upper\",\"confidence\":0.5,\"ts\":1.0,\"source\":\"test\"},"
                     "\"a\xc3\xa4\":{\"value\":null,\"confidence\":0.5,\"ts\":1.0,\"source\":\"test\"},"
                     "\"b.x\":{\"value\":4,\"confidence\":0.5,\"ts\":7.0,\"source\":\"test\"}}");
    cleanup(json_putp) json_object *none = call("latest_observation_per_primitive", "{'attacker_uuid':'nope'}");
    cr_expect_str_eq(json_object_to_json_string(none), "{ }");
    cleanup(json_putp) json_object *unknown =
        call("latest_observation_per_primitive", "{'attacker_uuid':'" NOBODY "'}");
    cr_expect_str_eq(json_object_to_json_string(unknown), "{ }");
}

Test(repo_observations, series_of_an_attacker_and_of_an_identity)
{
    const char *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2"), *c = attacker("198.51.100.3");
    const char *x = identity(1), *merged = identity(2);

    harness_sql("UPDATE attackers SET identity_id = '%s' WHERE uuid IN ('%s', '%s');"
                " UPDATE attackers SET identity_id = '%s' WHERE uuid = '%s';"
                " UPDATE attacker_identities SET merged_into_uuid = '%s' WHERE uuid = '%s'",
                x, a, b, merged, c, x, merged);
    store(a, "e1", "p", ",'ts':3,'value':1,'id':'00000000-0000-4000-8000-000000000002'");
    store(b, "e2", "p", ",'ts':2,'value':2");
    store(a, "e3", "p", ",'ts':3,'value':3,'id':'00000000-0000-4000-8000-000000000001'");
    store(a, "e3", "q", ",'ts':1,'value':4");
    store(c, "e4", "p", ",'ts':1,'value':5");
    cleanup(json_putp) json_object *series =
        call("observations_time_series", "{'attacker_uuid':'%s','primitive':'p'}", a);
    cr_expect_str_eq(json_object_to_json_string_ext(series, JSON_C_TO_STRING_PLAIN),
                     "[{\"ts\":3.0,\"value\":3,\"confidence\":0.5},{\"ts\":3.0,\"value\":1,\"confidence\":0.5}]");
    cleanup(json_putp) json_object *both =
        call("observations_for_identity_primitive", "{'identity_uuid':'%s','primitive':'p'}", x);
    cr_expect_str_eq(json_object_to_json_string_ext(both, JSON_C_TO_STRING_PLAIN),
                     "[{\"ts\":2.0,\"value\":2,\"confidence\":0.5},{\"ts\":3.0,\"value\":3,\"confidence\":0.5},"
                     "{\"ts\":3.0,\"value\":1,\"confidence\":0.5}]",
                     "merges are not followed");
    static const char *const nobody[] = {"nope", NOBODY};
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
        cleanup(json_putp) json_object *of_attacker =
            call("observations_time_series", "{'attacker_uuid':'%s','primitive':'p'}", nobody[i]);
        cleanup(json_putp) json_object *of_identity =
            call("observations_for_identity_primitive", "{'identity_uuid':'%s','primitive':'p'}", nobody[i]);
        cr_expect_eq(json_object_array_length(of_attacker) + json_object_array_length(of_identity), 0);
    }
}

Test(repo_observations, evidence_is_known_once_any_row_names_it)
{
    store(attacker("198.51.100.1"), "shard:d/ssh/f.jsonl#1", "p", "");
    cleanup(json_putp) json_object *yes =
        call("has_observations_for_evidence", "{'evidence_ref':'shard:d/ssh/f.jsonl#1'}");
    cleanup(json_putp) json_object *no =
        call("has_observations_for_evidence", "{'evidence_ref':'shard:d/ssh/f.jsonl'}");
    cleanup(json_putp) json_object *empty = call("has_observations_for_evidence", "{'evidence_ref':''}");
    cr_expect(json_object_get_boolean(yes));
    cr_expect(!json_object_get_boolean(no));
    cr_expect(!json_object_get_boolean(empty));
}

Test(repo_observations, envelopes_of_an_attacker)
{
    const char *a = attacker("198.51.100.1");

    store(a, "e1", "p", ",'window_end_ts':9,'identity_ref':'r'");
    store(a, "e2", "p", ",'window_end_ts':8,'id':'00000000-0000-4000-8000-000000000002'");
    store(a, "e3", "p", ",'window_end_ts':8,'id':'00000000-0000-4000-8000-000000000001'");
    cleanup(json_putp) json_object *list = call("list_observations_by_attacker", "{'attacker_uuid':'%s'}", a);
    cr_assert_eq(json_object_array_length(list), 3);
    expect_key(nth(list, 0), "evidence_ref", "e3");
    expect_key(nth(list, 1), "evidence_ref", "e2");
    cr_expect_str_eq(json_object_to_json_string_ext(nth(list, 2), JSON_C_TO_STRING_PLAIN),
                     "{\"primitive\":\"p\",\"value\":\"typed\",\"confidence\":0.5,\"window\":{\"start_ts\":10.25,"
                     "\"end_ts\":9.0},\"source\":\"test\",\"evidence_ref\":\"e1\",\"identity_ref\":\"r\"}");
    cr_expect_eq(json_object_object_length(nth(list, 0)), 6, "no identity_ref when there is none");
    cleanup(json_putp) json_object *none = call("list_observations_by_attacker", "{'attacker_uuid':''}");
    cr_expect_eq(json_object_array_length(none), 0);
}

/* --- batches --- */

/* Observation @n of a batch, with text that lives long enough. */
static StoredObservation row(Arena *arena, const Uuid *attacker_uuid, int n, double ts, const char *value)
{
    StoredObservation o = {.evidence_ref = str_from(arena_printf(arena, "shard:d/ssh/f.jsonl#%04d", n / 38)),
                           .primitive = str_from(arena_printf(arena, "motor.primitive_%02d", n % 38)),
                           .value = str_from(value),
                           .confidence = 0.5,
                           .window_start_ts = ts - 10,
                           .window_end_ts = ts,
                           .ts = ts,
                           .source = STR("test"),
                           .envelope_v = 1,
                           .attacker_uuid = *attacker_uuid};
    o.id = observation_minted_id(o.evidence_ref, o.primitive);
    return o;
}

static int upsert_guessing(Repo *on, StoredObservation *rows, size_t n, bool maybe_stored, Arena *arena)
{
    cr_assert_eq(repo_begin(on), 0, "%s", repo_error_text(on));
    int r = observations_upsert(on, rows, n, maybe_stored, arena);
    if (r == 0)
        cr_assert_eq(repo_commit(on), 0);
    else
        repo_rollback(on);
    return r;
}

static int upsert_in(Repo *on, StoredObservation *rows, size_t n, Arena *arena)
{
    return upsert_guessing(on, rows, n, false, arena);
}

static void expect_outcome(const StoredObservation *rows, size_t n, RowOutcome want)
{
    for (size_t i = 0; i < n; i++)
        cr_expect_eq(rows[i].outcome, want, "row %zu: %d", i, rows[i].outcome);
}

static void expect_outcomes_of_batches(bool maybe_stored)
{
    enum { N = 200 };
    cleanup(arena_freep) Arena *arena = arena_new();
    StoredObservation rows[N];
    Uuid a, b;

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.2")), &b));
    cr_expect_eq(upsert_guessing(repo, NULL, 0, maybe_stored, arena), 0);
    for (int i = 0; i < N; i++)
        rows[i] = row(arena, &a, (i * 77) % N, 100, "\"typed\"");
    cr_assert_eq(upsert_guessing(repo, rows, N, maybe_stored, arena), 0);
    expect_outcome(rows, N, ROW_NEW);
    cr_assert_eq(upsert_guessing(repo, rows, N, maybe_stored, arena), 0);
    expect_outcome(rows, N, ROW_UNCHANGED);

    /* each fourth is older, newer, the same, and new */
    Uuid kept = rows[1].id;
    for (int i = 0; i < N; i++) {
        rows[i] = row(arena, i % 4 == 1 ? &b : &a, i % 4 == 3 ? N + i : (i * 77) % N,
                      (double[]){99, 101, 100, 100}[i % 4], i % 4 == 1 ? "[1]" : "\"typed\"");
        rows[i].id = i % 4 == 3 ? rows[i].id : uuid_random();
    }
    cr_assert_eq(upsert_guessing(repo, rows, N, maybe_stored, arena), 0);
    for (int i = 0; i < N; i++) {
        cr_expect_eq(rows[i].outcome, ((RowOutcome[]){ROW_STALE, ROW_CHANGED, ROW_UNCHANGED, ROW_NEW})[i % 4]);
        Uuid id = observation_minted_id(rows[i].evidence_ref, rows[i].primitive);
        cr_expect_eq(uuid_cmp(&rows[i].id, &id), 0, "the id of the stored row");
        if (rows[i].outcome != ROW_CHANGED)
            continue;
        cr_expect_eq(uuid_cmp(&rows[i].old_attacker_uuid, &a), 0);
        cr_expect_eq(rows[i].old_ts, 100);
        cr_expect(str_eq_cstr(rows[i].old_value, "\"typed\""), STR_FMT, STR_ARG(rows[i].old_value));
    }
    cr_expect_eq(uuid_cmp(&kept, &rows[1].id), 0);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), N + N / 4);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE ts = 101 AND value = '[1]'"), N / 4);
}

Test(repo_observations, a_batch_tells_what_became_of_each_row)
{
    expect_outcomes_of_batches(false);
}

Test(repo_observations, a_guess_that_some_are_stored_changes_nothing)
{
    expect_outcomes_of_batches(true);
}

/* Few stored rows among many new ones, at every place of the order: what the attempt to copy all has written goes, what
 * the transaction wrote before stays. */
Test(repo_observations, a_stored_row_among_many_new_ones)
{
    enum { N = 300 };
    static const int places[] = {0, N / 2, N - 1};
    cleanup(arena_freep) Arena *arena = arena_new();
    StoredObservation rows[N], stored;
    Uuid a;

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    for (size_t k = 0; k < ARRAY_SIZE(places); k++) {
        harness_sql("TRUNCATE observations");
        stored = row(arena, &a, places[k], 50, "\"typed\"");
        cr_assert_eq(upsert_in(repo, &stored, 1, arena), 0);
        for (int i = 0; i < N; i++)
            rows[i] = row(arena, &a, i, 100, "\"pasted\"");
        cr_assert_eq(repo_begin(repo), 0);
        StoredObservation before = row(arena, &a, N, 50, "\"typed\"");
        cr_assert_eq(observations_upsert(repo, &before, 1, false, arena), 0);
        cr_assert_eq(observations_upsert(repo, rows, N, false, arena), 0, "%s", repo_error_text(repo));
        cr_assert_eq(repo_commit(repo), 0);
        for (int i = 0; i < N; i++)
            cr_expect_eq(rows[i].outcome, i == places[k] ? ROW_CHANGED : ROW_NEW, "%d of %zu", i, k);
        cr_expect(str_eq_cstr(rows[places[k]].old_value, "\"typed\""));
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE value = '\"pasted\"'"), N);
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), N + 1);
    }
}

Test(repo_observations, many_new_rows_are_those_that_went_in)
{
    enum { N = 2000 };
    cleanup(arena_freep) Arena *arena = arena_new();
    StoredObservation *rows = arena_calloc(arena, N, sizeof(*rows));
    Uuid a;

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    for (int i = 0; i < N; i++) {
        rows[i] = row(arena, &a, (i * 77) % N, 100 + i, arena_printf(arena, "[%d,\"\\u00e9\"]", i));
        rows[i].confidence = i / (double)N;
        rows[i].identity_ref = i % 2 ? STR("ref") : (Str){0};
        rows[i].value_kind = i % 3 ? STR("hash") : (Str){0};
        rows[i].source = i % 5 ? STR("test") : (Str){.data = "a\0\xff", .len = 3};
    }
    cr_assert_eq(upsert_in(repo, rows, N, arena), 0);
    expect_outcome(rows, N, ROW_NEW);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM (SELECT o.*, (ts - 100)::int AS i FROM observations o) o"
                                 " WHERE value = jsonb_build_array(i, U&'\\00e9') AND confidence = i / %d::float8"
                                 " AND window_start_ts = ts - 10 AND window_end_ts = ts AND attacker_uuid = '%s'"
                                 " AND identity_ref IS NOT DISTINCT FROM CASE WHEN i %% 2 = 1 THEN 'ref' END"
                                 " AND value_kind IS NOT DISTINCT FROM CASE WHEN i %% 3 > 0 THEN 'hash' END"
                                 " AND source = CASE WHEN i %% 5 > 0 THEN 'test' ELSE U&'a\\fffd\\fffd' END"
                                 " AND envelope_v = 1 AND evidence_ref = 'shard:d/ssh/f.jsonl#' ||"
                                 " lpad((i * 77 %% %d / 38)::text, 4, '0')",
                                 N, attacker("198.51.100.1"), N),
                 N);
    /* as they would have come in by the other way: nothing differs */
    cr_assert_eq(upsert_guessing(repo, rows, N, true, arena), 0);
    expect_outcome(rows, N, ROW_UNCHANGED);
}

Test(repo_observations, rows_of_a_batch_with_one_key_follow_each_other)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    Uuid a;
    static const struct {
        double ts;
        const char *value;
        RowOutcome want;
    } steps[] = {{5, "1", ROW_NEW},   {4, "9", ROW_STALE},   {5, "1", ROW_UNCHANGED}, {6, "2", ROW_CHANGED},
                 {6, "1", ROW_STALE}, {6, "3", ROW_CHANGED}, {6, "3", ROW_UNCHANGED}};
    StoredObservation rows[ARRAY_SIZE(steps) + 1];

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        rows[i] = row(arena, &a, 7, steps[i].ts, steps[i].value);
    rows[ARRAY_SIZE(steps)] = row(arena, &a, 3, 1, "true");
    cr_assert_eq(upsert_in(repo, rows, ARRAY_SIZE(rows), arena), 0);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        cr_expect_eq(rows[i].outcome, steps[i].want, "step %zu: %d", i, rows[i].outcome);
    cr_expect_eq(rows[ARRAY_SIZE(steps)].outcome, ROW_NEW);
    cr_expect(str_eq_cstr(rows[5].old_value, "2"));
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE ts = 6 AND value = '3'"), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), 2);
}

Test(repo_observations, a_replay_with_repeated_keys_locks_nothing)
{
    enum { N = 100 };
    cleanup(arena_freep) Arena *arena = arena_new();
    StoredObservation rows[2 * N];
    Uuid a;

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    for (int i = 0; i < N; i++)
        rows[i] = rows[N + i] = row(arena, &a, i, 100, "1");
    for (int times = 0; times < 3; times++) {
        cr_assert_eq(upsert_guessing(repo, rows, 2 * N, times == 2, arena), 0);
        expect_outcome(rows, N, times ? ROW_UNCHANGED : ROW_NEW);
        expect_outcome(rows + N, N, ROW_UNCHANGED);
    }
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE xmax::text = '0'"), N);
    /* the second row of one key makes it change: that one is locked */
    rows[N + 5].ts = 101;
    cr_assert_eq(upsert_guessing(repo, rows, 2 * N, true, arena), 0);
    for (int i = 0; i < 2 * N; i++)
        cr_expect_eq(rows[i].outcome, i == N + 5 ? ROW_CHANGED : ROW_UNCHANGED, "%d", i);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE xmax::text = '0'"), N - 1);
}

Test(repo_observations, another_kind_of_the_same_value_is_a_change)
{
    static const struct {
        Str said;
        RowOutcome want;
        const char *stored;
    } steps[] = {{{0}, ROW_NEW, "none"},
                 {STR("hash"), ROW_CHANGED, "hash"},
                 {STR("hash"), ROW_UNCHANGED, "hash"},
                 {{0}, ROW_UNCHANGED, "hash"},
                 {STR("categorical"), ROW_CHANGED, "categorical"}};
    cleanup(arena_freep) Arena *arena = arena_new();
    Uuid a;

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        StoredObservation o = row(arena, &a, 7, 5, "1");
        o.value_kind = steps[i].said;
        cr_assert_eq(upsert_in(repo, &o, 1, arena), 0);
        cr_expect_eq(o.outcome, steps[i].want, "step %zu: %d", i, o.outcome);
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE COALESCE(value_kind, 'none') = '%s'",
                                     steps[i].stored),
                     1, "step %zu", i);
    }
}

Test(repo_observations, equal_numbers_with_other_digits_are_other_bytes)
{
    const char *a = attacker("198.51.100.1");

    store(a, "e", "p", ",'value':1");
    store(a, "e", "p", ",'value':1.0");
    expect_stored("1.0");
    store(a, "e", "p", ",'value':1");
    expect_stored("1.0");
}

Test(repo_observations, a_batch_with_an_unknown_attacker_leaves_nothing)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    StoredObservation rows[3];
    Uuid a, nobody;

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    cr_assert(uuid_parse_text(STR(NOBODY), &nobody));
    for (int i = 0; i < 3; i++)
        rows[i] = row(arena, i == 1 ? &nobody : &a, i, 1, "1");
    cr_expect_eq(upsert_in(repo, rows, 3, arena), REPO_E_FK);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), 0);
    cr_expect_eq(call_int("get_max_log_id", "{}"), 0, "the connection stays usable");
}

/* What PostgreSQL says of one row of many is what it would say of that row alone. */
Test(repo_observations, a_large_batch_is_refused_for_what_one_row_is)
{
    enum { N = 200 };
    cleanup(arena_freep) Arena *arena = arena_new();
    StoredObservation rows[N];
    Uuid a, nobody, taken = {{0}};

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    cr_assert(uuid_parse_text(STR(NOBODY), &nobody));
    for (int bad = 0; bad < 3; bad++) {
        for (int i = 0; i < N; i++)
            rows[i] = row(arena, &a, i, 1, "1");
        if (bad == 0)
            rows[77].attacker_uuid = nobody;
        else if (bad == 1)
            rows[77].value = STR("{");
        else
            rows[77].id = taken; /* of a row with another key */
        cr_expect_eq(upsert_in(repo, rows, N, arena), bad == 0 ? REPO_E_FK : REPO_E_REJECTED, "%d", bad);
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), bad == 2, "%d", bad);
        if (bad == 1) {
            rows[0] = row(arena, &a, N, 1, "1");
            cr_assert_eq(upsert_in(repo, rows, 1, arena), 0);
            taken = rows[0].id;
        }
    }
}

/* --- several writers --- */

enum { KEYS = 190, ROUNDS = 30 };

/* Each writer brings every key in an order of its own; at the end the greatest of all has to be there. */
static void write_all(Repo *own, int index, void *arg)
{
    const Uuid *attacker_uuid = arg;
    StoredObservation rows[KEYS];

    for (int round = 0; round < ROUNDS; round++) {
        cleanup(arena_freep) Arena *arena = arena_new();
        int n = KEYS - round % 7;
        for (int i = 0; i < n; i++) {
            int key = (i * 7 + index * 13) % KEYS;
            double ts = (round * 31 + index * 17 + key) % 101;
            rows[i] = row(arena, attacker_uuid, key, ts, arena_printf(arena, "%d", index));
        }
        cr_assert_eq(upsert_guessing(own, rows, (size_t)n, (round + index) % 3 == 0, arena), 0, "%s",
                     repo_error_text(own));
    }
}

Test(repo_observations, eight_writers_on_the_same_keys)
{
    Uuid a;

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    hammer_all(write_all, &a);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), KEYS);
    /* what anybody had to bring at the most: 8 writers x 30 rounds reach nearly every residue of 101 */
    int64_t wrong = 0;
    for (int key = 0; key < KEYS; key++) {
        double best_ts = -1;
        int best = 0;
        for (int index = 0; index < HAMMERS; index++)
            for (int round = 0; round < ROUNDS; round++)
                for (int i = 0; i < KEYS - round % 7; i++)
                    if ((i * 7 + index * 13) % KEYS == key) {
                        double ts = (round * 31 + index * 17 + key) % 101;
                        if (ts > best_ts || (ts == best_ts && index > best)) {
                            best_ts = ts;
                            best = index;
                        }
                    }
        wrong += harness_sql_int("SELECT count(*) FROM observations WHERE evidence_ref = 'shard:d/ssh/f.jsonl#%04d'"
                                 " AND primitive = 'motor.primitive_%02d' AND (ts, value) IS DISTINCT FROM"
                                 " (%f::float8, '%d'::jsonb)",
                                 key / 38, key % 38, best_ts, best);
    }
    cr_expect_eq(wrong, 0);
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}

/* In each round every writer has keys of its own between those that all of them bring for the first time: whoever copies
 * them meets rows that others are just storing. */
enum { SHARED = 40, OWN = 40 };

static void write_new(Repo *own, int index, void *arg)
{
    const Uuid *attacker_uuid = arg;
    StoredObservation rows[SHARED + OWN];

    for (int round = 0; round < ROUNDS; round++) {
        cleanup(arena_freep) Arena *arena = arena_new();
        int first = round * (SHARED + OWN * HAMMERS), n = 0;
        for (int i = 0; i < SHARED; i++) {
            rows[n++] = row(arena, attacker_uuid, first + i * (HAMMERS + 1), 1, "1");
            rows[n++] = row(arena, attacker_uuid, first + i * (HAMMERS + 1) + 1 + index, 1, "2");
        }
        cr_assert_eq(upsert_in(own, rows, (size_t)n, arena), 0, "%s", repo_error_text(own));
        for (int i = 1; i < n; i += 2)
            cr_expect_eq(rows[i].outcome, ROW_NEW, "nobody else has this key");
    }
}

Test(repo_observations, eight_writers_of_new_rows)
{
    Uuid a;

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    hammer_all(write_new, &a);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE value = '1'"), ROUNDS * SHARED);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE value = '2'"), ROUNDS * OWN * HAMMERS);
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}

/* Each of MANY keys REPEATS times, shuffled: a later row changes what the first one left alone, whose key is smaller than
 * those that the first ones changed. With each round some keys go and others come, anywhere in the order. */
enum { MANY = 61, REPEATS = 3, REPEATED = MANY * REPEATS, ALL_KEYS = MANY + 4 * (ROUNDS - 1) };

static void fill_repeated(Arena *arena, const Uuid *attacker_uuid, int index, int round, StoredObservation *rows)
{
    unsigned seed = (unsigned)(index * ROUNDS + round);

    for (int i = 0; i < REPEATED; i++) {
        int other = rand_r(&seed) % (i + 1), key = (4 * round + i % MANY) * 77 % ALL_KEYS;
        rows[i] = rows[other];
        rows[other] = row(arena, attacker_uuid, key, 3 * round + rand_r(&seed) % 12, "1");
    }
}

static void write_repeated(Repo *own, int index, void *arg)
{
    StoredObservation rows[REPEATED] = {0};

    for (int round = 0; round < ROUNDS; round++) {
        cleanup(arena_freep) Arena *arena = arena_new();
        fill_repeated(arena, arg, index, round, rows);
        cr_expect_eq(upsert_guessing(own, rows, REPEATED, round % 2, arena), 0, "%s", repo_error_text(own));
    }
}

Test(repo_observations, eight_writers_of_batches_with_repeated_keys)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    StoredObservation rows[REPEATED] = {0};
    Uuid a;

    cr_assert(uuid_parse_text(str_from(attacker("198.51.100.1")), &a));
    hammer_all(write_repeated, &a);
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), ALL_KEYS);
    for (int at = 0; at < HAMMERS * ROUNDS; at++) { /* nobody brought a greater one than what is stored */
        fill_repeated(arena, &a, at / ROUNDS, at % ROUNDS, rows);
        cr_assert_eq(observations_compare(repo, rows, REPEATED, arena), 0);
        for (int i = 0; i < REPEATED; i++)
            cr_expect(rows[i].outcome == ROW_UNCHANGED || rows[i].outcome == ROW_STALE, "%d: %d", i, rows[i].outcome);
    }
}

static void store_one(Repo *own, int index, void *arg)
{
    char ids[HAMMERS][UUID_TEXT_BYTES];

    for (int i = 0; i < 20; i++) {
        cleanup(json_putp) json_object *id =
            call_on(own, "upsert_observation", "%s",
                    observation(arg, "same", "p", index % 2 ? ",'ts':7,'value':'odd'" : ",'ts':8,'value':'even'"));
        snprintf(ids[index], sizeof(ids[index]), "%s", json_object_get_string(id));
    }
}

Test(repo_observations, eight_callers_on_one_row)
{
    char a[UUID_TEXT_BYTES];

    snprintf(a, sizeof(a), "%s", attacker("198.51.100.1"));
    hammer_all(store_one, a);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations WHERE ts = 8 AND value = '\"even\"'"), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM observations"), 1);
}
