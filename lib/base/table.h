/* uthash with xxhash as its hash function: faster, and the default one falls through between labels in a way that clang
 * refuses. Include this instead of <uthash.h>. */
#pragma once

#include <xxhash.h>

#define HASH_FUNCTION(key, len, ret_hash) ((ret_hash) = (unsigned)XXH64((key), (len), 0))
#include <uthash.h>
