/* What is concluded from observations: attribution_state, one row per (identity, primitive), and the stub identities that
 * it hangs on while nothing else is known of an attacker. */
#pragma once

#include "repo.h"

typedef struct StoredState {
    Uuid identity_uuid;
    Str primitive;     /* with the identity the key; repaired UTF-8 */
    Str current_value; /* JSON text of any kind */
    Str state;         /* attribution_state_is_known() */
    double confidence;
    int64_t observation_count;
    double last_change_ts, last_observation_ts;
    int32_t schema_version; /* for a stored row; 0 keeps it. A new row has 1 */
    bool may_go_back; /* the series itself got shorter: an older last_observation_ts is no sign of a late writer */
    bool touches;     /* write updated_at although nothing else differs */
    /* out */
    RowOutcome outcome;
    Str old_state, old_value; /* ROW_CHANGED: what the row said before (text and JSON text), in the arena of the call */
} StoredState;

/* unknown, stable, drifting, conflicted, multi_actor. */
bool attribution_state_is_known(Str state);

/* Stores states in one statement when all are new, and reads without writing when all are stored.
 *
 * A row whose last_observation_ts is older than the stored one comes from a late writer and is left out (ROW_STALE),
 * unless it may_go_back. Rows of one call that share a key count as calls one after the other.
 *
 * @rows  any order; outcome and, for ROW_CHANGED, old_* are set. The caller looks into old_state to tell a change of the
 *        state from one of the value
 * @arena of old_*
 *
 * REPO_E_FK when an identity is not there (any more). */
int attribution_states_upsert(Repo *repo, StoredState *rows, size_t n, Arena *arena) must_check;

typedef struct StubIdentity {
    Uuid attacker_uuid;
    /* out */
    Uuid identity_uuid; /* what attackers.identity_id says, literally: also of a merged-out identity */
    bool exists;        /* there is such an attacker; if not, nothing is set and nothing was written */
    bool is_new;        /* this call made the identity, and the attacker is its founder: identity.formed */
    int64_t first_seen_us, last_seen_us; /* of the attacker */
} StubIdentity;

/* The identity of each attacker; who has none founds one: UUIDv5(NS_IDENTITY, attacker uuid), with the attacker's times.
 * When all have one it is one statement without a lock. Attackers may come more than once: is_new is set on the first.
 *
 * However many callers do the same at once, one identity is made per attacker and none is left without its attacker.
 * Locks identities in uuid order, then attackers in the order of their addresses as ingest does. */
int attribution_ensure_stubs(Repo *repo, StubIdentity *stubs, size_t n) must_check;
