/* Judging one rule: raw text fields in, a checked immutable rule out, or one line for each fault. */
#include "rule.h"

#include <ctype.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "lifter.h"
#include "rule_yaml.h"

typedef struct KindInfo {
    const char *name, *field;
    bool patterns;             /* engine rules may judge it */
    const char *const *fields; /* what an engine rule may look at and put into evidence, NULL-terminated */
} KindInfo;

#define FIELDS(...) ((const char *const[]){__VA_ARGS__, NULL})
static const KindInfo kinds[TTP_KIND_N] = {
    [TTP_COMMAND] = {"command", "command_text", true, FIELDS("command_text", "uid", "user", "src", "pwd")},
    [TTP_HTTP_REQUEST] = {"http_request", "raw_url", true,
                          FIELDS("raw_url", "user_agent", "headers", "matched_path", "namespace")},
    [TTP_AUTH_ATTEMPT] = {"auth_attempt", "username", true,
                          FIELDS("username", "service", "fail_count", "password_count", "window_start")},
    [TTP_PAYLOAD] = {"payload", "payload_text", true, FIELDS("payload_text", "payload_sha256", "matched_tokens")},
    [TTP_INTEL] = {"intel", "verdict", false, NULL},
    [TTP_EMAIL] = {"email", "subject", false, NULL},
    [TTP_CANARY_FINGERPRINT] = {"canary_fingerprint", "ua_signature", false, NULL},
    [TTP_IDENTITY] = {"identity", NULL, false, NULL},
    [TTP_CREDENTIAL] = {"credential", NULL, false, NULL},
    [TTP_SESSION] = {"session", NULL, false, NULL},
    [TTP_HTTP_FINGERPRINT] = {"http_fingerprint", NULL, false, NULL},
    [TTP_IPV6_LEAK] = {"ipv6_leak", NULL, false, NULL},
};

const char *ttp_kind_name(TtpKind kind)
{
    return kinds[kind].name;
}

const char *ttp_kind_field(TtpKind kind)
{
    return kinds[kind].field;
}

typedef struct Parser {
    Arena *arena;
    Str yaml;
    const char *file;
    const AttackCatalog *catalog;
    Buf *warnings, *errors;
    const RawRule *raw;
    TtpRule *rule;
    bool failed;
} Parser;

printf_like(3, 0) static void add_line(Buf *buf, const Parser *p, const char *fmt, unsigned line, va_list ap)
{
    char *text = NULL;

    if (vasprintf(&text, fmt, ap) < 0)
        text = NULL;
    buf_printf(buf, "%s:%u: %s\n", p->file, line, text ? text : fmt);
    free(text);
}

printf_like(3, 4) static void fail(Parser *p, unsigned line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_line(p->errors, p, fmt, line, ap);
    va_end(ap);
    p->failed = true;
}

printf_like(3, 4) static void warn(Parser *p, unsigned line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add_line(p->warnings, p, fmt, line, ap);
    va_end(ap);
}

/* --- places --- */

static unsigned line_of(const Parser *p, const char *key)
{
    return yaml_find_key(p->yaml, key, 0, NULL);
}

/* The @nth "key:" behind "section:", so that the same words in a description do not count. */
static unsigned line_in(const Parser *p, const char *section, const char *key, size_t nth, Str *ret_value)
{
    Str head;
    unsigned before = yaml_find_key(p->yaml, section, 0, &head);
    size_t skip = head.data ? (size_t)(head.data - p->yaml.data) : 0;

    while (skip > 0 && p->yaml.data[skip - 1] != ':' && p->yaml.data[skip - 1] != '\n')
        skip--;
    /* An empty value was trimmed to its end, which may lie on the next line. */
    for (const char *c = p->yaml.data + skip; head.len == 0 && skip > 0 && c[-1] == '\n'; c--)
        skip--;
    Str rest = {p->yaml.data + skip, p->yaml.len - skip};
    return before - 1 + yaml_find_key(rest, key, nth, ret_value);
}

static unsigned emit_line(const Parser *p, const char *key, size_t i)
{
    return line_in(p, "emits", key, i, NULL);
}

/* --- text to values --- */

static bool is_quoted(Str value)
{
    return value.len && (value.data[0] == '"' || value.data[0] == '\'');
}

static const char *copy(Parser *p, const char *text)
{
    return text && text[0] ? str_cstr(p->arena, str_from(text)) : NULL;
}

