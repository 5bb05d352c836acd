/* The event codecs: identifiers of the contract, tolerance of the readers, round trips. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "event/event.h"

static Arena *arena;
static json_object *parsed[64]; /* released at the end */
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

TestSuite(event_codec, .init = setup, .fini = teardown, .timeout = 30);

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

static bool equals(Str s, const char *want)
{
    return want ? str_eq_cstr(s, want) && s.data : s.data == NULL;
}

static json_object *parse(const char *text)
{
    json_object *obj = json_parse(str_from(text));
    cr_assert_not_null(obj, "not JSON: %s", text);
    cr_assert_lt(n_parsed, ARRAY_SIZE(parsed));
    return parsed[n_parsed++] = obj;
}

static const JsonView *view(const char *text)
{
    const JsonView *v = json_view(arena, arena, str_from(text));
    cr_assert_not_null(v, "not JSON: %s", text);
    return v;
}

static EventReject session_decode(const char *text, SessionEnded *ret)
{
    return session_ended_decode(arena, view(text), ret);
}

static const char uuid_text[] = "7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f41";
static const char sid_text[] = "8b5b4643-10c2-54f9-9f3e-a31e49d18554";

Test(event_codec, ids_are_those_of_the_contract)
{
    Uuid attacker = uuid_of(uuid_text);

    assert_uuid(attacker_observed_id("198.51.100.23", 1778401501004512), "3d4d7bb6-3fc9-5ac1-b306-b9fe1d094600");
    assert_uuid(session_ended_id(str_from(sid_text), 1), "4586efd8-a896-51fb-99d3-488b5dfab989");
    assert_uuid(intel_enriched_id(&attacker, 1778401682500000), "01ab25e9-6625-552c-9342-caa06d7f2293");
    assert_uuid(event_id(STR("attacker.scored"), (Str[]){STR("198.51.100.23"), STR("42"), STR("1778401650125000")}, 3),
                "c8f97423-104e-574c-9748-1b349cf55f44");
    assert_uuid(event_id(STR("canary.triggered"), (Str[]){STR("5d2c8f7e-0b1a-4c3d-8e9f-1a2b3c4d5e6f")}, 1),
                "c3cf3268-b808-57c9-8803-ed23931d0a11");
}

Test(event_codec, part_enters_the_id_from_the_second_on)
{
    Uuid first = session_ended_id(str_from(sid_text), 1), second = session_ended_id(str_from(sid_text), 2);
    Uuid want = event_id(STR("attacker.session.ended"), (Str[]){str_from(sid_text), STR("2")}, 2);

    cr_assert_neq(uuid_cmp(&first, &second), 0);
    cr_assert_eq(uuid_cmp(&second, &want), 0);
}

Test(event_codec, tag_ids_do_not_depend_on_order)
{
    EventTag tags[] = {{.uuid = uuid_of(uuid_text)}, {.uuid = uuid_of("030f7f56-900c-56c6-a01f-d824b59d89f2")}};
    EventTag swapped[] = {tags[1], tags[0]};
    Uuid a = ttp_tagged_id(tags, 2), b = ttp_tagged_id(swapped, 2);
    Uuid want = event_id(STR("ttp.tagged"),
                         (Str[]){STR("030f7f56-900c-56c6-a01f-d824b59d89f2,7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f41")}, 1);
    Uuid fired = ttp_rule_fired_id(STR("T1059"), swapped, 1);
    Uuid want_fired =
        event_id(STR("ttp.rule.fired"), (Str[]){STR("T1059"), STR("030f7f56-900c-56c6-a01f-d824b59d89f2")}, 2);

    cr_assert_eq(uuid_cmp(&a, &b), 0);
    cr_assert_eq(uuid_cmp(&a, &want), 0);
    cr_assert_eq(uuid_cmp(&fired, &want_fired), 0);
}

