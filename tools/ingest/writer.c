#include "ingest/writer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "ingest/stored.h"
#include "repo/attackers.h"
#include "repo/captures.h"
#include "repo/logs.h"
#include "repo/sessions.h"
#include "repo/sources.h"

enum { FLUSH_SESSIONS = 500, COMMAND_SLICE = 256 };

/* An address and its attacker. */
typedef struct Known {
    const char *ip;
    Uuid uuid;
} Known;

struct Writer {
    Repo *repo;
    Outbox *outbox;
    Assembly *assembly;
    Arena *arena; /* of one attempt */
    Arena *lines; /* of one chunk: what assembly_line() said of each */
    Stored *stored;
    /* of the chunk at hand */
    Chunk *chunk;
    bool applied;  /* the assembly has eaten the chunk; a further attempt only writes again */
    bool in_doubt; /* the answer to its COMMIT was lost, and nobody could be asked yet whether it happened */
    bool *is_new;
    AssemblyLine *places;
    Known *known;
    size_t n_known;
};

Writer *writer_new(Repo *repo, Outbox *outbox, Assembly *assembly)
{
    Writer *w = calloc(1, sizeof(*w));
    if (!w)
        abort();
    *w = (Writer){.repo = repo,
                  .outbox = outbox,
                  .assembly = assembly,
                  .arena = arena_new(),
                  .lines = arena_new(),
                  .stored = stored_new()};
    return w;
}

void writer_free(Writer *w)
{
    if (!w)
        return;
    arena_free(w->arena);
    arena_free(w->lines);
    stored_free(w->stored);
    free(w);
}

/* --- sessions: row of the table ↔ row of the assembly --- */

static SessionRow session_from_row(Arena *arena, const StoredSession *s)
{
    SessionRow row = {.src_port = -1, .login_at_us = TIME_NONE};

    (void)!session_state_decode(arena, s->state, &row); /* a foreign state reads as a session that just began */
    row.sid = s->sid;
    memcpy(row.src_ip, s->src_ip.data, MIN(s->src_ip.len, sizeof(row.src_ip) - 1));
    row.src_port = s->src_port;
    row.sensor = s->origin;
    row.session = s->origin_session;
    row.decky = s->decky;
    row.service = session_service_constant(s->service);
    row.started_at_us = s->started_at_us;
    row.last_event_at_us = s->last_event_at_us;
    row.ended_at_us = s->ended_at_us;
    row.ended_reason = session_reason_constant(s->ended_reason);
    row.duration_s = s->ended_at_us == TIME_NONE ? -1 : s->duration_s;
    row.username = s->username;
    row.login_ok = s->login_ok;
    row.login_attempts = s->login_attempts;
    row.client_version = s->client_version;
    row.hassh = s->hassh;
    row.commands = s->commands;
    row.artifacts = s->artifacts;
    row.forwards = s->forwards;
    row.parts_sent = s->parts_sent;
    row.commands_sent = s->commands_sent;
    row.shard_path = s->shard_path;
    return row;
}

static StoredSession session_to_row(Arena *arena, const SessionRow *r, const Uuid *attacker, Str source_id)
{
    return (StoredSession){
        .sid = r->sid,
        .attacker_uuid = *attacker,
        .src_ip = str_from(r->src_ip),
        .src_port = r->src_port,
        .decky = r->decky,
        .service = str_from(r->service),
        .origin = r->sensor.data ? r->sensor : STR(""),
        .origin_session = r->session,
        .started_at_us = r->started_at_us,
        .last_event_at_us = r->last_event_at_us,
        .ended_at_us = r->ended_at_us,
        .ended_reason = str_from(r->ended_reason),
        .duration_s = r->duration_s,
        .username = r->username,
        .login_ok = r->login_ok,
        .login_attempts = r->login_attempts,
        .client_version = r->client_version,
        .hassh = r->hassh,
        .commands = r->commands,
        .artifacts = r->artifacts,
        .forwards = r->forwards,
        .parts_sent = r->parts_sent,
        .commands_sent = r->commands_sent,
        .shard_path = r->shard_path,
        .state = session_state_encode(arena, r),
        .pending = r->ended_at_us == TIME_NONE || r->pending,
        .source_id = source_id,
    };
}

