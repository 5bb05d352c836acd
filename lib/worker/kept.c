/* Records kept aside: dead letters with their projection on dlq.<group>, and deferrals with their timetable. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "internal.h"

/* Design 3: tried again after 2 s, 10 s, 60 s, 10 min and 1 h, then a dead letter. */
static const int64_t delays_us[] = {2 * US_PER_S, 10 * US_PER_S, 60 * US_PER_S, 600 * US_PER_S, 3600 * US_PER_S};

/* Up to a fifth earlier or later, so that a crowd that failed together does not come back together. */
int64_t deferral_delay_us(int attempts)
{
    int64_t delay_us = delays_us[MIN((size_t)attempts, ARRAY_SIZE(delays_us) - 1)];
    return delay_us * 4 / 5 + random() % (delay_us * 2 / 5);
}

static Str headers_json(Arena *arena, const EventHeader *headers, size_t n)
{
    cleanup(buf_free) Buf buf = {0};
    JsonWriter w = {&buf};

    json_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        json_begin_array(&w);
        json_value_str(&w, headers[i].name.data ? headers[i].name : STR(""));
        json_value_str(&w, headers[i].value.data ? headers[i].value : STR(""));
        json_end_array(&w);
    }
    json_end_array(&w);
    return str_dup(arena, buf_str(&buf));
}

static KeptRecord kept_of(Worker *w, const WorkerEvent *e, int64_t now_us)
{
    return (KeptRecord){
        .id = e->deferred_id,
        .topic = arena_printf(w->scratch, "%s%s", w->config.kafka_topic_prefix, e->topic->name),
        .partition = e->partition,
        .offset = e->offset,
        .record_time_us = e->timestamp_us,
        .key = e->key,
        .value = e->value,
        .headers_json = headers_json(w->scratch, e->headers, e->n_headers),
        .wait_ip = e->wait_ip,
        .wait_uuid = uuid_is_zero(&e->wait_uuid) ? NULL : &e->wait_uuid,
        .attempts = e->deferred_id ? e->attempts + 2 : 1, /* the first try, those of the timetable, this one */
        .reason = e->reason,
        .sqlstate = e->sqlstate,
        .message = e->message,
        .event_id = &e->envelope.event_id,
        .first_seen_us = e->first_seen_us ? e->first_seen_us : now_us,
    };
}

/* The projection: the original bytes, with where they came from and why they are here in headers. A value that no
 * broker would take stays in the table only. */
static void emit_dead(Worker *w, const WorkerEvent *e, const KeptRecord *k, int64_t now_us)
{
    const BusTopic *dlq = bus_topic_dlq(w->spec->name);
    char id[UUID_TEXT_BYTES], at[TIME_TEXT_BYTES];
    bool fits = e->value.len <= LIMIT_EVENT_BYTES;
    EventHeader headers[10];
    size_t n = 0;

    if (!dlq)
        return;
    uuid_format(id, &e->envelope.event_id);
    time_format(at, now_us);
    headers[n++] = (EventHeader){STR(BUS_HEADER_EVENT_ID), str_from(id)};
    headers[n++] = (EventHeader){STR(BUS_HEADER_EVENT_TYPE), str_from(e->topic->name)};
    headers[n++] = (EventHeader){STR(BUS_HEADER_SCHEMA_VERSION), STR(BUS_SCHEMA_VERSION)};
    headers[n++] = (EventHeader){STR("decnet-orig-topic"), str_from(k->topic)};
    headers[n++] =
        (EventHeader){STR("decnet-orig-partition"), str_from(arena_printf(w->scratch, "%d", (int)e->partition))};
    headers[n++] =
        (EventHeader){STR("decnet-orig-offset"), str_from(arena_printf(w->scratch, "%lld", (long long)e->offset))};
    headers[n++] = (EventHeader){STR("decnet-error"), str_from(e->reason)};
    headers[n++] = (EventHeader){STR("decnet-error-at"), str_from(at)};
    headers[n++] = (EventHeader){STR("decnet-attempt"), str_from(arena_printf(w->scratch, "%d", k->attempts))};
    if (!fits)
        headers[n++] = (EventHeader){STR("decnet-value"), STR("too large; see table dead_letter")};
    outbox_add_raw(w->outbox, dlq->name, e->key, fits ? e->value : STR(""), headers, n);
}

