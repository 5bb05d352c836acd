/* The consumer: explicit assignment, one record at a time, every offset checked.
 *
 * Hazards of librdkafka that shape this file:
 *  - the batch-consume call of 2.0.2 skips offsets when partitions are paused (mended in 2.3.0): records come from
 *    rd_kafka_consumer_poll(), and each partition's offsets are checked for gaps all the same;
 *  - rd_kafka_query_watermark_offsets() of 2.0.2 hangs for ever without a broker (issue 2588, mended in 2.3.0):
 *    rd_kafka_offsets_for_times() answers the same question, keeps its time limit, and takes many partitions at once;
 *  - a topic or partition that does not exist is waited for without a word: assignments are checked beforehand. */
#include "private.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/time.h"

/* --- opening and closing --- */

static void on_error(rd_kafka_t *rk, int err, const char *reason, void *opaque)
{
    BusConsumer *c = opaque;
    bus_link_error(&c->link, rk, err, reason);
}

int bus_consumer_open(const Config *config, const char *group, BusConsumer **ret, char **ret_error)
{
    return bus_consumer_open_as(config, group, NULL, ret, ret_error);
}

int bus_consumer_open_as(const Config *config, const char *group, const char *instance_id, BusConsumer **ret,
                         char **ret_error)
{
    cleanup(bus_consumer_closep) BusConsumer *c = calloc(1, sizeof(*c));
    rd_kafka_conf_t *conf;

    if (!c)
        abort();
    c->fd = -1;
    conf = bus_conf_new(config, BUS_ROLE_CONSUMER, group, instance_id, ret_error);
    if (!conf)
        return -EINVAL;
    rd_kafka_conf_set_opaque(conf, c);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_rebalance_cb(conf, bus_group_on_rebalance);
    rd_kafka_conf_set_stats_cb(conf, bus_group_on_stats);
    c->rk = bus_client_new(RD_KAFKA_CONSUMER, conf, ret_error);
    if (!c->rk)
        return -EINVAL;
    rd_kafka_poll_set_consumer(c->rk);
    c->prefix = bus_topic_full_name(config->kafka_topic_prefix, "");
    c->queue = rd_kafka_queue_get_consumer(c->rk);
    c->fd = bus_wakeup_new(c->queue);
    if (c->fd < 0)
        return c->fd;
    *ret = TAKE_PTR(c);
    return 0;
}

/* Clients that cannot be ended now; kept where a leak checker sees that they are no leak. */
static void leave_alone(rd_kafka_t *rk)
{
    static rd_kafka_t *left[64];
    static size_t n;
    left[n++ % ARRAY_SIZE(left)] = rk;
}

