#include "mergers.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/limits.h"

static const char *const state_names[ATTRIBUTION_STATE_N] = {
    [ATTRIBUTION_UNKNOWN] = "unknown",         [ATTRIBUTION_STABLE] = "stable",
    [ATTRIBUTION_DRIFTING] = "drifting",       [ATTRIBUTION_CONFLICTED] = "conflicted",
    [ATTRIBUTION_MULTI_ACTOR] = "multi_actor",
};

const char *attribution_state_name(AttributionState state)
{
    return state_names[state];
}

bool attribution_state_parse(Str name, AttributionState *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(state_names); i++) {
        if (str_eq_cstr(name, state_names[i])) {
            *ret = (AttributionState)i;
            return true;
        }
    }
    return false;
}

/* --- series --- */

static int double_cmp(double a, double b)
{
    return (a > b) - (a < b);
}

int attribution_row_cmp(const AttributionRow *a, const AttributionRow *b)
{
    int c = double_cmp(a->ts, b->ts);

    return c ? c : str_cmp(a->evidence_ref, b->evidence_ref);
}

static void remove_row(AttributionSeries *s, size_t i)
{
    memmove(&s->rows[i], &s->rows[i + 1], (s->n_rows - i - 1) * sizeof(s->rows[0]));
    s->n_rows--;
}

void attribution_series_offer(AttributionSeries *s, const AttributionRow *row)
{
    size_t place = 0;

    for (size_t i = 0; i < s->n_rows; i++) {
        if (str_eq(s->rows[i].evidence_ref, row->evidence_ref)) {
            remove_row(s, i);
            break;
        }
    }
    while (place < s->n_rows && attribution_row_cmp(&s->rows[place], row) < 0)
        place++;
    if (s->n_rows == ATTRIBUTION_HISTORY) {
        if (place == 0)
            return; /* older than all ten */
        remove_row(s, 0);
        place--;
    }
    memmove(&s->rows[place + 1], &s->rows[place], (s->n_rows - place) * sizeof(s->rows[0]));
    s->rows[place] = *row;
    s->n_rows++;
}

/* A window: some neighbouring rows of a series. */
typedef struct Window {
    const AttributionRow *rows;
    size_t n;
} Window;

static Window recent_of(const AttributionRow *rows, size_t n)
{
    size_t k = MIN(n, (size_t)ATTRIBUTION_WINDOW);

    return (Window){rows + (n - k), k};
}

static Window older_of(const AttributionRow *rows, size_t n)
{
    size_t k = MIN(n, (size_t)ATTRIBUTION_WINDOW), rest = MIN(n - k, (size_t)ATTRIBUTION_WINDOW);

    return (Window){rows + (n - k - rest), rest};
}

static const AttributionRow *last_row(const AttributionSeries *s)
{
    return &s->rows[s->n_rows - 1];
}

/* --- categorical --- */

static size_t count_equal(Window w, size_t i)
{
    size_t n = 0;

    for (size_t j = 0; j < w.n; j++)
        n += attribution_value_equal(&w.rows[j].value, &w.rows[i].value);
    return n;
}

/* The first row of the most frequent value; of a tie, the one seen first (5.1: it never matters). */
static size_t most_frequent(Window w, size_t *ret_count)
{
    size_t best = 0;

    *ret_count = 0;
    for (size_t i = 0; i < w.n; i++) {
        size_t n = count_equal(w, i);
        if (n > *ret_count) {
            *ret_count = n;
            best = i;
        }
    }
    return best;
}

static bool is_clear(Window w, size_t top)
{
    return top >= MIN(w.n, (size_t)ATTRIBUTION_MAJORITY);
}

static size_t count_distinct(Window w)
{
    size_t n = 0;

    for (size_t i = 0; i < w.n; i++) {
        bool seen = false;
        for (size_t j = 0; j < i; j++)
            seen = seen || attribution_value_equal(&w.rows[j].value, &w.rows[i].value);
        n += !seen;
    }
    return n;
}

