/* The bus against the embedded broker: what flows, what is refused, and what happens when the broker goes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/time.h"
#include "bus/bus.h"
#include "bus/offsets.h"
#include "harness.h"

enum { WAIT_MS = 10000 };

static HarnessBroker broker;
static Config config;
static int n_delivered[BUS_E_REJECTED + 1], n_delivery_failed;
static void *last_opaque;

static const BusTopic *const sessions = &bus_topics[BUS_ATTACKER_SESSION_ENDED];
static const BusTopic *const tagged = &bus_topics[BUS_TTP_TAGGED];

/* --- scaffolding --- */

static void setting(const char *key, const char *value)
{
    cleanup(freep) char *error = NULL;
    cr_assert_eq(config_set(&config, str_from(key), str_from(value), "test", &error), 0, "%s", error);
}

static void configure(void)
{
    cleanup(freep) char *error = NULL;

    bus_init(NULL, NULL);
    cr_assert_eq(config_load(&config, "/dev/null", &error), 0, "%s", error);
    setting("kafka.bootstrap.servers", broker.address);
}

static void start(void)
{
    broker = harness_broker_start(NULL);
    configure();
}

static void stop(void)
{
    config_free(&config);
    harness_broker_stop(&broker);
}

static void delivered(void *arg, void *opaque, int err)
{
    cr_assert_eq(arg, n_delivered);
    last_opaque = opaque;
    if (err >= 0)
        n_delivered[err]++;
    else
        n_delivery_failed++;
}

static BusProducer *producer_open(void)
{
    cleanup(freep) char *error = NULL;
    BusProducer *p = NULL;
    cr_assert_eq(bus_producer_open(&config, delivered, n_delivered, &p, &error), 0, "%s", error);
    return p;
}

static BusConsumer *consumer_open(void)
{
    cleanup(freep) char *error = NULL;
    BusConsumer *c = NULL;
    cr_assert_eq(bus_consumer_open(&config, "ttp", &c, &error), 0, "%s", error);
    return c;
}

static void send_text(BusProducer *p, const BusTopic *topic, const char *key, const char *value)
{
    cr_assert_eq(bus_producer_send(p, topic, str_from(key), str_from(value), NULL, 0, NULL), 0, "%s",
                 bus_producer_error(p));
}

/* @n small records under one key: all in partition 3 of 12 (a vector of the contract). */
static const char *const key = "198.51.100.23";
enum { KEY_PARTITION = 3 };

static void feed(int n)
{
    cleanup(bus_producer_closep) BusProducer *p = producer_open();

    for (int i = 0; i < n; i++) {
        char value[32];
        snprintf(value, sizeof(value), "{\"n\":%d}", i);
        send_text(p, sessions, key, value);
    }
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0, "%s", bus_producer_error(p));
}

static void assign_one(BusConsumer *c, int64_t offset)
{
    BusPosition position = {sessions, KEY_PARTITION, offset};
    cr_assert_eq(bus_consumer_assign(c, &position, 1, WAIT_MS), 0, "%s", bus_consumer_error(c));
}

static void expect_offsets(BusConsumer *c, int64_t from, int64_t to)
{
    for (int64_t want = from; want < to; want++) {
        cleanup(bus_record_freep) BusRecord *r = NULL;
        int got = bus_consumer_poll(c, WAIT_MS, &r);
        cr_assert_eq(got, 0, "%s at %lld: %s", bus_outcome_name(got), (long long)want, bus_consumer_error(c));
        cr_assert_eq(r->offset, want, "offset %lld instead of %lld", (long long)r->offset, (long long)want);
        cr_assert_eq(r->topic, sessions);
        cr_assert_eq(r->partition, KEY_PARTITION);
    }
}

static void expect_nothing(BusConsumer *c, int timeout_ms)
{
    BusRecord *r = NULL;
    int got = bus_consumer_poll(c, timeout_ms, &r);
    cr_assert_eq(got, BUS_E_TIMEOUT, "%s", bus_outcome_name(got));
    cr_assert_null(r);
}