static void close_one(BusConsumer *c)
{
    if (c->queue) {
        rd_kafka_queue_io_event_enable(c->queue, -1, NULL, 0);
        rd_kafka_queue_destroy(c->queue);
    }
    /* Ending a consumer that the library gave up takes for ever in 2.0.2: left alone, it ends with the process. */
    bool stuck = c->link.broken || (c->link.away && c->hinted); /* a commit without answer holds the end for 10 s */
    if (c->rk && !stuck && bus_group_close(c))
        rd_kafka_destroy_flags(c->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    else if (c->rk)
        leave_alone(c->rk);
    if (c->fd >= 0)
        close(c->fd);
    if (c->cluster_id)
        rd_kafka_mem_free(NULL, c->cluster_id);
    bus_group_free(&c->group);
    bus_list_freep(&c->group.hint);
    free(c->partitions);
    free(c->prefix);
    free(c);
}

void bus_consumers_close(BusConsumer *const *consumers, size_t n)
{
    bus_group_leave(consumers, n);
    for (size_t i = 0; i < n; i++)
        close_one(consumers[i]);
}

void bus_consumer_close(BusConsumer *c)
{
    if (c)
        bus_consumers_close(&c, 1);
}

/* --- what the broker has --- */

/* BUS_E_AWAY with the last reason that a connection gave. */
static int fail_away(BusConsumer *c, const char *what, rd_kafka_resp_err_t err)
{
    return bus_fail(&c->error, BUS_E_AWAY, "%s: no broker answers (%s); tried again until one does", what,
                    c->link.reason[0] ? c->link.reason : rd_kafka_err2str(err));
}

/* All topics in one request: asking for one by name may create it (the embedded broker does). */
static int fetch_metadata(BusConsumer *c, const char *what, int timeout_ms, const struct rd_kafka_metadata **ret)
{
    rd_kafka_resp_err_t err = rd_kafka_metadata(c->rk, 1, NULL, ret, timeout_ms);
    int r = bus_outcome(err, -EIO);

    if (r == BUS_E_AWAY)
        return fail_away(c, what, err);
    if (r != 0)
        return bus_fail(&c->error, r, "%s: %s", what, rd_kafka_err2str(err));
    return 0;
}

static void metadata_freep(const struct rd_kafka_metadata **p)
{
    if (*p)
        rd_kafka_metadata_destroy(*p);
}

static const struct rd_kafka_metadata_topic *metadata_topic(const BusConsumer *c, const struct rd_kafka_metadata *m,
                                                            const BusTopic *topic)
{
    size_t prefix = strlen(c->prefix);

    for (int i = 0; i < m->topic_cnt; i++)
        if (strncmp(m->topics[i].topic, c->prefix, prefix) == 0 &&
            strcmp(m->topics[i].topic + prefix, topic->name) == 0 && m->topics[i].err == RD_KAFKA_RESP_ERR_NO_ERROR)
            return &m->topics[i];
    return NULL;
}

static int fail_no_topic(BusConsumer *c, const BusTopic *topic)
{
    return bus_fail(&c->error, BUS_E_NO_TOPIC,
                    "the broker has no topic %s%s; create the topics, or check kafka_topic_prefix and the permissions",
                    c->prefix, topic->name);
}

int bus_consumer_partitions(BusConsumer *c, const BusTopic *const *topics, int timeout_ms, BusPosition **ret,
                            size_t *ret_n)
{
    cleanup(metadata_freep) const struct rd_kafka_metadata *m = NULL;
    cleanup(freep) BusPosition *positions = NULL;
    size_t n = 0;
    int r = fetch_metadata(c, "listing the topics", timeout_ms, &m);

    if (r != 0)
        return r;
    for (; *topics; topics++) {
        const struct rd_kafka_metadata_topic *t = metadata_topic(c, m, *topics);
        if (!t)
            return fail_no_topic(c, *topics);
        BusPosition *more = reallocarray(positions, n + (size_t)t->partition_cnt + 1, sizeof(*more));
        if (!more)
            return -ENOMEM;
        positions = more;
        for (int i = 0; i < t->partition_cnt; i++)
            positions[n++] = (BusPosition){*topics, t->partitions[i].id, BUS_OFFSET_BEGINNING};
    }
    *ret = TAKE_PTR(positions);
    *ret_n = n;
    return 0;
}

static int check_exists(BusConsumer *c, const struct rd_kafka_metadata *m, const BusPosition *p)
{
    const struct rd_kafka_metadata_topic *t = metadata_topic(c, m, p->topic);

    if (!t)
        return fail_no_topic(c, p->topic);
    for (int i = 0; i < t->partition_cnt; i++)
        if (t->partitions[i].id == p->partition)
            return 0;
    return bus_fail(&c->error, BUS_E_NO_TOPIC, "topic %s%s has no partition %d: it has %d; was it made anew?",
                    c->prefix, p->topic->name, p->partition, t->partition_cnt);
}

/* --- lists of partitions --- */

void bus_list_freep(rd_kafka_topic_partition_list_t **p)
{
    if (*p)
        rd_kafka_topic_partition_list_destroy(*p);
}

rd_kafka_topic_partition_t *bus_list_add(BusConsumer *c, rd_kafka_topic_partition_list_t *list, const BusTopic *topic,
                                         int32_t partition)
{
    cleanup(freep) char *name = bus_topic_full_name(c->prefix, topic->name);
    return rd_kafka_topic_partition_list_add(list, name, partition);
}

static rd_kafka_topic_partition_list_t *list_of(BusConsumer *c, const BusPosition *positions, size_t n)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    for (size_t i = 0; i < n; i++)
        bus_list_add(c, list, positions[i].topic, positions[i].partition)->offset = positions[i].offset;
    return list;
}

BusPartition *bus_partition_find(BusConsumer *c, const BusTopic *topic, int32_t id)
{
    for (size_t i = 0; i < c->n_partitions; i++)
        if (c->partitions[i].topic == topic && c->partitions[i].id == id)
            return &c->partitions[i];
    return NULL;
}

