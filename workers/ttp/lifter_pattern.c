/* Engine rules: what the text of one field contains. All their patterns are searched for in one pass. */
#include "lifter_pattern.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "pack.h"

const Lifter lifter_pattern = {.family = LIFTER_PATTERN};

struct PatternMatcher {
    const TtpRuleSet *rules;
    PatternPack *pack;
    uint32_t *rule_of; /* pattern index -> rule index */
    size_t n_patterns;
    uint32_t *ids;  /* room for one scan */
    uint8_t *fired; /* per rule, all 0 between calls */
};

static size_t count_patterns(const TtpRuleSet *rules)
{
    size_t n = 0;
    for (size_t i = 0; i < rules->n_rules; i++)
        n += rules->rules[i]->n_patterns;
    return n;
}

/* The rule's file and line, which pattern, and why. */
static char *explain(const PatternMatcher *m, size_t index, const char *why)
{
    char *text = NULL;
    int n;

    if (index >= m->n_patterns) {
        n = asprintf(&text, "the rules do not compile: %s; reduce them", why);
    } else {
        const TtpRule *rule = m->rules->rules[m->rule_of[index]];
        size_t place = index;
        while (place > 0 && m->rule_of[place - 1] == m->rule_of[index])
            place--;
        n = asprintf(&text, "%s:%u: pattern %zu of %zu does not compile: %s; correct the regular expression",
                     rule->file, rule->pattern_line, index - place + 1, rule->n_patterns, why);
    }
    return n < 0 ? NULL : text;
}

int pattern_matcher_new(const TtpRuleSet *rules, const char *cache_dir, PatternMatcher **ret, char **ret_error)
{
    cleanup(pattern_matcher_freep) PatternMatcher *m = calloc(1, sizeof(*m));
    cleanup(freep) PackPattern *patterns = NULL;
    cleanup(freep) char *why = NULL;
    size_t n = count_patterns(rules), at = 0, index = 0;

    patterns = calloc(n + 1, sizeof(*patterns));
    if (!m || !patterns)
        return -ENOMEM;
    *m = (PatternMatcher){.rules = rules,
                          .n_patterns = n,
                          .rule_of = calloc(n + 1, sizeof(uint32_t)),
                          .ids = calloc(n + 1, sizeof(uint32_t)),
                          .fired = calloc(rules->n_rules + 1, 1)};
    if (!m->rule_of || !m->ids || !m->fired)
        return -ENOMEM;
    for (size_t i = 0; i < rules->n_rules; i++) {
        const TtpRule *rule = rules->rules[i];
        for (size_t k = 0; k < rule->n_patterns; k++, at++) {
            patterns[at] = (PackPattern){rule->patterns[k], rule->icase};
            m->rule_of[at] = (uint32_t)i;
        }
    }
    int r = pattern_pack_compile(patterns, n, cache_dir, &m->pack, &index, &why);
    if (r == 0)
        *ret = TAKE_PTR(m);
    else if (why)
        *ret_error = explain(m, index, why);
    return r;
}

void pattern_matcher_free(PatternMatcher *m)
{
    if (!m)
        return;
    pattern_pack_free(m->pack);
    free(m->rule_of);
    free(m->ids);
    free(m->fired);
    free(m);
}

const PatternPack *pattern_matcher_pack(const PatternMatcher *m)
{
    return m->pack;
}

size_t pattern_matcher_patterns(const PatternMatcher *m)
{
    return m->n_patterns;
}

static bool looks_at(const TtpRule *rule, TtpKind kind, const char *field)
{
    const char *own = rule->field ? rule->field : ttp_kind_field(kind);
    return (rule->kinds & 1u << kind) && own && strcmp(own, field) == 0;
}

size_t pattern_matcher_run(PatternMatcher *m, TtpKind kind, const char *field, Str text, uint32_t *ret_rules)
{
    size_t hits = pattern_pack_scan(m->pack, text, m->ids), n = 0;

    for (size_t i = 0; i < hits; i++) {
        uint32_t rule = m->rule_of[m->ids[i]];
        if (m->fired[rule] || !looks_at(m->rules->rules[rule], kind, field))
            continue;
        m->fired[rule] = 1;
        size_t at = n++;
        for (; at > 0 && ret_rules[at - 1] > rule; at--) /* few fire at once: insertion keeps their order */
            ret_rules[at] = ret_rules[at - 1];
        ret_rules[at] = rule;
    }
    for (size_t i = 0; i < n; i++)
        m->fired[ret_rules[i]] = 0;
    return n;
}
