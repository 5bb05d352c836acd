/* The queue of changes to live topologies. */
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "pg_harness.h"
#include "topology_support.h"

TestSuite(repo_mutations, .init = repo_test_setup, .fini = repo_test_teardown, .timeout = 120);

static const char *topology_in(const char *status, const char *name)
{
    const char *id = topology(name);
    set_status(id, status);
    return id;
}

static const char *enqueue(const char *of, const char *op)
{
    return keep(call("enqueue_topology_mutation", "{'topology_id':'%s','op':'%s','payload':{'n':1}}", of, op));
}

/* The op of the row that is claimed, "" when there is none. */
static const char *claim(const char *of)
{
    static _Thread_local char op[32];
    cleanup(json_putp) json_object *row = call("claim_next_mutation", "{'topology_id':'%s'}", of);
    snprintf(op, sizeof(op), "%s", row ? text_of(row, "op") : "");
    return op;
}

static bool has_pending(void)
{
    cleanup(json_putp) json_object *result = call("has_pending_topology_mutation", "{}");
    cr_assert(json_object_is_type(result, json_type_boolean));
    return json_object_get_boolean(result);
}

static const char *state(const char *id)
{
    static _Thread_local char text[160];
    cleanup(freep) char *found = harness_sql_text(
        "SELECT concat_ws(' ', state, reason, applied_at IS NOT NULL) FROM topology_mutations WHERE id = '%s'", id);
    snprintf(text, sizeof(text), "%s", found);
    return text;
}

static void mark_applied(const char *id)
{
    json_object_put(call("mark_mutation_applied", "{'mutation_id':'%s'}", id));
}

static void mark_failed(const char *id, const char *reason)
{
    json_object_put(call("mark_mutation_failed", "{'mutation_id':'%s','reason':'%s'}", id, reason));
}

Test(repo_mutations, a_change_waits_with_its_payload_as_it_was_given)
{
    const char *t = topology_in("active", "t");
    const char *id = keep(call("enqueue_topology_mutation",
                               "{'topology_id':'%s','op':'attach_decky\\u0000','payload':{'ips_by_lan':{'LAN-00':1,"
                               "'DMZ':2},'a':'\\ud800'}}",
                               t));
    cleanup(json_putp) json_object *list = call("list_topology_mutations", "{'topology_id':'%s'}", t);
    cr_assert_eq(json_object_array_length(list), 1);
    json_object *row = nth(list, 0);

    cr_expect_eq(json_object_object_length(row), 10);
    expect_key(row, "id", id);
    expect_key(row, "topology_id", t);
    expect_key(row, "op", "attach_decky\xEF\xBF\xBD");
    cr_expect_str_eq(json_object_to_json_string_ext(json_object_object_get(row, "payload"), 0),
                     "{\"ips_by_lan\":{\"LAN-00\":1,\"DMZ\":2},\"a\":\"\xEF\xBF\xBD\"}", "keys keep their order");
    expect_key(row, "state", "pending");
    expect_key(row, "applied_at", "null");
    expect_key(row, "reason", "null");
    expect_key(row, "claimed_at", "null");
    expect_key(row, "claimed_by", "null");
    cr_expect_eq(version(t), 1);
}

