/* kafka.* properties: what is known, what is refused and why, all without a broker. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "bus/bus.h"

static Config config;
static char *error;

static void start(void)
{
    bus_init(NULL, NULL);
    cr_assert_eq(config_load(&config, "/dev/null", &error), 0, "%s", error);
}

static void stop(void)
{
    config_free(&config);
    free(error);
}

static int set(const char *key, const char *value)
{
    free(error);
    error = NULL;
    return config_set(&config, str_from(key), str_from(value), "test", &error);
}

static void on_delivery(void *arg, void *opaque, int err)
{
}

static int open_consumer(void)
{
    BusConsumer *c = NULL;
    int r;

    free(error);
    r = bus_consumer_open(&config, "ttp", &c, &error);
    bus_consumer_close(c);
    return r;
}

static int open_producer(void)
{
    BusProducer *p = NULL;
    int r;

    free(error);
    r = bus_producer_open(&config, on_delivery, NULL, &p, &error);
    bus_producer_close(p);
    return r;
}

static void expect_error(const char *part)
{
    cr_assert_not_null(error);
    cr_assert_not_null(strstr(error, part), "no \"%s\" in: %s", part, error);
}

Test(bus_conf, properties_that_promises_rest_on_are_refused, .init = start, .fini = stop)
{
    static const char *const names[] = {"enable.auto.commit",         "auto.commit.enable", "enable.auto.offset.store",
                                        "auto.offset.reset",          "isolation.level",    "group.id",
                                        "enable.partition.eof",       "enable.idempotence", "acks",
                                        "request.required.acks",      "transactional.id",   "partitioner",
                                        "delivery.report.only.error", "log.queue",          "test.mock.num.brokers"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char key[64];
        snprintf(key, sizeof(key), "kafka.%s", names[i]);
        cr_assert_eq(set(key, "1"), -EINVAL, "%s", key);
        expect_error(key);
        expect_error("cannot be set: ");
        config_free(&config);
        free(error);
        cr_assert_eq(config_load(&config, "/dev/null", &error), 0);
    }
}

Test(bus_conf, mistakes_are_named_with_what_was_meant, .init = start, .fini = stop)
{
    static const struct {
        const char *key, *value, *message;
    } rows[] = {
        {"kafka.linger.mss", "5", "did you mean \"kafka.linger.ms\"?"},
        {"kafka.ssl.ca.locations", "/x", "did you mean \"kafka.ssl.ca.location\"?"}, /* has no value by default */
        {"kafka.nothing.of.the.kind.at.all", "1", "has no property \"nothing.of.the.kind.at.all\""},
        {"kafka.linger.ms", "soon", "kafka.linger.ms: "},
        {"kafka.compression.codec", "rar", "kafka.compression.codec: "},
        {"kafka.dr_cb", "1", "kafka.dr_cb: "},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cr_assert_eq(set(rows[i].key, rows[i].value), -EINVAL, "%s", rows[i].key);
        expect_error(rows[i].message);
        expect_error("test: ");
        config_free(&config);
        free(error);
        cr_assert_eq(config_load(&config, "/dev/null", &error), 0);
    }
}

Test(bus_conf, the_rest_passes, .init = start, .fini = stop)
{
    static const char *const rows[][2] = {
        {"kafka.bootstrap.servers", "127.0.0.1:1"},
        {"kafka.group.instance.id", "ttp-0"},
        {"kafka.linger.ms", "5"},
        {"kafka.message.timeout.ms", "1000"},
        {"kafka.security.protocol", "plaintext"},
        {"kafka.queued.min.messages", "1000"},
        {"kafka.session.timeout.ms", "20000"},
        {"kafka.partition.assignment.strategy", "cooperative-sticky"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert_eq(set(rows[i][0], rows[i][1]), 0, "%s", error);
    cr_assert_eq(open_consumer(), 0, "%s", error);
    cr_assert_eq(open_producer(), 0, "%s", error);
}

/* A consumer asks for little at once, and yet for the largest record that may come. */
Test(bus_conf, larger_records_may_be_allowed, .init = start, .fini = stop)
{
    cr_assert_eq(set("kafka.bootstrap.servers", "127.0.0.1:1"), 0);
    cr_assert_eq(set("kafka.message.max.bytes", "4000000"), 0);
    cr_assert_eq(open_consumer(), 0, "%s", error);
    cr_assert_eq(open_producer(), 0, "%s", error);
}

Test(bus_conf, without_a_broker_nothing_opens, .init = start, .fini = stop)
{
    cr_assert_eq(open_consumer(), -EINVAL);
    expect_error("kafka.bootstrap.servers");
    cr_assert_eq(open_producer(), -EINVAL);
    expect_error("kafka.bootstrap.servers");
}

Test(bus_conf, what_only_librdkafka_finds_wrong_is_said, .init = start, .fini = stop)
{
    cr_assert_eq(set("kafka.bootstrap.servers", "127.0.0.1:1"), 0);
    cr_assert_eq(set("kafka.security.protocol", "ssl"), 0);
    cr_assert_eq(set("kafka.ssl.ca.location", "/nonexistent/ca.pem"), 0);
    cr_assert_eq(open_consumer(), -EINVAL);
    expect_error("ssl.ca.location");
    cr_assert_eq(open_producer(), -EINVAL);
    expect_error("ssl.ca.location");
}

static int n_logged;
static LogLevel loudest = LOG_LEVEL_DEBUG;

static void take_log(void *arg, LogLevel level, const char *facility, const char *text)
{
    cr_assert_eq(arg, &n_logged);
    cr_assert(*facility && *text);
    n_logged++;
    loudest = MIN(loudest, level);
}

Test(bus_conf, what_librdkafka_says_arrives_in_our_thread)
{
    BusConsumer *c = NULL;
    BusRecord *r = NULL;
    int got = BUS_E_TIMEOUT;

    bus_init(take_log, &n_logged);
    cr_assert_eq(config_load(&config, "/dev/null", &error), 0);
    cr_assert_eq(set("kafka.bootstrap.servers", "127.0.0.1:1"), 0);
    cr_assert_eq(bus_consumer_open(&config, "ttp", &c, &error), 0);
    for (int i = 0; i < 50 && (got == BUS_E_TIMEOUT || n_logged == 0); i++)
        got = bus_consumer_poll(c, 100, &r);
    cr_assert_eq(got, BUS_E_AWAY);
    cr_assert_gt(n_logged, 0);
    cr_assert_eq(loudest, LOG_LEVEL_WARNING, "a lost connection needs no human");
    bus_consumer_close(c);
    stop();
}
