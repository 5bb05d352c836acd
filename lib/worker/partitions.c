/* Partitions and positions: what this process owns, where it stands, and whether it may go on there. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "internal.h"

enum { METADATA_TIMEOUT_MS = 5000, EXIT_CONFIG = 78 };

Partition *partition_find(Worker *w, const BusTopic *topic, int32_t partition)
{
    for (size_t i = 0; i < w->n_partitions; i++)
        if (w->partitions[i].topic == topic && w->partitions[i].partition == partition)
            return &w->partitions[i];
    assert(!"a record of a partition that was not assigned");
    return NULL;
}

void partitions_free(Worker *w)
{
    for (size_t i = 0; i < w->n_partitions; i++)
        free(w->partitions[i].full_name);
    free(w->partitions);
    w->partitions = NULL;
    w->n_partitions = 0;
}

static int list_partitions(Worker *w, const BusTopic *const *topics)
{
    cleanup(freep) BusPosition *found = NULL;
    size_t n;
    int r = bus_consumer_partitions(w->consumer, topics, METADATA_TIMEOUT_MS, &found, &n);

    if (r != 0)
        return r;
    partitions_free(w);
    w->partitions = calloc(n + 1, sizeof(*w->partitions));
    if (!w->partitions)
        abort();
    for (size_t i = 0; i < n; i++)
        w->partitions[w->n_partitions++] = (Partition){
            .topic = found[i].topic,
            .partition = found[i].partition,
            .full_name = bus_topic_full_name(w->config.kafka_topic_prefix, found[i].topic->name),
        };
    return 0;
}

static int read_watermarks(Worker *w, BusWatermarks *marks)
{
    for (size_t i = 0; i < w->n_partitions; i++)
        marks[i] = (BusWatermarks){.topic = w->partitions[i].topic, .partition = w->partitions[i].partition};
    return bus_consumer_watermarks(w->consumer, marks, w->n_partitions, METADATA_TIMEOUT_MS);
}

typedef struct Take {
    Worker *w;
    const char *cluster_id;
    Position *positions;
} Take;

static int take_in_transaction(Repo *repo, void *arg)
{
    Take *take = arg;
    return position_take(repo, take->w->group, take->cluster_id, take->positions, take->w->n_partitions);
}

/* A stored position that the broker cannot serve would be a jump: an operator has to say what is right. */
static int check_position(Worker *w, const Partition *p, const Position *taken, const BusWatermarks *mark)
{
    if (taken->other_cluster)
        return worker_fail(
            w, EXIT_CONFIG,
            "the position of group %s on %s/%d belongs to another Kafka cluster; if this broker is the right "
            "one, forget the old positions: decnetctl positions forget %s",
            w->group, p->full_name, (int)p->partition, w->group);
    if (taken->next_offset > mark->high)
        return worker_fail(
            w, EXIT_CONFIG,
            "the position of group %s on %s/%d is %lld, but the partition ends at %lld: the topic was made anew; "
            "to read it from its beginning: decnetctl positions forget %s %s",
            w->group, p->full_name, (int)p->partition, (long long)taken->next_offset, (long long)mark->high, w->group,
            p->full_name);
    if (taken->next_offset < mark->low)
        return worker_fail(
            w, EXIT_CONFIG,
            "retention overtook group %s on %s/%d: it stands at %lld, the oldest record kept is %lld; to go on "
            "there and accept the loss: decnetctl positions set %s %s %d %lld",
            w->group, p->full_name, (int)p->partition, (long long)taken->next_offset, (long long)mark->low, w->group,
            p->full_name, (int)p->partition, (long long)mark->low);
    return 0;
}

static int assign(Worker *w)
{
    cleanup(freep) BusPosition *list = calloc(w->n_partitions + 1, sizeof(*list));
    if (!list)
        abort();
    for (size_t i = 0; i < w->n_partitions; i++)
        list[i] = (BusPosition){w->partitions[i].topic, w->partitions[i].partition, w->partitions[i].next_offset};
    return bus_consumer_assign(w->consumer, list, w->n_partitions, METADATA_TIMEOUT_MS);
}

static int take_once(Worker *w, const BusTopic *const *topics)
{
    const char *cluster_id;
    int r = list_partitions(w, topics);
    r = r ? r : bus_consumer_cluster_id(w->consumer, METADATA_TIMEOUT_MS, &cluster_id);
    if (r != 0)
        return r;
    cleanup(freep) BusWatermarks *marks = calloc(w->n_partitions + 1, sizeof(*marks));
    cleanup(freep) Position *positions = calloc(w->n_partitions + 1, sizeof(*positions));
    if (!marks || !positions)
        abort();
    r = read_watermarks(w, marks);
    if (r != 0)
        return r;
    for (size_t i = 0; i < w->n_partitions; i++)
        positions[i] = (Position){
            .topic = w->partitions[i].full_name, .partition = w->partitions[i].partition, .next_offset = marks[i].low};
    Take take = {w, cluster_id, positions};
    r = repo_transaction(w->repo, take_in_transaction, &take);
    if (r != 0)
        return r == REPO_E_RETRY || r == REPO_E_IN_DOUBT ? BUS_E_AWAY : worker_fail_repo(w, r);
    for (size_t i = 0; i < w->n_partitions; i++) {
        Partition *p = &w->partitions[i];
        r = check_position(w, p, &positions[i], &marks[i]);
        if (r != 0)
            return r;
        p->epoch = positions[i].epoch;
        p->next_offset = p->taken_offset = positions[i].next_offset;
        p->goal_offset = marks[i].high;
    }
    return assign(w);
}

static int fail_bus(Worker *w, int outcome)
{
    return worker_fail(w, outcome == BUS_E_NO_TOPIC || outcome == BUS_E_REJECTED ? EXIT_CONFIG : 1, "Kafka: %s",
                       bus_consumer_error(w->consumer));
}

int partitions_take(Worker *w)
{
    size_t n = 0;
    while (w->spec->topics[n])
        n++;
    if (n == 0)
        return 0;
    cleanup(freep) const BusTopic **topics = calloc(n + 1, sizeof(*topics));
    if (!topics)
        abort();
    for (size_t i = 0; i < n; i++)
        topics[i] = bus_topic_find(str_from(w->spec->topics[i]));
    for (;;) {
        int r = take_once(w, topics);
        if (r <= 0)
            return r;
        if (r != BUS_E_AWAY && r != BUS_E_TIMEOUT)
            return fail_bus(w, r);
        r = loop_hold(w, repo_is_connected(w->repo) ? bus_consumer_error(w->consumer) : repo_error_text(w->repo));
        if (r != 0)
            return r;
    }
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

void partitions_hint(Worker *w)
{
    cleanup(freep) BusPosition *list = calloc(w->n_partitions + 1, sizeof(*list));
    if (!list)
        abort();
    for (size_t i = 0; i < w->n_partitions; i++)
        list[i] = (BusPosition){w->partitions[i].topic, w->partitions[i].partition, w->partitions[i].next_offset};
    if (w->n_partitions)
        bus_consumer_commit_hint(w->consumer, list, w->n_partitions);
}
