/* libcyaml's schema of a rule file, its messages turned into ours, and places in the text. */
#include "rule_yaml.h"

#include <cyaml/cyaml.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"

#define TEXT_MAX LIMIT_RULE_FILE_BYTES
#define REQUIRED CYAML_FLAG_POINTER
#define OPTIONAL (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define TEXT(type, flags, key) CYAML_FIELD_STRING_PTR(#key, flags, type, key, 0, TEXT_MAX)
#define LIST(type, flags, key, entry, max) CYAML_FIELD_SEQUENCE_COUNT(#key, flags, type, key, n_##key, entry, 0, max)

static const cyaml_schema_value_t text_value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, TEXT_MAX)};

static const cyaml_schema_field_t emit_fields[] = {
    TEXT(RawEmit, REQUIRED, tactic),
    TEXT(RawEmit, REQUIRED, technique_id),
    TEXT(RawEmit, OPTIONAL, sub_technique_id),
    TEXT(RawEmit, REQUIRED, confidence),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t emit_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, RawEmit, emit_fields)};

static const cyaml_schema_field_t signal_fields[] = {
    TEXT(RawSignal, REQUIRED, input),
    TEXT(RawSignal, REQUIRED, value),
    TEXT(RawSignal, OPTIONAL, label),
    TEXT(RawSignal, OPTIONAL, min_score),
    TEXT(RawSignal, OPTIONAL, multiplier),
    TEXT(RawSignal, OPTIONAL, fallback),
    LIST(RawSignal, REQUIRED, techniques, &text_value, LIMIT_RULE_EMITS),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t signal_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, RawSignal, signal_fields)};

static const cyaml_schema_field_t match_fields[] = {
    TEXT(RawMatch, OPTIONAL, kind),
    TEXT(RawMatch, OPTIONAL, pattern),
    LIST(RawMatch, OPTIONAL, patterns, &text_value, LIMIT_RULE_PATTERNS),
    TEXT(RawMatch, OPTIONAL, field),
    TEXT(RawMatch, OPTIONAL, icase),
    TEXT(RawMatch, OPTIONAL, provider),
    LIST(RawMatch, OPTIONAL, signals, &signal_value, CYAML_UNLIMITED),
    TEXT(RawMatch, OPTIONAL, bump_amount),
    CYAML_FIELD_END,
};

static const cyaml_schema_field_t rule_fields[] = {
    TEXT(RawRule, REQUIRED, rule_id),
    TEXT(RawRule, REQUIRED, rule_version),
    TEXT(RawRule, REQUIRED, name),
    TEXT(RawRule, OPTIONAL, description),
    LIST(RawRule, REQUIRED, applies_to, &text_value, CYAML_UNLIMITED),
    CYAML_FIELD_MAPPING("match", CYAML_FLAG_DEFAULT, RawRule, match, match_fields),
    LIST(RawRule, REQUIRED, emits, &emit_value, LIMIT_RULE_EMITS),
    LIST(RawRule, OPTIONAL, evidence_fields, &text_value, CYAML_UNLIMITED),
    TEXT(RawRule, OPTIONAL, last_reviewed),
    TEXT(RawRule, OPTIONAL, next_review),
    CYAML_FIELD_END,
};
static const cyaml_schema_value_t rule_value = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, RawRule, rule_fields)};

/* What libcyaml said about one file. */
typedef struct Complaint {
    char what[256];
    unsigned line;
    bool several_documents;
} Complaint;

__attribute__((format(printf, 3, 0))) static void on_message(cyaml_log_t level, void *context, const char *fmt,
                                                             va_list args)
{
    Complaint *c = context;
    char text[256];
    const char *place;
    unsigned line;

    vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    if (strstr(text, "documents after first"))
        c->several_documents = true;
    if (level < CYAML_LOG_ERROR)
        return;
    place = strstr(text, "(line: ");
    if (place && c->line == 0 && sscanf(place, "(line: %u", &line) == 1)
        c->line = line;
    if (strncmp(text, "Load: ", 6) == 0 && !strstr(text, "Backtrace") && c->what[0] == '\0')
        snprintf(c->what, sizeof(c->what), "%s", text + 6);
}

