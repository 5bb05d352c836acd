#include "value.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

/* Bounds of PostgreSQL's numeric: no jsonb column can hold a number beyond them. */
enum { NUMERIC_DIGITS_BEFORE = 131072, NUMERIC_DIGITS_BEHIND = 16383 };

const AttributionValue ATTRIBUTION_NULL = {{"null", 4}, {"null", 4}};

typedef struct Reader {
    Arena *arena;
    const char *at, *end;
    unsigned depth;
} Reader;

static bool read_value(Reader *r, Buf *out);

static void skip_space(Reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
}

static bool take_char(Reader *r, char c)
{
    skip_space(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool read_word(Reader *r, const char *word, Buf *out)
{
    size_t len = strlen(word);

    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return false;
    r->at += len;
    buf_add(out, word);
    return true;
}

/* --- numbers --- */

static Str take_digits(Reader *r)
{
    const char *start = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return (Str){start, (size_t)(r->at - start)};
}

/* An exponent of any length; one that is out of every bound stays so. */
static bool read_exponent(Reader *r, int64_t *ret)
{
    enum { EXPONENT_MAX = 1000000 };
    bool negative = false;
    int64_t exponent = 0;

    *ret = 0;
    if (r->at == r->end || (*r->at != 'e' && *r->at != 'E'))
        return true;
    r->at++;
    if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
        negative = *r->at++ == '-';
    Str digits = take_digits(r);
    for (size_t i = 0; i < digits.len && exponent < EXPONENT_MAX; i++)
        exponent = exponent * 10 + (digits.data[i] - '0');
    *ret = negative ? -exponent : exponent;
    return digits.len > 0;
}

/* "-12.50e3" becomes "-125e2": digits without zeros at either end, then the power of ten; zero is "0". */
static bool add_number(Buf *out, bool negative, Str whole, Str fraction, int64_t exponent)
{
    cleanup(buf_free) Buf digits = {0};

    buf_add_str(&digits, whole);
    buf_add_str(&digits, fraction);
    Str d = buf_str(&digits);
    exponent -= (int64_t)fraction.len;
    while (d.len && d.data[0] == '0')
        d = (Str){d.data + 1, d.len - 1};
    for (; d.len && d.data[d.len - 1] == '0'; exponent++)
        d.len--;
    if (!d.len) {
        buf_add_char(out, '0');
        return true;
    }
    if ((int64_t)d.len + exponent > NUMERIC_DIGITS_BEFORE || exponent < -NUMERIC_DIGITS_BEHIND)
        return false;
    if (negative)
        buf_add_char(out, '-');
    buf_add_str(out, d);
    buf_printf(out, "e%lld", (long long)exponent);
    return true;
}

static bool read_number(Reader *r, Buf *out)
{
    bool negative = r->at < r->end && *r->at == '-';
    Str fraction = {0};
    int64_t exponent;

    r->at += negative;
    Str whole = take_digits(r);
    if (!whole.len || (whole.len > 1 && whole.data[0] == '0'))
        return false;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        fraction = take_digits(r);
        if (!fraction.len)
            return false;
    }
    return read_exponent(r, &exponent) && add_number(out, negative, whole, fraction, exponent);
}

/* --- strings --- */

static bool read_hex4(Reader *r, uint32_t *ret)
{
    uint8_t bytes[2];

    if (r->end - r->at < 4 || !hex_decode(bytes, (Str){r->at, 4}, 2))
        return false;
    r->at += 4;
    *ret = (uint32_t)bytes[0] << 8 | bytes[1];
    return true;
}

static void add_utf8(Buf *out, uint32_t c)
{
    if (c < 0x80) {
        buf_add_char(out, (char)c);
    } else if (c < 0x800) {
        buf_add_char(out, (char)(0xc0 | c >> 6));
        buf_add_char(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        buf_add_char(out, (char)(0xe0 | c >> 12));
        buf_add_char(out, (char)(0x80 | (c >> 6 & 63)));
        buf_add_char(out, (char)(0x80 | (c & 63)));
    } else {
        buf_add_char(out, (char)(0xf0 | c >> 18));
        buf_add_char(out, (char)(0x80 | (c >> 12 & 63)));
        buf_add_char(out, (char)(0x80 | (c >> 6 & 63)));
        buf_add_char(out, (char)(0x80 | (c & 63)));
    }
}

/* What stands behind "\u": one character, of two escapes when they are a pair of surrogates. */
static bool read_unicode_escape(Reader *r, Buf *out)
{
    uint32_t c, low;

    if (!read_hex4(r, &c))
        return false;
    if (c >= 0xd800 && c < 0xdc00 && r->end - r->at >= 6 && r->at[0] == '\\' && r->at[1] == 'u') {
        const char *before = r->at;
        r->at += 2;
        if (!read_hex4(r, &low))
            return false;
        if (low >= 0xdc00 && low < 0xe000)
            c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        else
            r->at = before; /* the next escape speaks for itself */
    }
    add_utf8(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    return true;
}

static bool read_escape(Reader *r, Buf *out)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";

    if (r->at == r->end || *r->at == '\0')
        return false;
    char c = *r->at++;
    if (c == 'u')
        return read_unicode_escape(r, out);
    const char *letter = strchr(letters, c);
    if (!letter)
        return false;
    buf_add_char(out, meanings[letter - letters]);
    return true;
}

/* The text of a string literal, its escapes resolved, repaired as storing it would. */
static bool read_text(Reader *r, Str *ret)
{
    cleanup(buf_free) Buf raw = {0};

    if (!take_char(r, '"'))
        return false;
    while (r->at < r->end && *r->at != '"') {
        uint8_t c = (uint8_t)*r->at++;
        if (c == '\\' ? !read_escape(r, &raw) : c < 0x20)
            return false;
        if (c != '\\')
            buf_add_char(&raw, (char)c);
    }
    if (!take_char(r, '"'))
        return false;
    *ret = str_dup(r->arena, text_sanitize(r->arena, buf_str(&raw)));
    return true;
}

/* --- arrays and objects --- */

static bool read_array(Reader *r, Buf *out)
{
    r->at++;
    buf_add_char(out, '[');
    if (!take_char(r, ']')) {
        do {
            if (out->data[out->len - 1] != '[')
                buf_add_char(out, ',');
            if (!read_value(r, out))
                return false;
        } while (take_char(r, ','));
        if (!take_char(r, ']'))
            return false;
    }
    buf_add_char(out, ']');
    return true;
}

typedef struct Member {
    Str name, value;
    size_t place;
} Member;

static int member_cmp(const void *a, const void *b)
{
    const Member *x = a, *y = b;
    int c = str_cmp(x->name, y->name);

    return c ? c : (x->place > y->place) - (x->place < y->place);
}

static void add_members(Buf *out, Member *members, size_t n)
{
    bool first = true;

    if (n)
        qsort(members, n, sizeof(*members), member_cmp);
    buf_add_char(out, '{');
    for (size_t i = 0; i < n; i++) {
        if (i + 1 < n && str_eq(members[i].name, members[i + 1].name))
            continue; /* the last of doubled keys counts */
        if (!first)
            buf_add_char(out, ',');
        first = false;
        json_append_string(out, members[i].name);
        buf_add_char(out, ':');
        buf_add_str(out, members[i].value);
    }
    buf_add_char(out, '}');
}

static bool read_member(Reader *r, Member *ret)
{
    cleanup(buf_free) Buf value = {0};

    skip_space(r);
    if (!read_text(r, &ret->name) || !take_char(r, ':') || !read_value(r, &value))
        return false;
    ret->value = str_dup(r->arena, buf_str(&value));
    return true;
}

static bool read_object(Reader *r, Buf *out)
{
    cleanup(buf_free) Buf members = {0};
    size_t n = 0;

    r->at++;
    if (!take_char(r, '}')) {
        do {
            Member member = {.place = n++};
            if (!read_member(r, &member))
                return false;
            buf_append(&members, &member, sizeof(member));
        } while (take_char(r, ','));
        if (!take_char(r, '}'))
            return false;
    }
    add_members(out, (Member *)(void *)members.data, n); /* malloc's alignment serves any type */
    return true;
}

static bool read_string(Reader *r, Buf *out)
{
    Str text;

    if (!read_text(r, &text))
        return false;
    json_append_string(out, text);
    return true;
}

static bool read_nested(Reader *r, Buf *out)
{
    if (r->depth >= LIMIT_JSON_DEPTH)
        return false;
    r->depth++;
    bool ok = *r->at == '[' ? read_array(r, out) : read_object(r, out);
    r->depth--;
    return ok;
}

static bool read_value(Reader *r, Buf *out)
{
    skip_space(r);
    switch (r->at < r->end ? *r->at : '\0') {
    case '{':
    case '[':
        return read_nested(r, out);
    case '"':
        return read_string(r, out);
    case 't':
        return read_word(r, "true", out);
    case 'f':
        return read_word(r, "false", out);
    case 'n':
        return read_word(r, "null", out);
    default:
        return read_number(r, out);
    }
}

/* --- interface --- */

int attribution_value_read(Arena *arena, Str json, AttributionValue *ret)
{
    cleanup(buf_free) Buf key = {0};
    Reader r = {.arena = arena, .at = json.data, .end = json.data ? json.data + json.len : NULL};

    if (!json.len || !read_value(&r, &key))
        return -EINVAL;
    skip_space(&r);
    if (r.at != r.end)
        return -EINVAL;
    *ret = (AttributionValue){json, str_dup(arena, buf_str(&key))};
    return 0;
}

bool attribution_value_equal(const AttributionValue *a, const AttributionValue *b)
{
    return str_eq(a->key, b->key);
}

bool attribution_value_is_null(const AttributionValue *value)
{
    return str_eq(value->key, ATTRIBUTION_NULL.key);
}

/* A number's canonical spelling may have more digits than text_to_double() takes: those beyond the 40th cannot move a
 * double by more than rounding in the last place. */
static bool number_from_key(Str key, double *ret)
{
    enum { DIGITS_KEPT = 40 };
    bool negative = key.data[0] == '-';
    Str digits = {key.data + negative, key.len - negative};
    const char *e = memchr(digits.data, 'e', digits.len);
    cleanup(buf_free) Buf text = {0};
    int64_t exponent = 0;

    if (e && !text_to_int64((Str){e + 1, digits.len - (size_t)(e + 1 - digits.data)}, &exponent))
        return false;
    if (e)
        digits.len = (size_t)(e - digits.data);
    size_t kept = MIN(digits.len, (size_t)DIGITS_KEPT);
    exponent += (int64_t)(digits.len - kept);
    buf_printf(&text, "%s" STR_FMT "e%lld", negative ? "-" : "", (int)kept, digits.data, (long long)exponent);
    return text_to_double(buf_str(&text), ret);
}

/* Decimal only: strtod() alone would read hexadecimal too. */
static bool number_from_text(Str json_string, double *ret)
{
    Str text = text_trim((Str){json_string.data + 1, json_string.len - 2});

    for (size_t i = 0; i < text.len; i++)
        if (!strchr("0123456789+-.eE", text.data[i]) || text.data[i] == '\0')
            return false;
    return text_to_double(text, ret);
}

bool attribution_value_number(const AttributionValue *value, double *ret)
{
    switch (value->key.data[0]) {
    case 'n':
    case 'f':
        *ret = 0.0;
        return true;
    case 't':
        *ret = 1.0;
        return true;
    case '"':
        return number_from_text(value->key, ret);
    case '[':
    case '{':
        return false;
    default:
        return number_from_key(value->key, ret);
    }
}

AttributionValue attribution_value_from_double(Arena *arena, double number)
{
    cleanup(buf_free) Buf text = {0};
    JsonWriter w = {.buf = &text};
    AttributionValue value = ATTRIBUTION_NULL;

    assert(isfinite(number));
    json_value_double(&w, number);
    int r = attribution_value_read(arena, str_dup(arena, buf_str(&text)), &value);
    assert(r == 0);
    (void)r;
    return value;
}
