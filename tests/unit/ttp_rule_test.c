/* Rule files: what is read, and each way of refusing one, with file, line and remedy. */
#include "ttp_support.h"

#include <stdio.h>
#include <sys/stat.h>

#define HEAD "rule_id: R1\nrule_version: 1\nname: n\napplies_to: [command]\n"
#define MATCH "match:\n  pattern: 'x'\n"
#define EMITS "emits:\n  - tactic: TA0002\n    technique_id: T1059\n    confidence: 0.5\n"
#define INTEL_HEAD "rule_id: R1\nrule_version: 1\nname: n\napplies_to: [intel]\n"
#define INTEL_MATCH(signals) "match:\n  kind: lifter:intel_abuseipdb\n  provider: abuseipdb\n  signals:\n" signals

typedef struct Case {
    const char *yaml, *message; /* the message begins with the line: "3: …" */
} Case;

static TtpRule *parse(Arena *arena, const char *yaml, Buf *warnings, Buf *errors)
{
    static AttackCatalog *catalog; /* rules borrow from it until the test's process ends */

    if (!catalog)
        catalog = shipped_catalog();
    return ttp_rule_parse(arena, str_from(yaml), "rules/R1.yaml", catalog, warnings, errors);
}

static void expect_refused(const Case *cases, size_t n)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    AttackCatalog *catalog = shipped_catalog();

    for (size_t i = 0; i < n; i++) {
        cleanup(buf_free) Buf warnings = {0}, errors = {0};
        char want[256];
        snprintf(want, sizeof(want), "rules/R1.yaml:%s", cases[i].message);
        cr_assert_null(ttp_rule_parse(arena, str_from(cases[i].yaml), "rules/R1.yaml", catalog, &warnings, &errors),
                       "case %zu was accepted:\n%s", i, cases[i].yaml);
        cr_assert_not_null(errors.data, "case %zu", i);
        cr_assert_not_null(strstr(errors.data, want), "case %zu: wanted \"%s\", got:\n%s", i, want, errors.data);
    }
    attack_catalog_free(catalog);
}

Test(ttp_rule, reads_every_field)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    cleanup(buf_free) Buf warnings = {0}, errors = {0};
    TtpRule *r = parse(arena,
                       "# a comment\nrule_id: R1\nrule_version: 3\nname: \"the name\"\ndescription: |\n  two\n  lines\n"
                       "applies_to: [command, http_request]\nmatch: {patterns: ['a''b', \"c\\\\d\"], icase: true}\n"
                       "emits:\n  - {tactic: TA0004, technique_id: T1548, sub_technique_id: T1548.001, confidence: 1}\n"
                       "  - {tactic: TA0007, technique_id: T1083, sub_technique_id: \"\", confidence: 0.25}\n"
                       "evidence_fields: []\nlast_reviewed: \"2026-01-01\"\nnext_review: '2027-01-01'\n",
                       &warnings, &errors);

    cr_assert_not_null(r, "%s", errors.data);
    cr_assert_eq(warnings.len, 0);
    cr_assert(strcmp(r->id, "R1") == 0 && r->version == 3 && strcmp(r->name, "the name") == 0);
    cr_assert_str_eq(r->description, "two\nlines\n");
    cr_assert_eq(r->kinds, 1u << TTP_COMMAND | 1u << TTP_HTTP_REQUEST);
    cr_assert(r->n_patterns == 2 && strcmp(r->patterns[0], "a'b") == 0 && strcmp(r->patterns[1], "c\\d") == 0);
    cr_assert(r->icase && r->field == NULL && r->pattern_line == 9);
    cr_assert_eq(r->n_emits, 2);
    cr_assert(strcmp(r->emits[0].tactic, "TA0004") == 0 && strcmp(r->emits[0].technique, "T1548") == 0);
    cr_assert(strcmp(r->emits[0].sub, "T1548.001") == 0 && r->emits[0].confidence == 1.0);
    cr_assert_str_eq(r->emits[0].url, "https://attack.mitre.org/techniques/T1548/001");
    cr_assert(r->emits[1].sub == NULL && r->emits[1].confidence == 0.25);
    cr_assert_str_eq(r->emits[1].url, "https://attack.mitre.org/techniques/T1083");
}

