/* The events about behaviour: what the reader takes and refuses, round trips, ids of the contract. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "event/behaviour.h"

static Arena *arena;
static json_object *parsed[256]; /* released at the end: what decoders return borrows from them */
static size_t n_parsed;

static void setup(void)
{
    arena = arena_new();
}

static void teardown(void)
{
    arena_free(arena);
    while (n_parsed)
        json_object_put(parsed[--n_parsed]);
}

TestSuite(event_behaviour, .init = setup, .fini = teardown, .timeout = 30);

static json_object *parse(const char *text)
{
    json_object *obj = json_parse(str_from(text));
    cr_assert_not_null(obj, "not JSON: %.200s", text);
    cr_assert_lt(n_parsed, ARRAY_SIZE(parsed));
    return parsed[n_parsed++] = obj;
}

static EventReject decode(const char *text, Observation *ret)
{
    return observation_decode(arena, json_view(arena, arena, str_from(text)), ret);
}

static void assert_uuid(Uuid got, const char *want)
{
    char text[UUID_TEXT_BYTES];
    uuid_format(text, &got);
    cr_assert_str_eq(text, want);
}

static Uuid uuid_of(const char *text)
{
    Uuid u;
    cr_assert(uuid_parse_text(str_from(text), &u), "%s is no uuid", text);
    return u;
}

#define ATTACKER "7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f41"
#define IDENTITY "a0c1e2d3-4b5f-4687-9a8b-7c6d5e4f3a2b"
#define HEAD "{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":\"motor.x\""
#define WHOLE HEAD ",\"evidence_ref\":\"e\",\"ts\":1.5"

Test(event_behaviour, observation_of_the_contract)
{
    Observation o;

    cr_assert_eq(
        decode("{\"id\":\"2f7c1b9e4d5a4c0f9a6b8e7d1c0f3a55\",\"v\":1,\"ts\":1778401650.125,"
               "\"primitive\":\"cognitive.inter_command_latency_class\",\"value\":\"typing_speed\",\"confidence\":0.4,"
               "\"window\":{\"start_ts\":1778401501.0,\"end_ts\":1778401650.125},\"source\":\"decnet-ingest\","
               "\"evidence_ref\":\"shard:edge-01/ssh/s.jsonl#8b5b\",\"identity_ref\":null,"
               "\"attacker_uuid\":\"" ATTACKER "\",\"attacker_ip\":\"::ffff:198.51.100.23\","
               "\"value_kind\":\"categorical\"}",
               &o),
        EVENT_OK);
    assert_uuid(o.attacker_uuid, ATTACKER);
    assert_uuid(o.id, "2f7c1b9e-4d5a-4c0f-9a6b-8e7d1c0f3a55");
    cr_assert(o.has_envelope && o.value_kind == VALUE_KIND_CATEGORICAL && o.confidence == 0.4);
    cr_assert(str_eq_cstr(o.primitive, "cognitive.inter_command_latency_class"));
    cr_assert(str_eq_cstr(o.value, "\"typing_speed\"") && str_eq_cstr(o.source, "decnet-ingest"));
    cr_assert(str_eq_cstr(o.evidence_ref, "shard:edge-01/ssh/s.jsonl#8b5b"));
    cr_assert(o.ts == 1778401650.125 && o.window_start_ts == 1778401501.0 && o.window_end_ts == o.ts);
    cr_assert_str_eq(o.attacker_ip, "198.51.100.23");
}

Test(event_behaviour, a_hint_is_enough)
{
    Observation o;

    cr_assert_eq(decode(HEAD "}", &o), EVENT_OK);
    cr_assert(!o.has_envelope && o.value_kind == VALUE_KIND_NONE && o.attacker_ip[0] == '\0');
}