/* The assigned partition that @m belongs to; NULL for a straggler of an earlier assignment. */
static BusPartition *partition_of_message(BusConsumer *c, const rd_kafka_message_t *m)
{
    BusPartition *p = c->last < c->n_partitions ? &c->partitions[c->last] : NULL;
    const char *name;

    if (p && p->rkt == m->rkt && p->id == m->partition)
        return p;
    if (!m->rkt || !c->partitions)
        return NULL;
    name = rd_kafka_topic_name(m->rkt);
    if (strncmp(name, c->prefix, strlen(c->prefix)) != 0)
        return NULL;
    for (size_t i = 0; i < c->n_partitions; i++) {
        p = &c->partitions[i];
        if (p->id == m->partition && strcmp(p->topic->name, name + strlen(c->prefix)) == 0) {
            p->rkt = m->rkt;
            c->last = i;
            return p;
        }
    }
    return NULL;
}

static int fail_not_assigned(BusConsumer *c, const BusTopic *topic, int32_t partition)
{
    return bus_fail(&c->error, BUS_E_NO_TOPIC, "partition %d of %s is not assigned", partition, topic->name);
}

/* --- pausing, assigning, seeking --- */

/* Only what changes is told to librdkafka: resuming a partition that was just assigned and never paused makes 2.0.2 now
 * and then wait for ever (measured: twice in 150 assignments of 12 partitions, on a busy machine). */
int bus_flow_change(BusConsumer *c, BusPartition *partitions, size_t n, bool pause)
{
    cleanup(bus_list_freep) rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    rd_kafka_resp_err_t err;

    for (size_t i = 0; i < n; i++)
        if (partitions[i].paused != pause)
            bus_list_add(c, list, partitions[i].topic, partitions[i].id);
    if (list->cnt == 0)
        return 0;
    err = pause ? rd_kafka_pause_partitions(c->rk, list) : rd_kafka_resume_partitions(c->rk, list);
    for (int i = 0; !err && i < list->cnt; i++)
        err = list->elems[i].err;
    if (err)
        return bus_fail(&c->error, -EIO, "%s %d partitions: %s", pause ? "pausing" : "resuming", list->cnt,
                        rd_kafka_err2str(err));
    for (size_t i = 0; i < n; i++)
        partitions[i].paused = pause;
    return 0;
}

int bus_consumer_pause_all(BusConsumer *c)
{
    return bus_flow_change(c, c->partitions, c->n_partitions, true);
}

int bus_consumer_resume_all(BusConsumer *c)
{
    return bus_flow_change(c, c->partitions, c->n_partitions, false);
}

int bus_consumer_pause(BusConsumer *c, const BusTopic *topic, int32_t partition)
{
    BusPartition *p = bus_partition_find(c, topic, partition);
    return p ? bus_flow_change(c, p, 1, true) : fail_not_assigned(c, topic, partition);
}

int bus_consumer_resume(BusConsumer *c, const BusTopic *topic, int32_t partition)
{
    BusPartition *p = bus_partition_find(c, topic, partition);
    return p ? bus_flow_change(c, p, 1, false) : fail_not_assigned(c, topic, partition);
}

int bus_consumer_assign(BusConsumer *c, const BusPosition *positions, size_t n, int timeout_ms)
{
    cleanup(metadata_freep) const struct rd_kafka_metadata *m = NULL;
    cleanup(bus_list_freep) rd_kafka_topic_partition_list_t *list = NULL;
    cleanup(freep) BusPartition *partitions = calloc(n + 1, sizeof(*partitions));
    int r = n ? fetch_metadata(c, "checking the assignment", timeout_ms, &m) : 0;

    if (!partitions)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < n; i++) {
        r = check_exists(c, m, &positions[i]);
        partitions[i] = (BusPartition){.topic = positions[i].topic,
                                       .id = positions[i].partition,
                                       .offsets = bus_offsets_from(positions[i].offset)};
    }
    if (r == 0) /* a partition that is paused when it is given up would still be so when it is assigned again */
        r = bus_consumer_resume_all(c);
    if (r != 0)
        return r;
    list = list_of(c, positions, n);
    rd_kafka_resp_err_t err = rd_kafka_assign(c->rk, n ? list : NULL);
    if (err)
        return bus_fail(&c->error, -EIO, "assigning %zu partitions: %s", n, rd_kafka_err2str(err));
    free(c->partitions);
    c->partitions = TAKE_PTR(partitions);
    c->n_partitions = n;
    c->last = 0;
    return 0;
}

