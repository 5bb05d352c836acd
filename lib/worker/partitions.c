/* Partitions and positions: what this process owns, where it stands, and whether it may go on there. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "internal.h"

enum {
    METADATA_TIMEOUT_MS = 5000,
    EXIT_CONFIG = 78,
    TICK_US = 1000000,
    FENCED_WAIT_US = 12000000, /* longer than the session time-out: by then the group has told us, if it ever does */
    LOOK_FOR_MORE_US = 30000000,
    LOOK_FOR_MORE_MS = 1000,
    NEXT_JOIN_US = 3000000, /* the first to join may wait for a group that is slow */
};

Partition *partition_find(Worker *w, const BusTopic *topic, int32_t partition)
{
    for (size_t i = 0; i < w->n_partitions; i++)
        if (w->partitions[i].topic == topic && w->partitions[i].partition == partition)
            return w->partitions[i].fenced_us ? NULL : &w->partitions[i];
    return NULL;
}

void partitions_free(Worker *w)
{
    free(w->partitions);
    w->partitions = NULL;
    w->n_partitions = 0;
    for (size_t i = 0; i < ARRAY_SIZE(w->full_names); i++)
        free(w->full_names[i]);
    memset(w->full_names, 0, sizeof(w->full_names));
}

/* Kafka's name of a topic; lives as long as the worker, so that whatever points to it survives a rebalance. */
static const char *full_name(Worker *w, const BusTopic *topic)
{
    char **name = &w->full_names[topic - bus_topics];
    if (!*name)
        *name = bus_topic_full_name(w->config.kafka_topic_prefix, topic->name);
    return *name;
}

typedef struct Take {
    Worker *w;
    const char *cluster_id;
    Position *positions;
    size_t n;
} Take;

static int take_in_transaction(Repo *repo, void *arg)
{
    Take *take = arg;
    return position_take(repo, take->w->group, take->cluster_id, take->positions, take->n);
}

/* A stored position that the broker cannot serve would be a jump: an operator has to say what is right. */
static int check_position(Worker *w, const Position *taken, const BusWatermarks *mark)
{
    const char *topic = taken->topic;
    int partition = (int)taken->partition;

    if (taken->other_cluster)
        return worker_fail(
            w, EXIT_CONFIG,
            "the position of group %s on %s/%d belongs to another Kafka cluster; if this broker is the right "
            "one, forget the old positions: decnetctl positions forget %s",
            w->group, topic, partition, w->group);
    if (taken->next_offset > mark->high)
        return worker_fail(
            w, EXIT_CONFIG,
            "the position of group %s on %s/%d is %lld, but the partition ends at %lld: the topic was made anew; "
            "to read it from its beginning: decnetctl positions forget %s %s",
            w->group, topic, partition, (long long)taken->next_offset, (long long)mark->high, w->group, topic);
    if (taken->next_offset < mark->low)
        return worker_fail(
            w, EXIT_CONFIG,
            "retention overtook group %s on %s/%d: it stands at %lld, the oldest record kept is %lld; to go on "
            "there and accept the loss: decnetctl positions set %s %s %d %lld",
            w->group, topic, partition, (long long)taken->next_offset, (long long)mark->low, w->group, topic, partition,
            (long long)mark->low);
    return 0;
}

static int read_watermarks(BusConsumer *consumer, const BusPosition *list, size_t n, BusWatermarks **ret)
{
    *ret = calloc(n + 1, sizeof(**ret));
    if (!*ret)
        abort();
    for (size_t i = 0; i < n; i++)
        (*ret)[i] = (BusWatermarks){.topic = list[i].topic, .partition = list[i].partition};
    return bus_consumer_watermarks(consumer, *ret, n, METADATA_TIMEOUT_MS);
}

/* The entry of a partition, made if it is new. */
static Partition *entry(Worker *w, const BusTopic *topic, int32_t partition)
{
    for (size_t i = 0; i < w->n_partitions; i++)
        if (w->partitions[i].topic == topic && w->partitions[i].partition == partition)
            return &w->partitions[i];
    Partition *grown = realloc(w->partitions, (w->n_partitions + 1) * sizeof(*grown));
    if (!grown)
        abort();
    w->partitions = grown;
    w->partitions[w->n_partitions] =
        (Partition){.topic = topic, .full_name = full_name(w, topic), .partition = partition};
    return &w->partitions[w->n_partitions++];
}

