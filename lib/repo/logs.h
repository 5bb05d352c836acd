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

/* Insert rows in their order, skipping those whose source_event_id is stored already (also earlier in @rows).
 * @is_new has n flags. Takes the lock that makes ids monotone in commit order (held until the transaction ends), so
 * keep the transaction short. */
int logs_insert(Repo *repo, const LogRow *rows, size_t n, bool *is_new) must_check;