/* Poll until @outcome; anything else but silence fails the test. */
static void expect_outcome(BusConsumer *c, int outcome)
{
    int64_t end_us = clock_monotonic_us() + WAIT_MS * US_PER_MS;
    int got = BUS_E_TIMEOUT;

    while (got == BUS_E_TIMEOUT && clock_monotonic_us() < end_us) {
        BusRecord *r = NULL;
        got = bus_consumer_poll(c, 200, &r);
        cr_assert_null(r);
    }
    cr_assert_eq(got, outcome, "%s instead of %s", bus_outcome_name(got), bus_outcome_name(outcome));
    cr_assert_neq(*bus_consumer_error(c), '\0');
}

/* --- the ordinary way --- */

Test(bus, records_arrive_as_they_were_sent, .init = start, .fini = stop)
{
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();
    cleanup(arena_freep) Arena *arena = arena_new();
    BusHeader headers[BUS_OWN_HEADERS];
    BusProducer *p = producer_open();
    cleanup(bus_record_freep) BusRecord *r = NULL, *tombstone = NULL;
    int64_t before_us = clock_now_us() - US_PER_S;

    size_t n_headers = bus_headers(arena, headers, sessions, STR("4586efd8-a896-51fb-99d3-488b5dfab989"), (Str){0},
                                   before_us, STR("ttp/0@host"));
    cr_assert_eq(bus_producer_send(p, sessions, str_from(key), STR("a\0b"), headers, n_headers, headers), 0);
    cr_assert_eq(bus_producer_send(p, sessions, str_from(key), (Str){0}, NULL, 0, NULL), 0);
    cr_assert_eq(bus_producer_outstanding(p), 2);
    for (int i = 0; i < 100 && n_delivered[0] == 0; i++) {
        int calls = bus_producer_poll(p, 100);
        cr_assert_eq(calls, n_delivered[0]);
    }
    cr_assert_eq(n_delivered[0], 2);
    cr_assert_eq(bus_producer_outstanding(p), 0);
    cr_assert_null(last_opaque); /* that of the second */
    cr_assert(bus_producer_healthy(p));
    bus_producer_close(p);

    assign_one(c, 0);
    cr_assert_eq(bus_consumer_poll(c, WAIT_MS, &r), 0);
    cr_assert(str_eq(r->value, STR("a\0b")) && str_eq_cstr(r->key, key));
    cr_assert_eq(r->n_headers, n_headers);
    for (size_t i = 0; i < n_headers; i++)
        cr_assert(str_eq(r->headers[i].name, headers[i].name) && str_eq(r->headers[i].value, headers[i].value));
    cr_assert(r->timestamp_us > before_us && r->timestamp_us < clock_now_us() + US_PER_S);
    cr_assert_eq(bus_consumer_poll(c, WAIT_MS, &tombstone), 0);
    cr_assert(tombstone->value.data == NULL && tombstone->n_headers == 0 && tombstone->offset == 1);
    cr_assert_eq(bus_consumer_stats(c).records, 2);
    cr_assert_eq(bus_consumer_stats(c).bytes, 3);
    bus_record_free(TAKE_PTR(r));
    bus_record_free(TAKE_PTR(tombstone));
}

