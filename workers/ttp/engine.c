/* Loading, matching with memory, and building tags. */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

#include "lifter.h"
#include "lifter_pattern.h"
#include "memo.h"

typedef struct RuleState {
    bool disabled;
    double confidence_max;
} RuleState;

struct TtpEngine {
    AttackCatalog *catalog;
    TtpRuleSet *rules;
    PatternMatcher *matcher;
    Memo *memo;
    RuleState *states;    /* per rule */
    uint32_t *fired;      /* room for all rules */
    const TtpRule **hits; /* the same */
    Buf warnings;
    TtpEngineStats stats;
};

static int engine_prepare(TtpEngine *e)
{
    size_t n = e->rules->n_rules;

    e->memo = memo_new(LIMIT_MEMO_COMMANDS, LIMIT_MEMO_BYTES);
    e->states = calloc(n + 1, sizeof(*e->states));
    e->fired = calloc(n + 1, sizeof(*e->fired));
    e->hits = calloc(n + 1, sizeof(*e->hits));
    if (!e->states || !e->fired || !e->hits)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++)
        e->states[i].confidence_max = 1;
    buf_add_str(&e->warnings, buf_str(&e->rules->warnings));
    const char *kept = pattern_pack_warning(pattern_matcher_pack(e->matcher));
    if (kept)
        buf_printf(&e->warnings, "%s; make the folder writable or correct cache_dir\n", kept);
    return 0;
}

int ttp_engine_load(const char *rules_path, const char *catalog_path, const char *cache_dir, TtpEngine **ret,
                    char **ret_error)
{
    cleanup(ttp_engine_freep) TtpEngine *e = calloc(1, sizeof(*e));

    *ret_error = NULL;
    int r = e ? attack_catalog_load(catalog_path, &e->catalog, ret_error) : -ENOMEM;
    if (r == 0)
        r = ttp_rules_load(rules_path, e->catalog, &e->rules, ret_error);
    if (r == 0)
        r = pattern_matcher_new(e->rules, cache_dir, &e->matcher, ret_error);
    if (r == 0)
        r = engine_prepare(e);
    if (r == 0)
        *ret = TAKE_PTR(e);
    else if (!*ret_error)
        *ret_error = strdup(strerror(-r));
    return r;
}

void ttp_engine_free(TtpEngine *e)
{
    if (!e)
        return;
    memo_free(e->memo);
    pattern_matcher_free(e->matcher);
    ttp_rules_free(e->rules);
    attack_catalog_free(e->catalog);
    free(e->states);
    free(e->fired);
    free(e->hits);
    buf_free(&e->warnings);
    free(e);
}

const AttackCatalog *ttp_engine_catalog(const TtpEngine *e)
{
    return e->catalog;
}

const TtpRuleSet *ttp_engine_rules(const TtpEngine *e)
{
    return e->rules;
}

const char *ttp_engine_warnings(const TtpEngine *e)
{
    return e->warnings.data ? e->warnings.data : "";
}

TtpEngineStats ttp_engine_stats(const TtpEngine *e)
{
    const PatternPack *pack = pattern_matcher_pack(e->matcher);
    TtpEngineStats stats = e->stats;

    stats.memo_entries = memo_entries(e->memo);
    stats.memo_bytes = memo_bytes(e->memo);
    stats.confirm_limit_hits = pattern_pack_limit_hits(pack);
    stats.rules = e->rules->n_rules;
    stats.patterns = pattern_matcher_patterns(e->matcher);
    stats.patterns_confirmed = pattern_pack_confirmed(pack);
    stats.pack_from_cache = pattern_pack_from_cache(pack);
    return stats;
}

int ttp_engine_set_state(TtpEngine *e, const char *rule_id, bool enabled, double confidence_max)
{
    for (size_t i = 0; i < e->rules->n_rules; i++) {
        if (strcmp(e->rules->rules[i]->id, rule_id) != 0)
            continue;
        e->states[i] = (RuleState){.disabled = !enabled, .confidence_max = confidence_max};
        return 0;
    }
    return -ENOENT;
}

/* Rule indices to rules, without those an operator switched off. */
static size_t give_rules(const TtpEngine *e, const uint32_t *indices, size_t n, const TtpRule **ret_rules, size_t max)
{
    size_t given = 0;

    for (size_t i = 0; i < n && given < max; i++)
        if (!e->states[indices[i]].disabled)
            ret_rules[given++] = e->rules->rules[indices[i]];
    return given;
}

size_t ttp_engine_match_command(TtpEngine *e, Str command, const TtpRule **ret_rules, size_t max)
{
    MemoEntry known;

    command = text_clip(command, LIMIT_COMMAND_BYTES);
    uint64_t hash = memo_hash(command);
    e->stats.commands++;
    if (memo_get(e->memo, command, hash, &known)) {
        e->stats.memo_hits++;
        return give_rules(e, known.values, known.n, ret_rules, max);
    }
    size_t n = pattern_matcher_run(e->matcher, TTP_COMMAND, ttp_kind_field(TTP_COMMAND), command, e->fired);
    memo_put(e->memo, command, hash, e->fired, n); /* what fires, not what is enabled: that may change */
    return give_rules(e, e->fired, n, ret_rules, max);
}

size_t ttp_engine_match_field(TtpEngine *e, TtpKind kind, const char *field, Str text, const TtpRule **ret_rules,
                              size_t max)
{
    size_t n = pattern_matcher_run(e->matcher, kind, field, text_clip(text, LIMIT_COMMAND_BYTES), e->fired);
    return give_rules(e, e->fired, n, ret_rules, max);
}

