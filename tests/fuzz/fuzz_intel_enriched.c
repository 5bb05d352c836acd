/* attacker.intel.enriched: whatever is decoded can be encoded, and then says the same for ever. */
#include "event/event.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(arena_freep) Arena *arena = arena_new();
    const JsonView *payload = NULL, *again = NULL;
    cleanup(buf_free) Buf first = {0}, second = {0};
    IntelFacts facts, back;
    Uuid id = {{0}};

    if (event_payload_parse(arena, arena, fuzz_input(&block, data, size), &payload) != EVENT_OK ||
        intel_enriched_decode(arena, payload, &facts) != EVENT_OK)
        return 0;
    PROMISE(facts.abuseipdb_score >= 0 && facts.abuseipdb_score <= 100);
    intel_enriched_encode(&facts, &id, &first);
    again = json_view(arena, arena, buf_str(&first));
    PROMISE(again != NULL);
    PROMISE(intel_enriched_decode(arena, again, &back) == EVENT_OK);
    intel_enriched_encode(&back, &id, &second);
    PROMISE(str_eq(buf_str(&first), buf_str(&second)));
    return 0;
}
