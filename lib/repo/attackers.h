/* attackers: one row per source address. */
#pragma once

#include "columns.h"
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

/* What a caller who knows the whole may set; the key and the two times have rules of their own. */
#define ATTACKER_COLUMNS(X)                                                                                            \
    X(6, identity_id, COLUMN_UUID, COLUMN_NULLABLE, 0, "NULL")                                                         \
    X(7, event_count, COLUMN_INT, 0, 0, "0")                                                                           \
    X(8, service_count, COLUMN_INT, 0, 0, "0")                                                                         \
    X(9, decky_count, COLUMN_INT, 0, 0, "0")                                                                           \
    X(10, services, COLUMN_JSON, 0, 0, "'[]'")                                                                         \
    X(11, deckies, COLUMN_JSON, 0, 0, "'[]'")                                                                          \
    X(12, traversal_path, COLUMN_TEXT, COLUMN_NULLABLE, 0, "NULL")                                                     \
    X(13, is_traversal, COLUMN_BOOL, 0, 0, "false")                                                                    \
    X(14, bounty_count, COLUMN_INT, 0, 0, "0")                                                                         \
    X(15, credential_count, COLUMN_INT, 0, 0, "0")                                                                     \
    X(16, fingerprints, COLUMN_JSON, 0, 0, "'[]'")                                                                     \
    X(17, commands, COLUMN_JSON, 0, 0, "'[]'")                                                                         \
    X(18, country_code, COLUMN_TEXT, COLUMN_NULLABLE, 2, "NULL")                                                       \
    X(19, country_source, COLUMN_TEXT, COLUMN_NULLABLE, 16, "NULL")                                                    \
    X(20, asn, COLUMN_INT, COLUMN_NULLABLE, 0, "NULL")                                                                 \
    X(21, as_name, COLUMN_TEXT, COLUMN_NULLABLE, 128, "NULL")                                                          \
    X(22, asn_source, COLUMN_TEXT, COLUMN_NULLABLE, 16, "NULL")                                                        \
    X(23, ptr_record, COLUMN_TEXT, COLUMN_NULLABLE, 256, "NULL")                                                       \
    X(24, rotation_count, COLUMN_INT, 0, 0, "0")                                                                       \
    X(25, last_rotation_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                   \
    X(26, updated_at, COLUMN_TIME, 0, 0, "decnet_now()")

typedef struct AttackerRow {
    Str ip;                        /* canonical */
    int64_t first_seen, last_seen; /* the earlier and the later one win */
    ATTACKER_COLUMNS(ROW_MEMBER)
} AttackerRow;

/* Bits of the columns that a call gives: of the two times these, of a column of the list ROW_BIT() of its number. */
#define ATTACKER_FIRST_SEEN ROW_BIT(4)
#define ATTACKER_LAST_SEEN ROW_BIT(5)

/* Inserts or overwrites the columns in @given; other columns keep their values, and a row that says what is stored is
 * not written. Text has to be what PostgreSQL takes (text_sanitize()), and a time that is not given has to be stored
 * already.
 *
 * @rows  any order; of equal addresses the last one counts
 * @uuids n entries: the stored id of each row, UUIDv5 for new ones
 *
 * Rows are written in key order, so that two writers never deadlock. REPO_E_REJECTED when a row breaks a check,
 * REPO_E_FK when an identity is gone, REPO_E_RETRY also when another created one of the rows at the same moment. */
int attackers_upsert(Repo *repo, const AttackerRow *rows, size_t n, uint64_t given, Uuid *uuids) must_check;
