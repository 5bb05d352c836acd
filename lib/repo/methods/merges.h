/* What identities and campaigns have in common: rows that a clusterer makes under ids of its own, and merges of such rows,
 * which are pointers from loser to winner and can be taken back. */
#pragma once

#include "methods.h"

/* The row that $1 was merged into, at the end of its chain; a reader visits eight rows at the most. */
#define WINNER(table, columns)                                                                                         \
    "WITH RECURSIVE chain AS (SELECT uuid, merged_into_uuid, 1 AS n FROM " table " WHERE uuid = $1"                    \
    "  UNION ALL SELECT t.uuid, t.merged_into_uuid, c.n + 1 FROM chain c"                                              \
    "   JOIN " table " t ON t.uuid = c.merged_into_uuid WHERE c.n < 8)"                                                \
    " SELECT " columns " FROM " table " WHERE uuid = (SELECT uuid FROM chain ORDER BY n DESC LIMIT 1)"

/* Those that are merged into no other, those that changed last first: a page of $1 rows behind $2, and how many there are. */
#define LIVE_PAGE(table, columns)                                                                                      \
    "SELECT " columns " FROM " table " WHERE merged_into_uuid IS NULL ORDER BY updated_at DESC, uuid LIMIT $1 OFFSET $2"
#define LIVE_COUNT(table) "SELECT count(*) FROM " table " WHERE merged_into_uuid IS NULL"
#define ALL_ROWS(table, columns) "SELECT " columns " FROM " table " ORDER BY created_at, uuid"

/* A row of attacker_identities as the methods show it. */
#define IDENTITY_ROW                                                                                                   \
    "uuid, schema_version, campaign_id, first_seen_at, last_seen_at, created_at, updated_at, confidence,"              \
    " observation_count, ja3_hashes, hassh_hashes, ja4h_hashes, ja4_quic_hashes, http_versions_seen, tls_cert_sha256," \
    " payload_simhashes, c2_endpoints, kd_digraph_simhash, merged_into_uuid, notes"

typedef struct Merging {
    const char *what; /* in messages */
    Statement lock;   /* one merge at a time: what two of them read could close a circle together */
    Statement find;   /* a row when $1 stands in the chain of $2 */
    Statement own;    /* locks $1, reads what it was merged into so far */
    Statement set;    /* $1 is merged into $2, or into none; $3 is what it was merged into */
} Merging;

/* All but .set. */
#define MERGING(what_, table)                                                                                          \
    .what = what_,                                                                                                     \
    .lock = {.name = "merge_lock_" table,                                                                              \
             .shape = SHAPE_ROW,                                                                                       \
             .sql = "SELECT pg_advisory_xact_lock(hashtextextended('decnet.merge." table "', 0))"},                    \
    .find = {.name = "merge_find_" table,                                                                              \
             .shape = SHAPE_ROWS,                                                                                      \
             .sql = "WITH RECURSIVE chain AS (SELECT $2::uuid AS uuid UNION SELECT t.merged_into_uuid FROM chain c"    \
                    "  JOIN " table " t ON t.uuid = c.uuid) SELECT FROM chain WHERE uuid = $1"},                       \
    .own = {.name = "merge_own_" table,                                                                                \
            .shape = SHAPE_ROWS,                                                                                       \
            .sql = "SELECT merged_into_uuid FROM " table " WHERE uuid = $1 FOR NO KEY UPDATE"}

/* Sets the pointer of the row that parameter 0 ($1) names to parameter 1 ($2). @lock locks the row and reads where it
 * points so far, which is $3 of @set; when it finds none, there is nothing to do.
 *
 * Two statements: one that locks the newest version of a row and then changes the one that it saw first can deadlock,
 * where others wait for the row and a third one holds it by a foreign key. */
int method_set_pointer(MethodCall *call, const Statement *lock, const Statement *set, JsonWriter *w);
/* Parameters: the loser, and the winner or null. */
int method_merge(MethodCall *call, const Merging *merging, JsonWriter *w);
/* Inserts the dictionary of parameter 0 ($1) by @s and writes its uuid. */
int method_create(MethodCall *call, const Column *columns, size_t n, const Statement *s, JsonWriter *w);
