#include "worker_support.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/time.h"
#include "base/uuid.h"

enum { OPTIONS_MAX = 32, ADDRESSES = 20, STEP_US = 20000 };

static HarnessBroker broker;
static Config config;
static BusProducer *producer;
static Arena *arena;
static char *folder;
static int n_fakes, n_failed;

/* --- broker and database --- */

static void delivered(void *arg, void *opaque, int err)
{
    n_failed += err != 0;
}

static void open_producer(void)
{
    cleanup(freep) char *error = NULL;
    struct {
        const char *key, *value;
    } settings[] = {{"kafka.bootstrap.servers", broker.address},
                    {"kafka.message.max.bytes", "4000000"},
                    {"kafka.compression.type", "none"}};

    cr_assert_eq(config_load(&config, "/dev/null", &error), 0, "%s", error);
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        cr_assert_eq(config_set(&config, str_from(settings[i].key), str_from(settings[i].value), "test", &error), 0,
                     "%s", error);
    cr_assert_eq(bus_producer_open(&config, delivered, NULL, &producer, &error), 0, "%s", error);
}

static void close_producer(void)
{
    bus_producer_close(TAKE_PTR(producer));
    config_free(&config);
}

static void create_tables(void)
{
    harness_sql("CREATE TABLE fake_row (id bigint GENERATED ALWAYS AS IDENTITY, \"partition\" int NOT NULL,"
                "  \"offset\" bigint NOT NULL, n bigint CONSTRAINT fake_row_n CHECK (n >= 0), note text,"
                "  attacker uuid REFERENCES attackers (uuid), as_number int);"
                "CREATE TABLE fake_tick (id bigint GENERATED ALWAYS AS IDENTITY, instance text NOT NULL,"
                "  tick bigint NOT NULL, note text NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());"
                "GRANT SELECT, INSERT ON fake_row TO decnet_ttp");
}

void rig_start(void)
{
    bus_init(NULL, NULL);
    signal(SIGPIPE, SIG_IGN);
    arena = arena_new();
    folder = harness_folder();
    broker = harness_broker_start(NULL);
    harness_pg_start();
    create_tables();
    open_producer();
}

void rig_stop(void)
{
    close_producer();
    harness_pg_stop();
    harness_broker_stop(&broker);
    arena_free(arena);
    free(folder);
}

HarnessBroker *rig_broker(void)
{
    return &broker;
}

void rig_new_broker(void)
{
    close_producer();
    harness_broker_stop(&broker);
    broker = harness_broker_start(NULL);
    open_producer();
}

const Config *rig_config(void)
{
    return &config;
}

Arena *rig_arena(void)
{
    return arena;
}

const char *option(const char *fmt, ...)
{
    cleanup(freep) char *text = NULL;
    va_list args;
    va_start(args, fmt);
    cr_assert_geq(vasprintf(&text, fmt, args), 0);
    va_end(args);
    return arena_memdup(arena, text, strlen(text));
}

/* --- records in --- */

void rig_send_raw(const char *topic, Str key, Str value, const BusHeader *headers, size_t n_headers)
{
    const BusTopic *row = bus_topic_find(str_from(topic));
    int r;

    cr_assert_not_null(row, "%s", topic);
    while ((r = bus_producer_send(producer, row, key, value, headers, n_headers, NULL)) == BUS_E_FULL)
        bus_producer_poll(producer, 100);
    cr_assert_eq(r, 0, "%s", bus_producer_error(producer));
}

void rig_send(const char *ip, const char *members_fmt, ...)
{
    cleanup(freep) char *members = NULL;
    cleanup(buf_free) Buf value = {0};
    va_list args;

    va_start(args, members_fmt);
    cr_assert_geq(vasprintf(&members, members_fmt, args), 0);
    va_end(args);
    buf_printf(&value, "{\"attacker_ip\":\"%s\"%s%s}", ip, *members ? "," : "", members);
    rig_send_raw("attacker.observed", str_from(ip), buf_str(&value), NULL, 0);
}

void rig_send_many(int from, int n)
{
    for (int i = from; i < from + n; i++) {
        char ip[32];
        snprintf(ip, sizeof(ip), "198.51.100.%d", i % ADDRESSES);
        rig_send(ip, "\"n\":%d,\"emit\":%d", i, i % 3 == 0);
    }
    rig_flush();
}

void rig_flush(void)
{
    cr_assert_eq(bus_producer_flush(producer, WAIT_MS), 0, "%s", bus_producer_error(producer));
    cr_assert_eq(n_failed, 0, "%s", bus_producer_error(producer));
}

