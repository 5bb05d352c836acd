#include "json.h"

#include <endian.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "limits.h"
#include "time.h"

/* Eight at a time. In 7-bit bytes, subtracting sets the high bit where a byte is out of bounds; bytes above them are
 * plain, whatever it says. A borrow may mark a byte behind a marked one: the first mark is right. */
size_t json_plain_bytes(Str s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    size_t i = 0;
    uint64_t w;

    for (; i + sizeof(w) <= s.len; i += sizeof(w)) {
        memcpy(&w, s.data + i, sizeof(w));
        w = le64toh(w);
        uint64_t quote = w ^ ones * '"', backslash = w ^ ones * '\\';
        uint64_t marks = ((w - ones * 0x20) | (quote - ones) | (backslash - ones)) & ~w & highs;
        if (marks)
            return i + (size_t)__builtin_ctzll(marks) / 8;
    }
    while (i < s.len && (uint8_t)s.data[i] >= 0x20 && s.data[i] != '"' && s.data[i] != '\\')
        i++;
    return i;
}

static size_t plain_run(Str s, size_t at)
{
    return json_plain_bytes((Str){s.data + at, s.len - at});
}

/* The place behind the string that begins before @at. */
static size_t skip_string(Str text, size_t at)
{
    while (at < text.len && text.data[at] != '"') {
        at += text.data[at] == '\\' ? 2 : 1;
        at += at < text.len ? plain_run(text, at) : 0;
    }
    return at + 1;
}

/* What json-c takes even when it is told to be strict: 'single quotes' around keys, NaN and Infinity. None of these
 * characters can stand outside of a string in JSON. */
static bool has_extensions(Str text)
{
    for (size_t i = 0; i < text.len;) {
        char c = text.data[i++];
        if (c == '"')
            i = skip_string(text, i);
        else if (c == '\'' || c == 'N' || c == 'I')
            return true;
    }
    return false;
}

json_object *json_parse(Str text)
{
    struct json_tokener *tok;
    json_object *obj = NULL;

    if (!text.data || text.len > INT_MAX || has_extensions(text))
        return NULL;
    tok = json_tokener_new_ex(LIMIT_JSON_DEPTH);
    if (!tok)
        return NULL;
    /* Strict: no comments, no trailing commas; what follows the value is checked below. */
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
    obj = json_tokener_parse_ex(tok, text.data, (int)text.len);
    size_t end = json_tokener_get_parse_end(tok);
    if (json_tokener_get_error(tok) == json_tokener_continue) { /* a bare number wants to see its end */
        obj = json_tokener_parse_ex(tok, "", 1);
        end = text.len;
    }
    bool ok = json_tokener_get_error(tok) == json_tokener_success;
    json_tokener_free(tok);
    if (ok && end < text.len)
        ok = text_trim((Str){text.data + end, text.len - end}).len == 0;
    if (!ok) {
        json_object_put(obj);
        return NULL;
    }
    return obj;
}

/* The number that @s begins with; empty when it begins with none. */
static Str number_at(Str s)
{
    size_t n = 0;
    while (n < s.len && (strchr("+-.eE", s.data[n]) ? s.data[n] != '\0' : s.data[n] >= '0' && s.data[n] <= '9'))
        n++;
    return (Str){s.data, n};
}

static bool integer_fits(Str number)
{
    static const Str most = STR("18446744073709551615"); /* json-c keeps what fits 64 bits with or without a sign */
    int64_t v;

    return text_to_int64(number, &v) || (number.data[0] != '-' && number.len == most.len && str_cmp(number, most) <= 0);
}

/* JSON takes no zeros before an integer. */
static bool is_long_integer(Str number)
{
    size_t sign = number.len && number.data[0] == '-';
    bool is_integer = number.len > sign && number.data[sign] != '0';

    for (size_t i = 0; i < number.len && is_integer; i++)
        is_integer = !strchr("+.eE", number.data[i]);
    return is_integer && !integer_fits(number);
}

static const Str escaped_nul = STR("\\u0000"), no_exponent = STR("e0");

/* A broken one is skipped as a whole, so that nothing is taken out of it that would mend it. */
static size_t escape_bytes(Str rest)
{
    return rest.len > 1 && rest.data[1] == 'u' ? escaped_nul.len : 2;
}

/* @text as json-c keeps all of it: without escapes of U+0000, and with an exponent behind an integer of more than 64 bits,
 * which makes it a real, as whose text it is kept. The result is in @room, or @text itself. */
static Str unbent(Buf *room, Str text)
{
    size_t copied = 0, i = 0;
    bool inside = false;

    while (i < text.len) {
        Str rest = {text.data + i, text.len - i};
        char c = *rest.data;
        Str number = inside ? (Str){0} : number_at(rest);
        if (inside && str_starts(rest, escaped_nul.data)) {
            buf_append(room, text.data + copied, i - copied);
            copied = i += escaped_nul.len;
        } else if (is_long_integer(number)) {
            i += number.len;
            buf_append(room, text.data + copied, i - copied);
            buf_add_str(room, no_exponent);
            copied = i;
        } else {
            inside ^= c == '"';
            i += inside && c == '\\' ? escape_bytes(rest)
                 : number.len        ? number.len
                 : inside            ? 1 + plain_run(text, i + 1)
                                     : 1;
        }
    }
    if (copied == 0)
        return text;
    buf_append(room, text.data + copied, text.len - copied);
    return buf_str(room);
}