Test(ttp_rule, refuses_what_is_no_rule)
{
    static const Case cases[] = {
        {"", "1: the file is empty"},
        {"# nothing\n", "1: no rule in it"},
        {"- a\n- b\n", "1: not a rule: Expecting MAPPING"},
        {"rule_id: 'x\n", "1: not a rule: libyaml"},
        {"rule_id: \xff\n", "1: not a rule"},
        {HEAD MATCH EMITS "---\nrule_id: R2\n", "1: more than one YAML document"},
        {HEAD MATCH EMITS "colour: red\n", "11: unknown key `colour`"},
        {HEAD "match:\n  pattern: 'x'\n  patern: y\n" EMITS, "7: unknown key `patern`"},
        {HEAD MATCH EMITS "    weight: 1\n", "11: unknown key `weight`"},
        {HEAD MATCH EMITS "name: again\n", "11: the key `name` is given twice"},
        {HEAD "match:\n  pattern: *x\n" EMITS, "6: not a rule"},
        {HEAD "match: x\n" EMITS, "5: not a rule: Expecting MAPPING"},
        {HEAD MATCH "emits: 5\n", "7: not a rule: Expecting SEQUENCE"},
    };
    expect_refused(cases, ARRAY_SIZE(cases));
}

Test(ttp_rule, refuses_missing_keys)
{
    static const char *const keys[] = {"rule_id", "rule_version", "name", "applies_to", "match", "emits"};
    static const char *const lines[] = {
        "rule_id: R1\n", "rule_version: 1\n", "name: n\n", "applies_to: [command]\n", MATCH, EMITS};

    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        cleanup(buf_free) Buf yaml = {0};
        char want[100];
        for (size_t k = 0; k < ARRAY_SIZE(lines); k++)
            buf_add(&yaml, k == i ? "" : lines[k]);
        snprintf(want, sizeof(want), "the key `%s` is missing", keys[i]);
        cleanup(arena_freep) Arena *arena = arena_new();
        cleanup(buf_free) Buf warnings = {0}, errors = {0};
        cr_assert_null(parse(arena, yaml.data, &warnings, &errors), "%s", keys[i]);
        cr_assert_not_null(strstr(errors.data, want), "%s", errors.data);
    }
    static const Case cases[] = {
        {HEAD MATCH "emits:\n  - technique_id: T1059\n    confidence: 0.5\n", "9: the key `tactic` is missing"},
        {HEAD MATCH "emits:\n  - tactic: TA0002\n    confidence: 0.5\n", "9: the key `technique_id` is missing"},
        {HEAD MATCH "emits:\n  - tactic: TA0002\n    technique_id: T1059\n", "9: the key `confidence` is missing"},
    };
    expect_refused(cases, ARRAY_SIZE(cases));
}

