/* logs: the append-only stream of everything that was seen. */
#pragma once

#include "repo.h"

typedef struct LogRow {
    Uuid source_event_id;
    int64_t timestamp_us;
    Str decky, service, event_type, attacker_ip, raw_line;
    Str fields; /* JSON object */
    Str msg;    /* absent: NULL */
} LogRow;

/* Take the lock that makes ids monotone in commit order (held until the transaction ends, so keep it short), and tell
 * which of the ids are stored already: @is_new has n flags; of equal ids only the first is new. */
int logs_lock_and_compare(Repo *repo, const Uuid *ids, size_t n, bool *is_new) must_check;
/* Append rows in their order, after logs_lock_and_compare() in the same transaction. */
int logs_append(Repo *repo, const LogRow *rows, size_t n) must_check;
