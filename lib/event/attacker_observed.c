/* attacker.observed: an address was seen for the first time. */
#include "event.h"

#include "payload.h"

static const Str type_name = {"attacker.observed", sizeof("attacker.observed") - 1};

EventReject attacker_observed_decode(Arena *arena, const JsonView *payload, AttackerObserved *ret)
{
    AttackerObserved e = {0};

    (void)arena; /* nothing of this event needs a copy; the decoders share one shape */
    if (!view_is(payload, json_type_object))
        return EVENT_MALFORMED;
    payload_ip(payload, "attacker_ip", e.attacker_ip);
    e.has_attacker_uuid = payload_uuid(payload, "attacker_uuid", &e.attacker_uuid);
    if (!e.attacker_ip[0] && !e.has_attacker_uuid)
        return EVENT_NO_ANCHOR;
    e.decky = view_get_str(payload, "decky");
    e.service = view_get_str(payload, "service");
    e.event_type = view_get_str(payload, "event_type");
    e.first_seen_us = payload_time(payload, "first_seen");
    *ret = e;
    return EVENT_OK;
}

void attacker_observed_encode(const AttackerObserved *e, const Uuid *id, Buf *out)
{
    JsonWriter w = {.buf = out};

    payload_begin(&w, id, e->first_seen_us);
    json_put_cstr(&w, "attacker_ip", e->attacker_ip);
    payload_put_uuid(&w, "attacker_uuid", e->has_attacker_uuid ? &e->attacker_uuid : NULL);
    json_put_str(&w, "decky", e->decky);
    json_put_str(&w, "service", e->service);
    json_put_str(&w, "event_type", e->event_type);
    json_put_time(&w, "first_seen", e->first_seen_us);
    json_end_object(&w);
}

Uuid attacker_observed_id(const char *ip, int64_t first_seen_us)
{
    char time_text[US_TEXT_BYTES];
    return event_id(type_name, (Str[]){str_from(ip), payload_us_text(time_text, first_seen_us)}, 2);
}