Test(ttp_rule, refuses_a_bad_head)
{
    static const Case cases[] = {
        {"rule_id: R2\nrule_version: 1\nname: n\napplies_to: [command]\n" MATCH EMITS,
         "1: rule_id is `R2` but the file is called `R1`"},
        {"rule_id: R1|x\nrule_version: 1\nname: n\napplies_to: [command]\n" MATCH EMITS, "1: rule_id `R1|x` may hold"},
        {"rule_id: R1\nrule_version: \"2\"\nname: n\napplies_to: [command]\n" MATCH EMITS, "2: rule_version is \"2\""},
        {"rule_id: R1\nrule_version: 1.0\nname: n\napplies_to: [command]\n" MATCH EMITS, "2: rule_version is 1.0"},
        {"rule_id: R1\nrule_version: 1.5\nname: n\napplies_to: [command]\n" MATCH EMITS, "2: rule_version is 1.5"},
        {"rule_id: R1\nrule_version: true\nname: n\napplies_to: [command]\n" MATCH EMITS, "2: rule_version is true"},
        {"rule_id: R1\nrule_version: 0\nname: n\napplies_to: [command]\n" MATCH EMITS, "2: rule_version is 0"},
        {"rule_id: R1\nrule_version: 1\nname: \"\"\napplies_to: [command]\n" MATCH EMITS, "3: name is empty"},
        {"rule_id: R1\nrule_version: 1\nname: [n]\napplies_to: [command]\n" MATCH EMITS, "3: not a rule"},
        {"rule_id: R1\nrule_version: 1\nname: n\napplies_to: command\n" MATCH EMITS, "4: not a rule"},
        {"rule_id: R1\nrule_version: 1\nname: n\napplies_to: []\n" MATCH EMITS, "4: applies_to is empty"},
        {"rule_id: R1\nrule_version: 1\nname: n\napplies_to: [comand]\n" MATCH EMITS,
         "4: applies_to names `comand`, which is no kind of event; did you mean command"},
    };
    expect_refused(cases, ARRAY_SIZE(cases));
}

#define EMIT(tactic, technique, rest)                                                                                  \
    HEAD MATCH "emits:\n  - tactic: " tactic "\n    technique_id: " technique "\n" rest "    confidence: 0.5\n"

Test(ttp_rule, refuses_bad_emits)
{
    static const Case cases[] = {
        {HEAD MATCH "emits: []\n", "7: emits is empty"},
        {EMIT("TA0002", "T9999", ""), "9: technique_id T9999 does not exist in ATT&CK v19.1"},
        {EMIT("TA9999", "T1059", ""), "8: tactic TA9999 does not exist in ATT&CK v19.1"},
        {EMIT("TA0003", "T1059", ""), "8: technique T1059 does not belong to tactic TA0003; it belongs to TA0002"},
        {EMIT("TA0002", "T1059.004", ""), "9: technique_id T1059.004 is a sub-technique; write technique_id: T1059"},
        {EMIT("TA0002", "T1059", "    sub_technique_id: T1548.001\n"),
         "9: sub_technique_id T1548.001 does not belong to technique_id T1059"},
        {EMIT("TA0002", "T1059", "    sub_technique_id: T1059.999\n"), "9: sub_technique_id T1059.999 does not exist"},
        {EMIT("TA0002", "T1034", ""), "9: technique_id T1034 is deprecated"},
        {EMIT("TA0002", "T1059", "    confidence: 0.4\n"), "11: the key `confidence` is given twice"},
        {HEAD MATCH "emits:\n  - {tactic: TA0002, technique_id: T1059, confidence: \"0.8\"}\n",
         "8: confidence is \"0.8\"}; write a number from 0 to 1, without quotes"},
        {HEAD MATCH "emits:\n  - {tactic: TA0002, technique_id: T1059, confidence: 1.7}\n", "8: `confidence` is 1.7"},
        {HEAD MATCH "emits:\n  - {tactic: TA0002, technique_id: T1059, confidence: -1}\n", "8: `confidence` is -1"},
        {HEAD MATCH "emits:\n  - {tactic: TA0002, technique_id: T1059, confidence: nan}\n", "8: `confidence` is nan"},
        {HEAD MATCH EMITS "  - tactic: TA0002\n    technique_id: T1059\n    confidence: 0.9\n",
         "12: T1059 is emitted twice"},
        {HEAD MATCH EMITS "  - {tactic: TA0002, technique_id: T1059, sub_technique_id: T1059.004, confidence: 0.9}\n"
                          "  - {tactic: TA0002, technique_id: T1059, sub_technique_id: T1059.004, confidence: 0.9}\n",
         "12: T1059.004 is emitted twice"},
    };
    expect_refused(cases, ARRAY_SIZE(cases));
}