/* Where an event has to be split depends on the size of commands that are not announced yet. Everything is read before
 * the assembly hears of it, so that a broken connection leaves no half-restored session. */
static int restore_one(Writer *w, const StoredSession *stored)
{
    SessionRow row = session_from_row(w->arena, stored);
    size_t n_commands = (size_t)MAX(row.commands - row.commands_sent, (int64_t)0), have = 0;
    Str *texts = arena_calloc(w->arena, n_commands + 1, sizeof(*texts));

    while (have < n_commands) {
        StoredCommand *commands;
        size_t n;
        int r = session_commands_read(w->repo, w->arena, &row.sid, row.commands_sent + (int64_t)have, row.commands,
                                      COMMAND_SLICE, &commands, &n);
        if (r != 0 || n == 0)
            return r;
        for (size_t i = 0; i < n; i++)
            texts[have++] = commands[i].command;
    }
    stored_note(w->stored, stored);
    assembly_restore(w->assembly, &row);
    for (size_t i = 0; i < have; i++)
        assembly_restore_command(w->assembly, &row, texts[i]);
    return 0;
}

typedef struct RestoreSource {
    Writer *w;
    Str source_id;
} RestoreSource;

static int restore_source(Repo *repo, void *arg)
{
    RestoreSource *s = arg;
    StoredSession *rows;
    size_t n;

    arena_reset(s->w->arena);
    int r = sessions_pending(repo, s->w->arena, s->source_id, &rows, &n);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = restore_one(s->w, &rows[i]);
    return r;
}

int writer_restore(Writer *w, Str source_id)
{
    RestoreSource s = {w, source_id};
    int r = repo_transaction(w->repo, restore_source, &s);
    return r == REPO_E_IN_DOUBT ? 0 : r; /* it only read */
}

static int restore_unknown(Writer *w)
{
    const Chunk *c = w->chunk;
    Uuid *sids = arena_calloc(w->arena, c->n + 1, sizeof(*sids));
    StoredSession *rows;
    size_t n = 0, n_rows = 0;

    for (size_t i = 0; i < c->n; i++)
        if (!assembly_knows(w->assembly, &c->events[i]))
            sids[n++] = c->events[i].sid;
    int r = n ? sessions_read(w->repo, w->arena, sids, n, &rows, &n_rows) : 0;
    for (size_t i = 0; r == 0 && i < n_rows; i++)
        r = restore_one(w, &rows[i]);
    return r;
}

/* --- the attempt --- */

/* Which lines are new, and what all lines do. On a second attempt the assembly has eaten them already; then the
 * database must still be as it was. */
static int apply_lines(Writer *w)
{
    Chunk *c = w->chunk;
    Uuid *ids = arena_calloc(w->arena, c->n + 1, sizeof(*ids));
    bool *is_new = arena_calloc(w->arena, c->n + 1, sizeof(*is_new));

    for (size_t i = 0; i < c->n; i++)
        ids[i] = c->events[i].log_id;
    int r = logs_lock_and_compare(w->repo, ids, c->n, is_new);
    if (r != 0)
        return r;
    if (w->applied)
        return memcmp(is_new, w->is_new, c->n * sizeof(*is_new)) == 0 ? 0 : REPO_E_FENCED;
    r = restore_unknown(w);
    if (r != 0)
        return r;
    w->is_new = arena_calloc(w->lines, c->n + 1, sizeof(*w->is_new));
    memcpy(w->is_new, is_new, c->n * sizeof(*is_new));
    w->places = arena_calloc(w->lines, c->n + 1, sizeof(*w->places));
    c->n_new = 0;
    for (size_t i = 0; i < c->n; i++) {
        w->places[i] = assembly_line(w->assembly, &c->events[i], is_new[i]);
        c->n_new += is_new[i];
    }
    if (c->flush)
        c->flush_again = assembly_flush(w->assembly, FLUSH_SESSIONS);
    w->applied = true;
    return 0;
}

