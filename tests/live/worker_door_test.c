/* What a worker shows and takes: metrics and health, command line and configuration, refusals at the start, its log. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/json.h"
#include "base/time.h"
#include "worker_support.h"

static void end_well(Fake *f)
{
    kill(f->pid, SIGTERM);
    fake_expect_end(f, 0, 6000);
}

/* --- metrics and health --- */

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == ':';
}

/* "name 1.5" or "name{label="value",…} 1.5"; the family that HELP and TYPE announced must begin its name. */
static void expect_sample(const char *line, const char *family)
{
    size_t n = 0;
    char *end;

    while (is_name_char(line[n]))
        n++;
    cr_assert(n > 0 && strncmp(line, family, strlen(family)) == 0, "%s does not belong to %s", line, family);
    if (line[n] == '{') {
        const char *close = strchr(line, '}');
        cr_assert(close && close[-1] == '"', "%s", line);
        n = (size_t)(close - line) + 1;
    }
    cr_assert_eq(line[n], ' ', "%s", line);
    (void)strtod(line + n + 1, &end);
    cr_assert(end > line + n + 1 && *end == '\0', "%s", line);
}

/* Prometheus' text format 0.0.4; returns how many families there are. */
static int expect_metrics(char *body)
{
    char family[128] = "", type[32] = "", *rest = NULL;
    bool has_help = false, has_type = false;
    int families = 0;

    cr_assert(*body && body[strlen(body) - 1] == '\n');
    for (char *line = strtok_r(body, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (sscanf(line, "# HELP %127s", family) == 1) {
            has_help = true;
            has_type = false;
            families++;
        } else if (strncmp(line, "# TYPE ", 7) == 0) {
            char name[128];
            cr_assert_eq(sscanf(line, "# TYPE %127s %31s", name, type), 2, "%s", line);
            cr_assert_str_eq(name, family);
            cr_assert(strcmp(type, "counter") == 0 || strcmp(type, "gauge") == 0 || strcmp(type, "histogram") == 0);
            has_type = true;
        } else {
            cr_assert(has_help && has_type, "%s comes before its HELP and TYPE", line);
            expect_sample(line, family);
        }
    }
    return families;
}

Test(door, metrics_and_health_answer, .init = rig_start, .fini = rig_stop)
{
    const char *body = NULL;

    rig_send_many(0, 20);
    rig_send("192.0.2.1", "\"refuse\":true");
    rig_send("192.0.2.1", "\"defer\":true");
    rig_flush();
    Fake f = fake_start("batch");
    cr_assert(harness_sql_wait(20, WAIT_MS, "SELECT count(*) FROM fake_row"));
    cr_assert(harness_sql_wait(22, WAIT_MS, "SELECT sum(next_offset) FROM consumer_position"));
    fake_await_readiness(&f, 200);
    cr_assert_eq(http_get(&f, "/metrics", &body), 200);
    cr_assert_gt(expect_metrics(arena_memdup(rig_arena(), body, strlen(body))), 9);
    cr_assert_eq(fake_metric(&f, "decnet_fenced_total"), 0);
    cr_assert_eq(fake_metric(&f, "decnet_records_total"), 22);
    cr_assert_eq(fake_metric(&f, "decnet_events_total{outcome=\"applied\"}"), 20);
    cr_assert_eq(fake_metric(&f, "decnet_events_total{outcome=\"dead_letter\"}"), 1);
    cr_assert_geq(fake_metric(&f, "decnet_events_total{outcome=\"deferred\"}"), 1);
    cr_assert_geq(fake_metric(&f, "decnet_batches_total"), 1);
    cr_assert_eq(http_get(&f, "/healthz", &body), 200);
    cr_assert_str_eq(body, "ok\n");
    cr_assert_eq(http_get(&f, "/readyz", &body), 200);
    cr_assert_str_eq(body, "ready\n");
    cr_assert_eq(http_get(&f, "/", &body), 404);
    cr_assert_not_null(strstr(body, "/metrics"));
    cr_assert_eq(http_get(&f, "/metrics/../../etc/passwd", NULL), 404);
    cr_assert_not_null(strstr(http_raw(&f, "POST /metrics HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n"
                                           "Connection: close\r\n\r\n"),
                              "HTTP/1.1 405 "));
    cr_assert_not_null(
        strstr(http_raw(&f, "HEAD /healthz HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"), "HTTP/1.1 200 "));
    end_well(&f);
}

Test(door, two_readers_at_once_and_one_that_never_finishes, .init = rig_start, .fini = rig_stop)
{
    static const char half[] = "GET /metrics HTTP/1.1\r\nHost:", rest[] = " t\r\nConnection: close\r\n\r\n";
    char answer[64] = "";
    Fake f = fake_start("batch");
    fake_await_ready(&f);
    int slow = http_connect(fake_port(&f));

    cr_assert_geq(slow, 0);
    cr_assert_eq(send(slow, half, sizeof(half) - 1, 0), (ssize_t)sizeof(half) - 1);
    cr_assert_eq(http_get(&f, "/healthz", NULL), 200);
    cr_assert_eq(send(slow, rest, sizeof(rest) - 1, 0), (ssize_t)sizeof(rest) - 1);
    cr_assert_gt(recv(slow, answer, sizeof(answer) - 1, 0), 0);
    cr_assert_eq(strncmp(answer, "HTTP/1.1 200", 12), 0, "%s", answer);
    close(slow);
    end_well(&f);
}

Test(door, silent_connections_do_not_shut_it, .init = rig_start, .fini = rig_stop)
{
    enum { SILENT = 20 };
    int fds[SILENT], status = 0;
    Fake f = fake_start("batch");
    fake_await_ready(&f);

    for (int i = 0; i < SILENT; i++)
        fds[i] = http_connect(fake_port(&f));
    for (int64_t end_us = clock_monotonic_us() + 25 * US_PER_S; status != 200 && clock_monotonic_us() < end_us;) {
        usleep(500000);
        status = http_get(&f, "/healthz", NULL);
    }
    cr_assert_eq(status, 200, "no answer within 25 s");
    for (int i = 0; i < SILENT; i++)
        close(fds[i]);
    end_well(&f);
}

Test(door, health_answers_while_postgresql_works, .init = rig_start, .fini = rig_stop)
{
    rig_send("192.0.2.1", "\"sleep_ms\":3000");
    rig_flush();
    Fake f = fake_start("batch");
    cr_assert(harness_sql_wait(1, WAIT_MS,
                               "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                               " AND datname = current_database()"));
    int64_t start_us = clock_monotonic_us();
    cr_assert_eq(http_get(&f, "/healthz", NULL), 200);
    cr_assert_lt(clock_monotonic_us() - start_us, US_PER_S);
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM fake_row"), 0);
    end_well(&f);
}

Test(door, an_address_that_cannot_be_listened_on_is_refused, .init = rig_start, .fini = rig_stop)
{
    static const char *const bad[] = {"nonsense", "127.0.0.1:http-or-so", "127.0.0.1:99999", "no.such.host.invalid:0",
                                      "192.0.2.1:9100"};
    Fake f, first;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        int code = fake_run(&f, "batch", option("--metrics_listen=%s", bad[i]));
        cr_assert_eq(code, EXIT_OPERATOR, "%s: %d", bad[i], code);
        cr_assert(fake_said(&f, option("metrics_listen = %s", bad[i])), "%s", bad[i]);
    }
    first = fake_start("batch");
    fake_await_ready(&first);
    cr_assert_eq(fake_run(&f, "batch", option("--metrics_listen=127.0.0.1:%d", fake_port(&first))), EXIT_OPERATOR);
    cr_assert(fake_said(&f, "Address already in use"));
    end_well(&first);
    cr_assert_eq(fake_run(&f, "batch", "--metrics_port_file=/nowhere/port"), EXIT_OPERATOR);
    cr_assert(fake_said(&f, "metrics_port_file /nowhere/port"));
}

/* --- command line and configuration --- */

static void expect_run(int code, const char *text, const char *option_text)
{
    Fake f;
    int got = fake_run(&f, "batch", option_text);
    cleanup(freep) char *out = harness_read(f.out);
    cleanup(freep) char *log = harness_read(f.log);

    cr_assert_eq(got, code, "%s: %d instead of %d: %s", option_text, got, code, log);
    cr_assert(strstr(out, text) || strstr(log, text), "%s: no \"%s\" in: %s%s", option_text, text, out, log);
}

Test(door, wrong_options_are_named_with_the_nearest, .init = rig_start, .fini = rig_stop)
{
    expect_run(EXIT_OPERATOR, "batch_records", "--batch_record=5");
    expect_run(EXIT_OPERATOR, "once", "--onec");
    expect_run(EXIT_OPERATOR, "a number from 1 to 10000", "--batch_records=0");
    expect_run(EXIT_OPERATOR, "a number from 1 to 10000", "--batch-records=many");
    expect_run(EXIT_OPERATOR, "no.such.property", "--kafka.no.such.property=1");
    expect_run(EXIT_OPERATOR, "/nowhere/decnet.conf", "--config=/nowhere/decnet.conf");
    expect_run(2, "unexpected argument: surplus", "surplus");
    expect_run(0, "--batch-records", "--help");
    expect_run(0, "decnet-ttp 0.", "--version");
}

Test(door, configuration_is_checked_and_shown_without_secrets, .init = rig_start, .fini = rig_stop)
{
    cleanup(freep) char *folder = harness_folder();
    cleanup(freep) char *path = harness_path(folder, "bad.conf");
    FILE *file = fopen(path, "we");
    Fake f;

    cr_assert_not_null(file);
    fputs("# a comment\nbatch_recrods = 7\n", file);
    fclose(file);
    cr_assert_eq(fake_run(&f, "batch", "--check-config"), 0);
    cr_assert_eq(fake_run(&f, "batch", "--check-config", option("--config=%s", path)), EXIT_OPERATOR);
    cr_assert(fake_said(&f, "bad.conf:2") && fake_said(&f, "did you mean \"batch_records\""));
    cr_assert_eq(fake_run(&f, "batch", "--print-config", "--kafka.sasl.password=hunter2", "--batch_records=77",
                          "--database=postgresql://u:topsecret@db/decnet"),
                 0);
    cleanup(freep) char *shown = harness_read(f.out);
    cr_assert_not_null(strstr(shown, "batch_records = 77"), "%s", shown);
    cr_assert_not_null(strstr(shown, "kafka.sasl.password = ***"), "%s", shown);
    cr_assert_null(strstr(shown, "hunter2"));
    cr_assert_null(strstr(shown, "topsecret"));

    const char *const environment[] = {"DECNET_BATCH_RECRODS=7", NULL}, *const none[] = {NULL};
    Fake g = fake_start_list("batch", environment, none);
    fake_expect_end(&g, EXIT_OPERATOR, WAIT_MS);
    cr_assert(fake_said(&g, "DECNET_BATCH_RECRODS"));
}

/* --- a database that is not as it has to be --- */

static void expect_refusal(const char *said, const char *option_text)
{
    Fake f;
    int code = fake_run(&f, "batch", option_text);
    cr_assert_eq(code, EXIT_OPERATOR, "%d", code);
    cleanup(freep) char *log = harness_read(f.log);
    cr_assert_not_null(strstr(log, said), "no \"%s\" in: %s", said, log);
}

Test(door, a_schema_that_does_not_fit_is_refused_with_the_remedy, .init = rig_start, .fini = rig_stop)
{
    rig_send_many(0, 3);
    harness_sql("UPDATE schema_version SET min_worker = 999 WHERE version = (SELECT max(version) FROM schema_version)");
    expect_refusal("install the newer decnet-workers", "--once");
    harness_sql("UPDATE schema_version SET min_worker = 1");
    fake_once();
    harness_sql("CREATE TABLE kept AS SELECT * FROM schema_version;"
                "UPDATE schema_version SET checksum = 'other'");
    expect_refusal("checksum differs", "--once");
    harness_sql("DELETE FROM schema_version WHERE version = (SELECT max(version) FROM schema_version);"
                "UPDATE schema_version s SET checksum = k.checksum FROM kept k WHERE k.version = s.version");
    expect_refusal("decnetctl migrate", "--once");
    cleanup(freep) char *conninfo = harness_pg_conninfo();
    harness_sql("DROP SCHEMA decnet CASCADE");
    expect_refusal("decnetctl migrate", option("--database=%s", conninfo));
}

Test(door, access_that_is_refused_is_for_the_operator, .init = rig_start, .fini = rig_stop)
{
    cleanup(freep) char *nobody = harness_pg_conninfo_as("no_such_role");

    expect_refusal("no_such_role", option("--database=%s", nobody));
    expect_refusal("no_such_database", option("--database=%s dbname=no_such_database", harness_env("DECNET_TEST_PG")));
    expect_refusal("nonsense", "--database=nonsense=1");
    rig_send_many(0, 3);
    harness_sql("REVOKE INSERT ON fake_row FROM decnet_ttp");
    expect_refusal("roles.sql", "--once");
    cr_assert_eq(harness_sql_int("SELECT sum(next_offset) FROM consumer_position"), 0);
    harness_sql("GRANT INSERT ON fake_row TO decnet_ttp");
    fake_once();
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM fake_row"), 3);
}

/* --- the log --- */

static int expect_json_lines(const char *text)
{
    cleanup(freep) char *copy = strdup(text);
    char *rest = NULL;
    int n = 0;

    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), n++) {
        static const char *const keys[] = {"time", "level", "event", "worker", "instance", "message"};
        cleanup(json_putp) json_object *o = json_parse(str_from(line));
        int64_t at_us;
        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
            cr_assert(json_get_str(o, keys[i]).len > 0, "no %s in %s", keys[i], line);
        cr_assert_eq(time_parse(json_get_str(o, "time"), &at_us, NULL), 0);
    }
    return n;
}

