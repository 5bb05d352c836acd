#include "outbox.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/limits.h"
#include "base/metrics.h"
#include "repo/runtime.h"
#include "worker/pack.h"

enum {
    DELETE_AFTER_US = 1000000,
    RELAY_EVERY_US = 1000000,
    WRITE_ROWS = 16,
    RELAY_ROWS = 16,
    RELAY_TIMEOUT_MS = 5000,
    STEP_EVENTS = 16, /* some 0.1 ms */
    DAMAGED_MAX = 256
};

static Metric published = {
    .name = "decnet_outbox_published_total", .help = "Events acknowledged by the broker.", .type = METRIC_COUNTER};
static Metric failed = {.name = "decnet_outbox_failed_total",
                        .help = "Deliveries that failed; their rows are relayed later.",
                        .type = METRIC_COUNTER};
static Metric relayed = {.name = "decnet_outbox_relayed_total",
                         .help = "Events of rows that an earlier run left behind.",
                         .type = METRIC_COUNTER};
static Metric pending_bytes = {
    .name = "decnet_outbox_pending_bytes", .help = "Bytes published and not yet acknowledged.", .type = METRIC_GAUGE};

/* One row of event_outbox on its way. */
typedef struct Pack {
    struct Pack *next;
    int64_t id; /* 0 until written */
    Buf bytes;  /* freed once handed to librdkafka, which keeps copies */
    Buf sealed; /* as it is stored; freed by then as well */
    size_t size_bytes;
    size_t at; /* events before this place were handed over */
    int n_events, outstanding;
    bool failed;  /* a delivery failed: the row stays for the relay */
    bool damaged; /* its bytes are no pack */
    bool sent;    /* all its events were handed over */
} Pack;

struct Outbox {
    const Config *config;
    const char *producer_name, *source;
    BusProducer *producer;
    Pack *collected, **collected_end; /* of the running transaction */
    Pack *flying, **flying_end;       /* committed, oldest first: being published, or not yet acknowledged */
    size_t flying_bytes;
    OutboxGate gate;
    void *gate_arg;
    int64_t *acked; /* rows to delete */
    size_t n_acked, cap_acked, n_deleting;
    int64_t damaged[DAMAGED_MAX]; /* rows that the relay cannot read and goes round */
    size_t n_damaged;
    size_t n_relayed; /* events, since outbox_take_relayed() */
    int64_t oldest_acked_us, next_relay_us;
    bool broken;  /* librdkafka gave the producer up */
    Arena *arena; /* scratch of one call */
};

static void acked_add(Outbox *o, int64_t id)
{
    if (o->n_acked == o->cap_acked) {
        o->cap_acked = MAX(o->cap_acked * 2, (size_t)64);
        int64_t *grown = realloc(o->acked, o->cap_acked * sizeof(*grown));
        if (!grown)
            abort();
        o->acked = grown;
    }
    if (o->n_acked == 0)
        o->oldest_acked_us = clock_monotonic_us();
    o->acked[o->n_acked++] = id;
}

static void pack_free(Pack *p)
{
    if (p) {
        buf_free(&p->bytes);
        buf_free(&p->sealed);
    }
    free(p);
}

static void packs_free(Pack *p)
{
    while (p) {
        Pack *next = p->next;
        pack_free(p);
        p = next;
    }
}

/* Take settled packs out of the list: all acknowledged ones are to be deleted, failed ones are left to the relay. */
static void settle(Outbox *o)
{
    Pack **at = &o->flying;
    while (*at) {
        Pack *p = *at;
        if (!p->sent || p->outstanding > 0) {
            at = &p->next;
            continue;
        }
        if (!p->failed)
            acked_add(o, p->id);
        o->flying_bytes -= p->size_bytes;
        *at = p->next;
        pack_free(p);
    }
    o->flying_end = at;
    metric_set(&pending_bytes, (double)o->flying_bytes);
}

static void delivered(void *arg, void *opaque, int err)
{
    Pack *pack = opaque;
    (void)arg;
    pack->outstanding--;
    if (err != 0)
        pack->failed = true;
    metric_add(err == 0 ? &published : &failed, 1);
}

