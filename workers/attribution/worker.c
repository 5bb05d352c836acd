/* The attribution worker: sessions and observations in, states of behaviour out.
 *
 * A session that ended becomes observations, which are published and come back like those of other sensors. An
 * observation is stored with its envelope, so that the event is enough; then the series that it belongs to is judged.
 * What others change about series is left as marks, and taken up between batches. */
#include "attribution/worker.h"

#include <stdio.h>
#include <string.h>

#include "attribution/primitives.h"
#include "attribution/profiles.h"
#include "attribution/sessions.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/metrics.h"
#include "repo/attackers.h"
#include "repo/attribution.h"
#include "repo/series.h"

enum { MARKS_AT_ONCE = 100, IDLE_US = 1000000 };

static Metric extracted = {.name = "decnet_attribution_extracted_total",
                           .help = "Observations computed from sessions and published.",
                           .type = METRIC_COUNTER};
static Metric commands_ignored = {.name = "decnet_attribution_commands_over_limit_total",
                                  .help = "Commands beyond the limit per session, not looked at.",
                                  .type = METRIC_COUNTER};
static Metric sessions_without_end = {.name = "decnet_attribution_sessions_without_end_total",
                                      .help = "Sessions that do not say when they ended: nothing can be observed.",
                                      .type = METRIC_COUNTER};
static Metric stubs_made = {.name = "decnet_attribution_identities_total",
                            .help = "Identities founded for attackers without one.",
                            .type = METRIC_COUNTER};
static Metric unknown_names = {.name = "decnet_attribution_unknown_primitives_total",
                               .help = "Observations of primitives that the registry does not know.",
                               .type = METRIC_COUNTER};

static void count_outcome(RowOutcome outcome)
{
    static const char *const names[] = {
        [ROW_UNCHANGED] = "known", [ROW_NEW] = "new", [ROW_CHANGED] = "changed", [ROW_STALE] = "stale"};
    static Metric *counters[ARRAY_SIZE(names)];

    if (!counters[outcome])
        counters[outcome] =
            metric_labelled("decnet_attribution_observations_total", "Observations by what became of them.",
                            METRIC_COUNTER, "outcome", names[outcome]);
    metric_add(counters[outcome], 1);
}

/* What prepare() makes of a record. */
typedef struct Decoded {
    SessionEnded *session; /* NULL: an observation */
    Observation observation;
    AttributionValue value; /* of the observation */
    /* apply() */
    AttackerRef *attacker; /* of the session */
    StubIdentity *stub;    /* of the observation */
} Decoded;

/* --- decoding --- */

static void prepare_session(WorkerEvent *event, Decoded *d)
{
    d->session = arena_alloc(event->arena, sizeof(*d->session));
    EventReject reject = session_ended_decode(event->arena, event->payload, d->session);

    if (reject != EVENT_OK)
        event_refuse(event, event_reject_name(reject),
                     "attacker.session.ended: a required key is missing or of a wrong type");
    else if (!d->session->attacker_ip[0] && !d->session->has_attacker_uuid)
        event_refuse(event, event_reject_name(EVENT_NO_ANCHOR), "neither an attacker address nor an attacker uuid");
}

static void prepare_observation(WorkerEvent *event, Decoded *d)
{
    static const char *const messages[] = {
        [EVENT_MALFORMED] = "attacker.observation: a required key is missing, of a wrong type or no number",
        [EVENT_SCHEMA] = "attacker.observation: the version of the envelope is newer than this program",
        [EVENT_OVERSIZE] = "attacker.observation: value or evidence_ref is above its limit",
        [EVENT_NO_ANCHOR] = "attacker.observation: no attacker uuid",
    };
    Observation *o = &d->observation;
    EventReject reject = observation_decode(event->arena, event->payload, o);

    if (reject == EVENT_OK && o->has_envelope && attribution_value_read(event->arena, o->value, &d->value) != 0)
        reject = EVENT_MALFORMED;
    if (reject != EVENT_OK)
        event_refuse(event, event_reject_name(reject), messages[reject]);
    else if (!primitive_find(o->primitive))
        metric_add(&unknown_names, 1);
}

static void prepare(Worker *w, WorkerEvent *event)
{
    Decoded *d = arena_calloc(event->arena, 1, sizeof(*d));

    (void)w;
    event->decoded = d;
    if (event->topic == &bus_topics[BUS_ATTACKER_SESSION_ENDED])
        prepare_session(event, d);
    else
        prepare_observation(event, d);
}

