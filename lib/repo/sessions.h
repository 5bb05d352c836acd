/* attacker_session and session_command: sessions as the ingester assembles them. The ingester holds the whole row in
 * memory while a session is open and writes it back as a whole. */
#pragma once

#include "repo.h"

typedef struct StoredSession {
    Uuid sid, attacker_uuid;
    Str src_ip;
    int64_t src_port; /* -1: unknown */
    Str decky, service, origin, origin_session;
    int64_t started_at_us, last_event_at_us, ended_at_us; /* ended TIME_NONE: open */
    Str ended_reason;                                     /* absent while open */
    double duration_s;                                    /* meaningful when ended */
    Str username;
    bool login_ok;
    int64_t login_attempts;
    Str client_version, hassh;
    int64_t commands, artifacts, forwards;
    int64_t parts_sent, commands_sent;
    Str shard_path;
    Str state;    /* JSON object of the ingester */
    bool pending; /* open, or closed and not announced yet */
    Str source_id;
} StoredSession;

/* Rows of the given ids that exist, in no order; text in @arena. */
int sessions_read(Repo *repo, Arena *arena, const Uuid *sids, size_t n, StoredSession **ret_rows,
                  size_t *ret_n) must_check;
/* Rows that are pending for @source_id. */
int sessions_pending(Repo *repo, Arena *arena, Str source_id, StoredSession **ret_rows, size_t *ret_n) must_check;
int sessions_upsert(Repo *repo, const StoredSession *rows, size_t n) must_check;

/* A place in the order of ends. {since, zero} is before the first session that ended at @since. */
typedef struct SessionPlace {
    int64_t ended_at_us;
    Uuid sid;
} SessionPlace;
/* The next @limit sessions behind @after that ended before @until_us (TIME_NONE: no end) and of which all parts were
 * announced: by (ended_at, sid). */
int sessions_announced(Repo *repo, Arena *arena, const SessionPlace *after, int64_t until_us, int64_t limit,
                       StoredSession **ret_rows, size_t *ret_n) must_check;

/* Tells one state of a row from another: every line of a session changes it. */
typedef struct SessionMark {
    Uuid sid;
    int64_t last_event_us, ended_us;
    int64_t steps; /* sum of its counts, which only grow */
} SessionMark;
SessionMark session_mark(const StoredSession *row);
/* REPO_E_FENCED when a row exists and is not as its mark says: another ingester wrote it. Rows that are gone (their
 * attacker was deleted) are fine. After logs_lock_and_compare() in the same transaction, which keeps others out. */
int sessions_check(Repo *repo, const SessionMark *marks, size_t n) must_check;

typedef struct StoredCommand {
    Uuid sid;
    int64_t ordinal, ts_us;
    Str command;
    bool truncated, errored;
    Uuid source_event_id;
} StoredCommand;
int session_commands_insert(Repo *repo, const StoredCommand *rows, size_t n) must_check;

/* "This command failed": the newest one that contains @command among ordinals [from, to). */
typedef struct CommandFailed {
    Uuid sid;
    Str command;
    int64_t from, to;
} CommandFailed;
int session_commands_failed(Repo *repo, const CommandFailed *rows, size_t n) must_check;

/* Commands [from, to) of a session in order, at most @limit. */
int session_commands_read(Repo *repo, Arena *arena, const Uuid *sid, int64_t from, int64_t to, int64_t limit,
                          StoredCommand **ret_rows, size_t *ret_n) must_check;
