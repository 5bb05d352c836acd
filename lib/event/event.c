/* Envelope, event ids, and the helpers of payload.h. */
#include "event.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "payload.h"

enum { SCHEMA_MAJOR = 1 }; /* the newest payload schema that this code understands */

const char *event_reject_name(EventReject reject)
{
    static const char *const names[] = {
        [EVENT_OK] = "ok",
        [EVENT_MALFORMED] = "malformed",
        [EVENT_SCHEMA] = "schema",
        [EVENT_OVERSIZE] = "oversize",
        [EVENT_NO_ANCHOR] = "no_anchor",
    };
    return (size_t)reject < ARRAY_SIZE(names) ? names[reject] : "unknown";
}

EventReject event_payload_parse(Arena *views, Arena *texts, Str value, const JsonView **ret_payload)
{
    *ret_payload = NULL;
    if (value.len > LIMIT_EVENT_READ_BYTES)
        return EVENT_OVERSIZE;
    const JsonView *payload = json_view(views, texts, value);
    if (!view_is(payload, json_type_object))
        return EVENT_MALFORMED;
    *ret_payload = payload;
    return EVENT_OK;
}

Uuid event_id(Str type, const Str *parts, size_t n_parts)
{
    Str all[1 + EVENT_ID_PARTS_MAX] = {type};

    assert(n_parts <= EVENT_ID_PARTS_MAX);
    memcpy(all + 1, parts, n_parts * sizeof(*parts));
    return uuid_v5_joined(&UUID_NS_EVENT, all, 1 + n_parts);
}

static Str header_value(const EventHeader *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq_cstr(headers[i].name, name))
            return headers[i].value;
    return (Str){0};
}

/* "1" or "1.4"; anything else is a version that we cannot know. */
static EventReject schema_major(Str text, int *ret)
{
    const char *dot = text.len ? memchr(text.data, '.', text.len) : NULL;
    int64_t major;

    if (dot)
        text.len = (size_t)(dot - text.data);
    if (!text_to_int64(text, &major) || major < 1 || major > SCHEMA_MAJOR)
        return EVENT_SCHEMA;
    *ret = (int)major;
    return EVENT_OK;
}

static Uuid id_from_coordinates(Str type, int32_t partition, int64_t offset)
{
    char partition_text[16], offset_text[24];

    snprintf(partition_text, sizeof(partition_text), "%d", (int)partition);
    snprintf(offset_text, sizeof(offset_text), "%lld", (long long)offset);
    return event_id(type, (Str[]){str_from(partition_text), str_from(offset_text)}, 2);
}

EventReject event_envelope(const EventHeader *headers, size_t n_headers, const JsonView *payload, Str type,
                           int32_t partition, int64_t offset, int64_t timestamp_us, EventEnvelope *ret)
{
    Str version = header_value(headers, n_headers, "decnet-schema-version");
    Str header_type = header_value(headers, n_headers, "decnet-event-type");
    EventEnvelope e = {.type = header_type.len ? header_type : type, .schema_major = SCHEMA_MAJOR};

    if (!uuid_parse_text(header_value(headers, n_headers, "decnet-event-id"), &e.event_id) &&
        !payload_uuid(payload, "event_id", &e.event_id))
        e.event_id = id_from_coordinates(type, partition, offset);
    e.occurred_at_us = payload_time(payload, "occurred_at");
    if (e.occurred_at_us == TIME_NONE)
        e.occurred_at_us = timestamp_us;
    *ret = e;
    if (!version.data) {
        const JsonView *member = view_member(payload, "schema_version");
        version = payload_id_text(member);
        if (member && !version.data)
            return EVENT_SCHEMA;
    }
    return version.data ? schema_major(version, &ret->schema_major) : EVENT_OK;
}

Str payload_us_text(char out[US_TEXT_BYTES], int64_t us)
{
    snprintf(out, US_TEXT_BYTES, "%lld", (long long)us);
    return str_from(out);
}

void payload_begin(JsonWriter *w, const Uuid *id, int64_t occurred_at_us)
{
    json_begin_object(w);
    payload_put_uuid(w, "event_id", id);
    json_put_time(w, "occurred_at", occurred_at_us);
    json_put_cstr(w, "schema_version", "1");
}

Str payload_id_text(const JsonView *value)
{
    double number;
    Str text = view_str(value);

    if (view_double(value, &number) && number != 0)
        text = view_text(value);
    return text.len ? text : (Str){0};
}

Str payload_first_id(const JsonView *obj, const char *const *keys)
{
    for (; *keys; keys++) {
        Str text = payload_id_text(view_member(obj, *keys));
        if (text.data)
            return text;
    }
    return (Str){0};
}

bool payload_uuid(const JsonView *obj, const char *key, Uuid *ret)
{
    return uuid_parse_text(view_get_str(obj, key), ret);
}

void payload_ip(const JsonView *obj, const char *key, char out[IP_TEXT_BYTES])
{
    if (!ip_canonical(view_get_str(obj, key), out))
        out[0] = '\0';
}

int64_t payload_time(const JsonView *obj, const char *key)
{
    Str text = view_get_str(obj, key);
    int64_t us;

    return text.data && time_parse(text, &us, NULL) == 0 ? us : TIME_NONE;
}

void payload_put_uuid(JsonWriter *w, const char *key, const Uuid *uuid)
{
    char text[UUID_TEXT_BYTES];

    if (uuid)
        uuid_format(text, uuid);
    json_put_cstr(w, key, uuid ? text : NULL);
}

void payload_put_optional(JsonWriter *w, const char *key, Str s)
{
    if (s.data)
        json_put_str(w, key, s);
}
