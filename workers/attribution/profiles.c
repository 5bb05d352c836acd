#include "profiles.h"

#include <stdio.h>
#include <string.h>

#include "attribution/multi_actor.h"
#include "attribution/primitives.h"
#include "base/limits.h"
#include "base/metrics.h"
#include "repo/series.h"

static Metric states_written = {.name = "decnet_attribution_states_written_total",
                                .help = "Rows of attribution_state written.",
                                .type = METRIC_COUNTER};
static Metric series_read_whole = {.name = "decnet_attribution_series_read_total",
                                   .help = "Series read from the observations, not from their packed end.",
                                   .type = METRIC_COUNTER};
static Metric values_skipped = {.name = "decnet_attribution_values_skipped_total",
                                .help = "Values that a numeric series could not use, each time it was judged.",
                                .type = METRIC_COUNTER};
static Metric hashes_capped = {.name = "decnet_attribution_hashes_capped_total",
                               .help = "Judgements of a hash series with more distinct values than are told apart.",
                               .type = METRIC_COUNTER};
static Metric suspicions = {.name = "decnet_attribution_suspicions_total",
                            .help = "Identities announced as the work of several hands.",
                            .type = METRIC_COUNTER};

static Metric suspicions_capped = {.name = "decnet_attribution_suspicions_capped_total",
                                   .help = "Of these, those with more primitives than one names.",
                                   .type = METRIC_COUNTER};

/* A series that this transaction looks at. */
typedef struct Profile {
    const SeriesChange *changes;
    size_t n_changes;
    bool read_all, drops;
    SeriesState stored;
    AttributionSeries series;
    AttributionStateRow prior;
    bool has_prior;
    AttributionTransition transition;
    SeriesState wanted;
} Profile;

/* All of them, with their keys side by side as the repository takes them. */
typedef struct Profiles {
    Worker *w;
    Repo *repo;
    Arena *arena;
    Profile *items;
    SeriesKey *keys;
    size_t n;
} Profiles;

/* --- which ones --- */

static int by_series(const void *a, const void *b)
{
    const SeriesChange *x = a, *y = b;
    int c = uuid_cmp(&x->identity, &y->identity);
    return c ? c : str_cmp(x->primitive, y->primitive);
}

static bool begins_series(const SeriesChange *changes, size_t i)
{
    return i == 0 || by_series(&changes[i - 1], &changes[i]) != 0;
}

/* Counted first: a profile takes much more room than a change, and a series of a batch has mostly several of these. */
static void group(Profiles *p, SeriesChange *changes, size_t n)
{
    size_t n_series = 0;

    if (n)
        qsort(changes, n, sizeof(*changes), by_series);
    for (size_t i = 0; i < n; i++)
        n_series += begins_series(changes, i);
    p->items = arena_calloc(p->arena, n_series + 1, sizeof(*p->items));
    p->keys = arena_calloc(p->arena, n_series + 1, sizeof(*p->keys));
    for (size_t i = 0; i < n; i++) {
        if (begins_series(changes, i)) {
            p->keys[p->n] = (SeriesKey){changes[i].identity, changes[i].primitive};
            p->items[p->n++] = (Profile){.changes = &changes[i]};
        }
        p->items[p->n - 1].n_changes++;
        p->items[p->n - 1].read_all |= changes[i].read_all;
        p->items[p->n - 1].drops |= changes[i].drops;
    }
}

/* --- what is known of them --- */

static void take_prior(Arena *arena, Profile *profile)
{
    const SeriesState *s = &profile->stored;
    AttributionStateRow *prior = &profile->prior;

    /* A state of a word that only a later release knows is no prior state. */
    profile->has_prior = s->exists && attribution_state_parse(s->state, &prior->state) &&
                         attribution_value_read(arena, s->current_value, &prior->current_value) == 0;
    prior->confidence = s->confidence;
    prior->observation_count = s->observation_count;
    prior->last_change_ts = s->last_change_ts;
    prior->last_observation_ts = s->last_observation_ts;
}

static void take_in(Arena *arena, Profile *profile)
{
    AttributionSeries *s = &profile->series;
    AttributionRow *hashes = arena_calloc(arena, profile->n_changes, sizeof(*hashes));
    size_t n_hashes = 0;

    for (size_t i = 0; i < profile->n_changes; i++) {
        const SeriesChange *c = &profile->changes[i];
        if (!c->has_row)
            continue;
        s->n += c->is_new;
        attribution_series_offer(s, &c->row);
        if (c->row.kind == VALUE_KIND_HASH)
            hashes[n_hashes++] = c->row;
    }
    if (n_hashes)
        series_offer_hashes(arena, s, hashes, n_hashes);
}