/* Take over @list: raise the epochs, learn the start offsets. A positive outcome of the bus: try again later. */
static int take_once(Worker *w, BusConsumer *consumer, BusPosition *list, size_t n)
{
    cleanup(freep) BusWatermarks *marks = NULL;
    cleanup(freep) Position *positions = calloc(n + 1, sizeof(*positions));
    const char *cluster_id;

    int r = bus_consumer_cluster_id(consumer, METADATA_TIMEOUT_MS, &cluster_id);
    r = r ? r : read_watermarks(consumer, list, n, &marks);
    if (r != 0)
        return r;
    if (!positions)
        abort();
    for (size_t i = 0; i < n; i++)
        positions[i] = (Position){
            .topic = full_name(w, list[i].topic), .partition = list[i].partition, .next_offset = marks[i].low};
    Take take = {w, cluster_id, positions, n};
    r = repo_transaction(w->repo, take_in_transaction, &take);
    if (r != 0)
        return r == REPO_E_RETRY || r == REPO_E_IN_DOUBT ? BUS_E_AWAY : worker_fail_repo(w, r);
    for (size_t i = 0; i < n; i++) {
        r = check_position(w, &positions[i], &marks[i]);
        if (r != 0)
            return r;
        Partition *p = entry(w, list[i].topic, list[i].partition);
        p->epoch = positions[i].epoch;
        p->next_offset = p->taken_offset = list[i].offset = positions[i].next_offset;
        p->goal_offset = marks[i].high;
        p->fenced_us = 0;
    }
    return 0;
}

static int fail_bus(Worker *w, int outcome)
{
    return worker_fail(w, outcome == BUS_E_NO_TOPIC || outcome == BUS_E_REJECTED ? EXIT_CONFIG : 1, "Kafka: %s",
                       intake_error(w));
}

/* Words for a wait: whoever is away. */
static const char *why(Worker *w)
{
    return repo_is_connected(w->repo) ? intake_error(w) : repo_error_text(w->repo);
}

int partitions_take(Worker *w, BusConsumer *consumer, BusPosition *list, size_t n)
{
    w->troubled = consumer;
    for (;;) {
        int r = n ? take_once(w, consumer, list, n) : 0;
        if (r <= 0)
            return r;
        if (r != BUS_E_AWAY && r != BUS_E_TIMEOUT)
            return fail_bus(w, r);
        r = loop_hold(w, why(w));
        if (r != 0)
            return r;
    }
}

/* --solo: every partition of a topic. */
static int take_topic(Worker *w, size_t i)
{
    const BusTopic *const topics[] = {w->topics[i], NULL};
    cleanup(freep) BusPosition *list = NULL;
    size_t n;

    for (;;) {
        free(TAKE_PTR(list));
        w->troubled = w->consumers[i];
        int r = bus_consumer_partitions(w->consumers[i], topics, METADATA_TIMEOUT_MS, &list, &n);
        r = r ? r : partitions_take(w, w->consumers[i], list, n);
        r = r ? r : bus_consumer_assign(w->consumers[i], list, n, METADATA_TIMEOUT_MS);
        if (r <= 0)
            return r;
        if (r != BUS_E_AWAY && r != BUS_E_TIMEOUT)
            return fail_bus(w, r);
        r = loop_hold(w, intake_error(w));
        if (r != 0)
            return r;
    }
}

/* One consumer after the other: members that join at the same moment throw each other back, and librdkafka tries only
 * once a second. Alone the first has its partitions in a few milliseconds and works on while the next one joins. */
static int join_next(Worker *w)
{
    const BusTopic *const topics[] = {w->topics[w->n_joining], NULL};

    w->troubled = w->consumers[w->n_joining];
    w->next_join_us = clock_monotonic_us() + NEXT_JOIN_US;
    return bus_consumer_join(w->consumers[w->n_joining++], topics);
}

static bool may_join_next(const Worker *w)
{
    return !w->config.solo && w->n_joining < w->n_topics &&
           (w->joined[w->n_joining - 1] || clock_monotonic_us() >= w->next_join_us);
}

int partitions_start(Worker *w)
{
    int r = 0;

    w->next_look_us = clock_monotonic_us() + LOOK_FOR_MORE_US;
    for (size_t i = 0; w->config.solo && r == 0 && i < w->n_topics; i++) {
        w->troubled = w->consumers[i];
        r = take_topic(w, i);
    }
    if (!w->config.solo && w->n_topics)
        r = join_next(w);
    return r == 0 || w->failure || r == -ECANCELED ? r : fail_bus(w, r);
}

int partitions_resolve_doubt(Worker *w, const PositionAdvance *advances, size_t n, bool *ret_committed)
{
    cleanup(freep) Position *positions = calloc(n + 1, sizeof(*positions));
    size_t reached = 0;

    if (!positions)
        abort();
    for (size_t i = 0; i < n; i++)
        positions[i] =
            (Position){.topic = advances[i].topic, .partition = advances[i].partition, .epoch = advances[i].epoch};
    int r = position_read(w->repo, w->group, positions, n);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (!positions[i].owned)
            return REPO_E_FENCED;
        reached += positions[i].next_offset == advances[i].to_offset;
    }
    *ret_committed = r == 0 && n > 0 && reached == n;
    return r;
}

