/* Compiled packs on disk. Hyperscan trusts what it deserialises, so a file counts only if it is ours alone (owner and
 * mode), carries the very key asked for, and its checksum is right. */
#pragma once

#include <hs/hs.h>

#include "pack.h"

typedef struct PackCacheKey {
    uint8_t b[32]; /* SHA-256 of patterns, flags, Hyperscan's version and the CPU's features */
} PackCacheKey;

PackCacheKey pack_cache_key(const PackPattern *patterns, size_t n);
void pack_cache_path(Buf *ret, const char *cache_dir, const PackCacheKey *key);

/* True when @path held the pack: then *ret_database is the caller's and @prefilter (one byte per pattern) is filled. */
bool pack_cache_read(const char *path, const PackCacheKey *key, uint8_t *prefilter, size_t n,
                     hs_database_t **ret_database);
/* Returns 0 or a negative errno. */
int pack_cache_write(const char *path, const PackCacheKey *key, const uint8_t *prefilter, size_t n,
                     const hs_database_t *database) must_check;
