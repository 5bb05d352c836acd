/* decnet-broker: the embedded broker, librdkafka's mock cluster in a process of its own. For demos and fast tests: ready
 * at once, no Java, nothing kept on disk. It keeps some 5 MiB or 100,000 record sets of a partition and forgets the
 * oldest silently; as it has no way to tell how full a partition is, a consumer of our own reads everything and says
 * so before it happens, and when it has happened. */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/cli.h"
#include "bus.h"

/* Constants inside librdkafka (rdkafka_mock.c); 80 % of them is when to speak. */
#define KEPT_BYTES (5 * 1024 * 1024)
#define KEPT_RECORD_SETS 100000
#define WARN_SHARE 0.8

#define API_PRODUCE 0 /* number of the Produce request in Kafka's protocol */

typedef struct Partition {
    const BusTopic *topic;
    int32_t id;
    double bytes; /* read so far, uncompressed: what is kept may be less */
    int64_t records, low;
} Partition;

typedef struct Broker {
    rd_kafka_t *host, *monitor;
    rd_kafka_mock_cluster_t *cluster;
    const char *prefix, *ready_file;
    int partitions;    /* 0: as the table says */
    int produce_error; /* answer to the next produce request after each SIGUSR1 */
    int ready_fd;
    Partition *watched;
    size_t n_watched, first[BUS_TOPIC_N]; /* first: where a topic's partitions begin in watched */
} Broker;

static const char help_head[] = "decnet-broker: the embedded Kafka broker, for demos and tests\n\n";
static const char help_foot[] =
    "\n"
    "The port is picked by the library; it cannot be chosen (librdkafka 2.0.2 has no way to).\n"
    "Nothing is kept on disk. A partition keeps its newest 5 MiB, or 100,000 record sets; older\n"
    "records are forgotten, and a warning says so. Consumer groups are slow here: run workers with\n"
    "--solo. For anything that matters use Apache Kafka.\n";

/* --- ready file --- */

/* A broker holds a lock on its ready file as long as it lives, so a file left behind by a killed one is known by the
 * missing lock. The lock of the folder makes looking and replacing one step. */
static int ready_claim(const char *path, int *ret_folder)
{
    cleanup(freep) char *copy = strdup(path);
    int folder = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd, r = 0;

    if (folder < 0 || flock(folder, LOCK_EX) < 0) {
        r = -errno;
        log_err("ready_file", "cannot use the folder of %s: %s", path, strerror(errno));
    } else if ((fd = open(path, O_RDONLY | O_CLOEXEC)) >= 0) {
        if (flock(fd, LOCK_SH | LOCK_NB) < 0) {
            r = -EEXIST;
            log_err("ready_file", "another decnet-broker serves %s: stop it, or name another --ready-file", path);
        }
        close(fd);
    }
    if (r < 0 && folder >= 0)
        close(folder);
    else
        *ret_folder = folder;
    return r;
}

static int ready_publish(Broker *b, const char *address)
{
    cleanup(freep) char *temporary = NULL;

    if (asprintf(&temporary, "%s.%d", b->ready_file, (int)getpid()) < 0)
        return -ENOMEM;
    b->ready_fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (b->ready_fd < 0 || dprintf(b->ready_fd, "%s\n", address) < 0 || flock(b->ready_fd, LOCK_EX) < 0 ||
        rename(temporary, b->ready_file) < 0) {
        int r = -errno;
        log_err("ready_file", "cannot write %s: %s", b->ready_file, strerror(-r));
        unlink(temporary);
        return r;
    }
    return 0;
}

/* --- cluster --- */

static void drop_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
}