static const char *const *copy_list(Parser *p, char *const *items, size_t n)
{
    const char **list = arena_calloc(p->arena, n, sizeof(*list));
    for (size_t i = 0; i < n; i++)
        list[i] = items[i] ? str_cstr(p->arena, str_from(items[i])) : "";
    return list;
}

static bool in_list(const char *const *list, const char *word)
{
    for (; list && *list; list++)
        if (strcmp(*list, word) == 0)
            return true;
    return false;
}

static const char *list_text(Parser *p, const char *const *list)
{
    cleanup(buf_free) Buf text = {0};
    for (; list && *list; list++)
        buf_printf(&text, "%s%s", text.len ? ", " : "", *list);
    return str_cstr(p->arena, buf_str(&text));
}

static double parse_number(Parser *p, const char *key, const char *text, double fallback, double min, double max,
                           unsigned line)
{
    double v;

    if (!text)
        return fallback;
    if (text_to_double(str_from(text), &v) && v >= min && v <= max)
        return v;
    fail(p, line, "`%s` is %s; write a number from %g to %g", key, text, min, max);
    return fallback;
}

static bool parse_bool(Parser *p, const char *key, const char *text, unsigned line)
{
    if (!text || strcmp(text, "false") == 0)
        return false;
    if (strcmp(text, "true") != 0)
        fail(p, line, "`%s` is %s; write true or false", key, text);
    return true;
}

/* --- the head --- */

static void check_id(Parser *p)
{
    const char *slash = strrchr(p->file, '/'), *stem = slash ? slash + 1 : p->file, *dot = strrchr(stem, '.');
    size_t n = dot ? (size_t)(dot - stem) : strlen(stem);
    const char *id = p->raw->rule_id;

    if (strlen(id) != n || strncmp(id, stem, n) != 0)
        fail(p, line_of(p, "rule_id"), "rule_id is `%s` but the file is called `%.*s`; they must be the same", id,
             (int)n, stem);
    for (const char *c = id; *c; c++) {
        if (isalnum((unsigned char)*c) || *c == '_')
            continue;
        fail(p, line_of(p, "rule_id"), "rule_id `%s` may hold letters, digits and _ only; rename the rule", id);
        break;
    }
    p->rule->id = str_cstr(p->arena, str_from(id));
}

static void check_version(Parser *p)
{
    Str written;
    unsigned line = yaml_find_key(p->yaml, "rule_version", 0, &written);
    int64_t v = 0;

    if (is_quoted(written) || !text_to_int64(str_from(p->raw->rule_version), &v) || v < 1 || v > INT_MAX)
        fail(p, line, "rule_version is %.*s; write an integer from 1, without quotes", (int)MIN(written.len, 40),
             written.data ? written.data : "");
    p->rule->version = (int)v;
}

static void check_applies_to(Parser *p)
{
    const char *names[TTP_KIND_N];

    for (size_t k = 0; k < TTP_KIND_N; k++)
        names[k] = kinds[k].name;
    for (size_t i = 0; i < p->raw->n_applies_to; i++) {
        const char *word = p->raw->applies_to[i];
        size_t k = 0;
        while (k < TTP_KIND_N && strcmp(word, names[k]) != 0)
            k++;
        if (k < TTP_KIND_N) {
            p->rule->kinds |= 1u << k;
            continue;
        }
        const char *near = text_nearest(str_from(word), names, TTP_KIND_N, 3);
        fail(p, line_of(p, "applies_to"), "applies_to names `%s`, which is no kind of event; %s%s", word,
             near ? "did you mean " : "docs/rules.md lists them", near ? near : "");
    }
    if (p->raw->n_applies_to == 0)
        fail(p, line_of(p, "applies_to"), "applies_to is empty; name at least one kind of event, such as command");
}

/* --- techniques --- */

/* The technique of today behind @id; NULL after a message when there is none. */
static const AttackTechnique *resolve(Parser *p, const char *id, const char *key, unsigned line)
{
    const AttackTechnique *t = attack_catalog_technique(p->catalog, id);
    const AttackTechnique *now = t ? attack_catalog_current(p->catalog, t) : NULL;
    const char *release = attack_catalog_release(p->catalog);

    if (!t)
        fail(p, line, "%s %s does not exist in ATT&CK %s; correct the id", key, id, release);
    else if (!now)
        fail(p, line, "%s %s was revoked without a successor in ATT&CK %s; choose another", key, id, release);
    else if (now->deprecated)
        fail(p, line, "%s %s is deprecated in ATT&CK %s; choose another", key, now->id, release);
    else if (now != t)
        warn(p, line, "%s %s was revoked; taken as %s (%s)", key, id, now->id, now->display_name);
    return now && !now->deprecated ? now : NULL;
}

