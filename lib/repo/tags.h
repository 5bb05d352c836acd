/* ttp_tag: one row says "this source showed this technique". Ids are deterministic, so inserting is idempotent. */
#pragma once

#include "repo.h"

#define TAG_CONFIDENCE_FLOOR 0.3 /* contract ttp 2.2: rows strictly below are dropped */

typedef struct TagRow {
    Uuid uuid;
    Str source_kind, source_id;
    const Uuid *attacker_uuid; /* NULL allowed when identity_uuid is set */
    const Uuid *identity_uuid;
    Str session_id, decky_id; /* absent: NULL */
    Str tactic, technique_id, sub_technique_id;
    double confidence; /* 0 .. 1 */
    Str rule_id;
    int rule_version;
    Str evidence; /* JSON object */
    Str attack_release, mitre_url;
    int64_t observed_at_us; /* TIME_NONE: NULL */
    bool maybe_stored;      /* the caller has a reason to think so; a wrong guess costs time only */
} TagRow;

/* Insert tags, skipping those already stored; the first write wins. Within a transaction.
 *
 * @rows   borrowed, any order, ids distinct within the call
 * @is_new n flags: this row did not exist before
 *
 * Rows are written in id order, first those that are new as far as the caller knows, then the others, so that two writers
 * never deadlock. REPO_E_FK when an attacker vanished meanwhile:
 * roll back and resolve again. REPO_E_REJECTED when a row breaks a check. */
int tags_insert(Repo *repo, const TagRow *rows, size_t n, bool *is_new) must_check;