json_object *json_parse_exact(Str text)
{
    cleanup(buf_free) Buf room = {0};
    cleanup(arena_freep) Arena *scratch = NULL;

    if (!text.data)
        return NULL;
    if (!text_is_ascii(text) && !memchr(text.data, '\0', text.len)) { /* JSON holds no NUL: that stays an error */
        scratch = arena_new();
        text = text_sanitize(scratch, text);
    }
    return json_parse(unbent(&room, text));
}

bool json_is_finite(json_object *value)
{
    switch (json_object_get_type(value)) {
    case json_type_double:
        return isfinite(json_object_get_double(value));
    case json_type_array:
        for (size_t i = 0; i < json_object_array_length(value); i++)
            if (!json_is_finite(json_object_array_get_idx(value, i)))
                return false;
        return true;
    case json_type_object: {
        json_object_object_foreach (value, key, member) {
            (void)key;
            if (!json_is_finite(member))
                return false;
        }
        return true;
    }
    default:
        return true;
    }
}

bool json_is_int64(json_object *value)
{
    return json_object_is_type(value, json_type_int) &&
           (json_object_get_int64(value) != INT64_MAX || json_object_get_uint64(value) == INT64_MAX);
}

json_object *json_member(json_object *obj, const char *key)
{
    json_object *value = NULL;
    if (!json_object_is_type(obj, json_type_object) || !json_object_object_get_ex(obj, key, &value))
        return NULL;
    return value;
}

Str json_str(json_object *value)
{
    if (!value || !json_object_is_type(value, json_type_string))
        return (Str){0};
    return (Str){json_object_get_string(value), (size_t)json_object_get_string_len(value)};
}

Str json_get_str(json_object *obj, const char *key)
{
    return json_str(json_member(obj, key));
}

bool json_get_int(json_object *obj, const char *key, int64_t *ret)
{
    json_object *value = json_member(obj, key);
    if (!value || !json_object_is_type(value, json_type_int))
        return false;
    *ret = json_object_get_int64(value);
    return true;
}

bool json_get_double(json_object *obj, const char *key, double *ret)
{
    json_object *value = json_member(obj, key);
    if (!value || (!json_object_is_type(value, json_type_double) && !json_object_is_type(value, json_type_int)))
        return false;
    double v = json_object_get_double(value);
    if (!isfinite(v))
        return false;
    *ret = v;
    return true;
}

bool json_get_bool(json_object *obj, const char *key, bool *ret)
{
    json_object *value = json_member(obj, key);
    if (!value || !json_object_is_type(value, json_type_boolean))
        return false;
    *ret = json_object_get_boolean(value);
    return true;
}

static json_object *typed(json_object *obj, const char *key, json_type type)
{
    json_object *value = json_member(obj, key);
    return value && json_object_is_type(value, type) ? value : NULL;
}

json_object *json_get_array(json_object *obj, const char *key)
{
    return typed(obj, key, json_type_array);
}

json_object *json_get_object(json_object *obj, const char *key)
{
    return typed(obj, key, json_type_object);
}

static void value_begin(JsonWriter *w)
{
    if (w->need_comma)
        buf_add_char(w->buf, ',');
    w->need_comma = true;
}

static void open_with(JsonWriter *w, char c)
{
    value_begin(w);
    buf_add_char(w->buf, c);
    w->need_comma = false;
}

static void close_with(JsonWriter *w, char c)
{
    buf_add_char(w->buf, c);
    w->need_comma = true;
}

void json_begin_object(JsonWriter *w)
{
    open_with(w, '{');
}

void json_end_object(JsonWriter *w)
{
    close_with(w, '}');
}

void json_begin_array(JsonWriter *w)
{
    open_with(w, '[');
}

void json_end_array(JsonWriter *w)
{
    close_with(w, ']');
}

void json_key_str(JsonWriter *w, Str key)
{
    value_begin(w);
    buf_reserve(w->buf, key.len + 3);
    buf_add_char(w->buf, '"');
    buf_add_str(w->buf, key);
    buf_append(w->buf, "\":", 2);
    w->need_comma = false;
}

static void append_escaped(Buf *buf, uint8_t c)
{
    switch (c) {
    case '"':
        buf_append(buf, "\\\"", 2);
        break;
    case '\\':
        buf_append(buf, "\\\\", 2);
        break;
    case '\n':
        buf_append(buf, "\\n", 2);
        break;
    case '\r':
        buf_append(buf, "\\r", 2);
        break;
    case '\t':
        buf_append(buf, "\\t", 2);
        break;
    default:
        buf_printf(buf, "\\u%04x", c);
    }
}

