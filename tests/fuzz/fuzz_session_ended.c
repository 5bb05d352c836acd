/* attacker.session.ended: whatever is decoded can be encoded, and then says the same for ever. */
#include "base/limits.h"
#include "event/event.h"
#include "fuzz.h"

static EventReject decode(Arena *arena, const JsonView *payload, SessionEnded *ret)
{
    EventReject reject = session_ended_decode(arena, payload, ret);

    if (reject == EVENT_OK) {
        PROMISE(ret->attacker_ip[0] || ret->has_attacker_uuid);
        PROMISE(ret->n_commands <= LIMIT_EVENT_COMMANDS && ret->n_commands <= ret->n_commands_seen);
        PROMISE(ret->part >= 1 && ret->parts >= 0 && ret->duration_s >= 0);
    }
    return reject;
}

static void promise_command_sizes(const SessionEnded *e, const Uuid *id, const Buf *whole)
{
    cleanup(buf_free) Buf bare = {0};
    SessionEnded without = *e;
    size_t bound = 0;

    for (size_t i = 0; i < e->n_commands; i++)
        bound += session_command_json_bytes(&e->commands[i]);
    without.n_commands = 0;
    session_ended_encode(&without, id, &bare);
    /* `service` belongs to the session: the bound takes it to be one of ours. */
    if (str_eq_cstr(e->service, "ssh") || str_eq_cstr(e->service, "telnet"))
        PROMISE(whole->len - bare.len <= bound);
}

/* An empty line can only come as bare text, which has no id of its own, so it is not written back. */
static void drop_empty_commands(SessionEnded *e)
{
    size_t n = 0;

    for (size_t i = 0; i < e->n_commands; i++)
        if (e->commands[i].text.len)
            e->commands[n++] = e->commands[i];
    e->n_commands = n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(arena_freep) Arena *arena = arena_new();
    const JsonView *payload = NULL, *again = NULL;
    cleanup(buf_free) Buf first = {0}, second = {0};
    SessionEnded e, back;
    Uuid id = {{0}};

    if (event_payload_parse(arena, arena, fuzz_input(&block, data, size), &payload) != EVENT_OK ||
        decode(arena, payload, &e) != EVENT_OK)
        return 0;
    drop_empty_commands(&e);
    session_ended_encode(&e, &id, &first);
    promise_command_sizes(&e, &id, &first);
    again = json_view(arena, arena, buf_str(&first));
    PROMISE(again != NULL);
    PROMISE(decode(arena, again, &back) == EVENT_OK);
    PROMISE(back.n_commands == e.n_commands && back.n_artifacts == e.n_artifacts);
    session_ended_encode(&back, &id, &second);
    PROMISE(str_eq(buf_str(&first), buf_str(&second)));
    return 0;
}
