/* Known answers of the attribution core:
 *
 *   attribution mergers     {"vectors": [{id, value_kind, observations: [{value, ts}], expect: {…}}]}
 *   attribution sequences   {"sequences": [{id, value_kind, steps: [{upsert: [{evidence_ref, value, ts}], row, emitted}]}],
 *                            "multi_actor_ticks": [{id, ticks: [{multi_actor: {identity: [primitive]}, emitted}]}]}
 *
 * Numbers are compared within the file's tolerance, everything else as jsonb compares. */
#include "vectors.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attribution/mergers.h"
#include "attribution/multi_actor.h"

typedef struct Tolerance {
    double absolute, relative;
} Tolerance;

static Tolerance tolerance_of(json_object *root)
{
    json_object *given = json_get_object(root, "tolerance");
    Tolerance t = {1e-9, 1e-9};

    json_get_double(given, "abs", &t.absolute);
    json_get_double(given, "rel", &t.relative);
    return t;
}

/* --- comparing --- */

static Str text_of(json_object *value)
{
    return str_from(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN)); /* numbers as they were written */
}

static bool is_number(json_object *value)
{
    return json_object_is_type(value, json_type_int) || json_object_is_type(value, json_type_double);
}

static bool same_value(VectorRun *run, Tolerance t, json_object *want, json_object *got)
{
    AttributionValue a, b;

    if (is_number(want) && is_number(got)) {
        double x = json_object_get_double(want), y = json_object_get_double(got);
        return fabs(x - y) <= MAX(t.absolute, t.relative * fabs(x));
    }
    return attribution_value_read(run->arena, text_of(want), &a) == 0 &&
           attribution_value_read(run->arena, text_of(got), &b) == 0 && attribution_value_equal(&a, &b);
}

/* One case: each member of @want is in @got and says the same. @what names the case. */
static void check_members(VectorRun *run, Tolerance t, const char *what, json_object *want, const Buf *got_text)
{
    cleanup(json_putp) json_object *got = json_parse(buf_str(got_text));

    if (!json_object_is_type(want, json_type_object)) {
        vector_check(run, want == NULL && got == NULL, "%s: is %s, not " STR_FMT, what,
                     vector_shown(run, buf_str(got_text)), STR_ARG(text_of(want)));
        return;
    }
    json_object_object_foreach (want, key, value) {
        json_object *ours = NULL;
        if (json_object_object_get_ex(got, key, &ours) && same_value(run, t, value, ours))
            continue;
        vector_check(run, false, "%s: %s is " STR_FMT ", not " STR_FMT, what, key, STR_ARG(text_of(ours)),
                     STR_ARG(text_of(value)));
        return;
    }
    vector_check(run, true, "%s", what);
}

static const char *id_of(VectorRun *run, json_object *vector, size_t i)
{
    Str id = json_get_str(vector, "id");

    return id.len ? str_cstr(run->arena, id) : arena_printf(run->arena, "entry %zu", i + 1);
}

/* False for a kind that nobody knows; null and absent are VALUE_KIND_NONE. */
static bool kind_of(json_object *vector, ValueKind *ret)
{
    json_object *kind = json_member(vector, "value_kind");

    *ret = VALUE_KIND_NONE;
    return !kind || value_kind_parse(json_str(kind), ret);
}

/* --- a series in memory, as the database would hold it --- */

typedef struct Store {
    AttributionRow *rows; /* by evidence_ref, in no order */
    size_t n, cap;
} Store;

static void store_upsert(VectorRun *run, Store *store, const AttributionRow *row)
{
    for (size_t i = 0; i < store->n; i++) {
        if (str_eq(store->rows[i].evidence_ref, row->evidence_ref)) {
            store->rows[i] = *row;
            return;
        }
    }
    if (store->n == store->cap) {
        AttributionRow *more = arena_calloc(run->arena, store->cap * 2 + 16, sizeof(*more));
        if (store->n)
            memcpy(more, store->rows, store->n * sizeof(*more));
        store->rows = more;
        store->cap = store->cap * 2 + 16;
    }
    store->rows[store->n++] = *row;
}

/* @ordered: the rows came in the order of the series, whatever their times say. */
static AttributionMerge store_merge(VectorRun *run, ValueKind kind, const Store *store, bool ordered)
{
    AttributionSeries series = {.n = (int64_t)store->n};
    size_t n_newest = MIN(store->n, (size_t)ATTRIBUTION_HISTORY);

    series.hashes = arena_calloc(run->arena, store->n, sizeof(*series.hashes));
    for (size_t i = 0; i < store->n; i++) {
        const AttributionRow *row = &store->rows[i];
        if (!ordered)
            attribution_series_offer(&series, row);
        else if (i >= store->n - n_newest)
            series.rows[series.n_rows++] = *row;
        if (!attribution_value_is_null(&row->value))
            series.hashes[series.n_hashes++] = (AttributionHash){row->value.key, row->ts};
    }
    return attribution_merge(run->arena, kind, &series);
}

