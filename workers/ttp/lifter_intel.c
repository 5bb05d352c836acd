/* Intelligence rules (R0054 to R0058): what a provider answered about an address speaks for techniques. The mapping
 * from answers to techniques is data in the rule files (match.signals); here is only where each provider's answers
 * are found in the facts, how its score scales the confidence, and what goes into the evidence.
 *
 * Providers are independent, each may have answered nothing. An answer that no signal names speaks for nothing. */
#include "lifter.h"

#include <string.h>

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* --- the facts as evidence, by the names of the event's payload --- */

typedef enum FactType { FACT_STR, FACT_STRS, FACT_INTS, FACT_TRISTATE, FACT_SCORE } FactType;

typedef struct Fact {
    const char *key;
    FactType type;
    size_t offset;
} Fact;

static const Fact facts_table[] = {
    {"aggregate_verdict", FACT_STR, offsetof(IntelFacts, aggregate_verdict)},
    {"abuseipdb_score", FACT_SCORE, offsetof(IntelFacts, abuseipdb_score)},
    {"abuseipdb_categories", FACT_INTS, offsetof(IntelFacts, abuseipdb_categories)},
    {"greynoise_classification", FACT_STR, offsetof(IntelFacts, greynoise_classification)},
    {"greynoise_name", FACT_STR, offsetof(IntelFacts, greynoise_name)},
    {"greynoise_tags", FACT_STRS, offsetof(IntelFacts, greynoise_tags)},
    {"feodo_listed", FACT_TRISTATE, offsetof(IntelFacts, feodo_listed)},
    {"feodo_malware_family", FACT_STR, offsetof(IntelFacts, feodo_malware_family)},
    {"threatfox_listed", FACT_TRISTATE, offsetof(IntelFacts, threatfox_listed)},
    {"threatfox_threat_types", FACT_STRS, offsetof(IntelFacts, threatfox_threat_types)},
    {"threatfox_ioc_types", FACT_STRS, offsetof(IntelFacts, threatfox_ioc_types)},
    {"threatfox_malware_families", FACT_STRS, offsetof(IntelFacts, threatfox_malware_families)},
};

static void put_fact(const IntelFacts *facts, const Fact *fact, Evidence *e)
{
    const void *at = (const char *)facts + fact->offset;

    switch (fact->type) {
    case FACT_STR:
        evidence_put_str(e, fact->key, *(const Str *)at);
        break;
    case FACT_STRS:
        evidence_put_strs(e, fact->key, *(const StrList *)at);
        break;
    case FACT_INTS:
        evidence_put_ints(e, fact->key, *(const IntList *)at);
        break;
    case FACT_TRISTATE:
        if (*(const Tristate *)at == TRI_UNKNOWN)
            evidence_put_null(e, fact->key);
        else
            evidence_put_bool(e, fact->key, *(const Tristate *)at == TRI_YES);
        break;
    case FACT_SCORE:
        if (facts->has_abuseipdb_score)
            evidence_put_double(e, fact->key, *(const double *)at);
        else
            evidence_put_null(e, fact->key);
        break;
    }
}

/* --- providers --- */

static StrList one(Arena *arena, Str s)
{
    Str *item = arena_alloc(arena, sizeof(*item));
    *item = s;
    return (StrList){item, s.data && s.len ? 1 : 0};
}

/* A score outside of its range is no answer: it would make a confidence outside of its own. */
static bool abuseipdb_answers(const IntelFacts *facts, const char *input, Arena *arena, StrList *ret)
{
    IntList categories = facts->abuseipdb_categories;
    Str *items = arena_alloc(arena, categories.n * sizeof(*items));

    if (!facts->has_abuseipdb_score || !(facts->abuseipdb_score >= 0 && facts->abuseipdb_score <= 100))
        return false;
    for (size_t i = 0; i < categories.n; i++)
        items[i] = str_from(arena_printf(arena, "%lld", (long long)categories.items[i]));
    *ret = (StrList){items, categories.n};
    return true;
}