Test(repo_mutations, a_change_is_refused)
{
    const char *t = topology_in("active", "t");
    static const struct {
        int outcome;
        const char *words, *topology, *rest;
    } cases[] = {
        {REPO_E_FK, "foreign key", UNKNOWN, "'op':'noop','payload':{}"},
        {REPO_E_NOT_FOUND, "there is no such topology", UNKNOWN, "'op':'noop','payload':{},'expected_version':1"},
        {REPO_E_INVALID, "topology_id must be a uuid", "nope", "'op':'noop','payload':{}"},
        {REPO_E_INVALID, "payload must be an object", NULL, "'op':'noop','payload':'{}'"},
        {REPO_E_INVALID, "payload must be an object", NULL, "'op':'noop','payload':[]"},
        {REPO_E_INVALID, "op must be text", NULL, "'op':null,'payload':{}"},
        {REPO_E_INVALID, "parameter op is missing", NULL, "'payload':{}"},
        {REPO_E_VERSION, "version 1, not 2", NULL, "'op':'noop','payload':{},'expected_version':2"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        refuse(cases[i].outcome, cases[i].words, "enqueue_topology_mutation", "{'topology_id':'%s',%s}",
               cases[i].topology ? cases[i].topology : t, cases[i].rest);
    cr_expect_str_eq(repo_error(repo)->detail_json, "\"current\":1,\"expected\":2");
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_mutations"), 0);
    cr_expect_eq(version(t), 1);
}

Test(repo_mutations, the_version_steps_when_one_is_expected)
{
    const char *t = topology_in("torn_down", "t"); /* the status is not asked */

    json_object_put(
        call("enqueue_topology_mutation", "{'topology_id':'%s','op':'noop','payload':{},'expected_version':1}", t));
    cr_expect_eq(version(t), 2);
    enqueue(t, "noop");
    cr_expect_str_eq(claim(t), "noop");
    cr_expect_eq(version(t), 2);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_mutations"), 2);
}

Test(repo_mutations, the_oldest_is_claimed_first_and_each_once)
{
    const char *t = topology_in("active", "t"), *u = topology_in("active", "u");
    const char *second = enqueue(t, "b"), *tie[] = {enqueue(t, "c"), enqueue(t, "d")};

    enqueue(u, "other");
    enqueue(t, "a");
    harness_sql("UPDATE topology_mutations SET requested_at = CASE op WHEN 'a' THEN '2026-01-01'::timestamptz"
                " WHEN 'b' THEN '2026-01-02' ELSE '2026-01-03' END");
    cr_expect_str_eq(claim(t), "a");
    cleanup(json_putp) json_object *row = call("claim_next_mutation", "{'topology_id':'%s'}", t);
    expect_key(row, "id", second);
    expect_key(row, "state", "applying");
    expect_key(row, "payload", "{ \"n\": 1 }");
    cr_expect_eq(strncmp(text_of(row, "claimed_by"), "repo_test/", 10), 0);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_mutations WHERE id = '%s' AND claimed_at >"
                                 " now() - interval '1 minute' AND applied_at IS NULL",
                                 second),
                 1);
    bool c_first = strcmp(tie[0], tie[1]) < 0; /* equal times: by id */
    cr_expect_str_eq(claim(t), c_first ? "c" : "d");
    cr_expect_str_eq(claim(t), c_first ? "d" : "c");
    cr_expect_str_eq(claim(t), "");
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++)
        cr_expect_str_eq(claim(nobody[i]), "");
    cr_expect_str_eq(claim(u), "other");
}

Test(repo_mutations, only_what_is_being_applied_is_marked)
{
    const char *t = topology_in("active", "t"), *a = enqueue(t, "a"), *b = enqueue(t, "b");

    mark_applied(a); /* nobody has claimed it */
    mark_failed(a, "no");
    cr_expect_str_eq(state(a), "pending f");
    cr_expect_str_eq(claim(t), "a");
    mark_applied(a);
    cr_expect_str_eq(state(a), "applied t");
    mark_failed(a, "late");
    cr_expect_str_eq(state(a), "applied t");
    cr_expect_str_eq(claim(t), "b");
    mark_failed(b, "docker said \\u0000no");
    cr_expect_str_eq(state(b), "failed docker said \xEF\xBF\xBDno t");
    mark_applied(b);
    mark_failed(b, "again");
    cr_expect_str_eq(state(b), "failed docker said \xEF\xBF\xBDno t");
    cr_expect_str_eq(claim(t), "", "no way back");
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
        mark_applied(nobody[i]);
        mark_failed(nobody[i], "r");
    }
    refuse(REPO_E_INVALID, "reason must be text", "mark_mutation_failed", "{'mutation_id':'%s','reason':null}", b);
}