/* --- records out --- */

static Record *copy_record(Record *to, const BusRecord *r)
{
    *to = (Record){.key = str_dup(arena, r->key),
                   .value = str_dup(arena, r->value),
                   .headers = arena_calloc(arena, r->n_headers + 1, sizeof(BusHeader)),
                   .n_headers = r->n_headers,
                   .partition = r->partition,
                   .offset = r->offset};
    for (size_t i = 0; i < r->n_headers; i++)
        to->headers[i] = (BusHeader){str_dup(arena, r->headers[i].name), str_dup(arena, r->headers[i].value)};
    return to;
}

static int by_place(const void *a, const void *b)
{
    const Record *x = a, *y = b;
    return x->partition != y->partition ? x->partition - y->partition
                                        : (x->offset > y->offset) - (x->offset < y->offset);
}

Record *rig_read(const char *topic, size_t *ret_n)
{
    cleanup(bus_consumer_closep) BusConsumer *c = NULL;
    cleanup(freep) char *error = NULL;
    cleanup(freep) BusPosition *places = NULL;
    const BusTopic *const topics[] = {bus_topic_find(str_from(topic)), NULL};
    BusWatermarks marks[64] = {0};
    size_t n, want = 0;

    cr_assert_eq(bus_consumer_open(&config, "reader", &c, &error), 0, "%s", error);
    cr_assert_eq(bus_consumer_partitions(c, topics, WAIT_MS, &places, &n), 0, "%s", bus_consumer_error(c));
    cr_assert_leq(n, ARRAY_SIZE(marks));
    for (size_t i = 0; i < n; i++)
        marks[i] = (BusWatermarks){.topic = places[i].topic, .partition = places[i].partition};
    cr_assert_eq(bus_consumer_watermarks(c, marks, n, WAIT_MS), 0, "%s", bus_consumer_error(c));
    for (size_t i = 0; i < n; i++)
        want += (size_t)(marks[i].high - marks[i].low);
    Record *records = arena_calloc(arena, want + 1, sizeof(*records));
    cr_assert_eq(bus_consumer_assign(c, places, n, WAIT_MS), 0, "%s", bus_consumer_error(c));
    for (*ret_n = 0; *ret_n < want;) {
        cleanup(bus_record_freep) BusRecord *r = NULL;
        int got = bus_consumer_poll(c, WAIT_MS, &r);
        cr_assert_eq(got, 0, "%s: %s", topic, bus_outcome_name(got));
        copy_record(&records[(*ret_n)++], r);
    }
    qsort(records, *ret_n, sizeof(*records), by_place);
    return records;
}

Record *rig_read_n(const char *topic, size_t n)
{
    int64_t end_us = clock_monotonic_us() + WAIT_MS * US_PER_MS;
    Record *records;
    size_t got;

    do {
        records = rig_read(topic, &got);
        if (got == n)
            return records;
        usleep(STEP_US);
    } while (clock_monotonic_us() < end_us);
    cr_assert_eq(got, n, "%zu records on %s instead of %zu", got, topic, n);
    return records;
}

Str record_header(const Record *r, const char *name)
{
    for (size_t i = 0; i < r->n_headers; i++)
        if (str_eq_cstr(r->headers[i].name, name))
            return r->headers[i].value;
    return (Str){0};
}

static int by_uuid(const void *a, const void *b)
{
    return uuid_cmp(a, b);
}

size_t record_distinct_ids(const Record *records, size_t n)
{
    Uuid *ids = arena_calloc(arena, n + 1, sizeof(*ids));
    size_t distinct = 0;

    for (size_t i = 0; i < n; i++)
        cr_assert(uuid_parse_text(record_header(&records[i], BUS_HEADER_EVENT_ID), &ids[i]));
    qsort(ids, n, sizeof(*ids), by_uuid);
    for (size_t i = 0; i < n; i++)
        distinct += i == 0 || uuid_cmp(&ids[i - 1], &ids[i]) != 0;
    return distinct;
}

/* --- workers --- */