static double abuseipdb_scale(const IntelFacts *facts)
{
    return facts->abuseipdb_score / 100;
}

static void abuseipdb_evidence(const IntelFacts *facts, const IntelVerdict *verdict, Arena *arena, Evidence *e)
{
    int64_t *categories = arena_alloc(arena, verdict->values.n * sizeof(*categories));
    size_t n = 0;

    for (size_t i = 0; i < verdict->values.n; i++)
        n += text_to_int64(verdict->values.items[i], &categories[n]);
    evidence_put_ints(e, "abuseipdb_categories", (IntList){categories, n});
    evidence_put_int(e, "abuse_confidence_score", (int64_t)facts->abuseipdb_score);
}

static bool greynoise_answers(const IntelFacts *facts, const char *input, Arena *arena, StrList *ret)
{
    *ret = strcmp(input, "tag") == 0 ? facts->greynoise_tags : one(arena, facts->greynoise_classification);
    return true;
}

static void greynoise_evidence(const IntelFacts *facts, const IntelVerdict *verdict, Arena *arena, Evidence *e)
{
    evidence_put_str(e, "greynoise_classification", facts->greynoise_classification);
    evidence_put_strs(e, "greynoise_tags", verdict->values);
}

static bool feodo_answers(const IntelFacts *facts, const char *input, Arena *arena, StrList *ret)
{
    *ret = one(arena, facts->feodo_listed == TRI_YES ? STR("true") : (Str){0});
    return true;
}

static void feodo_evidence(const IntelFacts *facts, const IntelVerdict *verdict, Arena *arena, Evidence *e)
{
    evidence_put_bool(e, "feodo_listed", true);
    if (facts->feodo_malware_family.len)
        evidence_put_str(e, "malware_family", facts->feodo_malware_family);
}

static bool threatfox_answers(const IntelFacts *facts, const char *input, Arena *arena, StrList *ret)
{
    *ret = facts->threatfox_threat_types;
    return true;
}

static void threatfox_evidence(const IntelFacts *facts, const IntelVerdict *verdict, Arena *arena, Evidence *e)
{
    evidence_put_strs(e, "threat_types", verdict->values);
    if (facts->threatfox_malware_families.n)
        evidence_put_strs(e, "malware_families", facts->threatfox_malware_families);
    if (facts->threatfox_ioc_types.n)
        evidence_put_strs(e, "ioc_types", facts->threatfox_ioc_types);
}

const Lifter lifters_intel[] = {
    {.name = "lifter:intel_abuseipdb",
     .family = LIFTER_INTEL,
     .kind = TTP_INTEL,
     .provider = "abuseipdb",
     .inputs = WORDS("category"),
     .evidence_fields = WORDS("abuseipdb_categories", "abuseipdb_score", "abuse_confidence_score"),
     .intel_answers = abuseipdb_answers,
     .intel_scale = abuseipdb_scale,
     .intel_evidence = abuseipdb_evidence},
    {.name = "lifter:intel_greynoise",
     .family = LIFTER_INTEL,
     .kind = TTP_INTEL,
     .provider = "greynoise",
     .inputs = WORDS("classification", "tag"),
     .evidence_fields = WORDS("greynoise_classification", "greynoise_tags", "greynoise_name"),
     .intel_answers = greynoise_answers,
     .intel_evidence = greynoise_evidence},
    {.name = "lifter:intel_feodo",
     .family = LIFTER_INTEL,
     .kind = TTP_INTEL,
     .provider = "feodo",
     .inputs = WORDS("listed"),
     .evidence_fields = WORDS("feodo_listed", "feodo_malware_family", "first_seen_feodo", "malware_family"),
     .intel_answers = feodo_answers,
     .intel_evidence = feodo_evidence},
    {.name = "lifter:intel_threatfox",
     .family = LIFTER_INTEL,
     .kind = TTP_INTEL,
     .provider = "threatfox",
     .inputs = WORDS("threat_type"),
     .evidence_fields = WORDS("threatfox_threat_types", "threatfox_ioc_types", "threatfox_malware_families",
                              "threat_types", "malware_families", "ioc_types"),
     .intel_answers = threatfox_answers,
     .intel_evidence = threatfox_evidence},
    /* Would raise earlier tags, and confidence is never raised: known so that its rule loads, and inert. */
    {.name = "lifter:intel_aggregate",
     .family = LIFTER_INTEL,
     .kind = TTP_INTEL,
     .evidence_fields = WORDS("aggregate_verdict", "bumped_rule_ids")},
};
const size_t n_lifters_intel = ARRAY_SIZE(lifters_intel);

