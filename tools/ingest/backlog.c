#include "ingest/backlog.h"

#include <string.h>

#include "base/limits.h"
#include "repo/runtime.h"

enum {
    REFRESH_US = 20000,
    GROUPS_EVERY_US = 1000000,
    ASK_TIMEOUT_MS = 2000,
    ASK_AGAIN_US = 5000000, /* after silence: asking waits, and reading must go on meanwhile */
    UNKNOWN_RECORD_BYTES = 4096
};

/* What we sent to one partition and nobody is known to have read, oldest first. */
typedef struct Queue {
    const BusTopic *topic;
    int32_t partition;
    size_t *sizes;
    size_t first, n, cap;
    size_t bytes;
    int64_t unknown; /* unread records that are not ours */
} Queue;

struct Backlog {
    const Config *config;
    Repo *repo;
    Outbox *outbox;
    BusConsumer *consumer; /* only asked for watermarks */
    bool asked, embedded, silent, blocking;
    int64_t next_ask_us;
    bool unread_topic_seen, unread_topic_said;
    Queue *queues;
    size_t n_queues;
    int64_t next_refresh_us;
    struct {
        bool registered;
        int64_t next_us;
    } groups[BUS_TOPIC_N];
};

Backlog *backlog_new(const Config *config, Repo *repo, Outbox *outbox)
{
    Backlog *b = calloc(1, sizeof(*b));
    if (!b)
        abort();
    *b = (Backlog){.config = config, .repo = repo, .outbox = outbox};
    return b;
}

void backlog_free(Backlog *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n_queues; i++)
        free(b->queues[i].sizes);
    free(b->queues);
    bus_consumer_close(b->consumer);
    free(b);
}

static int ask(Backlog *b, const char **ret_cluster_id)
{
    cleanup(freep) char *error = NULL;
    int r = b->consumer ? 0 : bus_consumer_open(b->config, "ingest", &b->consumer, &error);
    return r ? r : bus_consumer_cluster_id(b->consumer, ASK_TIMEOUT_MS, ret_cluster_id);
}

/* Whether it is known what the broker is; asked again until it has answered once. */
static bool is_known(Backlog *b)
{
    const char *id = NULL;

    if (b->asked || clock_monotonic_us() < b->next_ask_us)
        return b->asked;
    b->asked = ask(b, &id) == 0;
    b->silent = !b->asked;
    b->embedded = b->asked && bus_cluster_is_embedded(id);
    b->next_ask_us = clock_monotonic_us() + ASK_AGAIN_US;
    return b->asked;
}

static int read_positions(Backlog *b, Arena *arena, const BusTopic *topic, PositionRow **rows, size_t *n)
{
    cleanup(freep) char *name = bus_topic_full_name(b->config->kafka_topic_prefix, topic->name);
    return position_list_topic(b->repo, arena, name, rows, n);
}

static bool anybody_reads(Backlog *b, const BusTopic *topic)
{
    cleanup(arena_freep) Arena *arena = NULL;
    size_t at = (size_t)(topic - bus_topics), n = 0;
    int64_t now_us = clock_monotonic_us();
    PositionRow *rows;

    if (now_us >= b->groups[at].next_us) {
        b->groups[at].next_us = now_us + GROUPS_EVERY_US;
        arena = arena_new();
        if (read_positions(b, arena, topic, &rows, &n) == 0)
            b->groups[at].registered = n > 0;
        b->unread_topic_seen |= !b->groups[at].registered && !topic->loss_allowed;
    }
    return b->groups[at].registered;
}

static Queue *queue_of(Backlog *b, const BusTopic *topic, Str key)
{
    int32_t partition = MAX(bus_murmur2_partition(key, topic->partitions), 0);

    for (size_t i = 0; i < b->n_queues; i++)
        if (b->queues[i].topic == topic && b->queues[i].partition == partition)
            return &b->queues[i];
    Queue *grown = realloc(b->queues, (b->n_queues + 1) * sizeof(*grown));
    if (!grown)
        abort();
    b->queues = grown;
    b->queues[b->n_queues] = (Queue){.topic = topic, .partition = partition};
    return &b->queues[b->n_queues++];
}

static void queue_push(Queue *q, size_t bytes)
{
    if (q->first > 0 && q->first + q->n == q->cap) {
        memmove(q->sizes, q->sizes + q->first, q->n * sizeof(*q->sizes));
        q->first = 0;
    }
    if (q->n == q->cap) {
        q->cap = MAX(q->cap * 2, (size_t)256);
        size_t *grown = realloc(q->sizes, q->cap * sizeof(*grown));
        if (!grown)
            abort();
        q->sizes = grown;
    }
    q->sizes[q->first + q->n++] = bytes;
    q->bytes += bytes;
}

/* The newest @unread records of the partition are unread: ours are the newest, what is older is not known by size. */
static void queue_keep(Queue *q, int64_t unread)
{
    while (q->n > 0 && (int64_t)q->n > unread) {
        q->bytes -= q->sizes[q->first++];
        q->n--;
    }
    q->unknown = MAX(unread - (int64_t)q->n, (int64_t)0);
}

/* Where the slowest group stands against the end of the partition. */
static void refresh(Backlog *b, Queue *q)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    BusWatermarks mark = {.topic = q->topic, .partition = q->partition};
    PositionRow *rows;
    int64_t slowest = INT64_MAX;
    size_t n = 0;

    if (read_positions(b, arena, q->topic, &rows, &n) != 0 ||
        bus_consumer_watermarks(b->consumer, &mark, 1, ASK_TIMEOUT_MS) != 0 || mark.high < 0)
        return;
    for (size_t i = 0; i < n; i++)
        if (rows[i].partition == q->partition)
            slowest = MIN(slowest, rows[i].next_offset);
    if (slowest == INT64_MAX)
        slowest = mark.high;
    /* What librdkafka still holds is not in the partition yet; which partitions it goes to does not matter here. */
    queue_keep(q, MAX(mark.high - slowest, (int64_t)0) + (int64_t)outbox_outstanding(b->outbox));
}

static bool fits(const Queue *q, size_t bytes)
{
    size_t unread = q->bytes + (size_t)q->unknown * UNKNOWN_RECORD_BYTES;
    return unread == 0 || unread + bytes <= LIMIT_BACKLOG_BYTES;
}

bool backlog_gate(void *backlog, const BusTopic *topic, Str key, size_t bytes)
{
    Backlog *b = backlog;

    if (!is_known(b))
        return false; /* what librdkafka keeps for a broker that comes back passes no gate any more */
    if (!b->embedded || !anybody_reads(b, topic))
        return true;
    Queue *q = queue_of(b, topic, key);
    if (!fits(q, bytes)) {
        int64_t now_us = clock_monotonic_us();
        if (now_us >= b->next_refresh_us) {
            refresh(b, q);
            b->next_refresh_us = clock_monotonic_us() + REFRESH_US;
        }
    }
    b->blocking = !fits(q, bytes);
    if (!b->blocking)
        queue_push(q, bytes);
    return !b->blocking;
}

bool backlog_is_silent(const Backlog *b)
{
    return b->silent;
}

void backlog_ask_again(Backlog *b)
{
    b->silent = false;
    b->next_ask_us = 0;
}

bool backlog_is_blocking(const Backlog *b)
{
    return b->blocking;
}

bool backlog_nobody_reads(Backlog *b)
{
    bool say = b->embedded && b->unread_topic_seen && !b->unread_topic_said;
    b->unread_topic_said |= say;
    return say;
}
