/* observations: what a session was seen to do, one row per (evidence_ref, primitive). */
#pragma once

#include "repo.h"

typedef struct StoredObservation {
    Uuid id; /* of a new row; distinct within the call. Out: the id of the stored row, which keeps its own */
    Str evidence_ref, primitive; /* the key; repaired UTF-8 */
    Str value;                   /* JSON text of any kind */
    Str value_kind;              /* which merger judges it; absent: not said, and a stored row keeps what it has */
    double confidence, window_start_ts, window_end_ts, ts;
    Str source;
    int32_t envelope_v;
    Uuid attacker_uuid;
    Str identity_ref;       /* absent: NULL */
    bool sets_identity_ref; /* overwrite that of a stored row as well */
    bool ranks_whole;       /* of equals in what decides who stays, the one with the greater rest stays too */
    /* out */
    RowOutcome outcome;
    /* ROW_CHANGED: what the row said before, so that whatever was derived from it can be derived anew */
    Uuid old_attacker_uuid;
    double old_ts;
    Str old_value; /* JSON text, in the arena of the call */
} StoredObservation;

/* Stores observations by COPY when they are many and all new, and reads without writing when all are stored. Within a
 * transaction, unless it is a single row.
 *
 * Of two observations with one key the one with the greater (ts, window_end_ts, value as jsonb spells it, byte by byte)
 * stays, whatever the order of arrival; with all three equal the later call overwrites the rest, unless it ranks_whole:
 * then (confidence, window_start_ts, source, envelope_v, attacker_uuid, value_kind) decide in the same way, so that events
 * may come in any order and again. Rows of one call that share a key count as calls one after the other.
 *
 * @rows         any order; outcome, id and, for ROW_CHANGED, old_* are set
 * @maybe_stored the caller has a reason to think that some are stored; a wrong guess costs time only
 * @arena        of old_value
 *
 * REPO_E_FK when an attacker is not there (any more): nothing may stay, roll back and resolve again. REPO_E_REJECTED when
 * the id of a new row belongs to another one. */
int observations_upsert(Repo *repo, StoredObservation *rows, size_t n, bool maybe_stored, Arena *arena) must_check;

/* What observations_upsert() would make of each row, by what is committed now: sets outcome, stores nothing. A row of
 * which nothing is stored is ROW_NEW. */
int observations_compare(Repo *repo, StoredObservation *rows, size_t n, Arena *arena) must_check;

/* The id of a row for which the caller has none: UUIDv5(NS_OBSERVATION, evidence_ref|primitive). */
Uuid observation_minted_id(Str evidence_ref, Str primitive);
