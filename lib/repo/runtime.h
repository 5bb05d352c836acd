/* The runtime's own tables: positions, outbox, deferred events, dead letters, pauses. What makes "exactly once in rows"
 * true is here: positions advance in the same transaction as the rows, fenced by an epoch. */
#pragma once

#include "repo.h"

/* --- positions --- */
typedef struct Position {
    const char *topic; /* Kafka's name, prefix included; borrowed */
    int32_t partition;
    int64_t next_offset; /* in: where to begin without a stored position; out: where to begin */
    int64_t epoch;       /* out */
    bool is_new;         /* out: there was no stored position */
    bool other_cluster;  /* out: stored for another cluster id; nothing was changed */
    bool owned;          /* out of position_read(): still our epoch */
} Position;

/* Take over @positions for @group: epoch + 1, so that whoever held them is fenced. Runs in the caller's transaction.
 * A position stored for another cluster keeps its row and is marked other_cluster. */
int position_take(Repo *repo, const char *group, const char *cluster_id, Position *positions, size_t n) must_check;

typedef struct PositionAdvance {
    const char *topic;
    int32_t partition;
    int64_t epoch, from_offset, to_offset;
    int64_t event_time_us; /* of the newest event, TIME_NONE unknown */
} PositionAdvance;

/* Advance all or none: REPO_E_FENCED when a row's epoch or offset is not the expected one. */
int position_advance(Repo *repo, const char *group, const PositionAdvance *advances, size_t n) must_check;
/* Read epoch and offset back after a COMMIT in doubt; owned tells whether the epoch is still @positions[i].epoch. */
int position_read(Repo *repo, const char *group, Position *positions, size_t n) must_check;

typedef struct PositionRow {
    Str group, topic, cluster_id;
    int32_t partition;
    int64_t next_offset, epoch, event_time_us, updated_at_us;
} PositionRow;
/* All positions, ordered by group, topic, partition; rows live in @arena. */
int position_list(Repo *repo, Arena *arena, PositionRow **ret_rows, size_t *ret_n) must_check;
/* Positions of every group on @topic (for backlog control). */
int position_list_topic(Repo *repo, Arena *arena, const char *topic, PositionRow **ret_rows, size_t *ret_n) must_check;
/* Forget positions of @group (on @topic, NULL: all): the next start begins at the beginning. *ret_n rows. */
int position_forget(Repo *repo, const char *group, const char *topic, int64_t *ret_n) must_check;
/* Move one position to @offset for the present cluster. REPO_E_NO_ROW when there is none. */
int position_set(Repo *repo, const char *group, const char *topic, int32_t partition, int64_t offset) must_check;

/* --- outbox --- */
typedef struct OutboxRow {
    int64_t id;
    int n_events;
    Str events;
} OutboxRow;
/* Packed rows of at most LIMIT_OUTBOX_ROW_BYTES each; the layout of @events is the caller's. Sets @id of each. */
int outbox_rows_insert(Repo *repo, const char *producer, OutboxRow *rows, size_t n) must_check;
int outbox_row_delete(Repo *repo, const int64_t *ids, size_t n) must_check;
/* Lock up to @limit rows of @producer older than @min_age_ms that no other relay holds, oldest first, leaving out
 * @skip_ids. They stay locked until the transaction ends. */
int outbox_row_claim(Repo *repo, Arena *arena, const char *producer, int64_t min_age_ms, const int64_t *skip_ids,
                     size_t n_skip, int limit, OutboxRow **ret_rows, size_t *ret_n) must_check;
int outbox_row_count(Repo *repo, const char *producer, int64_t *ret_rows, double *ret_oldest_s) must_check;

/* --- records kept aside --- */
typedef struct KeptRecord {
    int64_t id;        /* out */
    const char *topic; /* Kafka's name */
    int32_t partition;
    int64_t offset, record_time_us;
    Str key, value;   /* bytes; absent allowed */
    Str headers_json; /* [[name, value], …] */
    /* deferred */
    const char *wait_ip; /* what it waits for; NULL or "" none */
    const Uuid *wait_uuid;
    int attempts; /* tries so far */
    int64_t next_attempt_us, first_seen_us;
    /* dead */
    const char *reason, *sqlstate, *message;
    const Uuid *event_id;
} KeptRecord;

/* Remember records for later; one that is remembered already stays as it is. */
int deferred_insert(Repo *repo, const char *group, const KeptRecord *records, size_t n) must_check;
/* Ids of deferred records of @group that are due: their time has come, or the attacker they wait for exists now. */
int deferred_due(Repo *repo, const char *group, bool look_for_rows, int limit, int64_t *ret_ids,
                 size_t *ret_n) must_check;
/* Lock and read the given ids; those that another member holds or has finished are left out. */
int deferred_claim(Repo *repo, Arena *arena, const int64_t *ids, size_t n, KeptRecord **ret_records,
                   size_t *ret_n) must_check;
int deferred_delete(Repo *repo, const int64_t *ids, size_t n) must_check;
/* Set attempts and next attempt of each record by its id. */
int deferred_postpone(Repo *repo, const KeptRecord *records, size_t n) must_check;
int deferred_count(Repo *repo, const char *group, int64_t *ret_n, int64_t *ret_next_us) must_check;

/* A record that is a dead letter already counts one attempt more. */
int dead_letter_insert(Repo *repo, const char *group, const KeptRecord *records, size_t n) must_check;

/* --- breaker --- */
int pause_set(Repo *repo, const char *group, const char *reason) must_check;
int pause_get(Repo *repo, Arena *arena, const char *group, bool *ret_paused, Str *ret_reason) must_check;
int pause_clear(Repo *repo, const char *group, bool *ret_was_paused) must_check;
