/* How a worker lives: --once, signals, what it tells systemd, and a worker of the clock that only the leader runs. */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/time.h"
#include "worker_support.h"

static int64_t rows(void)
{
    return harness_sql_int("SELECT count(*) FROM fake_row");
}

static bool database_sleeps(void)
{
    return harness_sql_wait(1, WAIT_MS,
                            "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                            " AND datname = current_database()");
}

/* --- --once --- */

Test(life, once_ends_although_records_keep_coming, .init = rig_start, .fini = rig_stop)
{
    int sent = 40, code = -1;

    for (int i = 0; i < sent; i++)
        rig_send("198.51.100.7", "\"sleep_ms\":20,\"emit\":1");
    rig_flush();
    Fake f = fake_start("batch", "--once", "--batch_records=1");
    for (int64_t end_us = clock_monotonic_us() + WAIT_MS * US_PER_MS; code < 0 && clock_monotonic_us() < end_us;) {
        for (int i = 0; i < 3; i++, sent++)
            rig_send("198.51.100.7", "\"sleep_ms\":20,\"emit\":1");
        rig_flush();
        code = harness_wait(f.pid, 10);
    }
    cr_assert_eq(code, 0, "%d", code);
    cr_assert_geq(rows(), 40);
    cr_assert_lt(rows(), sent, "it read what came after its start");
    size_t n;
    Record *events = rig_read("ttp.tagged", &n);
    cr_assert_eq((int64_t)record_distinct_ids(events, n), rows());
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM event_outbox"), 0);
}

Test(life, once_with_nothing_to_do_ends_at_once, .init = rig_start, .fini = rig_stop)
{
    int64_t start_us = clock_monotonic_us();
    fake_once();
    cr_assert_lt(clock_monotonic_us() - start_us, 3 * US_PER_S);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM consumer_position WHERE next_offset = 0"), 12);
}

/* --- signals --- */

Test(life, term_finishes_the_batch_at_hand, .init = rig_start, .fini = rig_stop)
{
    rig_send("192.0.2.1", "\"sleep_ms\":1500,\"emit\":1");
    rig_flush();
    Fake f = fake_start("batch");
    cr_assert(database_sleeps());
    kill(f.pid, SIGTERM);
    fake_expect_log(&f, "\"event\":\"stopping\""); /* it hears while PostgreSQL works */
    cr_assert_eq(rows(), 0);
    fake_expect_end(&f, 0, 6000);
    cr_assert_eq(rows(), 1);
    rig_read_n("ttp.tagged", 1);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM event_outbox"), 0);
}

Test(life, term_waits_five_seconds_and_no_longer, .init = rig_start, .fini = rig_stop)
{
    rig_send("192.0.2.1", "\"sleep_ms\":60000");
    rig_flush();
    Fake f = fake_start("batch");
    cr_assert(database_sleeps());
    int64_t start_us = clock_monotonic_us();
    kill(f.pid, SIGTERM);
    fake_expect_end(&f, 0, 8000);
    int64_t took_us = clock_monotonic_us() - start_us;
    cr_assert(took_us > 4 * US_PER_S && took_us < 7 * US_PER_S, "%lld us", (long long)took_us);
    cr_assert_eq(rows(), 0);
    cr_assert_eq(harness_sql_int("SELECT sum(next_offset) FROM consumer_position"), 0);
}

Test(life, a_second_term_leaves_at_once, .init = rig_start, .fini = rig_stop)
{
    rig_send("192.0.2.1", "\"sleep_ms\":60000");
    rig_flush();
    Fake f = fake_start("batch");
    cr_assert(database_sleeps());
    kill(f.pid, SIGTERM);
    fake_expect_log(&f, "\"event\":\"stopping\"");
    kill(f.pid, SIGINT);
    fake_expect_end(&f, 0, 2500);
    cr_assert_eq(rows(), 0);
}

Test(life, a_second_term_leaves_also_while_events_wait_for_the_broker, .init = rig_start, .fini = rig_stop)
{
    rig_send("192.0.2.1", "\"sleep_ms\":1000,\"emit\":1");
    rig_flush();
    Fake f = fake_start("batch");
    cr_assert(database_sleeps());
    kill(rig_broker()->pid, SIGSTOP);
    cr_assert(harness_sql_wait(1, WAIT_MS, "SELECT count(*) FROM fake_row"));
    kill(f.pid, SIGTERM);
    fake_expect_log(&f, "\"event\":\"stopping\"");
    usleep(500000);
    cr_assert_eq(harness_wait(f.pid, 0), -1, "it did not wait for its events");
    kill(f.pid, SIGTERM);
    fake_expect_end(&f, 0, 2500);
    cr_assert_eq(harness_sql_int("SELECT sum(n) FROM event_outbox"), 1, "the row is the memory of the event");
    kill(rig_broker()->pid, SIGCONT);
    fake_once();
    size_t n;
    Record *events = rig_read("ttp.tagged", &n);
    cr_assert_eq(record_distinct_ids(events, n), (size_t)1);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM event_outbox"), 0);
}

/* --- systemd --- */

typedef struct Notes {
    int fd;
    Buf seen; /* all datagrams, a line break after each */
} Notes;

static const char *notes_open(Notes *notes, const char *folder)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof(a.sun_path), "%s/notify", folder);
    *notes = (Notes){.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    cr_assert_eq(bind(notes->fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return option("NOTIFY_SOCKET=%s", a.sun_path);
}

static int notes_count(Notes *notes, const char *text, int timeout_ms)
{
    int64_t end_us = clock_monotonic_us() + timeout_ms * US_PER_MS;
    char block[4096];
    int found = 0;

    do {
        struct pollfd fd = {.fd = notes->fd, .events = POLLIN};
        ssize_t n;
        poll(&fd, 1, 20);
        while ((n = recv(notes->fd, block, sizeof(block), 0)) > 0) {
            buf_append(&notes->seen, block, (size_t)n);
            buf_add_char(&notes->seen, '\n');
        }
    } while (clock_monotonic_us() < end_us);
    for (const char *at = notes->seen.data; at && (at = strstr(at, text)); at++)
        found++;
    return found;
}

Test(life, systemd_hears_ready_watchdog_status_and_stopping, .init = rig_start, .fini = rig_stop)
{
    cleanup(freep) char *folder = harness_folder();
    PgProxy *p = pg_proxy_start();
    cleanup(freep) char *conninfo = harness_pg_conninfo_through("decnet_ttp", pg_proxy_folder(p));
    Notes notes;
    const char *const environment[] = {notes_open(&notes, folder), "WATCHDOG_USEC=300000", NULL};

    pg_proxy_shut(p, true);
    Fake f = fake_start_list("batch", environment, (const char *const[]){option("--database=%s", conninfo), NULL});
    fake_expect_log(&f, "\"event\":\"holding\"");
    cr_assert_eq(notes_count(&notes, "READY=1", 300), 0, "ready without a database");
    cr_assert_gt(notes_count(&notes, "STATUS=connect", 0), 0, "%s", notes.seen.data);
    pg_proxy_shut(p, false);
    fake_await_ready(&f);
    cr_assert_eq(notes_count(&notes, "READY=1", 300), 1);
    rig_send("192.0.2.1", "\"sleep_ms\":2000");
    rig_flush();
    cr_assert(database_sleeps());
    int before = notes_count(&notes, "WATCHDOG=1", 0);
    cr_assert_geq(notes_count(&notes, "WATCHDOG=1", 1200), before + 4, "silent while PostgreSQL works: %s",
                  notes.seen.data);
    kill(f.pid, SIGTERM);
    fake_expect_end(&f, 0, 6000);
    cr_assert_eq(notes_count(&notes, "STOPPING=1", 0), 1);
    cr_assert_eq(notes_count(&notes, "READY=1", 0), 1);
    buf_free(&notes.seen);
    close(notes.fd);
    pg_proxy_stop(p);
}

/* --- a worker of the clock --- */

static int64_t ticks(const char *instance)
{
    return harness_sql_int("SELECT count(*) FROM fake_tick WHERE instance = '%s'", instance);
}

static void await_more_ticks(const char *instance, int64_t than, int timeout_ms)
{
    cr_assert(harness_sql_wait(1, timeout_ms, "SELECT (count(*) > %lld)::int FROM fake_tick WHERE instance = '%s'",
                               (long long)than, instance),
              "%s does not work", instance);
}

/* Hundredths of a second that it has spent on a processor. */
static long cpu_hundredths(pid_t pid)
{
    cleanup(freep) char *text = harness_read(option("/proc/%d/stat", (int)pid));
    const char *at = strrchr(text, ')');
    long user = 0, system = 0;
    cr_assert(at && sscanf(at, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user, &system) == 2);
    return user + system;
}

Test(life, a_worker_without_topics_works_by_its_own_clock, .init = rig_start, .fini = rig_stop)
{
    Fake f = fake_start("idle", "--instance=a");
    await_more_ticks("a", 10, WAIT_MS);
    kill(f.pid, SIGTERM);
    fake_expect_end(&f, 0, 6000);
    size_t n, rows_there = (size_t)ticks("a");
    Record *events = rig_read("attacker.scored", &n);
    cr_assert_eq(n, rows_there, "%zu events for %zu rows", n, rows_there);
    cr_assert_eq(record_distinct_ids(events, n), n);
    cr_assert(str_starts(record_header(&events[0], BUS_HEADER_SOURCE), "enrich/a@"));
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM fake_tick WHERE note <> ''"), 0,
                 "a handler ran after its descriptor was given up");
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM event_outbox"), 0);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM consumer_position"), 0);
}