Test(event_codec, credential_id_takes_the_principal_and_the_payload_does_not)
{
    CredentialCaptured e = {.attacker_ip = "198.51.100.23",
                            .attacker_uuid = uuid_of(uuid_text),
                            .secret_sha256 = STR("8c69"),
                            .secret_kind = STR("plaintext"),
                            .decky = STR("edge-01"),
                            .service = STR("ssh"),
                            .outcome = STR("failure"),
                            .principal = STR("a|b"),
                            .attempt_count = 3,
                            .occurred_at_us = 1778401504118200};
    cleanup(buf_free) Buf out = {0};
    Uuid id = credential_captured_id(&e);
    Uuid want = event_id(STR("credential.captured"), (Str[]){STR("198.51.100.23|edge-01|ssh|plaintext|8c69|3|a|b")}, 1);

    cr_assert_eq(uuid_cmp(&id, &want), 0);
    credential_captured_encode(&e, &id, &out);
    json_object *obj = parse(out.data);
    int64_t n;
    cr_assert(json_get_int(obj, "attempt_count", &n) && n == 3);
    cr_assert(equals(json_get_str(obj, "outcome"), "failure"));
    cr_assert(equals(json_get_str(obj, "occurred_at"), "2026-05-10T08:25:04.118200Z"));
    cr_assert(equals(json_get_str(obj, "schema_version"), "1"));
    cr_assert_null(json_member(obj, "principal"));
    cr_assert_null(strstr(out.data, "a|b"));
}

