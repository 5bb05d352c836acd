/* The transaction of a batch: apply, dead letters, deferrals, outbox, positions, COMMIT; what to do with each outcome;
 * bisection until a record that can never be stored stands alone. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "internal.h"

enum { FK_TRIES = 5 };

/* Which positions the part [begin, end) moves, one entry per partition. */
static size_t collect_advances(Worker *w, const Batch *b, PositionAdvance *advances)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_partitions; i++) {
        const Partition *p = &w->partitions[i];
        if (p->fenced_us)
            continue;
        PositionAdvance a = {.topic = p->full_name,
                             .partition = p->partition,
                             .epoch = p->epoch,
                             .from_offset = p->next_offset,
                             .to_offset = p->next_offset,
                             .event_time_us = TIME_NONE};
        for (size_t k = b->begin; k < b->end; k++) {
            const WorkerEvent *e = &b->events[k];
            if (e->topic != p->topic || e->partition != p->partition || e->prepared_state == EVENT_GONE)
                continue; /* gone: polled before the partition left us; if it came back, it is read again */
            a.to_offset = MAX(a.to_offset, e->offset + 1);
            a.event_time_us = MAX(a.event_time_us, e->envelope.occurred_at_us);
        }
        if (a.to_offset != a.from_offset)
            advances[n++] = a;
    }
    return n;
}

/* Lock the deferred rows of the part and prepare them; a row that is gone was finished by another member. */
static int claim_deferred(Worker *w, Batch *b)
{
    KeptRecord *records;
    size_t n;

    for (size_t i = b->begin; i < b->end; i++)
        b->events[i].state = b->events[i].prepared_state = EVENT_GONE;
    int r = deferred_claim(w->repo, b->arena, b->deferred_ids + b->begin, b->end - b->begin, &records, &n);
    for (size_t i = b->begin, k = 0; r == 0 && i < b->end && k < n; i++) {
        if (b->deferred_ids[i] != records[k].id) /* both in id order */
            continue;
        /* Rows keep Kafka's names; the table of topics has none of the prefix. */
        size_t prefix = strlen(w->config.kafka_topic_prefix);
        records[k].topic += strncmp(records[k].topic, w->config.kafka_topic_prefix, prefix) == 0 ? prefix : 0;
        batch_set_deferred(b, i, &records[k++]);
    }
    return r;
}

static bool any_live(const Batch *b)
{
    for (size_t i = b->begin; i < b->end; i++)
        if (b->events[i].state == EVENT_LIVE)
            return true;
    return false;
}

static int write_all(Worker *w, Batch *b, const PositionAdvance *advances, size_t n_advances)
{
    int r = 0;

    outbox_begin(w->outbox);
    arena_reset(w->scratch);
    if (b->deferred_ids)
        r = claim_deferred(w, b);
    for (size_t i = b->begin; i < b->end; i++) /* an earlier run may have deferred or refused: decide anew */
        b->events[i].state = b->events[i].prepared_state;
    if (r == 0 && any_live(b))
        r = w->spec->apply(w, b);
    worker_meanwhile(w, NULL, NULL);
    r = r ? r : kept_write(w, b);
    r = r ? r : outbox_write(w->outbox, w->repo);
    if (r == 0 && n_advances)
        r = position_advance(w->repo, w->group, advances, n_advances);
    return r;
}

static int settle_doubt(Worker *w, const PositionAdvance *advances, size_t n_advances)
{
    bool committed = false;
    for (;;) {
        int r = repo_connect(w->repo);
        r = r ? r : partitions_resolve_doubt(w, advances, n_advances, &committed);
        if (r == 0)
            return committed ? 0 : REPO_E_RETRY;
        if (r != REPO_E_RETRY)
            return r;
        r = loop_hold(w, "the answer to COMMIT was lost");
        if (r != 0)
            return r;
    }
}

