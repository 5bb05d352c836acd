/* attacker.session.ended: one session of an attacker, with the commands that it sent. */
#include "event.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "payload.h"

static const Str type_name = {"attacker.session.ended", sizeof("attacker.session.ended") - 1};

/* Contract ttp 1.4. The attacker's uuid is in canonical form, the others are as sent. */
static Str session_source_id(Arena *arena, const JsonView *payload, const SessionEnded *event)
{
    static const char *const before_uuid[] = {"source_id",     "session_id",    "token_id",
                                              "identity_uuid", "credential_id", NULL};
    static const char *const after_uuid[] = {"attacker_uuid", "uuid", NULL};
    Str source = payload_first_id(payload, before_uuid);

    if (!source.data && event->has_attacker_uuid) {
        char *text = arena_alloc(arena, UUID_TEXT_BYTES);
        uuid_format(text, &event->attacker_uuid);
        source = str_from(text);
    }
    return source.data ? source : payload_first_id(payload, after_uuid);
}

Str event_command_source_id(Arena *arena, Str source, size_t index)
{
    char tail[32];
    int tail_len = snprintf(tail, sizeof(tail), "#cmd%zu", index);
    size_t len = source.len + (size_t)tail_len;
    char *text = arena_alloc(arena, len + 1);

    if (source.len)
        memcpy(text, source.data, source.len);
    memcpy(text + source.len, tail, (size_t)tail_len + 1);
    return (Str){text, len};
}

/* What the reference's language calls false: null, false, 0, "", [] and {}. */
static bool is_falsy(const JsonView *value)
{
    double number;
    bool flag;

    if (view_is(value, json_type_array) || view_is(value, json_type_object))
        return view_count(value) == 0;
    if (view_bool(value, &flag))
        return !flag;
    if (view_double(value, &number))
        return number == 0;
    return view_is(value, json_type_null) || !view_text(value).len;
}

/* The first of the two spellings that is not falsy must be text. */
static bool command_text(const JsonView *element, Str *ret)
{
    const JsonView *member = view_member(element, "command_text");

    if (is_falsy(member))
        member = view_member(element, "text");
    *ret = view_str(member);
    return ret->len > 0;
}

/* False when the element is of no use and must be skipped. */
static bool decode_command(Arena *arena, const JsonView *element, size_t index, const SessionEnded *event,
                           EventCommand *ret)
{
    static const char *const id_keys[] = {"id", "uuid", "command_id", NULL};
    EventCommand c = {.index = index, .decky_id = event->decky_id, .ts_us = TIME_NONE};

    if (view_is(element, json_type_string)) {
        c.text = view_str(element);
    } else {
        if (!view_is(element, json_type_object) || !command_text(element, &c.text))
            return false;
        c.source_id = payload_first_id(element, id_keys);
        Str decky = view_get_str(element, "decky_id");
        if (decky.len)
            c.decky_id = decky;
        c.ts_us = payload_time(element, "ts");
        c.uid = view_get_str(element, "uid");
        c.user = view_get_str(element, "user");
        c.src = view_get_str(element, "src");
        c.pwd = view_get_str(element, "pwd");
        (void)view_get_bool(element, "errored", &c.errored);
    }
    if (!c.source_id.data && event->source_id.data)
        c.source_id = event_command_source_id(arena, event->source_id, index);
    *ret = c;
    return true;
}

static void decode_commands(Arena *arena, const JsonView *payload, SessionEnded *event)
{
    const JsonView *array = view_get_array(payload, "commands");
    size_t i = 0;

    event->commands =
        arena_calloc(arena, MIN(view_count(array), (size_t)LIMIT_EVENT_COMMANDS), sizeof(*event->commands));
    view_each (element, array) {
        EventCommand command;
        if (!decode_command(arena, element, i++, event, &command))
            continue;
        event->n_commands_seen++;
        if (event->n_commands < LIMIT_EVENT_COMMANDS)
            event->commands[event->n_commands++] = command;
    }
}

