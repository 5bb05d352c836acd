/* The mergers: from the series of observations of one (identity, primitive) to one of five states, and the rule that
 * says when a stored state changes. Pure: no clock, no I/O, no state of their own.
 *
 * A series is ordered by (ts, evidence_ref), evidence_ref byte by byte, which is unique within a primitive. A merger
 * does not need all of it: its answer is a function of the length of the series and of
 *
 *   categorical, numeric   its ten newest rows
 *   hash                   its newest row and, for each distinct value that is not null, the newest ts of that value
 *
 * (contract attribution 9), so a worker fills an AttributionSeries from a few index rows, in any order:
 *
 *     AttributionSeries s = {.n = count};
 *     for each row that a query brought:
 *         AttributionRow row = {.ts = …, .evidence_ref = …};
 *         if (attribution_value_read(arena, json, &row.value) == 0)
 *             attribution_series_offer(&s, &row);
 *     s.hashes = …; s.n_hashes = …;                 (hash primitives only)
 *     AttributionMerge m = attribution_merge(arena, kind, &s);
 *     AttributionTransition t = attribution_transition(has_row ? &stored : NULL, &m);
 *
 * Sources of all thresholds and formulas: contract attribution 5 (mergers) and 6.2 (transition). */
#pragma once

#include "event/behaviour.h"

#include "value.h"

#define ATTRIBUTION_WINDOW 5                         /* rows of the recent window, and of the older one before it */
#define ATTRIBUTION_HISTORY (2 * ATTRIBUTION_WINDOW) /* rows that a categorical or numeric merger looks at */
#define ATTRIBUTION_MIN_OBSERVATIONS 3               /* fewer: unknown */
#define ATTRIBUTION_MAJORITY 4                       /* of a full window */
#define ATTRIBUTION_EWMA_ALPHA 0.3                   /* weight of the newer value */
#define ATTRIBUTION_SHIFT_DRIFTING 0.30              /* relative shift of the mean from here on: drifting */
#define ATTRIBUTION_CV_CONFLICTED 1.0                /* coefficient of variation above it: conflicted */
#define ATTRIBUTION_HASH_WINDOW_S 86400.0            /* before the newest row, both ends included */
#define ATTRIBUTION_HASH_DRIFTING_MAX 2              /* rotations; more: conflicted */
#define ATTRIBUTION_MULTI_ACTOR_CONFIDENCE 0.6       /* confidence of multi_actor is at most this */

typedef enum AttributionState {
    ATTRIBUTION_UNKNOWN,
    ATTRIBUTION_STABLE,
    ATTRIBUTION_DRIFTING,
    ATTRIBUTION_CONFLICTED,
    ATTRIBUTION_MULTI_ACTOR,
    ATTRIBUTION_STATE_N,
} AttributionState;

const char *
attribution_state_name(AttributionState state); /* "unknown" "stable" "drifting" "conflicted" "multi_actor" */
bool attribution_state_parse(Str name, AttributionState *ret);

/* --- series --- */

typedef struct AttributionRow {
    AttributionValue value;
    double ts; /* epoch seconds, finite */
    Str evidence_ref;
    ValueKind kind; /* for the caller: which merger its newest row asks for */
} AttributionRow;

/* One distinct value of a hash series. */
typedef struct AttributionHash {
    Str key;   /* AttributionValue.key, or one digest of it for all: only equality counts */
    double ts; /* the newest of that value */
} AttributionHash;

typedef struct AttributionSeries {
    AttributionRow rows[ATTRIBUTION_HISTORY]; /* the newest ones, oldest first; a hash merger reads the last only */
    size_t n_rows;           /* min(n, ATTRIBUTION_HISTORY) when filled by attribution_series_offer() */
    int64_t n;               /* length of the whole series; at least n_rows */
    AttributionHash *hashes; /* borrowed; hash primitives only. No null. In any order, a key may come several times (as
                                from several attackers), entries older than the window are allowed. Is sorted here. */
    size_t n_hashes;
} AttributionSeries;

int attribution_row_cmp(const AttributionRow *a, const AttributionRow *b); /* the order of a series */

/* Take @row into the ten newest if it belongs there. Rows may come in any order; a row with an evidence_ref that is
 * there already takes its place. Leaves n alone, which the caller knows from a counter. */
