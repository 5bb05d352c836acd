/* What goes wrong around a worker: the database, the broker, another owner. Nothing is lost, nothing doubled, and what
 * only an operator can mend is said with the command that mends it. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/time.h"
#include "worker_support.h"

static int64_t rows(void)
{
    return harness_sql_int("SELECT count(*) FROM fake_row");
}

static void await_rows(int64_t n)
{
    cr_assert(harness_sql_wait(n, WAIT_MS, "SELECT count(*) FROM fake_row"), "%lld rows instead of %lld",
              (long long)rows(), (long long)n);
}

static void expect_each_once(int64_t n)
{
    await_rows(n);
    cr_assert_eq(harness_sql_int("SELECT count(DISTINCT (\"partition\", \"offset\")) FROM fake_row"), n);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM dead_letter"), 0, "a fault made a dead letter");
    cr_assert(harness_sql_wait(n, WAIT_MS, "SELECT sum(next_offset) FROM consumer_position"));
}

static Fake start_through(const char *kind, const PgProxy *p, const char *role)
{
    cleanup(freep) char *conninfo = harness_pg_conninfo_through(role, pg_proxy_folder(p));
    Fake f = fake_start(kind, option("--database=%s", conninfo));
    fake_await_ready(&f);
    return f;
}

static void expect_clean_end(Fake *f)
{
    kill(f->pid, SIGTERM);
    fake_expect_end(f, 0, 6000);
}

/* --- the database goes --- */

Test(faults, database_away_and_back, .init = rig_start, .fini = rig_stop)
{
    PgProxy *p = pg_proxy_start();
    Fake f = start_through("batch", p, "decnet_ttp");
    const char *body = "";

    rig_send_many(0, 20);
    await_rows(20);
    pg_proxy_shut(p, true);
    fake_await_readiness(&f, 503); /* also while there is nothing to write */
    http_get(&f, "/readyz", &body);
    cr_assert_not_null(strstr(body, "PostgreSQL"), "%s", body);
    rig_send_many(20, 20);
    usleep(500000);
    cr_assert_eq(http_get(&f, "/healthz", NULL), 200);
    cr_assert_eq(rows(), 20);
    pg_proxy_shut(p, false);
    expect_each_once(40);
    fake_await_readiness(&f, 200);
    cr_assert(fake_said(&f, "\"event\":\"recovered\""));
    expect_clean_end(&f);
    pg_proxy_stop(p);
}

Test(faults, database_away_at_the_start, .init = rig_start, .fini = rig_stop)
{
    PgProxy *p = pg_proxy_start();
    cleanup(freep) char *conninfo = harness_pg_conninfo_through("decnet_ttp", pg_proxy_folder(p));

    pg_proxy_shut(p, true);
    rig_send_many(0, 5);
    Fake f = fake_start("batch", option("--database=%s", conninfo));
    fake_expect_log(&f, "\"event\":\"holding\"");
    cr_assert_eq(http_get(&f, "/readyz", NULL), 503);
    pg_proxy_shut(p, false);
    expect_each_once(5);
    expect_clean_end(&f);

    pg_proxy_shut(p, true);
    Fake g = fake_start("batch", option("--database=%s", conninfo));
    fake_expect_log(&g, "\"event\":\"holding\"");
    expect_clean_end(&g); /* TERM is heard while it waits */
    pg_proxy_stop(p);
}

Test(faults, backends_terminated_again_and_again, .init = rig_start, .fini = rig_stop)
{
    enum { N = 300 };
    Fake f = fake_start("batch", "--batch_records=4");

    fake_await_ready(&f);
    for (int i = 0; i < 8; i++) {
        rig_send_many(i * 30, 30);
        harness_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'decnet_ttp'"
                    " AND datname = current_database()");
        usleep(30000);
    }
    rig_send_many(240, N - 240);
    expect_each_once(N);
    expect_clean_end(&f);
    size_t n;
    Record *events = rig_read("ttp.tagged", &n);
    cr_assert_eq(record_distinct_ids(events, n), (size_t)N / 3, "%zu events", n);
}

/* A trigger that does @what (a PL/pgSQL statement) at its first @times calls; a sequence is not rolled back. */
static void create_fault(int times, const char *what)
{
    harness_sql("DROP TRIGGER IF EXISTS fault ON fake_row; DROP SEQUENCE IF EXISTS fault_calls;"
                "CREATE SEQUENCE fault_calls; GRANT USAGE ON fault_calls TO decnet_ttp;"
                "CREATE OR REPLACE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                "  IF nextval('fault_calls') <= %d THEN %s; END IF; RETURN NULL; END $$;"
                "CREATE TRIGGER fault AFTER INSERT ON fake_row FOR EACH STATEMENT EXECUTE FUNCTION fault()",
                times, what);
}

