/* Folding: one hash from key bytes to the index of the row, for all kinds of rows. */
#include "effects.h"

#include <stdio.h>
#include <string.h>

#include "base/table.h"

/* Key bytes begin with the kind and join parts with NUL, which repaired text never holds. */
typedef struct FoldEntry {
    char *key;
    size_t index;
    UT_hash_handle hh;
} FoldEntry;

static void *grow(void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return items;
    *cap = *cap ? *cap * 2 : 32;
    items = reallocarray(items, *cap, size);
    if (!items)
        abort(); /* as the arena does: no caller could go on */
    return items;
}

/* The next free element of an effect array, cleared. */
#define PUSH(array)                                                                                                    \
    ({                                                                                                                 \
        (array)->items = grow((array)->items, (array)->n, &(array)->cap, sizeof(*(array)->items));                     \
        memset(&(array)->items[(array)->n], 0, sizeof(*(array)->items));                                               \
        &(array)->items[(array)->n++];                                                                                 \
    })

void effects_init(Effects *fx)
{
    *fx = (Effects){.arena = arena_new()};
}

void effects_clear(Effects *fx)
{
    HASH_CLEAR(hh, fx->folds); /* the entries are in the arena */
    fx->sessions.n = fx->commands.n = fx->errored.n = fx->announcements.n = fx->logs.n = 0;
    fx->attackers.n = fx->credentials.n = fx->attempts.n = fx->bounties.n = fx->evidence.n = 0;
    arena_reset(fx->arena);
}

void effects_free(Effects *fx)
{
    if (!fx->arena)
        return;
    effects_clear(fx);
    free(fx->sessions.items);
    free(fx->commands.items);
    free(fx->errored.items);
    free(fx->announcements.items);
    free(fx->logs.items);
    free(fx->attackers.items);
    free(fx->credentials.items);
    free(fx->attempts.items);
    free(fx->bounties.items);
    free(fx->evidence.items);
    arena_free(fx->arena);
    *fx = (Effects){0};
}

/* Index under the key made of @kind and @parts; @next becomes it when the key is new. */
static size_t fold(Effects *fx, char kind, const Str *parts, size_t n_parts, size_t next, bool *ret_new)
{
    cleanup(buf_free) Buf key = {0};
    FoldEntry *entry = NULL;

    buf_add_char(&key, kind);
    for (size_t i = 0; i < n_parts; i++) {
        buf_add_char(&key, parts[i].data ? '\0' : '\1'); /* absent differs from empty */
        buf_add_str(&key, parts[i]);
    }
    HASH_FIND(hh, fx->folds, key.data, key.len, entry);
    *ret_new = entry == NULL;
    if (entry)
        return entry->index;
    entry = arena_calloc(fx->arena, 1, sizeof(*entry));
    entry->key = arena_memdup(fx->arena, key.data, key.len);
    entry->index = next;
    HASH_ADD_KEYPTR(hh, fx->folds, entry->key, key.len, entry);
    return next;
}

static void add_service(AttackerDelta *a, const char *service)
{
    for (size_t i = 0; i < a->n_services; i++)
        if (strcmp(a->services[i], service) == 0)
            return;
    if (a->n_services == ARRAY_SIZE(a->services))
        return;
    a->services[a->n_services++] = service;
    if (a->n_services == 2 && strcmp(a->services[0], a->services[1]) > 0) {
        a->services[1] = a->services[0];
        a->services[0] = service;
    }
}

static void add_decky(Effects *fx, AttackerDelta *a, Str decky)
{
    for (size_t i = 0; i < a->n_deckies; i++)
        if (str_eq(a->deckies[i], decky))
            return;
    Str *deckies = arena_calloc(fx->arena, a->n_deckies + 1, sizeof(*deckies));
    if (a->n_deckies)
        memcpy(deckies, a->deckies, a->n_deckies * sizeof(*deckies));
    deckies[a->n_deckies++] = decky;
    a->deckies = deckies;
}