Test(event_behaviour, what_is_absent_has_a_default)
{
    Observation o;

    cr_assert_eq(decode(WHOLE ",\"value\":null,\"id\":7,\"confidence\":\"x\",\"window\":[1],\"source\":null,"
                              "\"value_kind\":\"odd\",\"v\":null}",
                        &o),
                 EVENT_OK);
    cr_assert(o.has_envelope && str_eq_cstr(o.value, "null") && o.confidence == 0 && o.value_kind == VALUE_KIND_NONE);
    cr_assert(o.window_start_ts == 1.5 && o.window_end_ts == 1.5 && o.source.data && o.source.len == 0);
    Uuid want = uuid_v5(&UUID_NS_OBSERVATION, STR("e|motor.x"));
    cr_assert_eq(uuid_cmp(&o.id, &want), 0);
    cr_assert_eq(decode(WHOLE ",\"value\":1,\"confidence\":7}", &o), EVENT_OK);
    cr_assert_eq(o.confidence, 1);
    cr_assert_eq(decode(WHOLE ",\"value\":1,\"confidence\":-7,\"value_kind\":\"hash\"}", &o), EVENT_OK);
    cr_assert(o.confidence == 0 && o.value_kind == VALUE_KIND_HASH);
}

Test(event_behaviour, values_keep_their_form)
{
    static const char *const values[] = {"1",
                                         "1.0",
                                         "-2.5",
                                         "true",
                                         "null",
                                         "\"a\\u0001\"",
                                         "[]",
                                         "{}",
                                         "{\"b\":[1,null,{\"a\":\"x\"}]}",
                                         "18446744073709551615",
                                         "18446744073709551616",
                                         "-9223372036854775809",
                                         "[100000000000000000001,{\"a\":-100000000000000000000000000000}]"};
    Observation o;

    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        cr_assert_eq(decode(arena_printf(arena, WHOLE ",\"value\":%s}", values[i]), &o), EVENT_OK, "%s", values[i]);
        cr_assert(str_eq_cstr(o.value, values[i]), "%s became " STR_FMT, values[i], STR_ARG(o.value));
    }
    cr_assert_eq(decode(WHOLE ",\"value\":\"a\\u0000b\"}", &o), EVENT_OK);
    cr_assert(str_eq_cstr(o.value, "\"a\xef\xbf\xbd"
                                   "b\""));
}

Test(event_behaviour, names_that_repair_makes_equal_are_one)
{
    Observation o;

    cr_assert_eq(decode(WHOLE ",\"value\":{\"a\xff\":1,\"b\":2,\"a\xfe\":[3]}}", &o), EVENT_OK);
    cr_assert(str_eq_cstr(o.value, "{\"a\xef\xbf\xbd\":[3],\"b\":2}"), STR_FMT, STR_ARG(o.value));
}

/* json-c ends a name at its first NUL. */
Test(event_behaviour, names_with_a_nul_stay_apart)
{
    Observation o;

    cr_assert_eq(decode(WHOLE ",\"value\":{\"a\\u0000y\":1,\"a\\u0000x\":2,\"a\":{\"\":[]}}}", &o), EVENT_OK);
    cr_assert(str_eq_cstr(o.value, "{\"a\":{\"\":[]},\"a\xef\xbf\xbdx\":2,\"a\xef\xbf\xbdy\":1}"), STR_FMT,
              STR_ARG(o.value));
    cr_assert_eq(decode(WHOLE ",\"value\":{\"a\":1,\"b\":2,\"a\":3}}", &o), EVENT_OK);
    cr_assert(str_eq_cstr(o.value, "{\"a\":3,\"b\":2}"), STR_FMT, STR_ARG(o.value));
}

