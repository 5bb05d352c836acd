/* attacker.observation: what is decoded can be stored and encoded, and then says the same for ever. */
#include "base/limits.h"
#include "event/behaviour.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(arena_freep) Arena *arena = arena_new();
    const JsonView *payload = NULL, *again = NULL;
    cleanup(buf_free) Buf first = {0}, second = {0};
    Observation o, back;

    if (event_payload_parse(arena, arena, fuzz_input(&block, data, size), &payload) != EVENT_OK ||
        observation_decode(arena, payload, &o) != EVENT_OK)
        return 0;
    PROMISE(o.primitive.len > 0 && o.primitive.len <= LIMIT_PRIMITIVE_BYTES);
    if (!o.has_envelope)
        return 0;
    PROMISE(o.value.len <= LIMIT_OBSERVATION_VALUE_BYTES && o.evidence_ref.len <= LIMIT_SOURCE_ID_BYTES);
    promise_storable(arena, o.value);
    promise_storable(arena, o.evidence_ref);
    promise_storable(arena, o.source);
    Uuid id = observation_id(&o);
    observation_encode(&o, &id, &first);
    again = json_view(arena, arena, buf_str(&first));
    PROMISE(observation_decode(arena, again, &back) == EVENT_OK);
    PROMISE(uuid_cmp(&o.id, &back.id) == 0 && str_eq(o.value, back.value) && o.ts == back.ts);
    observation_encode(&back, &id, &second);
    PROMISE(str_eq(buf_str(&first), buf_str(&second)));
    return 0;
}