/* What gives way has to be among the newest rows, else nothing says whether it was counted. And a hash may have been the
 * newest of its value, whatever kind its new version is: only the observations themselves tell what is left. */
static bool can_replace(const AttributionSeries *s, const AttributionRow *row)
{
    if (s->n_hashes > 0 || row->kind == VALUE_KIND_HASH)
        return false;
    for (size_t i = 0; i < s->n_rows; i++)
        if (str_eq(s->rows[i].evidence_ref, row->evidence_ref))
            return true;
    return false;
}

/* False when the series has to be read: its packed end is missing or of another release, or others wrote the row. */
static bool unpack(Arena *arena, Profile *profile)
{
    const SeriesState *stored = &profile->stored;

    return !stored->exists || (stored->series.data && series_unpack(arena, stored->series, &profile->series) == 0 &&
                               stored->observation_count >= (int64_t)profile->series.n_rows);
}

static bool can_take_in(const Profile *profile)
{
    for (size_t i = 0; i < profile->n_changes; i++) {
        const SeriesChange *c = &profile->changes[i];
        if (c->has_row && !c->is_new && !can_replace(&profile->series, &c->row))
            return false;
    }
    return true;
}

/* The packed end and what came in; a series without a row has not begun, since whoever stores observations leaves a
 * mark for those that the worker did not see. */
static void load(Arena *arena, Profile *profile)
{
    const SeriesState *stored = &profile->stored;

    take_prior(arena, profile);
    if (profile->drops) {
        profile->read_all = false; /* as if nothing had been observed */
        return;
    }
    if (!unpack(arena, profile) || !can_take_in(profile))
        profile->read_all = true;
    if (profile->read_all)
        return;
    profile->series.n = stored->exists ? stored->observation_count : 0;
    take_in(arena, profile);
}

static bool take_row(Arena *arena, const SeriesRow *row, Str primitive, AttributionRow *ret)
{
    ValueKind said = VALUE_KIND_NONE;

    if (row->value_kind.data && !value_kind_parse(row->value_kind, &said))
        said = VALUE_KIND_NONE;
    *ret = (AttributionRow){
        .ts = row->ts, .evidence_ref = row->evidence_ref, .kind = primitive_value_kind(primitive, said)};
    return attribution_value_read(arena, row->value, &ret->value) == 0;
}

static void take_history(Arena *arena, Profile *profile, Str primitive, const SeriesHistory *history)
{
    AttributionSeries *s = &profile->series;
    AttributionRow row, *hashes = arena_calloc(arena, history->n_hashes + 1, sizeof(*hashes));
    size_t n_hashes = 0;

    /* Another program may have stored one between the count and the rows; its mark has the series looked at again. */
    *s = (AttributionSeries){.n = MAX(history->n, (int64_t)history->n_rows)};
    for (size_t i = 0; i < history->n_rows; i++)
        if (take_row(arena, &history->rows[i], primitive, &row))
            attribution_series_offer(s, &row);
    for (size_t i = 0; i < history->n_hashes; i++) {
        hashes[n_hashes].ts = history->hashes[i].ts;
        n_hashes += attribution_value_read(arena, history->hashes[i].value, &hashes[n_hashes].value) == 0;
    }
    series_offer_hashes(arena, s, hashes, n_hashes);
}

static int read_whole(Profiles *p)
{
    static const SeriesDepth depth = {ATTRIBUTION_HISTORY, LIMIT_HASH_VALUES + 1, ATTRIBUTION_HASH_WINDOW_S};
    SeriesKey *keys = arena_calloc(p->arena, p->n + 1, sizeof(*keys));
    bool *is_hash = arena_calloc(p->arena, p->n + 1, sizeof(*is_hash));
    size_t *places = arena_calloc(p->arena, p->n + 1, sizeof(*places)), n = 0;

    for (size_t i = 0; i < p->n; i++) {
        if (!p->items[i].read_all)
            continue;
        keys[n] = p->keys[i];
        is_hash[n] = primitive_value_kind(p->keys[i].primitive, VALUE_KIND_NONE) == VALUE_KIND_HASH;
        places[n++] = i;
    }
    SeriesHistory *histories = arena_calloc(p->arena, n + 1, sizeof(*histories));
    int r = series_read(p->repo, p->arena, keys, is_hash, n, &depth, histories);
    for (size_t i = 0; r == 0 && i < n; i++)
        take_history(p->arena, &p->items[places[i]], keys[i].primitive, &histories[i]);
    metric_add(&series_read_whole, (double)n);
    return r;
}

/* --- what follows --- */