Test(event_codec, value_must_be_an_object_of_bounded_size)
{
    const JsonView *payload = NULL;
    char *big = arena_calloc(arena, 1, LIMIT_EVENT_READ_BYTES + 2);

    memset(big, ' ', LIMIT_EVENT_READ_BYTES + 1);
    memcpy(big, "{}", 2);
    cr_assert_eq(event_payload_parse(arena, arena, (Str){big, LIMIT_EVENT_READ_BYTES + 1}, &payload), EVENT_OVERSIZE);
    cr_assert_null(payload);
    cr_assert_eq(event_payload_parse(arena, arena, (Str){big, LIMIT_EVENT_READ_BYTES}, &payload), EVENT_OK);
    static const char *const bad[] = {"", "[]", "1", "null", "\"x\"", "{", "{} x", "{\"a\":}", "\xff\xfe"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        cr_assert_eq(event_payload_parse(arena, arena, str_from(bad[i]), &payload), EVENT_MALFORMED, "%s", bad[i]);
    cr_assert_str_eq(event_reject_name(EVENT_MALFORMED), "malformed");
    cr_assert_str_eq(event_reject_name(EVENT_SCHEMA), "schema");
    cr_assert_str_eq(event_reject_name(EVENT_OVERSIZE), "oversize");
    cr_assert_str_eq(event_reject_name(EVENT_NO_ANCHOR), "no_anchor");
}

Test(event_codec, envelope_prefers_headers_then_payload_then_coordinates)
{
    EventHeader headers[] = {{STR("decnet-event-id"), STR("030f7f56-900c-56c6-a01f-d824b59d89f2")},
                             {STR("decnet-event-type"), STR("attacker.scored")},
                             {STR("decnet-schema-version"), STR("1")}};
    const JsonView *payload = view("{\"event_id\":\"7B1F6C0E4F0A4C559F0B0D7A1C2E3F41\",\"schema_version\":\"1\","
                                   "\"occurred_at\":\"2026-05-10T10:25:01.5+0200\"}");
    EventEnvelope e;
    Uuid want = event_id(STR("t"), (Str[]){STR("3"), STR("9000000000")}, 2);

    cr_assert_eq(event_envelope(headers, 3, payload, STR("t"), 3, 9000000000, 7, &e), EVENT_OK);
    assert_uuid(e.event_id, "030f7f56-900c-56c6-a01f-d824b59d89f2");
    cr_assert(equals(e.type, "attacker.scored"));
    cr_assert_eq(e.occurred_at_us, 1778401501500000);
    cr_assert_eq(event_envelope(NULL, 0, payload, STR("t"), 3, 9000000000, 7, &e), EVENT_OK);
    assert_uuid(e.event_id, uuid_text);
    cr_assert_eq(event_envelope(NULL, 0, NULL, STR("t"), 3, 9000000000, 7, &e), EVENT_OK);
    cr_assert_eq(uuid_cmp(&e.event_id, &want), 0);
    cr_assert(equals(e.type, "t"));
    cr_assert_eq(e.occurred_at_us, 7);
    cr_assert_eq(e.schema_major, 1);
    headers[0].value = STR("no uuid");
    cr_assert_eq(event_envelope(headers, 1, NULL, STR("t"), 3, 9000000000, 7, &e), EVENT_OK);
    cr_assert_eq(uuid_cmp(&e.event_id, &want), 0);
}

Test(event_codec, newer_schema_is_refused_wherever_it_is_written)
{
    static const char *const bad[] = {"2", "0", "-1", "x", "", "99999999999999999999", "1x"};
    static const char *const good[] = {"1", "1.9"};
    EventEnvelope e;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        EventHeader h = {STR("decnet-schema-version"), str_from(bad[i])};
        cr_assert_eq(event_envelope(&h, 1, NULL, STR("t"), 0, 0, 0, &e), EVENT_SCHEMA, "%s", bad[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        EventHeader h = {STR("decnet-schema-version"), str_from(good[i])};
        cr_assert_eq(event_envelope(&h, 1, NULL, STR("t"), 0, 0, 0, &e), EVENT_OK, "%s", good[i]);
    }
    cr_assert_eq(event_envelope(NULL, 0, view("{\"schema_version\":2}"), STR("t"), 0, 0, 0, &e), EVENT_SCHEMA);
    cr_assert_eq(event_envelope(NULL, 0, view("{\"schema_version\":true}"), STR("t"), 0, 0, 0, &e), EVENT_SCHEMA);
    cr_assert_eq(event_envelope(NULL, 0, view("{\"schema_version\":1}"), STR("t"), 0, 0, 0, &e), EVENT_OK);
}

Test(event_codec, session_needs_an_anchor)
{
    SessionEnded e;

    cr_assert_eq(session_decode("{}", &e), EVENT_NO_ANCHOR);
    cr_assert_eq(session_decode("{\"attacker_ip\":\"Unknown\"}", &e), EVENT_NO_ANCHOR);
    cr_assert_eq(session_decode("{\"attacker_ip\":17,\"attacker_uuid\":\"x\"}", &e), EVENT_NO_ANCHOR);
    cr_assert_eq(session_decode("{\"attacker_uuid\":\"7b1f6c0e4f0a4c559f0b0d7a1c2e3f41\"}", &e), EVENT_OK);
    cr_assert(e.has_attacker_uuid && e.attacker_ip[0] == '\0');
    cr_assert(equals(e.source_id, uuid_text), "canonical form");
    cr_assert_eq(session_decode("{\"attacker_ip\":\"::FFFF:198.51.100.23\"}", &e), EVENT_OK);
    cr_assert_str_eq(e.attacker_ip, "198.51.100.23");
    cr_assert(equals(e.source_id, NULL), "known only when the attacker is");
    cr_assert_eq(session_ended_decode(arena, view("[]"), &e), EVENT_MALFORMED);
    cr_assert_eq(session_ended_decode(arena, NULL, &e), EVENT_MALFORMED);
}

Test(event_codec, session_ids_may_be_numbers_but_not_booleans)
{
    static const struct {
        const char *value, *want;
    } rows[] = {{"\"S\"", "S"}, {"42", "42"},    {"0", NULL},   {"\"\"", NULL}, {"null", NULL},
                {"true", NULL}, {"false", NULL}, {"[1]", NULL}, {"2.5", "2.5"}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        SessionEnded e;
        char *text = arena_printf(arena, "{\"attacker_ip\":\"192.0.2.1\",\"session_id\":%s,\"commands\":[\"ls\"]}",
                                  rows[i].value);
        cr_assert_eq(session_decode(text, &e), EVENT_OK);
        cr_assert(equals(e.session_id, rows[i].want), "%s", rows[i].value);
        cr_assert_eq(e.n_commands, 1);
        char *want = rows[i].want ? arena_printf(arena, "%s#cmd0", rows[i].want) : NULL;
        cr_assert(equals(e.commands[0].source_id, want), "%s", rows[i].value);
    }
}

Test(event_codec, commands_come_in_all_forms_and_bad_ones_keep_their_index)
{
    SessionEnded e;
    static const char text[] =
        "{\"attacker_ip\":\"192.0.2.1\",\"session_id\":\"S\",\"decky_id\":\"d1\",\"commands\":["
        "\"id\", 7, {\"command\":\"not a key we know\"}, {\"text\":\"w\",\"uuid\":9}, null, "
        "{\"command_text\":\"\",\"text\":\"who\",\"id\":\"\",\"command_id\":\"c\",\"decky_id\":\"d2\"}, \"\","
        "{\"command_text\":[1],\"text\":\"never\"}, {\"command_text\":\"ps\",\"id\":true,\"user\":\"root\",\"uid\":0,"
        "\"ts\":\"2026-05-10T08:25:12.301Z\",\"errored\":true}]}";
    static const struct {
        const char *text, *source_id, *decky;
    } want[] = {
        {"id", "S#cmd0", "d1"}, {"w", "9", "d1"}, {"who", "c", "d2"}, {"", "S#cmd6", "d1"}, {"ps", "S#cmd8", "d1"}};

    cr_assert_eq(session_decode(text, &e), EVENT_OK);
    cr_assert_eq(e.n_commands, ARRAY_SIZE(want));
    cr_assert_eq(e.n_commands_seen, ARRAY_SIZE(want));
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        cr_assert(equals(e.commands[i].text, want[i].text), "text %zu", i);
        cr_assert(equals(e.commands[i].source_id, want[i].source_id), "id %zu", i);
        cr_assert(equals(e.commands[i].decky_id, want[i].decky), "decky %zu", i);
    }
    const EventCommand *last = &e.commands[4];
    cr_assert(last->errored && equals(last->user, "root") && equals(last->uid, NULL));
    cr_assert_eq(last->ts_us, 1778401512301000);
    cr_assert_eq(last->index, 8);
    cr_assert_eq(e.commands[0].ts_us, TIME_NONE);
    cr_assert_eq(session_decode("{\"attacker_ip\":\"192.0.2.1\",\"commands\":\"ls\"}", &e), EVENT_OK);
    cr_assert_eq(e.n_commands, 0);
}

Test(event_codec, too_many_commands_are_counted_not_kept)
{
    cleanup(buf_free) Buf text = {0};
    SessionEnded e;

    buf_add(&text, "{\"attacker_ip\":\"192.0.2.1\",\"commands\":[\"a\"");
    for (int i = 0; i < LIMIT_EVENT_COMMANDS + 4; i++)
        buf_add(&text, ",\"a\"");
    buf_add(&text, "]}");
    cr_assert_eq(session_decode(text.data, &e), EVENT_OK);
    cr_assert_eq(e.n_commands, LIMIT_EVENT_COMMANDS);
    cr_assert_eq(e.n_commands_seen, LIMIT_EVENT_COMMANDS + 5);
}

Test(event_codec, parts_default_to_one_and_stay_unknown_when_only_the_part_is_given)
{
    static const struct {
        const char *members;
        int part, parts;
    } rows[] = {{"", 1, 1},
                {",\"part\":2", 2, 0},
                {",\"part\":2,\"parts\":3", 2, 3},
                {",\"part\":0", 1, 1},
                {",\"part\":true,\"parts\":\"x\"", 1, 1}};

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        SessionEnded e;
        cr_assert_eq(session_decode(arena_printf(arena, "{\"attacker_ip\":\"192.0.2.1\"%s}", rows[i].members), &e),
                     EVENT_OK);
        cr_assert(e.part == rows[i].part && e.parts == rows[i].parts, "%s", rows[i].members);
    }
}

