/* The tagging engine: rules, catalogue and compiled patterns together, pure after loading: text or facts in, tags
 * out. One engine belongs to one thread. Everything a tag points to lives in the engine or in the arena given. */
#pragma once

#include "event/intel_facts.h"

#include "rule.h"

#define TTP_CONFIDENCE_FLOOR 0.3 /* a tag strictly below it is not kept (ttp 2.5) */

typedef struct TtpEngine TtpEngine;

typedef struct TtpEngineStats {
    uint64_t commands;           /* given to ttp_engine_match_command() */
    uint64_t memo_hits;          /* of these, answered from memory */
    uint64_t suppressed;         /* tags below TTP_CONFIDENCE_FLOOR */
    uint64_t evidence_truncated; /* tags whose evidence was cut */
    uint64_t confirm_limit_hits; /* confirming matches that were given up at a LIMIT_PCRE2_* */
    size_t memo_entries, memo_bytes;
    size_t rules, patterns, patterns_confirmed; /* confirmed: those that need PCRE2 */
    bool pack_from_cache;
} TtpEngineStats;

/* Load rules and catalogue and compile the patterns. @cache_dir may be NULL or "" (no cache); a cache that cannot be
 * written is a warning. Returns 0, or a negative errno (-EINVAL for anything wrong in a file) with *ret_error (caller
 * frees): lines "file:line: what; what to do". */
int ttp_engine_load(const char *rules_path, const char *catalog_path, const char *cache_dir, TtpEngine **ret,
                    char **ret_error) must_check;
void ttp_engine_free(TtpEngine *engine); /* accepts NULL */
static inline void ttp_engine_freep(TtpEngine **p)
{
    ttp_engine_free(*p);
}

const AttackCatalog *ttp_engine_catalog(const TtpEngine *engine);
const TtpRuleSet *ttp_engine_rules(const TtpEngine *engine);
const char *ttp_engine_warnings(const TtpEngine *engine); /* lines for the operator; "" when there are none */
TtpEngineStats ttp_engine_stats(const TtpEngine *engine);

/* An operator's word on one rule: off, or its confidence limited to @confidence_max (1: not limited). Returns 0, or
 * -ENOENT when no rule has that id. */
int ttp_engine_set_state(TtpEngine *engine, const char *rule_id, bool enabled, double confidence_max) must_check;

/* The rules that fire on @command (at most LIMIT_COMMAND_BYTES of it count), in the order of their ids; returns how
 * many were stored, at most @max. Any bytes are allowed. */
size_t ttp_engine_match_command(TtpEngine *engine, Str command, const TtpRule **ret_rules, size_t max);
/* The same for one field of an event of any kind judged by patterns, without memory of earlier texts. */
size_t ttp_engine_match_field(TtpEngine *engine, TtpKind kind, const char *field, Str text, const TtpRule **ret_rules,
                              size_t max);

/* --- tags --- */

typedef struct TtpTag {
    Uuid uuid;
    TtpKind source_kind;
    Str source_id;
    const TtpRule *rule;
    const char *tactic, *technique, *sub; /* sub NULL when none */
    double confidence;                    /* TTP_CONFIDENCE_FLOOR .. 1 */
    Str evidence;                         /* JSON object, raw (masked when shown) */
    const char *mitre_url;
    int64_t observed_at_us; /* when it happened; TIME_NONE when unknown */
} TtpTag;

typedef struct TtpTags {
    TtpTag *items; /* in the arena that each call is given: one arena for one list */
    size_t n, cap;
} TtpTags;

/* UUIDv5 over the six parts joined by '|'; @sub absent or empty when there is none. */
Uuid ttp_tag_id(Str source_kind, Str source_id, Str rule_id, int64_t rule_version, Str technique, Str sub);

typedef struct TtpCommand {
    Str source_id, text;
    bool truncated;          /* text was cut to LIMIT_COMMAND_BYTES */
    Str uid, user, src, pwd; /* absent when the event has none */
    int64_t observed_at_us;
} TtpCommand;

/* Append the tags of one command. */
void ttp_tags_for_command(TtpEngine *engine, Arena *arena, const TtpCommand *command, TtpTags *tags);

/* Append the tags of one attacker's intelligence; @source_id is the attacker's uuid as text. */
void ttp_tags_for_intel(TtpEngine *engine, Arena *arena, const IntelFacts *facts, Str source_id, TtpTags *tags);