static rd_kafka_t *client_new(rd_kafka_type_t type, const char *const *settings)
{
    char reason[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_t *rk;

    rd_kafka_conf_set_log_cb(conf, drop_log);
    for (; *settings; settings += 2)
        if (rd_kafka_conf_set(conf, settings[0], settings[1], reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
            abort(); /* our own list */
    rk = rd_kafka_new(type, conf, reason, sizeof(reason));
    if (!rk) {
        log_err("start", "librdkafka does not start: %s", reason);
        rd_kafka_conf_destroy(conf);
    }
    return rk;
}

/* 2.0.2's mock thread serves a request, then clears its wake-up pipe: a request that arrives in between waits until the
 * thread looks again by itself, after a second. A short breath lets it fall asleep first; losing the race costs that
 * second and nothing else. */
static void let_cluster_rest(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 500 * 1000}, NULL);
}

static int create_topics(Broker *b)
{
    for (size_t i = 0; i < ARRAY_SIZE(bus_topics); i++) {
        cleanup(freep) char *name = bus_topic_full_name(b->prefix, bus_topics[i].name);
        int n = b->partitions ? b->partitions : bus_topics[i].partitions;
        let_cluster_rest();
        rd_kafka_resp_err_t err = rd_kafka_mock_topic_create(b->cluster, name, n, 1);
        if (err) {
            log_err("start", "cannot create topic %s: %s", name, rd_kafka_err2str(err));
            return -EIO;
        }
        b->watched = reallocarray(b->watched, b->n_watched + (size_t)n, sizeof(*b->watched));
        if (!b->watched)
            abort();
        b->first[i] = b->n_watched;
        for (int p = 0; p < n; p++)
            b->watched[b->n_watched++] = (Partition){.topic = &bus_topics[i], .id = p};
    }
    return 0;
}

static int monitor_start(Broker *b, const char *address)
{
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new((int)b->n_watched);
    rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR__FAIL;

    b->monitor = client_new(RD_KAFKA_CONSUMER,
                            (const char *const[]){"bootstrap.servers", address, "group.id", "decnet-broker",
                                                  "enable.auto.commit", "false", "enable.auto.offset.store", "false",
                                                  "auto.offset.reset", "earliest", "queued.max.messages.kbytes", "8192",
                                                  "queued.min.messages", "100000", NULL});
    for (size_t i = 0; i < b->n_watched; i++) {
        cleanup(freep) char *name = bus_topic_full_name(b->prefix, b->watched[i].topic->name);
        rd_kafka_topic_partition_list_add(all, name, b->watched[i].id)->offset = 0;
    }
    if (b->monitor) {
        rd_kafka_poll_set_consumer(b->monitor);
        err = rd_kafka_assign(b->monitor, all);
    }
    rd_kafka_topic_partition_list_destroy(all);
    return err ? -EIO : 0;
}

static int broker_start(Broker *b)
{
    cleanup(freep) char *address = NULL;
    int folder = -1, r = b->ready_file ? ready_claim(b->ready_file, &folder) : 0;

    if (r < 0)
        return r;
    b->host = client_new(RD_KAFKA_PRODUCER, (const char *const[]){NULL});
    b->cluster = b->host ? rd_kafka_mock_cluster_new(b->host, 1) : NULL;
    r = b->cluster ? create_topics(b) : -EIO;
    if (r == 0) {
        address = strdup(rd_kafka_mock_cluster_bootstraps(b->cluster));
        r = address ? monitor_start(b, address) : -ENOMEM;
    }
    if (r == 0 && b->ready_file)
        r = ready_publish(b, address);
    else if (r == 0)
        printf("%s\n", address), fflush(stdout);
    if (folder >= 0)
        close(folder);
    return r;
}

/* The cluster and its threads go with the process: nothing of it is kept, and librdkafka would take up to a second to
 * end them one by one. */
static void broker_stop(const Broker *b)
{
    if (b->ready_fd >= 0)
        unlink(b->ready_file);
}

/* --- watching --- */

static bool nearly_full(const Partition *p)
{
    return p->bytes >= WARN_SHARE * KEPT_BYTES || (double)p->records >= WARN_SHARE * KEPT_RECORD_SETS;
}

static void say(const Partition *p, const char *event, const char *text)
{
    char id[12];
    snprintf(id, sizeof(id), "%d", p->id);
    const LogField fields[] = {{"DECNET_TOPIC", p->topic->name}, {"DECNET_PARTITION", id}, {0}};
    log_write(LOG_LEVEL_WARNING, event, fields, "%s", text);
}

static void watch_record(Broker *b, const rd_kafka_message_t *m)
{
    const BusTopic *topic = bus_topic_find(str_from(rd_kafka_topic_name(m->rkt) + strlen(b->prefix)));
    Partition *p = &b->watched[b->first[topic - bus_topics] + (size_t)m->partition];
    bool before = nearly_full(p);

    p->bytes += (double)(m->len + m->key_len);
    p->records++;
    if (!before && nearly_full(p))
        say(p, "partition_nearly_full",
            "may have reached 80 % of the 5 MiB or 100,000 record sets that this broker keeps, then the oldest go: let "
            "the workers catch up before feeding more, or use Apache Kafka");
}

/* Once a second, and only for partitions that can have lost something. */
static void watch_losses(Broker *b)
{
    enum { ANSWER_MS = 1000 };
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(0);

    for (size_t i = 0; i < b->n_watched; i++) {
        if (nearly_full(&b->watched[i])) {
            cleanup(freep) char *name = bus_topic_full_name(b->prefix, b->watched[i].topic->name);
            rd_kafka_topic_partition_t *e = rd_kafka_topic_partition_list_add(list, name, b->watched[i].id);
            e->offset = RD_KAFKA_OFFSET_BEGINNING;
            e->opaque = &b->watched[i];
        }
    }
    if (list->cnt > 0 && rd_kafka_offsets_for_times(b->monitor, list, ANSWER_MS) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        for (int i = 0; i < list->cnt; i++) {
            Partition *p = list->elems[i].opaque;
            char text[320];
            if (list->elems[i].err || list->elems[i].offset <= p->low)
                continue;
            p->low = list->elems[i].offset;
            snprintf(
                text, sizeof(text),
                "records below offset %lld are forgotten: a worker that had not read them stops, "
                "saying that its position was overtaken; then start over with a new broker and feed more slowly, or "
                "use Apache Kafka",
                (long long)p->low);
            say(p, "records_forgotten", text);
        }
    }
    rd_kafka_topic_partition_list_destroy(list);
}

static void watch_arrivals(Broker *b)
{
    rd_kafka_message_t *m;

    for (int n = 0; n < KEPT_RECORD_SETS && (m = rd_kafka_consumer_poll(b->monitor, 0)); n++) {
        if (!m->err)
            watch_record(b, m);
        rd_kafka_message_destroy(m);
    }
}

static void broker_run(Broker *b, const sigset_t *signals)
{
    const struct timespec pause = {.tv_nsec = 100 * 1000 * 1000};

    for (int round = 1;; round++) {
        int got = sigtimedwait(signals, NULL, &pause);
        if (got == SIGTERM || got == SIGINT)
            return;
        if (got == SIGUSR1)
            rd_kafka_mock_push_request_errors(b->cluster, API_PRODUCE, 1, (rd_kafka_resp_err_t)b->produce_error);
        watch_arrivals(b);
        if (round % 10 == 0)
            watch_losses(b);
    }
}

/* --- command line --- */

static int usage_error(const char *option, const char *value, const char *expected)
{
    log_err("usage", "--%s=%s is not %s", option, value, expected);
    return EX_USAGE;
}

/* Does not return. */
static _Noreturn void broker_serve(Broker *b)
{
    sigset_t signals;
    int r;

    /* Blocked before any thread exists: all inherit it, and the loop takes them with sigtimedwait(). */
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);

    r = broker_start(b);
    if (r == 0)
        broker_run(b, &signals);
    broker_stop(b);
    fflush(NULL);
    _exit(r < 0 ? EXIT_FAILURE : EXIT_SUCCESS);
}

