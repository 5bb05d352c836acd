/* The packed end of a series: what it says is what the whole series says, in whatever order and portions rows come. */
#include <errno.h>

#include "attribution/pack.h"
#include "attribution_support.h"
#include "base/limits.h"

TestSuite(attribution_pack, .init = attribution_setup, .fini = attribution_teardown, .timeout = 60);

static Str packed(AttributionSeries *s)
{
    Buf buf = {0};
    series_pack(s, &buf);
    Str copy = str_dup(arena, buf_str(&buf));
    buf_free(&buf);
    return copy;
}

static AttributionSeries unpacked(Str text, int64_t n)
{
    AttributionSeries s;
    cr_assert_eq(series_unpack(arena, text, &s), 0);
    s.n = n;
    return s;
}

/* @rows one by one into a packed series, as the worker does from batch to batch. */
static Str in_portions(const AttributionRow *rows, size_t n, uint64_t *seed)
{
    AttributionSeries s = {0};
    Str text = packed(&s);

    for (size_t at = 0; at < n;) {
        size_t most = 1 + random_below(seed, 5), portion = MIN(n - at, most);
        s = unpacked(text, (int64_t)at);
        for (size_t i = 0; i < portion; i++)
            attribution_series_offer(&s, &rows[at + i]);
        series_offer_hashes(arena, &s, rows + at, portion);
        text = packed(&s);
        at += portion;
    }
    return text;
}

Test(attribution_pack, order_and_portions_do_not_matter)
{
    uint64_t seed = 20261128;

    for (int round = 0; round < 400; round++) {
        size_t n = 1 + random_below(&seed, 40);
        AttributionRow *rows = arena_calloc(arena, n, sizeof(*rows));
        Str first = {0};
        for (size_t i = 0; i < n; i++)
            rows[i] = (AttributionRow){.value = value_of(arena_printf(arena, "\"h%zu\"", random_below(&seed, 12))),
                                       .ts = (double)random_below(&seed, 60) * 7200,
                                       .evidence_ref = str_from(arena_printf(arena, "e%zu", i)),
                                       .kind = VALUE_KIND_HASH};
        for (int order = 0; order < 4; order++) {
            Str text = in_portions(rows, n, &seed);
            if (order == 0)
                first = text;
            cr_assert(str_eq(text, first), "round %d: another order gives another end", round);
            for (size_t i = n; i > 1; i--) {
                size_t k = random_below(&seed, i);
                AttributionRow swap = rows[i - 1];
                rows[i - 1] = rows[k];
                rows[k] = swap;
            }
        }
    }
}

Test(attribution_pack, mergers_see_the_whole_series)
{
    uint64_t seed = 7;

    for (int round = 0; round < 400; round++) {
        Full full = {0};
        size_t n = 1 + random_below(&seed, 60);
        for (size_t i = 0; i < n; i++)
            full_add(&full, arena_printf(arena, "\"v%zu\"", random_below(&seed, 6)), (double)i * 9000);
        for (ValueKind kind = VALUE_KIND_CATEGORICAL; kind <= VALUE_KIND_HASH; kind++) {
            AttributionSeries s = unpacked(in_portions(full.rows, n, &seed), (int64_t)n);
            AttributionMerge ours = attribution_merge(arena, kind, &s), whole = merge(kind, &full);
            cr_assert_eq(ours.state, whole.state, "round %d, kind %d", round, kind);
            cr_assert_float_eq(ours.confidence, whole.confidence, 1e-12);
            cr_assert(attribution_value_equal(&ours.current_value, &whole.current_value));
            cr_assert_eq(ours.observation_count, whole.observation_count);
            cr_assert_eq(ours.last_observation_ts, whole.last_observation_ts);
        }
    }
}

Test(attribution_pack, what_rows_have_in_common_is_said_once_and_comes_back)
{
    static const char *const refs[] = {
        "", "a", "ab", "ab", "abc", "b", "cowrie:edge-01/ssh/2026-05-10#9117a820-2d9f-5289-89fe-fee5bf2067a2"};
    static const char *const values[] = {"\"typed\"", "\"typed\"", "\"pasted\"", "[1, 2]", "[1,2]", "null"};
    uint64_t seed = 11;

    for (int round = 0; round < 300; round++) {
        AttributionSeries s = {.n_rows = 1 + random_below(&seed, ATTRIBUTION_HISTORY)}, back;
        for (size_t i = 0; i < s.n_rows; i++)
            s.rows[i] = (AttributionRow){.value = value_of(values[random_below(&seed, ARRAY_SIZE(values))]),
                                         .ts = (double)i / 3,
                                         .evidence_ref = str_from(refs[random_below(&seed, ARRAY_SIZE(refs))]),
                                         .kind = (ValueKind)random_below(&seed, VALUE_KIND_HASH + 1)};
        back = unpacked(packed(&s), 1);
        cr_assert_eq(back.n_rows, s.n_rows);
        for (size_t i = 0; i < s.n_rows; i++) {
            cr_assert_eq(back.rows[i].ts, s.rows[i].ts);
            cr_assert_eq(back.rows[i].kind, s.rows[i].kind);
            cr_assert(str_eq(back.rows[i].evidence_ref, s.rows[i].evidence_ref), "round %d, row %zu", round, i);
            cr_assert(str_eq(back.rows[i].value.json, s.rows[i].value.json), "round %d, row %zu", round, i);
            cr_assert(str_eq(back.rows[i].value.key, s.rows[i].value.key));
        }
    }
}