static bool two_hands_alternate(Window w)
{
    size_t flips = 0;

    if (w.n < ATTRIBUTION_MAJORITY || count_distinct(w) != 2)
        return false;
    for (size_t i = 1; i < w.n; i++)
        flips += !attribution_value_equal(&w.rows[i - 1].value, &w.rows[i].value);
    size_t repeats = w.n - 1 - flips;
    return flips >= 2 * MAX(repeats, (size_t)1);
}

static bool has_drifted(Window recent, Window older, size_t majority)
{
    size_t top;

    if (!older.n)
        return false;
    size_t older_majority = most_frequent(older, &top);
    return !is_clear(older, top) ||
           !attribution_value_equal(&older.rows[older_majority].value, &recent.rows[majority].value);
}

static void merge_categorical(Arena *arena, AttributionSeries *s, AttributionMerge *m)
{
    Window recent = recent_of(s->rows, s->n_rows), older = older_of(s->rows, s->n_rows);
    size_t top, majority = most_frequent(recent, &top);

    (void)arena; /* all values are those of the series */
    m->current_value = last_row(s)->value;
    if (s->n < ATTRIBUTION_MIN_OBSERVATIONS)
        return;
    m->confidence = (double)top / (double)recent.n;
    if (is_clear(recent, top)) {
        m->state = has_drifted(recent, older, majority) ? ATTRIBUTION_DRIFTING : ATTRIBUTION_STABLE;
        m->current_value = recent.rows[majority].value;
    } else if (two_hands_alternate(recent)) {
        m->state = ATTRIBUTION_MULTI_ACTOR;
        m->confidence = MIN(m->confidence, ATTRIBUTION_MULTI_ACTOR_CONFIDENCE);
    } else {
        m->state = ATTRIBUTION_CONFLICTED;
    }
}

/* --- numeric --- */

static double clamp_finite(double x)
{
    return MAX(MIN(x, DBL_MAX), -DBL_MAX);
}

static double ewma(const double *x, size_t n)
{
    double s = x[0];

    for (size_t i = 1; i < n; i++)
        s = clamp_finite(ATTRIBUTION_EWMA_ALPHA * x[i] + (1.0 - ATTRIBUTION_EWMA_ALPHA) * s);
    return s;
}

/* Around @m, the EWMA, which is not the arithmetic mean. May be infinite, never NaN. */
static double variation(const double *x, size_t n, double m)
{
    const double no_mean = 1e9; /* stands for "varies around zero" */
    double sum = 0.0;

    for (size_t i = 0; i < n; i++)
        sum += (x[i] - m) * (x[i] - m);
    if (m == 0.0)
        return sum == 0.0 ? 0.0 : no_mean;
    return sqrt(sum / (double)n) / fabs(m);
}

static bool mean_has_shifted(double m, const double *older, size_t n_older)
{
    if (!n_older)
        return false;
    double o = ewma(older, n_older);
    return fabs(m - o) / (o != 0.0 ? fabs(o) : 1.0) >= ATTRIBUTION_SHIFT_DRIFTING;
}

static void merge_numeric(Arena *arena, AttributionSeries *s, AttributionMerge *m)
{
    double x[ATTRIBUTION_HISTORY];
    size_t n = 0;

    for (size_t i = 0; i < s->n_rows; i++)
        n += attribution_value_number(&s->rows[i].value, &x[n]);
    m->n_skipped = s->n_rows - n;
    if (!n)
        return;
    m->current_value = attribution_value_from_double(arena, x[n - 1]);
    if (n < ATTRIBUTION_MIN_OBSERVATIONS)
        return;
    size_t n_recent = MIN(n, (size_t)ATTRIBUTION_WINDOW), n_older = n - n_recent;
    const double *recent = x + n_older;
    double mean = ewma(recent, n_recent), cv = variation(recent, n_recent, mean);
    m->current_value = attribution_value_from_double(arena, mean);
    if (cv > ATTRIBUTION_CV_CONFLICTED) {
        m->state = ATTRIBUTION_CONFLICTED;
        m->confidence = 0.5;
        return;
    }
    m->state = mean_has_shifted(mean, x, n_older) ? ATTRIBUTION_DRIFTING : ATTRIBUTION_STABLE;
    m->confidence = MAX(0.0, 1.0 - MIN(cv, 1.0));
}

