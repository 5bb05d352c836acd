/* The outbox against PostgreSQL and a broker: published after COMMIT and not before, deleted when acknowledged, relayed
 * when a crash left it behind, held back by a gate. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/time.h"
#include "repo/runtime.h"
#include "worker/outbox.h"
#include "worker_support.h"

static Repo *repo;
static char *conninfo;

static void start(void)
{
    rig_start();
    conninfo = harness_pg_conninfo_as("decnet_ttp");
    repo = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = "outbox"});
}

static void stop(void)
{
    repo_free(repo);
    free(conninfo);
    rig_stop();
}

static Outbox *open_outbox(void)
{
    cleanup(freep) char *error = NULL;
    Outbox *o = NULL;
    cr_assert_eq(outbox_new(rig_config(), "ttp", "ttp/0@test", &o, &error), 0, "%s", error);
    return o;
}

static int64_t outbox_rows(void)
{
    return harness_sql_int("SELECT count(*) FROM event_outbox");
}

/* Event number @i; the same number always has the same id. */
static void add_sized(Outbox *o, int i, size_t bytes)
{
    cleanup(freep) char *value = calloc(1, bytes + 32);
    int n = snprintf(value, bytes + 32, "{\"i\":%d}", i);
    Str part = str_from(option("%d", i));
    Uuid id = event_id(STR("ttp.tagged"), &part, 1);

    memset(value + n, ' ', bytes > (size_t)n ? bytes - (size_t)n : 0);
    outbox_add(o, "ttp.tagged", STR("ttp.tagged"), &id, STR("one key"), (Str){value, MAX(bytes, (size_t)n)});
}

static void begin(Outbox *o)
{
    cr_assert_eq(repo_connect(repo), 0, "%s", repo_error_text(repo));
    cr_assert_eq(repo_begin(repo), 0);
    outbox_begin(o);
}

static void commit(Outbox *o)
{
    cr_assert_eq(outbox_write(o, repo), 0, "%s", repo_error_text(repo));
    cr_assert_eq(repo_commit(repo), 0);
    outbox_committed(o);
}

static void commit_events(Outbox *o, int from, int n, size_t bytes)
{
    begin(o);
    for (int i = from; i < from + n; i++)
        add_sized(o, i, bytes);
    commit(o);
}

/* Ticks until @done says so. */
static void tick_until(Outbox *o, int64_t relay_age_ms, bool (*done)(Outbox *o))
{
    int64_t end_us = clock_monotonic_us() + WAIT_MS * US_PER_MS;
    while (!done(o) && clock_monotonic_us() < end_us) {
        cr_assert_eq(repo_connect(repo), 0);
        cr_assert_eq(outbox_tick(o, repo, relay_age_ms), 0, "%s", repo_error_text(repo));
        usleep(5000);
    }
    cr_assert(done(o), "%lld rows are left", (long long)outbox_rows());
}

static bool no_row_left(Outbox *o)
{
    return outbox_is_settled(o) && outbox_rows() == 0;
}

static bool nothing_in_the_air(Outbox *o)
{
    return outbox_outstanding(o) == 0;
}

/* The events are 0 … n-1, in this order (one key: one partition), each once. */
static void expect_in_order(size_t n)
{
    Record *records = rig_read_n("ttp.tagged", n);
    for (size_t i = 0; i < n; i++) {
        const char *begins = option("{\"i\":%zu}", i);
        cr_assert(str_starts(records[i].value, begins), "%zu: " STR_FMT, i, STR_ARG(text_clip(records[i].value, 40)));
    }
    cr_assert_eq(record_distinct_ids(records, n), n);
}

Test(outbox, what_is_rolled_back_is_never_published, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();
    size_t n;

    begin(o);
    add_sized(o, 7, 0);
    cr_assert_eq(outbox_write(o, repo), 0);
    outbox_poll(o, 300);
    rig_read("ttp.tagged", &n);
    cr_assert_eq(n, (size_t)0, "published before COMMIT");
    repo_rollback(repo);
    commit_events(o, 0, 1, 0);
    cr_assert_eq(outbox_rows(), 1, "a row is there until its event is acknowledged");
    tick_until(o, 30000, no_row_left);
    expect_in_order(1);
}