static void decode_artifacts(Arena *arena, const JsonView *payload, SessionEnded *event)
{
    const JsonView *array = view_get_array(payload, "artifacts");
    size_t left = LIMIT_SESSION_ARTIFACTS;

    event->artifacts = arena_calloc(arena, MIN(view_count(array), left), sizeof(*event->artifacts));
    view_each (element, array) {
        if (left-- == 0)
            break;
        Str sha256 = view_get_str(element, "sha256");
        if (sha256.len)
            event->artifacts[event->n_artifacts++] = (EventArtifact){
                .sha256 = sha256, .url = view_get_str(element, "url"), .orig_path = view_get_str(element, "orig_path")};
    }
}

static int64_t count_or_none(const JsonView *obj, const char *key)
{
    int64_t v;
    return view_get_int(obj, key, &v) && v >= 0 ? v : -1;
}

static void decode_extras(const JsonView *payload, SessionEnded *event)
{
    const JsonView *login = view_get_object(payload, "login"), *client = view_get_object(payload, "client");

    event->schema = view_get_str(payload, "schema");
    event->protocol = view_get_str(payload, "protocol");
    event->ended_reason = view_get_str(payload, "ended_reason");
    event->login_username = view_get_str(login, "username");
    event->login_outcome = view_get_str(login, "outcome");
    event->login_attempts = count_or_none(login, "attempts");
    event->login_at_us = payload_time(login, "at");
    event->client_version = view_get_str(client, "version");
    event->client_hassh = view_get_str(client, "hassh");
    event->src_port = count_or_none(payload, "src_port");
    event->request_count = count_or_none(payload, "request_count");
}

static void decode_part(const JsonView *payload, SessionEnded *event)
{
    int64_t part = 1, parts = 0;

    bool has_part = view_get_int(payload, "part", &part) && part >= 1 && part <= INT32_MAX;
    bool has_parts = view_get_int(payload, "parts", &parts) && parts >= 1 && parts <= INT32_MAX;
    event->part = has_part ? (int)part : 1;
    event->parts = has_parts ? (int)parts : has_part ? 0 : 1;
}

EventReject session_ended_decode(Arena *arena, const JsonView *payload, SessionEnded *ret)
{
    SessionEnded e = {0};

    if (!view_is(payload, json_type_object))
        return EVENT_MALFORMED;
    payload_ip(payload, "attacker_ip", e.attacker_ip);
    e.has_attacker_uuid = payload_uuid(payload, "attacker_uuid", &e.attacker_uuid);
    if (!e.attacker_ip[0] && !e.has_attacker_uuid)
        return EVENT_NO_ANCHOR;
    e.session_id = payload_id_text(view_member(payload, "session_id"));
    e.source_id = session_source_id(arena, payload, &e);
    e.decky_id = payload_id_text(view_member(payload, "decky_id"));
    e.service = view_get_str(payload, "service");
    e.started_at_us = payload_time(payload, "started_at");
    e.ended_at_us = payload_time(payload, "ended_at");
    if (!view_get_double(payload, "duration_s", &e.duration_s) || e.duration_s < 0)
        e.duration_s = 0;
    e.shard_path = view_get_str(payload, "shard_path");
    decode_part(payload, &e);
    decode_extras(payload, &e);
    decode_artifacts(arena, payload, &e);
    decode_commands(arena, payload, &e);
    *ret = e;
    return EVENT_OK;
}

static void encode_command(JsonWriter *w, const EventCommand *c, const SessionEnded *session)
{
    json_begin_object(w);
    payload_put_optional(w, "id", c->source_id);
    json_put_str(w, "command_text", c->text.data ? c->text : STR(""));
    if (c->ts_us != TIME_NONE)
        json_put_time(w, "ts", c->ts_us);
    payload_put_optional(w, "decky", c->decky_id);
    if (!str_eq(c->decky_id, session->decky_id))
        payload_put_optional(w, "decky_id", c->decky_id);
    payload_put_optional(w, "service", session->service);
    payload_put_optional(w, "uid", c->uid);
    payload_put_optional(w, "user", c->user);
    payload_put_optional(w, "src", c->src);
    payload_put_optional(w, "pwd", c->pwd);
    json_put_bool(w, "errored", c->errored);
    json_end_object(w);
}

