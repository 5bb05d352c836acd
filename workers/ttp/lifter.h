/* Lifters: the ways in which rules judge events, one file each. A rule's `match.kind` picks its lifter; without it
 * the rule is judged by its patterns. The table of all lifters is in lifter.c. */
#pragma once

#include "event/intel_facts.h"

#include "evidence.h"
#include "rule.h"

typedef enum LifterFamily { LIFTER_PATTERN, LIFTER_INTEL } LifterFamily;

/* What an intel lifter makes of the facts for one rule and technique. */
typedef struct IntelVerdict {
    double multiplier; /* 0: the technique is not selected */
    StrList values;    /* the answers that selected it, in the order of the facts */
} IntelVerdict;

struct Lifter {
    const char *name; /* the value of match.kind; NULL for the pattern lifter */
    LifterFamily family;
    TtpKind kind;                       /* of event it judges; patterns judge any */
    const char *provider;               /* the value of match.provider, NULL when it takes none */
    const char *const *inputs;          /* values of signals[].input, NULL-terminated; NULL: takes no signals */
    const char *const *evidence_fields; /* what its rules may list, NULL-terminated; NULL: by kind of event */
    /* intel only; NULL: registered, never fires */
    bool (*intel_answers)(const IntelFacts *facts, const char *input, Arena *arena, StrList *ret);
    double (*intel_scale)(const IntelFacts *facts); /* NULL: 1 */
    void (*intel_evidence)(const IntelFacts *facts, const IntelVerdict *verdict, Arena *arena, Evidence *evidence);
};

/* By the value of match.kind; NULL for none of ours. */
const Lifter *lifter_find(const char *name);
/* The lifter whose name is nearest to @name, for messages; NULL when none is near. */
const char *lifter_nearest(const char *name);
extern const Lifter lifter_pattern;

/* --- lifter_intel.c --- */
extern const Lifter lifters_intel[];
extern const size_t n_lifters_intel;

/* Judge @facts by @rule for the technique of @emit. */
IntelVerdict lifter_intel_judge(const TtpRule *rule, const TtpEmit *emit, const IntelFacts *facts, Arena *arena);
/* The evidence of such a verdict: the rule's evidence_fields, and the answers that selected the technique. */
void lifter_intel_evidence(const TtpRule *rule, const IntelFacts *facts, const IntelVerdict *verdict, Arena *arena,
                           Evidence *evidence);