/* --- sessions --- */

static int resolve_attackers(Worker *w, Batch *batch)
{
    size_t n = batch_count(batch), k = 0;
    AttackerRef *refs = arena_calloc(worker_scratch(w), n + 1, sizeof(*refs));

    for (size_t i = 0; i < n; i++) {
        WorkerEvent *e = batch_event(batch, i);
        Decoded *d = e->decoded;
        if (e->state != EVENT_LIVE || !d->session)
            continue;
        refs[k] = (AttackerRef){.ip = d->session->attacker_ip,
                                .uuid = d->session->has_attacker_uuid ? &d->session->attacker_uuid : NULL};
        d->attacker = &refs[k++];
    }
    int r = k ? attackers_resolve(worker_repo(w), refs, k) : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        WorkerEvent *e = batch_event(batch, i);
        Decoded *d = e->decoded;
        if (e->state == EVENT_LIVE && d->session && !d->attacker->exists)
            event_defer(e, d->session->attacker_ip, d->session->has_attacker_uuid ? &d->session->attacker_uuid : NULL);
    }
    return r;
}

static void emit(void *to, const char *topic, Str decnet_topic, const Uuid *event_id, Str key, Str payload)
{
    worker_emit(to, topic, decnet_topic, event_id, key, payload);
}

static int publish_news(Worker *w, const Observation *observations, size_t n)
{
    size_t n_news;

    int r = observations_send_news(worker_repo(w), worker_scratch(w), observations, n, emit, w, &n_news);
    metric_add(&extracted, (double)n_news);
    return r;
}

static int observe_sessions(Worker *w, Batch *batch)
{
    Arena *arena = worker_scratch(w);
    size_t n = batch_count(batch), n_sessions = 0, n_all = 0, n_one, ignored;

    for (size_t i = 0; i < n; i++)
        n_sessions +=
            batch_event(batch, i)->state == EVENT_LIVE && ((Decoded *)batch_event(batch, i)->decoded)->session;
    if (n_sessions == 0)
        return 0;
    Observation *all = arena_calloc(arena, n_sessions * EXTRACTOR_PRIMITIVES, sizeof(*all));
    for (size_t i = 0; i < n; i++) {
        const WorkerEvent *e = batch_event(batch, i);
        const Decoded *d = e->decoded;
        if (e->state != EVENT_LIVE || !d->session)
            continue;
        int r = session_observe(worker_repo(w), arena, d->session, &d->attacker->found, all + n_all, &n_one, &ignored);
        if (r != 0)
            return r;
        n_all += n_one;
        metric_add(&commands_ignored, (double)ignored);
        metric_add(&sessions_without_end, !extractor_can_place(d->session->ended_at_us));
    }
    return publish_news(w, all, n_all);
}

/* --- observations --- */

/* The live observations of a batch, their attackers, each once, and what the repository makes of both. */
typedef struct Intake {
    Decoded **decoded;
    StubIdentity *stubs;     /* in the order of the attackers */
    StoredObservation *rows; /* of those with an envelope */
    const Decoded **sources; /* of the rows */
    size_t n, n_stubs, n_rows;
} Intake;

/* From batch to batch. A replay brings one batch of stored rows after the other. */
typedef struct Memory {
    bool met_stored; /* rows of the last batch were stored already */
} Memory;

static void announce_stub(Worker *w, const StubIdentity *stub, int64_t seq)
{
    cleanup(buf_free) Buf buf = {0};
    char identity[UUID_TEXT_BYTES];
    IdentityFormed event = {.identity_uuid = stub->identity_uuid,
                            .observation_uuids = &stub->attacker_uuid,
                            .n_observation_uuids = 1,
                            .seq = seq,
                            .ts_us = stub->last_seen_us};
    Uuid id = identity_formed_id(&event);

    uuid_format(identity, &stub->identity_uuid);
    identity_formed_encode(&event, &id, &buf);
    worker_emit(w, "identity.formed", STR("identity.formed"), &id, str_from(identity), buf_str(&buf));
}