Test(life, only_the_leader_works_and_another_follows_it, .init = rig_start, .fini = rig_stop)
{
    Fake a = fake_start("idle", "--instance=a");
    await_more_ticks("a", 3, WAIT_MS);
    Fake b = fake_start("idle", "--instance=b");
    fake_await_ready(&b);
    long before = cpu_hundredths(b.pid);
    await_more_ticks("a", ticks("a") + 20, WAIT_MS);
    cr_assert_lt(cpu_hundredths(b.pid) - before, 20, "a standby spins");
    cr_assert_eq(ticks("b"), 0, "two leaders");
    cr_assert_eq(http_get(&b, "/readyz", NULL), 200);

    harness_end(a.pid, SIGKILL, WAIT_MS);
    int64_t of_a = ticks("a");
    await_more_ticks("b", 3, 8000);
    cr_assert_eq(ticks("a"), of_a);
    cr_assert(fake_said(&b, "this process leads group enrich"));
    kill(b.pid, SIGTERM);
    fake_expect_end(&b, 0, 6000);
}

Test(life, who_lost_the_lock_stops_working, .init = rig_start, .fini = rig_stop)
{
    PgProxy *p = pg_proxy_start();
    cleanup(freep) char *conninfo = harness_pg_conninfo_through(NULL, pg_proxy_folder(p));
    Fake f = fake_start("idle", "--instance=a", option("--database=%s", conninfo));

    await_more_ticks("a", 3, WAIT_MS);
    pg_proxy_refuse(p, true); /* its other connection stays */
    cr_assert_eq(harness_sql_int("SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'"
                                 " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"),
                 1);
    fake_expect_log(&f, "lost the lead of group enrich");
    int64_t then = ticks("a");
    usleep(800000);
    cr_assert_eq(ticks("a"), then, "it works without the lock");
    pg_proxy_refuse(p, false);
    await_more_ticks("a", then + 3, WAIT_MS);
    kill(f.pid, SIGTERM);
    fake_expect_end(&f, 0, 6000);
    pg_proxy_stop(p);
}

Test(life, a_paused_worker_without_topics_rests, .init = rig_start, .fini = rig_stop)
{
    harness_sql("INSERT INTO group_pause (group_name, reason) VALUES ('enrich', 'a test')");
    Fake f = fake_start("idle", "--instance=a");
    fake_await_readiness(&f, 503);
    long before = cpu_hundredths(f.pid);
    usleep(1000000);
    cr_assert_lt(cpu_hundredths(f.pid) - before, 20, "a paused worker spins");
    cr_assert_eq(ticks("a"), 0);
    harness_sql("DELETE FROM group_pause");
    await_more_ticks("a", 3, WAIT_MS);
    fake_await_readiness(&f, 200);
    kill(f.pid, SIGTERM);
    fake_expect_end(&f, 0, 6000);
}