/* A revoked technique may have moved to another tactic: follow it when there is no choice. */
static const char *check_tactic(Parser *p, const char *tactic, const AttackTechnique *t, bool mapped, unsigned line)
{
    if (!attack_catalog_tactic_name(p->catalog, tactic)) {
        fail(p, line, "tactic %s does not exist in ATT&CK %s; correct the id", tactic,
             attack_catalog_release(p->catalog));
        return tactic;
    }
    if (!t || attack_technique_has_tactic(t, tactic))
        return str_cstr(p->arena, str_from(tactic));
    if (mapped && t->n_tactics == 1) {
        warn(p, line, "%s does not belong to %s; taken as %s", t->id, tactic, t->tactics[0]);
        return t->tactics[0];
    }
    cleanup(buf_free) Buf has = {0};
    for (size_t i = 0; i < t->n_tactics; i++)
        buf_printf(&has, "%s%s", i ? ", " : "", t->tactics[i]);
    fail(p, line, "technique %s does not belong to tactic %s; it belongs to %s", t->id, tactic, buf_str(&has).data);
    return tactic;
}

/* Technique and sub-technique as they are called today, from what the file says. */
static const AttackTechnique *check_technique(Parser *p, const RawEmit *raw, size_t i, TtpEmit *emit, bool *ret_mapped)
{
    bool has_sub = raw->sub_technique_id && raw->sub_technique_id[0];
    unsigned line = emit_line(p, "technique_id", i);
    const AttackTechnique *stated = attack_catalog_technique(p->catalog, raw->technique_id);

    if (stated && stated->parent) {
        fail(p, line, "technique_id %s is a sub-technique; write technique_id: %s and sub_technique_id: %s", stated->id,
             stated->parent, stated->id);
        return NULL;
    }
    if (has_sub && strncmp(raw->sub_technique_id, raw->technique_id, strlen(raw->technique_id)) != 0) {
        fail(p, line, "sub_technique_id %s does not belong to technique_id %s; correct one of them",
             raw->sub_technique_id, raw->technique_id);
        return NULL;
    }
    /* With a sub-technique that one decides: its successor tells its own parent. */
    const char *id = has_sub ? raw->sub_technique_id : raw->technique_id;
    const AttackTechnique *t = resolve(p, id, has_sub ? "sub_technique_id" : "technique_id", line);
    if (!t)
        return NULL;
    emit->technique = t->parent ? t->parent : t->id;
    emit->sub = t->parent ? t->id : NULL;
    emit->url = t->url;
    *ret_mapped = strcmp(t->id, id) != 0;
    return t;
}

static bool same_technique(const TtpEmit *a, const TtpEmit *b)
{
    return a->technique && b->technique && strcmp(a->technique, b->technique) == 0 &&
           strcmp(a->sub ? a->sub : "", b->sub ? b->sub : "") == 0;
}

static void check_emit(Parser *p, const RawEmit *raw, size_t i, TtpEmit *emits)
{
    TtpEmit *emit = &emits[i];
    Str written;
    unsigned line = line_in(p, "emits", "confidence", i, &written);
    bool mapped = false;

    const AttackTechnique *t = check_technique(p, raw, i, emit, &mapped);
    emit->tactic = check_tactic(p, raw->tactic, t, mapped, emit_line(p, "tactic", i));
    if (is_quoted(written))
        fail(p, line, "confidence is %.*s; write a number from 0 to 1, without quotes", (int)MIN(written.len, 40),
             written.data);
    else
        emit->confidence = parse_number(p, "confidence", raw->confidence, 0, 0, 1, line);
    for (size_t k = 0; k < i; k++)
        if (same_technique(&emits[k], emit))
            fail(p, emit_line(p, "technique_id", i), "%s is emitted twice, and both would have one id; remove one",
                 emit->sub ? emit->sub : emit->technique);
}

