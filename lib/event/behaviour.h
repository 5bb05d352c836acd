/* The events about behaviour: what a session was seen to do (attacker.observation), what follows from a series of
 * such observations (attribution.profile.*), and the identity that they hang on (identity.formed). As in event.h:
 * pure, and what a decoder returns borrows from the arena and the input. Times of these events are epoch seconds as
 * doubles on the wire and in the structs, except where a name says _us. */
#pragma once

#include "event.h"

/* Which merger judges the values of a primitive. */
typedef enum ValueKind {
    VALUE_KIND_NONE, /* not said */
    VALUE_KIND_CATEGORICAL,
    VALUE_KIND_NUMERIC,
    VALUE_KIND_HASH,
} ValueKind;
const char *value_kind_name(ValueKind kind); /* NULL for VALUE_KIND_NONE */
bool value_kind_parse(Str name, ValueKind *ret);

/* Nearest microsecond, and back. */
int64_t epoch_us_from_s(double seconds);
double epoch_s_from_us(int64_t us);

/* --- attacker.observation --- */
#define OBSERVATION_TS_MAX 253402300799.0 /* its last second is that of year 9999, its first that of 1970 */

typedef struct Observation {
    Uuid attacker_uuid;
    Str primitive;                         /* 1 .. LIMIT_PRIMITIVE_BYTES of [A-Za-z0-9_-] in words joined by dots */
    char attacker_ip[IP_TEXT_BYTES];       /* canonical; "" when absent or no address */
    ValueKind value_kind;                  /* VALUE_KIND_NONE: look the primitive up in the registry */
    bool has_envelope;                     /* false: a hint that something changed; nothing below is there to store */
    Uuid id;                               /* as sent, else observation_row_id() */
    Str evidence_ref;                      /* repaired UTF-8, 1 .. LIMIT_SOURCE_ID_BYTES */
    Str value;                             /* one JSON text, repaired; at most LIMIT_OBSERVATION_VALUE_BYTES */
    double ts;                             /* when it was over: the end of the session */
    double window_start_ts, window_end_ts; /* both ts when absent */
    double confidence;                     /* the sensor's, 0 .. 1; 0 when absent */
    Str source;                            /* name of the extractor, "" when absent; at most LIMIT_NAME_BYTES */
} Observation;

/* Deterministic id of the row (evidence_ref, primitive): contract ingest 7. */
Uuid observation_row_id(Str evidence_ref, Str primitive);
/* EVENT_NO_ANCHOR without attacker_uuid. EVENT_MALFORMED without a usable primitive, when only a part of
 * (evidence_ref, value, ts) is there, when one of these has a wrong type, or when the value holds a number that no
 * double can. EVENT_SCHEMA for an envelope version above 1. EVENT_OVERSIZE for a value or an evidence_ref above its
 * limit; numbers count as jsonb spells them out. Other members that are unusable count as absent. */
EventReject observation_decode(Arena *arena, const JsonView *payload, Observation *ret) must_check;
/* Of an observation with its envelope. */
void observation_encode(const Observation *event, const Uuid *id, Buf *out);
Uuid observation_id(const Observation *event);
/* "attacker.observation.<primitive>": the header decnet-topic. */
Str observation_reference_topic(Arena *arena, Str primitive);

/* --- attribution.profile.state_changed --- */
typedef struct StateChanged {
    Uuid identity_uuid;
    Str primitive;
    Str old_state; /* absent: the first one */
    Str new_state;
    Str current_value;  /* JSON text */
    Str previous_value; /* JSON text; absent like old_state */
    double confidence;
    int64_t observation_count;
    double ts; /* of the newest observation */
} StateChanged;

void state_changed_encode(const StateChanged *event, const Uuid *id, Buf *out);
Uuid state_changed_id(const StateChanged *event);

/* --- attribution.profile.multi_actor_suspected --- */
typedef struct MultiActorSuspected {
    Uuid identity_uuid;
    const Str *primitives; /* sorted byte by byte, no duplicates */
    size_t n_primitives;
    Str evidence_summary;
    double confidence;
    int64_t distinct_sessions;
    double ts;
} MultiActorSuspected;

void multi_actor_suspected_encode(const MultiActorSuspected *event, const Uuid *id, Buf *out);
/* Identity and primitives alone: the same set is the same suspicion (contract events 7.4). */
Uuid multi_actor_suspected_id(const MultiActorSuspected *event);

/* --- identity.formed --- */
typedef struct IdentityFormed {
    Uuid identity_uuid;
    const Uuid *
        observation_uuids; /* attackers that were linked to it, in any order; the caller keeps the payload within LIMIT_EVENT_BYTES (39 bytes each) */
    size_t n_observation_uuids;
    int64_t seq; /* of the database: total order over all events of identities */
    int64_t ts_us;
} IdentityFormed;

void identity_formed_encode(const IdentityFormed *event, const Uuid *id, Buf *out);
Uuid identity_formed_id(const IdentityFormed *event);
