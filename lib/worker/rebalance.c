/* The group moves partitions. What is given up is forgotten at once: its uncommitted records are read by the next
 * owner, from the position in PostgreSQL. What is taken is fenced first. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "internal.h"

static const char *const move_names[] = {[BUS_MOVE_NONE] = "none",
                                         [BUS_MOVE_ASSIGNED] = "assigned",
                                         [BUS_MOVE_REVOKED] = "revoked",
                                         [BUS_MOVE_LOST] = "lost"};

static void forget(Worker *w, const BusTopic *topic, int32_t partition)
{
    batch_drop_partition(w->filling, topic, partition);
    batch_drop_partition(w->applying, topic, partition);
    for (size_t i = 0; i < w->n_partitions; i++) {
        if (w->partitions[i].topic != topic || w->partitions[i].partition != partition)
            continue;
        w->partitions[i] = w->partitions[--w->n_partitions];
        return;
    }
}

static int give_up(Worker *w, BusConsumer *consumer, const BusRebalance *move)
{
    for (size_t i = 0; i < move->n; i++)
        forget(w, move->partitions[i].topic, move->partitions[i].partition);
    return bus_consumer_answer(consumer, NULL, 0);
}

static int take(Worker *w, BusConsumer *consumer, const BusRebalance *move)
{
    size_t n = move->n;
    cleanup(freep) BusPosition *list = calloc(n + 1, sizeof(*list));

    if (!list)
        abort();
    if (n)
        memcpy(list, move->partitions, n * sizeof(*list));
    int r = partitions_take(w, consumer, list, n);
    if (r != 0)
        return r;
    r = bus_consumer_answer(consumer, list, n);
    if (r == 0 && (w->holding || w->paused)) /* they begin unpaused */
        r = bus_consumer_pause_all(consumer);
    for (size_t i = 0; i < w->n_topics; i++)
        w->joined[i] |= r == 0 && w->consumers[i] == consumer;
    return r;
}

bool rebalance_all_joined(const Worker *w)
{
    for (size_t i = 0; i < w->n_topics && !w->config.solo; i++)
        if (!w->joined[i])
            return false;
    return true;
}

static int answer(Worker *w, BusConsumer *consumer)
{
    BusRebalance move = bus_consumer_rebalance(consumer);
    BusMove kind = move.move;
    const BusTopic *topic = move.n ? move.partitions[0].topic : NULL; /* the list ends with the answer */
    size_t n = move.n;

    int r = kind == BUS_MOVE_ASSIGNED ? take(w, consumer, &move) : give_up(w, consumer, &move);
    if (r == -ECANCELED)
        return r;
    if (r != 0)
        return w->failure ? r : worker_fail(w, 1, "Kafka: %s", bus_consumer_error(consumer));
    metric_set(&worker_metrics.partitions, (double)w->n_partitions);
    if (n) {
        LogField fields[] = {{"DECNET_TOPIC", topic->name}, {"DECNET_MOVE", move_names[kind]}, {0}};
        log_write(LOG_LEVEL_NOTICE, "rebalance", fields, "%zu partitions of %s %s, %zu now", n, topic->name,
                  move_names[kind], w->n_partitions);
    }
    return 0;
}

int rebalance_answer(Worker *w, bool may_take)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < w->n_topics; i++) {
        BusMove move = bus_consumer_rebalance(w->consumers[i]).move;
        if (move != BUS_MOVE_NONE && (move != BUS_MOVE_ASSIGNED || may_take))
            r = answer(w, w->consumers[i]);
    }
    return r;
}

static int read_epochs(Worker *w, Position *positions)
{
    for (size_t i = 0; i < w->n_partitions; i++)
        positions[i] = (Position){.topic = w->partitions[i].full_name,
                                  .partition = w->partitions[i].partition,
                                  .epoch = w->partitions[i].epoch};
    for (;;) {
        int r = repo_connect(w->repo);
        r = r ? r : position_read(w->repo, w->group, positions, w->n_partitions);
        if (r != REPO_E_RETRY)
            return r == 0 ? 0 : worker_fail_repo(w, r);
        r = loop_hold(w, repo_error_text(w->repo));
        if (r != 0)
            return r;
    }
}

int rebalance_drop_fenced(Worker *w)
{
    cleanup(freep) Position *positions = calloc(w->n_partitions + 1, sizeof(*positions));
    size_t n_before = w->n_partitions, n_fenced = 0;

    if (!positions)
        abort();
    metric_add(&worker_metrics.fenced, 1);
    if (w->config.solo)
        return worker_fail(
            w, 1,
            "another process took over the partitions of group %s (%s); with solo only one may run: stop the "
            "other one or this one",
            w->group, repo_error_text(w->repo));
    int r = read_epochs(w, positions);
    if (r != 0 || w->n_partitions != n_before) /* a rebalance meanwhile said more than the epochs can */
        return r;
    for (size_t i = 0; i < w->n_partitions; i++) {
        Partition *p = &w->partitions[i];
        if (positions[i].owned && positions[i].next_offset == p->next_offset)
            continue;
        n_fenced += !p->fenced_us;
        p->fenced_us = p->fenced_us ? p->fenced_us : clock_monotonic_us();
        batch_drop_partition(w->filling, p->topic, p->partition);
        batch_drop_partition(w->applying, p->topic, p->partition);
        (void)!bus_consumer_pause(intake_of(w, p->topic), p->topic, p->partition);
    }
    log_warning("fenced", "another process took over %zu of our %zu partitions; their transaction was refused",
                n_fenced, w->n_partitions);
    return 0;
}
