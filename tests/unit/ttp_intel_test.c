/* Intelligence rules: every row of every mapping, confidences, evidence, and the worked example. */
#include "ttp_support.h"

#include <math.h>
#include <stdio.h>

#define INTS(...) ((IntList){(const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t)})
#define STRS(...) ((StrList){(const Str[]){__VA_ARGS__}, sizeof((const Str[]){__VA_ARGS__}) / sizeof(Str)})

static Arena *arena;
static TtpEngine *engine;

static void setup(void)
{
    arena = arena_new();
    engine = shipped_engine();
}

static void teardown(void)
{
    ttp_engine_free(engine);
    arena_free(arena);
}

static TtpTags tags_for(const IntelFacts *facts)
{
    TtpTags tags = {0};
    ttp_tags_for_intel(engine, arena, facts, STR("6f9619ff-8b86-4d01-b42d-00cf4fc964ff"), &tags);
    return tags;
}

static void expect(const IntelFacts *facts, const char *want)
{
    TtpTags tags = tags_for(facts);
    cr_assert_str_eq(tags_text(arena, &tags), want);
}

/* The first tag of @technique; an empty one, which equals nothing, when there is none. */
static const TtpTag *find(const TtpTags *tags, const char *technique)
{
    static const TtpTag none = {.evidence = {"", 0}};

    for (size_t i = 0; i < tags->n; i++)
        if (strcmp(tags->items[i].technique, technique) == 0)
            return &tags->items[i];
    return &none;
}

Test(ttp_intel, abuseipdb_categories, .init = setup, .fini = teardown)
{
    static const struct {
        int64_t category;
        const char *at_100, *at_79;
    } rows[] = {
        {5, "R0054 T1110", NULL},
        {7, "R0054 T1566", NULL},
        {9, "R0054 T1090", NULL},
        {11, "R0054 T1566, R0054 T1496", "R0054 T1496"},
        {13, "R0054 T1090", NULL},
        {14, "R0054 T1046, R0054 T1595", NULL},
        {15, "R0054 T1190", NULL},
        {16, "R0054 T1190", NULL},
        {17, "R0054 T1566", NULL},
        {18, "R0054 T1110", NULL},
        {19, "R0054 T1595", NULL},
        {20, "R0054 T1078", NULL},
        {21, "R0054 T1190", NULL},
        {22, "R0054 T1110", NULL},
        {23, "R0054 T1190", NULL},
        {1, "", NULL},
        {2, "", NULL},
        {3, "", NULL},
        {4, "", NULL},
        {6, "", NULL},
        {8, "", NULL},
        {10, "", NULL},
        {12, "", NULL},
        {0, "", NULL},
        {24, "", NULL},
        {-5, "", NULL},
        {INT64_MAX, "", NULL},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        IntelFacts facts = {.has_abuseipdb_score = true, .abuseipdb_categories = {&rows[i].category, 1}};
        facts.abuseipdb_score = 100;
        expect(&facts, rows[i].at_100);
        facts.abuseipdb_score = 79;
        expect(&facts, rows[i].at_79 ? rows[i].at_79 : rows[i].at_100);
        facts.has_abuseipdb_score = false;
        expect(&facts, "");
    }
    IntelFacts facts = {.has_abuseipdb_score = true, .abuseipdb_score = 80, .abuseipdb_categories = INTS(11)};
    expect(&facts, "R0054 T1566, R0054 T1496");
    facts.abuseipdb_categories.n = 0;
    expect(&facts, "");
}