static void check_emits(Parser *p)
{
    size_t n = p->raw->n_emits;
    TtpEmit *emits = arena_calloc(p->arena, n, sizeof(*emits));

    for (size_t i = 0; i < n; i++)
        check_emit(p, &p->raw->emits[i], i, emits);
    if (n == 0)
        fail(p, line_of(p, "emits"), "emits is empty; name at least one technique");
    p->rule->emits = emits;
    p->rule->n_emits = n;
}

/* --- match --- */

static void check_patterns(Parser *p)
{
    const RawMatch *m = &p->raw->match;
    TtpRule *rule = p->rule;

    rule->lifter = &lifter_pattern;
    if (m->pattern && m->n_patterns)
        fail(p, line_of(p, "patterns"), "match has both `pattern` and `patterns`; keep one");
    rule->patterns =
        copy_list(p, m->pattern ? (char *const *)&m->pattern : m->patterns, m->pattern ? 1 : m->n_patterns);
    rule->n_patterns = m->pattern ? 1 : m->n_patterns;
    for (size_t i = 0; i < rule->n_patterns; i++)
        if (rule->patterns[i][0] == '\0')
            fail(p, line_of(p, m->pattern ? "pattern" : "patterns"), "an empty pattern; write a regular expression");
    if (rule->n_patterns == 0)
        fail(p, line_of(p, "match"), "match is empty; give `pattern`, `patterns` or the `kind` of a lifter");
    else
        rule->pattern_line = yaml_find_text(p->yaml, rule->patterns[0]);
    if (rule->pattern_line == 0)
        rule->pattern_line = line_of(p, "match");
    rule->field = copy(p, m->field);
    rule->icase = parse_bool(p, "icase", m->icase, line_of(p, "icase"));
    if (m->provider || m->n_signals || m->bump_amount)
        fail(p, line_of(p, "match"), "`provider`, `signals` and `bump_amount` are for lifter rules; remove them");
}

/* Every kind that a pattern rule applies to must have the field and the evidence it asks for. */
static void check_fields(Parser *p)
{
    const TtpRule *rule = p->rule;

    for (size_t k = 0; k < TTP_KIND_N; k++) {
        if (!(rule->kinds & 1u << k))
            continue;
        if (!kinds[k].patterns)
            fail(p, line_of(p, "applies_to"), "events of kind %s are not judged by patterns; give match a `kind`",
                 kinds[k].name);
        else if (rule->field && !in_list(kinds[k].fields, rule->field))
            fail(p, line_of(p, "field"), "%s has no field `%s`; it has %s", kinds[k].name, rule->field,
                 list_text(p, kinds[k].fields));
        for (size_t i = 0; kinds[k].patterns && i < rule->n_evidence_fields; i++)
            if (!in_list(kinds[k].fields, rule->evidence_fields[i]))
                fail(p, line_of(p, "evidence_fields"), "evidence of %s has no field `%s`; it has %s", kinds[k].name,
                     rule->evidence_fields[i], list_text(p, kinds[k].fields));
    }
}

static bool emits_technique(const TtpRule *rule, const char *technique)
{
    for (size_t i = 0; i < rule->n_emits; i++)
        if (rule->emits[i].technique && strcmp(rule->emits[i].technique, technique) == 0)
            return true;
    return false;
}

static void check_signal_techniques(Parser *p, const RawSignal *raw, size_t i, TtpSignal *signal)
{
    unsigned line = line_in(p, "signals", "techniques", i, NULL);
    const char **list = arena_calloc(p->arena, raw->n_techniques, sizeof(*list));

    for (size_t k = 0; k < raw->n_techniques; k++) {
        const AttackTechnique *t = resolve(p, raw->techniques[k], "signal's technique", line);
        if (t && !emits_technique(p->rule, t->id))
            fail(p, line, "signal %s maps to %s, which the rule does not emit; add it to emits or remove it",
                 raw->value, t->id);
        list[k] = t ? t->id : "";
    }
    if (raw->n_techniques == 0)
        fail(p, line, "signal %s maps to no technique; name one or remove the signal", raw->value);
    signal->techniques = list;
    signal->n_techniques = raw->n_techniques;
}