/* Nobody else may have written the rows that are about to be written from memory. */
static int check_sessions(Writer *w, const Effects *fx)
{
    SessionMark *marks = arena_calloc(w->arena, fx->sessions.n + 1, sizeof(*marks));
    size_t n = 0;

    for (size_t i = 0; i < fx->sessions.n; i++)
        n += stored_mark(w->stored, &fx->sessions.items[i].sid, &marks[n]);
    return sessions_check(w->repo, marks, n);
}

static int by_ip(const void *a, const void *b)
{
    return strcmp(((const Known *)a)->ip, ((const Known *)b)->ip);
}

/* Ids of all attackers that the effects speak of: the stored one, else the deterministic one of a new row. */
static int know_attackers(Writer *w, const Effects *fx)
{
    size_t n = 0;

    w->known = arena_calloc(w->arena, fx->attackers.n + fx->sessions.n + fx->announcements.n + 1, sizeof(*w->known));
    for (size_t i = 0; i < fx->attackers.n; i++)
        w->known[n++].ip = fx->attackers.items[i].ip;
    for (size_t i = 0; i < fx->sessions.n; i++)
        w->known[n++].ip = fx->sessions.items[i].src_ip;
    for (size_t i = 0; i < fx->announcements.n; i++)
        w->known[n++].ip = fx->announcements.items[i].row->src_ip;
    qsort(w->known, n, sizeof(*w->known), by_ip);
    w->n_known = 0;
    for (size_t i = 0; i < n; i++)
        if (w->n_known == 0 || by_ip(&w->known[w->n_known - 1], &w->known[i]) != 0)
            w->known[w->n_known++] = w->known[i];
    AttackerRef *refs = arena_calloc(w->arena, w->n_known + 1, sizeof(*refs));
    for (size_t i = 0; i < w->n_known; i++)
        refs[i].ip = w->known[i].ip;
    int r = attackers_resolve(w->repo, refs, w->n_known);
    for (size_t i = 0; r == 0 && i < w->n_known; i++)
        w->known[i].uuid = refs[i].exists ? refs[i].found : attacker_uuid(refs[i].ip);
    return r;
}

static const Uuid *uuid_of(const Writer *w, const char *ip)
{
    const Known *k = bsearch(&(Known){.ip = ip}, w->known, w->n_known, sizeof(*k), by_ip);
    assert(k);
    return &k->uuid;
}

static int write_logs(Writer *w, const Effects *fx)
{
    const Chunk *c = w->chunk;
    LogRow *rows = arena_calloc(w->arena, c->n + fx->logs.n + 1, sizeof(*rows));
    size_t n = 0;

    for (size_t i = 0; i < c->n; i++) {
        const CowrieEvent *e = &c->events[i];
        const AssemblyLine *p = &w->places[i];
        if (!w->is_new[i])
            continue;
        rows[n++] = (LogRow){.source_event_id = &e->log_id,
                             .timestamp_us = e->time_us,
                             .decky = p->decky,
                             .service = str_from(p->service),
                             .event_type = e->event_type,
                             .attacker_ip = str_from(p->ip),
                             .raw_line = e->raw_line,
                             .fields = cowrie_fields(w->arena, e, &p->sid, p->ordinal),
                             .msg = e->msg};
    }
    for (size_t i = 0; i < fx->logs.n; i++) {
        const SyntheticLog *s = &fx->logs.items[i];
        rows[n++] = (LogRow){.source_event_id = &s->id,
                             .timestamp_us = s->time_us,
                             .decky = s->decky,
                             .service = str_from(s->service),
                             .event_type = str_from(s->event_type),
                             .attacker_ip = str_from(s->ip),
                             .raw_line = STR(""),
                             .fields = s->fields};
    }
    return logs_append(w->repo, rows, n);
}