Test(attribution_pack, ten_sessions_of_one_habit_are_small)
{
    AttributionSeries s = {0};

    for (unsigned i = 0; i < ATTRIBUTION_HISTORY; i++)
        s.rows[s.n_rows++] = (AttributionRow){
            .value = value_of("\"adaptive_branching\""),
            .ts = 1.77e9 + i,
            .evidence_ref = str_from(
                arena_printf(arena, "cowrie:edge-01/ssh/2026-05-10#%08x-2d9f-5289-89fe-fee5bf2067a2", i * 0x19999999)),
            .kind = VALUE_KIND_CATEGORICAL};
    Str text = packed(&s);
    cr_expect_lt(text.len, 550, "%zu bytes", text.len);
    for (size_t i = 0; i < s.n_rows; i++) /* a value of the largest size is kept once */
        s.rows[i].value = value_of(arena_printf(arena, "\"%0*d\"", LIMIT_OBSERVATION_VALUE_BYTES - 2, 0));
    text = packed(&s);
    cr_expect_lt(text.len, LIMIT_OBSERVATION_VALUE_BYTES + 550, "%zu bytes", text.len);
    cr_expect(str_eq(unpacked(text, 1).rows[9].value.json, s.rows[9].value.json));
}

Test(attribution_pack, hashes_that_left_the_window_or_pass_the_limit_go)
{
    AttributionSeries s = {0};
    AttributionRow row = {.evidence_ref = STR("e"), .kind = VALUE_KIND_HASH};

    for (size_t i = 0; i < LIMIT_HASH_VALUES + 50; i++) {
        row.value = value_of(arena_printf(arena, "%zu", i));
        row.ts = (double)i;
        attribution_series_offer(&s, &row);
        series_offer_hashes(arena, &s, &row, 1);
    }
    AttributionSeries back = unpacked(packed(&s), 1);
    cr_assert_eq(back.n_hashes, LIMIT_HASH_VALUES + 1);
    cr_assert_eq(back.hashes[0].ts, LIMIT_HASH_VALUES + 49, "newest first");
    row.value = ATTRIBUTION_NULL;
    row.ts = 10000 + ATTRIBUTION_HASH_WINDOW_S;
    attribution_series_offer(&back, &row);
    series_offer_hashes(arena, &back, &row, 1);
    back = unpacked(packed(&back), 1);
    cr_assert_eq(back.n_hashes, 0, "all are older than 24 h, and null is none");
}

Test(attribution_pack, damage_is_noticed)
{
    Full full = {0};
    uint64_t seed = 3;

    full_add(&full, "{\"a\": [1, \"x\"]}", 5);
    full_add(&full, "\"b\"", 6);
    full_add(&full, "\"b\"", 7);
    Str good = in_portions(full.rows, full.n, &seed);
    AttributionSeries s;
    for (size_t len = 0; len < good.len; len++) {
        char *part = arena_memdup(arena, good.data, len); /* exact bounds: the sanitizer sees a read beyond them */
        cr_assert_eq(series_unpack(arena, (Str){part, len}, &s), -EBADMSG, "%zu bytes of %zu", len, good.len);
    }
    cr_assert_eq(series_unpack(arena, str_from(arena_printf(arena, STR_FMT "x", STR_ARG(good))), &s), -EBADMSG);
    for (size_t at = 0; at < good.len; at++) { /* any flipped byte: refused or read, never out of bounds */
        char *copy = arena_memdup(arena, good.data, good.len);
        copy[at] = (char)(copy[at] ^ 0xff);
        (void)!series_unpack(arena, (Str){copy, good.len}, &s);
    }
    static const Str wrong[] = {
        STR("\001\000\000\000\000\000"),               /* another release's */
        STR("\002\00101234567\201\000\001e\000"),      /* the value of no row before */
        STR("\002\00101234567\001\001\001e\0011\000"), /* the start of no row before */
        STR("\002\000\377\377\377\377\017"),           /* a size without an end */
    };
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++)
        cr_assert_eq(series_unpack(arena, wrong[i], &s), -EBADMSG, "%zu", i);
}