static int seek_to(BusConsumer *c, const BusPartition *p, int64_t offset, int timeout_ms)
{
    cleanup(bus_list_freep) rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_error_t *error;
    rd_kafka_resp_err_t err;

    bus_list_add(c, list, p->topic, p->id)->offset = offset;
    error = rd_kafka_seek_partitions(c->rk, list, timeout_ms);
    err = error ? rd_kafka_error_code(error) : list->elems[0].err;
    rd_kafka_error_destroy(error);
    if (!err)
        return 0;
    return bus_fail(&c->error, err == RD_KAFKA_RESP_ERR__TIMED_OUT ? BUS_E_TIMEOUT : -EIO,
                    "going to offset %lld of %s [%d]: %s", (long long)offset, p->topic->name, p->id,
                    rd_kafka_err2str(err));
}

int bus_consumer_seek(BusConsumer *c, const BusPosition *position, int timeout_ms)
{
    BusPartition *p = bus_partition_find(c, position->topic, position->partition);
    int r;

    if (!p)
        return fail_not_assigned(c, position->topic, position->partition);
    if (position->offset < 0)
        return bus_fail(&c->error, -EINVAL, "offset %lld is no place to go to", (long long)position->offset);
    r = seek_to(c, p, position->offset, timeout_ms);
    if (r == 0)
        p->offsets = bus_offsets_from(position->offset);
    return r;
}

/* --- polling --- */

void bus_record_free(BusRecord *record)
{
    if (!record)
        return;
    rd_kafka_message_destroy(record->opaque);
    free(record);
}

static Str bytes_of(const void *data, size_t len)
{
    return (Str){data, data ? len : 0};
}

/* The record takes @m over. */
static BusRecord *record_new(const BusPartition *p, rd_kafka_message_t *m)
{
    rd_kafka_headers_t *headers = NULL;
    size_t n = rd_kafka_message_headers(m, &headers) ? 0 : rd_kafka_header_cnt(headers);
    BusRecord *r = calloc(1, sizeof(*r) + n * sizeof(BusHeader));
    BusHeader *h = (BusHeader *)(r + 1);
    rd_kafka_timestamp_type_t type;

    if (!r)
        abort();
    for (size_t i = 0; i < n; i++) {
        const char *name = NULL;
        const void *value = NULL;
        size_t size = 0;
        rd_kafka_header_get_all(headers, i, &name, &value, &size);
        h[i] = (BusHeader){str_from(name), bytes_of(value, size)};
    }
    int64_t ms = rd_kafka_message_timestamp(m, &type);
    *r = (BusRecord){
        .topic = p->topic,
        .partition = p->id,
        .offset = m->offset,
        .key = bytes_of(m->key, m->key_len),
        .value = bytes_of(m->payload, m->len),
        .headers = h,
        .n_headers = n,
        /* the producer chose the number: what does not fit in µs is as good as none */
        .timestamp_us = ms < 0 || ms > INT64_MAX / US_PER_MS ? TIME_NONE : ms * US_PER_MS,
        .opaque = m,
    };
    return r;
}

/* 0 with *ret NULL: nothing for the caller, go on. */
/* A request wakes a broker's thread, and so does its answer, which nobody waits for. */
void bus_wake_fetchers(BusConsumer *c)
{
    enum { SENT_MS = 1 };
    cleanup(bus_list_freep) rd_kafka_topic_partition_list_t *list =
        rd_kafka_topic_partition_list_new((int)c->n_partitions);

    for (size_t i = 0; i < c->n_partitions; i++)
        bus_list_add(c, list, c->partitions[i].topic, c->partitions[i].id)->offset = BUS_OFFSET_END;
    if (list->cnt && !c->group.closing && !c->link.away)
        (void)!rd_kafka_offsets_for_times(c->rk, list, SENT_MS);
    c->bytes_since_wake = 0;
}

/* Once as much is prefetched as may be, the broker's thread of 2.0.2 sleeps for up to a second, and being emptied does
 * not wake it: whoever reads faster than a prefetch per second waits. From 2.2 on fetch.queue.backoff.ms bounds it. */
static void keep_fetching(BusConsumer *c, size_t bytes)
{
    c->bytes_since_wake += bytes;
    if (c->bytes_since_wake >= LIMIT_PREFETCH_BYTES / 2)
        bus_wake_fetchers(c);
}