static Str json_list(Arena *arena, const Str *items, size_t n)
{
    cleanup(buf_free) Buf buf = {0};
    JsonWriter j = {&buf};
    json_begin_array(&j);
    for (size_t i = 0; i < n; i++)
        json_value_str(&j, items[i]);
    json_end_array(&j);
    return str_dup(arena, buf_str(&buf));
}

static void emit_observed(Writer *w, const AttackerDelta *d, const Uuid *uuid, Buf *buf)
{
    AttackerObserved event = {.attacker_uuid = *uuid,
                              .has_attacker_uuid = true,
                              .decky = d->observed_decky,
                              .service = str_from(d->observed_service),
                              .event_type = d->observed_type,
                              .first_seen_us = d->observed_us};
    strncat(event.attacker_ip, d->ip, sizeof(event.attacker_ip) - 1);
    Uuid id = attacker_observed_id(d->ip, d->observed_us);
    buf_clear(buf);
    attacker_observed_encode(&event, &id, buf);
    outbox_add(w->outbox, "attacker.observed", STR("attacker.observed"), &id, str_from(d->ip), buf_str(buf));
}

static int write_attackers(Writer *w, const Effects *fx)
{
    cleanup(buf_free) Buf buf = {0};
    size_t n = fx->attackers.n;
    AttackerChange *changes = arena_calloc(w->arena, n + 1, sizeof(*changes));

    for (size_t i = 0; i < n; i++) {
        const AttackerDelta *d = &fx->attackers.items[i];
        Str services[ARRAY_SIZE(d->services)];
        for (size_t k = 0; k < d->n_services; k++)
            services[k] = str_from(d->services[k]);
        changes[i] = (AttackerChange){.ip = str_from(d->ip),
                                      .uuid = *uuid_of(w, d->ip),
                                      .first_seen_us = d->first_us,
                                      .last_seen_us = d->last_us,
                                      .events = d->events,
                                      .services = json_list(w->arena, services, d->n_services),
                                      .deckies = json_list(w->arena, d->deckies, d->n_deckies)};
    }
    int r = attackers_add(w->repo, changes, n);
    w->chunk->n_attackers = 0;
    for (size_t i = 0; r == 0 && i < n; i++) {
        w->chunk->n_attackers += changes[i].created;
        if (changes[i].created)
            emit_observed(w, &fx->attackers.items[i], &changes[i].uuid, &buf);
    }
    return r;
}

static int write_sessions(Writer *w, const Effects *fx)
{
    StoredSession *rows = arena_calloc(w->arena, fx->sessions.n + 1, sizeof(*rows));
    StoredCommand *commands = arena_calloc(w->arena, fx->commands.n + 1, sizeof(*commands));
    CommandFailed *failed = arena_calloc(w->arena, fx->errored.n + 1, sizeof(*failed));

    for (size_t i = 0; i < fx->sessions.n; i++)
        rows[i] = session_to_row(w->arena, &fx->sessions.items[i], uuid_of(w, fx->sessions.items[i].src_ip),
                                 w->chunk->source_id);
    for (size_t i = 0; i < fx->commands.n; i++) {
        const NewCommand *c = &fx->commands.items[i];
        commands[i] = (StoredCommand){.sid = c->sid,
                                      .ordinal = c->ordinal,
                                      .ts_us = c->time_us,
                                      .command = c->text,
                                      .truncated = c->truncated,
                                      .source_event_id = c->source_event_id};
    }
    for (size_t i = 0; i < fx->errored.n; i++) {
        const ErroredMark *m = &fx->errored.items[i];
        failed[i] = (CommandFailed){.sid = m->sid, .command = m->text, .from = m->from, .to = m->to};
    }
    int r = sessions_upsert(w->repo, rows, fx->sessions.n);
    r = r ? r : session_commands_insert(w->repo, commands, fx->commands.n);
    return r ? r : session_commands_failed(w->repo, failed, fx->errored.n);
}

