/* Series of observations, one for each (canonical identity, primitive), and the state that is made from each.
 *
 * A canonical identity is one that is merged into no other. Its series has the observations of all attackers whose
 * identity leads to it by merges. The newest end of a series stands beside its state in packed form (the worker's own,
 * opaque here), so that the cost of an observation does not grow with the series; series_read() reads the observations
 * themselves where that form is missing or can no longer be trusted.
 *
 * All of it runs inside the caller's transaction, in this order, so that writers never deadlock: observations, stub
 * identities, series_lock(), states. */
#pragma once

#include "repo.h"

/* An attacker and the canonical identity that its observations belong to. */
typedef struct SeriesOwner {
    Uuid attacker;
    Uuid identity; /* out */
    bool found;    /* out; false: no such attacker, or one without an identity */
} SeriesOwner;

/* Find the canonical identities of @owners and lock them until the transaction ends: of several processes one at a time
 * changes the series of an identity. Attackers in any order, doubled ones allowed. */
int series_lock(Repo *repo, SeriesOwner *owners, size_t n) must_check;
/* The same for identities themselves: @identities become their canonical ones. Flags in @found. */
int series_lock_identities(Repo *repo, Uuid *identities, bool *found, size_t n) must_check;

/* A series by its key, and its stored state. */
typedef struct SeriesKey {
    Uuid identity; /* canonical */
    Str primitive;
} SeriesKey;

typedef struct SeriesState {
    bool exists;
    Str state, current_value; /* current_value is JSON */
    double confidence;
    int64_t observation_count;
    double last_change_ts, last_observation_ts; /* epoch seconds */
    Str series;                                 /* packed; absent: unknown */
} SeriesState;

/* One state for each key, text in @arena. */
int series_states(Repo *repo, Arena *arena, const SeriesKey *keys, size_t n, SeriesState *ret) must_check;
/* Insert or overwrite; distinct keys in any order. @exists says that series_states() found a row, and that the identity
 * has been locked since: updating it costs less than asking anew. REPO_E_FK when an identity is gone. */
int series_write(Repo *repo, const SeriesKey *keys, const SeriesState *states, size_t n) must_check;
int series_remove(Repo *repo, const SeriesKey *keys, size_t n) must_check;

/* --- from the observations --- */
typedef struct SeriesRow {
    double ts;
    Str evidence_ref, value, value_kind; /* value is JSON; value_kind absent: not said */
} SeriesRow;

typedef struct SeriesHash {
    Str value; /* JSON, not null */
    double ts; /* its newest */
} SeriesHash;

typedef struct SeriesHistory {
    int64_t n;       /* length of the series */
    SeriesRow *rows; /* the newest ones, newest first */
    size_t n_rows;
    SeriesHash *hashes; /* distinct values of kind hash, newest first */
    size_t n_hashes;
} SeriesHistory;

typedef struct SeriesDepth {
    int rows;             /* newest rows wanted */
    int hashes;           /* distinct hashes wanted at most */
    double hash_window_s; /* they are looked for this far before the newest row */
} SeriesDepth;

/* Read series as they are stored; its cost grows with their length. @is_hash flags for each key that values without a
 * kind of their own are hashes. */
int series_read(Repo *repo, Arena *arena, const SeriesKey *keys, const bool *is_hash, size_t n,
                const SeriesDepth *depth, SeriesHistory *ret) must_check;

/* --- what changed otherwise --- */
/* Every primitive of an identity, or of an attacker, is to be looked at again. */
int series_mark_identities(Repo *repo, const Uuid *identities, size_t n) must_check;

typedef struct SeriesDirty {
    bool is_attacker;
    Uuid uuid;
    Str primitive; /* absent: all */
} SeriesDirty;
/* Take at most @limit marks away, oldest first, that no other process is about to take. */
int series_take_marks(Repo *repo, Arena *arena, int limit, SeriesDirty **ret_marks, size_t *ret_n) must_check;
/* A hint about one series of an attacker. */
int series_mark_attackers(Repo *repo, const Uuid *attackers, const Str *primitives, size_t n) must_check;
/* A hint for each observation of which the state cannot know: there is none, or it is of an older one. Sets *ret_n to
 * how many series they are. */
int series_mark_unjudged(Repo *repo, const Uuid *attackers, const Str *primitives, const double *ts, size_t n,
                         size_t *ret_n) must_check;
/* Names of all primitives that the series of these canonical identities, or their states, have: distinct keys. */
int series_primitives(Repo *repo, Arena *arena, const Uuid *identities, size_t n, SeriesKey **ret_keys,
                      size_t *ret_n) must_check;

/* --- the correlator's memory --- */
typedef struct SeriesSuspect {
    Uuid identity;
    Str *primitives; /* announced last; none: never, or taken back */
    size_t n_primitives;
    SeriesKey *keys; /* in state multi_actor now, in order */
    SeriesState *states;
    size_t n_keys;
} SeriesSuspect;
/* What was announced for each of them, what would be now, and what time it is. */
int series_suspects(Repo *repo, Arena *arena, SeriesSuspect *suspects, size_t n, int64_t *ret_now_us) must_check;

typedef struct SeriesAnnounced {
    Uuid identity;
    const Str *primitives;
    size_t n_primitives; /* 0: forget what was announced */
} SeriesAnnounced;
/* Distinct identities. */
int series_announced(Repo *repo, const SeriesAnnounced *said, size_t n) must_check;

/* The next @n numbers in the order of all events of identities. */
int series_event_numbers(Repo *repo, int64_t n, int64_t *ret_numbers) must_check;