/* One element of `observations` or `upsert`. A row of a merger vector has no evidence_ref: its place is its name. */
static bool store_add(VectorRun *run, Store *store, json_object *element)
{
    AttributionRow row = {.evidence_ref = json_get_str(element, "evidence_ref")};
    json_object *value = NULL;

    if (!json_object_is_type(element, json_type_object) || !json_object_object_get_ex(element, "value", &value))
        return false;
    (void)json_get_double(element, "ts", &row.ts); /* a missing time is 0 */
    if (!row.evidence_ref.data)
        row.evidence_ref = str_from(arena_printf(run->arena, "%012zu", store->n));
    if (attribution_value_read(run->arena, text_of(value), &row.value) < 0)
        return false;
    store_upsert(run, store, &row);
    return true;
}

static bool store_add_all(VectorRun *run, Store *store, json_object *list)
{
    for (size_t i = 0; i < json_object_array_length(list); i++)
        if (!store_add(run, store, json_object_array_get_idx(list, i)))
            return false;
    return true;
}

/* --- mergers --- */

static bool is_mergers(json_object *first)
{
    json_object *vectors = json_get_array(first, "vectors");
    json_object *vector = vectors ? json_object_array_get_idx(vectors, 0) : NULL;

    return json_get_array(vector, "observations") && json_get_object(vector, "expect");
}

static void put_value(JsonWriter *w, const char *key, const AttributionValue *value)
{
    json_key(w, key);
    json_value_raw(w, value->json);
}

static void check_merger(VectorRun *run, Tolerance t, json_object *vector, size_t i)
{
    json_object *observations = json_get_array(vector, "observations"), *expect = json_get_object(vector, "expect");
    const char *id = id_of(run, vector, i);
    cleanup(buf_free) Buf got = {0};
    JsonWriter w = {.buf = &got};
    Store store = {0};
    ValueKind kind;

    if (!observations || !json_get_str(expect, "state").data || !store_add_all(run, &store, observations)) {
        vector_check(run, false,
                     "%s: lacks \"observations\" or an \"expect\" with a state, or an observation has no value", id);
        return;
    }
    if (!kind_of(vector, &kind) && store.n) {
        vector_check(run, false, "%s: value_kind is none of categorical, numeric, hash", id);
        return;
    }
    AttributionMerge m = store_merge(run, kind, &store, true);
    json_begin_object(&w);
    put_value(&w, "current_value", &m.current_value);
    json_put_cstr(&w, "state", attribution_state_name(m.state));
    json_put_double(&w, "confidence", m.confidence);
    json_put_int(&w, "observation_count", m.observation_count);
    json_put_double(&w, "last_observation_ts", m.last_observation_ts);
    json_end_object(&w);
    check_members(run, t, id, expect, &got);
}

static void check_constants(VectorRun *run, Tolerance t, json_object *constants)
{
    cleanup(buf_free) Buf ours = {0};
    JsonWriter w = {.buf = &ours};

    json_begin_object(&w);
    json_put_int(&w, "window", ATTRIBUTION_WINDOW);
    json_put_int(&w, "min_observations", ATTRIBUTION_MIN_OBSERVATIONS);
    json_put_int(&w, "majority", ATTRIBUTION_MAJORITY);
    json_put_double(&w, "ewma_alpha", ATTRIBUTION_EWMA_ALPHA);
    json_put_double(&w, "cv_conflict_gt", ATTRIBUTION_CV_CONFLICTED);
    json_put_double(&w, "mean_shift_drift_ge", ATTRIBUTION_SHIFT_DRIFTING);
    json_put_double(&w, "hash_window_s", ATTRIBUTION_HASH_WINDOW_S);
    json_put_int(&w, "hash_drift_max", ATTRIBUTION_HASH_DRIFTING_MAX);
    json_put_double(&w, "multi_actor_cap", ATTRIBUTION_MULTI_ACTOR_CONFIDENCE);
    json_end_object(&w);
    check_members(run, t, "constants", constants, &ours);
}

