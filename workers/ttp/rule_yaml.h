/* The YAML of a rule file as plain text fields: what libcyaml reads, before anything is judged. Everything is text
 * (numbers and booleans too) because libcyaml would take "2", 0x2 or `maybe` where a rule must say 2 or true. */
#pragma once

#include "base/text.h"

typedef struct RawEmit {
    char *tactic, *technique_id, *sub_technique_id, *confidence;
} RawEmit;

typedef struct RawSignal {
    char *input, *value, *label, *min_score, *multiplier, *fallback;
    char **techniques;
    unsigned n_techniques;
} RawSignal;

typedef struct RawMatch {
    char *kind, *pattern, *field, *icase, *provider, *bump_amount;
    char **patterns;
    unsigned n_patterns;
    RawSignal *signals;
    unsigned n_signals;
} RawMatch;

typedef struct RawRule {
    char *rule_id, *rule_version, *name, *description, *last_reviewed, *next_review;
    char **applies_to, **evidence_fields;
    unsigned n_applies_to, n_evidence_fields;
    RawMatch match;
    RawEmit *emits;
    unsigned n_emits;
} RawRule;

/* Returns the rule, to be given to raw_rule_free(), or NULL after appending one line "file:line: what" to @errors. */
RawRule *raw_rule_read(Str yaml, const char *file, Buf *errors) must_check;
void raw_rule_free(RawRule *raw); /* accepts NULL */
static inline void raw_rule_freep(RawRule **p)
{
    raw_rule_free(*p);
}

/* Where the @nth (from 0) "key:" stands in @yaml: its line from 1 (1 when it is nowhere), and in *ret_value (may be
 * NULL) what follows it on that line. libcyaml forgets positions once a document is read. */
unsigned yaml_find_key(Str yaml, const char *key, size_t nth, Str *ret_value);
/* Line of the first place where @text stands, as it is or as a single-quoted scalar; 0 when it is nowhere. */
unsigned yaml_find_text(Str yaml, const char *text);