static int announce_stubs(Worker *w, const StubIdentity *stubs, size_t n)
{
    size_t n_new = 0, next = 0;

    for (size_t i = 0; i < n; i++)
        n_new += stubs[i].is_new;
    if (n_new == 0)
        return 0;
    int64_t *numbers = arena_calloc(worker_scratch(w), n_new, sizeof(*numbers));
    int r = series_event_numbers(worker_repo(w), (int64_t)n_new, numbers);
    for (size_t i = 0; r == 0 && i < n; i++)
        if (stubs[i].is_new)
            announce_stub(w, &stubs[i], numbers[next++]);
    metric_add(&stubs_made, (double)n_new);
    return r;
}

static int by_attacker(const void *a, const void *b)
{
    const Decoded *x = *(Decoded *const *)a, *y = *(Decoded *const *)b;
    return uuid_cmp(&x->observation.attacker_uuid, &y->observation.attacker_uuid);
}

/* Sessions leave many observations of one attacker. */
static void find_attackers(Arena *arena, Intake *in)
{
    Decoded **sorted = arena_calloc(arena, in->n + 1, sizeof(*sorted));

    memcpy(sorted, in->decoded, in->n * sizeof(*sorted));
    qsort(sorted, in->n, sizeof(*sorted), by_attacker);
    in->stubs = arena_calloc(arena, in->n + 1, sizeof(*in->stubs));
    for (size_t i = 0; i < in->n; i++) {
        if (i == 0 || by_attacker(&sorted[i - 1], &sorted[i]) != 0)
            in->stubs[in->n_stubs++].attacker_uuid = sorted[i]->observation.attacker_uuid;
        sorted[i]->stub = &in->stubs[in->n_stubs - 1];
    }
}

static int find_identities(Worker *w, Batch *batch, Intake *in)
{
    Arena *arena = worker_scratch(w);
    size_t n = batch_count(batch);

    in->decoded = arena_calloc(arena, n + 1, sizeof(*in->decoded));
    for (size_t i = 0; i < n; i++) {
        Decoded *d = batch_event(batch, i)->decoded;
        if (batch_event(batch, i)->state == EVENT_LIVE && !d->session)
            in->decoded[in->n++] = d;
    }
    find_attackers(arena, in);
    int r = in->n_stubs ? attribution_ensure_stubs(worker_repo(w), in->stubs, in->n_stubs) : 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        WorkerEvent *e = batch_event(batch, i);
        const Decoded *d = e->decoded;
        if (e->state == EVENT_LIVE && !d->session && !d->stub->exists)
            event_defer(e, d->observation.attacker_ip, &d->observation.attacker_uuid);
    }
    return r ? r : announce_stubs(w, in->stubs, in->n_stubs);
}

static int store(Worker *w, Intake *in)
{
    Arena *arena = worker_scratch(w);

    in->rows = arena_calloc(arena, in->n + 1, sizeof(*in->rows));
    in->sources = arena_calloc(arena, in->n + 1, sizeof(*in->sources));
    for (size_t i = 0; i < in->n; i++) {
        const Decoded *d = in->decoded[i];
        if (!d->stub->exists || !d->observation.has_envelope)
            continue;
        in->rows[in->n_rows] = observation_row(&d->observation);
        in->sources[in->n_rows++] = d;
    }
    Memory *memory = worker_data(w);
    int r = in->n_rows ? observations_upsert(worker_repo(w), in->rows, in->n_rows, memory->met_stored, arena) : 0;
    if (r != 0 || in->n_rows == 0)
        return r;
    memory->met_stored = false;
    for (size_t i = 0; i < in->n_rows; i++) {
        count_outcome(in->rows[i].outcome);
        memory->met_stored |= in->rows[i].outcome != ROW_NEW;
    }
    return 0;
}

/* An event without its envelope says that others stored something: a mark for later, many hints being one look. */
static int mark_hints(Worker *w, const Intake *in)
{
    Arena *arena = worker_scratch(w);
    Uuid *attackers = arena_calloc(arena, in->n + 1, sizeof(*attackers));
    Str *names = arena_calloc(arena, in->n + 1, sizeof(*names));
    size_t n = 0;

    for (size_t i = 0; i < in->n; i++) {
        const Decoded *d = in->decoded[i];
        if (!d->stub->exists || d->observation.has_envelope)
            continue;
        attackers[n] = d->observation.attacker_uuid;
        names[n++] = d->observation.primitive;
    }
    if (n)
        worker_ask_for_work(w);
    return series_mark_attackers(worker_repo(w), attackers, names, n);
}