static void run_mergers(VectorRun *run, json_object *root)
{
    json_object *vectors = json_get_array(root, "vectors"), *constants = json_get_object(root, "constants");
    Tolerance t = tolerance_of(root);

    if (constants)
        check_constants(run, t, constants);
    for (size_t i = 0; i < json_object_array_length(vectors); i++) {
        check_merger(run, t, json_object_array_get_idx(vectors, i), i);
        arena_reset(run->arena);
    }
}

/* --- sequences --- */

static bool is_sequences(json_object *first)
{
    return json_get_array(first, "sequences") || json_get_array(first, "multi_actor_ticks");
}

static void row_json(const AttributionStateRow *row, Buf *out)
{
    JsonWriter w = {.buf = out};

    json_begin_object(&w);
    put_value(&w, "current_value", &row->current_value);
    json_put_cstr(&w, "state", attribution_state_name(row->state));
    json_put_double(&w, "confidence", row->confidence);
    json_put_int(&w, "observation_count", row->observation_count);
    json_put_double(&w, "last_change_ts", row->last_change_ts);
    json_put_double(&w, "last_observation_ts", row->last_observation_ts);
    json_end_object(&w);
}

/* The payload that a transition publishes. */
static void emitted_json(const AttributionTransition *t, Buf *out)
{
    StateChanged event = {
        .old_state = t->has_old_state ? str_from(attribution_state_name(t->old_state)) : (Str){0},
        .new_state = str_from(attribution_state_name(t->row.state)),
        .current_value = t->row.current_value.json,
        .previous_value = t->previous_value.json,
        .confidence = t->row.confidence,
        .observation_count = t->row.observation_count,
        .ts = t->row.last_observation_ts,
    };
    Uuid id = state_changed_id(&event);

    state_changed_encode(&event, &id, out);
}

/* The stored row of the pair while its sequence runs. */
typedef struct Stored {
    bool exists;
    AttributionStateRow row;
} Stored;

static void check_step(VectorRun *run, const char *what, json_object *step, ValueKind kind, Store *store,
                       Stored *stored)
{
    const Tolerance t = tolerance_of(NULL);
    cleanup(buf_free) Buf row = {0}, emitted = {0};

    if (!json_get_array(step, "upsert") || !store_add_all(run, store, json_get_array(step, "upsert"))) {
        vector_check(run, false, "%s: lacks \"upsert\", or an element of it has no value", what);
        return;
    }
    AttributionMerge m = store_merge(run, kind, store, false);
    AttributionTransition transition = attribution_transition(stored->exists ? &stored->row : NULL, &m);
    if (transition.action == ATTRIBUTION_WRITE || transition.action == ATTRIBUTION_ANNOUNCE)
        *stored = (Stored){true, transition.row};
    if (transition.action == ATTRIBUTION_ANNOUNCE)
        emitted_json(&transition, &emitted);
    if (stored->exists)
        row_json(&stored->row, &row);
    check_members(run, t, arena_printf(run->arena, "%s: row", what), json_member(step, "row"), &row);
    check_members(run, t, arena_printf(run->arena, "%s: emitted", what), json_member(step, "emitted"), &emitted);
}

static void check_sequence(VectorRun *run, json_object *sequence, size_t i)
{
    json_object *steps = json_get_array(sequence, "steps");
    const char *id = id_of(run, sequence, i);
    Stored stored = {0};
    Store store = {0};
    ValueKind kind;

    if (!steps || !kind_of(sequence, &kind)) {
        vector_check(run, false, "%s: lacks \"steps\", or value_kind is none of categorical, numeric, hash", id);
        return;
    }
    for (size_t k = 0; k < json_object_array_length(steps); k++)
        check_step(run, arena_printf(run->arena, "%s step %zu", id, k + 1), json_object_array_get_idx(steps, k), kind,
                   &store, &stored);
}

/* --- ticks of the correlator --- */

/* The announced set of each identity: a JSON object {identity: [primitive]}. */
static json_object *strings_json(const Str *items, size_t n)
{
    json_object *array = json_object_new_array();

    for (size_t i = 0; i < n; i++)
        json_object_array_add(array, json_object_new_string_len(items[i].data, (int)items[i].len));
    return array;
}

static size_t strings_of(VectorRun *run, json_object *array, Str **ret)
{
    size_t n = array ? json_object_array_length(array) : 0;

    *ret = arena_calloc(run->arena, n, sizeof(**ret));
    for (size_t i = 0; i < n; i++)
        (*ret)[i] = json_str(json_object_array_get_idx(array, i));
    return n;
}