static SessionEnded full_session(void)
{
    static EventCommand commands[] = {{.text = {"uname -a", 8},
                                       .source_id = {"S#0", 3},
                                       .ts_us = 1778401512301000,
                                       .decky_id = {"edge-01", 7},
                                       .user = {"root", 4},
                                       .src = {"198.51.100.23", 13}},
                                      {.text = {"a\0b\xff\"\\\n\x01", 8},
                                       .source_id = {"S#1", 3},
                                       .ts_us = TIME_NONE,
                                       .decky_id = {"edge-02", 7},
                                       .uid = {"0", 1},
                                       .pwd = {"/", 1},
                                       .errored = true}};
    static EventArtifact artifacts[] = {{.sha256 = {"ab", 2}, .url = {"http://203.0.113.80/x", 21}},
                                        {.sha256 = {"cd", 2}, .orig_path = {"/tmp/x", 6}}};
    SessionEnded e = {.session_id = STR("S"),
                      .attacker_ip = "198.51.100.23",
                      .decky_id = STR("edge-01"),
                      .service = STR("ssh"),
                      .started_at_us = 1778401501004512,
                      .ended_at_us = 1778401650125000,
                      .duration_s = 149.12,
                      .commands = commands,
                      .n_commands = 2,
                      .n_commands_seen = 2,
                      .shard_path = STR("tty/1"),
                      .part = 2,
                      .parts = 2,
                      .schema = STR("cowrie/1"),
                      .protocol = STR("ssh"),
                      .ended_reason = STR("closed"),
                      .login_username = STR("root"),
                      .login_outcome = STR("success"),
                      .client_version = STR("SSH-2.0-Go"),
                      .client_hassh = STR("ee"),
                      .login_attempts = 2,
                      .login_at_us = 1778401507520300,
                      .src_port = 51514,
                      .request_count = 0,
                      .artifacts = artifacts,
                      .n_artifacts = 2,
                      .has_attacker_uuid = true};
    e.attacker_uuid = uuid_of(uuid_text);
    return e;
}

