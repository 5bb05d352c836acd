/* Reading by views: they say what json-c says of the same text. */
#include "base/json_view.h"
#include "base/limits.h"
#include "fuzz.h"

static void promise_same(const JsonView *v, json_object *want);

/* json-c keeps the last of several members, as looking up does. */
static void promise_same_members(const JsonView *v, json_object *want)
{
    view_each (member, v) {
        cleanup(freep) char *name = strndup(member->key, member->key_len);
        PROMISE(name != NULL);
        if (strlen(name) == member->key_len) /* json-c ends a name at an escaped NUL */
            PROMISE(json_object_object_get_ex(want, name, NULL));
    }
    json_object_object_foreach (want, key, value) {
        const JsonView *member = view_any_member(v, key);
        if (member) /* else a name with an escaped NUL */
            promise_same(member, value);
    }
}

static void promise_same_elements(const JsonView *v, json_object *want)
{
    size_t i = 0;

    PROMISE(view_count(v) == json_object_array_length(want));
    view_each (item, v)
        promise_same(item, json_object_array_get_idx(want, i++));
}

static void promise_same(const JsonView *v, json_object *want)
{
    int64_t i;
    double d;
    bool flag;

    PROMISE(v->span >= 1 && view_is(v, json_object_get_type(want)));
    if (v->type == json_type_object)
        promise_same_members(v, want);
    else if (v->type == json_type_array)
        promise_same_elements(v, want);
    else if (v->type == json_type_string)
        PROMISE(str_eq(view_str(v), json_str(want)));
    else if (view_bool(v, &flag))
        PROMISE(flag == json_object_get_boolean(want));
    else if (view_int(v, &i)) /* json-c bends what 64 bits do not hold */
        PROMISE(i == json_object_get_int64(want));
    else if (v->type == json_type_double && view_double(v, &d))
        PROMISE(d == json_object_get_double(want));
}

/* Numbers that json-c takes and RFC 8259 does not: a zero before other digits, a point without digits on both sides. */
static bool may_have_odd_numbers(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char before = i ? text.data[i - 1] : ' ', c = text.data[i], after = i + 1 < text.len ? text.data[i + 1] : ' ';
        bool digit_before = before >= '0' && before <= '9', digit_after = after >= '0' && after <= '9';
        if ((c == '.' && !(digit_before && digit_after)) || (c == '0' && digit_after))
            return true;
    }
    return false;
}

/* json_parse() trims what follows the value of more than JSON's white space. */
static bool may_have_odd_space(Str text)
{
    return memchr(text.data, '\v', text.len) || memchr(text.data, '\f', text.len);
}

/* json-c counts a scalar as one more level. */
static bool may_be_deep(Str text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == '[' || text.data[i] == '{';
    return n >= LIMIT_JSON_DEPTH;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(arena_freep) Arena *arena = arena_new();
    Str text = fuzz_input(&block, data, size);
    cleanup(json_putp) json_object *want = json_parse(text);
    const JsonView *v = json_view(arena, arena, text);
    bool is_null = str_eq_cstr(text_trim(text), "null"); /* which json-c has no object for */

    if (!v)
        PROMISE(!want || may_have_odd_numbers(text) || may_have_odd_space(text));
    else if (want)
        promise_same(v, want);
    else
        PROMISE(is_null || may_be_deep(text));
    return 0;
}
