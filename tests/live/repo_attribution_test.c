/* Stub identities and states: single calls, batches, late writers, and many at once. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo/attribution.h"
#include "repo_support.h"

TestSuite(repo_attribution, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

#define NOBODY "00000000-0000-4000-8000-0000000000ff"

/* --- stub identities --- */

static void stub_of(const char *attacker_uuid, char out[UUID_TEXT_BYTES])
{
    cleanup(json_putp) json_object *id =
        call("ensure_stub_identity_for_attacker", "{'attacker_uuid':'%s'}", attacker_uuid);
    snprintf(out, UUID_TEXT_BYTES, "%s", id ? json_object_get_string(id) : "null");
}

static Uuid uuid_of(const char *text)
{
    Uuid uuid;
    cr_assert(uuid_parse_text(str_from(text), &uuid), "%s", text);
    return uuid;
}

static void founded_by(const char *attacker_uuid, char out[UUID_TEXT_BYTES])
{
    Uuid attacker_id = uuid_of(attacker_uuid), id = uuid_v5_of(&UUID_NS_IDENTITY, &attacker_id);
    uuid_format(out, &id);
}

Test(repo_attribution, an_attacker_founds_its_identity_once)
{
    const char *a = attacker("198.51.100.1");
    char want[UUID_TEXT_BYTES], got[UUID_TEXT_BYTES], again[UUID_TEXT_BYTES];

    harness_sql("UPDATE attackers SET last_seen = '2026-01-02T03:04:05.000006Z'");
    harness_pg_clock(3600);
    founded_by(a, want);
    stub_of(a, got);
    cr_expect_str_eq(got, want);
    stub_of(a, again);
    cr_expect_str_eq(again, want);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities WHERE schema_version = 1"
                                 " AND first_seen_at = '2026-01-01T00:00:00Z'"
                                 " AND last_seen_at = '2026-01-02T03:04:05.000006Z' AND observation_count = 1"
                                 " AND created_at = updated_at AND created_at > now() + interval '59 minutes'"
                                 " AND campaign_id IS NULL AND confidence IS NULL AND ja3_hashes IS NULL"
                                 " AND kd_digraph_simhash IS NULL AND merged_into_uuid IS NULL AND notes IS NULL"),
                 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities"), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE identity_id = '%s'", want), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_dirty WHERE identity_uuid = '%s'", want), 1,
                 "what was observed before has an identity now");
}

Test(repo_attribution, a_given_identity_is_told_literally_and_nobody_gets_none)
{
    const char *a = attacker("198.51.100.1"), *b = attacker("198.51.100.2"), *loser = identity(1),
               *winner = identity(2);
    char got[UUID_TEXT_BYTES], founded[UUID_TEXT_BYTES];

    harness_sql("UPDATE attackers SET identity_id = '%s' WHERE uuid = '%s';"
                " UPDATE attacker_identities SET merged_into_uuid = '%s' WHERE uuid = '%s'",
                loser, a, winner, loser);
    stub_of(a, got);
    cr_expect_str_eq(got, loser, "also when it is merged out");
    stub_of(NOBODY, got);
    cr_expect_str_eq(got, "null");
    stub_of("nope", got);
    cr_expect_str_eq(got, "null");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities"), 2);
    /* the clusterer has formed it around the attacker, and only the link is missing */
    founded_by(b, founded);
    harness_sql("INSERT INTO attacker_identities (uuid, observation_count, notes) VALUES ('%s', 5, 'formed')", founded);
    stub_of(b, got);
    cr_expect_str_eq(got, founded);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers a JOIN attacker_identities i ON i.uuid = a.identity_id"
                                 " WHERE i.notes = 'formed' AND i.observation_count = 5"),
                 1);
    refuse(REPO_E_INVALID, "attacker_uuid is missing", "ensure_stub_identity_for_attacker", "{}");
}