static int write_dead(Worker *w, const Batch *b, KeptRecord *rows, int64_t now_us)
{
    size_t n = 0;
    for (size_t i = b->begin; i < b->end; i++) {
        const WorkerEvent *e = &b->events[i];
        if (e->state != EVENT_DEAD)
            continue;
        rows[n] = kept_of(w, e, now_us);
        emit_dead(w, e, &rows[n], now_us);
        n++;
    }
    return n ? dead_letter_insert(w->repo, w->group, rows, n) : 0;
}

static int write_deferred(Worker *w, const Batch *b, KeptRecord *rows, int64_t now_us)
{
    size_t n = 0;
    for (size_t i = b->begin; i < b->end; i++) {
        const WorkerEvent *e = &b->events[i];
        if (e->state != EVENT_DEFERRED)
            continue;
        rows[n] = kept_of(w, e, now_us);
        rows[n].attempts = b->deferred_ids ? e->attempts + 1 : 0;
        rows[n].next_attempt_us = now_us + deferral_delay_us(rows[n].attempts);
        n++;
    }
    return n == 0            ? 0
           : b->deferred_ids ? deferred_postpone(w->repo, rows, n)
                             : deferred_insert(w->repo, w->group, rows, n);
}

/* Deferred rows whose event is applied or dead have done their duty. */
static int delete_finished(Worker *w, const Batch *b)
{
    cleanup(freep) int64_t *ids = malloc((b->end - b->begin + 1) * sizeof(*ids));
    size_t n = 0;
    if (!ids)
        abort();
    for (size_t i = b->begin; i < b->end; i++)
        if (b->events[i].state == EVENT_LIVE || b->events[i].state == EVENT_DEAD)
            ids[n++] = b->deferred_ids[i];
    return n ? deferred_delete(w->repo, ids, n) : 0;
}

int kept_write(Worker *w, Batch *b)
{
    bool any = b->deferred_ids != NULL;
    int64_t now_us = 0;

    for (size_t i = b->begin; i < b->end; i++) {
        WorkerEvent *e = &b->events[i];
        if (e->state == EVENT_DEFERRED && b->deferred_ids && (size_t)e->attempts + 1 >= ARRAY_SIZE(delays_us))
            event_refuse(e, "unresolved_attacker", "no row of this attacker appeared in over an hour");
        any |= e->state == EVENT_DEFERRED || e->state == EVENT_DEAD;
    }
    if (!any)
        return 0;
    cleanup(freep) KeptRecord *rows = calloc(b->end - b->begin + 1, sizeof(*rows));
    if (!rows)
        abort();
    int r = repo_now(w->repo, &now_us);
    r = r ? r : write_dead(w, b, rows, now_us);
    r = r ? r : write_deferred(w, b, rows, now_us);
    return r == 0 && b->deferred_ids ? delete_finished(w, b) : r;
}

int deferral_run(Worker *w, bool *ret_any)
{
    int64_t ids[LIMIT_DEFERRED_BATCH];
    size_t n;

    *ret_any = false;
    int r = repo_connect(w->repo);
    r = r ? r : deferred_due(w->repo, w->group, true, LIMIT_DEFERRED_BATCH, ids, &n);
    if (r != 0)
        return r == REPO_E_RETRY ? 0 : worker_fail_repo(w, r); /* the next batch notices and backs off */
    if (n == 0)
        return 0;
    Batch *b = batch_new(w, n);
    b->n = n;
    b->deferred_ids = arena_alloc(b->arena, n * sizeof(*ids));
    memcpy(b->deferred_ids, ids, n * sizeof(*ids));
    r = batch_commit(w, b);
    batch_free(b);
    *ret_any = r == 0;
    return r;
}