void effects_attacker_event(Effects *fx, const EffectOrigin *o, Str event_type)
{
    bool is_new;
    size_t i = fold(fx, 'a', (Str[]){str_from(o->ip)}, 1, fx->attackers.n, &is_new);
    AttackerDelta *a = is_new ? PUSH(&fx->attackers) : &fx->attackers.items[i];

    if (is_new)
        *a = (AttackerDelta){.ip = o->ip,
                             .first_us = o->time_us,
                             .last_us = o->time_us,
                             .observed_us = o->time_us,
                             .observed_decky = o->decky,
                             .observed_service = o->service,
                             .observed_type = str_dup(fx->arena, event_type)};
    a->events++;
    a->first_us = MIN(a->first_us, o->time_us);
    a->last_us = MAX(a->last_us, o->time_us);
    add_service(a, o->service);
    add_decky(fx, a, o->decky);
}

static void take_outcome(CredentialDelta *d, int64_t time_us, CredentialOutcome outcome)
{
    if (time_us > d->last_us || (time_us == d->last_us && outcome > d->outcome))
        d->outcome = outcome;
    d->last_us = MAX(d->last_us, time_us);
    d->first_us = MIN(d->first_us, time_us);
}

void effects_credential(Effects *fx, const EffectOrigin *o, const CowrieCredential *c, bool counts)
{
    Str key[] = {str_from(o->ip), o->decky, str_from(o->service), str_from(c->kind), str_from(c->sha256), c->principal};
    bool is_new;
    size_t i = fold(fx, 'c', key, ARRAY_SIZE(key), fx->credentials.n, &is_new);
    CredentialDelta *d = is_new ? PUSH(&fx->credentials) : &fx->credentials.items[i];

    if (is_new) {
        *d = (CredentialDelta){.ip = o->ip,
                               .decky = o->decky,
                               .service = o->service,
                               .kind = c->kind,
                               .principal = str_dup(fx->arena, c->principal),
                               .b64 = str_dup(fx->arena, c->b64),
                               .printable = str_dup(fx->arena, c->printable),
                               .key_type = str_dup(fx->arena, c->key_type),
                               .key_fingerprint = str_dup(fx->arena, c->key_fingerprint),
                               .first_us = o->time_us,
                               .last_us = o->time_us,
                               .outcome = c->outcome};
        memcpy(d->sha256, c->sha256, sizeof(d->sha256));
    }
    take_outcome(d, o->time_us, c->outcome);
    if (!counts)
        return;
    d->attempts++;
    *PUSH(&fx->attempts) =
        (CredentialAttempt){.credential = i, .nth = d->attempts, .time_us = o->time_us, .outcome = c->outcome};
}

static BountyRow *add_bounty(Effects *fx, const EffectOrigin *o, const char *type, Buf *payload)
{
    Str key[] = {str_from(o->ip), str_from(type), buf_str(payload)};
    bool is_new;

    fold(fx, 'b', key, ARRAY_SIZE(key), fx->bounties.n, &is_new);
    if (!is_new)
        return NULL;
    BountyRow *b = PUSH(&fx->bounties);
    *b = (BountyRow){.ip = o->ip,
                     .decky = o->decky,
                     .service = o->service,
                     .type = type,
                     .time_us = o->time_us,
                     .payload = str_dup(fx->arena, buf_str(payload))};
    return b;
}

void effects_fingerprint(Effects *fx, const EffectOrigin *o, Str fingerprint_type, Str hash, Str hassh_algorithms)
{
    cleanup(buf_free) Buf payload = {0};
    JsonWriter w = {.buf = &payload};

    json_begin_object(&w);
    json_put_str(&w, "fingerprint_type", fingerprint_type);
    json_put_str(&w, "hash", hash);
    if (hassh_algorithms.len)
        json_put_str(&w, "hassh_algorithms", hassh_algorithms);
    json_end_object(&w);
    BountyRow *b = add_bounty(fx, o, "fingerprint", &payload);
    if (b) {
        b->fingerprint_type = str_dup(fx->arena, fingerprint_type);
        b->hash = str_dup(fx->arena, hash);
    }
}

void effects_artifact(Effects *fx, const EffectOrigin *o, const CowrieFile *file)
{
    cleanup(buf_free) Buf payload = {0};
    JsonWriter w = {.buf = &payload};

    json_begin_object(&w);
    json_put_cstr(&w, "kind", "file");
    json_put_str(&w, "stored_as", file->stored_as);
    json_put_cstr(&w, "sha256", file->sha256);
    json_key(&w, "size");
    json_value_null(&w);
    json_put_str(&w, "orig_path", file->orig_path);
    json_put_str(&w, "url", file->url);
    json_put_cstr(&w, "direction", file->upload ? "upload" : "download");
    json_put_cstr(&w, "attribution", "cowrie");
    json_end_object(&w);
    (void)add_bounty(fx, o, "artifact", &payload);
}