static Str key_fields(Arena *arena, const CredentialDelta *d)
{
    cleanup(buf_free) Buf buf = {0};
    JsonWriter j = {&buf};
    json_begin_object(&j);
    if (d->key_type.data)
        json_put_str(&j, "key_type", d->key_type);
    if (d->key_fingerprint.data)
        json_put_str(&j, "fingerprint", d->key_fingerprint);
    json_end_object(&j);
    return str_dup(arena, buf_str(&buf));
}

static void emit_attempts(Writer *w, const Effects *fx, const StoredCredential *rows)
{
    cleanup(buf_free) Buf buf = {0};

    for (size_t i = 0; i < fx->attempts.n; i++) {
        const CredentialAttempt *a = &fx->attempts.items[i];
        const CredentialDelta *d = &fx->credentials.items[a->credential];
        CredentialCaptured event = {.attacker_ip = d->ip,
                                    .attacker_uuid = *uuid_of(w, d->ip),
                                    .secret_sha256 = str_from(d->sha256),
                                    .secret_kind = str_from(d->kind),
                                    .decky = d->decky,
                                    .service = str_from(d->service),
                                    .outcome = str_from(credential_outcome_name(a->outcome)),
                                    .principal = d->principal,
                                    .attempt_count = rows[a->credential].attempt_count - d->attempts + a->nth,
                                    .occurred_at_us = a->time_us};
        Uuid id = credential_captured_id(&event);
        buf_clear(&buf);
        credential_captured_encode(&event, &id, &buf);
        outbox_add(w->outbox, "credential.captured", STR("credential.captured"), &id, str_from(d->ip), buf_str(&buf));
    }
}

static int write_credentials(Writer *w, const Effects *fx, StoredCredential **ret_rows)
{
    size_t n = fx->credentials.n;
    StoredCredential *rows = *ret_rows = arena_calloc(w->arena, n + 1, sizeof(*rows));

    for (size_t i = 0; i < n; i++) {
        const CredentialDelta *d = &fx->credentials.items[i];
        rows[i] = (StoredCredential){.attacker_ip = str_from(d->ip),
                                     .attacker_uuid = uuid_of(w, d->ip),
                                     .decky = d->decky,
                                     .service = str_from(d->service),
                                     .principal = d->principal,
                                     .secret_kind = str_from(d->kind),
                                     .secret_sha256 = str_from(d->sha256),
                                     .secret_b64 = d->b64,
                                     .secret_printable = d->printable,
                                     .fields = key_fields(w->arena, d),
                                     .outcome = str_from(credential_outcome_name(d->outcome)),
                                     .first_seen_us = d->first_us,
                                     .last_seen_us = d->last_us,
                                     .attempts = d->attempts};
    }
    int r = credentials_upsert(w->repo, rows, n);
    if (r == 0)
        emit_attempts(w, fx, rows);
    return r;
}

static int write_bounties(Writer *w, const Effects *fx, StoredBounty **ret_rows)
{
    size_t n = fx->bounties.n;
    StoredBounty *rows = *ret_rows = arena_calloc(w->arena, n + 1, sizeof(*rows));

    for (size_t i = 0; i < n; i++) {
        const BountyRow *b = &fx->bounties.items[i];
        rows[i] = (StoredBounty){.attacker_ip = str_from(b->ip),
                                 .decky = b->decky,
                                 .service = str_from(b->service),
                                 .bounty_type = str_from(b->type),
                                 .payload = b->payload,
                                 .timestamp_us = b->time_us};
    }
    return bounties_upsert(w->repo, rows, n);
}

static int write_evidence(Writer *w, const Effects *fx)
{
    size_t n = fx->evidence.n;
    StoredEvidence *rows = arena_calloc(w->arena, n + 1, sizeof(*rows));

    for (size_t i = 0; i < n; i++) {
        const EvidenceRow *e = &fx->evidence.items[i];
        rows[i] = (StoredEvidence){.attacker_uuid = *uuid_of(w, e->ip),
                                   .kind = str_from(e->kind),
                                   .value = e->value,
                                   .first_seen_us = e->first_us,
                                   .last_seen_us = e->last_us,
                                   .seen = e->seen};
    }
    return evidence_upsert(w->repo, rows, n);
}

