/* The behaviour extractor: what the commands of one session say about the hands behind it. Pure: commands in, finished
 * observations out, the same ones on every machine and at every repetition.
 *
 * Commands are given one after the other and their text is not kept, so that a caller can page through a session of
 * any length:
 *
 *     cleanup(extractor_freep) Extractor *x = extractor_new(arena, &session);
 *     for each command in the order of ordinals:
 *         extractor_add(x, &command);
 *     n = extractor_finish(x, observations);
 *
 * All formulas, thresholds, word sets and confidences: contract ingest 12, "observations from JSON only". n is the
 * number of commands; a token the first word of a command, words being separated by ASCII white space; IAT the time
 * from one command to the next. Where the contract leaves a choice:
 *
 *   - time running backwards between two commands counts as an IAT of 0, and an IAT needs both times;
 *   - the median of an even number of values is the mean of the two in the middle;
 *   - escalation_pattern cuts the duration into windows from its start, ten of them from 100 s on, else of 10 s each
 *     with the last one shorter; commands before or behind count for the first or last window; CV is the population's
 *     (one window has none else), zero share the share of windows without a command;
 *   - landing_ritual counts commands, not distinct words: twice `id` is two;
 *   - exploration_style of a single command has no back-track;
 *   - pipe_chaining_depth counts every `|` byte outside of quotes, so `||` twice; a backslash quotes the next byte
 *     except within single quotes; a quote that never ends reaches to the end;
 *   - an errored command without a next one is an abort, and its next token is no help;
 *   - objective: of sets with equally many commands the one whose first command came first;
 *   - a blank command is none: it is no part of n.
 *
 * Only the first LIMIT_EXTRACT_COMMANDS commands of a session count. What is kept per command is small and fixed. */
#pragma once

#include "event/behaviour.h"

#define EXTRACTOR_SOURCE "decnet-ingest" /* of all these observations */

typedef struct ExtractorSession {
    Uuid sid, attacker_uuid;
    char attacker_ip[IP_TEXT_BYTES]; /* "" when unknown */
    Str decky, service;
    int64_t started_at_us, ended_at_us; /* both needed: without them there is no observation */
    double duration_s;                  /* 0 when unknown */
    Str ended_reason;                   /* "closed", or how else it ended */
} ExtractorSession;

typedef struct ExtractorCommand {
    Str text;      /* any bytes; at most LIMIT_COMMAND_BYTES of it count */
    int64_t ts_us; /* TIME_NONE when unknown */
    bool errored;  /* a command.failed of the session names it */
} ExtractorCommand;

typedef struct Extractor Extractor;

#define EXTRACTOR_PRIMITIVES 17 /* observations of one session at the most */

/* @session is copied, its texts are borrowed; what extractor_finish() returns lives in @arena. A duration that is
 * negative or no number counts as unknown. */
Extractor *extractor_new(Arena *arena, const ExtractorSession *session);
void extractor_free(Extractor *x); /* accepts NULL */
static inline void extractor_freep(Extractor **p)
{
    extractor_free(*p);
}
void extractor_add(Extractor *x, const ExtractorCommand *command);
/* The observations that the session supports, in the order of the contract's table; returns how many. None when
 * started_at_us is TIME_NONE, or where extractor_can_place() is false. Each has its envelope: id = observation_row_id(),
 * value_kind categorical, ts = window end = the end of the session, window start = its start, evidence_ref =
 * "cowrie:<decky>/<service>/<UTC date of the start>#<sid>" (contract ingest 12), decky and service repaired and cut at
 * LIMIT_NAME_BYTES each. Once per extractor. */
size_t extractor_finish(Extractor *x, Observation ret[EXTRACTOR_PRIMITIVES]);

/* True when an observation can have this time: from 1970 to 9999, and not TIME_NONE. */
bool extractor_can_place(int64_t ended_at_us);

/* Commands beyond LIMIT_EXTRACT_COMMANDS that were ignored: for a counter. */
size_t extractor_ignored(const Extractor *x);

/* True when extractor_finish() can return this primitive. */
bool extractor_computes(const char *primitive);
