/* ttp.tagged and ttp.rule.fired: the new tags of one source event, as a whole and per technique. */
#include "event.h"

#include <string.h>

#include "payload.h"

static const Str tagged_name = {"ttp.tagged", sizeof("ttp.tagged") - 1};
static const Str fired_name = {"ttp.rule.fired", sizeof("ttp.rule.fired") - 1};

static int uuid_cmp_qsort(const void *a, const void *b)
{
    return uuid_cmp(a, b);
}

/* The tags' uuids in order, joined with ','. */
static void sorted_uuids(const EventTag *tags, size_t n, Buf *out)
{
    cleanup(freep) Uuid *uuids = calloc(n ? n : 1, sizeof(*uuids));
    char text[UUID_TEXT_BYTES];

    if (!uuids)
        abort();
    for (size_t i = 0; i < n; i++)
        uuids[i] = tags[i].uuid;
    qsort(uuids, n, sizeof(*uuids), uuid_cmp_qsort);
    buf_reserve(out, n * UUID_TEXT_BYTES);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add_char(out, ',');
        uuid_format(text, &uuids[i]);
        buf_add(out, text);
    }
}

Uuid ttp_tagged_id(const EventTag *tags, size_t n)
{
    cleanup(buf_free) Buf uuids = {0};

    sorted_uuids(tags, n, &uuids);
    return event_id(tagged_name, (Str[]){buf_str(&uuids)}, 1);
}

Uuid ttp_rule_fired_id(Str technique_id, const EventTag *tags, size_t n)
{
    cleanup(buf_free) Buf uuids = {0};

    sorted_uuids(tags, n, &uuids);
    return event_id(fired_name, (Str[]){technique_id, buf_str(&uuids)}, 2);
}

/* Stamping identities is no part of tagging, so identity_uuid is there for readers of the contract and always null. */
static void put_anchors(JsonWriter *w, const TagEvent *e)
{
    payload_put_uuid(w, "attacker_uuid", e->has_attacker_uuid ? &e->attacker_uuid : NULL);
    payload_put_uuid(w, "identity_uuid", NULL);
    json_put_str(w, "session_id", e->session_id);
}

static void put_tag_uuids(JsonWriter *w, const TagEvent *e)
{
    json_key(w, "tag_uuids");
    json_begin_array(w);
    for (size_t i = 0; i < e->n_tags; i++) {
        char text[UUID_TEXT_BYTES];
        uuid_format(text, &e->tags[i].uuid);
        json_value_str(w, str_from(text));
    }
    json_end_array(w);
}

static void put_tag(JsonWriter *w, const EventTag *tag)
{
    json_begin_object(w);
    payload_put_uuid(w, "tag_uuid", &tag->uuid);
    json_put_str(w, "rule_id", tag->rule_id);
    json_put_str(w, "tactic", tag->tactic);
    json_put_str(w, "technique_id", tag->technique_id);
    payload_put_optional(w, "sub_technique_id", tag->sub_technique_id);
    json_put_double(w, "confidence", tag->confidence);
    json_end_object(w);
}

void event_tag_encode(const EventTag *tag, Buf *out)
{
    put_tag(&(JsonWriter){.buf = out}, tag);
}

static void put_tags(JsonWriter *w, const TagEvent *e)
{
    json_key(w, "tags");
    json_begin_array(w);
    for (size_t i = 0; i < e->n_tags; i++)
        if (e->tags[i].json.data)
            json_value_raw(w, e->tags[i].json);
        else
            put_tag(w, &e->tags[i]);
    json_end_array(w);
}

static int str_cmp_qsort(const void *a, const void *b)
{
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

static void put_techniques_added(JsonWriter *w, const TagEvent *e)
{
    cleanup(freep) Str *ids = calloc(e->n_tags ? e->n_tags : 1, sizeof(*ids));

    if (!ids)
        abort();
    for (size_t i = 0; i < e->n_tags; i++)
        ids[i] = e->tags[i].technique_id;
    qsort(ids, e->n_tags, sizeof(*ids), str_cmp_qsort);
    json_key(w, "techniques_added");
    json_begin_array(w);
    for (size_t i = 0; i < e->n_tags; i++)
        if (i == 0 || !str_eq(ids[i], ids[i - 1]))
            json_value_str(w, ids[i]);
    json_end_array(w);
}

void ttp_tagged_encode(const TagEvent *e, const Uuid *id, Buf *out)
{
    JsonWriter w = {.buf = out};

    payload_begin(&w, id, e->occurred_at_us);
    put_anchors(&w, e);
    put_tag_uuids(&w, e);
    put_techniques_added(&w, e);
    put_tags(&w, e);
    json_end_object(&w);
}

void ttp_rule_fired_encode(const TagEvent *e, Str technique_id, const Uuid *id, Buf *out)
{
    JsonWriter w = {.buf = out};

    payload_begin(&w, id, e->occurred_at_us);
    json_put_str(&w, "technique_id", technique_id);
    put_anchors(&w, e);
    put_tag_uuids(&w, e);
    put_tags(&w, e);
    json_end_object(&w);
}
