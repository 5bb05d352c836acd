/* What becomes of records: applied once with their positions, dead-lettered, found by bisection, deferred. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/time.h"
#include "repo/attackers.h"
#include "repo/runtime.h"
#include "worker_support.h"

static int64_t rows(void)
{
    return harness_sql_int("SELECT count(*) FROM fake_row");
}

static int64_t dead(void)
{
    return harness_sql_int("SELECT count(*) FROM dead_letter");
}

/* What all positions of the group have in common: as many records as they have passed, nothing twice, nothing left. */
static void expect_everything_once(int64_t n)
{
    cr_assert_eq(rows(), n, "%lld rows instead of %lld", (long long)rows(), (long long)n);
    cr_assert_eq(harness_sql_int("SELECT count(DISTINCT (\"partition\", \"offset\")) FROM fake_row"), n);
    cr_assert_eq(harness_sql_int("SELECT sum(next_offset) FROM consumer_position WHERE group_name = 'ttp'"), n);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM consumer_position c WHERE next_offset <>"
                                 " (SELECT count(*) FROM fake_row f WHERE f.partition = c.partition)"),
                 0, "a position and its rows differ");
    cr_assert_eq(dead(), 0);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM event_outbox"), 0);
}

/* --- the ordinary way --- */

Test(records, rows_and_positions_commit_together_whatever_the_batch_size, .init = rig_start, .fini = rig_stop)
{
    enum { N = 60 };
    static const char *const sizes[] = {"1", "7", "1000"};
    cleanup(freep) char *first = NULL;

    rig_send_many(0, N);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        Fake f;
        harness_sql("DELETE FROM fake_row; DELETE FROM consumer_position");
        cr_assert_eq(fake_run(&f, "batch", "--once", option("--batch_records=%s", sizes[i])), 0);
        expect_everything_once(N);
        cleanup(freep) char *all = harness_sql_text(
            "SELECT string_agg(concat_ws(',', partition, \"offset\", n), ' ' ORDER BY partition, \"offset\") FROM fake_row");
        if (i == 0)
            first = strdup(all);
        cr_assert_str_eq(all, first, "batches of %s give other rows", sizes[i]);
        cr_assert(fake_said(&f, option("caught up: %d events applied, 0 deferred, 0 dead letters", N)));
        cr_assert(
            harness_sql_wait(1, WAIT_MS, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"),
            "a connection stayed");
    }
    /* Published at every replay, always under the same ids. */
    Record *events = rig_read_n("ttp.tagged", 3 * N / 3);
    cr_assert_eq(record_distinct_ids(events, 3 * N / 3), N / 3);
}

Test(records, a_restart_goes_on_where_it_was, .init = rig_start, .fini = rig_stop)
{
    rig_send_many(0, 30);
    fake_once();
    expect_everything_once(30);
    rig_send_many(30, 25);
    fake_once();
    expect_everything_once(55);
    fake_once();
    expect_everything_once(55);
    cr_assert_eq(harness_sql_int("SELECT count(DISTINCT n) FROM fake_row"), 55);
    cr_assert_eq(harness_sql_int("SELECT max(epoch) FROM consumer_position"), 3, "each start takes over once");
    cr_assert_eq(harness_sql_int("SELECT min(epoch) FROM consumer_position"), 3);
    rig_read_n("ttp.tagged", 19); /* every third n, also without any replay */
}

Test(records, kills_lose_nothing_and_double_nothing, .init = rig_start, .fini = rig_stop)
{
    enum { N = 400, KILLS = 6 };
    rig_send_many(0, N);
    for (int i = 0; i < KILLS; i++) {
        Fake f = fake_start("batch", "--batch_records=5");
        fake_await_ready(&f);
        usleep((useconds_t)(i * 15000));
        fake_end(&f, SIGKILL, WAIT_MS);
    }
    fake_once();
    expect_everything_once(N);
    size_t n;
    Record *events = rig_read("ttp.tagged", &n);
    cr_assert_eq(record_distinct_ids(events, n), (N + 2) / 3, "each event at least once, never under two ids");
}

