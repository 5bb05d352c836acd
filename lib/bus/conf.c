/* How librdkafka is set up: our defaults, the operator's kafka.* properties, and on top what the promises of the
 * project rest on. Also the translation of its error codes, and what its connections are doing. */
#include "private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/time.h"

typedef struct Setting {
    const char *name, *value;
} Setting;

/* The operator may change these. */
static const Setting consumer_defaults[] = {
    {"client.id", "decnet"},
    {"log.connection.close", "false"},
    /* Prefetch is bounded by bytes. A low count instead makes the fetcher sleep up to a second whenever its queue is
     * full (2.0.2 has no fetch.queue.backoff.ms): 10,000 records gave a quarter of the speed of 100,000. */
    {"queued.min.messages", "100000"},
    /* The embedded broker answers an empty fetch when this time is over, even if records came meanwhile. */
    {"fetch.wait.max.ms", "100"},
    {"topic.metadata.refresh.interval.ms", "30000"}, /* partitions that were added are noticed within that time */
};

/* Of the classic group protocol, where the members decide; with kafka.group.protocol = consumer the broker does, and
 * librdkafka refuses these. */
static const Setting classic_group[] = {
    {"session.timeout.ms", "10000"},
    {"heartbeat.interval.ms", "300"}, /* others notice a join or leave with their next heartbeat */
    {"partition.assignment.strategy", "cooperative-sticky"},
};

static const Setting producer_defaults[] = {
    {"client.id", "decnet"},
    {"log.connection.close", "false"},
    {"linger.ms", "20"},
    {"message.timeout.ms", "120000"},
    {"compression.codec", "lz4"},
    {"message.max.bytes", "1048588"}, /* Kafka's own default: dead letters may be larger than our events */
};

/* For whom makes and looks at topics: a producer that sends nothing, so without what sending needs. */
static const Setting admin_defaults[] = {{"client.id", "decnet"}, {"log.connection.close", "false"}};
static const Setting admin_fixed[] = {{"enable.idempotence", "false"}, {"log.queue", "true"}};

static const Setting consumer_fixed[] = {
    {"enable.auto.commit", "false"},       {"enable.auto.offset.store", "false"}, {"auto.offset.reset", "error"},
    {"isolation.level", "read_committed"}, {"enable.partition.eof", "false"},     {"log.queue", "true"},
    {"statistics.interval.ms", "1000"}, /* group.c learns from them when it may commit a hint */
};

static const Setting producer_fixed[] = {
    {"enable.idempotence", "true"},          {"acks", "all"},       {"partitioner", "murmur2_random"},
    {"delivery.report.only.error", "false"}, {"log.queue", "true"},
};

/* Properties that are ours to set, and why. */
static const struct {
    const char *name, *reason;
} refused[] = {
    {"enable.auto.commit", "positions are kept in PostgreSQL, in the transaction of the rows"},
    {"auto.commit.enable", "positions are kept in PostgreSQL, in the transaction of the rows"},
    {"enable.auto.offset.store", "positions are kept in PostgreSQL, in the transaction of the rows"},
    {"auto.offset.reset", "a position that was overtaken has to stop the worker, not make it jump"},
    {"isolation.level", "records of aborted transactions must not be seen"},
    {"group.id", "it is the worker's name behind kafka_topic_prefix"},
    {"enable.partition.eof", "the worker does not know what to do with such events"},
    {"enable.idempotence", "records would be doubled and reordered when a request is repeated"},
    {"acks", "an acknowledged record must survive the loss of a broker"},
    {"request.required.acks", "an acknowledged record must survive the loss of a broker"},
    {"transactional.id", "transactions are PostgreSQL's, the outbox ties records to them"},
    {"partitioner", "keys would land on other partitions than those of other clients"},
    {"delivery.report.only.error", "the outbox waits for every acknowledgement"},
    {"log.queue", "log messages have to arrive in the worker's own thread"},
    {"test.mock.num.brokers", "every process would have a cluster of its own; run decnet-broker instead"},
};

static struct {
    BusLogFn log;
    void *arg;
} hook;

/* --- errors --- */

