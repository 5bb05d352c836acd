/* ingest_source: how far each log file was read. A source is a path with the digest of its first bytes, so that a
 * rotated or rewritten file is another source, and a grown one the same. */
#pragma once

#include "repo.h"

typedef struct SourceRow {
    Str source_id, path;
    uint8_t head_sha256[32];
    int32_t head_bytes;
    int64_t dev, inode;
    int64_t position_bytes;
    int64_t watermark_us; /* TIME_NONE: none yet */
} SourceRow;

/* Known sources of @path, newest first. */
int sources_of_path(Repo *repo, Arena *arena, Str path, SourceRow **ret_rows, size_t *ret_n) must_check;
/* Add a source at position 0; one that is there stays as it is. */
int source_register(Repo *repo, const SourceRow *source) must_check;
/* Move on from @from_bytes to @to_bytes: REPO_E_FENCED when the stored position is another (a second ingester). */
int source_advance(Repo *repo, Str source_id, int64_t from_bytes, int64_t to_bytes, int64_t watermark_us) must_check;
/* Position of one source, for a COMMIT in doubt. REPO_E_NO_ROW when it is not there. */
int source_position(Repo *repo, Str source_id, int64_t *ret_bytes) must_check;
