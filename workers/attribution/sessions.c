#include "sessions.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "attribution/primitives.h"
#include "base/limits.h"

enum { PAGE_COMMANDS = 1000, ENVELOPE_VERSION = 1 };

static void extract_event(Extractor *x, const SessionEnded *event)
{
    for (size_t i = 0; i < event->n_commands; i++) {
        const EventCommand *c = &event->commands[i];
        extractor_add(x, &(ExtractorCommand){.text = c->text, .ts_us = c->ts_us, .errored = c->errored});
    }
}

/* Commands of a session as they are stored, up to @until_us, into an extractor; in pages. */
static int extract_stored(Repo *repo, Extractor *x, const Uuid *sid, int64_t until_us)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    size_t n = PAGE_COMMANDS;

    for (int64_t from = 0; n == PAGE_COMMANDS && from < LIMIT_EXTRACT_COMMANDS; from += PAGE_COMMANDS) {
        StoredCommand *commands = NULL;
        arena_reset(arena);
        int r = session_commands_read(repo, arena, sid, from, from + PAGE_COMMANDS, PAGE_COMMANDS, &commands, &n);
        if (r != 0)
            return r;
        for (size_t i = 0; i < n; i++)
            if (until_us == TIME_NONE || commands[i].ts_us <= until_us)
                extractor_add(x, &(ExtractorCommand){.text = commands[i].command,
                                                     .ts_us = commands[i].ts_us,
                                                     .errored = commands[i].errored});
    }
    return 0;
}

/* Our own ingest names sessions by uuid; what others call theirs gets one, and so does one without a name, which its
 * attacker, decoy and end tell from others (contract events 7.4). */
static Uuid sid_of(const SessionEnded *event, const Uuid *attacker)
{
    char address[UUID_TEXT_BYTES], end[24];
    Uuid sid;

    if (event->session_id.len)
        return uuid_parse_text(event->session_id, &sid) ? sid : uuid_v5(&UUID_NS_SESSION, event->session_id);
    uuid_format(address, attacker);
    snprintf(end, sizeof(end), "%lld", (long long)event->ended_at_us);
    return uuid_v5_joined(
        &UUID_NS_SESSION,
        (Str[]){str_from(event->attacker_ip[0] ? event->attacker_ip : address), event->decky_id, str_from(end)}, 3);
}

/* Only our own ingest says when a session began; others say how long it took. */
static int64_t start_of(const SessionEnded *event)
{
    if (event->started_at_us != TIME_NONE || event->ended_at_us == TIME_NONE)
        return event->started_at_us;
    return event->ended_at_us - llround(MIN(event->duration_s * 1e6, (double)MAX(event->ended_at_us, 0)));
}

int session_observe(Repo *repo, Arena *arena, const SessionEnded *event, const Uuid *attacker,
                    Observation ret[EXTRACTOR_PRIMITIVES], size_t *ret_n, size_t *ret_ignored)
{
    ExtractorSession session = {
        .sid = sid_of(event, attacker),
        .attacker_uuid = *attacker,
        .decky = event->decky_id,
        .service = event->service,
        .started_at_us = start_of(event),
        .ended_at_us = event->ended_at_us,
        .duration_s = event->duration_s,
        .ended_reason = event->ended_reason,
    };
    bool is_whole = event->part == 1 && event->parts == 1;
    int r = 0;

    memcpy(session.attacker_ip, event->attacker_ip, sizeof(session.attacker_ip));
    cleanup(extractor_freep) Extractor *x = extractor_new(arena, &session);
    if (is_whole)
        extract_event(x, event);
    else
        r = extract_stored(repo, x, &session.sid, event->ended_at_us);
    *ret_n = r == 0 ? extractor_finish(x, ret) : 0;
    *ret_ignored = extractor_ignored(x) + (is_whole ? event->n_commands_seen - event->n_commands : 0);
    return r;
}

int session_observe_stored(Repo *repo, Arena *arena, const StoredSession *row, Observation ret[EXTRACTOR_PRIMITIVES],
                           size_t *ret_n, size_t *ret_ignored)
{
    ExtractorSession session = {
        .sid = row->sid,
        .attacker_uuid = row->attacker_uuid,
        .decky = row->decky,
        .service = row->service,
        .started_at_us = row->started_at_us,
        .ended_at_us = row->ended_at_us,
        .duration_s = MAX(row->duration_s, 0.0),
        .ended_reason = row->ended_reason,
    };
    bool is_whole = row->parts_sent == 1;
    int r = 0;

    memcpy(session.attacker_ip, row->src_ip.data, MIN(row->src_ip.len, sizeof(session.attacker_ip) - 1));
    cleanup(extractor_freep) Extractor *x = extractor_new(arena, &session);
    if (row->commands > 0)
        r = extract_stored(repo, x, &row->sid, is_whole ? TIME_NONE : row->ended_at_us);
    *ret_n = r == 0 ? extractor_finish(x, ret) : 0;
    *ret_ignored = extractor_ignored(x);
    return r;
}

StoredObservation observation_row(const Observation *o)
{
    ValueKind kind = primitive_value_kind(o->primitive, o->value_kind);
    return (StoredObservation){
        .id = o->id,
        .evidence_ref = o->evidence_ref,
        .primitive = o->primitive,
        .value = o->value,
        .value_kind = str_from(value_kind_name(kind)),
        .confidence = o->confidence,
        .window_start_ts = o->window_start_ts,
        .window_end_ts = o->window_end_ts,
        .ts = o->ts,
        .source = o->source,
        .envelope_v = ENVELOPE_VERSION,
        .attacker_uuid = o->attacker_uuid,
        .ranks_whole = true,
    };
}

static void send_one(Arena *arena, const Observation *o, Buf *buf, ObservationSend *send, void *to)
{
    char attacker[UUID_TEXT_BYTES];
    Uuid id = observation_id(o);

    uuid_format(attacker, &o->attacker_uuid);
    buf_clear(buf);
    observation_encode(o, &id, buf);
    send(to, "attacker.observation", observation_reference_topic(arena, o->primitive), &id, str_from(attacker),
         buf_str(buf));
}

int observations_send_news(Repo *repo, Arena *arena, const Observation *observations, size_t n, ObservationSend *send,
                           void *to, size_t *ret_n)
{
    cleanup(buf_free) Buf buf = {0};
    StoredObservation *rows = arena_calloc(arena, n + 1, sizeof(*rows));

    *ret_n = 0;
    for (size_t i = 0; i < n; i++)
        rows[i] = observation_row(&observations[i]);
    int r = observations_compare(repo, rows, n, arena);
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (rows[i].outcome != ROW_NEW && rows[i].outcome != ROW_CHANGED)
            continue;
        if (send)
            send_one(arena, &observations[i], &buf, send, to);
        (*ret_n)++;
    }
    return r;
}
