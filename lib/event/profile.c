/* attribution.profile.*: another state of one primitive of an identity, and the suspicion of several hands. */
#include "behaviour.h"

#include "payload.h"

static const Str changed_name = {"attribution.profile.state_changed", sizeof("attribution.profile.state_changed") - 1};
static const Str suspected_name = {"attribution.profile.multi_actor_suspected",
                                   sizeof("attribution.profile.multi_actor_suspected") - 1};

Uuid state_changed_id(const StateChanged *e)
{
    char identity[UUID_TEXT_BYTES], time_text[US_TEXT_BYTES];

    uuid_format(identity, &e->identity_uuid);
    Str parts[] = {str_from(identity), e->primitive, e->old_state.data ? e->old_state : STR("-"), e->new_state,
                   payload_us_text(time_text, epoch_us_from_s(e->ts))};
    return event_id(changed_name, parts, ARRAY_SIZE(parts));
}

static void put_raw(JsonWriter *w, const char *key, Str json)
{
    json_key(w, key);
    json_value_raw(w, json.data ? json : STR("null"));
}

void state_changed_encode(const StateChanged *e, const Uuid *id, Buf *out)
{
    JsonWriter w = {.buf = out};

    payload_begin(&w, id, epoch_us_from_s(e->ts));
    payload_put_uuid(&w, "identity_uuid", &e->identity_uuid);
    json_put_str(&w, "primitive", e->primitive);
    json_put_str(&w, "old_state", e->old_state);
    json_put_str(&w, "new_state", e->new_state);
    put_raw(&w, "current_value", e->current_value);
    put_raw(&w, "previous_value", e->previous_value);
    json_put_double(&w, "confidence", e->confidence);
    json_put_int(&w, "observation_count", e->observation_count);
    json_put_double(&w, "ts", e->ts);
    json_end_object(&w);
}

Uuid multi_actor_suspected_id(const MultiActorSuspected *e)
{
    cleanup(buf_free) Buf primitives = {0};
    char identity[UUID_TEXT_BYTES];

    uuid_format(identity, &e->identity_uuid);
    for (size_t i = 0; i < e->n_primitives; i++) {
        if (i)
            buf_add_char(&primitives, ',');
        buf_add_str(&primitives, e->primitives[i]);
    }
    return event_id(suspected_name, (Str[]){str_from(identity), buf_str(&primitives)}, 2);
}

void multi_actor_suspected_encode(const MultiActorSuspected *e, const Uuid *id, Buf *out)
{
    JsonWriter w = {.buf = out};

    payload_begin(&w, id, epoch_us_from_s(e->ts));
    payload_put_uuid(&w, "identity_uuid", &e->identity_uuid);
    json_key(&w, "primitives");
    json_begin_array(&w);
    for (size_t i = 0; i < e->n_primitives; i++)
        json_value_str(&w, e->primitives[i]);
    json_end_array(&w);
    json_put_str(&w, "evidence_summary", e->evidence_summary);
    json_put_double(&w, "confidence", e->confidence);
    json_put_int(&w, "distinct_sessions", e->distinct_sessions);
    json_put_double(&w, "ts", e->ts);
    json_end_object(&w);
}
