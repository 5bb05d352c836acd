#include "pack.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "base/limits.h"

enum { PACK_VERSION = 2, SAME_VALUE = 0x80 };

/* --- hashes --- */

static Str digest_of(Arena *arena, Str key)
{
    uint8_t digest[32];

    sha256(digest, key);
    return str_dup(arena, (Str){(const char *)digest, SERIES_HASH_BYTES});
}

void series_offer_hashes(Arena *arena, AttributionSeries *s, const AttributionRow *rows, size_t n)
{
    AttributionHash *more = arena_calloc(arena, s->n_hashes + n, sizeof(*more));

    if (s->n_hashes)
        memcpy(more, s->hashes, s->n_hashes * sizeof(*more));
    s->hashes = more;
    for (size_t i = 0; i < n; i++)
        if (!attribution_value_is_null(&rows[i].value))
            more[s->n_hashes++] = (AttributionHash){digest_of(arena, rows[i].value.key), rows[i].ts};
}

static int newest_of_each(const void *a, const void *b)
{
    const AttributionHash *x = a, *y = b;
    int c = memcmp(x->key.data, y->key.data, SERIES_HASH_BYTES);

    return c ? c : (x->ts < y->ts) - (x->ts > y->ts);
}

/* A total order, so that the same ones are left out whatever the order of arrival. */
static int newest_first(const void *a, const void *b)
{
    const AttributionHash *x = a, *y = b;
    int c = (x->ts < y->ts) - (x->ts > y->ts);

    return c ? c : memcmp(x->key.data, y->key.data, SERIES_HASH_BYTES);
}

static size_t distinct(AttributionHash *hashes, size_t n)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (kept == 0 || memcmp(hashes[kept - 1].key.data, hashes[i].key.data, SERIES_HASH_BYTES) != 0)
            hashes[kept++] = hashes[i];
    return kept;
}

/* One more than are told apart, so that the merger sees that there were more. */
static void trim_hashes(AttributionSeries *s)
{
    double since = s->n_rows ? s->rows[s->n_rows - 1].ts - ATTRIBUTION_HASH_WINDOW_S : 0;

    if (s->n_hashes == 0)
        return;
    qsort(s->hashes, s->n_hashes, sizeof(*s->hashes), newest_of_each);
    s->n_hashes = distinct(s->hashes, s->n_hashes);
    qsort(s->hashes, s->n_hashes, sizeof(*s->hashes), newest_first);
    s->n_hashes = MIN(s->n_hashes, (size_t)LIMIT_HASH_VALUES + 1);
    while (s->n_hashes > 0 && s->hashes[s->n_hashes - 1].ts < since)
        s->n_hashes--;
}

/* --- writing --- */

static void put_size(Buf *out, size_t n)
{
    for (; n > 0x7f; n >>= 7)
        buf_add_char(out, (char)(n | 0x80));
    buf_add_char(out, (char)n);
}

static void put_f64(Buf *out, double d)
{
    uint64_t bits;
    memcpy(&bits, &d, sizeof(bits));
    bits = htole64(bits);
    buf_append(out, &bits, sizeof(bits));
}

static void put_str(Buf *out, Str s)
{
    put_size(out, s.len);
    buf_add_str(out, s);
}

static size_t common_start(Str a, Str b)
{
    size_t n = 0, most = MIN(a.len, b.len);

    while (n < most && a.data[n] == b.data[n])
        n++;
    return n;
}

static void put_row(Buf *out, const AttributionRow *row, const AttributionRow *before)
{
    bool same_value = before && str_eq(row->value.json, before->value.json);
    size_t common = before ? common_start(row->evidence_ref, before->evidence_ref) : 0;

    put_f64(out, row->ts);
    buf_add_char(out, (char)(row->kind | (same_value ? SAME_VALUE : 0)));
    put_size(out, common);
    put_str(out, (Str){row->evidence_ref.data + common, row->evidence_ref.len - common});
    if (!same_value)
        put_str(out, row->value.json);
}