Test(outbox, an_event_carries_its_headers, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();
    const EventHeader own[] = {{STR("decnet-error"), STR("x")}, {STR("empty"), STR("")}};

    begin(o);
    add_sized(o, 0, 0);
    outbox_add_raw(o, "dlq.ttp", (Str){0}, STR("\0\xff raw"), own, ARRAY_SIZE(own));
    commit(o);
    const Record *r = rig_read_n("ttp.tagged", 1), *raw = rig_read_n("dlq.ttp", 1);
    cr_assert_eq(r->n_headers, (size_t)6);
    cr_assert(str_eq(record_header(r, BUS_HEADER_EVENT_TYPE), STR("ttp.tagged")));
    cr_assert(str_eq(record_header(r, BUS_HEADER_SOURCE), STR("ttp/0@test")));
    cr_assert(str_eq(r->key, STR("one key")));
    cr_assert(str_eq(raw->value, STR("\0\xff raw")) && raw->key.data == NULL && raw->n_headers == 2);
}

Test(outbox, the_next_transaction_deletes_what_was_acknowledged, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();

    commit_events(o, 0, 3, 0);
    for (int i = 0; i < 500 && !nothing_in_the_air(o); i++)
        outbox_poll(o, 20);
    cr_assert_eq(outbox_rows(), 1, "three events share a row");
    begin(o);
    cr_assert_eq(outbox_write(o, repo), 0);
    repo_rollback(repo); /* and if that fails, one later does */
    cr_assert_eq(outbox_rows(), 1);
    commit_events(o, 3, 1, 0);
    cr_assert_eq(harness_sql_int("SELECT n FROM event_outbox"), 1, "the old row is still there");
    cr_assert_eq(outbox_rows(), 1);
    cr_assert_eq(outbox_drain(o, repo, WAIT_MS), 0);
    cr_assert(no_row_left(o));
    expect_in_order(4);
}

Test(outbox, packs_are_split_at_one_mebibyte, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();

    commit_events(o, 0, 7, 300000);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM event_outbox WHERE n = 3"), 2);
    cr_assert_eq(harness_sql_int("SELECT sum(n) FROM event_outbox"), 7);
    commit_events(o, 7, 2, LIMIT_EVENT_BYTES);
    begin(o);
    for (int i = 9; i < 4009; i++)
        add_sized(o, i, 500);
    commit(o);
    cr_assert_leq(harness_sql_int("SELECT max(octet_length(events)) FROM event_outbox"), LIMIT_OUTBOX_ROW_BYTES);
    tick_until(o, 30000, no_row_left);
    cr_assert_eq(outbox_pending_bytes(o), (size_t)0);
}

/* --- what a crash leaves behind --- */

static bool closed(void *arg, const BusTopic *topic, Str key, size_t bytes)
{
    return false;
}

/* Rows whose process is gone before it published anything. */
static void leave_behind(int from, int n)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();
    outbox_set_gate(o, closed, NULL);
    commit_events(o, from, n, 0);
    cr_assert_gt(outbox_pending_bytes(o), (size_t)0);
    cr_assert(!outbox_is_settled(o));
}

Test(outbox, rows_left_behind_are_relayed_when_they_are_old_enough, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();
    size_t n;

    leave_behind(0, 3);
    leave_behind(3, 2);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(outbox_tick(o, repo, 30000), 0);
        usleep(600000);
    }
    cr_assert_eq(outbox_rows(), 2, "relayed before its time");
    rig_read("ttp.tagged", &n);
    cr_assert_eq(n, (size_t)0);
    harness_pg_clock(31);
    tick_until(o, 30000, no_row_left);
    expect_in_order(5);
}

Test(outbox, a_relay_leaves_alone_what_is_not_its_own, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();
    cleanup(repo_freep) Repo *other = repo_new(&(RepoOptions){.conninfo = conninfo, .application_name = "other"});
    OutboxRow *rows;
    size_t n;

    leave_behind(0, 1);
    harness_sql("INSERT INTO event_outbox (producer, n, events) SELECT 'enrich', n, events FROM event_outbox");
    cr_assert_eq(repo_connect(other), 0);
    cr_assert_eq(repo_begin(other), 0);
    cr_assert_eq(outbox_row_claim(other, rig_arena(), "ttp", 0, NULL, 0, 10, &rows, &n), 0);
    cr_assert_eq(n, (size_t)1);
    cr_assert_eq(repo_connect(repo), 0);
    cr_assert_eq(outbox_tick(o, repo, 0), 0);
    rig_read("ttp.tagged", &n);
    cr_assert_eq(n, (size_t)0, "a row was relayed that another relay holds");
    repo_rollback(other);
    usleep(1100000);
    cr_assert_eq(outbox_tick(o, repo, 0), 0);
    expect_in_order(1);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM event_outbox WHERE producer = 'enrich'"), 1);
    cr_assert_eq(outbox_rows(), 1);
}

