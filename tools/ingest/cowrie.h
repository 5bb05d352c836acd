/* One line of a Cowrie JSON log (any version since 2017) → what it means to us. Pure: no session state, no I/O.
 * Everything that the result points to is in the arena or static; text is repaired (invalid UTF-8 and NUL became
 * U+FFFD) and clipped to the limits of base/limits.h, so it can be stored as it is. */
#pragma once

#include "base/json.h"
#include "base/time.h"
#include "base/uuid.h"

/* Why a line is no event. Such lines are skipped and counted, the position moves on. */
typedef enum CowrieReject {
    COWRIE_OK,
    COWRIE_TOO_LONG, /* above LIMIT_LINE_BYTES */
    COWRIE_NOT_JSON, /* not one JSON object */
    COWRIE_NO_EVENTID,
    COWRIE_NO_SESSION, /* operational events have none */
    COWRIE_BAD_TIME,
    COWRIE_NO_ADDRESS, /* src_ip is missing or no address */
    COWRIE_REJECTS
} CowrieReject;
const char *cowrie_reject_name(CowrieReject reject); /* "too_long", "not_json", …: metrics label */

/* Cowrie from 3.0.5 on writes user names and passwords escaped (\xNN, \\). The log does not say so: AUTO takes it as
 * escaped when the login event carries src_port, which came with 3.0.6. */
typedef enum CowrieEscapes { COWRIE_ESCAPES_AUTO, COWRIE_ESCAPES_YES, COWRIE_ESCAPES_NO } CowrieEscapes;

typedef struct CowrieDeckyName {
    Str sensor, decky;
} CowrieDeckyName;

typedef struct CowrieOptions {
    CowrieEscapes escapes;
    const CowrieDeckyName *decky_map; /* first match wins; other sensors get a name derived from theirs */
    size_t n_decky_map;
} CowrieOptions;

/* What a line does to its session; an event of any kind touches attacker and session. */
typedef enum CowrieKind {
    COWRIE_CONNECT,
    COWRIE_CLOSED,
    COWRIE_VERSION,        /* client_version; hassh too when old versions list the algorithms here */
    COWRIE_KEX,            /* hassh */
    COWRIE_KEY_OFFERED,    /* credential, outcome observed */
    COWRIE_LOGIN,          /* login_ok, principal; credential unless the login needed none */
    COWRIE_COMMAND,        /* command, not blank */
    COWRIE_COMMAND_FAILED, /* command: (part of) a line that came before */
    COWRIE_FILE,           /* file, with sha256 */
    COWRIE_FETCH_FAILED,   /* file.url only */
    COWRIE_FORWARD,
    COWRIE_FORWARD_FINGERPRINT, /* fingerprint_type, fingerprint: of the tunnelled client, never of the attacker */
    COWRIE_TTY_LOG,             /* tty_log, tty_bytes */
    COWRIE_OTHER
} CowrieKind;

typedef enum CredentialOutcome { OUTCOME_OBSERVED, OUTCOME_FAILURE, OUTCOME_SUCCESS } CredentialOutcome; /* rising */
const char *credential_outcome_name(CredentialOutcome outcome);

typedef struct CowrieCredential {
    bool present;
    const char *kind;   /* "plaintext" or "ssh_publickey" */
    char sha256[65];    /* of the secret's original bytes */
    Str b64, printable; /* clipped */
    Str principal;      /* absent when empty */
    CredentialOutcome outcome;
    Str key_fingerprint; /* of a key as the log writes it, else absent */
    Str key_type;
} CowrieCredential;

typedef struct CowrieFile {
    char sha256[65];               /* "" when nothing was stored */
    Str stored_as, orig_path, url; /* absent when not known */
    bool upload;
} CowrieFile;

typedef struct CowrieEvent {
    CowrieKind kind;
    Uuid log_id; /* UUIDv5 of the line without its end */
    Uuid sid;    /* of this line's own sensor, address and session; the session's is decided by the assembly */
    int64_t time_us;
    bool time_without_offset;
    Str sensor, session; /* what names a session; sensor "" when absent */
    char ip[IP_TEXT_BYTES];
    Str decky;
    Str protocol;             /* "ssh" or "telnet" when the line says so, else absent */
    const char *service_hint; /* what to take when neither line nor session say: from `system`, port, or "ssh" */
    Str event_type;
    Str fields; /* logs.fields: a JSON object of strings, without sid and cmd_id: cowrie_fields() */
    bool fields_want_sid;
    Str msg; /* absent unless `message` is text */
    Str raw_line;

    int64_t src_port;   /* of the connection; -1 when the line does not say */
    Str sensor_address; /* dst_ip of a connect, absent elsewhere */
    double duration_s;  /* of a close; -1 when the line does not say */
    Str client_version;
    Str hassh, hassh_algorithms;
    bool login_ok;
    Str principal; /* user name of a login, absent when empty */
    CowrieCredential credential;
    Str command;
    bool command_truncated;
    CowrieFile file;
    Str fingerprint_type, fingerprint;
    Str tty_log;
    int64_t tty_bytes; /* 0 when unknown */
} CowrieEvent;

/* @line may end in \n or \r\n. *ret is filled only for COWRIE_OK. */
CowrieReject cowrie_parse(Arena *arena, const CowrieOptions *options, Str line, CowrieEvent *ret) must_check;

/* Id of the session that a line belongs to when nothing else is known of it. */
Uuid cowrie_session_id(Str sensor, const char *ip, Str session);

/* logs.fields of @event, now that its session is known: with `sid` where the contract has it, and `cmd_id` when
 * @ordinal is not negative. */
Str cowrie_fields(Arena *arena, const CowrieEvent *event, const Uuid *sid, int64_t ordinal);

/* The decky name of a sensor: the map's, else lower case with everything outside [a-z0-9-] as '-', leading '-'
 * stripped, 63 characters at the most, "unknown" when nothing is left. */
Str cowrie_decky_name(Arena *arena, const CowrieOptions *options, Str sensor);
