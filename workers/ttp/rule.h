/* Tagging rules: one YAML file per rule, checked against the ATT&CK catalogue and immutable once loaded.
 *
 *   rule_id: R0012                  equals the file's name without .yaml; no two files of one folder share it
 *   rule_version: 1                 integer from 1; part of every tag's id
 *   name: ingress_tool_transfer
 *   description: text               optional
 *   applies_to: [command]           kinds of event
 *   match:                          of an engine rule: what the text must contain
 *     pattern: 'regex'              or `patterns: [...]`, any of which suffices
 *     field: command_text           optional, else the kind's usual field
 *     icase: true                   optional, letters of either case
 *   match:                          of a lifter rule
 *     kind: lifter:intel_greynoise  who judges
 *     provider, signals, bump_amount  its parameters (lifter_intel.c)
 *   emits:                          techniques that one match proves
 *     - {tactic: TA0011, technique_id: T1105, sub_technique_id: optional, confidence: 0.85}
 *   evidence_fields: [command_text] optional: what of the event goes into the tag
 *   last_reviewed, next_review      optional, for people
 */
#pragma once

#include "base/text.h"

#include "catalog.h"

/* Kinds of event that rules apply to; the names are ttp_kind_name(). */
typedef enum TtpKind {
    TTP_COMMAND,
    TTP_INTEL,
    TTP_EMAIL,
    TTP_CANARY_FINGERPRINT,
    TTP_IDENTITY,
    TTP_CREDENTIAL,
    TTP_AUTH_ATTEMPT,
    TTP_PAYLOAD,
    TTP_SESSION,
    TTP_HTTP_REQUEST,
    TTP_HTTP_FINGERPRINT,
    TTP_IPV6_LEAK,
    TTP_KIND_N
} TtpKind;

const char *ttp_kind_name(TtpKind kind); /* "command", "intel" … as in ttp_tag.source_kind */
/* The field an engine rule looks at when it names none ("command_text"), or NULL when the kind has none. */
const char *ttp_kind_field(TtpKind kind);

typedef struct TtpEmit {
    const char *tactic, *technique, *sub; /* sub: full dotted id, or NULL */
    double confidence;                    /* 0.0 .. 1.0 */
    const char *url;                      /* of sub, else of technique */
} TtpEmit;

/* One row of a provider's mapping: an answer and the techniques it speaks for. */
typedef struct TtpSignal {
    const char *input, *value, *label; /* label may be NULL */
    double min_score;                  /* the provider's score must reach it; 0 when absent */
    double multiplier;                 /* of the emit's confidence */
    bool fallback;                     /* counts only for techniques that no other signal selects */
    const char *const *techniques;
    size_t n_techniques;
} TtpSignal;

typedef struct Lifter Lifter; /* lifter.h */

typedef struct TtpRule {
    const char *id, *name, *description;
    int version;
    unsigned kinds; /* bit 1 << TtpKind */
    const Lifter *lifter;
    const char *const *patterns;
    size_t n_patterns;
    const char *field; /* NULL: the kind's usual one */
    bool icase;
    const TtpSignal *signals;
    size_t n_signals;
    const TtpEmit *emits;
    size_t n_emits;
    const char *const *evidence_fields;
    size_t n_evidence_fields;
    const char *file;      /* where it was read from */
    unsigned pattern_line; /* of its first pattern, for messages of whoever compiles it */
    size_t index;          /* place in its set: order of file names */
} TtpRule;

typedef struct TtpRuleSet {
    Arena *arena;
    TtpRule **rules; /* in the order of their ids */
    size_t n_rules;
    Buf warnings; /* one line each: revoked techniques that were mapped, missing folders */
} TtpRuleSet;

/* Read every <rule_id>.yaml of the folders in @path (':' between them; of two rules with one id the later folder
 * wins) and check it against @catalog, which must outlive the set. A folder that does not exist is a warning; a path
 * without any rule is an error. All files are read before giving up: on failure (-EINVAL, or the negative errno of reading) *ret_error (caller frees)
 * has one line "file:line: what is wrong; what to do" for each fault. */
int ttp_rules_load(const char *path, const AttackCatalog *catalog, TtpRuleSet **ret, char **ret_error) must_check;
void ttp_rules_free(TtpRuleSet *set); /* accepts NULL */
static inline void ttp_rules_freep(TtpRuleSet **p)
{
    ttp_rules_free(*p);
}

/* One rule from memory, as one file would give it. @file is its name in messages; its stem must be the rule's id.
 * @arena receives the rule, @warnings and @errors lines as above. Returns NULL after at least one error. */
TtpRule *ttp_rule_parse(Arena *arena, Str yaml, const char *file, const AttackCatalog *catalog, Buf *warnings,
                        Buf *errors) must_check;
