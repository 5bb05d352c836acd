/* What attackers left behind: credentials, bounties, evidence. All rows of one call have distinct keys; the caller
 * folds repeats before, as one statement may not touch the same key twice. Rows are written in key order. */
#pragma once

#include "repo.h"

typedef struct StoredCredential {
    Str attacker_ip;
    Uuid attacker_uuid;
    Str decky, service;
    Str principal; /* absent: NULL */
    Str secret_kind, secret_sha256, secret_b64, secret_printable;
    Str outcome; /* success, failure, observed */
    int64_t first_seen_us, last_seen_us;
    Str fields;       /* JSON object of a new row; absent: {} */
    int64_t attempts; /* 0: only the outcome changes, unless the row is new: then it counts as 1 */
    /* out */
    bool created;
    int64_t attempt_count;
} StoredCredential;
/* Adds attempts; keeps the outcome of the latest time, ties to success, then failure. */
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
