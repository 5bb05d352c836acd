/* UUIDs: deterministic ones (version 5, through libuuid) are what makes replays idempotent. */
#pragma once

#include "text.h"

#define UUID_TEXT_BYTES 37

typedef struct Uuid {
    uint8_t b[16];
} Uuid;

/* Namespaces of the event contract; each is UUIDv5(URL namespace, "decnet:<name>:v1"). */
extern const Uuid UUID_NS_EVENT, UUID_NS_SESSION, UUID_NS_LOG, UUID_NS_ATTACKER, UUID_NS_TTP_TAG, UUID_NS_OBSERVATION,
    UUID_NS_IDENTITY;

Uuid uuid_v5(const Uuid *ns, Str name);
/* UUIDv5 of the @n parts joined with '|'. */
Uuid uuid_v5_joined(const Uuid *ns, const Str *parts, size_t n);
/* UUIDv5 of the text of @of. */
Uuid uuid_v5_of(const Uuid *ns, const Uuid *of);
void uuid_format(char out[UUID_TEXT_BYTES], const Uuid *u); /* lower case, dashed */
/* Dashed or 32 hex digits, any case. */
bool uuid_parse_text(Str text, Uuid *ret);
int uuid_cmp(const Uuid *a, const Uuid *b);
bool uuid_is_zero(const Uuid *u);
Uuid uuid_random(void);
