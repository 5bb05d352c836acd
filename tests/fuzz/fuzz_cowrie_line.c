/* Lines of a Cowrie log, through the parser and the assembly: what comes out can be stored, is bounded, and is the same
 * whether it is stored line by line or at once. */
#include "base/limits.h"
#include "fuzz.h"
#include "ingest/assembly.h"

enum { LINES_MAX = 64 };

static void promise_fields(Arena *arena, const CowrieEvent *e)
{
    Str fields = cowrie_fields(arena, e, &e->sid, INT64_MAX);
    cleanup(json_putp) json_object *obj = json_parse(fields);

    PROMISE(fields.len <= LIMIT_FIELDS_BYTES);
    PROMISE(json_object_is_type(obj, json_type_object));
    json_object_object_foreach (obj, key, value) {
        PROMISE(key[0] != '\0' || value);
        PROMISE(json_object_is_type(value, json_type_string));
    }
}

static void promise_event(Arena *arena, const CowrieEvent *e)
{
    const Str texts[] = {e->sensor,
                         e->session,
                         e->decky,
                         e->event_type,
                         e->msg,
                         e->raw_line,
                         e->client_version,
                         e->hassh,
                         e->hassh_algorithms,
                         e->principal,
                         e->command,
                         e->file.url,
                         e->file.orig_path,
                         e->file.stored_as,
                         e->fingerprint,
                         e->tty_log,
                         e->credential.b64,
                         e->credential.printable,
                         e->credential.principal,
                         e->credential.key_fingerprint,
                         e->credential.key_type};

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        promise_storable(arena, texts[i]);
    PROMISE(e->session.len > 0 && e->event_type.len > 0 && e->decky.len > 0 && e->decky.len <= 63);
    PROMISE(e->command.len <= LIMIT_COMMAND_BYTES && e->client_version.len <= LIMIT_BANNER_BYTES);
    PROMISE(e->file.url.len <= LIMIT_URL_BYTES && e->credential.b64.len <= LIMIT_SECRET_B64_BYTES);
    PROMISE(e->kind != COWRIE_COMMAND || text_trim(e->command).len > 0);
    PROMISE(e->kind != COWRIE_FILE || strlen(e->file.sha256) == 64);
    PROMISE(!e->credential.present || strlen(e->credential.sha256) == 64);
    promise_fields(arena, e);
}

static void promise_effects(Arena *arena, const Effects *fx)
{
    for (size_t i = 0; i < fx->evidence.n; i++) {
        promise_storable(arena, fx->evidence.items[i].value);
        PROMISE(fx->evidence.items[i].value.len > 0 && fx->evidence.items[i].seen > 0);
    }
    for (size_t i = 0; i < fx->bounties.n; i++) {
        cleanup(json_putp) json_object *payload = json_parse(fx->bounties.items[i].payload);
        PROMISE(json_object_is_type(payload, json_type_object));
    }
    for (size_t i = 0; i < fx->sessions.n; i++) {
        const SessionRow *r = &fx->sessions.items[i];
        PROMISE(i == 0 || uuid_cmp(&fx->sessions.items[i - 1].sid, &r->sid) < 0);
        PROMISE((r->ended_at_us == TIME_NONE) == (r->ended_reason == NULL));
        PROMISE(r->commands_sent <= r->commands && r->started_at_us <= r->last_event_at_us);
        SessionRow back;
        PROMISE(session_state_decode(arena, session_state_encode(arena, r), &back));
        PROMISE(back.n_artifact_list == r->n_artifact_list && back.n_keys == r->n_keys);
    }
    for (size_t i = 0; i < fx->announcements.n; i++)
        PROMISE(fx->announcements.items[i].from <= fx->announcements.items[i].to);
}

/* Totals that must not depend on where chunks end. */
typedef struct Totals {
    size_t commands, attempts, announcements, errored;
    int64_t events;
} Totals;

static void take(Assembly *a, Arena *arena, Totals *t)
{
    const Effects *fx = assembly_effects(a);

    promise_effects(arena, fx);
    t->commands += fx->commands.n;
    t->attempts += fx->attempts.n;
    t->announcements += fx->announcements.n;
    t->errored += fx->errored.n;
    for (size_t i = 0; i < fx->attackers.n; i++)
        t->events += fx->attackers.items[i].events;
}

/* The sessions stay in memory here: no idle time-out, and a grace that nothing outlives. */
static Totals assemble(const CowrieEvent *events, size_t n, bool line_by_line)
{
    cleanup(arena_freep) Arena *arena = arena_new();
    AssemblyOptions options = {.grace_us = INT64_MAX};
    cleanup(assembly_freep) Assembly *a = assembly_new(&options);
    Totals t = {0};

    for (size_t i = 0; i < n; i++) {
        (void)assembly_line(a, &events[i], true);
        if (line_by_line) {
            take(a, arena, &t);
            assembly_forget_effects(a);
        }
    }
    PROMISE(!assembly_flush(a, SIZE_MAX));
    take(a, arena, &t);
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(arena_freep) Arena *arena = arena_new();
    CowrieEvent *events = arena_calloc(arena, LINES_MAX, sizeof(*events));
    size_t n = 0;
    Str rest = fuzz_input(&block, data, size);

    while (rest.len && n < LINES_MAX) {
        const char *end = memchr(rest.data, '\n', rest.len);
        size_t len = end ? (size_t)(end - rest.data) + 1 : rest.len;
        CowrieOptions options = {.escapes = (CowrieEscapes)(len % 3)};
        if (cowrie_parse(arena, &options, (Str){rest.data, len}, &events[n]) == COWRIE_OK)
            promise_event(arena, &events[n++]);
        rest = (Str){rest.data + len, rest.len - len};
    }
    Totals one = assemble(events, n, true), whole = assemble(events, n, false);
    PROMISE(one.commands == whole.commands && one.attempts == whole.attempts && one.errored == whole.errored);
    PROMISE(one.announcements == whole.announcements && one.events == whole.events && one.events == (int64_t)n);
    return 0;
}
