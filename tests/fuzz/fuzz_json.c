/* JSON: what is parsed can be written, and reads back as the same. */
#include "base/limits.h"
#include "fuzz.h"

static json_object *write_and_parse(json_object *value, Buf *out)
{
    JsonWriter w = {.buf = out};

    json_value_object(&w, value);
    return json_parse_exact(buf_str(out));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(arena_freep) Arena *arena = arena_new();
    cleanup(json_putp) json_object *value = NULL, *again = NULL, *third = NULL, *plain = NULL;
    cleanup(buf_free) Buf literal = {0}, first = {0}, second = {0};
    Str text = fuzz_input(&block, data, size);

    json_append_string(&literal, text);
    third = json_parse(buf_str(&literal));
    PROMISE(json_object_is_type(third, json_type_string));
    PROMISE(str_eq(json_str(third), text_sanitize(arena, text)));

    value = json_parse_exact(text);
    plain = json_parse(text);
    PROMISE((value == NULL) == (plain == NULL));
    if (!value)
        return 0;
    again = write_and_parse(value, &first);
    if (str_eq_cstr(buf_str(&first), "null")) /* a number beyond all doubles, and nothing else */
        return 0;
    PROMISE(again != NULL);
    promise_storable(arena, buf_str(&first));
    json_object_put(third);
    third = write_and_parse(again, &second);
    PROMISE(str_eq(buf_str(&first), buf_str(&second)));
    return 0;
}