static const struct {
    rd_kafka_resp_err_t err;
    int outcome;
} outcomes[] = {
    {RD_KAFKA_RESP_ERR_NO_ERROR, 0},
    {RD_KAFKA_RESP_ERR__TIMED_OUT, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR__TRANSPORT, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR__RESOLVE, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR__WAIT_COORD, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR__PURGE_QUEUE, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, BUS_E_AWAY}, /* leaders move: the next metadata name the new one */
    {RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE, BUS_E_AWAY},
    {RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET, BUS_E_OVERTAKEN},
    {RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, BUS_E_OVERTAKEN},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, BUS_E_NO_TOPIC},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, BUS_E_NO_TOPIC},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, BUS_E_NO_TOPIC},
    {RD_KAFKA_RESP_ERR__QUEUE_FULL, BUS_E_FULL},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, BUS_E_TOO_LARGE},
    {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, BUS_E_TOO_LARGE},
    {RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE, BUS_E_TOO_LARGE},
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, BUS_E_REJECTED},
    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, BUS_E_REJECTED},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, BUS_E_REJECTED},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, BUS_E_REJECTED},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, BUS_E_REJECTED},
    {RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, BUS_E_REJECTED},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, BUS_E_REJECTED},
    {RD_KAFKA_RESP_ERR__FATAL, -ENOTRECOVERABLE},
};

int bus_outcome(rd_kafka_resp_err_t err, int otherwise)
{
    for (size_t i = 0; i < ARRAY_SIZE(outcomes); i++)
        if (outcomes[i].err == err)
            return outcomes[i].outcome;
    return otherwise;
}

const char *bus_outcome_name(int r)
{
    static const char *const names[] = {
        [0] = "ok",
        [BUS_E_TIMEOUT] = "timeout",
        [BUS_E_AWAY] = "away",
        [BUS_E_OVERTAKEN] = "overtaken",
        [BUS_E_NO_TOPIC] = "no_topic",
        [BUS_E_FULL] = "full",
        [BUS_E_TOO_LARGE] = "too_large",
        [BUS_E_REJECTED] = "rejected",
        [BUS_E_REBALANCE] = "rebalance",
    };
    return r >= 0 && r < (int)ARRAY_SIZE(names) ? names[r] : "failed";
}

int bus_fail(BusError *error, int r, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(error->text, sizeof(error->text), fmt, args);
    va_end(args);
    return r;
}

static void *refuse(char **ret_error, const char *fmt, ...) printf_like(2, 3);

static void *refuse(char **ret_error, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    if (vasprintf(ret_error, fmt, args) < 0)
        *ret_error = NULL;
    va_end(args);
    return NULL;
}

/* --- kafka.* --- */

/* The names that this librdkafka knows. Only its printed table has all of them: rd_kafka_conf_dump() leaves out what
 * has no value. */
static const char **property_names(Arena *arena, size_t *ret_n)
{
    cleanup(freep) char *text = NULL;
    size_t bytes = 0, n = 0;
    FILE *out = open_memstream(&text, &bytes);

    *ret_n = 0;
    if (!out)
        return NULL;
    rd_kafka_conf_properties_show(out);
    fclose(out);
    const char **names = arena_alloc(arena, (bytes / 2 + 1) * sizeof(*names));
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        size_t len = strcspn(line, " |\n");
        if (len && line[len] == ' ' && strcspn(line, "|") < strcspn(line, "\n"))
            names[n++] = str_cstr(arena, (Str){line, len});
    }
    *ret_n = n;
    return names;
}

static int refuse_unknown(const char *name, char **ret_error)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    size_t n;
    const char **names = property_names(arena, &n);
    const char *near = text_nearest(str_from(name), names, n, MAX((size_t)2, strlen(name) / 4));

    refuse(ret_error, "librdkafka %s has no property \"%s\" (kafka.%s)%s%s%s", rd_kafka_version_str(), name, name,
           near ? "; did you mean \"kafka." : "", near ? near : "", near ? "\"?" : "");
    return -EINVAL;
}