Test(event_codec, session_survives_a_round_trip)
{
    SessionEnded e = full_session(), back;
    cleanup(buf_free) Buf out = {0};
    Uuid id = session_ended_id(e.session_id, e.part);

    session_ended_encode(&e, &id, &out);
    cr_assert_eq(session_decode(out.data, &back), EVENT_OK);
    cr_assert(equals(back.session_id, "S") && equals(back.decky_id, "edge-01") && equals(back.service, "ssh"));
    cr_assert_str_eq(back.attacker_ip, e.attacker_ip);
    cr_assert_eq(uuid_cmp(&back.attacker_uuid, &e.attacker_uuid), 0);
    cr_assert(back.started_at_us == e.started_at_us && back.ended_at_us == e.ended_at_us);
    cr_assert_eq(back.duration_s, 149.12);
    cr_assert(equals(back.shard_path, "tty/1") && equals(back.schema, "cowrie/1") && equals(back.protocol, "ssh"));
    cr_assert(equals(back.ended_reason, "closed") && equals(back.login_username, "root"));
    cr_assert(equals(back.login_outcome, "success") && equals(back.client_version, "SSH-2.0-Go"));
    cr_assert(equals(back.client_hassh, "ee"));
    cr_assert(back.login_attempts == 2 && back.login_at_us == e.login_at_us && back.src_port == 51514);
    cr_assert(back.request_count == 0 && back.part == 2 && back.parts == 2);
    cr_assert_eq(back.n_artifacts, 2);
    cr_assert(equals(back.artifacts[0].url, "http://203.0.113.80/x") && equals(back.artifacts[0].orig_path, NULL));
    cr_assert(equals(back.artifacts[1].orig_path, "/tmp/x") && equals(back.artifacts[1].url, NULL));
    cr_assert_eq(back.n_commands, 2);
    cr_assert(equals(back.commands[0].text, "uname -a") && equals(back.commands[0].source_id, "S#0"));
    cr_assert(equals(back.commands[0].user, "root") && !back.commands[0].errored);
    cr_assert_eq(back.commands[0].ts_us, 1778401512301000);
    cr_assert(equals(back.commands[1].text, "a\xef\xbf\xbd"
                                            "b\xef\xbf\xbd\"\\\n\x01"),
              "repaired");
    cr_assert(back.commands[1].errored && equals(back.commands[1].decky_id, "edge-02"));
    cr_assert(equals(back.commands[1].uid, "0") && equals(back.commands[1].pwd, "/"));
}