static void put_suspicion(JsonWriter *w, const char *identity, const MultiActorSuspicion *s)
{
    json_begin_object(w);
    json_put_cstr(w, "identity_uuid", identity);
    json_key(w, "primitives");
    json_begin_array(w);
    for (size_t i = 0; i < s->n_primitives; i++)
        json_value_str(w, s->primitives[i]);
    json_end_array(w);
    json_put_str(w, "evidence_summary", s->evidence_summary);
    json_put_double(w, "confidence", s->confidence);
    json_end_object(w);
}

static void decide(VectorRun *run, json_object *multi_actor, json_object *announced, const char *identity,
                   JsonWriter *w)
{
    Str *names, *before;
    size_t n = strings_of(run, json_get_array(multi_actor, identity), &names);
    size_t n_before = strings_of(run, json_get_array(announced, identity), &before);
    MultiActorPrimitive *now = arena_calloc(run->arena, n, sizeof(*now));
    MultiActorSuspicion s;

    for (size_t i = 0; i < n; i++)
        now[i].primitive = names[i];
    switch (multi_actor_decide(run->arena, now, n, before, n_before, &s)) {
    case MULTI_ACTOR_NOTHING:
        break;
    case MULTI_ACTOR_REARM:
        json_object_object_add(announced, identity, NULL);
        break;
    case MULTI_ACTOR_ANNOUNCE:
        put_suspicion(w, identity, &s);
        json_object_object_add(announced, identity, strings_json(s.primitives, s.n_primitives));
    }
}

static int name_cmp(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Every identity that is flagged now or was announced, in text order. */
static const char **identities_of(VectorRun *run, json_object *multi_actor, json_object *announced, size_t *ret_n)
{
    size_t n = 0, cap = (size_t)json_object_object_length(multi_actor) + (size_t)json_object_object_length(announced);
    const char **names = arena_calloc(run->arena, cap, sizeof(*names));

    json_object_object_foreach (multi_actor, now, ignored) {
        (void)ignored;
        names[n++] = arena_memdup(run->arena, now, strlen(now));
    }
    json_object_object_foreach (announced, before, list) {
        (void)list;
        if (!json_object_object_get_ex(multi_actor, before, NULL))
            names[n++] = arena_memdup(run->arena, before, strlen(before));
    }
    if (n)
        qsort(names, n, sizeof(*names), name_cmp);
    *ret_n = n;
    return names;
}

static void check_tick(VectorRun *run, const char *what, json_object *tick, json_object *announced)
{
    json_object *multi_actor = json_get_object(tick, "multi_actor"), *want = json_get_array(tick, "emitted");
    cleanup(buf_free) Buf got_text = {0};
    JsonWriter w = {.buf = &got_text};
    size_t n = 0;

    if (!multi_actor || !want) {
        vector_check(run, false, "%s: lacks \"multi_actor\" or \"emitted\"", what);
        return;
    }
    const char **identities = identities_of(run, multi_actor, announced, &n);
    json_begin_array(&w);
    for (size_t i = 0; i < n; i++)
        decide(run, multi_actor, announced, identities[i], &w);
    json_end_array(&w);
    cleanup(json_putp) json_object *got = json_parse(buf_str(&got_text));
    vector_check(run, same_value(run, tolerance_of(NULL), want, got), "%s: emitted is %s, not " STR_FMT, what,
                 got_text.data, STR_ARG(text_of(want)));
}

static void check_ticks(VectorRun *run, json_object *vector, size_t i)
{
    cleanup(json_putp) json_object *announced = json_object_new_object();
    json_object *ticks = json_get_array(vector, "ticks");
    const char *id = id_of(run, vector, i);

    if (!ticks)
        vector_check(run, false, "%s: lacks \"ticks\"", id);
    for (size_t k = 0; ticks && k < json_object_array_length(ticks); k++)
        check_tick(run, arena_printf(run->arena, "%s tick %zu", id, k + 1), json_object_array_get_idx(ticks, k),
                   announced);
}

static void run_list(VectorRun *run, json_object *list, void (*check)(VectorRun *, json_object *, size_t))
{
    for (size_t i = 0; list && i < json_object_array_length(list); i++) {
        check(run, json_object_array_get_idx(list, i), i);
        arena_reset(run->arena);
    }
}

static void run_sequences(VectorRun *run, json_object *root)
{
    run_list(run, json_get_array(root, "sequences"), check_sequence);
    run_list(run, json_get_array(root, "multi_actor_ticks"), check_ticks);
}

/* --- shapes --- */

const VectorShape vector_attribution_mergers = {.what = "attribution mergers", .is = is_mergers, .whole = run_mergers};
const VectorShape vector_attribution_sequences = {
    .what = "attribution sequences", .is = is_sequences, .whole = run_sequences};