/* A row that moved to another attacker is missing elsewhere: only the observations themselves tell what is left. */
static size_t changes_of(const Worker *w, const StoredObservation *row, const Decoded *d, SeriesChange *ret)
{
    const Observation *o = &d->observation;
    size_t n = 0;

    if (!primitive_has_state(o->primitive, str_from(worker_config(w)->stateless_primitives)))
        return 0;
    AttributionRow in = {.value = d->value,
                         .ts = o->ts,
                         .evidence_ref = o->evidence_ref,
                         .kind = primitive_value_kind(o->primitive, o->value_kind)};
    bool moved = row->outcome == ROW_CHANGED && uuid_cmp(&row->old_attacker_uuid, &o->attacker_uuid) != 0;
    ret[n++] = (SeriesChange){.identity = o->attacker_uuid,
                              .primitive = o->primitive,
                              .has_row = true,
                              .is_new = row->outcome == ROW_NEW,
                              .read_all = moved,
                              .row = in};
    if (moved)
        ret[n++] = (SeriesChange){.identity = row->old_attacker_uuid, .primitive = o->primitive, .read_all = true};
    return n;
}

/* Until here `identity` holds the attacker. Those of attackers that have none, or are gone, fall out. */
static int own(Worker *w, SeriesChange *changes, size_t *n)
{
    SeriesOwner *owners = arena_calloc(worker_scratch(w), *n + 1, sizeof(*owners));
    size_t kept = 0;

    for (size_t i = 0; i < *n; i++)
        owners[i].attacker = changes[i].identity;
    int r = series_lock(worker_repo(w), owners, *n);
    for (size_t i = 0; r == 0 && i < *n; i++) {
        if (!owners[i].found)
            continue;
        changes[i].identity = owners[i].identity;
        changes[kept++] = changes[i];
    }
    *n = kept;
    return r;
}

static int judge(Worker *w, const Intake *in)
{
    size_t n = 0, n_moves = 0;

    for (size_t i = 0; i < in->n_rows; i++)
        n_moves += in->rows[i].outcome == ROW_CHANGED;
    SeriesChange *changes = arena_calloc(worker_scratch(w), in->n_rows + n_moves + 1, sizeof(*changes));
    for (size_t i = 0; i < in->n_rows; i++)
        if (in->rows[i].outcome == ROW_NEW || in->rows[i].outcome == ROW_CHANGED)
            n += changes_of(w, &in->rows[i], in->sources[i], &changes[n]);
    if (n == 0)
        return 0;
    int r = own(w, changes, &n);
    return r ? r : profiles_apply(w, changes, n);
}

/* What was stored already may have come there without us: by a producer that stores its rows itself, or in another life
 * of the states. */
static int mark_unjudged(Worker *w, const Intake *in)
{
    Arena *arena = worker_scratch(w);
    Uuid *attackers = arena_calloc(arena, in->n_rows + 1, sizeof(*attackers));
    Str *names = arena_calloc(arena, in->n_rows + 1, sizeof(*names));
    double *ts = arena_calloc(arena, in->n_rows + 1, sizeof(*ts));
    size_t n = 0, n_marked = 0;

    for (size_t i = 0; i < in->n_rows; i++) {
        const Observation *o = &in->sources[i]->observation;
        if (in->rows[i].outcome == ROW_NEW || in->rows[i].outcome == ROW_CHANGED ||
            !primitive_has_state(o->primitive, str_from(worker_config(w)->stateless_primitives)))
            continue;
        attackers[n] = o->attacker_uuid;
        names[n] = o->primitive;
        ts[n++] = o->ts;
    }
    int r = series_mark_unjudged(worker_repo(w), attackers, names, ts, n, &n_marked);
    if (n_marked)
        worker_ask_for_work(w);
    return r;
}

static int apply(Worker *w, Batch *batch)
{
    Intake in = {0};

    int r = resolve_attackers(w, batch);
    r = r ? r : observe_sessions(w, batch);
    r = r ? r : find_identities(w, batch, &in);
    r = r ? r : store(w, &in);
    r = r ? r : mark_hints(w, &in);
    r = r ? r : judge(w, &in);
    return r ? r : mark_unjudged(w, &in);
}

/* --- marks that others left --- */

