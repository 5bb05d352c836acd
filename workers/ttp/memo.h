/* What was found in texts seen before. Attackers' tools repeat themselves: of the commands of a honeypot few are new,
 * so remembering the rules that fired saves nearly all scanning. Bounded in entries and bytes: two generations, of
 * which the older is dropped when the younger has filled half of the bound. */
#pragma once

#include "base/text.h"

typedef struct Memo Memo;

/* The rules that fired, by index; lives until the next memo_put(). */
typedef struct MemoEntry {
    const uint32_t *values;
    size_t n;
} MemoEntry;

Memo *memo_new(size_t max_entries, size_t max_bytes);
void memo_free(Memo *memo); /* accepts NULL */

uint64_t memo_hash(Str text);
/* Bytes are compared, a hash is only where to look: nobody can make one text answer for another. */
bool memo_get(Memo *memo, Str text, uint64_t hash, MemoEntry *ret);
void memo_put(Memo *memo, Str text, uint64_t hash, const uint32_t *values, size_t n);
size_t memo_entries(const Memo *memo);
size_t memo_bytes(const Memo *memo);
