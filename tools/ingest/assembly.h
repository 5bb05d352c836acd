/* Log lines → sessions. A state machine without any I/O: it is fed parsed events one by one and collects what they
 * change as Effects, which a writer stores chunk by chunk:
 *
 *   parse the lines of a chunk; ask the database which log ids exist; for each event of which assembly_knows() is
 *   false, load the row of event->sid and assembly_restore() it (and its commands that were not announced yet);
 *   assembly_line() each event; store assembly_effects() and the source's new position and watermark in one
 *   transaction; after the commit assembly_forget_effects(). A transaction that failed is repeated with the same
 *   effects.
 *
 * Time is event time. The watermark, the newest time seen in a source, closes idle sessions and announces closed ones;
 * this is decided before each line is applied, so the size of a chunk changes nothing. Memory is bounded by the open
 * sessions; no command text outlives its chunk. */
#pragma once

#include "cowrie.h"
#include "effects.h"

typedef struct AssemblyOptions {
    int64_t idle_timeout_us; /* a session silent for so long is closed; 0: never */
    int64_t grace_us;        /* a closed session waits so long for late events before it is announced */
    bool announce_all;       /* also sessions in which nothing happened */
    size_t max_sessions;     /* 0: LIMIT_OPEN_SESSIONS */
} AssemblyOptions;

/* Since assembly_new(). */
typedef struct AssemblyCounters {
    int64_t lines, lines_new, lines_duplicate;
    int64_t ip_mismatch; /* lines whose address was not their session's */
    int64_t time_without_offset;
    int64_t sessions_opened, sessions_reopened;
    int64_t sessions_closed, sessions_idle, sessions_eof; /* by ended_reason */
    int64_t sessions_evicted;   /* closed early because LIMIT_OPEN_SESSIONS was reached; also counted as idle */
    int64_t sessions_announced; /* first parts */
    int64_t parts_announced;
    int64_t commands, commands_truncated;
    int64_t artifacts_dropped; /* beyond the list's bounds; counted in the session all the same */
    int64_t places_dropped;    /* addresses in a command beyond EVIDENCE_URLS_MAX */
} AssemblyCounters;

typedef struct Assembly Assembly;

Assembly *assembly_new(const AssemblyOptions *options);
void assembly_free(Assembly *a); /* accepts NULL */
static inline void assembly_freep(Assembly **p)
{
    assembly_free(*p);
}

/* Lines of another source follow: @watermark_us is the newest time of it that was committed, TIME_NONE for none.
 * Sessions stay: the files of a rotated log are one log. */
void assembly_begin_source(Assembly *a, int64_t watermark_us);
int64_t assembly_watermark_us(const Assembly *a); /* TIME_NONE before the first line */

/* True when the session of @event is in memory; else the writer looks whether the database has event->sid. */
bool assembly_knows(const Assembly *a, const CowrieEvent *event);
/* @row as the database has it; copied. Ignored when the session is in memory. A starting process restores all rows
 * that are open or pending: a line for them may never come. */
void assembly_restore(Assembly *a, const SessionRow *row);
/* Text of a command of a restored session, of ordinal row->commands_sent and on, in order: only its size matters, for
 * where an event must be split. */
void assembly_restore_command(Assembly *a, const SessionRow *row, Str text);

/* Where a line belongs: columns of its log row. Valid until assembly_forget_effects(). */
typedef struct AssemblyLine {
    Uuid sid;
    const char *ip; /* the session's address, which may not be the line's */
    Str decky;
    const char *service; /* "ssh" or "telnet" */
    int64_t ordinal;     /* of the command in this line; -1 when there is none or the line is not new */
} AssemblyLine;

/* Apply one line. A line that is not @is_new (its log row exists already) changes no session; it only moves the
 * watermark, so that what a crash interrupted still happens. @event must live until assembly_forget_effects(). */
AssemblyLine assembly_line(Assembly *a, const CowrieEvent *event, bool is_new);

/* End of input: open sessions end, reason "eof", and whatever waits is announced, by end time. At most @max_sessions of
 * them; true while there are more. */
bool assembly_flush(Assembly *a, size_t max_sessions);

const Effects *assembly_effects(Assembly *a);
void assembly_forget_effects(Assembly *a);

AssemblyCounters assembly_counters(const Assembly *a);
size_t assembly_open_sessions(const Assembly *a); /* open, or waiting to be announced */