Test(records, two_topics_of_one_prefix_do_not_meet_those_of_another, .init = rig_start, .fini = rig_stop)
{
    Fake f;
    rig_send_many(0, 3);
    cr_assert_eq(fake_run(&f, "batch", "--once", "--kafka_topic_prefix=other."), EXIT_OPERATOR);
    fake_expect_log(&f, "other.attacker.observed");
    cr_assert_eq(rows(), 0);
}

/* --- bad input --- */

static void send_bad(Str key, Str value, const BusHeader *headers, size_t n)
{
    rig_send_raw("attacker.observed", key, value, headers, n);
}

typedef struct Bad {
    const char *reason;
    Str value;
} Bad;

static Str deep_json(void)
{
    size_t n = 100000;
    char *text = arena_alloc(rig_arena(), n);
    memset(text, '[', n);
    return (Str){text, n};
}

static Str oversize_json(void)
{
    size_t n = LIMIT_EVENT_READ_BYTES + 1;
    char *text = arena_alloc(rig_arena(), n);
    memset(text, ' ', n);
    memcpy(text, "{\"attacker_ip\":\"192.0.2.1\"}", 27);
    return (Str){text, n};
}

static void expect_projection(const Record *r, const Bad *bad)
{
    bool fits = bad->value.len <= LIMIT_EVENT_BYTES;
    cr_assert(str_eq(r->value, fits ? bad->value : STR("")), "%s: another value", bad->reason);
    cr_assert(str_eq(r->key, STR("the key")));
    cr_assert(str_eq_cstr(record_header(r, "decnet-error"), bad->reason), "%s", bad->reason);
    cr_assert(str_eq(record_header(r, "decnet-orig-topic"), STR("attacker.observed")));
    cr_assert(record_header(r, "decnet-orig-partition").len > 0 && record_header(r, "decnet-orig-offset").len > 0);
    cr_assert_eq(record_header(r, "decnet-value").data != NULL, !fits);
}

Test(records, what_cannot_be_read_becomes_a_dead_letter_and_the_rest_is_applied, .init = rig_start, .fini = rig_stop)
{
    const Bad cases[] = {
        {"malformed", STR("{\"attacker_ip\":")},
        {"malformed", STR("")},
        {"malformed", STR("[1,2]")},
        {"malformed", STR("\0\xff\xfe")},
        {"malformed", deep_json()},
        {"no_anchor", STR("{\"note\":\"nobody\"}")},
        {"no_anchor", STR("{\"attacker_ip\":\"no address\",\"attacker_uuid\":7}")},
        {"schema", STR("{\"attacker_ip\":\"192.0.2.1\",\"schema_version\":\"2\"}")},
        {"schema", STR("{\"attacker_ip\":\"192.0.2.1\",\"schema_version\":true}")},
        {"oversize", oversize_json()},
        {"unwanted", STR("{\"attacker_ip\":\"192.0.2.1\",\"refuse\":true}")},
    };
    const size_t n = ARRAY_SIZE(cases);

    rig_send_many(0, 20);
    for (size_t i = 0; i < n; i++)
        send_bad(STR("the key"), cases[i].value, NULL, 0);
    rig_send_many(20, 20);
    fake_once();
    cr_assert_eq(rows(), 40);
    cr_assert_eq(dead(), (int64_t)n, "%lld", (long long)dead());
    Record *projected = rig_read_n("dlq.ttp", n);
    for (size_t i = 0; i < n; i++) { /* one key: one partition, so in order */
        cleanup(freep) char *reason =
            harness_sql_text("SELECT reason FROM dead_letter ORDER BY \"offset\" OFFSET %zu LIMIT 1", i);
        char hash[65];
        cr_assert_str_eq(reason, cases[i].reason, "case %zu", i);
        sha256_hex(hash, cases[i].value);
        cr_assert_eq(harness_sql_int("SELECT count(*) FROM (SELECT value, key FROM dead_letter ORDER BY \"offset\""
                                     " OFFSET %zu LIMIT 1) AS d WHERE key = 'the key'"
                                     " AND encode(sha256(coalesce(value, '')), 'hex') = '%s'",
                                     i, hash),
                     1, "case %zu: other bytes", i);
        expect_projection(&projected[i], &cases[i]);
    }
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM dead_letter WHERE group_name <> 'ttp' OR topic <> "
                                 "'attacker.observed' OR event_id IS NULL OR message IS NULL OR attempts <> 1"),
                 0);
    fake_once();
    cr_assert_eq(dead(), (int64_t)n);
}

