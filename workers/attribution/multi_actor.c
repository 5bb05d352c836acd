#include "multi_actor.h"

#include "base/limits.h"

static int str_cmp_qsort(const void *a, const void *b)
{
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

/* Sorts in place and drops doubles; returns how many are left. */
static size_t make_set(Str *items, size_t n)
{
    size_t used = 0;

    if (n)
        qsort(items, n, sizeof(*items), str_cmp_qsort);
    for (size_t i = 0; i < n; i++)
        if (!used || !str_eq(items[used - 1], items[i]))
            items[used++] = items[i];
    return used;
}

static bool same_set(const Str *a, size_t n_a, const Str *b, size_t n_b)
{
    for (size_t i = 0; i < n_a && n_a == n_b; i++)
        if (!str_eq(a[i], b[i]))
            return false;
    return n_a == n_b;
}

static int64_t count_sessions(Arena *arena, const MultiActorPrimitive *now, size_t n_now)
{
    size_t total = 0, used = 0;

    for (size_t i = 0; i < n_now; i++)
        total += now[i].n_evidence_refs;
    Str *refs = arena_calloc(arena, total, sizeof(*refs));
    for (size_t i = 0; i < n_now; i++)
        for (size_t j = 0; j < now[i].n_evidence_refs; j++)
            refs[used++] = now[i].evidence_refs[j];
    return (int64_t)make_set(refs, used);
}

MultiActorAction multi_actor_decide(Arena *arena, const MultiActorPrimitive *now, size_t n_now, const Str *announced,
                                    size_t n_announced, MultiActorSuspicion *ret)
{
    Str *current = arena_calloc(arena, n_now, sizeof(*current));
    Str *before = arena_calloc(arena, n_announced, sizeof(*before));

    for (size_t i = 0; i < n_now; i++)
        current[i] = now[i].primitive;
    for (size_t i = 0; i < n_announced; i++)
        before[i] = announced[i];
    size_t n_flagged = make_set(current, n_now), n_before = make_set(before, n_announced);
    size_t n_current = MIN(n_flagged, (size_t)LIMIT_SUSPECT_PRIMITIVES);
    if (n_current < MULTI_ACTOR_MIN_PRIMITIVES)
        return n_before ? MULTI_ACTOR_REARM : MULTI_ACTOR_NOTHING;
    if (same_set(current, n_current, before, n_before))
        return MULTI_ACTOR_NOTHING;
    *ret = (MultiActorSuspicion){
        .primitives = current,
        .n_primitives = n_current,
        .n_flagged = n_flagged,
        .evidence_summary = str_from(arena_printf(arena, "%zu primitives flagged multi_actor", n_flagged)),
        .confidence = MULTI_ACTOR_CONFIDENCE,
        .distinct_sessions = count_sessions(arena, now, n_now),
    };
    return MULTI_ACTOR_ANNOUNCE;
}
