/* What attackers left behind: credentials, bounties, evidence. Rows are written in key
 * order, so that two writers never deadlock. Bounties and evidence of one call have distinct keys; the caller folds
 * repeats before, as one statement may not touch the same key twice. */
#pragma once

#include "repo.h"

typedef struct StoredCredential {
    Str attacker_ip;
    const Uuid *attacker_uuid; /* NULL: not known; a stored one stays */
    Str decky, service;
    Str principal; /* absent: NULL, which equals itself and no text */
    Str secret_kind, secret_sha256, secret_b64, secret_printable;
    Str outcome;                         /* success, failure, observed; absent: what is stored stays */
    int64_t first_seen_us, last_seen_us; /* TIME_NONE: now */
    Str fields;                          /* JSON object of a new row; absent: {} */
    int64_t attempts;                    /* 0: only the outcome changes, unless the row is new: then it counts as 1 */
    /* out */
    bool created; /* by this call, and for the first row of equal keys */
    int64_t id, attempt_count;
} StoredCredential;
/* Adds attempts; keeps the outcome of the latest time, ties to success, then failure. Rows may repeat a key: they are
 * folded, in time as in count. Text has to be what PostgreSQL takes (text_sanitize()). */
int credentials_upsert(Repo *repo, StoredCredential *rows, size_t n) must_check;

typedef struct StoredBounty {
    Str attacker_ip, decky, service, bounty_type;
    Str payload; /* JSON object */
    int64_t timestamp_us;
    bool created; /* out */
    bool written; /* out: created, or moved to an earlier sighting */
} StoredBounty;
/* Keeps the earliest sighting. */
int bounties_upsert(Repo *repo, StoredBounty *rows, size_t n) must_check;

typedef struct StoredEvidence {
    Uuid attacker_uuid;
    Str kind, value;
    int64_t first_seen_us, last_seen_us, seen;
} StoredEvidence;
int evidence_upsert(Repo *repo, const StoredEvidence *rows, size_t n) must_check;
