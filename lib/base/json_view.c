#include "json_view.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "limits.h"

typedef struct Parser {
    const char *at, *end;
    JsonView *next; /* the place of the next view */
    Arena *texts;
} Parser;

static bool parse_value(Parser *p, int depth);

/* Each value but the outermost stands behind a comma or is the first of its container. */
static size_t views_at_most(Str text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++)
        n += text.data[i] == ',' || text.data[i] == '[' || text.data[i] == '{';
    return n;
}

static void skip_space(Parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

static bool take(Parser *p, char c)
{
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

/* --- strings --- */

/* The value of four hex digits, or -1. */
static int32_t hex4(const char *at, const char *end)
{
    int32_t v = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* Behind "\u": a character of one or two escapes, at most 4 bytes, which is less than its escapes take. 0: malformed. */
static size_t unescape_unicode(Parser *p, char *out)
{
    int32_t c = hex4(p->at, p->end), low;

    if (c < 0)
        return 0;
    p->at += 4;
    if (c >= 0xd800 && c < 0xdc00 && p->end - p->at >= 2 && p->at[0] == '\\' && p->at[1] == 'u') {
        low = hex4(p->at + 2, p->end);
        if (low >= 0xdc00 && low < 0xe000) {
            p->at += 6;
            return put_utf8(out, 0x10000U + (((uint32_t)c - 0xd800U) << 10) + ((uint32_t)low - 0xdc00U));
        }
    }
    return put_utf8(out, c >= 0xd800 && c < 0xe000 ? 0xfffd : (uint32_t)c);
}

/* Behind a backslash. How many bytes it wrote, 0 when there is no such escape. */
static size_t unescape(Parser *p, char *out)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";

    if (p->at == p->end)
        return 0;
    char c = *p->at++;
    if (c == 'u')
        return unescape_unicode(p, out);
    const char *name = strchr(names, c);
    if (!name)
        return 0;
    *out = values[name - names];
    return 1;
}

/* How many bytes from here on are neither a quote nor a backslash. */
static size_t run(const Parser *p)
{
    Str rest = {p->at, (size_t)(p->end - p->at)};
    size_t n = json_plain_bytes(rest);

    while (n < rest.len && rest.data[n] != '"' && rest.data[n] != '\\') {
        n++; /* a control character */
        n += json_plain_bytes((Str){rest.data + n, rest.len - n});
    }
    return n;
}

/* The rest of a string whose first @n bytes are plain: a copy, no longer than what it was written as. */
static bool parse_escaped(Parser *p, size_t n, Str *ret)
{
    const char *begin = p->at, *end = begin + n;

    while (end < p->end && *end != '"')
        end += *end == '\\' ? 2 : 1;
    if (end >= p->end)
        return false;
    char *text = arena_alloc(p->texts, (size_t)(end - begin) + 1), *to = text;
    while (p->at < end) {
        n = run(p);
        memcpy(to, p->at, n);
        to += n;
        p->at += n;
        if (p->at == end)
            break;
        p->at++;
        n = unescape(p, to);
        if (n == 0)
            return false;
        to += n;
    }
    *to = '\0';
    *ret = (Str){text, (size_t)(to - text)};
    return take(p, '"');
}

/* Behind its quote. */
static bool parse_string(Parser *p, Str *ret)
{
    size_t n = run(p);

    if (n == (size_t)(p->end - p->at))
        return false;
    if (p->at[n] == '\\')
        return parse_escaped(p, n, ret);
    *ret = (Str){p->at, n};
    p->at += n + 1;
    return true;
}

/* --- everything else --- */

static bool digits(Parser *p)
{
    const char *begin = p->at;
    while (p->at < p->end && *p->at >= '0' && *p->at <= '9')
        p->at++;
    return p->at > begin;
}

static bool parse_number(Parser *p, json_type *ret)
{
    *ret = json_type_int;
    (void)take(p, '-');
    if (!take(p, '0') && !digits(p))
        return false;
    if (take(p, '.')) {
        *ret = json_type_double;
        if (!digits(p))
            return false;
    }
    if (p->at < p->end && (*p->at | 0x20) == 'e') {
        *ret = json_type_double;
        p->at++;
        if (!take(p, '+'))
            (void)take(p, '-');
        return digits(p);
    }
    return true;
}

static bool parse_word(Parser *p, Str word)
{
    if ((size_t)(p->end - p->at) < word.len || memcmp(p->at, word.data, word.len) != 0)
        return false;
    p->at += word.len;
    return true;
}

static bool parse_key(Parser *p)
{
    Str key;

    skip_space(p);
    if (!take(p, '"') || !parse_string(p, &key))
        return false;
    p->next->key = key.data;
    p->next->key_len = (uint32_t)key.len;
    skip_space(p);
    return take(p, ':');
}

static bool parse_container(Parser *p, bool keyed, int depth)
{
    char close = keyed ? '}' : ']';

    if (depth == 0)
        return false;
    skip_space(p);
    if (take(p, close))
        return true;
    do {
        *p->next = (JsonView){0};
        if (keyed && !parse_key(p))
            return false;
        skip_space(p);
        if (!parse_value(p, depth - 1))
            return false;
        skip_space(p);
    } while (take(p, ','));
    return take(p, close);
}

/* What begins with @c, which was taken; the view's text and span are its caller's. */
static bool parse_kind(Parser *p, JsonView *v, char c, int depth)
{
    v->type = json_type_null;
    switch (c) {
    case '{':
        v->type = json_type_object;
        return parse_container(p, true, depth);
    case '[':
        v->type = json_type_array;
        return parse_container(p, false, depth);
    case 't':
        v->type = json_type_boolean;
        return parse_word(p, STR("rue"));
    case 'f':
        v->type = json_type_boolean;
        return parse_word(p, STR("alse"));
    case 'n':
        return parse_word(p, STR("ull"));
    default:
        p->at--;
        return parse_number(p, &v->type);
    }
}

/* Into the next view, whose key is there already. */
static bool parse_value(Parser *p, int depth)
{
    const char *begin = p->at;
    JsonView *v = p->next++;
    Str text;

    if (p->at == p->end)
        return false;
    if (take(p, '"')) {
        v->type = json_type_string;
        if (!parse_string(p, &text))
            return false;
    } else {
        p->at++;
        if (!parse_kind(p, v, *begin, depth))
            return false;
        text = (Str){begin, (size_t)(p->at - begin)};
    }
    v->text = text.data;
    v->text_len = (uint32_t)text.len;
    v->span = (uint32_t)(p->next - v);
    return true;
}

const JsonView *json_view(Arena *views, Arena *texts, Str text)
{
    if (!text.data || text.len > INT_MAX || memchr(text.data, '\0', text.len))
        return NULL;
    JsonView *root = arena_alloc(views, views_at_most(text) * sizeof(*root));
    Parser p = {.at = text.data, .end = text.data + text.len, .next = root, .texts = texts};

    *root = (JsonView){0};
    skip_space(&p);
    if (!parse_value(&p, LIMIT_JSON_DEPTH))
        return NULL;
    skip_space(&p);
    return p.at == p.end ? root : NULL;
}

/* --- looking at it --- */

bool view_is(const JsonView *v, json_type type)
{
    return v && v->type == type;
}

Str view_str(const JsonView *v)
{
    return view_is(v, json_type_string) ? view_text(v) : (Str){0};
}

Str view_text(const JsonView *v)
{
    return v ? (Str){v->text, v->text_len} : (Str){0};
}

size_t view_count(const JsonView *v)
{
    size_t n = 0;
    view_each (item, v)
        n++;
    return n;
}

/* Mostly it is not, which its length or first letter tells. */
static bool is_named(const JsonView *member, Str name)
{
    return member->key_len == name.len &&
           (name.len == 0 || (*member->key == *name.data && memcmp(member->key, name.data, name.len) == 0));
}

const JsonView *view_any_member(const JsonView *obj, const char *key)
{
    const JsonView *found = NULL;
    Str name = {key, strlen(key)};

    if (view_is(obj, json_type_object))
        view_each (member, obj)
            if (is_named(member, name))
                found = member;
    return found;
}

const JsonView *view_member(const JsonView *obj, const char *key)
{
    const JsonView *v = view_any_member(obj, key);
    return view_is(v, json_type_null) ? NULL : v;
}

Str view_get_str(const JsonView *obj, const char *key)
{
    return view_str(view_any_member(obj, key));
}

bool view_int(const JsonView *v, int64_t *ret)
{
    return view_is(v, json_type_int) && text_to_int64(view_text(v), ret);
}

bool view_get_int(const JsonView *obj, const char *key, int64_t *ret)
{
    return view_int(view_any_member(obj, key), ret);
}

bool view_double(const JsonView *v, double *ret)
{
    return (view_is(v, json_type_double) || view_is(v, json_type_int)) && text_to_double(view_text(v), ret);
}

bool view_get_double(const JsonView *obj, const char *key, double *ret)
{
    return view_double(view_any_member(obj, key), ret);
}

bool view_bool(const JsonView *v, bool *ret)
{
    if (!view_is(v, json_type_boolean))
        return false;
    *ret = v->text[0] == 't';
    return true;
}

bool view_get_bool(const JsonView *obj, const char *key, bool *ret)
{
    return view_bool(view_any_member(obj, key), ret);
}

static const JsonView *typed(const JsonView *obj, const char *key, json_type type)
{
    const JsonView *v = view_any_member(obj, key);
    return view_is(v, type) ? v : NULL;
}

const JsonView *view_get_array(const JsonView *obj, const char *key)
{
    return typed(obj, key, json_type_array);
}

const JsonView *view_get_object(const JsonView *obj, const char *key)
{
    return typed(obj, key, json_type_object);
}