Test(event_codec, single_part_session_has_no_part_members)
{
    SessionEnded e = full_session();
    cleanup(buf_free) Buf out = {0};
    Uuid id = session_ended_id(e.session_id, 1);

    e.part = e.parts = 1;
    session_ended_encode(&e, &id, &out);
    json_object *obj = parse(out.data);
    cr_assert_null(json_member(obj, "part"));
    cr_assert_null(json_member(obj, "parts"));
    cr_assert(equals(json_get_str(obj, "occurred_at"), "2026-05-10T08:27:30.125000Z"));
    cr_assert(equals(json_get_str(obj, "ended_at"), "2026-05-10T08:27:30.125000Z"));
}

Test(event_codec, command_size_is_never_understated)
{
    SessionEnded e = full_session();
    cleanup(buf_free) Buf none = {0}, all = {0};
    Uuid id = session_ended_id(e.session_id, 1);
    size_t bound = session_command_json_bytes(&e.commands[0]) + session_command_json_bytes(&e.commands[1]);

    session_ended_encode(&e, &id, &all);
    e.n_commands = 0;
    session_ended_encode(&e, &id, &none);
    cr_assert_geq(bound, all.len - none.len);
    cr_assert_lt(bound, all.len - none.len + 400, "and not wildly overstated");
}

Test(event_codec, observed_survives_a_round_trip)
{
    AttackerObserved e = {.attacker_ip = "198.51.100.23",
                          .attacker_uuid = uuid_of(uuid_text),
                          .has_attacker_uuid = true,
                          .decky = STR("edge-01"),
                          .service = STR("ssh"),
                          .event_type = STR("connect"),
                          .first_seen_us = 1778401501004512},
                     back;
    cleanup(buf_free) Buf out = {0};
    Uuid id = attacker_observed_id(e.attacker_ip, e.first_seen_us);

    attacker_observed_encode(&e, &id, &out);
    json_object *obj = parse(out.data);
    cr_assert(equals(json_get_str(obj, "event_id"), "3d4d7bb6-3fc9-5ac1-b306-b9fe1d094600"));
    cr_assert_eq(attacker_observed_decode(arena, view(out.data), &back), EVENT_OK);
    cr_assert_str_eq(back.attacker_ip, e.attacker_ip);
    cr_assert(back.has_attacker_uuid && uuid_cmp(&back.attacker_uuid, &e.attacker_uuid) == 0);
    cr_assert(equals(back.decky, "edge-01") && equals(back.service, "ssh") && equals(back.event_type, "connect"));
    cr_assert_eq(back.first_seen_us, e.first_seen_us);
    cr_assert_eq(attacker_observed_decode(arena, view("{\"decky\":\"x\"}"), &back), EVENT_NO_ANCHOR);
    cr_assert_eq(attacker_observed_decode(arena, view("7"), &back), EVENT_MALFORMED);
}