Test(ttp_rule, refuses_a_bad_match)
{
    static const Case cases[] = {
        {HEAD "match: {}\n" EMITS, "5: match is empty"},
        {HEAD "match:\n  icase: true\n" EMITS, "5: match is empty"},
        {HEAD "match:\n  pattern: ''\n" EMITS, "6: an empty pattern"},
        {HEAD "match:\n  patterns: []\n" EMITS, "5: match is empty"},
        {HEAD "match:\n  pattern: x\n  patterns: [y]\n" EMITS, "7: match has both"},
        {HEAD "match:\n  pattern: x\n  icase: maybe\n" EMITS, "7: `icase` is maybe; write true or false"},
        {HEAD "match:\n  pattern: x\n  field: raw_url\n" EMITS,
         "7: command has no field `raw_url`; it has command_text"},
        {HEAD "match:\n  pattern: x\n  provider: feodo\n" EMITS, "5: `provider`, `signals` and `bump_amount` are for"},
        {"rule_id: R1\nrule_version: 1\nname: n\napplies_to: [email]\n" MATCH EMITS,
         "4: events of kind email are not judged by patterns"},
        {HEAD MATCH EMITS "evidence_fields: [password]\n", "11: evidence of command has no field `password`"},
        {HEAD "match:\n  kind: lifter:c2_fingerprint\n" EMITS, "6: no lifter is called `lifter:c2_fingerprint`"},
        {INTEL_HEAD "match:\n  kind: lifter:intel_feod\n" EMITS, "6: no lifter is called `lifter:intel_feod`; did you"},
        {HEAD INTEL_MATCH("    - {input: category, value: \"5\", techniques: [T1059]}\n") EMITS,
         "4: lifter:intel_abuseipdb judges events of kind intel only"},
        {INTEL_HEAD INTEL_MATCH("    - {input: category, value: \"5\", techniques: [T1059]}\n") "  pattern: x\n" EMITS,
         "5: a lifter rule takes no `pattern`"},
    };
    expect_refused(cases, ARRAY_SIZE(cases));
}

Test(ttp_rule, refuses_bad_signals)
{
    static const Case cases[] = {
        {INTEL_HEAD "match:\n  kind: lifter:intel_abuseipdb\n  provider: abuseipdb\n" EMITS,
         "5: lifter:intel_abuseipdb needs"},
        {INTEL_HEAD "match:\n  kind: lifter:intel_abuseipdb\n  provider: feodo\n  signals: []\n" EMITS,
         "7: the provider of lifter:intel_abuseipdb is abuseipdb"},
        {INTEL_HEAD "match:\n  kind: lifter:intel_abuseipdb\n" EMITS, "5: the provider of lifter:intel_abuseipdb is"},
        {INTEL_HEAD INTEL_MATCH("    - {input: tag, value: \"5\", techniques: [T1059]}\n") EMITS,
         "9: lifter:intel_abuseipdb has no input `tag`; it has category"},
        {INTEL_HEAD INTEL_MATCH("    - {input: category, value: \"\", techniques: [T1059]}\n") EMITS,
         "9: a signal without a value"},
        {INTEL_HEAD INTEL_MATCH("    - {input: category, value: \"5\", techniques: [T1110]}\n") EMITS,
         "9: signal 5 maps to T1110, which the rule does not emit"},
        {INTEL_HEAD INTEL_MATCH("    - {input: category, value: \"5\", techniques: [T9999]}\n") EMITS,
         "9: signal's technique T9999 does not exist"},
        {INTEL_HEAD INTEL_MATCH("    - {input: category, value: \"5\", techniques: []}\n") EMITS,
         "9: signal 5 maps to no technique"},
        {INTEL_HEAD INTEL_MATCH("    - {input: category, value: \"5\", min_score: 101, techniques: [T1059]}\n") EMITS,
         "9: `min_score` is 101"},
        {INTEL_HEAD INTEL_MATCH("    - {input: category, value: \"5\", multiplier: 2, techniques: [T1059]}\n") EMITS,
         "9: `multiplier` is 2"},
        {INTEL_HEAD INTEL_MATCH("    - {input: category, value: \"5\", fallback: 1, techniques: [T1059]}\n") EMITS,
         "9: `fallback` is 1"},
        {INTEL_HEAD "match:\n  kind: lifter:intel_feodo\n  provider: feodo\n  signals:\n"
                    "    - {input: listed, value: \"true\", min_score: 5, techniques: [T1059]}\n" EMITS,
         "9: lifter:intel_feodo has no score"},
        {INTEL_HEAD "match:\n  kind: lifter:intel_aggregate\n  bump_amount: 2\n" EMITS, "7: `bump_amount` is 2"},
        {INTEL_HEAD "match:\n  kind: lifter:intel_aggregate\n" EMITS "evidence_fields: [uid]\n",
         "11: evidence of lifter:intel_aggregate has no field `uid`"},
    };
    expect_refused(cases, ARRAY_SIZE(cases));
}