static int apply_property(rd_kafka_conf_t *conf, const ConfigProperty *p, char **ret_error)
{
    char reason[256] = "";

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        if (strcmp(p->name, refused[i].name) == 0) {
            refuse(ret_error, "kafka.%s cannot be set: %s", p->name, refused[i].reason);
            return -EINVAL;
        }
    }
    switch (rd_kafka_conf_set(conf, p->name, p->value, reason, sizeof(reason))) {
    case RD_KAFKA_CONF_OK:
        return 0;
    case RD_KAFKA_CONF_UNKNOWN:
        return refuse_unknown(p->name, ret_error);
    case RD_KAFKA_CONF_INVALID:
        break;
    }
    refuse(ret_error, "kafka.%s: %s", p->name, reason);
    return -EINVAL;
}

static int check_kafka(const Config *config, char **ret_error)
{
    rd_kafka_conf_t *scratch = rd_kafka_conf_new();
    int r = 0;

    for (size_t i = 0; r == 0 && i < config->n_kafka; i++)
        r = apply_property(scratch, &config->kafka[i], ret_error);
    rd_kafka_conf_destroy(scratch);
    return r;
}

void bus_init(BusLogFn log, void *arg)
{
    hook.log = log;
    hook.arg = arg;
    config_check_kafka = check_kafka;
}

/* librdkafka says "error" for every lost connection; for us that passes and is a warning. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    static const LogLevel levels[] = {LOG_LEVEL_ERR,     LOG_LEVEL_ERR,    LOG_LEVEL_ERR,  LOG_LEVEL_WARNING,
                                      LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG};
    if (hook.log)
        hook.log(hook.arg, levels[level & 7], facility, text);
}

static void set_all(rd_kafka_conf_t *conf, const Setting *settings, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (rd_kafka_conf_set(conf, settings[i].name, settings[i].value, NULL, 0) != RD_KAFKA_CONF_OK)
            abort(); /* our own tables: every release from 2.0.2 on knows these */
}

static void set_number(rd_kafka_conf_t *conf, const char *name, int64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    set_all(conf, &(Setting){name, text}, 1);
}

static int64_t get_number(const rd_kafka_conf_t *conf, const char *name)
{
    char text[24] = "";
    size_t n = sizeof(text);
    int64_t value = 0;

    if (rd_kafka_conf_get(conf, name, text, &n) == RD_KAFKA_CONF_OK)
        (void)text_to_int64(str_from(text), &value);
    return value;
}

/* librdkafka refuses to ask for less than the largest record. */
static void fetch_largest(rd_kafka_conf_t *conf)
{
    int64_t largest = get_number(conf, "message.max.bytes");

    if (get_number(conf, "fetch.max.bytes") < largest)
        set_number(conf, "fetch.max.bytes", largest);
}

static bool names_brokers(const rd_kafka_conf_t *conf)
{
    char brokers[8] = "";
    size_t n = sizeof(brokers);
    return rd_kafka_conf_get(conf, "bootstrap.servers", NULL, &n) == RD_KAFKA_CONF_OK && n > 1;
}

static bool broker_side_groups(const Config *config)
{
    for (size_t i = 0; i < config->n_kafka; i++)
        if (strcmp(config->kafka[i].name, "group.protocol") == 0)
            return strcmp(config->kafka[i].value, "consumer") == 0;
    return false;
}