int64_t partitions_goal_lag(const Worker *w)
{
    int64_t lag = 0;
    for (size_t i = 0; i < w->n_partitions; i++)
        lag += MAX(w->partitions[i].goal_offset - w->partitions[i].next_offset, (int64_t)0);
    return lag;
}

/* The ends of the partitions of one topic, as they are now. A broker that is away is asked again by the next look. */
static int renew_topic_goals(Worker *w, size_t topic)
{
    cleanup(freep) BusPosition *list = calloc(w->n_partitions + 1, sizeof(*list));
    cleanup(freep) BusWatermarks *marks = NULL;
    size_t n = 0;

    if (!list)
        abort();
    for (size_t i = 0; i < w->n_partitions; i++)
        if (w->partitions[i].topic == w->topics[topic])
            list[n++] = (BusPosition){.topic = w->topics[topic], .partition = w->partitions[i].partition};
    int r = n ? read_watermarks(w->consumers[topic], list, n, &marks) : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        Partition *p = entry(w, list[i].topic, list[i].partition);
        p->goal_offset = MAX(p->goal_offset, marks[i].high);
    }
    return r;
}

bool partitions_renew_goals(Worker *w)
{
    for (size_t i = 0; i < w->n_topics; i++)
        if (renew_topic_goals(w, i) != 0)
            return false;
    return true;
}

static void hint_topic(Worker *w, size_t topic)
{
    cleanup(freep) BusPosition *list = calloc(w->n_partitions + 1, sizeof(*list));
    size_t n = 0;

    if (!list)
        abort();
    for (size_t i = 0; i < w->n_partitions; i++)
        if (w->partitions[i].topic == w->topics[topic] && !w->partitions[i].fenced_us)
            list[n++] = (BusPosition){w->topics[topic], w->partitions[i].partition, w->partitions[i].next_offset};
    bus_consumer_commit_hint(w->consumers[topic], list, n);
}

void partitions_hint(Worker *w)
{
    for (size_t i = 0; i < w->n_topics && !intake_rebalancing(w); i++) /* never inside a rebalance */
        hint_topic(w, i);
}

/* A partition that was fenced and is still assigned to us: its position was moved by an operator, or whoever took it is
 * gone. The group says it is ours, so take it again. */
static int retake(Worker *w, Partition *p)
{
    BusPosition at = {p->topic, p->partition, 0};
    BusConsumer *consumer = intake_of(w, p->topic);
    int r = partitions_take(w, consumer, &at, 1);

    if (r != 0)
        return r;
    log_notice("retaken", "%s/%d is still assigned to this process: going on at offset %lld", full_name(w, at.topic),
               (int)at.partition, (long long)at.offset);
    r = bus_consumer_seek(consumer, &at, METADATA_TIMEOUT_MS);
    if (r == 0 && !w->holding && !w->paused)
        r = bus_consumer_resume(consumer, at.topic, at.partition);
    return r == 0 || r == BUS_E_TIMEOUT ? 0 : fail_bus(w, r);
}

static size_t partitions_of(const Worker *w, const BusTopic *topic)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_partitions; i++)
        n += w->partitions[i].topic == topic;
    return n;
}

/* --solo: a group would notice by itself that a topic got more partitions. */
static int look_for_more(Worker *w, size_t i)
{
    const BusTopic *const topics[] = {w->topics[i], NULL};
    cleanup(freep) BusPosition *list = NULL;
    size_t n = 0;

    if (bus_consumer_partitions(w->consumers[i], topics, LOOK_FOR_MORE_MS, &list, &n) != 0 ||
        n <= partitions_of(w, w->topics[i]))
        return 0;
    log_notice("partitions_added", "%s has %zu partitions now: taking all of them anew", full_name(w, w->topics[i]), n);
    for (size_t k = 0; k < w->n_partitions; k++) /* polled and not committed: read again */
        if (w->partitions[k].topic == w->topics[i])
            batch_drop_partition(w->filling, w->topics[i], w->partitions[k].partition);
    return take_topic(w, i);
}

int partitions_tick(Worker *w)
{
    int64_t now_us = clock_monotonic_us();
    int r = may_join_next(w) ? join_next(w) : 0;

    if (r != 0)
        return fail_bus(w, r);
    if (now_us < w->next_partitions_us)
        return 0;
    w->next_partitions_us = now_us + TICK_US;
    for (size_t i = 0; r == 0 && i < w->n_partitions; i++)
        if (w->partitions[i].fenced_us && now_us - w->partitions[i].fenced_us > FENCED_WAIT_US)
            r = retake(w, &w->partitions[i]);
    if (r == 0 && w->config.solo && now_us >= w->next_look_us) {
        w->next_look_us = now_us + LOOK_FOR_MORE_US;
        for (size_t i = 0; r == 0 && i < w->n_topics && !intake_is_away(w); i++)
            r = look_for_more(w, i);
    }
    return r;
}
