#include "text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <openssl/evp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

Str str_from(const char *cstr)
{
    return cstr ? (Str){cstr, strlen(cstr)} : (Str){NULL, 0};
}

bool str_eq(Str a, Str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool str_eq_cstr(Str a, const char *b)
{
    return str_eq(a, str_from(b));
}

bool str_starts(Str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.len >= n && memcmp(s.data, prefix, n) == 0;
}

int str_cmp(Str a, Str b)
{
    size_t n = MIN(a.len, b.len);
    int c = n ? memcmp(a.data, b.data, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

Str str_dup(Arena *arena, Str s)
{
    return s.data ? (Str){arena_memdup(arena, s.data, s.len), s.len} : s;
}

char *str_cstr(Arena *arena, Str s)
{
    return arena_memdup(arena, s.data, s.len);
}

/* Length of the valid UTF-8 character at @s (never NUL), or 0. Overlong forms, surrogates and anything above U+10FFFF
 * are invalid, exactly as PostgreSQL judges. */
static size_t utf8_char_bytes(const uint8_t *s, size_t n)
{
    uint8_t c = s[0];
    size_t need = c < 0x80 ? 1 : c >= 0xc2 && c <= 0xdf ? 2 : (c & 0xf0) == 0xe0 ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;

    if (c == 0 || need == 0 || need > n)
        return 0;
    for (size_t i = 1; i < need; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && s[1] < 0xa0) || (c == 0xed && s[1] > 0x9f) || (c == 0xf0 && s[1] < 0x90) ||
        (c == 0xf4 && s[1] > 0x8f))
        return 0;
    return need;
}

/* How many bytes from the start of @s are fine as they are. */
static size_t clean_prefix_bytes(Str s)
{
    const uint8_t *p = (const uint8_t *)s.data;
    size_t i = 0;

    while (i < s.len) {
        size_t n = p[i] >= 0x20 && p[i] < 0x80 ? 1 : utf8_char_bytes(p + i, s.len - i);
        if (n == 0)
            break;
        i += n;
    }
    return i;
}

bool text_is_ascii(Str s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    uint64_t bad = 0, word;
    size_t i = 0;

    for (; i + sizeof(word) <= s.len; i += sizeof(word)) { /* v - 1 has its high bit when a byte is 0 or above 0x80 */
        memcpy(&word, s.data + i, sizeof(word));
        bad |= word | (word - ones);
    }
    if (s.len >= sizeof(word)) { /* what is left, and some bytes before it again */
        memcpy(&word, s.data + s.len - sizeof(word), sizeof(word));
        bad |= word | (word - ones);
        i = s.len;
    }
    for (; i < s.len; i++)
        bad |= (uint8_t)s.data[i] | ((uint8_t)s.data[i] - UINT64_C(1));
    return (bad & highs) == 0;
}

Str text_sanitize(Arena *arena, Str s)
{
    size_t good = clean_prefix_bytes(s);
    if (good == s.len)
        return s;

    char *out = arena_alloc(arena, s.len * 3 + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len;) {
        size_t run = clean_prefix_bytes((Str){s.data + i, s.len - i});
        memcpy(out + n, s.data + i, run);
        n += run;
        i += run;
        if (i < s.len) {
            memcpy(out + n, "\xef\xbf\xbd", 3);
            n += 3;
            i++;
        }
    }
    out[n] = '\0';
    return (Str){out, n};
}

Str text_clip(Str s, size_t max_bytes)
{
    if (s.len <= max_bytes)
        return s;
    size_t n = max_bytes;
    while (n > 0 && max_bytes - n < 4 && ((uint8_t)s.data[n] & 0xc0) == 0x80)
        n--;
    if (((uint8_t)s.data[n] & 0xc0) == 0x80) /* not UTF-8 anyway: any place is as good */
        n = max_bytes;
    return (Str){s.data, n};
}

Str text_clip_chars(Str s, size_t max_chars)
{
    size_t chars = 0;
    for (size_t i = 0; i < s.len; i++)
        if (((uint8_t)s.data[i] & 0xc0) != 0x80 && ++chars > max_chars)
            return (Str){s.data, i};
    return s;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

Str text_trim(Str s)
{
    while (s.len && is_space(s.data[0]))
        s = (Str){s.data + 1, s.len - 1};
    while (s.len && is_space(s.data[s.len - 1]))
        s.len--;
    return s;
}

void buf_free(Buf *buf)
{
    free(buf->data);
    *buf = (Buf){0};
}

void buf_clear(Buf *buf)
{
    buf->len = 0;
    if (buf->data)
        buf->data[0] = '\0';
}

void buf_reserve(Buf *buf, size_t more)
{
    size_t need;
    if (__builtin_add_overflow(buf->len, more + 1, &need) || need < more) {
        fputs("out of memory\n", stderr);
        abort();
    }
    if (need <= buf->cap)
        return;
    size_t cap = MAX(MAX(need, buf->cap + buf->cap / 2), (size_t)64);
    char *data = realloc(buf->data, cap);
    if (!data) {
        fputs("out of memory\n", stderr);
        abort();
    }
    buf->data = data;
    buf->cap = cap;
}

void buf_printf(Buf *buf, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    if (n > 0) {
        buf_reserve(buf, (size_t)n);
        vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
    }
    va_end(again);
    va_end(args);
}

void hex_encode(char *out, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *b = bytes;
    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[b[i] >> 4];
        out[2 * i + 1] = digits[b[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool hex_decode(void *out, Str hex, size_t n)
{
    uint8_t *b = out;
    if (hex.len != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int high = hex_digit(hex.data[2 * i]), low = hex_digit(hex.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        b[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

Str base64_encode(Arena *arena, Str bytes)
{
    char *out = arena_alloc(arena, (bytes.len + 2) / 3 * 4 + 1);
    int n =
        EVP_EncodeBlock((unsigned char *)out, (const unsigned char *)(bytes.data ? bytes.data : ""), (int)bytes.len);
    return (Str){out, (size_t)n};
}

bool base64_decode(Arena *arena, Str text, Str *ret)
{
    while (text.len && text.data[text.len - 1] == '=')
        text.len--;
    size_t full = (text.len + 3) / 4 * 4;
    if (text.len % 4 == 1 || text.len > (1u << 30))
        return false;
    for (size_t i = 0; i < text.len; i++) /* EVP_DecodeBlock forgives white space and padding inside; we do not */
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", text.data[i]) || !text.data[i])
            return false;
    char *padded = arena_alloc(arena, full + 1), *out = arena_alloc(arena, full / 4 * 3 + 1);
    memcpy(padded, text.data, text.len);
    memset(padded + text.len, '=', full - text.len);
    if (full && EVP_DecodeBlock((unsigned char *)out, (unsigned char *)padded, (int)full) < 0)
        return false;
    *ret = (Str){out, full / 4 * 3 - (full - text.len)};
    return true;
}

void sha256(uint8_t out[32], Str bytes)
{
    unsigned int n = 0;
    if (EVP_Digest(bytes.data ? bytes.data : "", bytes.len, out, &n, EVP_sha256(), NULL) != 1 || n != 32)
        abort();
}

void sha256_hex(char out[65], Str bytes)
{
    uint8_t digest[32];
    sha256(digest, bytes);
    hex_encode(out, digest, sizeof(digest));
}

bool ip_canonical(Str in, char out[IP_TEXT_BYTES])
{
    char text[IP_TEXT_BYTES];
    struct in_addr v4;
    struct in6_addr v6;
    const char *zone;

    in = text_trim(in);
    zone = in.len ? memchr(in.data, '%', in.len) : NULL;
    if (zone)
        in.len = (size_t)(zone - in.data);
    if (in.len == 0 || in.len >= sizeof(text) || memchr(in.data, '\0', in.len))
        return false;
    memcpy(text, in.data, in.len);
    text[in.len] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1)
        return !zone && inet_ntop(AF_INET, &v4, out, IP_TEXT_BYTES) != NULL;
    if (inet_pton(AF_INET6, text, &v6) != 1)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&v6))
        return inet_ntop(AF_INET, &v6.s6_addr[12], out, IP_TEXT_BYTES) != NULL;
    return inet_ntop(AF_INET6, &v6, out, IP_TEXT_BYTES) != NULL;
}

bool ip_is_reserved(const char *canonical)
{
    static const struct {
        uint32_t net;
        unsigned bits;
    } v4_reserved[] = {/* RFC 6890; documentation ranges are left out so that examples behave like real addresses */
                       {0x00000000, 8},  {0x0a000000, 8},  {0x64400000, 10}, {0x7f000000, 8}, {0xa9fe0000, 16},
                       {0xac100000, 12}, {0xc0a80000, 16}, {0xe0000000, 4},  {0xf0000000, 4}};
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, canonical, &v4) == 1) {
        uint32_t a = ntohl(v4.s_addr);
        for (size_t i = 0; i < ARRAY_SIZE(v4_reserved); i++)
            if ((a ^ v4_reserved[i].net) >> (32 - v4_reserved[i].bits) == 0)
                return true;
        return false;
    }
    return inet_pton(AF_INET6, canonical, &v6) != 1 || IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6) ||
           IN6_IS_ADDR_LINKLOCAL(&v6) || IN6_IS_ADDR_MULTICAST(&v6) || (v6.s6_addr[0] & 0xfe) == 0xfc;
}

bool text_to_int64(Str s, int64_t *ret)
{
    char text[24], *end;
    if (s.len == 0 || s.len >= sizeof(text) || is_space(s.data[0]))
        return false;
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end != text + s.len)
        return false;
    *ret = v;
    return true;
}

bool text_to_double(Str s, double *ret)
{
    cleanup(freep) char *far = NULL;
    char near[64], *text = near, *end;

    if (s.len == 0 || is_space(s.data[0]))
        return false;
    if (s.len >= sizeof(near) && !(text = far = malloc(s.len + 1)))
        abort();
    memcpy(text, s.data, s.len);
    text[s.len] = '\0';
    double v = strtod(text, &end);
    if (end != text + s.len || !isfinite(v))
        return false;
    *ret = v;
    return true;
}

static size_t edit_distance(Str a, Str b)
{
    enum { WORD_MAX = 63 };
    size_t row[WORD_MAX + 1];

    if (a.len > WORD_MAX || b.len > WORD_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = diagonal + (a.data[i - 1] != b.data[j - 1]);
            diagonal = row[j];
            row[j] = MIN(change, MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b.len];
}

const char *text_nearest(Str word, const char *const *words, size_t n, size_t max_distance)
{
    const char *best = NULL;
    size_t best_distance = max_distance + 1;

    for (size_t i = 0; i < n; i++) {
        size_t d = edit_distance(word, str_from(words[i]));
        if (d < best_distance) {
            best = words[i];
            best_distance = d;
        }
    }
    return best;
}