/* --- hash --- */

static int hash_cmp(const void *a, const void *b)
{
    return str_cmp(((const AttributionHash *)a)->key, ((const AttributionHash *)b)->key);
}

/* Distinct keys with a ts from @start on. */
static size_t count_hashes(AttributionHash *hashes, size_t n, double start)
{
    size_t distinct = 0;
    const Str *counted = NULL;

    if (n)
        qsort(hashes, n, sizeof(*hashes), hash_cmp);
    for (size_t i = 0; i < n; i++) {
        if (hashes[i].ts < start || (counted && str_eq(*counted, hashes[i].key)))
            continue;
        counted = &hashes[i].key;
        distinct++;
    }
    return distinct;
}

static void merge_hash(Arena *arena, AttributionSeries *s, AttributionMerge *m)
{
    size_t distinct = count_hashes(s->hashes, s->n_hashes, last_row(s)->ts - ATTRIBUTION_HASH_WINDOW_S);

    (void)arena; /* all values are those of the series */
    m->capped = distinct > LIMIT_HASH_VALUES;
    distinct = MIN(distinct, (size_t)LIMIT_HASH_VALUES);
    size_t rotations = distinct ? distinct - 1 : 0;
    m->current_value = last_row(s)->value;
    m->confidence = 1.0 / (1.0 + (double)rotations);
    m->state = !rotations                                   ? ATTRIBUTION_STABLE
               : rotations <= ATTRIBUTION_HASH_DRIFTING_MAX ? ATTRIBUTION_DRIFTING
                                                            : ATTRIBUTION_CONFLICTED;
}

/* --- all kinds --- */

AttributionMerge attribution_merge(Arena *arena, ValueKind kind, AttributionSeries *s)
{
    static void (*const mergers[])(Arena *, AttributionSeries *, AttributionMerge *) = {
        [VALUE_KIND_NONE] = merge_categorical, /* a primitive that nobody knows */
        [VALUE_KIND_CATEGORICAL] = merge_categorical,
        [VALUE_KIND_NUMERIC] = merge_numeric,
        [VALUE_KIND_HASH] = merge_hash,
    };
    AttributionMerge m = {.state = ATTRIBUTION_UNKNOWN, .current_value = ATTRIBUTION_NULL};

    assert(s->n >= (int64_t)s->n_rows);
    if (!s->n_rows)
        return m;
    m.observation_count = s->n;
    m.last_observation_ts = last_row(s)->ts;
    mergers[kind](arena, s, &m);
    return m;
}

/* --- the stored row --- */

static bool row_equal(const AttributionStateRow *a, const AttributionStateRow *b)
{
    return a->state == b->state && a->confidence == b->confidence && a->observation_count == b->observation_count &&
           a->last_change_ts == b->last_change_ts && a->last_observation_ts == b->last_observation_ts &&
           attribution_value_equal(&a->current_value, &b->current_value);
}

AttributionTransition attribution_transition(const AttributionStateRow *prior, const AttributionMerge *m)
{
    bool changed = !prior || prior->state != m->state;
    AttributionTransition t = {
        .row = {.state = m->state,
                .current_value = m->current_value,
                .confidence = m->confidence,
                .observation_count = m->observation_count,
                .last_change_ts = changed ? m->last_observation_ts : prior->last_change_ts,
                .last_observation_ts = m->last_observation_ts},
        .has_old_state = prior != NULL,
        .old_state = prior ? prior->state : ATTRIBUTION_UNKNOWN,
        .previous_value = prior ? prior->current_value : ATTRIBUTION_NULL,
    };

    if (!m->observation_count)
        t.action = prior ? ATTRIBUTION_REMOVE : ATTRIBUTION_NOTHING;
    else if (changed)
        t.action = ATTRIBUTION_ANNOUNCE;
    else
        t.action = row_equal(prior, &t.row) ? ATTRIBUTION_NOTHING : ATTRIBUTION_WRITE;
    return t;
}