void effects_evidence(Effects *fx, const EffectOrigin *o, const char *kind, Str value)
{
    Str key[] = {str_from(o->ip), str_from(kind), value};
    bool is_new;
    size_t i = fold(fx, 'e', key, ARRAY_SIZE(key), fx->evidence.n, &is_new);
    EvidenceRow *e = is_new ? PUSH(&fx->evidence) : &fx->evidence.items[i];

    if (is_new)
        *e = (EvidenceRow){.ip = o->ip,
                           .kind = kind,
                           .value = str_dup(fx->arena, value),
                           .first_us = o->time_us,
                           .last_us = o->time_us};
    e->seen++;
    e->first_us = MIN(e->first_us, o->time_us);
    e->last_us = MAX(e->last_us, o->time_us);
}

void effects_command(Effects *fx, NewCommand command)
{
    command.text = str_dup(fx->arena, command.text);
    *PUSH(&fx->commands) = command;
}

void effects_errored(Effects *fx, ErroredMark mark)
{
    mark.text = str_dup(fx->arena, mark.text);
    *PUSH(&fx->errored) = mark;
}

void effects_announce(Effects *fx, const SessionRow *row, int64_t from, const int64_t *ends, size_t n)
{
    SessionRow *copy = arena_calloc(fx->arena, 1, sizeof(*copy));

    *copy = session_row_dup(fx->arena, row);
    for (size_t i = 0; i < n; i++) {
        *PUSH(&fx->announcements) = (Announcement){.row = copy,
                                                   .part = (int)(row->parts_sent + (int64_t)i + 1),
                                                   .parts = (int)(row->parts_sent + (int64_t)n),
                                                   .from = from,
                                                   .to = ends[i]};
        from = ends[i];
    }
}

static Str session_recorded_fields(Arena *arena, const SessionRow *row, const char *sid)
{
    cleanup(buf_free) Buf buf = {0};
    JsonWriter w = {.buf = &buf};

    json_begin_object(&w);
    json_put_cstr(&w, "sid", sid);
    json_put_cstr(&w, "service", row->service);
    json_put_str(&w, "duration_s", str_from(arena_printf(arena, "%.3f", row->duration_s)));
    json_put_str(&w, "bytes", str_from(arena_printf(arena, "%lld", (long long)row->tty_bytes)));
    json_put_cstr(&w, "truncated", "false"); /* Cowrie does not cut its recordings */
    json_end_object(&w);
    return str_dup(arena, buf_str(&buf));
}

void effects_session_recorded(Effects *fx, const SessionRow *row, int64_t part)
{
    char sid[UUID_TEXT_BYTES], part_text[24];

    uuid_format(sid, &row->sid);
    snprintf(part_text, sizeof(part_text), "%lld", (long long)part);
    Str name[] = {STR("session_recorded"), str_from(sid), str_from(part_text)};
    *PUSH(&fx->logs) = (SyntheticLog){.id = uuid_v5_joined(&UUID_NS_LOG, name, ARRAY_SIZE(name)),
                                      .sid = row->sid,
                                      .time_us = row->ended_at_us,
                                      .ip = arena_memdup(fx->arena, row->src_ip, strlen(row->src_ip)),
                                      .decky = str_dup(fx->arena, row->decky),
                                      .service = row->service,
                                      .event_type = "session_recorded",
                                      .fields = session_recorded_fields(fx->arena, row, sid)};
}

void effects_session(Effects *fx, const SessionRow *row)
{
    *PUSH(&fx->sessions) = *row;
}

static int row_cmp(const void *a, const void *b)
{
    return uuid_cmp(&((const SessionRow *)a)->sid, &((const SessionRow *)b)->sid);
}

void effects_sort_sessions(Effects *fx)
{
    if (fx->sessions.n)
        qsort(fx->sessions.items, fx->sessions.n, sizeof(*fx->sessions.items), row_cmp);
}