Test(event_behaviour, what_is_refused)
{
    static const struct {
        const char *text;
        EventReject reject;
    } rows[] = {
        {"[]", EVENT_MALFORMED},
        {"{}", EVENT_NO_ANCHOR},
        {"{\"primitive\":\"a\"}", EVENT_NO_ANCHOR},
        {"{\"primitive\":\"a\",\"attacker_uuid\":\"x\"}", EVENT_NO_ANCHOR},
        {"{\"attacker_uuid\":\"" ATTACKER "\"}", EVENT_MALFORMED},
        {"{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":7}", EVENT_MALFORMED},
        {"{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":\"\"}", EVENT_MALFORMED},
        {"{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":\".a\"}", EVENT_MALFORMED},
        {"{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":\"a..b\"}", EVENT_MALFORMED},
        {"{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":\"a.\"}", EVENT_MALFORMED},
        {"{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":\"a|b\"}", EVENT_MALFORMED},
        {"{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":\"a\\u0000\"}", EVENT_MALFORMED},
        {"{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":\"\xc3\xa9\"}", EVENT_MALFORMED},
        {HEAD ",\"value\":1}", EVENT_MALFORMED}, /* half an envelope */
        {HEAD ",\"ts\":1}", EVENT_MALFORMED},
        {HEAD ",\"evidence_ref\":\"e\"}", EVENT_MALFORMED},
        {HEAD ",\"evidence_ref\":\"e\",\"ts\":1}", EVENT_MALFORMED},
        {HEAD ",\"evidence_ref\":\"e\",\"value\":1}", EVENT_MALFORMED},
        {HEAD ",\"evidence_ref\":\"\",\"value\":1,\"ts\":1}", EVENT_MALFORMED},
        {HEAD ",\"evidence_ref\":3,\"value\":1,\"ts\":1}", EVENT_MALFORMED},
        {HEAD ",\"evidence_ref\":\"e\",\"value\":1,\"ts\":\"1\"}", EVENT_MALFORMED},
        {HEAD ",\"evidence_ref\":\"e\",\"value\":1,\"ts\":-1}", EVENT_MALFORMED},
        {HEAD ",\"evidence_ref\":\"e\",\"value\":1,\"ts\":253402300800}", EVENT_MALFORMED},
        {HEAD ",\"evidence_ref\":\"e\",\"value\":1,\"ts\":1e999}", EVENT_MALFORMED},
        {WHOLE ",\"value\":1e999}", EVENT_MALFORMED},
        {WHOLE ",\"value\":[{\"a\":-1e999}]}", EVENT_MALFORMED},
        {WHOLE ",\"value\":1,\"v\":2}", EVENT_SCHEMA},
        {WHOLE ",\"value\":1,\"v\":\"1\"}", EVENT_MALFORMED},
    };
    Observation o;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        cr_assert_eq(decode(rows[i].text, &o), rows[i].reject, "%s", rows[i].text);
    cr_assert_eq(observation_decode(arena, NULL, &o), EVENT_MALFORMED);
}

static const char *filled(const char *before, char fill, size_t n, const char *after)
{
    cleanup(buf_free) Buf text = {0};

    buf_add(&text, before);
    for (size_t i = 0; i < n; i++)
        buf_add_char(&text, fill);
    buf_add(&text, after);
    return str_cstr(arena, buf_str(&text));
}

Test(event_behaviour, sizes_are_bounded)
{
    Observation o;
    cleanup(buf_free) Buf many = {0};

    cr_assert_eq(decode(filled(WHOLE ",\"value\":\"", 'x', LIMIT_OBSERVATION_VALUE_BYTES - 2, "\"}"), &o), EVENT_OK);
    cr_assert_eq(decode(filled(WHOLE ",\"value\":\"", 'x', LIMIT_OBSERVATION_VALUE_BYTES - 1, "\"}"), &o),
                 EVENT_OVERSIZE);
    cr_assert_eq(
        decode(filled(HEAD ",\"ts\":1,\"value\":1,\"evidence_ref\":\"", 'x', LIMIT_SOURCE_ID_BYTES, "\"}"), &o),
        EVENT_OK);
    cr_assert_eq(
        decode(filled(HEAD ",\"ts\":1,\"value\":1,\"evidence_ref\":\"", 'x', LIMIT_SOURCE_ID_BYTES + 1, "\"}"), &o),
        EVENT_OVERSIZE);
    cr_assert_eq(
        decode(filled("{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":\"", 'x', LIMIT_PRIMITIVE_BYTES, "\"}"), &o),
        EVENT_OK);
    cr_assert_eq(
        decode(filled("{\"attacker_uuid\":\"" ATTACKER "\",\"primitive\":\"", 'x', LIMIT_PRIMITIVE_BYTES + 1, "\"}"),
               &o),
        EVENT_MALFORMED);
    /* 60 numbers of 5 bytes here are more than 16 KiB of digits in jsonb */
    buf_add(&many, WHOLE ",\"value\":[1e308");
    for (size_t i = 0; i < 60; i++)
        buf_add(&many, i % 2 ? ",1e308" : ",1e-99");
    buf_add(&many, "]}");
    cr_assert_eq(decode(many.data, &o), EVENT_OVERSIZE);
    cr_assert_eq(decode(WHOLE ",\"value\":[1e308,1e-99,0.0]}", &o), EVENT_OK);
    cr_assert_eq(decode(filled(WHOLE ",\"value\":1,\"source\":\"", 'x', LIMIT_NAME_BYTES + 9, "\"}"), &o), EVENT_OK);
    cr_assert_eq(o.source.len, LIMIT_NAME_BYTES);
}