Fake fake_start_list(const char *kind, const char *const *environment, const char *const *options)
{
    cleanup(freep) char *conninfo =
        strcmp(kind, "batch") == 0 ? harness_pg_conninfo_as("decnet_ttp") : harness_pg_conninfo();
    const char *env[OPTIONS_MAX] = {option("DECNET_TEST_FAKE=%s", kind)};
    Fake f = {.log = option("%s/%d.log", folder, n_fakes),
              .out = option("%s/%d.out", folder, n_fakes),
              .port_file = option("%s/%d.port", folder, n_fakes)};
    const char *argv[OPTIONS_MAX] = {harness_env("DECNET_FAKE_PROGRAM"),
                                     "--solo",
                                     "--log_format=json",
                                     "--log_level=debug",
                                     "--metrics_listen=127.0.0.1:0",
                                     option("--metrics_port_file=%s", f.port_file),
                                     option("--database=%s", conninfo),
                                     option("--kafka.bootstrap.servers=%s", broker.address)};
    size_t n = 8, n_env = 1;

    n_fakes++;
    for (; *options; options++) {
        cr_assert_lt(n, (size_t)OPTIONS_MAX - 1);
        argv[n++] = *options;
    }
    for (; environment && *environment; environment++)
        env[n_env++] = *environment;
    f.pid =
        harness_spawn(&(HarnessProgram){.argv = argv, .environment = env, .stdout_path = f.out, .stderr_path = f.log});
    return f;
}

static const char *log_of(const Fake *f)
{
    cleanup(freep) char *text = harness_read(f->log);
    return arena_memdup(arena, text, strlen(text));
}

bool fake_said(const Fake *f, const char *text)
{
    return strstr(log_of(f), text) != NULL;
}

void fake_expect_log(const Fake *f, const char *text)
{
    cr_assert(harness_wait_text(f->log, text, WAIT_MS), "no \"%s\" in:\n%s", text, log_of(f));
}

void fake_await_ready(const Fake *f)
{
    fake_expect_log(f, "\"event\":\"started\"");
}

int fake_end(Fake *f, int signal, int timeout_ms)
{
    return harness_end(f->pid, signal, timeout_ms);
}

void fake_expect_end(Fake *f, int code, int timeout_ms)
{
    int got = harness_wait(f->pid, timeout_ms);
    cr_assert_eq(got, code, "ended with %d instead of %d:\n%s", got, code, log_of(f));
}

int fake_run_list(Fake *ret, const char *kind, const char *const *options)
{
    *ret = fake_start_list(kind, NULL, options);
    int code = harness_wait(ret->pid, WAIT_MS);
    cr_assert_geq(code, 0, "did not end:\n%s", log_of(ret));
    return code;
}

void fake_once(void)
{
    Fake f;
    int code = fake_run(&f, "batch", "--once");
    cr_assert_eq(code, 0, "%d:\n%s", code, log_of(&f));
}

/* --- HTTP --- */

int fake_port(const Fake *f)
{
    cr_assert(harness_wait_text(f->port_file, "\n", WAIT_MS), "no port:\n%s", log_of(f));
    cleanup(freep) char *text = harness_read(f->port_file);
    return atoi(text);
}

int http_connect(int port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 5};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

const char *http_raw(const Fake *f, const char *request)
{
    cleanup(buf_free) Buf answer = {0};
    char block[4096];
    ssize_t n;
    int fd = http_connect(fake_port(f));

    if (fd < 0)
        return "";
    (void)!send(fd, request, strlen(request), MSG_NOSIGNAL);
    while ((n = recv(fd, block, sizeof(block), 0)) > 0)
        buf_append(&answer, block, (size_t)n);
    close(fd);
    return arena_memdup(arena, answer.data ? answer.data : "", answer.len);
}

int http_get(const Fake *f, const char *path, const char **ret_body)
{
    const char *answer = http_raw(f, option("GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", path));
    const char *body = strstr(answer, "\r\n\r\n");
    int status = 0;

    if (sscanf(answer, "HTTP/1.1 %d", &status) != 1 || !body)
        return 0;
    if (ret_body)
        *ret_body = body + 4;
    return status;
}

void fake_await_readiness(const Fake *f, int status)
{
    int64_t end_us = clock_monotonic_us() + WAIT_MS * US_PER_MS;
    const char *body = "";
    int got;

    while ((got = http_get(f, "/readyz", &body)) != status && clock_monotonic_us() < end_us)
        usleep(STEP_US);
    cr_assert_eq(got, status, "/readyz answers %d (%s) instead of %d:\n%s", got, body, status, log_of(f));
}

double fake_metric(const Fake *f, const char *line)
{
    const char *body = "";
    cr_assert_eq(http_get(f, "/metrics", &body), 200);
    const char *at = strstr(body, option("\n%s ", line));
    return at ? strtod(at + strlen(line) + 2, NULL) : -1;
}