Test(records, a_dead_letter_keeps_headers_and_event_id, .init = rig_start, .fini = rig_stop)
{
    static const char id[] = "4586efd8-a896-51fb-99d3-488b5dfab989";
    const BusHeader headers[] = {{STR(BUS_HEADER_EVENT_ID), STR(id)},
                                 {STR(BUS_HEADER_SCHEMA_VERSION), STR("7.1")},
                                 {STR("odd"), STR("a\0\xff\"b")},
                                 {STR("none"), {0}}};

    send_bad(STR("k"), STR("{\"attacker_ip\":\"192.0.2.1\"}"), headers, ARRAY_SIZE(headers));
    fake_once();
    cleanup(freep) char *found = harness_sql_text("SELECT event_id || ' ' || reason FROM dead_letter");
    cr_assert_str_eq(found, option("%s schema", id));
    cleanup(freep) char *kept = harness_sql_text("SELECT headers FROM dead_letter");
    cr_assert_not_null(strstr(kept, "[\"decnet-schema-version\", \"7.1\"]"), "%s", kept);
    cr_assert_not_null(strstr(kept, "[\"odd\", \"a\xef\xbf\xbd\xef\xbf\xbd\\\"b\"]"), "%s", kept);
    Record *r = rig_read_n("dlq.ttp", 1);
    cr_assert(str_eq_cstr(record_header(r, BUS_HEADER_EVENT_ID), id));
}

/* --- bisection --- */

/* @n records of one address, so one partition and one batch; the places in @bad violate the table's check. */
static void send_with_bad(int n, const int *bad, size_t n_bad)
{
    for (int i = 0; i < n; i++) {
        bool is_bad = false;
        for (size_t k = 0; k < n_bad; k++)
            is_bad |= bad[k] == i;
        rig_send("203.0.113.9", "\"n\":%d", is_bad ? -1 : i);
    }
    rig_flush();
}

Test(records, the_one_that_postgresql_refuses_is_found_among_a_hundred, .init = rig_start, .fini = rig_stop)
{
    static const struct {
        int places[2];
        size_t n;
    } cases[] = {{{0}, 1}, {{99}, 1}, {{42}, 1}, {{49, 50}, 2}, {{3, 97}, 2}};
    int64_t stored = 0, refused = 0, begin = 0;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        send_with_bad(100, cases[i].places, cases[i].n);
        fake_once();
        stored += 100 - (int64_t)cases[i].n;
        refused += (int64_t)cases[i].n;
        cr_assert_eq(rows(), stored, "case %zu", i);
        cr_assert_eq(dead(), refused, "case %zu", i);
        for (size_t k = 0; k < cases[i].n; k++)
            cr_assert_eq(
                harness_sql_int("SELECT count(*) FROM dead_letter WHERE \"offset\" = %lld AND reason = 'rejected'"
                                " AND sqlstate = '23514' AND message LIKE '%%fake_row_n%%'",
                                (long long)begin + cases[i].places[k]),
                1, "case %zu, place %d", i, cases[i].places[k]);
        begin += 100;
    }
    cr_assert_eq(harness_sql_int("SELECT count(DISTINCT \"offset\") FROM fake_row"), stored);
    cr_assert_eq(harness_sql_int("SELECT max(next_offset) FROM consumer_position"), begin);
    rig_read_n("dlq.ttp", (size_t)refused);
}

