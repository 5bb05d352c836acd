/* The mergers against the contract's tables, a second implementation written from its formulas, and themselves. */
#include "attribution_support.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

TestSuite(attribution_mergers, .init = attribution_setup, .fini = attribution_teardown, .timeout = 120);

static Full letters(const char *pattern)
{
    Full full = {0};

    for (size_t i = 0; pattern[i]; i++)
        full_add(&full, arena_printf(arena, "\"%c\"", pattern[i]), 1000.0 + (double)i);
    return full;
}

static Full numbers(const char *const *json, size_t n)
{
    Full full = {0};

    for (size_t i = 0; i < n; i++)
        full_add(&full, json[i], 1000.0 + (double)i);
    return full;
}

static bool near(double a, double b)
{
    return fabs(a - b) <= 1e-9 * MAX(1.0, fabs(b));
}

Test(attribution_mergers, empty_series_is_unknown_for_every_kind)
{
    static const ValueKind kinds[] = {VALUE_KIND_NONE, VALUE_KIND_CATEGORICAL, VALUE_KIND_NUMERIC, VALUE_KIND_HASH};

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        Full empty = {0};
        AttributionMerge m = merge(kinds[i], &empty);
        cr_assert(m.state == ATTRIBUTION_UNKNOWN && attribution_value_is_null(&m.current_value));
        cr_assert(m.confidence == 0 && m.observation_count == 0 && m.last_observation_ts == 0);
    }
}