static IntelFacts intel(const char *text)
{
    IntelFacts f;
    cr_assert_eq(intel_enriched_decode(arena, view(text), &f), EVENT_OK, "%s", text);
    return f;
}

Test(event_codec, intel_reads_the_contract_example_and_writes_it_back)
{
    IntelFacts f =
        intel("{\"attacker_uuid\":\"7b1f6c0e-4f0a-4c55-9f0b-0d7a1c2e3f41\",\"attacker_ip\":\"198.51.100.23\","
              "\"aggregate_verdict\":\"malicious\",\"abuseipdb_score\":92,\"abuseipdb_categories\":[18,22],"
              "\"greynoise_classification\":\"malicious\",\"greynoise_name\":\"unknown\",\"greynoise_tags\":[],"
              "\"feodo_listed\":false,\"feodo_malware_family\":null,\"threatfox_listed\":true,"
              "\"threatfox_threat_types\":[\"botnet_cc\"],\"threatfox_ioc_types\":[\"ip:port\"],"
              "\"threatfox_malware_families\":[\"win.cobalt_strike\"],"
              "\"cached_at\":\"2026-05-10T08:28:02.500000+00:00\"}");
    cleanup(buf_free) Buf out = {0};
    Uuid id = intel_enriched_id(&f.attacker_uuid, f.cached_at_us);

    for (int pass = 0; pass < 2; pass++) { /* the second time from what we wrote ourselves */
        assert_uuid(f.attacker_uuid, uuid_text);
        cr_assert(equals(f.attacker_ip, "198.51.100.23") && equals(f.aggregate_verdict, "malicious"));
        cr_assert(f.has_abuseipdb_score && f.abuseipdb_score == 92);
        cr_assert(f.abuseipdb_categories.n == 2 && f.abuseipdb_categories.items[1] == 22);
        cr_assert(equals(f.greynoise_classification, "malicious") && equals(f.greynoise_name, "unknown"));
        cr_assert_eq(f.greynoise_tags.n, 0);
        cr_assert(f.feodo_listed == TRI_NO && equals(f.feodo_malware_family, NULL) && f.threatfox_listed == TRI_YES);
        cr_assert(f.threatfox_threat_types.n == 1 && equals(f.threatfox_threat_types.items[0], "botnet_cc"));
        cr_assert(f.threatfox_ioc_types.n == 1 && equals(f.threatfox_ioc_types.items[0], "ip:port"));
        cr_assert(f.threatfox_malware_families.n == 1);
        cr_assert_eq(f.cached_at_us, 1778401682500000);
        buf_clear(&out);
        intel_enriched_encode(&f, &id, &out);
        f = intel(out.data);
    }
    json_object *obj = parse(out.data);
    cr_assert(equals(json_get_str(obj, "event_id"), "01ab25e9-6625-552c-9342-caa06d7f2293"));
    cr_assert(equals(json_get_str(obj, "cached_at"), "2026-05-10T08:28:02.500000Z"));
    int64_t score;
    cr_assert(json_get_int(obj, "abuseipdb_score", &score) && score == 92, "a whole number on the wire");
}

