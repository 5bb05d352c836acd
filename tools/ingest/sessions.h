/* The sessions in an ingester's memory: found by name, ordered by what is due next and by who spoke last. What becomes
 * of them is decided in assembly.c. */
#pragma once

#include "session.h"
#include "base/table.h"

typedef enum SessionState {
    SESSION_OPEN,
    SESSION_CLOSED, /* waits for late events, then for its announcement */
    SESSION_DONE,   /* leaves memory when its effects are stored */
} SessionState;

typedef struct Session {
    SessionRow row; /* owns its text: session_set_text() */
    SessionState state;
    /* private from here */
    bool dirty, listed_done;
    char *key; /* sensor, NUL, session */
    int64_t due_us;
    size_t heap_index;
    size_t artifact_bytes;
    /* Where the commands not yet announced must be split: ends of full parts, then the part that is being filled. */
    int64_t *part_ends;
    size_t n_part_ends, part_ends_cap;
    int64_t part_commands;
    size_t part_bytes;
    struct Session *prev, *next;
    UT_hash_handle hh;
} Session;

typedef struct SessionList {
    Session **items;
    size_t n, cap;
} SessionList;

typedef struct Sessions {
    Session *by_key;   /* all */
    Session *by_touch; /* open and closed ones, the one whose last line is the longest ago first */
    SessionList heap;  /* the same, the one that is due first on top; ties by sid */
    SessionList dirty; /* rows to be written */
    SessionList done;
} Sessions;

void sessions_free(Sessions *all);                                    /* frees what it holds */
Session *sessions_find(const Sessions *all, Str sensor, Str session); /* NULL: not in memory */
/* A new session in state open, copied from @row; in no order until sessions_set_due(). */
Session *sessions_add(Sessions *all, const SessionRow *row);

void sessions_set_due(Sessions *all, Session *s, int64_t due_us);
Session *sessions_first_due(const Sessions *all, int64_t *ret_due_us); /* NULL when none is open or closed */
Session *sessions_longest_silent(const Sessions *all);                 /* likewise */
/* One pass over all open and closed ones, which sets each due time anew. */
void sessions_set_all_due(Sessions *all, int64_t (*due)(void *arg, Session *s), void *arg);
void sessions_touch(Sessions *all, Session *s);
void sessions_mark_dirty(Sessions *all, Session *s);
/* State done: out of both orders; freed by sessions_settle() unless it is set due again before. */
void sessions_done(Sessions *all, Session *s);
/* The effects are stored: nothing is dirty, done ones are freed. */
void sessions_settle(Sessions *all);

void session_set_text(Str *field, Str value);
/* Adds to the row's list unless it is there; false when the list is full. */
bool session_list_artifact(Session *s, const SessionArtifact *artifact);
bool session_has_key(const Session *s, Str fingerprint);
void session_remember_key(Session *s, Str fingerprint);

/* Decides whether the next command to be announced still fits into the event that is being filled. Call it once for
 * each, in order, before the row's count goes up. */
void session_plan_command(Session *s, Str text);
/* Exclusive ends of the parts to announce, at least one; the plan begins anew. */
int64_t *session_take_parts(Session *s, Arena *arena, size_t *ret_n);