/* The whole table of section 5.1: every pattern of three, four and five rows up to renaming. */
Test(attribution_mergers, patterns_of_recent_rows)
{
    static const struct {
        const char *patterns;
        AttributionState state;
        double confidence;
    } rows[] = {
        {"A AA AB", ATTRIBUTION_UNKNOWN, 0},
        {"AAA AAAA AAAAA", ATTRIBUTION_STABLE, 1},
        {"AAAAB AAABA AABAA ABAAA ABBBB", ATTRIBUTION_STABLE, 0.8},
        {"AABA ABAA", ATTRIBUTION_MULTI_ACTOR, 0.6},
        {"ABAB ABBA", ATTRIBUTION_MULTI_ACTOR, 0.5},
        {"AABAB ABAAB ABABA ABABB ABBAB", ATTRIBUTION_MULTI_ACTOR, 0.6},
        {"AAB ABA ABB", ATTRIBUTION_CONFLICTED, 2.0 / 3},
        {"ABC", ATTRIBUTION_CONFLICTED, 1.0 / 3},
        {"AAAB ABBB", ATTRIBUTION_CONFLICTED, 0.75},
        {"AABB AABC ABAC ABBC ABCA ABCB ABCC", ATTRIBUTION_CONFLICTED, 0.5},
        {"ABCD", ATTRIBUTION_CONFLICTED, 0.25},
        {"AAABB AABBA AABBB ABBAA ABBBA", ATTRIBUTION_CONFLICTED, 0.6},
        {"AAABC ABACA", ATTRIBUTION_CONFLICTED, 0.6},
        {"AABBC ABABC ABCAB", ATTRIBUTION_CONFLICTED, 0.4},
        {"ABCDE", ATTRIBUTION_CONFLICTED, 0.2},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        char patterns[128], *save = NULL;
        snprintf(patterns, sizeof(patterns), "%s", rows[i].patterns);
        for (char *p = strtok_r(patterns, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
            Full full = letters(p);
            AttributionMerge m = merge(VALUE_KIND_CATEGORICAL, &full);
            cr_assert_eq(m.state, rows[i].state, "%s is %s", p, attribution_state_name(m.state));
            cr_assert(near(m.confidence, rows[i].confidence), "%s: %g", p, m.confidence);
        }
    }
}

Test(attribution_mergers, older_window_tells_drift)
{
    static const struct {
        const char *pattern;
        AttributionState state;
        const char *value;
    } rows[] = {
        {"BAAAAA", ATTRIBUTION_DRIFTING, "\"A\""},    /* one older row is clear, and differs */
        {"AAAAAAB", ATTRIBUTION_STABLE, "\"A\""},     /* the value of the majority, not the last */
        {"ABAAAAA", ATTRIBUTION_DRIFTING, "\"A\""},   /* two older rows that disagree */
        {"AAABAAAAA", ATTRIBUTION_DRIFTING, "\"A\""}, /* four older rows must be unanimous */
        {"AAAABAAAAA", ATTRIBUTION_STABLE, "\"A\""},  /* five older rows need four */
        {"AAAAABBBBB", ATTRIBUTION_DRIFTING, "\"B\""},
        {"AAAAABBBBBBBBBB", ATTRIBUTION_STABLE, "\"B\""}, /* what is beyond ten rows is forgotten */
        {"AAAAAABABA", ATTRIBUTION_MULTI_ACTOR, "\"A\""},
        {"AAAAAAABBC", ATTRIBUTION_CONFLICTED, "\"C\""}, /* without a majority: the last value */
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Full full = letters(rows[i].pattern);
        AttributionMerge m = merge(VALUE_KIND_CATEGORICAL, &full);
        cr_assert_eq(m.state, rows[i].state, "%s is %s", rows[i].pattern, attribution_state_name(m.state));
        cr_assert(str_eq_cstr(m.current_value.json, rows[i].value), "%s", rows[i].pattern);
        cr_assert_eq(m.observation_count, (int64_t)full.n);
        cr_assert_eq(m.last_observation_ts, 1000.0 + (double)full.n - 1);
    }
}

Test(attribution_mergers, value_shown_is_the_first_equal_one_of_the_window)
{
    static const char *const json[] = {"1.0", "1", "1.00", "10e-1", "2"};
    Full full = numbers(json, ARRAY_SIZE(json));
    AttributionMerge m = merge(VALUE_KIND_CATEGORICAL, &full);

    cr_assert(m.state == ATTRIBUTION_STABLE && near(m.confidence, 0.8));
    cr_assert(str_eq_cstr(m.current_value.json, "1.0"));
}

Test(attribution_mergers, lists_and_objects_are_values_like_others)
{
    static const char *const json[] = {"{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "{\"a\":1.0,\"b\":2}", "[1]"};
    Full full = numbers(json, 3);
    AttributionMerge m = merge(VALUE_KIND_NONE, &full);

    cr_assert(m.state == ATTRIBUTION_STABLE && m.confidence == 1);
    full = numbers(json, 4);
    m = merge(VALUE_KIND_NONE, &full);
    cr_assert(m.state == ATTRIBUTION_CONFLICTED && near(m.confidence, 0.75));
}

typedef struct NumericCase {
    const char *json; /* the values, blanks between */
    AttributionState state;
    const char *value;
    double confidence;
    size_t n_skipped;
} NumericCase;

static Full series_of(const char *list)
{
    Full full = {0};
    const char *p = list;

    while (*p) { /* values of these tests hold no blank */
        size_t n = strcspn(p, " ");
        full_add(&full, arena_printf(arena, "%.*s", (int)n, p), 1000.0 + (double)full.n);
        p += n + (p[n] == ' ');
    }
    return full;
}

static void check_numeric(const NumericCase *c)
{
    Full full = series_of(c->json);
    AttributionMerge m = merge(VALUE_KIND_NUMERIC, &full);
    AttributionValue want = value_of(c->value);
    double x, y;

    cr_assert_eq(m.state, c->state, "%s is %s", c->json, attribution_state_name(m.state));
    cr_assert(near(m.confidence, c->confidence), "%s: %.17g", c->json, m.confidence);
    cr_assert_eq(m.n_skipped, c->n_skipped, "%s: %zu", c->json, m.n_skipped);
    cr_assert_eq(m.observation_count, (int64_t)full.n);
    cr_assert_eq(m.last_observation_ts, full.rows[full.n - 1].ts, "skipped or not");
    if (attribution_value_is_null(&want))
        cr_assert(attribution_value_is_null(&m.current_value));
    else
        cr_assert(attribution_value_number(&want, &x) && attribution_value_number(&m.current_value, &y) && near(y, x),
                  "%s: " STR_FMT, c->json, STR_ARG(m.current_value.json));
    cr_assert(isfinite(m.confidence) && m.confidence >= 0 && m.confidence <= 1);
}

Test(attribution_mergers, numeric_series)
{
    static const NumericCase cases[] = {
        {"7", ATTRIBUTION_UNKNOWN, "7", 0, 0},
        {"true 7", ATTRIBUTION_UNKNOWN, "7", 0, 0},
        {"5000 5050 4970 5020 5010", ATTRIBUTION_STABLE, "5007.935", 0.9947766006105925, 0},
        {"5000 5000 5000 5000 5000 8000 8000 8000 8000 8000", ATTRIBUTION_DRIFTING, "8000", 1, 0},
        {"10 10 10 10 10 13 13 13 13 13", ATTRIBUTION_DRIFTING, "13", 1, 0}, /* the bound belongs to drifting */
        {"10 10 10 10 10 12.9 12.9 12.9 12.9 12.9", ATTRIBUTION_STABLE, "12.9", 1, 0},
        {"100 20000 50 15000 200", ATTRIBUTION_CONFLICTED, "5299.36", 0.5, 0},
        {"0 0 0 0 0 1 1 1 1 1", ATTRIBUTION_DRIFTING, "1", 1, 0},
        {"0 0 0", ATTRIBUTION_STABLE, "0", 1, 0},
        {"7 -3 0 0 0", ATTRIBUTION_CONFLICTED, "1.372", 0.5, 0},
        {"null 10 null 10 10", ATTRIBUTION_STABLE, "6.129", 0.2004115506266656, 0},
        {"\"5\" \"5\" \"5.0\"", ATTRIBUTION_STABLE, "5", 1, 0},
        /* not a number: as if the row were not there, but counted */
        {"\"x\"", ATTRIBUTION_UNKNOWN, "null", 0, 1},
        {"[] {} \"x\"", ATTRIBUTION_UNKNOWN, "null", 0, 3},
        {"5 5 \"x\"", ATTRIBUTION_UNKNOWN, "5", 0, 1},
        {"5 \"x\" 5 [5] 5", ATTRIBUTION_STABLE, "5", 1, 2},
        {"10 10 10 10 10 13 13 13 13 \"x\" 13", ATTRIBUTION_DRIFTING, "13", 1, 1},
        {"5 5 5 5 5 \"x\" \"x\" \"x\" \"x\" \"x\" \"x\" \"x\" \"x\" 6 6", ATTRIBUTION_UNKNOWN, "6", 0, 8},
        /* the ends of what a double holds */
        {"1e308 -1e308 1e308 -1e308 1e308", ATTRIBUTION_CONFLICTED, "3.742e307", 0.5, 0},
        {"1.7976931348623157e308 1.7976931348623157e308 1.7976931348623157e308", ATTRIBUTION_CONFLICTED,
         "1.7976931348623157e308", 0.5, 0},
        {"1e999 1 1 1", ATTRIBUTION_STABLE, "1", 1, 1},
        {"5e-324 5e-324 5e-324", ATTRIBUTION_STABLE, "5e-324", 1, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check_numeric(&cases[i]);
}

static Full hash_series(const char *const *values, const double *ts, size_t n)
{
    Full full = {0};

    for (size_t i = 0; i < n; i++)
        full_add(&full, values[i], ts[i]);
    return full;
}

Test(attribution_mergers, hash_series)
{
    static const struct {
        const char *values[6];
        double ts[6];
        size_t n;
        AttributionState state;
        double confidence;
    } rows[] = {
        {{"\"a\""}, {0}, 1, ATTRIBUTION_STABLE, 1},
        {{"null"}, {0}, 1, ATTRIBUTION_STABLE, 1},
        {{"\"a\"", "null"}, {0, 1}, 2, ATTRIBUTION_STABLE, 1},
        {{"\"a\"", "\"b\"", "\"a\"", "\"b\""}, {0, 1, 2, 3}, 4, ATTRIBUTION_DRIFTING, 0.5},
        {{"\"a\"", "\"b\"", "\"c\""}, {0, 1, 2}, 3, ATTRIBUTION_DRIFTING, 1.0 / 3},
        {{"\"a\"", "\"b\"", "\"c\"", "\"d\""}, {0, 1, 2, 3}, 4, ATTRIBUTION_CONFLICTED, 0.25},
        {{"\"a\"", "\"b\""}, {0, 86400}, 2, ATTRIBUTION_DRIFTING, 0.5}, /* the edge is inside */
        {{"\"a\"", "\"b\""}, {0, 86400.001}, 2, ATTRIBUTION_STABLE, 1},
        {{"\"a\"", "\"b\"", "\"a\"", "\"c\""}, {0, 1, 86000, 86402}, 4, ATTRIBUTION_DRIFTING, 0.5},
        {{"1", "1.0"}, {0, 1}, 2, ATTRIBUTION_STABLE, 1},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Full full = hash_series(rows[i].values, rows[i].ts, rows[i].n);
        AttributionMerge m = merge(VALUE_KIND_HASH, &full);
        cr_assert_eq(m.state, rows[i].state, "row %zu is %s", i, attribution_state_name(m.state));
        cr_assert(near(m.confidence, rows[i].confidence), "row %zu: %g", i, m.confidence);
        cr_assert(str_eq_cstr(m.current_value.json, rows[i].values[rows[i].n - 1]), "row %zu", i);
        cr_assert_not(m.capped);
    }
}

Test(attribution_mergers, hashes_are_capped_and_doubled_keys_count_once)
{
    AttributionSeries s = {.n = 3 * LIMIT_HASH_VALUES};
    AttributionRow last = {.value = value_of("\"z\""), .ts = 100, .evidence_ref = STR("e")};

    attribution_series_offer(&s, &last);
    s.hashes = arena_calloc(arena, 2 * LIMIT_HASH_VALUES + 1, sizeof(*s.hashes));
    for (size_t i = 0; i < LIMIT_HASH_VALUES; i++) /* each twice, as from two attackers; one of the two is too old */
        for (size_t k = 0; k < 2; k++)
            s.hashes[s.n_hashes++] =
                (AttributionHash){str_from(arena_printf(arena, "%zu", i)), k == i % 2 ? 100 : -99999};
    AttributionMerge m = attribution_merge(arena, VALUE_KIND_HASH, &s);
    cr_assert(m.state == ATTRIBUTION_CONFLICTED && near(m.confidence, 1.0 / LIMIT_HASH_VALUES) && !m.capped);
    s.hashes[s.n_hashes++] = (AttributionHash){STR("one more"), 100};
    m = attribution_merge(arena, VALUE_KIND_HASH, &s);
    cr_assert(m.capped && near(m.confidence, 1.0 / LIMIT_HASH_VALUES));
}

/* --- a second implementation, from the contract's formulas, over the whole series --- */

typedef struct Expected {
    AttributionState state;
    double confidence;
    const AttributionValue *value; /* NULL: number */
    double number;
} Expected;

static size_t top_of(const AttributionRow *rows, size_t n, const AttributionValue **ret_value)
{
    size_t top = 0;

    for (size_t i = 0; i < n; i++) {
        size_t count = 0;
        for (size_t j = 0; j < n; j++)
            count += str_eq(rows[i].value.key, rows[j].value.key);
        if (count > top) {
            top = count;
            *ret_value = &rows[i].value;
        }
    }
    return top;
}

static Expected expect_categorical(const Full *f)
{
    size_t k = f->n < 5 ? f->n : 5, o = f->n <= 5 ? 0 : (f->n - 5 < 5 ? f->n - 5 : 5), flips = 0, distinct = 0;
    const AttributionRow *recent = f->rows + f->n - k, *older = recent - o;
    const AttributionValue *majority = NULL, *older_majority = NULL;
    Expected e = {.value = &f->rows[f->n - 1].value};

    if (f->n < 3)
        return e;
    size_t top = top_of(recent, k, &majority), older_top = top_of(older, o, &older_majority);
    e.confidence = (double)top / (double)k;
    for (size_t i = 0; i < k; i++) {
        size_t j = 0;
        while (!str_eq(recent[j].value.key, recent[i].value.key))
            j++;
        distinct += j == i;
        flips += i && !str_eq(recent[i].value.key, recent[i - 1].value.key);
    }
    size_t repeats = k - 1 - flips;
    if (top < (k < 4 ? k : 4)) {
        bool alternate = k >= 4 && distinct == 2 && flips >= 2 * (repeats > 1 ? repeats : 1);
        e.state = alternate ? ATTRIBUTION_MULTI_ACTOR : ATTRIBUTION_CONFLICTED;
        e.confidence = alternate && e.confidence > 0.6 ? 0.6 : e.confidence;
        return e;
    }
    e.value = majority;
    bool moved = o && (older_top < (o < 4 ? o : 4) || !str_eq(older_majority->key, majority->key));
    e.state = moved ? ATTRIBUTION_DRIFTING : ATTRIBUTION_STABLE;
    return e;
}

static double plain_number(const AttributionRow *row)
{
    return row->value.json.data[0] == 'n' ? 0.0 : strtod(row->value.json.data, NULL);
}

static double plain_ewma(const AttributionRow *rows, size_t n)
{
    double s = plain_number(&rows[0]);

    for (size_t i = 1; i < n; i++)
        s = 0.3 * plain_number(&rows[i]) + 0.7 * s;
    return s;
}

static Expected expect_numeric(const Full *f)
{
    size_t k = f->n < 5 ? f->n : 5, o = f->n <= 5 ? 0 : (f->n - 5 < 5 ? f->n - 5 : 5);
    const AttributionRow *recent = f->rows + f->n - k;
    Expected e = {.number = plain_number(&f->rows[f->n - 1])};
    double squares = 0, cv;

    if (f->n < 3)
        return e;
    double m = e.number = plain_ewma(recent, k);
    for (size_t i = 0; i < k; i++)
        squares += pow(plain_number(&recent[i]) - m, 2);
    cv = m == 0 ? (squares == 0 ? 0 : 1e9) : sqrt(squares / (double)k) / fabs(m);
    if (cv > 1) {
        e.state = ATTRIBUTION_CONFLICTED;
        e.confidence = 0.5;
        return e;
    }
    double before = o ? plain_ewma(recent - o, o) : m;
    bool shifted = o && fabs(m - before) / (before != 0 ? fabs(before) : 1) >= 0.3;
    e.state = shifted ? ATTRIBUTION_DRIFTING : ATTRIBUTION_STABLE;
    e.confidence = 1 - cv;
    return e;
}

static Expected expect_hash(const Full *f)
{
    Expected e = {.value = &f->rows[f->n - 1].value};
    double start = f->rows[f->n - 1].ts - 86400;
    int distinct = 0;

    for (size_t i = 0; i < f->n; i++) {
        bool seen = f->rows[i].ts < start || f->rows[i].value.json.data[0] == 'n';
        for (size_t j = 0; j < i && !seen; j++)
            seen = f->rows[j].ts >= start && str_eq(f->rows[j].value.key, f->rows[i].value.key);
        distinct += !seen;
    }
    int rotations = distinct > 1 ? distinct - 1 : 0;
    e.state = !rotations ? ATTRIBUTION_STABLE : rotations < 3 ? ATTRIBUTION_DRIFTING : ATTRIBUTION_CONFLICTED;
    e.confidence = 1.0 / (1 + rotations);
    return e;
}

static Expected expect_of(ValueKind kind, const Full *f)
{
    return kind == VALUE_KIND_NUMERIC ? expect_numeric(f)
           : kind == VALUE_KIND_HASH  ? expect_hash(f)
                                      : expect_categorical(f);
}

static Full random_series(uint64_t *seed, ValueKind kind)
{
    static const char *const words[] = {"\"typed\"", "\"pasted\"", "null", "[1]", "true", "\"mixed\""};
    static const char *const figures[] = {"10", "10.5", "9", "null", "13", "0", "-4", "1e4"};
    size_t n = 1 + random_below(seed, 40), spread = 1 + random_below(seed, kind == VALUE_KIND_NUMERIC ? 8 : 6);
    double ts = 1714000000;
    Full full = {0};

    for (size_t i = 0; i < n; i++) {
        ts += (double)random_below(seed, 40000) / 2; /* equal times occur */
        full_add(&full, (kind == VALUE_KIND_NUMERIC ? figures : words)[random_below(seed, spread)], ts);
    }
    return full;
}

static void check_same(const AttributionMerge *m, const Expected *e, size_t round)
{
    double number;

    cr_assert_eq(m->state, e->state, "series %zu is %s, not %s", round, attribution_state_name(m->state),
                 attribution_state_name(e->state));
    cr_assert(near(m->confidence, e->confidence), "series %zu: %.17g, not %.17g", round, m->confidence, e->confidence);
    if (e->value)
        cr_assert(attribution_value_equal(&m->current_value, e->value), "series %zu", round);
    else
        cr_assert(attribution_value_number(&m->current_value, &number) && near(number, e->number), "series %zu", round);
}

/* The theorem of section 9: the ten newest rows, the newest time of each hash and n say all that the series says. And
 * rows may be offered in any order. */
Test(attribution_mergers, bounded_history_says_what_the_whole_series_says)
{
    static const ValueKind kinds[] = {VALUE_KIND_CATEGORICAL, VALUE_KIND_NUMERIC, VALUE_KIND_HASH};
    size_t seen[3][ATTRIBUTION_STATE_N] = {{0}};
    uint64_t seed = 20240501;

    for (size_t round = 0; round < 20000; round++) {
        ValueKind kind = kinds[round % ARRAY_SIZE(kinds)];
        Full full = random_series(&seed, kind), shuffled = full;
        AttributionMerge m = merge(kind, &full);
        Expected e = expect_of(kind, &full);
        check_same(&m, &e, round);
        cr_assert(m.observation_count == (int64_t)full.n && m.last_observation_ts == full.rows[full.n - 1].ts);
        for (size_t i = full.n; i > 1; i--) {
            size_t j = random_below(&seed, i);
            AttributionRow row = shuffled.rows[i - 1];
            shuffled.rows[i - 1] = shuffled.rows[j];
            shuffled.rows[j] = row;
        }
        AttributionSeries a = bounded(&full), b = bounded(&shuffled);
        cr_assert(a.n_rows == b.n_rows && a.n_rows == MIN(full.n, (size_t)ATTRIBUTION_HISTORY));
        cr_assert_arr_eq(a.rows, b.rows, a.n_rows * sizeof(a.rows[0]), "series %zu depends on the order", round);
        AttributionMerge other = attribution_merge(arena, kind, &b);
        check_same(&other, &e, round);
        seen[round % ARRAY_SIZE(kinds)][m.state]++;
        arena_reset(arena);
    }
    for (size_t state = ATTRIBUTION_UNKNOWN; state < ATTRIBUTION_STATE_N; state++) {
        cr_assert_gt(seen[0][state], 50, "categorical %s: %zu", attribution_state_name(state), seen[0][state]);
        if (state != ATTRIBUTION_MULTI_ACTOR)
            cr_assert_gt(seen[1][state], 50, "numeric %s: %zu", attribution_state_name(state), seen[1][state]);
    }
}

Test(attribution_mergers, a_row_offered_again_takes_its_place)
{
    AttributionSeries s = {.n = 12};

    for (size_t i = 0; i < 12; i++) {
        AttributionRow row = {value_of("1"), (double)i, str_from(arena_printf(arena, "e%02zu", i))};
        attribution_series_offer(&s, &row);
    }
    AttributionRow moved = {value_of("2"), 5.5, STR("e11")}, old = {value_of("3"), 0, STR("e00")};
    attribution_series_offer(&s, &moved);
    cr_assert_eq(s.n_rows, 10);
    cr_assert(str_eq_cstr(s.rows[9].evidence_ref, "e10") && str_eq_cstr(s.rows[4].evidence_ref, "e11"));
    attribution_series_offer(&s, &old);
    cr_assert(str_eq_cstr(s.rows[0].evidence_ref, "e02"), "older than all ten");
    AttributionRow a = {.ts = 1, .evidence_ref = STR("a")}, b = {.ts = 1, .evidence_ref = STR("B")};
    cr_assert_gt(attribution_row_cmp(&a, &b), 0, "byte order, not the alphabet's");
}

/* --- transitions --- */

static AttributionMerge merged(AttributionState state, const char *value, double confidence, int64_t n, double ts)
{
    return (AttributionMerge){.state = state,
                              .current_value = value_of(value),
                              .confidence = confidence,
                              .observation_count = n,
                              .last_observation_ts = ts};
}

Test(attribution_mergers, only_another_state_is_announced)
{
    AttributionMerge m = merged(ATTRIBUTION_UNKNOWN, "\"a\"", 0, 1, 10);
    AttributionTransition t = attribution_transition(NULL, &m);

    cr_assert(t.action == ATTRIBUTION_ANNOUNCE && !t.has_old_state && attribution_value_is_null(&t.previous_value));
    cr_assert(t.row.last_change_ts == 10 && t.row.observation_count == 1);
    AttributionStateRow stored = t.row;
    t = attribution_transition(&stored, &m);
    cr_assert_eq(t.action, ATTRIBUTION_NOTHING, "the same series again");
    m = merged(ATTRIBUTION_UNKNOWN, "\"b\"", 0, 2, 20);
    t = attribution_transition(&stored, &m);
    cr_assert(t.action == ATTRIBUTION_WRITE && t.row.last_change_ts == 10 && t.row.last_observation_ts == 20);
    stored = t.row;
    m = merged(ATTRIBUTION_STABLE, "\"c\"", 1, 3, 30);
    t = attribution_transition(&stored, &m);
    cr_assert(t.action == ATTRIBUTION_ANNOUNCE && t.has_old_state && t.old_state == ATTRIBUTION_UNKNOWN);
    cr_assert(str_eq_cstr(t.previous_value.json, "\"b\"") && t.row.last_change_ts == 30);
    stored = t.row;
    m.current_value = value_of(" \"c\" ");
    t = attribution_transition(&stored, &m);
    cr_assert_eq(t.action, ATTRIBUTION_NOTHING, "another spelling is no other value");
    m.confidence = 0.8;
    t = attribution_transition(&stored, &m);
    cr_assert_eq(t.action, ATTRIBUTION_WRITE);
}

Test(attribution_mergers, an_empty_series_has_no_row)
{
    AttributionMerge empty = {.current_value = ATTRIBUTION_NULL}, m = merged(ATTRIBUTION_STABLE, "1", 1, 3, 30);
    AttributionTransition t = attribution_transition(NULL, &empty);

    cr_assert_eq(t.action, ATTRIBUTION_NOTHING);
    AttributionStateRow stored = attribution_transition(NULL, &m).row;
    t = attribution_transition(&stored, &empty);
    cr_assert_eq(t.action, ATTRIBUTION_REMOVE);
}

Test(attribution_mergers, states_have_names)
{
    static const char *const names[] = {"unknown", "stable", "drifting", "conflicted", "multi_actor"};
    AttributionState state;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        cr_assert(attribution_state_parse(str_from(names[i]), &state) && state == (AttributionState)i);
        cr_assert_str_eq(attribution_state_name(state), names[i]);
    }
    cr_assert_not(attribution_state_parse(STR("Stable"), &state) || attribution_state_parse((Str){0}, &state));
}