static int ensure_in(Repo *on, StubIdentity *stubs, size_t n)
{
    cr_assert_eq(repo_begin(on), 0, "%s", repo_error_text(on));
    int r = attribution_ensure_stubs(on, stubs, n);
    if (r == 0)
        cr_assert_eq(repo_commit(on), 0);
    else
        repo_rollback(on);
    return r;
}

Test(repo_attribution, a_batch_of_stubs)
{
    const char *x = identity(1);
    StubIdentity stubs[6] = {0};

    stubs[0].attacker_uuid = stubs[4].attacker_uuid = uuid_of(attacker("198.51.100.1"));
    stubs[1].attacker_uuid = uuid_of(NOBODY);
    stubs[2].attacker_uuid = uuid_of(attacker("198.51.100.2"));
    stubs[3].attacker_uuid = uuid_of(attacker("198.51.100.3"));
    stubs[5].attacker_uuid = uuid_of(attacker("198.51.100.4"));
    harness_sql("UPDATE attackers SET identity_id = '%s' WHERE ip = '198.51.100.2'", x);
    cr_expect_eq(ensure_in(repo, NULL, 0), 0);
    cr_assert_eq(ensure_in(repo, stubs, ARRAY_SIZE(stubs)), 0, "%s", repo_error_text(repo));
    static const bool is_new[] = {true, false, false, true, false, true};
    for (size_t i = 0; i < ARRAY_SIZE(stubs); i++) {
        cr_expect_eq(stubs[i].is_new, is_new[i], "%zu", i);
        cr_expect_eq(stubs[i].exists, i != 1, "%zu", i);
        Uuid want = i == 2 ? uuid_of(x) : uuid_v5_of(&UUID_NS_IDENTITY, &stubs[i].attacker_uuid);
        cr_expect(i == 1 || uuid_cmp(&want, &stubs[i].identity_uuid) == 0, "%zu", i);
        cr_expect(i == 1 || (stubs[i].first_seen_us == INT64_C(1767225600000000) &&
                             stubs[i].last_seen_us == stubs[i].first_seen_us));
    }
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities"), 4);
    cr_assert_eq(ensure_in(repo, stubs, ARRAY_SIZE(stubs)), 0);
    for (size_t i = 0; i < ARRAY_SIZE(stubs); i++)
        cr_expect(!stubs[i].is_new);
}

/* Eight writers over the same attackers, each in another order, and among them one that links some of these to an identity
 * of its own, and one that touches all as ingest does. */
enum { ATTACKERS = 60, BATCHES = 12 };

typedef struct Crowd {
    Uuid attackers[ATTACKERS];
    _Atomic int formed;
} Crowd;

static void found_all(Repo *own, int index, void *arg)
{
    Crowd *crowd = arg;
    StubIdentity stubs[ATTACKERS];

    for (int batch = 0; batch < BATCHES; batch++) {
        size_t n = 0;
        for (int i = batch * ATTACKERS / BATCHES; i < (batch + 1) * ATTACKERS / BATCHES; i++) {
            int at = (i * (index * 2 + 1) + index) % ATTACKERS;
            stubs[n++] = (StubIdentity){.attacker_uuid = crowd->attackers[at]};
        }
        if (index == 7) {
            char id[UUID_TEXT_BYTES];
            for (size_t i = 0; i < n; i += 2) {
                uuid_format(id, &stubs[i].attacker_uuid);
                json_object_put(call_on(own, "upsert_attacker", "{'data':{'ip':'10.0.0.%zu','event_count':%d}}",
                                        (size_t)batch * 5 + i, batch));
                json_object_put(call_on(own, "set_attacker_identity_id",
                                        "{'attacker_uuid':'%s','identity_uuid':'1d000000-0000-4000-8000-000000000009'}",
                                        id));
            }
            continue;
        }
        cr_assert_eq(ensure_in(own, stubs, n), 0, "%s", repo_error_text(own));
        for (size_t i = 0; i < n; i++) {
            cr_expect(stubs[i].exists);
            crowd->formed += stubs[i].is_new;
        }
    }
}

