/* dead_letter as operators see it: list, look into, take up again. (Workers write it: runtime.h.) */
#pragma once

#include "repo.h"

typedef struct DeadLetter {
    int64_t id;
    Str group, topic; /* Kafka's names, prefix included */
    int32_t partition;
    int64_t offset;
    Str event_id; /* absent: none */
    Str reason, sqlstate, message;
    int64_t attempts, first_seen_us, replayed_at_us; /* TIME_NONE: not replayed */
    int64_t value_bytes;
    /* not in lists */
    Str key, value;   /* bytes; absent: NULL */
    Str headers_json; /* [[name, value], …] */
} DeadLetter;

typedef struct DeadLetterFilter {
    const char *group, *reason; /* NULL: any */
    bool with_replayed;
} DeadLetterFilter;

/* The newest @limit letters, newest first; *ret_total says how many match. Rows live in @arena. */
int dead_letter_list(Repo *repo, Arena *arena, const DeadLetterFilter *filter, int64_t limit, DeadLetter **ret,
                     size_t *ret_n, int64_t *ret_total) must_check;
/* One letter whole. REPO_E_NO_ROW when there is none of that id. */
int dead_letter_read(Repo *repo, Arena *arena, int64_t id, DeadLetter *ret) must_check;

/* Whole letters for a replay, locked until the transaction ends, by id: those of @ids, or with @n_ids 0 up to @limit
 * of @group with an id above @after that were not replayed yet. */
int dead_letter_claim(Repo *repo, Arena *arena, const int64_t *ids, size_t n_ids, const char *group, int64_t after,
                      int64_t limit, DeadLetter **ret, size_t *ret_n) must_check;
int dead_letter_mark_replayed(Repo *repo, const DeadLetter *letters, size_t n) must_check;