Test(faults, transient_errors_are_tried_again, .init = rig_start, .fini = rig_stop)
{
    static const char *const states[] = {"40001", "40P01", "55P03", "57014", "57P01", "53100", "53300", "08006"};

    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        Fake f;
        create_fault(2, option("RAISE 'a fault' USING ERRCODE = '%s'", states[i]));
        rig_send_many((int)i * 5, 5);
        cr_assert_eq(fake_run(&f, "batch", "--once"), 0, "%s", states[i]);
        expect_each_once(((int64_t)i + 1) * 5);
        cr_assert_geq(harness_sql_int("SELECT last_value FROM fault_calls"), 3);
        cr_assert(fake_said(&f, option("SQLSTATE %s", states[i])), "%s is not in the log", states[i]);
        cr_assert(strcmp(states[i], "53100") != 0 || fake_said(&f, "free space for PostgreSQL"));
    }
}

Test(faults, a_statement_that_takes_too_long_is_tried_again, .init = rig_start, .fini = rig_stop)
{
    Fake f;
    create_fault(1, "PERFORM pg_sleep(20)");
    rig_send_many(0, 5);
    cr_assert_eq(fake_run(&f, "batch", "--once", "--statement_timeout_ms=300"), 0);
    expect_each_once(5);
    cr_assert(fake_said(&f, "57014"));
}

Test(faults, a_row_that_vanished_is_waited_for, .init = rig_start, .fini = rig_stop)
{
    static const char uuid[] = "3f2504e0-4f89-51d3-9a0c-0305e82c3301";

    rig_send("192.0.2.3", "\"attacker\":\"%s\"", uuid);
    rig_send_many(0, 5);
    Fake f = fake_start("batch");
    fake_await_readiness(&f, 503);
    fake_expect_log(&f, "23503");
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM dead_letter"), 0);
    harness_sql("INSERT INTO attackers (uuid, ip, first_seen, last_seen) VALUES ('%s', '192.0.2.3', now(), now())",
                uuid);
    expect_each_once(6);
    fake_await_readiness(&f, 200);
    expect_clean_end(&f);
}

/* --- COMMIT without an answer --- */

static void cut_commit(PgCut cut, bool then_away)
{
    PgProxy *p = pg_proxy_start();
    Fake f = start_through("batch", p, "decnet_ttp");

    pg_proxy_cut_commit(p, cut, "position_advance");
    rig_send_many(0, 12);
    for (int i = 0; i < 1000 && pg_proxy_cuts(p) == 0; i++)
        usleep(1000);
    cr_assert_eq(pg_proxy_cuts(p), 1);
    if (then_away) {
        pg_proxy_shut(p, true);
        fake_await_readiness(&f, 503);
        pg_proxy_shut(p, false);
    }
    expect_each_once(12);
    rig_send_many(12, 12);
    expect_each_once(24);
    expect_clean_end(&f);
    pg_proxy_stop(p);
    size_t n;
    Record *events = rig_read("ttp.tagged", &n);
    cr_assert_eq(record_distinct_ids(events, n), (size_t)8, "%zu events", n);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM event_outbox"), 0);
}

Test(faults, a_commit_that_never_arrived_is_done_again, .init = rig_start, .fini = rig_stop)
{
    cut_commit(PG_CUT_BEFORE, false);
}

Test(faults, a_commit_whose_answer_was_lost_is_not_done_again, .init = rig_start, .fini = rig_stop)
{
    cut_commit(PG_CUT_AFTER, false);
}

Test(faults, a_commit_in_doubt_waits_for_the_database, .init = rig_start, .fini = rig_stop)
{
    cut_commit(PG_CUT_AFTER, true);
}

Test(faults, whoever_was_overtaken_during_a_doubt_stops, .init = rig_start, .fini = rig_stop)
{
    PgProxy *p = pg_proxy_start();
    Fake f = start_through("batch", p, "decnet_ttp");

    harness_sql("CREATE FUNCTION overtake() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                "  NEW.epoch = NEW.epoch + 1; RETURN NEW; END $$;"
                "CREATE TRIGGER overtake BEFORE UPDATE ON consumer_position FOR EACH ROW EXECUTE FUNCTION overtake()");
    pg_proxy_cut_commit(p, PG_CUT_AFTER, "position_advance");
    rig_send_many(0, 3);
    fake_expect_end(&f, 1, WAIT_MS);
    cr_assert(fake_said(&f, "another process took over"));
    pg_proxy_stop(p);
}