Test(records, other_refusals_of_postgresql_are_isolated_too, .init = rig_start, .fini = rig_stop)
{
    harness_sql(
        "CREATE FUNCTION fake_raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        "  IF NEW.note LIKE 'raise %%' THEN RAISE 'refused by a trigger' USING ERRCODE = substr(NEW.note, 7); END IF;"
        "  RETURN NEW; END $$;"
        "CREATE TRIGGER fake BEFORE INSERT ON fake_row FOR EACH ROW EXECUTE FUNCTION fake_raise()");
    static const char *const states[] = {"22P02", "22003", "23505", "P0001", "21000"};
    rig_send_many(0, 10);
    rig_send("192.0.2.9", "\"as_number\":\"twelve\"");
    for (size_t i = 1; i < ARRAY_SIZE(states); i++)
        rig_send("192.0.2.9", "\"note\":\"raise %s\"", states[i]);
    rig_send_many(10, 10);
    fake_once();
    cr_assert_eq(rows(), 20);
    for (size_t i = 0; i < ARRAY_SIZE(states); i++)
        cr_assert_eq(harness_sql_int("SELECT count(*) FROM dead_letter WHERE sqlstate = '%s'", states[i]), 1, "%s",
                     states[i]);
    cr_assert_eq(dead(), (int64_t)ARRAY_SIZE(states));
}

/* --- deferral --- */

static void add_attacker(const char *ip)
{
    Uuid id = attacker_uuid(ip);
    char text[UUID_TEXT_BYTES];
    uuid_format(text, &id);
    harness_sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES ('%s', '%s', now(), now())", text, ip);
}

static int64_t deferred(void)
{
    return harness_sql_int("SELECT count(*) FROM deferred_event");
}

Test(records, an_unknown_attacker_is_waited_for_and_taken_up_at_once, .init = rig_start, .fini = rig_stop)
{
    rig_send("192.0.2.77", "\"need\":true,\"n\":70,\"emit\":1");
    rig_send("192.0.2.78", "\"need\":true,\"n\":8");
    rig_send_many(0, 10);
    Fake f = fake_start("batch");
    cr_assert(harness_sql_wait(2, WAIT_MS, "SELECT count(*) FROM deferred_event"));
    cr_assert(harness_sql_wait(10, WAIT_MS, "SELECT count(*) FROM fake_row"));
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM deferred_event WHERE group_name = 'ttp' AND attempts = 0"
                                 " AND wait_ip IN ('192.0.2.77', '192.0.2.78') AND key = wait_ip::bytea"
                                 " AND next_attempt_at - first_seen BETWEEN '1.5 s' AND '2.5 s'"),
                 2);
    harness_pg_clock(-3600); /* so that its time does not come */
    add_attacker("192.0.2.77");
    cr_assert(harness_sql_wait(11, 5000, "SELECT count(*) FROM fake_row"), "not taken up within 5 s");
    cr_assert_eq(deferred(), 1);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM fake_row WHERE n = 70"), 1);
    cr_assert_eq(fake_end(&f, SIGTERM, WAIT_MS), 0);
    rig_read_n("ttp.tagged", 5); /* that of the deferred one too */
    fake_once();
    cr_assert_eq(rows(), 11);
    cr_assert_eq(dead(), 0);
}