Test(bus, all_partitions_by_plain_assign, .init = start, .fini = stop)
{
    enum { N = 2000 };
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();
    cleanup(bus_producer_closep) BusProducer *p = producer_open();
    cleanup(freep) BusPosition *positions = NULL;
    const BusTopic *const topics[] = {sessions, tagged, NULL};
    const char *cluster = NULL;
    size_t n = 0;
    int seen[N] = {0};

    for (int i = 0; i < N; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", i);
        send_text(p, i % 2 ? sessions : tagged, text, text);
    }
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0);
    cr_assert_eq(bus_consumer_partitions(c, topics, WAIT_MS, &positions, &n), 0, "%s", bus_consumer_error(c));
    cr_assert_eq(n, (size_t)(sessions->partitions + tagged->partitions));
    cr_assert_eq(bus_consumer_assign(c, positions, n, WAIT_MS), 0);
    for (int i = 0; i < N; i++) {
        cleanup(bus_record_freep) BusRecord *r = NULL;
        int64_t number;
        cr_assert_eq(bus_consumer_poll(c, WAIT_MS, &r), 0);
        cr_assert(text_to_int64(r->value, &number) && number >= 0 && number < N && seen[number]++ == 0);
        cr_assert_eq(r->topic, number % 2 ? sessions : tagged);
        cr_assert_eq(r->partition, bus_murmur2_partition(r->key, r->topic->partitions));
    }
    expect_nothing(c, 100);
    cr_assert_eq(bus_consumer_cluster_id(c, WAIT_MS, &cluster), 0);
    cr_assert(bus_cluster_is_embedded(cluster), "%s", cluster);
    bus_consumer_commit_hint(c, positions, n); /* nothing to see: it must only not disturb */
    cr_assert_eq(bus_consumer_assign(c, NULL, 0, WAIT_MS), 0);
    send_text(p, sessions, key, "late");
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0);
    expect_nothing(c, 500);
}

Test(bus, descriptor_wakes_the_loop, .init = start, .fini = stop)
{
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();
    cleanup(bus_producer_closep) BusProducer *p = producer_open();
    struct pollfd fd = {.fd = bus_consumer_fd(c), .events = POLLIN};

    assign_one(c, BUS_OFFSET_END);
    expect_nothing(c, 700);
    expect_nothing(c, 0); /* what happened while waiting may have left the descriptor readable, once */
    cr_assert_eq(poll(&fd, 1, 0), 0, "nothing happened, and yet it is readable");
    for (int i = 0; i < 20; i++) {
        cleanup(bus_record_freep) BusRecord *r = NULL;

        send_text(p, sessions, key, "x");
        cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0);
        cr_assert_eq(poll(&fd, 1, WAIT_MS), 1, "no wake-up for record %d", i);
        while (bus_consumer_poll(c, 0, &r) == BUS_E_TIMEOUT)
            cr_assert_eq(poll(&fd, 1, WAIT_MS), 1, "no second wake-up for record %d", i);
        cr_assert_not_null(r);
        expect_nothing(c, 0);
    }
}

Test(bus, pause_holds_records_back_and_loses_none, .init = start, .fini = stop)
{
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();

    feed(600);
    assign_one(c, BUS_OFFSET_BEGINNING);
    expect_offsets(c, 0, 100);
    cr_assert_eq(bus_consumer_pause_all(c), 0);
    expect_nothing(c, 300);
    cr_assert_eq(bus_consumer_resume_all(c), 0);
    expect_offsets(c, 100, 300);
    for (int64_t at = 300; at < 330; at += 10) { /* quick changes */
        cr_assert_eq(bus_consumer_pause(c, sessions, KEY_PARTITION), 0);
        expect_nothing(c, 1);
        cr_assert_eq(bus_consumer_resume(c, sessions, KEY_PARTITION), 0);
        expect_offsets(c, at, at + 10);
    }
    cr_assert_eq(bus_consumer_pause_all(c), 0);
    assign_one(c, 500); /* a new assignment flows, whatever was before */
    expect_offsets(c, 500, 600);
    cr_assert_eq(bus_consumer_pause(c, tagged, 0), BUS_E_NO_TOPIC);
    cr_assert_eq(bus_consumer_resume(c, sessions, 0), BUS_E_NO_TOPIC);
}

