/* The envelope of a record. The input is written like a message: lines "name: value", an empty line, the payload. */
#include "event/event.h"
#include "fuzz.h"

enum { HEADERS_MAX = 16 };

/* The next line of *@rest, without its end; false at the end of the text. */
static bool next_line(Str *rest, Str *ret)
{
    const char *end;

    if (!rest->len)
        return false;
    end = memchr(rest->data, '\n', rest->len);
    *ret = (Str){rest->data, end ? (size_t)(end - rest->data) : rest->len};
    size_t used = ret->len + (end != NULL);
    *rest = (Str){rest->data + used, rest->len - used};
    return true;
}

static size_t read_headers(Str *rest, EventHeader *headers)
{
    size_t n = 0;
    Str line;

    while (next_line(rest, &line) && line.len) {
        const char *colon = memmem(line.data, line.len, ": ", 2);
        if (!colon || n == HEADERS_MAX)
            continue;
        size_t name = (size_t)(colon - line.data);
        headers[n++] = (EventHeader){{line.data, name}, {colon + 2, line.len - name - 2}};
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup(freep) uint8_t *block = NULL;
    cleanup(arena_freep) Arena *arena = arena_new();
    const JsonView *payload = NULL;
    EventHeader headers[HEADERS_MAX];
    EventEnvelope e, again;

    Str rest = fuzz_input(&block, data, size);
    size_t n = read_headers(&rest, headers);
    EventReject parsed = event_payload_parse(arena, arena, rest, &payload);
    PROMISE((parsed == EVENT_OK) == (payload != NULL));
    EventReject reject = event_envelope(headers, n, payload, STR("attacker.observed"), 3, 42, 1778401501004512, &e);
    PROMISE(reject == EVENT_OK || reject == EVENT_SCHEMA);
    if (reject != EVENT_OK)
        return 0;
    PROMISE(e.schema_major == 1 && e.type.len > 0 && e.occurred_at_us >= 0);
    PROMISE(event_envelope(headers, n, payload, STR("attacker.observed"), 3, 42, 1778401501004512, &again) == EVENT_OK);
    PROMISE(uuid_cmp(&e.event_id, &again.event_id) == 0);
    return 0;
}