static void check_signals(Parser *p)
{
    const RawMatch *m = &p->raw->match;
    const Lifter *lifter = p->rule->lifter;
    TtpSignal *list = arena_calloc(p->arena, m->n_signals, sizeof(*list));

    for (size_t i = 0; i < m->n_signals; i++) {
        const RawSignal *raw = &m->signals[i];
        unsigned line = line_in(p, "signals", "input", i, NULL);
        list[i] = (TtpSignal){
            .input = copy(p, raw->input),
            .value = copy(p, raw->value),
            .label = copy(p, raw->label),
            .min_score = parse_number(p, "min_score", raw->min_score, 0, 0, 100, line),
            .multiplier = parse_number(p, "multiplier", raw->multiplier, 1, 0, 1, line),
            .fallback = parse_bool(p, "fallback", raw->fallback, line),
        };
        if (!in_list(lifter->inputs, raw->input))
            fail(p, line, "%s has no input `%s`; it has %s", lifter->name, raw->input, list_text(p, lifter->inputs));
        if (raw->min_score && !lifter->intel_scale)
            fail(p, line, "%s has no score, so `min_score` means nothing; remove it", lifter->name);
        if (raw->value[0] == '\0')
            fail(p, line, "a signal without a value; write the answer it stands for");
        check_signal_techniques(p, raw, i, &list[i]);
    }
    if (lifter->inputs && m->n_signals == 0)
        fail(p, line_of(p, "match"), "%s needs `signals`: the provider's answers and their techniques", lifter->name);
    if (!lifter->inputs && m->n_signals)
        fail(p, line_of(p, "signals"), "%s takes no `signals`; remove them", lifter->name);
    p->rule->signals = list;
    p->rule->n_signals = m->n_signals;
}

static void check_lifter(Parser *p)
{
    const RawMatch *m = &p->raw->match;
    const Lifter *lifter = p->rule->lifter = lifter_find(m->kind);

    if (!lifter) {
        const char *near = lifter_nearest(m->kind);
        fail(p, line_in(p, "match", "kind", 0, NULL), "no lifter is called `%s`; %s%s", m->kind,
             near ? "did you mean " : "docs/rules.md lists them", near ? near : "");
        return;
    }
    if (m->pattern || m->n_patterns || m->field || m->icase)
        fail(p, line_of(p, "match"), "a lifter rule takes no `pattern`, `patterns`, `field` or `icase`; remove them");
    if (p->rule->kinds != 1u << lifter->kind)
        fail(p, line_of(p, "applies_to"), "%s judges events of kind %s only; write applies_to: [%s]", lifter->name,
             kinds[lifter->kind].name, kinds[lifter->kind].name);
    if (strcmp(m->provider ? m->provider : "", lifter->provider ? lifter->provider : "") != 0)
        fail(p, line_of(p, m->provider ? "provider" : "match"), "the provider of %s is %s; write it so", lifter->name,
             lifter->provider ? lifter->provider : "left out");
    parse_number(p, "bump_amount", m->bump_amount, 0, 0, 1, line_of(p, "bump_amount"));
    check_signals(p);
    for (size_t i = 0; i < p->rule->n_evidence_fields; i++)
        if (!in_list(lifter->evidence_fields, p->rule->evidence_fields[i]))
            fail(p, line_of(p, "evidence_fields"), "evidence of %s has no field `%s`; it has %s", lifter->name,
                 p->rule->evidence_fields[i], list_text(p, lifter->evidence_fields));
}

TtpRule *ttp_rule_parse(Arena *arena, Str yaml, const char *file, const AttackCatalog *catalog, Buf *warnings,
                        Buf *errors)
{
    cleanup(raw_rule_freep) RawRule *raw = raw_rule_read(yaml, file, errors);
    TtpRule *rule = arena_calloc(arena, 1, sizeof(*rule));
    Parser p = {.arena = arena,
                .yaml = yaml,
                .file = file,
                .catalog = catalog,
                .warnings = warnings,
                .errors = errors,
                .raw = raw,
                .rule = rule};

    if (!raw)
        return NULL;
    rule->file = str_cstr(arena, str_from(file));
    rule->name = copy(&p, raw->name);
    rule->description = raw->description ? str_cstr(arena, str_from(raw->description)) : "";
    rule->evidence_fields = copy_list(&p, raw->evidence_fields, raw->n_evidence_fields);
    rule->n_evidence_fields = raw->n_evidence_fields;
    if (!rule->name)
        fail(&p, line_of(&p, "name"), "name is empty; give the rule a name");
    check_id(&p);
    check_version(&p);
    check_applies_to(&p);
    check_emits(&p);
    if (raw->match.kind) {
        check_lifter(&p);
    } else {
        check_patterns(&p);
        check_fields(&p);
    }
    return p.failed ? NULL : rule;
}