/* librdkafka 2.0.2 throws away what it fetched when a partition that flows is told to flow. */
Test(bus, resuming_what_flows_loses_nothing, .init = start, .fini = stop)
{
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();

    feed(600);
    for (int round = 0; round < 5; round++) {
        assign_one(c, 0);
        expect_offsets(c, 0, 10);
        cr_assert_eq(bus_consumer_resume_all(c), 0);
        expect_offsets(c, 10, 20);
        cr_assert_eq(bus_consumer_resume(c, sessions, KEY_PARTITION), 0);
        expect_offsets(c, 20, 600);
    }
    cr_assert_eq(bus_consumer_stats(c).rewinds, 0);
}

Test(bus, seek_goes_back_and_forth, .init = start, .fini = stop)
{
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();
    BusPosition position = {sessions, KEY_PARTITION, 50};

    feed(300);
    assign_one(c, 200);
    expect_offsets(c, 200, 210);
    cr_assert_eq(bus_consumer_seek(c, &position, WAIT_MS), 0, "%s", bus_consumer_error(c));
    expect_offsets(c, 50, 60);
    position.offset = 290;
    cr_assert_eq(bus_consumer_seek(c, &position, WAIT_MS), 0);
    expect_offsets(c, 290, 300);
    position.offset = BUS_OFFSET_BEGINNING;
    cr_assert_eq(bus_consumer_seek(c, &position, WAIT_MS), -EINVAL);
    position = (BusPosition){tagged, 0, 0};
    cr_assert_eq(bus_consumer_seek(c, &position, WAIT_MS), BUS_E_NO_TOPIC);
    cr_assert_eq(bus_consumer_stats(c).rewinds + bus_consumer_stats(c).repeated + bus_consumer_stats(c).gaps, 0);
}

/* librdkafka cannot be made to skip, so the expectation is moved instead: the effect is the same. */
Test(bus, gap_is_closed_by_reading_again, .init = start, .fini = stop)
{
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();

    feed(300);
    assign_one(c, 100);
    bus_consumer_offsets(c, sessions, KEY_PARTITION)->expected = 40; /* 100 arrives, 40 to 99 are missing */
    expect_offsets(c, 40, 200);
    cr_assert_eq(bus_consumer_stats(c).rewinds, 1);
    cr_assert_eq(bus_consumer_stats(c).gaps, 0);
    bus_consumer_offsets(c, sessions, KEY_PARTITION)->expected = 210; /* 200 to 209 arrive again */
    expect_offsets(c, 210, 300);
    cr_assert_eq(bus_consumer_stats(c).repeated, 10);
    cr_assert_null(bus_consumer_offsets(c, tagged, 0));
}

Test(bus, watermarks_of_several_partitions, .init = start, .fini = stop)
{
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();
    BusWatermarks marks[] = {{sessions, KEY_PARTITION, -1, -1}, {tagged, 0, -1, -1}};

    feed(70);
    cr_assert_eq(bus_consumer_watermarks(c, marks, 2, WAIT_MS), 0, "%s", bus_consumer_error(c));
    cr_assert(marks[0].low == 0 && marks[0].high == 70);
    cr_assert(marks[1].low == 0 && marks[1].high == 0);
    marks[1].partition = 99;
    cr_assert_eq(bus_consumer_watermarks(c, marks, 2, WAIT_MS), BUS_E_NO_TOPIC);
    cr_assert_eq(bus_consumer_watermarks(c, marks, 0, WAIT_MS), 0);
}

/* --- what cannot be --- */