rd_kafka_conf_t *bus_conf_new(const Config *config, BusRole role, const char *group, const char *instance_id,
                              char **ret_error)
{
    bool consumer = role == BUS_ROLE_CONSUMER;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int r = 0;

    *ret_error = NULL;
    if (consumer) {
        set_all(conf, consumer_defaults, ARRAY_SIZE(consumer_defaults));
        if (!broker_side_groups(config))
            set_all(conf, classic_group, ARRAY_SIZE(classic_group));
        set_number(conf, "queued.max.messages.kbytes", LIMIT_PREFETCH_BYTES / 1024);
        /* Records come compressed to a tenth, and what an answer brings is there whatever the prefetch is bounded by:
         * with the default, 1 MiB of each partition, that was 100 MiB. */
        set_number(conf, "fetch.max.bytes", LIMIT_FETCH_BYTES);
        /* Of 2.2 and later; how long fetching stops once that much is there, see also keep_fetching(). */
        (void)rd_kafka_conf_set(conf, "fetch.queue.backoff.ms", "50", NULL, 0);
    } else if (role == BUS_ROLE_ADMIN) {
        set_all(conf, admin_defaults, ARRAY_SIZE(admin_defaults));
    } else {
        set_all(conf, producer_defaults, ARRAY_SIZE(producer_defaults));
        set_number(conf, "queue.buffering.max.kbytes", LIMIT_OUTBOX_PENDING_BYTES / 1024);
    }
    for (size_t i = 0; r == 0 && i < config->n_kafka; i++)
        r = apply_property(conf, &config->kafka[i], ret_error);
    if (r == 0 && !names_brokers(conf)) {
        refuse(ret_error, "no broker is named; set kafka.bootstrap.servers = host:port");
        r = -EINVAL;
    }
    if (r < 0) {
        rd_kafka_conf_destroy(conf);
        return NULL;
    }
    if (consumer) {
        cleanup(freep) char *full = bus_topic_full_name(config->kafka_topic_prefix, group);
        set_all(conf, consumer_fixed, ARRAY_SIZE(consumer_fixed));
        fetch_largest(conf);
        set_all(conf, &(Setting){"group.id", full}, 1);
        if (instance_id)
            set_all(conf, &(Setting){"group.instance.id", instance_id}, 1);
    } else if (role == BUS_ROLE_ADMIN) {
        set_all(conf, admin_fixed, ARRAY_SIZE(admin_fixed));
    } else {
        set_all(conf, producer_fixed, ARRAY_SIZE(producer_fixed));
    }
    rd_kafka_conf_set_log_cb(conf, on_log);
    return conf;
}

rd_kafka_t *bus_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char **ret_error)
{
    char reason[512] = "";
    rd_kafka_t *rk = rd_kafka_new(type, conf, reason, sizeof(reason));

    if (!rk) {
        rd_kafka_conf_destroy(conf); /* taken over only on success */
        return refuse(ret_error, "librdkafka refuses the kafka.* properties: %s", reason);
    }
    rd_kafka_set_log_queue(rk, NULL); /* to the queue that our thread serves */
    return rk;
}

/* --- connections --- */

void bus_link_down(BusLink *link)
{
    if (link->away)
        return;
    link->away = link->news = true;
    link->next_probe_us = clock_monotonic_us() + US_PER_S;
}

void bus_link_error(BusLink *link, rd_kafka_t *rk, int err, const char *reason)
{
    if (err == RD_KAFKA_RESP_ERR__FATAL) {
        link->broken = true;
        rd_kafka_fatal_error(rk, link->reason, sizeof(link->reason));
    } else if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        bus_link_down(link);
    } else {
        snprintf(link->reason, sizeof(link->reason), "%s", reason);
        link->suspect = true;
    }
    rd_kafka_yield(rk); /* let the poll under way return, so that the loop hears of it now */
}

void bus_link_probe(BusLink *link, rd_kafka_t *rk)
{
    enum { FIRST_PROBE_MS = 300, PROBE_MS = 100 };
    const struct rd_kafka_metadata *metadata = NULL;

    if (!(link->away || link->suspect) || clock_monotonic_us() < link->next_probe_us)
        return;
    if (rd_kafka_metadata(rk, 0, NULL, &metadata, link->away ? PROBE_MS : FIRST_PROBE_MS) == 0) {
        rd_kafka_metadata_destroy(metadata);
        link->away = link->news = false;
    } else {
        bus_link_down(link);
    }
    link->suspect = false;
    link->next_probe_us = clock_monotonic_us() + US_PER_S;
}

int bus_wakeup_new(rd_kafka_queue_t *queue)
{
    static const uint64_t one = 1;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    rd_kafka_queue_io_event_enable(queue, fd, &one, sizeof(one));
    return fd;
}

void bus_wakeup_clear(int fd)
{
    uint64_t count;
    ssize_t n = read(fd, &count, sizeof(count));
    (void)n; /* nothing to clear is fine */
}