Test(door, the_log_is_json_and_holds_no_secret_and_no_attacker_text, .init = rig_start, .fini = rig_stop)
{
    static const char command[] = "wget-http-evil-payload";
    cleanup(freep) char *conninfo = harness_pg_conninfo_as("decnet_ttp");
    const char *body = "";

    rig_send("192.0.2.1", "\"note\":\"%s\"", command);
    rig_send("192.0.2.1", "\"as_number\":\"%s\"", command);
    rig_send("192.0.2.1", "\"n\":-1,\"note\":\"%s\"", command);
    rig_send("192.0.2.1", "\"refuse\":true,\"note\":\"%s\"", command);
    rig_send("192.0.2.1", "\"note\":\"%s", command); /* no JSON */
    rig_send("192.0.2.1", "\"defer\":true,\"note\":\"%s\"", command);
    rig_flush();
    Fake f = fake_start("batch", option("--database=%s password=topsecret", conninfo));
    cr_assert(harness_sql_wait(6, WAIT_MS, "SELECT sum(next_offset) FROM consumer_position"));
    cr_assert_eq(harness_sql_int("SELECT count(*) FROM dead_letter WHERE message LIKE '%%%s%%'", command), 1,
                 "the table says what PostgreSQL said");
    cr_assert_eq(http_get(&f, "/metrics", &body), 200);
    cr_assert_null(strstr(body, command));
    end_well(&f);
    cleanup(freep) char *log = harness_read(f.log);
    cr_assert_gt(expect_json_lines(log), 5, "%s", log);
    cr_assert_not_null(strstr(log, "\"event\":\"dead_letter\""), "%s", log);
    cr_assert_not_null(strstr(log, "22P02"), "%s", log);
    cr_assert_null(strstr(log, command), "%s", log);
    cr_assert_null(strstr(log, "topsecret"), "%s", log);
}