Test(outbox, a_damaged_row_stays_and_does_not_stand_in_the_way, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();

    harness_sql(
        "INSERT INTO event_outbox (producer, n, events) VALUES ('ttp', 1, '\\x0102'), ('ttp', 1, '\\x04000000')");
    leave_behind(0, 2);
    cr_assert_eq(repo_connect(repo), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(outbox_tick(o, repo, 0), 0, "%s", repo_error_text(repo));
        usleep(600000);
    }
    expect_in_order(2);
    cr_assert_eq(outbox_rows(), 2, "nothing is dropped silently");
    cr_assert_eq(outbox_damaged_rows(o), (size_t)2);
    Fake f; /* a worker says so, and does not wait for them */
    cr_assert_eq(fake_run(&f, "batch", "--once"), 0);
    cr_assert(fake_said(&f, "2 rows of event_outbox of group ttp are damaged"));
    cr_assert_eq(outbox_rows(), 2);
}

Test(outbox, a_full_relay_keeps_the_order_of_many_rows, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();

    for (int i = 0; i < 40; i++) /* more than one claim takes */
        leave_behind(i, 1);
    tick_until(o, 0, no_row_left);
    expect_in_order(40);
}

/* --- the gate --- */

typedef struct Gate {
    int open_for; /* so many more events */
} Gate;

static bool counted(void *arg, const BusTopic *topic, Str key, size_t bytes)
{
    Gate *gate = arg;
    cr_assert_str_eq(topic->name, "ttp.tagged");
    cr_assert(str_eq(key, STR("one key")) && bytes > 0);
    return gate->open_for > 0 && gate->open_for-- > 0;
}

static void expect_published(Outbox *o, size_t n)
{
    for (int i = 0; i < 20; i++)
        outbox_poll(o, 10);
    size_t got;
    rig_read("ttp.tagged", &got);
    cr_assert_eq(got, n, "%zu events passed instead of %zu", got, n);
}

Test(outbox, a_closed_gate_holds_events_back_in_order, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();
    Gate gate = {3};

    outbox_set_gate(o, counted, &gate);
    commit_events(o, 0, 5, 0); /* the gate closes in the middle of a pack */
    expect_published(o, 3);
    commit_events(o, 5, 5, 0);
    expect_published(o, 3);
    cr_assert_eq(outbox_rows(), 2);
    gate.open_for = 4;
    expect_published(o, 7);
    gate.open_for = 100;
    cr_assert_eq(outbox_drain(o, repo, WAIT_MS), 0);
    expect_in_order(10);
    cr_assert(no_row_left(o));
    cr_assert_eq(gate.open_for, 97, "an event went through the gate twice");
}

static bool small_ones(void *arg, const BusTopic *topic, Str key, size_t bytes)
{
    const bool *open = arg;
    return *open || bytes < 1000;
}

Test(outbox, nothing_overtakes_what_the_gate_holds_back, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();
    bool open = false;

    outbox_set_gate(o, small_ones, &open);
    commit_events(o, 0, 1, 5000);
    commit_events(o, 1, 3, 0);
    expect_published(o, 0);
    open = true;
    cr_assert_eq(outbox_drain(o, repo, WAIT_MS), 0);
    expect_in_order(4);
}

/* --- the broker --- */

Test(outbox, events_wait_for_a_broker_that_does_not_answer, .init = start, .fini = stop)
{
    cleanup(outbox_freep) Outbox *o = open_outbox();

    commit_events(o, 0, 1, 0); /* the producer knows its broker now */
    tick_until(o, 30000, no_row_left);
    kill(rig_broker()->pid, SIGSTOP);
    int64_t start_us = clock_monotonic_us();
    commit_events(o, 1, 4, 0);
    cr_assert_lt(clock_monotonic_us() - start_us, US_PER_S, "publishing waits for the broker");
    cr_assert_eq(outbox_drain(o, repo, 300), 0);
    cr_assert(!outbox_is_settled(o));
    cr_assert_eq(outbox_rows(), 1);
    kill(rig_broker()->pid, SIGCONT);
    tick_until(o, 30000, no_row_left);
    expect_in_order(5);
}