Test(bus, overtaken_position_stops_loudly, .init = start, .fini = stop)
{
    enum { N = 80, VALUE_BYTES = 100 * 1024 }; /* 8 MiB that do not compress */
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();
    cleanup(freep) char *value = malloc(VALUE_BYTES);
    BusWatermarks mark = {sessions, KEY_PARTITION, -1, -1};
    BusProducer *p = producer_open();
    uint64_t noise = 88172645463325252u;

    for (int i = 0; i < N; i++) {
        for (size_t k = 0; k + 8 <= VALUE_BYTES; k += 8) {
            noise ^= noise << 13, noise ^= noise >> 7, noise ^= noise << 17;
            memcpy(value + k, &noise, 8);
        }
        cr_assert_eq(bus_producer_send(p, sessions, str_from(key), (Str){value, VALUE_BYTES}, NULL, 0, NULL), 0);
    }
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0);
    bus_producer_close(p);
    cr_assert_eq(bus_consumer_watermarks(c, &mark, 1, WAIT_MS), 0);
    cr_assert(mark.low > 0 && mark.high == N, "%lld..%lld", (long long)mark.low, (long long)mark.high);

    assign_one(c, 0);
    expect_outcome(c, BUS_E_OVERTAKEN);
    BusPosition at = bus_consumer_overtaken(c);
    cr_assert(at.topic == sessions && at.partition == KEY_PARTITION && at.offset == 0);
    cr_assert_not_null(strstr(bus_consumer_error(c), "attacker.session.ended"));

    assign_one(c, N + 100); /* a topic made anew looks like this */
    expect_outcome(c, BUS_E_OVERTAKEN);
    cr_assert_eq(bus_consumer_overtaken(c).offset, N + 100);

    assign_one(c, mark.low);
    expect_offsets(c, mark.low, N);
    cr_assert(harness_wait_text(broker.stderr_path, "partition_nearly_full", WAIT_MS));
    cr_assert(harness_wait_text(broker.stderr_path, "records_forgotten", WAIT_MS));
}

Test(bus, record_too_large_is_refused_at_once, .init = start, .fini = stop)
{
    enum { BYTES = 2 * 1024 * 1024 };
    cleanup(bus_producer_closep) BusProducer *p = producer_open();
    cleanup(freep) char *value = calloc(1, BYTES);
    BusHeader header = {STR("decnet-event-id"), STR("x")};

    cr_assert_eq(bus_producer_send(p, sessions, STR("k"), (Str){value, BYTES}, &header, 1, NULL), BUS_E_TOO_LARGE);
    cr_assert_neq(*bus_producer_error(p), '\0');
    cr_assert_eq(bus_producer_outstanding(p), 0);
    cr_assert_eq(bus_producer_send(p, sessions, STR("k"), (Str){value, LIMIT_EVENT_BYTES}, NULL, 0, NULL), 0);
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0);
    cr_assert_eq(n_delivered[0], 1);
}

Test(bus, missing_topics_and_partitions_are_named, .init = start, .fini = stop)
{
    const BusTopic *const topics[] = {sessions, NULL};
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();
    BusPosition positions[] = {{sessions, 0, 0}, {sessions, 99, 0}}, *all = NULL;
    size_t n = 0;

    cr_assert_eq(bus_consumer_assign(c, positions, 2, WAIT_MS), BUS_E_NO_TOPIC);
    cr_assert_not_null(strstr(bus_consumer_error(c), "99"));
    bus_consumer_close(TAKE_PTR(c));

    setting("kafka_topic_prefix", "elsewhere.");
    c = consumer_open();
    cr_assert_eq(bus_consumer_partitions(c, topics, WAIT_MS, &all, &n), BUS_E_NO_TOPIC);
    cr_assert_not_null(strstr(bus_consumer_error(c), "elsewhere.attacker.session.ended"));
    cr_assert_eq(bus_consumer_assign(c, positions, 1, WAIT_MS), BUS_E_NO_TOPIC);
    cleanup(bus_producer_closep) BusProducer *p = producer_open();
    for (int i = 0; i < 3; i++)
        cr_assert_eq(bus_producer_send(p, sessions, STR("k"), STR("v"), NULL, 0, NULL), BUS_E_NO_TOPIC);
    cr_assert_not_null(strstr(bus_producer_error(p), "elsewhere.attacker.session.ended"));
    /* The refusals must not have made the topic after all. */
    cr_assert_eq(bus_consumer_partitions(c, topics, WAIT_MS, &all, &n), BUS_E_NO_TOPIC);
}