void attribution_series_offer(AttributionSeries *series, const AttributionRow *row);

/* --- mergers --- */

typedef struct AttributionMerge {
    AttributionState state;
    AttributionValue current_value; /* borrows from the series, or lives in the arena */
    double confidence;              /* in the state, 0 .. 1 */
    int64_t observation_count;      /* n of the series, skipped rows included */
    double last_observation_ts;     /* ts of the newest row, skipped or not; 0 for an empty series */
    size_t n_skipped;               /* of the rows looked at: no number, in a numeric series. For a counter */
    bool capped;                    /* more than LIMIT_HASH_VALUES distinct hashes in the window. For a counter */
} AttributionMerge;

/* An empty series is (null, unknown, 0, 0, 0) for every kind. Otherwise, with recent = the last min(n, 5) rows, older =
 * up to five rows before them, and k = |recent|:
 *
 * Categorical (5.1). top(W) = the highest count of one value in window W; W is clear when top(W) >= min(4, |W|).
 *   n < 3                                           unknown      last value      0
 *   recent not clear, two hands alternate in it     multi_actor  last value      min(top / k, 0.6)
 *   recent not clear                                conflicted   last value      top / k
 *   older not empty and not clear, or of another
 *   majority than recent                            drifting     majority        top / k
 *   otherwise                                       stable       majority        top / k
 * Two hands alternate: k >= 4, exactly two distinct values, and flips >= 2 * max(repeats, 1) over neighbours. The
 * value shown is the first equal one of the window.
 *
 * Numeric (5.2). x = attribution_value_number(). Rows without one are skipped and counted: windows are then made of
 * the rest of the ten newest rows, and n < 3 asks for three of the rest. EWMA: s = x1; s = 0.3 x + 0.7 s in order.
 *   m, o = EWMA of recent, of older; CV = sqrt(sum (x - m)^2 / k) / |m|, with m = 0: 0 if all deviations are 0, else
 *   1e9; shift = |m - o| / (|o|, or 1 when o = 0)
 *   n < 3                                           unknown      last x or null  0
 *   CV > 1                                          conflicted   m               0.5
 *   older not empty, shift >= 0.30                  drifting     m               1 - min(CV, 1)
 *   otherwise                                       stable       m               1 - min(CV, 1)
 * IEEE doubles in the order written, without fused operations; a mean beyond the range of a double is its end, a
 * square beyond it makes CV infinite.
 *
 * Hash (5.3). Window: ts >= ts of the newest row - 86,400. rotations = distinct values in it - 1, at least 0.
 *   0                                               stable       last value      1
 *   1, 2                                            drifting     last value      1 / (1 + rotations)
 *   more                                            conflicted   last value      1 / (1 + rotations)
 * Above LIMIT_HASH_VALUES distinct values that number stands for all: the state no longer changes, only the
 * confidence would. */
AttributionMerge attribution_merge(Arena *arena, ValueKind kind, AttributionSeries *series);

/* --- the stored row --- */

typedef struct AttributionStateRow {
    AttributionState state;
    AttributionValue current_value;
    double confidence;
    int64_t observation_count;
    double last_change_ts, last_observation_ts; /* epoch seconds */
} AttributionStateRow;

typedef enum AttributionAction {
    ATTRIBUTION_NOTHING,  /* the stored row says it all: write nothing, publish nothing */
    ATTRIBUTION_WRITE,    /* another value, confidence, count or time, the same state: write, publish nothing */
    ATTRIBUTION_ANNOUNCE, /* another state, or the first one: write, and publish state_changed */
    ATTRIBUTION_REMOVE,   /* the series is empty (its rows went to another identity): delete the row */
} AttributionAction;

typedef struct AttributionTransition {
    AttributionAction action;
    AttributionStateRow row; /* to write */
    bool has_old_state;      /* for the event: old_state and previous_value, else null */
    AttributionState old_state;
    AttributionValue previous_value;
} AttributionTransition;

/* Contract attribution 6.2: changed <=> there is no stored row (@prior NULL) or its state is another one. When changed,
 * last_change_ts is the new last_observation_ts, else the stored one. Any state may follow any other. */
AttributionTransition attribution_transition(const AttributionStateRow *prior, const AttributionMerge *merged);
