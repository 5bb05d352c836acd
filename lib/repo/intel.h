/* attacker_intel: what others say of an attacker, one row each. */
#pragma once

#include "columns.h"
#include "event/intel_facts.h"
#include "repo.h"

/* The stored rows of @attackers, projected to the facts that the live event carries too, so that both give the same
 * tags. @ret_facts has one entry per attacker; has_row tells whether there was a row. Text lives in @arena. */
int intel_read(Repo *repo, Arena *arena, const Uuid *attackers, size_t n, IntelFacts *ret_facts,
               bool *ret_has_row) must_check;

#define INTEL_COLUMNS(X)                                                                                               \
    X(5, schema_version, COLUMN_INT, 0, 0, "1")                                                                        \
    X(6, greynoise_classification, COLUMN_TEXT, COLUMN_NULLABLE, 32, "NULL")                                           \
    X(7, greynoise_name, COLUMN_TEXT, COLUMN_NULLABLE, 128, "NULL")                                                    \
    X(8, greynoise_tags, COLUMN_JSON, 0, 0, "'[]'")                                                                    \
    X(9, greynoise_raw, COLUMN_JSON, 0, 0, "'{}'")                                                                     \
    X(10, greynoise_queried_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                               \
    X(11, abuseipdb_score, COLUMN_INT, COLUMN_NULLABLE, 0, "NULL")                                                     \
    X(12, abuseipdb_categories, COLUMN_JSON, 0, 0, "'[]'")                                                             \
    X(13, abuseipdb_raw, COLUMN_JSON, 0, 0, "'{}'")                                                                    \
    X(14, abuseipdb_queried_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                               \
    X(15, feodo_listed, COLUMN_BOOL, COLUMN_NULLABLE, 0, "NULL")                                                       \
    X(16, feodo_malware_family, COLUMN_TEXT, COLUMN_NULLABLE, 64, "NULL")                                              \
    X(17, feodo_raw, COLUMN_JSON, 0, 0, "'{}'")                                                                        \
    X(18, feodo_queried_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                                   \
    X(19, threatfox_listed, COLUMN_BOOL, COLUMN_NULLABLE, 0, "NULL")                                                   \
    X(20, threatfox_threat_types, COLUMN_JSON, 0, 0, "'[]'")                                                           \
    X(21, threatfox_ioc_types, COLUMN_JSON, 0, 0, "'[]'")                                                              \
    X(22, threatfox_malware_families, COLUMN_JSON, 0, 0, "'[]'")                                                       \
    X(23, threatfox_raw, COLUMN_JSON, 0, 0, "'{}'")                                                                    \
    X(24, threatfox_queried_at, COLUMN_TIME, COLUMN_NULLABLE, 0, "NULL")                                               \
    X(25, aggregate_verdict, COLUMN_TEXT, COLUMN_NULLABLE, 32, "NULL")                                                 \
    X(26, cached_at, COLUMN_TIME, 0, 0, "decnet_now()")

typedef struct IntelRow {
    Uuid attacker_uuid;
    Str attacker_ip;
    int64_t expires_at;
    INTEL_COLUMNS(ROW_MEMBER)
} IntelRow;

/* Inserts or overwrites the address, the expiry and the columns in @given (ROW_BIT() of their numbers); other columns
 * keep their values, as those of a provider that did not answer, and a row that says what is stored is not written.
 * Text has to be what PostgreSQL takes.
 *
 * @rows  any order; of equal attackers the last one counts
 * @uuids n entries: the id of each stored row
 *
 * Rows are written in key order, so that two writers never deadlock. REPO_E_FK when an attacker is gone,
 * REPO_E_REJECTED when a row breaks a check. */
int intel_upsert(Repo *repo, const IntelRow *rows, size_t n, uint64_t given, Uuid *uuids) must_check;