static int attempt(Worker *w, Batch *b)
{
    cleanup(freep) PositionAdvance *advances = calloc(w->n_partitions + 1, sizeof(*advances));
    size_t n_advances = 0;
    int64_t start_us = clock_monotonic_us();

    if (!advances)
        abort();
    if (!b->deferred_ids)
        n_advances = collect_advances(w, b, advances);
    int r = repo_connect(w->repo);
    r = r ? r : repo_begin(w->repo);
    r = r ? r : write_all(w, b, advances, n_advances);
    r = r ? r : repo_commit(w->repo);
    if (r == REPO_E_IN_DOUBT)
        r = settle_doubt(w, advances, n_advances);
    if (r != 0) {
        repo_rollback(w->repo);
        return r;
    }
    for (size_t i = 0; i < n_advances; i++)
        for (size_t k = 0; k < w->n_partitions; k++)
            if (w->partitions[k].full_name == advances[i].topic && w->partitions[k].partition == advances[i].partition)
                w->partitions[k].next_offset = advances[i].to_offset;
    outbox_release(w->outbox);
    breaker_note(w, b);
    metric_add(&worker_metrics.batches, 1);
    metric_observe(&worker_metrics.transaction_seconds, (double)(clock_monotonic_us() - start_us) / 1e6);
    return 0;
}

/* The one record that cannot be stored becomes a dead letter that says what PostgreSQL said. */
static void isolate(Worker *w, WorkerEvent *e)
{
    const RepoError *error = repo_error(w->repo);
    event_refuse(e, "rejected", arena_printf(e->arena, "%s", error->message));
    e->sqlstate = arena_printf(e->arena, "%s", error->sqlstate);
    e->prepared_state = EVENT_DEAD;
    e->isolated = true;
}

static int commit_part(Worker *w, Batch *b, size_t begin, size_t end)
{
    int fk_tries = 0;
    bool alone_refused = false;

    for (;;) {
        b->begin = begin;
        b->end = end;
        int r = attempt(w, b);
        if (r == REPO_E_FK && ++fk_tries < FK_TRIES)
            continue; /* an attacker row vanished between look-up and insert: look it up again */
        if (r == REPO_E_RETRY || r == REPO_E_FK) {
            metric_add(&worker_metrics.retries, 1);
            r = loop_hold(w, repo_error_text(w->repo));
            if (r != 0)
                return r;
            continue;
        }
        if (r == REPO_E_FENCED) {
            r = rebalance_drop_fenced(w);
            if (r != 0)
                return r;
            continue; /* what is left of the batch, without the partitions that went */
        }
        if (r != REPO_E_REJECTED)
            return r == 0 || r == -ECANCELED ? r : worker_fail_repo(w, r);
        if (end - begin > 1) {
            size_t middle = begin + (end - begin) / 2;
            metric_add(&worker_metrics.bisections, 1);
            r = commit_part(w, b, begin, middle);
            return r ? r : commit_part(w, b, middle, end);
        }
        if (alone_refused) /* not the record, but what we say of it: nothing that bisecting could mend */
            return worker_fail(w, 1, "a dead letter could not be stored: %s", repo_error_text(w->repo));
        isolate(w, &b->events[begin]);
        alone_refused = true;
    }
}

int batch_commit(Worker *w, Batch *b)
{
    int r = b->n ? commit_part(w, b, 0, b->n) : 0;
    if (r == 0)
        loop_recovered(w);
    return r;
}

typedef struct OwnTransaction {
    Worker *w;
    int (*fn)(Worker *w, void *arg);
    void *arg;
} OwnTransaction;

static int own_transaction(Repo *repo, void *arg)
{
    OwnTransaction *t = arg;
    outbox_begin(t->w->outbox);
    arena_reset(t->w->scratch);
    int r = t->fn(t->w, t->arg);
    return r ? r : outbox_write(t->w->outbox, repo);
}

int worker_transaction(Worker *w, int (*fn)(Worker *w, void *arg), void *arg)
{
    OwnTransaction t = {w, fn, arg};
    int r = repo_transaction(w->repo, own_transaction, &t);
    if (r == REPO_E_IN_DOUBT) /* if it was committed, the relay publishes its rows; @fn is run again by its caller */
        return REPO_E_RETRY;
    if (r == 0)
        outbox_committed(w->outbox);
    return r;
}

void worker_take_back_events(Worker *w)
{
    outbox_begin(w->outbox);
}

void worker_emit(Worker *w, const char *topic, Str decnet_topic, const Uuid *event_id, Str key, Str payload)
{
    for (size_t i = 0; i < w->n_topics; i++)
        w->fed_itself |= strcmp(w->topics[i]->name, topic) == 0;
    outbox_add(w->outbox, topic, decnet_topic, event_id, key, payload);
}

void worker_ask_for_work(Worker *w)
{
    w->next_work_us = 0;
}
