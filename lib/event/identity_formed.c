/* identity.formed: a new identity, and the attackers that were linked to it. */
#include "behaviour.h"

#include <stdio.h>

#include "payload.h"

static const Str type_name = {"identity.formed", sizeof("identity.formed") - 1};

static int uuid_cmp_qsort(const void *a, const void *b)
{
    return uuid_cmp(a, b);
}

/* A copy in order, so that neither id nor payload depends on who came first. The caller frees. */
static Uuid *sorted_members(const IdentityFormed *e)
{
    Uuid *uuids = calloc(e->n_observation_uuids ? e->n_observation_uuids : 1, sizeof(*uuids));

    if (!uuids)
        abort();
    for (size_t i = 0; i < e->n_observation_uuids; i++)
        uuids[i] = e->observation_uuids[i];
    qsort(uuids, e->n_observation_uuids, sizeof(*uuids), uuid_cmp_qsort);
    return uuids;
}

Uuid identity_formed_id(const IdentityFormed *e)
{
    cleanup(freep) Uuid *uuids = sorted_members(e);
    cleanup(buf_free) Buf members = {0};
    char text[UUID_TEXT_BYTES], identity[UUID_TEXT_BYTES], seq[24];

    for (size_t i = 0; i < e->n_observation_uuids; i++) {
        uuid_format(text, &uuids[i]);
        buf_printf(&members, "%s%s", i ? "," : "", text);
    }
    uuid_format(identity, &e->identity_uuid);
    snprintf(seq, sizeof(seq), "%lld", (long long)e->seq);
    return event_id(type_name, (Str[]){str_from(identity), buf_str(&members), str_from(seq)}, 3);
}

void identity_formed_encode(const IdentityFormed *e, const Uuid *id, Buf *out)
{
    cleanup(freep) Uuid *uuids = sorted_members(e);
    JsonWriter w = {.buf = out};
    char text[UUID_TEXT_BYTES];

    payload_begin(&w, id, e->ts_us);
    payload_put_uuid(&w, "identity_uuid", &e->identity_uuid);
    json_key(&w, "observation_uuids");
    json_begin_array(&w);
    for (size_t i = 0; i < e->n_observation_uuids; i++) {
        uuid_format(text, &uuids[i]);
        json_value_str(&w, str_from(text));
    }
    json_end_array(&w);
    json_put_int(&w, "seq", e->seq);
    json_put_time(&w, "ts", e->ts_us);
    json_end_object(&w);
}