Test(faults, own_transactions_publish_whatever_the_commit_says, .init = rig_start, .fini = rig_stop)
{
    static const PgCut cuts[] = {PG_CUT_BEFORE, PG_CUT_AFTER};
    PgProxy *p = pg_proxy_start();
    Fake f = start_through("idle", p, NULL);

    for (size_t i = 0; i < ARRAY_SIZE(cuts); i++) {
        pg_proxy_cut_commit(p, cuts[i], "fake_tick_insert");
        for (int k = 0; k < 5000 && pg_proxy_cuts(p) <= (int)i; k++)
            usleep(1000);
        cr_assert_eq(pg_proxy_cuts(p), (int)i + 1);
        int64_t now = harness_sql_int("SELECT count(*) FROM fake_tick");
        cr_assert(harness_sql_wait(1, WAIT_MS, "SELECT (count(*) > %lld)::int FROM fake_tick", (long long)now + 3));
    }
    expect_clean_end(&f);
    fake_expect_log(&f, "\"event\":\"stopped\"");
    Fake g = fake_start("idle", "--once"); /* publishes what the cut left behind */
    cr_assert_geq(harness_wait(g.pid, WAIT_MS), 0);
    size_t n, ticks = (size_t)harness_sql_int("SELECT count(*) FROM fake_tick");
    Record *events = rig_read("attacker.scored", &n);
    cr_assert_eq(record_distinct_ids(events, n), ticks, "%zu events for %zu rows", n, ticks);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM fake_tick WHERE note <> ''"), 0);
    pg_proxy_stop(p);
}

/* --- the broker goes --- */

Test(faults, a_broker_killed_in_the_middle, .init = rig_start, .fini = rig_stop)
{
    Fake f = fake_start("batch");
    fake_await_ready(&f);
    rig_send_many(0, 10);
    await_rows(10);
    harness_end(rig_broker()->pid, SIGKILL, WAIT_MS);
    fake_await_readiness(&f, 503);
    usleep(1000000);
    cr_assert_eq(harness_wait(f.pid, 0), -1, "it does not outlive its broker");
    cr_assert_eq(http_get(&f, "/healthz", NULL), 200);
    expect_clean_end(&f);
    expect_each_once(10);
}

Test(faults, no_broker_at_the_start, .init = rig_start, .fini = rig_stop)
{
    harness_end(rig_broker()->pid, SIGKILL, WAIT_MS);
    Fake f = fake_start("batch");
    fake_expect_log(&f, "\"event\":\"holding\"");
    cr_assert_eq(http_get(&f, "/readyz", NULL), 503);
    expect_clean_end(&f);
}

Test(faults, a_broker_that_comes_back_makes_it_ready_without_a_record, .init = rig_start, .fini = rig_stop)
{
    Fake f = fake_start("batch", "--kafka.socket.timeout.ms=2000");
    fake_await_readiness(&f, 200);
    kill(rig_broker()->pid, SIGSTOP);
    fake_await_readiness(&f, 503);
    kill(rig_broker()->pid, SIGCONT);
    fake_await_readiness(&f, 200);
    rig_send_many(0, 10);
    expect_each_once(10);
    expect_clean_end(&f);
}

/* --- positions that the broker cannot serve --- */

/* The command that the log names behind "decnetctl ", run as it stands there. */
static void run_remedy(const Fake *f, const char *beginning)
{
    cleanup(freep) char *log = harness_read(f->log);
    cleanup(freep) char *conninfo = harness_pg_conninfo();
    const char *at = strstr(log, option("decnetctl %s", beginning));
    const char *argv[16] = {harness_env("DECNET_CTL_PROGRAM"), option("--database=%s", conninfo)};
    size_t n = 2;

    cr_assert_not_null(at, "no \"decnetctl %s\" in:\n%s", beginning, log);
    size_t len = strcspn(at, "\"\\\n");
    char *words = arena_memdup(rig_arena(), at, len), *rest = NULL;
    strtok_r(words, " ", &rest);
    for (char *word; n < ARRAY_SIZE(argv) - 1 && (word = strtok_r(NULL, " ", &rest));)
        argv[n++] = word;
    cr_assert_eq(harness_run(&(HarnessProgram){.argv = argv}, WAIT_MS), 0, "%.*s", (int)len, at);
}

static void refuse_and_mend(const char *said, const char *remedy)
{
    Fake f;
    int code = fake_run(&f, "batch", "--once");
    cr_assert_eq(code, EXIT_OPERATOR, "%d", code);
    cr_assert(fake_said(&f, said), "not said: %s", said);
    run_remedy(&f, remedy);
    cr_assert_eq(fake_run(&f, "batch", "--once"), 0);
}