static void judge(Profiles *p, size_t i)
{
    Profile *profile = &p->items[i];
    AttributionSeries *s = &profile->series;
    ValueKind kind = s->n_rows ? s->rows[s->n_rows - 1].kind : VALUE_KIND_CATEGORICAL;
    Buf packed = {0};

    series_pack(s, &packed);
    Str end = str_dup(p->arena, buf_str(&packed));
    buf_free(&packed);
    AttributionMerge m = attribution_merge(p->arena, kind, s);
    profile->transition = attribution_transition(profile->has_prior ? &profile->prior : NULL, &m);
    const AttributionStateRow *row = &profile->transition.row;
    if (s->n == 0)
        profile->transition.action = profile->stored.exists ? ATTRIBUTION_REMOVE : ATTRIBUTION_NOTHING;
    else if (profile->transition.action == ATTRIBUTION_NOTHING && !str_eq(end, profile->stored.series))
        profile->transition.action = ATTRIBUTION_WRITE;
    profile->wanted = (SeriesState){
        .exists = profile->stored.exists,
        .state = str_from(attribution_state_name(row->state)),
        .current_value = row->current_value.json,
        .confidence = row->confidence,
        .observation_count = row->observation_count,
        .last_change_ts = row->last_change_ts,
        .last_observation_ts = row->last_observation_ts,
        .series = end,
    };
    metric_add(&values_skipped, (double)m.n_skipped);
    metric_add(&hashes_capped, m.capped);
}

/* One call of the repository for all profiles whose action is one of two. */
static size_t pick(const Profiles *p, AttributionAction a, AttributionAction b, SeriesKey *keys, SeriesState *states)
{
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++) {
        AttributionAction action = p->items[i].transition.action;
        if (action != a && action != b)
            continue;
        keys[n] = p->keys[i];
        states[n++] = p->items[i].wanted;
    }
    return n;
}

static int store(Profiles *p)
{
    SeriesKey *keys = arena_calloc(p->arena, p->n + 1, sizeof(*keys));
    SeriesState *states = arena_calloc(p->arena, p->n + 1, sizeof(*states));

    size_t n = pick(p, ATTRIBUTION_WRITE, ATTRIBUTION_ANNOUNCE, keys, states);
    int r = series_write(p->repo, keys, states, n);
    metric_add(&states_written, (double)n);
    n = pick(p, ATTRIBUTION_REMOVE, ATTRIBUTION_REMOVE, keys, states);
    return r ? r : series_remove(p->repo, keys, n);
}

static void count_change(AttributionState state)
{
    static Metric *counters[ATTRIBUTION_STATE_N]; /* looking one up by its label takes as long as the rest */

    if (!counters[state])
        counters[state] =
            metric_labelled("decnet_attribution_state_changes_total", "States that changed, by the new one.",
                            METRIC_COUNTER, "state", attribution_state_name(state));
    metric_add(counters[state], 1);
}

static void announce(Profiles *p, size_t i, Buf *buf)
{
    const Profile *profile = &p->items[i];
    const AttributionTransition *t = &profile->transition;
    char identity[UUID_TEXT_BYTES];
    StateChanged event = {
        .identity_uuid = p->keys[i].identity,
        .primitive = p->keys[i].primitive,
        .old_state = t->has_old_state ? str_from(attribution_state_name(t->old_state)) : (Str){0},
        .previous_value = t->has_old_state ? t->previous_value.json : (Str){0},
        .new_state = profile->wanted.state,
        .current_value = profile->wanted.current_value,
        .confidence = t->row.confidence,
        .observation_count = t->row.observation_count,
        .ts = t->row.last_observation_ts,
    };
    Uuid id = state_changed_id(&event);

    uuid_format(identity, &event.identity_uuid);
    buf_clear(buf);
    state_changed_encode(&event, &id, buf);
    worker_emit(p->w, "attribution.profile.state_changed", STR("attribution.profile.state_changed"), &id,
                str_from(identity), buf_str(buf));
    count_change(t->row.state);
}

/* --- several hands --- */

static bool was_multi_actor(const Profile *profile)
{
    return profile->has_prior && profile->prior.state == ATTRIBUTION_MULTI_ACTOR;
}

/* Identities of which a primitive became, or ceased to be, multi_actor; keys are in the order of identities. */
static SeriesSuspect *suspects_of(const Profiles *p, size_t *ret_n)
{
    SeriesSuspect *suspects = arena_calloc(p->arena, p->n + 1, sizeof(*suspects));

    *ret_n = 0;
    for (size_t i = 0; i < p->n; i++) {
        const AttributionTransition *t = &p->items[i].transition;
        bool is = t->action != ATTRIBUTION_REMOVE && t->row.state == ATTRIBUTION_MULTI_ACTOR;
        if (is == was_multi_actor(&p->items[i]))
            continue;
        if (*ret_n == 0 || uuid_cmp(&suspects[*ret_n - 1].identity, &p->keys[i].identity) != 0)
            suspects[(*ret_n)++].identity = p->keys[i].identity;
    }
    return suspects;
}

