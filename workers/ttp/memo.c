/* Two hash tables with linear probing over entries in arenas. */
#include "memo.h"

#include <string.h>
#include <xxhash.h>

typedef struct Entry {
    size_t len, n;
    uint32_t values[]; /* n of them, then len bytes of text */
} Entry;

typedef struct Slot {
    uint64_t hash;
    const Entry *entry; /* NULL: free */
} Slot;

typedef struct Generation {
    Arena *arena;
    Slot *slots;
    size_t n;
} Generation;

struct Memo {
    Generation young, old;
    size_t mask;                   /* slots of a generation - 1 */
    size_t max_entries, max_bytes; /* of a generation */
};

static Generation generation_new(size_t n_slots)
{
    Generation g = {.arena = arena_new(), .slots = calloc(n_slots, sizeof(Slot))};
    if (!g.slots)
        abort();
    return g;
}

static void generation_clear(Generation *g, size_t n_slots)
{
    arena_reset(g->arena);
    memset(g->slots, 0, n_slots * sizeof(Slot));
    g->n = 0;
}

Memo *memo_new(size_t max_entries, size_t max_bytes)
{
    Memo *memo = calloc(1, sizeof(*memo));
    size_t n_slots = 2;

    if (!memo)
        abort();
    memo->max_entries = MAX(max_entries / 2, 1);
    memo->max_bytes = max_bytes / 2;
    while (n_slots < memo->max_entries * 2) /* at most half full: probes stay short */
        n_slots *= 2;
    memo->mask = n_slots - 1;
    memo->young = generation_new(n_slots);
    memo->old = generation_new(n_slots);
    return memo;
}

void memo_free(Memo *memo)
{
    if (!memo)
        return;
    arena_free(memo->young.arena);
    arena_free(memo->old.arena);
    free(memo->young.slots);
    free(memo->old.slots);
    free(memo);
}

uint64_t memo_hash(Str text)
{
    return XXH3_64bits(text.data, text.len);
}

static bool entry_is(const Entry *e, Str text)
{
    return e->len == text.len && (text.len == 0 || memcmp(e->values + e->n, text.data, text.len) == 0);
}

/* The slot of @text, or the free one where it would go. */
static Slot *find_slot(const Memo *memo, const Generation *g, Str text, uint64_t hash)
{
    for (size_t i = hash & memo->mask;; i = (i + 1) & memo->mask) {
        Slot *slot = &g->slots[i];
        if (!slot->entry || (slot->hash == hash && entry_is(slot->entry, text)))
            return slot;
    }
}

static size_t entry_bytes(Str text, size_t n)
{
    return sizeof(Entry) + n * sizeof(uint32_t) + text.len;
}

/* Whether one more entry of @bytes stays within the bounds of the younger generation. */
static bool has_room(const Memo *memo, size_t bytes)
{
    return memo->young.n < memo->max_entries && arena_used_bytes(memo->young.arena) + bytes <= memo->max_bytes;
}

static const Entry *insert(Memo *memo, Str text, uint64_t hash, const uint32_t *values, size_t n)
{
    Entry *e = arena_alloc(memo->young.arena, entry_bytes(text, n));
    Slot *slot = find_slot(memo, &memo->young, text, hash);

    e->len = text.len;
    e->n = n;
    if (n)
        memcpy(e->values, values, n * sizeof(*values));
    if (text.len)
        memcpy(e->values + n, text.data, text.len);
    memo->young.n += slot->entry == NULL;
    *slot = (Slot){hash, e};
    return e;
}

bool memo_get(Memo *memo, Str text, uint64_t hash, MemoEntry *ret)
{
    const Entry *e = find_slot(memo, &memo->young, text, hash)->entry;

    if (!e) {
        e = find_slot(memo, &memo->old, text, hash)->entry;
        if (!e)
            return false;
        if (has_room(memo, entry_bytes(text, e->n))) /* in use: keep it past the end of the older generation */
            e = insert(memo, text, hash, e->values, e->n);
    }
    *ret = (MemoEntry){e->values, e->n};
    return true;
}

static void turn_over(Memo *memo)
{
    Generation spare = memo->old;
    memo->old = memo->young;
    memo->young = spare;
    generation_clear(&memo->young, memo->mask + 1);
}

void memo_put(Memo *memo, Str text, uint64_t hash, const uint32_t *values, size_t n)
{
    size_t bytes = entry_bytes(text, n);

    if (bytes > memo->max_bytes)
        return;
    if (!has_room(memo, bytes))
        turn_over(memo);
    insert(memo, text, hash, values, n);
}

size_t memo_entries(const Memo *memo)
{
    return memo->young.n + memo->old.n;
}

size_t memo_bytes(const Memo *memo)
{
    return arena_used_bytes(memo->young.arena) + arena_used_bytes(memo->old.arena);
}