Test(repo_attribution, eight_writers_found_one_identity_per_attacker)
{
    Crowd crowd = {0};

    identity(9);
    for (int i = 0; i < ATTACKERS; i++) {
        char ip[16];
        snprintf(ip, sizeof(ip), "10.0.0.%d", i);
        crowd.attackers[i] = uuid_of(attacker(ip));
    }
    hammer_all(found_all, &crowd);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attackers WHERE identity_id IS NULL"), 0);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities") - 1, crowd.formed,
                 "each was announced by one writer");
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}

static void found_same(Repo *own, int index, void *arg)
{
    char(*ids)[UUID_TEXT_BYTES] = arg;
    cleanup(json_putp) json_object *id =
        call_on(own, "ensure_stub_identity_for_attacker", "{'attacker_uuid':'%s'}", ids[HAMMERS]);
    snprintf(ids[index], sizeof(ids[index]), "%s", json_object_get_string(id));
}

Test(repo_attribution, eight_first_calls_get_the_same_identity)
{
    for (int i = 0; i < 10; i++) {
        char ids[HAMMERS + 1][UUID_TEXT_BYTES], ip[16], want[UUID_TEXT_BYTES];
        snprintf(ip, sizeof(ip), "10.0.1.%d", i);
        snprintf(ids[HAMMERS], sizeof(ids[HAMMERS]), "%s", attacker(ip));
        founded_by(ids[HAMMERS], want);
        hammer_all(found_same, ids);
        for (int k = 0; k < HAMMERS; k++)
            cr_expect_str_eq(ids[k], want);
    }
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attacker_identities"), 10);
}

/* --- states --- */

/* One state as JSON; @more overrides. */
static const char *state(const char *identity_uuid, const char *primitive, const char *more)
{
    static _Thread_local char out[4][1024];
    static _Thread_local unsigned turn;
    char *to = out[turn++ % 4];

    snprintf(to, sizeof(out[0]),
             "{'data':{'identity_uuid':'%s','primitive':'%s','current_value':'typed','state':'stable','confidence':0.8,"
             "'observation_count':5,'last_change_ts':10.5,'last_observation_ts':20.25%s}}",
             identity_uuid, primitive, more);
    return to;
}

static void store(const char *identity_uuid, const char *primitive, const char *more)
{
    json_object_put(call("upsert_attribution_state", "%s", state(identity_uuid, primitive, more)));
}

Test(repo_attribution, a_state_is_stored_and_overwritten)
{
    const char *x = identity(1);

    store(x, "p", ",'schema_version':7,'nonsense':1");
    cleanup(json_putp) json_object *row = call("get_attribution_state", "{'identity_uuid':'%s','primitive':'p'}", x);
    expect_key(row, "identity_uuid", x);
    expect_key(row, "primitive", "p");
    expect_key(row, "current_value", "typed");
    expect_key(row, "state", "stable");
    expect_key(row, "confidence", "0.8");
    expect_key(row, "observation_count", "5");
    expect_key(row, "last_change_ts", "10.5");
    expect_key(row, "last_observation_ts", "20.25");
    expect_key(row, "schema_version", "1");
    cr_expect_eq(json_object_object_length(row), 10);

    harness_pg_clock(60);
    store(x, "p", "");
    cleanup(json_putp) json_object *touched =
        call("get_attribution_state", "{'identity_uuid':'%s','primitive':'p'}", x);
    cr_expect_str_neq(text_of(touched, "updated_at"), text_of(row, "updated_at"), "also when nothing differs");
    store(x, "p",
          ",'current_value':{'a':[null]},'state':'multi_actor','confidence':0.6,'observation_count':6,"
          "'last_change_ts':30,'last_observation_ts':30,'schema_version':2");
    cleanup(json_putp) json_object *after = call("get_attribution_state", "{'identity_uuid':'%s','primitive':'p'}", x);
    expect_key(after, "current_value", "{ \"a\": [ null ] }");
    expect_key(after, "state", "multi_actor");
    expect_key(after, "schema_version", "2");
    store(x, "p", ",'current_value':null,'last_observation_ts':30");
    cleanup(json_putp) json_object *last = call("get_attribution_state", "{'identity_uuid':'%s','primitive':'p'}", x);
    expect_key(last, "current_value", "null");
    expect_key(last, "schema_version", "2");
    expect_key(last, "last_observation_ts", "30.0");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state"), 1);
}

