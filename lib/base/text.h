/* Text as attackers send it: slices with a length (NUL bytes are ordinary), repair and clipping of UTF-8, a growable
 * buffer, hex, base64, SHA-256, canonical addresses, and the nearest of several words for messages. */
#pragma once

#include <assert.h>
#include <string.h>

#include "arena.h"

/* A borrowed run of bytes; not NUL-terminated. {NULL, 0} means absent, {"", 0} empty. */
typedef struct Str {
    const char *data;
    size_t len;
} Str;

/* A named value, as in the headers of a record. */
typedef struct NameValue {
    Str name, value;
} NameValue;

#define STR(literal) ((Str){(literal), sizeof(literal) - 1})
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).len, (s).data ? (s).data : ""

Str str_from(const char *cstr); /* NULL gives an absent Str */
bool str_eq(Str a, Str b);
bool str_eq_cstr(Str a, const char *b);
bool str_starts(Str s, const char *prefix);
int str_cmp(Str a, Str b); /* byte order, shorter first */
Str str_dup(Arena *arena, Str s);
char *str_cstr(Arena *arena, Str s); /* a NUL-terminated copy; an inner NUL ends it early for C readers */

/* @s with every invalid UTF-8 sequence and every NUL replaced by U+FFFD: what PostgreSQL accepts as text and jsonb.
 * Returns @s itself when nothing had to change, else a copy in @arena. */
Str text_sanitize(Arena *arena, Str s);
bool text_is_ascii(Str s); /* without NUL: such text needs no repair */
/* Longest prefix of @s of at most @max_bytes that does not split a UTF-8 character. */
Str text_clip(Str s, size_t max_bytes);
/* The same counted in characters. */
Str text_clip_chars(Str s, size_t max_chars);
Str text_trim(Str s); /* ASCII white space off both ends */

/* --- growable buffer --- */
typedef struct Buf {
    char *data; /* NUL-terminated when not NULL */
    size_t len, cap;
} Buf;

void buf_free(Buf *buf); /* usable with cleanup(buf_free) */
void buf_clear(Buf *buf);
void buf_reserve(Buf *buf, size_t more);
/* Here, as they run for every few bytes of an event. */
static inline void buf_append(Buf *buf, const void *data, size_t len)
{
    if (len >= buf->cap - buf->len)
        buf_reserve(buf, len);
    if (len) {
        assert(data);
        memcpy(buf->data + buf->len, data, len);
    }
    buf->len += len;
    buf->data[buf->len] = '\0';
}
static inline void buf_add(Buf *buf, const char *cstr)
{
    buf_append(buf, cstr, strlen(cstr));
}
static inline void buf_add_str(Buf *buf, Str s)
{
    buf_append(buf, s.data, s.len);
}
static inline void buf_add_char(Buf *buf, char c)
{
    buf_append(buf, &c, 1);
}
void buf_printf(Buf *buf, const char *fmt, ...) printf_like(2, 3);
static inline Str buf_str(const Buf *buf)
{
    return (Str){buf->data ? buf->data : "", buf->len};
}

/* --- encodings --- */
void hex_encode(char *out, const void *bytes, size_t n); /* 2n lower-case digits and a NUL */
bool hex_decode(void *out, Str hex, size_t n);           /* exactly 2n digits, either case */
Str base64_encode(Arena *arena, Str bytes);              /* standard alphabet, padded */
bool base64_decode(Arena *arena, Str text, Str *ret);    /* strict; padding may be missing */
void sha256(uint8_t out[32], Str bytes);
void sha256_hex(char out[65], Str bytes);

/* Canonical text of an address, the one spelling used for keys and comparisons: dotted quad, or IPv6 per RFC 5952 in
 * lower case; ::ffff:a.b.c.d becomes a.b.c.d, a zone id is stripped. False when @in is no address. */
#define IP_TEXT_BYTES 46
bool ip_canonical(Str in, char out[IP_TEXT_BYTES]);
/* True for private, loopback, link-local, multicast, documentation-free reserved addresses: never evidence. */
bool ip_is_reserved(const char *canonical);

/* Parse a whole decimal integer; false on anything else or overflow. */
bool text_to_int64(Str s, int64_t *ret);
bool text_to_double(Str s, double *ret); /* C locale, finite */

/* The word of @words (n of them) nearest to @word by edit distance, or NULL when none is within @max_distance. */
const char *text_nearest(Str word, const char *const *words, size_t n, size_t max_distance);