Test(records, deferrals_follow_their_timetable_and_end_as_dead_letters, .init = rig_start, .fini = rig_stop)
{
    static const double steps_s[] = {2, 10, 60, 600, 3600};
    double now_s = 0;

    rig_send("192.0.2.80", "\"need\":true,\"n\":1");
    rig_flush();
    harness_pg_clock(0);
    Fake f = fake_start("batch");
    for (size_t i = 0; i < ARRAY_SIZE(steps_s); i++) {
        cr_assert(harness_sql_wait((int64_t)i, WAIT_MS, "SELECT coalesce(max(attempts), -1) FROM deferred_event"),
                  "attempt %zu was not made", i);
        int64_t left_ms = harness_sql_int("SELECT (extract(epoch FROM next_attempt_at - decnet_now()) * 1000)::bigint"
                                          " FROM deferred_event");
        cr_assert(left_ms > steps_s[i] * 500 && left_ms <= steps_s[i] * 1200, "attempt %zu: next one in %lld ms", i,
                  (long long)left_ms);
        if (i > 0) { /* the first comes by itself */
            usleep(1100000);
            cr_assert_eq(harness_sql_int("SELECT attempts FROM deferred_event"), (int64_t)i, "before its time");
            now_s += steps_s[i] * 1.2;
            harness_pg_clock(now_s);
        }
    }
    cr_assert(harness_sql_wait(1, WAIT_MS, "SELECT count(*) FROM dead_letter"), "no dead letter after the last");
    cr_assert_eq(deferred(), 0);
    cr_assert_eq(
        harness_sql_int("SELECT count(*) FROM dead_letter WHERE reason = 'unresolved_attacker' AND sqlstate IS "
                        "NULL AND attempts = 6 AND key = '192.0.2.80' AND convert_from(value, 'UTF8')"
                        " = '{\"attacker_ip\":\"192.0.2.80\",\"need\":true,\"n\":1}'"),
        1);
    rig_read_n("dlq.ttp", 1);
    cr_assert_eq(rows(), 0);
    cr_assert_eq(fake_end(&f, SIGTERM, WAIT_MS), 0);
}

Test(records, a_deferred_record_read_again_is_deferred_once, .init = rig_start, .fini = rig_stop)
{
    rig_send("192.0.2.81", "\"need\":true");
    rig_send_many(0, 5);
    fake_once();
    cr_assert_eq(deferred(), 1);
    harness_sql("DELETE FROM consumer_position; DELETE FROM fake_row");
    Fake f;
    cr_assert_eq(fake_run(&f, "batch", "--once"), 0);
    cr_assert_eq(deferred(), 1, "a replay doubled it");
    cr_assert(fake_said(&f, "1 deferred events are not yet due"));
    add_attacker("192.0.2.81");
    fake_once();
    cr_assert_eq(deferred(), 0);
    cr_assert_eq(rows(), 6);
}

Test(records, a_deferred_record_that_postgresql_refuses_becomes_a_dead_letter_alone, .init = rig_start,
     .fini = rig_stop)
{
    rig_send("192.0.2.82", "\"need\":true,\"n\":1");
    rig_send("192.0.2.83", "\"need\":true,\"n\":-1");
    rig_send("192.0.2.84", "\"need\":true,\"n\":3");
    rig_flush();
    fake_once();
    cr_assert_eq(deferred(), 3);
    add_attacker("192.0.2.82");
    add_attacker("192.0.2.83");
    add_attacker("192.0.2.84");
    fake_once();
    cr_assert_eq(deferred(), 0);
    cr_assert_eq(rows(), 2);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM dead_letter WHERE sqlstate = '23514' AND key = '192.0.2.83'"),
                 1);
    cr_assert_eq(dead(), 1);
}

static Repo *member(const char *conninfo)
{
    Repo *repo = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = "member"});
    cr_assert_eq(repo_connect(repo), 0, "%s", repo_error_text(repo));
    cr_assert_eq(repo_begin(repo), 0);
    return repo;
}

