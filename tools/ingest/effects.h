/* What a chunk of log lines changes, as plain arrays that a writer turns into a few SQL statements. Rows are folded per
 * conflict key (one statement may not touch the same key twice) in order of first appearance; the writer sorts by key
 * before it locks anything. Attackers are named by address: their uuids are the database's business. */
#pragma once

#include "session.h"

typedef struct NewCommand {
    Uuid sid, source_event_id; /* the log row that it came in */
    int64_t ordinal, time_us;
    Str text;
    bool truncated;
    const char *ip; /* with decky and service: an entry of attackers.commands, id "<sid>#<ordinal>" */
    Str decky;
    const char *service;
} NewCommand;

/* Set `errored` on the newest command of ordinal in [from, to) whose text contains @text; none: nothing to do. Commands
 * of the same chunk are meant too. */
typedef struct ErroredMark {
    Uuid sid;
    int64_t from, to;
    Str text;
} ErroredMark;

/* One attacker.session.ended: commands of ordinal in [from, to), part @part of @parts. @row is as it was then. */
typedef struct Announcement {
    const SessionRow *row;
    int part, parts;
    int64_t from, to;
} Announcement;

/* A `session_recorded` row for `logs`; it does not count as an event of the attacker. */
typedef struct SyntheticLog {
    Uuid id, sid;
    int64_t time_us;
    const char *ip;
    Str decky;
    const char *service, *event_type;
    Str fields;
} SyntheticLog;

typedef struct AttackerDelta {
    const char *ip;
    int64_t first_us, last_us, events;
    const char *services[2]; /* sorted */
    size_t n_services;
    Str *deckies; /* in order of first contact */
    size_t n_deckies;
    /* The first line of the chunk: what attacker.observed says if this transaction creates the row. */
    int64_t observed_us;
    Str observed_decky, observed_type;
    const char *observed_service;
} AttackerDelta;

typedef struct CredentialDelta {
    const char *ip;
    Str decky;
    const char *service, *kind;
    char sha256[65];
    Str principal; /* absent: NULL, which is a key value of its own */
    Str b64, printable, key_type, key_fingerprint;
    int64_t first_us, last_us;
    int64_t attempts;          /* 0: an attempt counted before got its outcome */
    CredentialOutcome outcome; /* of the latest time, ties to the greater */
} CredentialDelta;

/* One attempt, in line order: credential.captured. attempt_count of the event is the row's count before this chunk plus
 * @nth. */
typedef struct CredentialAttempt {
    size_t credential; /* index of the CredentialDelta */
    int64_t nth, time_us;
    CredentialOutcome outcome;
} CredentialAttempt;

typedef struct BountyRow {
    const char *ip;
    Str decky;
    const char *service, *type; /* "fingerprint", "artifact" */
    int64_t time_us;
    Str payload;                /* JSON object */
    Str fingerprint_type, hash; /* of a fingerprint */
} BountyRow;

typedef struct EvidenceRow {
    const char *ip;
    const char *kind;
    Str value;
    int64_t first_us, last_us, seen;
} EvidenceRow;

#define EFFECT_ARRAY(type, name)                                                                                       \
    struct {                                                                                                           \
        type *items;                                                                                                   \
        size_t n, cap;                                                                                                 \
    } name

typedef struct Effects {
    EFFECT_ARRAY(SessionRow, sessions); /* whole rows to upsert, ordered by sid */
    EFFECT_ARRAY(NewCommand, commands);
    EFFECT_ARRAY(ErroredMark, errored);
    EFFECT_ARRAY(Announcement, announcements); /* in the order in which they became due */
    EFFECT_ARRAY(SyntheticLog, logs);
    EFFECT_ARRAY(AttackerDelta, attackers);
    EFFECT_ARRAY(CredentialDelta, credentials);
    EFFECT_ARRAY(CredentialAttempt, attempts);
    EFFECT_ARRAY(BountyRow, bounties);
    EFFECT_ARRAY(EvidenceRow, evidence);
    /* private from here */
    Arena *arena;
    struct FoldEntry *folds; /* key → index */
} Effects;

void effects_init(Effects *fx);
void effects_free(Effects *fx);
void effects_clear(Effects *fx); /* everything handed out before is gone */

/* Who and where: the same for everything that one line does. @ip and @decky must live as long as the effects. */
typedef struct EffectOrigin {
    const char *ip;
    Str decky;
    const char *service;
    int64_t time_us;
} EffectOrigin;

void effects_attacker_event(Effects *fx, const EffectOrigin *o, Str event_type);
/* @counts is false when only the outcome of an earlier attempt became known. */
void effects_credential(Effects *fx, const EffectOrigin *o, const CowrieCredential *credential, bool counts);
void effects_fingerprint(Effects *fx, const EffectOrigin *o, Str fingerprint_type, Str hash, Str hassh_algorithms);
void effects_artifact(Effects *fx, const EffectOrigin *o, const CowrieFile *file);
void effects_evidence(Effects *fx, const EffectOrigin *o, const char *kind, Str value);
void effects_command(Effects *fx, NewCommand command);
void effects_errored(Effects *fx, ErroredMark mark);
/* Copies @row once for all its parts. @ends holds the exclusive end of each part, @n of them, the first beginning at
 * @from. */
void effects_announce(Effects *fx, const SessionRow *row, int64_t from, const int64_t *ends, size_t n);
void effects_session_recorded(Effects *fx, const SessionRow *row, int64_t part);
void effects_session(Effects *fx, const SessionRow *row); /* borrows; effects_sort_sessions() afterwards */
void effects_sort_sessions(Effects *fx);