int outbox_new(const Config *config, const char *producer, const char *source, Outbox **ret, char **ret_error)
{
    Outbox *o = calloc(1, sizeof(*o));
    if (!o)
        abort();
    *o = (Outbox){.config = config, .producer_name = producer, .source = source, .arena = arena_new()};
    o->collected_end = &o->collected;
    o->flying_end = &o->flying;
    int r = bus_producer_open(config, delivered, o, &o->producer, ret_error);
    if (r != 0) {
        outbox_free(o);
        return r;
    }
    *ret = o;
    return 0;
}

void outbox_free(Outbox *o)
{
    if (!o)
        return;
    bus_producer_close(o->producer);
    packs_free(o->collected);
    packs_free(o->flying);
    free(o->acked);
    arena_free(o->arena);
    free(o);
}

void outbox_begin(Outbox *o)
{
    packs_free(o->collected);
    o->collected = NULL;
    o->collected_end = &o->collected;
    o->n_deleting = 0;
}

static Pack *open_pack(Outbox *o, size_t more_bytes)
{
    Pack *last = NULL;
    for (Pack *p = o->collected; p; p = p->next)
        last = p;
    if (last && last->bytes.len + more_bytes <= LIMIT_OUTBOX_ROW_BYTES)
        return last;
    if (last)
        pack_seal(&last->sealed, buf_str(&last->bytes)); /* now, as events are written while PostgreSQL works */
    Pack *p = calloc(1, sizeof(*p));
    if (!p)
        abort();
    if (last) /* many events: this pack will be as large as the last one */
        buf_reserve(&p->bytes, LIMIT_OUTBOX_ROW_BYTES);
    *o->collected_end = p;
    o->collected_end = &p->next;
    return p;
}

static void collect(Outbox *o, const PackedEvent *event)
{
    enum { FRAME_BYTES = 512 };
    Pack *p = open_pack(o, event->key.len + event->value.len + FRAME_BYTES);
    pack_add(&p->bytes, event);
    p->size_bytes = p->bytes.len;
    p->n_events++;
}

void outbox_add(Outbox *o, const char *topic, Str decnet_topic, const Uuid *event_id, Str key, Str payload)
{
    const BusTopic *row = bus_topic_find(str_from(topic));
    PackedEvent event = {.topic = str_from(topic), .key = key, .value = payload};
    char id[UUID_TEXT_BYTES];

    assert(row && payload.len <= LIMIT_EVENT_BYTES);
    uuid_format(id, event_id);
    arena_reset(o->arena);
    event.n_headers =
        bus_headers(o->arena, event.headers, row, str_from(id), decnet_topic, clock_now_us(), str_from(o->source));
    collect(o, &event);
}

void outbox_add_raw(Outbox *o, const char *topic, Str key, Str value, const EventHeader *headers, size_t n)
{
    PackedEvent event = {.topic = str_from(topic), .key = key, .value = value};
    event.n_headers = MIN(n, ARRAY_SIZE(event.headers));
    memcpy(event.headers, headers, event.n_headers * sizeof(*headers));
    collect(o, &event);
}

/* From *@p on, as many as go into one statement. */
static int write_some(Outbox *o, Repo *repo, Pack **p)
{
    OutboxRow rows[WRITE_ROWS];
    Pack *first = *p;
    size_t n = 0;

    for (; *p && n < WRITE_ROWS; *p = (*p)->next) {
        if (!(*p)->sealed.len)
            pack_seal(&(*p)->sealed, buf_str(&(*p)->bytes));
        rows[n++] = (OutboxRow){.n_events = (*p)->n_events, .events = buf_str(&(*p)->sealed)};
    }
    int r = outbox_rows_insert(repo, o->producer_name, rows, n);
    for (size_t i = 0; i < n; i++, first = first->next)
        first->id = rows[i].id;
    return r;
}

int outbox_write(Outbox *o, Repo *repo)
{
    int r = 0;
    for (Pack *p = o->collected; r == 0 && p;)
        r = write_some(o, repo, &p);
    o->n_deleting = o->n_acked;
    if (r == 0 && o->n_deleting)
        r = outbox_row_delete(repo, o->acked, o->n_deleting);
    return r;
}

/* One event to librdkafka. False: not now, the same one again later. */
static bool send_event(Outbox *o, Pack *p, const PackedEvent *event)
{
    const BusTopic *topic = bus_topic_find(event->topic);

    if (topic && o->gate && !o->gate(o->gate_arg, topic, event->key, event->value.len))
        return false;
    int r = topic ? bus_producer_send(o->producer, topic, event->key, event->value, event->headers, event->n_headers, p)
                  : BUS_E_NO_TOPIC;
    if (r == BUS_E_FULL)
        return false;
    p->outstanding += r == 0;
    p->failed |= r != 0 && r != BUS_E_TOO_LARGE; /* what the broker's limits forbid for ever is not relayed for ever */
    o->broken |= r < 0;
    return r >= 0;
}

