/* The events of the bus as C structs. Pure: bytes in, struct out, and back. Decoders accept what the contract allows
 * and refuse the rest with a reason; whatever they return borrows from the arena and the input, which must live as
 * long. Text is as the producer sent it (may hold NUL or invalid UTF-8): repair it before storing. */
#pragma once

#include "base/json_view.h"
#include "base/time.h"
#include "base/uuid.h"
#include "event/intel_facts.h"

/* --- envelope: what travels beside the payload --- */
typedef NameValue EventHeader;

typedef struct EventEnvelope {
    Uuid event_id;
    Str type;               /* Kafka topic without prefix */
    int64_t occurred_at_us; /* payload `occurred_at`, else the record's timestamp */
    int schema_major;       /* 1 */
} EventEnvelope;

/* Why a payload was refused. The text of event_reject_name() is the dead letter's reason. */
typedef enum EventReject {
    EVENT_OK = 0,
    EVENT_MALFORMED, /* not a JSON object, a required key is missing or of a wrong type */
    EVENT_SCHEMA,    /* schema version newer than ours */
    EVENT_OVERSIZE,  /* above LIMIT_EVENT_READ_BYTES */
    EVENT_NO_ANCHOR, /* no attacker address and no attacker uuid */
} EventReject;
const char *event_reject_name(EventReject reject); /* "malformed" "schema" "oversize" "no_anchor" */

/* The JSON object of a record's value, as json_view() makes it: EVENT_OVERSIZE, EVENT_MALFORMED or EVENT_OK. *ret_payload
 * is NULL on failure. */
EventReject event_payload_parse(Arena *views, Arena *texts, Str value, const JsonView **ret_payload) must_check;

/* Envelope of a record: headers first, then the payload's own event_id and schema_version, then derived from the
 * coordinates ("<type>|<partition>|<offset>"). What a header or member holds in a wrong form counts as absent, except
 * a schema version, which is refused. @payload may be NULL. *ret borrows from headers and @type, and is filled in any
 * case: what is refused has an id as well. */
EventReject event_envelope(const EventHeader *headers, size_t n_headers, const JsonView *payload, Str type,
                           int32_t partition, int64_t offset, int64_t timestamp_us, EventEnvelope *ret) must_check;

/* Event ids of contract events 7.4: UUIDv5(NS_EVENT, type|part|part…), of at most so many parts. */
enum { EVENT_ID_PARTS_MAX = 8 };
Uuid event_id(Str type, const Str *parts, size_t n_parts);

/* --- attacker.session.ended --- */
typedef struct EventCommand {
    Str text;                /* as sent, not yet cut */
    Str source_id;           /* element id, else "<session source id>#cmd<index>"; absent when neither is known yet */
    size_t index;            /* in the producer's array, skipped elements counted: event_command_source_id() */
    int64_t ts_us;           /* TIME_NONE when absent */
    Str decky_id;            /* the element's own, else the session's; absent when neither */
    Str uid, user, src, pwd; /* absent when not strings */
    bool errored;
} EventCommand;

typedef struct EventArtifact {
    Str sha256, url, orig_path; /* url and orig_path may be absent */
} EventArtifact;

typedef struct SessionEnded {
    Str session_id; /* a number becomes its text; absent when null */
    Str source_id;  /* first id that the payload carries (contract ttp 1.4); absent: the attacker's uuid, once known */
    Uuid attacker_uuid;
    bool has_attacker_uuid;
    char attacker_ip[IP_TEXT_BYTES]; /* canonical; "" when absent or no address */
    Str decky_id, service;
    int64_t started_at_us, ended_at_us; /* TIME_NONE when absent */
    double duration_s;
    EventCommand *commands; /* at most LIMIT_EVENT_COMMANDS; n_commands_seen counts all usable ones, empty ones too */
    size_t n_commands, n_commands_seen;
    Str shard_path;
    int part, parts; /* 1 and 1 unless split; parts 0: not known yet (a later part may follow) */
    /* extras of our own ingest, optional for readers */
    Str schema, protocol, ended_reason, login_username, login_outcome, client_version, client_hassh;
    int64_t login_attempts, login_at_us, src_port, request_count; /* -1 or TIME_NONE when absent */
    EventArtifact *artifacts;
    size_t n_artifacts;
} SessionEnded;