int main(int argc, char **argv)
{
    Broker b = {.prefix = "", .ready_fd = -1};
    bool show_help = false, show_version = false;
    const char *partitions = NULL, *produce_error = NULL;
    const CliOption options[] = {
        {"ready-file", .value = &b.ready_file,
         .help = "FILE\twrite host:port there once all topics exist (else to standard output); one broker per file"},
        {"topic-prefix", .value = &b.prefix, .help = "TEXT\tput before every topic name, as kafka_topic_prefix"},
        {"partitions", .value = &partitions,
         .help = "N\tpartitions of each topic, 1 to 1000; else as the table of topics says"},
        {"produce-error", .value = &produce_error,
         .help = "CODE\tafter each SIGUSR1, answer one produce request with that Kafka error; for tests"},
        {"help", .flag = &show_help, .help = "this text"},
        {"version", .flag = &show_version, .help = "name and version"},
    };
    cleanup(freep) char *error = NULL;
    cleanup(buf_free) Buf lines = {0};
    int n_left = 0;
    int64_t n = 0, code = 0;

    log_init("broker", NULL, LOG_LEVEL_INFO, LOG_FORMAT_AUTO);
    if (cli_parse(argc, argv, options, ARRAY_SIZE(options), NULL, &n_left, &error) < 0 || n_left > 0) {
        log_err("usage", "%s", error ? error : "this program takes options only; --help lists them");
        return EX_USAGE;
    }
    if (show_help) {
        cli_print_options(options, ARRAY_SIZE(options), &lines);
        printf("%s%s%s", help_head, lines.data, help_foot);
    }
    if (show_version)
        printf("decnet-broker %s\n", DECNET_VERSION);
    if (show_help || show_version)
        return EXIT_SUCCESS;
    if (partitions && (!text_to_int64(str_from(partitions), &n) || n < 1 || n > 1000))
        return usage_error("partitions", partitions, "a number from 1 to 1000");
    b.partitions = (int)n;
    if (produce_error && (!text_to_int64(str_from(produce_error), &code) || code < 0 || code > INT16_MAX))
        return usage_error("produce-error", produce_error, "a number from 0 to 32767");
    b.produce_error = (int)code;
    broker_serve(&b);
}