Test(repo_mutations, a_claim_that_grew_old_is_claimed_again)
{
    const char *t = topology_in("active", "t"), *a = enqueue(t, "a");

    enqueue(t, "b");
    cr_expect_str_eq(claim(t), "a");
    harness_pg_clock(LIMIT_MUTATION_CLAIM_SECONDS - 60);
    cr_expect_str_eq(claim(t), "b", "a is still being worked on");
    cr_expect_str_eq(claim(t), "");
    cr_expect_not(has_pending());
    harness_pg_clock(LIMIT_MUTATION_CLAIM_SECONDS + 60);
    cr_expect(has_pending(), "whoever took a has not come back");
    cr_expect_str_eq(claim(t), "a");
    cr_expect_str_eq(claim(t), "", "the lease is new, and that of b goes on");
    cr_expect_not(has_pending());
    mark_applied(a);
    cr_expect_str_eq(state(a), "applied t");
    harness_pg_clock(3 * LIMIT_MUTATION_CLAIM_SECONDS);
    cr_expect_str_eq(claim(t), "b");
    harness_pg_clock(5 * LIMIT_MUTATION_CLAIM_SECONDS);
    enqueue(t, "c");
    cr_expect_str_eq(claim(t), "b", "the oldest of both kinds");
    cr_expect_str_eq(claim(t), "c");
}

Test(repo_mutations, they_are_listed_newest_first)
{
    const char *t = topology_in("active", "t"), *tie[] = {enqueue(t, "c"), enqueue(t, "c")};

    enqueue(t, "a");
    enqueue(topology_in("active", "u"), "other");
    harness_sql("UPDATE topology_mutations SET requested_at = CASE op WHEN 'a' THEN '2026-01-01'::timestamptz"
                " ELSE '2026-01-03' END");
    claim(t);
    cleanup(json_putp) json_object *all = call("list_topology_mutations", "{'topology_id':'%s','state':null}", t);
    cr_assert_eq(json_object_array_length(all), 3);
    bool first_last = strcmp(tie[0], tie[1]) < 0; /* equal times: by id, downwards */
    expect_key(nth(all, 0), "id", tie[first_last]);
    expect_key(nth(all, 1), "id", tie[!first_last]);
    expect_key(nth(all, 2), "op", "a");
    static const struct {
        const char *state;
        size_t n;
    } cases[] = {{"pending", 2}, {"applying", 1}, {"applied", 0}, {"nonsense", 0}, {"", 0}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(json_putp) json_object *list =
            call("list_topology_mutations", "{'topology_id':'%s','state':'%s'}", t, cases[i].state);
        cr_expect_eq(json_object_array_length(list), cases[i].n, "%s", cases[i].state);
    }
    for (size_t i = 0; i < ARRAY_SIZE(nobody); i++) {
        cleanup(json_putp) json_object *list = call("list_topology_mutations", "{'topology_id':'%s'}", nobody[i]);
        cr_expect_eq(json_object_array_length(list), 0);
    }
}

Test(repo_mutations, pending_ones_count_on_live_topologies_only)
{
    static const struct {
        const char *status;
        bool live;
    } cases[] = {{"pending", false}, {"deploying", false},    {"active", true},    {"degraded", true},
                 {"failed", false},  {"tearing_down", false}, {"torn_down", false}};
    const char *t = topology_in("active", "t");

    cr_expect_not(has_pending());
    const char *id = enqueue(t, "noop");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        json_object_put(call("update_topology_status", "{'topology_id':'%s','new_status':'%s'}", t, cases[i].status));
        cr_expect_eq(has_pending(), cases[i].live, "%s", cases[i].status);
    }
    json_object_put(call("update_topology_status", "{'topology_id':'%s','new_status':'active'}", t));
    cr_expect_str_eq(claim(t), "noop");
    cr_expect_not(has_pending());
    mark_failed(id, "r");
    cr_expect_not(has_pending());
}

