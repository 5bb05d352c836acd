/* Building a tag's evidence within its bounds. */
#include "evidence.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

static EvidenceField *field(Evidence *e, const char *key)
{
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->fields[i].key, key) == 0)
            return &e->fields[i];
    assert(e->n < EVIDENCE_MAX_FIELDS); /* keys come from tables, never from input */
    return &e->fields[e->n++];
}

void evidence_put_null(Evidence *e, const char *key)
{
    *field(e, key) = (EvidenceField){.key = key, .type = EVIDENCE_NULL};
}

void evidence_put_str(Evidence *e, const char *key, Str s)
{
    *field(e, key) = (EvidenceField){.key = key, .type = s.data ? EVIDENCE_STR : EVIDENCE_NULL, .str = s};
}

void evidence_put_strs(Evidence *e, const char *key, StrList list)
{
    *field(e, key) = (EvidenceField){.key = key, .type = EVIDENCE_STRS, .strs = list};
}

void evidence_put_int(Evidence *e, const char *key, int64_t v)
{
    *field(e, key) = (EvidenceField){.key = key, .type = EVIDENCE_INT, .number = (double)v};
}

void evidence_put_ints(Evidence *e, const char *key, IntList list)
{
    *field(e, key) = (EvidenceField){.key = key, .type = EVIDENCE_INTS, .ints = list};
}

void evidence_put_double(Evidence *e, const char *key, double v)
{
    bool whole = fabs(v) < 1e15 && v == trunc(v); /* a score of 42 is written 42 */
    *field(e, key) = (EvidenceField){.key = key, .type = whole ? EVIDENCE_INT : EVIDENCE_DOUBLE, .number = v};
}

void evidence_put_bool(Evidence *e, const char *key, bool v)
{
    *field(e, key) = (EvidenceField){.key = key, .type = EVIDENCE_BOOL, .yes = v};
}

bool evidence_has(const Evidence *e, const char *key)
{
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->fields[i].key, key) == 0)
            return true;
    return false;
}

static void write_field(JsonWriter *w, const EvidenceField *f)
{
    json_key(w, f->key);
    switch (f->type) {
    case EVIDENCE_NULL:
        json_value_null(w);
        break;
    case EVIDENCE_STR:
        json_value_str(w, f->str);
        break;
    case EVIDENCE_STRS:
        json_begin_array(w);
        for (size_t i = 0; i < f->strs.n; i++)
            json_value_str(w, f->strs.items[i]);
        json_end_array(w);
        break;
    case EVIDENCE_INT:
        json_value_int(w, (int64_t)f->number);
        break;
    case EVIDENCE_INTS:
        json_begin_array(w);
        for (size_t i = 0; i < f->ints.n; i++)
            json_value_int(w, f->ints.items[i]);
        json_end_array(w);
        break;
    case EVIDENCE_DOUBLE:
        json_value_double(w, f->number);
        break;
    case EVIDENCE_BOOL:
        json_value_bool(w, f->yes);
        break;
    }
}

static void write_object(const Evidence *e, Buf *out)
{
    JsonWriter w = {.buf = out};

    buf_clear(out);
    json_begin_object(&w);
    for (size_t i = 0; i < e->n; i++)
        write_field(&w, &e->fields[i]);
    if (e->truncated)
        json_put_bool(&w, "truncated", true);
    json_end_object(&w);
}

/* Cut before repairing, so that a huge text is not copied, and after it, as repair makes a byte up to three. */
static Str clip_string(Arena *arena, Evidence *e, Str s)
{
    Str raw = text_clip(s, LIMIT_EVIDENCE_STRING_BYTES);
    Str clean = text_sanitize(arena, raw);
    Str clipped = text_clip(clean, LIMIT_EVIDENCE_STRING_BYTES);

    e->truncated |= raw.len < s.len || clipped.len < clean.len;
    return clipped;
}

static void clip_strings(Arena *arena, Evidence *e)
{
    for (size_t i = 0; i < e->n; i++) {
        EvidenceField *f = &e->fields[i];
        if (f->type == EVIDENCE_STR)
            f->str = clip_string(arena, e, f->str);
        if (f->type != EVIDENCE_STRS || f->strs.n == 0)
            continue;
        Str *items = arena_alloc(arena, f->strs.n * sizeof(*items));
        for (size_t k = 0; k < f->strs.n; k++)
            items[k] = clip_string(arena, e, f->strs.items[k]);
        f->strs.items = items;
    }
}

static size_t field_bytes(const EvidenceField *f, Buf *scratch)
{
    JsonWriter w = {.buf = scratch};

    buf_clear(scratch);
    write_field(&w, f);
    return scratch->len;
}

/* Take a quarter off the field that takes most room: escaping makes a byte up to six, so sizes are only known once
 * written. Ends because every round makes the largest field smaller. */
static void shrink_largest(Evidence *e, Buf *scratch)
{
    EvidenceField *largest = NULL;
    size_t largest_bytes = 0;

    for (size_t i = 0; i < e->n; i++) {
        size_t bytes = field_bytes(&e->fields[i], scratch);
        if (bytes > largest_bytes) {
            largest = &e->fields[i];
            largest_bytes = bytes;
        }
    }
    assert(largest != NULL);
    if (largest->type == EVIDENCE_STR)
        largest->str = text_clip(largest->str, largest->str.len - largest->str.len / 4 - 1);
    else if (largest->type == EVIDENCE_STRS)
        largest->strs.n -= largest->strs.n / 4 + 1;
    else if (largest->type == EVIDENCE_INTS)
        largest->ints.n -= largest->ints.n / 4 + 1;
    e->truncated = true;
}

Str evidence_json(Arena *arena, Evidence *e)
{
    cleanup(buf_free) Buf out = {0}, scratch = {0};

    clip_strings(arena, e);
    for (write_object(e, &out); out.len > LIMIT_EVIDENCE_BYTES; write_object(e, &out))
        shrink_largest(e, &scratch);
    return str_dup(arena, buf_str(&out));
}