static cyaml_config_t config_for(Complaint *complaint)
{
    return (cyaml_config_t){.log_fn = on_message,
                            .log_ctx = complaint,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_WARNING,
                            .flags = CYAML_CFG_NO_ALIAS};
}

/* The value of "prefix: value", or NULL. */
static const char *after(const char *text, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(text, prefix, n) == 0 ? text + n : NULL;
}

/* One line in our words; libcyaml gives the end of the mapping for a key it does not know, so look it up. */
static void explain(const Complaint *c, cyaml_err_t err, Str yaml, const char *file, Buf *errors)
{
    const char *unknown = after(c->what, "Unexpected key: ");
    const char *twice = after(c->what, "Mapping field already seen: ");
    const char *missing = after(c->what, "Missing required mapping field: ");

    if (unknown)
        buf_printf(errors, "%s:%u: unknown key `%s`; remove it, or see docs/rules.md for the keys of a rule\n", file,
                   yaml_find_key(yaml, unknown, 0, NULL), unknown);
    else if (twice)
        buf_printf(errors, "%s:%u: the key `%s` is given twice; keep one\n", file, yaml_find_key(yaml, twice, 1, NULL),
                   twice);
    else if (missing)
        buf_printf(errors, "%s:%u: the key `%s` is missing; add it\n", file, MAX(c->line, 1), missing);
    else
        buf_printf(errors, "%s:%u: not a rule: %s; mend the YAML\n", file, MAX(c->line, 1),
                   c->what[0] ? c->what : cyaml_strerror(err));
}

RawRule *raw_rule_read(Str yaml, const char *file, Buf *errors)
{
    Complaint complaint = {0};
    cyaml_config_t config = config_for(&complaint);
    RawRule *raw = NULL;

    if (yaml.len == 0) {
        buf_printf(errors, "%s:1: the file is empty; write a rule or remove it\n", file);
        return NULL;
    }
    cyaml_err_t err =
        cyaml_load_data((const uint8_t *)yaml.data, yaml.len, &config, &rule_value, (cyaml_data_t **)&raw, NULL);
    if (err != CYAML_OK) {
        explain(&complaint, err, yaml, file, errors);
        return NULL;
    }
    if (raw && !complaint.several_documents)
        return raw;
    buf_printf(errors,
               raw ? "%s:1: more than one YAML document; give each rule its own file\n"
                   : "%s:1: no rule in it; write a rule or remove the file\n",
               file);
    raw_rule_free(raw);
    return NULL;
}

void raw_rule_free(RawRule *raw)
{
    Complaint ignored = {0};
    cyaml_config_t config = config_for(&ignored);

    if (raw)
        cyaml_free(&config, &rule_value, raw, 0);
}

static bool key_at(Str yaml, size_t at, const char *key, size_t n)
{
    if (at + n >= yaml.len || memcmp(yaml.data + at, key, n) != 0 || yaml.data[at + n] != ':')
        return false;
    return at == 0 || isspace((unsigned char)yaml.data[at - 1]) || strchr("{,", yaml.data[at - 1]);
}

unsigned yaml_find_key(Str yaml, const char *key, size_t nth, Str *ret_value)
{
    size_t n = strlen(key);
    unsigned line = 1;

    for (size_t i = 0; i < yaml.len; i++) {
        if (key_at(yaml, i, key, n) && nth-- == 0) {
            const char *value = yaml.data + i + n + 1, *end = memchr(value, '\n', yaml.len - (i + n + 1));
            if (ret_value)
                *ret_value = text_trim((Str){value, end ? (size_t)(end - value) : yaml.len - (i + n + 1)});
            return line;
        }
        line += yaml.data[i] == '\n';
    }
    if (ret_value)
        *ret_value = (Str){0};
    return 1;
}

unsigned yaml_find_text(Str yaml, const char *text)
{
    cleanup(buf_free) Buf quoted = {0};
    const char *found = memmem(yaml.data, yaml.len, text, strlen(text));

    for (const char *p = text; !found && *p; p++)
        buf_add(&quoted, *p == '\'' ? "''" : (char[]){*p, '\0'});
    if (!found && quoted.len)
        found = memmem(yaml.data, yaml.len, quoted.data, quoted.len);
    if (!found)
        return 0;
    unsigned line = 1;
    for (const char *p = yaml.data; p < found; p++)
        line += *p == '\n';
    return line;
}
