/* The matcher behind engine rules. */
#pragma once

#include "lifter.h"
#include "pack.h"

typedef struct PatternMatcher PatternMatcher;

/* Compile the patterns of @rules (borrowed, must outlive the matcher). Errors as pattern_pack_compile(), with the
 * rule's file and line in *ret_error. */
int pattern_matcher_new(const TtpRuleSet *rules, const char *cache_dir, PatternMatcher **ret,
                        char **ret_error) must_check;
void pattern_matcher_free(PatternMatcher *m); /* accepts NULL */
static inline void pattern_matcher_freep(PatternMatcher **p)
{
    pattern_matcher_free(*p);
}

const PatternPack *pattern_matcher_pack(const PatternMatcher *m);
size_t pattern_matcher_patterns(const PatternMatcher *m);

/* Indices of the rules for @field of events of @kind that fire on @text, ascending, into @ret_rules (room for all
 * rules of the set); returns their number. */
size_t pattern_matcher_run(PatternMatcher *m, TtpKind kind, const char *field, Str text, uint32_t *ret_rules);
