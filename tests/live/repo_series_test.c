/* Series by their keys: identities locked, states read and written, suspicions remembered. What is concluded from them is
 * tested where the worker runs. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "pg_harness.h"
#include "repo/series.h"
#include "repo_support.h"

TestSuite(repo_series, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

static Uuid uuid_of(const char *text)
{
    Uuid u;
    cr_assert(uuid_parse_text(str_from(text), &u));
    return u;
}

static SeriesState state(const char *value, int64_t n)
{
    return (SeriesState){.state = STR("stable"),
                         .current_value = str_from(value),
                         .confidence = 0.5,
                         .observation_count = n,
                         .last_change_ts = 1,
                         .last_observation_ts = (double)n,
                         .series = STR("\001\000\377")};
}

static void begin(void)
{
    cr_assert_eq(repo_begin(repo), 0, "%s", repo_error_text(repo));
}

static void commit(void)
{
    cr_assert_eq(repo_commit(repo), 0, "%s", repo_error_text(repo));
}

Test(repo_series, states_are_inserted_and_overwritten_in_one_call)
{
    enum { N = 12 };
    cleanup(arena_freep) Arena *arena = arena_new();
    SeriesKey keys[N];
    SeriesState states[N], stored[N];
    const Uuid a = uuid_of(identity(1)), b = uuid_of(identity(2));

    for (int i = 0; i < N; i++) { /* in no order */
        int k = i * 5 % N;
        keys[i] = (SeriesKey){k % 2 ? a : b, str_from(arena_printf(arena, "p.%d", k / 2))};
        states[i] = state("\"typed\"", k);
    }
    begin();
    cr_assert_eq(series_write(repo, keys, states, N / 2), 0, "%s", repo_error_text(repo));
    cr_assert_eq(series_states(repo, arena, keys, N, stored), 0);
    for (int i = 0; i < N; i++) {
        cr_expect_eq(stored[i].exists, i < N / 2, "%d", i);
        states[i] = state("[1]", 100 + i);
        states[i].exists = stored[i].exists;
    }
    cr_assert_eq(series_write(repo, keys, states, N), 0, "%s", repo_error_text(repo));
    cr_assert_eq(series_states(repo, arena, keys, N, stored), 0);
    for (int i = 0; i < N; i++) {
        cr_assert(stored[i].exists);
        cr_expect_eq(stored[i].observation_count, 100 + i, "%d", i);
        cr_expect_eq(stored[i].last_observation_ts, 100 + i);
        cr_expect(str_eq_cstr(stored[i].current_value, "[1]"));
        cr_expect(str_eq_cstr(stored[i].state, "stable"));
        cr_expect(str_eq(stored[i].series, states[i].series));
    }
    commit();
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state WHERE updated_at > now() - interval '1 min'"),
                 N);
}

Test(repo_series, a_state_that_is_not_known_of_is_overwritten_and_one_that_went_is_a_reason_to_begin_anew)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    SeriesKey keys[] = {{uuid_of(identity(1)), STR("p")}, {uuid_of(identity(1)), STR("q")}};
    SeriesState states[] = {state("1", 1), state("1", 1)}, stored[2];

    begin();
    cr_assert_eq(series_write(repo, keys, states, 1), 0);
    states[0].observation_count = 7;
    cr_assert_eq(series_write(repo, keys, states, 1), 0, "stored by another, and not said to exist");
    cr_assert_eq(series_states(repo, arena, keys, 1, stored), 0);
    cr_expect_eq(stored[0].observation_count, 7);
    states[0].exists = states[1].exists = true;
    cr_expect_eq(series_write(repo, keys, states, 2), REPO_E_RETRY);
    repo_rollback(repo);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM attribution_state"), 0);
    begin();
    states[0].exists = false;
    keys[0].identity = uuid_of("00000000-0000-4000-8000-0000000000ff");
    cr_expect_eq(series_write(repo, keys, states, 1), REPO_E_FK);
    repo_rollback(repo);
}

Test(repo_series, owners_are_found_along_merges_however_often_they_are_asked_for)
{
    const char *winner = identity(1), *loser = identity(2);
    SeriesOwner owners[7] = {{.attacker = uuid_of(attacker("198.51.100.3"))},
                             {.attacker = uuid_of(attacker("198.51.100.1"))},
                             {.attacker = uuid_of(attacker("198.51.100.2"))},
                             {.attacker = uuid_of(attacker("198.51.100.1"))},
                             {.attacker = uuid_of("00000000-0000-4000-8000-0000000000ff")},
                             {.attacker = uuid_of(attacker("198.51.100.2"))},
                             {.attacker = uuid_of(attacker("198.51.100.1"))}};
    Uuid want = uuid_of(winner);

    harness_sql("UPDATE attackers SET identity_id = '%s' WHERE ip = '198.51.100.1';"
                " UPDATE attackers SET identity_id = '%s' WHERE ip = '198.51.100.2';"
                " UPDATE attacker_identities SET merged_into_uuid = '%s' WHERE uuid = '%s'",
                winner, loser, winner, loser);
    begin();
    cr_assert_eq(series_lock(repo, owners, ARRAY_SIZE(owners)), 0, "%s", repo_error_text(repo));
    for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
        cr_expect_eq(owners[i].found, i != 0 && i != 4, "%zu", i);
        cr_expect(!owners[i].found || uuid_cmp(&owners[i].identity, &want) == 0, "%zu", i);
    }
    cr_expect_eq(series_lock(repo, NULL, 0), 0);
    commit();
}

