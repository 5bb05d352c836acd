/* credential.captured: a secret was tried. Its hash travels, the secret and the user name never do. */
#include "event.h"

#include <stdio.h>

#include "payload.h"

static const Str type_name = {"credential.captured", sizeof("credential.captured") - 1};

Uuid credential_captured_id(const CredentialCaptured *e)
{
    char count_text[24];

    snprintf(count_text, sizeof(count_text), "%lld", (long long)e->attempt_count);
    Str parts[] = {str_from(e->attacker_ip), e->decky,    e->service, e->secret_kind, e->secret_sha256,
                   str_from(count_text),     e->principal};
    return event_id(type_name, parts, ARRAY_SIZE(parts));
}

void credential_captured_encode(const CredentialCaptured *e, const Uuid *id, Buf *out)
{
    JsonWriter w = {.buf = out};

    payload_begin(&w, id, e->occurred_at_us);
    json_put_str(&w, "secret_sha256", e->secret_sha256);
    json_put_str(&w, "secret_kind", e->secret_kind);
    json_put_cstr(&w, "attacker_ip", e->attacker_ip);
    payload_put_uuid(&w, "attacker_uuid", &e->attacker_uuid);
    json_put_str(&w, "decky", e->decky);
    json_put_str(&w, "service", e->service);
    json_put_str(&w, "outcome", e->outcome);
    json_put_int(&w, "attempt_count", e->attempt_count);
    json_end_object(&w);
}