/* *ret borrows from @arena, the value and the arena of its texts: the views may go. */
EventReject session_ended_decode(Arena *arena, const JsonView *payload, SessionEnded *ret) must_check;
/* Appends the payload as JSON with its id, time and version. The caller keeps it within LIMIT_EVENT_BYTES by giving
 * few enough commands: session_command_json_bytes() tells what one adds at the most. */
void session_ended_encode(const SessionEnded *event, const Uuid *id, Buf *out);
size_t session_command_json_bytes(const EventCommand *command);
/* "<source>#cmd<index>": the source id of a command that has none of its own. */
Str event_command_source_id(Arena *arena, Str source, size_t index);
/* Id of part @part of a session: parts from the second on enter the id. */
Uuid session_ended_id(Str session_id, int part);

/* --- attacker.intel.enriched ---
 * Lists may come as arrays or as JSON text of an array; anything else is an empty list. The older member names
 * `categories`, `malware_family` and `threat_type` are read where the newer ones are missing. An event that names only
 * the address leaves attacker_uuid zero. */
EventReject intel_enriched_decode(Arena *arena, const JsonView *payload, IntelFacts *ret) must_check;
void intel_enriched_encode(const IntelFacts *facts, const Uuid *id, Buf *out);
Uuid intel_enriched_id(const Uuid *attacker, int64_t cached_at_us);

/* --- attacker.observed --- */
typedef struct AttackerObserved {
    char attacker_ip[IP_TEXT_BYTES];
    Uuid attacker_uuid;
    bool has_attacker_uuid;
    Str decky, service, event_type;
    int64_t first_seen_us;
} AttackerObserved;

EventReject attacker_observed_decode(Arena *arena, const JsonView *payload, AttackerObserved *ret) must_check;
void attacker_observed_encode(const AttackerObserved *event, const Uuid *id, Buf *out);
Uuid attacker_observed_id(const char *ip, int64_t first_seen_us);

/* --- credential.captured (never a principal, never a secret) --- */
typedef struct CredentialCaptured {
    const char *attacker_ip;
    Uuid attacker_uuid;
    Str secret_sha256, secret_kind, decky, service, outcome;
    Str principal; /* enters the id only */
    int64_t attempt_count, occurred_at_us;
} CredentialCaptured;

Uuid credential_captured_id(const CredentialCaptured *event);
void credential_captured_encode(const CredentialCaptured *event, const Uuid *id, Buf *out);

/* --- ttp.tagged and ttp.rule.fired --- */
typedef struct EventTag {
    Uuid uuid;
    Str rule_id, tactic, technique_id, sub_technique_id; /* sub absent when none */
    double confidence;
    Str json; /* what event_tag_encode() wrote, for a tag that goes into several events; else absent */
} EventTag;

typedef struct TagEvent {
    Uuid attacker_uuid;
    bool has_attacker_uuid;
    Str session_id; /* absent for intel tags */
    int64_t occurred_at_us;
    const EventTag *tags; /* at most LIMIT_EVENT_TAGS */
    size_t n_tags;
} TagEvent;

/* Appends the object that stands for the tag among an event's `tags`. */
void event_tag_encode(const EventTag *tag, Buf *out);
Uuid ttp_tagged_id(const EventTag *tags, size_t n);
void ttp_tagged_encode(const TagEvent *event, const Uuid *id, Buf *out);
Uuid ttp_rule_fired_id(Str technique_id, const EventTag *tags, size_t n);
/* All @event->tags are of @technique_id. */
void ttp_rule_fired_encode(const TagEvent *event, Str technique_id, const Uuid *id, Buf *out);