/* Hand on what of a pack is not handed over yet, at most *max events; true when that is all of it. */
static bool publish(Outbox *o, Pack *p, int *max)
{
    PackedEvent event;
    size_t next = p->at;
    int more;

    while ((more = pack_next(buf_str(&p->bytes), &next, &event)) > 0) {
        if (*max == 0 || (!send_event(o, p, &event) && !o->broken))
            return false;
        p->at = next;
        --*max;
    }
    p->damaged = more < 0;
    p->failed |= p->damaged;
    p->sent = true;
    buf_free(&p->bytes);
    return true;
}

/* In order: a pack that has to wait holds back the ones behind it, so that no key is overtaken. */
static void publish_flying(Outbox *o, int *max)
{
    for (Pack *p = o->flying; p; p = p->next)
        if (!p->sent && !publish(o, p, max))
            return;
}

static void publish_all(Outbox *o)
{
    publish_flying(o, &(int){INT_MAX});
}

void outbox_set_gate(Outbox *o, OutboxGate gate, void *arg)
{
    o->gate = gate;
    o->gate_arg = arg;
}

void outbox_release(Outbox *o)
{
    publish_all(o); /* what an earlier transaction left: at most one is ever behind */
    o->n_acked -= o->n_deleting;
    if (o->n_acked > 0)
        memmove(o->acked, o->acked + o->n_deleting, o->n_acked * sizeof(*o->acked));
    o->n_deleting = 0;
    o->oldest_acked_us = clock_monotonic_us();
    while (o->collected) {
        Pack *p = o->collected;
        o->collected = p->next;
        if (o->flying_bytes > LIMIT_OUTBOX_PENDING_BYTES) { /* the broker is behind: the relay brings it later */
            pack_free(p);
            continue;
        }
        p->next = NULL;
        buf_free(&p->sealed);
        *o->flying_end = p;
        o->flying_end = &p->next;
        o->flying_bytes += p->size_bytes;
    }
    o->collected_end = &o->collected;
}

void outbox_committed(Outbox *o)
{
    outbox_release(o);
    outbox_poll(o, 0);
}

void outbox_poll(Outbox *o, int timeout_ms)
{
    publish_all(o);
    bus_producer_poll(o->producer, timeout_ms);
    settle(o);
}

bool outbox_step(Outbox *o)
{
    int max = STEP_EVENTS;

    publish_flying(o, &max);
    if (max == 0)
        return true;
    bus_producer_poll(o->producer, 0);
    settle(o);
    return false;
}

static int delete_acked(Repo *repo, void *arg)
{
    Outbox *o = arg;
    return outbox_row_delete(repo, o->acked, o->n_acked);
}

static int delete_now(Outbox *o, Repo *repo)
{
    if (o->n_acked == 0)
        return 0;
    int r = repo_transaction(repo, delete_acked, o);
    if (r == 0 || r == REPO_E_IN_DOUBT) /* deleting twice does no harm, so doubt needs no answer */
        o->n_acked = 0;
    return r == REPO_E_IN_DOUBT ? 0 : r;
}

/* Ids that the relay leaves alone: this process itself has them in the air, or cannot read them. */
static size_t own_ids(const Outbox *o, int64_t **ret)
{
    size_t n = 0;
    for (const Pack *p = o->flying; p; p = p->next)
        n++;
    *ret = arena_alloc(o->arena, (n + o->n_acked + o->n_damaged + 1) * sizeof(**ret));
    n = 0;
    for (const Pack *p = o->flying; p; p = p->next)
        (*ret)[n++] = p->id;
    for (size_t i = 0; i < o->n_acked; i++)
        (*ret)[n++] = o->acked[i];
    for (size_t i = 0; i < o->n_damaged; i++)
        (*ret)[n++] = o->damaged[i];
    return n;
}

/* A new producer; what the old one had in the air is reported as failed and left to the relay. */
static int reopen(Outbox *o)
{
    char *error = NULL;

    bus_producer_close(TAKE_PTR(o->producer));
    settle(o);
    int r = bus_producer_open(o->config, delivered, o, &o->producer, &error);
    free(error); /* the same configuration worked before: what can fail now is memory or threads */
    o->broken = false;
    return r;
}

