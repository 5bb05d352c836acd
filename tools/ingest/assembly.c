/* The state machine over sessions. Three states: open; closed, waiting for late events; done, which leaves memory when
 * its effects are stored. Open and closed ones are in a heap by the time at which something is due; an open session's
 * due time only moves on, so its place in the heap is corrected when it comes up and a line costs O(1). */
#include "assembly.h"

#include <string.h>

#include "base/limits.h"
#include "evidence.h"
#include "sessions.h"

struct Assembly {
    AssemblyOptions options;
    AssemblyCounters counters;
    int64_t watermark_us;
    bool flushing;      /* all open sessions have ended; the heap is being emptied */
    bool effects_ready; /* fx.sessions is filled */
    Sessions sessions;
    Effects fx;
};

/* --- closing and announcing --- */

static int64_t add_time(int64_t us, int64_t span_us)
{
    int64_t sum;
    return __builtin_add_overflow(us, span_us, &sum) ? INT64_MAX : sum;
}

static int64_t due_time(const Assembly *a, const Session *s)
{
    if (s->state == SESSION_CLOSED)
        return add_time(s->row.ended_at_us, a->options.grace_us);
    return a->options.idle_timeout_us ? add_time(s->row.last_event_at_us, a->options.idle_timeout_us) : INT64_MAX;
}

static void close_session(Assembly *a, Session *s, const char *reason, int64_t ended_at_us, double duration_s)
{
    s->state = SESSION_CLOSED;
    s->row.ended_at_us = ended_at_us;
    s->row.ended_reason = reason;
    s->row.duration_s =
        duration_s >= 0 ? duration_s : (double)MAX(ended_at_us - s->row.started_at_us, INT64_C(0)) / US_PER_S;
    if (strcmp(reason, "closed") == 0)
        a->counters.sessions_closed++;
    else if (strcmp(reason, "idle") == 0)
        a->counters.sessions_idle++;
    else
        a->counters.sessions_eof++;
}

static void announce(Assembly *a, Session *s)
{
    SessionRow *r = &s->row;
    size_t n;
    int64_t *ends = session_take_parts(s, a->fx.arena, &n);

    a->counters.sessions_announced += r->parts_sent == 0;
    a->counters.parts_announced += (int64_t)n;
    effects_announce(&a->fx, r, r->commands_sent, ends, n);
    r->parts_sent += (int64_t)n;
    r->commands_sent = r->commands;
    r->pending = false;
}

static bool is_recorded(const SessionRow *r)
{
    return r->commands > 0 || r->shard_path.data;
}

/* The log row of a session that will not be announced is written at once, with the end itself: nothing brings a
 * killed process back to it. */
static void record_end(Assembly *a, Session *s)
{
    if (is_recorded(&s->row) && !s->row.pending && s->row.parts_sent == 0)
        effects_session_recorded(&a->fx, &s->row, 1);
}

/* A closed session's waiting is over. */
static void finish_session(Assembly *a, Session *s)
{
    sessions_done(&a->sessions, s);
    if (!s->row.pending)
        return;
    if (is_recorded(&s->row))
        effects_session_recorded(&a->fx, &s->row, s->row.parts_sent + 1);
    announce(a, s);
    sessions_mark_dirty(&a->sessions, s);
}

static void close_idle(Assembly *a, Session *s)
{
    close_session(a, s, "idle", s->row.last_event_at_us, -1);
    record_end(a, s);
    sessions_mark_dirty(&a->sessions, s);
}

/* Everything that is due at the watermark, in order of (due time, sid). */
static void run_due(Assembly *a)
{
    Session *s;
    int64_t due_us;

    while ((s = sessions_first_due(&a->sessions, &due_us)) && due_us <= a->watermark_us) {
        int64_t true_due_us = due_time(a, s);
        if (true_due_us > due_us) { /* lines came in the meantime */
            sessions_set_due(&a->sessions, s, true_due_us);
        } else if (s->state == SESSION_OPEN) {
            close_idle(a, s);
            sessions_set_due(&a->sessions, s, MAX(due_time(a, s), due_us));
        } else {
            finish_session(a, s);
        }
    }
}

/* Room for one more: the session whose last line is the longest ago ends now. */
static void evict_if_full(Assembly *a)
{
    while (a->sessions.heap.n >= a->options.max_sessions) {
        Session *s = sessions_longest_silent(&a->sessions);
        if (s->state == SESSION_OPEN) {
            close_idle(a, s);
            a->counters.sessions_evicted++;
        }
        finish_session(a, s);
    }
}

/* --- opening --- */