/* Attackers of marks get their identity, and stand for it from then on. */
static int marked_identities(Worker *w, const SeriesDirty *marks, size_t n, Uuid *identities, bool *found)
{
    Arena *arena = worker_scratch(w);
    StubIdentity *stubs = arena_calloc(arena, n + 1, sizeof(*stubs));
    size_t n_stubs = 0, next = 0;

    for (size_t i = 0; i < n; i++)
        if (marks[i].is_attacker)
            stubs[n_stubs++].attacker_uuid = marks[i].uuid;
    int r = n_stubs ? attribution_ensure_stubs(worker_repo(w), stubs, n_stubs) : 0;
    r = r ? r : announce_stubs(w, stubs, n_stubs);
    for (size_t i = 0; r == 0 && i < n; i++) {
        const StubIdentity *stub = marks[i].is_attacker ? &stubs[next++] : NULL;
        identities[i] = stub ? stub->identity_uuid : marks[i].uuid;
    }
    return r ? r : series_lock_identities(worker_repo(w), identities, found, n);
}

static SeriesChange whole_series(const Worker *w, const Uuid *identity, Str primitive)
{
    return (SeriesChange){.identity = *identity,
                          .primitive = primitive,
                          .read_all = true,
                          .drops = !primitive_has_state(primitive, str_from(worker_config(w)->stateless_primitives))};
}

/* Every series that the marks mean. */
static int marked_series(Worker *w, const SeriesDirty *marks, const Uuid *identities, const bool *found, size_t n,
                         SeriesChange **ret_changes, size_t *ret_n)
{
    Arena *arena = worker_scratch(w);
    Uuid *whole = arena_calloc(arena, n + 1, sizeof(*whole));
    SeriesKey *keys = NULL;
    size_t n_whole = 0, n_keys = 0, k = 0;

    for (size_t i = 0; i < n; i++)
        if (found[i] && !marks[i].primitive.data)
            whole[n_whole++] = identities[i];
    int r = n_whole ? series_primitives(worker_repo(w), arena, whole, n_whole, &keys, &n_keys) : 0;
    if (r != 0)
        return r;
    *ret_changes = arena_calloc(arena, n_keys + n + 1, sizeof(**ret_changes));
    for (size_t i = 0; i < n_keys; i++)
        (*ret_changes)[k++] = whole_series(w, &keys[i].identity, keys[i].primitive);
    for (size_t i = 0; i < n; i++)
        if (found[i] && marks[i].primitive.data)
            (*ret_changes)[k++] = whole_series(w, &identities[i], marks[i].primitive);
    *ret_n = k;
    return 0;
}

static int take_marks(Worker *w, void *arg)
{
    Arena *arena = worker_scratch(w);
    SeriesDirty *marks = NULL;
    SeriesChange *changes = NULL;
    size_t n = 0, n_changes = 0;

    int r = series_take_marks(worker_repo(w), arena, MARKS_AT_ONCE, &marks, &n);
    *(size_t *)arg = n;
    if (r != 0 || n == 0)
        return r;
    Uuid *identities = arena_calloc(arena, n, sizeof(*identities));
    bool *found = arena_calloc(arena, n, sizeof(*found));
    r = marked_identities(w, marks, n, identities, found);
    r = r ? r : marked_series(w, marks, identities, found, n, &changes, &n_changes);
    return r ? r : profiles_apply(w, changes, n_changes);
}

static int work(Worker *w, int64_t now_us, int64_t *ret_next_us)
{
    size_t n = 0;
    int r = worker_transaction(w, take_marks, &n);

    *ret_next_us = n == MARKS_AT_ONCE ? now_us : now_us + IDLE_US;
    return r;
}

static int start(Worker *w)
{
    Memory *memory = calloc(1, sizeof(*memory));
    if (!memory)
        abort();
    worker_set_data(w, memory);
    return 0;
}

static void stop(Worker *w)
{
    free(worker_data(w));
}

static const char *const topics[] = {"attacker.session.ended", "attacker.observation", NULL};

const WorkerSpec attribution_worker = {
    .name = "attribution",
    .summary =
        "Follows how attackers behave, and tells when that changes: attacker.session.ended and attacker.observation\n"
        "in, rows of observations and attribution_state, attribution.profile.* and identity.formed out.",
    .topics = topics,
    /* Observations are small, and those of one series in one batch are judged and written once. */
    .batch_records = "4000",
    .start = start,
    .prepare = prepare,
    .apply = apply,
    .work = work,
    .stop = stop,
};
