/* attacker.observed: whatever is decoded can be encoded, and then says the same for ever. */
#include "event/event.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(arena_freep) Arena *arena = arena_new();
    const JsonView *payload = NULL, *again = NULL;
    cleanup(buf_free) Buf first = {0}, second = {0};
    AttackerObserved e, back;
    Uuid id = {{0}};

    if (event_payload_parse(arena, arena, fuzz_input(&block, data, size), &payload) != EVENT_OK ||
        attacker_observed_decode(arena, payload, &e) != EVENT_OK)
        return 0;
    attacker_observed_encode(&e, &id, &first);
    again = json_view(arena, arena, buf_str(&first));
    PROMISE(again != NULL);
    PROMISE(attacker_observed_decode(arena, again, &back) == EVENT_OK);
    PROMISE(strcmp(e.attacker_ip, back.attacker_ip) == 0 && e.first_seen_us == back.first_seen_us);
    attacker_observed_encode(&back, &id, &second);
    PROMISE(str_eq(buf_str(&first), buf_str(&second)));
    return 0;
}
