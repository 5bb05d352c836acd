/* Many regular expressions searched for in one pass over a text: one Hyperscan database in byte mode. What Hyperscan
 * cannot express (look-around, back-references) it only prefilters; PCRE2 then confirms, under limits, because it
 * backtracks. `^` is the start of the text, `.` is not a newline, the search is not anchored, NUL is a byte like any
 * other.
 *
 * Compiled packs are kept in a cache folder, under a name made of the patterns, Hyperscan's version and the CPU's
 * features; a file that is damaged, of another pack, or not ours alone is never used, but made anew. */
#pragma once

#include "base/text.h"

typedef struct PackPattern {
    const char *regex;
    bool icase; /* letters of either case */
} PackPattern;

typedef struct PatternPack PatternPack;

/* @cache_dir may be NULL or "": no cache. Patterns are borrowed during the call. Returns 0; or -EINVAL with the index
 * of the pattern at fault in *ret_index and why in *ret_error (caller frees), index == n when no single one is. */
int pattern_pack_compile(const PackPattern *patterns, size_t n, const char *cache_dir, PatternPack **ret,
                         size_t *ret_index, char **ret_error) must_check;
void pattern_pack_free(PatternPack *pack); /* accepts NULL */
static inline void pattern_pack_freep(PatternPack **p)
{
    pattern_pack_free(*p);
}

/* Indices of the patterns found in @text, each once, in no order, into @ret_ids (room for all of them). */
size_t pattern_pack_scan(PatternPack *pack, Str text, uint32_t *ret_ids);

bool pattern_pack_from_cache(const PatternPack *pack);
/* Why the compiled pack could not be kept ("/var/cache/…: Permission denied"), or NULL. */
const char *pattern_pack_warning(const PatternPack *pack);
size_t pattern_pack_confirmed(const PatternPack *pack); /* how many patterns need PCRE2 */
/* Confirmations that PCRE2 gave up at a limit; each counted as "not found". */
uint64_t pattern_pack_limit_hits(const PatternPack *pack);
