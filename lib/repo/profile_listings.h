/* What an operator asks about attribution: who is meant, what is known of the behaviour of an identity, where it changed,
 * who may be several. Read-only, in the caller's transaction or none; rows and text live in @arena. Identities that are
 * merged into another one are in no list. */
#pragma once

#include "series.h"

/* Who is meant by a word that a person typed: the uuid of an identity, or the uuid or the address of an attacker. */
typedef struct FoundProfile {
    enum { PROFILE_NOBODY, PROFILE_WITHOUT_IDENTITY, PROFILE_FOUND } kind;
    Uuid asked;    /* the identity that was named, or that the attacker has; literally */
    Uuid identity; /* the one that it is merged into, or itself */
    Str address;   /* of the attacker that was named; absent: an identity was */
} FoundProfile;
int profile_find(Repo *repo, Arena *arena, Str word, FoundProfile *ret) must_check;

typedef struct ListedState {
    Str primitive;
    SeriesState state; /* without the packed series */
} ListedState;

typedef struct ListedProfile {
    Uuid identity;
    double changed_ts;    /* profiles_changed(): its newest change */
    int64_t announced_us; /* profiles_suspected(); else TIME_NONE */
    Str announced;        /* profiles_suspected(): JSON array of primitives */
    int64_t n_attackers;  /* that belong to it */
    const Str *addresses; /* of those that were seen last, at most PROFILE_ADDRESSES */
    size_t n_addresses;
    ListedState *states; /* by primitive */
    size_t n_states;
} ListedProfile;

#define PROFILE_ADDRESSES 5

/* Fills in attackers and states of @profiles, whose identities are set; of the states only those that changed at
 * @since_ts or later. */
int profiles_read(Repo *repo, Arena *arena, ListedProfile *profiles, size_t n, double since_ts) must_check;

/* The three lists: at most @limit profiles, without attackers and states; *ret_total says how many there are.
 *
 * Those with a state that changed at @since_ts or later, newest change first. */
int profiles_changed(Repo *repo, Arena *arena, double since_ts, int64_t limit, ListedProfile **ret, size_t *ret_n,
                     int64_t *ret_total) must_check;
/* Those that were announced as the work of several hands, latest announcement first. */
int profiles_suspected(Repo *repo, Arena *arena, int64_t limit, ListedProfile **ret, size_t *ret_n,
                       int64_t *ret_total) must_check;
/* Those whose states say most: with most primitives in multi_actor, then drifting, then conflicted, then stable; then the
 * longest series. Reads all states. */
int profiles_telling(Repo *repo, Arena *arena, int64_t limit, ListedProfile **ret, size_t *ret_n,
                     int64_t *ret_total) must_check;

/* How many states of identities there are of each kind. */
typedef struct StateCount {
    Str state;
    int64_t n;
} StateCount;
int profile_state_counts(Repo *repo, Arena *arena, StateCount **ret, size_t *ret_n) must_check;

/* Every identity is to be looked at again, if it is not marked already. */
int profiles_mark_all(Repo *repo, int64_t *ret_n) must_check;