/* attackers.commands entries of one address: its newest commands of this chunk. */
static Str command_entries(Arena *arena, const Effects *fx, const char *ip)
{
    cleanup(buf_free) Buf buf = {0};
    JsonWriter j = {&buf};
    char sid[UUID_TEXT_BYTES], id[UUID_TEXT_BYTES + 24];
    size_t left = LIMIT_ATTACKER_COMMANDS;

    json_begin_array(&j);
    for (size_t i = fx->commands.n; i-- > 0 && left > 0;) {
        const NewCommand *c = &fx->commands.items[i];
        if (strcmp(c->ip, ip) != 0)
            continue;
        left--;
        uuid_format(sid, &c->sid);
        snprintf(id, sizeof(id), "%s#%lld", sid, (long long)c->ordinal);
        json_begin_object(&j);
        json_put_cstr(&j, "id", id);
        json_put_cstr(&j, "session_id", sid);
        json_put_cstr(&j, "service", c->service);
        json_put_str(&j, "decky", c->decky);
        json_put_str(&j, "command", text_clip(c->text, LIMIT_ATTACKER_COMMAND_BYTES));
        json_put_time(&j, "timestamp", c->time_us);
        json_end_object(&j);
    }
    json_end_array(&j);
    return left == LIMIT_ATTACKER_COMMANDS ? (Str){0} : str_dup(arena, buf_str(&buf));
}

static int write_extras(Writer *w, const Effects *fx, const StoredCredential *credentials, const StoredBounty *bounties)
{
    AttackerExtras *extras = arena_calloc(w->arena, w->n_known + 1, sizeof(*extras));
    size_t n = 0;

    for (size_t k = 0; k < w->n_known; k++) {
        AttackerExtras e = {.ip = str_from(w->known[k].ip), .commands = command_entries(w->arena, fx, w->known[k].ip)};
        for (size_t i = 0; i < fx->credentials.n; i++)
            e.credentials += credentials[i].created && str_eq(credentials[i].attacker_ip, e.ip);
        for (size_t i = 0; i < fx->bounties.n; i++) {
            bool ours = str_eq(bounties[i].attacker_ip, e.ip);
            e.bounties += ours && bounties[i].created;
            e.fingerprints_changed |=
                ours && bounties[i].written && str_eq_cstr(bounties[i].bounty_type, "fingerprint");
        }
        if (e.credentials || e.bounties || e.commands.data || e.fingerprints_changed)
            extras[n++] = e;
    }
    return attackers_extend(w->repo, extras, n);
}

static int read_commands(Writer *w, const Announcement *a, EventCommand *commands)
{
    for (int64_t from = a->from; from < a->to;) {
        StoredCommand *rows;
        size_t n;
        int r = session_commands_read(w->repo, w->arena, &a->row->sid, from, a->to, COMMAND_SLICE, &rows, &n);
        if (r != 0)
            return r;
        if (n == 0)
            return -ENODATA; /* its rows were inserted in this very transaction or before */
        for (size_t i = 0; i < n; i++)
            commands[from - a->from + (int64_t)i] =
                session_row_command(w->arena, a->row, rows[i].ordinal, rows[i].ts_us, rows[i].command, rows[i].errored);
        from += (int64_t)n;
    }
    return 0;
}