typedef struct Relay {
    Outbox *o;
    int64_t min_age_ms;
    bool more;
} Relay;

/* Publish one row and wait for the broker; true when every event of it was acknowledged. */
static int relay_row(Outbox *o, const OutboxRow *row, bool *ret_through, bool *ret_damaged)
{
    Pack pack = {.id = row->id};
    int r = 0;

    pack.damaged = pack_unseal(&pack.bytes, row->events) != 0;
    if (pack.damaged)
        pack.failed = pack.sent = true;
    else
        (void)publish(o, &pack, &(int){INT_MAX}); /* what the gate holds back leaves the row for later */
    if (bus_producer_flush(o->producer, RELAY_TIMEOUT_MS) != 0 && pack.outstanding > 0)
        r = reopen(o); /* its delivery calls must not outlive the pack */
    *ret_through = pack.sent && !pack.failed;
    if (pack.damaged && o->n_damaged < DAMAGED_MAX)
        o->damaged[o->n_damaged++] = row->id;
    *ret_damaged = pack.damaged;
    buf_free(&pack.bytes);
    return r;
}

/* The rows stay locked while their events are published, so that no second relay takes them up. */
static int relay_some(Repo *repo, void *arg)
{
    Relay *relay = arg;
    Outbox *o = relay->o;
    OutboxRow *rows;
    int64_t *skip;
    bool through = true, damaged = false;
    size_t n;

    arena_reset(o->arena);
    size_t n_skip = own_ids(o, &skip);
    int r = outbox_row_claim(repo, o->arena, o->producer_name, relay->min_age_ms, skip, n_skip, RELAY_ROWS, &rows, &n);
    relay->more = r == 0 && n == RELAY_ROWS;
    for (size_t i = 0; r == 0 && i < n && (through || damaged); i++) {
        r = relay_row(o, &rows[i], &through, &damaged);
        if (r == 0 && through) {
            o->n_relayed += (size_t)rows[i].n_events;
            metric_add(&relayed, rows[i].n_events);
            r = outbox_row_delete(repo, &rows[i].id, 1);
        }
    }
    relay->more &= through || damaged;
    return r;
}

static int relay_left_behind(Outbox *o, Repo *repo, int64_t relay_age_ms)
{
    Relay relay = {.o = o, .min_age_ms = relay_age_ms};
    int r = 0;
    do
        r = repo_transaction(repo, relay_some, &relay);
    while (r == 0 && relay.more);
    return r == REPO_E_IN_DOUBT ? 0 : r;
}

int outbox_tick(Outbox *o, Repo *repo, int64_t relay_age_ms)
{
    outbox_poll(o, 0);
    return outbox_upkeep(o, repo, relay_age_ms);
}

int outbox_upkeep(Outbox *o, Repo *repo, int64_t relay_age_ms)
{
    int64_t now_us = clock_monotonic_us();
    int r = 0;

    if (o->broken)
        r = reopen(o);
    if (r == 0 && o->n_acked && now_us - o->oldest_acked_us >= DELETE_AFTER_US)
        r = delete_now(o, repo);
    if (r == 0 && now_us >= o->next_relay_us && bus_producer_healthy(o->producer)) {
        o->next_relay_us = now_us + RELAY_EVERY_US;
        r = relay_left_behind(o, repo, relay_age_ms);
    }
    return r;
}

bool outbox_is_settled(const Outbox *o)
{
    return !o->flying && o->n_acked == 0;
}

size_t outbox_take_relayed(Outbox *o)
{
    size_t n = o->n_relayed;
    o->n_relayed = 0;
    return n;
}

size_t outbox_damaged_rows(const Outbox *o)
{
    return o->n_damaged;
}

size_t outbox_pending_bytes(const Outbox *o)
{
    return o->flying_bytes;
}

size_t outbox_outstanding(const Outbox *o)
{
    return bus_producer_outstanding(o->producer);
}

bool outbox_broker_healthy(const Outbox *o)
{
    return bus_producer_healthy(o->producer);
}

int outbox_drain(Outbox *o, Repo *repo, int timeout_ms)
{
    int64_t until_us = clock_monotonic_us() + timeout_ms * US_PER_MS;
    while (o->flying && clock_monotonic_us() < until_us) /* what is not through by then stays a row for the relay */
        outbox_poll(o, 50);
    return delete_now(o, repo);
}
