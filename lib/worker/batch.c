/* Filling a batch: envelope, payload and prepare() for each record as it comes. */
#include <errno.h>
#include <string.h>

#include "internal.h"

Batch *batch_new(Worker *w, size_t cap)
{
    Batch *b = calloc(1, sizeof(*b));
    if (!b || !(b->events = calloc(cap, sizeof(*b->events))))
        abort();
    b->worker = w;
    b->cap = cap;
    b->arena = arena_new();
    b->views = arena_new();
    return b;
}

void batch_reset(Batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        bus_record_free(b->events[i].record);
    memset(b->events, 0, b->n * sizeof(*b->events));
    b->n = b->bytes = b->begin = b->end = 0;
    b->deferred_ids = NULL;
    arena_reset(b->arena);
}

void batch_free(Batch *b)
{
    if (!b)
        return;
    batch_reset(b);
    free(b->events);
    arena_free(b->arena);
    arena_free(b->views);
    free(b);
}

bool batch_is_full(const Batch *b)
{
    const Config *c = &b->worker->config;
    return b->n >= b->cap || b->n >= (size_t)c->batch_records || b->bytes >= (size_t)c->batch_bytes;
}

size_t batch_count(const Batch *batch)
{
    return batch->end - batch->begin;
}

WorkerEvent *batch_event(const Batch *batch, size_t i)
{
    assert(i < batch_count(batch));
    return &batch->events[batch->begin + i];
}

void event_defer(WorkerEvent *event, const char *wait_ip, const Uuid *wait_uuid)
{
    event->state = EVENT_DEFERRED;
    event->wait_ip[0] = '\0';
    if (wait_ip)
        strncat(event->wait_ip, wait_ip, sizeof(event->wait_ip) - 1);
    event->wait_uuid = wait_uuid ? *wait_uuid : (Uuid){{0}};
}

void event_refuse(WorkerEvent *event, const char *reason, const char *message)
{
    event->state = EVENT_DEAD;
    event->reason = reason;
    event->message = message;
    event->sqlstate = "";
}

static const char *reject_message(EventReject reject)
{
    static const char *const messages[] = {
        [EVENT_MALFORMED] = "the value is not a JSON object with the keys of its type",
        [EVENT_SCHEMA] = "the schema version is newer than this program",
        [EVENT_OVERSIZE] = "the value is larger than 1 MiB",
        [EVENT_NO_ANCHOR] = "neither an attacker address nor an attacker uuid",
    };
    return messages[reject];
}

/* Everything of a record that needs no database. Its own state afterwards is where every run of apply() starts. */
static void prepare(Batch *b, WorkerEvent *e)
{
    EventReject reject = event_payload_parse(b->views, e->arena, e->value, &e->payload);
    EventReject envelope = event_envelope(e->headers, e->n_headers, e->payload, str_from(e->topic->name), e->partition,
                                          e->offset, e->timestamp_us, &e->envelope);
    if (envelope != EVENT_OK && reject != EVENT_OVERSIZE) /* what we cannot read may be of a newer schema */
        reject = envelope;
    if (reject != EVENT_OK)
        event_refuse(e, event_reject_name(reject), reject_message(reject));
    else
        b->worker->spec->prepare(b->worker, e);
    e->payload = NULL;
    arena_reset(b->views);
    e->prepared_state = e->state;
}

void batch_drop_partition(Batch *b, const BusTopic *topic, int32_t partition)
{
    for (size_t i = 0; i < b->n && !b->deferred_ids; i++)
        if (b->events[i].topic == topic && b->events[i].partition == partition)
            b->events[i].state = b->events[i].prepared_state = EVENT_GONE;
}

/* Take over a record: envelope, payload, prepare(). */
static void add_record(Batch *b, BusRecord *record)
{
    WorkerEvent *e = &b->events[b->n];
    Partition *p = partition_find(b->worker, record->topic, record->partition);

    if (!p) { /* fenced, and not yet taken from us: whoever has it now reads it too */
        bus_record_free(record);
        return;
    }
    *e = (WorkerEvent){
        .topic = record->topic,
        .partition = record->partition,
        .offset = record->offset,
        .timestamp_us = record->timestamp_us == TIME_NONE ? clock_now_us() : record->timestamp_us,
        .key = record->key,
        .value = record->value,
        .headers = record->headers,
        .n_headers = record->n_headers,
        .arena = b->arena,
        .record = record,
    };
    if (b->n++ == 0)
        b->first_us = clock_monotonic_us();
    b->bytes += record->value.len;
    p->taken_offset = record->offset + 1;
    prepare(b, e);
    metric_add(&worker_metrics.records, 1);
}

/* Headers as they were kept: [[name, value], …]. */
static EventHeader *read_headers(Arena *arena, Str json, size_t *ret_n)
{
    cleanup(json_putp) json_object *list = json_parse(json);
    size_t n = list && json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0, kept = 0;
    EventHeader *headers = arena_calloc(arena, n + 1, sizeof(*headers));
    for (size_t i = 0; i < n; i++) {
        json_object *pair = json_object_array_get_idx(list, i);
        if (!json_object_is_type(pair, json_type_array) || json_object_array_length(pair) != 2)
            continue;
        headers[kept++] = (EventHeader){str_dup(arena, json_str(json_object_array_get_idx(pair, 0))),
                                        str_dup(arena, json_str(json_object_array_get_idx(pair, 1)))};
    }
    *ret_n = kept;
    return headers;
}

void batch_set_deferred(Batch *b, size_t i, const KeptRecord *kept)
{
    WorkerEvent *e = &b->events[i], earlier = *e;

    *e = (WorkerEvent){
        .topic = bus_topic_find(str_from(kept->topic)),
        .partition = kept->partition,
        .offset = kept->offset,
        .timestamp_us = kept->record_time_us,
        .key = kept->key,
        .value = kept->value,
        .arena = b->arena,
        .deferred_id = kept->id,
        .attempts = kept->attempts,
        .first_seen_us = kept->first_seen_us,
    };
    e->headers = read_headers(b->arena, kept->headers_json, &e->n_headers);
    if (e->topic) {
        prepare(b, e);
    } else { /* a release that no longer knows the topic */
        e->topic = &bus_topics[0];
        event_refuse(e, "schema", "the topic of this record is not in the table of topics");
    }
    if (earlier.isolated) { /* the row was read again, the verdict stands */
        event_refuse(e, earlier.reason, earlier.message);
        e->sqlstate = earlier.sqlstate;
        e->isolated = true;
    }
    e->prepared_state = e->state;
}

bool batch_fill_one(Worker *w, int *ret_outcome)
{
    BusRecord *record = NULL;
    int64_t start_us = clock_monotonic_us();

    *ret_outcome = 0;
    if (batch_is_full(w->filling))
        return false;
    int r = intake_poll(w, &record);
    int64_t polled_us = clock_monotonic_us();
    w->poll_s += (double)(polled_us - start_us) / 1e6;
    if (r != 0) {
        *ret_outcome = r;
        return false;
    }
    add_record(w->filling, record);
    w->prepare_s += (double)(clock_monotonic_us() - polled_us) / 1e6;
    return !batch_is_full(w->filling);
}
