/* logs: the append-only stream of everything that was seen. */
#pragma once

#include "repo.h"

typedef struct LogRow {
    const Uuid *source_event_id; /* NULL: none */
    int64_t timestamp_us;
    Str decky, service, event_type, attacker_ip, raw_line;
    Str fields;                 /* JSON object */
    Str msg, trace_id, span_id; /* absent: NULL */
} LogRow;

/* Take the lock that makes ids monotone in commit order, held until the transaction ends, so keep it short. *ret_now_us
 * (may be NULL) is the server's time then. */
int logs_lock(Repo *repo, int64_t *ret_now_us) must_check;
/* Take it, and tell which of the ids are stored already: @is_new has n flags; of equal ids only the first is new. */
int logs_lock_and_compare(Repo *repo, const Uuid *ids, size_t n, bool *is_new) must_check;
/* Append rows in their order, within the transaction that took the lock. */
int logs_append(Repo *repo, const LogRow *rows, size_t n) must_check;
/* The same of rows that are made one by one, while the server stores those before: @row_at gives row i of n. What it
 * points to has to last until the next one is asked for; row 0 may be asked for again, and then all others. */
int logs_append_each(Repo *repo, LogRow (*row_at)(void *arg, size_t i), void *arg, size_t n) must_check;