void json_append_string(Buf *buf, Str s)
{
    cleanup(arena_freep) Arena *scratch = NULL;

    if (!text_is_ascii(s)) { /* only then may repair be needed */
        scratch = arena_new();
        s = text_sanitize(scratch, s);
    }
    buf_reserve(buf, s.len + 2);
    buf_add_char(buf, '"');
    for (size_t i = 0; i < s.len; i++) {
        size_t run = plain_run(s, i);
        buf_append(buf, s.data + i, run);
        i += run;
        if (i < s.len)
            append_escaped(buf, (uint8_t)s.data[i]);
    }
    buf_add_char(buf, '"');
}

void json_value_str(JsonWriter *w, Str s)
{
    if (!s.data) {
        json_value_null(w);
        return;
    }
    value_begin(w);
    json_append_string(w->buf, s);
}

void json_value_int(JsonWriter *w, int64_t v)
{
    value_begin(w);
    buf_printf(w->buf, "%lld", (long long)v);
}

/* Numbers of at most three decimals, as shares and confidences are, without printf: dividing two integers gives the
 * double next to the decimal number, which is what reading it back gives. False when @v is none of them. */
static bool append_short_decimal(Buf *buf, double v)
{
    char text[16];
    size_t at = sizeof(text);
    int decimals = 3;

    if (!(v >= 0 && v < 1e6) || signbit(v))
        return false;
    uint32_t thousandths = (uint32_t)rint(v * 1000), fraction = thousandths % 1000, whole = thousandths / 1000;
    if (thousandths / 1000.0 != v)
        return false;
    for (; decimals > 1 && fraction % 10 == 0; decimals--)
        fraction /= 10;
    for (; decimals > 0; decimals--, fraction /= 10)
        text[--at] = (char)('0' + fraction % 10);
    text[--at] = '.';
    do
        text[--at] = (char)('0' + whole % 10);
    while ((whole /= 10) > 0);
    buf_append(buf, text + at, sizeof(text) - at);
    return true;
}

void json_value_double(JsonWriter *w, double v)
{
    char text[32];

    if (!isfinite(v)) {
        json_value_null(w);
        return;
    }
    value_begin(w);
    if (append_short_decimal(w->buf, v))
        return;
    for (int precision = 15; precision <= 17; precision++) { /* the shortest that reads back equal */
        snprintf(text, sizeof(text), "%.*g", precision, v);
        if (strtod(text, NULL) == v)
            break;
    }
    buf_add(w->buf, text);
    if (!strpbrk(text, ".e")) /* keep it a JSON real, so that readers see a double again */
        buf_add(w->buf, ".0");
}

void json_value_bool(JsonWriter *w, bool v)
{
    value_begin(w);
    buf_add(w->buf, v ? "true" : "false");
}

void json_value_null(JsonWriter *w)
{
    value_begin(w);
    buf_add(w->buf, "null");
}

void json_value_time(JsonWriter *w, int64_t us)
{
    char text[TIME_TEXT_BYTES];

    if (us == TIME_NONE) {
        json_value_null(w);
        return;
    }
    time_format(text, us);
    value_begin(w);
    buf_add_char(w->buf, '"');
    buf_add(w->buf, text);
    buf_add_char(w->buf, '"');
}

void json_value_raw(JsonWriter *w, Str json)
{
    value_begin(w);
    buf_add_str(w->buf, json);
}

static void value_members(JsonWriter *w, json_object *value)
{
    json_begin_object(w);
    json_object_object_foreach (value, key, member) {
        value_begin(w);
        json_append_string(w->buf, str_from(key));
        buf_add_char(w->buf, ':');
        w->need_comma = false;
        json_value_object(w, member);
    }
    json_end_object(w);
}

/* The digits of an integer that json_parse_exact() keeps as a real; absent for any other. */
static Str long_integer(json_object *real)
{
    Str text = str_from(json_object_get_userdata(real));

    if (!isfinite(json_object_get_double(real)) || text.len <= no_exponent.len)
        return (Str){0};
    Str digits = {text.data, text.len - no_exponent.len};
    bool marked = memcmp(digits.data + digits.len, no_exponent.data, no_exponent.len) == 0;
    return marked && is_long_integer(digits) ? digits : (Str){0};
}

/* Depth is bounded by json_parse(), so is this recursion. */
void json_value_object(JsonWriter *w, json_object *value)
{
    Str digits;

    switch (json_object_get_type(value)) {
    case json_type_null:
        json_value_null(w);
        break;
    case json_type_boolean:
        json_value_bool(w, json_object_get_boolean(value));
        break;
    case json_type_int: /* json-c also holds what only fits an unsigned 64-bit integer */
        value_begin(w);
        buf_add(w->buf, json_object_get_string(value));
        break;
    case json_type_double:
        digits = long_integer(value);
        if (digits.data)
            json_value_raw(w, digits);
        else
            json_value_double(w, json_object_get_double(value));
        break;
    case json_type_string:
        json_value_str(w, json_str(value));
        break;
    case json_type_array:
        json_begin_array(w);
        for (size_t i = 0; i < json_object_array_length(value); i++)
            json_value_object(w, json_object_array_get_idx(value, i));
        json_end_array(w);
        break;
    case json_type_object:
        value_members(w, value);
        break;
    }
}
