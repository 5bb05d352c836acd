/* The table of topics, wildcards, and the partitioner, against the vectors of the event contract. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/time.h"
#include "bus/bus.h"

Test(bus_topics, table_is_whole_and_sane)
{
    static const struct {
        BusTopicId id;
        const char *name;
        int32_t partitions;
        BusCleanup cleanup;
        int64_t retention_ms;
        bool loss_allowed;
    } rows[] = {
        {BUS_ATTACKER_SESSION_ENDED, "attacker.session.ended", 12, BUS_CLEANUP_DELETE, 30 * INT64_C(86400000), false},
        {BUS_ATTACKER_INTEL_ENRICHED, "attacker.intel.enriched", 12, BUS_CLEANUP_DELETE, 7 * INT64_C(86400000), true},
        {BUS_ATTACKER_OBSERVATION, "attacker.observation", 12, BUS_CLEANUP_DELETE, 14 * INT64_C(86400000), true},
        {BUS_ATTRIBUTION_STATE_CHANGED, "attribution.profile.state_changed", 6, BUS_CLEANUP_DELETE,
         30 * INT64_C(86400000), true},
        {BUS_ATTRIBUTION_MULTI_ACTOR_SUSPECTED, "attribution.profile.multi_actor_suspected", 3, BUS_CLEANUP_DELETE,
         30 * INT64_C(86400000), true},
        {BUS_IDENTITY_FORMED, "identity.formed", 6, BUS_CLEANUP_DELETE, 30 * INT64_C(86400000), true},
        {BUS_TTP_TAGGED, "ttp.tagged", 12, BUS_CLEANUP_DELETE, 30 * INT64_C(86400000), true},
        {BUS_TTP_RULE_STATE, "ttp.rule.state", 1, BUS_CLEANUP_COMPACT, -1, false},
        {BUS_SYSTEM_HEALTH, "system.health", 1, BUS_CLEANUP_COMPACT_DELETE, 3600000, true},
        {BUS_SYSTEM_CONTROL, "system.control", 1, BUS_CLEANUP_DELETE, 600000, true},
        {BUS_DLQ_TTP, "dlq.ttp", 3, BUS_CLEANUP_DELETE, 90 * INT64_C(86400000), false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const BusTopic *t = &bus_topics[rows[i].id];
        cr_assert_str_eq(t->name, rows[i].name);
        cr_assert(t->partitions == rows[i].partitions && t->cleanup == rows[i].cleanup, "%s", t->name);
        cr_assert(t->retention_ms == rows[i].retention_ms && t->loss_allowed == rows[i].loss_allowed, "%s", t->name);
    }
    for (size_t i = 0; i < BUS_TOPIC_N; i++) {
        const BusTopic *t = &bus_topics[i];
        cr_assert(t->name && t->key && t->partitions >= 1 && t->partitions <= 12, "row %zu", i);
        cr_assert_eq(bus_topic_find(str_from(t->name)), t, "%s is there twice", t->name);
        cr_assert_null(strstr(t->name, "retry"));
        cr_assert_null(strchr(t->name, '_') && strstr(t->name, "__") ? t->name : NULL);
    }
    cr_assert_null(bus_topic_find(STR("attacker.session.started")));
    cr_assert_null(bus_topic_find((Str){0}));
}

Test(bus_topics, dead_letters_of_the_five_groups)
{
    static const char *const groups[] = {"ttp", "attribution", "enrich", "clusterer", "campaign"};
    for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
        const BusTopic *t = bus_topic_dlq(groups[i]);
        cr_assert_not_null(t);
        cr_assert_str_eq(t->name + 4, groups[i]);
    }
    cr_assert_null(bus_topic_dlq("ingest"));
    cr_assert_null(bus_topic_dlq(""));
}

Test(bus_topics, prefix)
{
    cleanup(freep) char *with = bus_topic_full_name("prod.", "ttp.tagged"), *without = bus_topic_full_name(NULL, "x");
    cr_assert_str_eq(with, "prod.ttp.tagged");
    cr_assert_str_eq(without, "x");
}

Test(bus_topics, wildcards)
{
    static const struct {
        Str pattern, topic;
        bool match;
    } rows[] = {
        {STR("attacker.observation.>"), STR("attacker.observation.motor.input_modality"), true},
        {STR("ttp.>"), STR("ttp"), false},
        {STR("system.*.health"), STR("system.bus.health"), true},
        {STR("system.*.health"), STR("system.health"), false},
        {STR("system.*.health"), STR("system.a.b.health"), false},
        {STR("system.*.health"), STR("system..health"), false},
        {STR("canary.>"), STR("canary.c0ffee00.placed"), true},
        {STR("a.>.z"), STR("a.b"), true},
        {STR("attacker.>"), STR("attacker.session.ended"), true},
        {STR("ttp.rule.fired"), STR("ttp.rule.fired.T1110"), false},
        {STR("ttp.rule.fired.T1110"), STR("ttp.rule.fired"), false},
        {STR("ttp.rule.fired"), STR("ttp.rule.fired"), true},
        {STR("ttp.rule.fired"), STR("ttp.rule.fires"), false},
        {STR(">"), STR("anything.at.all"), true},
        {STR("*"), STR("one"), true},
        {STR("*"), STR(""), false},
        {STR("*"), STR("one.two"), false},
        {STR("*.*"), STR("one.two"), true},
        {STR("a.*"), STR("a."), false},
        {STR("a*"), STR("ab"), false}, /* a star inside a token is an ordinary character */
        {STR("a"), STR("a.b"), false},
        {STR("a.b"), STR("a"), false},
        {STR("a\0b"), STR("a\0c"), false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert_eq(bus_topic_match(rows[i].pattern, rows[i].topic), rows[i].match, STR_FMT " with " STR_FMT,
                     STR_ARG(rows[i].pattern), STR_ARG(rows[i].topic));
}