Test(repo_series, suspicions_are_remembered_and_forgotten)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    SeriesSuspect suspects[3];
    SeriesKey keys[3];
    SeriesState states[3];
    const Str first[] = {STR("b"), STR("a")}, second[] = {STR("c")};
    int64_t now_us = 0, before_us = clock_now_us();

    memset(suspects, 0, sizeof(suspects));
    for (unsigned i = 0; i < 3; i++) {
        suspects[i].identity = uuid_of(identity(i + 1));
        keys[i] = (SeriesKey){suspects[0].identity, str_from(arena_printf(arena, "p.%u", 2 - i))};
        states[i] = state("1", 1);
        states[i].state = i == 1 ? STR("stable") : STR("multi_actor");
    }
    begin();
    cr_assert_eq(series_write(repo, keys, states, 3), 0);
    cr_assert_eq(series_announced(
                     repo, (SeriesAnnounced[]){{suspects[0].identity, first, 2}, {suspects[1].identity, second, 1}}, 2),
                 0);
    cr_assert_eq(series_announced(repo, NULL, 0), 0);
    cr_assert_eq(series_suspects(repo, arena, suspects, 3, &now_us), 0, "%s", repo_error_text(repo));
    cr_expect(now_us >= before_us - 1000000 && now_us <= clock_now_us() + 1000000);
    cr_expect_eq(suspects[0].n_primitives, 2);
    cr_expect(str_eq_cstr(suspects[0].primitives[0], "b") && str_eq_cstr(suspects[0].primitives[1], "a"),
              "as announced");
    cr_assert_eq(suspects[0].n_keys, 2);
    cr_expect(str_eq_cstr(suspects[0].keys[0].primitive, "p.0") && str_eq_cstr(suspects[0].keys[1].primitive, "p.2"));
    cr_expect(str_eq_cstr(suspects[0].states[1].state, "multi_actor"));
    cr_expect(suspects[1].n_primitives == 1 && suspects[1].n_keys == 0, "announced, and no more");
    cr_expect(suspects[2].n_primitives == 0 && suspects[2].n_keys == 0);
    cr_assert_eq(series_announced(repo,
                                  (SeriesAnnounced[]){{suspects[0].identity, second, 1},
                                                      {suspects[1].identity, NULL, 0},
                                                      {suspects[2].identity, NULL, 0}},
                                  3),
                 0);
    commit();
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM multi_actor_announced"), 1);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM multi_actor_announced WHERE primitives = '{c}'"), 1);
}

/* Eight writers count in the states of the same identities, each in an order of its own and asking for some twice. */
enum { IDENTITIES = 9, PRIMITIVES = 4, ROUNDS = 40 };

typedef struct Counters {
    Uuid attackers[IDENTITIES];
    _Atomic int64_t counted;
} Counters;

static void count_one_up(Repo *own, int index, void *arg)
{
    Counters *c = arg;

    for (int round = 0; round < ROUNDS; round++) {
        cleanup(arena_freep) Arena *arena = arena_new();
        SeriesOwner owners[IDENTITIES + 3] = {0};
        SeriesKey keys[IDENTITIES * PRIMITIVES];
        SeriesState states[IDENTITIES * PRIMITIVES];
        size_t n = 0;
        for (int i = 0; i < IDENTITIES + 3; i++)
            owners[i].attacker = c->attackers[(i * (index + 1) % (IDENTITIES + 1) + round) % IDENTITIES];
        cr_assert_eq(repo_begin(own), 0);
        cr_assert_eq(series_lock(own, owners, IDENTITIES + 3), 0, "%s", repo_error_text(own));
        for (int i = 0; i < IDENTITIES + 3; i++) {
            bool again = false;
            for (int k = 0; k < i; k++)
                again |= uuid_cmp(&owners[k].identity, &owners[i].identity) == 0;
            for (int k = 0; !again && k < PRIMITIVES; k++)
                keys[n++] =
                    (SeriesKey){owners[i].identity, str_from(arena_printf(arena, "p.%d", (k + index) % PRIMITIVES))};
        }
        cr_assert_eq(series_states(own, arena, keys, n, states), 0);
        for (size_t i = 0; i < n; i++) {
            bool exists = states[i].exists;
            states[i] = state("1", states[i].observation_count + 1);
            states[i].exists = exists;
        }
        cr_assert_eq(series_write(own, keys, states, n), 0, "%s", repo_error_text(own));
        cr_assert_eq(repo_commit(own), 0);
        c->counted += (int64_t)n;
    }
}

Test(repo_series, eight_writers_lose_no_update)
{
    Counters c = {0};

    for (unsigned i = 0; i < IDENTITIES; i++) {
        char ip[16];
        snprintf(ip, sizeof(ip), "10.0.0.%u", i);
        c.attackers[i] = uuid_of(attacker(ip));
        harness_sql("UPDATE attackers SET identity_id = '%s' WHERE ip = '%s'", identity(i + 1), ip);
    }
    hammer_all(count_one_up, &c);
    cr_expect_eq(harness_sql_int("SELECT sum(observation_count)::bigint FROM attribution_state"), c.counted);
    cr_expect_eq(harness_sql_int("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"), 0);
}
