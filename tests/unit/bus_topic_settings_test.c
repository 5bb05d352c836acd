/* What the table wants of topics on the broker, and when a broker's settings mean the same. */
#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "bus/topic_settings.h"

static const char *settings_of(Arena *arena, BusTopicId id)
{
    cleanup(buf_free) Buf text = {0};
    NameValue settings[BUS_TOPIC_SETTINGS_MAX];
    size_t n = bus_topic_settings(arena, &bus_topics[id], settings);

    for (size_t i = 0; i < n; i++)
        buf_printf(&text, STR_FMT "=" STR_FMT ";", STR_ARG(settings[i].name), STR_ARG(settings[i].value));
    return str_cstr(arena, buf_str(&text));
}

Test(topic_settings, follow_the_contract)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    static const struct {
        BusTopicId id;
        const char *settings;
    } cases[] = {
        {BUS_ATTACKER_OBSERVED, "cleanup.policy=delete;retention.ms=259200000;"},
        {BUS_DLQ_TTP, "cleanup.policy=delete;retention.ms=7776000000;"},
        {BUS_SYSTEM_CONTROL, "cleanup.policy=delete;retention.ms=600000;"},
        {BUS_SYSTEM_HEALTH, "cleanup.policy=compact,delete;retention.ms=3600000;segment.ms=600000;"},
        {BUS_TTP_RULE_STATE, "cleanup.policy=compact;min.cleanable.dirty.ratio=0.1;segment.ms=3600000;"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        cr_expect_str_eq(settings_of(arena, cases[i].id), cases[i].settings);
}

Test(topic_settings, every_topic_has_settings_that_can_be_read)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    NameValue settings[BUS_TOPIC_SETTINGS_MAX];

    for (size_t id = 0; id < BUS_TOPIC_N; id++) {
        size_t n = bus_topic_settings(arena, &bus_topics[id], settings);
        cr_expect(n >= 1, "%s", bus_topics[id].name);
        for (size_t i = 0; i < n; i++)
            cr_expect(settings[i].name.len > 0 && settings[i].value.len > 0, "%s setting %zu", bus_topics[id].name, i);
    }
}

Test(topic_settings, equal_by_meaning)
{
    static const struct {
        const char *want, *have;
        bool equal;
    } cases[] = {
        {"delete", "delete", true},
        {"delete", "compact", false},
        {"compact,delete", "delete,compact", true},
        {"compact,delete", "delete, compact", true},
        {"compact,delete", "delete", false},
        {"compact", "compact,delete", false},
        {"delete", "", false},
        {"delete", NULL, false},
        {"0.1", "0.10", true},
        {"0.1", "0.5", false},
        {"3600000", "3600000", true},
        {"3600000", "3600001", false},
        {"9223372036854775807", "9223372036854775806", false},
        {"-1", "-1", true},
        {"-1", "1", false},
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        cr_expect(bus_setting_equal(str_from(cases[i].want), str_from(cases[i].have)) == cases[i].equal, "%s and %s",
                  cases[i].want, cases[i].have ? cases[i].have : "nothing");
}

Test(topic_settings, differences_in_words)
{
    cleanup(buf_free) Buf out = {0};

    bus_difference_add(&out, STR("partitions"), STR("3"), STR("12"));
    cr_expect_str_eq(out.data, "partitions is 3, should be 12");
    bus_difference_add(&out, STR("retention.ms"), (Str){0}, STR("1000"));
    cr_expect_str_eq(out.data, "partitions is 3, should be 12; retention.ms is not set, should be 1000");
}