static int emit_session(Writer *w, const Announcement *a)
{
    cleanup(buf_free) Buf buf = {0};
    SessionEnded event;
    size_t n = (size_t)(a->to - a->from);

    session_row_event(w->arena, a->row, uuid_of(w, a->row->src_ip), &event);
    event.part = a->part;
    event.parts = a->parts;
    event.commands = arena_calloc(w->arena, n + 1, sizeof(*event.commands));
    event.n_commands = event.n_commands_seen = n;
    int r = read_commands(w, a, event.commands);
    if (r != 0)
        return r;
    Uuid id = session_ended_id(event.session_id, a->part);
    session_ended_encode(&event, &id, &buf);
    if (buf.len > LIMIT_EVENT_BYTES)
        return -EOVERFLOW;
    outbox_add(w->outbox, "attacker.session.ended", STR("attacker.session.ended"), &id, str_from(a->row->src_ip),
               buf_str(&buf));
    return 0;
}

static int attempt(Repo *repo, void *arg)
{
    Writer *w = arg;
    Chunk *c = w->chunk;
    StoredCredential *credentials = NULL;
    StoredBounty *bounties = NULL;

    arena_reset(w->arena);
    outbox_begin(w->outbox);
    int r = apply_lines(w);
    if (r != 0)
        return r;
    const Effects *fx = assembly_effects(w->assembly);
    r = check_sessions(w, fx);
    r = r ? r : know_attackers(w, fx);
    r = r ? r : write_logs(w, fx);
    r = r ? r : write_attackers(w, fx);
    r = r ? r : write_sessions(w, fx);
    r = r ? r : write_credentials(w, fx, &credentials);
    r = r ? r : write_bounties(w, fx, &bounties);
    r = r ? r : write_evidence(w, fx);
    r = r ? r : write_extras(w, fx, credentials, bounties);
    for (size_t i = 0; r == 0 && i < fx->announcements.n; i++)
        r = emit_session(w, &fx->announcements.items[i]);
    r = r ? r : outbox_write(w->outbox, repo);
    if (r == 0 && c->resumable)
        r = source_advance(repo, c->source_id, c->from_bytes, c->to_bytes, assembly_watermark_us(w->assembly));
    return r;
}

/* The answer to COMMIT was lost: it happened if what the chunk would have added is there. */
static int settle_doubt(Writer *w, bool *ret_committed)
{
    const Effects *fx = assembly_effects(w->assembly);
    bool is_new = false;
    const Uuid *id = fx->logs.n ? &fx->logs.items[0].id : NULL;

    for (size_t i = 0; !id && i < w->chunk->n; i++)
        id = w->is_new[i] ? &w->chunk->events[i].log_id : NULL;
    int r = repo_connect(w->repo);
    if (r == 0 && id) {
        r = repo_begin(w->repo);
        r = r ? r : logs_lock_and_compare(w->repo, id, 1, &is_new);
        repo_rollback(w->repo);
    } else if (r == 0 && w->chunk->resumable) { /* nothing but the position moved */
        int64_t at = -1;
        r = source_position(w->repo, w->chunk->source_id, &at);
        is_new = at != w->chunk->to_bytes;
    }
    *ret_committed = r == 0 && !is_new;
    return r;
}

static void note_stored(Writer *w, const Effects *fx)
{
    arena_reset(w->arena);
    for (size_t i = 0; i < fx->sessions.n; i++) {
        StoredSession row = session_to_row(w->arena, &fx->sessions.items[i], &(Uuid){0}, w->chunk->source_id);
        stored_note(w->stored, &row);
    }
    stored_settle(w->stored, assembly_open_sessions(w->assembly));
}

int writer_store(Writer *w, Chunk *chunk)
{
    bool committed = false;

    w->chunk = chunk;
    int r = w->in_doubt ? REPO_E_IN_DOUBT : repo_transaction(w->repo, attempt, w);
    if (r == REPO_E_IN_DOUBT) {
        w->in_doubt = true; /* until the database can be asked, whatever else is called meanwhile */
        r = settle_doubt(w, &committed);
        w->in_doubt = r != 0;
        r = r ? r : committed ? 0 : REPO_E_RETRY;
    }
    if (r != 0)
        return r;
    note_stored(w, assembly_effects(w->assembly));
    outbox_committed(w->outbox);
    assembly_forget_effects(w->assembly);
    arena_reset(w->lines);
    w->applied = false;
    return 0;
}
