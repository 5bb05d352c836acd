/* The correlator: announce a set once, again when it changes, and again after it was gone. */
#include "attribution_support.h"

#include "attribution/multi_actor.h"
#include "base/limits.h"

TestSuite(attribution_multi_actor, .init = attribution_setup, .fini = attribution_teardown, .timeout = 30);

/* Words of @text, blanks between. */
static size_t words(const char *text, Str ret[8])
{
    size_t n = 0;

    while (*text) {
        size_t len = strcspn(text, " ");
        ret[n++] = (Str){text, len};
        text += len + (text[len] == ' ');
    }
    return n;
}

static MultiActorAction decide(const char *now, const char *announced, MultiActorSuspicion *ret)
{
    MultiActorPrimitive primitives[8] = {0};
    Str names[8], before[8];
    size_t n = words(now, names), n_before = words(announced, before);

    for (size_t i = 0; i < n; i++)
        primitives[i].primitive = names[i];
    return multi_actor_decide(arena, primitives, n, before, n_before, ret);
}

Test(attribution_multi_actor, a_set_is_announced_when_it_changes)
{
    static const struct {
        const char *now, *announced;
        MultiActorAction action;
        const char *summary;
    } rows[] = {
        {"", "", MULTI_ACTOR_NOTHING, NULL},
        {"a", "", MULTI_ACTOR_NOTHING, NULL},
        {"a a", "", MULTI_ACTOR_NOTHING, NULL}, /* a doubled name is one */
        {"a b", "", MULTI_ACTOR_ANNOUNCE, "2 primitives flagged multi_actor"},
        {"a b", "a b", MULTI_ACTOR_NOTHING, NULL},
        {"b a", "a b a", MULTI_ACTOR_NOTHING, NULL},
        {"a b c", "a b", MULTI_ACTOR_ANNOUNCE, "3 primitives flagged multi_actor"},
        {"a b", "a b c", MULTI_ACTOR_ANNOUNCE, "2 primitives flagged multi_actor"},
        {"a c", "a b", MULTI_ACTOR_ANNOUNCE, "2 primitives flagged multi_actor"},
        {"a", "a b", MULTI_ACTOR_REARM, NULL},
        {"", "a b", MULTI_ACTOR_REARM, NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        MultiActorSuspicion s = {0};
        cr_assert_eq(decide(rows[i].now, rows[i].announced, &s), rows[i].action, "row %zu", i);
        cr_assert(rows[i].summary ? str_eq_cstr(s.evidence_summary, rows[i].summary) : !s.primitives, "row %zu", i);
        if (rows[i].summary)
            cr_assert_eq(s.confidence, 0.6);
    }
}

/* Whoever may publish observations chooses their names, and an event has an end. */
Test(attribution_multi_actor, a_suspicion_names_no_more_than_its_limit)
{
    enum { MANY = LIMIT_SUSPECT_PRIMITIVES + 5 };
    MultiActorPrimitive *now = arena_calloc(arena, MANY, sizeof(*now));
    MultiActorSuspicion s = {0};

    for (size_t i = 0; i < MANY; i++)
        now[i].primitive = str_from(arena_printf(arena, "x.%08zu", MANY - i));
    cr_assert_eq(multi_actor_decide(arena, now, MANY, NULL, 0, &s), MULTI_ACTOR_ANNOUNCE);
    cr_assert_eq(s.n_primitives, (size_t)LIMIT_SUSPECT_PRIMITIVES);
    cr_assert(str_eq_cstr(s.primitives[0], "x.00000001") && s.n_flagged == MANY);
    cr_assert(str_eq_cstr(s.evidence_summary, "1005 primitives flagged multi_actor"));
    cr_assert_eq(multi_actor_decide(arena, now, MANY, s.primitives, s.n_primitives, &s), MULTI_ACTOR_NOTHING);
}

Test(attribution_multi_actor, primitives_are_sorted_byte_by_byte)
{
    MultiActorSuspicion s = {0};

    cr_assert_eq(decide("b.a B a.b a", "", &s), MULTI_ACTOR_ANNOUNCE);
    static const char *const want[] = {"B", "a", "a.b", "b.a"};
    cr_assert_eq(s.n_primitives, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++)
        cr_assert(str_eq_cstr(s.primitives[i], want[i]), "%zu", i);
}

Test(attribution_multi_actor, sessions_are_counted_once)
{
    const Str first[] = {STR("s1"), STR("s2"), STR("s3")}, second[] = {STR("s3"), STR("s2"), STR("s4")};
    MultiActorPrimitive now[] = {{STR("x"), first, 3}, {STR("y"), second, 3}, {STR("z"), NULL, 0}};
    MultiActorSuspicion s = {0};

    cr_assert_eq(multi_actor_decide(arena, now, 3, NULL, 0, &s), MULTI_ACTOR_ANNOUNCE);
    cr_assert_eq(s.distinct_sessions, 4);
}