/* --- several at once --- */

enum { ROUNDS = 25 };

typedef struct Race {
    const char *topology;
    _Atomic int claimed, marked, refused;
} Race;

static void claim_all(Repo *own, int index, void *arg)
{
    Race *race = arg;

    for (;;) {
        cleanup(json_putp) json_object *row =
            call_on(own, "claim_next_mutation", "{'topology_id':'%s'}", race->topology);
        if (!row)
            return; /* the others hold what is left */
        race->claimed++;
        json_object_put(call_on(own, "mark_mutation_failed", "{'mutation_id':'%s','reason':'%s %d'}",
                                text_of(row, "id"), text_of(row, "op"), index));
    }
}

Test(repo_mutations, each_is_claimed_once)
{
    Race race = {.topology = topology_in("active", "t")};

    for (int round = 0; round < 3; round++) {
        harness_sql("INSERT INTO topology_mutations (topology_id, op) SELECT '%s', n::text"
                    " FROM generate_series(1, 200) n",
                    race.topology);
        hammer_all(claim_all, &race);
        cr_expect_eq(race.claimed, 200 * (round + 1));
        cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_mutations WHERE state = 'failed'"
                                     " AND split_part(reason, ' ', 1) = op"),
                     200 * (round + 1));
    }
    cr_expect_gt(harness_sql_int("SELECT count(DISTINCT split_part(reason, ' ', 2)) FROM topology_mutations"), 1,
                 "more than one of them worked");
}

/* One queue, written, taken and finished by all: nothing is lost, nothing is marked twice. */
static void work(Repo *own, int index, void *arg)
{
    Race *race = arg;

    for (int i = 0; i < ROUNDS; i++) {
        cleanup(json_putp) json_object *t = call_on(own, "get_topology", "{'topology_id':'%s'}", race->topology);
        int r = outcome_on(own, "enqueue_topology_mutation",
                           "{'topology_id':'%s','op':'%d-%d','payload':{},'expected_version':%s}", race->topology,
                           index, i, text_of(t, "version"));
        cr_assert(r == 0 || r == REPO_E_VERSION, "%s", repo_error_text(own));
        race->refused += r == REPO_E_VERSION;
        cleanup(json_putp) json_object *row =
            call_on(own, "claim_next_mutation", "{'topology_id':'%s'}", race->topology);
        if (!row)
            continue;
        race->claimed++;
        json_object_put(call_on(own, "mark_mutation_applied", "{'mutation_id':'%s'}", text_of(row, "id")));
        json_object_put(
            call_on(own, "mark_mutation_failed", "{'mutation_id':'%s','reason':'late'}", text_of(row, "id")));
    }
}

Test(repo_mutations, nothing_is_lost_between_writers_and_workers)
{
    Race race = {.topology = topology_in("active", "t")};

    hammer_all(work, &race);
    int64_t n = harness_sql_int("SELECT count(*) FROM topology_mutations");
    cr_expect_eq(n, HAMMERS * ROUNDS - race.refused);
    cr_expect_eq(version(race.topology), 1 + n);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_mutations WHERE state = 'applied'"), race.claimed);
    cr_expect_eq(harness_sql_int("SELECT count(*) FROM topology_mutations WHERE state = 'pending'"), n - race.claimed);
}

static void claim_one(Repo *own, int index, void *arg)
{
    Race *race = arg;
    cleanup(json_putp) json_object *row = call_on(own, "claim_next_mutation", "{'topology_id':'%s'}", race->topology);

    (void)index;
    race->claimed += row != NULL;
}

Test(repo_mutations, an_old_claim_goes_to_one_caller)
{
    Race race = {.topology = topology_in("active", "t")};

    enqueue(race.topology, "a");
    for (int round = 1; round <= 10; round++) {
        hammer_all(claim_one, &race);
        cr_expect_eq(race.claimed, round);
        harness_pg_clock(2.0 * round * LIMIT_MUTATION_CLAIM_SECONDS);
    }
}