Test(bus, full_queue_asks_to_wait, .init = start, .fini = stop)
{
    setting("kafka.queue.buffering.max.messages", "10");
    setting("kafka.linger.ms", "300");
    cleanup(bus_producer_closep) BusProducer *p = producer_open();

    for (int i = 0; i < 10; i++)
        send_text(p, sessions, key, "x");
    cr_assert_eq(bus_producer_send(p, sessions, STR("k"), STR("v"), NULL, 0, NULL), BUS_E_FULL);
    while (bus_producer_outstanding(p) > 0)
        bus_producer_poll(p, 1000);
    send_text(p, sessions, key, "x");
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0);
    cr_assert_eq(n_delivered[0], 11);
}

/* The broker refuses one record with @code. */
static void refusal(const char *code, int outcome)
{
    broker = harness_broker_start((const char *const[]){"--produce-error", code, NULL});
    configure();

    BusProducer *p = producer_open();
    n_delivered[0] = n_delivered[outcome] = 0;
    cr_assert_eq(bus_producer_send(p, tagged, STR("k"), STR("v"), NULL, 0, NULL), 0);
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0);
    cr_assert_eq(n_delivered[0], 1);
    kill(broker.pid, SIGUSR1);
    usleep(100 * 1000);
    cr_assert_eq(bus_producer_send(p, tagged, STR("k"), STR("v"), NULL, 0, &broker), 0);
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0, "code %s: %s", code, bus_producer_error(p));
    cr_assert_eq(n_delivered[outcome], 1, "code %s: %s", code, bus_producer_error(p));
    cr_assert_eq(last_opaque, &broker);
    bus_producer_close(p);
    stop();
}

Test(bus, refusals_of_the_broker_are_told_apart)
{
    refusal("29", BUS_E_REJECTED);  /* TOPIC_AUTHORIZATION_FAILED */
    refusal("87", BUS_E_REJECTED);  /* INVALID_RECORD */
    refusal("10", BUS_E_TOO_LARGE); /* MSG_SIZE_TOO_LARGE */
}

/* --- when the broker goes --- */

Test(bus, consumer_tells_that_the_broker_is_away, .init = start, .fini = stop)
{
    const BusTopic *const topics[] = {sessions, NULL};
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();
    BusWatermarks mark = {sessions, KEY_PARTITION, -1, -1};
    BusPosition *all = NULL, position = {sessions, KEY_PARTITION, 0};
    BusRecord *r = NULL;
    const char *cluster = NULL;
    size_t n = 0;

    feed(10);
    assign_one(c, 0);
    expect_offsets(c, 0, 10);
    cr_assert_not(bus_consumer_is_away(c));
    harness_freeze(broker.pid);
    bus_consumer_commit_hint(c, &position, 1); /* will never be answered */
    cr_assert_eq(harness_end(broker.pid, SIGKILL, WAIT_MS), 128 + SIGKILL);
    int64_t start_us = clock_monotonic_us();
    expect_outcome(c, BUS_E_AWAY);
    cr_assert_lt(clock_monotonic_us() - start_us, 3 * US_PER_S);
    cr_assert(bus_consumer_is_away(c));
    cr_assert_eq(bus_consumer_poll(c, 10, &r), BUS_E_AWAY); /* and goes on saying so */
    cr_assert_eq(bus_consumer_watermarks(c, &mark, 1, 500), BUS_E_AWAY);
    cr_assert_eq(bus_consumer_partitions(c, topics, 500, &all, &n), BUS_E_AWAY);
    cr_assert_eq(bus_consumer_assign(c, &position, 1, 500), BUS_E_AWAY);
    bus_consumer_commit_hint(c, &position, 1);
    cr_assert_lt(clock_monotonic_us() - start_us, 8 * US_PER_S);

    cleanup(bus_consumer_closep) BusConsumer *late = consumer_open(); /* never saw a broker */
    cr_assert_eq(bus_consumer_cluster_id(late, 500, &cluster), BUS_E_AWAY);
    expect_outcome(late, BUS_E_AWAY);
    start_us = clock_monotonic_us();
    bus_consumer_close(TAKE_PTR(late));
    bus_consumer_close(TAKE_PTR(c)); /* which must not wait for that answer */
    cr_assert_lt(clock_monotonic_us() - start_us, 3 * US_PER_S);
}

