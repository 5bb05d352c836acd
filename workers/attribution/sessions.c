#include "sessions.h"

#include <string.h>

#include "base/limits.h"
#include "repo/sessions.h"

enum { PAGE_COMMANDS = 1000 };

static void extract_event(Extractor *x, const SessionEnded *event)
{
    for (size_t i = 0; i < event->n_commands; i++) {
        const EventCommand *c = &event->commands[i];
        extractor_add(x, &(ExtractorCommand){.text = c->text, .ts_us = c->ts_us, .errored = c->errored});
    }
}

int session_extract_stored(Repo *repo, Extractor *x, const Uuid *sid, int64_t until_us)
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

/* Our own ingest names sessions by uuid; what others call theirs gets one. */
static Uuid sid_of(Str session_id)
{
    Uuid sid;
    return uuid_parse_text(session_id, &sid) ? sid : uuid_v5(&UUID_NS_SESSION, session_id);
}

int session_observe(Repo *repo, Arena *arena, const SessionEnded *event, const Uuid *attacker,
                    Observation ret[EXTRACTOR_PRIMITIVES], size_t *ret_n, size_t *ret_ignored)
{
    ExtractorSession session = {
        .sid = sid_of(event->session_id),
        .attacker_uuid = *attacker,
        .decky = event->decky_id,
        .service = event->service,
        .started_at_us = event->started_at_us,
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
        r = session_extract_stored(repo, x, &session.sid, event->ended_at_us);
    *ret_n = r == 0 ? extractor_finish(x, ret) : 0;
    *ret_ignored = extractor_ignored(x);
    return r;
}
