#include "topic_settings.h"

#include <stdio.h>
#include <string.h>

static const char *const cleanup_names[] = {
    [BUS_CLEANUP_DELETE] = "delete",
    [BUS_CLEANUP_COMPACT] = "compact",
    [BUS_CLEANUP_COMPACT_DELETE] = "compact,delete",
};

/* Cut the text before @separator, or all of it, off @rest. */
static Str cut(Str *rest, char separator)
{
    const char *at = rest->len ? memchr(rest->data, separator, rest->len) : NULL;
    Str piece = {rest->data, at ? (size_t)(at - rest->data) : rest->len};

    *rest = at ? (Str){at + 1, rest->len - piece.len - 1} : (Str){0};
    return piece;
}

size_t bus_topic_settings(Arena *arena, const BusTopic *topic, NameValue out[BUS_TOPIC_SETTINGS_MAX])
{
    Str further = str_from(topic->settings);
    size_t n = 0;

    out[n++] = (NameValue){STR("cleanup.policy"), str_from(cleanup_names[topic->cleanup])};
    if (topic->cleanup != BUS_CLEANUP_COMPACT)
        out[n++] =
            (NameValue){STR("retention.ms"), str_from(arena_printf(arena, "%lld", (long long)topic->retention_ms))};
    while (further.len) {
        Str value = cut(&further, ','), name = cut(&value, '=');
        assert(n < BUS_TOPIC_SETTINGS_MAX);
        out[n++] = (NameValue){text_trim(name), text_trim(value)};
    }
    return n;
}

static bool list_has(Str list, Str word)
{
    while (list.len)
        if (str_eq(text_trim(cut(&list, ',')), word))
            return true;
    return false;
}

static bool list_within(Str list, Str other)
{
    while (list.len)
        if (!list_has(other, text_trim(cut(&list, ','))))
            return false;
    return true;
}

bool bus_setting_equal(Str want, Str have)
{
    int64_t i, j;
    double a, b;

    if (!have.data || !want.data)
        return false;
    if (text_to_int64(want, &i) && text_to_int64(have, &j))
        return i == j;
    if (text_to_double(want, &a) && text_to_double(have, &b))
        return a == b;
    return list_within(want, have) && list_within(have, want);
}

void bus_difference_add(Buf *out, Str what, Str is, Str should)
{
    buf_printf(out, "%s" STR_FMT " is " STR_FMT ", should be " STR_FMT, out->len ? "; " : "", STR_ARG(what),
               is.data ? (int)is.len : 7, is.data ? is.data : "not set", STR_ARG(should));
}