Test(event_behaviour, observation_survives_a_round_trip)
{
    Observation o = {.attacker_uuid = uuid_of(ATTACKER),
                     .primitive = STR("motor.x"),
                     .attacker_ip = "2001:db8::17",
                     .value_kind = VALUE_KIND_NUMERIC,
                     .has_envelope = true,
                     .id = observation_row_id(STR("e|1"), STR("motor.x")),
                     .evidence_ref = STR("e|1"),
                     .value = STR("[1.5,\"x\"]"),
                     .ts = 1778401650.124512,
                     .window_start_ts = 1778401501.004512,
                     .window_end_ts = 1778401650.124512,
                     .confidence = 0.45,
                     .source = STR("s")},
                back;
    cleanup(buf_free) Buf out = {0};
    Uuid id = observation_id(&o),
         want = event_id(STR("attacker.observation"), (Str[]){STR("e|1|motor.x|1778401650124512")}, 1);

    cr_assert_eq(uuid_cmp(&id, &want), 0);
    observation_encode(&o, &id, &out);
    cr_assert_eq(decode(out.data, &back), EVENT_OK);
    cr_assert(uuid_cmp(&back.id, &o.id) == 0 && uuid_cmp(&back.attacker_uuid, &o.attacker_uuid) == 0);
    cr_assert(str_eq(back.primitive, o.primitive) && str_eq(back.value, o.value) && str_eq(back.source, o.source));
    cr_assert(str_eq(back.evidence_ref, o.evidence_ref) && back.value_kind == o.value_kind && back.has_envelope);
    cr_assert(back.ts == o.ts && back.window_start_ts == o.window_start_ts && back.window_end_ts == o.window_end_ts);
    cr_assert(back.confidence == o.confidence && strcmp(back.attacker_ip, o.attacker_ip) == 0);
    json_object *payload = parse(out.data);
    cr_assert(str_eq_cstr(json_get_str(payload, "occurred_at"), "2026-05-10T08:27:30.124512Z"));
    cr_assert(str_eq_cstr(json_get_str(payload, "schema_version"), "1"));
    cr_assert(json_object_object_get_ex(payload, "identity_ref", NULL) && !json_member(payload, "identity_ref"));
    cr_assert(str_eq_cstr(observation_reference_topic(arena, o.primitive), "attacker.observation.motor.x"));
}

Test(event_behaviour, times_go_and_come)
{
    for (int64_t us = 1778401501004512; us < 1778401501004512 + 100000; us++)
        cr_assert_eq(epoch_us_from_s(epoch_s_from_us(us)), us);
}

Test(event_behaviour, state_changed)
{
    StateChanged e = {.identity_uuid = uuid_of(IDENTITY),
                      .primitive = STR("cognitive.inter_command_latency_class"),
                      .old_state = STR("unknown"),
                      .new_state = STR("stable"),
                      .current_value = STR("\"typing_speed\""),
                      .previous_value = STR("[1]"),
                      .confidence = 1,
                      .observation_count = 3,
                      .ts = 1778401650.125};
    cleanup(buf_free) Buf out = {0};
    Uuid id = state_changed_id(&e);

    assert_uuid(id, "22c365dd-4cf0-50e1-a597-cb11141b3e8b");
    state_changed_encode(&e, &id, &out);
    cr_assert_str_eq(out.data,
                     "{\"event_id\":\"22c365dd-4cf0-50e1-a597-cb11141b3e8b\","
                     "\"occurred_at\":\"2026-05-10T08:27:30.125000Z\",\"schema_version\":\"1\","
                     "\"identity_uuid\":\"" IDENTITY "\",\"primitive\":\"cognitive.inter_command_latency_class\","
                     "\"old_state\":\"unknown\",\"new_state\":\"stable\",\"current_value\":\"typing_speed\","
                     "\"previous_value\":[1],\"confidence\":1.0,\"observation_count\":3,\"ts\":1778401650.125}");
    e.old_state = e.previous_value = (Str){0};
    Uuid first = state_changed_id(&e);
    Uuid want = event_id(STR("attribution.profile.state_changed"),
                         (Str[]){STR(IDENTITY "|cognitive.inter_command_latency_class|-|stable|1778401650125000")}, 1);
    cr_assert_eq(uuid_cmp(&first, &want), 0);
    buf_clear(&out);
    state_changed_encode(&e, &first, &out);
    cr_assert(strstr(out.data, "\"old_state\":null") && strstr(out.data, "\"previous_value\":null"));
    parse(out.data);
}