Test(repo_attribution, a_late_writer_is_left_out)
{
    const char *x = identity(1);

    store(x, "p", ",'current_value':'new','last_observation_ts':30");
    store(x, "p", ",'current_value':'old','last_observation_ts':29.999999");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state WHERE current_value = '\"new\"'"
                                 " AND last_observation_ts = 30"),
                 1);
}

Test(repo_attribution, what_is_no_state_is_refused)
{
    static const struct {
        int outcome;
        const char *more, *words;
    } cases[] = {
        {REPO_E_INVALID, ",'state':'certain'", "state must be unknown, stable"},
        {REPO_E_INVALID, ",'state':'Stable'", "state must be unknown, stable"},
        {REPO_E_INVALID, ",'state':null", "state must not be null"},
        {REPO_E_INVALID, ",'confidence':1.5", "confidence must be a number from 0 to 1"},
        {REPO_E_INVALID, ",'observation_count':-1", "observation_count must be an integer from 0"},
        {REPO_E_INVALID, ",'observation_count':'5'", "observation_count must be an integer from 0"},
        {REPO_E_INVALID, ",'last_change_ts':'x'", "last_change_ts must be a number"},
        {REPO_E_INVALID, ",'current_value':1e999", "current_value must be a value"},
        {REPO_E_INVALID, ",'identity_uuid':'nope'", "identity_uuid must be a uuid"},
        {REPO_E_INVALID, ",'schema_version':1.5", "schema_version must be an integer"},
        {REPO_E_FK, ",'identity_uuid':'" NOBODY "'", "foreign key"},
    };
    const char *x = identity(1);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(cases[i].outcome, cases[i].words, "upsert_attribution_state", "%s", state(x, "p", cases[i].more));
    refuse(REPO_E_INVALID, "key identity_uuid is missing", "upsert_attribution_state", "{'data':{}}");
    refuse(REPO_E_INVALID, "key last_observation_ts is missing", "upsert_attribution_state",
           "{'data':{'identity_uuid':'%s','primitive':'p','current_value':1,'state':'stable','confidence':0.8,"
           "'observation_count':5,'last_change_ts':10.5}}",
           x);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state"), 0);
}

Test(repo_attribution, states_of_an_identity_and_the_suspicious_ones)
{
    char x[3][UUID_TEXT_BYTES];

    for (unsigned i = 0; i < 3; i++)
        snprintf(x[i], sizeof(x[i]), "%s", identity(3 - i));
    store(x[0], "b", ",'state':'multi_actor'");
    store(x[0], "a", ",'state':'multi_actor'");
    store(x[0], "C", "");
    store(x[1], "a", ",'state':'multi_actor'");
    store(x[1], "b", ",'state':'conflicted'");
    store(x[2], "B", ",'state':'multi_actor'");
    store(x[2], "a", ",'state':'multi_actor'");
    store(x[2], "c", ",'state':'multi_actor'");
    harness_sql("UPDATE attacker_identities SET merged_into_uuid = '%s' WHERE uuid = '%s'", x[1], x[2]);
    cleanup(json_putp) json_object *states = call("get_attribution_state_for_identity", "{'identity_uuid':'%s'}", x[0]);
    cr_assert_eq(json_object_array_length(states), 3);
    for (size_t i = 0; i < 3; i++)
        expect_key(nth(states, i), "primitive", ((const char *[]){"C", "a", "b"})[i]);
    cleanup(json_putp) json_object *suspicious = call("list_multi_actor_identities", "{}");
    cr_assert_eq(json_object_array_length(suspicious), 2);
    expect_key(nth(suspicious, 0), "identity_uuid", x[2]);
    expect_key(nth(suspicious, 0), "primitives", "[ \"B\", \"a\", \"c\" ]");
    expect_key(nth(suspicious, 1), "identity_uuid", x[0]);
    expect_key(nth(suspicious, 1), "primitives", "[ \"a\", \"b\" ]");
    static const char *const nobody[] = {"nope", NOBODY};
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
        cleanup(json_putp) json_object *none =
            call("get_attribution_state_for_identity", "{'identity_uuid':'%s'}", nobody[i]);
        cr_expect_eq(json_object_array_length(none), 0);
        cr_expect_null(call("get_attribution_state", "{'identity_uuid':'%s','primitive':'a'}", nobody[i]));
    }
    cr_expect_null(call("get_attribution_state", "{'identity_uuid':'%s','primitive':'A'}", x[0]));
}

