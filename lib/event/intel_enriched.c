/* attacker.intel.enriched: what the providers say of one attacker, merged over all of them. */
#include "event.h"

#include "payload.h"

static const Str type_name = {"attacker.intel.enriched", sizeof("attacker.intel.enriched") - 1};

/* The value under the first of @keys (ended by NULL) that is present and no null; JSON text of an array is one. */
static const JsonView *list_of(Arena *arena, const JsonView *payload, const char *const *keys)
{
    const JsonView *value = NULL;

    for (; *keys && !value; keys++)
        value = view_member(payload, *keys);
    Str text = text_trim(view_str(value));
    return text.len && text.data[0] == '[' ? json_view(arena, arena, text) : value;
}

/* A bare word is a list of one. */
static StrList str_list(Arena *arena, const JsonView *payload, const char *const *keys)
{
    const JsonView *list = list_of(arena, payload, keys);
    Str *items = arena_calloc(arena, view_count(list) + 1, sizeof(*items)), word = view_str(list);
    size_t n = 0;

    if (text_trim(word).len)
        items[n++] = word;
    else if (view_is(list, json_type_array))
        view_each (item, list)
            if (view_str(item).len)
                items[n++] = view_str(item);
    return (StrList){items, n};
}

static IntList int_list(Arena *arena, const JsonView *payload, const char *const *keys)
{
    const JsonView *list = list_of(arena, payload, keys);
    int64_t *items = arena_calloc(arena, view_count(list), sizeof(*items));
    size_t n = 0;

    if (view_is(list, json_type_array))
        view_each (item, list)
            n += view_int(item, &items[n]);
    return (IntList){items, n};
}

static Tristate tristate(const JsonView *payload, const char *key)
{
    bool v;
    return !view_get_bool(payload, key, &v) ? TRI_UNKNOWN : v ? TRI_YES : TRI_NO;
}

static Str non_empty(Str s)
{
    return s.len ? s : (Str){0};
}

static void decode_lists(Arena *arena, const JsonView *payload, IntelFacts *f)
{
    static const char *const categories[] = {"abuseipdb_categories", "categories", NULL};
    static const char *const tags[] = {"greynoise_tags", NULL};
    static const char *const threat_types[] = {"threatfox_threat_types", "threat_type", NULL};
    static const char *const ioc_types[] = {"threatfox_ioc_types", NULL};
    static const char *const families[] = {"threatfox_malware_families", NULL};

    f->abuseipdb_categories = int_list(arena, payload, categories);
    f->greynoise_tags = str_list(arena, payload, tags);
    f->threatfox_threat_types = str_list(arena, payload, threat_types);
    f->threatfox_ioc_types = str_list(arena, payload, ioc_types);
    f->threatfox_malware_families = str_list(arena, payload, families);
}

EventReject intel_enriched_decode(Arena *arena, const JsonView *payload, IntelFacts *ret)
{
    IntelFacts f = {0};
    char ip[IP_TEXT_BYTES];

    if (!view_is(payload, json_type_object))
        return EVENT_MALFORMED;
    payload_ip(payload, "attacker_ip", ip);
    bool has_uuid = payload_uuid(payload, "attacker_uuid", &f.attacker_uuid);
    if (!has_uuid && !ip[0])
        return EVENT_NO_ANCHOR;
    if (ip[0])
        f.attacker_ip = str_dup(arena, str_from(ip));
    f.aggregate_verdict = non_empty(view_get_str(payload, "aggregate_verdict"));
    f.has_abuseipdb_score = view_get_double(payload, "abuseipdb_score", &f.abuseipdb_score);
    f.abuseipdb_score = MIN(MAX(f.abuseipdb_score, 0.0), 100.0);
    f.greynoise_classification = non_empty(view_get_str(payload, "greynoise_classification"));
    f.greynoise_name = non_empty(view_get_str(payload, "greynoise_name"));
    f.feodo_listed = tristate(payload, "feodo_listed");
    f.feodo_malware_family = non_empty(view_get_str(payload, "feodo_malware_family"));
    if (!f.feodo_malware_family.data)
        f.feodo_malware_family = non_empty(view_get_str(payload, "malware_family"));
    f.threatfox_listed = tristate(payload, "threatfox_listed");
    f.cached_at_us = payload_time(payload, "cached_at");
    decode_lists(arena, payload, &f);
    *ret = f;
    return EVENT_OK;
}

static void put_str_list(JsonWriter *w, const char *key, StrList list)
{
    json_key(w, key);
    json_begin_array(w);
    for (size_t i = 0; i < list.n; i++)
        json_value_str(w, list.items[i]);
    json_end_array(w);
}

static void put_int_list(JsonWriter *w, const char *key, IntList list)
{
    json_key(w, key);
    json_begin_array(w);
    for (size_t i = 0; i < list.n; i++)
        json_value_int(w, list.items[i]);
    json_end_array(w);
}

static void put_tristate(JsonWriter *w, const char *key, Tristate v)
{
    json_key(w, key);
    if (v == TRI_UNKNOWN)
        json_value_null(w);
    else
        json_value_bool(w, v == TRI_YES);
}

/* The providers' score is a whole number on the wire. */
static void put_score(JsonWriter *w, const IntelFacts *f)
{
    json_key(w, "abuseipdb_score");
    if (!f->has_abuseipdb_score)
        json_value_null(w);
    else if (f->abuseipdb_score == (double)(int64_t)f->abuseipdb_score)
        json_value_int(w, (int64_t)f->abuseipdb_score);
    else
        json_value_double(w, f->abuseipdb_score);
}

void intel_enriched_encode(const IntelFacts *f, const Uuid *id, Buf *out)
{
    JsonWriter w = {.buf = out};

    payload_begin(&w, id, f->cached_at_us);
    payload_put_uuid(&w, "attacker_uuid", uuid_is_zero(&f->attacker_uuid) ? NULL : &f->attacker_uuid);
    json_put_str(&w, "attacker_ip", f->attacker_ip);
    json_put_str(&w, "aggregate_verdict", f->aggregate_verdict);
    put_score(&w, f);
    put_int_list(&w, "abuseipdb_categories", f->abuseipdb_categories);
    json_put_str(&w, "greynoise_classification", f->greynoise_classification);
    json_put_str(&w, "greynoise_name", f->greynoise_name);
    put_str_list(&w, "greynoise_tags", f->greynoise_tags);
    put_tristate(&w, "feodo_listed", f->feodo_listed);
    json_put_str(&w, "feodo_malware_family", f->feodo_malware_family);
    put_tristate(&w, "threatfox_listed", f->threatfox_listed);
    put_str_list(&w, "threatfox_threat_types", f->threatfox_threat_types);
    put_str_list(&w, "threatfox_ioc_types", f->threatfox_ioc_types);
    put_str_list(&w, "threatfox_malware_families", f->threatfox_malware_families);
    json_put_time(&w, "cached_at", f->cached_at_us);
    json_end_object(&w);
}

Uuid intel_enriched_id(const Uuid *attacker, int64_t cached_at_us)
{
    char uuid_text[UUID_TEXT_BYTES], time_text[US_TEXT_BYTES];

    uuid_format(uuid_text, attacker);
    return event_id(type_name, (Str[]){str_from(uuid_text), payload_us_text(time_text, cached_at_us)}, 2);
}
