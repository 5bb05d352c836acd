/* attacker.observation: one thing that a session was seen to do. */
#include "behaviour.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "payload.h"

static const Str type_name = {"attacker.observation", sizeof("attacker.observation") - 1};

enum { ENVELOPE_VERSION = 1 };                 /* the newest envelope (member `v`) that this code understands */
static const double ts_max = 253402300799.0;   /* the end of year 9999 */
static const double jsonb_plain_digits = 1e15; /* numbers within [1/this, this] are short in jsonb */
enum { JSONB_NUMBER_BYTES = 350 };             /* any other double, spelled out as jsonb does */

static const char *const kind_names[] = {
    [VALUE_KIND_CATEGORICAL] = "categorical",
    [VALUE_KIND_NUMERIC] = "numeric",
    [VALUE_KIND_HASH] = "hash",
};

const char *value_kind_name(ValueKind kind)
{
    return kind_names[kind];
}

bool value_kind_parse(Str name, ValueKind *ret)
{
    for (size_t i = VALUE_KIND_CATEGORICAL; i < ARRAY_SIZE(kind_names); i++) {
        if (str_eq_cstr(name, kind_names[i])) {
            *ret = (ValueKind)i;
            return true;
        }
    }
    return false;
}

int64_t epoch_us_from_s(double seconds)
{
    return llround(seconds * 1e6);
}

double epoch_s_from_us(int64_t us)
{
    return (double)us / 1e6;
}

Uuid observation_row_id(Str evidence_ref, Str primitive)
{
    return uuid_v5_joined(&UUID_NS_OBSERVATION, (Str[]){evidence_ref, primitive}, 2);
}

Uuid observation_id(const Observation *e)
{
    char time_text[US_TEXT_BYTES];
    return event_id(type_name,
                    (Str[]){e->evidence_ref, e->primitive, payload_us_text(time_text, epoch_us_from_s(e->ts))}, 3);
}

Str observation_reference_topic(Arena *arena, Str primitive)
{
    return str_from(arena_printf(arena, STR_FMT "." STR_FMT, STR_ARG(type_name), STR_ARG(primitive)));
}

/* --- decoding --- */

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Words joined by dots: it becomes a part of topic names, keys and file-like paths. */
static bool is_primitive(Str s)
{
    bool in_word = false;

    if (s.len > LIMIT_PRIMITIVE_BYTES)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_word_char(s.data[i]) && !(s.data[i] == '.' && in_word))
            return false;
        in_word = s.data[i] != '.';
    }
    return in_word;
}

/* How many bytes the numbers in @value add when jsonb writes their digits out. False: a number that no double holds.
 * Depth is bounded by json_parse(), so is this recursion. */
static bool numbers_bytes(json_object *value, size_t *bytes)
{
    double v;

    switch (json_object_get_type(value)) {
    case json_type_double:
        v = fabs(json_object_get_double(value));
        if (!isfinite(v))
            return false;
        if (v != 0.0 && (v > jsonb_plain_digits || v < 1.0 / jsonb_plain_digits))
            *bytes += JSONB_NUMBER_BYTES;
        return true;
    case json_type_array:
        for (size_t i = 0; i < json_object_array_length(value); i++)
            if (!numbers_bytes(json_object_array_get_idx(value, i), bytes))
                return false;
        return true;
    case json_type_object: {
        json_object_object_foreach (value, key, member) {
            (void)key;
            if (!numbers_bytes(member, bytes))
                return false;
        }
        return true;
    }
    default:
        return true;
    }
}

static void write_value(json_object *value, Buf *out)
{
    JsonWriter w = {.buf = out};

    buf_clear(out);
    json_value_object(&w, value);
}

/* Names that differ in bytes that are no UTF-8 are equal once these are repaired. Reading the repaired text again leaves
 * the last of them, as jsonb would: nobody downstream has to choose among doubled members. */
static void write_repaired_value(json_object *value, Buf *out)
{
    static const char replacement[] = "\xef\xbf\xbd";

    write_value(value, out);
    if (memmem(out->data, out->len, replacement, sizeof(replacement) - 1)) {
        cleanup(json_putp) json_object *again = json_parse(buf_str(out));
        write_value(again, out);
    }
}

static EventReject decode_value(Arena *arena, json_object *value, Str *ret)
{
    cleanup(buf_free) Buf text = {0};
    size_t extra = 0;

    if (!numbers_bytes(value, &extra))
        return EVENT_MALFORMED;
    write_repaired_value(value, &text);
    if (text.len + extra > LIMIT_OBSERVATION_VALUE_BYTES)
        return EVENT_OVERSIZE;
    *ret = str_dup(arena, buf_str(&text));
    return EVENT_OK;
}