/* --- batches of states --- */

static StoredState row(Arena *arena, int n, double ts, const char *state_name, const char *value)
{
    char text[UUID_TEXT_BYTES];

    snprintf(text, sizeof(text), "1d000000-0000-4000-8000-%012d", n % 5 + 1);
    return (StoredState){.identity_uuid = uuid_of(text),
                         .primitive = str_from(arena_printf(arena, "p%02d", n / 5)),
                         .current_value = str_from(value),
                         .state = str_from(state_name),
                         .confidence = 0.8,
                         .observation_count = n,
                         .last_change_ts = ts,
                         .last_observation_ts = ts};
}

static int upsert_in(Repo *on, StoredState *rows, size_t n, Arena *arena)
{
    cr_assert_eq(repo_begin(on), 0, "%s", repo_error_text(on));
    int r = attribution_states_upsert(on, rows, n, arena);
    if (r == 0)
        cr_assert_eq(repo_commit(on), 0);
    else
        repo_rollback(on);
    return r;
}

Test(repo_attribution, a_batch_of_states_tells_what_became_of_each)
{
    enum { N = 100 };
    cleanup(arena_freep) Arena *arena = arena_new();
    StoredState rows[N];

    for (unsigned i = 1; i <= 5; i++)
        identity(i);
    cr_expect_eq(upsert_in(repo, NULL, 0, arena), 0);
    for (int i = 0; i < N; i++)
        rows[i] = row(arena, (i * 37) % N, 100, "stable", "\"typed\"");
    cr_assert_eq(upsert_in(repo, rows, N, arena), 0, "%s", repo_error_text(repo));
    for (int i = 0; i < N; i++)
        cr_expect_eq(rows[i].outcome, ROW_NEW);
    cleanup(freep) char *before =
        harness_sql_text("SELECT string_agg(ctid::text || xmin, ',' ORDER BY ctid) FROM attribution_state");
    cr_assert_eq(upsert_in(repo, rows, N, arena), 0);
    for (int i = 0; i < N; i++)
        cr_expect_eq(rows[i].outcome, ROW_UNCHANGED);
    cleanup(freep) char *after =
        harness_sql_text("SELECT string_agg(ctid::text || xmin, ',' ORDER BY ctid) FROM attribution_state");
    cr_expect_str_eq(before, after, "a replay writes nothing");

    for (int i = 0; i < N; i++) {
        rows[i] = row(arena, i % 5 == 4 ? N + i : (i * 37) % N, (double[]){99, 101, 100, 99, 1}[i % 5],
                      i % 5 == 1 ? "drifting" : "stable", i % 5 == 0 ? "[1]" : "\"typed\"");
        rows[i].may_go_back = i % 5 == 3;
    }
    cr_assert_eq(upsert_in(repo, rows, N, arena), 0);
    for (int i = 0; i < N; i++) {
        cr_expect_eq(rows[i].outcome,
                     ((RowOutcome[]){ROW_STALE, ROW_CHANGED, ROW_UNCHANGED, ROW_CHANGED, ROW_NEW})[i % 5], "%d: %d", i,
                     rows[i].outcome);
        if (rows[i].outcome == ROW_CHANGED)
            cr_expect(str_eq_cstr(rows[i].old_state, "stable") && str_eq_cstr(rows[i].old_value, "\"typed\""));
    }
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state"), N + N / 5);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state WHERE last_observation_ts = 99"), N / 5,
                 "a series that got shorter goes back in time");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state WHERE state = 'drifting'"), N / 5);
}