Test(ttp_intel, abuseipdb_score_scales_and_floor_counts, .init = setup, .fini = teardown)
{
    static const struct {
        int64_t category;
        double score, confidence; /* 0: dropped */
    } rows[] = {
        {18, 42, 0}, {18, 43, 0.7 * 0.43}, {18, 100, 0.7}, {20, 49, 0},  {20, 50, 0.3},
        {18, 0, 0},  {18, 101, 0},         {18, -1, 0},    {18, NAN, 0}, {18, INFINITY, 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        IntelFacts facts = {.has_abuseipdb_score = true,
                            .abuseipdb_score = rows[i].score,
                            .abuseipdb_categories = {&rows[i].category, 1}};
        TtpTags tags = tags_for(&facts);
        cr_assert_eq(tags.n, rows[i].confidence > 0, "row %zu", i);
        if (tags.n)
            cr_assert_eq(tags.items[0].confidence, rows[i].confidence, "row %zu: %.17g", i, tags.items[0].confidence);
    }
    cr_assert_eq(ttp_engine_stats(engine).suppressed, 3, "what is no answer at all is not counted");
}

Test(ttp_intel, abuseipdb_evidence_lists_only_what_selected, .init = setup, .fini = teardown)
{
    IntelFacts facts = {
        .has_abuseipdb_score = true, .abuseipdb_score = 87.5, .abuseipdb_categories = INTS(18, 14, 22, 3, 18)};
    TtpTags tags = tags_for(&facts);

    cr_assert(str_eq_cstr(find(&tags, "T1110")->evidence, "{\"abuseipdb_categories\":[18,22],\"abuseipdb_score\":87.5,"
                                                          "\"abuse_confidence_score\":87}"),
              STR_FMT, STR_ARG(find(&tags, "T1110")->evidence));
    cr_assert(str_eq_cstr(find(&tags, "T1046")->evidence, "{\"abuseipdb_categories\":[14],\"abuseipdb_score\":87.5,"
                                                          "\"abuse_confidence_score\":87}"));
}

Test(ttp_intel, greynoise_signals, .init = setup, .fini = teardown)
{
    static const struct {
        const char *classification, *tag, *want;
        double confidence; /* of the first tag */
    } rows[] = {
        {"scanner", NULL, "R0055 T1595.002", 0.7},
        {NULL, "tor_exit_node", "R0055 T1090", 0.7},
        {NULL, "ssh_bruteforcer", "R0055 T1110", 0.7},
        {NULL, "web_crawler", "R0055 T1595.002", 0.7},
        {NULL, "cobalt_strike", "R0055 T1071, R0055 T1588", 0.7},
        {NULL, "metasploit", "R0055 T1071, R0055 T1588", 0.7},
        {NULL, "sliver", "R0055 T1071, R0055 T1588", 0.7},
        {NULL, "havoc", "R0055 T1071, R0055 T1588", 0.7},
        {"malicious", NULL, "R0055 T1071", 0.35},
        {"malicious", "tor_exit_node", "R0055 T1071, R0055 T1090", 0.35},
        {"malicious", "sliver", "R0055 T1071, R0055 T1588", 0.7},
        {"benign", NULL, "", 0},
        {"suspicious", NULL, "", 0},
        {"unknown", NULL, "", 0},
        {"", "", "", 0},
        {"Malicious", "Sliver", "", 0},
        {"tor_exit_node", "malicious", "", 0}, /* an answer counts where it was given only */
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Str tag = str_from(rows[i].tag);
        IntelFacts facts = {.greynoise_classification = str_from(rows[i].classification),
                            .greynoise_tags = {&tag, rows[i].tag ? 1 : 0}};
        expect(&facts, rows[i].want);
        if (rows[i].confidence > 0)
            cr_assert_eq(tags_for(&facts).items[0].confidence, rows[i].confidence, "row %zu", i);
    }
}

Test(ttp_intel, greynoise_evidence_lists_the_signals, .init = setup, .fini = teardown)
{
    IntelFacts facts = {.greynoise_classification = STR("malicious"),
                        .greynoise_tags = STRS(STR("tor_exit_node"), STR("sliver"), STR("other"), STR("havoc"))};
    TtpTags tags = tags_for(&facts);

    cr_assert(str_eq_cstr(find(&tags, "T1071")->evidence,
                          "{\"greynoise_classification\":\"malicious\",\"greynoise_tags\":[\"sliver\",\"havoc\"],"
                          "\"greynoise_name\":null}"),
              STR_FMT, STR_ARG(find(&tags, "T1071")->evidence));
    facts = (IntelFacts){.greynoise_classification = STR("scanner"), .greynoise_tags = STRS(STR("web_crawler"))};
    tags = tags_for(&facts);
    cr_assert(strstr(str_cstr(arena, find(&tags, "T1595")->evidence), "[\"scanner\",\"web_crawler\"]"));
}

Test(ttp_intel, feodo, .init = setup, .fini = teardown)
{
    IntelFacts facts = {.feodo_listed = TRI_YES, .feodo_malware_family = STR("Emotet")};
    TtpTags tags = tags_for(&facts);

    expect(&facts, "R0056 T1071.001, R0056 T1588.001");
    cr_assert_eq(tags.items[0].confidence, 0.85);
    cr_assert(str_eq_cstr(tags.items[0].evidence, "{\"feodo_listed\":true,\"feodo_malware_family\":\"Emotet\","
                                                  "\"malware_family\":\"Emotet\"}"),
              STR_FMT, STR_ARG(tags.items[0].evidence));
    facts.feodo_malware_family = (Str){0};
    tags = tags_for(&facts);
    cr_assert(str_eq_cstr(tags.items[1].evidence, "{\"feodo_listed\":true,\"feodo_malware_family\":null}"));
    facts.feodo_listed = TRI_NO;
    expect(&facts, "");
    facts = (IntelFacts){.feodo_malware_family = STR("Emotet")};
    expect(&facts, "");
}

Test(ttp_intel, threatfox_types, .init = setup, .fini = teardown)
{
    static const struct {
        const char *type, *want;
        double confidence;
    } rows[] = {
        {"botnet_cc", "R0057 T1071, R0057 T1588.001", 0.80},
        {"payload_delivery", "R0057 T1588.001, R0057 T1105", 0.80},
        {"payload", "R0057 T1588.001", 0.80},
        {"cc_skimming", "R0057 T1056", 0.70},
        {"ip:port", "", 0},
        {"", "", 0},
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        Str type = str_from(rows[i].type);
        IntelFacts facts = {.threatfox_listed = TRI_YES, .threatfox_threat_types = {&type, 1}};
        expect(&facts, rows[i].want);
        if (rows[i].confidence > 0)
            cr_assert_eq(tags_for(&facts).items[0].confidence, rows[i].confidence);
        /* The same word as type of the indicator says nothing. */
        facts = (IntelFacts){.threatfox_listed = TRI_YES, .threatfox_ioc_types = {&type, 1}};
        expect(&facts, "");
    }
    IntelFacts facts = {.threatfox_threat_types = STRS(STR("payload"), STR("payload_delivery"), STR("new"))};
    TtpTags tags = tags_for(&facts);
    cr_assert_eq(find(&tags, "T1105")->confidence, 0.75);
    cr_assert(
        strstr(str_cstr(arena, find(&tags, "T1588")->evidence), "\"threat_types\":[\"payload\",\"payload_delivery\"]"));
    cr_assert(strstr(str_cstr(arena, find(&tags, "T1105")->evidence), "\"threat_types\":[\"payload_delivery\"]"));
    cr_assert_null(strstr(str_cstr(arena, find(&tags, "T1105")->evidence), "\"malware_families\""));
}

Test(ttp_intel, nothing_known_says_nothing, .init = setup, .fini = teardown)
{
    IntelFacts facts = {.aggregate_verdict = STR("malicious")}; /* R0058 is inert */

    expect(&facts, "");
    cr_assert_eq(ttp_engine_stats(engine).suppressed, 0);
}

Test(ttp_intel, worked_example, .init = setup, .fini = teardown)
{
    IntelFacts facts = {.aggregate_verdict = STR("malicious"),
                        .has_abuseipdb_score = true,
                        .abuseipdb_score = 42,
                        .abuseipdb_categories = INTS(18, 22, 14),
                        .greynoise_classification = STR("malicious"),
                        .greynoise_name = STR("unknown"),
                        .feodo_listed = TRI_NO,
                        .threatfox_listed = TRI_YES,
                        .threatfox_threat_types = STRS(STR("botnet_cc")),
                        .threatfox_ioc_types = STRS(STR("ip:port")),
                        .threatfox_malware_families = STRS(STR("Mirai")),
                        .cached_at_us = 1778400000000000};
    TtpTags tags = tags_for(&facts);
    char uuid[UUID_TEXT_BYTES];

    cr_assert_str_eq(tags_text(arena, &tags), "R0055 T1071, R0057 T1071, R0057 T1588.001");
    cr_assert_eq(tags.items[0].confidence, 0.35);
    cr_assert_eq(tags.items[1].confidence, 0.80);
    cr_assert_eq(ttp_engine_stats(engine).suppressed, 3, "0.294 for T1110, T1046 and T1595");
    cr_assert(str_eq_cstr(tags.items[0].evidence, "{\"greynoise_classification\":\"malicious\",\"greynoise_tags\":"
                                                  "[\"malicious\"],\"greynoise_name\":\"unknown\"}"));
    cr_assert(str_eq_cstr(tags.items[1].evidence,
                          "{\"threatfox_threat_types\":[\"botnet_cc\"],\"threatfox_ioc_types\":[\"ip:port\"],"
                          "\"threatfox_malware_families\":[\"Mirai\"],\"threat_types\":[\"botnet_cc\"],"
                          "\"malware_families\":[\"Mirai\"],\"ioc_types\":[\"ip:port\"]}"),
              STR_FMT, STR_ARG(tags.items[1].evidence));
    for (size_t i = 0; i < tags.n; i++) {
        cr_assert_eq(tags.items[i].source_kind, TTP_INTEL);
        cr_assert_eq(tags.items[i].observed_at_us, facts.cached_at_us);
    }
    uuid_format(uuid, &tags.items[2].uuid); /* golden vector 9: source id = the attacker's uuid */
    cr_assert_str_eq(uuid, "e98ff49c-eb38-5ad0-b82d-2035dd1258d1");
}

Test(ttp_intel, huge_lists_stay_within_the_evidence_bound, .init = setup, .fini = teardown)
{
    enum { N = 5000 };
    static Str types[N];

    for (size_t i = 0; i < N; i++)
        types[i] = str_from(arena_printf(arena, "type-%zu-\x01\xff", i));
    types[0] = STR("payload");
    IntelFacts facts = {.threatfox_threat_types = {types, N}, .threatfox_malware_families = {types, N}};
    TtpTags tags = tags_for(&facts);
    cr_assert_eq(tags.n, 1);
    cr_assert_leq(tags.items[0].evidence.len, LIMIT_EVIDENCE_BYTES);
    cleanup(json_putp) json_object *evidence = json_parse(tags.items[0].evidence);
    bool truncated = false;
    cr_assert(json_get_bool(evidence, "truncated", &truncated) && truncated);
    cr_assert_eq(json_object_array_length(json_get_array(evidence, "threat_types")), 1);
}

Test(ttp_intel, disabled_rule_is_silent, .init = setup, .fini = teardown)
{
    IntelFacts facts = {.feodo_listed = TRI_YES};

    cr_assert_eq(ttp_engine_set_state(engine, "R0056", false, 1), 0);
    expect(&facts, "");
}