Test(event_codec, intel_takes_lists_as_text_and_older_names)
{
    IntelFacts f = intel("{\"attacker_ip\":\"192.0.2.1\",\"categories\":\"[18, true, \\\"x\\\", 22]\","
                         "\"threat_type\":\"payload\",\"malware_family\":\"qakbot\",\"feodo_listed\":1,"
                         "\"abuseipdb_score\":true,\"greynoise_tags\":\"not a list\",\"threatfox_ioc_types\":{\"a\":1},"
                         "\"threatfox_malware_families\":[\"a\",7,\"\",\"b\"]}");

    cr_assert(uuid_is_zero(&f.attacker_uuid));
    cr_assert(f.abuseipdb_categories.n == 2 && f.abuseipdb_categories.items[0] == 18);
    cr_assert(f.threatfox_threat_types.n == 1 && equals(f.threatfox_threat_types.items[0], "payload"));
    cr_assert(equals(f.feodo_malware_family, "qakbot"));
    cr_assert_eq(f.feodo_listed, TRI_UNKNOWN, "a number is no boolean");
    cr_assert(!f.has_abuseipdb_score, "a boolean is no number");
    cr_assert_eq(f.threatfox_ioc_types.n, 0);
    cr_assert(f.threatfox_malware_families.n == 2 && equals(f.threatfox_malware_families.items[1], "b"));
    cr_assert_eq(f.cached_at_us, TIME_NONE);
    f = intel("{\"attacker_ip\":\"192.0.2.1\",\"abuseipdb_score\":1e300,\"abuseipdb_categories\":[]}");
    cr_assert(f.has_abuseipdb_score && f.abuseipdb_score == 100);
    cr_assert_eq(intel_enriched_decode(arena, view("{\"attacker_uuid\":7}"), &f), EVENT_NO_ANCHOR);
    cr_assert_eq(intel_enriched_decode(arena, view("[]"), &f), EVENT_MALFORMED);
}

Test(event_codec, tag_events_name_what_was_added)
{
    EventTag tags[] = {{.uuid = uuid_of("707431cb-371d-589a-a8c8-2e0d4546cf3e"),
                        .rule_id = STR("R0010"),
                        .tactic = STR("TA0002"),
                        .technique_id = STR("T1059"),
                        .sub_technique_id = STR("T1059.004"),
                        .confidence = 0.9},
                       {.uuid = uuid_of(uuid_text),
                        .rule_id = STR("R0011"),
                        .tactic = STR("TA0002"),
                        .technique_id = STR("T1059"),
                        .confidence = 0.7},
                       {.uuid = uuid_of(sid_text),
                        .rule_id = STR("R0018"),
                        .tactic = STR("TA0007"),
                        .technique_id = STR("T1018"),
                        .confidence = 0.7}};
    TagEvent e = {.attacker_uuid = uuid_of(uuid_text),
                  .has_attacker_uuid = true,
                  .session_id = str_from(sid_text),
                  .occurred_at_us = 1778401650125000,
                  .tags = tags,
                  .n_tags = 3};
    cleanup(buf_free) Buf tagged = {0}, fired = {0};
    Uuid id = ttp_tagged_id(tags, 3), fired_id = ttp_rule_fired_id(STR("T1059"), tags, 2);

    ttp_tagged_encode(&e, &id, &tagged);
    json_object *obj = parse(tagged.data), *added = json_get_array(obj, "techniques_added");
    cr_assert_eq(json_object_array_length(json_get_array(obj, "tag_uuids")), 3);
    cr_assert_eq(json_object_array_length(added), 2);
    cr_assert_str_eq(json_object_get_string(json_object_array_get_idx(added, 0)), "T1018");
    cr_assert(equals(json_get_str(obj, "attacker_uuid"), uuid_text) &&
              equals(json_get_str(obj, "session_id"), sid_text));
    cr_assert(json_object_object_get_ex(obj, "identity_uuid", NULL) && !json_member(obj, "identity_uuid"));
    e.n_tags = 2;
    e.session_id = (Str){0};
    ttp_rule_fired_encode(&e, STR("T1059"), &fired_id, &fired);
    obj = parse(fired.data);
    cr_assert(equals(json_get_str(obj, "technique_id"), "T1059"));
    json_object *list = json_get_array(obj, "tags"), *first = json_object_array_get_idx(list, 0);
    double confidence;
    cr_assert(equals(json_get_str(first, "sub_technique_id"), "T1059.004"));
    cr_assert(json_get_double(first, "confidence", &confidence) && confidence == 0.9);
    cr_assert_null(json_member(json_object_array_get_idx(list, 1), "sub_technique_id"));
    cr_assert(!json_member(obj, "session_id") && !json_member(obj, "techniques_added"));
}
