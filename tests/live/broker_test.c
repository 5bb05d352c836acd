/* decnet-broker as a program: its ready file, its options, its end. */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "bus/bus.h"
#include "harness.h"

enum { WAIT_MS = 10000 };

static char *folder, *output, *messages;

static void start(void)
{
    folder = harness_folder();
    output = harness_path(folder, "out");
    messages = harness_path(folder, "err");
}

static void stop(void)
{
    free(folder);
    free(output);
    free(messages);
}

/* Run to its end with these options; its output is in output and messages. */
static int run(const char *a, const char *b, const char *c)
{
    const char *argv[] = {harness_env("DECNET_BROKER_PROGRAM"), a, b, c, NULL};
    unlink(output);
    unlink(messages);
    return harness_run(&(HarnessProgram){.argv = argv, .stdout_path = output, .stderr_path = messages}, WAIT_MS);
}

static void expect_text(const char *path, const char *text)
{
    cleanup(freep) char *content = harness_read(path);
    cr_assert_not_null(strstr(content, text), "no \"%s\" in: %s", text, content);
}

Test(broker, ready_file_comes_and_goes_with_it)
{
    HarnessBroker b = harness_broker_start(NULL);

    cr_assert_eq(strncmp(b.address, "127.0.0.1:", 10), 0, "%s", b.address);
    cr_assert_eq(access(b.ready_file, R_OK), 0);
    cr_assert_eq(harness_end(b.pid, SIGTERM, WAIT_MS), 0);
    cr_assert_neq(access(b.ready_file, F_OK), 0);
    harness_broker_stop(&b);

    b = harness_broker_start(NULL);
    cr_assert_eq(harness_end(b.pid, SIGINT, WAIT_MS), 0);
    cr_assert_neq(access(b.ready_file, F_OK), 0);
    harness_broker_stop(&b);
}

Test(broker, second_one_is_refused_while_the_first_lives, .init = start, .fini = stop)
{
    HarnessBroker b = harness_broker_start(NULL);
    const char *argv[] = {harness_env("DECNET_BROKER_PROGRAM"), "--ready-file", b.ready_file, NULL};
    cleanup(freep) char *before = harness_read(b.ready_file), *after = NULL;

    cr_assert_eq(run("--ready-file", b.ready_file, NULL), EXIT_FAILURE);
    expect_text(messages, "another decnet-broker");
    after = harness_read(b.ready_file);
    cr_assert_str_eq(before, after);

    /* What a killed one left behind is in nobody's way. */
    cr_assert_eq(harness_end(b.pid, SIGKILL, WAIT_MS), 128 + SIGKILL);
    cr_assert_eq(access(b.ready_file, F_OK), 0);
    pid_t next = harness_spawn(&(HarnessProgram){.argv = argv, .stderr_path = messages});
    for (int i = 0; i < 1000 && strcmp(before, after) == 0; i++) {
        usleep(5000);
        free(after);
        after = harness_read(b.ready_file);
    }
    cr_assert_str_neq(before, after);
    cr_assert_eq(harness_end(next, SIGTERM, WAIT_MS), 0);
    harness_broker_stop(&b);
}

Test(broker, options, .init = start, .fini = stop)
{
    static const struct {
        const char *option, *value;
        int status;
        const char *message;
    } wrong[] = {
        {"--partitions", "0", EX_USAGE, "--partitions=0"},
        {"--partitions", "many", EX_USAGE, "1 to 1000"},
        {"--produce-error", "x", EX_USAGE, "--produce-error=x"},
        {"--produce-error", "-1", EX_USAGE, "0 to 32767"},
        {"--ready-fil", "x", EX_USAGE, "--ready-file"},
        {"stray", NULL, EX_USAGE, "options only"},
        {"--ready-file", "/nonexistent/folder/file", EXIT_FAILURE, "/nonexistent/folder/file"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        cr_assert_eq(run(wrong[i].option, wrong[i].value, NULL), wrong[i].status, "%s", wrong[i].option);
        expect_text(messages, wrong[i].message);
    }
    cr_assert_eq(run("--help", NULL, NULL), 0);
    expect_text(output, "--ready-file");
    expect_text(output, "port is picked by the library");
    cr_assert_eq(run("--version", NULL, NULL), 0);
    expect_text(output, DECNET_VERSION);
}

Test(broker, topics_as_asked_for)
{
    HarnessBroker b = harness_broker_start((const char *const[]){"--topic-prefix", "t.", "--partitions", "2", NULL});
    const BusTopic *topics[BUS_TOPIC_N + 1] = {0};
    BusPosition *positions = NULL;
    BusConsumer *c = NULL;
    Config config;
    char *error = NULL;
    size_t n = 0;

    for (size_t i = 0; i < BUS_TOPIC_N; i++)
        topics[i] = &bus_topics[i];
    cr_assert_eq(config_load(&config, "/dev/null", &error), 0);
    cr_assert_eq(config_set(&config, STR("kafka.bootstrap.servers"), str_from(b.address), "test", &error), 0);
    cr_assert_eq(config_set(&config, STR("kafka_topic_prefix"), STR("t."), "test", &error), 0);
    cr_assert_eq(bus_consumer_open(&config, "ttp", &c, &error), 0);
    cr_assert_eq(bus_consumer_partitions(c, topics, WAIT_MS, &positions, &n), 0, "%s", bus_consumer_error(c));
    cr_assert_eq(n, 2 * (size_t)BUS_TOPIC_N);
    free(positions);
    bus_consumer_close(c);
    config_free(&config);
    harness_broker_stop(&b);
}

Test(broker, without_a_ready_file_the_address_is_printed, .init = start, .fini = stop)
{
    const char *argv[] = {harness_env("DECNET_BROKER_PROGRAM"), NULL};
    pid_t pid = harness_spawn(&(HarnessProgram){.argv = argv, .stdout_path = output, .stderr_path = messages});

    cr_assert(harness_wait_text(output, "127.0.0.1:", WAIT_MS));
    cr_assert_eq(harness_end(pid, SIGTERM, WAIT_MS), 0);
}