static int take_record(BusConsumer *c, rd_kafka_message_t *m, BusRecord **ret)
{
    enum { SEEK_MS = 1000 };
    BusPartition *p = partition_of_message(c, m);

    switch (p ? bus_offsets_check(&p->offsets, m->offset, &c->stats) : BUS_OFFSET_DROP) {
    case BUS_OFFSET_TAKE:
        c->stats.records++;
        c->stats.bytes += m->len;
        keep_fetching(c, m->len);
        *ret = record_new(p, m);
        return 0;
    case BUS_OFFSET_REWIND:
        if (seek_to(c, p, p->offsets.expected, SEEK_MS) != 0)
            bus_offsets_rewind_failed(&p->offsets); /* nothing is lost: the next record asks again */
        break;
    case BUS_OFFSET_DROP:
        break;
    }
    rd_kafka_message_destroy(m);
    return 0;
}

static int fail_overtaken(BusConsumer *c, const rd_kafka_message_t *m)
{
    const BusPartition *p = partition_of_message(c, m);
    int64_t offset = p && p->offsets.expected >= 0 ? p->offsets.expected : m->offset;

    if (!p)
        return 0; /* of an earlier assignment */
    c->overtaken = (BusPosition){p->topic, p->id, offset};
    return bus_fail(
        &c->error, BUS_E_OVERTAKEN,
        "the broker does not hold offset %lld of %s%s [%d]: retention overtook the position, or the topic was "
        "made anew (%s)",
        (long long)offset, c->prefix, p->topic->name, p->id, rd_kafka_message_errstr(m));
}

static int fail_broken(BusConsumer *c)
{
    return bus_fail(&c->error, -ENOTRECOVERABLE, "the consumer cannot go on: %s", c->link.reason);
}

static int take_error(BusConsumer *c, const rd_kafka_message_t *m)
{
    int r = bus_outcome(m->err, -EIO);

    switch (r) {
    case -ENOTRECOVERABLE:
        bus_link_error(&c->link, c->rk, m->err, rd_kafka_message_errstr(m));
        return fail_broken(c);
    case BUS_E_OVERTAKEN:
        return fail_overtaken(c, m);
    case BUS_E_AWAY:
        return 0; /* librdkafka tries again by itself; that nobody answers comes through on_error() */
    default:
        return bus_fail(&c->error, r, "reading %s [%d] at offset %lld: %s", m->rkt ? rd_kafka_topic_name(m->rkt) : "?",
                        m->partition, (long long)m->offset, rd_kafka_message_errstr(m));
    }
}

static rd_kafka_message_t *next_message(BusConsumer *c, int timeout_ms)
{
    rd_kafka_message_t *m = rd_kafka_consumer_poll(c->rk, 0);
    if (m)
        return m;
    bus_wakeup_clear(c->fd); /* before looking again, so that what arrives in between wakes the loop */
    return rd_kafka_consumer_poll(c->rk, timeout_ms);
}

/* No record came: why? */
static int idle_outcome(BusConsumer *c)
{
    c->link.news = false;
    if (c->link.broken)
        return fail_broken(c);
    return c->link.away ? fail_away(c, "reading", RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) : BUS_E_TIMEOUT;
}

static int take_news(BusConsumer *c)
{
    c->group.news = false;
    return BUS_E_REBALANCE;
}

int bus_consumer_poll(BusConsumer *c, int timeout_ms, BusRecord **ret)
{
    int64_t end_us = clock_monotonic_us() + timeout_ms * US_PER_MS;

    *ret = NULL;
    if (c->group.news)
        return take_news(c);
    do {
        bus_link_probe(&c->link, c->rk);
        rd_kafka_message_t *m = next_message(c, c->link.news ? 0 : timeout_ms);
        int r = 0;

        if (!m && c->group.news)
            return take_news(c);
        if (!m) {
            if (c->link.news || c->link.broken)
                break;
        } else if (m->err) {
            r = take_error(c, m);
            rd_kafka_message_destroy(m);
        } else {
            r = take_record(c, m, ret);
        }
        if (r != 0 || *ret)
            return r;
        timeout_ms = (int)MAX(INT64_C(0), (end_us - clock_monotonic_us()) / US_PER_MS);
    } while (timeout_ms > 0);
    return idle_outcome(c);
}