static void put_count(JsonWriter *w, const char *key, int64_t v)
{
    json_key(w, key);
    if (v >= 0)
        json_value_int(w, v);
    else
        json_value_null(w);
}

static void encode_extras(JsonWriter *w, const SessionEnded *e)
{
    payload_put_optional(w, "schema", e->schema);
    payload_put_optional(w, "protocol", e->protocol);
    json_put_time(w, "started_at", e->started_at_us);
    payload_put_optional(w, "ended_reason", e->ended_reason);
    put_count(w, "src_port", e->src_port);
    if (e->part > 1 || e->parts != 1) {
        json_put_int(w, "part", e->part);
        if (e->parts > 0)
            json_put_int(w, "parts", e->parts);
    }
    json_key(w, "login");
    json_begin_object(w);
    json_put_str(w, "username", e->login_username);
    json_put_str(w, "outcome", e->login_outcome);
    put_count(w, "attempts", e->login_attempts);
    json_put_time(w, "at", e->login_at_us);
    json_end_object(w);
    json_key(w, "client");
    json_begin_object(w);
    json_put_str(w, "version", e->client_version);
    json_put_str(w, "hassh", e->client_hassh);
    json_end_object(w);
}

static void encode_artifacts(JsonWriter *w, const SessionEnded *e)
{
    json_key(w, "artifacts");
    json_begin_array(w);
    for (size_t i = 0; i < e->n_artifacts; i++) {
        json_begin_object(w);
        json_put_str(w, "sha256", e->artifacts[i].sha256);
        payload_put_optional(w, "url", e->artifacts[i].url);
        payload_put_optional(w, "orig_path", e->artifacts[i].orig_path);
        json_end_object(w);
    }
    json_end_array(w);
    put_count(w, "request_count", e->request_count);
}

void session_ended_encode(const SessionEnded *e, const Uuid *id, Buf *out)
{
    JsonWriter w = {.buf = out};

    payload_begin(&w, id, e->ended_at_us);
    json_put_str(&w, "session_id", e->session_id);
    payload_put_uuid(&w, "attacker_uuid", e->has_attacker_uuid ? &e->attacker_uuid : NULL);
    json_put_cstr(&w, "attacker_ip", e->attacker_ip);
    json_put_str(&w, "decky_id", e->decky_id);
    json_put_str(&w, "service", e->service);
    json_put_time(&w, "ended_at", e->ended_at_us);
    json_put_double(&w, "duration_s", e->duration_s);
    json_key(&w, "commands");
    json_begin_array(&w);
    for (size_t i = 0; i < e->n_commands; i++)
        encode_command(&w, &e->commands[i], e);
    json_end_array(&w);
    json_put_str(&w, "shard_path", e->shard_path);
    encode_extras(&w, e);
    encode_artifacts(&w, e);
    json_end_object(&w);
}

/* At the most: six bytes for a control character, three for a byte that must be replaced. */
static size_t json_string_bytes(Str s)
{
    size_t n = 2;

    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = (uint8_t)s.data[i];
        n += c == 0 || c >= 0x80 ? 3 : c < 0x20 ? 6 : c == '"' || c == '\\' ? 2 : 1;
    }
    return n;
}

size_t session_command_json_bytes(const EventCommand *c)
{
    /* Keys, punctuation, a time, a boolean, the service name and the comma between two elements. */
    enum { FRAME_BYTES = 224 };

    return FRAME_BYTES + json_string_bytes(c->source_id) + json_string_bytes(c->text) +
           2 * json_string_bytes(c->decky_id) + json_string_bytes(c->uid) + json_string_bytes(c->user) +
           json_string_bytes(c->src) + json_string_bytes(c->pwd);
}

Uuid session_ended_id(Str session_id, int part)
{
    char part_text[16];

    snprintf(part_text, sizeof(part_text), "%d", part);
    return event_id(type_name, (Str[]){session_id, str_from(part_text)}, part > 1 ? 2 : 1);
}