static MultiActorPrimitive *evidence_of(Arena *arena, const SeriesSuspect *s)
{
    MultiActorPrimitive *now = arena_calloc(arena, s->n_keys + 1, sizeof(*now));

    for (size_t i = 0; i < s->n_keys; i++) {
        AttributionSeries series;
        now[i].primitive = s->keys[i].primitive;
        if (!s->states[i].series.data || series_unpack(arena, s->states[i].series, &series) != 0)
            continue;
        Str *refs = arena_calloc(arena, series.n_rows + 1, sizeof(*refs));
        for (size_t k = 0; k < series.n_rows; k++)
            refs[k] = series.rows[k].evidence_ref;
        now[i].evidence_refs = refs;
        now[i].n_evidence_refs = series.n_rows;
    }
    return now;
}

static void suspect(Profiles *p, const SeriesSuspect *s, const MultiActorSuspicion *said, int64_t now_us)
{
    cleanup(buf_free) Buf buf = {0};
    char identity[UUID_TEXT_BYTES];
    MultiActorSuspected event = {
        .identity_uuid = s->identity,
        .primitives = said->primitives,
        .n_primitives = said->n_primitives,
        .evidence_summary = said->evidence_summary,
        .confidence = said->confidence,
        .distinct_sessions = said->distinct_sessions,
        .ts = epoch_s_from_us(now_us),
    };
    Uuid id = multi_actor_suspected_id(&event);

    uuid_format(identity, &event.identity_uuid);
    multi_actor_suspected_encode(&event, &id, &buf);
    worker_emit(p->w, "attribution.profile.multi_actor_suspected", STR("attribution.profile.multi_actor_suspected"),
                &id, str_from(identity), buf_str(&buf));
    metric_add(&suspicions, 1);
    metric_add(&suspicions_capped, said->n_flagged > said->n_primitives);
}

static int correlate(Profiles *p)
{
    size_t n;
    int64_t now_us = 0;
    SeriesSuspect *suspects = suspects_of(p, &n);

    if (n == 0)
        return 0;
    SeriesAnnounced *news = arena_calloc(p->arena, n, sizeof(*news));
    size_t n_news = 0;
    int r = series_suspects(p->repo, p->arena, suspects, n, &now_us);
    for (size_t i = 0; r == 0 && i < n; i++) {
        SeriesSuspect *s = &suspects[i];
        MultiActorSuspicion said = {0};
        MultiActorAction action =
            multi_actor_decide(p->arena, evidence_of(p->arena, s), s->n_keys, s->primitives, s->n_primitives, &said);
        if (action == MULTI_ACTOR_ANNOUNCE)
            suspect(p, s, &said, now_us);
        if (action != MULTI_ACTOR_NOTHING)
            news[n_news++] = (SeriesAnnounced){s->identity, said.primitives, said.n_primitives};
    }
    return r ? r : series_announced(p->repo, news, n_news);
}

/* Announcements are written while PostgreSQL stores what they say. */
typedef struct Announcing {
    Profiles *p;
    Buf *buf;
    size_t next;
} Announcing;
enum { ANNOUNCE_AT_ONCE = 32 }; /* profiles looked at in one step */

static bool announce_some(void *arg)
{
    Announcing *a = arg;

    for (size_t end = MIN(a->next + ANNOUNCE_AT_ONCE, a->p->n); a->next < end; a->next++)
        if (a->p->items[a->next].transition.action == ATTRIBUTION_ANNOUNCE)
            announce(a->p, a->next, a->buf);
    return a->next < a->p->n;
}

static int store_and_announce(Profiles *p)
{
    cleanup(buf_free) Buf buf = {0};
    Announcing announcing = {p, &buf, 0};

    worker_meanwhile(p->w, announce_some, &announcing);
    int r = store(p);
    worker_meanwhile(p->w, NULL, NULL);
    while (r == 0 && announce_some(&announcing))
        ;
    return r;
}

int profiles_apply(Worker *w, SeriesChange *changes, size_t n)
{
    Profiles p = {.w = w, .repo = worker_repo(w), .arena = worker_scratch(w)};

    group(&p, changes, n);
    SeriesState *stored = arena_calloc(p.arena, p.n + 1, sizeof(*stored));
    int r = series_states(p.repo, p.arena, p.keys, p.n, stored);
    if (r != 0)
        return r;
    for (size_t i = 0; i < p.n; i++) {
        p.items[i].stored = stored[i];
        load(p.arena, &p.items[i]);
    }
    r = read_whole(&p);
    if (r != 0)
        return r;
    for (size_t i = 0; i < p.n; i++)
        judge(&p, i);
    r = store_and_announce(&p);
    return r ? r : correlate(&p);
}