int bus_consumer_fd(const BusConsumer *c)
{
    return c->fd;
}

/* --- questions to the broker --- */

/* Offsets of @n partitions at @place (BUS_OFFSET_*), in the order of @marks. */
static int query_offsets(BusConsumer *c, const BusWatermarks *marks, size_t n, int64_t place, int timeout_ms,
                         rd_kafka_topic_partition_list_t **ret)
{
    cleanup(bus_list_freep) rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)n);
    rd_kafka_resp_err_t err;
    int r;

    for (size_t i = 0; i < n; i++)
        bus_list_add(c, list, marks[i].topic, marks[i].partition)->offset = place;
    err = rd_kafka_offsets_for_times(c->rk, list, timeout_ms);
    for (int i = 0; !err && i < list->cnt; i++)
        err = list->elems[i].err;
    r = bus_outcome(err, -EIO);
    if (r == BUS_E_AWAY)
        return fail_away(c, "asking for watermarks", err);
    if (r != 0)
        return bus_fail(&c->error, r, "asking for watermarks: %s", rd_kafka_err2str(err));
    *ret = TAKE_PTR(list);
    return 0;
}

/* A group may give us partitions that were added just now and that this client has not heard of: it asks for the topics
 * anew, a few times, before it believes that there is no such partition. */
static int query_lows(BusConsumer *c, const BusWatermarks *marks, size_t n, int timeout_ms,
                      rd_kafka_topic_partition_list_t **ret)
{
    enum { TRIES = 20, PAUSE_US = 100000 };
    int r = BUS_E_NO_TOPIC;

    for (int i = 0; r == BUS_E_NO_TOPIC && i < TRIES; i++) {
        if (i > 0) {
            cleanup(metadata_freep) const struct rd_kafka_metadata *m = NULL;
            usleep(PAUSE_US);
            int asked = fetch_metadata(c, "looking for new partitions", timeout_ms, &m);
            if (asked != 0)
                return asked;
        }
        r = query_offsets(c, marks, n, BUS_OFFSET_BEGINNING, timeout_ms, ret);
    }
    return r;
}

int bus_consumer_watermarks(BusConsumer *c, BusWatermarks *marks, size_t n, int timeout_ms)
{
    cleanup(bus_list_freep) rd_kafka_topic_partition_list_t *low = NULL, *high = NULL;
    int r = n ? query_lows(c, marks, n, timeout_ms, &low) : 0;

    if (r == 0 && n)
        r = query_offsets(c, marks, n, BUS_OFFSET_END, timeout_ms, &high);
    for (size_t i = 0; r == 0 && low && high && i < n; i++) {
        marks[i].low = low->elems[i].offset;
        marks[i].high = high->elems[i].offset;
    }
    return r;
}

void bus_consumer_commit_hint(BusConsumer *c, const BusPosition *positions, size_t n)
{
    cleanup(bus_list_freep) rd_kafka_topic_partition_list_t *list = list_of(c, positions, n);
    if (n && c->group.member) {
        bus_group_hint(c, TAKE_PTR(list));
    } else if (n && !c->link.away) {
        rd_kafka_commit(c->rk, list, 1);
        c->hinted = true;
    }
}

int bus_consumer_cluster_id(BusConsumer *c, int timeout_ms, const char **ret)
{
    if (!c->cluster_id)
        c->cluster_id = rd_kafka_clusterid(c->rk, timeout_ms);
    if (!c->cluster_id)
        return fail_away(c, "asking for the cluster id", RD_KAFKA_RESP_ERR__TIMED_OUT);
    *ret = c->cluster_id;
    return 0;
}

BusPosition bus_consumer_overtaken(const BusConsumer *c)
{
    return c->overtaken;
}

bool bus_consumer_is_away(const BusConsumer *c)
{
    return c->link.away;
}

BusConsumerStats bus_consumer_stats(const BusConsumer *c)
{
    return c->stats;
}

const char *bus_consumer_error(const BusConsumer *c)
{
    return c->error.text;
}

/* --- doors for tests --- */

BusOffsets *bus_consumer_offsets(BusConsumer *c, const BusTopic *topic, int32_t partition)
{
    BusPartition *p = bus_partition_find(c, topic, partition);
    return p ? &p->offsets : NULL;
}

void bus_consumer_break(BusConsumer *c)
{
    rd_kafka_test_fatal_error(c->rk, RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, "broken by a test");
}