static Session *open_session(Assembly *a, const CowrieEvent *e)
{
    SessionRow row = {.sid = e->sid,
                      .src_port = -1,
                      .sensor = e->sensor,
                      .session = e->session,
                      .decky = e->decky,
                      .service = e->protocol.data ? session_service_constant(e->protocol) : e->service_hint,
                      .started_at_us = e->time_us,
                      .last_event_at_us = e->time_us,
                      .ended_at_us = TIME_NONE,
                      .duration_s = -1,
                      .login_at_us = TIME_NONE};

    memcpy(row.src_ip, e->ip, sizeof(row.src_ip));
    evict_if_full(a);
    Session *s = sessions_add(&a->sessions, &row);
    sessions_set_due(&a->sessions, s, due_time(a, s));
    a->counters.sessions_opened++;
    return s;
}

/* A line came for a session that had ended. Only one that Cowrie itself closed, and that still waits for such late
 * lines, stays as it is. */
static void reopen_if_ended(Assembly *a, Session *s)
{
    bool waits = s->state == SESSION_CLOSED && strcmp(s->row.ended_reason, "closed") == 0;

    if (s->state == SESSION_OPEN || waits)
        return;
    if (s->state == SESSION_DONE)
        evict_if_full(a);
    s->state = SESSION_OPEN;
    s->row.ended_at_us = TIME_NONE;
    s->row.ended_reason = NULL;
    s->row.duration_s = -1;
    sessions_set_due(&a->sessions, s, due_time(a, s));
    a->counters.sessions_reopened++;
}

void assembly_restore(Assembly *a, const SessionRow *row)
{
    if (sessions_find(&a->sessions, row->sensor, row->session))
        return;
    evict_if_full(a);
    Session *s = sessions_add(&a->sessions, row);
    if (row->ended_at_us != TIME_NONE)
        s->state = SESSION_CLOSED;
    if (s->state == SESSION_CLOSED && !row->pending && due_time(a, s) <= a->watermark_us)
        sessions_done(&a->sessions, s); /* nothing waits for it any more; only a new line would change that */
    else
        sessions_set_due(&a->sessions, s, due_time(a, s));
}

void assembly_restore_command(Assembly *a, const SessionRow *row, Str text)
{
    Session *s = sessions_find(&a->sessions, row->sensor, row->session);

    if (s)
        session_plan_command(s, text);
}

/* --- what a line does --- */

typedef struct Step {
    Assembly *a;
    Session *s;
    const CowrieEvent *e;
    EffectOrigin origin;
    int64_t ordinal;
} Step;

static void add_places(Step *t, const EvidencePlaces *places)
{
    for (size_t i = 0; i < places->n; i++)
        effects_evidence(&t->a->fx, &t->origin, places->items[i].kind == PLACE_C2 ? "c2" : "download_url",
                         places->items[i].value);
    t->a->counters.places_dropped += (int64_t)places->n_dropped;
}

static void places_of_url(Step *t, Str url)
{
    EvidencePlaces places;

    places.n = places.n_dropped = 0;
    if (url.len)
        evidence_from_url(t->a->fx.arena, url, t->s->row.sensor_address, &places);
    add_places(t, &places);
}

static void apply_connect(Step *t)
{
    SessionRow *r = &t->s->row;

    if (r->src_port < 0)
        r->src_port = t->e->src_port;
    if (!r->sensor_address.data && t->e->sensor_address.data)
        session_set_text(&r->sensor_address, t->e->sensor_address);
}

static void apply_closed(Step *t)
{
    if (t->s->state != SESSION_OPEN)
        return;
    close_session(t->a, t->s, "closed", t->e->time_us, t->e->duration_s);
    record_end(t->a, t->s);
    sessions_set_due(&t->a->sessions, t->s, due_time(t->a, t->s));
}

static void apply_hassh(Step *t)
{
    if (!t->e->hassh.data)
        return;
    if (!t->s->row.hassh.data)
        session_set_text(&t->s->row.hassh, t->e->hassh);
    effects_fingerprint(&t->a->fx, &t->origin, STR("hassh_client"), t->e->hassh, t->e->hassh_algorithms);
    effects_evidence(&t->a->fx, &t->origin, "hassh_client", t->e->hassh);
}

static void apply_version(Step *t)
{
    if (t->e->client_version.len && !t->s->row.client_version.data)
        session_set_text(&t->s->row.client_version, t->e->client_version);
    if (str_starts(t->e->client_version, "SSH-"))
        effects_evidence(&t->a->fx, &t->origin, "ssh_banner", t->e->client_version);
    apply_hassh(t);
}

static void apply_credential(Step *t, bool counts)
{
    const CowrieCredential *c = &t->e->credential;

    if (!c->present)
        return;
    effects_credential(&t->a->fx, &t->origin, c, counts);
    if (counts && c->key_type.data)
        effects_evidence(&t->a->fx, &t->origin, "ssh_pubkey", c->printable);
}

