/* attacker.observation: one thing that a session was seen to do. */
#include "behaviour.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "payload.h"

static const Str type_name = {"attacker.observation", sizeof("attacker.observation") - 1};

enum { ENVELOPE_VERSION = 1 };                 /* the newest envelope (member `v`) that this code understands */
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

/* How many bytes the numbers in @value add when jsonb writes their digits out. False: a number that no double holds. */
static bool numbers_bytes(const JsonView *value, size_t *bytes)
{
    for (const JsonView *v = value; v < view_end(value); v++) {
        double d;
        if (v->type != json_type_double && v->type != json_type_int)
            continue;
        if (!view_double(v, &d))
            return false;
        d = fabs(d);
        if (v->type == json_type_double && d != 0.0 && (d > jsonb_plain_digits || d < 1.0 / jsonb_plain_digits))
            *bytes += JSONB_NUMBER_BYTES;
    }
    return true;
}

static void write_value(Arena *arena, const JsonView *value, JsonWriter *w);

/* As it was written where no other type holds it: an integer beyond 64 bits is a value like any other. */
static void write_number(const JsonView *value, JsonWriter *w)
{
    int64_t i;
    double d;

    if (view_int(value, &i))
        json_value_int(w, i);
    else if (view_is(value, json_type_double) && view_double(value, &d))
        json_value_double(w, d);
    else
        json_value_raw(w, view_text(value));
}

typedef struct Member {
    Str name; /* repaired */
    const JsonView *value;
} Member;

static int by_name_and_place(const void *a, const void *b)
{
    const Member *x = a, *y = b;
    int c = str_cmp(x->name, y->name);
    return c ? c : (x->value > y->value) - (x->value < y->value);
}

/* Names that differ in what PostgreSQL cannot hold are equal once that is repaired. Of doubled names the last counts, as
 * with jsonb: nobody downstream has to choose among them. */
static void write_members(Arena *arena, const JsonView *object, JsonWriter *w)
{
    cleanup(freep) Member *members = calloc(view_count(object) + 1, sizeof(*members));
    size_t n = 0;

    if (!members)
        abort();
    view_each (v, object)
        members[n++] = (Member){text_sanitize(arena, (Str){v->key, v->key_len}), v};
    qsort(members, n, sizeof(*members), by_name_and_place);
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && str_eq(members[i].name, members[i + 1].name))
            continue;
        json_value_str(w, members[i].name);
        buf_add_char(w->buf, ':');
        w->need_comma = false;
        write_value(arena, members[i].value, w);
    }
}

/* As every value is written that we store: equal values are equal texts. Depth is bounded by json_view(). */
static void write_value(Arena *arena, const JsonView *value, JsonWriter *w)
{
    switch (value->type) {
    case json_type_string:
        json_value_str(w, view_str(value));
        break;
    case json_type_int:
    case json_type_double:
        write_number(value, w);
        break;
    case json_type_array:
        json_begin_array(w);
        view_each (v, value)
            write_value(arena, v, w);
        json_end_array(w);
        break;
    case json_type_object:
        json_begin_object(w);
        write_members(arena, value, w);
        json_end_object(w);
        break;
    default: /* true, false, null */
        json_value_raw(w, view_text(value));
    }
}

static EventReject decode_value(Arena *arena, const JsonView *value, Str *ret)
{
    cleanup(buf_free) Buf text = {0};
    JsonWriter w = {.buf = &text};
    size_t extra = 0;

    if (!numbers_bytes(value, &extra))
        return EVENT_MALFORMED;
    write_value(arena, value, &w);
    if (text.len + extra > LIMIT_OBSERVATION_VALUE_BYTES)
        return EVENT_OVERSIZE;
    *ret = str_dup(arena, buf_str(&text));
    return EVENT_OK;
}

static EventReject decode_version(const JsonView *payload)
{
    int64_t v;

    if (!view_member(payload, "v"))
        return EVENT_OK;
    if (!view_get_int(payload, "v", &v))
        return EVENT_MALFORMED;
    return v > ENVELOPE_VERSION ? EVENT_SCHEMA : EVENT_OK;
}

static void decode_window(const JsonView *payload, Observation *e)
{
    const JsonView *window = view_get_object(payload, "window");

    if (!view_get_double(window, "start_ts", &e->window_start_ts))
        e->window_start_ts = e->ts;
    if (!view_get_double(window, "end_ts", &e->window_end_ts))
        e->window_end_ts = e->ts;
}

static EventReject decode_envelope(Arena *arena, const JsonView *payload, Observation *e)
{
    const JsonView *value = view_any_member(payload, "value"); /* null is a value */
    EventReject reject = decode_version(payload);

    if (reject != EVENT_OK)
        return reject;
    e->evidence_ref = view_get_str(payload, "evidence_ref");
    if (!e->evidence_ref.len || !value || !view_get_double(payload, "ts", &e->ts) || e->ts < 0 ||
        e->ts > OBSERVATION_TS_MAX)
        return EVENT_MALFORMED;
    e->evidence_ref = text_sanitize(arena, e->evidence_ref);
    if (e->evidence_ref.len > LIMIT_SOURCE_ID_BYTES)
        return EVENT_OVERSIZE;
    reject = decode_value(arena, value, &e->value);
    if (reject != EVENT_OK)
        return reject;
    decode_window(payload, e);
    if (view_get_double(payload, "confidence", &e->confidence))
        e->confidence = MIN(MAX(e->confidence, 0.0), 1.0);
    Str source = view_get_str(payload, "source");
    e->source = text_clip(text_sanitize(arena, source.data ? source : STR("")), LIMIT_NAME_BYTES);
    if (!payload_uuid(payload, "id", &e->id))
        e->id = observation_row_id(e->evidence_ref, e->primitive);
    e->has_envelope = true;
    return EVENT_OK;
}

EventReject observation_decode(Arena *arena, const JsonView *payload, Observation *ret)
{
    Observation e = {0};

    if (!view_is(payload, json_type_object))
        return EVENT_MALFORMED;
    if (!payload_uuid(payload, "attacker_uuid", &e.attacker_uuid))
        return EVENT_NO_ANCHOR;
    e.primitive = view_get_str(payload, "primitive");
    if (!is_primitive(e.primitive))
        return EVENT_MALFORMED;
    payload_ip(payload, "attacker_ip", e.attacker_ip);
    (void)value_kind_parse(view_get_str(payload, "value_kind"), &e.value_kind);
    if (view_any_member(payload, "evidence_ref") || view_any_member(payload, "value") ||
        view_any_member(payload, "ts")) {
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