Test(ttp_rule, says_all_faults_of_a_file)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    cleanup(buf_free) Buf warnings = {0}, errors = {0};

    cr_assert_null(parse(arena, "rule_id: R2\nrule_version: 0\nname: n\napplies_to: [x]\nmatch: {}\nemits: []\n",
                         &warnings, &errors));
    size_t lines = 0;
    for (size_t i = 0; i < errors.len; i++)
        lines += errors.data[i] == '\n';
    cr_assert_eq(lines, 5, "%s", errors.data); /* id, version, kind, emits, match */
}

Test(ttp_rule, maps_revoked_techniques_with_a_warning)
{
    static const struct {
        const char *emit, *tactic, *technique, *sub, *warning;
    } cases[] = {
        {"{tactic: TA0112, technique_id: T1562, confidence: 0.5}", "TA0112", "T1685", NULL,
         "rules/R1.yaml:8: technique_id T1562 was revoked; taken as T1685"},
        {"{tactic: TA0005, technique_id: T1562, sub_technique_id: T1562.008, confidence: 0.5}", "TA0112", "T1685",
         "T1685.002", "rules/R1.yaml:8: T1685.002 does not belong to TA0005; taken as TA0112"},
        {"{tactic: TA0005, technique_id: T1562, sub_technique_id: T1562.004, confidence: 0.5}", "TA0112", "T1686", NULL,
         "sub_technique_id T1562.004 was revoked; taken as T1686"},
        {"{tactic: TA0006, technique_id: T1081, confidence: 0.5}", "TA0006", "T1552", "T1552.001",
         "technique_id T1081 was revoked; taken as T1552.001"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        cleanup(arena_freep) Arena *arena = arena_new();
        cleanup(buf_free) Buf warnings = {0}, errors = {0}, yaml = {0};
        buf_printf(&yaml, "%s%semits:\n  - %s\n", HEAD, MATCH, cases[i].emit);
        TtpRule *r = parse(arena, yaml.data, &warnings, &errors);
        cr_assert_not_null(r, "case %zu: %s", i, errors.data);
        cr_assert_str_eq(r->emits[0].tactic, cases[i].tactic);
        cr_assert_str_eq(r->emits[0].technique, cases[i].technique);
        cr_assert_str_eq(r->emits[0].sub ? r->emits[0].sub : "", cases[i].sub ? cases[i].sub : "");
        cr_assert_not_null(strstr(warnings.data, cases[i].warning), "case %zu: %s", i, warnings.data);
    }
}

/* --- folders --- */

static const char *rule_text(const char *id, const char *pattern)
{
    static char text[512];
    snprintf(text, sizeof(text),
             "rule_id: %s\nrule_version: 1\nname: n\napplies_to: [command]\nmatch:\n  pattern: '%s'\n" EMITS, id,
             pattern);
    return text;
}

Test(ttp_rule, folders_later_wins_and_other_files_are_ignored)
{
    char path[2200], *error = NULL;
    AttackCatalog *catalog = shipped_catalog();
    TtpRuleSet *set = NULL;

    scratch_file("one/R2.yaml", str_from(rule_text("R2", "first")));
    scratch_file("one/R1.yml", str_from(rule_text("R1", "a")));
    scratch_file("one/R3.yaml~", STR("not ours"));
    scratch_file("one/.R4.yaml", STR("not ours"));
    scratch_file("one/R-5.yaml", STR("not ours"));
    scratch_file("one/4913", STR("not ours"));
    scratch_file("two/R2.yaml", str_from(rule_text("R2", "second")));
    snprintf(path, sizeof(path), "%s/one:%s/missing:%s/two", scratch_folder(), scratch_folder(), scratch_folder());
    cr_assert_eq(ttp_rules_load(path, catalog, &set, &error), 0, "%s", error);
    cr_assert_eq(set->n_rules, 2);
    cr_assert(strcmp(set->rules[0]->id, "R1") == 0 && set->rules[0]->index == 0);
    cr_assert(strcmp(set->rules[1]->id, "R2") == 0 && strcmp(set->rules[1]->patterns[0], "second") == 0);
    cr_assert_not_null(strstr(set->warnings.data, "missing: this folder of rules does not exist"));
    ttp_rules_free(set);
    ttp_rules_free(NULL);
    attack_catalog_free(catalog);
}

/* The error of loading the scratch folder as it is. */
static char *load_error(int want)
{
    AttackCatalog *catalog = shipped_catalog();
    TtpRuleSet *set = NULL;
    char *error = NULL;

    cr_assert_eq(ttp_rules_load(scratch_folder(), catalog, &set, &error), want);
    cr_assert_null(set);
    attack_catalog_free(catalog);
    return error;
}

Test(ttp_rule, one_id_twice_in_a_folder_is_refused)
{
    scratch_file("R1.yaml", str_from(rule_text("R1", "a")));
    scratch_file("R1.yml", str_from(rule_text("R1", "b")));
    cleanup(freep) char *error = load_error(-EINVAL);
    cr_assert_not_null(strstr(error, "R1.yml:1: rule R1 is also in"), "%s", error);
}

Test(ttp_rule, every_bad_file_of_a_folder_is_named)
{
    static char big[LIMIT_RULE_FILE_BYTES + 1];

    memset(big, '#', sizeof(big));
    scratch_file("R1.yaml", str_from(rule_text("R1", "fine")));
    scratch_file("R2.yaml", STR("rule_id: R2\n"));
    scratch_file("R3.yaml", (Str){big, sizeof(big)});
    scratch_file("R4.yaml/x", STR("a folder with a rule's name"));
    cleanup(freep) char *error = load_error(-EINVAL);
    cr_assert_not_null(strstr(error, "R2.yaml:"), "%s", error);
    cr_assert_not_null(strstr(error, "R3.yaml:1: larger than"), "%s", error);
    cr_assert_not_null(strstr(error, "R4.yaml:1: cannot read the file"), "%s", error);
    cr_assert_null(strstr(error, "R1.yaml"), "%s", error);
}

Test(ttp_rule, a_path_without_rules_is_refused)
{
    cleanup(freep) char *error = load_error(-EINVAL);
    cr_assert_not_null(strstr(error, "no rule in this path of folders; correct rules_path"), "%s", error);
}

Test(ttp_rule, a_pattern_that_does_not_compile_names_file_and_line)
{
    char *error = NULL;

    scratch_file("R1.yaml", str_from(rule_text("R1", "fine")));
    scratch_file("R2.yaml", str_from(rule_text("R2", "(unclosed")));
    cr_assert_null(scratch_engine(NULL, &error));
    cr_assert_not_null(strstr(error, "R2.yaml:6: pattern 1 of 1 does not compile"), "%s", error);
    free(error);
    scratch_file("R2.yaml", str_from(rule_text("R2", "x*")));
    cr_assert_null(scratch_engine(NULL, &error));
    cr_assert_not_null(strstr(error, "R2.yaml:6: pattern 1 of 1 does not compile"), "%s", error);
    free(error);
}
