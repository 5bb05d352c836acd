/* Values of observations: the canonical spelling is its own, is JSON, and what JSON readers take is taken. */
#include <math.h>

#include "attribution/value.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(arena_freep) Arena *arena = arena_new();
    Str text = fuzz_input(&block, data, size);
    AttributionValue value, again;
    double number;

    if (attribution_value_read(arena, text, &value) != 0)
        return 0;
    promise_storable(arena, value.key);
    PROMISE(attribution_value_read(arena, value.key, &again) == 0 && str_eq(value.key, again.key));
    if (attribution_value_number(&value, &number)) {
        PROMISE(isfinite(number));
        AttributionValue written = attribution_value_from_double(arena, number);
        double back;
        PROMISE(attribution_value_number(&written, &back) && back == number);
    }
    return 0;
}