static void apply_key_offered(Step *t)
{
    apply_credential(t, true);
    session_remember_key(t->s, t->e->credential.key_fingerprint);
}

static void apply_login(Step *t)
{
    SessionRow *r = &t->s->row;
    Str fingerprint = t->e->credential.key_fingerprint;

    r->login_attempts++;
    if (!r->login_ok)
        r->login_at_us = t->e->time_us;
    if (t->e->login_ok && !r->login_ok) {
        r->login_ok = true;
        r->pending = true;
        session_set_text(&r->username, t->e->principal);
    }
    /* A key that was offered before was counted then; this only tells how it ended. */
    apply_credential(t, !(fingerprint.len && session_has_key(t->s, fingerprint)));
}

static void apply_command(Step *t)
{
    SessionRow *r = &t->s->row;
    EvidencePlaces places;

    t->ordinal = r->commands;
    session_plan_command(t->s, t->e->command);
    r->commands++;
    r->pending = true;
    t->a->counters.commands++;
    t->a->counters.commands_truncated += t->e->command_truncated;
    effects_command(&t->a->fx, (NewCommand){.sid = r->sid,
                                            .source_event_id = t->e->log_id,
                                            .ordinal = t->ordinal,
                                            .time_us = t->e->time_us,
                                            .text = t->e->command,
                                            .truncated = t->e->command_truncated,
                                            .ip = t->origin.ip,
                                            .decky = t->origin.decky,
                                            .service = t->origin.service});
    places.n = places.n_dropped = 0;
    evidence_from_command(t->a->fx.arena, t->e->command, r->sensor_address, &places);
    add_places(t, &places);
}

static void apply_command_failed(Step *t)
{
    const SessionRow *r = &t->s->row;
    int64_t from = MAX(r->commands_sent, r->commands - LIMIT_SESSION_LOOKBACK);

    if (from < r->commands)
        effects_errored(&t->a->fx,
                        (ErroredMark){.sid = r->sid, .from = from, .to = r->commands, .text = t->e->command});
}

