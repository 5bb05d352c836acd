/* SQL over identities that were merged: a merge is a pointer from loser to winner. Private to lib/repo. */
#pragma once

/* From where a chain of merges begins (@first: start, uuid, next, 0) to where it ends: rows (start, uuid). A chain that
 * does not end is a damaged one; it stops. */
#define CHAIN(first)                                                                                                   \
    "WITH RECURSIVE chain (start, uuid, next, depth) AS (" first " UNION ALL"                                          \
    "  SELECT c.start, i.uuid, i.merged_into_uuid, c.depth + 1 FROM chain c"                                           \
    "  JOIN attacker_identities i ON i.uuid = c.next WHERE c.depth < 64)"                                              \
    " SELECT start, uuid FROM chain WHERE next IS NULL OR depth = 64"

/* The attackers (a) whose identity leads to @identity. */
#define ATTACKERS_OF(identity, columns)                                                                                \
    "(WITH RECURSIVE family (uuid) AS (SELECT " identity " UNION"                                                      \
    "  SELECT i.uuid FROM family f JOIN attacker_identities i ON i.merged_into_uuid = f.uuid)"                         \
    " SELECT " columns " FROM family f JOIN attackers a ON a.identity_id = f.uuid)"