Test(repo_attribution, states_of_one_key_follow_each_other)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    StoredState rows[4];

    identity(1);
    for (int i = 0; i < 4; i++)
        rows[i] = row(arena, 0, (double[]){5, 4, 6, 6}[i],
                      (const char *[]){"unknown", "stable", "stable", "drifting"}[i], "1");
    cr_assert_eq(upsert_in(repo, rows, 4, arena), 0);
    cr_expect_eq(rows[0].outcome, ROW_NEW);
    cr_expect_eq(rows[1].outcome, ROW_STALE);
    cr_expect_eq(rows[2].outcome, ROW_CHANGED);
    cr_expect(str_eq_cstr(rows[2].old_state, "unknown"));
    cr_expect_eq(rows[3].outcome, ROW_CHANGED);
    cr_expect(str_eq_cstr(rows[3].old_state, "stable"));
    rows[1].identity_uuid = uuid_of(NOBODY);
    cr_expect_eq(upsert_in(repo, rows, 4, arena), REPO_E_FK);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state WHERE state = 'drifting'"), 1);
}

enum { STATES = 150, ROUNDS = 25 };

static void write_states(Repo *own, int index, void *arg)
{
    StoredState rows[STATES];

    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        cleanup(arena_freep) Arena *arena = arena_new();
        for (int i = 0; i < STATES; i++) {
            int key = (i * 7 + index * 11) % STATES;
            rows[i] = row(arena, key, (round * 8 + index + key) % 199, "stable", "1");
            rows[i].observation_count = key;
        }
        cr_assert_eq(upsert_in(own, rows, STATES, arena), 0, "%s", repo_error_text(own));
        json_object_put(call_on(own, "upsert_attribution_state",
                                "{'data':{'identity_uuid':'1d000000-0000-4000-8000-000000000001','primitive':'one',"
                                "'current_value':%d,'state':'stable','confidence':0.5,'observation_count':1,"
                                "'last_change_ts':1,'last_observation_ts':%d}}",
                                round * 8 + index, round * 8 + index));
    }
}

Test(repo_attribution, eight_writers_never_take_a_state_back)
{
    for (unsigned i = 1; i <= 5; i++)
        identity(i);
    hammer_all(write_states, NULL);
    /* 8 x 25 consecutive numbers modulo 199 reach every residue: the greatest is 198 everywhere */
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state WHERE last_observation_ts = 198"
                                 " AND last_change_ts = 198"),
                 STATES);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state WHERE primitive = 'one'"
                                 " AND last_observation_ts = 199 AND current_value = '199'"),
                 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state"), STATES + 1);
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}

static void write_repeated_states(Repo *own, int index, void *arg)
{
    StoredState rows[STATES] = {0};
    unsigned seed = (unsigned)index;

    (void)arg;
    for (int round = 0; round < ROUNDS; round++) {
        cleanup(arena_freep) Arena *arena = arena_new();
        for (int i = 0; i < STATES; i++) {
            int other = rand_r(&seed) % (i + 1);
            rows[i] = rows[other];
            rows[other] = row(arena, i % (STATES / 3), 3 * round + rand_r(&seed) % 12, "stable", "1");
        }
        cr_expect_eq(upsert_in(own, rows, STATES, arena), 0, "%s", repo_error_text(own));
    }
}

Test(repo_attribution, eight_writers_of_states_with_repeated_keys)
{
    for (unsigned i = 1; i <= 5; i++)
        identity(i);
    hammer_all(write_repeated_states, NULL);
    cr_expect_eq(
        harness_sql_int("SELECT count(*) FROM attribution_state WHERE last_observation_ts >= %d", 3 * (ROUNDS - 1)),
        STATES / 3);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state"), STATES / 3);
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}
