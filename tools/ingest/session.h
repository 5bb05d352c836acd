/* One session as the table attacker_session holds it, and the event that it becomes. Pure. */
#pragma once

#include "cowrie.h"
#include "event/event.h"

typedef struct SessionArtifact {
    char sha256[65];
    Str url, orig_path; /* absent when not known */
} SessionArtifact;

/* A row of attacker_session. What has no column of its own there travels in the column `state`, a JSON object that
 * session_state_encode() writes: without it an ingester that was killed would not announce what it would have. */
typedef struct SessionRow {
    Uuid sid;
    char src_ip[IP_TEXT_BYTES];
    int64_t src_port;    /* -1: not known */
    Str sensor, session; /* columns origin, origin_session */
    Str decky;
    const char *service; /* "ssh" or "telnet" */
    int64_t started_at_us, last_event_at_us;
    int64_t ended_at_us;      /* TIME_NONE while open */
    const char *ended_reason; /* "closed", "idle", "eof"; NULL while open */
    double duration_s;        /* -1 while open */
    Str username;             /* of the first login that succeeded, absent before */
    bool login_ok;
    int64_t login_attempts;
    Str client_version, hassh;             /* absent when not known */
    int64_t commands, artifacts, forwards; /* counts */
    int64_t parts_sent, commands_sent;     /* what was announced already */
    Str shard_path;                        /* absent when not known */

    /* in `state` */
    bool pending;        /* something happened that deserves an announcement and has none yet */
    int64_t login_at_us; /* of the first success, else of the latest attempt; TIME_NONE before any */
    int64_t tty_bytes;
    Str sensor_address;                   /* where the attacker connected to; absent when not known */
    const SessionArtifact *artifact_list; /* distinct ones, at most LIMIT_SESSION_ARTIFACTS */
    size_t n_artifact_list;
    const Str *keys; /* fingerprints of offered public keys, at most LIMIT_SESSION_KEYS */
    size_t n_keys;
} SessionRow;

/* "closed", "idle" or "eof" as the constant that ended_reason holds; NULL for anything else. */
const char *session_reason_constant(Str reason);
/* "ssh" or "telnet" likewise; "ssh" for anything else. */
const char *session_service_constant(Str service);

Str session_state_encode(Arena *arena, const SessionRow *row);
/* Fills the members listed under `state`, from the arena; false when @json is not such an object (they are then as in
 * a session that just began). */
bool session_state_decode(Arena *arena, Str json, SessionRow *ret);

/* A copy whose text is in @arena. */
SessionRow session_row_dup(Arena *arena, const SessionRow *row);

/* attacker.session.ended of @row, without its commands, part 1 of 1. Borrows from @row; artifacts from @arena. */
void session_row_event(Arena *arena, const SessionRow *row, const Uuid *attacker_uuid, SessionEnded *ret);
/* One command of it, with the id "<sid>#<ordinal>". */
EventCommand session_row_command(Arena *arena, const SessionRow *row, int64_t ordinal, int64_t time_us, Str text,
                                 bool errored);