/* --- tags --- */

Uuid ttp_tag_id(Str source_kind, Str source_id, Str rule_id, int64_t rule_version, Str technique, Str sub)
{
    char version[24];
    int n = snprintf(version, sizeof(version), "%lld", (long long)rule_version);
    Str parts[] = {source_kind, source_id, rule_id, {version, (size_t)n}, technique, sub};

    return uuid_v5_joined(&UUID_NS_TTP_TAG, parts, ARRAY_SIZE(parts));
}

static TtpTag *add_tag(Arena *arena, TtpTags *tags)
{
    if (tags->n == tags->cap) {
        size_t cap = MAX(tags->cap * 2, 16);
        TtpTag *grown = arena_alloc(arena, cap * sizeof(*grown));
        if (tags->n)
            memcpy(grown, tags->items, tags->n * sizeof(*grown));
        tags->items = grown;
        tags->cap = cap;
    }
    return &tags->items[tags->n++];
}

/* What is left of a rule's confidence after scaling and an operator's ceiling; below the floor it is counted. */
static bool confidence_of(TtpEngine *e, const TtpRule *rule, const TtpEmit *emit, double multiplier, double *ret)
{
    *ret = MIN(emit->confidence * multiplier, e->states[rule->index].confidence_max);
    if (*ret >= TTP_CONFIDENCE_FLOOR)
        return true;
    e->stats.suppressed++;
    return false;
}

static Str finish_evidence(TtpEngine *e, Arena *arena, Evidence *evidence)
{
    Str json = evidence_json(arena, evidence);
    e->stats.evidence_truncated += evidence->truncated;
    return json;
}

/* Everything of a tag but its evidence. */
static TtpTag tag_for(TtpKind kind, Str source_id, const TtpRule *rule, const TtpEmit *emit, double confidence,
                      int64_t observed_at_us)
{
    return (TtpTag){
        .uuid = ttp_tag_id(str_from(ttp_kind_name(kind)), source_id, str_from(rule->id), rule->version,
                           str_from(emit->technique), str_from(emit->sub)),
        .source_kind = kind,
        .source_id = source_id,
        .rule = rule,
        .tactic = emit->tactic,
        .technique = emit->technique,
        .sub = emit->sub,
        .confidence = confidence,
        .mitre_url = emit->url,
        .observed_at_us = observed_at_us,
    };
}

/* The rule's evidence fields that the event has, then who typed it and where from, as far as known. */
static void command_evidence(const TtpRule *rule, const TtpCommand *c, Evidence *evidence)
{
    const struct {
        const char *key;
        Str value;
        bool always;
    } fields[] = {{"command_text", c->text, false},
                  {"uid", c->uid, true},
                  {"user", c->user, true},
                  {"src", c->src, true},
                  {"pwd", c->pwd, true}};

    for (size_t i = 0; i < rule->n_evidence_fields; i++)
        for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
            if (fields[k].value.data && strcmp(fields[k].key, rule->evidence_fields[i]) == 0)
                evidence_put_str(evidence, fields[k].key, fields[k].value);
    for (size_t k = 0; k < ARRAY_SIZE(fields); k++)
        if (fields[k].always && fields[k].value.data && !evidence_has(evidence, fields[k].key))
            evidence_put_str(evidence, fields[k].key, fields[k].value);
    evidence->truncated = c->truncated;
}

void ttp_tags_for_command(TtpEngine *e, Arena *arena, const TtpCommand *command, TtpTags *tags)
{
    size_t n = ttp_engine_match_command(e, command->text, e->hits, e->rules->n_rules);

    for (size_t i = 0; i < n; i++) {
        const TtpRule *rule = e->hits[i];
        Str json = {0}; /* the same for all emits of a rule */
        for (size_t k = 0; k < rule->n_emits; k++) {
            double confidence;
            if (!confidence_of(e, rule, &rule->emits[k], 1, &confidence))
                continue;
            if (!json.data) {
                Evidence evidence = {0};
                command_evidence(rule, command, &evidence);
                json = finish_evidence(e, arena, &evidence);
            }
            TtpTag *tag = add_tag(arena, tags);
            *tag = tag_for(TTP_COMMAND, command->source_id, rule, &rule->emits[k], confidence, command->observed_at_us);
            tag->evidence = json;
        }
    }
}

void ttp_tags_for_intel(TtpEngine *e, Arena *arena, const IntelFacts *facts, Str source_id, TtpTags *tags)
{
    for (size_t i = 0; i < e->rules->n_rules; i++) {
        const TtpRule *rule = e->rules->rules[i];
        if (rule->lifter->family != LIFTER_INTEL || e->states[i].disabled)
            continue;
        for (size_t k = 0; k < rule->n_emits; k++) {
            IntelVerdict verdict = lifter_intel_judge(rule, &rule->emits[k], facts, arena);
            double confidence;
            if (verdict.values.n == 0 || !confidence_of(e, rule, &rule->emits[k], verdict.multiplier, &confidence))
                continue;
            Evidence evidence = {0};
            lifter_intel_evidence(rule, facts, &verdict, arena, &evidence);
            TtpTag *tag = add_tag(arena, tags);
            *tag = tag_for(TTP_INTEL, source_id, rule, &rule->emits[k], confidence, facts->cached_at_us);
            tag->evidence = finish_evidence(e, arena, &evidence);
        }
    }
}