Test(faults, a_position_of_another_cluster_is_refused, .init = rig_start, .fini = rig_stop)
{
    rig_send_many(0, 10);
    fake_once();
    harness_sql("UPDATE consumer_position SET cluster_id = 'another'");
    refuse_and_mend("belongs to another Kafka cluster", "positions forget ttp");
    cr_assert_eq(rows(), 20, "forgotten positions begin at the beginning");
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM consumer_position WHERE cluster_id = 'another'"), 0);
}

Test(faults, a_position_beyond_the_end_is_refused, .init = rig_start, .fini = rig_stop)
{
    rig_send_many(0, 10);
    fake_once();
    harness_sql("UPDATE consumer_position SET next_offset = next_offset + 1000 WHERE \"partition\" = 3");
    refuse_and_mend("the topic was made anew", "positions forget ttp attacker.observed");
    cr_assert_eq(rows(), 20);
}

/* More than the 5 MiB that the embedded broker keeps of a partition, in records of one key. */
static void send_too_much(void)
{
    cleanup(freep) char *note = calloc(1, 800001);
    memset(note, 'x', 800000);
    for (int i = 0; i < 10; i++) {
        rig_send("198.51.100.1", "\"note\":\"%s\"", note);
        rig_flush();
    }
}

Test(faults, a_position_that_retention_overtook_is_refused_at_the_start, .init = rig_start, .fini = rig_stop)
{
    rig_send("198.51.100.1", "\"n\":1");
    rig_flush();
    fake_once();
    send_too_much();
    refuse_and_mend("retention overtook", "positions set ttp attacker.observed");
    cr_assert(rows() > 1 && rows() < 11, "%lld", (long long)rows());
}

Test(faults, a_position_that_retention_overtakes_stops_the_worker, .init = rig_start, .fini = rig_stop)
{
    Fake f = fake_start("batch");
    fake_await_ready(&f);
    rig_send("198.51.100.1", "\"n\":1");
    rig_flush();
    await_rows(1);
    kill(f.pid, SIGSTOP);
    send_too_much();
    kill(f.pid, SIGCONT);
    fake_expect_end(&f, EXIT_OPERATOR, WAIT_MS);
    cr_assert(fake_said(&f, "retention overtook group ttp on attacker.observed/"));
}

Test(faults, overtaken_while_a_batch_is_being_written, .init = rig_start, .fini = rig_stop)
{
    Fake f = fake_start("batch", "--batch_records=1");
    fake_await_ready(&f);
    rig_send("198.51.100.2", "\"sleep_ms\":2500"); /* another partition: its transaction waits meanwhile */
    rig_flush();
    usleep(300000);
    kill(f.pid, SIGSTOP);
    send_too_much();
    kill(f.pid, SIGCONT);
    fake_expect_end(&f, EXIT_OPERATOR, WAIT_MS);
    cr_assert(fake_said(&f, "retention overtook group ttp on attacker.observed/"));
}

/* --- another owner --- */

Test(faults, who_was_taken_over_changes_nothing_and_stops, .init = rig_start, .fini = rig_stop)
{
    Fake f = fake_start("batch");
    fake_await_ready(&f);
    harness_sql("UPDATE consumer_position SET epoch = epoch + 1");
    rig_send_many(0, 10);
    rig_send("192.0.2.1", "\"refuse\":true");
    rig_send("192.0.2.1", "\"defer\":true");
    rig_flush();
    fake_expect_end(&f, 1, WAIT_MS);
    cr_assert(fake_said(&f, "another process took over the partitions of group ttp"));
    cr_assert_eq(harness_sql_int("SELECT (SELECT count(*) FROM fake_row) + (SELECT count(*) FROM dead_letter)"
                                 " + (SELECT count(*) FROM deferred_event) + (SELECT count(*) FROM event_outbox)"
                                 " + (SELECT sum(next_offset) FROM consumer_position)"),
                 0, "a fenced transaction left something");
}

Test(faults, a_second_worker_takes_over_in_the_middle, .init = rig_start, .fini = rig_stop)
{
    enum { N = 600 };
    Fake f = fake_start("batch", "--batch_records=3");
    fake_await_ready(&f);
    rig_send_many(0, N / 2);
    Fake g = fake_start("batch");
    fake_await_ready(&g);
    rig_send_many(N / 2, N / 2);
    expect_each_once(N);
    rig_send_many(N, 20); /* the last hint for the first, should it have been idle */
    fake_expect_end(&f, 1, WAIT_MS);
    cr_assert(fake_said(&f, "another process took over"));
    expect_each_once(N + 20);
    expect_clean_end(&g);
}