Test(records, two_members_never_hold_the_same_deferred_record, .init = rig_start, .fini = rig_stop)
{
    cleanup(freep) char *conninfo = harness_pg_conninfo_as("decnet_ttp");
    int64_t ids[10];
    KeptRecord *mine, *theirs;
    size_t n, n_mine, n_theirs;

    for (int i = 0; i < 4; i++)
        rig_send("192.0.2.90", "\"need\":true,\"n\":%d", i);
    rig_flush();
    fake_once();
    harness_pg_clock(10);
    cleanup(repo_freep) Repo *a = member(conninfo);
    cleanup(repo_freep) Repo *b = member(conninfo);
    cr_assert_eq(deferred_due(a, "ttp", false, 10, ids, &n), 0);
    cr_assert_eq(n, (size_t)4);
    cr_assert_eq(deferred_claim(a, rig_arena(), ids, 2, &mine, &n_mine), 0);
    cr_assert_eq(deferred_claim(b, rig_arena(), ids, 4, &theirs, &n_theirs), 0);
    cr_assert_eq(n_mine, (size_t)2);
    cr_assert_eq(n_theirs, (size_t)2, "%zu", n_theirs);
    cr_assert(theirs[0].id == ids[2] && theirs[1].id == ids[3]);
    cr_assert_eq(deferred_delete(a, ids, 2), 0);
    cr_assert_eq(repo_commit(a), 0);
    cr_assert_eq(deferred_claim(b, rig_arena(), ids, 4, &theirs, &n_theirs), 0);
    cr_assert_eq(n_theirs, (size_t)2, "what another has finished is gone");
}

/* --- breaker --- */

Test(records, the_breaker_pauses_the_group_until_an_operator_resumes_it, .init = rig_start, .fini = rig_stop)
{
    for (int i = 0; i < 201; i++)
        rig_send("192.0.2.50", "\"refuse\":true");
    rig_flush();
    Fake f = fake_start("batch");
    cr_assert(harness_sql_wait(1, WAIT_MS, "SELECT count(*) FROM group_pause WHERE group_name = 'ttp'"));
    fake_await_readiness(&f, 503);
    fake_expect_log(&f, "positions resume ttp");
    cleanup(freep) char *reason = harness_sql_text("SELECT reason FROM group_pause");
    cr_assert_not_null(strstr(reason, "201 of the last 1000"), "%s", reason);
    rig_send_many(0, 5);
    usleep(700000);
    cr_assert_eq(rows(), 0, "a paused group works on");
    cr_assert_eq(fake_end(&f, SIGTERM, WAIT_MS), 0);

    cleanup(freep) char *conninfo = harness_pg_conninfo();
    Fake g = fake_start("batch"); /* a restart changes nothing */
    fake_await_readiness(&g, 503);
    usleep(700000);
    cr_assert_eq(rows(), 0);
    cr_assert_eq(
        harness_run(&(HarnessProgram){.argv = (const char *[]){harness_env("DECNET_CTL_PROGRAM"), "positions", "resume",
                                                               "ttp", option("--database=%s", conninfo), NULL}},
                    WAIT_MS),
        0);
    cr_assert(harness_sql_wait(5, WAIT_MS, "SELECT count(*) FROM fake_row"), "not resumed");
    fake_await_readiness(&g, 200);
    cr_assert_eq(fake_end(&g, SIGTERM, WAIT_MS), 0);
}

Test(records, a_fifth_of_dead_letters_is_just_borne, .init = rig_start, .fini = rig_stop)
{
    for (int i = 0; i < 1000; i++)
        rig_send("192.0.2.50", i % 5 == 0 ? "\"refuse\":true" : "\"n\":1");
    rig_flush();
    fake_once();
    cr_assert_eq(dead(), 200);
    cr_assert_eq(rows(), 800);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM group_pause"), 0);
}

Test(records, the_breaker_trips_in_the_last_batch_of_once_too, .init = rig_start, .fini = rig_stop)
{
    Fake f;
    for (int i = 0; i < 201; i++)
        rig_send("192.0.2.50", "\"refuse\":true");
    rig_flush();
    cr_assert_eq(fake_run(&f, "batch", "--once"), EXIT_OPERATOR);
    cr_assert(fake_said(&f, "201 of the last 1000"));
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM group_pause"), 1);
    cr_assert_eq(dead(), 201);
}

Test(records, once_does_not_wait_for_a_paused_group, .init = rig_start, .fini = rig_stop)
{
    Fake f;
    rig_send_many(0, 5);
    harness_sql("INSERT INTO group_pause (group_name, reason) VALUES ('ttp', 'a test')");
    cr_assert_eq(fake_run(&f, "batch", "--once"), EXIT_OPERATOR);
    fake_expect_log(&f, "positions resume ttp");
}
