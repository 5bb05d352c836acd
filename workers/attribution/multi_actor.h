/* The correlator: several primitives of one identity that look like several hands are worth a word to the analyst.
 * Pure. Contract attribution 8, 10.8 and 10.13. */
#pragma once

#include "base/text.h"

#define MULTI_ACTOR_MIN_PRIMITIVES 2 /* primitives of one session are correlated: one alone says little */
#define MULTI_ACTOR_CONFIDENCE 0.6   /* of every suspicion */

/* A primitive of the identity whose stored state is multi_actor now. */
typedef struct MultiActorPrimitive {
    Str primitive;
    const Str *evidence_refs; /* of the rows of its series that were looked at (at most ten) */
    size_t n_evidence_refs;
} MultiActorPrimitive;

typedef enum MultiActorAction {
    MULTI_ACTOR_NOTHING,
    MULTI_ACTOR_ANNOUNCE, /* publish the suspicion and remember its primitives as announced */
    MULTI_ACTOR_REARM,    /* forget what was announced: the same set fires again later. Publish nothing */
} MultiActorAction;

/* What attribution.profile.multi_actor_suspected says beside identity and time. Lives in the arena, the texts of
 * primitives borrow from the input. */
typedef struct MultiActorSuspicion {
    const Str *primitives; /* sorted byte by byte, no duplicates; at most LIMIT_SUSPECT_PRIMITIVES, the first ones */
    size_t n_primitives;
    size_t n_flagged;     /* with those beyond the limit */
    Str evidence_summary; /* "<n_flagged> primitives flagged multi_actor" */
    double confidence;
    int64_t distinct_sessions; /* different evidence refs over all primitives */
} MultiActorSuspicion;

/* Compare the set of primitives that are multi_actor @now with the set that was @announced last (none: n_announced 0).
 * Neither needs an order, doubled names count once. Two or more now: announce when the set grew, shrank or was
 * replaced. Fewer: re-arm when something was announced. Of more than LIMIT_SUSPECT_PRIMITIVES the first ones stand for all.
 * @ret is filled for MULTI_ACTOR_ANNOUNCE only. */
MultiActorAction multi_actor_decide(Arena *arena, const MultiActorPrimitive *now, size_t n_now, const Str *announced,
                                    size_t n_announced, MultiActorSuspicion *ret);