Test(event_behaviour, multi_actor_suspected)
{
    const Str primitives[] = {STR("cognitive.a"), STR("motor.b")};
    MultiActorSuspected e = {.identity_uuid = uuid_of(IDENTITY),
                             .primitives = primitives,
                             .n_primitives = 2,
                             .evidence_summary = STR("2 primitives flagged multi_actor"),
                             .confidence = 0.6,
                             .distinct_sessions = 7,
                             .ts = 1778405250};
    cleanup(buf_free) Buf out = {0}, head = {0};
    Uuid id = multi_actor_suspected_id(&e);
    Uuid want = event_id(STR("attribution.profile.multi_actor_suspected"),
                         (Str[]){STR(IDENTITY), STR("cognitive.a,motor.b")}, 2);
    char text[UUID_TEXT_BYTES];

    cr_assert_eq(uuid_cmp(&id, &want), 0);
    multi_actor_suspected_encode(&e, &id, &out);
    uuid_format(text, &id);
    buf_printf(&head, "{\"event_id\":\"%s\",\"occurred_at\":\"2026-05-10T09:27:30.000000Z\",\"schema_version\":\"1\",",
               text);
    cr_assert_eq(strncmp(out.data, head.data, head.len), 0, "%s", out.data);
    cr_assert_str_eq(out.data + head.len,
                     "\"identity_uuid\":\"" IDENTITY "\",\"primitives\":[\"cognitive.a\",\"motor.b\"],"
                     "\"evidence_summary\":\"2 primitives flagged multi_actor\",\"confidence\":0.6,"
                     "\"distinct_sessions\":7,\"ts\":1778405250.0}");
}

Test(event_behaviour, identity_formed)
{
    const Uuid members[] = {uuid_of("e4d909c2-90d0-4b3e-8f2a-6a1b2c3d4e5f"), uuid_of(ATTACKER)};
    const Uuid swapped[] = {members[1], members[0]};
    IdentityFormed e = {uuid_of(IDENTITY), members, 2, 1201, 1778401740000000}, other = e;
    cleanup(buf_free) Buf out = {0}, out_other = {0};
    Uuid id = identity_formed_id(&e);
    Uuid want = event_id(STR("identity.formed"),
                         (Str[]){STR(IDENTITY), STR(ATTACKER ",e4d909c2-90d0-4b3e-8f2a-6a1b2c3d4e5f"), STR("1201")}, 3);

    cr_assert_eq(uuid_cmp(&id, &want), 0);
    other.observation_uuids = swapped;
    Uuid id_other = identity_formed_id(&other);
    cr_assert_eq(uuid_cmp(&id, &id_other), 0, "members have no order");
    identity_formed_encode(&e, &id, &out);
    identity_formed_encode(&other, &id, &out_other);
    cr_assert_str_eq(out.data, out_other.data);
    cr_assert_not_null(strstr(out.data, "\"identity_uuid\":\"" IDENTITY "\",\"observation_uuids\":[\"" ATTACKER
                                        "\",\"e4d909c2-90d0-4b3e-8f2a-6a1b2c3d4e5f\"],\"seq\":1201,"
                                        "\"ts\":\"2026-05-10T08:29:00.000000Z\"}"),
                       "%s", out.data);
}

Test(event_behaviour, kinds_have_names)
{
    ValueKind kind = VALUE_KIND_NONE;

    cr_assert(value_kind_parse(STR("categorical"), &kind) && kind == VALUE_KIND_CATEGORICAL);
    cr_assert(value_kind_parse(STR("numeric"), &kind) && kind == VALUE_KIND_NUMERIC);
    cr_assert(value_kind_parse(STR("hash"), &kind) && kind == VALUE_KIND_HASH);
    cr_assert_not(value_kind_parse(STR("bool"), &kind) || value_kind_parse((Str){0}, &kind));
    cr_assert_null(value_kind_name(VALUE_KIND_NONE));
    cr_assert_str_eq(value_kind_name(VALUE_KIND_HASH), "hash");
}