Test(bus_topics, partitions_are_those_of_java)
{
    static const struct {
        Str key;
        int32_t of_12, of_6;
    } rows[] = {
        {STR("198.51.100.23"), 3, 3},
        {STR("2001:db8::17"), 7, 1},
        {STR("7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f41"), 3, 3},
        {STR("T1110"), 4, 4},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        cr_assert_eq(bus_murmur2_partition(rows[i].key, 12), rows[i].of_12, STR_FMT, STR_ARG(rows[i].key));
        cr_assert_eq(bus_murmur2_partition(rows[i].key, 6), rows[i].of_6, STR_FMT, STR_ARG(rows[i].key));
        cr_assert_eq(bus_murmur2_partition(rows[i].key, 1), 0);
    }
    cr_assert_eq(bus_murmur2_partition((Str){0}, 12), -1);
    cr_assert_eq(bus_murmur2_partition(STR("x"), 0), -1);
    cr_assert_geq(bus_murmur2_partition(STR(""), 12), 0, "an empty key is a key");
}

Test(bus_topics, embedded_clusters)
{
    cr_assert(bus_cluster_is_embedded("mockCluster15809b3de8a8"));
    cr_assert_not(bus_cluster_is_embedded("lkc-12345") || bus_cluster_is_embedded("") || bus_cluster_is_embedded(NULL));
}

Test(bus_topics, headers_of_an_event)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    BusHeader h[BUS_OWN_HEADERS];
    static const struct {
        const char *name, *value;
    } rows[] = {
        {"decnet-event-id", "4586efd8-a896-51fb-99d3-488b5dfab989"},
        {"decnet-event-type", "attacker.observation"},
        {"decnet-topic", "attacker.observation.motor.input_modality"},
        {"decnet-schema-version", "1"},
        {"decnet-produced-at", "2026-05-10T08:25:01.004512Z"},
        {"decnet-source", "ttp/0@host"},
        {"decnet-primitive", "motor.input_modality"},
    };
    const BusTopic *observation = &bus_topics[BUS_ATTACKER_OBSERVATION], *tagged = &bus_topics[BUS_TTP_TAGGED];

    size_t n = bus_headers(arena, h, observation, str_from(rows[0].value), str_from(rows[2].value), 1778401501004512,
                           str_from(rows[5].value));
    cr_assert_eq(n, ARRAY_SIZE(rows));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert(str_eq_cstr(h[i].name, rows[i].name) && str_eq_cstr(h[i].value, rows[i].value), "%s", rows[i].name);
    cr_assert_eq(bus_headers(arena, h, observation, STR("x"), (Str){0}, 0, STR("y")), 6, "it names no primitive");
    cr_assert_eq(bus_headers(arena, h, tagged, STR("x"), STR("ttp.tagged.x"), 0, STR("y")), 6, "it has none");
    bus_headers(arena, h, tagged, STR("x"), (Str){0}, 0, STR("y"));
    cr_assert(str_eq_cstr(h[2].value, "ttp.tagged"), "without a reference topic the Kafka topic stands in");
}

Test(bus_topics, outcomes_have_names)
{
    cr_assert_str_eq(bus_outcome_name(0), "ok");
    cr_assert_str_eq(bus_outcome_name(BUS_E_AWAY), "away");
    cr_assert_str_eq(bus_outcome_name(BUS_E_REJECTED), "rejected");
    cr_assert_str_eq(bus_outcome_name(-5), "failed");
    cr_assert_str_eq(bus_outcome_name(1000), "failed");
}