static bool is_empty_file(const char *sha256)
{
    return strcmp(sha256, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") == 0;
}

static void apply_file(Step *t)
{
    const CowrieFile *f = &t->e->file;
    SessionArtifact artifact = {.url = f->url, .orig_path = f->orig_path};

    memcpy(artifact.sha256, f->sha256, sizeof(artifact.sha256));
    t->s->row.artifacts++;
    t->s->row.pending = true;
    if (!session_list_artifact(t->s, &artifact))
        t->a->counters.artifacts_dropped++;
    effects_artifact(&t->a->fx, &t->origin, f);
    if (!is_empty_file(f->sha256)) /* which everybody has, so that it ties nobody to anybody */
        effects_evidence(&t->a->fx, &t->origin, "payload_sha256", str_from(f->sha256));
    places_of_url(t, f->url);
}

static void apply_fetch_failed(Step *t)
{
    places_of_url(t, t->e->file.url);
}

static void apply_forward(Step *t)
{
    t->s->row.forwards++;
    t->s->row.pending = true;
}

static void apply_forward_fingerprint(Step *t)
{
    const char *kind = str_eq_cstr(t->e->fingerprint_type, "ja4_forwarded") ? "ja4_forwarded" : "ja4h_forwarded";

    effects_fingerprint(&t->a->fx, &t->origin, t->e->fingerprint_type, t->e->fingerprint, (Str){0});
    effects_evidence(&t->a->fx, &t->origin, kind, t->e->fingerprint);
}

static void apply_tty_log(Step *t)
{
    session_set_text(&t->s->row.shard_path, t->e->tty_log);
    t->s->row.tty_bytes = t->e->tty_bytes;
}

static void (*const appliers[])(Step *) = {
    [COWRIE_CONNECT] = apply_connect,
    [COWRIE_CLOSED] = apply_closed,
    [COWRIE_VERSION] = apply_version,
    [COWRIE_KEX] = apply_hassh,
    [COWRIE_KEY_OFFERED] = apply_key_offered,
    [COWRIE_LOGIN] = apply_login,
    [COWRIE_COMMAND] = apply_command,
    [COWRIE_COMMAND_FAILED] = apply_command_failed,
    [COWRIE_FILE] = apply_file,
    [COWRIE_FETCH_FAILED] = apply_fetch_failed,
    [COWRIE_FORWARD] = apply_forward,
    [COWRIE_FORWARD_FINGERPRINT] = apply_forward_fingerprint,
    [COWRIE_TTY_LOG] = apply_tty_log,
    [COWRIE_OTHER] = NULL,
};

static void touch(Assembly *a, Session *s, const CowrieEvent *e)
{
    s->row.last_event_at_us = MAX(s->row.last_event_at_us, e->time_us);
    s->row.started_at_us = MIN(s->row.started_at_us, e->time_us);
    sessions_touch(&a->sessions, s);
    sessions_mark_dirty(&a->sessions, s);
}

static const char *service_of(const Session *s, const CowrieEvent *e)
{
    return e->protocol.data ? session_service_constant(e->protocol) : s ? s->row.service : e->service_hint;
}

/* @s may be NULL: a line stored long ago whose session is not there. */
static AssemblyLine line_of(const Session *s, const CowrieEvent *e, int64_t ordinal)
{
    return (AssemblyLine){.sid = s ? s->row.sid : e->sid,
                          .ip = s ? s->row.src_ip : e->ip,
                          .decky = e->decky,
                          .service = service_of(s, e),
                          .ordinal = ordinal};
}

static void apply(Step *t)
{
    effects_attacker_event(&t->a->fx, &t->origin, t->e->event_type);
    if (t->a->options.announce_all)
        t->s->row.pending = true;
    if (appliers[t->e->kind])
        appliers[t->e->kind](t);
}

static void advance(Assembly *a, const CowrieEvent *e)
{
    a->effects_ready = false;
    a->flushing = false;
    a->counters.lines++;
    a->counters.time_without_offset += e->time_without_offset;
    a->watermark_us = MAX(a->watermark_us, e->time_us);
    run_due(a);
}

AssemblyLine assembly_line(Assembly *a, const CowrieEvent *e, bool is_new)
{
    advance(a, e);
    Session *s = sessions_find(&a->sessions, e->sensor, e->session);
    if (!is_new) {
        a->counters.lines_duplicate++;
        return line_of(s, e, -1);
    }
    a->counters.lines_new++;
    if (!s)
        s = open_session(a, e);
    else
        reopen_if_ended(a, s);
    a->counters.ip_mismatch += strcmp(s->row.src_ip, e->ip) != 0;
    touch(a, s, e);
    Step t = {.a = a,
              .s = s,
              .e = e,
              .ordinal = -1,
              .origin = {.ip = s->row.src_ip, .decky = e->decky, .service = service_of(s, e), .time_us = e->time_us}};
    apply(&t);
    return line_of(s, e, t.ordinal);
}

/* --- the rest of the interface --- */

/* Open sessions end; their rows are written when their turn comes. */
static int64_t due_at_flush(void *arg, Session *s)
{
    if (s->state == SESSION_OPEN)
        close_session(arg, s, "eof", s->row.last_event_at_us, -1);
    return due_time(arg, s);
}

bool assembly_flush(Assembly *a, size_t max_sessions)
{
    Session *s;
    int64_t due_us;

    a->effects_ready = false;
    if (!a->flushing)
        sessions_set_all_due(&a->sessions, due_at_flush, a);
    a->flushing = true;
    for (; max_sessions && (s = sessions_first_due(&a->sessions, &due_us)); max_sessions--) {
        sessions_mark_dirty(&a->sessions, s);
        if (strcmp(s->row.ended_reason, "eof") == 0)
            record_end(a, s);
        finish_session(a, s);
    }
    return a->sessions.heap.n > 0;
}

const Effects *assembly_effects(Assembly *a)
{
    if (!a->effects_ready) {
        a->fx.sessions.n = 0;
        for (size_t i = 0; i < a->sessions.dirty.n; i++)
            effects_session(&a->fx, &a->sessions.dirty.items[i]->row);
        effects_sort_sessions(&a->fx);
        a->effects_ready = true;
    }
    return &a->fx;
}

void assembly_forget_effects(Assembly *a)
{
    effects_clear(&a->fx);
    a->effects_ready = false;
    sessions_settle(&a->sessions);
}

Assembly *assembly_new(const AssemblyOptions *options)
{
    Assembly *a = calloc(1, sizeof(*a));

    if (!a)
        abort(); /* as the arena does: no caller could go on */
    a->options = *options;
    if (!a->options.max_sessions)
        a->options.max_sessions = LIMIT_OPEN_SESSIONS;
    a->watermark_us = TIME_NONE;
    effects_init(&a->fx);
    return a;
}

void assembly_free(Assembly *a)
{
    if (!a)
        return;
    sessions_free(&a->sessions);
    effects_free(&a->fx);
    free(a);
}

void assembly_begin_source(Assembly *a, int64_t watermark_us)
{
    a->watermark_us = watermark_us;
}

int64_t assembly_watermark_us(const Assembly *a)
{
    return a->watermark_us;
}

bool assembly_knows(const Assembly *a, const CowrieEvent *event)
{
    return sessions_find(&a->sessions, event->sensor, event->session) != NULL;
}

AssemblyCounters assembly_counters(const Assembly *a)
{
    return a->counters;
}

size_t assembly_open_sessions(const Assembly *a)
{
    return a->sessions.heap.n;
}
