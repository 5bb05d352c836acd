/* Times and the other small parsers that attackers' text reaches: numbers, addresses, uuids, base64. */
#include <errno.h>

#include "base/time.h"
#include "base/uuid.h"
#include "fuzz.h"

static void fuzz_time(Str text)
{
    char out[TIME_TEXT_BYTES];
    int64_t us, again;
    bool no_offset;

    if (time_of_any_year_parse(text, &us) == 0) {
        time_format(out, us);
        PROMISE(time_of_any_year_parse(str_from(out), &again) == 0 && again == us);
        PROMISE(time_or_date_parse(text, &again) == (us < 0 ? -EINVAL : 0) && (us < 0 || again == us));
    }
    if (time_parse(text, &us, &no_offset) < 0)
        return;
    PROMISE(us >= 0);
    time_format(out, us);
    PROMISE(strlen(out) == TIME_TEXT_BYTES - 1);
    PROMISE(time_parse(str_from(out), &again, &no_offset) == 0 && again == us && !no_offset);
}

static void fuzz_address(Str text)
{
    char out[IP_TEXT_BYTES], again[IP_TEXT_BYTES];

    if (!ip_canonical(text, out))
        return;
    PROMISE(ip_canonical(str_from(out), again) && strcmp(out, again) == 0);
    (void)ip_is_reserved(out);
}

static void fuzz_uuid(Str text)
{
    char out[UUID_TEXT_BYTES];
    Uuid u, again;

    if (!uuid_parse_text(text, &u))
        return;
    uuid_format(out, &u);
    PROMISE(uuid_parse_text(str_from(out), &again) && uuid_cmp(&u, &again) == 0);
}

static void fuzz_base64(Arena *arena, Str text)
{
    Str bytes, back;

    PROMISE(base64_decode(arena, base64_encode(arena, text), &back) && str_eq(back, text));
    if (base64_decode(arena, text, &bytes))
        PROMISE(base64_decode(arena, base64_encode(arena, bytes), &back) && str_eq(back, bytes));
}

static void fuzz_text(Arena *arena, Str text)
{
    Str clean = text_sanitize(arena, text);

    promise_storable(arena, clean);
    for (size_t max = 0; max < 9; max++) {
        Str clip = text_clip(clean, max), chars = text_clip_chars(clean, max);
        PROMISE(clip.len <= max);
        promise_storable(arena, clip);
        promise_storable(arena, chars);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(arena_freep) Arena *arena = arena_new();
    Str text = fuzz_input(&block, data, size);
    int64_t whole;
    double real;

    fuzz_time(text);
    fuzz_address(text);
    fuzz_uuid(text);
    fuzz_base64(arena, text);
    fuzz_text(arena, text);
    (void)text_to_int64(text, &whole);
    (void)text_to_double(text, &real);
    return 0;
}