/* JSON null is a value, so its member must be told from a missing one. */
static bool has_member(json_object *obj, const char *key)
{
    return json_object_object_get_ex(obj, key, NULL);
}

static EventReject decode_version(json_object *payload)
{
    int64_t v;

    if (!json_member(payload, "v"))
        return EVENT_OK;
    if (!json_get_int(payload, "v", &v))
        return EVENT_MALFORMED;
    return v > ENVELOPE_VERSION ? EVENT_SCHEMA : EVENT_OK;
}

static void decode_window(json_object *payload, Observation *e)
{
    json_object *window = json_get_object(payload, "window");

    if (!json_get_double(window, "start_ts", &e->window_start_ts))
        e->window_start_ts = e->ts;
    if (!json_get_double(window, "end_ts", &e->window_end_ts))
        e->window_end_ts = e->ts;
}

static EventReject decode_envelope(Arena *arena, json_object *payload, Observation *e)
{
    json_object *value = NULL;
    EventReject reject = decode_version(payload);

    if (reject != EVENT_OK)
        return reject;
    e->evidence_ref = json_get_str(payload, "evidence_ref");
    if (!e->evidence_ref.len || !json_object_object_get_ex(payload, "value", &value) ||
        !json_get_double(payload, "ts", &e->ts) || e->ts < 0 || e->ts > ts_max)
        return EVENT_MALFORMED;
    e->evidence_ref = text_sanitize(arena, e->evidence_ref);
    if (e->evidence_ref.len > LIMIT_SOURCE_ID_BYTES)
        return EVENT_OVERSIZE;
    reject = decode_value(arena, value, &e->value);
    if (reject != EVENT_OK)
        return reject;
    decode_window(payload, e);
    if (json_get_double(payload, "confidence", &e->confidence))
        e->confidence = MIN(MAX(e->confidence, 0.0), 1.0);
    Str source = json_get_str(payload, "source");
    e->source = text_clip(text_sanitize(arena, source.data ? source : STR("")), LIMIT_NAME_BYTES);
    if (!payload_uuid(payload, "id", &e->id))
        e->id = observation_row_id(e->evidence_ref, e->primitive);
    e->has_envelope = true;
    return EVENT_OK;
}

EventReject observation_decode(Arena *arena, json_object *payload, Observation *ret)
{
    Observation e = {0};

    if (!json_object_is_type(payload, json_type_object))
        return EVENT_MALFORMED;
    if (!payload_uuid(payload, "attacker_uuid", &e.attacker_uuid))
        return EVENT_NO_ANCHOR;
    e.primitive = json_get_str(payload, "primitive");
    if (!is_primitive(e.primitive))
        return EVENT_MALFORMED;
    payload_ip(payload, "attacker_ip", e.attacker_ip);
    (void)value_kind_parse(json_get_str(payload, "value_kind"), &e.value_kind);
    if (has_member(payload, "evidence_ref") || has_member(payload, "value") || has_member(payload, "ts")) {
        EventReject reject = decode_envelope(arena, payload, &e);
        if (reject != EVENT_OK)
            return reject;
    }
    *ret = e;
    return EVENT_OK;
}

/* --- encoding --- */

void observation_encode(const Observation *e, const Uuid *id, Buf *out)
{
    JsonWriter w = {.buf = out};

    payload_begin(&w, id, epoch_us_from_s(e->ts));
    payload_put_uuid(&w, "id", &e->id);
    json_put_int(&w, "v", ENVELOPE_VERSION);
    json_put_double(&w, "ts", e->ts);
    json_put_str(&w, "primitive", e->primitive);
    json_key(&w, "value");
    json_value_raw(&w, e->value);
    json_put_double(&w, "confidence", e->confidence);
    json_key(&w, "window");
    json_begin_object(&w);
    json_put_double(&w, "start_ts", e->window_start_ts);
    json_put_double(&w, "end_ts", e->window_end_ts);
    json_end_object(&w);
    json_put_str(&w, "source", e->source);
    json_put_str(&w, "evidence_ref", e->evidence_ref);
    json_put_str(&w, "identity_ref", (Str){0});
    payload_put_uuid(&w, "attacker_uuid", &e->attacker_uuid);
    if (e->attacker_ip[0])
        json_put_cstr(&w, "attacker_ip", e->attacker_ip);
    if (e->value_kind != VALUE_KIND_NONE)
        json_put_cstr(&w, "value_kind", value_kind_name(e->value_kind));
    json_end_object(&w);
}
