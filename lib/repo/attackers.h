/* attackers: one row per source address. */
#pragma once

#include "repo.h"

typedef struct AttackerRef {
    const char *ip;               /* canonical, "" or NULL when not known; borrowed */
    const Uuid *uuid;             /* NULL when not known; borrowed */
    Uuid found;                   /* out: the attacker's row */
    char found_ip[IP_TEXT_BYTES]; /* out */
    bool exists;                  /* out */
} AttackerRef;

/* Resolve each reference by address first, else by uuid. */
int attackers_resolve(Repo *repo, AttackerRef *refs, size_t n) must_check;
/* The id of every attacker row that we create: UUIDv5(NS_ATTACKER, canonical address). */
Uuid attacker_uuid(const char *ip);
/* The outcome of an insertion of attackers: REPO_E_RETRY when another writer made one of them at the same time. */
int attackers_inserted(Repo *repo, int outcome);

/* What a chunk of log lines adds to an attacker. */
typedef struct AttackerChange {
    Str ip;    /* canonical */
    Uuid uuid; /* in: the id for a new row */
    int64_t first_seen_us, last_seen_us;
    int64_t events;        /* added to event_count */
    Str services, deckies; /* JSON arrays of text, merged into the stored ones */
    bool created;          /* out */
} AttackerChange;
/* Adds the deltas (distinct addresses). Returns REPO_E_RETRY when a row turned out to have another uuid than the
 * caller thinks: somebody else created it a moment ago; resolve again. */
int attackers_add(Repo *repo, AttackerChange *deltas, size_t n) must_check;

/* What follows from rows that point to the attacker. */
typedef struct AttackerExtras {
    Str ip;
    int64_t bounties, credentials; /* newly created rows */
    Str commands;              /* JSON array of entries {id, timestamp, …}; the newest LIMIT_ATTACKER_COMMANDS stay */
    bool fingerprints_changed; /* read the list anew from the bounties */
} AttackerExtras;
int attackers_extend(Repo *repo, const AttackerExtras *extras, size_t n) must_check;