void series_pack(AttributionSeries *s, Buf *out)
{
    trim_hashes(s);
    buf_add_char(out, PACK_VERSION);
    buf_add_char(out, (char)s->n_rows);
    for (size_t i = 0; i < s->n_rows; i++)
        put_row(out, &s->rows[i], i ? &s->rows[i - 1] : NULL);
    put_size(out, s->n_hashes);
    for (size_t i = 0; i < s->n_hashes; i++) {
        put_f64(out, s->hashes[i].ts);
        buf_append(out, s->hashes[i].key.data, SERIES_HASH_BYTES);
    }
}

/* --- reading --- */

typedef struct Reader {
    Str rest;
    bool failed;
} Reader;

static Str take(Reader *r, size_t n)
{
    if (r->failed || r->rest.len < n) {
        r->failed = true;
        return (Str){0};
    }
    Str taken = {r->rest.data, n};
    r->rest = (Str){r->rest.data + n, r->rest.len - n};
    return taken;
}

static size_t take_u8(Reader *r)
{
    Str s = take(r, 1);
    return s.data ? (uint8_t)*s.data : 0;
}

/* At most 2^28: four bytes. */
static size_t take_size(Reader *r)
{
    size_t n = 0;

    for (int shift = 0; shift < 28; shift += 7) {
        size_t byte = take_u8(r);
        n |= (byte & 0x7f) << shift;
        if (byte < 0x80)
            return n;
    }
    r->failed = true;
    return 0;
}

static Str take_str(Reader *r)
{
    return take(r, take_size(r));
}

static double take_f64(Reader *r)
{
    uint64_t bits = 0;
    double d;
    Str s = take(r, sizeof(bits));
    if (s.data)
        memcpy(&bits, s.data, sizeof(bits));
    bits = le64toh(bits);
    memcpy(&d, &bits, sizeof(d));
    return d;
}

static Str take_evidence_ref(Reader *r, Arena *arena, Str before)
{
    size_t common = take_size(r);
    Str rest = take_str(r);

    r->failed = r->failed || common > before.len;
    if (r->failed || common == 0)
        return rest;
    char *whole = arena_alloc(arena, common + rest.len);
    memcpy(whole, before.data, common);
    memcpy(whole + common, rest.data, rest.len);
    return (Str){whole, common + rest.len};
}

static void take_row(Reader *r, Arena *arena, const AttributionRow *before, AttributionRow *ret)
{
    static const AttributionRow none;

    ret->ts = take_f64(r);
    size_t kind = take_u8(r);
    ret->kind = (ValueKind)(kind & ~(size_t)SAME_VALUE);
    ret->evidence_ref = take_evidence_ref(r, arena, (before ? before : &none)->evidence_ref);
    r->failed = r->failed || ret->kind > VALUE_KIND_HASH || ((kind & SAME_VALUE) && !before);
    if (r->failed)
        return;
    if (kind & SAME_VALUE)
        ret->value = before->value;
    else
        r->failed = attribution_value_read(arena, take_str(r), &ret->value) != 0 || r->failed;
}

static void take_hashes(Reader *r, Arena *arena, AttributionSeries *s)
{
    size_t n = take_size(r);

    if (n > LIMIT_HASH_VALUES + 1)
        r->failed = true;
    if (r->failed || n == 0)
        return;
    s->hashes = arena_calloc(arena, n, sizeof(*s->hashes));
    for (s->n_hashes = 0; s->n_hashes < n && !r->failed; s->n_hashes++) {
        s->hashes[s->n_hashes].ts = take_f64(r);
        s->hashes[s->n_hashes].key = take(r, SERIES_HASH_BYTES);
    }
}

int series_unpack(Arena *arena, Str packed, AttributionSeries *ret)
{
    Reader r = {.rest = packed};

    *ret = (AttributionSeries){0};
    if (take_u8(&r) != PACK_VERSION)
        return -EBADMSG;
    size_t n = take_u8(&r);
    if (n > ATTRIBUTION_HISTORY)
        return -EBADMSG;
    for (; ret->n_rows < n && !r.failed; ret->n_rows++)
        take_row(&r, arena, ret->n_rows ? &ret->rows[ret->n_rows - 1] : NULL, &ret->rows[ret->n_rows]);
    take_hashes(&r, arena, ret);
    return r.failed || r.rest.len > 0 ? -EBADMSG : 0;
}