/* --- judging --- */

static bool speaks_for(const TtpSignal *signal, const char *technique)
{
    for (size_t i = 0; i < signal->n_techniques; i++)
        if (strcmp(signal->techniques[i], technique) == 0)
            return true;
    return false;
}

/* The highest multiplier of the signals that @answer to @input triggers for @technique; 0 for none. */
static double weigh(const TtpRule *rule, const char *technique, const char *input, Str answer, double score,
                    bool fallback)
{
    double best = 0;

    for (size_t i = 0; i < rule->n_signals; i++) {
        const TtpSignal *s = &rule->signals[i];
        if (s->fallback == fallback && score >= s->min_score && strcmp(s->input, input) == 0 &&
            str_eq_cstr(answer, s->value) && speaks_for(s, technique))
            best = MAX(best, s->multiplier);
    }
    return best;
}

static void add_value(StrList *list, Str *items, Str value)
{
    for (size_t i = 0; i < list->n; i++)
        if (str_eq(items[i], value))
            return;
    items[list->n++] = value;
    list->items = items;
}

static IntelVerdict judge_pass(const TtpRule *rule, const char *technique, const IntelFacts *facts, bool fallback,
                               Arena *arena)
{
    const Lifter *lifter = rule->lifter;
    IntelVerdict verdict = {0};
    double score = lifter->intel_scale ? facts->abuseipdb_score : 0;

    for (const char *const *input = lifter->inputs; *input; input++) {
        StrList answers = {0};
        if (!lifter->intel_answers(facts, *input, arena, &answers))
            continue;
        Str *items = arena_alloc(arena, (verdict.values.n + answers.n) * sizeof(*items));
        if (verdict.values.n)
            memcpy(items, verdict.values.items, verdict.values.n * sizeof(*items));
        for (size_t i = 0; i < answers.n; i++) {
            double weight = weigh(rule, technique, *input, answers.items[i], score, fallback);
            verdict.multiplier = MAX(verdict.multiplier, weight);
            if (weight > 0)
                add_value(&verdict.values, items, answers.items[i]);
        }
    }
    return verdict;
}

IntelVerdict lifter_intel_judge(const TtpRule *rule, const TtpEmit *emit, const IntelFacts *facts, Arena *arena)
{
    const Lifter *lifter = rule->lifter;
    IntelVerdict verdict = {0};

    if (!lifter->intel_answers)
        return verdict;
    verdict = judge_pass(rule, emit->technique, facts, false, arena);
    if (verdict.multiplier <= 0)
        verdict = judge_pass(rule, emit->technique, facts, true, arena);
    if (lifter->intel_scale)
        verdict.multiplier *= lifter->intel_scale(facts);
    return verdict;
}

void lifter_intel_evidence(const TtpRule *rule, const IntelFacts *facts, const IntelVerdict *verdict, Arena *arena,
                           Evidence *evidence)
{
    for (size_t i = 0; i < rule->n_evidence_fields; i++)
        for (size_t k = 0; k < ARRAY_SIZE(facts_table); k++)
            if (strcmp(facts_table[k].key, rule->evidence_fields[i]) == 0)
                put_fact(facts, &facts_table[k], evidence);
    rule->lifter->intel_evidence(facts, verdict, arena, evidence);
}