Test(bus, producer_tells_that_records_were_not_acknowledged, .init = start, .fini = stop)
{
    setting("kafka.message.timeout.ms", "1000");
    BusProducer *p = producer_open();

    send_text(p, sessions, key, "x");
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0);
    cr_assert_eq(harness_end(broker.pid, SIGKILL, WAIT_MS), 128 + SIGKILL);
    send_text(p, sessions, key, "y");
    while (bus_producer_outstanding(p) > 0)
        bus_producer_poll(p, 100);
    cr_assert_eq(n_delivered[0], 1);
    cr_assert_eq(n_delivered[BUS_E_AWAY], 1);
    cr_assert_not(bus_producer_healthy(p));
    cr_assert_neq(*bus_producer_error(p), '\0');
    /* Closing hands out what is left: no record without its call. */
    send_text(p, tagged, key, "z");
    bus_producer_close(p);
    cr_assert_eq(n_delivered[BUS_E_AWAY], 2);
}

Test(bus, recovers_when_a_stopped_broker_goes_on, .init = start, .fini = stop)
{
    setting("kafka.message.timeout.ms", "700");
    cleanup(bus_producer_closep) BusProducer *p = producer_open();
    int64_t end_us = clock_monotonic_us() + WAIT_MS * US_PER_MS;

    send_text(p, sessions, key, "x");
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0);
    harness_freeze(broker.pid);
    send_text(p, sessions, key, "y");
    cr_assert_eq(bus_producer_flush(p, 50), BUS_E_TIMEOUT);
    cr_assert_eq(bus_producer_outstanding(p), 1);
    while (bus_producer_outstanding(p) > 0)
        bus_producer_poll(p, 100);
    cr_assert_eq(n_delivered[BUS_E_AWAY], 1);
    cr_assert_not(bus_producer_healthy(p));
    cr_assert_eq(kill(broker.pid, SIGCONT), 0);
    while (!bus_producer_healthy(p) && clock_monotonic_us() < end_us)
        bus_producer_poll(p, 100);
    cr_assert(bus_producer_healthy(p));
    send_text(p, sessions, key, "z");
    while (bus_producer_outstanding(p) > 0)
        bus_producer_poll(p, 100);
    cr_assert_eq(n_delivered[0], 2);
}

Test(bus, client_given_up_by_the_library, .init = start, .fini = stop)
{
    cleanup(bus_consumer_closep) BusConsumer *c = consumer_open();
    cleanup(bus_producer_closep) BusProducer *p = producer_open();
    BusRecord *r = NULL;

    send_text(p, sessions, key, "x");
    cr_assert_eq(bus_producer_flush(p, WAIT_MS), 0);
    bus_producer_break(p);
    bus_producer_poll(p, 100);
    cr_assert_eq(bus_producer_send(p, sessions, STR("k"), STR("v"), NULL, 0, NULL), -ENOTRECOVERABLE);
    cr_assert_not_null(strstr(bus_producer_error(p), "broken by a test"), "%s", bus_producer_error(p));
    cr_assert_not(bus_producer_healthy(p));

    assign_one(c, 0);
    expect_offsets(c, 0, 1);
    bus_consumer_break(c);
    cr_assert_eq(bus_consumer_poll(c, 1000, &r), -ENOTRECOVERABLE);
    cr_assert_eq(bus_consumer_poll(c, 10, &r), -ENOTRECOVERABLE);
    cr_assert_not_null(strstr(bus_consumer_error(c), "broken by a test"), "%s", bus_consumer_error(c));
}
