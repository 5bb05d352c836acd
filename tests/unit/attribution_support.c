#include "attribution_support.h"

Arena *arena;

void attribution_setup(void)
{
    arena = arena_new();
}

void attribution_teardown(void)
{
    arena_free(arena);
}

AttributionValue value_of(const char *json)
{
    AttributionValue value;

    cr_assert_eq(attribution_value_read(arena, str_from(json), &value), 0, "no JSON: %s", json);
    return value;
}

uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(0x2545f4914f6cdd1d);
}

size_t random_below(uint64_t *state, size_t n)
{
    return (size_t)(random_next(state) >> 33) % n;
}

void full_add(Full *full, const char *json, double ts)
{
    cr_assert_lt(full->n, ARRAY_SIZE(full->rows));
    full->rows[full->n] = (AttributionRow){
        .value = value_of(json), .ts = ts, .evidence_ref = str_from(arena_printf(arena, "e%04zu", full->n))};
    full->n++;
}

AttributionSeries bounded(const Full *full)
{
    AttributionSeries s = {.n = (int64_t)full->n};

    s.hashes = arena_calloc(arena, full->n, sizeof(*s.hashes));
    for (size_t i = 0; i < full->n; i++) {
        attribution_series_offer(&s, &full->rows[i]);
        if (!attribution_value_is_null(&full->rows[i].value))
            s.hashes[s.n_hashes++] = (AttributionHash){full->rows[i].value.key, full->rows[i].ts};
    }
    return s;
}

AttributionMerge merge(ValueKind kind, const Full *full)
{
    AttributionSeries s = bounded(full);

    return attribution_merge(arena, kind, &s);
}
